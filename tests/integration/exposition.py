# SPDX-License-Identifier: Apache-2.0
"""A strict reader of Prometheus's text exposition format, written from its description, to check what we write. It takes
less than Prometheus does: every family has its HELP and its TYPE, in this order, and at least one series."""
import re
from dataclasses import dataclass, field

NAME = re.compile(r"[a-z][a-z0-9_]*")
HELP = re.compile(r"# HELP ([a-z][a-z0-9_]*) ((?:[^\\\n]|\\[\\n])+)")
TYPE = re.compile(r"# TYPE ([a-z][a-z0-9_]*) (counter|gauge)")
SERIES = re.compile(r"([a-z][a-z0-9_]*)(?:\{(.+)\})? ([^ ]+)")
LABEL = re.compile(r'([a-z][a-z0-9_]*)="((?:[^"\\\n]|\\["\\n])+)"(?:,(?=[a-z])|\Z)')
INTEGER = re.compile(r"[0-9]+")
REAL = re.compile(r"-?[0-9]+\.[0-9]+(?:e[-+][0-9]+)?")
ESCAPED = {"n": "\n", "\\": "\\", '"': '"'}


@dataclass
class Family:
    name: str
    help: str
    type: str = None
    series: dict = field(default_factory=dict)  # frozenset of (label, value): number


def unescape(text):
    return re.sub(r"\\(.)", lambda found: ESCAPED[found[1]], text)


def labels(text):
    """As written between the braces."""
    found, at = {}, 0
    while at < len(text):
        label = LABEL.match(text, at)
        if not label:
            raise ValueError(f"a label expected at {text[at:at + 60]!r}")
        if label[1] in found:
            raise ValueError(f"label {label[1]} is there twice")
        found[label[1]] = unescape(label[2])
        at = label.end()
    return found


def number(text):
    if INTEGER.fullmatch(text):
        return int(text)
    if REAL.fullmatch(text) and float(text) not in (float("inf"), float("-inf")):
        return float(text)
    raise ValueError(f"no finite number: {text!r}")


def take_series(family, line):
    found = SERIES.fullmatch(line)
    if not found:
        raise ValueError("no series")
    if not family or found[1] != family.name or not family.type:
        raise ValueError("a series outside its family")
    key = frozenset(labels(found[2] or "").items())
    if key in family.series:
        raise ValueError("the same series for the second time")
    family.series[key] = number(found[3])
    if family.type == "counter" and family.series[key] < 0:
        raise ValueError("a counter below zero")


def take_head(families, family, line):
    """Returns the family whose turn it is now."""
    help_, type_ = HELP.fullmatch(line), TYPE.fullmatch(line)
    if help_:
        if family and not family.series:
            raise ValueError(f"{family.name} has no series")
        if help_[1] in families:
            raise ValueError("a family for the second time")
        families[help_[1]] = Family(help_[1], help_[2])
        return families[help_[1]]
    if not type_ or not family or type_[1] != family.name or family.type:
        raise ValueError("neither HELP of a new family nor its TYPE")
    if type_[1].endswith("_total") != (type_[2] == "counter"):
        raise ValueError("counters, and nothing else, end in _total")
    family.type = type_[2]
    return family


def read(text):
    """{name: Family}; ValueError says in which line what is wrong."""
    families, family = {}, None
    if text and not text.endswith("\n"):
        raise ValueError("the last line does not end")
    for count, line in enumerate(text.split("\n")[:-1], 1):
        try:
            if line.startswith("#"):
                family = take_head(families, family, line)
            else:
                take_series(family, line)
        except ValueError as error:
            raise ValueError(f"line {count}: {error}: {line[:200]!r}") from None
    if family and not family.series:
        raise ValueError(f"{family.name} has no series")
    return families


def value(families, name, **wanted):
    """Of the series with just these labels; None where there is none."""
    return families[name].series.get(frozenset(wanted.items())) if name in families else None
