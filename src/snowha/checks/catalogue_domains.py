"""The findings about domains: their configs, names, disks and kernels (see catalogue.py)."""

from __future__ import annotations

from snowha.checks.entry import Entry
from snowha.errors import InputError

DOMAIN_ENTRIES: dict[str, Entry] = {
    "config-unreadable": Entry(
        "A domain's config cannot be read",
        "stop",
        "It is unknown what this domain needs, and it cannot be started again.",
        "correct the file, or move it out of the folder",
        error=InputError,
    ),
    "config-missing": Entry(
        "A domain in ha.toml has no config",
        "stop",
        "It cannot be started again.",
        "put its config into the folder, or remove its [[domain]] in ha.toml",
        error=InputError,
    ),
    "duplicate-name": Entry(
        "Two domains with one name",
        "stop",
        "One would be mistaken for the other.",
        "rename all but one, or move the config that is not used out of the folder",
        error=InputError,
    ),
    "duplicate-mac": Entry(
        "A MAC address used twice",
        "stop",
        "The two domains receive each other's traffic.",
        "give each virtual network interface its own MAC address",
        error=InputError,
    ),
    "duplicate-ip": Entry(
        "An IP address used twice",
        "stop",
        "The two machines receive each other's traffic.",
        "give each its own address",
        error=InputError,
    ),
    "duplicate-vifname": Entry(
        "A vifname used twice",
        "stop",
        "A server has no two network interfaces of one name: of two such domains only one can be started on it.",
        "give each network card a vifname of its own, or none",
        error=InputError,
    ),
    "duplicate-uuid": Entry(
        "A UUID used twice",
        "warn",
        "Xen and its tools tell domains by it: `xl vm-list` shows two as one, and what the one leaves behind in xenstore when it "
        "ends is taken from the other.",
        "remove the lines with uuid: Xen gives each domain one of its own",
    ),
    "shared-disk": Entry(
        "One disk used by two domains",
        "stop",
        "Two writers destroy the file system.",
        "give each domain its own disk",
        error=InputError,
    ),
    "image-name": Entry(
        "Two images under one name",
        "stop",
        "One would overwrite the other, and an undo would write it into both volumes.",
        "rename one of the volumes or files, and correct the config that names it",
        error=InputError,
    ),
    "image-there": Entry(
        "Another file is in the place of an image",
        "stop",
        "It was not copied by snow-ha, and would be replaced.",
        "check what it is, and move it away: mv FILE FILE.before",
    ),
    "disk-unmovable": Entry(
        "A disk that cannot become an image as it is",
        "stop",
        "An image holds what the domain sees, byte for byte, and is attached by dom0's block backend. A copy of anything else "
        "would be taken for what it is not. For that a qcow2 or VHD file is converted.",
        "shut the domain down, convert the disk (qemu-img convert -O raw), correct the config, start it, then run this again",
    ),
    "cd-elsewhere": Entry(
        "A disc in a CD drive that a server does not have",
        "warn",
        "The domain cannot start there: discs are not copied.",
        "put it on the shared file system, or remove it from the config",
    ),
    "vif-script": Entry(
        "A server lacks the script of a domain's network interface",
        "warn",
        "The domain cannot start there: xl waits for a script that is not part of Xen.",
        "copy it there from the server that has it, with its mode",
    ),
    "config-left-alone": Entry(
        "A config in the folder cannot be used",
        "note",
        "ha.toml does not name its domain, so nothing is done with it; its disks are unknown.",
        "correct it, or move it out of the folder",
    ),
    "missing-volume": Entry(
        "A domain's disk does not exist",
        "stop",
        "The domain cannot be copied, and cannot start.",
        "make the volume available (lvs, vgchange -ay) or correct the config",
    ),
    "missing-kernel": Entry(
        "A domain's kernel or ramdisk does not exist",
        "stop",
        "The domain cannot start again once it is shut down.",
        "put the file there, or correct the config",
    ),
    "kernel-differs": Entry(
        "A domain's kernel is missing or different on a server",
        "warn",
        "The domain cannot start there, or starts with a different kernel.",
        "`snow ha check --fix` copies it from the first server",
        fix="servers.kernels.{server}",
    ),
    "kernel-booted": Entry(
        "A domain's kernel has the name of a file that a server boots from",
        "stop",
        "A server's ramdisk is its own, and GRUB boots the newest kernel in /boot, with modules or without: a server that got "
        "another one's would not come back. So it is not copied, and the domain cannot start there.",
        "copy kernel and ramdisk of the domains to names that GRUB does not know, and name these in their configs",
    ),
    "runs-twice": Entry(
        "A domain runs on two servers",
        "stop",
        "Both write to one image. Every minute makes the damage worse.",
        "shut one of them down now: xl shutdown NAME, and check its file system",
    ),
    "half-migrated": Entry(
        "A leftover of a broken migration",
        "stop",
        "NAME--incoming and NAME--migratedaway are what a broken migration leaves. Resuming the wrong one loses data.",
        "see the leftovers and what would be done: snow ha resolve",
    ),
    "crashed": Entry(
        "A domain has crashed or cannot be removed",
        "warn",
        "The hypervisor still has it, but it does not run.",
        "check it: xl console NAME, then: xl destroy NAME",
    ),
    "no-live-migration": Entry(
        "A domain that cannot be live-migrated",
        "note",
        "The hypervisor cannot migrate this type of domain while it runs, or its config forbids it. It is restarted on the other "
        "server instead.",
        "a PV domain becomes PVH during the migration if its kernel can; nomigrate can be taken out of its config; else nothing "
        "can be done on this Xen",
    ),
    "server-hardware": Entry(
        "A domain that depends on its server",
        "warn",
        "Another server can start it only if it has the same resource: a device at the same address, reserved for domains, a CPU "
        "pool or a driver domain of that name, an address to listen on, a folder or file. Such a file is neither moved nor "
        "guarded by a lease. It cannot be live-migrated, and a PV domain does not become PVH.",
        "give every server the same, or remove the setting from the config, or the domain from ha.toml",
    ),
    "on-poweroff": Entry(
        "A domain that xl keeps or starts again when it has shut down",
        "stop",
        "A shutdown never ends: kept, it has its disks and its name, and cannot be started; started again, Pacemaker destroys it "
        "while it boots, whenever it is to be stopped. Pacemaker itself starts a domain that was shut down from inside.",
        "write on_poweroff = 'destroy' into its config, and start it anew: xl shutdown -w NAME, then xl create CONFIG",
    ),
    "maxmem-below-memory": Entry(
        "A domain whose maxmem is below its memory",
        "warn",
        "xl says nothing about it. A PVH or HVM domain is built with maxmem, a PV domain with memory: one that becomes PVH in "
        "the migration has less from then on.",
        "write a maxmem into its config that is not below memory, or remove it",
    ),
    "cpus-missing": Entry(
        "A domain is bound to CPUs that a server does not have",
        "stop",
        "Xen refuses such a binding: the domain does not start there. CPUs are numbered from 0 across the whole machine.",
        "name CPUs in its config that every server has, or remove cpus",
    ),
    "no-room-after-loss": Entry(
        "Not enough memory when a server is lost",
        "warn",
        "Some domains would stay down until it is back.",
        "give the domains less memory or the servers more, or add a server",
    ),
    "autostart": Entry(
        "A domain that Pacemaker manages also starts at boot",
        "warn",
        "A server that boots would start it a second time while it runs elsewhere.",
        "remove it from the folder of xendomains, /etc/xen/auto",
        fix="pacemaker.autostart",
    ),
}
