#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""install.sh interrupted at every moment: installing, as root and as oneadmin."""
from harness import main
from install_moments import Interrupted


class Installed(Interrupted):
    def check(self, words, **how):
        states, after = self.states(words, **how)
        self.resumed_at_each(states, after, words, **how)
        self.taken_out_at_each(states, **how)

    def test_root(self):
        """root, with the endpoint"""
        self.check(self.whole_words)

    def test_oneadmin(self):
        """oneadmin"""
        self.check([*self.where, "--no-telemetryd"], user="oneadmin")


if __name__ == "__main__":
    raise SystemExit(main())
