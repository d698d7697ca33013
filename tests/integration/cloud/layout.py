# SPDX-License-Identifier: Apache-2.0
"""What is on a front-end and on a host before anything of ours is there."""
import compileall
import os
import pathlib
import py_compile
import shutil
import subprocess

from .machine import HOME, MOUNT, ONEADMIN, Machine, python

COMMANDS = ("onehook", "onehost", "onevm", "onezone", "oneuser", "oned", "ssh", "scp")
SESSION = "oneadmin:opennebula\n"
REMOTES = f"{HOME}/remotes"
TREES = ("kvm", "qemu")
PERIODS = {"host/beacon": 30, "host/monitor": 120, "host/system": 600, "vm/monitor": 30, "vm/status": 5, "vm/execution": 5,
           "vm/snapshot": 60}  # seconds

# The stock probes: what a host's own file says, or nothing. They stand where OpenNebula's are.
RECORDED = """#!/bin/sh
# Stands for OpenNebula's: prints what is recorded of this host, beside the tree.
cat "${{0%/im/*}}_db/{0}.out" 2>/dev/null
exit 0
"""
PROBES = {"vm/monitor/poll.rb": "poll", "vm/status/state.rb": "state", "vm/execution/exec.rb": "exec", "host/system/linux_host.rb": "system",
          "host/monitor/linux_usage.rb": "usage"}
AGENT = "#!/bin/sh\n# Stands for OpenNebula's agent, which the test plays itself (agent.py).\nexit 0\n"
SUDO = """#!/bin/sh
# sudo as root calls it; nobody else may.
user=root
while [ $# -gt 0 ]; do
  case $1 in
    -u) user=$2; shift 2 ;;
    -H|-E|-n|--) shift ;;
    -*) echo "sudo: the stand-in does not know $1" >&2; exit 1 ;;
    *) break ;;
  esac
done
[ "$(id -u)" = 0 ] || { echo "sudo: a password is required" >&2; exit 1; }
HOME=$(getent passwd "$user" | cut -d: -f6) exec setpriv --reuid "$user" --regid "$user" --init-groups "$@"
"""
ONED_CONF = """MANAGER_TIMER = 15
PORT = 2633
LISTEN_ADDRESS = "0.0.0.0"
SCRIPTS_REMOTE_DIR = /var/tmp/one
IM_MAD = [ NAME = "monitord", EXECUTABLE = "onemonitord", ARGUMENTS = "-c monitord.conf", THREADS = 8 ]
VM_MAD = [ NAME = "kvm", SUNSTONE_NAME = "KVM", EXECUTABLE = "one_vmm_exec", ARGUMENTS = "-l deploy=deploy.kvm kvm" ]
HM_MAD = [ EXECUTABLE = "one_hm", ARGUMENTS = "-p 2101 -l 2102 -b 127.0.0.1" ]
HOOK_LOG_CONF = [ LOG_RETENTION = 20 ]
"""
MONITORD_CONF = """NETWORK = [ ADDRESS = "0.0.0.0", MONITOR_ADDRESS = "auto", PORT = 4124, THREADS = 8 ]
PROBES_PERIOD = [
    BEACON_HOST = 30, SYSTEM_HOST = 600, MONITOR_HOST = 120, STATE_VM = 5, MONITOR_VM = 30, SYNC_STATE_VM = 180 ]
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
    """A command as a file, wherever it is called: the crew of a machine runs it; without one it starts command.py."""
    if isinstance(machine, Machine):
        return machine.path(f"{machine.state}/lib/caller").read_bytes()
    command = f'{python()} -IS {machine.state}/lib/command.py {machine.state} "{machine.prefix}" {name}'
    return f'#!/bin/sh\nexec {command} "$@"\n'


def copy_library(directory):
    """The commands' own files, where every user can read them; compiled, as they are started often."""
    shutil.copytree(pathlib.Path(__file__).parent, directory / "lib",
                    ignore=shutil.ignore_patterns("__pycache__", "recorded"))
    lib = directory / "lib"
    subprocess.run(["cc", "-O1", "-D_GNU_SOURCE", f'-DCREW="{MOUNT}/crew-%s"', "-o", lib / "caller", lib / "caller.c"], check=True,
                   timeout=60)
    compileall.compile_dir(lib, quiet=2, invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH)
    for path in [directory, lib, *lib.rglob("*")]:
        path.chmod(0o755)


def front_end(machine, kvmrc, version="7.4.0"):
    """A front-end with OpenNebula installed and nothing configured."""
    programs = {name: wrapper(machine, name) for name in COMMANDS}
    if isinstance(machine, Machine):
        programs |= {"systemctl": wrapper(machine, "systemctl"), "sudo": SUDO}
    for name, text in programs.items():
        machine.path(f"/usr/bin/{name}").unlink(missing_ok=True)
        machine.write(f"/usr/bin/{name}", text, 0o755, "root")
    for path, text, mode in (("/etc/one/oned.conf", ONED_CONF, 0o640), ("/etc/one/monitord.conf", MONITORD_CONF, 0o640),
                             ("/etc/one/sched.conf", 'MESSAGE_SIZE = 1073741824\nSCHED_INTERVAL = 15\n', 0o640),
                             ("/etc/one/onehem-server.conf", ":debug_level: 2\n:concurrency: 10\n", 0o640),
                             ("/etc/one/fireedge/sunstone/views/admin/vm-tab.yaml", VM_TAB, 0o640)):
        machine.write(path, text, mode, "root")
    if isinstance(machine, Machine):  # root's, read by the group
        top = machine.path("/etc/one")
        for path in [top, *top.rglob("*")]:
            os.chown(path, 0, ONEADMIN)
            if path.is_dir():
                path.chmod(0o750)
    _home(machine)
    _remotes(machine, kvmrc, version)
    for name in ("oned.log", "monitor.log", "onehem.log", "sched.log"):
        machine.write(f"/var/log/one/{name}", "")
    machine.own(machine.path("/var/log/one"))
    machine.write("/usr/lib/one/ruby/cli/one_helper.rb", f"# ONE_VERSION = '{version}'\n", 0o644, "root")


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
        files[f"im/{tree}.d/monitord-client.rb"] = AGENT
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
    for path in (HOME, "/var/tmp/one_db"):
        machine.path(path).mkdir(parents=True, exist_ok=True)
        machine.own(machine.path(path))
    if isinstance(machine, Machine):
        machine.write("/etc/hostname", machine.name + "\n", user="root")
