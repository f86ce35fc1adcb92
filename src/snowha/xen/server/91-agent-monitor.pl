package Snow::Agent;
use strict;

our ($OK, $ERROR, $INSTALLED, $NOT_RUNNING, $LOOK_S, $REBOOT_S, $name, $config);    # 90-agent.pl has their values
my $ENDING_S = 30;    # a domain that has halted is taken away by xl within seconds

sub _kernel_shows_it {
    my $open = Snow::Host::files_of_backends();
    for my $disk (grep { $_->{domain} eq $name } Snow::Disk::all_noted()) {
        return 1 if -e "/sys/bus/xen-backend/devices/vbd-$disk->{id}";
    }
    return 1 if grep { defined $open->{$_} } _images();
    return _is_in_xenstore();
}

sub _monitor {
    my ($is_probe) = @_;
    my ($ending, $away) = (0, 0);
    while (1) {
        my ($rows, $why) = _look();
        if (!$rows) {
            if (_kernel_shows_it()) {
                _remember("xl cannot be used: $why");
                return $OK;
            }
            if (_left() <= $LOOK_S) {
                _remember("xl cannot be used: $why");
                my $text = "it is unknown whether $name runs here: $why";
                return _fail($is_probe ? $INSTALLED : $ERROR, $text);
            }
            Snow::Common::pause(2);
            next;
        }
        my $found = _found($rows);
        my $state = $found->{here} ? $found->{here}{state} : '';
        if ($state && $state !~ /[scd]/) {
            my $stuck = Snow::Leftovers::stuck_disk($found->{here}{id});
            return _fail($ERROR, $stuck) if defined $stuck;
            _remember($state =~ /p/ ? "$name is paused" : undef);
            return $OK;
        }
        return _fail($ERROR, "$name has crashed") if $state =~ /c/;
        my $now = Snow::Common::uptime();
        my $is_left = grep { $found->{$_} } qw(here incoming away);
        next if !$state && $is_left && _left() > $LOOK_S && Snow::Leftovers::end(values %$found);
        if ($is_left) {
            $ending ||= $now;
            if ($now - $ending >= $ENDING_S || _left() <= $LOOK_S) {
                return _fail($ERROR, "$name is ending for $ENDING_S s (state $state)") if $state;
                return _fail($ERROR, 'a broken live migration has left ' . join ' and ', map { $_->{name} } values %$found);
            }
        } elsif (!$is_probe && Snow::Host::processes_of($name, $config) && ($away ||= $now) && $now - $away < $REBOOT_S
            && _left() > $LOOK_S)
        {
            # looked at again
        } else {
            _remember();
            return $NOT_RUNNING;
        }
        Snow::Common::pause(1);
    }
    return $ERROR;
}
