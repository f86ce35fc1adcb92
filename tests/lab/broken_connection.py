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
