"""corosync.conf: what is lost when it is wrong is the cluster itself, or the secrecy of who belongs to it."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from cluster_sites import site
from hypothesis import given, settings
from hypothesis import strategies as st

from snowha.cluster.corosync_conf import Section, compose, facts, parse, render, rules
from snowha.errors import InputError

GUIDE = """\
totem {
        version: 2
        cluster_name: snow
        token: 3000
        token_retransmits_before_loss_const: 10
        clear_node_high_bit: yes
        interface {
                ringnumber: 0
                bindnetaddr: 192.168.8.0
                mcastport: 5405
                ttl: 1
        }
}
logging {
        to_syslog: yes
        logger_subsys {
                subsys: QUORUM
                debug: off
        }
}
quorum {
        provider: corosync_votequorum
        expected_votes: 2
        two_node: 1
        wait_for_all: 1
}
# the servers
nodelist {
    node {
        ring0_addr: snow01
        nodeid: 1
    }
    node {
        ring0_addr: snow02
        nodeid: 2
    }
}
"""

_word = st.from_regex(r"[a-z_][a-z0-9_.]{0,12}", fullmatch=True)
_value = st.from_regex(r"[A-Za-z0-9./:_ -]{0,20}", fullmatch=True).map(str.strip)
_settings = st.lists(st.tuples(_word, _value), max_size=4).map(tuple)
_sections = st.recursive(
    st.builds(Section, _word, _settings),
    lambda inner: st.builds(Section, _word, _settings, st.lists(inner, max_size=3).map(tuple)),
    max_leaves=8,
)


def test_two_servers_go_on_alone_encrypted_over_both_links() -> None:
    found = facts(parse(compose(site(2))))
    assert (found.cluster_name, found.transport, found.links, found.encrypted) == ("snow", "knet", 2, True)
    assert found.two_node
    assert [(node.name, node.nodeid, node.addresses) for node in found.nodes] == [
        ("snow01", 1, ("192.168.8.1", "10.0.0.1")),
        ("snow02", 2, ("192.168.8.2", "10.0.0.2")),
    ]


def test_a_server_that_comes_up_alone_waits_for_the_other() -> None:
    assert parse(compose(site(2))).one("quorum").get("wait_for_all") == "1"


def test_three_servers_decide_by_majority() -> None:
    """two_node with three servers would let a minority of one go on."""
    quorum = parse(compose(site(3))).one("quorum")
    assert dict(quorum.settings) == {"provider": "corosync_votequorum"}


def test_every_link_has_its_interface() -> None:
    totem = parse(compose(site(2, links=1))).one("totem")
    assert [inner.get("linknumber") for inner in totem.named("interface")] == ["0"]


def test_nothing_is_wrong_with_what_we_write() -> None:
    assert rules(parse(compose(site(2))), site(2)) == ()
    assert rules(parse(compose(site(3))), site(3)) == ()


def test_the_guides_configuration_is_found_out() -> None:
    """It looks complete, and everybody on the network can speak for a server."""
    assert {finding.code for finding in rules(parse(GUIDE), site())} == {"corosync-unencrypted", "corosync-one-link"}


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (("version: 2", "version: 2\n transport: udpu"), "corosync-transport"),
        (("ring0_addr: snow02", "ring0_addr: mail02"), "corosync-names"),
        (("two_node: 1", "two_node: 0"), "corosync-two-node"),
    ],
)
def test_a_foreign_configuration_is_found_out(change: tuple[str, str], code: str) -> None:
    assert code in {finding.code for finding in rules(parse(GUIDE.replace(*change)), site())}


def test_a_cipher_without_a_hash_is_not_encrypted() -> None:
    """corosync refuses to start so, and half of the protection must not pass for it."""
    text = compose(site()).replace("crypto_hash: sha256", "crypto_hash: none")
    assert not facts(parse(text)).encrypted


def test_secauth_is_the_old_word_for_both() -> None:
    assert facts(parse("totem {\n secauth: on\n}\n")).encrypted


def test_udp_never_encrypts() -> None:
    text = compose(site()).replace("transport: knet", "transport: udpu")
    assert not facts(parse(text)).encrypted


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("totem {\nversion: 2\n", 1),
        ("totem {\n}\n}\n", 3),
        ("totem { version: 2\n}\n", 1),
        ("totem {\nversion 2\n}\n", 2),
        ("{\n}\n", 1),
        ("totem {\nversion: 2 }\n", 2),
    ],
)
def test_what_does_not_parse_names_its_line(text: str, line: int) -> None:
    with pytest.raises(InputError) as caught:
        parse(text, "snow01:/etc/corosync/corosync.conf")
    assert caught.value.where == f"snow01:/etc/corosync/corosync.conf:{line}"


@settings(max_examples=40, deadline=None)
@given(st.lists(_sections, max_size=4).map(tuple))
def test_what_is_rendered_reads_back_the_same(sections: tuple[Section, ...]) -> None:
    """Else a foreign setting would be lost when a file is rewritten."""
    root = Section("", (), sections)
    assert parse(render(root)) == root


@pytest.mark.parametrize("text", ["totem {\n : x\n}\n", ":\n", "totem {\n\t:\n}\n"])
def test_a_value_without_a_key_is_refused_with_its_line(text: str) -> None:
    with pytest.raises(InputError, match="no key"):
        parse(text)


LOOPBACK = "nodelist {\n node {\n  ring0_addr: 127.0.0.1\n  nodeid: 1\n  name: a\n }\n}\n"


def corosync_takes(text: str, folder: Path) -> bool:
    """Whether corosync itself (``-t``) reads the file, in a folder of its own."""
    file = folder / "corosync.conf"
    file.write_text(f"system {{\n state_dir: {folder}\n}}\n{text}", newline="")
    words = ["corosync", "-t", "-c", str(file)]
    return subprocess.run(words, capture_output=True, timeout=50, check=False).returncode == 0


@pytest.mark.needs("corosync")
def test_corosync_takes_what_is_written(tmp_path: Path) -> None:
    """No server would come into the cluster."""
    (tmp_path / "key").write_bytes(bytes(range(256)))
    text = compose(site())
    for server in site().servers[:1]:
        for address in server.links:
            text = text.replace(address, "127.0.0.1")
    assert corosync_takes(text.replace("totem {\n", f"totem {{\n keyfile: {tmp_path / 'key'}\n"), tmp_path)


BOTH = [
    *("# a {\n", " x:\n", " token:1000\n", " token : 1000\n", " x: a}b\n", " x: y # c\n", " x.y: 1\n", " foo {\n }\n"),
    *(" foo{\n bar   {\n   }  \n }\n", " token: 1000\r\n", " x: y: z\n", " crypto_hash: none\n crypto_hash: none\n"),
]
NEITHER = [
    " x\n",
    " x y\n",
    " foo {}\n",
    " foo { # c\n }\n",
    " foo {\n } # c\n",
    " {\n }\n",
    " foo\n {\n }\n",
    " foo {\n",
    "}\n}\n",
]
"""In a section totem."""


@pytest.mark.needs("corosync")
@pytest.mark.parametrize(
    ("inside", "is_read"), [*((text, True) for text in BOTH), *((text, False) for text in NEITHER)]
)
def test_a_file_is_read_if_corosync_reads_it(inside: str, is_read: bool, tmp_path: Path) -> None:
    text = f"totem {{\n version: 2\n{inside}}}\n{LOOPBACK}"
    assert corosync_takes(text, tmp_path) == is_read
    if is_read:
        assert parse(text).one("totem").get("version") == "2"
    else:
        with pytest.raises(InputError):
            parse(text)


def test_only_a_newline_ends_a_line() -> None:
    assert parse("totem {\n cluster_name: a\x0cb\u2028c\n}\n").one("totem").get("cluster_name") == "a\x0cb\u2028c"
