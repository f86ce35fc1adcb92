"""What a support case needs, in one archive: what each server that answers says of itself, its logs and configurations, without
secrets. Nothing is changed, and no file that holds only a secret (snow.conf, Corosync's key) is read into it.
"""

from __future__ import annotations

import gzip
import io
import json
import shlex
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from snowha.cluster.fencing import SECRETS
from snowha.errors import CommandError, SnowError
from snowha.hosts.files import read_folder
from snowha.hosts.host import Host
from snowha.hosts.parallel import each
from snowha.live import cluster
from snowha.operations import report_redaction
from snowha.xen import leases

_LARGEST = 8 << 20
"""Bytes of one file: of a longer one the end is taken."""
_LOG_LINES = 20_000
_PACKAGES = (
    *("snow-ha*", "xen-*", "libxen*", "linux-image-*", "corosync*", "pacemaker*", "resource-agents*", "fence-agents*"),
    *("libqb*", "libknet*", "nfs-common", "ipmitool", "lvm2", "crmsh", "pcs"),
)
_UNITS = (
    *("pacemaker", "corosync", "corosync-qdevice", "sbd", "nfs-client.target"),
    *("xen", "xenconsoled", "xenstored", "xendomains"),
)


@dataclass(frozen=True)
class Question:
    """A command whose output becomes ``file``."""

    file: str
    argv: tuple[str, ...]
    timeout: float = 30.0


@dataclass(frozen=True)
class Gathered:
    """The files of the archive by their path in it, with their secrets still in them, and the secrets that are known."""

    files: dict[str, str]
    known: set[str] = field(default_factory=set)


def questions(days: int, images: Sequence[str]) -> tuple[Question, ...]:
    """What every server is asked. ``days`` of its logs; ``images``: whose leases are asked for."""
    units = [word for unit in _UNITS for word in ("--unit", unit)]
    log = ("journalctl", "--no-pager", "--output=short-iso", f"--lines={_LOG_LINES}", f"--since=-{days}d")
    return (
        Question("versions.txt", ("dpkg-query", "-W", "-f", "${Package} ${Version} ${db:Status-Status}\n", *_PACKAGES)),
        Question("kernel.txt", ("uname", "-a")),
        Question("xl-info.txt", ("xl", "info")),
        Question("xl-list.txt", ("xl", "list", "-v")),
        Question("crm_mon.xml", (*cluster.CRM_MON, cluster.FENCE_HISTORY), 60),
        Question("cib.xml", ("cibadmin", "--query"), 60),
        Question("corosync.conf", ("cat", "/etc/corosync/corosync.conf")),
        Question("corosync-links.txt", ("corosync-cfgtool", "-s")),
        Question("corosync-quorum.txt", ("corosync-quorumtool", "-s")),
        Question(
            "units.txt", ("systemctl", "show", "--property=Id,ActiveState,SubState,UnitFileState,Result", *_UNITS)
        ),
        Question("mounts.txt", ("findmnt", "--raw")),
        Question("addresses.txt", ("ip", "-brief", "address")),
        Question("leases.json", tuple(leases.argv(images)), 60),
        Question("log.txt", (*log, *units), 120),
        Question("log-snow-ha.txt", (*log, "--identifier", "snow-ha"), 120),
    )


def gather(hosts: Mapping[str, Host], configs: str, images: Sequence[str], *, days: int) -> Gathered:
    """Ask every server at once. One that does not answer has a file that says so. ``configs``: folder of the domains' configs."""
    asked = questions(days, images)

    def one(host: Host) -> Gathered:
        files: dict[str, str] = {}
        known: set[str] = set()
        try:
            known = _fence_passwords(host)
            for question in asked:
                files[question.file] = _answer(host, question)
        except SnowError as error:
            files["no-answer.txt"] = f"{error}\n"
        return Gathered({f"servers/{host.name}/{file}": text for file, text in files.items()}, known)

    answers = each(list(hosts.values()), one)
    gathered = Gathered(
        {path: text for answer in answers.values() for path, text in answer.files.items()},
        {secret for answer in answers.values() for secret in answer.known},
    )
    gathered.files.update(_domains(hosts, configs))
    return gathered


def pack(name: str, gathered: Gathered, *, at: int) -> bytes:
    """A tar.gz with everything below the folder ``name``, secrets removed. ``at``: its files' time, in seconds since 1970."""
    known = set(gathered.known)
    for text in gathered.files.values():
        known |= report_redaction.values(text)
    whole = io.BytesIO()
    with gzip.GzipFile(fileobj=whole, mode="wb", mtime=at) as packed, tarfile.open(fileobj=packed, mode="w") as archive:
        for path, text in sorted(gathered.files.items()):
            data = _clean(path, text, known).encode(errors="replace")[-_LARGEST:]
            entry = tarfile.TarInfo(f"{name}/{path}")
            entry.size, entry.mtime, entry.mode = len(data), at, 0o600
            archive.addfile(entry, io.BytesIO(data))
    return whole.getvalue()


def _clean(path: str, text: str, known: set[str]) -> str:
    if path.endswith(".json"):
        try:
            return json.dumps(report_redaction.in_data(json.loads(text), known), indent=2) + "\n"
        except ValueError:
            pass  # it says why there is none
    if path.endswith(".jsonl"):
        lines = (json.dumps(report_redaction.in_data(json.loads(line), known)) for line in text.splitlines())
        return "".join(f"{line}\n" for line in lines)
    return report_redaction.without(text, known)


def _answer(host: Host, question: Question) -> str:
    """What the command says, with its exit code where that is not 0. Raises UnreachableError."""
    try:
        done = host.run(question.argv, check=False, timeout=question.timeout)
    except CommandError as error:  # it did not end in time
        return f"{error}\n"
    if done.ok:
        return done.stdout
    return f"{done.stdout}$ {shlex.join(question.argv)}\nexit code {done.returncode}\n{done.stderr}"


def _fence_passwords(host: Host) -> set[str]:
    """What the scripts print that cluster/fencing.py makes: to be found elsewhere. They are not put into the archive."""
    found = set()
    for content in read_folder(host, SECRETS, "").values():
        words = shlex.split(content.decode(errors="replace"), comments=True)
        found |= set(words[-1:])
    return found


def _domains(hosts: Mapping[str, Host], folder: str) -> Iterator[tuple[str, str]]:
    """The domains' configs, from the first server that has some: the folder is on storage that all share."""
    for host in hosts.values():
        try:
            found = read_folder(host, folder, ".cfg", timeout=20)
        except SnowError:
            continue
        if found:
            return iter(
                [
                    (f"domains/{path.rpartition('/')[2]}", content.decode(errors="replace"))
                    for path, content in found.items()
                ]
            )
    return iter(())
