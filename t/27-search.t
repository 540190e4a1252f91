# Search over HTTP: what is found and in which order, in four languages, whatever is typed; suggestions; what was searched for is noted.
use Mojo::Base -strict, -signatures;
use FindBin;
use lib "$FindBin::Bin/lib";
use FitNudge::Test::Contract;
use FitNudge::Test::Stack;
use Mojo::Util qw(encode url_escape);
use Test::More;

my $s = FitNudge::Test::Stack->new(nginx_workers => 2)->start;
my $ada = new_user($s, name => 'Ada Lovelace');
my $bob = new_user($s, name => 'Bob Marathon');
my $hans = new_user($s, name => 'Hans Wurst', language => 'de');

sub posted ($who, $text, %f) { call($s, POST => '/posts', token => $who->{token}, json => { text => $text, %f })->json->{id} }
sub search ($who, $what, $q, $more = '') { call($s, GET => "/search/$what?q=" . url_escape(encode('UTF-8', $q)) . $more, token => $who->{token}) }
sub found ($who, $what, $q, $more = '') { [map { $_->{id} } @{ search($who, $what, $q, $more)->json->{results} }] }

subtest 'posts' => sub {
    my $run = posted($ada, "Morning run\nTen kilometres along the river");
    my $ran = posted($bob, 'She was running, and running, and it rained');
    my $lauf = posted($hans, "Der Lauf\nWir liefen durch die W\x{e4}lder");
    my $secret = posted($ada, 'running from myself', is_public => \0);
    is_deeply([sort @{ found($bob, posts => 'runs') }], [sort $run, $ran], 'by the stem of a word');
    is_deeply(found($hans, posts => "W\x{e4}lder"), [$lauf], 'in German');
    is_deeply(found($bob, posts => "W\x{e4}lder"), [$lauf], 'whoever asks');
    is_deeply(found($bob, posts => '"along the river"'), [$run], 'a phrase');
    is_deeply(found($bob, posts => 'running -rained'), [$run], 'not with a word');
    is_deeply([sort @{ found($bob, posts => 'rained or river') }], [sort $run, $ran], 'either');
    is_deeply(found($ada, posts => 'running', "&user_id=$ada->{id}"), [$secret, $run], "one's own, also what is private: the words in the title first");
    is_deeply(found($bob, posts => 'running', "&user_id=$ada->{id}"), [$run], "of somebody else only what is public");
    is_deeply(found($bob, posts => 'running', '&from=2099-01-01'), [], 'from a date');
    is_deeply(found($bob, posts => 'running', '&to=2020-01-01'), [], 'to a date');

    call($s, POST => "/posts/$run/comments", token => $ada->{token}, json => { text => 'x' }) for 1 .. 3;
    $s->sql('INSERT INTO follows (follower_id, followee_id) VALUES (?, ?) RETURNING 1', $ada->{id}, $bob->{id});
    my $j = search($hans, posts => 'kilometres or rained')->json;
    is_deeply([map { $_->{id} } @{ $j->{results} }], [$ran, $run], 'who is followed comes first');
    is_deeply($j->{pagination}, { page => 1, limit => 20, total => 2 }, 'pagination');
    is_deeply(found($hans, posts => 'kilometres or rained', '&page=2&limit=1'), [$run], 'a page');
    my $new = posted($bob, 'running again');
    ok((grep { $_ eq $new } @{ found($bob, posts => 'running') }), 'what one has just written is found');
    call($s, DELETE => "/posts/$new", token => $bob->{token});
    ok(!(grep { $_ eq $new } @{ found($bob, posts => 'running') }), 'and what was deleted is not');
};

subtest 'goals' => sub {
    my $goal = call($s, POST => '/goals', token => $ada->{token}, json => { title => 'Swim', description => 'Crossing the lake', category => 'water', frequency => 2 })->json->{id};
    is_deeply(found($ada, goals => 'lakes'), [$goal], "one's own");
    is_deeply(found($bob, goals => 'lakes'), [], "nobody else's");
    is(search($ada, goals => 'swim')->json->{results}[0]{title}, 'Swim', 'as goals are');
};

subtest 'people' => sub {
    is_deeply(found($bob, users => 'love'), [$ada->{id}], 'by the beginning of a name');
    my $res = search($bob, users => 'ada lovelace');
    is_deeply($res->json->{results}, [{ id => $ada->{id}, name => 'Ada Lovelace', username => undef, avatar_url => undef }], 'and nothing private of them');
    unlike($res->body, qr/\Q$ada->{email}\E/, 'no address');
    is_deeply(found($bob, users => 'example.com'), [], 'which finds nobody either');
};

subtest 'whatever is typed' => sub {
    my @q = ('the', 'and or not', 'of the and', '!!', '&|', '!', q{''}, q{"}, '"""', '((((', ')(', ':*', 'a:*', '\\\\', '<->', 'a <-> b', '--', '- -', '%%', '__',
        'or or or', '"-"', "\x{1f4aa}\x{1f4aa}", "\x{202e}ab", 'NULL', "' OR 1=1 --", "\$1 \$2", "\\'x", '*:*', '<2>', '!(!(', 'a & ! b', '""-""', ':a:b:c', "a\tb", "a\nb");
    push @q, '!' x 100, '"' x 100, '(' x 100, '\\' x 100, "'" x 100, "\x{e9}" x 100, '-a ' x 33 . 'b', q{"'\\&|!()<>:*} x 7;
    for my $what (qw(posts goals users suggestions)) {
        my @res = map { search($ada, $what => $_) } grep { /\S.*\S/s } @q;
        my @bad = grep { $_->code != 200 } @res;
        is(scalar @bad, 0, "$what: answered") or diag(join "\n", map { $_->body } @bad);
    }
    is_deeply(found($ada, posts => 'the'), [], 'stop words find nothing');
    error_ok(search($ada, posts => 'x'), 400, 'too short', field => 'q', constraint => 'min_length');
    error_ok(search($ada, posts => 'x' x 101), 400, 'too long', field => 'q', constraint => 'max_length');
    error_ok(call($s, GET => '/search/posts', token => $ada->{token}), 400, 'no query', field => 'q', constraint => 'required');
    error_ok(search($ada, suggestions => 'ab', '&limit=11'), 400, 'too many suggestions', field => 'limit', constraint => 'max');
};

subtest 'noted' => sub {
    search($bob, posts => '  Yoga   CLASS ');
    search($bob, posts => 'yoga class', '&page=2');
    ok(poll(20, sub { $s->sql("SELECT count(*) FROM search_analytics WHERE query = 'yoga class'") }), 'a search is noted');
    search($bob, posts => '  Yoga   CLASS ');
    search($bob, posts => 'last one');
    ok(poll(20, sub { $s->sql("SELECT count(*) FROM search_analytics WHERE query = 'last one'") }), 'so is the next');
    is_deeply([$s->rows("SELECT user_id, scope, results_count FROM search_analytics WHERE query = 'yoga class'")], [[$bob->{id}, 'posts', 0]],
        'but neither another page nor what the cache answers');
    is($s->sql("SELECT results_count FROM search_analytics WHERE query = 'kilometres or rained'"), 2, 'with how much was found');

    my $res = call($s, POST => '/search/click', token => $bob->{token}, json => { query => 'Yoga class', result_id => $ada->{id}, position => 3 });
    status_ok($res, 202, 'a click is taken');
    is_deeply([$s->rows('SELECT user_id, query, position FROM search_clicks')], [[$bob->{id}, 'yoga class', 3]], 'and noted');
    error_ok(call($s, POST => '/search/click', token => $bob->{token}, json => { query => 'yoga', result_id => $ada->{id}, position => 0 }), 400, 'no place', field => 'position', constraint => 'min');
};

subtest 'suggestions' => sub {
    my @who = map { $_->[0] } $s->rows("INSERT INTO users (email, name) SELECT 's' || n || '\@x.example', 'Stranger' FROM generate_series(1, 3) n RETURNING id");
    for my $u (@who) {
        $s->sql("INSERT INTO search_analytics (user_id, scope, query, results_count) VALUES (?, 'posts', ?, 5) RETURNING 1", $u, $_) for 'marathon plan', 'march';
        $s->sql("INSERT INTO search_analytics (user_id, scope, query, results_count) VALUES (?, 'goals', 'mad at my boss', 5) RETURNING 1", $u);
        $s->sql("INSERT INTO goals (user_id, title, frequency, category) VALUES (?, 'x', 1, 'Martial arts') RETURNING 1", $u);
    }
    $s->sql("INSERT INTO search_analytics (user_id, scope, query, results_count) VALUES (?, 'posts', 'marathon plan', 5) RETURNING 1", $who[0]);
    $s->sql("INSERT INTO search_analytics (user_id, scope, query, results_count) VALUES (?, 'posts', 'mary from accounting', 5) RETURNING 1", $_) for @who[0, 0, 0, 1];
    $s->sql('SELECT pool.cron_views(now(), NULL)');
    my $j = search($hans, suggestions => 'Mar')->json->{suggestions};
    is_deeply($j, [{ type => 'term', text => 'marathon plan' }, { type => 'term', text => 'march' },
        { type => 'user', text => 'Bob Marathon', user_id => $bob->{id} }, { type => 'category', text => 'martial arts' }],
        'what many search for and pursue, and people; not what is only a few people\'s');
    is_deeply(search($hans, suggestions => 'mar', '&limit=1')->json->{suggestions}, [$j->[0]], 'as many as asked for');
    is_deeply(search($hans, suggestions => 'mad at')->json->{suggestions}, [], 'what is sought among goals is private');
};

$s->assert_clean;
done_testing;
