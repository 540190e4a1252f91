# What can be said of the sources without running them.
use strict;
use warnings;
use Cwd qw(abs_path);
use FindBin;
use Test::More;

my $root = abs_path("$FindBin::Bin/..");
chdir $root or die "cannot enter $root: $!\n";
chomp(my $cores = `nproc`);

sub clean {
    my ($name, @cmd) = @_;
    open my $out, '-|', 'sh', '-c', 'exec "$@" 2>&1', 'sh', @cmd or die "cannot run $cmd[0]: $!\n";
    my @lines = <$out>;
    close $out;
    ok($? == 0, $name) or diag(@lines > 40 ? (@lines[0 .. 39], "...\n") : @lines);
}

my @scripts = grep { -f && do { open my $f, '<', $_; (<$f> // '') =~ /^#!.*\b(?:ba)?sh$/ } } split /\0/, `git ls-files -z -co --exclude-standard`;
clean('shellcheck has nothing to say of ' . scalar(@scripts) . ' scripts', 'shellcheck', @scripts);

# What is switched off, and why:
#   missingIncludeSystem, unmatchedSuppression   cppcheck does not read system headers
#   unusedFunction is not asked for              each program uses a part of libfitnudge
#   varFuncNullUB                                NULL is a pointer in every C library that nginx runs on
my @cppcheck = ('cppcheck', '-q', "-j$cores", '--std=c11', '--error-exitcode=1', '--inline-suppr',
    '--enable=warning,performance,portability', '--suppress=missingIncludeSystem', '--suppress=unmatchedSuppression', '--suppress=varFuncNullUB',
    '--template={file}:{line}: {severity} {id}: {message}');
clean('cppcheck has nothing to say of the pool', @cppcheck, '-Iworker', '-Iworker/libfitnudge', 'worker');
clean('cppcheck has nothing to say of the module', @cppcheck, '-Iworker/libfitnudge', '-DNGX_HTTP_SSL=1', 'ngx_fitnudge_module');

# Functions that cannot be used safely, or not in this program (nginx has its own formats).
{
    my @hits = split /\n/, `git grep -nP '\\b(?:sprintf|vsprintf|strcpy|strcat|strtok|sscanf|gets|atoi|atol|localtime|gmtime|strncpy|rand|tmpnam)\\s*\\(' -- 'worker/*.[ch]' 'ngx_fitnudge_module/*.[ch]'`;
    @hits = grep { !m{^[^:]+:\d+:\s*(?:/?\*|//)} } @hits;
    is("@hits", '', 'no banned functions');
}

# Every perl file compiles.
for my $file (sort grep { m{^t/} } split /\n/, `git ls-files -co --exclude-standard -- '*.pl' '*.pm' 't/lib/supervise' 't/bench/bench' 't/soak/soak'`) {
    my $out = `perl -It/lib -c '$file' 2>&1`;
    ok($? == 0, "$file compiles") or diag($out);
}

# Nothing reaches across the layers: libfitnudge knows neither nginx nor the services, the pool knows no nginx.
{
    my $hits = `git grep -nE '#include.*(ngx_|libpq|hiredis|curl/)' -- 'worker/libfitnudge/*'`;
    is($hits, '', 'libfitnudge is pure');
    $hits = `git grep -nE '#include.*ngx_' -- 'worker/*' 't/unit/*'`;
    is($hits, '', 'the pool knows no nginx');
}

done_testing;
