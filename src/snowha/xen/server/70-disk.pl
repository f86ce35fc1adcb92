package Snow::Disk;
# A disk of a domain on this server: its image leased and attached, handed over in a live migration, given back. What is attached is
# noted in /run/snow-lease/disks/DOMID-DEVID; what stands there is gone with the server's boot, as the devices are.
use strict;
use Fcntl qw(:DEFAULT :flock);

our ($MIGRATION_S, $RESTART_S) = (25, 3);    # seconds to wait for a lease: of libxl's 40 s for a script something must be left

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

# Who on this server has an image attached: a domain of ours, or a loop device that somebody else made. Of disks for which `but` is
# true nothing is said.
sub attached {
    my ($image, $but) = @_;
    my %passed_over;
    for my $disk (all_noted()) {
        next unless $disk->{image} eq $image && is_there($disk);
        return $disk->{domain} unless $but && $but->($disk);
        $passed_over{ $disk->{loop} } = 1;
    }
    my $loops = Snow::Loop::all();
    for my $loop (sort keys %$loops) {
        return "/dev/$loop" if $loops->{$loop} eq $image && !$passed_over{$loop};
    }
    return;
}

# The copy of this server that has the image by its record, if its process has not ended: what it has copied already it does not lock.
sub copy_of {
    my ($record) = @_;
    my ($pid, $start) = _copy($record) or return;
    return defined $pid && (Snow::Common::started($pid) // '') eq $start ? "a copy (process $pid)" : undef;
}

# The same, for whoever has none of its files open: of a record by an older program, which names no process, the lock tells.
sub copy_or_lock {
    my ($record, $image) = @_;
    my ($pid) = _copy($record) or return;
    return copy_of($record) if defined $pid;
    return (grep { is_locked($_) } $image, "$image.partial") ? 'a copy' : undef;
}

# Number and start of the process, if the record is one of a copy in this boot of this server; nothing else.
sub _copy {
    my ($record) = @_;
    my $me = me();
    return unless $record->{state} eq 'held' && $record->{kind} eq 'copy';
    return unless $record->{server} eq $me->{server} && $record->{boot} eq $me->{boot};
    return $record->{disk} =~ /\Acopy-(\d+)\.(\d+)\z/ ? ($1, $2) : (undef, undef);
}

# The word in a record for the process that called this program.
sub calling_copy {
    my $pid = getppid;
    return "copy-$pid." . (Snow::Common::started($pid) // 0);
}

# Whether this server has a file locked for writing (proc(5), /proc/locks: the numbers of its device and its inode).
sub is_locked_here {
    my ($path) = @_;
    my ($device, $inode) = (stat $path)[0, 1];
    return 0 unless defined $inode;
    my $number = sprintf '%02x:%02x:%s', Snow::Mapper::major_minor($device), $inode;
    return (Snow::Common::read_file('/proc/locks') // '') =~ /^\d+: FLOCK\s+\S+\s+WRITE\s+-?\d+ \Q$number\E /m ? 1 : 0;
}

# Whether somebody has a file locked for writing; nothing if that cannot be told. A shared lock is had for that moment.
sub is_locked {
    my ($path) = @_;
    my $file = Snow::Record::open_image($path, O_RDONLY) or return;
    return 0 if flock $file, LOCK_SH | LOCK_NB;
    return $!{EWOULDBLOCK} ? 1 : undef;
}

# Whether an image that is locked, and whose holder is proven to be gone, is locked by that one still: a server that was fenced loses
# its locks when its NFS lease ends. Else somebody has it of whom the record does not know, as one that was put back from a backup, or
# that is a link's: then the lock is waited for.
sub is_lock_left {
    my ($image, $record) = @_;
    return 0 if -l $image;
    return scalar grep { Snow::Evidence::was_fenced_since($_->[0], $_->[1], $record) } Snow::Evidence::others($record, me());
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

# Open an image and take its lease. The open file, and what was done: taken, inherited or tentative. Dies with who has it.
sub lease {
    my ($image, %how) = @_;
    my $me = me();
    my $writable = $how{mode} ne 'r';
    -f $image or die "no image $image\n";
    sysopen(my $file, $image, ($writable ? O_RDWR : O_RDONLY) | O_DIRECT) or die "$image cannot be opened: $!\n";
    if (!$writable) {
        flock($file, LOCK_SH | LOCK_NB) || $!{ENOLCK} || $!{EOPNOTSUPP} or die "$image is open for writing somewhere\n";
        return ($file, 'shared');
    }
    my $began = Snow::Common::uptime();
    my $patience = $how{incoming} ? $MIGRATION_S : $RESTART_S;
    while (1) {
        my ($word, $why) = Snow::Record::with(
            $image,
            10,
            sub {
                my ($record, $write) = @_;
                my ($word, $why) = Snow::Rules::decide(
                    $record, $me,
                    {
                        incoming => $how{incoming},
                        domain => $how{domain},
                        here => $how{incoming} ? undef : scalar(attached($image)) // scalar(copy_of($record)),
                        over => \&Snow::Evidence::is_known_to_be_over,
                    }
                );
                $why .= ' - ' . Snow::Rules::remedy($image, $record) if $word eq 'refuse' && $why !~ /of this server/;
                return ($word, $why) if $word eq 'wait' || $word eq 'refuse';
                my $lock = Snow::Record::lock_image($file);
                my $says = $word eq 'inherit' ? Snow::Rules::holder($record) : "nobody has it ($record->{state})";
                return ('wait', "it is locked, and its record says something else: $says")
                    if $lock eq 'pending' && !($word eq 'inherit' && is_lock_left($image, $record));
                my %claim = (kind => 'disk', lock => $lock, disk => $how{id}, domain => $how{domain});
                if ($word eq 'tentative') {
                    my $claimed = $record->{claim} || $record->{changed};
                    $write->(state => 'tentative', to => $me->{server}, toboot => $me->{boot}, disk => $how{id}, lock => $lock,
                        claim => $claimed);
                } else {
                    $write->(%claim, state => 'held', %$me, to => '', toboot => '', claim => '');
                }
                return ($word, $lock);
            }
        );
        return ($file, $word, $why) if $word ne 'wait' && $word ne 'refuse';
        die "$why\n" if $word eq 'refuse' || Snow::Common::uptime() - $began >= $patience;
        Snow::Common::pause(0.2);
    }
}

# Attach an image for a disk: its number (major, minor), the open image, and what was done to have it.
sub attach {
    my ($disk) = @_;
    my ($device, @number);
    # noted before there is anything of it: this process may be killed at any moment, and `remove` then takes away what is there
    @{$disk}{qw(loop dm holder)} = ('', "snow-$disk->{id}", '');
    note($disk);
    my ($file, $word, $lock) = eval { lease($disk->{image}, %$disk) };
    if (!$file) {
        my $why = $@;
        unlink folder() . "/$disk->{id}";
        die $why;
    }
    my $done = eval {
        ($device, $disk->{loop}) = Snow::Loop::configure($file, $disk->{image}, $disk->{mode} ne 'r');
        note($disk);
        @number = Snow::Mapper::create($disk->{dm}, $disk->{loop}, $disk->{mode} ne 'r');
        Snow::Mapper::freeze($disk->{dm}) if $word eq 'tentative';
        1;
    };
    if (!$done) {
        my $why = $@;
        eval { Snow::Mapper::remove($disk->{dm}) } if @number;
        eval { release($disk) } if $disk->{mode} ne 'r';
        unlink folder() . "/$disk->{id}";
        die $why;
    }
    return ($file, $word, $lock, @number);
}

# Write into the record that this disk has the image no more.
sub release {
    my ($disk) = @_;
    my $me = me();
    return Snow::Record::with(
        $disk->{image},
        10,
        sub {
            my ($record, $write) = @_;
            my $is_source = $record->{server} eq $me->{server} && $record->{boot} eq $me->{boot};
            my $is_target = ($record->{to} // '') eq $me->{server} && ($record->{toboot} // '') eq $me->{boot};
            my $state = $record->{state};
            my %free = (state => 'free', domain => '', disk => '', lock => '', to => '', toboot => '', claim => '');
            if ($state eq 'tentative' && $is_target && $record->{disk} eq $disk->{id}) {
                # without its source nobody has it any more
                return $record->{server} eq '-' ? $write->(%free, server => '') : $write->(state => 'offered', disk => '');
            }
            # when the target wrote its own, by which it is known whether it was fenced since
            return $write->(server => '-', boot => '-', claim => $record->{changed}) if $state eq 'tentative' && $is_source;
            return $write->(%free) if $state eq 'offered' && $is_source;
            return $write->(%free) if $state eq 'held' && $is_source && $record->{disk} eq $disk->{id};
            return;
        }
    );
}

# Take a disk's devices away and give its lease back. What else has the device open keeps it; then the lease stays, too.
sub detach {
    my ($disk, $limit) = @_;
    stop_holder($disk);
    my $end = Snow::Common::uptime() + $limit;
    Snow::Mapper::cut_off($disk->{dm}) if $disk->{dm} ne '' && Snow::Mapper::is_suspended($disk->{dm});
    until (_take_away($disk)) {
        if (Snow::Common::uptime() >= $end) {
            Snow::Mapper::remove($disk->{dm}, 1) if $disk->{dm} ne '';
            die "$disk->{image} is still attached: something has " . ($disk->{dm} || $disk->{loop}) . " open\n";
        }
        Snow::Common::pause(0.1);
    }
    release($disk) if $disk->{mode} ne 'r';
    unlink folder() . "/$disk->{id}";
    return;
}

sub _take_away {
    my ($disk) = @_;
    return Snow::Mapper::remove($disk->{dm}) if $disk->{dm} ne '';
    Snow::Loop::detach($disk->{loop}) if is_there($disk);
    return !is_there($disk);
}

sub stop_holder {
    my ($disk) = @_;
    return unless holder_lives($disk);
    kill 'TERM', $disk->{holder};
    for (1 .. 100) {
        return unless holder_lives($disk);
        Snow::Common::pause(0.02);
    }
    return;
}

sub holder_lives {
    my ($disk) = @_;
    return 0 unless ($disk->{holder} // '') =~ /\A\d+\z/;
    return (Snow::Common::read_file("/proc/$disk->{holder}/cmdline") // '') =~ /\Asnow-lease: \Q$disk->{id}\E / ? 1 : 0;
}
