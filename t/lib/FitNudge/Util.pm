# Files, commands and what the kernel says of processes: small things that the stack is made with.
package FitNudge::Util;

use strict;
use warnings;

use Exporter qw(import);
use Fcntl ();
use File::Temp ();
use IO::Socket::INET;
use POSIX ();

our @EXPORT_OK = qw(start_time free_port temp_dir slurp spew run run_quiet);


# Jiffies after boot when the process was started: with the pid, its identity.  Nothing when it is gone.
sub start_time {
    my $pid = shift;

    open my $f, '<', "/proc/$pid/stat" or return;
    my $line = <$f> // return;
    return (split ' ', $line =~ s/^.*\) //sr)[19];
}

sub free_port {
    my $address = shift // '127.0.0.1';

    my $socket = IO::Socket::INET->new(LocalAddr => $address, LocalPort => 0, Listen => 1, Proto => 'tcp')
        or die "no free port: $!\n";
    return $socket->sockport;
}

sub temp_dir {
    my $dir = File::Temp::tempdir('fn-XXXXXX', DIR => '/tmp');
    chmod 0755, $dir;
    return $dir;
}

sub slurp {
    my $path = shift;

    open my $f, '<', $path or die "cannot read $path: $!\n";
    local $/;
    return scalar(<$f>) // '';
}

# Through a new file, so that whoever reads it sees all or nothing.
sub spew {
    my ($path, $text, $mode) = @_;

    unlink "$path.new";
    sysopen my $f, "$path.new", Fcntl::O_WRONLY | Fcntl::O_CREAT | Fcntl::O_EXCL, $mode or die "cannot write $path: $!\n";
    print $f $text or die "cannot write $path: $!\n";
    close $f or die "cannot write $path: $!\n";
    chmod $mode, "$path.new";
    rename "$path.new", $path or die "cannot rename $path.new: $!\n";
}

sub run {
    my @cmd = @_;

    system({ $cmd[0] } @cmd) == 0 or die "@cmd failed\n";
}

# Output goes to a file; the end of it into the message when the command fails.
sub run_quiet {
    my ($log, @cmd) = @_;

    my $pid = fork // die "cannot fork: $!\n";
    if ($pid == 0) {
        open STDIN, '<', '/dev/null';
        open STDOUT, '>', $log or POSIX::_exit(126);
        open STDERR, '>&', \*STDOUT;
        { no warnings 'exec'; exec { $cmd[0] } @cmd; }
        print STDERR "cannot run $cmd[0]: $!\n";
        POSIX::_exit(127);
    }
    waitpid $pid, 0;
    return if $? == 0;

    my @lines = split /^/, slurp($log);
    splice @lines, 0, @lines - 30 if @lines > 30;
    die join '', "$cmd[0] failed:\n", @lines;
}

1;
