# build.sh run and stop, as a newcomer uses them, in a run directory of its own.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use FitNudge::Stack;
use HTTP::Tiny;
use JSON::PP qw(decode_json encode_json);
use Test::More;
use Time::HiRes qw(sleep time);

my $build_sh = "$FindBin::Bin/../build.sh";
my $port = FitNudge::Stack::free_port();
my $dir = FitNudge::Stack::temp_dir();
my $other = FitNudge::Stack::temp_dir();
my $outside;
my $http = HTTP::Tiny->new(timeout => 10);

delete @ENV{qw(DATABASE_URL REDIS_URL OPENAI_API_KEY OPENAI_BASE_URL JWT_SECRET_KEY CSRF_SECRET_KEY FITNUDGE_ADDRESS)};
%ENV = (%ENV, FITNUDGE_PORT => $port, FITNUDGE_RUN => $dir);
$SIG{$_} = sub { exit 1 } for qw(INT TERM HUP);
my $owner = $$;
END {
    if ($$ == $owner) {
        my $status = $?;
        for my $run ($dir, $other) {
            local $ENV{FITNUDGE_RUN} = $run;
            qx{"$build_sh" stop 2>&1};
            system 'rm', '-rf', $run;
        }
        $outside->stop->remove if $outside;
        $? = $status;
    }
}

# from elsewhere, as the paths must not depend on where one is
sub sh { my @args = @_; my $out = qx{cd / && "$build_sh" @args 2>&1}; return ($? >> 8, $out) }
sub ready { $http->get("http://127.0.0.1:$port/health/ready")->{status} }
sub post { my ($path, $body) = @_; $http->post("http://127.0.0.1:$port/api/v1$path", { content => encode_json($body), headers => { 'Content-Type' => 'application/json' } }) }

# pids of everything the supervisor started, and itself
sub started {
    my $run = shift // $dir;
    my @pids = map { (split ' ')[1] } split /\n/, eval { FitNudge::Stack::slurp("$run/status") } // '';
    my ($supervisor) = (eval { FitNudge::Stack::slurp("$run/supervisor.pid") } // '') =~ /^(\d+)/;
    return grep { defined } $supervisor, @pids;
}

# alive, or one of their children is
sub alive { grep { my $s = eval { FitNudge::Stack::slurp("/proc/$_/stat") }; defined $s && $s !~ /\) Z / } @_ }
sub with_children { map { ($_, split ' ', eval { FitNudge::Stack::slurp("/proc/$_/task/$_/children") } // '') } @_ }

sub nothing_left {
    my ($name, @pids) = @_;
    my $end = time + 5;
    sleep 0.1 while alive(@pids) && time < $end;
    is_deeply([alive(@pids)], [], "$name: no process is left");
    my @left = grep { -e } map { "$dir/$_" } qw(s tmp bin nginx.pid supervisor.pid status);
    is_deeply(\@left, [], "$name: no socket or temporary directory is left");
    ok(-e "$dir/pgdata/PG_VERSION", "$name: the data is");
}

my ($code, $out);
my $email = "run.$$\@example.com";

subtest 'run --detach' => sub {
    ($code, $out) = sh('run --detach');
    is($code, 0, 'comes up') or BAIL_OUT("build.sh run fails:\n$out");
    is(scalar(() = $out =~ /^  .*\bcurl -s/mg), 3, 'gives three lines to try') or diag($out);
    like($out, qr{http://127\.0\.0\.1:$port\b}, 'and the address');
    is(ready(), 200, 'ready');
    ok(alive(started()) >= 5, 'supervisor, PostgreSQL, Redis, pool and nginx');

    my ($login) = $out =~ /-d '([^']+)'/;
    my $res = $http->post("http://127.0.0.1:$port/api/v1/auth/login", { content => $login, headers => { 'Content-Type' => 'application/json' } });
    is($res->{status}, 200, 'the demo user can sign in') or diag($res->{content});
    my $token = $res->{status} == 200 ? decode_json($res->{content})->{access_token} : '';
    $res = $http->get("http://127.0.0.1:$port/api/v1/goals", { headers => { Authorization => "Bearer $token" } });
    is($res->{status}, 200, 'and list goals');

    is(post('/auth/signup', { email => $email, password => 'correct horse', name => 'Run' })->{status}, 201, 'sign-up');
    is(sprintf('%o', (stat "$dir/secrets/jwt_secret")[2] & 07777), 600, 'secrets are for the owner');

    ($code, $out) = sh('run --detach');
    is($code, 0, 'a second run is content');
    like($out, qr/already running/, 'and says why');

    local $ENV{FITNUDGE_RUN} = $other;
    ($code, $out) = sh('run --detach');
    is($code, 1, 'another one on this port fails');
    like($out, qr/taken by .*FITNUDGE_PORT/s, 'and says what to do');
};

subtest 'stop' => sub {
    my @pids = with_children(started());
    ($code, $out) = sh('stop');
    is($code, 0, 'stops') or diag($out);
    nothing_left('stop', @pids);
    ($code, $out) = sh('stop');
    is($code, 0, 'again');
    like($out, qr/not running/, 'says so');
};

for my $part (qw(redis postgres pool nginx)) {
    subtest "$part dies" => sub {
        ($code, $out) = sh('run --detach');
        is($code, 0, 'comes up again') or diag($out);
        is(post('/auth/login', { email => $email, password => 'correct horse' })->{status}, 200, 'with its data');

        my @pids = with_children(started());
        my ($pid) = FitNudge::Stack::slurp("$dir/status") =~ /^$part (\d+)/m;
        kill 'KILL', $pid;
        my $end = time + 60;
        sleep 0.1 while alive(@pids) && time < $end;
        nothing_left($part, @pids);
        like(FitNudge::Stack::slurp("$dir/log/supervisor.log"), qr/^.*\b$part has ended \(signal 9\)/m, 'it is reported');
    };
}

subtest 'the supervisor is killed' => sub {
    ($code, $out) = sh('run --detach');
    is($code, 0, 'comes up after a crash') or diag($out);
    my @pids = with_children(started());
    kill 'KILL', $pids[0];
    sh('stop');
    nothing_left('killed', @pids);
};

subtest 'foreground' => sub {
    my $pid = open my $from, '-|';
    defined $pid or die "fork: $!\n";
    if (!$pid) {
        open STDERR, '>&', \*STDOUT;
        exec $build_sh, 'run' or die;
    }
    while (<$from>) { last if /^Stop: / }
    is(ready(), 200, 'ready');
    my @pids = with_children(started());
    kill 'INT', $pid;
    close $from;
    is($? >> 8, 0, 'Ctrl-C ends it well');
    nothing_left('foreground', @pids);
};

# what is only said when something is wrong with nginx or the module
is_deeply([grep { /\[(?:alert|emerg)\]/ } split /\n/, FitNudge::Stack::slurp("$dir/log/error.log")], [], 'nginx has nothing to complain of');

subtest 'services of others' => sub {
    $outside = FitNudge::Stack->new(dir => FitNudge::Stack::temp_dir(), durable => 0, database_only => 1);
    $outside->start_postgres->start_redis;
    $outside->psql('-d', 'postgres', '-c', 'CREATE DATABASE elsewhere');
    local %ENV = (%ENV, FITNUDGE_RUN => $other, DATABASE_URL => "postgres://postgres\@/elsewhere?host=$outside->{sock}", REDIS_URL => 'unix:' . $outside->redis_socket);
    ($code, $out) = sh('run --detach');
    is($code, 0, 'comes up') or diag($out);
    ok(!-e "$other/pgdata", 'without a database of its own');
    is(post('/auth/signup', { email => $email, password => 'correct horse', name => 'Run' })->{status}, 201, 'sign-up');
    is(post('/auth/login', { email => 'demo@fitnudge.example', password => 'fitnudge-demo' })->{status}, 401, 'no demo account there');
    sh('stop');
    ok($outside->alive('postgres') && $outside->alive('redis'), 'they are left alone');

    $outside->stop;
    ($code, $out) = sh('run --detach');
    is($code, 1, 'fails without them') or diag($out);
    like($out, qr/sqitch|connect/i, 'and says what failed');
    is_deeply([grep { -e } map { "$other/$_" } qw(supervisor.pid status tmp)], [], 'leaving nothing');
};

done_testing;
