# SPDX-License-Identifier: GPL-2.0-or-later
"""The package of a host's settings on a machine with the suite's GRUB, apt and dpkg.

Xen and its kernel are stand-ins with the configuration files of the real ones; tests/build has
those.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import pytest

from builders.ground.engine.step import Step
from builders.ground.sources.cache import Cache
from builders.host import dom0
from builders.host.dom0 import Style
from builders.pipeline import recipe
from builders.pipeline.run import Run
from builders.progress import Silent
from tests.engine import hosts
from tests.unit.debs import Item, make

BOOKWORM = recipe.load("xen-4.17-bookworm")
CARD = ("02:00.0", "02:00.1")
HIDDEN = "xen-pciback.hide=(0000:02:00.0)(0000:02:00.1)"
OLD = Style(grub_dropin=False, xend=True)
XENDOMAINS = b"XENDOMAINS_SAVE=/var/lib/xen/save\nXENDOMAINS_AUTO=/etc/xen/auto\n"
CONFFILES = {
    "/etc/default/xendomains": XENDOMAINS,
    "/etc/xen/xl.conf": b"#autoballoon=1\n",
    "/etc/xen/xend-config.sxp": b"(network-script network-bridge)\n",
}


def xen(folder: Path, version: str, more: bytes = b"") -> Path:
    items = [Item("./boot/xen-9.9.gz", b"xen")]
    items += [Item(f".{path}", data + more) for path, data in CONFFILES.items()]
    return make(
        folder / f"xen-upstream_{version}_amd64.deb",
        items,
        control={"Package": "xen-upstream", "Version": version},
        files={"conffiles": "".join(f"{path}\n" for path in CONFFILES).encode()},
    )


def kernel(folder: Path) -> Path:
    config = b"CONFIG_XEN_DOM0=y\nCONFIG_XEN_PCIDEV_BACKEND=y\n"
    return make(
        folder / "linux-image-9.9_1_amd64.deb",
        [Item("./boot/vmlinuz-9.9", b"linux"), Item("./boot/config-9.9", config)],
        control={"Package": "linux-image-9.9", "Version": "1"},
    )


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Step, str]]:
    """A machine with GRUB, Xen and a kernel, none of the settings; and its state."""
    folder = tmp_path_factory.mktemp("host")
    save, old = {"save": False}, {"save": False, "like": OLD}
    made = {
        "1": dom0.package(BOOKWORM, dom0.settings(CARD, "4G", **save), folder, version="1"),  # type: ignore[arg-type]
        "2": dom0.package(BOOKWORM, dom0.settings(["03:00.0"], "5G"), folder, version="2"),
        "3": dom0.package(
            BOOKWORM,
            dom0.settings(CARD, "6G", vcpus="2", vnc="0.0.0.0", **old),  # type: ignore[arg-type] # noqa: S104
            folder,
            version="3",
            like=OLD,
        ),
    }
    debs = [xen(folder, "1"), kernel(folder)]
    run = Run(dataclasses.replace(BOOKWORM), Silent(), folder / "artifacts", Cache.default())
    with hosts.machine(run, debs, ["xen-upstream", "linux-image-9.9"]) as step:
        put = [*made.values(), xen(folder, "2", b"# newer\n")]
        step.container.put("/srv", [(path.name, path) for path in put])
        yield step, step.output(hosts.STATE)


def deb(version: str) -> str:
    return f"/srv/dom0-config_{version}_all.deb"


def install(step: Step, path: str, *options: str) -> str:
    status, text = step.attempt("install", f"dpkg {' '.join(options)} -i {path}")
    assert status == 0, text
    return text


def purge(step: Step) -> None:
    status, text = step.attempt("purge", "dpkg --purge dom0-config")
    assert status == 0, text


def test_grub_boots_xen_with_the_settings_and_purge_undoes_all(host: tuple[Step, str]) -> None:
    step, before = host
    assert "dom0_mem" not in hosts.menu(step)
    told = install(step, deb("1"))
    assert "warning: 0000:02:00.0: no such device here" in told
    assert hosts.entry(hosts.menu(step)) == (
        "/boot/xen-9.9.gz  dom0_mem=4096M,max:4096M",
        f"/boot/vmlinuz-9.9 root=/dev/vda1 ro  quiet {HIDDEN}",
    )
    read = '. /etc/default/xendomains; echo "[$XENDOMAINS_SAVE] $XENDOMAINS_AUTO"'
    assert step.output(read) == "[] /etc/xen/auto\n"
    assert step.output("dpkg --verify") == ""
    purge(step)
    assert hosts.changed(step, before) == []


def test_rescue_entries_are_without_it(host: tuple[Step, str]) -> None:
    step, _ = host
    install(step, deb("1"))
    lines = hosts.menu(step).splitlines()
    single = [line for line in lines if " single" in line]
    assert single
    assert not any("xen-pciback" in line for line in single)
    purge(step)


def test_removal_ends_it_and_purge_takes_the_rest(host: tuple[Step, str]) -> None:
    step, before = host
    install(step, deb("1"))
    step.output("dpkg --remove dom0-config")
    assert "dom0_mem" not in hosts.menu(step)
    assert step.output("cat /etc/default/xendomains") == XENDOMAINS.decode()
    assert step.output("test -e /etc/default/grub.d/dom0-config.cfg; echo $?") == "0\n"
    purge(step)
    assert hosts.changed(step, before) == []


def test_other_settings_take_the_place_of_the_first(host: tuple[Step, str]) -> None:
    step, before = host
    install(step, deb("1"))
    install(step, deb("2"), "--force-confnew")
    xen_line, linux_line = hosts.entry(hosts.menu(step))
    assert "dom0_mem=5120M" in xen_line
    assert linux_line.endswith("quiet xen-pciback.hide=(0000:03:00.0)")
    read = '. /etc/default/xendomains; echo "$XENDOMAINS_SAVE $XENDOMAINS_AUTO"'
    assert step.output(read) == "/var/lib/xen/save /etc/xen/auto\n"
    purge(step)
    assert hosts.changed(step, before) == []


def test_the_administrators_files_stay_his(host: tuple[Step, str]) -> None:
    step, before = host
    step.output(
        "echo 'XENDOMAINS_AUTO=/mine' >>/etc/default/xendomains; chmod 600 /etc/default/xendomains"
    )
    step.output("sed -i 's/^GRUB_DEFAULT=.*/GRUB_DEFAULT=saved/' /etc/default/grub; update-grub")
    mine = step.output(hosts.STATE)
    install(step, deb("1"))
    assert step.output('. /etc/default/xendomains; echo "$XENDOMAINS_AUTO"') == "/mine\n"
    assert 'set default="${saved_entry}"' in hosts.menu(step)
    purge(step)
    assert hosts.changed(step, mine) == []
    restore = "sed -i '$d' /etc/default/xendomains; chmod 644 /etc/default/xendomains"
    step.output(f"{restore}; sed -i 's/^GRUB_DEFAULT=.*/GRUB_DEFAULT=0/' /etc/default/grub")
    step.output("update-grub")
    assert hosts.changed(step, before) == []


def test_a_newer_xen_updates_the_files_that_were_set_aside(host: tuple[Step, str]) -> None:
    step, before = host
    install(step, deb("3"))
    install(step, "/srv/xen-upstream_2_amd64.deb")
    assert step.output("readlink /etc/xen/xl.conf") == "xl.conf.dom0-config\n"
    assert "# newer" in step.output("cat /etc/xen/xl.conf.dom0-config-orig")
    assert step.output("find /etc -name '*.dpkg-*'") == ""
    purge(step)
    assert step.output("cat /etc/xen/xl.conf") == "#autoballoon=1\n# newer\n"
    install(step, "/trial/xen-upstream_1_amd64.deb")
    assert hosts.changed(step, before) == []


def test_an_old_grub_is_diverted(host: tuple[Step, str]) -> None:
    step, before = host
    install(step, deb("3"))
    menu = hosts.menu(step)
    assert menu.index("08_linux_xen") < menu.index("10_linux")
    assert "20_linux_xen" not in menu.replace("/etc/dom0-config/20_linux_xen", "")
    assert 'set default="0"' in menu
    assert hosts.entry(menu) == (
        "/boot/xen-9.9.gz  dom0_mem=6144M,max:6144M dom0_max_vcpus=2",
        f"/boot/vmlinuz-9.9 root=/dev/vda1 ro  quiet {HIDDEN}",
    )
    assert "(vnc-listen '0.0.0.0')" in step.output("cat /etc/xen/xend-config.sxp")
    assert step.output("cat /etc/xen/xl.conf").splitlines()[-1] == "autoballoon=0"
    purge(step)
    assert hosts.changed(step, before) == []


def test_a_menu_that_cannot_be_made_is_an_error_that_can_be_mended(
    host: tuple[Step, str],
) -> None:
    step, before = host
    step.output("mv /usr/sbin/grub-probe /usr/sbin/grub-probe.away")
    status, text = step.attempt("install", f"dpkg -i {deb('1')}")
    assert status != 0
    assert "update-grub failed: the settings are not in the boot menu" in text
    step.output("mv /usr/sbin/grub-probe.away /usr/sbin/grub-probe; dpkg --configure -a")
    assert HIDDEN in hosts.entry(hosts.menu(step))[1]
    purge(step)
    assert hosts.changed(step, before) == []


def test_settings_and_xen_go_together(host: tuple[Step, str]) -> None:
    step, _ = host
    install(step, deb("1"))
    step.output("apt-get purge --yes xen-upstream")
    assert step.output("dpkg-divert --list dom0-config; find /etc -name '*dom0-config*'") == ""
    assert step.output("ls /etc/default/xendomains* /etc/xen 2>/dev/null || true") == ""
    install(step, "/trial/xen-upstream_1_amd64.deb")
