# Nobody sees or changes what belongs to somebody else, and text stays text.
use Mojo::Base -strict, -signatures;
use FindBin;
use lib "$FindBin::Bin/lib";
use FitNudge::Test::Contract;
use FitNudge::Test::Stack;
use Mojo::JSON qw(encode_json);
use Test::More;

my $s = FitNudge::Test::Stack->new(nginx_workers => 2)->start;

sub outfit () {
    my $u = new_user($s);
    my %p = (token => $u->{token});
    $u->{goal} = call($s, POST => '/goals', %p, json => { title => 'Mine', frequency => 3 })->json->{id};
    $u->{checkin} = call($s, POST => "/goals/$u->{goal}/checkins", %p, json => { status => 'done', reflection => 'private' })->json->{id};
    $u->{motivation} = call($s, POST => '/motivation/generate', %p, json => { goal_id => $u->{goal} })->json->{id};
    $u->{reminder} = call($s, POST => '/motivation/schedule', %p, json => { goal_id => $u->{goal}, time => '08:00' })->json->{id};
    $u->{media} = $s->sql("INSERT INTO media (user_id, kind, content_type, bytes, key, state, completed_at) VALUES (?, 'image', 'image/png', 9, ?, 'ready', now()) RETURNING id",
        $u->{id}, "private/$u->{id}/image/x.png");
    $u->{post} = call($s, POST => '/posts', %p, json => { text => 'private', is_public => \0 })->json->{id};
    $u->{comment} = call($s, POST => "/posts/$u->{post}/comments", %p, json => { text => 'private' })->json->{id};
    $u->{session} = claims_of($u->{token})->{session_id};
    my $res = call($s, PATCH => '/users/me', %p, json => { bio => 'private' }, headers => { Prefer => 'respond-async' });
    $u->{job} = $res->json->{job}{id};
    poll(10, sub { (call($s, GET => "/jobs/$u->{job}", %p)->json->{job}{status} // '') eq 'done' });
    return $u;
}

my ($a, $b) = (outfit(), outfit());
my @each = (
    ['GET', '/goals/{goal}'], ['PATCH', '/goals/{goal}', { title => 'x' }], ['DELETE', '/goals/{goal}'], ['GET', '/goals/{goal}/stats'],
    ['GET', '/goals/{goal}/checkins'], ['POST', '/goals/{goal}/checkins', { status => 'done', date => '2025-01-01' }],
    ['PATCH', '/checkins/{checkin}', { status => 'missed' }], ['DELETE', '/checkins/{checkin}'],
    ['POST', '/motivation/generate', sub ($o) { { goal_id => $o->{goal} } }], ['GET', '/motivations/{motivation}'],
    ['POST', '/motivation/schedule', sub ($o) { { goal_id => $o->{goal}, time => '08:00' } }], ['PATCH', '/reminders/{reminder}', { time => '09:00' }], ['DELETE', '/reminders/{reminder}'],
    ['POST', '/media/{media}/complete'], ['DELETE', '/media/{media}'],
    ['GET', '/posts/{post}'], ['PATCH', '/posts/{post}', { text => 'x' }], ['DELETE', '/posts/{post}'], ['POST', '/posts/{post}/like'], ['DELETE', '/posts/{post}/like'],
    ['GET', '/posts/{post}/comments'], ['POST', '/posts/{post}/comments', { text => 'x' }], ['POST', '/posts/{post}/flag', { reason => 'spam' }], ['DELETE', '/comments/{comment}'],
    ['GET', '/jobs/{job}'], ['DELETE', '/auth/sessions/{session}'],
);

# What others may see or do by its id: a person's public page, an experiment.
my %public = map { $_ => 1 } 'GET /users/{id}', 'POST /users/{id}/follow', 'DELETE /users/{id}/follow', 'POST /experiments/{key}/events';

# One's own, without an id.
my @own = ('/goals', '/checkins', '/motivations', "/motivations?goal_id={goal}", '/auth/sessions', '/users/me', '/reminders', '/media', '/stats/me', '/stats/me/weekly',
    '/users/me/data', '/users/me/consents', '/feed', '/feed?scope=following', '/search/posts?q=private', '/search/goals?q=mine', '/search/users?q=user', '/search/suggestions?q=mi',
    '/flags', '/onboarding/flow');

sub state { $s->sql("SELECT (SELECT md5(string_agg(t::text, '' ORDER BY id)) FROM goals t) || (SELECT md5(string_agg(t::text, '' ORDER BY id)) FROM checkins t)"
    . " || (SELECT md5(string_agg(t::text, '' ORDER BY id)) FROM reminders t) || (SELECT md5(string_agg(t::text, '' ORDER BY id)) FROM posts t)"
    . " || (SELECT count(*) FROM comments) || (SELECT count(*) FROM likes) || (SELECT count(*) FROM post_flags)"
    . " || (SELECT md5(string_agg(t::text, '' ORDER BY id)) FROM media t)"
    . " || (SELECT count(*) FROM motivations) || (SELECT md5(string_agg(t::text, '' ORDER BY id)) FROM users t)") }

subtest 'crosswise' => sub {
    my $before = state();
    for my $case (@each) {
        my ($method, $path, $json) = @$case;
        for my $pair ([$a, $b], [$b, $a]) {
            my ($me, $them) = @$pair;
            my $at = $path =~ s/\{(\w+)\}/$them->{$1}/r;
            my $body = ref $json eq 'CODE' ? $json->($them) : $json;
            error_ok(call($s, $method, $at, token => $me->{token}, ($body ? (json => $body) : ())), 404, "$method $path");
        }
    }
    is(state(), $before, 'nothing was changed');
    for my $pair ([$a, $b], [$b, $a]) {
        my ($me, $them) = @$pair;
        for my $path (map { s/\{(\w+)\}/$them->{$1}/r } @own) {
            my $res = call($s, GET => $path, token => $me->{token});
            ok($res->code == 200 || $res->code == 404, "GET $path answers");
            ok(!(grep { index($res->body, $them->{$_}) >= 0 && index($path, $them->{$_}) < 0 } qw(id goal checkin motivation session reminder media email post comment)), 'without a trace of the other');
        }
    }
    status_ok(call($s, GET => $_->[1] =~ s/\{(\w+)\}/$a->{$1}/r, token => $a->{token}), 200, "its owner sees $_->[1]")
        for grep { $_->[0] eq 'GET' } @each;
};

# A route that nobody has thought of here fails this.
subtest 'every route is one of these' => sub {
    my $doc = call($s, GET => '/api/v1/openapi.json')->json;
    my %known = map { ("$_->[0] " . $_->[1] =~ s/\{\w+\}/{}/r) => 1 } @each;
    $known{"GET $_"} = 1 for map { s/\?.*//r } @own;
    $known{ $_ =~ s/\{\w+\}/{}/r } = 1 for keys %public;
    my @missing;
    for my $path (sort keys %{ $doc->{paths} }) {
        for my $method (grep { exists $doc->{paths}{$path}{$_} } qw(get post put patch delete)) {
            my $security = $doc->{paths}{$path}{$method}{security} // $doc->{security} // [];
            next if !@$security || grep { !%$_ || $_->{signature} } @$security;
            next if $method ne 'get' && $path !~ /\{/;         # writes what is one's own, or names it in the body
            my $name = uc($method) . ' ' . $path =~ s{^/api/v1}{}r =~ s/\{\w+\}/{}/r;
            push @missing, $name if !$known{$name};
        }
    }
    is_deeply(\@missing, [], 'nothing is left out');
};

subtest 'whose cache' => sub {
    my @ua = map { agent() } 1 .. 8;
    for (1 .. 5) {
        my @res = calls($s, map { my $u = $_; map { [GET => '/users/me', token => $u->{token}, ua => $_] } @ua } $a, $b);
        is(scalar(grep { $res[$_]->json->{id} ne ($_ < @ua ? $a : $b)->{id} } 0 .. $#res), 0, 'everybody gets their own profile');
    }
};

subtest 'idempotency keys are per user' => sub {
    my %h = (headers => { 'Idempotency-Key' => 'the same key' });
    my @res = map { call($s, PATCH => '/users/me', token => $_->{token}, json => { name => "N$_->{id}" }, %h) } $a, $b;
    is($res[$_]->json->{id}, ($a, $b)[$_]{id}, 'own answer') for 0, 1;
    ok(!defined $res[1]->headers->header('Idempotency-Replayed'), 'not a replay');
};

subtest 'SQL stays text' => sub {
    my $u = new_user($s);
    make_pro($s, $u);
    my %p = (token => $u->{token});
    my $tables = $s->sql("SELECT count(*) FROM information_schema.tables WHERE table_schema = 'public'");
    my @evil = (q{'; DROP TABLE goals; --}, q{' OR '1'='1}, q{" OR ""="}, q{\\'; SELECT pg_sleep(9); --}, q{$$; DELETE FROM users; $$}, q{%s%n{0}${x}},
        q{'||(SELECT password_hash FROM users LIMIT 1)||'}, q{E'\\x41'}, q{); COMMIT; --}, q{../../etc/passwd}, "x'\n--\ty", q{\u0027 OR 1=1}, "\r\nSet-Cookie: a=b" =~ s/\r//r);
    for my $evil (@evil) {
        my $text = $evil =~ s/\A\s+|\s+\z//gr;
        my $name = $text =~ s/\s+/ /gr;
        my $g = call($s, POST => '/goals', %p, json => { title => $evil, description => $evil, category => substr($evil, 0, 50), frequency => 1 });
        status_ok($g, 201, "goal: $name") or next;
        is($g->json->{title}, $text, 'title');
        is($g->json->{description}, $text, 'description');
        is(call($s, GET => '/goals/' . $g->json->{id}, %p)->json->{title}, $text, 'reads the same');
        my $c = call($s, POST => '/goals/' . $g->json->{id} . '/checkins', %p, json => { status => 'done', reflection => $evil });
        is(($c->json // {})->{reflection}, $text, 'reflection');
        my $me = call($s, PATCH => '/users/me', %p, json => { name => $evil, bio => $evil });
        is(($me->json // {})->{$_}, $text, $_) for qw(name bio);
        my $bad = call($s, PATCH => '/users/me', %p, json => { username => substr($evil, 0, 30) });
        error_ok($bad, 400, 'as a username', field => 'username') if $evil !~ /\A[A-Za-z0-9_.]+\z/;
        error_ok(call($s, PATCH => '/users/me', %p, json => { timezone => substr($evil, 0, 60) }), 400, 'as a time zone', field => 'timezone');
        error_ok(call($s, POST => '/auth/login', json => { email => $evil, password => $evil }), [400, 401], 'as an address and password', code => '');
    }
    is($s->sql("SELECT count(*) FROM information_schema.tables WHERE table_schema = 'public'"), $tables, 'all tables are there');
    cmp_ok($s->sql('SELECT count(*) FROM users'), '>=', 3, 'all users, too');
};

subtest 'anonymous' => sub {
    my $doc = call($s, GET => '/api/v1/openapi.json')->json;
    my $id = '01900000-0000-7000-8000-000000000000';
    my $asked = 0;
    for my $path (sort keys %{ $doc->{paths} }) {
        for my $method (grep { exists $doc->{paths}{$path}{$_} } qw(get post put patch delete)) {
            my $security = $doc->{paths}{$path}{$method}{security} // $doc->{security} // [];
            next if !@$security || grep { !%$_ || $_->{signature} } @$security;
            $asked++;
            my $at = $path =~ s/\{\w+\}/$id/gr;
            my @body = $method eq 'get' || $method eq 'delete' ? () : (json => {});
            error_ok(call($s, uc $method, $at, @body), 401, uc($method) . " $path");
            error_ok(call($s, uc $method, $at, @body, headers => { Cookie => 'access_token=x' }), [401, 403], 'with a bad cookie', code => '');
        }
    }
    cmp_ok($asked, '>=', 20, "$asked routes need a user");
};

subtest 'by plan and role' => sub {
    my $doc = call($s, GET => '/api/v1/openapi.json')->json;
    my %may = (paid => { plan => 'pro' }, staff => { role => 'admin' });
    my %constraint = (paid => 'plan', staff => 'role');
    my $u = new_user($s);
    make_pro($s, $u);           # the token is not all that is asked
    for my $path (sort keys %{ $doc->{paths} }) {
        for my $method (grep { exists $doc->{paths}{$path}{$_} } qw(get post put patch delete)) {
            my ($need) = map { @{ $_->{bearerAuth} // [] } } @{ $doc->{paths}{$path}{$method}{security} // [] } or next;
            my $ask = sub (%claims) { call($s, uc $method, $path =~ s/\{\w+\}/$a->{goal}/r, token => $s->mint_jwt(sub => $u->{id}, %claims), $method eq 'get' ? () : (json => {})) };
            for my $claims ({}, { plan => 'platinum' }, { role => 'root' }, $need eq 'paid' ? { role => 'admin' } : { plan => 'elite' }) {
                error_ok($ask->(%$claims), 403, uc($method) . " $path is not for " . encode_json($claims), constraint => $constraint{$need});
            }
            isnt($ask->(%{ $may{$need} })->code, 403, 'but for ' . encode_json($may{$need}));
        }
    }
};

$s->assert_clean;
done_testing;
