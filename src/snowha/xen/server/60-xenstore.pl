package Snow::Xenstore;
# xenstore's wire protocol (Xen docs/misc/xenstore.txt, xen/include/public/io/xs_wire.h), since each xenstore-read(1) is a process.
use strict;
use Snow::Linux qw(O_RDWR EAGAIN AF_UNIX SOCK_STREAM SOL_SOCKET SO_SNDTIMEO);

my %TYPE = (directory => 1, read => 2, watch => 4, write => 11, rm => 13);
my ($EVENT, $ERROR) = (15, 16);

sub connect {
    my ($class, $limit) = @_;
    my $self = bless { limit => $limit // 10, events => [], number => 0 }, $class;
    for my $path ('/run/xenstored/socket', '/var/run/xenstored/socket') {
        next unless -S $path;
        socket(my $socket, AF_UNIX, SOCK_STREAM, 0) or next;
        # a xenstored that hangs takes one connection more, and connect(2) then waits for ever: not for longer than this (socket(7))
        setsockopt $socket, SOL_SOCKET, SO_SNDTIMEO, pack 'l! l!', $self->{limit}, 0;
        if (connect $socket, pack 'S a108', AF_UNIX, $path) {    # unix(7), struct sockaddr_un
            $self->{file} = $socket;
            return $self;
        }
        die "xenstore does not answer\n" if $! == EAGAIN;
    }
    sysopen(my $device, '/dev/xen/xenbus', O_RDWR) or die "xenstore cannot be reached: $!\n";
    # it keeps one message, which the next one is written over, sent or not (Linux drivers/xen/xenbus/xenbus_dev_frontend.c)
    @{$self}{qw(file one_by_one)} = ($device, 1);
    return $self;
}

sub fileno { return fileno $_[0]{file} }
sub end { return close delete $_[0]{file} }

sub _exactly {
    my ($self, $size, $end) = @_;
    my $text = '';
    while (length $text < $size) {
        my $left = $end - Snow::Common::uptime();
        my $ready = '';
        vec($ready, CORE::fileno($self->{file}), 1) = 1;
        die "xenstore does not answer\n" if $left <= 0 || !select $ready, undef, undef, $left;
        my $got = sysread $self->{file}, $text, $size - length $text, length $text;
        die "xenstore ended the connection\n" unless $got;
    }
    return $text;
}

sub _message {
    my ($self, $end) = @_;
    my ($type, $number, undef, $length) = unpack 'L4', $self->_exactly(16, $end);
    return ($type, $number, $length ? $self->_exactly($length, $end) : '');
}

# The answer; nothing if xenstore refused, with its word for why (ENOENT) in $self->{error}.
sub ask {
    my ($self, $verb, $payload) = @_;
    return $self->_answer($self->_send($verb, $payload), Snow::Common::uptime() + $self->{limit});
}

sub _send {
    my ($self, $verb, $payload) = @_;
    my $number = ++$self->{number};
    my $text = pack('L4', $TYPE{$verb}, $number, 0, length $payload) . $payload;
    local $SIG{PIPE} = 'IGNORE';
    (syswrite($self->{file}, $text) // 0) == length $text or die "xenstore cannot be asked: $!\n";
    return $number;
}

sub _answer {
    my ($self, $number, $end) = @_;
    while (1) {
        my ($type, $of, $answer) = $self->_message($end);
        if ($type == $EVENT) {
            push @{ $self->{events} }, (split /\0/, $answer)[0];
            next;
        }
        next if $of != $number;
        if ($type == $ERROR) {
            ($self->{error}) = $answer =~ /\A([A-Z0-9]+)/;
            return;
        }
        return $answer;
    }
}

# The values at these paths; nothing for one that is not there. What is asked for next waits for no answer: each takes its time, here and
# in `write`, while a domain is away.
sub read {
    my ($self, @paths) = @_;
    my @values = map { $_->[0] } $self->_ask_all('read', map { "$_\0" } @paths);
    return wantarray ? @values : $values[0];
}

# Values below one path, in this order.
sub write {
    my ($self, $path, @pairs) = @_;
    my (@names, @payloads);
    while (my ($name, $value) = splice @pairs, 0, 2) { push @names, $name; push @payloads, "$path/$name\0$value" }
    for ($self->_ask_all('write', @payloads)) {
        my ($name, $answer, $error) = (shift @names, @$_);
        defined $answer or die "xenstore: $path/$name cannot be written ($error)\n";
    }
    return 1;
}

# Of each its answer, and xenstore's word if it has none.
sub _ask_all {
    my ($self, $verb, @payloads) = @_;
    return map { [scalar $self->ask($verb, $_), $self->{error}] } @payloads if $self->{one_by_one};
    my @sent = map { $self->_send($verb, $_) } @payloads;
    my $end = Snow::Common::uptime() + $self->{limit};
    return map { [scalar $self->_answer($_, $end), $self->{error}] } @sent;
}

sub rm { return $_[0]->ask('rm', "$_[1]\0") }
sub watch { return defined $_[0]->ask('watch', "$_[1]\0snow\0") ? 1 : 0 }
sub list { return split /\0/, $_[0]->ask('directory', "$_[1]\0") // '' }

# The paths that changed, waiting for up to `limit` seconds; none if nothing did.
sub changes {
    my ($self, $limit) = @_;
    my $end = Snow::Common::uptime() + $limit;
    until (@{ $self->{events} }) {
        my $left = $end - Snow::Common::uptime();
        last if $left < 0;
        my $ready = '';
        vec($ready, CORE::fileno($self->{file}), 1) = 1;
        last unless select $ready, undef, undef, $left;
        my ($type, undef, $answer) = $self->_message(Snow::Common::uptime() + $self->{limit});
        push @{ $self->{events} }, (split /\0/, $answer)[0] if $type == $EVENT;
    }
    return splice @{ $self->{events} };
}

# Domain id => name, of dom0, too; undefined for one that has none.
sub names {
    my ($self) = @_;
    my %names;
    my @ids = $self->list('/local/domain');
    @names{@ids} = $self->read(map { "/local/domain/$_/name" } @ids);
    return \%names;
}
