"""``snow lab``: a whole site on this machine, to try things on and to break."""

from __future__ import annotations

import json
import os
import select
import sys
import termios
import time
import tty
from pathlib import Path
from typing import Any

import click

from snowha.cli import verbosity
from snowha.cli.asking import ANSWERS, ask
from snowha.cli.values import FOLDER_NAME
from snowha.errors import SiteError
from snowha.lab import bmc_faults, first_boot, layout, lifecycle, machines, network, requirements, rootfs


class LabVerb(click.Command):
    """Says what is missing on this machine before the verb does anything."""

    def invoke(self, ctx: click.Context) -> Any:
        requirements.may_begin()
        return super().invoke(ctx)


def _say(text: str) -> None:
    if not verbosity.chosen.quiet:
        click.echo(f"{time.strftime('%H:%M:%S')}  {text}")


@click.command(cls=LabVerb)
@click.option(
    "--release", default="trixie", show_default=True, type=click.Choice(rootfs.RELEASES), help="Debian of the servers."
)
def up(release: str) -> None:
    """Start the site; the first start builds it.

    That takes minutes; from the cache it comes in seconds.
    """
    start = time.monotonic()
    lifecycle.up(release, _say)
    _say(f"the lab is up after {time.monotonic() - start:.0f} s: `snow lab status`, `snow lab ssh snow01`")


@click.command(cls=LabVerb)
def down() -> None:
    """Stop everything that the lab started.

    Built images stay in the cache.
    """
    lifecycle.down(_say)


@click.command(cls=LabVerb)
@click.option("--json", "as_json", is_flag=True, help="The same as data.")
def status(as_json: bool) -> None:
    """Show machines, their power, snapshots, and domains."""
    facts = lifecycle.status()
    if as_json:
        click.echo(json.dumps(facts, indent=2))
        return
    click.echo(f"Debian {facts['release']}, {str(facts['accelerator']).split(',')[0]}")
    for kind, word in (("machines", "power"), ("domains", "answers")):
        click.echo(f"\n{kind}:")
        table = facts[kind]
        assert isinstance(table, dict)
        for name, row in table.items():
            state = (
                ("on" if row[word] else "off") if word == "power" else ("answers" if row[word] else "does not answer")
            )
            click.echo(f"  {name:<10} {row['address']:<15} {state}")
    processes, names = facts["processes"], facts["snapshots"]
    assert isinstance(processes, dict) and isinstance(names, list)
    dead = [name for name, alive in processes.items() if not alive]
    click.echo(f"\nsnapshots: {', '.join(names)}")
    if dead:
        click.echo(f"not running: {', '.join(dead)}  → `snow lab restore {layout.PREPARED}` or down and up")


@click.command(cls=LabVerb, context_settings={"ignore_unknown_options": True})
@click.argument("host")
@click.argument("words", nargs=-1, type=click.UNPROCESSED, metavar="[CMD…]")
def ssh(host: str, words: tuple[str, ...]) -> None:
    """Log in to a machine as root, or run a command there."""
    lifecycle.known(host)
    lifecycle.facts(layout.paths())
    argv = first_boot.ssh_words(host, list(words), paths=layout.paths())
    os.execvp(argv[0], argv)


@click.command("exec", cls=LabVerb, context_settings={"ignore_unknown_options": True})
@click.argument("words", nargs=-1, required=True, type=click.UNPROCESSED, metavar="CMD…")
def exec_(words: tuple[str, ...]) -> None:
    """Run a command of this machine inside the site's network.

    It is the administrator's workstation there. For example: snow lab exec snow ha status
    """
    lifecycle.facts(layout.paths())
    argv = network.inside(*words)
    os.execvp(argv[0], argv)


@click.command(cls=LabVerb)
@click.argument("host")
def console(host: str) -> None:
    """Open a machine's serial console. Ctrl-] leaves it."""
    machine, paths = lifecycle.known(host), layout.paths()
    lifecycle.facts(paths)
    connection = machines.console_socket(machine, paths)
    click.echo("Ctrl-] leaves the console.", err=True)
    terminal = sys.stdin.fileno()
    before = termios.tcgetattr(terminal) if os.isatty(terminal) else None
    try:
        if before:
            tty.setraw(terminal)
        while True:
            ready, _, _ = select.select([terminal, connection], [], [])
            if connection in ready:
                data = connection.recv(4096)
                if not data:
                    return
                os.write(sys.stdout.fileno(), data)
            if terminal in ready:
                data = os.read(terminal, 1024)
                if not data or b"\x1d" in data:
                    return
                connection.sendall(data)
    finally:
        if before:
            termios.tcsetattr(terminal, termios.TCSADRAIN, before)
        connection.close()


@click.command(cls=LabVerb)
@click.argument("name")
def save(name: str) -> None:
    """Save the whole running site under NAME."""
    start = time.monotonic()
    lifecycle.save(name)
    _say(f"saved as {name} in {time.monotonic() - start:.1f} s")


@click.command(cls=LabVerb)
@click.argument("name")
def restore(name: str) -> None:
    """Restore the whole site to the snapshot NAME."""
    start = time.monotonic()
    lifecycle.restore(name)
    _say(f"restored {name} in {time.monotonic() - start:.1f} s")


@click.command(cls=LabVerb)
@click.argument("host")
@click.argument("action", type=click.Choice(["on", "off", "reset"]))
def power(host: str, action: str) -> None:
    """Switch a machine's power off or on.

    Off is a power cut, not a shutdown.
    """
    lifecycle.power(host, action)


@click.command(cls=LabVerb)
@click.argument("host")
@click.argument("network_name", metavar="NETWORK")
@click.argument("state", type=click.Choice(["up", "down"]))
def cable(host: str, network_name: str, state: str) -> None:
    """Plug or pull a machine's cable to a network.

    NETWORK is snow or mgmt.
    """
    lifecycle.cable(host, network_name, state == "up")


@click.command(cls=LabVerb)
@click.argument("host")
@click.argument("fault", type=click.Choice(bmc_faults.FAULTS))
def bmc(host: str, fault: bmc_faults.Fault) -> None:
    """Give a server's BMC a fault, or remove it.

    hang: it does not answer. slow: it answers power queries after 20 s. says-off and says-on: it always reports this power
    state. dead: it has no power, and neither has its server. ok removes a fault, and restore removes all of them.
    """
    lifecycle.bmc(host, fault)


@click.command(cls=LabVerb)
@click.option("--release", default="trixie", show_default=True, type=click.Choice(rootfs.RELEASES), help="As for up.")
@click.option(
    "--folder",
    type=FOLDER_NAME,
    metavar="FOLDER",
    default=Path("build/demo"),
    show_default=True,
    help="Folder for the report, ha.toml and the journal.",
)
@click.option("--yes", is_flag=True, help="Do not ask before a lab that is up is reset.")
def demo(release: str, folder: Path, yes: bool) -> None:
    """Run the whole demonstration, and write a report of it.

    A single server becomes a cluster, then loses a server. A lab that is up is reset for it; that is asked first. Files in FOLDER
    that an earlier demo did not write are not replaced.
    """
    from snowha.lab import demo_folder

    demo_folder.check(folder)
    if (
        lifecycle.is_running()
        and not yes
        and not ask("The lab is up. Reset it for the demo? Its current state is lost.")
    ):
        raise SiteError("the lab was not reset, since the answer was no", remedy=ANSWERS)
    from snowha.lab import demo as story  # all of the product, which no other verb here needs

    sys.exit(story.run(release, folder.resolve(), _say))
