"""One entry of a domain's ``disk`` list (xl-disk-configuration(5)), read as Xen's libxlu_disk_l.l reads it.

The tests compare this reading with libxlutil's own. What xl takes and this project cannot act on is refused here if it must not
reach a path or a command, and by ``unmovable`` if only the copy would be wrong.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Literal, NoReturn

from snowha.errors import InputError
from snowha.site.model import Disk
from snowha.site.names import check_path, did_you_mean, show, single_slashes
from snowha.site.vdev import device_number

OUR_SCRIPT = "block-snow"
"""The hotplug script that attaches images (xen/server_program.py)."""
_XEN_SCRIPTS = ("block", "/etc/xen/scripts/block")
"""What libxl takes where a disk names no script."""

CONVERTED = frozenset({"qcow2", "vhd"})
"""Formats of which an image is made, and which one is made of again on the way back (images/convert.py)."""
_FORMATS = ("raw", "qcow", "qcow2", "qed", "vhd", "empty")
_ACCESS: dict[str, Literal["r", "w"]] = {"r": "r", "ro": "r", "w": "w", "rw": "w", "": "w"}
_BACKEND_TYPES = ("phy", "tap", "qdisk", "standalone")
_PAIRS = {
    "discard": "discard",
    "no-discard": "discard",
    "trusted": "trusted",
    "untrusted": "trusted",
    "colo": "colo",
    "no-colo": "colo",
    "direct-io-safe": "direct-io-safe",
    "grant_usage=1": "grant_usage",
    "grant_usage=0": "grant_usage",
}
"""Words that stand for themselves, and what they set: the last one counts."""
_STRINGS = ("backend", "vdev", "script", "colo-host", "colo-export", "active-disk", "hidden-disk")
"""Set once; an empty value may be set again."""
_KEYS = (*_STRINGS, "format", "access", "backendtype", "specification", "devtype", "colo-port", "target", "grant_usage")
_KEY_VALUE = re.compile(r"([a-z][a-z0-9_-]*)=", re.ASCII)
_PREFIX = re.compile(r"(raw|qcow2?|vhd|iscsi|e?nbd|drbd|tapdisk|tap2?|aio|ioemu|file|phy):", re.ASCII)
_UNKNOWN_PREFIX = re.compile(r"[a-z][a-z0-9]*:(?![a-z0-9])", re.ASCII)
_SCRIPTED = ("iscsi", "nbd", "enbd", "drbd")
_BACKENDS = {"phy": "phy", "file": "file", "tap": "tap", "tap2": "tap", "tapdisk": "tap"}
_SCRIPT = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*")
_USAGE = "write it like format=raw,vdev=xvda2,access=rw,target=/path (xl-disk-configuration(5))"


def parse_disk(spec: str, *, where: str = "") -> Disk:
    """A disk in any of the forms that xl takes: ``phy:``, ``file:``, ``tap:aio:``, positional, key=value.

    An empty CD drive has an empty target. Raises InputError on what xl would refuse, and on a target that is no path of
    a volume or image (an iSCSI name, a path relative to /dev): such a disk could not be copied.
    """
    # a tab is space to xl; a newline or a NUL can only be a mistake
    if not spec.replace("\t", " ").isprintable():
        _fail("it holds a control character", spec, where=where)
    return _Reader(spec, where).disk()


def render_disk(disk: Disk) -> str:
    """The key=value form, with ``target=`` last as xl wants it.

    ``phy:``, ``file:`` and ``tap:`` of old specs are only hints to xl, which picks a backend by itself, and no file
    can be forced onto ``backendtype=phy`` without a script: only ``qdisk`` is written out.
    """
    words = [f"format={disk.format}", f"vdev={disk.vdev}", f"access={'rw' if disk.access == 'w' else 'ro'}"]
    if disk.backend == "qdisk":
        words.append("backendtype=qdisk")
    words += disk.options
    if disk.script:
        words.append(f"script={disk.script}")
    if disk.target:
        words.append(f"target={disk.target}")
    return ",".join(words)


def unmovable(disk: Disk) -> tuple[str, str] | None:
    """Why the bytes behind ``disk`` cannot become an image that our script attaches, with the remedy; None if they can.

    An image holds what the domain sees, byte for byte, and is attached by dom0's own block backend. For that qcow2 and VHD are
    converted.
    """
    if not disk.is_moved:
        return None
    by_hand = "take the domain out of ha.toml, or change its config by hand first"
    if disk.format in CONVERTED and disk.target.startswith("/dev/"):
        return f"is in the format {disk.format} on a device, which cannot be copied to an image", by_hand
    if disk.format not in CONVERTED | {"raw"}:
        raw = f"{disk.target.removesuffix(f'.{disk.format}')}.raw"
        return (
            f"is in the format {disk.format}, which cannot be copied: an image must hold what the domain sees",
            f"shut the domain down, `qemu-img convert -p -f {disk.format} -O raw {disk.target} {raw}`, write format=raw and "
            f"target={raw} in its config, start it, then run this again",
        )
    if disk.script not in (None, OUR_SCRIPT, *_XEN_SCRIPTS):
        return f"is attached by the script {disk.script}: its storage is unknown", by_hand
    if disk.backend_domain not in ("", "0", "Domain-0"):
        return f"is served by the domain {disk.backend_domain}, not by the server", by_hand
    if disk.backend == "standalone" or disk.specification == "virtio":
        return "is a virtio disk, which Xen's block backend does not serve", by_hand
    if replication := [
        word for word in disk.options if word == "colo" or word.startswith(("colo-", "active-", "hidden-"))
    ]:
        return f"is replicated by COLO ({replication[0]})", by_hand
    return None


@dataclass
class _Reader:
    """The scanner, with what it has seen so far."""

    spec: str
    where: str
    rest: str = ""
    named: dict[str, str] = field(default_factory=dict)
    flags: dict[str, str] = field(default_factory=dict)
    is_cdrom: bool = False
    has_prefix: bool = False
    has_access: bool = False
    hint: str = ""

    def fail(self, message: str, remedy: str = _USAGE) -> NoReturn:
        _fail(message, self.spec, where=self.where, remedy=remedy)

    def disk(self) -> Disk:
        self.rest = self.spec
        while self.rest.strip(" \t"):
            self.rest = self.rest.lstrip(" \t")
            self.parameter()
        return self.result()

    def parameter(self) -> None:
        """Take one parameter off the text."""
        match = _KEY_VALUE.match(self.rest)
        # ``target=`` takes everything behind it, commas included
        if match and match[1] == "target":
            self.set("target", self.rest[match.end() :].removesuffix(","))
            self.rest = ""
            return
        # a prefix counts wherever a parameter may begin: ``phy:/dev/vg/lv,ioemu:hda,w``
        if prefix := _PREFIX.match(self.rest):
            self.rest = self.rest[prefix.end() :]
            self.prefix(prefix[1])
            return
        word, _, following = self.rest.partition(",")
        if self.flag(word):
            self.rest = following
            return
        if match:
            self.value(match[1], word[match.end() :])
        elif _UNKNOWN_PREFIX.match(self.rest):
            self.fail(f"unknown prefix {show(word.partition(':')[0])}:")
        elif "=" in word:
            self.fail(f"bad syntax at {show(word)}: a path with a '=' must come after target=")
        else:
            self.positional(word)
        self.rest = following

    def flag(self, word: str) -> bool:
        if word in ("cdrom", "devtype=cdrom", "devtype=disk"):
            self.is_cdrom = word != "devtype=disk"
        elif word in _PAIRS:
            self.flags.pop(_PAIRS[word], None)
            self.flags[_PAIRS[word]] = word
        else:
            return False
        return True

    def value(self, key: str, value: str) -> None:
        if key == "format":
            self.format(value)
        elif key == "access":
            self.access(value)
        elif key == "backendtype":
            self.choose("backendtype", value, _BACKEND_TYPES)
        elif key == "specification":
            self.choose("specification", value, ("xen", "virtio"))
        elif key in _STRINGS:
            self.set(key, value)
        elif key == "colo-port":
            if not re.match(r"\s*[+-]?0*[1-9]", value, re.ASCII):
                self.fail(f"unknown value for colo-port: {show(value)}")
            self.named["colo-port"] = value
        elif key in _KEYS:
            self.fail(f"unknown value for {key}: {show(value)}")
        else:
            self.fail(f"unknown parameter {show(key)}{did_you_mean(key, _KEYS)}")

    def prefix(self, word: str) -> None:
        self.has_prefix = True
        if word in ("raw", "qcow", "qcow2", "vhd"):
            self.format(word)
        elif word in _SCRIPTED:
            self.set("script", f"block-{word}")
        self.hint = self.hint or _BACKENDS.get(word, "")

    def positional(self, word: str) -> None:
        if "target" not in self.named:
            self.named["target"] = word
        elif not self.has_prefix and "format" not in self.named:
            if not self.named["target"] and self.device_and_type(word):
                self.named["format"] = "empty"
            else:
                self.format(word)
        elif "vdev" not in self.named:
            if not self.device_and_type(word):
                self.named["vdev"] = word
        elif not self.has_access:
            self.has_access = True
            self.access(word)
        else:
            self.fail(f"too many parameters ({show(word)})")

    def device_and_type(self, word: str) -> bool:
        """``hdc:cdrom``, ``xvda1:disk``."""
        device, colon, kind = word.rpartition(":")
        if not colon:
            return False
        self.set("vdev", device)
        if kind not in ("cdrom", "disk"):
            self.fail(f"unknown device type {show(kind)}")
        self.is_cdrom = kind == "cdrom"
        return True

    def format(self, value: str) -> None:
        self.choose("format", value or "raw", _FORMATS)

    def access(self, value: str) -> None:
        if value not in _ACCESS:
            self.fail(f"unknown access {show(value)}")
        self.named["access"] = value

    def choose(self, key: str, value: str, known: tuple[str, ...]) -> None:
        if value not in known:
            self.fail(f"unknown {key} {show(value)}")
        if self.named.setdefault(key, value) != value:
            self.fail(f"{key} is given twice, as {self.named[key]} and as {value}")

    def set(self, key: str, value: str) -> None:
        if self.named.get(key):
            self.fail(f"{key} is given twice")
        self.named[key] = value

    def result(self) -> Disk:
        target, vdev = self.named.get("target", ""), self.named.get("vdev", "")
        if device_number(vdev) is None:
            self.fail(f"{show(vdev)} is not a device name" if vdev else "it has no device (vdev)")
        image_format = self.named.get("format", "raw")
        script = self.named.get("script") or None
        # libxl looks in /etc/xen/scripts for a script without a path
        if script is not None and not _SCRIPT.fullmatch(script.removeprefix("/etc/xen/scripts/")):
            self.fail(f"script {show(script)} is not in /etc/xen/scripts")
        if self.is_cdrom:
            image_format = image_format if target else "empty"
        else:
            self.check_target(target, image_format, script)
        kept = [f"{key}={self.named[key]}" for key in self.named if key.startswith(("colo-", "active-", "hidden-"))]
        return Disk(
            spec=self.spec,
            target=single_slashes(target) if target.startswith("/") else target,
            vdev=vdev,
            access="r" if self.is_cdrom else _ACCESS[self.named.get("access", "rw")],
            format=image_format,
            backend=self.named.get("backendtype", self.hint),
            script=script,
            options=(*(["cdrom"] if self.is_cdrom else []), *self.flags.values(), *kept),
            backend_domain=self.named.get("backend", ""),
            specification=self.named.get("specification", ""),
        )

    def check_target(self, target: str, image_format: str, script: str | None) -> None:
        """Raise InputError for what libxl cannot open, or what is no file or device that could be copied."""
        if not target:
            self.fail("it has no target")
        if image_format == "empty":
            self.fail("it is empty, which only a CD drive can be")
        if target.startswith("/"):
            check_path(target, where=self.where)
            return
        kind, colon, _ = target.partition(":")
        if script is not None or (colon and "/" not in kind):
            what = f"script {script}" if script else f"target {show(kind)}:"
            self.fail(
                f"its {what} names storage that is not a volume or file of this server, so it cannot be copied",
                "take the domain out of ha.toml, or copy the disk to a logical volume or a file by hand first",
            )
        self.fail(
            f"its target {show(target)} does not begin with '/', and xl does not look for it in /dev",
            f"write /dev/{target}" if re.fullmatch(r"[A-Za-z0-9._/+-]+", target) else "write the path starting with /",
        )


def _fail(message: str, spec: str, *, where: str, remedy: str = _USAGE) -> NoReturn:
    raise InputError(f"disk {show(spec)}: {message}", where=where, remedy=remedy)
