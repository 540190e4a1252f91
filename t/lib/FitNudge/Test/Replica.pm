# A streaming replica of a test's PostgreSQL: a base backup that follows its primary, on port 5433 of the same socket directory.
#
#   my $replica = FitNudge::Test::Replica->new($stack);
#   $stack->{shared} = 'fitnudge_postgres_replica "' . $replica->conninfo . '";';
#   $stack->start;
#   $replica->start;
package FitNudge::Test::Replica;

use Mojo::Base -strict, -signatures;
use FitNudge::Util qw(run_quiet);

my $PG = '/usr/lib/postgresql/15/bin';
my $PORT = 5433;

# Settings are name=value, as for postgres -c.
sub new ($class, $stack, @settings) {
    $stack->prepare;
    return bless { stack => $stack, settings => \@settings, data => "$stack->{dir}/replica" }, $class;
}

sub conninfo ($self) { "host=$self->{stack}{sock} port=$PORT dbname=$self->{stack}{database} user=fitnudge_edge" }

sub start ($self) {
    my $s = $self->{stack};
    if (!-e "$self->{data}/PG_VERSION") {
        run_quiet("$s->{dir}/log/basebackup.log", $< == 0 ? ('install', '-d', '-o', $FitNudge::Processes::SERVICE_USER, '-m', '700', $self->{data}) : ('mkdir', '-m', '700', $self->{data}));
        run_quiet("$s->{dir}/log/basebackup.log", $< == 0 ? ('setpriv', FitNudge::Processes::as_service(), '--') : (),
            "$PG/pg_basebackup", '-h', $s->{sock}, '-U', 'postgres', '-D', $self->{data}, '-X', 'stream', '-c', 'fast', '-R');
    }
    $s->spawn('replica', { log => 'replica.log', death => 'INT', service => 1 }, "$PG/postgres", '-D', $self->{data}, map { ('-c', $_) }
        'listen_addresses=', "unix_socket_directories=$s->{sock}", 'unix_socket_permissions=0700', "port=$PORT", 'shared_buffers=32MB',
        'max_connections=100', 'jit=off', 'fsync=off', 'logging_collector=off', 'timezone=UTC', 'wal_retrieve_retry_interval=200ms',
        'shared_memory_type=mmap', 'dynamic_shared_memory_type=mmap', @{$self->{settings}});
    $s->_await('replica', 30, sub { system("$PG/pg_isready -q -h '$s->{sock}' -p $PORT >/dev/null 2>&1") == 0 }, 'replica.log');
    return $self;
}

sub stop ($self, $signal = 'INT') { $self->{stack}->stop_process('replica', $signal, 20); $self }

sub sql ($self, $query) {
    my $dbh = DBI->connect("dbi:Pg:dbname=$self->{stack}{database};host=$self->{stack}{sock};port=$PORT;user=postgres", undef, undef,
                           { RaiseError => 1, PrintError => 0, AutoInactiveDestroy => 1 });
    my $row = $dbh->selectrow_arrayref($query);
    $dbh->disconnect;
    return $row ? $row->[0] : undef;
}

1;
