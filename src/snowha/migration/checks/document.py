"""docs/checks.md, made from the catalogue."""

from __future__ import annotations

from snowha.migration.checks.catalogue import ENTRIES


def document() -> str:
    """docs/checks.md."""
    lines = [
        "# What `snow ha check` looks for",
        "",
        "`snow ha check` asks every server at once and changes nothing. A **stop** ends `snow ha apply` before it changes",
        "anything, and makes `snow ha check` exit with 4. A **warn** is worth an evening, a **note** is worth knowing.",
        "`snow ha check --fix` carries out the remedies that are safe, and looks again.",
        "",
        "This page is made from the code (`src/snowha/migration/checks/catalogue.py`).",
        "",
        "| code | severity | `--fix` |",
        "|---|---|---|",
        *(
            f"| [{code}](#{code}) | {entry.severity} | {'yes' if entry.fix else ''} |"
            for code, entry in sorted(ENTRIES.items())
        ),
        "",
    ]
    for code, entry in sorted(ENTRIES.items()):
        lines += [
            f"## {code}",
            "",
            f"{entry.title} ({entry.severity}). {entry.why}",
            "",
            f"**Do:** {entry.remedy}.",
            "",
        ]
        if entry.fix:
            lines += [f"`--fix` does it: step `{entry.fix.replace('{server}', 'SERVER')}`.", ""]
    return "\n".join(lines).rstrip() + "\n"
