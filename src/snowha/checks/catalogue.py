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

_NO_NETWORK = "check cable, switch, address and firewall on both sides; ping must succeed"

ENTRIES: dict[str, Entry] = {
    # servers
    "own-machine": Entry(
        "snow runs on a server or in a domain of this site",
        "stop",
        "A step that restarts, fences or moves what snow runs on would end the run halfway, with nothing left to switch a "
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
        "An untested operating system",
        "stop",
        "Packages have different names there, and other versions behave differently.",
        "use Debian 12 or 13",
    ),
    "release-differs": Entry(
        "Servers with different releases of Debian",
        "warn",
        "Xen migrates domains from an older to a newer version only, and mixed versions in a cluster are supported only for the "
        "time of an upgrade.",
        "bring all servers to one release",
    ),
    "version-differs": Entry(
        "Servers with different versions of a package",
        "warn",
        "Mixed versions of Corosync and Pacemaker are supported only for the time of an upgrade. Xen migrates a "
        "domain to the same "
        "or a newer version, and not back.",
        "bring all servers to the same version: apt update && apt full-upgrade",
    ),
    "clock": Entry(
        "Clocks that differ by more than a second",
        "warn",
        "Logs of different servers cannot be compared, and files on the shared file system get times in the future.",
        "synchronise all servers with one time source (chrony or systemd-timesyncd)",
    ),
    "name-unknown": Entry(
        "A name that a server cannot resolve",
        "stop",
        "Live migration and Pacemaker use the servers' names, mounts use the storage's.",
        "add it to /etc/hosts or the DNS, the same on all servers",
    ),
    "name-differs": Entry(
        "A name that resolves to another machine",
        "stop",
        "A domain would be migrated to the wrong machine, or a file system mounted from it.",
        "correct /etc/hosts or the DNS, the same on all servers",
    ),
    "root-ssh": Entry(
        "Root cannot log in from one server to another",
        "warn",
        "Live migration goes over ssh, without anybody there to answer a question.",
        "`snow ha check --fix` pins the host keys and exchanges the servers' keys",
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
        "Configs or images that users other than root can write",
        "stop",
        "A domain's config names scripts and files that root uses on every server: whoever can write it is root "
        "there. Whoever can "
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
        "A domain could be started on no other server. Symbolic links are followed: one may point outside the shared "
        "file system.",
        "move the files to a folder on the shared file system, and name that in [paths] of ha.toml",
    ),
    "mount-differs": Entry(
        "A mount point with different file systems on different servers",
        "stop",
        "A domain would be started from a different image than the one it ran from.",
        "mount the same export on every server, and correct /etc/fstab",
    ),
    "mount-options": Entry(
        "A shared file system mounted with different options",
        "warn",
        "NFS version, locking and timeouts decide what happens to a domain when the storage is slow or another server is lost.",
        "give it the same options in /etc/fstab on every server",
    ),
    "mount-soft": Entry(
        "A shared file system mounted soft",
        "stop",
        "When the storage is slow, a soft mount returns an I/O error instead of waiting: the domain's file system is damaged "
        "or read-only.",
        "mount it with the option `hard`",
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
        "A lock that one server holds must exclude the others; without it, programs that rely on locks would write "
        "at the same time.",
        "mount it without nolock and local_lock, and check whether the lock service of the NFS server runs",
    ),
    "nfs-version": Entry(
        "A shared file system mounted with NFS before 4.1",
        "warn",
        "With NFS 3 the lock of a lost server stays until that server has booted again, and no write is refused for "
        "want of a lock: only the record of the lease and Pacemaker's fencing history protect the image. With NFS 4.0 a server "
        "that was lost may hold delegations, for which the others wait up to 90 s.",
        "mount it with vers=4.1 or vers=4.2",
    ),
    "nfs-client-id": Entry(
        "Two servers with one NFS client id",
        "stop",
        "The storage takes them for one server that has rebooted: it drops locks and open files of the first when the second "
        "comes.",
        "give each server a host name of its own, or an id (`options nfs nfs4_unique_id=ID` in /etc/modprobe.d), then reboot it",
    ),
    "locks-unknown": Entry(
        "It is unknown whether locks work",
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
        "A link does not carry packets of its interface's MTU",
        "warn",
        "Small packets arrive and large ones are lost: the cluster fails at its first large message.",
        "set the same MTU on all interfaces and switch ports of that network",
    ),
    "link-address": Entry(
        "No interface of the server has the address of its link",
        "stop",
        "Corosync binds to it, and does not start without it.",
        "correct `links` in ha.toml, or the server's network",
    ),
    "link-unknown": Entry(
        "It is unknown whether a link carries traffic",
        "note",
        "The program ping is not installed on that server yet.",
        "apt install iputils-ping, or let `snow ha apply` install it",
    ),
    "floating-ip-network": Entry(
        "A floating IP outside its bridge's network",
        "stop",
        "No machine on that network could reach it, or the server that has it would send its answers through another interface.",
        "correct floating_ip and floating_nic in ha.toml: an address of the bridge's network, with its prefix length",
    ),
    "floating-ip-taken": Entry(
        "A floating IP that is in use",
        "stop",
        "Two machines with one address receive each other's traffic: domains and nodes would lose their gateway intermittently.",
        "set floating_ip in ha.toml to a free address, or give the machine that has it another one",
    ),
    "one-link": Entry(
        "Only one link",
        "warn",
        "One failed cable, interface or switch isolates a server.",
        "add an address in a second network to `links` of every [[server]] in ha.toml",
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
        "A BMC rejects the login or does not answer",
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
        "A BMC that belongs to another server",
        "stop",
        "Fencing would cut the power of the server that runs everything at that moment.",
        "exchange the addresses of the fence devices in ha.toml",
    ),
    "bmc-address": Entry(
        "A server's own BMC has another address",
        "warn",
        "The address that the server reads from its own BMC (in-band) differs from ha.toml. A BMC can have more than "
        "one address.",
        "compare `ipmitool lan print` on the server with `address` of its fence in ha.toml",
    ),
    "bmc-identity-unknown": Entry(
        "It is unknown which server a BMC belongs to",
        "note",
        "It reports no GUID of a server, and the server cannot query it in-band. Only the proof of fencing can show it.",
        "compare the address with the label on the machine before you let its power be cut",
    ),
    "bmc-unasked": Entry(
        "A BMC could not be queried",
        "note",
        "ipmitool is installed neither on this machine nor on the first server yet. The BMC is queried when the "
        "packages are installed.",
        "apt install ipmitool",
    ),
    "fence-tools": Entry(
        "Fencing tools are missing",
        "warn",
        "The server cannot fence another one. fence-agents only recommends ipmitool.",
        "let `snow ha apply` install them, or apt install ipmitool fence-agents",
    ),
    **DOMAIN_ENTRIES,
    # cluster
    "corosync-foreign": Entry(
        "A corosync.conf that snow-ha did not write",
        "stop",
        "snow-ha does not overwrite it.",
        "if that cluster is no longer in use, move the file away; otherwise correct ha.toml",
    ),
    "corosync-running": Entry(
        "Corosync runs with another configuration",
        "stop",
        "The configuration of a running cluster is not changed. When Pacemaker is stopped, it stops its domains first, unless "
        "it is in maintenance-mode.",
        corosync_conf.STOP_REMEDY,
    ),
    "cib-foreign-resources": Entry(
        "Pacemaker runs resources that snow-ha did not create, or fences by levels whose devices do not exist",
        "stop",
        "Resources would be removed, or conflict with those of snow-ha. With such a level no server can be fenced.",
        TAKE_OUT,
    ),
    "cib-leftover-move": Entry(
        "A constraint left by a manual move",
        "warn",
        "It outweighs every preference: the domain always returns to that server, or never runs there.",
        "crm_resource --clear --resource NAME",
    ),
    "cib-unreadable": Entry(
        "The cluster's configuration cannot be read",
        "stop",
        "snow-ha does not overwrite what it cannot read.",
        "see what it contains: cibadmin --query",
    ),
    **HEALTH,
}
ONLY_STATUS = {code: entry for code, entry in _OF_STATUS.items() if code not in ENTRIES}
"""What `snow ha status` finds and `snow ha check` says in other words."""


def found(code: str, where: str, message: str, *, remedy: str = "", severity: Severity | None = None) -> Finding:
    """A finding of a code that is listed. KeyError for one that is not."""
    entry = ENTRIES[code]
    return Finding(code, severity or entry.severity, where, message, remedy or entry.remedy)
