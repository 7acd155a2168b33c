# SPDX-License-Identifier: GPL-2.0-or-later
"""The jail of a trial: what runs as the root of a tried package, and piuparts outside of it.

This file is a program of its own that runs inside of the judge's container, with Python 3.9 and
its library alone. It makes two user namespaces (user_namespaces(7)), one in the other:

- the judge: piuparts as root of a user namespace whose users are none of the machine's. It looks
  at the tried root as at files, and follows no symbolic link there.
- the jail: everything that piuparts runs by `chroot`. Its own users, processes, network, mounts
  and host name; the tried root is all that it sees. It mounts nothing and makes no namespace.

`jail.py judge SIZE COMMAND...` runs a command as the judge; `jail.py probe` tries whether the
machine lets it. The rest stands in for programs that piuparts calls: chroot, lsof, debsums.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import re
import resource
import signal
import socket
import struct
import sys
import time
import warnings  # noqa: F401 (for os.execvp(), which would look for it in the jail)
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

TREES = "/srv/tmp"  # where piuparts keeps the roots that it tries packages in
SHOWN = ("/trial", "/downloads")  # what a tried root sees of the container, for reading
PROCESSES = 2048  # of a tried root at once: the judge's container has room for more
PATIENCE = 900  # seconds, for a comparison of files; the suite's whole roots take few
FAILED = 97  # the exit status where the machine does not allow a jail
WORD = "jail: "  # what the line begins with that says why
STATE = "/run/jail"

# unistd_64.h: what neither a judge nor a package needs, and the kernel's inside would offer.
DENIED = {
    "_sysctl": 156, "acct": 163, "add_key": 248, "adjtimex": 159, "bpf": 321,
    "clock_adjtime": 305, "clock_settime": 227, "create_module": 174, "delete_module": 176,
    "fanotify_init": 300, "finit_module": 313, "get_kernel_syms": 177, "init_module": 175,
    "io_uring_enter": 426, "io_uring_register": 427, "io_uring_setup": 425, "ioperm": 173,
    "iopl": 172, "kcmp": 312, "kexec_file_load": 320, "kexec_load": 246, "keyctl": 250,
    "lookup_dcookie": 212, "migrate_pages": 256, "modify_ldt": 154, "move_pages": 279,
    "nfsservctl": 180, "open_by_handle_at": 304, "perf_event_open": 298, "pidfd_getfd": 438,
    "process_madvise": 440, "process_vm_readv": 310, "process_vm_writev": 311, "ptrace": 101,
    "query_module": 178, "quotactl": 179, "quotactl_fd": 443, "reboot": 169, "request_key": 249,
    "settimeofday": 164, "swapoff": 168, "swapon": 167, "sysfs": 139, "syslog": 103,
    "uselib": 134, "userfaultfd": 323, "ustat": 136, "vhangup": 153,
}  # fmt: skip
# What makes a jail, and what may not happen in one.
MAKING = {
    "fsconfig": 431, "fsmount": 432, "fsopen": 430, "fspick": 433, "mount": 165,
    "mount_setattr": 442, "move_mount": 429, "open_tree": 428, "pivot_root": 155,
    "setdomainname": 171, "sethostname": 170, "setns": 308, "umount2": 166, "unshare": 272,
}  # fmt: skip
_CLONE, _CLONE3, _SOCKET, _LAST = 56, 435, 41, 462
_X86_64, _X32 = 0xC000003E, 0x40000000  # audit.h, unistd.h

_NEWNS, _NEWCGROUP, _NEWUTS, _NEWIPC = 0x20000, 0x2000000, 0x4000000, 0x8000000
_NEWUSER, _NEWPID, _NEWNET = 0x10000000, 0x20000000, 0x40000000
_SPACES = _NEWNS | _NEWCGROUP | _NEWUTS | _NEWIPC | _NEWPID | _NEWNET
_NAMES = ("user", "mnt", "pid", "net", "ipc", "uts", "cgroup")

_RDONLY, _NOSUID, _NODEV, _NOEXEC, _REMOUNT, _NOSYMFOLLOW = 1, 2, 4, 8, 32, 256
_BIND, _REC, _PRIVATE, _DETACH = 4096, 16384, 1 << 18, 2

# capabilities(7): what a root has in a container too, without mknod.
_KEPT = {
    "chown": 0, "dac_override": 1, "fowner": 3, "fsetid": 4, "kill": 5, "setgid": 6,
    "setuid": 7, "setpcap": 8, "net_bind_service": 10, "net_raw": 13, "sys_chroot": 18,
    "audit_write": 29, "setfcap": 31,
}  # fmt: skip
_PDEATHSIG, _SET_DUMPABLE, _SECCOMP, _CAPBSET_READ, _CAPBSET_DROP = 1, 4, 22, 23, 24

_SCRATCH = ("/run", "/tmp", "/var/tmp", "/dev/shm")
_NODES = ("null", "zero", "full", "random", "urandom", "tty")
_MASKED = (
    "acpi", "asound", "bus", "irq", "kcore", "keys", "kmsg", "latency_stats", "sched_debug",
    "scsi", "sysrq-trigger", "timer_list",
)  # fmt: skip

_libc = ctypes.CDLL(None, use_errno=True)


class JailError(Exception):
    """The machine does not allow a step of the jail."""


def _call(what: str, result: int) -> int:
    if result < 0:
        raise JailError(f"{what}: {os.strerror(ctypes.get_errno())}")
    return result


def _mount(source: str, target: str, kind: str, flags: int = 0, data: str = "") -> None:
    done = _libc.mount(
        source.encode(), target.encode(), kind.encode(), ctypes.c_ulong(flags), data.encode()
    )
    _call(f"mounting {kind or source} on {target}", done)


def _bind(source: str, target: str, flags: int) -> None:
    _mount(source, target, "", _BIND)
    _mount("", target, "", _BIND | _REMOUNT | flags)


def _prctl(what: int, *values: int) -> int:
    numbers = [ctypes.c_ulong(value) for value in (*values, 0, 0, 0, 0)[:4]]
    return int(_libc.prctl(what, *numbers))


# Users


def _ranges(kind: str) -> list[tuple[int, int]]:
    """The user or group numbers that there are in this namespace: (first, how many)."""
    with open(f"/proc/self/{kind}_map") as lines:
        found = [line.split() for line in lines]
    return [(int(first), int(count)) for first, _, count in found]


def _map(kind: str) -> str:
    """The map for a judge's users: numbers that nobody else in the container has."""
    for wanted, count in ((100000, 65536), (1, 65535)):
        if any(a <= wanted and wanted + count <= a + n for a, n in _ranges(kind)):
            return f"0 {wanted} {count}"
    raise JailError(f"the engine gives its containers fewer than 65536 {kind} numbers")


def _namespace(users: str, groups: str) -> int:
    """Fork: 0 in the child, which is root of a new user namespace, and its number in the parent."""
    told, heard = os.pipe(), os.pipe()
    pid = os.fork()
    if not pid:
        os.close(told[0])
        os.close(heard[1])
        _call("making a user namespace", _libc.unshare(_NEWUSER))
        os.write(told[1], b".")
        if os.read(heard[0], 1) != b".":
            os._exit(FAILED)
        os.close(told[1])
        os.close(heard[0])
        os.setgroups([])
        os.setresgid(0, 0, 0)
        os.setresuid(0, 0, 0)
        return 0
    os.close(told[1])
    os.close(heard[0])
    if os.read(told[0], 1) != b".":
        os.waitpid(pid, 0)
        raise JailError("no user namespace could be made")
    try:
        for kind, text in (("uid", users), ("gid", groups)):
            with open(f"/proc/{pid}/{kind}_map", "w") as out:
                out.write(text)
    except OSError as error:
        os.close(heard[1])
        os.waitpid(pid, 0)
        raise JailError(f"mapping the users of a namespace: {error.strerror}") from None
    os.write(heard[1], b".")
    os.close(heard[1])
    os.close(told[0])
    return pid


def _guarded(work: Callable[[], int]) -> None:
    """Run `work` in a forked child, and end it: nothing of the parent runs there."""
    try:
        status = work()
    except JailError as error:
        print(f"{WORD}{error}", file=sys.stderr, flush=True)
        status = FAILED
    except BaseException as error:
        print(f"{WORD}{type(error).__name__}: {error}", file=sys.stderr, flush=True)
        status = FAILED
    finally:
        sys.stdout.flush()
        os._exit(status)


def _await(pid: int) -> int:
    """Reap whatever ends until `pid` does; its exit status, as sh(1) gives it."""
    while True:
        try:
            ended, status = os.waitpid(-1, 0)
        except InterruptedError:
            continue
        if ended == pid:
            code = os.waitstatus_to_exitcode(status)
            return code if code >= 0 else 128 - code


# The judge


def judge(size: str, command: list[str]) -> int:
    """Run a command as the judge; its exit status. size: of the file system for tried roots."""
    users, groups = _map("uid"), _map("gid")
    pid = _namespace(users, groups)
    if not pid:
        _guarded(lambda: _first(size, command))
    return _await(pid)


def _first(size: str, command: list[str]) -> int:
    _prctl(_PDEATHSIG, signal.SIGKILL)
    _call("making namespaces", _libc.unshare(_SPACES))
    pid = os.fork()
    if not pid:
        _guarded(lambda: _outside(size, command))
    return _await(pid)


def _outside(size: str, command: list[str]) -> int:
    """The first process of the judge: mounts, starts the command, and buries what ends."""
    _prctl(_PDEATHSIG, signal.SIGKILL)
    _mount("", "/", "", _REC | _PRIVATE)
    _mount("proc", "/proc", "proc", _NOSUID | _NODEV | _NOEXEC)
    for folder in _SCRATCH:
        _mount("tmpfs", folder, "tmpfs", _NOSUID | _NODEV, "size=256m,mode=1777")
    os.makedirs(STATE, 0o700)
    _mount("tmpfs", TREES, "tmpfs", _NODEV | _NOSYMFOLLOW, f"size={size},mode=755")
    os.symlink("/", f"{TREES}/link")
    if os.path.exists(f"{TREES}/link/proc"):
        raise JailError("this kernel can't refuse symbolic links (Linux 5.10 and later can)")
    os.unlink(f"{TREES}/link")
    pid = os.fork()
    if not pid:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        if command == ["probe"]:
            os.makedirs(f"{TREES}/probe")
            command = [sys.executable, "-I", __file__, "chroot", f"{TREES}/probe"]
        os.execvp(command[0], command)
    return _await(pid)


def follow(command: list[str]) -> int:
    """Run a program that compares the files of a tried root, and has to follow its links.

    debsums gives names of files to a shell, so it is held as what it looks at: it can change
    nothing, and reaches no process but its own.
    """
    pid = _namespace(_same("uid"), _same("gid"))
    if not pid:
        _guarded(lambda: _looking(command))
    for number in (signal.SIGTERM, signal.SIGALRM):
        signal.signal(number, lambda *_: os.kill(pid, signal.SIGKILL))
    signal.alarm(PATIENCE)  # a link to /dev/zero has no end
    return _await(pid)


def _looking(command: list[str]) -> int:
    _prctl(_PDEATHSIG, signal.SIGKILL)
    _call("making namespaces", _libc.unshare(_SPACES))
    pid = os.fork()
    if not pid:
        _guarded(lambda: _reader(command))
    return _await(pid)


def _reader(command: list[str]) -> int:
    _prctl(_PDEATHSIG, signal.SIGKILL)
    _mount("", "/", "", _REC | _PRIVATE)
    _mount("", TREES, "", _BIND | _REMOUNT | _RDONLY | _NODEV)
    _mount("proc", "/proc", "proc", _NOSUID | _NODEV | _NOEXEC)
    for folder in _SCRATCH:  # with what the judge keeps in them
        _mount("tmpfs", folder, "tmpfs", _NOSUID | _NODEV, "size=16m,mode=1777")
    _confine()
    os.execv(command[0], command)


def piuparts(arguments: list[str]) -> None:
    """Run piuparts so that a line with a level and no space before it is a line of its own."""
    import logging
    import runpy
    import shutil

    plain = logging.Formatter.format

    def indented(self: logging.Formatter, record: logging.LogRecord) -> str:
        return re.sub("[\r\n]", "\n ", plain(self, record))

    logging.Formatter.format = indented  # type: ignore[method-assign]
    program = shutil.which("piuparts")  # in /usr/bin since trixie
    if not program:
        raise JailError("there is no piuparts")
    sys.argv = [program, *arguments]
    runpy.run_path(sys.argv[0], run_name="__main__")


# The jail


def enter(root: str, command: list[str]) -> int:
    """Run a command in the jail of a tried root; its exit status. No command: only try it."""
    if not os.path.exists(_state(root)):
        number = _jail(root)
        with open(_state(root), "w") as out:
            out.write(f"{number} {os.readlink(f'/proc/{number}/ns/user')}")
    number = _keeper_of(root)
    if not number:
        raise JailError("the jail has ended")
    _seal()
    spaces = [os.open(f"/proc/{number}/ns/{name}", os.O_RDONLY) for name in _NAMES]
    for space in spaces:
        _call("entering the jail", _libc.setns(space, 0))
        os.close(space)
    os.chdir("/")
    _prctl(_SET_DUMPABLE, 0)
    pid = os.fork()
    if not pid:
        _guarded(lambda: _inside(command))
    signal.signal(signal.SIGTERM, lambda *_: os.kill(pid, signal.SIGKILL))
    return _await(pid)


def _seal() -> None:
    """Import nothing from here on: Python's library would be the tried root's."""
    sys.path[:] = []
    sys.path_hooks[:] = []
    sys.meta_path[:] = []
    sys.path_importer_cache.clear()


def _state(root: str) -> str:
    return os.path.join(STATE, root.strip("/").replace("/", "-"))


def _keeper_of(root: str) -> int:
    """The number of the first process of a root's jail; 0 where there is none, or no more."""
    with suppress(OSError), open(_state(root)) as text:
        number, _, space = text.read().partition(" ")
        if os.readlink(f"/proc/{number}/ns/user") == space:
            return int(number)
    return 0


def _inside(command: list[str]) -> int:
    resource.setrlimit(resource.RLIMIT_NPROC, (PROCESSES, PROCESSES))
    _prctl(_SET_DUMPABLE, 0)
    _prctl(_PDEATHSIG, signal.SIGKILL)
    os.closerange(3, 4096)
    with open("/proc/self/oom_score_adj", "w") as score:  # before the judge
        score.write("500")
    _confine()
    if not command:
        return 0
    with suppress(FileNotFoundError, NotADirectoryError):
        os.execvp(command[0], command)
    print(f"chroot: failed to run command '{command[0]}'", file=sys.stderr)
    return 127


def _jail(root: str) -> int:
    """Make the jail of a root; the number of its first process, which stays."""
    readable, writable = os.pipe()
    # Linux 5.14 and later hold all users of the namespace together to it.
    resource.setrlimit(resource.RLIMIT_NPROC, (PROCESSES, PROCESSES))
    pid = _namespace(_same("uid"), _same("gid"))
    if not pid:
        os.close(readable)
        _guarded(lambda: _spaces(root, writable))
    os.close(writable)
    with open(readable) as answer:
        text = answer.read()
    os.waitpid(pid, 0)
    if not text.isdigit():
        raise JailError(text or "the jail could not be made")
    return int(text)


def _same(kind: str) -> str:
    ((_, count),) = _ranges(kind)
    return f"0 0 {count}"


def _spaces(root: str, out: int) -> int:
    """Fork the first process of the jail, and tell its number once it is ready."""
    _call("making the jail's namespaces", _libc.unshare(_SPACES))
    readable, writable = os.pipe()
    pid = os.fork()
    if not pid:
        os.close(readable)
        os.close(out)
        _guarded(lambda: _keeper(root, writable))
    os.close(writable)
    with open(readable) as answer:
        text = answer.read()
    os.write(out, (str(pid) if text == "ready" else text).encode())
    return 0


def _keeper(root: str, out: int) -> int:
    """The first process of the jail: mounts, then buries what ends until it is ended itself."""
    try:
        _prctl(_SET_DUMPABLE, 0)
        _seal()
        _fill(root)
        for end in (0, 1, 2):  # piuparts waits until nobody has its pipe
            os.dup2(os.open("/dev/null", os.O_RDWR), end)
        os.closerange(3, out)
        os.closerange(out + 1, 4096)
        _confine()
    except (JailError, OSError) as error:
        os.write(out, str(error).encode())
        return FAILED
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGCHLD])
    os.write(out, b"ready")
    os.close(out)
    while True:
        with suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        signal.sigwait([signal.SIGCHLD])


def _fill(root: str) -> None:
    """Mount what a root has beside its own files, and make it the root of this process."""
    _mount("", "/", "", _REC | _PRIVATE)
    _bind(root, root, _NODEV)
    for name in _NODES:
        node = f"{root}/dev/{name}"
        os.makedirs(f"{root}/dev", exist_ok=True)
        if not os.path.lexists(node):
            open(node, "x").close()
        _mount(f"/dev/{name}", node, "", _BIND)
    for folder in ("proc", "dev/pts", "dev/shm", *(name.strip("/") for name in SHOWN)):
        os.makedirs(f"{root}/{folder}", exist_ok=True)
    _mount("proc", f"{root}/proc", "proc", _NOSUID | _NODEV | _NOEXEC)
    pts = "newinstance,gid=5,mode=0620,ptmxmode=0666"
    _mount("devpts", f"{root}/dev/pts", "devpts", _NOSUID | _NOEXEC, pts)
    _mount("tmpfs", f"{root}/dev/shm", "tmpfs", _NOSUID | _NODEV, "size=64m,mode=1777")
    for folder in SHOWN:
        if os.path.isdir(folder):
            _bind(folder, root + folder, _RDONLY | _NOSUID | _NODEV)
    _bind(f"{root}/proc/sys", f"{root}/proc/sys", _RDONLY | _NOSUID | _NODEV | _NOEXEC)
    for name in _MASKED:
        path = f"{root}/proc/{name}"
        if os.path.isdir(path):
            _mount("tmpfs", path, "tmpfs", _RDONLY | _NOSUID | _NODEV | _NOEXEC, "size=0")
        elif os.path.exists(path):
            _mount("/dev/null", path, "", _BIND)
    with socket.socket() as link:  # netdevice(7): lo is up, as in a container
        fcntl.ioctl(link, 0x8914, struct.pack("16sH14x", b"lo", 0x49))
    os.chdir(root)
    _call("pivot_root", _libc.syscall(MAKING["pivot_root"], b".", b"."))
    _call("leaving the old root", _libc.umount2(b".", _DETACH))
    os.chdir("/")


def _confine() -> None:
    """Give up what no package needs, for this process and all that come from it."""
    number = 0
    while _prctl(_CAPBSET_READ, number) >= 0:
        if number not in _KEPT.values():
            _call("dropping a capability", _prctl(_CAPBSET_DROP, number))
        number += 1
    code = filter_program()
    buffer = ctypes.create_string_buffer(code, len(code))

    class Program(ctypes.Structure):
        _fields_ = [("length", ctypes.c_ushort), ("code", ctypes.c_void_p)]

    program = Program(len(code) // 8, ctypes.addressof(buffer))
    done = _libc.prctl(_SECCOMP, ctypes.c_ulong(2), ctypes.byref(program))
    _call("a filter of system calls (seccomp)", done)
    # What is not in the bounding set is not in the sets of what is started; nor in these.
    low = sum(1 << bit for bit in _KEPT.values())
    header = struct.pack("Ii", 0x20080522, 0)
    _call("giving up capabilities", _libc.capset(header, struct.pack("6I", low, low, 0, 0, 0, 0)))


def filter_program() -> bytes:
    """The filter of the jail (seccomp(2)), as the kernel reads it: 8 bytes an instruction."""
    load, equal, at_least, any_bit, end = 0x20, 0x15, 0x35, 0x45, 0x06
    no, none, family = (0x50000 | code for code in (errno.EPERM, errno.ENOSYS, errno.EAFNOSUPPORT))
    code: list[tuple[int, int, int, int]] = [
        (load, 0, 0, 4),
        (equal, 1, 0, _X86_64),
        (end, 0, 0, none),
        (load, 0, 0, 0),
        (at_least, 0, 1, _LAST + 1),  # the numbers of x32 too
        (end, 0, 0, none),
    ]
    for number in sorted((DENIED | MAKING).values()):
        code += [(equal, 0, 1, number), (end, 0, 0, no)]
    # Its flags lie in memory: the C library then asks for clone(2).
    code += [(equal, 0, 1, _CLONE3), (end, 0, 0, none)]
    code += [(equal, 0, 4, _CLONE), (load, 0, 0, 16), (any_bit, 0, 1, _SPACES | _NEWUSER)]
    code += [(end, 0, 0, no), (end, 0, 0, 0x7FFF0000)]
    families = (socket.AF_UNIX, socket.AF_INET, socket.AF_INET6, socket.AF_NETLINK)
    code += [(equal, 0, len(families) + 2, _SOCKET), (load, 0, 0, 16)]
    code += [(equal, len(families) - n, 0, int(known)) for n, known in enumerate(families)]
    code += [(end, 0, 0, family), (end, 0, 0, 0x7FFF0000)]
    return b"".join(struct.pack("HBBI", *instruction) for instruction in code)


def processes(root: str, patience: float = 3.0) -> list[tuple[int, str]]:
    """What still runs in the jail of a root: number and name of each process, for the judge."""
    keeper = _keeper_of(root)
    if not keeper:
        return []
    jail = os.readlink(f"/proc/{keeper}/ns/pid")
    until = time.monotonic() + patience
    while True:
        found = []
        for number in (int(name) for name in os.listdir("/proc") if name.isdigit()):
            with suppress(OSError):  # it has just ended
                if number != keeper and os.readlink(f"/proc/{number}/ns/pid") == jail:
                    with open(f"/proc/{number}/comm", errors="replace") as text:
                        found.append((number, re.sub(r"[^\w.+-]", "?", text.read().strip())))
        if not found or time.monotonic() > until:
            return found
        time.sleep(0.05)


def lsof(arguments: list[str]) -> int:
    """What piuparts asks of lsof(8): what runs in a tried root; -t, to end all of that."""
    if "-t" in arguments:
        keeper = _keeper_of(arguments[-1])
        if keeper:  # the kernel ends the others with it
            os.kill(keeper, signal.SIGKILL)
        return 1
    found = processes(arguments[-1])
    for number, name in found:
        print(f"{name} {number}")
    return 0 if found else 1


def main(arguments: list[str]) -> int:
    """What the program was called for; its exit status."""
    verb, *rest = arguments
    try:
        if verb == "judge":
            return judge(rest[0], rest[1:])
        if verb == "probe":
            return judge("1m", ["probe"])
        if verb == "chroot":
            return enter(rest[0], rest[1:])
        if verb == "lsof":
            return lsof(rest)
        if verb == "follow":
            return follow(rest)
        if verb == "piuparts":
            piuparts(rest)
            return 0
    except JailError as error:
        print(f"{WORD}{error}", file=sys.stderr)
        return FAILED
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
