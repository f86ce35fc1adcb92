package Snow::Common;
# What every part needs: small files, time, other programs with a limit, and what is said when something fails.
use strict;
use Snow::Linux qw(O_WRONLY O_CREAT O_TRUNC);

our $RUN;    # 99-main.pl has its value

sub read_file {
    my ($path) = @_;
    open(my $file, '<', $path) or return;
    local $/;
    my $text = <$file>;
    close $file;
    return unless defined $text;
    $text =~ s/\s+\z//;
    return $text;
}

# A path as the kernel shows it, without doubled slashes and `/./`: xl and configs have it as it was typed.
sub plain { return $_[0] =~ s{/(?:\.?/)+}{/}gr }

# What is in a folder, sorted; nothing if there is none. glob() would load a module first.
sub names {
    my ($folder) = @_;
    opendir(my $handle, $folder) or return;
    return sort grep { !/\A\./ } readdir $handle;
}

# Written beside and renamed, so that nobody reads half of it.
sub write_file {
    my ($path, $text) = @_;
    my $new = "$path.new.$$";
    sysopen(my $file, $new, O_WRONLY | O_CREAT | O_TRUNC, 0600) or die "cannot write $new: $!\n";
    print {$file} $text or die "cannot write $new: $!\n";
    close $file or die "cannot write $new: $!\n";
    rename $new, $path or die "cannot rename $new: $!\n";
    return;
}

sub make_run {
    for my $folder ($RUN, map { "$RUN/$_" } @_) {
        mkdir $folder, 0700 or -d $folder or die "cannot make $folder: $!\n";
    }
    return;
}

# As the cluster calls it. The host name, which may have a domain, is what is left where nobody has written that down.
sub server {
    my $name = $ENV{SNOW_SERVER} // read_file('/etc/snow-ha/server') // read_file('/proc/sys/kernel/hostname') // '';
    $name =~ s/\..*//s;
    return $name ne '' ? $name : die "this server has no name\n";
}

sub boot { return $ENV{SNOW_BOOT} // read_file('/proc/sys/kernel/random/boot_id') // die "this server has no boot id\n" }

# Seconds since this server booted: no clock that somebody sets (proc(5)).
sub uptime { return (split ' ', read_file('/proc/uptime'))[0] }

# When a process of this server was started, in clock ticks since the boot (proc(5), stat): with its number, it is no other one.
# Nothing if there is none.
sub started {
    my ($pid) = @_;
    my $stat = read_file("/proc/$pid/stat") // return;
    return (split ' ', $stat =~ s/\A.*\) //sr)[19];
}

sub pause { select undef, undef, undef, $_[0]; return }

sub now {
    my @t = gmtime;
    return sprintf '%04d-%02d-%02dT%02d:%02d:%02dZ', $t[5] + 1900, $t[4] + 1, @t[3, 2, 1, 0];
}

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
