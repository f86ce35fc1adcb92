"""What keeps an emulated Debian from being busy with itself. Nothing of it changes what the site does."""

from __future__ import annotations

from pathlib import Path

from snowha.lab.tree import link, write

UNITS = (
    "apt-daily.timer", "apt-daily-upgrade.timer", "blk-availability.service", "dev-mqueue.mount", "dpkg-db-backup.timer",
    "e2scrub_all.timer", "e2scrub_reap.service", "fstrim.timer", "getty@tty1.service", "grub-common.service",
    "kmod-static-nodes.service", "logrotate.timer", "lvm2-monitor.service", "man-db.timer", "modprobe@configfs.service",
    "modprobe@drm.service", "modprobe@efi_pstore.service", "modprobe@fuse.service", "nfs-blkmap.service",
    "proc-sys-fs-binfmt_misc.automount", "rpc-statd-notify.service", "sys-fs-fuse-connections.mount",
    "sys-kernel-config.mount", "sys-kernel-debug.mount", "sys-kernel-tracing.mount", "systemd-ask-password-console.path",
    "systemd-ask-password-wall.path", "systemd-binfmt.service", "systemd-creds.socket", "systemd-fsck-root.service",
    "systemd-hostnamed.socket", "systemd-initctl.socket", "systemd-journal-flush.service", "systemd-journald-audit.socket",
    "systemd-logind.service", "systemd-networkd-wait-online.service", "systemd-pcrphase.service", "systemd-pstore.service",
    "systemd-random-seed.service", "systemd-sysext.socket", "systemd-timesyncd.service", "systemd-tmpfiles-clean.timer",
    "systemd-udev-load-credentials.service", "systemd-update-utmp.service", "tmp.mount",
)  # fmt: skip
"""What would call out, or only costs time under emulation: each unit a second or more at boot."""

DOMAIN_UNITS = (
    "dev-hugepages.mount", "getty-static.service", "ldconfig.service", "networking.service", "run-lock.mount",
    "systemd-firstboot.service", "systemd-hwdb-update.service", "systemd-journal-catalog-update.service",
    "systemd-modules-load.service", "systemd-networkd.service", "systemd-networkd.socket", "systemd-sysctl.service",
    "systemd-sysusers.service", "systemd-tmpfiles-setup-dev-early.service", "systemd-tmpfiles-setup-dev.service",
    "systemd-update-done.service",
)  # fmt: skip
"""The same for a domain, which has its network from a script, its modules from the initramfs, and nobody who logs in."""

GENERATORS = (
    "systemd-debug-generator", "systemd-gpt-auto-generator", "systemd-hibernate-resume-generator",
    "systemd-rc-local-generator", "systemd-run-generator", "systemd-ssh-generator", "systemd-system-update-generator",
    "systemd-tpm2-generator",
)  # fmt: skip
"""Programs that systemd runs at boot and at each reload to find, here, that there is nothing to do. The one for ssh loads the
kernel's virtual sockets for that, for 10 s."""

DOMAIN_GENERATORS = ("systemd-getty-generator", "systemd-sysv-generator")

COLDPLUG_FILE = "etc/systemd/system/systemd-udev-trigger.service.d/lab.conf"
COLDPLUG = """\
[Service]
ExecStart=
ExecStart=-udevadm trigger --type=devices --action=add --subsystem-match=block --subsystem-match=net
ExecStart=-udevadm trigger --type=devices --action=add --sysname-match=hvc0 --sysname-match=ttyS0
"""
"""Only the disks, cards and consoles that machines and domains have. All else that a kernel knows (64
terminals, every function of the chipset) is asked for nothing, for most of a minute under emulation."""

SAME_ADDRESSES = "kernel.randomize_va_space = 0\n"
"""For sysctl.d(5). What an emulator has translated it finds again by its address: programs that begin at another address each
time are translated anew each time, which doubles the time of every command."""

KEEP_MEMORY = "GLIBC_TUNABLES=" + ":".join(
    ("glibc.malloc.trim_threshold=268435456", "glibc.malloc.mmap_threshold=33554432", "glibc.malloc.top_pad=1048576")
)
"""For environments (glibc's manual, "Memory Allocation Tunables"). Every page that a process gives back and takes again is a
fault, and under Xen a call of the hypervisor: a transfer over ssh spent four fifths of its time in the kernel."""


def apply_tuning(root: Path, *, domain: bool, log_mib: int) -> None:
    """Mask units and generators and write the settings above into the tree of a machine or a ``domain``.

    ``log_mib``: for the journal, which is kept in memory.
    """
    for unit in (*UNITS, *(DOMAIN_UNITS if domain else ())):
        link(root, f"etc/systemd/system/{unit}", "/dev/null")
    for generator in (*GENERATORS, *(DOMAIN_GENERATORS if domain else ())):
        link(root, f"etc/systemd/system-generators/{generator}", "/dev/null")
    write(root, COLDPLUG_FILE, COLDPLUG)
    write(root, "etc/sysctl.d/lab.conf", SAME_ADDRESSES)
    write(root, "etc/systemd/journald.conf.d/lab.conf", f"[Journal]\nStorage=volatile\nRuntimeMaxUse={log_mib}M\n")
