"""What ``snow`` has: every verb can be called, each group tells of its verbs, and neither waits for what it does not need."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from snowha.cli import man
from snowha.cli.lazy import LazyGroup
from snowha.cli.tree import snow
from snowha.errors import InputError, SiteError
from snowha.lab import requirements

MANUAL = Path(__file__).parents[3] / "docs" / "man" / "snow.1"
NOT_FOR_HELP = (
    "snowha.lab",
    "snowha.dashboard",
    "snowha.operations",
    "snowha.migration",
    "snowha.provision",
    "snowha.disks",
    "snowha.checks",
    "snowha.live",
    "snowha.health",
    "snowha.plan",
    "snowha.hosts",
    "snowha.site",
    "lxml",
    "rich",
    "ClusterShell",
    "jinja2",
    "qemu",
    "pyghmi",
    "starlette",
    "uvicorn",
    "sqlite3",
    "concurrent.futures",
)


def groups(words: tuple[str, ...] = (), group: click.Command = snow) -> Iterator[tuple[tuple[str, ...], LazyGroup]]:
    if isinstance(group, LazyGroup):
        yield words, group
        for name in group.verbs:
            command = group.get_command(click.Context(group), name)
            assert command is not None
            yield from groups((*words, name), command)


COMMANDS = [words for words, _ in groups()] + [
    (*words, name)
    for words, group in groups()
    for name, verb in group.verbs.items()
    if not verb.where.startswith("tree:")
]
GROUPS = dict(groups())


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_every_verb_explains_itself(words: tuple[str, ...]) -> None:
    """A verb whose module cannot be imported would be found out by the user who needs it."""
    told = CliRunner().invoke(snow, [*words, "--help"])
    assert told.exit_code == 0, told.output
    assert told.output.startswith(f"Usage: snow {' '.join(words)}".rstrip())


@pytest.mark.parametrize("words", GROUPS, ids=" ".join)
def test_a_group_says_of_its_verbs_what_they_say_themselves_and_cuts_nothing(words: tuple[str, ...]) -> None:
    """Nobody chooses a verb by half a sentence, or by one that is not true any more."""
    group = GROUPS[words]
    told = CliRunner(env={"COLUMNS": "80"}).invoke(snow, [*words, "--help"]).output.splitlines()
    width = max(map(len, group.verbs))
    for name, verb in group.verbs.items():
        command = group.get_command(click.Context(group), name)
        assert command is not None and command.help is not None
        assert command.help.splitlines()[0] == verb.short
        assert f"  {name.ljust(width)}  {verb.short}" in told
    assert max(map(len, told)) <= 80


@pytest.mark.parametrize("words", [(), ("ha",), ("images",), ("lab",)], ids=" ".join)
def test_help_waits_for_nothing_that_it_does_not_need(words: tuple[str, ...]) -> None:
    """Each `snow --help` would take half a second; and end with a traceback where the lab's packages are not installed."""
    script = "import sys; from snowha.cli.main import main\ntry: main()\nfinally: print(*sys.modules)"
    ran = subprocess.run([sys.executable, "-c", script, *words, "--help"], check=False, capture_output=True, text=True)
    assert ran.returncode == 0 and "Usage:" in ran.stdout, ran.stderr
    loaded = ran.stdout.splitlines()[-1].split()
    assert "click" in loaded
    assert [name for name in loaded if name in NOT_FOR_HELP] == []


def test_the_product_does_not_import_the_packages_of_the_lab_or_the_dashboard() -> None:
    """`snow ha` would not start where README's installation was followed: it leaves them out."""
    script = """
import sys
sys.modules.update({"qemu": None, "qemu.qmp": None, "pyghmi": None, "starlette": None, "uvicorn": None})
import click
from snowha.cli.tree import ha, images, lab, snow
for group in (snow, ha, images, lab):
    for name in group.verbs:
        group.get_command(click.Context(group), name)
"""
    subprocess.run([sys.executable, "-c", script], check=True)


def test_a_verb_of_the_lab_says_what_it_lacks_before_it_does_anything(monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder is left in the wrong home, or half of a site, by somebody who was then told that he needs root."""
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    monkeypatch.setenv("XDG_CACHE_HOME", "/proc/no-folder")
    for name in GROUPS[("lab",)].verbs:
        words = {"ssh": ["snow01"], "exec": ["true"], "console": ["snow01"], "power": ["snow01", "on"]}
        words |= {"save": ["x"], "restore": ["x"], "cable": ["snow01", "snow", "up"], "bmc": ["snow01", "hang"]}
        ended = CliRunner().invoke(snow, ["lab", name, *words.get(name, [])])
        assert isinstance(ended.exception, SiteError) and "needs root" in str(ended.exception), (name, ended.output)

    monkeypatch.setattr("os.geteuid", lambda: 0)
    monkeypatch.setattr(requirements, "find_spec", lambda name: None)
    ended = CliRunner().invoke(snow, ["lab", "status"])
    assert isinstance(ended.exception, InputError)
    assert "pyghmi, qemu.qmp" in str(ended.exception) and "pip install pyghmi qemu.qmp" in ended.exception.remedy


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("ha chekc", "there is no command 'chekc' here. Did you mean `snow ha check`?"),
        ("ha STATUS", "`snow ha status`"),
        ("check", "`snow ha check`"),
        ("ha copy deploy01", "`snow images copy`"),
        ("image list", "`snow images`"),
        ("ha zzzz", "There are init, check, plan"),
        ("ha check --jsn", "--json"),
        ("-f ha.toml status", "Options of a verb come after it: snow VERB -f"),
        ("--jsn status", "Options of a verb come after it"),
        ("--verbos status", "--verbose"),
        ("list nodes", "sNow!'s own command has it: /sNow/snow-tools/sbin/snow"),
        ("deploy ldap01", "sNow!'s own command has it"),
        ("image", "`snow images`? sNow!'s own command has it"),
    ],
)
def test_a_verb_or_option_that_is_none_is_answered_with_those_like_it(line: str, said: str) -> None:
    """Whoever mistypes at night would have to read the help of everything."""
    told = CliRunner().invoke(snow, line.split(), prog_name="snow")
    assert told.exit_code == 2 and said in told.output


def test_the_manual_page_is_made_of_the_help_of_today() -> None:
    """It told of options that were refused, and not of others: python -m snowha.cli.man > docs/man/snow.1."""
    assert MANUAL.read_text(encoding="utf-8") == man.page()


def test_the_manual_page_has_every_option_of_every_verb() -> None:
    page = man.page()
    for words in COMMANDS:
        command: click.Command | None = snow
        for word in words:
            assert isinstance(command, LazyGroup)
            command = command.get_command(click.Context(command), word)
        assert command is not None
        for parameter in command.params:
            for name in parameter.opts if isinstance(parameter, click.Option) else ():
                assert name.replace("-", "\\-") in page, (words, name)
            if isinstance(parameter, click.Option):
                assert parameter.help, (words, parameter.name)


@pytest.mark.parametrize("words", [words for words in GROUPS if words], ids=" ".join)
def test_the_manual_page_says_what_each_group_is_for_and_has_all_of_its_verbs(words: tuple[str, ...]) -> None:
    """`snow add`, `resize` and `remove domain`, `stop` and `start site` were named in its synopsis alone, without a word on what
    they do; no group said what it is for."""
    group = GROUPS[words]
    heading, _, rest = man.page().partition(f"\n.SH SNOW {' '.join(words).upper()}\n")
    assert rest, f"it has no section {heading}"
    section = rest.partition("\n.SH ")[0]
    prose, *verbs = section.split("\n.TP\n\\fB")
    first, *more = (group.help or "").split("\n\n")
    assert more and all(man.prose(" ".join(one.split())) in prose for one in (first, *more))
    told = "\n".join(f"\\fB{verb}" for verb in verbs)
    for name in group.verbs:
        command = group.get_command(click.Context(group), name)
        assert command is not None and f"\\fB{name}\\fR" in told
        for paragraph in (command.help or "").split("\n\n"):
            assert man.prose(" ".join(paragraph.split())) in told


@pytest.mark.parametrize(
    ("text", "roff"),
    [
        (".dot at the beginning", "\\&.dot at the beginning"),
        ("a `snow ha apply --plan` b", "a \\fBsnow ha apply \\-\\-plan\\fR b"),
        ("it's C:\\x. And more…", "it\\(aqs C:\\ex.\nAnd more..."),
    ],
)
def test_nothing_in_a_help_text_is_taken_for_a_request_of_troff(text: str, roff: str) -> None:
    """The rest of a line would not be shown."""
    assert man.prose(text) == roff
