# SPDX-License-Identifier: GPL-2.0-or-later
"""A kernel cut down to what one host has loaded."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builders import ROOT, forms
from builders.errors import BuildError
from builders.pipeline import kernel, loaded
from builders.pipeline.plan import OUT, WORK
from builders.pipeline.stages import Output
from builders.verbs import builds
from builders.verbs.build_kernel import Options
from tests.unit.samples import recipe

# lsmod(8) of a host with Debian 12.
LSMOD = """\
Module                  Size  Used by
nvme                   61440  2
nvme_core             217088  3 nvme
ext4                 1134592  1
crc16                  16384  1 ext4
"""
NAMES = ("crc16", "ext4", "nvme", "nvme_core")
HOST = """
[kernel.flavours.host]
base = "defconfig"
keep = ["host.modules"]
fragments = ["dom0.config"]
localversion = "-dom0-host"
"""


def written(folder: Path, content: bytes) -> Path:
    path = folder / "lsmod"
    path.write_bytes(content)
    return path


def test_the_names_of_a_hosts_modules(tmp_path: Path) -> None:
    path = written(tmp_path, LSMOD.encode())
    assert loaded.read(path) == NAMES
    # Sizes, uses and the order say nothing.
    head, *rest = LSMOD.replace("61440  2", "1  0").splitlines()
    path.write_text("\n".join([head, *reversed(rest), ""]))
    assert loaded.read(path) == NAMES
    it = recipe(*loaded.overrides(recipe(more=HOST), str(path)), more=HOST)
    assert it.kernel
    assert it.kernel.loaded == NAMES


def fifo(path: Path) -> None:
    os.mkfifo(path)


def huge(path: Path) -> None:
    path.write_bytes(b"Module\n" + b"x 1 0\n" * (1 << 18))


def nothing(_: Path) -> None:
    pass


def says(text: str) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        path.write_text(text)

    return write


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (nothing, "No such file"),
        (Path.mkdir, "Is a directory"),
        (fifo, "no plain file"),
        (huge, "more than 1 MiB"),
        (says(""), "begins with ''"),
        (says("CONFIG_A=m\n"), "begins with 'CONFIG_A=m'"),
        (says("Module\n"), "0 modules"),
        (says("Module\na-b 1 0\n"), "'a-b' is no name"),
        (says("Module\n\x1b[31mx 1 0\n"), "is no name"),
        (says("Module\n" + "".join(f"m{n} 1 0\n" for n in range(1001))), "1001 modules"),
    ],
)
def test_what_lsmod_did_not_write(tmp_path: Path, make: Callable[[Path], None], why: str) -> None:
    path = tmp_path / "lsmod"
    make(path)
    with pytest.raises(BuildError) as caught:
        loaded.read(path)
    assert why in caught.value.message
    assert "\x1b" not in caught.value.message
    assert "lsmod > FILE" in caught.value.hint


@pytest.mark.slow
@given(st.binary(max_size=200))
def test_any_bytes_are_refused_or_names(
    tmp_path_factory: pytest.TempPathFactory, content: bytes
) -> None:
    path = written(tmp_path_factory.mktemp("any"), b"Module\n" + content)
    try:
        names = loaded.read(path)
    except BuildError:
        return
    assert names
    assert all(forms.MODULE.fullmatch(name) for name in names)


def test_a_recipe_states_names_of_modules_only() -> None:
    with pytest.raises(BuildError, match=r"kernel.loaded: 'a b' is no name of a module"):
        recipe('kernel.loaded=["a b"]')
    with pytest.raises(BuildError, match=r"host.keep: no file configs/kernel/x"):
        recipe('kernel.flavours.host.keep=["x"]', more=HOST)


def test_a_flavour_that_is_cut_down_needs_a_host() -> None:
    with pytest.raises(BuildError, match="what has the host loaded") as caught:
        kernel.describe(recipe(more=HOST), "host")
    assert "--lsmod FILE" in caught.value.hint


def test_the_modules_of_the_host_and_those_that_stay_in_any_case() -> None:
    plan = kernel.describe(recipe('kernel.loaded=["nvme", "odd_card"]', more=HOST), "host")
    head, *names = plan.files["lsmod"].decode().splitlines()
    assert head.startswith("Module")
    there = {name.partition(" ")[0] for name in names}
    assert {"odd_card", "nvme", "xen_blkback", "usbhid", "ext4", "nf_tables"} <= there
    assert len(there) == len(names)
    script = next(phase.script for phase in plan.phases if phase.name == "configure")
    assert script.index("make defconfig") < script.index("localmodconfig")
    assert script.index("localmodconfig") < script.index("fragments")
    # A flavour with all modules does not ask.
    plain = kernel.describe(recipe('kernel.loaded=["nvme"]', more=HOST), "minimal")
    assert "lsmod" not in plain.files
    assert all("localmodconfig" not in phase.script for phase in plain.phases)


def test_each_name_in_the_list_of_what_stays_is_one_of_a_module() -> None:
    lines = (ROOT / "configs" / "kernel" / "host.modules").read_text().splitlines()
    names = [line for line in lines if line and line[0] != "#"]
    assert all(forms.MODULE.fullmatch(name) for name in names)
    assert len(set(names)) == len(names) > 50


def test_what_was_left_out_is_listed(tmp_path: Path) -> None:
    plan = kernel.describe(recipe('kernel.loaded=["nvme"]', more=HOST), "host")
    script = next(phase.script for phase in plan.phases if phase.name == "configure")
    lines = script[script.index("sed -n") :].replace(WORK, str(tmp_path))
    (tmp_path / ".config.whole").write_text("CONFIG_A=m\nCONFIG_B=m\nCONFIG_C=y\nCONFIG_D=m\n")
    (tmp_path / ".config").write_text("CONFIG_A=m\nCONFIG_B=y\n# CONFIG_D is not set\n")
    subprocess.run(["sh", "-e", "-c", lines], cwd=tmp_path, check=True)
    folder = Path(OUT.replace(WORK, str(tmp_path)))
    assert (folder / kernel.LEFT_OUT).read_text() == "CONFIG_D\n"
    output = Output("kernel-host-build", "0", folder, {}, {kernel.LEFT_OUT: "0"}, {}, 1.0)
    assert kernel.left_out(output).startswith("1 options that are modules")
    assert kernel.left_out(Output("x", "0", folder, {}, {}, {}, 1.0)) == ""


def test_a_flavour_with_all_modules_takes_no_list(tmp_path: Path) -> None:
    path = str(written(tmp_path, LSMOD.encode()))
    options = Options(recipe="xen-4.17-bookworm", explain=True, lsmod=path)
    with pytest.raises(BuildError, match="flavour minimal has the same modules for any host"):
        builds.make(options, "minimal", ["kernel"])
    with pytest.raises(BuildError, match="has no kernel"):
        builds.make(Options(recipe="hypervisor-4.22-trixie", lsmod=path), "")
    outcome = builds.make(options, "host", ["kernel"])
    assert "kernel-host-build" in outcome.said("table")
