"""The step that makes snow.conf that of a site with several servers: SNOW_NODES, IMG_DST, gateways, and no other byte."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TypeVar

from snowha.errors import InputError
from snowha.hosts.files import read_text, write_file
from snowha.live.context import SiteContext, parse_snow_conf
from snowha.plan.step import Reporter, Step
from snowha.site import snow_conf
from snowha.site.bash_edit import set_array, set_scalar
from snowha.site.snow_conf import ImageDestination

T = TypeVar("T")
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
    names = tuple(server.name for server in site.servers)
    if _read_or_none(conf.servers) != names:
        text = set_array(text, "SNOW_NODES", names, where=where)
    if _read_or_none(conf.image_destination) != ImageDestination("dir", site.paths.images):
        text = set_scalar(text, "IMG_DST", f"dir={site.paths.images}", where=where)
    for key in GATEWAY_NETWORKS:
        # one that is no array is not used
        is_network = key in conf and not isinstance(conf.values[key], str)
        if site.floating_ip and is_network and conf.network(key).gateway != site.floating_ip.address:
            text = snow_conf.set_network_gateway(text, key, site.floating_ip.address, where=where)
    return text


def _read_or_none(read: Callable[[], T]) -> T | None:
    """What is replaced may be missing, or something that nobody understands: then it is not what it must be."""
    try:
        return read()
    except InputError:
        return None


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
