# SPDX-License-Identifier: Apache-2.0
"""command.py STATE ROOT NAME WORD...   one of OpenNebula's commands, or ssh. The wrappers that layout.py makes call it.

It runs without site-packages and with a copy of these files, as any user who calls a command."""
import importlib
import pathlib
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

import cli  # noqa: E402
from store import Store  # noqa: E402

MODULES = {"onehook": "onehook", "onehost": "onehost", "onevm": "onevm", "onezone": "onezone", "oneuser": "onezone",
           "oned": "onezone", "ssh": "remote", "scp": "remote", "one-receive": "tree", "systemctl": "services"}


def main(words):
    state, root, name, *rest = words
    context = cli.Context(Store(state), root)
    context.directory = pathlib.Path(state)
    try:
        return getattr(importlib.import_module(MODULES[name]), name.replace("-", "_"))(context, rest)
    except cli.Failure as failure:
        print(failure, file=sys.stderr)
        return failure.status
    except BrokenPipeError:
        return 141


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
