# PostgreSQL and Redis accept and do not answer, or answer late: nobody waits longer than he was promised, the event
# loop never stops, and all of it comes back by itself.
use Mojo::Base -strict, -signatures;
use FindBin;
use lib "$FindBin::Bin/lib";
use FitNudge::Test::Contract;
use FitNudge::Test::Stack;
use FitNudge::Util qw(slurp);
use IO::Socket::INET;
use POSIX ();
use Test::More;
use Time::HiRes qw(sleep time);

# One process, so that the one that is watched is the one that suffers
my $s = FitNudge::Test::Stack->new(nginx_workers => 1, postgres_options => ' timeout=1s connect_timeout=1s', log_level => 'notice');
$s->prepare;
$s->{edge_db} = { host => $s->{sock}, port => 5434 };
$s->{redis}{address} = "unix:$s->{sock}/redis-proxy";
sub proxy ($name, $from, $to) { $s->spawn("$name-proxy", { log => "$name-proxy.log", death => 'TERM', service => 1 }, 'perl', "$FindBin::Bin/fakes/proxy.pl", $from, $to) }
proxy(pg => "$s->{sock}/.s.PGSQL.5434", "$s->{sock}/.s.PGSQL.5432");
proxy(redis => "$s->{sock}/redis-proxy", $s->redis_socket);
ok(poll(10, sub { -S "$s->{sock}/.s.PGSQL.5434" && -S "$s->{sock}/redis-proxy" }), 'the proxies are up') or diag($s->log_tail('pg-proxy.log'));
$s->start;

my $u = new_user($s);
make_pro($s, $u);
my %p = (token => $u->{token});
my $goal = call($s, POST => '/goals', %p, json => { title => 'Run', frequency => 3 })->json->{id};
my ($worker) = @{ $s->pids->{nginx_workers} };

my ($page, $day) = (1, 0);
sub read_one { [GET => '/goals?page=' . ++$page, %p] }
sub write_one { $day++; [POST => "/goals/$goal/checkins", %p, json => { status => 'done', date => sprintf('20%02d-%02d-%02d', 10 + $day % 10, 1 + $day / 10 % 12, 1 + $day / 120) }] }

# The longest time that the event loop of the worker did something else: /health/live is asked again and again while the code runs.
# What the scheduler took from the worker or from us is not counted, nor what the host took from this machine.
sub delayed ($pid) { (split ' ', eval { slurp("/proc/$pid/schedstat") } // '0 0 0')[1] / 1e9 }
sub stolen () { my (undef, @t) = split ' ', (split /\n/, slurp('/proc/stat'))[0]; ($t[7] // 0) / POSIX::sysconf(POSIX::_SC_CLK_TCK()) }
sub lost () { delayed($worker) + delayed($$) + stolen() }
sub stall ($code) {
    pipe my $out, my $in or die "pipe: $!";
    pipe my $alive, my $end or die "pipe: $!";
    my $pid = fork // die "fork: $!";
    if (!$pid) {
        close $_ for $out, $end;
        my ($max, $n, $rin) = (0, 0, '');
        vec($rin, fileno $alive, 1) = 1;
        my $sock;
        until (select(my $r = $rin, undef, undef, 0.001)) {
            $sock //= IO::Socket::INET->new(PeerAddr => $s->{address}, PeerPort => $s->port) // die "connect: $@";
            my ($t, $d) = (time, lost());
            syswrite $sock, "GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n";
            my $got = sysread $sock, my $answer, 65536;
            if (!$got || $answer =~ /^Connection: close/m) { undef $sock; next if !$got }
            my $took = time - $t - (lost() - $d);
            $max = $took if $took > $max;
            $n++;
        }
        syswrite $in, "$max $n";
        POSIX::_exit(0);
    }
    close $_ for $in, $alive;
    $code->();
    close $end;
    my $line = <$out> // '0 0';
    waitpid $pid, 0;
    return split ' ', $line;
}

# On a machine with other work once is no proof: what happens three times is ours.
sub not_stalled ($name, $code) {
    my ($max, $n);
    for my $try (1 .. 3) {
        ($max, $n) = stall($code);
        recovers();
        last if $max < 0.005;
        note(sprintf '%s: %.2f ms, once more', $name, $max * 1000);
    }
    cmp_ok($n, '>', 20, "$name: the watchdog was there");
    cmp_ok($max, '<', 0.005, "$name: the event loop never stops for 5 ms") or diag("$n questions");
    note(sprintf '%s: %.2f ms at most, %d questions', $name, $max * 1000, $n);
}

# Each answer and how long it took.  The first group is sent at once, then one at a time until the time is over.
sub suffer ($seconds, $limit, %expected) {
    my (@bad, %seen, $slowest);
    my $end = time + $seconds;
    my $first = 1;
    while (time < $end) {
        my @list = map { my $kind = $_; map { [$kind, $kind eq 'read' ? read_one() : write_one()] } 1 .. ($first ? 20 : 2) } sort keys %expected;
        my $t = time;
        my @p;
        for my $one (@list) {
            my ($ua, $tx) = FitNudge::Test::Contract::_tx($s, @{ $one->[1] });
            push @p, $ua->start_p($tx)->then(sub ($tx) { push @$one, time - $t, $tx->res }, sub ($e) { push @$one, time - $t, $tx->res });
        }
        Mojo::Promise->all_settled(@p)->wait;
        for (@list) {
            my ($kind, undef, $took, $res) = @$_;
            my $code = $res->code // 'none';
            $seen{"$kind $code"}++;
            push @bad, "$kind: $code " . $res->body if !grep { $_ eq $code } @{ $expected{$kind} };
            $slowest = $took if !defined $slowest || $took > $slowest;
        }
        $first = 0;
        sleep 0.1;
    }
    is("@bad[0 .. ($#bad > 3 ? 3 : $#bad)]", '', 'every answer is one of those promised');
    # thrice what was promised, on a machine with other work
    cmp_ok($slowest, '<', 3 * $limit, 'and in time');
    note(join ', ', map { "$_: $seen{$_}" } sort keys %seen);
}

sub recovers {
    my @bad;
    ok(poll(5, sub {
        my @res = calls($s, (map { read_one() } 1 .. 4), (map { write_one() } 1 .. 2));
        @bad = grep { ($_->code // 0) !~ /\A20[01]\z/ } @res;
        !@bad
    }), 'all works again within 5 s') or diag(join "\n", map { ($_->code // 'none') . ' ' . $_->body } @bad);
    is(call($s, GET => '/health/ready')->code, 200, 'ready');
}

sub tree ($pid) { my @c = map { $_->{pid} } FitNudge::Test::Stack::_children($pid); return ($pid, @c) }

subtest 'the watchdog sees what there is to see' => sub {
    not_stalled('nothing is wrong', sub { calls($s, map { read_one() } 1 .. 50) });
    my ($max) = stall(sub { sleep 0.1; kill 'STOP', $worker; sleep 0.05; kill 'CONT', $worker; sleep 0.1 });
    cmp_ok($max, '>', 0.02, 'a process that was stopped for 50 ms');
};

# Reads wait for their timeout until the breaker opens.  Writes are taken as long as nobody knows.
subtest 'PostgreSQL swallows everything' => sub {
    not_stalled('swallowed', sub {
        kill 'USR1', $s->pid('pg-proxy');
        suffer(3, 1.8, read => [503, 200], write => [201, 503]);
        my $t = time;
        error_ok(call($s, @{ read_one() }), 503, 'reads are refused');
        cmp_ok(time - $t, '<', 1.5, 'at once');
        kill 'HUP', $s->pid('pg-proxy');
    });
};

subtest 'PostgreSQL is stopped' => sub {
    my @pids = tree($s->pid('postgres'));
    not_stalled('stopped', sub {
        kill 'STOP', @pids;
        suffer(2, 1.8, read => [503, 200]);
        is(call($s, GET => '/health')->json->{services}{database}, 'unhealthy', 'health says it');
        kill 'CONT', @pids;
    });
};

subtest 'PostgreSQL is slow' => sub {
    not_stalled('slow', sub {
        kill 'USR2', $s->pid('pg-proxy');
        suffer(2.5, 1.8, read => [503, 200], write => [201, 503]);
        kill 'HUP', $s->pid('pg-proxy');
    });
};

subtest 'Redis swallows everything' => sub {
    not_stalled('swallowed', sub {
        kill 'USR1', $s->pid('redis-proxy');
        suffer(3, 2.5, read => [200], write => [503, 201, 202]);
        my $t = time;
        error_ok(call($s, @{ write_one() }), 503, 'writes are refused');
        cmp_ok(time - $t, '<', 4.5, 'soon');
        kill 'HUP', $s->pid('redis-proxy');
    });
};

subtest 'Redis is stopped' => sub {
    not_stalled('stopped', sub {
        kill 'STOP', $s->pid('redis');
        suffer(2, 2.5, read => [200], write => [503, 201, 202]);
        is(call($s, GET => '/health')->json->{services}{redis}, 'unhealthy', 'health says it');
        kill 'CONT', $s->pid('redis');
    });
};

subtest 'Redis is slow' => sub {
    not_stalled('slow', sub {
        kill 'USR2', $s->pid('redis-proxy');
        suffer(2.5, 2.5, read => [200], write => [503, 201, 202]);
        kill 'HUP', $s->pid('redis-proxy');
    });
};

is(call($s, GET => '/health/live')->code, 200, 'alive');
ok((grep { $_ == $worker } @{ $s->pids->{nginx_workers} }), 'the process is the one from the beginning');
$s->assert_clean;
done_testing;
