"""One entry of a domain's ``disk`` list, after xl-disk-configuration(5) and Xen's libxlu_disk_l.l."""

from __future__ import annotations

import re
from typing import Literal, NoReturn

from snowha.errors import InputError
from snowha.site.model import Disk
from snowha.site.names import check_path, did_you_mean, show

_FORMATS = ("raw", "qcow", "qcow2", "qed", "vhd", "empty")
_ACCESS: dict[str, Literal["r", "w"]] = {"r": "r", "ro": "r", "w": "w", "rw": "w"}
_FLAGS = ("cdrom", "direct-io-safe", "discard", "no-discard", "trusted", "untrusted")
_OPTIONS = ("devtype", "backend", "specification", "transport")
_KEYS = ("target", "format", "vdev", "access", "script", "backendtype", *_OPTIONS)
_KEY_VALUE = re.compile(r"([a-z][a-z0-9_-]*)=(.*)", re.DOTALL)
_PREFIX = re.compile(r"(?:(phy|file|tap2?|tapdisk):)?(?:(aio|ioemu):)?(?:(raw|qcow2?|vhd):)?(?=/)")
_VDEV = re.compile(r"(?:xvd|sd|hd|vd)[a-z]{1,3}[0-9]{0,3}|d[0-9]+(?:p[0-9]+)?")
_SCRIPT = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*")
_USAGE = "write it like format=raw,vdev=xvda2,access=rw,target=/path (xl-disk-configuration(5))"


def parse_disk(spec: str, *, where: str = "") -> Disk:
    """A disk in any of the forms the field knows: ``phy:``, ``file:``, ``tap:aio:``, positional, key=value.

    An empty CD drive has an empty target. Raises InputError on what xl would refuse, and on a target that is no path of
    a volume or image (an iSCSI name, a path relative to /dev): such a disk could not be copied.
    """
    named: dict[str, str] = {}
    options: list[str] = []
    positional: list[str] = []
    rest = spec
    while rest.strip():
        rest = rest.lstrip(" \t")
        parameter, _, following = rest.partition(",")
        match = _KEY_VALUE.fullmatch(rest)
        # ``target=`` takes everything behind it, commas included.
        if match and match[1] == "target":
            _set(named, "target", match[2], spec, where=where)
            break
        rest = following
        parameter = parameter.strip(" \t")
        match = _KEY_VALUE.fullmatch(parameter)
        if match and match[1] in _OPTIONS:
            options.append(parameter)
        elif match and match[1] in _KEYS:
            _set(named, match[1], match[2], spec, where=where)
        elif match:
            _fail(f"unknown parameter {show(match[1])}{did_you_mean(match[1], _KEYS)}", spec, where=where)
        elif parameter in _FLAGS:
            options.append(parameter)
        else:
            positional.append(parameter)
    backend = _positional(named, positional, spec, where=where)
    return _disk(spec, named, tuple(options), backend, where=where)


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


def _positional(named: dict[str, str], words: list[str], spec: str, *, where: str) -> str:
    """Put words without a key where they belong; returns the backend an old prefix names."""
    order = [key for key in ("target", "format", "vdev", "access") if key not in named]
    backend = ""
    if words and "target" in order and (prefix := _PREFIX.match(words[0])) and prefix[0]:
        backend = {"tap2": "tap", "tapdisk": "tap"}.get(prefix[1] or "", prefix[1] or "")
        named["format"] = prefix[3] or "raw"
        words = [words[0][prefix.end() :], *words[1:]]
        # Behind such a prefix stands the device at once: ``phy:/dev/vg/lv,xvda2,w``.
        order = [key for key in order if key != "format"]
    if len(words) > len(order):
        _fail(f"too many parameters ({show(words[len(order)])})", spec, where=where)
    named.update({key: word for key, word in zip(order, words, strict=False) if word})
    return backend


def _disk(spec: str, named: dict[str, str], options: tuple[str, ...], backend: str, *, where: str) -> Disk:
    vdev = named.get("vdev", "")
    if vdev.endswith(":cdrom"):
        vdev = vdev.removesuffix(":cdrom")
        options += ("cdrom",)
    if not _VDEV.fullmatch(vdev):
        _fail(f"{show(vdev)} is no device name" if vdev else "it names no device (vdev)", spec, where=where)
    image_format = named.get("format", "raw")
    if image_format not in _FORMATS:
        _fail(f"unknown format {show(image_format)}", spec, where=where)
    access = named.get("access", "rw")
    if access not in _ACCESS:
        _fail(f"unknown access {show(access)}", spec, where=where)
    script = named.get("script")
    # libxl looks in /etc/xen/scripts for a script without a path.
    if script is not None and not _SCRIPT.fullmatch(script.removeprefix("/etc/xen/scripts/")):
        _fail(f"script {show(script)} is not in /etc/xen/scripts", spec, where=where)
    target = named.get("target", "")
    if target or not {"cdrom", "devtype=cdrom"} & set(options):
        if not target:
            _fail("it names no target", spec, where=where)
        check_path(target, where=where)
    return Disk(
        spec=spec,
        target=target,
        vdev=vdev,
        access=_ACCESS[access],
        format=image_format,
        backend=named.get("backendtype", backend),
        script=script,
        options=options,
    )


def _set(named: dict[str, str], key: str, value: str, spec: str, *, where: str) -> None:
    if key in named:
        _fail(f"{key}= is given twice", spec, where=where)
    named[key] = value


def _fail(message: str, spec: str, *, where: str) -> NoReturn:
    raise InputError(f"disk {show(spec)}: {message}", where=where, remedy=_USAGE)
