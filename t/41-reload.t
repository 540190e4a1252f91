# Reloads under load, and clients that go away at the worst moment.
use Mojo::Base -strict, -signatures;
use FindBin;
use lib "$FindBin::Bin/lib";
use FitNudge::Test::Contract;
use FitNudge::Test::Stack;
use Mojo::File qw(path);
use Mojo::JSON qw(encode_json decode_json);
use POSIX ();
use Socket qw(SOL_SOCKET SO_LINGER);
use Test::More;
use Time::HiRes qw(sleep time);

my $s = FitNudge::Test::Stack->new(nginx_workers => 2, openai => 1)->start;
my @user = map { new_user($s) } 1 .. 4;
make_pro($s, @user);
$_->{goal} = call($s, POST => '/goals', token => $_->{token}, json => { title => 'Run', frequency => 3 })->json->{id} for @user;

# Forks a client for each user that reads and writes, each request on a connection of its own, until `code` returns.
# What they saw: { status => how often }
sub under_load ($code) {
    my @child;
    for my $i (0 .. $#user) {
        my $file = path($s->dir, "load.$i");
        my $pid = fork // die $!;
        if (!$pid) {
            my ($stop, %seen) = (0);
            $SIG{TERM} = sub { $stop = 1 };
            eval {
                my $u = $user[$i];
                for (my $n = 0; !$stop; $n++) {
                    my %o = (token => $u->{token}, ua => agent(max_connections => 0));
                    my $res = $n % 2 ? call($s, GET => "/goals/$u->{goal}", %o) : call($s, PATCH => "/goals/$u->{goal}", %o, json => { title => "T$n" });
                    my $what = $res->code // 'broken: ' . ($res->error ? $res->error->{message} : '?');
                    $seen{$what}++;
                    $seen{"body of $what: " . substr $res->body, 0, 200}++ if $what !~ /\A20/;
                }
            };
            $seen{"died: $@"}++ if $@;
            $file->spurt(encode_json(\%seen));
            POSIX::_exit(0);
        }
        push @child, [$pid, $file];
    }
    sleep 0.3;
    eval { $code->(); 1 } or fail("load: $@");
    sleep 0.5;
    my %all;
    kill TERM => $_->[0] for @child;
    for my $c (@child) {
        waitpid $c->[0], 0;
        my $seen = decode_json($c->[1]->slurp);
        $all{$_} += $seen->{$_} for keys %$seen;
    }
    return \%all;
}

sub all_fine ($seen, $name) {
    my @bad = grep { !/\A20[0124]\z/ } sort keys %$seen;
    my $n = 0;
    $n += $_ for values %$seen;
    ok(!@bad && $n > 50, "$name: $n requests, none failed") or diag(join "\n", map { "$seen->{$_} x $_" } sort keys %$seen);
}

# A new generation of nginx's processes answers.
sub reload () {
    my %old = map { $_ => 1 } @{ $s->pids->{nginx_workers} };
    $s->reload_nginx;
    return poll(20, sub { scalar(grep { !$old{$_} } @{ $s->pids->{nginx_workers} }) >= 2 });
}

sub alive ($name) {
    my @res = calls($s, map { ([GET => '/users/me', token => $_->{token}, ua => agent()], [PATCH => '/users/me', token => $_->{token}, json => { bio => $name }, ua => agent()]) } @user);
    is(scalar(grep { ($_->code // 0) == 200 } @res), scalar @res, "$name: reads and writes work") or diag(join ' ', map { $_->code // 'none' } @res);
}

# RSS in KB: of the master, and of the largest of its processes.
sub rss () {
    my @kb = map { (eval { path("/proc/$_/status")->slurp } // '') =~ /^VmRSS:\s+(\d+)/m } $s->pids->{nginx}, @{ $s->pids->{nginx_workers} };
    my $master = shift @kb;
    return ($master, (sort { $a <=> $b } @kb)[-1]);
}

subtest 'ten reloads' => sub {
    my @rss;
    all_fine(under_load(sub { for (1 .. 10) { ok(reload(), "reload $_") || last; push @rss, [rss()] } }), 'reload');
    alive('after ten reloads');
    note('RSS of master and of a process, KB: ' . join ' ', map { "$_->[0]/$_->[1]" } @rss);
    SKIP: {
        skip 'a sanitizer keeps what is freed', 2 if $s->{asan};
        # the first ones settle the heap; a configuration that stays behind costs some 100 KB each time
        cmp_ok($rss[-1][0] - $rss[3][0], '<', 400, 'the master does not grow from reload to reload');
        cmp_ok($rss[-1][1] - $rss[3][1], '<', 2048, 'nor do the processes it starts');
    }
};

subtest 'three at once' => sub {
    all_fine(under_load(sub { $s->reload_nginx for 1 .. 3; sleep 1 }), 'three reloads');
    alive('after three at once');
    ok(poll(20, sub { @{ $s->pids->{nginx_workers} } == 2 }), 'old processes leave');
};

subtest 'the pool reloads' => sub {
    all_fine(under_load(sub { for (1 .. 4) { $s->reload_pool; sleep 0.6 } }), 'reload of the pool');
    alive('after reloads of the pool');
    all_fine(under_load(sub { for (1 .. 3) { $s->reload_pool; $s->reload_nginx; sleep 0.8 } }), 'reload of both');
};

subtest 'workers are killed' => sub {
    kill KILL => $s->pids->{nginx_workers}[0];
    ok(poll(10, sub { @{ $s->pids->{nginx_workers} } == 2 }), 'another comes');
    alive('after a kill');
    my $log = path($s->dir, 'log', 'error.log');
    my $text = $log->slurp =~ s/^.*exited on signal 9.*\n//mgr;     # this one was ours
    $log->spurt($text);
    $s->{procs}{nginx} and kill USR1 => $s->pid('nginx');
};

sub request ($u, $method, $path, $json = undef) {
    my $body = defined $json ? encode_json($json) : '';
    return "$method /api/v1$path HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer $u->{token}\r\n"
        . (length $body ? "Content-Type: application/json\r\nContent-Length: " . length($body) . "\r\n" : '') . "\r\n$body";
}

# Closes with a reset, not with a polite FIN, half of the time.
sub slam ($sock) {
    setsockopt $sock, SOL_SOCKET, SO_LINGER, pack('ii', 1, 0) if rand() < 0.5;
    close $sock;
}

sub phases () {
    my $u = $user[ rand @user ];
    my $patch = request($u, PATCH => "/goals/$u->{goal}", { title => 'aborted' });
    my $get = request($u, GET => '/users/me');
    return (
        ['partial header', substr $get, 0, 30], ['whole header but the end', $get =~ s/\r\n\z//r], ['partial body', substr $patch, 0, -5],
        ['right after a write', $patch], ['right after a read', $get], ['many reads', $get x 30], ['many writes', $patch x 8],
        ['a write and half of another', $patch . substr $patch, 0, -3], ['during generation', request($u, POST => '/motivation/generate', { goal_id => $u->{goal} })],
        ['nothing', ''], ['a login', request($u, POST => '/auth/login', { email => $u->{email}, password => $u->{password} })],
    );
}

subtest 'clients go away' => sub {
    $s->openai_mode('slow');
    my @open;
    for my $round (1 .. 12) {
        for my $phase (phases()) {
            my $sock = raw_start($s, $phase->[1]);
            sleep 0.002 * int rand 6;
            slam($sock);
        }
    }
    $s->openai_mode('ok');
    alive('after aborts');
    unlike($s->error_log, qr/exited on signal/, 'no process died');
};

subtest 'a short shutdown with everything open' => sub {
    my $conf = path($s->dir, 'nginx.conf');
    $conf->spurt($conf->slurp =~ s/worker_shutdown_timeout \w+;/worker_shutdown_timeout 10ms;/r);
    ok(reload(), 'a reload takes the setting');
    $s->openai_mode('slow');
    for my $round (1 .. 3) {
        my @open = map { raw_start($s, $_->[1]) } map { phases() } 1 .. 3;
        my $idle = raw_start($s, request($user[0], GET => '/users/me'));
        raw_answers($idle, 1);
        ok(reload(), "reload $round");
        slam($_) for @open, $idle;
    }
    $s->openai_mode('ok');
    ok(poll(20, sub { @{ $s->pids->{nginx_workers} } == 2 }), 'old processes leave');
    alive('after short shutdowns');
    unlike($s->error_log, qr/exited on signal/, 'no process died');
};

$s->assert_clean;
done_testing;
