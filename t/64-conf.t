# conf/nginx.conf with its snippets, as it is deployed, but for names, paths and ports: nginx -t, and a real TLS server.
use Mojo::Base -strict, -signatures;
use FindBin;
use lib "$FindBin::Bin/lib";
use FitNudge::Test::Contract;
use FitNudge::Test::Stack;
use FitNudge::Util qw(free_port run_quiet slurp spew);
use IO::Socket::INET;
use Mojo::JSON qw(decode_json encode_json);
use Test::More;

my $s = FitNudge::Test::Stack->new(nginx_workers => 1)->start;
my ($dir, $root, $name) = ($s->dir, $s->root, 'api.fitnudge.example');
my ($http, $https) = map { free_port() } 1 .. 2;

run_quiet("$dir/log/openssl.log", qw(openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj), "/CN=$name",
    '-addext', "subjectAltName=DNS:$name", '-keyout', "$dir/privkey.pem", '-out', "$dir/fullchain.pem");

my $text = slurp("$root/conf/nginx.conf");
my $ipv6 = (eval { slurp('/proc/net/if_inet6') } // '') =~ /^0{31}1 /m;     # of the loopback
for my $case ([qr{^user www-data;}m, sub { $< == 0 ? 'user www-data;' : '' }], [qr{/run/nginx\.pid}, sub { "$dir/conf.pid" }], [qr{/var/log/nginx/}, sub { "$dir/log/conf-" }],
    [qr{/usr/lib/nginx/modules/}, sub { "$dir/bin/" }], [qr{/etc/nginx/fitnudge/}, sub { "$root/conf/snippets/" }], [qr{unix:/run/redis/redis-server\.sock}, sub { $s->{redis}{address} }],
    [qr{host=/run/postgresql dbname=fitnudge}, sub { $s->conninfo('x') =~ s/ user=x//r }], [qr{/etc/fitnudge/locales}, sub { "$root/conf/locales" }], [qr{/etc/fitnudge/(\w+)}, sub { $s->secret_file($1) }], [qr{/etc/ssl/fitnudge/}, sub { "$dir/" }],
    [qr{/run/fitnudge/worker\.pid}, sub { "$dir/conf-worker.pid" }], [qr{listen \[::\]:\d+}, sub { 'listen [::1]:' . free_port('127.0.0.1') }], [qr{listen 80;}, sub { "listen 127.0.0.1:$http;" }],
    [qr{listen 443 }, sub { "listen 127.0.0.1:$https " }],
    # what a container may not raise
    [qr{^worker_rlimit_nofile \d+;}m, sub { '' }], [qr{worker_connections \d+;}, sub { 'worker_connections 512;' }],
    # Debian's nginx is built with directories that root alone may write to
    [qr/^http \{\n/m, sub { "http {\n" . join '', map { "    ${_}_temp_path $dir/tmp/conf-$_;\n" } qw(client_body proxy fastcgi uwsgi scgi) }]) {
    my ($from, $to) = @$case;
    my $n = $text =~ s/$from/$to->()/ge;
    ok($n, "the file has $from");
}
$text =~ s/^\s*listen \[::1\].*\n//mg if !$ipv6;
spew("$dir/conf.conf", $text, 0644);

my %env = %{ $s->_sanitizer_env };
$env{LD_PRELOAD} = `gcc -print-file-name=libasan.so` =~ s/\n//r if $s->{asan};

sub output (@cmd) {
    my $pid = open(my $out, '-|') // die "fork: $!";
    if (!$pid) {
        open STDIN, '<', '/dev/null';
        open STDERR, '>&', \*STDOUT;
        exec @cmd or die "@cmd: $!";
    }
    local $/;
    my $said = <$out> // '';
    close $out;
    return ($? >> 8, $said);
}
sub nginx ($file, @more) { ('env', (map { "$_=$env{$_}" } sort keys %env), '/usr/sbin/nginx', '-e', "$dir/log/conf-error.log", '-p', "$dir/", '-c', $file, @more) }
sub nginx_t ($conf) { spew("$dir/test.conf", $conf, 0644); output(nginx("$dir/test.conf", '-t')) }

subtest 'nginx -t' => sub {
    my ($rc, $said) = nginx_t($text);
    is($rc, 0, 'nginx takes it') or diag($said);
    unlike($said, qr/\[(?:warn|emerg|alert)\]/, 'without a warning') or diag($said) if $< == 0;
    ($rc, $said) = output("$dir/bin/fitnudge-worker", '-t', '-c', "$dir/conf.conf");
    is($rc, 0, 'and so does the pool') or diag($said);
    # what is there as a comment
    my $more = $text =~ s/^(\s*)# (include \S+real-ip\.conf;)/$1$2/mr =~ s/^(\s*)# (location .*)/$1$2/mr =~ s/^(\s*)# (fitnudge_maintenance_bypass .*)/$1$2/mr
        =~ s/^(\s*access_log .*)/$1\n    geo \$operator { default 0; 192.0.2.0\/24 1; }/mr;
    isnt($more, $text, 'lines to be switched on');
    is(scalar(() = $more =~ /^\s*(?:include \S+real-ip|location \/assets|fitnudge_maintenance_bypass)/mg), 3, 'are all found');
    ($rc, $said) = nginx_t($more);
    is($rc, 0, 'are fine') or diag($said);
};

$s->spawn('conf', { log => 'conf-error.log', death => 'TERM', env => {} }, nginx("$dir/conf.conf", '-g', 'daemon off;'));
my @curl = ('curl', '-s', '-i', '--max-time', '20', '--resolve', "$name:$https:127.0.0.1", '--resolve', "$name:$http:127.0.0.1", '--cacert', "$dir/fullchain.pem");
my $base = "https://$name:$https";

# (status line's version, code, { lower-case name => [values] }, body)
sub curl (@args) {
    my ($rc, $out) = output(@curl, @args);
    my ($head, $body) = split /\r\n\r\n/, $out, 2;
    my ($version, $code) = ($head // '') =~ m{\AHTTP/(\S+) (\d+)};
    my %h;
    push @{ $h{ lc $1 } }, $2 while ($head // '') =~ /^([^:\r\n]+): (.*?)\r?$/mg;
    return ($version // "none ($rc)", $code // 0, \%h, $body // '');
}

ok(poll(20, sub { (curl("$base/health/ready"))[1] == 200 }), 'it serves') or diag(slurp("$dir/log/conf-error.log"));

my $token;
subtest 'HTTP/2 over TLS' => sub {
    my ($version, $code, $h, $body) = curl('-H', 'Content-Type: application/json', '-d', encode_json({ email => "conf$$\@example.com", password => 'correct horse', name => 'C' }), "$base/api/v1/auth/signup");
    is($version, 2, 'by ALPN');
    is($code, 201, 'a write') or return diag($body);
    $token = decode_json($body)->{access_token};
    ($version, $code, $h, $body) = curl('-H', "Authorization: Bearer $token", '-H', 'Origin: https://app.fitnudge.example', "$base/api/v1/users/me");
    is("$version $code", '2 200', 'a read');
    is_deeply($h->{'strict-transport-security'}, ['max-age=31536000; includeSubDomains'], 'HSTS, once');
    is_deeply($h->{$_}, [{ 'x-content-type-options' => 'nosniff', 'x-frame-options' => 'DENY', 'referrer-policy' => 'no-referrer' }->{$_}], $_) for qw(x-content-type-options x-frame-options referrer-policy);
    is_deeply($h->{'access-control-allow-origin'}, ['https://app.fitnudge.example'], 'CORS');
    is($h->{server}[0], 'nginx', 'no version');
    ($version, $code, $h) = curl("$base/api/v1/users/me");
    is("$version $code", '2 401', 'an error');
    is_deeply($h->{'strict-transport-security'}, ['max-age=31536000; includeSubDomains'], 'HSTS');
    ($version, $code, $h) = curl('--http1.1', "$base/health");
    is("$version $code", '1.1 200', 'HTTP/1.1');
    ok($h->{'strict-transport-security'}, 'HSTS');
    ($version, $code, $h) = curl('-H', 'Accept-Encoding: gzip', '-o', '/dev/null', '-D', '-', "$base/api/v1/openapi.json");
    is("@{ $h->{'content-encoding'} // [] }", 'gzip', 'a large answer is compressed');
    is_deeply([sort map { split /, */ } @{ $h->{vary} }], ['Accept-Encoding', 'Origin'], 'Vary');
    ($version, $code, $h) = curl('-H', 'X-Auth-Mode: cookie', '-H', 'Content-Type: application/json', '-d', encode_json({ email => "conf$$\@example.com", password => 'correct horse' }), "$base/api/v1/auth/login");
    is($code, 200, 'sign-in by cookies');
    is(scalar(grep { /;\s*Secure/i && /;\s*HttpOnly/i && /;\s*SameSite=Strict/i } @{ $h->{'set-cookie'} // [] }), 2, 'which are secure') or diag(explain($h->{'set-cookie'}));
};

# What openssl's client says; the request makes it read the tickets of TLS 1.3 as well
sub s_client (@args) {
    open my $in, '>', "$dir/request" or die $!;
    print $in "GET /health/live HTTP/1.0\r\n\r\n";
    close $in;
    my ($rc, $said) = output('sh', '-c', 'exec timeout 10 openssl s_client "$@" < "$0"', "$dir/request", '-connect', "127.0.0.1:$https", '-servername', $name, '-CAfile', "$dir/fullchain.pem", '-ign_eof', @args);
    return $said;
}

subtest 'TLS' => sub {
    like(s_client('-tls1_3'), qr/New, TLSv1\.3, Cipher is TLS_.*"status":"alive"/s, 'TLS 1.3');
    my $said = s_client('-tls1_2');
    like($said, qr/New, TLSv1\.2, Cipher is ECDHE-.*"status":"alive"/s, 'TLS 1.2');
    unlike($said, qr/session ticket:/i, 'without a ticket');
    unlike(s_client('-tls1_1', '-cipher', 'ALL:@SECLEVEL=0'), qr/alive/, 'no TLS 1.1');
    unlike(s_client('-tls1_2', '-cipher', $_), qr/alive/, "no $_") for 'AES128-SHA', 'AES128-GCM-SHA256', 'ECDHE-ECDSA-AES128-SHA';
    run_quiet("$dir/log/openssl.log", 'sh', '-c', 'timeout 10 openssl s_client -connect "$0" -tls1_2 -sess_out "$1" < /dev/null', "127.0.0.1:$https", "$dir/session");
    like(s_client('-tls1_2', '-sess_in', "$dir/session"), qr/^Reused, TLSv1\.2/m, 'a session is resumed');
};

subtest 'without TLS' => sub {
    my ($version, $code, $h) = curl("http://$name:$http/api/v1/goals?x=1");
    is($code, 308, 'is sent on');
    is($h->{location}[0], "https://$name/api/v1/goals?x=1", 'to TLS');
    is($h->{'strict-transport-security'}, undef, 'no HSTS there');
    my $body;
    ($version, $code, $h, $body) = curl("http://$name:$https/health");
    is($code, 400, 'plain HTTP on the port of TLS');
    is((eval { decode_json($body) } // {})->{error}{code}, 'VALIDATION_ERROR', "has the contract's body") or diag($body);
    is($h->{'strict-transport-security'}, undef, 'no HSTS');
};

subtest 'the log' => sub {
    my @line;
    curl('-H', "Authorization: Bearer $token", '-H', 'X-Request-Id: conf-1', "$base/api/v1/goals");
    ok(poll(5, sub { @line = grep { $_->{request_id} eq 'conf-1' } map { decode_json($_) } split /\n/, slurp("$dir/log/conf-access.log") }), 'a line of JSON');
    is_deeply([@{ $line[0] }{qw(method route status protocol tls)}], ['GET', '/api/v1/goals', 200, 'HTTP/2.0', 'TLSv1.3'], 'that says how');
};

$s->stop_process('conf', 'QUIT', 15);
unlike(slurp("$dir/log/conf-error.log"), qr/\[(?:alert|emerg|crit)\]|Sanitizer/, 'nothing went wrong');
$s->assert_clean;
done_testing;
