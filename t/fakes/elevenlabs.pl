#!/usr/bin/env perl

# A strict ElevenLabs: text to speech, which refuses what the real service refuses. Key test-key, or FAKE_ELEVENLABS_KEY.
#
#   perl t/fakes/elevenlabs.pl daemon -l http://127.0.0.1:PORT        faults: t/lib/FitNudge/Fake.pm, and quota concurrent busy characters
#
# A voice named "missing" does not exist. The audio begins as an MP3 does and has every byte value in it.

use Mojolicious::Lite -signatures;
use FindBin;
use lib "$FindBin::Bin/../lib";
use FitNudge::Fake;
use Mojo::JSON qw(decode_json);

my $key = $ENV{FAKE_ELEVENLABS_KEY} // 'test-key';
my %range = (stability => [0, 1], similarity_boost => [0, 1], style => [0, 1], speed => [0.7, 1.2]);
my %known = map { $_ => 1 } qw(text model_id voice_settings seed language_code previous_text next_text apply_text_normalization);

sub detail ($c, $status, $code, $message) { $c->render(status => $status, json => {detail => {status => $code, message => $message}}) }
sub wrong ($c, $where, $message, $type) { $c->render(status => 422, json => {detail => [{loc => ['body', $where], msg => $message, type => $type}]}) }

sub speech ($c) {
    return detail($c, 401, 'invalid_api_key', 'Invalid API key') if ($c->req->headers->header('xi-api-key') // '') ne $key;
    return wrong($c, 'output_format', 'unexpected value', 'value_error.const') if ($c->param('output_format') // 'mp3_44100_128') !~ /^mp3_(?:22050_32|44100_(?:32|64|96|128|192))$/;
    return wrong($c, 'body', 'value is not a valid dict', 'type_error.dict') if ($c->req->headers->content_type // '') !~ m{^application/json\b};

    my $body = eval { decode_json($c->req->body) };
    return wrong($c, 'body', 'value is not a valid dict', 'type_error.dict') unless ref $body eq 'HASH';
    return wrong($c, 'text', 'field required', 'value_error.missing') unless defined $body->{text} && !ref $body->{text} && length $body->{text};
    for (sort keys %$body) { return wrong($c, $_, 'extra fields not permitted', 'value_error.extra') unless $known{$_} }
    return detail($c, 400, 'max_character_limit_exceeded', 'too long') if length $body->{text} > 10000;
    return detail($c, 400, 'model_not_found', 'A model with that id does not exist') if ($body->{model_id} // 'eleven_multilingual_v2') !~ /^eleven_(?:multilingual_v2|turbo_v2_5|flash_v2_5)$/;
    return detail($c, 400, 'voice_not_found', 'A voice with that id was not found') if $c->param('voice') eq 'missing';

    my $settings = $body->{voice_settings} // {};
    for (sort keys %$settings) {
        next if $_ eq 'use_speaker_boost';
        return wrong($c, $_, 'out of range', 'value_error') if !$range{$_} || $settings->{$_} < $range{$_}[0] || $settings->{$_} > $range{$_}[1];
    }
    $c->res->headers->content_type('audio/mpeg');
    $c->render(data => 'ID3' . chr(4) . join('', map { chr } 0 .. 255) . length $body->{text});
}

fake(app,
    quota => sub ($c) { detail($c, 401, 'quota_exceeded', 'This request exceeds your quota.') },
    concurrent => sub ($c) { detail($c, 429, 'too_many_concurrent_requests', 'Too many concurrent requests.') },
    busy => sub ($c) { detail($c, 429, 'system_busy', 'The system is experiencing heavy traffic.') },
    characters => sub ($c) { detail($c, 400, 'max_character_limit_exceeded', 'too long') });
post '/v1/text-to-speech/:voice' => sub ($c) { service($c, \&speech) };
any '/*anything' => {anything => ''} => sub ($c) { detail($c, 404, 'not_found', 'Not Found') };
app->start;
