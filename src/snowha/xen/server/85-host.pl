package Snow::Host;
# What this server runs, as the hypervisor says, and as its kernel shows where xl(1) cannot be asked.
use strict;

my $BACKENDS = '/sys/bus/xen-backend/devices';
my $LOGS = $ENV{SNOW_XEN_LOGS} // '';    # where xl's logs are looked for: anywhere, since /var/log may be a link

# Every domain: name, id, memory (MiB), state (xl's letters; of one that has shut down the fifth says why: "-rscwS" or "?", Xen
# tools/xl/xl_info.c). Nothing, and why, if the hypervisor was not asked or did not answer.
sub domains {
    my ($limit) = @_;
    my ($text, $code, $why) = Snow::Common::run($limit, 'xl', 'list');
    return (undef, $why || (split /\n/, $text)[-1] || "xl list ended with $code") if $code;
    return (undef, 'xl list did not list dom0') unless $text =~ /^Name\s+ID\s.*^Domain-0\s/ms;
    my @rows;
    for my $line (split /\n/, $text) {
        push @rows, { name => $1, id => $2, memory => $3, state => $4 }
            if $line =~ /\A(\S.*?)\s+(\d+)\s+(\d+)\s+\d+\s+(\S{6})\s+[\d.]+\s*\z/ && $2 ne '0';
    }
    return (\@rows, undef);
}

# xl takes a domain's path out of xenstore when its devices are released: asking xl itself again and again takes from the domain.
sub wait_until_gone {
    my ($domid, $limit) = @_;
    my $until = Snow::Common::uptime() + $limit;
    my $xenstore = eval { Snow::Xenstore->connect(5) };
    while (Snow::Common::uptime() < $until) {
        return if $xenstore && !defined eval { $xenstore->read("/local/domain/$domid") };
        Snow::Common::pause(0.25);
    }
    return;
}

# Processes of xl that create a domain, or wait for its end and then create the next one of a domain that rebooted (2 s after the last
# one has gone): called with its config, or, as those are that it arrived by, known by the log that xl writes into (Xen tools/xl,
# do_daemonize; libxl_create_logfile renames an older one).
sub processes_of {
    my ($name, $config) = @_;
    my @found;
    for my $pid (grep { /\A\d/ } Snow::Common::names('/proc')) {
        my @words = split /\0/, Snow::Common::read_file("/proc/$pid/cmdline") // '';
        next unless @words > 1 && $words[0] =~ m{(?:\A|/)xl\z};
        my $log = readlink("/proc/$pid/fd/1") // '';
        push @found, $pid if (grep { $_ eq $config } @words) || $log =~ m{\A\Q$LOGS\E(?:/.*)?/xl-\Q$name\E(?:--incoming)?\.log(?:\.\d+)?\z};
    }
    return @found;
}

# The files behind a block device: through device-mapper to what its loop devices have open.
sub files_behind {
    my ($number) = @_;
    my $folder = "/sys/dev/block/$number";
    my $file = Snow::Common::read_file("$folder/loop/backing_file");
    return ($file) if defined $file;
    return map { files_behind(Snow::Common::read_file("$folder/slaves/$_/dev") // '') } Snow::Common::names("$folder/slaves");
}

# Files that a domain has open through this server's block backends: file => domain id (Linux drivers/block/xen-blkback).
sub files_of_backends {
    my %found;
    for my $backend (backends()) {
        $found{$_} = $backend->{domid} for files_behind($backend->{number});
    }
    return \%found;
}

# This server's block backends that have a device: id (of the domain and of its disk), domid, number (major:minor).
sub backends {
    my @found;
    for my $name (Snow::Common::names($BACKENDS)) {
        my ($id, $domid) = $name =~ /\Avbd-((\d+)-\d+)\z/ or next;
        my $number = Snow::Common::read_file("$BACKENDS/$name/physical_device") // next;
        my ($major, $minor) = map { hex } $number =~ /\A([0-9a-f]+):([0-9a-f]+)\z/ or next;
        push @found, { id => $id, domid => $domid, number => "$major:$minor" };
    }
    return @found;
}

# The images that a domain's config names to write to, and the domain's name: what is only read (a CD, an image of several domains)
# may be another's as well. Read by another process: the config is on storage that may be gone.
sub config {
    my ($path) = @_;
    my ($text, $why) = Snow::Common::guarded(10, sub { Snow::Common::read_file($path) // die "$path cannot be read: $!\n" });
    return (undef, $why) unless defined $text;
    my $string = qr/"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*'/;
    $text =~ s/($string)|#[^\n]*/$1 \/\/ ''/ge;
    my ($name, @disks);
    while ($text =~ /(?:^|;)[ \t]*(?:name[ \t]*=[ \t]*($string)|disk[ \t]*(\+?)=[ \t]*\[((?:[^\]"']|$string)*)\])/mg) {
        if (defined $1) {
            $name = substr $1, 1, -1;
        } else {
            my ($adds, $list) = ($2, $3);
            @disks = () unless $adds;
            push @disks, map { substr $_, 1, -1 } $list =~ /$string/g;
        }
    }
    my @written = grep { !/(?:\A|,)\s*(?:(?:access=)?ro?|(?:devtype=)?cdrom)\s*(?:,|\z)|:cdrom\s*(?:,|\z)/ } @disks;
    my @images = map { m{(?:\A|,)\s*target=(/.*)\z}s || m{(?:\A|[,:])\s*(/[^,]+)} ? Snow::Common::plain($1) : () } @written;
    return ({ name => $name, images => \@images }, undef);
}
