# The edge's connections to PostgreSQL: as many as are needed, no more than allowed, with bounded queues, and none that is believed
# only because it stands.
use Mojo::Base -strict, -signatures;
use FindBin;
use lib "$FindBin::Bin/lib";
use FitNudge::Test::Contract;
use FitNudge::Test::Stack;
use DBI;
use Test::More;
use Time::HiRes qw(sleep time);

my ($s, %p, $page);
sub stack ($options) {
    $s = FitNudge::Test::Stack->new(nginx_workers => 1, postgres_options => " $options")->start;
    %p = (token => new_user($s)->{token});
}
sub read_one { [GET => '/goals?page=' . ++$page, %p] }

# Who else wants the table waits until this is let go of
sub lock_goals {
    my $dbh = DBI->connect("dbi:Pg:dbname=$s->{database};host=$s->{sock};user=postgres", undef, undef, { RaiseError => 1, PrintError => 0, AutoCommit => 0, AutoInactiveDestroy => 1 });
    $dbh->do('LOCK TABLE goals IN ACCESS EXCLUSIVE MODE');
    return $dbh;
}
sub connections { $s->sql("SELECT count(*) FROM pg_stat_activity WHERE application_name = 'fitnudge-edge'") }
sub codes (@res) { my %n; $n{$_->code // 'none'}++ for @res; return \%n }

subtest 'as many as are needed' => sub {
    stack('connections=1 max=4 idle=1s queue=8 timeout=20s');
    is(connections(), 1, 'one at first');

    my $lock = lock_goals();
    my (@res, @all);
    my $ua = agent();
    my $more = sub ($n) {
        push @all, map { my (undef, $tx) = FitNudge::Test::Contract::_tx($s, @{ read_one() }); $ua->start_p($tx)->then(sub ($tx) { push @res, $tx->res }) } 1 .. $n;
        my $wait = Mojo::Promise->timer(0.1);
        $wait->wait;
    };
    # one connection is opened at a time, so what comes later finds more of them
    my $end = time + 10;
    $more->(15) while time < $end && !(connections() == 4 && @all - @res >= 32 && @res);
    is(connections(), 4, 'under load as many as are allowed');
    is(@all - @res, 32, 'as many wait as have room');
    error_ok($_, 503, 'the others are refused') for @res[0 .. 2];
    is_deeply([sort keys %{ codes(@res) }], [503], 'all of them');
    my $refused = @res;
    $lock->rollback;
    $lock->disconnect;
    Mojo::Promise->all_settled(@all)->wait;
    is(codes(@res)->{200}, @all - $refused, 'who waited is answered');
    ok(poll(10, sub { connections() == 1 }), 'and the connections are closed again when nobody needs them');
    is(codes(calls($s, map { read_one() } 1 .. 8))->{200}, 8, 'reads go on');

    $s->sql('ALTER FUNCTION api.goals_list RENAME TO goals_gone');
    error_ok(call($s, @{ read_one() }), 500, 'what fails in the database');
    is(scalar(() = $s->log_text('postgresql.log') =~ /ERROR:  function api\.goals_list/g), 1, 'is not tried again');
    $s->sql('ALTER FUNCTION api.goals_gone RENAME TO goals_list');
    $s->assert_clean;
    $s->stop;
};

subtest 'a server that connects and does not answer' => sub {
    stack('timeout=500ms');
    my $lock = lock_goals();
    my $slow = 0;
    my $end = time + 3;
    my $n = 0;
    while (time < $end) {
        my $t = time;
        error_ok(call($s, @{ read_one() }), 503, 'refused') if !$n++;
        my @res = calls($s, map { read_one() } 1 .. 2);
        $slow += grep { ($_->code // 0) == 503 } @res if time - $t > 0.4;
        $n += 2;
        sleep 0.02;
    }
    cmp_ok($n, '>', 30, 'most do not wait');
    cmp_ok($slow, '<', $n / 2, 'only some find out for the others');
    $lock->rollback;
    $lock->disconnect;
    ok(poll(5, sub { !grep { ($_->code // 0) != 200 } calls($s, map { read_one() } 1 .. 16) }), 'all is well within 5 s, for many at once');
    like($s->error_log, qr/postgres primary: answers again/, 'the log says so');
    $s->assert_clean;
    $s->stop;
};

done_testing;
