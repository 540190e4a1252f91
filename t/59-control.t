# An operator's session: lanes are paused, limited and refused, jobs cancelled, dead letters replayed, with fitnudgectl alone.
use Mojo::Base -strict, -signatures;
use FindBin;
use lib "$FindBin::Bin/lib";
use FitNudge::Test::Contract;
use FitNudge::Test::Stack;
use Mojo::JSON qw(decode_json);
use Test::More;
use Time::HiRes qw(sleep time);

my $s = FitNudge::Test::Stack->new(nginx_workers => 2, openai => 1)->start;
my $u = new_user($s);
make_pro($s, $u);
my %p = (token => $u->{token});
my $goal = call($s, POST => '/goals', %p, json => { title => 'Run', frequency => 3 })->json->{id};

# What it printed; it must have succeeded, unless a status is given.
sub ctl (@args) {
    my $want = ref $args[-1] ? ${ pop @args } : 0;
    open my $out, '-|', $s->dir . '/bin/fitnudgectl', '-c', $s->dir . '/nginx.conf', @args or die $!;
    local $/;
    my $text = <$out> // '';
    close $out;
    my $status = $? >> 8;
    if ($status != $want) { local $Test::Builder::Level = $Test::Builder::Level + 1; fail("fitnudgectl @args") or diag("status $status: $text") }
    return $text;
}
sub lane ($name) { my ($l) = grep { ($_->{lane} // '') eq $name } map { decode_json($_) } split /\n/, ctl('--json', 'lanes'); return $l }
sub waiting ($name) { my $l = lane($name); return $l->{high} + $l->{normal} + $l->{low} }
sub add (%o) { call($s, PATCH => "/goals/$goal", %p, json => { title => 'Run ' . time }, ua => agent(), headers => { Prefer => 'respond-async', %{ $o{headers} // {} } }) }
sub job ($id) { call($s, GET => "/jobs/$id", %p, ua => agent())->json->{job} }
# Executors that wait at the moment of the order may still get a job each: until none of the lane waits, at several looks.
sub settled ($lane = 'sql') {
    my $looks = 0;
    return poll(30, sub { $looks = (grep { / name=fitnudge:$lane / && / flags=\w*b/ } $s->redis(CLIENT => 'LIST')) ? 0 : $looks + 1; $looks >= 5 }) || BAIL_OUT("$lane does not settle");
}

# Until others answer
sub reload_nginx () {
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my %old = map { $_ => 1 } @{ $s->pids->{nginx_workers} };
    $s->reload_nginx;
    ok(poll(20, sub { my @now = @{ $s->pids->{nginx_workers} }; @now == 2 && !grep { $old{$_} } @now }), 'after a reload');
}

subtest 'pause' => sub {
    is(ctl('pause', 'sql'), "sql: paused\n", 'pause');
    settled();
    my @id = map { my $r = add(); status_ok($r, 202, 'a write is accepted'); $r->json->{job}{id} } 1 .. 5;
    is(waiting('sql'), 5, 'and waits');
    is(lane('sql')->{orders}, 'paused', 'lanes says why');
    like(ctl('lanes'), qr/^sql +\d+ +\d+ +\d+ +\S+ +\d+ +\d+  paused$/m, 'also in the table');
    like(ctl('ls', 'sql'), qr/^\Q$id[0]\E +goals\.update +waiting/m, 'what waits is shown');
    is(job($id[0])->{status}, 'queued', 'its client is told the same');
    is(ctl('resume', 'sql'), "sql: no orders\n", 'resume');
    ok(poll(15, sub { waiting('sql') == 0 }), 'what waited is done');
    ok(poll(15, sub { !grep { job($_)->{status} ne 'done' } @id }), 'all of it');

    like(ctl('pause', 'sql', '--until', '+3s'), qr/^sql: paused until 20\d\d-/, 'until a time');
    ok(poll(15, sub { add()->json; waiting('sql') == 0 && lane('sql')->{orders} eq '-' }), 'ends by itself');
    ctl('pause', 'sql', '--until', $_, \2) for 'yesterday', '2020-01-01T00:00:00Z', '+2y', '';
    ctl('pause', 'sql', 'x', \2);
    ctl('pause', 'nosuch', \2);
};

subtest 'cancel a job that waits' => sub {
    ctl('pause', 'sql');
    settled();
    my ($keep, $drop) = map { add()->json->{job}{id} } 1 .. 2;
    like(ctl('cancel', $drop), qr/^\Q$drop\E ends/, 'cancel');
    ctl('resume', 'sql');
    ok(poll(15, sub { job($drop)->{status} eq 'failed' }), 'it has failed') or diag(job($drop)->{status});
    ok(poll(15, sub { job($keep)->{status} eq 'done' }), 'the other one is done');
    is(lane('sql')->{dead}, 0, 'it is no dead letter');
    ctl('cancel', $drop, \1);
    ctl('cancel', $keep, \1);
    ctl('cancel', 'x', \2);
    is($s->redis(SCARD => '{fn}:cancelled'), 0, 'no order is left');
};

subtest 'cancel an AI job in work' => sub {
    $s->openai_mode('hang');
    my $tx;
    my $ua = agent();
    my $p = $ua->post_p($s->url('/api/v1/motivation/generate'), { Authorization => "Bearer $u->{token}" }, json => { goal_id => $goal })->then(sub ($t) { $tx = $t });
    my $id;
    my $loop = Mojo::IOLoop->recurring(0.2 => sub {
        return if $id;
        ($id) = map { $_->{id} } grep { ($_->{job} // '') eq 'motivation.generate:call' } map { decode_json($_) } split /\n/, ctl('--json', 'inflight');
        ctl('cancel', $id) if $id;
    });
    my $from = time;
    $p->wait;
    Mojo::IOLoop->remove($loop);
    ok($id, 'it was in work');
    is($tx->res->code, 409, 'who waits for it is told');
    is($tx->res->json->{error}{code}, 'CONFLICT', 'in the shape of the contract');
    cmp_ok(time - $from, '<', 14, 'long before the call would have ended');
    is(job($id)->{status}, 'failed', 'and so is who asks');
    $s->openai_mode('ok');
    my $r = call($s, POST => '/motivation/generate', %p, json => { goal_id => $goal }, ua => agent());
    status_ok($r, 200, 'the next one works');
};

subtest 'limit' => sub {
    $s->openai_mode('slow', delay_ms => 700);
    is(ctl('limit', 'net', 2), "net: at most 2 at once\n", 'limit');
    settled('net');
    my @users = map { my $x = new_user($s); $x->{goal} = call($s, POST => '/goals', token => $x->{token}, json => { title => "Goal $_", frequency => 3 })->json->{id}; $x } 1 .. 6;
    my $most = 0;
    my $ua = agent();
    my @p = map { $ua->post_p($s->url('/api/v1/motivation/generate'), { Authorization => "Bearer $_->{token}" }, json => { goal_id => $_->{goal} }) } @users;
    my $loop = Mojo::IOLoop->recurring(0.1 => sub { my $n = () = ctl('inflight') =~ /:call /g; $most = $n if $n > $most });
    my @code;
    Mojo::Promise->all(@p)->then(sub (@tx) { @code = map { $_->[0]->res->code } @tx })->wait;
    Mojo::IOLoop->remove($loop);
    is_deeply(\@code, [(200) x 6], 'all are served');
    cmp_ok($most, '>=', 1, 'some at a time');
    cmp_ok($most, '<=', 2, "never more than two: $most");
    is($s->redis(ZCARD => '{fn}:run:net'), 0, 'nothing is counted that is over');
    is(ctl('limit', 'net', 'off'), "net: no orders\n", 'off');
    ctl('limit', 'net', $_, \2) for 0, -1, 'x', '1e9', '';
    $s->openai_mode('ok');
};

subtest 'rate' => sub {
    is(ctl('rate', 'sql', 20, 1), "sql: 20 a second, bursts of 1\n", 'rate');
    settled();
    my $from = time;
    my @r = calls($s, map { [PATCH => "/goals/$goal", %p, json => { title => "Rate $_" }, ua => agent()] } 1 .. 40);
    is(scalar(grep { $_->code =~ /\A20[02]\z/ } @r), 40, 'forty writes');
    ok(poll(15, sub { waiting('sql') == 0 }), 'are done');
    cmp_ok(time - $from, '>=', 1.8, 'not faster than twenty a second');
    is(ctl('rate', 'sql', 'off'), "sql: no orders\n", 'off');
    ctl('rate', 'sql', @$_, \2) for [0], ['x'], [10, 0], [10, 'x'];
};

subtest 'refuse' => sub {
    is(ctl('refuse', 'sql'), "sql: refused at the edge\n", 'refuse');
    my $r;
    ok(poll(10, sub { my @r = map { add() } 1 .. 4; ($r) = $r[0]; !grep { $_->code != 503 } @r }), 'every edge answers 503');
    ok($r->headers->header('Retry-After'), 'and when to come back');
    status_ok(call($s, GET => "/goals/$goal", %p), 200, 'reads go on');
    error_ok(call($s, POST => '/auth/login', json => { email => 'a@b.example', password => 'wrong password' }), 401, 'and so do other lanes');
    reload_nginx();             # those who come later know as well
    ok(poll(10, sub { my @r = map { add() } 1 .. 4; !grep { $_->code != 503 } @r }), 'it is still so');
    is(ctl('accept', 'sql'), "sql: no orders\n", 'accept');
    ok(poll(10, sub { my @r = map { add() } 1 .. 4; !grep { $_->code != 202 } @r }), 'writes are accepted again');
};

subtest 'a lane that is too long' => sub {
    $s->{shared} = 'fitnudge_queue_max 10;';
    $s->write_conf;
    reload_nginx();
    ctl('pause', 'sql');
    settled();
    my %code;
    ok(poll(20, sub { $code{ $_->code }++ for map { add() } 1 .. 10; $code{503} }), 'is refused') or diag(explain \%code);
    cmp_ok(waiting('sql'), '>=', 10, 'when it is long enough');
    ctl('resume', 'sql');
    ok(poll(15, sub { waiting('sql') == 0 }), 'when it is empty');
    ok(poll(10, sub { add()->code == 202 }), 'writes are accepted again');
};

subtest 'a lane that stands still' => sub {
    my $other = new_user($s);
    $s->{shared} = 'fitnudge_queue_age 2s;';
    $s->write_conf;
    $s->reload_nginx;
    sleep 1;
    ctl('pause', 'sql');
    settled();
    my %code;
    ok(poll(30, sub { $code{ $_->code }++ for map { add() } 1 .. 4; $code{503} }), 'is refused') or diag(explain \%code);
    cmp_ok($code{202}, '>', 0, 'not at once');
    ok(poll(10, sub { my @r = map { add() } 1 .. 8; !grep { $_->code != 503 } @r }), 'by every process');
    my $waiting = waiting('sql');
    my $r = add();
    is($r->code, 503, 'and nobody has to try whether it still is');
    ok($r->headers->header('Retry-After'), 'it says when to come back');
    is(waiting('sql'), $waiting, 'nothing was added');
    error_ok(call($s, POST => '/auth/login', json => { email => 'a@b.example', password => 'wrong password' }), 401, 'another lane moves');
    is(call($s, POST => '/auth/logout', token => $other->{token}, headers => { Prefer => 'respond-async' }, ua => agent())->code, 202, 'so does another queue of the lane, for all one knows');
    ctl('resume', 'sql');
    ok(poll(15, sub { waiting('sql') == 0 }), 'when it moves again');
    ok(poll(10, sub { add()->code =~ /\A20[02]\z/ }), 'writes are accepted');

    # what was put off is old and says nothing
    my $u2 = new_user($s);
    my $old = int(time * 1000) - 3600_000;
    ctl('pause', 'sql');
    settled();
    $s->redis(LPUSH => '{fn}:q:sql:n', sprintf('w1 01900000-0000-7000-8000-%012d push.send n %d 0 3 %s - -%s', 9000 + $_, $old, $u2->{id}, qq[\n{"params":{},"body":{"title":"x","body":"y"},"meta":{}}])) for 1 .. 3;
    my @r = map { my $x = add(); sleep 0.15; $x } 1 .. 8;
    is(scalar(grep { $_->code == 202 } @r), 8, 'jobs that were put off do not count') or diag(join ' ', map { $_->code } @r);
    ctl('resume', 'sql');
    ok(poll(15, sub { waiting('sql') == 0 }), 'all is done');
};

$s->assert_clean(qr/job ends as an operator wants it/);
done_testing;
