# SPDX-License-Identifier: Apache-2.0
"""onehost: the hosts, and how the remotes tree gets onto them."""
import re
import threading

import cli
import markup
import remote
import tree
from cli import Failure
from names import HOST_SHORT, HOST_STATES, number

REMOTES = "/var/lib/one/remotes"
TARGET = "/var/tmp/one"


def _get(state, wanted):
    host = state["hosts"].get(str(wanted))
    if not host:
        raise Failure(f"[one.host.info] Error getting host [{wanted}].")
    return host


def _vms(state, host):
    """IDs of the VMs that are on it."""
    on = (int(vm) for vm, kept in state["vms"].items() if kept["HOST"] == host["ID"] and kept["ON_HOST"])
    return sorted(on)


def _element(state, host):
    vms = _vms(state, host)
    return markup.element("HOST", [
        ("ID", host["ID"]), ("NAME", host["NAME"]), ("STATE", host["STATE"]),
        ("PREV_STATE", host.get("PREV_STATE", host["STATE"])), ("IM_MAD", "kvm"), ("VM_MAD", "kvm"), ("CLUSTER_ID", 0),
        ("CLUSTER", "default"),
        ("HOST_SHARE", [("MEM_USAGE", 32768 * len(vms)), ("CPU_USAGE", 10 * len(vms)), ("TOTAL_MEM", 8388608),
                        ("TOTAL_CPU", 400), ("MAX_MEM", 8388608), ("MAX_CPU", 400), ("RUNNING_VMS", len(vms))]),
        ("VMS", [("ID", vm) for vm in vms]), ("TEMPLATE", sorted(host["TEMPLATE"].items())),
        ("MONITORING", sorted(host.get("MONITORING", {}).items()))])


def list_(context, words):
    opts, _ = cli.options(words)
    state = context.store.read()
    hosts = sorted(state["hosts"].values(), key=lambda host: host["ID"])
    if {"xml", "json", "yaml"} & set(opts):
        cli.show(markup.element("HOST_POOL", [("HOST", _element(state, host)) for host in hosts]), opts, None)
        return
    rows = [{"ID": str(host["ID"]), "NAME": host["NAME"], "CLUSTER": "default", "TVM": str(len(_vms(state, host))),
             "ALLOCATED_CPU": "0 / 400 (0%)", "ALLOCATED_MEM": "0K / 8G (0%)", "STAT": HOST_SHORT[host["STATE"]]}
            for host in hosts]
    cli.table([("ID", 4, True), ("NAME", 15, True), ("CLUSTER", 9, True), ("TVM", 3, True), ("ALLOCATED_CPU", 18, True),
               ("ALLOCATED_MEM", 18, True), ("STAT", 6, True)], rows, opts)


def show(context, words):
    opts, words = cli.options(words)
    cli.wants(words, 1, 1, "show")
    state = context.store.read()
    host = _get(state, cli.find(state["hosts"], words[0], "HOST"))
    cli.show(_element(state, host), opts, lambda: "\n".join(
        [f"HOST {host['ID']} INFORMATION", *(f"{name:<22}: {value}" for name, value in (
            ("ID", host["ID"]), ("NAME", host["NAME"]), ("CLUSTER", "default"), ("STATE", HOST_STATES[host["STATE"]]),
            ("IM_MAD", "kvm"), ("VM_MAD", "kvm"))),
         "", "MONITORING INFORMATION", *(f'{name}="{value}"' for name, value in sorted(host["TEMPLATE"].items()))]))


def _send(context, host, packed, faults):
    """To one host; the messages of what went wrong."""
    made = remote.capture(context, {"op": "ssh", "host": host["NAME"], "command": f"mkdir -p {TARGET}"})
    if made[0]:
        return made[1:]
    status, out, err = remote.capture(context, {"op": "receive", "host": host["NAME"], "target": TARGET,
                                                "keep": bool(faults)}, packed)
    if faults or status:
        return out, err + "\n".join([*faults, "rsync error: some files/attrs were not transferred (code 23)", ""])
    return None


def _version(text):
    return [int(part) if part.isdigit() else part for part in re.split(r"[.-]", text)]


def _is_new(host, version):
    kept = host["TEMPLATE"].get("VERSION")
    try:
        return not kept or _version(kept) < _version(version)
    except TypeError:
        return True


def sync(context, words):
    opts, words = cli.options(words, short="c:", long=("force", "ssh", "cluster=", "rsync"))
    cli.forbid_root("onehost sync")
    context.check_session()
    remotes = context.path(REMOTES)
    try:
        version = (remotes / "VERSION").read_text().strip()
    except OSError as error:
        raise Failure(f"Could not read {REMOTES}/VERSION") from error
    if not version:
        raise Failure("Remotes version can not be empty")
    try:
        (remotes / ".update").touch()
    except PermissionError as error:
        raise Failure(f"Permission denied @ apply2files - {REMOTES}/.update") from error
    state = context.store.read()
    wanted = cli.find_all(state["hosts"], words, "HOST") if words else None
    queue = []
    for host in sorted(state["hosts"].values(), key=lambda host: host["ID"]):
        if (wanted is not None and host["ID"] not in wanted) or HOST_STATES[host["STATE"]] == "OFFLINE":
            continue
        if {"force", "f"} & set(opts) or _is_new(host, version):
            print(f"* Adding {host['NAME']} to upgrade")
            queue.append(host)
    if not queue:
        print("No hosts are going to be updated.")
        return 0
    return _send_all(context, queue, remotes, version)


def _send_all(context, queue, remotes, version):
    packed, faults = tree.pack(remotes)
    results = {}

    def send(host):
        results[host["ID"]] = _send(context, host, packed, faults)

    threads = [threading.Thread(target=send, args=(host,)) for host in queue]
    for number_, (host, thread) in enumerate(zip(queue, threads), 1):
        print(f"[{number_}/{len(queue)}] {host['NAME']}", flush=True)
        thread.start()
    for thread in threads:
        thread.join()
    failed = [host for host in queue if results.get(host["ID"], ("", ""))]
    for host in failed:
        print(results[host["ID"]][0], end="")
        remote.complain(results[host["ID"]][1])
    with context.store.change() as state:
        for host in queue:
            if host not in failed:
                state["hosts"][str(host["ID"])]["TEMPLATE"]["VERSION"] = version
    print()
    if failed:
        raise Failure("Failed to update the following hosts:\n" + "\n".join(f"* {host['NAME']}" for host in failed))
    print("All hosts updated successfully.")
    return 0


def forceupdate(context, words):
    """The hosts are monitored anew: those that are in error come back."""
    _, words = cli.options(words, short="c:", long=("cluster=",))
    cli.forbid_root("onehost forceupdate")
    state = context.check_session()
    wanted = cli.find_all(state["hosts"], words, "HOST") if words else [int(host) for host in state["hosts"]]
    for host in wanted:
        remote.call(context, {"op": "forceupdate", "host": _get(state, host)["ID"]})
    print("All hosts updated successfully.")


def _set_state(name):
    def command(context, words):
        _, words = cli.options(words)
        cli.wants(words, 1, 99, name.lower())
        with context.store.change() as state:
            for wanted in cli.find_all(state["hosts"], words, "HOST"):
                _get(state, wanted)["STATE"] = number(HOST_STATES, name)
    return command


COMMANDS = {"list": list_, "show": show, "sync": sync, "forceupdate": forceupdate, "enable": _set_state("MONITORED"),
            "disable": _set_state("DISABLED"), "offline": _set_state("OFFLINE")}


def onehost(context, words):
    if words and words[0] in COMMANDS and words[0] not in ("sync", "forceupdate"):
        context.check_session()
    return cli.dispatch("onehost", COMMANDS, context, words)
