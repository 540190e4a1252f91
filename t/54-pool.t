# The pool's processes: lanes that grow and shrink, children that are replaced, the watchdog, signals.
use Mojo::Base -strict, -signatures;
use FindBin;
use lib "$FindBin::Bin/lib";
use FitNudge::Test::Contract;
use FitNudge::Test::Pool;
use FitNudge::Test::Stack;
use FitNudge::Util qw(free_port slurp spew);
use Mojo::Promise;
use Test::More;
use Time::HiRes qw(sleep time);

my $port = free_port();
my $log;
my $s = FitNudge::Test::Stack->new(nginx_workers => 1, pool_port => $port, fault => 'none',
    env => { FN_BEAT_MS => 500, FN_WELL_MS => 5000 },
    pool => "metrics_listen 127.0.0.1:$port;\nsql_processes 2;\nsql_processes_max 6;\nsql_batch 2;\nscale_age 50ms;\nscale_idle 1s;\n"
        . "max_spare 1;\nrecycle_jobs 100;")->start;
my $u = new_user($s);
make_pro($s, $u);
my $title = 0;

sub write_ok ($name) { status_ok(call($s, POST => '/goals', token => $u->{token}, json => { title => 'goal ' . ++$title, frequency => 3 }), 201, $name) }
sub series ($name) { (pool_metrics($s))[0]{$name} // 0 }
sub new_conf ($change) { my $text = slurp($s->dir . '/nginx.conf'); $change->() for $text; spew($s->dir . '/nginx.conf', $text, 0644); return $text }
# A conf that write_conf does not make again
sub set_pool ($from, $to) { my $file = $s->dir . '/nginx.conf'; my $text = slurp($file); $text =~ s/$from/$to/ or die "no $from"; spew($file, $text, 0644) }
sub lock_goals ($on) {
    # a session of its own, so that writes wait as they would for a slow database
    state $dbh;
    if ($on) {
        $dbh = DBI->connect("dbi:Pg:dbname=$s->{database};host=$s->{sock};user=postgres", undef, undef, { RaiseError => 1, AutoCommit => 0, AutoInactiveDestroy => 1 });
        $dbh->do('LOCK TABLE goals IN ACCESS EXCLUSIVE MODE');
    }
    else { $dbh->rollback; $dbh->disconnect; undef $dbh }
}

use feature "state";
use DBI;
subtest 'a lane grows while jobs wait' => sub {
    is(scalar(children($s, 'sql')), 2, 'two at first');
    lock_goals(1);
    my %mine = map { envelope('goals.create', $u->{id}, { title => "waits $_", frequency => 1 }) } 1 .. 40;
    $s->redis(LPUSH => '{fn}:q:sql:n', $_) for values %mine;
    ok(poll(15, sub { children($s, 'sql') == 6 }), 'to its maximum') or diag(join ' ', child_titles($s));
    cmp_ok(series('fitnudge_pool_scaled_total{direction="up"}'), '==', 4, 'which is counted');
    lock_goals(0);
    ok(poll(30, sub { $s->sql("SELECT count(*) FROM goals WHERE title LIKE 'waits %'") == 40 }), 'and everything is done');
    ok(poll(30, sub { children($s, 'sql') == 2 }), 'and shrinks one by one') or diag(join ' ', child_titles($s));
    is(series('fitnudge_pool_children_crashed_total{lane="sql"}'), 0, 'nobody crashed');
    is_deeply([consistent($s)], [], 'the queues are empty');
    write_ok('and the lane works');
};

subtest 'who has done enough is replaced' => sub {
    my %before = map { $_ => 1 } children($s, 'sql');
    my @all = map { [POST => '/goals', token => $u->{token}, json => { title => "many $_", frequency => 1 }] } 1 .. 60;
    my %code;
    for (1 .. 5) { $code{ $_->code // 'none' }++ for calls($s, @all) }
    is_deeply(\%code, { 201 => 300 }, 'nobody notices') or diag(explain(\%code));
    ok(poll(15, sub { grep { !$before{$_} } children($s, 'sql') }), 'there are new processes');
    cmp_ok(series('fitnudge_pool_children_recycled_total{lane="sql"}'), '>=', 1, 'counted');
    is(series('fitnudge_pool_children_crashed_total{lane="sql"}'), 0, 'and nobody crashed');
};

subtest 'the high queue' => sub {
    $s->redis(HSET => '{fn}:cfg:sql', paused_until => int(time * 1000) + 60_000);
    sleep 2.5;                  # nobody waits in the old way any more
    for ([high => 200], [normal => 20]) {
        my ($name, $n) = @$_;
        my $prio = substr $name, 0, 1;
        $s->redis(LPUSH => "{fn}:q:sql:$prio", map { (envelope('goals.create', $u->{id}, { title => "$name $_", frequency => 1 }, prio => $prio))[1] } 1 .. $n);
    }
    $s->redis(DEL => '{fn}:cfg:sql');
    ok(poll(30, sub { $s->sql("SELECT count(*) FROM goals WHERE title LIKE 'high %' OR title LIKE 'normal %'") == 220 }), 'all of it is done');
    like($s->sql("SELECT title FROM goals WHERE title LIKE 'high %' OR title LIKE 'normal %' ORDER BY created_at LIMIT 1"), qr/\Ahigh /, 'urgent jobs first');
    is($s->sql("SELECT count(DISTINCT g.xmin::text) FROM goals g WHERE title LIKE 'high %'"), 200, 'each in a transaction of its own');
    cmp_ok($s->sql("SELECT count(*) FROM goals WHERE title LIKE 'high %' AND created_at > (SELECT min(created_at) FROM goals WHERE title LIKE 'normal %')"), '>', 100, 'but the others have their turn');

    # all at once, to executors that wait on both queues
    for my $round (1 .. 10) {
        my @jobs = map { my ($name, $prio) = @$_; [$prio, (envelope('goals.create', $u->{id}, { title => "$name $round", frequency => 1 }, prio => $prio))[1]] }
            ['rushed', 'h'], map { ["slow $_", 'n'] } 1 .. 20;
        $s->redis(EVAL => q{for i = 1, #ARGV, 2 do redis.call('LPUSH', '{fn}:q:sql:' .. ARGV[i], ARGV[i + 1]) end}, 0, map { @$_ } @jobs);
        poll(20, sub { $s->sql("SELECT count(*) FROM goals WHERE title LIKE 'rushed $round' OR title LIKE 'slow % $round'") == 21 }) or last;
    }
    is($s->sql("SELECT count(*) FROM goals WHERE title LIKE 'rushed %' OR title LIKE 'slow %'"), 210, 'those that come together are done');
    is($s->sql("SELECT count(*) FROM goals g JOIN goals h ON g.xmin = h.xmin WHERE g.title LIKE 'rushed %'"), 10, 'the urgent one of them alone');
    is_deeply([consistent($s)], [], 'the queues are empty');
};

# The same pool with another watchdog; 30 s is long enough for whatever a busy machine delays
sub watchdog (%env) {
    $s->stop_process('pool', 'TERM', 35);
    local $s->{env} = { %{ $s->{env} }, %env };
    $s->start_pool;
    poll(20, sub { children($s, 'sql') >= 2 && (pool_get($s, '/health')->code // 0) == 200 }) || BAIL_OUT('the pool does not come back');
}

subtest 'the watchdog' => sub {
    watchdog(FN_WATCHDOG_MS => 4000);
    # one that stands still
    my ($pid) = children($s, 'sql');
    kill STOP => $pid;
    ok(poll(20, sub { !grep { $_ == $pid } children($s, 'sql') }), 'a stopped process is killed');
    ok(poll(15, sub { children($s, 'sql') >= 2 }), 'and another one takes its place');
    cmp_ok(series('fitnudge_pool_children_stuck_total{lane="sql"}'), '>=', 1, 'counted');

    # one that waits for the database: the statement is cancelled, the process lives
    my $stuck = series('fitnudge_pool_children_stuck_total{lane="sql"}');
    my @before = sort(children($s, 'sql'));
    lock_goals(1);
    my ($id, $e) = envelope('goals.create', $u->{id}, { title => 'cancelled', frequency => 1 });
    $s->redis(LPUSH => '{fn}:q:sql:n', $e);
    ok(poll(20, sub { series('fitnudge_pool_calls_cancelled_total{}') > 1 }), 'a stuck statement is given up');
    ok(poll(20, sub { series('fitnudge_pool_jobs_total{job="goals.create",result="retried"}') >= 1 }), 'its job is tried again');
    lock_goals(0);
    ok(poll(30, sub { $s->sql("SELECT count(*) FROM goals WHERE title = 'cancelled'") == 1 }), 'and done, once');
    is(series('fitnudge_pool_children_stuck_total{lane="sql"}'), $stuck, 'without a kill');

    # the manager
    my ($manager) = children($s, 'manager');
    kill STOP => $manager;
    ok(poll(20, sub { my ($new) = children($s, 'manager'); $new && $new != $manager }), 'a manager that hangs is replaced');
    ok(poll(15, sub { (pool_get($s, '/health')->code // 0) == 200 }), 'and all is well');
    is_deeply([consistent($s)], [], 'the queues are empty');
    my ($line) = pool_log_lines($s, qr/child died/);
    like($line->{how} // '', qr/^signal 9 \(KILL\)$/, 'the log names the signal');
};

subtest 'all of it sleeps' => sub {
    my @all = ($s->pid('pool'), map { $_->{pid} } @{ $s->pids->{pool_children} });
    my $stuck = () = $s->pool_log =~ /is stuck/g;
    kill STOP => @all;
    sleep 6.5;                  # more than the watchdog allows
    kill CONT => @all;
    write_ok('it goes on');
    my %now = map { $_->{pid} => 1 } @{ $s->pids->{pool_children} };
    is_deeply([grep { !$now{$_} } @all[1 .. $#all]], [], 'nobody was killed for it');
    is(scalar(() = $s->pool_log =~ /is stuck/g), $stuck, 'or found to be stuck');
};

subtest 'a crash names its job' => sub {
    watchdog();
    lock_goals(1);
    my ($id, $e) = envelope('goals.create', $u->{id}, { title => 'crashes', frequency => 1 }, attempt => 1);
    $s->redis(LPUSH => '{fn}:q:sql:h', $e);
    my ($inst) = $s->redis(ZRANGE => '{fn}:insts', 0, -1);
    my $slot;
    ok(poll(15, sub { ($slot) = grep { join('', $s->redis(LRANGE => $_, 0, -1)) =~ /\Q$id\E/ } $s->redis(KEYS => '{fn}:s:*') }), 'it is at work');
    my $pid;
    ok(poll(15, sub {
        ($pid) = map { $_->[0] } $s->rows("SELECT substring(application_name from 'sql (\\d+)') FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND application_name LIKE 'fitnudge: sql%'");
        defined $pid;
    }), 'in the database');
    my ($child) = map { $_->{pid} } grep { $_->{title} eq "fitnudge: sql $pid" } @{ $s->pids->{pool_children} };
    kill SEGV => $child;
    my $line;
    ok(poll(15, sub { ($line) = grep { ($_->{job_id} // '') eq $id && $_->{msg} =~ /child died/ } pool_log_lines($s) }), 'the log has its id');
    is($line->{job}, 'goals.create', 'its name');
    like($line->{how}, qr/signal 11 \(SEGV\)/, 'and the signal');
    lock_goals(0);
    ok(poll(30, sub { $s->sql("SELECT count(*) FROM goals WHERE title = 'crashes'") == 1 }), 'it is done by another');
    is(series('fitnudge_pool_jobs_total{job="goals.create",result="crashed"}'), 1, 'and counted');
};

subtest 'health' => sub {
    ok(poll(20, sub { (pool_get($s, '/health')->code // 0) == 200 }), 'well');
    $s->stop_redis;
    my $res;
    ok(poll(30, sub { $res = pool_get($s, '/health'); ($res->code // 0) == 503 }), 'without Redis it is not');
    is($res->json->{status}, 'unhealthy', 'says so') if $res->code;
    $s->start_redis;
    ok(poll(30, sub { (pool_get($s, '/health')->code // 0) == 200 }), 'and is again');
    $s->stop_postgres('immediate');
    ok(poll(40, sub { write_fails(); $res = pool_get($s, '/health'); ($res->code // 0) == 503 && ($res->json->{lanes}{sql}{status} // '') eq 'unhealthy' }), 'a lane that waits for PostgreSQL');
    $s->start_postgres;
    $s->{dbh} = undef;
    ok(poll(30, sub { (pool_get($s, '/health')->code // 0) == 200 }), 'and is well again');
    ok(poll(30, sub { (call($s, POST => '/goals', token => $u->{token}, json => { title => 'back', frequency => 3 })->code // 0) == 201 }), 'the edge has noticed as well');
    is_deeply([consistent($s)], [], 'the queues are empty');
};

# An executor learns that its connection is gone when it uses it
sub write_fails () { my ($id, $e) = envelope('goals.create', $u->{id}, { title => 'away', frequency => 1 }); $s->redis(LPUSH => '{fn}:q:sql:n', $e) }

subtest 'SIGHUP' => sub {
    my @old = children($s, 'sql');
    my $bad = pool_log_lines($s, qr/configuration is kept/);
    set_pool(qr/sql_processes 2;/, 'sql_processes two;');
    kill HUP => $s->pid('pool');
    my $line;
    ok(poll(15, sub { ($line) = (pool_log_lines($s, qr/configuration is kept/))[-1] }), 'a wrong configuration is refused');
    like($line->{error} // '', qr/"sql_processes": invalid value "two".* in \S*nginx\.conf:\d+/, 'with its place');
    is_deeply([sort(children($s, 'sql'))], [sort @old], 'nobody was replaced');
    is(series('fitnudge_pool_reloads_total{result="failed"}'), 1, 'counted');
    set_pool(qr/sql_processes two;/, 'sql_processes 9;');
    kill HUP => $s->pid('pool');
    ok(poll(15, sub { pool_log_lines($s, qr/configuration is kept/) == 2 }), 'so is one that contradicts itself');
    like((pool_log_lines($s, qr/configuration is kept/))[-1]{error}, qr/"sql_processes_max" is less than "sql_processes"/, 'and says so');

    # under load: nothing is lost, nothing is answered with an error
    set_pool(qr/sql_processes 9;/, 'sql_processes 3;');
    my (%code, @p);
    my $ua = agent(max_connections => 0);
    my $end = time + 4;
    my $loop;
    $loop = sub ($n) {
        return Mojo::Promise->resolve if time > $end;
        return $ua->post_p($s->url('/api/v1/goals') => { Authorization => "Bearer $u->{token}" } => json => { title => 'hup ' . ++$title, frequency => 1 })
            ->then(sub ($tx) { $code{ $tx->res->code // 'none' }++; $loop->($n) });
    };
    my $again = Mojo::IOLoop->recurring(0.7 => sub { kill HUP => $s->pid('pool') });
    Mojo::Promise->all(map { $loop->($_) } 1 .. 8)->wait;
    Mojo::IOLoop->remove($again);
    is_deeply([keys %code], ['201'], "$code{201} writes while it is reloaded") or diag(explain(\%code));
    ok(poll(20, sub { children($s, 'sql') == 3 && !grep { my $p = $_; grep { $p == $_ } @old } children($s, 'sql') }), 'new processes, by the new settings') or diag(join ' ', child_titles($s));
    is($s->sql("SELECT count(*) FROM goals WHERE title LIKE 'hup %'"), $code{201}, 'each once');
    is_deeply([consistent($s)], [], 'the queues are empty');
};

subtest 'the port moves' => sub {
    set_pool(qr/metrics_listen 127\.0\.0\.1:$port;/, "metrics_listen 0.0.0.0:$port;");
    kill HUP => $s->pid('pool');
    ok(poll(20, sub { open my $f, '<', '/proc/net/tcp' or die; my $hex = sprintf '00000000:%04X', $port; grep { /^\s*\d+: $hex \S+ 0A / } <$f> }), 'to an address that contains the old one');
    ok(poll(20, sub { (pool_get($s, '/health')->code // 0) == 200 }), 'and answers');
    set_pool(qr/metrics_listen 0\.0\.0\.0:$port;/, '');
    kill HUP => $s->pid('pool');
    ok(poll(20, sub { !defined pool_get($s, '/health')->code }), 'it is closed');
};

subtest 'SIGUSR1' => sub {
    my $file = $s->dir . '/log/own.log';
    set_pool(qr/log stderr;/, "log $file;");
    my (undef, undef, $uid, $gid) = getpwnam('www-data');
    if ($< == 0) { spew($file, '', 0644); chown $uid, $gid, $file; chown $uid, $gid, $s->dir . '/log' }
    kill HUP => $s->pid('pool');
    ok(poll(15, sub { -s $file }), 'the log is a file from now on');
    rename $file, "$file.1";
    kill USR1 => $s->pid('pool');
    ok(poll(15, sub { -e $file }), 'it is opened again');
    my ($pid) = children($s, 'auth');
    kill KILL => $pid;
    ok(poll(15, sub { slurp($file) =~ /a child died/ }), 'and written to');
    # children too: one that retries says so
    kill KILL => (children($s, 'manager'))[0];
    ok(poll(15, sub { slurp($file) =~ /"manager"/ }), 'by all');
};

subtest 'SIGTERM' => sub {
    # work in hand is finished
    lock_goals(1);
    my ($id, $e) = envelope('goals.create', $u->{id}, { title => 'last', frequency => 1 });
    $s->redis(LPUSH => '{fn}:q:sql:n', $e);
    ok(poll(15, sub { grep { join('', $s->redis(LRANGE => $_, 0, -1)) =~ /\Q$id\E/ } $s->redis(KEYS => '{fn}:s:*') }), 'a job is at work');
    kill TERM => $s->pid('pool');
    sleep 0.5;
    ok($s->alive('pool'), 'the pool waits for it');
    lock_goals(0);
    ok(poll(20, sub { !$s->alive('pool') }), 'and ends');
    is($s->{procs}{pool}{ended}, 'exit code 0', 'in order');
    is($s->sql("SELECT count(*) FROM goals WHERE title = 'last'"), 1, 'it is done');
    is_deeply([grep { !/inst/ && $s->redis(LLEN => $_) } $s->redis(KEYS => '{fn}:s:*')], [], 'the slots are empty');
    is_deeply([grep { length } $s->redis(ZRANGE => '{fn}:insts', 0, -1)], [], 'the instance has said goodbye');
};

subtest 'the master dies' => sub {
    $s->start_pool;
    ok(poll(20, sub { (my @c = @{ $s->pids->{pool_children} }) >= 4 }), 'there are children');
    my @pids = map { $_->{pid} } @{ $s->pids->{pool_children} };
    kill KILL => $s->pid('pool');
    ok(poll(15, sub { !grep { kill 0 => $_ } @pids }), 'none outlives it') or diag("@pids");
    $s->stop_process('pool', 'KILL', 5);
};

$s->assert_clean(qr/connect\(\)|No such file|Connection refused/);
done_testing;
