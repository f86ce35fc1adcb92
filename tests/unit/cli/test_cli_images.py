"""What is asked of `snow images` in a way that makes no sense ends before a server is asked."""

from __future__ import annotations

import pytest
from click.testing import CliRunner

from snowha.cli.tree import images
from snowha.errors import InputError


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--max-away", "0"], "--max-away must be more than 0"),
        (["--snapshot-size", "-5"], "--snapshot-size must be more than 0"),
        (["--cold", "--max-away", "60"], "while the domain runs"),
        ([], "there is no such file"),
    ],
)
def test_a_mistake_is_one_message(words: list[str], says: str) -> None:
    result = CliRunner().invoke(images, ["copy", "deploy01", "--file", "/nowhere/ha.toml", *words])
    assert isinstance(result.exception, InputError) and says in str(result.exception)
