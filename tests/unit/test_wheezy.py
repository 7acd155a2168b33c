# SPDX-License-Identifier: GPL-2.0-or-later
"""The reference recipe: its scripts, run with stand-ins for what they call."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import pytest

from builders.debkit import kconfig
from builders.errors import BuildError
from builders.ground.suite import image, mirror
from builders.pipeline import kernel, xen
from builders.pipeline.plan import Plan
from builders.pipeline.recipe import load
from tests.unit.samples import Box, package

RECIPE = load("xen-4.2-wheezy")
# A stand-in that writes down how it was called, and what it was given to share.
CALLED = '#!/bin/sh\necho "${0##*/} $*${MAKEFLAGS+ MAKEFLAGS=$MAKEFLAGS}" >>"$CALLS"\n'


@pytest.fixture
def box(tmp_path: Path) -> Box:
    made = Box(tmp_path / "build")
    made.environment |= {"CALLS": str(tmp_path / "calls"), "JOBS": "3"}
    made.put("epoch", "1347877500\n")
    return made


def calls(box: Box) -> list[str]:
    return Path(box.environment["CALLS"]).read_text().splitlines()


def run(box: Box, plan: Plan, *names: str) -> None:
    for path, content in plan.files.items():
        box.put(path, content)
    for phase in plan.phases:
        if phase.name in names:
            status, said = box.run(phase.script)
            assert status == 0, said


def test_what_the_makefiles_would_download_lies_where_they_look(box: Box) -> None:
    plan = xen.describe(RECIPE)
    for name in plan.sources:
        if name != "seabios":
            box.put(f"in/{name}/{name}.tar", name)
    tar = io.BytesIO()
    with tarfile.open(fileobj=tar, mode="w") as out:
        out.addfile(tarfile.TarInfo("seabios/Makefile"), io.BytesIO())
    box.put("in/seabios/seabios.tar", tar.getvalue())
    box.put("tree/tools/firmware/seabios-config", "CONFIG_XEN=y\n")
    box.put("tree/configure", CALLED).chmod(0o755)

    run(box, plan, "place", "configure")

    tree = box.work / "tree"
    assert (tree / "tools/firmware/etherboot/ipxe.tar.gz").read_text() == "ipxe"
    for name in ("newlib-1.16.0.tar.gz", "zlib-1.2.3.tar.gz", "pciutils-2.2.9.tar.bz2"):
        assert (tree / "stubdom" / name).read_text() == name.partition("-")[0]
    for name in ("lwip-1.3.0.tar.gz", "grub-0.97.tar.gz"):
        assert (tree / "stubdom" / name).read_text() == name.partition("-")[0]
    # As its Makefile's rule for seabios-dir leaves it; the link stands for that target.
    seabios = tree / "tools/firmware/seabios-dir"
    assert seabios.readlink() == Path("seabios-dir-remote")
    assert (seabios / "Makefile").is_file()
    assert (seabios / ".config").read_text() == "CONFIG_XEN=y\n"
    assert (tree / ".config").read_text() == "PYTHON_PREFIX_ARG=--install-layout=deb\n"
    assert calls(box) == ["configure --enable-githttp"]


def test_xen_is_built_as_in_2012(box: Box) -> None:
    # make 3.81 would take our MAKEFLAGS for "as many jobs as you like".
    plan = xen.describe(RECIPE)
    assert not plan.makeflags
    box.command("make", CALLED)
    run(box, plan, "build")
    assert calls(box) == ["make -j3 deb"]


def test_the_kernel_is_built_as_in_2012(box: Box, tmp_path: Path) -> None:
    plan = kernel.describe(RECIPE, "debian")
    assert not plan.makeflags
    config = "CONFIG_DEBUG_INFO=y\nCONFIG_XEN_PCIDEV_BACKEND=m\n"
    deb = package(tmp_path, "image", {"boot/config-3.2.0-4-amd64": config.encode()})
    box.put("in/linux-config/image.deb", deb.read_bytes())
    box.command("make", CALLED + 'read answer; test -z "$answer"\n')
    box.command("make-kpkg", CALLED + 'echo "CONCURRENCY_LEVEL=$CONCURRENCY_LEVEL" >>"$CALLS"\n')
    box.command("fakeroot", CALLED + '"$@"\n')

    run(box, plan, "configure", "build")

    assert calls(box) == [
        "make oldconfig",
        "make-kpkg clean",
        "CONCURRENCY_LEVEL=",
        "fakeroot make-kpkg --initrd --revision=1.0.0 kernel_image",
        "make-kpkg --initrd --revision=1.0.0 kernel_image",
        "CONCURRENCY_LEVEL=3",
    ]
    written = (box.work / "tree" / ".config").read_text()
    assert kconfig.options(written) == {
        "CONFIG_DEBUG_INFO": "n",
        "CONFIG_XEN_PCIDEV_BACKEND": "y",
    }


def test_where_it_is_served_and_what_is_installed() -> None:
    served = mirror.of(RECIPE.suite)
    assert mirror.sources_list(RECIPE.suite, served).splitlines() == [
        "deb http://archive.debian.org/debian wheezy main",
        "deb-src http://archive.debian.org/debian wheezy main",
        "deb http://archive.debian.org/debian-security wheezy/updates main",
        "deb-src http://archive.debian.org/debian-security wheezy/updates main",
    ]
    inputs = image.inputs(RECIPE)
    assert inputs["build dependencies"].endswith("linux-latest xen\n")
    assert inputs["pinned"] == f"wheezy={RECIPE.suite.release_sha256['wheezy']}"


def test_new_suites_have_none_of_it_in_their_keys() -> None:
    inputs = image.inputs(load("xen-4.17-bookworm"))
    assert not {"build dependencies", "keys", "pinned", "security suite"} & set(inputs)


def test_another_pin_or_key_makes_another_root() -> None:
    def root(*overrides: str) -> str:
        return image.root_key(load("xen-4.2-wheezy", overrides).suite)

    keys = [
        root(),
        root('suite.release_sha256.wheezy=""'),
        root(f'suite.signed_by=["{RECIPE.suite.signed_by[0]}"]'),
        root('suite.security_suite="wheezy-security"'),
    ]
    assert len(set(keys)) == len(keys)


def test_the_docs_way_to_the_kernel_of_2012_is_a_recipe() -> None:
    text = (Path(__file__).parents[2] / "docs" / "old-suites.md").read_text()
    block = text.partition("./inv build-all \\\n")[2].partition("\n\n")[0]
    overrides = [
        line.strip().removesuffix("\\").strip().removeprefix("--set ").strip("'")
        for line in block.splitlines()
    ]
    old = load("xen-4.2-wheezy", overrides)
    assert old.suite.pockets == ()
    assert old.suite.release_sha256 == {"wheezy": ""}
    assert mirror.places(old.suite, mirror.of(old.suite)) == [
        ("http://snapshot.debian.org/archive/debian/TIME", "wheezy")
    ]
    assert len(overrides) == 6


@pytest.mark.parametrize(
    ("override", "what"),
    [
        ('suite.signed_by=["A1BD8E9D"]', "suite.signed_by[0]: is not a fingerprint"),
        ('suite.keyring=""', "suite.keyring: is missing"),
        ("suite.signed_by=[]", "suite.release_sha256: is for suite.signed_by"),
        ('suite.release_sha256.wheezy="12"', "suite.release_sha256.wheezy: is not a sha256"),
        ('suite.security_suite="a b"', "suite.security_suite: is no suite"),
        ('builder.build_dep=["xen linux"]', "builder.build_dep[0]: 'xen linux' is no package"),
    ],
)
def test_what_a_recipe_may_not_say(override: str, what: str) -> None:
    with pytest.raises(BuildError) as caught:
        load("xen-4.2-wheezy", [override])
    assert what in caught.value.message
