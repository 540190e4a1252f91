# /metrics says what happened: exactly, over all processes, reloads and crashes; and nobody else can read it.
use Mojo::Base -strict, -signatures;
use FindBin;
use lib "$FindBin::Bin/lib";
use FitNudge::Test::Contract;
use FitNudge::Test::Metrics;
use FitNudge::Test::Stack;
use Mojo::File qw(path);
use Mojo::JSON qw(decode_json);
use Test::More;

our $s = FitNudge::Test::Stack->new(
    nginx_workers => 2,
    http => 'log_format took "$fitnudge_duration $status $uri"; limit_conn_zone $uri zone=odd"na\\\\me:1m;',
    server => <<'CONF')->start;
fitnudge_cache off;
add_header X-Pid $pid always;
set_real_ip_from 127.0.0.1;
real_ip_header X-Forwarded-For;
access_log log/took.log took;
location /plain { fitnudge off; return 204; }
location /api/v1/goals/refused { return 503; }
CONF

# All series of one look at /metrics, checked: name{labels} => value
my $families;
sub scrape () {
    my $res = agent()->get($s->url('/metrics'))->res;
    ($families, my $bad) = parse_metrics($res->body // '');
    if (@$bad || ($res->code // 0) != 200) { fail('/metrics is well-formed'); diag(join "\n", $res->code // 'none', @$bad) }
    return { map { %{ $_->{samples} } } values %$families };
}

sub requests ($m, $method, $route, $status) {
    return $m->{qq(fitnudge_http_requests_total{http_request_method="$method",http_response_status_code="$status",http_route="$route"})} // 0;
}

sub sum_of ($m, $re) { my $n = 0; $n += $m->{$_} for grep { $_ =~ $re } keys %$m; return $n }

# Waits until a series has a value, or satisfies a test.
sub becomes ($series, $want, $name) {
    my $got;
    my $ok = poll(15, sub { $got = scrape()->{$series}; defined $got && (ref $want ? $want->($got) : $got == $want) });
    ok($ok, $name) or diag("$series is " . ($got // 'missing'));
    return $ok;
}

# A request is counted when its answer has left: what two looks agree on is all there was.
sub settled () {
    my ($last, $m) = ('');
    poll(10, sub {
        $m = scrape();
        my $now = sum_of($m, qr/^fitnudge_http_requests_total.*http_route="(?!other)/);
        my $same = $now eq $last;
        $last = $now;
        $same
    });
    return $m;
}

my $u = new_user($s);
my %p = (token => $u->{token});
my $goal = call($s, POST => '/goals', %p, json => { title => 'Run', frequency => 3 })->json->{id};

subtest 'the format' => sub {
    my $res = agent()->get($s->url('/metrics'))->res;
    is($res->headers->content_type, 'text/plain; version=0.0.4; charset=utf-8', 'content type');
    is($res->headers->cache_control, 'no-store', 'is not cached');
    my ($f, $bad) = parse_metrics($res->body);
    is_deeply($bad, [], 'is well-formed');
    cmp_ok(scalar(keys %$f), '>', 30, 'there is much to know');
    like($res->body, qr/^fitnudge_zone_size_bytes\{zone="odd\\"na\\\\me"\} 1048576$/m, 'a zone with an odd name');
    my @le = grep { m{^http_server_request_duration_seconds_bucket\{http_request_method="POST",http_route="/api/v1/goals"} } split /\n/, $res->body;
    is_deeply([map { /le="([^"]+)"/ } @le], [qw(5e-05 0.0001 0.00025 0.0005 0.001 0.0025 0.005 0.01 0.025 0.05 0.075 0.1 0.25 0.5 0.75 1 2.5 5 7.5 10 +Inf)],
        'the boundaries');

    # the parser sees mistakes
    for my $case (["a 1\n", 'no family'], ["# HELP a x\n# TYPE a gauge\na 1\na 1\n", 'twice'], ["# HELP a x\n# TYPE a gauge\na{b=\"\\x\"} 1\n", 'labels'],
        ["# HELP a x\n# TYPE a histogram\na_bucket{le=\"1\"} 2\na_bucket{le=\"+Inf\"} 1\na_sum 1\na_count 1\n", 'cumulative'],
        ["# HELP a x\n# TYPE a histogram\na_bucket{le=\"1\"} 1\na_bucket{le=\"+Inf\"} 1\na_sum 1\na_count 2\n", 'not the count'],
        ["# HELP a x\n# TYPE a gauge\na 1\n# HELP b x\n# TYPE b gauge\na 2\n", 'another family']) {
        like(join("\n", @{ (parse_metrics($case->[0]))[1] }), qr/$case->[1]/, "a mistake is found: $case->[1]");
    }
};

subtest 'numbers are what was asked, in both processes' => sub {
    my $before = settled();
    my %pid;
    for my $res (map { calls($s, map { [GET => '/goals', %p, ua => agent()] } 1 .. 10) } 1 .. 4) { $pid{ $res->headers->header('X-Pid') // '' }++ }
    is(scalar keys %pid, 2, 'both processes were asked');
    call($s, HEAD => '/goals', %p);
    call($s, GET => "/goals/$goal", %p) for 1 .. 3;
    call($s, GET => '/goals/01900000-0000-7000-8000-000000000000', %p);
    call($s, GET => '/goals', token => 'x.y.z') for 1 .. 2;
    call($s, POST => "/goals/$goal/checkins", %p, json => { status => 'done' }) for 1 .. 2;
    call($s, POST => '/goals', %p, json => {});
    raw($s, "POST /api/v1/goals HTTP/1.1\r\nHost: x\r\nContent-Length: 11000000\r\nConnection: close\r\n\r\n");
    agent()->get($s->url('/plain/x')) for 1 .. 3;
    call($s, GET => '/goals/refused', %p);

    my $m = settled();
    my $more = sub ($method, $route, $status) { requests($m, $method, $route, $status) - requests($before, $method, $route, $status) };
    my $grown = sub ($series) { $m->{$series} - $before->{$series} };
    is($more->(GET => '/api/v1/goals', 200), 41, 'reads, HEAD with them');
    is($more->(GET => '/api/v1/goals/{id}', 200), 3, 'the template is the label');
    is($more->(GET => '/api/v1/goals/{id}', 404), 1, 'not found');
    is($more->(GET => '/api/v1/goals', 401), 2, 'bad tokens');
    is($more->(POST => '/api/v1/goals/{id}/checkins', 201), 1, 'a write');
    is($more->(POST => '/api/v1/goals/{id}/checkins', 409), 1, 'a conflict');
    is($more->(POST => '/api/v1/goals', 400), 1, 'a mistake');
    is($more->(POST => '/api/v1/goals', 413), 1, 'a body too large belongs to its route');
    is($more->(GET => '/api/v1/goals/{id}', 503), 1, 'what nginx answers for it, too');
    is($more->(_OTHER => 'other', 204), 3, 'what is not FitNudge');
    is($grown->('fitnudge_tokens_total{result="invalid"}'), 2, 'invalid tokens');
    is($grown->('fitnudge_tokens_total{result="valid"}'), 48, 'valid ones');
    is($grown->('fitnudge_postgres_queries_total{result="ok"}'), 45, 'reads of PostgreSQL');
    is($grown->('fitnudge_writes_total{result="answered"}'), 2, 'writes that were answered');
    is($m->{'fitnudge_write_reply_duration_seconds_count{}'}, $m->{'fitnudge_writes_total{result="answered"}'}, 'were measured');
    is($m->{'fitnudge_postgres_query_duration_seconds_count{}'}, sum_of($m, qr/^fitnudge_postgres_queries_total\{result="(?:ok|rejected)"/), 'reads were measured');

    my $count = $m->{'http_server_request_duration_seconds_count{http_request_method="GET",http_route="/api/v1/goals"}'};
    is($count, sum_of($m, qr{^fitnudge_http_requests_total\{http_request_method="GET",.*http_route="/api/v1/goals"\}}), 'every request was measured');
    my $mean = $m->{'http_server_request_duration_seconds_sum{http_request_method="GET",http_route="/api/v1/goals"}'} / $count;
    ok($mean > 1e-6 && $mean < 5, "the mean is credible: $mean s");

    my @same = grep { my $x = scrape(); requests($x, GET => '/api/v1/goals', 200) == requests($m, GET => '/api/v1/goals', 200) } 1 .. 8;
    is(scalar @same, 8, 'whichever process is asked');
};

subtest 'a label has few values' => sub {
    my $before = settled();
    my $series = grep { /http_route/ } keys %$before;
    call($s, GET => "/nothing/$_/" . ('x' x $_)) for 1 .. 60;
    raw($s, "GET /%ff%22%5c%0a$_ HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n") for 1 .. 5;
    call($s, PUT => '/goals', %p);
    raw($s, "BREW /api/v1/goals HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    raw($s, "GARBAGE\r\n\r\n");
    raw($s, "GET / HTTP/1.1\r\nHost: x\r\nX: " . ('x' x 70000) . "\r\n\r\n");
    my $m = settled();
    my %route = map { /http_route="([^"]*)"/ ? ($1 => 1) : () } keys %$m;
    is_deeply([grep { !m{^(?:unmatched|other|/api/v1/[\w/{}.-]+|/health[/\w]*)$} } sort keys %route], [], 'routes are templates');
    my %status = map { /http_response_status_code="([^"]*)"/ ? ($1 => 1) : () } keys %$m;
    is_deeply([grep { !/^(?:\d{3}|other)$/ } sort keys %status], [], 'statuses are three digits');
    my $more = sub ($status) { requests($m, _OTHER => 'unmatched', $status) - requests($before, _OTHER => 'unmatched', $status) };
    is($more->(404), 65, 'unknown paths are one');
    is($more->(405), 2, 'methods that are not allowed are one');
    is($more->(400), 2, 'what is no request is counted');
    cmp_ok((grep { /http_route/ } keys %$m) - $series, '<', 60, 'few new series');
};

subtest 'who may read it' => sub {
    for my $path ('/metrics', '/status') {
        is(agent()->get($s->url($path))->res->code, 200, "$path: this machine");
        is(agent()->get($s->url($path) => { 'X-Forwarded-For' => $_ })->res->code, 403, "$path: not $_") for '203.0.113.9', '10.0.0.1', '2001:db8::1';
        my $head = agent()->head($s->url($path))->res;
        is($head->code, 200, "$path: HEAD");
        is($head->body, '', "$path: without a body");
        cmp_ok($head->headers->content_length, '>', 1000, "$path: with its length");
        is(agent()->post($s->url($path) => 'x=1')->res->code, 405, "$path: POST");
        is(agent()->delete($s->url($path))->res->code, 405, "$path: DELETE");
    }
    is(agent()->get($s->url('/metrics/x'))->res->code, 404, 'nothing below it');
    is(agent()->get($s->url('/metrics?x=1'))->res->code, 200, 'parameters do no harm');
};

subtest 'the same for people' => sub {
    my $res = agent()->get($s->url('/status'))->res;
    is($res->headers->content_type, 'application/json', 'JSON');
    my $j = $res->json;
    is(scalar @{ $j->{processes} }, 2, 'two processes');
    is_deeply([sort map { $_->{pid} } @{ $j->{processes} }], [sort @{ $s->pids->{nginx_workers} }], 'by their pids');
    my ($goals) = grep { $_->{method} eq 'GET' && $_->{route} eq '/api/v1/goals' } @{ $j->{routes} };
    my $m = scrape();
    is($goals->{statuses}{200}, requests($m, GET => '/api/v1/goals', 200), 'the numbers of /metrics');
    ok($goals->{duration}{p50_ms} > 0 && $goals->{duration}{p99_ms} >= $goals->{duration}{p50_ms}, 'quantiles');
    is($j->{zones}{'odd"na\\me'}{size}, 1048576, 'zones');
    my %rows = (%{ $j->{counters} }, %{ $j->{gauges} });
    is_deeply([grep { !exists $m->{ /\{/ ? $_ : "$_\{}" } } sort keys %rows], [], 'under the names of /metrics');
};

subtest 'how full the zones are' => sub {
    my $full = FitNudge::Test::Stack->new(limits => 1, nginx_workers => 2, shared => 'fitnudge_cache_zone 512k;', redis_url => 'unix:' . $s->redis_socket,
        database_url => "postgres://postgres\@/fitnudge?host=$s->{sock}");
    $full->prepare;
    system('cp', '-p', $s->secret_file('jwt_secret'), $full->dir . '/secrets/jwt_secret') == 0 or die;
    $full->start_nginx->wait_ready;
    local $s = $full;
    my $of = sub ($what, $zone) { sum_of(scrape(), qr/^fitnudge_zone_${what}\{zone="fitnudge_${zone}"/) };
    my $new = sub { $s->mint_jwt(sub => FitNudge::Test::Stack::uuid()) };
    is($of->(entries => 'cache_\d'), 0, 'the cache is empty');
    is($of->(used_bytes => 'cache_\d'), 0, 'and takes up nothing');
    is($of->(entries => 'limit_user'), 0, 'nobody has asked');
    becomes('fitnudge_changes_subscribed{}', 2, 'both processes hear of changes');
    ok(poll(10, sub { my $token = $new->(); call($s, GET => '/goals', token => $token, ua => agent()); $of->(entries => 'cache_\d') > 0 }), 'the first answer is kept');
    my ($entries, $bytes, $keys) = map { $of->(@$_) } [entries => 'cache_\d'], [used_bytes => 'cache_\d'], [entries => 'limit_user'];
    status_ok($_, 200, 'a user') for calls($s, map { [GET => '/goals', token => $new->()] } 1 .. 20);
    is($of->(entries => 'cache_\d'), $entries + 20, 'an entry for each');
    is($of->(used_bytes => 'cache_\d'), $bytes + 20 * 1024, 'of one chunk');
    is($of->(entries => 'limit_user'), $keys + 20, 'and a key');
    calls($s, map { [GET => '/goals', token => $new->()] } 1 .. 50) for 1 .. 16;
    my $m = scrape();
    for my $zone (map { /^fitnudge_zone_used_bytes\{zone="(.+)"\}$/ ? $1 : () } sort keys %$m) {
        my ($used, $size) = map { $m->{qq(fitnudge_zone_${_}_bytes{zone="$zone"})} } qw(used size);
        cmp_ok($used, '<=', $size, "$zone: $used of $size");
    }
    cmp_ok($of->(used_bytes => 'cache_\d'), '>', 400 * 1024, 'a full cache');
    cmp_ok($of->(entries => 'cache_\d'), '<', 512, 'makes room');
    is($of->(resets_total => 'cache_\d'), 0, 'and was never emptied');
    my $j = agent()->get($s->url('/status'))->res->json->{zones};
    is($j->{fitnudge_limit_user}{entries}, $of->(entries => 'limit_user'), 'the same for people');
    is_deeply([sort keys %{ $j->{fitnudge_metrics} }], [qw(failures free size)], 'other zones have no entries');
    $full->assert_clean;
    $full->stop->remove;
};

subtest 'time in the log' => sub {
    my @line = split /\n/, path($s->dir, 'log', 'took.log')->slurp;
    cmp_ok(scalar @line, '>', 100, 'lines');
    is_deeply([grep { !/^\d+\.\d{6} \d{3} / } @line], [], 'seconds with microseconds');
    ok((grep { /^\d+\.0*[1-9]/ } @line), 'and not all zero');
};

# What has to survive: no number gets smaller, and nobody asked for this route meanwhile.
sub kept ($before, $name) {
    my $m = settled();
    my @lost = grep { ($m->{$_} // 0) < $before->{$_} } grep { /_total|_bucket|_count/ } keys %$before;
    is_deeply(\@lost, [], "$name: no number went back");
    is(requests($m, GET => '/api/v1/goals/{id}', 200), requests($before, GET => '/api/v1/goals/{id}', 200), "$name: nor forward");
}

sub reload ($change = undef) {
    my $loads = scrape()->{'fitnudge_config_loads_total{}'};
    my %old = map { $_ => 1 } @{ $s->pids->{nginx_workers} };
    my $conf = path($s->dir, 'nginx.conf');
    $conf->spurt($change->($conf->slurp)) if $change;
    $s->reload_nginx;
    ok(poll(20, sub { my @now = @{ $s->pids->{nginx_workers} }; @now && !grep { $old{$_} } @now }), 'all processes are new');
    is(scrape()->{'fitnudge_config_loads_total{}'}, $loads + 1, 'the reload was counted');
}

subtest 'a reload loses nothing' => sub {
    my $before = settled();
    reload();
    kept($before, 'reload');
    becomes('fitnudge_processes{}', 2, 'two processes');
    for my $n (5, 1, 2) {
        reload(sub ($text) { $text =~ s/worker_processes \d+;/worker_processes $n;/r });
        kept($before, "$n processes");
        becomes('fitnudge_processes{}', $n, "$n are alive");
        becomes('fitnudge_redis_connections{role="commands"}', $n, 'gauges are of those');
    }
    is(scrape()->{'fitnudge_start_time_seconds{}'}, $before->{'fitnudge_start_time_seconds{}'}, 'nginx was not started anew');
};

subtest 'a reload that is refused changes nothing' => sub {
    my $before = settled();
    my $conf = path($s->dir, 'nginx.conf');
    my $good = $conf->slurp;
    $conf->spurt($good =~ s/^\s*fitnudge_postgres .*$//mr);
    $s->reload_nginx;
    ok(poll(10, sub { $s->error_log =~ /there is no "fitnudge_postgres" directive/ }), 'refused');
    $conf->spurt($good);
    is(scrape()->{'fitnudge_config_loads_total{}'}, $before->{'fitnudge_config_loads_total{}'}, 'is not counted');
    kept($before, 'refused reload');
};

subtest 'a process that is killed takes nothing with it' => sub {
    my $before = settled();
    my $pid = $s->pids->{nginx_workers}[0];
    kill KILL => $pid;
    ok(poll(10, sub { my @now = @{ $s->pids->{nginx_workers} }; @now == 2 && !grep { $_ == $pid } @now }), 'another comes');
    kept($before, 'kill -9');
    becomes('fitnudge_processes{}', 2, 'the dead one is not counted');
    becomes('fitnudge_postgres_connections{state="ready"}', 4, 'nor its connections');
};

subtest 'a process that hangs is not counted' => sub {
    my ($pid) = @{ $s->pids->{nginx_workers} };
    kill STOP => $pid;
    # the kernel gives connections to both: those of the one that stands still are given up
    my $seen = poll(20, sub { my $res = agent(request_timeout => 1)->get($s->url('/metrics'))->res; ($res->body // '') =~ /^fitnudge_processes 1$/m });
    kill CONT => $pid;
    ok($seen, 'one is left');
    becomes('fitnudge_processes{}', 2, 'it is counted again');
};

subtest 'gauges tell of outages' => sub {
    becomes('fitnudge_changes_subscribed{}', 2, 'the change channel is heard');
    my $before = scrape();
    my $above = sub ($series, $n = 1) { sub ($v) { $v >= $before->{$series} + $n } };
    $s->stop_redis;
    becomes(qq(fitnudge_redis_connections{role="$_"}), 0, "Redis is away: $_") for qw(commands replies changes);
    becomes('fitnudge_changes_subscribed{}', 0, 'the change channel is not heard');
    becomes('fitnudge_changes_silence_seconds{}', sub ($v) { $v > 1 }, 'and how long that has been so');
    becomes($_, $above->($_), 'failures') for 'fitnudge_redis_connection_failures_total{role="commands"}';
    call($s, PATCH => "/goals/$goal", %p, json => { title => 'x' });
    becomes('fitnudge_http_requests_total{http_request_method="PATCH",http_response_status_code="503",http_route="/api/v1/goals/{id}"}', 1, 'and what it means to clients');
    $s->start_redis;
    becomes(qq(fitnudge_redis_connections{role="$_"}), 2, "Redis is back: $_") for qw(commands replies changes);
    becomes('fitnudge_changes_subscribed{}', 2, 'subscribed again');
    becomes($_, $above->($_, 2), 'which was counted') for 'fitnudge_changes_subscriptions_total{}';

    $before = scrape();
    $s->stop_postgres;
    becomes('fitnudge_postgres_connections{state="ready"}', 0, 'PostgreSQL is away');
    call($s, GET => '/goals', %p);
    becomes($_, $above->($_), 'reads are refused') for 'fitnudge_postgres_queries_total{result="unavailable"}';
    becomes($_, $above->($_, 4), 'failures') for 'fitnudge_postgres_connection_failures_total{}';
    $s->start_postgres;
    # the first one of each process by itself, the others with reads; new connections go to either process
    ok(poll(20, sub {
        my $ua = agent();
        calls($s, map { [GET => '/goals', %p, ua => $ua] } 1 .. 20);
        scrape()->{'fitnudge_postgres_connections{state="ready"}'} == 4
    }), 'PostgreSQL is back');
};

subtest 'work that is under way' => sub {
    my $before = settled();
    my @children = map { $_->{pid} } @{ $s->pids->{pool_children} };
    kill STOP => @children;
    my @sock = map {
        raw_start($s, "PATCH /api/v1/goals/$goal HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer $u->{token}\r\n"
            . "Content-Type: application/json\r\nContent-Length: 13\r\n\r\n{\"title\":\"y\"}")
    } 1 .. 3;
    becomes('fitnudge_writes_waiting{}', 3, 'writes that wait');
    close pop @sock;
    becomes('fitnudge_writes_total{result="abandoned"}', $before->{'fitnudge_writes_total{result="abandoned"}'} + 1, 'a client that left');
    becomes('fitnudge_http_requests_total{http_request_method="PATCH",http_response_status_code="499",http_route="/api/v1/goals/{id}"}', 1, 'is 499');
    kill CONT => @children;
    is((raw_answers($_, 1))[0]->code, 200, 'the others are answered') for @sock;
    becomes('fitnudge_writes_waiting{}', 0, 'nobody waits any more');
    becomes('fitnudge_replies_unclaimed_total{}', sub ($v) { $v > 0 }, 'the reply that nobody wanted');

    call($s, POST => '/auth/logout', %p, json => {});
    becomes('fitnudge_revocations_total{}', 1, 'a session that ended');
    becomes('fitnudge_revoked_sessions{}', 1, 'is in the table');
};

subtest 'the page about metrics' => sub {
    scrape();
    my $free = qr/^(?:zone|version|nginx)$|^http_/;     # labels whose values are not ours to list
    my %row = map { /^\| `(\w+)` \| (\w+) \| (.*?) \| (.*) \|$/ ? ($1 => { type => $2, labels => $3, help => $4 }) : () }
        split /\n/, (split /^# Metrics of the pool$/m, path($s->root, "docs", "metrics.md")->slurp)[0];
    for my $name (sort keys %$families) {
        my $f = $families->{$name};
        my $labels = join '; ', map { my $l = $_; "`$l`" . ($l =~ $free ? '' : ': ' . join ', ', sort keys %{ $f->{labels}{$l} }) }
            grep { $_ ne 'le' } sort keys %{ $f->{labels} };
        my $want = "| `$name` | $f->{type} | $labels | $f->{help} |";
        my $row = $row{$name} // {};
        my $same = ($row->{type} // '') eq $f->{type} && ($row->{help} // '') eq $f->{help} && ($row->{labels} // '') eq $labels;
        ok($same, "$name is described") or diag("the page has to say:\n$want");
    }
    ok($families->{$_}, "$_ exists") for sort keys %row;
};

subtest 'the dashboard and the alerts ask for what there is' => sub {
    my $board = decode_json(path($s->root, 'conf', 'grafana', 'fitnudge-edge.json')->slurp);
    ok($board->{schemaVersion} >= 36 && $board->{title} && $board->{uid}, 'a dashboard');
    my (@expr, %id);
    for my $panel (map { ($_, @{ $_->{panels} // [] }) } @{ $board->{panels} }) {
        ok(!$id{ $panel->{id} }++ && $panel->{title} && $panel->{gridPos}, "$panel->{title}: a panel");
        push @expr, map { $_->{expr} } @{ $panel->{targets} // [] };
    }
    push @expr, map { ref $_->{query} ? $_->{query}{query} : $_->{query} } grep { ($_->{type} // '') eq 'query' } @{ $board->{templating}{list} // [] };
    cmp_ok(scalar @expr, '>', 15, 'it asks for something');

    my $rules = path($s->root, 'conf', 'prometheus', 'fitnudge.rules.yml');
    my @alert = $rules->slurp =~ /^\s*- alert: (\w+)$/mg;
    cmp_ok(scalar @alert, '>', 5, 'alerts');
    my $runbook = path($s->root, 'docs', 'operations.md')->slurp;
    like($runbook, qr/^### $_$/m, "$_: what to do is in docs/operations.md") for @alert;
    is_deeply([map { lc } @alert], [$rules->slurp =~ m{^ +runbook: docs/operations\.md#(\w+)$}mg], 'and where');
    my @rules = $rules->slurp =~ /^ +expr: (.+)$/mg;
    is(scalar @rules, scalar(() = $rules->slurp =~ /^ +expr:/mg), 'each on a line of its own');
    push @expr, @rules;

    my %known = map { my $n = $_; ($n => 1, $families->{$n}{type} eq 'histogram' ? map { $n . $_ => 1 } qw(_bucket _sum _count) : ()) } keys %$families;
    my %asked = map { $_ => 1 } map { s/"[^"]*"//gr =~ /\b((?:fitnudge|http_server)_\w+)/g } @expr;
    is_deeply([grep { !$known{$_} } sort keys %asked], [], 'every metric exists');
    my %label = map { $_ => 1 } qw(instance job le), map { keys %{ $_->{labels} } } values %$families;
    my %by = map { $_ => 1 } map { split /\s*,\s*/ } map { /\b(?:by|without)\s*\(([^)]*)\)/g } @expr;
    is_deeply([grep { !$label{$_} } sort keys %by], [], 'every label exists');

    chomp(my $promtool = `command -v promtool 2>/dev/null`);
    SKIP: {
        skip 'promtool is not installed', 2 if !$promtool;
        my $out = `'$promtool' check rules '$rules' 2>&1`;
        is($?, 0, 'promtool has nothing to say of the rules') or diag($out);
        my $text = path($s->dir, 'metrics.txt');
        $text->spurt(agent()->get($s->url('/metrics'))->res->body);
        $out = `'$promtool' check metrics < '$text' 2>&1`;
        is($?, 0, 'nor of /metrics') or diag($out);
    }
};

# A configuration that says it wrongly, or says nothing else
sub nginx_t ($text) {
    my $file = path($s->dir, 'other.conf');
    $file->spurt($text);
    my $out = `/usr/sbin/nginx -t -e '@{[$s->dir]}/log/test.log' -p '@{[$s->dir]}/' -c '$file' 2>&1`;
    return ($?, $out);
}

subtest 'the configuration' => sub {
    my $good = path($s->dir, 'nginx.conf')->slurp;
    my $with = sub ($line) { $good =~ s/^(\s*location = \/metrics )/$line\n$1/mr };
    local $ENV{LD_PRELOAD} = $s->{asan} ? `gcc -print-file-name=libasan.so` =~ s/\n//r : '';
    local $ENV{ASAN_OPTIONS} = 'detect_leaks=0';
    for my $case (
        ['location /a { fitnudge_metrics on; }', qr/invalid number of arguments in "fitnudge_metrics" directive/],
        ['location /a { fitnudge_metrics; fitnudge_metrics; }', qr/"fitnudge_metrics" directive is duplicate/],
        ['location /a { fitnudge_metrics; fitnudge_status; }', qr/"fitnudge_status" directive conflicts with what else the location answers/],
        ['location /a { stub_status; fitnudge_metrics; }', qr/"fitnudge_metrics" directive conflicts/],
        ['fitnudge_metrics;', qr/"fitnudge_metrics" directive is not allowed here/], ['fitnudge_status;', qr/"fitnudge_status" directive is not allowed here/],
    ) {
        my ($rc, $out) = nginx_t($with->($case->[0]));
        isnt($rc, 0, "refused: $case->[0]");
        like($out, $case->[1], 'and why');
    }
    my ($load) = $good =~ /^(load_module .*)$/m;
    my ($rc, $out) = nginx_t("$load\npid \"@{[$s->dir]}/other.pid\";\nevents { }\nhttp { server { listen 127.0.0.1:1; "
        . "location / { fitnudge_metrics; } location /s { fitnudge_status; } } }\n");
    is($rc, 0, 'without the rest of FitNudge') or diag($out);
};

$s->assert_clean(qr/connect\(\)|No such file|Connection refused|exited on signal 9|there is no "fitnudge_postgres"/);
done_testing;
