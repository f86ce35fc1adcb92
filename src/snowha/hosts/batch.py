"""Many commands in one go: a login's worth of processes for each costs a busy server more than the commands themselves."""

from __future__ import annotations

import re
import secrets
import shlex
from collections.abc import Sequence

from snowha.errors import CommandError
from snowha.hosts.host import Completed, Host

LIMITED = ("timeout", "-k", "2")
"""What a command begins with that has a limit of its own; the seconds follow (timeout(1): it ends with 124 then)."""


def run_all(
    host: Host, commands: Sequence[Sequence[str]], *, timeout: float = 120.0, limit: float | None = None
) -> list[Completed]:
    """Run ``commands`` one after the other, without input, each whatever came of those before; what came of each, in order.

    ``timeout``: seconds for all together; ``limit``: for each, if any. Raises CommandError if it is over, UnreachableError.
    """
    if not commands:
        return []
    # What is printed between the commands' own output: nobody can guess it, so no output is taken for it.
    mark = f"snow-ha-{secrets.token_hex(12)}"
    within = () if limit is None else (*LIMITED, f"{limit:g}")
    lines = [
        f"{shlex.join((*within, *words))} < /dev/null\nprintf '\\n%s %d\\n' {mark} $?\nprintf '\\n%s\\n' {mark} >&2\n"
        for words in commands
    ]
    whole = host.run(["sh"], input="".join(lines), timeout=timeout)
    output = re.split(rf"\n{mark} (\d+)\n", whole.stdout)
    errors = whole.stderr.split(f"\n{mark}\n")
    if len(output) != 2 * len(commands) + 1 or len(errors) < len(commands):
        raise CommandError(
            f"{len(commands)} commands were run, but {len(output) // 2} results arrived",
            where=host.name,
            remedy="run this again",
        )
    return [
        Completed(tuple(words), int(output[2 * number + 1]), output[2 * number], errors[number])
        for number, words in enumerate(commands)
    ]
