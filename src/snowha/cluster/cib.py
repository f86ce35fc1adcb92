"""Pacemaker's configuration for a site: what is fenced, what is run, how failures are treated, who belongs where.

``compose`` makes the ``<configuration>`` out of the site alone. ``merge`` puts it into the CIB that a cluster has,
``differs`` tells what that would change, ``foreign`` what of it is somebody else's.

Only elements that the schemas pacemaker-3.0 to 4.0 share are used: Pacemaker 2.1.5 and 3.0.0 take it alike.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import combinations

from lxml import etree

from snowha.cluster.cib_ids import make_unique
from snowha.cluster.cib_merge import APART, FENCE, MARK, PLACE, differs, foreign, merge
from snowha.cluster.fencing import IPMITOOL_TIMEOUT_S, agent_options, device_of
from snowha.errors import InputError
from snowha.site.model import Alerts, Domain, FloatingIp, Server, Site
from snowha.site.names import can_be_resource

__all__ = ["FLOATING_IP", "Options", "check_names", "compose", "differs", "fence_id", "foreign", "merge"]

FLOATING_IP = "xsnow-vip"
"""Resource id of the floating IP, as in the guide."""

DOMAIN_AGENT = ("snow-ha", "domain")
"""Provider and type of the resource agent for a domain: ocf:snow-ha:domain, which xen/server has."""

ALERT_AGENT = "/usr/lib/snow-ha/snow-alert"
"""Tells people what an alert means (xen/alert_agent.py)."""
ALERT = "snow-alert"

STICKINESS = 100
PREFERENCE = 25
APART_SCORE = -50
"""A domain goes where it is preferred (25) when it is started, unless its partner is there (-50). Where it runs it
stays (100 beats both together): nothing fails back onto a server that has just come up and may be half broken.
Finite, so that the last server left runs everything: a constraint that would leave no server is dropped
(pacemaker, ``pcmk__apply_coloc_to_scores``). Bringing domains back is an administrator's decision.
"""


@dataclass(frozen=True)
class Options:
    """What the CIB needs to know beyond the site. Times in seconds."""

    live_migration: frozenset[str] = frozenset()
    """Domains that can live-migrate; the others are stopped and started when they are moved."""
    off: frozenset[str] = frozenset()
    """Domains that are off on purpose: Pacemaker gets them, and leaves them off until somebody starts them."""
    password_scripts: Mapping[str, str] = field(default_factory=dict)
    """Server → path, on the servers, of the script that prints its BMC's password."""
    start_s: int = 180
    """``xl create`` took up to 60 s on an emulated server, four at once; libxl allows a hotplug script 40 s."""
    stop_s: int = 240
    """The agent asks the guest to shut down and destroys it after two thirds of this. A stop that fails gets the server
    fenced, with all that runs on it: better wait."""
    monitor_s: int = 90
    """A look that is late counts as failed and the domain is restarted, so late must not come from load alone. The agent looks
    again until shortly before this when ``xl`` cannot be used and nothing else shows that the domain runs."""
    monitor_interval_s: int = 60
    """Each look starts two processes on dom0, for every domain. The guide has 40 s. It matters only for a domain
    that was shut down from inside: a lost server is noticed by Corosync, within its token, and a domain that crashes or
    reboots is started again by libxl itself, with the on_crash and on_reboot that sNow! writes."""
    migrate_s: int = 600
    """On top comes what the memory takes, see ``_migrate_s``. Given up half-way, a migration leaves a domain paused."""
    fence_s: int = 180
    """One attempt: status, off, seen off, on, seen on; five answers of a BMC that takes 20 s for each, and the agent's start."""
    fence_monitor_s: int = 90
    """One look at a BMC: what ``fencing.IPMITOOL_TIMEOUT_S`` makes of one that does not answer, and the agent's start."""
    recheck_s: int = 120
    """See ``_properties``."""
    split_delay_s: int = 10
    """See ``_fence``."""


def fence_id(server: str) -> str:
    """Resource id of the fence device of ``server``."""
    return f"fence-{server}"


def compose(site: Site, placement: Mapping[str, str], *, options: Options) -> bytes:
    """The ``<configuration>`` of a CIB for ``site``; ``placement``: the server that each domain prefers.

    Raises InputError for a server without a fence device, and a name that cannot be a resource's.
    """
    check_names(site)
    resources = [
        *(
            _fence(server, first=number == 0, two=len(site.servers) == 2, options=options)
            for number, server in enumerate(site.servers)
        ),
        *([_floating_ip(site.floating_ip)] if site.floating_ip else []),
        *(_domain(domain, options) for domain in site.domains),
    ]
    constraints = [
        *(_never(fence_id(server.name), server.name) for server in site.servers),
        *(_prefers(domain.name, placement[domain.name]) for domain in site.domains if domain.name in placement),
        *_apart(site.apart),
    ]
    configuration = _element(
        "configuration",
        {},
        _element("crm_config", {}, _set("cluster_property_set", "snow-properties", _properties(options))),
        _element("nodes", {}),
        _element("resources", {}, *resources),
        _element("constraints", {}, *constraints),
        _element("rsc_defaults", {}, _set("meta_attributes", "snow-rsc-defaults", _RSC_DEFAULTS)),
        _element("op_defaults", {}, _set("meta_attributes", "snow-op-defaults", {"timeout": "120s"})),
        _element("alerts", {}, *_alerts(site.alerts, site.name)),
    )
    make_unique(configuration)
    return etree.tostring(configuration, pretty_print=True)


_RSC_DEFAULTS = {
    "resource-stickiness": str(STICKINESS),
    # A server that was lost can hold the NFS delegation of an image for 90 s after it was fenced. Until then each start
    # fails after the 40 s that libxl gives a hotplug script: two or three failures in a row are to be expected, and
    # must not ban the domain from the only server left. After ten in a row it is tried on another server; five minutes
    # without a new failure forget the old ones, and it is tried again where it was: no failure is final.
    "migration-threshold": "10",
    "failure-timeout": "300s",
}


def _properties(options: Options) -> dict[str, str]:
    return {
        "stonith-enabled": "true",
        "stonith-timeout": f"{options.fence_s}s",
        # After ten attempts to fence a server (stonith-max-attempts) the controller tries again only when something else makes it
        # look (controld_fencing.c, too_many_st_failures). This does, so that domains come back soon after a BMC that had no power
        # has it again. The default is 15 min.
        "cluster-recheck-interval": f"{options.recheck_s}s",
        # Of two servers each has quorum alone (two_node), and fencing decides. Of more, the minority stops its domains.
        "no-quorum-policy": "stop",
        # Else the first start that fails sets the fail count to INFINITY: see _RSC_DEFAULTS.
        "start-failure-is-fatal": "false",
        # Live migrations share one network: one after the other each converges sooner, and all end no later.
        "migration-limit": "1",
        # Starts that wait for NFS count as load and need no CPU. By default a dom0 with one CPU and a load of 1 gets
        # one action at a time, and domains that could start wait for the one that cannot. So no throttling by load,
        # but four at a time: the hotplug scripts of all of them must get through within libxl's 40 s.
        "load-threshold": "1000%",
        "node-action-limit": "4",
    }


def _fence(server: Server, *, first: bool, two: bool, options: Options) -> etree._Element:
    """The fence device of one server.

    The delay: when two servers lose sight of each other both fence, and without a head start for one of them both can
    go down. ``priority-fencing-delay`` gives it to the server with more domains, by waiting before that one is fenced:
    every loss of the busier server would be recovered later by the delay, which is the loss that hurts most, and with
    equal priorities there would be no head start at all. ``pcmk_delay_base`` on the device of the first server alone
    gives it to the first server always: a loss of any other server is recovered without delay, whatever runs where, and
    the configuration does not change when domains move. It must be longer than what the first server needs to elect
    itself and cut the power, some 5 s. With more than two servers quorum decides who may fence, and nothing waits.
    """
    device = device_of(server)
    script = options.password_scripts.get(server.name)
    if not script:
        raise InputError(f"no password script is known for the fence device of {server.name}", where="ha.toml")
    parameters = {
        "ip": device.address,
        "username": device.username,
        "password_script": script,
        "pcmk_host_list": server.name,
        "pcmk_host_check": "static-list",
        "pcmk_monitor_timeout": f"{options.fence_monitor_s}s",
        # Off is not taken for granted: the agent reads the power back, until it is off and then on. Pacemaker ends it after
        # these.
        "pcmk_reboot_timeout": f"{options.fence_s}s",
        "pcmk_off_timeout": f"{options.fence_s}s",
        # The agents' own limits (power_timeout, shell_timeout, login_timeout) are off, as by default under Pacemaker
        # (fence-agents lib/fencing.py, check_input). With them a reboot is a success though "on" was never read back
        # (fence_action): also of a BMC that said "off" from the start, while its server runs.
        "disable_timeout": "1",
    }
    parameters |= {key: value or "1" for key, value in agent_options(device).items()}
    if device.is_ipmi:
        # `onoff` is the agent's default, and named because `cycle` reports success before the power is off.
        parameters |= {"method": "onoff", "power_wait": "2", "ipmitool_timeout": str(IPMITOOL_TIMEOUT_S)}
    if two and first and options.split_delay_s:
        # With the server's name: for a bare number Pacemaker 3.0 logs an error each time, though it takes it.
        parameters["pcmk_delay_base"] = f"{server.name}:{options.split_delay_s}s"
    name = fence_id(server.name)
    return _element(
        "primitive",
        {"id": name, "class": "stonith", "type": device.agent, "description": MARK},
        _set("instance_attributes", f"{name}.params", parameters),
        _operations(
            name, {"monitor": (300, options.fence_monitor_s), "start": (0, options.fence_monitor_s), "stop": (0, 60)}
        ),
    )


def _floating_ip(floating_ip: FloatingIp) -> etree._Element:
    parameters = {"ip": floating_ip.address, "cidr_netmask": str(floating_ip.prefixlen), "nic": floating_ip.nic}
    return _element(
        "primitive",
        {"id": FLOATING_IP, "class": "ocf", "provider": "heartbeat", "type": "IPaddr2", "description": MARK},
        _set("instance_attributes", f"{FLOATING_IP}.params", parameters),
        _operations(FLOATING_IP, {"monitor": (30, 60), "start": (0, 60), "stop": (0, 60)}),
    )


def _alerts(alerts: Alerts, cluster: str) -> list[etree._Element]:
    """One alert; none where nobody is to be told. Attributes of nodes change all the time, and are nobody's business."""
    recipients = [
        _element("recipient", {"id": f"{ALERT}.{number}", "value": value})
        for number, value in enumerate(alerts.recipients)
    ]
    if not recipients:
        return []
    wanted = (_element(f"select_{what}", {}) for what in ("nodes", "fencing", "resources"))
    meta = {"timeout": "30s", "timestamp-format": "%Y-%m-%d %H:%M:%S %z"}
    return [
        _element(
            "alert",
            {"id": ALERT, "path": ALERT_AGENT, "description": MARK},
            _element("select", {}, *wanted),
            _set("instance_attributes", f"{ALERT}.params", {"SNOW_CLUSTER": cluster}),
            _set("meta_attributes", f"{ALERT}.meta", meta),
            *recipients,
        )
    ]


def _domain(domain: Domain, options: Options) -> etree._Element:
    """A domain. ``name`` is given, since the config may be on storage that does not answer.

    No utilization: a capacity that is wrong
    or out of date leaves a domain down in just the disaster it is for, xl refuses by itself what does not fit, and
    whether the others can hold a lost server's domains is told before (``placement.fits_after_loss``).
    """
    migrate = {"allow-migrate": "true"} if domain.name in options.live_migration else {}
    meta = {**migrate, **({"target-role": "Stopped"} if domain.name in options.off else {})}
    moving = _migrate_s(domain, options)
    return _element(
        "primitive",
        {
            "id": domain.name,
            "class": "ocf",
            "provider": DOMAIN_AGENT[0],
            "type": DOMAIN_AGENT[1],
            "description": MARK,
        },
        _set("instance_attributes", f"{domain.name}.params", {"xmfile": domain.config, "name": domain.name}),
        *([_set("meta_attributes", f"{domain.name}.meta", meta)] if meta else []),
        _operations(
            domain.name,
            {
                "monitor": (options.monitor_interval_s, options.monitor_s),
                "start": (0, options.start_s),
                "stop": (0, options.stop_s),
                **({"migrate_to": (0, moving), "migrate_from": (0, options.start_s)} if migrate else {}),
            },
        ),
    )


def _migrate_s(domain: Domain, options: Options) -> int:
    """Long enough for the memory three times over (it is dirtied meanwhile) at 60 MiB/s, a busy gigabit link."""
    return options.migrate_s + domain.memory_mib // 20


def _never(resource: str, server: str) -> etree._Element:
    """A server must not be the one that fences itself: it is asked to when it is in no state to."""
    return _element(
        "rsc_location", {"id": f"{FENCE}{server}-elsewhere", "rsc": resource, "node": server, "score": "-INFINITY"}
    )


def _prefers(domain: str, server: str) -> etree._Element:
    """Under a name of its own: ``cli-…`` is what ``crm_resource --move`` and ``--clear`` write and delete."""
    return _element(
        "rsc_location", {"id": f"{PLACE}{domain}-on-{server}", "rsc": domain, "node": server, "score": str(PREFERENCE)}
    )


def _apart(groups: Iterable[tuple[str, ...]]) -> list[etree._Element]:
    pairs = sorted({pair for group in groups for pair in combinations(sorted(set(group)), 2)})
    return [
        _element(
            "rsc_colocation", {"id": f"{APART}{one}-{other}", "rsc": other, "with-rsc": one, "score": str(APART_SCORE)}
        )
        for one, other in pairs
    ]


def _operations(resource: str, operations: Mapping[str, tuple[int, int]]) -> etree._Element:
    """Operation → interval and timeout, in seconds."""
    return _element(
        "operations",
        {},
        *(
            _element(
                "op", {"id": f"{resource}.{name}", "name": name, "interval": f"{interval}s", "timeout": f"{timeout}s"}
            )
            for name, (interval, timeout) in operations.items()
        ),
    )


def _set(tag: str, name: str, values: Mapping[str, str]) -> etree._Element:
    pairs = (_element("nvpair", {"id": f"{name}.{key}", "name": key, "value": value}) for key, value in values.items())
    return _element(tag, {"id": name}, *pairs)


def _element(tag: str, attributes: Mapping[str, str], *children: etree._Element) -> etree._Element:
    element = etree.Element(tag, dict(attributes))
    element.extend(children)
    return element


def check_names(site: Site) -> None:
    """Resource ids are XML ids, and each is unique. Raises InputError for a domain that cannot be called so in a cluster."""
    taken = {
        FLOATING_IP: "the floating IP",
        "cib-bootstrap-options": "Pacemaker's own options",
        **{fence_id(s.name): f"the fence device of {s.name}" for s in site.servers},
    }
    for domain in site.domains:
        if not can_be_resource(domain.name):
            raise InputError(
                f"Pacemaker cannot run a domain called {domain.name}: a resource's name begins with a letter",
                where=domain.config,
                remedy="rename the domain",
            )
        if domain.name in taken:
            raise InputError(
                f"{domain.name} is the name of {taken[domain.name]} in the cluster",
                where=domain.config,
                remedy="rename the domain",
            )
