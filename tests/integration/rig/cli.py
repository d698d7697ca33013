# SPDX-License-Identifier: Apache-2.0
"""The command line of a rig."""
import argparse
import contextlib
import json
import os
import signal
import subprocess
import sys
import time

from . import guests
from .capture import need_root
from .core import Rig
from .layout import RigError

EPILOG = """\
kinds of guests:
""" + "\n".join(f"  {name:6}{kind.help}" for name, kind in guests.KINDS.items()) + """

examples:
  rig.py up && virsh -c "$(rig.py uri)" list
  rig.py start disk one-90 --vm-name 'a "quoted" name' --uname bob
  rig.py stop-guest one-82; rig.py libvirtd kill; rig.py libvirtd start
  rig.py --dir /tmp/bench up --count 50; rig.py --dir /tmp/bench down

exit: 0 done, 1 an error (one line on stderr), 2 wrong arguments, 3 (status) not up
"""


def _guest_options(parser):
    for flag, text in (("--vcpus", "virtual CPUs"), ("--disks", "disks; the first one boots"),
                       ("--nics", "NICs: plain tap, on the bridge, plain tap …"),
                       ("--mem", "memory, MiB"), ("--stats-period", "balloon: <stats period='N'/>")):
        parser.add_argument(flag, type=int, metavar="N", help=text, default=argparse.SUPPRESS)


def _naming_options(parser):
    for flag, text in (("--vm-name", "name in OpenNebula, any text"), ("--uname", "owner (oneadmin)"),
                       ("--gname", "group"), ("--uuid", "instead of the one made from NAME"),
                       ("--agent", "socket of what stands in for its QEMU agent"),
                       ("--cmdline", "more for a Linux guest's kernel: agent=no")):
        parser.add_argument(flag, metavar="TEXT", help=text, default=argparse.SUPPRESS)
    for flag, text in (("--uid", "owner's number"), ("--gid", "group's number")):
        parser.add_argument(flag, type=int, metavar="N", help=text, default=argparse.SUPPRESS)
    for flag, text in (("--paused", "do not let it run"), ("--disc", "a CD-ROM, as OpenNebula's contexts are on")):
        parser.add_argument(flag, action="store_true", help=text, default=argparse.SUPPRESS)


OPTION_NAMES = ("vcpus", "disks", "nics", "mem", "stats_period", "vm_name", "uname", "gname", "uuid", "uid", "gid",
                "paused", "disc", "agent", "cmdline")


def _options(args):
    return {name: getattr(args, name) for name in OPTION_NAMES if hasattr(args, name)}


def build_parser():
    parser = argparse.ArgumentParser(
        prog="rig.py", formatter_class=argparse.RawDescriptionHelpFormatter, epilog=EPILOG,
        description="A private libvirtd with real, tiny KVM guests, for tests and benchmarks. Needs root.")
    parser.add_argument("-d", "--dir", help="where everything is kept ($ONE_RIG, else /tmp/one-rig)")
    shared = argparse.ArgumentParser(add_help=False)
    shared.add_argument("-d", "--dir", default=argparse.SUPPRESS, help=argparse.SUPPRESS)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def command(name, text):
        return commands.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".", parents=[shared])

    _rig_commands(command)
    _guest_commands(command)
    return parser


def _rig_commands(command):
    up = command("up", "start libvirtd and guests one-79 (idle), one-82 (disk), one-83 (busy), or the missing ones")
    up.add_argument("--all", action="store_true", help="also one-84 (wide) and scratchpad (without metadata)")
    up.add_argument("--count", type=int, metavar="N",
                    help="N idle guests instead (with --all: as well); 0: libvirtd only")
    up.add_argument("--base", type=int, default=5000, metavar="B", help="they are one-<B+1> and on (5000)")
    up.add_argument("--timeout", type=float, metavar="S", help="for the guests to be at work")
    _guest_options(up.add_argument_group("of the guests of --count"))
    down = command("down", "stop everything, by pid, and remove the directory")
    down.add_argument("--keep", action="store_true", help="keep the directory (logs)")
    status = command("status", "what runs; exit 3 if it is not up")
    status.add_argument("--json", action="store_true")
    uri = command("uri", "print the URI to connect to")
    uri.add_argument("--rw", action="store_true", help="the one that may change things")
    libvirtd = command("libvirtd", "stop, start, kill (-9), freeze or thaw libvirtd; the guests run on")
    libvirtd.add_argument("action", choices=("stop", "start", "kill", "freeze", "thaw"))
    virsh = command("virsh", "run virsh against it: rig.py virsh -- ARGS")
    virsh.add_argument("--timeout", type=float, default=120, metavar="S", help="at most (120)")
    virsh.add_argument("args", nargs=argparse.REMAINDER)


def _guest_commands(command):
    for name, text in (("start", "start a guest"), ("xml", "print the domain XML that start would use")):
        parser = command(name, text)
        parser.add_argument("kind", choices=tuple(guests.KINDS))
        parser.add_argument("name")
        _guest_options(parser)
        _naming_options(parser)
        if name == "start":
            parser.add_argument("--no-wait", action="store_true", help="do not wait until it is at work")
    command("destroy", "destroy guests").add_argument("names", nargs="+", metavar="NAME")
    for name, text in (("pid", "print the pid of a guest's QEMU"), ("stop-guest", "SIGSTOP a guest's QEMU"),
                       ("cont-guest", "SIGCONT a guest's QEMU")):
        command(name, text).add_argument("name")
    wait = command("wait", "wait for a guest's state")
    wait.add_argument("name")
    wait.add_argument("state", help="as virsh domstate names it (running, paused …), or gone")
    wait.add_argument("--timeout", type=float, default=30, metavar="S")
    frames = command("frames", "send a guest Ethernet frames, which it counts as received")
    frames.add_argument("name")
    for flag, default in (("--count", 100), ("--size", 1000), ("--nic", 0)):
        frames.add_argument(flag, type=int, default=default, metavar="N", help=f"({default})")


def _print_status(status, as_json):
    if as_json:
        print(json.dumps(status, indent=2))
        return 0 if status["up"] else 3

    def line(name, pid, frozen=False):
        print(f"{name:<12} {f'pid {pid}' if pid else 'not running'}{' frozen' if frozen else ''}")
    print(f"{'dir':<12} {status['dir']}\n{'uri':<12} {status['uri']}")
    line("supervisor", status["supervisor"])
    line("libvirtd", status["libvirtd"], status["libvirtd_frozen"])
    for name, guest in status["guests"].items():
        line(name, guest["pid"], guest["frozen"])
    return 0 if status["up"] else 3


def _virsh(rig, args):
    words = args.args[1:] if args.args[:1] == ["--"] else args.args
    try:
        return subprocess.run(["virsh", "-c", rig.uri(True), *words], timeout=args.timeout, check=False).returncode
    except subprocess.TimeoutExpired as err:
        raise RigError(f"virsh {' '.join(words[:3])}: not done within {args.timeout:g} s") from err
    except OSError as err:
        raise RigError(f"virsh: {err.strerror}: apt-get install libvirt-clients") from err


def _dispatch(rig, args):
    """Runs one command; returns the exit code, None for 0."""
    if args.command == "up":
        fleet = None if args.count is None else ()
        return rig.up(fleet, args.all, args.count or 0, args.base, args.timeout, **_options(args))
    if args.command in ("start", "xml"):
        if args.command == "xml":
            return print(rig.xml(args.kind, args.name, **_options(args)), end="")
        return rig.start(args.kind, args.name, wait=not args.no_wait, **_options(args))
    simple = {
        "down": lambda: rig.down(args.keep),
        "status": lambda: _print_status(rig.status(), args.json),
        "uri": lambda: print(rig.uri(args.rw)),
        "libvirtd": lambda: rig.libvirtd(args.action),
        "virsh": lambda: _virsh(rig, args),
        "destroy": lambda: rig.destroy(*args.names),
        "pid": lambda: print(rig.pid(args.name)),
        "stop-guest": lambda: rig.freeze(args.name),
        "cont-guest": lambda: rig.thaw(args.name),
        "wait": lambda: rig.wait(args.name, args.state, args.timeout),
        "frames": lambda: rig.frames(args.name, args.count, args.size, args.nic),
    }
    return simple[args.command]()


def _terminated(signum, _):
    raise SystemExit(128 + signum)                      # so that `up` cleans up behind itself


def main(argv=None):
    args = build_parser().parse_args(argv)
    signal.signal(signal.SIGTERM, _terminated)
    signal.signal(signal.SIGHUP, _terminated)
    began = time.monotonic()

    def log(text):
        with contextlib.suppress(OSError):
            print(f"rig: {time.monotonic() - began:5.1f} s  {text}", file=sys.stderr, flush=True)
    try:
        if args.command not in ("uri", "xml"):
            need_root()
        code = _dispatch(Rig(args.dir, log), args) or 0
        sys.stdout.flush()
        return code
    except RigError as err:
        print(f"rig.py {args.command}: {err}", file=sys.stderr)
        return 1
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 1
    except OSError as err:
        print(f"rig.py {args.command}: {err}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
