package Snow::Record;
# The record beside an image (IMAGE.lease): who has it open. It is read and changed only under a lock on this file, and has a number
# that grows with each change. Two slots of 512 bytes are written in turns, so that a write that broke off leaves the one before.
# Format: docs/internals/image-lease.md.
use strict;
use warnings;
use Fcntl qw(:DEFAULT :flock);

my $SLOT = 512;
my @FIELDS = qw(gen state server boot domain disk kind lock to toboot claim since self);
my %STATES = map { $_ => 1 } qw(free held offered tentative);

sub path { return "$_[0].lease" }

sub checksum {
    my ($text) = @_;
    my $crc = 0xFFFFFFFF;
    for my $byte (unpack 'C*', $text) {
        $crc ^= $byte;
        $crc = $crc & 1 ? ($crc >> 1) ^ 0xEDB88320 : $crc >> 1 for 1 .. 8;
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

# What the storage's clock says now: the time of a new file beside the image. Nothing if none can be made.
sub storage_time {
    my ($image) = @_;
    my $path = path($image) . '.now.' . Snow::Common::server() . ".$$";
    unlink $path;
    open(my $file, '>', $path) or return;
    close $file;
    my $at = (stat $path)[9];
    unlink $path;
    return $at;
}

# Call `work` with the record and a function that writes a new one, under the lock. Dies where the record is missing, cannot be
# read, or is not the file that it says it is (one that was put there from a backup is no licence to attach).
sub with {
    my ($image, $limit, $work, %how) = @_;
    my $path = path($image);
    my $flags = O_RDWR | ($how{new} ? O_CREAT | O_EXCL : 0);
    Snow::Record::exists($image) unless $how{new};
    my $file = _open($path, $flags) or die $how{new} && $!{EEXIST} ? "$path is there already\n"
        : $!{ENOENT} ? "there is no record of who has $image open ($path)"
            . " - if it is attached on no server: snow-lease new $image\n"
        : "$path cannot be opened: $!\n";
    my $end = Snow::Common::uptime() + $limit;
    until (flock $file, LOCK_EX | LOCK_NB) {
        last if $!{ENOLCK} || $!{EOPNOTSUPP};    # storage without locks: the record alone is what is left
        die "$path is locked by another server for $limit s: one that was lost may hold it until its NFS lease ends\n"
            if Snow::Common::uptime() >= $end;
        Snow::Common::pause(0.1);
    }
    my $text = '';
    sysseek $file, 0, 0;
    while (my $got = sysread $file, $text, 4096, length $text) { }
    my $record = newest($text);
    if ($how{new}) {
        $record = { gen => 0, state => 'free' };
    } elsif (!$record) {
        die "$path cannot be read: it is no record of a lease - if $image is attached on no server: snow-lease break $image\n"
            unless $how{broken};
        $record = { gen => 0, state => 'free', server => '?' };
    }
    my @stat = stat $file;
    $record->{mtime} = $stat[9];
    if (!$how{new} && !$how{broken} && ($record->{self} // '') ne $stat[1]) {
        die "$path was replaced, by a backup perhaps: it does not say who has the image open now"
            . " - if it is attached on no server: snow-lease break $image\n";
    }
    my $slot = $record->{gen} % 2;
    my $write = sub {
        my (%change) = @_;
        my %next = (%$record, %change, gen => $record->{gen} + 1, since => Snow::Common::now(), self => $stat[1]);
        my $line = render(\%next);
        truncate $file, 2 * $SLOT if length $text < 2 * $SLOT;
        sysseek $file, $slot * $SLOT, 0;
        (syswrite($file, $line) // 0) == $SLOT or die "$path cannot be written: $!\n";
        fsync($file) or die "$path cannot be written: $!\n";
        $slot = 1 - $slot;
        $record = \%next;
        return $record;
    };
    my @answer = $work->($record, $write);
    close $file;
    return wantarray ? @answer : $answer[0];
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
    return unless $!{EINVAL};    # a file system without it
    return sysopen($file, $path, $flags & ~O_EXCL, 0600) ? $file : undef;
}

sub fsync {
    my ($file) = @_;
    require IO::Handle;
    return $file->sync;
}

sub read_only {
    my ($image, $limit) = @_;
    return with($image, $limit, sub { return $_[0] });
}
