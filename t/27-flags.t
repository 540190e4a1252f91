# Feature flags and experiments over HTTP: whose value it is, who may ask, and a kill that reaches every edge.
use Mojo::Base -strict, -signatures;
use FindBin;
use lib "$FindBin::Bin/lib";
use FitNudge::Test::Contract;
use FitNudge::Test::Stack;
use Mojo::JSON qw(decode_json encode_json true false);
use Test::More;

my $s = FitNudge::Test::Stack->new(nginx_workers => 2)->start;
my $two = FitNudge::Test::Stack->new(nginx_workers => 2, redis_url => 'unix:' . $s->redis_socket,
    database_url => "postgres://postgres\@/fitnudge?host=$s->{sock}");
$two->prepare;
# one installation has one key
system('cp', '-p', $s->secret_file('jwt_secret'), $two->dir . '/secrets/jwt_secret') == 0 or die;
$two->start_nginx->wait_ready;

# (exit status, what was printed with errors)
sub ctl (@args) {
    my $pid = open(my $out, '-|') // die "fork: $!";
    if (!$pid) {
        open STDERR, '>&', \*STDOUT;
        exec $s->dir . '/bin/fitnudgectl', '-c', $s->dir . '/nginx.conf', @args;
    }
    local $/;
    my $text = <$out> // '';
    close $out;
    return ($? >> 8, $text);
}
sub ctl_ok ($name, @args) {
    my ($status, $text) = ctl(@args);
    is($status, 0, $name) or diag($text);
    return $text;
}
sub flags ($u, $query = '') { call($s, GET => "/flags$query", token => $u->{token})->json->{flags} }

my ($a, $b) = map { new_user($s) } 1 .. 2;

subtest 'everybody has values of their own' => sub {
    my $res = call($s, GET => '/flags', token => $a->{token});
    status_ok($res, 200, 'flags');
    is_deeply([sort keys %{ $res->json->{flags} }],
        [qw(advanced-analytics ai-voice-messages experimental-ui local-gym-integration multiple-goals new-ui-design social-features)], 'all of them');
    status_ok(call($s, GET => '/flags', token => $a->{token}, headers => { 'If-None-Match' => $res->headers->etag }), 304, 'an ETag');
    is(flags($a)->{'ai-voice-messages'}, false, 'nothing is spoken on the free plan');
    make_pro($s, $a);
    ok(poll(20, sub { flags($a)->{'ai-voice-messages'} }), 'it is on Pro');
    is(flags($b)->{'ai-voice-messages'}, false, 'somebody else is not concerned');

    status_ok(call($s, PATCH => '/users/me', token => $b->{token}, json => { country => 'CA' }), 200, 'a country');
    is(flags($b)->{'local-gym-integration'}, true, 'is heeded in the next read');
    is(flags($a)->{'local-gym-integration'}, false, 'for whom it is');

    ctl_ok('a beta tester', qw(flags member beta), $b->{id}, 'in');
    is(flags($b)->{'experimental-ui'}, true, 'sees what is not finished');
    is(flags($a)->{'experimental-ui'}, false, 'others do not');
    ctl_ok('and leaves', qw(flags member beta), $b->{id}, 'auto');
    is(flags($b)->{'experimental-ui'}, false, 'and does no more');

    ctl_ok('a flag by version', qw(flags set by-version), encode_json({ on => true, stage => 'production', fallthrough => { variation => 1 },
        rules => [{ variation => 0, clauses => [{ attribute => 'platform', op => 'in', values => ['ios'] }, { attribute => 'app_version', op => 'semVerLessThan', values => ['2.10.0'] }] }] }));
    is(flags($a, '?platform=ios&app_version=2.9.1')->{'by-version'}, true, 'an old app');
    is(flags($a, '?platform=ios&app_version=2.10.0')->{'by-version'}, false, 'a new one');
    is(flags($a, '?platform=android&app_version=2.9.1')->{'by-version'}, false, 'another platform');
    is(flags($a)->{'by-version'}, false, 'who says nothing');
    is(flags($a, '?app_version=%C3%A9%00' =~ s/%00//r . '&platform=ios')->{'by-version'}, false, 'what is no version');
};

subtest 'who may ask, and what is wrong' => sub {
    error_ok(call($s, GET => $_), 401, "$_ without a token") for '/flags', '/onboarding/flow';
    error_ok(call($s, POST => '/experiments/onboarding-flow/events', json => { event => 'conversion' }), 401, 'events without a token');
    error_ok(call($s, GET => "/flags?$_->[0]", token => $a->{token}), 400, $_->[0], field => $_->[1])
        for ['platform=windows', 'platform'], ['app_version=', 'app_version'], ['app_version=' . 'x' x 65, 'app_version'], ['plan=elite', 'plan'], ['user_id=' . $b->{id}, 'user_id'];
    error_ok(call($s, POST => '/flags', token => $a->{token}, json => {}), 405, 'flags are not set here');
    error_ok(call($s, GET => '/flags', token => $s->mint_jwt), 404, 'somebody who is not there');
};

subtest 'the limit of the free plan is a flag' => sub {
    my %p = (token => $b->{token});
    status_ok(call($s, POST => '/goals', %p, json => { title => 'One', frequency => 1 }), 201, 'one goal');
    error_ok(call($s, POST => '/goals', %p, json => { title => 'Two', frequency => 1 }), 400, 'not two', constraint => 'plan_goal_limit');
    ctl_ok('the flag', qw(flags on multiple-goals));
    status_ok(call($s, POST => '/goals', %p, json => { title => 'Two', frequency => 1 }), 201, 'two');
    ctl_ok('off again', qw(flags off multiple-goals --reason), 'a test');
    error_ok(call($s, POST => '/goals', %p, json => { title => 'Three', frequency => 1 }), 400, 'not three', constraint => 'plan_goal_limit');
};

subtest 'a kill reaches every process of every edge' => sub {
    my $at = sub ($stack) { call($stack, GET => '/flags', token => $a->{token}, ua => agent(max_connections => 0)) };
    # each process of both instances has the answer in its cache
    for my $stack ($s, $two) {
        ok((grep { $_->json->{flags}{'ai-voice-messages'} } map { $at->($stack) } 1 .. 10) == 10, 'it is on');
    }
    $s->stop_process('pool', 'TERM', 35);
    my ($status, $text) = ctl(qw(--json flags kill ai-voice-messages --reason), 'it costs too much');
    is($status, 0, 'killed, without the pool') or diag($text);
    is(decode_json($text)->{on}, false, 'off');
    for my $stack ($s, $two) {
        ok(poll(20, sub { !grep { ($_->json // {})->{flags}{'ai-voice-messages'} // 1 } map { $at->($stack) } 1 .. 10 }), 'off on every edge, long before its cache expires');
    }
    is($s->sql("SELECT count(*) FROM change_outbox WHERE tags = '{flags}'"), 0, 'nothing is left to be told');
    $s->start_pool;
    ok(poll(40, sub { $s->sql("SELECT count(*) FROM inbox WHERE job = 'alert.send' AND state = 'done'") }), 'the team is told when the pool is back');
    is($s->sql("SELECT done_by LIKE 'fitnudgectl:%' AND reason = 'it costs too much' FROM flag_audit WHERE action = 'kill'"), 1, 'and who did it is known');
};

subtest 'fitnudgectl flags' => sub {
    like(ctl_ok('ls', qw(flags ls)), qr/^ai-voice-messages +off +production +\d+ +\S+Z +fitnudgectl:\w+ +Spoken messages$/m, 'a line each');
    is(scalar(grep { decode_json($_)->{key} } split /\n/, ctl_ok('as JSON', qw(--json flags ls))), 8, 'as JSON');
    is(decode_json(ctl_ok('show', qw(flags show new-ui-design)))->{fallthrough}{rollout}{variations}[0]{weight}, 25000, 'one flag');
    like(ctl_ok('stage', qw(flags stage by-version staging)), qr/by-version: on/, 'a stage');
    is(flags($a, '?platform=ios&app_version=2.9.1')->{'by-version'}, false, 'what is not in production is off');
    for my $case ([1, qr/there is no flag "none"/, qw(flags on none)], [1, qr/there is no flag "none"/, qw(flags show none)], [1, qr/"nonsense" is nothing that a flag has/, qw(flags set x), '{"nonsense":1}'],
        [1, qr/postgres refuses \(22P02\)|value that it cannot/, qw(flags set x), '{'], [1, qr/there is no such user/, qw(flags member beta), FitNudge::Test::Stack::uuid(), 'in'],
        [1, qr/there is no segment/, qw(flags member none), $a->{id}, 'in'], [1, qr/add up to 100000/, qw(flags set x), '{"fallthrough":{"rollout":{"variations":[{"variation":0,"weight":5}]}}}'],
        [2, qr/usage/, qw(flags)], [2, qr/usage/, qw(flags up x)], [2, qr/usage/, qw(flags stage x nowhere)], [2, qr/usage/, qw(flags member beta x maybe)], [2, qr/usage/, qw(flags kill x --because y)]) {
        my ($want, $like, @args) = @$case;
        my ($status, $text) = ctl(@args);
        is($status, $want, "@args") or diag($text);
        like($text, $like, 'and why');
    }
};

subtest 'an experiment' => sub {
    my @u = map { new_user($s) } 1 .. 12;
    my %flow = (control => ['original', [qw(welcome goal notification)]], treatment => ['simplified', [qw(goal done)]]);
    my %has;
    for my $u (@u) {
        my $res = call($s, GET => '/onboarding/flow', token => $u->{token});
        status_ok($res, 200, 'a flow');
        my $j = $res->json;
        $has{ $u->{id} } = $j->{variant};
        is_deeply([@$j{qw(flow steps)}], $flow{ $j->{variant} }, $j->{variant});
        is(call($two, GET => '/onboarding/flow', token => $u->{token})->json->{variant}, $j->{variant}, 'the same on another edge');
    }
    ok(poll(20, sub { $s->sql('SELECT count(*) FROM experiment_exposures') == @u }), 'all of them are known to have seen it') or diag($s->sql('SELECT count(*) FROM experiment_exposures'));
    is($s->sql('SELECT count(*) FROM experiment_exposures WHERE variant <> (?::jsonb ->> user_id::text)', encode_json(\%has)), 0, 'what they have seen');

    my $tell = sub ($u, $event, %o) { call($s, POST => '/experiments/onboarding-flow/events', token => $u->{token}, json => { event => $event }, %o) };
    status_ok($tell->($_, 'conversion'), 202, 'a conversion') for @u[0 .. 3];
    my %once = (headers => { 'Idempotency-Key' => 'k1' });
    status_ok($tell->($u[4], 'conversion', %once), 202, 'once');
    is($tell->($u[4], 'conversion', %once)->headers->header('Idempotency-Replayed'), 'true', 'said again');
    is($s->sql('SELECT count(*) FROM experiment_events WHERE user_id = ?', $u[4]{id}), 1, 'is once');
    error_ok($tell->($u[5], 'Conversion!'), 400, 'a name that is none', field => 'event', constraint => 'format');
    error_ok(call($s, POST => '/experiments/none/events', token => $a->{token}, json => { event => 'x' }), 404, 'an experiment that is none');
    error_ok(call($s, POST => '/experiments/' . 'x' x 65 . '/events', token => $a->{token}, json => { event => 'x' }), 404, 'nor with a long name');

    my $r = decode_json(ctl_ok('results', qw(--json experiments results onboarding-flow 1)));
    my %v = map { $_->{variant} => $_ } @{ $r->{variants} };
    is($v{control}{users} + $v{treatment}{users}, scalar @u, 'all are counted');
    is($v{control}{conversions} + $v{treatment}{conversions}, 5, 'five did it');
    is($v{treatment}{warning}, 'fewer than 100 users in a variant', 'which proves nothing');
    is($v{treatment}{significant}, false, 'as it says');
    like(ctl_ok('as a table', qw(experiments results onboarding-flow)), qr/^treatment +\d+ +\d+ .*fewer than 100/m, 'for people');
    like(ctl_ok('ls', qw(experiments ls)), qr/^onboarding-flow +on +@{[scalar @u]} +conversion/m, 'a list');
    ctl_ok('off', qw(experiments off onboarding-flow));
    is(call($s, GET => '/onboarding/flow', token => $_->{token})->json->{variant}, 'control', 'off: all have the first') for @u;
    for my $case ([1, qr/there is no experiment/, qw(experiments results none)], [2, qr/no number of days/, qw(experiments results onboarding-flow x)], [2, qr/usage/, qw(experiments go x)],
        [1, qr/2 to 10 variants/, qw(experiments set x), '{}'], [1, qr/there is no experiment/, qw(experiments on none)]) {
        my ($want, $like, @args) = @$case;
        my ($status, $text) = ctl(@args);
        is($status, $want, "@args") or diag($text);
        like($text, $like, 'and why');
    }
};

subtest 'what is kept of somebody goes with them' => sub {
    my $u = new_user($s);
    ctl_ok('on', qw(experiments on onboarding-flow));
    call($s, POST => '/experiments/onboarding-flow/events', token => $u->{token}, json => { event => 'conversion' });
    ctl_ok('member', qw(flags member beta), $u->{id}, 'in');
    is($s->sql('SELECT count(*) FROM experiment_events e JOIN experiment_exposures x USING (user_id) JOIN segment_members m USING (user_id) WHERE user_id = ?', $u->{id}), 1, 'there is something');
    $s->psql('-c', "DELETE FROM users WHERE id = '$u->{id}'");
    is($s->sql('SELECT (SELECT count(*) FROM experiment_events WHERE user_id = $1) + (SELECT count(*) FROM experiment_exposures WHERE user_id = $1) + (SELECT count(*) FROM segment_members WHERE user_id = $1)', $u->{id}), 0, 'and nothing');
};

$_->assert_clean for $s, $two;
done_testing;
