# The net processes: killed, reloaded and restarted with calls under way, and with many calls waiting.
use Mojo::Base -strict, -signatures;
use feature 'current_sub';
use FindBin;
use lib "$FindBin::Bin/lib";
use FitNudge::Test::Contract;
use FitNudge::Test::Stack;
use Mojo::IOLoop;
use Mojo::Promise;
use Test::More;
use Time::HiRes qw(time);

our $s;

# A goal of their own for each question, so that no answer comes from the cache
my $n = 0;
sub someone () { my $u = new_user($s); make_pro($s, $u); return $u }
sub goal ($u) {
    my $id = sprintf '00000000-0000-4000-9000-%012d', ++$n;
    $s->sql("INSERT INTO goals (id, user_id, title, frequency) VALUES ('$id', '$u->{id}', 'Goal $n', 3)");
    return $id;
}

# at any time; after an answer came, before it is handed on; after that, before anybody knows
for my $fault ('', 'net.after_call:1/15', 'net.after_finish:1/10') {
    subtest "killed at work $fault" => sub {
        local $s = FitNudge::Test::Stack->new(openai => 1, nginx_workers => 1, $fault ? (fault => $fault) : (), pool => "net_processes 2;\nnet_slots 8;\nopenai_breaker_failures 0;")->start;
        my $u = someone();
        my $end = time + 60;
        my (%answer, @odd, @job);
        my $ua = agent(max_connections => 40);
        my $ask = sub ($goal) {
            my $again = __SUB__;
            my %h = (Authorization => "Bearer $u->{token}", 'Idempotency-Key' => "k-$goal");
            return $ua->post_p($s->url('/api/v1/motivation/generate') => \%h => json => { goal_id => $goal })->catch(sub { undef })->then(sub ($tx) {
                my $res = $tx ? $tx->res : undef;
                my $code = $res ? $res->code // 0 : 0;
                if ($code == 200) { $answer{$goal} = $res->json->{id}; return }
                push @odd, "$code " . $res->body if $code && $code != 202 && $code < 500 && !($code == 409 && $res->headers->header('Retry-After'));
                return if @odd || time > $end;
                return Mojo::Promise->timer(0.2)->then(sub { $again->($goal) });
            });
        };
        my $kills = 0;
        my $timer = Mojo::IOLoop->recurring(0.15 => sub { $kills++ if !$fault && $kills < 20 && eval { $s->kill_executor('net'); 1 } });
        $s->openai_mode('ok', delay_ms => 100);
        my @goal = map { goal($u) } 1 .. 160;
        my $next = sub { my $again = __SUB__; my $goal = shift @goal // return Mojo::Promise->resolve; $ask->($goal)->then(sub { $again->() }) };
        my @all = @goal;
        Mojo::Promise->all(map { $next->() } 1 .. 40)->wait;
        Mojo::IOLoop->remove($timer);
        $kills += () = $s->pool_log =~ /"msg":"a child died"/g if $fault;
        cmp_ok($kills, '>', 3, "$kills net processes were killed");
        is_deeply(\@odd, [], 'no odd answers');
        is(scalar(keys %answer), 160, 'everybody has a message');
        is($s->sql('SELECT count(*) FROM motivations'), 160, 'and nobody two');
        my %row = map { $_->[0] => $_->[1] } $s->rows('SELECT goal_id::text, id::text FROM motivations');
        is_deeply([grep { ($row{$_} // '') ne ($answer{$_} // 'none') } @all], [], 'the one that was answered');
        my @full;
        ok(poll(40, sub { @full = grep { $s->redis(LLEN => $_) } $s->redis(KEYS => '{fn}:s:*'), $s->redis(KEYS => '{fn}:q:*'); !@full }), 'slots and queues are empty') or diag("@full");

        # more calls than slots, so that some wait in the queue meanwhile
        for my $case ($fault ? () : (['a reload', sub { kill HUP => $s->pids->{pool} }], ['a restart', sub { $s->stop_process('pool', 'TERM', 35); $s->start_pool }])) {
            my ($name, $do) = @$case;
            $s->openai_mode('slow', delay_ms => 1500);
            my @more = map { goal($u) } 1 .. 24;
            my $once = Mojo::IOLoop->timer(0.8 => sub { $do->() });
            my @res = calls($s, map { [POST => '/motivation/generate', token => $u->{token}, json => { goal_id => $_ }, ua => $ua] } @more);
            my %got;
            $got{ ($_->code // 0) == 200 ? $_->json->{source} : 'status ' . ($_->code // 'none') }++ for @res;
            is_deeply(\%got, { ai => 24 }, "$name with calls under way") or diag(explain(\%got));
            is($s->sql("SELECT count(*) FROM motivations WHERE goal_id IN (" . join(',', map { "'$_'" } @more) . ')'), 24, 'each is done once');
        }
        ok(poll(40, sub { @full = grep { $s->redis(LLEN => $_) } $s->redis(KEYS => '{fn}:s:*'), $s->redis(KEYS => '{fn}:q:*'); !@full }), 'nothing is left') or diag("@full");
        $s->assert_clean;
    };
}

subtest 'five hundred at once' => sub {
    local $s = FitNudge::Test::Stack->new(openai => 1, nginx_workers => 1, pool => "net_slots 512;\nopenai_timeout 15s;")->start;
    my $u = someone();
    my @goal = map { goal($u) } 1 .. 500;
    $s->openai_mode('slow', delay_ms => 5000);
    my $pids = $s->pids;
    my ($peak, $in_flight) = (0, 0);
    my $timer = Mojo::IOLoop->recurring(0.5 => sub ($loop) {
        my ($calls) = ($s->redis(HGET => ($s->redis(KEYS => '{fn}:services:*'))[0] // 'x', 'openai') // '') =~ / (\d+) \d+\z/;
        $in_flight = $calls if ($calls // 0) > $in_flight;
        my $kb = 0;
        for my $pid ($pids->{pool}, map { $_->{pid} } @{ $pids->{pool_children} }) {
            open my $f, '<', "/proc/$pid/smaps_rollup" or next;
            local $/;
            $kb += $1 if (<$f> // '') =~ /^Pss:\s+(\d+)/m;
        }
        $peak = $kb if $kb > $peak;
    });
    my $ua = agent(max_connections => 500);
    my @res = calls($s, map { [POST => '/motivation/generate', token => $u->{token}, json => { goal_id => $_ }, ua => $ua] } @goal);
    Mojo::IOLoop->remove($timer);
    my %got;
    $got{ ($_->code // 0) == 200 ? $_->json->{source} : 'status ' . ($_->code // 'none') }++ for @res;
    is_deeply(\%got, { ai => 500 }, 'everybody has a message') or diag(explain(\%got));
    is($in_flight, 500, 'all were asked for at once');
    my $mb = sprintf '%.1f', $peak / 1024;
    note("the pool with 500 calls waiting: $mb MB PSS");
    cmp_ok($mb, '<', 120, 'in less than 120 MB') if !$ENV{FITNUDGE_ASAN};
    is_deeply([grep { $s->redis(LLEN => $_) } $s->redis(KEYS => '{fn}:s:*')], [], 'no slot is left full');
    $s->assert_clean;
};

done_testing;
