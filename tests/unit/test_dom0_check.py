# SPDX-License-Identifier: GPL-2.0-or-later
"""dom0-check and what compares the devices at boot, on trees that are hosts."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from builders.debkit.deb import Added, create
from builders.errors import BuildError, Exit
from builders.host import dom0, identity, moved
from builders.host.pci import Bdf
from builders.pipeline.recipe import load
from builders.verbs import devices
from tests.unit.hosts import BUILD, CARD, INFO, LIST, RELEASE, RING, Host

pytestmark = pytest.mark.slow
OTHER = "10de:1b80 10de:119e 030000"
SERIAL = "525400ffff123456"


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path / "host")


def states(host: Host) -> dict[str, tuple[str, str]]:
    done = host.check("--json")
    told = json.loads(done.stdout)
    assert done.stderr == ""
    assert (told["schema"], told["kind"]) == (1, "dom0-check")
    failing = [c["name"] for c in told["checks"] if c["state"] == "fail"]
    assert told["good"] is (not failing)
    assert done.returncode == bool(failing)
    assert all(c["remedy"] for c in told["checks"] if c["state"] in ("fail", "unknown", "warn"))
    return {c["name"]: (c["state"], c["seen"]) for c in told["checks"]}


def failing(host: Host) -> dict[str, str]:
    return {name: seen for name, (state, seen) in states(host).items() if state != "ok"}


def test_a_sound_host(host: Host) -> None:
    found = states(host)
    assert {state for state, _ in found.values()} == {"ok"}
    assert len(found) == 12
    text = host.check()
    assert text.returncode == 0
    assert len(text.stdout.splitlines()) == 12


def test_a_wrong_option_changes_nothing(host: Host) -> None:
    assert host.check("--yes").returncode == 2
    assert host.check("--json", "--wrong").returncode == 2
    (host.root / "usr/share/dom0-config/meant").unlink()
    assert host.check().returncode == 2


def test_without_xen(host: Host) -> None:
    (host.root / "sys/hypervisor/type").unlink()
    assert "without Xen" in failing(host)["xen"]
    host.write("sys/hypervisor/type", "xen\n")
    host.write("proc/xen/capabilities", "\n")
    assert "a guest" in failing(host)["xen"]
    host.write("proc/xen/capabilities", "control_d\n")
    host.program("xl", "echo 'cannot open \"libxl\"' >&2; exit 1")
    assert 'cannot open "libxl"' in failing(host)["xen"]


@pytest.mark.parametrize(
    ("installed", "good"),
    [
        ("4.17.5+dom0.1", True),
        ("1:4.17.5-1", True),
        ("4.17.50-1", False),
        ("4.18.0", False),
        ("", False),
    ],
)
def test_the_version_that_runs_is_that_of_the_package(
    host: Host, installed: str, good: bool
) -> None:
    host.program("dpkg-query", f"printf '%s' '{installed}'")
    assert ("xen" not in failing(host)) is good


def test_options_that_are_not_there(host: Host) -> None:
    host.write("proc/cmdline", "root=/dev/vda2\n")
    assert f"xen-pciback.hide=({CARD})" in failing(host)["options"]
    host.xen(INFO.replace("dom0_mem=512M,max:512M", "loglvl=all"))
    assert "dom0_mem=512M,max:512M" in failing(host)["options"]


@pytest.mark.parametrize(("memory", "state"), [("512", "ok"), ("400", "fail"), ("", "unknown")])
def test_memory_of_dom0(host: Host, memory: str, state: str) -> None:
    host.xen(listed=LIST.replace(" 512 ", f" {memory} ") if memory else "")
    assert states(host)["memory"][0] == state


@pytest.mark.parametrize("built", ["m", "n", ""])
def test_a_back_end_that_is_not_loaded(host: Host, built: str) -> None:
    (host.root / "sys/bus/pci/devices" / CARD / "driver").unlink()
    (host.root / "sys/bus/pci/drivers/pciback").rmdir()
    host.write(f"boot/config-{RELEASE}", f"CONFIG_XEN_PCIDEV_BACKEND={built}\n")
    found = failing(host)
    assert ("not loaded" if built == "m" else "built without") in found["back-end"]
    assert f"{CARD} is with no driver" in found["hidden"]


def test_a_card_that_dom0_holds(host: Host) -> None:
    host.gone()
    host.card(f"pci0000:00/0000:00:04.0/{CARD}", driver="e1000")
    assert failing(host) == {"hidden": f"{CARD} is with e1000"}


def test_the_iommu_and_the_remapping_of_interrupts(host: Host) -> None:
    host.xen(INFO.replace(" pv_directio hvm_directio", ""))
    assert "no IOMMU" in failing(host)["iommu"]
    host.xen(ring=RING.replace("remapping enabled", "remapping disabled"))
    assert set(failing(host)) == {"remapping"}
    host.xen(ring="(XEN) later lines only\n")
    assert states(host)["remapping"][0] == "unknown"


def test_microcode(host: Host) -> None:
    assert "0x1f" in states(host)["microcode"][1]
    host.meant(f"device {CARD} 8086:100e 1af4:1100 020000 - 0000:00/04.0/00.0", more="microcode\n")
    assert "carries no microcode" in failing(host)["microcode"]
    host.write(f"boot/initrd.img-{RELEASE}", "0707010000kernel/x86/microcode/GenuineIntel.bin\0")
    assert states(host)["microcode"][0] == "ok"
    host.xen(ring=f"{RING}(XEN) microcode: CPU0 updated from revision 0x1 to 0x1f\n")
    assert "Xen loaded revision 0x1f" in states(host)["microcode"][1]
    host.xen(ring=f"{RING}(XEN) Microcode loading failed: -22\n")
    assert "failed" in failing(host)["microcode"]


def test_no_reset_is_a_warning(host: Host) -> None:
    host.gone()
    host.card(f"pci0000:00/0000:00:04.0/{CARD}", reset="")
    assert states(host)["reset"][0] == "warn"
    assert host.check().returncode == 0


def test_a_service_that_is_down(host: Host) -> None:
    host.program(
        "systemctl",
        'case "$1:$2" in is-active:xenstored*) echo failed; exit 3 ;; is-active*) echo active ;; '
        "*) echo x ;; esac",
    )
    assert failing(host) == {"services": "xenstored is failed"}


def test_a_reboot_that_is_due(host: Host) -> None:
    host.write("boot/vmlinuz-6.10.0-dom0", "")
    assert "6.10.0-dom0 is installed" in failing(host)["reboot"]
    (host.root / "boot/vmlinuz-6.10.0-dom0").unlink()
    host.write(f"boot/vmlinuz-{RELEASE}", f"{RELEASE} (b@h) {BUILD}1"[:-2])
    assert "was installed anew" in failing(host)["reboot"]
    (host.root / f"boot/vmlinuz-{RELEASE}").unlink()
    assert "not installed any more" in failing(host)["reboot"]


def test_another_hypervisor_is_installed_than_runs(host: Host) -> None:
    host.xen(INFO.replace("ab" * 20, "cd" * 20))
    assert "hypervisor" in failing(host)["reboot"]
    host.xen(INFO.replace(f"build_id               : {'ab' * 20}\n", ""))
    assert "reboot" not in failing(host)


@pytest.mark.parametrize("odd", ['a"b\\c', "\x1b[2J", "\x00\x01", "ä€", "$(id)`id`", "*", "%s%n"])
def test_what_a_machine_says_is_no_part_of_the_report(host: Host, odd: str) -> None:
    host.write("proc/cpuinfo", f"microcode\t: {odd}\n")
    host.xen(
        INFO.replace("pv_directio", f"{odd} pv_directio"),
        ring=f"{RING}(XEN) microcode {odd} error\n",
    )
    host.gone()
    host.card(f"pci0000:00/0000:00:04.0/{CARD}", reset=odd.replace("\x00", ""))
    assert "uid=" not in str(states(host))
    assert "\x1b" not in host.check().stdout


# --- the devices that were meant


def meant(host: Host, address: str = CARD) -> str:
    it = identity.look(host.root / "sys", Bdf.parse(address))  # type: ignore[arg-type]
    return f"device {address} {it}"


def wrong(host: Host) -> str:
    done = host.check("--wrong")
    assert done.returncode == bool(done.stdout)
    return done.stdout


@pytest.mark.parametrize("serial", ["", SERIAL])
def test_what_is_recorded_is_what_is_compared(host: Host, serial: str) -> None:
    host.gone()
    host.card(f"pci0000:00/0000:00:04.0/{CARD}", serial=serial)
    line = meant(host)
    assert line == f"device {CARD} 8086:100e 1af4:1100 020000 {serial or '-'} 0000:00/04.0/00.0"
    host.meant(line)
    assert wrong(host) == ""
    assert failing(host) == {}


def test_a_card_that_is_gone(host: Host) -> None:
    host.gone()
    assert wrong(host) == f"{CARD} no device is there\n"
    assert "no device is there" in failing(host)["devices"]


def test_a_card_in_another_slot(host: Host) -> None:
    host.gone()
    host.card("pci0000:00/0000:00:05.0/0000:02:00.0")
    assert "one like it is at 0000:02:00.0" in wrong(host)


def test_one_bridge_more_in_front_of_it(host: Host) -> None:
    host.gone()
    host.card("pci0000:00/0000:00:03.0/0000:01:00.0", OTHER)
    host.card("pci0000:00/0000:00:04.0/0000:02:00.0")
    assert "another device is there: 10de:1b80 class 030000" in wrong(host)
    assert "it is at 0000:02:00.0 now" in wrong(host)


def test_two_equal_cards(host: Host) -> None:
    host.card("pci0000:00/0000:00:05.0/0000:02:00.0")
    assert wrong(host) == ""
    host.gone()
    host.gone("0000:02:00.0")
    host.card("pci0000:00/0000:00:03.0/0000:01:00.0")
    host.card("pci0000:00/0000:00:04.0/0000:02:00.0")
    assert "in another slot" in wrong(host)
    assert "it is at 0000:02:00.0 now" in wrong(host)


def test_a_serial_number_tells_equal_cards_apart(host: Host) -> None:
    host.meant(f"device {CARD} 8086:100e 1af4:1100 020000 {SERIAL} 0000:00/04.0/00.0")
    host.gone()
    host.card(f"pci0000:00/0000:00:04.0/{CARD}", serial="5254000000000001")
    host.card("pci0000:00/0000:00:05.0/0000:02:00.0", serial=SERIAL)
    assert "another serial number" in wrong(host)
    assert "it is at 0000:02:00.0 now" in wrong(host)
    host.gone()
    host.gone("0000:02:00.0")
    # It is that card, whatever is in front of it now.
    host.card(f"pci0000:00/0000:00:03.0/{CARD}", serial=SERIAL)
    assert wrong(host) == ""


def test_a_disk_where_the_card_was(host: Host) -> None:
    host.gone()
    host.card(f"pci0000:00/0000:00:04.0/{CARD}", "144d:a808 144d:a801 010802")
    assert "another device is there: 144d:a808 class 010802" in wrong(host)


def test_what_was_not_recorded_is_not_compared(host: Host) -> None:
    host.meant(f"device {CARD} {identity.NOTHING}")
    assert wrong(host) == ""
    assert states(host)["devices"][0] == "warn"
    host.gone()
    assert wrong(host) == f"{CARD} no device is there\n"


@pytest.mark.parametrize(
    "config",
    [b"", b"\xff" * 4096, b"\x03\x00\x01\x10" * 1024, b"\x01\x00\x01\x10" * 1024, b"\n" * 300],
)
def test_a_list_of_capabilities_that_leads_nowhere(host: Host, config: bytes) -> None:
    (host.root / "sys/bus/pci/devices" / CARD / "config").write_bytes(config)
    serial = identity.serial(config)
    host.meant(meant(host))
    assert (" - " in meant(host)) is (not serial)
    assert wrong(host) == ""


# --- the same of a package, before it is installed


def package(host: Host, folder: Path) -> Path:
    recipe = load("xen-4.17-bookworm")
    bdf = Bdf.parse(CARD)
    assert bdf
    settings = dom0.settings([CARD], "512M", meant=dom0.meant([CARD], str(host.root / "sys")))
    return dom0.package(recipe, settings, folder)


def test_a_package_is_held_against_a_machine(host: Host, tmp_path: Path) -> None:
    made = package(host, tmp_path)
    assert moved.moved(made, host.root / "sys") == ()
    host.gone()
    found = moved.moved(made, host.root / "sys")
    assert [(str(it.bdf), it.why) for it in found] == [(CARD, "no device is there")]
    options = devices.Options(sysfs=str(host.root / "sys"), check=str(made))
    outcome = devices.run(options)
    assert outcome.code == Exit.AUDIT
    told = json.loads(outcome.said("json"))
    assert told["kind"] == "devices-check"
    assert told["moved"] == [{"address": CARD, "why": "no device is there"}]


def test_a_document_of_devices_serves_as_well(host: Host, tmp_path: Path) -> None:
    file = tmp_path / "devices.json"
    file.write_text(devices.run(devices.Options(sysfs=str(host.root / "sys"))).said("json"))
    known = dom0.meant([CARD], str(file))
    assert known == dom0.meant([CARD], str(host.root / "sys"))
    assert [str(bdf) for bdf in known] == [CARD]
    for odd in ("", "[]", '{"kind": "recipes"}', '{"kind": "devices", "devices": [1]}', "[" * 9999):
        file.write_text(odd)
        with pytest.raises(BuildError, match="not what devices says"):
            dom0.meant([CARD], str(file))
    assert dom0.meant([CARD], dom0.NOWHERE) == {}
    with pytest.raises(BuildError, match="no sysfs there"):
        dom0.meant([CARD], str(tmp_path))


@pytest.mark.parametrize(
    "line",
    [
        "device ../../etc - - - - -",
        f"device {CARD} $(id) x x x x",
        f"device {CARD} 8086:100e 1af4:1100 020000 - 0000:00/../..",
        "device",
    ],
)
def test_what_a_package_recorded_is_checked_first(tmp_path: Path, line: str) -> None:
    fields = {"Package": "dom0-config", "Version": "1", "Architecture": "all"}
    fields |= {"Maintainer": "a <a@b.invalid>", "Description": "x"}
    members = [Added("/usr/share/dom0-config/meant", f"{line}\n".encode(), 0o644)]
    made = create(tmp_path / "p.deb", fields, members=members, epoch=0, compression="gzip")
    with pytest.raises(BuildError):
        moved.moved(made, tmp_path)


def test_a_package_of_something_else(tmp_path: Path) -> None:
    fields = {"Package": "x", "Version": "1", "Architecture": "all"}
    fields |= {"Maintainer": "a <a@b.invalid>", "Description": "x"}
    made = create(tmp_path / "p.deb", fields, epoch=0, compression="gzip")
    with pytest.raises(BuildError, match="has not recorded"):
        moved.moved(made, tmp_path)
    with pytest.raises(BuildError):
        moved.moved(tmp_path / "none.deb", tmp_path)


GUESTS = {
    "other": 'name="other"\npci=["02:00.0"]\n',
    "short": 'pci=["01:00.0,permissive=1"]\n',
    "long": "pci=['0000:01:00.0']\n",
    "spare": 'pci=["1:0.0"]\n',
    "all": 'pci=["01:00.*"]\n',
    "function": 'pci=["01:00.1"]\n',
    "bus": 'pci=["11:00.0"]\n',
    "segment": 'pci=["0001:01:00.0"]\n',
}


def test_guests_that_name_it_do_not_start(host: Host) -> None:
    for name, text in GUESTS.items():
        host.write(f"etc/xen/auto/{name}.cfg", text)
    sound = host.run("usr/lib/dom0-config/devices")
    assert (sound.returncode, sound.stdout + sound.stderr) == (0, "")
    assert not (host.root / "run/dom0-config").exists()
    host.gone()
    done = host.run("usr/lib/dom0-config/devices")
    assert done.returncode == 1
    left = {path.stem for path in (host.root / "run/dom0-config/auto").iterdir()}
    assert left == {"other", "function", "bus", "segment"}
    motd = (host.root / "run/dom0-config/motd").read_text()
    assert motd == done.stderr
    assert "all.cfg long.cfg short.cfg spare.cfg" in motd
    assert f"{CARD} no device is there" in motd


def test_an_administrators_own_folder_of_guests(host: Host) -> None:
    host.write("etc/default/xendomains.dom0-config-orig", "XENDOMAINS_AUTO=/srv/guests\n")
    host.write("srv/guests/a b.cfg", GUESTS["other"])
    host.gone()
    host.run("usr/lib/dom0-config/devices")
    assert [p.name for p in (host.root / "run/dom0-config/auto").iterdir()] == ["a b.cfg"]


def test_no_guest_starts_where_nothing_could_be_compared(host: Host) -> None:
    host.write("etc/xen/auto/other.cfg", GUESTS["other"])
    (host.root / "usr/share/dom0-config/meant").unlink()
    assert host.run("usr/lib/dom0-config/devices").returncode == 1
    assert list((host.root / "run/dom0-config/auto").iterdir()) == []
