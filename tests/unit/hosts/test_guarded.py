"""Commands that run only while the lock of their run is held: real processes, real locks, on this machine."""

from __future__ import annotations

import hashlib
import json
import shlex
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from snowha.errors import CommandError, LostLockError
from snowha.hosts import guarded as module
from snowha.hosts.files import read_text, write_file
from snowha.hosts.guard import ACTING, REFUSED, Refusal, given, refusal_of
from snowha.hosts.guard import guarded as words_of
from snowha.hosts.guarded import Guard, GuardedHost
from snowha.hosts.host import Completed
from snowha.hosts.local import LocalHost
from snowha.hosts.recording import Command, RecordingHost

OURS, THEIRS = "a" * 24, "b" * 24
ADA, BOB = "ada on laptop, pid 7", "bob on desk, pid 8"


class Local(LocalHost):
    """Counts what gets to the server."""

    def __init__(self) -> None:
        super().__init__("snow01")
        self.ran: list[tuple[str, ...]] = []

    def reset(self) -> None: ...

    def run(
        self,
        argv: Sequence[str],
        *,
        input: str | bytes = "",
        timeout: float = 60.0,
        check: bool = True,
        on_line: Callable[[str], None] | None = None,
    ) -> Completed:
        self.ran.append(tuple(argv))
        return super().run(argv, input=input, timeout=timeout, check=check, on_line=on_line)


@contextmanager
def held(path: Path, token: str, owner: str = ADA) -> Iterator[None]:
    """Somebody holds the lock, as plan/lock.py does."""
    with subprocess.Popen(
        ["flock", str(path), "sh", "-c", "echo held; read line"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdin is not None and process.stdout is not None
        assert process.stdout.readline() == "held\n"
        path.write_text(f"{owner}\n{token}\n")
        yield
        process.stdin.close()


@pytest.fixture
def lock(tmp_path: Path) -> Path:
    return tmp_path / "lock"


@pytest.fixture
def host() -> Local:
    return Local()


@pytest.fixture
def guard(lock: Path, host: Local) -> Guard:
    """Of a run that has taken the lock."""
    guard = Guard({"snow01": host}, path=str(lock))
    guard.taken(OURS)
    guard.held("snow01")
    return guard


def test_a_command_of_the_run_that_holds_the_lock_runs_as_it_would_without(
    lock: Path, host: Local, guard: Guard
) -> None:
    """A step would see another answer than the server's."""
    ours = GuardedHost(host, guard)
    heard: list[str] = []
    with held(lock, OURS):
        done = ours.run(["sh", "-c", "echo out; echo err >&2; exit 3", "a b"], check=False, on_line=heard.append)
        assert done == Completed(("sh", "-c", "echo out; echo err >&2; exit 3", "a b"), 3, "out\n", "err\n")
        assert sorted(heard) == ["err", "out"]
        for status in (0, 1, 75, 76, 94, 124, 255):
            assert ours.run(["sh", "-c", f"exit {status}"], check=False).returncode == status
        assert ours.run(["no-such-command"], check=False).returncode == 127
        assert ours.run(["/dev/null"], check=False).returncode == 126


def test_standard_input_arrives_byte_for_byte(lock: Path, host: Local, guard: Guard, tmp_path: Path) -> None:
    """An image's key, a configuration or a journal would be damaged, or eaten by the guard."""
    data = bytes(range(256)) * 4096 + b"\n\0\nno newline at the end"
    with held(lock, OURS):
        done = GuardedHost(host, guard).run(["sh", "-c", "sha256sum; true > /dev/null"], input=data)
        assert done.stdout.split()[0] == hashlib.sha256(data).hexdigest()
        assert GuardedHost(host, guard).run(["sh", "-c", "wc -c; true > /dev/null"]).stdout.strip() == "0"
        path = tmp_path / "file"
        assert write_file(GuardedHost(host, guard), str(path), data, keep=False)
        assert path.read_bytes() == data


def test_a_command_that_a_signal_ends_says_so(lock: Path, host: Local, guard: Guard) -> None:
    """As a shell does, and as over ssh: 128 and the signal's number."""
    with held(lock, OURS):
        for name, number in (("TERM", 15), ("KILL", 9), ("INT", 2)):
            done = GuardedHost(host, guard).run(["sh", "-c", f"kill -{name} $$"], check=False)
            assert done.returncode == 128 + number


def test_words_are_programs_and_not_what_the_guards_shell_knows(lock: Path, host: Local, guard: Guard) -> None:
    """`refuse` and `act` are names in it, `exit` and `cd` are builtins, and a variable of its must not get into a command."""
    with held(lock, OURS):
        for word in ("refuse", "act", "exit", "cd", "eval"):
            done = GuardedHost(host, guard).run([word, "echo ran"], check=False)
            assert done.stdout == "" and done.returncode == 127, word
        done = GuardedHost(host, guard).run(["printf", "%s|", "$lock", "a;b", "", "-n"])
        assert done.stdout == "$lock|a;b||-n|"
        assert GuardedHost(host, guard).run(["sh", "-c", "echo ${token-none} ${lock-none}"]).stdout == "none none\n"


def test_after_another_run_took_the_lock_nothing_is_done(lock: Path, host: Local, guard: Guard, tmp_path: Path) -> None:
    """A run that wakes up would start a domain a second time."""
    ours = GuardedHost(host, guard)
    with held(lock, THEIRS, BOB):
        with pytest.raises(LostLockError) as caught:
            ours.run(["touch", str(tmp_path / "ran")], check=False)
        text = str(caught.value)
        assert f"this run lost the lock on snow01 to {BOB}" in text and "snow ha status" in text
        assert "touch" not in text and OURS not in text
        with pytest.raises(LostLockError):
            write_file(ours, str(tmp_path / "ran"), "x")
    assert not (tmp_path / "ran").exists()
    assert len(host.ran) == 1, "once it is lost, nothing is even sent to a server"


def test_a_lock_that_is_lost_on_one_server_ends_the_run_on_all(
    lock: Path, tmp_path: Path, host: Local, guard: Guard
) -> None:
    """Half of the site would be the other run's, and half still this one's."""
    with held(lock, THEIRS, BOB), pytest.raises(LostLockError):
        GuardedHost(host, guard).run(["touch", str(tmp_path / "ran")])
    other = Local()
    with held(lock, OURS), pytest.raises(LostLockError, match="lost the lock on snow01 to bob"):
        GuardedHost(other, guard).run(["touch", str(tmp_path / "ran")])
    assert other.ran == [] and not (tmp_path / "ran").exists()


def test_a_lock_that_nobody_holds_any_more_is_no_lock(lock: Path, host: Local, guard: Guard, tmp_path: Path) -> None:
    """An administrator who ended the lock would believe that the run does nothing more."""
    with held(lock, OURS):
        GuardedHost(host, guard).run(["touch", str(tmp_path / "held")])
    guard.ended("snow01")
    with pytest.raises(LostLockError, match="it was ended there"):
        GuardedHost(host, guard).run(["touch", str(tmp_path / "free")])
    assert (tmp_path / "held").exists() and not (tmp_path / "free").exists()


def test_a_lock_that_is_just_being_ended_is_no_lock(lock: Path, host: Local, guard: Guard, tmp_path: Path) -> None:
    """It is said in the file before it is free."""
    with held(lock, OURS):
        with lock.open("a") as file:
            file.write("ended\n")
        with pytest.raises(LostLockError, match="it was ended there"):
            GuardedHost(host, guard).run(["touch", str(tmp_path / "ran")])
    assert not (tmp_path / "ran").exists()


def test_what_fails_after_the_lock_was_lost_is_known_to(lock: Path, host: Local, guard: Guard) -> None:
    """The other run ended a copy of this one: `ended with 143` would be said, and the domain be started again."""
    with held(lock, OURS):
        guard.verify()
    never = Guard({"snow01": host}, path=str(lock))
    never.verify()
    with held(lock, THEIRS, BOB):
        never.verify()
        with pytest.raises(LostLockError, match="to bob on desk"):
            guard.verify()


def test_who_only_looks_is_never_asked_for_a_lock(host: Local, guard: Guard, tmp_path: Path) -> None:
    """A run that lost it must still be able to see what there is; and a look would cost three processes more."""
    (tmp_path / "file").write_text("text")
    assert read_text(GuardedHost(host, guard), str(tmp_path / "file")) == "text"
    GuardedHost(host, guard).run(["true"])
    assert host.ran[-1] == ("true",)


def test_before_a_lock_is_taken_commands_pass_as_they_are(host: Local, lock: Path) -> None:
    """`snow ha check` tries locks on the shared file system, and needs none of ours."""
    assert (
        GuardedHost(host, Guard({}, path=str(lock))).run(["sh", "-c", "echo ran; true > /dev/null"]).stdout == "ran\n"
    )


def test_a_server_that_was_restarted_is_waited_for_until_its_lock_is_held_again(
    lock: Path, host: Local, guard: Guard
) -> None:
    """Each server is restarted in a migration; the first command afterwards would end the run."""
    refused = threading.Event()

    class Watched(Local):
        def run(self, *words: object, **more: object) -> Completed:
            done = super().run(*words, **more)  # type: ignore[arg-type]
            if done.returncode == REFUSED:
                refused.set()
            return done

    answers: list[Completed] = []
    asking = threading.Thread(
        target=lambda: answers.append(GuardedHost(Watched(), guard).run(["sh", "-c", "echo ran; true > /dev/null"]))
    )
    asking.start()
    assert refused.wait(30)
    with held(lock, OURS):
        guard.held("snow01")
        asking.join(30)
    assert [answer.stdout for answer in answers] == ["ran\n"]


def test_a_server_where_the_lock_was_never_held_does_not_end_the_run_at_once(
    lock: Path, host: Local, guard: Guard, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was away when the run began; in its file is who had the lock before. If it stays like that, that is said."""
    monkeypatch.setattr(module, "PATIENCE_S", 0.0)
    lock.write_text(f"{BOB}\n{THEIRS}\nended\n")
    guard.taken(OURS)
    refused = Refusal(THEIRS, BOB, "ended", stopping=False)
    assert not guard.is_lost("snow01", refused, guard.times("snow01"))
    with pytest.raises(LostLockError, match="to bob on desk"):
        GuardedHost(host, guard).run(["touch", "/nonexistent/x"])


def test_the_lock_that_is_held_while_a_command_runs_is_not_its_childrens(lock: Path, host: Local, guard: Guard) -> None:
    """`xl create` leaves a process for as long as its domain lives: no run could ever begin again."""
    with held(lock, OURS):
        done = GuardedHost(host, guard).run(["sh", "-c", "sleep 60 > /dev/null 2>&1 & echo $!"])
        try:
            free = ["flock", "--nonblock", f"{lock}{ACTING}", "true"]
            assert subprocess.run(free, check=False).returncode == 0
            descriptors = Path(f"/proc/{done.stdout.strip()}/fd").iterdir()
            assert not any(str(lock) in str(one.readlink()) for one in descriptors)
        finally:
            subprocess.run(["kill", done.stdout.strip()], check=True)


def test_nobody_gets_the_second_lock_while_a_command_runs(lock: Path, tmp_path: Path) -> None:
    """A run would begin while an `xl create` of the one before is under way. Also if that is told to end and does not yet."""
    script = "trap '' TERM; echo began; read line; echo ended"
    with (
        held(lock, OURS),
        subprocess.Popen(
            words_of(["sh", "-c", script], str(lock), OURS), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as command,
    ):
        assert command.stdin is not None and command.stdout is not None
        assert command.stdout.readline() == "began\n"
        command.terminate()
        taken = ["flock", "--nonblock", f"{lock}{ACTING}", "true"]
        assert subprocess.run(taken, check=False).returncode == 1
        command.stdin.write("\n")
        command.stdin.close()
        assert command.stdout.readline() == "ended\n"
        assert command.wait(30) == 0
        assert subprocess.run(taken, check=False).returncode == 0


def test_a_message_shows_the_administrators_command_and_not_the_guard(lock: Path, host: Local, guard: Guard) -> None:
    """Pasted, it would be refused."""
    words = ["sh", "-c", "echo no such volume >&2; exit 5"]
    with held(lock, OURS):
        for check in (True, False):
            with pytest.raises(CommandError) as caught:
                if check:
                    GuardedHost(host, guard).run(words)
                else:
                    GuardedHost(host, guard).run(["sleep", "60"], timeout=0.2)
            assert "flock" not in str(caught.value) and OURS not in str(caught.value)
        assert f"exit status 5 from: {shlex.join(words)}" in _message(host, guard, words)


def _message(host: Local, guard: Guard, words: Sequence[str]) -> str:
    with pytest.raises(CommandError) as caught:
        GuardedHost(host, guard).run(words)
    return caught.value.message


def test_the_log_has_what_was_done_as_it_was_asked_for_and_nothing_that_was_refused(
    lock: Path, host: Local, guard: Guard, tmp_path: Path
) -> None:
    """It would say that a run that is no longer the one has done something."""
    noted: list[Command] = []
    recording = RecordingHost(GuardedHost(host, guard), noted.append)
    with held(lock, OURS):
        recording.run(["touch", str(tmp_path / "a")])
        write_file(recording, str(tmp_path / "b"), "x", mode=0o600)
    with held(lock, THEIRS, BOB), pytest.raises(LostLockError):
        recording.run(["touch", str(tmp_path / "c")])
    with pytest.raises(LostLockError):
        recording.run(["touch", str(tmp_path / "d")])
    assert [one.text for one in noted] == [f"touch {tmp_path}/a", f"write {tmp_path}/b mode=600"]


def test_a_refusal_is_told_from_a_command_that_ends_the_same_way() -> None:
    """A command would be taken for not carried out, and be repeated."""
    assert refusal_of(REFUSED, "something else\n", OURS) is None
    assert refusal_of(1, f"{OURS} - - - \n", OURS) is None
    refused = refusal_of(REFUSED, f"cannot open lock\n{OURS} - - stopping \n", OURS)
    assert refused is not None and refused.stopping and refused.holder == ""


def test_the_guard_is_taken_off_what_is_shown() -> None:
    words = ("xl", "create", "/etc/xen/a.cfg")
    assert given(words_of(words, "/run/lock", OURS)) == words
    assert given(words) == words


def test_a_hundred_commands_at_once_do_not_get_in_each_others_way(lock: Path, host: Local, guard: Guard) -> None:
    """They share the second lock, and each tries the first one."""
    script = f"""
import json, sys
from concurrent.futures import ThreadPoolExecutor
from snowha.hosts.guard import guarded
from snowha.hosts.local import LocalHost
words = guarded(["sh", "-c", "exit 7"], {str(lock)!r}, {OURS!r})
with ThreadPoolExecutor(8) as pool:
    print(json.dumps([d.returncode for d in pool.map(lambda _: LocalHost().run(words, check=False), range(100))]))
"""
    with held(lock, OURS):
        done = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    assert json.loads(done.stdout) == [7] * 100
