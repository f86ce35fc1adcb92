"""Corosync's configuration and key moved aside."""

from __future__ import annotations

from snowha.checks.cluster import is_ours
from snowha.hosts.files import exists, read_text, remove_file, write_file
from snowha.hosts.host import Host
from snowha.live.context import SiteContext
from snowha.migration.undo.kept_files import before_on
from snowha.plan.step import Reporter
from snowha.provision.corosync import CONF, KEY


def _conf_is_ours(host: Host) -> bool:
    return is_ours(read_text(host, CONF) or "")


def conf_left(context: SiteContext) -> str | None:
    return context.first_missing(lambda host: f"{CONF} is snow-ha's" if _conf_is_ours(host) else None)


def restore_conf(context: SiteContext, reporter: Reporter) -> None:
    """As it was before, or none: the earlier version is kept."""
    for host in context.hosts.values():
        if not _conf_is_ours(host):
            continue
        original = before_on(host, CONF, is_ours)
        if original is None:
            remove_file(host, CONF)
        else:
            write_file(host, CONF, original)


def key_left(context: SiteContext) -> str | None:
    return context.first_missing(lambda host: f"{KEY} exists" if exists(host, KEY) else None)


def remove_key(context: SiteContext, reporter: Reporter) -> None:
    context.on_all(lambda host: remove_file(host, KEY))
