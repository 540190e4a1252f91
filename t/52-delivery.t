# What the pool hands to outside services: pushes to each device, mails, speech, alerts; what becomes of the answers, and what happens without a service.
use Mojo::Base -strict, -signatures;
use FindBin;
use lib "$FindBin::Bin/lib";
use FitNudge::Test::Contract;
use FitNudge::Test::Services;
use FitNudge::Test::Stack;
use Mojo::JSON qw(decode_json encode_json true);
use Test::More;
use Time::HiRes qw(time);

our $s = FitNudge::Test::Stack->new(nginx_workers => 1);
my $services = FitNudge::Test::Services->new(stack => $s)->start(qw(fcm smtp elevenlabs r2 slack));
$s->{pool} = $services->conf;
$s->start;
my $dir = $s->dir;

sub wish (@args) { $services->wish(@args) }
sub requests ($name) { $services->requests($name) }
sub mails () { $services->mails }
my $n = 5000;        # of the envelopes that are made here

sub follow (@args) { $services->follow(@args) }
sub outcome ($id) { $services->outcome($id) }

my ($ann, $bob) = map { new_user($s) } 1 .. 2;
make_pro($s, $ann);

sub devices ($u) { sort map { $_->[0] } $s->rows("SELECT token FROM devices WHERE user_id = '$u->{id}'") }
sub add ($u, $token, $platform = 'android') { call($s, POST => '/users/me/devices', token => $u->{token}, json => { platform => $platform, token => $token }) }

subtest 'devices' => sub {
    status_ok(add($ann, $_), 204, "device $_") for qw(phone tablet phone);
    is_deeply([devices($ann)], [qw(phone tablet)], 'each once');
    status_ok(add($bob, 'tablet', 'ios'), 204, 'somebody else signs in on it');
    is_deeply([devices($bob)], ['tablet'], 'it is his');
    is_deeply([devices($ann)], ['phone'], 'and not hers any more');
    status_ok(call($s, DELETE => '/users/me/devices', token => $ann->{token}, json => { token => 'tablet' }), 204, 'to take off what is not there');
    is_deeply([devices($bob)], ['tablet'], 'takes nothing from others');
    status_ok(call($s, DELETE => '/users/me/devices', token => $bob->{token}, json => { token => 'tablet' }), 204, 'his own');
    is_deeply([devices($bob)], [], 'is gone');
    error_ok(add($ann, 'x', 'toaster'), 400, 'an unknown platform', field => 'platform', constraint => 'enum');
    add($bob, "many$_") for 1 .. 22;
    is(scalar(my @all = devices($bob)), 20, 'at most twenty');
    $s->sql("DELETE FROM devices WHERE user_id = '$bob->{id}'");
};

subtest 'pushes' => sub {
    add($ann, $_) for qw(phone watch gone mismatch);
    my $id = follow('push.send', $ann->{id}, { title => 'Time to run', body => 'Three kilometres today?', data => { goal_id => 'g1', action => 'generate' }, sound => true });
    is_deeply(outcome($id), { devices => 4 }, 'one job for each device');
    ok(poll(25, sub { join(' ', devices($ann)) eq 'phone watch' }), 'those that will never take a message are forgotten') or diag(join ' ', devices($ann));
    my %sent;
    ok(poll(20, sub { %sent = map { $_->{token} => $_ } $services->pushes; $sent{phone} && $sent{watch} }), 'the others are told');
    is($sent{phone}{notification}{title}, 'Time to run', 'what');
    is($sent{phone}{data}{goal_id}, 'g1', 'with its data');
    is($sent{phone}{android}{notification}{sound}, 'default', 'with a sound');
    isnt($sent{phone}{android}{collapse_key}, $sent{watch}{android}{collapse_key}, 'each is a message of its own');

    is_deeply(outcome(follow('push.device', $ann->{id}, { title => 'x', body => 'y', device_id => FitNudge::Test::Stack::uuid() })), { status => 'gone' }, 'a device that has gone');
    is_deeply(outcome(follow('push.send', $bob->{id}, { title => 'x', body => 'y' })), { devices => 0 }, 'somebody without devices');
};

sub letter (%o) { return { template => 'welcome', to => 'ann@example.com', name => 'Ann', language => 'en', vars => {}, %o } }

subtest 'mails' => sub {
    my $before = mails();
    my $id = follow('mail.send', $ann->{id}, letter(template => 'verification', vars => { verification_code => '123456', expires_minutes => 15 }));
    is_deeply(outcome($id), { status => 'sent' }, 'sent');
    my @new = (mails())[$before .. mails() - 1];
    is(scalar @new, 1, 'one mail');
    is($new[0]{to}, 'ann@example.com', 'to her');
    like($new[0]{data}, qr/^Message-ID: <\Q$id\E\@/mi, 'whose id is the job\'s');
    like($new[0]{data}, qr/^Content-Type: multipart\/alternative/mi, 'in two forms');
    my ($row) = $s->rows("SELECT status, template, message_id IS NOT NULL, content FROM mails WHERE id = '$id'");
    is_deeply($row, ['sent', 'verification', 1, undef], 'is written down, without what it said');

    # the same job once more: the inbox knows it
    follow('mail.send', $ann->{id}, letter(template => 'verification', vars => { verification_code => '123456', expires_minutes => 15 }), $id);
    is_deeply(outcome(follow('mail.send', $ann->{id}, letter(template => 'verification', to => 'nobody@example.com', vars => { verification_code => '1', expires_minutes => 1 }))), { status => 'failed' }, 'nobody there');
    is(scalar(mails()), $before + 1, 'a repeated one is not sent');
    is($s->sql("SELECT reason FROM mail_suppressions WHERE address_hash = sha256('nobody\@example.com')"), 'bounce', 'who is not there is remembered');
    my $vars = { login_url => 'https://fitnudge.example', period => '2026-W01' };
    my $stopped = outcome(follow('mail.send', $ann->{id}, letter(to => 'Nobody@Example.com')));
    is_deeply($stopped, { status => 'suppressed' }, 'and not bothered again');
    is_deeply(outcome(follow('mail.send', FitNudge::Test::Stack::uuid(), letter())), { status => 'gone' }, 'somebody who has left');
    unlike($s->pool_log, qr/ann\@example\.com|123456/, 'nothing of it is in the log');
};

sub ctl (@args) { my $out = qx{$dir/bin/fitnudgectl -c $dir/nginx.conf @args 2>&1}; return ($? >> 8, $out) }
sub dead () { scalar $s->redis(ZCARD => '{fn}:dead:net') }
sub letters () { join "\n", $s->redis(ZRANGE => '{fn}:dead:net', 0, -1) }
sub of ($id) { grep { $_->{data} =~ /^Message-ID: <\Q$id\E\@/mi } mails() }

subtest 'mails of which nobody knows whether they arrived' => sub {
    my %fast = (template => 'verification', vars => { verification_code => '777888', expires_minutes => 15 });
    wish('smtp', 'drop', count => 1);
    my $id = follow('mail.send', $ann->{id}, letter(%fast));
    is_deeply(outcome($id), { status => 'sent' }, 'once more');
    is(scalar(my @all = of($id)), 2, 'under the same Message-ID');

    $id = follow('mail.send', $ann->{id}, letter(%fast, to => 'drop@example.com'));
    is_deeply(outcome($id), { status => 'unknown' }, 'and never again');
    is(scalar(@all = of($id)), 2, 'twice in its life');
    is($s->sql("SELECT status FROM mails WHERE id = '$id'"), 'unknown', 'is written down');

    # what an earlier process knew of it came along
    $id = sprintf('01900000-0000-5000-8000-%012d', ++$n);
    $s->sql("INSERT INTO mails (id, user_id, template, language, recipient, status) VALUES ('$id', '$ann->{id}', 'welcome', 'en', 'x', 'sending')");
    my $request = '{"params":{},"body":{},"meta":{}}';
    my $context = '{"unanswered":1,' . substr(encode_json({ %{ letter(%fast, to => 'drop@example.com') }, user_id => $ann->{id} }), 1);
    $s->redis(LPUSH => '{fn}:q:net:n', "w1 $id mail.send:call n " . int(time * 1000) . " 0 3 $ann->{id} - -\n" . length($request) . ' ' . length($context) . "\n$request$context");
    is_deeply(outcome($id), { status => 'unknown' }, 'also after it was put off');
    is(scalar(@all = of($id)), 1, 'then only once');

    # a process that died may have sent it
    $id = sprintf('01900000-0000-5000-8000-%012d', ++$n);
    $s->redis(SET => "{fn}:crash:$id", 2, EX => 600);
    $s->redis(SET => '{fn}:crashed', 1, EX => 600);
    follow('mail.send', $ann->{id}, letter(%fast), $id);
    is_deeply(outcome($id), { status => 'unknown' }, 'two crashes are two times');
    is(scalar(@all = of($id)), 0, 'it is not sent any more');
    $s->redis(DEL => '{fn}:crashed');
};

subtest 'mails that died after they were sent' => sub {
    my $id = sprintf('01900000-0000-5000-8000-%012d', ++$n);
    $s->sql("INSERT INTO mails (id, user_id, template, language, recipient, status, content) VALUES ('$id', '$ann->{id}', 'welcome', 'en', 'x', 'sending', '{\"to\":\"x\"}')");
    my ($request, $broken) = ('{"params":{},"body":{"vars":{"verification_code":"987123"}},"meta":{}}', '{"ctx":{},"result":{"refused":"perhaps"}}');
    $s->redis(LPUSH => '{fn}:q:sql:n', "w1 $id mail.send:commit n " . int(time * 1000) . " 0 0 $ann->{id} - -\n" . length($request) . ' ' . length($broken) . "\n$request$broken");
    ok(poll(20, sub { $s->redis(ZCARD => '{fn}:dead:sql') == 1 }), 'the commit fails');
    unlike(join("\n", $s->redis(ZRANGE => '{fn}:dead:sql', 0, -1)), qr/987123/, 'its letter has nothing of the mail');
    ctl(qw(dead replay sql), $id);
    is_deeply(outcome($id), { status => 'unknown' }, 'it is not sent again');
    is_deeply([of($id)], [], 'really');
    is($s->redis(ZCARD => '{fn}:dead:sql'), 0, 'and is no dead letter any more');

    $id = sprintf('01900000-0000-5000-8000-%012d', ++$n);
    follow('mail.send', $ann->{id}, {}, $id);
    is_deeply(outcome($id), { status => 'lost' }, 'what the database does not know either is lost');
};

subtest 'what an operator has to mend' => sub {
    my %mail = (template => 'verification', vars => { verification_code => '424242', expires_minutes => 15 });
    wish('smtp', 'login');
    my $trace = '4bf92f3577b34da6a3ce929d0e0e4736';
    my $id = follow('mail.send', $ann->{id}, letter(%mail), '01900000-0000-5000-8000-00000000cafe', "00-$trace-00f067aa0ba902b7-01");
    ok(poll(30, sub { dead() == 1 }), 'a refused login makes a dead letter of the mail') or diag($s->pool_log);
    like(letters(), qr/^d1 0 \d+ SMTP: the server refuses the user name or password\nw1 \Q$id\E mail\.send /, 'which says why');
    is_deeply([sort map { $_->{msg} } grep { ($_->{trace_id} // '') eq $trace } map { eval { decode_json($_) } // () } split /\n/, $s->pool_log],
        ['job is dead', 'provider refused'], 'the log names its trace');
    unlike(letters(), qr/424242|ann\@example/, 'and not what');
    is($s->sql("SELECT status FROM mails WHERE id = '$id'"), 'sending', 'it is still to be sent');
    is($s->sql("SELECT state FROM inbox WHERE job_id = '$id'"), 'running', 'and not done');

    wish('smtp', 'ok');
    my ($rc, $out) = ctl(qw(dead replay net all));
    is($rc, 0, 'mended, it is replayed') or diag($out);
    is_deeply(outcome($id), { status => 'sent' }, 'and sent');
    my ($mail) = of($id);
    like($mail->{data} // '', qr/424242/, 'with all it had to say');
    is(dead(), 0, 'the dead letter is gone');
    is($s->sql("SELECT content FROM mails WHERE id = '$id'"), undef, 'nothing of it is kept any more');

    wish('slack', 'archived', count => 9);
    $id = follow('alert.send', '-', { text => 'The roof is on fire', key => 'roof' });
    ok(poll(30, sub { dead() == 1 }), 'a channel that was archived') or diag($s->pool_log);
    like(letters(), qr/ Slack: the webhook was removed/, 'says so');
    wish('slack', 'ok');
    ($rc) = ctl(qw(dead replay net), $id);
    is($rc, 0, 'replayed');
    is_deeply(outcome($id), { status => 'sent' }, 'it is said after all');

    add($bob, 'apns');
    wish('fcm', 'apns');
    follow('push.send', $bob->{id}, { title => 'Later', body => 'too' });
    ok(poll(30, sub { dead() == 1 }), 'a key of APNs that is gone') or diag($s->pool_log);
    wish('fcm', 'ok');
    ctl(qw(dead replay net all));
    ok(poll(30, sub { dead() == 0 && grep { ($_->{body} // '') =~ /"Later"/ } requests('fcm') }), 'the push is sent after all');

    $id = follow('n8n.notify', '-', { payload => { a => 1 } });
    is_deeply(outcome($id), { status => 'off' }, 'what nobody has configured is off');
};

subtest 'speech' => sub {
    error_ok(call($s, POST => '/ai/voice', token => $bob->{token}, json => { text => 'Hello' }), 403, 'is not for everybody', constraint => 'plan');
    my $pro = { %$ann, token => $s->mint_jwt(sub => $ann->{id}, plan => 'pro') };
    my $goal = call($s, POST => '/goals', token => $ann->{token}, json => { title => 'Run', frequency => 3 })->json->{id};
    my $message = call($s, POST => '/motivation/generate', token => $ann->{token}, json => { goal_id => $goal, tone => 'calm' })->json->{id};
    my $res = call($s, POST => '/ai/voice', token => $pro->{token}, json => { motivation_id => $message });
    status_ok($res, 200, 'of a message') or diag(grep { /voice/ } split /^/m, $s->pool_log);
    my $at = $res->json->{voice_url} // '';
    like($at, qr/^\Q${\ $services->url->{r2}}\E.*X-Amz-Signature=/, 'an address');
    my $sound = $s->ua->get($at)->result;
    is($sound->code, 200, 'at which it is heard');
    is($sound->headers->content_type, 'audio/mpeg', 'as sound');
    is($s->sql("SELECT count(*) FROM media WHERE kind = 'voice' AND user_id = '$ann->{id}' AND motivation_id = '$message'"), 1, 'and written down');
    my $shown = call($s, GET => "/motivations/$message", token => $ann->{token})->json->{voice_url} // '';
    is($shown =~ s/\?.*//sr, $at =~ s/\?.*//sr, 'and shown with the message');
    is($s->ua->get($shown)->result->code, 200, 'where it is heard as well');
    like(call($s, GET => '/motivations', token => $ann->{token})->json->{motivations}[0]{voice_url}, qr/X-Amz-Signature=/, 'and in the list');
    my ($media) = map { $_->[0] } $s->rows("SELECT id FROM media WHERE motivation_id = '$message'");
    status_ok(call($s, DELETE => "/media/$media", token => $ann->{token}), 204, 'until it is deleted');
    is(call($s, GET => "/motivations/$message", token => $ann->{token})->json->{voice_url}, undef, 'then there is none');
    error_ok(call($s, POST => '/ai/voice', token => $pro->{token}, json => {}), 400, 'of nothing', constraint => 'required');
    error_ok(call($s, POST => '/ai/voice', token => $pro->{token}, json => { text => 'x', motivation_id => $message }), 400, 'of two things');
    error_ok(call($s, POST => '/ai/voice', token => $pro->{token}, json => { motivation_id => FitNudge::Test::Stack::uuid() }), 404, 'of what is not hers');
    wish('elevenlabs', '500', count => 20);
    $res = call($s, POST => '/ai/voice', token => $pro->{token}, json => { text => 'Hello again' });
    status_ok($res, 200, 'when the service is down');
    is($res->json->{voice_url}, undef, 'there is none');
    wish('elevenlabs', 'ok');
};

subtest 'alerts' => sub {
    my $before = requests('slack');
    is_deeply(outcome(follow('alert.send', '-', { text => 'The disk is full', key => 'disk' })), { status => 'sent' }, 'once');
    is_deeply(outcome(follow('alert.send', '-', { text => 'The disk is full', key => 'disk' })), { status => 'repeated' }, 'and not again');
    is_deeply(outcome(follow('alert.send', '-', { text => 'Another thing', key => 'other' })), { status => 'sent' }, 'another one');
    is(scalar(requests('slack')), $before + 2, 'two messages');
};

subtest 'services that nobody has configured' => sub {
    is_deeply(outcome(follow('n8n.notify', '-', { payload => { a => 1 } })), { status => 'off' }, 'n8n');
    is_deeply(outcome(follow('events.send', '-', { events => [{ event => 'x', distinct_id => 'y' }] })), { status => 'off' }, 'PostHog');
    is_deeply(outcome(follow('media.delete', '-', { key => 'voice/none.mp3' })), { status => 'sent' }, 'to delete what is not there is no failure');
};

$s->assert_clean(qr/provider (?:failed|refused)|an operator is needed|breaker opened|job is dead/);
done_testing;
