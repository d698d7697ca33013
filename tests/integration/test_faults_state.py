#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The previous sample, kept in a file: damaged, foreign, replaced by a trap, or a disk that is full. Each time the
records are as on a first run, syslog has one line that says why, and the next run has rates again where it can."""
import contextlib
import os
import re
import subprocess
import time

from harness import RigCase, main

APART = 0.3  # seconds between two cycles that shall give rates
NOBODY = 65534


class State(RigCase):
    fleet = (("idle", "one-79", {}), ("disk", "one-82", {}))

    def setUp(self):
        self.opennebula = self.host()
        self.file, self.dir = self.opennebula.state_file, self.opennebula.state

    def cycle(self, rates, *patterns, **options):
        """A cycle whose records are complete, with rates or without, and that says just this on syslog."""
        time.sleep(APART)
        run = self.opennebula.cycle(**options)
        self.assert_complete(run, rates=rates, vms=(79, 82))
        self.assert_logged(run, *patterns)
        self.assertEqual(run.err, "", run)
        self.assertEqual([path.name for path in self.dir.glob("*.tmp-*")], [])
        return run

    def begin(self):
        """Two cycles, so that there are rates, and OpenNebula holds keys that go with them."""
        self.opennebula.cycle()
        self.cycle(True)

    def damaged(self, damage, reason, rates_after=True):
        """What `damage` does to a good state costs one cycle its rates."""
        self.begin()
        damage()
        pattern = rf"previous sample {re.escape(str(self.file))} not used: .*{reason}.*; going on as on a first run$"
        self.cycle(False, pattern)
        if rates_after:
            self.cycle(True)
            self.assertTrue(self.file.is_file() and not self.file.is_symlink())
            self.assertEqual((self.file.stat().st_uid, self.file.stat().st_mode & 0o777), (os.geteuid(), 0o600))
        else:
            self.cycle(False, pattern)

    def edit(self, pattern, replacement):
        text, count = re.subn(pattern, replacement, self.file.read_text(), count=1)
        self.assertEqual(count, 1, pattern)
        self.file.write_text(text)

    # ---- the file ---------------------------------------------------------------------------------------

    def test_missing(self):
        """state file missing: as a first run, said on syslog, then rates"""
        first = self.opennebula.cycle()
        self.assert_complete(first, rates=False, vms=(79, 82))
        self.assertRegex(first.log[0][1], "no previous sample; going on as on a first run$")
        self.assertEqual(len(first.log), 1, first)
        self.cycle(True)
        self.file.unlink()
        gone = self.cycle(False)
        self.assertEqual(gone.log, first.log)
        self.cycle(True)

    def test_truncated(self):
        """state file cut short, at several places"""
        size = None
        for part in (0, 0.01, 0.5, 0.9, 1):
            with self.subTest(part=part):
                self.begin()
                size = self.file.stat().st_size
                os.truncate(self.file, min(int(size * part), size - 3))
                self.cycle(False, "previous sample .* not used: .*; going on as on a first run$")
                self.cycle(True)

    def test_part_lost(self):
        """state file that lost a guest in its middle"""
        self.damaged(lambda: self.edit(r"(?s)Domain: 'one-79'.*?(?=Domain: 'one-82')", ""), "some are missing")

    def test_garbage(self):
        """state file full of garbage: random bytes, zeros, other text, a line without end"""
        for name, content in (("random", os.urandom(100_000)), ("zeros", bytes(4096)), ("text", b"hello world\n"),
                              ("line", b"# one-telemetry domstats 1 " + b"x" * 1_000_000), ("xml", b"<domain/>\n")):
            with self.subTest(name):
                self.damaged(lambda content=content: self.file.write_bytes(content), "")

    def test_other_host(self):
        """state file of another host"""
        self.begin()
        self.cycle(False, 'it is of host "kvm1", this is "kvm2"; going on as on a first run$', host="kvm2")
        self.cycle(True, host="kvm2")

    def test_future(self):
        """state file from the future"""
        self.damaged(lambda: self.edit(r" boottime=(\d+) ", r" boottime=9\1 "), "it is from the future")

    def test_before_reboot(self):
        """state file from before the host's last boot: no rates, and nothing wrong about it"""
        self.begin()
        self.edit(r" boot=\S+ ", " boot=00000000-0000-4000-8000-000000000000 ")
        self.cycle(False)
        self.cycle(True)

    def test_symbolic_link(self):
        """state file a symbolic link: not followed, and where it leads nothing changes"""
        elsewhere = self.opennebula.dir / "elsewhere"

        def damage():
            self.file.rename(elsewhere)
            self.file.symlink_to(elsewhere)
        self.damaged(damage, "is a symbolic link")
        self.assertTrue(elsewhere.read_text().endswith("# end 2\n"))
        self.file.unlink()
        self.file.symlink_to("/nonexistent/file")
        self.cycle(False, "is a symbolic link")
        self.cycle(True)

    def test_other_user(self):
        """state file owned by another user"""
        self.damaged(lambda: os.chown(self.file, NOBODY, NOBODY), f"belongs to user {NOBODY}, not to user 0")

    def test_open_to_others(self):
        """state file that others may write to"""
        self.damaged(lambda: self.file.chmod(0o620), r"others may write to it \(mode 0620\)")

    def test_no_file(self):
        """state file a FIFO: the probe does not wait for its writer"""
        def damage():
            self.file.unlink()
            os.mkfifo(self.file, 0o600)
        self.damaged(damage, "is not a regular file")

    # ---- the directory ----------------------------------------------------------------------------------

    def test_directory_is_a_link(self):
        """state directory a symbolic link: nothing is read or written through it"""
        elsewhere = self.opennebula.dir / "elsewhere"

        def damage():
            self.dir.rename(elsewhere)
            self.dir.symlink_to(elsewhere)
        self.damaged(damage, "is a symbolic link", rates_after=False)
        before = (elsewhere / self.file.name).stat().st_mtime_ns
        self.cycle(False, "is a symbolic link")
        self.assertEqual((elsewhere / self.file.name).stat().st_mtime_ns, before)
        self.dir.unlink()
        self.cycle(False)
        self.assertEqual(self.dir.stat().st_mode & 0o7777, 0o700)
        self.cycle(True)

    def test_directory_of_another_user(self):
        """state directory of another user"""
        self.damaged(lambda: os.chown(self.dir, NOBODY, NOBODY), f"belongs to user {NOBODY}", rates_after=False)
        os.chown(self.dir, 0, 0)
        self.cycle(True)

    def test_directory_open_to_others(self):
        """state directory that others may write to"""
        self.damaged(lambda: self.dir.chmod(0o770), r"others may write to it \(mode 0770\)", rates_after=False)
        self.dir.chmod(0o700)
        self.cycle(True)

    def test_directory_is_a_file(self):
        """state directory a file"""
        def damage():
            self.dir.rename(self.opennebula.dir / "old")
            self.dir.write_text("")
        self.damaged(damage, "Not a directory", rates_after=False)

    def test_directory_cannot_be_made(self):
        """state directory below one that is missing"""
        conf = self.opennebula.tree.conf
        conf.write_text(conf.read_text().replace(str(self.dir), f"{self.dir}/not/there"))
        for _ in range(2):
            self.cycle(False, "this sample is not kept, so the next run has no rates: .*/not/there: No such file")

    # ---- the disk ---------------------------------------------------------------------------------------

    def test_full_disk(self):
        """no room for the state file: records all the same, the old state stays, syslog has a line"""
        self.dir.mkdir(mode=0o700)
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=128k,mode=0700", "tmpfs", self.dir], check=True)
        stack = contextlib.ExitStack()
        stack.callback(subprocess.run, ["umount", "-l", self.dir], check=False)
        self.addCleanup(stack.close)
        self.begin()
        old = self.file.read_bytes()
        filler = self.dir / "filler"
        with open(filler, "wb", buffering=0) as out, contextlib.suppress(OSError):
            while True:
                out.write(bytes(512))
        for _ in range(2):
            self.cycle(True, "this sample is not kept, so the next run has no rates: .*No space left on device")
            self.assertEqual(sorted(path.name for path in self.dir.iterdir()), ["filler", self.file.name])
            self.assertEqual(self.file.read_bytes(), old)
        filler.unlink()
        self.cycle(True)
        self.assertNotEqual(self.file.read_bytes(), old)
        self.cycle(True)


if __name__ == "__main__":
    raise SystemExit(main())
