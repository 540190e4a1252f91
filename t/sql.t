# The schema: deploys, verifies, passes its pgTAP tests, reverts to nothing and deploys again.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use FitNudge::Stack;
use Test::More;

my $dir = FitNudge::Stack::temp_dir();
my $s = FitNudge::Stack->new(dir => $dir, durable => 0, database_only => 1);
END { if ($s && $s->{owner} == $$) { my $status = $?; $s->stop; $s->remove; $? = $status } }
$SIG{$_} = sub { exit 1 } for qw(INT TERM HUP);

sub step {
    my ($name, $do) = @_;
    my $ok = eval { $do->(); 1 };
    ok($ok, $name) or diag($@);
    return $ok;
}

$s->start_postgres;
step('deploys', sub { $s->deploy }) or BAIL_OUT('the schema cannot be deployed');
step('verifies', sub { $s->sqitch('verify', $s->sqitch_target) });

my $tests = $s->root . '/sql/test';
my @tests = glob("$tests/*.sql");
ok(@tests > 0, 'there are pgTAP tests');

if (@tests) {
    $s->psql('-c', 'CREATE EXTENSION IF NOT EXISTS pgtap');
    local %ENV = (%ENV, $s->pg_env);
    chdir $s->root . '/sql';
    my $out = `pg_prove -f --nocolor @{[map { "'$_'" } @tests]} 2>&1`;
    is($?, 0, scalar(@tests) . ' pgTAP files pass') or diag($out);
    $s->psql('-c', 'DROP EXTENSION pgtap CASCADE');
}

step('reverts', sub { $s->sqitch('revert', '-y', $s->sqitch_target) });
{
    local %ENV = (%ENV, $s->pg_env);
    my $left = `psql -XqAt -c "SELECT n.nspname || '.' || c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE n.nspname NOT IN ('pg_catalog', 'information_schema', 'sqitch', 'pg_toast') AND n.nspname NOT LIKE 'pg_temp%' UNION ALL
        SELECT n.nspname || '.' || p.proname FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
        WHERE n.nspname NOT IN ('pg_catalog', 'information_schema', 'sqitch')"`;
    is($left, '', 'nothing is left of it');
}
step('deploys again', sub { $s->sqitch('deploy', '--verify', $s->sqitch_target) });

done_testing;
