#!/usr/bin/env perl

# A strict n8n: one active workflow, /webhook/translate. FAKE_N8N_AUTH is none, basic:<user>:<password> or header:<name>:<value>.
#
#   perl t/fakes/n8n.pl daemon -l http://127.0.0.1:PORT        faults: t/lib/FitNudge/Fake.pm

use Mojolicious::Lite -signatures;
use FindBin;
use lib "$FindBin::Bin/../lib";
use FitNudge::Fake;
use Mojo::JSON qw(decode_json);
use Mojo::Util qw(b64_encode);

my ($kind, $name, $value) = split /:/, $ENV{FAKE_N8N_AUTH} // 'none', 3;

sub workflow ($c) {
    my ($header, $want) = $kind eq 'basic' ? ('Authorization', 'Basic ' . b64_encode("$name:$value", '')) : ($name, $value);
    return $c->render(status => 403, text => 'Authorization data is wrong!') if $kind ne 'none' && ($c->req->headers->header($header) // '') ne $want;
    return $c->render(status => 422, json => {message => 'Failed to parse request body'}) unless ref(eval { decode_json($c->req->body) }) eq 'HASH';
    return $c->render(status => 400, json => {message => 'no Idempotency-Key'}) unless length($c->req->headers->header('Idempotency-Key') // '');
    $c->render(json => {message => 'Workflow was started'});
}

fake(app);
post '/webhook/translate' => sub ($c) { service($c, \&workflow) };
any '/*anything' => {anything => ''} => sub ($c) {
    $c->render(status => 404, json => {code => 404, message => 'The requested webhook is not registered.', hint => 'The workflow must be active.'});
};
app->start;
