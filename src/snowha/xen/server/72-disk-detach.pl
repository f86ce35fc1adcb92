package Snow::Disk;
# A disk's devices taken away, and its lease given back.
use strict;

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
