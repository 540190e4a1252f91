# fitnudgectl: what waits, what died, and what may be done about it.
use Mojo::Base -strict, -signatures;
use FindBin;
use lib "$FindBin::Bin/lib";
use FitNudge::Test::Contract;
use FitNudge::Test::Stack;
use Mojo::JSON qw(decode_json encode_json);
use POSIX ();
use Test::More;
use Time::HiRes qw(time);

my $s = FitNudge::Test::Stack->new(nginx_workers => 1)->start;
my $u = new_user($s);
make_pro($s, $u);

# (exit status, what was printed, the same with errors)
sub ctl (@args) {
    my $error = $s->dir . '/ctl.err';
    my $pid = open(my $out, '-|') // die "fork: $!";
    if (!$pid) {
        open STDERR, '>', $error;
        exec $s->dir . '/bin/fitnudgectl', '-c', $s->dir . '/nginx.conf', @args;

    }
    local $/;
    my $text = <$out> // '';
    close $out;
    my $status = $? >> 8;
    open my $f, '<', $error or die $!;
    return ($status, $text, $text . (<$f> // ''));
}

sub json (@args) {
    my ($status, $text) = ctl('--json', @args);
    return ($status, map { decode_json($_) } split /\n/, $text);
}

my $n = 0;
sub envelope ($job, $body, %o) {
    my $id = $o{id} // sprintf '01900000-0000-7000-8000-%012d', ++$n;
    my $now = int(time * 1000);
    return ($id, "w1 $id $job " . ($o{prio} // 'n') . " $now 0 0 " . ($o{user} // $u->{id}) . " - " . ($o{trace} // '-') . "\n$body");
}

sub request ($body, %params) {
    encode_json({ params => \%params, body => $body, meta => { request_id => 'req_ctl', ip => '127.0.0.1', user_agent => 'x', session_id => undef, if_match => undef,
        cookie => \0, tls => \0, idempotent => \0, fp => '0' x 64 } });
}

sub dead ($lane) { $s->redis(ZCARD => "{fn}:dead:$lane") }

# The pool finds `meta` at the end
sub ordered ($body) { my $j = request($body); my ($meta) = $j =~ /("meta":\{[^}]*\})/; return '{"params":{},"body":' . encode_json($body) . ",$meta}" }

subtest 'usage' => sub {
    my ($status, $text, $all) = ctl('--help');
    is($status, 0, 'help');
    like($text, qr/dead replay/, 'names the commands');
    for my $case ([[]], [['nosuch'], qr/nosuch/], [['ls'], qr/usage/], [['ls', 'nosuch'], qr/no lane "nosuch"/], [['show', 'x'], qr/not the id/], [['--nosuch', 'lanes'], qr/unknown option/],
        [['dead', 'eat', 'sql', 'all'], qr/usage/], [['dead', 'drop', 'sql', 'x'], qr/not the id/], [['ls', 'sql', '0'], qr/not a number/]) {
        my ($args, $like) = @$case;
        ($status, $text, $all) = ctl(@$args);
        is($status, 2, "wrong: @$args");
        like($all, $like, 'says why') if $like;
    }
};

subtest 'a quiet system' => sub {
    my ($status, $text) = ctl('lanes');
    is($status, 0, 'lanes');
    like($text, qr/^$_ +0 +0 +0 +0\.0 +0 +0 +-$/m, "$_ is empty") for qw(sql auth net);
    ($status, my @lane) = json('lanes');
    is_deeply([map { $_->{lane} // () } @lane], [qw(sql auth net)], 'as JSON');
    is($lane[-1]{in_work}, 0, 'nothing is in work');
    ($status, $text) = ctl('dead', 'ls', 'sql');
    is($status, 0, 'no dead letters');
    ($status) = ctl('show', '01900000-0000-7000-8000-00000000ffff');
    is($status, 1, 'no such job');
};

my ($unknown, $garbage, $broken);

subtest 'dead letters' => sub {
    ($unknown, my $a) = envelope('goals.juggle', request({ note => "secret\e[31m text" }));
    ($broken, my $b) = envelope('goals.create', 'no JSON at all');
    $garbage = "w1 garbage\n\x01\x02";
    $s->redis(LPUSH => '{fn}:q:sql:n', $_) for $a, $b, $garbage;
    ok(poll(20, sub { dead('sql') == 3 }), 'three') or diag(dead('sql'));
    my ($status, $text, $all) = ctl('dead', 'ls', 'sql');
    is($status, 0, 'dead ls');
    like($text, qr/^\Q$unknown\E +goals\.juggle +dead/m, 'the unknown one');
    like($text, qr/^\Q$broken\E +goals\.create +dead/m, 'the broken one');
    like($all, qr/malformed/, 'and the one that is none');
    my @list;
    ($status, @list) = json('dead', 'ls', 'sql');
    is_deeply([sort map { $_->{id} } @list], [sort $unknown, $broken], 'as JSON');
    is_deeply([map { $_->{where} } @list], ['dead', 'dead'], 'where');
    my %letter = map { $_->{id} => $_ } @list;
    is($letter{$unknown}{why}, 'no such job in this lane', 'why');
    like($letter{$broken}{why}, qr/\S/, 'and of the other') or diag(explain(\@list));
    like($_->{died_at}, qr/\A\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ\z/, 'when it died') for @list;
    is($_->{lane}, 'sql', 'of its lane') for @list;
    like($text, qr/^ +died \d{4}-\S+Z +no such job in this lane$/m, 'and for people');
    ($status, $text) = ctl('show', $broken);
    is($status, 0, 'show');
    like($text, qr/no JSON at all/, 'with its body');
    ($status, $text) = ctl('show', $unknown);
    unlike($text, qr/\e/, 'control characters do not reach the terminal');
    my (undef, @lane) = json('lanes');
    is($lane[0]{dead}, 3, 'lanes counts them');
    status_ok(call($s, POST => '/goals', token => $u->{token}, json => { title => 'fine', frequency => 1 }), 201, 'the lane goes on');
};

subtest 'sensitive ones' => sub {
    my ($id, $e) = envelope('auth.login', '{"params":{},"body":{"email":"a@b.cd","password":"hunter22"},"meta":"broken"', user => '-');
    $s->redis(LPUSH => '{fn}:q:auth:n', $e);
    ok(poll(20, sub { dead('auth') == 1 }), 'dead') or diag(dead('auth'));
    for my $args (['show', $id], ['dead', 'ls', 'auth'], ['--json', 'show', $id], ['--json', 'dead', 'ls', 'auth']) {
        my ($status, $text, $all) = ctl(@$args);
        is($status, 0, "@$args[0 .. $#$args - 1]");
        like($text, qr/\Q$id\E/, 'is shown');
        unlike($all, qr/hunter22|a\@b\.cd/, 'without what it held');
    }
    my $kept = join "\n", map { $s->redis(ZRANGE => "{fn}:dead:$_", 0, -1) } qw(sql auth);
    unlike($kept, qr/hunter22/, 'nor is it kept in Redis');
    unlike($s->pool_log, qr/hunter22/, 'or in the log');
    my ($status, $text, $all) = ctl('dead', 'replay', 'auth', $id);
    is($status, 1, 'and it cannot be replayed');
    like($all, qr/was not kept/, 'for a reason');
    is(dead('auth'), 1, 'so it stays');
    ($status, $text) = ctl('dead', 'drop', 'auth', $id);
    is($status, 0, 'it can be dropped');
    is(dead('auth'), 0, 'and is gone');
};

subtest 'replay' => sub {
    my ($id, $e) = envelope('goals.create', ordered({ title => 'risen', frequency => 1 }));
    $s->redis(ZADD => '{fn}:dead:sql', int(time * 1000), $e);
    my ($status, $text) = ctl('dead', 'replay', 'sql', $id);
    is($status, 0, 'replay') or diag($text);
    like($text, qr/replayed: 1/, 'says what it did');
    ok(poll(20, sub { $s->sql("SELECT count(*) FROM goals WHERE title = 'risen'") == 1 }), 'takes effect');
    is(scalar(grep { /\Q$id\E/ } $s->redis(ZRANGE => '{fn}:dead:sql', 0, -1)), 0, 'and is no dead letter any more');
    $s->redis(ZADD => '{fn}:dead:sql', int(time * 1000), $e);
    ctl('dead', 'replay', 'sql', $id);
    ok(poll(20, sub { !$s->redis(LLEN => '{fn}:q:sql:n') && !grep { !/inst/ && $s->redis(LLEN => $_) } $s->redis(KEYS => '{fn}:s:*') }), 'again');
    is($s->sql("SELECT count(*) FROM goals WHERE title = 'risen'"), 1, 'takes effect once');
    ($status, $text, my $all) = ctl('dead', 'replay', 'sql', $unknown);
    is($status, 1, 'an unknown job cannot be replayed');
    like($all, qr/no such job/, 'for a reason');
    ($status) = ctl('dead', 'replay', 'sql', '01900000-0000-7000-8000-00000000ffff');
    is($status, 1, 'no such letter');
    ($id, $e) = envelope('goals.create', ordered({ title => 'wanted again', frequency => 1 }));
    $s->redis(ZADD => '{fn}:dead:sql', int(time * 1000), $e);
    $s->redis(SADD => '{fn}:cancelled', $id);
    $s->redis(SET => "{fn}:j:$id", "failed $u->{id}");
    ctl('dead', 'replay', 'sql', $id);
    ok(poll(20, sub { $s->sql("SELECT count(*) FROM goals WHERE title = 'wanted again'") == 1 }), 'what was cancelled before is done');
    my ($st, @j) = json('dead', 'replay', 'sql', $broken);
    is($j[0]{replayed}, 1, 'a broken one goes back');
    ok(poll(20, sub { grep { /\Q$broken\E/ } $s->redis(ZRANGE => '{fn}:dead:sql', 0, -1) }), 'and dies again');
};

subtest 'drop' => sub {
    my ($status, $text) = ctl('dead', 'drop', 'sql', $unknown);
    is($status, 0, 'one');
    like($text, qr/dropped: 1/, 'says so');
    ($status, my @j) = json('dead', 'drop', 'sql', 'all');
    is($status, 0, 'all');
    is(dead('sql'), 0, 'none is left');
    ($status, $text) = ctl('dead', 'ls', 'sql');
    like($text, qr/no dead letters/, 'and the list says so');
};

subtest 'what waits' => sub {
    my ($id, $e) = envelope('goals.create', ordered({ title => 'waits', frequency => 1 }), prio => 'l');
    # nobody takes from a lane while nobody is there
    $s->stop_process('pool', 'TERM', 35);
    $s->redis(LPUSH => '{fn}:q:sql:l', $e);
    my ($status, $text) = ctl('ls', 'sql');
    like($text, qr/^\Q$id\E +goals\.create +waiting/m, 'ls');
    ($status, my @list) = json('ls', 'sql');
    is_deeply([map { "$_->{id} $_->{job} $_->{priority}" } @list], ["$id goals.create l"], 'as JSON');
    my (undef, @lane) = json('lanes');
    is($lane[0]{low}, 1, 'lanes');
    ($status, @list) = json('show', $id);
    is($list[0]{where}, 'waiting', 'show');
    like($list[0]{body}, qr/"waits"/, 'with its body');
    $s->start_pool;
    ok(poll(20, sub { $s->sql("SELECT count(*) FROM goals WHERE title = 'waits'") == 1 }), 'is done when the pool is back');
};

subtest 'budget' => sub {
    my $day = "(now() AT TIME ZONE 'UTC')::date";
    $s->sql("DELETE FROM ai_spending");
    my ($status, @row) = json('budget');
    is($status, 0, 'budget');
    is_deeply([map { [@$_{qw(period spent budget left)}] } @row], [['day', 0, 50, 50], ['month', 0, 1000, 1000]], 'nothing was spent');
    like($_->{ends}, qr/\A\d{4}-\d\d-\d\dT00:00:00Z\z/, "when the $_->{period} ends") for @row;
    $s->sql("INSERT INTO ai_spending (day, shard, cost) VALUES ($day, 1, 12345678), ($day, 2, 1), (date_trunc('month', $day)::date - 1, 1, 99000000)");
    ($status, @row) = json('budget');
    is_deeply([map { [@$_{qw(period spent left)}] } @row], [['day', 12.345679, 37.654321], ['month', 12.345679, 987.654321]], 'of all sessions together, and not that of another month');
    $s->sql("INSERT INTO ai_spending (day, shard, cost) VALUES ($day, 3, 60000000)");
    ($status, my $text) = ctl('budget');
    like($text, qr{^ +spent/\$ +budget/\$ +left/\$ +ends$}m, 'as a table');
    like($text, qr/^day +72\.345679 +50\.000000 +0\.000000 +\S+Z +nothing left/m, 'more than there was');
    like($text, qr/^month +72\.345679 +1000\.000000 +927\.654321 +\S+Z$/m, 'of the month there is some');
    $s->sql("DELETE FROM ai_spending");
};

subtest 'traces' => sub {
    my $trace = '0af7651916cd43dd8448eb211c80319c';
    my ($id, $e) = envelope('goals.create', 'no JSON at all', trace => "00-$trace-b7ad6b7169203331-01");
    my ($none, $f) = envelope('goals.create', 'no JSON at all', trace => '00-short-trace-01');
    my $before = dead('sql');
    $s->redis(LPUSH => '{fn}:q:sql:n', $_) for $e, $f;
    ok(poll(20, sub { dead('sql') == $before + 2 }), 'two dead jobs');
    my %line = map { my $l = eval { decode_json($_) }; $l && $l->{job_id} ? ($l->{job_id} => $l) : () } split /\n/, $s->pool_log;
    is($line{$id}{trace_id}, $trace, 'the line of the log names the trace');
    is($line{$none}{trace_id}, undef, 'and none where there is none');
    ctl('dead', 'drop', 'sql', $_) for $id, $none;
};

subtest 'without Redis' => sub {
    $s->stop_redis;
    my ($status, $text, $all) = ctl('lanes');
    is($status, 1, 'fails');
    like($all, qr/no connection to redis/, 'and says why');
    $s->start_redis;
};

$s->assert_clean(qr/connect\(\)|No such file|Connection refused/);
done_testing;
