# The response cache: hits, conditional requests, one question for many, compression, room, and what happens when a service is away.
use Mojo::Base -strict, -signatures;
use FindBin;
use lib "$FindBin::Bin/lib";
use Compress::Zlib qw(memGunzip);
use FitNudge::Test::Contract;
use FitNudge::Test::Stack;
use FitNudge::Util qw(slurp);
use Mojo::IOLoop;
use Mojo::Promise;
use Test::More;

# A read may wait for a lock as long as a slow machine needs to send all requests; PostgreSQL's log counts what it is asked
my $s = FitNudge::Test::Stack->new(nginx_workers => 2, postgres_options => ' timeout=30s', postgres_settings => ['log_statement=all'], shared => <<'END', server => <<'SERVER')->start;
fitnudge_cache_zone 8m;
fitnudge_cache_stale_if_error 1h;
END
location = /api/v1/checkins { fitnudge_cache off; }
location = /api/v1/motivations { fitnudge_cache_max_body 1k; }
SERVER

sub asked ($function) { scalar(() = $s->log_text('postgresql.log') =~ /execute fn_\d+: SELECT set_config[^\n]*api\.$function/g) }

# Reads that found nothing in the cache so far: those that asked, and those that wait for them
sub missed ($text) { my $n = 0; $n += $1 while $text =~ /^fitnudge_cache_requests_total\{result="(?:miss|collapsed)"\} (\d+)$/mg; $n }

my $ann = new_user($s);
my $bob = new_user($s);
make_pro($s, $ann, $bob);
sub get ($u, $path, %headers) { call($s, GET => $path, token => $u->{token}, headers => \%headers) }
sub status ($res) { $res->headers->header('Cache-Status') // '' }

# A connection of its own goes to either process; both look into the same memory.
sub hit ($u, $path, %headers) { get($u, $path, %headers) }

subtest 'a read is a miss, the next a hit' => sub {
    my $miss = get($ann, '/goals');
    is(status($miss), 'fitnudge; fwd=miss', 'miss');
    is($miss->headers->header('Age'), undef, 'without an age');
    my $hit = get($ann, '/goals');
    like(status($hit), qr/\Afitnudge; hit; ttl=(?:29\d|300)\z/, 'hit');
    like($hit->headers->header('Age'), qr/\A\d+\z/, 'with its age');
    is($hit->body, $miss->body, 'the same body');
    is($hit->headers->etag, $miss->headers->etag, 'the same tag');
    is($hit->headers->cache_control, 'private, no-cache', 'nobody else keeps it');
    like(status(get($ann, '/goals?page=1&limit=20')), qr/hit/, 'defaults are no difference');
    is(status(get($ann, '/goals?limit=19')), 'fitnudge; fwd=miss', 'another parameter is');
    is(status(get($bob, '/goals')), 'fitnudge; fwd=miss', 'and so is another user');
    is(get($ann, '/goals?limit=0')->code, 400, 'bad parameters are refused as ever');
};

subtest 'conditional and HEAD' => sub {
    my $etag = get($ann, '/goals')->headers->etag;
    my $res = get($ann, '/goals', 'If-None-Match' => $etag);
    is($res->code, 304, 'a hit that the client has');
    is($res->body, '', 'is not sent');
    is(get($ann, '/goals', 'If-None-Match' => '"other"')->code, 200, 'another is');
    $res = call($s, HEAD => '/goals', token => $ann->{token});
    is($res->code, 200, 'HEAD');
    like(status($res), qr/hit/, 'is answered from the cache');
    is($res->headers->etag, $etag, 'with the tag');
    is($res->body, '', 'without a body');
};

subtest 'a write makes it invalid before its client has the answer' => sub {
    for my $i (1 .. 20) {
        my $goal = call($s, POST => '/goals', token => $ann->{token}, json => { title => "Goal $i", frequency => 3 })->json;
        my $list = get($ann, '/goals');
        is($list->json->{goals}[0]{id} // '', $goal->{id}, "goal $i is seen at once") or last;
        ok(poll(10, sub { status(get($ann, '/goals')) =~ /hit/ }), 'and then kept') if $i == 1;
        call($s, PATCH => "/goals/$goal->{id}", token => $ann->{token}, json => { title => "New $i" });
        is(get($ann, "/goals/$goal->{id}")->json->{title}, "New $i", 'a change as well') or last;
    }
    my $goal = get($ann, '/goals')->json->{goals}[0]{id};
    is(get($ann, "/goals/$goal/stats")->json->{totals}{done} // get($ann, "/goals/$goal/stats")->json->{total_done} // 0, 0, 'statistics');
    my $before = get($ann, "/goals/$goal/stats")->body;
    is(call($s, POST => "/goals/$goal/checkins", token => $ann->{token}, json => { status => 'done' })->code, 201, 'check in');
    isnt(get($ann, "/goals/$goal/stats")->body, $before, 'depend on check-ins');
    like(status(get($bob, '/goals')), qr/hit/, 'what others do leaves an entry alone');
};

subtest 'errors are not kept' => sub {
    my $id = FitNudge::Test::Stack::uuid();
    is(get($ann, "/goals/$id")->code, 404, 'not found') for 1 .. 2;
    my $foreign = get($ann, '/goals')->json->{goals}[0]{id};
    is(get($ann, "/goals/$foreign")->code, 200, 'its owner');
    is(get($bob, "/goals/$foreign")->code, 404, 'is the only one to get it');
};

subtest 'where it is off' => sub {
    is(status(get($ann, '/checkins')), '', 'no Cache-Status') for 1 .. 2;
};

subtest 'a thousand who miss at once' => sub {
    my $carl = new_user($s);
    make_pro($s, $carl);
    is(asked('motivations_list'), 0, 'nobody has asked for messages yet');
    my $before = missed(agent()->get($s->url('/metrics'))->res->body);
    # one question holds a lock, so that all the others come while it waits
    my $db = DBI->connect('dbi:Pg:dbname=fitnudge;host=' . $s->{sock}, 'postgres', '', { AutoCommit => 0, RaiseError => 1 });
    $db->do('LOCK TABLE motivations IN ACCESS EXCLUSIVE MODE');
    my $ua = agent(max_connections => 1000);
    my (%code, %body, %status);
    my $sent = 0;
    my @p = map {
        $ua->get_p($s->url('/api/v1/motivations'), { Authorization => "Bearer $carl->{token}" })->then(sub ($tx) {
            $code{$tx->res->code}++; $body{$tx->res->body}++; $status{$tx->res->headers->header('Cache-Status')}++;
        })
    } 1 .. 1000;
    # until all wait
    my ($watch, $waiting, $until) = (agent(), 0, time + 20);
    my $look;
    $look = sub {
        $watch->get_p($s->url('/metrics'))->then(sub ($tx) {
            $waiting = missed($tx->res->body) - $before;
            $waiting >= 1000 || time > $until ? $db->rollback : Mojo::IOLoop->timer(0.1 => $look);
        });
    };
    $look->();
    Mojo::Promise->all_settled(@p)->wait;
    is($waiting, 1000, 'all have waited');
    is_deeply(\%code, { 200 => 1000 }, 'all are answered') or diag(explain \%code);
    is(keys %body, 1, 'with the same');
    my $n = asked('motivations_list');
    cmp_ok($n, '>', 0, 'PostgreSQL was asked');
    cmp_ok($n, '<=', 2, "at most once by each process: $n");
    cmp_ok($status{'fitnudge; fwd=miss; collapsed'} // 0, '>', 900, 'the others waited') or diag(explain \%status);
    $db->disconnect;
};

subtest 'clients that go away take nothing from others' => sub {
    my $dora = new_user($s);
    make_pro($s, $dora);
    my $db = DBI->connect('dbi:Pg:dbname=fitnudge;host=' . $s->{sock}, 'postgres', '', { AutoCommit => 0, RaiseError => 1 });
    $db->do('LOCK TABLE goals IN ACCESS EXCLUSIVE MODE');
    my $request = "GET /api/v1/goals HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer $dora->{token}\r\n\r\n";
    my @gone = map { my $c = IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $s->port) or die; print $c $request; $c } 1 .. 20;
    my $ua = agent();
    my @p = map { $ua->get_p($s->url('/api/v1/goals'), { Authorization => "Bearer $dora->{token}" }) } 1 .. 5;
    my @code;
    Mojo::IOLoop->timer(0.5 => sub { close $_ for @gone });
    Mojo::IOLoop->timer(1 => sub { $db->rollback });
    Mojo::Promise->all(@p)->then(sub (@tx) { @code = map { $_->[0]->res->code } @tx })->wait;
    is_deeply(\@code, [(200) x 5], 'the others are answered');
    $db->disconnect;
};

# Reads that end without a result have one of libpq's all the same
subtest 'PostgreSQL gives up' => sub {
    my $eve = new_user($s);
    make_pro($s, $eve);
    my $db = DBI->connect('dbi:Pg:dbname=fitnudge;host=' . $s->{sock}, 'postgres', '', { AutoCommit => 0, RaiseError => 1 });
    my $cancel = 'SELECT count(pg_cancel_backend(pid)) FROM pg_stat_activity WHERE wait_event_type = \'Lock\' AND query LIKE \'%goals_list%\'';
    my $cancelled = sub ($path) {
        $db->do('LOCK TABLE goals IN ACCESS EXCLUSIVE MODE');
        my $ua = agent();
        my $p = $ua->get_p($s->url("/api/v1$path"), { Authorization => "Bearer $eve->{token}" });
        my $res;
        my $id = Mojo::IOLoop->recurring(0.05 => sub { $s->sql($cancel) });
        $p->then(sub ($tx) { $res = $tx->res })->wait;
        Mojo::IOLoop->remove($id);
        $db->rollback;
        return $res;
    };
    error_ok($cancelled->('/goals'), 503, 'what is cancelled');
    $db->disconnect;

    # ... and with errors so long that what is not freed shows; some only, as they open the breaker
    SKIP: {
        skip 'a sanitizer keeps what is freed', 1 if $s->{asan};
        my $good = $s->sql(q{SELECT pg_get_functiondef('api.goals_list'::regproc)});
        $s->sql($good =~ s/\bAS (\$\w*\$).*\1/AS \$x\$ BEGIN IF p_page % 4 = 0 THEN RAISE query_canceled USING MESSAGE = repeat('x', 60000); END IF; RETURN '{}'; END \$x\$/sr =~ s/LANGUAGE sql/LANGUAGE plpgsql/r);
        my $memory = sub { my $kb = 0; $kb += slurp("/proc/$_/smaps_rollup") =~ /^Pss_Anon:\s+(\d+)/m ? $1 : 0 for @{ $s->pids->{nginx_workers} }; $kb };
        my ($ua, %code) = agent();
        # pages, as reads of one page would be one question
        my $reads = sub ($from) { $code{ $_->code }++ for calls($s, map { [GET => "/goals?page=$_", token => $eve->{token}, ua => $ua] } $from .. $from + 19) };
        $reads->(20 * $_) for 1 .. 50;
        my $before = $memory->();
        $reads->(20 * $_) for 51 .. 150;
        cmp_ok($code{503}, '>', 100, 'reads are cancelled') or diag(explain(\%code));
        my $more = $memory->() - $before;
        cmp_ok($more, '<', 2000, "nothing is left behind: $more kB");
        $s->sql($good);
        # reads that time out open the breaker
        ok(poll(20, sub { get($eve, '/goals')->code == 200 }), 'and it is back');
    }
};

subtest 'compressed once' => sub {
    my $etag;
    call($s, POST => '/goals', token => $ann->{token}, json => { title => "Long $_", description => 'word ' x 60, frequency => 2 }) for 1 .. 5;
    # each process hears of the last change by itself, and may make the entry invalid once more
    my $plain;
    ok(poll(10, sub { $plain = get($ann, '/goals', 'Accept-Encoding' => 'identity'); status($plain) =~ /hit/ }), 'a hit');
    cmp_ok(length $plain->body, '>', 1500, 'a body worth it');
    for my $n (1 .. 2) {
        # not through a client that unpacks it
        my $c = raw_start($s, "GET /api/v1/goals HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAccept-Encoding: gzip\r\nAuthorization: Bearer $ann->{token}\r\n\r\n");
        my $answer = do { local $/; <$c> };
        my ($head, $body) = split /\r\n\r\n/, $answer, 2;
        like($head, qr/^Content-Encoding: gzip\r?$/mi, "gzip $n");
        like($head, qr/^Vary: Accept-Encoding\r?$/mi, 'and says that it depends');
        is(memGunzip($body), $plain->body, 'is the same text');
        my ($tag) = $head =~ /^ETag: (\S+?)\r?$/mi;
        isnt($tag, $plain->headers->etag, 'has a tag of its own');
        $etag //= $tag;
        is($tag, $etag, 'which stays');
    }
    my $res = get($ann, '/goals', 'Accept-Encoding' => 'gzip', 'If-None-Match' => $etag);
    is($res->code, 304, 'and is recognised');
    is(get($ann, '/goals', 'Accept-Encoding' => 'gzip;q=0')->headers->header('Content-Encoding'), undef, 'who refuses it does not get it');
};

subtest 'brotli' => sub {
    my $want = "GET /api/v1/goals HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAccept-Encoding: gzip, br\r\nAuthorization: Bearer $ann->{token}\r\n\r\n";
    my $read = sub { my $c = raw_start($s, $want); local $/; split /\r\n\r\n/, <$c>, 2 };
    like(($read->())[0], qr/^Content-Encoding: gzip\r?$/mi, 'is off');
    $s->{server} .= "\nfitnudge_cache_brotli on;\n";
    $s->write_conf;
    $s->reload_nginx;
    my ($head, $body);
    ok(poll(15, sub { ($head, $body) = $read->(); $head =~ /^Content-Encoding: br\r?$/mi }), 'until it is on');
    my $plain = get($ann, '/goals', 'Accept-Encoding' => 'identity');
    is($plain->headers->header('Content-Encoding'), undef, 'who does not want it does not get it');
    SKIP: {
        chomp(my $brotli = `sh -c 'command -v brotli'`);
        skip 'brotli is not installed', 1 if !$brotli;
        my $file = Mojo::File::path($s->dir, 'answer.br')->spurt($body);
        is(`brotli -dc '$file'`, $plain->body, 'is the same text');
    }
    my ($tag) = $head =~ /^ETag: (\S+?)\r?$/mi;
    isnt($tag, $plain->headers->etag, 'with a tag of its own');
    like($head, qr/^Vary: Accept-Encoding\r?$/mi, 'and says that it depends');
    is(get($ann, '/goals', 'Accept-Encoding' => 'br', 'If-None-Match' => $tag)->code, 304, 'which is recognised');
    like(($read->())[0], qr/^Cache-Status: fitnudge; hit/mi, 'it is kept');
    is(get($ann, '/goals', 'Accept-Encoding' => 'br;q=0')->headers->header('Content-Encoding'), undef, 'who refuses it does not get it');
    call($s, POST => '/goals', token => $ann->{token}, json => { title => 'One more', frequency => 2 });
    ok(poll(10, sub { my $r = get($ann, '/goals', 'Accept-Encoding' => 'identity'); status($r) =~ /hit/ && $r->json->{goals}[0]{title} eq 'One more' }), 'after a write');
    my (undef, $new) = $read->();
    isnt($new, $body, 'there is another one');
};

subtest 'too large to be kept' => sub {
    my $goal = get($ann, '/goals')->json->{goals}[0]{id};
    $s->sql("INSERT INTO motivations (goal_id, user_id, text, tone, language, source) SELECT ?, ?, repeat('x', 300), 'calm', 'en', 'ai' FROM generate_series(1, 10)", $goal, $ann->{id});
    is(status(get($ann, '/motivations?limit=10')), 'fitnudge; fwd=miss', 'is asked for again') for 1 .. 2;
    is(status(get($ann, '/motivations?limit=1')), 'fitnudge; fwd=miss', 'a small one');
    like(status(get($ann, '/motivations?limit=1')), qr/hit/, 'is kept');
};

subtest 'a reload keeps the entries' => sub {
    get($bob, '/goals');
    $s->reload_nginx;
    # processes that start make everything invalid once, as they have not heard of changes before
    ok(poll(15, sub { status(get($bob, '/goals')) =~ /hit/ }), 'hits again');
};

my $late = new_user($s);

subtest 'without Redis' => sub {
    ok(poll(15, sub { status(get($bob, '/goals')) =~ /hit/ }), 'before');
    $s->stop_redis;
    ok(poll(10, sub { my $r = get($bob, '/goals'); is($r->code, 200, 'reads go on') or return 1; status($r) =~ /miss/ }), 'PostgreSQL is asked');
    is(status(get($bob, '/goals')), 'fitnudge; fwd=miss', 'each time');
    $s->start_redis;
    ok(poll(15, sub { status(get($bob, '/goals')) =~ /hit/ }), 'and again not, when it is back');
};

subtest 'without PostgreSQL' => sub {
    ok(poll(15, sub { status(get($bob, '/goals')) =~ /hit/ }), 'before');
    $s->stop_postgres;
    ok(poll(10, sub { get($late, '/goals?limit=3')->code == 503 }), 'what is not kept is 503');
    my $res = get($bob, '/goals');
    is($res->code, 200, 'what is kept goes on');
    like(status($res), qr/hit/, 'as a hit');
    $s->start_postgres;
    ok(poll(15, sub { get($late, '/goals?limit=3')->code == 200 }), 'and it is back');
};

subtest 'more than there is room for' => sub {
    my $small = FitNudge::Test::Stack->new(nginx_workers => 2, shared => 'fitnudge_cache_zone 512k;', redis_url => 'unix:' . $s->redis_socket,
        database_url => "postgres://postgres\@/fitnudge?host=$s->{sock}");
    $small->prepare;
    system('cp', '-p', $s->secret_file('jwt_secret'), $small->dir . '/secrets/jwt_secret') == 0 or die;
    $small->start_nginx->wait_ready;
    my %code;
    my $ua = agent();
    for my $n (1 .. 1500) {
        my $token = $s->mint_jwt(sub => FitNudge::Test::Stack::uuid());
        $code{call($small, GET => '/goals', token => $token, ua => $ua)->code}++;
    }
    is_deeply(\%code, { 200 => 1500 }, 'everybody is answered');
    my $token = $s->mint_jwt(sub => FitNudge::Test::Stack::uuid());
    call($small, GET => '/goals', token => $token, ua => $ua);
    like(status(call($small, GET => '/goals', token => $token, ua => $ua)), qr/hit/, 'and the last are kept');
    $small->assert_clean;
    $small->stop->remove;
};

$s->assert_clean(qr/postgres|redis/);
done_testing;
