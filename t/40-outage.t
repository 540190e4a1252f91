# Redis or PostgreSQL goes away: what still works does, the rest says so at once, and all of it comes back by itself.
use Mojo::Base -strict, -signatures;
use FindBin;
use lib "$FindBin::Bin/lib";
use FitNudge::Test::Contract;
use FitNudge::Test::Stack;
use Test::More;
use Time::HiRes qw(time);

my $s = FitNudge::Test::Stack->new(nginx_workers => 2)->start;
my $u = new_user($s);
make_pro($s, $u);
my %p = (token => $u->{token});
my $goal = call($s, POST => '/goals', %p, json => { title => 'Run', frequency => 3 })->json->{id};
my $day = 0;

sub write_one (%o) {
    call($s, POST => "/goals/$goal/checkins", %p, json => { status => 'done', date => $s->{fixed}[$day++] }, ua => agent(), %o);
}
$s->{fixed} = [map { sprintf '20%02d-%02d-%02d', 10 + $_ % 10, 1 + $_ / 10 % 12, 1 + $_ / 120 } 0 .. 2000];

sub bounded ($seconds, $name, $code) {
    my $t = time;
    $code->();
    cmp_ok(time - $t, '<', $seconds, "$name: at once");
}

sub health ($status, %services) {
    my $res = call($s, GET => '/health', ua => agent());
    status_ok($res, 200, 'health answers');
    my $j = $res->json;
    is($j->{status}, $status, "and says $status");
    is($j->{services}{$_}, $services{$_}, "$_ is $services{$_}") for sort keys %services;
    is(call($s, GET => '/health/live', ua => agent())->code, 200, 'alive');
    is(call($s, GET => '/health/ready', ua => agent())->code, $status eq 'healthy' ? 200 : 503, $status eq 'healthy' ? 'ready' : 'not ready');
}

# Both processes have to work again; each is asked often.
sub recovered ($what) {
    my @bad;
    ok(poll(5, sub {
        my @res = calls($s, map { ([GET => '/users/me', %p, ua => agent()], [POST => "/goals/$goal/checkins", %p, json => { status => 'done', date => $s->{fixed}[$day++] }, ua => agent()]) } 1 .. 8);
        @bad = grep { ($_->code // 0) !~ /\A20[01]\z/ } @res;
        !@bad
    }), "$what: works again within 5 s") or diag(join "\n", map { ($_->code // 'none') . ' ' . $_->body } @bad);
    ok(poll(5, sub { call($s, GET => '/health', ua => agent())->json->{status} eq 'healthy' && call($s, GET => '/health/ready', ua => agent())->code == 200 }), 'and healthy');
}

sub quiet ($name) {
    my @full;
    ok(poll(15, sub { @full = grep { !/inst/ && $s->redis(LLEN => $_) } $s->redis(KEYS => '{fn}:s:*'), $s->redis(KEYS => '{fn}:q:*'); !@full }), "$name: no slot is full, no queue either")
        or diag("@full");
}

health('healthy', database => 'healthy', redis => 'healthy');

subtest 'Redis stops' => sub {
    $s->stop_redis;
    bounded(8, 'reads', sub {
        my @res = calls($s, map { [GET => $_, %p, ua => agent()] } ('/users/me', '/goals', "/goals/$goal", '/checkins') x 8);
        is(scalar(grep { ($_->code // 0) == 200 } @res), 32, 'reads go on');
    });
    bounded(8, 'writes', sub { error_ok(write_one(), 503, 'writes are refused') for 1 .. 8 });
    error_ok(write_one(headers => { Prefer => 'respond-async' }), 503, 'asynchronous ones too');
    error_ok(call($s, POST => '/auth/login', json => { email => $u->{email}, password => $u->{password} }), 503, 'sign-in, too');
    error_ok(call($s, POST => '/goals', %p, json => { title => '', frequency => 1 }), [400, 503], 'a mistake is refused');
    error_ok(call($s, GET => '/users/me', token => 'x.y.z'), 401, 'tokens are checked');
    health('degraded', database => 'healthy', redis => 'unhealthy');
    my $before = $s->sql('SELECT count(*) FROM checkins');
    $s->start_redis;
    recovered('Redis');
    quiet('after Redis');
    cmp_ok($s->sql('SELECT count(*) FROM checkins'), '>', $before, 'writes arrive');
};

subtest 'Redis is killed' => sub {
    my @pending = ();
    $s->stop_redis('KILL');
    error_ok(write_one(), 503, 'writes are refused');
    status_ok(call($s, GET => '/goals', %p), 200, 'reads go on');
    $s->start_redis;
    recovered('Redis');
    quiet('after Redis');
};

subtest 'sessions that ended are remembered' => sub {
    my $v = new_user($s);
    status_ok(call($s, POST => '/auth/logout', token => $v->{token}), 204, 'logout');
    $s->stop_redis;
    error_ok(call($s, GET => '/users/me', token => $v->{token}, ua => agent()), 401, 'without Redis') for 1 .. 4;
    $s->start_redis;
    recovered('Redis');
    error_ok(call($s, GET => '/users/me', token => $v->{token}, ua => agent()), 401, 'and after it came back') for 1 .. 4;
};

for my $how (qw(fast immediate)) {
    subtest "PostgreSQL stops: $how" => sub {
        $s->stop_postgres($how);
        bounded(20, 'reads', sub {
            my @res = calls($s, map { [GET => $_, %p, ua => agent()] } ('/users/me', '/goals', "/goals/$goal") x 6);
            error_ok($_, 503, 'reads are refused') for @res;
        });
        bounded(30, 'writes', sub {
            my $res = write_one();
            ok(($res->code // 0) == 503 || ($res->code // 0) == 202, 'a write is refused or kept') or diag($res->code . ' ' . $res->body);
            error_ok($res, 503, 'refused as the contract says') if ($res->code // 0) == 503;
        });
        error_ok(call($s, GET => '/users/me', token => 'x.y.z'), 401, 'tokens are checked');
        health('degraded', database => 'unhealthy', redis => 'healthy');
        $s->start_postgres;
        recovered('PostgreSQL');
        quiet('after PostgreSQL');
        is($s->sql("SELECT count(*) FROM goals WHERE id = '$goal'"), 1, 'nothing was lost');
    };
}

subtest 'both stop' => sub {
    $s->stop_postgres('fast');
    $s->stop_redis;
    error_ok(call($s, GET => '/goals', %p, ua => agent()), 503, 'reads');
    error_ok(write_one(), 503, 'writes');
    health('unhealthy', database => 'unhealthy', redis => 'unhealthy');
    $s->start_redis;
    $s->start_postgres;
    recovered('both');
    quiet('after both');
};

is(scalar(grep { $_ ne '' } map { $s->redis(ZCARD => "{fn}:dead:$_") || '' } qw(sql auth net)), 0, 'no dead letters');
$s->assert_clean(qr/connect\(\)|No such file|Connection refused/);
done_testing;
