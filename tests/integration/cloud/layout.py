# SPDX-License-Identifier: Apache-2.0
"""What is on a front-end and on a host before anything of ours is there."""
import pathlib
import shutil

from .machine import HOME, Machine, python

COMMANDS = ("onehook", "onehost", "onevm", "onezone", "oneuser", "oned")
SESSION = "oneadmin:opennebula\n"
REMOTES = f"{HOME}/remotes"
TREES = ("kvm", "qemu")
PERIODS = {"host/beacon": 30, "host/monitor": 120, "host/system": 600, "vm/monitor": 30, "vm/status": 5, "vm/snapshot": 60}

# The stock probes: what a host's own file says, or nothing. They stand where OpenNebula's are.
RECORDED = """#!/bin/sh
# Stands for OpenNebula's: prints what is recorded of this host, beside the tree.
cat "${{0%/im/*}}_db/{0}.out" 2>/dev/null
exit 0
"""
PROBES = {"vm/monitor/poll.rb": "poll", "vm/status/state.rb": "state", "host/system/linux_host.rb": "system",
          "host/monitor/linux_usage.rb": "usage"}
ONED_CONF = """MANAGER_TIMER = 15
PORT = 2633
LISTEN_ADDRESS = "0.0.0.0"
SCRIPTS_REMOTE_DIR = /var/tmp/one
IM_MAD = [ NAME = "monitord", EXECUTABLE = "onemonitord", ARGUMENTS = "-c monitord.conf", THREADS = 8 ]
VM_MAD = [ NAME = "kvm", SUNSTONE_NAME = "KVM", EXECUTABLE = "one_vmm_exec", ARGUMENTS = "-l deploy=deploy.kvm kvm" ]
HM_MAD = [ EXECUTABLE = "one_hm", ARGUMENTS = "-p 2101 -l 2102 -b 127.0.0.1" ]
HOOK_LOG_CONF = [ LOG_RETENTION = 20 ]
"""
MONITORD_CONF = """NETWORK = [ ADDRESS = "0.0.0.0", MONITOR_ADDRESS = "auto", PORT = 4124, THREADS = 8, PUBKEY = "", PRIKEY = "" ]
PROBES_PERIOD = [ BEACON_HOST = 30, SYSTEM_HOST = 600, MONITOR_HOST = 120, STATE_VM = 5, MONITOR_VM = 30, SYNC_STATE_VM = 180 ]
VM_MONITORING_EXPIRATION_TIME = 43200
"""
VM_TAB = """---
# Which tabs a VM has in Sunstone.
resource_name: "VM"
info-tabs:
  info:
    enabled: true
    monitoring_panel:
      enabled: true
"""


def wrapper(machine, name):
    """A command as a file: it starts command.py, wherever it is called."""
    return (f'#!/bin/sh\nexec {python()} -IS {machine.state}/lib/command.py {machine.state} "{machine.prefix}" {name} "$@"\n')


def copy_library(directory):
    """The commands' own files, where every user can read them."""
    shutil.copytree(pathlib.Path(__file__).parent, directory / "lib",
                    ignore=shutil.ignore_patterns("__pycache__", "recorded"))
    for path in [directory, directory / "lib", *(directory / "lib").iterdir()]:
        path.chmod(0o755)


def front_end(machine, kvmrc, version="7.4.0"):
    """A front-end with OpenNebula installed and nothing configured."""
    for name in COMMANDS:
        machine.write(f"/usr/bin/{name}", wrapper(machine, name), 0o755, "root")
    for name in ("ssh", "scp"):
        if isinstance(machine, Machine):
            machine.path(f"/usr/bin/{name}").unlink(missing_ok=True)
        machine.write(f"/usr/bin/{name}", wrapper(machine, name), 0o755, "root")
    if isinstance(machine, Machine):
        machine.path("/usr/bin/systemctl").unlink(missing_ok=True)
        machine.write("/usr/bin/systemctl", wrapper(machine, "systemctl"), 0o755, "root")
    for path, text, mode in (("/etc/one/oned.conf", ONED_CONF, 0o640), ("/etc/one/monitord.conf", MONITORD_CONF, 0o640),
                             ("/etc/one/sched.conf", 'MESSAGE_SIZE = 1073741824\nSCHED_INTERVAL = 15\n', 0o640),
                             ("/etc/one/onehem-server.conf", ":debug_level: 2\n:concurrency: 10\n", 0o640),
                             ("/etc/one/fireedge/sunstone/views/admin/vm-tab.yaml", VM_TAB, 0o640)):
        machine.write(path, text, mode, "root")
    if isinstance(machine, Machine):  # root's, read by the group
        for path in machine.path("/etc/one").rglob("*"):
            _give(path, 0, 9869)
            if path.is_dir():
                path.chmod(0o750)
        _give(machine.path("/etc/one"), 0, 9869)
        machine.path("/etc/one").chmod(0o750)
    _home(machine)
    _remotes(machine, kvmrc, version)
    for name in ("oned.log", "monitor.log", "onehem.log", "sched.log"):
        machine.write(f"/var/log/one/{name}", "")
    machine.own(machine.path("/var/log/one"))
    machine.write("/usr/lib/one/ruby/cli/one_helper.rb", f"# ONE_VERSION = '{version}'\n", 0o644, "root")


def _give(path, user, group):
    import os
    os.chown(path, user, group)


def _home(machine):
    machine.write(f"{HOME}/.one/one_auth", SESSION, 0o600)
    machine.path(f"{HOME}/.one").chmod(0o700)
    machine.write(f"{HOME}/.ssh/id_rsa", "not a key: the stand-in's ssh needs none\n", 0o600)
    machine.write(f"{HOME}/.ssh/authorized_keys", "", 0o600)
    machine.path(f"{HOME}/.ssh").chmod(0o700)
    machine.own(machine.path(HOME))
    machine.path(HOME).chmod(0o750)


def _remotes(machine, kvmrc, version):
    files = {"VERSION": version + "\n", "hooks/ft/host_error.rb": "#!/bin/sh\nexit 0\n", "scripts_common.sh": "# common\n",
             "etc/vmm/kvm/kvmrc": kvmrc}
    for tree in TREES:
        for path, name in PROBES.items():
            files[f"im/{tree}-probes.d/{path}"] = RECORDED.format(name)
        files[f"im/{tree}-probes.d/host/beacon/monitord-client-shepherd.sh"] = "#!/bin/sh\nexit 0\n"
        files[f"im/{tree}.d/monitord-client.rb"] = "#!/bin/sh\n# Stands for OpenNebula's agent, which the test plays itself.\nexit 0\n"
        files[f"etc/im/{tree}-probes.d/probe_db.conf"] = ":obsolete: 720\n:times_missing: 5\n"
    for path, text in files.items():
        machine.write(f"{REMOTES}/{path}", text, 0o755 if text.startswith("#!") else 0o644)
    machine.path(f"{REMOTES}/lib").mkdir(exist_ok=True)
    machine.own(machine.path(f"{REMOTES}/lib"))
    link = machine.path(f"{REMOTES}/lib/scripts_common.sh")
    link.symlink_to("../scripts_common.sh")
    machine.own(link)
    machine.own(machine.path(REMOTES))
    for directory in ("vm/snapshot", "vm/execution"):
        for tree in TREES:
            made = machine.path(f"{REMOTES}/im/{tree}-probes.d/{directory}")
            made.mkdir(parents=True, exist_ok=True)
            machine.own(made)


def host(machine):
    """A host that OpenNebula has not been on yet."""
    machine.path(HOME).mkdir(parents=True, exist_ok=True)
    machine.path("/var/tmp/one_db").mkdir(exist_ok=True)
    for path in (HOME, "/var/tmp/one_db"):
        machine.own(machine.path(path))
