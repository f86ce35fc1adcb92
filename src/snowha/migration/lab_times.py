"""What the steps of the migration took in the lab: the estimate of a plan for a site on which nothing was measured yet."""

from __future__ import annotations

from snowha.plan.estimate import LabTimes

LAB_TIMES = LabTimes(
    seconds={
        "servers.mounts": 8,
        "servers.packages": 219,
        "servers.settings": 11,
        "servers.xen": 89,
        "servers.kernels": 12,
        "servers.ssh": 31,
        "images": 99,
        "corosync": 23,
        "pacemaker.fence": 45,
        "pacemaker.start": 43,
        "pacemaker.autostart": 4,
        "pacemaker.cib": 54,
        "proofs.floating-ip": 35,
        "proofs.fence": 455,
        "placement": 201,
        "snow.conf": 8,
    },
    away_s=160.0,
)
"""docs/performance.md: two emulated servers, Debian 13, where every command takes longer than on a real one. Of a step for each
server the longer one."""
