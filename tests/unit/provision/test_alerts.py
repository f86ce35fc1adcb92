"""Whether every server can tell whom ha.toml names: found out now, and not in the night in which nobody is told."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest
from listener import Listener
from simulated import single_server

from snowha.errors import SiteError
from snowha.live.context import SiteContext
from snowha.migration.steps import all_steps
from snowha.plan.step import Step
from snowha.provision import alerts
from snowha.site.model import Alerts
from snowha.xen import alert_agent

COMMAND = "/usr/local/sbin/page-us"


def step_of(context: SiteContext, told: Alerts) -> Step:
    (found,) = alerts.steps(replace(context, site=replace(context.site, alerts=told)))
    return found


def test_a_site_that_tells_nobody_has_no_step_for_it() -> None:
    context, _, _ = single_server()
    assert alerts.steps(context) == []
    assert alerts.STEP not in [step.id for step in all_steps(context, {})]
    told = all_steps(replace(context, site=replace(context.site, alerts=Alerts("root"))), {})
    (cib,) = [step for step in told if step.id == "pacemaker.cib"]
    assert alerts.STEP in cib.needs, "Pacemaker would be given an alert that reaches nobody"


@pytest.mark.parametrize(
    ("told", "program", "remedy"),
    [(Alerts("root", COMMAND), alert_agent.SENDMAIL, "msmtp"), (Alerts("", COMMAND), COMMAND, f"chmod 755 {COMMAND}")],
)
def test_what_one_server_cannot_run_is_named_with_the_server(told: Alerts, program: str, remedy: str) -> None:
    context, world, _ = single_server()
    found = step_of(context, told)

    def lacks(host: str, argv: Sequence[str]) -> str | None:
        return "no" if host == "snow02" and program in argv else None

    world.fail = lacks
    assert found.check() == f"snow02: hacluster cannot run {program}"
    with pytest.raises(SiteError) as caught:
        found.apply(Listener())
    assert caught.value.where == "snow02" and remedy in (caught.value.remedy or "")
    world.fail = lambda host, argv: None
    assert found.check() is None
