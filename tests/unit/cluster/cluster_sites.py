"""The site that the tests of this room stand on: the guide's servers, four domains, one pair."""

from __future__ import annotations

from snowha.cluster import cib, placement
from snowha.site.model import Domain, FenceDevice, FloatingIp, Paths, Server, Site

NAMES = ("deploy01", "proxy01", "slurm01", "slurm02")


def domain(name: str, memory_mib: int = 128) -> Domain:
    config = f"/sNow/snow-tools/etc/domains/{name}.cfg"
    return Domain(name, config, memory_mib, 1, "pvh", "/boot/vmlinuz", "/boot/initrd.img", (), (), "xvda2")


def server(number: int, links: int = 2) -> Server:
    addresses = (f"192.168.8.{number}", f"10.0.0.{number}")[:links]
    fence = FenceDevice("fence_ipmilan", f"10.0.0.10{number}", "admin", f"secrets/snow0{number}.ipmi")
    return Server(f"snow0{number}", addresses[0], addresses, fence)


def site(servers: int = 2, names: tuple[str, ...] = NAMES, links: int = 2) -> Site:
    return Site(
        name="snow",
        paths=Paths("/sNow/snow-tools/etc/snow.conf", "/sNow/snow-tools/etc/domains", "/sNow/domains"),
        servers=tuple(server(number, links) for number in range(1, servers + 1)),
        domains=tuple(domain(name) for name in names),
        mounts=(),
        floating_ip=FloatingIp("192.168.8.254", 24, "xsnow0"),
        apart=(("slurm01", "slurm02"),) if "slurm02" in names else (),
    )


def options(of: Site) -> cib.Options:
    return cib.Options(
        live_migration=frozenset({"deploy01", "slurm01"}),
        password_scripts={server.name: f"/etc/snow-ha/fence/{server.name}" for server in of.servers},
    )


def composed(of: Site) -> bytes:
    where = placement.spread(of.domains, [server.name for server in of.servers], of.apart)
    return cib.compose(of, where, options=options(of))


def fresh_cib(of: Site) -> bytes:
    """What a cluster has before anybody configured it. Oldest schema and feature set: every release reads it."""
    nodes = "".join(f'<node id="{number}" uname="{s.name}"/>' for number, s in enumerate(of.servers, start=1))
    return f"""<cib crm_feature_set="3.1.0" validate-with="pacemaker-3.0" epoch="5" num_updates="7" admin_epoch="0"
 cib-last-written="Tue Nov 24 10:00:00 2026" update-origin="snow01" update-client="crmd" have-quorum="1" dc-uuid="1">
  <configuration>
    <crm_config>
      <cluster_property_set id="cib-bootstrap-options">
        <nvpair id="cib-bootstrap-options-have-watchdog" name="have-watchdog" value="false"/>
        <nvpair id="cib-bootstrap-options-cluster-infrastructure" name="cluster-infrastructure" value="corosync"/>
        <nvpair id="cib-bootstrap-options-cluster-name" name="cluster-name" value="snow"/>
      </cluster_property_set>
    </crm_config>
    <nodes>{nodes}</nodes>
    <resources/>
    <constraints/>
  </configuration>
  <status/>
</cib>""".encode()
