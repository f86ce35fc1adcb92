package Snow::Evidence;
# The proof that a boot of a server is over, asked of Pacemaker and of the server itself.
use strict;
use Snow::Linux qw(O_RDWR O_CREAT LOCK_EX);

my %said;

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
    return _is_since($now - $age, $server, $record) ? $now - $age : 0;
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
