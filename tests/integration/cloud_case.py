# SPDX-License-Identifier: Apache-2.0
"""Tests on a stand-in OpenNebula of their own."""
import os
import unittest

from cloud import Cloud
from harness import Case

REMOTES = "/var/lib/one/remotes"
TREE = "/var/tmp/one"
PROBES = f"{TREE}/im/kvm-probes.d/vm/monitor"


@unittest.skipUnless(os.geteuid() == 0, "needs root: namespaces of its own")
class CloudCase(Case):
    kvm_hosts, front_ends = ("kvm1", "kvm2"), ("one",)

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.scratch.chmod(0o755)
        cls.cloud = Cloud(cls.scratch / "cloud", cls.kvm_hosts, cls.front_ends)
        cls.cleanup(cls.cloud.close)

    def one(self, *words, **options):
        return self.cloud.one(*words, **options)

    def refused(self, *words, says, user="oneadmin", status=255, **options):
        """The command fails, with this status and these words. Returns what it wrote on standard output."""
        got = self.cloud.one(*words, user=user, check=None, **options)
        self.assertEqual(got.returncode, status, got)
        self.assertIn(says, got.stderr, got)
        return got.stdout

    def hook(self, name, script=None, on="RUNNING", **more):
        """Registers a hook; script: what its command does."""
        template = {"TYPE": "state", "RESOURCE": "VM", "ON": on, "COMMAND": f"t/{name}", "ARGUMENTS": "$TEMPLATE",
                    "ARGUMENTS_STDIN": "YES", **more}
        if script is not None:
            self.cloud.front.write(f"{REMOTES}/hooks/t/{name}", f"#!/bin/sh\n{script}\n", 0o755)
        text = f'NAME="{name}"\n' + "".join(f'{key}="{value}"\n' for key, value in template.items() if value is not None)
        return self.one("onehook", "create", input=text)
