package Snow::Loop;
# Loop devices (Linux include/uapi/linux/loop.h). The lock that is a lease belongs to the open file that a device is made from, so it
# lives exactly as long as the device: losetup(8) would open the file anew.
use strict;
use Snow::Linux qw(O_RDONLY O_RDWR EBUSY);

my ($LOOP_CTL_GET_FREE, $LOOP_CONFIGURE, $LOOP_CLR_FD) = (0x4C82, 0x4C0A, 0x4C01);
my ($READ_ONLY, $AUTOCLEAR, $DIRECT_IO) = (1, 4, 16);

# A device for the open image: its handle, which keeps it while nothing else has it open, and its name. Dies with why not.
sub configure {
    my ($image, $name, $writable) = @_;
    for (1 .. 20) {
        sysopen(my $control, '/dev/loop-control', O_RDWR) or die "/dev/loop-control cannot be opened: $!\n";
        my $number = ioctl $control, $LOOP_CTL_GET_FREE, 0;
        die "no loop device is free: $!\n" unless defined $number;
        $number += 0;
        my $device;
        for (1 .. 50) {
            last if sysopen $device, "/dev/loop$number", ($writable ? O_RDWR : O_RDONLY);
            Snow::Common::pause(0.02);    # devtmpfs makes the node at once, udev may set its mode
        }
        die "/dev/loop$number cannot be opened: $!\n" unless defined fileno $device;
        my $flags = $AUTOCLEAR | $DIRECT_IO | ($writable ? 0 : $READ_ONLY);
        my $info = pack 'Q5 L4 a64 a64 a32 Q2', 0, 0, 0, 0, 0, 0, 0, 0, $flags, substr($name, -63), '', '', 0, 0;
        my $config = pack 'L2 a232 Q8', fileno $image, 0, $info, (0) x 8;
        if (ioctl $device, $LOOP_CONFIGURE, $config) {
            my $direct = Snow::Common::read_file("/sys/block/loop$number/loop/dio") // '';
            die "no direct I/O on $name: the file system does not offer it\n" if $direct ne '1';
            my $only = Snow::Common::read_file("/sys/block/loop$number/ro") // '';
            die "$name can only be read, but its disk is writable\n" if $writable && $only ne '0';
            return ($device, "loop$number");
        }
        die "LOOP_CONFIGURE of $name: $!\n" unless $! == EBUSY;    # somebody else was faster: the next free one
    }
    die "no loop device is free: other processes took each one that was\n";
}

# Every loop device of this server with the file behind it: name => path.
sub all {
    my %found;
    for my $name (grep { /\Aloop\d/ } Snow::Common::names('/sys/block')) {
        my $file = Snow::Common::read_file("/sys/block/$name/loop/backing_file") // next;
        $found{$name} = $file;
    }
    return \%found;
}

sub detach {
    my ($name) = @_;
    sysopen(my $device, "/dev/$name", O_RDONLY) or return 0;
    return ioctl($device, $LOOP_CLR_FD, 0) ? 1 : 0;
}
