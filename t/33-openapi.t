# The OpenAPI document says what is served, and all of it.
use Mojo::Base -strict, -signatures;
use FindBin;
use lib "$FindBin::Bin/lib";
use FitNudge::Test::Contract;
use FitNudge::Test::Stack;
use FitNudge::Util qw(slurp spew);
use Test::More;

my $s = FitNudge::Test::Stack->new->start;
my $res = call($s, GET => '/api/v1/openapi.json');
status_ok($res, 200, 'served to anybody');
like($res->headers->content_type, qr{\Aapplication/(?:json|vnd\.oai\.openapi\+json)}, 'content type');
my $doc = $res->json;
is(ref $doc, 'HASH', 'parses') or BAIL_OUT('no document');
like($doc->{openapi}, qr/\A3\.1\.\d+\z/, 'version of OpenAPI');
ok($doc->{info}{$_}, "info.$_") for qw(title version);

subtest 'references' => sub {
    my @ref;
    my $walk;
    $walk = sub ($x) {
        if (ref $x eq 'HASH') { push @ref, $x->{'$ref'} if defined $x->{'$ref'} && !ref $x->{'$ref'}; $walk->($_) for values %$x }
        elsif (ref $x eq 'ARRAY') { $walk->($_) for @$x }
    };
    $walk->($doc);
    my %seen;
    for my $ref (grep { !$seen{$_}++ } sort @ref) {
        my $at = $doc;
        for my $step (split m{/}, $ref =~ s{\A#/}{}r) {
            $at = ref $at eq 'HASH' ? $at->{ $step =~ s/~1/\//gr =~ s/~0/~/gr } : undef;
        }
        ok(ref $at eq 'HASH', $ref);
    }
    cmp_ok(scalar keys %seen, '>', 5, 'there are some');
    my %used = map { m{\A#/components/schemas/(.+)} ? ($1 => 1) : () } keys %seen;
    is_deeply([grep { !$used{$_} } sort keys %{ $doc->{components}{schemas} }], [], 'every schema is used');
};

subtest 'operations' => sub {
    my %id;
    for my $path (sort keys %{ $doc->{paths} }) {
        my @names = $path =~ /\{(\w+)\}/g;
        for my $method (grep { exists $doc->{paths}{$path}{$_} } qw(get post put patch delete)) {
            my $op = $doc->{paths}{$path}{$method};
            my $name = uc($method) . " $path";
            ok($op->{operationId} && !$id{ $op->{operationId} }++, "$name has an id of its own");
            ok($op->{summary}, "$name has a summary");
            ok(@{ $op->{tags} // [] } == 1, "$name has a section");
            my @ok = grep { /\A[23]/ } keys %{ $op->{responses} };
            ok(@ok, "$name can succeed");
            ok((grep { /\A(?:4|5|default)/ } keys %{ $op->{responses} }), "$name can fail");
            my %in = map { $_->{name} => $_ } grep { ($_->{in} // '') eq 'path' } map { ref $_ && $_->{'$ref'} ? $doc->{components}{parameters}{ $_->{'$ref'} =~ s{.*/}{}r } : $_ }
                @{ $op->{parameters} // [] }, @{ $doc->{paths}{$path}{parameters} // [] };
            is_deeply([sort keys %in], [sort @names], "$name names its path parameters");
            ok(!(grep { !$_->{required} } values %in), "$name requires them");
        }
    }
};

subtest 'what is served' => sub {
    my %served = map { $_ => 1 } split /\n/, <<'END';
POST /api/v1/auth/signup
POST /api/v1/auth/login
POST /api/v1/auth/refresh
POST /api/v1/auth/logout
GET /api/v1/auth/csrf
GET /api/v1/auth/sessions
DELETE /api/v1/auth/sessions/{id}
GET /api/v1/users/me
PATCH /api/v1/users/me
POST /api/v1/auth/verify-email
POST /api/v1/auth/verify-email/resend
POST /api/v1/auth/password/forgot
POST /api/v1/auth/password/reset
POST /api/v1/auth/password/change
GET /api/v1/users/{id}
POST /api/v1/users/{id}/follow
DELETE /api/v1/users/{id}/follow
GET /api/v1/users/me/data
DELETE /api/v1/users/me/delete
GET /api/v1/users/me/consents
PUT /api/v1/users/me/consents
GET /api/v1/goals
POST /api/v1/goals
GET /api/v1/goals/{id}
PATCH /api/v1/goals/{id}
DELETE /api/v1/goals/{id}
GET /api/v1/goals/{id}/stats
GET /api/v1/goals/{id}/checkins
POST /api/v1/goals/{id}/checkins
GET /api/v1/checkins
GET /api/v1/flags
GET /api/v1/onboarding/flow
POST /api/v1/experiments/{key}/events
GET /api/v1/i18n
GET /api/v1/i18n/{lang}
PATCH /api/v1/checkins/{id}
DELETE /api/v1/checkins/{id}
POST /api/v1/motivation/generate
GET /api/v1/motivations
GET /api/v1/motivations/{id}
POST /api/v1/motivation/schedule
GET /api/v1/reminders
PATCH /api/v1/reminders/{id}
DELETE /api/v1/reminders/{id}
GET /api/v1/stats/me
GET /api/v1/stats/me/weekly
GET /api/v1/media
POST /api/v1/media/uploads
POST /api/v1/media/{id}/complete
DELETE /api/v1/media/{id}
POST /api/v1/events
POST /api/v1/webhooks/email-events
GET /api/v1/e/o/{id}.gif
GET /api/v1/e/c/{id}
GET /api/v1/e/u/{token}
POST /api/v1/e/u/{token}
GET /api/v1/jobs/{id}
GET /health
GET /api/v1/health
GET /health/live
GET /health/ready
GET /api/v1/openapi.json
END
    my %said;
    for my $path (keys %{ $doc->{paths} }) {
        $said{ uc($_) . " $path" } = 1 for grep { exists $doc->{paths}{$path}{$_} } qw(get post put patch delete);
    }
    is_deeply([grep { !$said{$_} } sort keys %served], [], 'all of the contract is described');
    for my $op (sort keys %said) {
        my ($method, $path) = split / /, $op;
        my $code = call($s, $method, $path =~ s/\{\w+\}/01900000-0000-7000-8000-000000000000/r)->code // 'none';
        ok($code ne '405' && $code ne 'none' && ($code ne '404' || $path =~ /\{/) && ($code < 500 || $path =~ m{/webhooks/}), "$op is served ($code)");
    }
};

subtest 'the page for developers' => sub {
    my $page = "$FindBin::Bin/../docs/api.md";
    my $table = "| | | |\n|---|---|---|\n";
    my $section = '';
    for my $path (map { $_->[1] } sort { $a->[0] cmp $b->[0] || $a->[1] cmp $b->[1] }
        map { my $p = $_; my ($op) = values %{ $doc->{paths}{$p} }; [ref $op eq 'HASH' ? $op->{tags}[0] : '', $p] } keys %{ $doc->{paths} }) {
        for my $method (grep { exists $doc->{paths}{$path}{$_} } qw(get post put patch delete)) {
            my $op = $doc->{paths}{$path}{$method};
            $table .= "| **$op->{tags}[0]** | | |\n" if $section ne $op->{tags}[0];
            $section = $op->{tags}[0];
            my $at = $path =~ s{\A/api/v1(?=/)}{}r;
            $at = $path if $path =~ m{\A/health|/api/v1/health\z};
            $table .= sprintf "| %s %s | %s | %s |\n", uc $method, $at, (grep({ $_->{signature} } @{ $op->{security} // [] }) ? 'signature' : @{ $op->{security} // [] } ? 'user' : '-'), $op->{summary};
        }
    }
    my $text = slurp($page);
    my $new = $text =~ s/(?<=<!-- routes -->\n).*?(?=<!-- \/routes -->)/$table/sr;
    spew($page, $new, 0644) if $ENV{FITNUDGE_UPDATE};
    ok($ENV{FITNUDGE_UPDATE} || $text eq $new, 'its table is up to date') or diag('FITNUDGE_UPDATE=1 ./build.sh test t/33-openapi.t writes it anew');
};

# Answers hold what their schemas require, and nothing that these do not know.
subtest 'answers' => sub {
    my $u = new_user($s);
    my %p = (token => $u->{token});
    my $g = call($s, POST => '/goals', %p, json => { title => 'Run', frequency => 3 })->json->{id};
    call($s, POST => "/goals/$g/checkins", %p, json => { status => 'done' });
    call($s, POST => '/motivation/generate', %p, json => { goal_id => $g });
    call($s, POST => '/motivation/schedule', %p, json => { goal_id => $g, time => '08:00', days => [1, 3] });
    call($s, PUT => '/users/me/consents', %p, json => { consent_type => 'analytics', granted => \1 });
    my $post = call($s, POST => '/posts', %p, json => { text => 'Run' })->json->{id};
    call($s, POST => "/posts/$post/comments", %p, json => { text => 'Well' });
    my $find = sub ($schema) { $schema = $doc->{components}{schemas}{ $schema->{'$ref'} =~ s{.*/}{}r } while ref $schema eq 'HASH' && $schema->{'$ref'}; $schema };
    my $check;
    $check = sub ($v, $schema, $at) {
        $schema = $find->($schema);
        return if !ref $schema || ref $schema ne 'HASH';
        my %type = map { $_ => 1 } ref $schema->{type} ? @{ $schema->{type} } : $schema->{type} // ();
        return if !defined $v && (!%type || $type{null});
        my $is = ref $v eq 'HASH' ? 'object' : ref $v eq 'ARRAY' ? 'array' : ref $v ? 'boolean' : !defined $v ? 'null' : 'scalar';
        return "$at is $is" if %type && !($type{$is} || ($is eq 'scalar' && grep { $type{$_} } qw(string integer number)));
        return "$at is not one of them: $v" if $schema->{enum} && !grep { ($_ // '') eq ($v // '') } @{ $schema->{enum} };
        if ($is eq 'object' && $schema->{properties}) {
            return map { my $k = $_; $schema->{properties}{$k} ? $check->($v->{$k}, $schema->{properties}{$k}, "$at.$k")
                : ref $schema->{additionalProperties} ? $check->($v->{$k}, $schema->{additionalProperties}, "$at.$k") : "$at.$k is unknown" } sort keys %$v if
                !grep { !exists $v->{$_} } @{ $schema->{required} // [] };
            return "$at misses " . join ', ', grep { !exists $v->{$_} } @{ $schema->{required} // [] };
        }
        return map { $check->($v->[$_], $schema->{items}, "$at\[$_]") } 0 .. $#$v if $is eq 'array' && $schema->{items};
        return;
    };
    for my $case (['/auth/csrf', '/auth/csrf'], ['/auth/sessions', '/auth/sessions'], ['/users/me', '/users/me'], ['/goals', '/goals'], ["/goals/$g", '/goals/{id}'],
        ["/goals/$g/stats", '/goals/{id}/stats'], ["/goals/$g/checkins", '/goals/{id}/checkins'], ['/checkins', '/checkins'], ['/motivations', '/motivations'],
        ['/media', '/media'], ['/reminders', '/reminders'], ["/users/$u->{id}", '/users/{id}'], ['/users/me/consents', '/users/me/consents'], ['/users/me/data', '/users/me/data'], ['/stats/me', '/stats/me'], ['/stats/me/weekly', '/stats/me/weekly'],
        ['/feed', '/feed'], ["/posts/$post", '/posts/{id}'], ["/posts/$post/comments", '/posts/{id}/comments'], ['/search/posts?q=run', '/search/posts'],
        ['/search/goals?q=run', '/search/goals'], ['/search/users?q=ad', '/search/users'], ['/search/suggestions?q=ad', '/search/suggestions'],
        ['/flags', '/flags'], ['/onboarding/flow', '/onboarding/flow'], ['/i18n', '/i18n'], ['/i18n/de', '/i18n/{lang}'],
        ['/health', '/health'], ['/health/live', '/health/live'], ['/health/ready', '/health/ready']) {
        my ($at, $path) = @$case;
        my $got = call($s, GET => $at, %p)->json;
        my $in = $doc->{paths}{ $path =~ m{\A/health} ? $path : "/api/v1$path" }{get}{responses}{200};
        my $schema = $find->($in->{content}{'application/json'}{schema});
        is_deeply([$check->($got, $schema, 'answer')], [], "GET $path") or diag(explain($got));
    }
};

$s->assert_clean;
done_testing;
