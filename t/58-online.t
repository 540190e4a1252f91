# fitnudgectl doctor --online: whether outside services accept our keys, asked of strict fakes; nothing changes there, and the others are not asked.
use Mojo::Base -strict, -signatures;
use FindBin;
use lib "$FindBin::Bin/lib";
use FitNudge::Test::Stack;
use FitNudge::Util qw(free_port slurp spew);
use Mojo::File qw(path);
use Mojo::JSON qw(decode_json encode_json);
use Test::More;

our $s = FitNudge::Test::Stack->new(nginx_workers => 1);
$s->prepare;
my $dir = $s->dir;
my %url;

sub fake ($name, %env) {
    $url{$name} = 'http://127.0.0.1:' . free_port('127.0.0.1');
    $s->spawn($name, { log => "$name.log", death => 'TERM', env => \%env }, $^X, $s->root . "/t/fakes/$name.pl", 'daemon', '-m', 'production', '-l', $url{$name});
}
sub requests ($name) { @{ $s->ua->get("$url{$name}/_fake/requests")->result->json } }

system("openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -out $dir/fcm.pem 2>/dev/null && openssl pkey -in $dir/fcm.pem -pubout -out $dir/fcm.pub 2>/dev/null") == 0 or die;
my $smtp = free_port('127.0.0.1');
fake('fcm', FAKE_FCM_PUBLIC_KEY => "$dir/fcm.pub", FAKE_FCM_EMAIL => 'pool@p1.iam.gserviceaccount.com');
fake('smtp', FAKE_SMTP_PORT => $smtp, FAKE_SMTP_AUTH => 'user@fitnudge.example:test-key');
fake('r2');
fake('slack');
fake('openai', FAKE_OPENAI_KEY => 'sk-fake');
for my $name (sort keys %url) {
    $s->_await($name, 20, sub { defined(eval { $s->ua->get("$url{$name}/_fake/none")->result->code }) }, "$name.log");
}
sub account ($file, %over) {
    spew($file, encode_json({ type => 'service_account', project_id => 'p1', private_key_id => 'kid1', client_email => 'pool@p1.iam.gserviceaccount.com',
        token_uri => "$url{fcm}/token", private_key => path("$dir/fcm.pem")->slurp, %over }), 0644);
}
account("$dir/fcm.json");

my %set = (
    fcm => "fcm_service_account file:$dir/fcm.json; fcm_base_url $url{fcm};",
    smtp => "smtp_host 127.0.0.1; smtp_port $smtp; smtp_tls off; smtp_username user\@fitnudge.example; smtp_password env:KEY;",
    r2 => "r2_endpoint $url{r2}; r2_access_key env:R2_ID; r2_secret_key env:R2_SECRET; r2_bucket media;",
    slack => 'slack_webhook_url env:SLACK;',
    openai => "openai_base_url $url{openai}/v1; openai_api_key env:OPENAI;",
);
my %env = (KEY => 'test-key', R2_ID => 'AKIDEXAMPLE', R2_SECRET => 'wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY', SLACK => "$url{slack}/services/T/B/X", OPENAI => 'sk-fake');
$s->{env}{$_} = $env{$_} for keys %env;
$s->{pool} = join "\n", values %set;
$s->start;
my $text = slurp("$dir/nginx.conf");

# ({ check => { result, found, todo } }, all that was printed); %change: other settings, $more: other variables
sub doctor ($change = {}, $more = {}, @args) {
    my $conf = $text;
    $conf =~ s/\Q$set{$_}\E/$change->{$_}/ or die $_ for keys %$change;
    spew("$dir/other.conf", $conf, 0644);
    local @ENV{ keys %env } = values %env;
    local @ENV{ keys %$more } = values %$more;
    my $error = "$dir/doctor.err";
    my $out = qx($dir/bin/fitnudgectl -c $dir/other.conf --json doctor @args 2>$error);
    my %c = map { my $l = decode_json($_); ($l->{check} => $l) } split /\n/, $out;
    $c{rc} = $? >> 8;
    return (\%c, $out . slurp($error));
}

subtest 'right keys' => sub {
    my ($c, $all) = doctor({}, {}, '--online');
    is($c->{"$_ online"}{result}, 'ok', $_) or diag($c->{"$_ online"}{found}) for qw(openai r2 fcm smtp);
    ok(!$c->{'slack online'}, 'Slack is not asked');
    is(scalar(my @none = requests('slack')), 0, 'nor told anything');
    is($s->ua->get("$url{smtp}/_fake/mails")->result->body, '[]', 'no mail was sent');
    is(scalar(grep { $_->{path} =~ /messages:send/ } requests('fcm')), 0, 'no push');
    unlike($all, qr/sk-fake|test-key|wJalr/, 'no key is printed');
};

subtest 'only when wanted' => sub {
    my @before = map { scalar(my @r = requests($_)) } qw(openai r2 fcm);
    my ($c) = doctor();
    is(scalar(grep { /online/ } keys %$c), 0, 'without --online nobody is asked');
    is_deeply([map { scalar(my @r = requests($_)) } qw(openai r2 fcm)], \@before, 'really not');
    ($c, my $all) = doctor({}, {}, '--offline');
    is($c->{rc}, 2, 'another word is wrong usage');
    like($all, qr/^usage: fitnudgectl doctor/m, 'and says so');
};

sub wrong ($name, $found, $change, $more = {}) {
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my ($c) = doctor($change, $more, '--online');
    my ($service) = split / /, $name;
    subtest $name => sub {
        is($c->{rc}, 1, 'exit status');
        is($c->{"$service online"}{result}, 'wrong', 'wrong');
        like($c->{"$service online"}{found}, $found, 'what was found');
        ok(length $c->{"$service online"}{todo}, 'what to do');
        is($c->{"$_ online"}{result}, 'ok', "$_ is asked all the same") for grep { $_ ne $service } qw(openai r2 fcm smtp);
    };
}
my $closed = free_port('127.0.0.1');
wrong('openai with another key', qr/the key is refused/, {}, { OPENAI => 'sk-other' });
wrong('openai that is not there', qr/^no answer: \w/, { openai => "openai_base_url http://127.0.0.1:$closed/v1; openai_api_key env:OPENAI;" });
wrong('openai at another address', qr/^answers 404$/, { openai => "openai_base_url $url{openai}/v2; openai_api_key env:OPENAI;" });
wrong('r2 with another secret', qr/signature is refused/, {}, { R2_SECRET => 'other' });
wrong('r2 without its bucket', qr/no such bucket/, { r2 => $set{r2} =~ s/media/pictures/r });
wrong('smtp with another password', qr/refuses the user name or password/, {}, { KEY => 'other' });
wrong('smtp without STARTTLS', qr/offers no STARTTLS/, { smtp => $set{smtp} =~ s/smtp_tls off/smtp_tls starttls/r });
account("$dir/other.json", client_email => 'else@p1.iam.gserviceaccount.com');
wrong('fcm with another account', qr/\w/, { fcm => $set{fcm} =~ s/fcm\.json/other.json/r });

$s->assert_clean;
done_testing;
