# The clock: the table, its runs, two instances, a leader that dies, one that is stale.
use Mojo::Base -strict, -signatures;
use FindBin;
use lib "$FindBin::Bin/lib";
use FitNudge::Test::Clock;
use FitNudge::Test::Contract;
use FitNudge::Test::Stack;
use FitNudge::Util qw(slurp);
use Mojo::File qw(path);
use Test::More;
use Time::HiRes qw(sleep time);

my $source = path($FindBin::Bin)->sibling('worker', 'crontab.c')->slurp;
my %table = map { $_->[0] => $_ } map { [/"([^"]*)"/g, /FN_CRON_(\w+)/] } grep { /^    \{ "/ } split /\n/, $source;

subtest 'docs/time.md' => sub {
    cmp_ok(scalar keys %table, '>=', 5, 'the table of the program was read');
    my %page = map { $_->[0] => $_ } map { [map { s/\A\s*`?|`?\s*\z//gr } (split /(?<!\\)\|/)[1 .. 4]] } grep { /^\| `\w+` \| `[^`]+` \| (?:skip|last|all) \|/ }
        split /\n/, path($FindBin::Bin)->sibling('docs', 'time.md')->slurp;
    is_deeply([sort keys %page], [sort keys %table], 'has the same entries');
    for my $name (sort keys %table) {
        is($page{$name}[1], $table{$name}[1], "$name: schedule");
        is($page{$name}[2], lc $table{$name}[4], "$name: what becomes of missed times");
    }
};

my $s = FitNudge::Test::Stack->new(nginx_workers => 1, cron => 'on')->start;
my $clock = FitNudge::Test::Clock->new($s);

# A second instance, over the same Redis and database.
my $conf = slurp($s->dir . '/nginx.conf') =~ s/pool\.pid/two.pid/r;
path($s->dir, 'two.conf')->spurt($conf);
chmod 0644, $s->dir . '/two.conf';
sub start_two () {
    $s->spawn('two', { log => 'two.log', death => 'TERM', service => 1, env => $s->_sanitizer_env }, $s->dir . '/bin/fitnudge-worker', '-c', $s->dir . '/two.conf');
}
sub leader () { $s->redis(GET => '{fn}:lead') // '' }
sub leader_pid () { (split /:/, leader())[-2] // 0 }
sub epoch () { $s->redis(GET => '{fn}:epoch') // 0 }

subtest 'what was never run is run at once' => sub {
    my @now = grep { $table{$_}[4] ne 'SKIP' } sort keys %table;
    my $list;
    ok(poll(30, sub { $list = $clock->list; @now == grep { ($list->{$_}{last}{state} // '') eq 'done' } @now }), 'all of it') or diag(explain($list));
    is_deeply([sort keys %$list], [sort keys %table], 'cron ls knows every entry');
    is($list->{$_}{schedule}, $table{$_}[1], "$_: schedule") for sort keys %table;
    ok($s->sql('SELECT bool_and(?::timestamptz > now())', $list->{$_}{next}), "$_: next") for sort keys %table;
    my ($status, $text) = $clock->ctl('cron');
    is($status, 0, 'as a table');
    like($text, qr/^$_ +\Q$table{$_}[1]\E /m, "with $_") for sort keys %table;
    is($s->sql('SELECT count(*) FROM (SELECT name FROM cron_run GROUP BY name, due_at HAVING count(*) > 1) x'), 0, 'each once');
};

subtest 'by hand' => sub {
    ok($clock->run('cleanup'), 'a run') or diag($clock->error);
    my $list = $clock->list;
    ok($list->{cleanup}{last}{by_hand}, 'is listed as one');
    my $error = sub ($want, $like, @args) {
        my ($status, $text) = $clock->ctl('cron', @args);
        is($status, $want, "cron @args");
        like($text, $like, 'says why');
    };
    $error->(2, qr/no entry "nosuch"/, 'run', 'nosuch');
    $error->(2, qr/usage/, $_) for 'run', 'nosuch';
    $error->(2, qr/usage/, 'ls', 'x');
    my ($status, $text) = $clock->ctl('--json', 'cron', 'run', 'views');
    is_deeply([$status, $text], [0, qq({"begun":"views"}\n)], 'as JSON');
};

subtest 'a run that cannot be done' => sub {
    $s->psql('-c', q{CREATE FUNCTION pool.cron_broken(p_now timestamptz, p_state jsonb) RETURNS jsonb LANGUAGE plpgsql AS 'BEGIN RETURN 1 / 0; END'});
    $s->sql(q{SELECT count(*) FROM pool.cron_due(NULL, '[{"name":"broken","job":"clock.run"}]')});
    ok(poll(30, sub { $clock->hurry; ($s->sql("SELECT state FROM cron_run WHERE name = 'broken'") // '') eq 'failed' }), 'has failed')
        or diag($s->sql("SELECT state FROM cron_run WHERE name = 'broken'"));
    is($s->sql("SELECT count(*) FROM inbox WHERE job = 'clock.run' AND state = 'failed'"), 1, 'its job is dead');
};

my @user = map { new_user($s) } 1 .. 3;
my $n = 300;
for my $u (@user) {
    my $g = call($s, POST => '/goals', token => $u->{token}, json => { title => 'x', frequency => 1 })->json->{id};
    $s->sql("INSERT INTO reminders (user_id, goal_id, local_time, tz, follows) SELECT ?, ?, (now() AT TIME ZONE 'UTC' + interval '6 hours')::time, 'UTC', false FROM generate_series(1, ?) RETURNING 1", $u->{id}, $g, $n / @user);
}

# All reminders are due, for a date of the past; the date after that is not.
sub all_due ($day) {
    $s->sql("UPDATE reminders SET next_at = now() - interval '1 minute', next_date = ?, last_date = NULL RETURNING 1", $day);
}
sub all_sent ($want, $name) {
    ok(poll(60, sub { $clock->hurry; $s->sql("SELECT count(*) FROM inbox WHERE job = 'push.send' AND state = 'done'") >= $want }), "$name: nothing is lost")
        or diag($s->sql("SELECT count(*) FROM inbox WHERE job = 'push.send'"));
    ok($clock->quiet(40), "$name: all is done");
    is($s->sql("SELECT count(*) FROM inbox WHERE job = 'push.send'"), $want, "$name: nothing is doubled");
}

subtest "the leader's process is killed, again and again" => sub {
    all_due('2026-01-01');
    ok($clock->begin('reminders'), 'a run');
    for (1 .. 6) {
        my ($manager) = grep { $_->{title} =~ /manager/ } @{ $s->pids->{pool_children} };
        kill KILL => $manager->{pid} if $manager;
        eval { $s->kill_executor('sql') };
        sleep 0.15;
    }
    all_sent($n, 'killed');
};

subtest 'two instances, and the leader dies' => sub {
    start_two();
    ok(poll(30, sub { $s->redis(ZCARD => '{fn}:insts') == 2 }), 'two instances');
    is(leader_pid(), $s->pid('pool'), 'the first one leads');
    my $epoch = epoch();
    all_due('2026-01-02');
    ok($clock->begin('reminders'), 'a run');

    # begun, but its leader had no time to say so to Redis
    $s->sql(q{SELECT count(*) FROM pool.cron_due(NULL, '[{"name":"views","job":"clock.tidy"}]')});
    my @pids = ($s->pid('pool'), map { $_->{pid} } @{ $s->pids->{pool_children} });
    kill KILL => @pids;
    ok(poll(40, sub { leader_pid() == $s->pid('two') }), 'the second one leads') or diag(leader());
    cmp_ok(epoch(), '>', $epoch, 'with another epoch');
    all_sent(2 * $n, 'a dead leader');
    ok(poll(20, sub { !$s->sql("SELECT count(*) FROM cron_run WHERE state = 'running' AND name <> 'broken'") }), 'what was begun is done')
        or diag(join "\n", map { "@$_" } $s->rows("SELECT name, due_at, state FROM cron_run WHERE state = 'running'"));
    $s->stop_process('pool', 'KILL', 5);
    $s->start_pool;
    ok(poll(30, sub { grep { /:@{[$s->pid('pool')]}:/ } $s->redis(ZRANGE => '{fn}:insts', 0, -1) }), 'the first one is back');
};

subtest 'on time, once, and never by a stale leader' => sub {
    # as if somebody had led since: Redis has lost its data, or this leader was asleep
    my $base = $s->sql('UPDATE cron_epoch SET epoch = 1000 RETURNING 1000');
    my $since = $s->sql('SELECT clock_timestamp()');
    my $run;
    ok(poll(90, sub { ($run) = $s->rows("SELECT epoch, extract(epoch FROM started_at - due_at) FROM cron_run WHERE name = 'reminders' AND NOT manual AND due_at > ?", $since); $run }),
        'a minute passes') or return;
    cmp_ok($run->[0], '>', $base, 'the leader has an epoch beyond that');
    is(epoch(), $run->[0], 'as Redis says');
    cmp_ok($run->[1], '>=', 0, 'not before its time');
    like($s->log_text('pool.log') . $s->log_text('two.log'), qr/another leader has acted/, 'somebody has noticed');
    is($s->sql('SELECT count(*) FROM (SELECT name FROM cron_run WHERE NOT manual GROUP BY name, due_at HAVING count(*) > 1) x'), 0, 'each once');
    is($s->sql("SELECT count(*) FROM inbox i WHERE i.job LIKE 'clock.%' AND i.state = 'running'"), 0, 'none is left');
};

$s->stop_process('two', 'TERM', 35);
subtest 'without PostgreSQL' => sub {
    $s->stop_postgres;
    my ($status, $text) = $clock->ctl('cron', 'ls');
    is($status, 1, 'cron ls fails');
    like($text, qr/no connection to postgres/, 'and says why');
    $s->start_postgres;
    ok(poll(30, sub { $clock->run('views', 5) }), 'the clock goes on') or diag($clock->error);
};

subtest 'cron off' => sub {
    my $restart = sub ($cron) {
        $s->stop_process('pool', 'TERM', 35);
        $s->{cron} = $cron;
        $s->start_pool;
        return poll(30, sub { leader_pid() == $s->pid('pool') });
    };
    $s->psql('-c', 'DELETE FROM cron_run');             # so all is due at once
    ok($restart->('off'), 'a leader');
    my $swept = $s->sql("INSERT INTO outbox (job, user_id, request) SELECT 'push.send', ?, '{}' RETURNING id", $user[0]{id});
    ok(poll(30, sub { !$s->sql('SELECT count(*) FROM outbox WHERE id = ?', $swept) }), 'does what leaders do');
    ok($clock->run('views'), 'a run by hand is a run') or diag($clock->error);
    is($s->sql('SELECT count(*) FROM cron_run WHERE NOT manual'), 0, 'there is none by the clock');
    ok($restart->('on'), 'on again');
    ok(poll(30, sub { $s->sql('SELECT count(*) FROM cron_run WHERE NOT manual') > 0 }), 'what was missed is begun');
};

$s->assert_clean(qr/connect\(\)|No such file|Connection refused|terminating connection|server closed/);
done_testing;
