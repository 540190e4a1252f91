#!/usr/bin/env perl

# A strict Sentry (project 42, key abc123) and a strict OpenTelemetry collector in one.
#
#   perl t/fakes/telemetry.pl daemon -l http://127.0.0.1:PORT        faults: t/lib/FitNudge/Fake.pm, and limited partial

use Mojolicious::Lite -signatures;
use FindBin;
use lib "$FindBin::Bin/../lib";
use FitNudge::Fake;
use Mojo::JSON qw(decode_json encode_json);

sub envelope ($c) {
    return $c->render(status => 403, json => {detail => 'bad sentry DSN public key'}) if ($c->req->headers->header('X-Sentry-Auth') // '') !~ /^Sentry sentry_key=abc123, sentry_version=7, sentry_client=\S+$/;
    return $c->render(status => 400, json => {detail => 'content type'}) if ($c->req->headers->content_type // '') ne 'application/x-sentry-envelope';
    my ($head, $item, $rest) = split /\n/, $c->req->body, 3;
    ($head, $item) = map { eval { decode_json($_) } } $head, $item;
    return $c->render(status => 400, json => {detail => 'invalid envelope'}) unless ref $head eq 'HASH' && ref $item eq 'HASH' && $head->{event_id} =~ /^[0-9a-f]{32}$/;
    return $c->render(status => 400, json => {detail => 'invalid item length'}) unless length($rest) == $item->{length} + 1;
    my $event = eval { decode_json(substr $rest, 0, $item->{length}) };
    return $c->render(status => 400, json => {detail => 'invalid event'}) unless ref $event eq 'HASH' && $event->{event_id} eq $head->{event_id}
        && $event->{level} =~ /^(?:fatal|error|warning|info|debug)$/ && $event->{timestamp} > 0;
    $c->render(json => {id => $event->{event_id}});
}

sub traces ($c) {
    my $b = eval { decode_json($c->req->body) };
    my $spans = eval { $b->{resourceSpans}[0]{scopeSpans}[0]{spans} };
    return $c->render(status => 400, json => {code => 3, message => 'malformed'}) unless ref $spans eq 'ARRAY' && @$spans;
    for my $s (@$spans) {
        return $c->render(status => 400, json => {code => 3, message => 'invalid span'})
            if $s->{traceId} !~ /^[0-9a-f]{32}$/ || $s->{spanId} !~ /^[0-9a-f]{16}$/ || $s->{parentSpanId} !~ /^(?:[0-9a-f]{16})?$/ || !length $s->{name}
            || encode_json([@$s{qw(startTimeUnixNano endTimeUnixNano)}]) !~ /^\["\d+","\d+"\]$/ || encode_json([$s->{kind}]) !~ /^\[[1-5]\]$/;
    }
    $c->render(json => {});
}

fake(app,
    limited => sub ($c) {
        $c->res->headers->header('X-Sentry-Rate-Limits' => '60:error;transaction:organization:quota, 2700:session:organization');
        $c->render(status => 429, json => {detail => 'rate limited'});
    },
    partial => sub ($c) { $c->render(json => {partialSuccess => {rejectedSpans => '1', errorMessage => 'too old'}}) });
post '/api/42/envelope/' => sub ($c) { service($c, \&envelope) };
post '/v1/traces' => sub ($c) { service($c, \&traces) };
any '/*anything' => {anything => ''} => sub ($c) { $c->render(status => 404, json => {detail => 'not found'}) };
app->start;
