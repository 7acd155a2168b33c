# SPDX-License-Identifier: GPL-2.0-or-later
from __future__ import annotations

from pathlib import Path

import pytest

from builders.errors import BuildError
from builders.pipeline.artifacts import Package
from builders.proofs.boot import guests, hvm, parts, prove
from builders.proofs.boot.checks import Answer
from builders.proofs.boot.modules import Module
from builders.proofs.boot.parts import Parts
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
    chosen = guests.options("pv", these(tmp_path), 40, tmp_path / "xend.gz")
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


def these(tmp_path: Path, drivers: tuple[Module, ...] = (), config: str = "") -> Parts:
    """Parts with a kernel that can be read."""
    kernel = tmp_path / "vmlinuz"
    kernel.write_bytes(b"kernel")
    return Parts(Path(), kernel, Path(), "4.17.5", "6.1", config=config.encode(), guest=drivers)


def test_what_a_guest_is_given(tmp_path: Path) -> None:
    files = {f.path: f.content or b"" for f in guests.options("pv", these(tmp_path), 40).files}
    assert files["guest/patience"] == b"40\n"
    assert b'pci = ["00:04.0,permissive=1"]' in files["guest/proof.cfg"]
    assert files["guest/vmlinuz"] == b"kernel"
    assert "proof/no-save" in files
    pvh = guests.options("pvh", these(tmp_path), 40)
    assert b"pci" not in {f.path: f.content or b"" for f in pvh.files}["guest/proof.cfg"]
    assert "npt" in pvh.cpu


@pytest.mark.parametrize(
    ("guest", "form", "told"),
    [("hvn", "table", "--guest hvn: no such kind"), ("pv", "xml", "--format xml")],
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
    drivers = (Module("e1000", b"one", ()), Module("xen_pcifront", b"two", ()))
    files = {f.path: f.content for f in guests.options("pv", these(tmp_path, drivers), 9).files}
    assert files["guest/root/modules/00-e1000.ko"] == b"one"
    assert files["guest/root/modules/01-xen_pcifront.ko"] == b"two"


# An HVM guest

DIGESTS = {"e1000": "a" * 64, "virtio_net": "b" * 64}
LIFE = f"""\
@@display 0x1234 0x1111 16777216 4096 0xD15B1A7E 0xB0C5
@@ping e1000 3
@@file e1000 {"a" * 64}
@@interrupts e1000 -ioapic-level
@@ping virtio_net 3
@@file virtio_net {"b" * 64}
@@interrupts virtio_net -msi-x
@@up 6.1"""
GIVEN = "Vdev Device\n03.0 0000:01:00.0\n04.0 0000:02:00.0\n05.0 0000:03:00.0"
HVM = {
    "virt": (0, "virt_caps : pv hvm hvm_directio pv_directio hap"),
    "reset": (0, "bus\nflr bus\nbus"),
    "dry_run": (0, "Parsing config"),
    "create": (0, "Parsing config from /guest/proof.cfg"),
    "first": (0, LIFE),
    "given": (0, GIVEN),
    "second": (0, LIFE),
    "given_again": (0, GIVEN),
    "returned": (0, "0000:01:00.0\n0000:02:00.0\n0000:03:00.0"),
    "bound": (0, "pciback\npciback\npciback"),
    "third": (0, LIFE),
    "xendomains": (0, "Shutting down Xen domains: proof(shut)."),
    "left": (0, "Domain-0 0 512"),
    "ended": (0, "@@asked to power off"),
}


def hvm_failing(**changes: tuple[int, str]) -> set[str]:
    console = said(**{**HVM, **changes})
    return {check.name for check in hvm.hvm_checks(console, DIGESTS) if not check.good}


def test_all_holds_of_an_hvm_guest() -> None:
    assert hvm_failing() == set()


@pytest.mark.parametrize(
    ("name", "answer", "fails"),
    [
        ("virt", (0, "virt_caps : pv hvm"), {"hvm_directio"}),
        ("reset", (0, "bus\n\nbus"), {"cards can be reset"}),
        ("create", (3, "libxl: error"), {"guest is created"}),
        ("first", (0, LIFE.replace("e1000 3", "e1000 2")), {"e1000: bytes, first"}),
        ("second", (0, LIFE.replace("b" * 64, "a" * 64)), {"virtio_net: bytes, after a reboot"}),
        (
            "third",
            (0, LIFE.replace("-msi-x", "-ioapic-level")),
            {"virtio_net: bytes, created again"},
        ),
        ("third", (0, LIFE.replace("0xB0C5", "0xFFFF")), {"display, created again"}),
        ("third", (0, LIFE.replace("16777216", "4096")), {"display, created again"}),
        ("given_again", (0, GIVEN.replace("02:", "04:")), {"cards are the guest's again"}),
        ("returned", (0, "0000:01:00.0\n0000:02:00.0"), {"cards come back"}),
        ("bound", (0, "pciback\ne1000\npciback"), {"cards come back"}),
        ("left", (0, "Domain-0\nproof 3"), {"xendomains shuts it down"}),
        ("ended", (1, ""), {"xendomains shuts it down"}),
    ],
)
def test_each_check_of_an_hvm_guest_fails_where_it_has_to(
    name: str, answer: tuple[int, str], fails: set[str]
) -> None:
    assert hvm_failing(**{name: answer}) == fails


def test_a_machine_that_said_nothing_of_an_hvm_guest() -> None:
    found = hvm.hvm_checks(Console((), 0, 1.0), DIGESTS)
    assert len(found) == 17
    assert not any(check.good for check in found)


def test_each_network_card_has_a_file_of_its_own(tmp_path: Path) -> None:
    with hvm.fresh() as random:
        chosen = hvm.options(these(tmp_path), random, tmp_path / "model", 40)
        assert len(set(random.digests.values())) == len(hvm.NETWORK_CARDS)
        for card in chosen.cards:
            served = card.network.partition("tftp=")[2]
            if served:
                assert (Path(served) / "fresh").stat().st_size == 64 << 10
    assert not random.folder.exists()
    assert chosen.meant == hvm.ADDRESSES
    config = next(f.content for f in chosen.files if f.path == "guest/proof.cfg") or b""
    assert b'pci = ["01:00.0,permissive=1", "02:00.0' in config


def test_a_kernel_that_can_be_no_hvm_guest_is_refused(tmp_path: Path) -> None:
    there = [f"CONFIG_{o}=y" for o in (*hvm._BUILT_IN, *hvm._NEEDED)]
    hvm._usable(these(tmp_path, config="\n".join(there)))
    with pytest.raises(BuildError, match="without CONFIG_DEVMEM"):
        hvm._usable(these(tmp_path, config="\n".join(o for o in there if "DEVMEM" not in o)))


def test_xl_has_to_say_why_it_refuses_a_guest() -> None:
    said = (
        "libxl: error: libxl_create.c: passthrough not supported on this platform",
        "libxl: error: libxl_pci.c: Domain 1:PCI device 0:1:0.0 is not assignable",
        "libxl: info: libxl_create.c: qemu-xen is unavailable, using qemu-xen-traditional instead",
    )
    for control, line in zip(hvm.CONTROLS, said, strict=True):
        assert hvm._reason(Answer(3, ("Parsing config", line)), control.reason).good
        assert not hvm._reason(Answer(3, ("no hvmloader",)), control.reason).good
