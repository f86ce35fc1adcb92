package Snow::Holder;
# The process that stays for a disk that is written to. It gives the lease up when its domain was suspended for a migration and nothing
# of it can reach the storage any more, and lets the device of a domain that arrives go once that domain is the one. When it dies the
# lease stays where it is, since the loop device has it; a migration then fails, and the domain stays where it is.
use strict;
use Snow::Linux qw(LOCK_EX LOCK_NB);

my $ARMED_S = 120;    # libxl waits up to 60 s for a guest to suspend
my $BEHIND = 10;    # its niceness while xl, which runs in the same session, lets a domain that arrives run (sched(7), autogroup)

# `caller`, if there is one, comes to its end with the process that called this one: what a domain waits for goes first.
sub stay {
    my ($disk, $file, $word, $lock, $caller) = @_;
    $0 = "snow-lease: $disk->{id} $disk->{image}";
    if ($caller) {
        sysread $caller, my $nothing, 1;
        close $caller;
    }
    leave_caller($file);
    my $xenstore = Snow::Xenstore->connect(3600);
    my $domain = "/local/domain/" . ($disk->{id} =~ s/-.*//r);
    if ($word eq 'tentative') {
        setpriority 0, 0, $BEHIND;    # of this process (Linux include/uapi/linux/resource.h)
        _wait_until_confirmed($xenstore, $domain, $disk) or return;
        setpriority 0, 0, 0;
    }
    $xenstore->watch("$domain/control/shutdown");
    $xenstore->watch('@releaseDomain');
    my ($armed, $seen, $told) = (undef, 0, 0);    # xenstore says once of each path that it is watched
    while (1) {
        my @paths = $xenstore->changes($lock eq 'pending' ? 1 : 3600);
        if ($lock eq 'pending' && flock $file, LOCK_EX | LOCK_NB) {
            # what cannot be written now is tried again: a server that was lost may have the record's own lock still
            $lock = 'yes' if eval { _change($disk, sub { $_[1]->(lock => 'yes') }); 1 };
        }
        for my $path (@paths) {
            if ($path =~ /shutdown\z/) {
                my $word = $xenstore->read($path) // '';
                $armed = $seen++ && $word =~ /\A(?:suspend)?\z/ ? Snow::Common::uptime() : undef;
                $told = $word eq 'suspend' ? 1 : $told && defined $armed;
                main::compile(__PACKAGE__) if defined $armed;    # here the guest still runs: later it is away meanwhile
                next;
            }
            next unless $path eq '@releaseDomain';
            return unless Snow::Disk::is_there($disk);
            next unless defined $armed && Snow::Common::uptime() - $armed < $ARMED_S && $lock ne 'pending';
            # The guest takes the word away when it has heard it, which may be before it is read here; and the path changes for other
            # reasons while a domain starts. Then the hypervisor is asked.
            my $suspended = $told || (domain_state($domain =~ s{.*/}{}r) // '') eq 'suspended';
            $told = 0;
            next unless $suspended;
            undef $armed;
            $lock = _hand_over($disk, $file, $domain) // return;
        }
    }
    return;
}

# Keep nothing of the caller but the open image: what xl or ssh left open would be open for as long as the domain lives, and a login
# that ends would end this process. (The module with close(2) and setsid(2) takes longer to load than all that is done here.) What Perl
# itself has open stays: whoever calls this has closed it.
sub leave_caller {
    my ($file) = @_;
    setpgrp 0, 0;
    chdir '/';
    for ([\*STDIN, '<'], [\*STDOUT, '>'], [\*STDERR, '>']) { open $_->[0], $_->[1], '/dev/null' }
    for my $descriptor (Snow::Common::names('/proc/self/fd')) {
        next if $descriptor <= 2 || $descriptor == fileno $file;
        open(my $inherited, '<&=', $descriptor) or next;
        close $inherited;
    }
    $SIG{TERM} = $SIG{INT} = 'DEFAULT';
    $SIG{HUP} = 'IGNORE';
    return;
}
