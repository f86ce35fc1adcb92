"""SshHost against a real sshd on this machine, with keys of its own."""

from __future__ import annotations

import contextlib
import getpass
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from snowha.errors import CommandError, SiteError, UnreachableError
from snowha.hosts import files
from snowha.hosts.guarded import Guard, GuardedHost
from snowha.hosts.ssh import SshHost, runtime_folder
from snowha.hosts.ssh_errors import ConnectionLostError, explain
from snowha.plan.lock import site_lock
from snowha.site.model import Ssh

needs_sshd = pytest.mark.needs("sshd")
needs_ssh = pytest.mark.needs("ssh")


@dataclass
class Sshd:
    folder: Path
    port: int
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        program = shutil.which("sshd")
        assert program is not None
        if os.geteuid() == 0:
            Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)  # systemd makes it where there is one
        command = [program, "-D", "-e", "-f", str(self.folder / "sshd_config")]
        self.process = subprocess.Popen(command, stderr=subprocess.DEVNULL, start_new_session=True)
        deadline = time.monotonic() + 20
        while True:
            with contextlib.suppress(ConnectionRefusedError), socket.create_connection(("127.0.0.1", self.port)):
                return
            assert self.process.poll() is None, "sshd ended"
            assert time.monotonic() < deadline, "sshd does not listen"
            time.sleep(0.02)

    def stop(self) -> None:
        """Like a power cut of the server, but for the packets that say goodbye."""
        if self.process is not None:
            everything = [*descendants(self.process.pid), self.process.pid]
            # all of them stand still before the first one is gone: else its parent tells the client how it ended
            for what in (signal.SIGSTOP, signal.SIGKILL):
                for pid in everything:
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(pid, what)
            self.process.wait()
            self.process = None

    def config(self, name: str = "ssh_config", extra: str = "") -> Ssh:
        path = self.folder / name
        path.write_text(
            f"{extra}\nHost *\nHostName 127.0.0.1\nPort {self.port}\nIdentityFile {self.folder}/user\n"
            f"IdentitiesOnly yes\nUserKnownHostsFile {self.folder}/known_hosts\nGlobalKnownHostsFile /dev/null\n"
            "SendEnv LC_* LANG\n"
        )
        return Ssh(user=getpass.getuser(), config=str(path))


def running(command: Path) -> bool:
    try:
        return b"sleep" in command.read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return False


def descendants(pid: int) -> list[int]:
    children = [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return [found for child in children for found in [*descendants(child), child]]


@pytest.fixture(scope="module")
def sshd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    folder = tmp_path_factory.mktemp("sshd")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = int(free.getsockname()[1])
    for key in ("host", "user", "stranger"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / key)], check=True)
    (folder / "authorized_keys").write_text((folder / "user.pub").read_text())
    host_key = (folder / "host.pub").read_text()
    (folder / "known_hosts").write_text(f"[127.0.0.1]:{port} {host_key}")
    (folder / "sshd_config").write_text(
        f"ListenAddress 127.0.0.1\nPort {port}\nHostKey {folder}/host\nAuthorizedKeysFile {folder}/authorized_keys\n"
        "StrictModes no\nPidFile none\nUsePAM no\nPasswordAuthentication no\nAcceptEnv LC_* LANG\n"
    )
    server = Sshd(folder, port)
    server.start()
    yield server
    server.stop()


@pytest.fixture
def host(sshd: Sshd) -> Iterator[SshHost]:
    if sshd.process is None:
        sshd.start()
    host = SshHost("snow02", "snow02.test", sshd.config())
    yield host
    host.reset()


@needs_sshd
def test_words_arrive_as_they_were_given(host: SshHost) -> None:
    """Names with spaces or quotes would be other names, or commands, on the server."""
    words = ["a b", "'", '"', "$HOME", "`id`", "a;reboot", "", "*", "\\", "ü", "-n", "x=y"]
    assert host.run(["printf", "[%s]", *words]).stdout == "".join(f"[{word}]" for word in words)


@needs_sshd
def test_status_streams_input_and_lines(host: SshHost) -> None:
    """A step would decide on half of what a server said."""
    lines: list[str] = []
    data = "x" * 500_000 + "\n"
    done = host.run(["sh", "-c", "cat; echo err >&2; exit 7"], input=data, check=False, on_line=lines.append)
    assert (done.returncode, done.stdout, done.stderr) == (7, data, "err\n")
    assert sorted(lines) == ["err", data.strip()]
    with pytest.raises(CommandError, match="snow02: exit status 1 from: false"):
        host.run(["false"])


@needs_sshd
def test_a_command_that_ends_with_255_is_no_lost_server(host: SshHost) -> None:
    """A tool's own failure would read as 'server unreachable', and the server be fenced for it."""
    lines: list[str] = []
    done = host.run(["sh", "-c", "echo sorry >&2; exit 255"], check=False, on_line=lines.append)
    assert (done.returncode, done.stderr) == (255, "sorry\n")
    assert [line for line in lines if line] == ["sorry"]
    assert host.run(["sh", "-c", "exit 255"], check=False).stderr == ""


@needs_sshd
def test_a_command_that_is_killed_is_no_lost_server(host: SshHost) -> None:
    """What the kernel kills for want of memory would read as an unreachable server."""
    assert host.run(["sh", "-c", "kill -9 $$"], check=False).returncode == 137


@needs_sshd
def test_environment_on_the_server(host: SshHost, monkeypatch: pytest.MonkeyPatch) -> None:
    """Output would come in the user's language, and lvs would not be found."""
    monkeypatch.setenv("LC_TIME", "de_DE.UTF-8")
    monkeypatch.setenv("LC_ALL", "de_DE.UTF-8")
    environment = dict(line.split("=", 1) for line in host.run(["env"]).stdout.splitlines() if "=" in line)
    assert environment["LC_ALL"] == "C"
    assert {"/usr/sbin", "/sbin"} <= set(environment["PATH"].split(":"))
    assert "LC_TIME" not in environment


@needs_sshd
def test_many_threads_share_one_connection(host: SshHost) -> None:
    """Many checks at once would be refused by sshd's MaxSessions, or make a login each."""
    results: list[str] = []
    threads = [
        threading.Thread(target=lambda: results.append(host.run(["sh", "-c", 'echo "$SSH_CONNECTION"']).stdout))
        for _ in range(16)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 16
    assert len(set(results)) == 1


@needs_sshd
def test_a_slow_command_is_ended_there_as_well(host: SshHost, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A command given up would go on on the server, beside the one that replaces it."""
    monkeypatch.setattr("snowha.hosts.ssh.REMOTE_SLACK", 0)
    host.run(["true"])
    note = tmp_path / "pid"
    with pytest.raises(CommandError, match=r"timed out after 1 s"):
        host.run(["sh", "-c", 'echo $$ > "$1"; exec sleep 60', "sh", str(note)], timeout=1)
    command, deadline = Path(f"/proc/{note.read_text().strip()}/cmdline"), time.monotonic() + 10
    while running(command) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not running(command)


@needs_sshd
def test_a_lost_connection_is_said_and_the_next_command_connects_again(host: SshHost, sshd: Sshd) -> None:
    """After a reboot every command would fail on the dead connection."""
    begun = threading.Event()
    caught: list[BaseException] = []

    def work() -> None:
        try:
            host.run(["sh", "-c", "echo begun; exec sleep 30"], on_line=lambda line: begun.set())
        except UnreachableError as error:
            caught.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    assert begun.wait(20)
    sshd.stop()
    thread.join(20)
    assert isinstance(caught[0], ConnectionLostError)
    assert "check what the command did" in str(caught[0])
    with pytest.raises(UnreachableError, match="no ssh server listens"):
        host.run(["true"])
    assert not host.reachable()
    sshd.start()
    assert host.run(["echo", "back"]).stdout == "back\n"


@needs_sshd
def test_a_reset_connection_is_made_anew(host: SshHost) -> None:
    """After a snapshot was restored the old connection leads nowhere."""
    first = host.run(["sh", "-c", 'echo "$SSH_CONNECTION"']).stdout
    assert host.run(["sh", "-c", 'echo "$SSH_CONNECTION"']).stdout == first
    host.reset()
    assert host.run(["sh", "-c", 'echo "$SSH_CONNECTION"']).stdout != first
    host.close()
    assert host.run(["true"]).ok


@needs_sshd
def test_a_hung_master_does_not_hang_us(host: SshHost, monkeypatch: pytest.MonkeyPatch) -> None:
    """One stuck ssh in the background would stop every later run."""
    monkeypatch.setattr("snowha.hosts.ssh.PROBE_TIMEOUT", 0.3)
    monkeypatch.setattr("snowha.hosts.ssh.CONTROL_TIMEOUT", 0.3)
    host.run(["true"])
    check = subprocess.run(
        [*host.client_words(), "-O", "check", host.address], capture_output=True, text=True, check=True
    )
    master = int(check.stderr.split("pid=")[1].split(")")[0])
    os.kill(master, signal.SIGSTOP)
    try:
        begin = time.monotonic()
        with pytest.raises(UnreachableError, match="stopped answering"):
            host.run(["true"], timeout=0.5)
        assert time.monotonic() - begin < 15
        assert host.run(["echo", "fresh"], timeout=20).stdout == "fresh\n"
    finally:
        os.kill(master, signal.SIGKILL)


@needs_sshd
def test_a_stale_socket_is_no_obstacle(host: SshHost) -> None:
    """After a crash of this machine the first run would fail."""
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(host.control_socket))
    assert host.run(["true"]).ok


@needs_sshd
def test_files_over_ssh(host: SshHost, tmp_path: Path) -> None:
    """What holds on this machine would not hold on the servers."""
    path, content = tmp_path / "authkey", os.urandom(200_000)
    assert files.write_file(host, str(path), content, mode=0o400, keep=False)
    assert files.read_file(host, str(path)) == content
    assert not files.write_file(host, str(path), content, mode=0o400, keep=False)
    assert files.read_file(host, str(tmp_path / "none")) is None


@needs_sshd
def test_refusals_have_their_own_remedies(sshd: Sshd) -> None:
    """'Unreachable' alone would leave the user guessing."""
    ssh = sshd.config("stranger_config", f"IdentityFile {sshd.folder}/stranger")
    lines = Path(ssh.config).read_text().replace(f"IdentityFile {sshd.folder}/user\n", "")
    Path(ssh.config).write_text(lines)
    with pytest.raises(UnreachableError, match="rejects the login") as caught:
        SshHost("snow02", "snow02.test", ssh).run(["true"])
    assert "ssh-copy-id" in caught.value.remedy
    (sshd.folder / "none").write_text("")
    unknown = sshd.config("unknown_config", f"UserKnownHostsFile {sshd.folder}/none")
    with pytest.raises(UnreachableError, match="host key is unknown here"):
        SshHost("snow02", "snow02.test", unknown).run(["true"])
    (sshd.folder / "other").write_text(f"[127.0.0.1]:{sshd.port} {(sshd.folder / 'stranger.pub').read_text()}")
    changed = sshd.config("changed_config", f"UserKnownHostsFile {sshd.folder}/other")
    with pytest.raises(UnreachableError, match="its host key has changed") as caught:
        SshHost("snow02", "snow02.test", changed).run(["true"])
    assert "ssh-keygen -R" in caught.value.remedy


@needs_ssh
def test_names_and_ports_that_lead_nowhere(tmp_path: Path) -> None:
    """A typing mistake in ha.toml would look like a dead server."""
    with pytest.raises(UnreachableError, match="name cannot be resolved") as caught:
        SshHost("snow09", "snow09.invalid").run(["true"])
    assert "/etc/hosts" in caught.value.remedy
    config = tmp_path / "config"
    config.write_text("Host *\nPort 1\n")
    with pytest.raises(UnreachableError, match="no ssh server"):
        SshHost("snow01", "127.0.0.1", Ssh(config=str(config))).run(["true"])
    config.write_text("Nonsense yes\n")
    with pytest.raises(UnreachableError, match="cannot use its configuration"):
        SshHost("snow01", "127.0.0.1", Ssh(config=str(config))).run(["true"])


@needs_ssh
def test_an_address_is_never_an_option() -> None:
    """A server called -oProxyCommand=… in a file would run a command here."""
    with pytest.raises(UnreachableError):
        SshHost("x", "-oProxyCommand=touch /tmp/snow-ha-never").run(["true"])
    assert not Path("/tmp/snow-ha-never").exists()


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ("ssh: connect to host 10.0.0.2 port 22: Connection timed out", "does not answer"),
        ("ssh: connect to host 10.0.0.2 port 22: No route to host", "no route to it"),
        ("Timeout, server 10.0.0.2 not responding.", "does not answer"),
        ("kex_exchange_identification: read: Connection reset by peer", "before the login"),
        ("ssh: Could not resolve hostname snow9: Name or service not known", "name cannot be resolved"),
        ("", "without a reason"),
    ],
)
def test_what_ssh_says_is_explained(said: str, reason: str) -> None:
    """The user would get ssh's words and no remedy."""
    error = explain(said, address="10.0.0.2", where="snow02 (10.0.0.2)", ssh=Ssh())
    assert reason in error.message
    assert error.remedy
    assert error.exit_code == 3


def test_control_sockets_are_ours_alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Another user of this machine could send commands over our connection."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    (tmp_path / "snow-ha").mkdir(mode=0o777)
    folder = runtime_folder()
    assert folder.stat().st_mode & 0o777 == 0o700
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / ("long" * 20)))
    assert len(str(runtime_folder())) < 64


@pytest.mark.needs("ssh")
def test_a_users_own_configuration_opens_no_door(tmp_path: Path) -> None:
    """Root on any server could use the agent of whoever works here, and any machine could be taken for a server."""
    config = tmp_path / "config"
    config.write_text(
        "Host *\n ForwardAgent yes\n StrictHostKeyChecking no\n ForwardX11 yes\n Tunnel yes\n PermitLocalCommand yes\n"
        " LocalCommand touch /x\n GSSAPIDelegateCredentials yes\n VerifyHostKeyDNS yes\n NoHostAuthenticationForLocalhost yes\n"
    )
    words = SshHost("snow01", "192.0.2.1", Ssh(config=str(config))).client_words()
    done = subprocess.run([words[0], "-G", *words[1:], "192.0.2.1"], capture_output=True, text=True, check=True)
    settings = dict(line.partition(" ")[::2] for line in done.stdout.splitlines())
    assert settings["stricthostkeychecking"] == "true"
    off = (
        "forwardagent",
        "forwardx11",
        "tunnel",
        "permitlocalcommand",
        "gssapidelegatecredentials",
        "verifyhostkeydns",
    )
    assert {settings[name] for name in off} <= {"no", "false"}


@pytest.mark.needs("ssh")
def test_a_users_own_configuration_keeps_no_command_from_running(tmp_path: Path) -> None:
    """Its output and its end would never come, or what ssh says of itself be taken for the command's own words."""
    config = tmp_path / "config"
    config.write_text(
        "Host *\n SessionType none\n StdinNull yes\n ForkAfterAuthentication yes\n ConnectionAttempts 10\n RemoteCommand tmux\n"
        " RequestTTY force\n ExitOnForwardFailure yes\n VisualHostKey yes\n LogLevel DEBUG3\n LogVerbose *\n"
    )
    words = SshHost("snow01", "192.0.2.1", Ssh(config=str(config))).client_words()
    done = subprocess.run([words[0], "-G", *words[1:], "192.0.2.1"], capture_output=True, text=True, check=True)
    settings = dict(line.partition(" ")[::2] for line in done.stdout.splitlines())
    no = ("stdinnull", "forkafterauthentication", "requesttty", "exitonforwardfailure", "visualhostkey")
    assert {settings[name] for name in no} <= {"no", "false"}
    assert (settings["sessiontype"], settings["connectionattempts"], settings["loglevel"]) == ("default", "1", "ERROR")
    assert "remotecommand" not in settings and settings.get("logverbose", "none") == "none"


@contextlib.contextmanager
def frozen_run(
    words: list[str], folder: Path
) -> Iterator[tuple[subprocess.Popen[str], Callable[[signal.Signals], None]]]:
    """A run in a process of its own, and how to signal it and all that speaks for it: its ssh, and the shared connection, which
    is no child of it. ``folder`` is where that has its socket."""
    environment = {**os.environ, "XDG_RUNTIME_DIR": str(folder)}
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True, env=environment) as process:

        def all_of_it(number: signal.Signals) -> None:
            found = subprocess.run(
                ["pgrep", "-f", str(folder)], stdout=subprocess.PIPE, text=True, check=False
            ).stdout.split()
            for pid in {process.pid, *descendants(process.pid), *map(int, found)}:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, number)

        try:
            yield process, all_of_it
        finally:
            all_of_it(signal.SIGKILL)


FROZEN = """
import sys, threading
from snowha.errors import SnowError
from snowha.hosts.guarded import Guard, GuardedHost
from snowha.hosts.ssh import SshHost
from snowha.plan.lock import site_lock
from snowha.site.model import Ssh

config, user, lock, file = sys.argv[1:]
def host(): return SshHost("snow02", "snow02.test", Ssh(user=user, config=config))
guard = Guard({"snow02": host()}, path=lock)
with site_lock(guard, print, beat_s=0.2, patience_s=30):
    server = GuardedHost(host(), guard)
    server.run(["touch", file + ".before"])
    def heard(line):
        print(line, flush=True)
    try:
        server.run(["sh", "-c", "echo copying; sleep 600; true"], timeout=3600, on_line=heard)
    except SnowError as error:
        print("ended:", type(error).__name__, flush=True)
    try:
        server.run(["touch", file])
    except SnowError as error:
        print("refused:", error.message, flush=True)
"""


@needs_sshd
def test_a_run_that_stood_still_while_another_one_took_over_does_nothing_more(sshd: Sshd, tmp_path: Path) -> None:
    """A machine was suspended while a domain was down for its copy. Somebody ended its lock, as the message says, and finished
    the job from another machine; then the first one goes on, and starts the domain a second time."""
    lock, file = tmp_path / "lock", tmp_path / "file"
    config = sshd.config("frozen_config")
    words = [sys.executable, "-c", FROZEN, config.config, config.user, str(lock), str(file)]
    with tempfile.TemporaryDirectory(prefix="frozen-") as folder, frozen_run(words, Path(folder)) as (first, send):
        assert first.stdout is not None
        assert first.stdout.readline() == "copying\n"
        send(signal.SIGSTOP)

        host = SshHost("snow02", "snow02.test", sshd.config("second_config"))
        guard = Guard({"snow02": host}, path=str(lock))
        with pytest.raises(SiteError) as refused, site_lock(guard, print, beat_s=0.2, patience_s=0.1):
            pytest.fail("the first one holds it: its connection lives")
        command = re.search(r"pkill -f \S+", refused.value.remedy)
        assert command is not None
        subprocess.run(shlex.split(command[0]), check=True)
        with site_lock(guard, print, copies="sh -c echo copying", beat_s=0.2, patience_s=30):
            GuardedHost(host, guard).run(["touch", f"{file}.second"])
        host.reset()

        send(signal.SIGCONT)
        rest = first.stdout.read()
    assert "refused: this run lost the lock on snow02 to " in rest
    assert Path(f"{file}.before").exists() and Path(f"{file}.second").exists() and not file.exists()


@needs_sshd
def test_over_ssh_a_guarded_command_ends_as_it_would_without(host: SshHost, tmp_path: Path) -> None:
    """A step would take a failure for another one, or a command that was given up would go on for ever."""
    guard = Guard({"snow02": host}, path=str(tmp_path / "lock"))
    pid = tmp_path / "pid"
    with site_lock(guard, print, beat_s=0.2, patience_s=30):
        ours = GuardedHost(host, guard)
        for script in ("echo out; echo err >&2; exit 3", "exit 255", "exit 94", "kill -TERM $$", "kill -KILL $$"):
            with_it, without = (one.run(["sh", "-c", script], check=False) for one in (ours, host))
            assert (with_it.argv, with_it.returncode, with_it.stdout) == (
                without.argv,
                without.returncode,
                without.stdout,
            )
        data = bytes(range(256)) * 1000
        assert ours.run(["sh", "-c", "cksum; :"], input=data) == host.run(["sh", "-c", "cksum; :"], input=data)
        with pytest.raises(CommandError, match="timed out after 1 s, ended: sh -c") as slow:
            ours.run(["sh", "-c", f"echo $$ > {pid}; exec sleep 600"], timeout=1)
        assert "flock" not in slow.value.message
        command = Path(f"/proc/{pid.read_text().strip()}/cmdline")
        deadline = time.monotonic() + 30
        while running(command):
            assert time.monotonic() < deadline, "it goes on on the server"
            time.sleep(0.05)
