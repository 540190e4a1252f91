# Outside services that fail in every way: what the user gets, what the log says, whom the breaker keeps from asking again.
use Mojo::Base -strict, -signatures;
use FindBin;
use lib "$FindBin::Bin/lib";
use FitNudge::Test::Contract;
use FitNudge::Test::Stack;
use FitNudge::Util qw(free_port run_quiet);
use Mojo::JSON qw(decode_json encode_json);
use Test::More;
use Time::HiRes qw(time);

# A machine may be busy: an answer has 3 s; one that is to be late takes longer
my $ONE_TRY = "openai_timeout 3s;\nopenai_attempts 2;\nopenai_breaker_failures 5;\nopenai_breaker_time 1h;";
our $s = FitNudge::Test::Stack->new(openai => 1, nginx_workers => 1, pool => $ONE_TRY)->start;

# A goal of their own for each question, so that no answer comes from the cache
my $n = 0;
sub someone () { state %u; return $u{$s} //= do { my $u = new_user($s); make_pro($s, $u); $u } }
sub goal ($u = someone()) {
    my $id = sprintf '00000000-0000-4000-9000-%012d', ++$n;
    $s->sql("INSERT INTO goals (id, user_id, title, frequency) VALUES ('$id', '$u->{id}', 'Goal $n', 3)");
    return $id;
}
sub generate () { call($s, POST => '/motivation/generate', token => someone()->{token}, json => { goal_id => goal() }) }

sub ctl (@args) {
    my $dir = $s->dir;
    my $out = qx($dir/bin/fitnudgectl -c $dir/nginx.conf @args 2>&1);
    return ($? >> 8, $out);
}

# How the pool sees the service, at most two seconds ago
sub breaker ($service = 'openai') {
    my (undef, $text) = ctl('--json', 'breaker');
    my ($row) = grep { $_->{service} eq $service } map { decode_json($_) } grep { /\A\{/ } split /\n/, $text;
    return $row // {};
}
sub breaker_ok ($name, %want) {
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my $got;
    ok(poll(20, sub { $got = breaker(); !grep { ($got->{$_} // '') ne $want{$_} } keys %want }), $name) or diag(explain($got));
}

sub logged ($what) { my @all = $s->pool_log =~ /\Q"msg":"$what"/g; return scalar @all }

# Closed, and with everything forgotten
sub fresh () {
    my $before = logged('breaker closed by an operator');
    my ($status, $text) = ctl('breaker', 'close', 'openai');
    $status == 0 && $text eq "openai: closed\n" or BAIL_OUT("breaker close: $status $text");
    poll(20, sub { logged('breaker closed by an operator') > $before }) or BAIL_OUT('nobody heard that the breaker is closed');
}

# One question: (where the message is from, how often the service was asked)
sub ask () {
    my $calls = $s->openai_calls;
    my $res = generate();
    return (($res->code // 0) == 200 ? $res->json->{source} : 'status ' . ($res->code // 'none'), $s->openai_calls - $calls);
}
sub ask_ok ($mode, $source, $calls, $name, %opt) {
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    $s->openai_mode($mode, %opt);
    my @got = ask();
    is("@got", "$source $calls", $name);
}

subtest 'outcomes' => sub {
    # mode, source, calls, does each count as a failure of the service
    my @case = (
        ['ok', 'ai', 1, 0, 'success'],
        ['401', 'fallback', 1, 0, 'a refused key is not argued with'],
        ['429', 'ai', 2, 0, 'busy once', retry_after => 1],
        ['429', 'fallback', 2, 0, 'busy each time', count => 9, retry_after => 0],
        ['quota', 'fallback', 1, 0, 'an empty account'],
        ['500', 'fallback', 2, 1, 'an error'],
        ['slow', 'fallback', 2, 1, 'slower than the timeout', delay_ms => 8000],
        ['hang', 'fallback', 2, 1, 'silence'],
        ['cut', 'fallback', 2, 1, 'an answer cut in the middle'],
        ['garbage', 'fallback', 1, 0, 'an answer that is none'],
    );
    for my $case (@case) {
        my ($mode, $source, $calls, $bad, $name, %opt) = @$case;
        fresh();
        my $failures = breaker()->{failures} // 0;
        ask_ok($mode, $source, $calls, $name, %opt);
        breaker_ok($bad ? "$name: failures" : "$name: no failure", state => 'closed', failures_in_row => $bad ? $calls : 0);
    }
    is(logged('an operator is needed'), 2, 'two reasons to tell an operator');
    like($s->pool_log, qr/OpenAI: the key is refused/, 'the key');
    like($s->pool_log, qr/OpenAI: the account has no credit left/, 'the credit');
    ask_ok('401', 'fallback', 1, 'the key again');
    is(logged('an operator is needed'), 3, 'another reason than the last is told');
    ask_ok('401', 'fallback', 1, 'and again');
    is(logged('an operator is needed'), 3, 'the same is not told twice');
};

subtest 'paused' => sub {
    fresh();
    ask_ok('429', 'fallback', 1, 'a pause longer than anybody waits', count => 1, retry_after => 600);
    $s->openai_mode('ok');
    is(join(' ', ask()), 'fallback 0', 'nobody asks during it');
    my $got;
    ok(poll(20, sub { $got = breaker(); ($got->{paused_ms} // 0) > 0 }), 'fitnudgectl knows') or diag(explain($got));
    is($got->{state}, 'closed', 'the breaker has nothing to do with it');
    fresh();
    is(join(' ', ask()), 'ai 1', 'an operator ends it');
};

subtest 'the breaker' => sub {
    fresh();
    my $before = logged('breaker opened');
    $s->openai_mode('500');
    is(join(' ', ask()), 'fallback 2', 'two failures');
    is(join(' ', ask()), 'fallback 2', 'four');
    is(join(' ', ask()), 'fallback 1', 'the fifth opens it');
    is(logged('breaker opened'), $before + 1, 'the log says so');
    like($s->redis(GET => '{fn}:cb:openai') // '', qr/\Aopen \d+ \d+ \S+\z/, 'other hosts are told');
    $s->openai_mode('ok');
    is(join(' ', ask()), 'fallback 0', 'while it is open nobody is asked');
    breaker_ok('open', state => 'open');
    my (undef, $table) = ctl('breaker');
    like($table, qr/^service +state .*^openai +open +0\/5 +\d/ms, 'as a table');

    fresh();
    is(join(' ', ask()), 'ai 1', 'closed by an operator');
};

subtest 'the trial' => sub {
    my $hold = sub {
        fresh();
        my $heard = logged('breaker opened by somebody else');
        my ($status, $text) = ctl('breaker', 'open', 'openai', '--until', '+2s');
        is($status, 0, 'an operator opens it for a while') or diag($text);
        like($text, qr/\Aopenai: open, until \d{4}-/, 'until when');
        # not heard when the machine was too busy: then it is over, which is as good
        poll(4, sub { logged('breaker opened by somebody else') > $heard });
    };
    $hold->();
    $s->openai_mode('500');
    my $calls = 0;
    my $opened = logged('breaker opened');
    ok(poll(20, sub { $calls += (ask())[1]; logged('breaker opened') > $opened }), 'a failing trial opens it again') or diag($s->pool_log);
    $s->openai_mode('ok');
    is(join(' ', ask()), 'fallback 0', 'for its full time');

    $hold->();
    ok(poll(20, sub { (ask())[0] eq 'ai' }), 'a good trial');
    is(join(' ', ask()), 'ai 1', 'closes it');
    breaker_ok('closed', state => 'closed');
};

# A job that nobody waits for; its id
sub background () {
    my $id = sprintf '01900000-0000-7000-8000-%012d', ++$n;
    my $meta = encode_json({ request_id => 'req_later', idempotent => \0, fp => '0' x 64 });
    my $body = '{"params":{},"body":' . encode_json({ goal_id => goal() }) . ",\"meta\":$meta}";
    $s->redis(LPUSH => '{fn}:q:sql:n', "w1 $id motivation.generate n " . int(time * 1000) . ' 0 0 ' . someone()->{id} . " - -\n$body");
    return $id;
}
# What is put off: (how many, header of the first, when it is due in ms since 1970)
sub delayed () { my @z = $s->redis(ZRANGE => '{fn}:z:net', 0, -1, 'WITHSCORES'); return (scalar(grep { /\Aw1 / } @z), @z[0, -1]) }
sub due () { $s->redis(EVAL => "for _, j in ipairs(redis.call('ZRANGE', KEYS[1], 0, -1)) do redis.call('ZADD', KEYS[1], 0, j) end", 1, '{fn}:z:net') }

subtest 'nobody waits' => sub {
    fresh();
    my $rows = sub { $s->sql("SELECT count(*) FROM motivations WHERE source = 'ai'") };
    my $ai = $rows->();
    $s->openai_mode('500', count => 2);
    my $id = background();
    ok(poll(20, sub { $rows->() == $ai + 1 }), 'after its tries it is tried again later, and then there is a message') or diag(join "\n", delayed());

    ctl('breaker', 'open', 'openai');
    poll(20, sub { (ask())[1] == 0 }) or BAIL_OUT('nobody heard that the breaker is open');
    $id = background();
    my @z;
    ok(poll(20, sub { @z = delayed(); $z[0] }), 'the breaker is open: put off');
    like($z[1] // '', qr/\Aw1 $id motivation\.generate:call n \d+ 0 0 /, 'without spending an attempt');
    due();
    ok(poll(20, sub { @z = delayed(); $z[0] && $z[2] > 1e12 }), 'and again') or diag("@z");
    like($z[1] // '', qr/\Aw1 $id motivation\.generate:call n \d+ 0 0 /, 'still without');
    fresh();
    $ai = $rows->();
    due();
    ok(poll(20, sub { $rows->() == $ai + 1 }), 'closed: it is done');
};

subtest 'fitnudgectl' => sub {
    for my $case ([['breaker', 'open'], 2, qr/usage/], [['breaker', 'close', 'nosuch'], 2, qr/no service "nosuch"/], [['breaker', 'open', 'openai', '--until', 'soon'], 2, qr/neither a time/],
        [['breaker', 'open', 'openai', '--until', '+9999d'], 2, qr/neither a time/], [['breaker', 'open', 'openai', '--until', '2001-01-01T00:00:00Z'], 2, qr/neither a time/],
        [['breaker', 'mend', 'openai'], 2, qr/usage/]) {
        my ($args, $status, $like) = @$case;
        my @got = ctl(@$args);
        is($got[0], $status, "@$args");
        like($got[1], $like, 'and why');
    }
    my ($status, $text) = ctl('--json', 'breaker', 'close', 'r2');
    is_deeply(decode_json($text), { service => 'r2', state => 'closed', until => undef }, 'as JSON');
    $s->stop_process('pool', 'TERM', 35);
    $s->redis(DEL => '{fn}:insts');
    ctl('breaker', 'open', 'fcm');
    is(breaker('fcm')->{state}, 'open', 'without a pool: what it will hear');
    is(breaker('smtp')->{state}, 'closed', 'and of the others');
    $s->start_pool;
    ok(poll(20, sub { my $b = breaker('fcm'); ($b->{state} // '') eq 'open' && $b->{instance} }), 'and it hears');
    $s->assert_clean;
};

subtest 'a wrong certificate' => sub {
    my $port = free_port('127.0.0.1');
    local $s = FitNudge::Test::Stack->new(openai => 1, nginx_workers => 1, openai_base_url => "https://127.0.0.1:$port/v1", pool => $ONE_TRY)->prepare;
    my $dir = $s->dir;
    run_quiet("$dir/log/openssl.log", qw(openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=wrong -addext),
        'subjectAltName=IP:127.0.0.1', '-keyout', "$dir/tls.key", '-out', "$dir/tls.crt");
    $s->spawn('tls', { log => 'tls.log', death => 'TERM' }, qw(openssl s_server -quiet -accept), $port, '-key', "$dir/tls.key", '-cert', "$dir/tls.crt", '-www');
    $s->start;
    my $res = generate();
    status_ok($res, 200, 'answered');
    is($res->json->{source}, 'fallback', 'without the service');
    is($s->openai_calls, 0, 'which has heard nothing');
    like($s->pool_log, qr/"provider failed".*"openai".*"error":"SSL /, 'the log says why');
    breaker_ok('a failure of the service', failures_in_row => 2);
    $s->assert_clean;
};

done_testing;
