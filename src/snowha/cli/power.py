"""``snow boot``, ``shutdown``, ``poweroff``, ``reboot``, ``reset``, ``destroy`` and ``console``."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from snowha.cli import snows_command, waiting
from snowha.cli.asking import ANSWERS, ask
from snowha.cli.degraded_session import operating
from snowha.cli.options import EVENTS, FILE, offered_domains
from snowha.cli.session import say
from snowha.cli.values import Amount
from snowha.errors import SiteError
from snowha.live import connect, view
from snowha.operations import domain_state, power, stopped_pacemaker
from snowha.site import domain_names

_QUESTIONS: dict[power.Verb, str] = {
    "destroy": "Cut the power of {names}? What they have not written yet is lost.",
    "reset": "Cut the power of {names} and boot them? What they have not written yet is lost.",
}


def _verb(command: Callable[..., Any]) -> Callable[..., Any]:
    """What all of them take."""
    for option in (
        EVENTS,
        click.option(
            "--timeout",
            type=Amount("seconds", "600"),
            default=600.0,
            show_default=True,
            metavar="SECONDS",
            help="Give up on a domain after this.",
        ),
        FILE,
        click.argument("names", nargs=-1, required=True, metavar="DOMAIN...", shell_complete=offered_domains),
    ):
        command = option(command)
    return command


_YES = click.option("--yes", is_flag=True, help="Do not ask before power is cut.")


@click.command()
@_verb
def boot(names: tuple[str, ...], file: Path, timeout: float, as_json: bool) -> None:
    """Boot domains, and wait until each answers.

    Through Pacemaker where that has the domain, which is then kept running; else through xl. A domain that runs and answers is
    left alone. The failures that Pacemaker has noted of it are forgotten first.
    """
    _carry_out("boot", names, file, timeout, as_json=as_json)


@click.command()
@_verb
def shutdown(names: tuple[str, ...], file: Path, timeout: float, as_json: bool) -> None:
    """Shut domains down, and wait until their images are free.

    Each is asked to shut down, and stays down until `snow boot`. Pacemaker cuts the power of one that has not done so after
    150 s; where Pacemaker does not have it, it is left running. While Pacemaker is stopped on every server it cannot be told, and
    starts the domain when it runs again: that is said, with what to type then.
    """
    _carry_out("shutdown", names, file, timeout, as_json=as_json)


@click.command()
@_verb
def poweroff(names: tuple[str, ...], file: Path, timeout: float, as_json: bool) -> None:
    """Do the same as `snow shutdown`, under sNow!'s other name."""
    _carry_out("poweroff", names, file, timeout, as_json=as_json)


@click.command()
@_verb
def reboot(names: tuple[str, ...], file: Path, timeout: float, as_json: bool) -> None:
    """Reboot domains, and wait until each answers.

    Its own system is asked to reboot. The domain stays on its server and keeps the config that it was started with; a changed
    one needs `snow shutdown` and `snow boot`.
    """
    _carry_out("reboot", names, file, timeout, as_json=as_json)


@click.command()
@_verb
@_YES
def reset(names: tuple[str, ...], file: Path, timeout: float, as_json: bool, yes: bool) -> None:
    """Cut the power of domains, and boot them.

    What a domain has not written yet is lost.
    """
    _carry_out("reset", names, file, timeout, as_json=as_json, yes=yes)


@click.command()
@_verb
@_YES
def destroy(names: tuple[str, ...], file: Path, timeout: float, as_json: bool, yes: bool) -> None:
    """Cut the power of domains, which then stay off.

    What a domain has not written yet is lost: `snow shutdown` asks it first. Its images and config stay as they are.
    """
    _carry_out("destroy", names, file, timeout, as_json=as_json, yes=yes)


def _carry_out(
    verb: power.Verb, names: tuple[str, ...], file: Path, timeout: float, *, as_json: bool, yes: bool = False
) -> None:
    domain_names.meant(names)
    ha = connect.read(file)
    snows_command.hand_on_nodes(verb, names, ha.content.domains)
    with operating(ha, words=names) as here:
        chosen = [here.site.domain(name) for name in here.domains]
        if verb in _QUESTIONS and not yes:
            question = _QUESTIONS[verb].format(names=", ".join(domain.name for domain in chosen))
            if not ask(question):
                raise SiteError("nothing was done, since the answer was no", remedy=ANSWERS)
        with waiting.shown():
            later = stopped_pacemaker.consequence(here.site.context.hosts, [domain.name for domain in chosen], verb)
        if later:
            say(later)
        steps = [power.step(here.servers, domain, verb, timeout=timeout) for domain in chosen]
        here.carry_out(steps, as_json=as_json)


@click.command()
@click.argument("name", metavar="DOMAIN", shell_complete=offered_domains)
@FILE
def console(name: str, file: Path) -> None:
    """Open a domain's console, on the server that runs it.

    Ctrl-] leaves it. Once it is open the exit code is that of `xl console`, or of ssh.
    """
    ha = connect.read(file)
    snows_command.hand_on_nodes("console", [name], ha.content.domains)
    domain_names.check_one(name, ha.content.domains)
    with waiting.shown():
        site = view.observe(ha)
        names = site.chosen([name])
        domain_names.check_one(name, site.names())
        hosts = site.context.hosts
        state = domain_state.state_of(domain_state.Servers(hosts, lambda domain: None), names[0])
    server, running = state.only_one()
    argv = connect.terminal(ha.content, server, ["xl", "console", running.name])
    os.execvp(argv[0], argv)
