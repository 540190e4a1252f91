#!/usr/bin/env perl

# Somebody who publishes keys, and may do so badly.
#
#   perl t/fakes/jwks.pl daemon -l http://127.0.0.1:PORT
#
#   GET  /jwks.json       the key set, as the mode says
#   POST /_fake           {"mode":"ok|500|hang|cut|garbage|huge|redirect","delay_ms":n,"set":{"keys":[...]}}; each may be left out, and stays
#   GET  /_fake/requests  headers of what was asked for, oldest first
#   DELETE /_fake/requests

use Mojolicious::Lite -signatures;
use Mojo::IOLoop;

my %fake = (mode => 'ok', delay_ms => 0, set => {keys => []});
my @requests;

app->log->level('warn');

sub answer ($c) {
    my $mode = $fake{mode};

    return $c->render(json => $fake{set}) if $mode eq 'ok';
    return $c->render(json => {error => 'no'}, status => 500) if $mode eq '500';
    return $c->render(data => '{"keys":[{"kty":"RSA","n":', format => 'json') if $mode eq 'garbage';
    return $c->render(json => {pad => 'x' x 200_000, %{$fake{set}}}) if $mode eq 'huge';
    return $c->redirect_to('/elsewhere') if $mode eq 'redirect';

    # less than was announced, then the end of the connection
    $c->res->headers->content_length(4096);
    $c->res->headers->content_type('application/json');
    my $tx = $c->tx;
    return $c->write('{"keys":[' => sub { Mojo::IOLoop->remove($tx->connection) });
}

get '/jwks.json' => sub ($c) {
    push @requests, {map { lc($_) => $c->req->headers->header($_) } $c->req->headers->names->@*};
    $c->render_later;
    $c->inactivity_timeout(300);

    return if $fake{mode} eq 'hang';
    return answer($c) if !$fake{delay_ms};
    Mojo::IOLoop->timer($fake{delay_ms} / 1000 => sub { answer($c) });
};

post '/_fake' => sub ($c) {
    my $wish = $c->req->json;
    %fake = (%fake, %$wish);
    $c->render(json => {});
};

get '/_fake/requests' => sub ($c) { $c->render(json => \@requests) };
del '/_fake/requests' => sub ($c) { @requests = (); $c->render(json => {}) };

app->start;
