"""Setting up Corosync (guide: "Setting up Corosync"): one key, one configuration, links and quorum seen from every server."""

from __future__ import annotations

import secrets
from functools import partial

from snowha.cluster import corosync_conf, crm_mon
from snowha.errors import SiteError
from snowha.hosts.files import read_file, read_text, stat, write_file
from snowha.hosts.host import Host
from snowha.hosts.wait import wait_for
from snowha.live.context import SiteContext
from snowha.plan.step import Reporter, Step
from snowha.site.names import agreed

KEY = "/etc/corosync/authkey"
CONF = "/etc/corosync/corosync.conf"


def steps(context: SiteContext) -> list[Step]:
    """The section's steps."""
    packages = tuple(f"servers.packages.{server.name}" for server in context.site.servers)
    # a new server reboots into Xen: nothing is written to it meanwhile
    running = tuple(f"servers.xen.{server.name}" for server in context.new_servers)
    return [
        Step(
            id="corosync.key",
            title="Give every server the same Corosync key",
            section="corosync",
            check=partial(_key_missing, context),
            apply=partial(_write_key, context),
            needs=(*packages, *running),
        ),
        Step(
            id="corosync.conf",
            title="Give every server the same corosync.conf: knet, encrypted, every link",
            section="corosync",
            check=partial(_conf_missing, context),
            apply=partial(_write_conf, context),
            needs=(*packages, *running),
        ),
        Step(
            id="corosync.start",
            title="Start Corosync, and check links and quorum on every server",
            section="corosync",
            check=partial(membership_missing, context),
            apply=partial(start, context),
            needs=("corosync.key", "corosync.conf"),
        ),
    ]


def _key_missing(context: SiteContext) -> str | None:
    keys = context.on_all(lambda host: read_file(host, KEY))
    if None in keys.values() or len(set(keys.values())) > 1:
        return "the servers have different keys"

    def open_to_others(host: Host) -> str | None:
        facts = stat(host, KEY)
        return None if facts and facts.mode == 0o400 else f"{KEY} is not mode 0400"

    return context.first_missing(open_to_others)


def _write_key(context: SiteContext, reporter: Reporter) -> None:
    present = [key for key in context.on_all(lambda host: read_file(host, KEY)).values() if key]
    # 256 bytes are what corosync-keygen(8) writes
    key = present[0] if present else secrets.token_bytes(256)
    reporter.say(f"writing {KEY}")
    context.on_all(lambda host: write_file(host, KEY, key, mode=0o400, owner="root:root", keep=bool(present)))


def _conf_missing(context: SiteContext) -> str | None:
    wanted = corosync_conf.compose(context.site)
    return context.first_missing(lambda host: None if read_text(host, CONF) == wanted else f"{CONF} differs")


def _write_conf(context: SiteContext, reporter: Reporter) -> None:
    wanted = corosync_conf.compose(context.site)
    running = context.on_all(lambda host: host.run(["systemctl", "is-active", "--quiet", "corosync"], check=False).ok)
    if any(running.values()):
        raise SiteError(
            "corosync runs with a different configuration",
            where=", ".join(name for name, runs in running.items() if runs),
            remedy=corosync_conf.STOP_REMEDY,
        )
    reporter.say(f"writing {CONF}")
    context.on_all(lambda host: write_file(host, CONF, wanted, mode=0o644))


def membership_problem(host: Host, context: SiteContext) -> str | None:
    """Why ``host`` does not see all servers over all links with quorum, None if it does."""
    quorum = host.run(["corosync-quorumtool", "-s"], check=False)
    if "Quorum information" not in quorum.stdout:
        return "corosync does not run"
    seen = crm_mon.parse_quorum(quorum.stdout)
    if not seen.quorate:
        return "no quorum"
    if len(seen.members) != len(context.site.servers):
        return f"sees {len(seen.members)} of {len(context.site.servers)} servers"
    links = crm_mon.parse_links(host.run(["corosync-cfgtool", "-s"], check=False).stdout)
    if len(links) != len(context.site.servers[0].links):
        return f"{len(links)} links, not {len(context.site.servers[0].links)}"
    down = [str(link.number) for link in links if not link.connected]
    return f"link{'s' if down[1:] else ''} {agreed(down, 'is', 'are')} down" if down else None


def membership_missing(context: SiteContext) -> str | None:
    """The first server that does not see all servers over all links with quorum, and why; None if each does."""
    return context.first_missing(lambda host: membership_problem(host, context))


def start(context: SiteContext, reporter: Reporter) -> None:
    """Start Corosync on every server, and wait until each sees all links and quorum. Raises ProofError."""
    context.on_all(lambda host: host.run(["systemctl", "start", "corosync"], timeout=120))
    wait_for(
        lambda: membership_missing(context) is None,
        timeout=120,
        what="every server to see all links and quorum",
        report=reporter.wait,
    )
