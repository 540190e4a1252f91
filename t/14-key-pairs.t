# Tokens signed with key pairs of our own: what is published, how keys are changed without signing anybody out, what is counted.
use Mojo::Base -strict, -signatures;
use FindBin;
use lib "$FindBin::Bin/lib";
use FitNudge::Test::Contract;
use FitNudge::Test::Keys;
use FitNudge::Test::Metrics;
use FitNudge::Test::Stack;
use Mojo::File qw(path);
use Mojo::JSON qw(decode_json encode_json);
use Mojo::Util qw(b64_decode);
use Test::More;

my %key = map { $_ => make_key($_) } qw(ES256 ES384 RS256 EdDSA);

my $s = FitNudge::Test::Stack->new(nginx_workers => 1);
$s->prepare;
my $file = $s->secret_file('jwt_keys');
$s->{shared} = "fitnudge_jwt_keys file:$file;";
keys_are(qw(ES256));
$s->start;

# The file keeps its owner: the pool reads it, too.
sub keys_are (@names) { path($file)->spurt(map { path($key{$_}{file})->slurp } @names) }

sub header_of ($token) { my ($h) = split /\./, $token; $h =~ tr{-_}{+/}; return decode_json(b64_decode($h)) }
sub published () { call($s, GET => '/.well-known/jwks.json', ua => agent())->json->{keys} }
sub me ($token) { call($s, GET => '/users/me', token => $token, ua => agent()) }
sub works ($token, $name) { status_ok(me($token), 200, $name) }
sub refused ($token, $name) { error_ok(me($token), 401, $name) }

sub reload_edge () {
    my %old = map { $_ => 1 } @{ $s->pids->{nginx_workers} };
    $s->reload_nginx;
    ok(poll(15, sub { my @now = @{ $s->pids->{nginx_workers} }; @now && !grep { $old{$_} } @now }), 'edge reloaded');
}

# Until new tokens have this algorithm: its first token.
sub signs_with ($alg) {
    my $u;
    $s->reload_pool;
    ok(poll(20, sub { $u = new_user($s); header_of($u->{token})->{alg} eq $alg }), "the pool signs with $alg");
    return $u;
}

my $u = new_user($s);
my ($h, $p) = map { decode_json(b64_decode(tr{-_}{+/}r)) } (split /\./, $u->{token})[0, 1];

subtest 'tokens and the published set' => sub {
    is($h->{alg}, 'ES256', 'the algorithm is that of the key');
    is($h->{typ}, 'JWT', 'type');
    is($p->{sub}, $u->{id}, 'its claims');
    works($u->{token}, 'it opens');
    works($s->mint_jwt(sub => $u->{id}), 'so does one that the secret has signed');
    my $keys = published();
    is(scalar(@$keys), 1, 'one key is published');
    my %want = (%{ $key{ES256}{jwk} }, kid => $h->{kid});
    is_deeply($keys->[0], \%want, 'as others need it, and without its private part');
    like(call($s, GET => '/.well-known/jwks.json')->headers->cache_control, qr/public/, 'it may be cached');
    status_ok(call($s, POST => '/goals', token => $u->{token}, json => { title => 'Run', frequency => 3 }), 201, 'writes');
    my $again = call($s, POST => '/auth/refresh', json => { refresh_token => $u->{refresh} })->json->{access_token};
    is(header_of($again)->{kid}, $h->{kid}, 'a refreshed one is signed with it as well');
    works($again, 'and opens');
};

subtest 'confusion' => sub {
    my $kid = $h->{kid};
    my $pem = `openssl pkey -in $key{ES256}{file} -pubout`;
    my $json = encode_json({ keys => published() });
    for my $secret ($pem, $pem =~ s/\n\z//r, $json, $key{ES256}{jwk}{x}, $kid) {
        for my $id (undef, $kid) {
            refused($s->mint_jwt(sub => $u->{id}, _key => $secret, _header => { alg => 'HS256', $id ? (kid => $id) : () }), 'HS256 with what is published');
        }
    }
    refused($s->mint_jwt(sub => $u->{id}, _header => { alg => 'HS256', kid => 'x', crit => ['exp'] }), 'crit');
    my ($head, $body, $sig) = split /\./, $u->{token};
    my %claims = (%$p, plan => 'elite');
    refused("$head." . b64url(encode_json(\%claims)) . ".$sig", 'changed claims');
    refused(b64url('{"alg":"ES256","alg":"ES256","kid":"' . $kid . '"}') . ".$body.$sig", 'a name twice');
    refused(b64url(encode_json({ %$h, alg => 'none' })) . ".$body.", 'none');
    my $mine = { %{ $key{ES256} }, kid => $kid };
    works(sign_token($mine, $p), 'signed by hand');
    refused(sign_token($mine, $p, der => 1), 'DER');
    refused("$head.$body." . b64url("\0" x 64), 'zeros');
    refused("$head.$body." . b64url(substr(b64_decode($sig =~ tr{-_}{+/}r), 0, 32) . "\0" x 32), 's is zero');
    refused(sign_token({ %{ $key{ES384} }, kid => $kid }, $p), "another key under this one's id");
    refused(sign_token($key{ES384}, $p), 'a key that is not ours yet');
    refused(sign_token($mine, { %$p, pad => 'x' x 5000 }), 'longer than tokens are');
    refused(sign_token($mine, $p, header => { b64 => \0, crit => ['b64'] }), 'b64');
};

subtest 'rotation' => sub {
    keys_are(qw(ES256 RS256));
    reload_edge();
    is(join(' ', map { $_->{alg} } @{ published() }), 'ES256 RS256', 'the next one is published first');
    ok(!(grep { exists $_->{d} } @{ published() }), 'without private parts');

    keys_are(qw(RS256 ES256));
    my $new = signs_with('RS256');
    works($new->{token}, 'new tokens open on an edge that knows the key already');
    works($u->{token}, 'those of before as well');
    reload_edge();
    works($_, 'both after its reload') for $u->{token}, $new->{token};

    keys_are(qw(RS256));
    reload_edge();
    refused($u->{token}, 'the old key is gone, and its tokens with it');
    works($new->{token}, 'the new one stays');

    for my $alg (qw(ES384 EdDSA)) {
        keys_are($alg, 'RS256');
        reload_edge();
        works(signs_with($alg)->{token}, $alg);
    }
};

subtest 'what is counted' => sub {
    my $v = new_user($s);
    my $look = sub {
        my ($families) = parse_metrics(agent()->get($s->url('/metrics'))->res->body);
        return { map { %{ $_->{samples} } } values %$families };
    };
    my $before = $look->();
    works($v->{token}, 'valid') for 1 .. 5;
    refused($s->mint_jwt(sub => $v->{id}, %$_), 'refused')
        for { _key => 'x' x 40 }, { aud => 'anon' }, { nbf => time + 900 }, { _header => { alg => 'none' } }, { _header => { alg => 'HS256', typ => 'dpop+jwt' } };
    refused('x.y.z', 'rubbish');
    refused(sign_token($key{ES256}, $p, header => { kid => 'nobody' }), 'an unknown key');
    my $after = $look->();
    my $more = sub ($name) { ($after->{$name} // 0) - ($before->{$name} // 0) };
    is($more->('fitnudge_tokens_total{result="valid"}'), 5, 'valid');
    is($more->('fitnudge_tokens_cached_total{}'), 4, 'of which were known');
    is($more->('fitnudge_token_verifications_total{}'), 5, 'signatures checked: once a token that gets that far');
    is($more->(qq(fitnudge_tokens_refused_total{reason="$_"})), 1, "refused: $_") for qw(signature claims not_yet algorithm type malformed key);
    is($more->('fitnudge_tokens_total{result="invalid"}'), 7, 'invalid');
};

subtest 'configuration' => sub {
    my $bad = path($s->dir, 'bad.pem');
    my $pem = sub ($alg) { path($key{$alg}{file})->slurp };
    my $small = make_key('RS256', bits => 1024);
    for my $case (
        ['', 'is empty'], ["no key\n", 'holds no key in PEM'], [scalar(`openssl pkey -in $key{ES256}{file} -pubout`), 'begins with a public key'],
        [path($small->{file})->slurp, '2048'], [$pem->('ES256') x 2, 'a key twice'], [substr($pem->('RS256'), 0, 400), 'malformed'],
        [scalar(`openssl pkey -in $key{ES256}{file} -aes128 -passout pass:secret`), 'passphrase'],
        ["-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", 'something else than keys'],
    ) {
        $bad->spurt($case->[0]);
        local $s->{shared} = "fitnudge_jwt_keys file:$bad;";
        $s->write_conf;
        local @ENV{qw(LD_PRELOAD ASAN_OPTIONS)} = ($ENV{FITNUDGE_ASAN} ? `gcc -print-file-name=libasan.so` =~ s/\s+\z//r : '', 'detect_leaks=0');
        my $out = `nginx -t -e stderr -p '$s->{dir}/' -c '$s->{dir}/nginx.conf' 2>&1`;
        ok($? != 0 && $out =~ /\Q$case->[1]\E/, "refused: $case->[1]") or diag($out);
    }
    $s->write_conf;
};

unlike($s->error_log, qr/PRIVATE KEY/, 'keys are not logged');
$s->assert_clean;
done_testing;
