# SPDX-License-Identifier: Apache-2.0
"""A strict reader of InfluxDB's line protocol, written from its description, to check what the probe writes."""
import re
from dataclasses import dataclass

STRING_MAX = 64 * 1024  # bytes of a string's value
MEASUREMENT = re.compile(r"(?![#_])((?:[^\\, \n]|\\[, \\]|\\(?=[^, \\\n]))+)")
KEY = re.compile(r"((?:[^\\,= \n]|\\[,= ]|\\(?=[^,= \n]))+)")
STRING = re.compile(r'"((?:[^"\\\n]|\\["\\])*)"')
INTEGER = re.compile(r"(-?[0-9]+)i")
BOOLEAN = re.compile(r"true|false")
TIME = re.compile(r"[0-9]+\Z")
CONTROL = re.compile(r"[\x00-\x1f\x7f]")
INFINITY = float("inf")
REAL = re.compile(r"-?[0-9]+\.[0-9]+(?:e[-+]?[0-9]+)?")


@dataclass
class Point:
    measurement: str
    tags: dict
    fields: dict
    time: int


class Line:
    """One line, and how far it has been read."""

    def __init__(self, text):
        self.text, self.at = text, 0

    def take(self, pattern):
        found = pattern.match(self.text, self.at)
        if not found:
            raise ValueError(f"{pattern.pattern} expected at {self.at}: {self.text[self.at:self.at + 60]!r}")
        self.at = found.end()
        return found

    def next_is(self, character):
        if self.text[self.at:self.at + 1] != character:
            return False
        self.at += 1
        return True

    def expect(self, character):
        if not self.next_is(character):
            raise ValueError(f"{character!r} expected at {self.at}: {self.text[self.at:self.at + 60]!r}")

    def key(self):
        return re.sub(r"\\([,= ])", r"\1", self.take(KEY)[1])

    def value(self):
        if self.text[self.at:self.at + 1] == '"':
            string = re.sub(r'\\(["\\])', r"\1", self.take(STRING)[1])
            if len(string.encode()) > STRING_MAX:
                raise ValueError(f"a string of {len(string.encode())} bytes")
            return string
        if self.text[self.at:self.at + 1] in "tf":
            return self.take(BOOLEAN)[0] == "true"
        if INTEGER.match(self.text, self.at):
            number = int(self.take(INTEGER)[1])
            if not -2**63 <= number < 2**63:
                raise ValueError(f"{number} does not fit 64 bits")
            return number
        number = float(self.take(REAL)[0])
        if number in (INFINITY, -INFINITY):
            raise ValueError("a float beyond all bounds")
        return number


def read_line(text):
    control = CONTROL.search(text)
    if control:
        raise ValueError(f"a control character at {control.start()}: {text!r}")
    line = Line(text)
    point = Point(re.sub(r"\\([, ])", r"\1", line.take(MEASUREMENT)[1]), {}, {}, 0)
    while line.next_is(","):
        key = line.key()
        line.expect("=")
        if key in point.tags:
            raise ValueError(f"tag {key} twice: {text}")
        point.tags[key] = line.key()
    if list(point.tags) != sorted(point.tags):
        raise ValueError(f"tags are not sorted: {text}")
    line.expect(" ")
    while True:
        key = line.key()
        line.expect("=")
        if key in point.fields:
            raise ValueError(f"field {key} twice: {text}")
        point.fields[key] = line.value()
        if not line.next_is(","):
            break
    line.expect(" ")
    if "time" in point.tags or "time" in point.fields:  # InfluxDB 1 leaves that out without a word, 3 refuses the line
        raise ValueError(f"a tag or field called time: {text}")
    both = sorted(set(point.tags) & set(point.fields))
    if both:
        raise ValueError(f"tag and field {both[0]}: {text}")
    point.time = int(line.take(TIME)[0])
    if point.time >= 2**63:
        raise ValueError(f"time {point.time} does not fit 64 bits")
    return point


def read(text):
    """[Point] of all lines; raises ValueError where one is none, or a series has two points."""
    if not text.endswith("\n"):
        raise ValueError("the last line is not ended")
    points = [read_line(line) for line in text[:-1].split("\n")]
    series = [(point.measurement, *point.tags.items()) for point in points]
    if len(set(series)) != len(series):
        raise ValueError("two points of one series")
    if len({point.time for point in points}) != 1:
        raise ValueError("points of several times")
    return points
