"""What is removed from the archive of a support case: what is left in it of a password is given away."""

from __future__ import annotations

import pytest

from snowha.operations import report_redaction


@pytest.mark.parametrize(
    ("text", "becomes"),
    [
        ('secret = "ha.secrets/ipmi"', 'secret = "ha.secrets/ipmi"'),
        ("secret: hunter2", "secret: ***"),
        ("fence_ipmilan --password=abc --ip=1", "fence_ipmilan --password=*** --ip=1"),
        ("fence_ipmilan --password abc --ip 1", "fence_ipmilan --password *** --ip 1"),
        ("fence_ipmilan --password-script=/etc/x --ip=1", "fence_ipmilan --password-script=/etc/x --ip=1"),
        ("token_retransmits_before_loss_const: 10", "token_retransmits_before_loss_const: 10"),
        ("api-token: a1b2", "api-token: ***"),
        ("{'passwd': 'a b'}", "{'passwd': '***'}"),
        ('password="a \\" b" next', 'password="***" next'),
        ("-----BEGIN RSA PRIVATE KEY-----\nabc\n-----END RSA PRIVATE KEY-----\nafter", "***\nafter"),
        ("-----BEGIN PRIVATE KEY-----\nabc\n", "***"),
        ("-----BEGIN PGP PRIVATE KEY BLOCK-----\nabc\n-----END PGP PRIVATE KEY BLOCK-----", "***"),
        ("smtp_pass = 'abc'", "smtp_pass = '***'"),
        ('LDAP_PASS="a b"', 'LDAP_PASS="***"'),
        ("olcRootPW: abc", "olcRootPW: ***"),
        ("rootpw {SSHA}aGVsbG93b3JsZA==\nbindpw abc", "rootpw ***\nbindpw ***"),
        ("admin_password=a,b;c next", "admin_password=*** next"),
        ("password=a'b\"c<d next", "password=*** next"),
        ("vfb = ['type=vnc,vncpasswd=abc,vnclisten=0.0.0.0']", "vfb = ['type=vnc,vncpasswd=***,vnclisten=0.0.0.0']"),
        ('exit-reason="passwd=abc"/>', 'exit-reason="passwd=***"/>'),
        ('<nvpair value="a&quot;b" name="pass"/>', '<nvpair value="***" name="pass"/>'),
        ("<password>abc</password>", "<password>***</password>"),
        ("mount -o user=a,pass=abc,vers=3 //nfs01/a", "mount -o user=a,pass=***,vers=3 //nfs01/a"),
        ("sshpass -p abc ssh root@snow01", "sshpass -p *** ssh root@snow01"),
        ("ipmitool -P 'a'\"'\"'b c' power", "ipmitool -P '***' power"),
        ("ipmitool -P a\\ b power", "ipmitool -P *** power"),
        ("fence_ipmilan -P -p abc -o status", "fence_ipmilan -P -p *** -o status"),
        ("fence_ipmilan --password 'a'\"'\"'b' -o x", "fence_ipmilan --password '***' -o x"),
        ("env 'IPMI_PASSWORD=a b' ipmitool", "env 'IPMI_PASSWORD=***' ipmitool"),
        ("fence_x '--password=a'\"'\"'b c' -o x", "fence_x '--password=***' -o x"),
        ("'--password-script=/etc/a b' x", "'--password-script=/etc/a b' x"),
        ('PASSWORD="a b"c next', 'PASSWORD="***" next'),
        ("PASSWORD=a\\ b next", "PASSWORD=*** next"),
        ("SSHPASS=abc sshpass -e ssh root@snow01", "SSHPASS=*** sshpass -e ssh root@snow01"),
        ("ipmitool -U a -P abc -k def user set password 2 ghi", "ipmitool -U a -P *** -k *** user set password 2 ***"),
        ("curl -u admin:abc http://snow01/", "curl -u *** http://snow01/"),
        ("ldapsearch -D cn=admin -w 'abc' -b dc=x", "ldapsearch -D cn=admin -w '***' -b dc=x"),
        ("Password for admin: abc", "Password for admin: ***"),
        ("echo root:abc | chpasswd", "echo root:*** | chpasswd"),
        ("Authorization: Basic YWJj", "Authorization: Basic ***"),
        ("root:$6$salt$0123456789abcdef:19000:0:", "root:***:19000:0:"),
        ("https://me:a/b@c@example.org/x", "https://me:***@example.org/x"),
        ("https://ghp_0123456789abcdef@example.org/", "https://***@example.org/"),
        ("ssh://root@snow01/", "ssh://root@snow01/"),
        ("PWD=/root OLDPWD=/", "PWD=/root OLDPWD=/"),
        ("images-bypass: 2, compass: 3, pass 1 of 2, passed=3", "images-bypass: 2, compass: 3, pass 1 of 2, passed=3"),
        ("no password is known", "no password is known"),
        ("the path /usr/bin/passwd", "the path /usr/bin/passwd"),
    ],
)
def test_what_stands_where_a_secret_stands_is_removed(text: str, becomes: str) -> None:
    assert report_redaction.without(text, ()) == becomes


def test_a_word_that_stands_everywhere_is_not_taken_for_a_secret_everywhere() -> None:
    """Of `password = none` in one config, no `none` would be left in the whole archive."""
    assert report_redaction.values("password = none\nvncpasswd=True\npass: abcd") == {"abcd"}


def test_every_text_below_a_name_of_a_secret_is_one_in_data_too() -> None:
    data = {"passwords": ["abcd", "efgh"], "pass": "ijkl", "said": ["-P abcd"], "password": None}
    assert report_redaction.in_data(data, {"abcd"}) == {
        "passwords": ["***", "***"],
        "pass": "***",
        "said": ["-P ***"],
        "password": None,
    }


@pytest.mark.parametrize("text", ["ipmitool " * 30_000, "a.b-c" * 20_000, "x://" * 50_000])
def test_a_long_line_is_read_in_time(text: str) -> None:
    """A report that takes minutes for one line of a log is ended by whoever waits for it: then there is none."""
    assert report_redaction.without(text, ["bmc's $ecret"]) == text


def test_a_long_line_of_what_is_removed_is_read_in_time() -> None:
    for text in ("'pass=" * 10_000, "pass='a'" * 10_000, "--password a\\ " * 10_000, "mysql -p 'a'" * 500):
        assert "***" in report_redaction.without(text, ())
