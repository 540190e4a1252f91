# From a text that a language lacks to one that is served: the AI, a person, the file.
use Mojo::Base -strict, -signatures;
use FindBin;
use lib "$FindBin::Bin/lib";
use FitNudge::Test::Contract;
use FitNudge::Test::Stack;
use FitNudge::Util qw(slurp spew);
use Mojo::JSON qw(decode_json encode_json);
use Test::More;

my $s = FitNudge::Test::Stack->new(nginx_workers => 1, openai => 1);
$s->start;
my $dir = $s->dir . '/locales';

# (exit status, what was printed with errors)
sub ctl (@args) {
    my $pid = open(my $out, '-|') // die "fork: $!";
    if (!$pid) {
        open STDERR, '>&', \*STDOUT;
        exec $s->dir . '/bin/fitnudgectl', '-c', $s->dir . '/nginx.conf', @args;
    }
    local $/;
    my $text = <$out> // '';
    close $out;
    return ($? >> 8, $text);
}
sub done ($job, $n) { poll(60, sub { $s->sql("SELECT count(*) FROM inbox WHERE job = ? AND state = 'done'", $job) >= $n }) }

is_deeply([ctl('i18n', 'missing')], [0, ''], 'nothing is missing in our own files');
my $de = decode_json(slurp("$dir/de.json"));
my ($greeting, $save) = delete @$de{qw(greeting action.save)};
spew("$dir/de.json", encode_json($de), 0644);
is_deeply([ctl('i18n', 'missing')], [0, "de  greeting\nde  action.save\n"], 'now there is');

subtest 'an answer that does not fit' => sub {
    $s->openai_mode(ok => text => encode_json({ 'greeting' => 'Hallo!', 'action.save' => 'Sichern', 'nav.home' => 'not asked' }));
    my ($status, $text) = ctl(qw(i18n translate));
    is($status, 0, 'asked') or diag($text);
    ok(done('translation.fill', 1), 'a job') or return;
    is($s->sql("SELECT body FROM inbox WHERE job = 'translation.fill'"), '{"status" : "done", "translated" : 1, "refused" : 1}', 'takes what fits');
    my $asked = $s->openai_last;
    like($asked->{messages}[0]{content}, qr/English to German/, 'the prompt');
    is_deeply(decode_json($asked->{messages}[1]{content}), { 'greeting' => 'Hello, {name}!', 'action.save' => 'Save' }, 'what is missing, and no more');
    ok($s->sql('SELECT sum(cost) FROM ai_spending') > 0, 'is counted in the budget');
    is($s->sql("SELECT body FROM inbox WHERE job = 'n8n.notify'") // '', done('n8n.notify', 1) ? '{"status" : "off"}' : 'done', 'n8n would have been told');
};

subtest 'a person looks at it' => sub {
    my ($status, $text) = ctl(qw(i18n review));
    is($text, "de  action.save\n    Save\n    Sichern\n", 'what a machine has made');
    like((ctl(qw(i18n export de)))[1], qr/\A\{\s*\}\s*\z/, 'is not exported');
    ($status, $text) = ctl(qw(i18n review de action.save Speichern!));
    is($status, 0, 'a better one') or diag($text);
    is((ctl(qw(i18n review de)))[1], '', 'nothing is left to look at');
    is_deeply(decode_json((ctl(qw(i18n export de)))[1]), { 'action.save' => 'Speichern!' }, 'it is exported');
    for my $case ([1, qr/no translation/, qw(review de none)], [1, qr/it is empty/, qw(review de action.save), ' '], [1, qr/other arguments/, qw(review de action.save), '{x}'],
        [1, qr/braces/, qw(review de action.save), '{'], [2, qr/no language "zh"/, qw(review zh x)], [2, qr/no language "en"/, qw(export en)], [2, qr/usage/, 'export'], [2, qr/usage/, 'up']) {
        my ($want, $like, @args) = @$case;
        ($status, $text) = ctl('i18n', @args);
        is($status, $want, "@args") or diag($text);
        like($text, $like, 'and why');
    }
};

subtest 'an operator takes it over' => sub {
    spew("$dir/de.json", encode_json({ %$de, %{ decode_json((ctl(qw(i18n export de)))[1]) } }), 0644);
    $s->reload_nginx;
    ok(poll(20, sub { call($s, GET => '/i18n/de', ua => agent(max_connections => 0))->json->{messages}{'action.save'} eq 'Speichern!' }), 'and it is served');
    is_deeply([ctl('i18n', 'missing')], [0, "de  greeting\n"], 'one is missing still');
    is_deeply(decode_json((ctl(qw(i18n export de)))[1]), {}, 'there is nothing more to take');
};

subtest 'without money' => sub {
    my $calls = $s->openai_calls;
    $s->psql('-c', "INSERT INTO ai_spending (day, shard, cost) VALUES ((now() AT TIME ZONE 'UTC')::date, 99, 60000000)", '-c', "DELETE FROM outbox");
    my $n = $s->sql("SELECT count(*) FROM inbox WHERE job = 'translation.fill' AND state = 'done'");
    ctl(qw(i18n translate));
    ok(done('translation.fill', $n + 1), 'the job is done') or return;
    is($s->openai_calls, $calls, 'and nobody was asked');
    is($s->sql(q{SELECT count(*) FROM inbox WHERE job = 'translation.fill' AND body LIKE '%"off"%'}), 1, 'as it says');
};

$s->assert_clean;
done_testing;
