# Signing up, in and out; refresh tokens; sessions; the cookie mode of browsers.
use Mojo::Base -strict, -signatures;
use FindBin;
use lib "$FindBin::Bin/lib";
use FitNudge::Test::Contract;
use FitNudge::Test::Stack;
use Mojo::Promise;
use Test::More;
use Time::HiRes qw(time);

my $s = FitNudge::Test::Stack->new(nginx_workers => 2)->start;

sub refresh ($token, %o) { call($s, POST => '/auth/refresh', json => { refresh_token => $token }, %o) }

# The token of an answered refresh was rotated longer ago than the grace lasts.
sub age_tokens ($user) {
    $s->sql("UPDATE refresh_tokens SET rotated_at = rotated_at - interval '11 seconds'"
        . " WHERE rotated_at IS NOT NULL AND session_id IN (SELECT id FROM sessions WHERE user_id = '$user->{id}')");
    return;
}

# Asks on fresh connections, so that each nginx process answers some.
sub everywhere ($token, $status, $name) {
    my @ua = map { agent() } 1 .. 24;
    my @res = calls($s, map { [GET => '/users/me', token => $token, ua => $_] } @ua);
    my %codes;
    $codes{ $_->code // 'none' }++ for @res;
    is_deeply([keys %codes], [$status], $name) or diag(explain(\%codes));
}

subtest 'sign-up' => sub {
    my $u = new_user($s, email => 'Ada.Lovelace@Example.com', name => '  Ada  ', language => 'es', timezone => 'Europe/Madrid');
    my $j = $u->{res}->json;
    is($u->{res}->code, 201, 'status');
    is_deeply([sort keys %$j], [qw(access_token expires_in refresh_token token_type user)], 'members');
    like($j->{user}{id}, uuid_re(), 'id');
    is($j->{user}{email}, 'ada.lovelace@example.com', 'address in lower case');
    is($j->{user}{name}, 'Ada', 'name is trimmed');
    is($j->{user}{language}, 'es', 'language');
    is($j->{user}{timezone}, 'Europe/Madrid', 'time zone');
    is($j->{user}{plan}, 'free', 'plan');
    is($j->{expires_in}, 900, 'access tokens live 15 minutes');
    unlike($u->{res}->body, qr/password|\$y\$|\$2[aby]\$/, 'nothing of the password in the answer');
    is($u->{res}->headers->cache_control, 'no-store', 'not to be cached');
    my $c = claims_of($j->{access_token});
    is($c->{sub}, $u->{id}, 'sub');
    is($c->{role}, 'authenticated', 'role');
    is($c->{aud}, 'authenticated', 'aud');
    is($c->{plan}, 'free', 'plan');
    like($c->{session_id}, uuid_re(), 'session');
    is($c->{exp} - $c->{iat}, 900, 'exp');

    my $me = call($s, GET => '/users/me', token => $u->{token});
    is($me->code, 200, 'token works');
    is($me->json->{id}, $u->{id}, 'and is the user');

    error_ok(call($s, POST => '/auth/signup', json => { email => $_, password => 'another one 8', name => 'Eve' }),
        409, "$_ is taken", field => 'email') for 'ada.lovelace@example.com', 'ADA.LOVELACE@EXAMPLE.COM', ' Ada.Lovelace@Example.com ';
    is($s->sql("SELECT count(*) FROM users WHERE lower(email::text) = 'ada.lovelace\@example.com'"), 1, 'one account');

    error_ok(call($s, POST => '/auth/signup', json => { email => 'tz@example.com', password => 'another one 8', name => 'T',
        timezone => 'Mars/Olympus' }), 400, 'a time zone has to exist', field => 'timezone');
    is($s->sql("SELECT count(*) FROM users WHERE email = 'tz\@example.com'"), 0, 'and nothing was written');

    my @res = calls($s, map { [POST => '/auth/signup', json => { email => 'race@example.com', password => 'some thing 9', name => "R$_" }] } 1 .. 6);
    is(scalar(grep { $_->code == 201 } @res), 1, 'of six at once one wins');
    is(scalar(grep { $_->code == 409 } @res), 5, 'and the others are told');
};

subtest 'sign-in' => sub {
    my $u = new_user($s);
    my $res = call($s, POST => '/auth/login', json => { email => uc $u->{email}, password => $u->{password} });
    status_ok($res, 200, 'the address is taken in any case');
    is($res->json->{user}{id}, $u->{id}, 'user');
    isnt(claims_of($res->json->{access_token})->{session_id}, claims_of($u->{token})->{session_id}, 'a session of its own');

    my $wrong = call($s, POST => '/auth/login', json => { email => $u->{email}, password => 'correct horse 8' });
    my $nobody = call($s, POST => '/auth/login', json => { email => "no.$u->{email}", password => 'correct horse 8' });
    error_ok($wrong, 401, 'wrong password');
    error_ok($nobody, 401, 'unknown address');
    my ($a, $b) = map { my $e = $_->json->{error}; delete @$e{qw(request_id timestamp)}; $e } $wrong, $nobody;
    is_deeply($a, $b, 'both answers are the same');
    is_deeply([sort @{ $wrong->headers->names }], [sort @{ $nobody->headers->names }], 'with the same headers');
    error_ok(call($s, POST => '/auth/login', json => { email => $u->{email}, password => "$u->{password} " }), 401,
        'a password is not trimmed');
    my $v = new_user($s, password => "pass\x{1F512}w\x{F6}rd");
    status_ok(call($s, POST => '/auth/login', json => { email => $v->{email}, password => $v->{password} }), 200, 'a password in any script');
    like($s->sql("SELECT password_hash FROM users WHERE id = '$u->{id}'"), qr/\A\$y\$/, 'hashed with yescrypt');
};

# Who has an account must not show in how long a refusal takes. Medians, since other work delays one or the other.
subtest 'known and unknown addresses take the same time' => sub {
    my @user = map { new_user($s) } 1 .. 10;
    my $refused = sub ($email) {
        my $t = time;
        error_ok(call($s, POST => '/auth/login', json => { email => $email, password => 'correct horse 8' }), 401, 'refused');
        return time - $t;
    };
    my $ratio;
    for my $attempt (1 .. 3) {
        my (@known, @unknown);
        for my $u (@user) {
            push @known, $refused->($u->{email});
            push @unknown, $refused->("no.$u->{email}");
        }
        my ($k, $n) = map { (sort { $a <=> $b } @$_)[5] } \@known, \@unknown;
        $ratio = $k / $n;
        note(sprintf '%.1f ms and %.1f ms', $k * 1000, $n * 1000);
        last if $ratio > 0.5 && $ratio < 2;
    }
    cmp_ok($ratio, '>', 0.5, 'an unknown one takes no longer');
    cmp_ok($ratio, '<', 2, 'nor is it refused sooner');
};

subtest 'a flood of sign-ins cannot slow a check-in' => sub {
    my $u = new_user($s);
    my %p = (token => $u->{token});
    my $goal = call($s, POST => '/goals', %p, json => { title => 'Run', frequency => 3 })->json->{id};
    # processes that sign in stand still, and so do those that are started to help them
    my %stopped;
    my $stop = sub { for my $c (grep { $_->{title} =~ /\bauth\b/ } @{ $s->pids->{pool_children} }) { kill STOP => $c->{pid}; $stopped{ $c->{pid} } = 1 } };
    $stop->();
    cmp_ok(scalar(keys %stopped), '>', 0, 'somebody signs users in');
    my (@answered, $done);
    my $ua = agent();
    my @login = map { $ua->post_p($s->url('/api/v1/auth/login'), json => { email => $u->{email}, password => $u->{password} })->then(sub ($tx) { push @answered, $tx->res->code }) } 1 .. 20;
    my @code;
    # one after the other, on the loop that the sign-ins wait in
    my $next;
    $next = sub {
        $stop->();
        if (@code == 20) { $done = @answered; kill CONT => keys %stopped; return }
        my $day = 1 + @code;
        $ua->post_p($s->url("/api/v1/goals/$goal/checkins"), { Authorization => "Bearer $u->{token}" }, json => { status => 'done', date => sprintf '2026-01-%02d', $day })
            ->then(sub ($tx) { push @code, $tx->res->code; $next->() });
    };
    $next->();
    Mojo::Promise->all_settled(@login)->wait;
    undef $next;
    is_deeply(\@code, [(201) x 20], 'check-ins are done') or diag("@code");
    is($done, 0, 'before anybody is signed in');
    is(scalar(@answered), 20, 'and then they are');
    is_deeply([grep { $_ != 200 } @answered], [], 'all of them') or diag("@answered");
};

subtest 'hash of another system' => sub {
    my $u = new_user($s);
    my $salt = '$2b$05$' . 'abcdefghijklmnopqrstuu';
    my $hash = crypt($u->{password}, $salt);
    like($hash, qr/\A\$2b\$05\$.{53}\z/, 'bcrypt');
    $s->sql("UPDATE users SET password_hash = '$hash' WHERE id = '$u->{id}'");
    error_ok(call($s, POST => '/auth/login', json => { email => $u->{email}, password => 'wrong horse 7' }), 401, 'wrong password');
    is($s->sql("SELECT password_hash FROM users WHERE id = '$u->{id}'"), $hash, 'changes nothing');
    status_ok(call($s, POST => '/auth/login', json => { email => $u->{email}, password => $u->{password} }), 200, 'right password');
    like($s->sql("SELECT password_hash FROM users WHERE id = '$u->{id}'"), qr/\A\$y\$/, 'is hashed anew');
    status_ok(call($s, POST => '/auth/login', json => { email => $u->{email}, password => $u->{password} }), 200, 'and works again');
};

subtest 'refresh' => sub {
    my $u = new_user($s);
    my $one = refresh($u->{refresh});
    status_ok($one, 200, 'rotates');
    my $r1 = $one->json->{refresh_token};
    isnt($r1, $u->{refresh}, 'another refresh token');
    is(claims_of($one->json->{access_token})->{session_id}, claims_of($u->{token})->{session_id}, 'same session');
    status_ok(call($s, GET => '/users/me', token => $one->json->{access_token}), 200, 'new access token works');
    status_ok(call($s, GET => '/users/me', token => $u->{token}), 200, 'the old one still does');

    my $again = refresh($u->{refresh});
    status_ok($again, 200, 'within the grace a lost answer can be fetched');
    status_ok(refresh($again->json->{refresh_token}), 200, 'and what it gave works');

    my $v = new_user($s);
    my $v1 = refresh($v->{refresh});
    status_ok($v1, 200, 'rotated');
    age_tokens($v);
    error_ok(refresh($v->{refresh}), 401, 'a rotated token is refused after the grace');
    error_ok(refresh($v1->json->{refresh_token}), 401, 'and has ended the session');
    everywhere($v->{token}, 401, 'its access tokens are dead on every process');
    status_ok(call($s, POST => '/auth/login', json => { email => $v->{email}, password => $v->{password} }), 200, 'a new session may begin');

    error_ok(refresh('A' x 43), 401, 'an unknown token');
    error_ok(call($s, POST => '/auth/refresh', json => {}), [400, 401], 'no token at all');

    my $w = new_user($s);
    my @res = calls($s, map { [POST => '/auth/refresh', json => { refresh_token => $w->{refresh} }] } 1 .. 5);
    is(scalar(grep { $_->code == 200 } @res), 5, 'five tabs at once all stay signed in');
    is($s->sql("SELECT count(*) FROM refresh_tokens WHERE token_hash NOT SIMILAR TO '[0-9a-f]{64}'"), 0, 'the database holds hashes only');

    my $x = new_user($s);
    $s->sql("UPDATE refresh_tokens SET expires_at = now() - interval '1 second' WHERE session_id IN"
        . " (SELECT id FROM sessions WHERE user_id = '$x->{id}')");
    $s->sql("UPDATE sessions SET expires_at = now() - interval '1 second' WHERE user_id = '$x->{id}'");
    error_ok(refresh($x->{refresh}), 401, 'an expired token');
};

subtest 'logout' => sub {
    my $u = new_user($s);
    my $other = call($s, POST => '/auth/login', json => { email => $u->{email}, password => $u->{password} })->json;
    everywhere($u->{token}, 200, 'before');
    my $res = call($s, POST => '/auth/logout', token => $u->{token}, json => {});
    status_ok($res, 204, 'logout');
    is($res->body, '', 'without a body');
    everywhere($u->{token}, 401, 'the token is dead at once');
    error_ok(call($s, POST => '/goals', token => $u->{token}, json => { title => 'x', frequency => 1 }), 401, 'for writes too');
    error_ok(refresh($u->{refresh}), 401, 'and its refresh token');
    everywhere($other->{access_token}, 200, 'the other session lives');
    status_ok(call($s, POST => '/auth/logout', token => $other->{access_token}), 204, 'the body may be empty');

    my @in = map { call($s, POST => '/auth/login', json => { email => $u->{email}, password => $u->{password} })->json } 1 .. 3;
    status_ok(call($s, POST => '/auth/logout', token => $in[0]{access_token}, json => { everywhere => \1 }), 204, 'everywhere');
    everywhere($_->{access_token}, 401, 'dead') for @in;
    error_ok(refresh($_->{refresh_token}), 401, 'refresh token dead') for @in;
};

subtest 'sessions' => sub {
    my $u = new_user($s);
    my $in = call($s, POST => '/auth/login', json => { email => $u->{email}, password => $u->{password} },
        headers => { 'User-Agent' => 'Phone/1.0' })->json;
    my $res = call($s, GET => '/auth/sessions', token => $u->{token});
    status_ok($res, 200, 'list');
    my @list = @{ $res->json->{sessions} };
    is(scalar @list, 2, 'two devices');
    my ($phone) = grep { $_->{id} eq claims_of($in->{access_token})->{session_id} } @list;
    ok($phone, 'one is the phone');
    like(join(' ', map { $_ // '' } values %$phone), qr{Phone/1\.0}, 'with its name');
    my $v = new_user($s);
    error_ok(call($s, DELETE => "/auth/sessions/$phone->{id}", token => $v->{token}), 404, "somebody else's");
    status_ok(call($s, GET => '/users/me', token => $in->{access_token}), 200, 'still lives');
    status_ok(call($s, DELETE => "/auth/sessions/$phone->{id}", token => $u->{token}), 204, 'signed out');
    everywhere($in->{access_token}, 401, 'dead at once');
    everywhere($u->{token}, 200, 'this one lives');
    is(scalar @{ call($s, GET => '/auth/sessions', token => $u->{token})->json->{sessions} }, 1, 'one left');
    error_ok(call($s, DELETE => "/auth/sessions/$phone->{id}", token => $u->{token}), 404, 'is gone');
};

subtest 'cookie mode' => sub {
    my $u = new_user($s);
    my %web = ('X-Auth-Mode' => 'cookie');
    my $res = call($s, POST => '/auth/login', json => { email => $u->{email}, password => $u->{password} }, headers => \%web);
    status_ok($res, 200, 'sign-in');
    ok(!exists $res->json->{$_}, "no $_ in the body") for qw(access_token refresh_token);
    my %set = map { /\A([^=]+)=([^;]*)/ ? ($1 => $_) : () } @{ $res->headers->every_header('Set-Cookie') };
    my %value = map { $_ => $set{$_} =~ /=([^;]*)/ } keys %set;
    for my $name (qw(access_token refresh_token)) {
        like($set{$name} // '', qr/; *HttpOnly/i, "$name is out of reach of scripts");
        like($set{$name} // '', qr/; *SameSite=Strict/i, "$name stays on the site");
        like($set{$name} // '', qr{; *Path=/}i, "$name has a path");
        like($set{$name} // '', qr/; *Max-Age=\d+/i, "$name ends");
        unlike($set{$name} // '', qr/; *Secure/i, "$name works without TLS here");
    }
    my $jar = "access_token=$value{access_token}; refresh_token=$value{refresh_token}";
    status_ok(call($s, GET => '/users/me', headers => { Cookie => $jar }), 200, 'reads need nothing more');

    my $csrf = call($s, GET => '/auth/csrf', headers => { Cookie => $jar });
    status_ok($csrf, 200, 'CSRF token');
    my $token = $csrf->json->{csrf_token};
    my ($pair) = map { /\A([^;]+)/ } @{ $csrf->headers->every_header('Set-Cookie') };
    like($pair // '', qr/\A[a-z_]+=\Q$token\E\z/, 'and its cookie');
    my %ok = (Cookie => "$jar; $pair", 'X-CSRF-Token' => $token);
    my %goal = (json => { title => 'Run', frequency => 3 });
    error_ok(call($s, POST => '/goals', %goal, headers => { Cookie => $jar }), 403, 'an unsafe request without it');
    error_ok(call($s, POST => '/goals', %goal, headers => { Cookie => "$jar; $pair" }), 403, 'without the header');
    error_ok(call($s, POST => '/goals', %goal, headers => { Cookie => $jar, 'X-CSRF-Token' => $token }), 403, 'without the cookie');
    error_ok(call($s, POST => '/goals', %goal, headers => { %ok, 'X-CSRF-Token' => "${token}x" }), 403, 'a wrong one');
    my $made = 'A' x length $token;
    error_ok(call($s, POST => '/goals', %goal, headers => { Cookie => "$jar; " . ($pair =~ s/=.*/=$made/r), 'X-CSRF-Token' => $made }),
        403, 'one that the server did not make');
    is($s->sql("SELECT count(*) FROM goals WHERE user_id = '$u->{id}'"), 0, 'nothing was written');
    status_ok(call($s, POST => '/goals', %goal, headers => \%ok), 201, 'with both');
    status_ok(call($s, POST => '/auth/logout', token => $u->{token}, json => {}), 204, 'a bearer needs no CSRF token');

    my $ref = call($s, POST => '/auth/refresh', headers => { %ok, %web });
    status_ok($ref, 200, 'refresh by cookie');
    my %next = map { /\A([^=]+)=([^;]*)/ } @{ $ref->headers->every_header('Set-Cookie') };
    ok($next{access_token} && $next{refresh_token} && $next{refresh_token} ne $value{refresh_token}, 'rotates both');
    my $jar2 = "access_token=$next{access_token}; refresh_token=$next{refresh_token}";
    status_ok(call($s, GET => '/users/me', headers => { Cookie => $jar2 }), 200, 'and they work');
    error_ok(call($s, POST => '/auth/refresh', headers => { Cookie => $jar2, %web }), 403, 'refresh by cookie needs the CSRF token');

    my $out = call($s, POST => '/auth/logout', headers => { Cookie => "$jar2; $pair", 'X-CSRF-Token' => $token });
    status_ok($out, 204, 'logout');
    error_ok(call($s, GET => '/users/me', headers => { Cookie => $jar2 }), 401, 'the cookie is dead');
    like(join("\n", @{ $out->headers->every_header('Set-Cookie') }), qr/access_token=;.*Max-Age=0/is, 'and taken away');
};

$s->assert_clean;
done_testing;
