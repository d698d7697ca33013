# SPDX-License-Identifier: Apache-2.0
"""crew.py STATE SOCKET   runs the commands of one front-end, which caller.c calls: everything is imported already, so that a
command costs a fork and not the start of an interpreter. Each runs as the user who called it, with what they had open."""
import array
import contextlib
import importlib
import os
import pathlib
import select
import selectors
import socket
import struct
import sys
import threading
import traceback

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

import command  # noqa: E402

FDS = 4  # 0, 1, 2, and the directory


def serve(state, path):
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(path)
    os.chmod(path, 0o666)
    listener.listen(64)
    for name in set(command.MODULES.values()):
        importlib.import_module(name)
    print("ready", flush=True)
    watched = selectors.DefaultSelector()
    watched.register(listener, selectors.EVENT_READ)
    running = {}  # of each command the descriptor that says it has ended: (connection, pid)
    while True:
        for key, _ in watched.select():
            if key.fileobj is listener:
                connection, _ = listener.accept()
                pid = os.fork()
                if not pid:
                    watched.close()
                    listener.close()
                    _child(state, connection)
                ended = os.pidfd_open(pid)
                running[ended] = connection, pid
                watched.register(ended, selectors.EVENT_READ)
            else:
                watched.unregister(key.fileobj)
                connection, pid = running.pop(key.fileobj)
                _, status = os.waitpid(pid, 0)
                os.close(key.fileobj)
                with connection, contextlib.suppress(OSError):
                    code = os.waitstatus_to_exitcode(status)
                    connection.sendall(bytes([code if code >= 0 else 255]))


def _child(state, connection):
    status = 1
    try:
        status = _run(state, connection)
    except BaseException:  # of the stand-in itself: it shall be seen, and the crew go on
        traceback.print_exc()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError):
            stream.flush()
    os._exit(status if isinstance(status, int) else 1)


def _run(state, connection):
    _, uid, gid = struct.unpack("3i", connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
    mask, ancillary, _, _ = connection.recvmsg(4, socket.CMSG_SPACE(4 * FDS))
    descriptors = array.array("i", b"".join(data for _, _, data in ancillary))
    with connection.makefile("rb") as data:
        text = data.read()
    words, text = _strings(text)
    environment, _ = _strings(text)
    _end_with(connection)
    for target in range(3):
        os.dup2(descriptors[target], target)
    os.fchdir(descriptors[3])
    for each in descriptors:
        os.close(each)
    os.umask(struct.unpack("I", mask)[0])
    os.setgroups([])
    os.setresgid(gid, gid, gid)
    os.setresuid(uid, uid, uid)
    os.environ.clear()
    os.environ.update(dict(each.split("=", 1) for each in environment if "=" in each))
    return command.main([state, "", os.path.basename(words[0]), *words[1:]])


def _strings(text):
    count, = struct.unpack_from("I", text)
    parts = text[4:].split(b"\0", count)
    return [os.fsdecode(part) for part in parts[:count]], parts[count]


def _end_with(connection):
    """Whoever called may be gone, by a timeout perhaps: then so goes what was called."""
    def wait():
        poll = select.poll()
        poll.register(connection, 0)
        poll.poll()
        os._exit(255)
    threading.Thread(target=wait, daemon=True).start()


if __name__ == "__main__":
    serve(*sys.argv[1:])
