#!/usr/bin/env perl

# A strict PostHog: batches of events, gzip or not, each event counted once by its uuid. Key phc_test, or FAKE_POSTHOG_KEY.
#
#   perl t/fakes/posthog.pl daemon -l http://127.0.0.1:PORT        faults: t/lib/FitNudge/Fake.pm; GET /_fake/events has what was counted

use Mojolicious::Lite -signatures;
use FindBin;
use lib "$FindBin::Bin/../lib";
use FitNudge::Fake;
use IO::Uncompress::Gunzip qw(gunzip);
use Mojo::JSON qw(decode_json);

my $key = $ENV{FAKE_POSTHOG_KEY} // 'phc_test';
my (%seen, @events);

sub failed ($c, $status, $code, $detail) { $c->render(status => $status, json => {type => 'validation_error', code => $code, detail => $detail}) }

sub batch ($c) {
    my $body = $c->req->body;
    if (($c->req->headers->content_encoding // '') eq 'gzip') {
        my $plain;
        gunzip(\$body => \$plain) or return failed($c, 400, 'invalid_payload', 'gzip');
        $body = $plain;
    }
    my $b = eval { decode_json($body) };
    return failed($c, 400, 'invalid_payload', 'Malformed request data') unless ref $b eq 'HASH' && ref $b->{batch} eq 'ARRAY' && $b->{batch}->@*;
    return failed($c, 401, 'invalid_api_key', 'Project API key invalid.') if ($b->{api_key} // '') ne $key;
    for my $e ($b->{batch}->@*) {
        return failed($c, 400, 'invalid_payload', 'event') unless ref $e eq 'HASH' && length($e->{event} // '') && length($e->{distinct_id} // '') && ref $e->{properties} eq 'HASH';
        return failed($c, 400, 'invalid_payload', 'uuid') unless ($e->{uuid} // '') =~ /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;
        return failed($c, 400, 'invalid_payload', 'timestamp') unless ($e->{timestamp} // '') =~ /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d/;
    }
    push @events, grep { !$seen{$_->{uuid}}++ } $b->{batch}->@*;
    $c->render(json => {status => 'Ok'});
}

fake(app);
get '/_fake/events' => sub ($c) { $c->render(json => \@events) };
post '/batch/' => sub ($c) { service($c, \&batch) };
any '/*anything' => {anything => ''} => sub ($c) { failed($c, 404, 'not_found', 'Endpoint not found.') };
app->start;
