# SPDX-License-Identifier: Apache-2.0
"""What the integration tests share: a runner whose lines tests/run.py reads, test cases with a rig of their own, and a
host as OpenNebula sees it (host.py).

A test file holds classes derived from Case or RigCase and ends with main(). A test is named by the first line of its
docstring. Rigs and directories are taken down at the end, after a failure, a signal and the file's time limit too.
"""
import argparse
import contextlib
import pathlib
import shutil
import signal
import sys
import tempfile
import time
import traceback
import unittest

sys.dont_write_bytecode = True
from rig import Rig, RigError  # noqa: E402, F401
from host import Host  # noqa: E402

FILE_SECONDS = 900  # that one file may take, below what run.py allows: it would not let us clean up
ROOT = pathlib.Path(__file__).resolve().parent.parent.parent

args = argparse.Namespace()
_at_end = contextlib.ExitStack()


class Case(unittest.TestCase):
    """Tests with a directory of their own. Long messages: what was compared and what was said."""
    longMessage = True
    maxDiff = 4000
    sanitized = False  # which build of the probe

    @classmethod
    def setUpClass(cls):
        cls.scratch = pathlib.Path(tempfile.mkdtemp(prefix="one-it-"))
        cls.cleanup(shutil.rmtree, cls.scratch, ignore_errors=True)
        cls.hosts = 0

    @classmethod
    def cleanup(cls, function, *arguments, **options):
        """Called after the class's tests, or when the file is given up."""
        stack = contextlib.ExitStack()
        stack.callback(function, *arguments, **options)
        _at_end.push(stack)
        cls.addClassCleanup(stack.close)

    @classmethod
    def probe(cls):
        return (args.asan if cls.sanitized else args.build) / "probes" / "vm_monitor"

    def host(self, uri=None, conf="", **options):
        """A fresh host, without any state of another test, whose probe asks `uri`."""
        type(self).hosts += 1
        made = Host(self.scratch / f"host-{self.hosts}", self.probe(), uri or self.uri(), conf, **options)
        self.addCleanup(made.close)
        return made

    def uri(self):
        return "test:///default"

    def wait_for(self, condition, complaint, seconds=20):
        deadline = time.monotonic() + seconds
        while not condition():
            self.assertLess(time.monotonic(), deadline, complaint)
            time.sleep(0.02)

    # ---- what several tests ask of a run ------------------------------------------------------------

    def assert_silent(self, run, status=0):
        """Nothing for OpenNebula, and the exit status."""
        self.assertEqual((run.status, run.out), (status, ""), run)

    def assert_logged(self, run, *patterns):
        """Just these messages on syslog, of level warning or worse, in this order."""
        lines = [text for level, text in run.log if level <= 4]
        self.assertEqual(len(lines), len(patterns), run)
        for line, pattern in zip(lines, patterns):
            self.assertRegex(line, pattern, run)

    def assert_complete(self, run, rates=None, locked=(), vms=None):
        """Every record of the run is complete, but for those of locked VMs. rates: whether there are any; None: either
        way. vms: which there must be. Returns the records."""
        self.assertEqual(run.status, 0, run)
        records = run.records()
        if vms is not None:
            self.assertEqual(sorted(records), sorted(vms), run)
        self.assertTrue(records, run)
        for vm, keys in records.items():
            if vm in locked:
                self.assertEqual(keys.get("LOCKED"), "1", f"VM {vm}: {keys}")
                self.assertIsNone(keys.get("DISKRDBYTES"), f"VM {vm}: {keys}")
                continue
            self.assertIsNone(keys.get("LOCKED"), f"VM {vm}: {keys}")
            missing = [key for key in COUNTERS if keys.get(key) is None]
            self.assertFalse(missing, f"VM {vm}: {keys}")
            if rates is not None:
                wrong = [key for key in RATES if (keys.get(key) is not None) != rates]
                self.assertFalse(wrong, f"VM {vm}, rates wanted {rates}: {keys}")
        return records


COUNTERS = ("MEMORY", "NETRX", "NETTX", "DISKRDBYTES", "DISKWRBYTES", "DISKRDIOPS", "DISKWRIOPS")
RATES = ("CPU", "NETRX_BW", "NETTX_BW", "DISKRDBYTES_BW", "DISKWRBYTES_BW", "DISKRDIOPS_BW", "DISKWRIOPS_BW")


def file_rig(fleet):
    """A rig with these guests that is taken down when the file is done."""
    directory = tempfile.mkdtemp(prefix="one-it-")
    _at_end.callback(shutil.rmtree, directory, ignore_errors=True)
    rig = Rig(pathlib.Path(directory) / "rig")
    _at_end.callback(rig.down)
    rig.up(fleet)
    return rig


class RigCase(Case):
    """Tests that share one rig. fleet: as Rig.up takes it."""
    fleet = None

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.rig = cls.new_rig("rig", cls.fleet)

    @classmethod
    def new_rig(cls, name, fleet):
        rig = Rig(cls.scratch / name)
        cls.cleanup(rig.down)
        rig.up(fleet)
        return rig

    def uri(self):
        return self.rig.uri()

    @contextlib.contextmanager
    def frozen(self, *names):
        """These guests' QEMU does not answer meanwhile; afterwards all is as before."""
        try:
            for name in names:
                self.rig.freeze(name)
            yield
        finally:
            for name in names:
                self.rig.thaw(name)
            self.settle()

    def settle(self, *names):
        """Waits until libvirtd answers for these guests again, for all if none is named, and goes on to do so: a call
        that was held up may have others to ask still."""
        def all_answer():
            return all("balloon.rss" in stats for stats in self.rig.domstats(*names, timeout=20).values())
        self.wait_for(lambda: all_answer() and (time.sleep(0.2) or all_answer()), "guests do not answer again", 30)


class Lines(unittest.TestResult):
    """Prints what run.py's take_lines reads, and on standard error how long each test took."""

    def startTest(self, test):
        super().startTest(test)
        self.began = time.monotonic()

    def stopTest(self, test):
        super().stopTest(test)
        print(f"{time.monotonic() - self.began:6.1f} s  {test.id()}", file=sys.stderr, flush=True)

    def _say(self, word, test, *rest):
        name = str(test.shortDescription() or test.id()).strip().rstrip(".")
        print(word, name, *rest, flush=True)

    def addSuccess(self, test):
        self._say("ok", test)

    def addSkip(self, test, reason):
        self._say("skipped", test, reason)

    def addFailure(self, test, err):
        super().addFailure(test, err)
        self._fail(test, err)

    def addError(self, test, err):
        super().addError(test, err)
        self._fail(test, err)

    def addSubTest(self, test, subtest, err):
        super().addSubTest(test, subtest, err)
        if err:
            self._fail(subtest, err, subtest.id().partition(" ")[2])

    def _fail(self, test, err, *which):
        self._say("FAILED", test, *which)
        kind, error, trace = err
        frames = traceback.format_exception(kind, error, trace)
        for line in "".join(frames).splitlines():
            print("|", line[:2000], flush=True)


def _give_up(signum, _):
    raise KeyboardInterrupt(f"signal {signum}")


def main():
    """Runs the tests of the calling file: test_x.py --build DIR --asan DIR [TEST...]"""
    parser = argparse.ArgumentParser()
    parser.add_argument("--build", type=pathlib.Path, default=ROOT / "build")
    parser.add_argument("--asan", type=pathlib.Path, default=ROOT / "build/address-undefined")
    parser.add_argument("tests", nargs="*", help="names of methods; all by default")
    parser.parse_args(namespace=args)
    args.build, args.asan = args.build.resolve(), args.asan.resolve()
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGALRM):
        signal.signal(number, _give_up)
    signal.alarm(FILE_SECONDS)
    loader = unittest.TestLoader()
    found = loader.loadTestsFromModule(sys.modules["__main__"])
    unknown = set(args.tests) - {test.id().split(".")[-1] for suite in found for test in suite}
    if unknown:
        parser.error(f"no such test here: {' '.join(sorted(unknown))}")
    if args.tests:
        found = unittest.TestSuite(type(suite)(test for test in suite if test.id().split(".")[-1] in args.tests)
                                   for suite in found)
    result = Lines()
    try:
        found.run(result)
    except KeyboardInterrupt as given_up:
        print(f"FAILED given up: {given_up}", flush=True)
        return 1
    finally:
        signal.alarm(0)
        _at_end.close()
    return 0 if result.wasSuccessful() else 1
