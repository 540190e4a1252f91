#!/usr/bin/env perl

# A strict OpenAI: chat completions and responses in the real wire format, which refuses what the real service refuses.
#
#   FAKE_OPENAI_KEY=test-key perl t/fakes/openai.pl daemon -l http://127.0.0.1:PORT
#
#   POST /_fake           {"mode":"ok|slow|401|429|quota|500|hang|cut|garbage|empty|refusal","delay_ms":n,"count":k,"text":"...","retry_after":s}
#                         for the next k completions, or for all when count is absent; {} is back to normal
#   GET  /_fake/requests  what was received: [{"headers":{...},"body":{...},"status":n}], and forgets nothing
#   DELETE /_fake/requests

use Mojolicious::Lite -signatures;
use Mojo::IOLoop;
use Mojo::JSON qw(decode_json);

my $key = $ENV{FAKE_OPENAI_KEY} // 'test-key';
my %roles = map { $_ => 1 } qw(developer system user assistant tool);
my %known = map { $_ => 1 } qw(model messages max_completion_tokens max_tokens temperature top_p n stop stream store seed
    safety_identifier prompt_cache_key reasoning_effort response_format user metadata verbosity service_tier);
my %efforts = map { $_ => 1 } qw(none minimal low medium high xhigh);

my (%fault, @requests, $served);
$served = 0;

app->log->level('warn');
app->max_request_size(1 << 20);

sub failed ($c, $status, $message, $type, $code, $param = undef) {
    return $c->render(status => $status,
        json => {error => {message => $message, type => $type, param => $param, code => $code}});
}

sub invalid ($c, $message, $param, $code = undef) {
    return failed($c, 400, $message, 'invalid_request_error', $code, $param);
}

# What the real service would say to this body: nothing, or a message, a parameter and a code.
sub complaint ($body) {
    return ('We could not parse the JSON body of your request.', undef) unless ref $body eq 'HASH';
    return ('you must provide a model parameter', 'model') unless length($body->{model} // '') && !ref $body->{model};

    my $messages = $body->{messages};
    return ("Missing required parameter: 'messages'.", 'messages', 'missing_required_parameter') unless ref $messages eq 'ARRAY';
    return ("Invalid 'messages': empty array.", 'messages', 'empty_array') unless @$messages;

    for my $i (0 .. $#$messages) {
        my $m = $messages->[$i];
        return ("Invalid type for 'messages[$i]'.", "messages[$i]", 'invalid_type') unless ref $m eq 'HASH';
        return ("Invalid value: '" . ($m->{role} // '') . "'.", "messages[$i].role", 'invalid_value') unless $roles{$m->{role} // ''};
        return ("Invalid value for 'content'.", "messages[$i].content") if ref $m->{content} || !length($m->{content} // '');
    }

    for my $name (sort keys %$body) {
        return ("Unknown parameter: '$name'.", $name, 'unknown_parameter') unless $known{$name};
    }

    my $reasoning = $body->{model} =~ /^(?:gpt-5|o[134])/ && $body->{model} !~ /^gpt-5-chat/;

    return ("Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead.",
        'max_tokens', 'unsupported_parameter') if $body->{model} =~ /^(?:gpt-5|o[134])/ && exists $body->{max_tokens};
    return ("Unsupported value: 'temperature' does not support $body->{temperature} with this model.",
        'temperature', 'unsupported_value') if $reasoning && ($body->{temperature} // 1) != 1;

    if (exists $body->{reasoning_effort}) {
        return ("Unrecognized request argument supplied: reasoning_effort", undef) unless $reasoning;
        return ("Invalid value: 'reasoning_effort'.", 'reasoning_effort', 'invalid_value') unless $efforts{$body->{reasoning_effort} // ''};
        return ("Unsupported value: 'reasoning_effort' does not support 'minimal' with this model.", 'reasoning_effort', 'unsupported_value')
            if $body->{reasoning_effort} eq 'minimal' && $body->{model} !~ /^gpt-5(?:$|-)/;
    }

    return ("Invalid 'max_completion_tokens'.", 'max_completion_tokens', 'invalid_type')
        if exists $body->{max_completion_tokens} && $body->{max_completion_tokens} !~ /^[1-9][0-9]*$/;
    return ("Invalid 'safety_identifier': string too long.", 'safety_identifier', 'string_above_max_length')
        if length($body->{safety_identifier} // '') > 64;

    return;
}

sub completion ($body, %more) {
    my $words = join ' ', map { $_->{content} } $body->{messages}->@*;
    my $prompt = int(length($words) / 4) + 1;
    my $text = exists $more{text} ? $more{text} : $fault{text} // 'You came back, and that is what counts. Today is yours!';
    my $answer = int(length($text // '') / 4) + 1;

    return {
        id => sprintf('chatcmpl-fake%08d', ++$served), object => 'chat.completion', created => time, model => $body->{model},
        choices => [{
            index => 0, finish_reason => $more{finish_reason} // 'stop', logprobs => undef,
            message => {role => 'assistant', content => $text, refusal => $more{refusal}, annotations => []}
        }],
        usage => {
            prompt_tokens => $prompt, completion_tokens => $answer, total_tokens => $prompt + $answer,
            prompt_tokens_details => {cached_tokens => 0, audio_tokens => 0},
            completion_tokens_details => {reasoning_tokens => 0, audio_tokens => 0}
        },
        service_tier => 'default', system_fingerprint => undef
    };
}

# A response is asked for in other words: as a chat completion it can be judged and answered.
sub as_chat ($body) {
    return $body unless ref $body eq 'HASH';
    my %chat = %$body;
    for my $name (qw(messages max_completion_tokens max_tokens reasoning_effort response_format n stop seed)) {
        return {model => 'x', messages => [{role => 'user', content => 'x'}], $name => 'unknown', unknown_of_responses => 1} if exists $chat{$name};
    }
    $chat{messages} = ref $chat{input} ? $chat{input} : [{role => 'user', content => $chat{input}}];
    $chat{max_completion_tokens} = $chat{max_output_tokens} if exists $chat{max_output_tokens};
    $chat{reasoning_effort} = $chat{reasoning}{effort} if ref $chat{reasoning} eq 'HASH' && exists $chat{reasoning}{effort};
    delete @chat{qw(input max_output_tokens reasoning instructions text)};
    return \%chat;
}

sub as_response ($chat) {
    my $message = $chat->{choices}[0]{message};
    my $usage = $chat->{usage};
    return {
        id => $chat->{id} =~ s/chatcmpl-/resp_/r, object => 'response', created_at => $chat->{created}, model => $chat->{model}, status => 'completed',
        error => undef, incomplete_details => undef,
        output => [
            {id => 'rs_fake', type => 'reasoning', summary => []},
            {id => 'msg_fake', type => 'message', role => 'assistant', status => 'completed', content => [defined $message->{refusal}
                ? {type => 'refusal', refusal => $message->{refusal}} : {type => 'output_text', text => $message->{content}, annotations => []}]}
        ],
        usage => {
            input_tokens => $usage->{prompt_tokens}, input_tokens_details => {cached_tokens => 0}, output_tokens => $usage->{completion_tokens},
            output_tokens_details => {reasoning_tokens => 0}, total_tokens => $usage->{total_tokens}
        }
    };
}

sub answer ($c, $mode, $body) {
    $c->res->headers->header('x-request-id' => 'req_fake' . $served);
    my $completion = sub (@more) { $c->stash('responses') ? as_response(completion(@more)) : completion(@more) };

    return $c->render(json => $completion->($body)) if $mode eq 'ok' || $mode eq 'slow';

    return failed($c, 401, 'Incorrect API key provided.', 'invalid_request_error', 'invalid_api_key') if $mode eq '401';

    if ($mode eq '429') {
        $c->res->headers->header('retry-after' => $fault{retry_after}) if defined $fault{retry_after};
        return failed($c, 429, 'Rate limit reached for requests.', 'requests', 'rate_limit_exceeded');
    }

    return failed($c, 429, 'You exceeded your current quota, please check your plan and billing details.',
        'insufficient_quota', 'insufficient_quota') if $mode eq 'quota';
    return failed($c, 500, 'The server had an error while processing your request.', 'server_error', undef) if $mode eq '500';
    return $c->render(data => '{"id":"chatcmpl-fake","choices":[{"mess', format => 'json') if $mode eq 'garbage';
    return $c->render(json => $completion->($body, text => '')) if $mode eq 'empty';
    return $c->render(json => $completion->($body, text => undef, refusal => "I'm sorry, I can't help with that.")) if $mode eq 'refusal';

    # Less than was announced, then the end of the connection.
    $c->res->headers->content_length(4096);
    $c->res->headers->content_type('application/json');
    my $tx = $c->tx;
    $c->write('{"id":"chatcmpl-fake","object":' => sub { Mojo::IOLoop->remove($tx->connection) });
}

get '/v1/models' => sub ($c) {
    push @requests, {path => '/v1/models', headers => {}, body => undef, status => undef};
    my $good = ($c->req->headers->authorization // '') eq "Bearer $key";
    return failed($c, 401, 'Incorrect API key provided.', 'invalid_request_error', 'invalid_api_key') unless $good;
    $c->render(json => {object => 'list', data => [{id => 'gpt-4o-mini', object => 'model', created => 1721172741, owned_by => 'system'}]});
};
post '/v1/responses' => sub ($c) { $c->stash(responses => 1); handle($c) };
post '/v1/chat/completions' => sub ($c) { handle($c) };

sub handle ($c) {
    my $body = eval { decode_json($c->req->body) };
    my %seen = (headers => {map { lc($_) => $c->req->headers->header($_) } $c->req->headers->names->@*}, body => $body);
    push @requests, \%seen;
    $c->tx->on(finish => sub ($tx) { $seen{status} = $tx->res->code });

    my $authorization = $c->req->headers->authorization // '';

    if ($authorization !~ /^Bearer (\S+)$/) {
        return failed($c, 401, "You didn't provide an API key.", 'invalid_request_error', undef);
    }

    return failed($c, 401, 'Incorrect API key provided.', 'invalid_request_error', 'invalid_api_key') if $1 ne $key;

    if (($c->req->headers->content_type // '') !~ m{^application/json\b}i) {
        return failed($c, 415, "Unsupported content type. This API method only accepts 'application/json' requests.",
            'invalid_request_error', 'unsupported_content_type');
    }

    $body = as_chat($body) if $c->stash('responses');
    if (my ($message, $param, $code) = complaint($body)) {
        return invalid($c, $message, $param, $code);
    }

    my $mode = $fault{mode} // 'ok';
    my $delay = $fault{delay_ms} // ($mode eq 'slow' ? 3000 : 0);
    %fault = () if defined $fault{count} && --$fault{count} < 0;
    ($mode, $delay) = ('ok', 0) unless %fault;

    $c->inactivity_timeout(3600);
    $c->render_later;

    # Nothing is ever said.
    return if $mode eq 'hang';

    return answer($c, $mode, $body) unless $delay;
    Mojo::IOLoop->timer($delay / 1000 => sub { answer($c, $mode, $body) });
}

post '/_fake' => sub ($c) {
    my $wish = $c->req->json;
    return $c->render(status => 400, json => {error => 'an object is expected'}) unless ref $wish eq 'HASH';
    return $c->render(status => 400, json => {error => 'unknown mode'})
        unless ($wish->{mode} // 'ok') =~ /^(?:ok|slow|401|429|quota|500|hang|cut|garbage|empty|refusal)$/;
    %fault = %$wish;
    $c->render(json => {ok => Mojo::JSON->true});
};

get '/_fake/requests' => sub ($c) { $c->render(json => \@requests) };

del '/_fake/requests' => sub ($c) {
    @requests = ();
    $c->render(json => {ok => Mojo::JSON->true});
};

any '/*anything' => {anything => ''} => sub ($c) {
    return failed($c, 405, 'Method not allowed.', 'invalid_request_error', 'method_not_supported')
        if $c->req->url->path eq '/v1/chat/completions';
    return failed($c, 404, 'Invalid URL (' . $c->req->method . ' ' . $c->req->url->path . ')', 'invalid_request_error', undef);
};

app->start;
