package Snow::Agent;
use strict;

our ($OK, $ERROR, $LOOK_S, $REBOOT_S, $name, $config);    # 90-agent.pl has their values

sub _stop {
    my (%asked, %ended, $patience, $rows, $why);
    my $destroy_at = Snow::Common::uptime() + _left() * 2 / 3;
    while (1) {
        # before it is asked what is there: one that creates it may end then
        my @xl = grep { !$ended{$_} } Snow::Host::processes_of($name, $config);
        ($rows, $why) = _look();
        if (!$rows) {
            return _fail($ERROR, "it is unknown whether $name runs here, so it is not stopped: $why") if _left() <= 2;
            Snow::Common::pause(2);
            next;
        }
        my $found = _found($rows);
        if (!%$found) {
            last unless @xl;
            # xl may be about to create it, and is ended if that takes long; one that was ended does nothing more
            $patience //= Snow::Common::uptime() + ($REBOOT_S < _left() / 3 ? $REBOOT_S : _left() / 3);
            $ended{$_} = kill 'KILL', $_ for Snow::Common::uptime() >= $patience ? @xl : ();
            Snow::Common::pause(0.25);
            next;
        }
        return _fail($ERROR, join(' and ', map { "$_->{name} (state $_->{state})" } values %$found) . ' does not go away')
            if _left() <= 2;
        my $here = $found->{here};
        # a domain that runs is asked; one that is paused or crashed, and half of a migration, cannot hear it
        if ($here && $here->{state} !~ /[pscd]/ && Snow::Common::uptime() < $destroy_at) {
            $asked{ $here->{id} } ||= do { Snow::Common::run($LOOK_S, 'xl', 'shutdown', $here->{id}); 1 };
            Snow::Host::wait_until_gone($here->{id}, 5);
        } elsif ($here && $here->{state} =~ /[sd]/ && $asked{ $here->{id} } && Snow::Common::uptime() < $destroy_at) {
            Snow::Host::wait_until_gone($here->{id}, 2);
        } else {
            for my $row (values %$found) {
                Snow::Common::run(_left() > 60 ? 60 : _left(), 'xl', 'destroy', $row->{id});
                Snow::Host::wait_until_gone($row->{id}, 5);
            }
        }
    }
    return _give_back($rows);
}

# The domain is gone. Its images must be attached on this server no more, by whatever made it so, except another domain that is there
# (`rows`), whose config names the image, too: that one has its lease, and no server can attach it.
sub _give_back {
    my ($rows) = @_;
    my %is_there = map { $_->{id} => 1 } @$rows;
    my $is_anothers = sub { return $_[0]{domain} ne $name && $is_there{ $_[0]{id} =~ s/-.*//r } };
    my $why = '';
    while (1) {
        $why = '';
        my %own = map { $_ => 1 } _images();
        for my $disk (grep { $_->{domain} eq $name || ($_->{id} =~ /\A0-/ && $own{ $_->{image} }) } Snow::Disk::all_noted()) {
            # xl attaches an image to this server itself while a bootloader looks for the kernel in it: that xl is gone
            Snow::Common::run(10, 'xl', 'block-detach', 0, $1) if $disk->{id} =~ /\A0-(\d+)\z/;
            next if -e "/sys/bus/xen-backend/devices/vbd-$disk->{id}";    # libxl's own `remove` comes, or it is held
            my (undef, $failed) = Snow::Common::guarded(20, sub { Snow::Disk::detach($disk, 5); return '' });
            $why = $failed if defined $failed;
        }
        my $open = Snow::Host::files_of_backends();
        my %anothers = map { $is_anothers->($_) ? ("$_->{image} $_->{id}" =~ s/-\d+\z//r => 1) : () } Snow::Disk::all_noted();
        for my $image (_images()) {
            my ($domid, $by) = ($open->{$image}, Snow::Disk::attached($image, $is_anothers));
            $why = "domain $domid of this server has $image attached" if defined $domid && !$anothers{"$image $domid"};
            $why ||= "$image is attached on this server still, by $by" if defined $by;
        }
        last if $why eq '' || _left() <= 2;
        Snow::Common::pause(1);
    }
    return _fail($ERROR, $why) if $why ne '';
    _remember();
    return $OK;
}
