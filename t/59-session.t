# The operator's session of docs/operations.md, played: its commands are run in their order, and print what is written there. Ids, times,
# durations and counts of calls are anybody's.
use Mojo::Base -strict, -signatures;
use FindBin;
use lib "$FindBin::Bin/lib";
use FitNudge::Test::Contract;
use FitNudge::Test::Stack;
use Mojo::File qw(path);
use Test::More;

my ($section) = path($FindBin::Bin)->sibling('docs', 'operations.md')->slurp =~ /^## An operator's session\n(.*?)(?=^## )/ms or BAIL_OUT('docs/operations.md has no such section');
my @step;       # [command, what it prints]
for my $line ($section =~ /^    (.*)$/mg) {
    if ($line =~ /^\$ fitnudgectl (.*)$/) { push @step, [$1, ''] }
    elsif (@step) { $step[-1][1] .= "$line\n" }
}

my $s = FitNudge::Test::Stack->new(nginx_workers => 1, openai => 1)->start;
my $u = new_user($s);
make_pro($s, $u);
my %p = (token => $u->{token});
my $goal = call($s, POST => '/goals', %p, json => { title => 'Run', frequency => 3 })->json->{id};
my $update = $s->sql("SELECT oid::regprocedure FROM pg_proc WHERE oid::regprocedure::text LIKE 'jobs.goals_update(%'");

sub write_later () { call($s, PATCH => "/goals/$goal", %p, json => { title => 'Later' }, ua => agent(), headers => { Prefer => 'respond-async' })->json->{job}{id} }
sub status ($id) { call($s, GET => "/jobs/$id", %p, ua => agent())->json->{job}{status} }
sub blocked ($lane) { scalar grep { / name=fitnudge:$lane / && / flags=\w*b/ } $s->redis(CLIENT => 'LIST') }

sub ticks ($seconds) { Mojo::IOLoop->timer($seconds => sub ($loop) { $loop->stop }); Mojo::IOLoop->start }
sub ctl (@args) {
    open my $out, '-|', $s->dir . '/bin/fitnudgectl', '-c', $s->dir . '/nginx.conf', @args or die $!;
    my $text = do { local $/; <$out> // '' };
    close $out;
    return $text;
}

my (@later, $died, $answer);
my $ua = agent();

# What happens in the world before a command, the first time it is given
my %before = (
    'lanes' => sub {
        my $looks = 0;
        ok(poll(30, sub { $looks = blocked('sql') ? 0 : $looks + 1; $looks >= 5 }), 'the pause is known to all');
        @later = map { write_later() } 1 .. 3;
    },
    'dead ls sql' => sub {
        ok(poll(20, sub { !grep { status($_) ne 'done' } @later }), 'what waited is done');
        $s->psql('-c', "REVOKE EXECUTE ON FUNCTION $update FROM fitnudge_pool, PUBLIC");
        $died = write_later();
        ok(poll(20, sub { status($died) eq 'failed' }), 'a write dies');
        $s->psql('-c', "GRANT EXECUTE ON FUNCTION $update TO fitnudge_pool");
    },
    'inflight' => sub {
        ok(poll(20, sub { status($died) eq 'done' }), 'the write that had died is done');
        $s->openai_mode('hang');
        if (my @cached = grep { length } $s->redis(KEYS => 'ai:message:*')) { $s->redis(DEL => @cached) }
        $ua->post_p($s->url('/api/v1/motivation/generate'), { Authorization => "Bearer $u->{token}" }, json => { goal_id => $goal })->then(sub ($tx) { $answer = $tx->res->code })->catch(sub ($e) { $answer = $e });
        ok(poll(20, sub { ticks(0.1); ctl('inflight') =~ /motivation\.generate:call/ }), 'OpenAI is asked and says nothing');
    },
    'breaker open openai --until +10m' => sub {
        poll(30, sub { ticks(0.1); defined $answer });
        is($answer, 409, 'who waited for the message is told');
        $s->openai_mode('ok');
    },
    'breaker' => sub {
        ok(poll(20, sub { ctl('breaker') =~ /^openai +open/m }), 'the pool has heard it');
        is(message(), 'fallback', 'messages come from templates');
    },
);
sub message () {
    if (my @cached = grep { length } $s->redis(KEYS => 'ai:message:*')) { $s->redis(DEL => @cached) }
    return call($s, POST => '/motivation/generate', %p, json => { goal_id => $goal })->json->{source} // 'none';
}

my $uuid = qr/[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}/;
sub masked ($text) {
    return $text =~ s/$uuid/<id>/gr =~ s/\b20\d\d-\d\d-\d\dT\d\d:\d\d:\d\dZ/<time>/gr
        =~ s/^((?:sql|auth|net) +\d+ +\d+ +\d+) +\d+\.\d/$1 <age>/gmr
        =~ s/^(\w+ +(?:closed|open|half-open) +\d+\/\d+) +\d+ +\d+ +\d+ +\d+  \S+$/$1 <numbers> <instance>/gmr;
}

my %id;         # of the page => of this session
for my $step (@step) {
    my ($command, $want) = @$step;
    (delete $before{$command})->() if $before{$command};
    my @args = map { $id{$_} // $_ } split ' ', $command;
    my $got = ctl(@args);
    is($? >> 8, 0, "fitnudgectl $command");
    is(masked($got), masked($want), 'prints what the page says') or diag($got);
    my ($mine, $theirs) = map { [/$uuid/g] } $got, $want;
    $id{ $theirs->[$_] } //= $mine->[$_] for 0 .. $#$theirs;
}
is_deeply([sort keys %before], [], 'the page has every part of it');
ok(poll(20, sub { message() eq 'ai' }), 'in the end messages are written again');

$s->assert_clean(qr/job ends as an operator wants it/);
done_testing;
