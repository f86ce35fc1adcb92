"""snow.conf: what bash would make of it, without running it, and edits that lose nothing else in the file."""

from __future__ import annotations

import subprocess
from pathlib import Path

import machine
import pytest
from hypothesis import HealthCheck, example, given, reject, settings
from hypothesis import strategies as st

from snowha.errors import InputError
from snowha.site.bash_edit import quote
from snowha.site.ipmi_type import IpmiType
from snowha.site.model import Network
from snowha.site.snow_conf import ImageDestination, SnowConf, parse, set_array, set_network_gateway, set_scalar

SNOW_CONF = """\
# sNow! config file : /sNow/snow-tools/etc/snow.conf
# Don't change the paths "unless" you know what you are doing
SNOW_PATH=/sNow
SNOW_HOME=/home
export SNOW_TOOL=${SNOW_PATH}/snow-tools
SNOW_LOG=${SNOW_PATH}/log
LOGFILE=$SNOW_LOG/snow.log   # a comment

NFS_SERVER=snow01
IMG_DST='lvm=snow_vg'
#IMG_DST='dir=/sNow'
#IMG_DST='nfs=$NFS_SERVER:/sNow/domains' # (experimental)
#
# SNOW_NODES=( snow01 snow02 )
SNOW_NODES=( snow01 )

ADMIN_USERS="root snow"
MASTER_PASSWORD='HPCN0w!!'
NET_PUB=( 'xpub0' '82.98.134.254' '' '82.98.134.' '255.255.255.0' '-pub' )
NET_SNOW=( 'xsnow0' '192.168.8.1' '192.168.8.1' '192.168.8.' '255.255.255.0' '' )
NET_COMP=( 'xsnow0' '192.168.8.1' '192.168.8.100' '192.168.8.' '255.255.255.0' '' )
#NET_DMZ=( 'xdmz0' '172.16.1.254' '172.16.1.1' '172.16.1.' '255.255.255.0' '-dmz' )
IPMI_USER=admin
IPMI_PASSWORD='admin'
CLUSTERS=([mycluster01]="knl[01-99]" [mycluster02]="hsw[01-99]")
GOLDEN_NODES=( knl-01   # the first
               hsw-01
             )
MOUNT_NFS[2]="${NFS_SERVER}:${SNOW_HOME}   ${SNOW_HOME}   nfs    bg,tcp,defaults 0 0"
MOUNT_NFS[1]="${NFS_SERVER}:${SNOW_PATH}   ${SNOW_PATH}   nfs    bg,tcp,defaults 0 0"
HOST=$(hostname)
"""


@pytest.fixture
def conf() -> SnowConf:
    return parse(SNOW_CONF, where="snow01:/sNow/etc/snow.conf")


def test_the_variables_a_migration_needs_are_read(conf: SnowConf) -> None:
    assert conf.scalar("LOGFILE") == "/sNow/log/snow.log"
    assert conf.scalar("SNOW_TOOL") == "/sNow/snow-tools"
    assert conf.servers() == ("snow01",)
    assert conf.image_destination() == ImageDestination("lvm", "snow_vg")
    assert (conf.scalar("IPMI_USER"), conf.scalar("NFS_SERVER")) == ("admin", "snow01")
    assert conf.array("GOLDEN_NODES") == ("knl-01", "hsw-01")
    assert conf.table("CLUSTERS") == {"mycluster01": "knl[01-99]", "mycluster02": "hsw[01-99]"}
    assert list(conf.table("MOUNT_NFS")) == ["1", "2"]
    assert conf.table("MOUNT_NFS")["1"].split()[:3] == ["snow01:/sNow", "/sNow", "nfs"]


def test_networks_keep_their_empty_fields(conf: SnowConf) -> None:
    assert conf.network("NET_PUB") == Network(
        "NET_PUB", "xpub0", "82.98.134.254", "", "82.98.134.", "255.255.255.0", "-pub"
    )


def test_a_network_with_missing_fields_is_refused_with_its_line() -> None:
    with pytest.raises(InputError) as caught:
        parse("\nNET_SNOW=( xsnow0 192.168.8.1 )\n", where="snow.conf").network("NET_SNOW")
    assert caught.value.where == "snow.conf:2"


def test_a_command_substitution_spoils_its_variable_and_no_other(conf: SnowConf) -> None:
    with pytest.raises(InputError) as caught:
        conf.scalar("HOST")
    assert caught.value.where.endswith(":31")
    assert "command substitution" in caught.value.message


def test_nothing_is_executed(tmp_path: Path) -> None:
    trap = tmp_path / "ran"
    text = f'A=$(touch {trap})\nB=`touch {trap}`\ntouch {trap}\nC="$(touch "{trap}")"\nD=( $(touch {trap}) )\nE=ok\n'
    assert parse(text, where="snow.conf").scalar("E") == "ok"
    assert not trap.exists()


def test_a_password_is_not_in_the_repr(conf: SnowConf) -> None:
    assert "HPCN0w" not in repr(conf)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("A=1\nB='x\nC=2\n", 2),
        ('\n\nA="x', 3),
        ("A=1\nB=( a\nb\n", 2),
        ("A=$(date\n", 1),
        ("A=`x\n", 1),
        ("A=( a; )", 1),
    ],
)
def test_a_syntax_error_names_its_line(text: str, line: int) -> None:
    with pytest.raises(InputError) as caught:
        parse(text, where="snow.conf")
    assert caught.value.where == f"snow.conf:{line}"
    assert caught.value.remedy


@pytest.mark.parametrize(
    "text",
    [
        "if true; then\n X=1\nfi\n",
        "[ -f /x ] && X=1\n",
        "[ -f /x ] ||\n  X=1\n",
        "f() {\n X=1\n}\n",
        "case $a in\n a|b) X=1;;\nesac\n",
        "for i in 1 2; do X=$i; done\n",
        "( X=1 )\n",
        "X=1\nif true; then X=2; fi\n",
        "X=$UNKNOWN\n",
        "X=~/x\n",
        "X=${Y:-1}\n",
        "X=( snow0{1,2} )\n",
        "X=( * )\n",
        "X=$1\n",
        "true | X=1\n",
        "X=( a )b\n",
    ],
)
def test_what_only_running_could_tell_is_not_guessed(text: str) -> None:
    conf = parse(text + "Z=z\n", where="snow.conf")
    assert conf.scalar("Z") == "z"
    with pytest.raises(InputError):
        conf.array("X")


def test_a_missing_variable_says_what_to_add() -> None:
    with pytest.raises(InputError, match="IPMI_USER is not set"):
        parse("", where="snow.conf").scalar("IPMI_USER")


def test_the_image_destination_is_expanded_even_from_single_quotes() -> None:
    conf = parse("NFS_SERVER=nfs01\nIMG_DST='nfs=$NFS_SERVER:/sNow/domains'\n", where="snow.conf")
    assert conf.image_destination() == ImageDestination("nfs", "nfs01:/sNow/domains")


@pytest.mark.parametrize("value", ["", "lvm=", "/sNow", "dir=sNow", "dir=/a/../b", "lvm=../x", "lvm=a;b", "zfs=a"])
def test_an_image_destination_that_leads_elsewhere_is_refused(value: str) -> None:
    with pytest.raises(InputError):
        parse(f"IMG_DST='{value}'", where="snow.conf").image_destination()


def test_a_server_name_that_is_a_command_is_refused() -> None:
    with pytest.raises(InputError) as caught:
        parse("SNOW_NODES=( snow01 'a;reboot' )", where="snow.conf").servers()
    assert caught.value.where == "snow.conf:1"


def test_the_guides_edits_change_four_lines_and_no_other_byte() -> None:
    text = set_array(SNOW_CONF, "SNOW_NODES", ["snow01", "snow02"])
    text = set_scalar(text, "IMG_DST", "dir=/sNow")
    text = set_network_gateway(text, "NET_SNOW", "192.168.8.254")
    text = set_network_gateway(text, "NET_COMP", "192.168.8.254")
    expected = (
        SNOW_CONF.replace("\nSNOW_NODES=( snow01 )", "\nSNOW_NODES=( snow01 snow02 )")
        .replace("\nIMG_DST='lvm=snow_vg'", "\nIMG_DST='dir=/sNow'")
        .replace("'xsnow0' '192.168.8.1'", "'xsnow0' '192.168.8.254'")
    )
    assert text == expected


def test_a_missing_last_line_ending_survives_and_windows_ones_are_refused() -> None:
    """bash takes the CR into the value: a folder that nobody has."""
    text = 'A="1"\n# it\'s\nB=( x )'
    assert set_scalar(text, "A", "2") == 'A="2"\n# it\'s\nB=( x )'
    assert set_array(text, "B", ["x", "y"]) == 'A="1"\n# it\'s\nB=( x y )'
    assert set_scalar(text, "C", "3") == text + "\nC='3'"
    with pytest.raises(InputError, match="Windows") as caught:
        parse("A=1\nB=2\r\n", where="snow.conf")
    assert caught.value.where == "snow.conf:2"


def test_comments_and_line_breaks_in_an_array_survive() -> None:
    text = "A=(\n  snow01  # the first\n)\n"
    longer = set_array(text, "A", ["snow01", "snow02"])
    assert longer == "A=(\n  snow01\n  snow02  # the first\n)\n"
    assert set_array(longer, "A", ["snow01"]) == "A=(\n  snow01\n  # the first\n)\n"


@pytest.mark.parametrize(
    "text",
    ["if x; then A=1; fi\n", "A=1\nunset A\n", "A=(1)\nA[0]=2\nA[3]=4\n", "A+=1\n", "A=$(x)\n", "A=1 command\n", ""],
)
def test_a_value_counts_after_the_edit_however_the_file_set_it(text: str) -> None:
    edited = set_scalar(text, "A", "new")
    assert parse(edited, where="x").scalar("A") == "new"
    edited = set_array(text, "A", ["a", "b c"])
    assert parse(edited, where="x").array("A") == ("a", "b c")


def test_an_element_set_behind_its_array_is_the_one_changed() -> None:
    text = "NET_SNOW=( a b c d e f )\nNET_SNOW[1]=x\n"
    assert set_network_gateway(text, "NET_SNOW", "10.0.0.1") == "NET_SNOW=( a b c d e f )\nNET_SNOW[1]=10.0.0.1\n"


def test_a_network_that_is_not_there_is_not_invented() -> None:
    with pytest.raises(InputError):
        set_network_gateway("A=1\n", "NET_SNOW", "10.0.0.1")


VALUES = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=12)
LINES = st.sampled_from(
    [
        "# don't",
        "",
        "  ",
        "B='x y'",
        "C=$B",
        'D="${B}!"',
        "E=( 1 2 )",
        "echo 'hi' # x",
        "F[2]=z",
        "G=$(id)",
        "\tB=2;C=3",
    ]
)


@given(
    before=st.lists(LINES), after=st.lists(LINES), value=VALUES, old=st.sampled_from(["x", "'a b'", '"q"', "", "a\\ b"])
)
@example(before=[], after=[], value="a'b\"c$d`e\\f!g", old='"q"')
def test_bytes_outside_the_value_never_change(before: list[str], after: list[str], value: str, old: str) -> None:
    head, tail = "".join(f"{line}\n" for line in before), "".join(f"\n{line}" for line in after)
    edited = set_scalar(f"{head}X={old}{tail}", "X", value)
    assert edited.startswith(f"{head}X=")
    assert edited.endswith(tail)
    assert parse(edited, where="x").scalar("X") == value
    assert set_scalar(edited, "X", value) == edited


@given(
    values=st.lists(VALUES, max_size=4), old=st.lists(VALUES, max_size=4), style=st.sampled_from(["single", "double"])
)
def test_an_array_is_set_whatever_is_in_it(values: list[str], old: list[str], style: str) -> None:
    words = " ".join(quote(value, "double" if style == "double" else "single") for value in old)
    edited = set_array(f"# don't\nX=( {words} ) # x\nY=1\n", "X", values)
    assert edited.startswith("# don't\nX=(")
    assert edited.endswith(" # x\nY=1\n")
    assert parse(edited, where="x").array("X") == tuple(values)
    assert set_array(edited, "X", values) == edited


@given(st.text(st.sampled_from("A=1'\"$(){}[]`\\ \n#;&|<>if fi"), max_size=40))
def test_no_file_makes_the_reader_loop_or_crash(text: str) -> None:
    try:
        parse(text, where="x")
    except InputError as error:
        assert error.where.startswith("x:")


def _bash_says(text: str, names: str, folder: Path) -> list[str]:
    machine.need("bash")
    file = folder / "snow.conf"
    file.write_text(text, newline="")
    script = f'source "$1"; for n in {names}; do declare -n r="$n"; printf "%s\\0" "${{#r[@]}}" "${{r[@]}}"; done'
    done = subprocess.run(["bash", "-c", script, "bash", str(file)], capture_output=True, check=True, env={})
    return done.stdout.decode().split("\0")[:-1]


def test_bash_reads_the_same_from_the_sample(tmp_path: Path, conf: SnowConf) -> None:
    names = ["LOGFILE", "IMG_DST", "MASTER_PASSWORD", "NET_PUB", "GOLDEN_NODES", "MOUNT_NFS", "SNOW_NODES"]
    ours = [word for name in names for word in (str(len(conf.array(name))), *conf.array(name))]
    assert ours == _bash_says(SNOW_CONF, " ".join(names), tmp_path)


COMMANDS = [
    "IFS=,\nA=a,b\nX=( $A )\nX=1\n", "mapfile -t X <<< $'a\\nb'\nX=1\n", "X=( $(echo a b) )\nX=1\n",
    "X=( a b )\nf() {\n X=2\n}\nX=1\n",
    "let X=1\n", "let 'X = 1 + 1' Y=2\n", "eval X=1\n", "eval 'X=2; Y=3'\nY=9\n", "read X <<< 5\n",
    "read -r X Y <<< '5 6'\n", "printf -v X '%s' 7\n", "mapfile -t X <<< a\n", "((X = 3))\n", "((X++))\nY=1\n",
    "f() { X=2; }\nf\n", "function f { X=2; }\nX=1\nf\n", "f() {\n X=2\n}\nX=1\n", "f() ( X=2 )\nf\n",
    "X=1\nreturn 0\nX=2\n", "X=1\n[ -z \"$NOPE\" ] && return 0\nX=2\n", "for X in 1 2; do :; done\n", "Y=${X:=5}\n",
    ": ${X:=5}\n", "declare -i X=1+2\n", "declare -u X=abc\n", "declare -l X\nX=ABC\n", "Z=1\ndeclare -n X=Z\n",
    "unset 'X'\n", "unset -f X\n", "unset $NOPE X\n", "export X\n", "export X=4 Y=5\n", "readonly Y=6\n", "X+=z\n",
    "X=\\\n5\n", "X=1 :\n", "X=1 eval Y=2\n", "builtin eval X=8\n", "command let X=9\n", "$NOPE\n", "E=eval\n$E X=3\n",
    "IFS=,\nA=a,b\nX=( $A )\n", "X=a # c\n", "X=( a 'b c' )\nX+=( d )\n", "X[3]=q\n", "X=$'a\\tb'\n", "getopts a X\n",
    "if true; then let X=4; fi\n", "true && eval X=5\n", "while read X; do :; done <<< 'l'\n",
    "select X in a; do break; done <<< 1\n", "X='#'\n", "cat <<END >/dev/null\nX=in\nEND\n", "X=1; let X=2; X=3\n",
    "exec 3>/dev/null\nX=1\n", "Y=$(X=1)\n", "(X=1)\n", "{ X=1; }\n", "alias f=g\nX=1\n", "set -- a b\nX=1\n", "X=a;Y=b\n",
    "X=1 Y=2\n", "export -n X\n", "declare X\n", "typeset X=5\n", "let X+=1\n",
    "let X=1\nX[3]=q\nX=4\n", "let X=1\nX+=( q )\nX=4\n",
    "X=a>/dev/null\n", "X=1 2>/dev/null\n", ">/dev/null X=1\n", "<<<a X=1 Y=2 >&2\n", "X=1 <<END\nX=in\nEND\nY=2\n",
    ">/dev/null export X=2\n", "X=1 2>&1 | cat\n", "exec {X}</dev/null\n", "X=1 {Y}</dev/null\n", "X=1 &>/dev/null\n",
    "builtin export X=3\n", "command export X=3 Y\n", "\\export X=3\n", "'declare' -i X=1+1\n", "X=2 export Y=1\n",
    "command readonly X=3\nX=4\n", "declare -n X=Y\nY=1\nX=2\n", "declare -n X=Y\nX=2\nX=3\nY=4\n", "local X=1\n",
    "declare -A X=(a 1 b 2)\n", "declare -A Y\nY=(a 1)\n", "X=(1 2)\nX[-1]=3\n", "X=([-1]=3)\n", "wait -p X\n", "wait\nX=1\n",
    "trap 'X=3' RETURN\nX=1\n", "trap 'X=3' EXIT\nX=1\n",
    "X=$[1 + 2]\n", "X=\"$[Y]\"\n", "declare -a X='(a b)'\n", "declare -A X=\"([a]=1 [b]=2)\"\n", "export X=1\nexport -n X\n",
    "X=$(case a in a) echo b;; esac)\nY=1\n", "X=$(case a in (a) echo b;; *) : ;; esac)\nY=1\n", "X=$(echo case in)\nY=1\n",
    "X=$( # it's one)\n echo a)\nY=1\n", "X=$(echo a#')'b)\nY=1\n",
    "X=$( # a case\n case a in a|b) echo ')';; esac; echo c)\nY=1\n", "X=( $(case a in a) echo b;; esac) c )\nY=1\n",
    "Y=q\nX=${Y:-z}\n", "Y=q\nX=${Y-z}z\n", "X=${Y:-z}\n", "X=\nY=${X:-q}\n", "Y='a b'\nX=( ${Y:-c} \"${Y:-d}\" )\n",
    "n=0\nX[n++]=a\nX[n++]=b\nY=$n\n", "X[Y++]=a\nX[Y++]=b\n", "Y=1\nX[Y]=a\nX[1]=b\n", "X[0x1]=a\nX[1]=b\n",
    "X[1+1]=a\nX[2]=b\n", "X[ 1 ]=a\nX[1]=b\n", "X[${#X[@]}]=a\nX[${#X[@]}]=b\n", "Y=2\nX=( [Y]=a b )\n",
    "X=( a )\nX+=( [0]+=b )\n", "declare -A X\nunset X\nX[Y++]=2\nX[Y++]=3\n",
    "X=1\n: <<\\END\nX=2\nEND\nY=1\n", "X=1\n: <<'E N D'\nX=2\nE N D\nY=1\n", "X=1\n: <<\"END-1\"\nX=2\nEND-1\nY=1\n",
    "X=1\n: <<E\"N\"D-1 # x\nX=2\nEND-1\nY=1\n", "X=1\n: <<END <<$END\nX=2\nEND\nX=3\n$END\nY=1\n",
    "Y=$(cat <<END\nit's ) \"\nEND\n)\nX=1\n", "Y=\"$(cat <<-'END'\n(\tit's\n\tEND\n)\"\nX=1\n", "Y=$((1<<2))\nX=1\n",
    "source <(echo X=2)\n", "source /dev/stdin <<END\nX=2\nEND\nY=1\n", "export \"X=2\"\n", "declare 'X'=2 \"Y=3\"\n",
    "Y=X\nexport \"$Y=2\"\n", "export -- 'X=2'\n", "X=1\ntrap 'X=2' ERR\nfalse\n", "printf -vX 2\n",
    "if true; then X[1]=a; fi\nX=b\n", "{ X[1]=a; }\nX=b\n",
]  # fmt: skip


@pytest.mark.parametrize("before", ["", "X=0\nY=0\n"])
@pytest.mark.parametrize("text", COMMANDS)
def test_what_commands_do_to_variables_is_known_as_bash_does_it_or_said_not_to_be(
    tmp_path: Path, text: str, before: str
) -> None:
    """It was ignored: the value that counted here was not the one that counts for sNow!."""
    conf = parse(before + text, where="snow.conf")
    for name in ("X", "Y"):
        bash = _bash_says(before + text, name, tmp_path)
        try:
            value = conf.array(name, ())
        except InputError as error:
            assert error.where.startswith("snow.conf:") and error.remedy
            continue
        assert [str(len(value)), *value] == bash, name


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.sampled_from([*COMMANDS, "X=5\n", "Y=$X\n", "X=$Y\n"]), min_size=2, max_size=5).map("".join))
def test_any_order_of_commands_is_read_as_bash_does(tmp_path: Path, text: str) -> None:
    conf = parse(text, where="snow.conf")
    for name in ("X", "Y"):
        try:
            value = conf.array(name, ())
        except InputError:
            continue
        try:
            bash = _bash_says(text, name, tmp_path)
        except subprocess.CalledProcessError:
            reject()  # bash gave the file up, and itself with it: `declare -i X=1` and `X='#'`
        assert [str(len(value)), *value] == bash, name


def test_a_subscript_with_brackets_in_it_spoils_its_own_array_alone() -> None:
    """How bash appends to an array was taken for a command that may set anything: no value of the file was known any more."""
    conf = parse("IMG_DST='lvm=snow_vg'\nMOUNT_NFS[${#MOUNT_NFS[@]}]='a:/b /b nfs'\nSNOW_NODES=( snow01 )\n", where="x")
    assert conf.scalar("IMG_DST") == "lvm=snow_vg" and conf.servers() == ("snow01",)
    with pytest.raises(InputError, match="MOUNT_NFS"):
        conf.table("MOUNT_NFS")
    assert parse('declare -A X\nX["a]b"]=1\nX[c[1]]=2\n', where="x").table("X") == {"a]b": "1", "c[1]": "2"}


def test_a_file_that_is_sourced_is_read_in_its_place(tmp_path: Path) -> None:
    other = tmp_path / "other.conf"
    other.write_text("A=2\nC=$B\n")
    text = f"A=1\nB=b\nsource {other}\nD=$A\n"
    conf = parse(text, where="x", read=lambda path: Path(path).read_text() if Path(path).exists() else None)
    ours = [word for name in "ABCD" for word in ("1", conf.scalar(name))]
    assert ours == _bash_says(text, "A B C D", tmp_path)
    loop = parse(f". {other}\nX=1\n", where="x", read=lambda path: f"A=1\n. {other}\nB=2\n")
    assert loop.scalar("X") == "1"


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("Y=q\nX=${Y:-z}/x\n", "q/x"),
        ('Y=q\nX="${Y-$(date)}"\n', "q"),
        ("export X=1\nexport -n X\n", "1"),
        ("X=1\nY=$(case a in a) echo b;; esac)\n", "1"),
        ("X=1\nY=$(cat <<END\nit's\nEND\n)\n", "1"),
        ("X=1\n: <<\\END\nX=2\nEND\n", "1"),
    ],
)
def test_what_is_certain_is_read_whatever_else_the_shell_could_have_done(text: str, value: str) -> None:
    """A verb ended with a snow.conf that leaves nothing open."""
    assert parse(text, where="snow.conf").scalar("X") == value


def test_a_file_that_is_read_under_a_condition_spoils_what_it_sets_and_nothing_else() -> None:
    """`[ -f FILE ] && . FILE` stands in many a snow.conf: none of its variables was known any more."""
    text = "A=1\nB=1\nC=1\n[ -r /x ] && . /x\nD=$A\n"
    conf = parse(text, where="snow.conf", read=lambda path: "B=2\nC=1\nunset E\n" if path == "/x" else None)
    assert [conf.scalar(name) for name in "ACD"] == ["1", "1", "1"]
    with pytest.raises(InputError, match="under a condition") as caught:
        conf.scalar("B")
    assert caught.value.where == "snow.conf:4"


def test_what_is_not_followed_spoils_what_it_may_set_and_nothing_behind_it() -> None:
    conf = parse("A=1\n. /nowhere\nB=2\n", where="snow.conf")
    assert conf.scalar("B") == "2"
    for name in ("A", "NEVER_SET"):
        with pytest.raises(InputError, match="not followed") as caught:
            conf.scalar(name, "default")
        assert caught.value.where == "snow.conf:2"
    edited = set_scalar("A=1\n. /nowhere\n", "A", "3")
    assert parse(edited, where="x").scalar("A") == "3"


def test_variables_of_snow_2_are_known() -> None:
    """Its own example could not be read."""
    profile = "export SNOW_ROOT=/sNow\nexport SNOW_SRV=${SNOW_ROOT}/srv SNOW_ETC=$SNOW_ROOT/etc\nexport PATH=$PATH:/x\n"
    conf = parse("IMG_DST='dir=${SNOW_SRV}'\nX=$SNOW_ETC/y\n", where="snow.conf", environment=profile)
    assert conf.image_destination() == ImageDestination("dir", "/sNow/srv")
    assert conf.scalar("X") == "/sNow/etc/y"


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(value=VALUES, values=st.lists(VALUES, max_size=3), style=st.sampled_from(["X=a\n", 'X="a"\n', "X='a'\n"]))
@example(value="p@ss'w\"o$rd`!\\", values=["a b", "", "*", "~", "{a,b}", "#x"], style='X="a"\n')
def test_bash_reads_back_what_was_set(tmp_path: Path, value: str, values: list[str], style: str) -> None:
    text = set_array(set_scalar(style, "X", value), "Y", values)
    assert _bash_says(text, "X Y", tmp_path) == ["1", value, str(len(values)), *values]


@pytest.mark.parametrize(("text", "lanplus"), [("", True), ("IPMI_TYPE=lanplus\n", True), ("IPMI_TYPE='lan'\n", False)])
def test_the_type_of_ipmi_is_what_the_file_says(text: str, lanplus: bool) -> None:
    assert parse(text, where="snow.conf").ipmi_type() == IpmiType(lanplus)


def test_options_behind_the_type_of_ipmi_are_those_of_the_fence_device() -> None:
    """sNow! does not quote it, so this is how a site tells ipmitool what its BMCs need."""
    conf = parse("IPMI_TYPE='lanplus -C 17 -L OPERATOR -p6230'\n", where="snow.conf")
    assert conf.ipmi_type() == IpmiType(True, 17, "operator", 6230)
    assert parse('IPMI_TYPE="lan -C0"\n', where="x").ipmi_type() == IpmiType(False, 0)


@pytest.mark.parametrize("kind", ["open", "'lanplus -k secret'", "'lanplus -C x'", "'lanplus -o intelplus'", "'lan 3'"])
def test_a_type_of_ipmi_that_no_fence_device_speaks_is_refused(kind: str) -> None:
    with pytest.raises(InputError) as caught:
        parse(f"\nIPMI_TYPE={kind}\n", where="snow.conf").ipmi_type()
    assert caught.value.where == "snow.conf:2" and "secret" not in str(caught.value)
