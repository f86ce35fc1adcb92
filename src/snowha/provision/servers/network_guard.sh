# Put the old network configuration back unless the first server answers in time. Parameters: folder, unit.
# In the folder: `settings` with peers= and within= (seconds), `files` with a line a file: the name of its old version in the
# folder (`-` if there was none) and its path.
set -u
folder=$1 unit=$2
. "$folder/settings"
uptime() { read -r seconds _ < "${UPTIME:-/proc/uptime}"; echo "${seconds%%.*}"; }
disarm() {
    rm -f -- "${SYSTEM:-/etc/systemd/system}/multi-user.target.wants/$unit" "${SYSTEM:-/etc/systemd/system}/$unit" "$folder/files"
}
until=$(($(uptime) + within))
while :; do
    silent=
    for peer in $peers; do
        ping -n -c 1 -W 2 "$peer" > /dev/null 2>&1 || silent="$silent $peer"
    done
    if [ -z "$silent" ]; then
        disarm
        echo "$peers answers: the network configuration stays"
        exit 0
    fi
    [ "$(uptime)" -lt "$until" ] || break
    sleep 5
done
echo "$silent does not answer: the old network configuration is put back"
while read -r old path; do
    if [ "$old" = - ]; then
        rm -f -- "$path"
    else
        # beside and renamed: the file is whole whatever happens; mode and owner are those of the file there
        cp -p -- "$path" "$path.snow-ha-back" 2> /dev/null
        cat < "$folder/$old" > "$path.snow-ha-back" && sync -- "$path.snow-ha-back" && mv -f -T -- "$path.snow-ha-back" "$path"
    fi
done < "$folder/files"
: > "$folder/gave-up"
disarm
sync
exec ${REBOOT:-systemctl reboot}
