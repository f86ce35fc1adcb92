"""The step that makes snow.conf that of a site with several servers: SNOW_NODES, IMG_DST, gateways, and no other byte."""

from __future__ import annotations

from functools import partial

from snowha.errors import InputError
from snowha.hosts.files import read_text, write_file
from snowha.live.context import SiteContext, parse_snow_conf
from snowha.plan.step import Reporter, Step
from snowha.site import snow_conf
from snowha.site.bash_edit import set_array, set_scalar

GATEWAY_NETWORKS = ("NET_SNOW", "NET_COMP")
"""Whose gateway is the floating IP (guide, "Define floating IP for gateway")."""


def steps(context: SiteContext, *, needs: tuple[str, ...]) -> list[Step]:
    """The last section. With SNOW_NODES set before Pacemaker knows the domains, sNow!'s own boot and shutdown break."""
    return [
        Step(
            id="snow.conf",
            title="Write the servers, the images and the floating IP into snow.conf",
            section="snow.conf",
            check=partial(_missing, context),
            apply=partial(_write, context),
            needs=needs,
        )
    ]


def wanted(context: SiteContext, text: str) -> str:
    """snow.conf as it must be."""
    site = context.site
    where = f"{context.first.name}:{site.paths.snow_conf}"
    conf = parse_snow_conf(context.first, site.paths.snow_conf, text)
    if tuple(conf.servers()) != tuple(server.name for server in site.servers):
        text = set_array(text, "SNOW_NODES", [server.name for server in site.servers], where=where)
    destination = conf.image_destination()
    if (destination.kind, destination.value) != ("dir", site.paths.images) if destination else True:
        text = set_scalar(text, "IMG_DST", f"dir={site.paths.images}", where=where)
    if site.floating_ip:
        for network in conf.networks():
            if network.key in GATEWAY_NETWORKS and network.gateway != site.floating_ip.address:
                text = snow_conf.set_network_gateway(text, network.key, site.floating_ip.address, where=where)
    return text


def _read(context: SiteContext) -> str:
    text = read_text(context.first, context.site.paths.snow_conf)
    if text is None:
        raise InputError(
            "snow.conf is gone", where=f"{context.first.name}:{context.site.paths.snow_conf}", remedy="restore it"
        )
    return text


def _missing(context: SiteContext) -> str | None:
    text = _read(context)
    return (
        None if wanted(context, text) == text else "SNOW_NODES, IMG_DST or a gateway is still that of the single server"
    )


def _write(context: SiteContext, reporter: Reporter) -> None:
    text = _read(context)
    reporter.say(f"writing {context.site.paths.snow_conf}")
    write_file(context.first, context.site.paths.snow_conf, wanted(context, text))
