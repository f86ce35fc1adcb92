package Snow::Holder;
# The process that stays for a disk that is written to. It gives the lease up when its domain was suspended for a migration and nothing
# of it can reach the storage any more, and lets the device of a domain that arrives go once that domain is the one. When it dies the
# lease stays where it is, since the loop device has it; a migration then fails, and the domain stays where it is.
use strict;
use Fcntl qw(:flock);

my $ARMED_S = 120;    # libxl waits up to 60 s for a guest to suspend

sub stay {
    my ($disk, $file, $word, $lock) = @_;
    leave_caller($file);
    $0 = "snow-lease: $disk->{id} $disk->{image}";
    my $xenstore = Snow::Xenstore->connect(3600);
    my $domain = "/local/domain/" . ($disk->{id} =~ s/-.*//r);
    if ($word eq 'tentative') {
        _wait_until_confirmed($xenstore, $domain, $disk) or return;
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

# The record changed by `work` if this disk still has the lease. True if it was.
sub _change {
    my ($disk, $work) = @_;
    my $me = Snow::Disk::me();
    return Snow::Record::with(
        $disk->{image},
        20,
        sub {
            my ($record, $write) = @_;
            my $ours = $record->{state} eq 'held' && $record->{server} eq $me->{server} && $record->{boot} eq $me->{boot};
            return $ours && $record->{disk} eq $disk->{id} ? $work->($record, $write) : 0;
        }
    );
}

# xl gives a domain that arrives its own name when its source was told to end (Xen tools/xl/xl_migrate.c), and then lets it run.
# The device is suspended until the record says that the domain is here.
sub _wait_until_confirmed {
    my ($xenstore, $domain, $disk) = @_;
    my $me = Snow::Disk::me();
    $xenstore->watch("$domain/name");
    while (1) {
        $xenstore->changes(3600);
        my $name = $xenstore->read("$domain/name") // return 0;
        last if $name !~ /--incoming\z/;
    }
    my $confirmed = 0;
    until (defined(eval {
        $confirmed = Snow::Record::with(
            $disk->{image},
            20,
            sub {
                my ($record, $write) = @_;
                return 0 unless $record->{state} eq 'tentative' && $record->{disk} eq $disk->{id} && $record->{to} eq $me->{server};
                $write->(state => 'held', %$me, kind => 'disk', domain => $disk->{domain}, to => '', toboot => '', claim => '');
                return 1;
            }
        );
    })) {
        return 0 unless defined $xenstore->read("$domain/name");    # the storage does not answer: it is waited for
        Snow::Common::pause(1);
    }
    if (!$confirmed) {
        Snow::Common::note("$disk->{image} was taken back by its source: $disk->{domain} has no disk here");
        Snow::Disk::cut_off($disk);
        return 0;
    }
    Snow::Disk::thaw($disk);
    return 1;
}

# The domain is suspended, to be migrated or saved. The lease's lock afterwards if the domain goes on here; nothing if it does not.
sub _hand_over {
    my ($disk, $file, $domain) = @_;
    my $to = Snow::Common::read_file("$Snow::Common::RUN/migrate/$disk->{domain}.to") // '';
    Snow::Disk::freeze($disk);
    my $offered = eval {
        _change($disk, sub { my ($record, $write) = @_; $write->(state => 'offered', to => $to, toboot => ''); return 1 });
    };
    Snow::Common::note("the lease of $disk->{image} cannot be handed over: $@") if $@;
    flock $file, LOCK_UN if $offered;
    my $me = Snow::Disk::me();
    my $look = Snow::Common::uptime() + 2;
    while (1) {
        Snow::Common::pause(0.3);
        my $record = eval { Snow::Record::read_only($disk->{image}) };
        if ($record && $record->{state} eq 'held' && "$record->{server} $record->{disk}" ne "$me->{server} $disk->{id}") {
            Snow::Disk::cut_off($disk);
            return;
        }
        next if Snow::Common::uptime() < $look;
        $look = Snow::Common::uptime() + 2;
        my $state = domain_state($domain =~ s{.*/}{}r);
        next unless defined $state;
        return if $state eq 'gone';
        next if $state eq 'suspended';
        my $again = eval { _take_back($disk) };
        next unless $again;    # the record cannot be reached, or is another's: the device stays frozen
        # the record is this disk's, so the domain goes on; without its lock, or a record of that, as after a server was lost
        my $lock = flock($file, LOCK_EX | LOCK_NB) ? 'yes' : 'pending';
        $lock = 'pending' unless eval { _change($disk, sub { $_[1]->(lock => $lock) }); 1 };
        Snow::Disk::thaw($disk);
        return $lock;
    }
    return;
}

# The domain runs here again: what was offered, and what a target took and cannot have used yet, is ours.
sub _take_back {
    my ($disk) = @_;
    my $me = Snow::Disk::me();
    return Snow::Record::with(
        $disk->{image},
        5,
        sub {
            my ($record, $write) = @_;
            return 0 unless $record->{server} eq $me->{server} && $record->{boot} eq $me->{boot};
            return 1 if $record->{state} eq 'held' && $record->{disk} eq $disk->{id};
            return 0 unless $record->{state} =~ /\A(?:offered|tentative)\z/;
            $write->(state => 'held', %$me, disk => $disk->{id}, lock => 'pending', to => '', toboot => '', claim => '');
            return 1;
        }
    );
}

# suspended, running or gone, as the hypervisor says; nothing if it cannot be asked.
sub domain_state {
    my ($domid) = @_;
    my ($text, $code) = Snow::Common::run(10, 'xl', 'list', '-v');
    return if $code || $text !~ /^Name\s+ID\s/m;
    for my $line (split /\n/, $text) {
        my (undef, $id, undef, undef, $state) = split ' ', $line;
        next unless defined $state && $id eq $domid;
        return $state =~ /s/ ? 'suspended' : $state =~ /d/ ? 'gone' : 'running';
    }
    return 'gone';
}
