# SPDX-License-Identifier: GPL-2.0-or-later
"""Finished stages on disk: a key for each, made whole or not at all.

A stage's key is the digest of all its inputs, by name. Its output lies in
stages/NAME/KEY/ and appears there by one rename. Beside the files is
stage.json with the inputs, so that a later miss can say which one changed.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from builders.errors import BuildError, Exit

_RECORD = "stage.json"
_FORMAT = 1  # of stage.json; another one is not read, and its stage is made again


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


@dataclass
class Making:
    """A stage that is being made: where its files go, and its notes.

    before: seconds that it took before its block.
    """

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

    def find(self, stage: str, inputs: Mapping[str, str]) -> Output | None:
        """The finished stage with these inputs; None where it is not there, or not whole."""
        return self._read(stage, key(inputs))

    def _read(self, stage: str, name: str) -> Output | None:
        folder = self._folder / stage / name
        try:
            record = json.loads((folder / _RECORD).read_text(encoding="utf-8"))
            tables = [record[name] for name in ("inputs", "files", "notes", "sizes")]
            if record["format"] != _FORMAT or not all(isinstance(t, dict) for t in tables):
                return None
            sizes: dict[str, int] = record["sizes"]
            if any((folder / f).stat().st_size != size for f, size in sizes.items()):
                return None
            return Output(
                stage,
                name,
                folder,
                record["inputs"],
                record["files"],
                record["notes"],
                record["seconds"],
                record.get("ended", 0.0),
            )
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def latest(self, stage: str) -> Output | None:
        """The stage's newest output, whatever its inputs were."""
        try:
            folders = sorted(
                (self._folder / stage).iterdir(), key=lambda p: p.stat().st_mtime, reverse=True
            )
        except OSError:
            return None
        outputs = (self._read(stage, f.name) for f in folders if not f.name.startswith("."))
        return next((output for output in outputs if output), None)

    def read(self, stage: str, name: str) -> Output | None:
        """The stage's output of that key; None where it is not there, or not whole."""
        return self._read(stage, name) if Path(name).name == name else None

    def all(self, stage: str) -> list[Output]:
        """Every output of the stage that is whole, by key."""
        names = sorted(f.name for f in (self._folder / stage).glob("*/") if f.name[0] != ".")
        return [output for name in names if (output := self._read(stage, name))]

    def why(self, stage: str, inputs: Mapping[str, str]) -> str:
        """Why the stage has to be made: never made, or which inputs changed since."""
        if (self._folder / stage / key(inputs)).exists():
            return "its files are damaged"
        last = self.latest(stage)
        if last is None:
            return "never made"
        changed = [
            name + ("" if name in last.inputs and name in inputs else _new(name, inputs))
            for name in dict.fromkeys((*inputs, *last.inputs))
            if inputs.get(name) != last.inputs.get(name)
        ]
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
        making = Making(folder)
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
            "sizes": {p.name: p.stat().st_size for p in paths},
            "notes": making.notes,
            "seconds": round(seconds, 1),
            "ended": round(time.time(), 1),
        }
        with (making.folder / _RECORD).open("w", encoding="utf-8") as out:
            json.dump(record, out, indent=1, sort_keys=True)
            out.flush()
            os.fsync(out.fileno())
        making.folder.chmod(0o755)
        final = self._folder / stage / key(inputs)
        if final.exists():  # it was damaged, or another output of the same inputs
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

    def forget_old(self) -> int:
        """Remove every output that a newer one of its stage has replaced; how many that were."""
        gone = 0
        for stage in self._folder.glob("*/"):
            newest = self.latest(stage.name)
            for folder in stage.glob("*/"):
                if newest is None or folder != newest.folder:
                    shutil.rmtree(folder)
                    gone += 1
        return gone


def _new(name: str, inputs: Mapping[str, str]) -> str:
    return " (new)" if name in inputs else " (gone)"


def _disk(error: OSError, folder: Path) -> BuildError:
    return BuildError(
        f"{folder}: {error.strerror or error}",
        hint="make room or make it writable, then run it again: finished stages are kept",
        exit=Exit.ENGINE,
    )
