#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The stand-in OpenNebula (cloud/) is as strict as the real one: what it refuses, keeps, merges and runs. Root, for
namespaces; without it, the plain kind alone."""
import base64
import os
import pathlib
import subprocess
import time
import unittest

from cloud import Cloud, markup, template
from harness import ROOT, Case, args, main
from opennebula import message_size

RECORDED = pathlib.Path(__file__).parent / "cloud" / "recorded"
GOLDEN = ROOT / "tests" / "golden" / "recorded"
HOOK = 'NAME="{0}"\nTYPE=state\nRESOURCE=VM\nON={1}\nCOMMAND="t/{2}"\nARGUMENTS="$TEMPLATE"\nARGUMENTS_STDIN="YES"\n'
PROBES = "/var/tmp/one/im/kvm-probes.d/vm/monitor"


@unittest.skipUnless(os.geteuid() == 0, "needs root: namespaces of its own")
class CloudCase(Case):
    kvm_hosts, front_ends = ("kvm1", "kvm2"), ("one",)

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.cloud = Cloud(cls.scratch / "cloud", cls.kvm_hosts, cls.front_ends)
        cls.cleanup(cls.cloud.close)

    def refused(self, *words, says, user="oneadmin", status=255, **options):
        got = self.cloud.one(*words, user=user, check=None, **options)
        self.assertEqual(got.returncode, status, got)
        self.assertIn(says, got.stderr, got)


class Commands(CloudCase):
    def test_lists(self):
        """hosts and VMs are listed, as text, CSV and XML, and every command says the version"""
        self.cloud.add_vm(9, "kvm1")
        got = self.cloud.one("onehost", "list", "--csv", "--no-header", "-l", "NAME,STAT,TVM")
        self.assertEqual(got, "kvm1,on,1\nkvm2,on,0\n")
        pool = markup.parse(self.cloud.one("onevm", "list", "-x"))
        self.assertEqual([vm.findtext("ID") for vm in pool], ["9"])
        for command in ("oned", "onehost", "onehook", "onevm"):
            self.assertIn("OpenNebula 7.4.0", self.cloud.one(command, "--version"))


if __name__ == "__main__":
    raise SystemExit(main())
