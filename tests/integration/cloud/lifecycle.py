# SPDX-License-Identifier: Apache-2.0
"""A VM's life: its document, the states it goes through, and the stamps that its history gets on the way."""
import pathlib
import time
import uuid

from . import markup
from .names import LCM_STATES, VM_STATES, number

RECORDED = pathlib.Path(__file__).parent / "recorded"
UUIDS = {9: "325b3ba8-49bd-4117-898c-052c637b21a3", 10: "34190a2e-2b0a-44dd-b068-68ec02034b5f",
         11: "2c823e11-78bf-44fc-989f-167665a64962"}  # of the recorded VMs
PATHS = {
    "deploy": ("PROLOG", "BOOT", "RUNNING"), "poweroff": ("SHUTDOWN_POWEROFF", "POWEROFF"),
    "suspend": ("SAVE_SUSPEND", "SUSPENDED"), "stop": ("SAVE_STOP", "EPILOG_STOP", "STOPPED"),
    "undeploy": ("SHUTDOWN_UNDEPLOY", "EPILOG_UNDEPLOY", "UNDEPLOYED"), "terminate": ("SHUTDOWN", "EPILOG", "DONE"),
    "fail": ("BOOT", "BOOT_FAILURE"),
}
RESUME = {"POWEROFF": "BOOT_POWEROFF", "SUSPENDED": "BOOT_SUSPENDED", "STOPPED": "PROLOG_RESUME",
          "UNDEPLOYED": "PROLOG_UNDEPLOY"}
ACTIONS = {"MIGRATE": 2, "SAVE_MIGRATE": 1, "SHUTDOWN_POWEROFF": 20, "SAVE_SUSPEND": 10, "SAVE_STOP": 9,
           "SHUTDOWN_UNDEPLOY": 5, "SHUTDOWN": 28}
NEW_RECORD = ("PROLOG", "BOOT_POWEROFF", "BOOT_SUSPENDED", "PROLOG_RESUME", "PROLOG_UNDEPLOY", "MIGRATE", "SAVE_MIGRATE")
NOT_ON_HOST = ("INIT", "PENDING", "HOLD", "STOPPED", "DONE", "UNDEPLOYED", "CLONING", "CLONING_FAILURE")


def numbers(name):
    """(STATE, LCM_STATE) of a state's name, of either kind."""
    if number(VM_STATES, name) is not None and name != "ACTIVE":
        return number(VM_STATES, name), 0
    if number(LCM_STATES, name) is None:
        raise ValueError(f"there is no state {name}")
    return number(VM_STATES, "ACTIVE"), number(LCM_STATES, name)


def document(vm, name, owner="oneadmin"):
    """A VM that has just been made, after the recorded one."""
    node = markup.parse((RECORDED / "vm-hook.xml").read_text())
    deploy = UUIDS.get(vm, str(uuid.uuid5(uuid.NAMESPACE_OID, f"one-{vm}")))
    texts = {"ID": vm, "NAME": name, "UNAME": owner, "STATE": 0, "LCM_STATE": 0, "PREV_STATE": 0, "PREV_LCM_STATE": 0,
             "STIME": int(time.time()), "DEPLOY_ID": deploy, "TEMPLATE/VMID": vm, "TEMPLATE/OS/UUID": deploy,
             "TEMPLATE/NIC/TARGET": f"one-{vm}-0"}
    for path, text in texts.items():
        node.find(path).text = str(text)
    history = node.find("HISTORY_RECORDS")
    for record in list(history):
        history.remove(record)
    return markup.render(node)


def _record(vm, sequence, host, now):
    zero = dict.fromkeys(("PSTIME", "PETIME", "RSTIME", "RETIME", "ESTIME", "EETIME", "ACTION"), 0)
    return markup.element("HISTORY", {
        "OID": vm, "SEQ": sequence, "HOSTNAME": host["NAME"], "HID": host["ID"], "CID": 0, "STIME": now, "ETIME": 0,
        "VM_MAD": "kvm", "TM_MAD": "local", "DS_ID": 0, "PLAN_ID": -2, "ACTION_ID": -1, **zero, "UID": -1, "GID": -1,
        "REQUEST_ID": -1})


def _set(record, **texts):
    for name, text in texts.items():
        record.find(name).text = str(text)


class VM:
    def __init__(self, cloud, vm):
        self.cloud, self.id = cloud, vm

    def _kept(self):
        return self.cloud.store.read()["vms"][str(self.id)]

    def state(self):
        """The names of its states."""
        kept = self._kept()
        return VM_STATES[kept["STATE"]], LCM_STATES[kept["LCM_STATE"]]

    def document(self):
        """As a hook gets it."""
        return self._kept()["XML"]

    def monitoring(self):
        """What `onevm show` has under MONITORING: {KEY: text, or a dictionary, or a list of those}."""
        return {name: values[0] if len(values) == 1 else values for name, values in self._kept()["MONITORING"].items()}

    def do(self, what, host=None, **options):
        """One of PATHS, "resume", or "migrate" to another host: all states of it, one after another."""
        if what == "resume":
            path = (RESUME[self.state()[0]], "RUNNING")
        else:
            path = ("MIGRATE", "RUNNING") if what == "migrate" else PATHS[what]
        for name in path:
            self.to(name, host=host, **options)
            host = None

    def to(self, name, host=None, fire=True, now=None):
        """Into a state. host: where it goes; of a migration where it arrives. fire: whether hooks are told."""
        now = now or int(time.time())
        state_number, lcm_number = numbers(name)
        with self.cloud.store.change() as state:
            vm = state["vms"][str(self.id)]
            old = vm["STATE"], vm["LCM_STATE"]
            where = state["hosts"][str(self.cloud.machines[host].id)] if host else state["hosts"][str(vm["HOST"])]
            node = markup.parse(vm["XML"])
            _set(node, STATE=state_number, LCM_STATE=lcm_number, PREV_STATE=old[0], PREV_LCM_STATE=old[1])
            self._stamp(node, name, LCM_STATES[old[1]], where, now)
            vm.update(STATE=state_number, LCM_STATE=lcm_number, XML=markup.render(node), HOST=where["ID"],
                      ON_HOST=VM_STATES[state_number] not in NOT_ON_HOST)
            text, changed = vm["XML"], old != (state_number, lcm_number)
        self.cloud.record_hosts()
        if fire and changed:
            self.cloud.hooks.fire(text, state_number, lcm_number, where["NAME"])

    def _stamp(self, node, name, old, host, now):
        history = node.find("HISTORY_RECORDS")
        last = history[-1] if len(history) else None
        if name in NEW_RECORD:
            if last is not None and name not in ("MIGRATE", "SAVE_MIGRATE"):
                _set(last, ETIME=now)
            if last is not None and name in ACTIONS:
                _set(last, ACTION=ACTIONS[name], UID=0, GID=0, REQUEST_ID=7000 + len(history))
            history.append(_record(self.id, len(history), host, now))
            _set(history[-1], **{"PSTIME" if name.startswith("PROLOG") else "RSTIME": now})
        elif last is not None:
            self._stamp_last(node, history, name, old, now)

    @staticmethod
    def _stamp_last(node, history, name, old, now):
        last = history[-1]
        if name in ACTIONS:
            _set(last, ACTION=ACTIONS[name], UID=0, GID=0, REQUEST_ID=7000 + len(history))
        if name == "BOOT":
            _set(last, PETIME=now, RSTIME=now)
        elif name == "RUNNING" and old in ("MIGRATE", "SAVE_MIGRATE", "BOOT_MIGRATE"):
            _set(history[-2], RETIME=now, ETIME=now)
            _set(last, RSTIME=now)
        elif name in ("POWEROFF", "SUSPENDED"):
            _set(last, RETIME=now)
        elif name.startswith("EPILOG") and "FAILURE" not in name:
            _set(last, RETIME=now, ESTIME=now)
        elif name in ("DONE", "STOPPED", "UNDEPLOYED"):
            _set(last, EETIME=now, ETIME=now)
            if name == "DONE":
                _set(node, ETIME=now)

    def seen(self, state):
        """What the state probe says of it."""
        now = self.state()
        if state == "RUNNING" and now == ("ACTIVE", "UNKNOWN"):
            self.to("RUNNING")
        elif state == "POWEROFF" and now[0] == "ACTIVE" and now[1] in ("RUNNING", "UNKNOWN", "SHUTDOWN_POWEROFF"):
            self.to("POWEROFF")
