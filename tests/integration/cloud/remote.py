# SPDX-License-Identifier: Apache-2.0
"""ssh and scp between the machines: they ask the test's process, which may enter them (server.py)."""
import getopt
import json
import os
import pathlib
import shlex
import shutil
import socket
import sys
import tarfile
import threading

from cli import Failure


def call(context, request, descriptors=(0, 1, 2)):
    """Asks the test's process; descriptors are what the command there reads and writes. Gives its answer."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as server:
        try:
            server.connect(str(context.directory / "socket"))
            socket.send_fds(server, [json.dumps(request).encode() + b"\n"], list(descriptors))
            answer = json.loads(server.makefile().readline() or '{"error": "the stand-in has gone"}')
        except OSError as error:
            raise Failure(f"the stand-in does not answer: {error}") from error
    if "error" in answer:
        raise Failure(answer["error"])
    return answer


def complain(text):
    if text:
        print(text, end="" if text.endswith("\n") else "\n", file=sys.stderr, flush=True)


def capture(context, request, data=b""):
    """The same with bytes on standard input: (status, output, errors)."""
    pipes = [os.pipe() for _ in range(3)]
    (read_in, write_in), (read_out, write_out), (read_err, write_err) = pipes
    texts = {}

    def feed():
        try:
            with open(write_in, "wb") as pipe:
                pipe.write(data)
        except BrokenPipeError:
            pass

    def drain(name, descriptor):
        with open(descriptor, "rb") as pipe:
            texts[name] = pipe.read().decode(errors="replace")

    threads = [threading.Thread(target=feed), threading.Thread(target=drain, args=("out", read_out)),
               threading.Thread(target=drain, args=("err", read_err))]
    for thread in threads:
        thread.start()
    try:
        answer = call(context, request, (read_in, write_out, write_err))
        status, said = answer["status"], answer.get("say", "")
    except Failure as failure:
        status, said = 255, f"{failure}\n"
    for descriptor in (read_in, write_out, write_err):
        os.close(descriptor)
    for thread in threads:
        thread.join()
    return status, texts["out"], texts["err"] + said


def ssh(context, words):
    """ssh [options] [user@]host command…"""
    try:
        opts, words = getopt.getopt(words, "46AaCfGgKkMNnqsTtVvXxYyB:b:c:D:E:e:F:I:i:J:L:l:m:O:o:p:Q:R:S:W:w:")
    except getopt.GetoptError as error:
        raise Failure(f"unknown option -- {error.opt}") from error
    if not words:
        raise Failure("usage: ssh destination [command [argument ...]]")
    user, _, host = words[0].rpartition("@")
    user = dict(opts).get("-l", user)
    stdin = os.open("/dev/null", os.O_RDONLY) if ("-n", "") in opts else 0
    answer = call(context, {"op": "ssh", "host": host, "user": user, "command": " ".join(words[1:]) or "sh"}, (stdin, 1, 2))
    complain(answer.get("say"))
    return answer["status"]


def scp(context, words):
    """scp [-rpq…] source… target, one side of which is a host's."""
    try:
        opts, words = getopt.getopt(words, "346ABCOpqRrsTvc:D:F:i:J:l:o:P:S:X:")
    except getopt.GetoptError as error:
        raise Failure(f"unknown option -- {error.opt}") from error
    *sources, target = words
    user_host, colon, path = target.partition(":")
    recursive = "-r" in dict(opts)
    if colon and "/" not in user_host:
        return max(_put(context, source, user_host, path, recursive) for source in sources)
    return max(_fetch(context, source, target) for source in sources)


def _put(context, source, user_host, path, recursive):
    user, _, host = user_host.rpartition("@")
    if not os.path.exists(source):
        complain(f"{source}: No such file or directory")
        return 1
    if os.path.isdir(source):
        if not recursive:
            complain(f"{source}: not a regular file")
            return 1
        from onehost import pack
        packed, faults = pack(source)
        target = path.rstrip("/") + "/" + os.path.basename(source.rstrip("/")) if path.endswith("/") else path
        status, _, err = capture(context, {"op": "receive", "host": host, "user": user, "target": target, "keep": True}, packed)
        complain("\n".join([*faults, err]))
        return 1 if faults else min(status, 1) if status != 255 else 255
    mode = oct(os.stat(source).st_mode & 0o777)[2:]
    name = shlex.quote(path or ".")
    command = (f"t={name}; case $t in '~/'*) t=$HOME/${{t#'~/'}} ;; esac; [ -d \"$t\" ] && t=$t/{shlex.quote(os.path.basename(source))}; "
               f"cat > \"$t\" && chmod {mode} \"$t\"")
    status, _, err = capture(context, {"op": "ssh", "host": host, "user": user, "command": command},
                             pathlib.Path(source).read_bytes())
    complain(err)
    return status


def _fetch(context, source, target):
    user_host, _, path = source.partition(":")
    user, _, host = user_host.rpartition("@")
    if os.path.isdir(target):
        target = os.path.join(target, os.path.basename(path))
    with open(target, "wb") as file:
        answer = call(context, {"op": "ssh", "host": host, "user": user, "command": f"cat {shlex.quote(path)}"},
                      (0, file.fileno(), 2))
    complain(answer.get("say"))
    return answer["status"]


# ---- on the host ---------------------------------------------------------------------------------------


def one_receive(context, words):
    """one-receive TARGET [--keep]: the tree on standard input takes the place of what is below TARGET. --keep: what is not
    in it stays. A file is written beside and renamed: one that runs is not disturbed."""
    top = pathlib.Path(context.root + words[0])
    there, status = {"."}, 0
    try:
        with tarfile.open(fileobj=sys.stdin.buffer, mode="r|") as tar:
            for info in tar:
                there.add(os.path.normpath(info.name))
                _place(tar, info, top / info.name)
    except (OSError, tarfile.TarError) as error:
        complain(f"rsync: [receiver] {error}")
        status = 23
    if "--keep" not in words and not status:
        status = _prune(top, there)
    return status


def _place(tar, info, path):
    if info.isdir():
        if path.is_symlink() or (path.exists() and not path.is_dir()):
            path.unlink()
        path.mkdir(exist_ok=True, parents=True)
        path.chmod(info.mode | 0o700)
        return
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    new = path.with_name(f".{path.name}.new")
    with tar.extractfile(info) as source, open(new, "wb") as file:
        shutil.copyfileobj(source, file)
    os.chmod(new, info.mode)
    os.utime(new, (info.mtime, info.mtime))
    os.replace(new, path)


def _prune(top, there):
    try:
        for directory, names, files in os.walk(top, topdown=False):
            for name in names + files:
                path = os.path.join(directory, name)
                if os.path.relpath(path, top) not in there:
                    os.rmdir(path) if os.path.isdir(path) and not os.path.islink(path) else os.unlink(path)
    except OSError as error:
        complain(f"rsync: [receiver] delete_file: {error}")
        return 23
    return 0
