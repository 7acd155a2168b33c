# SPDX-License-Identifier: GPL-2.0-or-later
"""Builds as a run leaves them, without a run: stages, manifest, cache; and keys to sign with."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import tempfile
import textwrap
from collections.abc import Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from builders.ground.sources.cache import Cache, Fetched
from builders.ground.suite import mirror
from builders.pipeline import kernel, recipe, xen
from builders.pipeline.finishing import corrections_digest
from builders.pipeline.run import Run
from builders.pipeline.stages import STAGES, Store
from builders.show.terminal import Terminal
from tests.unit import debs

if TYPE_CHECKING:
    from collections.abc import Iterator

RECIPE = "xen-4.17-bookworm"
PACKAGES = "gcc 4:12.2.0-3 amd64\nlibc6-dev 2.36-9 amd64\nperl-modules 5.36.0-7 all\n"


class Lines(Terminal):
    """A reporter that remembers its lines and shows nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.said: list[str] = []

    def line(self, text: str) -> None:
        self.said.append(text)


@dataclass
class Box:
    """Artifacts and a source cache below one folder; sources: where the cache lies in it."""

    root: Path
    sources: str = "cache"
    reporter: Lines = field(default_factory=Lines)
    installed: str = PACKAGES
    ccache: bool = False  # whether the builds used it
    options: bytes = b"CONFIG_XEN=y\n# CONFIG_SOUND is not set\n"

    @property
    def folder(self) -> Path:
        return self.root / "artifacts" / RECIPE

    def run(self) -> Run:
        loaded = recipe.load(RECIPE)
        return Run(loaded, self.reporter, self.folder, Cache(self.root / self.sources))

    def build(
        self,
        target: str = "xen",
        version: str = "4.17.5+dom0.1",
        *,
        epoch: int = 1_700_000_000,
        content: bytes = b"hypervisor",
        extra: Mapping[str, str] | None = None,
    ) -> Path:
        """Leave what building and finishing `target` would; the finished package."""
        run = self.run()
        kind, _, flavour = target.partition("-")
        plan = xen.describe(run.recipe) if kind == "xen" else kernel.describe(run.recipe, flavour)
        store = Store(self.folder / STAGES)
        image = hashlib.sha256(self.installed.encode()).hexdigest()
        with store.make("image", {"packages": image}) as making:
            (making.folder / "packages.txt").write_text(self.installed)
            making.notes = {"fingerprint": image, "name": "builder"}
        inputs = {"image": image, **plan.record().inputs()}
        for name in plan.sources:
            inputs[f"source {name}"] = self._source(run, name)
        package = {"xen": "xen-upstream"}.get(kind, f"linux-image-6.1-{flavour}")
        source = {"xen": "xen-upstream"}.get(kind, "linux-upstream")
        stage = f"{target}-build"
        with store.make(stage, inputs) as making:
            (making.folder / "epoch").write_text(f"{epoch}\n")
            (making.folder / "raw.deb").write_bytes(version.encode() + content)
            making.notes = {"ccache": self.ccache}
        built = store.made(stage, inputs)
        finish = {f"raw {n}": d for n, d in built.files.items()}
        finish["corrections"] = corrections_digest(run.recipe, kind)
        stage = f"{target}-finish"
        file = f"{package}_{version}_amd64.deb"
        with store.make(stage, finish) as making:
            items = [debs.Item(f"./boot/{target}", content)]
            if kind != "xen":
                items.append(debs.Item("./boot/config-6.1", self.options))
            debs.make(
                making.folder / file,
                items,
                control={
                    "Package": package,
                    "Source": source,
                    "Version": version,
                    "Section": "admin",
                    "Priority": "optional",
                    "Depends": "libc6 (>= 2.36), grub-pc | grub-efi-amd64",
                    **(extra or {}),
                },
            )
            about = {"package": package, "version": version, "architecture": "amd64", "notes": []}
            making.notes = {"packages": {file: about}}
        done = store.made(stage, finish)
        (self.folder / file).unlink(missing_ok=True)
        (self.folder / file).hardlink_to(done.folder / file)
        listed = {file: {**about, "sha256": done.files[file]}}
        self._manifest(target, done.key, built.key, listed)
        return self.folder / file

    def _source(self, run: Run, name: str) -> str:
        source, cache = run.recipe.sources[name], run.cache
        made = self.root / f"{name}.tar"
        made.write_bytes(f"the source of {name}".encode())
        file = cache.adopt(made)
        scope = mirror.scope(run.recipe.suite)
        cache.record(source, Fetched(name, "1.0", (file,)), scope=scope)
        return hashlib.sha256(f"{file.name} {file.sha256}".encode()).hexdigest()

    def _manifest(
        self, target: str, stage: str, build: str, packages: Mapping[str, object]
    ) -> None:
        path = self.folder / "manifest.json"
        known = json.loads(path.read_text()) if path.exists() else {"targets": {}}
        before = known["targets"].get(target, {"packages": {}})["packages"]
        for file in set(before) - set(packages):
            (self.folder / file).unlink()
        known["targets"][target] = {
            "stage": stage,
            "build": build,
            "overrides": [],
            "packages": dict(packages),
        }
        path.write_text(json.dumps(known))


@dataclass(frozen=True)
class Keyring:
    """A GNUPGHOME of a test."""

    home: Path

    def gpg(self, *words: str, given: bytes = b"") -> bytes:
        command = ["gpg", "--homedir", str(self.home), "--batch", "--no-tty", "--yes", *words]
        return subprocess.run(command, input=given, capture_output=True, check=True).stdout

    def make(self, uid: str, *words: str, passphrase: str = "", expires: str = "never") -> str:
        """Make a key that signs; its fingerprint."""
        options = ["--pinentry-mode", "loopback", "--passphrase", passphrase, *words]
        self.gpg(*options, "--quick-generate-key", uid, "ed25519", "sign", expires)
        listed = self.gpg("--with-colons", "--list-keys", f"={uid}").decode().splitlines()
        return next(line.split(":")[9] for line in listed if line.startswith("fpr:"))

    def export(self, fingerprint: str, path: Path, *, secret: bool = False) -> Path:
        how = "--export-secret-keys" if secret else "--export"
        path.write_bytes(self.gpg("--armor", how, fingerprint))
        return path

    def revoke(self, fingerprint: str) -> None:
        """Import the revocation that gpg makes beside each key."""
        text = (self.home / "openpgp-revocs.d" / f"{fingerprint}.rev").read_text()
        self.gpg("--import", given=textwrap.dedent(text).replace(":-----", "-----").encode())


@contextmanager
def keyring() -> Iterator[Keyring]:
    """An empty keyring in a folder of its own; its agent ends with the block."""
    # Not below a test's folder: the path of the agent's socket has to be short (unix(7)).
    home = Path(tempfile.mkdtemp(prefix="dom0-debs-"))
    # The least; gpg-agent would measure how often it can hash a passphrase in 100 ms.
    (home / "gpg-agent.conf").write_text("s2k-count 65536\n")
    try:
        yield Keyring(home)
    finally:
        command = ["gpgconf", "--homedir", str(home), "--kill", "all"]
        subprocess.run(command, capture_output=True, check=False)
        shutil.rmtree(home, ignore_errors=True)
