# Every hot query goes by its index, with the data of a large installation made small (t/load/generate.sql). The plans are those of the statements inside
# the functions, as auto_explain sees them, with the settings of the edge and of the pool.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use FitNudge::Stack;
use Test::More;

my $dir = FitNudge::Stack::temp_dir();
my $s = FitNudge::Stack->new(dir => $dir, durable => 0, database_only => 1);
END { if ($s && $s->{owner} == $$) { my $status = $?; $s->stop; $s->remove; $? = $status } }
$SIG{$_} = sub { exit 1 } for qw(INT TERM HUP);

$s->start_postgres;
$s->deploy;
$s->psql('-q', '-v', 'scale=0.01', '-f', $s->root . '/t/load/generate.sql');

# tables that grow: a hot query that reads one of them from end to end is wrong
my $large = qr/(?:users|goals|checkins\w*|posts|likes|comments|post_counts|follows|follow_counts|motivations|search_analytics)\b/;

# What psql says to a script.
sub ask {
    my ($script) = @_;
    local %ENV = (%ENV, $s->pg_env, PGOPTIONS => '');
    open my $f, '>', "$dir/ask.sql" or die;
    print $f $script;
    close $f or die;
    return scalar `psql -XqAt -v ON_ERROR_STOP=1 -f '$dir/ask.sql' 2>&1`;
}

sub person { "md5('user $_[0]')::uuid" }

# The plans of everything that runs while somebody does something in a role's name.
sub plans {
    my ($role, $user, @do) = @_;
    return ask(join "\n",
        'SELECT ' . person($user) . q{ AS me, md5('goal 1')::uuid AS goal, id AS post FROM posts WHERE is_public ORDER BY created_at DESC LIMIT 1 \gset},
        "LOAD 'auto_explain';", 'SET auto_explain.log_min_duration = 0;', 'SET auto_explain.log_nested_statements = on;',
        'SET auto_explain.log_level = notice;', 'SET jit = off;', 'SET plan_cache_mode = force_generic_plan;',
        "SET ROLE $role;", @do, '');
}

# as the edge asks
sub read_by {
    my ($user, $call) = @_;
    return plans('fitnudge_edge', $user, q{SELECT set_config('request.user_id', :'me', false);}, "SELECT length(api.$call);");
}

# as the pool does, taken back afterwards
sub written_by {
    my ($user, $job, $id, $json) = @_;
    return plans('fitnudge_pool', $user, 'BEGIN;',
        "SELECT (pool.settle(gen_random_uuid(), 'x', pool.enter(:'me'), 'f', jobs.$job(gen_random_uuid(), :'me', "
        . "jsonb_build_object('params', jsonb_build_object('id', $id), 'body', '$json'::jsonb), '{}'))).status;", 'ROLLBACK;');
}

sub judge {
    my ($name, $out, @index) = @_;
    ok($out !~ /ERROR/, "$name: answers") or return diag(substr $out, 0, 2000);
    # a partition that is empty costs nothing
    my @whole = grep { !/cost=0\.0\d\.\.0\.0\d / } $out =~ /(Seq Scan on (?:public\.)?$large.*)/g;
    is(scalar @whole, 0, "$name: reads no large table from end to end") or diag(join "\n", @whole);
    like($out, qr/\b(?:$_)\b/, "$name: by $_") for @index;
    return;
}

my @reads = (
    ['GET /users/me', q{users_me(:'me')}, 'users_pkey'],
    ['GET /goals', q{goals_list(:'me', NULL, 1, 20)}, 'idx_goals_user_id'],
    ['GET /goals/{id}', q{goals_get(:'me', :'goal')}, 'goals_pkey|goals_id_user_id_key'],
    ['GET /goals/{id}/stats', q{goals_stats(:'me', :'goal')}, 'checkins_\w+_goal_id_date_key'],
    ['GET /goals/{id}/checkins', q{goals_checkins(:'me', :'goal', NULL, NULL, NULL, 20)}, 'checkins_\w+_(?:goal_id_date_key|user_id_date_id_idx)'],
    ['GET /checkins', q{checkins_list(:'me', NULL, NULL, NULL, 20)}, 'checkins_\w+_user_id_date_id_idx'],
    ['GET /stats/me', q{stats_me(:'me')}, 'checkins_\w+_user_id_date_id_idx'],
    ['GET /feed', q{feed(:'me', 'all', NULL, 20)}, 'idx_posts_created_at', 'idx_posts_user_id', 'posts_pkey', 'users_pkey', 'post_counts_pkey', 'likes_post_id_user_id_key'],
    ['GET /feed?scope=following', q{feed(:'me', 'following', NULL, 20)}, 'idx_posts_user_id', 'follows_pkey'],
    ['GET /posts/{id}', q{posts_get(:'me', :'post')}, 'posts_pkey', 'post_counts_pkey'],
    ['GET /posts/{id}/comments', q{posts_comments(:'me', :'post', NULL, 20)}, 'idx_comments_post_id'],
    ['GET /search/posts, a rare word', q{search_posts(:'me', 'word19000', NULL, NULL, NULL, 1, 20)}, 'idx_posts_search'],
    ['GET /search/posts, a common word', q{search_posts(:'me', 'gym', NULL, NULL, NULL, 1, 20)}, 'idx_posts_created_at|idx_posts_search'],
    ['GET /search/posts of a person', q{search_posts(:'me', 'gym', NULL, NULL, :'me', 1, 20)}, 'idx_posts_user_id|idx_posts_search'],
    ['GET /search/goals', q{search_goals(:'me', 'train', NULL, NULL, 1, 20)}, 'idx_goals_user_id'],
    ['GET /search/users', q{search_users(:'me', 'name77', NULL, NULL, 1, 20)}, 'idx_users_search', 'follow_counts_pkey'],
    ['GET /search/suggestions', q{search_suggestions(:'me', 'name7', 5)}, 'idx_users_search'],
);
judge($_->[0], read_by(1, $_->[1]), @{$_}[2 .. $#$_]) for @reads;

judge('who follows a thousand', read_by(2, q{feed(:'me', 'following', NULL, 20)}), 'idx_posts_user_id', 'follows_pkey');
judge('who follows very many', read_by(3, q{feed(:'me', 'following', NULL, 20)}), 'idx_posts_created_at', 'follows_pkey');

my @writes = (
    ['POST /goals', 'goals_create', q{''}, '{"title":"x","frequency":3}', 'users_pkey'],
    ['POST /goals/{id}/checkins', 'checkins_create', q{:'goal'}, '{"status":"done","date":"2020-01-01"}', 'goals_pkey|goals_id_user_id_key'],
    ['POST /posts', 'posts_create', q{''}, '{"text":"x"}', 'idx_posts_created_at', 'users_pkey'],
    ['POST /posts/{id}/like', 'posts_like', q{:'post'}, '{}', 'posts_pkey', 'post_counts_pkey'],
    ['DELETE /posts/{id}/like', 'posts_unlike', q{:'post'}, '{}', 'likes_post_id_user_id_key'],
    ['POST /posts/{id}/comments', 'comments_create', q{:'post'}, '{"text":"x"}', 'posts_pkey'],
    ['POST /posts/{id}/flag', 'posts_flag', q{:'post'}, '{"reason":"spam"}', 'posts_pkey'],
);
judge($_->[0], written_by(1, @{$_}[1 .. 3]), @{$_}[4 .. $#$_]) for @writes;

# the test notices what it is there for
like(ask("LOAD 'auto_explain'; SET auto_explain.log_min_duration = 0; SET auto_explain.log_level = notice; SELECT count(*) FROM posts WHERE text = 'x';"),
    qr/Seq Scan on (?:public\.)?$large/, 'a query without an index would be seen');

done_testing;
