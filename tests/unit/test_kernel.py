# SPDX-License-Identifier: GPL-2.0-or-later
from __future__ import annotations

import gzip
import lzma
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builders import ROOT
from builders.debkit.kconfig import options
from builders.errors import BuildError, Exit
from builders.pipeline import kernel
from builders.pipeline.kernel import Dropped, compare
from builders.pipeline.plan import WORK
from builders.pipeline.recipe import Recipe, load, names
from tests.unit.samples import Box, kernel_of, package, recipe

PACKAGED = """
[kernel.flavours.debian]
base = "packaged"
fragments = ["debian.config", "dom0.config"]
localversion = "-dom0"
"""
CONFIG = ["kernel.config=linux", "kernel.config_path=/boot/config-6.1.xz"]


def test_options_of_a_config() -> None:
    text = """
# Automatically generated file; DO NOT EDIT.
CONFIG_A=y
CONFIG_B=m
# CONFIG_C is not set
CONFIG_D="a = \\"b\\" # c"
CONFIG_E=0x1000
CONFIG_F=""
  CONFIG_G=y
# CONFIG_H was set once
CONFIG_=y
"""
    assert options(text) == {
        "CONFIG_A": "y",
        "CONFIG_B": "m",
        "CONFIG_C": "n",
        "CONFIG_D": '"a = \\"b\\" # c"',
        "CONFIG_E": "0x1000",
        "CONFIG_F": '""',
        "CONFIG_G": "y",
    }


@pytest.mark.parametrize(
    ("asked", "config", "got"),
    [
        ("CONFIG_X=y", "", "n"),
        ("CONFIG_X=y", "# CONFIG_X is not set", "n"),
        ("CONFIG_X=y", "CONFIG_X=m", "m"),
        ("CONFIG_X=m", "CONFIG_X=y", "y"),
        ("# CONFIG_X is not set", "CONFIG_X=y", "y"),
        ("CONFIG_X=n", "CONFIG_X=m", "m"),
        ('CONFIG_X="a b"', 'CONFIG_X="a"', '"a"'),
        ('CONFIG_X=""', 'CONFIG_X="keys.pem"', '"keys.pem"'),
        ("CONFIG_X=y", "CONFIG_XY=y", "n"),
    ],
)
def test_what_is_asked_for_and_not_there(asked: str, config: str, got: str) -> None:
    (dropped,) = compare({"a.config": asked}, config)
    assert (dropped.option, dropped.got, dropped.fragment) == ("CONFIG_X", got, "a.config")
    assert dropped.wanted == options(asked)["CONFIG_X"]


@pytest.mark.parametrize(
    ("asked", "config"),
    [
        ("CONFIG_X=y", "CONFIG_X=y"),
        ("# CONFIG_X is not set", ""),
        ("# CONFIG_X is not set", "# CONFIG_X is not set"),
        ("CONFIG_X=n", "# CONFIG_X is not set"),
        ('CONFIG_X="a \\"b\\" c"', 'CONFIG_X="a \\"b\\" c"'),
        ("# a comment\n\nCONFIG_X=y  \r\n", "CONFIG_X=y"),
        ("CONFIG_X=y", "CONFIG_X=m\nCONFIG_X=y"),
        ("", "CONFIG_Y=y"),
    ],
)
def test_what_is_asked_for_and_there(asked: str, config: str) -> None:
    assert compare({"a.config": asked}, config) == []


def test_a_later_fragment_overrules() -> None:
    fragments = {"a": "CONFIG_X=y\nCONFIG_Y=y", "b": "CONFIG_X=m"}
    assert compare(fragments, "CONFIG_X=m\nCONFIG_Y=y") == []
    assert compare(fragments, "CONFIG_X=y\nCONFIG_Y=y") == [Dropped("CONFIG_X", "m", "y", "b")]


_CONFIGS = st.dictionaries(
    st.from_regex(r"CONFIG_[A-Z0-9_]{1,4}", fullmatch=True),
    st.sampled_from(["y", "m", "n", "0x10", "42", '"a b"', '"# CONFIG_X is not set"']),
    max_size=8,
)


def _text(config: Mapping[str, str]) -> str:
    return "".join(
        f"# {option} is not set\n" if value == "n" else f"{option}={value}\n"
        for option, value in config.items()
    )


@pytest.mark.slow
@given(_CONFIGS, _CONFIGS, _CONFIGS)
def test_exactly_the_differences_are_found(
    one: dict[str, str], two: dict[str, str], final: dict[str, str]
) -> None:
    found = compare({"one": _text(one), "two": _text(two)}, _text(final))
    wanted = one | two
    assert {d.option: (d.wanted, d.got, d.fragment) for d in found} == {
        option: (value, final.get(option, "n"), "two" if option in two else "one")
        for option, value in wanted.items()
        if final.get(option, "n") != value
    }
    assert compare({"all": _text(final)}, _text(final)) == []


@pytest.mark.slow
@given(st.text(), st.text())
def test_any_text_is_compared(fragment: str, config: str) -> None:
    assert all(d.fragment == "x" for d in compare({"x": fragment}, config))


# The plan


def check_of(flavour: str = "minimal") -> Callable[[Callable[[str], bytes]], None]:
    return kernel.describe(recipe(), flavour).after["configure"]


def whole_config() -> str:
    return (ROOT / "configs/kernel/minimal.config").read_text()


def test_the_check_after_configuring_reads_the_trees_config() -> None:
    asked: list[str] = []

    def read(path: str) -> bytes:
        asked.append(path)
        return whole_config().encode() + b"CONFIG_NAME=\xff\n"

    check_of()(read)
    assert asked == [f"{WORK}/tree/.config"]


def test_the_check_names_every_option_that_kconfig_dropped() -> None:
    config = whole_config().replace("CONFIG_XEN_DOM0=y", "").replace("CONFIG_PCI=y", "CONFIG_PCI=m")
    with pytest.raises(BuildError) as caught:
        check_of()(lambda _: config.encode())
    error = caught.value
    assert error.exit is Exit.STEP
    assert "kernel flavour minimal: Kconfig dropped 2 option(s)" in error.message
    assert "CONFIG_XEN_DOM0: minimal.config asks for y, the configuration has n" in error.message
    assert "CONFIG_PCI: minimal.config asks for y, the configuration has m" in error.message
    assert error.hint


def test_a_fragment_without_a_last_line_end_does_not_join_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = recipe('kernel.flavours.minimal.fragments=["minimal.config", "dom0.config"]')
    folder = tmp_path / "configs" / "kernel"
    folder.mkdir(parents=True)
    (folder / "minimal.config").write_text("CONFIG_A=y")
    (folder / "dom0.config").write_text("CONFIG_B=y\n\n")
    monkeypatch.setattr(kernel, "ROOT", tmp_path)
    files = kernel.describe(source, "minimal").files
    assert list(files) == ["fragments/00-minimal.config", "fragments/01-dom0.config"]
    assert b"".join(files.values()) == b"CONFIG_A=y\nCONFIG_B=y\n"


def test_the_sources_of_a_flavour() -> None:
    assert kernel.describe(recipe(), "minimal").sources == ("linux",)
    it = recipe(*CONFIG, more=PACKAGED)
    assert kernel.describe(it, "debian").sources == ("linux",)
    it = recipe("kernel.config=seabios", "kernel.config_path=x", more=PACKAGED)
    assert kernel.describe(it, "debian").sources == ("linux", "seabios")
    assert kernel.describe(it, "minimal").sources == ("linux",)


def test_a_plan_names_no_flavour_that_is_not_there() -> None:
    with pytest.raises(BuildError, match="no flavour tiny"):
        kernel.describe(recipe(), "tiny")


@pytest.mark.parametrize("override", ["xen.build=x", "builder.memory=2", "sources.linux.version=6"])
def test_what_is_not_the_kernels_does_not_change_its_inputs(override: str) -> None:
    before = kernel.describe(recipe(), "minimal").record().inputs()
    assert kernel.describe(recipe(override), "minimal").record().inputs() == before


@pytest.mark.parametrize(
    ("override", "changed"),
    [
        ("kernel.build=make deb-pkg", "script build"),
        ("kernel.deb=../*.x", "script collect"),
        ("kernel.flavours.minimal.base=tinyconfig", "script configure"),
        ("kernel.flavours.minimal.fragments=dom0.config", "file fragments/00-dom0.config"),
    ],
)
def test_what_is_the_kernels_changes_its_inputs(override: str, changed: str) -> None:
    before = kernel.describe(recipe(), "minimal").record().inputs()
    after = kernel.describe(recipe(override), "minimal").record().inputs()
    differ = {name for name in before | after if before.get(name) != after.get(name)}
    assert changed in differ
    assert differ <= {changed, "file fragments/00-minimal.config"}


@pytest.mark.parametrize("name", [name for name in names() if load(name).kernel])
def test_the_shipped_kernels_can_be_planned(name: str) -> None:
    it = load(name, ['kernel.loaded=["nvme"]'])
    for flavour in kernel_of(it).flavours:
        phases = [phase.name for phase in kernel.describe(it, flavour).phases]
        assert phases[0] == "unpack"
        assert phases[-3:] == ["configure", "build", "collect"]


# Its scripts

MAKE = """#!/bin/sh
echo "make $*" >>made
case $1 in
    allnoconfig) echo '# CONFIG_A is not set' >.config ;;
esac
"""


@pytest.fixture
def box(tmp_path: Path) -> Box:
    it = Box(tmp_path / "build")
    it.put("epoch", "86400\n")
    it.command("make", MAKE)
    return it


def configure(box: Box, source: Recipe, flavour: str) -> tuple[int, str]:
    """Run the flavour's configure script, with its files where the pipeline puts them."""
    it = kernel.describe(source, flavour)
    for path, content in it.files.items():
        box.put(path, content)
    (script,) = [phase.script for phase in it.phases if phase.name == "configure"]
    return box.run(script)


def test_configuring_from_a_target_of_make(box: Box) -> None:
    status, said = configure(box, recipe(), "minimal")
    assert status == 0, said
    assert (box.work / "tree/made").read_text() == "make allnoconfig\nmake olddefconfig\n"
    config = (box.work / "tree/.config").read_text()
    assert config == "# CONFIG_A is not set\n" + whole_config()


@pytest.mark.parametrize(
    ("path", "content"),
    [
        ("usr/src/config.xz", lzma.compress(b"CONFIG_A=m\n")),
        ("usr/src/config.gz", gzip.compress(b"CONFIG_A=m\n", mtime=0)),
        ("boot/config-3.2.0-4-amd64", b"CONFIG_A=m\n"),
    ],
)
def test_configuring_from_the_packaged_config(
    box: Box, tmp_path: Path, path: str, content: bytes
) -> None:
    deb = package(tmp_path, "linux-config", {path: content, "usr/share/doc/x": b"no"})
    box.put(f"in/linux/{deb.name}", deb.read_bytes())
    source = recipe("kernel.config=linux", f"kernel.config_path=/{path}", more=PACKAGED)
    status, said = configure(box, source, "debian")
    assert status == 0, said
    config = options((box.work / "tree/.config").read_text())
    assert config["CONFIG_A"] == "m"
    assert config["CONFIG_XEN_PCIDEV_BACKEND"] == "y"


@pytest.mark.parametrize("suffix", ["", ".xz", ".gz"])
def test_a_packaged_config_that_is_not_there_stops_the_build(
    box: Box, tmp_path: Path, suffix: str
) -> None:
    deb = package(tmp_path, "linux-config", {"boot/config-3.2.0-5": b"CONFIG_A=m\n"})
    box.put(f"in/linux/{deb.name}", deb.read_bytes())
    where = f"kernel.config_path=boot/config-3.2.0-4{suffix}"
    status, said = configure(box, recipe("kernel.config=linux", where, more=PACKAGED), "debian")
    assert status, said
    assert "olddefconfig" not in said


def test_the_environment_of_a_kernel_build(box: Box) -> None:
    source = recipe(
        'kernel.build=["echo $KBUILD_BUILD_TIMESTAMP", "echo $LOCALVERSION $KERNEL_FLAVOUR"]'
    )
    (script,) = [p.script for p in kernel.describe(source, "minimal").phases if p.name == "build"]
    status, said = box.run(script)
    assert status == 0
    assert "1970" in said
    assert "Jan" in said
    assert "\n-dom0 minimal\n" in said
