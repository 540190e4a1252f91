# Keys that others publish: fetched through a location, rotated, remembered; and what happens when that fails.
use Mojo::Base -strict, -signatures;
use FindBin;
use lib "$FindBin::Bin/lib";
use Digest::SHA qw(hmac_sha256);
use FitNudge::Test::Contract;
use FitNudge::Test::Keys;
use FitNudge::Test::Stack;
use FitNudge::Util qw(free_port);
use IO::Socket::INET;
use Mojo::File qw(path);
use Mojo::JSON qw(encode_json);
use Test::More;
use Time::HiRes qw(sleep time);

my $iss = 'https://project.supabase.co/auth/v1';
my ($port, $h2) = map { free_port('127.0.0.1') } 1 .. 2;
my $server = <<"CONF";
fitnudge_jwks /_keys issuer=$iss cooldown=300ms timeout=1500ms;
location = /_keys {
    internal;
    proxy_pass http://127.0.0.1:$port/jwks.json;
    proxy_connect_timeout 1s;
    proxy_read_timeout 20s;
    subrequest_output_buffer_size 64k;
}
CONF

my $s = FitNudge::Test::Stack->new(nginx_workers => 1, server => $server, http => "server { listen 127.0.0.1:$h2 http2; fitnudge on; }");
$s->prepare;
start_fake();
$s->start;

sub start_fake () {
    $s->spawn('jwks', { log => 'jwks.log', death => 'TERM' }, 'perl', "$FindBin::Bin/fakes/jwks.pl", 'daemon', '-m', 'production', '-l', "http://127.0.0.1:$port");
    $s->_await('jwks', 15, sub { IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $port, Timeout => 1) }, 'jwks.log');
}

sub fake (%wish) { $s->ua->post("http://127.0.0.1:$port/_fake", json => \%wish)->result->code == 200 or die 'the fake does not answer' }
sub asked () { @{ $s->ua->get("http://127.0.0.1:$port/_fake/requests")->result->json } }
sub forget () { $s->ua->delete("http://127.0.0.1:$port/_fake/requests")->result }

my $u = new_user($s);

# The claims of a Supabase token of a user that is in our database.
sub claims (%more) {
    my %c = (sub => $u->{id}, role => 'authenticated', aud => 'authenticated', iss => $iss, session_id => FitNudge::Test::Stack::uuid(),
        iat => time - 1, exp => time + 900, email => 'ada@example.com', phone => '', is_anonymous => \0, aal => 'aal1',
        amr => [{ method => 'password', timestamp => time }], app_metadata => { provider => 'email', providers => ['email'] }, user_metadata => { plan => 'elite', role => 'admin' }, %more);
    $_ = int for @c{qw(iat exp)};
    delete @c{grep { !defined $c{$_} } keys %c};
    return \%c;
}

sub me ($token, %o) { call($s, GET => '/users/me', token => $token, ua => agent(), %o) }
sub works ($token, $name) { status_ok(me($token), 200, $name) }
sub refused ($token, $name) { error_ok(me($token), 401, $name) }

# Unknown ids are looked up again.
sub cooled () { sleep 0.4 }

# Reloads, and waits until the processes of before have gone.
sub reload () {
    my %old = map { $_ => 1 } @{ $s->pids->{nginx_workers} };
    $s->reload_nginx;
    return poll(15, sub { my @now = @{ $s->pids->{nginx_workers} }; @now && !grep { $old{$_} } @now });
}

my $es = make_key('ES256', kid => 'one');

# From here on the process knows the first key; what failed before that is the next attempt's business.
fake(set => jwks($es));
ok(poll(15, sub { me(sign_token($es, claims()))->code == 200 }), 'keys arrive by themselves') or diag($s->error_log);

subtest 'algorithms' => sub {
    my %key = map { $_ => make_key($_, kid => $_) } qw(RS256 RS384 RS512 PS256 ES256 ES384 EdDSA);
    fake(set => jwks($es, @key{sort keys %key}));
    ok(poll(10, sub { me(sign_token($key{RS256}, claims()))->code == 200 }), 'a new set is fetched');
    works(sign_token($key{$_}, claims()), $_) for sort keys %key;
    works(sign_token($key{$_}, claims(), header => { kid => undef }), "$_ without a kid") for qw(ES256 EdDSA);
    works($u->{token}, 'our own tokens as well');
    works($s->mint_jwt(sub => $u->{id}, _header => { alg => 'HS256', typ => 'JWT', kid => 'whatever' }), 'our own with a kid');

    refused(sign_token($key{RS256}, claims(), header => { alg => 'PS256' }), 'another algorithm than the key says');
    refused(sign_token({ %{ $key{RS512} }, alg => 'RS256' }, claims()), 'RS256 with the key of RS512');
    refused(sign_token($key{ES256}, claims(), der => 1), 'ES256 in DER');
    refused(sign_token($key{ES256}, claims(), header => { kid => 'ES384' }), "another key's id");
    refused(sign_token($key{RS256}, claims(iss => 'fitnudge')), 'our issuer, their key');
    refused($s->mint_jwt(sub => $u->{id}, iss => $iss), 'their issuer, our key');
    refused(sign_token($key{EdDSA}, claims(aud => 'anon')), 'another audience');
    refused(sign_token($key{EdDSA}, claims(sub => undef, role => 'service_role')), 'a service key');

    # the public key as a shared secret, in each form that somebody may have of it
    my $pem = `openssl pkey -in $key{RS256}{file} -pubout`;
    for my $secret ($pem, $pem =~ s/\n\z//r, $key{RS256}{jwk}{n}, encode_json($key{RS256}{jwk})) {
        for my $kid (undef, 'RS256') {
            refused($s->mint_jwt(sub => $u->{id}, iss => $iss, _key => $secret, _header => { alg => 'HS256', typ => 'JWT', $kid ? (kid => $kid) : () }), 'HS256 with the public key');
        }
    }
    for my $kid ('../../../dev/null', "' OR 1=1 --", 'x' x 300, 'x' x 5000, '', "RS256\0", "RS256\n", 5, ['RS256'], { a => 1 }) {
        refused(sign_token($key{RS256}, claims(), header => { kid => $kid }), 'kid ' . substr(ref $kid || $kid =~ s/[^ -~]/?/gr, 0, 20));
    }
    my $evil = make_key('ES256', kid => 'evil');
    refused(sign_token($evil, claims(), header => { %$_ }), 'a key of its own: ' . join ' ', keys %$_)
        for { jwk => $evil->{jwk} }, { jwk => $evil->{jwk}, kid => 'ES256' }, { jku => "http://127.0.0.1:$port/jwks.json" }, { x5u => 'file:///etc/passwd' }, { x5c => ['AAAA'] };
    refused(sign_token($key{ES256}, claims(), header => { typ => 'dpop+jwt' }), 'another type of token');
    works(sign_token($key{ES256}, claims(), header => { typ => 'at+jwt' }), 'an access token by name');
    works(sign_token($key{ES256}, claims(), header => { jku => 'http://127.0.0.1:1/' }), 'where its key is said to be does not matter');
};

subtest 'claims of Supabase' => sub {
    my @log;
    is((grep { ($_->{authorization} // $_->{cookie}) } asked()), 0, 'the publisher never sees a token');
    works(sign_token($es, claims(app_metadata => { plan => 'pro' })), 'a plan in app_metadata');
    refused(sign_token($es, claims(app_metadata => { plan => "a\nb" })), 'a plan that is none');
    my $stranger = sign_token($es, claims(sub => FitNudge::Test::Stack::uuid()));
    for my $ask ([GET => '/users/me'], [GET => '/goals'], [POST => '/goals', json => { title => 'Run', frequency => 3 }], [PATCH => '/users/me', json => { name => 'X' }], [POST => '/auth/logout', json => {}]) {
        my ($method, $path, @o) = @$ask;
        my $res = call($s, $method => $path, token => $stranger, ua => agent(), @o);
        cmp_ok($res->code // 0, '<', 500, "somebody we do not know: $method $path") or diag($res->body);
        note("$method $path: " . $res->code . ' ' . $res->body);
    }
};

subtest 'signing out' => sub {
    my ($here, $there) = map { claims() } 1 .. 2;
    my ($one, $other, $beside) = map { sign_token($es, $_) } $here, { %$here, aal => 'aal2' }, $there;
    works($_, 'signed in') for $one, $other, $beside;
    status_ok(call($s, POST => '/auth/logout', token => $one, json => {}, ua => agent()), 204, 'sign out');
    refused($_, 'the session of somebody else is over for us') for $one, $other;
    works($_, 'other sessions are not') for $beside, $u->{token};
    my $v = new_user($s);
    my ($mine, $far) = map { sign_token($es, claims(sub => $v->{id})) } 1 .. 2;
    status_ok(call($s, POST => '/auth/logout', token => $mine, json => { everywhere => \1 }, ua => agent()), 204, 'sign out everywhere');
    refused($_, 'all of them') for $mine, $far, $v->{token};
};

subtest 'rotation' => sub {
    my $two = make_key('RS256', kid => 'two');
    fake(set => jwks($es, $two));
    ok(poll(10, sub { me(sign_token($two, claims()))->code == 200 }), 'an unknown id is looked up') or diag($s->error_log);
    works(sign_token($es, claims()), 'the old key is good as long as it is published');
    my $old = sign_token($es, claims());
    works($old, 'and its token is remembered');
    my $three = make_key('ES256', kid => 'three');
    fake(set => jwks($two, $three));
    ok(poll(10, sub { me(sign_token($three, claims()))->code == 200 }), 'the next one comes');
    refused($old, 'what the key that went has signed is dead, remembered or not');
    fake(set => jwks($es));
    ok(poll(10, sub { me(sign_token($es, claims()))->code == 200 }), 'back to the first');
};

subtest 'one fetch at a time' => sub {
    cooled();
    forget();
    my $new = make_key('ES256', kid => 'many');
    fake(set => jwks($es, $new), delay_ms => 700);
    my @res = calls($s, map { [GET => '/users/me', token => sign_token($new, claims()), ua => agent()] } 1 .. 20);
    is(scalar(grep { ($_->code // 0) == 200 } @res), 20, 'twenty that wait are all served') or diag(join ' ', map { $_->code // 'none' } @res);
    is(scalar(asked()), 1, 'by one fetch');
    works($u->{token}, 'others do not wait');

    cooled();
    forget();
    fake(delay_ms => 0);
    my @tokens = map { sign_token($es, claims(), header => { kid => "nobody$_" }) } 1 .. 30;
    my $t = time;
    refused($_, 'an unknown id') for @tokens;
    cmp_ok(scalar(asked()), '<=', 2 + (time - $t) / 0.3, 'an unknown id costs one fetch a cooldown');
};

subtest 'failures' => sub {
    my $new = make_key('ES256', kid => 'late');
    for my $mode (qw(500 cut garbage huge redirect)) {
        cooled();
        fake(mode => $mode, set => jwks($es, $new));
        error_ok(me(sign_token($new, claims())), 503, "$mode: a new key cannot be had", constraint => 'token');
        works(sign_token($es, claims()), "$mode: those of before stay");
        works($u->{token}, "$mode: our own too");
        refused(sign_token($es, claims(exp => time - 60)), "$mode: expired is expired");
        fake(mode => 'ok');
        ok(poll(10, sub { me(sign_token($new, claims()))->code == 200 }), "$mode: it comes back");
        fake(set => jwks($es));
        ok(poll(10, sub { me(sign_token($new, claims()))->code == 401 || do { me(sign_token($es, claims(), header => { kid => 'x' })); 0 } }), "$mode: and goes");
    }
};

subtest 'a fetch that hangs' => sub {
    my $new = make_key('ES256', kid => 'hung');
    cooled();
    forget();
    fake(mode => 'hang');
    my $t = time;
    my @res = calls($s, map { [GET => '/users/me', token => sign_token($new, claims()), ua => agent()] } 1 .. 5);
    error_ok($_, 503, 'who waits is told') for @res;
    cmp_ok(time - $t, '<', 10, 'in time');
    works(sign_token($es, claims()), 'known keys go on');

    # clients that lose patience
    cooled();
    my @sock = map { raw_start($s, "GET /api/v1/users/me HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer " . sign_token($new, claims()) . "\r\n\r\n") } 1 .. 5;
    ok(poll(10, sub { scalar(asked()) >= 2 }), 'a fetch is under way');
    close $_ for @sock[0 .. 3];
    fake(mode => 'ok', set => jwks($es, $new));
    my ($res) = raw_answers($sock[4], 1);
    ok($res && $res->code =~ /\A(?:200|503)\z/, 'the one that stayed gets an answer');
    ok(poll(10, sub { me(sign_token($new, claims()))->code == 200 }), 'and the key is found');
};

subtest 'HTTP/1.1 keeps its connection' => sub {
    cooled();
    my $new = make_key('ES256', kid => 'keep');
    fake(set => jwks($es, $new), delay_ms => 200);
    my $req = "GET /api/v1/users/me HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer " . sign_token($new, claims()) . "\r\n\r\n";
    my $own = "GET /api/v1/users/me HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer $u->{token}\r\n\r\n";
    my @res = raw($s, "$req$own$req", n => 3);
    is(join(' ', map { $_->code } @res), '200 200 200', 'three in a row, the first one waits');
    my $post = encode_json({ title => 'Run', frequency => 3 });
    cooled();
    $new = make_key('ES256', kid => 'body');
    fake(set => jwks($es, $new));
    my $res = call($s, POST => '/goals', token => sign_token($new, claims()), json => { title => 'Run', frequency => 3 }, ua => agent());
    status_ok($res, 201, 'a write that waits keeps its body');
    fake(delay_ms => 0);
};

subtest 'HTTP/2' => sub {
    my $start = sub ($token, $n, $time = 20) {
        return map {
            open my $fh, '-|', 'curl', '-s', '--max-time', $time, '--http2-prior-knowledge', '-w', '%{http_version} %{http_code} ', '-H', "Authorization: Bearer $token", '-o', '/dev/null', "http://127.0.0.1:$h2/api/v1/users/me" or die $!;
            $fh;
        } 1 .. $n;
    };
    my $ask = sub (@o) { join '', map { my $fh = $_; local $/; scalar <$fh> } $start->(@o) };
    cooled();
    forget();
    my $new = make_key('ES256', kid => 'h2');
    fake(set => jwks($es, $new), delay_ms => 500);
    is($ask->(sign_token($new, claims()), 3), '2 200 ' x 3, 'streams wait');
    cmp_ok(scalar(asked()), '<=', 2, 'for one fetch, or two when one came late');
    cooled();
    fake(mode => 'hang');
    $ask->(sign_token($new, claims(), header => { kid => 'h3' }), 1, 0.4);
    is($ask->(sign_token($new, claims()), 1), '2 200 ', 'one that was given up hurts nobody');
    fake(mode => 'ok', delay_ms => 0);
    ok(poll(10, sub { me(sign_token($es, claims()))->code == 200 }), 'and the publisher is back');
};

subtest 'reload' => sub {
    fake(set => jwks($es));
    ok(reload(), 'reload');
    works(sign_token($es, claims()), 'keys are there at once');
    fake(mode => 'hang');
    ok(reload(), 'reload while the publisher is away');
    works(sign_token($es, claims()), 'keys outlive the process');
    fake(mode => 'ok');

    # a process that may not wait for its fetch, nor for who waits for it
    fake(mode => 'hang');
    cooled();
    forget();
    my $conf = path($s->dir, 'nginx.conf');
    $conf->spurt($conf->slurp =~ s/worker_shutdown_timeout \w+;/worker_shutdown_timeout 10ms;/r);
    ok(reload(), 'reload');
    my @cut = map { raw_start($s, "GET /api/v1/users/me HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer " . sign_token($es, claims(), header => { kid => "cut$_" }) . "\r\n\r\n") } 1 .. 3;
    ok(poll(10, sub { scalar(asked()) >= 2 }), 'a fetch is under way') or diag(scalar(asked()));
    ok(reload(), 'reload');
    close $_ for @cut;
    works(sign_token($es, claims()), 'the next process knows the keys');
    $s->write_conf;
    ok(reload(), 'reload');

    # nginx stops gracefully while it fetches, and at once
    for my $how (qw(QUIT TERM)) {
        fake(mode => 'hang');
        my $sock = raw_start($s, "GET /api/v1/users/me HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer " . sign_token($es, claims(), header => { kid => 'stop' }) . "\r\n\r\n");
        sleep 0.3;
        $s->stop_process('nginx', $how, 15);
        close $sock;
        $s->start_nginx;
        $s->wait_ready;
        fake(mode => 'ok');
        ok(poll(15, sub { me(sign_token($es, claims()))->code == 200 }), "$how: and up again");
    }
};

subtest 'a start without keys' => sub {
    $s->stop_process('nginx', 'TERM', 15);
    fake(mode => '500');
    $s->start_nginx;
    $s->wait_ready;
    error_ok(me(sign_token($es, claims())), 503, 'keys were never there');
    error_ok(me(sign_token($es, claims(), header => { kid => undef })), 503, 'whatever the id');
    works($u->{token}, 'our own tokens work');
    refused($s->mint_jwt(sub => $u->{id}, _key => 'x' x 40), 'a wrong one of ours is refused');
    fake(mode => 'ok');
    ok(poll(15, sub { me(sign_token($es, claims()))->code == 200 }), 'they come');
};

subtest 'files' => sub {
    my ($rsa, $ec) = (make_key('RS256', kid => 'f1', alg => undef), make_key('ES384', kid => undef));
    my $secret = 'a shared secret of some other system';
    my $file = path($s->dir, 'keys.json');
    my $oct = { kty => 'oct', kid => 'hs', k => b64url($secret) };
    my $conf = sub ($keys, @more) {
        $file->spurt(ref $keys ? encode_json($keys) : $keys);
        $s->{shared} = join "\n", "fitnudge_jwks file:$file issuer=$iss;", @more;
        $s->write_conf;
        local @ENV{qw(LD_PRELOAD ASAN_OPTIONS)} = ($ENV{FITNUDGE_ASAN} ? `gcc -print-file-name=libasan.so` =~ s/\s+\z//r : '', 'detect_leaks=0');
        my $out = `nginx -t -e stderr -p '$s->{dir}/' -c '$s->{dir}/nginx.conf' 2>&1`;
        return ($? == 0, $out);
    };
    my ($ok, $out) = $conf->({ keys => [$rsa->{jwk}, $ec->{jwk}, $oct] });
    ok($ok, 'a file is accepted') or diag($out);
    ok(reload(), 'and read again');
    ok(poll(10, sub { me(sign_token($rsa, claims()))->code == 200 }), 'RS256 of a file');
    works(sign_token($ec, claims()), 'ES384 without an id');
    works($s->mint_jwt(%{ claims() }, plan => undef, jti => undef, _key => $secret, _header => { alg => 'HS256', kid => 'hs' }), "a shared secret, as Supabase's older projects have");
    works(sign_token($es, claims()), 'the location beside it');

    for my $case (
        ['', 'is no JSON'], ['[]', 'is no'], ['{}', 'has no member "keys"'], ['{"keys":{}}', 'is no array'], ['{"keys":[]}', 'has no key'],
        [{ keys => [make_key('RS256', bits => 1024)->{jwk}] }, '2048'], [{ keys => [{ %{ $rsa->{jwk} }, d => 'AQAB' }] }, 'private part'],
        [{ keys => [{ %{ $ec->{jwk} }, y => $ec->{jwk}{x} }] }, 'not on its curve'], [{ keys => [{ kty => 'oct', k => 'c2hvcnQ' }] }, 'less than 32'],
        [{ keys => [{ %{ $rsa->{jwk} }, use => 'enc' }] }, 'not for signatures'], [{ keys => [{ %{ $rsa->{jwk} }, alg => 'HS256' }] }, 'algorithm'],
        [{ keys => [{ %{ $rsa->{jwk} }, e => 'AQ' }] }, 'exponent'],
    ) {
        ($ok, $out) = $conf->($case->[0]);
        ok(!$ok && $out =~ /\Q$case->[1]\E/, "refused: $case->[1]") or diag($out);
    }
    for my $case (
        ['fitnudge_jwks file:/nowhere.json;', 'cannot open'], ['fitnudge_jwks http://x/;', 'file:/path or the /uri'], ['fitnudge_jwks /x;', 'belongs into the "server" block'],
        ["fitnudge_jwks file:$file ttl=5m;", 'invalid parameter "ttl=5m"'], ["fitnudge_jwks file:$file issuer=;", 'invalid parameter'], ["fitnudge_jwks file:$file issuer=a issuer=b;", 'invalid parameter'],
        ['fitnudge_jwt_leeway 6m;', 'must be from 0s to 5m'], ['fitnudge_jwt_leeway soon;', 'invalid value'], ['fitnudge_jwt_cache 65537;', 'must be between 0 and 65536'], ['fitnudge_jwt_cache x;', 'invalid number'],
        ['fitnudge_jwt_require a b c d e f g h i;', 'at most 8'], ['fitnudge_jwt_require "";', 'is empty'], ["fitnudge_jwt_require a;\nfitnudge_jwt_require b;", 'is duplicate'],
        ['fitnudge_revocation_stale 1s;', 'must be off, or from 10s to 1d'], ['fitnudge_revocation_stale never;', 'invalid value'], ["fitnudge_revocation_stale off;\nfitnudge_revocation_stale 1m;", 'is duplicate'],
        [join("\n", map { "fitnudge_jwks file:$file;" } 1 .. 4), 'at most 4'], ['fitnudge_jwt_audience "";', 'invalid value'],
    ) {
        ($ok, $out) = $conf->({ keys => [$rsa->{jwk}] }, $case->[0]);
        ok(!$ok && $out =~ /\Q$case->[1]\E/, 'refused: ' . $case->[0] =~ s/\n.*//sr) or diag($out);
    }
};

subtest 'settings' => sub {
    my $file = path($s->dir, 'keys.json')->spurt(encode_json(jwks($es)));
    $s->{shared} = "fitnudge_jwks file:$file issuer=$iss audience=mobile;\nfitnudge_jwt_require jti email;\nfitnudge_jwt_leeway 60s;\nfitnudge_jwt_cache 0;\nfitnudge_jwt_audience people;";
    $s->{server} = 'add_header X-Claims "$fitnudge_claim_sub|$fitnudge_claim_role|$fitnudge_claim_plan|$fitnudge_claim_session_id|$fitnudge_claim_jti|$fitnudge_claim_email|$fitnudge_claim_n|$fitnudge_claim_b|$fitnudge_claim_amr|$fitnudge_claim_evil|$fitnudge_claim_" always;';
    $s->write_conf;
    ok(reload(), 'reload');
    my %c = (aud => 'mobile', jti => 't1', session_id => undef, n => 7, b => \1, evil => "a\r\nSet-Cookie: b", app_metadata => { plan => 'pro', role => 'support' });
    ok(poll(10, sub { me(sign_token($es, claims(%c)))->code == 200 }), 'claims that are required');
    is(me(sign_token($es, claims(%c)))->headers->header('X-Claims'), "$u->{id}|support|pro||t1|ada\@example.com|7|true|||", 'variables');
    is(call($s, GET => '/health', ua => agent())->headers->header('X-Claims'), '||||||||||', 'none without a token');
    is(me(sign_token($es, claims(%c, exp => time - 3600)))->headers->header('X-Claims'), '||||||||||', 'nor with one that is refused');
    works(sign_token($es, claims(%c, exp => time - 30)), 'leeway');
    refused(sign_token($es, claims(%c, exp => time - 90)), 'and its end');
    refused(sign_token($es, claims(%c, jti => undef)), 'no jti');
    refused(sign_token($es, claims(%c, email => undef)), 'no email');
    refused(sign_token($es, claims(%c, aud => 'authenticated')), 'the audience of others');
    refused($u->{token}, 'our own of before the audience changed');
    works($s->mint_jwt(sub => $u->{id}, aud => 'people', email => 'x'), 'our own with the new one');
};

my $keys = call($s, GET => '/.well-known/jwks.json', ua => agent());
status_ok($keys, 200, 'our own key set');
is($keys->body, '{"keys":[]}', 'is empty: a secret is no public key');
like($keys->headers->cache_control, qr/public/, 'and may be cached');

like($s->error_log, qr/access token refused: unknown key/, 'reasons are logged');
unlike($s->error_log, qr/eyJ[A-Za-z0-9_-]{10}/, 'tokens are not');
$s->assert_clean;
done_testing;
