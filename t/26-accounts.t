# Accounts: verified addresses, new passwords, locks, suspension, consents, what is held on a person, and leaving.
use Mojo::Base -strict, -signatures;
use FindBin;
use lib "$FindBin::Bin/lib";
use FitNudge::Test::Clock;
use FitNudge::Test::Contract;
use FitNudge::Test::Stack;
use FitNudge::Util qw(free_port);
use Mojo::JSON qw(decode_json false true);
use Test::More;

our $s = FitNudge::Test::Stack->new(nginx_workers => 2);
$s->prepare;
my $smtp = free_port('127.0.0.1');
my %url;

sub fake ($name, %env) {
    $url{$name} = 'http://127.0.0.1:' . free_port('127.0.0.1');
    $s->spawn($name, { log => "$name.log", death => 'TERM', env => \%env }, $^X, $s->root . "/t/fakes/$name.pl", 'daemon', '-m', 'production', '-l', $url{$name});
    $s->_await($name, 20, sub { defined(eval { $s->ua->get("$url{$name}/_fake/none")->result->code }) }, "$name.log");
}
fake('smtp', FAKE_SMTP_PORT => $smtp, FAKE_SMTP_AUTH => 'user@fitnudge.example:test-key');
fake('slack');
@{ $s->{env} }{qw(KEY SLACK)} = ('test-key', "$url{slack}/services/T/B/X");
$s->{pool} = <<"CONF";
smtp_host 127.0.0.1; smtp_port $smtp; smtp_tls off; smtp_username user\@fitnudge.example; smtp_password env:KEY; smtp_from coach\@fitnudge.example;
mail_templates ${\ $s->root}/conf/templates/mail; mail_link_url https://api.fitnudge.example;
slack_webhook_url env:SLACK;
CONF
$s->start;
my $clock = FitNudge::Test::Clock->new($s);

# The texts of mails to an address, oldest first, when there are `n`
sub mails ($to, $n = 1) {
    my @got;
    poll(30, sub {
        @got = map { my $t = $_->{data} =~ s/=\r\n//gr; $t =~ s/=([0-9A-F]{2})/chr hex $1/ger } grep { $_->{to} eq $to } @{ $s->ua->get("$url{smtp}/_fake/mails")->result->json };
        @got >= $n;
    });
    return @got;
}
sub code_of ($mail) { ($mail =~ /^\s+(\d{6})\s*$/m)[0] }
sub token_of ($mail) { ($mail =~ m{/reset-password\?token=([0-9a-f]{64})})[0] }
sub login ($u, $password = $u->{password}) { call($s, POST => '/auth/login', json => { email => $u->{email}, password => $password }) }
sub everywhere ($token, $status, $name) {
    my %codes;
    $codes{ $_->code // 'none' }++ for calls($s, map { [GET => '/users/me', token => $token, ua => $_] } map { agent() } 1 .. 16);
    is_deeply([keys %codes], [$status], $name) or diag(explain(\%codes));
}
sub audited ($u, $operation) { $s->sql('SELECT count(*) FROM audit_log WHERE user_id = ? AND operation = ?', $u->{id}, $operation) }

subtest 'verifying the address' => sub {
    my $u = new_user($s);
    my ($mail) = mails($u->{email});
    like(my $code = code_of($mail) // '', qr/\A\d{6}\z/, 'sign-up sends a code') or return;
    my $verify = sub ($c, %o) { call($s, POST => '/auth/verify-email', json => { email => uc $u->{email}, verification_code => $c }, %o) };
    my $wrong = $code eq '000000' ? '000001' : '000000';
    error_ok($verify->($wrong), 400, 'a wrong one', field => 'verification_code', constraint => 'match');
    error_ok(call($s, POST => '/auth/verify-email', json => { email => "no.$u->{email}", verification_code => $code }), 400, 'of an address without an account', field => 'verification_code', constraint => 'match');
    my $other = new_user($s);
    error_ok(call($s, POST => '/auth/verify-email', json => { email => $other->{email}, verification_code => $code }), 400, "of somebody else's address", field => 'verification_code');
    error_ok(call($s, POST => '/auth/verify-email/resend', token => $u->{token}), 429, 'another one at once');
    ok(!call($s, GET => '/users/me', token => $u->{token})->json->{email_verified}, 'not verified');
    my %key = (headers => { 'Idempotency-Key' => "verify $u->{id}" });
    my $res = $verify->($code, %key);
    status_ok($res, 200, 'the right one');
    is($res->json->{message}, 'Email verified successfully', 'says so');
    ok(call($s, GET => '/users/me', token => $u->{token})->json->{email_verified}, 'and it is, at once');
    status_ok($verify->($code, %key), 200, 'a lost answer can be had again');
    error_ok($verify->($code), 400, 'the code cannot be used again');
    error_ok(call($s, POST => '/auth/verify-email/resend', token => $u->{token}), 409, 'nor is another needed', constraint => 'verified');
    error_ok(call($s, POST => '/auth/verify-email/resend'), 401, 'and only for who is signed in');

    my ($first) = map { code_of($_) } mails($other->{email});
    $s->sql("UPDATE email_verifications SET sent_at = now() - interval '2 minutes' WHERE user_id = ? RETURNING 1", $other->{id});
    status_ok(call($s, POST => '/auth/verify-email/resend', token => $other->{token}), 202, 'a minute later there is another');
    my ($second) = map { code_of($_) } (mails($other->{email}, 2))[1];
    error_ok(call($s, POST => '/auth/verify-email', json => { email => $other->{email}, verification_code => $first }), 400, 'and the first is void') if $first ne $second;
    status_ok(call($s, POST => '/auth/verify-email', json => { email => $other->{email}, verification_code => $second }), 200, 'which is good');
    my $v = new_user($s);
    my ($good) = map { code_of($_) } mails($v->{email});
    my @guess = grep { $_ ne $good } map { sprintf '%06d', $_ } 1 .. 6;
    my @res = calls($s, map { [POST => '/auth/verify-email', json => { email => $v->{email}, verification_code => $_ }] } @guess[0 .. 4]);
    is(scalar(grep { $_->code == 400 } @res), 5, 'five guesses at once');
    error_ok(call($s, POST => '/auth/verify-email', json => { email => $v->{email}, verification_code => $good }), 400, 'are all there are');
    is($s->sql("SELECT count(*) FROM email_verifications WHERE code_hash !~ '^[0-9a-f]{64}\$'"), 0, 'the database has hashes');
    unlike($s->pool_log, qr/\b\Q$good\E\b/, 'and the log no code');
};

subtest 'a password that was forgotten' => sub {
    my $u = new_user($s);
    my $in = login($u)->json;
    my @res = map { call($s, POST => '/auth/password/forgot', json => { email => $_ }) } uc $u->{email}, "no.$u->{email}";
    status_ok($_, 202, 'accepted') for @res;
    is($res[0]->body, $res[1]->body, 'whether or not there is an account');
    is_deeply([sort @{ $res[0]->headers->names }], [sort @{ $res[1]->headers->names }], 'with the same headers');
    my ($mail) = grep { /reset-password/ } mails($u->{email}, 2);
    my $token = token_of($mail // '');
    ok($token, 'a mail has the link') or return;
    my $reset = sub ($t, $p, %o) { call($s, POST => '/auth/password/reset', json => { token => $t, password => $p }, %o) };
    error_ok($reset->('x' x 64, 'brand new 1'), 400, 'a wrong token', field => 'token', constraint => 'match');
    error_ok($reset->($token, 'short'), 400, 'a password that is too short', field => 'password', constraint => 'min_length');
    my %key = (headers => { 'Idempotency-Key' => "reset $u->{id}" });
    status_ok($reset->($token, 'brand new 1', %key), 200, 'a new password');
    everywhere($_, 401, 'every session has ended, everywhere') for $u->{token}, $in->{access_token};
    error_ok(call($s, POST => '/auth/refresh', json => { refresh_token => $_ }), 401, 'with its refresh token') for $u->{refresh}, $in->{refresh_token};
    error_ok(login($u), 401, 'the old password is wrong');
    my $new = login($u, 'brand new 1');
    status_ok($new, 200, 'the new one is right');
    everywhere($new->json->{access_token}, 200, 'and its tokens are good at once');
    error_ok($reset->($token, 'once more 1'), 400, 'the link is good once', field => 'token');
    status_ok($reset->($token, 'brand new 1', %key), 200, 'a lost answer can be had again');
    error_ok($reset->($token, 'another 12', %key), 422, 'but not with another password');
    is($s->sql("SELECT count(*) FROM password_resets WHERE token_hash !~ '^[0-9a-f]{64}\$'"), 0, 'the database has hashes');
    unlike($s->pool_log, qr/\Q$token\E/, 'and the log no token');
    is(audited($u, 'password_reset'), 1, 'it is noted');

    call($s, POST => '/auth/password/forgot', json => { email => $u->{email} });
    my ($late) = map { token_of($_) } grep { /reset-password/ && token_of($_) ne $token } mails($u->{email}, 3);
    $s->sql("UPDATE password_resets SET expires_at = now() - interval '1 second' WHERE user_id = ? RETURNING 1", $u->{id});
    error_ok($reset->($late, 'too late 12'), 400, 'a link is good for an hour', field => 'token');
};

subtest 'a password that is changed' => sub {
    my $u = new_user($s);
    my $other = login($u)->json;
    my $change = sub ($old, $new, %o) { call($s, POST => '/auth/password/change', token => $u->{token}, json => { current_password => $old, new_password => $new }, %o) };
    error_ok($change->('not mine 1', 'brand new 2'), 400, 'a wrong password', field => 'current_password', constraint => 'match');
    error_ok($change->($u->{password}, 'short'), 400, 'a short one', field => 'new_password', constraint => 'min_length');
    error_ok(call($s, POST => '/auth/password/change', json => { current_password => 'x', new_password => 'xxxxxxxx' }), 401, 'nobody');
    status_ok($change->($u->{password}, 'brand new 2'), 204, 'changed');
    everywhere($u->{token}, 200, 'this session goes on');
    everywhere($other->{access_token}, 401, 'the other has ended');
    error_ok(login($u), 401, 'the old password is wrong');
    status_ok(login($u, 'brand new 2'), 200, 'the new one right');
    my $async = $change->('brand new 2', 'brand new 3', headers => { Prefer => 'respond-async' });
    status_ok($async, 202, 'without waiting');
    ok(poll(20, sub { (call($s, GET => "/jobs/" . $async->json->{job}{id}, token => $u->{token})->json->{job}{status} // '') eq 'done' }), 'it is done');
    status_ok(login($u, 'brand new 3'), 200, 'as promised');
};

subtest 'a lock' => sub {
    my $u = new_user($s);
    my $none = { email => "none.$u->{email}", password => 'x' };
    my @known = map { login($u, "wrong $_") } 1 .. 7;
    my @unknown = map { login($none, "wrong $_") } 1 .. 7;
    is_deeply([map { $_->code } @known], [(401) x 6, 429], 'after more than five failures');
    is_deeply([map { $_->code } @unknown], [(401) x 6, 429], 'also where there is no account');
    my ($a, $b) = map { my $e = $_->json->{error}; delete @$e{qw(request_id timestamp)}; $e } $known[6], $unknown[6];
    is_deeply($a, $b, 'with the same answer');
    error_ok(login($u), 429, 'also with the right password', constraint => 'locked');
    like(login($u)->headers->header('Retry-After') // '', qr/\A(?:900|8\d\d)\z/, 'for fifteen minutes');
    everywhere($u->{token}, 200, 'who is signed in goes on');
    ok(poll(30, sub { grep { $_->{body} =~ /\Q$u->{id}\E/ } @{ $s->ua->get("$url{slack}/_fake/requests")->result->json } }), 'operators are told')
        or diag(explain($s->ua->get("$url{slack}/_fake/requests")->result->json));
    is(audited($u, 'signin_locked'), 1, 'it is noted');
    is(audited($u, 'signin_failed'), 6, 'with each failure');
    $s->sql("UPDATE signin_failures SET locked_until = now() - interval '1 second' WHERE locked_until IS NOT NULL RETURNING 1");
    status_ok(login($u), 200, 'then it is over');

    my $v = new_user($s);
    my @res = calls($s, map { [POST => '/auth/login', json => { email => $v->{email}, password => "wrong $_" }] } 1 .. 12);
    is(scalar(grep { $_->code == 401 } @res), 6, 'of twelve at once six were looked at');
    is(scalar(grep { $_->code == 429 } @res), 6, 'and six were not');

    my $w = new_user($s);
    call($s, DELETE => '/users/me/delete', token => $w->{token}, json => { password => "wrong $_" }) for 1 .. 6;
    error_ok(call($s, DELETE => '/users/me/delete', token => $w->{token}, json => { password => $w->{password} }), 429, 'who has a token guesses no password either');
};

subtest 'suspension' => sub {
    my ($u, $v) = map { new_user($s) } 1 .. 2;
    status_ok(call($s, GET => "/users/$u->{id}", token => $v->{token}), 200, 'seen by others');
    $s->sql("SELECT pool.suspend_user('{}', ?, 'spam')", $u->{id});
    ok(poll(20, sub { (call($s, GET => '/users/me', token => $u->{token})->code // 0) == 401 }), 'the token is dead');
    ok(poll(20, sub { !grep { $_->code != 401 } calls($s, map { [GET => '/users/me', token => $u->{token}, ua => $_] } map { agent() } 1 .. 16) }), 'on every process');
    error_ok(login($u), 403, 'no sign-in', constraint => 'suspended');
    error_ok(login($u, 'wrong pass 1'), 401, 'which only who has the password learns');
    error_ok(call($s, POST => '/auth/refresh', json => { refresh_token => $u->{refresh} }), 403, 'no refresh', constraint => 'suspended');
    ok(poll(20, sub { call($s, GET => "/users/$u->{id}", token => $v->{token})->code == 404 }), 'not seen any more');
    error_ok(call($s, POST => "/users/$u->{id}/follow", token => $v->{token}), 404, 'nor followed');
    $s->sql("SELECT pool.unsuspend_user('{}', ?)", $u->{id});
    my $again = call($s, POST => '/auth/refresh', json => { refresh_token => $u->{refresh} });
    status_ok($again, 200, 'taken back, the device goes on');
    status_ok(login($u), 200, 'and others can sign in');
};

subtest 'follows' => sub {
    my ($star, @fans) = map { new_user($s) } 1 .. 7;
    my $profile = sub ($as = $fans[0]) { call($s, GET => "/users/$star->{id}", token => $as->{token})->json };
    is_deeply([sort keys %{ $profile->() }], [qw(avatar_url bio counts created_at followed_by_me id name username)], 'a profile without anything private');
    is_deeply($profile->()->{counts}, { followers => 0, following => 0 }, 'nobody follows');
    my @res = calls($s, map { my $f = $_; map { [POST => "/users/$star->{id}/follow", token => $f->{token}] } 1 .. 3 } @fans);
    is(scalar(grep { $_->code == 204 } @res), 18, 'six follow, three times each, all at once');
    is_deeply($profile->()->{counts}, { followers => 6, following => 0 }, 'six');
    ok($profile->()->{followed_by_me}, 'of whom I am one');
    ok(!$profile->($star)->{followed_by_me}, 'he is none');
    is(call($s, GET => '/users/me', token => $star->{token})->json->{counts}{followers}, 6, 'his own profile says the same');
    is(call($s, GET => '/users/me', token => $fans[0]{token})->json->{counts}{following}, 1, 'as does mine');

    # everybody follows and unfollows everybody, at once
    my @all = ($star, @fans);
    my @ask = map { my $a = $_; map { my $b = $_; map { [$_ => "/users/$b->{id}/follow", token => $a->{token}] } qw(POST DELETE POST) } grep { $_ != $a } @all } @all;
    @res = calls($s, @ask);
    is(scalar(grep { ($_->code // 0) == 204 } @res), scalar @ask, 'many at once') or diag(join ' ', map { $_->code // 'none' } grep { ($_->code // 0) != 204 } @res);
    is($s->sql('SELECT count(*) FROM users u LEFT JOIN follow_counts c ON c.user_id = u.id WHERE coalesce(c.followers, 0) <> (SELECT count(*) FROM follows f WHERE f.followee_id = u.id)'
        . ' OR coalesce(c.following, 0) <> (SELECT count(*) FROM follows f WHERE f.follower_id = u.id)'), 0, 'every count is exact');
    error_ok(call($s, POST => "/users/$star->{id}/follow", token => $star->{token}), 400, 'not oneself', field => 'id', constraint => 'self');
    error_ok(call($s, POST => '/users/01900000-0000-7000-8000-000000000000/follow', token => $star->{token}), 404, 'nobody');
    error_ok(call($s, GET => '/users/01900000-0000-7000-8000-000000000000', token => $star->{token}), 404, 'nobody is seen');
    status_ok(call($s, DELETE => "/users/$star->{id}/follow", token => $fans[0]{token}), 204, 'no more') for 1 .. 2;
    ok(!$profile->()->{followed_by_me}, 'at once');
};

subtest 'consents' => sub {
    my ($u, $v) = map { new_user($s) } 1 .. 2;
    my $put = sub ($type, $granted) { call($s, PUT => '/users/me/consents', token => $u->{token}, json => { consent_type => $type, granted => $granted }, headers => { 'User-Agent' => 'Phone/2' }) };
    my $list = sub ($as = $u) { call($s, GET => '/users/me/consents', token => $as->{token})->json };
    is_deeply([map { [$_->{consent_type}, !!$_->{granted}] } @{ $list->()->{consents} }], [map { [$_, !!0] } qw(data_processing analytics marketing)], 'none');
    my $res = $put->('marketing', true);
    status_ok($res, 200, 'given');
    ok($res->json->{granted} && $res->json->{updated_at}, 'is said');
    status_ok($put->('marketing', true), 200, 'again');
    status_ok($put->('marketing', false), 200, 'taken back');
    my $now = $list->();
    is_deeply([map { !!$_->{granted} } @{ $now->{history} }], [!!0, !!1], 'the history has both, newest first');
    is_deeply([@{ $now->{history}[0] }{qw(consent_type user_agent ip)}], ['marketing', 'Phone/2', '127.0.0.1'], 'from where');
    is_deeply($list->($v)->{history}, [], "nobody else's");
    error_ok($put->('everything', true), 400, 'of an unknown kind', field => 'consent_type', constraint => 'enum');
};

subtest 'what is held on a person' => sub {
    my ($u, $v) = map { new_user($s, name => "Person $_") } 1 .. 2;
    my %p = (token => $u->{token});
    my $goal = call($s, POST => '/goals', %p, json => { title => 'Swim far', frequency => 3 })->json->{id};
    call($s, POST => "/goals/$goal/checkins", %p, json => { status => 'done', reflection => 'cold water' });
    call($s, POST => '/users/me/devices', %p, json => { platform => 'web', token => 'a device token' });
    my $res = call($s, GET => '/users/me/data', %p);
    status_ok($res, 200, 'is given out') or return;
    is($res->headers->header('Content-Disposition'), 'attachment; filename="fitnudge-data.json"', 'as a file');
    my $j = $res->json;
    is($j->{profile}{email}, $u->{email}, 'profile');
    is($j->{goals}[0]{title}, 'Swim far', 'goals');
    is($j->{checkins}[0]{reflection}, 'cold water', 'check-ins');
    is($j->{devices}[0]{platform}, 'web', 'devices');
    is(scalar @{ $j->{sessions} }, 1, 'sessions');
    unlike($res->body, qr/\$y\$|a device token/, 'no secret');
    unlike($res->body, qr/\Q$v->{id}\E|Person 2/, 'nothing of others');
    ok((grep { $_->{relation} eq 'users' && $_->{reason} } @{ $j->{withheld} }), 'what is kept back is said');
    ok(poll(20, sub { audited($u, 'data_export') == 1 }), 'that it was asked for is noted');
    ok((grep { $_->{operation} eq 'data_export' && $_->{ip} } @{ call($s, GET => '/users/me/data', %p)->json->{audit_log} }), 'and given out, too');
    error_ok(call($s, GET => '/users/me/data'), 401, 'nobody gets anything');

    $s->stop_redis;
    error_ok(call($s, GET => '/users/me/data', %p), 503, 'nothing is given out that cannot be put on record');
    status_ok(call($s, GET => '/users/me', %p), 200, 'what is read otherwise is');
    $s->start_redis;
    ok(poll(20, sub { (call($s, GET => '/users/me/data', %p)->code // 0) == 200 }), 'until Redis is back');
    ok(poll(20, sub { (call($s, PATCH => '/users/me', %p, json => { name => 'Person 1' })->code // 0) == 200 }), 'also for those that wait for replies');
};

subtest 'leaving' => sub {
    my ($u, $v) = map { new_user($s) } 1 .. 2;
    my $other = login($u)->json;
    my %p = (token => $u->{token});
    call($s, POST => "/users/$_->[0]{id}/follow", token => $_->[1]{token}) for [$u, $v], [$v, $u];
    $s->sql("INSERT INTO media (user_id, kind, content_type, key, bytes, state, completed_at) VALUES (?, 'voice', 'audio/mpeg', 'voice/x.mp3', 1, 'ready', now()) RETURNING 1", $u->{id});
    error_ok(call($s, DELETE => '/users/me/delete', %p, json => { password => 'not mine 1' }), 400, 'a wrong password', field => 'password', constraint => 'match');
    error_ok(call($s, DELETE => '/users/me/delete', %p, json => {}), 400, 'none', field => 'password', constraint => 'required');
    my $res = call($s, DELETE => '/users/me/delete', %p, json => { password => $u->{password} });
    status_ok($res, 200, 'left');
    like($res->json->{message}, qr/deleted/, 'is said');
    everywhere($_, 401, 'tokens are dead at once, everywhere') for $u->{token}, $other->{access_token};
    error_ok(call($s, POST => '/auth/refresh', json => { refresh_token => $_ }), 401, 'refresh tokens, too') for $u->{refresh}, $other->{refresh_token};
    error_ok(login($u), 401, 'no sign-in');
    error_ok(call($s, GET => "/users/$u->{id}", token => $v->{token}), 404, 'not seen any more');
    ok(poll(20, sub { my $c = call($s, GET => '/users/me', token => $v->{token})->json->{counts}; $c->{followers} == 0 && $c->{following} == 0 }), 'follows nobody, and is not followed');
    ok((grep { /deleted/ } mails($u->{email}, 2)), 'a mail says so');
    call($s, POST => '/auth/password/forgot', json => { email => $u->{email} });
    ok($clock->quiet, 'all jobs are done');
    ok(!(grep { /reset-password/ } mails($u->{email}, 2)), 'there is no way back in');
    ok($clock->run('cleanup'), 'a clean-up') or diag($clock->error);
    is($s->sql('SELECT count(*) FROM users WHERE id = ?', $u->{id}), 1, 'finds it too early');
    $s->sql("UPDATE users SET deleted_at = now() - interval '31 days' WHERE id = ? RETURNING 1", $u->{id});
    ok($clock->run('cleanup'), 'a month later') or diag($clock->error);
    is($s->sql('SELECT count(*) FROM users WHERE id = ?', $u->{id}), 0, 'the account is gone');
    ok(poll(20, sub { $s->sql("SELECT count(*) FROM inbox WHERE job = 'media.delete' AND state = 'done'") == 1 }), 'what was in the storage is deleted by a job');
    is(audited($u, 'account_deletion') + audited($u, 'account_purged'), 2, 'the log remembers');
    status_ok(call($s, POST => '/auth/signup', json => { email => $u->{email}, password => 'back again 1', name => 'Back' }), 201, 'the address is free');
};

subtest 'leaving with cookies' => sub {
    my $u = new_user($s);
    my $res = call($s, POST => '/auth/login', json => { email => $u->{email}, password => $u->{password} }, headers => { 'X-Auth-Mode' => 'cookie' });
    my $jar = join '; ', map { /\A([^;]+)/ } @{ $res->headers->every_header('Set-Cookie') };
    my $csrf = call($s, GET => '/auth/csrf', headers => { Cookie => $jar });
    my ($pair) = map { /\A([^;]+)/ } @{ $csrf->headers->every_header('Set-Cookie') };
    error_ok(call($s, DELETE => '/users/me/delete', json => { password => $u->{password} }, headers => { Cookie => $jar }), 403, 'not without the CSRF token');
    my $out = call($s, DELETE => '/users/me/delete', json => { password => $u->{password} }, headers => { Cookie => "$jar; $pair", 'X-CSRF-Token' => $csrf->json->{csrf_token} });
    status_ok($out, 200, 'left');
    like(join("\n", @{ $out->headers->every_header('Set-Cookie') }), qr/access_token=;.*Max-Age=0.*refresh_token=;.*Max-Age=0/s, 'the cookies are taken away');
};

$s->assert_clean;
done_testing;
