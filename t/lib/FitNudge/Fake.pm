# What the fakes of outside services share: faults on demand, a record of what came, and answers that are late, cut off or never sent.
#
#   POST /_fake             {"mode":"...","delay_ms":n,"count":k,"retry_after":s,"only":"/path"}: for the next k requests, or for all when
#                           count is absent, of those with "only" in their path; {} is back to normal. Modes of all: ok slow hang cut
#                           garbage and any status of an error, as 429; the fakes have more.
#   GET  /_fake/requests    [{"method","path","query","headers":{},"body":text,"status":n}], and forgets nothing
#   DELETE /_fake/requests
package FitNudge::Fake;

use Mojo::Base -strict, -signatures;
use Exporter 'import';
use Mojo::IOLoop;
use Mojo::Util qw(b64_encode);

our @EXPORT = qw(fake service);

my (%fault, @requests, %extra);

# fake(app, mode => sub ($c) { the answer }, ...): the modes that this service alone has
sub fake ($app, %modes) {
    %extra = %modes;
    $app->log->level('warn');
    $app->max_request_size(16 << 20);

    my $r = $app->routes;
    $r->post('/_fake' => sub ($c) {
        my $wish = $c->req->json;
        return $c->render(status => 400, json => {error => 'an object is expected'}) unless ref $wish eq 'HASH';
        my $mode = $wish->{mode} // 'ok';
        return $c->render(status => 400, json => {error => 'unknown mode'}) unless $extra{$mode} || $mode =~ /^(?:ok|slow|[45]\d\d|hang|cut|garbage)$/;
        %fault = %$wish;
        $c->render(json => {ok => Mojo::JSON->true});
    });
    $r->get('/_fake/requests' => sub ($c) { $c->render(json => \@requests) });
    $r->delete('/_fake/requests' => sub ($c) {
        @requests = ();
        $c->render(json => {ok => Mojo::JSON->true});
    });
}

# service($c, sub ($c) { the answer, or nothing more when it was refused }): records the request, then does what was wished for
sub service ($c, $answer) {
    my $body = my $text = $c->req->body;
    my $is_text = utf8::decode($text);
    my %seen = (
        method => $c->req->method, path => $c->req->url->path->to_string, query => $c->req->url->query->to_string,
        headers => {map { lc($_) => $c->req->headers->header($_) } $c->req->headers->names->@*},
        body => $is_text ? $text : b64_encode($body, ''),
    );
    push @requests, \%seen;
    $c->tx->on(finish => sub ($tx) { $seen{status} = $tx->res->code });

    my $meant = index($seen{path}, $fault{only} // '') >= 0;
    my $mode = $fault{mode} // 'ok';
    my $delay = $fault{delay_ms} // ($mode eq 'slow' ? 3000 : 0);
    my $after = $fault{retry_after};
    %fault = () if $meant && defined $fault{count} && --$fault{count} < 0;
    ($mode, $delay) = ('ok', 0) unless $meant && %fault;

    $c->inactivity_timeout(3600);
    $c->render_later;
    return if $mode eq 'hang';

    my $say = sub {
        return $answer->($c) if $mode eq 'ok' || $mode eq 'slow';
        $c->res->headers->header('retry-after' => $after) if defined $after;
        return $extra{$mode}->($c) if $extra{$mode};
        return $c->render(status => $mode, text => "$mode from a fake") if $mode =~ /^\d+$/;
        return $c->render(data => '{"id":"x","name":[{"mess', format => 'json') if $mode eq 'garbage';
        $c->res->headers->content_length(4096);     # less than was announced, then the end of the connection
        my $tx = $c->tx;
        $c->write('{"half":' => sub { Mojo::IOLoop->remove($tx->connection) });
    };
    return $say->() unless $delay;
    Mojo::IOLoop->timer($delay / 1000 => $say);
}

1;
