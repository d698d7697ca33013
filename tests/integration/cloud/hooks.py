# SPDX-License-Identifier: Apache-2.0
"""The hook manager: which hooks an event has, and their execution, up to ten at a time."""
import base64
import concurrent.futures
import contextlib
import os
import signal
import subprocess
import threading
import time

from .names import LCM_STATES, VM_STATES

AT_A_TIME = 10
KEPT = 20             # executions of a hook (LOG_RETENTION)
LINGER_SECONDS = 0.1  # that output is still read after a hook has ended, though a child of it keeps the pipe
LOCAL, REMOTE = "/var/lib/one/remotes/hooks", "/var/tmp/one/hooks"


class HookManager:
    def __init__(self, cloud):
        self.cloud = cloud
        self.pool = concurrent.futures.ThreadPoolExecutor(AT_A_TIME)
        self.lock, self.waiting, self.running = threading.Lock(), [], set()
        self.most_at_a_time = 0

    def close(self):
        for process in list(self.running):
            _kill(process, signal.SIGKILL)
        self.pool.shutdown(cancel_futures=True)

    def fire(self, document, state, lcm_state, host):
        """An event of a VM: all hooks that are registered for this state, side by side. Without a leader nobody is told."""
        known = self.cloud.store.read()
        if known["servers"] and known["leader"] is None:
            return
        wanted = (VM_STATES[state], LCM_STATES[lcm_state])
        for hook in sorted(known["hooks"].values(), key=lambda hook: hook["ID"]):
            template = hook["TEMPLATE"]
            if hook["TYPE"] == "state" and template.get("RESOURCE", "").upper() == "VM" and (
                    template.get("STATE"), template.get("LCM_STATE")) == wanted:
                self._submit(hook, arguments(template, document), host, False)

    def retry(self, number, execution):
        hook = self.cloud.store.read()["hooks"][str(number)]
        run = next(run for run in hook["LOG"] if run["ID"] == execution)
        self._submit(hook, run["ARGUMENTS"], run["HOST"], True)

    def _submit(self, hook, words, host, again):
        with self.lock:
            self.waiting.append(self.pool.submit(self._execute, hook, words, host, again))

    def wait(self, seconds=60):
        """Until no hook runs or waits any more."""
        with self.lock:
            waiting = list(self.waiting)
        done = concurrent.futures.wait(waiting, seconds)
        if done.not_done:
            raise TimeoutError(f"{len(done.not_done)} hooks still run after {seconds} s")
        for each in done.done:
            each.result()
        with self.lock:
            self.waiting = [each for each in self.waiting if each not in done.done]

    def _execute(self, hook, words, host, again):
        template = hook["TEMPLATE"]
        remote = template.get("REMOTE", "").upper() == "YES"
        command = template["COMMAND"]
        if not command.startswith("/"):
            command = f"{REMOTE if remote else LOCAL}/{command}"
        on_stdin = template.get("ARGUMENTS_STDIN", "").lower() in ("yes", "true")
        if not on_stdin and words:
            command += f" {words}"
        machine = self.cloud.machines[host].machine if remote else self.cloud.leader
        status, out, err = self._run(machine, command, words if on_stdin else "", int(template.get("TIMEOUT") or 0))
        self._keep(hook["ID"], {"TIMESTAMP": int(time.time()), "ARGUMENTS": words, "COMMAND": command, "CODE": status,
                                "STDOUT": _encode(out), "STDERR": _encode(err), "RETRY": again, "HOST": host})
        machine = self.cloud.leader
        with contextlib.suppress(OSError), open(machine.path("/var/log/one/onehem.log"), "a", encoding="utf-8") as log:
            log.write(f"{time.ctime()} [{'E' if status else 'I'}]: Hook {hook['ID']} "
                      f"{'failed' if status else 'successfully executed'}\n")

    def _run(self, machine, command, stdin, timeout):
        """As oneadmin, in a process group of its own, which is told to end after timeout seconds."""
        process = machine.popen("sh", "-c", command, user="oneadmin", cwd="/var/lib/one", start_new_session=True,
                                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        with self.lock:
            self.running.add(process)
            self.most_at_a_time = max(self.most_at_a_time, len(self.running))
        texts = {}
        readers = [threading.Thread(target=_read, args=(texts, pipe), daemon=True) for pipe in (process.stdout, process.stderr)]
        late = threading.Event()
        timer = threading.Timer(timeout, lambda: (late.set(), _kill(process, signal.SIGTERM)))
        for each in readers + ([timer] if timeout else []):
            each.start()
        with contextlib.suppress(BrokenPipeError):
            process.stdin.write(stdin.encode())
            process.stdin.close()
        status = process.wait()
        timer.cancel()
        for reader in readers:
            reader.join(LINGER_SECONDS)
        with self.lock:
            self.running.discard(process)
        out, err = (b"".join(texts.get(pipe, [])) for pipe in (process.stdout, process.stderr))
        if late.is_set():
            return 255, b"", f"Timeout executing {command}".encode()
        return (255 if status < 0 else status), out, err

    def _keep(self, number, run):
        with self.cloud.store.change() as state:
            hook = state["hooks"].get(str(number))
            if hook:  # it may have been deleted meanwhile
                run["ID"], hook["RUNS"] = hook["RUNS"], hook["RUNS"] + 1
                hook["LOG"] = [*hook["LOG"], run][-KEPT:]


def arguments(template, document):
    """What ARGUMENTS come to; the document is one word."""
    encoded = base64.b64encode(document.encode()).decode()
    return " ".join(encoded if word == "$TEMPLATE" else "" if word == "$API" else word
                    for word in template.get("ARGUMENTS", "").split()).strip()


def _encode(data):
    return base64.encodebytes(data).decode()


def _read(texts, pipe):
    kept = texts.setdefault(pipe, [])
    with contextlib.suppress(ValueError, OSError):
        while data := os.read(pipe.fileno(), 65536):
            kept.append(data)


def _kill(process, number):
    with contextlib.suppress(OSError):
        os.killpg(process.pid, number)
