"""The files of a working single sNow! server, in sNow! 2.0's form: snow.conf, active-domains.conf, domain configs."""

from __future__ import annotations

from pathlib import Path

from snowha.lab import layout
from snowha.lab.layout import DOMAINS, DomainPlan

SNOW_CONF = f"""\
#########################################################################################
# sNow! config file : /sNow/etc/snow.conf
#########################################################################################

#                 [ sNow & NFS Server ]
SNOW_PATH=/sNow
SNOW_HOME=/home
SNOW_SOFT=${{SNOW_PATH}}/easybuild
SNOW_CONF=${{SNOW_PATH}}/snow-configspace
SNOW_TOOL=${{SNOW_PATH}}/snow-tools

# Keep the 600 permissions on it as it may contain plain text passwords
SNOW_LOG=${{SNOW_PATH}}/log
LOGFILE=${{SNOW_LOG}}/snow.log
NFS_SERVER=nfs01

MOUNT_NFS[1]="${{NFS_SERVER}}:/export/home  /home  nfs4  defaults 0 0"
MOUNT_NFS[2]="${{NFS_SERVER}}:/export/sNow  /sNow  nfs4  defaults 0 0"

#                 [ Virtualization Technology ]
VIRT_TECH=XEN

#                 [ LVM disk management ]
# LVM: The domains will be stored inside a Logical Volume created in the snow_vg
# Volume Group.
IMG_DST='lvm=snow_vg'

# Loopback file
#IMG_DST='dir=/sNow'

# NFSROOT
#IMG_DST='nfs=$NFS_SERVER:/sNow/domains' # (experimental)

#                [ sNow! Management Servers ]
# Example of a system with two sNow! management servers:
# SNOW_NODES=( snow01 snow02 )
#
# Example of a system with only one sNow! management server:
SNOW_NODES=( snow01 )

#               [ Admin Users ]
ADMIN_USERS="root snow"
ADMIN_GROUPS="root snow"
MASTER_PASSWORD='HPCN0w!! "quoted" $5'
sNow_GID=2000
sNow_GROUP=snow
sNow_UID=2000
sNow_USER=snow

#                 [ Network definitions ]
# Network Setup [ Bridge, Gateway, First IP, Network, Netmask , Hostname extension ]
NET_SNOW=( 'xsnow0' '192.168.8.1' '192.168.8.1' '192.168.8.' '255.255.255.0' '' )
NET_COMP=( 'xsnow0' '192.168.8.1' '192.168.8.101' '192.168.8.' '255.255.255.0' '' )
NET_MGMT=( 'ens4' '10.0.0.1' '10.0.0.101' '10.0.0.' '255.255.255.0' '-mgmt' )
#NET_DMZ=( 'xdmz0' '172.16.1.254' '172.16.1.1' '172.16.1.' '255.255.255.0' '-dmz' )

#                 [ IPMI Access ]
IPMI_TYPE=lanplus
IPMI_USER={layout.IPMI_USER}
IPMI_PASSWORD='{layout.IPMI_PASSWORD}'

#                 [ Boot delay ]
BLOCKN=12
BLOCKD=5
BOOT_DELAY=300

#                [ Cluster definition ]
CLUSTERS=([mycluster01]="knl[01-99]" [mycluster02]="hsw[01-99]")
GOLDEN_NODES=( knl-01 hsw-01 )

DEFAULT_CONSOLE_OPTIONS="console=tty0 console=ttyS0,115200n8"

#             [ DNS options ]
DNS_SERVERS=192.168.8.250
DOMAIN=lab.example
TIMEZONE=Europe/Madrid

# SLURM partitions
SLURM_PARTITION[1]="PartitionName=high    Nodes=knl[01-99]  Default=NO  Priority=100 MaxTime=4:00:00"
SLURM_PARTITION[2]="PartitionName=low     Nodes=knl[01-99],hsw[01-99]  Default=YES Priority=25  MaxTime=168:00:00"
"""


def active_domains() -> str:
    """active-domains.conf: the server itself, then the domains with their roles."""
    lines = [
        "# Here you can define the role to be deployed in your domains",
        "# The role name MUST match with the bash script located in the following path",
        "#    /sNow/snow-tools/etc/role.d/[role-name]",
        f"{'snow01':<12} snow",
    ]
    return "\n".join([*lines, *(f"{domain.name:<12} {domain.roles}" for domain in DOMAINS)]) + "\n"


def domain_config(plan: DomainPlan, kernel_version: str) -> str:
    """A domain's config as xen-tools, and so sNow!, writes it: paravirtual, on logical volumes."""
    return f"""\
#
# Configuration file for the Xen instance {plan.name}, created
# by xen-tools 4.9.1 on Fri Oct  2 02:26:29 2020.
#

#
#  Kernel + memory size
#
kernel      = '/boot/domain-vmlinuz-{kernel_version}'
extra       = 'elevator=noop console=hvc0 panic=10 {layout.QUICK_KERNEL} quiet'
ramdisk     = '/boot/domain-initrd.img-{kernel_version}'

vcpus       = '1'
memory      = '{plan.memory}'


#
#  Disk device(s).
#
root        = '/dev/xvda2 ro'
disk        = [
                  'phy:/dev/snow_vg/{plan.name}-disk,xvda2,w',
                  'phy:/dev/snow_vg/{plan.name}-swap,xvda1,w',
              ]


#
#  Physical volumes
#


#
#  Hostname
#
name        = '{plan.name}'

#
#  Networking
#
vif         = [ 'ip={plan.address} ,mac={plan.mac},bridge=xsnow0' ]

#
#  Behaviour
#
on_poweroff = 'destroy'
on_reboot   = 'restart'
on_crash    = 'restart'


"""


def write(folder: Path, kernel_version: str) -> None:
    """Everything below /sNow."""
    for name in ("etc/domains", "etc/role.d", "domains", "log"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    conf = folder / "etc/snow.conf"
    conf.write_text(SNOW_CONF)
    conf.chmod(0o600)
    (folder / "etc/active-domains.conf").write_text(active_domains())
    for plan in DOMAINS:
        (folder / f"etc/domains/{plan.name}.cfg").write_text(domain_config(plan, kernel_version))
