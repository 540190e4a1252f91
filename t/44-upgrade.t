# nginx is replaced by another binary and module while it serves: USR2 to the old master, QUIT when the new one answers.
use Mojo::Base -strict, -signatures;
use FindBin;
use lib "$FindBin::Bin/lib";
use FitNudge::Test::Contract;
use FitNudge::Test::Stack;
use FitNudge::Util qw(run slurp spew);
use Mojo::File qw(path);
use Mojo::JSON qw(encode_json decode_json);
use POSIX ();
use Test::More;
use Time::HiRes qw(sleep time);

my $s = FitNudge::Test::Stack->new(nginx_workers => 2)->start;
my $dir = $s->dir;
my @user = map { new_user($s) } 1 .. 2;
$_->{goal} = call($s, POST => '/goals', token => $_->{token}, json => { title => 'Run', frequency => 3 })->json->{id} for @user;

# A master whose parent lives, as with "daemon off", takes USR2 for the signal of a new binary that was not replaced yet, and
# ignores it: what is tested here has to be a daemon, as it is under systemd.  Environment is passed on by name only.
my %env = %{ $s->_sanitizer_env };
$env{LD_PRELOAD} = `gcc -print-file-name=libasan.so` =~ s/\n//r if $s->{asan};
$s->stop_process('nginx', 'QUIT', 15);
spew("$dir/daemon.conf", slurp("$dir/nginx.conf") =~ s/daemon off;/daemon on;/r . join('', map { "env $_;\n" } sort keys %env), 0644);

my $owner = $$;
sub masters () { grep { defined && kill 0, $_ } map { (eval { slurp("$dir/$_") } // '') =~ /^(\d+)/ ? $1 : undef } 'nginx.pid', 'nginx.pid.oldbin' }
END {
    if ($$ == $owner) {
        my $status = $?;
        kill TERM => masters();
        poll(10, sub { !masters() }) or kill KILL => masters();
        $? = $status;
    }
}

{
    local @ENV{keys %env} = values %env;
    run('/usr/sbin/nginx', '-e', "$dir/log/error.log", '-p', "$dir/", '-c', "$dir/daemon.conf");
}
ok(poll(20, sub { (call($s, GET => '/health/ready', ua => agent())->code // 0) == 200 }), 'a daemon serves') or BAIL_OUT('no nginx');

sub master () { (eval { slurp("$dir/nginx.pid") } // '') =~ /^(\d+)/ ? $1 : 0 }
# the new master is a child of the old one, too
sub workers ($pid) { my @all = grep { $_ != master() } split ' ', eval { slurp("/proc/$pid/task/$pid/children") } // ''; @all }

# Forks a client for each user that reads and writes, each request on a connection of its own and some on one that is kept,
# until `code` has returned and each has sent thirty.
sub under_load ($code) {
    my @child;
    for my $i (0 .. $#user) {
        my $file = path($dir, "load.$i");
        my $enough = path($dir, "load.$i.enough");
        $enough->remove;
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
                    $enough->touch if $n == 30;
                    sleep 0.005;
                }
            };
            $seen{"died: $@"}++ if $@;
            $file->spurt(encode_json(\%seen));
            POSIX::_exit(0);
        }
        push @child, [$pid, $file, $enough];
    }
    sleep 0.3;
    eval { $code->(); 1 } or fail("load: $@");
    ok(poll(60, sub { !grep { !-e $_->[2] } @child }), 'there was a load');
    my %all;
    kill TERM => $_->[0] for @child;
    for my $c (@child) {
        waitpid $c->[0], 0;
        my $seen = decode_json($c->[1]->slurp);
        $all{$_} += $seen->{$_} for keys %$seen;
    }
    my @bad = grep { !/\A20[0124]\z/ } sort keys %all;
    ok(!@bad, 'no request failed') or diag(join "\n", map { "$all{$_} x $_" } sort keys %all);
}

# USR2: the new master, once its processes are there
sub upgrade ($old) {
    kill USR2 => $old;
    return poll(20, sub { my $new = master(); $new && $new != $old && workers($new) >= 2 ? $new : 0 });
}

sub gone ($pid) { poll(20, sub { !-e "/proc/$pid" || slurp("/proc/$pid/stat") =~ /\) Z / }) }

subtest 'to a new binary' => sub {
    my $old = master();
    # as `install` does it: another file under the same name
    run('cp', '-f', '--remove-destination', "$s->{build}/ngx_fitnudge_module.so", "$dir/bin/ngx_fitnudge_module.so");
    my ($new, $kept);
    under_load(sub {
        $new = upgrade($old);
        ok($new, 'a new master has its processes');
        sleep 0.3;
        ok(-e "$dir/nginx.pid.oldbin", 'both serve');
        kill QUIT => $old;
        ok(gone($old), 'the old one leaves');
    });
    is(master(), $new, 'the new one stays');
    like(slurp("/proc/$new/maps"), qr{/ngx_fitnudge_module\.so$}m, 'with the new module');
    is(call($s, GET => '/health/ready', ua => agent())->code, 200, 'ready');
    my ($w) = workers($new);
    is(scalar(workers($new)), 2, 'all of its processes');
};

subtest 'and back' => sub {
    my $old = master();
    under_load(sub {
        my $new = upgrade($old);
        ok($new, 'another upgrade');
        kill WINCH => $old;
        ok(poll(20, sub { !workers($old) }), 'the old processes end, their master waits');
        sleep 0.3;
        kill HUP => $old;
        ok(poll(20, sub { workers($old) >= 2 }), 'it has processes again');
        sleep 0.3;
        kill QUIT => $new;
        ok(gone($new), 'the new one leaves');
    });
    ok(poll(10, sub { master() == $old }), 'the old one has its pid file back');
};

subtest 'to one that is broken' => sub {
    my $old = master();
    my $so = "$dir/bin/ngx_fitnudge_module.so";
    rename $so, "$so.good" or die $!;
    spew($so, "this is no module\n", 0644);
    under_load(sub {
        kill USR2 => $old;
        ok(poll(20, sub { $s->error_log =~ /dlopen\(\) "[^"]*" failed.*(?:invalid ELF header|file too short)/ }), 'it does not start');
        ok(poll(20, sub { master() == $old && !-e "$dir/nginx.pid.oldbin" }), 'the old one has its pid file back');
    });
    rename "$so.good", $so or die $!;
    is(scalar(workers($old)), 2, 'and its processes');
};

subtest 'what it remembers' => sub {
    my $ctl = sub (@args) { system("$dir/bin/fitnudgectl -c $dir/daemon.conf maintenance @args >/dev/null") == 0 };
    my $code = sub { call($s, GET => '/users/me', token => $user[0]{token}, ua => agent(max_connections => 0))->code // 0 };
    my $u = new_user($s);
    is(call($s, POST => '/auth/logout', token => $u->{token}, json => {}, ua => agent())->code, 204, 'a session ends');
    ok($ctl->('on'), 'maintenance mode is switched on');
    ok(poll(5, sub { $code->() == 503 }), 'and is on');
    my $old = master();
    my $new = upgrade($old);
    kill QUIT => $old;
    ok(gone($old), 'upgraded');
    ok(poll(5, sub { !grep { $code->() != 503 } 1 .. 10 }), 'maintenance mode is read from Redis');
    $ctl->('off');
    ok(poll(5, sub { !grep { $code->() != 200 } 1 .. 10 }), 'and off');
    ok(poll(5, sub { call($s, GET => '/users/me', token => $u->{token}, ua => agent(max_connections => 0))->code == 401 }), 'the session is still over');
};

kill QUIT => master();
ok(poll(20, sub { !masters() }), 'it ends');
$s->assert_clean(qr/dlopen\(\)/);
done_testing;
