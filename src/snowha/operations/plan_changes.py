"""Whether a plan still holds that was shown, and agreed to, before the site lock was taken: somebody else may have moved domains,
or started some, until then."""

from __future__ import annotations

from collections.abc import Sequence

from snowha.errors import SiteError
from snowha.operations.move_plan import MovePlan
from snowha.operations.upgrade import ServerPlan


def refuse(shown: MovePlan, now: MovePlan) -> None:
    """Raise SiteError, which says how they differ, unless ``now`` has the moves of ``shown`` and what was said of them."""
    refuse_other(_statements(shown), _statements(now))


def refuse_upgrade(shown: Sequence[ServerPlan], now: Sequence[ServerPlan]) -> None:
    """The same of the plan of an upgrade; its packages are no part of that."""
    refuse_other(_of_servers(shown), _of_servers(now))


def refuse_other(shown: Sequence[str], now: Sequence[str]) -> None:
    """The same of what two plans say."""
    added = [one for one in now if one not in shown]
    gone = [f"no longer {one}" for one in shown if one not in now]
    if added or gone or list(shown) != list(now):
        raise SiteError(
            f"the site has changed since the plan was made: {'; '.join([*added, *gone]) or 'the order is another one'}",
            remedy="run this again: it shows the new plan",
        )


def _of_servers(plans: Sequence[ServerPlan]) -> list[str]:
    text = []
    for one in plans:
        how = "is continued" if one.is_begun else "is upgraded" if one.is_due else "is up to date"
        text.append(f"{one.server} {how}{f' to Debian {one.release}' if one.release else ''}")
        text += [f"{one.server}: {line}" for line in _statements(one.moves)] if one.moves else []
    return text


def _statements(plan: MovePlan) -> list[str]:
    """All but the memory that is free: that is never the same twice."""
    return [
        *(f"{move.domain}: {move.source} to {move.target}" for move in plan.moves),
        *(f"{name} stays where it is" for name in sorted(plan.stays)),
        *(f"{one} and {other} together on {at}" for one, other, at in plan.together),
        *(f"a loss of {one.where} that would not be survived" for one in plan.after_loss),
    ]
