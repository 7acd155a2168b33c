# SPDX-License-Identifier: GPL-2.0-or-later
"""The store that several machines share: a registry of OCI artifacts.

A tag names each thing in it: stage-NAME-KEY, source-SHA256, commit-COMMIT, image-KEY-FINGERPRINT.
What it serves is held against the digests in the manifest, and a stage against its key, as if it
lay here. Whoever may write to the store is trusted with what builds make, as whoever may write to
artifacts/ is.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import re
import threading
import time
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from builders.errors import BuildError, Exit
from builders.ground.registry.address import Address
from builders.ground.registry.client import CONFIG_LIMIT, TAG, Blob, Manifest, Registry, of_bytes
from builders.ground.registry.failures import RegistryError, WrongBytesError
from builders.ground.sources.address import Failed, Patience
from builders.ground.sources.cache import Cache, CachedFile, WrongDigest
from builders.ground.sources.pins import UrlSource
from builders.pipeline.stages import Damage, Output, Store, check, key
from builders.text import printable

STAGE = "application/vnd.dom0-debs.stage.v1"
SOURCE = "application/vnd.dom0-debs.source.v1"
IMAGE = "application/vnd.dom0-debs.image.v1"
COMMIT = "application/vnd.dom0-debs.commit.v1"
CCACHE = "application/vnd.dom0-debs.ccache.v1"
REBUILT = "application/vnd.dom0-debs.rebuild.v1"
LOG = "application/vnd.dom0-debs.log.v1"
KEPT = "application/vnd.dom0-debs.kept.v1"
_EMPTY = b"{}"
_LARGEST_IMAGE = 64 << 30  # bytes, unpacked
_LARGEST_CCACHE = 8 << 30  # bytes; 2 GiB are carried
_LARGEST_STATEMENT = 1 << 20  # bytes
_STATEMENTS = 200  # on one build
_LARGEST_LOG = CONFIG_LIMIT  # bytes; of a longer one the end is sent
_STAGE_TAG = re.compile(r"stage-(.+)-([0-9a-f]{24})")


def _tag(stage: str, name: str) -> str:
    """The tag of a stage's output."""
    return f"stage-{stage}-{name}"


@dataclass(frozen=True)
class Entry:
    """What lies in the store under a tag.

    size: bytes of its files. created: when it was put there, in seconds since 1970. kept: whether
    a release names it.
    """

    tag: str
    kind: str
    size: int
    created: float
    kept: bool


@dataclass(frozen=True)
class Said:
    """A statement on a build and the signature on it, as they lie under a tag; not checked."""

    tag: str
    statement: bytes
    signature: bytes


def _gzip(chunks: Iterable[bytes]) -> Iterator[bytes]:
    packer = zlib.compressobj(1, zlib.DEFLATED, 31)  # 31: with the head and the end of gzip
    for chunk in chunks:
        if packed := packer.compress(chunk):
            yield packed
    yield packer.flush()


def _bounded(stream: gzip.GzipFile) -> Iterator[bytes]:
    """What a stream unpacks to, up to the size that no image has."""
    size = 0
    while chunk := stream.read(1 << 20):
        size += len(chunk)
        if size > _LARGEST_IMAGE:
            raise WrongBytesError(f"it unpacks to more than {_LARGEST_IMAGE} bytes")
        yield chunk


def _hold(files: Mapping[str, str], manifest: Manifest) -> None:
    """Raise Damage where the files of a record, name -> sha256, are not those of its manifest."""
    named = {layer.name: layer.digest for layer in manifest.layers}
    if named != {name: f"sha256:{digest}" for name, digest in files.items()}:
        raise Damage("its files are not those of its record")


def _bytes(manifest: Manifest) -> int:
    return manifest.config.size + sum(layer.size for layer in manifest.layers)


@dataclass
class Shared:
    """The store of one run.

    reads, writes: whether this run may. stages: whether it takes stages and what was compiled, and
    not only sources and images. note: is told what a person should know, once.
    stop: once it is set, nothing more is sent or read.
    Where it cannot be read, the run goes on without it. What could not be written is an error at
    the end of the run, when all is kept here (`failure`).
    """

    address: Address
    note: Callable[[str], None]
    reads: bool = True
    writes: bool = True
    stages: bool = True
    patience: Patience = field(default_factory=Patience)
    stop: threading.Event = field(default_factory=threading.Event)
    _of_thread: threading.local = field(default_factory=threading.local)
    _refused: list[RegistryError] = field(default_factory=list)

    @property
    def _registry(self) -> Registry:
        # A connection has one deadline, so each thread has a connection of its own.
        if not hasattr(self._of_thread, "registry"):
            self._of_thread.registry = Registry(self.address, self.patience, self.stop)
        registry: Registry = self._of_thread.registry
        return registry

    # -- stages -------------------------------------------------------------

    def has(self, stage: str, inputs: Iterable[Mapping[str, str]]) -> bool:
        """Whether the store says that it has the stage with one of these inputs."""
        if not self.reads or not self.stages:
            return False
        try:
            return any(self._registry.has(_tag(stage, key(each))) for each in inputs)
        except RegistryError as error:
            self._without(error)
        return False

    def bring(self, store: Store, stage: str, inputs: Iterable[Mapping[str, str]]) -> bool:
        """Keep the stage with one of these inputs in `store` too; whether it is there now."""
        for each in inputs:
            if not self.reads or not (self.stages or stage == "image"):
                return False
            name = key(each)
            try:
                answer = self._registry.manifest(_tag(stage, name))
                if answer:
                    self._adopt(store, stage, name, answer[0])
                    return True
            except (Damage, WrongBytesError) as error:
                self.note(f"{stage}: what the store {self.address} has is not used: {error}")
            except RegistryError as error:
                self._without(error)
        return False

    def _adopt(self, store: Store, stage: str, name: str, manifest: Manifest) -> None:
        if manifest.kind != STAGE:
            raise Damage("it is no stage")
        layers = {layer.name: layer for layer in manifest.layers}

        def fill(files: Mapping[str, str], folder: Path) -> None:
            _hold(files, manifest)
            for file in files:
                with (folder / file).open("xb") as out:
                    self._registry.read(layers[file], out.write)

        store.adopt(stage, name, self._registry.get(manifest.config), fill)

    def offer(self, store: Store, output: Output, *, again: bool = False) -> None:
        """Put an output of `store` into the shared one, unless it is there; its manifest last.

        again: in place of the one that is there.
        """
        if not self._may_write():
            return
        with self._noting(output.stage):
            if not again and self._registry.has(_tag(output.stage, output.key)):
                return
            files = [output.folder / name for name in sorted(output.files)]
            layers = [
                Blob(f"sha256:{output.files[path.name]}", path.stat().st_size, path.name)
                for path in files
            ]
            for path, layer in zip(files, layers, strict=True):
                with path.open("rb") as stream:
                    self._registry.put(layer, stream)
            self._name(_tag(output.stage, output.key), STAGE, store.record(output), layers)

    # -- what other machines say of a release -------------------------------

    def offer_statement(self, tag: str, statement: bytes, signature: bytes) -> None:
        """Put a signed statement into the store, in place of an earlier one of that tag."""
        if not self._may_write():
            return
        with self._noting(tag):
            layers = [of_bytes(statement, "statement.json"), of_bytes(signature, "signature.asc")]
            for layer, content in zip(layers, (statement, signature), strict=True):
                self._registry.put(layer, io.BytesIO(content))
            self._name(tag, REBUILT, _EMPTY, layers)

    def statements(self, beginning: str) -> list[Said]:
        """The statements whose tags begin so, `_STATEMENTS` at most. Raises BuildError."""
        said = []
        with self._required():
            tags = [tag for tag in self._registry.tags() if tag.startswith(beginning)]
            for tag in tags[:_STATEMENTS]:
                with suppress(WrongBytesError):
                    answer = self._registry.manifest(tag)
                    if not answer or answer[0].kind != REBUILT or len(answer[0].layers) != 2:
                        continue
                    parts: list[bytes] = []
                    for layer in answer[0].layers:
                        content: list[bytes] = []
                        self._registry.read(layer, content.append, _LARGEST_STATEMENT)
                        parts.append(b"".join(content))
                    said.append(Said(tag, *parts))
        return said

    # -- logs of failed steps -----------------------------------------------

    def offer_log(self, stage: str, inputs: Mapping[str, str], log: Path) -> None:
        """Put the log of a step that failed into the store, in place of an earlier one; say so."""
        if not self._may_write():
            return
        tag = f"log-{stage}-{key(inputs)}"
        with self._noting(tag):
            with log.open("rb") as stream:
                stream.seek(max(0, log.stat().st_size - _LARGEST_LOG))
                text = stream.read(_LARGEST_LOG)
            layer = of_bytes(text, log.name)
            self._registry.put(layer, io.BytesIO(text))
            self._name(tag, LOG, _EMPTY, [layer])
            self.note(f"{stage}: its log is in the store: ./inv store --log {tag}")

    def log(self, tag: str) -> bytes:
        """The log of that tag. Raises BuildError where there is none, or it can't be read."""
        with self._required():
            answer = self._registry.manifest(tag) if TAG.fullmatch(tag) else None
            if not answer or answer[0].kind != LOG or len(answer[0].layers) != 1:
                raise BuildError(
                    f"the store {self.address} has no log {printable(tag)[:200]}",
                    hint="./inv store lists what is there; a log begins with log-",
                )
            return self._registry.get(answer[0].layers[0])

    # -- sources ------------------------------------------------------------

    def source(self, source: UrlSource, name: str, cache: Cache) -> CachedFile | None:
        """The file of that sha256 in the cache; None where the store has none."""
        if not self.reads:
            return None
        try:
            answer = self._registry.manifest(f"source-{source.sha256}")
            if not answer or answer[0].kind != SOURCE or len(answer[0].layers) != 1:
                return None
            layer = answer[0].layers[0]
            if layer.digest != f"sha256:{source.sha256}" or source.size not in (None, layer.size):
                raise WrongBytesError("it names other bytes")
            with cache.scratch() as folder:
                with (folder / "file").open("xb") as out:
                    self._registry.read(layer, out.write)
                return cache.adopt(folder / "file", source.sha256, name=name)
        except (WrongBytesError, WrongDigest) as error:
            self.note(f"{source.name}: what the store {self.address} has is not used: {error}")
        except RegistryError as error:
            self._without(error)
        return None

    def offer_source(self, file: CachedFile) -> None:
        """Put a file of the cache into the store, unless it is there."""
        if not self._may_write():
            return
        tag = f"source-{file.sha256}"
        with self._noting(file.name):
            if not self._registry.has(tag):
                layer = Blob(f"sha256:{file.sha256}", file.size, file.name)
                with file.path.open("rb") as stream:
                    self._registry.put(layer, stream)
                self._name(tag, SOURCE, _EMPTY, [layer])

    def pack(self, commit: str, place: Path) -> bool:
        """Write the pack of a commit of git to `place`; whether there is one."""
        return self._one(f"commit-{commit}", COMMIT, place, self.patience.repository[1])

    def _one(self, tag: str, kind: str, place: Path, limit: int) -> bool:
        """Write the only file of a tag to `place`, `limit` bytes at most; whether there is one."""
        if not self.reads:
            return False
        try:
            answer = self._registry.manifest(tag)
            if not answer or answer[0].kind != kind or len(answer[0].layers) != 1:
                return False
            with place.open("xb") as out:
                self._registry.read(answer[0].layers[0], out.write, limit)
            return True
        except WrongBytesError as error:
            self.note(f"{tag}: what the store {self.address} has is not used: {error}")
        except RegistryError as error:
            self._without(error)
        return False

    def _offer_one(self, tag: str, kind: str, path: Path) -> None:
        """Put a file under a tag, in place of what was there."""
        with path.open("rb") as stream:
            digest = hashlib.file_digest(stream, "sha256").hexdigest()
            layer = Blob(f"sha256:{digest}", path.stat().st_size, path.name)
            self._registry.put(layer, stream)
        self._name(tag, kind, _EMPTY, [layer])

    def offer_pack(self, commit: str, make: Callable[[], Path]) -> None:
        """Put the pack of a commit into the store, unless it is there; make: gives it."""
        if not self._may_write():
            return
        tag = f"commit-{commit}"
        with self._noting(tag):
            if self._registry.has(tag):
                return
            try:
                path = make()
            except Failed as error:
                self.note(f"{tag}: not sent to the store: {error.reason}")
                return
            self._offer_one(tag, COMMIT, path)

    # -- what was compiled --------------------------------------------------

    def compiled(self, suite: str, recipe: str, place: Path) -> bool:
        """Write what ccache had for that recipe of the project to `place`; whether there is any."""
        return self.stages and self._one(f"ccache-{suite}-{recipe}", CCACHE, place, _LARGEST_CCACHE)

    def offer_compiled(self, suite: str, recipe: str, make: Callable[[], Path]) -> None:
        """Put what ccache has into the store, in place of what was there; make: gives it."""
        if not self._may_write():
            return
        tag = f"ccache-{suite}-{recipe}"
        with self._noting(tag):
            self._offer_one(tag, CCACHE, make())

    # -- builder images -----------------------------------------------------

    def image(self, name: str, cache: Cache, load: Callable[[Iterator[bytes]], None]) -> bool:
        """Hand the root file system of the image to `load`, as a tar; whether it is there.

        name: of the image, with its key and fingerprint.
        """
        if not self.reads:
            return False
        try:
            answer = self._registry.manifest(f"image-{name}")
            if not answer or answer[0].kind != IMAGE or len(answer[0].layers) != 1:
                return False
            # Whole before it is handed on: the engine would keep what is not what it should be.
            with cache.scratch() as folder:
                with (folder / "image").open("xb") as out:
                    self._registry.read(answer[0].layers[0], out.write)
                with gzip.open(folder / "image") as stream:
                    load(_bounded(stream))
            return True
        except (WrongBytesError, EOFError, gzip.BadGzipFile, zlib.error) as error:
            self.note(f"image: what the store {self.address} has is not used: {error}")
        except RegistryError as error:
            self._without(error)
        return False

    def offer_image(self, name: str, export: Callable[[], Iterator[bytes]]) -> None:
        """Put an image into the store, unless it is there; export: its root file system."""
        if not self._may_write():
            return
        tag = f"image-{name}"
        with self._noting(tag):
            if not self._registry.has(tag):
                layer = self._registry.stream(_gzip(export()))
                self._name(tag, IMAGE, _EMPTY, [layer])

    # -- upkeep -------------------------------------------------------------

    def keep(self, name: str, stages: Iterable[tuple[str, str]]) -> None:
        """Note that a release has these stages, each with its key: they are never pruned.

        name: of the recipe.
        """
        if not self._may_write():
            return
        tags = "\n".join(sorted(_tag(stage, key) for stage, key in stages)).encode()
        tag = f"release-{name}"[:100] + f"-{of_bytes(tags).digest[7:19]}"
        with self._noting(tag):
            self._name(tag, KEPT, tags, [])

    def _name(self, tag: str, kind: str, config: bytes, layers: list[Blob]) -> None:
        blob = of_bytes(config)
        self._registry.put(blob, io.BytesIO(config))
        self._registry.name(tag, Manifest(kind, blob, tuple(layers), time.time()))

    @contextmanager
    def _noting(self, what: str) -> Iterator[None]:
        """Note what could not be written in the block."""
        try:
            yield
        except RegistryError as error:
            self._refused.append(error)
        except OSError as error:
            self._refused.append(RegistryError(f"{what}: {error.strerror}"))

    def _may_write(self) -> bool:
        """Whether to go on writing: after one refusal the next would only take time."""
        return self.writes and not self._refused

    def _without(self, error: RegistryError) -> None:
        """Go on without reading."""
        if self.reads:
            self.reads = False
            hint = f"; {error.hint}" if error.hint else ""
            self.note(f"the store {self.address} is not read: {error.reason}{hint}")

    def entries(self) -> list[Entry]:
        """All that lies in the store, by tag. Raises BuildError where it cannot be read."""
        with self._required():
            kept = self._kept()
            return [
                Entry(tag, manifest.kind, _bytes(manifest), manifest.created, tag in kept)
                for tag, manifest in self._manifests()
            ]

    def _manifests(self) -> Iterator[tuple[str, Manifest]]:
        """All of ours; what else a person keeps there is none of this tool's business."""
        for tag in self._registry.tags():
            with suppress(WrongBytesError):
                if answer := self._registry.manifest(tag):
                    yield tag, answer[0]

    def _kept(self) -> set[str]:
        """The tags that releases name."""
        kept: set[str] = set()
        for tag, manifest in self._manifests():
            if manifest.kind == KEPT:
                kept |= {
                    tag,
                    *self._registry.get(manifest.config).decode("utf-8", "replace").split("\n"),
                }
        return kept

    def prune(self, days: float) -> list[Entry]:
        """Remove what was put there more than so many days ago and no release names; what it was.

        The registry gives the room back when it collects its garbage.
        Raises BuildError where it cannot be read or written.
        """
        before = time.time() - days * 86400
        # What was said of a release is small, and as good as on the first day.
        old = [e for e in self.entries() if not e.kept and e.kind != REBUILT and e.created < before]
        with self._required():
            for entry in old:
                if answer := self._registry.manifest(entry.tag):
                    self._registry.forget(answer[1])
        return old

    def damaged(self) -> list[tuple[str, str]]:
        """What is not sound of all that lies there, read to its last byte: tag, and what is wrong.

        Raises BuildError where it cannot be read.
        """
        wrong: list[tuple[str, str]] = []
        with self._required():
            for tag in self._registry.tags():
                try:
                    self._examine(tag)
                except (Damage, WrongBytesError) as error:
                    wrong.append((tag, str(error)))
        return wrong

    def _examine(self, tag: str) -> None:
        answer = self._registry.manifest(tag)
        if answer is None:
            return
        manifest = answer[0]
        config = self._registry.get(manifest.config)
        if manifest.kind == STAGE:
            matched = _STAGE_TAG.fullmatch(tag)
            if not matched:
                raise Damage("its tag is none of a stage")
            _hold(check(config, matched[1], matched[2]), manifest)
        elif manifest.kind == SOURCE and [layer.digest for layer in manifest.layers] != [
            f"sha256:{tag.removeprefix('source-')}"
        ]:
            raise Damage("it is not the file of its tag")
        for layer in manifest.layers:
            self._registry.read(layer, lambda _: None)

    @contextmanager
    def _required(self) -> Iterator[None]:
        """Turn a refusal in the block into an error for people."""
        try:
            yield
        except RegistryError as error:
            raise BuildError(
                f"the store {self.address}: {error.reason}",
                hint=error.hint or "is it the right address, and does the registry run?",
                exit=Exit.ENGINE,
            ) from None

    def failure(self) -> BuildError | None:
        """The error of what could not be written; None where all was."""
        if not self._refused:
            return None
        first = self._refused[0]
        return BuildError(
            f"the store {self.address} could not be written: {first.reason}",
            hint=f"{first.hint or 'try again'}; all that was made is kept here, and is sent then; "
            "--store-mode read leaves it out",
            exit=Exit.ENGINE,
        )
