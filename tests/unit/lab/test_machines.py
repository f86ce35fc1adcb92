"""A snapshot of the lab can be loaded again: none is taken while a processor is inside a domain."""

from __future__ import annotations

import pytest

from snowha.errors import SiteError
from snowha.lab.machines import inside_a_domain

XEN = """CPU#0
RAX=0000000000000000 RBX=ffff83009fdf7ef8 RCX=0000000000000048 RDX=0000000000000000
RIP=ffff82d040302757 RFL=00000202 [-------] CPL=0 II=0 A20=1 SMM=0 HLT=1
DR6=00000000ffff0ff0 DR7=0000000000000400
EFER=0000000000001d01
"""
DOMAIN = XEN.replace("RIP=ffff82d040302757", "RIP=ffffffff81e01a37")
LINUX = DOMAIN.replace("EFER=0000000000001d01", "EFER=0000000000000d01")


def test_a_processor_inside_a_domain_is_told_from_one_in_xen_and_one_without_xen() -> None:
    """The snapshot would be lost, and with it the half hour in which the cluster was made."""
    assert [inside_a_domain(text) for text in (XEN, DOMAIN, LINUX)] == [False, True, False]
    assert inside_a_domain(XEN + DOMAIN), "the second processor counts"


def test_a_monitor_that_tells_something_else_is_an_error() -> None:
    with pytest.raises(SiteError, match="does not tell the registers"):
        inside_a_domain("unknown command")
