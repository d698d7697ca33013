# SPDX-License-Identifier: Apache-2.0
"""How a tree gets from the front-end onto a host: as rsync -L --delete would copy it, each side with its user's rights."""
import io
import os
import pathlib
import shutil
import sys
import tarfile

from remote import complain


def pack(tree):
    """The tree as tar, links as the files they lead to; and what could not be read, as the copying program says it."""
    out, faults = io.BytesIO(), []
    with tarfile.open(fileobj=out, mode="w", dereference=True) as tar:
        def add(path, name):
            try:
                if os.path.isdir(path):
                    entries = sorted(os.listdir(path))
                    tar.add(path, name, recursive=False)
                    for entry in entries:
                        add(os.path.join(path, entry), f"{name}/{entry}")
                else:
                    with open(path, "rb") as file:  # asked first: half an entry would spoil the rest
                        info = tar.gettarinfo(path, name)
                        info.type, info.linkname, info.size = tarfile.REGTYPE, "", os.fstat(file.fileno()).st_size
                        tar.addfile(info, file)
            except OSError as error:
                faults.append(f'rsync: [sender] send_files failed to open "{path}": {error.strerror} ({error.errno})')
        add(str(tree), ".")
    return out.getvalue(), faults


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
