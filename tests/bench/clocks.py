# SPDX-License-Identifier: Apache-2.0
"""CPU time, of processes that run and of commands from start to end."""
import dataclasses
import subprocess
import time


def cpu_ms(pid):
    """CPU time of a process so far, in ms, of threads that have ended too. 0: it has gone. The number of a process's clock
    is made as clock_getcpuclockid(3) makes it on Linux."""
    try:
        return 1e3 * time.clock_gettime(~pid << 3 | 2)
    except OSError:
        return 0.0


@dataclasses.dataclass
class Cost:
    """ms; peak: resident memory, MB."""
    wall: float = 0.0
    client: float = 0.0
    libvirtd: float = 0.0
    qemu: float = 0.0
    peak: float = 0.0

    @property
    def cpu(self):
        return self.client + self.libvirtd + self.qemu


class Watch:
    """What libvirtd and all QEMU take from one look to the next."""

    def __init__(self, libvirtd, guests):
        self.libvirtd, self.guests = libvirtd, guests
        self.seen = self._now()

    def _now(self):
        return cpu_ms(self.libvirtd), sum(map(cpu_ms, self.guests))

    def look(self):
        """(libvirtd, QEMU) since the last look, ms of CPU."""
        before, self.seen = self.seen, self._now()
        return tuple(now - then for now, then in zip(self.seen, before))


def measured(build, command, watch=None, stdin=None, timeout=300):
    """The Cost of a command. Raises OSError if it fails."""
    if watch:
        watch.look()
    with open(stdin or "/dev/null", "rb") as file:
        got = subprocess.run([str(build / "tests" / "bench" / "measured"), *map(str, command)], stdin=file,
                             capture_output=True, text=True, timeout=timeout, check=True)
    wall, client, peak, status = map(float, got.stdout.split())
    if status:
        raise OSError(f"{' '.join(map(str, command))}: exit status {status:.0f}: {got.stderr[:500]}")
    return Cost(wall, client, *(watch.look() if watch else (0.0, 0.0)), peak / 1024)
