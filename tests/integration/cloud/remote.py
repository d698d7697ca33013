# SPDX-License-Identifier: Apache-2.0
"""ssh and scp between the machines: they ask the test's process, which may enter them (server.py)."""
import getopt
import json
import os
import pathlib
import shlex
import socket
import sys
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
    request = {"op": "ssh", "host": host, "user": user, "command": " ".join(words[1:]) or "sh"}
    answer = call(context, request, (stdin, 1, 2))
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
        from tree import pack
        packed, faults = pack(source)
        target = path.rstrip("/") + "/" + os.path.basename(source.rstrip("/")) if path.endswith("/") else path
        request = {"op": "receive", "host": host, "user": user, "target": target, "keep": True}
        status, _, err = capture(context, request, packed)
        complain("\n".join([*faults, err]))
        return 1 if faults else min(status, 1) if status != 255 else 255
    mode = oct(os.stat(source).st_mode & 0o777)[2:]
    name = shlex.quote(path or ".")
    command = (f"t={name}; case $t in '~/'*) t=$HOME/${{t#'~/'}} ;; esac; "
               f'[ -d "$t" ] && t=$t/{shlex.quote(os.path.basename(source))}; cat > "$t" && chmod {mode} "$t"')
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
