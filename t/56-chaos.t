# Whatever dies, hangs or comes twice: every job takes effect exactly once.  Each part sends jobs straight into the queues and counts
# rows of the database: distinct ids in, as many rows out, slots empty, nothing both waiting and dead.
#
# FITNUDGE_CHAOS_JOBS (300): jobs of a part. FITNUDGE_CHAOS_LONG=1 also stops an instance for 60 s with the times of production, in which
# an instance is dead after 30 s; in all else they are a tenth. It takes two minutes more.
use Mojo::Base -strict, -signatures;
use FindBin;
use lib "$FindBin::Bin/lib";
use DBI;
use FitNudge::Test::Contract;
use FitNudge::Test::Pool;
use FitNudge::Test::Sentinel;
use FitNudge::Test::Stack;
use FitNudge::Util qw(slurp spew);
use Test::More;
use Time::HiRes qw(sleep time);

my $BATCH = $ENV{FITNUDGE_CHAOS_JOBS} // 300;
my $round = 0;

# Times of the protocol in seconds instead of half minutes
my %fast = (FN_DEATH_MS => 3000, FN_BEAT_MS => 500, FN_RESCAN_MS => 1500, FN_WATCHDOG_MS => 60000);

sub stack (%o) {
    return FitNudge::Test::Stack->new(nginx_workers => 1, durable => 1, openai => 1, fault => 'none', env => {%fast}, pool => "sql_processes 3;\nsql_batch 4;\nrecycle_jobs 0;", %o);
}

sub user ($s) { my $u = new_user($s); make_pro($s, $u); return $u }

# Envelopes that each make one goal; more of the same round
sub more ($u, @n) { return map { my ($id, $e) = envelope('goals.create', $u->{id}, { title => "r$round $_", frequency => 1 }); $e } @n }
sub jobs ($u, $n = $BATCH) { $round++; return more($u, 1 .. $n) }

sub push_jobs ($s, @e) { while (my @some = splice @e, 0, 100) { $s->redis(LPUSH => '{fn}:q:sql:n', @some) } }

sub settled ($s, $name, $n = $BATCH, $seconds = 40) {
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my $rows = 0;
    my $r = $round;
    poll($seconds, sub { $rows = eval { $s->sql("SELECT count(*) FROM goals WHERE title LIKE 'r$r %'") } // 0; $rows >= $n });
    my @odd = consistent($s, $seconds);
    $rows = $s->sql("SELECT count(*) FROM goals WHERE title LIKE 'r$r %'");
    my $distinct = $s->sql("SELECT count(DISTINCT title) FROM goals WHERE title LIKE 'r$r %'");
    is("$rows $distinct @odd", "$n $n ", $name) or diag($s->log_tail('pool.log', 8));
}

sub deaths ($s, $lane) { scalar(() = $s->pool_log =~ /"a child died","pid":\d+,"role":"$lane"/g) }

sub restart_pool ($s, %env) {
    $s->stop_process('pool', 'TERM', 35) if $s->pid('pool');
    local $s->{env} = { %{ $s->{env} }, %env };
    local $s->{fault} = delete $s->{env}{FN_FAULT} // 'none';
    $s->start_pool;
}

my $s = stack()->start;
my $u = user($s);

subtest 'kill -9 at each point of the loop' => sub {
    for my $point (qw(executor.taken executor.after_commit executor.before_finish executor.after_finish)) {
        my $before = deaths($s, 'sql');
        my $sent = $BATCH;
        push_jobs($s, jobs($u));
        restart_pool($s, FN_FAULT => "$point:1/12");
        # more work until somebody has drawn the lot
        my $died = poll(120, sub {
            return 1 if deaths($s, 'sql') > $before;
            return 0 if $s->redis(LLEN => '{fn}:q:sql:n');
            push_jobs($s, more($u, $sent + 1 .. $sent + 50));
            $sent += 50;
            return 0;
        });
        ok($died, "$point: there were deaths");
        poll(20, sub { my @odd = consistent($s, 0); !@odd });
        restart_pool($s);
        poll(20, sub { my @odd = consistent($s, 0); !@odd });
        # who was at work in three deaths is held to be the cause: an operator sends it again
        system($s->dir . '/bin/fitnudgectl', '-c', $s->dir . '/nginx.conf', 'dead', 'replay', 'sql', 'all') if $s->redis(ZCARD => '{fn}:dead:sql');
        settled($s, $point, $sent);
        note("$point: " . (deaths($s, 'sql') - $before) . ' deaths');
    }
};

subtest 'kill -9 while it calls a provider' => sub {
    my @goal = map { call($s, POST => '/goals', token => $u->{token}, json => { title => "call $_", frequency => 3 })->json->{id} } 1 .. 12;
    for my $point (qw(net.after_call net.after_finish)) {
        my $deaths = deaths($s, 'net');
        restart_pool($s, FN_FAULT => "$point:1/6");
        my $before = $s->sql('SELECT count(*) FROM motivations');
        my $sent = 0;
        for (1 .. 60) {
            if (my @cached = grep { length } $s->redis(KEYS => 'ai:message:*')) { $s->redis(DEL => @cached) }
            my @e = map { (envelope('motivation.generate', $u->{id}, { goal_id => $_ }))[1] } @goal;
            $s->redis(LPUSH => '{fn}:q:sql:n', @e);
            $sent += @e;
            poll(30, sub { my @odd = consistent($s, 0); !@odd });
            last if deaths($s, 'net') > $deaths;
        }
        cmp_ok(deaths($s, 'net'), '>', $deaths, "$point: there were deaths");
        restart_pool($s);
        is_deeply([consistent($s)], [], "$point: nothing is left");
        my $dead = grep { /^w1 \S+ motivation/m } $s->redis(ZRANGE => '{fn}:dead:net', 0, -1), $s->redis(ZRANGE => '{fn}:dead:sql', 0, -1);
        my $rows = $s->sql('SELECT count(*) FROM motivations') - $before;
        is($rows + $dead, $sent, "$point: each message once, or a dead letter ($dead)");
        $s->redis(DEL => '{fn}:dead:net', '{fn}:dead:sql');
    }
};

# They were opened, and somebody else's death sends them back: from then on they are whose who takes them.
subtest 'in the batch of a job that kills' => sub {
    my $before = $s->sql('SELECT count(*) FROM motivations');
    my $deaths = deaths($s, 'sql');
    my @goal = map { my $id = sprintf '00000000-0000-4000-8000-0000beef%04d', $_; $s->sql("INSERT INTO goals (id, user_id, title, frequency) VALUES ('$id', '$u->{id}', 'batch $_', 3)"); $id } 1 .. 3;
    my @e = map { (envelope('motivation.generate', $u->{id}, { goal_id => $_ }))[1] } @goal;
    $s->stop_process('pool', 'TERM', 35);
    # it runs alone, after the others
    push_jobs($s, @e, (envelope('goals.create', $u->{id}, { title => 'kills', frequency => 1 }, attempt => 1))[1]);
    restart_pool($s, FN_FAULT => 'executor.alone:1/1');
    ok(poll(30, sub { deaths($s, 'sql') > $deaths }), 'there were deaths');
    restart_pool($s);
    is_deeply([consistent($s)], [], 'nothing is left');
    # one that was alone three times is poison itself
    my $dead = grep { /^w1 \S+ motivation/m } $s->redis(ZRANGE => '{fn}:dead:sql', 0, -1);
    is($s->sql('SELECT count(*) FROM motivations') - $before + $dead, 3, "each message is there, or a dead letter ($dead)");
    $s->redis(DEL => '{fn}:dead:sql');
};

subtest 'the same envelope many times' => sub {
    my @e = jobs($u, 50);
    push_jobs($s, map { @e } 1 .. 4);
    settled($s, 'four deliveries', 50);
    push_jobs($s, @e);
    settled($s, 'and a fifth, later', 50);
};

# All of an instance is stopped for so many seconds, or until another one has done its work
sub sleeps ($s, $u, $asleep = 0) {
    my @all = ($s->pid('pool'), map { $_->{pid} } @{ $s->pids->{pool_children} });
    my $lock = DBI->connect("dbi:Pg:dbname=$s->{database};host=$s->{sock};user=postgres", undef, undef, { RaiseError => 1, AutoCommit => 0, AutoInactiveDestroy => 1 });
    $lock->do('LOCK TABLE goals IN ACCESS EXCLUSIVE MODE');
    push_jobs($s, jobs($u, 60));
    ok(poll(15, sub { grep { $s->redis(LLEN => $_) } grep { !/inst/ } $s->redis(KEYS => '{fn}:s:*') }), 'it has jobs in hand');
    kill STOP => @all;
    my $stopped = time;
    # their statements go on without them, and have not been read when they are done by others
    $lock->rollback;
    $lock->disconnect;
    my $second = $s->spawn('pool2', { log => 'pool2.log', death => 'TERM', service => 1, env => { %{ $s->_sanitizer_env } } }, $s->dir . '/bin/fitnudge-worker', '-c', other_conf($s));
    settled($s, 'another instance does its work', 60, 90);
    poll($asleep, sub { time - $stopped >= $asleep });
    kill CONT => @all;
    push_jobs($s, jobs($u, 60));
    settled($s, 'when it wakes up it does no harm', 60, 90);
    my @inst = grep { length } $s->redis(ZRANGE => '{fn}:insts', 0, -1);
    ok(poll(15, sub { @inst = grep { length } $s->redis(ZRANGE => '{fn}:insts', 0, -1); @inst == 2 }), 'and lives on') or diag("@inst");
    like($s->log_text('pool2.log'), qr/an instance is dead, its jobs go back/, 'it was declared dead');
    is(scalar(() = $s->pool_log =~ /is stuck/g), 0, 'and nobody of it was found to be stuck');
}

subtest 'an instance sleeps beyond its death' => sub { sleeps($s, $u) };

sub other_conf ($s) {
    my $text = slurp($s->dir . '/nginx.conf') =~ s/^\s*pid ".*pool\.pid";\n//mr;
    spew($s->dir . '/second.conf', $text, 0644);
    return $s->dir . '/second.conf';
}

subtest 'two who think they lead' => sub {
    my ($key) = grep { /lead/ } $s->redis(KEYS => '{fn}:lead*');
    my $epoch = $s->redis(GET => '{fn}:epoch');
    # the lease is taken away again and again: both sweep, publish and run what a leader runs
    my $end = time + 4;
    my @e = jobs($u);
    while (time < $end) {
        push_jobs($s, splice @e, 0, 40);
        $s->redis(DEL => '{fn}:lead');
        sleep 0.15;
    }
    push_jobs($s, @e);
    settled($s, 'nothing happens twice');
    cmp_ok($s->redis(GET => '{fn}:epoch'), '>', $epoch, 'the epoch has grown');
    is($s->sql("SELECT count(*) FROM change_outbox WHERE created_at < now() - interval '20 s'"), 0, 'and nothing waits to be published');
    $s->stop_process('pool2', 'TERM', 35);
};

subtest 'Redis is restarted' => sub {
    push_jobs($s, jobs($u));
    for my $signal (qw(TERM KILL)) {
        sleep 1.1 if $signal eq 'KILL';             # appendfsync everysec
        $s->stop_process('redis', $signal, 15);
        $s->start_redis;
    }
    settled($s, 'nothing is lost');
};

subtest 'PostgreSQL is restarted' => sub {
    push_jobs($s, jobs($u, $BATCH * 3));
    for my $mode (qw(immediate fast)) {
        $s->{dbh} = undef;
        $s->stop_postgres($mode);
        $s->start_postgres;
        sleep 0.2;
    }
    settled($s, 'nothing is lost', $BATCH * 3);
};

subtest 'the disk of the AOF is full' => sub {
    plan skip_all => 'only root may mount' if $< != 0;
    my $dir = $s->dir . '/redis';
    $s->stop_redis;
    my @st = stat $dir;
    my $mounted = system(qw(mount -t tmpfs -o), "size=6m,mode=700,uid=$st[4],gid=$st[5]", 'tmpfs', $dir) == 0;
    plan skip_all => 'tmpfs cannot be mounted here' if !$mounted;
    my $ok = eval {
        $s->start_redis;
        push_jobs($s, jobs($u, 50));
        settled($s, 'at first there is room', 50);
        my @e = jobs($u, 100);
        # jobs in hand and in the queue when the disk fills
        push_jobs($s, @e[0 .. 49]);
        system('sh', '-c', "dd if=/dev/zero of='$dir/filler' bs=64k count=200 2>/dev/null");
        $s->redis(SET => "filler$_", 'x' x 4000) for 1 .. 5;
        ok(poll(15, sub { ($s->redis(SET => 'probe', 'x' x 4000))[0] =~ /MISCONF/ }), 'Redis refuses writes');
        unlink "$dir/filler";
        ok(poll(20, sub { ($s->redis(SET => 'probe', 'x'))[0] eq 'OK' }), 'until there is room again');
        push_jobs($s, @e[50 .. 99]);
        settled($s, 'nothing is lost, nothing happens twice', 100);
        1;
    };
    diag($@) if !$ok;
    ok($ok, 'to the end');
    $s->stop_redis;
    system('umount', $dir);
    $s->start_redis;
};

$s->assert_clean(qr/connect\(\)|No such file|Connection refused/);
$s->stop;

subtest 'failover by Sentinel' => sub {
    my $t = stack();
    my $r = FitNudge::Test::Sentinel->new($t)->start;
    $t->start;
    my $v = user($t);
    my @e = jobs($v);
    push_jobs($t, @e);
    # replication is asynchronous: what the old master took in its last moment is gone, and senders send it again
    ok($r->replicated, 'the replica has caught up');
    my $before = $r->master;
    $r->kill_master;
    ok($r->moved($before), 'another one is the master');
    push_jobs($t, @e);
    settled($t, 'each job once, although all were sent twice');
    $t->assert_clean(qr/connect\(\)|No such file|Connection refused|sentinel/i);
};

subtest 'an instance sleeps for a minute' => sub {
    plan skip_all => 'FITNUDGE_CHAOS_LONG is not set' if !$ENV{FITNUDGE_CHAOS_LONG};
    my $t = stack(env => {})->start;
    sleeps($t, user($t), 60);
    $t->assert_clean;
};

done_testing;
