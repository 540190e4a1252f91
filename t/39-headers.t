# What every answer says of itself, and what may be asked of every route: security headers, deprecation, Accept, methods, traces, the log.
use Mojo::Base -strict, -signatures;
use FindBin;
use lib "$FindBin::Bin/lib";
use FitNudge::Test::Contract;
use FitNudge::Test::Stack;
use FitNudge::Util qw(free_port slurp);
use Mojo::File qw(path);
use Mojo::JSON qw(decode_json);
use Test::More;

my $bare = free_port();
my $log = "$FindBin::Bin/../conf/snippets/log-json.conf";
my $s = FitNudge::Test::Stack->new(
    nginx_workers => 1,
    http => <<"END",
include "$log";
server { listen 127.0.0.1:$bare; fitnudge on; fitnudge_security_headers off; }
END
    server => <<'END',
access_log log/json.log fitnudge;
location /api/v1/goals { fitnudge_deprecated 2026-01-15 sunset=2026-07-15T12:00:00+02:00 link=https://docs.fitnudge.example/v2; }
location /api/v1/checkins { fitnudge_deprecated @1688169599; location /api/v1/checkins/off { fitnudge_deprecated off; } }
location /file { fitnudge off; return 200 file; }
END
)->start;
my $u = new_user($s);
make_pro($s, $u);
my %p = (token => $u->{token});
my $goal = call($s, POST => '/goals', %p, json => { title => 'Run', frequency => 3 })->json->{id};

sub at ($port, $method, $path, %o) { local $s->{port} = $port; call($s, $method, $path, ua => agent(max_connections => 0), %o) }
sub all ($res, $name) { $res->headers->every_header($name) }

my %security = ('X-Content-Type-Options' => 'nosniff', 'X-Frame-Options' => 'DENY', 'Referrer-Policy' => 'no-referrer', 'X-XSS-Protection' => '0',
    'Content-Security-Policy' => "default-src 'none'; frame-ancestors 'none'");

subtest 'security headers' => sub {
    for my $case ([200, GET => '/users/me', %p], [200, HEAD => '/users/me', %p], [204, OPTIONS => '/goals'], [201, POST => '/goals', %p, json => { title => 'x', frequency => 1 }],
        [401, GET => '/users/me'], [404, GET => '/nosuch'], [405, PUT => '/goals'], [413, POST => '/goals', %p, body => 'x' x 70000], [200, GET => '/health']) {
        my ($status, $method, $path, %o) = @$case;
        my $res = call($s, $method, $path, %o);
        status_ok($res, $status, "$method $path");
        is_deeply({ map { $_ => all($res, $_) } keys %security }, { map { $_ => [$security{$_}] } keys %security }, 'has them, each once');
        is($res->headers->header('Strict-Transport-Security'), undef, 'no HSTS without TLS');
        like($res->headers->header('Cache-Control'), qr/no-store|private/, 'no shared cache keeps it') if $method ne 'OPTIONS' && $path =~ /users/;
    }
    my $not = call($s, GET => "/goals/$goal", %p, headers => { 'If-None-Match' => call($s, GET => "/goals/$goal", %p)->headers->etag });
    status_ok($not, 304, 'unchanged');
    is_deeply(all($not, 'X-Content-Type-Options'), ['nosniff'], 'as well');
    my $res = at($bare, GET => '/users/me', %p);
    status_ok($res, 200, 'another server');
    is_deeply([grep { defined $res->headers->header($_) } keys %security], [], 'off');
    $res = agent()->get($s->url('/file'))->res;
    is($res->body, 'file', 'a file');
    is_deeply([grep { defined $res->headers->header($_) } keys %security], [], 'is not ours');
};

subtest 'deprecation' => sub {
    for my $res (call($s, GET => '/goals', %p), call($s, GET => '/goals'), call($s, GET => "/goals/$goal", %p), call($s, OPTIONS => '/goals')) {
        is_deeply(all($res, 'Deprecation'), ['@1768435200'], 'Deprecation ' . $res->code);
        is_deeply(all($res, 'Sunset'), ['Wed, 15 Jul 2026 10:00:00 GMT'], 'Sunset');
        is_deeply(all($res, 'Link'), ['<https://docs.fitnudge.example/v2>; rel="deprecation sunset"'], 'Link');
    }
    my $res = call($s, GET => '/checkins', %p);
    is_deeply(all($res, 'Deprecation'), ['@1688169599'], 'a number of seconds');
    is($res->headers->header($_), undef, "no $_") for qw(Sunset Link);
    is(call($s, GET => '/users/me', %p)->headers->header('Deprecation'), undef, 'not elsewhere');
    is(call($s, GET => '/checkins/off', %p)->headers->header('Deprecation'), undef, 'off');
};

subtest 'Accept' => sub {
    for my $accept ('application/json', '*/*', 'text/html', 'text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8', 'application/json;charset=utf-8', 'image/*', 'nonsense', ';;,', 'application/json;q=0.1') {
        my $res = call($s, GET => '/users/me', %p, headers => { Accept => $accept });
        status_ok($res, 200, "is answered: $accept");
        like($res->headers->content_type, qr{\Aapplication/json}, 'in JSON');
    }
    my $rows = sub { $s->sql("SELECT count(*) FROM goals WHERE user_id = '$u->{id}'") };
    my $before = $rows->();
    for my $accept ('application/json;q=0', 'application/json; q=0.0, text/html', '*/*;q=0', 'text/html, application/*;q=0') {
        error_ok(call($s, GET => '/users/me', %p, headers => { Accept => $accept }), 406, "is refused: $accept", code => 'VALIDATION_ERROR', field => 'Accept', constraint => 'media_type');
        error_ok(call($s, POST => '/goals', %p, json => { title => 'x', frequency => 1 }, headers => { Accept => $accept }), 406, 'before anything is written');
        status_ok(call($s, GET => '/health/ready', headers => { Accept => $accept }), 200, 'but for health');
    }
    is($rows->(), $before, 'nothing was');
};

subtest 'methods of every route' => sub {
    my $doc = call($s, GET => '/api/v1/openapi.json')->json;
    for my $path (sort keys %{ $doc->{paths} }) {
        my %known = map { uc($_) => 1 } grep { exists $doc->{paths}{$path}{$_} } qw(get post put patch delete);
        my $at = $path =~ s/\{\w+\}/$goal/r;
        my @want = sort(keys %known, $known{GET} ? 'HEAD' : (), 'OPTIONS');
        my $options = call($s, OPTIONS => $at);
        status_ok($options, 204, "OPTIONS $path");
        is_deeply([sort split /, /, $options->headers->header('Allow') // ''], \@want, 'Allow');
        for my $method (grep { !$known{$_} } qw(GET POST PUT PATCH DELETE PROPFIND LOCK BREW)) {
            my $res = call($s, $method, $at, %p, $method eq 'GET' ? () : (body => '{}'));
            error_ok($res, 405, "$method $path");
            is_deeply([sort split /, /, $res->headers->header('Allow') // ''], \@want, 'Allow');
        }
        my $head = call($s, HEAD => $at, %p);
        is($head->body, '', "HEAD $path: no body");
        is($head->code, $known{GET} ? call($s, GET => $at, %p)->code : 405, 'the status of GET') if $path !~ /jobs/;
    }
    error_ok(scalar raw($s, "TRACE /api/v1/goals HTTP/1.1\r\nHost: x\r\n\r\n"), 405, 'TRACE');
    error_ok(scalar raw($s, "CONNECT /api/v1/goals HTTP/1.1\r\nHost: x\r\n\r\n"), [400, 405], 'CONNECT');
    error_ok(scalar raw($s, "OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n"), [400, 404], 'OPTIONS *');
};

subtest 'Prefer' => sub {
    for my $case (['respond-async', 202], ['Respond-Async; wait=10', 202], ['wait=5, respond-async;x="a,b"', 202], ["return=minimal,\trespond-async", 202],
        ['respond-asyncx', 200], ['return=minimal', 200], ['respond', 200], ['', 200], ['"respond-async"', 200], [',;=,', 200]) {
        my ($prefer, $status) = @$case;
        my $res = call($s, PATCH => "/goals/$goal", %p, json => { title => 'Run' }, headers => { Prefer => $prefer });
        status_ok($res, $status, "Prefer: $prefer");
        is($res->headers->header('Preference-Applied'), $status == 202 ? 'respond-async' : undef, 'Preference-Applied');
    }
};

# The queue keeps what nobody takes: the envelope is "w1 <id> <job> <prio> <enqueued> <deadline> <attempt> <user> <reply to> <traceparent>\n<body>"
subtest 'traces' => sub {
    $s->stop_process('pool', 'TERM', 35);
    my $sent = sub ($trace, @more) {
        my %h = (Prefer => 'respond-async', 'X-Request-Id' => 'trace-' . int rand 1e9);
        $h{traceparent} = $trace if defined $trace;
        status_ok(call($s, POST => '/goals', %p, json => { title => 'trace', frequency => 1 }, headers => { %h, @more }), 202, 'accepted');
        my ($envelope) = $s->redis(LRANGE => '{fn}:q:sql:n', 0, 0);
        return ((split / /, $envelope)[9] =~ s/\n.*//sr, $h{'X-Request-Id'});
    };
    my $good = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00';
    my ($got, $id) = $sent->($good);
    is($got, $good, "the client's is carried on");
    my %line;
    ok(poll(5, sub { %line = map { my $l = decode_json($_); ($l->{request_id} => $l) } split /\n/, slurp($s->dir . '/log/json.log'); $line{$id} }), 'logged');
    is($line{$id}{trace_id}, '0af7651916cd43dd8448eb211c80319c', 'with its trace');
    for my $case (['01', '00', '', '00'], ['01', '01', '', '01'], ['cc', '01', '-what-the-future-brings', '01'], ['01', 'ff', '-', '01'], ['fe', '3a', '', '00'], ['01', '0b', '', '01']) {
        my ($version, $flags, $more, $want) = @$case;
        my $ids = substr $good, 2, -2;
        ($got) = $sent->("$version$ids$flags$more");
        is($got, "00$ids$want", "version $version with $flags$more goes on as ours");
    }
    my %seen;
    my $later = $good =~ s/^00/01/r;
    for my $bad (undef, '', 'x', uc $good, $good =~ s/^00/ff/r, $good =~ s/^00/0x/r, $good =~ s/^00/0A/r, $later . '.', "${later}00", substr($later, 0, 54), "$good-", $good =~ s/-0af\w+-/'-' . '0' x 32 . '-'/er, $good =~ s/-b7\w+-/'-' . '0' x 16 . '-'/er, "$good-x", substr($good, 0, 54), "$good$good") {
        ($got) = $sent->($bad);
        like($got, qr/\A00-[0-9a-f]{32}-[0-9a-f]{16}-01\z/, 'made when it is ' . (defined $bad ? "\"$bad\"" : 'missing'));
        isnt($got, $bad // '', 'another');
        ok(!$seen{$got}++, 'of its own');
    }
    my $two = raw($s, "GET /api/v1/users/me HTTP/1.1\r\nHost: x\r\nX-Request-Id: two-traces\r\ntraceparent: $good\r\ntraceparent: $good\r\nAuthorization: Bearer $u->{token}\r\n\r\n");
    status_ok($two, 200, 'two of them');
    ok(poll(5, sub { slurp($s->dir . '/log/json.log') =~ /"request_id":"two-traces","trace_id":"(\w+)"/ && $1 ne '0af7651916cd43dd8448eb211c80319c' }), 'are none');
    $s->start_pool;
    ok(poll(20, sub { $s->redis(LLEN => '{fn}:q:sql:n') == 0 }), 'the pool takes them');
};

subtest 'the log' => sub {
    call($s, GET => "/goals/$goal?secret=hunter2&q=%22", %p, headers => { 'X-Request-Id' => 'log-1', 'User-Agent' => 'agent "bond"' });
    call($s, POST => '/auth/login', json => { email => 'someone@example.com', password => 'hunter2hunter2' }, headers => { 'X-Request-Id' => 'log-2' });
    call($s, GET => '/api/v1/no"such\\' . 'x' x 300, headers => { 'X-Request-Id' => 'log-3' });
    call($s, GET => '/api/v1/a%ffb%0ac', headers => { 'X-Request-Id' => 'log-4' });
    raw($s, "nonsense\r\n\r\n");
    my (%line, $text);
    ok(poll(5, sub {
        $text = slurp($s->dir . '/log/json.log');
        %line = map { my $l = decode_json($_); ($l->{request_id} => $l) } split /\n/, $text;
        $line{'log-1'} && $line{'log-2'} && $line{'log-4'};
    }), 'every line is JSON');
    my $l = $line{'log-1'};
    is_deeply([@$l{qw(user_id method route path status protocol)}], [$u->{id}, 'GET', '/api/v1/goals/{id}', '', 400, 'HTTP/1.1'], 'who and what');
    like($l->{trace_id}, qr/\A[0-9a-f]{32}\z/, 'trace');
    ok($l->{$_} =~ /\A\d+(?:\.\d+)?(?:e-\d+)?\z/, $_) for qw(seconds bytes_in bytes_out connection);
    is($line{'log-2'}{user_id}, '', 'nobody yet');
    is($line{'log-3'}{route}, '', 'no route');
    is($line{'log-3'}{path}, substr('/api/v1/no"such\\' . 'x' x 300, 0, 100), 'its path, cut');
    is($line{'log-4'}{path}, '/api/v1/a', 'up to what is no text');
    my ($bad) = $text =~ /(.{0,40}(?:hunter2|example\.com|bond|eyJ).*)/;
    is($bad, undef, 'nothing that users write');
};

# nginx -t
my $good = path($s->dir, 'nginx.conf')->slurp;
sub nginx_t ($text) {
    my $file = path($s->dir, 'mistake.conf')->spurt($text);
    my $pid = open(my $out, '-|') // die "fork: $!";
    if (!$pid) {
        open STDERR, '>&', \*STDOUT;
        exec '/usr/sbin/nginx', '-t', '-e', $s->dir . '/log/test.log', '-p', $s->dir . '/', '-c', "$file";
    }
    local $/;
    my $said = <$out> // '';
    close $out;
    return ($? >> 8, $said);
}

subtest 'mistakes in the configuration' => sub {
    plan skip_all => 'nginx -t of this build needs its sanitizer loaded' if $s->{asan};
    for my $case (['fitnudge_cors_origins *', 'invalid origin "*" in "fitnudge_cors_origins" directive: it must not be "*": answers carry credentials'],
        ['fitnudge_cors_origins https://a.example null', 'must not be "null"'], ['fitnudge_cors_origins https://a.example/', 'must end with the host or its port'],
        ['fitnudge_cors_origins https://A.example', 'must be in lower case'], ['fitnudge_cors_origins https://a.example:443', 'must not name the default port'],
        ['fitnudge_cors_origins off https://a.example', 'invalid origin "off"'], ['fitnudge_cors_origins', 'invalid number of arguments'],
        ['fitnudge_cors_origins https://a.example; fitnudge_cors_origins off', '"fitnudge_cors_origins" directive is duplicate'],
        ['fitnudge_cors_max_age 2d', '"fitnudge_cors_max_age" directive must be from 0 to 1d'], ['fitnudge_cors_max_age x', 'invalid value'], ['fitnudge_hsts 11y', '"fitnudge_hsts" directive must be from 0 to 10y'],
        ['fitnudge_security_headers yes', 'invalid value "yes"'], ['fitnudge_deprecated soon', 'invalid parameter "soon" in "fitnudge_deprecated" directive'],
        ['fitnudge_deprecated @', 'invalid parameter "@"'], ['fitnudge_deprecated 2026-02-30', 'invalid parameter "2026-02-30"'], ['fitnudge_deprecated 2026-01-01 sunset=x', 'invalid parameter "sunset=x"'],
        ['fitnudge_deprecated 2026-01-01 sunset=2025-12-31', 'is earlier than the deprecation'], ['fitnudge_deprecated 2026-01-01 link=javascript:x', 'invalid parameter "link=javascript:x"'],
        ['fitnudge_deprecated 2026-01-01 "link=https://a.example/>; rel=x"', 'invalid parameter'], ['fitnudge_deprecated 2026-01-01 until=x', 'invalid parameter "until=x"'],
        ['fitnudge_deprecated 2026-01-01; fitnudge_deprecated off', 'is duplicate'], ['fitnudge_maintenance maybe', 'invalid value "maybe"'], ['fitnudge_maintenance_bypass', 'invalid number of arguments'],
        ['fitnudge_maintenance_bypass $nosuch', 'unknown "nosuch" variable']) {
        my ($line, $why) = @$case;
        my ($rc, $said) = nginx_t($good =~ s/^(\s*access_log log\/json.*)$/$1\n$line;/mr);
        isnt($rc, 0, $line);
        like($said, qr/\Q$why\E/, 'says why');
    }
    for my $line ('fitnudge_cors_origins off', 'fitnudge_cors_origins http://[::1]:3000', 'fitnudge_cors_max_age 0', 'fitnudge_hsts 0', 'fitnudge_hsts 10y', 'fitnudge_deprecated @0 sunset=@0',
        'fitnudge_maintenance auto', 'fitnudge_maintenance_bypass $http_x $arg_y') {
        my ($rc, $said) = nginx_t($good =~ s/^(\s*access_log log\/json.*)$/$1\n$line;/mr);
        is($rc, 0, $line) or diag($said);
    }
};

$s->assert_clean;
done_testing;
