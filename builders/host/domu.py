# SPDX-License-Identifier: GPL-2.0-or-later
"""A guest as a file for xl (xl.cfg(5)), or for xm of Xen before 4.5 (xmdomain.cfg(5)).

`guest` checks what a person asked for; `text` writes the file. What stays the same for every
guest of a type stands in configs/domu/. Nothing that was typed gets into the file before it is
known to be harmless between double quotes, for xl's parser and for xm's, which is Python.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict

from builders import ROOT
from builders.debkit.deb.suites import BOOKWORM, tools
from builders.errors import BuildError
from builders.files import appearing
from builders.host.hvmloader import LEAST, MOST
from builders.host.pci import FORM, Bdf
from builders.host.problems import Problems, quoted
from builders.host.values import LOOPBACK, address, exposed, mebibytes, xen_version
from builders.pipeline.recipe import Recipe

TEMPLATES = ROOT / "configs" / "domu"
HEAD = "# Made by ./inv domu-config"
TYPES = ("hvm", "pv", "pvh")
TOOLSTACKS = ("xl", "xm")
SMALLEST = 16  # MiB
LARGEST = 16 << 20  # MiB
VCPUS = 128  # of an HVM guest (HVM_MAX_VCPUS)
FORMATS = ("raw", "qcow2", "qcow", "vhd", "cdrom")

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,62}")
_BRIDGE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,14}")  # IFNAMSIZ
_MAC = re.compile(r"[0-9a-fA-F]{2}(:[0-9a-fA-F]{2}){5}")
_VDEV = re.compile(r"(xvd[a-z]|hd[a-d]|sd[a-p])")
# A space may be inside; a comma, a quote or a backslash would end the string or its part.
_PATH = re.compile(r"/[A-Za-z0-9/._+:@=%~-]([A-Za-z0-9/._+:@=%~ -]*[A-Za-z0-9/._+:@=%~-])?")
_USB = re.compile(r"tablet|mouse|keyboard|host:[0-9a-fA-F]{4}:[0-9a-fA-F]{4}")
_EXTRA = re.compile(r"[\x20-\x7e]*")
# Options of one PCI device and what they may be: xl-pci-configuration(5).
_PCI_OPTIONS = {
    "permissive": ("0", "1"),
    "msitranslate": ("0", "1"),
    "power_mgmt": ("0", "1"),
    "seize": ("0", "1"),
    "rdm_policy": ("strict", "relaxed"),
}
FIRMWARE = ("seabios", "ovmf")
OWN = "own"  # OVMF that was built with Xen
_DEBIANS_OVMF = re.compile(r"/usr/share/(ovmf|OVMF|qemu)/")
_HOLE_SINCE = (4, 5)  # mmio_hole in xl.cfg(5)
_OVERRIDE_SINCE = (4, 8)  # bios_path_override
_QEMU_SINCE = (4, 3)  # the newer device model, which has other firmware than ROMBIOS, is the usual
_PCI_SINCE = {"seize": (4, 3), "rdm_policy": (4, 6)}
_XM_PCI = ("msitranslate", "power_mgmt")


@dataclass(frozen=True)
class Disk:
    """path: a block device or an image of the host. vdev: what the guest sees."""

    path: str
    format: str
    vdev: str
    writable: bool

    @property
    def cdrom(self) -> bool:
        return self.format == "cdrom"


@dataclass(frozen=True)
class Guest:
    """A guest, checked. memory: MiB. vnc: the address, or None for no VNC; display: -1 for the
    first that is free. pci: address and its options. xen: version of the hypervisor. firmware: ""
    for the usual; blob: its file, "" for Xen's own. hole: "fit", "all" or "no", or MiB in digits.
    ovmf: the file that this Xen takes for it, OWN for one of its own build, "" for none. suite: of
    the host."""

    name: str
    memory: int
    vcpus: int
    type: str
    toolstack: str
    disks: tuple[Disk, ...]
    pci: tuple[tuple[Bdf, str], ...]
    bridges: tuple[tuple[str, str], ...]
    usb: tuple[str, ...]
    vnc: str | None
    display: int
    kernel: str
    ramdisk: str
    extra: str
    windows: bool
    primary: bool
    xen: tuple[int, int]
    firmware: str = ""
    blob: str = ""
    hole: str = "fit"
    ovmf: str = ""
    suite: str = ""

    @property
    def traditional(self) -> bool:
        """It runs with the older device model, qemu-xen-traditional."""
        older = self.primary and self.xen < (4, 6)
        return self.toolstack == "xm" or self.xen < _QEMU_SINCE or older

    @property
    def takes_hole(self) -> bool:
        """Its file may have mmio_hole."""
        return self.type == "hvm" and not self.traditional and self.xen >= _HOLE_SINCE


@dataclass(frozen=True)
class Asked:
    """What was typed, as it was typed."""

    name: str = ""
    memory: str = ""
    vcpus: str = "1"
    disks: Sequence[str] = ()
    pci: Sequence[str] = ()
    type: str = "hvm"
    toolstack: str = "xl"
    vnc: str = ""
    bridges: Sequence[str] = ()
    usb: Sequence[str] = ()
    kernel: str = ""
    ramdisk: str = ""
    extra: str = ""
    windows: bool = False
    primary: bool = False
    firmware: str = ""
    hole: str = ""


def guest(recipe: Recipe, asked: Asked) -> Guest:
    """The guest that was asked for; BuildError (USAGE) names all that is wrong with it."""
    problems = Problems()
    xen = xen_version(recipe)
    if asked.type not in TYPES:
        problems.add(f"--type {quoted(asked.type)}: no such type of guest", ", ".join(TYPES))
    if asked.toolstack not in TOOLSTACKS:
        problems.add(f"--toolstack {quoted(asked.toolstack)}: no such toolstack", "xl or xm")
    elif asked.toolstack == "xm" and xen >= (4, 5):
        problems.add(f"--toolstack xm: Xen {xen[0]}.{xen[1]} has none", "use xl")
    if asked.type == "pvh" and (asked.toolstack == "xm" or xen < (4, 10)):
        problems.add("--type pvh: this Xen and its tools have no such guests", "hvm or pv")
    made = Guest(
        name=_name(asked.name, problems),
        memory=mebibytes(asked.memory, "--memory", problems, SMALLEST, LARGEST),
        vcpus=_vcpus(asked.vcpus, problems),
        type=asked.type,
        toolstack=asked.toolstack,
        disks=_disks(asked, problems),
        pci=_devices(asked, xen, problems),
        bridges=_bridges(asked.bridges, problems),
        usb=_usb(asked, xen, problems),
        **_screen(asked.vnc, problems),
        **_boot(asked, problems),
        windows=asked.windows,
        primary=asked.primary,
        xen=xen,
        firmware=asked.firmware.partition(",")[0],
        blob=asked.firmware.partition(",")[2],
        hole=asked.hole or "fit",
        ovmf=_ovmf(recipe),
        suite=recipe.suite.name,
    )
    _firmware(made, asked.firmware, problems)
    _hole(made, asked.hole, problems)
    if asked.type != "hvm":
        for option, given in (
            ("--windows", asked.windows),
            ("--gfx-passthru", asked.primary),
            ("--usb", bool(asked.usb)),
        ):
            if given:
                problems.add(f"{option} is for HVM guests", "--type hvm")
    if asked.primary and not asked.pci:
        problems.add("--gfx-passthru without a card", "--pci BDF of the graphics card")
    problems.end()
    return made


def _ovmf(recipe: Recipe) -> str:
    """As Guest.ovmf has it; tools/configure of Xen: it is off unless it is asked for.

    A recipe without a Xen says nothing of it: OWN.
    """
    words = " ".join(recipe.xen.configure if recipe.xen else ("--enable-ovmf",))
    asked = re.findall(r"--(?:enable-ovmf|with-system-ovmf=(\S+))(?=\s|$)", words)
    return (asked[-1] or OWN) if asked else ""


def _firmware(made: Guest, typed: str, problems: Problems) -> None:
    """FIRMWARE[,FILE]."""
    if not typed:
        return
    if made.firmware not in FIRMWARE:
        problems.add(f"--firmware {quoted(typed)}: no such firmware", "seabios, or ovmf")
    if made.type != "hvm":
        problems.add("--firmware is for HVM guests", "--type hvm")
    elif made.traditional:
        problems.add(
            "--firmware: the device model of this guest has ROMBIOS alone (xl.cfg(5), bios)",
            "leave it out; a newer Xen has a choice",
        )
    if made.blob or typed.endswith(","):
        _path(made.blob, "--firmware", problems)
        if made.xen < _OVERRIDE_SINCE:
            problems.add("--firmware: this Xen takes no file of yours", "leave the file out")


def _hole(made: Guest, typed: str, problems: Problems) -> None:
    if not typed:
        return
    digits = re.fullmatch(r"[1-9][0-9]{0,4}", typed)
    if typed not in ("all", "no") and not (digits and LEAST <= int(typed) <= MOST):
        problems.add(
            f"--mmio-hole {quoted(typed)}: neither all, no, nor a number of MiB",
            f"{LEAST} to {MOST} MiB (xl.cfg(5)); it is computed where it is left out",
        )
    if not made.takes_hole:
        problems.add(
            "--mmio-hole: for HVM guests of Xen 4.5 and newer, with the newer device model",
            "leave it out: hvmloader makes the hole as large as the devices need, up to 2 GiB",
        )


def _name(text: str, problems: Problems) -> str:
    if not text:
        problems.add("the guest has no name", "./inv domu-config NAME --memory ...")
    elif not _NAME.fullmatch(text):
        problems.add(
            f"{quoted(text)}: no name for a guest",
            "letters, digits and . _ + -, at most 63, a letter or digit first",
        )
    elif text.isdigit():
        problems.add(f"{text}: xl would take that name for a domain's number", "add a letter")
    elif text == "Domain-0":
        problems.add("Domain-0 is the name of dom0", "choose another name")
    return text


def _vcpus(text: str, problems: Problems) -> int:
    if re.fullmatch(r"[1-9][0-9]{0,3}", text) and int(text) <= VCPUS:
        return int(text)
    problems.add(f"--vcpus {quoted(text)}: no number of virtual CPUs", f"1 to {VCPUS}")
    return 1


def _path(text: str, option: str, problems: Problems) -> str:
    if not _PATH.fullmatch(text) or ".." in text.split("/"):
        problems.add(
            f"{option} {quoted(text)}: no path that a guest file can hold",
            "an absolute path of letters, digits, inner spaces and / . _ + : @ = % ~ -",
        )
    return text


def _disks(asked: Asked, problems: Problems) -> tuple[Disk, ...]:
    """PATH[,FORMAT[,VDEV[,r|w]]], in the order of the guest's devices."""
    hvm = asked.type == "hvm"
    free = ["hda", "hdb", "hdd", "hdc"] if hvm else [f"xvd{c}" for c in "abcdefghijklmnop"]
    found: list[Disk] = []
    for text in asked.disks:
        parts = [part.strip() for part in text.split(",")]
        form = (parts[1] if len(parts) > 1 else "") or "raw"
        path = _path(parts[0], "--disk", problems)
        if len(parts) > 4:
            problems.add(f"--disk {quoted(text)}: too many parts", "PATH[,FORMAT[,VDEV[,r or w]]]")
        if form not in FORMATS:
            problems.add(f"--disk {quoted(text)}: no format {quoted(form)}", ", ".join(FORMATS))
        elif asked.toolstack == "xm" and form not in ("raw", "cdrom"):
            problems.add(f"--disk {quoted(text)}: xm takes raw disks", "convert it, or use xl")
        taken = {disk.vdev for disk in found}
        order = ["hdc", *free] if form == "cdrom" and hvm else free
        vdev = parts[2] if len(parts) > 2 and parts[2] else ""
        if not vdev:
            vdev = next((name for name in order if name not in taken), "")
            if not vdev:
                problems.add(f"--disk {quoted(text)}: no device is left", "name one: xvde")
        elif not _VDEV.fullmatch(vdev):
            problems.add(f"--disk {quoted(text)}: no device {quoted(vdev)}", "such as xvda or hda")
        elif vdev in taken:
            problems.add(f"--disk {quoted(text)}: {vdev} is taken", "name another")
        if any(disk.path == path for disk in found):
            problems.add(f"--disk {quoted(path)} is there already", "give each once")
        access = parts[3] if len(parts) > 3 and parts[3] else "r" if form == "cdrom" else "w"
        if access not in ("r", "w", "ro", "rw"):
            problems.add(f"--disk {quoted(text)}: no access {quoted(access)}", "r or w")
        found.append(Disk(path, form, vdev, access in ("w", "rw") and form != "cdrom"))
    return tuple(found)


def _devices(asked: Asked, xen: tuple[int, int], problems: Problems) -> tuple[tuple[Bdf, str], ...]:
    """BDF[,OPTION=VALUE]..., in the order given: the guest sees them so."""
    found: dict[Bdf, str] = {}
    for text in asked.pci:
        where, *options = [part.strip() for part in text.split(",")]
        bdf = Bdf.parse(where)
        if bdf is None or bdf.domain > 0xFFFF:
            problems.add(f"--pci {quoted(text)}: no PCI address of Xen", FORM)
            continue
        if bdf in found:
            problems.add(f"--pci {quoted(text)}: {bdf} is there already", "give each once")
        for option in options:
            name, _, value = option.partition("=")
            known = {
                key: values
                for key, values in _PCI_OPTIONS.items()
                if xen >= _PCI_SINCE.get(key, (0, 0))
                and (asked.toolstack != "xm" or key in _XM_PCI)
            }
            if value not in known.get(name, ()):
                may = ", ".join(f"{key}={'|'.join(values)}" for key, values in known.items())
                problems.add(f"--pci {quoted(text)}: no option {quoted(option)}", may)
        found[bdf] = "".join(f",{option}" for option in options)
    if found and asked.type == "pvh":
        problems.add("--pci: Xen hands no PCI device to a PVH guest", "--type hvm or --type pv")
    return tuple(found.items())


def _bridges(texts: Sequence[str], problems: Problems) -> tuple[tuple[str, str], ...]:
    """BRIDGE[,MAC]."""
    found = []
    for text in texts:
        bridge, _, mac = text.partition(",")
        if not _BRIDGE.fullmatch(bridge):
            problems.add(f"--bridge {quoted(text)}: no name of a bridge", "such as xenbr0")
        if mac and (not _MAC.fullmatch(mac) or int(mac[:2], 16) & 1):
            problems.add(
                f"--bridge {quoted(text)}: no address of one network card",
                "such as xenbr0,00:16:3e:12:34:56",
            )
        found.append((bridge, mac.lower()))
    return tuple(found)


def _usb(asked: Asked, xen: tuple[int, int], problems: Problems) -> tuple[str, ...]:
    found = list(dict.fromkeys([*(["tablet"] if asked.windows else []), *asked.usb]))
    for text in found:
        if not _USB.fullmatch(text):
            problems.add(
                f"--usb {quoted(text)}: no such device", "tablet, mouse, keyboard or host:046d:c52b"
            )
    if len(asked.usb) > 1 and (asked.toolstack == "xm" or xen < (4, 3)):
        problems.add("--usb: this Xen takes one device", "leave the others out")
    elif len(found) > 1 and (asked.toolstack == "xm" or xen < (4, 3)):
        found = list(asked.usb)  # the one that was asked for, before the tablet
    return tuple(found)


class _Screen(TypedDict):
    vnc: str | None
    display: int


class _Boot(TypedDict):
    kernel: str
    ramdisk: str
    extra: str


def _screen(text: str, problems: Problems) -> _Screen:
    """ADDRESS, ADDRESS:DISPLAY, [IPV6]:DISPLAY or "no"."""
    if text == "no":
        return {"vnc": None, "display": -1}
    split = re.fullmatch(r"(\[[^\]]+\]|[^:\[\]]+):([0-9]{1,4})", text)
    listen = address(split[1].strip("[]") if split else text or LOOPBACK, "--vnc", problems)
    return {"vnc": listen, "display": int(split[2]) if split else -1}


def _boot(asked: Asked, problems: Problems) -> _Boot:
    for option, text in (("--kernel", asked.kernel), ("--ramdisk", asked.ramdisk)):
        if text:
            _path(text, option, problems)
            if asked.type == "hvm":
                problems.add(f"{option} is for PV and PVH guests", "an HVM guest boots its disk")
    if asked.extra and not asked.kernel:
        problems.add("--extra without --kernel", "the options go to that kernel")
    if not _EXTRA.fullmatch(asked.extra) or set(asked.extra) & set("\"'\\"):
        problems.add(
            f"--extra {quoted(asked.extra)}: cannot be put between quotes",
            "printable ASCII but quotes and backslashes",
        )
    if asked.type in ("pv", "pvh") and not asked.kernel and not asked.disks:
        problems.add("nothing to boot from", "--kernel PATH, or --disk PATH with GRUB on it")
    if asked.type == "hvm" and not asked.disks:
        problems.add("nothing to boot from", "--disk PATH, and --disk FILE.iso,cdrom to install")
    return {"kernel": asked.kernel, "ramdisk": asked.ramdisk, "extra": asked.extra}


def warnings(it: Guest, known: Collection[Bdf] = ()) -> list[str]:
    """What is allowed and yet worth a second look. known: devices that are looked at elsewhere."""
    found = []
    found += _without_ovmf(it) if it.firmware == "ovmf" else []
    if it.vnc is not None and exposed(it.vnc):
        found.append(f"--vnc {it.vnc}: {exposed(it.vnc)}")
    functions = {bdf for bdf, _ in it.pci}
    for bdf in sorted(functions):
        if bdf in known:
            continue
        if bdf.function and not any(_slot(o) == _slot(bdf) for o in functions - {bdf}):
            found.append(f"--pci {bdf}: the only function of its slot; ./inv devices shows others")
    if it.primary and it.xen >= (4, 6) and not any(_slot(bdf) == _INTEGRATED for bdf in functions):
        found.append(
            "--gfx-passthru: xl knows it for Intel's integrated graphics at 00:02.0 only, which is "
            "not among the guest's devices; any other card goes without it (docs/guest.md)"
        )
    return found


def _without_ovmf(it: Guest) -> list[str]:
    """Why a guest with OVMF will not start.

    edk2 took Xen's drivers out of its platform for QEMU in 2021; in Debian's package of 11 they are
    still, in those of 12, 13 and sid not (its images unpacked and looked through).
    """
    ours = "--firmware ovmf,FILE names one on the host that is built for Xen (edk2's OvmfXen)"
    image = it.blob or it.ovmf
    if not image:
        why = "this Xen is configured without OVMF"
    elif _DEBIANS_OVMF.match(image) and tools(it.suite).dpkg >= BOOKWORM.dpkg:
        why = f"{image} of Debian's package ovmf is built for QEMU alone, without Xen's drivers"
    else:
        return []
    return [f"--firmware ovmf: {why}, and the guest will not start; {ours}"]


_INTEGRATED = (0, 0, 2)  # where Intel's graphics always are


def _slot(bdf: Bdf) -> tuple[int, int, int]:
    return bdf.domain, bdf.bus, bdf.slot


# --- the file


def text(it: Guest, hole: int | None = None) -> str:
    """The guest file. hole: mmio_hole in MiB, where one is needed."""
    xm = it.toolstack == "xm"
    lines = [
        f"{HEAD}: {'xmdomain.cfg(5)' if xm else 'xl.cfg(5)'}",
        f"# {it.toolstack} create FILE; with a PCI device it has to be hidden from dom0 first.",
        f'name="{it.name}"',
    ]
    if it.type == "hvm" and (xm or it.xen < (4, 10)):
        lines.append('builder="hvm"')
        if xm:
            lines.append('kernel="hvmloader"')
    elif it.xen >= (4, 10):
        lines.append(f'type="{it.type}"')
    lines += [f"memory={it.memory}", f"vcpus={it.vcpus}"]
    if it.kernel:
        lines.append(f'kernel="{it.kernel}"')
        lines += [f'ramdisk="{it.ramdisk}"'] if it.ramdisk else []
        lines += [f'extra="{it.extra}"'] if it.extra else []
    elif it.type != "hvm":
        lines.append('bootloader="pygrub"')
    lines += _list("disk", [_disk(it, disk) for disk in it.disks])
    nets = [f"bridge={bridge}" + (f",mac={mac}" if mac else "") for bridge, mac in it.bridges]
    lines += _list("vif", nets)
    lines += _list("pci", [f"{bdf}{options}" for bdf, options in it.pci])
    if hole is None and it.hole.isdigit():
        hole = int(it.hole)
    if hole is not None:
        lines += ["# MiB below 4 GiB that are kept for devices.", f"mmio_hole={hole}"]
    if it.firmware:
        lines.append(f'bios="{it.firmware}"')
        lines += [f'bios_path_override="{it.blob}"'] if it.blob else []
    if it.type == "hvm":
        lines += (TEMPLATES / "hvm.cfg").read_text(encoding="utf-8").splitlines()
    if it.windows:
        lines += (TEMPLATES / "windows.cfg").read_text(encoding="utf-8").splitlines()
    if it.primary:
        lines += _primary(it)
    if it.usb:
        lines.append("usb=1")
        one = len(it.usb) == 1 and (xm or it.xen < (4, 3))
        lines += [f'usbdevice="{it.usb[0]}"'] if one else _list("usbdevice", it.usb)
    lines += _vnc(it)
    return "\n".join(lines) + "\n"


def _list(key: str, values: Sequence[str]) -> list[str]:
    if not values:
        return []
    return [f"{key}=[", *(f'    "{value}",' for value in values), "]"]


def _disk(it: Guest, disk: Disk) -> str:
    if it.toolstack == "xm":
        kind = "phy" if disk.path.startswith("/dev/") else "file"
        cdrom = ":cdrom" if disk.cdrom else ""
        return f"{kind}:{disk.path},{disk.vdev}{cdrom},{'w' if disk.writable else 'r'}"
    access = "rw" if disk.writable else "ro"
    form = "raw" if disk.cdrom else disk.format
    cdrom = ", devtype=cdrom" if disk.cdrom else ""
    # target takes all that follows it: xl-disk-configuration(5).
    return f"format={form}, vdev={disk.vdev}, access={access}{cdrom}, target={disk.path}"


def _primary(it: Guest) -> list[str]:
    lines = ["# The card is the guest's only screen, from its firmware on."]
    if it.toolstack == "xl" and it.xen < (4, 6):
        lines.append('device_model_version="qemu-xen-traditional"')
    return [*lines, 'gfx_passthru="igd"' if it.xen >= (4, 6) else "gfx_passthru=1"]


def _vnc(it: Guest) -> list[str]:
    if it.vnc is None:
        return ["vnc=0"] if it.type == "hvm" else []
    values = {"vnc": "1", "vnclisten": it.vnc, "vncunused": str(int(it.display < 0))}
    if it.display >= 0:
        values["vncdisplay"] = str(it.display)
    if it.type == "hvm":
        return [f'{k}="{v}"' if k == "vnclisten" else f"{k}={v}" for k, v in values.items()]
    if it.type == "pvh":
        return []
    return _list("vfb", [",".join(f"{k}={v}" for k, v in values.items())])


def write(content: str, path: Path) -> None:
    """Put a guest file at `path` by one rename; BuildError where another's file is there."""
    try:
        if path.exists() and not _is_ours(path):
            raise BuildError(f"{path} is there, and not made here", hint="name another file")
        with appearing(path) as fresh:
            fresh.write_text(content, encoding="utf-8")
            fresh.chmod(0o644)
    except OSError as error:
        raise BuildError(f"{path}: {error.strerror}", hint="name another file with --out") from None


def _is_ours(path: Path) -> bool:
    """Whether a file begins as those that are made here; no FIFO or device does: none is read."""
    if not path.is_file() and not path.is_dir():
        return False
    with path.open("rb") as stream:
        return stream.read(len(HEAD)) == HEAD.encode()
