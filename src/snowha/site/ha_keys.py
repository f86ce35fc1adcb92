"""The tables and keys of ``ha.toml``: their types and defaults, and what each is for. docs/ha-toml.md is made from this.

``toml_tables.read`` holds a file to this shape; the rules between values are in ``ha_file.check``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from snowha.site.model import WARM_FROM_MIB


@dataclass(frozen=True)
class Key:
    """What a reader of docs/ha-toml.md must know of a key, beside its type and default."""

    does: str
    refused: str
    """Values that are refused, beside those of another type."""


_PATH_RULE = (
    "a path that does not begin with `/`, has `..` in it, or a character other than letters, digits, `/._+:@%=~-`"
)
_WORD_RULE = "a space, a character that is not printable ASCII, a leading `-`, an empty value"


@dataclass(frozen=True)
class Cluster:
    """The cluster as a whole."""

    name: Annotated[
        str,
        Key(
            "Name of the cluster, in Corosync's configuration.",
            refused="anything but 1 to 15 letters, digits, `-` and `_`, of which the first is a letter or digit",
        ),
    ]
    floating_ip: Annotated[
        str,
        Key(
            "IPv4 address with its prefix length, as in `192.168.8.254/24`. It is always on one server, and moves when that "
            "server is lost. It becomes the gateway of `NET_SNOW` and `NET_COMP` in `snow.conf`. Empty: no floating IP.",
            refused="no prefix length; an address of a server or of its BMC, one that no card can have (`127.…`, multicast); "
            "an IPv6 address; a value here without `floating_nic`",
        ),
    ] = ""
    floating_nic: Annotated[
        str,
        Key(
            "The bridge that carries the floating IP, on every server.",
            refused="what cannot be the name of a network interface (at most 15 characters); a value here without "
            "`floating_ip`",
        ),
    ] = ""
    token_ms: Annotated[
        int,
        Key(
            "Milliseconds of silence after which Corosync considers a server lost. Then it is fenced. Smaller is faster; too "
            "small, and a server that is only busy is fenced.",
            refused="less than 1000, more than 300000",
        ),
    ] = 6000


@dataclass(frozen=True)
class Paths:
    """Where things are, on the servers."""

    snow_conf: Annotated[str, Key("sNow!'s configuration, on the first server.", refused=_PATH_RULE)]
    domain_configs: Annotated[
        str,
        Key(
            "Folder of the domains' Xen configs (`*.cfg`). It must be the same folder on all servers, so it is on shared "
            "storage.",
            refused=_PATH_RULE,
        ),
    ]
    images: Annotated[
        str,
        Key(
            "Folder of the images, on shared storage. The image of the volume `deploy01-disk` becomes "
            "`IMAGES/deploy01/deploy01-disk`.",
            refused=_PATH_RULE,
        ),
    ]


@dataclass(frozen=True)
class Images:
    """How the domains' volumes are copied. The table can be left out."""

    warm_from_mib: Annotated[
        int,
        Key(
            "MiB. A running domain with more than this on its logical volumes is copied while it runs: it is off only for "
            "the last changes. This takes room for a snapshot in its volume group, a fifth of each volume and at least "
            "256 MiB. Other domains are copied while they are off. 0: every running domain on logical volumes is copied "
            "while it runs.",
            refused="less than 0",
        ),
    ] = WARM_FROM_MIB


@dataclass(frozen=True)
class Alerts:
    """Who is told when a server is lost or fenced, when it cannot be fenced, or when a domain fails. The table can be left out:
    nobody is told then. [everyday.md](everyday.md#alerts) has what is told, and how."""

    mail: Annotated[
        str,
        Key(
            "Mail address, or a user of the servers. Every server must be able to send mail "
            "(`/usr/sbin/sendmail`). Empty: no mail.",
            refused="more than one address; a space, a leading `-`; more than 254 characters",
        ),
    ] = ""
    command: Annotated[
        str,
        Key(
            "Path of a command on every server that is run, as the user `hacluster`, for at most 20 s. Empty: none.",
            refused=_PATH_RULE,
        ),
    ] = ""


@dataclass(frozen=True)
class Metrics:
    """What Prometheus reads from the servers, see [metrics.md](metrics.md). The table can be left out."""

    hacluster_exporter: Annotated[
        bool,
        Key(
            "`true`: `prometheus-hacluster-exporter` is installed and runs on every server. It listens on port 9664 of every "
            "address, without a password.",
            refused="nothing",
        ),
    ] = False


@dataclass(frozen=True)
class Ssh:
    """How the servers are reached. The table can be left out."""

    user: Annotated[
        str,
        Key(
            "User to log in as: root, or an account with all of root's rights. `sudo` is not used.",
            refused=_WORD_RULE,
        ),
    ] = "root"
    config: Annotated[
        str,
        Key(
            "An OpenSSH configuration (ssh_config(5)) to use in place of yours: port, keys, jump hosts. Write it from `/` on: "
            "another path is taken from the folder that `snow` is started in, and `~` has no meaning. Empty: OpenSSH's own.",
            refused="a character that does not print, a leading `-`",
        ),
    ] = ""


@dataclass(frozen=True)
class Fence:
    """How the power of this server is cut: `fence = { … }` in its `[[server]]`."""

    agent: Annotated[
        str,
        Key(
            "Fence agent. `fence_ipmilan` and its relatives (`fence_idrac`, `fence_ilo4`, …) speak IPMI. Only "
            "IPMI was tried. Another agent must be installed by you on every server, and take `--ip`, `--username` and "
            "`--password-script`.",
            refused="what is not the name of an agent, `fence_…`",
        ),
    ]
    address: Annotated[
        str,
        Key(
            "The BMC: an IP address or a host name that every server knows.",
            refused="neither an IP address nor a host name; a server itself; an address that another server's fence has, with "
            "the same `plug` or `systems_uri`, or of IPMI with the same `port`",
        ),
    ]
    username: Annotated[str, Key("User on the BMC.", refused="an empty value, a character that does not print")]
    secret: Annotated[
        str,
        Key(
            "File with the BMC's password in its first line, on the machine that you work from. A relative path begins at the "
            "folder of `ha.toml`. The file must have mode 0600. Several servers can name one file.",
            refused="a path without a `/`, so that a password written here by mistake is not taken; `/../`; when it is read: a "
            "file that others can read, a missing or empty one; when `snow ha apply` brings it to the servers: more than 20 "
            "bytes for IPMI, a character that does not print, a space at its end",
        ),
    ]
    cipher: Annotated[
        int | None,
        Key(
            "IPMI only. Cipher suite, for a BMC that does not take the one that ipmitool asks for: 3 or 17 with most. None: "
            "ipmitool's own.",
            refused="less than 0, more than 255; a value with an agent that does not speak IPMI",
        ),
    ] = None
    privilege: Annotated[
        str,
        Key(
            "IPMI only. Privilege level to log in with, for a user that has no more: `operator` may cut the power, too. "
            "Empty: `administrator`.",
            refused="anything but `callback`, `user`, `operator`, `administrator`; a value with an agent that does not speak "
            "IPMI",
        ),
    ] = ""
    port: Annotated[
        int | None,
        Key(
            "IPMI only. UDP port of the BMC. None: 623.",
            refused="less than 1, more than 65535; a value with an agent that does not speak IPMI",
        ),
    ] = None
    lanplus: Annotated[
        bool,
        Key(
            "IPMI only. `true`: IPMI 2.0. `false`: IPMI 1.5, for an old BMC; `snow ha init` writes it where `snow.conf` has "
            "`IPMI_TYPE=lan`. Options behind it (`-C`, `-L`, `-p`) become `cipher`, `privilege` and `port`.",
            refused="`false` with an agent that does not speak IPMI",
        ),
    ] = True
    options: Annotated[
        tuple[str, ...],
        Key(
            'More parameters of the agent, as its `-o metadata` names them: `["plug=3"]`, `["ssl_insecure", '
            '"systems_uri=/redfish/v1/Systems/1"]`. Two servers can have one address if their `plug` or `systems_uri` '
            "differs, but for IPMI's agents, which ignore both.",
            refused="what is not `name` or `name=value`; a name that is written twice, that has a key here, that the cluster's "
            "configuration sets (`method`, `pcmk_…`, limits of time), or that is a secret",
        ),
    ] = ()


@dataclass(frozen=True)
class Server:
    """A sNow! server, at least two. The first one is the single server of today, which runs all domains."""

    name: Annotated[
        str,
        Key(
            "Host name of the server. Its name in the cluster, too. All servers must know it.",
            refused="anything but letters, digits and `-`, more than 63 of them; a name that another server or a domain has",
        ),
    ]
    address: Annotated[
        str,
        Key(
            "Address for ssh: IP address or host name.",
            refused="neither an IP address nor a host name; an address that another server has, or a link of it",
        ),
    ]
    links: Annotated[
        tuple[str, ...],
        Key(
            "This server's address on each network that Corosync uses. The same networks in the same order for every server. "
            "Two networks are recommended: with one, a failed cable or switch takes down a server.",
            refused="a host name; another number of addresses than the other servers have; none, or more than 8; an address "
            "that is written twice, or that no card has alone (`127.…`, multicast, `fe80::…`); IPv4 and IPv6 at the same place "
            "of two servers",
        ),
    ]
    fence: Annotated[
        Fence | None,
        Key(
            "How its power is cut. It can be left out for `snow ha check`, which then reports it; `snow ha apply` and "
            "`snow ha plan` refuse a server without it.",
            refused="see below",
        ),
    ] = None


@dataclass(frozen=True)
class Mount:
    """A shared file system that every server must have. New servers get it mounted, and written into `/etc/fstab`."""

    source: Annotated[str, Key("What is mounted, as in `nfs01:/sNow`.", refused=_WORD_RULE)]
    target: Annotated[str, Key("Where it is mounted.", refused=f"{_PATH_RULE}; a target that another mount has")]
    fstype: Annotated[str, Key("Type for mount(8): `nfs4`, `nfs`.", refused=_WORD_RULE)]
    options: Annotated[
        str,
        Key(
            "Options for mount(8), with commas. For NFS use `hard`; `soft` is a stop.",
            refused=f"{_WORD_RULE}; `noauto` without `x-systemd.automount`",
        ),
    ] = "defaults"


@dataclass(frozen=True)
class Domain:
    """A domain that the cluster runs. A domain that is not named in the file is left alone."""

    name: Annotated[
        str,
        Key(
            "Its `name` in its Xen config.",
            refused="anything but letters, digits and `-`, more than 63 of them; digits alone; `Domain-0`, "
            "`…--incoming`, `…--migratedaway`; "
            "a name that a server or another `[[domain]]` has; a name of which there is no config, or more than one",
        ),
    ]


@dataclass(frozen=True)
class Apart:
    """Domains that replace each other, and are therefore kept on different servers as long as there are enough servers."""

    domains: Annotated[
        tuple[str, ...],
        Key("Names of the domains.", refused="fewer than two; a name twice; a name that has no `[[domain]]`"),
    ]


@dataclass(frozen=True)
class File:
    """The whole file. `snow ha init` writes it; every table comes in it once unless it is a list, `[[…]]`."""

    cluster: Cluster
    paths: Paths
    images: Images = Images()
    alerts: Alerts = Alerts()
    metrics: Metrics = Metrics()
    ssh: Ssh = Ssh()
    server: tuple[Server, ...] = ()
    mount: tuple[Mount, ...] = ()
    domain: tuple[Domain, ...] = ()
    apart: tuple[Apart, ...] = ()


TABLES: dict[str, type] = {
    "cluster": Cluster,
    "paths": Paths,
    "images": Images,
    "alerts": Alerts,
    "metrics": Metrics,
    "ssh": Ssh,
    "server": Server,
    "fence": Fence,
    "mount": Mount,
    "domain": Domain,
    "apart": Apart,
}
"""Every table by the key that opens it."""
