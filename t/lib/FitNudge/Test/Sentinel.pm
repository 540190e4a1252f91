# Two Redis servers and two Sentinels that watch them, as processes of a stack that then uses them.
package FitNudge::Test::Sentinel;
use Mojo::Base -strict, -signatures;

use FitNudge::Test::Contract;
use FitNudge::Util qw(free_port spew);
use Time::HiRes qw(sleep time);

# Before the stack is started
sub new ($class, $s) {
    return bless { s => $s, redis => [map { free_port() } 0 .. 1], sentinel => [map { free_port() } 0 .. 1] }, $class;
}

sub start ($self) {
    my $s = $self->{s};
    $s->{redis_url} = "redis://127.0.0.1:$self->{redis}[0]";        # so that it starts none of its own
    $s->prepare;
    $self->start_redis($_) for 0 .. 1;
    for my $i (0 .. 1) {
        my $dir = "$s->{dir}/redis/sentinel$i";
        mkdir $dir;
        spew("$dir/sentinel.conf", <<"END", 0644);
port $self->{sentinel}[$i]
bind 127.0.0.1
dir "$dir"
sentinel monitor fitnudge 127.0.0.1 $self->{redis}[0] 1
sentinel down-after-milliseconds fitnudge 1500
sentinel failover-timeout fitnudge 6000
sentinel parallel-syncs fitnudge 1
END
        chown $s->_account, $dir, "$dir/sentinel.conf";
        $s->spawn("sentinel$i", { log => "sentinel$i.log", death => 'TERM', service => 1 }, 'redis-server', "$dir/sentinel.conf", '--sentinel');
    }
    # until the first knows of the replica and the other Sentinel
    poll(20, sub { (join ' ', $self->sentinel(SENTINEL => MASTER => 'fitnudge')) =~ /num-slaves 1 num-other-sentinels 1/ }) or die "Sentinel does not find its Redis\n";
    $self->replicated or die "the replica does not follow\n";
    $s->{redis}{address} = "sentinel:fitnudge\@127.0.0.1:$self->{sentinel}[0],127.0.0.1:$self->{sentinel}[1]";
    $s->{redis_where} = sub { $self->master };
    return $self;
}

sub start_redis ($self, $i) {
    my $s = $self->{s};
    my $dir = "$s->{dir}/redis/$i";
    mkdir $dir;
    chown $s->_account, $dir;
    $s->spawn("redis$i", { log => "redis$i.log", death => 'TERM', service => 1 }, 'redis-server', '--port', $self->{redis}[$i], '--bind', '127.0.0.1', '--dir', $dir,
        '--save', '', '--appendonly', 'yes', '--repl-diskless-sync-delay', '0', '--repl-ping-replica-period', '1', $i ? ('--replicaof', "127.0.0.1 $self->{redis}[0]") : ());
    poll(15, sub { $self->ask($self->{redis}[$i], 'PING') eq 'PONG' }) or die "redis$i is not up\n";
}

sub ask ($self, $port, @cmd) {
    open my $out, '-|', 'redis-cli', '-h', '127.0.0.1', '-p', $port, '--raw', @cmd or die "cannot run redis-cli: $!\n";
    chomp(my @lines = <$out>);
    close $out;
    return wantarray ? @lines : $lines[0] // '';
}

sub sentinel ($self, @cmd) {
    my ($i) = grep { $self->{s}->alive("sentinel$_") } 0 .. 1;
    return $self->ask($self->{sentinel}[$i], @cmd);
}

# ip:port
sub master ($self) { join ':', $self->sentinel(SENTINEL => 'get-master-addr-by-name' => 'fitnudge') }

# Waits for a new master that takes writes
sub moved ($self, $before) {
    return poll(40, sub {
        my $now = $self->master;
        my ($port) = $now =~ /:(\d+)\z/ or return 0;
        $now ne $before && ($self->ask($port, 'ROLE'))[0] eq 'master';
    });
}

# Waits until there is a replica without a lag
sub replicated ($self) {
    return poll(30, sub {
        my ($port) = $self->master =~ /:(\d+)\z/ or return 0;
        my $info = join "\n", $self->ask($port, INFO => 'replication');
        my ($offset) = $info =~ /^master_repl_offset:(\d+)/m;
        $info =~ /^slave0:.*state=online,offset=(\d+),lag=[01]\b/m && $1 == ($offset // -1);
    });
}

# Like a crash of the machine: the numbers of its processes are up to the caller
sub kill_master ($self) {
    my ($port) = $self->master =~ /:(\d+)\z/;
    my ($i) = grep { $self->{redis}[$_] == $port } 0 .. 1;
    kill KILL => $self->{s}->pid("redis$i");
    return $i;
}

1;
