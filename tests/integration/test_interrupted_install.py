#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""install.sh interrupted at every moment: installing as root."""
from harness import main
from install_moments import Interrupted


class Installed(Interrupted):
    def test_root(self):
        """root, with the endpoint: another run finishes, and --uninstall leaves what was before"""
        words = self.with_endpoint
        states, after = self.states(words)
        self.resumed_at_each(states, after, words)
        self.taken_out_at_each(states)


if __name__ == "__main__":
    raise SystemExit(main())
