"""Which CPUs a domain's vCPUs are bound to (``cpus`` in xl.cfg(5)), and whether a server has any of them."""

from __future__ import annotations

import re

_RANGE = re.compile(r"(\^?)([0-9]{1,9})(?:-([0-9]{1,9}))?", re.ASCII)


def can_run(affinity: str, cpus: int) -> bool:
    """Whether a server with the CPUs 0 to ``cpus`` - 1 has one of those in ``affinity``, such as ``2-7,^4``.

    Else Xen takes no such binding, and the domain does not start (tools/xl/xl_parse.c, update_cpumap_range; the hypervisor's
    XEN_DOMCTL_setvcpuaffinity). NUMA nodes and what is not understood are taken for CPUs that are there.
    """
    found: set[int] = set()
    for word in affinity.split(","):
        match = _RANGE.fullmatch(word)
        if match is None:
            return True
        first, last = int(match[2]), int(match[3] or match[2])
        meant = range(first, min(last, cpus - 1) + 1)
        found = found.difference(meant) if match[1] else found.union(meant)
    return bool(found)
