# SPDX-License-Identifier: GPL-2.0-or-later
"""The command lines that GRUB would boot with a host's settings, booted; and guests' files read
by xl of the finished package."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from builders import ROOT
from builders.host import dom0, domu
from builders.host.domu import Asked
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
# What one dry run says of a guest of MATRIX, in few words: a console carries them all.
BRIEF = """#!/bin/sh
xl create -n "$1" >/matrix.out 2>&1
status=$?
grep -E '"(bios|mmio_hole_memkb|system_firmware|memory|max_memkb|bus|name)"' /matrix.out |
    sed 's/[ ",]//g' | tr '\\n' ' '
echo
[ "$status" = 0 ] || cat /matrix.out
exit "$status"
"""
ASK = """
ask memory grep MemTotal /proc/meminfo
ask cpus nproc
ask line cat /proc/cmdline
for file in /guests/*.cfg; do
    ask "$(basename "$file" .cfg)" xl create -n "$file"
done
for file in /matrix/*.cfg; do
    ask "$(basename "$file" .cfg)" sh /matrix/brief.sh "$file"
done
"""
FIRMWARE = {"": "seabios", "seabios": "seabios", "ovmf": "ovmf", "ovmf,/srv/OVMF.fd": "ovmf"}
HOLES = ("no", "256", "512", "3840")
CARDS = (0, 1, 9, 32)
# One step beyond what xl takes, and a firmware that there is not: these it has to refuse.
BEYOND = {"hole-255": "mmio_hole=255", "hole-3841": "mmio_hole=3841", "bios-x": 'bios="x"'}


def hvm(firmware: str, hole: str, cards: int) -> Asked:
    """A guest with one choice of each."""
    return Asked(
        name="matrix",
        memory="6G",
        disks=["/dev/vg/a"],
        pci=[f"{1 + n // 8:02x}:00.{n % 8},permissive=1" for n in range(cards)],
        firmware=firmware,
        hole=hole,
    )


# Every pair of two choices in one file at least: a square in which each row and column has all.
MATRIX = {
    f"matrix-{f}-{hole}-{CARDS[(f + h) % len(CARDS)]}": hvm(
        firmware, hole, CARDS[(f + h) % len(CARDS)]
    )
    for f, firmware in enumerate(FIRMWARE)
    for h, hole in enumerate(HOLES)
}


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
        plain = domu.text(domu.guest(run.recipe, hvm("", "no", 0)))
        wrong = {name: f"{plain}{line}\n" for name, line in BEYOND.items()}
        files += [
            cpio.File(f"matrix/{name}.cfg", domu.text(domu.guest(run.recipe, asked)).encode())
            for name, asked in MATRIX.items()
        ]
        files += [cpio.File(f"matrix/{name}.cfg", text.encode()) for name, text in wrong.items()]
        files.append(cpio.File("matrix/brief.sh", BRIEF.encode()))
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


def test_the_file_in_the_guide_is_one_that_xl_took(
    booted: tuple[str, dict[str, Answer], tuple[Check, ...]],
) -> None:
    text = domu.text(domu.guest(builds.begin(RECIPE, [], Silent()).recipe, GUESTS["windows-9"]))
    shown = "".join(f"    {line}\n" for line in text.splitlines())
    assert shown in (ROOT / "docs" / "guest.md").read_text()
    assert booted[1]["windows-9"].status == 0


@pytest.mark.parametrize("name", sorted(MATRIX))
def test_xl_reads_each_choice_as_it_was_meant(
    booted: tuple[str, dict[str, Answer], tuple[Check, ...]], name: str
) -> None:
    answer, asked = booted[1][name], MATRIX[name]
    assert answer.status == 0, answer.text
    words = answer.text.split()
    assert words.count("name:matrix") == 1
    assert f"bios:{FIRMWARE[asked.firmware]}" in words or not asked.firmware
    hole = int(asked.hole) << 10 if asked.hole.isdigit() else 0
    assert f"mmio_hole_memkb:{hole}" in words or not hole
    assert ("system_firmware:/srv/OVMF.fd" in words) == ("," in asked.firmware)
    assert sum(word.startswith("bus:") for word in words) == len(asked.pci)


@pytest.mark.parametrize("name", sorted(BEYOND))
def test_xl_refuses_what_is_refused_here(
    booted: tuple[str, dict[str, Answer], tuple[Check, ...]], name: str
) -> None:
    """The bounds of mmio_hole are those of xl, and a name of a firmware is not taken by luck."""
    assert booted[1][name].status != 0
    assert "invalid value" in booted[1][name].text


def test_xl_refuses_a_wrong_guest(
    booted: tuple[str, dict[str, Answer], tuple[Check, ...]],
) -> None:
    assert booted[1]["wrong"].status != 0
