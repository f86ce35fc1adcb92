"""Alerts: whoever ``ha.toml`` names can be told, from every server."""

from __future__ import annotations

from functools import partial

from snowha.errors import SiteError
from snowha.hosts.host import Host
from snowha.hosts.read_only import read_only_script
from snowha.live.context import SiteContext
from snowha.plan.change import Change
from snowha.plan.step import Reporter, Step
from snowha.xen import alert_agent

STEP = "pacemaker.alerts"

# as the user that Pacemaker runs it as: a command below /root would be there, and never run
_CAN_RUN = read_only_script('runuser -u hacluster -- test -f "$1" -a -x "$1"')


def steps(context: SiteContext) -> list[Step]:
    """One step; none where nobody is to be told."""
    if not context.site.alerts.recipients:
        return []
    return [
        Step(
            id=STEP,
            title="Check that every server can alert the recipients of `[alerts]`",
            section="pacemaker",
            check=partial(_missing, context),
            apply=partial(_refuse, context),
            describe=partial(_described, context),
            needs=tuple(f"servers.settings.{server.name}" for server in context.site.servers),
        )
    ]


def _missing(context: SiteContext) -> str | None:
    return context.first_missing(partial(_unable, context))


def _unable(context: SiteContext, host: Host) -> str | None:
    alerts = context.site.alerts
    for program in filter(None, (alert_agent.SENDMAIL if alerts.mail else "", alerts.command)):
        if not host.run(["sh", "-c", _CAN_RUN, "sh", program], check=False).ok:
            return f"hacluster cannot run {program}"
    return None


def _described(context: SiteContext) -> Change:
    told = " and ".join(context.site.alerts.recipients)
    return Change(notes=(f"nothing is changed: every server is asked whether it can alert {told}",))


def _refuse(context: SiteContext, reporter: Reporter) -> None:
    """What is missing is the site's own: a mail server with its configuration, a command. Raises SiteError."""
    reporter.say("checking what `[alerts]` names")
    for name, wrong in context.on_all(partial(_unable, context)).items():
        if wrong:
            program = wrong.rpartition(" ")[2]
            remedy = (
                "install a program that sends mail, and configure it (apt install msmtp-mta, or dma); or remove `mail` from "
                "[alerts] in ha.toml"
                if program == alert_agent.SENDMAIL
                else f"put it there, for everybody to read and execute: chmod 755 {program}"
            )
            raise SiteError(wrong, where=name, remedy=remedy)
