#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""make deb: what the packages have, what lintian says of them, and what dpkg makes of them on a machine. That is this
one, seen through an overlay in a mount namespace: what dpkg and the maintainer scripts do is real, and stays there. The
namespace has none of this machine's services; a systemctl that only writes down what it is told stands in for systemd.
Root, for the namespace."""
import hashlib
import os
import re
import shutil
import subprocess
import unittest

from harness import ROOT, Case, args, main

# What dpkg, its triggers and useradd write for themselves.
THEIRS = re.compile(r"(var/lib/(dpkg|systemd/catalog)|var/(log|cache)|etc/ld\.so\.cache)(/|$)")
# What Debian's tools and debian/ add to what make install installs.
DEBIANS = re.compile(r"usr/(bin/vm_monitor|lib/one-telemetry/remotes|lib/tmpfiles\.d/.*|"
                     r"share/doc/[^/]*/(changelog\.gz|copyright|README\.md)|share/lintian/overrides/.*)$")

MACHINE = """
mount -t tmpfs none "$1"; cd "$1"; mkdir upper work root
mount -t overlay overlay -o "lowerdir=/,upperdir=$1/upper,workdir=$1/work" root
mount --rbind /dev root/dev; mount --rbind /proc root/proc; mount -t tmpfs none root/run; mount -t tmpfs none root/mnt
cp "$2"/*.deb root/mnt; mount --bind upper root/media
exec chroot root sh -c 'echo ready; exec cat'
"""
SYSTEMCTL = """#!/bin/sh
echo "$*" >> /mnt/systemctl.log
case " $* " in
  *" is-active "*) exit 3 ;;
  *" is-enabled "*) echo enabled ;;
  *" preset "*) cd /etc/systemd/system && mkdir -p multi-user.target.wants &&
    ln -sf /lib/systemd/system/one-telemetryd.service multi-user.target.wants ;;
esac
"""
# No OpenNebula, nobody who forbids services to be started, no index of manual pages to be made each time.
PREPARE = """
if getent passwd oneadmin; then userdel oneadmin; fi
rm -rf /var/lib/one /var/lib/one-telemetry /usr/sbin/policy-rc.d /var/lib/man-db/auto-update /usr/bin/systemctl
mkdir -p /run/systemd/system; cat > /usr/bin/systemctl; chmod 755 /usr/bin/systemctl
"""


class Packages(Case):
    debs = {}  # name: path

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        if not Packages.debs:
            cls.build_packages()

    @classmethod
    def build_packages(cls):
        """Without a network, where root can take it away."""
        alone = ["unshare", "-n"] if os.geteuid() == 0 else []
        run = subprocess.run([*alone, "make", "-s", "deb", f"BUILD={args.build}"], cwd=ROOT, capture_output=True, text=True,
                             timeout=600, check=False, env={"PATH": os.environ["PATH"], "LANG": "C.UTF-8"})
        if run.returncode:
            raise AssertionError(f"make deb: {run.stdout}{run.stderr}")
        Packages.debs = {os.path.basename(path).partition("_")[0]: path for path in run.stdout.split()}

    def ask(self, *words, status=0, **options):
        run = subprocess.run(words, capture_output=True, text=True, timeout=120, check=False, **options)
        self.assertEqual(run.returncode, status, run)
        return run.stdout

    def listed(self, name):
        """Path: (mode, where a link leads), directories left out."""
        found = {}
        for line in self.ask("dpkg-deb", "-c", self.debs[name]).splitlines():
            mode, _, _, _, _, path = line.split(None, 5)
            path, _, target = path.partition(" -> ")
            if not mode.startswith("d"):
                found[path.removeprefix("./")] = (mode, target)
        return found


class Contents(Packages):
    def test_names(self):
        """there are two packages, of one version, which is that of the changelog and sorts with it"""
        self.assertEqual(sorted(self.debs), ["one-telemetry", "one-telemetry-node"])
        versions = {self.ask("dpkg-deb", "-f", path, "Version").strip() for path in self.debs.values()}
        self.assertEqual(len(versions), 1)
        heading = re.search(r"^## ([^,]*), (.*)$", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.M)
        self.assertRegex(versions.pop(), f"^{re.escape(heading[1])}{'~[0-9]{14}' if heading[2] == 'unreleased' else ''}$")

    def changelog(self, text, version="0.2.0", **wanted):
        return self.ask("sh", ROOT / "tools" / "debian-changelog.sh", version, "somebody <a@example.org>", input=text,
                        env={"PATH": os.environ["PATH"], "SOURCE_DATE_EPOCH": "1790000000"}, **wanted)

    def test_changelog(self):
        """Debian's changelog is CHANGELOG.md; one that is of another version than the Makefile is refused"""
        text = "# Changelog\n\n## 0.2.0, unreleased\n\n- One\n  thing.\n- Another.\n\n## 0.1.0, 2026-02-01\n\n- First.\n"
        made = self.changelog(text)
        self.assertEqual(made, "one-telemetry (0.2.0~20260921141320) unstable; urgency=medium\n\n"
                         "  * One thing.\n  * Another.\n\n -- somebody <a@example.org>  Mon, 21 Sep 2026 14:13:20 +0000\n\n"
                         "one-telemetry (0.1.0) unstable; urgency=medium\n\n  * First.\n"
                         "\n -- somebody <a@example.org>  Sun, 01 Feb 2026 00:00:00 +0000\n")
        self.assertEqual(self.ask("dpkg-parsechangelog", "-l", "-", "-S", "Version", input=made), "0.2.0~20260921141320\n")
        self.changelog(text, version="0.3.0", status=1)
        self.changelog("# Changelog\n", status=1)
        self.changelog("## 0.2.0\n\n- One.\n", status=1)

    def test_lintian(self):
        """lintian finds nothing, pedantic as it can be"""
        changes = list((args.build / "deb").glob("*.changes"))
        self.assertEqual(len(changes), 1)
        said = self.ask("lintian", "--pedantic", "--display-info", "--tag-display-limit", "0", "--allow-root", changes[0])
        self.assertEqual(said, "")

    def installed(self, places):
        """What make install puts into these places."""
        dest = self.scratch / "dest"
        self.ask("make", "-s", "-o", "all", "install", f"BUILD={args.build}", f"DESTDIR={dest}", *places, cwd=ROOT,
                 env={"PATH": os.environ["PATH"]})
        return dest, {str(path.relative_to(dest)) for path in dest.glob("**/*") if not path.is_dir()}

    def test_all_is_there(self):
        """between them they have all that make install installs, each file in one of them, and nothing else"""
        node, front_end = self.listed("one-telemetry-node"), self.listed("one-telemetry")
        self.assertEqual(set(node) & set(front_end), set())
        packaged = {re.sub(r"^(usr/share/man/.*)\.gz$", r"\1", path): what for path, what in (node | front_end).items()}
        system = {path.split("/")[3] for path in packaged if re.match("usr/lib/one-telemetry/.*/", path)}
        self.assertEqual(len(system), 1)
        dest, wanted = self.installed(["PREFIX=/usr", f"REMOTES=/usr/lib/one-telemetry/{system.pop()}",
                                       "UNITDIR=/lib/systemd/system"])
        self.assertEqual({path for path in packaged if not DEBIANS.match(path)}, wanted)
        unpacked = self.scratch / "unpacked"
        for path in self.debs.values():
            self.ask("dpkg-deb", "-x", path, unpacked)
        for path in wanted:
            mode, link = packaged[path]
            self.assertEqual("x" in mode, os.access(dest / path, os.X_OK) or bool(link), path)
            if "/man/" in path or (dest / path).read_bytes()[:4] == b"\x7fELF":
                continue
            self.assertEqual((unpacked / path).read_bytes(), (dest / path).read_bytes(), path)

    def test_built_again(self):
        """the same tree gives the same packages, with no path of the build in them, and is left as it was"""
        def sums():
            return {name: hashlib.sha256(open(path, "rb").read()).hexdigest() for name, path in self.debs.items()}

        def tree():
            return self.ask("git", "-c", "safe.directory=*", "status", "--porcelain", "--untracked-files=all", cwd=ROOT)
        before, tree_before = sums(), tree() if (ROOT / ".git").exists() else ""
        self.build_packages()
        self.assertEqual(sums(), before)
        self.assertEqual(tree() if (ROOT / ".git").exists() else "", tree_before)
        for name, path in self.debs.items():
            times = {tuple(line.split(None, 5)[3:5]) for line in self.ask("dpkg-deb", "-c", path).splitlines()}
            self.assertEqual(len(times), 1, f"{name}: files have times of the checkout")
            self.ask("dpkg-deb", "-x", path, self.scratch / name)
            for file in (self.scratch / name).glob("**/*"):
                if file.is_file():
                    self.assertNotIn(str(args.build / "deb").encode(), file.read_bytes(), file)


@unittest.skipUnless(os.geteuid() == 0, "needs root: a mount namespace of its own")
class Installed(Packages):
    def setUp(self):
        """A machine of its own."""
        scratch = self.scratch / self._testMethodName
        scratch.mkdir()
        alone = ["unshare", "-m", "-n", "--propagation", "private", "sh", "-ec", MACHINE, "sh", scratch, args.build / "deb"]
        self.holder = subprocess.Popen(alone, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.addCleanup(self.leave)
        if self.holder.stdout.readline() != "ready\n":
            self.fail(f"no overlay over / can be mounted: {self.holder.communicate(timeout=30)[1]}")
        self.inside("sh", "-c", PREPARE, input=SYSTEMCTL)

    def leave(self):
        self.holder.communicate(timeout=30)

    def inside(self, *words, status=0, **options):
        """Its output, standard error too."""
        run = subprocess.run(["nsenter", "-t", str(self.holder.pid), "-m", "-n", "-r", "-w", *words], stdout=subprocess.PIPE,
                             stderr=subprocess.STDOUT, text=True, timeout=120, check=False, errors="replace",
                             env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "DEBIAN_FRONTEND": "noninteractive",
                                  "LC_ALL": "C.UTF-8"}, **options)
        self.assertEqual(run.returncode, status, run.stdout)
        return run.stdout

    def dpkg(self, *words):
        return self.inside("dpkg", *words)

    def deb(self, name):
        return f"/mnt/{os.path.basename(self.debs[name])}"

    def told_systemd(self):
        return self.inside("sh", "-c", "cat /mnt/systemctl.log 2>/dev/null; rm -f /mnt/systemctl.log")

    def changed(self):
        """What differs from this machine's files: path, kind, mode, content."""
        listing = self.inside("sh", "-c", "cd /media && find . -mindepth 1 -printf '%y %m %P\\n' && "
                              "find . -type f -exec sha256sum {} + | sed 's/ [ *]\\.\\// /'")
        lines = {line for line in listing.splitlines() if not THEIRS.match(line.split(" ", 2)[-1])}
        return {line for line in lines if not (line.startswith("d ") and os.path.isdir(f"/{line.split(' ', 2)[2]}"))}

    def make_front_end(self):
        """What OpenNebula's own packages do, as far as ours can tell."""
        self.inside("useradd", "--system", "--home-dir", "/var/lib/one", "--create-home", "oneadmin")

    def test_host(self):
        """a host: the node's package alone; its probe runs by hand; purged, it leaves nothing"""
        before = self.changed()
        self.dpkg("-i", self.deb("one-telemetry-node"))
        version = re.search(r"^VERSION\s*:= (\S+)$", (ROOT / "Makefile").read_text(encoding="utf-8"), re.M)[1]
        self.assertIn(version, self.inside("vm_monitor", "--version"))
        json = self.inside("vm_monitor", "--uri", "test:///default", "--format", "json", "--state-dir", "/mnt/state")
        self.assertIn("{", json)
        self.assertNotIn("not found", self.inside("sh", "-c", "ldd /usr/lib/one-telemetry/*/hooks/telemetry/*"))
        self.inside("one-telemetry", "doctor", "--list")
        self.inside("man", "-w", "vm_monitor", "forward", "one-telemetry", "one-telemetry.conf")
        self.dpkg("--purge", "one-telemetry-node")
        self.assertEqual(self.changed(), before)

    @unittest.skipUnless(shutil.which("systemd-tmpfiles"), "there is no systemd-tmpfiles")
    def test_kept(self):
        """what waits for a database in /var/tmp is kept when systemd cleans up there"""
        self.dpkg("-i", self.deb("one-telemetry-node"))
        self.inside("sh", "-c", "echo 'q /var/tmp 1777 root root 1s' > /etc/tmpfiles.d/tmp.conf; cd /var/tmp; "
                    "for dir in one-telemetry-7 others; do mkdir -p $dir/spool; echo > $dir/spool/batch; done; sleep 1.5")
        self.inside("systemd-tmpfiles", "--clean", "--prefix=/var/tmp")
        self.inside("test", "-e", "/var/tmp/one-telemetry-7/spool/batch")
        self.inside("test", "-e", "/var/tmp/others/spool/batch", status=1)

    def test_front_end(self):
        """a front-end: telemetryd is enabled and started, and the next step named; purged, nothing is left"""
        self.make_front_end()
        before = self.changed()
        said = self.dpkg("-i", self.deb("one-telemetry-node"), self.deb("one-telemetry"))
        self.assertIn("to bring the probes into OpenNebula and onto its hosts: one-telemetry-install", said)
        self.assertNotIn("not started", said)
        self.assertRegex(self.told_systemd(), r"(?m)^(.* )?restart one-telemetryd\.service$")
        self.inside("test", "-h", "/etc/systemd/system/multi-user.target.wants/one-telemetryd.service")
        self.assertIn("ExecStart=/usr/sbin/telemetryd\n", self.inside("cat", "/lib/systemd/system/one-telemetryd.service"))
        self.inside("setpriv", "--reuid=oneadmin", "--clear-groups", "telemetryd", "--check-config")
        self.inside("man", "-w", "telemetryd")
        self.inside("sh", "-c", "mkdir /var/lib/one-telemetry && echo x > /var/lib/one-telemetry/history.sqlite")
        said = self.dpkg("--remove", "one-telemetry")
        self.assertNotIn("--uninstall", said)
        self.assertRegex(self.told_systemd(), r"(?m)^(.* )?stop one-telemetryd\.service$")
        self.inside("test", "-e", "/var/lib/one-telemetry/history.sqlite")
        self.dpkg("--purge", "one-telemetry", "one-telemetry-node")
        self.assertEqual(self.changed(), before)

    def test_brings_in(self):
        """one-telemetry-install brings in what the packages have; with a second build the probe is the chooser"""
        self.make_front_end()
        self.dpkg("-i", self.deb("one-telemetry-node"), self.deb("one-telemetry"))
        self.inside("env", "DESTDIR=/mnt/tree", "one-telemetry-install", "--yes", "--replace-status", "--replace-execution")
        probe = "im/kvm-probes.d/vm/monitor/telemetry"
        stead = {"status": "vm_status", "execution": "vm_exec"}
        for directory, program in stead.items():
            self.inside("cmp", f"/usr/lib/one-telemetry/remotes/hooks/telemetry/{program}",
                        f"/mnt/tree/var/lib/one/remotes/im/kvm-probes.d/vm/{directory}/telemetry")
        for path in (probe, "hooks/telemetry/forward"):
            self.inside("cmp", f"/usr/lib/one-telemetry/remotes/{path}", f"/mnt/tree/var/lib/one/remotes/{path}")
        self.inside("cp", "-r", "/usr/lib/one-telemetry/remotes/", "/mnt/another")
        self.inside("env", "DESTDIR=/mnt/tree", "one-telemetry-install", "--yes", "--build", "/usr/lib/one-telemetry/remotes",
                    "--build", "/mnt/another")
        self.assertIn("builds", self.inside("cat", f"/mnt/tree/var/lib/one/remotes/{probe}"))
        self.inside(f"/mnt/tree/var/lib/one/remotes/{probe}", "--version")
        for directory, program in stead.items():
            said = self.inside(f"/mnt/tree/var/lib/one/remotes/im/kvm-probes.d/vm/{directory}/telemetry", "--version")
            self.assertRegex(said, f"^{program} ")

    def test_upgraded(self):
        """where the probes are in OpenNebula, an upgrade says how they come to the hosts, and a removal that they stay"""
        self.make_front_end()
        debs = self.deb("one-telemetry-node"), self.deb("one-telemetry")
        self.dpkg("-i", *debs)
        forward = "/var/lib/one/remotes/hooks/telemetry/forward"
        self.inside("sh", "-c", f"mkdir -p {forward.removesuffix('/forward')}; echo ours > {forward}")
        said = self.dpkg("-i", *debs)
        self.assertIn("still have the probes that they had; to bring them these: one-telemetry-install", said)
        said = self.dpkg("--remove", "one-telemetry")
        self.assertIn("one-telemetry-install --uninstall", said)
        self.dpkg("--purge", "one-telemetry", "one-telemetry-node")
        self.assertEqual(self.inside("cat", forward), "ours\n")

    def test_no_opennebula(self):
        """where OpenNebula is not installed yet the packages are, and say why telemetryd is not started"""
        said = self.dpkg("-i", self.deb("one-telemetry-node"), self.deb("one-telemetry"))
        self.assertIn("telemetryd is not started, as there is no user oneadmin", said)
        self.assertNotRegex(self.told_systemd(), r"(?m)^(.* )?(re)?start one-telemetryd\.service$")
        self.inside("test", "-h", "/etc/systemd/system/multi-user.target.wants/one-telemetryd.service")
        self.assertEqual(self.inside("dpkg", "--audit"), "")


if __name__ == "__main__":
    raise SystemExit(main())
