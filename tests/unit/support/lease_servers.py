"""Two servers that share a folder: the program on the servers, run as it is by the real perl, with real locks and records."""

from __future__ import annotations

import re
import shlex
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from snowha.xen import leases, server_program

BOOT = {"snow01": "11111111-1111-1111-1111-111111111111", "snow02": "22222222-2222-2222-2222-222222222222"}
NEXT_BOOT = "33333333-3333-3333-3333-333333333333"


@dataclass(frozen=True)
class Ended:
    code: int
    out: str
    err: str


@dataclass(frozen=True)
class Servers:
    """Two servers that share ``folder``; each is the program with another name and boot id."""

    folder: Path
    program: Path

    def environment(self, server: str, boot: str = "") -> dict[str, str]:
        return {
            "PATH": str(self.folder / "bin") + ":/usr/bin:/bin",
            "SNOW_TEST_PATH": "1",
            "SNOW_SERVER": server,
            "SNOW_BOOT": boot or BOOT[server],
            "SNOW_RUN": str(self.folder / f"run-{server}"),
            "SNOW_XEN_LOGS": str(self.folder),  # an xl of another test is not ended
        }

    def run(self, server: str, *words: str, boot: str = "", fds: tuple[int, ...] = (), name: str = "") -> Ended:
        done = subprocess.run(
            [str(self.program.with_name(name) if name else self.program), *words],
            env=self.environment(server, boot),
            pass_fds=fds,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        return Ended(done.returncode, done.stdout, done.stderr)

    def perl(self, server: str, code: str, *words: str) -> Ended:
        """Perl that calls the program's parts, in place of what its name would: for what only a kernel with Xen has.

        A package of which ``code`` replaces something is compiled before, so that no part replaces that; the others are as they
        are on a server, compiled when they are called.
        """
        main = "exit Snow::Cli::main(@ARGV);"
        replaced = sorted(set(re.findall(r"[*$](Snow::\w+)::\w+ =", code)))
        whole = f"compile($_) for qw({' '.join(replaced)});"
        path = self.folder / "with-devices"
        path.write_text(server_program.text().replace(main, f"no warnings;\n{whole}\n{code}\n{main}"))
        path.chmod(0o755)
        return self.run(server, *words, name=path.name)

    @contextmanager
    def copying(self, server: str, image: Path, *, limit: str = "") -> Iterator[tuple[Ended, subprocess.Popen[str]]]:
        """Another process, which has ``image`` open and takes its lease as the image engine does."""
        words = [str(self.program), "take", str(image), "--fd", "9"]
        script = f"exec 9<> {shlex.quote(str(image))}; {limit} {shlex.join(words)} 2>&1; echo $?; read -r end"
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        with subprocess.Popen(["sh", "-c", script], env=self.environment(server), text=True, **pipes) as process:  # type: ignore[call-overload]
            try:
                assert process.stdout is not None
                lines = [process.stdout.readline()]
                while lines[-1] and not lines[-1].strip().isdigit():
                    lines.append(process.stdout.readline())
                yield Ended(int(lines[-1]), "", "".join(lines[:-1])), process
            finally:
                process.kill()

    @property
    def image(self) -> Path:
        return self.folder / "deploy01-disk"

    def record(self, server: str = "snow01") -> leases.Lease:
        return leases.parse(self.run(server, "list", str(self.image)).out).records[0]

    @contextmanager
    def taken(self, server: str, **how: str) -> Iterator[Ended]:
        """``take`` for an open file of this process, as the image engine does; the lock is held until the block ends."""
        with self.image.open("r+b") as file:
            yield self.run(server, "take", str(self.image), "--fd", str(file.fileno()), fds=(file.fileno(),), **how)

    def says(self, program: str, text: str) -> None:
        """Put a program in PATH that prints ``text``: what Pacemaker's or ssh's answer is."""
        self.script(program, f"cat <<'END'\n{text}\nEND\n")

    def script(self, program: str, text: str) -> None:
        """Put a program of shell in PATH."""
        path = self.folder / "bin" / program
        path.write_text(f"#!/bin/sh\n{text}")
        path.chmod(0o755)


def two_servers(tmp_path: Path) -> Servers:
    """With an image that nobody has."""
    program = tmp_path / "snow-lease"
    program.write_text(server_program.text())
    program.chmod(0o755)
    (tmp_path / "domain").symlink_to(program)
    (tmp_path / "bin").mkdir()
    both = Servers(tmp_path, program)
    both.image.write_bytes(bytes(4096))
    assert both.run("snow01", "new", str(both.image)).code == 0
    return both


def agent(servers: Servers, action: str, **how: str) -> Ended:
    program = servers.folder / "agent"
    program.write_text(
        f"#!/bin/sh\nexport OCF_RESKEY_xmfile={servers.folder}/deploy01.cfg OCF_RESKEY_name=deploy01\n"
        f"export OCF_RESKEY_CRM_meta_timeout={how.get('timeout', '2000')}\n"
        f"export OCF_RESKEY_CRM_meta_interval={how.get('interval', '0')} OCF_RESKEY_CRM_meta_migrate_target=snow02\n"
        f'exec {servers.folder}/domain "$@"\n'
    )
    program.chmod(0o755)
    return servers.run("snow01", action, name="agent")


def xl_list(*rows: str) -> str:
    head = "Name                                        ID   Mem VCPUs\tState\tTime(s)"
    return "\n".join([head, "Domain-0                                     0  1024     1     r-----     572.5", *rows])


def row(name: str, state: str) -> str:
    return f"{name:<40} {3:>5} {128:>5} {1:>5}     {state}      46.6"
