# The units are what systemd understands, and leave the programs little to do harm with; the manual page is well-formed and complete.
use strict;
use warnings;
use Cwd qw(abs_path);
use File::Temp qw(tempdir);
use FindBin;
use Test::More;

my $root = abs_path("$FindBin::Bin/..");
sub slurp { open my $f, '<', $_[0] or die "cannot read $_[0]: $!\n"; local $/; scalar <$f> }
sub spew { open my $f, '>', $_[0] or die "cannot write $_[0]: $!\n"; print $f $_[1] }
sub output {
    my @cmd = @_;
    my $pid = open(my $out, '-|') // die "fork: $!\n";
    if (!$pid) { open STDERR, '>&', \*STDOUT; $ENV{LC_ALL} = 'C.UTF-8'; $ENV{SYSTEMD_LOG_TARGET} = 'console'; exec @cmd; die "$cmd[0]: $!\n" }
    local $/;
    my $text = <$out> // '';
    close $out;
    return ($? >> 8, $text);
}

subtest 'units' => sub {
    chomp(my $analyze = `sh -c 'command -v systemd-analyze'` // '');
    plan skip_all => 'there is no systemd-analyze' if $analyze eq '';
    my $dir = tempdir(CLEANUP => 1);
    my $unit = slurp("$root/conf/systemd/fitnudge-worker.service");
    spew("$dir/fitnudge-worker.service", $unit =~ s{^ExecStart=\S+}{ExecStart=/bin/true}mr);
    my ($rc, $text) = output($analyze, 'verify', '--man=no', '--recursive-errors=no', "$dir/fitnudge-worker.service");
    is($rc, 0, 'fitnudge-worker.service');
    is(join("\n", grep { /fitnudge/ } split /\n/, $text), '', 'without a warning');
    ($rc, $text) = output($analyze, 'security', '--offline=true', '--threshold=15', "$dir/fitnudge-worker.service");
    if ($text =~ /unrecognized option|Unknown operation/i) { diag('security is not checked: an old systemd') }
    else { is($rc, 0, 'it has few rights') or diag($text =~ /(.*exposure level.*)/) }

    my ($nginx) = grep { -e } map { "$_/nginx.service" } qw(/lib/systemd/system /usr/lib/systemd/system);
    if ($nginx) {
        spew("$dir/nginx.service", slurp($nginx) =~ s{/usr/sbin/nginx}{/bin/true}gr);
        mkdir "$dir/nginx.service.d";
        spew("$dir/nginx.service.d/fitnudge.conf", slurp("$root/conf/systemd/nginx.service.d/fitnudge.conf"));
        ($rc, $text) = output($analyze, 'verify', '--man=no', '--recursive-errors=no', "$dir/nginx.service");
        is($rc, 0, 'nginx.service with its drop-in') or diag($text);
        is(join("\n", grep { /fitnudge\.conf/ } split /\n/, $text), '', 'without a warning');
    }
    # what the unit promises and what the program does
    my ($stop) = $unit =~ /^TimeoutStopSec=(\d+)$/m;
    my ($shutdown) = slurp("$root/worker/libfitnudge/fn_settings.c") =~ /"shutdown_timeout".*?S\(shutdown_ms\), "(\d+)s"/s;
    cmp_ok($stop, '>', $shutdown, 'systemd waits longer than the pool needs to stop');
};

subtest 'fitnudge-worker(8)' => sub {
    my $page = slurp("$root/docs/fitnudge-worker.8");
    unlike($page, qr/[^\x00-\x7f]/, 'is ASCII');
    chomp(my $groff = `sh -c 'command -v groff'` // '');
    if ($groff ne '') {
        my ($rc, $text) = output($groff, '-man', '-Tutf8', '-ww', '-z', "$root/docs/fitnudge-worker.8");
        is("$rc $text", '0 ', 'groff has nothing to say');
    }
    my $main = slurp("$root/worker/main.c");
    my ($options) = $main =~ /getopt\(argc, argv, "([^"]+)"\)/;
    like($page, qr/^\.BI? \\-$_\b/m, "-$_ is described") for $options =~ /\w/g;
    like($page, qr/^\.BR? .*\b$_\b/m, "SIG$_ is described") for qw(TERM INT HUP USR1);
    like($page, qr/^\.SH $_$/m, $_) for 'NAME', 'SYNOPSIS', 'DESCRIPTION', 'OPTIONS', 'SIGNALS', 'EXIT STATUS', 'FILES', 'SEE ALSO';
    my ($default) = $main =~ /FN_CONF_DEFAULT\s+"([^"]+)"/;
    like($page, qr/^\.IR? \Q$default\E/m, "names $default");
};

# What the program's own help says there is: "dead replay <lane> <id|all>"
sub forms () {
    my ($table) = slurp("$root/worker/ctl/main.c") =~ /^\} fn_commands\[\] = \{\n(.*?)^\};/ms;
    my @help = map { join '', /"((?:[^"\\]|\\.)*)"/g } $table =~ /((?:"(?:[^"\\]|\\.)*"\s*)+)\}/g;
    return map { s/\s{2,}.*//r } map { s/\A  (?=\S)//r } grep { !/^ {3,}/ } map { split /\\n/ } @help;
}

subtest 'fitnudgectl(1)' => sub {
    my $page = slurp("$root/docs/fitnudgectl.1");
    unlike($page, qr/[^\x00-\x7f]/, 'is ASCII');
    chomp(my $groff = `sh -c 'command -v groff'` // '');
    if ($groff ne '') {
        my ($rc, $text) = output($groff, '-man', '-Tutf8', '-ww', '-z', "$root/docs/fitnudgectl.1");
        is("$rc $text", '0 ', 'groff has nothing to say');
    }
    my @forms = forms();
    cmp_ok(scalar(@forms), '>', 20, 'the help was understood') or diag(join "\n", @forms);
    my ($commands) = $page =~ /^\.SH COMMANDS\n(.*?)^\.SH /ms;
    my %page = map { s/\\f.//gr =~ s/\\-/-/gr => 1 } $commands =~ /^\.TP\n(.+)/mg;
    is_deeply([sort keys %page], [sort @forms], 'has all commands, with their arguments, and no others');
    my $guide = slurp("$root/docs/fitnudgectl.md") =~ s/\\\|/|/gr;
    ok($guide =~ /^\| `\Q$_\E`/m, "so has docs/fitnudgectl.md: $_") for @forms;
    like($page, qr/^\.BI? (?:\\-)*\Q$_\E\b/m, "the option $_ is described") for qw(c json);
    like($page, qr/^\.SH $_$/m, $_) for 'NAME', 'SYNOPSIS', 'DESCRIPTION', 'OPTIONS', 'COMMANDS', 'EXIT STATUS', 'FILES', 'SEE ALSO';
    my ($default) = slurp("$root/worker/ctl/main.c") =~ /FN_CONF_DEFAULT\s+"([^"]+)"/;
    like($page, qr/^\.IR? \Q$default\E/m, "names $default");
};

done_testing;
