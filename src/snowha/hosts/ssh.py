"""A server over ssh: the system's OpenSSH, one shared connection per server (ssh_config(5), ControlMaster)."""

from __future__ import annotations

import contextlib
import hashlib
import math
import os
import secrets
import shlex
import stat
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

from snowha.errors import InputError, SiteError, UnreachableError
from snowha.hosts import trace, user_file
from snowha.hosts.base import BaseHost, Request
from snowha.hosts.current_waits import waiting_for
from snowha.hosts.guard import given
from snowha.hosts.host import Completed
from snowha.hosts.local import scrubbed_environment
from snowha.hosts.process import Ended, as_bytes, execute, too_slow
from snowha.hosts.ssh_errors import ConnectionLostError, explain
from snowha.site.model import Ssh

CONNECT_TIMEOUT = 10
"""Seconds until a server that does not answer counts as unreachable."""
_ALIVE_INTERVAL, _ALIVE_COUNT = 5, 2
"""A dead server ends the connection after 5 s · (2 + 1) = 15 s (ssh_config(5), ServerAliveCountMax)."""
_PERSIST = 300
"""Seconds that the connection stays open unused, for the next ``snow``."""
_SESSIONS = 8
"""Commands at once on one connection: sshd_config(5) has MaxSessions 10, and refuses what is above it."""
PROBE_TIMEOUT = 10.0
CONTROL_TIMEOUT = 3.0
REMOTE_SLACK = 5
"""Seconds after which a command given up here is ended there as well."""
_SOCKET_LIMIT = 80
"""unix(7): sun_path has 108 bytes, and ssh puts 17 more at the end of it while it makes the socket."""

_REMOTE_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
# ssh ends with 255 when it fails itself, and so may a command. A command that does leaves a mark that nobody can guess.
# timeout(1), so that a command whose client is gone (timeout, Ctrl-C, lost connection) does not run on for ever.
_REMOTE = """\
export LC_ALL=C LANG=C PATH="$1"; mark=$2; time=$3; shift 3
timeout -k 5 -- "$time" "$@"
status=$?
[ $status -ne 255 ] || printf '\\n%s\\n' "$mark" >&2
exit $status"""


def runtime_folder() -> Path:
    """The folder of this user's control sockets, mode 0700: under XDG_RUNTIME_DIR, else in /run for root, else in /tmp.

    Raises SiteError when somebody else made it first.
    """
    user = os.geteuid()
    candidates = [Path(base) / "snow-ha" for base in (os.environ.get("XDG_RUNTIME_DIR"),) if base]
    if user == 0:
        candidates.append(Path("/run/snow-ha"))
    candidates.append(Path(f"/tmp/snow-ha-{user}"))
    for folder in candidates:
        if len(os.fsencode(folder)) > _SOCKET_LIMIT - 17:
            continue
        try:
            folder.mkdir(mode=0o700, exist_ok=True)
        except OSError:
            continue
        facts = folder.lstat()
        if stat.S_ISDIR(facts.st_mode) and facts.st_uid == user:
            if stat.S_IMODE(facts.st_mode) != 0o700:
                folder.chmod(0o700)
            return folder
    raise SiteError(
        "this folder for ssh's control sockets belongs to another user",
        where=str(candidates[-1]),
        remedy="check who made it, remove it, and run this again",
    )


class SshHost(BaseHost):
    """Commands on a server. Many threads may use one SshHost; the first command makes the connection.

    Commands run with LC_ALL=C and the administrator's PATH, and are ended on the server as well, 5 s after ``timeout``. Raises
    ConnectionLostError, an UnreachableError, if the connection broke while the command ran: whether it was carried out must then
    be looked up.
    """

    def __init__(self, name: str, address: str, ssh: Ssh | None = None) -> None:
        """Raises InputError if the ssh configuration is not there, or is something that ssh would wait for without an end."""
        super().__init__(name)
        self._address = address
        self._ssh = ssh or Ssh()
        _check_config(self._ssh.config)
        identity = "\0".join((self._ssh.user, self._address, self._ssh.config)).encode()
        self.control_socket = runtime_folder() / hashlib.sha256(identity).hexdigest()[:16]
        self._connecting = threading.Lock()
        self._sessions = threading.BoundedSemaphore(_SESSIONS)

    @property
    def address(self) -> str:
        return self._address

    def _run(self, request: Request) -> Completed:
        with trace.given(self.name, given(request.argv), request.input) as command:
            completed = self._carry_out(request)
            command.status = completed.returncode
        return completed

    def _carry_out(self, request: Request) -> Completed:
        """``Completed`` and errors have the words without the guard, as they were given."""
        words, timeout = request.argv, request.timeout
        mark = f"snow-ha-{secrets.token_hex(12)}"
        with waiting_for(self.name), self._sessions:
            self._connect()
            ended = self._execute(
                self._remote(words, mark, timeout),
                input=as_bytes(request.input),
                timeout=timeout,
                on_line=_without(mark, request.on_line),
            )
        if ended.timed_out:
            if self.reachable():
                raise too_slow(self.name, given(words), timeout, ended)
            self.reset()
            raise ConnectionLostError(
                f"it stopped answering while this ran: {shlex.join(given(words))}",
                where=self._where,
                remedy="check the server's console and power, and what the command did",
            )
        stdout, stderr = ended.stdout.decode(errors="replace"), _without_mux_note(ended.stderr.decode(errors="replace"))
        if ended.returncode == 255:
            before, found, _ = stderr.rpartition(f"\n{mark}\n")
            if not found:
                raise explain(stderr, address=self._address, where=self._where, ssh=self._ssh, running=given(words))
            stderr = before
        return Completed(given(words), ended.returncode, stdout, stderr)

    def terminal(self, argv: Sequence[str]) -> list[str]:
        """What runs ``argv`` there with the terminal of whoever executes it."""
        words = [word if word != "RequestTTY=no" else "RequestTTY=force" for word in self.client_words()]
        return [*words, "--", self._address, shlex.join(["env", f"PATH={_REMOTE_PATH}", *argv])]

    def reachable(self) -> bool:
        """Whether a command can be run now; the answer takes at most 10 s."""
        try:
            ended = self._execute("exit 0", timeout=PROBE_TIMEOUT)
        except UnreachableError:
            return False
        return not ended.timed_out and ended.returncode == 0

    def close(self) -> None:
        """Let the connection go; commands of others that still use it are left to finish."""
        self._control("stop")

    def reset(self) -> None:
        """Drop the connection now: after the server was rebooted, fenced, or brought back from a snapshot."""
        self._control("exit")

    @property
    def _where(self) -> str:
        return self.name if self.name == self._address else f"{self.name} ({self._address})"

    def client_words(self) -> list[str]:
        options = [
            "BatchMode=yes",
            f"ConnectTimeout={CONNECT_TIMEOUT}",
            f"ServerAliveInterval={_ALIVE_INTERVAL}",
            f"ServerAliveCountMax={_ALIVE_COUNT}",
            "ControlMaster=auto",
            f"ControlPersist={_PERSIST}",
            f"ControlPath={str(self.control_socket).replace('%', '%%')}",
            "LogLevel=ERROR",
            # what a user's own configuration may ask for and must not happen here
            "RemoteCommand=none",
            "RequestTTY=no",
            "SessionType=default",
            "StdinNull=no",
            "ForkAfterAuthentication=no",
            "ExitOnForwardFailure=no",
            "ConnectionAttempts=1",
            "VisualHostKey=no",
            "LogVerbose=none",
            "ClearAllForwardings=yes",
            "ForwardX11=no",
            # root on the server could use the keys of whoever works here
            "ForwardAgent=no",
            "GSSAPIDelegateCredentials=no",
            "Tunnel=no",
            "PermitLocalCommand=no",
            # a server that is not known by its key may be another machine
            "StrictHostKeyChecking=yes",
            "VerifyHostKeyDNS=no",
            "NoHostAuthenticationForLocalhost=no",
        ]
        words = ["ssh"]
        if self._ssh.config:
            words += ["-F", self._ssh.config]
        if self._ssh.user:
            words += ["-l", self._ssh.user]
        return words + [word for option in options for word in ("-o", option)]

    def _remote(self, words: Sequence[str], mark: str, timeout: float) -> str:
        seconds = str(math.ceil(timeout) + REMOTE_SLACK)
        return shlex.join(["sh", "-c", _REMOTE, "sh", _REMOTE_PATH, mark, seconds, *words])

    def _connect(self) -> None:
        """Make the shared connection if there is none. By itself, so that its failure is not taken for the command's,
        and one thread at a time, so that only one of them becomes the master."""
        if self.control_socket.exists():
            return
        with self._connecting:
            if self.control_socket.exists():
                return
            ended = self._execute("exit 0", timeout=CONNECT_TIMEOUT * 3.0)
        if ended.timed_out:
            raise UnreachableError(
                f"no connection within {CONNECT_TIMEOUT * 3} s",
                where=self._where,
                remedy=f"try: ssh -v {self._address}",
            )
        if ended.returncode != 0:
            raise explain(
                _without_mux_note(ended.stderr.decode(errors="replace")),
                address=self._address,
                where=self._where,
                ssh=self._ssh,
            )

    def _execute(
        self, command: str, *, input: bytes = b"", timeout: float, on_line: Callable[[str], None] | None = None
    ) -> Ended:
        environment = scrubbed_environment()
        if agent := os.environ.get("SSH_AUTH_SOCK"):
            environment["SSH_AUTH_SOCK"] = agent
        try:
            return execute(
                [*self.client_words(), "--", self._address, command],
                environment=environment,
                input=input,
                timeout=timeout,
                on_line=on_line,
            )
        except FileNotFoundError:
            raise _no_client(self._where) from None

    def _control(self, verb: str) -> None:
        if not self.control_socket.exists():
            return
        with contextlib.suppress(FileNotFoundError):
            execute(
                [*self.client_words(), "-O", verb, "--", self._address],
                environment=scrubbed_environment(),
                timeout=CONTROL_TIMEOUT,
            )
        # a master that hangs does not remove its socket; without it, it ends when its time without commands is up
        self.control_socket.unlink(missing_ok=True)


def _check_config(config: str) -> None:
    """``none`` and /dev/null are ssh's words for no configuration (ssh(1), -F)."""
    if config in ("", "none", os.devnull):
        return
    remedy = "give a file in the format of ssh_config(5): with --ssh-config, or as config below [ssh] in ha.toml"
    try:
        user_file.check_regular(Path(config), what="the ssh configuration", remedy=remedy)
    except OSError as error:
        raise InputError(
            f"the ssh configuration cannot be read: {error.strerror}", where=config, remedy=remedy
        ) from error


def _no_client(where: str) -> UnreachableError:
    return UnreachableError("ssh is not installed on this machine", where=where, remedy="apt install openssh-client")


def _without(mark: str, on_line: Callable[[str], None] | None) -> Callable[[str], None] | None:
    if on_line is None:
        return None

    def forward(line: str) -> None:
        if line != mark:
            on_line(line)

    return forward


def _without_mux_note(stderr: str) -> str:
    """Without ssh's remark that somebody else was quicker to make the shared connection: nothing is wrong then."""
    lines = stderr.splitlines(keepends=True)
    return "".join(line for line in lines if not (line.startswith("ControlSocket ") and "already exists" in line))


__all__ = ["CONNECT_TIMEOUT", "ConnectionLostError", "SshHost", "runtime_folder"]
