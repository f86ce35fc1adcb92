#!/usr/bin/perl -w
# Installed and kept alike on all servers by snow-ha. It needs perl-base only, which every Debian has, since Python starts too slowly
# for what runs while a domain is away.
package main;
use strict;

# libxl ends a script after 40 s (LIBXL_HOTPLUG_TIMEOUT), and nothing can end a process that waits for storage: so what may wait is
# done by another process, which stays for the disk afterwards.
our $LIMIT_S;
our $NO_ANSWER;    # why a worker that was asked gave no answer

# A domain that arrives is away while its disks are attached. A worker (81-worker.pl), which was started while its memory was still
# being sent, has compiled all that is needed: it is asked before the rest of this file is read. The exit code that it gives; nothing
# if there is no worker. The worker's socket has the number of the xl that it was started for, which calls this script itself.
sub ask_worker {
    my ($path, $backend) = @_;
    -S $path && socket(my $worker, 1, 1, 0) or return;    # AF_UNIX, SOCK_STREAM (Linux include/linux/socket.h, net.h)
    setsockopt $worker, 1, 21, pack 'l! l!', 2, 0;    # SO_SNDTIMEO (socket(7)): connect(2) waits if the workers hang
    $LIMIT_S -= 4;    # what is waited here, until there is a number
    connect $worker, pack 'S a108', 1, $path or return;    # unix(7), struct sockaddr_un
    my ($pid) = (answer_of($worker, 2) // '') =~ /\A(\d+)\z/;
    local $SIG{PIPE} = 'IGNORE';
    if ($pid && syswrite $worker, "$backend\n") {
        my $code = answer_of($worker, $LIMIT_S);
        return $code if defined $code && $code =~ /\A[01]\z/;
        kill 'KILL', $pid;
        $NO_ANSWER = defined $code ? 'the process that was to attach it ended without a word'
            : "it cannot be opened within $LIMIT_S s: does the storage answer?";
    }
    return;
}

# A line; empty if the other side has ended, nothing if it is silent for `limit` seconds.
sub answer_of {
    my ($from, $limit) = @_;
    my ($ready, $text) = ('', '');
    vec($ready, fileno $from, 1) = 1;
    while ($text !~ /\n/) {
        (select my $now = $ready, undef, undef, $limit) or return;
        sysread $from, $text, 4096, length $text or return '';
    }
    return $text =~ s/\n.*//sr;
}

BEGIN {
    $LIMIT_S = 34;
    if ($0 =~ m{/block-snow\z} && ($ARGV[0] // '') eq 'add') {
        my $code = ask_worker(($ENV{SNOW_RUN} // '/run/snow-lease') . '/workers/' . getppid, $ENV{XENBUS_PATH} // '');
        exit $code if defined $code;
    }
}
