"""If these fail, a name or path from a file reaches a shell, an XML id or another place than the one meant."""

from __future__ import annotations

import pytest

from snowha.errors import InputError
from snowha.site import names
from snowha.site.names import check_address, check_domain_name, check_path, check_server_name


@pytest.mark.parametrize(
    "name", ["deploy01", "a", "slurm-ctl-01", "LDAP01", "x" * 63, "01a", "a.b", "a_b", "web_01.example.org", "a_"]
)
def test_names_that_sites_use_are_accepted(name: str) -> None:
    assert check_domain_name(name, where="x.cfg:1") == name


@pytest.mark.parametrize(
    "name",
    [
        "",
        ".",
        "..",
        "a;reboot",
        "../../etc",
        "-rf",
        "a-",
        "a\n",
        "a b",
        "a.",
        ".a",
        "_a",
        "a/b",
        "$(id)",
        "ä",
        "x" * 64,
        "a\x00",
    ],
)
def test_a_name_that_could_become_more_than_a_name_is_refused_with_its_place(name: str) -> None:
    for check in (check_domain_name, check_server_name):
        with pytest.raises(InputError) as caught:
            check(name, where="x.cfg:7")
        assert caught.value.where == "x.cfg:7"
        assert caught.value.remedy


@pytest.mark.parametrize("name", ["17", "Domain-0", "deploy01--incoming", "deploy01--migratedaway"])
def test_a_name_that_xl_takes_for_another_domain_is_refused(name: str) -> None:
    with pytest.raises(InputError):
        check_domain_name(name, where="x.cfg:1")


def test_a_message_cannot_draw_on_the_terminal() -> None:
    with pytest.raises(InputError) as caught:
        check_domain_name("\x1b[2J\nroot", where="x.cfg:1")
    assert "\x1b" not in str(caught.value)
    assert "\nroot" not in str(caught.value)


@pytest.mark.parametrize("path", ["/", "/sNow/domains/a-b/a-b_disk.img", "/dev/snow_vg/x+y", "/boot/vmlinuz-6.1.0-1~x"])
def test_paths_that_sites_use_are_accepted(path: str) -> None:
    assert check_path(path, where="x:1") == path


@pytest.mark.parametrize(
    "path", ["", "a/b", "/a/../b", "/..", "/a,w", "/a b", "/a'b", '/a"b', "/a\nb", "/a;b", "/$HOME", "/a`b", "/ä"]
)
def test_a_path_that_xl_or_a_shell_would_read_differently_is_refused(path: str) -> None:
    with pytest.raises(InputError):
        check_path(path, where="x:1")


@pytest.mark.parametrize("address", ["192.168.8.1", "fd00::1", "snow01", "bmc.snow01.example.org"])
def test_addresses_are_accepted(address: str) -> None:
    assert check_address(address, where="x:1") == address


@pytest.mark.parametrize("address", ["", "192.168.8.300", "1.2.3", "-oProxyCommand=x", "a b", "a..b", "fe80::1%eth0"])
def test_a_mistyped_address_is_not_taken_for_a_host_name(address: str) -> None:
    with pytest.raises(InputError):
        check_address(address, where="x:1")


def test_a_list_in_a_sentence_is_one_that_can_be_read_aloud() -> None:
    """`snow01 and snow02 does not answer` was what a user read at night."""
    assert [names.listed(words) for words in ((), ("a",), ("a", "b"), ("a", "b", "c"))] == [
        "",
        "a",
        "a and b",
        "a, b and c",
    ]
    assert names.listed({"a": 1, "b": 2}, "or") == "a or b"
    assert names.agreed(["snow01"], "does", "do") == "snow01 does"
    assert names.agreed(["snow01", "snow02"], "does", "do") == "snow01 and snow02 do"


def test_of_many_names_only_some_are_told() -> None:
    """With 200 domains the message scrolled off the screen, and what was wrong with it."""
    assert [names.there_are(words) for words in ((), ("a",), ("a", "b"))] == [
        "there is none",
        "there is a",
        "there are a, b",
    ]
    assert names.there_are(["a", "b", "c", "d"], most=2) == "there are a, b and 2 more"
