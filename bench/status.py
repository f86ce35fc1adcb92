"""How long `snow ha status` takes by itself: four servers with 200 domains each, of which one does not answer.

    python bench/status.py [--servers 4] [--domains 200] [--rounds 5]

The servers are simulated and answer at once, so what is measured is snow-ha's own: reading answers, judging, writing text. The
start of Python and its imports are a figure of their own.
"""

from __future__ import annotations

import argparse
import json
import platform
import re
import statistics
import subprocess
import sys
import tempfile
import time
from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from snowha.cluster import cib
from snowha.errors import UnreachableError
from snowha.health import history
from snowha.hosts import files
from snowha.hosts.batch import LIMITED
from snowha.hosts.host import Completed
from snowha.hosts.one_round import words_of
from snowha.hosts.read_only import batch_of
from snowha.live import cluster, connect, proof_records
from snowha.operations import status, status_text
from snowha.site import definition, ha_toml
from snowha.site.ha_file import HaFile
from snowha.site.model import FenceDevice, Paths, Server
from snowha.xen import leases, server_program

PATHS = Paths("/sNow/etc/snow.conf", "/sNow/etc/domains", "/sNow/domains")
DISKS = ("disk", "swap")
CONFIG = """name = '{name}'
kernel = '/boot/vmlinuz'
ramdisk = '/boot/initrd.img'
memory = '1024'
vcpus = '2'
type = 'pvh'
root = '/dev/xvda2 ro'
disk = [ 'format=raw,vdev=xvda2,access=rw,script=block-snow,target={image}-disk',
         'format=raw,vdev=xvda1,access=rw,script=block-snow,target={image}-swap' ]
vif = [ 'ip=10.{a}.{b}.{c}, mac=00:16:3e:{a:02x}:{b:02x}:{c:02x}, bridge=xsnow0' ]
"""


@dataclass
class Host:
    """A server whose answers are known; ``asked`` counts the commands."""

    name: str
    answers: dict[tuple[str, ...], str] = field(default_factory=dict)
    silent: bool = False
    asked: int = 0
    empty: frozenset[tuple[str, ...]] = frozenset({history.ARGV, words_of(proof_records.read)})
    """What has nothing to say."""

    def reset(self) -> None: ...

    def run(self, argv: Sequence[str], *, input: str | bytes = "", **options: Any) -> Completed:
        self.asked += 1
        if self.silent:
            raise UnreachableError("it does not answer", where=self.name, remedy="is it switched on?")
        batch = batch_of(argv, input)
        if batch is None:
            return self._one(argv)
        (mark,) = set(re.findall(r"snow-ha-[0-9a-f]{24}", str(input)))
        done = [self._one(words[len(LIMITED) + 1 :]) for words in batch]
        text = "".join(f"{one.stdout}\n{mark} {one.returncode}\n" for one in done)
        return Completed(tuple(argv), 0, text, f"\n{mark}\n" * len(done))

    def _one(self, words: Sequence[str]) -> Completed:
        text = self.answers.get(tuple(words), "" if tuple(words) in self.empty else None)
        return Completed(tuple(words), 1 if text is None else 0, text or "", "")


def site(servers: int, domains: int) -> tuple[HaFile, dict[str, Host]]:
    """A site in which all is well but for its last server, which is lost."""
    names = [f"snow{number:02}" for number in range(1, servers + 1)]
    where = {f"node{number:04}": names[number // domains] for number in range(servers * domains)}
    numbers = enumerate(where)
    configs = {
        name: CONFIG.format(
            name=name, image=f"{PATHS.images}/{name}/{name}", a=number >> 16, b=number >> 8 & 255, c=number & 255
        )
        for number, name in numbers
    }
    ha = HaFile(
        "bench",
        PATHS,
        tuple(
            Server(
                name, name, (f"10.99.0.{number}",), FenceDevice("fence_ipmilan", f"10.99.1.{number}", "admin", "s/ipmi")
            )
            for number, name in enumerate(names, start=1)
        ),
        tuple(where),
    )
    shared = {
        words_of(lambda host: files.read_folder(host, PATHS.domain_configs, ".cfg")): _folder(
            {f"{PATHS.domain_configs}/{name}.cfg": text for name, text in configs.items()}
        ),
        tuple(cluster.state_words(fencing=True)): _crm_mon(names, where),
        words_of(lambda host: files.read_file(host, definition.PATH)): b64encode(
            definition.copy_of(ha_toml.render(ha), 0).encode()
        ).decode(),
    }
    hosts = {name: Host(name, shared | _own(name, where), silent=name == names[-1]) for name in names}
    return ha, hosts


def _folder(content: dict[str, str]) -> str:
    return "".join(f"{b64encode(k.encode()).decode()} {b64encode(v.encode()).decode()}\n" for k, v in content.items())


def _crm_mon(names: list[str], where: dict[str, str]) -> str:
    lost = names[-1]
    nodes = "".join(
        f'<node name="{name}" id="{number}" online="{str(name != lost).lower()}" unclean="{str(name == lost).lower()}" '
        'standby="false" maintenance="false" pending="false" shutdown="false"/>'
        for number, name in enumerate(names, start=1)
    )
    agents = {name: f"ocf:{':'.join(cib.DOMAIN_AGENT)}" for name in where}
    fences = {cib.fence_id(name): "stonith:fence_ipmilan" for name in names}
    rows = "".join(
        f'<resource id="{name}" resource_agent="{agent}" role="Started" active="true" managed="true" failed="false" '
        f'orphaned="false" blocked="false"><node name="{where.get(name, names[0])}" id="1" cached="true"/></resource>'
        for name, agent in {**agents, **fences}.items()
    )
    summary = (
        '<summary><current_dc name="snow01" with_quorum="true"/><cluster_options stonith-enabled="true"/></summary>'
    )
    return f"<crm_mon>{summary}<nodes>{nodes}</nodes><resources>{rows}</resources></crm_mon>"


def _own(server: str, where: dict[str, str]) -> dict[tuple[str, ...], str]:
    here = [name for name, on in where.items() if on == server]
    listed = "".join(f"{name} {number} 1024 2 -b---- 10.0\n" for number, name in enumerate(here, start=1))
    record = {"state": "held", "boot": "b", "kind": "disk", "lock": "yes", "since": "2026-11-27T04:55:05Z"}
    leased = {"id": "1", "holder": "alive", "frozen": ""}
    records = [
        {"image": f"{PATHS.images}/{name}/{name}-{disk}", "record": {**record, "server": on, "domain": name}}
        for name, on in where.items()
        for disk in DISKS
    ]
    attached = [
        {"image": f"{PATHS.images}/{name}/{name}-{disk}", "domain": name, "dm": "x", "loop": "", **leased}
        for name in here
        for disk in DISKS
    ]
    said = {"server": server, "boot": "b", "records": records, "attached": attached, "notes": {}}
    return {
        ("xl", "info"): "xen_version : 4.20.5\nvirt_caps : pv hvm hap\ntotal_memory : 524288\nfree_memory : 300000\n",
        ("xl", "list"): f"Name ID Mem VCPUs State Time(s)\nDomain-0 0 4096 4 r----- 99.0\n{listed}",
        (
            "corosync-quorumtool",
            "-s",
        ): "Quorum information\n------------------\nQuorate:          Yes\nFlags: Quorate\n",
        ("corosync-cfgtool", "-s"): "LINK ID 0 udp\n\taddr\t= 10.99.0.1\n\tstatus:\n\t\tnodeid:  2:\tconnected\n",
        tuple(leases.argv_of_all(PATHS.images)): json.dumps(said),
        (server_program.PATH, "list"): json.dumps({**said, "records": []}),
    }


def look(file: Path) -> list[str]:
    """What the verb does, without its start."""
    seen = status.look(connect.read(file))
    return status_text.lines(seen, colour=True, width=80)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--servers", type=int, default=4)
    parser.add_argument("--domains", type=int, default=200, help="on each of them")
    parser.add_argument("--rounds", type=int, default=5)
    words = parser.parse_args()
    ha, hosts = site(words.servers, words.domains)
    connect._over_ssh = lambda ha: dict(hosts)  # type: ignore[assignment,return-value]
    took = []
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "ha.toml"
        file.write_text(ha_toml.render(ha))
        for _ in range(words.rounds):
            began = time.perf_counter()
            text = look(file)
            took.append(time.perf_counter() - began)
    started = []
    for _ in range(words.rounds):
        began = time.perf_counter()
        subprocess.run([sys.executable, "-c", "import snowha.cli.ha_status"], check=True)
        started.append(time.perf_counter() - began)
    counts = {name: host.asked / words.rounds for name, host in hosts.items()}
    print(f"Python {platform.python_version()}, {words.servers} servers with {words.domains} domains, one silent")
    print(f"own time: {statistics.median(took):.2f} s (median of {words.rounds}; {min(took):.2f} to {max(took):.2f})")
    print(f"start of Python and imports: {statistics.median(started):.2f} s")
    print(f"commands a server: {', '.join(f'{name} {count:g}' for name, count in counts.items())}; lines: {len(text)}")
    print(text[0])


if __name__ == "__main__":
    main()
