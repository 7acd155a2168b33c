# SPDX-License-Identifier: GPL-2.0-or-later
"""Finished stages on disk: a key for each, made whole or not at all.

A stage's key is the digest of all its inputs, by name. Its output lies in
stages/NAME/KEY/ and appears there by one rename. Beside the files is
stage.json with the inputs, so that a later miss can say which one changed.
"""

from __future__ import annotations

import errno
import hashlib
import json
import math
import os
import re
import shutil
import stat
import tempfile
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from builders.errors import BuildError, Exit
from builders.files import of_file, write

STAGES = "stages"  # the folder of a recipe's finished stages
_RECORD = "stage.json"
_FORMAT = 1  # of stage.json; another one is not read, and its stage is made again
_LARGEST = 64 << 20  # bytes of stage.json: the inputs of a kernel are many, its notes too
_KEY = re.compile(r"[0-9a-f]{24}")


@dataclass(frozen=True)
class Output:
    """What a finished stage left.

    files: name -> sha256; notes: what it has to say to later stages and people;
    seconds: how long it took; ended: when it was finished, in seconds since 1970.
    """

    stage: str
    key: str
    folder: Path
    inputs: Mapping[str, str]
    files: Mapping[str, str]
    notes: Mapping[str, Any]
    seconds: float
    ended: float = 0.0

    def digest(self) -> str:
        """Digest of all files and notes."""
        return _key({**self.files, "notes": json.dumps(self.notes, sort_keys=True)})


HIT, MISS, UNKNOWN = "hit", "miss", "unknown"


@dataclass(frozen=True)
class State:
    """One stage as `--explain` shows it: whether it is there, and why not."""

    stage: str
    state: str
    why: str


@dataclass
class Making:
    """A stage that is being made: its name, where its files go, and its notes.

    before: seconds that it took before its block.
    """

    stage: str
    folder: Path
    notes: dict[str, Any] = field(default_factory=dict)
    before: float = 0.0


def _key(inputs: Mapping[str, str]) -> str:
    return hashlib.sha256(json.dumps(dict(inputs), sort_keys=True).encode()).hexdigest()


def key(inputs: Mapping[str, str]) -> str:
    """The key of a stage with these inputs."""
    return _key(inputs)[:24]


class Store:
    """The finished stages below one folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def find(self, stage: str, *inputs: Mapping[str, str]) -> Output | None:
        """The finished stage with the first of these inputs; None where none is there and sound.

        Its files are as they were made where their size, time of change and inode are; where
        one of these is another, the digest decides.
        """
        outputs = (self.read(stage, key(each)) for each in inputs)
        return next((output for output in outputs if output), None)

    def read(self, stage: str, name: str, *, verify: bool = False) -> Output | None:
        """The stage's output of that key; None where it is not there, or damaged.

        verify: compute every digest, as whoever uses the bytes must.
        """
        try:
            return self._checked(stage, name, verify=verify) if _KEY.fullmatch(name) else None
        except Damage:
            return None

    def verified(self, output: Output) -> Output:
        """`output` again, every digest of it computed now.

        Raises BuildError (ENGINE) where a file is not what was made; its stage is set aside,
        so that the next run makes it again.
        """
        try:
            return self._checked(output.stage, output.key, verify=True)
        except Damage as damage:
            aside = self.set_aside(output.stage, output.key)
            raise BuildError(
                f"{output.stage}: what was made before is damaged: {damage}",
                hint=f"it lies in {aside} now; run it again, and it is made anew",
                exit=Exit.ENGINE,
            ) from None

    def damage(self, stage: str, inputs: Mapping[str, str]) -> str:
        """What is wrong with the stage of these inputs; "" where it is sound or not there."""
        name = key(inputs)
        try:
            if (self._folder / stage / name).exists():
                self._checked(stage, name, verify=False)
        except Damage as damage:
            return str(damage)
        return ""

    def set_aside(self, stage: str, name: str) -> Path:
        """Move a damaged output out of the way, where a person can look at it; its new place."""
        parent = self._folder / stage
        aside = parent / f".damaged-{name}"
        shutil.rmtree(aside, ignore_errors=True)
        with suppress(FileNotFoundError):
            (parent / name).rename(aside)
        return aside

    def _checked(self, stage: str, name: str, *, verify: bool) -> Output:
        """The output, held against its record; raises Damage, which says what is wrong."""
        folder = self._folder / stage / name
        try:
            with (folder / _RECORD).open("rb") as stream:
                raw = stream.read(_LARGEST + 1)
        except OSError:
            raise Damage(f"{_RECORD} is missing or not as it was written") from None
        record = _record(raw, stage, name)
        files: Mapping[str, str] = record["files"]
        signs = record["signs"]
        fresh: dict[str, list[int]] = {}
        for file, digest in files.items():
            try:
                sign = _sign(folder / file)
                if (verify or signs.get(file) != sign) and of_file(folder / file) != digest:
                    raise Damage(f"{file} has another sha256 than when it was made")
            except OSError as error:
                raise Damage(f"{file}: {error.strerror}") from None
            fresh[file] = sign
        if fresh != signs:  # copied, or carried by a CI job: sound, and quick to look at again
            with suppress(OSError):
                write(folder / _RECORD, _dump(record | {"signs": fresh}))
        return Output(
            stage,
            name,
            folder,
            record["inputs"],
            files,
            record["notes"],
            record["seconds"],
            record["ended"],
        )

    def record(self, output: Output) -> bytes:
        """What is written of an output, without what is of this box only."""
        return _dump(
            {
                "format": _FORMAT,
                "stage": output.stage,
                "inputs": dict(output.inputs),
                "files": dict(output.files),
                "notes": dict(output.notes),
                "seconds": output.seconds,
                "ended": output.ended,
            }
        ).encode()

    def adopt(
        self, stage: str, name: str, raw: bytes, fill: Callable[[Mapping[str, str], Path], None]
    ) -> None:
        """Keep an output that was made elsewhere, whole or not at all.

        raw: its record. fill: puts its files, name -> sha256, into a folder. Raises Damage where
        the record or a file is not of the output with that key.
        """
        record = _record(raw, stage, name)
        files: Mapping[str, str] = record["files"]
        parent = self._folder / stage
        try:
            parent.mkdir(parents=True, exist_ok=True)
            folder = Path(tempfile.mkdtemp(prefix=".making-", dir=parent))
        except OSError as error:
            raise _disk(error, parent) from None
        try:
            fill(files, folder)
            for file, digest in files.items():
                if of_file(folder / file) != digest:
                    raise Damage(f"{file} has another sha256 than when it was made")
            signs = {file: _sign(folder / file) for file in files}
            write(folder / _RECORD, _dump(record | {"signs": signs}))
            folder.chmod(0o755)
            final = parent / name
            if final.exists():
                self.set_aside(stage, name)
            folder.rename(final)
        except OSError as error:
            raise _disk(error, folder) from None
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def all(self, stage: str) -> list[Output]:
        """Every output of the stage that is sound, by key."""
        names = sorted(f.name for f in (self._folder / stage).glob("*/") if f.name[0] != ".")
        return [output for name in names if (output := self.read(stage, name))]

    def why(self, stage: str, inputs: Mapping[str, str], current: str = "") -> str:
        """Why the stage has to be made: never made, or which inputs changed.

        current: the key of the output to compare with; otherwise it is the one that fewest inputs
        tell from this.
        """
        damage = self.damage(stage, inputs)
        if damage:
            return f"damaged: {damage}"
        other = self.read(stage, current) if current else None
        outputs = [other] if other else self.all(stage)
        if not outputs:
            return "never made"
        changed = min((changes(inputs, output.inputs) for output in outputs), key=len)
        return f"changed: {', '.join(changed)}"

    @contextmanager
    def make(self, stage: str, inputs: Mapping[str, str]) -> Iterator[Making]:
        """Make a stage: fill the folder in the block; it is kept where the block ends well."""
        parent = self._folder / stage
        begun = time.monotonic()
        try:
            parent.mkdir(parents=True, exist_ok=True)
            folder = Path(tempfile.mkdtemp(prefix=".making-", dir=parent))
        except OSError as error:
            raise _disk(error, parent) from None
        making = Making(stage, folder)
        try:
            yield making
            self._keep(making, stage, inputs, making.before + time.monotonic() - begun)
        except OSError as error:
            raise _disk(error, folder) from None
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def _keep(self, making: Making, stage: str, inputs: Mapping[str, str], seconds: float) -> None:
        paths = sorted(p for p in making.folder.iterdir() if p.is_file())
        files: dict[str, str] = {}
        for path in paths:
            with path.open("rb") as stream:
                files[path.name] = hashlib.file_digest(stream, "sha256").hexdigest()
                os.fsync(stream.fileno())
        record = {
            "format": _FORMAT,
            "stage": stage,
            "inputs": dict(inputs),
            "files": files,
            "signs": {p.name: _sign(p) for p in paths},
            "notes": making.notes,
            "seconds": round(seconds, 1),
            "ended": round(time.time(), 1),
        }
        write(making.folder / _RECORD, _dump(record))
        making.folder.chmod(0o755)
        final = self._folder / stage / key(inputs)
        if self.damage(stage, inputs):
            self.set_aside(stage, final.name)
        elif final.exists():  # another output of the same inputs
            shutil.rmtree(final)
        making.folder.rename(final)

    def made(self, stage: str, inputs: Mapping[str, str]) -> Output:
        """The stage that `make` has just kept."""
        output = self.find(stage, inputs)
        if output is None:
            raise BuildError(
                f"stage {stage} was made and is gone",
                hint=f"did something remove files below {self._folder}?",
                exit=Exit.STEP,
            )
        return output

    def sweep(self) -> None:
        """Remove what a run that was killed left half-made; for the holder of the lock."""
        for left in self._folder.glob("*/.making-*"):
            shutil.rmtree(left, ignore_errors=True)

    def forget(self, keep: Mapping[str, Collection[str]]) -> int:
        """Remove every output of a stage in `keep` but those with the keys there; how many.

        What was set aside as damaged goes too. Raises BuildError (ENGINE) where that can't be.
        """
        gone = 0
        for stage, kept in keep.items():
            for folder in sorted((self._folder / stage).glob("*/")):
                if folder.name not in kept and not folder.name.startswith(".making-"):
                    try:
                        shutil.rmtree(folder)
                    except OSError as error:
                        raise _disk(error, folder) from None
                    gone += 1
        return gone

    def stages(self) -> list[str]:
        """The names of all stages of which something was made."""
        return sorted(folder.name for folder in self._folder.glob("*/"))


class Damage(Exception):  # noqa: N818 - it is answered, not shown
    """What is kept of a stage is not what was made; says in what."""


def _record(raw: bytes, stage: str, name: str) -> dict[str, Any]:
    """What stage.json says of the output of a stage with the key `name`; Damage where it is wrong.

    In it are the keys that `Store.make` writes, each of its own type.
    """
    if len(raw) > _LARGEST:
        raise Damage(f"{_RECORD} is too large")
    try:
        record = json.loads(raw)
        if record["format"] != _FORMAT or record["stage"] != stage:
            raise Damage(f"{_RECORD} is of another format or stage")
        inputs, files, notes = _texts(record["inputs"]), _texts(record["files"]), record["notes"]
        looks = record.get("signs", {})
        if not isinstance(notes, dict) or not isinstance(looks, dict):
            raise Damage(f"{_RECORD} is not as it was written")
        signs = {file: [int(number) for number in sign] for file, sign in looks.items()}
        if key(inputs) != name:
            raise Damage(f"the inputs in {_RECORD} are not those of this key")
        if any(not _is_plain(file) for file in files):
            raise Damage(f"{_RECORD} names a file outside of its folder")
        seconds, ended = float(record["seconds"]), float(record.get("ended", 0.0))
        if not (math.isfinite(seconds) and math.isfinite(ended)):
            raise Damage(f"{_RECORD} is not as it was written")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, OverflowError):
        raise Damage(f"{_RECORD} is missing or not as it was written") from None
    return {
        "format": _FORMAT,
        "stage": stage,
        "inputs": inputs,
        "files": files,
        "signs": signs,
        "notes": notes,
        "seconds": seconds,
        "ended": ended,
    }


def check(raw: bytes, stage: str, name: str) -> Mapping[str, str]:
    """The files, name -> sha256, in the record of an output; Damage where it is of another one."""
    files: Mapping[str, str] = _record(raw, stage, name)["files"]
    return files


def _is_plain(name: str) -> bool:
    """Whether a file of an output may have this name."""
    return name not in ("", "..", _RECORD) and Path(name).name == name and name.isprintable()


def _texts(value: object) -> dict[str, str]:
    """A table of strings; TypeError where it is none."""
    if not isinstance(value, dict) or not all(isinstance(v, str) for v in value.values()):
        raise TypeError("not a table of strings")
    return dict(value)


def _sign(path: Path) -> list[int]:
    """What tells at a glance that a file is as it was: bytes, time of change, inode."""
    state = path.lstat()
    if not stat.S_ISREG(state.st_mode):
        raise OSError(errno.EINVAL, "not a regular file", str(path))
    return [state.st_size, state.st_mtime_ns, state.st_ino]


def _dump(record: Mapping[str, Any]) -> str:
    return json.dumps(record, indent=1, sort_keys=True) + "\n"


def changes(now: Mapping[str, str], before: Mapping[str, str]) -> list[str]:
    """The inputs that differ, and of each one whether it is new or gone."""
    return [
        name + ("" if name in before and name in now else " (new)" if name in now else " (gone)")
        for name in dict.fromkeys((*now, *before))
        if now.get(name) != before.get(name)
    ]


def _disk(error: OSError, folder: Path) -> BuildError:
    return BuildError(
        f"{folder}: {error.strerror or error}",
        hint="make room or make it writable, then run it again: finished stages are kept",
        exit=Exit.ENGINE,
    )
