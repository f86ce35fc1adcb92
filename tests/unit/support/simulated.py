"""A site of two servers in memory: files with their kept versions, domains, disks, services. For what steps do to files
and in which order; never in place of Xen, LVM or Pacemaker."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from simulated_leases import Leases

from snowha.errors import InputError
from snowha.hosts import files
from snowha.hosts.batch import LIMITED
from snowha.hosts.host import Completed, Host
from snowha.hosts.process import failed
from snowha.hosts.read_only import batch_of
from snowha.live import address_use, autostart
from snowha.live.connect import HaToml
from snowha.live.context import SiteContext, read_domains
from snowha.migration.undo import pacemaker as undo_pacemaker
from snowha.site import domain_config, ha_toml
from snowha.site.ha_file import HaFile
from snowha.site.model import FenceDevice, FloatingIp, Mount, Paths, Server, Site
from snowha.xen import leases, server_program, xl

CONF = "/sNow/etc/snow.conf"
DOMAINS = "/sNow/etc/domains"
SECRET = 'Adm;n$#"7 x'
SNOW_CONF = f"""# sNow!
IPMI_PASSWORD='{SECRET}'
SNOW_NODES=( snow01 )
IMG_DST='lvm=snow_vg'
NET_SNOW=( 'xsnow0' '192.168.8.1' '192.168.8.11' '192.168.8.' '255.255.255.0' '' )
"""
XENDOMAINS = "# comment\nXENDOMAINS_SAVE=/var/lib/xen/save\nXENDOMAINS_RESTORE=true\n"
INFO = "xen_version : 4.20.5\nvirt_caps : pv hvm hap\ntotal_memory : 2560\nfree_memory : 900\n"


def config(name: str, number: int) -> str:
    return f"""# {name}, by hand
name        = '{name}'
kernel      = '/boot/vmlinuz'
ramdisk     = '/boot/initrd.img'
memory      = '256'
root        = '/dev/xvda2 ro'
disk        = [
                  'phy:/dev/snow_vg/{name}-disk,xvda2,w',
                  'phy:/dev/snow_vg/{name}-swap,xvda1,w',
              ]
vif         = [ 'ip=192.168.8.{number}, mac=00:16:3e:08:00:{number:02x}, bridge=xsnow0' ]
"""


@dataclass
class World:
    """What all servers share: the storage, and which domain runs where. ``fail`` makes commands fail by their words."""

    shared: dict[str, tuple[bytes, int]] = field(default_factory=dict)
    disks: dict[str, bytes] = field(default_factory=dict)
    running: dict[str, str] = field(default_factory=dict)
    active: set[tuple[str, str]] = field(default_factory=set)
    fail: Callable[[str, Sequence[str]], str | None] = lambda host, argv: None
    log: list[tuple[str, str]] = field(default_factory=list)
    clock: int = 0
    resources: dict[str, str | None] = field(default_factory=dict)
    """Pacemaker's resources with the server that each is on."""
    maintenance: bool = False
    standby: set[str] = field(default_factory=set)
    answering: dict[str, str] = field(default_factory=dict)
    """Who answers for an address on the servers' network."""
    leases: Leases = field(default_factory=Leases)

    def crm_mon(self) -> str:
        nodes = "".join(
            f'<node name="{name}" online="true" standby="{str(name in self.standby).lower()}"/>'
            for name, unit in sorted(self.active)
            if unit == "pacemaker"
        )
        rows = ""
        for name, server in self.resources.items():
            agent = "ocf:heartbeat:IPaddr2" if name == "xsnow-vip" else "ocf:heartbeat:Xen"
            on = f'<node name="{server}"/>' if server else ""
            rows += f'<resource id="{name}" resource_agent="{agent}" role="Started" managed="true">{on}</resource>'
        options = f'<cluster_options maintenance-mode="{str(self.maintenance).lower()}"/>'
        return (
            f'<crm_mon><summary><current_dc with_quorum="true"/>{options}</summary>'
            f"<nodes>{nodes}</nodes><resources>{rows}</resources></crm_mon>"
        )

    def drain(self, server: str) -> None:
        """What Pacemaker does with a server in standby: what runs there moves, or is stopped if no other server is usable."""
        self.standby.add(server)
        usable = (name for name, unit in sorted(self.active) if unit == "pacemaker" and name not in self.standby)
        other = next(usable, None)
        for name, on in self.resources.items():
            if on == server:
                self.resources[name] = other
                if name in self.running and other is None:
                    self.log.append((server, f"stop {name}"))
                    del self.running[name]
                elif name in self.running and other is not None:
                    self.log.append((server, f"migrate {name} to {other}"))
                    self.running[name] = other


class SimulatedHost:
    """One server. Paths below /sNow are the shared file system's."""

    def __init__(self, name: str, world: World) -> None:
        self.name = name
        self.world = world
        self.own: dict[str, tuple[bytes, int]] = {}
        self.links: dict[str, str] = {}
        self.kept: dict[str, list[tuple[str, bytes, str]]] = {}
        self.installed = False
        """Whether every package is there."""
        self.programs = {"qemu-img"}
        """What ``command -v`` finds."""
        self.enabled = True
        """Whether Corosync and Pacemaker start at boot."""

    def reset(self) -> None: ...

    def place(self, path: str) -> dict[str, tuple[bytes, int]]:
        return self.world.shared if path.startswith("/sNow/") else self.own

    def text(self, path: str) -> str | None:
        found = self.place(path).get(path)
        return found[0].decode() if found else None

    def install_leases(self) -> None:
        """As `snow ha apply` leaves a server."""
        self.own[server_program.PATH] = (server_program.text().encode(), 0o755)
        self.own[server_program.NAME] = (f"{self.name}\n".encode(), 0o644)
        self.links |= dict.fromkeys(server_program.LINKS, server_program.PATH)

    @property
    def has_leases(self) -> bool:
        """Whether snow-lease is there and can be executed."""
        return self.own.get(server_program.PATH, (b"", 0))[1] & 0o111 != 0

    def run(
        self,
        argv: Sequence[str],
        *,
        input: str | bytes = "",
        timeout: float = 60.0,
        check: bool = True,
        on_line: Callable[[str], None] | None = None,
    ) -> Completed:
        words = list(argv)
        if (batch := batch_of(words, input)) is not None:
            return self._batch(tuple(argv), batch, input)
        said = self.world.fail(self.name, words)
        if said is not None:
            completed = Completed(tuple(argv), 1, "", said)
        else:
            if words[0] == "python3":
                return Completed(tuple(argv), *self._engine(words[2:], on_line), "")
            if words[:3] == ["sh", "-c", leases.ALL]:
                words = [server_program.PATH, "list", *sorted(self.world.leases.records)]
            if words[:3] == ["perl", "-", "list"] and input == server_program.text():
                answer = self.world.leases.call(self.name, words[2:], self.world.running)
            elif words[0] == server_program.PATH and self.has_leases:
                answer = self.world.leases.call(self.name, words[1:], self.world.running)
            else:
                answer = (*self._answer(words, input), "")
            completed = Completed(tuple(argv), *answer)
        for line in completed.stdout.splitlines() if on_line else ():
            assert on_line is not None
            on_line(line)
        if check and not completed.ok:
            raise failed(self.name, completed)
        return completed

    def _batch(self, argv: tuple[str, ...], commands: Sequence[Sequence[str]], input: str | bytes) -> Completed:
        """Several commands in one go, each with the mark after it that whoever asked has chosen."""
        (mark,) = set(re.findall(r"snow-ha-[0-9a-f]{24}", str(input)))
        done = []
        for words in commands:
            limited = tuple(words[: len(LIMITED)]) == LIMITED
            done.append(self.run(words[len(LIMITED) + 1 :] if limited else words, check=False))
        return Completed(
            argv,
            0,
            "".join(f"{one.stdout}\n{mark} {one.returncode}\n" for one in done),
            "".join(f"{one.stderr}\n{mark}\n" for one in done),
        )

    def _answer(self, words: list[str], input: str | bytes) -> tuple[int, str]:
        call = files.call_of(words, input)
        if call is not None:
            return self._file(call)
        if words[0] == "env":
            words = words[2:]
        if words[:2] == ["sh", "-c"] and words[2].startswith("command -v "):
            return (0 if words[2].split()[2] in self.programs else 1), ""
        if words[:2] == ["sh", "-c"]:
            if words[2] == server_program.LINK:
                self.links[words[5]] = words[4]
            if words[2] == address_use._ASK:
                return 0, self.world.answering.get(words[4], "")
            if words[2] == undo_pacemaker.EMPTY:
                for path in [path for path in self.own if path.startswith(f"{words[4]}/")]:
                    self.world.log.append((self.name, f"aside {path}"))
                    del self.own[path]
            if words[2] == autostart.script():
                return 0, self._autostart(words[4:])
            return 0, "" if words[2] == xl.UNTIL_GONE else "changed\n"
        world, here = self.world, self.name
        match words:
            case ["dpkg-query", "-W", "-f", _, *names] if self.installed:
                return 0, "".join(f"{name} installed\n" for name in names)
            case ["true"] | ["test", "-e", "/proc/xen/capabilities"]:
                return 0, ""
            case ["test", "-L", path]:
                return (0 if path in self.links else 1), ""
            case ["ln", "-sfn", target, path]:
                self.links[path] = target
                return 0, ""
            case ["readlink", "-f", "--", *paths]:
                return 0, "".join(f"{self.links[path]}\n" for path in paths if path in self.links)
            case ["readlink", "-m", "--", *paths]:
                return 0, "".join(f"{self.links.get(path, path)}\n" for path in paths)
            case ["xl", "info"]:
                return 0, INFO
            case ["xl", "list"]:
                names = [name for name, server in world.running.items() if server == here]
                rows = "".join(f"{name} {5 + place} 256 1 -b---- 1.0\n" for place, name in enumerate(names))
                return 0, f"Name ID Mem VCPUs State Time(s)\nDomain-0 0 1024 1 r----- 9.9\n{rows}"
            case ["touch", _]:
                return 0, ""
            case ["cat", "/proc/sys/kernel/random/boot_id"]:
                return 0, f"boot of {here}\n"
            case ["xl", "vm-list"]:
                ids = {name: f"5eed0000-0000-4000-8000-{number:012}" for number, name in enumerate(world.running)}
                rows = "".join(f"{ids[name]}  {5} {name}\n" for name, server in world.running.items() if server == here)
                return 0, f"UUID                                  ID    name\n{rows}"
            case ["xl", "shutdown", "-w", name]:
                world.log.append((here, f"shutdown {name}"))
                del world.running[name]
                return 0, ""
            case ["xl", "create", *_, path]:
                if "snow-ha-probe" in path:
                    return 0, ""
                name = path.rpartition("/")[2].removesuffix(".cfg")
                assert name not in world.running, f"{name} is started a second time"
                with suppress(InputError):  # of a config that only xl can read nothing is known
                    domain = domain_config.parse(self.text(path) or "", where=here, path=path)
                    has_script = self.has_leases and self.links.get(server_program.LINKS[0]) == server_program.PATH
                    if not world.leases.attach(domain, has_script, world.running):
                        return 1, ""
                world.log.append((here, f"create {name}"))
                world.running[name] = here
                return 0, ""
            case ["mv", "-f", "-T", "--", source, target]:
                world.disks[target] = world.disks.pop(source)
                return 0, ""
            case ["systemctl", "is-active", "--quiet", unit]:
                return (0 if (here, unit) in world.active else 3), ""
            case ["systemctl", "is-enabled", *units]:
                return 1, ("enabled\n" if self.enabled else "disabled\n") * len(units)
            case ["systemctl", "disable", *_]:
                self.enabled = False
                return 0, ""
            case ["systemctl", "stop", unit]:
                world.log.append((here, f"stop {unit}"))
                assert unit != "pacemaker" or world.maintenance or not world.resources, "it stops every domain"
                world.active.discard((here, unit))
                return 0, ""
            case ["crm_mon", *_] if (here, "pacemaker") in world.active:
                return 0, world.crm_mon()
            case ["crm_resource", resource, "--meta", "--set-parameter=target-role", "--parameter-value=Stopped"]:
                world.log.append((here, f"stop {resource.partition('=')[2]}"))
                world.resources[resource.partition("=")[2]] = None
                return 0, ""
            case ["crm_attribute", "--type=crm_config", "--name=maintenance-mode", "--update=true"]:
                world.log.append((here, "maintenance"))
                world.maintenance = True
                return 0, ""
            case ["crm_attribute", node, "--name=standby", "--lifetime=forever", "--update=on"]:
                world.drain(node.partition("=")[2])
                return 0, ""
            case ["crm_attribute", node, "--name=standby", "--lifetime=forever", "--delete"]:
                world.standby.discard(node.partition("=")[2])
                return 0, ""
            case ["systemctl", "start", *units]:
                world.active |= {(here, unit) for unit in units}
                return 0, ""
            case ["blockdev", "--getsize64", path]:
                return 0, f"{len(world.disks[path])}\n"
            case ["lvremove", "--yes", volume]:
                world.log.append((here, f"lvremove {volume}"))
                return 0, ""
            case ["losetup", "--list", *_]:
                open_here = [file for file, server, _ in world.leases.attached(world.running) if server == here]
                return 0, "".join(f"{file}\n" for file in open_here)
            case ["find", folder, *rest] if "-printf" in rest and rest[-1] == "%f\\n":
                prefix = folder.removeprefix(files.KEPT) + "/"
                return 0, "".join(f"{path.removeprefix(prefix)}\n" for path in self.kept if path.startswith(prefix))
            case ["find", folder, *rest] if rest[-1] == "%p %l\n":
                return 0, "".join(f"{path} {target}\n" for path, target in self.links.items())
            case ["find", folder, *_]:
                return 0, "".join(f"{path}\n" for path in self.own if path.startswith(f"{folder}/"))
            case ["rm", "-f", "--", *paths]:
                world.leases.records -= {path.removesuffix(".lease") for path in paths if path.endswith(".lease")}
                return 0, ""
            case ["rm", "-f", _] | ["systemctl", *_] | ["xl", "destroy", _]:
                return 0, ""
            case [server_program.PATH, *_]:
                return 127, ""
            case _:
                return 1, ""  # Pacemaker, Corosync: not there

    def _engine(self, words: Sequence[str], on_line: Callable[[str], None] | None) -> tuple[int, str]:
        """The image engine; what it says is heard while it runs."""
        lines = []
        code = 0
        for number, verb in enumerate(" ".join(words).split(" + ")):
            match verb.split(" "):
                case ["wait", _, _]:
                    events: list[dict[str, object]] = [{"event": "waiting"}, {"event": "found", "number": number}]
                case ["copy", source, target, *replace, "--lease", server_program.PATH, "--json"]:
                    assert replace in ([], ["--replace"])
                    assert self.has_leases, "the engine takes leases with a program that is not there"
                    is_new = target not in self.world.disks
                    busy = self.world.leases.take(source, target, is_new, self.world.running)
                    if busy:
                        code, events = 7, [{"event": "error", "message": busy, "remedy": "", "exit": 7}]
                    else:
                        self.world.log.append((self.name, f"copy {source} {target}"))
                        assert not any(name in source for name in self.world.running), "a disk in use is copied"
                        self.world.disks[target] = self.world.disks[source]
                        size = len(self.world.disks[source])
                        events = [{"event": "done", "verified": True, "bytes": size, "number": number}]
                case ["convert", source, target, way, kind, *preview, "--lease", server_program.PATH, "--json"]:
                    found = self.world.disks[source]
                    if not preview and way == "--from":
                        assert not self.world.leases.take(
                            source, target, target not in self.world.disks, self.world.running
                        )
                    if not preview:
                        assert not self.world.running, "a disk in use is converted"
                        self.world.log.append((self.name, f"convert {source} {target}"))
                        # what a domain sees in it, in the place of qemu-img's own bytes
                        mark = f"{kind}:".encode()
                        self.world.disks[target] = found.removeprefix(mark) if way == "--from" else mark + found
                    events = [
                        {
                            "event": "plan" if preview else "done",
                            "verified": True,
                            "bytes": len(found),
                            "number": number,
                        }
                    ]
                case _:
                    raise AssertionError(verb)
            for event in events:
                lines.append(json.dumps(event))
                if on_line is not None:
                    on_line(lines[-1])
            if code:
                break
        return code, "".join(f"{line}\n" for line in lines)

    def _autostart(self, configs: list[str]) -> str:
        """What autostart.sh prints: links in /etc/xen/auto."""

        def word(text: str) -> str:
            return base64.b64encode(text.encode()).decode()

        lines = [
            f"folder {word('/etc/xen/auto')} {word('/etc/xen/auto')}",
            *(f"config {word(path)}" for path in configs),
        ]
        for path, target in sorted(self.links.items()):
            if path.startswith("/etc/xen/auto/"):
                lines.append(f"entry {word(path)} {word(target)} {word(self.text(target) or '')}")
        return "".join(f"{line}\n" for line in lines)

    def _keep(self, path: str) -> None:
        self.world.clock += 1
        name = f"2026{self.world.clock:06d}"
        if path in self.links:
            self.kept.setdefault(path, []).append((name, b"", self.links[path]))
        else:
            self.kept.setdefault(path, []).append((name, self.place(path)[path][0], ""))

    def _file(self, call: files.FileCall) -> tuple[int, str]:
        path = call.paths[0]
        there = self.place(path)
        if call.verb == "make":
            return 0, "same"
        if call.verb == "kept":
            lines = []
            for name, content, target in self.kept.get(path, ()):
                data = base64.b64encode(target.encode() if target else content).decode()
                lines.append(f"{name} {'link' if target else 'file'} {data}\n")
            return 0, "".join(lines)
        if call.verb == "link":
            self.links.setdefault(*call.paths)
            return 0, "changed\n"
        if call.verb == "folder":
            rows = [(name, content) for name, (content, _) in there.items() if name.startswith(f"{path}/")]
            encoded = [(base64.b64encode(name.encode()), base64.b64encode(content)) for name, content in rows]
            return 0, "".join(f"{name.decode()} {content.decode()}\n" for name, content in encoded)
        if call.verb == "absent":
            return 0, "".join(
                f"{name}\n"
                for name in call.paths
                if name not in self.world.disks and name not in self.place(name)
                if name.removesuffix(".lease") not in self.world.leases.records or not name.endswith(".lease")
            )
        if call.verb == "write":
            mode = call.mode if call.mode is not None else there[path][1] if path in there else 0o600
            if path in there and there[path] == (call.content, mode):
                return 0, "same"
            if path in there:
                self._keep(path)
            there[path] = (call.content, mode)
            return 0, "changed"
        if call.verb == "remove":
            if path not in there and path not in self.links:
                return 0, "same"
            self._keep(path)
            there.pop(path, None)
            self.links.pop(path, None)
            return 0, "changed"
        if path in self.world.disks and call.verb == "stat":
            return 0, f"660 root disk {len(self.world.disks[path])} block special file"
        if path not in there and path in self.links and call.verb == "stat":
            return 0, "777 root root 9 regular file"
        if path not in there:
            return 44, ""
        content, mode = there[path]
        if call.verb == "read":
            return 0, base64.b64encode(content).decode()
        if call.verb == "hash":
            return 0, hashlib.sha256(content).hexdigest() + "  -"
        return 0, f"{mode:o} root root {len(content)} regular file"


def single_server(names: Sequence[str] = ("deploy01", "slurm01")) -> tuple[SiteContext, World, list[SimulatedHost]]:
    """The single server as it is before anything, and a new one."""
    world = World()
    hosts = [SimulatedHost(name, world) for name in ("snow01", "snow02")]
    world.shared[CONF] = (SNOW_CONF.encode(), 0o600)
    for number, name in enumerate(names, start=11):
        path = f"{DOMAINS}/{name}.cfg"
        world.shared[path] = (config(name, number).encode(), 0o644)
        world.running[name] = "snow01"
        for disk in ("disk", "swap"):
            world.disks[f"/dev/snow_vg/{name}-{disk}"] = f"{name} {disk} of before".encode()
        hosts[0].links[f"/etc/xen/auto/{name}.cfg"] = path
    for host in hosts:
        host.own["/etc/default/xendomains"] = (XENDOMAINS.encode(), 0o644)
        host.own["/etc/os-release"] = (b"VERSION_CODENAME=trixie\n", 0o644)
        host.own["/etc/fstab"] = (b"/dev/vda1 / ext4 defaults 0 1\n", 0o644)
    by_name: dict[str, Host] = {host.name: host for host in hosts}
    site = Site(
        name="snow",
        paths=Paths(CONF, DOMAINS, "/sNow/domains"),
        servers=tuple(
            Server(
                f"snow0{n}",
                f"192.168.8.{n}",
                (f"192.168.8.{n}", f"10.0.0.{n}"),
                FenceDevice("fence_ipmilan", f"10.0.0.10{n}", "admin", "ha.secrets/ipmi"),
            )
            for n in (1, 2)
        ),
        domains=read_domains(hosts[0], DOMAINS),
        mounts=(Mount("nfs01:/export/sNow", "/sNow", "nfs4", "vers=4.2,hard,_netdev"),),
        floating_ip=FloatingIp("192.168.8.254", 24, "xsnow0"),
        apart=(),
    )
    return SiteContext(site, by_name), world, hosts


def _ha_file(site: Site) -> HaFile:
    return HaFile(
        name=site.name,
        paths=site.paths,
        servers=site.servers,
        domains=tuple(domain.name for domain in site.domains),
        floating_ip=site.floating_ip,
        mounts=site.mounts,
        apart=site.apart,
    )


def rendered(site: Site) -> str:
    """The ha.toml of ``site``."""
    return ha_toml.render(_ha_file(site))


def ha_toml_of(site: Site, path: Path) -> HaToml:
    """The file at ``path`` as a run has read it, whatever is in it, for a ``site`` in memory."""
    return HaToml(path, hashlib.sha256(path.read_bytes()).hexdigest(), _ha_file(site))
