package Snow::Block;
# block-snow: called by libxl with add or remove and XENBUS_PATH (xl-disk-configuration(5), script=; Xen's docs/misc/block-scripts.txt).
use strict;

sub main {
    my (@words) = @_;
    my ($backend, $id) = disk_of($ENV{XENBUS_PATH}) or die "block-snow: called without XENBUS_PATH of a disk\n";
    Snow::Common::make_run(qw(disks errors migrate));
    return _add($backend, $id) if ($words[0] // '') eq 'add';
    return _remove($backend, $id) if ($words[0] // '') eq 'remove';
    die "block-snow: called with @words\n";
}

# A disk's path in xenstore, and DOMID-DEVID; nothing if it is no disk's.
sub disk_of {
    my ($backend) = @_;
    my ($domid, $devid) = ($backend // '') =~ m{backend/vbd/(\d+)/(\d+)\z} or return;
    return ($backend, "$domid-$devid");
}

sub _add {
    my ($backend, $id) = @_;
    # that connection has ended before the fork: the process that stays would have it for as long as the domain lives
    my $disk = asked_for(Snow::Xenstore->connect, $backend, $id);
    my ($caller, $calls);    # a pipe: what waits at its first end waits until this function is done
    my $answer
        = defined $main::NO_ANSWER ? "E$main::NO_ANSWER"
        : !pipe($caller, $calls) ? "Eno pipe: $!"
        : _attached($disk, $caller, $calls);
    return answer(Snow::Xenstore->connect, $backend, $disk, $answer);
}

# What libxl hears: O and a device's number, or E and why there is none. The script's exit code.
sub answer {
    my ($xenstore, $backend, $disk, $answer) = @_;
    my ($image, $name) = @{$disk}{qw(image domain)};
    if ($answer =~ /\AO(\d+):(\d+)\z/) {
        my ($major, $minor) = ($1, $2);
        my $device = "/dev/dm-$minor";
        my $number = sprintf '%x:%x', $major, $minor;
        $xenstore->write($backend, node => $device, 'physical-device-path' => $device, 'physical-device' => $number,
            'hotplug-status' => 'connected');
        unlink "$Snow::Common::RUN/errors/$name";
        return 0;
    }
    my $why = "$image is not attached for $name: " . substr $answer, 1;
    $xenstore->write($backend, 'hotplug-error' => $why, 'hotplug-status' => 'error');
    eval { Snow::Common::write_file("$Snow::Common::RUN/errors/$name", "$why\n") } if $name =~ m{\A[^/]+\z};
    Snow::Common::note("block-snow: $why");
    return 1;
}

sub asked_for {
    my ($xenstore, $backend, $id) = @_;
    my $domain = '/local/domain/' . ($id =~ s/-.*//r);
    my ($params, $mode, $name) = map { $_ // '' } $xenstore->read("$backend/params", "$backend/mode", "$domain/name");
    my $image = Snow::Common::plain($params);
    my $incoming = $name =~ s/--incoming\z//;
    return { id => $id, image => $image, mode => $mode =~ /w/ ? 'w' : 'r', domain => $name, incoming => $incoming };
}

# Attach the disk, say so by `say`, and stay for it once `caller`, a pipe or a socket, has come to its end.
sub attach_and_stay {
    my ($disk, $say, $caller) = @_;
    my ($file, $word, $lock, @number) = eval {
        $disk->{image} =~ m{\A/} or die "an image must have an absolute path, not \"$disk->{image}\"\n";
        Snow::Disk::attach($disk);
    };
    return $say->("E$@" =~ s/\s+\z//r) if $@;
    $disk->{holder} = $disk->{mode} eq 'w' ? $$ : '';
    Snow::Disk::note($disk);
    $say->("O$number[0]:$number[1]");
    eval { Snow::Holder::stay($disk, $file, $word, $lock, $caller) if $disk->{mode} eq 'w' };
    Snow::Common::note("the holder of $disk->{image}'s lease ended: $@") if $@;
    return;
}

# By a process that stays for it: O and a device's number, or E and why there is none.
sub _attached {
    my ($disk, $caller, $calls) = @_;
    pipe(my $from, my $to) or return "Eno pipe: $!";
    my $pid = fork // return "Ecannot fork: $!";
    if (!$pid) {
        close $from;
        close $calls;
        attach_and_stay($disk, sub { print {$to} $_[0]; close $to }, $caller);
        exit 0;
    }
    close $to;
    my $text = '';
    my $end = Snow::Common::uptime() + $main::LIMIT_S;
    while ((my $left = $end - Snow::Common::uptime()) > 0) {
        my $ready = '';
        vec($ready, fileno $from, 1) = 1;
        next unless select $ready, undef, undef, $left;
        next if sysread $from, $text, 4096, length $text;
        return $text || 'Ethe process that was to attach it ended without a word';
    }
    kill 'KILL', $pid;
    return "Eit cannot be opened within $main::LIMIT_S s: does the storage answer?";
}

sub _remove {
    my ($backend, $id) = @_;
    my $disk = Snow::Disk::noted($id);
    if ($disk) {
        my (undef, $why) = Snow::Common::guarded($main::LIMIT_S, sub { Snow::Disk::detach($disk, 10); return '' });
        Snow::Common::note("block-snow: $why") if defined $why;
        return 0;
    }
    # attached by the script of before the leases, to a loop device: only if that is still this image's
    my $xenstore = Snow::Xenstore->connect;
    my ($node, $image) = map { $_ // '' } $xenstore->read("$backend/node", "$backend/params");
    my ($loop) = $node =~ m{\A/dev/(loop\d+)\z} or return 0;
    Snow::Loop::detach($loop) if (Snow::Loop::all()->{$loop} // '') eq Snow::Common::plain($image);
    return 0;
}
