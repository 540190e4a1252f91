# Every service that jobs call has a breaker of its own: failures in a row open it, as many as are set; then nobody asks, jobs are put off
# or fall back; closed by an operator, all is done. OpenAI's is in 51-providers.t.
use Mojo::Base -strict, -signatures;
use FindBin;
use lib "$FindBin::Bin/lib";
use FitNudge::Test::Contract;
use FitNudge::Test::Pool;
use FitNudge::Test::Services;
use FitNudge::Test::Stack;
use Mojo::JSON qw(decode_json);
use Test::More;

my %opens = (r2 => 2);          # all others:
my $opens = 3;

my $s = FitNudge::Test::Stack->new(nginx_workers => 1);
my $services = FitNudge::Test::Services->new(stack => $s)->start(qw(fcm smtp elevenlabs r2 slack n8n posthog));
$s->{pool} = $services->conf . "breaker_failures $opens;\nbreaker_time 1h;\nr2_breaker_failures $opens{r2};\nr2_breaker_time 1h;\n"
    . join '', map { "${_}_attempts 1;\n" } qw(fcm smtp elevenlabs r2 slack n8n posthog);
$s->start;

my $u = new_user($s);
make_pro($s, $u);
my %pro = (token => $s->mint_jwt(sub => $u->{id}, plan => 'pro'));
status_ok(call($s, POST => '/users/me/devices', token => $u->{token}, json => { platform => 'android', token => 'phone' }), 204, 'a device');
my $device = $s->sql("SELECT id FROM devices WHERE user_id = '$u->{id}'");

sub ctl (@args) {
    open my $out, '-|', $s->dir . '/bin/fitnudgectl', '-c', $s->dir . '/nginx.conf', @args or die $!;
    local $/;
    return <$out> // '';
}
sub breaker ($service) { my ($row) = grep { $_->{service} eq $service } map { decode_json($_) } split /\n/, ctl('--json', 'breaker'); return $row // {} }
sub put_off ($id) { scalar grep { /\Aw1 $id / } $s->redis(ZRANGE => '{fn}:z:net', 0, -1) }
sub due () { $s->redis(EVAL => "for _, j in ipairs(redis.call('ZRANGE', KEYS[1], 0, -1)) do redis.call('ZADD', KEYS[1], 0, j) end", 1, '{fn}:z:net') }

my $n = 0;
my $mail = sub ($to) { $services->follow('mail.send', $u->{id}, { template => 'account_deleted', to => $to, name => 'Ann', language => 'en', vars => {} }) };

# service => how one job is made that fails or not, and how often the service was asked
my %job = (
    fcm => sub { $services->follow('push.device', $u->{id}, { title => 'x', body => 'y', device_id => $device }) },
    r2 => sub { $services->follow('media.delete', '-', { key => 'voice/x' . ++$n . '.mp3' }) },
    slack => sub { $services->follow('alert.send', '-', { text => 'x', key => 'k' . ++$n }) },
    n8n => sub { $services->follow('n8n.notify', '-', { payload => { a => 1 } }) },
    posthog => sub { $services->follow('events.send', '-', { events => [{ event => 'x', distinct_id => 'y', properties => {} }] }) },
);
sub asked ($service) { scalar(my @all = grep { $service ne 'fcm' || $_->{path} =~ /messages:send/ } $services->requests($service)) }

for my $service (sort keys %job) {
    subtest $service => sub {
        my $limit = $opens{$service} // $opens;
        my $before = asked($service);
        $services->wish($service, 'cut', $service eq 'fcm' ? (only => 'messages:send') : ());
        is(breaker($service)->{state}, 'closed', 'closed');
        # one job, tried again and again, so that no two are asked for at once
        my @id = $job{$service}->();
        ok(poll(60, sub { due(); breaker($service)->{state} eq 'open' }), 'failures open it') or diag($s->pool_log);
        is(asked($service), $before + $limit, "$limit in a row");
        is(breaker($service)->{opens_at}, $limit, 'as it is set');
        cmp_ok(breaker($service)->{open_ms}, '>', 3000_000, 'for an hour');
        push @id, $job{$service}->();
        ok(poll(20, sub { put_off($id[-1]) }), 'the next one is put off');
        is(asked($service), $before + $limit, 'and nobody asked');

        $services->wish($service, 'ok');
        is(ctl('breaker', 'close', $service), "$service: closed\n", 'closed by an operator');
        my %done;
        ok(poll(60, sub { due(); $done{$_} //= $s->sql("SELECT 1 FROM inbox WHERE job_id = '$_' AND state = 'done'") for @id; @id == grep { $_ } values %done }), 'all is done');
        is($services->outcome($_)->{status}, 'sent', "job $_") for @id;
        is(breaker($service)->{state}, 'closed', 'it stays closed');
    };
}

subtest 'smtp' => sub {
    # the connection is lost after the data, twice for each mail; the next one only when that is over
    my $last;
    my $next = sub { $last = $mail->('drop@example.com') if !$last || $s->sql("SELECT 1 FROM inbox WHERE job_id = '$last' AND state = 'done'") };
    ok(poll(60, sub { due(); $next->(); breaker('smtp')->{state} eq 'open' }), "failures open it");
    my $good = $mail->('ann@example.com');
    ok(poll(20, sub { put_off($good) }), 'the next one is put off');
    is(scalar(grep { $_->{to} eq 'ann@example.com' } $services->mails), 0, 'and nobody asked');
    is(ctl('breaker', 'close', 'smtp'), "smtp: closed\n", 'closed by an operator');
    ok(poll(30, sub { due(); $s->sql("SELECT status FROM mails WHERE id = '$good'") eq 'sent' }), 'it is sent');
    $s->redis(DEL => '{fn}:z:net');
};

subtest 'elevenlabs' => sub {
    $services->wish('elevenlabs', '500');
    my $before = asked('elevenlabs');
    my $say = sub { my $res = call($s, POST => '/ai/voice', %pro, json => { text => 'Hello ' . ++$n }); return ($res->code // 0) == 200 ? $res->json->{voice_url} // 'text only' : $res->code };
    is($say->(), 'text only', "failure $_") for 1 .. $opens;
    ok(poll(20, sub { breaker('elevenlabs')->{state} eq 'open' }), "open after $opens");
    is($say->(), 'text only', 'open: it falls back');
    is(asked('elevenlabs'), $before + $opens, 'and nobody asked');
    $services->wish('elevenlabs', 'ok');
    is(ctl('breaker', 'close', 'elevenlabs'), "elevenlabs: closed\n", 'closed by an operator');
    my $url;
    ok(poll(20, sub { $url = $say->(); $url =~ /^http/ }), 'there is a voice again') or diag($url);
};

is_deeply([sort map { $_->{service} } pool_log_lines($s, 'breaker opened')], [sort keys %job, qw(smtp elevenlabs)], 'the log has each once')
    or diag(join "\n", grep { /breaker|provider failed/ } split /\n/, $s->pool_log);
$s->assert_clean(qr/provider (?:failed|refused)|breaker opened/);
done_testing;
