# A user's first day, end to end: sign up, set a goal, check in, be motivated, look back, leave.
use Mojo::Base -strict, -signatures;
use FindBin;
use lib "$FindBin::Bin/lib";
use FitNudge::Test::Stack;
use Test::More;

my $uuid = qr/\A[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\z/;

subtest 'without an AI provider' => sub {
    my $s = FitNudge::Test::Stack->new->start;

    my $res = $s->api(GET => '/health');
    is($res->code, 200, 'health');
    is($s->api(GET => '/health/live')->code, 200, 'live');

    my $user = $s->signup(name => 'Ada');
    like($user->{user}{id}, $uuid, 'sign-up gives a user');
    my $token = $user->{access_token};

    $res = $s->api(POST => '/goals', $token, { title => 'Run', frequency => 3 });
    is($res->code, 201, 'goal') or diag($res->body);
    my $goal = $res->json;

    $res = $s->api(POST => "/goals/$goal->{id}/checkins", $token, { status => 'done', reflection => 'felt good', mood => 4 });
    is($res->code, 201, 'check-in') or diag($res->body);
    is($s->api(POST => "/goals/$goal->{id}/checkins", $token, { status => 'done' })->code, 409, 'one a date');

    $res = $s->api(POST => '/motivation/generate', $token, { goal_id => $goal->{id} });
    is($res->code, 200, 'message') or diag($res->body);
    is($res->json->{source}, 'fallback', 'from the templates');
    like($res->json->{text}, qr/\S/, 'which says something');

    $res = $s->api(GET => '/goals', $token);
    is($res->code, 200, 'goals');
    is_deeply([map { $_->{id} } @{$res->json->{goals}}], [$goal->{id}], 'holds the goal just set');
    my $etag = $res->headers->etag;
    is($s->api(GET => '/goals', $token, undef, { 'If-None-Match' => $etag })->code, 304, 'not modified');

    $res = $s->api(GET => "/goals/$goal->{id}/stats", $token);
    is($res->code, 200, 'stats');
    is($res->json->{total_checkins}, 1, 'count the check-in') or diag($res->body);

    $res = $s->api(PATCH => '/users/me', $token, { bio => 'runs' }, { Prefer => 'respond-async' });
    is($res->code, 202, 'asynchronous write');
    my $job = $res->headers->location;
    my $done = $s->wait_for(sub {
        my $j = $s->api(GET => $job, $token)->json('/job') // {};
        ($j->{status} // '') eq 'done' && $j;
    });
    is(($done // {})->{status_code}, 200, 'its job is done');
    is($s->api(GET => '/users/me', $token)->json->{bio}, 'runs', 'and did it');

    $res = $s->api(POST => '/auth/refresh', undef, { refresh_token => $user->{refresh_token} });
    is($res->code, 200, 'refresh') or diag($res->body);
    my $fresh = $res->json->{access_token};
    is($s->api(GET => '/users/me', $fresh)->code, 200, 'the new token works');

    is($s->api(POST => '/auth/logout', $fresh)->code, 204, 'logout');
    is($s->api(GET => '/users/me', $fresh)->code, 401, 'and the token is dead');
    is($s->api(GET => '/goals', $token)->code, 401, 'so is the other of this session');
    is($s->api(GET => '/goals')->code, 401, 'nobody has no goals');

    is($s->api(GET => '/nowhere')->json->{error}{code}, 'NOT_FOUND', 'unknown path');
    $s->assert_clean->stop;
};

subtest 'with an AI provider' => sub {
    my $s = FitNudge::Test::Stack->new(openai => 1)->start;
    my $token = $s->signup->{access_token};
    my $goal = $s->api(POST => '/goals', $token, { title => 'Read', frequency => 7 })->json;

    my $res = $s->api(POST => '/motivation/generate', $token, { goal_id => $goal->{id}, tone => 'calm' });
    is($res->code, 200, 'message') or diag($res->body);
    is($res->json->{source}, 'ai', 'from the provider') or diag($s->pool_log);

    my $again = $s->api(POST => '/motivation/generate', $token, { goal_id => $goal->{id}, tone => 'calm' });
    is($again->json->{source}, 'cache', 'the same question is answered from the cache');
    is($again->json->{text}, $res->json->{text}, 'with the same text');

    is(scalar @{$s->api(GET => '/motivations', $token)->json->{motivations}}, 2, 'both are kept');
    $s->assert_clean->stop;
};

done_testing;
