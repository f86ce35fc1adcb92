package Snow::Worker;
# Processes that are ready to attach the disks of a domain that arrives, and to stay for them: the server that sends it has them started
# on this one while its memory is being sent, since it is away while its disks are attached. A disk that finds none is attached without.
use strict;
use Snow::Linux qw(F_SETFL O_NONBLOCK AF_UNIX SOCK_STREAM);

my $LOOK_S = 5;    # between two looks whether the domain still comes
my @NEEDED = map { "Snow::$_" } qw(Common Xenstore Record Rules Loop Mapper Disk Holder Block);

sub folder { return "$Snow::Common::RUN/workers" }

# `snow-lease workers COUNT PID`: they end with that process, the xl that receives the domain. They are asked at a socket with its number.
sub start {
    my ($count, $xl) = @_;
    "@_" =~ /\A[1-9] [0-9]+\z/ or die "give the number of disks, up to 9, and that of the xl that receives them\n";
    my $began = Snow::Common::started($xl) // return 0;
    Snow::Common::make_run('workers');
    defined Snow::Common::started($_) || unlink folder() . "/$_" for Snow::Common::names(folder());
    my $path = folder() . "/$xl";
    unlink $path;
    socket(my $listener, AF_UNIX, SOCK_STREAM, 0) or die "no socket: $!\n";
    bind $listener, pack 'S a108', AF_UNIX, $path or die "$path: $!\n";    # unix(7), struct sockaddr_un
    listen $listener, $count or die "$path: $!\n";
    fcntl $listener, F_SETFL, O_NONBLOCK or die "$path: $!\n";    # of several that hear of a request, one gets it
    for (1 .. $count) {
        my $pid = fork // die "cannot fork: $!\n";
        next if $pid;
        eval { _work($listener, $path, sub { (Snow::Common::started($xl) // '') eq $began }) };
        Snow::Common::note("a worker ended: $@") if $@;
        exit 0;
    }
    return 0;
}

# Compiled in each of them, not before the fork: what two share is copied when it is first used, and that would be while the domain is away.
sub _work {
    my ($listener, $path, $is_needed) = @_;
    Snow::Holder::leave_caller($listener);
    $0 = 'snow-lease: worker';
    main::compile($_) for @NEEDED;
    my $xenstore = Snow::Xenstore->connect;
    while (1) {
        my $ready = '';
        vec($ready, fileno $listener, 1) = 1;
        if (select $ready, undef, undef, $LOOK_S) {
            accept(my $caller, $listener) or next;
            my ($backend, $id) = _asked_by($caller) or next;
            close $listener;
            return _attach($backend, $id, $caller, $xenstore);
        }
        next if $is_needed->();
        unlink $path;
        return;
    }
    return;
}

# The disk that is asked for; nothing if the caller did not wait for this process's number: it has attached the disk itself.
sub _asked_by {
    my ($caller) = @_;
    local $SIG{PIPE} = 'IGNORE';
    syswrite $caller, "$$\n" or return;
    return Snow::Block::disk_of(main::answer_of($caller, 10));
}

sub _attach {
    my ($backend, $id, $caller, $xenstore) = @_;
    my $disk = Snow::Block::asked_for($xenstore, $backend, $id);
    my $say = sub {
        my $code = Snow::Block::answer($xenstore, $backend, $disk, $_[0]);
        $xenstore->end;    # this process stays for as long as the domain lives
        local $SIG{PIPE} = 'IGNORE';
        syswrite $caller, "$code\n";
    };
    Snow::Block::attach_and_stay($disk, $say, $caller);
    return;
}
