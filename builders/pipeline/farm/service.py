# SPDX-License-Identifier: GPL-2.0-or-later
"""The scheduler and the workers of a farm: run here, or begun and ended as processes of their own.

What was begun is noted with its process number and its start, so that no other is ever ended.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from builders import ROOT, documents
from builders.errors import BuildError, Exit
from builders.files import write
from builders.ground.engine.container import Limits
from builders.pipeline import matrix
from builders.pipeline.farm import address, keys, pieces, settings
from builders.pipeline.farm.address import Address
from builders.progress import Reporter
from builders.text import printable

_NOTE = "farm.json"
_LARGEST = 1 << 20  # bytes of the note
MOST = 64  # workers on one machine
_START = 60.0  # seconds until a process that was begun has to answer
_END = 6.0  # seconds until one that was asked to end is killed
_LOOK = 2.0  # seconds between two looks for a scheduler that is gone


@dataclass(frozen=True)
class Process:
    """One that `up` began. begun: its start, in ticks since the machine's (proc(5), starttime)."""

    what: str
    name: str
    pid: int
    begun: int
    log: str

    @property
    def alive(self) -> bool:
        return _begun(self.pid) == self.begun


@dataclass(frozen=True)
class Note:
    """What `up` began: the scheduler's address, and the processes."""

    address: str
    processes: tuple[Process, ...]


@dataclass(frozen=True)
class Member:
    """A worker as the scheduler has it. busy: the work that it is at."""

    name: str
    address: str
    resources: dict[str, float]
    same: bool
    busy: tuple[str, ...]


def _begun(pid: int) -> int | None:
    """The start of a process; None where there is none, or it has only to be waited for."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace")
        rest = fields.rpartition(")")[2].split()
        return None if rest[0] in "ZX" else int(rest[19])
    except (OSError, ValueError, IndexError):
        return None


def noted() -> Note | None:
    """What `up` has begun for this user; None where nothing is noted."""
    try:
        with (keys.state() / _NOTE).open("rb") as stream:
            said = documents.parse(stream.read(_LARGEST + 1), _LARGEST)
        processes = [
            Process(str(p["what"]), str(p["name"]), int(p["pid"]), int(p["begun"]), str(p["log"]))
            for p in said["processes"]
        ]
        return Note(str(said["address"]), tuple(processes))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def up(workers: int, port: int, slots: int, jobs: int, memory: int, reporter: Reporter) -> Note:
    """Begin a scheduler on loopback and workers; what runs then.

    Raises BuildError where a farm of this user runs, or one of the processes does not come up.
    """
    address.known_engine()
    before = noted()
    if before and any(process.alive for process in before.processes):
        raise BuildError(
            f"a farm runs already: {before.address}",
            hint="./inv farm status shows it, ./inv farm down ends it",
        )
    if not 0 <= port < 1 << 16 or not 0 < workers <= MOST:
        raise BuildError(
            f"--workers {workers} --port {port}: from 1 to {MOST} workers, and a port",
            hint="--port 0 is any free one",
        )
    keys.make(keys.folder(), reporter)
    if not port:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
    name = str(Address("tls", "127.0.0.1", port))
    # Twice as many as there are cores in all: where one worker has nothing to do, its part is used.
    cores = len(os.sched_getaffinity(0))
    jobs = jobs or min(cores, -(-2 * cores // workers))
    # None is of use that can't take an ordinary build; few come near to what one may use.
    memory = memory or max(Limits().memory, int(matrix.memory("MemTotal")) // workers)
    begun: list[Process] = []
    try:
        begun.append(_begin("scheduler", "scheduler", ["scheduler", name]))
        _note(Note(name, tuple(begun)))
        _await(lambda: _answers("127.0.0.1", port), begun[0])
        for number in range(1, workers + 1):
            its = f"{socket.gethostname()}-{number}"
            words = ["worker", name, "--name", its, "--slots", str(slots)]
            words += ["--jobs", str(jobs), "--memory", str(memory)]
            begun.append(_begin("worker", its, words))
            _note(Note(name, tuple(begun)))
        for process in begun[1:]:
            _await(lambda n=process.name: n in {m.name for m in members(name)}, process)  # type: ignore[misc]
    except BaseException:
        down()
        raise
    return Note(name, tuple(begun))


def down() -> list[Process]:
    """End what `up` began and what still runs of it; those that were ended."""
    note = noted()
    running = [process for process in note.processes if process.alive] if note else []
    for process in reversed(running):  # the scheduler last: a worker takes its leave of it
        with suppress(ProcessLookupError):
            os.kill(process.pid, signal.SIGTERM)
    deadline = time.monotonic() + _END
    while any(process.alive for process in running) and time.monotonic() < deadline:
        time.sleep(0.1)
    for process in running:
        if process.alive:
            with suppress(ProcessLookupError):
                os.kill(process.pid, signal.SIGKILL)
    with suppress(OSError):
        (keys.state() / _NOTE).unlink()
    return running


def members(name: str) -> list[Member]:
    """The workers of the farm at an address. Raises BuildError (ENGINE) where it says nothing."""
    address.known_engine()
    import distributed

    at = address.parse(name)
    settings.quiet()
    with settings.applied():
        try:
            security = keys.security(at.protocol, keys.folder())
            with distributed.Client(
                str(at), security=security, timeout=10, set_as_default=False
            ) as client:
                found = client.scheduler_info(n_workers=-1)["workers"]
                busy = client.processing()
        except (OSError, TimeoutError) as error:
            raise BuildError(
                f"the farm {at} can't be reached: {printable(str(error))[:300]}",
                hint="./inv farm up starts one here; are these its keys: " + str(keys.folder()),
                exit=Exit.ENGINE,
            ) from None
    mine = settings.code(pieces.code())
    return sorted(
        (
            Member(
                printable(str(each["name"])),
                printable(where),
                {printable(n): float(v) for n, v in each["resources"].items()},
                mine in each["resources"],
                tuple(sorted(printable(str(key)) for key in busy.get(where, ()))),
            )
            for where, each in found.items()
        ),
        key=lambda member: member.name,
    )


def _begin(what: str, name: str, words: Sequence[str]) -> Process:
    folder = keys.state()
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    log = folder / f"{name}.log"
    with log.open("ab") as out:
        process = subprocess.Popen(
            [str(ROOT / "inv"), "farm", *words],
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            start_new_session=True,
        )
    begun = _begun(process.pid)
    if begun is None:
        raise _dead(name, log)
    return Process(what, name, process.pid, begun, str(log))


def _await(answers: Callable[[], bool], process: Process) -> None:
    """Wait until a process answers. BuildError where it ends, or does not."""
    deadline = time.monotonic() + _START
    while time.monotonic() < deadline and process.alive:
        if answers():
            return
        time.sleep(0.2)
    raise _dead(process.name, Path(process.log))


def _dead(name: str, log: Path) -> BuildError:
    try:
        text = log.read_text(encoding="utf-8", errors="replace")[-2000:]
    except OSError:
        text = ""
    lines = [printable(line) for line in text.splitlines()[-8:]]
    return BuildError(
        f"{name} did not come up", log=log, excerpt="\n".join(lines), exit=Exit.ENGINE
    )


def _answers(host: str, port: int) -> bool:
    try:
        socket.create_connection((host, port), 1).close()
    except OSError:
        return False
    return True


def _note(note: Note) -> None:
    said = {"address": note.address, "processes": [asdict(each) for each in note.processes]}
    write(keys.state() / _NOTE, json.dumps(said, indent=1) + "\n")


# -- what runs in the processes ------------------------------------------------


def schedule(name: str, reporter: Reporter) -> None:
    """Be the scheduler at an address, until a signal ends it."""
    address.known_engine()
    at = address.parse(name)
    security = keys.security(at.protocol, keys.folder())
    with settings.applied():
        asyncio.run(_schedule(at, security, reporter))


async def _schedule(at: Address, security: Any, reporter: Reporter) -> None:
    from distributed import Scheduler

    made = Scheduler(
        host=at.host,
        port=at.port,
        protocol=f"{at.protocol}://",
        security=security,
        dashboard_address="127.0.0.1:0",
        dashboard=False,
    )
    try:
        async with made:
            reporter.line(f"scheduler {at}, {pieces.version()}")
            await made.finished()
    except OSError as error:
        raise BuildError(
            f"{at}: {error.strerror or printable(str(error))}",
            hint="another --port, or an address of this machine",
            exit=Exit.ENGINE,
        ) from None


def serve(
    name: str, own: str, slots: int, jobs: int, memory: int, folder: Path, reporter: Reporter
) -> None:
    """Be a worker of the farm at an address, until a signal ends it.

    own: its name. Where the scheduler goes away it is waited for. Raises BuildError where it can't
    be reached at first.
    """
    address.known_engine()
    at = address.parse(name)
    security = keys.security(at.protocol, keys.folder())
    jobs = jobs or len(os.sched_getaffinity(0))
    pieces.HERE = pieces.Worker(own, folder, max(1, jobs // slots), reporter)
    resources = {
        "slots": float(slots),
        "memory": float(memory or max(1, int(matrix.memory("MemTotal")))),
        settings.code(pieces.code()): 1e6,
        f"arch-{_architecture()}": 1e6,
    }
    reached = False
    with settings.applied():
        while True:
            try:
                asyncio.run(_serve(at, own, slots, resources, security, reporter))
                reached = True
            except (OSError, TimeoutError, ValueError, RuntimeError) as error:
                if not reached:
                    raise BuildError(
                        f"worker {own}: the farm {at} can't be reached: "
                        f"{printable(str(error))[:300]}",
                        hint=f"is its scheduler up, are these its keys ({keys.folder()}), and is "
                        "no other worker called so (--name)?",
                        exit=Exit.ENGINE,
                    ) from None
            else:
                reporter.line(f"worker {own}: the scheduler {at} is gone; it is waited for")
            time.sleep(_LOOK)


async def _serve(
    at: Address,
    own: str,
    slots: int,
    resources: dict[str, float],
    security: Any,
    reporter: Reporter,
) -> None:
    from distributed import Worker

    with tempfile.TemporaryDirectory(prefix="dom0-debs-worker-") as scratch:
        made = Worker(
            str(at),
            nthreads=slots,
            name=own,
            resources=resources,
            security=security,
            host="127.0.0.1" if at.local else None,
            protocol=f"{at.protocol}://",
            memory_limit=0,
            local_directory=scratch,
            dashboard_address="127.0.0.1:0",
        )
        async with made:
            reporter.line(f"worker {own} of {at}, {pieces.version()}")
            await made.finished()


def _architecture() -> str:
    """This machine's, by Debian's name."""
    done = subprocess.run(
        ["dpkg", "--print-architecture"], capture_output=True, text=True, check=False
    )
    return done.stdout.strip()
