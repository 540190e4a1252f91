# Maintenance mode: one command, and every process of every edge refuses; another one, and all of them serve again.
use Mojo::Base -strict, -signatures;
use FindBin;
use lib "$FindBin::Bin/lib";
use FitNudge::Test::Contract;
use FitNudge::Test::Stack;
use FitNudge::Util qw(free_port slurp spew);
use Mojo::JSON qw(decode_json encode_json);
use Mojo::Util qw(decode encode);
use Test::More;
use Time::HiRes qw(sleep time);

my ($bypass, $local, $second, $h2) = map { free_port() } 1 .. 4;
my $s = FitNudge::Test::Stack->new(
    nginx_workers => 2,
    http => <<"END",
geo \$operator { default 0; 127.0.0.1 1; }
server { listen 127.0.0.1:$h2 http2; fitnudge on; }
server { listen 127.0.0.1:$bypass; fitnudge on; fitnudge_maintenance_bypass \$operator; }
server { listen 127.0.0.1:$local; fitnudge on; fitnudge_cors_origins https://app.example; fitnudge_maintenance on;
         location /api/v1/auth/ { fitnudge_maintenance off; } location /api/v1/users/ { fitnudge_maintenance auto; } }
END
    server => 'fitnudge_cors_origins https://app.example;',
)->start;
my $u = new_user($s);
my %p = (token => $u->{token});
my $default = 'System maintenance in progress.';

# (exit status, what was printed with errors)
sub ctl (@args) {
    my $pid = open(my $out, '-|') // die "fork: $!";
    if (!$pid) {
        open STDERR, '>&', \*STDOUT;
        exec $s->dir . '/bin/fitnudgectl', '-c', $s->dir . '/nginx.conf', @args;
    }
    local $/;
    my $text = <$out> // '';
    close $out;
    return ($? >> 8, $text);
}

sub get ($path, %o) { call($s, GET => $path, %p, ua => agent(max_connections => 0), %o) }
sub at ($port, $path, %o) { local $s->{port} = $port; get($path, %o) }

# Every process has said the same twenty times in a row; they share out new connections as they like
sub everywhere ($status, $path = '/users/me') {
    return poll(10, sub { !grep { ($_->code // 0) != $status } map { get($path) } 1 .. 20 });
}

subtest 'usage' => sub {
    for my $case ([[], qr/usage/], [['maybe'], qr/usage/], [['on', '--until'], qr/usage/], [['on', '--soon', 'x'], qr/usage/], [['off', 'now'], qr/usage/],
        [['on', '--until', 'tomorrow'], qr/neither a time/], [['on', '--until', '2020-01-01T00:00:00Z'], qr/has passed/], [['on', '--until', '+0s'], qr/not a duration/],
        [['on', '--until', '+x'], qr/not a duration/], [['on', '--until', '2199-01-01T00:00:00Z'], qr/more than a year/], [['on', '--until', '+9999999999d'], qr/more than a year|not a duration/],
        [['on', '--message', ''], qr/must not be empty/], [['on', '--message', "a\x07b"], qr/control characters/], [['on', '--message', "\xff"], qr/UTF-8/],
        [['on', '--message', 'x' x 501], qr/500 characters/], [[qw(on --message a --until +1m --message)], qr/usage/]) {
        my ($args, $like) = @$case;
        my ($status, $text) = ctl('maintenance', @$args);
        is($status, 2, "wrong: @{[map { substr $_, 0, 40 } @$args]}") or diag($text);
        like($text, $like, 'says why');
    }
    my ($status, $text) = ctl(qw(maintenance status));
    is("$status $text", "0 maintenance: off\n", 'nothing was begun');
    ($status, $text) = ctl(qw(--json maintenance status));
    is_deeply(decode_json($text), { maintenance => \0 }, 'nor as JSON');
};

subtest 'on' => sub {
    my $message = qq{Back "soon" \\o/\n\x{1F3C3} <b>caf\x{e9}</b>};
    my ($status, $text) = ctl('maintenance', 'on', '--message', encode('UTF-8', $message), '--until', '+30m');
    is($status, 0, 'on') or diag($text);
    like($text, qr/^maintenance: on since \S+Z, until \S+Z$/m, 'says so');
    ok(poll(2, sub { get('/users/me')->code == 503 }), 'within a second or so');
    ok(everywhere(503), 'in every process');

    for my $case ([GET => '/users/me'], [POST => '/goals', json => { title => 'x', frequency => 1 }], [GET => '/auth/csrf'], [GET => '/api/v1/openapi.json'], [GET => '/nosuch'],
        [PUT => '/goals'], [POST => '/auth/login', json => {}], [POST => '/goals', body => 'x' x 60000]) {
        my ($method, $path, %o) = @$case;
        my $res = call($s, $method, $path, %p, %o);
        error_ok($res, 503, "$method $path", constraint => 'maintenance');
        is(($res->json // {})->{error}{message}, $message, 'the message');
        my $after = $res->headers->header('Retry-After') // '';
        ok($after =~ /\A\d+\z/ && $after > 1700 && $after <= 1800, 'Retry-After') or diag($after);
        is_deeply($res->headers->every_header('Retry-After'), [$after], 'once');
    }
    error_ok(call($s, GET => '/users/me', headers => { Authorization => 'Bearer nonsense' }), 503, 'before tokens');
    my $head = call($s, HEAD => '/users/me', %p);
    status_ok($head, 503, 'HEAD');
    is($head->body, '', 'no body');

    my $pre = call($s, OPTIONS => '/goals', headers => { Origin => 'https://app.example', 'Access-Control-Request-Method' => 'POST' });
    status_ok($pre, 204, 'a preflight passes');
    is($pre->headers->header('Access-Control-Allow-Origin'), 'https://app.example', 'so that the page');
    is(get('/goals', headers => { Origin => 'https://app.example' })->headers->header('Access-Control-Allow-Origin'), 'https://app.example', 'may read the notice');

    my $get = "GET /api/v1/users/me HTTP/1.1\r\nHost: x\r\n\r\n";
    my @res = raw($s, "POST /api/v1/goals HTTP/1.1\r\nHost: x\r\nContent-Length: 60000\r\n\r\n" . 'x' x 60000 . $get, n => 2);
    is_deeply([map { $_->code } @res], [503, 503], 'an unread body does not spoil what follows');

    for my $args ([], ['-X', 'DELETE']) {
        my $out = do { open my $fh, '-|', qw(curl -s -i --max-time 20 --http2-prior-knowledge), @$args, "http://127.0.0.1:$h2/api/v1/goals" or die $!; local $/; <$fh> };
        like($out, qr{\AHTTP/2 503 \r\n.*^retry-after: \d+\r\n.*"maintenance"}ms, 'HTTP/2');
    }

    for my $path ('/health', '/api/v1/health', '/health/ready', '/health/live') {
        my $res = get($path);
        status_ok($res, 200, $path);
        next if $path eq '/health/live';
        my $m = $res->json->{maintenance};
        is($m->{message}, $message, 'tells of it');
        like($m->{$_}, qr/\A\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ\z/, $_) for qw(since until);
        is($res->json->{status}, $path =~ /ready/ ? 'maintenance' : 'healthy', 'status');
    }

    ($status, $text) = ctl(qw(--json maintenance status));
    my $j = decode_json($text);
    is($j->{message}, $message, 'status');
    is($j->{maintenance}, 1, 'is on');
    is($j->{until}, get('/health')->json->{maintenance}{until}, 'until');
    my $ttl = $s->redis(TTL => '{fn}:maintenance');
    ok($ttl > 1700 && $ttl <= 1800, 'the key ends with it') or diag($ttl);

    status_ok(at($bypass, '/users/me'), 200, 'operators pass');
    status_ok(at($bypass, '/health/ready'), 200, 'ready');
};

subtest 'over reloads' => sub {
    my $stop = 0;
    my %old = map { $_ => 1 } @{ $s->pids->{nginx_workers} };
    my %seen;
    $s->reload_nginx;
    ok(poll(20, sub { $seen{ get('/users/me')->code // 'none' }++ for 1 .. 5; scalar(grep { !$old{$_} } @{ $s->pids->{nginx_workers} }) >= 2 }), 'reloaded');
    $seen{ get('/users/me')->code // 'none' }++ for 1 .. 40;
    is_deeply([keys %seen], [503], 'nothing slips through while processes start') or diag(explain(\%seen));
    kill KILL => $_ for @{ $s->pids->{nginx_workers} };
    ok(poll(10, sub { (get('/users/me')->code // 0) == 503 }), 'nor after a crash');
};

subtest 'without Redis' => sub {
    $s->stop_redis;
    ok(poll(10, sub { get('/health')->json->{services}{redis} eq 'unhealthy' }), 'Redis is away');
    error_ok(get('/users/me'), 503, 'still on', constraint => 'maintenance');
    status_ok(get('/health/ready'), 200, 'and ready: there is a notice to serve');
    $s->reload_nginx;
    sleep 0.5;
    error_ok(get('/users/me'), 503, 'also after a reload', constraint => 'maintenance');
    is((ctl(qw(maintenance off)))[0], 1, 'nobody can be told now');
    $s->start_redis;
    ok(poll(20, sub { !grep { get('/health')->json->{services}{redis} ne 'healthy' } 1 .. 20 }), 'Redis is back, for every process');
    error_ok(get('/users/me'), 503, 'still on', constraint => 'maintenance');
};

subtest 'what was missed' => sub {
    # nobody is told: the state is read when Redis comes back
    $s->redis(DEL => '{fn}:maintenance');
    error_ok(get('/users/me'), 503, 'still on', constraint => 'maintenance');
    $s->redis(CLIENT => 'KILL', 'TYPE', 'pubsub');
    ok(everywhere(200), 'off after the subscription was lost');
    is(get('/health')->json->{maintenance}, undef, 'no longer told of');
};

subtest 'off' => sub {
    my ($status, $text) = ctl(qw(maintenance on));
    is($status, 0, 'on without anything');
    like($text, qr/until somebody ends it/, 'for as long as it takes');
    ok(everywhere(503), 'is on');
    my $res = get('/users/me');
    is($res->json->{error}{message}, $default, 'with a message');
    is($res->headers->header('Retry-After'), 60, 'and Retry-After');
    ($status, $text) = ctl(qw(maintenance off));
    is("$status $text", "0 maintenance: off\n", 'off');
    ok(everywhere(200), 'everywhere');
    is((ctl(qw(maintenance off)))[0], 0, 'off again is fine');
    status_ok(call($s, POST => '/goals', %p, json => { title => 'x', frequency => 1 }), 201, 'writes work');
};

subtest 'until' => sub {
    is((ctl(qw(maintenance on --until +3s)))[0], 0, 'for three seconds');
    ok(poll(2, sub { get('/users/me')->code == 503 }), 'on');
    my $after = get('/users/me')->headers->header('Retry-After') // 1;
    ok($after >= 1 && $after <= 3, 'Retry-After');
    ok(poll(10, sub { get('/users/me')->code == 200 }), 'over by itself');
    ok(everywhere(200), 'everywhere');
    is((ctl(qw(maintenance status)))[1], "maintenance: off\n", 'status agrees');
};

subtest 'on and off and on' => sub {
    for my $i (1 .. 15) { ctl('maintenance', 'on', '--message', "round $i"); ctl(qw(maintenance off)) if $i < 15 }
    ok(everywhere(503), 'the last word counts');
    is(get('/users/me')->json->{error}{message}, 'round 15', 'and its message');
    ctl(qw(maintenance off));
    ok(everywhere(200), 'off');
};

subtest 'malformed' => sub {
    for my $bad ('x', '{}', '{"since":"a"}', '[' x 3000, '{"since":1,"message":"' . 'x' x 2500 . '"}') {
        $s->redis(SET => '{fn}:maintenance', $bad);
        $s->redis(PUBLISH => '{fn}:changes', 'maintenance');
    }
    is((ctl(qw(maintenance status)))[0], 1, 'status says so');
    $s->redis(DEL => '{fn}:maintenance');
    $s->redis(LPUSH => '{fn}:maintenance', 'x');
    $s->redis(PUBLISH => '{fn}:changes', 'goals:x maintenance  maintenance users:y');
    ok(poll(10, sub { $s->error_log =~ /"\{fn\}:maintenance" cannot be read: WRONGTYPE/ }), 'a wrong type is reported');
    like($s->error_log, qr/malformed "\{fn\}:maintenance" ignored/, 'malformed values as well');
    status_ok(get('/users/me'), 200, 'requests are answered');
    is((ctl(qw(maintenance off)))[0], 0, 'off removes it');
    ctl(qw(maintenance on));
    ok(everywhere(503), 'on works after that');
    ctl(qw(maintenance off));
    ok(everywhere(200), 'and off');
};

subtest 'one server by its configuration' => sub {
    my $res = at($local, '/goals');
    error_ok($res, 503, 'on', constraint => 'maintenance');
    is($res->json->{error}{message}, $default, 'the message');
    is($res->headers->header('Retry-After'), 60, 'Retry-After');
    is_deeply(at($local, '/health/ready')->json->{maintenance}, { message => $default, since => undef, until => undef }, 'health tells');
    status_ok(at($local, '/auth/csrf'), 200, 'off in a location');
    status_ok(at($local, '/users/me'), 200, 'auto in a location');
    ctl(qw(maintenance on));
    ok(everywhere(503), 'on for all');
    status_ok(at($local, '/auth/csrf'), 200, 'still off in that location');
    error_ok(at($local, '/users/me'), 503, 'auto follows', constraint => 'maintenance');
    ctl(qw(maintenance off));
    ok(everywhere(200), 'off for all');
};

subtest 'two edges' => sub {
    # another nginx over the same Redis and PostgreSQL
    my %port = ($s->port => $second, map { $_ => free_port() } $bypass, $local, $h2);
    my $text = slurp($s->dir . '/nginx.conf') =~ s/listen 127\.0\.0\.1:\K(\d+)/$port{$1}/gr =~ s/nginx\.pid/second.pid/r;
    spew($s->dir . '/second.conf', $text, 0644);
    my $env = $s->_sanitizer_env;
    $env->{LD_PRELOAD} = `gcc -print-file-name=libasan.so` =~ s/\n//r if $s->{asan};
    $s->spawn('second', { log => 'error.log', death => 'TERM', env => $env }, FitNudge::Stack::_nginx(), '-e', $s->dir . '/log/error.log', '-p', $s->dir . '/', '-c', $s->dir . '/second.conf');
    ok(poll(20, sub { (at($second, '/users/me')->code // 0) == 200 }), 'it serves');
    ctl(qw(maintenance on));
    ok(poll(5, sub { at($second, '/users/me')->code == 503 }), 'both are told') && ok(everywhere(503), 'both');
    ctl(qw(maintenance off));
    ok(poll(5, sub { at($second, '/users/me')->code == 200 }), 'of the end as well') && ok(everywhere(200), 'both');
    $s->stop_process('second', 'QUIT', 15);
};

$s->assert_clean(qr/exited on signal 9/);
done_testing;
