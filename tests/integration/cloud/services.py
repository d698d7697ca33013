# SPDX-License-Identifier: Apache-2.0
"""systemctl, as far as an installation calls it: units.py in the test's process does what it says."""
import getopt

import remote
from cli import Failure

SHORT = "qalt:p:n:HMo:"
LONG = ("now", "quiet", "no-pager", "all", "full", "lines=", "output=", "property=", "value", "type=", "no-legend", "plain",
        "system", "no-block", "no-ask-password", "force", "runtime", "version", "no-reload", "state=")


def systemctl(context, words):
    try:
        opts, words = getopt.gnu_getopt(words, SHORT, LONG)
    except getopt.GetoptError as error:
        raise Failure(f"systemctl: {error}") from error
    opts = {name.lstrip("-"): value for name, value in opts}
    if "version" in opts:
        print("systemd 252 (252-stand-in)")
        return 0
    answer = remote.call(context, {
        "op": "service", "words": words, "now": "now" in opts, "quiet": bool({"q", "quiet"} & set(opts)),
        "property": opts.get("p", opts.get("property")), "value": "value" in opts})
    if answer.get("out"):
        print(answer["out"])
    remote.complain(answer.get("say"))
    return answer["status"]
