# PostgreSQL and Redis of others: over TCP, with passwords, and PostgreSQL over TLS.
use Mojo::Base -strict, -signatures;
use FindBin;
use lib "$FindBin::Bin/lib";
use FitNudge::Test::Contract;
use FitNudge::Test::Stack;
use FitNudge::Util qw(free_port run_quiet slurp spew);
use IO::Socket::INET;
use Test::More;
use Time::HiRes qw(sleep time);

# an address of its own, as PostgreSQL's port is the usual one
my $address = sprintf '127.45.%d.%d', $$ / 250 % 250 + 1, $$ % 250 + 1;
my $password = 'p@ss:w/rd';
our $redis_password = 'redis @ 1';

my $outside = FitNudge::Test::Stack->new(database_only => 1);
$outside->prepare;
my ($dir, $uid, $gid) = ($outside->{dir}, $outside->_account);
run_quiet("$dir/log/openssl.log", qw(openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=fitnudge-test -addext), "subjectAltName=IP:$address",
    '-keyout', "$dir/server.key", '-out', "$dir/server.crt");
spew("$dir/hba.conf", "local all all trust\nhost all all 127.0.0.0/8 scram-sha-256\n", 0644);
chown $uid, $gid, "$dir/server.key" or die "chown: $!";
chmod 0600, "$dir/server.key";
$outside->{postgres_settings} = ["listen_addresses=$address", "hba_file=$dir/hba.conf", 'ssl=on', "ssl_cert_file=$dir/server.crt", "ssl_key_file=$dir/server.key"];
$outside->start_postgres;
$outside->sql("ALTER ROLE postgres PASSWORD '$password'");

my $redis_port = free_port();
spew("$dir/redis/redis.conf", qq{port $redis_port\nbind 127.0.0.1\nrequirepass "$redis_password"\ndir "$dir/redis"\nsave ""\nmaxmemory-policy noeviction\nlogfile ""\n}, 0600);
chown $uid, $gid, "$dir/redis/redis.conf";
$outside->spawn('redis', { log => 'redis.log', death => 'TERM', service => 1 }, 'redis-server', "$dir/redis/redis.conf");
sub redis (@cmd) { local $ENV{REDISCLI_AUTH} = $redis_password; open my $out, '-|', 'redis-cli', '-h', '127.0.0.1', '-p', $redis_port, @cmd or die; chomp(my @l = <$out>); $l[0] // '' }
ok(poll(10, sub { IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $redis_port) && redis('ping') eq 'PONG' }), 'Redis is up') or BAIL_OUT($outside->log_tail('redis.log'));

sub stack ($query, %o) {
    return FitNudge::Test::Stack->new(source => 'initdb', database_url => "postgres://postgres:p%40ss%3Aw%2Frd\@$address/fitnudge?$query",
        redis_url => "redis://:redis%20%40%201\@127.0.0.1:$redis_port", %o)->start;
}

my $page = 1;
sub recovers ($s, $u, $what) {
    ok(poll(5, sub {
        my @res = calls($s, map { ([GET => '/goals?page=' . ++$page, token => $u->{token}], [PATCH => '/users/me', token => $u->{token}, json => { bio => "b$page" }]) } 1 .. 4);
        !grep { ($_->code // 0) != 200 } @res;
    }), "$what: all works again within 5 s");
}

sub works ($s) {
    my $u = new_user($s);
    make_pro($outside, $u);
    my $res = call($s, POST => '/auth/login', json => { email => $u->{email}, password => $u->{password} });
    status_ok($res, 200, 'sign-in');
    my @res = calls($s, map { [POST => '/goals', token => $u->{token}, json => { title => "Goal $_", description => 'x' x 1000, frequency => 3 }] } 1 .. 60);
    is(scalar(grep { ($_->code // 0) == 201 } @res), 60, 'writes');
    @res = calls($s, map { [GET => "/goals?limit=$_", token => $u->{token}] } 61 .. 100);
    is(scalar(grep { ($_->code // 0) == 200 && @{ $_->json->{goals} } == 60 } @res), 40, 'large answers');
    is(call($s, GET => '/health/ready')->code, 200, 'ready');
    return $u;
}

sub encrypted { $outside->sql("SELECT string_agg(DISTINCT ssl::text, ',') FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE application_name = 'fitnudge-edge'") }

subtest 'passwords over TCP' => sub {
    # not a replica but the same server: it is connected to, and never asked
    my $s = stack('sslmode=disable', database_replica_url => "postgres://postgres\@$address/fitnudge?sslmode=disable");
    like(slurp("$s->{dir}/nginx.conf"), qr/fitnudge_postgres_replica "host=\Q$address\E hostaddr=\Q$address\E port=5432 dbname=fitnudge user=fitnudge_edge sslmode=disable";/, 'DATABASE_REPLICA_URL is understood');
    my $u = works($s);
    is(encrypted(), 'false', 'the edge talks plainly');

    $outside->sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'fitnudge-edge'");
    recovers($s, $u, 'PostgreSQL closed the connections');

    my $edge = slurp($s->secret_file('edge_password')) =~ s/\s+\z//r;
    $outside->sql("ALTER ROLE fitnudge_edge PASSWORD 'another'");
    $outside->sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'fitnudge-edge'");
    ok(poll(5, sub { (call($s, GET => '/goals?page=' . ++$page, token => $u->{token})->code // 0) == 503 }), 'a wrong password: reads are refused');
    ok(poll(5, sub { $s->error_log =~ /password authentication failed/ }), 'the log says why');
    $outside->sql("ALTER ROLE fitnudge_edge PASSWORD '$edge'");
    recovers($s, $u, 'the password is right again');

    redis(qw(CONFIG SET requirepass), 'another');
    { local $redis_password = 'another'; redis(qw(CLIENT KILL TYPE normal SKIPME yes)) }
    ok(poll(5, sub { (call($s, PATCH => '/users/me', token => $u->{token}, json => { bio => 'x' })->code // 0) == 503 }), 'a wrong password of Redis: writes are refused');
    ok(poll(5, sub { $s->error_log =~ /redis \w+: connection to \S+ failed: (?:WRONGPASS|NOAUTH)/ }), 'the log says why');
    { local $redis_password = 'another'; redis(qw(CONFIG SET requirepass), 'redis @ 1') }
    recovers($s, $u, 'the password of Redis is right again');

    ok(poll(15, sub { $s->error_log =~ /replica 1: is not asked/ }), 'the log says of the replica that it is none');

    for my $secret ($edge, $redis_password, $password) {
        is(scalar(grep { index($_, $secret) >= 0 } $s->error_log, $s->pool_log), 0, 'no log has a password');
    }
    $s->assert_clean(qr/connect\(\)|Connection refused/);
    $s->stop;
};

subtest 'TLS' => sub {
    my $s = stack("sslmode=verify-full&sslrootcert=$dir/server.crt");
    my $u = works($s);
    is(encrypted(), 'true', 'the edge talks encrypted');

    $outside->stop_postgres('immediate');
    error_ok(call($s, GET => '/goals?page=' . ++$page, token => $u->{token}), 503, 'PostgreSQL stops');
    $outside->start_postgres;
    recovers($s, $u, 'PostgreSQL is back');
    is(encrypted(), 'true', 'and still encrypted');
    $s->assert_clean(qr/connect\(\)|Connection refused/);
    $s->stop;
};

subtest 'a certificate that nobody vouches for' => sub {
    my $s = stack('sslmode=require');
    works($s);
    is(encrypted(), 'true', 'the edge talks encrypted');
    $s->assert_clean;
    $s->stop;
};

done_testing;
