# SPDX-License-Identifier: GPL-2.0-or-later
"""What dom0-check of a host says: of this one, or over ssh of another, which has no Python.

Its answer is read as a stranger's: bounded, and only what it is to have.
"""

from __future__ import annotations

import json
import os
import re
import selectors
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import IO, NoReturn, cast

from builders.errors import BuildError, Exit
from builders.host.dom0 import NAME
from builders.text import cut, printable

PROGRAM = "dom0-check"
STATES = ("ok", "warn", "unknown", "fail")
_LARGEST = 1 << 20  # bytes of an answer; a host's has two thousand
_CHECKS = 100
_TEXT = 2000  # characters of one of its texts
_HERE = "this machine"
_PATIENCE = 60  # seconds
# No option of ssh(1), and nothing that a shell reads.
_HOST = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.@:%\[\]-]{0,254}")
_ABSENT = 127  # sh(1), "Exit status"
_UNREACHED = 255  # ssh(1), "Exit status"


@dataclass(frozen=True)
class Check:
    """A line of dom0-check: its state (one of STATES), what is, and what to do ("" for nothing)."""

    name: str
    state: str
    seen: str
    remedy: str


def ask(host: str = "") -> tuple[Check, ...]:
    """What dom0-check says of `host`, a destination of ssh(1), or of this machine.

    BuildError: USAGE for a name that is none, ENGINE where no dom0-check answers.
    """
    if host and not _HOST.fullmatch(host):
        raise BuildError(f"--ssh {cut(printable(host))}: no host", hint="such as root@xenhost")
    where = host or _HERE
    asked = [PROGRAM, "--json"]
    if host:
        # No question can be answered here, and a host that is gone is soon known.
        quiet = ("-o", "BatchMode=yes", "-o", "ConnectTimeout=15", "-T")
        asked = ["ssh", *quiet, "--", host, *asked]
    answer, said, status = _run(asked, where)
    if status not in (0, 1):
        _explain(where, said, status)
    return _read(answer, where)


def _run(words: list[str], where: str) -> tuple[bytes, str, int]:
    """What a program writes to its output and to its errors, and its exit status."""
    try:
        process = subprocess.Popen(
            words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
    except FileNotFoundError:
        if words[0] == PROGRAM:
            _explain(where, "", _ABSENT)
        hint = "apt install openssh-client"
        raise BuildError("there is no ssh", hint=hint, exit=Exit.ENGINE) from None
    except OSError as error:
        raise BuildError(f"{words[0]}: {error.strerror}", exit=Exit.ENGINE) from None
    with process:
        try:
            output, errors = _bounded(process, where)
        except BaseException:
            process.kill()
            raise
    return output, printable(errors.decode("utf-8", "replace")).strip(), process.returncode


def _bounded(process: subprocess.Popen[bytes], where: str) -> tuple[bytes, bytes]:
    """All that a program writes, as long as it is not too much and does not take too long."""
    written = {process.stdout: bytearray(), process.stderr: bytearray()}
    until = time.monotonic() + _PATIENCE
    with selectors.DefaultSelector() as selector:
        for stream in written:
            if stream is not None:
                selector.register(stream, selectors.EVENT_READ)
        while selector.get_map():
            ready = selector.select(max(0.0, until - time.monotonic()))
            if not ready:
                raise _useless(where, f"no answer of {PROGRAM} within {_PATIENCE} s")
            for key, _ in ready:
                piece = os.read(key.fd, 1 << 16)
                if not piece:
                    selector.unregister(key.fileobj)
                part = written[cast("IO[bytes]", key.fileobj)]
                part += piece
                if len(part) > _LARGEST:
                    raise _useless(where, f"its answer has more than {_LARGEST} bytes")
    return bytes(written[process.stdout]), bytes(written[process.stderr])


def _explain(where: str, said: str, status: int) -> NoReturn:
    """Raise why there is no report."""
    if status == _ABSENT:
        hint = f"install the package of ./inv {NAME} there"
        raise BuildError(f"{where}: there is no {PROGRAM}", hint=hint, exit=Exit.ENGINE)
    if status == _UNREACHED and where != _HERE:
        hint = f"see whether this works without a question: ssh {where} true"
        raise BuildError(f"{where}: ssh: {cut(said)}", hint=hint, exit=Exit.ENGINE)
    raise _useless(where, f"{PROGRAM} ended with {status}: {cut(said)}")


def _useless(where: str, why: str) -> BuildError:
    hint = f"run it on the host itself, as root: {PROGRAM}"
    return BuildError(f"{where}: {why}", hint=hint, exit=Exit.ENGINE)


def _read(answer: bytes, where: str) -> tuple[Check, ...]:
    """The checks of a report. BuildError (ENGINE) where it is none."""
    try:
        report = json.loads(answer)
        entries = report["checks"]
        if (report["schema"], report["kind"]) != (1, PROGRAM) or len(entries) > _CHECKS:
            raise ValueError
        return tuple(_check(entry) for entry in entries)
    except (ValueError, KeyError, TypeError, RecursionError):
        raise _useless(where, f"what it says is no report of {PROGRAM}") from None


def _check(entry: Mapping[str, object]) -> Check:
    texts = [entry[each.name] for each in fields(Check)]
    if not all(isinstance(text, str) for text in texts) or entry["state"] not in STATES:
        raise ValueError
    return Check(*(cut(printable(str(text)), _TEXT) for text in texts))
