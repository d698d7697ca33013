# SPDX-License-Identifier: Apache-2.0
"""Reads the InfluxQL that the dashboard is written in, strictly, and says of each column what it is: kind and unit.

A subset on purpose: SELECT expression AS "name", … FROM "measurement" or (subquery) WHERE … GROUP BY … fill(…); names of
series in double quotes, never bare. What is not in it, or makes no sense (a mean of a counter, bytes plus packets), is
a ValueError.
"""
import re
from typing import NamedTuple

TOKEN = re.compile(r"""\s*(?:(?P<name>"[^"]+")|(?P<text>'[^']*')|(?P<regex>/(?:[^/\\]|\\.)+/)(?=\s|\)|$)
    |(?P<number>[0-9]+(?:\.[0-9]+)?)(?![0-9a-z])|(?P<span>[0-9]+[smhd])|(?P<variable>\$[A-Za-z_]+)|(?P<word>[A-Za-z_]+)
    |(?P<sign>=~|>=|<=|[-(),*/+=<>]))""", re.X)


class Value(NamedTuple):
    kind: str  # counter, gauge, real, text; number for a constant
    unit: str  # as `describe series` has it


class Tag(NamedTuple):
    name: str


PER_SECOND = {"ns": "ns/s", "bytes": "bytes/s", "count": "per s", "KiB": "KiB/s"}
SAME = {"mean", "sum", "max", "min", "last", "top"}
OF_COUNTERS = {"last", "max"}


class Query:
    """columns: {name: Value, or Tag}; tags: what it is grouped by; interval: it has a point per interval; fill."""

    def __init__(self, text, series):
        """series: {measurement: {name: Value or Tag}}"""
        self._series, self._tokens, self._at, end = series, [], 0, 0
        while end < len(text.rstrip()):
            found = TOKEN.match(text, end)
            if not found:
                raise ValueError(f"not understood: {text[end:end + 40]!r}")
            self._tokens.append((found.lastgroup, found[found.lastgroup]))
            end = found.end()
        self._select()
        if self._at != len(self._tokens):
            raise ValueError(f"the query goes on: {self._tokens[self._at:]}")

    # ---- tokens -------------------------------------------------------------------------------------

    def _next_is(self, *words):
        if self._at < len(self._tokens) and self._tokens[self._at][1].upper() in words:
            self._at += 1
            return self._tokens[self._at - 1][1].upper()
        return None

    def _expect(self, *words):
        found = self._next_is(*words)
        if not found:
            raise ValueError(f"{' or '.join(words)} expected: {self._tokens[self._at:self._at + 4]}")
        return found

    def _take(self, group):
        if self._at >= len(self._tokens) or self._tokens[self._at][0] != group:
            raise ValueError(f"{group} expected: {self._tokens[self._at:self._at + 4]}")
        self._at += 1
        return self._tokens[self._at - 1][1].strip('"')

    # ---- clauses ------------------------------------------------------------------------------------

    def _select(self):
        """What a column is can be said once the measurement is known: first to FROM, then back."""
        self._expect("SELECT")
        begin, depth = self._at, 0
        while depth or self._tokens[self._at][1].upper() != "FROM":
            depth += {"(": 1, ")": -1}.get(self._tokens[self._at][1], 0)
            self._at += 1
        items_end = self._at
        self._from()
        self.names_used = set()
        self._where()
        self._group_by()
        end, self._at = self._at, begin
        self.columns = {}
        self._column()
        while self._next_is(","):
            self._column()
        if self._at != items_end:
            raise ValueError(f"no end of a column: {self._tokens[self._at:items_end]}")
        self._at = end

    def _from(self):
        self._expect("FROM")
        if not self._next_is("("):
            self.measurement = self._take("name")
            if self.measurement not in self._series:
                raise ValueError(f"no such measurement: {self.measurement}")
            self._known = self._series[self.measurement]
            return
        inner = Query.__new__(Query)
        inner._series, inner._tokens, inner._at = self._series, self._tokens, self._at
        inner._select()
        self._at, self.measurement = inner._at, inner.measurement
        self._expect(")")
        self._known = {**inner.columns, **{tag: Tag(tag) for tag in inner.tags}}

    def _tag(self):
        name = self._take("name")
        if not isinstance(self._known.get(name), Tag):
            raise ValueError(f"no such tag of {self.measurement}: {name}")
        return name

    def _where(self):
        self.time_bound = False
        self._expect("WHERE")
        while True:
            if self._next_is("$TIMEFILTER"):
                self.time_bound = True
            elif self._next_is("TIME"):
                self._expect(">", ">=", "<", "<=")
                self._take("text")
                self.time_bound = True
            else:
                self._tag()
                self._take("regex" if self._expect("=", "=~") == "=~" else "text")
            if not self._next_is("AND"):
                return

    def _group_by(self):
        self.tags, self.interval, self.fill = [], None, None
        if not self._next_is("GROUP"):
            return
        self._expect("BY")
        while True:
            if self._next_is("TIME"):
                self._expect("(")
                self.interval = self._tokens[self._at][1]
                self._at += 1
                self._expect(")")
            else:
                self.tags.append(self._tag())
            if not self._next_is(","):
                break
        if self._next_is("FILL"):
            self._expect("(")
            self.fill = self._take("word")
            self._expect(")")

    # ---- columns ------------------------------------------------------------------------------------

    def _column(self):
        value = self._sum()
        name = value.name if isinstance(value, Tag) else None
        if self._next_is("AS"):
            name = self._take("name")
        if not name or name in self.columns:
            raise ValueError(f"a column without a name of its own, of {self.measurement}: {name}")
        self.columns[name] = value

    def _sum(self):
        value = self._product()
        while sign := self._next_is("+", "-"):
            other = self._product()
            if other != value or value.kind == "counter":
                raise ValueError(f"{value} {sign} {other}")
        return value

    def _product(self):
        value = self._term()
        while sign := self._next_is("*", "/"):
            value = scaled(value, sign, self._take("number"))
        return value

    def _term(self):
        if self._tokens[self._at][0] == "name":
            name = self._take("name")
            if name not in self._known:
                raise ValueError(f"no such field of {self.measurement}: {name}")
            self.names_used.add(name)
            return self._known[name]
        function = self._take("word").lower()
        self._expect("(")
        value = self._sum()
        if isinstance(value, Tag):
            raise ValueError(f"{function} of a tag")
        if self._next_is(","):
            self._at += 1  # how many, or per what
        self._expect(")")
        return applied(function, value)


def scaled(value, sign, number):
    """Nanoseconds per second are a share: 10^7 of them one percent."""
    if value.unit == "ns/s" and sign == "/" and float(number) == 1e7:
        return Value("real", "%")
    raise ValueError(f"{value} {sign} {number}")


def applied(function, value):
    if function == "non_negative_derivative" and value.kind == "counter":
        return Value("real", PER_SECOND[value.unit])
    if function == "non_negative_difference" and value.kind == "counter":
        return Value("gauge", value.unit)
    if function == "count":
        return Value("gauge", "count")
    takes = {"counter": OF_COUNTERS, "text": {"last"}}.get(value.kind, SAME)
    if function in takes:
        return value
    raise ValueError(f"{function} of a {value.kind}")
