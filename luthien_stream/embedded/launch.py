"""Become a server: give up root, die with the parent, then run the server's own program.

Run as a script between the parent and the server (`launch.py PARENT SIGNAL UID GID WATCH PROGRAM ARGUMENT...`), so that
nothing runs in a forked child of a process with threads. It imports nothing of the package: after the change of user
the package may not be readable.
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import threading

PR_SET_PDEATHSIG = 1


def give_up_root(uid: int, gid: int) -> None:
    """Become user `uid` for good; -1 keeps the user."""
    if uid >= 0:
        os.setgroups([])
        os.setgid(gid)
        os.setuid(uid)


def die_with_parent(parent: int, number: int) -> None:
    """Ask Linux to send signal `number` when the parent ends; comes after a change of user, which forgets it."""
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, number, 0, 0, 0)
    if os.getppid() != parent:
        sys.exit("the parent has ended before its child began")


def watch(program: list[str], fd: int, number: int) -> int:
    """Run `program` until the pipe `fd` closes, which it does with the parent; return its exit code.

    For systems whose kernel does not tell a child that its parent ended.
    """
    child = subprocess.Popen(program, close_fds=False)
    for name in (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT):
        signal.signal(name, lambda received, _frame: child.send_signal(received))

    def wait_for_the_end() -> None:
        os.read(fd, 1)
        child.send_signal(number)

    threading.Thread(target=wait_for_the_end, daemon=True).start()
    return child.wait()


def main(arguments: list[str]) -> None:
    """Do all of it; it ends in another program or in `sys.exit`."""
    parent, number, uid, gid, fd = map(int, arguments[:5])
    program = arguments[5:]
    os.umask(0o077)
    try:
        give_up_root(uid, gid)
        if fd >= 0:
            sys.exit(watch(program, fd, number))
        die_with_parent(parent, number)
        os.execv(program[0], program)
    except OSError as error:
        sys.exit(f"cannot start {program[0]}: {error}")


if __name__ == "__main__":
    main(sys.argv[1:])
