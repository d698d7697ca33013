#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""run.py SUITE...   runs test suites one after another, prints a line per test, and closes with "N passed, N failed".

Suites: unit (cmocka programs), golden (recorded input, exact output), docs (generated pages are up to date), fuzz (each
fuzzer for FUZZ_SECONDS, 5 by default), integration (tests/integration/test_*.py on real guests), web (tests/web/test_*.py:
the dashboard in Chromium), lint (which goes on behind all others). A suite that cannot run, for want of a dependency or of
root, is a failure; a test that skips itself is named and counted.
"""
import argparse
import concurrent.futures
import difflib
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
SANITIZER_ENV = {
    "ASAN_OPTIONS": "detect_leaks=1:abort_on_error=0:exitcode=99:allocator_may_return_null=1",
    "UBSAN_OPTIONS": "print_stacktrace=1:halt_on_error=1",
}
PROGRAM_LIMIT = 300  # seconds that one test program may take
LINT_LIMIT = 1800
CORES = max(2, len(os.sched_getaffinity(0)))
LONG = [f"test_{name}" for name in (  # scripts of more than a minute; those that compute between those that wait
    "interrupted_install", "forward_processes", "interrupted_uninstall", "status_guests", "interrupted_upgrade", "vm_exec",
    "install_sh", "forward_sinks", "deb", "endpoint_guests", "interrupted_oneadmin", "sources", "install_stead",
    "endpoint_history", "faults_guests", "install_faults", "endpoint_life", "values", "status", "migration",
    "dashboard_charts", "dashboard_find")]


class Tally:
    """Counts results and prints them as they come."""

    def __init__(self):
        self.passed, self.failed, self.skipped = 0, [], []

    def ok(self, name):
        self.passed += 1
        print(f"ok       {name}", flush=True)

    def fail(self, name, text=""):
        self.failed.append(name)
        print(f"FAILED   {name}", flush=True)
        for line in text.strip().splitlines()[-60:]:
            print(f"         | {line}")

    def skip(self, name, why=""):
        self.skipped.append(name)
        print(f"skipped  {name} {why}", flush=True)


def run(command, limit=PROGRAM_LIMIT, **options):
    env = {**os.environ, **SANITIZER_ENV, **options.pop("env", {})}
    try:
        return subprocess.run(command, cwd=ROOT, env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True,
                              errors="replace", timeout=limit, **options)
    except subprocess.TimeoutExpired as late:
        output = (late.stdout or b"").decode(errors="replace") if isinstance(late.stdout, bytes) else late.stdout or ""
        return subprocess.CompletedProcess(command, 124, output, f"not done after {limit} s")


def side_by_side(work, things, number=CORES):
    """Each thing with what WORK made of it, in order, as they are done: for programs that don't mind each other."""
    with concurrent.futures.ThreadPoolExecutor(number) as threads:
        yield from zip(things, threads.map(work, things))


def unit(args, tally):
    programs = sorted(p for p in (args.asan / "tests" / "unit").glob("test_*") if p.suffix == "")
    if not programs:
        tally.fail("unit", f"no test programs in {args.asan}/tests/unit")
    for program, got in side_by_side(lambda program: run([program], env={"CMOCKA_MESSAGE_OUTPUT": "TAP"}), programs):
        seen = 0
        for line in got.stdout.splitlines():
            # cmocka 1.1 writes a skipped test as "not ok 9 # SKIP name"
            match = re.match(r"(not )?ok \d+ (-|# SKIP) (.*)", line)
            if not match:
                continue
            seen += 1
            name = f"{program.name}: {match[3].strip()}"
            if match[2] == "# SKIP":
                tally.skip(name)
            elif match[1]:
                tally.fail(name, got.stdout + got.stderr)
            else:
                tally.ok(name)
        if got.returncode and not any(name.startswith(program.name) for name in tally.failed) or not seen:
            tally.fail(f"{program.name}: exit status {got.returncode}, {seen} tests", got.stdout + got.stderr)


def golden(args, tally):
    got = run([sys.executable, "tests/golden/golden.py", "--probe", args.asan / "probes" / "vm_monitor"])
    take_lines("golden", got, tally)


def take_lines(suite, got, tally):
    """Of a Python suite: lines "ok NAME", "FAILED NAME", "skipped NAME", and behind a failure "| text"."""
    seen, name, text = 0, None, []
    for line in got.stdout.splitlines() + [""]:
        if name and not line.startswith("|"):
            tally.fail(name, "\n".join(text))
            name, text = None, []
        word, _, rest = line.partition(" ")
        if word == "ok":
            tally.ok(f"{suite}: {rest.strip()}")
        elif word == "skipped":
            tally.skip(f"{suite}: {rest.strip()}")
        elif word == "FAILED":
            name = f"{suite}: {rest.strip()}"
        elif word == "|" and name:
            text.append(line[2:])
        seen += word in ("ok", "skipped", "FAILED")
    if not seen or (got.returncode and not any(f.startswith(suite) for f in tally.failed)):
        tally.fail(f"{suite}: exit status {got.returncode}, {seen} tests", got.stdout + got.stderr)


def docs(args, tally):
    describe = args.build / "tools" / "describe"
    pages = (([describe, "metrics"], "docs/metrics.md"), ([describe, "config"], "share/telemetry.conf"),
             ([describe, "man"], "share/man/one-telemetry.conf.5"), ([describe, "api"], "docs/api.md"),
             ([describe, "openapi"], "share/openapi.json"),
             ([sys.executable, "tools/grafana.py"], "share/grafana/one-telemetry.json"))
    for command, page in pages:
        got = run(command)
        have = (ROOT / page).read_text() if (ROOT / page).exists() else ""
        if got.returncode == 0 and got.stdout == have:
            tally.ok(f"docs: {page} is up to date")
        else:
            diff = difflib.unified_diff(have.splitlines(), got.stdout.splitlines(), page, "make docs", lineterm="", n=1)
            tally.fail(f"docs: {page} is out of date, run make docs", "\n".join(list(diff)[:30]) + got.stderr)
    arguments_in_man_page(args, tally)
    options_in_man_page(args, tally)


def arguments_in_man_page(args, tally):
    """Every option of --help has its place in the program's man page."""
    for program, name in (("probes/vm_monitor", "vm_monitor.1"), ("probes/vm_status", "vm_status.1"),
                           ("probes/vm_exec", "vm_exec.1"),
                          ("hooks/forward", "forward.1"), ("hooks/vm_event", "vm_event.1"),
                          ("commands/one-telemetry doctor", "one-telemetry.1"), ("serve/telemetryd", "telemetryd.8"),
                          (f"{ROOT}/install.sh", "one-telemetry-install.8")):
        program, *words = program.split()
        got = run([args.build / program, *words, "--help"])
        page = (ROOT / "share" / "man" / name).read_text().replace("\\-", "-")
        wanted = set(re.findall(r"--([a-z-]+)", got.stdout)) - {"see", "help"}
        missing = sorted(word for word in wanted if word not in page)
        if got.returncode or missing or not wanted:
            tally.fail(f"docs: {name} names every option", "missing: " + ", ".join(missing) + got.stderr)
        else:
            tally.ok(f"docs: {name} names every option")


def options_in_man_page(args, tally):
    """Every row of options.def stands in the page of the configuration with its default. (The page is made from the
    same table: this is what a mistake in making it cannot get past.)"""
    rows = re.findall(r'^OPTION\((\w+), (\w+), [A-Z]+, "([^"]*)"', (ROOT / "src/base/options.def").read_text(), re.M)
    page = (ROOT / "share" / "man" / "one-telemetry.conf.5").read_text()
    parts = re.split(r"^\.Sh SECTIONS? \[(\w+)(?: NAME)?\]$", page, flags=re.M)
    sections = dict(zip(parts[1::2], parts[2::2]))
    missing = []
    for section, key, standard in rows:
        said = re.search(rf"^\.It Cm {key}\n(?:[^.].*\n)*Takes .*; by default (.*)\.$", sections.get(section, ""), re.M)
        if not said or said.group(1) != (standard or "empty"):
            missing.append(f"[{section}] {key}")
    if missing or not rows:
        tally.fail("docs: one-telemetry.conf.5 says every option's default", "missing: " + ", ".join(missing))
    else:
        tally.ok("docs: one-telemetry.conf.5 says every option's default")


def fuzz(args, tally):
    seconds = int(os.environ.get("FUZZ_SECONDS", "5"))
    programs = sorted(p for p in (args.build / "fuzz").glob("fuzz_*") if p.suffix == "")
    if not programs:
        tally.fail("fuzz", f"no fuzzers in {args.build}/fuzz")

    def fuzz_for_a_while(program):
        corpus = ROOT / "tests" / "fuzz" / "corpus" / program.name[len("fuzz_"):]
        with tempfile.TemporaryDirectory() as found:
            return run([program, f"-max_total_time={seconds}", "-rss_limit_mb=3000", "-timeout=20", "-verbosity=0",
                        "-print_final_stats=1", f"-artifact_prefix={args.build}/", found, corpus], limit=seconds + 120)

    for program, got in side_by_side(fuzz_for_a_while, programs):
        runs = re.search(r"number_of_executed_units: (\d+)", got.stderr)
        if got.returncode == 0 and runs and int(runs[1]) > 0:
            tally.ok(f"fuzz: {program.name}, {runs[1]} inputs in {seconds} s")
        else:
            tally.fail(f"fuzz: {program.name}", got.stderr)


def scripts(args, tally, directory):
    """Most of them wait most of the time, each with machines, ports and directories of its own. The longest first, so that
    no core waits for one of them in the end."""
    found = sorted((ROOT / "tests" / directory).glob("test_*.py"),
                   key=lambda path: ((LONG + [path.stem]).index(path.stem), path.stem))

    def run_script(script):
        begin = time.monotonic()
        got = run([sys.executable, script, "--build", args.build, "--asan", args.asan], limit=1500)
        return got, time.monotonic() - begin

    for script, (got, seconds) in side_by_side(run_script, found, CORES + 1):
        take_lines(script.stem, got, tally)
        print(f"   {seconds:.0f} s  {script.stem}", flush=True)


def integration(args, tally):
    scripts(args, tally, "integration")


def web(args, tally):
    scripts(args, tally, "web")


def begin_lint(threads):
    """It takes what the other suites leave of the cores, which wait for much of their time."""
    return threads.submit(run, ["nice", "-n", "19", "make", "--no-print-directory", "lint"], limit=LINT_LIMIT)


def lint(args, tally):
    got = args.linting.result()
    if got.returncode:
        tally.fail("lint", got.stdout + got.stderr)
    else:
        tally.ok("lint: layout, static analysis, layering, shell, man pages")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", type=pathlib.Path, default=pathlib.Path("build"))
    parser.add_argument("--asan", type=pathlib.Path, default=pathlib.Path("build/address-undefined"))
    parser.add_argument("suites", nargs="+", choices=["unit", "golden", "docs", "lint", "fuzz", "integration", "web"])
    args = parser.parse_args()
    args.build, args.asan = (ROOT / args.build).resolve(), (ROOT / args.asan).resolve()
    tally = Tally()
    with concurrent.futures.ThreadPoolExecutor(1) as threads:
        args.linting = begin_lint(threads) if "lint" in args.suites else None
        for suite in args.suites:
            begin = time.monotonic()
            globals()[suite](args, tally)
            print(f"-- {suite}: {time.monotonic() - begin:.0f} s", flush=True)
    for name in tally.failed:
        print(f"failed: {name}")
    for name in tally.skipped:
        print(f"skipped: {name}")
    skipped = f", {len(tally.skipped)} skipped" if tally.skipped else ""
    print(f"{tally.passed} passed, {len(tally.failed)} failed{skipped}")
    return 1 if tally.failed else 0


if __name__ == "__main__":
    sys.exit(main())
