#!/usr/bin/perl
# A web server of one sentence, for the demo: says hello and logs who asked.
use strict;
use warnings;
use IO::Socket::INET;

mkdir '/var/log/hello';
open my $log, '>>', '/var/log/hello/access' or die "log: $!";
$log->autoflush(1);
my $server = IO::Socket::INET->new(LocalPort => 8080, Listen => 5, ReuseAddr => 1) or die "listen: $!";
while (my $client = $server->accept) {
    my $request = <$client> // '';
    print {$log} $client->peerhost, ' ', $request;
    while (defined(my $line = <$client>)) { last if $line =~ /^\r?$/ }
    my $body = "hello\n";
    print {$client} "HTTP/1.0 200 OK\r\nContent-Length: ", length $body, "\r\n\r\n$body";
    close $client;
}
