# SPDX-License-Identifier: GPL-2.0-or-later
from __future__ import annotations

from pathlib import Path

import pytest

from builders.errors import BuildError
from builders.pipeline.artifacts import Package
from builders.proofs.boot import guests, parts, prove
from builders.proofs.boot.modules import Module
from builders.proofs.boot.qemu import Console
from builders.verbs import boot_test
from builders.verbs.catalogue import VERBS
from tests.unit import debs


def said(**answers: tuple[int, str]) -> Console:
    lines = []
    for name, (status, text) in answers.items():
        name = name.replace("_", "-")
        lines += [f"@@begin {name}", *text.split("\n"), f"@@end {name} {status}"]
    return Console(tuple(lines), 0, 60.0)


UP = "@@card 0000:00:00.0 0x8086 0x100e e1000\n@@net eth0 lo\n@@up 6.1"
GOOD = {
    "dry_run": (0, "Parsing config"),
    "create": (0, "Parsing config from /guest/proof.cfg"),
    "first": (0, UP),
    "given": (0, "Vdev Device\n00.0 0000:00:04.0"),
    "second": (0, UP),
    "given_again": (0, "Vdev Device\n00.0 0000:00:04.0"),
    "returned": (0, "0000:00:04.0"),
    "bound": (0, "pciback"),
    "xendomains": (0, "Shutting down Xen domains: proof(shut)."),
    "left": (0, "Domain-0 0 512"),
    "ended": (0, "@@asked to power off"),
    "saved": (1, "ls: no such file"),
}


def failing(kind: str, toolstack: str = "xl", **changes: tuple[int, str]) -> set[str]:
    console = said(**{**GOOD, **changes})
    found = guests.guest_checks(console, kind, toolstack)
    return {check.name for check in found if not check.good}


def test_all_holds_of_a_pv_guest() -> None:
    assert failing("pv") == set()


@pytest.mark.parametrize(
    ("name", "answer", "fails"),
    [
        ("dry_run", (1, ""), "guest's file is understood"),
        ("create", (3, "libxl: error"), "guest is created"),
        ("first", (1, ""), "guest comes up"),
        ("first", (0, UP.replace("e1000", ".")), "guest comes up"),
        ("first", (0, UP.replace("eth0 ", "")), "guest comes up"),
        ("second", (0, "@@net eth0 lo\n@@up 6.1"), "guest comes up again"),
        ("given", (0, ""), "card is the guest's"),
        ("given_again", (0, ""), "card is the guest's again"),
        ("returned", (0, ""), "card comes back"),
        ("bound", (0, "e1000"), "card comes back"),
        ("xendomains", (1, ""), "xendomains shuts it down"),
        ("left", (0, "Domain-0\nproof 3"), "xendomains shuts it down"),
        ("ended", (1, ""), "xendomains shuts it down"),
    ],
)
def test_each_check_of_a_pv_guest_fails_where_it_has_to(
    name: str, answer: tuple[int, str], fails: str
) -> None:
    assert failing("pv", "xl", **{name: answer}) == {fails}


XEND = {"xend": (0, "running"), "xm_list": (0, "Domain-0 0 512")}


def test_xend_has_to_answer() -> None:
    assert failing("pv", "xm", **XEND) == set()
    assert failing("pv", "xm", **XEND | {"xend": (1, "")}) == {"xend answers"}
    assert failing("pv", "xm", **XEND | {"xm_list": (0, "Error: Is xend running?")}) == {
        "xend answers"
    }
    assert failing("pv", "xm") == {"xend answers"}


def test_what_xm_is_given(tmp_path: Path) -> None:
    kernel = tmp_path / "kernel"
    kernel.write_bytes(b"kernel")
    chosen = guests.options("pv", kernel, xend=tmp_path / "xend.gz")
    files = {f.path: f.content or b"" for f in chosen.files}
    assert files["guest/toolstack"] == b"xm\n"
    assert b'pci = ["00:04.0"]' in files["guest/proof.cfg"]
    assert chosen.tools == tmp_path / "xend.gz"


@pytest.mark.parametrize("guest", ["", "pvh", "all"])
def test_xm_makes_pv_guests_alone(guest: str) -> None:
    asked = {"guest": guest} if guest else {}
    with pytest.raises(BuildError, match="--toolstack xm"):
        boot_test.boot(None, boot_test.Options(toolstack="xm", **asked))  # type: ignore[arg-type]


def test_a_package_without_xm_is_told(tmp_path: Path) -> None:
    def package(program: str) -> Package:
        path = debs.make(tmp_path / f"{program}.deb", [debs.Item(f"./usr/sbin/{program}", b"")])
        return Package(path, "xen-upstream", "1", "amd64", "0", ())

    with pytest.raises(BuildError, match="has no xm"):
        prove.has_xm(package("xl"))
    prove.has_xm(package("xm"))


def test_a_pvh_guest_has_no_card_and_is_saved() -> None:
    up = (0, "@@net lo\n@@up 6.1")
    assert failing("pvh", first=up, second=up, saved=(0, "proof")) == set()
    assert failing("pvh", first=up, second=up) == {"xendomains saves it"}


def test_a_machine_that_said_nothing_of_a_guest() -> None:
    assert len([c for c in guests.guest_checks(Console((), 0, 1.0), "pv") if not c.good]) == 8


def test_what_a_guest_is_given(tmp_path: Path) -> None:
    kernel = tmp_path / "vmlinuz"
    kernel.write_bytes(b"kernel")
    files = {f.path: f.content or b"" for f in guests.options("pv", kernel).files}
    assert b'pci = ["00:04.0,permissive=1"]' in files["guest/proof.cfg"]
    assert files["guest/vmlinuz"] == b"kernel"
    assert "proof/no-save" in files
    pvh = guests.options("pvh", kernel)
    assert b"pci" not in {f.path: f.content or b"" for f in pvh.files}["guest/proof.cfg"]
    assert "npt" in pvh.cpu


@pytest.mark.parametrize(
    ("guest", "form", "told"),
    [("hvm", "table", "--guest hvm: no such kind"), ("pv", "xml", "--format xml")],
)
def test_what_is_asked_wrongly(guest: str, form: str, told: str) -> None:
    with pytest.raises(BuildError, match=told):
        VERBS["boot-test"].run(recipe="xen-4.17-bookworm", format=form, guest=guest)


def test_a_kernel_without_the_drivers_is_refused() -> None:
    there = {f"CONFIG_{o}": "y" for o in (*parts._BUILT_IN, *parts._NEEDED)}
    parts._bootable("linux-image-x", there)
    parts._bootable("linux-image-x", there | {"CONFIG_E1000": "m"})
    with pytest.raises(BuildError, match="without CONFIG_E1000") as error:
        parts._bootable("linux-image-x", there | {"CONFIG_E1000": "n"})
    assert "--flavour minimal" in error.value.hint
    with pytest.raises(BuildError, match="without CONFIG_DEVTMPFS"):
        parts._bootable("linux-image-x", there | {"CONFIG_DEVTMPFS": "m"})


def test_linux_before_3_3_has_privcmd_in_xenfs() -> None:
    there = {f"CONFIG_{o}": "y" for o in (*parts._BUILT_IN, *parts._NEEDED)}
    del there["CONFIG_XEN_PRIVCMD"]
    parts._bootable("linux-image-3.2.0", there)
    with pytest.raises(BuildError, match="CONFIG_XEN_PRIVCMD"):
        parts._bootable("linux-image-x", there | {"CONFIG_XEN_PRIVCMD": "n"})
    with pytest.raises(BuildError, match="CONFIG_XENFS, CONFIG_XEN_PRIVCMD"):
        parts._bootable("linux-image-x", there | {"CONFIG_XENFS": "n"})


def test_the_drivers_of_a_guest_are_its_own(tmp_path: Path) -> None:
    kernel = tmp_path / "vmlinuz"
    kernel.write_bytes(b"kernel")
    drivers = [Module("e1000", b"one", ()), Module("xen_pcifront", b"two", ())]
    files = {f.path: f.content for f in guests.options("pv", kernel, drivers).files}
    assert files["guest/root/modules/00-e1000.ko"] == b"one"
    assert files["guest/root/modules/01-xen_pcifront.ko"] == b"two"
