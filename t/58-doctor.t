# fitnudgectl doctor: nothing to say of what is right, and what to do about each thing that is not.
use Mojo::Base -strict, -signatures;
use FindBin;
use lib "$FindBin::Bin/lib";
use FitNudge::Test::Contract;
use FitNudge::Test::Stack;
use FitNudge::Util qw(free_port slurp spew);
use Mojo::JSON qw(decode_json);
use Test::More;

my $s = FitNudge::Test::Stack->new(nginx_workers => 1, durable => 1, openai => 1)->start;
my $conf = $s->dir . '/nginx.conf';

sub doctor ($file, @args) {
    my $pid = open(my $out, '-|') // die "fork: $!";
    if (!$pid) {
        open STDERR, '>&', \*STDOUT;
        my $env = $s->_sanitizer_env;
        $ENV{$_} = $env->{$_} for keys %$env;
        exec $s->dir . '/bin/fitnudgectl', '-c', $file, (grep { /^-/ } @args), 'doctor', grep { !/^-/ } @args or die $!;
    }
    local $/;
    my $text = <$out> // '';
    close $out;
    return ($? >> 8, $text);
}

# { check => { result, found, todo } }
sub checks ($file = $conf, @args) {
    my ($rc, $text) = doctor($file, '--json', @args);
    my %c = map { my $l = decode_json($_); ($l->{check} => $l) } split /\n/, $text;
    $c{rc} = $rc;
    return \%c;
}

subtest 'a sound system' => sub {
    my ($rc, $text) = doctor($conf);
    is($rc, 0, 'exit status') or diag($text);
    like($text, qr/^ok +postgres +connected to fitnudge as fitnudge_pool$/m, 'PostgreSQL');
    like($text, qr/^ok +maxmemory-policy +noeviction$/m, 'Redis');
    like($text, qr/^off +slack +not configured\n +-> .*slack_webhook_url/m, 'what is off says how it is switched on');
    like($text, qr/^0 wrong, \d+ to think about$/m, 'the sum');
    my $key = slurp($s->secret_file('openai_api_key')) =~ s/\s+\z//r;
    unlike($text, qr/\Q$key\E/, 'no secret is printed');
    my $c = checks();
    is($c->{$_}{result}, 'ok', $_) for 'configuration', 'postgres', 'postgres version', 'postgres primary', 'postgres durability', 'migrations', 'sqitch', 'roles', 'pool role',
        'redis', 'redis version', 'redis disk', 'maxmemory-policy', 'appendonly', 'appendfsync', 'clock of redis', 'clock of postgres', 'openai';
    is($c->{'mail domain'}{result}, 'off', 'no mail');
    for my $l (grep { ref } values %$c) {
        ok($l->{result} eq 'ok' ? !defined $l->{todo} : length $l->{todo}, "$l->{check} says what to do");
    }
};

# One thing at a time is broken: the check, what it says, what to do
sub broken ($name, $check, $found, $todo, $file = $conf) {
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my $c = checks($file);
    subtest $name => sub {
        is($c->{rc}, 1, 'exit status');
        is($c->{$check}{result}, 'wrong', $check);
        like($c->{$check}{found} // '', $found, 'what was found');
        like($c->{$check}{todo} // '', $todo, 'what to do');
    };
    return $c;
}

my $text = slurp($conf);
sub other ($change) { local $_ = $text; $change->(); spew($s->dir . '/other.conf', $_, 0644); return $s->dir . '/other.conf' }

$s->redis(CONFIG => SET => 'maxmemory-policy', 'allkeys-lru');
broken('Redis may evict', 'maxmemory-policy', qr/^allkeys-lru$/, qr/noeviction/);
$s->redis(CONFIG => SET => 'maxmemory-policy', 'noeviction');
$s->redis(CONFIG => SET => 'appendonly', 'no');
broken('Redis forgets', 'appendonly', qr/^no$/, qr/appendonly yes/);
$s->redis(CONFIG => SET => 'appendonly', 'yes');
broken('a wrong configuration', 'configuration', qr/nginx|other\.conf:\d+/, qr/nginx -t/, other(sub { s/fitnudge_worker \{/fitnudge_worker { nosuch 1;/ }));
broken('no such file', 'configuration', qr/no such file/, qr/nginx -t/, $s->dir . '/nosuch.conf');
broken('too many processes', 'postgres connections', qr/max_connections 100/, qr/max_connections/, other(sub { s/fitnudge_worker \{/fitnudge_worker { sql_processes 64;/ }));
broken('a role with all rights', 'pool role', qr/above row level security/, qr/fitnudge_pool/, other(sub { s/user=fitnudge_pool/user=postgres/ }));
broken('half a service', 'r2', qr/half configured/, qr/r2_bucket/, other(sub { s/fitnudge_worker \{/fitnudge_worker { r2_bucket abcd;/ }));
$s->psql('-c', 'ALTER FUNCTION jobs.goals_create(uuid,uuid,jsonb,jsonb) RENAME TO goals_create_old');
broken('a function is missing', 'migrations', qr/1 functions? (?:is|are) missing: jobs\.goals_create/, qr/sqitch deploy/);
$s->psql('-c', 'ALTER FUNCTION jobs.goals_create_old(uuid,uuid,jsonb,jsonb) RENAME TO goals_create');
$s->psql('-d', 'postgres', '-c', 'CREATE DATABASE empty');
broken('an empty database', 'sqitch', qr/never deployed/, qr/sqitch/, other(sub { s/dbname=fitnudge user=fitnudge_pool/dbname=empty user=fitnudge_pool/ }));

subtest 'mail' => sub {
    my $mail = sub ($domain, $more = '') { other(sub { s/fitnudge_worker \{/fitnudge_worker { smtp_host 127.0.0.1; smtp_from hello\@$domain; $more/ }) };
    my $c = checks($mail->('fitnudge.invalid'));
    is($c->{smtp}{result}, 'ok', 'is configured');
    is($c->{"mail domain $_"}{result}, 'advice', "$_ of a domain that does not exist") for qw(SPF DKIM DMARC);
    is($c->{rc}, 0, 'advice is no failure');

    my $key = `openssl genrsa 2048 2>/dev/null | openssl rsa -pubout -outform DER 2>/dev/null | base64 -w0`;
    my $port = free_port('127.0.0.1');
    $s->spawn('dns', { log => 'dns.log', death => 'TERM' }, $^X, $s->root . '/t/fakes/dns.pl', $port,
        'good.example' => 'something else', 'good.example' => 'v=spf1 include:_spf.sendgrid.net ~all', '_dmarc.good.example' => 'v=DMARC1; p=quarantine; rua=mailto:dmarc@good.example',
        'default._domainkey.good.example' => "v=DKIM1; k=rsa; p=$key", 's1._domainkey.bad.example' => 'v=DKIM1; p=', 'bad.example' => 'v=spf1 ~all', 'bad.example' => 'v=spf1 mx ~all',
        '_dmarc.bad.example' => 'v=DMARC1; p=none');
    my $at = "127.0.0.1:$port";
    ok(poll(20, sub { ($c = checks($mail->('good.example'), $at))->{'mail domain SPF'}{result} eq 'ok' }), 'SPF') or diag($c->{'mail domain SPF'}{found});
    is($c->{"mail domain $_"}{result}, 'ok', $_) or diag($c->{"mail domain $_"}{found}) for qw(DKIM DMARC);
    like($c->{'mail domain DKIM'}{found}, qr/^default\._domainkey\.good\.example: /, 'where it was looked for');

    $c = checks($mail->('bad.example', 'smtp_dkim_selector s1;'), $at);
    is_deeply([map { $c->{"mail domain $_"}{result} } qw(SPF DKIM DMARC)], [qw(wrong wrong advice)], 'records that receivers do not take');
    like($c->{'mail domain SPF'}{found}, qr/several/, 'two of them');
    like($c->{'mail domain DKIM'}{found}, qr/revoked/, 'a key that is none');
    like($c->{'mail domain DMARC'}{todo}, qr/p=quarantine/, 'a policy that is none');
    is($c->{rc}, 1, 'is a failure');

    $c = checks($mail->('other.example'), $at);
    like($c->{"mail domain $_"}{found}, qr/no $_/, "$_ is missing") for qw(SPF DKIM DMARC);
    like($c->{"mail domain $_"}{todo}, qr/publish/, 'what to do') for qw(SPF DKIM DMARC);
    like(checks($mail->('good.example'), $_)->{'mail domain SPF'}{found}, qr/no answer/, "$_ is no name server") for '127.0.0.1:x', 'localhost:53', '127.0.0.1:0';
    $s->stop_process('dns', 'TERM', 5);
};

$s->stop_redis;
my $c = broken('Redis is away', 'redis', qr/no connection/, qr/start Redis/);
is($c->{postgres}{result}, 'ok', 'the rest is looked at');
$s->start_redis;
$s->{dbh} = undef;
$s->stop_postgres;
$c = broken('PostgreSQL is away', 'postgres', qr/No such file|refused/, qr/start PostgreSQL/);
is($c->{redis}{result}, 'ok', 'the rest is looked at');
$s->start_postgres;

$s->assert_clean(qr/connect\(\)|No such file|Connection refused/);
done_testing;
