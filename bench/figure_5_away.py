"""Figure 5: how long a domain is away while its disk is moved: as the guide does it, while it is off, and while it runs.

    sudo python bench/figure_5_away.py [--rounds 1] [--without-guide]

Measured in the lab, by its client, each way from the same snapshot and with the same writes going on: one domain writes 1 MiB/s
all the time, and the client asks for records. For two disks of that domain, the second eight times as large, with eight times
the files. What a plain restart of the domain takes is measured as well, before and after: no way can be faster. (Afterwards it is
of type PVH, which takes an emulated server longer.) Uses the site that is up, or brings one up and takes it down again.
"""

from __future__ import annotations

import argparse
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from measure import median, say, table

from snowha.hosts.wait import wait_for
from snowha.lab import domain_probe, first_boot, layout, lifecycle, network
from snowha.lab.layout import DOMAINS, PREPARED

DOMAIN = "slurm01"
FIRST_MIB, TIMES = 288, 8
WRITES_S = 20
"""Seconds of writes before anything is done."""
FILL = {
    "smaller": "rm -rf /new/usr/share/lab/[23]*",
    "larger": f"for copy in $(seq 2 {TIMES}); do cp -a /old/usr/share/lab /new/usr/share/lab$copy; done",
}
"""Half of the domain's files are left out of the first disk; the second has the first one's eight times."""
NEW_DISK = """set -e
xl shutdown -w {domain}
mkdir -p /old /new
mount -o ro /dev/snow_vg/{domain}-disk /old
lvcreate -q -y -Wn -Zn -L {size}m -n new snow_vg
mkfs.ext4 -q -O ^metadata_csum_seed,^orphan_file /dev/snow_vg/new
mount /dev/snow_vg/new /new
cp -a /old/. /new/
{fill}
umount /old /new
lvremove -q -y snow_vg/{domain}-disk
lvrename -q snow_vg new {domain}-disk
sync
xl create -q /sNow/etc/domains/{domain}.cfg
"""
LOAD = (
    "begin=$(cut -d. -f1 /proc/uptime); n=0; while pidof lab-service > /dev/null; do "
    "dd if=/dev/urandom of=/var/load bs=64k count=16 seek=$((n % 32 * 16)) conv=notrunc,fsync 2> /dev/null; n=$((n + 1)); "
    "echo $n > /var/written; while [ $(($(cut -d. -f1 /proc/uptime) - begin)) -lt $n ]; do usleep 100000; done; done &"
)
"""1 MiB/s in the domain, over 32 MiB again and again; typed at its console. It ends with the service, before the domain's root
file system is made read-only."""
TYPE = f"""tty=$(xenstore-read /local/domain/$(xl domid {DOMAIN})/console/tty)
printf '\\n' > $tty
cat > $tty
"""
GUIDE = """set -e
for domain in {domains}; do xl shutdown $domain; done
while [ $(xl list | grep -cE '{pattern}') -gt 0 ]; do sleep 1; done
for domain in {domains}; do
  mkdir -p /sNow/domains/$domain
  dd if=/dev/snow_vg/$domain-disk of=/sNow/domains/$domain/$domain-disk
  dd if=/dev/snow_vg/$domain-swap of=/sNow/domains/$domain/$domain-swap
  sed -i "s|phy:/dev/snow_vg/|file:/sNow/domains/$domain/|g" /sNow/etc/domains/$domain.cfg
done
for domain in {domains}; do xl create -q /sNow/etc/domains/$domain.cfg; done
"""
"""The guide's section on LVM to loopback files, with `file:` for its `tap:aio:`, which Debian's Xen does not have."""


def shell(host: str, script: str, *, stdin: str = "", timeout: float = 3600) -> str:
    """Run a script on one of the lab's machines."""
    words = first_boot.ssh_words(host, ["sh", "-c", shlex.quote(script)], paths=layout.paths())
    done = subprocess.run(words, input=stdin, capture_output=True, text=True, timeout=timeout, check=False)
    if done.returncode:
        sys.exit(f"on {host}: exit status {done.returncode}\n{script}\n{done.stdout}{done.stderr}")
    return done.stdout


def answered_after(instant: float) -> bool | None:
    """Whether every domain has answered a question that was asked later."""
    log = domain_probe.read_log(layout.paths().client_log)
    found = {attempt.domain for attempt in log.attempts if attempt.number is not None and attempt.t > instant}
    return True if found == {plan.name for plan in DOMAINS} else None


def snow(folder: Path, *words: str) -> None:
    """Run the command, as its user would."""
    argv = network.inside(
        "env", f"SNOW_JOURNAL={folder}/journal.sqlite", sys.executable, "-m", "snowha.cli.main", *words
    )
    done = subprocess.run(argv, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"snow {' '.join(words)}: exit status {done.returncode}\n{done.stdout}{done.stderr}")


def restart() -> None:
    gone = f"while xl domid {DOMAIN} > /dev/null 2>&1; do sleep 0.2; done"
    shell("snow01", f"xl shutdown -w {DOMAIN}; {gone}; xl create -q /sNow/etc/domains/{DOMAIN}.cfg")


def warm(folder: Path) -> None:
    """With room for two snapshots in what the larger disk leaves of the volume group."""
    snow(folder, "images", "copy", DOMAIN, "--snapshot-size", "200")


def restart_after(folder: Path) -> float:
    """Restart it when it runs from its image; from when on that was."""
    began = time.time()
    warm(folder)
    wait_for(lambda: answered_after(began), timeout=900, what="all domains to answer again")
    load()
    time.sleep(WRITES_S)
    since = time.time()
    restart()
    return since


def load() -> None:
    """Let the domain write."""
    shell("snow01", TYPE, stdin=LOAD + "\n")


def guide() -> None:
    names = [plan.name for plan in DOMAINS]
    shell("snow01", GUIDE.format(domains=" ".join(names), pattern="|".join(names)))


def measured(snapshot: str, way: Callable[[], float | None]) -> float:
    """Seconds that the domain was away, from its last answer before to the first one after. ``way`` may return since when."""
    lifecycle.restore(snapshot)
    load()
    began = time.time()
    wait_for(lambda: answered_after(began), timeout=300, what="all domains to answer")
    time.sleep(WRITES_S)
    asked = time.time()
    since = way() or began + 5
    done = time.time()
    wait_for(lambda: answered_after(done), timeout=900, what="all domains to answer again")
    wrote = shell("snow01", f"debugfs -R 'cat /var/written' /dev/snow_vg/{DOMAIN}-disk 2> /dev/null").strip()
    say(
        f"it had written {wrote} MiB on its volume when it was shut down, {asked - began:.0f} s or more after it had begun"
    )
    return domain_probe.downtime(domain_probe.read_log(layout.paths().client_log), DOMAIN, since, time.time())


def prepare(snapshot: str, size: int, base: str) -> None:
    """Give the domain another disk, and keep the site so."""
    lifecycle.restore(base)
    shell("snow01", NEW_DISK.format(domain=DOMAIN, size=size, fill=FILL[snapshot]))
    since = time.time()
    wait_for(lambda: answered_after(since), timeout=600, what="the domain to answer with its new disk")
    lifecycle.save(snapshot)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--without-guide", action="store_true", help="its way takes ten minutes and more, each time")
    words = parser.parse_args()
    rounds = words.rounds
    was_up = lifecycle.is_up(layout.paths())
    if not was_up:
        lifecycle.down(say)
        lifecycle.up("trixie", say)
    try:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            lifecycle.restore(PREPARED)
            snow(folder, "ha", "init", "snow01", "snow02", "--ssh-config", str(layout.paths().ssh_config))
            prepare("smaller", FIRST_MIB, PREPARED)
            prepare("larger", FIRST_MIB * TIMES, "smaller")
            ways: dict[str, Callable[[], float | None]] = {
                "a restart": restart,
                "a restart afterwards": partial(restart_after, folder),
                "while it runs": partial(warm, folder),
                "while it is off": partial(snow, folder, "images", "copy", DOMAIN, "--cold"),
            }
            if not words.without_guide:
                ways["guide: all are off for all copies"] = guide
            for snapshot, size in (("smaller", FIRST_MIB), ("larger", FIRST_MIB * TIMES)):
                seconds: dict[str, list[float]] = {way: [] for way in ways}
                for number in range(rounds):
                    for way, work in ways.items():
                        seconds[way].append(measured(snapshot, work))
                        say(f"{size} MiB, round {number + 1} of {rounds}: {way}: away {seconds[way][-1]:.1f} s")
                more = median(seconds["while it runs"]) - median(seconds["a restart afterwards"])
                title = f"A disk of {size} MiB, 1 MiB/s written: seconds away"
                print("\n".join(table(title, seconds, against="a restart afterwards", rounds=rounds)))
                print(
                    f"While it runs: {more:.1f} s more than its own shutdown and start take, wanted: 5.\n", flush=True
                )
    finally:
        if not was_up:
            lifecycle.down(say)


if __name__ == "__main__":
    main()
