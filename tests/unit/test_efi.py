# SPDX-License-Identifier: GPL-2.0-or-later
"""What UEFI boots in the proof, and the image that a host makes for it."""

from __future__ import annotations

import gzip
import subprocess
from pathlib import Path

import pytest

from builders.errors import BuildError, Exit
from builders.ground.engine import box
from builders.progress import Silent
from builders.proofs.boot import cpio, efi, firmware, machine
from builders.proofs.boot.firmware import BOOTED, Uefi
from builders.proofs.boot.machine import Loaded
from builders.proofs.boot.parts import Parts
from builders.proofs.boot.qemu import Machine
from builders.verbs import boot_test

pytestmark = pytest.mark.slow


@pytest.fixture
def loaded(tmp_path: Path) -> Loaded:
    kernel, initrd = tmp_path / "vmlinuz", tmp_path / "initrd"
    kernel.write_bytes(b"kernel")
    initrd.write_bytes(b"initrd")
    parts = Parts(tmp_path / "xen", kernel, initrd, "4.17.5", "6.1")
    return Loaded(parts, initrd, "com1=115200 loglvl=all", "console=hvc0")


@pytest.fixture
def disks(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Path | bytes]]:
    """The files of each disk that is made; neither mtools nor OVMF are needed."""
    made: list[dict[str, Path | bytes]] = []

    def boot_disk(path: Path, files: dict[str, Path | bytes]) -> Path:
        made.append(files)
        return path

    monkeypatch.setattr(firmware, "boot_disk", boot_disk)
    monkeypatch.setattr(firmware, "variables", lambda path, _: path)
    return made


IMAGES = efi.Images(Path("grub"), Path("xen.gz"), Path("xen.efi"))


def test_grub_is_told_of_all_three(
    loaded: Loaded, disks: list[dict[str, Path | bytes]], tmp_path: Path
) -> None:
    efi.by_grub(IMAGES, loaded, tmp_path)
    (disk,) = disks
    menu = disk["boot/grub/grub.cfg"]
    assert isinstance(menu, bytes)
    for line in (
        b"multiboot2 /xen.gz placeholder com1=115200 loglvl=all\n",
        b"module2 /vmlinuz placeholder console=hvc0\n",
        b"module2 --nounzip /initrd\n",
    ):
        assert line in menu
    assert {"xen.gz", "vmlinuz", "initrd"} < disk.keys()
    assert disk[BOOTED] == Path("grub")


def test_xen_reads_the_configuration_of_its_own_name(
    loaded: Loaded, disks: list[dict[str, Path | bytes]], tmp_path: Path
) -> None:
    efi.by_xen(IMAGES, loaded, tmp_path)
    (disk,) = disks
    config = disk[BOOTED.replace(".EFI", ".CFG")]
    assert isinstance(config, bytes)
    assert b"\noptions=com1=115200 loglvl=all\nkernel=vmlinuz console=hvc0\n" in config
    assert {"EFI/BOOT/vmlinuz", "EFI/BOOT/initrd"} < disk.keys()


def test_the_command_line_of_a_machine_with_uefi() -> None:
    plain = Machine(Uefi(Path("a,b"), Path("v")), "tcg").command()
    assert plain[plain.index("-smp") + 1] == "1"
    assert "if=none,id=esp,format=raw,file=a,,b" in plain
    assert not {"-kernel", "-initrd", "-append", "-global"} & set(plain)
    secure = Machine(Uefi(Path("a"), Path("v"), secure=True), "tcg").command()
    assert secure[secure.index("-machine") + 1] == "q35,smm=on"
    assert any("secboot" in word for word in secure)
    kvm = Machine(Uefi(Path("a"), Path("v"), secure=True), "kvm").command()
    assert kvm[kvm.index("-machine") + 1] == "q35,smm=on,kernel-irqchip=split"


def test_uefi_and_its_tables_are_what_was_found() -> None:
    def failing(*lines: str) -> set[str]:
        return {check.name for check in efi.efi_checks(lines) if not check.good}

    good = ("@@begin firmware", "efi", "@@end firmware 0")
    assert failing(*good) == set()
    assert failing(good[0], "bios", good[2]) == {"started by UEFI"}
    assert failing() == {"started by UEFI"}
    missed = "ACPI BIOS Error (bug): A valid RSDP was not found (20220331/tbxfroot-210)"
    assert failing(*good, missed) == {"ACPI tables"}


@pytest.mark.parametrize(
    "line",
    [
        "BdsDxe: No bootable option or device was found.",
        'BdsDxe: failed to start Boot0001 "UEFI" from PciRoot(0x0): Security Violation',
        'BdsDxe: failed to load Boot0001 "UEFI" from PciRoot(0x0): Access Denied',
        "(XEN) Hardware Dom0 halted: halting machine",
        "error: file `/xen.gz' not found.",
        "error: you need to load the kernel first.",
    ],
)
def test_firmware_that_starts_nothing_is_told_at_once(line: str) -> None:
    assert machine.LOST.search(line)


def test_what_is_missing_on_this_box_is_told(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(box.PACKAGES, "ovmf", str(tmp_path / "OVMF_CODE_4M.fd"))
    monkeypatch.setenv(box.SETUP, "no")
    with pytest.raises(BuildError, match="missing on this box: ovmf") as caught:
        firmware.ensure(Silent())
    assert caught.value.exit == Exit.ENGINE
    assert "ovmf" in caught.value.hint


def test_a_tool_that_fails_is_told() -> None:
    with pytest.raises(BuildError, match="sh ended with 3") as caught:
        firmware.tool("sh", "-c", "echo no room >&2; exit 3")
    assert "no room" in caught.value.excerpt


def test_what_firmware_refused_and_what_it_did_not() -> None:
    def found(*lines: str) -> list[bool]:
        return [check.good for check in efi.refusal(lines)]

    refused = 'BdsDxe: failed to load Boot0001 "UEFI" from PciRoot(0x0): Access Denied'
    assert found("BdsDxe: loading", refused) == [False, True]
    assert found("(XEN) Xen version 4.17.5") == [True, False]
    assert found() == [False, False]  # a machine that hung refused nothing


@pytest.mark.parametrize(
    ("private", "engine"), [("/own.key", []), ("pkcs11:token=t;object=o", ["--engine", "pkcs11"])]
)
def test_how_an_image_is_signed(
    private: str, engine: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    called: list[tuple[str, ...]] = []
    monkeypatch.setattr(firmware, "tool", lambda *words, **_: called.append(words))
    key = firmware.Key(private, Path("/own.pem"))
    assert key.sign(Path("a.efi"), Path("b.efi")) == Path("b.efi")
    pair = ["--key", private, "--cert", "/own.pem"]
    assert called == [("sbsign", *engine, *pair, "--output", "b.efi", "a.efi")]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ({"efi_key": "own.key", "efi_cert": "own.pem"}, "nothing is signed"),
        ({"firmware": "secure", "efi_key": "own.key"}, "both a key and its certificate"),
        ({"firmware": "secure", "efi_key": "/none", "efi_cert": "/none"}, "/none: no such file"),
    ],
)
def test_a_key_that_is_none_is_refused_first(words: dict[str, str], told: str) -> None:
    with pytest.raises(BuildError, match=told):
        boot_test._key(boot_test.Options(**words))  # type: ignore[arg-type]


def test_a_key_in_a_token_is_no_file(tmp_path: Path) -> None:
    certificate = tmp_path / "own.pem"
    certificate.touch()
    named = boot_test.Options(
        firmware="secure", efi_key="pkcs11:token=t", efi_cert=str(certificate)
    )
    assert boot_test._key(named) == firmware.Key("pkcs11:token=t", certificate)
    assert boot_test._key(boot_test.Options(firmware="secure")) is None


# xen-uki, the host's script

needs_objcopy = pytest.mark.skipif(not box.command("objcopy"), reason="no binutils here")
BASE = 0xFFFF82D040000000
ALIGN = 2 << 20


@pytest.fixture
def xen(tmp_path: Path) -> Path:
    """An image for UEFI with one section where Xen has its first one."""
    out = tmp_path / "xen-4.17.5.efi"
    text = tmp_path / "text"
    text.write_bytes(bytes(100))
    script = tmp_path / "script"
    script.write_text(f"SECTIONS {{ . = {BASE + ALIGN:#x}; .text : {{ *(.data) }} }}\n")
    made = f"{text}.o"
    wrap = ["objcopy", "-I", "binary", "-O", "elf64-x86-64", "-B", "i386:x86-64"]
    subprocess.run([*wrap, str(text), made], check=True)
    link = ["ld", "-m", "i386pep", "--image-base", f"{BASE:#x}", "-T", str(script)]
    subprocess.run([*link, "-o", str(out), made], check=True)
    return out


def unify(*words: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["sh", str(efi._UNIFY), *map(str, words)],
        capture_output=True,
        text=True,
        check=False,
        env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", **environment},
    )


def sections(image: Path) -> dict[str, tuple[int, int]]:
    """Name -> size and address."""
    done = subprocess.run(["objdump", "-h", str(image)], capture_output=True, text=True, check=True)
    rows = (line.split() for line in done.stdout.splitlines())
    found = {r[1]: (int(r[2], 16), int(r[3], 16)) for r in rows if len(r) > 5 and r[0].isdigit()}
    assert found
    return found


@needs_objcopy
def test_the_unified_image_has_every_part_behind_xens_own(xen: Path, tmp_path: Path) -> None:
    sizes = {"kernel": 3 << 20, "initrd": 100, "config": 40}
    for name, size in sizes.items():
        (tmp_path / name).write_bytes(b"\1" * size)
    words = [word for name in sizes for word in (f"--{name}", tmp_path / name)]
    done = unify("--xen", xen, *words, "--out", tmp_path / "out.efi")
    assert done.returncode == 0, done.stderr
    found = sections(tmp_path / "out.efi")
    assert [n for n in found if n in (".config", ".kernel", ".ramdisk")] == [
        ".config",
        ".kernel",
        ".ramdisk",
    ]
    assert (
        found[".config"][1],
        found[".kernel"][1],
        found[".ramdisk"][1],
    ) == (BASE + 2 * ALIGN, BASE + 3 * ALIGN, BASE + 5 * ALIGN)
    assert found[".kernel"][0] >= 3 << 20
    assert not list(tmp_path.glob("out.efi.*"))


@needs_objcopy
@pytest.mark.skipif(not box.command("cpio"), reason="no cpio here")
def test_the_microcode_of_the_initramfs_is_a_part_of_its_own(xen: Path, tmp_path: Path) -> None:
    kernel, initrd, out = tmp_path / "kernel", tmp_path / "initrd", tmp_path / "out.efi"
    kernel.write_bytes(b"kernel")
    folder = "kernel/x86/microcode"
    blobs = [
        cpio.File(f"{folder}/{name}.bin", b"microcode" * 9)
        for name in ("AuthenticAMD", "GenuineIntel")
    ]
    words: list[str | Path] = [
        "--xen",
        xen,
        "--kernel",
        kernel,
        "--initrd",
        initrd,
        "--config",
        kernel,
        "--out",
        out,
    ]
    rest = gzip.compress(cpio.archive([cpio.File("init", b"#!/bin/sh\n")]))
    initrd.write_bytes(rest)
    assert unify(*words).returncode == 0
    assert ".ucode" not in sections(out)
    initrd.write_bytes(cpio.archive(blobs) + rest)
    assert unify(*words).returncode == 0
    assert b"microcode" * 9 in out.read_bytes()
    assert sections(out)[".ucode"][0] in range(81, 81 + 512)
    assert ".ramdisk" in sections(out)


@needs_objcopy
@pytest.mark.skipif(not box.command("sbsign"), reason="no sbsigntool here")
def test_the_image_is_signed_whole(xen: Path, tmp_path: Path) -> None:
    key, out = firmware.new_key(tmp_path), tmp_path / "out.efi"
    kernel = tmp_path / "kernel"
    kernel.write_bytes(b"\1" * 5000)
    words: list[str | Path] = ["--xen", xen, "--kernel", kernel, "--config", kernel, "--out", out]
    done = unify(*words, "--key", key.private, "--cert", key.certificate)
    assert done.returncode == 0, done.stderr

    def holds() -> bool:
        verify = ["sbverify", "--cert", str(key.certificate), str(out)]
        return subprocess.run(verify, capture_output=True, check=False).returncode == 0

    assert holds()
    content = out.read_bytes()
    at = content.index(b"\1" * 5000)
    out.write_bytes(content[:at] + b"\2" + content[at + 1 :])
    assert not holds()
    out.write_bytes(b"old")
    wrong = unify(*words, "--key", kernel, "--cert", key.certificate)
    assert wrong.returncode == 1
    assert "could not sign" in wrong.stderr
    assert out.read_bytes() == b"old"


@needs_objcopy
def test_an_image_that_cannot_be_made_leaves_the_old_one(xen: Path, tmp_path: Path) -> None:
    out, kernel = tmp_path / "out.efi", tmp_path / "kernel"
    out.write_bytes(b"old")
    kernel.write_bytes(b"kernel")
    wrong = unify("--xen", kernel, "--kernel", kernel, "--config", kernel, "--out", out)
    assert wrong.returncode == 1
    assert "no image of Xen" in wrong.stderr
    assert unify("--xen", xen, "--kernel", kernel, "--out").returncode == 1
    assert "no such option" in unify("--kernal", kernel).stderr
    assert out.read_bytes() == b"old"


def test_a_host_without_a_partition_for_it_is_told() -> None:
    done = unify()
    assert done.returncode == 1
    assert "EFI system partition" in done.stderr
