"""prometheus-hacluster-exporter on a server, where ``ha.toml`` asks for it: Pacemaker's and Corosync's own metrics, port 9664.

Debian's configuration is left as it is: it names the paths that Debian has, and listens on every address.
"""

from __future__ import annotations

from snowha.hosts.host import Host
from snowha.live import cluster
from snowha.plan.step import Reporter

PACKAGE = "prometheus-hacluster-exporter"
UNIT = "ha_cluster_exporter.service"


def missing(host: Host) -> str | None:
    enabled = host.run(["systemctl", "is-enabled", UNIT], check=False).stdout.strip()
    if enabled != "enabled":
        return f"{UNIT} is not started at boot"
    return None if cluster.is_active(host, UNIT) else f"{UNIT} does not run"


def start(host: Host, reporter: Reporter) -> None:
    """It needs no cluster: it runs, and says so, while Pacemaker does not."""
    reporter.say(f"{host.name} starts {UNIT}")
    host.run(["systemctl", "enable", "--now", UNIT], timeout=180)
