# SPDX-License-Identifier: Apache-2.0
"""A front-end and host of its own for one-telemetry doctor, what it finds there, and assertions about that."""
import base64
import contextlib
import hashlib
import http.server
import json
import os
import pathlib
import re
import shutil
import subprocess
import threading
import time

from harness import Case, args
from opennebula import Tree
from standin import Standin

HOOKS = ("running", "done")
RUN_SECONDS = 60
SANITIZERS = {"ASAN_OPTIONS": "detect_leaks=1:exitcode=99:abort_on_error=0", "UBSAN_OPTIONS": "print_stacktrace=1"}
MONITORD = """# periods
PROBES_PERIOD = [
    BEACON_HOST    = 30,   # MONITOR_VM = 1
    MONITOR_VM     = 30
]
"""
# What onehook, onehost and ssh answer stands in files beside them.
STUBS = {"onehook": 'case $1 in list) cat "$0.list" ;; show) cat "$0.show.$3" ;; *) exit 1 ;; esac\n',
         "onehost": 'cat "$0.list"\n',
         "ssh": 'for word in "$@"; do [ "$before" = -- ] && host=$word; before=$word; done\n. "$0.$host"\n',
         "crontab": 'cat "$0.table"\n',
         "systemctl": 'exit 0\n'}


class Clock(http.server.BaseHTTPRequestHandler):
    """A sink that takes everything, by a clock of its own."""
    ahead = 0

    def do_POST(self):  # pylint: disable=invalid-name
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.send_response(204)
        self.end_headers()

    def date_time_string(self, timestamp=None):
        return super().date_time_string(time.time() + self.ahead)

    def log_message(self, *_):  # pylint: disable=arguments-differ
        pass


def run_record(number, code, stderr="", retry=False, age=60):
    return (f"<HOOK_EXECUTION_RECORD><HOOK_ID>1</HOOK_ID><EXECUTION_ID>{number}</EXECUTION_ID>"
            f"<TIMESTAMP>{int(time.time()) - age}</TIMESTAMP>{'<RETRY>yes</RETRY>' if retry else ''}<EXECUTION_RESULT>"
            f"<STDERR>{base64.encodebytes(stderr.encode()).decode()}</STDERR><CODE>{code}</CODE></EXECUTION_RESULT>"
            "</HOOK_EXECUTION_RECORD>")


class Place:
    """A front-end and a host below a directory, with the commands of OpenNebula's that the doctor calls."""

    def __init__(self, directory, uri, conf=""):
        self.dir = pathlib.Path(directory)
        self.root, self.bin, self.etc = self.dir / "root", self.dir / "bin", self.dir / "root/etc/one"
        self.spool, self.state = self.dir / "spool", self.dir / "state"
        conf = f"[probe]\nstate_dir = {self.state}\n[spool]\ndir = {self.spool}\n{conf}"
        self.trees = [self.tree(self.root / path, uri, conf) for path in ("var/lib/one/remotes", "var/tmp/one")]
        self.front, self.host = self.trees
        self.bin.mkdir()
        self.etc.mkdir(parents=True)
        (self.etc / "monitord.conf").write_text(MONITORD)
        (self.front.root / "VERSION").write_text("7.4.0\n")
        shutil.copy(args.asan / "commands" / "one-telemetry", self.bin)
        for name, text in STUBS.items():
            self.stub(name, text)
        self.hooks()
        self.hosts({"kvm1": 2})
        self.answer("kvm1")

    @staticmethod
    def tree(path, uri, conf):
        made = Tree(path, args.build / "probes" / "vm_monitor", uri, conf, forwarder=args.build / "hooks" / "forward")
        shutil.copy(args.build / "hooks" / "vm_event", made.root / "hooks" / "telemetry" / "vm_event")
        made.poll = made.probes / "poll.rb"
        made.poll.write_text("#!/bin/sh\nexit 0\n")
        made.poll.chmod(0o755)
        for copied in ("im", "etc/im"):
            shutil.copytree(made.root / copied / "kvm-probes.d", made.root / copied / "qemu-probes.d")
        return made

    def stub(self, name, text):
        (self.bin / name).write_text("#!/bin/sh\n" + text)
        (self.bin / name).chmod(0o755)

    def hooks(self, names=HOOKS, runs=None, command="telemetry/vm_event"):
        """What is registered; runs: {number: records}."""
        (self.bin / "onehook.list").write_text("<HOOK_POOL>" + "".join(
            f"<HOOK><ID>{number}</ID><NAME>telemetry-{name}</NAME><TYPE>state</TYPE><TEMPLATE><COMMAND>{command}"
            "</COMMAND><RESOURCE>VM</RESOURCE><ARGUMENTS>$TEMPLATE</ARGUMENTS><ARGUMENTS_STDIN>YES</ARGUMENTS_STDIN>"
            "</TEMPLATE></HOOK>" for number, name in enumerate(names, 1)) + "</HOOK_POOL>")
        for number in range(1, len(names) + 1):
            log = "".join((runs or {}).get(number, [run_record(0, 0)]))
            (self.bin / f"onehook.show.{number}").write_text(f"<HOOK><ID>{number}</ID><HOOKLOG>{log}</HOOKLOG></HOOK>")
        templates = self.dir / "share" / "one-telemetry" / "hooks"
        templates.mkdir(parents=True, exist_ok=True)
        for name in HOOKS:
            (templates / f"{name}.tmpl").write_text(f'NAME = telemetry-{name}\nTYPE = state\n# COMMAND = "no"\n'
                                                    'COMMAND = "telemetry/vm_event"\n')

    def let_cron_send(self):
        """The table of the user's cron starts the forwarder."""
        (self.bin / "crontab.table").write_text(f"* * * * * {self.front.root}/hooks/telemetry/forward --once\n")

    def hosts(self, states):
        (self.bin / "onehost.list").write_text("<HOST_POOL>" + "".join(
            f"<HOST><ID>{number}</ID><NAME>{name}</NAME><STATE>{state}</STATE><IM_MAD>kvm</IM_MAD></HOST>"
            for number, (name, state) in enumerate(states.items())) + "</HOST_POOL>")

    def answer(self, host, text=None, ahead=0):
        """Of a host that is asked by ssh."""
        version = subprocess.run([self.host.probe, "--version"], capture_output=True, text=True, check=True).stdout
        text = text or f"echo $(( $(date +%s) + {ahead} )).500000000; echo '{version.strip()}'\n"
        (self.bin / f"ssh.{host}").write_text(text)

    def both(self, path):
        return [tree.root / path for tree in self.trees]

    def append(self, text):
        for tree in self.trees:
            for kind in ("kvm", "qemu"):
                with open(tree.root / f"etc/im/{kind}-probes.d/telemetry.conf", "a", encoding="utf-8") as conf:
                    conf.write(text)

    def begin(self, *options, env=None, user="root", stdout=subprocess.PIPE, alone=False):
        """alone: in a network where nobody listens."""
        program = [*(["unshare", "-n"] if alone else []), self.bin / "one-telemetry"]
        environment = {"PATH": f"{self.bin}:{os.environ['PATH']}", "HOME": str(self.dir), **SANITIZERS, **(env or {})}
        return subprocess.Popen([*program, "doctor", "--root", self.root, "--user", user, *options], env=environment, text=True,
                                stdin=subprocess.DEVNULL, stdout=stdout, stderr=subprocess.PIPE)

    def start(self, *options, **more):
        with self.begin(*options, **more) as run:
            try:
                out, err = run.communicate(timeout=RUN_SECONDS)
            except BaseException:
                run.kill()
                raise
            return subprocess.CompletedProcess(run.args, run.returncode, out, err)

    def findings(self, *options, **more):
        """[(status, check, place, text, mend)]"""
        run = self.start("--json", *options, **more)
        if run.stderr or run.returncode not in (0, 1):
            raise AssertionError(f"{run.returncode}: {run.stderr}\n{run.stdout}")
        told = json.loads(run.stdout)
        found = [(each["status"], each["check"], each["place"], each["text"], each["mend"] or "")
                 for each in told["findings"]]
        errors = sum(each[0] == "error" for each in found)
        assert (told["errors"], run.returncode) == (errors, 1 if errors else 0), told
        return found

    def forwarder_runs(self):
        run = subprocess.run([self.host.forwarder, "--status", "--json"], capture_output=True, text=True, check=True)
        return json.loads(run.stdout)["running"]

    def picture(self):
        """All that is there: {path: (mode, owner, time, content)}"""
        return {str(path): (os.lstat(path).st_mode, os.lstat(path).st_uid, os.lstat(path).st_mtime_ns,
                            hashlib.sha1(path.read_bytes()).hexdigest() if path.is_file() else None)
                for path in sorted(self.dir.rglob("*"))}


class Doctor(Case):
    """Assertions."""

    def place(self, uri="test:///default", conf=""):
        type(self).hosts += 1
        return Place(self.scratch / f"p{self.hosts}", uri, conf)

    def assert_found(self, findings, status, check, text, mend="", place=None):
        """Just one such finding; its mend matches too. Returns it."""
        found = [each for each in findings if each[0] == status and each[1] == check and place in (None, each[2]) and
                 re.search(text, each[3])]
        listed = "\n".join(map(str, findings))
        self.assertEqual(len(found), 1, f"{status} {check} {text}\n{listed}")
        self.assertRegex(found[0][4], mend or "^")
        return found[0]

    def bad(self, findings):
        return sorted({(status, check) for status, check, *_ in findings if status in ("warning", "error")})

    def serve(self, members):
        """A server that answers as these members of its handler say: its URL."""
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (Clock,), members))
        threading.Thread(target=server.serve_forever, daemon=True).start()
        self.addCleanup(server.server_close)
        self.addCleanup(server.shutdown)
        return f"http://127.0.0.1:{server.server_port}"

    def sink(self, kind="influxdb1", **options):
        places = {"influxdb1": {"db": "one"}, "influxdb2": {"org": "ops", "bucket": "one"}, "telemetryd": {}}
        server = Standin(kind, places[kind], **options)
        self.addCleanup(server.close)
        return server

    @staticmethod
    def below(pid, name):
        """Processes of that name that a process has started, directly or not."""
        found, parents = [], {pid}
        for entry in sorted((int(each) for each in os.listdir("/proc") if each.isdigit())):
            with contextlib.suppress(OSError):
                head, _, rest = pathlib.Path(f"/proc/{entry}/stat").read_text().rpartition(")")
                if int(rest.split()[1]) in parents:
                    parents.add(entry)
                    found += [entry] if head.endswith(f"({name}") else []
        return found
