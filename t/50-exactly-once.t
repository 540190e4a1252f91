# Every write takes effect once: while executors are killed without warning, Redis and PostgreSQL are restarted, and
# clients send everything again with the same Idempotency-Key.
use Mojo::Base -strict, -signatures;
use FindBin;
use lib "$FindBin::Bin/lib";
use FitNudge::Test::Contract;
use FitNudge::Test::Stack;
use Mojo::File qw(path);
use Mojo::IOLoop;
use Mojo::JSON qw(encode_json decode_json);
use Mojo::Promise;
use POSIX ();
use Test::More;
use Time::HiRes qw(sleep time);

my $SECONDS = $ENV{FITNUDGE_CHAOS_SECONDS} // 18;
my $WRITERS = 64;
my $GIVE_UP = 60;       # s after the end until which a key may still be retried

# Durable: what PostgreSQL has acknowledged must outlive it.
my $s = FitNudge::Test::Stack->new(nginx_workers => 2, durable => 1)->start;
my @user = map { new_user($s) } 1 .. 8;
make_pro($s, @user);
for my $u (@user) {
    $u->{goals} = [map { call($s, POST => '/goals', token => $u->{token}, json => { title => "goal $_", frequency => 3 })->json->{id} } 1 .. 8];
}

# A process of its own is the clients: it writes what became of every key to a file.
my $file = path($s->dir, 'keys');
my $client = fork // die "fork: $!";
if (!$client) {
    eval { clients(); 1 } or $file->spurt(encode_json({ died => "$@" }));
    POSIX::_exit(0);
}

sub clients () {
    srand($$);
    my $ua = agent(max_connections => 200, request_timeout => 12, inactivity_timeout => 12);
    my $stop = time + $SECONDS;
    my $last = $stop + $GIVE_UP;
    my (%answer, %count, @odd);
    my $post = sub ($w) {
        my $u = $user[$w->{n} % @user];
        my %h = (Authorization => "Bearer $u->{token}", 'Idempotency-Key' => $w->{key});
        return $ua->post_p($s->url("/api/v1$w->{path}") => \%h => json => $w->{json})->then(
            sub ($tx) { $tx->res }, sub ($e) { $count{broken}++; undef });
    };
    my $writer;
    my $attempt;
    # One key until it has a final answer
    $attempt = sub ($w) {
        my @send = ($post->($w));
        push @send, $post->($w) if rand() < 0.2;         # at the same time
        return Mojo::Promise->all(@send)->then(sub (@got) {
            my $final = 0;
            for my $res (grep { defined } map { $_->[0] } @got) {
                my $code = $res->code // 0;
                $count{$code}++;
                if ($code == 201) {
                    my $id = ($res->json // {})->{id} // '';
                    $count{replayed}++ if $res->headers->header('Idempotency-Replayed');
                    $answer{ $w->{key} } //= $id;
                    push @odd, "$w->{key} answered with $answer{$w->{key}} and $id" if $answer{ $w->{key} } ne $id;
                    $final = 1;
                }
                elsif ($code == 202 || $code >= 500 || ($code == 409 && $res->headers->header('Retry-After'))) {}
                else { push @odd, "$w->{key} answered with $code: " . substr $res->body, 0, 200 if @odd < 50; $final = 1 }
            }
            if ($final) {
                return if !$answer{ $w->{key} } || rand() > 0.3 || $w->{again}++;
                return $attempt->($w);                   # once more, long after the answer
            }
            if (time > $last) { push @odd, "$w->{key} never had an answer"; return }
            return Mojo::Promise->timer(0.05 + rand() * 0.2)->then(sub { $attempt->($w) });
        });
    };
    my $seq = 0;
    $writer = sub ($n) {
        return Mojo::Promise->resolve if time > $stop;
        my $i = $seq++;
        my $u = $user[$n % @user];
        my %w = (n => $n, key => "k-$n-$i");
        if ($i % 2) { @w{qw(path json)} = ('/goals', { title => $w{key}, frequency => 1 }) }
        else {
            my $day = POSIX::strftime('%Y-%m-%d', gmtime(946684800 + 86400 * (int($i / 2) % 9000)));
            @w{qw(path json)} = ("/goals/$u->{goals}[($n / 8) % 8]/checkins", { status => 'done', date => $day, reflection => $w{key} });
        }
        return $attempt->(\%w)->then(sub { $writer->($n) });
    };
    Mojo::Promise->all(map { $writer->($_) } 0 .. $WRITERS - 1)->wait;
    $file->spurt(encode_json({ answer => \%answer, count => \%count, odd => \@odd }));
}

my ($kills, $redis, $pg, $start) = (0, 0, 0, time);
while (time < $start + $SECONDS) {
    $kills++ if eval { $s->kill_executor('sql'); 1 };
    sleep 0.2;
    if (!$redis && time > $start + $SECONDS / 3) { $s->stop_redis; $s->start_redis; $redis++ }
    if (!$pg && time > $start + $SECONDS * 2 / 3) { $s->stop_postgres('immediate'); $s->start_postgres; $pg++ }
}
my $ended = poll($GIVE_UP + 30, sub { waitpid($client, POSIX::WNOHANG()) == $client });
ok($ended, 'every client came to an end') or kill KILL => $client;
my $r = $ended ? decode_json($file->slurp) : {};
ok(!$r->{died}, 'no client died') or diag($r->{died});
my %answer = %{ $r->{answer} // {} };
my $count = $r->{count} // {};
diag("$kills executors killed, Redis restarted $redis x, PostgreSQL $pg x; " . keys(%answer) . ' keys; answers: '
    . join ', ', map { "$_: $count->{$_}" } sort keys %$count);
cmp_ok($kills, '>', 20, "$kills executors were killed");
cmp_ok(scalar keys %answer, '>', 200, keys(%answer) . ' keys were answered');
cmp_ok($count->{replayed} // 0, '>', 20, ($count->{replayed} // 0) . ' answers were repeated ones');
is_deeply($r->{odd} // [], [], 'every key had one answer, and it was 201');

my @full;
ok(poll(40, sub {
    @full = grep { !/inst/ && $s->redis(LLEN => $_) } $s->redis(KEYS => '{fn}:s:*'), $s->redis(KEYS => '{fn}:q:*');
    push @full, grep { $s->redis(ZCARD => $_) } $s->redis(KEYS => '{fn}:z:*');
    !@full
}), 'slots and queues are empty when all is quiet') or diag(join ' ', @full);

my %rows = map { $_->[0] => $_->[1] } $s->rows("SELECT reflection, count(*) FROM checkins WHERE reflection LIKE 'k-%' GROUP BY 1"
    . " UNION ALL SELECT title, count(*) FROM goals WHERE title LIKE 'k-%' GROUP BY 1");
is_deeply([grep { $rows{$_} > 1 } sort keys %rows], [], 'no key took effect twice');
is_deeply([grep { !$rows{$_} } sort keys %answer], [], 'no answered key was lost');
is_deeply([grep { !$answer{$_} } sort keys %rows], [], 'no row without an answer');
my %id = map { $_->[0] => $_->[1] } $s->rows("SELECT reflection, id::text FROM checkins WHERE reflection LIKE 'k-%'"
    . " UNION ALL SELECT title, id::text FROM goals WHERE title LIKE 'k-%'");
is_deeply([grep { ($id{$_} // '') ne $answer{$_} } sort keys %answer], [], 'the answers name the rows');

my %waiting;
for my $key ($s->redis(KEYS => '{fn}:q:*'), $s->redis(KEYS => '{fn}:s:*')) {
    $waiting{$1}++ for map { /\Aw1 (\S+)/ ? $1 : () } $s->redis(LRANGE => $key, 0, -1);
}
my @dead = map { /\bw1 ([0-9a-f-]{36}) / ? $1 : () } map { $s->redis(ZRANGE => "{fn}:dead:$_", 0, -1) } qw(sql auth net);
diag(@dead . ' dead letters');
is_deeply([grep { $waiting{$_} } @dead], [], 'nothing is both waiting and dead');

status_ok(call($s, PATCH => '/users/me', token => $user[0]{token}, json => { bio => 'alive' }), 200, 'the system works');
$s->assert_clean(qr/connect\(\)|No such file|Connection refused/);
done_testing;
