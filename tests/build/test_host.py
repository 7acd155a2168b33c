# SPDX-License-Identifier: GPL-2.0-or-later
"""The settings of a host and the files of guests, with the finished packages and their parser."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from builders.ground.engine.step import Step
from builders.ground.sources.cache import Cache
from builders.host import dom0, domu
from builders.host.domu import Asked
from builders.pipeline import recipe
from builders.pipeline.run import Run
from builders.progress import Silent
from tests.build.test_bookworm import built  # noqa: F401 - a fixture
from tests.engine import hosts
from tests.unit.machines import NINE

BOOKWORM = recipe.load("xen-4.17-bookworm")
GUESTS = {
    "windows-7": Asked(
        name="windows-7",
        memory="4096M",
        vcpus="4",
        disks=["/dev/vg/windows-7", "/srv/iso/windows 7.iso,cdrom", "/srv/d.qcow2,qcow2,xvde"],
        pci=["02:00.0,permissive=1,rdm_policy=relaxed", "02:00.1,msitranslate=1,seize=1"],
        bridges=["xenbr0,00:16:3e:00:00:01"],
        usb=["host:046d:c52b"],
        windows=True,
        primary=True,
        vnc="192.0.2.1:7",
    ),
    "pv": Asked(
        name="pv",
        memory="1G",
        type="pv",
        disks=["/dev/vg/a:b=c"],
        pci=["03:00.0"],
        vnc="::1",
    ),
    "windows-9": Asked(  # the example of docs/guest.md
        name="windows-9",
        memory="6G",
        vcpus="4",
        disks=["/dev/vg/windows-9"],
        pci=NINE,
        bridges=["xenbr0"],
        windows=True,
        hole="512",
    ),
    "pvh": Asked(name="pvh", memory="64M", type="pvh", kernel="/boot/a", extra="a=b c"),
}
# What xl does first with a guest file, by the library that it does it with. The first fields of
# libxl_device_disk are backend_domid, backend_domname, pdev_path and vdev.
PARSE = """
import ctypes, json, sys
c = ctypes.CDLL(None); xlu = ctypes.CDLL(sys.argv[1]); xl = ctypes.CDLL(sys.argv[2])
for f in (xlu.xlu_cfg_init, xlu.xlu_cfg_get_listitem):
    f.restype = ctypes.c_void_p
told = {}
for path in sys.argv[3:]:
    data = open(path, "rb").read()
    out = ctypes.c_void_p.in_dll(c, "stderr")
    cfg = ctypes.c_void_p(xlu.xlu_cfg_init(out, path.encode()))
    assert xlu.xlu_cfg_readdata(cfg, data, len(data)) == 0, path
    value = ctypes.c_char_p()
    assert xlu.xlu_cfg_get_string(cfg, b"name", ctypes.byref(value), 0) == 0
    found = told.setdefault(value.value.decode(), {})
    for key in ("disk", "pci", "vif", "usbdevice", "vfb"):
        list_, count = ctypes.c_void_p(), ctypes.c_int()
        if xlu.xlu_cfg_get_list(cfg, key.encode(), ctypes.byref(list_), ctypes.byref(count), 1):
            continue
        items = [ctypes.string_at(xlu.xlu_cfg_get_listitem(list_, n)) for n in range(count.value)]
        found[key] = [item.decode() for item in items]
        for item in items:
            if key == "disk":
                disk = (ctypes.c_void_p * 64)()
                xl.libxl_device_disk_init(disk)
                assert xlu.xlu_disk_parse(cfg, 1, (ctypes.c_char_p * 1)(item), disk) == 0, item
                names = [ctypes.string_at(disk[n]).decode() for n in (2, 3)]
                found.setdefault("parsed", []).append(names)
            if key == "pci":
                pci = (ctypes.c_void_p * 64)()
                xl.libxl_device_pci_init(pci)
                assert xlu.xlu_pci_parse_spec_string(cfg, pci, item) == 0, item
print(json.dumps(told))
"""


@pytest.fixture(scope="module")
def host(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Step, str]]:
    """A machine with GRUB and both finished packages; and its state."""
    found: dict[str, Path] = request.getfixturevalue("built")
    folder = tmp_path_factory.mktemp("host")
    run = Run(BOOKWORM, Silent(), folder / "artifacts", Cache.default())
    names = [name for name in found if name == "xen-upstream" or name.startswith("linux-image")]
    with hosts.machine(run, [found[name] for name in names], names) as step:
        chosen = dom0.settings(["02:00.0", "02:00.1"], "15360M", vcpus="4", save=False)
        step.container.put("/srv", [("dom0.deb", dom0.package(BOOKWORM, chosen, folder))])
        yield step, step.output(hosts.STATE)


def test_grub_boots_the_packages_with_the_settings(host: tuple[Step, str]) -> None:
    step, before = host
    step.output("dpkg -i /srv/dom0.deb")
    xen, linux = hosts.entry(hosts.menu(step))
    assert xen.split()[1:] == ["dom0_mem=15360M,max:15360M", "dom0_max_vcpus=4"]
    assert xen.startswith("/boot/xen-4.17.")
    words = linux.split()
    assert words[0].endswith("-dom0-minimal")
    assert words[1:] == [
        "root=/dev/vda1",
        "ro",
        "quiet",
        "xen-pciback.hide=(0000:02:00.0)(0000:02:00.1)",
    ]
    # The script that reads it: it has to run to its end with the settings.
    read = '. /etc/default/xendomains; echo "[$XENDOMAINS_SAVE] $XENDOMAINS_AUTO"'
    assert step.output(read) == "[] /etc/xen/auto\n"
    step.output("dpkg --purge dom0-config")
    assert hosts.changed(step, before) == []


def test_xens_parser_reads_the_guests_as_they_were_meant(host: tuple[Step, str]) -> None:
    step, _ = host
    files = [
        (f"{name}.cfg", domu.text(domu.guest(BOOKWORM, asked)).encode())
        for name, asked in GUESTS.items()
    ]
    step.container.put("/srv", [*files, ("parse.py", PARSE.encode())])
    libraries = "$(find /usr/lib -name 'libxlutil.so.*' -type f) "
    libraries += "$(find /usr/lib -name 'libxenlight.so.*' -type f)"
    told = json.loads(step.output(f"ldconfig; python3 /srv/parse.py {libraries} /srv/*.cfg"))
    assert sorted(told) == sorted(GUESTS)
    assert told["windows-7"]["parsed"] == [
        ["/dev/vg/windows-7", "hda"],
        ["/srv/iso/windows 7.iso", "hdc"],
        ["/srv/d.qcow2", "xvde"],
    ]
    assert told["windows-7"]["pci"][0] == "0000:02:00.0,permissive=1,rdm_policy=relaxed"
    assert told["windows-7"]["usbdevice"] == ["tablet", "host:046d:c52b"]
    assert told["pv"]["parsed"] == [["/dev/vg/a:b=c", "xvda"]]
