"""The command line: ``copy SOURCE TARGET``, ``convert SOURCE TARGET``, ``incremental ORIGIN STORE TARGET``, ``verify TARGET``,
``map SOURCE``, ``wait FILE``.

Several verbs, each with its words, may stand behind each other with a ``+`` between them. They are carried out in that order,
up to the first that fails; the last event of each has its ``number``, from 0 on. So whoever shuts a domain down can have
everything ready: ``incremental … --precopy + wait FILE + incremental …``, and makes FILE.PID when the domain is off.

Exit codes: 0 done (and verified) · 1 a bug · 2 wrong words or an unusable manifest · 3 the source cannot be read, or was
written meanwhile · 4 the target cannot be written, or must not be replaced · 5 no room · 6 verification found differences ·
7 source or target is in use · 130 interrupted.
"""

from __future__ import annotations

import argparse
import contextlib
import signal
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

from . import convert, events, full_copy, incremental, lease, verify, wait_for_file, workers
from .copy_windows import NOTHING_PROVEN, VerifiedWindows
from .errors import ImageError, Interrupted
from .job import Options
from .qemu_img import DRIVERS


def main(argv: Sequence[str] | None = None) -> int:
    """Run the verbs; the exit code of the first that fails."""
    parser = _parser()
    proven: dict[str, VerifiedWindows] = {}
    verbs = [
        parser.parse_args(words, argparse.Namespace(proven=proven))
        for words in split(sys.argv[1:] if argv is None else argv)
    ]
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)
    targets = [words.target for words in verbs if getattr(words, "lease", "") and _writes_image(words)]
    try:
        # for all verbs at once, ahead of the first: a domain may be off when the later ones are run
        with lease.held(next((words.lease for words in verbs if getattr(words, "lease", "")), ""), targets):
            return next((code for code in map(_run, verbs, range(len(verbs))) if code), 0)
    except ImageError as error:
        return _tell(error, json=verbs[0].json)


def _writes_image(words: argparse.Namespace) -> bool:
    return not getattr(words, "preview", False) and not getattr(words, "into", "")


def split(argv: Sequence[str]) -> list[list[str]]:
    """The words of each verb."""
    verbs: list[list[str]] = [[]]
    for word in argv:
        if word == "+":
            verbs.append([])
        else:
            verbs[-1].append(word)
    return verbs


def _run(words: argparse.Namespace, number: int) -> int:
    report = events.as_json if words.json else events.as_text
    try:
        report({**words.run(words, report), "number": number})
    except ImageError as error:
        return _tell(error, json=words.json)
    return 0


def _tell(error: ImageError, *, json: bool) -> int:
    if json:
        with contextlib.suppress(Interrupted):  # nobody listens: that may be this very error
            events.as_json(
                {
                    "event": "error",
                    "kind": error.kind,
                    "message": str(error),
                    "remedy": error.remedy,
                    "exit": error.exit_code,
                    "ranges": [[start, end - start] for start, end in error.ranges],
                }
            )
    else:
        print(error, file=sys.stderr)
    return error.exit_code


def _copy(words: argparse.Namespace, report: events.Report) -> dict[str, Any]:
    with lease.held(words.lease, [], [words.source]):
        return full_copy.copy(words.source, words.target, report, _options(words))


def _convert(words: argparse.Namespace, report: events.Report) -> dict[str, Any]:
    if words.preview:
        return convert.preview(words.source, words.target, words.out_of)
    if words.out_of:
        return convert.to_image(words.source, words.target, words.out_of, report, replace=words.replace)
    with lease.held(words.lease, [], [words.source]):
        return convert.from_image(words.source, words.target, words.into, report)


def _verify(words: argparse.Namespace, report: events.Report) -> dict[str, Any]:
    return verify.verify(words.target, report, _options(words))


def _incremental(words: argparse.Namespace, report: events.Report) -> dict[str, Any]:
    if words.preview:
        return incremental.preview(words.source, words.store, words.target, _options(words))
    if words.precopy:
        event, words.proven[words.target] = incremental.precopy(
            words.source, words.store, words.target, report, _options(words), base=words.base
        )
        return event
    return incremental.copy_changes(
        words.source,
        words.store,
        words.target,
        report,
        _options(words),
        base=words.base,
        point=words.point,
        last=not words.point,
        proven=words.proven.pop(words.target, NOTHING_PROVEN),
    )


def _map(words: argparse.Namespace, report: events.Report) -> dict[str, Any]:
    event = full_copy.inspect(words.source, _options(words))
    if not words.json:
        for at, size in event["ranges"]:
            events.line(f"{at:>16} {size:>16}")
    return event


def _wait(words: argparse.Namespace, report: events.Report) -> dict[str, Any]:
    return wait_for_file.wait(words.file, report)


def _options(words: argparse.Namespace) -> Options:
    return Options(
        rate=words.rate * 2**20 if words.rate else None,
        every_block=getattr(words, "every_block", False),
        replace=getattr(words, "replace", False),
        manifest=getattr(words, "manifest", ""),
        threads=words.threads,
        point=getattr(words, "point", ""),
    )


def _interrupt(number: int, _frame: object) -> NoReturn:
    raise Interrupted(f"ended by {signal.Signals(number).name}", remedy="run it again: it resumes")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="snow-images",
        description="Copy a disk image, verified and resumable.",
        epilog=(__doc__ or "").split("\n\n", 1)[1],
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--json", action="store_true", help="events as JSON lines on stdout")
    common.add_argument("--rate", type=_positive, metavar="MIB/s", help="read no faster than this")
    common.add_argument(
        "--threads", type=_count, default=workers.THREADS, help="how many reads at once (default %(default)s)"
    )
    leasing = argparse.ArgumentParser(add_help=False)
    leasing.add_argument(
        "--lease", default="", metavar="PROGRAM", help="take the lease of TARGET with PROGRAM (snow-lease) meanwhile"
    )
    verbs = parser.add_subparsers(required=True, metavar="VERB")

    verb = verbs.add_parser(
        "copy", parents=[common, leasing], help="copy a quiet source into a file or block device, then read it back"
    )
    verb.add_argument("source", help="a logical volume, partition or file that nobody writes to")
    verb.add_argument("target", help="a file (TARGET.manifest is written beside it), or a block device")
    verb.add_argument("--every-block", action="store_true", help="do not rely on a file system's bitmaps")
    verb.add_argument(
        "--replace", action="store_true", help="even if TARGET was written since it was copied: its content is lost"
    )
    verb.add_argument(
        "--manifest", default="", metavar="FILE", help="write the manifest there (none for a block device else)"
    )
    verb.add_argument(
        "--point", default="", metavar="NAME", help="SOURCE is a snapshot of this name; `incremental` has to follow"
    )
    verb.set_defaults(run=_copy)

    verb = verbs.add_parser(
        "convert",
        parents=[common, leasing],
        help="convert a quiet disk of another format to an image, or an image back to such a disk",
    )
    verb.add_argument("source", help="a file that nobody writes to")
    verb.add_argument("target", help="a file; if it is an image, TARGET.manifest is written beside it")
    formats = verb.add_mutually_exclusive_group(required=True)
    formats.add_argument("--from", dest="out_of", choices=sorted(DRIVERS), default="", help="the format of SOURCE")
    formats.add_argument("--to", dest="into", choices=sorted(DRIVERS), default="", help="of TARGET, which is replaced")
    verb.add_argument("--replace", action="store_true", help="even if the image TARGET was written since it was made")
    verb.add_argument(
        "--preview", action="store_true", help="only report how much there is to do, or why it is impossible"
    )
    verb.set_defaults(run=_convert)

    verb = verbs.add_parser(
        "incremental",
        parents=[common, leasing],
        help="update the image of a snapshot to the state of its origin, and read that back",
    )
    verb.add_argument("source", help="the snapshot's origin, quiet; with --point a later snapshot of it")
    verb.add_argument("store", help="the snapshot's exception store: its -cow device")
    verb.add_argument("target", help="the image of the snapshot")
    verb.add_argument("--base", required=True, metavar="NAME", help="the snapshot's name, as given to `copy --point`")
    verb.add_argument("--point", default="", metavar="NAME", help="SOURCE is a later snapshot of this name")
    verb.add_argument("--manifest", default="", metavar="FILE", help="instead of TARGET.manifest")
    only = verb.add_mutually_exclusive_group()
    only.add_argument("--preview", action="store_true", help="only say how much there is to do")
    only.add_argument(
        "--precopy",
        action="store_true",
        help="only what can be done while the domain runs; another `incremental` has to follow",
    )
    verb.set_defaults(run=_incremental)

    verb = verbs.add_parser(
        "verify", parents=[common, leasing], help="read an image from the storage and compare it with its manifest"
    )
    verb.add_argument("target")
    verb.add_argument("--manifest", default="", metavar="FILE", help="instead of TARGET.manifest")
    verb.set_defaults(run=_verify)

    verb = verbs.add_parser("map", parents=[common], help="what would be read, and why")
    verb.add_argument("source")
    verb.add_argument("--every-block", action="store_true", help=argparse.SUPPRESS)
    verb.set_defaults(run=_map)

    verb = verbs.add_parser(
        "wait", parents=[common], help="wait until FILE.PID exists (PID: this process), and remove it"
    )
    verb.add_argument("file", metavar="FILE")
    verb.set_defaults(run=_wait)
    return parser


def _positive(text: str) -> float:
    value = float(text)
    if not 0 < value < 1e9:
        raise argparse.ArgumentTypeError("more than 0")
    return value


def _count(text: str) -> int:
    value = int(text)
    if not 1 <= value <= 16:
        raise argparse.ArgumentTypeError("1 to 16")
    return value
