package Snow::Record;
# The record beside an image (IMAGE.lease): who has it open. It is read and changed only under a lock on this file, and has a number
# that grows with each change. Two slots of 512 bytes are written in turns, so that a write that broke off leaves the one before.
# Format: docs/internals/image-lease.md.
use strict;
use Snow::Linux qw(O_RDONLY O_RDWR O_EXCL O_DIRECT O_SYNC F_GETFL F_SETFL LOCK_EX LOCK_NB ENOENT EINVAL ENOLCK EOPNOTSUPP);

my $SLOT = 512;
my @FIELDS = qw(gen state server boot domain disk kind lock to toboot claim since self);
my @CRC = map { my $crc = $_; $crc = $crc & 1 ? ($crc >> 1) ^ 0xEDB88320 : $crc >> 1 for 1 .. 4; $crc } 0 .. 15;    # of four bits
my %STATES = map { $_ => 1 } qw(free held offered tentative);

sub path { return "$_[0].lease" }

sub checksum {
    my ($text) = @_;
    my $crc = 0xFFFFFFFF;
    for my $byte (unpack 'C*', $text) {
        $crc ^= $byte;
        $crc = ($crc >> 4) ^ $CRC[$crc & 15] for 1, 2;
    }
    return sprintf '%08x', $crc ^ 0xFFFFFFFF;
}

sub render {
    my ($record) = @_;
    my $text = join ' ', 'snow-lease', 1, map { "$_=" . ($record->{$_} // '') } @FIELDS;
    die "a value of the record has a space: $text\n" if grep { ($record->{$_} // '') =~ /[\s=]/ } @FIELDS;
    my $line = "$text sum=" . checksum($text);
    die "the record is too long: $line\n" if length $line >= $SLOT;
    return $line . (' ' x ($SLOT - 1 - length $line)) . "\n";
}

sub parse {
    my ($slot) = @_;
    my ($text, $sum) = $slot =~ /\A(snow-lease 1 .*?) sum=([0-9a-f]{8}) *\n\z/s or return;
    return unless checksum($text) eq $sum;
    my %record = map { /\A([a-z]+)=(.*)\z/s ? ($1 => $2) : () } split ' ', $text;
    return unless ($record{gen} // '') =~ /\A\d+\z/ && $STATES{ $record{state} // '' };
    return \%record;
}

# The valid slot with the larger number; nothing if there is none, or if one is of another version: that may be the newer one.
# `text` is the whole file.
sub newest {
    my ($text) = @_;
    return if $text =~ /^snow-lease (?!1 )/m;
    my @valid = grep { defined } map { parse(substr $text, $_ * $SLOT, $SLOT) } grep { length $text >= ($_ + 1) * $SLOT } 0, 1;
    my ($best) = sort { $b->{gen} <=> $a->{gen} } @valid;
    return $best;
}

# Whether there is a record. An NFS client goes on saying for up to a minute that a file is not there; once it has made another one
# in that folder itself, it asks anew (Linux fs/nfs/dir.c, nfs_neg_need_reval).
sub exists {
    my ($image) = @_;
    return 1 if -e path($image);
    storage_time($image);
    return -e path($image) ? 1 : 0;
}

# The file is open with O_SYNC: a write that came back is on the storage (open(2)).
sub _write_slot {
    my ($file, $path, $slot, $line) = @_;
    my $done = ((-s $file) >= 2 * $SLOT || truncate $file, 2 * $SLOT)
        && defined sysseek($file, $slot * $SLOT, 0) && (syswrite($file, $line) // 0) == $SLOT;
    die "$path cannot be written: $!\n" unless $done;
    return;
}

# Call `work` with the record and a function that writes a new one, under the lock. Dies where the record is missing, cannot be
# read, or is not the file that it says it is (one that was put there from a backup is no licence to attach).
sub with {
    my ($image, $limit, $work, %how) = @_;
    my $path = path($image);
    my $file = _open_locked($image, $limit);
    my $record = _read($file, $image, %how);
    my $slot = $record->{gen} % 2;
    my $write = sub {
        my (%change) = @_;
        my %next = (%$record, %change, gen => $record->{gen} + 1, since => Snow::Common::now(), self => (stat $file)[1]);
        _write_slot($file, $path, $slot, render(\%next));
        $slot = 1 - $slot;
        $record = \%next;
        return $record;
    };
    my @answer = $work->($record, $write);
    close $file;
    return wantarray ? @answer : $answer[0];
}

# The record, for whoever only looks: without the lock, which a server that is lost while it has it keeps until its NFS lease ends.
# What is read is whole (each slot has a checksum), and may be older than what is being written.
sub read_only {
    my ($image) = @_;
    return _read(_open_there($image, O_RDONLY), $image);
}

sub _open_there {
    my ($image, $flags) = @_;
    my $path = path($image);
    my $file = _open($path, $flags);
    $file = _open($path, $flags) if !$file && $! == ENOENT && Snow::Record::exists($image);
    return $file // die $! == ENOENT
        ? "there is no record of who has $image open ($path) - if it is attached on no server: snow-lease new $image\n"
        : "$path cannot be opened: $!\n";
}

# The file may be replaced while its lock is waited for: what is locked must be what the next one opens.
sub _open_locked {
    my ($image, $limit) = @_;
    my $path = path($image);
    my $end = Snow::Common::uptime() + $limit;
    while (1) {
        my $file = _open_there($image, O_RDWR | O_SYNC);
        until (flock $file, LOCK_EX | LOCK_NB) {
            last if $! == ENOLCK || $! == EOPNOTSUPP;    # storage without locks: the record alone is what is left
            die "$path is locked by another server for $limit s: one that was lost may hold it until its NFS lease ends\n"
                if Snow::Common::uptime() >= $end;
            Snow::Common::pause(0.1);
        }
        return $file if (stat $file)[1] eq ((stat $path)[1] // '');
        die "$path is replaced again and again\n" if Snow::Common::uptime() >= $end;
        Snow::Common::pause(0.1);
    }
    return;
}

sub _read {
    my ($file, $image, %how) = @_;
    my $path = path($image);
    my $text = '';
    sysseek $file, 0, 0;
    my $got = 1;
    while ($got) { $got = sysread($file, $text, 4096, length $text) // die "$path cannot be read: $!\n" }
    my $record = newest($text);
    my @stat = stat $file;
    if (!$record) {
        die "$path cannot be read: it is no record of a lease - if $image is attached on no server: snow-lease break $image\n"
            unless $how{broken};
        $record = { gen => 0, state => 'free', server => '?' };
    }
    die "$path was replaced, perhaps from a backup: it cannot tell which server has the image open"
        . " - if it is attached on no server: snow-lease break $image\n"
        if !$how{broken} && ($record->{self} // '') ne $stat[1];
    # a file that is put back with its old time (cp -p, rsync -a) was changed now all the same
    $record->{changed} = $stat[9] > $stat[10] ? $stat[9] : $stat[10];
    return $record;
}

# An NFS 4.1 client asks for no delegation of a file that it opens with O_DIRECT (Linux fs/nfs/nfs4proc.c). Had a server that was lost one
# of the record, nobody else could open it before its NFS lease ends, 90 s later. It is read and written without the flag.
sub _open {
    my ($path, $flags) = @_;
    my $file;
    if (sysopen $file, $path, $flags | O_DIRECT, 0600) {
        my $now = fcntl $file, F_GETFL, 0;
        fcntl $file, F_SETFL, $now & ~O_DIRECT or die "$path: $!\n";
        return $file;
    }
    return unless $! == EINVAL;    # a file system without it
    return sysopen($file, $path, $flags & ~O_EXCL, 0600) ? $file : undef;
}

# Try to take the lock that is a lease, for an open image: yes, none (the storage has no locks), or pending (somebody has it).
sub lock_image {
    my ($file) = @_;
    return 'yes' if flock $file, LOCK_EX | LOCK_NB;
    return $! == ENOLCK || $! == EOPNOTSUPP ? 'none' : 'pending';
}

# Open an image, or another file that a lease is about; nothing if that fails ($!). No server may hold a delegation of it, either.
sub open_image { return _open(@_) }
