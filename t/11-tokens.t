# Access tokens that must not open anything.  Each is made here by hand.
use Mojo::Base -strict, -signatures;
use FindBin;
use lib "$FindBin::Bin/lib";
use Digest::SHA qw(hmac_sha512);
use FitNudge::Test::Contract;
use FitNudge::Test::Stack;
use Mojo::JSON qw(encode_json decode_json);
use Mojo::Util qw(b64_encode);
use Test::More;

my $s = FitNudge::Test::Stack->new->start;
my $key = $s->jwt_secret;
my $u = new_user($s);
my %claims = %{ claims_of($u->{token}) };
my $hs256 = { alg => 'HS256', typ => 'JWT' };

sub with (%more) { my %c = (%claims, %more); delete $c{$_} for grep { !defined $c{$_} } keys %c; return \%c }

sub refused ($token, $name) {
    error_ok(call($s, GET => '/users/me', headers => { Authorization => "Bearer $token" }), 401, $name);
}

subtest 'good ones' => sub {
    status_ok(call($s, GET => '/users/me', token => jwt($hs256, \%claims, $key)), 200, 'ours');
    status_ok(call($s, GET => '/users/me', token => jwt($hs256, with(aud => ['other', 'authenticated']), $key)), 200, 'an audience of several');
    status_ok(call($s, GET => '/users/me', headers => { Authorization => "bearer $u->{token}" }), 200, 'the scheme in lower case');
    status_ok(call($s, GET => '/users/me', headers => { Authorization => "BEARER $u->{token}" }), 200, 'the scheme in upper case');
    status_ok(call($s, GET => '/users/me', token => $s->mint_jwt(sub => $u->{id})), 200, 'minted by the harness');
};

subtest 'algorithm' => sub {
    refused(jwt({ alg => 'none', typ => 'JWT' }, \%claims, ''), 'none, signed with nothing');
    for my $alg (qw(none None NONE nOnE)) {
        my $t = jwt({ alg => $alg, typ => 'JWT' }, \%claims, $key);
        refused($t =~ s/[^.]+\z//r, "$alg without a signature");
        refused($t, "$alg with a good signature");
    }
    refused(jwt({ alg => $_, typ => 'JWT' }, \%claims, $key), "$_ in the header")
        for qw(HS384 HS512 RS256 ES256 EdDSA hs256 PS256), '', 256;
    refused(jwt({ alg => 'HS512' }, \%claims, $key, \&hmac_sha512), 'really HS512');
    refused(jwt({ typ => 'JWT' }, \%claims, $key), 'no algorithm');
    refused(jwt({ %$hs256, crit => ['exp'] }, \%claims, $key), 'crit');
    refused(jwt({ %$hs256, b64 => \0, crit => ['b64'] }, \%claims, $key), 'b64');
    refused(jwt('{"alg":"HS256","alg":"none"}', \%claims, $key), 'two algorithms');
};

subtest 'signature' => sub {
    refused(jwt($hs256, \%claims, "${key}x"), 'another key');
    refused(jwt($hs256, \%claims, ''), 'an empty key');
    my ($h, $p, $sig) = split /\./, $u->{token};
    my $admin = encode_json(with(role => 'admin'));
    refused("$h." . (b64_encode($admin, '') =~ tr{+/}{-_}r =~ s/=+\z//r) . ".$sig", 'changed claims');
    my $flip = substr($sig, 0, 10) . (substr($sig, 10, 1) eq 'A' ? 'B' : 'A') . substr($sig, 11);
    refused("$h.$p.$flip", 'one character of the signature');
    refused("$h.$p." . substr($sig, 0, -1), 'signature cut');
    refused("$h.$p.", 'no signature');
};

subtest 'claims' => sub {
    my $now = time;
    refused(jwt($hs256, with(exp => $now - 3600, iat => $now - 4500), $key), 'expired');
    refused(jwt($hs256, with(exp => undef), $key), 'never expiring');
    refused(jwt($hs256, with(exp => 'tomorrow'), $key), 'exp is text');
    refused(jwt($hs256, with(nbf => $now + 3600), $key), 'not yet valid');
    refused(jwt($hs256, with(iat => $now + 3600, exp => $now + 7200), $key), 'issued in the future');
    refused(jwt($hs256, with(sub => undef), $key), 'no sub');
    refused(jwt($hs256, with(sub => $_), $key), "sub is $_") for 'admin', '', 42, "$u->{id}0", "' OR 1=1 --";
    refused(jwt($hs256, with(aud => 'anon'), $key), 'another audience');
    refused(jwt($hs256, with(aud => undef), $key), 'no audience');
    refused(jwt($hs256, with(iss => 'somebody'), $key), 'another issuer');
    refused(jwt($hs256, with(role => undef), $key), 'no role');
    my $text = encode_json(\%claims);
    refused(jwt($hs256, $text =~ s/\A\{/{"sub":"00000000-0000-4000-8000-000000000000",/r, $key), 'sub twice');
    refused(jwt($hs256, $text =~ s/\}\z/,"exp":9999999999}/r, $key), 'exp twice');
    refused(jwt($hs256, '[]', $key), 'claims are an array');
    refused(jwt($hs256, '', $key), 'claims are empty');
    refused(jwt($hs256, "$text garbage", $key), 'claims with a tail');
    refused(jwt($hs256, $text =~ s/"aud"/"x\xff"/r, $key), 'claims with bad UTF-8');
    refused(jwt($hs256, with(exp => 1e300), $key), 'exp beyond numbers');
};

subtest 'form' => sub {
    my $t = $u->{token};
    my ($h, $p, $sig) = split /\./, $t;
    refused($_->[0], $_->[1]) for
        ["$h.$p", 'two parts'], ["$t.$sig", 'four parts'], [".$t", 'a dot before'], ["$t.", 'a dot behind'],
        ["$h..$p.$sig", 'an empty part'], ['...', 'dots'], ['.', 'a dot'], ["$h.$p=.$sig", 'padding'],
        ["$h!.$p.$sig", 'no base64url'], ["$h.$p.+/$sig", 'plain base64'], [substr($t, 0, length($t) / 2), 'half of it'],
        ["$t$t", 'twice'], ["$t $t", 'two with a space'], ["$t,$t", 'two with a comma'], ["\"$t\"", 'quoted'], ['x', 'a letter'],
        ['A' x 4000, '4 kB of A'], ["$h." . ('A' x 5000) . ".$sig", 'longer than tokens are'],
        [jwt($hs256, with(pad => 'x' x 4500), $key), 'long and well signed'];
    refused("$h.$p." . substr($sig, 0, -1) . ($sig =~ /[AQgw048EIMUYckosc]\z/ ? chr(ord(substr $sig, -1) + 1) : 'B'),
        'trailing bits of the signature');
};

subtest 'header' => sub {
    for my $v ('', 'Bearer', 'Bearer ', 'Basic dTpw', "Token $u->{token}", $u->{token}, "Bearer$u->{token}") {
        error_ok(call($s, GET => '/users/me', headers => { Authorization => $v }), 401, "'" . substr($v, 0, 12) . "'");
    }
    my $two = raw($s, "GET /api/v1/users/me HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer $u->{token}\r\nAuthorization: Bearer $u->{token}\r\n\r\n");
    error_ok($two, 400, 'two headers', field => 'Authorization', constraint => 'duplicate_field');
    error_ok(call($s, GET => '/users/me'), 401, 'none');
    error_ok(call($s, GET => "/users/me?access_token=$u->{token}"), 401, 'in the query');
    like(call($s, GET => '/users/me')->headers->www_authenticate // '', qr/\ABearer\b/, 'the answer names the scheme');
};

subtest 'revoked' => sub {
    my $v = new_user($s);
    my $mine = jwt($hs256, with(sub => $v->{id}, session_id => claims_of($v->{token})->{session_id}), $key);
    status_ok(call($s, GET => '/users/me', token => $mine), 200, 'before');
    status_ok(call($s, POST => '/auth/logout', token => $v->{token}), 204, 'logout');
    refused($v->{token}, 'revoked');
    refused($mine, 'every token of that session');
};

error_ok(call($s, POST => '/goals', token => jwt({ alg => 'none' }, \%claims, ''), json => { title => 'x', frequency => 1 }), 401, 'writes ask too');
is($s->sql('SELECT count(*) FROM goals'), 0, 'nothing was written');

$s->assert_clean;
done_testing;
