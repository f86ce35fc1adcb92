"""The site lock: two runs at once on a site would each undo what the other relies on."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

from snowha.errors import LostLockError, SiteError, UnreachableError
from snowha.hosts.guard import ACTING, guarded
from snowha.hosts.guarded import Guard, GuardedHost
from snowha.hosts.host import Completed, Host
from snowha.hosts.local import LocalHost
from snowha.plan.lock import NAME, Since, end_holder, holder_words, site_lock

BEAT_S = 0.1


class Named(LocalHost):
    """This machine as one of several servers."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self._as = name

    @property
    def name(self) -> str:
        return self._as

    def reset(self) -> None: ...


class Lost(Named):
    """A server that is being rebooted."""

    def run(
        self,
        argv: Sequence[str],
        *,
        input: str | bytes = "",
        timeout: float = 60.0,
        check: bool = True,
        on_line: Callable[[str], None] | None = None,
    ) -> Completed:
        raise UnreachableError("there is no route to it", where=self.name)


def turn(hosts: dict[str, Host], path: str, *, patience_s: float = 0.1) -> AbstractContextManager[None]:
    return site_lock(Guard(hosts, path=path), lambda text: None, beat_s=BEAT_S, patience_s=patience_s)


def servers(*hosts: Host) -> dict[str, Host]:
    return {host.name: host for host in hosts}


def test_a_second_run_is_refused_and_told_whose_turn_it_is(tmp_path: Path) -> None:
    path = str(tmp_path / "lock")
    whose = r"another run holds the site lock: .* on .*, pid \d+, since 20\S+Z\n"
    with turn(servers(Named("snow01")), path):
        with pytest.raises(SiteError, match=whose) as refused, turn(servers(Named("snow01")), path):
            pytest.fail("two runs at once")
        assert f"pkill -f {NAME}:{path} " in refused.value.remedy
    with turn(servers(Named("snow01")), path):
        pass


def test_a_run_that_fails_gives_its_turn_back(tmp_path: Path) -> None:
    path = str(tmp_path / "lock")
    with pytest.raises(ValueError, match="of the run's own"), turn(servers(Named("a")), path):
        raise ValueError("of the run's own")
    with turn(servers(Named("a")), path):
        pass


def test_a_run_that_was_killed_leaves_no_lock(tmp_path: Path) -> None:
    """Else nobody could go on after a laptop was lost, without knowing what to remove where."""
    path = str(tmp_path / "lock")
    script = (
        "from snowha.hosts.guarded import Guard\nfrom snowha.hosts.local import LocalHost\n"
        "from snowha.plan.lock import site_lock\n"
        f"with site_lock(Guard({{'localhost': LocalHost()}}, path={path!r}), print, beat_s={BEAT_S}):\n"
        "    print('mine', flush=True)\n    input()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "mine\n"
        with pytest.raises(SiteError), turn(servers(Named("a")), path):
            pytest.fail("two runs at once")
        process.send_signal(signal.SIGKILL)
    with turn(servers(Named("a")), path, patience_s=30):
        pass


def test_a_server_that_is_down_does_not_keep_the_others_from_holding_it(tmp_path: Path) -> None:
    path = str(tmp_path / "lock")
    both = servers(Named("snow01"), Lost("snow02"))
    with (
        turn(both, path),
        pytest.raises(SiteError),
        turn(servers(Named("snow01")), path),
    ):
        pytest.fail("two runs at once")
    with pytest.raises(UnreachableError), turn(servers(Lost("snow01")), path):
        pytest.fail("nobody was asked")


def held_now(path: str) -> bool:
    return subprocess.run(["flock", "--nonblock", path, "true"], check=False).returncode == 1


def wait_until(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.02)


def end_lock(path: str, name: str = "TERM") -> None:
    """As the message tells an administrator to."""
    subprocess.run(["pkill", f"-{name}", "-f", f"{NAME}:{path}"], check=True)


@contextmanager
def run_on(path: str, name: str = "snow01") -> Iterator[GuardedHost]:
    """A run that holds the site lock, and its server."""
    guard = Guard(servers(Named(name)), path=path)
    with site_lock(guard, lambda text: None, beat_s=BEAT_S, patience_s=30):
        yield GuardedHost(Named(name), guard)


def test_a_server_that_was_restarted_meanwhile_is_held_again(tmp_path: Path) -> None:
    """Each server is fenced once in a migration: after the second one nothing would keep another run out, and nothing could be
    done there."""
    path = tmp_path / "lock"
    with run_on(str(path)) as host:
        assert held_now(str(path))
        path.unlink()  # /run is empty after a boot
        end_lock(str(path), "KILL")
        assert host.run(["sh", "-c", "echo ran; true > /dev/null"]).stdout == "ran\n"
        assert held_now(str(path))
    wait_until(lambda: not held_now(str(path)), "it was not given back")


@pytest.mark.parametrize(("since", "held_by"), [("restart", "mine"), ("loss", "another's"), ("restart", "another's")])
def test_what_may_not_be_taken_again_is_not_locked_to_find_that_out(tmp_path: Path, since: Since, held_by: str) -> None:
    """A command of the run that was just begun took that for its own lock, and changed a server that was an administrator's."""
    path = tmp_path / "lock"
    path.write_text(f"me\n{held_by}\n")
    words = holder_words(
        str(path), wait_s=0, beat_s=1, owner="me", token="mine", since=since, command_patience_s=1, copies="-"
    )
    # somebody has it locked: whoever needs the lock to see that it is not his is told so by flock(1), with another status
    done = subprocess.run(["flock", path, *words], capture_output=True, text=True, check=False, timeout=30)
    assert done.returncode == 76
    assert done.stdout == ("" if held_by == "mine" else "lost me\n")


def test_a_lock_that_somebody_ended_is_not_taken_again(tmp_path: Path) -> None:
    """An administrator ends the lock of a machine that stands still, and works on the servers; then it wakes up."""
    path = tmp_path / "lock"
    for name in ("TERM", "KILL"):
        with run_on(str(path)) as host:
            host.run(["touch", str(tmp_path / "before")])
            end_lock(str(path), name)
            wait_until(lambda: not held_now(str(path)), "it was not ended")
            with pytest.raises(LostLockError, match="it was ended there"):
                host.run(["touch", str(tmp_path / "after")])
            assert not held_now(str(path))
    assert (tmp_path / "before").exists() and not (tmp_path / "after").exists()


def test_a_run_that_stood_still_while_another_one_finished_does_nothing_more(tmp_path: Path) -> None:
    """It would start a domain that runs elsewhere by now."""
    path = tmp_path / "lock"
    with run_on(str(path)) as first:
        end_lock(str(path))
        with run_on(str(path)) as second:
            second.run(["touch", str(tmp_path / "second")])
            with pytest.raises(LostLockError, match=r"lost the lock on snow01 to .*, pid \d+, since"):
                first.run(["touch", str(tmp_path / "first")])
        with pytest.raises(LostLockError):
            first.run(["touch", str(tmp_path / "first")])
    assert (tmp_path / "second").exists() and not (tmp_path / "first").exists()


def test_a_connection_that_broke_does_not_cost_the_run_its_lock_unless_another_one_came(tmp_path: Path) -> None:
    """A server that is busy for a quarter of a minute breaks a connection: the whole run would have to be begun again."""

    class Breaks(Named):
        """The first connection of the lock breaks when it is told to."""

        broken = False

        def run(
            self,
            argv: Sequence[str],
            *,
            input: str | bytes = "",
            timeout: float = 60.0,
            check: bool = True,
            on_line: Callable[[str], None] | None = None,
        ) -> Completed:
            done = super().run(argv, input=input, timeout=timeout, check=check, on_line=on_line)
            if argv[0] == "flock" and done.returncode == -signal.SIGKILL and not self.broken:
                self.broken = True
                raise UnreachableError("the connection broke", where=self.name)
            return done

    path = tmp_path / "lock"
    for another_came in (False, True):
        guard = Guard(servers(Breaks("snow01")), path=str(path))
        with site_lock(guard, lambda text: None, beat_s=BEAT_S, patience_s=30):
            host = GuardedHost(Named("snow01"), guard)
            end_lock(str(path), "KILL")
            if another_came:
                path.write_text("bob on desk\nbbbb\n")
                with pytest.raises(LostLockError, match="to bob on desk"):
                    host.run(["touch", str(tmp_path / "ran")])
                assert not (tmp_path / "ran").exists()
            else:
                host.run(["touch", str(tmp_path / "again")])
                assert (tmp_path / "again").exists() and held_now(str(path))


def test_a_server_that_was_away_at_the_begin_is_locked_when_it_answers(tmp_path: Path) -> None:
    """The run before was restarting it when it was lost; nothing could be done there, or another run could do something."""

    class Late(Named):
        away = True

        def run(
            self,
            argv: Sequence[str],
            *,
            input: str | bytes = "",
            timeout: float = 60.0,
            check: bool = True,
            on_line: Callable[[str], None] | None = None,
        ) -> Completed:
            if self.away:
                raise UnreachableError("there is no route to it", where=self.name)
            return super().run(argv, input=input, timeout=timeout, check=check, on_line=on_line)

    first, second = tmp_path / "lock", Late("snow02")
    guard = Guard(servers(Named("snow01"), second), path=str(first))
    # both are this machine, so snow01's lock has to be free for snow02's
    with site_lock(guard, lambda text: None, beat_s=BEAT_S, patience_s=0.1):
        first.unlink()
        second.away = False
        assert GuardedHost(second, guard).run(["sh", "-c", "echo ran; true > /dev/null"]).stdout == "ran\n"


def test_a_run_waits_for_what_an_earlier_one_still_does(tmp_path: Path) -> None:
    """An `xl create` of a run that lost its lock meanwhile would come to its end beside the next run."""
    path = tmp_path / "lock"
    said: list[str] = []
    script = "echo began; read line; echo ended"
    with run_on(str(path)) as host:
        with subprocess.Popen(
            guarded(["sh", "-c", script], str(path), token_in(path)),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        ) as command:
            assert command.stdin is not None and command.stdout is not None
            assert command.stdout.readline() == "began\n"
            end_lock(str(path))
            with (
                pytest.raises(
                    SiteError, match="a command of an earlier run still runs there: sh -c echo began"
                ) as busy,
                site_lock(
                    Guard(servers(Named("snow01")), path=str(path)), said.append, beat_s=BEAT_S, command_patience_s=0.1
                ),
            ):
                pytest.fail("it is still under way")
            assert "wait until it has ended" in busy.value.remedy
            assert said[-1] == f"waiting up to 0.1 s for what an earlier run still does on snow01: sh -c {script}"
            # the first run looks from time to time whether it may take it again, and holds it for as long as that takes
            wait_until(lambda: not held_now(str(path)), "it is still held")
            command.stdin.close()
            with run_on(str(path)):
                assert command.stdout.readline() == "ended\n", "it was ended"
        with pytest.raises(LostLockError):
            host.run(["touch", str(tmp_path / "ran")])


def test_a_run_that_is_killed_while_it_waits_for_an_earlier_ones_command_gives_the_lock_back(tmp_path: Path) -> None:
    """The laptop is closed while apt-get goes on: nobody else could begin for a quarter of an hour."""
    path = tmp_path / "lock"
    words = holder_words(
        str(path),
        wait_s=0,
        beat_s=BEAT_S,
        owner="me",
        token="mine",
        since="begin",
        command_patience_s=900,
        copies="-",
    )
    with (
        subprocess.Popen(
            ["flock", f"{path}{ACTING}", "sh", "-c", "echo began; read line"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        ) as command,
        subprocess.Popen(words, stdout=subprocess.PIPE) as holder,
    ):
        assert command.stdin is not None and command.stdout is not None and holder.stdout is not None
        assert command.stdout.readline() == b"began\n"
        wait_until(
            lambda: holder.stdout is not None and holder.stdout.readline().startswith(b"waits"), "it does not wait"
        )
        holder.stdout.close()
        holder.wait(30)
        assert not held_now(str(path))
        command.stdin.close()


def test_a_copy_that_an_earlier_run_left_is_ended(tmp_path: Path) -> None:
    """It takes hours, writes the image that the next run is to make, and nobody listens to it any more."""
    path = tmp_path / "lock"
    copy = ["sh", "-c", "echo began; sleep 600"]
    with (
        run_on(str(path)),
        subprocess.Popen(guarded(copy, str(path), token_in(path)), stdout=subprocess.PIPE, text=True) as old,
    ):
        assert old.stdout is not None
        assert old.stdout.readline() == "began\n"
        end_lock(str(path))
        guard = Guard(servers(Named("snow01")), path=str(path))
        with site_lock(guard, lambda text: None, copies="sh -c echo began", beat_s=BEAT_S, patience_s=30):
            assert old.wait(30) == 128 + signal.SIGTERM


def token_in(path: Path) -> str:
    return path.read_text().splitlines()[1]


def test_another_process_with_the_number_of_the_holder_is_left_alone() -> None:
    """A server that was fenced meanwhile counts from the beginning: the number may be Corosync's by now."""
    with subprocess.Popen(["sleep", "60"]) as other:
        end_holder(Named("snow01"), str(other.pid), "0123456789abcdef01234567")
        alive = other.poll() is None
        other.kill()
    assert alive
