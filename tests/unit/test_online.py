# SPDX-License-Identifier: GPL-2.0-or-later
"""`doctor --online`: the addresses of a recipe, and the exit status."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from builders.errors import BuildError
from builders.ground.sources.cache import Cache
from builders.pipeline import online
from builders.pipeline.online import Address
from builders.pipeline.run import Run
from builders.progress import Silent
from builders.show import upkeep
from builders.verbs import doctor
from tests.unit import samples
from tests.unit.archives import Keys, packed, release
from tests.unit.servers import Site, serve, status

pytestmark = pytest.mark.skipif(
    not (shutil.which("gpg") and shutil.which("gpgv") and shutil.which("git")),
    reason="needs gpg, gpgv and git",
)
XEN = b"\x1f\x8b the source"
LINUX = b"!<arch>\n a package"
PACKAGES = f"""\
Package: linux-source-6.1
Version: 6.1.1-1
Architecture: all
Filename: pool/linux.deb
Size: {len(LINUX)}
SHA256: {hashlib.sha256(LINUX).hexdigest()}

""".encode()


class World:
    def __init__(self, folder: Path, site: Site, keys: Keys) -> None:
        key = keys.make("gone", "20100101", "2013-01-01")
        self.site, self.folder = site, folder
        self.release = release(
            {
                **packed({"main/binary-amd64/Packages": PACKAGES}),
                **packed({"main/source/Sources": b""}),
            }
        )
        site.pages |= {
            f"/debian/dists/wheezy/{path}": serve(data)
            for path, data in {
                **packed({"main/binary-amd64/Packages": PACKAGES}),
                **packed({"main/source/Sources": b""}),
                "Release": self.release,
                "Release.gpg": keys.sign(key, self.release, "20120601"),
            }.items()
        }
        site.pages |= {"/xen.tar.gz": serve(XEN), "/debian/pool/linux.deb": serve(LINUX)}
        self.sets = [
            "suite.name=wheezy",
            f"suite.mirror={site.root}/debian",
            "suite.pockets=[]",
            f"suite.keyring={keys.keyring(folder / 'keyring.gpg', key)}",
            f'suite.signed_by=["{key}"]',
            f'sources.xen.urls=["{site.root}/xen.tar.gz", "{site.root}/gone.tar.gz"]',
            f"sources.xen.sha256={hashlib.sha256(XEN).hexdigest()}",
        ]

    def examine(self, *sets: str, full: bool = False) -> dict[str, Address]:
        recipe = samples.recipe(*self.sets, *sets)
        run = Run(recipe, Silent(), self.folder / "artifacts", Cache(self.folder / "cache"))
        sources = {n: s for n, s in recipe.sources.items() if n in ("xen", "linux")}
        object.__setattr__(recipe, "sources", sources)
        return {a.url.removeprefix(self.site.root): a for a in online.examine(run, full=full)}


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    monkeypatch.setenv("NO_PROXY", "*")
    with Keys() as keys, Site() as site:
        yield World(tmp_path, site, keys)


def test_each_address_is_a_line(world: World) -> None:
    found = world.examine()
    assert {url: address.state for url, address in found.items()} == {
        "/debian/dists/wheezy/Release": online.PINNED,
        "/debian/dists/wheezy/main/binary-amd64/Packages.bz2": online.PINNED,
        "/debian/dists/wheezy/main/source/Sources.bz2": online.PINNED,
        "/xen.tar.gz": online.PINNED,
        "/gone.tar.gz": online.FAILED,
    }
    assert "which expired on 2013-01-01" in found["/debian/dists/wheezy/Release"].why
    assert found["/gone.tar.gz"].why == "HTTP 404 Not Found"
    assert online.status(list(found.values())) == 3
    assert online.unserved(list(found.values())) == []
    assert "each source has another that does" in online.verdict(list(found.values()))


@pytest.mark.slow
def test_full_reads_what_the_suite_lists_for_a_source_too(world: World) -> None:
    linux = ('sources.linux.version="6.1.*"', 'sources.linux.package="linux-source-6.1"')
    assert world.examine(*linux, full=True)["/debian/pool/linux.deb"].state == online.PINNED
    world.site.pages["/debian/pool/linux.deb"] = serve(LINUX[:-1] + b"x")
    broken = world.examine(*linux, full=True)["/debian/pool/linux.deb"]
    assert (broken.state, broken.what) == (online.FAILED, "source linux")


def test_another_release_than_the_pinned_one(world: World) -> None:
    found = world.examine(f'suite.release_sha256={{wheezy="{"0" * 64}"}}')
    (suite,) = (a for a in found.values() if a.what == "suite wheezy")
    assert suite.state == online.FAILED
    assert "is not the one that the recipe pins" in suite.why
    assert "lists of wheezy" not in {a.what for a in found.values()}


def test_a_mirror_with_https_alone_is_of_no_use_to_an_old_apt(world: World) -> None:
    found = world.examine("suite.mirror=https://archive.example.org/debian")
    (suite,) = (a for a in found.values() if a.what == "suite wheezy")
    assert "the apt of wheezy knows no https" in suite.why
    assert online.unserved(list(found.values())) == ["suite wheezy"]
    assert "nobody serves suite wheezy" in online.verdict(list(found.values()))


@pytest.mark.slow
def test_a_list_of_another_content(world: World) -> None:
    packages = "/debian/dists/wheezy/main/binary-amd64/Packages.bz2"
    world.site.pages[packages] = status(200)
    assert "bytes, not" in world.examine()[packages].why


def test_what_is_said() -> None:
    pinned = Address("source xen", "http://a/x", online.PINNED, "the pinned sha256")
    likely = Address("source ipxe", "http://a/y", online.LIKELY, "9 bytes")
    good = upkeep.addresses([pinned, likely])
    assert good.code == 0
    assert "1 serve what is pinned, 1 likely do" in good.said("table")
    document = json.loads(good.said("json"))
    assert document["kind"] == "doctor-online"
    assert document["addresses"][0]["state"] == "pinned"
    assert document["unserved"] == []
    bad = upkeep.addresses([pinned, Address("source zlib", "http://a/z", online.FAILED, "gone")])
    assert bad.code == 3
    assert json.loads(bad.said("json"))["unserved"] == ["source zlib"]


def test_full_is_of_online() -> None:
    with pytest.raises(BuildError, match="--full is of --online"):
        doctor.run(doctor.Options(full=True))
