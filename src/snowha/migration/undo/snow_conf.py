"""snow.conf as it was before the cluster."""

from __future__ import annotations

from snowha.hosts.files import read_text, write_file
from snowha.live.context import SiteContext
from snowha.migration.undo.kept_files import before, changed_since, not_kept
from snowha.plan.step import Reporter
from snowha.provision import snow_conf_step


def changed(context: SiteContext) -> str | None:
    """Whether snow.conf is still the cluster's."""
    text = read_text(context.first, context.site.paths.snow_conf)
    if text is None or snow_conf_step.wanted(context, text) != text:
        return None
    return "SNOW_NODES, IMG_DST or a gateway is the cluster's" if _conf_before(context) is not None else None


def _conf_before(context: SiteContext) -> str | None:
    return before(context, context.site.paths.snow_conf, lambda text: snow_conf_step.wanted(context, text) == text)


def restore(context: SiteContext, reporter: Reporter) -> None:
    """Byte for byte. Raises SiteError if somebody has changed it since."""
    path = context.site.paths.snow_conf
    original = _conf_before(context)
    if original is None:
        raise not_kept(path, context.first.name)
    if snow_conf_step.wanted(context, original) != read_text(context.first, path):
        raise changed_since(path, context.first.name)
    reporter.say(f"restoring {path}")
    write_file(context.first, path, original)
