"""Addresses by sNow!'s rules: a new domain must get what sNow! itself would give it, and nobody else another one."""

from __future__ import annotations

import pytest

from snowha.errors import InputError
from snowha.site import snow_addresses, snow_conf
from snowha.site.model import Vif

CONF = """\
NET_SNOW=( 'xsnow0' '10.1.0.1' '10.1.0.1' '10.1.0.' '255.255.0.0' '' )
NET_PUB=( 'xpub0' '' '' '' '' '' )
"""
DMZ = CONF + "NET_DMZ=( 'xdmz0' '172.16.1.254' '172.16.1.1' '172.16.1.' '255.255.255.0' '-dmz' )\n"
ENTRIES = "# roles\nsnow01       snow\nsnow02       snow\ndeploy01     deploy\nldap01       ldap-master\n"
MASKS = "255.255.0.0         10.1.0.1"
TABLE = (
    "#--------#\n#   hostname    role   vif0    ip_vif0\n"
    "    snow01\t                   snow   eth0         10.1.0.1    xsnow0 76:fd:31:9e:01:01      "
    f"{MASKS}   eth1             none     xpub0 76:fd:31:9e:01:02    \n"
    "    ldap01\t            ldap-master   eth0        10.1.0.14    xsnow0 76:fd:31:9e:04:01      "
    f"{MASKS}   eth1             none     xpub0 76:fd:31:9e:04:02    \n"
)


def conf(text: str = CONF) -> snow_conf.SnowConf:
    return snow_conf.parse(text, where="snow.conf")


@pytest.mark.parametrize(("name", "number", "is_new"), [("snow01", 1, False), ("ldap01", 4, False), ("new01", 5, True)])
def test_the_number_is_that_of_the_line_without_comments(name: str, number: int, is_new: bool) -> None:
    """sNow!'s documentation has this table (mydoc_install_initial_configuration.md)."""
    assert snow_addresses.place(ENTRIES, name) == snow_addresses.Place(number, is_new)
    (vif,) = snow_addresses.by_number(number, conf())
    assert vif == Vif("xsnow0", f"76:fd:31:9e:{number:02d}:01", f"10.1.0.{number}")


def test_a_new_entry_changes_nobodys_number() -> None:
    """An entry in the middle would give every domain behind it another address."""
    after = snow_addresses.with_entry(ENTRIES.removesuffix("\n"), "new01", "minimal")
    assert after == ENTRIES + "new01        minimal\n"
    assert snow_addresses.place(after, "new01") == snow_addresses.Place(5, is_new=False)
    assert snow_addresses.place(f"{ENTRIES}\n", "new01").number == 6, "a blank line has a number to awk"


def test_a_dmz_gives_a_second_card() -> None:
    first, second = snow_addresses.by_number(7, conf(DMZ))
    assert (first.ip, second) == ("10.1.0.7", Vif("xdmz0", "76:fd:31:9e:07:02", "172.16.1.7"))


def test_what_has_no_mac_address_is_refused() -> None:
    """76:fd:31:9e:100:01 is none, and xl would refuse the config."""
    with pytest.raises(InputError, match="number 100"):
        snow_addresses.by_number(100, conf())


def test_the_table_counts_where_it_has_a_row() -> None:
    """An administrator may have changed it: sNow! reads that, and not its rule."""
    assert snow_addresses.in_table(TABLE, "ldap01", where="t") == (Vif("xsnow0", "76:fd:31:9e:04:01", "10.1.0.14"),)
    assert snow_addresses.in_table(TABLE, "new01", where="t") is None
    used = snow_addresses.used_in_table(TABLE, "new01")
    assert used["10.1.0.14"] == "ldap01" and used["76:fd:31:9e:01:02"] == "snow01" and "none" not in used
    with pytest.raises(InputError, match="too few columns") as error:
        snow_addresses.in_table("x y eth0 10.1.0.3", "x", where="t")
    assert error.value.where == "t:1"


@pytest.mark.parametrize(("text", "second"), [(CONF, "none     xpub0"), (DMZ, "172.16.1.5     xdmz0")])
def test_a_new_row_is_written_as_snow_writes_one(text: str, second: str) -> None:
    """It is read by sNow!'s scripts, by the number of its columns."""
    vifs = snow_addresses.by_number(5, conf(text))
    after = snow_addresses.with_row(TABLE, "new01", "minimal", 5, vifs, conf(text))
    assert after.startswith(TABLE) and after.endswith(" \n")
    row = after.removeprefix(TABLE)
    assert row.startswith("       new01\t              minimal   eth0         10.1.0.5    xsnow0 76:fd:31:9e:05:01")
    assert f"{second} 76:fd:31:9e:05:02" in row
    assert snow_addresses.in_table(after, "new01", where="t") == vifs


@pytest.mark.parametrize("word", ["dhcp", "DHCP"])
def test_a_card_that_asks_dhcp_has_no_address_that_is_anybodys(word: str) -> None:
    """sNow! hands the word on to xen-create-image, or into the config: `snow add domain` refused the row as no IP address."""
    row = f"a01 login eth0 {word} xsnow0 76:fd:31:9e:05:01 {MASKS} eth1 {word} xdmz0 76:fd:31:9e:05:02 {MASKS}\n"
    assert snow_addresses.in_table(row, "a01", where="t") == (
        Vif("xsnow0", "76:fd:31:9e:05:01", "dhcp"),
        Vif("xdmz0", "76:fd:31:9e:05:02", "dhcp"),
    )
    used = snow_addresses.used_in_table(row, "new01")
    assert sorted(used) == ["76:fd:31:9e:05:01", "76:fd:31:9e:05:02"], "no second domain could ask DHCP"
    for wrong in ("dhcpd", "auto", "none"):
        with pytest.raises(InputError, match="not an IP address"):
            snow_addresses.in_table(row.replace(f"eth0 {word}", f"eth0 {wrong}"), "a01", where="t")
