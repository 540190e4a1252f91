# Mails by way of a mail server that is none of ours: Exim, with STARTTLS, TLS and AUTH, in a directory and on ports of its own. What it
# has delivered is read by Email::MIME. FITNUDGE_MAIL_HTML=<directory> keeps the HTML of each, to be looked at.
use Mojo::Base -strict, -signatures;
use FindBin;
use lib "$FindBin::Bin/lib";
use Encode qw(decode);
use FitNudge::Test::Contract;
use FitNudge::Test::Services;
use FitNudge::Test::Stack;
use FitNudge::Util qw(free_port run run_quiet slurp spew);
use IO::Socket::INET;
use Mojo::DOM;
use Mojo::File qw(path);
use Test::More;

my $exim = '/usr/sbin/exim4';
plan skip_all => 'there is another mail server, and no Exim' if !-x $exim;
plan skip_all => 'Email::MIME is not installed' if !eval { require Email::MIME };

# The pool trusts whom the machine trusts: in a view of the file system of its own, that is one authority more.
if (!$ENV{FITNUDGE_OWN_MOUNTS}) {
    plan skip_all => 'only root may mount' if $< != 0;
    plan skip_all => 'nothing can be mounted here' if system('unshare', '-m', 'mount', '--bind', '/dev/null', '/etc/ssl/certs/ca-certificates.crt') != 0;
    exec 'unshare', '-m', 'env', 'FITNUDGE_OWN_MOUNTS=1', $^X, $0 or die "unshare: $!\n";
}

binmode $_, ':encoding(UTF-8)' for map { Test::More->builder->$_ } qw(output failure_output todo_output);

my $s = FitNudge::Test::Stack->new(nginx_workers => 1)->prepare;
my $dir = $s->dir;
my %port = map { $_ => free_port('127.0.0.1') } qw(starttls tls);

sub openssl (@args) { run_quiet("$dir/log/openssl.log", 'openssl', @args) }

subtest 'a mail server' => sub {
    my @key = qw(-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2);
    openssl(qw(req -x509), @key, '-subj', '/CN=Test authority', '-keyout', "$dir/ca.key", '-out', "$dir/ca.crt");
    openssl(qw(req -x509), @key, qw(-subj /CN=mail.test -addext subjectAltName=IP:127.0.0.1 -addext), q{basicConstraints=critical,CA:FALSE}, '-CA', "$dir/ca.crt", '-CAkey', "$dir/ca.key",
        '-keyout', "$dir/mail.key", '-out', "$dir/mail.crt");
    run(qw(mount --bind), "$dir/ca.crt", '/etc/ssl/certs/ca-certificates.crt');

    my ($uid, $gid) = $s->_account;
    my ($user, $group) = (scalar getpwuid $uid, scalar getgrgid $gid);
    mkdir $_ and chown $uid, $gid, $_ for "$dir/mail", "$dir/mail/box";
    chown $uid, $gid, "$dir/mail.key";
    chmod 0600, "$dir/mail.key";
    spew("$dir/exim.conf", <<"END", 0644);
exim_user = $user
exim_group = $group
spool_directory = $dir/mail
log_file_path = $dir/mail/%slog
pid_file_path = $dir/mail/pid
keep_environment =
disable_ipv6
local_interfaces = 127.0.0.1
smtp_accept_max = 200
daemon_smtp_ports = $port{starttls} : $port{tls}
tls_on_connect_ports = $port{tls}
tls_advertise_hosts = *
tls_certificate = $dir/mail.crt
tls_privatekey = $dir/mail.key
primary_hostname = mail.test
host_lookup =
deliver_drop_privilege
message_logs = false
acl_smtp_mail = ours
acl_smtp_rcpt = whom
acl_smtp_data = what

begin acl
ours:
  deny message = encryption first
       !encrypted = *
  deny message = authentication first
       !authenticated = *
  accept
whom:
  deny message = no such user
       local_parts = nobody
  defer message = greylisted
       local_parts = later
  accept
what:
  deny message = mistake in a header
       !verify = header_syntax
  accept

begin routers
everybody:
  driver = accept
  transport = box

begin transports
box:
  driver = appendfile
  directory = $dir/mail/box
  maildir_format
  envelope_to_add

begin authenticators
plain:
  driver = plaintext
  public_name = PLAIN
  server_prompts = :
  server_advertise_condition = \${if def:tls_in_cipher}
  server_condition = \${if and {{eq {\$auth2}{user\@fitnudge.example}}{eq {\$auth3}{test-key}}}}
  server_set_id = \$auth2
END
    $s->spawn('exim', { log => 'exim.log', death => 'TERM', service => 1 }, $exim, '-C', "$dir/exim.conf", '-bdf', '-q1h');
    for my $port (values %port) {
        $s->_await('exim', 20, sub { IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $port, Timeout => 1) }, 'exim.log');
    }
    pass('runs');
};

$s->{env}{$_} = 'test-key' for qw(KEY);
my $services = FitNudge::Test::Services->new(stack => $s);
sub conf ($tls, %o) {
    my $key = $o{key} // 'KEY';
    return <<"END";
smtp_host 127.0.0.1; smtp_port $port{$tls}; smtp_tls $tls; smtp_username user\@fitnudge.example; smtp_password env:$key; smtp_from coach\@fitnudge.example; smtp_from_name "Fit\x{c3}\x{bc}dge";
mail_templates ${\ $s->root}/conf/templates/mail; mail_link_url https://api.fitnudge.example;
END
}
$s->{pool} = conf('starttls');
$s->start;
my $u = new_user($s);

# What has been delivered: envelope recipient => [Email::MIME...]
sub delivered () {
    my %got;
    for my $file (glob "$dir/mail/box/new/*") {
        my $mail = Email::MIME->new(slurp($file));
        push @{ $got{ $mail->header('Envelope-to') } }, $mail;
    }
    return \%got;
}

my %vars = (
    verification => { verification_code => '123456', expires_minutes => 15 },
    password_reset => { reset_url => 'https://fitnudge.app/reset?t=abc', expires_hours => 1 },
    welcome => { app_download_url => 'https://fitnudge.app/download' },
    payment_receipt => { amount => "\x{20ac}9.99", plan_name => 'Pro', period_start => '2026-01-01', period_end => '2026-02-01', payment_method => 'Visa 4242',
        invoice_url => 'https://fitnudge.app/i/1', next_billing_date => '2026-02-01' },
    payment_failed => { amount => "\x{20ac}9.99", plan_name => 'Pro', update_url => 'https://fitnudge.app/pay' },
    weekly_summary => { week_start => '2026-01-05', week_end => '2026-01-11', checkins => 1, streak => 3, completion_rate => 80, app_url => 'https://fitnudge.app/' },
    data_export => { export_url => 'https://fitnudge.app/export/1', expires_hours => 24 },
    account_deleted => {},
    beta_build => { build_version => '1.2', build_url => 'https://fitnudge.app/beta' },
);
my %stoppable = map { $_ => 1 } qw(welcome weekly_summary beta_build);
my $name = "Zo\x{eb} <Z> & \x{4e2d}\x{6587}";

subtest 'every template in every language' => sub {
    my %id;
    for my $language (qw(de en es fr)) {
        for my $template (sort keys %vars) {
            my $to = "$template.$language\@example.com";
            $id{$to} = $services->follow('mail.send', $u->{id}, { template => $template, to => $to, name => $name, language => $language, vars => $vars{$template} });
        }
    }
    is(scalar keys %id, 36, 'mails are written');
    is_deeply([grep { $services->outcome($id{$_})->{status} ne 'sent' } sort keys %id], [], 'and handed over') or diag($s->pool_log);
    my $got;
    # one came of signing up
    ok(poll(60, sub { $got = delivered(); delete @$got{grep { !$id{$_} } keys %$got}; keys %$got >= 36 }), 'the server has delivered them') or diag(path("$dir/mail/mainlog")->slurp);
    is_deeply([map { scalar @$_ } values %$got], [(1) x 36], 'each once');
    mail_ok($got->{$_}[0], $id{$_}, $_ =~ /^(\w+)\.(\w+)@/) for sort keys %id;
    spew("$ENV{FITNUDGE_MAIL_HTML}/$_.html", html($got->{$_}[0]), 0644) for $ENV{FITNUDGE_MAIL_HTML} ? sort keys %$got : ();
};

sub text ($part) { decode('UTF-8', $part->body, Encode::FB_CROAK) }
sub html ($mail) { ($mail->subparts)[1]->body }

sub mail_ok ($mail, $id, $template, $language) {
    subtest "$template in $language" => sub {
        is($mail->header('Message-ID'), "<$id\@fitnudge.example>", 'Message-ID');
        like($mail->header('Received'), qr/with esmtpsa .*TLS1\.[23]/s, 'encrypted, signed in');
        is($mail->header('From'), qq(Fit\x{fc}dge <coach\@fitnudge.example>), 'From');
        like($mail->header('To'), qr/^"?\Q$name\E"? <\Q$template.$language\E\@example\.com>$/, 'To');
        is($mail->header('Content-Language'), $language, 'Content-Language');
        like($mail->header('Subject'), qr/\S/, 'Subject');
        unlike($mail->header('Subject'), qr/\{\{|=\?/, 'is filled in and decoded');
        like($mail->content_type, qr{^multipart/alternative;}, 'multipart/alternative');

        my @part = $mail->subparts;
        is_deeply([map { $_->content_type =~ m{^(\w+/\w+); *charset="?([\w-]+)}i ? "$1 \L$2" : $_->content_type } @part], ['text/plain utf-8', 'text/html utf-8'], 'text, then HTML');
        my ($text, $html) = map { text($_) } @part;
        unlike("$text$html", qr/\{\{|\}\}/, 'nothing is left to be filled in');
        like($text, qr/\Q$name\E/, 'the name in the text');
        my $dom = Mojo::DOM->new($html);
        is($dom->at('html')->attr('lang'), $language, 'the language of the HTML');
        like($dom->at('body')->all_text, qr/\Q$name\E/, 'the name in the HTML, escaped');
        for my $value (grep { !/^https:|^\d{4}-|^\d+$/ } values %{ $vars{$template} }) {
            like($text, qr/\Q$value\E/, "$value in the text");
            like($dom->all_text, qr/\Q$value\E/, 'and in the HTML');
        }
        is(scalar(my @url = grep { m{^https://fitnudge\.app/} } values %{ $vars{$template} }), $dom->find('a[style*=inline-block]')->size, 'its links are buttons');

        my $stop = $mail->header('List-Unsubscribe');
        is(defined $stop ? 1 : 0, $stoppable{$template} // 0, 'List-Unsubscribe');
        return if !defined $stop;
        like($stop, qr{^<https://api\.fitnudge\.example/api/v1/e/\S+>$}, 'an address');
        is($mail->header('List-Unsubscribe-Post'), 'List-Unsubscribe=One-Click', 'List-Unsubscribe-Post');
    };
}

# A job without what others need
sub letter ($to) { return { template => 'welcome', to => $to, name => 'Ann', language => 'en', vars => $vars{welcome} } }

subtest 'what the server refuses' => sub {
    is($services->outcome($services->follow('mail.send', $u->{id}, letter('nobody@example.com')))->{status}, 'failed', 'nobody there');
    my $id = $services->follow('mail.send', $u->{id}, letter('later@example.com'));
    my @later;
    ok(poll(20, sub { @later = grep { /\Aw1 $id / } $s->redis(ZRANGE => '{fn}:z:net', 0, -1); @later }), 'greylisted: later');
    $s->redis(DEL => '{fn}:z:net');
};

sub restart_pool ($conf) {
    $s->stop_process('pool', 'TERM', 35);
    $s->{pool} = $conf;
    $s->start_pool;
}

subtest 'TLS from the start' => sub {
    restart_pool(conf('tls'));
    my $id = $services->follow('mail.send', $u->{id}, letter('tls@example.com'));
    is($services->outcome($id)->{status}, 'sent', 'sent') or diag($s->pool_log);
    my $mail;
    ok(poll(20, sub { $mail = delivered()->{'tls@example.com'} }), 'delivered');
    like($mail->[0]->header('Received'), qr/with esmtpsa/, 'encrypted, signed in') if $mail;

    # the same once more, as after a process died in between
    $s->psql('-c', "DELETE FROM inbox WHERE job_id = '$id'", '-c', "DELETE FROM mails WHERE id = '$id'");
    $services->follow('mail.send', $u->{id}, letter('tls@example.com'), $id);
    ok(poll(30, sub { $mail = delivered()->{'tls@example.com'}; @$mail == 2 }), 'a second delivery');
    is($mail->[0]->header('Message-ID'), $mail->[1]->header('Message-ID'), 'has the same Message-ID');
};

subtest 'a wrong password' => sub {
    $s->{env}{WRONG} = 'not-the-key';
    restart_pool(conf('starttls', key => 'WRONG'));
    my $id = $services->follow('mail.send', $u->{id}, letter('wrong@example.com'));
    ok(poll(30, sub { grep { /\Q$id\E/ } $s->redis(ZRANGE => '{fn}:dead:net', 0, -1) }), 'kept until somebody mends it');
    like($s->pool_log, qr/"an operator is needed"[^\n]*smtp/i, 'an operator is told');
};

subtest 'a certificate that nobody has signed' => sub {
    run('umount', '/etc/ssl/certs/ca-certificates.crt');
    restart_pool(conf('starttls'));
    my $id = $services->follow('mail.send', $u->{id}, letter('secret@example.com'));
    ok(poll(30, sub { grep { /\Aw1 $id / } $s->redis(ZRANGE => '{fn}:z:net', 0, -1) }), 'later');
    like($s->pool_log, qr/"provider failed"[^\n]*"smtp"[^\n]*SSL/, 'the log says why');
    ok(!delivered()->{'secret@example.com'}, 'nothing was sent');
};

$s->assert_clean(qr/provider (?:failed|refused)|an operator is needed/);

# Exim's processes for connections and deliveries end a little later, and write until then
$s->stop_process('pool', 'TERM', 35);
my $group = $s->pid('exim');
$s->stop_process('exim', 'TERM', 10);
poll(20, sub { !kill 0, -$group });
done_testing;
