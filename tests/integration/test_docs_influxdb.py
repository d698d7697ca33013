#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""docs/influxdb.md is true: its commands for InfluxDB 1 run in their order on a private server with authentication, its
InfluxQL gives the answers it shows, its configurations are read, its figures are measured, and the forwarder says what
it shows. No guests; root, for a syslog of the test's own.

UPDATE_DOCS=1 in the environment writes the answers into the page anew: read the difference before committing it."""
import json
import os
import re
import shlex
import subprocess
import time
import zlib

from databases import Influxd, VictoriaMetrics
from forwarding import SECOND, Forwarding, Sink, batches
from harness import ROOT, Case, args, main
import replayed

PAGE = ROOT / "docs" / "influxdb.md"
COMMANDS = re.compile(r"<!-- tested(?:: (?P<says>[^\n]*))? -->\n```sh\n(?P<text>.*?)```", re.S)
QUESTION = re.compile(r"(?P<question>```influxql\n(?P<query>.*?)```\n)```csv\n(?P<answer>.*?)```", re.S)
SECTION = re.compile(r"```ini\n(.*?)```", re.S)
MEASURED = re.compile(r"<!-- measured -->\n(?:\|.*\n){2}\| [^|]*\| (.*?) \| (.*?) \| (.*?) \|\n")

STATUS = re.compile(r"(?P<mark><!-- status: (?P<when>\w+) -->\n```text\n)(?P<text>.*?)```", re.S)
VARIES = ((r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC", "DATE"), (r"\b\d+ (s|min|h|d)( \d+ (s|min|h))?\b", "SPAN"))
SPOOL, SERVER = "/var/tmp/one-telemetry-9869/spool", "influx.example.net:8086"  # of the page

END = "--end-of-block--"


class Page(Case):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.page = PAGE.read_text()

    def test_sections(self):
        """every [sink NAME] of the page is a configuration that the probe takes"""
        sections = SECTION.findall(self.page) + SECTION.findall((ROOT / "README.md").read_text())
        self.assertEqual({re.search("type = (.*)", each)[1] for each in sections},
                         {"influxdb1", "influxdb2", "influxdb3", "victoriametrics", "telemetryd"})
        conf = self.scratch / "telemetry.conf"
        for each in sections:
            conf.write_text(each)
            got = subprocess.run([self.probe(), "--config", conf, "--dump-config"], capture_output=True, text=True,
                                 timeout=30)
            self.assertEqual(got.returncode, 0, got.stderr)
            self.assertIn(re.search(r"\[sink .*\]", each)[0], got.stdout)

    def test_sizes(self):
        """lines and bytes per VM are as the page says"""
        lines = [line for line in replayed.lines(self.probe(), *replayed.FLEET).splitlines(True)
                 if not line.startswith("host_totals")]
        vms, text = sum(line.startswith("vm_totals") for line in lines), "".join(lines).encode()
        packer = zlib.compressobj(wbits=31)
        packed = packer.compress(text) + packer.flush()
        said = [float(figure) for figure in MEASURED.search(self.page).groups()]
        for said_so, measured in zip(said, (len(lines) / vms, len(text) / vms, len(packed) / vms)):
            self.assertAlmostEqual(said_so, measured, delta=measured / 50, msg=f"{len(lines) / vms:.1f} lines, "
                                   f"{len(text) / vms:.0f} bytes, gzip'd {len(packed) / vms:.0f}, per VM")

    def test_all_answered(self):
        """every InfluxQL query of the page is followed by its answer"""
        self.assertEqual(self.page.count("```influxql"), len(QUESTION.findall(self.page)))
        self.assertGreater(len(QUESTION.findall(self.page)), 8)


class Shell:
    """One shell for all blocks, as a person would have it."""

    def __init__(self, home, log):
        env = {"PATH": os.environ["PATH"], "HOME": str(home)}
        self.log = log
        self.process = subprocess.Popen(["bash", "-euo", "pipefail"], cwd=ROOT, env=env, text=True,
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log.open("w"))

    def run(self, text):
        """What it says on standard output; raises RuntimeError where it fails or complains."""
        self.process.stdin.write(f"{text}\nprintf '\\n%s\\n' {END}\n")
        self.process.stdin.flush()
        said = ""
        for line in self.process.stdout:
            if line.strip() == END:
                break
            said += line
        if self.process.poll() is not None or self.log.stat().st_size:
            raise RuntimeError(f"{self.process.poll()} {self.log.read_text()}{said}\n{text}")
        return said.strip()

    def close(self):
        self.process.stdin.close()
        self.process.wait(20)
        self.process.stdout.close()


class OnInfluxDB(Case):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.page = PAGE.read_text()
        cls.db = Influxd(cls.scratch / "influxdb", http={"auth-enabled": True})
        cls.cleanup(cls.db.stop)
        cls.shell = Shell(cls.scratch, cls.scratch / "complaints")
        cls.cleanup(cls.shell.close)
        cls.said = [cls.shell.run(cls.here(block["text"])) for block in COMMANDS.finditer(cls.page)]

    @classmethod
    def here(cls, text):
        """A block of the page with this test's places."""
        for there, mine in (("http://127.0.0.1:8086", cls.db.url), ("/var/lib/one/remotes", cls.scratch / "remotes"),
                            ("build/probes/vm_monitor", cls.probe())):
            text = text.replace(there, str(mine))
        return text

    def test_commands(self):
        """the commands run, in their order, and say what the page says"""
        blocks = list(COMMANDS.finditer(self.page))
        self.assertGreaterEqual(len(blocks), 5)
        for block, said in zip(blocks, self.said):
            self.assertNotIn("error", said, block["text"])
            if block["says"]:
                self.assertEqual(said, block["says"])

    def test_secrets(self):
        """nobody but its owner may read a secret that the commands have written"""
        written = [path for path in self.scratch.glob("**/*") if path.name.endswith((".password", ".influx-admin"))]
        self.assertEqual(len(written), 3)
        self.assertEqual({path.stat().st_mode & 0o777 for path in written}, {0o600})

    def test_answers(self):
        """the queries have the answers that the page shows"""
        def answered(found):
            got = self.shell.run("ask " + shlex.quote(found["query"].strip()))
            return f"{found['question']}```csv\n{got}\n```"
        page = QUESTION.sub(answered, self.page)
        if os.environ.get("UPDATE_DOCS"):
            PAGE.write_text(page)
        else:
            self.assertEqual(page, self.page)

    def test_retention(self):
        """the database keeps a month, and the hourly means stay two years"""
        said = json.loads(self.shell.run("as_admin <<< 'SHOW RETENTION POLICIES ON \"opennebula\"'"))
        kept = said["results"][0]["series"][0]["values"]
        self.assertEqual([row[:3] for row in kept], [["month", "720h0m0s", "24h0m0s"],
                                                     ["years", "17472h0m0s", "672h0m0s"]])
        self.assertIn("hourly", self.shell.run("as_admin <<< 'SHOW CONTINUOUS QUERIES'"))

    def test_grants(self):
        """the hosts' user may write and not read, Grafana's the other way round"""
        user = "curl -sS -o /dev/null -w '%{http_code} ' -K <(printf 'user = \"%s:%s\"' "
        asks = '"$INFLUX/query?db=opennebula" --data-urlencode "q=SELECT * FROM vm_totals"'
        writes = "--data-binary '' \"$INFLUX/write?db=opennebula\""
        for name, file in (("telemetry", '"$SECRETS/influx.password"'), ("grafana", "~/grafana.password")):
            as_user = f'{user} {name} "$(cat {file})") '
            said = self.shell.run(f"{as_user} {writes}; {as_user} {asks}").split()
            self.assertEqual(said, ["204", "403"] if name == "telemetry" else ["403", "200"], name)


class Outage(Case):
    """What the forwarder says of a database that is away for an hour and a half, and then is back."""

    def setUp(self):
        self.db = Influxd(self.scratch / "away")
        self.addCleanup(self.db.kill)
        self.db.create("opennebula")
        self.forwarding = Forwarding(self.scratch / "outage", args.build / "hooks" / "forward")
        self.addCleanup(self.forwarding.close)
        self.forwarding.configure(Sink("influx", self.db.url, database="opennebula"))

    def status(self, status):
        run = self.forwarding.run("--status")
        self.assertEqual((run.status, run.err), (status, ""), run)
        return run.out.replace(str(self.forwarding.spool), SPOOL).replace(self.db.url.removeprefix("http://"), SERVER)

    @staticmethod
    def fixed(text):
        """Without what is another at each run."""
        for pattern, name in VARIES:
            text = re.sub(pattern, name, text)
        return text

    def test_status(self):
        """forward --status says what the page shows, while the database is away and when it is back"""
        self.db.kill()
        began = time.time_ns() - 5400 * SECOND
        self.forwarding.queue(batches(90, lines=260), begin=began)
        self.forwarding.edit_ledger("influx", last_success_ns=began, failures=21, sent_batches=4310, sent_lines=1120600,
                                    sent_bytes=70190000, retried=21, trouble=1, trouble_since_ns=began)
        self.assertEqual(self.forwarding.run("--once").status, 0)
        said = {"away": self.status(3)}
        self.db.start()
        self.assertEqual(self.forwarding.run("--flush").status, 0)
        said["back"] = self.status(0)
        page = PAGE.read_text()
        self.assertEqual(set(said), {found["when"] for found in STATUS.finditer(page)})
        if os.environ.get("UPDATE_DOCS"):
            PAGE.write_text(STATUS.sub(lambda found: f"{found['mark']}{said[found['when']]}```", page))
            return
        for found in STATUS.finditer(page):
            self.assertEqual(self.fixed(found["text"]), self.fixed(said[found["when"]]))


class OnVictoriaMetrics(Case):
    def test_series(self):
        """VictoriaMetrics has a metric per field, the tags and db as labels, and 0 for a text"""
        server = VictoriaMetrics(self.scratch / "victoria")
        self.addCleanup(server.kill)
        lines = replayed.lines(self.probe(), *replayed.FLEET)
        self.assertEqual(server.request("POST", "/write?db=opennebula", lines.encode())[0], 204)
        found = {name: value for (name, labels, _), [value] in server.samples().items()
                 if dict(labels).get("VMID") == "83" and dict(labels)["db"] == "opennebula"}
        self.assertEqual(found["vm_totals_cpu_usage_percent"], 99.448)
        self.assertEqual((found["vm_info_vm_name"], found["vm_totals_memory_source"]), (0, 0))


if __name__ == "__main__":
    raise SystemExit(main())
