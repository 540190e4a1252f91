# Feeds and pages: walking a list sees every row once, and cursors cannot be made by hand.
use Mojo::Base -strict, -signatures;
use FindBin;
use lib "$FindBin::Bin/lib";
use FitNudge::Test::Contract;
use FitNudge::Test::Stack;
use Test::More;

my $s = FitNudge::Test::Stack->new->start;
my $u = new_user($s);
my $other = new_user($s);
make_pro($s, $u, $other);
my %p = (token => $u->{token});
my @goal = map { call($s, POST => '/goals', %p, json => { title => "g$_", frequency => 1 })->json->{id} } 1 .. 3;

# Three goals checked in on the same 41 dates: many rows with equal dates
$s->sql("INSERT INTO checkins (user_id, goal_id, date, status) SELECT '$u->{id}', g::uuid, date '2025-01-01' + n, 'done'"
    . " FROM unnest(ARRAY['" . join("','", @goal) . "']) g, generate_series(0, 40) n");
$s->sql("INSERT INTO motivations (user_id, goal_id, text, tone, language, source, created_at)"
    . " SELECT '$u->{id}', '$goal[0]', 'text ' || n, 'calm', 'en', 'fallback', timestamptz '2025-01-01' + (n / 4) * interval '1 hour'"
    . ' FROM generate_series(1, 57) n');

sub walk ($path, $things, $limit) {
    my (@seen, $cursor, $pages);
    my $sep = $path =~ /\?/ ? '&' : '?';
    while (1) {
        my $res = call($s, GET => "$path${sep}limit=$limit" . (defined $cursor ? "&cursor=$cursor" : ''), %p);
        return "status " . ($res->code // 'none') . ' ' . $res->body if ($res->code // 0) != 200;
        my $j = $res->json;
        return 'pagination' if join(',', sort keys %{ $j->{pagination} }) ne 'limit,next_cursor' || $j->{pagination}{limit} != $limit;
        return 'more than asked' if @{ $j->{$things} } > $limit;
        push @seen, map { $_->{id} } @{ $j->{$things} };
        $cursor = $j->{pagination}{next_cursor} // last;
        return "cursor $cursor" if $cursor !~ /\A[A-Za-z0-9_-]{1,256}\z/;
        return 'does not end' if ++$pages > 200;
    }
    return \@seen;
}

for my $case (['/checkins', 'checkins', "SELECT id FROM checkins WHERE user_id = '$u->{id}'"],
              ["/goals/$goal[1]/checkins", 'checkins', "SELECT id FROM checkins WHERE goal_id = '$goal[1]'"],
              ['/checkins?from=2025-01-05&to=2025-01-20', 'checkins', "SELECT id FROM checkins WHERE date BETWEEN '2025-01-05' AND '2025-01-20'"],
              ['/motivations', 'motivations', "SELECT id FROM motivations WHERE user_id = '$u->{id}'"],
              ["/motivations?goal_id=$goal[0]", 'motivations', "SELECT id FROM motivations WHERE goal_id = '$goal[0]'"],
              ["/motivations?goal_id=$goal[1]", 'motivations', 'SELECT id FROM motivations WHERE false']) {
    my ($path, $things, $sql) = @$case;
    subtest $path =~ s/[0-9a-f-]{36}/{id}/r => sub {
        my @want = sort split /\s+/, $s->sql("SELECT coalesce(string_agg(id::text, ' '), '') FROM ($sql) q") // '';
        for my $limit (1, 7, 20, 100) {
            next if $limit == 1 && @want > 60;
            my $seen = walk($path, $things, $limit);
            ref $seen or fail("limit $limit: $seen"), next;
            is_deeply([sort @$seen], \@want, "by $limit: " . @want . ' rows, each once');
        }
    };
}

subtest 'rows that come and go meanwhile' => sub {
    my $j = call($s, GET => '/checkins?limit=10', %p)->json;
    my @first = map { $_->{id} } @{ $j->{checkins} };
    call($s, DELETE => "/checkins/$first[9]", %p);
    call($s, POST => "/goals/$goal[0]/checkins", %p, json => { status => 'done' });
    my $next = call($s, GET => "/checkins?limit=10&cursor=$j->{pagination}{next_cursor}", %p)->json;
    my %first = map { $_ => 1 } @first;
    is(scalar(grep { $first{ $_->{id} } } @{ $next->{checkins} }), 0, 'nothing is seen twice');
    is(scalar @{ $next->{checkins} }, 10, 'nothing is missing');
};

subtest 'cursors' => sub {
    my $c = call($s, GET => '/checkins?limit=5', %p)->json->{pagination}{next_cursor};
    ok($c, 'a cursor');
    status_ok(call($s, GET => "/checkins?limit=50&cursor=$c", %p), 200, 'works with another limit');
    my $bad = sub ($cursor, $name, $path = '/checkins', $token = $u->{token}) {
        error_ok(call($s, GET => "$path?cursor=$cursor", token => $token), 400, $name, field => 'cursor');
    };
    my $n = length $c;
    for my $i (0, 1, int($n / 3), int($n / 2), $n - 3, $n - 2) {
        my $t = $c;
        substr($t, $i, 1) = substr($t, $i, 1) eq 'A' ? 'B' : 'A';
        $bad->($t, "character $i changed");
    }
    $bad->(substr($c, 0, -2), 'cut');
    $bad->("${c}AAAA", 'longer');
    $bad->('', 'empty');
    $bad->('AAAA', 'too short');
    $bad->('A' x 256, '256 characters');
    $bad->('A' x 257, '257 characters');
    $bad->('%2B%2F%3D', 'other characters');
    $bad->($c, 'of another list', '/motivations');
    my $foreign = call($s, GET => "/checkins?cursor=$c", token => $other->{token});
    ok($foreign->code == 400 || ($foreign->code == 200 && !@{ $foreign->json->{checkins} }), "shows nothing to somebody else");
};

subtest 'limits' => sub {
    for my $path ('/goals', '/checkins', "/goals/$goal[0]/checkins", '/motivations') {
        my $n = $path =~ s/[0-9a-f-]{36}/{id}/r;
        error_ok(call($s, GET => "$path?limit=0", %p), 400, "$n: 0", field => 'limit', constraint => 'min');
        error_ok(call($s, GET => "$path?limit=101", %p), 400, "$n: 101", field => 'limit', constraint => 'max');
        error_ok(call($s, GET => "$path?limit=$_", %p), 400, "$n: '$_'", field => 'limit')
            for '', '-1', '1.5', '1e1', 'x', '%00', '0x10', '99999999999999999999', '+1', '%201';
        status_ok(call($s, GET => "$path?limit=$_", %p), 200, "$n: $_") for 1, 100;
        is(call($s, GET => $path, %p)->json->{pagination}{limit}, 20, "$n: 20 by default");
    }
    error_ok(call($s, GET => "/goals?page=$_", %p), 400, "page $_", field => 'page') for 0, -1, 100001, 'x', '';
    is_deeply(call($s, GET => '/goals?page=100000', %p)->json->{goals}, [], 'the last page');
};

$s->assert_clean;
done_testing;
