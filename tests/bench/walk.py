# SPDX-License-Identifier: Apache-2.0
"""Collections whose figures move: from one line protocol text, any number of later ones, each figure of each VM a step of its own
random walk further."""
import random
import re

SEED = 7
STEP = 0.04  # of what a figure is at most, in one collection
# the end of a field's name: what it is at most, and how few come near it (a power: 1 is evenly spread)
FIGURES = (("steal_percent", 12, 4), ("memory_usage_percent", 100, 0.7), ("percent", 100, 2), ("errors_per_sec", 0, 1),
           ("drops_per_sec", 40, 4), ("packets_per_sec", 4000, 3), ("bytes_per_sec", 8e6, 4), ("_per_sec", 400, 3),
           ("latency_ms", 60, 4))
COUNTERS = (("bytes", 1000000), ("cputime", 500000000))  # what they gain at most
QUIET = ("drops_per_sec", 0.9)  # stands still in so many of them
FIELD = re.compile(r"(\w+(?:_percent|_per_sec|_ms|bytes)|cputime)=([\d.]+)(i?)")


def lively(text):
    """The same VMs, none of them idle: their disks have latencies, and three of four guests tell of their own memory."""
    def totals(line):
        vm_id = int(re.search(r"VMID=(\d+)", line)[1])
        fields = [f"{name}=0.1" for name in ("disk_rd_latency_ms", "disk_wr_latency_ms") if name not in line]
        line = re.sub(r" \d+$", lambda end: "".join(f",{field}" for field in fields) + end[0], line)
        return line if vm_id % 4 == 0 else line.replace('memory_source="balloon"', 'memory_source="guest"')
    return re.sub(r"^vm_totals,.*$", lambda found: totals(found[0]), text, flags=re.M)


class Walk:
    """text: what one collection said, see fleet.lines(). The same seed walks the same way."""

    def __init__(self, text, seed=SEED):
        self.random = random.Random(seed)
        self.parts, self.figures, self.counters = [], [], []
        end = 0
        for found in FIELD.finditer(text):
            self.parts += [text[end:found.start(2)], found[2]]
            end = found.end(2)
            self._take(len(self.parts) - 1, found[1], found[2], bool(found[3]))
        self.parts.append(text[end:])

    def _take(self, place, name, value, counts):
        if counts:
            gain = next((gain for suffix, gain in COUNTERS if name.endswith(suffix)), 0)
            self.counters.append([place, int(value), gain])
            return
        most, power = next((most, power) for suffix, most, power in FIGURES if name.endswith(suffix))
        if most and not (name.endswith(QUIET[0]) and self.random.random() < QUIET[1]):
            self.figures.append([place, most * self.random.random() ** power, most])

    def step(self):
        """The next collection; its time is still the first one's."""
        chance = self.random.random
        for figure in self.figures:
            place, value, most = figure
            moved = value + (chance() - 0.5) * STEP * max(value, most / 50)
            figure[1] = min(moved, most) if moved >= 0 else -moved
            self.parts[place] = f"{figure[1]:.3f}"
        for counter in self.counters:
            counter[1] += int(chance() * counter[2])
            self.parts[counter[0]] = str(counter[1])
        return "".join(self.parts)
