# SPDX-License-Identifier: Apache-2.0
"""A machine of the cloud: what runs on it, and what is written there. Machine is one in namespaces of its own; Directory
stands for one where nobody is root: a tree below a directory, whose programs run beside it."""
import contextlib
import ctypes
import hashlib
import os
import pathlib
import select
import shutil
import signal
import socket
import stat
import subprocess
import sys
import threading
import time

ONEADMIN = 9869
HOME = "/var/lib/one"
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
EMPTY = ("/var/tmp", "/tmp", "/etc/one", "/var/lib/one", "/var/log/one", "/usr/lib/one", "/usr/share/one", "/run/one-standin")
MOUNT = "/run/one-standin"  # the cloud's own directory, on every machine
NOISE = ("/run", "/tmp", "/root", "/var/cache", "/dev", "/proc", "/sys")  # of which changes() says nothing
libc = ctypes.CDLL(None, use_errno=True)
CLONE_NEWNET = 0x40000000


def python():
    """An interpreter that every user may start."""
    return "/usr/bin/python3" if os.access("/usr/bin/python3", os.X_OK) else sys.executable


class _Runs:
    """Both kinds: how a command is run."""

    def run(self, *words, user="root", timeout=60, check=None, **options):
        """A command to its end, with its output as text. check: the status it must have."""
        options = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True,
                   "errors": "surrogateescape", **options}
        if "input" in options:
            options["stdin"] = subprocess.PIPE
        data = options.pop("input", None)
        with self.popen(*words, user=user, **options) as process:
            try:
                out, err = process.communicate(data, timeout=timeout)
            except BaseException:
                process.kill()
                raise
        got = subprocess.CompletedProcess([str(word) for word in words], process.returncode, out, err)
        if check is not None and got.returncode != check:
            raise AssertionError(f"{self.name}, as {user}: {' '.join(got.args)[:300]}: exit status {got.returncode}\n"
                                 f"{out}\n{err}")
        return got

    @staticmethod
    def environment(user, more):
        home, name = (HOME, user) if user == "oneadmin" else ("/root", user)
        return {"HOME": home, "USER": name, "LOGNAME": name, "PATH": PATH, "LANG": "C.UTF-8", **(more or {})}

    def read(self, path):
        return self.path(path).read_text(encoding="utf-8")

    def write(self, path, text, mode=0o644, user="oneadmin"):
        """A file, with the directories above it, which belong to the same user where they are new."""
        target = self.path(path)
        missing = [above for above in target.parents if not above.exists()]
        target.parent.mkdir(parents=True, exist_ok=True)
        for made in [*missing, target]:
            if made is target:
                made.write_bytes(text if isinstance(text, bytes) else text.encode())
                made.chmod(mode)
            self.own(made, user)

    def own(self, path, user="oneadmin"):
        if os.geteuid() == 0 and user == "oneadmin":
            os.chown(path, ONEADMIN, ONEADMIN, follow_symlinks=False)


class Machine(_Runs):
    prefix = ""  # in front of paths there: none, they are the real ones
    state = MOUNT

    def __init__(self, directory, name, cloud, binds=()):
        self.name, self.directory, self.address = name, pathlib.Path(directory), None
        self.directory.mkdir()
        pairs = [f"{cloud}={MOUNT}", *(bind if "=" in str(bind) else f"{bind}={bind}" for bind in binds)]
        self.holder = subprocess.Popen(
            [sys.executable, "-IS", pathlib.Path(__file__).with_name("namespaces.py"), self.directory, name,
             ":".join(EMPTY), ":".join(pairs)], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.pid = self.holder.pid
        if self.holder.stdout.readline() != b"ready\n":
            self.holder.wait(10)
            raise RuntimeError(f"no machine {name}: see the message above")
        for path in ("/tmp", "/var/tmp"):
            self.path(path).chmod(0o1777)
        self._accounts()
        self._open_log()

    def _accounts(self):
        for file, line in (("/etc/passwd", f"oneadmin:x:{ONEADMIN}:{ONEADMIN}::{HOME}:/bin/bash"),
                           ("/etc/group", f"oneadmin:x:{ONEADMIN}:"), ("/etc/shadow", "oneadmin:*:19000:0:99999:7:::")):
            lines = [each for each in self.read(file).splitlines() if not each.startswith("oneadmin:")]
            mode, owner = self.path(file).stat().st_mode & 0o777, self.path(file).stat()
            self.path(file).write_text("\n".join([*lines, line, ""]))
            self.path(file).chmod(mode)
            os.chown(self.path(file), owner.st_uid, owner.st_gid)

    def _open_log(self):
        """Its syslog: kept until log() takes it."""
        self.syslog = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.syslog.bind(str(self.path("/dev/log")))
        self.path("/dev/log").chmod(0o666)
        self.syslog.setblocking(False)
        self.said, self.hearing = [], threading.Lock()
        self.closing, self.end = socket.socketpair()
        self.listener = threading.Thread(target=self._listen, daemon=True)
        self.listener.start()

    def _listen(self):
        while self.closing not in select.select([self.syslog, self.closing], [], [])[0]:
            self._hear()

    def _hear(self):
        with self.hearing, contextlib.suppress(BlockingIOError):
            while True:
                self.said.append(self.syslog.recv(65536).decode("utf-8", "replace").rstrip("\n\0"))

    def log(self):
        """What was sent to its syslog since the last call: the messages, each with its <priority> in front."""
        self._hear()
        with self.hearing:
            said, self.said = self.said, []
        return said

    def path(self, path):
        """Where a file of the machine is, seen from here."""
        return pathlib.Path(f"/proc/{self.pid}/root") / str(path).lstrip("/")

    def popen(self, *words, user="root", env=None, cwd=None, clear=False, **options):
        """Starts a command there. env: beside the user's own, or instead of it with clear."""
        env = dict(env or {}) if clear else self.environment(user, env)
        ids = ("0", "0") if user == "root" else (str(ONEADMIN), str(ONEADMIN)) if user == "oneadmin" else ("65534", "65534")
        cwd = cwd or (env.get("HOME") if user == "oneadmin" else "/")
        return subprocess.Popen(
            ["/usr/bin/nsenter", "-t", str(self.pid), "-m", "-n", "-u", "-r", "-w", "-S", ids[0], "-G", ids[1], "/usr/bin/env",
             "-i", "-C", str(cwd), *(f"{name}={value}" for name, value in env.items()), *map(str, words)], **options)

    @contextlib.contextmanager
    def network(self):
        """This thread's sockets are made in the machine's network meanwhile, and stay there."""
        with open("/proc/thread-self/ns/net", "rb") as here, open(f"/proc/{self.pid}/ns/net", "rb") as there:
            if libc.setns(there.fileno(), CLONE_NEWNET):
                raise OSError(ctypes.get_errno(), "setns")
            try:
                yield
            finally:
                if libc.setns(here.fileno(), CLONE_NEWNET):
                    raise OSError(ctypes.get_errno(), "setns back")

    def changes(self, *below):
        """What differs from the machine as it was before anything was written: {path: what is there}, a text that says
        kind, mode, owner and content. below: these directories alone; else all but NOISE. A difference of two of these is
        what was done in between."""
        layer = f"/proc/{self.pid}/fd/3"
        if below:
            paths = [path for top in below if os.path.lexists(layer + top) for path in (top, *_below(layer, top))]
        else:
            paths = _below(layer, "", NOISE)
        texts = ((path, _describe(layer + path, path)) for path in paths)
        return {path: text for path, text in texts if text}

    def processes(self):
        """Pids of what runs there, but the holder."""
        ours = os.readlink(f"/proc/{self.pid}/ns/mnt")
        found = []
        for entry in os.listdir("/proc"):
            with contextlib.suppress(OSError):
                if entry.isdigit() and int(entry) != self.pid and os.readlink(f"/proc/{entry}/ns/mnt") == ours:
                    found.append(int(entry))
        return found

    def close(self):
        if self.holder.poll() is None:
            for number in (signal.SIGTERM, signal.SIGKILL):
                self._end(number)
        self.end.send(b"x")
        self.listener.join(5)
        for each in (self.syslog, self.closing, self.end):
            each.close()
        self.holder.stdin.close()
        self.holder.stdout.close()
        self.holder.wait(10)
        shutil.rmtree(self.directory, ignore_errors=True)

    def _end(self, number):
        """Ends all that runs there; a second for those that end by themselves."""
        for pid in self.processes():
            with contextlib.suppress(OSError):
                os.kill(pid, number)
        deadline = time.monotonic() + 1
        while self.processes() and time.monotonic() < deadline:
            time.sleep(0.01)


def _below(layer, top, without=()):
    """Paths of all that is in a directory of the layer, at any depth. without: directories that are not looked into."""
    try:
        with os.scandir(layer + top) as entries:
            found = [(f"{top}/{entry.name}", entry.is_dir(follow_symlinks=False)) for entry in entries]
    except (FileNotFoundError, NotADirectoryError):  # it has gone meanwhile, or is none
        return
    for path, is_directory in found:
        if path not in without:
            yield path
            if is_directory:
                yield from _below(layer, path, without)


_sums = {}


def _sum(real, key):
    """key: what tells a file's content apart."""
    if key not in _sums:
        with open(real, "rb") as file:
            _sums[key] = hashlib.sha256(file.read()).hexdigest()
    return _sums[key]


def _describe(real, path):
    found = os.lstat(real)
    owner = f"{found.st_mode & 0o7777:04o} {found.st_uid}:{found.st_gid}"
    if stat.S_ISCHR(found.st_mode) and found.st_rdev == 0:
        return "removed"
    if stat.S_ISDIR(found.st_mode):
        try:
            below = os.lstat(path)  # a directory of the machine's, in which something was made once
        except OSError:
            return f"directory {owner}"
        same = stat.S_ISDIR(below.st_mode) and (below.st_mode, below.st_uid, below.st_gid) == (
            found.st_mode, found.st_uid, found.st_gid)
        return None if same else f"directory {owner}"
    if stat.S_ISLNK(found.st_mode):
        return f"link {os.readlink(real)}"
    if stat.S_ISREG(found.st_mode):
        return f"file {owner} {_sum(real, (found.st_dev, found.st_ino, found.st_mtime_ns, found.st_ctime_ns, found.st_size))}"
    return f"other {owner}"


class Directory(_Runs):
    """Paths there have the directory in front; programs are told of it by DESTDIR."""

    def __init__(self, directory, name, cloud, **_):
        self.name, self.directory, self.address = name, pathlib.Path(directory), "127.0.0.1"
        self.directory.mkdir()
        self.prefix, self.state = str(self.directory / "root"), str(cloud)
        for path in EMPTY[:-1]:
            pathlib.Path(self.prefix + path).mkdir(parents=True, exist_ok=True)
        for path in ("/tmp", "/var/tmp"):
            self.path(path).chmod(0o1777)
        self.started, self.lock = [], threading.Lock()

    def path(self, path):
        return pathlib.Path(self.prefix) / str(path).lstrip("/")

    def popen(self, *words, user="root", env=None, cwd=None, clear=False, **options):
        """As oneadmin only where this process is root."""
        env = dict(env or {}) if clear else {**self.environment(user, env), "HOME": str(self.path(HOME))}
        env["PATH"] = f"{self.prefix}/usr/bin:{env.get('PATH', PATH)}"
        env["DESTDIR"] = self.prefix
        if os.geteuid() == 0 and user == "oneadmin":
            options |= {"user": ONEADMIN, "group": ONEADMIN, "extra_groups": []}
        cwd = cwd or (HOME if user == "oneadmin" else "/")
        process = subprocess.Popen([str(word) for word in words], env=env, cwd=self.path(cwd), **options)
        with self.lock:
            self.started.append(process)
        return process

    network = contextlib.contextmanager(lambda self: iter([None]))

    def close(self):
        for process in self.started:
            if process.poll() is None:
                process.kill()
                process.wait(10)
        shutil.rmtree(self.directory, ignore_errors=True)
