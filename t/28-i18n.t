# Languages over HTTP: texts from memory, negotiation, the pseudo-locale, and what becomes of a wrong file.
use Mojo::Base -strict, -signatures;
use FindBin;
use lib "$FindBin::Bin/lib";
use FitNudge::Test::Contract;
use FitNudge::Test::Stack;
use FitNudge::Util qw(free_port slurp spew);
use Mojo::JSON qw(decode_json encode_json);
use Mojo::File qw(path);
use Test::More;

my $s = FitNudge::Test::Stack->new(nginx_workers => 2)->start;
my $dir = $s->dir . '/locales';
my %file = map { $_ => decode_json(slurp("$dir/$_.json")) } qw(common en es fr de ar he);
sub messages ($lang, %o) { call($s, GET => "/i18n/$lang", %o) }

subtest 'languages' => sub {
    my $res = call($s, GET => '/i18n');
    status_ok($res, 200, 'for everybody');
    is_deeply([map { "$_->{code} $_->{dir}" } @{ $res->json->{languages} }], ['en ltr', 'es ltr', 'fr ltr', 'de ltr', 'ar rtl', 'he rtl'], 'six, two of them from right to left');
    is_deeply([map { $_->{native_name} } @{ $res->json->{languages} }], ["English", "Espa\x{f1}ol", "Fran\x{e7}ais", 'Deutsch', "\x{627}\x{644}\x{639}\x{631}\x{628}\x{64a}\x{629}",
        "\x{5e2}\x{5d1}\x{5e8}\x{5d9}\x{5ea}"], 'by their own names');
    is($res->headers->cache_control, 'public, max-age=900', 'caches may keep it');
    like($res->headers->header('Vary') // '', qr/Accept-Language/, 'for one taste');
    for my $case (['', 'en'], ['de-AT, en;q=0.5', 'de'], ['zh, he;q=0.3, fr;q=0.2', 'he'], ['xx', 'en'], ['*', 'en'], ['de;q=0', 'en'], [',;=' x 300, 'en'], ['q' x 4000, 'en'], ["\xff\xfe", 'en'],
        ['de;q=0.5, ar', 'ar'], ['en-XA, es;q=0.1', 'es']) {
        my ($header, $want) = @$case;
        is(call($s, GET => '/i18n', headers => { 'Accept-Language' => $header })->json->{preferred}, $want, 'prefers ' . substr($header, 0, 30));
    }
};

subtest 'texts' => sub {
    for my $lang (qw(en es fr de ar he)) {
        my $res = messages($lang);
        status_ok($res, 200, $lang);
        is_deeply($res->json->{messages}, { %{ $file{$lang} }, %{ $file{common}{$lang} } }, 'its own and the common ones');
        is($res->json->{language}, $lang, 'says what it is');
        is($res->json->{dir}, $lang =~ /ar|he/ ? 'rtl' : 'ltr', 'and which way it goes');
        is($res->headers->cache_control, 'public, max-age=900', 'for a quarter of an hour');
        like($res->headers->etag, qr/\A"[^"]+"\z/, 'a strong ETag');
        my $again = messages($lang, headers => { 'If-None-Match' => $res->headers->etag });
        status_ok($again, 304, 'unchanged');
        is($again->body, '', 'without a body');
    }
    is(messages('de-AT')->body, messages('de')->body, 'a region has the texts of its language');
    is(messages('IW')->json->{language}, 'he', 'an old name');
    isnt(messages('de')->headers->etag, messages('fr')->headers->etag, 'each has its own ETag');
    error_ok(messages($_), 404, substr($_, 0, 40)) for qw(zh d de_AT en-XA xx-YY ..%2Fde %C3%A9%C3%A9 de-- *), 'x' x 36, 'de-' . 'x' x 300;
    error_ok(call($s, GET => '/i18n/de?x=1'), 400, 'a parameter', constraint => 'unknown_field');
    error_ok(call($s, POST => '/i18n/de', json => {}), 405, 'they are not written here');
    is(call($s, HEAD => '/i18n/de')->headers->content_length, length messages('de')->body, 'HEAD');
};

subtest 'who signs up' => sub {
    my $language = sub ($header, %f) {
        my $res = call($s, POST => '/auth/signup', json => { email => sprintf('l%d.%f@example.com', $$, rand), password => 'correct horse', name => 'L', %f },
            headers => { defined $header ? ('Accept-Language' => $header) : () });
        return ($res->json // {})->{user}{language};
    };
    is($language->('de-CH, en;q=0.5', language => 'fr'), 'fr', 'with a language has that');
    is($language->('de-CH, en;q=0.5'), 'de', 'without one that of the browser');
    is($language->('xx'), 'en', 'or English');
    is($language->(undef), 'en', 'also without a header');
    is($language->(undef, language => 'he'), 'he', 'from right to left');
};

subtest 'messages without an AI' => sub {
    my $u = new_user($s);
    my $goal = call($s, POST => '/goals', token => $u->{token}, json => { title => 'Run', frequency => 3 })->json->{id};
    for my $lang (qw(ar he de en)) {
        status_ok(call($s, PATCH => '/users/me', token => $u->{token}, json => { language => $lang }), 200, $lang);
        my $j = call($s, POST => '/motivation/generate', token => $u->{token}, json => { goal_id => $goal, tone => 'calm' })->json;
        is($j->{source}, 'fallback', 'are written by hand');
        ok((grep { $j->{text} eq $file{common}{$lang}{"motivation.calm.$_"} } 1 .. 6), 'in that language') or diag(encode_json($j));
    }
    error_ok(call($s, PATCH => '/users/me', token => $u->{token}, json => { language => 'zh' }), 400, 'not one of ours', field => 'language', constraint => 'enum');
};

subtest 'a reload' => sub {
    my $old = messages('de')->headers->etag;
    spew("$dir/de.json", encode_json({ 'action.save' => 'Sichern' }), 0644);
    spew("$dir/he.json", '{"action.save":1}', 0644);
    $s->reload_nginx;
    ok(poll(20, sub { $s->error_log =~ m{he\.json": texts only are expected} }), 'a wrong file is said');
    is(messages('de')->headers->etag, $old, 'and nothing changes');
    spew("$dir/he.json", encode_json($file{he}), 0644);
    $s->reload_nginx;
    ok(poll(20, sub { messages('de', ua => agent(max_connections => 0))->json->{messages}{'action.save'} eq 'Sichern' }), 'a right one is read');
    is(messages('de', ua => agent(max_connections => 0))->json->{messages}{'action.cancel'}, 'Cancel', 'what it lacks is English');
    spew("$dir/de.json", encode_json($file{de}), 0644);
};

subtest 'what nginx -t says' => sub {
    my $check = sub ($text) {
        my $conf = slurp($s->dir . '/nginx.conf') =~ s/fitnudge_locales [^;]*;/$text/r;
        spew($s->dir . '/wrong.conf', $conf, 0644);
        local %ENV = (%ENV, %{ $s->nginx_env });
        my $nginx = qx('@{[FitNudge::Stack::_nginx()]}' -t -p '@{[$s->dir]}/' -c '@{[$s->dir]}/wrong.conf' 2>&1);
        my $pool = qx('@{[$s->dir]}/bin/fitnudge-worker' -t -c '@{[$s->dir]}/wrong.conf' 2>&1);
        return ($nginx, $pool);
    };
    mkdir $s->dir . '/none';
    for my $case (["fitnudge_locales @{[$s->dir]}/none;", qr/cannot open locale .*en\.json.*no such file/], ['fitnudge_locales conf/locales;', qr/absolute path/],
        ['fitnudge_pseudo_locale maybe;', qr/on or off is expected/]) {
        like($_, $case->[1], $case->[0]) for $check->($case->[0]);
    }
};

subtest 'the pseudo-locale, and none at all' => sub {
    my ($on, $off) = map { FitNudge::Test::Stack->new(nginx_workers => 1, redis_url => 'unix:' . $s->redis_socket, database_url => "postgres://postgres\@/fitnudge?host=$s->{sock}", shared => $_) } 'fitnudge_pseudo_locale on;', '';
    $_->prepare for $on, $off;
    $on->start_nginx->wait_ready;
    my $j = call($on, GET => '/i18n/en-XA')->json;
    like($j->{messages}{'action.save'}, qr/\A\[\x{3c3}\x{3b1}\x{475}\x{3b5}.+\]\z/, 'Save, in other letters');
    like($j->{messages}{greeting}, qr/\{name\}/, 'with its argument');
    cmp_ok(length $j->{messages}{$_}, '>', 1.3 * length $file{en}{$_}, "$_ is longer") for qw(action.save plan.goal_limit error.network);
    is((map { $_->{code} } @{ call($on, GET => '/i18n')->json->{languages} })[-1], 'en-XA', 'it is in the list');
    $off->write_conf;
    spew($off->dir . '/nginx.conf', slurp($off->dir . '/nginx.conf') =~ s/fitnudge_locales [^;]*;//r, 0644);
    { no warnings 'redefine'; local *FitNudge::Stack::write_conf = sub { $_[0] }; $off->start_nginx }
    $off->wait_ready;
    error_ok(call($off, GET => $_), 404, "$_ without fitnudge_locales") for '/i18n', '/i18n/en';
    $_->assert_clean for $on, $off;
};

$s->assert_clean(qr/he\.json/);
done_testing;
