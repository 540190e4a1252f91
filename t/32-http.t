# HTTP itself: conditional and repeated requests, asynchronous answers, connections of every kind.
use Mojo::Base -strict, -signatures;
use FindBin;
use lib "$FindBin::Bin/lib";
use FitNudge::Test::Contract;
use FitNudge::Test::Stack;
use Mojo::JSON qw(encode_json decode_json);
use Test::More;

my $h2_port = do {
    my $l = IO::Socket::INET->new(Listen => 1, LocalAddr => '127.0.0.1') or die $!;
    $l->sockport;
};
my $s = FitNudge::Test::Stack->new(nginx_workers => 2, http => "server { listen 127.0.0.1:$h2_port http2; fitnudge on; }")->start;
my $u = new_user($s);
make_pro($s, $u);
my %p = (token => $u->{token});
my $goal = call($s, POST => '/goals', %p, json => { title => 'Run', frequency => 3 })->json->{id};

subtest 'ETag' => sub {
    for my $path ('/users/me', '/goals', "/goals/$goal", "/goals/$goal/stats", '/checkins', '/motivations', '/auth/sessions', '/api/v1/openapi.json') {
        my $res = call($s, GET => $path, %p);
        status_ok($res, 200, $path =~ s/\Q$goal\E/{id}/r);
        my $etag = $res->headers->etag // '';
        like($etag, qr/\A"[^"]+"\z/, 'a strong ETag');
        for my $match ($etag, "\"x\", $etag", "W/$etag", '*') {
            my $not = call($s, GET => $path, %p, headers => { 'If-None-Match' => $match });
            status_ok($not, 304, "unchanged: " . ($match =~ s/\Q$etag\E/etag/r));
            is($not->body, '', 'no body');
            is($not->headers->etag, $etag, 'the same ETag');
        }
        status_ok(call($s, GET => $path, %p, headers => { 'If-None-Match' => '"other"' }), 200, 'changed');
    }
    my $etag = call($s, GET => "/goals/$goal", %p)->headers->etag;
    call($s, PATCH => "/goals/$goal", %p, json => { title => 'Walk' });
    my $res = call($s, GET => "/goals/$goal", %p, headers => { 'If-None-Match' => $etag });
    status_ok($res, 200, 'a write changes it');
    isnt($res->headers->etag, $etag, 'to another');
    error_ok(call($s, GET => "/goals/$goal", headers => { 'If-None-Match' => $etag }), 401, 'it opens nothing');
};

subtest 'HEAD' => sub {
    for my $path ('/users/me', "/goals/$goal", '/api/v1/openapi.json', '/health/live', '/auth/csrf') {
        my ($get, $head) = map { call($s, $_ => $path, %p) } qw(GET HEAD);
        status_ok($head, 200, $path =~ s/\Q$goal\E/{id}/r);
        is($head->body, '', 'no body');
        is($head->headers->content_length // '', $get->headers->content_length // '', 'the same length') if $path ne '/auth/csrf';
        is($head->headers->etag // '', $get->headers->etag // '', 'the same ETag') if $path ne '/auth/csrf';
    }
    my $gone = call($s, HEAD => '/goals/01900000-0000-7000-8000-000000000000', %p);
    status_ok($gone, 404, 'of nothing');
    is($gone->body, '', 'no body');
};

subtest 'OPTIONS' => sub {
    for my $case (['/goals', qw(GET POST)], ["/goals/$goal", qw(GET PATCH DELETE)], ['/auth/login', 'POST'], ['/health', 'GET']) {
        my ($path, @methods) = @$case;
        my $res = call($s, OPTIONS => $path);
        ok(($res->code // 0) =~ /\A20[04]\z/, $path) or diag($res->code // 'none');
        my %allow = map { $_ => 1 } split /\s*,\s*/, $res->headers->header('Allow') // '';
        ok(!(grep { !$allow{$_} } @methods), 'Allow') or diag($res->headers->header('Allow') // 'none');
    }
    error_ok(call($s, OPTIONS => '/nosuch'), 404, 'of nothing');
};

subtest 'If-Match' => sub {
    my $c = call($s, POST => "/goals/$goal/checkins", %p, json => { status => 'done', date => '2025-05-05' })->json;
    for my $case (["/checkins/$c->{id}", { status => 'missed' }], ['/users/me', { bio => 'b' }]) {
        my ($path, $json) = @$case;
        my $v = call($s, PATCH => $path, %p, json => $json)->json->{version};
        error_ok(call($s, PATCH => $path, %p, json => $json, headers => { 'If-Match' => '"' . ($v - 1) . '"' }), 412, 'somebody was first');
        status_ok(call($s, PATCH => $path, %p, json => $json, headers => { 'If-Match' => "\"$v\"" }), 200, 'nobody was');
    }
};

subtest 'Idempotency-Key' => sub {
    my $rows = sub { $s->sql("SELECT count(*) FROM goals WHERE user_id = '$u->{id}'") };
    my $before = $rows->();
    my $post = sub ($key, $json) { call($s, POST => '/goals', %p, json => $json, headers => { 'Idempotency-Key' => $key }) };
    my $one = $post->('key-1', { title => 'once', frequency => 1 });
    status_ok($one, 201, 'first');
    ok(!defined $one->headers->header('Idempotency-Replayed'), 'not a replay');
    for my $json ({ title => 'once', frequency => 1 }, { frequency => 1, title => '  once ' }) {
        my $two = $post->('key-1', $json);
        status_ok($two, 201, 'again');
        is($two->headers->header('Idempotency-Replayed'), 'true', 'a replay');
        is($two->body, $one->body, 'the same answer');
    }
    my $other = $post->('key-1', { title => 'twice', frequency => 1 });
    error_ok($other, 422, 'another body');
    my $elsewhere = call($s, PATCH => "/goals/" . $one->json->{id}, %p, json => { title => 'x' }, headers => { 'Idempotency-Key' => 'key-1' });
    status_ok($elsewhere, 200, 'another route has its own keys');
    is($rows->(), $before + 1, 'one row');

    my $bad = $post->('key-2', { title => '', frequency => 1 });
    error_ok($bad, 400, 'a refused request');
    status_ok($post->('key-2', { title => 'good now', frequency => 1 }), 201, 'does not use the key up');

    my $missing = "/goals/01900000-0000-7000-8000-000000000000";
    my @gone = map { call($s, DELETE => $missing, %p, headers => { 'Idempotency-Key' => 'key-3' }) } 1, 2;
    status_ok($_, 404, "the pool's refusals are repeated") for @gone;
    is($gone[1]->body, $gone[0]->body, 'word for word');

    my @res = calls($s, map { [POST => '/goals', %p, json => { title => 'race', frequency => 1 }, headers => { 'Idempotency-Key' => 'key-4' }, ua => agent()] } 1 .. 10);
    is(scalar(grep { $_->code == 201 || $_->code == 409 } @res), 10, 'ten at once: made, repeated or told to wait');
    is($s->sql("SELECT count(*) FROM goals WHERE title = 'race'"), 1, 'one row');
    status_ok($post->('k' x 255, { title => '255', frequency => 1 }), 201, '255 characters');
    error_ok($post->($_, { title => 'x', frequency => 1 }), 400, length($_) . ' characters') for 'k' x 256, '';

    my $email = sprintf 'idem%d@example.com', $$;
    my @up = map { call($s, POST => '/auth/signup', json => { email => $email, password => 'good pass 9', name => 'I' }, headers => { 'Idempotency-Key' => "up-$$" }) } 1, 2;
    status_ok($up[0], 201, 'sign-up');
    status_ok($up[1], 201, 'repeated');
    is($s->sql("SELECT count(*) FROM users WHERE email = '$email'"), 1, 'one account');
    is($up[1]->json->{user}{id}, $up[0]->json->{user}{id}, 'the same user');
};

subtest 'respond-async' => sub {
    my $res = call($s, POST => '/goals', %p, json => { title => 'later', frequency => 1 }, headers => { Prefer => 'respond-async' });
    status_ok($res, 202, 'accepted');
    my $id = $res->json->{job}{id};
    like($id, uuid_re(), 'job id');
    is($res->json->{job}{status}, 'queued', 'queued');
    is($res->headers->location, "/api/v1/jobs/$id", 'Location');
    my $job;
    ok(poll(15, sub { $job = call($s, GET => "/jobs/$id", %p)->json->{job}; ($job->{status} // '') eq 'done' }), 'is done') or diag(explain($job));
    is($job->{status_code}, 201, 'status_code');
    is($job->{response}{title}, 'later', 'response');
    status_ok(call($s, GET => "/goals/$job->{response}{id}", %p), 200, 'is there');
    my $v = new_user($s);
    error_ok(call($s, GET => "/jobs/$id", token => $v->{token}), 404, "somebody else's job");
    error_ok(call($s, GET => '/jobs/01900000-0000-7000-8000-000000000000', %p), 404, 'no such job');
    my $bad = call($s, POST => '/goals', %p, json => { title => '', frequency => 1 }, headers => { Prefer => 'respond-async' });
    error_ok($bad, 400, 'a mistake is told at once');
    my $gone = call($s, DELETE => '/goals/01900000-0000-7000-8000-000000000000', %p, headers => { Prefer => 'return=minimal, respond-async' });
    status_ok($gone, 202, 'accepted');
    my $gid = $gone->json->{job}{id};
    ok(poll(15, sub { $job = call($s, GET => "/jobs/$gid", %p)->json->{job}; ($job->{status} // '') eq 'done' }), 'a refusal is an answer');
    is($job->{status_code}, 404, 'status_code');
    is($job->{response}{error}{code}, 'NOT_FOUND', 'response');
};

subtest 'connections' => sub {
    my $auth = "Authorization: Bearer $u->{token}\r\n";
    my $body = encode_json({ title => 'piped', frequency => 1 });
    my $get = "GET /api/v1/users/me HTTP/1.1\r\nHost: x\r\n$auth\r\n";
    my $post = "POST /api/v1/goals HTTP/1.1\r\nHost: x\r\n${auth}Content-Type: application/json\r\nContent-Length: " . length($body) . "\r\n\r\n$body";
    my $bad = $post =~ s/"frequency":1/"frequency":9/r;

    my @res = raw($s, $get x 20, n => 20);
    is(scalar(grep { $_->code == 200 && $_->json->{id} eq $u->{id} } @res), 20, 'twenty reads in one packet');
    @res = raw($s, join('', map { $post . $get . $bad } 1 .. 5), n => 15);
    is_deeply([map { $_->code } @res], [(201, 200, 400) x 5], 'reads, writes and mistakes are answered in order');
    @res = raw($s, "POST /api/v1/nosuch HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello$get", n => 2);
    is_deeply([map { $_->code } @res], [404, 200], 'an unread body does not spoil what follows');

    my $old = raw($s, "GET /api/v1/users/me HTTP/1.0\r\n$auth\r\n");
    status_ok($old, 200, 'HTTP/1.0');
    is(($old->json // {})->{id}, $u->{id}, 'whole');
    my $oldpost = raw($s, "POST /api/v1/goals HTTP/1.0\r\n${auth}Content-Type: application/json\r\nContent-Length: " . length($body) . "\r\n\r\n$body");
    status_ok($oldpost, 201, 'HTTP/1.0 write');
    error_ok(scalar raw($s, "GET /api/v1/users/me HTTP/1.0\r\n\r\n"), 401, 'HTTP/1.0 error');
    my $close = raw($s, $get =~ s/\r\n\r\n/\r\nConnection: close\r\n\r\n/r, n => 0);
    status_ok($close, 200, 'Connection: close');

    my $sock = raw_start($s, '');
    my @slow;
    for my $byte (split //, $get) { syswrite $sock, $byte }
    @slow = raw_answers($sock, 1);
    is($slow[0]->code, 200, 'byte by byte');
    my $expect = raw_start($s, $post =~ s/\r\n\r\n.*/\r\nExpect: 100-continue\r\n\r\n/sr);
    sysread $expect, my $continue, 4096;
    like($continue // '', qr{\AHTTP/1.1 100 }, '100 Continue');
    syswrite $expect, $body;
    my @e = raw_answers($expect, 1);
    is($e[0] && $e[0]->code, 201, 'and then the answer');

    my @many = calls($s, map { [GET => "/goals/$goal", %p, ua => agent()] } 1 .. 60);
    is(scalar(grep { ($_->code // 0) == 200 } @many), 60, 'sixty connections');
};

# Sends all requests as streams of one connection before it reads anything (RFC 9113; header fields as plain literals of
# RFC 7541, section 6.2.2, so that no table is needed). A request: method, path, and maybe more fields and the beginning
# of a body. Statuses by order, and as a last value the bodies.
sub streams (@request) {
    my %index = (0x88 => 200, 0x89 => 204, 0x8a => 206, 0x8b => 304, 0x8c => 400, 0x8d => 404, 0x8e => 500);
    my $sock = IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $h2_port) or die $!;
    my $frame = sub ($type, $flags, $id, $load) { substr(pack('N', length $load), 1) . pack('CCN', $type, $flags, $id) . $load };
    my $length = sub ($n) { $n < 127 ? chr $n : chr(127) . do { my $r = $n - 127; my $o = ''; while ($r > 127) { $o .= chr($r % 128 + 128); $r = int($r / 128) } $o . chr $r } };
    my $field = sub ($name, $value) { "\0" . $length->(length $name) . $name . $length->(length $value) . $value };
    my $bytes = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" . $frame->(4, 0, 0, '');
    for my $i (0 .. $#request) {
        my ($method, $path, $more, $body) = @{ $request[$i] };
        my $block = join '', $field->(':method', $method), $field->(':scheme', 'http'), $field->(':authority', 'x'), $field->(':path', $path),
            $field->(authorization => "Bearer $u->{token}"), map { $field->(@$_) } @{ $more // [] };
        my @part = unpack '(a16000)*', $block;
        # HEADERS and CONTINUATION; END_HEADERS with the last one, END_STREAM when no body follows
        $bytes .= $frame->($_ ? 9 : 1, ($_ == $#part ? 4 : 0) | ($_ || defined $body ? 0 : 1), 2 * $i + 1, $part[$_]) for 0 .. $#part;
        $bytes .= $frame->(0, 0, 2 * $i + 1, $body) if defined $body;
    }
    syswrite $sock, $bytes;
    my ($in, %status, %ended, %body) = ('');
    my $end = time + 20;
    while (keys %ended < @request && time < $end) {
        vec(my $rin = '', fileno $sock, 1) = 1;
        select($rin, undef, undef, 1) or next;
        sysread($sock, $in, 65536, length $in) or last;
        while (length $in >= 9) {
            my $n = unpack 'N', "\0" . substr $in, 0, 3;
            last if length $in < 9 + $n;
            my ($type, $flags, $id) = unpack 'x3 C C N', $in;
            my $load = substr $in, 9, $n;
            substr($in, 0, 9 + $n) = '';
            $status{$id} = $index{ ord $load } // ($load =~ /\A\x48\x03(\d{3})/ ? $1 : sprintf 'byte %02x', ord $load) if $type == 1;
            $body{$id} .= $load if $type == 0;
            $status{$id} //= 'reset', $ended{$id} = 1 if $type == 3;
            $ended{$id} = 1 if ($type == 0 || $type == 1) && $flags & 1;
            syswrite $sock, $frame->(4, 1, 0, '') if $type == 4 && !($flags & 1);
        }
    }
    return (map { $ended{ 2 * $_ + 1 } ? $status{ 2 * $_ + 1 } : 'no answer' } 0 .. $#request), [map { $body{ 2 * $_ + 1 } // '' } 0 .. $#request];
}

subtest 'HTTP/2' => sub {
    my $curl = sub (@args) {
        open my $fh, '-|', 'curl', '-s', '--max-time', '20', '--http2-prior-knowledge', @args or die $!;
        local $/;
        my $out = <$fh>;
        close $fh;
        return $out // '';
    };
    my $base = "http://127.0.0.1:$h2_port/api/v1";
    my @auth = ('-H', "Authorization: Bearer $u->{token}");
    my $out = $curl->(@auth, '-w', "\n%{http_version} %{http_code}", "$base/users/me");
    like($out, qr/\n2 200\z/, 'a read');
    is(decode_json($out =~ s/\n.*\z//sr)->{id}, $u->{id}, 'its body');
    $out = $curl->(@auth, '-w', "\n%{http_version} %{http_code}", '-H', 'Content-Type: application/json', '-d', '{"title":"two","frequency":2}', "$base/goals");
    like($out, qr/\n2 201\z/, 'a write');
    $out = $curl->('-w', "\n%{http_version} %{http_code}", "$base/users/me");
    like($out, qr/\n2 401\z/, 'an error');
    like($out, qr/"AUTHENTICATION_ERROR"/, "with the contract's body");
    my @status = streams((map { [GET => "/api/v1/goals/$goal"] } 1 .. 20), (map { [GET => '/api/v1/nosuch'] } 1 .. 5), (map { [GET => '/api/v1/users/me'] } 1 .. 20));
    pop @status;
    is_deeply(\@status, [(200) x 20, (404) x 5, (200) x 20], 'forty-five streams at once');
    # curl may lose an answer that comes before it has sent all, as nginx ends the stream then
    for my $case ([413, 'PAYLOAD_TOO_LARGE', 'a large body', [POST => '/api/v1/goals', [['content-type', 'application/json'], ['content-length', 100000]], '{' x 1000]],
        [400, 'VALIDATION_ERROR', 'two Authorization headers', [GET => '/api/v1/users/me', [[authorization => "Bearer $u->{token}"]]]]) {
        my ($status, $code, $name, $request) = @$case;
        my ($got, $after, $body) = streams($request, [GET => '/api/v1/users/me']);
        is($got, $status, $name);
        is((eval { decode_json($body->[0]) } // {})->{error}{code}, $code, "has the contract's body") or diag($body->[0]);
        is($after, 200, 'and does no harm to the next stream');
    }
    # with headers that it will not even read nginx ends the connection: there is no request to answer
    for my $more ([['x-long', 'a' x 40000]], [map { ["x-$_", 'b' x 1000] } 1 .. 60]) {
        is_deeply([(streams([GET => '/api/v1/users/me', $more]))[0]], ['no answer'], 'headers that are too large');
        is_deeply([(streams([GET => '/api/v1/users/me', [['x-fine', 'a' x 4000]]]))[0]], [200], 'others are fine');
    }
};

$s->assert_clean;
done_testing;
