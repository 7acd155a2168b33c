# SPDX-License-Identifier: GPL-2.0-or-later
"""A builder image from a lock, whose mirror has moved on; an archive of all days has not."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from builders.errors import BuildError, Exit
from builders.ground.engine import connection
from builders.ground.engine.step import Step
from builders.ground.sources.cache import Cache
from builders.ground.suite import image
from builders.ground.suite.pinned import SNAPSHOT
from builders.pipeline import lockfile, locking, outdated
from builders.pipeline.recipe import load
from builders.pipeline.run import Run
from builders.pipeline.supplies import Supplies
from builders.progress import Silent
from tests.engine.rehearsal import Archive
from tests.engine.suites import download, index, needs_debian, package
from tests.unit.archives import Keys, packed, release

pytestmark = needs_debian
TIME = "20120601T120000Z"  # half a day after the Release file was made


class Moving:
    """A suite called moving on the engine's bridge: what its mirror serves, and all its days."""

    def __init__(self, archive: Archive, keys: Keys) -> None:
        self.archive = archive
        self.main = archive.folder / "debian"
        self._keys = keys
        self._key = keys.make("moving", "20100101", "2013-01-01")
        self._keyring = keys.keyring(keys.home / "keyring.gpg", self._key)
        keys.home.chmod(0o711)  # apt reads it as another user
        download(self.main / "pool", archive.folder / "apt")
        self.add("99")

    def add(self, version: str) -> None:
        """Have that version of the package extra, and no other one."""
        for old in (self.main / "pool").glob("extra_*"):
            old.unlink()
        package(self.main / "pool", "extra", version)
        lists = packed({"main/binary-amd64/Packages": index(self.main / "pool")})
        lists |= packed({"main/source/Sources": b""})
        content = release(lists, "moving", Date="Fri, 01 Jun 2012 00:00:00 UTC")
        signature = self._keys.sign(self._key, content, "20120601")
        for path, data in {**lists, "Release": content, "Release.gpg": signature}.items():
            place = self.main / "dists" / "moving" / path
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(data)

    def keep(self) -> None:
        """Keep what is served now in the archive of all days."""
        day = self.archive.folder / "all" / "debian" / TIME / "pool"
        day.mkdir(parents=True)
        for path in (self.main / "pool").iterdir():
            (day / path.name).hardlink_to(path)

    def run(self, folder: Path) -> Run:
        """A run of a recipe for it, with artifacts and a cache of its own."""
        tree = folder / "xen.tar.gz"
        tree.write_bytes(b"a tree")
        (folder / "tiny.toml").write_text(
            f"""
summary = "tiny"
[suite]
name = "moving"
mirror = "{self.archive.root}/debian"
pockets = []
keyring = "{self._keyring}"
signed_by = ["{self._key}"]
[builder]
packages = ["extra"]
[sources.xen]
kind = "url"
urls = ["file://{tree}"]
sha256 = "{hashlib.sha256(b"a tree").hexdigest()}"
[xen]
source = "xen"
build = ["make"]
deb = "*.deb"
[finish.xen]
revision = "+dom0.1"
"""
        )
        recipe = load(str(folder / "tiny.toml"), ["allow_file=true"])
        return Run(recipe, Silent(), folder / "artifacts", Cache(folder / "cache"))


@pytest.fixture
def moving(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Moving]:
    (tmp_path / "archive").mkdir()
    try:
        archive = Archive(tmp_path / "archive")
    except OSError:
        pytest.skip("the engine's bridge is not on this machine")
    with Keys() as keys, archive:
        monkeypatch.setenv("no_proxy", archive.address)
        monkeypatch.setenv(SNAPSHOT, f"{archive.root}/all")
        yield Moving(archive, keys)
    client = connection.connect(Silent())
    for found in client.images.list():
        for tag in found.tags:
            if tag.startswith(("dom0-debs/root-moving:", "dom0-debs/builder-moving:")):
                client.images.remove(tag)


def test_an_image_from_a_lock(moving: Moving, tmp_path: Path) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    here.mkdir()
    there.mkdir()
    run = moving.run(here)
    lock = locking.lock(run)
    assert {p.package: p.version for p in lock.packages}["extra"] == "99"
    assert lock.times() == {"main": TIME}
    usual = image.find(run)
    assert usual

    # The mirror moves on, and another box, whose engine has another image, builds from the lock.
    moving.keep()
    moving.add("100")
    compared = outdated.compare(run, outdated.of_lock(lock))
    assert [(n.name, n.old, n.new) for n in compared.newer] == [("extra", "99", "100")]
    other = moving.run(there)
    at = lockfile.path(str(there / "tiny.toml"))
    lockfile.write(lock, at)
    other = dataclasses.replace(other, lock=lockfile.read(other.recipe, at))
    assert other.pinned
    other.pinned = dataclasses.replace(other.pinned, anew=True)
    before = len(moving.archive.asked)
    made = Supplies(other).image()
    assert made.packages == usual.packages
    assert made.fingerprint == usual.fingerprint  # so the key of a build is the same one
    assert made.name != usual.name
    asked = moving.archive.asked[before:]
    assert not [path for path in asked if "/dists/" in path]
    assert [path for path in asked if path.startswith("/all/")] == [
        f"/all/debian/{TIME}/pool/extra_99_all.deb"
    ]
    with Step(other, "look", made.name, root=True) as step:
        assert step.output("cat /etc/apt/sources.list") == (
            f"deb {moving.archive.root}/debian moving main\n"
            f"deb-src {moving.archive.root}/debian moving main\n"
        )
        assert (
            step.output("ls -A /var/lib/apt/lists; ls -d /locked || true").split()[-1] != "/locked"
        )
    image.remove(other)
    assert image.find(other) is None


def test_a_package_that_nobody_has_any_more(moving: Moving, tmp_path: Path) -> None:
    run = moving.run(tmp_path)
    # What is installed is of no meaning here: a lock of one package does.
    (data,) = (moving.main / "pool").glob("extra_99_*")
    locked = lockfile.LockedPackage(
        "extra",
        "99",
        "all",
        "main",
        f"pool/{data.name}",
        data.stat().st_size,
        hashlib.sha256(data.read_bytes()).hexdigest(),
    )
    lock = lockfile.seal(
        lockfile.Lock("", "tiny", "moving", "", "", (), lockfile.asked(run.recipe), (), (locked,))
    )
    moving.add("100")
    run = dataclasses.replace(run, lock=lock)
    with pytest.raises(BuildError) as caught:
        Supplies(run).image()
    assert caught.value.exit is Exit.SOURCE
    assert "1 of 1 locked packages can't be had: extra 99" in caught.value.message
    assert not [name for name in moving.archive.asked if "/dists/" in name]
