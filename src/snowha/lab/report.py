"""What the demonstration found, as data, as a page, as a picture and for a terminal. Pure but for ``write``.

``python -m snowha.lab.report REPORT.json docs/demo.svg`` makes the picture alone (for a name in ``.html``, the page).
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

from snowha.errors import InputError, SnowError
from snowha.lab import report_chart
from snowha.lab.report_chart_layout import seconds_text
from snowha.migration.sections import SECTIONS

if TYPE_CHECKING:
    from rich.console import Group

AWAY = ("copy", "live_migration", "power_loss")


def problems(report: Mapping[str, Any]) -> list[str]:
    """Everything that is not as it must be, a line each; empty if all is well. What was not checked counts, too."""
    found = []
    for name, row in report["domains"].items():
        if row["lost"]:
            found.append(f"{name}: {_count(row['lost'], 'acknowledged record')} lost")
        elif row["found"] < row["acknowledged"]:
            found.append(f"{name}: {row['acknowledged']} records acknowledged, {row['found']} found")
        found += [f"{name}: {problem}" for problem in row.get("problems", ())]
        if not row["acknowledged"]:
            found.append(f"{name}: nothing was acknowledged, so nothing is known")
        if not row["ran_on"]:
            found.append(f"{name}: was never seen on a server, so it is not known where it ran")
        if not row["verified"]:
            found.append(f"{name}: its image is not verified")
    if report["two_places_at_once"]:
        found.append("a domain ran in two places at once")
    if report["stale_reads"]:
        found.append(f"{_count(report['stale_reads'], 'stale read')}: completed writes were lost")
    if not report.get("stale_checks"):
        found.append("no read was checked for being stale")
    corosync = report["corosync"]
    needed = (("encrypted", "Corosync is not encrypted"), ("quorate", "no quorum"))
    found += [text for key, text in needed if not corosync[key]]
    unproven = [server for server, row in report["fencing"].items() if row.get("proved_s") is None]
    found += [f"the fencing of {server} is not proven" for server in unproven]
    loss = report["power_loss"]
    if loss.get("fenced_s") is None:
        found.append(f"{loss['server']} was not seen fenced")
    if loss.get("all_back_s") is None:
        found.append(f"not every domain came back after {loss['server']} lost its power")
    return found


def headline(report: Mapping[str, Any]) -> str:
    """The verdict in one line."""
    wrong = problems(report)
    if wrong:
        return wrong[0] if len(wrong) == 1 else f"{wrong[0]}; and {len(wrong) - 1} more"
    loss = report["power_loss"]
    return (
        f"Nothing was lost, no domain ran in two places, and all were back {seconds_text(loss['all_back_s'])} "
        f"after {loss['server']} lost its power."
    )


def chart_svg(report: Mapping[str, Any]) -> str:
    """The picture for a README: the chart under its headline. Raises InputError for a report without a timeline."""
    if not report.get("timeline"):
        raise InputError("this report has no timeline", remedy="`make demo` makes one")
    return report_chart.chart_svg(report, headline=headline(report), good=not problems(report))


def build_html(report: Mapping[str, Any]) -> str:
    """One page that needs nothing else: no script, no other file; light, dark, and on paper."""
    import jinja2
    from markupsafe import Markup

    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters.update(seconds=_seconds, size=_size, number=_number)
    template = environment.from_string(resources.files("snowha.lab").joinpath("report.html.j2").read_text())
    wrong = problems(report)
    times = report.get("timeline")
    return template.render(
        report=report,
        wrong=wrong,
        headline=headline(report),
        totals=_totals(report),
        picture=Markup(report_chart.chart_svg(report)) if times else "",
        when=datetime.fromtimestamp(times["end"], UTC).strftime("%Y-%m-%d %H:%M UTC") if times else "",
        took=times["end"] - times["start"] if times else None,
        sections=_sections(report),
        longest=max((step["seconds"] for step in report["steps"]), default=1) or 1,
    )


def table(report: Mapping[str, Any]) -> Group:
    """The same for a terminal of 80 columns: images, domains, cluster, verdict."""
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    images = Table(title=f"Images (Debian {report['release']})", title_justify="left")
    images.add_column("domain", no_wrap=True)
    for name in ("moved from, to", "hash"):
        images.add_column(name, overflow="fold")
    domains = Table(title="Domains: seconds away, records", title_justify="left")
    domains.add_column("domain", no_wrap=True)
    for name in ("copy", "live migr.", "power loss", "ack'ed", "found", "lost"):
        domains.add_column(name, justify="right")
    domains.add_column("ran on")
    for name, row in report["domains"].items():
        away = [_seconds(row["away_s"].get(key)) for key in AWAY]
        lost = Text(str(row["lost"]), style="bold red" if row["lost"] else "green")
        digest = Text(_short_hash(row["hash"])) if row["verified"] else Text("NOT verified", style="bold red")
        images.add_row(Text(name), Text(f"{row['source']}\n{row['image']}"), digest)
        counts = [str(row["acknowledged"]), str(row["found"])]
        domains.add_row(Text(name), *away, *counts, lost, Text("\n".join(row["ran_on"])))
    cluster = Table(title="Cluster", title_justify="left", show_header=False)
    cluster.add_column("what", no_wrap=True)
    cluster.add_column("seen")
    for what, seen in _cluster_rows(report):
        cluster.add_row(Text(what), Text(seen))
    wrong = problems(report)
    verdict = [Text(f"✗ {line}", style="bold red") for line in wrong]
    verdict = verdict or [Text(f"✓ {headline(report)}", style="bold green")]
    return Group(images, domains, cluster, *verdict)


def write(report: Mapping[str, Any], folder: Path) -> None:
    """``report.json`` and ``report.html`` in ``folder``; each is there whole or as it was before."""
    folder.mkdir(parents=True, exist_ok=True)
    _replace(folder / "report.json", json.dumps(report, indent=2, ensure_ascii=False) + "\n")
    _replace(folder / "report.html", build_html(report))


def _replace(path: Path, text: str) -> None:
    new = path.with_name(f".{path.name}.new")
    new.write_text(text, encoding="utf-8")
    new.replace(path)


def _cluster_rows(report: Mapping[str, Any]) -> list[tuple[str, str]]:
    corosync, loss = report["corosync"], report["power_loss"]
    rows = [
        (
            "Corosync",
            f"{_count(corosync['links'], 'link')}, {'encrypted' if corosync['encrypted'] else 'NOT encrypted'}, "
            f"{'quorate' if corosync['quorate'] else 'NO quorum'}",
        ),
        *(
            (f"fencing of {server}", f"proven: power off after {_seconds(row.get('proved_s'))}")
            for server, row in report["fencing"].items()
        ),
        (
            f"power of {loss['server']} pulled",
            f"fenced after {_seconds(loss.get('fenced_s'))}, all back after {_seconds(loss.get('all_back_s'))}",
        ),
        ("in two places at once", "YES" if report["two_places_at_once"] else "never"),
        ("stale reads", f"{report['stale_reads']} of {_number(report.get('stale_checks') or 0)} checked"),
    ]
    if loss.get("restarted_before"):
        rows.insert(-2, ("restarted there before", loss["restarted_before"]))
    return rows


def _totals(report: Mapping[str, Any]) -> dict[str, Any]:
    rows = report["domains"].values()
    worst = {key: max((row["away_s"].get(key) or 0.0 for row in rows), default=0.0) for key in AWAY}
    return {key: sum(row[key] for row in rows) for key in ("bytes", "acknowledged", "found", "lost")} | {"away": worst}


def _sections(report: Mapping[str, Any]) -> list[tuple[str, list[Mapping[str, Any]]]]:
    steps: Sequence[Mapping[str, Any]] = report["steps"]
    names = [*SECTIONS, *sorted({step.get("section", "") for step in steps} - set(SECTIONS))]
    grouped = [(name, [step for step in steps if step.get("section", "") == name]) for name in names]
    return [(name, own) for name, own in grouped if own]


def _seconds(value: float | None) -> str:
    return "not seen" if value is None else seconds_text(value)


def _size(value: float) -> str:
    for unit in ("B", "KiB", "MiB", "GiB"):
        if value < 1024 or unit == "GiB":
            break
        value /= 1024
    return f"{value:.0f} {unit}" if unit == "B" or value >= 100 else f"{value:.2g} {unit}"


def _number(value: int) -> str:
    return f"{value:,}".replace(",", "\N{NARROW NO-BREAK SPACE}")


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _short_hash(text: str) -> str:
    method, colon, digest = text.rpartition(":")
    return f"{method}{colon}{digest[:12]}…" if len(digest) > 16 else text


def main(argv: Sequence[str] | None = None) -> int:
    """The command line. Returns the exit code."""
    words = list(sys.argv[1:] if argv is None else argv)
    try:
        if len(words) != 2:
            raise InputError("two arguments are needed", remedy="python -m snowha.lab.report REPORT.json docs/demo.svg")
        source, target = Path(words[0]), Path(words[1])
        try:
            report = json.loads(source.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise InputError(
                f"cannot read the report: {error}", where=str(source), remedy="`make demo` makes one"
            ) from error
        _replace(target, build_html(report) if target.suffix == ".html" else chart_svg(report) + "\n")
    except SnowError as error:
        print(f"snow: {error}", file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
