package Snow::Holder;
# What the holder does when its domain is suspended on its way to another server, and for one that arrives.
use strict;
use Snow::Linux qw(LOCK_EX LOCK_NB LOCK_UN);

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
        my $changed = $xenstore->changes(5);
        my $name = $xenstore->read("$domain/name") // return 0;
        last if $name !~ /--incoming\z/;
        next if $changed || !_is_taken_back($disk);
        _give_up($disk);
        # xl on this server may have ended before it was told so: then nobody else does, and the next migration would find the name taken
        Snow::Leftovers::end({ id => $domain =~ s{.*/}{}r, name => $name });
        return 0;
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
        _give_up($disk);
        return 0;
    }
    Snow::Disk::thaw($disk);
    return 1;
}

# Whether the lease of a disk that arrives is not on its way here any more: the domain goes on where it was.
sub _is_taken_back {
    my ($disk) = @_;
    my $record = eval { Snow::Record::read_only($disk->{image}) } // return 0;
    return $record->{state} eq 'held' && $record->{server} ne Snow::Disk::me()->{server} ? 1 : 0;
}

sub _give_up {
    my ($disk) = @_;
    Snow::Common::note("$disk->{image} was taken back by its source: $disk->{domain} has no disk here");
    Snow::Disk::cut_off($disk);
    return;
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
    my $name = eval { my $xenstore = Snow::Xenstore->connect; $xenstore->watch("$domain/name"); $xenstore };
    my ($looked, $requests, $was_leaving) = (Snow::Common::uptime(), _requests($disk), 0);
    while (1) {
        my $is_leaving = _is_leaving($name, $domain, $was_leaving);
        $looked = Snow::Common::uptime() if $is_leaving && !$was_leaving;
        $was_leaving = $is_leaving;
        my $waited = Snow::Common::uptime() - $looked;
        next unless is_look_due($waited, $is_leaving, sub { my $now = _requests($disk); return $now eq '' || $now ne $requests });
        my $record = eval { Snow::Record::read_only($disk->{image}) };
        if ($record && $record->{state} eq 'held' && "$record->{server} $record->{disk}" ne "$me->{server} $disk->{id}") {
            Snow::Disk::cut_off($disk);
            return;
        }
        next if $waited < 2;
        $looked = Snow::Common::uptime();
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

# Whether it is time to ask the storage, and after 2 s the hypervisor, how the migration went. Meanwhile xl sends the last pages and the
# target starts the domain: that comes first. A domain that goes on here needs its disk only once its block backend has a request
# (`has_request`, a function); one that is `leaving` for that long has its disk on the target.
sub is_look_due {
    my ($waited, $is_leaving, $has_request) = @_;
    return $waited >= 1 ? 1 : 0 if $is_leaving;
    return 1 if $waited >= 5;
    return $waited >= 2 && $has_request->() ? 1 : 0;
}

# How many requests of the guest its block backend has seen (Linux drivers/block/xen-blkback/xenbus.c); empty if it does not say.
sub _requests {
    my ($disk) = @_;
    my $folder = "/sys/bus/xen-backend/devices/vbd-$disk->{id}/statistics";
    return join ' ', map { Snow::Common::read_file("$folder/$_") // '' } Snow::Common::names($folder);
}

# Whether xl has told the target to go, and so has taken the domain's name away here (Xen tools/xl/xl_migrate.c); or nobody can say.
# Waits a moment for a change; `was`: what was said before it.
sub _is_leaving {
    my ($xenstore, $domain, $was) = @_;
    my ($changed, $name) = eval { $xenstore->changes(0.5) ? (1, scalar $xenstore->read("$domain/name")) : 0 };
    if ($@) {
        Snow::Common::pause(0.5);
        return 1;
    }
    return $was unless $changed;
    return !defined $name || $name =~ /--migratedaway\z/ ? 1 : 0;
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
