package Snow::Disk;
# A disk of a domain on this server. What is attached is noted in /run/snow-lease/disks/DOMID-DEVID; what stands there is gone with the
# server's boot, as the devices are.
use strict;

sub folder { return "$Snow::Common::RUN/disks" }

# What is noted of a disk: image, domain, mode (w, r), loop, dm, holder (a process).
sub noted {
    my ($id) = @_;
    my $text = Snow::Common::read_file(folder() . "/$id") // return;
    my %disk = map { /\A(\w+)=(.*)\z/ ? ($1 => $2) : () } split /\n/, $text;
    return { %disk, id => $id };
}

sub all_noted { return grep { defined } map { noted($_) } grep { /\A\d+-\d+\z/ } Snow::Common::names(folder()) }

sub note {
    my ($disk) = @_;
    my @lines = map { "$_=" . ($disk->{$_} // '') } qw(image domain mode loop dm holder);
    die "a name has a line break\n" if grep { /\n/ } @lines;
    return Snow::Common::write_file(folder() . "/$disk->{id}", join "\n", @lines, '');
}

# A disk of before the leases has no device-mapper device: its domain has the loop device itself.
sub is_there {
    my ($disk) = @_;
    return Snow::Mapper::status($disk->{dm}) ? 1 : 0 if $disk->{dm} ne '';
    return (Snow::Loop::all()->{ $disk->{loop} } // '') eq $disk->{image} ? 1 : 0;
}

# Waits for what is under way; then nothing more reaches the storage, until `thaw`. Of a disk of before the leases only the waiting.
sub freeze {
    my ($disk) = @_;
    return Snow::Mapper::freeze($disk->{dm}) if $disk->{dm} ne '';
    my $quiet = 0;
    until ($quiet >= 3) {
        my $under_way = Snow::Common::read_file("/sys/block/$disk->{loop}/inflight") // '0 0';
        $quiet = $under_way =~ /\A\s*0\s+0\z/ ? $quiet + 1 : 0;
        Snow::Common::pause(0.05);
    }
    return 1;
}

sub thaw { return $_[0]{dm} eq '' || Snow::Mapper::thaw($_[0]{dm}) }
sub cut_off { return $_[0]{dm} eq '' || Snow::Mapper::cut_off($_[0]{dm}) }

sub me { return { server => Snow::Common::server(), boot => Snow::Common::boot() } }

sub holder_lives {
    my ($disk) = @_;
    return 0 unless ($disk->{holder} // '') =~ /\A\d+\z/;
    return (Snow::Common::read_file("/proc/$disk->{holder}/cmdline") // '') =~ /\Asnow-lease: \Q$disk->{id}\E / ? 1 : 0;
}
