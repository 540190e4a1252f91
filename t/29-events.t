# Events of apps: what is taken, whose are forwarded and under which name, and an analytics service that fails.
use Mojo::Base -strict, -signatures;
use FindBin;
use lib "$FindBin::Bin/lib";
use FitNudge::Test::Clock;
use FitNudge::Test::Contract;
use FitNudge::Test::Stack;
use FitNudge::Util qw(free_port);
use Mojo::JSON qw(encode_json);
use Test::More;

my $s = FitNudge::Test::Stack->new(nginx_workers => 1);
$s->prepare;
my $posthog = 'http://127.0.0.1:' . free_port('127.0.0.1');
$s->spawn('posthog', { log => 'posthog.log', death => 'TERM', env => { FAKE_POSTHOG_KEY => 'phc_test' } }, $^X, $s->root . '/t/fakes/posthog.pl', 'daemon', '-m', 'production', '-l', $posthog);
$s->_await('posthog', 20, sub { defined eval { $s->ua->get("$posthog/_fake/requests")->result->code } }, 'posthog.log');
$s->{env}{POSTHOG} = 'phc_test';
$s->{pool} = "posthog_host $posthog; posthog_api_key env:POSTHOG; posthog_attempts 1; breaker_failures 0;";
$s->start;
my $clock = FitNudge::Test::Clock->new($s);

my ($ann, $bob) = map { new_user($s) } 1 .. 2;

sub agree ($u, $granted) { call($s, PUT => '/users/me/consents', token => $u->{token}, json => { consent_type => 'analytics', granted => $granted ? \1 : \0 })->code == 200 or die 'no consent' }
sub wish ($mode, %o) { $s->ua->post("$posthog/_fake", json => { mode => $mode, %o })->result->code == 200 or die 'the fake does not answer' }
sub track ($u, @events) { call($s, POST => '/events', token => $u->{token}, json => { events => \@events }) }
sub batches () { grep { $_->{path} =~ /batch/ && ($_->{status} // 0) == 200 } @{ $s->ua->get("$posthog/_fake/requests")->result->json } }
sub forwarded () { @{ $s->ua->get("$posthog/_fake/events")->result->json } }

subtest 'who has not agreed' => sub {
    my $res = track($ann, { name => 'goal_created' });
    status_ok($res, 202, 'is not refused');
    is_deeply($res->json, { accepted => 0 }, 'and not followed');
    ok($clock->quiet, 'all jobs are done');
    is(scalar(forwarded()), 0, 'nothing is sent');
};

subtest 'who has' => sub {
    agree($bob, 1);
    my $res = track($bob, { name => 'goal_created', properties => { goal_title => "Gym \x{1F4AA}", frequency => 3, free => \1, note => undef, rate => 0.5 } }, { name => 'opened' });
    status_ok($res, 202, 'is taken');
    is_deeply($res->json, { accepted => 2 }, 'both');
    my @got;
    ok(poll(20, sub { (@got = forwarded()) == 2 }), 'and forwarded');
    is_deeply([map { $_->{event} } @got], [qw(goal_created opened)], 'in order');
    is_deeply([@{ $got[0]{properties} }{qw(goal_title frequency note rate)}], ["Gym \x{1F4AA}", 3, undef, 0.5], 'with their properties');
    like($got[0]{distinct_id}, qr/\A[0-9a-f]{8}\z/, 'under a name that says nothing');
    is($got[1]{distinct_id}, $got[0]{distinct_id}, 'and is always the same');
    unlike(encode_json(\@got), qr/\Q$bob->{id}\E|\Q$bob->{email}\E/, 'nothing else of him is in it');
    is(scalar(batches()), 1, 'in one request');
    isnt($got[0]{uuid}, $got[1]{uuid}, 'each has an id');
    status_ok(track($bob, map { { name => 'seen', properties => { n => $_ } } } 1 .. 50), 202, 'fifty');
    ok(poll(20, sub { forwarded() == 52 }), 'are forwarded');
    is(scalar(batches()), 2, 'at once');
    track($ann, { name => 'goal_created' });
    ok($clock->quiet, 'all jobs are done');
    is(scalar(forwarded()), 52, 'still nobody else');
};

subtest 'who has changed their mind' => sub {
    agree($bob, 0);
    is_deeply(track($bob, { name => 'secret' })->json, { accepted => 0 }, 'is followed no more');
    ok($clock->quiet, 'all jobs are done');
    is(scalar(grep { $_->{event} eq 'secret' } forwarded()), 0, 'at once');
    agree($bob, 1);
};

subtest 'what is no event' => sub {
    my $field = sub ($body, $field, $constraint, $name) {
        error_ok(call($s, POST => '/events', token => $bob->{token}, body => $body), 400, $name, field => $field, constraint => $constraint)
    };
    my $one = sub ($text) { qq({"events":[{"name":"a"},$text]}) };
    $field->('{"events":[]}', 'events', 'min_length', 'none');
    $field->(encode_json({ events => [map { { name => 'a' } } 1 .. 51] }), 'events', 'max_items', 'fifty-one');
    $field->($one->(1), 'events[1]', 'type', 'a number');
    $field->($one->('{}'), 'events[1].name', 'required', 'without a name');
    $field->($one->(qq({"name":"$_"})), 'events[1].name', 'format', "name '$_'") for '', 'A', '1a', '_a', '$pageview', 'a b', 'a-b', 'a' x 65, "\xc3\xa9";
    $field->($one->('{"name":7}'), 'events[1].name', 'type', 'a name that is a number');
    $field->($one->('{"name":"a","name":"b"}'), 'events[1].name', 'duplicate_field', 'two names');
    $field->($one->('{"name":"a","user_id":"x"}'), 'events[1]', 'unknown_field', 'somebody else\'s');
    $field->($one->('{"name":"a","properties":[]}'), 'events[1].properties', 'type', 'a list of properties');
    $field->($one->(qq({"name":"a","properties":{"x":$_}})), 'events[1].properties.x', 'type', "a property $_") for '{}', '[]', '[1]', '{"y":1}';
    $field->($one->(qq({"name":"a","properties":{"x":1,"x":2}})), 'events[1].properties.x', 'duplicate_field', 'a property twice');
    $field->($one->(qq({"name":"a","properties":{"$_":1}})), 'events[1].properties.', 'format', "property '$_'") for '', '$set', 'a b', 'x' x 65;
    $field->($one->('{"name":"a","properties":{' . join(',', map { qq("p$_":1) } 1 .. 21) . '}}'), 'events[1].properties.', 'max_items', 'twenty-one properties');
    $field->($one->('{"name":"a","properties":{"x":"' . 'x' x 501 . '"}}'), 'events[1].properties.x', 'max_length', 'a long text');
    $field->($one->('{"name":"a","properties":{"x":"a\u0001"}}'), 'events[1].properties.x', 'format', 'control characters');
    $field->($one->(qq({"name":"a","properties":{"x":$_}})), 'events[1].properties.x', 'max', "a number like $_") for '1e400', '-1e999', '1' x 40;
    error_ok(call($s, POST => '/events', json => { events => [{ name => 'a' }] }), 401, 'strangers have no events');
    status_ok(track($bob, { name => 'a' x 64, properties => { map { ("Px_$_" => 'x' x 500) } 1 .. 20 } }), 202, 'the largest');
    ok(poll(20, sub { grep { $_->{event} eq 'a' x 64 } forwarded() }), 'is forwarded');
};

subtest 'a service that fails' => sub {
    my $before = forwarded();
    wish('500', count => 2);
    status_ok(track($bob, { name => 'patient' }), 202, 'is nobody\'s concern');
    ok(poll(30, sub { $clock->hurry; grep { $_->{event} eq 'patient' } forwarded() }), 'it gets them later') or diag($s->pool_log);
    is(scalar(grep { $_->{event} eq 'patient' } forwarded()), 1, 'once');
};

$s->assert_clean(qr/provider (?:failed|refused)|breaker opened/);
done_testing;
