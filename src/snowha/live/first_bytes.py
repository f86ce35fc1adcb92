"""The first bytes of a file that may be a domain's image, read with O_DIRECT.

An NFS client that opens a file in the usual way gets a delegation of it. If its server loses its power, no other server can open
the image until the NFS lease ends, up to 90 s later: longer than libxl gives a block script. With O_DIRECT the client asks for no
delegation (Linux fs/nfs/nfs4proc.c, nfs4_map_atomic_open_share).
"""

from __future__ import annotations

from snowha.hosts.host import Host
from snowha.hosts.read_only import read_only_script

FUNCTION = """\
# 8 bytes of file $1 at $2, in hexadecimal. A file system without O_DIRECT has no delegations, either; NFS has it, and fails for
# other reasons only.
first_bytes() {
    { dd if="$1" bs=4096 count=1 iflag=direct || case $(stat -f -c %T -- "$1") in
        nfs*) ;;
        *) dd if="$1" bs=4096 count=1 ;;
    esac; } 2> /dev/null |
        od -A n -t x1 -j "$2" -N 8 2> /dev/null | tr -d ' \\n'
}
"""
READ = read_only_script(f'{FUNCTION}first_bytes "$1" 0\n')


def first_bytes(host: Host, path: str) -> str:
    """The first 8 bytes of ``path`` on ``host``, fewer of a shorter file, in hexadecimal."""
    return host.run(["sh", "-c", READ, "sh", path]).stdout.strip()
