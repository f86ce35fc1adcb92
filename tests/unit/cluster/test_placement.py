"""Placement: a pair lost together, a server too full, or domains moved for nothing."""

from __future__ import annotations

from dataclasses import replace

from cluster_sites import domain, site
from hypothesis import given
from hypothesis import strategies as st

from snowha.cluster.placement import colocated, fits_after_loss, needed_mib, spread
from snowha.site.model import Domain

SERVERS = ("snow01", "snow02", "snow03")
_memory = st.sampled_from([128, 256, 512, 1024, 4096])


@st.composite
def sites(draw: st.DrawFn) -> tuple[list[Domain], tuple[str, ...], list[tuple[str, ...]], dict[str, str]]:
    domains = [domain(f"d{n}", draw(_memory)) for n in range(draw(st.integers(0, 9)))]
    servers = SERVERS[: draw(st.integers(1, 3))]
    names = [each.name for each in domains]
    group = st.lists(st.sampled_from(names), min_size=2, max_size=2, unique=True) if len(names) > 1 else st.just([])
    apart = [tuple(pair) for pair in draw(st.lists(group, max_size=2))]
    where = st.dictionaries(st.sampled_from(names), st.sampled_from(servers)) if names else st.just({})
    return domains, servers, apart, draw(where)


def test_the_lab_is_spread_two_and_two_with_the_pair_apart() -> None:
    here = site()
    found = spread(here.domains, ["snow01", "snow02"], here.apart)
    assert sorted(found.values()) == ["snow01", "snow01", "snow02", "snow02"]
    assert not colocated(found, here.apart)


def test_memory_counts_not_the_number_of_domains() -> None:
    found = spread([domain("big", 4096), domain("a"), domain("b"), domain("c")], ["snow01", "snow02"])
    assert {found[name] for name in "abc"} == {"snow02" if found["big"] == "snow01" else "snow01"}


def test_a_server_with_twice_the_memory_takes_twice_as_much() -> None:
    domains = [domain(f"d{n}", 1024) for n in range(6)]
    found = spread(domains, ["snow01", "snow02"], memory={"snow01": 16384, "snow02": 8192})
    assert list(found.values()).count("snow01") == 4


def test_what_is_balanced_is_left_alone() -> None:
    """Every move is a risk; a second run must find nothing to do."""
    current = {"deploy01": "snow02", "proxy01": "snow02", "slurm01": "snow01", "slurm02": "snow01"}
    here = site()
    assert spread(here.domains, ["snow01", "snow02"], current=current) == current


def test_everything_on_one_server_is_spread_with_as_few_moves_as_can_be() -> None:
    here = site()
    current = dict.fromkeys((each.name for each in here.domains), "snow01")
    found = spread(here.domains, ["snow01", "snow02"], here.apart, current=current)
    assert sum(found[name] != "snow01" for name in found) == 2
    assert not colocated(found, here.apart)


def test_of_moves_that_even_out_alike_the_one_with_less_memory_is_made() -> None:
    """Every MiB takes its time on the wire; a server with a MiB more than the other is no reason for more of them."""
    domains = [domain("deploy01", 192), domain("proxy01", 80), domain("slurm01", 80), domain("slurm02", 80)]
    current = dict.fromkeys(("deploy01", "proxy01", "slurm01", "slurm02"), "snow02")
    for room in ({"snow01": 1536, "snow02": 1535}, {"snow01": 1535, "snow02": 1536}):
        found = spread(domains, ["snow01", "snow02"], [("slurm01", "slurm02")], memory=room, current=current)
        assert found["deploy01"] == "snow02"
        assert list(found.values()).count("snow01") == 2


def test_a_pair_that_is_together_is_parted_with_one_move() -> None:
    here = site()
    current = {"deploy01": "snow01", "proxy01": "snow02", "slurm01": "snow01", "slurm02": "snow01"}
    found = spread(here.domains, ["snow01", "snow02"], here.apart, current=current)
    assert {name for name in found if found[name] != current[name]} <= {"slurm01", "slurm02"}
    assert not colocated(found, here.apart)


def test_a_full_server_exchanges_domains_to_part_a_pair() -> None:
    current = {"m1": "snow01", "m2": "snow01", "x": "snow02", "y": "snow02"}
    domains = [domain(name, 1000) for name in current]
    room = {"snow01": 2 * needed_mib(domains[0]), "snow02": 2 * needed_mib(domains[0])}
    found = spread(domains, ["snow01", "snow02"], [("m1", "m2")], memory=room, current=current)
    assert not colocated(found, [("m1", "m2")])
    assert sorted(found.values()) == ["snow01", "snow01", "snow02", "snow02"]


def test_on_one_server_everything_runs_pairs_too() -> None:
    here = site()
    assert set(spread(here.domains, ["snow01"], here.apart).values()) == {"snow01"}


@given(sites())
def test_every_domain_has_a_server_and_a_second_run_moves_nothing(
    drawn: tuple[list[Domain], tuple[str, ...], list[tuple[str, ...]], dict[str, str]],
) -> None:
    domains, servers, apart, current = drawn
    found = spread(domains, servers, apart, current=current)
    assert set(found) == {each.name for each in domains}
    assert set(found.values()) <= set(servers)
    assert spread(reversed(domains), servers, apart, current=current) == found
    assert spread(domains, servers, apart, current=found) == found


@given(sites())
def test_no_domain_is_moved_into_a_worse_place(
    drawn: tuple[list[Domain], tuple[str, ...], list[tuple[str, ...]], dict[str, str]],
) -> None:
    domains, servers, apart, _ = drawn
    before = spread(domains, servers)
    after = spread(domains, servers, apart, current=before)
    assert len(colocated(after, apart)) <= len(colocated(before, apart))


def test_a_loss_that_the_rest_cannot_hold_is_foretold() -> None:
    """Else it is found out when a server is lost, by the domains that stay down."""
    domains = [domain("a", 1024), domain("b", 1024)]
    where = {"a": "snow01", "b": "snow02"}
    assert fits_after_loss(domains, where, {"snow01": 4096, "snow02": 4096}) == ()
    findings = fits_after_loss(domains, where, {"snow01": 4096, "snow02": 1500})
    assert [(finding.where, finding.code) for finding in findings] == [("snow01", "no-room-after-loss")]
    assert "a (" in findings[0].message


def test_what_the_hypervisor_adds_is_counted() -> None:
    assert needed_mib(domain("a", 1024)) == 1024 + 1 + 8


def test_paging_memory_is_counted_for_what_a_domain_may_have() -> None:
    """With a maxmem of 64 GiB it is half a GiB: the domain would not start on the server that it was planned for."""
    assert needed_mib(replace(domain("a", 1024), maxmem_mib=65536)) == 1024 + 1 + 512
    assert needed_mib(replace(domain("a", 1024), maxmem_mib=512)) == 1024 + 1 + 8


def test_paging_memory_is_counted_for_the_vcpus_that_a_domain_may_have() -> None:
    """1 MiB for each of its maxvcpus: of a domain with 128 of them 126 MiB were missing."""
    assert needed_mib(replace(domain("a", 1024), max_vcpus=128)) == 1024 + 128 + 8
