"""Every finding of a running cluster: its code, how bad it is, why it matters, what happens by itself, and what to type."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Severity = Literal["red", "yellow", "note"]
"""``red``: something is down, or would not be recovered. ``yellow``: worth an evening. ``note``: worth knowing."""
Settling = Literal["wait", "refuse", "ignore"]
"""What somebody does who waits until the cluster has settled: wait for this to go away; give up at once, since it stays until a
person ends it; or not care, since servers that are kept out of the cluster are no reason to wait."""
SEVERITIES: tuple[Severity, ...] = ("red", "yellow", "note")
"""The worst first."""


@dataclass(frozen=True)
class Kind:
    """``{where}`` in ``remedy``: the server or resource that it is about."""

    title: str
    severity: Severity
    why: str
    remedy: str
    settling: Settling = "wait"
    next: str = ""
    """What happens by itself, if nobody does anything; empty: nothing does."""


KINDS: dict[str, Kind] = {
    # servers
    "unreachable": Kind(
        "A server does not answer",
        "red",
        "Its state is unknown.",
        "log in to it by hand: ssh root@{where}",
        settling="ignore",
        next="if the cluster has lost it, too, it is fenced, and its domains start on another server",
    ),
    "no-cluster": Kind(
        "Pacemaker runs on no server",
        "red",
        "No domain is recovered when it or its server is lost.",
        "after `snow stop site`, or a power cut of all servers: snow start site; else: snow ha apply",
    ),
    "server-unclean": Kind(
        "A server is lost and not fenced yet",
        "red",
        "What ran there is started elsewhere only after its power was confirmed off.",
        "wait: an attempt takes up to 4 min. `snow ha check` asks its BMC; what was tried: stonith_admin --history {where}",
        next="Pacemaker fences it; when its BMC says that it is off, its domains start on another server",
    ),
    "server-out": Kind(
        "A server is out of the cluster",
        "red",
        "Nothing runs there, and it cannot take over from another server. A server that was fenced stays out until "
        "somebody has looked at it.",
        "find out why it was lost (journalctl on {where}), then: snow ha apply",
        settling="ignore",
    ),
    "server-pending": Kind(
        "A server is joining the cluster",
        "red",
        "Nothing runs there until it has joined. That takes seconds; if it takes minutes, it is stuck.",
        "wait a minute and check again; if it persists, on that server: systemctl status pacemaker",
        settling="ignore",
        next="it joins within seconds",
    ),
    "server-standby": Kind(
        "A server is in standby",
        "red",
        "Nothing runs there, also not when another server is lost.",
        "snow undrain {where}",
        settling="ignore",
    ),
    "server-maintenance": Kind(
        "A server is in maintenance",
        "red",
        "Nothing there is recovered: a domain that fails is not started again.",
        "crm_attribute --node={where} --name=maintenance --lifetime=forever --delete",
        settling="refuse",
    ),
    "not-under-xen": Kind(
        "A server of the cluster does not run under Xen",
        "red",
        "No domain can run there.",
        "check what it has booted: xl info; then reboot it into Xen",
        settling="ignore",
    ),
    "link-lost": Kind(
        "Corosync has lost a link",
        "red",
        "If another network fails, a server is fenced.",
        "check cable, switch, address and firewall on both sides: snow ha check",
        settling="ignore",
    ),
    # the cluster
    "maintenance-mode": Kind(
        "Pacemaker is in maintenance-mode",
        "red",
        "Nothing that fails is recovered.",
        "if it was disarmed: snow arm; if `snow ha undo` was interrupted, run it again; else: "
        "crm_attribute --type=crm_config --name=maintenance-mode --delete",
        settling="refuse",
    ),
    "all-stopped": Kind(
        "Pacemaker was told to stop everything",
        "red",
        "No domain runs, and none is started.",
        "if it was `snow stop site`: snow start site; else: crm_attribute --type=crm_config --name=stop-all-resources --delete",
        settling="refuse",
    ),
    "no-quorum": Kind(
        "There is no quorum",
        "red",
        "Without quorum nothing is started.",
        "bring the other servers back: snow ha apply",
        next="domains are stopped on servers without quorum, and start again when it is back",
    ),
    "fencing-disabled": Kind(
        "Fencing is switched off",
        "red",
        "Two servers that lose contact with each other would write to the same image.",
        "if it was disarmed: snow arm; else: snow ha apply",
        settling="ignore",
    ),
    "fence-device": Kind(
        "A fence device does not run",
        "red",
        "Its server cannot be fenced when it is lost, and its domains stay down.",
        "query the BMCs: snow ha check; then: crm_resource --cleanup --resource={where}",
    ),
    "fencing-failed": Kind(
        "A server could not be fenced",
        "yellow",
        "It is back now; the next time it may not come back.",
        "query the BMCs: snow ha check; then clear the record: stonith_admin --cleanup --history={where}",
    ),
    "definition-differs": Kind(
        "The servers keep different versions of ha.toml",
        "yellow",
        "`snow` would act differently on different servers.",
        "compare /etc/snow-ha/ha.toml on the servers; then, with SERVER for the one that is right: "
        "snow ha apply --site SERVER --only pacemaker.definition",
        settling="ignore",
    ),
    "definition-other": Kind(
        "This ha.toml differs from the one that the servers keep",
        "yellow",
        "It was edited and not applied, or somebody else has applied another one since.",
        "see what it would change: snow ha plan; to use the one of the servers: --site {where}",
        settling="ignore",
    ),
    # what runs
    "not-managed": Kind(
        "Pacemaker lacks a resource that it must run",
        "red",
        "It is not started again when it or its server is lost.",
        "snow ha apply",
    ),
    "domain-unlisted": Kind(
        "Pacemaker has a domain that ha.toml does not name",
        "yellow",
        "snow-ha does not know it, and it is in no plan. The next `snow ha apply` takes it out of Pacemaker, which shuts it "
        "down. If somebody else has configured it, `snow ha apply` is refused.",
        'to keep it, write into ha.toml: [[domain]] and name = "{where}"; then: snow ha apply. Without that, `snow ha apply` has '
        "Pacemaker shut it down",
        settling="ignore",
    ),
    "resource-unmanaged": Kind(
        "Pacemaker does not manage a resource",
        "red",
        "It is not started again when it or its server is lost.",
        "crm_resource --resource={where} --meta --delete-parameter=is-managed (or =maintenance, whichever is set)",
        settling="refuse",
    ),
    "resource-blocked": Kind(
        "A resource is blocked",
        "red",
        "Most likely a stop has failed. Pacemaker does nothing with it until an administrator has corrected it.",
        "check whether it really runs (xl list), end its remains, then: crm_resource --cleanup --resource={where}",
        settling="refuse",
    ),
    "resource-failed": Kind(
        "A resource has failed",
        "red",
        "Pacemaker starts it again, or has given up.",
        "check /var/log/xen and /var/log/pacemaker there, then: crm_resource --cleanup --resource={where}",
        next="Pacemaker starts it again, up to ten times within five minutes",
    ),
    "resource-stopped": Kind(
        "A resource runs on no server",
        "red",
        "It is down, though nobody requested that.",
        "see why it is not started: crm_mon -1 --inactive; then: crm_resource --cleanup --resource={where}",
        next="Pacemaker starts it as soon as a server can run it",
    ),
    "resource-twice": Kind(
        "A resource is active on two servers",
        "red",
        "Two copies of a domain would write to one image.",
        "check where it really runs (xl list on each server), then: crm_resource --refresh --resource={where}",
    ),
    "resource-orphaned": Kind(
        "A resource runs that is no longer configured",
        "red",
        "Pacemaker does not start it again.",
        "if it is a domain of ha.toml: snow ha apply; if not: end it where it runs, then: crm_resource --refresh "
        "--resource={where}",
    ),
    "failed-action": Kind(
        "An action failed and was recovered",
        "yellow",
        "It counts: after several failures Pacemaker moves the resource, or stops it.",
        "check its reason, then: crm_resource --cleanup --resource={where}",
        next="it is forgotten after five minutes without another",
    ),
    "runs-twice": Kind(
        "A domain runs on two servers",
        "red",
        "Both write to one image. Every minute makes the damage worse.",
        "shut one of them down now: xl shutdown {where}, and check its file system",
    ),
    "domain-differs": Kind(
        "A domain is not where Pacemaker has it",
        "red",
        "Somebody started, stopped or moved it by hand, and Pacemaker acts on an outdated state.",
        "have Pacemaker check again: crm_resource --refresh --resource={where}",
    ),
    "domain-unknown": Kind(
        "It is unknown whether a domain runs",
        "red",
        "The server that may have it does not answer.",
        "bring back every server that does not answer, or wait until it is fenced",
        next="when its server is fenced, it is started on another one",
    ),
    "domain-moving": Kind(
        "A domain is being moved",
        "yellow",
        "Until it has arrived, the servers report different states of it.",
        "wait, and check again",
        next="it arrives, or stays where it was",
    ),
    # images
    "image-twice": Kind(
        "An image is attached on two servers",
        "red",
        "Both can write to it.",
        "check which server runs the domain (xl list), and end what uses the image on the other: snow-lease list",
        settling="ignore",
    ),
    "image-without-lease": Kind(
        "An image is attached without a lease",
        "red",
        "Nothing prevents another server from attaching it as well. It was attached by Xen's own block script, or by losetup.",
        "set script=block-snow in its config (`snow ha apply` writes it), then restart the domain",
        settling="ignore",
    ),
    "holes": Kind(
        "Less free space than the images may grow by",
        "yellow",
        "The storage gave these images no room for their holes (NFS before 4.2 cannot), or somebody made holes in them. When it "
        "is full, a domain that writes into one gets an error of its disk.",
        "free some space there, or mount it with vers=4.2 and fill the holes: fallocate --length SIZE IMAGE",
        settling="ignore",
    ),
    "config-without-lease": Kind(
        "A config has an image attached without a lease",
        "yellow",
        "A domain that is started from it gets its image though another server has it open: what is named there, Xen's own block "
        "script or QEMU, knows nothing of leases.",
        "set script=block-snow for its disk (`snow ha apply` writes it for a domain in ha.toml), or remove the config",
        settling="ignore",
    ),
    "lease-unexplained": Kind(
        "A lease contradicts the servers",
        "red",
        "Record and servers disagree on which server has the image open. Its domain cannot be started elsewhere.",
        "compare on every server: snow-lease list; if the image is attached nowhere: snow-lease break {where}",
        settling="ignore",
    ),
    "lease-unreadable": Kind(
        "The record of a lease is missing or cannot be read",
        "red",
        "The image is not attached again until it is certain that no server has it.",
        "check on every server whether it is attached (snow-lease list), then: snow ha apply, or snow-lease break {where}",
        settling="ignore",
    ),
    "lease-adopted": Kind(
        "An image was attached before there were leases",
        "yellow",
        "Its lease is held by a process, not by its device yet. The device holds it from the next start or migration "
        "of the domain.",
        "migrate or restart the domain at a convenient time",
        settling="ignore",
    ),
    "lease-pending": Kind(
        "A lost server still holds a lock",
        "yellow",
        "It was fenced, and the storage has not released its locks yet. That takes up to two minutes. If it stays so, the "
        "server may be running: its BMC said that it is off.",
        "check that server's console and power; on the storage: /proc/fs/nfsd/clients/*/states",
        settling="ignore",
        next="the storage releases the lock within two minutes",
    ),
    "lease-without-lock": Kind(
        "The storage has no locks",
        "yellow",
        "Only the record of the lease prevents a domain from being started by hand on the wrong server.",
        "mount the images with NFS 4.1 or later, without local_lock or nolock",
        settling="ignore",
    ),
    "lease-lock-lost": Kind(
        "The storage has lost a lock",
        "red",
        "Another server could lock the image, so only its record keeps others out. Storage that was restarted without what it "
        "knew of its clients does that, and two servers that have one NFS client id.",
        "find out why (`snow ha check`; on an NFS server: /proc/fs/nfsd/clients/*/states), then restart the domain",
        settling="ignore",
    ),
    "lease-left": Kind(
        "A copy that was ended has left its lease",
        "yellow",
        "No other server can attach the image. The next copy on the same server takes the lease, and so does a domain that is "
        "started there.",
        "on the server that it names: snow-lease give {where}",
        settling="ignore",
    ),
    "lease-holder-gone": Kind(
        "The process that hands a lease over has died",
        "yellow",
        "The lease stays where it is. The domain cannot be migrated live: Pacemaker restarts it on the other server instead.",
        "restart the domain at a convenient time",
        settling="ignore",
    ),
    "image-frozen": Kind(
        "A domain's disk is suspended",
        "yellow",
        "It is being migrated, or a migration broke. If it persists, the domain hangs.",
        "wait, and check again; then see the leftovers of the migration: snow ha resolve",
        settling="ignore",
        next="it continues when the migration ends",
    ),
    "xl-unusable": Kind(
        "xl cannot be used on a server",
        "red",
        "What runs there continues to run. Nothing can be started or stopped there: a server on which that is needed is fenced.",
        "check what xl reports there: xl list; after an upgrade of Xen, reboot the server",
        settling="ignore",
    ),
    "migration-failed": Kind(
        "A live migration failed",
        "yellow",
        "Pacemaker has restarted the domain instead, or left it where it was. This is shown until a migration of it succeeds.",
        "correct the cause; the output of xl is in /run/snow-lease/migrate/{where}.log on that server",
        settling="ignore",
    ),
    "domain-migrating": Kind(
        "A live migration is under way",
        "note",
        "Memory that the domain writes meanwhile is sent again, in five rounds at most; then it is suspended for the rest. "
        "If it takes too long it is given up, and the domain continues where it was.",
        "wait, and check again",
        settling="ignore",
    ),
    "migration-left": Kind(
        "A broken live migration has leftovers",
        "red",
        "Copies of the domain, or leases that are half handed over, keep it from being started, or hold memory.",
        "see the leftovers and what would be done: snow ha resolve",
        settling="ignore",
    ),
    "domain-paused": Kind(
        "A domain is paused",
        "yellow",
        "It does not run until it is unpaused.",
        "if this is not intended: xl unpause {where}",
        settling="ignore",
    ),
    "off-on-purpose": Kind(
        "A domain was shut down on purpose",
        "note",
        "Pacemaker was told to keep it off (target-role).",
        "to start it: snow boot {where}",
    ),
}
