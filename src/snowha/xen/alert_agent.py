"""The program that tells people what Pacemaker's alerts mean: one file of Perl, which Pacemaker runs as hacluster.

``python -m snowha.xen.alert_agent`` prints it, for the package that holds it (debian/rules).
"""

from __future__ import annotations

from importlib import resources

from snowha.hosts.files import make_dir, read_text, stat, write_file
from snowha.hosts.host import Host

PATH = "/usr/lib/snow-ha/snow-alert"
SENDMAIL = "/usr/sbin/sendmail"
"""What a mail is given to (Debian Policy 11.6); any mail server's package has it."""


def text() -> str:
    """The program."""
    return (resources.files("snowha.xen") / "alert.pl").read_text()


def missing(host: Host) -> str | None:
    """What is wrong with the program on ``host``, None if nothing is."""
    if read_text(host, PATH) != text():
        return f"{PATH} is missing or differs"
    facts = stat(host, PATH)
    return None if facts is not None and facts.mode & 0o005 == 0o005 else f"{PATH} cannot be executed by hacluster"


def install(host: Host) -> None:
    """Put it where Pacemaker looks for it."""
    make_dir(host, "/usr/lib/snow-ha", mode=0o755, owner="root:root")
    write_file(host, PATH, text(), mode=0o755, owner="root:root")


if __name__ == "__main__":
    print(text(), end="")
