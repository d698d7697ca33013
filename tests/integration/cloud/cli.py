# SPDX-License-Identifier: Apache-2.0
"""What OpenNebula's commands share: who may call them, options, tables, and how they fail: a message on standard error
and status 255."""
import csv
import getopt
import io
import json
import os
import pathlib
import sys

import markup

LISTS = ("xml", "json", "yaml", "csv", "no-header", "list=", "filter=", "extended", "verbose", "help", "version",
         "endpoint=", "user=", "password=", "numeric", "describe", "delay=", "no-pager", "adjust=", "size=", "expand=",
         "csv-sep=", "search=", "order=", "kilobytes")


class Failure(Exception):
    """What a command says before it ends with status 255."""
    status = 255


class Context:
    """Where a command finds things. root: in front of every path of the front-end, "" in its own mount namespace."""

    def __init__(self, store, root):
        self.store, self.root = store, root

    def path(self, path):
        return pathlib.Path(self.root + path)

    def check_session(self, writes=None):
        """As the client library looks for its password; then whether oned answers, and for a call that writes whether one of
        several leads."""
        candidates = [os.environ.get("ONE_AUTH"), os.environ.get("HOME", "/nonexistent") + "/.one/one_auth",
                      str(self.path("/var/lib/one/.one/one_auth"))]
        for name in filter(None, candidates):
            if os.path.isfile(name):
                try:
                    with open(name, encoding="utf-8") as file:
                        session = file.read().strip()
                except PermissionError as error:
                    raise Failure(f"Permission denied @ rb_sysopen - {name}") from error
                break
        else:
            raise Failure("ONE_AUTH file not present")
        state = self.store.read()
        if not state["oned"]:
            raise Failure('Failed to open TCP connection to localhost:2633 (Connection refused - connect(2) for '
                          '"localhost" port 2633)')
        if state.get("session", session) != session:
            raise Failure("[one.system.config] User couldn't be authenticated, aborting call.")
        if writes and state["servers"] and state["leader"] is None:
            raise Failure(f"[{writes}] Cannot process request, no leader found")
        return state


def options(words, short="", long=()):
    """(options {name without dashes: value}, arguments); options may stand behind arguments."""
    try:
        found, rest = getopt.gnu_getopt(words, "xjyvhVnl:f:d:" + short, [*LISTS, *long])
    except getopt.GetoptError as error:
        raise Failure(f"invalid option: {'--' if len(error.opt) > 1 else '-'}{error.opt}") from error
    names = {"-x": "xml", "-j": "json", "-y": "yaml", "-l": "list", "-f": "filter", "-n": "numeric", "-d": "delay"}
    return {names.get(name, name.lstrip("-")): value for name, value in found}, rest


def show(node, opts, plain):
    """An element as XML or JSON; else what plain() gives."""
    if "xml" in opts:
        print(markup.render(node))
    elif "json" in opts:
        print(json.dumps({node.tag: markup.plain(node)}, indent=2))
    elif "yaml" in opts:
        raise Failure("the stand-in has no YAML")
    else:
        print(plain())


def table(columns, rows, opts):
    """columns: [(NAME, width, shown by default)]; rows: [{NAME: text}]."""
    widths = {name: width for name, width, _ in columns}
    names = opts["list"].split(",") if "list" in opts else [name for name, _, default in columns if default]
    if set(names) - set(widths):
        raise Failure(f"Column {(set(names) - set(widths)).pop()} not valid")
    if "filter" in opts:
        name, _, value = opts["filter"].partition("=")
        rows = [row for row in rows if row.get(name) == value]
    lines = ([] if "no-header" in opts else [dict(zip(widths, widths))]) + rows
    for row in lines:
        if "csv" in opts:
            out = io.StringIO()
            csv.writer(out, lineterminator="").writerow([row[name] for name in names])
            print(out.getvalue())
        else:
            print(" ".join(f"{row[name]:<{widths[name]}.{widths[name]}}" for name in names))


def find(pool, word, kind):
    """The ID that a word means: a number, whether there is one or not, or a name."""
    if word.isdigit():
        return int(word)
    found = [each["ID"] for each in pool.values() if each["NAME"] == word]
    if not found:
        raise Failure(f"{kind} named {word} not found.")
    if len(found) > 1:
        raise Failure(f"There are multiple {kind}'s with name {word}.")
    return found[0]


def find_all(pool, words, kind):
    """1,2  1..3  a,b"""
    found = []
    for word in ",".join(words).split(","):
        first, dots, last = word.partition("..")
        if dots and first.isdigit() and last.isdigit():
            found += range(int(first), int(last) + 1)
        elif word:
            found.append(find(pool, word, kind))
    return found


def wants(words, least, most, usage):
    if not least <= len(words) <= most:
        raise Failure(f"Command {usage} requires {least} parameters to run.")
    return words


def forbid_root(command):
    if 0 in (os.getuid(), os.getgid()):
        raise Failure(f"Cannot run '{command}' as root")


def dispatch(program, commands, context, words):
    """Calls the function of a command; 0 or what it returns is the status."""
    if not words or words[0] in ("--help", "-h"):
        print(f"## USAGE\n{program} <command> [<args>] [<options>]\n## COMMANDS\n" +
              "\n".join(f"* {name}" for name in commands))
        return 0
    if words[0] in ("--version", "-V"):
        print(f"OpenNebula {context.store.read()['version']}")
        return 0
    if words[0] not in commands:
        raise Failure(f"Undefined command: {words[0]}\nAvailable commands: {', '.join(commands)}")
    return commands[words[0]](context, words[1:]) or 0


def stdin():
    return sys.stdin.read()
