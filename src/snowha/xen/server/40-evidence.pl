package Snow::Evidence;
# Whether a boot of a server is over, so that nothing of it can write to an image any more. Two things prove it: the server answers
# with another boot id, or Pacemaker fenced it after it wrote its record (its power was read back as off).
use strict;
use warnings;

# No two clocks are compared. The record's time was given by the storage, and so is "now" (a new file's time); how long ago the
# fencing ended is told by this server's own clock alone. A server needs longer than this to boot, so what a fenced server wrote
# is older, and what its next boot writes is younger than the fencing by more.
our $TOLERANCE = 3;
my %said;

sub boot_is_over {
    my ($server, $boot, $record, $image) = @_;
    return $said{"$server $boot $record->{gen}"} //= _fenced_since($server, $record, $image) || _has_booted($server, $boot);
}

sub _fenced_since {
    my ($server, $record, $image) = @_;
    my ($text, $code) = Snow::Common::run(8, 'stonith_admin', "--history=$server", '--output-as=xml');
    return 0 if $code;
    my $ended = last_fencing($text, $server);
    return 0 unless defined $ended;
    my $age = time - $ended;
    my $now = Snow::Record::storage_time($image);
    return 0 if $age < 0 || !defined $now;
    my $claimed = $record->{claim} || $record->{mtime};
    return $now - $age >= $claimed - $TOLERANCE ? 1 : 0;
}

# When a server's power was last cut, in seconds since 1970 by this server's clock (stonith_admin(8), --history). "on" cuts nothing.
sub last_fencing {
    my ($xml, $server) = @_;
    my $last;
    while ($xml =~ /<fence_event\b([^>]*)>/g) {
        my %value;
        my $attributes = $1;
        $value{$1} = $2 while $attributes =~ /([\w-]+)="([^"]*)"/g;
        next unless ($value{target} // '') eq $server && ($value{status} // '') eq 'success';
        next unless ($value{action} // '') =~ /\A(?:off|reboot)\z/;
        my $ended = seconds($value{completed} // '');
        $last = $ended if defined $ended && (!defined $last || $ended > $last);
    }
    return $last;
}

# "2026-11-27 04:01:46.812030Z", "2026-11-27 05:01:46 +01:00"
sub seconds {
    my ($text) = @_;
    my ($y, $mo, $d, $h, $mi, $s, $zone)
        = $text =~ /\A(\d{4})-(\d\d)-(\d\d)[ T](\d\d):(\d\d):(\d\d)(?:\.\d+)?\s*(Z|[+-]\d\d:?\d\d)?\z/
        or return;
    my ($year, $month) = $mo > 2 ? ($y, $mo - 3) : ($y - 1, $mo + 9);
    my $days = 365 * $year + int($year / 4) - int($year / 100) + int($year / 400) + int((153 * $month + 2) / 5) + $d - 719469;
    my $at = (($days * 24 + $h) * 60 + $mi) * 60 + $s;
    if (($zone // 'Z') =~ /\A([+-])(\d\d):?(\d\d)\z/) {
        my $offset = ($2 * 60 + $3) * 60;
        $at -= $1 eq '+' ? $offset : -$offset;
    }
    return $at;
}

# Asked of the server itself, over the logins that live migration uses.
sub _has_booted {
    my ($server, $boot) = @_;
    return 0 unless $server =~ /\A[A-Za-z0-9][A-Za-z0-9.-]*\z/ && $boot =~ /\A[0-9a-f-]{36}\z/;
    my ($text, $code) = Snow::Common::run(
        4, 'ssh', '-o', 'BatchMode=yes', '-o', 'ConnectTimeout=2', "root\@$server", 'cat /proc/sys/kernel/random/boot_id');
    return 0 if $code || $text !~ /^([0-9a-f-]{36})\s*\z/m;
    return $1 ne $boot ? 1 : 0;
}
