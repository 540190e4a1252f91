# CORS: pages of the listed origins may call the API with their cookies, all others may not.
use Mojo::Base -strict, -signatures;
use FindBin;
use lib "$FindBin::Bin/lib";
use FitNudge::Test::Contract;
use FitNudge::Test::Stack;
use FitNudge::Util qw(free_port);
use Test::More;

my ($plain, $other, $h2) = map { free_port() } 1 .. 3;
my $s = FitNudge::Test::Stack->new(
    nginx_workers => 1,
    server => <<'END',
fitnudge_cors_origins https://app.example https://*.preview.example:8443 http://localhost:3000 capacitor://localhost;
location /api/v1/closed { return 403; }
location /api/v1/motivations { deny all; }
location = /static { fitnudge off; return 200 static; }
END
    http => <<"END",
server { listen 127.0.0.1:$plain; fitnudge on; }
server { listen 127.0.0.1:$h2 http2; fitnudge on; fitnudge_cors_origins https://app.example; }
server { listen 127.0.0.1:$other; fitnudge on; fitnudge_cors_origins https://other.example; fitnudge_cors_max_age 10m; fitnudge_security_headers off;
         location /api/v1/goals { fitnudge_cors_origins off; } }
END
)->start;
my $u = new_user($s);
my %p = (token => $u->{token});
my $goal = call($s, POST => '/goals', %p, json => { title => 'Run', frequency => 3 })->json->{id};
my $app = 'https://app.example';

sub at ($port, $method, $path, %o) { local $s->{port} = $port; call($s, $method, $path, ua => agent(max_connections => 0), %o) }
sub preflight ($path, $origin, $method = 'POST', %h) {
    call($s, OPTIONS => $path, headers => { (defined $origin ? (Origin => $origin) : ()), 'Access-Control-Request-Method' => $method, %h });
}
sub list ($res, $name) { [map { split /\s*,\s*/ } @{ $res->headers->every_header($name) }] }
sub cors ($res) { sort grep { /\AAccess-Control-/i } @{ $res->headers->names } }

sub allowed_ok ($res, $origin, $name) {
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    subtest $name => sub {
        is_deeply($res->headers->every_header('Access-Control-Allow-Origin'), [$origin], 'this origin and no other');
        is_deeply($res->headers->every_header('Access-Control-Allow-Credentials'), ['true'], 'credentials');
        is_deeply([grep { $_ eq 'Origin' } @{ list($res, 'Vary') }], ['Origin'], 'Vary');
    };
}

sub refused_ok ($res, $name) {
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    is_deeply([cors($res)], [], "$name: no CORS headers");
    is_deeply([grep { $_ eq 'Origin' } @{ list($res, 'Vary') }], ['Origin'], "$name: Vary");
}

subtest 'origins' => sub {
    for my $origin ($app, 'https://x.preview.example:8443', 'https://pr-12.preview.example:8443', 'http://localhost:3000', 'capacitor://localhost') {
        my $res = call($s, GET => '/users/me', %p, headers => { Origin => $origin });
        status_ok($res, 200, $origin);
        allowed_ok($res, $origin, "$origin may");
        allowed_ok(preflight('/goals', $origin), $origin, "$origin may ask");
    }
    for my $origin ('https://app.example.evil', 'https://evilapp.example', 'http://app.example', 'https://app.example:444', 'https://app.example/', 'null', '*', 'https://preview.example:8443',
        'https://a.b.preview.example:8443', 'https://x.preview.example', 'https://evil.example/.preview.example:8443', 'https://APP.example', "$app, $app", "$app https://evil.example", 'x' x 4000, '') {
        my $name = substr($origin, 0, 50) || 'an empty one';
        my $res = call($s, GET => '/users/me', %p, headers => { Origin => $origin });
        status_ok($res, 200, "$name is answered");
        refused_ok($res, $name);
        my $pre = preflight('/goals', $origin);
        status_ok($pre, 204, "$name: preflight");
        refused_ok($pre, "$name: preflight");
    }
    refused_ok(call($s, GET => '/users/me', %p), 'no Origin');
    my $two = raw($s, "GET /api/v1/users/me HTTP/1.1\r\nHost: x\r\nOrigin: $app\r\nOrigin: https://evil.example\r\nAuthorization: Bearer $u->{token}\r\n\r\n");
    status_ok($two, 200, 'two of them');
    refused_ok($two, 'two of them');
    my $same = raw($s, "OPTIONS /api/v1/goals HTTP/1.1\r\nHost: x\r\nOrigin: $app\r\nOrigin: $app\r\nAccess-Control-Request-Method: GET\r\n\r\n");
    refused_ok($same, 'even if they are the same');
};

subtest 'preflight' => sub {
    my %methods = ('/goals' => [qw(GET HEAD POST)], "/goals/$goal" => [qw(GET HEAD PATCH DELETE)], '/auth/login' => ['POST'], '/health/ready' => [qw(GET HEAD)]);
    for my $path (sort keys %methods) {
        my $res = preflight($path, $app, 'PATCH', 'Access-Control-Request-Headers' => 'authorization,content-type');
        status_ok($res, 204, $path =~ s/\Q$goal\E/{id}/r);
        is($res->body, '', 'no body');
        is_deeply(list($res, 'Access-Control-Allow-Methods'), $methods{$path}, 'methods of the route table');
        my %may = map { lc, 1 } @{ list($res, 'Access-Control-Allow-Headers') };
        is_deeply([grep { !$may{ lc $_ } } qw(Authorization Content-Type Idempotency-Key If-Match If-None-Match Prefer X-CSRF-Token X-Request-Id X-Auth-Mode traceparent)], [], 'headers');
        is($res->headers->header('Access-Control-Max-Age'), 3600, 'for an hour');
        is($res->headers->header('Access-Control-Expose-Headers'), undef, 'nothing to read');
        is_deeply([sort @{ list($res, 'Allow') }], [sort @{ $methods{$path} }, 'OPTIONS'], 'Allow');
        ok($res->headers->header('X-Request-Id'), 'an id');
        unlike($res->headers->to_string, qr/: \*$/m, 'no star');
    }
    status_ok(preflight("/goals/$goal", $app, 'DELETE', Authorization => 'Bearer nonsense', Cookie => 'access_token=x'), 204, 'a token is not looked at');
    status_ok(preflight('/motivations', $app), 204, 'a path that nobody may use from here');
    my $res = preflight('/nosuch', $app);
    error_ok($res, 404, 'of nothing');
    allowed_ok($res, $app, 'the page may read that');
    $res = call($s, OPTIONS => '/goals', headers => { Origin => $app });
    status_ok($res, 204, 'OPTIONS that is no preflight');
    is($res->headers->header('Access-Control-Allow-Methods'), undef, 'is answered as one');
    allowed_ok($res, $app, 'it may be read');
    $res = preflight('/goals', undef);
    status_ok($res, 204, 'without Origin');
    refused_ok($res, 'without Origin');
    my $sock = raw_start($s, ("OPTIONS /api/v1/goals HTTP/1.1\r\nHost: x\r\nOrigin: $app\r\nAccess-Control-Request-Method: POST\r\nContent-Length: 5\r\n\r\nhello"
        . "GET /api/v1/users/me HTTP/1.1\r\nHost: x\r\nOrigin: $app\r\nAuthorization: Bearer $u->{token}\r\n\r\n") x 4
        . "GET /health/live HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    my $all = '';
    1 while sysread $sock, $all, 65536, length $all;
    is_deeply([$all =~ m{HTTP/1\.1 (\d+)}g], [(204, 200) x 4, 200], 'in a row, with a body nobody asked for');
};

subtest 'what a page may read' => sub {
    my $res = call($s, GET => "/goals/$goal", %p, headers => { Origin => $app });
    my %may = map { $_ => 1 } @{ list($res, 'Access-Control-Expose-Headers') };
    is_deeply([grep { !$may{$_} } qw(ETag Location RateLimit-Limit RateLimit-Remaining RateLimit-Reset Retry-After X-Request-Id Idempotency-Replayed Age Cache-Status Deprecation Sunset)],
        [], 'the headers that matter');
    is($res->headers->header('Access-Control-Allow-Methods'), undef, 'nothing of a preflight');
    my $not = call($s, GET => "/goals/$goal", %p, headers => { Origin => $app, 'If-None-Match' => $res->headers->etag });
    status_ok($not, 304, 'unchanged');
    allowed_ok($not, $app, 'and readable');
    allowed_ok(call($s, POST => '/goals', %p, json => { title => 'x', frequency => 1 }, headers => { Origin => $app }), $app, 'an answer of the pool');
    allowed_ok(call($s, HEAD => '/users/me', %p, headers => { Origin => $app }), $app, 'HEAD');
};

subtest 'errors' => sub {
    my %o = (headers => { Origin => $app });
    for my $case ([401, GET => '/users/me'], [404, GET => '/nosuch', %p], [404, GET => '/goals/01900000-0000-7000-8000-000000000000', %p], [405, PUT => '/goals', %p],
        [400, POST => '/goals', %p, json => {}], [400, GET => '/goals?limit=x', %p], [413, POST => '/goals', %p, body => 'x' x 70000], [413, GET => '/users/me', %p, body => 'x' x 70000],
        [403, GET => '/closed', %p], [403, GET => '/motivations', %p]) {
        my ($status, $method, $path, %q) = @$case;
        my $res = call($s, $method, $path, %q, %o);
        error_ok($res, $status, "$method $path");
        allowed_ok($res, $app, "the page may read $status");
    }
    # nginx itself, before it knows a location
    for my $case (["GET /api/v1/users/me HTTP/1.1\r\nHost: x\r\nOrigin: $app\r\nX-Long: " . 'a' x 40000 . "\r\n\r\n", 400, 'headers that are too large'],
        ["GET /api/v1/users/me HTTP/1.1\r\nOrigin: $app\r\n\r\n", 400, 'no Host'], ["TRACE /api/v1/goals HTTP/1.1\r\nHost: x\r\nOrigin: $app\r\n\r\n", 405, 'TRACE'],
        ["POST /api/v1/goals HTTP/1.1\r\nHost: x\r\nOrigin: $app\r\nContent-Length: x\r\n\r\n", 400, 'a malformed length']) {
        my ($bytes, $status, $name) = @$case;
        my $res = raw($s, $bytes);
        error_ok($res, $status, $name);
        allowed_ok($res, $app, 'readable');
    }
    error_ok(scalar raw($s, "nonsense\r\n\r\n"), 400, 'no HTTP at all');
    refused_ok(call($s, GET => '/users/me', headers => { Origin => 'https://evil.example' }), 'an error for somebody else');
};

subtest 'elsewhere' => sub {
    my $res = at($plain, GET => '/users/me', %p, headers => { Origin => $app });
    status_ok($res, 200, 'without origins');
    is_deeply([cors($res), @{ list($res, 'Vary') }], [], 'there is no CORS');
    $res = at($plain, OPTIONS => '/goals', headers => { Origin => $app, 'Access-Control-Request-Method' => 'POST' });
    status_ok($res, 204, 'nor an answer to a preflight');
    is_deeply([cors($res)], [], 'but OPTIONS');
    my $mine = 'https://other.example';
    $res = at($other, OPTIONS => '/users/me', headers => { Origin => $mine, 'Access-Control-Request-Method' => 'PATCH' });
    is($res->headers->header('Access-Control-Max-Age'), 600, 'Max-Age of another server');
    allowed_ok($res, $mine, 'its own origin');
    refused_ok(at($other, GET => '/users/me', %p, headers => { Origin => $app }), 'that of the first');
    is_deeply([cors(at($other, GET => '/goals', %p, headers => { Origin => $mine }))], [], 'off in a location');
    $res = agent()->get($s->url('/static'), { Origin => $app })->res;
    is($res->body, 'static', 'a location without the API');
    is_deeply([cors($res), @{ list($res, 'Vary') }], [], 'has no CORS');
};

subtest 'HTTP/2' => sub {
    my $curl = sub (@args) {
        open my $fh, '-|', 'curl', '-s', '-i', '--max-time', '20', '--http2-prior-knowledge', '-H', "Origin: $app", @args or die $!;
        local $/;
        my $out = <$fh> // '';
        close $fh;
        return $out;
    };
    my $url = "http://127.0.0.1:$h2/api/v1";
    my $pre = $curl->('-X', 'OPTIONS', '-H', 'Access-Control-Request-Method: POST', "$url/goals");
    like($pre, qr{\AHTTP/2 204 \r\n}, 'a preflight');
    like($pre, qr/^access-control-allow-methods: GET, HEAD, POST\r$/m, 'its methods');
    my $error = $curl->("$url/users/me");
    like($error, qr{\AHTTP/2 401 \r\n.*^access-control-allow-origin: \Q$app\E\r\n.*"AUTHENTICATION_ERROR"}ms, 'an error');
};

$s->assert_clean;
done_testing;
