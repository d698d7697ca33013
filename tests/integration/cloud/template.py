# SPDX-License-Identifier: Apache-2.0
"""OpenNebula's templates: NAME = "VALUE", NAME = [ A = "1", B = "2" ]. What its parser refuses is refused here."""
import re

NAME = re.compile(r"[A-Za-z0-9_]+")
BLANK = re.compile(r"[ \t\r\n]*")
QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)"', re.S)
BARE = re.compile(r"[^\s\"\[\],=#][^\n#\[\],=]*")
COMMENT = re.compile(r"[ \t]*#[^\n]*")


class SyntaxFault(ValueError):
    """Where a text is no template."""


class _Reader:
    def __init__(self, text):
        self.text, self.at = text, 0

    def fault(self, wanted):
        line = self.text.count("\n", 0, self.at) + 1
        found = self.text[self.at:self.at + 20].partition("\n")[0]
        raise SyntaxFault(f"syntax error, unexpected '{found}', expecting {wanted} at line {line}")

    def take(self, pattern, wanted=None):
        found = pattern.match(self.text, self.at)
        if found:
            self.at = found.end()
        elif wanted:
            self.fault(wanted)
        return found

    def sign(self, sign):
        self.take(BLANK)
        if not self.text.startswith(sign, self.at):
            self.fault(f"'{sign}'")
        self.at += 1

    def is_next(self, sign):
        self.take(BLANK)
        return self.text.startswith(sign, self.at)

    def skip(self):
        """Blank lines and comments."""
        while self.take(COMMENT) or self.take(re.compile(r"[ \t\r]*\n")):
            pass
        self.take(BLANK)

    def string(self):
        quoted = self.take(QUOTED)
        if quoted:
            return re.sub(r'\\(["\\])', r"\1", quoted[1])
        return self.take(BARE, "a value")[0].rstrip()

    def vector(self):
        self.sign("[")
        pairs = {}
        while not self.is_next("]"):
            if pairs:
                self.sign(",")
                self.take(BLANK)
            name = self.take(NAME, "a name")[0].upper()
            self.sign("=")
            self.take(BLANK)
            pairs[name] = self.string()
        self.sign("]")
        return pairs


def parse(text):
    """[(NAME, value)], value a string or, of a vector, a dictionary. Names come in capitals. Raises SyntaxFault."""
    reader, pairs = _Reader(text), []
    while True:
        reader.skip()
        if reader.at == len(text):
            return pairs
        name = reader.take(NAME, "a name")[0].upper()
        reader.sign("=")
        reader.take(re.compile(r"[ \t]*"))
        pairs.append((name, reader.vector() if reader.is_next("[") else reader.string()))
        rest = reader.take(re.compile(r"[ \t\r]*(?:#[^\n]*)?(?:\n|$)"))
        if not rest:
            reader.fault("end of line")


def merge(known, pairs):
    """What is new takes the place of all of its name, several new ones stay side by side; an empty vector deletes.
    known: {NAME: [value]}, changed in place."""
    for name in {name for name, _ in pairs}:
        known[name] = [value for other, value in pairs if other == name and value != {}]
        if not known[name]:
            del known[name]


def text(pairs):
    """As a command shows it."""
    def one(value):
        return '"' + str(value).replace("\\", "\\\\").replace('"', '\\"') + '"'
    lines = []
    for name, value in pairs:
        if isinstance(value, dict):
            lines.append(f"{name}=[\n  " + ",\n  ".join(f"{key}={one(of)}" for key, of in value.items()) + " ]")
        else:
            lines.append(f"{name}={one(value)}")
    return "\n".join(lines)
