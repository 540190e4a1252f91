# Cached answers that instances share through Redis: found by the other one, never older than a write, and not believed after a
# restart of Redis.
use Mojo::Base -strict, -signatures;
use FindBin;
use lib "$FindBin::Bin/lib";
use FitNudge::Test::Contract;
use FitNudge::Test::Stack;
use Test::More;

my %o = (nginx_workers => 2, shared => 'fitnudge_cache_redis on;');
my $one = FitNudge::Test::Stack->new(%o)->start;
my $two = FitNudge::Test::Stack->new(%o, redis_url => 'unix:' . $one->redis_socket,
    database_url => "postgres://postgres\@/fitnudge?host=$one->{sock}");
$two->prepare;
# one installation has one key
system('cp', '-p', $one->secret_file('jwt_secret'), $two->dir . '/secrets/jwt_secret') == 0 or die;
$two->start_nginx->wait_ready;

my $ann = new_user($one);
my $bob = new_user($one);
make_pro($one, $ann, $bob);

sub get ($s, $u, $path) { call($s, GET => $path, token => $u->{token}, ua => agent()) }
sub status ($res) { $res->headers->header('Cache-Status') // '' }
my $shared = 'fitnudge; fwd=miss; detail="redis"';
sub add_goal ($u, $title) { call($one, POST => '/goals', token => $u->{token}, json => { title => $title, frequency => 3 })->json->{id} }
sub keys_of_answers () { my @k = $one->redis(KEYS => "api:response:*"); sort @k }

subtest 'one asks PostgreSQL, the other one Redis' => sub {
    my $goal = add_goal($ann, 'Run');
    # each process hears of the change by itself, and until then may make what was stored invalid
    my ($first, $second);
    ok(poll(15, sub {
        call($one, PATCH => "/goals/$goal", token => $ann->{token}, json => { title => 'Run' });
        $first = get($one, $ann, '/goals?limit=50');
        $second = get($two, $ann, '/goals?limit=50');
        status($second) eq $shared
    }), 'the other instance finds it there') or diag(status($second));
    is($second->body, $first->body, 'the same answer');
    is($second->headers->etag, $first->headers->etag, 'with the same tag');
    ok(poll(10, sub { status(get($two, $ann, '/goals?limit=50')) =~ /hit/ }), 'and has it in its own memory then');

    my ($key) = keys_of_answers();
    like($key, qr{\Aapi:response:/api/v1/goals:[0-9a-f]{64}\z}, 'named after route and question');
    my $ttl = $one->redis(TTL => $key);
    cmp_ok($ttl, '>', 0, 'it expires');
    cmp_ok($ttl, '<=', 300, 'with the time of its route');
    unlike($key, qr/\Q$ann->{id}\E/, 'the name says nothing of the user');
    is(get($two, $bob, '/goals?limit=50')->json->{pagination}{total}, 0, 'another user has his own');
};

subtest 'a write is never overtaken' => sub {
    my $goal = add_goal($ann, 'Walk');
    my %seen;
    for my $n (1 .. 30) {
        call($one, PATCH => "/goals/$goal", token => $ann->{token}, json => { title => "Walk $n" });
        my $here = get($one, $ann, "/goals/$goal");
        is($here->json->{title}, "Walk $n", "write $n is seen where it was made") or last;
        my $there;
        ok(poll(5, sub { ($there = get($two, $ann, "/goals/$goal"))->json->{title} eq "Walk $n" }), 'and at the other one') or last;
        $seen{status($there) =~ s/ttl=.*/ttl/r}++;
    }
    note(join ', ', map { "$_: $seen{$_}" } sort keys %seen);
    cmp_ok($one->redis(GET => "{fn}:gen:goals:$ann->{id}"), '>=', 31, 'generations are counted in Redis');
    cmp_ok($one->redis(TTL => "{fn}:gen:goals:$ann->{id}"), '>', 86400, 'and forgotten in the end');
};

# An answer in Redis that is not true: whether anybody believes it.
sub lie ($key) {
    my $value = join "\n", my @lines = $one->redis(GET => $key);
    $value =~ s/"total":\d+/"total":99/ or return;
    $one->redis(SET => $key, $value, EX => 300);
    return 1;
}

subtest 'what is believed' => sub {
    my $dora = new_user($one);
    my $limit = 20;
    # a question that instance two has no answer to, and the key under which instance one has left its own
    my $asked = sub {
        my %before = map { $_ => 1 } keys_of_answers();
        my $path = '/goals?limit=' . ++$limit;
        get($one, $dora, $path);
        my $key;
        poll(5, sub { ($key) = grep { !$before{$_} } keys_of_answers() });
        return ($path, $key);
    };
    my ($path, $key) = $asked->();
    ok($key && lie($key), 'an answer that is not true');
    is(get($two, $dora, $path)->json->{pagination}{total}, 99, 'of this moment it is believed');

    for my $case (['', 'empty'], ['x', 'no header'], ["1 2 3 4\n{}", 'other generations'], ["99999999999999999999999999 1 2\n{}", 'a time that is none'],
        ["\n{}", 'an empty header'], ['0' . ' 0' x 40 . "\n{}", 'a long header'], [undef, 'another type'])
    {
        my ($value, $name) = @$case;
        ($path, $key) = $asked->();
        $one->redis(DEL => $key);
        defined $value ? $one->redis(SET => $key, $value, EX => 300) : $one->redis(LPUSH => $key, 'x');
        my $res = get($two, $dora, $path);
        is($res->json->{pagination}{total}, 0, "$name: PostgreSQL is asked") or diag($res->body);
    }
};

subtest 'Redis is restarted' => sub {
    my $erik = new_user($one);
    my %before = map { $_ => 1 } keys_of_answers();
    get($one, $erik, '/goals?limit=9');
    my ($key) = grep { !$before{$_} } keys_of_answers();
    ok($key && lie($key), 'an answer that is not true');
    my $all = $one->redis(GET => '{fn}:gen');
    $one->stop_redis;
    is(get($two, $erik, '/goals?limit=9')->json->{pagination}{total}, 0, 'without Redis PostgreSQL is asked');
    $one->start_redis;
    ok(poll(20, sub { ($one->redis(GET => '{fn}:gen') // 0) >= $all + 4 }), 'every process says that it may have missed something');
    for my $s ($one, $two) {
        is(get($s, $erik, '/goals?limit=9')->json->{pagination}{total}, 0, 'what was stored before is not believed') for 1 .. 4;
    }
};

$_->assert_clean(qr/connect\(\)|No such file|Connection refused|redis|closed/i) for $two, $one;
$two->remove;
$one->remove;
done_testing;
