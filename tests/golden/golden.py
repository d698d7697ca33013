#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""golden.py --probe FILE [--update]   recorded domain statistics in, exact output out.

A case is a list of recordings, replayed in that order, and the formats whose output is kept in expected/. OpenNebula's
records are kept decoded, so that a difference can be read; that they were encoded as they should is checked here too.
--update writes expected/ anew: read `git diff` before you commit it.
"""
import argparse
import base64
import difflib
import hashlib
import pathlib
import re
import subprocess
import sys
import tempfile

sys.dont_write_bytecode = True
HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "integration"))
from opennebula import DATAGRAM, decode, message_size  # noqa: E402
import exposition  # noqa: E402

REPLACE = "[probe]\nmode = replace\n"
CASES = [  # name, recordings, formats, configuration
    ("first-sample", ["fleet-1.domstats"], ["one", "line", "json", "prometheus", "domstats"], ""),
    ("rates", ["fleet-1.domstats", "fleet-2.domstats"], ["one", "line", "json", "prometheus"], ""),
    ("wide", ["fleet-1.domstats", "wide.domstats"], ["line"], ""),
    ("locked-beside", ["fleet-1.domstats", "fleet-2.domstats", "locked.domstats"], ["one", "line", "prometheus"], ""),
    ("locked-replace", ["fleet-1.domstats", "fleet-2.domstats", "locked.domstats"], ["one"], REPLACE),
    ("unlocked", ["locked.domstats", "unlocked.domstats"], ["one"], REPLACE),
    ("arriving", ["fleet-1.domstats", "arriving.domstats"], ["one"], ""),
    ("source-of-migration", ["fleet-1.domstats", "leaving.domstats"], ["one"], ""),
    ("restarted", ["fleet-1.domstats", "restarted.domstats"], ["one"], ""),
    ("virsh-fleet", ["virsh-fleet.txt"], ["one", "line"], ""),
    ("virsh-backing-chain", ["virsh-backing.txt"], ["line"], ""),
    ("virsh-locked", ["virsh-locked.txt"], ["line"], ""),
    ("opennebula-host", ["one-kvm-a.txt"], ["one", "line", "json", "prometheus"], ""),
    ("few-tiers", ["fleet-1.domstats", "fleet-2.domstats"], ["one"], "[probe]\ndetail = 1\n"),
]
# Made from recordings by one edit each, so that the edit can be read here.
EDITS = {
    "wide.domstats": ("fleet-2.domstats", [(r"  vcpu\.2\.[a-z]+=.*\n", "")]),  # vCPU 2 was unplugged: a hole
    "leaving.domstats": ("fleet-2.domstats", [(r"(?s)(Domain: 'one-82'.*?)state\.state=1\n  state\.reason=1",
                                               r"\1state.state=3\n  state.reason=2")]),
    "restarted.domstats": ("fleet-2.domstats", [(r"(?s)(Domain: 'one-83'.*?)domain\.id=\d+", r"\1domain.id=77")]),
}


def recording(name, scratch):
    if name not in EDITS:
        return HERE / "recorded" / name
    source, edits = EDITS[name]
    text = (HERE / "recorded" / source).read_text()
    for pattern, replacement in edits:
        text, count = re.subn(pattern, replacement, text)
        assert count, f"{name}: {pattern} changes nothing"
    path = pathlib.Path(scratch) / name
    path.write_text(text)
    return path


def run(probe, paths, form, conf, scratch):
    file = pathlib.Path(scratch) / "telemetry.conf"
    file.write_text(conf)
    command = [probe, "--config", file, "--format", form]
    for path in paths:
        command += ["--replay", path]
    got = subprocess.run(command, capture_output=True, text=True, timeout=120, stdin=subprocess.DEVNULL)
    if got.returncode:
        raise ValueError(f"exit status {got.returncode}: {got.stderr}")
    return got.stdout


def readable(text):
    """Records decoded; they are encoded anew to see that nothing else was in them."""
    out, again = [], ""
    for vm, keys in decode(text).items():
        body = re.search(rf'ID="{vm}".*MONITOR="([^"]*)"', text)[1]
        decoded = base64.b64decode(body).decode()
        again += f'VM = [ ID="{vm}", DEPLOY_ID="{keys["DEPLOY_ID"]}", MONITOR="{base64.b64encode(decoded.encode()).decode()}" ]\n'
        out.append(f'VM {vm} {keys["DEPLOY_ID"]}\n' + "".join(f"  {line}\n" for line in decoded.splitlines()))
    if again != text:
        raise ValueError("the records do not come out the same when encoded anew")
    return "".join(out)


def thousand(probe, scratch):
    """1,000 guests like those recorded: every VM is heard of, and the message keeps its limit."""
    paths = []
    for name in ("fleet-1.domstats", "fleet-2.domstats"):
        text = (HERE / "recorded" / name).read_text()
        header, guest = re.match(r"# one.*\n", text)[0], re.search(r"(?ms)^Domain: 'one-82'.*?(?=^Domain)", text)[0]
        guests = "".join(guest.replace("one-82", f"one-{i}").replace("domain.uuid=", f"domain.uuid={i:08x}")
                         for i in range(1000))
        paths.append(pathlib.Path(scratch) / f"thousand-{name}")
        paths[-1].write_text(f"{header}{guests}# end 1000\n")
    conf = REPLACE + "message_reserve = 0\n"
    one = run(probe, paths, "one", conf, scratch)
    line = run(probe, paths, "line", conf, scratch)
    totals = sum(text.startswith("vm_totals,") for text in line.splitlines())
    if message_size(one) > DATAGRAM:
        raise ValueError(f"the message has {message_size(one)} bytes, {DATAGRAM} is the most a datagram carries")
    return (f"records {len(decode(one))}\nvm_totals points {totals}\nmessage bytes {message_size(one)}\n"
            f"records sha256 {hashlib.sha256(one.encode()).hexdigest()}\nline protocol sha256 {hashlib.sha256(line.encode()).hexdigest()}\n")


def outputs(probe, scratch):
    for name, recordings, formats, conf in CASES:
        paths = [recording(each, scratch) for each in recordings]
        for form in formats:
            def make(paths=paths, form=form, conf=conf):
                text = run(probe, paths, form, conf, scratch)
                if form == "prometheus":
                    exposition.read(text)
                return readable(text) if form == "one" else text
            yield f"{name}.{form}", make
    yield "thousand.summary", lambda: thousand(probe, scratch)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--probe", required=True, type=pathlib.Path)
    parser.add_argument("--update", action="store_true")
    args = parser.parse_args()
    failed = 0
    with tempfile.TemporaryDirectory() as scratch:
        for name, make in outputs(args.probe, scratch):
            path = HERE / "expected" / name
            try:
                have, want = make(), path.read_text() if path.exists() else ""
            except (ValueError, subprocess.TimeoutExpired) as error:
                have, want = f"{error}\n", None
            if want is not None and args.update:
                path.parent.mkdir(exist_ok=True)
                path.write_text(have)
                want = have
            if have == want:
                print(f"ok {name}")
                continue
            failed += 1
            print(f"FAILED {name}")
            for text in list(difflib.unified_diff((want or "").splitlines(), have.splitlines(), "expected", "got", "", "", 1))[:40]:
                print(f"| {text.rstrip()[:300]}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
