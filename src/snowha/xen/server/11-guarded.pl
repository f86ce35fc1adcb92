package Snow::Common;
use strict;

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
