#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The probe built with address and undefined-behaviour sanitizers, on real guests, in good and bad times: no report, of
the probe."""
import time

from harness import RigCase, main

DEADLINE = 4
VMS = (79, 82)
# libvirt's SSH transport brings in OpenSSL, which keeps a block per thread and lets go of it late.
SUPPRESSED = "leak:libcrypto.so\n"
OPTIONS = "detect_leaks=1:exitcode=99:allocator_may_return_null=1:handle_abort=1"


class Sanitized(RigCase):
    fleet = (("idle", "one-79", {}), ("disk", "one-82", {"vm_name": 'a "name" with \\'}))
    sanitized = True

    def setUp(self):
        self.reports = self.scratch / f"reports-{self.id().rpartition('.')[2]}"
        self.reports.mkdir()
        options = f"{OPTIONS}:log_path={self.reports}/report"
        suppressions = self.scratch / "suppressions"
        suppressions.write_text(SUPPRESSED)
        env = {"ASAN_OPTIONS": options, "LSAN_OPTIONS": f"suppressions={suppressions}:print_suppressions=0",
               "UBSAN_OPTIONS": f"print_stacktrace=1:log_path={self.reports}/report"}
        self.opennebula = self.host(conf=f"deadline = {DEADLINE}", env=env)

    def clean(self, run, status=0):
        """The run, which nothing was reported of."""
        reports = "\n".join(path.read_text(errors="replace") for path in self.reports.iterdir())
        self.assertEqual(reports, "", run)
        self.assertNotRegex(run.err + "".join(text for _, text in run.log), "Sanitizer|runtime error")
        self.assertEqual(run.status, status, run)
        return run

    def test_reports_are_seen(self):
        """a report would be seen here: the build is a sanitized one"""
        run = self.opennebula.by_hand("--version", env={"ASAN_OPTIONS": "help=1"})
        self.assertIn("Available flags for AddressSanitizer", run.err + run.out)

    def test_usual(self):
        """sanitized: cycles of every form, a recording, a damaged state"""
        for _ in range(3):
            self.assert_complete(self.clean(self.opennebula.cycle()), vms=VMS)
            time.sleep(0.3)
        recording = str(self.scratch / "recording")
        for form in ("one", "line", "json", "domstats"):
            self.clean(self.opennebula.cycle("--format", form))
            self.clean(self.opennebula.by_hand("--format", form, "--record", recording))
            self.clean(self.opennebula.by_hand("--format", form, "--replay", recording))
        for text in ("", "garbage\n", self.opennebula.state_file.read_text()[:-20]):
            self.opennebula.state_file.write_text(text)
            self.assert_complete(self.clean(self.opennebula.cycle()), rates=False, vms=VMS)
        self.clean(self.opennebula.by_hand("--deadline", "soon"), status=2)
        self.clean(self.opennebula.by_hand("--dump-config"))

    def test_frozen_guest(self):
        """sanitized: a frozen guest, and libvirtd killed while it is asked for it"""
        self.opennebula.cycle()
        with self.frozen("one-82"):
            for _ in range(2):
                self.assert_complete(self.clean(self.opennebula.cycle()), locked=[82], vms=VMS)
        self.assert_complete(self.clean(self.opennebula.cycle()), vms=VMS)
        with self.frozen("one-82"):
            process = self.opennebula.start()
            self.opennebula.collecting(process)
            time.sleep(0.5)
            self.rig.libvirtd("kill")
            self.clean(self.opennebula.finish(process))
            self.rig.libvirtd("start")

    def test_no_libvirtd(self):
        """sanitized: libvirtd stopped, frozen, and there again"""
        try:
            self.rig.libvirtd("stop")
            self.assert_silent(self.clean(self.opennebula.cycle()))
            self.clean(self.opennebula.by_hand(), status=1)
            self.rig.libvirtd("start")
            self.rig.libvirtd("freeze")
            self.assert_silent(self.clean(self.opennebula.cycle()))
        finally:
            if self.rig.libvirtd_pid():
                self.rig.libvirtd("thaw")
            self.rig.libvirtd("start")
        self.settle()
        self.assert_complete(self.clean(self.opennebula.cycle()), vms=VMS)


if __name__ == "__main__":
    raise SystemExit(main())
