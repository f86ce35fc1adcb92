"""Domain configs and disks, compared with Xen's own parser: what xl refuses we refuse, what both take we read as xl does.

Whoever runs a domain from a config that xl reads otherwise than we do loses the domain, or its data.
"""

from __future__ import annotations

import pytest
import xl_library
from hypothesis import example, given
from hypothesis import strategies as st

from snowha.errors import InputError
from snowha.site.disk_spec import parse_disk, render_disk
from snowha.site.domain_config import _effective
from snowha.site.model import Disk
from snowha.site.names import single_slashes
from snowha.site.xl_syntax import Atom, parse_settings

pytestmark = pytest.mark.needs("libxlutil.so")

Values = dict[str, str | list[str | None]]
KEYS = ("a", "b", "a.b", "disk")


def ours(text: str) -> Values:
    """The settings of a config as we see them, in the form in which xl_library says what xl sees."""
    found = _effective(parse_settings(text, where="x.cfg"), where="x.cfg")
    return {
        key: setting.value.text
        if isinstance(setting.value, Atom)
        else [item.text if isinstance(item, Atom) else None for item in setting.value.items]
        for key, setting in found.items()
        if key in KEYS
    }


CONFIGS = [
    *(
        "",
        ";;\n",
        "#",
        "a=1#",
        "a=1;b=2",
        "a=1 # c\r\n",
        "a=1;#x\n",
        "a.b=1\n",
        "a..b=1\n",
        "a\t=\t1\n",
        "a =1",
        "a=0xff",
    ),
    *("a=12ab\n", "a='x'#\n", 'a="it\'s"', "a='x\ry'\n", "a='x\x0cy'\n", "a='\x85\u2028'\n", "a='\\\\'\n", "a='\\''\n"),
    *("a=[]\n", "a=['x',['y'],]\n", "a=[\n'x'#c\n,\n]", "a=1\na=2\n", "a=1\na+=2\n", "a=['x']\na+=['y']\n", "a+='x'\n"),
    *("# é\na=1\n", "a=1\n# x\r\nb=2\n", "a=" + "[" * 40 + "]" * 40, "a=[1,'x'\n]", "\n #x\n a=1\n", "a='\\a\\t'\n"),
]
WRONG_CONFIGS = [
    *(
        "a=1 # x",
        "# x",
        "a=1\r\n",
        "Extra=1\n",
        "a='\\q'\n",
        "a='\\x41'\n",
        "a='\\12'\n",
        "a + = 1\n",
        "a\x0c=1\n",
        "_a=1\n",
    ),
    *("a=[,]\n", "a=['x',,]\n", "a='x\0y'\n", "a=0X10\n", "a=0xFF\n", "a\n=1", "a=['x' 'y']", "a=1 b=2", "\ufeffa=1\n"),
    *("a='x\ny'\n", "a='it''s'\n", "a=-1\n", "a-b=1\n", "a+=\n'x'\n", "a=['x',#c]", ".a=1\n", "a=1.5\n", "a=True\n"),
    *("a='x'\n\x0c\n", "a=1\x0b\n", "1a=2\n", "a='\\'", "a=\n1", "a=['x']+['y']", "a=1\na+=['x']\n", "a=\u2028'x'\n"),
    "a=" + "[" * 6000 + "]" * 6000,
]


@pytest.mark.parametrize("text", CONFIGS)
def test_a_config_is_read_as_xl_reads_it(text: str) -> None:
    assert ours(text) == xl_library.read_config(text, *KEYS)


@pytest.mark.parametrize("text", WRONG_CONFIGS)
def test_what_xl_refuses_is_refused_with_its_line_and_what_to_do(text: str) -> None:
    with pytest.raises(xl_library.Refused):
        xl_library.read_config(text, *KEYS)
    with pytest.raises(InputError) as caught:
        ours(text)
    assert caught.value.where.startswith("x.cfg:") and caught.value.remedy


@pytest.mark.parametrize("text", ["a='\\012'\n", "a=" + "[" * 3000 + "]" * 3000])
def test_what_xl_takes_and_nobody_can_mean_is_a_message(text: str) -> None:
    xl_library.read_config(text, *KEYS)
    with pytest.raises(InputError):
        ours(text)


PIECES = st.sampled_from(
    [
        "a",
        "b",
        "=",
        "+=",
        "1",
        "0x1f",
        "'x'",
        '"y"',
        "'",
        '"',
        "[",
        "]",
        ",",
        ";",
        "#",
        "\n",
        " ",
        "\t",
        "\\",
        "\r",
        "\x0c",
    ]
    + ["a='x'\n", "b=['p','q']\n", "a+='z'\n", "# c\n", "a.b=2\n", "\\n", "\\q", "A", "é", "\u2028"]
)


@given(st.lists(PIECES, max_size=14).map("".join))
@example("a='x' # end")
def test_no_config_is_taken_that_xl_refuses_or_reads_otherwise(text: str) -> None:
    try:
        mine = ours(text)
    except InputError:
        mine = None
    try:
        theirs = xl_library.read_config(text, *KEYS)
    except xl_library.Refused:
        theirs = None
    if mine is not None or (theirs is not None and text.endswith("\n")):
        # at the very end of a file xl overlooks one character that it refuses elsewhere
        assert mine == theirs


DISKS = [
    *("phy:/dev/vg/x,ioemu:hda,w", "/dev/vg/x,ioemu:hda,w", "phy:/dev/vg/x,xvda1:disk,w", "phy:/dev/vg/x,0x301,w"),
    *(
        "phy:/dev/vg/x,768,w",
        ",hdc:cdrom,r",
        ",,hdc:cdrom,r",
        "vdev=hdc,access=r,devtype=cdrom",
        "/srv/i.iso,,hdc,cdrom",
    ),
    *(
        "file:/srv/i.iso,hdc:cdrom,r",
        "file:/srv/i.iso,hdc:cdrom,w",
        "/dev/drbd/by-res/web/0,raw,xvda,w",
        "no-colo,/x,,xvda",
    ),
    *(
        "colo,/x,,xvda",
        "format=qcow2,vdev=xvda2,access=rw,target=/srv/d1.qcow2",
        "format=qcow2,file:/srv/d1.qcow2,xvda2,w",
    ),
    *(
        "tap:qcow2:/srv/d1.qcow2,xvda2,w",
        "tap:vhd:/srv/d1.vhd,xvda2,w",
        "/srv/d.vhd,vhd,xvda",
        "vdev=hdc,devtype=cdrom",
    ),
    *(
        "vdev=hdc,cdrom,devtype=disk,target=/x",
        "vdev=hdc,devtype=disk,devtype=cdrom",
        "direct-io-safe,vdev=xvda,target=/x",
    ),
    *("backend=dom2,vdev=xvda,target=/x", "backendtype=phy,vdev=xvda,target=/x", "format=raw,format=raw,/x,xvda,w"),
    *(
        "vdev=,vdev=xvdb,target=/x",
        "vdev=xvda,target=/x,",
        "phy:/dev/x,xvda2,w,",
        "phy:/dev/x, xvda2,w",
        " phy:/dev/x,xvda2,w",
    ),
    *("/x,raw,xvda2,rw,cdrom", "/x,raw,xvda,ro", "aio:/x,xvda,w", "tap:tapdisk:aio:/x,xvda,w", "file:,hdc:cdrom,r"),
    *("phy://dev//vg/./lv,xvda2,w", "format=raw,vdev=xvda,target=/sNow//domains/d/", "file:/a/./b//c,xvda,r"),
    *("/x,,hdc:cdrom,r", "format=empty,vdev=hdc,cdrom", "access=,vdev=hda,target=/x", "discard,no-discard,/x,,hda"),
    *(
        "script=block-x,vdev=hda,target=/x",
        "drbd:/dev/drbd0,xvda,w",
        "backendtype=qdisk,/x,,hda",
        "colo-port=9,/x,,hda",
    ),
    *("\t/x,,\thda", "access=r,access=w,/x,,hda", "access=r,/x,,hda,w", "/x,qcow2,xvda", "phy:/x,format=raw,hda,r"),
]
WRONG_DISKS = [
    *(
        "",
        "ioemu",
        "xvda,w",
        "/x,raw",
        "hdc:cdrom",
        "/x,hdc:cdrom,r",
        "/x,,hdc:floppy,r",
        "removable=1,vdev=xvda,target=/x",
    ),
    *(
        "backendtype=foo,vdev=xvda,target=/x",
        "format=raw,format=qcow2,vdev=xvda,target=/x",
        "vdev=xvda,vdev=xvdb,target=/x",
    ),
    *("phy:/dev/x,xvda2,w ", "phy:/dev/x=y,xvda2,w", "http://x,raw,xvda", "phy:/dev/x,xvda2,w,extra", "/x,raw,xvda,!"),
    *(
        "format=empty,vdev=hda",
        "transport=mmio,vdev=hda,target=/x",
        "colo-port=x,/x,,hda",
        "Format=raw,/x,,hda",
        "devtype=x,/x,,hda",
    ),
    *(
        "qcow2:/x,raw,hda",
        "format=raw,qcow2:/x,hda",
        "specification=usb,/x,,hda",
        "grant_usage=2,/x,,hda",
        "vdev=xvda,tarjet=/x",
    ),
]
NOT_ON_THIS_SERVER = [
    *(
        "phy:vg0/web,xvda1,w",
        "rbd:pool/img,raw,xvda,w",
        "iscsi:iqn.x,xvda2,w",
        "drbd:web,xvda,w",
        "script=block-x,vdev=hda,target=x",
    ),
    *(
        "/srv/a b,raw,xvda",
        "/srv/a'b,raw,xvda",
        "vdev=xvda,target=/x,w",
        "vdev=xvda,target=",
        ",raw,xvda,w",
        "/x,raw,,r",
    ),
    *(
        "phy:/dev/x,xvda2 ,w",
        "/x,,xvda01",
        "/x,,hde",
        "/x,,sdq",
        "/x,,xvda256",
        "/x,,d0",
        "/../x,,hda",
        "script=../../x,/x,,hda",
    ),
]


def same(mine: Disk, theirs: xl_library.XlDisk) -> bool:
    return (
        (mine.target, mine.vdev, mine.format) == (single_slashes(theirs.target or ""), theirs.vdev, theirs.format)
        and (mine.access == "w", mine.is_cdrom) == (theirs.is_writable, theirs.is_cdrom)
        and (mine.script or "", mine.backend_domain) == (theirs.script or "", theirs.backend_domain or "")
        and mine.specification == theirs.specification
        and (theirs.backend or mine.backend) == mine.backend
        and ("direct-io-safe" in mine.options) == theirs.direct_io_safe
        and (theirs.discard is None or ("discard" if theirs.discard else "no-discard") in mine.options)
    )


@pytest.mark.parametrize("spec", DISKS)
def test_a_disk_is_read_as_xl_reads_it(spec: str) -> None:
    mine = parse_disk(spec)
    assert same(mine, xl_library.read_disk(spec)), mine
    again = render_disk(mine)
    assert same(parse_disk(again), xl_library.read_disk(again))


@pytest.mark.parametrize("spec", WRONG_DISKS)
def test_a_disk_that_xl_refuses_is_refused(spec: str) -> None:
    with pytest.raises(xl_library.Refused):
        xl_library.read_disk(spec)
    with pytest.raises(InputError):
        parse_disk(spec)


@pytest.mark.parametrize("spec", NOT_ON_THIS_SERVER)
def test_a_disk_that_xl_reads_and_nobody_could_copy_or_attach_is_refused_with_what_to_do(spec: str) -> None:
    xl_library.read_disk(spec)
    with pytest.raises(InputError) as caught:
        parse_disk(spec, where="x.cfg:3")
    assert caught.value.where == "x.cfg:3" and caught.value.remedy


WORDS = st.sampled_from(
    [
        "/x",
        "/dev/vg/lv",
        "vg/lv",
        "xvda",
        "hdc",
        "hdc:cdrom",
        "xvda1:disk",
        "raw",
        "qcow2",
        "w",
        "r",
        "",
        "cdrom",
        "discard",
    ]
    + [
        "phy:/x",
        "file:/x",
        "tap:aio:/x",
        "ioemu:hda",
        "format=raw",
        "format=",
        "vdev=xvdb",
        "access=ro",
        "backend=d",
        "script=",
    ]
    + [
        "devtype=disk",
        "devtype=cdrom",
        "target=/t",
        " xvdc",
        "w ",
        "direct-io-safe",
        "backendtype=phy",
        "rbd:p",
        "a:",
        "b=",
        "qcow2:/q",
    ]
)


@given(st.lists(WORDS, max_size=6).map(",".join))
def test_no_disk_is_taken_that_xl_refuses_or_reads_otherwise(spec: str) -> None:
    try:
        mine = parse_disk(spec)
    except InputError:
        return
    assert same(mine, xl_library.read_disk(spec)), mine
