package Snow::Agent;
# The OCF resource agent ocf:snow-ha:domain (OCF resource agent API 1.1; Pacemaker Administration, "Resource Agents").
# It never takes "cannot tell" for "does not run": then Pacemaker would start the domain a second time.
use strict;

my ($OK, $ERROR, $ARGS, $UNIMPLEMENTED, $INSTALLED, $CONFIGURED, $NOT_RUNNING) = (0, 1, 2, 3, 5, 6, 7);
my $LOOK_S = 15;       # for one answer of xl
my $ENDING_S = 30;     # a domain that has halted is taken away by xl within seconds
my $REBOOT_S = 15;     # between a domain that rebooted and the one that takes its place
my $GIVE_UP_S = 90;    # for a migration that is given up: until xl has let the domain go on
my $DECIDED_S = 30;    # for a target that was told to go: until its leases say that it did

my ($name, $config, $end);

# What nobody thought of is an error, too: the exit code that Perl would make of it, errno, can be any answer to Pacemaker.
sub main {
    my $code = eval { _act(@_) };
    return $code // _fail($ERROR, $@);
}

sub _act {
    my ($action) = @_;
    if ($action eq 'meta-data') { print _metadata(); return $OK }
    if ($action !~ /\A(?:start|stop|monitor|status|migrate_to|migrate_from|validate-all)\z/) {
        print STDERR "usage: $0 {start|stop|monitor|migrate_to|migrate_from|validate-all|meta-data}\n";
        return $UNIMPLEMENTED;
    }
    $config = $ENV{OCF_RESKEY_xmfile} // '';
    return _fail($CONFIGURED, 'the parameter xmfile is not set') unless $config =~ m{\A/};
    $name = $ENV{OCF_RESKEY_name} // '';
    if ($name eq '') {
        my ($read, $why) = Snow::Host::config($config);
        $name = $read && $read->{name} // '';
        return _fail($action eq 'stop' ? $ERROR : $INSTALLED, "the domain's name is not known: " . ($why // "$config has none"))
            if $name eq '';
    }
    my $seconds = ($ENV{OCF_RESKEY_CRM_meta_timeout} // 60_000) / 1000;
    $end = Snow::Common::uptime() + ($seconds > 40 ? $seconds - 15 : $seconds * 0.6);
    eval { Snow::Common::make_run(qw(disks errors migrate agent)) };    # what has to be noted there fails, and nothing else
    return _monitor(($ENV{OCF_RESKEY_CRM_meta_interval} // 0) == 0) if $action eq 'monitor' || $action eq 'status';
    return _validate() if $action eq 'validate-all';
    return __PACKAGE__->can("_$action")->();
}

sub _look {
    my $left = _left();
    return Snow::Host::domains($left > $LOOK_S ? $LOOK_S : $left > 1 ? $left : 1);
}

sub _left { return $end - Snow::Common::uptime() }

# What crm_mon shows as the reason (pacemaker's lib/services and lib/lrmd: a line on standard error that begins so).
sub _fail {
    my ($code, $why) = @_;
    $why =~ s/\s+/ /g;
    print STDERR "ocf-exit-reason:$why\n";
    return $code;
}

# For `snow ha status`, which shows it until it is no longer so.
sub _remember {
    my ($why) = @_;
    my $path = "$Snow::Common::RUN/agent/$name";
    return unlink $path unless defined $why;
    my $before = Snow::Common::read_file($path) // '';
    my ($since) = $before =~ /\A(\S+) \Q$why\E\z/;
    return eval { Snow::Common::write_file($path, ($since // Snow::Common::now()) . " $why\n") };
}

# The domain and what a broken migration left of it: by role (here, incoming, away). One that was renamed, or whose name xenstore has
# lost, is the one that has the disks which were attached for this domain (renamed, where another one has its name).
sub _found {
    my ($rows) = @_;
    my %role = ($name => 'here', "$name--incoming" => 'incoming', "$name--migratedaway" => 'away');
    my %has_disks = map { $_->{domain} eq $name ? ($_->{id} =~ s/-.*//r => 1) : () } Snow::Disk::all_noted();
    my %found;
    for my $row (@$rows) {
        my $role = $role{ $row->{name} } // ($has_disks{ $row->{id} } && $row->{state} !~ /d/ ? 'renamed' : next);
        $found{$role} = $row;
    }
    $found{here} //= delete $found{renamed} if $found{renamed};
    return \%found;
}

sub _images {
    my ($read) = Snow::Host::config($config);
    my %images = map { $_ => 1 } $read ? @{ $read->{images} } : ();
    $images{ $_->{image} } = 1 for grep { $_->{domain} eq $name } Snow::Disk::all_noted();
    return sort keys %images;
}

sub _kernel_shows_it {
    my $open = Snow::Host::files_of_backends();
    for my $disk (grep { $_->{domain} eq $name } Snow::Disk::all_noted()) {
        return 1 if -e "/sys/bus/xen-backend/devices/vbd-$disk->{id}";
    }
    return 1 if grep { defined $open->{$_} } _images();
    return _is_in_xenstore();
}

sub _is_in_xenstore {
    my $domains = eval { Snow::Xenstore->connect(5)->domains } or return 0;
    return (grep { $_ eq $name } values %$domains) ? 1 : 0;
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

sub _start {
    my ($rows, $why) = _look();
    return _fail($ERROR, "the hypervisor cannot be asked: $why") unless $rows;
    my $found = _found($rows);
    return $OK if $found->{here} && $found->{here}{state} !~ /[scd]/;
    for my $row (values %$found) {
        next if $row->{name} ne $name && Snow::Leftovers::end($row);
        return _fail($ERROR, "there is $row->{name} here, which has to be stopped first");
    }
    unlink "$Snow::Common::RUN/errors/$name";
    my ($read) = Snow::Host::config($config);
    return _fail($ERROR, "$config is the config of $read->{name} now, not of $name") if $read && ($read->{name} // $name) ne $name;
    my @images = $read ? @{ $read->{images} } : ();
    if (@images) {
        my ($limit, $left) = (30 + 2 * @images, _left() - 5);
        my (undef, $held) = Snow::Common::guarded($limit < $left ? $limit : $left, sub { _must_be_gone($_) for @images; return '' });
        return _fail($ERROR, $held) if defined $held;
    }
    my ($text, $code, $failed) = Snow::Common::run(_left(), 'xl', 'create', $config);
    if ($code) {
        my $reason = Snow::Common::read_file("$Snow::Common::RUN/errors/$name");
        $reason //= $failed || _last_error($text) || "xl create ended with $code";
        print STDERR $text;
        return _fail($ERROR, $reason);
    }
    # Pacemaker asks xl itself next (monitor), which takes seconds on a server where several domains boot
    return $OK if _is_in_xenstore();
    ($rows, $why) = _look();
    return _fail($ERROR, "$name was started, and cannot be looked at: $why") unless $rows;
    return _found($rows)->{here} ? $OK : _fail($ERROR, "$name was started, and is gone: see /var/log/xen/xl-$name.log");
}

# Dies unless everybody else who may have the image open is proven to be gone; what is proven is noted for the block script.
sub _must_be_gone {
    my ($image) = @_;
    return unless Snow::Record::exists($image);
    my $record = Snow::Record::read_only($image);
    for my $other (Snow::Evidence::others($record, Snow::Disk::me())) {
        next if Snow::Evidence::boot_is_over(@$other, $record, $image);
        die "$image: " . Snow::Rules::holder($record) . ", and nothing proves that it is gone - "
            . Snow::Rules::remedy($image, $record) . "\n";
    }
    return;
}

sub _last_error {
    my ($text) = @_;
    my @lines = grep { /error|fail|cannot|denied/i } split /\n/, $text;
    return $lines[0] // (split /\n/, $text)[-1];
}

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
    for my $disk (grep { $_->{domain} eq $name && $_->{mode} eq 'w' && Snow::Disk::is_there($_) } Snow::Disk::all_noted()) {
        return _not_migrated("the process that hands over the lease of $disk->{image} has died: $name is restarted instead")
            unless Snow::Disk::holder_lives($disk);
    }
    # given up in time for xl to let the domain go on here
    my ($limit, $patience) = (_left(), _left() > 2 * $GIVE_UP_S ? _left() - $GIVE_UP_S : _left() / 2);
    my ($code, $given_up) = Snow::Migration::migrate($name, $target, limit => $limit, patience => $patience, memory => $here->{memory});
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

sub _validate {
    my ($read, $why) = Snow::Host::config($config);
    return _fail($INSTALLED, $why) unless $read;
    return _fail($CONFIGURED, "$config is the config of $read->{name}, not of $name") if ($read->{name} // $name) ne $name;
    return $OK;
}

sub _metadata {
    my @parameters = (
        ['xmfile', 1, 'Config of the domain', 'Path of the xl.cfg(5) file that the domain is started from. The same on all servers.'],
        ['name', 0, 'Name of the domain', 'The name that the config gives the domain. Read from the config if it is not set.'],
    );
    my $parameters = join "\n", map {
        my ($key, $required, $short, $long) = @$_;
        my $unique = $key eq 'xmfile' ? 1 : 0;
        qq{<parameter name="$key" unique="$unique" required="$required">\n<longdesc lang="en">$long</longdesc>\n}
            . qq{<shortdesc lang="en">$short</shortdesc>\n<content type="string" default=""/>\n</parameter>}
    } @parameters;
    my @actions = (
        [start => 180], [stop => 240], ['monitor', 90, ' depth="0" interval="60s"'], [migrate_to => 600], [migrate_from => 180],
        ['meta-data', 5], ['validate-all', 30],
    );
    my $actions = join "\n", map { qq{<action name="$_->[0]" timeout="$_->[1]s"} . ($_->[2] // '') . '/>' } @actions;
    return <<"XML";
<?xml version="1.0"?>
<!DOCTYPE resource-agent SYSTEM "ra-api-1.dtd">
<resource-agent name="domain" version="1.0">
<version>1.0</version>
<longdesc lang="en">
A Xen domain whose images several servers share. "Does not run" is said only when the hypervisor answered so. A stop succeeds only when
the domain is gone and none of its images is attached on this server. Images are attached with a lease, which a live migration hands over.
</longdesc>
<shortdesc lang="en">A Xen domain with a lease on each of its images</shortdesc>
<parameters>
$parameters
</parameters>
<actions>
$actions
</actions>
</resource-agent>
XML
}
