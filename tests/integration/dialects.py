# SPDX-License-Identifier: Apache-2.0
"""What the versions of InfluxDB, and telemetryd, want of a write request and how they answer it; and a store of points
with InfluxDB's rules. InfluxDB 1's answers are those that 1.6.7 gives, word for word; the others' are as documented.
Where a real server is lenient these are strict: they are to find our mistakes."""
import json

import line_protocol

TYPES = {bool: "boolean", int: "integer", float: "float", str: "string"}


class Store:
    """Points by (measurement, ((tag, value), ...), time), as Influxd.points has them, and the types of fields."""

    def __init__(self):
        self.points, self.types = {}, {}
        self.duplicates = 0  # points that were there already, with the same values
        self.overwritten = 0  # fields that got another value

    def conflict(self, point):
        """(field, its type, the type that it would have to have), or None."""
        for field, value in point.fields.items():
            have = self.types.get((point.measurement, field), type(value))
            if have is not type(value):
                return field, TYPES[type(value)], TYPES[have]
        return None

    def add(self, point):
        key = (point.measurement, tuple(point.tags.items()), point.time)
        fields = self.points.setdefault(key, {})
        self.duplicates += fields == point.fields
        for field, value in point.fields.items():
            self.types.setdefault((point.measurement, field), type(value))
            self.overwritten += fields.get(field, value) != value
            fields[field] = value


class Line:
    """One line of a body: its point, or why there is none."""

    def __init__(self, number, text, refused=None):
        self.number, self.text, self.point, self.reason = number, text, None, refused
        if refused is None:
            try:
                self.point = line_protocol.read_line(text)
            except ValueError as error:
                self.reason = str(error)


def _take(store, lines):
    """Stores what can be; [(line, conflict)] of the rest of those that are line protocol."""
    conflicts = []
    for line in lines:
        if line.point is None:
            continue
        conflict = store.conflict(line.point)
        if conflict:
            conflicts.append((line, conflict))
        else:
            store.add(line.point)
    return conflicts


def _conflict_text(line, conflict):
    field, got, have = conflict
    return (f'field type conflict: input field "{field}" on measurement "{line.point.measurement}" is type {got}, '
            f"already exists as type {have}")


class InfluxDB1:
    """settings: db, and rp where one is to be asked for."""
    path, schemes, precision = "/write", ("Basic", "Bearer"), {"ns"}
    fixed = {}  # parameters that must be just so
    places = ("db", "rp")
    codes = {}

    def body(self, status, message, **more):
        return (json.dumps({"error": message, **more}, separators=(",", ":"), ensure_ascii=False) + "\n").encode()

    def headers(self, status, message):
        return {"Content-Type": "application/json", "X-Influxdb-Error": message.replace("\n", " ")}

    def no_place(self, name, value):
        """(status, message) where there is no such database, bucket …"""
        if name == "rp":
            return 500, f"retention policy not found: {value}"
        return 404, f'database not found: "{value}"'

    def write(self, store, lines, detail="array"):
        """(status, message, what else stands in the body)"""
        bad = "\n".join(f"unable to parse '{line.text}': {line.reason}" for line in lines if line.point is None)
        if bad and not any(line.point for line in lines):
            return 400, bad, {}
        conflicts = _take(store, lines)
        if conflicts:  # of lines that are no line protocol it says nothing then
            return 400, f"partial write: {_conflict_text(*conflicts[0])} dropped={len(conflicts)}", {}
        return (400, f"partial write: {bad} dropped=0", {}) if bad else (204, "", {})


class Telemetryd(InfluxDB1):
    schemes, places = ("Bearer",), ()

    def headers(self, status, message):
        return {"Content-Type": "application/json"}


class InfluxDB2:
    """settings: org, bucket. old: it answers 500 to a conflict of types, and stores nothing."""
    path, schemes, precision, fixed, places = "/api/v2/write", ("Token",), {"ns"}, {}, ("org", "bucket")
    codes = {400: "invalid", 401: "unauthorized", 403: "forbidden", 404: "not found", 413: "request too large",
             422: "unprocessable entity", 429: "too many requests", 500: "internal error", 503: "unavailable"}

    def __init__(self, old=False):
        self.old = old

    def body(self, status, message, **more):
        return json.dumps({"code": self.codes.get(status, "internal error"), "message": message, **more}).encode()

    def headers(self, status, message):
        return {"Content-Type": "application/json; charset=utf-8",
                "X-Platform-Error-Code": self.codes.get(status, "internal error")}

    def no_place(self, name, value):
        return 404, f'{"organization name" if name == "org" else name} "{value}" not found'

    def write(self, store, lines, detail="array"):
        for line in lines:
            if line.point is None:
                return 400, f"unable to parse '{line.text}': {line.reason}", {"line": line.number}
        first = next(((line, store.conflict(line.point)) for line in lines if store.conflict(line.point)), None)
        if self.old and first:
            return 500, f"unexpected error writing points to database: {_conflict_text(*first)}", {}
        conflicts = _take(store, lines)
        if not conflicts:
            return 204, "", {}
        return (422, "failure writing points to database: partial write: "
                f"{_conflict_text(*conflicts[0])} dropped={len(conflicts)}", {})


class InfluxDB3:
    """settings: db. It takes what is good of a body, as accept_partial=true asks."""
    path, schemes, precision = "/api/v3/write_lp", ("Bearer",), {"nanosecond"}
    fixed, places, codes = {"accept_partial": "true"}, ("db",), {}

    def body(self, status, message, **more):
        return json.dumps({"error": message, **more}).encode()

    def headers(self, status, message):
        return {"Content-Type": "application/json"}

    def no_place(self, name, value):
        return 404, f"unknown database: {value}"

    def write(self, store, lines, detail="array"):
        """detail: how it says which lines it did not take: as an "array" or, of the first, an "object" (or "none")."""
        conflicts = {line.number: _conflict_text(line, conflict) for line, conflict in _take(store, lines)}
        refused = [{"original_line": line.text, "line_number": line.number,
                    "error_message": conflicts.get(line.number, line.reason)}
                   for line in lines if line.point is None or line.number in conflicts]
        if not refused:
            return 204, "", {}
        data = {"array": {"data": refused}, "object": {"data": refused[0]}, "none": {}}[detail]
        return 400, "partial write of line protocol occurred", data


DIALECTS = {"influxdb1": InfluxDB1, "influxdb2": InfluxDB2, "influxdb3": InfluxDB3, "telemetryd": Telemetryd}
