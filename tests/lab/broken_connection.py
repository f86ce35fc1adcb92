"""The connection that a live migration goes over, cut within milliseconds of what xl says."""

from __future__ import annotations

import shlex

# A command for each look would be too slow: between the permission and the end of a migration there is less than half a second.
_CUT = r"""
my ($there, $log, $said) = @ARGV;
my ($ssh, $until) = (undef, time + 180);
sub text { local $/; open my $file, '<', $_[0] or return ''; my $text = <$file>; return $text // '' }
while (1) {
    die "not so after 180 s: $said\n" if time > $until;
    unless ($ssh) {
        for my $path (glob '/proc/[0-9]*/cmdline') {
            ($ssh) = $path =~ /(\d+)/ if text($path) =~ /\Assh\0.*\0\Q$there\E\0.*migrate-receive/s;
        }
    }
    if (index(text($log), $said) >= 0) {
        die "no connection to $there was seen\n" unless $ssh;
        kill 'KILL', $ssh or die "the connection to $there is gone already\n";
        exit 0;
    }
    select undef, undef, undef, 0.003;
}
"""


def cut_at(said: str, log: str, there: str) -> str:
    """A line of shell for the source: it ends when xl has said so in `log` and its ssh to `there` was killed."""
    return f"perl -e {shlex.quote(_CUT)} {there} {log} {shlex.quote(said)}"


# What xl writes to its peer (tools/xl/xl_migrate.c, migrate_permission_to_go): from then on the domain is the target's.
_RELAY = r"""#!/usr/bin/perl
use strict;
use warnings;
my $go = 'domain is yours, you are cleared to unpause';
pipe(my $in, my $to_ssh) && pipe(my $from_ssh, my $out) or die "pipe: $!\n";
my $ssh = fork // die "fork: $!\n";
unless ($ssh) {
    open(STDIN, '<&', $in) && open(STDOUT, '>&', $out) or die "dup: $!\n";
    close $_ for $in, $out, $to_ssh, $from_ssh;
    exec 'ssh', '-o', 'ControlPath=none', @ARGV or die "ssh: $!\n";
}
close $in;
close $out;
sub pass {
    my ($to, $data) = @_;
    while (length $data) {
        my $count = syswrite($to, $data) // die "write: $!\n";
        substr($data, 0, $count, '');
    }
}
my ($tail, $gone, $is_open) = ('', 0, 1);
while (1) {
    my $ready = '';
    vec($ready, fileno STDIN, 1) = 1 if $is_open;
    vec($ready, fileno $from_ssh, 1) = 1;
    select($ready, undef, undef, undef) > 0 or die "select: $!\n";
    if ($is_open && vec($ready, fileno STDIN, 1)) {
        if (sysread(STDIN, my $data, 65536)) {
            pass($to_ssh, $data);
            $tail = substr($tail . $data, -2 * length $go);
            $gone ||= index($tail, $go) >= 0;
        } else {
            $is_open = 0;
            close $to_ssh;
        }
    }
    if (vec($ready, fileno $from_ssh, 1)) {
        sysread($from_ssh, my $data, 65536) or exit 1;
        if ($gone) {
            kill 'KILL', $ssh;
            exit 1;
        }
        pass(*STDOUT, $data);
    }
}
"""
RELAY = "/root/cut-after-go"


def install_relay() -> str:
    """A line of shell: it makes RELAY, a command for `xl migrate -s` in place of ssh. It ends when the target was told to run the
    domain and has answered that it does; the source never hears of it."""
    return f"printf %s {shlex.quote(_RELAY)} > {RELAY}; chmod 755 {RELAY}"
