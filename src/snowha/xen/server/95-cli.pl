package Snow::Cli;
# snow-lease: what our copy engine, `snow` and an administrator ask for.
use strict;
use warnings;
use Fcntl qw(:DEFAULT :flock);

my $IN_USE = 7;    # as the image engine says it
my %VERBS = (
    take => \&_take, give => \&_give, new => \&_new, adopt => \&_adopt, list => \&_list, break => \&_break,
    fenced => \&_fenced,
);
my $HELP = <<'TEXT';
usage: snow-lease list [IMAGE…]        who has which image open, and what is attached on this server, as JSON
       snow-lease new IMAGE            write the first record of an image that is attached on no server
       snow-lease adopt IMAGE          lease an image that is attached on this server without a lease
       snow-lease break IMAGE [--yes]  take the lease away from whoever has it, or replace a record that cannot be read
       snow-lease fenced IMAGE         prove that the server that has it is gone, so that it can be attached here
       snow-lease take IMAGE --fd N …  lease IMAGE for the process that has it open as descriptor N
       snow-lease give IMAGE…          end such a lease
TEXT

sub main {
    my ($verb, @words) = @_;
    my $call = $VERBS{ $verb // '' };
    if (!$call) {
        print $HELP if ($verb // '') =~ /\A(?:-h|--help|help)\z/;
        print STDERR $HELP unless ($verb // '') =~ /\A(?:-h|--help|help)\z/;
        return ($verb // '') =~ /\A(?:-h|--help|help)\z/ ? 0 : 2;
    }
    Snow::Common::make_run(qw(disks errors migrate agent));
    my $code = eval { $call->(@words) };
    return $code if defined $code;
    print STDERR "snow-lease: $@";
    return $IN_USE;
}

sub _image {
    my ($image) = @_;
    defined $image && $image =~ m{\A/} or die "an image is named by its whole path\n";
    return $image;
}

# The lock belongs to the open file that the caller has, too, and so stays when this process ends (flock(2)).
sub _take {
    my (@words) = @_;
    die "an image and --fd N are missing\n" unless @words && @words % 3 == 0;
    _take_one(splice @words, 0, 3) while @words;
    return 0;
}

sub _take_one {
    my ($image, $option, $descriptor) = @_;
    _image($image);
    ($option // '') eq '--fd' && ($descriptor // '') =~ /\A\d+\z/ or die "--fd N is missing\n";
    open(my $file, '+<&=', $descriptor) or die "descriptor $descriptor: $!\n";
    my $me = Snow::Disk::me();
    Snow::Record::with($image, 10, sub { $_[1]->(state => 'free', server => '') }, new => 1) if !-e $image && !Snow::Record::exists($image);
    my $before = Snow::Record::read_only($image, 10);
    Snow::Evidence::boot_is_over(@$_, $before, $image) for Snow::Evidence::others($before, $me);
    Snow::Record::with(
        $image,
        10,
        sub {
            my ($record, $write) = @_;
            my ($word, $why) = Snow::Rules::decide($record, $me,
                { here => scalar Snow::Disk::attached($image), over => \&Snow::Evidence::is_known_to_be_over });
            die "$image: $why\n" if $word eq 'refuse';
            flock($file, LOCK_EX | LOCK_NB) || $!{ENOLCK} || $!{EOPNOTSUPP} || $word eq 'inherit'
                or die "$image is locked by somebody, though its record says that nobody has it\n";
            $write->(%$me, state => 'held', kind => 'copy', lock => 'yes', domain => '', disk => '', to => '', toboot => '',
                claim => '');
        }
    );
    return 0;
}

sub _give {
    my (@images) = @_;
    _give_one($_) for @images;
    return 0;
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
            return unless $record->{server} eq $me->{server} && $record->{boot} eq $me->{boot};
            $write->(state => 'free', lock => '');
        }
    );
    return 0;
}

# Dies if somebody has the image locked, or if it is attached here.
sub _must_be_quiet {
    my ($image) = @_;
    my $by = Snow::Disk::attached($image);
    die "$image is attached on this server, by $by\n" if defined $by;
    sysopen(my $file, $image, O_RDWR) or die "$image cannot be opened: $!\n";
    flock($file, LOCK_EX | LOCK_NB) || $!{ENOLCK} || $!{EOPNOTSUPP} or die "$image is locked: a server has it open\n";
    return;
}

sub _new {
    my ($image) = @_;
    _must_be_quiet(_image($image));
    Snow::Record::with($image, 10, sub { $_[1]->(server => '') }, new => 1);
    return 0;
}

# An image that a domain of this server has attached since before there were leases: the record says so from now on, and a process
# has the lock, until the domain is started or migrated the next time.
sub _adopt {
    my ($image) = @_;
    _image($image);
    my ($domid, $devid, $loop);
    for my $device (glob '/sys/bus/xen-backend/devices/vbd-*') {
        my $number = Snow::Common::read_file("$device/physical_device") // next;
        my ($major, $minor) = map { hex } $number =~ /\A([0-9a-f]+):([0-9a-f]+)\z/ or next;
        my $file = Snow::Common::read_file("/sys/dev/block/$major:$minor/loop/backing_file") // next;
        next unless $file eq $image;
        ($domid, $devid) = $device =~ /vbd-(\d+)-(\d+)\z/;
        ($loop) = readlink("/sys/dev/block/$major:$minor") =~ m{/(loop\d+)\z};
    }
    die "no domain of this server has $image attached\n" unless defined $loop;
    my $id = "$domid-$devid";
    my $disk = Snow::Disk::noted($id);
    return 0 if $disk && $disk->{image} eq $image && Snow::Disk::holder_lives($disk);
    my $domain = Snow::Xenstore->connect->read("/local/domain/$domid/name") // die "domain $domid has no name\n";
    my $me = Snow::Disk::me();
    Snow::Record::with($image, 10, sub { $_[1]->(state => 'free', server => '') }, new => 1)
        unless Snow::Record::exists($image);
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
    $disk = { id => $id, image => $image, domain => $domain, mode => 'w', loop => $loop, dm => '' };
    my $pid = fork // die "cannot fork: $!\n";
    if (!$pid) {
        sysopen(my $file, $image, O_RDWR | O_DIRECT) or die "$image cannot be opened: $!\n";
        eval { Snow::Holder::stay($disk, $file, 'adopted', 'pending') };
        require POSIX;
        POSIX::_exit(0);
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
    my $record = eval { Snow::Record::read_only($image, 10) };
    my $says = $record ? ($record->{state} eq 'free' ? 'nobody has it' : Snow::Rules::holder($record)) : $@ =~ s/\s+\z//r;
    if (($option // '') ne '--yes') {
        die "nobody can be asked here: say --yes if you are sure\n" unless -t STDIN;
        print "$image: $says.\nIf it is open on another server, both will write to it, and it is lost.\n"
            . "Is it attached on no server, are you sure? [yes/no] ";
        my $answer = <STDIN> // '';
        die "nothing was changed\n" unless $answer =~ /\Ayes\s*\z/;
    }
    rename $path, "$path.broken." . time if !$record && Snow::Record::exists($image);
    my %how = $record ? (broken => 1) : (new => 1);
    Snow::Record::with($image, 10,
        sub { $_[1]->(state => 'free', server => '', domain => '', disk => '', lock => '', to => '', toboot => '', claim => '') }, %how);
    Snow::Common::note("the lease of $image was broken by hand: $says");
    return 0;
}

# Whether everybody who may have an image open is proven to be gone. What is proven is noted, and the image can be attached then.
sub _fenced {
    my ($image) = @_;
    my $record = Snow::Record::read_only(_image($image), 10);
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
    my $record = eval { Snow::Record::read_only($image, 5) };
    return _said($image, error => Snow::Common::json($@ =~ s/\s+\z//r)) unless $record;
    delete $record->{mtime};
    return _said($image, record => Snow::Common::json($record));
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
    my %notes = map { m{/([^/]+)\z} ? ($1 => Snow::Common::read_file($_) // '') : () } glob "$Snow::Common::RUN/agent/*";
    my $me = Snow::Disk::me();
    print '{"server": ', Snow::Common::json($me->{server}), ', "boot": ', Snow::Common::json($me->{boot}), ', "records": [',
        $records, '], "attached": ', Snow::Common::json(\@attached), ', "notes": ', Snow::Common::json(\%notes), ', "migrations": ',
        Snow::Common::json(Snow::Migration::under_way()), "}\n";
    return 0;
}
