package Snow::Common;
# What every part needs: small files, this server, time.
use strict;
use Snow::Linux qw(O_WRONLY O_CREAT O_TRUNC);

our $RUN;    # 99-main.pl has its value

sub read_file {
    my ($path) = @_;
    open(my $file, '<', $path) or return;
    local $/;
    my $text = <$file>;
    close $file;
    return unless defined $text;
    $text =~ s/\s+\z//;
    return $text;
}

# A path as the kernel shows it, without doubled slashes and `/./`: xl and configs have it as it was typed.
sub plain { return $_[0] =~ s{/(?:\.?/)+}{/}gr }

# What is in a folder, sorted; nothing if there is none. glob() would load a module first.
sub names {
    my ($folder) = @_;
    opendir(my $handle, $folder) or return;
    return sort grep { !/\A\./ } readdir $handle;
}

# Written beside and renamed, so that nobody reads half of it.
sub write_file {
    my ($path, $text) = @_;
    my $new = "$path.new.$$";
    sysopen(my $file, $new, O_WRONLY | O_CREAT | O_TRUNC, 0600) or die "cannot write $new: $!\n";
    print {$file} $text or die "cannot write $new: $!\n";
    close $file or die "cannot write $new: $!\n";
    rename $new, $path or die "cannot rename $new: $!\n";
    return;
}

sub make_run {
    for my $folder ($RUN, map { "$RUN/$_" } @_) {
        mkdir $folder, 0700 or -d $folder or die "cannot make $folder: $!\n";
    }
    return;
}

# As the cluster calls it. The host name, which may have a domain, is what is left where nobody has written that down.
sub server {
    my $name = $ENV{SNOW_SERVER} // read_file('/etc/snow-ha/server') // read_file('/proc/sys/kernel/hostname') // '';
    $name =~ s/\..*//s;
    return $name ne '' ? $name : die "this server has no name\n";
}

sub boot { return $ENV{SNOW_BOOT} // read_file('/proc/sys/kernel/random/boot_id') // die "this server has no boot id\n" }

# Seconds since this server booted: no clock that somebody sets (proc(5)).
sub uptime { return (split ' ', read_file('/proc/uptime'))[0] }

# When a process of this server was started, in clock ticks since the boot (proc(5), stat): with its number, it is no other one.
# Nothing if there is none.
sub started {
    my ($pid) = @_;
    my $stat = read_file("/proc/$pid/stat") // return;
    return (split ' ', $stat =~ s/\A.*\) //sr)[19];
}

sub pause { select undef, undef, undef, $_[0]; return }

sub now {
    my @t = gmtime;
    return sprintf '%04d-%02d-%02dT%02d:%02d:%02dZ', $t[5] + 1900, $t[4] + 1, @t[3, 2, 1, 0];
}
