#!/usr/bin/env perl

# A name server for TXT records, over UDP on 127.0.0.1: dns.pl PORT NAME TEXT [NAME TEXT ...]. Texts of more than 255 bytes are several
# strings of one record, and a name may have several records. Whatever else is asked for does not exist.

use strict;
use warnings;
use IO::Socket::INET;

my $port = shift // die "a port is needed\n";
my %texts;
while (@ARGV) {
    my ($name, $text) = splice @ARGV, 0, 2;
    push @{$texts{lc $name}}, $text;
}

my $socket = IO::Socket::INET->new(LocalAddr => '127.0.0.1', LocalPort => $port, Proto => 'udp') or die "cannot bind to $port: $!\n";
while (defined $socket->recv(my $query, 4096)) {
    next if length $query < 12;
    my ($id, $flags, $questions) = unpack 'n3', $query;
    my ($at, @labels) = (12);
    while (my $len = ord substr $query, $at, 1) {
        push @labels, substr $query, $at + 1, $len;
        $at += $len + 1;
    }
    my ($type) = unpack 'n', substr $query, $at + 1, 2;
    my @answers = $type == 16 ? @{$texts{lc join '.', @labels} // []} : ();

    # RFC 1035 section 4.1: the header, the question as it came, records that point back at its name
    my $reply = pack 'n6', $id, 0x8180 | (@answers ? 0 : 3), 1, scalar @answers, 0, 0;
    $reply .= substr $query, 12, $at + 5 - 12;
    for my $text (@answers) {
        my $data = join '', map { chr(length) . $_ } unpack '(a255)*', $text;
        $reply .= pack 'n n n N n', 0xc00c, 16, 1, 60, length $data;
        $reply .= $data;
    }
    $socket->send($reply);
}
