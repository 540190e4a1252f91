# What the pool hands to outside services: pushes to each device, mails, speech, alerts; what becomes of the answers, and what happens without a service.
use Mojo::Base -strict, -signatures;
use FindBin;
use lib "$FindBin::Bin/lib";
use FitNudge::Test::Contract;
use FitNudge::Test::Stack;
use FitNudge::Util qw(free_port spew);
use Mojo::File qw(path);
use Mojo::JSON qw(decode_json encode_json true false);
use Test::More;
use Time::HiRes qw(time);

our $s = FitNudge::Test::Stack->new(nginx_workers => 1);
$s->prepare;
my $dir = $s->dir;
my %url;

sub fake ($name, %env) {
    $url{$name} = 'http://127.0.0.1:' . free_port('127.0.0.1');
    $s->spawn($name, { log => "$name.log", death => 'TERM', env => \%env }, $^X, $s->root . "/t/fakes/$name.pl", 'daemon', '-m', 'production', '-l', $url{$name});
}
sub wish ($name, $mode, %opt) { $s->ua->post("$url{$name}/_fake", json => { mode => $mode, %opt })->result->code == 200 or die "$name does not answer" }
sub requests ($name) { @{ $s->ua->get("$url{$name}/_fake/requests")->result->json } }
sub mails () { @{ $s->ua->get("$url{smtp}/_fake/mails")->result->json } }

system("openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -out $dir/fcm.pem 2>/dev/null && openssl pkey -in $dir/fcm.pem -pubout -out $dir/fcm.pub 2>/dev/null") == 0 or die;
my $smtp = free_port('127.0.0.1');
fake('fcm', FAKE_FCM_PUBLIC_KEY => "$dir/fcm.pub", FAKE_FCM_EMAIL => 'pool@p1.iam.gserviceaccount.com');
fake('smtp', FAKE_SMTP_PORT => $smtp, FAKE_SMTP_AUTH => 'user@fitnudge.example:test-key');
fake('elevenlabs');
fake('r2');
fake('slack');
for my $name (sort keys %url) {
    $s->_await($name, 20, sub { defined(eval { $s->ua->get("$url{$name}/_fake/none")->result->code }) }, "$name.log");
}
spew("$dir/fcm.json", encode_json({ type => 'service_account', project_id => 'p1', private_key_id => 'kid1', client_email => 'pool@p1.iam.gserviceaccount.com',
    token_uri => "$url{fcm}/token", private_key => path("$dir/fcm.pem")->slurp }), 0644);

@{ $s->{env} }{qw(KEY R2_ID R2_SECRET SLACK)} = ('test-key', 'AKIDEXAMPLE', 'wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY', "$url{slack}/services/T/B/X");
my $pool = <<"CONF";
fcm_service_account file:$dir/fcm.json; fcm_base_url $url{fcm};
smtp_host 127.0.0.1; smtp_port $smtp; smtp_tls off; smtp_username user\@fitnudge.example; smtp_password env:KEY; smtp_from coach\@fitnudge.example;
mail_templates ${\ $s->root}/conf/templates/mail; mail_link_url https://api.fitnudge.example;
elevenlabs_base_url $url{elevenlabs}/v1; elevenlabs_api_key env:KEY; elevenlabs_voices "base1 calm/fr=frenchcalm1";
r2_endpoint $url{r2}; r2_access_key env:R2_ID; r2_secret_key env:R2_SECRET; r2_bucket media;
slack_webhook_url env:SLACK;
CONF
$s->{pool} = $pool;
$s->start;

my ($ann, $bob) = map { new_user($s) } 1 .. 2;
make_pro($s, $ann);

# A job of the pool's own, as another job would have left it
my $n = 0;
sub follow ($job, $user, $body, $id = sprintf('01900000-0000-7000-8000-%012d', ++$n)) {
    my $request = '{"params":{},"body":' . encode_json($body) . ',"meta":{}}';
    $s->redis(LPUSH => '{fn}:q:sql:l', "w1 $id $job l " . int(time * 1000) . " 0 0 $user - -\n$request");
    return $id;
}
sub outcome ($id) {
    my $body;
    poll(25, sub { ($body) = map { $_->[0] } $s->rows("SELECT body FROM inbox WHERE job_id = '$id' AND state = 'done'"); defined $body });
    return defined $body ? decode_json($body) : { status => 'no answer' };
}
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
    ok(poll(20, sub { %sent = map { $_->{json}{message}{token} => $_->{json}{message} } grep { ref $_->{json} && $_->{json}{message} } map { +{ %$_, json => scalar($_->{json} // eval { decode_json($_->{body} // '') }) } } requests('fcm');
        $sent{phone} && $sent{watch} }), 'the others are told');
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
    my ($row) = $s->rows("SELECT status, template, message_id IS NOT NULL, tries FROM mails WHERE id = '$id'");
    is_deeply($row, ['sent', 'verification', 1, 1], 'is written down');

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

subtest 'speech' => sub {
    error_ok(call($s, POST => '/ai/voice', token => $bob->{token}, json => { text => 'Hello' }), 403, 'is not for everybody', constraint => 'plan');
    my $pro = { %$ann, token => $s->mint_jwt(sub => $ann->{id}, plan => 'pro') };
    my $goal = call($s, POST => '/goals', token => $ann->{token}, json => { title => 'Run', frequency => 3 })->json->{id};
    my $message = call($s, POST => '/motivation/generate', token => $ann->{token}, json => { goal_id => $goal, tone => 'calm' })->json->{id};
    my $res = call($s, POST => '/ai/voice', token => $pro->{token}, json => { motivation_id => $message });
    status_ok($res, 200, 'of a message') or diag(grep { /voice/ } split /^/m, $s->pool_log);
    my $at = $res->json->{voice_url} // '';
    like($at, qr/^\Q$url{r2}\E.*X-Amz-Signature=/, 'an address');
    my $sound = $s->ua->get($at)->result;
    is($sound->code, 200, 'at which it is heard');
    is($sound->headers->content_type, 'audio/mpeg', 'as sound');
    is($s->sql("SELECT count(*) FROM media WHERE kind = 'voice' AND user_id = '$ann->{id}' AND motivation_id = '$message'"), 1, 'and written down');
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

$s->assert_clean(qr/provider (?:failed|refused)|an operator is needed|breaker opened/);
done_testing;
