"""Ten minutes of what nobody would write, read by us and by the real programs: Xen's library, bash, ifupdown.

What is found here becomes an example in tests/unit. Needs no lab of its own, only the packages: libxenmisc, bash, ifupdown.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import TypeVar

import pytest
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st

from snowha.errors import InputError, SiteError
from snowha.site.snow_conf import parse

sys.path[:0] = [str(Path(__file__).parents[2] / "unit" / room) for room in ("", "site", "provision", "support")]
machine, interfaces_file, snow_conf, xl_library = map(
    import_module, ("machine", "test_interfaces_file", "test_snow_conf", "test_xl_library")
)
machine.widen_path()
T = TypeVar("T")

SECONDS = float(os.environ.get("SNOW_FUZZ_SECONDS", "600")) / 4
"""For each of the four."""
QUIET = settings(max_examples=500, deadline=None, database=None, suppress_health_check=list(HealthCheck))


def for_a_while(strategy: st.SearchStrategy[T], check: Callable[[T], None]) -> None:
    """``check`` with examples, and with others again, until the time is up."""
    end, number = time.monotonic() + SECONDS, time.time_ns()
    while time.monotonic() < end:
        number += 1

        def example(value: T) -> None:
            check(value)

        QUIET(seed(number)(given(strategy)(example)))()


@pytest.mark.timeout(3600)
def test_domain_configs() -> None:
    for_a_while(st.lists(xl_library.PIECES, max_size=30).map("".join), _config)


def _config(text: str) -> None:
    xl_library.test_no_config_is_taken_that_xl_refuses_or_reads_otherwise.hypothesis.inner_test(text)  # type: ignore[attr-defined]


@pytest.mark.timeout(3600)
def test_disks() -> None:
    for_a_while(st.lists(xl_library.WORDS, max_size=9).map(",".join), _disk)


def _disk(spec: str) -> None:
    xl_library.test_no_disk_is_taken_that_xl_refuses_or_reads_otherwise.hypothesis.inner_test(spec)  # type: ignore[attr-defined]


LINES = st.sampled_from([*snow_conf.COMMANDS, "X=5\n", "Y=$X\n", "X=$Y\n", 'X="$X $Y"\n', "X=( $Y )\n", "unset Y\n"])


@pytest.mark.timeout(3600)
def test_snow_conf(tmp_path: Path) -> None:
    def same(text: str) -> None:
        conf = parse(text, where="snow.conf")
        for name in ("X", "Y"):
            try:
                value = conf.array(name, ())
            except InputError:
                continue
            try:
                said = snow_conf._bash_says(text, name, tmp_path)
            except subprocess.CalledProcessError:
                continue  # bash itself gives up with such a file
            assert [str(len(value)), *value] == said, name

    for_a_while(st.lists(LINES, max_size=8).map("".join), same)


ROUTE = "    up ip route add 10.9.0.0/16"
OPTIONS = st.sampled_from(
    ["    mtu 9000\n", f"{ROUTE} dev ens3\n", "    # x\n", "    up ethtool -K $IFACE tso off\n", "\n", "    metric 5\n"]
    + ["    hwaddress ether 02:00:00:00:00:02\n", f"{ROUTE} \\\n dev ens3\n", "    x y\n"]
)
STARTS = st.sampled_from(
    ["auto ens3\n", "auto ens3 ens4\n", "allow-hotplug ens3\n", "auto ens3:1\n", "auto ens4\n", "source /x/*\n"]
)
STANZAS = st.sampled_from(
    ["iface ens3 inet6 auto\n", "iface ens3:1 inet static\n    address 10.7.0.2/24\n"]
    + ["iface ens3 inet static\n    address 10.8.0.2/24\n", "iface ens4 inet static\n    address 10.0.0.2/24\n"]
    + ["iface ens3.5 inet manual\n    vlan-raw-device ens3\n"]
)
BLOCKS = st.one_of(STARTS, st.tuples(STANZAS, st.lists(OPTIONS, max_size=3).map("".join)).map("".join))


@pytest.mark.timeout(3600)
def test_interfaces_file() -> None:
    first = "iface ens3 inet static\n    address 192.168.8.2/24\n"

    def same(blocks: list[str]) -> None:
        text = first + "".join(blocks)
        try:
            changed = interfaces_file.bridged(text)
        except SiteError:
            return
        before, now = interfaces_file.ifquery(text, "ens3"), interfaces_file.ifquery(changed, "xsnow0")
        addresses = [line for line in before.splitlines() if line.startswith(("address", "netmask"))]
        assert [line for line in now.splitlines() if line.startswith(("address", "netmask"))] == addresses
        assert "bridge_ports: ens3" in now
        assert interfaces_file.ifquery(changed, "ens4") == interfaces_file.ifquery(text, "ens4").replace(
            "dev ens3", "dev xsnow0"
        )
        asked = [interfaces_file.ifquery(text, "--list", word) for word in ("-a", "--allow=hotplug")]
        started = " ".join(asked).split()
        assert ("ens3" in started) == ("xsnow0" in interfaces_file.ifquery(changed, "--list", "-a").split())

    for_a_while(st.lists(BLOCKS, max_size=5), same)
