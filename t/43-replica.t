# Reads of a replica that follows its primary: only while it is fresh, never for who has just written, and nobody notices when
# it lags, hangs, dies or becomes something else.
use Mojo::Base -strict, -signatures;
use FindBin;
use lib "$FindBin::Bin/lib";
use FitNudge::Test::Contract;
use FitNudge::Test::Replica;
use FitNudge::Test::Stack;
use Mojo::JSON qw(encode_json);
use Test::More;
use Time::HiRes qw(sleep time);

# 200 ms behind, always: fresh enough to be asked, and late enough to show what it must not be asked for
my $s = FitNudge::Test::Stack->new(nginx_workers => 2, postgres_settings => ['log_statement=all']);
my $replica = FitNudge::Test::Replica->new($s, 'log_statement=all', 'recovery_min_apply_delay=200ms');
$s->{shared} = 'fitnudge_postgres_replica "' . $replica->conninfo . '" connect_timeout=1s;';
$s->start;

my ($u, $v) = map { new_user($s) } 1 .. 2;
make_pro($s, $u, $v);
my @goal = map { call($s, POST => '/goals', token => $_->{token}, json => { title => 'Run', frequency => 3 })->json->{id} } $u, $v;

# How many lists of goals each has been asked for.
sub asked ($log) { scalar(() = $s->log_text($log) =~ /execute fn_\d+: SELECT set_config[^\n]*api\.goals_list/g) }
sub asked_of ($code) {
    my @before = map { asked($_) } qw(replica.log postgresql.log);
    $code->();
    return (asked('replica.log') - $before[0], asked('postgresql.log') - $before[1]);
}

# Each list is another one, so that none is answered from a cache.
my $page = 1;
sub list ($who) { [GET => '/goals?page=' . ++$page, token => $who->{token}] }
sub all_ok ($name, @res) { is(scalar(grep { ($_->code // 0) == 200 } @res), scalar(@res), $name) }

sub used ($who, $seconds = 10) {
    return poll($seconds, sub { my ($r) = asked_of(sub { calls($s, map { list($who) } 1 .. 8) }); $r == 8 });
}

# The title as the first of so many lists says it.
my $limit = 1;
sub title ($who) { my $r = call($s, GET => '/goals?limit=' . (++$limit % 100 + 1), token => $who->{token}); $r->code == 200 ? $r->json->{goals}[0]{title} : $r->code }

subtest 'a replica that is not there' => sub {
    my ($r, $p) = asked_of(sub { all_ok('reads are answered', calls($s, map { list($u) } 1 .. 8)) });
    is($r + $p, 8, 'by the primary');
    is(call($s, GET => '/health/ready')->code, 200, 'ready');
};

subtest 'a replica that follows' => sub {
    $replica->start;
    ok(used($u), 'it is asked when it has caught up') or diag($s->log_tail('error.log'));
    my ($r, $p);
    ok(poll(10, sub { ($r, $p) = asked_of(sub { calls($s, map { list($u) } 1 .. 40) }); $r == 40 }), 'and the primary is not') or diag("replica $r, primary $p");
    is(title($u), 'Run', 'with what there is');
    my $res = call($s, GET => '/goals?limit=1000', token => $u->{token});
    error_ok($res, 400, 'a mistake is one there, too');
    status_ok(call($s, GET => '/users/me', token => $u->{token}), 200, 'other routes go on');
    ok(poll(25, sub { $s->error_log =~ /replica 1: answers reads/ }), "the log says so");
};

# At the start of a page or segment of its log the primary counts a header that no replica knows of.
subtest 'a new segment of the log' => sub {
    $s->sql('SELECT pg_switch_wal()');
    ok(used($u), 'the replica is asked');
    my ($r) = asked_of(sub { for (1 .. 8) { sleep 0.2; calls($s, list($u)) } });
    note('primary ' . $s->sql('SELECT pg_current_wal_insert_lsn()') . ', replica ' . $replica->sql('SELECT pg_last_wal_replay_lsn()'));
    cmp_ok($r, '>=', 6, 'and stays so while nothing is written');
};

subtest 'who has written' => sub {
    my @wrong;
    for my $i (1 .. 15) {
        my $res = call($s, PATCH => "/goals/$goal[0]", token => $u->{token}, json => { title => "Run $i" });
        status_ok($res, 200, 'a change') if $res->code != 200;
        my $got = title($u);
        push @wrong, "$got instead of Run $i" if $got ne "Run $i";
        sleep 0.05;
    }
    is("@wrong", '', 'reads his own writes');
    # his write is forgotten after a while, which may be soon on a slow machine
    my ($n, $r, $p) = (15);
    my $write = sub { call($s, PATCH => "/goals/$goal[0]", token => $u->{token}, json => { title => 'Run ' . ++$n }) };
    ok(poll(10, sub { $write->(); ($r, $p) = asked_of(sub { calls($s, map { list($u) } 1 .. 8) }); $r == 0 }), 'from the primary') or diag("replica $r, primary $p");
    ok(poll(10, sub { $write->(); ($r, $p) = asked_of(sub { calls($s, map { list($v) } 1 .. 8) }); $r > 0 }), 'others read from the replica');
    ok(used($u), 'and so does he, after a while');
    is(title($u), "Run $n", 'and finds what he wrote');

    # just when the replica is asked again: nothing may go back
    my $back = 0;
    for my $i (1 .. 2) {
        call($s, PATCH => "/goals/$goal[0]", token => $u->{token}, json => { title => "Swim $i" });
        my $end = time + 1.8;
        while (time < $end) { $back++ if title($u) ne "Swim $i"; sleep 0.02 }
    }
    is($back, 0, 'and never anything older');
};

subtest 'lag' => sub {
    ok(used($v), 'it is asked');
    $replica->sql('SELECT pg_wal_replay_pause()');
    # nobody tells the edge of this change
    $s->sql("UPDATE goals SET title = 'Late' WHERE id = ?", $goal[1]);
    my $t = time;
    my ($old, $late) = (0, 0);
    while (time < $t + 2) {
        my $sent = time;
        if (title($v) ne 'Late') { $old++; $late++ if $sent > $t + 1.3 }
        sleep 0.03;
    }
    is($late, 0, 'what it answers is never older than a second');
    ok($old > 0, 'up to that it is asked');
    my ($r, $p) = asked_of(sub { all_ok('reads are answered', calls($s, map { list($v) } 1 .. 8)) });
    is($r, 0, 'then it is not');
    ok(poll(15, sub { $s->error_log =~ /replica 1: is not asked, as it is away or lags/ }), "the log says so");
    $replica->sql('SELECT pg_wal_replay_resume()');
    ok(used($v), 'when it has caught up, it is asked again');
    is(title($v), 'Late', 'and has it');
};

sub tree ($pid) { my @c = map { $_->{pid} } FitNudge::Test::Stack::_children($pid); return ($pid, @c) }

subtest 'it hangs' => sub {
    ok(used($v), 'it is asked');
    my @pids = tree($s->pid('replica'));
    kill 'STOP', @pids;
    my $t = time;
    my @res = calls($s, map { list($v) } 1 .. 40);
    all_ok('every read is answered', @res);
    cmp_ok(time - $t, '<', 5, 'and soon');
    my ($r, $p) = asked_of(sub { all_ok('and later', calls($s, map { list($v) } 1 .. 8)) });
    kill 'CONT', @pids;
    ok(used($v), 'it goes on, and is asked again');
};

subtest 'it is killed under load' => sub {
    my @load = map { list($v) } 1 .. 300;
    my $timer = Mojo::IOLoop->timer(0.05 => sub { $replica->stop('QUIT') });
    all_ok('every read is answered', calls($s, @load));
    $replica->stop('QUIT') if $s->pid('replica');
    all_ok('without it, too', calls($s, map { list($v) } 1 .. 8));
    $replica->start;
    ok(used($v), 'it comes back');
};

subtest 'it is promoted' => sub {
    $replica->sql('SELECT pg_promote()');
    $s->sql("UPDATE goals SET title = 'Primary' WHERE id = ?", $goal[1]);
    sleep 1.2;
    my ($r, $p) = asked_of(sub { is(title($v), 'Primary', 'the primary is the primary') for 1 .. 8 });
    is($r, 0, 'and the other one is not asked');
};

$s->assert_clean(qr/connect\(\)|No such file|Connection refused/);
done_testing;
