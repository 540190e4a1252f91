# One running FitNudge: a private PostgreSQL and Redis (or those that DATABASE_URL and REDIS_URL name),
# the pool and nginx, all as children of this process.  `build.sh run`, the tests and the benchmarks
# start the same thing from here.
#
# As root everything but nginx's master runs as www-data.
package FitNudge::Stack;

use strict;
use warnings;

use Cwd qw(abs_path);
use Digest::SHA qw(sha1_hex);
use Fcntl qw(:flock :mode);
use File::Basename qw(dirname);
use File::Find ();
use File::Path qw(make_path remove_tree);
use HTTP::Tiny;
use Time::HiRes qw(sleep time);

use parent 'FitNudge::Processes';
use FitNudge::Util qw(start_time free_port temp_dir slurp spew run run_quiet);

my $PG = '/usr/lib/postgresql/15/bin';
my $ROOT = abs_path(dirname(__FILE__) . '/../../..');
my $SERVICE_USER = $FitNudge::Processes::SERVICE_USER;

my $SOCKET_PATH_MAX = 107;


# The outside services of `build.sh run`: setting => environment variable; one that is not set leaves the service off.
my %PROVIDER_ENV = (
    elevenlabs_api_key => 'ELEVENLABS_API_KEY', elevenlabs_base_url => 'ELEVENLABS_BASE_URL', elevenlabs_voices => 'ELEVENLABS_VOICES',
    fcm_service_account => 'FCM_SERVICE_ACCOUNT', fcm_base_url => 'FCM_BASE_URL',
    r2_account => 'CLOUDFLARE_ACCOUNT_ID', r2_access_key => 'CLOUDFLARE_ACCESS_KEY_ID', r2_secret_key => 'CLOUDFLARE_SECRET_ACCESS_KEY',
    r2_bucket => 'CLOUDFLARE_BUCKET_NAME', r2_endpoint => 'R2_ENDPOINT',
    smtp_host => 'SMTP_HOST', smtp_port => 'SMTP_PORT', smtp_username => 'SMTP_USERNAME', smtp_password => 'SMTP_PASSWORD', smtp_from => 'SMTP_FROM',
    posthog_api_key => 'POSTHOG_API_KEY', posthog_host => 'POSTHOG_HOST', n8n_webhook_url => 'N8N_WEBHOOK_URL',
    slack_webhook_url => 'SLACK_WEBHOOK_URL', sentry_dsn => 'SENTRY_DSN', otlp_endpoint => 'OTEL_EXPORTER_OTLP_ENDPOINT',
);

# Options: dir (made when missing), port (0: a free one), address, workers, asan, durable, source
# (template: a copied cluster; initdb: in place), database_only (no programs are needed), log_level, access_log, http, server, pool (text for
# those blocks), cron (off: nothing happens by the clock), limits (1: the product's rate limits; without, none), fault (FN_FAULT of a pool built with fault points), database_url,
# database_replica_url, redis_url, openai_base_url, env.
sub new {
    my ($class, %opt) = @_;

    my $self = bless {
        root      => $ROOT,
        address   => '127.0.0.1',
        port      => 0,
        workers   => 2,
        log_level => 'info',
        source    => 'initdb',
        durable   => 1,
        database  => 'fitnudge',
        procs     => {},
        env       => {},
        owner     => $$,
        %opt,
    }, $class;

    $self->{build} //= "$ROOT/build" . ($self->{asan} ? '/asan' : '');
    $self->{dir} or die "FitNudge::Stack: dir is required\n";

    return $self;
}

sub root    { $_[0]{root} }
sub dir     { $_[0]{dir} }
sub port    { $_[0]{port} }
sub url     { "http://$_[0]{address}:$_[0]{port}" . ($_[1] // '') }


sub start {
    my $self = shift;

    $self->prepare;
    $self->start_postgres unless $self->{database_url};
    $self->start_redis unless $self->{redis_url};
    $self->deploy if $self->{source} ne 'template';
    $self->start_pool;
    $self->start_nginx;
    $self->wait_ready;

    return $self;
}


# The order matters: nginx first, so that nothing is accepted that cannot be done.
sub stop {
    my $self = shift;

    return $self if $self->{owner} != $$;

    $self->stop_process('nginx', 'QUIT', 12);
    $self->stop_process('pool', 'TERM', 35);
    $self->stop_process($_, 'TERM', 10) for grep { !/^(?:redis|postgres)$/ } keys %{$self->{procs}};
    $self->stop_process('redis', 'TERM', 15);
    $self->stop_process('postgres', 'INT', 30);

    return $self;
}


# --- directories, accounts, secrets -------------------------------------------------------------

# Makes what the processes need below dir.  Idempotent.
sub prepare {
    my $self = shift;

    return $self if $self->{prepared}++;

    my $dir = $self->{dir};
    make_path($dir);
    $dir = $self->{dir} = abs_path($dir);

    my ($uid, $gid) = $self->_account;

    for my $name (qw(log tmp bin)) {
        make_path("$dir/$name");
        chmod 0755, "$dir/$name";
    }

    # sockets: whoever can enter the directory is trusted by PostgreSQL and Redis
    my $sock = "$dir/s";
    if ($sock =~ m{[^\w./+-]} || length("$sock/.s.PGSQL.5432.lock") > $SOCKET_PATH_MAX) {
        $sock = "/tmp/fitnudge-$<-" . substr(sha1_hex($dir), 0, 12);
    }
    $self->{sock} = $sock;

    _private_dir($_, $uid, $gid) for $sock, map { "$dir/$_" } qw(redis secrets);

    run('cp', '-rf', "$ROOT/conf/locales", $dir) if !$self->{database_only};

    # a copy, so that a build does not change a running system, and the service account can reach it
    for my $file ($self->{database_only} ? () : qw(ngx_fitnudge_module.so fitnudge-worker fitnudgectl)) {
        my $from = ($self->{fault} && $file =~ /^fitnudge-/ ? "$ROOT/build/faults" : $self->{build}) . "/$file";
        -e $from or die "$from is missing: run build.sh build, or test\n";
        run('cp', '-f', '--remove-destination', $from, "$dir/bin/$file");
    }

    $self->{database_url} and ($self->{database}, $self->{db}) = _parse_database_url($self->{database_url});
    $self->{database_replica_url} and (undef, $self->{replica}) = _parse_database_url($self->{database_replica_url});
    $self->{redis} = { address => 'unix:' . $self->redis_socket };
    $self->{redis_url} and $self->_parse_redis_url;
    $self->{port} ||= free_port($self->{address});

    return $self;
}


# Who the services run as: (uid, gid); only root changes its identity.
sub _account {
    my $self = shift;

    return ($<, (split ' ', $()[0]) if $< != 0;

    my @pw = getpwnam($SERVICE_USER) or die "there is no user $SERVICE_USER\n";
    return @pw[2, 3];
}


# A directory for uid alone.  In a shared /tmp the name may have been taken by somebody else.
sub _private_dir {
    my ($path, $uid, $gid) = @_;

    if (mkdir $path, 0700) {
        chown $uid, $gid, $path or die "cannot chown $path: $!\n";
        return;
    }

    my @st = lstat $path or die "cannot make $path: $!\n";
    S_ISDIR($st[2]) && $st[4] == $uid or die "$path exists and is not ours: remove it\n";
    chmod 0700, $path;
}


# A secret of this installation, made once: its path.
sub secret_file {
    my ($self, $name) = @_;

    my $path = "$self->{dir}/secrets/$name";
    if (!-s $path) {
        open my $random, '<:raw', '/dev/urandom' or die "cannot open /dev/urandom: $!\n";
        read($random, my $bytes, 32) == 32 or die "cannot read /dev/urandom\n";
        spew($path, unpack('H*', $bytes) . "\n", 0600);
        chown $self->_account, $path;
    }

    return $path;
}


# yescrypt, as the pool makes it.
sub password_hash {
    my ($self, $password) = @_;

    my @alphabet = ('.', '/', 0 .. 9, 'A' .. 'Z', 'a' .. 'z');
    open my $random, '<:raw', '/dev/urandom' or die "cannot open /dev/urandom: $!\n";
    read($random, my $bytes, 21) == 21 or die "cannot read /dev/urandom\n";
    my $salt = join '', map { $alphabet[$_ & 63] } unpack 'C*', $bytes;

    my $hash = crypt($password, "\$y\$j9T\$$salt.");
    defined $hash && $hash =~ /^\$y\$j9T\$/ or die "this system's crypt() knows no yescrypt\n";

    return $hash;
}


# --- PostgreSQL ---------------------------------------------------------------------------------

sub start_postgres {
    my $self = shift;

    $self->prepare;
    my $data = "$self->{dir}/pgdata";

    if (!-e "$data/PG_VERSION") {
        if ($self->{source} eq 'template') {
            my $template = $self->template;
            run('cp', '-a', '--reflink=auto', "$template/pgdata", $data);
        } else {
            $self->_initdb($data);
        }
    }

    my @settings = (
        'listen_addresses=', "unix_socket_directories=$self->{sock}", 'unix_socket_permissions=0700',
        'shared_buffers=128MB', 'max_connections=100', 'jit=off', 'wal_compression=on', 'max_wal_size=2GB',
        'logging_collector=off', 'log_line_prefix=%m [%p] %q%u@%d ', 'timezone=UTC', 'log_timezone=UTC',
        'cluster_name=fitnudge', 'shared_memory_type=mmap', 'dynamic_shared_memory_type=mmap',
        $self->{durable} ? () : ('fsync=off', 'full_page_writes=off', 'synchronous_commit=off'),
        @{$self->{postgres_settings} // []},
    );

    $self->spawn('postgres', { log => 'postgresql.log', death => 'INT', service => 1 },
                 "$PG/postgres", '-D', $data, map { ('-c', $_) } @settings);

    $self->_await('postgres', 30, sub {
        system("$PG/pg_isready -q -h '$self->{sock}' >/dev/null 2>&1") == 0
    }, 'postgresql.log');

    return $self;
}


# fast (default), smart or immediate, as in pg_ctl
sub stop_postgres {
    my ($self, $mode) = @_;

    return $self->stop_process('postgres', { smart => 'TERM', fast => 'INT', immediate => 'QUIT' }->{$mode // 'fast'}, 30);
}


sub _initdb {
    my ($self, $data) = @_;

    _private_dir($data, $self->_account);
    run_quiet("$self->{dir}/log/initdb.log", $< == 0 ? ('setpriv', FitNudge::Processes::as_service(), '--') : (), "$PG/initdb", '-D', $data, '-U', 'postgres',
               '-A', 'trust', '-E', 'UTF8', '--locale=C.UTF-8', $self->{durable} ? () : '-N');
}


# Environment for psql, sqitch and pg_prove as superuser.
sub pg_env {
    my ($self, $database) = @_;

    return (
        PGHOST => $self->{db}{host} // $self->{sock},
        PGPORT => $self->{db}{port} // 5432,
        PGUSER => $self->{db}{user} // 'postgres',
        PGDATABASE => $database // $self->{database},
        PGOPTIONS => '-c client_min_messages=warning',
        ($self->{db}{password} // '') ne '' ? (PGPASSWORD => $self->{db}{password}) : (),
        ($self->{db}{sslmode} // '') ne '' ? (PGSSLMODE => $self->{db}{sslmode}) : (),
        ($self->{db}{sslrootcert} // '') ne '' ? (PGSSLROOTCERT => $self->{db}{sslrootcert}) : (),
    );
}


# Runs psql; dies with its message.
sub psql {
    my ($self, @args) = @_;

    local %ENV = (%ENV, $self->pg_env);
    run_quiet("$self->{dir}/log/psql.log", "$PG/psql", '-X', '-q', '-v', 'ON_ERROR_STOP=1', @args);
}


sub sqitch {
    my ($self, @args) = @_;

    # sqitch wants to know who deploys, and must not find other people's configuration
    local %ENV = (%ENV, $self->pg_env,
        SQITCH_FULLNAME => $ENV{SQITCH_FULLNAME} // 'FitNudge', SQITCH_EMAIL => $ENV{SQITCH_EMAIL} // 'ops@fitnudge.example',
        SQITCH_USER_CONFIG => '/dev/null', SQITCH_SYSTEM_CONFIG => '/dev/null', TZ => 'UTC');
    run_quiet("$self->{dir}/log/sqitch.log", 'sqitch', '--chdir', "$self->{root}/sql", @args);
}

# The environment says where the database is and who we are.
sub sqitch_target { 'db:pg:' . $_[0]{database} }


# Database, schema, and for an outside server the passwords of our roles.
sub deploy {
    my $self = shift;

    if (!$self->{database_url}) {
        my $found = $self->_query_line("SELECT 1 FROM pg_database WHERE datname = '$self->{database}'");
        $self->psql('-d', 'postgres', '-c', "CREATE DATABASE $self->{database}") if !$found;
    }

    if (!eval { $self->sqitch('deploy', '--verify', $self->sqitch_target); 1 }) {
        my $why = $@;
        $why .= "The database was made from another sql/sqitch.plan, and is left as it is. "
            . ($self->{database_url} ? "Deploy it with the version that made it, or use another.\n" : "./build.sh clean removes it with its data.\n")
            if $why =~ /Cannot find change/;
        die $why;
    }

    if ($self->{database_url}) {
        for my $role (qw(edge pool)) {
            my $password = slurp($self->secret_file("${role}_password")) =~ s/\s+\z//r;
            $self->psql('-c', "ALTER ROLE fitnudge_$role PASSWORD '$password'");
        }
    }

    return $self;
}

sub _query_line {
    my ($self, $sql) = @_;

    local %ENV = (%ENV, $self->pg_env);
    open my $out, '-|', "$PG/psql", '-XqAt', '-d', 'postgres', '-c', $sql or die "cannot run psql: $!\n";
    my $line = <$out> // '';
    chomp $line;
    return $line;
}


# A deployed cluster to copy, kept in build/ until sql/ changes: the directory that holds pgdata.
sub template {
    my $self = shift;

    my $digest = Digest::SHA->new(1);
    my @files;
    File::Find::find({ no_chdir => 1, wanted => sub { push @files, $_ if -f && !m{/(?:test|seed)/} } }, "$self->{root}/sql");
    for my $file (sort @files) {
        $digest->add("$file\0");
        $digest->addfile($file);
    }
    my $name = "$<-" . substr($digest->hexdigest, 0, 16);

    my $home = "$self->{root}/build/pg-template";
    make_path($home);
    open my $lock, '>>', "$home/lock" or die "cannot open $home/lock: $!\n";
    flock($lock, LOCK_EX) or die "cannot lock $home/lock: $!\n";

    my $template = "$home/$name";
    return $template if -e "$template/pgdata/PG_VERSION";

    remove_tree(glob("$home/$<-*"));

    my $maker = FitNudge::Stack->new(dir => temp_dir(), durable => 0, database_only => 1, database => $self->{database});
    my $ok = eval {
        $maker->start_postgres;
        $maker->deploy;
        1;
    };
    my $error = $@;
    $maker->stop;

    if ($ok) {
        make_path("$template.new");
        run('cp', '-a', "$maker->{dir}/pgdata", "$template.new/pgdata");
        rename "$template.new", $template or die "cannot rename $template.new: $!\n";
    }
    $maker->remove;
    die $error if !$ok;

    return $template;
}


# --- Redis --------------------------------------------------------------------------------------

sub redis_socket { "$_[0]{sock}/redis" }

sub start_redis {
    my $self = shift;

    $self->prepare;
    my $conf = "$self->{dir}/redis/redis.conf";
    spew($conf, <<"END", 0644);
port 0
unixsocket "@{[$self->redis_socket]}"
unixsocketperm 700
dir "$self->{dir}/redis"
daemonize no
logfile ""
appendonly yes
appendfsync everysec
save ""
maxmemory-policy noeviction
tcp-backlog 128
END
    chown $self->_account, $conf;

    $self->spawn('redis', { log => 'redis.log', death => 'TERM', service => 1 }, 'redis-server', $conf);
    $self->_await('redis', 15, sub {
        my $socket = $self->redis_socket;
        `redis-cli -s '$socket' ping 2>/dev/null` =~ /PONG/;
    }, 'redis.log');

    return $self;
}

# Lines of redis-cli's answer.
sub redis_lines {
    my ($self, @cmd) = @_;

    my $address = $self->{redis_where} ? $self->{redis_where}->() : $self->{redis}{address};
    my @where = $address =~ /^unix:(.*)/ ? ('-s', $1) : $address =~ /^(.*):(\d+)$/ ? ('-h', $1, '-p', $2) : die "no Redis at $address\n";
    local $ENV{REDISCLI_AUTH} = slurp($self->{redis}{password}) =~ s/\n\z//r if $self->{redis}{password};
    open my $out, '-|', 'redis-cli', @where, '--raw', @cmd or die "cannot run redis-cli: $!\n";
    chomp(my @lines = <$out>);
    close $out;
    return @lines;
}

sub stop_redis { $_[0]->stop_process('redis', $_[1] // 'TERM', 15) }


# --- pool and nginx -----------------------------------------------------------------------------

sub start_pool {
    my $self = shift;

    $self->write_conf;
    $self->spawn('pool', { log => 'pool.log', death => 'TERM', service => 1,
                           env => { %{$self->_sanitizer_env}, $self->{fault} ? (FN_FAULT => $self->{fault}) : () } },
                 "$self->{dir}/bin/fitnudge-worker", '-c', "$self->{dir}/nginx.conf");

    return $self;
}

sub start_nginx {
    my $self = shift;

    $self->write_conf;
    $self->spawn('nginx', { log => 'error.log', death => 'TERM', env => $self->nginx_env },
                 _nginx(), '-e', "$self->{dir}/log/error.log", '-p', "$self->{dir}/", '-c', "$self->{dir}/nginx.conf");

    return $self;
}

# The stock nginx loads a module with sanitizers only if their library came first.
sub nginx_env {
    my $self = shift;

    my $env = $self->_sanitizer_env;
    if ($self->{asan}) {
        chomp($env->{LD_PRELOAD} = `gcc -print-file-name=libasan.so`);
    }
    return $env;
}

sub _nginx { -x '/usr/sbin/nginx' ? '/usr/sbin/nginx' : 'nginx' }

sub reload_nginx { kill 'HUP', $_[0]{procs}{nginx}{pid}; $_[0] }
sub reload_pool  { kill 'HUP', $_[0]{procs}{pool}{pid}; $_[0] }

# nginx itself leaks on exit, so leaks are looked for in the unit tests.
sub _sanitizer_env {
    my $self = shift;

    return {} if !$self->{asan};
    return {
        ASAN_OPTIONS => 'detect_leaks=0:abort_on_error=1:disable_coredump=1:print_legend=0',
        UBSAN_OPTIONS => 'print_stacktrace=1:halt_on_error=1:abort_on_error=1',
    };
}


sub write_conf {
    my $self = shift;

    $self->prepare;
    my $dir = $self->{dir};
    my $indent = sub {
        my ($n, @lines) = @_;
        return join "\n", map { ' ' x $n . $_ } map { split /\n/ } grep { defined } @lines;
    };

    my $secret = sub {
        my ($env, $name) = @_;
        return ($self->{use_env} && ($ENV{$env} // '') ne '') ? "env:$env" : '"file:' . $self->secret_file($name) . '"';
    };

    my $password = sub {
        my $role = shift;
        return $self->{database_url} ? 'postgres_password "file:' . $self->secret_file("${role}_password") . '";' : undef;
    };

    my @shared = (
        "fitnudge_redis $self->{redis}{address};",
        $self->{redis}{password} ? "fitnudge_redis_password \"file:$self->{redis}{password}\";" : undef,
        'fitnudge_postgres "' . $self->conninfo('fitnudge_edge', undef, $self->{edge_db}) . '"' . ($self->{postgres_options} // '') . ';',
        $self->{database_url} ? 'fitnudge_' . $password->('edge') : undef,
        $self->{replica} ? 'fitnudge_postgres_replica "' . $self->conninfo('fitnudge_edge', undef, $self->{replica}) . '";' : undef,
        'fitnudge_jwt_secret ' . $secret->(JWT_SECRET_KEY => 'jwt_secret') . ';',
        "fitnudge_locales \"$dir/locales\";",
        'fitnudge_csrf_secret ' . $secret->(CSRF_SECRET_KEY => 'csrf_secret') . ';',
        $self->{limits} ? undef : 'fitnudge_limit off;',
        $self->{shared},
    );

    my $openai = $self->{openai_base_url} // ($self->{use_env} ? $ENV{OPENAI_BASE_URL} : undef);
    my @pool = (
        'postgres "' . $self->conninfo('fitnudge_pool') . '";',
        $password->('pool'),
        'log stderr;',
        $self->{cron} ? "cron $self->{cron};" : undef,
        "pid \"$self->{sock}/pool.pid\";",
        $self->{openai_api_key_file} ? "openai_api_key \"file:$self->{openai_api_key_file}\";"
            : $self->{use_env} ? 'openai_api_key env:OPENAI_API_KEY;' : undef,
        defined $openai && $openai ne '' ? "openai_base_url \"$openai\";" : undef,
        $self->{use_env} ? (map { "$_ env:$PROVIDER_ENV{$_};" } sort keys %PROVIDER_ENV) : (),
        $self->{use_env} ? "mail_templates \"$self->{root}/conf/templates/mail\";" : undef,
        $self->{pool},
    );

    my %value = (
        USER       => $< == 0 ? "user $SERVICE_USER;" : '',
        WORKERS    => $self->{workers},
        DIR        => $dir,
        LOG_LEVEL  => $self->{log_level},
        MODULE     => "$dir/bin/ngx_fitnudge_module.so",
        ACCESS_LOG => $self->{access_log} ? "\"$dir/log/access.log\"" : 'off',
        LISTEN     => "$self->{address}:$self->{port}" . ($self->{listen_options} // ''),
        SHARED     => $indent->(4, @shared),
        POOL       => $indent->(8, @pool),
        HTTP       => $indent->(4, $self->{http}),
        SERVER     => $indent->(8, $self->{server}),
    );

    my $text = slurp("$self->{root}/conf/run.conf.in");
    $text =~ s/@([A-Z_]+)@/$value{$1} \/\/ die "unknown placeholder \@$1\@\n"/ge;
    spew("$dir/nginx.conf", $text, 0644);

    return $self;
}


sub conninfo {
    my ($self, $user, $database, $db) = @_;

    $db //= $self->{db} // {};
    return join ' ', ($db->{hostaddr} ? "host=$db->{host} hostaddr=$db->{hostaddr}" : 'host=' . ($db->{host} // $self->{sock})),
        $db->{port} ? "port=$db->{port}" : (), 'dbname=' . ($database // $self->{database}), "user=$user",
        map { $db->{$_} ? "$_=$db->{$_}" : () } qw(sslmode sslrootcert);
}


# postgres://user:password@host:port/database?sslmode=...: the name of the database, and where it is
sub _parse_database_url {
    my $url = shift;

    my ($user, $password, $host, $port, $name, $query) = $url =~
        m{^postgres(?:ql)?://(?:([^:@/?]*)(?::([^@/?]*))?@)?(\[[^\]]+\]|[^:/?]*)(?::(\d+))?/([\w-]+)(?:\?(.*))?$}
        or die "DATABASE_URL and DATABASE_REPLICA_URL have the form postgres://user:password\@host:port/database\n";

    my $decode = sub { defined $_[0] ? $_[0] =~ s/%([0-9A-Fa-f]{2})/chr hex $1/ger : undef };
    my %query = map { /^([^=]+)=(.*)$/ ? ($1, $decode->($2)) : () } split /&/, $query // '';

    my $db = {
        user => $decode->($user) || 'postgres', password => $decode->($password), port => $port || $query{port} || 5432,
        host => $decode->($host) =~ s/^\[|\]$//gr || $query{host} || 'localhost',
        sslmode => $query{sslmode}, sslrootcert => $query{sslrootcert},
    };
    $db->{hostaddr} = _resolve($db->{host}) if $db->{host} !~ m{^/};

    return ($name, $db);
}

# redis://:password@host:port or unix:/path
sub _parse_redis_url {
    my $self = shift;

    if ($self->{redis_url} =~ m{^unix:(?://)?(/.+)$}) {
        $self->{redis} = { address => "unix:$1" };
        return;
    }
    my ($password, $host, $port, $db) = $self->{redis_url} =~ m{^redis://(?:[^:@/]*:([^@/]*)@)?([^:/]+)(?::(\d+))?(?:/(\d*))?$}
        or die "REDIS_URL is not of the form redis://:password\@host:port or unix:/path\n";
    die "REDIS_URL names database $db: only 0 is supported\n" if $db;

    $self->{redis} = { address => _resolve($host) . ':' . ($port || 6379) };
    if (defined $password && $password ne '') {
        $password =~ s/%([0-9A-Fa-f]{2})/chr hex $1/ge;
        $self->{redis}{password} = "$self->{dir}/secrets/redis_password";
        spew($self->{redis}{password}, "$password\n", 0600);
        chown $self->_account, $self->{redis}{password};
    }
}

sub _resolve {
    my $host = shift;

    my ($line) = `getent ahosts '@{[$host =~ s/[^\w.:-]//gr]}'` =~ /^(\S+)/;
    return $line // die "cannot resolve $host\n";
}


# Until nginx answers 200 on /health/ready and the pool has given its first sign of life in Redis;
# dies with the tails of the logs otherwise.
sub wait_ready {
    my ($self, $seconds) = @_;

    my $http = HTTP::Tiny->new(timeout => 5, proxy => undef, http_proxy => undef);
    my $last = 'no answer';
    my $end = time + ($seconds // 30);

    while (time < $end) {
        my $res = $http->get($self->url('/health/ready'));
        $last = "/health/ready says $res->{status} $res->{content}";
        if ($res->{status} == 200) {
            my $pid = $self->pid('pool');
            return $self if !$pid || grep { /:$pid:/ } $self->redis_lines(ZRANGE => '{fn}:insts', 0, -1);
            $last = 'the pool gives no sign of life';
        }
        for my $name (sort keys %{$self->{procs}}) {
            my $how = $self->_reap($name) or next;
            die "$name has ended ($how)\n" . $self->log_tail($self->{procs}{$name}{log});
        }
        sleep 0.05;
    }

    die "not ready after " . ($seconds // 30) . " s: $last\n"
        . join '', map { $self->log_tail($_) } qw(error.log pool.log);
}


# Removes what must not outlive the processes; data, logs and secrets stay.
sub tidy {
    my $self = shift;

    remove_tree($self->{sock}) if $self->{sock};
    remove_tree("$self->{dir}/tmp", "$self->{dir}/bin");
    unlink "$self->{dir}/nginx.pid", "$self->{dir}/pool.pid";
    delete $self->{prepared};
    return $self;
}

sub remove {
    my $self = shift;

    $self->tidy;
    remove_tree($self->{dir});
    return $self;
}

1;
