# SPDX-License-Identifier: GPL-2.0-or-later
"""Have several machines build (docs/farm.md).

up and down begin and end a farm on this machine, and status shows one. worker makes this machine a
worker of another one's farm, scheduler is such a one, and keys makes what they trust one another
by.
"""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from builders.errors import BuildError
from builders.verbs.option import Reported, option

if TYPE_CHECKING:
    from builders.show.outcome import Outcome

ACTIONS = ("up", "down", "status", "worker", "scheduler", "keys")


@dataclass(frozen=True, kw_only=True)
class Options(Reported):
    path: tuple[str, ...] = option(
        "what to do; an address may follow worker, scheduler and status",
        (),
        value="ACTION",
        choices=ACTIONS,
        checked=False,
        words=True,
    )
    workers: int = option("up: how many workers", 1)
    port: int = option("up: of the scheduler; 0 is any free one", 8786)
    name: str = option("worker: what it is called", usual="the host's name")
    slots: int = option("up and worker: builds at once on each worker", 1)
    jobs: int = option(
        "up and worker: compilers at once on each worker",
        0,
        usual="every core; with up, all workers together twice that",
    )
    memory: int = option(
        "up and worker: GiB that its builds may use", 0, usual="its part of all there is"
    )
    out: str = option("keys: make a certificate for another machine here", value="FOLDER")


def run(options: Options) -> Outcome:
    from builders.pipeline.farm import keys, service
    from builders.pipeline.run import artifacts
    from builders.show import farms
    from builders.show.terminal import Terminal

    action, rest = (options.path[0] if options.path else ""), options.path[1:]
    if action not in ACTIONS:
        raise BuildError(
            f"farm {action}: no such action" if action else "farm: what of it?",
            hint=f"./inv farm {' | '.join(ACTIONS)}",
        )
    takes = action in ("worker", "scheduler", "status")
    if len(rest) > takes:
        raise BuildError(f"farm {action}: {rest[-1]} is one word too many", hint="leave it out")
    if not 0 < options.slots <= service.MOST:
        raise BuildError(f"--slots {options.slots}: not from 1 to {service.MOST}", hint="usually 1")
    if options.jobs < 0 or options.memory < 0:
        raise BuildError("--jobs and --memory: less than none", hint="0 is all there is")
    reporter = Terminal()
    if action == "keys":
        if options.out:
            keys.certify(Path(options.out), keys.folder(), reporter)
            return farms.certified(Path(options.out))
        return farms.keys(keys.folder(), made=keys.make(keys.folder(), reporter))
    if action == "up":
        sizes = (options.slots, options.jobs, options.memory)
        return farms.up(service.up(options.workers, options.port, *sizes, reporter))
    if action == "down":
        return farms.down(service.down())
    note = service.noted()
    at = rest[0] if rest else os.environ.get("DOM0_DEBS_FARM", "") or (note.address if note else "")
    if not at:
        raise BuildError(
            f"farm {action}: no address is named, and no farm was begun here",
            hint=f"./inv farm {action} tls://HOST:8786, or ./inv farm up",
        )
    if action == "status":
        return farms.status(at, service.members(at), note)
    if action == "scheduler":
        service.schedule(at, reporter)
    else:
        own = options.name or socket.gethostname()
        folder = artifacts() / f".farm-{own}"
        sizes = (options.slots, options.jobs, options.memory)
        service.serve(at, own, *sizes, folder, reporter)
    return farms.ended(action)
