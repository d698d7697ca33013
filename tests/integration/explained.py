# SPDX-License-Identifier: Apache-2.0
"""The table that --explain prints."""
import re

LINE = re.compile(r"  (\S+) +(.*?) {2,}(computed, kept|computed|[^ ].*?)(?: +([0-9.]+) s)?$")


def explained(text):
    """{VM's name: {figure: (value, who served it, age in seconds or None)}} of --explain's table."""
    found, current = {}, None
    for line in text.splitlines():
        if line and not line.startswith(" "):
            current = found.setdefault(line, {})
        elif match := LINE.fullmatch(line):
            figure, value, served, age = match.groups()
            current[figure] = (value, served, float(age) if age else None)
        elif line and "figure" not in line:
            raise AssertionError(f"not a line of the table: {line!r}")
    for each in found.values():
        each.pop("figure", None)
    return found
