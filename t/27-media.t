# Media: uploads to presigned addresses, their completion, the list with its addresses, room, speech, and a storage that fails.
use Mojo::Base -strict, -signatures;
use FindBin;
use lib "$FindBin::Bin/lib";
use FitNudge::Test::Clock;
use FitNudge::Test::Contract;
use FitNudge::Test::Stack;
use FitNudge::Util qw(free_port);
use Test::More;

my $s = FitNudge::Test::Stack->new;
$s->prepare;
my $r2 = 'http://127.0.0.1:' . free_port('127.0.0.1');
$s->spawn('r2', { log => 'r2.log', death => 'TERM' }, $^X, $s->root . '/t/fakes/r2.pl', 'daemon', '-m', 'production', '-l', $r2);
$s->_await('r2', 20, sub { defined eval { $s->ua->get("$r2/_fake/requests")->result->code } }, 'r2.log');
@{ $s->{env} }{qw(R2_ID R2_SECRET)} = ('AKIDEXAMPLE', 'wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY');
$s->{pool} = "r2_endpoint $r2; r2_access_key env:R2_ID; r2_secret_key env:R2_SECRET; r2_bucket media; r2_timeout 5s; r2_attempts 1; r2_breaker_failures 0;";
$s->start;
my $clock = FitNudge::Test::Clock->new($s);

sub wish ($mode, %o) { $s->ua->post("$r2/_fake", json => { mode => $mode, %o })->result->code == 200 or die 'the fake does not answer' }
sub objects () { $s->ua->get("$r2/_fake/objects")->result->json }
sub allow ($u, %o) { call($s, POST => '/media/uploads', token => $u->{token}, json => { kind => 'image', content_type => 'image/png', bytes => 5, %o }) }
sub complete ($u, $id, %o) { call($s, POST => "/media/$id/complete", token => $u->{token}, %o) }
sub listed ($u, $query = '') { call($s, GET => "/media$query", token => $u->{token})->json }
sub put ($url, $type, $data) { $s->ua->put($url => { 'Content-Type' => $type } => $data)->result->code }
# from the wish to the finished upload
sub upload ($u, $data = 'image', %o) {
    my $up = allow($u, bytes => length $data, %o)->json;
    put($up->{upload_url}, $up->{content_type}, $data) == 200 or return;
    return complete($u, $up->{media_id})->json->{id};
}

my ($ann, $bob) = map { new_user($s) } 1 .. 2;

subtest 'an upload' => sub {
    my $res = allow($ann);
    status_ok($res, 201, 'is allowed');
    my $up = $res->json;
    like($up->{upload_url}, qr/\A\Q$r2\E\/media\/\Q$up->{key}\E\?X-Amz-.*SignedHeaders=content-length%3Bcontent-type%3Bhost/, 'at an address');
    like($up->{upload_url}, qr/X-Amz-Expires=3(?:600|59\d)&/, 'for an hour');
    like($up->{key}, qr/\Aprivate\/$ann->{id}\/image\//, 'under the user');
    is_deeply(listed($ann)->{media}, [], 'it is not listed yet');
    is(listed($ann)->{storage}{used}, 5, 'and takes room already');
    error_ok(complete($ann, $up->{media_id}), 409, 'nothing was uploaded', field => 'id', constraint => 'uploaded');
    is(put($up->{upload_url}, 'text/html', 'image'), 403, 'another type is refused by the storage');
    is(put($up->{upload_url}, 'image/png', 'images'), 403, 'and another length');
    is(put($up->{upload_url}, 'image/png', 'image'), 200, 'what was announced is taken');
    error_ok(complete($bob, $up->{media_id}), 404, 'nobody else completes it');
    status_ok($res = complete($ann, $up->{media_id}), 200, 'it is complete');
    is($s->ua->get($res->json->{url})->result->body, 'image', 'and can be seen');
    status_ok(complete($ann, $up->{media_id}), 200, 'twice is no harm');
    my $list = listed($ann);
    is_deeply([map { $_->{id} } @{ $list->{media} }], [$up->{media_id}], 'it is listed at once');
    is($s->ua->get($list->{media}[0]{url})->result->body, 'image', 'with its address');
    is_deeply(listed($bob)->{media}, [], 'for nobody else');
    my $tag = ($res = call($s, GET => '/media', token => $ann->{token}))->headers->etag;
    my $again = call($s, GET => '/media', token => $ann->{token}, headers => { 'If-None-Match' => $tag });
    ok($again->code == 304 || $again->headers->etag ne $tag, 'addresses stay for a while, so that nothing new is nothing new');
    error_ok(call($s, DELETE => "/media/$up->{media_id}", token => $bob->{token}), 404, 'nobody else deletes it');
    status_ok(call($s, DELETE => "/media/$up->{media_id}", token => $ann->{token}), 204, 'its owner does');
    error_ok(call($s, DELETE => "/media/$up->{media_id}", token => $ann->{token}), 404, 'once');
    is_deeply(listed($ann), { media => [], storage => { used => 0, limit => 104857600 }, pagination => { limit => 20, next_cursor => undef } }, 'nothing is left');
    ok(poll(20, sub { !objects()->{ $up->{key} } }), 'nor of its object');

    # the address is still good: what comes late goes as well
    is(put($up->{upload_url}, 'image/png', 'image'), 200, 'somebody uploads once more');
    ok(poll(20, sub { $clock->hurry; !objects()->{ $up->{key} } }), 'for nothing');
};

subtest 'in a post' => sub {
    my ($first, $second) = map { upload($ann, $_) } qw(first second);
    my $post = sub ($u, %f) { call($s, POST => '/posts', token => $u->{token}, json => { text => 'Look', %f }) };
    error_ok($post->($bob, media_ids => [$first]), 400, 'nobody shows what is not his', field => 'media_ids', constraint => 'unknown');
    my $res = $post->($ann, media_ids => [$second, $first]);
    status_ok($res, 201, 'its owner does');
    my $id = $res->json->{id};
    my $seen = sub ($p) { join ' ', map { $s->ua->get($_->{url})->result->body } @{ $p->{media} } };
    is($seen->($res->json), 'second first', 'with addresses, in the order that was given');
    is($seen->(call($s, GET => "/posts/$id", token => $bob->{token})->json), 'second first', 'which others get, too');
    is($seen->((grep { $_->{id} eq $id } @{ call($s, GET => '/feed', token => $bob->{token})->json->{posts} })[0]), 'second first', 'in their feeds');
    is($seen->((grep { $_->{id} eq $id } @{ call($s, GET => '/search/posts?q=look', token => $bob->{token})->json->{results} })[0]), 'second first', 'and when they search');
    call($s, DELETE => "/media/$second", token => $ann->{token});
    is($seen->(call($s, GET => "/posts/$id", token => $ann->{token})->json), 'first', 'what is deleted is not shown any more');
    call($s, DELETE => "/posts/$id", token => $ann->{token});
    call($s, DELETE => "/media/$first", token => $ann->{token});
};

subtest 'what may be uploaded' => sub {
    error_ok(allow($ann, content_type => $_), 400, $_, field => 'content_type', constraint => 'enum') for 'text/html', 'image/svg+xml', 'audio/mpeg';
    error_ok(allow($ann, bytes => 10485761), 400, 'more than 10 MB', field => 'bytes', constraint => 'max');
    error_ok(allow($ann, bytes => 0), 400, 'nothing', field => 'bytes', constraint => 'min');
    error_ok(allow($ann, kind => 'video'), 400, 'a film', field => 'kind', constraint => 'enum');
    status_ok(allow($ann, kind => 'voice', content_type => 'audio/ogg', bytes => 10485760), 201, 'ten minutes of talk');
    error_ok(call($s, POST => '/media/uploads', json => { kind => 'image', content_type => 'image/png', bytes => 1 }), 401, 'not by strangers');
    my %key = (headers => { 'Idempotency-Key' => 'a1' });
    my @res = map { call($s, POST => '/media/uploads', token => $ann->{token}, json => { kind => 'image', content_type => 'image/png', bytes => 7 }, %key) } 1 .. 2;
    is($res[1]->json->{media_id}, $res[0]->json->{media_id}, 'a repeated wish is one');
    is(put($res[1]->json->{upload_url}, 'image/png', '1234567'), 200, 'whose address is good, too');
    my $job = call($s, POST => '/media/uploads', token => $ann->{token}, json => { kind => 'image', content_type => 'image/png', bytes => 3 }, headers => { Prefer => 'respond-async' })->json->{job}{id};
    my $done;
    ok(poll(20, sub { $done = call($s, GET => "/jobs/$job", token => $ann->{token})->json->{job}; $done->{status} eq 'done' }), 'an upload that is not waited for');
    is(put($done->{response}{upload_url}, 'image/png', 'abc'), 200, 'has its address in the job');
};

subtest 'another thing than was announced' => sub {
    for my $case (['bytes', 'image/png', 'x' x 9], ['content_type', 'text/html', 'x' x 5]) {
        my ($field, $type, $data) = @$case;
        my $up = allow($bob)->json;
        $s->ua->post("$r2/_fake/objects", json => { key => $up->{key}, type => $type, data => $data });
        error_ok(complete($bob, $up->{media_id}), 400, "another $field", field => $field, constraint => 'mismatch');
        error_ok(complete($bob, $up->{media_id}), 404, 'is forgotten');
        ok(poll(20, sub { !objects()->{ $up->{key} } }), 'with its object');
    }
    is(listed($bob)->{storage}{used}, 0, 'and takes no room');
};

subtest 'a storage that fails' => sub {
    my $up = allow($bob)->json;
    put($up->{upload_url}, 'image/png', 'image');
    my %key = (headers => { 'Idempotency-Key' => 'c1' });
    for my $mode (qw(500 503 429 hang)) {
        wish($mode);
        error_ok(complete($bob, $up->{media_id}, %key), 503, "$mode: try again later");
    }
    wish('slow', delay_ms => 1000);
    status_ok(complete($bob, $up->{media_id}, %key), 200, 'the same request works as soon as the storage does, even slowly');
    wish('500');
    status_ok(complete($bob, $up->{media_id}), 200, 'what is complete needs no storage');
    status_ok(allow($bob), 201, 'nor does the next wish');
    wish('ok');
};

subtest 'room' => sub {
    my $cat = new_user($s);
    my @res = calls($s, map { [POST => '/media/uploads', token => $cat->{token}, json => { kind => 'image', content_type => 'image/png', bytes => 10485760 }] } 1 .. 20);
    is(scalar(grep { $_->code == 201 } @res), 10, 'exactly 100 MB, whoever is first');
    error_ok($_, 400, 'no more', field => 'bytes', constraint => 'plan_storage_limit') for (grep { $_->code != 201 } @res)[0];
    my ($up) = map { $_->json } grep { $_->code == 201 } @res;
    status_ok(call($s, DELETE => "/media/$up->{media_id}", token => $cat->{token}), 204, 'what goes');
    status_ok(allow($cat), 201, 'makes room');
    make_pro($s, $cat);
    is(scalar(grep { $_->code == 201 } calls($s, map { [POST => '/media/uploads', token => $cat->{token}, json => { kind => 'image', content_type => 'image/png', bytes => 10485760 }] } 1 .. 5)), 5,
        'a paid plan has more');
    $s->sql("UPDATE media SET created_at = now() - interval '25 hours', upload_until = now() - interval '24 hours' WHERE user_id = ? RETURNING 1", $cat->{id});
    ok($clock->run('media'), 'the clock comes by') or diag($clock->error);
    cmp_ok($clock->result('media')->{orphans}, '>=', 15, 'what was never uploaded goes after a day');
    is(listed($cat)->{storage}{used}, 0, 'and its room is free');
};

subtest 'pages' => sub {
    my $dan = new_user($s);
    my @id = map { upload($dan, "image $_") } 1 .. 5;
    is(scalar(grep { defined } @id), 5, 'five images');
    my (@seen, $cursor);
    do {
        my $page = listed($dan, '?limit=2' . ($cursor ? "&cursor=$cursor" : ''));
        push @seen, map { $_->{id} } @{ $page->{media} };
        $cursor = $page->{pagination}{next_cursor};
    } while ($cursor && @seen < 20);
    is_deeply(\@seen, [reverse @id], 'newest first, each once');
    is_deeply(listed($dan, '?kind=voice')->{media}, [], 'no speech');
    $cursor = listed($dan, '?limit=2')->{pagination}{next_cursor};
    error_ok(call($s, GET => "/media?kind=image&cursor=$cursor", token => $dan->{token}), 400, 'a cursor is good for its list', field => 'cursor');
    error_ok(call($s, GET => "/media?cursor=$cursor", token => $ann->{token}), 400, 'and its user', field => 'cursor');
    my $keys = $s->sql('SELECT count(*) FROM media WHERE user_id = ?', $dan->{id});
    $s->sql("UPDATE user_activity SET active_on = active_on - 91 WHERE user_id = ? RETURNING 1", $dan->{id});
    $s->sql("UPDATE users SET created_at = created_at - interval '1 year' WHERE id = ? RETURNING 1", $dan->{id});
    ok($clock->run('cleanup'), 'the daily clean-up') or diag($clock->error);
    is_deeply(listed($dan)->{media}, [], 'of somebody who was not here for 90 days nothing is kept');
    ok(poll(30, sub { !grep { /$dan->{id}/ } keys %{ objects() } }), 'in the storage either');
};

subtest 'no storage' => sub {
    my $up = allow($ann)->json;
    my $pool = $s->{pool};
    $s->{pool} = '';
    $s->stop_process('pool', 'TERM', 35);
    $s->start_pool;
    $s->wait_ready;
    error_ok(allow($ann), 503, 'no uploads');
    error_ok(complete($ann, $up->{media_id}), 503, 'no completion');
    status_ok(call($s, GET => '/media', token => $ann->{token}), 200, 'the list is there');
};

$s->assert_clean(qr/provider (?:failed|refused)|an operator is needed|breaker opened/);
done_testing;
