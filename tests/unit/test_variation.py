# SPDX-License-Identifier: GPL-2.0-or-later
from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from builders.errors import BuildError
from builders.ground.engine.container import PLACE
from builders.pipeline import kernel, xen
from builders.pipeline.plan import Plan
from builders.pipeline.recipe import DebianPackage, load
from builders.proofs.rebuild import variation
from builders.proofs.rebuild.variation import Variation
from tests.unit.samples import Box

RECIPE = load("xen-4.17-bookworm")
LATER = Variation(seconds=60)


def scripts(plan: Plan) -> dict[str, str]:
    return {phase.name: phase.script for phase in plan.phases}


def test_the_other_box_needs_sources_that_an_ordinary_build_does_not() -> None:
    assert LATER.recipe(RECIPE).sources["clock"] == DebianPackage("clock", "libfaketime", "*")
    assert LATER.plan(xen.describe(RECIPE)).sources == ("xen", "locales", "clock")
    assert "clock" not in Variation().recipe(RECIPE).sources
    assert Variation().plan(xen.describe(RECIPE)).sources == ("xen", "locales")
    assert "FAKETIME" not in scripts(Variation().plan(xen.describe(RECIPE)))["build"]


def test_every_phase_is_elsewhere() -> None:
    plan = kernel.describe(RECIPE, "minimal")
    varied = LATER.plan(plan)
    assert [p.name for p in varied.phases] == ["elsewhere", *(p.name for p in plan.phases)]
    for script in scripts(varied).values():
        assert 'FAKETIME="+60"' in script
        assert "CCACHE_DISABLE=1" in script
        assert "export USER=somebody " in script
        assert "umask 0002" in script
    assert varied.record().inputs() != plan.record().inputs()
    assert [p.parallel for p in varied.phases[1:]] == [p.parallel for p in plan.phases]


def test_nothing_names_the_folder_of_the_ordinary_build() -> None:
    for plan in (xen.describe(RECIPE), kernel.describe(RECIPE, "minimal")):
        varied = LATER.plan(plan)
        text = "".join(scripts(varied).values())
        text += "".join(content.decode() for content in varied.files.values())
        assert f"{PLACE.folder}/" not in text.replace("/.build-id/", "")
        assert varied.work == "/srv/somewhere-else"
        assert {p.folder.partition("/tree")[0] for p in varied.phases} == {varied.work}
    flags = LATER.plan(xen.describe(RECIPE)).files["files/0"].decode()
    assert "-ffile-prefix-map=/srv/somewhere-else/tree=." in flags


def test_a_folder_of_that_name_in_another_stays() -> None:
    for text in ("/srv/build/x", "$(uname -r)/build", "/.build-id/", "/builds", "${d}/build/y"):
        assert LATER._moved(text) == text
    assert LATER._moved("cd '/build' && ls /build/in") == (
        "cd '/srv/somewhere-else' && ls /srv/somewhere-else/in"
    )


def test_the_check_of_the_configuration_reads_the_tree_where_it_is() -> None:
    asked = []

    def read(path: str) -> bytes:
        asked.append(path)
        return b""

    plan = LATER.plan(kernel.describe(RECIPE, "minimal"))
    with pytest.raises(BuildError, match="Kconfig dropped"):
        plan.after["configure"](read)
    assert asked == ["/srv/somewhere-else/tree/.config"]


def test_a_box_that_is_no_other_is_refused(tmp_path: Path) -> None:
    box = Box(tmp_path / "build")

    def functions(variation: Variation) -> str:
        """The values of the check and its functions, without the checks themselves."""
        setup = scripts(variation.plan(xen.describe(RECIPE)))["elsewhere"]
        return setup[setup.index("\nseconds=") : setup.index("\nis 'host name'")]

    now = "\nreal=$(date +%s)\nlate"
    assert box.run(functions(Variation()) + now, ".") == (0, "clock ahead by: 0\n")
    status, text = box.run(functions(LATER) + now, ".")
    assert status == 1
    assert "error: elsewhere the clock has to be 60 seconds ahead, not 0" in text
    # Nothing is varied: the first thing that is the same as here is named.
    status, text = box.run(functions(Variation()) + '\nis user me "$user"', ".")
    assert status == 1
    assert "error: elsewhere the user has to be somebody, and it is me" in text


@pytest.mark.slow
def test_the_order_of_files_and_the_kernel_are_others(tmp_path: Path) -> None:
    shim = tmp_path / "box.so"
    source = Path(variation.__file__).with_name("elsewhere.c")
    command = ["gcc", "-shared", "-fPIC", "-std=gnu99", '-DRELEASE="6.99"', "-Wall", "-Werror"]
    subprocess.run([*command, "-o", shim, source, "-ldl", "-lpthread"], check=True)
    folder = tmp_path / "files"
    folder.mkdir()
    for n in range(300):
        (folder / f"{n:03}").touch()

    def run(*words: str) -> list[str]:
        environment = {"LD_PRELOAD": str(shim), "PATH": "/usr/bin:/bin"}
        return subprocess.run(
            words, env=environment, check=True, capture_output=True, text=True
        ).stdout.split()

    plain = subprocess.run(
        ["ls", "-U", folder], check=True, capture_output=True, text=True
    ).stdout.split()
    assert run("ls", "-U", str(folder)) == plain[::-1]
    assert run("python3", "-c", f"import os; print(*os.listdir({str(folder)!r}))") == plain[::-1]
    assert run("uname", "-r") == ["6.99"]
    cores = [str(len(os.sched_getaffinity(0)) + 1)]
    assert run("getconf", "_NPROCESSORS_ONLN") == run("nproc") == cores
    assert run("python3", "-c", "import os; print(os.cpu_count())") == cores
