"""Domains that stand in for each other must not be lost together with one server."""

from __future__ import annotations

from snowha.site.anti_affinity import pairs


def test_domains_that_differ_in_their_number_are_kept_apart() -> None:
    domains = ["deploy01", "slurm02", "slurm01", "slurmdb01", "nis01", "nis02", "login"]
    assert pairs(domains, {}) == (("nis01", "nis02"), ("slurm01", "slurm02"))


def test_a_master_and_its_slave_are_kept_apart_whatever_they_are_called() -> None:
    roles = {"alpha": ["ldap-master"], "beta": ["proxy", "ldap-slave"], "gamma": ["nis-master"]}
    assert pairs(["alpha", "beta", "gamma"], roles) == (("alpha", "beta"),)


def test_one_group_is_said_once() -> None:
    roles = {"slurm01": ["slurmctld-master"], "slurm02": ["slurmctld-slave"]}
    assert pairs(["slurm01", "slurm02", "slurm03"], roles) == (("slurm01", "slurm02", "slurm03"),)
    assert pairs(["slurm01", "slurm02"], roles) == (("slurm01", "slurm02"),)


def test_a_service_of_two_roles_on_one_domain_is_no_group() -> None:
    assert pairs(["a"], {"a": ["x-master", "x-slave"]}) == ()
