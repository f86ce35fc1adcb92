"""The settings of what starts and saves domains beside Pacemaker: /etc/default/xendomains."""

from __future__ import annotations

SETTINGS = "/etc/default/xendomains"
# The shell function `xendomains_sets FILE VARIABLE DEFAULT`: what the variable is once xendomains has read the file, which is a
# script of bash (Debian: /etc/init.d/xendomains). Another shell reads arrays, `source` and `[[` otherwise, or gives the file up.
FUNCTION = """\
xendomains_sets() {
    bash -c 'unset -v "$2"; [ ! -r "$1" ] || . "$1" > /dev/null 2>&1; printf "%s" "${!2-$3}"' bash "$@"
}
"""
AUTO = f"xendomains_sets {SETTINGS} XENDOMAINS_AUTO /etc/xen/auto"
"""What prints the folder whose configs are started at boot; nothing where none is."""
