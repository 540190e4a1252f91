# What a client can get wrong, for every route and field that the server's own OpenAPI document names.
# Each has to be refused with the contract's error, and to leave no trace.
use Mojo::Base -strict, -signatures;
use FindBin;
use lib "$FindBin::Bin/lib";
use FitNudge::Test::Contract;
use FitNudge::Test::Stack;
use Mojo::JSON qw(encode_json decode_json);
use Mojo::Util qw(encode);
use Test::More;

my $s = FitNudge::Test::Stack->new->start;
my $u = new_user($s);
# what some routes ask for
make_pro($s, $u);
my $token = $s->mint_jwt(sub => $u->{id}, plan => 'pro');
my $doc = call($s, GET => '/api/v1/openapi.json')->json;
my $goal = call($s, POST => '/goals', token => $token, json => { title => 'Run', frequency => 3 })->json->{id};
my $some_id = '01900000-0000-7000-8000-000000000000';
my $n = 0;

sub resolve ($x) {
    while (ref $x eq 'HASH' && $x->{'$ref'}) {
        my $at = $doc;
        $at = $at->{$_} for split m{/}, $x->{'$ref'} =~ s{\A#/}{}r;
        $x = $at;
    }
    return $x;
}

# [{ method, path, schema (of the body), query => { name => schema }, secured }]
my @op;
for my $path (sort keys %{ $doc->{paths} }) {
    for my $method (grep { exists $doc->{paths}{$path}{$_} } qw(get post put patch delete)) {
        my $op = $doc->{paths}{$path}{$method};
        my @params = map { resolve($_) } @{ $op->{parameters} // [] }, @{ $doc->{paths}{$path}{parameters} // [] };
        push @op, {
            method => uc $method, path => $path, at => ($path =~ s/\{\w+\}/$some_id/gr), name => uc($method) . " $path",
            schema => resolve(resolve($op->{requestBody} // {})->{content}{'application/json'}{schema}),
            query => { map { $_->{name} => resolve($_->{schema}) } grep { $_->{in} eq 'query' } @params },
            need => join('&', map { "$_->{name}=" . good($_->{name}, resolve($_->{schema})) } grep { $_->{in} eq 'query' && $_->{required} } @params),
            secured => scalar(@{ $op->{security} // $doc->{security} // [] } && !grep { !%$_ } @{ $op->{security} // $doc->{security} // [] }),
        };
    }
}
cmp_ok(scalar @op, '>=', 29, scalar(@op) . ' operations in the document');

sub rows { $s->sql('SELECT ' . join ' || \' \' || ', map { "(SELECT count(*) FROM $_)::text" } qw(users goals checkins motivations sessions refresh_tokens reminders follows user_consents email_verifications password_resets posts comments likes post_flags search_clicks)) }
my $before = rows();

sub types ($f) { my $t = $f->{type} // 'string'; return ref $t ? @$t : $t }

sub good ($name, $f) {
    my ($type) = grep { $_ ne 'null' } types($f);
    return $f->{enum}[0] if $f->{enum};
    return $f->{minimum} // 1 if $type eq 'integer' || $type eq 'number';
    return \1 if $type eq 'boolean';
    my $format = $f->{format} // '';
    return sprintf 'n%d.%d@example.com', $$, ++$n if $format eq 'email';
    return $some_id if $format eq 'uuid';
    return '2025-01-01' if $format eq 'date';
    return 'https://example.com/a.png' if $format =~ /\Aur[il]\z/;
    return 'UTC' if $name eq 'timezone';
    return [($f->{items}{type} // '') eq 'object' ? { name => 'opened' } : ($f->{items}{format} // '') eq 'uuid' ? $some_id : 0] if $type eq 'array';
    return $name eq 'week' ? '2025-W01' : '08:00' if $f->{pattern};
    return 'a' x $f->{minLength} if ($f->{minLength} // 0) > 12;
    return 'abcdefghijkl' if !defined $f->{maxLength} || $f->{maxLength} >= 12;
    return 'a' x $f->{maxLength};
}

sub good_body ($schema) {
    my %required = map { $_ => 1 } @{ $schema->{required} // [] };
    return { map { $_ => good($_, $schema->{properties}{$_}) } grep { $required{$_} } keys %{ $schema->{properties} } };
}

# Sends [operation, body text, name, field, constraints] in batches, so that thousands take seconds.
sub refuse_all (@cases) {
    my @list = map { [$_->[0]{method}, $_->[0]{at}, ($_->[0]{secured} ? (token => $token) : ()), body => $_->[1]] } @cases;
    while (my @batch = splice @cases, 0, 60) {
        my @res = calls($s, splice @list, 0, 60);
        for my $i (0 .. $#batch) {
            my (undef, $body, $name, $field, $constraint) = @{ $batch[$i] };
            error_ok($res[$i], 400, $name, (defined $field ? (field => $field) : ()), (defined $constraint ? (constraint => $constraint) : ()))
                or diag('  sent: ' . substr($body, 0, 200));
        }
    }
}

# JSON text of `body` with `name` spelled as the raw text `value`.
sub spell ($body, $name, $value) {
    my %b = %$body;
    delete $b{$name};
    my $rest = encode_json(\%b) =~ s/\A\{|\}\z//gr;
    return "{\"$name\":$value" . (length $rest ? ",$rest" : '') . '}';
}

for my $op (grep { $_->{schema} } @op) {
    subtest "fields of $op->{name}" => sub {
        my $body = good_body($op->{schema});
        my %required = map { $_ => 1 } @{ $op->{schema}{required} // [] };
        my @cases;
        for my $name (sort keys %{ $op->{schema}{properties} }) {
            my $f = resolve($op->{schema}{properties}{$name});
            my %type = map { $_ => 1 } types($f);
            my $add = sub ($value, $what, @constraint) {
                push @cases, [$op, spell($body, $name, $value), "$name: $what", $name, @constraint];
            };
            my %wrong = (string => ['"abc"'], integer => ['42', '-1', '0'], number => ['1.5', '1e400'], boolean => ['true', 'false'],
                null => ['null'], array => ['[]', '["a"]'], object => ['{}', '{"a":1}']);
            for my $t (sort keys %wrong) {
                next if $type{$t} || ($t eq 'integer' && $type{number});
                $add->($_, "$_", $t eq 'null' ? ['type', 'required'] : $t eq 'number' && $type{integer} ? ['type', 'format', 'max'] : ['type', 'json'])
                    for @{ $wrong{$t} };
            }
            if ($type{integer}) {
                $add->($f->{minimum} - 1, 'below', 'min') if defined $f->{minimum};
                $add->($f->{maximum} + 1, 'above', 'max') if defined $f->{maximum};
                $add->($_, $_, ['type', 'max', 'min', 'json']) for '99999999999999999999', '-99999999999999999999', '9223372036854775808', '2147483648';
            }
            if ($type{string}) {
                $add->('"' . 'a' x ($f->{minLength} - 1) . '"', 'too short', ['min_length', 'format', 'enum', 'required'])
                    if ($f->{minLength} // 0) > 0;
                my $max = $f->{maxLength};
                $add->('"' . 'a' x ($max + 1) . '"', 'too long', ['max_length', 'format']) if defined $max && $max < 3000;
                $add->('"https://e.com/' . 'a' x 60000 . '"', 'far too long', ['max_length', 'format', 'enum']);
                # text that is none makes the whole body wrong
                push @cases, map { [$op, spell($body, $name, "\"$_->[0]\""), "$name: $_->[1]", [$name, ''] ] }
                    ["a\xff\xfeb-123456789", 'invalid UTF-8'], ["a\xc0\xafb-123456789", 'overlong UTF-8'], ["a\xed\xa0\x80b-12345678", 'a surrogate in UTF-8'],
                        ['a\u0000b-123456789', 'NUL'], ['a\ud800b-123456789', 'a lone surrogate'], ['a\udc00\ud800-123456', 'surrogates in reverse'],
                        ['a\u0001b-123456789', 'a control character'], ['a\u001b[31m-123456', 'an escape sequence'], ["a\x01b-123456789", 'a raw control character'],
                        ['a\u007fb-12345678', 'DEL'], ['a\qb', 'an unknown escape'], ['a\u12', 'a cut escape'], ["a\nb", 'a raw newline'];
                $add->('"nosuchvalue"', 'not one of them', 'enum') if $f->{enum};
                $add->('""', 'empty', 'enum') if $f->{enum};
                $add->('"' . ucfirst($f->{enum}[0]) . '"', 'in another case', 'enum') if $f->{enum};
                my %forms = (email => ['a', 'a@', '@b.c', 'a@b', 'a@@b.c', 'a b@c.d', 'a@b c.d', "a\@b.c\\nBcc: x\@y.z", '@', 'a@.c', 'a@b.'],
                    uuid => ['x', '123', $some_id . '0', substr($some_id, 1), $some_id =~ tr/-//dr, "{$some_id}", "$some_id ", 'g' . substr($some_id, 1)],
                    date => ['x', '2025-02-30', '2025-00-01', '2025-1-1', '20250101', '2025-01-01T00:00:00Z', '0000-00-00', '-2025-01-01', '99999-01-01'],
                    uri => ['x', 'javascript:alert(1)', 'ftp://x/y', 'http:', '//x/y', 'https://', 'https://a b/', 'data:text/html,x', 'file:///etc/passwd']);
                my $format = ($f->{format} // '') eq 'url' ? 'uri' : $f->{format} // '';
                $add->("\"$_\"", "'$_'", ['format', 'min_length', 'max_length']) for @{ $forms{$format} // [] };
            }
            push @cases, [$op, spell($body, $name, 'null') =~ s/"\Q$name\E":null,?//r, "$name: missing", $name, 'required'] if $required{$name};
            my $v = encode_json({ v => good($name, $f) }) =~ s/\A\{"v":|\}\z//gr;
            push @cases, [$op, spell($body, $name, "$v,\"$name\":$v"), "$name: twice", $name, 'duplicate_field'];
            push @cases, [$op, spell($body, $name, "$v,\"\\u" . sprintf('%04x', ord $name) . substr($name, 1) . "\":$v"), "$name: twice, once escaped",
                $name, 'duplicate_field'];
        }
        if (my $f = $op->{schema}{properties}{days}) {
            push @cases, map { [$op, spell($body, days => $_->[0]), "days: $_->[0]", 'days', $_->[1]] } ['[]', 'min_length'], ['[7]', 'max'], ['[-1]', 'min'], ['[1,1]', 'unique'],
                ['[1.5]', 'type'], ['["1"]', 'type'], ['[null]', 'type'], ['[true]', 'type'], ['[[1]]', 'type'], ['[{}]', 'type'], ['[0,1,2,3,4,5,6,0]', 'unique'], ['"1"', 'type'], ['{"0":1}', 'type'],
                ['1', 'type'];
        }
        if (my $f = $op->{schema}{properties}{time}) {
            push @cases, map { [$op, spell($body, time => "\"$_\""), "time: $_", 'time', 'format'] } '', '8:00', '24:00', '23:60', '12:00:00', '12-00', '+1:00', ' 08:00', '08:00 ', 'ab:cd', '0800';
        }
        push @cases, map { [$op, spell($body, $_->[0], $_->[1]), "unknown field $_->[0]", undef, ['unknown_field', 'json']] }
            ['nosuchfield', '1'], ['id', "\"$some_id\""], ['user_id', "\"$u->{id}\""], ['__proto__', '{}'], ['Title', '"x"'], ['', '1'], ['x' x 200, 'null'];
        refuse_all(@cases);
    };

    subtest "body of $op->{name}" => sub {
        my $good = encode_json(good_body($op->{schema}));
        my %required = map { $_ => 1 } @{ $op->{schema}{required} // [] };
        my $deep = sub ($n) { '{"a":' x $n . '1' . '}' x $n };
        my @cases = map { [$op, $_->[0], $_->[1], '', ['json', 'type']] } ['[]', 'an array'], ['"x"', 'a string'], ['1', 'a number'], ['true', 'true'],
            ['null', 'null'], ["[$good]", 'in an array'], ['{', 'a brace'], [substr($good, 0, -1), 'truncated'], ["$good$good", 'twice'],
            ["$good,", 'with a comma'], ["${good}x", 'with a tail'], ["\xef\xbb\xbf$good", 'with a byte order mark'], ["//x\n$good", 'with a comment'],
            ["$good/**/", 'with a comment behind'], [$good =~ tr/"/'/r . '{', 'with apostrophes'], ["\0", 'NUL'], ["$good\0", 'NUL behind'], ["\xff", 'no UTF-8'],
            ['{"a":NaN}', 'NaN'], ['{"a":01}', 'octal'], ['{"a":+1}', 'plus'], ['{"a":.5}', 'no zero'], ['{,}', 'a comma'], ['{a:1}', 'no quotes'],
            [encode('UTF-16LE', $good), 'UTF-16'], ['a=b&c=d', 'a form'], ['<a/>', 'XML'], ['[' x 30000, '30,000 brackets'], [$deep->(10000), '10,000 braces'];
        # which of two mistakes is named first does not matter
        $_->[4] = [qw(json type unknown_field depth)] for grep { $_->[1] =~ /\A\{"a"|\A\{[,a]/ } @cases;
        $_->[3] = undef for @cases;
        push @cases, [$op, '', 'empty', undef, ['required', 'json']], [$op, '{}', 'no fields', undef, 'required'], [$op, '   ', 'blank', undef, ['required', 'json']]
            if %required;
        refuse_all(@cases);

        my @o = ($op->{secured} ? (token => $token) : ());
        error_ok(call($s, $op->{method}, $op->{at}, @o, body => $good, headers => { 'Content-Type' => $_ }), 415, "content type '$_'")
            for '', 'text/plain', 'application/x-www-form-urlencoded', 'application/jsonx', 'multipart/form-data; boundary=x', 'application/xml', 'json';
        error_ok(call($s, $op->{method}, $op->{at}, @o, body => $good, headers => { 'Content-Encoding' => 'gzip' }), [400, 415], 'a content encoding', code => '');
        error_ok(call($s, $op->{method}, $op->{at}, @o, body => $good . ' ' x (65537 - length $good)), 413, '64 KB and one');
    };
}
is(rows(), $before, 'nothing was written') or diag("before $before, after " . rows());

subtest 'size' => sub {
    my %p = (token => $token);
    my $body = encode_json({ title => 'x', frequency => 99 });
    error_ok(call($s, POST => '/goals', %p, body => $body . ' ' x (65536 - length $body)), 400, '64 KB are read', field => 'frequency', constraint => 'max');
    my $head = "Host: x\r\nAuthorization: Bearer $token\r\nContent-Type: application/json\r\n";
    error_ok(scalar raw($s, "POST /api/v1/goals HTTP/1.1\r\n${head}Content-Length: 10485760\r\n\r\n" . 'x' x 10485760), 413, '10 MB');
    error_ok(scalar raw($s, "POST /api/v1/goals HTTP/1.1\r\n${head}Content-Length: 99999999999\r\n\r\nxx"), 413, 'a claim of 100 GB');
    error_ok(scalar raw($s, "POST /api/v1/goals HTTP/1.1\r\n${head}Content-Length: $_\r\n\r\nxx"), 400, "content length '$_'", code => '')
        for -1, 'x', '1 2', '99999999999999999999999';
    my $chunks = sub ($text, $size) { join('', map { sprintf("%x\r\n", length $_) . "$_\r\n" } unpack "(a$size)*", $text) . "0\r\n\r\n" };
    my $v = new_user($s);
    my $chead = "Host: x\r\nAuthorization: Bearer $v->{token}\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n";
    my $ok = raw($s, "POST /api/v1/goals HTTP/1.1\r\n$chead" . $chunks->(encode_json({ title => 'chunked', frequency => 2 }), 5));
    status_ok($ok, 201, 'chunks are fine');
    is(($ok->json // {})->{title}, 'chunked', 'and read whole');
    error_ok(scalar raw($s, "POST /api/v1/goals HTTP/1.1\r\n$chead" . $chunks->($body . ' ' x 70000, 4096)), 413, 'chunks over 64 KB');
    error_ok(scalar raw($s, "POST /api/v1/goals HTTP/1.1\r\n$chead" . $chunks->('x' x 10485761, 65536)), 413, 'chunks over 10 MB');
    error_ok(scalar raw($s, "POST /api/v1/goals HTTP/1.1\r\n${chead}zz\r\n\r\n"), 400, 'no chunk size', code => '');
    error_ok(scalar raw($s, "POST /api/v1/goals HTTP/1.1\r\n${head}Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n"), 400, 'both lengths', code => '');
    status_ok(call($s, DELETE => "/goals/$_->{id}", token => $v->{token}), 204, 'tidy') for @{ call($s, GET => '/goals', token => $v->{token})->json->{goals} };
};

subtest 'content types that are fine' => sub {
    error_ok(call($s, POST => '/goals', token => $token, body => '{"title":"x","frequency":0}', headers => { 'Content-Type' => $_ }), 400, $_,
        field => 'frequency', constraint => 'min') for 'application/json', 'application/json; charset=utf-8', 'Application/JSON;charset=UTF-8';
};

subtest 'methods' => sub {
    my %methods;
    push @{ $methods{ $_->{path} } }, $_->{method} for @op;
    for my $path (sort keys %methods) {
        my %known = map { $_ => 1 } @{ $methods{$path} };
        $known{HEAD} = 1 if $known{GET};
        for my $method (grep { !$known{$_} } qw(GET POST PUT PATCH DELETE PROPFIND LOCK FOO)) {
            my $res = call($s, $method, $path =~ s/\{\w+\}/$some_id/gr, token => $token, body => '{}');
            error_ok($res, 405, "$method $path");
            is(scalar @{ $res->headers->every_header('Allow') }, 1, 'once');
            my %allow = map { $_ => 1 } split /\s*,\s*/, $res->headers->header('Allow') // '';
            ok(!(grep { !$allow{$_} } @{ $methods{$path} }), "Allow of $path") or diag($res->headers->header('Allow'));
        }
    }
    error_ok(scalar raw($s, "$_ /api/v1/goals HTTP/1.1\r\nHost: x\r\n\r\n"), [400, 405], $_, code => '') for 'TRACE', 'CONNECT';
};

subtest 'paths' => sub {
    for my $op (grep { $_->{path} =~ /\{/ } @op) {
        my $body = $op->{schema} ? encode_json(good_body($op->{schema})) : undef;
        for my $id ('x', '1', "${some_id}0", substr($some_id, 0, -1), $some_id =~ tr/-//dr, '%27', '%20', "$some_id%20", 'null', '-', '..%2f..', "'%20OR%201=1--",
            'a' x 1000, '%f0%9f%98%80', '%ff', "\%7B$some_id\%7D") {
            my $at = ($op->{path} =~ s/\{\w+\}/$id/r) . ($op->{need} ? "?$op->{need}" : '');
            error_ok(call($s, $op->{method}, $at, token => $token, (defined $body ? (body => $body) : ())), [404, 405], "$op->{name} with " . substr($id, 0, 40));
        }
    }
    for my $path ('/api/v1/nosuch', '/api/v1', '/api/v1/', '/api/v2/goals', '/api/v1/goals/', '/api/v1/Goals', '/api/v1/goals.json', "/api/v1/goals/$some_id/stats/x",
        '/api/v1/goals;x=1', '/api/v1/goals%20') {
        error_ok(call($s, GET => $path, token => $token), 404, $path);
    }
};

subtest 'queries' => sub {
    my %p = (token => $token);
    for my $op (grep { $_->{method} eq 'GET' && $_->{secured} } @op) {
        my $at = $op->{path} =~ s{/goals/\{id\}}{/goals/$goal}r =~ s/\{\w+\}/$some_id/r;
        next if $op->{path} =~ m{/jobs/};
        error_ok(call($s, GET => "$at?nosuch=1", %p), 400, "$op->{name}: unknown", field => 'nosuch', constraint => 'unknown_field');
        for my $name (sort keys %{ $op->{query} }) {
            my $f = $op->{query}{$name};
            my $v = $name eq 'cursor' ? 'AAAA' : ref good($name, $f) ? 'true' : good($name, $f);
            error_ok(call($s, GET => "$at?$name=$v&$name=$v", %p), 400, "$op->{name}: $name twice", field => $name);
            error_ok(call($s, GET => "$at?$name=$_", %p), 400, "$op->{name}: $name=$_") for '%zz', '%', '%2', '%00', '%ff%fe', '';
            my ($type) = types($f);
            error_ok(call($s, GET => "$at?$name=$_", %p), 400, "$op->{name}: $name=$_", field => $name) for
                $type eq 'integer' ? ('x', '1.5', '-1', '0', '1e3', '1%20', '%31%00', '99999999999999999999')
                : $type eq 'boolean' ? ('yes', 'TRUE', '2', 'x') : $name eq 'cursor' ? ('!', 'a' x 257) : $name eq 'q' ? ('x', '%20%20', 'a' x 101)
                : $f->{maxLength} && !$f->{enum} && !$f->{format} && !$f->{pattern} ? 'x' x ($f->{maxLength} + 1) : ('x', '2025-02-30', "$some_id'");
        }
    }
    status_ok(call($s, GET => '/goals?limit=%31%30', %p), 200, 'escapes are decoded');
    status_ok(call($s, GET => '/goals?', %p), 200, 'an empty query');
};

subtest "nginx's own refusals" => sub {
    my $ask = sub ($bytes, $status, $name) { error_ok(scalar raw($s, $bytes), $status, $name, code => '') };
    $ask->("GARBAGE\r\n\r\n", 400, 'a bad request line');
    $ask->("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400, 'a TLS handshake');
    $ask->("GET /api/v1/goals HTTP/1.1\r\n\r\n", 400, 'no Host');
    $ask->("GET /api/v1/goals HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400, 'two hosts');
    $ask->("GET /api/v1/goals HTTP/1.1\r\nHost: a b/\r\n\r\n", 400, 'a bad host');
    $ask->("GET /%zz HTTP/1.1\r\nHost: x\r\n\r\n", 400, 'bad percent-encoding in the path');
    $ask->("GET /api/v1/goals%00 HTTP/1.1\r\nHost: x\r\n\r\n", 400, 'NUL in the path');
    $ask->("GET /../../etc/passwd HTTP/1.1\r\nHost: x\r\n\r\n", 400, 'above the root');
    $ask->('GET /' . 'a' x 40000 . " HTTP/1.1\r\nHost: x\r\n\r\n", 414, 'a long path');
    $ask->('GET /api/v1/goals?' . 'a=b&' x 10000 . " HTTP/1.1\r\nHost: x\r\n\r\n", 414, 'a long query');
    $ask->("GET /api/v1/goals HTTP/1.1\r\nHost: x\r\nX-Long: " . 'a' x 40000 . "\r\n\r\n", 400, 'a long header');
    $ask->("GET /api/v1/goals HTTP/1.1\r\nHost: x\r\n" . join('', map { "X-$_: " . 'b' x 1000 . "\r\n" } 1 .. 60) . "\r\n", 400, 'many headers');
    $ask->("GET /api/v1/goals HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip\r\n\r\n", [400, 501], 'an unknown transfer encoding');
    $ask->("GET /api/v1/goals HTTP/9.9\r\nHost: x\r\n\r\n", [400, 505], 'an unknown version');
    $ask->("GET /api/v1/goals HTTP/1.1\r\nHost: x\r\nExpect: 200-maybe\r\n\r\n", [401, 417], 'an unknown expectation');
};

subtest 'request ids' => sub {
    for my $id ('a', 'req_123', 'A.b-c_9', 'x' x 64) {
        my $res = call($s, GET => '/users/me', token => $token, headers => { 'X-Request-Id' => $id });
        is($res->headers->header('X-Request-Id'), $id, 'is taken: ' . substr $id, 0, 20);
        error_ok(my $err = call($s, GET => '/nosuch', headers => { 'X-Request-Id' => $id }), 404, 'in an error');
        is($err->json->{error}{request_id}, $id, 'too');
        error_ok($err = call($s, PATCH => "/goals/$some_id", token => $token, json => { title => 'x' }, headers => { 'X-Request-Id' => $id }), 404, "in the pool's error");
        is($err->json->{error}{request_id}, $id, 'too');
    }
    for my $id ('', 'x' x 65, 'a b', 'a;b', "\xc3\xa4", '<b>', 'a/b', '"') {
        my $res = call($s, GET => '/users/me', token => $token, headers => { 'X-Request-Id' => $id });
        like($res->headers->header('X-Request-Id') // '', qr/\Areq_[A-Za-z0-9._-]{8,60}\z/, 'is made instead of ' . encode_json([$id =~ s/\A(.{20}).*/$1/sr]));
    }
    my %seen;
    $seen{ $_->headers->header('X-Request-Id') }++ for calls($s, map { [GET => '/health/live'] } 1 .. 50);
    is(scalar keys %seen, 50, 'made ones differ');
};

subtest 'still in order' => sub {
    my $now = rows();
    status_ok(call($s, GET => '/goals', token => $token), 200, 'reads');
    status_ok(call($s, PATCH => "/goals/$goal", token => $token, json => { title => 'still here' }), 200, 'writes');
    is($s->sql("SELECT count(*) FROM goals WHERE user_id = '$u->{id}'"), 1, 'one goal');
};

$s->assert_clean;
done_testing;
