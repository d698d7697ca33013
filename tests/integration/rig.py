#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A private libvirtd with real, tiny KVM guests, for the integration tests and benchmarks.

This file is the command line; the work is done by the package beside it (rig/), whose docstring
explains how a rig is laid out. Tests use the package:  from rig import Rig
"""
import sys

sys.dont_write_bytecode = True

from rig.cli import main  # noqa: E402

if __name__ == "__main__":
    sys.exit(main())
