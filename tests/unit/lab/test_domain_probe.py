"""How long a domain was away and what it acknowledged: the figures of the report come from here."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from snowha.errors import InputError
from snowha.lab import domain_probe
from snowha.lab.domain_probe import Attempt, Log, StaleCounts, Status


def answered(t_ack: float, number: int = 1, *, domain: str = "proxy01", nonce: str = "") -> Attempt:
    return Attempt(t_ack - 0.1, t_ack, domain, nonce or f"{number:016x}", number, "b" * 16, None)


def silent(t: float, *, domain: str = "proxy01") -> Attempt:
    return Attempt(t, None, domain, "f" * 16, None, None, "timed out")


def log(*attempts: Attempt) -> Log:
    return Log(attempts, ())


def test_away_is_the_longest_silence_between_two_answers() -> None:
    one = log(answered(1), answered(2), silent(3), answered(7), answered(8))
    assert domain_probe.downtime(one, "proxy01", 1, 8) == 5


def test_a_domain_that_never_came_back_was_away_until_the_end() -> None:
    one = log(answered(1), silent(2), silent(4))
    assert domain_probe.downtime(one, "proxy01", 0, 60) == 59
    assert domain_probe.downtime(log(), "proxy01", 0, 60) == 60


def test_another_domains_answers_do_not_shorten_the_silence() -> None:
    assert domain_probe.downtime(log(answered(1), answered(5, domain="slurm01"), answered(9)), "proxy01", 1, 9) == 8


def test_answers_outside_the_window_do_not_count() -> None:
    assert domain_probe.downtime(log(answered(1), answered(10), answered(20)), "proxy01", 5, 15) == 5


def test_gaps_are_listed_with_their_times_and_the_silence_at_the_end() -> None:
    one = log(answered(1), answered(2), silent(3), answered(7), silent(8), silent(12))
    assert domain_probe.gaps(one, "proxy01", 3) == [(2, 7), (7, 12)]
    assert domain_probe.gaps(one, "nobody", 0) == []


def test_only_acknowledged_numbers_must_be_on_the_disk() -> None:
    one = log(answered(1, 1), silent(2), answered(3, 2), answered(3, 1, domain="slurm01"))
    assert domain_probe.acknowledged(one) == {
        "proxy01": {1: f"{1:016x}", 2: f"{2:016x}"},
        "slurm01": {1: f"{1:016x}"},
    }


def test_a_number_given_to_two_callers_can_never_be_found_complete() -> None:
    """One of the two records is lost, whichever is on the disk: the report must not say 0."""
    numbers = domain_probe.acknowledged(log(answered(1, 5, nonce="a" * 16), answered(2, 5, nonce="b" * 16)))["proxy01"]
    assert numbers[5] not in ("a" * 16, "b" * 16)


def test_what_a_restored_site_has_rightly_forgotten_can_be_left_out() -> None:
    one = log(answered(1, 1), answered(2, 2), answered(10, 2, nonce="c" * 16))
    assert domain_probe.acknowledged(one, since=5) == {"proxy01": {2: "c" * 16}}


def test_stale_counts_of_all_boots_are_added_up_not_overwritten_by_the_last() -> None:
    def status(boot: str, *counts: int) -> Status:
        return Status(1.0, "slurm01", boot, 1, 1.0, StaleCounts(*counts))

    one = Log((), (status("a", 10, 8, 1, 0), status("a", 20, 18, 2, 0), status("b", 5, 0, 0, 1)))
    assert domain_probe.stale(one) == StaleCounts(25, 18, 2, 1)


def test_a_log_that_is_being_written_is_read_as_far_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "client.jsonl"
    path.write_text(json.dumps(vars(answered(1))) + '\n{"t": 12')
    assert domain_probe.read_log(path).attempts == (answered(1),)


def test_a_foreign_line_is_named_with_its_file_and_number(tmp_path: Path) -> None:
    path = tmp_path / "client.jsonl"
    path.write_text(json.dumps(vars(answered(1))) + "\nhello\n")
    with pytest.raises(InputError, match=r"client\.jsonl:2"):
        domain_probe.read_log(path)


@pytest.mark.parametrize("words", [["deploy01"], ["=10.0.0.1"], ["a=1", "a=2"]])
def test_a_domain_that_is_not_a_name_and_an_address_is_refused(words: list[str]) -> None:
    with pytest.raises(InputError):
        domain_probe.parse_domains(words)


@pytest.fixture
def pretended_service() -> Iterator[int]:
    """Answers ``append`` with growing numbers and ``status`` with one line, as the real one does."""
    listener = socket.create_server(("127.0.0.1", 0))
    numbers = iter(range(1, 10**6))

    def serve() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection, connection.makefile("rw") as stream:
                for line in stream:
                    if line.startswith("append"):
                        stream.write(f"ok {next(numbers)} {'b' * 16}\n")
                    else:
                        said = {"name": "x", "boot": "b" * 16, "number": 1, "uptime_s": 1.5, "stale": None}
                        stream.write(json.dumps(said) + "\n")
                    stream.flush()

    threading.Thread(target=serve, daemon=True).start()
    yield listener.getsockname()[1]
    listener.close()


def test_the_client_writes_down_every_answer_and_ends_when_asked(tmp_path: Path, pretended_service: int) -> None:
    path = tmp_path / "client.jsonl"
    path.write_text('{"t": 1, "t_a')  # left by a client that was killed in the middle of a line
    argv = ["--log", str(path), "--pause", "0.02", "--port", str(pretended_service), "here=127.0.0.1", "gone=127.0.0.9"]
    process = subprocess.Popen(
        [sys.executable, "-m", "snowha.lab.domain_probe", *argv], env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
    )
    try:
        deadline = time.monotonic() + 20
        while path.read_text().count('"here"') < 5:
            assert time.monotonic() < deadline
            time.sleep(0.02)
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0
    read = domain_probe.read_log(path)
    numbers = domain_probe.acknowledged(read)
    assert list(numbers["here"])[:3] == [1, 2, 3]
    assert numbers["gone"] == {}
    assert [status.uptime_s for status in read.statuses][:1] == [1.5]
    assert all(one.error for one in read.attempts if one.domain == "gone")


def test_a_service_that_accepts_and_says_nothing_counts_as_away() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener, pytest.raises(OSError, match=r"tim|no answer"):
        domain_probe.ask("127.0.0.1", "status", port=listener.getsockname()[1], timeout=0.05)


def test_after_a_restart_of_the_service_the_next_question_but_one_is_answered() -> None:
    """Else a domain that was lost and is back would count as away for as long as the client lives."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer_once() -> None:
            connection, _ = listener.accept()
            with connection, connection.makefile("rw") as stream:
                stream.readline()
                stream.write(f"ok 1 {'b' * 16}\n")

        caller = domain_probe.Caller("127.0.0.1", port=listener.getsockname()[1])
        numbers = []
        for _ in range(3):
            answering = threading.Thread(target=answer_once, daemon=True)
            answering.start()
            numbers.append(domain_probe.attempt("here", caller).number)
            if numbers[-1] is None:
                numbers.append(domain_probe.attempt("here", caller).number)
            answering.join(10)
    assert numbers == [1, None, 1, None, 1]
