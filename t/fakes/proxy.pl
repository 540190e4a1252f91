#!/usr/bin/perl
# A network between two programs that can be made to fail: proxy.pl <unix socket to listen on> <unix socket of the server>
#
#   HUP   passes everything on, also what was held back (as at the start)
#   USR1  holds everything back, and answers nothing: connections are accepted and hear nothing
#   USR2  what the server says arrives 2 s later
use Mojo::Base -strict, -signatures;
use Mojo::IOLoop;

my ($from, $to) = @ARGV;
my $mode = 'pass';
my @held;       # what is to be sent later

sub pass ($stream, $bytes, $late) {
    my $send = sub { $stream->write($bytes) if $stream->handle };
    if ($late && $mode eq 'slow') { Mojo::IOLoop->timer(2 => $send) }
    elsif ($mode eq 'hold') { push @held, $send }
    else { $send->() }
}

sub set ($new) {
    $mode = $new;
    return if $mode eq 'hold';
    $_->() for splice @held;
}

# what a signal says is done by the loop
my $wish;
$SIG{HUP} = sub { $wish = 'pass' };
$SIG{USR1} = sub { $wish = 'hold' };
$SIG{USR2} = sub { $wish = 'slow' };
Mojo::IOLoop->recurring(0.005 => sub { if (defined $wish) { my $w = $wish; undef $wish; set($w) } });

unlink $from;
Mojo::IOLoop->server({ path => $from } => sub ($loop, $client, @) {
    $client->timeout(0);
    my ($server, @early);
    $client->on(read => sub ($c, $bytes) { $server ? pass($server, $bytes, 0) : push @early, $bytes });
    my $id = Mojo::IOLoop->client({ path => $to } => sub ($l, $err, $stream) {
        return $client->close if $err;
        $server = $stream;
        $server->timeout(0);
        $server->on(read => sub ($c, $bytes) { pass($client, $bytes, 1) });
        $server->on(close => sub { $client->close });
        pass($server, $_, 0) for splice @early;
    });
    $client->on(close => sub { $server->close if $server });
});
Mojo::IOLoop->start;
