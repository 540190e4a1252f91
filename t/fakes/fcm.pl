#!/usr/bin/env perl

# A strict Google: tokens for a service account, then FCM messages. The assertion's signature is verified with the public key in the
# file FAKE_FCM_PUBLIC_KEY, its claims with FAKE_FCM_EMAIL and the address it came to.
#
#   FAKE_FCM_PUBLIC_KEY=pub.pem FAKE_FCM_EMAIL=a@b perl t/fakes/fcm.pl daemon -l http://127.0.0.1:PORT
#
# Faults: t/lib/FitNudge/Fake.pm, and apns denied malformed. POST /_fake/revoke forgets all tokens. Devices named gone, mismatch and bad are what they say.

use Mojolicious::Lite -signatures;
use FindBin;
use lib "$FindBin::Bin/../lib";
use File::Temp ();
use FitNudge::Fake;
use Mojo::JSON qw(decode_json encode_json);

my $public = $ENV{FAKE_FCM_PUBLIC_KEY} // '';
my $email = $ENV{FAKE_FCM_EMAIL} // '';
my $project = $ENV{FAKE_FCM_PROJECT} // 'p1';
my (%issued, $count);

sub b64url ($s) { $s =~ tr{-_}{+/}; require MIME::Base64; MIME::Base64::decode_base64($s . '=' x (-length($s) % 4)) }
sub grant ($c, $why) { $c->render(status => 400, json => {error => 'invalid_grant', error_description => $why}) }

sub failed ($c, $status, $code, $message, @details) {
    $c->render(status => $status, json => {error => {code => $status, status => $code, message => $message, details => \@details}});
}
sub fcm_error ($code) { {'@type' => 'type.googleapis.com/google.firebase.fcm.v1.FcmError', errorCode => $code} }
sub invalid ($c, $message) { failed($c, 400, 'INVALID_ARGUMENT', $message, {'@type' => 'type.googleapis.com/google.rpc.BadRequest'}, fcm_error('INVALID_ARGUMENT')) }

sub token ($c) {
    return $c->render(status => 400, json => {error => 'invalid_request'}) if ($c->req->headers->content_type // '') ne 'application/x-www-form-urlencoded';
    return $c->render(status => 400, json => {error => 'unsupported_grant_type'}) if ($c->req->body_params->param('grant_type') // '') ne 'urn:ietf:params:oauth:grant-type:jwt-bearer';

    my ($h, $p, $s) = split /\./, $c->req->body_params->param('assertion') // '', -1;
    my ($header, $claims) = map { eval { decode_json(b64url($_ // '')) } } $h, $p;
    return grant($c, 'Invalid JWT') unless ref $header eq 'HASH' && ref $claims eq 'HASH' && $header->{alg} eq 'RS256' && $header->{typ} eq 'JWT' && length $header->{kid};

    my $signature = File::Temp->new;
    print $signature b64url($s // q());
    my $data = File::Temp->new;
    print $data "$h.$p";
    $_->flush for $signature, $data;
    return grant($c, 'Invalid JWT Signature.') if system('sh', '-c', 'exec openssl dgst -sha256 -verify "$1" -signature "$2" "$3" >/dev/null 2>&1', 'sh', $public, $signature->filename, $data->filename);

    return grant($c, 'Invalid issuer') if $claims->{iss} ne $email;
    return grant($c, 'Invalid scope') if $claims->{scope} ne 'https://www.googleapis.com/auth/firebase.messaging';
    return grant($c, 'Invalid audience') if $claims->{aud} ne $c->req->url->to_abs->to_string;
    return grant($c, 'Invalid JWT: Token must be a short-lived token (60 minutes)')
        if $claims->{exp} - $claims->{iat} > 3600 || $claims->{iat} > time + 300 || $claims->{exp} < time || encode_json([$claims->{iat}, $claims->{exp}]) =~ /"/;

    my $t = 'ya29.fake' . ++$count;
    $issued{$t} = 1;
    $c->render(json => {access_token => $t, expires_in => 3599, token_type => 'Bearer'});
}

# What the real service would say of a message, or nothing
sub complaint ($m) {
    return "Invalid value at 'message'" unless ref $m eq 'HASH';
    for (keys %$m) { return "Invalid JSON payload received. Unknown name \"$_\" at 'message'" unless /^(?:token|notification|data|android|apns|webpush|fcm_options)$/ }
    return 'The registration token is not a valid FCM registration token' if !length($m->{token} // '') || $m->{token} eq 'bad';
    for (values %{$m->{data} // {}}) { return "Invalid value at 'message.data[0].value' (TYPE_STRING)" if ref || encode_json([$_]) !~ /^\["/ }
    for (keys %{$m->{data} // {}}) { return "Invalid data payload key: $_" if /^(?:from|message_type)$|^(?:google|gcm)\./ }
    my $android = $m->{android} // {};
    return "Invalid value at 'message.android.ttl'" if exists $android->{ttl} && $android->{ttl} !~ /^\d+(?:\.\d{1,9})?s$/;
    return "Invalid value at 'message.android.priority'" if ($android->{priority} // 'HIGH') !~ /^(?:HIGH|NORMAL)$/i;
    for (values %{$m->{apns}{headers} // {}}) { return "Invalid value at 'message.apns.headers'" if encode_json([$_]) !~ /^\["/ }
    return "Invalid value at 'message.apns.headers'" if length($m->{apns}{headers}{'apns-collapse-id'} // '') > 64;
    return 'Message too big' if length(encode_json({map { $_ => $m->{$_} } grep { exists $m->{$_} } qw(notification data)})) > 4096 + 32;
    return;
}

sub send_message ($c) {
    my ($bearer) = ($c->req->headers->authorization // '') =~ /^Bearer (\S+)$/;
    return failed($c, 401, 'UNAUTHENTICATED', 'Request had invalid authentication credentials.') unless $bearer && $issued{$bearer};
    return failed($c, 403, 'PERMISSION_DENIED', 'Permission denied on project') if $c->param('project') ne $project;

    my $body = eval { decode_json($c->req->body) };
    return invalid($c, 'Invalid JSON payload received.') unless ref $body eq 'HASH' && !grep { !/^(?:message|validate_only)$/ } keys %$body;
    if (my $why = complaint($body->{message})) { return invalid($c, $why) }

    my $device = $body->{message}{token};
    return failed($c, 404, 'NOT_FOUND', 'Requested entity was not found.', fcm_error('UNREGISTERED')) if $device eq 'gone';
    return failed($c, 403, 'PERMISSION_DENIED', 'SenderId mismatch', fcm_error('SENDER_ID_MISMATCH')) if $device eq 'mismatch';
    $c->render(json => {name => "projects/$project/messages/0:" . ++$count});
}

fake(app,
    429 => sub ($c) { failed($c, 429, 'RESOURCE_EXHAUSTED', 'Quota exceeded.', fcm_error('QUOTA_EXCEEDED')) },
    503 => sub ($c) { failed($c, 503, 'UNAVAILABLE', 'The service is currently unavailable.', fcm_error('UNAVAILABLE')) },
    500 => sub ($c) { failed($c, 500, 'INTERNAL', 'Internal error encountered.', fcm_error('INTERNAL')) },
    denied => sub ($c) { failed($c, 403, 'PERMISSION_DENIED', 'Permission denied on project') },
    malformed => sub ($c) { invalid($c, 'Invalid JSON payload received.') },
    apns => sub ($c) { failed($c, 401, 'UNAUTHENTICATED', 'Auth error from APNS or Web Push Service', fcm_error('THIRD_PARTY_AUTH_ERROR')) });
post '/_fake/revoke' => sub ($c) {
    %issued = ();
    $c->render(json => {ok => Mojo::JSON->true});
};
post '/token' => sub ($c) { service($c, \&token) };
post '/v1/projects/:project/#what' => sub ($c) { $c->param('what') eq 'messages:send' ? service($c, \&send_message) : $c->reply->not_found };
any '/*anything' => {anything => ''} => sub ($c) { failed($c, 404, 'NOT_FOUND', 'Not Found') };
app->start;
