#!/usr/bin/env perl

# A strict R2: objects at presigned addresses, each signature computed again from the request as it came.
#
#   perl t/fakes/r2.pl daemon -l http://127.0.0.1:PORT        faults: t/lib/FitNudge/Fake.pm
#
# Access key AKIDEXAMPLE or FAKE_R2_KEY, secret in FAKE_R2_SECRET, one bucket, "media". GET /_fake/objects: {"key":{"type","bytes","sha256"}};
# POST /_fake/objects {"key","type","data"}: puts one there, whoever was allowed to.

use Mojolicious::Lite -signatures;
use Digest::SHA qw(hmac_sha256 hmac_sha256_hex sha256_hex);
use FindBin;
use lib "$FindBin::Bin/../lib";
use FitNudge::Fake;
use Mojo::Util qw(url_unescape);
use Time::Local qw(timegm);

my $key = $ENV{FAKE_R2_KEY} // 'AKIDEXAMPLE';
my $secret = $ENV{FAKE_R2_SECRET} // 'wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY';
my %object;

sub failed ($c, $status, $code, $message) {
    $c->res->headers->content_type('application/xml');
    $c->render(status => $status, data => $c->req->method eq 'HEAD' ? '' : qq{<?xml version="1.0" encoding="UTF-8"?><Error><Code>$code</Code><Message>$message</Message></Error>});
}

# Status, code and message, or nothing when the signature is good
sub complaint ($c) {
    my @pairs = split /&/, $c->req->url->query->to_string;
    my %q = map { /^([^=]*)=(.*)$/ ? ($1 => url_unescape($2)) : () } @pairs;
    for (qw(X-Amz-Algorithm X-Amz-Credential X-Amz-Date X-Amz-Expires X-Amz-SignedHeaders X-Amz-Signature)) {
        return (400, 'AuthorizationQueryParametersError', "$_ is missing") unless defined $q{$_};
    }
    return (400, 'AuthorizationQueryParametersError', 'algorithm') if $q{'X-Amz-Algorithm'} ne 'AWS4-HMAC-SHA256';
    my ($y, $mo, $d, $h, $mi, $s) = $q{'X-Amz-Date'} =~ /^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z$/ or return (400, 'AuthorizationQueryParametersError', 'date');
    return (403, 'InvalidAccessKeyId', 'credential') if $q{'X-Amz-Credential'} ne "$key/$y$mo$d/auto/s3/aws4_request";
    return (400, 'AuthorizationQueryParametersError', 'expires') if $q{'X-Amz-Expires'} !~ /^[1-9]\d{0,5}$/ || $q{'X-Amz-Expires'} > 604800;

    my $signed = timegm($s, $mi, $h, $d, $mo - 1, $y);
    return (403, 'AccessDenied', 'Request has expired') if time > $signed + $q{'X-Amz-Expires'};
    return (403, 'AccessDenied', 'Request is not yet valid') if $signed > time + 900;

    my @names = split /;/, $q{'X-Amz-SignedHeaders'};
    return (403, 'AccessDenied', 'host must be signed') unless grep { $_ eq 'host' } @names;
    return (400, 'AuthorizationQueryParametersError', 'signed headers are not sorted') if "@names" ne join ' ', sort @names;
    my $headers = join '', map { "$_:" . ($c->req->headers->header($_) // '') . "\n" } @names;
    my $query = join '&', sort grep { !/^X-Amz-Signature=/ } @pairs;
    my $canonical = join "\n", $c->req->method, $c->req->url->path->to_string, $query, $headers, $q{'X-Amz-SignedHeaders'}, 'UNSIGNED-PAYLOAD';
    my $k = "AWS4$secret";
    $k = hmac_sha256($_, $k) for "$y$mo$d", 'auto', 's3', 'aws4_request';
    my $text = join "\n", 'AWS4-HMAC-SHA256', $q{'X-Amz-Date'}, "$y$mo$d/auto/s3/aws4_request", sha256_hex($canonical);
    return (403, 'SignatureDoesNotMatch', 'The request signature we calculated does not match the signature you provided.') if hmac_sha256_hex($text, $k) ne $q{'X-Amz-Signature'};
    return;
}

sub handle ($c) {
    if (my ($status, $code, $message) = complaint($c)) { return failed($c, $status, $code, $message) }

    return $1 eq 'media' ? $c->render(data => '') : failed($c, 404, 'NoSuchBucket', 'The specified bucket does not exist.')
        if $c->req->method eq 'HEAD' && $c->req->url->path->to_string =~ m{^/([^/]+)$};
    my ($bucket, $name) = $c->req->url->path->to_string =~ m{^/([^/]+)/(.+)$} or return failed($c, 400, 'InvalidRequest', 'path');
    return failed($c, 404, 'NoSuchBucket', 'The specified bucket does not exist.') if $bucket ne 'media';
    $name = url_unescape($name);
    my $method = $c->req->method;

    if ($method eq 'PUT') {
        return failed($c, 411, 'MissingContentLength', 'length') unless defined $c->req->headers->content_length;
        $object{$name} = {type => $c->req->headers->content_type // '', data => $c->req->body};
        $c->res->headers->etag('"fake"');
        return $c->render(data => '');
    }
    if ($method eq 'DELETE') {
        delete $object{$name};
        return $c->rendered(204);
    }
    my $o = $object{$name} or return failed($c, 404, 'NoSuchKey', 'The specified key does not exist.');
    $c->res->headers->content_type($o->{type});
    $c->render(data => $o->{data});
}

fake(app, 503 => sub ($c) { failed($c, 503, 'SlowDown', 'Reduce your request rate.') });
get '/_fake/objects' => sub ($c) {
    $c->render(json => {map { $_ => {type => $object{$_}{type}, bytes => length $object{$_}{data}, sha256 => sha256_hex($object{$_}{data})} } keys %object});
};
post '/_fake/objects' => sub ($c) {
    my $o = $c->req->json;
    $object{$o->{key}} = {type => $o->{type}, data => $o->{data}};
    $c->render(json => {ok => Mojo::JSON->true});
};
any [qw(GET PUT DELETE POST)] => '/*anything' => {anything => ''} => sub ($c) { service($c, \&handle) };
app->start;
