package Snow::Evidence;
# Whether a boot of a server is over, so that nothing of it can write to an image any more. Two things prove it: the server answers
# with another boot id, or Pacemaker fenced it after it wrote its record (its power was read back as off).
use strict;

# No two clocks are compared. The record's time was given by the storage, and so is "now" (a new file's time); how long ago the
# fencing ended is told by this server's own clock alone. A server needs longer than this to boot, so what a fenced server wrote
# is older, and what its next boot writes is younger than the fencing by more.
my $TOLERANCE = 3;

# What was proven once stays true, and is noted: a disk that is attached has no time to ask, since asking takes seconds.
sub is_known_to_be_over {
    my ($server, $boot) = @_;
    return "$server.$boot" =~ /\A[A-Za-z0-9][A-Za-z0-9.-]*\z/ && -e "$Snow::Common::RUN/over/$server.$boot" ? 1 : 0;
}

# Whether a boot that is over was ended by a fence, as it is noted, after the record was changed.
sub was_fenced_since {
    my ($server, $boot, $record) = @_;
    return 0 unless is_known_to_be_over($server, $boot);
    my ($at) = (Snow::Common::read_file("$Snow::Common::RUN/over/$server.$boot") // '') =~ /\Afenced (\d+):/ or return 0;
    return _is_since($at, $server, $record);
}

# When a server had what the record says, at the latest, by the storage's clock. What a migration's target wrote last says nothing of
# when its source had it, nor what a source wrote when it ended, of the target.
sub _claimed {
    my ($server, $record) = @_;
    return $record->{claim} && ($record->{server} eq $server || $record->{server} eq '-') ? $record->{claim} : $record->{changed};
}

# Whether a moment, by the storage's clock, was after a server had what the record says.
sub _is_since {
    my ($at, $server, $record) = @_;
    return $at >= _claimed($server, $record) - $TOLERANCE ? 1 : 0;
}

# Whoever must be gone before `me` may have an image that it does not have: pairs of server and boot id.
sub others {
    my ($record, $me) = @_;
    return () if $record->{state} eq 'free';
    my @pairs = (['server', 'boot'], $record->{state} eq 'tentative' ? ['to', 'toboot'] : ());
    return grep { $_->[0] =~ /\w/ && $_->[0] ne $me->{server} } map { [@{$record}{@$_}] } @pairs;
}
