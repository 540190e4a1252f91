# Check-ins: one a date, in the user's own time zone.
use Mojo::Base -strict, -signatures;
use FindBin;
use lib "$FindBin::Bin/lib";
use FitNudge::Test::Contract;
use FitNudge::Test::Stack;
use Test::More;

my $s = FitNudge::Test::Stack->new->start;

sub with_goal (%o) {
    my $u = new_user($s, %o);
    $u->{goal} = call($s, POST => '/goals', token => $u->{token}, json => { title => 'Run', frequency => 3 })->json->{id};
    return $u;
}

sub check_in ($u, %o) { call($s, POST => "/goals/$u->{goal}/checkins", token => $u->{token}, json => { status => 'done', %o }) }
sub today ($zone, $plus = 0) { $s->sql("SELECT (now() AT TIME ZONE '$zone')::date + $plus") }

subtest 'today' => sub {
    for my $zone (qw(UTC Pacific/Kiritimati Pacific/Pago_Pago Asia/Kathmandu America/New_York)) {
        my $u = with_goal(timezone => $zone);
        my ($before, $res, $after) = (today($zone), check_in($u), today($zone));
        status_ok($res, 201, "in $zone");
        ok((grep { ($res->json->{date} // '') eq $_ } $before, $after), 'its date');
        error_ok(check_in($u, date => today($zone, 2)), 400, 'the future is refused', field => 'date');
        status_ok(check_in($u, date => today($zone, -1)), 201, 'yesterday is not');
    }
};

subtest 'one a date' => sub {
    my $u = with_goal();
    my $res = check_in($u, mood => 4, reflection => "  good\n\tday  ");
    status_ok($res, 201, 'first');
    my $c = $res->json;
    like($c->{id}, uuid_re(), 'id');
    is($c->{goal_id}, $u->{goal}, 'goal');
    is($c->{status}, 'done', 'status');
    cmp_ok($c->{mood}, '==', 4, 'mood');
    is($c->{reflection}, "good\n\tday", 'reflection is trimmed and keeps lines and tabs');
    cmp_ok($c->{version}, '==', 1, 'version');
    error_ok(check_in($u), 409, 'second');
    error_ok(check_in($u, date => $c->{date}, status => 'missed'), 409, 'with its date named');
    my $day = today('UTC', -3);
    my @res = calls($s, map { [POST => "/goals/$u->{goal}/checkins", token => $u->{token}, json => { status => 'done', date => $day }] } 1 .. 12);
    is(scalar(grep { $_->code == 201 } @res), 1, 'of twelve at once one is made');
    is(scalar(grep { $_->code == 409 } @res), 11, 'the others are told');
    is($s->sql("SELECT count(*) FROM checkins WHERE user_id = '$u->{id}'"), 2, 'rows');
};

subtest 'fields' => sub {
    my $u = with_goal();
    my $ago = 0;
    status_ok(check_in($u, date => today('UTC', --$ago), status => $_), 201, $_) for qw(done skipped missed);
    status_ok(check_in($u, date => today('UTC', --$ago), mood => $_), 201, 'mood ' . ($_ // 'null')) for 1, 5, undef;
    status_ok(check_in($u, date => today('UTC', --$ago), reflection => $_), 201, 'reflection of ' . length($_ // ''))
        for '', undef, "\x{1F600}" x 1000;
    error_ok(check_in($u, date => today('UTC', --$ago), reflection => 'x' x 1001), 400, 'too long', field => 'reflection', constraint => 'max_length');
    error_ok(check_in($u, date => $_), 400, "no date: $_", field => 'date', constraint => 'format')
        for '2026-02-30', '2026-13-01', '26-01-01', '2026-1-1', '2026-01-01T00:00:00Z', 'today', '', "2026-01-01\n";
    status_ok(check_in($u, date => '2024-02-29'), 201, 'a leap day');
};

subtest 'changing and deleting' => sub {
    my $u = with_goal();
    my $c = check_in($u, mood => 2)->json;
    my %p = (token => $u->{token});
    my $res = call($s, PATCH => "/checkins/$c->{id}", %p, json => { status => 'skipped', mood => undef, reflection => 'why' });
    status_ok($res, 200, 'changed');
    is($res->json->{status}, 'skipped', 'status');
    is($res->json->{mood}, undef, 'mood cleared');
    is($res->json->{reflection}, 'why', 'reflection');
    is($res->json->{date}, $c->{date}, 'date stays');
    error_ok(call($s, PATCH => "/checkins/$c->{id}", %p, json => { date => $c->{date} }), 400, 'the date cannot be changed', field => 'date',
        constraint => 'unknown_field');
    error_ok(call($s, PATCH => "/checkins/$c->{id}", %p, json => { status => 'done' }, headers => { 'If-Match' => '"1"' }), 412, 'old version');
    status_ok(call($s, DELETE => "/checkins/$c->{id}", %p), 204, 'deleted');
    error_ok(call($s, DELETE => "/checkins/$c->{id}", %p), 404, 'twice');
    error_ok(call($s, PATCH => "/checkins/$c->{id}", %p, json => { status => 'done' }), 404, 'changing it');
    status_ok(check_in($u), 201, 'the date is free again');
};

subtest 'reading' => sub {
    my $u = with_goal();
    my %p = (token => $u->{token});
    my @made = map { check_in($u, date => "2025-03-0$_")->json } 1 .. 5;
    my $dates = sub ($path) { [map { $_->{date} } @{ call($s, GET => $path, %p)->json->{checkins} }] };
    for my $path ("/goals/$u->{goal}/checkins", '/checkins') {
        is_deeply($dates->($path), [map { "2025-03-0$_" } 5, 4, 3, 2, 1], "$path: newest first");
        is_deeply($dates->("$path?from=2025-03-04"), ['2025-03-05', '2025-03-04'], 'from');
        is_deeply($dates->("$path?to=2025-03-02"), ['2025-03-02', '2025-03-01'], 'to');
        is_deeply($dates->("$path?from=2025-03-02&to=2025-03-03"), ['2025-03-03', '2025-03-02'], 'both');
        is_deeply($dates->("$path?from=2025-03-04&to=2025-03-02"), [], 'an empty span');
    }
    check_in($u);
    is(scalar @{ $dates->('/checkins') }, 6, 'a new one is seen at once');
};

$s->assert_clean;
done_testing;
