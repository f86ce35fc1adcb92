package Snow::Record;
# New files beside an image: its first record, and one that tells the storage's time.
use strict;
use Snow::Linux qw(O_RDWR O_CREAT O_EXCL O_SYNC EEXIST);

# What the storage's clock says now: the time of a new file beside the image, or of the folder where the storage is too full for one.
# Nothing if neither can be had.
sub storage_time {
    my ($image) = @_;
    my $path = path($image) . '.now.' . Snow::Common::server() . ".$$";
    unlink $path;
    if (open my $file, '>', $path) {
        close $file;
        my $at = (stat $path)[9];
        unlink $path;
        return $at;
    }
    my ($folder) = $image =~ m{\A(.*)/}s or return;
    return utime(undef, undef, "$folder/") ? (stat "$folder/")[9] : undef;
}

# Make the first record of an image; it is free unless `fields` say more. Dies if there is one. It is written under another name and
# linked, so that a write that fails (the storage is full) or breaks off leaves nothing that would be taken for a record that is lost.
sub create {
    my ($image, %fields) = @_;
    my $path = path($image);
    my $new = "$path.new." . Snow::Common::server() . ".$$";
    unlink $new;
    my $made = eval {
        my $file = _open($new, O_RDWR | O_CREAT | O_EXCL | O_SYNC) or die "$path cannot be made: $!\n";
        my %first = (state => 'free', %fields, gen => 1, since => Snow::Common::now(), self => (stat $file)[1]);
        _write_slot($file, $path, 0, render(\%first));
        my $linked = link $new, $path;
        my $why = $! == EEXIST ? "$path is there already\n" : "$path cannot be made: $!\n";
        # of a link that NFS made, and whose answer was lost, the second try says that it is there
        die $why unless $linked || ((stat $file)[3] // 0) == 2;
        1;
    };
    my $why = $@;
    unlink $new;
    die $why unless $made;
    return;
}
