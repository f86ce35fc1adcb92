"""A systemd unit on all servers: whether it runs anywhere, and stopped on all at once."""

from __future__ import annotations

from snowha.live import cluster
from snowha.live.context import SiteContext
from snowha.plan.step import Reporter


def active(context: SiteContext, unit: str) -> str | None:
    return context.first_missing(lambda host: f"{unit} runs" if cluster.is_active(host, unit) else None)


def stop(context: SiteContext, unit: str, reporter: Reporter) -> None:
    """Stop a service on every server at once: one server alone would be missed by the others."""
    reporter.say(f"stopping {unit}")
    context.on_all(lambda host: host.run(["systemctl", "stop", unit], timeout=300))
