#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""install.sh where something is wrong: what its checks find before anything is changed."""
import fcntl
import os
import re
import shutil

from cloud.machine import PATH
from harness import main
from install_case import CONFS, PROBES, REMOTES, STATE, Installing, templates

BARE = ["--no-telemetryd", "--no-hooks"]


class Checks(Installing):
    """Nothing is changed, and a line says what is wrong."""

    def assert_refused(self, before, wanted, *words, **options):
        self.assertRegex(self.install(*words, status=1, **options), wanted)
        self.assertRegex(self.err, "checks failed; nothing was changed")
        self.assert_same(before)

    def tools(self, **scripts):
        """Commands in front of the machine's: PATH for install()."""
        directory = self.scratch / self._testMethodName
        directory.mkdir(exist_ok=True)
        for name, text in scripts.items():
            (directory / name).write_text("#!/bin/sh\n" + text)
            (directory / name).chmod(0o755)
        directory.chmod(0o755)
        return {"PATH": f"{directory}:{PATH}"}

    def test_rights(self):
        """a directory that oneadmin may not write is found by root, who may"""
        for place in (PROBES[1], f"{REMOTES}/hooks", f"{REMOTES}/etc/im/qemu-probes.d"):
            path = self.front.path(place)
            os.chown(path, 0, 0)
            with self.subTest(place):
                self.assert_refused(self.pictures(), f"FAILED  {place}.* can't be written by oneadmin\n +look at the owner and mode "
                                    f"of {place},", *BARE)
            self.front.own(path)
        self.assertIn("ok      places can be written and have room\n", self.install(*BARE, "--dry-run"))

    def test_room(self):
        """a file system with less than 20 MiB left"""
        full = self.tools(df='echo Filesystem\necho "/dev/x 1000000 990000 10000 99% /"\n')
        self.assert_refused(self.pictures(), f"FAILED  {REMOTES}/hooks/telemetry has 10000 KiB left\n +make room", *BARE, env=full)

    def test_version(self):
        """an OpenNebula that is too old, or does not say how old it is"""
        for version, wanted in (("5.10.4", "OpenNebula 5.10.4 is too old"), ("4.14", "OpenNebula 4.14 is too old"),
                                ("", "OpenNebula's version is not known")):
            with self.subTest(version):
                old = self.tools(onehost=f'[ "$1" = --version ] || exec /usr/bin/onehost "$@"\necho "OpenNebula {version}"\n')
                self.assert_refused(self.pictures(), f"FAILED  {wanted}", *BARE, env=old)
        new = self.tools(onehost='[ "$1" = --version ] || exec /usr/bin/onehost "$@"\necho "OpenNebula 5.12.0"\n')
        self.assertIn("ok      OpenNebula 5.12.0\n", self.install(*BARE, "--dry-run", env=new))

    def test_user(self):
        """neither root nor oneadmin"""
        self.assert_refused(self.pictures(), "FAILED  run as nobody\n +run it as root, or as oneadmin", *BARE, user="nobody")

    def test_front_end(self):
        """no OpenNebula here: neither its user nor its tree; commands of it that fail; a configuration that is none"""
        conf = self.front.path(CONFS[0])
        self.assert_refused(self.pictures(), "FAILED  there is no user nobodyhere\n +run this on OpenNebula's front-end", *BARE,
                            env={"ONEADMIN": "nobodyhere"})
        self.assert_refused(self.pictures(), "FAILED  onehook list fails: no oned\n.*--no-hooks", "--no-telemetryd",
                            env=self.tools(onehook="echo no oned >&2\nexit 255\n"))
        conf.write_text("[probe]\ndetail = much\n")
        self.assert_refused(self.pictures(), f"FAILED  the configuration is wrong: .*detail.*\n +mend {CONFS[0]}", *BARE)
        conf.unlink()
        tree = self.front.path(f"{REMOTES}/im")
        tree.rename(tree.with_name("away"))
        self.assert_refused(self.pictures(), f"FAILED  there is no {REMOTES}/im\n +run this on OpenNebula's front-end", *BARE)

    def test_builds(self):
        """a build without a probe, none that runs here, none at all"""
        (self.mine / "vm_monitor").write_text("#!/bin/sh\necho libvirt.so.0: cannot open >&2\nexit 127\n")
        self.assert_refused(self.pictures(), "FAILED  no build runs on this front-end: libvirt.so.0: cannot open\n +build one here", *BARE)
        (self.mine / "vm_monitor").unlink()
        self.assert_refused(self.pictures(), f"FAILED  there is no vm_monitor in {self.mine}\n +build it: make", *BARE)

    def test_room_on_host(self):
        """a host on which nothing can be written is left as it was, which is said"""
        var_tmp = self.cloud.hosts["kvm1"].path("/var/tmp")
        var_tmp.chmod(0o755)
        os.chown(var_tmp, 0, 0)
        self.assert_refused(self.pictures(), "LEFT    host kvm1 has no room in /var/tmp, or does not let oneadmin write there\n", *BARE)

    def test_out_by_another(self):
        """--uninstall by oneadmin of what root has installed"""
        self.install("--no-hooks", "--wait", "0", status=3)
        self.assert_refused(self.pictures(), "FAILED  root's files are installed, which oneadmin can't take out\n +run it as root",
                            "--uninstall", user="oneadmin")

    def test_same_name(self):
        """two builds of one name"""
        other = self.scratch / "other" / "mine"
        shutil.copytree(self.mine, other)
        self.assert_refused(self.pictures(), "FAILED  two builds are called mine\n", *BARE, builds=[self.mine, other])

    def test_sync_fails(self):
        """onehost sync fails: why stands in the line, though it ends with which hosts it was, and an empty one"""
        fails = self.tools(onehost='[ "$1" = sync ] || exec /usr/bin/onehost "$@"\nprintf "no room there\\nFailed to update the following hosts:\\n* kvm1\\n\\n"\nexit 1\n')
        text = self.install(*BARE, status=3, env=fails)
        self.assertIn("FAILED  host kvm1: onehost sync failed: no room there\n", text)

    def test_sync_brings_nothing(self):
        """onehost sync says it has gone well, and the host has nothing: the line has what it said"""
        lies = self.tools(onehost='[ "$1" = sync ] || exec /usr/bin/onehost "$@"\necho "No hosts are going to be updated."\n')
        text = self.install(*BARE, status=3, env=lies)
        self.assertIn("FAILED  host kvm1: does not have the tree after onehost sync: No hosts are going to be updated.\n", text)
        self.assertRegex(text, r"Not as it should be:\n  host kvm1: does not have the tree")
        self.assertNotIn("host kvm1: OpenNebula has our figures", text)

    def test_another_at_work(self):
        """a second run while one is at work"""
        self.assertIn("no new figures of our probe in OpenNebula after 0 s", self.install(*BARE, "--wait", "0", status=3))
        before = self.pictures()
        held = os.open(self.front.path(STATE), os.O_RDONLY)
        self.addCleanup(os.close, held)
        fcntl.flock(held, fcntl.LOCK_EX)
        self.install(*BARE, status=1)
        self.assertIn("another install.sh is at work", self.err)
        self.assert_same(before)


class States(Installing):
    """Hosts that OpenNebula does not monitor just then."""
    hosts_of_cloud = ("kvm1", "kvm2")

    def test_left(self):
        """one that is disabled or offline is left as it was, the others get the probe; alone it is refused; later it is synced"""
        for command in ("disable", "offline"):
            with self.subTest(command):
                self.cloud.one("onehost", command, "kvm2")
                before = self.pictures()
                text = self.install(*BARE, "--wait", "0", status=3)
                why = "is disabled or offline in OpenNebula; when it is back: install.sh --hosts kvm2"
                self.assertIn(f"LEFT    host kvm2 {why}\n", text)
                self.assertIn(f"Left as they were:\n  host kvm2 {why}\n", text)
                self.assertEqual(self.pictures()["kvm2"], before["kvm2"])
                self.assertTrue(self.cloud.hosts["kvm1"].path("/var/tmp/one/im/kvm-probes.d/vm/monitor/telemetry").exists())
                before = self.pictures()
                text = self.install(*BARE, "--hosts", "kvm2", status=1)
                self.assertIn("FAILED  there is no host that can be installed on\n", text)
                self.assert_same(before)
        self.cloud.one("onehost", "enable", "kvm2")
        self.assertIn("sync 1/1 kvm2\n", self.install(*BARE, "--hosts", "kvm2", "--wait", "0", status=(0, 3)))
        self.assertTrue(self.cloud.hosts["kvm2"].path("/var/tmp/one/hooks/telemetry/forward").exists())


class FrontEnds(Installing):
    """Two front-ends in HA: the page's steps (docs/opennebula.md)."""
    options = {"front_ends": ("one-1", "one-2")}

    def on(self, name, *words, **options):
        self.front = self.cloud.fronts[name]
        return self.install(*words, **options)

    def conf_of_host(self):
        return self.cloud.hosts["kvm1"].path("/var/tmp/one/etc/im/kvm-probes.d/telemetry.conf").read_text()

    def test_both(self):
        """installed on both: the host feeds both, with one token; hooks once; a second that does not know the first is refused"""
        self.monitor()
        urls = [f"http://{front.address}:4126" for front in self.cloud.fronts.values()]
        one, two = self.cloud.fronts.values()
        two.path("/run/systemd/system").mkdir(parents=True, exist_ok=True)
        text = self.on("one-1", "--endpoint", urls[0])
        self.assertIn("note    OpenNebula has several front-ends", text)
        self.front, conf = two, self.conf_of_host()
        before = two.changes("/var/lib/one", "/etc/one", "/usr/local")
        text = self.on("one-2", "--endpoint", urls[1], status=1)
        self.assertIn(f"FAILED  host kvm1 sends to {urls[0]}, which this front-end does not know", text)
        self.assertEqual((two.changes("/var/lib/one", "/etc/one", "/usr/local"), self.conf_of_host()), (before, conf))
        for name in ("read", "write"):
            path = f"/etc/one/telemetry-secrets/{name}.token"
            two.write(path, one.read(path), 0o600)
        both = ["--endpoint", urls[0], "--endpoint", urls[1]]
        text = self.on("one-2", *both)
        self.assertIn("ok      host kvm1: every sink has stored something (endpoint endpoint2)\n", text)
        text = self.on("one-1", *both)
        self.assertNotIn("sync 1/1", text)  # it has it from the other
        self.assertEqual(self.hooks(), templates())
        self.assertEqual(re.findall("^url = (.*)", self.conf_of_host(), re.M), urls)
        self.assertEqual(one.read(CONFS[0]), two.read(CONFS[0]))
        self.assertEqual(one.read("/etc/one/telemetry.conf"), two.read("/etc/one/telemetry.conf"))
        text = self.on("one-2", "--uninstall", "--dry-run")
        self.assertIn("note    OpenNebula has several front-ends (one-1 one-2)", text)


if __name__ == "__main__":
    raise SystemExit(main())
