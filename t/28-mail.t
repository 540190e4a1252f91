# What becomes of mails: the sender's webhook with its signature, the picture, the links, unsubscribing, and who gets what afterwards.
use Mojo::Base -strict, -signatures;
use FindBin;
use lib "$FindBin::Bin/lib";
use FitNudge::Test::Contract;
use FitNudge::Test::Stack;
use FitNudge::Util qw(free_port slurp spew);
use Digest::SHA qw(hmac_sha256);
use MIME::QuotedPrint qw(decode_qp);
use Mojo::JSON qw(decode_json encode_json);
use Mojo::Util qw(b64_encode url_escape);
use Test::More;
use Time::HiRes qw(time);

my $s = FitNudge::Test::Stack->new;
$s->prepare;
my $dir = $s->dir;
my ($smtp, $admin) = (free_port('127.0.0.1'), 'http://127.0.0.1:' . free_port('127.0.0.1'));
$s->spawn('smtp', { log => 'smtp.log', death => 'TERM', env => { FAKE_SMTP_PORT => $smtp, FAKE_SMTP_AUTH => 'user@fitnudge.example:test-key' } },
    $^X, $s->root . '/t/fakes/smtp.pl', 'daemon', '-m', 'production', '-l', $admin);
$s->_await('smtp', 20, sub { defined eval { $s->ua->get("$admin/_fake/mails")->result->code } }, 'smtp.log');

sub openssl (@args) { system('openssl', @args) == 0 or die "openssl @args" }
openssl('genpkey', '-algorithm', 'EC', '-pkeyopt', 'ec_paramgen_curve:P-256', '-out', "$dir/$_.pem") for qw(sender thief);
openssl('pkey', '-in', "$dir/sender.pem", '-pubout', '-outform', 'DER', '-out', "$dir/sender.der");
my $key = b64_encode(slurp("$dir/sender.der"), '');

$s->{env}{KEY} = 'test-key';
$s->{pool} = "smtp_host 127.0.0.1; smtp_port $smtp; smtp_tls off; smtp_username user\@fitnudge.example; smtp_password env:KEY; smtp_from coach\@fitnudge.example;"
    . " mail_templates ${\ $s->root}/conf/templates/mail; mail_link_url https://api.fitnudge.example;";
$s->{shared} = "fitnudge_email_events_key $key;";
$s->{server} = 'location /api/v1/webhooks/ { client_max_body_size 1m; }';
$s->start;

my ($ann, $bob) = map { new_user($s) } 1 .. 2;

sub sign ($text, $who = 'sender') {
    spew("$dir/text", $text, 0600);
    openssl('dgst', '-sha256', '-sign', "$dir/$who.pem", '-out', "$dir/signature", "$dir/text");
    return b64_encode(slurp("$dir/signature"), '');
}
# events as the sender posts them; %o: at, who signs, what is signed, headers
sub report ($events, %o) {
    my $body = ref $events ? encode_json($events) : $events;
    my $at = $o{at} // int time;
    my %h = ('X-Twilio-Email-Event-Webhook-Timestamp' => $at, 'X-Twilio-Email-Event-Webhook-Signature' => $o{signature} // sign($at . ($o{signed} // $body), $o{who} // 'sender'), %{ $o{headers} // {} });
    delete @h{ grep { !defined $h{$_} } keys %h };
    return call($s, POST => '/webhooks/email-events', body => $body, headers => \%h);
}
my $n = 0;
sub event ($event, %o) { return { event => $event, email => $ann->{email}, timestamp => int time, sg_event_id => 'e' . ++$n, %o } }
sub follow ($job, $user, $body) {
    my $id = sprintf '01900000-0000-7000-8000-%012d', ++$n;
    $s->redis(LPUSH => '{fn}:q:sql:l', "w1 $id $job l " . int(time * 1000) . " 0 0 $user - -\n" . '{"params":{},"body":' . encode_json($body) . ',"meta":{}}');
    my $answer;
    poll(25, sub { ($answer) = map { $_->[0] } $s->rows("SELECT body FROM inbox WHERE job_id = '$id' AND state = 'done'"); defined $answer });
    return ($id, defined $answer ? decode_json($answer)->{status} : 'no answer');
}
sub letter ($u, $template) {
    my %vars = (verification => { verification_code => '123456', expires_minutes => 15 }, welcome => { app_download_url => 'https://fitnudge.example/app?a=1&b=2' },
        weekly_summary => { week_start => '2026-01-05', week_end => '2026-01-11', checkins => 3, streak => 2, completion_rate => 80, app_url => 'https://fitnudge.example/' });
    return follow('mail.send', $u->{id}, { template => $template, to => $u->{email}, name => 'Ann', language => 'en', vars => $vars{$template} });
}
sub outcome ($u, $template) { (letter($u, $template))[1] }
sub mail ($id, $column) { $s->sql("SELECT $column FROM mails WHERE id = ?", $id) }

my ($mail, $how) = letter($ann, 'welcome');
is($how, 'sent', 'a mail is sent');
my ($text) = map { decode_qp($_->{data}) } grep { $_->{data} =~ /\Q$mail\E/ } @{ $s->ua->get("$admin/_fake/mails")->result->json };
my ($open) = $text =~ m{https://api\.fitnudge\.example(/api/v1/e/o/[^"]+)} or BAIL_OUT('no picture');
my ($click) = $text =~ m{https://api\.fitnudge\.example(/api/v1/e/c/\S+)} or BAIL_OUT('no link');
my ($leave) = $text =~ m{List-Unsubscribe:\s+<https://api\.fitnudge\.example(/api/v1/e/u/[^>]+)>}i or BAIL_OUT('no way out');

subtest 'the picture' => sub {
    my $res = call($s, GET => $open, headers => { Accept => 'image/avif,image/webp,image/*;q=0.8' });
    status_ok($res, 200, 'is there');
    is($res->headers->content_type, 'image/gif', 'an image');
    like($res->body, qr/\AGIF89a\x01\0\x01\0.*;\z/s, 'of one pixel');
    like($res->headers->cache_control, qr/no-store/, 'that nobody keeps');
    ok(poll(20, sub { mail($mail, 'opens') == 1 }), 'the mail was opened');
    status_ok(call($s, HEAD => $open), 200, 'who only looks whether it is there');
    call($s, GET => $open);
    ok(poll(20, sub { mail($mail, 'opens') == 2 }), 'does not count') or diag(mail($mail, 'opens'));
    error_ok(call($s, GET => $_), 404, 'another signature') for $open =~ s/(.)\z/$1 eq 'A' ? 'B' : 'A'/er, $open =~ s/o\/\w{8}/o\/01900001/r;
    error_ok(call($s, GET => $open =~ s/\?.*//r), 400, 'none', field => 's', constraint => 'required');
    error_ok(call($s, POST => $open, json => {}), 405, 'is only to be looked at');
};

subtest 'links' => sub {
    my $res = call($s, GET => $click);
    status_ok($res, 302, 'lead on');
    is($res->headers->location, 'https://fitnudge.example/app?a=1&b=2', 'to where they say');
    like($res->headers->cache_control, qr/no-store/, 'each time anew');
    ok(poll(20, sub { mail($mail, 'clicks') == 1 }), 'and count');
    is($s->sql('SELECT url FROM mail_clicks WHERE mail_id = ?', $mail), 'https://fitnudge.example/app?a=1&b=2', 'by link');
    for my $to ('https://evil.example/', '//evil.example/', 'https://fitnudge.example/app?a=1&b=2@evil.example', 'javascript:alert(1)', "https://x/\r\nSet-Cookie: a=b") {
        my $bad = call($s, GET => $click =~ s/u=.*/'u=' . url_escape($to)/er);
        ok($bad->code == 404 || $bad->code == 400, 'nowhere else: ' . ($to =~ s/\s+/ /gr)) or diag($bad->code);
        is($bad->headers->location, undef, 'no address');
    }
    my $other = $s->jwt_secret;
    my $made = FitNudge::Test::Stack::base64url(substr(hmac_sha256("fitnudge mail link\no\n$mail\nhttps://evil.example/", $other), 0, 16));
    error_ok(call($s, GET => "/e/c/$mail?s=$made&u=" . url_escape('https://evil.example/')), 404, 'a signature of another kind of link');
};

subtest 'without Redis' => sub {
    $s->stop_redis;
    status_ok(call($s, GET => $open), 200, 'the picture is there');
    is(call($s, GET => $click)->headers->location, 'https://fitnudge.example/app?a=1&b=2', 'links lead on');
    status_ok(call($s, GET => $leave), 200, 'the page asks');
    error_ok(call($s, POST => $leave), 503, 'but what must not be lost waits');
    error_ok(report([event('delivered')]), 503, 'and is sent again');
    $s->start_redis;
    $s->wait_ready;
    ok(poll(20, sub { call($s, GET => '/health/ready')->code == 200 }), 'Redis is back');
};

subtest 'the webhook' => sub {
    my $res = report([event('processed'), event('delivered', 'smtp-id' => "<$mail\@fitnudge.example>"), event('open', 'smtp-id' => "<$mail\@fitnudge.example>")]);
    status_ok($res, 200, 'is taken');
    is_deeply($res->json, { received => 3, new => 3 }, 'all of it');
    ok(mail($mail, 'delivered_at'), 'and on disk');
    my $opens = mail($mail, 'opens');

    my ($at, $body) = (int time, encode_json([event('open', 'smtp-id' => "<$mail\@fitnudge.example>")]));
    my $signature = sign("$at$body");
    status_ok(report($body, at => $at, signature => $signature), 200, 'a batch') for 1 .. 3;
    is(mail($mail, 'opens'), $opens + 1, 'that is sent three times counts once');
    my $one = event('open', 'smtp-id' => "<$mail\@fitnudge.example>");
    my @batch = map { my @e = map { event('processed') } 1 .. 5; [@e, $one] } 1 .. 6;
    my @res = calls($s, map { my $b = encode_json($_); my $t = int time; [POST => '/webhooks/email-events', body => $b, headers => { 'X-Twilio-Email-Event-Webhook-Timestamp' => $t,
        'X-Twilio-Email-Event-Webhook-Signature' => sign("$t$b") }] } @batch);
    is(scalar(grep { $_->code == 200 } @res), 6, 'several at a time');
    is(mail($mail, 'opens'), $opens + 2, 'an event that is in all of them counts once');

    my $large = encode_json([map { event('processed', padding => 'x' x 500) } 1 .. 1200]);
    cmp_ok(length $large, '>', 600_000, 'a large batch');
    is(report($large)->json->{new}, 1200, 'is taken');
    error_ok(call($s, POST => '/webhooks/email-events', body => ' ' x 1_048_577), 413, 'one of more than a megabyte is not');
    status_ok(report([]), 200, 'none at all');
};

subtest 'forgeries' => sub {
    my $e = [event('bounce', type => 'bounce', email => $bob->{email})];
    my $sig = 'x-twilio-email-event-webhook-signature';
    error_ok(report($e, who => 'thief'), 401, 'by another key', field => $sig, constraint => 'signature');
    error_ok(report($e, signed => encode_json([event('delivered')])), 401, 'of other words', constraint => 'signature');
    error_ok(report($e, headers => { 'X-Twilio-Email-Event-Webhook-Timestamp' => int(time) + 1 }), 401, 'of another time', constraint => 'signature');
    error_ok(report($e, headers => { 'X-Twilio-Email-Event-Webhook-Signature' => undef }), 401, 'none', field => $sig, constraint => 'required');
    error_ok(report($e, headers => { 'X-Twilio-Email-Event-Webhook-Timestamp' => undef }), 401, 'no time', constraint => 'required');
    error_ok(report($e, signature => $_), 401, "signature '$_'", constraint => 'signature') for '', 'x', 'AAAA', '=' x 40, 'A' x 200;
    error_ok(report($e, at => int(time) - 86402), 401, 'yesterday\'s', constraint => 'timestamp');
    error_ok(report($e, at => int(time) + 400), 401, 'tomorrow\'s', constraint => 'timestamp');
    error_ok(report($_), 400, "signed nonsense: $_", constraint => 'json') for '', '{}', '[', '["\u0000"]', '[1,]', "[\"\xff\"]";
    status_ok(call($s, POST => '/webhooks/email-events', token => $ann->{token}, body => '[]'), 401, 'a user is nobody here');
    is($s->sql('SELECT count(*) FROM mail_suppressions'), 0, 'nothing came of it');
};

subtest 'who gets what' => sub {
    is(outcome($bob, $_), 'sent', $_) for qw(welcome verification);
    report([event('bounce', type => 'blocked', email => $bob->{email})]);
    is(outcome($bob, 'welcome'), 'suppressed', 'a server that blocks us gets no news');
    is(outcome($bob, 'verification'), 'sent', 'but what was asked for');
    $s->sql('DELETE FROM mail_suppressions RETURNING 1');
    report([event('spamreport', email => uc $bob->{email})]);
    is(outcome($bob, 'weekly_summary'), 'suppressed', 'who complains');
    is(outcome($bob, 'verification'), 'sent', 'gets codes');
    report([event('bounce', type => 'bounce', email => $bob->{email})]);
    is(outcome($bob, 'verification'), 'suppressed', 'an address that is none gets nothing');
};

subtest 'unsubscribing' => sub {
    is(outcome($ann, 'welcome'), 'sent', 'mails come');
    my $page = call($s, GET => $leave, headers => { Accept => 'text/html', 'Accept-Language' => 'pt-BR, de-AT;q=0.9, en;q=0.8' });
    status_ok($page, 200, 'a page');
    is($page->headers->content_type, 'text/html; charset=utf-8', 'for people');
    is($page->dom->at('html')->attr('lang'), 'de', 'in their language');
    is($page->dom->at('form')->attr('method'), 'post', 'asks');
    is(call($s, GET => $leave)->dom->at('html')->attr('lang'), 'en', 'or in English');
    is($s->sql('SELECT count(*) FROM mail_unsubscriptions'), 0, 'to look at it changes nothing');
    error_ok(call($s, $_ => $leave =~ s/(.)\z/$1 eq 'A' ? 'B' : 'A'/er), 404, "$_ with another signature") for qw(GET POST);
    error_ok(call($s, POST => $leave =~ s/product/beta/r), 404, 'of another list');
    error_ok(call($s, POST => $leave =~ s/$ann->{id}/$bob->{id}/r), 404, 'of another user');
    my $done = call($s, POST => $leave, body => 'List-Unsubscribe=One-Click', headers => { 'Content-Type' => 'application/x-www-form-urlencoded' });
    status_ok($done, 200, 'one click');
    is($done->dom->at('form'), undef, 'is all');
    status_ok(call($s, POST => $leave, body => "--x\r\nContent-Disposition: form-data; name=\"List-Unsubscribe\"\r\n\r\nOne-Click\r\n--x--\r\n", headers => { 'Content-Type' => 'multipart/form-data; boundary=x' }), 200,
        'in either form, again');
    is($s->sql('SELECT string_agg(list, \' \') FROM mail_unsubscriptions WHERE user_id = ?', $ann->{id}), 'product', 'of that list');
    is(outcome($ann, 'welcome'), 'suppressed', 'no more of it');
    is(outcome($ann, 'weekly_summary'), 'sent', 'but of others');
    is(outcome($ann, 'verification'), 'sent', 'and what is about the account');
};

subtest 'the tables agree' => sub {
    my ($table) = slurp($s->root . '/worker/mail/templates.c') =~ /fn_mail_kinds\[\] = \{(.*?)\n\};/s;
    my %c = map { /\{ "(\w+)",\s+(?:NULL|"(\w+)"),/ ? ($1 => $2) : () } split /\n/, $table;
    my %sql = map { @$_ } $s->rows('SELECT template, list FROM mail_kinds');
    is_deeply(\%sql, \%c, 'templates and their lists');
};

subtest 'no key' => sub {
    $s->{shared} = '';
    $s->write_conf;
    $s->reload_nginx;
    my $res;
    ok(poll(20, sub { (($res = report([]))->code // 0) == 503 }), 'nobody is believed');
    error_ok($res, 503, 'and may come again');
};

$s->assert_clean(qr/connect\(\)|No such file|Connection refused|provider (?:failed|refused)/);
done_testing;
