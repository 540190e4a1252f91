# Rate limits of one instance: classes and their numbers, headers, refusals, plans, exceptions, and that a mistake is found by nginx -t.
use Mojo::Base -strict, -signatures;
use FindBin;
use lib "$FindBin::Bin/lib";
use FitNudge::Test::Contract;
use FitNudge::Test::Stack;
use FitNudge::Util qw(free_port);
use Mojo::File qw(path);
use Mojo::JSON qw(decode_json);
use Test::More;
use Time::HiRes qw(time);

# One server as it comes, and others that share its counters. Addresses are chosen by the client.
my %port = map { $_ => free_port('127.0.0.1') } qw(dry bypass status off h2 redirect);
my $real = 'set_real_ip_from 127.0.0.1; real_ip_header X-Forwarded-For; fitnudge on; access_log "logs" limits;';
my $s = FitNudge::Test::Stack->new(limits => 1, access_log => 0, server => 'set_real_ip_from 127.0.0.1; real_ip_header X-Forwarded-For;', http => <<"END");
map \$fitnudge_plan \$user_rate {
    default 100r/m;
    pro 300r/m;
    elite "";
    odd nonsense;
}
geo \$friend {
    default 0;
    198.51.100.0/24 1;
    2001:db8:1::/48 1;
}
fitnudge_limit_user rate=\$user_rate;
log_format limits '\$request_method \$uri \$status \$fitnudge_limit_status \$fitnudge_limit_class \$fitnudge_limit_remaining \$fitnudge_plan';
server { listen 127.0.0.1:$port{dry}; $real fitnudge_limit_dry_run on; fitnudge_limit_log_level warn; }
server { listen 127.0.0.1:$port{bypass}; $real fitnudge_limit_bypass \$friend; }
server { listen 127.0.0.1:$port{status}; $real fitnudge_limit_status 503; }
server { listen 127.0.0.1:$port{off}; $real location /api/v1/auth/csrf { fitnudge_limit off; } }
server { listen 127.0.0.1:$port{h2} http2; $real }
server { listen 127.0.0.1:$port{redirect}; $real error_page 404 /api/v1/auth/csrf; }
END
$s->{server} .= ' access_log "logs" limits;';
$s->start;

# what call() needs of a stack: where it is
package At { sub new ($class, $port) { bless { port => $port }, $class } sub url ($self, $path) { "http://127.0.0.1:$self->{port}$path" } }
package main;

my %at = map { $_ => At->new($port{$_}) } keys %port;
my $next = 0;
sub address { '203.0.' . int(++$next / 250) . '.' . (1 + $next % 250) }
sub from ($where, $address, $method, $path, %o) { call($where, $method, $path, %o, headers => { 'X-Forwarded-For' => $address, %{ $o{headers} // {} } }) }
sub header ($res, $name) { $res->headers->header($name) // 'none' }
sub limits ($res) { join ' ', map { header($res, "RateLimit-$_") } qw(Limit Remaining) }
sub user (%claims) { $s->mint_jwt(sub => FitNudge::Test::Stack::uuid(), %claims) }

sub refused ($res, $name, $class) {
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    error_ok($res, 429, $name, constraint => $class);
    my $after = header($res, 'Retry-After');
    like($after, qr/\A[1-9]\d*\z/, "$name: Retry-After");
    is(header($res, 'RateLimit-Remaining'), 0, "$name: nothing remains");
    is(header($res, 'RateLimit-Reset'), $after, "$name: both name the same moment");
    is(header($res, 'RateLimit'), qq{"$class";r=0;t=$after}, "$name: RateLimit");
    return $after;
}

# What was taken comes back while one asks, on a slow machine more of it: a limit of 20 a minute gives one back every 3 s.
sub remains ($res, $limit, $want, $since, $every, $name) {
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my $back = (time - $since) / $every;
    my ($of, $left) = split / /, limits($res);
    ok($res->code == 200 && $of eq $limit && $left >= $want && $left <= $want + $back, $name) or diag($res->code . ' ' . limits($res));
}

# Asks until it is refused: the refusal. No more than the limit is admitted, and what came back meanwhile.
sub until_refused ($ask, $limit, $since, $every, $name) {
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my ($n, $res) = (0);
    $n++ while ($res = $ask->($n))->code != 429 && $n < 200;
    cmp_ok($n, '<=', $limit + (time - $since) / $every, "$name: $n at most");
    return $res;
}

subtest 'anonymous' => sub {
    my $ip = address();
    my $start = time;
    for my $n (1 .. 20) {
        my $res = from($s, $ip, GET => '/auth/csrf');
        remains($res, 20, 20 - $n, $start, 3, "request $n");
        if ($n == 1) {
            is(header($res, 'RateLimit-Policy'), '"anonymous";q=20;w=60', 'RateLimit-Policy');
            like(header($res, 'RateLimit'), qr/\A"anonymous";r=19;t=3\z/, 'RateLimit');
            is(header($res, 'RateLimit-Reset'), 3, 'whole again after three seconds');
            is(header($res, 'Retry-After'), 'none', 'nothing to wait for');
        }
    }
    my $after = refused(until_refused(sub { from($s, $ip, GET => '/auth/csrf') }, 0, $start, 3, 'more'), 'the next one', 'anonymous');
    cmp_ok($after, '<=', 3, 'seconds, not milliseconds');
    my $head = until_refused(sub { from($s, $ip, HEAD => '/auth/csrf') }, 0, $start, 3, 'HEAD');
    is($head->code . ' ' . limits($head), '429 20 0', 'HEAD is refused, too');
    is($head->body, '', 'without a body');
    status_ok(from($s, address(), GET => '/auth/csrf'), 200, 'another address is another matter');
};

subtest 'IPv6 by /64' => sub {
    my $start = time;
    error_ok(until_refused(sub ($n) { from($s, sprintf('2001:db8:9:1:%x::%x', $n, 1000 - $n), GET => '/auth/csrf') }, 20, $start, 3, 'IPv6'), 429, 'one network');
    status_ok(from($s, '2001:db8:9:2::1', GET => '/auth/csrf'), 200, 'the one beside it');
    my $ip = address();
    $start = time;
    error_ok(until_refused(sub ($n) { from($s, ($n % 2 ? '::ffff:' : '') . $ip, GET => '/auth/csrf') }, 20, $start, 3, 'IPv4'), 429, 'a mapped address is the IPv4 address');
    status_ok(from($s, '::ffff:' . address(), GET => '/auth/csrf'), 200, 'and no network');
};

subtest 'attempts to sign in' => sub {
    my $ip = address();
    my $start = time;
    my $res;
    for my $n (1 .. 10) {
        $res = from($s, $ip, POST => '/auth/refresh', json => { refresh_token => 'x' x 43 });
        status_ok($res, 401, "attempt $n");
    }
    is(limits($res), '30 0', 'this class has the fewest left');
    is(header($res, 'RateLimit-Policy'), '"anonymous";q=20;w=60, "auth";q=30;w=600', 'both are told');
    my $after = refused(from($s, $ip, POST => '/auth/login', json => { email => 'a@example.com', password => 'wrong horse' }), 'the next one', 'auth');
    cmp_ok($after, '<=', 20, 'for twenty seconds');
    refused(from($s, $ip, POST => '/auth/signup', json => {}), 'before the body is looked at', 'auth');
    $res = from($s, $ip, GET => '/auth/csrf');
    remains($res, 20, 9, $start, 3, 'what auth refused, anonymous did not count');
};

subtest 'a user' => sub {
    my ($ip, $token) = (address(), user());
    my $get = sub { from($s, $ip, GET => '/auth/sessions', token => $token) };
    my $res = $get->();
    is($res->code . ' ' . limits($res), '200 100 99', 'one');
    is(header($res, 'RateLimit-Policy'), '"user";q=100;w=60, "user_hour";q=1000;w=3600', 'minute and hour');
    calls($s, map { [GET => '/auth/sessions', token => $token, headers => { 'X-Forwarded-For' => $ip }] } 1 .. 98);
    $res = $get->();
    is($res->code, 200, 'the hundredth');
    cmp_ok(header($res, 'RateLimit-Remaining'), '<=', 15, 'few are left');
    my $n = 0;
    $n++ while $n < 60 && ($res = $get->())->code == 200;
    refused($res, 'the next one', 'user');
    status_ok(from($s, $ip, GET => '/auth/sessions', token => user()), 200, 'another user of this address');
    error_ok(from($s, address(), GET => '/auth/sessions', token => $token), 429, 'the same from elsewhere');
};

subtest 'AI' => sub {
    my $u = user();
    my %o = (token => $u, json => { goal_id => '01900000-0000-7000-8000-000000000000' });
    my $res;
    for my $n (1 .. 10) {
        $res = from($s, '192.0.2.1', POST => '/motivation/generate', %o);
        is($res->code . ' ' . limits($res), '404 10 ' . (10 - $n), "request $n, an error has the headers as well");
    }
    is(header($res, 'RateLimit-Policy'), '"user";q=100;w=60, "user_hour";q=1000;w=3600, "ai";q=10;w=3600', 'three classes');
    my $after = refused(from($s, '192.0.2.1', POST => '/motivation/generate', %o), 'the eleventh', 'ai');
    ok($after > 3500 && $after <= 3600, 'for an hour: it is strict') or diag($after);
    my $before = header(from($s, '192.0.2.1', GET => '/goals', token => $u), 'RateLimit-Remaining');
    from($s, '192.0.2.1', POST => '/motivation/generate', %o) for 1 .. 10;
    my $now = header(from($s, '192.0.2.1', GET => '/goals', token => $u), 'RateLimit-Remaining');
    cmp_ok($now, '>=', $before - 1, 'what AI refused, the others did not count');
};

subtest 'plans' => sub {
    my $n = 0;
    for my $case ([free => '100 99', 'none'], [pro => '300 299', 'none'], [elite => '1000 999', 'user_hour only'], [odd => '100 99', 'a rate that is none']) {
        my ($plan, $want, $why) = @$case;
        my $res = from($s, address(), GET => '/goals', token => user(plan => $plan));
        is(limits($res), $want, "$plan: $why");
    }
    like($s->error_log, qr/\[error\].*invalid rate "nonsense" of "fitnudge_limit_user", "100r\/m" is used/, 'is told');
};

subtest 'without a good token it is the address' => sub {
    my $ip = address();
    from($s, $ip, GET => '/goals', token => $_) for map { ('x.y.z', user(exp => time() - 1000 | 0), user(iss => 'other'), undef) } 1 .. 5;
    refused(from($s, $ip, GET => '/goals', token => 'x.y.z'), 'an invalid token', 'anonymous');
    refused(from($s, $ip, GET => '/goals'), 'none', 'anonymous');
    refused(from($s, $ip, GET => '/auth/csrf'), 'another route', 'anonymous');
    status_ok(from($s, $ip, GET => '/goals', token => user()), 200, 'a good one gets in');
    my $other = address();
    from($s, $other, GET => '/nosuch') for 1 .. 19;
    my $res = from($s, $other, DELETE => '/goals');
    is($res->code . ' ' . limits($res), '405 20 0', 'unknown paths and methods');
    refused(from($s, $other, GET => '/nosuch'), 'a seeker', 'anonymous');
};

subtest 'health is not limited' => sub {
    my $ip = address();
    my @res = map { from($s, $ip, GET => $_) } map { ('/health/live', '/health/ready', '/health', '/api/v1/openapi.json') } 1 .. 8;
    is_deeply([grep { $_ != 200 } map { $_->code } @res], [], 'all are answered');
    is_deeply([grep { $_ ne 'none none' } map { limits($_) } @res], [], 'without headers');
};

subtest 'answers of every kind' => sub {
    my $u = new_user($s);
    my %p = (token => $u->{token});
    my $etag = call($s, GET => '/users/me', %p)->headers->etag;
    my $res = call($s, GET => '/users/me', %p, headers => { 'If-None-Match' => $etag });
    status_ok($res, 304, 'unchanged');
    like(limits($res), qr/\A100 \d+\z/, 'answer 304');
    like(limits(call($s, POST => '/goals', %p, json => { title => '' })), qr/\A100 \d+\z/, 'answer 400');
    like(limits(call($s, POST => '/goals', %p, json => { title => 'x', frequency => 1 })), qr/\A100 \d+\z/, 'answer 201');
    like(limits(call($s, POST => '/goals', %p, body => 'x', headers => { 'Content-Type' => 'text/plain' })), qr/\A100 \d+\z/, 'answer 415');
    my $out = qx{curl -s -D - -o /dev/null --max-time 20 --http2-prior-knowledge http://127.0.0.1:$port{h2}/api/v1/auth/csrf};
    like($out, qr/^ratelimit-limit: 20\r$/m, 'HTTP/2');
    my $raw = raw($s, join('', map { "GET /api/v1/auth/csrf HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: 192.0.2.77\r\n\r\n" } 1 .. 1));
    is(limits($raw), '20 19', 'raw');
    my $ip = address();
    my @all = raw($s, "GET /api/v1/auth/csrf HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: $ip\r\n\r\n" x 30, n => 30);
    is(scalar(grep { $_->code == 200 } @all), 20, 'thirty in one packet: twenty');
    is(scalar(grep { $_->code == 429 } @all), 10, 'and ten refusals');
    my $long = 'x' x 100;
    my $body = raw($s, "POST /api/v1/auth/login HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: $ip\r\nContent-Length: 100\r\n\r\n${long}GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n", n => 2);
    error_ok($body, 429, 'a refused body');
    my @two = raw($s, "POST /api/v1/auth/login HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: $ip\r\nContent-Length: 100\r\n\r\n${long}GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n", n => 2);
    is($two[1] && $two[1]->code, 200, 'does not spoil what follows');
    my $res2 = from($at{redirect}, $ip = address(), GET => '/nosuch');
    is(limits($res2), '20 19', 'an internal redirect is the same request') or diag($res2->code);
    is(limits(from($at{redirect}, $ip, GET => '/auth/csrf')), '20 18', 'and was counted once');
};

subtest 'dry run' => sub {
    my $ip = address();
    my @res = map { from($at{dry}, $ip, GET => '/auth/csrf') } 1 .. 25;
    is_deeply([grep { $_->code != 200 } @res], [], 'everybody gets in');
    is(limits($res[-1]), '20 0', 'headers say what would be');
    is(header($res[-1], 'Retry-After'), 'none', 'nobody is told to wait');
    like($s->error_log, qr/\[warn\].*limiting requests, dry run, by "anonymous", next one in [1-3] s/, 'logged');
    ok(poll(5, sub { path($s->dir, 'logs')->slurp =~ m{^GET /api/v1/auth/csrf 200 REJECTED_DRY_RUN anonymous 0 -$}m }), 'in the access log');
};

subtest 'exceptions' => sub {
    for my $ip ('198.51.100.7', '2001:db8:1:2::3') {
        my @res = map { from($at{bypass}, $ip, GET => '/auth/csrf') } 1 .. 25;
        is_deeply([grep { $_->code != 200 } @res], [], "$ip is not limited");
        is(limits($res[-1]), 'none none', 'no headers');
    }
    my $ip = address();
    from($at{bypass}, $ip, GET => '/auth/csrf') for 1 .. 20;
    error_ok(from($at{bypass}, $ip, GET => '/auth/csrf'), 429, 'others are');
    error_ok(from($s, $ip, GET => '/auth/csrf'), 429, 'on all servers');
    my $res = from($at{status}, $ip, GET => '/auth/csrf');
    error_ok($res, 503, 'fitnudge_limit_status');
    like(header($res, 'Retry-After'), qr/\A[1-3]\z/, 'Retry-After is ours');
    status_ok(from($at{off}, $ip, GET => '/auth/csrf'), 200, 'fitnudge_limit off');
    error_ok(from($at{off}, $ip, GET => '/nosuch'), 429, 'in that location');
    ok(poll(5, sub {
        my $log = path($s->dir, 'logs')->slurp;
        $log =~ m{^GET /api/v1/auth/csrf 200 BYPASSED - - -$}m && $log =~ m{^GET /api/v1/auth/csrf 429 REJECTED anonymous 0 -$}m
            && $log =~ m{^GET /api/v1/goals 200 PASSED user 99 free$}m && $log =~ m{^GET /health/live 200 - - - -$}m;
    }), 'variables');
};

subtest 'the counters of all processes are one, and outlive a reload' => sub {
    my $ip = address();
    my @res = calls($s, map { [GET => '/auth/csrf', headers => { 'X-Forwarded-For' => $ip }, ua => agent()] } 1 .. 60);
    my $good = grep { $_->code == 200 } @res;
    ok($good >= 20 && $good <= 22, 'sixty connections at once') or diag($good);
    my $u = user();
    my %o = (token => $u, json => { goal_id => '01900000-0000-7000-8000-000000000000' });
    from($s, '192.0.2.1', POST => '/motivation/generate', %o) for 1 .. 10;
    my @old = @{ $s->pids->{nginx_workers} };
    $s->reload_nginx;
    ok(poll(20, sub { my %now = map { $_ => 1 } @{ $s->pids->{nginx_workers} }; %now && !grep { $now{$_} } @old }), 'reloaded');
    refused(from($s, '192.0.2.1', POST => '/motivation/generate', %o, ua => agent()), 'the eleventh after it', 'ai');
};

subtest 'a process dies in the middle of things' => sub {
    kill KILL => $_ for @{ $s->pids->{nginx_workers} };
    my $res;
    ok(poll(20, sub { ($res = from($s, address(), GET => '/auth/csrf', ua => agent()))->code }), 'others take over');
    is($res->code . ' ' . limits($res), '200 20 19', 'and count');
};

subtest 'OpenAPI' => sub {
    my $doc = call($s, GET => '/api/v1/openapi.json')->json;
    my (@without, @health);
    for my $path (sort keys %{ $doc->{paths} }) {
        for my $method (sort keys %{ $doc->{paths}{$path} }) {
            my $responses = $doc->{paths}{$path}{$method}{responses};
            my ($ok) = sort { ($a == 202) <=> ($b == 202) } grep { /\A[23]/ } keys %$responses;
            my $limited = $responses->{429} && $responses->{$ok}{headers}{'RateLimit-Remaining'};
            # signed by us or by a service: many come from few addresses
            my $free = $path =~ m{health|openapi|jwks|/webhooks/|/e/};
            push @{ $free ? \@health : \@without }, "$method $path" if $free ? $limited : !$limited;
        }
    }
    is_deeply(\@without, [], 'limited routes say so');
    is_deeply(\@health, [], 'others do not');
    is_deeply([sort keys %{ $doc->{components}{responses}{TooManyRequests}{headers} }],
        [sort qw(RateLimit RateLimit-Limit RateLimit-Policy RateLimit-Remaining RateLimit-Reset Retry-After)], 'headers of the refusal');
};

subtest 'nginx -t' => sub {
    my $dir = path($s->dir);
    my $good = path($dir, 'nginx.conf')->slurp;
    my $file = path($dir, 'mistake.conf');
    my %env = %{ $s->_sanitizer_env };
    chomp($env{LD_PRELOAD} = qx{gcc -print-file-name=libasan.so}) if $s->{asan};
    my $test = sub ($line) {
        my $text = $good =~ s/^(\s*)fitnudge_limit_user rate.*$/$1$line/mr;
        $text =~ s/^\s*client_max_body_size .*$//m if $line =~ /ddos/;
        $file->spurt($text);
        my $env = join ' ', map { "$_=$env{$_}" } sort keys %env;
        my $out = qx{env $env /usr/sbin/nginx -t -e $dir/log/test.log -p $dir/ -c $file 2>&1};
        return ($?, $out);
    };
    my $rate = qr/invalid rate "[^"]*" in "fitnudge_limit_user": it must be from 1 to 1000000 requests in 1s to 1d/;
    for my $case (
        ['', qr/invalid number of arguments/], ['rate=', qr/invalid parameter "rate="/], ['burst=5', qr/"fitnudge_limit_user" must have "rate" parameter/],
        (map { ["rate=$_", $rate] } qw(0r/m 100 100r/x 1000001r/s 1r/2d 1r/0s -5r/m 1.5r/m 100r/m5)),
        (map { ["rate=5r/m burst=$_", qr/invalid parameter "burst=$_"/] } qw(0 -1 x 1000001 99999999999999999999)),
        ['rate=5r/m rate=6r/m', qr/invalid parameter "rate=6r\/m"/], ['rate=5r/m strict strict', qr/invalid parameter "strict"/],
        ['rate=5r/m strict burst=5', qr/"burst" and "strict" exclude each other/], ['rate=65536r/h strict', qr/must be from 1 to 65535/],
        ['rate=5r/m key=', qr/invalid parameter "key="/], ['rate=5r/m key=$nosuch', qr/unknown "nosuch" variable/], ['rate=$nosuch', qr/unknown "nosuch" variable/],
        ['rate=5r/m nosuch', qr/invalid parameter "nosuch"/], ['off off', qr/invalid parameter "off"/], ['on', qr/invalid parameter "on"/],
    ) {
        my ($rc, $out) = $test->("fitnudge_limit_user $case->[0];");
        isnt($rc, 0, "fitnudge_limit_user $case->[0]");
        like($out, $case->[1], 'says why');
    }
    for my $case (
        ['fitnudge_limit_user rate=1r/s; fitnudge_limit_user off;', qr/"fitnudge_limit_user" directive is duplicate/],
        (map { ["fitnudge_limit_zone $_;", qr/zone size "$_" is not between 64k and 1g/] } qw(4k 2g 0)), ['fitnudge_limit_zone x;', qr/invalid zone size "x"/],
        ['fitnudge_limit_zone 1m; fitnudge_limit_zone 1m;', qr/is duplicate/],
        (map { ["fitnudge_limit_sync $_;", qr/must be from 10ms to 10s/] } qw(9ms 11s 0)), ['fitnudge_limit_sync x;', qr/invalid value/],
        ['fitnudge_limit_sync 1s; fitnudge_limit_sync off;', qr/is duplicate/],
        ['fitnudge_limit maybe;', qr/invalid value "maybe"/], ['fitnudge_limit_dry_run 1;', qr/invalid value "1"/], ['fitnudge_limit_log_level loud;', qr/invalid value "loud"/],
        ['fitnudge_limit_status 200;', qr/value must be between 400 and 599/], ['fitnudge_limit_status 600;', qr/value must be between 400 and 599/],
        ['fitnudge_limit_bypass;', qr/invalid number of arguments/], ['fitnudge_limit_nosuch on;', qr/unknown directive/],
    ) {
        my ($rc, $out) = $test->($case->[0]);
        isnt($rc, 0, $case->[0]);
        like($out, $case->[1], 'says why');
    }
    for my $line ('fitnudge_limit_user off;', 'fitnudge_limit_user rate=5r/10s burst=1 key=$binary_remote_addr$http_host;', 'fitnudge_limit_user rate=65535r/1d strict; fitnudge_limit_zone 64k;',
        'fitnudge_limit_sync off; fitnudge_limit_zone 1g;', 'fitnudge_limit_ai off; fitnudge_limit_anonymous off; fitnudge_limit_uploads rate=1r/s; fitnudge_limit_auth rate=1000000r/s;'
        . 'fitnudge_limit_user_hour rate=$user_rate strict;') {
        my ($rc, $out) = $test->($line);
        is($rc, 0, $line) or diag($out);
    }
    my $snippets = "$FindBin::Bin/../conf/snippets";
    my ($rc, $out) = $test->("include $snippets/ddos.conf;");
    is($rc, 0, 'conf/snippets/ddos.conf') or diag($out);
};

$s->assert_clean(qr/exited on signal 9/);
done_testing;
