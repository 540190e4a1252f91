# nginx -t and fitnudge-worker -t read the same file, and refuse the same mistakes in the same words.
use Mojo::Base -strict, -signatures;
use FindBin;
use lib "$FindBin::Bin/lib";
use FitNudge::Test::Stack;
use Mojo::File qw(path);
use Test::More;

# Nothing is started: a configuration is all it takes
my $s = FitNudge::Test::Stack->new(cron => undef);
$s->prepare->write_conf;
my $dir = path($s->dir);
my $good = path($dir, 'nginx.conf')->slurp;
my $file = path($dir, 'mistake.conf');

sub output (@cmd) {
    my $pid = open(my $out, '-|') // die "fork: $!";
    if (!$pid) {
        open STDERR, '>&', \*STDOUT;
        $ENV{FITNUDGE_TEST_EMPTY} = '';
        delete $ENV{FITNUDGE_TEST_UNSET};
        exec @cmd or die "@cmd: $!";
    }
    local $/;
    my $text = <$out> // '';
    close $out;
    return ($? >> 8, $text);
}

sub nginx_t ($text) { local %ENV = (%ENV, %{$s->nginx_env}); $file->spurt($text); output('/usr/sbin/nginx', '-t', '-e', "$dir/log/test.log", '-p', "$dir/", '-c', "$file") }
sub worker_t ($text) { $file->spurt($text); output("$dir/bin/fitnudge-worker", '-t', '-c', "$file") }

my ($rc, $out) = nginx_t($good);
is($rc, 0, 'nginx -t accepts what the stack runs') or BAIL_OUT($out);
($rc, $out) = worker_t($good);
is($rc, 0, 'fitnudge-worker -t, too') or diag($out);

# The file with a line more at http level, in the worker block, or with one line replaced
sub http ($line) { $good =~ s/^(\s*fitnudge_worker \{)/    $line\n$1/mr }
sub worker ($line) { $good =~ s/^(\s*fitnudge_worker \{)/$1\n        $line/mr }
sub replaced ($name, $line) { my $t = $good; $t =~ s/^\s*\Q$name\E\s.*;$/    $line/m or die "no $name"; $t }
sub without ($name) { replaced($name, '') }

sub refused ($name, $text, $message, %o) {
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    subtest $name => sub {
        for my $who ($o{only} ? $o{only} : qw(nginx worker)) {
            my ($rc, $out) = $who eq 'nginx' ? nginx_t($text) : worker_t($text);
            isnt($rc, 0, "$who refuses it");
            like($out, $message, "$who says why");
            like($out, qr/mistake\.conf:\d+/, "$who says where") if !$o{nowhere};
            unlike($out, qr/Sanitizer|core dumped/, "$who does not crash");
        }
    };
}

my @range = (       # setting of the worker block, values out of bounds or of another form
    [sql_processes => qw(0 65 -1 x 1.5), ''], [sql_batch => qw(0 65 x)], [auth_processes => qw(0 17)], [net_processes => qw(0 9)], [net_slots => qw(0 1025)],
    [sql_processes_max => qw(65 -1 x)], [auth_processes_max => qw(17)], [net_processes_max => qw(9)], [min_spare => qw(0 17)], [max_spare => qw(0 65)],
    [scale_age => qw(9ms 61s x)], [scale_idle => qw(1ms 2h)], [recycle_memory => qw(-1 65537)], [watchdog => qw(14s 11m x)],
    [metrics_listen => qw(9145 localhost:9145 127.0.0.1 127.0.0.1:0 127.0.0.1:65536 unix:/x sentinel:a@127.0.0.1:1 off)],
    [cron => qw(x 1 ON), ''],
    [shutdown_timeout => qw(x -1s 1s parsecs)], [recycle_jobs => qw(-1 x)], [openai_max_tokens => qw(0 x)], [openai_timeout => qw(0 x)], [openai_attempts => qw(0 x)],
    [openai_price_input => qw(x -1 1.2.3)], [openai_price_output => qw(x)], [ai_cache_ttl => qw(x)], [ai_budget_daily => qw(x -5)], [ai_budget_monthly => qw(x)],
    [openai_base_url => 'ftp://x/', 'x', ''], [openai_model => ''],
);
for my $case (@range) {
    my ($name, @bad) = @$case;
    refused("$name '$_'", worker(qq{$name "$_";}), qr/invalid (?:value|parameter|number of arguments)[^\n]*|\bis expected\b/) for @bad;
}
for my $case (['fitnudge_access_token_ttl', 'x', '0', '-1'], ['fitnudge_refresh_token_ttl', 'x', '0']) {
    my ($name, @bad) = @$case;
    refused("$name '$_'", http(qq{$name "$_";}), qr/invalid (?:value|parameter)/) for @bad;
}

refused('an unknown worker setting', worker('nosuch 1;'), qr/unknown directive "nosuch"/);
refused('an unknown shared setting', http('fitnudge_nosuch 1;'), qr/unknown directive "fitnudge_nosuch"/, only => 'nginx');
refused('a worker setting twice', worker("sql_batch 2;\n        sql_batch 3;"), qr/"sql_batch" directive is duplicate/);
refused('a shared setting twice', http("fitnudge_access_token_ttl 5m;\n    fitnudge_access_token_ttl 6m;"), qr/"fitnudge_access_token_ttl" directive is duplicate/);
refused('two worker blocks', $good =~ s/^(\s*)fitnudge_worker \{/$1fitnudge_worker { }\n$1fitnudge_worker {/mr, qr/"fitnudge_worker" directive is duplicate/);
refused('no value', worker('sql_batch;'), qr/invalid number of arguments in "sql_batch" directive/);
refused('two values', worker('sql_batch 1 2;'), qr/invalid number of arguments in "sql_batch" directive/);
refused("fitnudge_redis $_", replaced('fitnudge_redis', "fitnudge_redis $_;"), qr/invalid value "\Q@{[substr $_, 0, 20]}\E.*sentinel:name\@ip:port/)
    for 'sentinel:', 'sentinel:a', 'sentinel:@127.0.0.1:1', 'sentinel:a@', 'sentinel:a@localhost:26379', 'sentinel:a@127.0.0.1', 'sentinel:a@127.0.0.1:0', 'sentinel:a@127.0.0.1:1,',
        'sentinel:a@127.0.0.1:1,,127.0.0.1:2', 'sentinel:a/b@127.0.0.1:1', 'sentinel:a@' . join(',', ('127.0.0.1:1') x 9);
refused('fewer at most than at least', worker("sql_processes 4;\n        sql_processes_max 3;"), qr/"sql_processes_max" is less than "sql_processes"/, nowhere => 1);
refused('fewer spare at most than at least', worker("min_spare 4;\n        max_spare 3;"), qr/"max_spare" is less than "min_spare"/, nowhere => 1);
refused('a literal secret', replaced('fitnudge_jwt_secret', 'fitnudge_jwt_secret 0123456789012345678901234567890123456789;'), qr/env:NAME or file:/);
refused('a literal key', worker('openai_api_key sk-12345;'), qr/env:NAME or file:/);
{
    my ($rc, $out) = nginx_t(worker('openai_api_key sk-verysecret;'));
    unlike($out, qr/verysecret/, 'a literal secret is not repeated');
}
refused('an unset variable', replaced('fitnudge_jwt_secret', 'fitnudge_jwt_secret env:FITNUDGE_TEST_UNSET;'), qr/FITNUDGE_TEST_UNSET/);
refused('an empty variable', replaced('fitnudge_jwt_secret', 'fitnudge_jwt_secret env:FITNUDGE_TEST_EMPTY;'), qr/FITNUDGE_TEST_EMPTY/);
refused('a missing file', replaced('fitnudge_jwt_secret', 'fitnudge_jwt_secret file:/nonexistent/secret;'), qr{/nonexistent/secret});
path($dir, 'short')->spurt("short\n");
refused('a short secret', replaced('fitnudge_jwt_secret', "fitnudge_jwt_secret file:$dir/short;"), qr/at least 32 are needed/);
refused('a host name for Redis', replaced('fitnudge_redis', 'fitnudge_redis redis.example.com:6379;'), qr/redis\.example\.com/);
refused('no port for Redis', replaced('fitnudge_redis', 'fitnudge_redis 127.0.0.1;'), qr/invalid|expected/);
refused('a host name for PostgreSQL', replaced('fitnudge_postgres', 'fitnudge_postgres "host=db.example.com dbname=x user=y";'), qr/db\.example\.com|hostaddr/, only => 'nginx');
refused('a malformed conninfo', replaced('fitnudge_postgres', 'fitnudge_postgres "hst=/x";'), qr/invalid connection string in "fitnudge_postgres"/, only => 'nginx');
refused('an unknown parameter of fitnudge_postgres', replaced('fitnudge_postgres', 'fitnudge_postgres "host=/tmp" nosuch=1;'), qr/invalid parameter "nosuch=1"/, only => 'nginx');
refused("fitnudge_postgres $_", replaced('fitnudge_postgres', qq{fitnudge_postgres "host=/tmp dbname=x" $_;}), qr/invalid parameter "\Q$_\E"|\Q$_\E/, only => 'nginx')
    for qw(connections=0 connections=17 connections=x timeout=x queue=0);
{
    my $db = '"host=/tmp dbname=x"';
    my %bad = (
        fitnudge_postgres => [['connections=0', '1 to 16'], ['connections=17', '1 to 16'], ['max=65', '1 to 64'], ['idle=10ms', '1s to 1d'], ['connect_timeout=1ms', '100ms to 1m'],
            ['timeout=11m', '1ms to 10m'], ['queue=65537', '1 to 65536']],
        fitnudge_postgres_replica => [['max_lag=99ms', '100ms to 1m'], ['max_lag=x', '100ms to 1m'], ['weight=0', '1 to 100'], ['weight=101', '1 to 100'], ['max=0', '1 to 64']],
        fitnudge_postgres_slow => [['connections=0', '1 to 16'], ['timeout=0', '1ms to 10m'], ['queue=0', '1 to 65536']],
        fitnudge_postgres_breaker => [['failures=0', '1 to 32'], ['failures=33', '1 to 32'], ['cooldown=1ms', '100ms to 10m'], ['cooldown=', '100ms to 10m']],
    );
    for my $name (sort keys %bad) {
        my $line = sub ($p) { my $l = join ' ', $name, $name =~ /postgres\z|replica/ ? $db : (), "$p;"; $name eq 'fitnudge_postgres' ? replaced($name, $l) : http($l) };
        refused("$name $_->[0]", $line->($_->[0]), qr/invalid parameter "\Q$_->[0]\E" in "$name" directive: it must be from \Q$_->[1]\E in/, only => 'nginx') for @{ $bad{$name} };
        refused("$name nosuch=1", $line->('nosuch=1'), qr/invalid parameter "nosuch=1" in "$name" directive: it is not known in/, only => 'nginx');
    }
    refused('a parameter twice', replaced('fitnudge_postgres', "fitnudge_postgres $db queue=1 queue=2;"), qr/invalid parameter "queue=2" in "fitnudge_postgres" directive: it is duplicate/, only => 'nginx');
    refused('max below connections', replaced('fitnudge_postgres', "fitnudge_postgres $db connections=4 max=3;"), qr/"max" of postgres primary is less than its "connections"/, only => 'nginx', nowhere => 1);
    refused('a host name for a replica', http('fitnudge_postgres_replica "host=db.example.com dbname=x";'), qr/host "db\.example\.com" in "fitnudge_postgres_replica" is neither/, only => 'nginx');
    refused('a password of a replica', http('fitnudge_postgres_replica "host=/tmp password=verysecret";'), qr/"password" is not allowed in "fitnudge_postgres_replica"/, only => 'nginx');
    refused('seventeen replicas', http(join "\n", ("fitnudge_postgres_replica $db;") x 17), qr/"fitnudge_postgres_replica" directive is given more than 16 times/, only => 'nginx');
    refused("$_ twice", http("$_ ; $_ ;" =~ s/ ;/ queue=1;/gr =~ s/(breaker) queue=1/$1 failures=1/gr), qr/"$_" directive is duplicate/, only => 'nginx') for qw(fitnudge_postgres_slow fitnudge_postgres_breaker);
    my ($rc, $out) = nginx_t(http("fitnudge_postgres_replica $db max_lag=2s weight=3 connections=3; fitnudge_postgres_replica $db; fitnudge_postgres_slow timeout=1m; fitnudge_postgres_breaker failures=3 cooldown=1s;"));
    is($rc, 0, 'replicas, slow and breaker') or diag($out);
}
refused("fitnudge_redis_timeout $_", http("fitnudge_redis_timeout $_;"), qr/invalid value|fitnudge_redis_timeout/, only => 'nginx') for qw(x 0);
refused("fitnudge_zone $_", http("fitnudge_zone $_;"), qr/invalid|zone size/, only => 'nginx') for qw(x 1k 0);
refused("fitnudge $_", $good =~ s/fitnudge on;/fitnudge $_;/r, qr/invalid value "\Q$_\E" in "fitnudge" directive/, only => 'nginx') for qw(yes 1);

refused("no $_", without($_), qr/\Q$_\E/, nowhere => 1, only => 'nginx') for qw(fitnudge_redis fitnudge_postgres fitnudge_jwt_secret);
refused("no $_ for the pool", without($_), qr/\Q$_\E/, nowhere => 1, only => 'worker') for qw(fitnudge_redis fitnudge_jwt_secret);
refused('no postgres for the pool', $good =~ s/^\s*postgres ".*$//mr, qr/\bpostgres\b/, nowhere => 1, only => 'worker');
refused('no worker block', $good =~ s/^\s*fitnudge_worker \{.*?^\s*\}//msr, qr/postgres|fitnudge_worker/, nowhere => 1, only => 'worker');
refused('a worker block in a server', $good =~ s/fitnudge on;/fitnudge on; fitnudge_worker { }/r, qr/"fitnudge_worker" directive is not allowed here/, only => 'nginx');
refused('an open brace', $good . 'http {', qr/unexpected end of file|duplicate/);

subtest 'what is fine' => sub {
    for my $case (['Sentinels', replaced('fitnudge_redis', 'fitnudge_redis sentinel:my.master-1_x@127.0.0.1:26379,[::1]:26380;'), 1],
        ['an unset key of a provider', worker('openai_api_key env:FITNUDGE_TEST_UNSET;'), ($good !~ /openai_api_key/)], ['times', http('fitnudge_access_token_ttl 5m;'), 1],
        ['all of the worker', worker('sql_processes 2; sql_batch 8; auth_processes 1; net_processes 1; net_slots 16; shutdown_timeout 5s; recycle_jobs 0; recycle_memory 0; sql_processes_max 3; auth_processes_max 0; net_processes_max 2; min_spare 2; max_spare 2; scale_age 1s;'
            . ' scale_idle 1h; watchdog 15s; metrics_listen [::1]:9145; cron on; openai_model gpt-5;'
            . ' openai_price_input 1.25; openai_price_output 10; ai_cache_ttl 1h; ai_budget_daily 1; ai_budget_monthly 0.5;'), 1]) {
        next if !$case->[2];
        for my $who (qw(nginx worker)) {
            my ($rc, $out) = $who eq 'nginx' ? nginx_t($case->[1]) : worker_t($case->[1]);
            is($rc, 0, "$case->[0]: $who") or diag($out);
        }
    }
};

$s->assert_clean;
done_testing;
