# Reminders over HTTP, sent once a local date; what a person has done; weekly summaries.
use Mojo::Base -strict, -signatures;
use FindBin;
use lib "$FindBin::Bin/lib";
use FitNudge::Test::Clock;
use FitNudge::Test::Contract;
use FitNudge::Test::Stack;
use Test::More;
use Time::HiRes qw(time);

my $s = FitNudge::Test::Stack->new(nginx_workers => 2)->start;
my $clock = FitNudge::Test::Clock->new($s);
my $u = new_user($s, timezone => 'Europe/Berlin');
my %p = (token => $u->{token});
my $goal = call($s, POST => '/goals', %p, json => { title => 'Run', frequency => 3 })->json->{id};
my $other = new_user($s);

sub reminder (%f) { call($s, POST => '/motivation/schedule', %p, json => { goal_id => $goal, time => '08:00', %f }) }
sub listed () { call($s, GET => '/reminders', %p)->json }

my $r;

subtest 'made' => sub {
    my $res = reminder();
    status_ok($res, 201, 'with a goal and a time') or return;
    $r = $res->json;
    like($r->{id}, uuid_re(), 'has an id');
    is_deeply($r->{days}, [0 .. 6], 'every day');
    is($r->{timezone}, 'Europe/Berlin', 'in the time zone of the profile');
    ok($r->{follows_profile} && $r->{is_active}, 'which it follows');
    is($s->sql("SELECT (?::timestamptz AT TIME ZONE 'Europe/Berlin')::time", $r->{next_at}), '08:00:00', 'at eight there');
    ok($s->sql("SELECT ?::timestamptz BETWEEN now() AND now() + interval '1 day'", $r->{next_at}), 'within a day');
    $res = reminder(time => '23:59', days => [6, 0], timezone => 'Pacific/Kiritimati');
    status_ok($res, 201, 'with days and a time zone');
    is_deeply([@{ $res->json }{qw(time days timezone)}], ['23:59', [0, 6], 'Pacific/Kiritimati'], 'as given');
    ok(!$res->json->{follows_profile}, 'that stays');
    is($s->sql("SELECT extract(dow FROM ?::timestamptz AT TIME ZONE 'Pacific/Kiritimati') IN (0, 6)", $res->json->{next_at}), 1, 'on one of its days');
    is_deeply([map { $_->{time} } @{ listed()->{reminders} }], ['08:00', '23:59'], 'both are listed');
    is(listed()->{pagination}{total}, 2, 'and counted');
    is_deeply([map { $_->{time} } @{ call($s, GET => '/reminders?page=2&limit=1', %p)->json->{reminders} }], ['23:59'], 'by page');
    is_deeply(call($s, GET => '/reminders', token => $other->{token})->json->{reminders}, [], 'nobody else sees them');
    error_ok(reminder(timezone => 'Mars/Olympus'), 400, 'an unknown time zone', field => 'timezone', constraint => 'format');
    error_ok(reminder(goal_id => '01900000-0000-7000-8000-000000000000'), 404, 'an unknown goal');
    error_ok(call($s, POST => '/motivation/schedule', token => $other->{token}, json => { goal_id => $goal, time => '08:00' }), 404, "somebody else's goal");
};

subtest 'changed' => sub {
    my $at = "/reminders/$r->{id}";
    my $res = call($s, PATCH => $at, %p, json => { time => '20:15', days => [3] }, headers => { 'If-Match' => '"1"' });
    status_ok($res, 200, 'time and days');
    is_deeply([@{ $res->json }{qw(time days version)}], ['20:15', [3], 2], 'as given');
    is(listed()->{reminders}[0]{time}, '20:15', 'at once');
    error_ok(call($s, PATCH => $at, %p, json => { time => '10:00' }, headers => { 'If-Match' => '"1"' }), 412, 'an old version');
    is(call($s, PATCH => $at, %p, json => { timezone => 'Asia/Tokyo' })->json->{timezone}, 'Asia/Tokyo', 'a time zone of its own');
    error_ok(call($s, PATCH => $at, %p, json => { timezone => 'Mars/Olympus' }), 400, 'that is none', field => 'timezone', constraint => 'format');
    status_ok(call($s, PATCH => '/users/me', %p, json => { timezone => 'America/St_Johns' }), 200, 'the profile moves');
    is(listed()->{reminders}[0]{timezone}, 'Asia/Tokyo', 'it stays');
    $res = call($s, PATCH => $at, %p, json => { timezone => undef });
    is_deeply([@{ $res->json }{qw(timezone)}, !!$res->json->{follows_profile}], ['America/St_Johns', !!1], 'null follows the profile');
    status_ok(call($s, PATCH => '/users/me', %p, json => { timezone => 'Europe/Berlin' }), 200, 'the profile moves back');
    is(listed()->{reminders}[0]{timezone}, 'Europe/Berlin', 'it follows, and the list knows');
    $res = call($s, PATCH => $at, %p, json => { is_active => \0 });
    is($res->json->{next_at}, undef, 'switched off');
    $res = call($s, PATCH => $at, %p, json => { is_active => \1, days => [0 .. 6] });
    ok($res->json->{next_at}, 'and on');
    my $last = listed()->{reminders}[1]{id};
    status_ok(call($s, DELETE => "/reminders/$last", %p, headers => { 'If-Match' => '"1"' }), 204, 'deleted');
    error_ok(call($s, DELETE => "/reminders/$last", %p), 404, 'is gone');
    is(scalar @{ listed()->{reminders} }, 1, 'one is left');
};

subtest 'fifty' => sub {
    my $v = new_user($s);
    my $g = call($s, POST => '/goals', token => $v->{token}, json => { title => 'x', frequency => 1 })->json->{id};
    my @res = calls($s, map { [POST => '/motivation/schedule', token => $v->{token}, json => { goal_id => $g, time => '08:00' }] } 1 .. 60);
    is(scalar(grep { $_->code == 201 } @res), 50, 'are enough');
    error_ok($_, 400, 'no more', constraint => 'max_items') for (grep { $_->code != 201 } @res)[0];
    status_ok(call($s, DELETE => "/goals/$g", token => $v->{token}), 204, 'a goal goes');
    is(call($s, GET => '/reminders', token => $v->{token})->json->{pagination}{total}, 0, 'with its reminders');
};

subtest 'sent' => sub {
    my $date = $clock->due($r->{id}, '1 minute');
    ok($clock->run('reminders'), 'the clock comes by') or diag($clock->error);
    is($clock->result('reminders')->{sent}, 1, 'one is sent');
    ok($clock->pushes($u->{id}, 1), 'it is one push');
    my $next = listed()->{reminders}[0]{next_at};
    ok($s->sql('SELECT ?::timestamptz > now()', $next), 'the list shows the next time');
    ok($clock->run('reminders'), 'again');
    is($clock->result('reminders')->{sent}, 0, 'nothing is due');

    # somebody turns it back, or a backup is played in
    $s->sql("UPDATE reminders SET next_at = now() - interval '1 minute', next_date = ?, last_date = NULL WHERE id = ? RETURNING 1", $date, $r->{id});
    ok($clock->run('reminders'), 'the same date a second time');
    ok($clock->quiet, 'all jobs are done');
    is($clock->pushed($u->{id}), 1, 'is the same push');

    # a date that is over is over, whatever becomes of the reminder
    my $now = $s->sql("SELECT to_char(now() AT TIME ZONE 'Europe/Berlin' + interval '5 minutes', 'HH24:MI')");
    my $today = $s->sql("UPDATE reminders SET last_date = (now() AT TIME ZONE 'Europe/Berlin' + interval '5 minutes')::date WHERE id = ? RETURNING last_date", $r->{id});
    my $res = call($s, PATCH => "/reminders/$r->{id}", %p, json => { time => $now });
    is($s->sql("SELECT (?::timestamptz AT TIME ZONE 'Europe/Berlin')::date - ?::date", $res->json->{next_at}, $today), 1, 'a later time comes tomorrow');
};

subtest 'late' => sub {
    $clock->due($r->{id}, '3 hours');
    ok($clock->run('reminders'), 'the clock comes by');
    is_deeply([@{ $clock->result('reminders') }{qw(sent late)}], [0, 1], 'three hours late is left out, and counted');
    is($clock->pushed($u->{id}), 1, 'no push');
};

# Many, with several runs at a time and executors that die.
subtest 'many' => sub {
    my @many = map { new_user($s) } 1 .. 4;
    make_pro($s, @many);
    my $n = 240;
    for my $m (@many) {
        my $g = call($s, POST => '/goals', token => $m->{token}, json => { title => 'x', frequency => 1 })->json->{id};
        $s->sql("INSERT INTO reminders (user_id, goal_id, local_time, tz, follows) SELECT ?, ?, '08:00', 'UTC', false FROM generate_series(1, ?) RETURNING 1", $m->{id}, $g, $n / @many);
    }
    my $ids = join ',', map { "'$_->{id}'" } @many;
    $s->sql("UPDATE reminders SET next_at = now(), next_date = (now() AT TIME ZONE 'UTC')::date WHERE user_id IN ($ids) RETURNING 1");
    ok($clock->begin('reminders'), 'a run') for 1 .. 3;
    for (1 .. 5) { eval { $s->kill_executor('sql') }; $clock->pause }
    # a run that was killed three times is poison: the next minute's does the rest, here the next three seconds'
    my $dealt = sub { $s->sql("SELECT count(*) FROM reminders WHERE user_id IN ($ids) AND next_at > now()") };
    my $next = time + 3;
    ok(poll(60, sub {
        $clock->hurry;
        return 1 if $dealt->() == $n;
        ($clock->begin('reminders'), $next = time + 3) if time > $next;
        return 0;
    }), 'all are dealt with') or diag($dealt->());
    ok(poll(30, sub { $clock->hurry; $s->sql("SELECT count(*) FROM inbox WHERE job = 'push.send' AND state = 'done' AND user_id IN ($ids)") == $n }), 'each is a push');
    ok($clock->quiet, 'all jobs are done');
    is($s->sql("SELECT count(*) FROM inbox WHERE job = 'push.send' AND user_id IN ($ids)"), $n, 'once');
};

subtest 'statistics' => sub {
    my $v = new_user($s, timezone => 'Asia/Tokyo');
    my %v = (token => $v->{token});
    my $g = call($s, POST => '/goals', %v, json => { title => 'Swim', frequency => 2 })->json->{id};
    my $today = $s->sql("SELECT (now() AT TIME ZONE 'Asia/Tokyo')::date");
    my $day = sub ($n) { $s->sql('SELECT ?::date - ?::int', $today, $n) };
    status_ok(call($s, POST => "/goals/$g/checkins", %v, json => { status => 'done', date => $day->($_) }), 201, 'a check-in') for 0, 1, 2;
    my $me = call($s, GET => '/stats/me', %v)->json;
    is_deeply($me->{streak}, { current => 3, longest => 3 }, 'a streak over goals');
    is_deeply([@{ $me->{totals} }{qw(goals checkins done)}], [1, 3, 3], 'totals');
    is($me->{engagement}{last_checkin}, $today, 'engagement');
    my $week = call($s, GET => '/stats/me/weekly', %v)->json;
    is($week->{week}, $s->sql(q{SELECT to_char(?::date, 'IYYY-"W"IW')}, $today), 'the running week');
    is(scalar @{ $week->{days} }, 7, 'has seven days');
    status_ok(call($s, POST => "/goals/$g/checkins", %v, json => { status => 'missed', date => $day->(3) }), 201, 'one more');
    is(call($s, GET => '/stats/me', %v)->json->{totals}{missed}, 1, 'is seen at once');
    status_ok(my $past = call($s, GET => '/stats/me/weekly?week=2020-W53', %v), 200, 'a week of the past');
    is($past->json->{week_start}, '2020-12-28', 'begins on its Monday');
    error_ok(call($s, GET => "/stats/me/weekly?week=$_", %v), 400, "week $_", field => 'week') for qw(2021-W53 2026-W00 2026-54 9999-W01 2026-w01 x);
};

subtest 'weekly summaries' => sub {
    # wherever it is Monday morning now, or else a zone is made up for
    my $now = $s->sql("SELECT date_trunc('week', now()) + interval '9 hours'");
    my $v = new_user($s, timezone => 'UTC', language => 'de');
    my $g = call($s, POST => '/goals', token => $v->{token}, json => { title => 'Swim', frequency => 2 })->json->{id};
    $s->sql("UPDATE users SET created_at = now() - interval '1 month', email_verified = true WHERE id = ? RETURNING 1", $v->{id});
    $s->sql("INSERT INTO checkins (user_id, goal_id, date, status) VALUES (?, ?, (?::timestamptz)::date - 3, 'done') RETURNING 1", $v->{id}, $g, $now);
    my $count = $s->sql("SELECT pool.cron_weekly(?, '{}') -> 'count'", $now);
    like($count, qr/"sent": 1/, 'one has something to be told');
    ok($clock->pushes($v->{id}, 1), 'one push');
    ok(poll(20, sub { $s->sql("SELECT count(*) FROM mails WHERE template = 'weekly_summary' AND ended_at IS NOT NULL AND user_id = ?", $v->{id}) == 1 }), 'and one mail');
    like($s->sql("SELECT pool.cron_weekly(?, '{}') -> 'count'", $now), qr/"users": 0/, 'once a week');
    ok($clock->run('weekly'), 'by the clock') or diag($clock->error);
};

$s->assert_clean;
done_testing;
