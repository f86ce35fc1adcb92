package Snow::Mapper;
# Device-mapper (Linux include/uapi/linux/dm-ioctl.h) without dmsetup(8): a domain is away while this runs. Between a domain's disk and
# its loop device stands a linear device, which can be suspended: that waits for what is under way and holds back the rest.
use strict;
use Snow::Linux qw(O_RDWR);

my %NR = (create => 3, remove => 4, suspend => 6, status => 7, load => 9);
my ($READ_ONLY, $SUSPEND, $SKIP_LOCKFS, $DEFERRED) = (1, 2, 1 << 10, 1 << 17);
my $SIZE = 312;

sub _ask {
    my ($verb, $name, %how) = @_;
    Snow::Common::run(10, 'modprobe', 'dm_mod') unless -e '/dev/mapper/control';    # nothing else here may need it
    sysopen(my $control, '/dev/mapper/control', O_RDWR) or die "/dev/mapper/control cannot be opened: $!\n";
    my $data = $how{data} // '';
    my $size = $SIZE + length($data) + 1024;
    my $head = pack 'L3 L L L l L L L Q a128 a129 a7', 4, 0, 0, $size, $SIZE, $how{targets} // 0, 0, $how{flags} // 0, 0, 0, 0, $name,
        '', '';
    my $buffer = $head . $data . ("\0" x ($size - length($head) - length $data));
    my $request = (3 << 30) | ($SIZE << 16) | (0xfd << 8) | $NR{$verb};
    return unless ioctl $control, $request, $buffer;
    my @fields = unpack 'L3 L L L l L L L Q', $buffer;
    return { open => $fields[6], flags => $fields[7], dev => $fields[10] };
}

sub _must {
    my ($verb, $name, %how) = @_;
    return _ask($verb, $name, %how) // die "device-mapper: $verb of $name: $!\n";
}

sub _target {
    my ($sectors, $type, $parameters) = @_;
    my $text = "$parameters\0";
    $text .= "\0" while (length($text) + 40) % 8;
    return pack('Q Q l L a16', 0, $sectors, 0, 40 + length $text, $type) . $text;
}

# A linear device on all of a loop device. Its number, major:minor.
sub create {
    my ($name, $loop, $writable) = @_;
    my $number = Snow::Common::read_file("/sys/block/$loop/dev");
    my $sectors = Snow::Common::read_file("/sys/block/$loop/size");
    my $made = _must('create', $name);
    my $flags = $writable ? 0 : $READ_ONLY;
    my $ok = _ask('load', $name, targets => 1, data => _target($sectors, 'linear', "$number 0"), flags => $flags)
        && _ask('suspend', $name, flags => $flags);
    if (!$ok) {
        my $why = "$!";
        _ask('remove', $name);
        die "device-mapper: a linear device on $loop: $why\n";
    }
    return major_minor($made->{dev});
}

# How dev_t is written to user space (Linux include/linux/kdev_t.h, huge_encode_dev).
sub major_minor {
    my ($dev) = @_;
    return ((($dev >> 8) & 0xfff), ($dev & 0xff) | (($dev >> 12) & 0xfff00));
}

sub status { return _ask('status', $_[0]) }
sub is_suspended { my $found = status($_[0]); return $found && $found->{flags} & $SUSPEND ? 1 : 0 }

# Waits for what is under way, holds back what comes. It waits for as long as the storage takes.
sub freeze { return _must('suspend', $_[0], flags => $SUSPEND | $SKIP_LOCKFS) }
sub thaw { return _must('suspend', $_[0]) }

# Never again to the image: whatever waits or comes fails. It can be undone by nothing but a new device.
sub cut_off {
    my ($name) = @_;
    my ($sectors) = (Snow::Common::read_file('/sys/dev/block/' . join(':', major_minor(status($name)->{dev})) . '/size') // 1);
    _must('load', $name, targets => 1, data => _target($sectors, 'error', ''));
    return thaw($name);
}

# Whether it is gone. One that is still open goes when it is closed, if `later`.
sub remove {
    my ($name, $later) = @_;
    return 1 if _ask('remove', $name) || !status($name);
    _ask('remove', $name, flags => $DEFERRED) if $later;
    return 0;
}
