"""``python -m snowha.cli.completion FOLDER``: completion for bash, zsh and fish, in the places that they have below /usr/share.

Click makes the scripts. They ask the command itself for the words, so they stay right when verbs change.
"""

from __future__ import annotations

import sys
from pathlib import Path

from click.shell_completion import get_completion_class

from snowha.cli.tree import snow

COMMANDS = ("snow", "snow-ha")
"""The names that the command is installed under (project.scripts in pyproject.toml)."""
PLACES = {
    "bash": "bash-completion/completions/{}",
    "zsh": "zsh/vendor-completions/_{}",
    "fish": "fish/vendor_completions.d/{}.fish",
}
"""Where each shell of Debian looks, below /usr/share."""


def script(shell: str, command: str) -> str:
    """The completion of ``command`` in the language of ``shell``."""
    kind = get_completion_class(shell)
    assert kind is not None
    # the variable as click's main() looks for it
    return kind(snow, {}, command, f"_{command.replace('-', '_')}_COMPLETE".upper()).source().strip() + "\n"


def write(folder: Path) -> None:
    """Every script in its place."""
    for shell, place in PLACES.items():
        for command in COMMANDS:
            path = folder / place.format(command)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(script(shell, command), encoding="utf-8")


if __name__ == "__main__":
    write(Path(sys.argv[1]))
