"""``ha.toml`` from a working single server: snow.conf, the domain configs and the servers are asked, nothing is changed."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Network

from snowha.errors import InputError, SiteError
from snowha.hosts.files import exists
from snowha.hosts.host import Host
from snowha.hosts.parallel import each
from snowha.hosts.redaction import hide
from snowha.live import address_use
from snowha.live.context import read_domains_and_errors, read_snow_conf
from snowha.live.roles import roles
from snowha.migration.shared_mounts import shared_mounts
from snowha.provision.network_interfaces import NetworkInterface, network_interfaces
from snowha.site import anti_affinity, ha_toml
from snowha.site.fence_rules import check_agent, check_fence_user
from snowha.site.ha_file import HaFile
from snowha.site.ipmi_type import IpmiType
from snowha.site.model import IPMI_AGENTS, FenceDevice, FloatingIp, Paths, Server, Ssh
from snowha.site.names import can_be_resource, check_address, check_server_name, is_ip, plain_path, show
from snowha.site.snow_conf import SnowConf

SNOW_CONF = ("/sNow/etc/snow.conf", "/sNow/snow-tools/etc/snow.conf")
"""sNow! 2.0's place and 1.x's."""
DOMAIN_CONFIGS = ("etc/domains", "srv/domains", "snow-tools/etc/domains")
"""Below /sNow: 2.0 as the guide says, 2.0 as its code reads, 1.x."""
_TRIED = 8
"""Addresses that are tried for the floating IP, from the last of the network down."""


@dataclass(frozen=True)
class Bmc:
    """What the user says of the BMCs. What he does not say is in snow.conf, and in the names that sNow! gives them."""

    addresses: Mapping[str, str] = field(default_factory=dict)
    """By server, as it is named on the command line."""
    user: str | None = None
    agent: str = "fence_ipmilan"
    password: str = field(default="", repr=False)


@dataclass(frozen=True)
class Found:
    """What was found, ready to be written. ``secret`` is the BMCs' password, for a file of its own."""

    ha: HaFile
    secret: str = field(repr=False)
    said: bool
    """The password is the one that the user gave, not the one of snow.conf."""
    notes: tuple[str, ...]


def check_words(words: Sequence[str], bmc: Bmc) -> None:
    """Whether ``words`` can be servers: names, host names with dots, or addresses. Raises InputError. Nobody is asked."""
    where = "the servers named"
    if len(words) < 2:
        raise InputError("fewer than two servers given", remedy="for example: snow ha init snow01 snow02")
    for word in words:
        check_address(word, where=where)
    twice = next((word for number, word in enumerate(words) if word.lower() in map(str.lower, words[:number])), None)
    if twice is not None:
        raise InputError(
            f"{twice} is given twice", where=where, remedy="give each server once, the single server first"
        )
    servers: dict[str, str] = {}
    for word, address in bmc.addresses.items():
        if word not in words:
            raise InputError(f"server {show(word)} is not given", where="--bmc", remedy=f"there are {', '.join(words)}")
        check_address(address, where=f"--bmc {word}")
        other = servers.setdefault(address.lower(), word)
        if other != word or address in words:
            raise InputError(
                f"{address} is given for {other} and {word}"
                if other != word
                else f"{address} is a server, not its BMC",
                where="--bmc",
                remedy="give each server its own BMC: fencing one server would cut the power of the other",
            )
    check_agent(bmc.agent, where="--bmc-agent")
    if bmc.user is not None:
        check_fence_user(bmc.user, where="--bmc-user")


def discover(
    words: Sequence[str], hosts: Mapping[str, Host], ssh: Ssh, secret_path: str, bmc: Bmc, ask: Callable[[], str]
) -> Found:
    """Everything for ``ha.toml``. The first of ``words`` is the single server; ``hosts`` are by word. ``ask``: for the BMCs'
    password, if it is neither in ``bmc`` nor in snow.conf. Raises InputError, SiteError, UnreachableError."""
    check_words(words, bmc)
    by_word = _names(words, hosts)
    names = [by_word[word] for word in words]
    hosts = {by_word[word]: hosts[word] for word in words}
    first = hosts[names[0]]
    notes = []
    conf_path = next((path for path in SNOW_CONF if exists(first, path)), None)
    if conf_path is None:
        raise SiteError(
            f"no snow.conf: no {' and no '.join(SNOW_CONF)}", where=first.name, remedy="give the single server first"
        )
    notes.append(f"snow.conf: {conf_path}")
    conf = read_snow_conf(first, conf_path)
    folder, *others = _domain_folders(first)
    notes.append(f"domain configs: {folder}")
    notes += [
        f"not used: {other}, which also has domain configs: set domain_configs to it if it is the right one"
        for other in others
    ]
    domains, left = read_domains_and_errors(first, folder)
    notes += [f"not used: {error.where}: {error.message}" for error in left]
    names_of_domains = [domain.name for domain in domains if can_be_resource(domain.name)]
    notes += [
        f"not used: {domain.config}: Pacemaker cannot run a domain called {domain.name}: its name must begin "
        "with a letter"
        for domain in domains
        if not can_be_resource(domain.name)
    ]
    mounts = shared_mounts(first)
    links = {name: network_interfaces(hosts[name]) for name in names}
    spoken = conf.ipmi_type() if bmc.agent in IPMI_AGENTS else IpmiType()
    taken = {address for domain in domains for address in domain.addresses}
    floating = _floating_ip(hosts, conf, links, taken, notes)
    user = bmc.user or _bmc_user(conf)
    secret = _secret(conf, bmc, ask)
    servers = tuple(
        Server(
            name=name,
            address=word,
            links=_common_links(name, links),
            fence=FenceDevice(
                bmc.agent,
                bmc.addresses.get(word) or _bmc_address(first, word, name, conf),
                user,
                secret_path,
                **vars(spoken),
            ),
        )
        for word, name in by_word.items()
    )
    ha = HaFile(
        name="snow",
        paths=Paths(conf_path, folder, _image_folder(conf)),
        servers=servers,
        domains=tuple(names_of_domains),
        floating_ip=floating,
        mounts=mounts,
        apart=anti_affinity.pairs(names_of_domains, _roles(first, conf_path, notes)),
        ssh=ssh,
    )
    return Found(ha, secret, secret != conf.scalar("IPMI_PASSWORD", ""), tuple(notes))


def _roles(host: Host, conf_path: str, notes: list[str]) -> Mapping[str, Sequence[str]]:
    """For a proposal of domains to be kept apart: a file that cannot be read makes none."""
    try:
        return roles(host, conf_path)
    except InputError as error:
        notes.append(f"not used: {error.where}: {error.message}")
        return {}


def rendered(ha: HaFile) -> str:
    """``ha.toml``, read back: what would be refused later is not written. Raises SiteError."""
    text = ha_toml.render(ha)
    try:
        ha_toml.parse(text, where="ha.toml")
    except InputError as error:
        raise SiteError(
            f"what was found cannot become a cluster, and nothing is written: {error.message}", remedy=error.remedy
        ) from error
    return text


def _names(words: Sequence[str], hosts: Mapping[str, Host]) -> dict[str, str]:
    """The servers' names by word. An address, or a word with dots, is where ssh goes: the server says what it is called."""
    told = each(
        [hosts[word] for word in words], lambda host: host.run(["uname", "-n"]).stdout.strip().partition(".")[0]
    )
    own = {word: told[hosts[word].name] for word in words}
    for number, word in enumerate(words):
        same = [other for other in words[:number] if own[other] == own[word]]
        if same:
            raise InputError(
                f"{same[0]} and {word} are one server, or two with the same name: {own[word]}",
                where="the servers named",
                remedy="give each server once; servers of a cluster must have different names (hostnamectl)",
            )
    return {
        word: check_server_name(own[word], where=f"the name that {word} has (uname -n)")
        if "." in word or ":" in word
        else word
        for word in words
    }


def _domain_folders(host: Host) -> list[str]:
    """Those that have configs, at least one: the first is used. A link to another one is none of its own."""
    paths = [f"/sNow/{folder}" for folder in DOMAIN_CONFIGS]
    found: dict[str, str] = {}
    for path in paths:
        if host.run(["sh", "-c", 'ls "$1"/*.cfg >/dev/null 2>&1', "sh", path], check=False).ok:
            real = host.run(["readlink", "-f", "--", path], check=False).stdout.strip()
            found.setdefault(real or path, path)
    if not found:
        tried = ", ".join(paths)
        raise SiteError(f"no domain configs: looked in {tried}", where=host.name, remedy="give the single server first")
    return [*found.values()]


def _image_folder(conf: SnowConf) -> str:
    destination = conf.image_destination()
    folder = plain_path(destination.value) if destination.kind == "dir" else "/sNow"
    return "/sNow/domains" if folder == "/sNow" else folder


def _common_links(name: str, links: Mapping[str, tuple[NetworkInterface, ...]]) -> tuple[str, ...]:
    """The server's address on each network that all servers are on: a Corosync link each. See ``link_networks``."""
    common = link_networks(links)
    if not common:
        raise _no_network(name, links)
    order = {card.address.network: str(card.address.ip) for card in links[name]}
    return tuple(order[network] for network in common)


def _no_network(name: str, links: Mapping[str, tuple[NetworkInterface, ...]]) -> SiteError:
    owners: dict[str, list[str]] = {}
    for server, theirs in links.items():
        for card in theirs:
            if card.is_link:
                owners.setdefault(str(card.address.ip), []).append(server)
    message, remedy = "the servers share no network", "give every server an address on one network"
    for address, own in owners.items():
        if len(own) > 1:
            message += f": {address} is an address of {' and '.join(own)}"
            remedy = "give every server an address of its own on one network"
            break
    return SiteError(message, where=name, remedy=remedy)


def link_networks(links: Mapping[str, tuple[NetworkInterface, ...]]) -> list[IPv4Network]:
    """The networks that all servers are on, each with an address of its own that stays, over a card of its own.

    Left out: what a server has for itself (docker0, virbr0, dummy cards), an address that DHCP may change, a second one on a
    card that a link has already: it fails with the first.
    """
    found: list[IPv4Network] = []
    used: set[tuple[str, str]] = set()
    for card in next(iter(links.values())):
        network = card.address.network
        members = {
            name: next((one for one in theirs if one.is_link and one.address.network == network), None)
            for name, theirs in links.items()
        }
        cards_of = {(name, one.device) for name, one in members.items() if one is not None}
        addresses = {one.address.ip for one in members.values() if one is not None}
        if network in found or len(addresses) < len(links) or cards_of & used:
            continue
        found.append(network)
        used |= cards_of
    return found


def _floating_ip(
    hosts: Mapping[str, Host],
    conf: SnowConf,
    links: Mapping[str, tuple[NetworkInterface, ...]],
    taken: Collection[str],
    notes: list[str],
) -> FloatingIp:
    """NET_SNOW's gateway if that is in its network and nobody's, else the last free address of the network. ``taken``: by
    domains. Raises SiteError."""
    name = next(iter(hosts))
    network = conf.network("NET_SNOW")
    card = next((card for card in links[name] if card.name == network.bridge), None)
    if card is None:
        raise SiteError(
            f"no address on the bridge {network.bridge}", where=name, remedy="NET_SNOW in snow.conf names it"
        )
    taken = {str(other.address.ip) for theirs in links.values() for other in theirs} | set(taken)
    subnet = card.address.network

    def used_by(address: str) -> str:
        """Who has it; empty also for a server that has it as floating IP already."""
        answers = each(list(hosts.values()), lambda host: address_use.holder(host, address, network.bridge))
        return "" if address_use.OWN in answers.values() else next(filter(None, answers.values()), "")

    gateway = network.gateway
    if gateway and gateway not in taken and is_ip(gateway) and ipaddress.ip_address(gateway) in subnet:
        who = used_by(gateway)
        if not who:
            notes.append(f"floating IP: {gateway}, the gateway of NET_SNOW today")
            return FloatingIp(gateway, subnet.prefixlen, network.bridge)
        notes.append(f"the gateway of NET_SNOW today, {gateway}, belongs to another machine ({who})")
    last = [str(subnet.broadcast_address - 1 - back) for back in range(min(_TRIED, max(0, subnet.num_addresses - 2)))]
    address = next((one for one in last if one not in taken and not used_by(one)), None)
    if address is None:
        raise SiteError(
            f"no free address for the floating IP among the last {len(last)} of {subnet}",
            where=name,
            remedy="free one of them; floating_ip in ha.toml can be changed afterwards",
        )
    notes.append(f"floating IP: {address}, which is not in use: change it in ha.toml if it is reserved for a machine")
    return FloatingIp(address, subnet.prefixlen, network.bridge)


def _bmc_user(conf: SnowConf) -> str:
    user = conf.scalar("IPMI_USER", "")
    if not user:
        raise InputError(
            "IPMI_USER is not set",
            where=conf.where,
            remedy="give the user of the BMCs: --bmc-user NAME, or set it there",
        )
    return user


def _secret(conf: SnowConf, bmc: Bmc, ask: Callable[[], str]) -> str:
    """The BMCs' password: one line, for one is what is read of the file."""
    secret = hide(bmc.password or conf.scalar("IPMI_PASSWORD", "") or ask())
    if not secret.isprintable():
        raise InputError(
            "the BMCs' password has a control character",
            where="" if bmc.password else conf.at("IPMI_PASSWORD"),
            remedy="set another password in the BMCs",
        )
    return secret


def _bmc_address(host: Host, word: str, name: str, conf: SnowConf) -> str:
    """The BMC is the server's name on NET_MGMT, as sNow! names it: snow01-mgmt."""
    suffix = (conf.network("NET_MGMT").suffix if "NET_MGMT" in conf else "") or "-mgmt"
    answer = host.run(["getent", "ahostsv4", f"{name}{suffix}"], check=False).stdout.split()
    if not answer:
        raise SiteError(
            f"{name}{suffix} cannot be resolved, so the BMC of {name} is unknown",
            where=host.name,
            remedy=f"give it: --bmc {word}=ADDRESS, or add {name}{suffix} to /etc/hosts or the DNS: without a fence device "
            "nothing is made highly available",
        )
    return answer[0]
