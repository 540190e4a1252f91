#!/usr/bin/env perl

# A small mail server on FAKE_SMTP_PORT of 127.0.0.1, without TLS: user "user", password "secret" (FAKE_SMTP_AUTH=user:secret) or no AUTH.
#
#   FAKE_SMTP_PORT=2525 perl t/fakes/smtp.pl daemon -l http://127.0.0.1:PORT
#
# GET /_fake/mails: [{"hello","from","to","auth","data"}]. It refuses lines of more than 998 characters, bytes above 127, bare LF, and recipients
# named nobody (550) and later (450). A mail to drop loses the connection after its data, and is kept all the same ("dropped" is 1).
# POST /_fake {"mode":"drop","count":1}: so do the next mails, to anybody; {"mode":"login"}: logins are refused, until {"mode":"ok"}.

use Mojolicious::Lite -signatures;
use Mojo::IOLoop;
use Mojo::Util qw(b64_decode);

my $auth = $ENV{FAKE_SMTP_AUTH} // '';
my @mails;
my %mode = (mode => 'ok', count => 0);

# one of the next mails it is to lose
sub lost ($m) { $m->{to} =~ /^drop@/ || $mode{mode} eq 'drop' && $mode{count}-- > 0 }

sub answer ($s, $line) { $s->write("$line\r\n") }

sub command ($s, $m, $line) {
    if ($m->{login}) {
        my $good = $mode{mode} ne 'login' && b64_decode($line) eq "\0" . $auth =~ s/:/\0/r;
        delete $m->{login};
        $m->{auth} = $good;
        return answer($s, $good ? '235 2.7.0 welcome' : '535 5.7.8 authentication failed');
    }
    return answer($s, "250-fake\r\n250-8BITMIME" . ($auth ? "\r\n250-AUTH PLAIN" : '') . "\r\n250 SIZE 1000000") if $line =~ /^EHLO (\S+)$/ && ($m->{hello} = $1);
    if ($line =~ /^AUTH PLAIN(?: (\S+))?$/) {
        $m->{login} = 1;
        return defined $1 ? command($s, $m, $1) : answer($s, '334 ');
    }
    return answer($s, '530 5.7.0 authentication required') if $auth && !$m->{auth} && $line =~ /^MAIL/;
    return answer($s, '250 ok') if $line =~ /^MAIL FROM:<([^<>]*)>/ && ($m->{from} = $1);
    if ($line =~ /^RCPT TO:<([^<>]*)>/) {
        $m->{to} = $1;
        return answer($s, $1 =~ /^nobody@/ ? '550 5.1.1 no such user' : $1 =~ /^later@/ ? '450 4.2.0 greylisted' : '250 ok');
    }
    if ($line eq 'DATA') {
        $m->{data} = '';
        $m->{reading} = 1;
        return answer($s, '354 go on');
    }
    return answer($s, '250 ok') if $line eq 'NOOP';
    return $s->write("221 bye\r\n" => sub ($stream) { $stream->close_gracefully }) if $line eq 'QUIT';
    answer($s, '500 what?');
}

sub data_line ($s, $m, $line) {
    if ($line ne '.') {
        $m->{bad} //= 'line' if length $line > 998;
        $m->{bad} //= 'byte' if $line =~ /[^\x20-\x7e\t]/;
        $m->{data} .= $line =~ s/^\.//r . "\r\n";
        return;
    }
    delete $m->{reading};
    if (lost($m)) {
        push @mails, {%$m, dropped => 1};
        return $s->close;
    }
    return answer($s, "554 5.6.0 $m->{bad}") if $m->{bad};
    push @mails, {%$m};
    answer($s, '250 2.0.0 queued');
}

Mojo::IOLoop->server({address => '127.0.0.1', port => $ENV{FAKE_SMTP_PORT}} => sub ($loop, $s, $id) {
    my ($buffer, %m) = ('');
    $s->write("220 fake ESMTP\r\n");
    $s->on(read => sub ($stream, $bytes) {
        $buffer .= $bytes;
        while ($buffer =~ s/^([^\n]*)\n//) {
            my $line = $1;
            $m{bad} //= 'bare LF' unless $line =~ s/\r\z//;
            $m{reading} ? data_line($stream, \%m, $line) : command($stream, \%m, $line);
        }
    });
});

app->log->level('warn');
post '/_fake' => sub ($c) {
    my $json = $c->req->json // {};
    %mode = (mode => $json->{mode} // 'ok', count => $json->{count} // 1);
    $c->render(json => {});
};
get '/_fake/mails' => sub ($c) { $c->render(json => \@mails) };
app->start;
