package Snow::Leftovers;
# What a live migration that broke leaves: NAME--incoming on its target, NAME--migratedaway on its source. A copy of a domain is dead
# for certain once all its leases are another's: its disks are held back then, and are never let go (75-holder.pl).
use strict;

# Whether the domain with this id has disks with leases here, and each of them has gone to another one. False where it cannot be told.
sub has_lost {
    my ($domid) = @_;
    my @disks = grep { $_->{id} =~ /\A\Q$domid\E-/ && $_->{mode} eq 'w' } Snow::Disk::all_noted();
    return 0 unless @disks;
    my $me = Snow::Disk::me();
    for my $disk (@disks) {
        my ($says) = Snow::Common::guarded(
            15,
            sub {
                my $record = Snow::Record::read_only($disk->{image}, 10);
                return join ' ', map { $record->{$_} // '' } qw(state server boot disk);
            }
        );
        return 0 unless defined $says && $says =~ /\Aheld /;
        return 0 if $says eq "held $me->{server} $me->{boot} $disk->{id}";
    }
    return 1;
}

# Of the domain with this id, that it has a disk which waits for ever: it is suspended, and the process that was to let it go has ended.
sub stuck_disk {
    my ($domid) = @_;
    for my $disk (grep { $_->{id} =~ /\A\Q$domid\E-/ && $_->{mode} eq 'w' && $_->{dm} ne '' } Snow::Disk::all_noted()) {
        next if Snow::Disk::holder_lives($disk) || !eval { Snow::Mapper::is_suspended($disk->{dm}) };
        return "the disk on $disk->{image} is suspended, and the process that would resume it has ended";
    }
    return;
}

# Destroy those of the rows that have lost, and say so. True if there was one.
sub end {
    my (@rows) = @_;
    my $ended = 0;
    for my $row (grep { has_lost($_->{id}) } @rows) {
        Snow::Common::note("$row->{name}, left by a live migration, is destroyed: another server has its leases");
        Snow::Common::run(60, 'xl', 'destroy', $row->{id});
        Snow::Host::wait_until_gone($row->{id}, 5);
        $ended = 1;
    }
    return $ended;
}
