package Snow::Migration;
# A live migration away from this server: xl(1) started, watched, and given up while that leaves the domain where it is.
# xl (4.17, 4.20) hides its progress while it sends (tools/xl/xl_migrate.c, XTL_STDIOSTREAM_HIDE_PROGRESS): what was sent is what its
# ssh has read, as the kernel counts it (proc(5), /proc/PID/io).
use strict;

# A target that loses its power ends the connection after 45 s, not when TCP gives up, some 15 min later.
my @SSH = qw(ssh -o ServerAliveInterval=15 -o ServerAliveCountMax=3 -o ControlPath=none);
my $GIVEN = 'Giving target permission to start';    # from then on the domain must not go on here

sub _path { return "$Snow::Common::RUN/migrate/$_[0].$_[1]" }

# What xl runs to reach the target (xl(1), migrate -s: what is given in place of a server is run as it is). Before the domain is away,
# processes get ready there for its disks (81-worker.pl). They end with xl, which is the shell's process, and are no children of it:
# xl warns of children that it does not know.
sub _receive {
    my ($target, $disks) = @_;
    my $count = $disks > 9 ? 9 : $disks;
    my $workers = $count ? "(snow-lease workers $count \\\$\\\$ </dev/null >/dev/null 2>&1 &); " : '';
    return qq(exec @SSH $target exec sh -c "'${workers}exec xl migrate-receive'");    # whatever shell root has there
}

# What xl said of the migration that runs, or of the last one.
sub said { return Snow::Common::read_file(_path($_[0], 'log')) // '' }

# Migrate, for up to `limit` seconds; after `patience` of them it is given up unless the target has permission to start.
# xl's exit code, -1 if it was killed; and whether it was given up.
sub migrate {
    my ($name, $target, %how) = @_;
    my ($log, $intent, $noted) = map { _path($name, $_) } qw(log to progress);
    Snow::Common::write_file($intent, "$target\n");
    Snow::Common::write_file($log, '');
    my $pid = fork // die "cannot fork: $!\n";
    if (!$pid) {
        setpgrp 0, 0;
        open STDIN, '<', '/dev/null';
        open STDOUT, '>>', $log;
        open STDERR, '>>', $log;
        $ENV{LC_ALL} = 'C';
        { local $^W = 0; exec 'xl', 'migrate', '-s', '', $name, _receive($target, $how{disks}); }
        print STDERR "xl: $!\n";
        exit 127;
    }
    my $began = Snow::Common::uptime();
    my ($code, $given_up, $look) = (-1, 0, 0);
    while (1) {
        if (waitpid($pid, 1) == $pid) {    # WNOHANG
            $code = $? & 127 ? -1 : $? >> 8;
            last;
        }
        my $now = Snow::Common::uptime();
        if ($now >= $look) {
            eval { _note($noted, $pid, $began, $target, $how{memory}) };
            $look = $now + 1;
        }
        if (!$given_up && $now - $began >= $how{patience} && index(said($name), $GIVEN) < 0) {
            # without its connection xl lets the domain go on here, in whatever phase it is; killed itself it would not
            $given_up = kill 'KILL', transports($pid);
        }
        if ($now - $began >= $how{limit}) {
            kill 'KILL', -$pid;
            Snow::Common::pause(0.1);
            waitpid $pid, 1;
            last;
        }
        Snow::Common::pause(0.2);
    }
    unlink $intent, $noted;
    return ($code, $given_up ? 1 : 0);
}

# Processes called ssh that xl started: it replaces the shell that it runs by it.
sub transports {
    my ($xl) = @_;
    return grep { defined } map { _child_of("/proc/$_/stat", $xl) } grep { /\A\d/ } Snow::Common::names('/proc');
}

sub _child_of {
    my ($path, $parent) = @_;
    my ($pid, $of) = (Snow::Common::read_file($path) // '') =~ /\A(\d+) \(ssh\) \S (\d+) / or return;
    return $of == $parent ? $pid : undef;
}

sub _note {
    my ($path, $pid, $began, $target, $memory) = @_;
    my ($ssh) = transports($pid) or return;
    my ($sent) = (Snow::Common::read_file("/proc/$ssh/io") // '') =~ /^rchar: (\d+)$/m or return;
    my $seconds = Snow::Common::uptime() - $began;
    my ($before, $at) = map { $_->{sent} // 0, $_->{seconds} // 0 } _read($path);
    my $rate = $seconds > $at ? ($sent - $before) / ($seconds - $at) : 0;
    return Snow::Common::write_file($path,
        sprintf "pid=%d\ntarget=%s\nseconds=%.1f\nsent=%d\nrate=%d\nmemory=%d\n", $pid, $target, $seconds, $sent, $rate, $memory << 20);
}

sub _read { return { map { /\A(\w+)=(.*)\z/ ? ($1 => $2) : () } split /\n/, Snow::Common::read_file($_[0]) // '' } }

# Those under way: domain, target, seconds, and bytes: sent, rate (a second, over the last second), memory of the domain.
sub under_way {
    my @found;
    for my $file (Snow::Common::names("$Snow::Common::RUN/migrate")) {
        my ($name) = $file =~ /\A(.+)\.progress\z/s or next;
        my $noted = _read(_path($name, 'progress'));
        my $pid = delete $noted->{pid} // next;
        # the agent that noted it may have been killed
        next unless (Snow::Common::read_file("/proc/$pid/cmdline") // '') =~ /xl\0migrate\0/;
        push @found, { domain => $name, %$noted };
    }
    return \@found;
}
