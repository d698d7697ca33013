# SPDX-License-Identifier: Apache-2.0
"""Our own part of a cycle, without libvirt: two recorded collections of N domains are read (as the state file and what
libvirt says of now would be), rates made of them, and records encoded; and what telemetryd does with their lines. By
instructions, which the noise of the machine does not change, and by CPU time."""
import pathlib
import re
import shutil
import statistics
import subprocess
from random import Random

import clocks
from replayed import at
from telemetryd import Telemetryd, now_ns

RECORDED = pathlib.Path(__file__).resolve().parent.parent / "golden" / "recorded"
COLLECTIONS = ("fleet-1.domstats", "fleet-2.domstats")  # the same five VMs, one of them wide
COUNTS = r"^  ((?:cpu|vcpu|net|block)\..*(?:time|times|user|system|bytes|pkts|reqs|delay))=(\d+)$"
SIZES = (100, 1000)
RUNS = 21


def recording(path, count):
    """Writes both collections, of `count` domains: the recorded ones over and over, with other ids and other counts, lest
    the records compress as no real ones do."""
    random = Random(1)
    grown = {}  # what each count was increased by
    with open(path, "w", encoding="utf-8") as file:
        for name in COLLECTIONS:
            head, *domains = re.split(r"^(?=Domain: |# end )", (RECORDED / name).read_text(encoding="utf-8"), flags=re.M)
            file.write(head)
            for i in range(count):
                file.write(_another(domains[i % (len(domains) - 1)], i, random, grown))
            file.write(f"# end {count}\n")
    return path


def _another(domain, number, random, grown):
    def count(found):
        key = number, found[1]
        grown[key] = grown.get(key, random.randrange(10**6)) + random.randrange(10**5)
        return f"  {found[1]}={int(found[2]) + grown[key]}"

    for pattern, text in ((r"^Domain: '.*'", f"Domain: 'one-{1000 + number}'"),
                          (r"domain\.uuid=.*", f"domain.uuid=00000000-0000-4000-8000-{number:012d}"),
                          (r"domain\.id=.*", f"domain.id={number + 1}")):
        domain = re.sub(pattern, text, domain, count=1)
    return re.sub(COUNTS, count, domain, flags=re.M)


def _callgrind():
    valgrind = shutil.which("valgrind")
    if not valgrind:
        raise OSError("valgrind is not installed: tests/install-deps.sh installs it")
    return [valgrind, "--tool=callgrind", "--callgrind-out-file=/dev/null"]


def _collected(text):
    found = re.search(r"Collected *: (\d+)", text)
    if not found:
        raise OSError(f"callgrind: {text[-500:]}")
    return int(found[1])


def instructions(command):
    """Of all its threads, of the loader too."""
    got = subprocess.run([*_callgrind(), *command], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                         stderr=subprocess.PIPE, text=True, timeout=600)
    if got.returncode:
        raise OSError(f"{' '.join(command)}: {got.returncode}: {got.stderr[-500:]}")
    return _collected(got.stderr)


class CountedTelemetryd(Telemetryd):
    def command(self):
        return [*_callgrind(), *super().command()]


def endpoint_instructions(directory, program, text):
    """Of a telemetryd from start to end that is sent these lines twice, a second apart; the history written too."""
    daemon = CountedTelemetryd(directory, program)
    begin_ns = now_ns() - 10**10
    for second in range(SAMPLES if text else 0):
        daemon.write(at(text, begin_ns + second * 10**9), timeout=300)
    daemon.stop()
    return _collected(daemon.log_text())


BESIDE, INSTEAD = "beside poll.rb", "instead of poll.rb"
MODES = {BESIDE: "", INSTEAD: "[probe]\nmode = replace\n"}
SAMPLES = 2
ENDPOINT = "telemetryd, a sample fed to it"
STATE = f"{INSTEAD}, and the state's text"
MORE = {STATE: "domstats", f"{INSTEAD}, and line protocol": "line"}  # row: --format; the records are made as well


class OwnPart:
    """What the probe takes beyond being started. instructions, cpu_ms: {(mode, domains): figure}. Beside poll.rb, whose
    records alone are too long for 1,000 VMs, none of ours remain of so many."""

    def __init__(self, build, scratch):
        scratch, probe = pathlib.Path(scratch), str(build / "probes" / "vm_monitor")
        files = {n: str(recording(scratch / f"{n}.domstats", n)) for n in SIZES}
        start, commands = [probe, "--version"], {}
        for i, (mode, text) in enumerate(MODES.items()):
            conf = scratch / f"own-{i}.conf"
            conf.write_text(text)
            commands.update({(mode, n): [probe, "--config", str(conf), "--replay", files[n]] for n in SIZES})
        base = instructions(start)
        self.instructions = {row: instructions(command) - base for row, command in commands.items()}
        self._count_endpoint(build, scratch, commands)
        for row, form in MORE.items():
            commands[row, SIZES[-1]] = [*commands[INSTEAD, SIZES[-1]], "--format", form]
        cpu = {row: [] for row in (None, *commands)}
        for _ in range(RUNS):
            for row, command in ((None, start), *commands.items()):
                cpu[row].append(clocks.measured(build, command).cpu)
        median = {row: statistics.median(runs) for row, runs in cpu.items()}
        self.cpu_ms = {row: median[row] - median[None] for row in commands}

    def _count_endpoint(self, build, scratch, commands):
        program = build / "serve" / "telemetryd"
        base = endpoint_instructions(scratch / "fed-0", program, "")
        for n in SIZES:
            command = [*commands[BESIDE, n], "--format", "line"]
            lines = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=True).stdout
            self.instructions[ENDPOINT, n] = (endpoint_instructions(scratch / f"fed-{n}", program, lines) - base) // SAMPLES

    def growth(self, mode):
        """Instructions for a domain among the most, by those for one among the fewest."""
        fewest, most = SIZES[0], SIZES[-1]
        return self.instructions[mode, most] / most / (self.instructions[mode, fewest] / fewest)

    def print(self):
        print(f"\n{'our own part: two collections replayed':46}{'million instructions':>22}{'for each':>12}{'CPU, ms':>10}\n")
        for mode, n in dict.fromkeys([*self.instructions, *self.cpu_ms]):
            done, cpu_ms = self.instructions.get((mode, n)), self.cpu_ms.get((mode, n))
            print(f"{f'{n} domains, {mode}':46}" + (f"{done / 1e6:22.1f}{done / n:12.0f}" if done else " " * 34) +
                  (f"{cpu_ms:10.1f}" if cpu_ms else ""))
