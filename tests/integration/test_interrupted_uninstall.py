#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""install.sh interrupted at every moment: --uninstall."""
from harness import main
from install_case import CONFS, STATE
from install_moments import Interrupted


class TakenOut(Interrupted):
    def test_uninstall(self):
        """--uninstall: another finishes, and so does an installation instead, with the mode and what was edited as before"""
        self.whole("--replace")
        self.edit()
        self.install("--wait", "0", status=(0, 3))
        whole, confs = self.picture(), [self.front.read(path) for path in CONFS]
        states, after = self.states(["--uninstall"])
        self.assertEqual(after["front"].keys() - self.fresh["front"].keys(), {CONFS[0]})
        self.resumed_at_each(states, after, ["--uninstall"])
        self.put_in_again(states, whole, confs)

    def put_in_again(self, states, whole, confs):
        seen = set()
        for number, state in enumerate(states, 1):
            if state.action in seen:  # within it there is no more than at its beginning, and what was begun
                continue
            seen.add(state.action)
            with self.subTest(moment=number, action=state.action):
                state.kept.bring_back()
                gone = not self.front.path(CONFS[1]).exists()  # the one that nobody edited is made anew then
                self.install(*(["--replace"] if gone else []), *self.with_endpoint, "--wait", "0", status=(0, 3))
                self.assertEqual([self.front.read(path) for path in CONFS], confs)
                self.assertFalse(self.front.path(f"{STATE}/kvm.conf").exists())
                self.assert_same(whole, self.picture())


if __name__ == "__main__":
    raise SystemExit(main())
