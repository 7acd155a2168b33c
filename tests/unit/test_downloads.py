# SPDX-License-Identifier: GPL-2.0-or-later
"""What an old apt leaves in a container, and says that all is well (apt-get ends with 0)."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest
from docker import DockerClient

from builders.errors import BuildError, Exit
from builders.ground.engine import container
from builders.ground.engine.step import Step
from builders.ground.sources.cache import Cache
from builders.ground.suite import downloads, image, mirror
from builders.ground.suite.archive import file_name
from builders.pipeline.recipe import load
from builders.pipeline.run import Run
from builders.proofs.trial import clean
from tests.unit.archives import Keys, release
from tests.unit.containers import Archives, Client, Played, tar
from tests.unit.engines import Heard
from tests.unit.samples import recipe

pytestmark = pytest.mark.skipif(
    not (shutil.which("gpg") and shutil.which("gpgv")), reason="needs gpg and gpgv"
)
BASE = "http://archive.example.org/debian"
INSTALL = "apt-get install --yes bc"
GOOD = hashlib.sha256(b"good").hexdigest()
FORGED = hashlib.sha256(b"forged").hexdigest()
PACKAGES = f"""\
Package: bc
Version: 1:1.06.95-2+b1
Architecture: amd64
Filename: pool/bc_1.06.95-2+b1_amd64.deb
Size: 4
SHA256: {GOOD}

Package: libc6
Version: 2.13-38
Architecture: amd64
Filename: pool/libc6_2.13-38_amd64.deb
Size: 4
SHA256: {GOOD}
""".encode()
BC, LIBC = "bc_1%3a1.06.95-2+b1_amd64.deb", "libc6_2.13-38_amd64.deb"


class Old:
    """A container with apt 0.9.7.9: what it downloads is wrong, and its status is 0."""

    def __init__(self, folder: Path, keys: Keys) -> None:
        key = keys.make("gone", "20100101", "2013-01-01")
        keyring = keys.keyring(folder / "keyring.gpg", key)
        content = release({"main/binary-amd64/Packages": PACKAGES})
        dists = f"{BASE}/dists/wheezy"
        self.lists = {
            f"{dists}/Release": content,
            f"{dists}/Release.gpg": keys.sign(key, content, "20120601"),
            f"{dists}/main/binary-amd64/Packages": PACKAGES,
        }
        self.sums = {BC: GOOD, LIBC: GOOD}
        self.client = Client(self.play)
        it = recipe(
            "suite.name=wheezy",
            f"suite.mirror={BASE}",
            "suite.pockets=[]",
            f"suite.keyring={keyring}",
            f'suite.signed_by=["{key}"]',
        )
        cache, client = Cache(folder / "cache"), cast("DockerClient", self.client)
        self.run = Run(it, Heard(), folder / "artifacts", cache, _client=client)

    def play(self, script: str) -> Played:
        if "sha256sum" in script:
            lines = (f"{digest}  {name}\n".encode() for name, digest in self.sums.items())
            return Played([*lines, b"noise\n"])
        if "--download-only" in script:
            return Played([b"Err http://archive.example.org bc  503  Busy\n"])
        return Played()

    def tree(self, _: str) -> bytes:
        return tar([(f"lists/{file_name(url)}", data) for url, data in self.lists.items()])

    def install(self) -> None:
        with Step(self.run, "image", "root", network=True, root=True) as step:
            downloads.install(self.run, step, "packages", INSTALL)

    def ran(self, what: str) -> list[str]:
        scripts = (command[-1].splitlines()[-1] for command, _ in self.client.execs)
        return [script for script in scripts if what in script]

    def refused(self) -> BuildError:
        with pytest.raises(BuildError) as caught:
            self.install()
        assert caught.value.exit is Exit.SOURCE
        assert f"{INSTALL} --no-download" not in self.ran("apt-get")
        return caught.value


@pytest.fixture
def old(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Old]:
    monkeypatch.setattr(container, "time", SimpleNamespace(sleep=lambda _: None))
    with Keys() as keys:
        it = Old(tmp_path, keys)
        with Archives(it.tree) as server:
            it.client.api.base_url = server.url
            yield it


def test_what_is_as_listed_is_installed(old: Old) -> None:
    old.install()
    assert old.ran("apt-get") == [f"{INSTALL} --download-only", f"{INSTALL} --no-download"]
    old.client.execs.clear()
    old.sums = {}  # nothing was to be downloaded
    old.install()
    assert old.ran("apt-get")[-1] == f"{INSTALL} --no-download"


def test_a_forged_file_under_its_proper_name_is_never_installed(old: Old) -> None:
    old.sums[BC] = FORGED
    error = old.refused()
    assert "Hash Sum mismatch" in error.message
    assert f"{BC} has the sha256 {FORGED}" in error.message
    assert LIBC not in error.message
    assert old.ran("rm -f") == [f"rm -f '{downloads.ARCHIVES}/{BC}'"]


def test_a_file_that_nothing_lists_is_never_installed(old: Old) -> None:
    old.sums["evil_1_all.deb"] = GOOD
    assert "evil_1_all.deb is not listed" in old.refused().message
    old.sums = {"bc_9_amd64.deb": GOOD}  # another version
    assert "is not listed" in old.refused().message


def test_lists_that_the_container_changed_are_no_measure(old: Old) -> None:
    old.sums[BC] = FORGED
    url = f"{BASE}/dists/wheezy/main/binary-amd64/Packages"
    old.lists[url] = PACKAGES.replace(GOOD.encode(), FORGED.encode())
    assert "the container's copy is not what was signed" in old.refused().message
    old.lists[url.replace("main/binary-amd64/Packages", "Release")] += b"\n"
    assert "is not what was signed" in old.refused().message
    old.lists = {}
    assert "has no signature of it" in old.refused().message


def test_an_update_in_the_container_takes_the_signature_away(old: Old) -> None:
    del old.lists[f"{BASE}/dists/wheezy/Release.gpg"]  # as apt-get update of 0.9.7.9 does
    error = old.refused()
    assert "an apt-get update that ran there removes it" in error.message


@pytest.mark.parametrize(
    "script", [image.APT_SETUP, image._BUILD_DEP, image._INSTALL, clean._SETUP]
)
def test_no_container_of_a_build_updates_its_lists(script: str) -> None:
    assert "update" not in script


@pytest.mark.parametrize("script", [image.APT_SETUP, clean._SETUP])
def test_an_apt_that_fetches_tries_again(script: str) -> None:
    """By its own default one 503 fails it. The judge and the supply stand on the second."""
    assert """echo 'Acquire::Retries "3";' >/etc/apt/apt.conf.d/80-retries""" in script


@pytest.mark.slow
def test_a_file_that_is_expected_and_missing(old: Old) -> None:
    with Step(old.run, "supply", "root", root=True) as step:
        with pytest.raises(BuildError, match=r"none\.deb"):
            downloads.check(old.run, step, "/downloads", [BC, "none.deb"])
        downloads.check(old.run, step, "/downloads", [BC])


def test_a_suite_whose_apt_has_no_https_is_told_before_anything() -> None:
    wheezy = load("xen-4.2-wheezy").suite
    assert mirror.too_new(wheezy, wheezy.mirror) is None
    for addresses in (("https://m/debian",), ("http://m/debian", "https://m/debian/x")):
        error = mirror.too_new(wheezy, *addresses)
        assert error is not None
        assert "the apt of wheezy knows no https" in error.message
        assert "http://" in error.hint
    assert mirror.too_new(load("xen-4.17-bookworm").suite, "https://m/debian") is None
