"""docs/ha-toml.md, made from the tables of ``ha.toml``: ``python -m snowha.site.ha_reference > docs/ha-toml.md``"""

from __future__ import annotations

from collections.abc import Iterator
from typing import get_origin

from snowha.site.ha_keys import TABLES, File, Key
from snowha.site.toml_tables import Declared, declared

_HEAD = """\
# ha.toml

`ha.toml` describes the cluster. `snow ha init` writes it from what it finds, you read and correct it, and all other verbs
read it. Only `snow add domain` and `snow remove domain` change it. It is looked for in the folder that you are in, then in
`/etc/snow-ha/` of this machine, where every server keeps it; `--file FILE` names another, `--site SERVER` the one that a
server keeps: see [how-to.md](how-to.md#work-from-any-server). It is TOML 1.0 in UTF-8.

- Unknown keys are refused: a mistyped key is an error, which suggests the name that was probably meant.
- Strings are quoted, numbers are not. `"6000"` is not a number.
- The file contains no password. `secret` names a file (mode 0600) that holds one.
- `[name]` stands in the file once, `[[name]]` once for each server, mount, domain or group.
- The order of `[[server]]` has a meaning: the first one is the single server of today.

Errors are reported with file, line and remedy, before any server is asked. What the file says of the servers, `snow ha check`
compares with the servers: see [checks.md](checks.md). A whole file with comments is [ha.toml.sample](ha.toml.sample).

This page is generated from the code (`src/snowha/site/ha_keys.py`).
"""

_LATER = (
    (
        "`floating_ip`, `floating_nic`",
        "changes Pacemaker's configuration, moves the address to another server and back as a proof, and writes the new "
        "gateway into `snow.conf`",
    ),
    ("`[[apart]]`", "changes Pacemaker's configuration, and moves domains where a group is together"),
    (
        "`agent`, `address`, `username` of a fence, and what the device needs beside them",
        "changes the fence device, and proves it again: it asks, drains the server and cuts its power",
    ),
    ("the password in the file of `secret`", "brings it to the servers"),
    ("a new `[[mount]]`", "mounts it on every server but the first, and writes it into `/etc/fstab` there"),
    ("a new `[[domain]]`", "copies it from its volumes, and hands it to Pacemaker"),
    (
        "a `[[domain]]` less",
        "removes it from Pacemaker's configuration. **Pacemaker then shuts the domain down** (its property "
        "`stop-orphan-resources`). Its images and its config stay",
    ),
    ("`[alerts]`", "changes Pacemaker's configuration: the next event is told there"),
    (
        "`[metrics]`",
        "`true`: installs and starts the exporter on every server; `false` again: nothing, it continues to run",
    ),
    ("`warm_from_mib`", "nothing by itself: it applies to domains that are still to be copied"),
    (
        "`name` of the cluster, `token_ms`, `links`, a server more or less",
        "refuses, while Corosync runs with the old configuration ([corosync-running](checks.md#corosync-running)). Stopping "
        "the cluster on all servers stops all its domains: do it when they may be down",
    ),
)
"""What is changed in the file, and what ``snow ha apply`` does on a finished site."""

_PLAIN: dict[object, str] = {
    str: "string",
    int: "whole number",
    bool: "`true` or `false`",
    tuple[str, ...]: "list of strings",
}


def document() -> str:
    """The page. Raises KeyError for a type that it has no word for."""
    return "\n".join([_HEAD, *(_section(name, table) for name, table in TABLES.items()), *_later()])


def fields(table: type) -> Iterator[tuple[str, Declared, Key]]:
    """The keys of a table with what is said of each. Raises ValueError for a key that nothing is said of."""
    for name, key in declared(table).items():
        said = [one for one in key.said if isinstance(one, Key)]
        if len(said) != 1:
            raise ValueError(f"{table.__name__}.{name}: say what it does: Annotated[…, Key(…)]")
        yield name, key, said[0]


def _section(name: str, table: type) -> str:
    rows = [
        f"| `{name}` | {_type(key)} | {_default(key)} | {_cell(said.does)} | {_cell(said.refused)} |"
        for name, key, said in fields(table)
    ]
    head = ["| key | type | default | what it does | what is refused |", "|---|---|---|---|---|"]
    return "\n".join([f"## {_title(name)}", "", table.__doc__ or "", "", *head, *rows, ""])


def _later() -> Iterator[str]:
    yield from ("## Changing it later", "", "Change the file, read `snow ha plan`, then `snow ha apply`.", "")
    yield from ("| what you change | what `snow ha apply` does |", "|---|---|")
    yield from (f"| {what} | {does} |" for what, does in _LATER)
    yield ""


def _title(name: str) -> str:
    key = declared(File).get(name)
    if key is None:
        return name
    return f"[[{name}]]" if get_origin(key.kind) is tuple else f"[{name}]"


def _type(key: Declared) -> str:
    return "table" if key.kind in TABLES.values() else _PLAIN[key.kind]


def _default(key: Declared) -> str:
    if key.is_required:
        return "must be given"
    if key.default is None:
        return "none"
    if isinstance(key.default, bool):
        return f"`{str(key.default).lower()}`"
    return f'`"{key.default}"`' if isinstance(key.default, str) else f"`{key.default}`"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


if __name__ == "__main__":
    print(document(), end="")
