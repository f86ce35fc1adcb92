"""What xl says, recorded from Xen 4.20 on Debian 13. Misread, a running domain is taken for one that is off."""

from __future__ import annotations

from snowha.xen.xl import parse_info, parse_list

LIST = """\
Name                                        ID   Mem VCPUs\tState\tTime(s)
Domain-0                                     0  1024     1     r-----     212.2
deploy01                                     1   256     1     ------      51.1
proxy01                                      2    96     1     -b----       9.8
slurm01--incoming                            3    96     1     --p---       0.0
"""
INFO = """\
host                   : snow01
nr_cpus                : 1
max_cpu_id             : 0
xen_version            : 4.20.5-pre
virt_caps              : pv hvm hap gnttab-v1 gnttab-v2
total_memory           : 2559
free_memory            : 961
"""


def test_every_domain_but_the_server_itself_is_seen() -> None:
    found = parse_list(LIST)
    assert set(found) == {"deploy01", "proxy01", "slurm01--incoming"}
    assert found["deploy01"].domid == 1
    assert found["deploy01"].is_alive


def test_debians_xen_migrates_pvh_and_not_pv() -> None:
    able = parse_info(INFO)
    assert able.migrates_pvh
    assert not able.migrates_pv
    assert (able.total_memory, able.free_memory, able.cpus) == (2559, 961, 1)


def test_a_crashed_domain_is_not_alive() -> None:
    row = "deploy01                                     1   256     1     ---sc-      51.1\n"
    assert not parse_list(row)["deploy01"].is_alive
