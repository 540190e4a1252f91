# The OpenAPI document is valid by a public validator, and a TypeScript client generated from it compiles and works.
use Mojo::Base -strict, -signatures;
use FindBin;
use lib "$FindBin::Bin/lib";
use Cwd qw(abs_path);
use File::Copy qw(copy);
use File::Path qw(make_path);
use FitNudge::Test::Contract;
use FitNudge::Test::Stack;
use FitNudge::Util qw(spew);
use Test::More;

my $tools = abs_path("$FindBin::Bin/..") . '/build/client';
plan skip_all => "the npm packages of t/client are not in $tools: npm (apt-get install nodejs npm) or its registry was not there when ./build.sh test looked"
    if !-x "$tools/node_modules/.bin/openapi-typescript";

my $s = FitNudge::Test::Stack->new(nginx_workers => 1)->start;
my $dir = $s->dir . '/client';
make_path($dir);
copy("$FindBin::Bin/client/$_", "$dir/$_") or die "$_: $!" for qw(package.json tsconfig.json smoke.ts node.d.ts);
symlink "$tools/node_modules", "$dir/node_modules" or die "node_modules: $!";
spew("$dir/openapi.json", call($s, GET => '/api/v1/openapi.json')->body, 0644);

sub run_ok ($name, @command) {
    my $out = join '', do { open my $pipe, '-|', "cd '$dir' && @command 2>&1" or die $!; readline $pipe };
    is($?, 0, $name) or diag($out);
    return $out;
}

my $bin = 'node_modules/.bin';
run_ok('the document is valid', "$bin/validate-api openapi.json");
run_ok('types are made of it', "$bin/openapi-typescript openapi.json -o api.d.ts");
run_ok('a client of them compiles', "$bin/tsc -p .");
like(run_ok('and works', 'node smoke.js ' . $s->url), qr/^ok$/m, 'to its end');

$s->assert_clean;
done_testing;
