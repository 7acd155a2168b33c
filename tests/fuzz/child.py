# SPDX-License-Identifier: GPL-2.0-or-later
"""Runs verbs, each in a child of its own, and says what the child needed.

The children are forked from a process that has loaded the tool and nothing else: they take no time
to start, and what a child needs is counted from there. Whoever makes packages is another process.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import resource
import select
import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, NoReturn, Self

from builders import ROOT

_ADDRESSES = 4 << 30  # bytes of address space: the box has others who need memory
_PROCESSOR = 60  # seconds of it, after which the kernel ends the child
_WAIT = 120  # seconds of any kind


@dataclass(frozen=True)
class Needed:
    """What a child needed. status: as os.waitstatus_to_exitcode has it.

    seconds: of processor time, what it started included. memory: KiB at its peak, the interpreter
    and the tool included.
    """

    status: int
    seconds: float
    memory: int


class Children:
    """The process that forks, at the other end of a pipe. Only one child runs at a time."""

    def __init__(self) -> None:
        self._server = subprocess.Popen(
            [sys.executable, "-m", __name__],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def run(
        self, words: list[str], output: Path, cores: int = 0, environment: Mapping[str, str] = {}
    ) -> Needed:
        """Run `./inv WORDS`. output: the file that gets all that it says.

        cores: how many processors it believes to have, 0 for those that there are.
        """
        request = {
            "words": words,
            "output": str(output),
            "cores": cores,
            "environment": dict(environment),
        }
        assert self._server.stdin
        assert self._server.stdout
        self._server.stdin.write(json.dumps(request) + "\n")
        self._server.stdin.flush()
        return Needed(**json.loads(self._server.stdout.readline()))

    def close(self) -> None:
        """End the process."""
        assert self._server.stdin
        assert self._server.stdout
        self._server.stdin.close()
        self._server.wait()
        self._server.stdout.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def serve() -> None:
    """Answer requests until there are none."""
    _load()
    for line in sys.stdin:
        print(json.dumps(_forked(json.loads(line))), flush=True)


def _load() -> None:
    """What the verbs import, each when it needs it."""
    import debian.debian_support
    import invoke.program
    import zstandard

    import builders.debkit.compare
    import builders.program
    import builders.verbs.custom
    import builders.verbs.quick
    import tasks

    assert tasks, (debian, invoke, zstandard, builders)
    gc.collect()
    gc.freeze()


def _forked(request: Mapping[str, Any]) -> dict[str, Any]:
    pid = os.fork()
    if not pid:
        _child(**request)
    handle = os.pidfd_open(pid)
    if not select.select([handle], [], [], _WAIT)[0]:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(pid, signal.SIGKILL)
    _, status, usage = os.wait4(pid, 0)
    os.close(handle)
    return {
        "status": os.waitstatus_to_exitcode(status),
        "seconds": usage.ru_utime + usage.ru_stime,
        "memory": usage.ru_maxrss,
    }


def _child(words: list[str], output: str, cores: int, environment: Mapping[str, str]) -> NoReturn:
    from builders.program import main

    code = 255
    try:
        os.setsid()
        resource.setrlimit(resource.RLIMIT_AS, (_ADDRESSES, _ADDRESSES))
        resource.setrlimit(resource.RLIMIT_CPU, (_PROCESSOR, _PROCESSOR + 5))
        null = os.open(os.devnull, os.O_RDONLY)
        out = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        for number, stream in ((0, null), (1, out), (2, out)):
            os.dup2(stream, number)
        sys.stdin, sys.stdout, sys.stderr = open(0), open(1, "w"), open(2, "w")  # noqa: SIM115
        os.environ.update(environment)
        if cores:
            os.sched_getaffinity = lambda _: set(range(cores))
        sys.argv = ["./inv", *words]
        main()
    except SystemExit as leaving:
        code = leaving.code if isinstance(leaving.code, int) else int(bool(leaving.code))
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        with contextlib.suppress(OSError, ValueError):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    serve()
