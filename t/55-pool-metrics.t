# The pool's /metrics and /health: well-formed, true, described, and not to be disturbed by whoever connects.
use Mojo::Base -strict, -signatures;
use FindBin;
use lib "$FindBin::Bin/lib";
use FitNudge::Test::Contract;
use FitNudge::Test::Pool;
use FitNudge::Test::Stack;
use FitNudge::Util qw(free_port);
use IO::Socket::INET;
use Mojo::File qw(path);
use Mojo::JSON qw(decode_json);
use Test::More;
use Time::HiRes qw(time);

my $port = free_port();
my $s = FitNudge::Test::Stack->new(nginx_workers => 1, openai => 1, pool_port => $port, pool => "metrics_listen 127.0.0.1:$port;\nsql_processes 2;")->start;
my $u = new_user($s);
make_pro($s, $u);

sub becomes ($series, $want, $name) {
    my $got;
    ok(poll(20, sub { $got = (pool_metrics($s))[0]{$series}; ref $want ? $want->($got) : ($got // '') eq $want }), $name) or diag("$series is " . ($got // 'missing'));
}

subtest 'the format' => sub {
    my $res = pool_get($s, '/metrics');
    is($res->code, 200, '/metrics');
    is($res->headers->content_type, 'text/plain; version=0.0.4; charset=utf-8', 'content type');
    is($res->headers->cache_control, 'no-store', 'is not cached');
    my (undef, $f, $bad) = pool_metrics($s);
    is_deeply($bad, [], 'is well-formed');
    cmp_ok(scalar keys %$f, '>', 25, 'there is much to know');
};

subtest 'what happened' => sub {
    my $goal = call($s, POST => '/goals', token => $u->{token}, json => { title => 'Run', frequency => 3 });
    status_ok($goal, 201, 'a write');
    status_ok(call($s, POST => '/goals', token => $u->{token}, json => { title => "Run $_", frequency => 3 }), 201, 'another') for 1 .. 3;
    becomes('fitnudge_pool_jobs_total{job="goals.create",result="done"}', 4, 'are counted by job and result');
    my ($m, $f, $bad) = pool_metrics($s);
    is_deeply($bad, [], 'well-formed');
    is($m->{'fitnudge_pool_job_duration_seconds_count{job="goals.create"}'}, 4, 'and measured');
    cmp_ok($m->{'fitnudge_pool_job_duration_seconds_sum{job="goals.create"}'}, '<', 60, 'in seconds');
    is($m->{'fitnudge_pool_children_started_total{lane="sql"}'}, 2, 'processes started');
    becomes('fitnudge_pool_leader{}', 1, 'it leads');

    my $id = $goal->json->{id};
    status_ok(call($s, POST => "/motivation/generate", token => $u->{token}, json => { goal_id => $id }), 200, 'a message') or return;
    becomes('fitnudge_pool_calls_total{result="done",service="openai"}', 1, 'is a call');
    ($m) = pool_metrics($s);
    cmp_ok($m->{'fitnudge_pool_ai_cost_microdollars_total{}'}, '>', 0, 'that cost something');
    cmp_ok($m->{'fitnudge_pool_ai_tokens_total{kind="prompt"}'}, '>', 0, 'in tokens');
    is($m->{'fitnudge_pool_call_duration_seconds_count{service="openai"}'}, 1, 'and was measured');
    is($m->{'fitnudge_pool_breaker_state{service="openai"}'}, 0, 'the breaker is closed');
};

subtest 'what waits and dies' => sub {
    kill STOP => children($s, 'sql');
    my ($id, $e) = envelope('goals.juggle', $u->{id}, {}, age_ms => 5000);
    $s->redis(LPUSH => '{fn}:q:sql:l', $e);
    becomes('fitnudge_pool_jobs_waiting{lane="sql",priority="low"}', 1, 'a job waits');
    my ($m) = pool_metrics($s);
    cmp_ok($m->{'fitnudge_pool_oldest_job_age_seconds{lane="sql",priority="low"}'}, '>=', 5, 'since long ago');
    kill CONT => children($s, 'sql');
    becomes('fitnudge_pool_dead_letters{lane="sql"}', 1, 'and dies');
    becomes('fitnudge_pool_jobs_total{job="unknown",result="dead"}', 1, 'is counted');
    becomes('fitnudge_pool_jobs_waiting{lane="sql",priority="low"}', 0, 'and waits no more');

    my ($pid) = children($s, 'auth');
    kill KILL => $pid;
    becomes('fitnudge_pool_children_crashed_total{lane="auth"}', 1, 'a crash');
    becomes('fitnudge_pool_children_started_total{lane="auth"}', 2, 'and the one that took its place');
    kill HUP => $s->pid('pool');
    becomes('fitnudge_pool_reloads_total{result="ok"}', 1, 'a reload, counted in the same memory');
};

subtest 'docs/metrics.md' => sub {
    my (undef, $families) = pool_metrics($s);
    my (undef, $part) = split /^# Metrics of the pool$/m, path($s->root, 'docs', 'metrics.md')->slurp;
    my %row = map { /^\| `(\w+)` \| (\w+) \| (.*?) \| (.*) \|$/ ? ($1 => { type => $2, labels => $3, help => $4 }) : () } split /\n/, $part // '';
    my $free = qr/^(?:job|service|result)$/;        # appear with their first event
    for my $name (sort keys %$families) {
        my $f = $families->{$name};
        my $labels = join '; ', map { my $l = $_; "`$l`" . ($l =~ $free && !($name =~ /reloads/) ? '' : ': ' . join ', ', sort keys %{ $f->{labels}{$l} }) }
            grep { $_ ne 'le' } sort keys %{ $f->{labels} };
        my $row = $row{$name} // {};
        my $want = "| `$name` | $f->{type} | $labels | $f->{help} |";
        ok("| `$name` | " . join(' | ', map { $row->{$_} // '' } qw(type labels help)) . ' |' eq $want, "$name is described") or diag("the page has to say:\n$want");
    }
    ok($families->{$_}, "$_ exists") for sort keys %row;

    # the words that labels may have
    my $header = path($s->root, 'worker', 'libfitnudge', 'fn_counts.h')->slurp;
    my ($results) = $header =~ /#define FN_RESULTS\(X\)(.*?)\n\n/s;
    like($part, qr/`$_`/, "the result $_ is explained") for $results =~ /X\(\w+, "(\w+)"\)/g;
};

subtest 'the alerts' => sub {
    my (undef, $families) = pool_metrics($s);
    my $rules = path($s->root, 'conf', 'prometheus', 'fitnudge-pool.rules.yml');
    my @alert = $rules->slurp =~ /^\s*- alert: (\w+)$/mg;
    cmp_ok(scalar @alert, '>', 5, 'there are some');
    my $runbook = path($s->root, 'docs', 'operations.md')->slurp;
    like($runbook, qr/^### $_$/m, "$_: what to do is in docs/operations.md") for @alert;
    is_deeply([map { lc } @alert], [$rules->slurp =~ m{^ +runbook: docs/operations\.md#(\w+)$}mg], 'and where');
    my @expr = $rules->slurp =~ /^ +expr: (.+)$/mg;
    is(scalar @expr, scalar @alert, 'each has its expression');
    my %asked = map { $_ => 1 } map { /\b(fitnudge_\w+)/g } @expr;
    is_deeply([grep { !$families->{$_} } sort keys %asked], [], 'every metric exists');
    my %label = map { $_ => 1 } 'instance', map { keys %{ $_->{labels} } } values %$families;
    my %by = map { $_ => 1 } map { split /\s*,\s*/ } map { /\bby\s*\(([^)]*)\)/g } @expr;
    is_deeply([grep { !$label{$_} } sort keys %by], [], 'every label exists');
    chomp(my $promtool = `sh -c 'command -v promtool'`);
    if ($promtool) { my $out = `'$promtool' check rules '$rules' 2>&1`; is($?, 0, 'promtool has nothing to say') or diag($out) }
};

subtest '/health' => sub {
    my $res = pool_get($s, '/health');
    is($res->code, 200, 'well');
    is($res->json->{status}, 'healthy', 'says so');
    is_deeply([sort keys %{ $res->json->{lanes} }], [qw(auth net sql)], 'by lane');
    is($res->json->{lanes}{sql}{processes} >= 2, 1, 'with their processes') or diag($res->body);
};

sub connection () { IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $port, Proto => 'tcp', Timeout => 5) // die "no connection: $!" }

# Sends bytes, says what came until the end of the connection
sub answer ($bytes) {
    my $c = connection();
    local $SIG{PIPE} = 'IGNORE';
    print $c $bytes;
    my $end = time + 15;
    my $got = '';
    local $SIG{ALRM} = sub { die "timeout\n" };
    eval { alarm 15; while (sysread $c, my $b, 65536) { $got .= $b } alarm 0; };
    alarm 0;
    return $got;
}

subtest 'who asks strangely' => sub {
    for my $case (["GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n", 200], ["GET /metrics?x=1 HTTP/1.0\r\n\r\n", 200], ["HEAD /metrics HTTP/1.1\r\n\r\n", 200], ["GET / HTTP/1.1\r\n\r\n", 404],
        ["GET /metricsx HTTP/1.1\r\n\r\n", 404], ["POST /metrics HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc", 405], ["garbage\r\n\r\n", 400], ["GET /metrics\r\n\r\n", 400],
        ["GET metrics HTTP/1.1\r\n\r\n", 400], ["GET /metrics HTTP/2.0\r\n\r\n", 400], ["GET /\0 HTTP/1.1\r\n\r\n", 400], ["\r\n\r\n", 400], ["GET /" . 'x' x 5000 . " HTTP/1.1\r\n\r\n", 431],
        ["GET /metrics HTTP/1.1\r\nX: " . 'y' x 100_000 . "\r\n\r\n", 431], ["GET /metrics HTTP/1.1\n\n", 200], ["GET /../../etc/passwd HTTP/1.1\r\n\r\n", 404]) {
        my ($bytes, $status) = @$case;
        my $got = answer($bytes);
        (my $name = substr $bytes, 0, 40) =~ s/[^ -~]/./g;
        like($got, qr{\AHTTP/1\.1 $status }, "$status: $name");
        unlike($got, qr/\r\n\r\n./s, 'HEAD has no body') if $bytes =~ /^HEAD/;
    }
    my @slow = map { connection() } 1 .. 40;
    print { $slow[$_] } 'GET /met' for 0 .. 39;
    is(pool_get($s, '/health')->code, 200, 'forty who say nothing do not keep others out');
    close $_ for @slow;
    # who does not read the answer
    my @deaf = map { my $c = connection(); print $c "GET /metrics HTTP/1.1\r\n\r\n"; $c } 1 .. 16;
    is(pool_get($s, '/health')->code, 200, 'nor do those who do not listen');
    status_ok(call($s, POST => '/goals', token => $u->{token}, json => { title => 'still', frequency => 3 }), 201, 'and the pool works');
};

subtest 'the manager is away' => sub {
    my ($pid) = children($s, 'manager');
    kill KILL => $pid;
    ok(poll(20, sub { my ($new) = children($s, 'manager'); $new && $new != $pid && (pool_get($s, '/health')->code // 0) == 200 }), 'another one answers on the same port');
    my ($m) = pool_metrics($s);
    cmp_ok($m->{'fitnudge_pool_jobs_total{job="goals.create",result="done"}'}, '>=', 5, 'and knows what was counted');
};

subtest 'without Redis' => sub {
    $s->stop_redis;
    is(pool_get($s, '/metrics')->code, 200, '/metrics answers all the same');
    $s->start_redis;
    becomes('fitnudge_pool_heartbeat_age_seconds{}', sub ($v) { defined $v && $v < 4 }, 'the heartbeat is back');
};

$s->assert_clean(qr/connect\(\)|No such file|Connection refused/);
done_testing;
