"""Every finding that ``snow ha check`` can make: its code, how severe it is, why it matters, and what to do.

docs/checks.md is made from this; a finding that is not listed here cannot be made.
"""

from __future__ import annotations

from snowha.checks.catalogue_domains import DOMAIN_ENTRIES
from snowha.checks.catalogue_images import IMAGE_ENTRIES
from snowha.checks.entry import Entry
from snowha.cluster import corosync_conf
from snowha.cluster.cib_merge import TAKE_OUT
from snowha.errors import InputError, UnreachableError
from snowha.health.catalogue import KINDS
from snowha.site.rules import Finding, Severity

OF_HEALTH: dict[str, Severity] = {"red": "warn", "yellow": "warn", "note": "note"}
"""No stop: what is wrong with a running cluster is what `snow ha apply` is there for, or says by itself."""
_SAID_ALREADY = frozenset({"unreachable", "runs-twice", "domain-unknown", "migration-left"})
"""By rules about servers and domains, which know more."""

_OF_STATUS = {
    code: Entry(kind.title, OF_HEALTH[kind.severity], kind.why, kind.remedy.replace("{where}", "NAME"))
    for code, kind in KINDS.items()
}
HEALTH = {code: entry for code, entry in _OF_STATUS.items() if code not in _SAID_ALREADY}
"""What `snow ha status` says of a running cluster (health/findings.py), and `snow ha check` with it."""

_NO_NETWORK = "look at cable, switch, address and firewall on both sides; ping must pass"

ENTRIES: dict[str, Entry] = {
    # servers
    "own-machine": Entry(
        "snow runs on a server or in a domain of this site",
        "stop",
        "A step that restarts, fences or moves what snow runs on would end the run in the middle, with nobody there to switch a "
        "server on again. `snow ha apply` refuses these steps from there. It is a note where none of them is due.",
        "run snow on a machine that is neither a server nor a domain of this site, with root's ssh to the servers; or name other "
        "steps: --until or --only",
    ),
    "unreachable": Entry(
        "A server does not answer",
        "stop",
        "Its state is unknown, and only a part of the site would be changed.",
        "log in to it by hand: ssh root@SERVER",
        error=UnreachableError,
    ),
    "release": Entry(
        "An untested system",
        "stop",
        "Packages have other names, and versions behave differently.",
        "use Debian 12 or 13",
    ),
    "release-differs": Entry(
        "Servers with different releases of Debian",
        "warn",
        "Xen migrates domains from an older to a newer version only, and a cluster of mixed versions is meant for the "
        "time of an upgrade.",
        "bring all servers to one release",
    ),
    "version-differs": Entry(
        "Servers with different versions of a package",
        "warn",
        "Mixed versions of Corosync and Pacemaker are meant for the time of an upgrade. Xen migrates a domain to the same "
        "or a newer version, and not back.",
        "bring all servers to the same version: apt update && apt full-upgrade",
    ),
    "clock": Entry(
        "Clocks that differ by more than a second",
        "warn",
        "Logs of different servers cannot be compared, and files on the shared file system get times in the future.",
        "let all servers use one time source (chrony or systemd-timesyncd)",
    ),
    "name-unknown": Entry(
        "A name that a server cannot resolve",
        "stop",
        "Live migration and Pacemaker use the servers' names, mounts use the storage's.",
        "add it to /etc/hosts or the DNS, the same on all servers",
    ),
    "name-differs": Entry(
        "A name that means another machine",
        "stop",
        "A domain would be migrated to, or a mount come from, the wrong machine.",
        "correct /etc/hosts or the DNS, the same on all servers",
    ),
    "root-ssh": Entry(
        "Root cannot log in from one server to another",
        "warn",
        "Live migration goes over ssh, without anybody there to answer a question.",
        "snow ha check --fix pins the host keys and exchanges the servers' keys",
        fix="servers.ssh",
    ),
    "xendomains-save": Entry(
        "XENDOMAINS_SAVE is not empty",
        "warn",
        "A domain saved at shutdown is restored at boot, beside the one that Pacemaker has started elsewhere meanwhile.",
        'set XENDOMAINS_SAVE="" in /etc/default/xendomains',
        fix="servers.settings.{server}",
    ),
    "starts-at-boot": Entry(
        "Corosync or Pacemaker starts at boot",
        "warn",
        "A server that was fenced comes back into the cluster before anybody has looked at it, and may be fenced again.",
        "systemctl disable corosync pacemaker",
        fix="servers.settings.{server}",
    ),
    "unattended-upgrades": Entry(
        "Packages that are upgraded, or services restarted, automatically",
        "warn",
        "A restart of Corosync or Pacemaker at a time that nobody chose can get a server fenced, on all servers in the same "
        "night; xl of another version than the hypervisor under it may not manage its domains.",
        'add "xen", "corosync", "pacemaker" and "libxen" to Unattended-Upgrade::Package-Blacklist, and drain a server before '
        "it is upgraded",
    ),
    # storage
    "writable-by-others": Entry(
        "Configs or images that others than root can write",
        "stop",
        "A domain's config names scripts and files that root uses on every server: who can write it is root there. Who can "
        "write a folder can replace what is in it.",
        "chown root:root PATH; chmod go-w PATH",
    ),
    "not-nfs": Entry(
        "/sNow is not on NFS",
        "stop",
        "Images there could not be shared by the servers.",
        'put /sNow on a shared file system first (guide, "This guide assumes that")',
    ),
    "not-shared": Entry(
        "Images or configs that only one server has",
        "stop",
        "A domain could be started on no other server. Links are followed: one may lead out of the shared file system.",
        "name a folder on the shared file system in [paths] of ha.toml, and put there what is in this one",
    ),
    "mount-differs": Entry(
        "A shared file system that is another one on another server",
        "stop",
        "A domain would be started from another image than the one that it ran from.",
        "mount the same export on every server, and correct /etc/fstab",
    ),
    "mount-options": Entry(
        "A shared file system mounted with other options",
        "warn",
        "Version, locking and time limits decide what a domain sees when the storage is slow or another server is lost.",
        "give it the same options in every server's /etc/fstab",
    ),
    "mount-soft": Entry(
        "A shared file system mounted soft",
        "stop",
        "When the storage is slow, a soft mount gives an I/O error instead of waiting: the domain's file system is damaged "
        "or read-only.",
        "mount it with the option hard",
    ),
    "not-writable": Entry(
        "Root cannot write on the shared file system",
        "stop",
        "Images are written by root. An export with root_squash gives root no rights.",
        "export it with no_root_squash to the servers",
    ),
    "locks": Entry(
        "Locks do not work on the shared file system",
        "stop",
        "A lock that one server holds must keep the other out; programs that rely on it would both write.",
        "mount it without nolock and local_lock, and look whether the NFS server's lock service runs",
    ),
    "nfs-version": Entry(
        "A shared file system mounted with NFS before 4.1",
        "warn",
        "With NFS 3 the lock of a server that was lost stays until that server has booted again, and no write is refused for "
        "want of a lock: what keeps two servers apart is the record of a lease, and Pacemaker's word. With NFS 4.0 a server "
        "that was lost may hold delegations, for which others wait up to 90 s.",
        "mount it with vers=4.1 or vers=4.2",
    ),
    "nfs-client-id": Entry(
        "Two servers with one NFS client id",
        "stop",
        "The storage takes them for one server that has booted: it drops locks and open files of the first when the second "
        "comes.",
        "give each server a host name of its own, or an id (`options nfs nfs4_unique_id=ID` in /etc/modprobe.d), then reboot it",
    ),
    "locks-unknown": Entry(
        "It is not known whether locks work",
        "note",
        "One server locks snow.conf for 3 seconds and the other one tries it meanwhile; this time the two did not overlap.",
        "run it again",
    ),
    **IMAGE_ENTRIES,
    # network
    "link-down": Entry(
        "A link does not carry traffic",
        "stop",
        "Corosync needs every link from the start: a link that never worked is found out when the other one fails.",
        _NO_NETWORK,
    ),
    "link-mtu": Entry(
        "A link does not carry packets as large as its card sends",
        "warn",
        "Small packets pass and large ones are lost: the cluster fails at its first large message.",
        "give all cards and switch ports of that network one MTU",
    ),
    "link-address": Entry(
        "An address of a link is on no card of its server",
        "stop",
        "Corosync binds to it, and does not start without it.",
        "correct `links` in ha.toml, or the server's network",
    ),
    "link-unknown": Entry(
        "It is not known whether a link carries traffic",
        "note",
        "There is no ping on that server yet.",
        "apt install iputils-ping, or let `snow ha apply` install it",
    ),
    "floating-ip-network": Entry(
        "A floating IP that is not of its bridge's network",
        "stop",
        "Nobody on that network would reach it, or the server that has it would send answers another way.",
        "correct floating_ip and floating_nic in ha.toml: an address of the bridge's network, with its prefix length",
    ),
    "floating-ip-taken": Entry(
        "A floating IP that somebody has",
        "stop",
        "Two machines with one address take each other's traffic: every domain and node would lose its gateway now and then.",
        "name a free address as floating_ip in ha.toml, or give the machine that has it another one",
    ),
    "one-link": Entry(
        "Only one link",
        "warn",
        "One failed cable, card or switch isolates a server.",
        "name an address in a second network in the `links` of every [[server]] of ha.toml",
    ),
    # fencing
    "no-fence": Entry(
        "A server without a fence device",
        "stop",
        "Two servers that lose contact with each other would write to the same image.",
        "add `fence = {…}` to its [[server]] in ha.toml",
        error=InputError,
    ),
    "bmc-refused": Entry(
        "A BMC refuses the login or does not answer",
        "stop",
        "A server that cannot be fenced keeps its domains from being started elsewhere.",
        "check address, user and password of its fence device",
        error=UnreachableError,
    ),
    "bmc-off": Entry(
        "A BMC reports off for a server that answers",
        "stop",
        "It is another machine's BMC: fencing would cut the power of the wrong one.",
        "correct `address` of its fence in ha.toml",
    ),
    "bmc-other-server": Entry(
        "A BMC that is another server's",
        "stop",
        "Fencing would cut the power of the server that runs everything at that moment.",
        "exchange the addresses of the fence devices in ha.toml",
    ),
    "bmc-address": Entry(
        "A server's own BMC has another address",
        "warn",
        "What the server says of its BMC, in-band, is not what ha.toml says. A BMC can have more than one address.",
        "compare `ipmitool lan print` on the server with `address` of its fence in ha.toml",
    ),
    "bmc-identity-unknown": Entry(
        "It is not known which server a BMC belongs to",
        "note",
        "It tells no GUID that is a server's, and the server cannot ask it in-band. Only the proof of fencing can tell.",
        "compare the address with the label on the machine before you let its power be cut",
    ),
    "bmc-unasked": Entry(
        "A BMC could not be asked",
        "note",
        "There is no ipmitool here nor on the first server yet. It is asked when the packages are there.",
        "apt install ipmitool",
    ),
    "fence-tools": Entry(
        "Fence tools are missing",
        "warn",
        "The server cannot fence another one. fence-agents only recommends ipmitool.",
        "let `snow ha apply` install them, or apt install ipmitool fence-agents",
    ),
    **DOMAIN_ENTRIES,
    # cluster
    "corosync-foreign": Entry(
        "A corosync.conf that snow-ha did not write",
        "stop",
        "It is never overwritten without being asked.",
        "if that cluster is not in use any more, move the file out of the way; else correct ha.toml",
    ),
    "corosync-running": Entry(
        "Corosync runs with another configuration",
        "stop",
        "A configuration is not changed under a running cluster. Where Pacemaker is stopped, it stops its domains first, unless "
        "it is in maintenance-mode.",
        corosync_conf.STOP_REMEDY,
    ),
    "cib-foreign-resources": Entry(
        "Pacemaker runs resources that snow-ha did not create, or fences by levels of devices that are gone",
        "stop",
        "Resources would be removed, or conflict with those of snow-ha. With such a level no server is fenced.",
        TAKE_OUT,
    ),
    "cib-leftover-move": Entry(
        "A constraint left by a move by hand",
        "warn",
        "It outweighs every preference: the domain falls back to that server, or never goes there.",
        "crm_resource --clear --resource NAME",
    ),
    "cib-unreadable": Entry(
        "The cluster's configuration cannot be read",
        "stop",
        "What is not understood is not overwritten.",
        "look at it: cibadmin --query",
    ),
    **HEALTH,
}
ONLY_STATUS = {code: entry for code, entry in _OF_STATUS.items() if code not in ENTRIES}
"""What `snow ha status` finds and `snow ha check` says in other words."""


def found(code: str, where: str, message: str, *, remedy: str = "", severity: Severity | None = None) -> Finding:
    """A finding of a code that is listed. KeyError for one that is not."""
    entry = ENTRIES[code]
    return Finding(code, severity or entry.severity, where, message, remedy or entry.remedy)
