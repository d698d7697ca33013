#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""install.sh on a stand-in of OpenNebula: installed, again, upgraded, taken out; and everything that has to
be found before anything is changed."""
import os
import re
import shutil
import subprocess

from cloud import KVMRC
from harness import ROOT, Case, Rig, args, main
from install_case import CONFS, PROBES, REMOTES, STATE, Installing, templates

SHORT = ["--no-telemetryd"]


class Whole(Installing):
    """All of it, on two hosts."""
    hosts_of_cloud = ("kvm1", "kvm2")

    def test_life(self):
        """root: installed with a sink and the endpoint, which get figures; again: nothing changes; instead of poll.rb; out"""
        self.monitor()
        sink, options = self.sink()
        before = self.pictures()
        options += ["--endpoint", f"http://{self.front.address}:4126"]
        text = self.install(*options, "--dry-run")
        plan = self.actions(text)
        self.assert_same(before)
        self.check_page("dry run", re.sub("(  would register .*\n)(?:  would register .*\n)+", r"\1  …\n", text), sink)
        text = self.install(*options)
        self.assertEqual(self.actions(text), plan)
        self.check_page("verified", text[text.index("Verifying"):], sink)
        for host, vm in (("kvm1", 7), ("kvm2", 8)):
            self.assertIn(f"ok      host {host}: OpenNebula has our figures of VM {vm}\n", text)
            self.assertIn(f"ok      host {host}: every sink has stored something (influx endpoint)\n", text)
            self.assertGreater(self.keys(vm), {"CPU_TIME"})
        self.assertIn("ok      telemetryd answers at http://127.0.0.1:4126\n", text)
        self.assertTrue(sink.store.points)
        self.assertEqual(self.hooks(), templates())
        self.check_modes()
        self.check_timer(sink)
        self.check_again(options)
        self.check_replace()
        self.check_out(before)

    def check_page(self, mark, text, sink):
        """docs/opennebula.md shows that, but for what is this machine's (UPDATE_DOCS=1 writes it anew)."""
        for written, shown in ((sink.url, "http://influx.example.net:8086"), (f"http://{self.front.address}:", "http://front-end.example.net:"),
                               ("at most 60 s", "at most 150 s"), (os.uname().machine, "x86_64"), ("(build mine)", "(build build)")):
            text = text.replace(written, shown)
        text = re.sub(r"(?m)^  would make /usr/local.*\n", "", re.sub(r"\(one-telemetry\) \S+", "(one-telemetry) 0.1.0", text))
        page = ROOT / "docs" / "opennebula.md"
        before, begin, rest = page.read_text().partition(f"<!-- {mark} -->\n```\n")
        shown, end, after = rest.partition("```\n")
        if os.environ.get("UPDATE_DOCS"):
            page.write_text(before + begin + text + end + after)
        else:
            self.assertEqual(text, shown)

    def check_modes(self):
        wanted = {**{f"{probes}/telemetry": "755 9869:9869" for probes in PROBES}, **dict.fromkeys(CONFS, "640 9869:9869"),
                  f"{REMOTES}/hooks/telemetry/forward": "755 9869:9869", "/etc/one/telemetry.conf": "640 0:9869",
                  f"{REMOTES}/etc/im/kvm-probes.d/secrets": "700 9869:9869", STATE: "700 9869:9869",
                  f"{REMOTES}/etc/im/kvm-probes.d/secrets/influx.token": "600 9869:9869",
                  "/etc/one/telemetry-secrets/write.token": "600 9869:9869", "/usr/local/sbin/telemetryd": "755 0:0",
                  "/usr/local/bin/one-telemetry": "755 0:0"}
        self.assertEqual({path: self.mode(path) for path in wanted}, wanted)
        kvm1 = self.cloud.hosts["kvm1"].machine
        self.assertEqual(self.mode("/var/tmp/one/etc/im/qemu-probes.d/secrets/influx.token", kvm1), "600 9869:9869")

    def check_timer(self, sink):
        """What the hook has queued, and no forwarder has sent, the timer's does; telemetryd's spool is another."""
        forward = self.front.path(f"{REMOTES}/hooks/telemetry/forward")
        forward.rename(forward.with_name("away"))
        got = self.front.run(f"{REMOTES}/hooks/telemetry/vm_event", user="oneadmin", cwd="/var/lib/one",
                             input=(ROOT / "tests/golden/recorded/vm-hook-stdin.b64").read_text())
        forward.with_name("away").rename(forward)
        self.assertEqual(got.returncode, 2, got)
        self.assertFalse([point for point in sink.store.points if point[0] == "vm_events"])
        self.assertEqual(self.cloud.services.elapse(self.front, "one-telemetry-forward.timer"), 0)
        self.assertTrue([point for point in sink.store.points if point[0] == "vm_events"])
        self.assertIn("\ndir = /var/lib/one-telemetry/spool\n", self.front.read("/etc/one/telemetry.conf"))

    def check_again(self, options):
        first = self.pictures()
        self.assertEqual(self.actions(self.install(*options, "--dry-run")), [])
        text = self.install(*options)
        self.assertIn("  nothing to change: all of it is there already\n", text)
        self.assertEqual(self.actions(text), [])
        after = self.pictures()
        self.assert_same({"front": first["front"]}, {"front": after["front"]})

    def check_replace(self):
        polls = [f"{probes}/poll.rb" for probes in PROBES]
        newer = self.build("mine", mark="newer")
        with open(newer / "telemetryd", "ab") as program:
            program.write(b"newer")
        plan = self.actions(self.install("--replace", "--dry-run", builds=[newer]))
        self.assertEqual(self.actions(self.install("--replace", builds=[newer])), plan)
        self.assertIn("restart telemetryd", plan)
        self.assertEqual([self.mode(path)[:3] for path in polls], ["644", "644"])
        conf = self.cloud.hosts["kvm2"].path("/var/tmp/one/etc/im/kvm-probes.d/telemetry.conf").read_text()
        self.assertIn("\nmode = replace\n", conf)
        self.assertEqual([name for name, *_ in self.cloud.hosts["kvm1"].cycle().ran], ["telemetry"])

    def check_out(self, before):
        plan = self.actions(self.install("--uninstall", "--purge", "--dry-run"))
        text = self.install("--uninstall", "--purge")
        self.assertEqual(self.keys(7) | self.keys(8), set())
        self.assertEqual(self.hooks(), [])
        self.assert_same(before)
        self.assertEqual(self.actions(text), plan)


class One(Installing):
    """On one host."""

    def test_oneadmin(self):
        """oneadmin: all but telemetryd, which it is told of; out again"""
        self.monitor()
        before = self.pictures()
        self.assertIn("run it as root, or with --no-telemetryd", self.install(user="oneadmin", status=1))
        self.assert_same(before)
        self.install(*SHORT, user="oneadmin")
        self.assertEqual(self.keys(7), {"CPU_TIME", "MEMORY_USAGE", "MEMORY_SOURCE"})
        self.assertFalse(self.front.path("/etc/one/telemetry.conf").exists())
        self.assertEqual(self.actions(self.install(*SHORT, user="oneadmin")), [])
        said = self.actions(self.install(*SHORT, user="oneadmin", builds=[self.build("mine", mark="newer")]))
        self.assertEqual(said, [*(f"update {probes}/telemetry" for probes in PROBES), "sync 1/1 kvm1"])
        self.assertTrue(self.cloud.hosts["kvm1"].path("/var/tmp/one/im/kvm-probes.d/vm/monitor/telemetry").read_text()
                        .endswith("# newer\n"))
        self.install("--uninstall", "--purge", user="oneadmin")
        self.assert_same(before)
        self.assertEqual((self.keys(7), self.hooks()), (set(), []))

    def test_upgrade(self):
        """an upgrade brings the new probe and keeps what was edited, which --uninstall leaves and --purge takes"""
        self.monitor()
        before = self.pictures()
        self.install(*SHORT)
        edited, plain = CONFS
        text = self.front.read(edited).replace("#detail = 5", "detail = 3")
        self.front.write(edited, text, 0o640)
        newer = self.build("mine", mark="newer")
        self.spoil_hooks()
        said = self.install(*SHORT, builds=[newer])
        self.assertIn(f"  update {PROBES[0]}/telemetry\n", said)
        self.assertRegex(said, r"  update hook telemetry-done \(number [0-9]+\)\n")
        self.assertIn("  remove the second hook telemetry-done (number 98)\n", said)
        self.assertEqual(self.hooks(), ["mine", *templates()])
        self.assertNotIn("telemetry.conf", said.partition("Installing")[2].partition("Verifying")[0])
        self.assertTrue(self.cloud.hosts["kvm1"].path("/var/tmp/one/im/kvm-probes.d/vm/monitor/telemetry").read_text()
                        .endswith("# newer\n"))
        self.assertEqual(self.front.read(edited), text)
        self.install(*SHORT, "--replace", builds=[newer])
        self.assertIn("\nmode = replace\n", self.front.read(edited))
        self.assertIn("\ndetail = 3\n", self.front.read(edited))
        said = self.actions(self.install(*SHORT, builds=[newer]))
        self.assertEqual(said, [])  # it stays so
        self.install(*SHORT, "--beside", builds=[newer])
        self.assertEqual([name for name, *_ in self.cloud.hosts["kvm1"].cycle().ran], ["poll.rb", "telemetry"])
        plan = self.actions(self.install("--uninstall", "--dry-run"))
        said = self.install("--uninstall")
        self.assertEqual(self.actions(said), plan)
        self.assertIn(f"  kept, as it was edited: {edited}\n", said)
        self.assertIn("\nmode = beside\n", self.front.read(edited))
        self.assertFalse(self.front.path(plain).exists())
        self.assertEqual(self.keys(7), set())
        self.install("--uninstall", "--purge")
        self.assertFalse(self.front.path(edited).exists())
        self.assert_same({"front": before["front"]}, {"front": self.pictures()["front"]})
        self.assertEqual(self.hooks(), ["mine"])


class Empty(Installing):
    """On a host without VMs, of which nothing can be seen in OpenNebula."""
    vms = {}

    def test_away(self):
        """--uninstall while a host is away: refused, nothing changes; that host given up: all but what is there goes"""
        fresh = self.pictures()["front"]
        self.install(*SHORT)
        before = self.pictures()
        self.cloud.hosts["kvm1"].down = True
        text = self.install("--uninstall", status=1)
        self.assertRegex(text, r"FAILED  host kvm1 can't be reached.*\n.*--hosts")
        self.assert_same(before)
        text = self.install("--uninstall", "--hosts", "none")
        self.assertIn("host kvm1 is given up", text)
        self.assert_same({"front": fresh})
        self.assertEqual(self.hooks(), [])


class Refused(Installing):
    """Not at all."""

    def test_failing_checks(self):
        """whatever check fails, nothing is changed and the line says how to mend it"""
        sink, options = self.sink()
        bad = self.scratch / "bad-token"
        bad.write_text("wrong\n")
        before = self.pictures()
        for words, wanted in (([*options, "--token-file", bad], r"FAILED  sink influx .*\n +401.*look at token_file"),
                              (["--influx-url", "http://127.0.0.1:9", "--influx-database", "one"],
                               r"FAILED  sink influx .*\n.*does it run")):
            self.assert_refused(before, wanted, *words)
        self.cloud.oned(False)
        self.assert_refused(before, r"FAILED  onehost list fails.*\n.*does OpenNebula run")
        self.cloud.oned(True)
        self.assert_refused(before, r"FAILED  OpenNebula has no host nowhere", "--hosts", "nowhere")
        (self.mine / "forward").write_text("#!/bin/sh\necho no libz >&2\nexit 127\n")
        self.assert_refused(before, r"FAILED  forward does not run here: no libz")
        (self.mine / "forward").unlink()
        self.assert_refused(before, r"FAILED  there is no forward in .*\n.*make")
        self.assertEqual(sink.store.points, {})

    def assert_refused(self, before, wanted, *words):
        with self.subTest(wanted):
            self.assertRegex(self.install(*words, status=1), wanted)
            self.assertRegex(self.err, "checks failed; nothing was changed")
            self.assert_same(before)

    def test_usage(self):
        """wrong usage: one line, status 2; --help has every option"""
        for words in (["--nonsense"], ["--influx-type", "influxdb9", "--influx-url", "http://x"], ["--token-file", "/etc/passwd"],
                      ["--influx-url", "ftp://x"], ["--build", "/nonexistent"], ["--purge"], ["--wait", "soon"], ["--endpoint"],
                      ["--influx-url", 'http://x"'], ["--influx-url", "http://x", "--influx-user", "me"]):
            with self.subTest(words):
                self.install(*words, status=2)
                self.assertRegex(self.err, r"\Ainstall.sh: .*; see --help\n\Z")
        text = self.install("--help")
        for option in set(re.findall(r"^    (--[a-z-]+)\)", (ROOT / "install.sh").read_text(), re.M)):
            self.assertIn(option, text)


class Guests(Installing):
    """With a real guest, and the programs as make leaves them."""
    vms = {82: "kvm1"}

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        rig = Rig(cls.scratch / "rig")
        cls.cleanup(rig.down)
        rig.up((("disk", "one-82", {}),))
        cls.options = {"kvmrc": KVMRC.format(rig.uri())}

    def test_real(self):
        """the probe itself, instead of poll.rb: OpenNebula has the guest's figures, and none of ours afterwards"""
        self.cloud.hosts["kvm1"].cycle()
        stock = set(self.cloud.vm(82).monitoring())
        self.monitor()
        text = self.install(*SHORT, "--replace", builds=[args.build])
        self.assertIn("ok      host kvm1: OpenNebula has our figures of VM 82\n", text)
        held = self.cloud.vm(82).monitoring()
        self.assertGreater(int(held["CPU_TIME"]), 0)
        self.assertGreater(int(held["DISKRDBYTES"]), 0)
        self.install("--uninstall", builds=[args.build])
        self.cloud.hosts["kvm1"].agent.end()
        self.cloud.hosts["kvm1"].cycle()  # without ours; the last of the agent's may have been before that
        self.assertEqual(set(self.cloud.vm(82).monitoring()), stock)


class Prepared(Case):
    """A tree in a directory."""

    def run_in(self, *words, kill_at=0):
        build = [] if "--uninstall" in words else [
            "--build", args.build, "--no-hooks", "--no-telemetryd", "--influx-url", "http://x", "--token-file", "/etc/hostname"]
        return subprocess.run([ROOT / "install.sh", *build, *words], capture_output=True, text=True, timeout=60, check=False,
                              env={"PATH": os.environ["PATH"], "DESTDIR": str(self.dest), "ONE_TELEMETRY_KILL_AT": str(kill_at)})

    def found(self):
        return {str(path.relative_to(self.dest)): path.stat().st_mode & 0o7777 if path.is_dir() else path.read_bytes()
                for path in self.dest.rglob("*") if path.name not in ("installed", "lock")}

    def test_killed_at_every_moment(self):
        """DESTDIR: killed at every single moment, and run again: the same tree; likewise taken out, also what is not whole"""
        self.dest = self.scratch / "whole"
        for path in ("im/kvm-probes.d/vm/monitor", "im/qemu-probes.d/vm/monitor", "hooks", "etc/im"):
            (self.dest / f"var/lib/one/remotes/{path}").mkdir(parents=True)
        empty = self.found()
        self.assertEqual(self.run_in().returncode, 0)
        whole = self.found()
        self.assertGreater(len(whole), 20)
        self.assertEqual(self.until_done("--uninstall"), empty)
        self.assertEqual(self.until_done(), whole)
        self.run_in("--uninstall")
        for kill_at in range(4, 100, 5):  # taken out instead
            if self.run_in(kill_at=kill_at).returncode == 0:
                break
            self.assertEqual(self.run_in("--uninstall").returncode, 0)
            self.assertEqual(self.found(), empty, kill_at)
        self.assertGreater(kill_at, 20)

    def until_done(self, *words):
        """Killed at the first, then at the second moment, and so on: what is done already is passed over, so the third
        moment of a run may be the tenth of all."""
        for _ in range(200):
            for kill_at in (2, 3, 4):
                run = self.run_in(*words, kill_at=kill_at)
                probes = self.dest / "var/lib/one/remotes/im/kvm-probes.d/vm/monitor"
                self.assertLessEqual(set(os.listdir(probes)), {"telemetry"})
                if run.returncode == 0:
                    return self.found()
                self.assertEqual((run.returncode, run.stderr), (-9, ""), run)
        return self.fail("it makes no progress")


class Mixed(Installing):
    """Hosts of several kinds."""
    hosts_of_cloud = ("kvm1", "kvm2", "kvm3")

    def setUp(self):
        super().setUp()
        self.cloud.hosts["kvm2"].is_other("aarch64")

    def test_left_alone(self):
        """a host of another architecture, and one that can't be reached, stay as they are; the others get a chooser"""
        self.monitor("kvm1")
        self.cloud.hosts["kvm3"].down = True
        before = self.pictures()
        machine = os.uname().machine
        (self.mine / "machine").write_text(machine + "\n")
        text = self.install(*SHORT, status=3)
        self.assertRegex(text, r"LEFT    host kvm2 is aarch64, for which there is no build")
        self.assertRegex(text, r"LEFT    host kvm3 can't be reached")
        self.assertRegex(text, r"Left as they were:\n  host kvm2 .*\n  host kvm3 ")
        after = self.pictures()
        self.assertEqual((after["kvm2"], after["kvm3"]), (before["kvm2"], before["kvm3"]))
        self.assertEqual(self.front.read(f"{PROBES[0]}/telemetry"), (ROOT / "probes" / "chooser.sh").read_text())
        # Somebody syncs it all the same: it loses nothing.
        self.cloud.sync("--force", "kvm2")
        cycle = self.cloud.hosts["kvm2"].cycle()
        self.assertEqual([(name, status) for name, status, *_ in cycle.ran], [("poll.rb", 0), ("telemetry", 0)])
        self.assertEqual(cycle.ran[1][2:], ("", ""))
        self.assertTrue(cycle.ran[0][2])
        self.assertRegex("\n".join(self.cloud.hosts["kvm2"].machine.log()), "one-telemetry.*: no build of vm_monitor .*aarch64")
        self.cloud.hosts["kvm3"].down = False
        self.cloud.hosts["kvm3"].lacks("libxml2.so.2")
        self.mine.joinpath("vm_monitor").unlink()
        shutil.copy(args.build / "probes" / "vm_monitor", self.mine)
        text = self.install(*SHORT, "--hosts", "kvm3", status=1)
        self.assertRegex(text, r"LEFT    host kvm3 can't run the probe: .*libxml2")

    def test_several_builds(self):
        """each host runs the build for it, with its arguments, its configuration and the forwarder of its own build"""
        self.monitor()
        sink, options = self.sink()
        machine = os.uname().machine
        builds = [self.build("other", machine="aarch64", chosen=True), self.build("here", machine=machine, chosen=True),
                  self.build("broken", machine=machine)]
        (builds[2] / "vm_monitor").write_text("#!/bin/sh\necho cannot >&2\nexit 127\n")
        text = self.install(*options, *SHORT, builds=builds)
        for host, vm, build in (("kvm1", 7, "here"), ("kvm2", 8, "other"), ("kvm3", 9, "here")):
            self.assertRegex(text, f"ok      host {host}: .* \\(build {build}\\)")
            self.assertEqual(self.keys(vm), {"CPU_TIME", "MEMORY_USAGE", "MEMORY_SOURCE"})
        status = self.cloud.hosts["kvm1"].run("/var/tmp/one/hooks/telemetry/forward", "--status", user="oneadmin", check=0)
        self.assertIn("\ninflux  influxdb2 at ", status.stdout)
        self.cloud.vm(7).do("poweroff")
        self.cloud.hooks.wait()
        self.assertEqual([run[0] for run in self.cloud.executions("telemetry-poweroff")], [0])
        sink.wait_for(lambda: any("vm_events" in str(point) for point in list(sink.store.points)), 20)
        one = self.install(*SHORT, "--hosts", "kvm1", builds=builds[1:2], status=(0, 3))  # back to fewer
        self.assertIn(f"remove {REMOTES}/hooks/telemetry/builds/other\n", one)


if __name__ == "__main__":
    raise SystemExit(main())
