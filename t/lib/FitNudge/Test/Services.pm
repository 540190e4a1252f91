# The fakes of outside services (t/fakes) for one stack, and the pool's settings that lead to them.
#
#   my $s = FitNudge::Test::Stack->new;
#   my $services = FitNudge::Test::Services->new(stack => $s)->start(qw(fcm smtp));
#   $s->{pool} = $services->conf;
#   $s->start;
#   $services->wish(fcm => '500', count => 2);
package FitNudge::Test::Services;
use Mojo::Base -base, -signatures;

use FitNudge::Test::Contract qw(poll);
use FitNudge::Util qw(free_port spew);
use Mojo::File qw(path);
use Mojo::JSON qw(decode_json encode_json);
use Time::HiRes qw(time);

has 'stack';
has url => sub { {} };          # name => where its fake listens
has smtp_port => sub { free_port('127.0.0.1') };

# What each fake needs, the settings with which the pool finds it, and environment for those; %s is its address.
my %service = (
    fcm => {
        fake => sub ($self) { $self->_account; my $dir = $self->stack->dir; (FAKE_FCM_PUBLIC_KEY => "$dir/fcm.pub", FAKE_FCM_EMAIL => 'pool@p1.iam.gserviceaccount.com') },
        conf => sub ($self, $url) { 'fcm_service_account file:' . $self->stack->dir . "/fcm.json; fcm_base_url $url;" },
    },
    smtp => {
        fake => sub ($self) { (FAKE_SMTP_PORT => $self->smtp_port, FAKE_SMTP_AUTH => 'user@fitnudge.example:test-key') },
        conf => sub ($self, $url) { "smtp_host 127.0.0.1; smtp_port ${\ $self->smtp_port}; smtp_tls off; smtp_username user\@fitnudge.example; smtp_password env:KEY; "
            . "smtp_from coach\@fitnudge.example; mail_templates ${\ $self->stack->root}/conf/templates/mail; mail_link_url https://api.fitnudge.example;" },
    },
    elevenlabs => { conf => sub ($self, $url) { qq(elevenlabs_base_url $url/v1; elevenlabs_api_key env:KEY; elevenlabs_voices "base1 calm/fr=frenchcalm1";) } },
    r2 => { conf => sub ($self, $url) { "r2_endpoint $url; r2_access_key env:R2_ID; r2_secret_key env:R2_SECRET; r2_bucket media;" } },
    slack => { conf => sub ($self, $url) { 'slack_webhook_url env:SLACK;' }, env => sub ($url) { (SLACK => "$url/services/T/B/X") } },
    n8n => { fake => sub ($self) { (FAKE_N8N_AUTH => 'header:X-Token:test-key') }, env => sub ($url) { (N8N => "$url/webhook/translate") },
        conf => sub ($self, $url) { 'n8n_webhook_url env:N8N; n8n_auth header; n8n_auth_name X-Token; n8n_auth_secret env:KEY;' } },
    posthog => { conf => sub ($self, $url) { "posthog_host $url; posthog_api_key env:POSTHOG;" }, env => sub ($url) { (POSTHOG => 'phc_test') } },
);

# Starts fakes by name and waits until they answer.
sub start ($self, @names) {
    my $s = $self->stack->prepare;
    @{ $s->{env} }{qw(KEY R2_ID R2_SECRET)} = ('test-key', 'AKIDEXAMPLE', 'wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY');
    $self->url->{$_} = 'http://127.0.0.1:' . free_port('127.0.0.1') for @names;

    for my $name (@names) {
        my %env = $service{$name}{fake} ? $service{$name}{fake}->($self) : ();
        $s->spawn($name, { log => "$name.log", death => 'TERM', env => \%env }, $^X, $s->root . "/t/fakes/$name.pl", 'daemon', '-m', 'production', '-l', $self->url->{$name});
    }
    for my $name (@names) {
        $s->_await($name, 20, sub { defined(eval { $s->ua->get($self->url->{$name} . '/_fake/none')->result->code }) }, "$name.log");
    }
    return $self;
}

# The pool's settings, for services at these addresses or the fakes' own.
sub conf ($self, %at) {
    my $s = $self->stack;
    my $text = '';
    for my $name (sort keys %{ $self->url }) {
        my $url = $at{$name} // $self->url->{$name};
        %{ $s->{env} } = (%{ $s->{env} }, $service{$name}{env}->($url)) if $service{$name}{env};
        $text .= $service{$name}{conf}->($self, $url) . "\n";
    }
    return $text;
}

# The key file of a service account whose tokens come from the fake
sub _account ($self) {
    my $dir = $self->stack->dir;
    system("openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -out $dir/fcm.pem 2>/dev/null && openssl pkey -in $dir/fcm.pem -pubout -out $dir/fcm.pub 2>/dev/null") == 0 or die "openssl failed\n";
    spew("$dir/fcm.json", encode_json({ type => 'service_account', project_id => 'p1', private_key_id => 'kid1', client_email => 'pool@p1.iam.gserviceaccount.com',
        token_uri => $self->url->{fcm} . '/token', private_key => path("$dir/fcm.pem")->slurp }), 0644);
}

# How a fake answers from now on; see t/lib/FitNudge/Fake.pm.
sub wish ($self, $name, $mode, %opt) {
    $self->stack->ua->post($self->url->{$name} . '/_fake', json => { mode => $mode, %opt })->result->code == 200 or die "$name does not answer\n";
}

# What came to a fake, oldest first
sub requests ($self, $name) { @{ $self->stack->ua->get($self->url->{$name} . '/_fake/requests')->result->json } }
sub mails ($self) { @{ $self->stack->ua->get($self->url->{smtp} . '/_fake/mails')->result->json } }

# Messages to devices, as FCM got them
sub pushes ($self) { return grep { $_ } map { my $json = eval { decode_json($_->{body} // '') }; ref $json eq 'HASH' ? $json->{message} : undef } $self->requests('fcm') }

# A job of the pool's own, as another job would have left it: its id
my $n = 0;
sub follow ($self, $job, $user, $body, $id = sprintf('01900000-0000-5000-8000-%012d', ++$n), $traceparent = '-') {
    my $envelope = "w1 $id $job l " . int(time * 1000) . " 0 0 $user - $traceparent\n" . '{"params":{},"body":' . encode_json($body) . ',"meta":{}}';
    utf8::downgrade($envelope);         # bytes, whatever $user was
    $self->stack->redis(LPUSH => '{fn}:q:sql:l', $envelope);
    return $id;
}

# Its answer, once it is done
sub outcome ($self, $id, $seconds = 25) {
    my $body;
    poll($seconds, sub { ($body) = map { $_->[0] } $self->stack->rows("SELECT body FROM inbox WHERE job_id = '$id' AND state = 'done'"); defined $body });
    return defined $body ? decode_json($body) : { status => 'no answer' };
}

1;
