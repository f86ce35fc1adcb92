package Snow::Agent;
use strict;

our ($OK, $ERROR, $name, $config);    # 90-agent.pl has their values

# Whether xenstore alone says that nothing of the domain is here: where each domain that it knows has a name, this server's own among
# them, and no disk was attached for this one. It answers at once where xl, which is asked else, takes its time beside others that start.
sub _is_nothing_of_it_here {
    return 0 if grep { $_->{domain} eq $name } Snow::Disk::all_noted();
    my $names = eval { Snow::Xenstore->connect(5)->names } or return 0;
    return 0 unless defined $names->{0} && !grep { !defined } values %$names;
    return !grep { /\A\Q$name\E(?:--incoming|--migratedaway)?\z/ } values %$names;
}

sub _start {
    my ($rows, $why, $found);
    if (!_is_nothing_of_it_here()) {
        ($rows, $why) = _look();
        return _fail($ERROR, "the hypervisor cannot be asked: $why") unless $rows;
        $found = _found($rows);
        return $OK if $found->{here} && $found->{here}{state} !~ /[scd]/;
        for my $row (values %$found) {
            next if $row->{name} ne $name && Snow::Leftovers::end($row);
            return _fail($ERROR, "there is $row->{name} here, which has to be stopped first");
        }
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
