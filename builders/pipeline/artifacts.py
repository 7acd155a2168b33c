# SPDX-License-Identifier: GPL-2.0-or-later
"""The artifacts folder of a recipe: its finished packages, and the manifest of what is current.

manifest.json says, for each target ("xen", "kernel-minimal"), which finished packages lie in the
folder and which stages they come from. What is current is what it names, never what is newest.
"""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from builders.errors import BuildError, Exit
from builders.files import link, of_file, write
from builders.pipeline.recipe import Recipe
from builders.pipeline.stages import Output

MANIFEST = "manifest.json"
_LARGEST = 16 << 20  # bytes of a manifest
_KEY = re.compile(r"[0-9a-f]{24}")
_DIGEST = re.compile(r"[0-9a-f]{64}")
_FILE = re.compile(r"\w[\w.+~:%-]*\.u?deb")


@dataclass(frozen=True)
class Package:
    """One finished package in the artifacts folder."""

    path: Path
    package: str
    version: str
    architecture: str
    sha256: str
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Listed:
    """A package as the manifest lists it, under the name of its file."""

    package: str
    version: str
    architecture: str
    sha256: str
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Target:
    """What the manifest says of one target.

    stage, build: keys of its finished stage, and of the build stage that was corrected.
    overrides: the `--set` of the run, as they were typed.
    """

    stage: str
    build: str
    overrides: tuple[str, ...]
    packages: Mapping[str, Listed]


NOTHING = Target("", "", (), {})  # of a target that was not built


@dataclass
class Manifest:
    """What is current in a recipe's artifacts.

    targets: what is published of each target. builds: target -> key of the build stage that a
    run made or found last; another one than the target's where its correction failed.
    """

    recipe: str = ""
    suite: str = ""
    targets: dict[str, Target] = field(default_factory=dict)
    builds: dict[str, str] = field(default_factory=dict)

    def flavours(self) -> list[str]:
        """The flavours of the kernels that are published, sorted."""
        names = (name.partition("-") for name in self.targets)
        return sorted(flavour for kind, _, flavour in names if kind == "kernel")


class DamagedManifestError(BuildError):
    """A manifest that is there and cannot be believed."""


def read(folder: Path) -> Manifest | None:
    """The manifest in `folder`; None where there is none.

    Raises DamagedManifestError where it is not as `publish` writes it.
    """
    path = folder / MANIFEST
    try:
        with path.open("rb") as stream:
            raw = stream.read(_LARGEST + 1)
        if len(raw) > _LARGEST:
            raise ValueError("too large")
        said = json.loads(raw)
        return Manifest(
            _text(said.get("recipe", "")),
            _text(said.get("suite", "")),
            {_text(name): _target(slot) for name, slot in said["targets"].items()},
            {_text(n): _matching(_KEY, key) for n, key in said.get("builds", {}).items()},
        )
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not as it was written"
        raise DamagedManifestError(
            f"{path} is damaged: {why}",
            hint=f"move it away; building again makes it anew from what is kept: {folder.name}",
        ) from None


def _target(slot: Mapping[str, Any]) -> Target:
    return Target(
        _matching(_KEY, slot["stage"]),
        _matching(_KEY, slot["build"]) if slot.get("build") else "",
        tuple(map(_text, slot["overrides"])),
        {
            _matching(_FILE, file): Listed(
                _text(about["package"]),
                _text(about["version"]),
                _text(about["architecture"]),
                _matching(_DIGEST, about["sha256"]),
                tuple(map(_text, about.get("notes", ()))),
            )
            for file, about in slot["packages"].items()
        },
    )


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"not a string: {value!r}")
    return value


def _matching(form: re.Pattern[str], value: object) -> str:
    text = _text(value)
    if not form.fullmatch(text):
        raise ValueError(text)
    return text


def _kept(folder: Path) -> Manifest:
    """The manifest, or an empty one in place of what cannot be believed."""
    try:
        return read(folder) or Manifest()
    except DamagedManifestError:
        return Manifest()


def note_build(folder: Path, target: str, key: str) -> None:
    """Remember that the build `key` is the current one of `target`, finished or not.

    Raises BuildError (ENGINE) where the folder can't be written.
    """
    manifest = _kept(folder)
    if manifest.builds.get(target) != key:
        manifest.builds[target] = key
        _store(folder, manifest)


def publish(
    folder: Path, recipe: Recipe, outputs: Mapping[str, tuple[Output, Output]]
) -> list[Package]:
    """Put the packages into `folder`, each whole, and then the manifest.

    outputs: target -> its build, and that build finished. Packages of an earlier run that these
    replace are removed. Raises BuildError (ENGINE) where the folder can't be written.
    """
    manifest = _kept(folder)
    before = {file for target in manifest.targets.values() for file in target.packages}
    published: list[Package] = []
    for name, (build, output) in outputs.items():
        packages: dict[str, Listed] = {}
        for file, about in output.notes["packages"].items():
            _place(output, file, folder / file)
            listed = Listed(
                about["package"],
                about["version"],
                about["architecture"],
                output.files[file],
                tuple(about["notes"]),
            )
            packages[file] = listed
            published.append(Package(path=folder / file, **vars(listed)))
        manifest.targets[name] = Target(output.key, build.key, recipe.overrides, packages)
        manifest.builds[name] = build.key
    manifest.recipe, manifest.suite = recipe.name, recipe.suite.name
    _store(folder, manifest)
    now = {file for target in manifest.targets.values() for file in target.packages}
    for replaced in before - now:
        with contextlib.suppress(OSError):  # it is no longer in the manifest
            (folder / replaced).unlink(missing_ok=True)
    return published


def _place(output: Output, name: str, target: Path) -> None:
    """Make `target` the stage's file: a hard link, or a copy where the file system has none."""
    source = output.folder / name
    try:
        if target.exists() and (
            target.samefile(source)
            # A copy: its digest says whether it is still the stage's file.
            or (target.is_file() and of_file(target) == output.files[name])
        ):
            return
        link(source, target)
    except OSError as error:
        raise _unwritten(target, error) from None


def _store(folder: Path, manifest: Manifest) -> None:
    document = json.dumps(asdict(manifest), indent=2, sort_keys=True) + "\n"
    path = folder / MANIFEST
    with contextlib.suppress(OSError):
        if path.read_text(encoding="utf-8") == document:
            return
    try:
        write(path, document)
    except OSError as error:
        raise _unwritten(path, error) from None


def _unwritten(path: Path, error: OSError) -> BuildError:
    return BuildError(
        f"{path} cannot be written: {error.strerror or error}",
        hint="make room or make the folder yours, then run it again: finished stages are kept",
        exit=Exit.ENGINE,
    )
