# SPDX-License-Identifier: GPL-2.0-or-later
"""Run a program as the root of a user namespace (user_namespaces(7)), and as nobody outside of it.

mmdebstrap(1) runs the maintainer scripts of a suite as root of a chroot, and a root of the box
leaves a chroot at will. For an ordinary user its unshare mode has a namespace; for root it has
none, so this file makes one: run as a program, with the command as its arguments, it becomes
number 0 of a namespace in which all numbers stand for ones that nobody has on the box.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from collections.abc import Sequence
from types import FrameType

# Numbers of containers, by the table of systemd (UIDS-GIDS), above all that /etc/subuid gives out
# by itself (SUB_UID_MAX of login.defs(5)).
FIRST, COUNT = 1_800_000_000, 65_536
FORBIDDEN = 125  # exit status: the kernel gives no namespace
_CLONE_NEWUSER = 0x10000000


def main(command: Sequence[str]) -> int:
    """Run `command`, which begins with the path of a program; its exit status, or FORBIDDEN."""
    ready, go = os.pipe(), os.pipe()
    child = os.fork()
    if child == 0:
        os.close(ready[0])
        os.close(go[1])
        try:
            _inside(ready[1], go[0], command)
        except OSError as error:
            os.write(2, f"error: {error.strerror}: {error.filename or ''}\n".encode())
        finally:
            os._exit(FORBIDDEN)
    os.close(ready[1])
    os.close(go[0])

    def forward(number: int, _: FrameType | None) -> None:
        os.kill(child, number)

    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, forward)
    if os.read(ready[0], 1):
        try:
            # Only a process outside, with the right, may give it more than one number.
            for kind in ("uid", "gid"):
                with open(f"/proc/{child}/{kind}_map", "w", encoding="ascii") as file:  # noqa: PTH123
                    file.write(f"0 {FIRST} {COUNT}\n")
            os.write(go[1], b"x")
        except OSError as error:
            os.write(2, f"error: {error.strerror}: {error.filename}\n".encode())
    os.close(go[1])
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def _inside(ready: int, go: int, command: Sequence[str]) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(_CLONE_NEWUSER):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), "unshare(CLONE_NEWUSER)")
    os.write(ready, b"x")
    if not os.read(go, 1):  # no numbers were given
        return
    os.setgroups([])
    os.setresgid(0, 0, 0)
    os.setresuid(0, 0, 0)
    os.umask(0o022)
    os.chdir("/")
    # No import from here on: the interpreter may lie where only the box's root can read.
    os.execve(command[0], list(command), dict(os.environ))  # noqa: S606


if __name__ == "__main__":
    status = main(sys.argv[1:])
    sys.exit(status if status >= 0 else 128 - status)
