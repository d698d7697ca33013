#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""install.sh interrupted at every moment: an upgrade."""
from harness import main
from install_case import CONFS
from install_moments import Interrupted


class Upgraded(Interrupted):
    def test_upgrade(self):
        """an upgrade that puts the probe in poll.rb's place, mends hooks and keeps what was edited"""
        self.whole()
        self.edit()
        self.spoil_hooks()
        newer = self.build("mine", mark="newer")
        for program in ("forward", "telemetryd"):
            with open(newer / program, "ab") as file:
                file.write(b"newer")
        states, after = self.states(["--replace"], build=newer)
        self.assertIn("\ndetail = 3\n", self.front.read(CONFS[0]))
        self.resumed_at_each(states, after, ["--replace"], build=newer)
        self.fresh["OpenNebula"] = {"mine": 1}
        self.taken_out_at_each(states)


if __name__ == "__main__":
    raise SystemExit(main())
