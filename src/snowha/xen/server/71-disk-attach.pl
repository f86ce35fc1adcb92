package Snow::Disk;
# A disk's image leased and attached, for a domain that starts or arrives.
use strict;
use Snow::Linux qw(O_RDONLY O_RDWR O_DIRECT LOCK_SH LOCK_NB ENOLCK EOPNOTSUPP);

our ($MIGRATION_S, $RESTART_S) = (25, 3);    # seconds to wait for a lease: of libxl's 40 s for a script something must be left

# Who on this server has an image attached: a domain of ours, or a loop device that somebody else made. Of disks for which `but` is
# true nothing is said.
sub attached {
    my ($image, $but) = @_;
    my %passed_over;
    for my $disk (all_noted()) {
        next unless $disk->{image} eq $image && is_there($disk);
        return $disk->{domain} unless $but && $but->($disk);
        $passed_over{ $disk->{loop} } = 1;
    }
    my $loops = Snow::Loop::all();
    for my $loop (sort keys %$loops) {
        return "/dev/$loop" if $loops->{$loop} eq $image && !$passed_over{$loop};
    }
    return;
}

# The copy of this server that has the image by its record, if its process has not ended: what it has copied already it does not lock.
sub copy_of {
    my ($record) = @_;
    my ($pid, $start) = _copy($record) or return;
    return defined $pid && (Snow::Common::started($pid) // '') eq $start ? "a copy (process $pid)" : undef;
}

# Number and start of the process, if the record is one of a copy in this boot of this server; nothing else.
sub _copy {
    my ($record) = @_;
    my $me = me();
    return unless $record->{state} eq 'held' && $record->{kind} eq 'copy';
    return unless $record->{server} eq $me->{server} && $record->{boot} eq $me->{boot};
    return $record->{disk} =~ /\Acopy-(\d+)\.(\d+)\z/ ? ($1, $2) : (undef, undef);
}

# Whether an image that is locked, and whose holder is proven to be gone, is locked by that one still: a server that was fenced loses
# its locks when its NFS lease ends. Else somebody has it of whom the record does not know, as one that was put back from a backup, or
# that is a link's: then the lock is waited for.
sub is_lock_left {
    my ($image, $record) = @_;
    return 0 if -l $image;
    return scalar grep { Snow::Evidence::was_fenced_since($_->[0], $_->[1], $record) } Snow::Evidence::others($record, me());
}

# Open an image and take its lease. The open file, and what was done: taken, inherited or tentative. Dies with who has it.
sub lease {
    my ($image, %how) = @_;
    my $me = me();
    my $writable = $how{mode} ne 'r';
    -f $image or die "no image $image\n";
    sysopen(my $file, $image, ($writable ? O_RDWR : O_RDONLY) | O_DIRECT) or die "$image cannot be opened: $!\n";
    if (!$writable) {
        flock($file, LOCK_SH | LOCK_NB) || $! == ENOLCK || $! == EOPNOTSUPP or die "$image is open for writing somewhere\n";
        return ($file, 'shared');
    }
    my $began = Snow::Common::uptime();
    my $patience = $how{incoming} ? $MIGRATION_S : $RESTART_S;
    while (1) {
        my ($word, $why) = Snow::Record::with(
            $image,
            10,
            sub {
                my ($record, $write) = @_;
                my ($word, $why) = Snow::Rules::decide(
                    $record, $me,
                    {
                        incoming => $how{incoming},
                        domain => $how{domain},
                        here => $how{incoming} ? undef : scalar(attached($image)) // scalar(copy_of($record)),
                        over => \&Snow::Evidence::is_known_to_be_over,
                    }
                );
                $why .= ' - ' . Snow::Rules::remedy($image, $record) if $word eq 'refuse' && $why !~ /of this server/;
                return ($word, $why) if $word eq 'wait' || $word eq 'refuse';
                my $lock = Snow::Record::lock_image($file);
                my $says = $word eq 'inherit' ? Snow::Rules::holder($record) : "nobody has it ($record->{state})";
                return ('wait', "it is locked, and its record says something else: $says")
                    if $lock eq 'pending' && !($word eq 'inherit' && is_lock_left($image, $record));
                my %claim = (kind => 'disk', lock => $lock, disk => $how{id}, domain => $how{domain});
                if ($word eq 'tentative') {
                    my $claimed = $record->{claim} || $record->{changed};
                    $write->(state => 'tentative', to => $me->{server}, toboot => $me->{boot}, disk => $how{id}, lock => $lock,
                        claim => $claimed);
                } else {
                    $write->(%claim, state => 'held', %$me, to => '', toboot => '', claim => '');
                }
                return ($word, $lock);
            }
        );
        return ($file, $word, $why) if $word ne 'wait' && $word ne 'refuse';
        die "$why\n" if $word eq 'refuse' || Snow::Common::uptime() - $began >= $patience;
        Snow::Common::pause(0.2);
    }
}

# Attach an image for a disk: its number (major, minor), the open image, and what was done to have it.
sub attach {
    my ($disk) = @_;
    my ($device, @number);
    # noted before there is anything of it: this process may be killed at any moment, and `remove` then takes away what is there
    @{$disk}{qw(loop dm holder)} = ('', "snow-$disk->{id}", '');
    note($disk);
    my ($file, $word, $lock) = eval { lease($disk->{image}, %$disk) };
    if (!$file) {
        my $why = $@;
        unlink folder() . "/$disk->{id}";
        die $why;
    }
    my $done = eval {
        ($device, $disk->{loop}) = Snow::Loop::configure($file, $disk->{image}, $disk->{mode} ne 'r');
        note($disk);
        @number = Snow::Mapper::create($disk->{dm}, $disk->{loop}, $disk->{mode} ne 'r');
        Snow::Mapper::freeze($disk->{dm}) if $word eq 'tentative';
        1;
    };
    if (!$done) {
        my $why = $@;
        eval { Snow::Mapper::remove($disk->{dm}) } if @number;
        eval { release($disk) } if $disk->{mode} ne 'r';
        unlink folder() . "/$disk->{id}";
        die $why;
    }
    return ($file, $word, $lock, @number);
}
