# Requests as clients make them, and what docs/api.md promises about the answers.  Everything takes the
# running FitNudge::Test::Stack as its first argument; nothing here knows how it was started.
package FitNudge::Test::Contract;
use Mojo::Base -strict, -signatures;

use Digest::SHA qw(hmac_sha256 hmac_sha512);
use Exporter qw(import);
use IO::Socket::INET;
use Mojo::JSON qw(decode_json encode_json);
use Mojo::Promise;
use Mojo::UserAgent;
use Mojo::Util qw(b64_encode);
use Test::More;
use Time::HiRes qw(sleep time);

our @EXPORT = qw(agent call calls error_ok status_ok raw raw_start raw_answers jwt claims_of new_user make_pro
    poll uuid_re);

my %CODE = (
    400 => 'VALIDATION_ERROR', 401 => 'AUTHENTICATION_ERROR', 403 => 'AUTHORIZATION_ERROR', 404 => 'NOT_FOUND',
    405 => 'METHOD_NOT_ALLOWED', 409 => 'CONFLICT', 412 => 'PRECONDITION_FAILED', 413 => 'PAYLOAD_TOO_LARGE',
    415 => 'UNSUPPORTED_MEDIA_TYPE', 422 => 'IDEMPOTENCY_MISMATCH', 429 => 'RATE_LIMIT_ERROR',
    500 => 'INTERNAL_ERROR', 503 => 'SERVICE_UNAVAILABLE',
);

sub uuid_re { qr/\A[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\z/ }

# A client without a memory for cookies.
sub agent (%o) {
    my $ua = Mojo::UserAgent->new(max_connections => 100, max_redirects => 0, inactivity_timeout => 60,
        request_timeout => 60, connect_timeout => 10, %o);
    $ua->cookie_jar->ignore(sub { 1 });
    return $ua;
}

my $agent;
my $agent_pid = 0;
sub _agent { $agent_pid == $$ ? $agent : do { $agent_pid = $$; $agent = agent() } }

sub _path ($path) { $path =~ m{^/(?:api|health|metrics|\.well-known)\b} ? $path : "/api/v1$path" }

sub _tx ($s, $method, $path, %o) {
    my %h = %{ $o{headers} // {} };
    $h{Authorization} = "Bearer $o{token}" if defined $o{token};
    my $ua = $o{ua} // _agent();
    my $url = $s->url(_path($path));
    my $tx;
    if (exists $o{json}) { $tx = $ua->build_tx($method => $url => \%h => json => $o{json}) }
    elsif (exists $o{body}) {
        $h{'Content-Type'} //= 'application/json';
        delete $h{'Content-Type'} if $h{'Content-Type'} eq '';
        $tx = $ua->build_tx($method => $url => \%h => $o{body});
    }
    else { $tx = $ua->build_tx($method => $url => \%h) }
    return ($ua, $tx);
}

# call($stack, POST => '/goals', token => .., json => .. | body => .., headers => {..}): the response; a connection
# that broke has code undef.
sub call ($s, $method, $path, %o) {
    my ($ua, $tx) = _tx($s, $method, $path, %o);
    return $ua->start($tx)->res;
}

# The same for many at once: each element is [METHOD, path, %o]; responses in the same order.
sub calls ($s, @list) {
    my @res;
    my @p;
    for my $i (0 .. $#list) {
        my ($ua, $tx) = _tx($s, @{ $list[$i] });
        push @p, $ua->start_p($tx)->then(sub ($tx) { $res[$i] = $tx->res }, sub ($e) { $res[$i] = $tx->res });
    }
    Mojo::Promise->all_settled(@p)->wait if @p;
    return @res;
}

sub status_ok ($res, $status, $name) {
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my $got = $res->code // 'none';
    my $ok = ok($got eq $status, $name);
    diag("  answered $got instead of $status: " . substr($res->body // '', 0, 300)) if !$ok;
    return $ok;
}

# The contract's error body, whoever made it.  field and constraint are checked when given.
sub error_ok ($res, $status, $name, %o) {
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my @bad;
    my $got = $res->code // 'none';
    push @bad, "status $got instead of $status" if !(grep { $got eq $_ } ref $status ? @$status : $status);
    my $code = $o{code} // $CODE{$got} // '';
    my $type = $res->headers->content_type // '';
    push @bad, "content type '$type'" if $type !~ m{^application/json\b};
    my $doc = eval { decode_json($res->body) };
    my $e = ref $doc eq 'HASH' ? $doc->{error} : undef;
    if (ref $e ne 'HASH') {
        push @bad, "no error object";
    }
    else {
        push @bad, 'members ' . join(',', sort keys %$doc) if keys %$doc != 1;
        push @bad, "members of error " . join(',', sort keys %$e)
            if join(',', sort keys %$e) ne 'code,details,message,request_id,timestamp';
        push @bad, "code '" . ($e->{code} // '') . "'" if $code ne '' && ($e->{code} // '') ne $code;
        push @bad, "message" if !defined $e->{message} || ref $e->{message} || $e->{message} eq '';
        push @bad, "timestamp" if ($e->{timestamp} // '') !~ /\A\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?Z\z/;
        push @bad, "request_id '" . ($e->{request_id} // '') . "' and header '" . ($res->headers->header('X-Request-Id') // '')
            . "'" if ($e->{request_id} // '') !~ /\A[A-Za-z0-9._-]{1,64}\z/
            || ($res->headers->header('X-Request-Id') // '') ne $e->{request_id};
        my $d = $e->{details};
        push @bad, "details" if ref $d ne 'HASH' || grep { !/\A(?:field|constraint)\z/ } keys %$d;
        for my $k (qw(field constraint)) {
            next if !exists $o{$k};
            my $v = ref $d eq 'HASH' ? $d->{$k} // '' : '';
            my @want = ref $o{$k} ? @{ $o{$k} } : $o{$k};
            push @bad, "$k '$v' instead of '@want'" if !grep { $_ eq $v } @want;
        }
    }
    push @bad, 'no Retry-After' if $got eq '503' && ($res->headers->header('Retry-After') // '') !~ /\A\d+\z/;
    push @bad, 'no WWW-Authenticate' if $got eq '401' && !$res->headers->header('WWW-Authenticate');
    push @bad, 'no Allow' if $got eq '405' && !defined $res->headers->header('Allow');
    my $ok = ok(!@bad, $name);
    diag("  $_") for @bad;
    diag('  body: ' . substr($res->body // '', 0, 400)) if @bad;
    return $ok;
}

# A socket on which `bytes` were written; the answers are read with raw_answers.
sub raw_start ($s, $bytes) {
    my $url = Mojo::URL->new($s->url('/'));
    my $sock = IO::Socket::INET->new(PeerAddr => $url->host, PeerPort => $url->port, Timeout => 10)
        or die "connect: $@";
    $sock->autoflush(1);
    local $SIG{PIPE} = 'IGNORE';
    my $off = 0;
    while ($off < length $bytes) {
        my $n = syswrite $sock, $bytes, length($bytes) - $off, $off;
        last if !defined $n;
        $off += $n;
    }
    return $sock;
}

# What the server says until it closes, or `n` answers have come, parsed into responses.
sub raw_answers ($sock, $n = 0, $timeout = 15) {
    my ($buf, @res) = ('');
    my $end = time + $timeout;
    my $res = Mojo::Message::Response->new;
    my $eof = 0;
    READ: while (!$eof) {
        my $rin = '';
        vec($rin, fileno $sock, 1) = 1;
        my $left = $end - time;
        last if $left <= 0;
        next if !select(my $r = $rin, undef, undef, $left);
        my $got = sysread $sock, my $chunk, 65536;
        last if !defined $got;
        $eof = 1 if $got == 0;
        $buf .= $chunk if !$eof;
        while (length $buf || $eof) {
            $res->parse($buf);
            $buf = '';
            last if !$res->is_finished;
            push @res, $res;
            $buf = $res->content->leftovers // '';
            $res = Mojo::Message::Response->new;
            last READ if $n && @res >= $n;
            last if $buf eq '';
        }
    }
    push @res, $res if !$res->is_finished && $eof && length($res->content->asset->slurp // '');
    return @res;
}

sub raw ($s, $bytes, %o) {
    my $sock = raw_start($s, $bytes);
    my @res = raw_answers($sock, $o{n} // 1, $o{timeout} // 15);
    close $sock;
    return wantarray ? @res : $res[0] // Mojo::Message::Response->new;
}

sub _b64 ($bytes) { b64_encode($bytes, '') =~ tr{+/}{-_}r =~ s/=+\z//r }

# A token made by hand: header and payload are hashes, or texts taken as they are.
sub jwt ($header, $payload, $key, $sign = \&hmac_sha256) {
    my $h = ref $header ? encode_json($header) : $header;
    my $p = ref $payload ? encode_json($payload) : $payload;
    my $in = _b64($h) . '.' . _b64($p);
    return $in . '.' . _b64($sign->($in, $key));
}

sub claims_of ($token) {
    my (undef, $p) = split /\./, $token;
    $p =~ tr{-_}{+/};
    return decode_json(Mojo::Util::b64_decode($p));
}

my $seq = 0;

# Signs up: { id, email, password, token, refresh, res }
sub new_user ($s, %o) {
    my %u = (email => sprintf('u%d.%d.%d@example.com', $$, time * 1000, ++$seq), password => 'correct horse 7', name => 'Ada', %o);
    my $ua = delete $u{ua};
    my $res = call($s, POST => '/auth/signup', json => \%u, ($ua ? (ua => $ua) : ()));
    if (($res->code // 0) != 201) {
        my $code = $res->code // 'none';
        BAIL_OUT("sign-up answered $code: " . $res->body) if !$o{may_fail};
    }
    my $j = $res->json // {};
    return { %u, id => $j->{user}{id}, token => $j->{access_token}, refresh => $j->{refresh_token}, res => $res };
}

sub make_pro ($s, @users) {
    $s->sql("UPDATE users SET plan = 'pro' WHERE id IN (" . join(',', map { "'$_->{id}'" } @users) . ')');
    return;
}

# Calls `code` every 50 ms until it is true; a generous bound keeps a hang from lasting for ever.
sub poll ($seconds, $code) {
    my $end = time + $seconds;
    while (1) {
        my $r = $code->();
        return $r if $r;
        return 0 if time > $end;
        sleep 0.05;
    }
}

1;
