# Goals: making, changing, deleting, the free plan's limit, statistics.
use Mojo::Base -strict, -signatures;
use FindBin;
use lib "$FindBin::Bin/lib";
use FitNudge::Test::Contract;
use FitNudge::Test::Stack;
use Test::More;

my $s = FitNudge::Test::Stack->new(nginx_workers => 2)->start;
my $pro = new_user($s);
make_pro($s, $pro);

sub goal ($u, %o) { call($s, POST => '/goals', token => $u->{token}, json => { title => 'Run', frequency => 3, %o }) }

subtest 'making' => sub {
    my $res = goal($pro, title => "  Run\tfar  ", description => "line\nline", category => 'gym');
    status_ok($res, 201, 'made');
    my $g = $res->json;
    like($g->{id}, uuid_re(), 'id');
    is($g->{title}, "Run\tfar", 'title is trimmed');
    is($g->{description}, "line\nline", 'description keeps its lines');
    is($g->{category}, 'gym', 'category');
    cmp_ok($g->{frequency}, '==', 3, 'frequency');
    is($g->{is_active}, Mojo::JSON::true, 'active');
    cmp_ok($g->{version}, '==', 1, 'version');
    like($g->{created_at}, qr/\A\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?Z\z/, 'created_at');
    is_deeply(call($s, GET => "/goals/$g->{id}", token => $pro->{token})->json, $g, 'reads the same');
    my $long = "\x{1F3C3}" x 100;
    is(goal($pro, title => $long)->json->{title}, $long, 'a title of 100 characters beyond the BMP');
    error_ok(goal($pro, title => "${long}x"), 400, '101 are too many', field => 'title', constraint => 'max_length');
    error_ok(goal($pro, title => '   '), 400, 'blanks only', field => 'title', constraint => ['min_length', 'required']);
    is(goal($pro, title => $_)->json->{title}, $_, Mojo::JSON::encode_json([$_]) . ' is text like any other')
        for '<script>alert(1)</script>', q{a'b"c\\d}, "\x{202E}abc", 'null', '0';
    like(goal($pro, title => '<b>&')->body, qr/"<b>&"/, 'answers are not escaped for HTML');
};

subtest 'the free plan has one active goal' => sub {
    my $u = new_user($s);
    my $first = goal($u)->json;
    error_ok(goal($u), 400, 'a second one', constraint => 'plan_goal_limit');
    my $v = $first->{version};
    my $off = call($s, PATCH => "/goals/$first->{id}", token => $u->{token}, json => { is_active => \0 });
    status_ok($off, 200, 'the first one is put aside');
    cmp_ok($off->json->{version}, '==', $v + 1, 'version goes up');
    my $second = goal($u);
    status_ok($second, 201, 'now there is room');
    error_ok(call($s, PATCH => "/goals/$first->{id}", token => $u->{token}, json => { is_active => \1 }), 400, 'the first one cannot come back',
        constraint => 'plan_goal_limit');
    status_ok(call($s, DELETE => '/goals/' . $second->json->{id}, token => $u->{token}), 204, 'the second one goes');
    status_ok(call($s, PATCH => "/goals/$first->{id}", token => $u->{token}, json => { is_active => \1 }), 200, 'now it can');

    my $w = new_user($s);
    my @res = calls($s, map { [POST => '/goals', token => $w->{token}, json => { title => "g$_", frequency => 1 }] } 1 .. 12);
    is(scalar(grep { $_->code == 201 } @res), 1, 'of twelve at once one is made');
    is($s->sql("SELECT count(*) FROM goals WHERE user_id = '$w->{id}'"), 1, 'one row');
};

subtest 'changing' => sub {
    my $g = goal($pro, description => 'd', category => 'c')->json;
    my %p = (token => $pro->{token});
    my %new = (title => 'Swim', description => 'e', category => 'f', frequency => 7);
    for my $k (sort keys %new) {
        my $res = call($s, PATCH => "/goals/$g->{id}", %p, json => { $k => $new{$k} });
        status_ok($res, 200, $k);
        $g->{$k} = $new{$k};
        is($res->json->{$_}, $g->{$_}, "$_ after $k") for sort keys %new;
    }
    for my $k (qw(description category)) {
        is(call($s, PATCH => "/goals/$g->{id}", %p, json => { $k => undef })->json->{$k}, undef, "null clears $k");
    }
    error_ok(call($s, PATCH => "/goals/$g->{id}", %p, json => { title => undef }), 400, 'a title cannot be cleared', field => 'title',
        constraint => 'type');

    my @ua = map { agent() } 1 .. 10;
    my $stale = 0;
    for my $i (1 .. 20) {
        call($s, PATCH => "/goals/$g->{id}", %p, json => { title => "T$i" });
        $stale += grep { $_->json->{title} ne "T$i" } calls($s, map { [GET => "/goals/$g->{id}", %p, ua => $_] } @ua);
        my ($row) = grep { $_->{id} eq $g->{id} } @{ call($s, GET => '/goals?limit=100', %p)->json->{goals} };
        $stale += ($row->{title} // '') ne "T$i";
    }
    is($stale, 0, 'a write is seen by the next read, whichever process answers');
};

subtest 'versions' => sub {
    my %p = (token => $pro->{token});
    my $g = goal($pro)->json;
    my $path = "/goals/$g->{id}";
    my $change = sub ($match, $title) { call($s, PATCH => $path, %p, json => { title => $title }, headers => { 'If-Match' => $match }) };
    my $one = $change->('"1"', 'one');
    status_ok($one, 200, 'the right version');
    cmp_ok($one->json->{version}, '==', 2, 'is now 2');
    error_ok($change->('"1"', 'two'), 412, 'an old one');
    is(call($s, GET => $path, %p)->json->{title}, 'one', 'changed nothing');
    error_ok($change->($_, 'three'), [400, 412], "a malformed one: $_", code => '') for '2', '"x"', '"99999999999999999999"', 'W/"2"';
    status_ok($change->('*', 'four'), 200, 'any');
    error_ok(call($s, DELETE => $path, %p, headers => { 'If-Match' => '"1"' }), 412, 'delete, too');
    my @res = calls($s, map { [PATCH => $path, %p, json => { title => "r$_" }, headers => { 'If-Match' => '"3"' }] } 1 .. 8);
    is(scalar(grep { $_->code == 200 } @res), 1, 'of eight at once one wins');
    is(scalar(grep { $_->code == 412 } @res), 7, 'the others are told');
    status_ok(call($s, DELETE => $path, %p, headers => { 'If-Match' => '"4"' }), 204, 'delete with the right one');
};

subtest 'deleting' => sub {
    my %p = (token => $pro->{token});
    my $g = goal($pro)->json;
    call($s, POST => "/goals/$g->{id}/checkins", %p, json => { status => 'done' });
    my $res = call($s, DELETE => "/goals/$g->{id}", %p);
    status_ok($res, 204, 'gone');
    is($res->body, '', 'no body');
    error_ok(call($s, GET => "/goals/$g->{id}$_", %p), 404, "GET $_") for '', '/stats', '/checkins';
    error_ok(call($s, DELETE => "/goals/$g->{id}", %p), 404, 'twice');
    error_ok(call($s, PATCH => "/goals/$g->{id}", %p, json => { title => 'x' }), 404, 'changing it');
    error_ok(call($s, POST => "/goals/$g->{id}/checkins", %p, json => { status => 'done' }), 404, 'checking in');
    is(scalar(grep { $_->{goal_id} eq $g->{id} } @{ call($s, GET => '/checkins?limit=100', %p)->json->{checkins} }), 0, 'its check-ins too');
};

subtest 'lists' => sub {
    my $u = new_user($s);
    make_pro($s, $u);
    my %p = (token => $u->{token});
    is_deeply(call($s, GET => '/goals', %p)->json, { goals => [], pagination => { page => 1, limit => 20, total => 0 } }, 'none');
    my @id = map { goal($u, title => "g$_")->json->{id} } 1 .. 5;
    call($s, PATCH => "/goals/$id[0]", %p, json => { is_active => \0 });
    my $ids = sub ($q) { [sort map { $_->{id} } @{ call($s, GET => "/goals$q", %p)->json->{goals} }] };
    is_deeply($ids->(''), [sort @id], 'all');
    is_deeply($ids->('?is_active=true'), [sort @id[1 .. 4]], 'active');
    is_deeply($ids->('?is_active=false'), [$id[0]], 'past');
    my @pages = map { call($s, GET => "/goals?page=$_&limit=2", %p)->json } 1 .. 4;
    is_deeply([map { scalar @{ $_->{goals} } } @pages], [2, 2, 1, 0], 'pages');
    is_deeply([sort map { $_->{id} } map { @{ $_->{goals} } } @pages], [sort @id], 'hold each once');
    is_deeply($pages[1]{pagination}, { page => 2, limit => 2, total => 5 }, 'pagination');
};

subtest 'statistics' => sub {
    my $u = new_user($s);
    my %p = (token => $u->{token});
    my $g = goal($u, frequency => 7)->json;
    my $stats = sub { my $r = call($s, GET => "/goals/$g->{id}/stats", %p); status_ok($r, 200, 'stats'); $r->json };
    my $j = $stats->();
    cmp_ok($j->{current_streak}, '==', 0, 'no streak yet');
    cmp_ok($j->{longest_streak}, '==', 0, 'nor ever');
    my $day = sub ($ago) { $s->sql("SELECT (now() AT TIME ZONE 'UTC')::date - $ago") };
    for my $ago (0, 1, 2, 5, 6, 7, 8) {
        status_ok(call($s, POST => "/goals/$g->{id}/checkins", %p, json => { date => $day->($ago), status => 'done' }), 201, "done $ago days ago");
    }
    call($s, POST => "/goals/$g->{id}/checkins", %p, json => { date => $day->(4), status => 'missed' });
    $j = $stats->();
    diag(explain($j)) if !is($j->{current_streak}, 3, 'current streak');
    is($j->{longest_streak}, 4, 'longest streak');
    is($j->{streak_unit}, 'days', 'in days');
    is($j->{done}, 7, 'done');
    is($j->{missed}, 1, 'missed');
    is($j->{total_checkins}, 8, 'all');

    # three days a week: what counts is a week that reached its three days
    status_ok(call($s, PATCH => "/goals/$g->{id}", %p, json => { frequency => 3 }), 200, 'less often');
    $s->sql("DELETE FROM checkins WHERE user_id = '$u->{id}'");
    $s->sql("INSERT INTO checkins (user_id, goal_id, date, status) SELECT '$u->{id}', '$g->{id}', date_trunc('week', now() AT TIME ZONE 'UTC')::date - 7 * w + d, 'done'"
        . ' FROM unnest(ARRAY[1, 2, 4, 5, 6]) w, generate_series(0, 2) d');
    # past the cache of what was read before the rows came by a side door
    call($s, PATCH => "/goals/$g->{id}", %p, json => { title => 'Weekly' });
    $j = $stats->();
    is($j->{streak_unit}, 'weeks', 'in weeks');
    is($j->{current_streak}, 2, 'current streak');
    is($j->{longest_streak}, 3, 'longest streak');
};

$s->assert_clean;
done_testing;
