package Snow::Agent;
# The OCF resource agent ocf:snow-ha:domain (OCF resource agent API 1.1; Pacemaker Administration, "Resource Agents").
# It never takes "cannot tell" for "does not run": then Pacemaker would start the domain a second time.
use strict;

our ($OK, $ERROR, $ARGS, $UNIMPLEMENTED, $INSTALLED, $CONFIGURED, $NOT_RUNNING) = (0, 1, 2, 3, 5, 6, 7);
our $LOOK_S = 15;      # for one answer of xl
our $REBOOT_S = 15;    # between a domain that rebooted and the one that takes its place

our ($name, $config);
my $end;

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
    return _start() if $action eq 'start';
    return _stop() if $action eq 'stop';
    return $action eq 'migrate_to' ? _migrate_to() : _migrate_from();
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

sub _is_in_xenstore {
    my $names = eval { Snow::Xenstore->connect(5)->names } or return 0;
    return (grep { defined && $_ eq $name } values %$names) ? 1 : 0;
}

sub _last_error {
    my ($text) = @_;
    my @lines = grep { /error|fail|cannot|denied/i } split /\n/, $text;
    return $lines[0] // (split /\n/, $text)[-1];
}
