# What tests of the pool's processes share: its port, its log as data, and envelopes as the edge makes them.
package FitNudge::Test::Pool;
use Mojo::Base -strict, -signatures;

use Exporter qw(import);
use FitNudge::Test::Contract;
use FitNudge::Test::Metrics;
use FitNudge::Util qw(slurp);
use Mojo::JSON qw(decode_json encode_json);
use Time::HiRes qw(time);

our @EXPORT = qw(pool_metrics pool_get pool_log_lines children child_titles envelope consistent);

# GET on the pool's port
sub pool_get ($s, $path) { agent(request_timeout => 15)->get("http://127.0.0.1:$s->{pool_port}$path")->res }

# (series => value, families, mistakes)
sub pool_metrics ($s) {
    my $res = pool_get($s, '/metrics');
    my ($families, $bad) = parse_metrics($res->body // '');
    return ({ map { %{ $_->{samples} } } values %$families }, $families, $bad);
}

# The lines of the log that have a message
sub pool_log_lines ($s, $msg = undef) {
    return grep { !defined $msg || $_->{msg} =~ $msg } map { /^\{/ ? (eval { decode_json($_) } // ()) : () } split /\n/, $s->pool_log;
}

# Living children of a lane by title ("sql", "manager"): pids
sub children ($s, $lane) {
    return map { $_->{pid} } grep { $_->{title} =~ /^fitnudge: \Q$lane\E\b/ } @{ $s->pids->{pool_children} };
}

sub child_titles ($s) { sort map { $_->{title} } @{ $s->pids->{pool_children} } }

my $n = 0;

# (id, envelope) of a write by a user
sub envelope ($job, $user, $body, %o) {
    my $id = $o{id} // sprintf '0190%04x-0000-7000-8000-%012x', $$ & 0xffff, ++$n;
    my $params = encode_json($o{params} // {});
    my $meta = encode_json({ request_id => "req_$n", ip => '127.0.0.1', user_agent => 'x', session_id => undef, if_match => undef, cookie => \0, tls => \0,
        idempotent => \0, fp => '0' x 64 });
    return ($id, sprintf "w1 %s %s %s %d 0 %d %s - -\n{\"params\":%s,\"body\":%s,\"meta\":%s}", $id, $job, $o{prio} // 'n', time * 1000 - ($o{age_ms} // 0),
        $o{attempt} // 0, $user, $params, encode_json($body), $meta);
}

# What is wrong with the queues when all is quiet: slots that are full, jobs that wait, jobs both waiting and dead.
sub consistent ($s, $seconds = 40) {
    my @full;
    poll($seconds, sub {
        @full = grep { !/inst/ && $s->redis(LLEN => $_) } $s->redis(KEYS => '{fn}:s:*'), $s->redis(KEYS => '{fn}:q:*');
        push @full, grep { $s->redis(ZCARD => $_) } $s->redis(KEYS => '{fn}:z:*');
        !@full
    });
    my %waiting = map { map { /\Aw1 (\S+)/ ? ($1 => 1) : () } $s->redis(LRANGE => $_, 0, -1) } $s->redis(KEYS => '{fn}:q:*'), $s->redis(KEYS => '{fn}:s:*');
    my @dead = map { /\bw1 ([0-9a-f-]{36}) / ? $1 : () } map { $s->redis(ZRANGE => "{fn}:dead:$_", 0, -1) } qw(sql auth net);
    return (@full ? 'not empty: ' . join(' ', @full) : (), map { "$_ is waiting and dead" } grep { $waiting{$_} } @dead);
}

1;
