# Children of this process, by name: started in a process group of their own, stopped by pid, and told by
# the kernel when we die, so that nothing outlives us.
#
# The object is a hash with dir (logs are in <dir>/log), procs, env and owner (the pid that may stop them);
# on_change is called after each start and stop.
package FitNudge::Processes;

use strict;
use warnings;

use POSIX qw(:sys_wait_h);
use Time::HiRes qw(sleep time);

use FitNudge::Util qw(slurp start_time);

# Who services run as when we are root.
our $SERVICE_USER = 'www-data';

sub as_service { $< == 0 ? ("--reuid=$SERVICE_USER", "--regid=$SERVICE_USER", '--init-groups') : () }


# Starts a child: log (name in <dir>/log), death (signal it gets when we die), service (drop root), env.
sub spawn {
    my ($self, $name, $opt, @cmd) = @_;

    die "$name is already running\n" if $self->{procs}{$name} && $self->alive($name);

    my $log = "$self->{dir}/log/$opt->{log}";
    my %env = (%{$self->{env}}, %{$opt->{env} // {}});
    my @prefix = ('setpriv', "--pdeathsig=$opt->{death}",
                  $opt->{service} ? as_service() : (), '--');
    push @prefix, 'env', map { "$_=$env{$_}" } sort keys %env if %env;

    open my $out, '>>', $log or die "cannot open $log: $!\n";
    my $pid = fork // die "cannot fork: $!\n";

    if ($pid == 0) {
        setpgrp(0, 0);
        $SIG{$_} = 'DEFAULT' for qw(INT TERM HUP QUIT PIPE CHLD);
        open STDIN, '<', '/dev/null';
        open STDOUT, '>&', $out;
        open STDERR, '>&', $out;
        chdir $self->{dir};
        delete @ENV{grep { /^(?:PG|LC_|LANG$)/ } keys %ENV};
        # root's home: libpq would look for certificates there, and must not be refused
        delete $ENV{HOME} if $opt->{service} && $< == 0;
        $ENV{LC_ALL} = 'C.UTF-8';
        { no warnings 'exec'; exec { $prefix[0] } @prefix, @cmd; }
        print STDERR "cannot run $prefix[0]: $!\n";
        POSIX::_exit(127);
    }

    $self->{procs}{$name} = { pid => $pid, started => start_time($pid), log => $opt->{log}, name => $name };
    $self->{on_change} and $self->{on_change}->($self);

    return $pid;
}


sub pid { my ($self, $name) = @_; $self->{procs}{$name} ? $self->{procs}{$name}{pid} : undef }

sub alive { my ($self, $name) = @_; $self->{procs}{$name} && !$self->_reap($name) }

# How the child ended, or nothing while it runs.
sub _reap {
    my ($self, $name) = @_;

    my $p = $self->{procs}{$name} or return 'never started';
    return $p->{ended} if $p->{ended};

    my $got = waitpid $p->{pid}, WNOHANG;
    return if $got == 0;
    return $p->{ended} = $got < 0 ? 'gone' : ($? & 127) ? 'signal ' . ($? & 127) : 'exit code ' . ($? >> 8);
}

sub stop_process {
    my ($self, $name, $signal, $seconds) = @_;

    my $p = $self->{procs}{$name} or return $self;
    return $self if $self->{owner} != $$;

    if (!$self->_reap($name)) {
        kill $signal, $p->{pid};
        my $end = time + ($seconds // 10);
        sleep 0.02 while !$self->_reap($name) && time < $end;

        if (!$self->_reap($name)) {
            $self->{stuck}{$name} = 1;
            warn "$name does not stop after $signal: killing it\n";
            kill 'KILL', -$p->{pid};
            kill 'KILL', $p->{pid};
            sleep 0.02 while !$self->_reap($name);
        }
    }
    elsif ($p->{ended} =~ /^signal/) {
        # what it has left behind, such as the processes of an nginx whose master was killed
        kill 'KILL', -$p->{pid};
    }
    delete $self->{procs}{$name};
    $self->{on_change} and $self->{on_change}->($self);

    return $self;
}


# Watches until a child ends (its name and how) or $stop->() is true (nothing).
sub watch {
    my ($self, $stop) = @_;

    while (!$stop->()) {
        for my $name (sort keys %{$self->{procs}}) {
            my $how = $self->_reap($name);
            return ($name, $how) if $how;
        }
        sleep 0.2;
    }
    return;
}

sub _await {
    my ($self, $name, $seconds, $ok, $log) = @_;

    my $end = time + $seconds;
    while (time < $end) {
        return if $ok->();
        my $how = $self->_reap($name);
        die "$name has ended ($how)\n" . $self->log_tail($log) if $how;
        sleep 0.03;
    }
    die "$name is not up after $seconds s\n" . $self->log_tail($log);
}


sub log_text {
    my ($self, $name) = @_;

    my $path = "$self->{dir}/log/$name";
    return -e $path ? slurp($path) : '';
}

sub log_tail {
    my ($self, $name, $n) = @_;

    my @lines = split /^/, $self->log_text($name);
    splice @lines, 0, @lines - ($n // 15) if @lines > ($n // 15);
    return join '', "--- $self->{dir}/log/$name\n", @lines;
}

1;
