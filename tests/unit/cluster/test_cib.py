"""The CIB: what is wrong in it costs a domain, or its data."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from cluster_sites import composed, domain, fresh_cib, options, site
from lxml import etree

from snowha.cluster import cib, cib_merge
from snowha.errors import InputError, SiteError
from snowha.site.model import Alerts, Site
from snowha.xen import alert_agent

OUR_CIB = cib.merge(fresh_cib(site()), composed(site()))


def values(text: bytes, path: str) -> dict[str, str]:
    return {pair.get("name", ""): pair.get("value", "") for pair in etree.fromstring(text).iterfind(f"{path}/nvpair")}


def parameters(text: bytes, resource: str, tag: str = "instance_attributes") -> dict[str, str]:
    return values(text, f".//primitive[@id='{resource}']/{tag}")


def test_nothing_runs_without_fencing_and_quorum() -> None:
    """The guide's stonith-enabled=no and no-quorum-policy=ignore let two servers write one image."""
    properties = values(composed(site()), "crm_config/*")
    assert properties["stonith-enabled"] == "true"
    assert properties["no-quorum-policy"] == "stop"


def test_a_start_that_fails_is_never_final() -> None:
    """A dead server's hold on an image outlives two starts; the guide's domain never came back."""
    text = composed(site())
    assert values(text, "crm_config/*")["start-failure-is-fatal"] == "false"
    defaults = values(text, "rsc_defaults/*")
    assert int(defaults["migration-threshold"]) > 3
    assert defaults["failure-timeout"] == "300s"


def test_a_domain_is_found_by_its_name_and_its_config() -> None:
    assert parameters(composed(site()), "deploy01") == {
        "xmfile": "/sNow/snow-tools/etc/domains/deploy01.cfg",
        "name": "deploy01",
    }


def test_only_domains_that_can_are_live_migrated() -> None:
    """A PV domain told to live-migrate would fail to, and be restarted."""
    text = composed(site())
    assert parameters(text, "deploy01", "meta_attributes") == {"allow-migrate": "true"}
    assert parameters(text, "proxy01", "meta_attributes") == {}
    assert b"proxy01.migrate_to" not in text


def test_more_memory_is_given_more_time_to_migrate() -> None:
    big = replace(site(names=("deploy01",)), domains=(domain("deploy01", 65536),))
    (op,) = etree.fromstring(composed(big)).iterfind(".//op[@id='deploy01.migrate_to']")
    assert int(op.get("timeout", "").removesuffix("s")) > 3600


def test_the_password_is_behind_a_script() -> None:
    fence = parameters(composed(site()), "fence-snow02")
    assert fence["password_script"] == "/etc/snow-ha/fence/snow02"
    assert fence["pcmk_host_list"] == "snow02"
    assert not {"password", "passwd"} & set(fence)


def test_a_fence_is_given_up_by_pacemaker_alone_and_tried_again() -> None:
    """The agent's own limits make a success of a reboot whose "on" was never read back, whatever the BMC said before."""
    fence = parameters(composed(site()), "fence-snow02")
    assert fence["disable_timeout"] == "1"
    assert fence["pcmk_reboot_timeout"] == fence["pcmk_off_timeout"] == "180s"
    assert not {"power_timeout", "shell_timeout", "login_timeout"} & set(fence)
    properties = values(composed(site()), "crm_config/*")
    assert properties["stonith-timeout"] == "180s"
    assert properties["cluster-recheck-interval"] == "120s"


def test_a_bmc_that_takes_20_s_for_an_answer_is_heard() -> None:
    """ipmitool asks four times, each time a second more patient."""
    patience = int(parameters(composed(site()), "fence-snow02")["ipmitool_timeout"])
    assert sum(range(patience, patience + 4)) >= 30


def test_no_server_fences_itself() -> None:
    locations = {
        (element.get("rsc"), element.get("node")): element.get("score")
        for element in etree.fromstring(composed(site())).iterfind("constraints/rsc_location")
    }
    assert locations["fence-snow01", "snow01"] == "-INFINITY"
    assert locations["fence-snow02", "snow02"] == "-INFINITY"


def test_of_two_servers_one_has_a_head_start_and_the_loss_of_the_other_waits_for_nothing() -> None:
    """Without it a cut network makes both fence each other, and the whole site is down."""
    text = composed(site(2))
    assert parameters(text, "fence-snow01")["pcmk_delay_base"] == "snow01:10s"
    assert "pcmk_delay_base" not in parameters(text, "fence-snow02")
    assert b"pcmk_delay" not in composed(site(3))
    assert b"priority-fencing-delay" not in text


def test_preferences_are_finite_and_weaker_than_staying() -> None:
    """INFINITY would bring domains back onto a half-broken server, and forbid the last server left."""
    scores = [
        int(element.get("score", ""))
        for element in etree.fromstring(composed(site())).iterfind("constraints/*")
        if not element.get("id", "").startswith("snow-fence-")
    ]
    assert len(scores) == 5
    assert max(scores) - min(scores) < cib.STICKINESS


def test_the_floating_ip_is_the_guides() -> None:
    assert parameters(composed(site()), "xsnow-vip") == {"ip": "192.168.8.254", "cidr_netmask": "24", "nic": "xsnow0"}


@pytest.mark.parametrize("name", ["fence-snow01", "xsnow-vip", "1node", "cib-bootstrap-options"])
def test_a_name_that_cannot_be_a_resource_is_refused(name: str) -> None:
    here = site(names=(name,))
    with pytest.raises(InputError) as caught:
        cib.compose(here, {}, options=options(here))
    assert caught.value.where.endswith(f"{name}.cfg")


def test_a_server_that_cannot_be_fenced_is_refused() -> None:
    here = site()
    here = replace(here, servers=(here.servers[0], replace(here.servers[1], fence=None)))
    with pytest.raises(InputError, match="snow02 has no fence device"):
        cib.compose(here, {}, options=options(here))


def test_every_id_is_there_once() -> None:
    ids = [element.get("id") for element in etree.fromstring(OUR_CIB).iterfind(".//*[@id]") if element.tag != "node"]
    assert len(ids) == len(set(ids))


@pytest.mark.parametrize(
    "names",
    [
        ("a", "a.params", "a.meta", "a.operations", "a.monitor", "a.params.name"),
        ("x-on-snow02", "x", "snow-properties", "snow-rsc-defaults"),
        ("web.example", "web_example", "fence-snow01.params", "xsnow-vip.params"),
    ],
)
def test_names_with_any_sign_have_ids_of_their_own(names: tuple[str, ...]) -> None:
    """The cluster would refuse its whole configuration."""
    here = replace(site(3, names), apart=(("a-b", "c"), ("a", "b-c"), ("a.b", "c")))
    where = dict.fromkeys(names, "snow02")
    wanted = cib.compose(here, where, options=replace(options(here), live_migration=frozenset(names)))
    merged = cib.merge(fresh_cib(here), wanted)
    ids = [element.get("id") for element in etree.fromstring(merged).iterfind(".//*[@id]") if element.tag != "node"]
    assert len(ids) == len(set(ids))
    assert cib.differs(merged, wanted) == ()
    assert set(names) <= {element.get("id") for element in etree.fromstring(merged).iter("primitive")}
    assert cib.merge(merged, wanted) == merged


@pytest.mark.parametrize("score", ["10", "INFINITY", "1000000000"])
def test_a_set_with_a_higher_score_is_what_counts(score: str) -> None:
    """It switches fencing off although ours says on: Pacemaker takes the highest score first."""
    for place in ("<crm_config>", "</crm_config>"):
        other = (
            f'<cluster_property_set id="mine" score="{score}"><nvpair id="m" name="stonith-enabled" value="false"/>'
            "</cluster_property_set>"
        )
        text = OUR_CIB.decode().replace(place, place + other if place[1] != "/" else other + place).encode()
        assert cib.differs(text, composed(site())) == ("property stonith-enabled: false, wanted true",)
        assert cib.differs(cib.merge(text, composed(site())), composed(site())) == ()


def test_a_set_with_a_lower_score_does_not_count() -> None:
    other = '<cluster_property_set id="m" score="-5"><nvpair id="n" name="stonith-enabled" value="no"/></cluster_property_set>'
    text = OUR_CIB.decode().replace("<crm_config>", "<crm_config>" + other).encode()
    assert cib.differs(text, composed(site())) == ()


def test_what_is_the_clusters_own_stays() -> None:
    """Epoch, nodes and status thrown away: the CIB would be refused, or servers forgotten."""
    root = etree.fromstring(OUR_CIB)
    assert (root.get("epoch"), root.get("num_updates")) == ("5", "7")
    assert [node.get("uname") for node in root.iterfind("configuration/nodes/node")] == ["snow01", "snow02"]
    assert values(OUR_CIB, "configuration/crm_config/*")["cluster-name"] == "snow"


def test_once_merged_nothing_differs_and_a_second_merge_changes_nothing() -> None:
    assert cib.differs(OUR_CIB, composed(site())) == ()
    assert cib.merge(OUR_CIB, composed(site())) == OUR_CIB


def test_remarks_in_a_configuration_are_no_resources_and_stay() -> None:
    """Pacemaker keeps comments; a run ended with a traceback over one among the constraints."""
    opening = rb"<(crm_config|resources|constraints|primitive\b[^>]*)>"
    remarked, count = re.subn(opening, rb"<\1><!-- by hand -->", OUR_CIB)
    assert count > 3
    assert cib.differs(remarked, composed(site())) == () and not cib.foreign(remarked)
    assert cib.merge(remarked, composed(site())).count(b"by hand") >= 2
    assert cib_merge.changes_agent(remarked, composed(site())) == []


def test_an_empty_cluster_differs_in_everything() -> None:
    lines = cib.differs(fresh_cib(site()), composed(site()))
    assert "deploy01: missing, wanted ocf:snow-ha:domain" in lines
    assert "property stonith-enabled: not set, wanted true" in lines


@pytest.mark.parametrize(
    ("old", "new", "line"),
    [
        ("deploy01.cfg", "other.cfg", "deploy01: parameter xmfile: /sNow/snow-tools/etc/domains/other.cfg, wanted"),
        ('value="stop"', 'value="ignore"', "property no-quorum-policy: ignore, wanted stop"),
        ('score="25"', 'score="INFINITY"', "snow-place-deploy01-on-snow02: rsc_location"),
        ('interval="30s"', 'interval="40s"', "xsnow-vip: operation monitor: interval=40s timeout=60s, wanted"),
        ('type="domain"', 'type="Dummy"', "deploy01: is ocf:snow-ha:Dummy, wanted ocf:snow-ha:domain"),
    ],
)
def test_a_change_made_by_hand_is_told(old: str, new: str, line: str) -> None:
    lines = cib.differs(OUR_CIB.decode().replace(old, new).encode(), composed(site()))
    assert any(found.startswith(line) for found in lines), lines


def test_order_and_ids_do_not_count() -> None:
    """crm and pcs write their own; a difference that is none would be committed again and again."""
    root = etree.fromstring(OUR_CIB)
    for element in root.iterfind(".//nvpair"):
        element.set("id", f"x{element.get('id')}")
    for element in [*root.iterfind("configuration/*"), *root.iterfind(".//instance_attributes")]:
        element.extend(reversed(list(element)))
    assert cib.differs(etree.tostring(root), composed(site())) == ()


def test_a_domain_stopped_by_its_administrator_stays_so() -> None:
    """`crm resource stop` writes target-role: taking it away would start a domain that somebody stopped on purpose."""
    meta = '<meta_attributes id="m"><nvpair id="m-t" name="target-role" value="Stopped"/></meta_attributes>'
    stopped = (
        OUR_CIB.decode().replace("</primitive>\n    </resources>", f"{meta}</primitive>\n    </resources>").encode()
    )
    assert stopped != OUR_CIB
    assert cib.differs(stopped, composed(site())) == ()
    assert parameters(cib.merge(stopped, composed(site())), "slurm02", "meta_attributes") == {"target-role": "Stopped"}


def test_a_property_of_ours_set_elsewhere_does_not_win() -> None:
    """The set named cib-bootstrap-options comes before any other in Pacemaker."""
    pair = '<nvpair id="b-s" name="stonith-enabled" value="false"/></cluster_property_set>'
    changed = OUR_CIB.decode().replace("</cluster_property_set>", pair, 1).encode()
    assert cib.differs(changed, composed(site())) == ("property stonith-enabled: false, wanted true",)
    assert cib.merge(changed, composed(site())) == OUR_CIB


def test_a_domain_that_left_the_site_is_told_and_taken_out() -> None:
    smaller = site(names=("deploy01", "proxy01"))
    assert "slurm01: present, no longer wanted" in cib.differs(OUR_CIB, composed(smaller))
    assert b"slurm01" not in cib.merge(OUR_CIB, composed(smaller))


def test_somebody_elses_resources_are_left_alone() -> None:
    """A cluster with a database in it must not lose it to `snow ha apply`."""
    theirs = '<resources><primitive id="db" class="ocf" provider="heartbeat" type="pgsql"/></resources>'
    foreign = fresh_cib(site()).decode().replace("<resources/>", theirs).encode()
    assert [finding.severity for finding in cib.foreign(foreign)] == ["stop"]
    with pytest.raises(SiteError, match="db \\(ocf:heartbeat:pgsql\\)"):
        cib.merge(foreign, composed(site()))


def test_levels_of_fence_devices_that_are_gone_are_no_fencing() -> None:
    """Pacemaker asks the devices of a server's levels alone: with those of an earlier setup left, no server would be fenced."""
    level = '<fencing-topology><fencing-level id="l1" target="snow02" index="1" devices="{}"/></fencing-topology></configuration>'
    old = OUR_CIB.decode().replace("</configuration>", level.format("ipmi-snow02, pdu")).encode()
    (finding,) = cib.foreign(old)
    assert finding.severity == "stop" and "l1 (ipmi-snow02, pdu)" in finding.message
    with pytest.raises(SiteError, match="levels"):
        cib.merge(old, composed(site()))
    own = OUR_CIB.decode().replace("</configuration>", level.format("fence-snow02")).encode()
    assert not cib.foreign(own) and b"fence-snow02" in cib.merge(own, composed(site()))


def test_what_a_move_by_hand_left_is_found_and_kept() -> None:
    left = '<rsc_location id="cli-prefer-deploy01" rsc="deploy01" node="snow02" score="INFINITY"/></constraints>'
    changed = OUR_CIB.decode().replace("</constraints>", left).encode()
    (finding,) = cib.foreign(changed)
    assert (finding.code, finding.severity) == ("cib-leftover-move", "warn")
    assert b"cli-prefer-deploy01" in cib.merge(changed, composed(site()))


@pytest.mark.parametrize("text", [b"", b"Call failed: Not connected", b"<cib/>", b"<html/>"])
def test_what_is_no_cib_is_not_an_empty_one(text: bytes) -> None:
    with pytest.raises(SiteError):
        cib.differs(text, composed(site()))
    with pytest.raises(SiteError):
        cib.merge(text, composed(site()))


# domains that get another resource agent while they run

STOCK = OUR_CIB.decode().replace('provider="snow-ha" type="domain"', 'provider="heartbeat" type="Xen"').encode()
"""A cluster of before our own agent, on which every domain runs."""


def ids(text: bytes) -> list[str]:
    return [element.get("id", "") for element in etree.fromstring(text).iterfind(".//*[@id]") if element.tag != "node"]


def deleted(text: bytes) -> bytes:
    """What `crm_attribute --name=maintenance-mode --delete --set-name=snow-take-over` leaves: the pair is gone, the set stays."""
    root = etree.fromstring(text)
    for pair in root.iterfind(f".//*[@id='{cib_merge.TAKE_OVER}']/nvpair"):
        pair.getparent().remove(pair)  # type: ignore[union-attr]
    return etree.tostring(root)


def test_a_domain_with_another_agent_is_seen_before_it_is_replaced() -> None:
    """To Pacemaker another agent is another resource: it would stop every domain of the site, and start it again."""
    assert b'provider="heartbeat" type="Xen"' in STOCK
    assert cib_merge.changes_agent(STOCK, composed(site())) == ["deploy01", "proxy01", "slurm01", "slurm02"]
    assert cib_merge.changes_agent(OUR_CIB, composed(site())) == []
    assert cib_merge.changes_agent(fresh_cib(site()), composed(site())) == []


def test_what_is_not_ours_is_not_taken_over() -> None:
    """Pacemaker would be told to leave everything alone for a resource that is not touched."""
    theirs = STOCK.replace(cib_merge.MARK.encode(), b"of somebody else")
    assert cib_merge.changes_agent(theirs, composed(site())) == []


def test_everything_is_left_alone_while_agents_are_replaced_and_only_then() -> None:
    merged = cib.merge(STOCK, composed(site()))
    suspended = cib_merge.suspended(merged)
    assert values(suspended, f".//*[@id='{cib_merge.TAKE_OVER}']") == {"maintenance-mode": "true"}
    assert (cib_merge.is_suspended(merged), cib_merge.is_suspended(suspended)) == (False, True)
    assert not cib_merge.is_suspended(deleted(suspended))
    assert cib.differs(suspended, composed(site())) == cib.differs(merged, composed(site())) == ()
    assert len(ids(suspended)) == len(set(ids(suspended)))


def test_ours_is_the_maintenance_that_counts() -> None:
    """Of several sets Pacemaker takes the one with the highest score: a "false" from before would have every domain stopped."""
    before = '<nvpair id="b-m" name="maintenance-mode" value="false"/></cluster_property_set>'
    merged = cib.merge(STOCK.decode().replace("</cluster_property_set>", before, 1).encode(), composed(site()))
    scores = {
        element.get("id"): int(element.get("score", "0"))
        for element in etree.fromstring(cib_merge.suspended(merged)).iterfind("configuration/crm_config/*")
    }
    assert max(scores, key=lambda name: scores[name]) == cib_merge.TAKE_OVER


def test_a_maintenance_of_an_administrator_is_not_ours_to_end() -> None:
    """He set it to work on a server; a second run of ours would take it away, and Pacemaker act."""
    pair = '<nvpair id="b-m" name="maintenance-mode" value="true"/></cluster_property_set>'
    his = OUR_CIB.decode().replace("</cluster_property_set>", pair, 1).encode()
    assert not cib_merge.is_suspended(his)


def test_agents_can_be_replaced_a_second_time() -> None:
    """Forth, back with `snow ha undo`, and forth: crm_attribute leaves an empty set, and two of one id are no valid CIB."""
    once = deleted(cib_merge.suspended(cib.merge(STOCK, composed(site()))))
    again = cib_merge.suspended(cib.merge(once, composed(site())))
    assert cib_merge.is_suspended(again)
    assert len(ids(again)) == len(set(ids(again)))
    assert ids(cib_merge.suspended(again)) == ids(again)


# alerts


def told(mail: str = "admins@example.org", command: str = "/usr/local/sbin/page-us") -> Site:
    return replace(site(), alerts=Alerts(mail, command))


def test_an_alert_for_each_recipient_with_a_time_limit_and_no_secret() -> None:
    (alert,) = etree.fromstring(composed(told())).iterfind("alerts/alert")
    assert alert.get("path") == alert_agent.PATH
    assert [one.get("value") for one in alert.iterfind("recipient")] == [
        "admins@example.org",
        "/usr/local/sbin/page-us",
    ]
    assert {str(one.tag) for one in alert.iterfind("select/*")} == {
        "select_nodes",
        "select_fencing",
        "select_resources",
    }
    assert parameters_of(alert) == {
        "SNOW_CLUSTER": "snow",
        "timeout": "30s",
        "timestamp-format": "%Y-%m-%d %H:%M:%S %z",
    }


def parameters_of(element: etree._Element) -> dict[str, str]:
    return {pair.get("name", ""): pair.get("value", "") for pair in element.iter("nvpair")}


def test_an_alert_is_added_changed_and_removed_and_another_ones_stays() -> None:
    root = etree.fromstring(OUR_CIB)
    configuration = root.find("configuration")
    assert configuration is not None
    theirs = '<alerts><alert id="theirs" path="/usr/local/bin/theirs"/></alerts>'
    configuration.append(etree.fromstring(theirs))
    current = etree.tostring(root)
    assert cib.differs(current, composed(site())) == ()
    for wanted in (told(), told(mail="root"), told(mail="", command="/opt/page"), site()):
        (said,) = cib.differs(current, composed(wanted))
        assert said.startswith("alerts: ")
        current = cib.merge(current, composed(wanted))
        assert cib.differs(current, composed(wanted)) == ()
        assert b'path="/usr/local/bin/theirs"' in current
    assert alert_agent.PATH.encode() not in current
