# SPDX-License-Identifier: GPL-2.0-or-later
"""The harness of `tests.fuzz.mutants`: that it makes what it says, and fails where it must."""

from __future__ import annotations

import hashlib
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import pytest
from invoke.exceptions import Exit as Leave

from builders import ROOT
from builders.errors import BuildError
from builders.show.face import verb
from tests.fuzz import mutants, mutate, seeds
from tests.fuzz.runs import left
from tests.unit import debs

pytestmark = pytest.mark.slow


# What stands in for a verb: each has one fault, and is told by it.


@verb
def _sound(*_: Path) -> int:
    return 0


@verb
def _defect(*_: Path) -> int:
    raise ValueError("what nobody expected")


def _traceback(*_: Path) -> None:
    raise ValueError("behind the handling of errors")


@verb
def _wordless(*_: Path) -> int:
    raise BuildError("no")


def _odd_status(*_: Path) -> None:
    raise Leave(code=3)


def _escape(*_: Path) -> None:
    print("\x1b[2J")


def _temporary(*_: Path) -> None:
    os.close(tempfile.mkstemp(prefix="kept-")[0])


def _here(*_: Path) -> None:
    Path("stray").touch()


def _broken(*_: Path) -> None:
    Path("../out/sample_1.0_amd64.deb").write_bytes(b"!<arch>\n")


def _half_written(*paths: Path) -> None:
    _broken(*paths)
    raise Leave(code=2)


def _large(*_: Path) -> None:
    bytearray(b"x") * (300 << 20)


def _endless(*_: Path) -> None:
    signal.raise_signal(signal.SIGALRM)


_CONTROLS = (
    ("inspect", _sound, ""),
    ("inspect", _defect, "exit status 70"),
    ("inspect", _traceback, "exit status 255"),
    ("inspect", _sound, ""),
    ("diff", _wordless, "an error without a remedy"),
    ("diff", _odd_status, "exit status 3"),
    ("diff", _escape, "prints control characters"),
    ("inspect", _temporary, "leaves kept-"),
    ("inspect", _here, "leaves stray"),
    ("finish", _sound, "leaves 0 files"),
    ("finish", _half_written, "leaves 1 files"),
    ("finish", _broken, "makes what can't be read"),
    ("inspect", _large, "too much memory"),
    ("inspect", _endless, "exit status 255"),
    ("inspect", _sound, ""),
)


def test_a_verb_with_a_fault_is_a_failure() -> None:
    """Each in turn, over one package; and nothing of one is left for the next."""
    verbs = [(name, body) for name, body, _ in _CONTROLS]
    [tally] = mutants.run(1, 0, 1, jobs=1, verbs=verbs)
    faults = [(name, fault) for name, _, fault in _CONTROLS if fault]
    assert [failure.run.verb for failure in tally.failures] == [name for name, _ in faults]
    for failure, (_, fault) in zip(tally.failures, faults, strict=True):
        assert fault in failure.run.fault
    first = str(tally.failures[0])
    assert "ValueError: what nobody expected" in first  # from the log, which is gone with it
    assert "again: python -m tests.fuzz --seed 1 --start 0 --count 1" in first
    assert tally.memory >= 300 << 10


@pytest.mark.skipif(not shutil.which("dpkg-deb"), reason="needs dpkg-deb")
def test_dpkg_deb_judges_what_was_made(tmp_path: Path) -> None:
    for each in ("out", "tmp", "state"):
        (tmp_path / each).mkdir()
    for content, words in ((b"!<arch>\n", "dpkg-deb refuses what it made"), (None, "")):
        made = debs.make(tmp_path / "out/sample.deb")
        if content:
            made.write_bytes(content)
        assert left(tmp_path, "finish", 0).startswith(words)
        assert not made.exists()


def test_package_n_of_a_seed_is_always_the_same() -> None:
    """In any process, and whichever package is the first that is made there."""
    code = "from tests.unit.test_mutants import digests; print(*digests(range(59, -1, -1)))"
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env=os.environ | {"PYTHONHASHSEED": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    here = digests(range(60))
    assert done.stdout.split() == here[::-1]
    assert len(set(here)) == 60


def digests(numbers: Iterable[int]) -> list[str]:
    """Of all that there is to each package."""
    with tempfile.TemporaryDirectory() as name:
        corpus = [path.read_bytes() for path in seeds.small(Path(name))]
    return [
        hashlib.sha256(repr(mutants.package(7, number, corpus)).encode()).hexdigest()
        for number in numbers
    ]


def test_each_layer_changes_what_it_is_named_after(tmp_path: Path) -> None:
    """A deep mutation leaves the layers around it sound."""
    [service] = [path for path in seeds.small(tmp_path) if path.stem == "service"]
    data = service.read_bytes()
    control, items = (mutate.read(content) for _, content in mutate.split(data)[1:])
    changed = Counter[str]()
    for number in range(40):
        rng = random.Random(number)  # noqa: S311  # nothing is secret
        for layer, part, others in (("control", 1, items), ("members", 2, control)):
            members = mutate.split(mutate.mutated(data, rng, layer))
            plain = [mutate.unpacked(*member) or b"" for member in members[1:]]
            assert mutate.read(plain[2 - part]) == others
            changed[layer] += mutate.read(plain[part - 1]) != (control, items)[part - 1]
    assert min(changed["control"], changed["members"]) > 30
