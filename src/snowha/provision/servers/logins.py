"""Root logs in from each server to every server, host keys pinned: xl migrates over ssh.

Also to itself: sNow! lists domains with ``ssh SERVER xl list`` for every name in SNOW_NODES, its own among them
(avail_domains in share/common.sh of 1.1.16).
"""

from __future__ import annotations

from snowha.hosts.files import exists, make_dir, read_text
from snowha.hosts.host import Host
from snowha.live.context import SiteContext
from snowha.plan.step import Reporter
from snowha.provision.servers.lines import add_lines
from snowha.site.model import Server

_KEY = "/root/.ssh/id_ed25519"
_KNOWN_HOSTS = "/etc/ssh/ssh_known_hosts"


def _pins(context: SiteContext) -> dict[str, list[str]]:
    """Lines for known_hosts by server: its public keys under all its names and addresses."""
    texts = context.on_all(lambda host: host.run(["sh", "-c", "cat /etc/ssh/ssh_host_*_key.pub"]).stdout)
    found = {}
    for server in context.site.servers:
        names = ",".join(dict.fromkeys((server.name, server.address, *server.links)))
        lines = texts[server.name].splitlines()
        found[server.name] = [f"{names} {' '.join(line.split()[:2])}" for line in lines if line.strip()]
    return found


def _login_words(server: Server) -> list[str]:
    return [
        "ssh",
        "-o",
        "BatchMode=yes",
        "-o",
        "StrictHostKeyChecking=yes",
        "-o",
        "ConnectTimeout=10",
        "-o",
        "ForwardAgent=no",
        server.name,
        "true",
    ]


def missing(context: SiteContext) -> str | None:
    def failing(host: Host) -> str | None:
        for server in context.site.servers:
            if not host.run(_login_words(server), check=False).ok:
                return f"cannot log in to {server.name} as root"
        return None

    return context.first_missing(failing)


def connect(context: SiteContext, reporter: Reporter) -> None:
    pins = _pins(context)
    reporter.say("looking for each server's own key")
    publics = context.on_all(_own_key)

    def trust_all(host: Host) -> None:
        reporter.say(f"pinning the servers' keys on {host.name}")
        add_lines(host, "/root/.ssh/authorized_keys", list(publics.values()), mode=0o600)
        add_lines(host, _KNOWN_HOSTS, [line for pinned in pins.values() for line in pinned], mode=0o644)

    context.on_all(trust_all)


def _own_key(host: Host) -> str:
    """The public key of root on ``host``, made if there is none."""
    make_dir(host, "/root/.ssh", mode=0o700)
    if not exists(host, _KEY):
        host.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", f"root@{host.name}", "-f", _KEY])
    return (read_text(host, f"{_KEY}.pub") or "").strip()
