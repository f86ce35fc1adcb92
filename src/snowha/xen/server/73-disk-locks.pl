package Snow::Disk;
# Who has an image locked, and the copies that lease one.
use strict;
use Snow::Linux qw(O_RDONLY LOCK_SH LOCK_NB EAGAIN);

# The same, for whoever has none of its files open: of a record by an older program, which names no process, the lock tells.
sub copy_or_lock {
    my ($record, $image) = @_;
    my ($pid) = _copy($record) or return;
    return copy_of($record) if defined $pid;
    return (grep { is_locked($_) } $image, "$image.partial") ? 'a copy' : undef;
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
    return $! == EAGAIN ? 1 : undef;
}
