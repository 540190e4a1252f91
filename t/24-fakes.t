# Every provider against a strict fake of its service: what the pool builds is what the service wants, and what the service says is
# understood. build/exchange runs the providers; no pool is needed.
use Mojo::Base -strict, -signatures;
use Cwd qw(abs_path);
use FindBin;
use lib "$FindBin::Bin/lib";
use Digest::SHA qw(sha256_hex);
use FitNudge::Processes;
use FitNudge::Util qw(free_port spew temp_dir);
use IO::Socket::INET;
use IPC::Open2;
use Mojo::File qw(path);
use Mojo::JSON qw(decode_json encode_json);
use Mojo::UserAgent;
use Mojo::Util qw(url_unescape);
use Test::More;

my $root = abs_path("$FindBin::Bin/..");
my $exchange = "$root/build/exchange";
plan skip_all => "$exchange is not there: make -C t/fakes BUILD=$root/build" unless -x $exchange;

my $dir = temp_dir();
mkdir "$dir/log";
my $p = bless {dir => $dir, procs => {}, env => {}, owner => $$}, 'FitNudge::Processes';
END { my $status = $?; $p->stop_process($_, 'TERM') for sort keys %{$p->{procs}}; path($dir)->remove_tree if $dir && $p->{owner} == $$; $? = $status }

my $ua = Mojo::UserAgent->new->request_timeout(20);
my %url;

# Starts a fake and waits until it answers
sub fake ($name, %env) {
    my $port = free_port('127.0.0.1');
    $url{$name} = "http://127.0.0.1:$port";
    $p->spawn($name, {log => "$name.log", death => 'TERM', env => \%env}, $^X, "$root/t/fakes/$name.pl", 'daemon', '-m', 'production', '-l', $url{$name});
}
sub up ($name) { $p->_await($name, 15, sub { defined(eval { $ua->get("$url{$name}/_fake/none")->result->code }) }, "$name.log") }

sub wish ($name, $mode, %opt) { is($ua->post("$url{$name}/_fake", json => {mode => $mode, %opt})->result->code, 200, "$name: $mode") }
sub requests ($name) { $ua->get("$url{$name}/_fake/requests")->result->json->@* }

# Runs a provider over contexts: the lines it prints, decoded
sub run ($provider, $settings, @ctx) {
    my $pid = open2(my $out, my $in, $exchange, $provider, map { "$_=$settings->{$_}" } sort keys %$settings);
    print $in encode_json($_) . "\n" for @ctx;
    close $in;
    my @lines = map { decode_json($_) } <$out>;
    waitpid $pid, 0;
    is($?, 0, "$provider: no complaint of the sanitizers");
    return @lines;
}
# Settings for a service that says nothing
sub impatient ($settings, $mode = 'hang') { $mode ne 'hang' ? $settings : {map { $_ => /_timeout$/ ? '300ms' : $settings->{$_} } keys %$settings} }

# The last exchange and how it ended
sub once ($provider, $settings, $ctx) { (run($provider, $settings, $ctx))[-2, -1] }

sub outcome_is ($provider, $settings, $ctx, $end, $alert, $name, %more) {
    my ($x, $e) = once($provider, $settings, $ctx);
    is($e->{end}, $end, "$name: $end") or diag(encode_json([$x, $e]));
    is(defined $x->{alert} ? 1 : 0, $alert, "$name: " . ($alert ? 'an alert' : 'no alert')) or diag($x->{alert});
    is($x->{$_}, $more{$_}, "$name: $_") for sort keys %more;
    return $e;
}

$ENV{KEY} = 'test-key';
$ENV{JWT} = '0123456789abcdef0123456789abcdef';
$ENV{R2_ID} = 'AKIDEXAMPLE';
$ENV{R2_SECRET} = 'wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY';

system("openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -out $dir/$_.pem 2>/dev/null") == 0 or die "openssl genpkey failed\n" for qw(key other);
system("openssl pkey -in $dir/key.pem -pubout -out $dir/pub.pem 2>/dev/null");

my $smtp_port = free_port('127.0.0.1');
fake('elevenlabs');
fake('r2');
fake('fcm', FAKE_FCM_PUBLIC_KEY => "$dir/pub.pem", FAKE_FCM_EMAIL => 'pool@p1.iam.gserviceaccount.com');
fake('posthog');
fake('slack');
fake('n8n', FAKE_N8N_AUTH => 'header:X-Token:test-key');
fake('telemetry');
fake('openai', FAKE_OPENAI_KEY => 'test-key');
fake('smtp', FAKE_SMTP_PORT => $smtp_port, FAKE_SMTP_AUTH => 'user@fitnudge.example:test-key');
up($_) for sort keys %url;

# A key file that names the fake
sub account ($key, %more) {
    my $file = "$dir/account-" . ++$p->{accounts} . '.json';
    spew($file, encode_json({type => 'service_account', project_id => 'p1', private_key_id => 'kid1', client_email => 'pool@p1.iam.gserviceaccount.com',
        token_uri => "$url{fcm}/token", private_key => path($key)->slurp, %more}), 0600);
    return $file;
}

my %r2 = (r2_endpoint => $url{r2}, r2_access_key => 'env:R2_ID', r2_secret_key => 'env:R2_SECRET', r2_bucket => 'media');
my %voice = (%r2, elevenlabs_base_url => "$url{elevenlabs}/v1", elevenlabs_api_key => 'env:KEY', elevenlabs_voices => 'base1 calm/fr=frenchcalm1', elevenlabs_timeout => '15s');
my %speech = (text => "Allez \x{e9}l\x{e8}ve!", tone => 'calm', language => 'fr', key => "private/u1/caf\x{e9} 1.mp3", content_type => 'audio/mpeg');

subtest 'speech, then upload' => sub {
    my @lines = run('voice', \%voice, \%speech);
    is(scalar @lines, 3, 'two exchanges');
    is_deeply([map { $_->{service} } @lines[0, 1]], ['elevenlabs', 'r2'], 'in this order');
    is($lines[2]{end}, 'done', 'done') or diag(encode_json(\@lines));
    is($lines[2]{result}{key}, $speech{key}, 'key');
    my $objects = $ua->get("$url{r2}/_fake/objects")->result->json;
    my $o = $objects->{Mojo::Util::encode('UTF-8', $speech{key})} // $objects->{$speech{key}};
    is($o->{type}, 'audio/mpeg', 'its type');
    is($o->{bytes}, $lines[2]{result}{bytes}, 'its length');
    is($o->{sha256}, sha256_hex('ID3' . chr(4) . join('', map { chr } 0 .. 255) . length $speech{text}), 'every byte arrived');
    my ($r) = requests('elevenlabs');
    is($r->{path}, '/v1/text-to-speech/frenchcalm1', 'the voice for tone and language');

    for my $case (['quota', 'dead', 1], ['concurrent', 'busy', 0], ['busy', 'retry', 0], ['characters', 'dead', 0], ['429', 'busy', 0], ['500', 'retry', 0], ['503', 'retry', 0],
        ['garbage', 'dead', 0], ['cut', 'retry', 0], ['hang', 'retry', 0])
    {
        wish('elevenlabs', $case->[0], count => 1);
        my $e = outcome_is('voice', impatient(\%voice, $case->[0]), \%speech, $case->[1], $case->[2], $case->[0]);
        is($e->{result}, undef, 'no result');
    }
    outcome_is('voice', {%voice, elevenlabs_voices => 'missing'}, \%speech, 'dead', 1, 'no such voice');
    outcome_is('voice', {%voice, elevenlabs_model => 'eleven_nothing'}, \%speech, 'dead', 0, 'no such model');
    local $ENV{KEY} = 'wrong';
    outcome_is('voice', \%voice, \%speech, 'dead', 1, 'wrong key', status => 401);
};

subtest 'storage' => sub {
    my %object = (key => "private/u1/caf\x{e9} 1.mp3");
    my $e = outcome_is('r2_head', \%r2, \%object, 'done', 0, 'head');
    is($e->{result}{content_type}, 'audio/mpeg', 'type');
    cmp_ok($e->{result}{bytes}, '>', 256, 'length');
    outcome_is('r2_delete', \%r2, \%object, 'done', 0, 'delete', status => 204);
    $e = outcome_is('r2_head', \%r2, \%object, 'done', 0, 'head again', status => 404);
    ok(!$e->{result}{exists}, 'gone');
    outcome_is('r2_head', {%r2, r2_bucket => 'nobody'}, \%object, 'done', 0, 'another bucket', status => 404);
    outcome_is('r2_delete', {%r2, r2_bucket => 'nobody'}, \%object, 'done', 0, 'delete there', status => 404);
    wish('r2', '503', count => 1);
    outcome_is('r2_head', \%r2, \%object, 'retry', 0, 'slow down');
    local $ENV{R2_SECRET} = 'wrong';
    outcome_is('r2_head', \%r2, \%object, 'dead', 1, 'wrong secret', status => 403);
};

# A client's upload with curl alone
subtest 'presigned' => sub {
    my @settings = map { "$_=$r2{$_}" } sort keys %r2;
    my $sign = sub (@args) {
        open my $out, '-|', 'sh', '-c', 'exec "$@" 2>/dev/null', 'sh', $exchange, 'presign', @args, @settings or die $!;
        chomp(my $url = <$out> // '');
        return $url;
    };
    my $curl = sub (@args) {
        open my $out, '-|', 'curl', '-s', '-o', '/dev/null', '-w', '%{http_code}', @args or die $!;
        return scalar <$out>;
    };
    spew("$dir/photo", '0123456789', 0644);
    my $url = $sign->('PUT', 'public/u1/a b+c.png', 'image/png', 10);
    like($url, qr{/media/public/u1/a%20b%2Bc\.png\?}, 'encoded once');
    is($curl->('-T', "$dir/photo", '-H', 'Content-Type: image/png', $url), 200, 'uploaded');
    is($curl->('-T', "$dir/photo", '-H', 'Content-Type: text/html', $url), 403, 'not as another type');
    spew("$dir/longer", '0123456789a', 0644);
    is($curl->('-T', "$dir/longer", '-H', 'Content-Type: image/png', $url), 403, 'not of another length');
    is($curl->('-T', "$dir/photo", '-H', 'Content-Type: image/png', $url =~ s/a%20b/a%20c/r), 403, 'not as another object');
    is($curl->($url), 403, 'not another method');
    is($curl->($sign->('GET', 'public/u1/a b+c.png')), 200, 'downloaded');
    local $ENV{NOW_MS} = (time - 3700) * 1000;
    is($curl->($sign->('GET', 'public/u1/a b+c.png')), 403, 'not after its hour');
    is($sign->('GET', '../a'), '', 'no address for a key that climbs');
};

subtest 'notifications' => sub {
    my %fcm = (fcm_base_url => $url{fcm}, fcm_service_account => 'file:' . account("$dir/key.pem"), fcm_timeout => '15s');
    my %message = (token => 'device:1', title => "Zeit f\x{fc}r Sport", body => 'Los!', data => {goal_id => 'g1', streak => 3});
    my @lines = run('fcm', \%fcm, \%message, \%message);
    is(join(' ', map { $_->{service} // $_->{end} } @lines), 'google_oauth fcm done fcm done', 'one token for two messages') or diag(encode_json(\@lines));
    like($lines[-1]{result}{message_id}, qr{^projects/p1/messages/}, 'a message id');
    my ($sent) = map { decode_json($_->{body}) } grep { $_->{path} =~ /messages:send/ } map { {%$_, body => Mojo::Util::encode('UTF-8', $_->{body})} } requests('fcm');
    is($sent->{message}{android}{collapse_key}, '01900000-0000-7000-8000-00000000abcd', 'collapse key');
    is($sent->{message}{data}{streak}, '3', 'numbers are strings');

    for my $case (['gone', 'dead', 0, 1], ['mismatch', 'dead', 0, 1], ['bad', 'dead', 0, 1]) {
        my $e = outcome_is('fcm', \%fcm, {%message, token => $case->[0]}, $case->[1], $case->[2], $case->[0]);
        is($e->{result}{delete_token} ? 1 : 0, $case->[3], 'the token is forgotten');
    }
    for my $case (['429', 'busy', 0, 60000], ['503', 'retry', 0, 10000], ['500', 'retry', 0, 10000], ['apns', 'dead', 1, -1], ['garbage', 'dead', 0, -1], ['hang', 'retry', 0, -1]) {
        my %fcm = (%fcm, $case->[0] eq 'hang' ? (fcm_timeout => '2s') : ());
        # the token first, then the fault
        my $pid = open2(my $out, my $in, $exchange, 'fcm', map { "$_=$fcm{$_}" } sort keys %fcm);
        print $in encode_json(\%message) . "\n";
        $in->flush;
        <$out> for 1 .. 3;
        wish('fcm', $case->[0]);
        print $in encode_json(\%message) . "\n";
        close $in;
        my ($x, $e) = map { decode_json($_) } <$out>;
        waitpid $pid, 0;
        $ua->post("$url{fcm}/_fake", json => {});
        is($e->{end}, $case->[1], "$case->[0]: $case->[1]");
        is(defined $x->{alert} ? 1 : 0, $case->[2], 'alert');
        is($x->{wait_ms}, $case->[3], 'pause');
    }
    {
        my $pid = open2(my $out, my $in, $exchange, 'fcm', map { "$_=$fcm{$_}" } sort keys %fcm);
        print $in encode_json(\%message) . "\n";
        $in->flush;
        <$out> for 1 .. 3;
        $ua->post("$url{fcm}/_fake/revoke");
        print $in encode_json(\%message) . "\n";
        close $in;
        my @lines = map { decode_json($_) } <$out>;
        waitpid $pid, 0;
        is(join(' ', map { $_->{service} // $_->{end} } @lines), 'fcm google_oauth fcm done', 'a revoked token is renewed') or diag(encode_json(\@lines));
    }
    outcome_is('fcm', {%fcm, fcm_service_account => 'file:' . account("$dir/other.pem")}, \%message, 'dead', 1, 'a key that was deleted', status => 400);
    outcome_is('fcm', {%fcm, fcm_service_account => 'file:' . account("$dir/key.pem", client_email => 'x@y')}, \%message, 'dead', 1, 'another account', status => 400);
    outcome_is('fcm', {%fcm, fcm_service_account => 'file:' . account("$dir/key.pem", project_id => 'p2')}, \%message, 'dead', 1, 'another project', status => 403);
    local $ENV{NOW_MS} = (time - 7200) * 1000;
    outcome_is('fcm', \%fcm, \%message, 'dead', 1, 'a clock that is off', status => 400);
};

subtest 'mail' => sub {
    my %smtp = (smtp_host => '127.0.0.1', smtp_port => $smtp_port, smtp_tls => 'off', smtp_username => 'user@fitnudge.example', smtp_password => 'env:KEY',
        mail_templates => "$root/conf/templates/mail", fitnudge_jwt_secret => 'env:JWT', smtp_timeout => '15s');
    my %mail = (template => 'weekly_summary', language => 'de', to => 'u@x.example', name => "Zo\x{eb} \"Z\"", user_id => '01900000-0000-7000-8000-000000000001',
        vars => {week_start => '2026-01-05', week_end => '2026-01-11', checkins => 1, streak => 3, completion_rate => 80, app_url => 'https://fitnudge.app/'});
    my $e = outcome_is('smtp', \%smtp, \%mail, 'done', 0, 'a mail');
    is($e->{result}{message_id}, '<01900000-0000-7000-8000-00000000abcd@fitnudge.example>', 'message id');
    my ($got) = $ua->get("$url{smtp}/_fake/mails")->result->json->@*;
    is_deeply([@$got{qw(hello from to)}], ['fitnudge.example', 'user@fitnudge.example', 'u@x.example'], 'envelope');

    # read with another's eyes
    require MIME::QuotedPrint;
    my ($head, $text, $html) = split /\r\n--=_[-0-9a-f]+(?:--)?\r\n/, $got->{data};
    like($head, qr/^List-Unsubscribe-Post: List-Unsubscribe=One-Click\r$/m, 'one-click');
    $_ = Mojo::Util::decode('UTF-8', MIME::QuotedPrint::decode_qp($_ =~ s/.*?\r\n\r\n//sr)) for $text, $html;
    like($text, qr/^- 1 Check-in\r?\n- Serie: 3 Tage\r?$/m, 'plural') or diag($text);
    like($text, qr/5\. Januar 2026 bis zum 11\. Januar 2026/, 'dates');
    like($html, qr/Hallo Zo\x{eb} &quot;Z&quot;,/, 'escaped');
    like($html, qr{<a href="https://fitnudge\.app/api/v1/e/c/01900000-0000-7000-8000-00000000abcd\?s=[\w-]{22}&amp;u=https%3A%2F%2Ffitnudge\.app%2F"}, 'a link that is counted');

    $e = outcome_is('smtp', \%smtp, {%mail, to => 'nobody@x.example'}, 'dead', 0, 'no such user');
    ok($e->{result}{refused}, 'refused');
    outcome_is('smtp', \%smtp, {%mail, to => 'later@x.example'}, 'retry', 0, 'greylisted', wait_ms => 60000);
    outcome_is('smtp', \%smtp, {%mail, to => 'drop@x.example'}, 'retry', 0, 'lost after the data');
    outcome_is('smtp', {%smtp, smtp_tls => 'starttls'}, \%mail, 'dead', 1, 'a server without STARTTLS');
    outcome_is('smtp', {%smtp, smtp_port => free_port('127.0.0.1')}, \%mail, 'retry', 0, 'no server');
    local $ENV{KEY} = 'wrong';
    outcome_is('smtp', \%smtp, \%mail, 'dead', 1, 'wrong password');
};

subtest 'events' => sub {
    local $ENV{KEY} = 'phc_test';
    my %posthog = (posthog_host => $url{posthog}, posthog_api_key => 'env:KEY', posthog_timeout => '15s');
    my %batch = (events => [map { {event => 'checkin_completed', distinct_id => "u$_", properties => {streak_count => $_}} } 1 .. 60]);
    outcome_is('posthog', \%posthog, \%batch, 'done', 0, 'a large batch');
    outcome_is('posthog', \%posthog, {events => [$batch{events}[0]]}, 'done', 0, 'a small one again');
    is(scalar $ua->get("$url{posthog}/_fake/events")->result->json->@*, 60, 'each counted once');
    is((requests('posthog'))[0]{headers}{'content-encoding'}, 'gzip', 'compressed');
    for my $case (['429', 'busy'], ['503', 'retry'], ['hang', 'retry'], ['cut', 'retry']) {
        wish('posthog', $case->[0], count => 1);
        outcome_is('posthog', impatient(\%posthog, $case->[0]), \%batch, $case->[1], 0, $case->[0]);
    }
    local $ENV{KEY} = 'wrong';
    outcome_is('posthog', \%posthog, \%batch, 'dead', 1, 'wrong key');
};

subtest 'workflows and alerts' => sub {
    local $ENV{HOOK} = "$url{n8n}/webhook/translate";
    my %n8n = (n8n_webhook_url => 'env:HOOK', n8n_auth => 'header', n8n_auth_name => 'X-Token', n8n_auth_secret => 'env:KEY', n8n_timeout => '15s');
    outcome_is('n8n', \%n8n, {payload => {text => "caf\x{e9}"}}, 'done', 0, 'a workflow');
    outcome_is('n8n', {%n8n, n8n_auth => 'none'}, {payload => {}}, 'dead', 1, 'without its key', status => 403);
    { local $ENV{HOOK} = "$url{n8n}/webhook/inactive"; outcome_is('n8n', \%n8n, {payload => {}}, 'dead', 1, 'inactive', status => 404) }
    wish('n8n', 'hang', count => 1);
    outcome_is('n8n', impatient(\%n8n), {payload => {}}, 'retry', 0, 'silence');

    local $ENV{SLACK} = "$url{slack}/services/T/B/X";
    my %slack = (slack_webhook_url => 'env:SLACK', slack_timeout => '15s');
    outcome_is('slack', \%slack, {text => '<!channel> 5 % > 1 % & rising'}, 'done', 0, 'an alert');
    is(decode_json((requests('slack'))[0]{body})->{text}, '&lt;!channel&gt; 5 % &gt; 1 % &amp; rising', 'wakes nobody');
    for my $case (['429', 'busy', 0], ['500', 'retry', 0], ['archived', 'dead', 1], ['prohibited', 'dead', 1]) {
        wish('slack', $case->[0], count => 1, retry_after => 7);
        outcome_is('slack', \%slack, {text => 'x'}, $case->[1], $case->[2], $case->[0], $case->[0] eq '429' ? (wait_ms => 7000) : ());
    }
    { local $ENV{SLACK} = "$url{slack}/services/T/B/Y"; outcome_is('slack', \%slack, {text => 'x'}, 'dead', 1, 'no service', status => 404) }
};

subtest 'errors and traces' => sub {
    local $ENV{DSN} = $url{telemetry} =~ s{://}{://abc123@}r . '/42';
    my %sentry = (sentry_dsn => 'env:DSN', sentry_timeout => '15s');
    my %error = (level => 'error', message => "it \"broke\" \x{2013} twice", tags => {job => 'a.b'});
    my $e = outcome_is('sentry', \%sentry, \%error, 'done', 0, 'an error');
    is($e->{result}{event_id}, '0190000000007000800000000000abcd', 'its id');
    wish('telemetry', 'limited', count => 1);
    outcome_is('sentry', \%sentry, \%error, 'dead', 0, 'limited', wait_ms => 60000);
    wish('telemetry', 'hang', count => 1);
    outcome_is('sentry', impatient(\%sentry), \%error, 'dead', 0, 'silence');
    { local $ENV{DSN} = $ENV{DSN} =~ s/abc123/abc124/r; outcome_is('sentry', \%sentry, \%error, 'dead', 1, 'another key', status => 403) }

    my %otlp = (otlp_endpoint => $url{telemetry}, otlp_timeout => '15s');
    my %spans = (spans => [{trace_id => '0123456789abcdef' x 2, span_id => '0123456789abcdef', name => 'GET /feed', kind => 'server',
        start_us => 1768473000000001, end_us => 1768473000000002, attributes => {status => 200}}]);
    $e = outcome_is('otlp', \%otlp, \%spans, 'done', 0, 'a span');
    is($e->{result}{rejected}, 0, 'taken');
    wish('telemetry', 'partial', count => 1);
    $e = outcome_is('otlp', \%otlp, \%spans, 'done', 0, 'rejected in part');
    is($e->{result}{rejected}, 1, 'counted');
    wish('telemetry', '503', count => 1);
    outcome_is('otlp', \%otlp, \%spans, 'retry', 0, 'away');
    wish('telemetry', '500', count => 1);
    outcome_is('otlp', \%otlp, \%spans, 'dead', 0, 'broken');
};

subtest 'messages' => sub {
    my %openai = (openai_base_url => "$url{openai}/v1", openai_api_key => 'env:KEY', openai_timeout => '15s');
    my %ctx = (messages => [{role => 'developer', content => 'Be kind.'}, {role => 'user', content => "caf\x{e9}"}], safety_identifier => 'a' x 32);
    for my $api (qw(chat responses)) {
        my %settings = (%openai, openai_api => $api);
        my $e = outcome_is('openai', \%settings, \%ctx, 'done', 0, $api);
        ok(length $e->{result}{text}, 'a text');
        cmp_ok($e->{result}{prompt_tokens}, '>', 0, 'tokens');
        for my $case (['429', 'busy', 0], ['quota', 'dead', 1], ['500', 'retry', 0], ['hang', 'retry', 0], ['cut', 'retry', 0], ['garbage', 'dead', 0], ['refusal', 'dead', 0], ['empty', 'dead', 0]) {
            wish('openai', $case->[0], count => 1);
            outcome_is('openai', impatient(\%settings, $case->[0]), \%ctx, $case->[1], $case->[2], "$api: $case->[0]");
        }
    }
    local $ENV{KEY} = 'wrong';
    outcome_is('openai', \%openai, \%ctx, 'dead', 1, 'wrong key', status => 401);
};

# What each service does in each mode. "as" is the provider that build/exchange runs, "service" the exchange that is looked at, "only" the
# path that the fault is about. A row: mode, what becomes of the call, whether an operator is told, and what else is to be seen.
my %late = map { $_ => 1 } qw(late hang);
my %mode = (
    ok => {}, slow => {mode => 'slow', delay_ms => 500}, late => {mode => 'slow', delay_ms => 30_000}, hang => {mode => 'hang'}, cut => {mode => 'cut'},
    garbage => {mode => 'garbage'}, 500 => {mode => '500'}, 503 => {mode => '503'}, 429 => {mode => '429', retry_after => 7},
);
sub each_mode (%differs) {
    my %outcome = (ok => 'done', slow => 'done', late => 'retry', hang => 'retry', cut => 'retry', garbage => 'dead', 500 => 'retry', 503 => 'retry', 429 => 'busy', %differs);
    return map { [$_, $outcome{$_}, 0, $_ eq '429' ? (wait_ms => 7000) : ()] } sort keys %outcome;
}

subtest 'every service in every mode' => sub {
    local @ENV{qw(HOOK SLACK POSTHOG)} = ("$url{n8n}/webhook/translate", "$url{slack}/services/T/B/X", 'phc_test');
    local $ENV{DSN} = $url{telemetry} =~ s{://}{://abc123@}r . '/42';
    my %fcm = (fcm_base_url => $url{fcm}, fcm_service_account => 'file:' . account("$dir/key.pem"), fcm_timeout => '15s');
    my %message = (token => 'device:1', title => 'Go', body => 'Los!');
    my @services = (
        { name => 'elevenlabs', as => 'voice', service => 'elevenlabs', settings => \%voice, ctx => \%speech, late => {elevenlabs_timeout => '400ms'},
            rows => [each_mode(), ['quota', 'dead', 1], ['401', 'dead', 1], ['402', 'dead', 1], ['404', 'dead', 1], ['characters', 'dead', 0], ['422', 'dead', 0],
                ['concurrent', 'busy', 0, wait_ms => 1000], ['busy', 'retry', 0], ['408', 'retry', 0]] },
        { name => 'r2', as => 'voice', service => 'r2', title => 'r2 PUT', settings => \%voice, ctx => \%speech, late => {r2_timeout => '400ms'},
            rows => [each_mode(garbage => 'done'), ['403', 'dead', 1], ['404', 'dead', 1], ['400', 'dead', 0], ['408', 'retry', 0]] },
        { name => 'r2', as => 'r2_delete', service => 'r2', title => 'r2 DELETE', settings => \%r2, ctx => {key => 'a/b.mp3'}, late => {r2_timeout => '400ms'},
            rows => [each_mode(garbage => 'done'), ['403', 'dead', 1], ['404', 'done', 0], ['400', 'dead', 0]] },
        { name => 'fcm', as => 'fcm', service => 'fcm', only => '/messages:send', settings => \%fcm, ctx => \%message, late => {fcm_timeout => '5s'},
            rows => [each_mode(), ['apns', 'dead', 1], ['denied', 'dead', 1], ['malformed', 'dead', 1]] },
        { name => 'fcm', as => 'fcm', service => 'google_oauth', title => 'google_oauth', only => '/token', settings => \%fcm, ctx => \%message, late => {fcm_timeout => '400ms'},
            rows => [each_mode(), ['400', 'dead', 1], ['401', 'dead', 1], ['403', 'dead', 0]] },
        { name => 'posthog', as => 'posthog', service => 'posthog', settings => {posthog_host => $url{posthog}, posthog_api_key => 'env:POSTHOG', posthog_timeout => '15s'},
            ctx => {events => [{event => 'x', distinct_id => 'u1', properties => {}}]}, late => {posthog_timeout => '400ms'},
            rows => [each_mode(garbage => 'done'), ['401', 'dead', 1], ['403', 'dead', 1], ['400', 'dead', 0], ['413', 'dead', 0]] },
        { name => 'n8n', as => 'n8n', service => 'n8n', settings => {n8n_webhook_url => 'env:HOOK', n8n_auth => 'header', n8n_auth_name => 'X-Token', n8n_auth_secret => 'env:KEY', n8n_timeout => '15s'},
            ctx => {payload => {a => 1}}, late => {n8n_timeout => '400ms'},
            rows => [each_mode(garbage => 'done'), ['401', 'dead', 1], ['403', 'dead', 1], ['404', 'dead', 1], ['422', 'dead', 0]] },
        { name => 'slack', as => 'slack', service => 'slack', settings => {slack_webhook_url => 'env:SLACK', slack_timeout => '15s'}, ctx => {text => 'x'}, late => {slack_timeout => '400ms'},
            rows => [each_mode(garbage => 'done'), ['prohibited', 'dead', 1], ['404', 'dead', 1], ['archived', 'dead', 1], ['400', 'dead', 0]] },
        { name => 'telemetry', as => 'sentry', service => 'sentry', title => 'sentry', settings => {sentry_dsn => 'env:DSN', sentry_timeout => '15s'}, ctx => {level => 'error', message => 'x'},
            late => {sentry_timeout => '400ms'},
            rows => [each_mode((map { $_ => 'dead' } qw(late hang cut 500 503 429)), garbage => 'done'), ['limited', 'dead', 0, wait_ms => 60000], ['401', 'dead', 1], ['403', 'dead', 1]] },
        { name => 'telemetry', as => 'otlp', service => 'otlp', title => 'otlp', settings => {otlp_endpoint => $url{telemetry}, otlp_timeout => '15s'},
            ctx => {spans => [{trace_id => '0123456789abcdef' x 2, span_id => '0123456789abcdef', name => 'GET /feed', kind => 'server', start_us => 1768473000000001, end_us => 1768473000000002}]},
            late => {otlp_timeout => '400ms'}, rows => [each_mode(500 => 'dead', garbage => 'done'), ['502', 'retry', 0], ['504', 'retry', 0], ['400', 'dead', 0]] },
    );
    for my $s (@services) {
        subtest $s->{title} // $s->{name} => sub {
            for my $row (@{$s->{rows}}) {
                my ($mode, $end, $alert, %more) = @$row;
                my $wish = $mode{$mode} // {mode => $mode};
                $ua->post("$url{$s->{name}}/_fake", json => {%$wish, $s->{only} ? (only => $s->{only}) : ()})->result->code == 200 or fail("no mode $mode");
                outcome_is($s->{as}, $late{$mode} ? {%{$s->{settings}}, %{$s->{late}}} : $s->{settings}, $s->{ctx}, $end, $alert, $mode, $end eq 'done' ? () : (service => $s->{service}), %more);
            }
            wish($s->{name}, 'ok');
        };
    }
};

subtest 'a certificate that nobody has signed' => sub {
    my $port = free_port('127.0.0.1');
    system("openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=wrong -addext subjectAltName=IP:127.0.0.1 -keyout $dir/tls.key -out $dir/tls.crt 2>/dev/null") == 0 or die;
    $p->spawn('tls', {log => 'tls.log', death => 'TERM'}, qw(openssl s_server -quiet -www -accept), $port, '-key', "$dir/tls.key", '-cert', "$dir/tls.crt");
    $p->_await('tls', 15, sub { IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $port, Timeout => 1) }, 'tls.log');
    my $at = "https://127.0.0.1:$port";
    local @ENV{qw(HOOK SLACK POSTHOG DSN)} = ("$at/webhook/x", "$at/services/T/B/X", 'phc_test', "https://abc123\@127.0.0.1:$port/42");
    my @services = (
        ['openai', 'openai', {openai_base_url => "$at/v1", openai_api_key => 'env:KEY'}, {messages => [{role => 'user', content => 'x'}], safety_identifier => 'a' x 32}],
        ['elevenlabs', 'voice', {%voice, elevenlabs_base_url => "$at/v1"}, \%speech],
        ['r2', 'r2_delete', {%r2, r2_endpoint => $at}, {key => 'a/b.mp3'}],
        ['google_oauth', 'fcm', {fcm_base_url => $at, fcm_service_account => 'file:' . account("$dir/key.pem", token_uri => "$at/token")}, {token => 'x', title => 'x', body => 'y'}],
        ['fcm', 'fcm', {fcm_base_url => $at, fcm_service_account => 'file:' . account("$dir/key.pem")}, {token => 'x', title => 'x', body => 'y'}],
        ['posthog', 'posthog', {posthog_host => $at, posthog_api_key => 'env:POSTHOG'}, {events => [{event => 'x', distinct_id => 'u', properties => {}}]}],
        ['n8n', 'n8n', {n8n_webhook_url => 'env:HOOK'}, {payload => {a => 1}}],
        ['slack', 'slack', {slack_webhook_url => 'env:SLACK'}, {text => 'x'}],
        ['sentry', 'sentry', {sentry_dsn => 'env:DSN'}, {level => 'error', message => 'x'}, end => 'dead'],
        ['otlp', 'otlp', {otlp_endpoint => $at}, {spans => [{trace_id => '0123456789abcdef' x 2, span_id => '0123456789abcdef', name => 'x', kind => 'server', start_us => 1, end_us => 2}]}],
        ['smtp', 'smtp', {smtp_host => '127.0.0.1', smtp_port => $port, smtp_tls => 'tls', smtp_from => 'a@fitnudge.example', mail_templates => "$root/conf/templates/mail",
            fitnudge_jwt_secret => 'env:JWT'}, {template => 'account_deleted', language => 'en', to => 'u@x.example', name => 'U', user_id => '01900000-0000-7000-8000-000000000001', vars => {}}, alert => 1],
    );
    # 60 is CURLE_PEER_FAILED_VERIFICATION
    for (@services) {
        my ($service, $as, $settings, $ctx, %o) = @$_;
        outcome_is($as, $settings, $ctx, $o{end} // 'retry', $o{alert} // 0, $service, service => $service, error => 60, status => 0);
    }
    unlike(path("$dir/log/tls.log")->slurp, qr/test-key|abc123|phc_test/, 'nobody was told a key');
};

done_testing;
