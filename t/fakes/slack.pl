#!/usr/bin/env perl

# A strict Slack: one incoming webhook, /services/T/B/X.
#
#   perl t/fakes/slack.pl daemon -l http://127.0.0.1:PORT        faults: t/lib/FitNudge/Fake.pm, and archived prohibited

use Mojolicious::Lite -signatures;
use FindBin;
use lib "$FindBin::Bin/../lib";
use FitNudge::Fake;
use Mojo::JSON qw(decode_json);

sub message ($c) {
    return $c->render(status => 400, text => 'invalid_payload') if ($c->req->headers->content_type // '') !~ m{^application/json\b};
    my $body = eval { decode_json($c->req->body) };
    return $c->render(status => 400, text => 'invalid_payload') unless ref $body eq 'HASH';
    return $c->render(status => 400, text => 'no_text') unless length($body->{text} // '') || $body->{blocks};
    return $c->render(status => 400, text => 'invalid_payload') if ref $body->{text} || length $body->{text} > 40000;
    $c->render(text => 'ok');
}

fake(app,
    429 => sub ($c) { $c->render(status => 429, text => 'rate_limited') },
    500 => sub ($c) { $c->render(status => 500, text => 'rollup_error') },
    archived => sub ($c) { $c->render(status => 410, text => 'channel_is_archived') },
    prohibited => sub ($c) { $c->render(status => 403, text => 'action_prohibited') });
post '/services/T/B/X' => sub ($c) { service($c, \&message) };
any '/*anything' => {anything => ''} => sub ($c) { $c->render(status => 404, text => 'no_service') };
app->start;
