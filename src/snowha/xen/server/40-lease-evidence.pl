package Snow::Evidence;
# Whether a boot of a server is over, so that nothing of it can write to an image any more. Two things prove it: the server answers
# with another boot id, or Pacemaker fenced it after it wrote its record (its power was read back as off).
use strict;
use Fcntl qw(:DEFAULT :flock);

# No two clocks are compared. The record's time was given by the storage, and so is "now" (a new file's time); how long ago the
# fencing ended is told by this server's own clock alone. A server needs longer than this to boot, so what a fenced server wrote
# is older, and what its next boot writes is younger than the fencing by more.
our $TOLERANCE = 3;
my %said;

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
    return $at >= _claimed($server, $record) - $TOLERANCE ? 1 : 0;
}

# When a server had what the record says, at the latest, by the storage's clock. What a migration's target wrote last says nothing of
# when its source had it, nor what a source wrote when it ended, of the target.
sub _claimed {
    my ($server, $record) = @_;
    return $record->{claim} && ($record->{server} eq $server || $record->{server} eq '-') ? $record->{claim} : $record->{changed};
}

# Of several domains that are started at once, as when a server was lost, one asks Pacemaker.
sub boot_is_over {
    my ($server, $boot, $record, $image) = @_;
    return 0 unless "$server.$boot" =~ /\A[A-Za-z0-9][A-Za-z0-9.-]*\z/;
    my $key = "$server $boot $record->{gen}";
    return $said{$key} if defined $said{$key};
    Snow::Common::make_run('over');
    my $folder = "$Snow::Common::RUN/over";
    my $noted = "$folder/$server.$boot";
    return $said{$key} = 1 if -e $noted;
    sysopen(my $turn, "$folder/.lock", O_RDWR | O_CREAT, 0600) or die "$folder/.lock: $!\n";
    flock $turn, LOCK_EX;
    return $said{$key} = 1 if -e $noted;
    my $fenced = _fenced_since($server, $record, $image);
    my $over = $fenced || _has_booted($server, $boot);
    my $how = $fenced ? "fenced $fenced" : 'booted';
    Snow::Common::write_file($noted, "$how: proven for $image at " . Snow::Common::now() . "\n") if $over;
    return $said{$key} = $over ? 1 : 0;
}

# When it was, by the storage's clock.
sub _fenced_since {
    my ($server, $record, $image) = @_;
    # without --verbose it prints one event of those that succeeded, the oldest (seen with 3.0.0)
    my ($text, $code) = Snow::Common::run(8, 'stonith_admin', "--history=$server", '--verbose', '--output-as=xml');
    return 0 if $code;
    my $ended = last_fencing($text, $server);
    return 0 unless defined $ended;
    my $age = time - $ended;
    my $now = Snow::Record::storage_time($image);
    return 0 if $age < 0 || !defined $now;
    return $now - $age >= _claimed($server, $record) - $TOLERANCE ? $now - $age : 0;
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

# Whoever must be gone before `me` may have an image that it does not have: pairs of server and boot id.
sub others {
    my ($record, $me) = @_;
    return () if $record->{state} eq 'free';
    my @pairs = (['server', 'boot'], $record->{state} eq 'tentative' ? ['to', 'toboot'] : ());
    return grep { $_->[0] =~ /\w/ && $_->[0] ne $me->{server} } map { [@{$record}{@$_}] } @pairs;
}

# Asked of the server itself, over the logins that live migration uses. It says its name, too: a name that leads to another machine
# (/etc/hosts) would prove that any server has booted.
sub _has_booted {
    my ($server, $boot) = @_;
    return 0 unless $server =~ /\A[A-Za-z0-9][A-Za-z0-9.-]*\z/ && $boot =~ /\A[0-9a-f-]{36}\z/;
    my ($text, $code) = Snow::Common::run(
        4, 'ssh', '-o', 'BatchMode=yes', '-o', 'ConnectTimeout=2', "root\@$server",
        'cat /etc/snow-ha/server || uname -n; cat /proc/sys/kernel/random/boot_id');
    return 0 if $code || $text !~ /^\Q$server\E(?:\.\S*)?\n([0-9a-f-]{36})\s*\z/m;
    return $1 ne $boot ? 1 : 0;
}
