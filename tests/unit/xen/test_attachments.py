"""What a server has attached for its domains, read by a real shell."""

from __future__ import annotations

import base64
from pathlib import Path

from snowha.hosts.local import LocalHost
from snowha.xen import attachments, xendomains
from snowha.xen.attachments import Backend

BACKENDS = {
    "vbd": """\
/local/domain/0/backend/vbd/3 = ""
/local/domain/0/backend/vbd/3/51714 = ""
/local/domain/0/backend/vbd/3/51714/frontend = "/local/domain/3/device/vbd/51714"
/local/domain/0/backend/vbd/3/51714/params = "/sNow/domains/deploy01/deploy01-disk"
/local/domain/0/backend/vbd/3/51714/script = "/etc/xen/scripts/block-snow"
/local/domain/0/backend/vbd/3/51714/mode = "w"
/local/domain/0/backend/vbd/4/51714/params = "/sNow/domains/old 01/disk"
/local/domain/0/backend/vbd/4/51714/script = "/etc/xen/scripts/block"
/local/domain/0/backend/vbd/4/51714/mode = "r"
""",
    "qdisk": """\
/local/domain/0/backend/qdisk/5/51712/params = "aio:/sNow/domains/slurm01/slurm01-disk"
/local/domain/0/backend/qdisk/5/51712/script = "/etc/xen/scripts/block"
/local/domain/0/backend/qdisk/5/51712/mode = "w"
""",
}
CONFIG = "name = 'slurm01'\nmemory = '256'\ndisk = [ 'file:/sNow/domains/slurm01/slurm01-disk,xvda2,w' ]\n"


def test_backends_and_configs_of_a_server_in_a_real_shell(tmp_path: Path) -> None:
    """What goes round the leases would never be found. The form is that of xenstore-ls -f."""
    bin_folder, auto = tmp_path / "bin", tmp_path / "auto"
    bin_folder.mkdir()
    auto.mkdir()
    for kind, text in BACKENDS.items():
        (tmp_path / kind).write_text(text)
    fake = bin_folder / "xenstore-ls"
    fake.write_text(f'#!/bin/sh\n[ "$1" = -f ] && exec cat "{tmp_path}/${{2##*/}}"\n')
    fake.chmod(0o755)
    (auto / "with blanks.cfg").write_text(CONFIG)
    (auto / "broken.cfg").write_text("disk = [\n")
    (tmp_path / "elsewhere.cfg").write_text(CONFIG.replace("slurm01'", "slurm02'"))
    (auto / "link").symlink_to(tmp_path / "elsewhere.cfg")
    settings = tmp_path / "xendomains"
    settings.write_text(f"XENDOMAINS_AUTO=({auto})\n")
    script = attachments._LOOK.replace(xendomains.SETTINGS, str(settings))
    words = ["env", f"PATH={bin_folder}:/usr/bin:/bin", "sh", "-c", script]
    found = attachments.parse(LocalHost().run(words, check=False).stdout, where="snow01")
    assert found.backends == (
        Backend(3, "/sNow/domains/deploy01/deploy01-disk", "block-snow", True),
        Backend(4, "/sNow/domains/old 01/disk", "block", False),
        Backend(5, "/sNow/domains/slurm01/slurm01-disk", "", True),
    )
    assert {path: domain.name for path, domain in found.configs.items()} == {
        f"{auto}/link": "slurm02",
        f"{auto}/with blanks.cfg": "slurm01",
    }
    settings.write_text("XENDOMAINS_AUTO=\n")
    assert "config" not in LocalHost().run(words, check=False).stdout


def test_a_server_without_xen_has_nothing_attached() -> None:
    assert attachments.parse("", where="snow01") == attachments.Attachments()
    broken = f"config {base64.b64encode(b'/etc/xen/auto/x').decode()} {base64.b64encode(bytes([255])).decode()}\n"
    assert attachments.parse(broken, where="snow01") == attachments.Attachments()


def test_a_doubled_slash_in_what_a_domain_was_started_from_is_one() -> None:
    """A backend that has an image without a lease would be one of a file that is no image of the site."""
    text = '/local/domain/0/backend/qdisk/5/51714/params = "aio://sNow//domains/./web/web-disk"\n'
    (backend,) = attachments.parse(text, where="snow01").backends
    assert backend.target == "/sNow/domains/web/web-disk"
