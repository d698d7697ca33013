#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""make install and make uninstall, into a directory: what is put there, and what is left. No guests, no root."""
import os
import re
import subprocess

from harness import ROOT, Case, args, main

REMOTES = "var/lib/one/remotes"


class Install(Case):
    def make(self, target):
        run = subprocess.run(["make", "-s", "-o", "all", target, f"BUILD={args.build}", f"DESTDIR={self.dest}"], cwd=ROOT,
                             env={"PATH": os.environ["PATH"]}, capture_output=True, text=True, timeout=60, check=False)
        self.assertEqual((run.returncode, run.stderr), (0, ""), run)
        return run.stdout

    def found(self):
        return {str(path.relative_to(self.dest)) for path in self.dest.glob("**/*") if not path.is_dir()}

    def test_both(self):
        """every program, page and document is there; afterwards none, but a configuration that was edited"""
        self.dest = self.scratch / "root"
        self.make("install")
        confs = {f"{REMOTES}/etc/im/{tree}-probes.d/telemetry.conf" for tree in ("kvm", "qemu")}
        programs = {f"{REMOTES}/hooks/telemetry/forward",
                    *(f"{REMOTES}/im/{tree}-probes.d/vm/monitor/telemetry" for tree in ("kvm", "qemu"))}
        pages = {f"usr/local/share/man/man{path.suffix[1:]}/{path.name}" for path in (ROOT / "share" / "man").iterdir()}
        docs = {f"usr/local/share/doc/one-telemetry/{path.name}" for path in (ROOT / "docs").glob("*.md")}
        programs.add("usr/local/sbin/telemetryd")
        dashboard = {"usr/local/share/one-telemetry/grafana/one-telemetry.json", "usr/local/share/one-telemetry/openapi.json",
                     "usr/local/lib/systemd/system/one-telemetryd.service"}
        self.assertEqual(self.found(), confs | programs | pages | docs | dashboard)
        self.assertTrue(all(os.access(self.dest / path, os.X_OK) for path in programs))
        for path in pages:
            for named in re.findall(r"share/doc/one-telemetry/\S+\.md", (self.dest / path).read_text()):
                self.assertIn(f"usr/local/{named}", docs)
        edited = f"{REMOTES}/etc/im/kvm-probes.d/telemetry.conf"
        with open(self.dest / edited, "a", encoding="utf-8") as conf:
            conf.write("[log]\n")
        self.make("install")  # once more
        self.assertTrue((self.dest / edited).read_text().endswith("[log]\n"))
        said = self.make("uninstall")
        self.assertEqual(self.found(), {edited})
        self.assertEqual(said, f"kept, as it is not the sample: {self.dest / edited}\n")
        for gone in ("hooks/telemetry", "usr/local/share/one-telemetry", "usr/local/share/doc/one-telemetry"):
            self.assertFalse((self.dest / REMOTES / gone).exists() or (self.dest / gone).exists(), gone)
        self.assertEqual(self.make("uninstall"), said)


if __name__ == "__main__":
    raise SystemExit(main())
