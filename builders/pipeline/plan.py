# SPDX-License-Identifier: GPL-2.0-or-later
"""A build as a pure description: what goes in, which phases run, what comes out.

`xen` and `kernel` write plans, `stages` makes a key of one, `graph` runs it.
"""

from __future__ import annotations

import hashlib
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from builders import ROOT
from builders.errors import BuildError
from builders.pipeline.record import PlanRecord

WORK = "/build"  # in the container: in/NAME/ the sources, tree/ the tree, out/ the result
TREE = f"{WORK}/tree"
OUT = f"{WORK}/out"

_SHELL = Path(__file__).with_name("shell")


@cache
def shell(name: str) -> str:
    """The text of shell/NAME.sh, whose head says what it takes."""
    return (_SHELL / f"{name}.sh").read_text(encoding="utf-8")


def assigned(**values: str) -> str:
    """The line of a script that sets variables to these values."""
    return " ".join(f"{name}={shlex.quote(value)}" for name, value in values.items()) + "\n"


@dataclass(frozen=True)
class Phase:
    """A shell script in the tree; `parallel` ones compile, and so take job slots."""

    name: str
    script: str
    parallel: bool = False
    folder: str = TREE


@dataclass(frozen=True)
class Plan:
    """One build.

    sources: the sources it reads, the tree's first; files: further files put below /build.
    makeflags: the make of this build understands a jobserver (make-kpkg(1) does not).
    after: phase -> what checks the tree then; it is given a reader of the tree's files.
    work: the folder of it all, which its scripts name.
    debs: the packages that come out, as globs in the tree. places: paths in the tree that the
    recipe fills. applied: the sources that are patches.
    """

    name: str
    sources: tuple[str, ...]
    phases: tuple[Phase, ...]
    patches: str = ""
    files: Mapping[str, bytes] = field(default_factory=dict)
    makeflags: bool = True
    after: Mapping[str, Callable[[Callable[[str], bytes]], None]] = field(default_factory=dict)
    work: str = WORK
    debs: tuple[str, ...] = ()
    places: tuple[str, ...] = ()
    applied: tuple[str, ...] = ()

    def record(self) -> PlanRecord:
        """All of the description that can change what comes out, each with its digest."""
        return PlanRecord(
            {phase.name: _digest(phase.script.encode()) for phase in self.phases},
            {name: _digest(content) for name, content in self.files.items()},
            {name: _digest(content) for name, content in patch_files(self.patches)},
        )


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def patch_files(series: str) -> list[tuple[str, bytes]]:
    """The files of a quilt series (quilt(1)): `series` and each patch that it names."""
    if not series:
        return []
    folder = ROOT / "patches" / series
    listed = folder / "series"
    names = [
        line.split()[0]
        for line in listed.read_text(encoding="utf-8").splitlines()
        if line.strip() and not line.lstrip().startswith("#")
    ]
    files = [("series", listed.read_bytes())]
    for name in names:
        try:
            if ".." in Path(name).parts or Path(name).is_absolute():
                raise OSError(None, "it is outside of the series")
            files.append((name, (folder / name).read_bytes()))
        except OSError as error:
            raise BuildError(
                f"patches/{series}/series names {name}: {error.strerror}",
                hint="correct the name, or put the patch there",
            ) from None
    return files


def unpack(source: str) -> Phase:
    """Unpack the tree of `source` and note its date."""
    names = assigned(work=WORK, tree=TREE, source=source)
    return Phase("unpack", names + shell("untar") + shell("unpack"), folder=WORK)


def patch(series: str) -> list[Phase]:
    """Apply a quilt series, where there is one."""
    script = assigned(work=WORK, tree=TREE) + shell("patch")
    return [Phase("patch", script)] if series else []


def apply(patches: Sequence[str]) -> list[Phase]:
    """Apply sources that are patches, one after the other, where there are any."""
    script = assigned(work=WORK, tree=TREE, patches=" ".join(patches)) + shell("apply")
    return [Phase("apply", script)] if patches else []


def lines(commands: tuple[str, ...], environment: str) -> str:
    """A recipe's shell lines as one script that shows each line before it runs."""
    dated = f"SOURCE_DATE_EPOCH=$(cat {WORK}/epoch)\nexport SOURCE_DATE_EPOCH\n"
    return dated + environment + "set -x\n" + "\n".join(commands) + "\n"


def collect(debs: tuple[str, ...], source: str = "") -> Phase:
    """Put the packages that `debs` (globs in the tree) name into the result.

    The first glob has to match; a link, and two packages of one name, are errors.

    With each goes what it needs (.depends), and its files as they are to be: stripped/ without
    their symbols and debug/ those (.symbols.tar); of the tree of `source`, its copyright and
    changelog.
    """
    names = assigned(work=WORK, tree=TREE, out=OUT, source=source)
    names += assigned(debs=" ".join(debs), first=debs[0])
    script = "".join(map(shell, ("symbols", "documents", "collect")))
    return Phase("collect", names + script)


def collect_whole(deb: str) -> Phase:
    """Put the one package of debugging symbols that `deb` (a glob) names into the result."""
    return Phase("collect-dbg", assigned(out=OUT, deb=deb) + shell("collect-whole"))
