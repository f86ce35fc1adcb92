"""Domains whose memory lies in a file (``xl save``): off, and to be restored with the disks as they were left."""

from __future__ import annotations

from snowha.hosts.host import Host
from snowha.hosts.read_only import read_only_script
from snowha.xen import xendomains

# The shell function `saved`: a line a file, its domain's name and its path. Looked at is where xendomains saves to, now or before
# its settings were changed by us, and xl's own place. The head of a file: tools/xl/xl.h (struct save_file_header), then the
# domain's configuration as JSON, or as it was written. Needs `xendomains_sets`.
FUNCTION = """\
saved() {
    for conf in /etc/default/xendomains /etc/sysconfig/xendomains /var/lib/snow-ha/kept/etc/default/xendomains/*; do
        [ ! -r "$conf" ] || printf '%s\\n' "$(xendomains_sets "$conf" XENDOMAINS_SAVE '')"
    done | { cat; echo /var/lib/xen/save; } | sort -u | while IFS= read -r folder; do
        [ -n "$folder" ] || continue
        for file in "$folder"/*; do
            [ -f "$file" ] || continue
            case $(head -c 27 -- "$file" | tr -d '\\0') in 'Xen saved domain, xl format') ;; *) continue ;; esac
            name=$(head -c 1048576 -- "$file" | tr '\\0' '\\n' | sed -n \\
                -e 's/^.*"name": *"\\([^"]*\\)".*$/\\1/p' \\
                -e "s/^ *name *= *[\\"']\\([^\\"']*\\)[\\"'].*$/\\1/p" | head -n 1)
            printf '%s %s\\n' "${name:-${file##*/}}" "$file"
        done
    done
}
"""
_FIND = read_only_script(f"export LC_ALL=C\n{xendomains.FUNCTION}{FUNCTION}saved\n")


def parse(text: str) -> dict[str, str]:
    """The file of each domain that is saved, by its name."""
    return {name: path for name, _, path in (line.partition(" ") for line in text.splitlines()) if path}


def files(host: Host) -> dict[str, str]:
    """The same on ``host``."""
    return parse(host.run(["sh", "-c", _FIND], timeout=120).stdout)


def remedy(path: str) -> str:
    """What to do with a domain that is saved in ``path``."""
    return (
        f"xl restore {path}, then run this again; or, if what it had in memory is not needed, move {path} away: "
        "its disks are then as after a power cut"
    )
