# An executor dies at each point of its loop while mails and pushes are on their way: each comes, and at most twice, under one Message-ID
# or collapse key, so that receivers can tell. One process dies for each point; who has more deaths has more deliveries.
use Mojo::Base -strict, -signatures;
use FindBin;
use lib "$FindBin::Bin/lib";
use FitNudge::Test::Contract;
use FitNudge::Test::Pool;
use FitNudge::Test::Services;
use FitNudge::Test::Stack;
use Test::More;

my $s = FitNudge::Test::Stack->new(nginx_workers => 1, fault => 'none', env => { FN_DEATH_MS => 3000, FN_BEAT_MS => 500, FN_RESCAN_MS => 1500 });
my $services = FitNudge::Test::Services->new(stack => $s)->start(qw(fcm smtp));
$s->{pool} = $services->conf . "sql_processes 3;\nsql_batch 4;\nnet_processes 2;\nnet_slots 8;\nrecycle_jobs 0;\n";
$s->start;

my @device = qw(phone watch);
my $u = new_user($s);
status_ok(call($s, POST => '/users/me/devices', token => $u->{token}, json => { platform => 'android', token => $_ }), 204, $_) for @device;

ok(poll(20, sub { scalar(my @m = $services->mails) }), 'the mail of the sign-up has come, and is not counted below');

my %count = (mail => 0, push => 0);
sub send_some ($n) {
    for (1 .. $n) {
        $services->follow('mail.send', $u->{id}, { template => 'welcome', to => "u$_\@example.com", name => 'Ann', language => 'en', vars => { app_download_url => 'https://fitnudge.app/download' } });
        $services->follow('push.send', $u->{id}, { title => 'Time to run', body => "Number $_" });
    }
    $count{$_} += $n for qw(mail push);
}

sub restart_pool (%env) {
    $s->stop_process('pool', 'TERM', 35);
    local $s->{env} = { %{ $s->{env} }, %env };
    local $s->{fault} = delete $s->{env}{FN_FAULT} // 'none';
    $s->start_pool;
}

# How often each came: id => times
sub deliveries ($mails, $pushes) {
    my (%mail, %push);
    $mail{ $_->{data} =~ /^Message-ID: (\S+)/mi ? $1 : 'none' }++ for ($services->mails)[$mails .. $services->mails - 1];
    $push{ "$_->{token} " . ($_->{android}{collapse_key} // 'none') }++ for ($services->pushes)[$pushes .. $services->pushes - 1];
    return (\%mail, \%push);
}

for my $point (qw(executor.taken executor.after_commit executor.before_finish executor.after_finish net.after_call net.after_finish)) {
    subtest $point => sub {
        my $once = "$s->{sock}/died-$point";
        my ($mails, $pushes) = (scalar(my @m = $services->mails), scalar(my @p = $services->pushes));
        %count = (mail => 0, push => 0);
        send_some(12);
        restart_pool(FN_FAULT => "$point:1/8", FN_FAULT_ONCE => $once);
        ok(poll(120, sub {
            return 1 if -e $once;
            send_some(6) if !$s->redis(LLEN => '{fn}:q:sql:l');
            return 0;
        }), 'somebody died');
        is_deeply([consistent($s, 60)], [], 'nothing is left');

        my ($mail, $push);
        poll(60, sub { ($mail, $push) = deliveries($mails, $pushes); keys %$mail >= $count{mail} && keys %$push >= @device * $count{push} });
        is_deeply([consistent($s, 60)], [], 'and stays so');
        ($mail, $push) = deliveries($mails, $pushes);
        is(scalar keys %$mail, $count{mail}, "all $count{mail} mails came");
        is(scalar keys %$push, @device * $count{push}, 'and a push for each device');
        is_deeply([grep { $mail->{$_} > 2 } sort keys %$mail], [], 'no mail more than twice');
        is_deeply([grep { $push->{$_} > 2 } sort keys %$push], [], 'no push more than twice');
        is($s->sql("SELECT count(*) FROM mails WHERE status <> 'sent'"), 0, 'every mail is known to be sent');
        note(sprintf '%d mails and %d pushes came twice', scalar(grep { $_ > 1 } values %$mail), scalar(grep { $_ > 1 } values %$push));
    };
}

is($s->redis(ZCARD => "{fn}:dead:$_"), 0, "no dead letter in $_") for qw(sql net);
$s->assert_clean;
done_testing;
