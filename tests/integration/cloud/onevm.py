# SPDX-License-Identifier: Apache-2.0
"""onevm: the VMs, with what monitord knows of them."""
import cli
import markup
from cli import Failure
from names import LCM_STATES, VM_STATES

SHORT = {"LCM_INIT": "pend", "PROLOG": "prol", "BOOT": "boot", "RUNNING": "runn", "MIGRATE": "migr", "EPILOG": "epil",
         "UNKNOWN": "unkn", "SHUTDOWN": "shut", "SHUTDOWN_POWEROFF": "shut", "SAVE_SUSPEND": "save", "HOTPLUG": "hotp"}
SHORT_VM = {"PENDING": "pend", "HOLD": "hold", "STOPPED": "stop", "SUSPENDED": "susp", "DONE": "done", "POWEROFF": "poff",
            "UNDEPLOYED": "unde"}
STOCK = ("CPU", "MEMORY", "NETRX", "NETTX", "DISKRDBYTES", "DISKWRBYTES", "DISKRDIOPS", "DISKWRIOPS")


def element(vm, keys=None):
    """The VM as oned shows it: the document, and what monitord keeps. keys: only these of it."""
    node = markup.parse(vm["XML"])
    node.find("LAST_POLL").text = str(vm["LAST_POLL"])
    old = node.find("MONITORING")
    new = markup.element("MONITORING", [(name, value) for name, value in sorted(vm["MONITORING"].items())
                                        if keys is None or name in keys])
    position = list(node).index(old)
    node.remove(old)
    node.insert(position, new)
    return node


def _name(vm):
    return markup.parse(vm["XML"]).findtext("NAME")


def _named(state):
    return {vm: {"ID": int(vm), "NAME": _name(kept)} for vm, kept in state["vms"].items()}


def _short(vm):
    name = VM_STATES[vm["STATE"]]
    return SHORT.get(LCM_STATES[vm["LCM_STATE"]], "unkn") if name == "ACTIVE" else SHORT_VM.get(name, "init")


def list_(context, words):
    opts, _ = cli.options(words)
    state = context.store.read()
    vms = [(int(vm), kept) for vm, kept in state["vms"].items() if VM_STATES[kept["STATE"]] != "DONE"]
    vms.sort(reverse=True)
    if {"xml", "json", "yaml"} & set(opts):
        keys = None if "extended" in opts else STOCK
        cli.show(markup.element("VM_POOL", [("VM", element(vm, keys)) for _, vm in vms]), opts, None)
        return
    hosts = state["hosts"]
    rows = [{"ID": str(number), "USER": "oneadmin", "GROUP": "oneadmin", "NAME": _name(vm), "STAT": _short(vm), "CPU": "0.1",
             "MEM": "32M", "HOST": hosts[str(vm["HOST"])]["NAME"] if vm["ON_HOST"] else "", "TIME": "0d 00h00"}
            for number, vm in vms]
    cli.table([("ID", 6, True), ("USER", 8, True), ("GROUP", 8, True), ("NAME", 24, True), ("STAT", 4, True),
               ("CPU", 4, True), ("MEM", 5, True), ("HOST", 20, True), ("TIME", 10, True)], rows, opts)


def show(context, words):
    opts, words = cli.options(words)
    cli.wants(words, 1, 1, "show")
    state = context.store.read()
    wanted = cli.find(_named(state), words[0], "VM")
    vm = state["vms"].get(str(wanted))
    if not vm:
        raise Failure(f"[one.vm.info] Error getting virtual machine [{wanted}].")
    node = element(vm)
    cli.show(node, opts, lambda: _information(node, vm))


def _information(node, vm):
    lines = [f"VIRTUAL MACHINE {node.findtext('ID')} INFORMATION"]
    for name, value in (("ID", node.findtext("ID")), ("NAME", node.findtext("NAME")), ("USER", node.findtext("UNAME")),
                        ("GROUP", node.findtext("GNAME")), ("STATE", VM_STATES[vm["STATE"]]),
                        ("LCM_STATE", LCM_STATES[vm["LCM_STATE"]]), ("DEPLOY ID", node.findtext("DEPLOY_ID"))):
        lines.append(f"{name:<20}: {value}")
    lines += ["", "VIRTUAL MACHINE MONITORING"]
    for name, values in sorted(vm["MONITORING"].items()):
        lines += [f"{name:<20}: {value}" for value in values if isinstance(value, str) and name not in ("ID", "TIMESTAMP")]
    return "\n".join(lines)


COMMANDS = {"list": list_, "show": show}


def onevm(context, words):
    if words and words[0] in COMMANDS:
        context.check_session()
    return cli.dispatch("onevm", COMMANDS, context, words)
