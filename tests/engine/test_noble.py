# SPDX-License-Identifier: GPL-2.0-or-later
"""The recipe for Ubuntu 24.04, rehearsed: its archive and its security archive are this machine's.

They are laid out and signed as Ubuntu's: Xen's source is in universe, the kernel's in main, and the
newer one in the security pocket. The packages that all is built with are bookworm's, and the two
trees are small stand-ins. So this proves the way through such an archive, not that Xen compiles.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import subprocess
import tarfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from builders import ROOT
from builders.pipeline.recipe import load
from tests.engine import rehearsal
from tests.engine.conftest import KERNEL_MAKEFILE, XEN_MAKEFILE, XL_SOURCE
from tests.engine.rehearsal import Archive
from tests.engine.suites import download, index, needs_debian, package
from tests.unit.archives import Keys, packed, release

pytestmark = needs_debian
NAME = "xen-4.17-noble"
OLD, NEW = "6.8.0-31.31", "6.8.0-90.91"  # in the suite itself, and in its security pocket
XEN = "4.17.2-1ubuntu1"
DATED = 1_710_000_000  # seconds since the epoch: spring 2024
_NO_SOURCES: Mapping[str, bytes] = {"main/source/Sources": b"", "universe/source/Sources": b""}


def tree(name: str, files: Mapping[str, str]) -> bytes:
    """A tarball of `files` below the folder `name`."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:xz") as tar:
        for path, text in files.items():
            info = tarfile.TarInfo(f"{name}/{path}")
            info.size, info.mtime, info.mode = len(text.encode()), DATED, 0o755
            tar.addfile(info, io.BytesIO(text.encode()))
    return out.getvalue()


def kernel(pool: Path, version: str) -> None:
    """linux-source as Ubuntu has it: the tarball in a folder, and a link to it beside."""
    name = "linux-source-6.8.0"
    text = f"# {version}\n{KERNEL_MAKEFILE}kernelversion:\n\t@echo 6.9.1\n"
    work = pool.parent / f"{name}-{version}"
    folder = work / "usr" / "src" / name
    folder.mkdir(parents=True)
    (folder / f"{name}.tar.bz2").write_bytes(tree(name, {"Makefile": text}))
    (work / f"usr/src/{name}.tar.bz2").symlink_to(f"{name}/{name}.tar.bz2")
    (work / "DEBIAN").mkdir()
    (work / "DEBIAN" / "control").write_text(
        f"Package: {name}\nVersion: {version}\nArchitecture: all\n"
        "Maintainer: a <a@b.invalid>\nDescription: made for a test\n"
    )
    words = ["dpkg-deb", "--root-owner-group", "--build", str(work), str(pool)]
    subprocess.run(words, check=True, capture_output=True)


def source(pool: Path) -> bytes:
    """Sources of universe, with the upstream tarball of Xen in the pool."""
    name = f"xen_{XEN.partition('-')[0]}.orig.tar.xz"
    content = tree("xen", {"Makefile": XEN_MAKEFILE, "xl.c": XL_SOURCE, "configure": "#!/bin/sh\n"})
    (pool / name).write_bytes(content)
    digest = hashlib.sha256(content).hexdigest()
    return (
        f"Package: xen\nBinary: xen-utils\nVersion: {XEN}\nArchitecture: any\nDirectory: pool\n"
        f"Checksums-Sha256:\n {digest} {len(content)} {name}\n\n"
    ).encode()


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[str]]:
    """The archives, as the overrides that lead to them: addresses and keys, and no more."""
    here = tmp_path_factory.mktemp("noble")
    ubuntu, security = here / "ubuntu", here / "security"
    download(ubuntu / "pool", here / "apt", *load(NAME).builder.packages)
    security.joinpath("pool").mkdir(parents=True)
    kernel(ubuntu / "pool", OLD)
    kernel(security / "pool", NEW)
    package(security / "pool", "nobody-needs-this", "1")
    pockets: dict[Path, dict[str, Mapping[str, bytes]]] = {
        ubuntu: {
            "noble": {
                "main/binary-amd64/Packages": index(ubuntu / "pool"),
                "universe/binary-amd64/Packages": b"",
                "main/source/Sources": b"",
                "universe/source/Sources": source(ubuntu / "pool"),
            },
            "noble-updates": {
                "main/binary-amd64/Packages": b"",
                "universe/binary-amd64/Packages": b"",
                **_NO_SOURCES,
            },
        },
        security: {
            "noble-security": {
                "main/binary-amd64/Packages": index(security / "pool"),
                "universe/binary-amd64/Packages": b"",
                **_NO_SOURCES,
            }
        },
    }
    try:
        archive = Archive(here)
    except OSError:
        pytest.skip("the engine's bridge is not on this machine")
    with Keys() as keys, archive:
        key = keys.make("Rehearsed archive", "20240101")
        keyring = keys.keyring(keys.home / "keyring.gpg", key)
        keys.home.chmod(0o711)  # apt reads it as another user
        for folder, suites in pockets.items():
            for suite, lists in suites.items():
                every = packed(lists)
                stated = release(every, "noble", Suite=suite, Origin="Ubuntu", Label="Ubuntu")
                signature = keys.sign(key, stated, "20240501")
                for path, data in {**every, "Release": stated, "Release.gpg": signature}.items():
                    at = folder / "dists" / suite / path
                    at.parent.mkdir(parents=True, exist_ok=True)
                    at.write_bytes(data)
        sets = [
            f"suite.mirror={archive.root}/ubuntu",
            f"suite.security={archive.root}/security",
            f"suite.keyring={keyring}",
            # What the real trees have, and the stand-ins have not.
            "xen.patches=",
            "finish.xen.replace=[]",
        ]
        with rehearsal.leaving_nothing(load(NAME, sets)):
            yield sets


def inv(here: Path, sets: list[str], *verb: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(ROOT / "inv"), *verb, "--recipe", NAME, *(w for s in sets for w in ("--set", s))],
        env={
            **os.environ,
            "DOM0_DEBS_ARTIFACTS": str(here / "artifacts"),
            "XDG_CACHE_HOME": str(here / "xdg"),
            "no_proxy": f"127.0.0.1,{rehearsal.gateway()}",
        },
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )


@pytest.mark.long
def test_a_build_for_ubuntu(world: list[str], tmp_path: Path) -> None:
    done = inv(tmp_path, world, "build-all", "--flavour", "minimal")
    assert done.returncode == 0, done.stdout
    folder = tmp_path / "artifacts" / NAME
    manifest = json.loads((folder / "manifest.json").read_text())
    packages = {name for target in manifest["targets"].values() for name in target["packages"]}
    assert "xen-upstream_9.9.1+dom0.1_amd64.deb" in packages
    assert "linux-image-6.9.1-dom0-minimal_6.9.1-1+dom0.1_amd64.deb" in packages
    said = inv(tmp_path, world, "fetch", "--format", "json")
    document = json.loads(said.stdout[said.stdout.index("{") :])
    versions = {s["source"]: s["version"] for s in document["sources"]}
    # Of the kernel the security pocket's, of Xen what universe has.
    assert versions == {"xen": XEN, "linux": NEW}


def test_without_a_configuration_of_the_suite_there_is_no_flavour_of_it(tmp_path: Path) -> None:
    done = inv(tmp_path, [], "build-kernel", "--explain")
    assert done.returncode == 2, done.stdout
    assert "minimal" in done.stdout
