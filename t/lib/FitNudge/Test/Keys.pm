# Keys made by openssl, as JSON Web Keys, and tokens signed with them.
#
#   my $key = make_key('ES256', kid => 'one');      { alg, kid, file, jwk }
#   my $token = sign_token($key, { sub => .. });
package FitNudge::Test::Keys;
use Mojo::Base -strict, -signatures;

use Exporter qw(import);
use File::Temp ();
use Mojo::File qw(path);
use Mojo::JSON qw(encode_json);
use Mojo::Util qw(b64_encode);

our @EXPORT = qw(make_key sign_token jwks b64url);

my $dir = File::Temp->newdir;
my $n = 0;

sub b64url ($bytes) { b64_encode($bytes, '') =~ tr{+/}{-_}r =~ s/=+\z//r }

sub _openssl (@args) {
    open my $out, '-|', 'openssl', @args or die "cannot run openssl: $!\n";
    binmode $out;
    local $/;
    my $bytes = <$out> // '';
    close $out or die "openssl @args failed\n";
    return $bytes;
}

my %GEN = (
    RS => sub ($bits) { ('-algorithm', 'RSA', '-pkeyopt', "rsa_keygen_bits:$bits") },
    ES256 => ['-algorithm', 'EC', '-pkeyopt', 'ec_paramgen_curve:P-256'], ES384 => ['-algorithm', 'EC', '-pkeyopt', 'ec_paramgen_curve:P-384'],
    EdDSA => ['-algorithm', 'ED25519'],
);

# %o: kid, bits (RSA), and members of the JWK to add or (undef) to leave out.
sub make_key ($alg, %o) {
    my $file = "$dir/key" . ++$n;
    my $bits = delete $o{bits} // 2048;
    my $rsa = $alg =~ /\A[RP]S/;
    _openssl('genpkey', '-quiet', $rsa ? $GEN{RS}->($bits) : @{ $GEN{$alg} }, '-out', $file);
    my $der = _openssl('pkey', '-in', $file, '-pubout', '-outform', 'DER');
    my %jwk = (use => 'sig', alg => $alg);

    if ($rsa) {
        my ($hex) = _openssl('rsa', '-in', $file, '-noout', '-modulus') =~ /=([0-9A-F]+)/;
        %jwk = (%jwk, kty => 'RSA', n => b64url(pack 'H*', $hex), e => 'AQAB');
    }
    elsif ($alg eq 'EdDSA') { %jwk = (%jwk, kty => 'OKP', crv => 'Ed25519', x => b64url(substr $der, -32)) }
    else {
        my $len = $alg eq 'ES256' ? 32 : 48;
        %jwk = (%jwk, kty => 'EC', crv => $alg eq 'ES256' ? 'P-256' : 'P-384', x => b64url(substr $der, -2 * $len, $len), y => b64url(substr $der, -$len));
    }
    %jwk = (%jwk, %o);
    delete @jwk{grep { !defined $jwk{$_} } keys %jwk};
    return { alg => $alg, kid => $o{kid}, file => $file, jwk => \%jwk };
}

sub jwks (@keys) { return { keys => [map { $_->{jwk} } @keys] } }

# The integers of an ECDSA signature in DER, as RFC 7518 wants them.
sub _raw ($der, $len) {
    my @v;
    my $p = unpack('C', substr $der, 1, 1) & 0x80 ? 3 : 2;
    for (1, 2) {
        my $l = unpack 'C', substr $der, $p + 1, 1;
        push @v, substr("\0" x $len . substr($der, $p + 2, $l), -$len);
        $p += 2 + $l;
    }
    return join '', @v;
}

# %o: header (members to add or change), der (an EC signature as openssl gives it)
sub sign_token ($key, $claims, %o) {
    my %header = (alg => $key->{alg}, typ => 'JWT', defined $key->{kid} ? (kid => $key->{kid}) : (), %{ $o{header} // {} });
    delete @header{grep { !defined $header{$_} } keys %header};
    my $in = b64url(encode_json(\%header)) . '.' . b64url(encode_json($claims));
    my $file = path("$dir/input$$")->spurt($in);
    my ($bits) = $key->{alg} =~ /(\d+)/;
    my $sig = $key->{alg} eq 'EdDSA' ? _openssl('pkeyutl', '-sign', '-rawin', '-inkey', $key->{file}, '-in', $file)
        : _openssl('dgst', "-sha$bits", '-sign', $key->{file},
            $key->{alg} =~ /\APS/ ? ('-sigopt', 'rsa_padding_mode:pss', '-sigopt', 'rsa_pss_saltlen:-1') : (), $file);
    $sig = _raw($sig, $bits / 8) if $key->{alg} =~ /\AES/ && !$o{der};
    return "$in." . b64url($sig);
}

1;
