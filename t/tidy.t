# clang-tidy over all of our C; .clang-tidy says what is asked.
use strict;
use warnings;
use Cwd qw(abs_path);
use FindBin;
use Test::More;

my $root = abs_path("$FindBin::Bin/..");
chdir $root or die "cannot enter $root: $!\n";

# The module is read with the include path of its own build.
my $makefile = "$root/build/nginx/Makefile";
open my $in, '<', $makefile or plan skip_all => "$makefile is not there: run ./build.sh build";
my ($incs) = do { local $/; <$in> } =~ /^ALL_INCS = (.*?[^\\])$/ms;
my @module = map { m{^/} ? "-I$_" : "-I$root/build/nginx-src/$_" } $incs =~ /-I (\S+)/g;
chomp(my $pg = `pg_config --includedir`);
my @pool = ('-D_GNU_SOURCE', "-I$root/worker", "-I$root/worker/libfitnudge", "-I$pg");

my %flags = ((map { $_ => \@module } glob 'ngx_fitnudge_module/*.c'), map { $_ => \@pool } glob 'worker/*.c worker/*/*.c');

# as many at a time as there are processors
chomp(my $cores = `nproc`);
my (@todo, %running) = sort keys %flags;
while (@todo || %running) {
    while (@todo && keys %running < $cores) {
        my $file = shift @todo;
        open my $out, '-|', 'sh', '-c', 'exec "$@" 2>&1', 'sh', 'clang-tidy', '--quiet', $file, '--', '-std=gnu11', @{$flags{$file}}
            or die "cannot run clang-tidy: $!\n";
        $running{$file} = $out;
    }
    my $file = (sort keys %running)[0];
    my $out = delete $running{$file};
    my @lines = grep { !/^\d+ warnings? (?:generated|treated)|^Suppressed|^Use -/ } <$out>;
    close $out;
    ok($? == 0, $file) or diag(@lines > 30 ? @lines[0 .. 29] : @lines);
}

done_testing;
