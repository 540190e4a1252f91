# Tokens that are dead before their time: one token, a session, all of a user; on every process and server; and what happens
# when nobody can say which are.
use Mojo::Base -strict, -signatures;
use FindBin;
use lib "$FindBin::Bin/lib";
use FitNudge::Stack;
use FitNudge::Test::Contract;
use FitNudge::Test::Stack;
use Test::More;
use Time::HiRes qw(sleep time);

my $s = FitNudge::Test::Stack->new(nginx_workers => 2)->start;

# A second server over the same database and Redis.
my $other = FitNudge::Test::Stack->new(nginx_workers => 1);
$other->prepare;
$other->{redis} = $s->{redis};
$other->{db} = { host => $s->{sock} };
FitNudge::Util::spew($other->secret_file($_), FitNudge::Util::slurp($s->secret_file($_)), 0600) for qw(jwt_secret csrf_secret);
$other->start_nginx;
ok(poll(20, sub { (call($other, GET => '/health/ready')->code // 0) == 200 }), 'two servers') or diag($other->error_log);

my $u = new_user($s);
my $now = int time;

sub token (%more) { $s->mint_jwt(sub => $u->{id}, iat => $now - 100, exp => $now + 900, %more) }

# Asks each process of both servers, on connections of their own, as they may answer from what they remember.
sub everywhere ($token, $status, $name, %o) {
    my %codes;
    my $ok = poll($o{seconds} // 5, sub {
        %codes = ();
        $codes{ $_->code // 'none' }++ for map { my $x = $_; calls($x, map { [GET => '/users/me', token => $token, ua => agent()] } 1 .. 8) } $s, $other;
        join(',', keys %codes) eq $status;
    });
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    ok($ok, $name) or diag(explain(\%codes));
}

# As the pool does it: remembered, and told.
sub revoke ($what, $until) {
    $s->redis(ZADD => '{fn}:revoked', 'GT', $until, $what);
    $s->redis(PUBLISH => '{fn}:changes', "goals:x revoked:$what:$until users:y");
}

subtest 'kinds' => sub {
    my ($sa, $sb) = map { FitNudge::Test::Stack::uuid() } 1 .. 2;
    my %t = (one => token(jti => 'one', session_id => $sa), two => token(jti => 'two:with:colons', session_id => $sa), three => token(jti => 'three', session_id => $sb),
        fresh => token(jti => 'fresh', session_id => $sb, iat => $now - 10), none => token(jti => undef, session_id => undef, iat => undef));
    everywhere($t{$_}, 200, "$_ is good") for sort keys %t;

    revoke('jti:one', $now + 900);
    everywhere($t{one}, 401, 'one token');
    error_ok(call($s, GET => '/users/me', token => $t{one}), 401, 'says why', constraint => 'revoked');
    everywhere($t{two}, 200, 'not the other one of its session');
    revoke('jti:two:with:colons', $now + 900);
    everywhere($t{two}, 401, 'an id with colons');

    revoke(uc $sa, $now + 900);
    everywhere(token(jti => 'other', session_id => $sa), 401, 'a session, in capitals as well');
    everywhere($t{three}, 200, 'not another session');

    revoke("user:$u->{id}:" . ($now - 50), $now + 900);
    everywhere($t{three}, 401, 'a user: tokens issued before');
    everywhere($t{none}, 401, 'one that does not say when it was issued');
    everywhere($t{fresh}, 200, 'not those issued since');
    revoke("user:$u->{id}:" . ($now - 80), $now + 900);
    everywhere($t{three}, 401, 'an earlier time takes nothing back');
    everywhere($u->{token}, 200, 'signed in since');
    everywhere(new_user($s)->{token}, 200, 'somebody else');
};

subtest 'from PostgreSQL' => sub {
    my $v = new_user($s);
    my $mine = sub (%more) { token(sub => $v->{id}, iat => $now - 20, %more) };
    my %t = (one => $mine->(jti => 'sql:one'), two => $mine->(jti => 'sql:two'));
    everywhere($t{$_}, 200, "$_ is good") for sort keys %t;
    $s->sql("SELECT pool.revoke('$v->{id}', 'jti:sql:one', now() + interval '15 minutes')");
    everywhere($t{one}, 401, 'one token', seconds => 20);
    everywhere($t{two}, 200, 'and no other');
    $s->sql("SELECT pool.revoke_user('$v->{id}')");
    everywhere($_, 401, 'all of a user', seconds => 20) for $t{two}, $v->{token};
    everywhere($u->{token}, 200, 'and of no other');
    my @kept = $s->redis(ZRANGE => '{fn}:revoked', 0, -1);
    @kept = map { ref ? @$_ : $_ } @kept;
    is(scalar(grep { $_ eq 'jti:sql:one' || /\Auser:$v->{id}:\d+\z/ } @kept), 2, 'it is remembered') or diag(explain(\@kept));
};

subtest 'who is barred' => sub {
    my $v = new_user($s);
    my $other_issuer = sub { token(sub => $v->{id}, session_id => undef, jti => undef, iat => time + 2) };    # issued after whatever is revoked until now
    everywhere($other_issuer->(), 200, 'before');
    $s->sql("SELECT pool.suspend_user('{}', ?, 'spam')", $v->{id});
    everywhere($v->{token}, 401, 'what was issued before is revoked', seconds => 20);
    everywhere($other_issuer->(), 403, 'what is issued since opens nothing', seconds => 20);
    error_ok(call($s, GET => '/users/me', token => $other_issuer->()), 403, 'says why', constraint => 'suspended');
    error_ok(call($s, POST => '/goals', token => $other_issuer->(), json => {}), 403, 'not for writes', constraint => 'suspended');
    everywhere($u->{token}, 200, 'nobody else');
    $s->sql("SELECT pool.unsuspend_user('{}', ?)", $v->{id});
    everywhere($other_issuer->(), 200, 'it is lifted', seconds => 20);

    # in the wrong order, and twice
    my $kept = sub { grep { /\Abarred:$v->{id}:/ } map { ref ? @$_ : $_ } $s->redis(ZRANGE => '{fn}:revoked', 0, -1) };
    my ($n) = sort { $b <=> $a } map { /(\d+)\z/ } $kept->();
    revoke("barred:$v->{id}:" . ($n - 1), $now + 900) for 1, 2;
    everywhere($other_issuer->(), 200, 'what comes late changes nothing');

    # by hand, and forgotten by Redis
    $s->sql('UPDATE users SET deleted_at = now() WHERE id = ? RETURNING 1', $v->{id});
    everywhere($other_issuer->(), 403, 'who has left is barred as well', seconds => 20);
    $s->redis(ZREM => '{fn}:revoked', $kept->());
    for my $x ($s, $other) {
        $x->stop_process('nginx', 'TERM', 15);
        $x->start_nginx;
        ok(poll(20, sub { (call($x, GET => '/health/ready', ua => agent())->code // 0) == 200 }), 'restart');
    }
    everywhere($other_issuer->(), 200, 'nobody remembers');
    $s->sql("SELECT pool.enter(NULL), pool.cron_barred(now(), '{}')");
    everywhere($other_issuer->(), 403, 'until the clock tells again', seconds => 20);
    $s->sql('UPDATE users SET deleted_at = NULL WHERE id = ? RETURNING 1', $v->{id});
    everywhere($other_issuer->(), 200, 'back again', seconds => 20);
};

subtest 'Redis is restarted' => sub {
    my $mine = token(jti => 'late', session_id => undef, iat => $now - 20);
    my $also = token(jti => 'soon', session_id => undef, iat => $now - 20);
    everywhere($mine, 200, 'before');
    everywhere($also, 200, 'and the other');
    # noted, but nobody told
    $s->redis(ZADD => '{fn}:revoked', $now + 900, 'jti:late');
    $s->stop_redis;
    everywhere(token(jti => 'one', iat => $now), 401, 'what was known is known without it');
    everywhere($mine, 200, 'and what was good is good');
    $s->start_redis;
    everywhere($mine, 401, 'what was missed is loaded', seconds => 20);
    everywhere(token(jti => 'one', iat => $now), 401, 'and nothing forgotten');
    revoke('jti:soon', $now + 900);
    everywhere($also, 401, 'the channel works again', seconds => 20);
};

subtest 'many' => sub {
    # more than one page, and rubbish among them
    my @all = map { ($now + 600, "jti:many$_") } 1 .. 2500;
    while (my @some = splice @all, 0, 1000) { $s->redis(ZADD => '{fn}:revoked', @some) }
    $s->redis(ZADD => '{fn}:revoked', $now + 700, $_) for 'rubbish', 'user:', 'user:x:1', "user:$u->{id}:-5", "user:$u->{id}:", 'jti:', 'jti:' . 'x' x 65, 'jti:' . 'x' x 5000, ':', 'revoked:';
    $s->redis(PUBLISH => '{fn}:changes', join ' ', 'revoked:', 'revoked::', 'revoked:jti', 'revoked:jti:', 'revoked:jti::', "revoked:jti:x:99999999999999999999", "revoked:user:$u->{id}:$now", 'revoked:' . 'x' x 70000, ' ', '');
    $s->stop_redis;
    $s->start_redis;
    everywhere(token(jti => "many$_", iat => $now), 401, "many$_", seconds => 20) for 1, 1250, 2500;
    everywhere(token(jti => 'few', iat => $now), 200, 'others are good');
    like($s->error_log, qr/malformed revocation ignored/, 'rubbish is noted');
};

subtest 'a new process' => sub {
    my %old = map { $_ => 1 } @{ $s->pids->{nginx_workers} };
    $s->reload_nginx;
    ok(poll(15, sub { my @p = @{ $s->pids->{nginx_workers} }; @p == 2 && !grep { $old{$_} } @p }), 'reload');
    everywhere(token(jti => 'many7', iat => $now), 401, 'knows');
    $other->stop_process('nginx', 'TERM', 15);
    $other->start_nginx;
    ok(poll(20, sub { (call($other, GET => '/health/ready', ua => agent())->code // 0) == 200 }), 'restart');
    everywhere(token(jti => 'many8', iat => $now), 401, 'knows, too');
};

subtest 'a revocation list that is stale' => sub {
    $s->{shared} = 'fitnudge_revocation_stale 10s;';
    $s->write_conf;
    my %old = map { $_ => 1 } @{ $s->pids->{nginx_workers} };
    $s->reload_nginx;
    ok(poll(15, sub { my @p = @{ $s->pids->{nginx_workers} }; @p == 2 && !grep { $old{$_} } @p }), 'reload');
    my $t = token(jti => 'stale', iat => $now);
    my $ask = sub ($token) { call($s, GET => '/users/me', token => $token, ua => agent()) };
    status_ok($ask->($t), 200, 'fresh');
    my $from = time;
    $s->stop_redis;
    status_ok($ask->($t), 200, 'not stale at once');
    ok(poll(30, sub { $ask->($t)->code == 503 }), 'stale after a while');
    cmp_ok(time - $from, '>', 4, 'not before its time');
    error_ok($ask->($t), 503, 'tokens cannot be checked', constraint => 'token');
    error_ok($ask->(token(jti => 'many9', iat => $now)), 401, 'what is known to be dead is');
    error_ok($ask->('x.y.z'), 401, 'and what was never alive');
    status_ok(call($other, GET => '/users/me', token => $t, ua => agent()), 200, 'without the policy it goes on');
    status_ok(call($s, GET => '/health/live', ua => agent()), 200, 'anyone may still ask what needs no token');
    $s->start_redis;
    ok(poll(20, sub { my @c = calls($s, map { [GET => '/users/me', token => $t, ua => agent()] } 1 .. 8); !grep { ($_->code // 0) != 200 } @c }), 'good again when Redis is');

    # nobody has ever loaded the list
    $s->stop_process('nginx', 'TERM', 15);
    $s->stop_redis;
    $s->start_nginx;
    ok(poll(20, sub { ($ask->($t)->code // 0) == 503 }), 'a start without Redis');
    error_ok($ask->($t), 503, 'accepts no token', constraint => 'token');
    $s->start_redis;
    ok(poll(20, sub { ($ask->($t)->code // 0) == 200 }), 'until it has loaded the list');
};

$other->assert_clean(qr/connect\(\)|No such file|Connection refused/);
$s->assert_clean(qr/connect\(\)|No such file|Connection refused/);
done_testing;
