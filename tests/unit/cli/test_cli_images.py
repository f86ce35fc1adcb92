"""What is asked of `snow images`, or of a verb with a time, in a way that makes no sense ends before a server is asked."""

from __future__ import annotations

import pytest
from click.testing import CliRunner

from snowha.cli.tree import images, snow
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
        (["--snapshot-size", "9" * 20], "above 0 up to 1099511627776, for example"),
        (["--cold", "--max-away", "60"], "while the domain runs"),
        ([], "there is no such file"),
    ],
)
def test_a_mistake_is_one_message(words: list[str], says: str) -> None:
    result = CliRunner().invoke(images, ["copy", "deploy01", "--file", "/nowhere/ha.toml", *words])
    assert isinstance(result.exception, InputError) and says in str(result.exception)


@pytest.mark.parametrize("value", ["0", "nan", "inf", "-5", "x"])
@pytest.mark.parametrize(
    "words", [("boot", "deploy01"), ("shutdown", "deploy01"), ("move", "deploy01"), ("drain", "snow01")]
)
def test_a_wait_that_never_ends_is_refused(words: tuple[str, str], value: str) -> None:
    """Nothing is greater than `nan`: the verb would wait for ever."""
    result = CliRunner().invoke(snow, [*words, "--file", "/nowhere/ha.toml", "--timeout", value])
    assert isinstance(result.exception, InputError) and "--timeout: it cannot be" in str(result.exception)
