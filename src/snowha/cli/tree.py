"""What ``snow`` has: its groups and their verbs, each with its one line of help. Nothing else is imported to show it."""

from __future__ import annotations

import click

from snowha import __version__
from snowha.cli import verbosity
from snowha.cli.lazy import LazyGroup, Verb
from snowha.cli.options import SITE, SSH_CONFIG

HA = {
    "init": Verb("ha_init:init", "Read the site and write ha.toml."),
    "check": Verb("ha_check:check", "Check everything that the migration needs, on every server at once."),
    "plan": Verb("ha_apply:plan", "Show what `snow ha apply` would do now. Changes nothing."),
    "apply": Verb("ha_apply:apply", "Carry out the migration, or what is left of it."),
    "status": Verb("ha_status:status", "Show what is wrong, servers, links, fencing, and where domains run."),
    "resolve": Verb("ha_resolve:resolve", "Show the leftovers of broken live migrations, and what would be done."),
    "metrics": Verb("ha_metrics:metrics_", "Print the state of the site as metrics for Prometheus."),
    "report": Verb("ha_report:report_", "Write one archive for a support case, without secrets."),
    "log": Verb("ha_log:log", "Show what was done to the site: runs, steps, and commands."),
    "undo": Verb("ha_undo:undo", "Take the migration back, down to the single server."),
}
IMAGES = {
    "list": Verb("images:list_", "Show every image: its size, its state, and its old volume."),
    "copy": Verb("images:copy", "Copy DOMAIN from its volumes to images while it runs."),
    "verify": Verb("images:verify", "Compare DOMAIN's images with what was copied."),
    "restore": Verb("images:restore", "Copy DOMAIN's images back into its volumes."),
    "discard": Verb("images:discard", "Remove the volumes that DOMAIN ran from before."),
}
LIST = {
    "domains": Verb("listing:domains", "List domains: where each runs, and whether it answers."),
    "servers": Verb("listing:servers", "List servers: their state, memory in MiB, and domains."),
}
START = {"site": Verb("site:start", "Start the whole site, after a power cut or `snow stop site`.")}
STOP = {"site": Verb("site:stop", "Shut down every domain and the cluster, for work on the storage.")}
SHOW = {"domain": Verb("listing:domain", "Show a domain: its config, where it runs, its images.")}
ADD = {"domain": Verb("add_resize_remove:add", "Add a domain: a copy of another, from an image, or empty.")}
REMOVE = {"domain": Verb("add_resize_remove:remove", "Remove a domain that is off. Its images stay.")}
RESIZE = {"domain": Verb("add_resize_remove:resize", "Give a domain other memory, vCPUs, or a larger disk.")}
LAB = {
    "up": Verb("lab:up", "Start the site; the first start builds it."),
    "down": Verb("lab:down", "Stop everything that the lab started."),
    "status": Verb("lab:status", "Show machines, their power, snapshots, and domains."),
    "ssh": Verb("lab:ssh", "Log in to a machine as root, or run a command there."),
    "exec": Verb("lab:exec_", "Run a command of this machine inside the site's network."),
    "console": Verb("lab:console", "Open a machine's serial console. Ctrl-] leaves it."),
    "save": Verb("lab:save", "Save the whole running site under NAME."),
    "restore": Verb("lab:restore", "Restore the whole site to the snapshot NAME."),
    "power": Verb("lab:power", "Switch a machine's power off or on."),
    "cable": Verb("lab:cable", "Plug or pull a machine's cable to a network."),
    "bmc": Verb("lab:bmc", "Give a server's BMC a fault, or remove it."),
    "demo": Verb("lab:demo", "Run the whole demonstration, and write a report of it."),
}


@click.group(cls=LazyGroup, verbs=HA)
def ha() -> None:
    """Make a single sNow! server a highly available cluster.

    `init` writes ha.toml, `check` and `plan` show what the migration needs and would do, `apply` carries it out, and `undo` takes
    it back. Afterwards `status`, `resolve`, `log`, `report` and `metrics` are about the cluster that it has made.
    """


@click.group(cls=LazyGroup, verbs=IMAGES)
def images() -> None:
    """Manage domains' disks as images on the shared storage.

    `snow ha apply` copies the domains of ha.toml: these verbs are for single ones, and for the volumes that are left when all run
    from images.
    """


@click.group("list", cls=LazyGroup, verbs=LIST)
def list_() -> None:
    """List domains or servers, as they are now.

    Where a domain runs is asked of the hypervisors, not of Pacemaker. What a server that does not answer may run is `unknown`,
    never `off`.
    """


@click.group(cls=LazyGroup, verbs=SHOW)
def show() -> None:
    """Show one domain, as it is now.

    Where it runs is asked of the hypervisors, and whether it is to run of Pacemaker.
    """


@click.group(cls=LazyGroup, verbs=ADD)
def add() -> None:
    """Add a domain to the site.

    Its disks, its config and its place in Pacemaker and ha.toml are made in one run. The plan is shown first.
    """


@click.group(cls=LazyGroup, verbs=REMOVE)
def remove() -> None:
    """Remove a domain from the site.

    Its place in Pacemaker and ha.toml, and its config, go in one run. The plan is shown first, and a question asked.
    """


@click.group(cls=LazyGroup, verbs=RESIZE)
def resize() -> None:
    """Give a domain another size.

    Its config and Pacemaker's configuration are changed in one run. The plan is shown first.
    """


@click.group(cls=LazyGroup, verbs=START)
def start() -> None:
    """Start everything, in the right order.

    Servers without power, storage, cluster and domains, each when what it needs is up.
    """


@click.group(cls=LazyGroup, verbs=STOP)
def stop() -> None:
    """Shut everything down, in the right order.

    Domains first, then the cluster. The servers stay on.
    """


@click.group(cls=LazyGroup, verbs=LAB)
def lab() -> None:
    """Emulate a whole sNow! site on this machine, for experiments.

    Xen servers, storage, BMCs and domains, emulated and real. Needs root. Nothing in it can reach, or be reached from, any
    network.
    """


@click.group(
    cls=LazyGroup,
    verbs={
        "ha": Verb("tree:ha", "Make a single sNow! server a highly available cluster."),
        "list": Verb("tree:list_", "List domains or servers, as they are now."),
        "show": Verb("tree:show", "Show one domain, as it is now."),
        "status": Verb("ha_status:status", "Show what is wrong, servers, links, fencing, and where domains run."),
        "dashboard": Verb("dashboard:dashboard", "Serve one page that shows the site live, until Ctrl-C."),
        "boot": Verb("power:boot", "Boot domains, and wait until each answers."),
        "shutdown": Verb("power:shutdown", "Shut domains down, and wait until their images are free."),
        "poweroff": Verb("power:poweroff", "Do the same as `snow shutdown`, under sNow!'s other name."),
        "reboot": Verb("power:reboot", "Reboot domains, and wait until each answers."),
        "reset": Verb("power:reset", "Cut the power of domains, and boot them."),
        "destroy": Verb("power:destroy", "Cut the power of domains, which then stay off."),
        "console": Verb("power:console", "Open a domain's console, on the server that runs it."),
        "move": Verb("moves:move", "Move a domain to another server while it runs."),
        "drain": Verb("moves:drain", "Move everything off a server, and keep it off."),
        "undrain": Verb("moves:undrain", "Let a drained server run domains again."),
        "rebalance": Verb("moves:rebalance", "Even out the servers' memory with few moves."),
        "add": Verb("tree:add", "Add a domain to the site."),
        "resize": Verb("tree:resize", "Give a domain another size."),
        "remove": Verb("tree:remove", "Remove a domain from the site."),
        "init": Verb("new_server:init", "Set up a new server for the site, and nothing else."),
        "upgrade": Verb("upgrade:upgrade", "Upgrade the packages of servers, one after the other."),
        "disarm": Verb("arming:disarm", "Suspend recovery and fencing, for work on the network."),
        "arm": Verb("arming:arm", "End `snow disarm`: resume recovery and fencing."),
        "stop": Verb("tree:stop", "Shut everything down, in the right order."),
        "start": Verb("tree:start", "Start everything, in the right order."),
        "images": Verb("tree:images", "Manage domains' disks as images on the shared storage."),
        "lab": Verb("tree:lab", "Emulate a whole sNow! site on this machine, for experiments."),
    },
    context_settings={"help_option_names": ["-h", "--help"]},
)
@SITE
@SSH_CONFIG
@click.version_option(__version__, prog_name="snow")
def snow() -> None:
    """Highly available service domains for sNow! sites.

    \b
    Exit codes: 0 done · 1 other error · 2 wrong input
    3 a server, BMC or storage does not answer · 4 the site forbids it
    5 a command failed · 6 a proof failed · 130 interrupted
    """


snow.params[:0] = verbosity.options()
