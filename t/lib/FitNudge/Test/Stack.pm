# The whole system for one test file, and what tests do with it.
#
#   my $stack = FitNudge::Test::Stack->new(openai => 1)->start;
#   my $user = $stack->signup;
#   my $res = $stack->api(POST => '/goals', $user->{access_token}, { title => 'Run', frequency => 3 });
#   is $res->code, 201;
#   $stack->assert_clean;
#   done_testing;
#
# Its files are in a temporary directory that is removed at the end (kept with FITNUDGE_KEEP=1, and the path said).
# FITNUDGE_ASAN=1 runs the sanitizer build.
package FitNudge::Test::Stack;

use Mojo::Base -strict, -signatures;
use parent 'FitNudge::Stack';
use FitNudge::Util qw(free_port slurp temp_dir);

use DBI;
use Digest::SHA qw(hmac_sha256);
use HTTP::Tiny;
use IO::Socket::INET;
use JSON::PP ();
use Mojo::UserAgent;
use Test::Mojo;
use Test::More;
use Time::HiRes qw(sleep time);

my @running;        # stacks of this process, for END
my $serial = 0;


# Options of FitNudge::Stack, and: openai (start the fake), openai_delay (ms), ai_key (0: no key), durable (fsync, off here),
# cron (off here: the clock puts jobs into the queues that no test counts on).
sub new ($class, %opt) {
    my $dir = temp_dir();

    my $self = $class->SUPER::new(
        dir => $dir, source => 'template', durable => 0, asan => $ENV{FITNUDGE_ASAN} ? 1 : 0,
        build => undef, workers => $opt{nginx_workers} // 2, access_log => 1, cron => 'off', %opt,
    );
    $self->{temporary} = 1;
    push @running, $self;

    return $self;
}

sub start ($self) {
    # so that END runs, and with it the stop of everything
    $SIG{$_} ||= sub { exit 1 } for qw(INT TERM HUP);

    my $ok = eval {
        $self->prepare;
        $self->start_openai if $self->{openai};
        $self->SUPER::start;
        1;
    };
    if (!$ok) {
        my $error = $@;
        BAIL_OUT($error) if $self->{bail_out};
        die $error;
    }
    return $self;
}

END {
    my $status = $?;
    for my $self (@running) {
        next if $self->{owner} != $$;
        $self->{dbh}->disconnect if $self->{dbh};
        eval { $self->stop; 1 } or warn $@;
        $self->remove;
    }
    $? = $status;
}


# FITNUDGE_KEEP=1 keeps what there is to look at.
sub remove ($self) {
    return $self->SUPER::remove if !$ENV{FITNUDGE_KEEP};
    diag("kept: $self->{dir}") if !$self->{kept}++;
    return $self;
}


# --- requests -----------------------------------------------------------------------------------

sub ua ($self) { $self->{ua} //= Mojo::UserAgent->new(inactivity_timeout => 40, max_redirects => 0) }

# A Test::Mojo whose relative paths go to this stack.
sub t ($self) {
    return $self->{t} //= do {
        my $t = Test::Mojo->new;
        $t->ua->max_redirects(0)->inactivity_timeout(40);
        $t->ua->on(prepare => sub ($ua, $tx) {
            my $url = $tx->req->url;
            $url->scheme('http')->host($self->{address})->port($self->{port}) if !$url->is_abs;
        });
        $t;
    };
}

# The answer (Mojo::Message::Response) to a request; a path that does not begin with /api or /health is below /api/v1.
# $token and $json may be undef.
sub api ($self, $method, $path, $token = undef, $json = undef, $headers = {}) {
    my $url = $self->url($path =~ m{^/(?:api|health)(?:/|$|\?)} ? $path : "/api/v1$path");
    my %headers = (Accept => 'application/json', defined $token ? (Authorization => "Bearer $token") : (), %$headers);
    my $tx = $self->ua->build_tx($method, $url, \%headers, defined $json ? (json => $json) : ());

    # Cookies belong to the test, not to the user agent.
    $self->ua->cookie_jar->empty;
    return $self->ua->start($tx)->res;
}

# A fresh user: email, password, user, access_token, refresh_token and whatever else the answer holds.
sub signup ($self, %f) {
    my $body = {
        email => sprintf('user%d.%d.%d@example.com', $$, time, ++$serial), password => 'correct horse', name => 'Test User', %f,
    };
    my $res = $self->api(POST => '/auth/signup', undef, $body);
    $res->code == 201 or die "sign-up answered " . ($res->code // 'nothing') . ": " . $res->body . "\n";

    return { %{$res->json}, email => $body->{email}, password => $body->{password} };
}

# An access token signed with this stack's key; claims override the defaults, undef leaves one out.
sub mint_jwt ($self, %claims) {
    my %all = (
        sub => uuid(), role => 'authenticated', plan => 'free', aud => 'authenticated', iss => 'fitnudge',
        session_id => uuid(), jti => uuid(), iat => int(time), exp => int(time) + 900, %claims,
    );
    my $header = delete $all{_header} // { alg => 'HS256', typ => 'JWT' };
    my $key = delete $all{_key} // $self->jwt_secret;
    delete @all{grep { !defined $all{$_} } keys %all};

    my $json = JSON::PP->new->canonical->utf8;
    my $text = join '.', map { base64url($json->encode($_)) } $header, \%all;
    return "$text." . base64url(hmac_sha256($text, $key));
}

sub jwt_secret ($self) { slurp($self->secret_file('jwt_secret')) =~ s/\n\z//r }

sub base64url ($bytes) {
    require MIME::Base64;
    return MIME::Base64::encode_base64($bytes, '') =~ tr{+/}{-_}r =~ s/=+\z//r;
}

sub uuid {
    my @n = map { int rand 65536 } 1 .. 8;
    $n[3] = $n[3] & 0x0fff | 0x4000;
    $n[4] = $n[4] & 0x3fff | 0x8000;
    return sprintf '%04x%04x-%04x-%04x-%04x-%04x%04x%04x', @n;
}

# Waits until $code returns true: its value, or nothing after $seconds.
sub wait_for ($self, $code, $seconds = 10) {
    my $end = time + $seconds;
    while (1) {
        my $value = $code->();
        return $value if $value;
        return if time > $end;
        sleep 0.05;
    }
}


# --- behind the scenes --------------------------------------------------------------------------

# First column of the first row of a statement as superuser; nothing (undef) without a row.
sub sql ($self, $query, @bind) {
    my ($row) = $self->rows($query, @bind);
    return $row ? $row->[0] : undef;
}

# All rows, array references.
sub rows ($self, $query, @bind) {
    $self->{dbh} = undef if $self->{dbh} && !$self->{dbh}->ping;
    $self->{dbh} //= DBI->connect("dbi:Pg:dbname=$self->{database};host=$self->{sock};user=postgres", undef, undef,
                                  { RaiseError => 1, PrintError => 0, AutoCommit => 1, pg_enable_utf8 => 1, AutoInactiveDestroy => 1 });
    my $sth = $self->{dbh}->prepare($query);
    $sth->execute(@bind);
    return $sth->{NUM_OF_FIELDS} ? @{$sth->fetchall_arrayref} : ();
}

# Lines of redis-cli's answer; the first one in scalar context.
sub redis ($self, @cmd) {
    my @lines = $self->redis_lines(@cmd);
    return wantarray ? @lines : $lines[0];
}

# { nginx, nginx_workers => [...], pool, pool_children => [{ pid, title }...], redis, postgres }
sub pids ($self) {
    my %pids = map { $_ => $self->pid($_) } keys %{$self->{procs}};
    $pids{nginx_workers} = [map { $_->{pid} } _children($pids{nginx})];
    $pids{pool_children} = [_children($pids{pool})];
    return \%pids;
}

sub _children ($parent) {
    return if !$parent;
    my @children;
    for my $pid (split ' ', eval { slurp("/proc/$parent/task/$parent/children") } // '') {
        my $title = eval { slurp("/proc/$pid/cmdline") } // next;
        push @children, { pid => $pid, title => $title =~ s/\0+/ /gr =~ s/\s+\z//r };
    }
    return @children;
}

# Kills one executor of a lane (sql, auth, net); its pid.
sub kill_executor ($self, $lane = 'sql', $signal = 'KILL') {
    my ($child) = grep { $_->{title} =~ /\b\Q$lane\E\b/ } @{$self->pids->{pool_children}};
    die "no executor of lane $lane\n" if !$child;
    kill $signal, $child->{pid};
    return $child->{pid};
}

sub error_log ($self) { $self->log_text('error.log') }
sub pool_log  ($self) { $self->log_text('pool.log') }

# Nothing went wrong that nobody was told about.  $except: a pattern of lines that this test expects.
sub assert_clean ($self, $except = undef) {
    my @bad = grep { !defined $except || $_ !~ $except }
        (grep { /\[(?:alert|emerg|crit)\]|Sanitizer|runtime error:/ } split /\n/, $self->error_log),
        (grep { /Sanitizer|runtime error:|\bassert/i } split /\n/, $self->pool_log);

    local $Test::Builder::Level = $Test::Builder::Level + 1;
    ok(!@bad, 'the logs are clean') or diag(join "\n", @bad[0 .. ($#bad > 20 ? 20 : $#bad)]);
    return $self;
}


# --- the fake OpenAI ----------------------------------------------------------------------------

sub start_openai ($self) {
    my $port = $self->{openai_port} = free_port('127.0.0.1');

    $self->{openai_base_url} //= "http://127.0.0.1:$port/v1";
    if ($self->{ai_key} // 1) {
        $self->{openai_api_key_file} = $self->secret_file('openai_api_key');
    }
    my $key = slurp($self->secret_file('openai_api_key')) =~ s/\n\z//r;
    $self->spawn('openai', { log => 'openai.log', death => 'TERM', env => { FAKE_OPENAI_KEY => $key } },
                 'perl', "$self->{root}/t/fakes/openai.pl", 'daemon', '-m', 'production', '-l', "http://127.0.0.1:$port");
    $self->_await('openai', 15, sub {
        IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $port, Proto => 'tcp', Timeout => 1)
    }, 'openai.log');
    return $self;
}

sub openai_url ($self, $path = '') { "http://127.0.0.1:$self->{openai_port}$path" }

# How the fake answers from now on: ok, slow, 401, 429 (once, unless count is given), quota, 500, hang, cut, garbage, empty, refusal.
# Options: count, delay_ms, text, retry_after.
sub openai_mode ($self, $mode, %opt) {
    $opt{count} //= 1 if $mode eq '429';
    my $wish = $mode eq 'ok' && !%opt ? {} : { mode => $mode, %opt };
    $self->ua->post($self->openai_url('/_fake'), json => $wish)->result->code == 200 or die "the fake OpenAI does not know $mode\n";
    return $self;
}

# What it was asked, oldest first: { headers, body, status }.
sub openai_requests ($self) { @{$self->ua->get($self->openai_url('/_fake/requests'))->result->json} }

sub openai_calls ($self) { scalar(my @all = $self->openai_requests) }

sub openai_last ($self) { (($self->openai_requests)[-1] // {})->{body} }

1;
