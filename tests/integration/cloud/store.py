# SPDX-License-Identifier: Apache-2.0
"""What oned knows, in one JSON file under a lock: commands, monitord and hook manager are several processes."""
import contextlib
import fcntl
import json
import pathlib

EMPTY = {
    "version": "7.4.0",
    "oned": True,      # whether it answers
    "hooks": {},       # ID: NAME, TYPE, TEMPLATE {NAME: value}, LOG [execution]
    "hosts": {},       # ID: NAME, STATE, TEMPLATE {…}, ERROR
    "vms": {},         # ID: XML (without what monitord adds), MONITORING {NAME: [value]}, LAST_POLL
    "servers": [],     # of HA: ID, NAME, ENDPOINT
    "leader": None,    # the ID of one of them
    "next": {"hooks": 0, "hosts": 0},
}


class Store:
    def __init__(self, directory):
        self.file = pathlib.Path(directory) / "state.json"
        self.lock = pathlib.Path(directory) / "lock"

    def create(self):
        for path, text in ((self.file, json.dumps(EMPTY)), (self.lock, "")):
            path.write_text(text)
            path.chmod(0o666)

    @contextlib.contextmanager
    def _locked(self, how):
        with open(self.lock, "rb") as lock:
            fcntl.flock(lock, how)
            yield

    def read(self):
        with self._locked(fcntl.LOCK_SH):
            return json.loads(self.file.read_text())

    @contextlib.contextmanager
    def change(self):
        """Gives the state; what was done to it is kept, but after an exception."""
        with self._locked(fcntl.LOCK_EX):
            state = json.loads(self.file.read_text())
            yield state
            with open(self.file, "r+", encoding="utf-8") as file:  # in place: any user of the commands writes it
                file.write(json.dumps(state))
                file.truncate()


def take_id(state, kind):
    number = state["next"][kind]
    state["next"][kind] = number + 1
    return number
