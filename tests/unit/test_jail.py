# SPDX-License-Identifier: GPL-2.0-or-later
"""The jail without an engine: its filter of system calls, run as the kernel would run it."""

from __future__ import annotations

import ast
import errno
import socket
import struct
import subprocess
import sys
from pathlib import Path

import pytest

from builders.proofs.trial import jail

ALLOWED, X86_64, I386 = 0x7FFF0000, 0xC000003E, 0x40000003
READ, CLONE, CLONE3, SOCKET, MOUNT = 0, 56, 435, 41, 165


def imported(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    return [node.module or ""] if isinstance(node, ast.ImportFrom) else []


def verdict(number: int, first: int = 0, machine: int = X86_64) -> int:
    """What the filter says of a call (seccomp(2), struct seccomp_data): errno, or ALLOWED."""
    data = struct.pack("IIQ6Q", number, machine, 0, first, 0, 0, 0, 0, 0)
    code = list(struct.iter_unpack("HBBI", jail.filter_program()))
    at = value = 0
    while True:
        kind, right, wrong, constant = code[at]
        at += 1
        if kind == 0x20:
            (value,) = struct.unpack_from("I", data, constant)
        elif kind == 0x06:
            return int(constant if constant == ALLOWED else constant & 0xFFFF)
        else:
            holds = {0x15: value == constant, 0x35: value >= constant, 0x45: value & constant}
            at += right if holds[kind] else wrong


@pytest.mark.parametrize("name", sorted(jail.DENIED | jail.MAKING))
def test_what_a_package_may_not_ask_of_the_kernel(name: str) -> None:
    assert verdict((jail.DENIED | jail.MAKING)[name]) == errno.EPERM


def test_everything_else_is_allowed() -> None:
    denied = set((jail.DENIED | jail.MAKING).values()) | {CLONE3, SOCKET}
    assert all(verdict(n) == ALLOWED for n in range(463) if n not in denied)


def test_no_namespace_is_made_by_clone() -> None:
    thread, fork = 0x3D0F00, 0x1200011
    assert verdict(CLONE, thread) == verdict(CLONE, fork) == ALLOWED
    for flag in (0x20000, 0x2000000, 0x4000000, 0x8000000, 0x10000000, 0x20000000, 0x40000000):
        assert verdict(CLONE, fork | flag) == errno.EPERM
    assert verdict(CLONE3) == errno.ENOSYS


def test_other_tables_of_calls_and_later_calls_are_not_there() -> None:
    assert verdict(21, machine=I386) == errno.ENOSYS  # mount(2), as i386 counts
    assert verdict(0x40000000 | MOUNT) == errno.ENOSYS  # x32
    assert verdict(463) == errno.ENOSYS


def test_sockets_reach_no_other_machine_and_little_of_the_kernel() -> None:
    for family in (socket.AF_UNIX, socket.AF_INET, socket.AF_INET6, socket.AF_NETLINK):
        assert verdict(SOCKET, family) == ALLOWED
    for number in (17, 38, 40):  # packets, the kernel's ciphers, the hypervisor
        assert verdict(SOCKET, number) == errno.EAFNOSUPPORT


def test_it_needs_nothing_that_the_judge_does_not_have() -> None:
    tree = ast.parse(Path(jail.__file__).read_text(), feature_version=(3, 9))
    names = {name.split(".")[0] for node in ast.walk(tree) for name in imported(node)}
    assert names <= sys.stdlib_module_names


def test_nothing_is_imported_from_a_tried_root(tmp_path: Path) -> None:
    (tmp_path / "planted.py").write_text("print('planted')")
    program = f"""
import os, runpy, sys
jail = runpy.run_path({jail.__file__!r})
sys.path.insert(0, {str(tmp_path)!r})
os.environ["PATH"] = "/nowhere:/usr/bin:/bin"
jail["_seal"]()
try:
    import planted
except ImportError:
    print("sealed", flush=True)
os.execvp("echo", ["echo", "started"])
"""
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["sealed", "started"]


def test_the_users_of_a_judge_are_nobody_else_s(monkeypatch: pytest.MonkeyPatch) -> None:
    for ranges, wanted in (
        ([(0, 4294967295)], "0 100000 65536"),
        ([(0, 65536)], "0 1 65535"),  # an engine that gives its containers users of its own
    ):
        monkeypatch.setattr(jail, "_ranges", lambda _, ranges=ranges: ranges)
        assert jail._map("uid") == wanted
    monkeypatch.setattr(jail, "_ranges", lambda _: [(0, 1)])
    with pytest.raises(jail.JailError, match="fewer than 65536"):
        jail._map("uid")
