# SPDX-License-Identifier: Apache-2.0
"""onehook: what is registered, and what became of it."""
import base64
import datetime
import os
import sys

import cli
import markup
import remote
import template
from cli import Failure
from names import LCM_STATES, ON, VM_STATES, number
from store import take_id

ALLOCATE = "[one.hook.allocate] Error allocating a new hook."
UPDATE = "[one.hook.update] Cannot update template."


def _get(state, wanted, call="info"):
    """A hook without RESOURCE can't be loaded any more; OpenNebula says that there is none."""
    hook = state["hooks"].get(str(wanted))
    if not hook or (hook["TYPE"] == "state" and not hook["TEMPLATE"].get("RESOURCE")):
        raise Failure(f"[one.hook.{call}] Error getting hook [{wanted}].")
    return hook


def _read(word, what):
    if word is None and (what == "update" or sys.stdin.isatty()):
        raise Failure(f"command {what}: no file is given, and there is no editor here")
    if word is None:
        return cli.stdin()
    if not os.path.isfile(word):
        raise Failure(f"command {what}: argument {int(what == 'update')} must be one of file\nFile '{word}' does not exist")
    with open(word, encoding="utf-8") as file:
        return file.read()


def _parse(text, prefix):
    try:
        return dict(template.parse(text))
    except template.SyntaxFault as fault:
        raise Failure(f"{prefix} Parse error: {fault}") from fault


def _states(tmpl, wrong):
    """STATE and LCM_STATE as they are kept."""
    for name, names in (("STATE", VM_STATES), ("LCM_STATE", LCM_STATES)):
        if number(names, tmpl.get(name, "")) is None:
            raise Failure(wrong(name, tmpl.get(name, "")))
        tmpl[name] = tmpl[name].upper()


def _checked(tmpl):
    """What create makes of a template: (NAME, TYPE, template)."""
    for name, text in (("NAME", "Invalid NAME, it cannot be empty."), ("COMMAND", "No COMMAND in template for Hook.")):
        if not tmpl.get(name):
            raise Failure(f"{ALLOCATE} {text}")
    kind = tmpl.pop("TYPE", "").lower()
    if kind not in ("state", "api"):
        raise Failure(f"{ALLOCATE} No TYPE or invalid one in template for Hook.")
    if kind == "state":
        _check_state_hook(tmpl)
    elif not tmpl.get("CALL"):
        raise Failure(f"{ALLOCATE} No CALL attribute provided.")
    tmpl["REMOTE"] = "YES" if tmpl.get("REMOTE", "").upper() in ("YES", "TRUE", "1") else "NO"
    return tmpl.pop("NAME"), kind, tmpl


def _check_state_hook(tmpl):
    resource = tmpl.get("RESOURCE", "")
    if not resource:
        raise Failure(f"{ALLOCATE} RESOURCE attribute is required for STATE hooks.")
    if resource.upper() != "VM":
        raise Failure(f"{ALLOCATE} Invalid resource type: {resource}")
    on = tmpl.pop("ON", "").upper()
    if on in ON:
        tmpl["STATE"], tmpl["LCM_STATE"] = ON[on]
    elif on != "CUSTOM":
        raise Failure(f"{ALLOCATE} Unkown state condition: {on}")
    _states(tmpl, lambda name, value: f"{ALLOCATE} Wrong {name}: {value}")


def create(context, words):
    _, words = cli.options(words, long=("dry",))
    cli.wants(words, 0, 1, "create")
    name, kind, tmpl = _checked(_parse(_read(words[0] if words else None, "create"), ALLOCATE))
    with context.store.change() as state:
        for hook in state["hooks"].values():
            if hook["NAME"] == name:
                raise Failure(f"{ALLOCATE} NAME is already taken by HOOK {hook['ID']}.")
        made = take_id(state, "hooks")
        state["hooks"][str(made)] = {"ID": made, "NAME": name, "TYPE": kind, "TEMPLATE": tmpl, "LOG": [], "RUNS": 0}
    print(f"ID: {made}")


def update(context, words):
    """The new template takes the place of the old one whole; ON is not looked at, STATE and LCM_STATE have to be there."""
    opts, words = cli.options(words, short="a", long=("append",))
    word, *file = cli.wants(words, 1, 2, "update")
    with context.store.change() as state:
        hook = _get(state, cli.find(state["hooks"], word, "HOOK"), "update")
        new = _parse(_read(file[0] if file else None, "update"), UPDATE)
        if "append" in opts or "a" in opts:
            new = {**hook["TEMPLATE"], **new}
        if not new.get("COMMAND"):
            raise Failure(f"{UPDATE} The COMMAND attribute is not defined.")
        if hook["TYPE"] == "state":
            _states(new, lambda name, _: f"{UPDATE} The {name} attribute is not defined or it's invalid.")
        hook["TEMPLATE"] = new


def delete(context, words):
    _, words = cli.options(words)
    cli.wants(words, 1, 99, "delete")
    with context.store.change() as state:
        wanted = cli.find_all(state["hooks"], words, "HOOK")
        missing = [each for each in wanted if str(each) not in state["hooks"]]
        for each in wanted:
            state["hooks"].pop(str(each), None)
    if missing:
        raise Failure("\n".join(f"HOOK {each}: [one.hook.delete] Error getting hook [{each}]." for each in missing))


def rename(context, words):
    word, name = cli.wants(words, 2, 2, "rename")
    with context.store.change() as state:
        hook = _get(state, cli.find(state["hooks"], word, "HOOK"), "rename")
        for other in state["hooks"].values():
            if other["NAME"] == name and other is not hook:
                raise Failure(f"[one.hook.rename] NAME is already taken by HOOK {other['ID']}.")
        hook["NAME"] = name


def _element(hook, log):
    content = [("ID", hook["ID"]), ("NAME", hook["NAME"]), ("TYPE", hook["TYPE"]),
               ("TEMPLATE", sorted(hook["TEMPLATE"].items()))]
    if log:
        content.append(("HOOKLOG", [("HOOK_EXECUTION_RECORD", _record(hook, each)) for each in hook["LOG"]]))
    return markup.element("HOOK", content)


def _record(hook, run):
    content = [("HOOK_ID", hook["ID"]), ("EXECUTION_ID", run["ID"]), ("TIMESTAMP", run["TIMESTAMP"]),
               ("ARGUMENTS", run["ARGUMENTS"]),
               ("EXECUTION_RESULT", [("COMMAND", run["COMMAND"]), ("STDOUT", run["STDOUT"]), ("STDERR", run["STDERR"]),
                                     ("CODE", run["CODE"])])]
    return content + [("RETRY", "yes")] * run["RETRY"]


def list_(context, words):
    opts, _ = cli.options(words)
    hooks = sorted(context.store.read()["hooks"].values(), key=lambda hook: hook["ID"])
    if {"xml", "json", "yaml"} & set(opts):
        cli.show(markup.element("HOOK_POOL", [("HOOK", _element(hook, False)) for hook in hooks]), opts, None)
    else:
        cli.table([("ID", 5, True), ("NAME", 25, True), ("TYPE", 45, True)],
                  [{"ID": str(hook["ID"]), "NAME": hook["NAME"], "TYPE": hook["TYPE"]} for hook in hooks], opts)


def show(context, words):
    opts, words = cli.options(words, short="e:", long=("execution=",))
    cli.wants(words, 1, 1, "show")
    state = context.store.read()
    hook = _get(state, cli.find(state["hooks"], words[0], "HOOK"))
    execution = opts.get("execution", opts.get("e"))
    cli.show(_element(hook, True), opts, lambda: _execution(hook, execution) if execution else _information(hook))


def _line(name, value):
    return f"{name:<18}: {value}"


def _stamp(run):
    return datetime.datetime.fromtimestamp(run["TIMESTAMP"]).strftime("%m/%d %H:%M:%S")


def _information(hook):
    lines = [f"HOOK {hook['ID']} INFORMATION", _line("ID", hook["ID"]), _line("NAME", hook["NAME"]),
             _line("TYPE", hook["TYPE"]), _line("LOCK", "None"), "", "HOOK TEMPLATE",
             template.text(sorted(hook["TEMPLATE"].items()))]
    if hook["LOG"]:
        lines += ["", "EXECUTION LOG", "   ID    TIMESTAMP        RC EXECUTION"]
    for run in hook["LOG"]:
        lines.append(f"{run['ID']:>5} {_stamp(run):>15} {run['CODE']:>4} {'ERROR' if run['CODE'] else 'SUCCESS'}")
    return "\n".join(lines) + "\n"


def _execution(hook, wanted):
    run = next((run for run in hook["LOG"] if str(run["ID"]) == wanted), None)
    if not run:
        return f"{_information(hook)}Cannot find execution record {wanted}"
    out, err = (base64.b64decode(run[name]).decode(errors="replace") for name in ("STDOUT", "STDERR"))
    return "\n".join(["HOOK EXECUTION RECORD", _line("EXECUTION ID", run["ID"]), _line("TIMESTAMP", _stamp(run)),
                      _line("COMMAND", run["COMMAND"]), _line("ARGUMENTS", run["ARGUMENTS"]),
                      _line("EXIT CODE", run["CODE"]), "", "EXECUTION STDOUT", out, "", "EXECUTION STDERR", err, ""])


def retry(context, words):
    """It is executed by the hook manager, a little later, with the arguments that it had."""
    word, run = cli.wants(words, 2, 2, "retry")
    state = context.store.read()
    hook = _get(state, cli.find(state["hooks"], word, "HOOK"), "retry")
    if not any(str(each["ID"]) == run for each in hook["LOG"]):
        raise Failure("[one.hook.retry] Invalid HookLog body. Arguments not found.")
    remote.call(context, {"op": "retry", "hook": hook["ID"], "execution": int(run)})


def log(context, words):
    opts, _ = cli.options(words, long=("error", "success", "hook-id=", "since=", "until="))
    hooks = [hook for hook in context.store.read()["hooks"].values() if opts.get("hook-id", str(hook["ID"])) == str(hook["ID"])]
    runs = [(hook, run) for hook in hooks for run in hook["LOG"]
            if not ("error" in opts and not run["CODE"]) and not ("success" in opts and run["CODE"])]
    if "xml" in opts:
        print(markup.render(markup.element("HOOKLOG", [("HOOK_EXECUTION_RECORD", _record(*each)) for each in runs])))
    elif runs:
        print("HOOK    ID    TIMESTAMP        RC EXECUTION")
        for hook, run in runs:
            print(f"{hook['ID']:>4} {run['ID']:>5} {_stamp(run):>15} {run['CODE']:>4} "
                  f"{'ERROR' if run['CODE'] else 'SUCCESS'}")


COMMANDS = {"create": create, "delete": delete, "update": update, "rename": rename, "list": list_, "show": show,
            "retry": retry, "log": log}
CALLS = {"create": "one.hook.allocate", "delete": "one.hook.delete", "update": "one.hook.update", "rename": "one.hook.rename",
         "retry": "one.hook.retry"}  # which one that leads has to answer


def onehook(context, words):
    if words and words[0] in COMMANDS:
        context.check_session(CALLS.get(words[0]))
    return cli.dispatch("onehook", COMMANDS, context, words)
