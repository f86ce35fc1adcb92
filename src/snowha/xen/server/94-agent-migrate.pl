package Snow::Agent;
use strict;

our ($OK, $ERROR, $ARGS, $name);    # 90-agent.pl has their values
my $GIVE_UP_S = 90;    # for a migration that is given up: until xl has let the domain go on
my $DECIDED_S = 30;    # for a target that was told to go: until its leases say that it did

# Pacemaker does not keep the reason of a failed migrate_to for crm_mon: `snow ha status` shows it until a migration succeeds.
sub _not_migrated {
    my ($why) = @_;
    my $text = "$name was not migrated to $ENV{OCF_RESKEY_CRM_meta_migrate_target}: $why";
    _remember_migration($text);
    return _fail($ERROR, $text);
}

sub _remember_migration {
    my ($text) = @_;
    my $path = "$Snow::Common::RUN/agent/$name.migration";
    return unlink $path unless defined $text;
    $text =~ s/\s+/ /g;
    return eval { Snow::Common::write_file($path, Snow::Common::now() . " $text\n") };
}

sub _migrate_to {
    my $target = $ENV{OCF_RESKEY_CRM_meta_migrate_target} // '';
    return _fail($ARGS, 'Pacemaker named no server to migrate to') unless $target =~ /\A[A-Za-z0-9][A-Za-z0-9.-]*\z/;
    my ($rows, $why) = _look();
    return _not_migrated("the hypervisor cannot be asked: $why") unless $rows;
    my $here = _found($rows)->{here};
    return _not_migrated("$name does not run here") unless $here && $here->{state} !~ /[scd]/;
    my @disks = grep { $_->{domain} eq $name && Snow::Disk::is_there($_) } Snow::Disk::all_noted();
    for my $disk (grep { $_->{mode} eq 'w' } @disks) {
        return _not_migrated("the process that hands over the lease of $disk->{image} has died: $name is restarted instead")
            unless Snow::Disk::holder_lives($disk);
    }
    # given up in time for xl to let the domain go on here
    my ($limit, $patience) = (_left(), _left() > 2 * $GIVE_UP_S ? _left() - $GIVE_UP_S : _left() / 2);
    my ($code, $given_up) = Snow::Migration::migrate(
        $name, $target,
        limit => $limit, patience => $patience, memory => $here->{memory}, disks => scalar @disks
    );
    my $text = Snow::Migration::said($name);
    if ($code == 0 || _has_arrived()) {
        _remember_migration();
        return $OK;
    }
    print STDERR $text;
    return _not_migrated(sprintf 'it was given up after %.0f s, and goes on here', $patience) if $given_up;
    my ($refused) = $text =~ /^.*?(\S+ is not attached for .*)$/m;
    return _not_migrated($refused // (_last_error($text) || "xl migrate ended with $code"));
}

# The connection of xl was lost after it had told the target to let the domain run. If the target did, its leases say so within
# seconds: then what is left here is dead, and the migration has succeeded.
sub _has_arrived {
    my $until = Snow::Common::uptime() + ($DECIDED_S < _left() / 2 ? $DECIDED_S : _left() / 2);
    while (1) {
        my ($rows) = _look();
        my $found = $rows ? _found($rows) : {};
        return 0 if $rows && ($found->{here} || !$found->{away});
        return 1 if $found->{away} && Snow::Leftovers::end($found->{away});
        return 0 if Snow::Common::uptime() >= $until;
        Snow::Common::pause(1);
    }
    return 0;
}

sub _migrate_from {
    my $began = Snow::Common::uptime();
    while (1) {
        my ($rows, $why) = _look();
        if ($rows) {
            my $found = _found($rows);
            if ($found->{here} && $found->{here}{state} !~ /[scd]/) {
                my $stuck = Snow::Leftovers::stuck_disk($found->{here}{id});
                return defined $stuck ? _fail($ERROR, $stuck) : $OK;
            }
            $why = $found->{incoming} ? "$name has not arrived: $name--incoming is here" : "$name has not arrived";
            # xl on the source has ended: a domain of which there is nothing here does not come any more
            return _fail($ERROR, $why) if !%$found && Snow::Common::uptime() - $began > 5;
        }
        return _fail($ERROR, $why) if _left() <= 2;
        Snow::Common::pause(1);
    }
    return $ERROR;
}
