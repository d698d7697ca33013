#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""install.sh interrupted at every moment: installing as oneadmin."""
from harness import main
from install_moments import Interrupted


class Installed(Interrupted):
    def test_oneadmin(self):
        """oneadmin: another run finishes, and --uninstall leaves what was before"""
        words = [*self.with_sink, "--no-telemetryd"]
        states, after = self.states(words, user="oneadmin")
        self.resumed_at_each(states, after, words, user="oneadmin")
        self.taken_out_at_each(states, user="oneadmin")


if __name__ == "__main__":
    raise SystemExit(main())
