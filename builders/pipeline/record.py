# SPDX-License-Identifier: GPL-2.0-or-later
"""What a build was made from, and what its correction was: the records that a release reads.

A stage keeps its inputs as one flat table, name -> digest, of which its key is made. Only this
module knows how the names in it are made up.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from builders.epoch import parse as parse_epoch
from builders.errors import BuildError, Exit
from builders.ground.sources import cache
from builders.pipeline.stages import Output, Store

Digests = Mapping[str, str]  # name -> sha256


@dataclass(frozen=True)
class PlanRecord:
    """What a plan says: its phases' scripts, the files that it adds, its patches."""

    scripts: Digests = field(default_factory=dict)
    files: Digests = field(default_factory=dict)
    patches: Digests = field(default_factory=dict)

    def inputs(self) -> dict[str, str]:
        """As the flat table has it."""
        return (
            _flat("script", self.scripts) | _flat("file", self.files) | _flat("patch", self.patches)
        )


@dataclass(frozen=True)
class BuildRecord:
    """What a build was made from.

    image: fingerprint of the builder image. environment: digest of what else the container is.
    sources: name -> digest of its files. ccache: whether objects could be taken from it. kept:
    whether it was built in a tree that earlier builds had left.
    """

    image: str
    environment: str
    plan: PlanRecord
    sources: Digests
    ccache: bool = True
    kept: bool = False

    def inputs(self) -> dict[str, str]:
        """As the flat table has it."""
        return {
            "image": self.image,
            **({"environment": self.environment} if self.environment else {}),
            **self.plan.inputs(),
            **_flat("source", self.sources),
            **({} if self.ccache else {"ccache": "none"}),
            **({"tree": "kept"} if self.kept else {}),
        }

    @classmethod
    def of(cls, build: Output) -> BuildRecord:
        """The record of a build that is kept."""
        inputs = build.inputs
        return cls(
            inputs.get("image", ""),
            inputs.get("environment", ""),
            PlanRecord(_named("script", inputs), _named("file", inputs), _named("patch", inputs)),
            _named("source", inputs),
            "ccache" not in inputs,
            "tree" in inputs,
        )


@dataclass(frozen=True)
class FinishRecord:
    """What finished packages were made from.

    code: digest of what corrects. corrections: of what the recipe says of it. raw: the files of the
    build. signed: digest of the certificate whose key signed the modules; "" where none did.
    """

    code: str
    corrections: str
    raw: Digests
    signed: str = ""

    def inputs(self) -> dict[str, str]:
        """As the flat table has it."""
        code = {"this tool's code": self.code} if self.code else {}
        signed = {"certificate": self.signed} if self.signed else {}
        return {**code, **signed, "corrections": self.corrections, **_flat("raw", self.raw)}

    @classmethod
    def of(cls, finished: Output) -> FinishRecord:
        """The record of finished packages that are kept."""
        inputs = finished.inputs
        return cls(
            inputs.get("this tool's code", ""),
            inputs.get("corrections", ""),
            _named("raw", inputs),
            inputs.get("certificate", ""),
        )


def build_stage(target: str) -> str:
    """The stage in which "xen" or "kernel-FLAVOUR" is built."""
    return f"{target}-build"


def finish_stage(target: str) -> str:
    """The stage in which the packages of that build are finished."""
    return f"{target}-finish"


def image_records(store: Store, build: Output) -> list[Output]:
    """The records that are kept of the image of a build; one for each recipe that came to it."""
    fingerprint = BuildRecord.of(build).image
    return [each for each in store.all("image") if each.notes.get("fingerprint") == fingerprint]


def _flat(kind: str, digests: Digests) -> dict[str, str]:
    return {f"{kind} {name}": digest for name, digest in digests.items()}


def _named(kind: str, inputs: Digests) -> dict[str, str]:
    start = f"{kind} "
    return {n.removeprefix(start): d for n, d in inputs.items() if n.startswith(start)}


def behind(build: Output) -> dict[str, str]:
    """Source -> what to know of newer versions that the mirror listed when it was fetched."""
    unserved = build.notes.get("unserved", {})
    return {name: cache.behind(versions) for name, versions in unserved.items() if versions}


def stated(path: Path, limit: int) -> str:
    """What a step wrote to one of its files; it may be anything. BuildError (STEP) where it is."""
    try:
        with path.open("rb") as stream:
            content = stream.read(limit + 1)
        if len(content) > limit:
            raise ValueError("too long")
        return content.decode("ascii")
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else "is not what the step writes there"
        raise BuildError(
            f"{path.name}, as the build left it: {why}",
            hint="something in the build writes below /build/out, or /build/epoch",
            exit=Exit.STEP,
        ) from None


def epoch(build: Output) -> int:
    """SOURCE_DATE_EPOCH of a build: the time that it says its source has."""
    try:
        return parse_epoch(stated(build.folder / "epoch", 64).strip())
    except ValueError as error:
        raise BuildError(
            f"the time of the source is {error}",
            hint="the newest file of the source says when it was made: is its date right?",
            exit=Exit.STEP,
        ) from None
