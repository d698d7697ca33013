#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The stand-in OpenNebula (cloud/) is as strict as the real one in its documents, commands, and in how a tree gets onto the
hosts. Root, for namespaces; without it, the plain kind alone."""
import json
import os
import pathlib
import re
import subprocess
import time

from cloud import Cloud, foreign, lifecycle, markup, template
from cloud_case import PROBES, REMOTES, TREE, CloudCase
from harness import ROOT, Case, args, main

RECORDED = pathlib.Path(lifecycle.__file__).parent / "recorded"
RIGHT = {"NAME": "n", "TYPE": "state", "RESOURCE": "VM", "ON": "RUNNING", "COMMAND": "t/c"}
REFUSED = (  # what differs from RIGHT; what is said
    ({"NAME": None}, "Invalid NAME, it cannot be empty."),
    ({"COMMAND": None}, "No COMMAND in template for Hook."),
    ({"TYPE": None}, "No TYPE or invalid one in template for Hook."),
    ({"TYPE": "event"}, "No TYPE or invalid one in template for Hook."),
    ({"RESOURCE": None}, "RESOURCE attribute is required for STATE hooks."),
    ({"RESOURCE": "GUEST"}, "Invalid resource type: GUEST"),
    ({"ON": "POWEROFF"}, "Unkown state condition: POWEROFF"),
    ({"ON": "CUSTOM"}, "Wrong STATE: "),
    ({"ON": "CUSTOM", "STATE": "FAILED", "LCM_STATE": "LCM_INIT"}, "Wrong STATE: FAILED"),
    ({"ON": "CUSTOM", "STATE": "ACTIVE"}, "Wrong LCM_STATE: "),
    ({"ON": "CUSTOM", "STATE": "ACTIVE", "LCM_STATE": "FAILURE"}, "Wrong LCM_STATE: FAILURE"),
)
MEASURED = {"ON": ("PROLOG", "RUNNING", "SHUTDOWN", "STOP", "DONE", "UNKNOWN"),
            "STATE": ("POWEROFF", "SUSPENDED", "UNDEPLOYED", "PENDING", "CLONING_FAILURE"),
            "LCM_STATE": ("MIGRATE", "SAVE_MIGRATE", "SAVE_SUSPEND", "SHUTDOWN_POWEROFF", "BOOT_FAILURE", "PROLOG_FAILURE",
                          "EPILOG_FAILURE", "HOTPLUG")}


def hook(**more):
    return "".join(f'{name}="{value}"\n' for name, value in {**RIGHT, **more}.items() if value is not None)


class Documents(Case):
    def test_recorded(self):
        """recorded documents are written again to the letter"""
        for name in ("vm-hook.xml", "vm-hook-poweroff.xml", "vm-hook-done.xml", "onevm-show.xml"):
            text = (RECORDED / name).read_text().rstrip("\n")
            self.assertEqual(markup.render(markup.parse(text)), text, name)

    def test_templates(self):
        """what the template parser takes, and what it refuses"""
        taken = (("", []), ("# a comment\n\n  \nA=1", [("A", "1")]), ('a = "x \\"y\\" \\\\"', [("A", 'x "y" \\')]),
                 ('A="1"\nA="2"', [("A", "1"), ("A", "2")]), ('V = [ a="1", B = "2" ]', [("V", {"A": "1", "B": "2"})]),
                 ("K=[]", [("K", {})]), ('A="1" # why\n', [("A", "1")]), ('A="two\nlines"', [("A", "two\nlines")]))
        for text, pairs in taken:
            self.assertEqual(template.parse(text), pairs, text)
        for text in ("junk", "A", "A=", 'A="1', "A=[B]", "A=[B=1", "A=[B=1 C=2]", "A-B=1", "A.B=1", 'A="1" B="2"', "=1",
                     "A==1"):
            with self.assertRaises(template.SyntaxFault, msg=text):
                template.parse(text)

    def test_plain(self):
        """without namespaces: a tree below a directory, the same commands, a sync, a message"""
        self.scratch.chmod(0o755)
        with Cloud(self.scratch / "plain", plain=True) as cloud:
            cloud.add_vm(9)
            self.assertEqual(cloud.one("sh", "-c", "echo $DESTDIR"), f"{cloud.front.prefix}\n")
            cloud.front.write(f"{REMOTES}/hooks/new", "x")
            self.assertIn("All hosts updated successfully.", cloud.sync("--force"))
            self.assertEqual(cloud.hosts["kvm1"].path(f"{TREE}/hooks/new").read_text(), "x")
            self.assertIsNone(cloud.hosts["kvm1"].cycle().fault)
            self.assertEqual(cloud.vm(9).monitoring()["NETRX"], "110")


class Commands(CloudCase):
    def tearDown(self):
        with self.cloud.store.change() as state:
            state["hooks"] = {}

    def test_lists(self):
        """hosts and VMs are listed, as text, CSV, XML and JSON, and every command says the version"""
        self.cloud.add_vm(9, "kvm1")
        got = self.one("onehost", "list", "--csv", "--no-header", "-l", "NAME,STAT,TVM")
        self.assertEqual(got, "kvm1,on,1\nkvm2,on,0\n")
        self.assertEqual([vm.findtext("ID") for vm in markup.parse(self.one("onevm", "list", "-x"))], ["9"])
        self.assertEqual(json.loads(self.one("onehost", "show", "kvm2", "-j"))["HOST"]["STATE"], "2")
        for command in ("oned", "onehost", "onehook", "onevm"):
            self.assertIn("OpenNebula 7.4.0", self.one(command, "--version"))
        self.refused("onevm", "show", "77", says="[one.vm.info] Error getting virtual machine [77].")
        self.refused("onevm", "show", "x", says="VM named x not found.")
        self.refused("onehost", "lost", says="Undefined command: lost")

    def test_hooks_refused(self):
        """a hook that is wrong is refused with OpenNebula's words, and not kept"""
        for more, says in REFUSED:
            says = f"[one.hook.allocate] Error allocating a new hook. {says}"
            self.refused("onehook", "create", input=hook(**more), says=says)
        self.refused("onehook", "create", input="junk\n", says="Parse error")
        self.refused("onehook", "create", "/none", says="File '/none' does not exist")
        self.assertEqual(self.one("onehook", "list", "--no-header"), "")

    def test_hooks_taken(self):
        """the states that a 7.4 was seen to take are taken, each name once"""
        wanted = [{"ON": on} for on in MEASURED["ON"]]
        wanted += [{"ON": "CUSTOM", "STATE": state, "LCM_STATE": "LCM_INIT"} for state in MEASURED["STATE"]]
        wanted += [{"ON": "CUSTOM", "STATE": "ACTIVE", "LCM_STATE": state} for state in MEASURED["LCM_STATE"]]
        for number, more in enumerate(wanted):  # in one go: there are many
            self.cloud.front.write(f"/tmp/hooks/h{number}", hook(NAME=f"h{number}", **more))
        names = [f"h{number}" for number in range(len(wanted))]
        made = self.one("sh", "-ec", 'cd /tmp/hooks; for n; do onehook create "$n" & done; wait', "sh", *names)
        self.assertEqual(len(re.findall(r"(?m)^ID: \d+$", made)), len(wanted))
        self.refused("onehook", "create", "/tmp/hooks/h0", says="NAME is already taken by HOOK ")
        listed = self.one("onehook", "list", "--csv", "--no-header", "-l", "NAME,TYPE")
        self.assertEqual(sorted(listed.split()), sorted(f"{name},state" for name in names))
        self.one("onehook", "delete", ",".join(names))
        self.refused("onehook", "delete", "h0", says="HOOK named h0 not found.")
        self.refused("onehook", "delete", "99", says="HOOK 99: [one.hook.delete] Error getting hook [99].")

    def test_hooks_updated(self):
        """an update takes the place of all: ON is not read, STATE, LCM_STATE and COMMAND have to be in it"""
        self.cloud.front.write("/tmp/hook", hook(ON="CUSTOM", STATE="poweroff", LCM_STATE="lcm_init", TIMEOUT="5"))
        self.one("onehook", "create", "/tmp/hook")
        shown = markup.parse(self.one("onehook", "show", "-x", "n")).find("TEMPLATE")
        self.assertEqual({each.tag: each.text for each in shown}, {
            "COMMAND": "t/c", "LCM_STATE": "LCM_INIT", "REMOTE": "NO", "RESOURCE": "VM", "STATE": "POWEROFF", "TIMEOUT": "5"})
        says = "[one.hook.update] Cannot update template. "
        for text, why in ((hook(), "The STATE attribute is not defined or it's invalid."),
                          ("STATE=ACTIVE\n", "The COMMAND attribute is not defined."),
                          (hook(STATE="ACTIVE"), "The LCM_STATE attribute is not defined or it's invalid.")):
            self.cloud.front.write("/tmp/update", text)
            self.refused("onehook", "update", "n", "/tmp/update", says=says + why)
        self.refused("onehook", "update", "n", says="no editor here")
        self.cloud.front.write("/tmp/update", "RESOURCE=VM\nCOMMAND=t/d\nSTATE=ACTIVE\nLCM_STATE=RUNNING\n")
        self.one("onehook", "update", "n", "/tmp/update")
        shown = markup.parse(self.one("onehook", "show", "-x", "n"))
        self.assertEqual((shown.findtext("TEMPLATE/COMMAND"), shown.find("TEMPLATE/TIMEOUT")), ("t/d", None))
        self.cloud.front.write("/tmp/update", "COMMAND=t/d\nSTATE=ACTIVE\nLCM_STATE=RUNNING\n")
        self.one("onehook", "update", "n", "/tmp/update")
        self.refused("onehook", "show", "n", says="[one.hook.info] Error getting hook")

    def test_sessions(self):
        """who may ask: oneadmin and root by their password file, nobody else; and only while oned answers"""
        self.one("onehook", "list", user="root")
        self.refused("onehook", "list", user="nobody", says="ONE_AUTH file not present")
        self.refused("onehost", "sync", user="root", says="Cannot run 'onehost sync' as root")
        self.cloud.oned(False)
        self.addCleanup(self.cloud.oned, True)
        for words in (("onehook", "list"), ("onehost", "list"), ("onevm", "list"), ("onehost", "sync")):
            self.refused(*words, says="Connection refused")
        self.one("onehost", "--version")


class Sync(CloudCase):
    def setUp(self):
        self.front, self.kvm1, self.kvm2 = self.cloud.front, self.cloud.hosts["kvm1"], self.cloud.hosts["kvm2"]

    def tearDown(self):
        self.kvm1.down = self.kvm2.down = False

    def test_version(self):
        """nothing is done while VERSION is unchanged, but by --force"""
        self.front.write(f"{REMOTES}/one-file", "1")
        self.assertEqual(self.one("onehost", "sync"), "No hosts are going to be updated.\n")
        self.assertFalse(self.kvm1.path(f"{TREE}/one-file").exists())
        self.assertIn("* Adding kvm1 to upgrade\n", self.one("onehost", "sync", "--force", "kvm1"))
        self.assertTrue(self.kvm1.path(f"{TREE}/one-file").exists())
        self.assertFalse(self.kvm2.path(f"{TREE}/one-file").exists())
        self.front.write(f"{REMOTES}/VERSION", "7.4.1\n")
        self.assertIn("All hosts updated successfully.", self.one("onehost", "sync"))
        self.assertTrue(self.kvm2.path(f"{TREE}/one-file").exists())
        self.assertEqual(self.one("onehost", "sync"), "No hosts are going to be updated.\n")
        self.refused("onehost", "sync", "kvm9", says="HOST named kvm9 not found.")

    def test_tree(self):
        """what only the host has goes, links become files, modes stay, all is oneadmin's; a program that runs goes on"""
        self.kvm1.machine.write(f"{TREE}/only/here", "x")
        self.kvm1.machine.write("/var/tmp/one_db/kept", "x")
        self.front.write(f"{REMOTES}/hooks/t/program", pathlib.Path("/bin/sleep").read_bytes(), 0o755)
        self.front.write(f"{REMOTES}/hooks/t/secret", "x", 0o600)
        self.cloud.sync("--force")
        running = self.kvm1.machine.popen(f"{TREE}/hooks/t/program", "30", user="oneadmin")
        self.addCleanup(running.wait)
        self.addCleanup(running.kill)
        self.front.write(f"{REMOTES}/hooks/t/program", "#!/bin/sh\necho new\n", 0o755)
        self.cloud.sync("--force")
        self.assertIsNone(running.poll())
        self.assertEqual(self.kvm1.run(f"{TREE}/hooks/t/program").stdout, "new\n")
        self.assertFalse(self.kvm1.path(f"{TREE}/only").exists())
        self.assertTrue(self.kvm1.path("/var/tmp/one_db/kept").exists())
        self.assertTrue(self.front.path(f"{REMOTES}/lib/scripts_common.sh").is_symlink())
        self.assertTrue(self.kvm1.path(f"{TREE}/lib/scripts_common.sh").is_file())
        self.assertFalse(self.kvm1.path(f"{TREE}/lib/scripts_common.sh").is_symlink())
        found = self.kvm1.path(f"{TREE}/hooks/t/secret").stat()
        self.assertEqual((found.st_mode & 0o777, found.st_uid, found.st_gid), (0o600, 9869, 9869))

    def test_failures(self):
        """a host that fails is named and keeps its version, the others are done; so does a file that oneadmin can't read"""
        self.kvm2.down = True
        self.refused("onehost", "sync", "--force", says="Failed to update the following hosts:\n* kvm2\n")
        self.assertIn("No route to host", self.one("onehost", "sync", "--force", check=None).stderr)
        self.kvm2.down = False
        self.kvm1.machine.write(f"{TREE}/only/here", "x")
        self.front.write(f"{REMOTES}/hooks/t/roots", "x", 0o600, user="root")
        self.front.write(f"{REMOTES}/hooks/t/readable", "x")
        got = self.one("onehost", "sync", "--force", check=None)
        self.front.path(f"{REMOTES}/hooks/t/roots").unlink()
        self.assertEqual(got.returncode, 255)
        self.assertIn("Permission denied (13)", got.stderr)
        self.assertIn("* kvm1\n* kvm2", got.stderr)
        self.assertTrue(self.kvm1.path(f"{TREE}/hooks/t/readable").exists())
        self.assertTrue(self.kvm1.path(f"{TREE}/only/here").exists(), "nothing is deleted after an error")
        self.kvm1.machine.own(self.kvm1.path(TREE), "root")
        os.chown(self.kvm1.path(TREE), 0, 0)
        self.refused("onehost", "sync", "--force", "kvm1", says="* kvm1")
        os.chown(self.kvm1.path(TREE), 9869, 9869)
        self.one("onehost", "offline", "kvm2")
        self.assertNotIn("kvm2", self.cloud.sync("--force"))
        self.one("onehost", "enable", "kvm2")

    def test_remote(self):
        """ssh and scp: oneadmin alone, status and streams are the command's, a host may be down or unknown"""
        got = self.one("ssh", "-o", "BatchMode=yes", "kvm1", "cat; id -un; hostname; pwd; exit 7", check=None, input="in\n")
        self.assertEqual((got.returncode, got.stdout), (7, "in\noneadmin\nkvm1\n/var/lib/one\n"))
        self.refused("ssh", "kvm1", "true", user="root", says="Permission denied")
        self.refused("ssh", "root@kvm1", "true", says="Permission denied")
        self.refused("ssh", "kvm7", "true", says="Could not resolve hostname kvm7")
        self.kvm2.down = True
        self.refused("ssh", "kvm2", "true", says="No route to host")
        self.kvm1.slow, begin = 0.3, time.monotonic()
        self.one("ssh", "kvm1", "true")
        self.kvm1.slow = 0
        self.assertGreater(time.monotonic() - begin, 0.3)
        self.front.write("/tmp/d/e", "text", 0o750)
        self.one("scp", "-q", "/tmp/d/e", "kvm1:/tmp/f")
        self.one("scp", "-r", "/tmp/d", "kvm1:/tmp/g")
        self.one("scp", "kvm1:/tmp/g/e", "/tmp/back")
        self.assertEqual((self.front.read("/tmp/back"), self.kvm1.path("/tmp/f").stat().st_mode & 0o777), ("text", 0o750))


class Kinds(CloudCase):
    kvm_hosts = ("kvm1", "arm", "old", "bare")

    def test_programs(self):
        """a program that can't run on a host fails there as it really does: architecture, C library, missing library"""
        probe = args.build / "probes" / "vm_monitor"
        self.cloud.hosts["arm"].is_other("aarch64")
        self.cloud.hosts["old"].is_other(glibc="2.28")
        self.cloud.hosts["bare"].lacks("libvirt.so.0")
        front = self.cloud.front
        front.write("/tmp/ours", probe.read_bytes(), 0o755)
        front.write("/tmp/foreign", foreign(probe, "aarch64"), 0o755)
        wanted = {("kvm1", "ours"): (0, ""), ("kvm1", "foreign"): (126, "Exec format error"),
                  ("arm", "ours"): (126, "Exec format error"), ("arm", "foreign"): (0, ""),
                  ("old", "ours"): (1, "version `GLIBC_2."),
                  ("bare", "ours"): (127, "error while loading shared libraries: libvirt.so.0: cannot open shared object")}
        for (host, name), (status, says) in wanted.items():
            self.one("scp", f"/tmp/{name}", f"{host}:/tmp/{name}")
            got = self.one("ssh", host, f"/tmp/{name} --version", check=None)
            self.assertEqual(got.returncode, status, got)
            self.assertIn(says, got.stderr)
            self.assertEqual("vm_monitor" in got.stdout, status == 0)
        self.assertEqual(self.one("ssh", "arm", "uname -m"), "aarch64\n")
        self.assertEqual(self.one("ssh", "old", "getconf GNU_LIBC_VERSION"), "glibc 2.28\n")
        self.assertIn("<ARCH><![CDATA[aarch64]]></ARCH>", self.one("onehost", "show", "-x", "arm"))
        self.cloud.hosts["bare"].machine.write(f"{PROBES}/telemetry", probe.read_bytes(), 0o755)
        self.cloud.add_vm(9, "bare")
        cycle = self.cloud.hosts["bare"].cycle()
        self.assertEqual((cycle.status, cycle.ran[-1][1]), (-1, 127), "the stock probe's figures are lost with ours")
        self.assertNotIn("CPU", self.cloud.vm(9).monitoring())


class Machines(CloudCase):
    kvm_hosts = ("kvm1",)

    def test_changes(self):
        """what is written on a machine is told to the last file, and none of it leaves the machine"""
        front, before = self.cloud.front, self.cloud.front.changes()
        front.run("sh", "-c", "umask 027; mkdir /usr/share/one-new && echo x > /usr/share/one-new/f; "
                              "ln -s f /etc/one/link; rm /etc/hostname", check=0)
        after = front.changes()
        new = {path: after.get(path) for path in after.keys() | before.keys() if after.get(path) != before.get(path)}
        self.assertEqual(sorted(new), ["/etc/hostname", "/etc/one/link", "/usr/share/one-new", "/usr/share/one-new/f"])
        self.assertEqual((new["/etc/hostname"], new["/usr/share/one-new"]), ("removed", "directory 0750 0:0"))
        self.assertFalse(os.path.exists("/usr/share/one-new"))
        front.run("sh", "-c", "rm -r /usr/share/one-new /etc/one/link; cat > /etc/hostname", check=0, input="")
        changed = front.changes().items() ^ before.items()
        self.assertEqual({path for path, _ in changed}, {"/etc/hostname"})
        self.assertEqual(front.changes("/etc/one"), {path: text for path, text in before.items() if path.startswith("/etc/one")})

    def test_service(self):
        """systemctl starts our unit, which answers on the front-end and nowhere else, and stops it"""
        front = self.cloud.front
        front.run("make", "-s", "-C", ROOT, "-o", "all", "install", f"BUILD={args.build}", check=0)
        self.assertEqual(front.run("systemctl", "is-active", "one-telemetryd").returncode, 3)
        self.refused("systemctl", "start", "one-telemetryd", says="Interactive authentication required", status=1)
        front.run("systemctl", "enable", "--now", "one-telemetryd", user="root", check=0)
        self.assertIn('"ok"', front.run("curl", "-sS", "http://127.0.0.1:4126/healthz", check=0).stdout)
        self.assertEqual(self.cloud.hosts["kvm1"].run("curl", "-sS", "http://127.0.0.1:4126/healthz").returncode, 7)
        self.assertEqual(front.run("systemctl", "is-enabled", "one-telemetryd").stdout, "enabled\n")
        front.run("systemctl", "disable", "--now", "one-telemetryd", check=0)
        self.assertEqual(front.run("systemctl", "is-active", "one-telemetryd").stdout, "inactive\n")
        self.assertEqual(front.run("systemctl", "start", "none").returncode, 5)
        self.assertEqual([words[0] for name, words in self.cloud.services.calls if words[-1] == "none"], ["start"])
        self.assertEqual(front.run("sudo", "-u", "oneadmin", "sh", "-c", "id -un; echo $HOME").stdout, "oneadmin\n/var/lib/one\n")

    def test_one_machine(self):
        """a cloud of one machine, front-end and host: the tree is copied from it to itself"""
        with Cloud(self.scratch / "single", ("one",)) as cloud:
            cloud.add_vm(9)
            self.assertEqual(cloud.one("ssh", "one", "hostname; ls /var/tmp/one/VERSION"), "one\n/var/tmp/one/VERSION\n")
            self.assertIsNone(cloud.hosts["one"].cycle().fault)
            self.assertIn("NETRX", cloud.vm(9).monitoring())

    def test_end(self):
        """the end of a cloud is the end of all that runs on its machines"""
        cloud = Cloud(self.scratch / "other", ("kvm1",))
        run = cloud.hosts["kvm1"].machine.popen("sh", "-c", "trap '' TERM; sleep 60 & echo; while :; do sleep 1; done",
                                                user="oneadmin", stdout=subprocess.PIPE, start_new_session=True)
        run.stdout.readline()
        cloud.close()
        self.assertIsNotNone(run.wait(5))
        run.stdout.close()
        self.assertFalse((self.scratch / "other").exists())


if __name__ == "__main__":
    raise SystemExit(main())
