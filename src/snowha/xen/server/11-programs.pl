package Snow::Common;
# Other programs and processes, with a limit: what a disk that is attached needs none of.
use strict;

sub note {
    my ($text) = @_;
    print STDERR "$text\n";
    run(10, 'logger', '-t', 'snow-ha', '--', $text);
    return;
}

# What a program says, and its exit code. It is ended after `limit` seconds; one that cannot be ended (it waits for storage that
# does not answer) is left alone, and not waited for. The code is -1 for one that cannot be started or did not end.
sub run {
    my ($limit, @words) = @_;
    my ($text, $code) = ('', -1);
    return ('', -1, "no time is left for $words[0]") if $limit <= 0;
    pipe(my $from, my $to) or return ('', -1, "no pipe: $!");
    my $pid = fork;
    return ('', -1, "cannot fork: $!") unless defined $pid;
    if (!$pid) {
        close $from;
        setpgrp 0, 0;
        open STDIN, '<', '/dev/null';
        open STDOUT, '>&', $to;
        open STDERR, '>&', $to;
        close $to;
        $ENV{LC_ALL} = 'C';
        { local $^W = 0; exec { $words[0] } @words; }
        print STDERR "$words[0]: $!\n";
        exit 127;
    }
    setpgrp $pid, $pid;    # by whichever is first: what is ended below is the group
    close $to;
    my $end = uptime() + $limit;
    my $open = 1;
    while (1) {
        my $left = $end - uptime();
        last if $left <= 0;
        if ($open) {
            my $ready = '';
            vec($ready, fileno $from, 1) = 1;
            my $found = select $ready, undef, undef, ($left < 0.2 ? $left : 0.2);
            if ($found && $found > 0) {
                my $got = sysread $from, $text, 65536, length $text;
                $open = 0 unless $got;
            }
        }
        my $done = waitpid $pid, 1;    # WNOHANG
        if ($done == $pid) {
            $code = $? & 127 ? -1 : $? >> 8;
            # what it left in the pipe; a child of it may hold the other end for ever
            while ($open) {
                my $ready = '';
                vec($ready, fileno $from, 1) = 1;
                last unless select $ready, undef, undef, 0;
                $open = 0 unless sysread $from, $text, 65536, length $text;
            }
            return ($text, $code, $code == 127 ? $text : '');
        }
        pause(0.02) unless $open;
    }
    kill 'KILL', -$pid;
    pause(0.1);
    waitpid $pid, 1;
    return ($text, -1, "$words[0] did not end within $limit s");
}

# `work` in a process of its own, since what reads from NFS may never end. Its text, or nothing, and why.
sub guarded {
    my ($limit, $work) = @_;
    return (undef, 'no time is left to ask the storage') if $limit <= 0;
    pipe(my $from, my $to) or return (undef, "no pipe: $!");
    my $pid = fork;
    return (undef, "cannot fork: $!") unless defined $pid;
    if (!$pid) {
        close $from;
        my $text = eval { $work->() };
        my $failed = $@;
        print {$to} $failed ? "E$failed" : 'T' . ($text // '');
        close $to;
        exit 0;
    }
    close $to;
    my $text = '';
    my $end = uptime() + $limit;
    while ((my $left = $end - uptime()) > 0) {
        my $ready = '';
        vec($ready, fileno $from, 1) = 1;
        next unless select $ready, undef, undef, $left;
        next if sysread $from, $text, 65536, length $text;
        waitpid $pid, 0;
        return (substr($text, 1), undef) if $text =~ /\AT/;
        return (undef, length $text ? substr($text, 1) =~ s/\s+\z//r : 'it ended without an answer');
    }
    kill 'KILL', $pid;
    pause(0.1);
    waitpid $pid, 1;
    return (undef, "no answer within $limit s");
}
