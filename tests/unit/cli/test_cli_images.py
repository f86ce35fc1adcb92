"""What is asked of `snow images` in a way that makes no sense ends before a server is asked."""

from __future__ import annotations

import pytest
from click.testing import CliRunner

from snowha.cli.tree import images
from snowha.errors import InputError

NUMBERS = ("--max-away", "--snapshot-size", "--rate")


@pytest.mark.parametrize(
    ("words", "says"),
    [
        *(
            ([name, value], f"{name}: it cannot be")
            for name in NUMBERS
            for value in ("0", "-5", "nan", "inf", "-inf", "x", "1e99")
        ),
        (["--snapshot-size", "1.5"], "a whole number: MiB above 0, for example --snapshot-size 1024"),
        (["--cold", "--max-away", "60"], "while the domain runs"),
        ([], "there is no such file"),
    ],
)
def test_a_mistake_is_one_message(words: list[str], says: str) -> None:
    result = CliRunner().invoke(images, ["copy", "deploy01", "--file", "/nowhere/ha.toml", *words])
    assert isinstance(result.exception, InputError) and says in str(result.exception)
