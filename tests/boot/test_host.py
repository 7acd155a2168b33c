# SPDX-License-Identifier: GPL-2.0-or-later
"""The command lines that GRUB would boot with a host's settings, booted; and guests' files read
by xl of the finished package."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from builders.host import dom0, domu
from builders.pipeline.graph import Pipeline
from builders.progress import Silent
from builders.proofs.boot import cpio
from builders.proofs.boot.checks import Answer, Check, answers, checks
from builders.proofs.boot.machine import Options, boot
from builders.proofs.boot.parts import parts
from builders.proofs.boot.qemu import HIDDEN
from builders.verbs import builds
from tests.build.test_host import GUESTS
from tests.engine import hosts

RECIPE = "xen-4.17-bookworm"
# A guest that xl has to refuse: without that, a dry run that takes all would look the same.
WRONG = 'name="wrong"\ntype="hvm"\nmemory=64\ndisk=["format=nonsense, vdev=hda, target=/a"]\n'
ASK = """
ask memory grep MemTotal /proc/meminfo
ask cpus nproc
ask line cat /proc/cmdline
for file in /guests/*.cfg; do
    ask "$(basename "$file" .cfg)" xl create -n "$file"
done
"""


@pytest.fixture(scope="module")
def booted(
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[str, dict[str, Answer], tuple[Check, ...]]:
    """The line of Linux that GRUB has, what dom0 answered, and the checks of the boot proof."""
    run = builds.begin(RECIPE, [], Silent())
    folder = tmp_path_factory.mktemp("host")
    chosen = dom0.settings([HIDDEN], "512M", vcpus="1")
    with run.alone():
        pipeline = Pipeline(run, "minimal")
        packages = pipeline.build()
        xen = next(p for p in packages if p.package == "xen-upstream")
        kernel = next(
            p for p in packages if p.package.startswith("linux-image") and "dbg" not in p.package
        )
        debs = [xen.path, kernel.path, dom0.package(run.recipe, chosen, folder)]
        with hosts.machine(run, debs, [xen.package, kernel.package, "dom0-config"]) as step:
            lines = [line.split(" ", 1)[1].strip() for line in hosts.entry(hosts.menu(step))]
        files = [
            cpio.File(f"guests/{name}.cfg", domu.text(domu.guest(run.recipe, asked)).encode())
            for name, asked in GUESTS.items()
        ]
        files += [
            cpio.File("guests/wrong.cfg", WRONG.encode()),
            cpio.File("proof/host.sh", ASK.encode()),
        ]
        options = Options(
            xen=f"com1=115200,8n1 console=com1 {lines[0]}",
            linux=f"console=hvc0 panic=-1 {lines[1]}",
            hide="",  # what hides the card is in GRUB's line
            files=tuple(files),
        )
        with parts(run, pipeline.supplies.image(), xen, kernel) as these:
            console, log = boot(run, these, "boot-host", options, accel="tcg", timeout=300)
            found = checks(console, these)
    assert Path(log).is_file()
    return lines[1], answers(console.lines), found


def test_the_settings_take_effect(
    booted: tuple[str, dict[str, Answer], tuple[Check, ...]],
) -> None:
    line, answers, checks = booted
    assert [check for check in checks if not check.good] == []
    assert line.endswith(f"xen-pciback.hide=({HIDDEN})")
    assert answers["line"].text.endswith(line)
    assert answers["cpus"].text == "1"
    assert 400 < int(answers["memory"].text.split()[1]) >> 10 <= 512


@pytest.mark.parametrize("name", sorted(GUESTS))
def test_xl_takes_the_guests(
    booted: tuple[str, dict[str, Answer], tuple[Check, ...]], name: str
) -> None:
    answer = booted[1][name]
    assert answer.status == 0, answer.text
    text = "\n".join(answer.lines)
    told = json.loads(text[text.index("{") :])
    asked = GUESTS[name]
    assert told["c_info"]["name"] == name
    assert told["c_info"]["type"] == asked.type
    assert len(told.get("disks", [])) == len(asked.disks)
    assert len(told.get("pcidevs", [])) == len(asked.pci)


def test_xl_refuses_a_wrong_guest(
    booted: tuple[str, dict[str, Answer], tuple[Check, ...]],
) -> None:
    assert booted[1]["wrong"].status != 0
