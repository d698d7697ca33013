#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""install.sh where something is wrong: what its checks find before anything is changed, and runs that were killed."""
from harness import main
from install_case import CONFS, STATE, Installing

BARE = ["--no-telemetryd", "--no-hooks"]


class Killed(Installing):
    """Runs that did not end, on a host without VMs."""
    vms = {}

    def test_install_after_uninstall(self):
        """--uninstall is killed and it is installed again: the mode and what was edited are as before"""
        edited, plain = CONFS
        self.install(*BARE, "--replace")
        text = self.front.read(edited).replace("#detail = 5", "detail = 3")
        self.front.write(edited, text, 0o640)
        self.install(*BARE)
        untouched = self.front.read(plain)
        for moment in (2, 4, 5, 6, 7, 10, 12, 20, 27):
            self.install("--uninstall", status=-9, env={"ONE_TELEMETRY_KILL_AT": str(moment)})
            gone = not self.front.path(plain).exists()  # the one that nobody edited is made anew then
            self.install(*BARE, *(["--replace"] if gone else []))
            self.assertEqual((self.front.read(edited), self.front.read(plain)), (text, untouched), f"moment {moment}")
            self.assertFalse(self.front.path(f"{STATE}/kvm.conf").exists())


if __name__ == "__main__":
    raise SystemExit(main())
