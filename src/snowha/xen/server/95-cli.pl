package Snow::Cli;
# snow-lease: what our copy engine, `snow` and an administrator ask for.
use strict;
use Snow::Linux qw(O_RDWR O_DIRECT);

my $IN_USE = 7;    # as the image engine says it
my %VERBS = (
    take => \&_take, give => \&_give, new => \&_new, adopt => \&_adopt, list => \&_list, break => \&_break,
    fenced => \&_fenced, forget => \&_forget, workers => \&Snow::Worker::start,
);
my $HELP = <<'TEXT';
usage: snow-lease list [IMAGE…]        who has which image open, and what is attached on this server, as JSON
       snow-lease new IMAGE            write the first record of an image that is attached on no server
       snow-lease adopt IMAGE          lease an image that is attached on this server without a lease, or whose record is lost
       snow-lease break IMAGE [--yes]  take the lease away from whoever has it, or replace a record that cannot be read
       snow-lease forget IMAGE         remove the record of an image that nobody has: it will have no lease any more
       snow-lease fenced IMAGE         prove that the server that has it is gone, so that it can be attached here
       snow-lease take IMAGE --fd N …  lease IMAGE for the process that has it open as descriptor N
       snow-lease workers COUNT PID    have processes ready for the disks of the domain that the xl of this number receives
       snow-lease give IMAGE…          end such a lease of the calling process, or of one of this server that has ended
TEXT

sub main {
    my ($verb, @words) = @_;
    my $call = $VERBS{ $verb // '' };
    if (!$call) {
        print $HELP if ($verb // '') =~ /\A(?:-h|--help|help)\z/;
        print STDERR $HELP unless ($verb // '') =~ /\A(?:-h|--help|help)\z/;
        return ($verb // '') =~ /\A(?:-h|--help|help)\z/ ? 0 : 2;
    }
    Snow::Common::make_run(qw(disks errors migrate agent)) unless $verb eq 'list';    # which changes nothing
    my $code = eval { $call->(map { Snow::Common::plain($_) } @words) };
    return $code if defined $code;
    print STDERR "snow-lease: $@";
    return $IN_USE;
}

sub _image {
    my ($image) = @_;
    defined $image && $image =~ m{\A/} or die "give the absolute path of an image\n";
    return $image;
}

# The lock belongs to the open file that the caller has, too, and so stays when this process ends (flock(2)).
sub _take {
    my (@words) = @_;
    die "an image and --fd N are missing\n" unless @words && @words % 3 == 0;
    my @taken;
    while (my ($image, @how) = splice @words, 0, 3) {
        next if eval { _take_one($image, @how); push @taken, $image };
        my $why = $@;
        eval { _give_one($_) } for @taken;    # none of them is copied
        die $why;
    }
    return 0;
}

sub _take_one {
    my ($image, $option, $descriptor) = @_;
    _image($image);
    ($option // '') eq '--fd' && ($descriptor // '') =~ /\A\d+\z/ or die "--fd N is missing\n";
    open(my $file, '+<&=', $descriptor) or die "descriptor $descriptor: $!\n";
    my $me = Snow::Disk::me();
    Snow::Record::create($image) if !-e $image && !Snow::Record::exists($image);
    my $before = Snow::Record::read_only($image);
    my $caller = Snow::Disk::calling_copy();
    Snow::Evidence::boot_is_over(@$_, $before, $image) for Snow::Evidence::others($before, $me);
    Snow::Record::with(
        $image,
        10,
        sub {
            my ($record, $write) = @_;
            my $copy = $record->{disk} eq $caller ? undef : Snow::Disk::copy_of($record);
            my ($word, $why) = Snow::Rules::decide($record, $me,
                { here => Snow::Disk::attached($image) // $copy, over => \&Snow::Evidence::is_known_to_be_over });
            die "$image: $why" . ($why =~ /of this server/ ? '' : ' - ' . Snow::Rules::remedy($image, $record)) . "\n"
                if $word eq 'refuse';
            my $lock = Snow::Record::lock_image($file);
            die "$image is locked by somebody, though its record says that nobody has it\n"
                if $lock eq 'pending' && !($word eq 'inherit' && Snow::Disk::is_lock_left($image, $record));
            $write->(%$me, state => 'held', kind => 'copy', lock => $lock, domain => '', disk => $caller, to => '', toboot => '',
                claim => '');
        }
    );
    return 0;
}

sub _give {
    my (@images) = @_;
    my @failed = grep { !eval { _give_one($_); 1 } && print STDERR "snow-lease: $@" } @images;
    return @failed ? $IN_USE : 0;
}

sub _give_one {
    my ($image) = @_;
    my $me = Snow::Disk::me();
    Snow::Record::with(
        _image($image),
        10,
        sub {
            my ($record, $write) = @_;
            return unless $record->{state} eq 'held' && $record->{kind} eq 'copy';
            die "$image: " . Snow::Rules::holder($record) . ": give it there\n" if $record->{server} ne $me->{server};
            my $copy = $record->{disk} eq Snow::Disk::calling_copy() ? undef : Snow::Disk::copy_or_lock($record, $image);
            die "$image: $copy of this server has it open\n" if defined $copy;
            $write->(state => 'free', server => '', boot => '', disk => '', lock => '');
        }
    );
    return 0;
}

# Dies if somebody has the image locked, or if it is attached here.
sub _must_be_quiet {
    my ($image) = @_;
    my $by = Snow::Disk::attached($image);
    die "$image is attached on this server, by $by\n" if defined $by;
    my $file = Snow::Record::open_image($image, O_RDWR) or die "$image cannot be opened: $!\n";
    die "$image is locked: a server has it open\n" if Snow::Record::lock_image($file) eq 'pending';
    return;
}

sub _new {
    my ($image) = @_;
    _must_be_quiet(_image($image));
    Snow::Record::create($image);
    return 0;
}

# Whoever waits for the record's lock finds then that it is gone.
sub _forget {
    my ($image) = @_;
    return 0 unless Snow::Record::exists(_image($image));
    Snow::Record::with(
        $image,
        10,
        sub {
            my ($record) = @_;
            die "the record of $image says: " . Snow::Rules::holder($record) . "\n" if $record->{state} ne 'free';
            unlink Snow::Record::path($image) or die Snow::Record::path($image) . " cannot be removed: $!\n";
        }
    );
    return 0;
}

# An image of which no record says that a domain of this server has it attached.
sub _adopt {
    my ($image) = @_;
    my ($disk) = grep { $_->{image} eq _image($image) && $_->{mode} eq 'w' && Snow::Disk::is_there($_) } Snow::Disk::all_noted();
    return _adopt_leased($disk) if $disk && ($disk->{dm} ne '' || Snow::Disk::holder_lives($disk));
    return _adopt_bare($image);
}

# It was attached with a lease, or leased afterwards. If the record is lost, this server proves by the lock that it is the one that has
# the image. A disk that is held back is being migrated, and nothing proves whose it is.
sub _adopt_leased {
    my ($disk) = @_;
    my ($image, $me) = ($disk->{image}, Snow::Disk::me());
    if (Snow::Record::exists($image)) {
        my $record = Snow::Record::read_only($image);
        return 0 if $record->{state} ne 'free' && $record->{server} eq $me->{server} && $record->{disk} eq $disk->{id};
        die "$image has a record: " . ($record->{state} eq 'free' ? 'nobody has it' : Snow::Rules::holder($record)) . "\n";
    }
    my $is_mapped = $disk->{dm} ne '';
    die "$image is being migrated: its disk is suspended\n" if $is_mapped && Snow::Mapper::is_suspended($disk->{dm});
    die "$disk->{loop} is no device of $image any more\n" if (Snow::Loop::all()->{ $disk->{loop} } // '') ne $image;
    die "$image is not locked by this server, which has it attached as $disk->{loop}\n" unless Snow::Disk::is_locked_here($image);
    my %held = (state => 'held', kind => $is_mapped ? 'disk' : 'adopted', lock => 'yes');
    Snow::Record::create($image, %$me, %held, domain => $disk->{domain}, disk => $disk->{id});
    Snow::Common::note("the record of who has $image open was lost: it is written anew for $disk->{domain}, which has it attached");
    return 0;
}

# It has been attached since before there were leases: the record says so from now on, and a process has the lock, until the domain is
# started or migrated the next time.
sub _adopt_bare {
    my ($image) = @_;
    my ($id, $domid, $loop);
    for my $backend (Snow::Host::backends()) {
        my $file = Snow::Common::read_file("/sys/dev/block/$backend->{number}/loop/backing_file") // next;
        next unless $file eq $image;
        ($id, $domid) = @{$backend}{qw(id domid)};
        ($loop) = readlink("/sys/dev/block/$backend->{number}") =~ m{/(loop\d+)\z};
    }
    die "no domain of this server has $image attached\n" unless defined $loop;
    my $domain = Snow::Xenstore->connect->read("/local/domain/$domid/name") // die "domain $domid has no name\n";
    my $me = Snow::Disk::me();
    Snow::Record::create($image) unless Snow::Record::exists($image);
    Snow::Record::with(
        $image,
        10,
        sub {
            my ($record, $write) = @_;
            my $is_free = $record->{state} eq 'free';
            die "the record of $image says: " . Snow::Rules::holder($record) . "\n" unless $is_free || $record->{server} eq $me->{server};
            $write->(%$me, state => 'held', kind => 'adopted', lock => 'pending', domain => $domain, disk => $id, to => '',
                toboot => '', claim => '');
        }
    );
    my $disk = { id => $id, image => $image, domain => $domain, mode => 'w', loop => $loop, dm => '' };
    my $pid = fork // die "cannot fork: $!\n";
    if (!$pid) {
        sysopen(my $file, $image, O_RDWR | O_DIRECT) or die "$image cannot be opened: $!\n";
        eval { Snow::Holder::stay($disk, $file, 'adopted', 'pending') };
        Snow::Common::note("the holder of $disk->{image}'s lease ended: $@") if $@;
        exit 0;
    }
    Snow::Disk::note({ %$disk, holder => $pid });
    return 0;
}

sub _break {
    my ($image, $option) = @_;
    _image($image);
    my $by = Snow::Disk::attached($image);
    die "$image is attached on this server, by $by: stop that first\n" if defined $by;
    my $path = Snow::Record::path($image);
    my $record = eval { Snow::Record::read_only($image) };
    my $says = $record ? ($record->{state} eq 'free' ? 'nobody has it' : Snow::Rules::holder($record)) : $@ =~ s/\s+\z//r;
    if (($option // '') ne '--yes') {
        die "there is no terminal to ask on: use --yes if you are sure\n" unless -t STDIN;
        print "$image: $says.\nIf it is open on another server, both will write to it, and it is lost.\n"
            . "Is it attached on no server, are you sure? [yes/no] ";
        my $answer = <STDIN> // '';
        die "nothing was changed\n" unless $answer =~ /\Ayes\s*\z/;
    }
    my %free = (state => 'free', server => '', boot => '', domain => '', disk => '', lock => '', to => '', toboot => '', claim => '');
    if ($record) {
        Snow::Record::with($image, 10, sub { $_[1]->(%free) }, broken => 1);
    } else {
        rename $path, "$path.broken." . time if Snow::Record::exists($image);
        Snow::Record::create($image);
    }
    Snow::Common::note("the lease of $image was broken by hand: $says");
    return 0;
}

# Whether everybody who may have an image open is proven to be gone. What is proven is noted, and the image can be attached then.
sub _fenced {
    my ($image) = @_;
    my $record = Snow::Record::read_only(_image($image));
    my @others = Snow::Evidence::others($record, Snow::Disk::me());
    for my $other (@others) {
        next if Snow::Evidence::boot_is_over(@$other, $record, $image);
        print "nothing proves that $other->[0] is gone: it was not fenced since $record->{since}, and has not booted\n";
        return 1;
    }
    print @others ? 'gone: ' . join(', ', map { $_->[0] } @others) . "\n" : "no other server has $image\n";
    return 0;
}

sub _said {
    my ($image, $key, $json) = @_;
    return '{"image": ' . Snow::Common::json($image) . ", \"$key\": $json}";
}

sub _record_of {
    my ($image) = @_;
    return _said($image, record => 'null') unless Snow::Record::exists($image);
    my $record = eval { Snow::Record::read_only($image) };
    return _said($image, error => Snow::Common::json($@ =~ s/\s+\z//r)) unless $record;
    delete $record->{changed};
    my $is_copy = $record->{state} eq 'held' && $record->{kind} eq 'copy';
    $record->{process} = defined Snow::Disk::copy_or_lock($record, $image) ? 'alive' : 'gone'
        if $is_copy && $record->{server} eq Snow::Common::server();
    if ($record->{state} eq 'held' && !$is_copy && $record->{lock} eq 'yes' && $record->{server} ne Snow::Common::server()) {
        # a storage that was restarted lets nobody lock for a while: then nothing is said
        my ($word) = Snow::Common::guarded(10, sub { return _is_forgotten($record, $image) ? 'no' : '' });
        $record->{locked} = 'no' if ($word // '') eq 'no';
    }
    return _said($image, record => Snow::Common::json($record));
}

# Whether the storage knows nothing of another server's lock. A disk that is just detached is unlocked before its record says so.
sub _is_forgotten {
    my ($record, $image) = @_;
    return 0 if Snow::Disk::is_locked($image) // 1;
    Snow::Common::pause(0.3);
    my $again = Snow::Record::read_only($image);
    return !(Snow::Disk::is_locked($image) // 1) && $again->{gen} eq $record->{gen};
}

sub _list {
    my (@images) = @_;
    my ($records, $why) = Snow::Common::guarded(15, sub { return join ', ', map { _record_of($_) } @images });
    $records //= join ', ', map { _said($_, error => Snow::Common::json("its record: $why")) } @images;
    my %leased;
    my @attached;
    for my $disk (Snow::Disk::all_noted()) {
        next unless Snow::Disk::is_there($disk);
        $leased{ $disk->{loop} } = 1;
        push @attached,
            {
            %$disk,
            holder => $disk->{mode} eq 'r' || Snow::Disk::holder_lives($disk) ? 'alive' : 'gone',
            frozen => $disk->{dm} ne '' && Snow::Mapper::is_suspended($disk->{dm}) ? 'yes' : 'no',
            };
    }
    my $loops = Snow::Loop::all();
    my $backends = Snow::Host::files_of_backends();
    for my $loop (sort keys %$loops) {
        next if $leased{$loop};
        my $file = $loops->{$loop};
        push @attached, { id => '', image => $file, domain => '', mode => '', loop => $loop, dm => '', holder => 'none', frozen => 'no',
            domid => $backends->{$file} // '' };
    }
    my $said = "$Snow::Common::RUN/agent";
    my %notes = map { $_ => Snow::Common::read_file("$said/$_") // '' } Snow::Common::names($said);
    my $me = Snow::Disk::me();
    print '{"server": ', Snow::Common::json($me->{server}), ', "boot": ', Snow::Common::json($me->{boot}), ', "records": [',
        $records, '], "attached": ', Snow::Common::json(\@attached), ', "notes": ', Snow::Common::json(\%notes), ', "migrations": ',
        Snow::Common::json(Snow::Migration::under_way()), "}\n";
    return 0;
}
