"""The shell scripts that read and write a server's files (see files.py): POSIX sh and coreutils."""

from __future__ import annotations

ABSENT_STATUS = 44
"""Exit status of the scripts for: there is no such file."""
# `[ -e ]` is also false for "permission denied" and "stale file handle": only these two messages of stat(1) mean "nothing".
LOOK = """\
export LC_ALL=C; set -u
look() {
    said=$(stat -L -c '%a %U %G %s %F' -- "$1" 2>&1) && return 0
    case $said in
        *': No such file or directory' | *': Not a directory') exit 44 ;;
        *) printf '%s\\n' "$said" >&2; exit 1 ;;
    esac
}
look "$1"
"""
STAT = LOOK + "printf '%s\\n' \"$said\"\n"
READ = LOOK + 'exec base64 -w 0 -- "$1"\n'
KEEP = """\
export LC_ALL=C; set -eu; umask 077
kept=
keep() {
    [ -n "$2" ] || return 0
    [ -d "$2$1" ] || mkdir -p -- "$2$1"
    last=v00000000
    for kept in "$2$1"/v[0-9][0-9][0-9][0-9][0-9][0-9][0-9][0-9]-*; do
        if [ -e "$kept" ] || [ -L "$kept" ]; then last=${kept##*/}; last=${last%%-*}; fi
    done
    kept=$2$1/$(printf 'v%08d-%s' "$((1${last#v} - 100000000 + 1))" "$3")
    cp -pP -- "$1" "$kept"
    [ ! -L "$kept" ] || kept=${kept%/*}
}
lasting() { sync -- "$@" ${kept:+"$kept" "${kept%/*}"}; }
"""
# Parameters: folder, end of the names. A line a file: its path and its content, both base64: a name may hold anything.
READ_FOLDER = """\
export LC_ALL=C; set -eu
for file in "$1"/*"$2"; do
    [ -f "$file" ] || continue
    printf '%s' "$file" | base64 -w 0; printf ' '; base64 -w 0 < "$file"; echo
done
"""
ABSENT = 'for path; do [ -e "$path" ] || printf \'%s\\n\' "$path"; done\n'
# Parameters: path, where earlier versions are. A line a version: its name, ``link`` or ``file``, and the target of the link
# or the content, each in base64.
KEPT_VERSIONS = """\
export LC_ALL=C; set -eu
folder=$(readlink -f -- "$(dirname -- "$1")") || exit 0
for file in "$2${folder%/}/$(basename -- "$1")"/*; do
    if [ -L "$file" ]; then
        printf '%s link ' "${file##*/}"; readlink -n -- "$file" | base64 -w 0; echo
    elif [ -f "$file" ]; then
        printf '%s file ' "${file##*/}"; base64 -w 0 < "$file"; echo
    fi
done
"""
# Parameters: path, target. What is there already stays.
LINK = """\
export LC_ALL=C; set -eu
if [ -e "$1" ] || [ -L "$1" ]; then echo same; exit 0; fi
ln -s -- "$2" "$1"
sync -- "$(dirname -- "$1")"
echo changed
"""
# Parameters: path, mode, owner, where earlier versions go, name of this one. Empty: not asked for.
# stdin: size and sha256 of the content, and a name for the new file that nobody can know before, a newline, the content.
# A connection that breaks half way leaves less than its size. Processes are few: each costs more than what it does.
WRITE = (
    KEEP
    + """\
read -r size sum token
path=$(readlink -f -- "$1") || { echo "no such folder: $(dirname -- "$1")" >&2; exit 1; }
folder=${path%/*}; folder=${folder:-/}
[ -d "$folder" ] || { echo "no such folder: $folder" >&2; exit 1; }
old=
if [ -e "$path" ]; then
    [ -f "$path" ] || { echo "not a regular file" >&2; exit 1; }
    old=yes
    facts=$(stat -c '%a %u:%g %s %U:%G' -- "$path")
    read -r mode ids bytes owner <<FACTS
$facts
FACTS
    wrong=
    [ -z "$2" ] || [ "$2" = "$mode" ] || wrong=mode
    case $3 in '' | "$owner" | "${owner%%:*}" | "$ids" | "${ids%%:*}") ;; *) wrong="$wrong owner" ;; esac
    now=
    if [ "$bytes" = "$size" ]; then now=$(sha256sum < "$path"); fi
    if [ "${now%% *}" = "$sum" ]; then
        [ -n "$wrong" ] || { echo same; exit 0; }
        keep "$path" "$4" "$5"
        [ -z "$3" ] || chown -- "$3" "$path"
        chmod -- "${2:-$mode}" "$path"
        lasting "$path"
        echo changed
        exit 0
    fi
fi
new=$folder/.snow-ha.$token
set -C
: > "$new"
set +C
trap 'rm -f -- "$new"' EXIT
trap 'exit 1' HUP INT TERM
cat > "$new"
facts=$(stat -c '%s %u:%g' -- "$new")
[ "${facts% *}" = "$size" ] || { echo "the content did not arrive whole" >&2; exit 1; }
[ -z "$old" ] || [ "${facts#* }" = "$ids" ] || chown -- "$ids" "$new"
[ -z "$3" ] || chown -- "$3" "$new"
if [ -n "$2" ]; then chmod -- "$2" "$new"; elif [ -n "$old" ]; then chmod -- "$mode" "$new"; fi
[ -z "$old" ] || keep "$path" "$4" "$5"
lasting "$new"
mv -f -T -- "$new" "$path"
trap - EXIT
sync -- "$folder"
echo changed
"""
)
# Parameters: path, where earlier versions go, name of this one. A link is removed itself, not what it points to.
REMOVE = (
    KEEP
    + """\
folder=$(readlink -f -- "$(dirname -- "$1")") || { echo same; exit 0; }
path=${folder%/}/$(basename -- "$1")
if [ ! -e "$path" ] && [ ! -L "$path" ]; then
    [ ! -d "$folder" ] || [ -x "$folder" ] || { echo "permission denied" >&2; exit 1; }
    echo same; exit 0
fi
if [ -d "$path" ] && [ ! -L "$path" ]; then echo "is a folder" >&2; exit 1; fi
keep "$path" "$2" "$3"
[ -z "$kept" ] || lasting
rm -f -- "$path"
sync -- "$folder"
echo changed
"""
)
# Parameters: path, mode, owner.
MAKE_DIR = """\
export LC_ALL=C; set -eu; umask 022
if [ -d "$1" ]; then
    mode=$(stat -L -c %a -- "$1"); owner=$(stat -L -c '%U:%G' -- "$1"); ids=$(stat -L -c '%u:%g' -- "$1")
    right=yes
    [ -z "$2" ] || [ "$2" = "$mode" ] || right=
    case $3 in '' | "$owner" | "${owner%%:*}" | "$ids" | "${ids%%:*}") ;; *) right= ;; esac
    [ -z "$right" ] || { echo same; exit 0; }
else
    mkdir -p -m "${2:-755}" -- "$1"
fi
[ -z "$3" ] || chown -- "$3" "$1"
[ -z "$2" ] || chmod -- "$2" "$1"
sync -- "$1" "$(dirname -- "$1")"
echo changed
"""
