# Redis behind Sentinels: the pool and the edge follow the master.
use Mojo::Base -strict, -signatures;
use FindBin;
use lib "$FindBin::Bin/lib";
use FitNudge::Test::Contract;
use FitNudge::Test::Pool;
use FitNudge::Test::Sentinel;
use FitNudge::Test::Stack;
use Test::More;
use Time::HiRes qw(sleep time);

my $s = FitNudge::Test::Stack->new(nginx_workers => 2);
my $r = FitNudge::Test::Sentinel->new($s)->start;
$s->start;
my $u = new_user($s);
make_pro($s, $u);
my $n = 0;
sub write_code () { call($s, POST => '/goals', token => $u->{token}, ua => agent(), json => { title => 'goal ' . ++$n, frequency => 3 })->code // 0 }

is(write_code(), 201, 'a write by way of Sentinel');
is(($s->redis('ROLE'))[0], 'master', 'the test asks the master');

subtest 'failover by command' => sub {
    my $before = $r->master;
    $r->sentinel('SENTINEL', 'FAILOVER', 'fitnudge');
    ok($r->moved($before), 'another one is the master');
    ok(poll(30, sub { write_code() == 201 }), 'writes go on') or diag($s->log_tail('error.log', 10) . $s->log_tail('pool.log', 10));
    ok(poll(30, sub { !grep { write_code() != 201 } 1 .. 10 }), 'in every process');
};

subtest 'the master dies' => sub {
    ok($r->replicated, 'the replica has caught up');
    my $before = $r->master;
    $r->kill_master;
    ok($r->moved($before), 'another one is the master');
    ok(poll(30, sub { write_code() == 201 }), 'writes go on');
    ok(poll(30, sub { !grep { write_code() != 201 } 1 .. 10 }), 'in every process');
    is_deeply([consistent($s)], [], 'the queues are empty');
};

subtest 'a Sentinel that does not answer' => sub {
    kill KILL => $s->pid('sentinel0');
    kill KILL => (children($s, 'sql'))[0];
    $s->reload_nginx;
    ok(poll(30, sub { !grep { write_code() != 201 } 1 .. 10 }), 'the next one is asked');
};

$s->assert_clean(qr/connect\(\)|No such file|Connection refused|sentinel/i);
done_testing;
