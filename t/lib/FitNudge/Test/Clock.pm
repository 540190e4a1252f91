# What happens by the clock, made to happen by a test.
package FitNudge::Test::Clock;
use Mojo::Base -base, -signatures;

use FitNudge::Test::Contract qw(poll);
use Mojo::JSON qw(decode_json);
use Time::HiRes qw(sleep time);

has 'stack';
has error => '';

# Jobs of other parts that runs give rise to may have no SQL function yet: then they do nothing.
sub new ($class, $stack) {
    my $self = $class->SUPER::new(stack => $stack);
    for my $job (qw(push_send mail_send)) {
        next if $stack->sql("SELECT count(*) FROM pg_proc WHERE pronamespace = 'jobs'::regnamespace AND proname LIKE ?", "$job%");
        $stack->psql('-c', "CREATE FUNCTION jobs.$job(p_id uuid, p_user uuid, p_req jsonb, p_ctx jsonb) RETURNS pool.reply LANGUAGE plpgsql"
            . " SECURITY DEFINER SET search_path = pg_catalog, public AS 'BEGIN RETURN pool.ok(200, ''{}''); END';"
            . " GRANT EXECUTE ON FUNCTION jobs.$job(uuid, uuid, jsonb, jsonb) TO fitnudge_pool");
    }
    return $self;
}

# (exit status, text) of fitnudgectl
sub ctl ($self, @args) {
    my $s = $self->stack;
    my $pid = open(my $out, '-|') // die "fork: $!";
    if (!$pid) {
        open STDERR, '>&', \*STDOUT;
        exec $s->dir . '/bin/fitnudgectl', '-c', $s->dir . '/nginx.conf', @args;
    }
    local $/;
    my $text = <$out> // '';
    close $out;
    $self->error($text);
    return ($? >> 8, $text);
}

# What `cron ls` says: { name => { ... } }
sub list ($self) {
    my ($status, $text) = $self->ctl('--json', 'cron', 'ls');
    return $status ? {} : { map { $_->{name} => $_ } map { decode_json($_) } split /\n/, $text };
}

# Begins a run by hand. True when it was begun.
sub begin ($self, $name) { ($self->ctl('cron', 'run', $name))[0] == 0 }

# The same, and waits for its end.
sub run ($self, $name, $seconds = 20) {
    my $since = $self->stack->sql('SELECT clock_timestamp()');
    return 0 if !$self->begin($name);
    return poll($seconds, sub {
        $self->stack->sql("SELECT bool_and(state = 'done') FROM cron_run WHERE name = ? AND manual AND due_at >= ?::timestamptz", $name, $since)
    });
}

# Counts of the last run by hand.
sub result ($self, $name) {
    return decode_json($self->stack->sql('SELECT result FROM cron_run WHERE name = ? AND manual ORDER BY due_at DESC LIMIT 1', $name) // '{}');
}

# A reminder becomes due so long ago: its local date.
sub due ($self, $id, $ago) {
    return $self->stack->sql("UPDATE reminders SET next_at = now() - ?::interval, next_date = ((now() - ?::interval) AT TIME ZONE tz)::date,"
        . ' last_date = NULL WHERE id = ? RETURNING next_date', $ago, $ago, $id);
}

# Jobs that wait for their time need not.
sub hurry ($self) {
    my $s = $self->stack;
    for my $key ($s->redis(KEYS => '{fn}:z:*')) {
        my @jobs = $s->redis(ZRANGE => $key, 0, -1);
        $s->redis(EVAL => "for _, j in ipairs(redis.call('ZRANGE', KEYS[1], 0, -1)) do redis.call('ZADD', KEYS[1], 1, j) end", 1, $key) if @jobs;
    }
    return;
}

sub pushed ($self, $user) {
    return $self->stack->sql("SELECT count(*) FROM inbox WHERE job = 'push.send' AND state = 'done' AND user_id = ?", $user);
}

# Waits until a user has had so many pushes.
sub pushes ($self, $user, $n, $seconds = 20) {
    return poll($seconds, sub { $self->hurry; $self->pushed($user) == $n });
}

# Waits until no job waits or works.
sub quiet ($self, $seconds = 20) {
    my $s = $self->stack;
    return poll($seconds, sub {
        $self->hurry;
        !$s->sql('SELECT count(*) FROM outbox') && !grep { $s->redis(TYPE => $_) eq 'list' ? $s->redis(LLEN => $_) : 0 } $s->redis(KEYS => '{fn}:q:*'), $s->redis(KEYS => '{fn}:s:*')
    });
}

sub pause ($self) { sleep 0.2 }

1;
