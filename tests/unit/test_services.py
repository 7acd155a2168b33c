# SPDX-License-Identifier: GPL-2.0-or-later
"""Maintainer scripts are run here, with tools that only note how they were called."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from builders.debkit.audit import audit
from builders.debkit.corrections import Corrections, Override
from builders.debkit.deb import Deb
from builders.debkit.finish import finish
from builders.errors import BuildError
from tests.unit import debs
from tests.unit.debs import Item, symlink

UNITS = "./usr/lib/systemd/system"
ITEMS = [
    Item("./etc/init.d/both", b"#!/bin/sh\n", mode=0o755),
    Item("./etc/init.d/old", b"#!/bin/sh\n", mode=0o755),
    Item(f"{UNITS}/both.service", b"[Service]\n"),
    Item(f"{UNITS}/new.service", b"[Service]\n[Install]\n"),
    Item(f"{UNITS}/some.mount", b"[Mount]\n"),
]
TOOLS = ("deb-systemd-invoke", "systemctl", "update-rc.d", "invoke-rc.d", "update-grub")


def finished(
    tmp_path: Path, corrections: Corrections, items: Sequence[Item] = ITEMS
) -> tuple[Deb, tuple[str, ...]]:
    raw = debs.make(tmp_path / "raw.deb", items)
    done = finish(
        raw, corrections, elf_depends=(), destination_dir=tmp_path / "out", epoch=1_200_000_000
    )
    return Deb.open(done.path), done.notes


def calls(
    tmp_path: Path, deb: Deb, script: str, *arguments: str, there: bool = True, known: str = ""
) -> list[str]:
    """What a maintainer script calls, on a box where systemd runs and units are enabled.

    there: whether it has init scripts and units; known: what dpkg-query says of other packages.
    """
    text = deb.control_files[script].decode()
    box = tmp_path / "box"
    for folder in ("bin", "run/systemd/system", "etc/init.d", "boot/grub", "var/log/x", UNITS):
        (box / folder).mkdir(parents=True, exist_ok=True)
    for path in (
        "etc/init.d/both",
        "etc/init.d/old",
        f"{UNITS}/both.service",
        f"{UNITS}/some.mount",
    ):
        (box / path).unlink(missing_ok=True)
        if there:
            (box / path).write_text("")
            (box / path).chmod(0o755)
    for tool in (*TOOLS, "deb-systemd-helper"):
        program = box / "bin" / tool
        program.write_text(f'#!/bin/sh\necho "{tool} $*" >>{box}/calls\n')
        program.chmod(0o755)
    (box / "bin/dpkg-query").write_text(f"#!/bin/sh\nprintf '{known}'\n")
    (box / "bin/dpkg-query").chmod(0o755)
    for path in ("/run/systemd", "/etc/init.d", "/boot/grub", "/var/log/x", "/usr/lib/systemd"):
        text = text.replace(f" {path}", f" {box}{path}")
    (box / script).write_text(text)
    (box / "calls").write_text("")
    environment = {"PATH": f"{box}/bin:{os.environ['PATH']}"}
    subprocess.run(["sh", "-e", box / script, *arguments], check=True, env=environment)
    return (box / "calls").read_text().splitlines()


def test_boot_enables_and_never_touches_what_runs(tmp_path: Path) -> None:
    deb, _ = finished(tmp_path, Corrections(services={"both": "boot", "some.mount": "boot"}))
    for before in ((), ("0.9",)):
        called = calls(tmp_path, deb, "postinst", "configure", *before)
        assert "update-rc.d both defaults" in called
        assert "deb-systemd-helper enable both.service" in called
        assert "deb-systemd-helper enable some.mount" in called
        assert not [c for c in called if c.startswith(("deb-systemd-invoke", "invoke-rc.d"))]
    assert "prerm" not in deb.control_files
    gone = calls(tmp_path, deb, "postrm", "purge", there=False)
    assert "update-rc.d both remove" in gone
    assert "deb-systemd-helper purge both.service" in gone
    assert calls(tmp_path, deb, "postrm", "purge") == []  # another package has taken its place


def test_start_and_restart(tmp_path: Path) -> None:
    deb, _ = finished(tmp_path, Corrections(services={"new": "start", "both": "restart"}))

    def invoked(script: str, *arguments: str) -> list[str]:
        called = calls(tmp_path, deb, script, *arguments)
        return sorted(c for c in called if c.startswith("deb-systemd-invoke"))

    first = ["deb-systemd-invoke start both.service", "deb-systemd-invoke start new.service"]
    assert invoked("postinst", "configure") == first
    again = ["deb-systemd-invoke try-restart both.service"]
    assert invoked("postinst", "configure", "0.9") == again
    assert invoked("prerm", "upgrade", "2") == []
    stopped = ["deb-systemd-invoke stop both.service", "deb-systemd-invoke stop new.service"]
    assert invoked("prerm", "remove") == stopped


def test_manual_and_sysv(tmp_path: Path) -> None:
    deb, notes = finished(tmp_path, Corrections(services={"both": "manual", "old": "sysv"}))
    called = calls(tmp_path, deb, "postinst", "configure")
    assert "update-rc.d both defaults-disabled" in called
    assert "update-rc.d old defaults" in called
    assert "deb-systemd-helper debian-installed both.service" in called
    masked = {e.path: e.info.linkname for e in deb.index.entries if e.info.issym()}
    assert masked == {"/usr/lib/systemd/system/old.service": "/dev/null"}
    assert [n for n in notes if "not registered" in n] == [
        "service new.service is not registered: state it in services",
    ]


def test_an_init_script_that_a_removal_left_does_not_run(tmp_path: Path) -> None:
    deb, _ = finished(tmp_path, Corrections(services={"old": "boot"}))
    calls(tmp_path, deb, "postrm", "remove")
    script = tmp_path / "box/etc/init.d/old"
    assert not os.access(script, os.X_OK)
    text = deb.control_files["preinst"].decode().replace("/etc/init.d", f"{script.parent}")
    for before, runs in (("upgrade", False), ("install", True)):  # or another package left it
        script.chmod(0o644)
        subprocess.run(["sh", "-c", text, "preinst", before], check=True)
        assert os.access(script, os.X_OK) == runs


@pytest.mark.parametrize(
    ("line", "kept"),
    [
        ("test -x $BIN/tool || exit 0", True),
        ('[ -x "$DAEMON" ] || exit 0', True),
        ("test -d /proc/xen || exit 1", False),
        ("# test -x /usr/bin/tool || exit 0", False),
    ],
)
def test_a_script_that_looks_for_its_program_keeps_its_x(
    tmp_path: Path, line: str, kept: bool
) -> None:
    items = [Item("./etc/init.d/old", f"#!/bin/sh\n{line}\n".encode(), mode=0o755)]
    deb, _ = finished(tmp_path, Corrections(services={"old": "boot"}), items)
    calls(tmp_path, deb, "postrm", "remove")
    assert os.access(tmp_path / "box/etc/init.d/old", os.X_OK) == kept


@pytest.mark.parametrize(
    ("services", "what"),
    [
        ({"absent": "boot"}, "no unit and no init script absent"),
        ({"both": "always"}, "'always' is no way"),
        ({"x; reboot": "boot"}, "is no service"),
        ({"new": "sysv"}, "without a unit"),
    ],
)
def test_what_cannot_be_registered(tmp_path: Path, services: dict[str, str], what: str) -> None:
    with pytest.raises(BuildError, match=what):
        finished(tmp_path, Corrections(services=services))


def test_grub_and_purge(tmp_path: Path) -> None:
    stated = Corrections(grub=True, purge=("/var/log/x", "/var/lib/x/"))
    deb, _ = finished(tmp_path, stated)
    assert calls(tmp_path, deb, "postinst", "configure") == ["update-grub "]
    assert calls(tmp_path, deb, "postrm", "remove") == ["update-grub "]
    assert (tmp_path / "box/var/log/x").exists()
    assert calls(tmp_path, deb, "postrm", "purge") == []
    assert not (tmp_path / "box/var/log/x").exists()
    assert "rmdir /var/lib/x/ " in deb.control_files["postrm"].decode()


@pytest.mark.parametrize(
    ("known", "left"),
    [
        ("", []),
        ("unknown ok not-installed\\n", []),
        ("deinstall ok config-files\\nunknown ok not-installed\\n", ["x"]),
        ("install ok installed\\n", ["x", "x/log"]),
        ("deinstall ok config-files\\ninstall ok unpacked\\n", ["x", "x/log"]),
    ],
)
def test_a_purge_leaves_what_a_package_of_the_same_files_may_need(
    tmp_path: Path, known: str, left: list[str]
) -> None:
    stated = Corrections(purge=("/var/log/x/*", "/var/log/x/"), conflicts=("yy (<< 2)", "zz:any"))
    deb, _ = finished(tmp_path, stated)
    assert " yy zz " in deb.control_files["postrm"].decode()
    (tmp_path / "box/var/log/x").mkdir(parents=True)
    (tmp_path / "box/var/log/x/log").write_text("")
    calls(tmp_path, deb, "postrm", "purge", known=known)
    log = tmp_path / "box/var/log"
    assert sorted(str(path.relative_to(log)) for path in log.rglob("*")) == left


@pytest.mark.parametrize(
    "path", ["/", "/etc", "/usr/lib/x", "/var/lib/../x", "/var/lib/", "/etc/$x"]
)
def test_a_purge_that_goes_too_far(tmp_path: Path, path: str) -> None:
    with pytest.raises(BuildError, match="can't be removed by a package"):
        finished(tmp_path, Corrections(purge=(path,)))


def test_files_and_overrides(tmp_path: Path) -> None:
    override = Override("no-manual-page", "Upstream\nhas none.", "[usr/bin/x]")
    stated = Corrections(
        files={"/etc/new/conf": "a=1\n", "/usr/bin/tool": "#!/bin/sh\n"}, overrides=(override,)
    )
    deb, _ = finished(tmp_path, stated)
    content = {e.path: b"".join(iter(c.chunk, b"")) for e, c in deb.entries() if e.info.isreg()}
    modes = {e.path: e.info.mode for e in deb.index.entries}
    assert content["/etc/new/conf"] == b"a=1\n"
    assert modes["/usr/bin/tool"] == 0o755
    assert b"/etc/new/conf\n" in deb.control_files["conffiles"]
    assert content["/usr/share/lintian/overrides/sample"] == (
        b"# Upstream has none.\nsample: no-manual-page [usr/bin/x]\n"
    )
    with pytest.raises(BuildError, match="in the package already"):
        finished(tmp_path, Corrections(files={"/etc/init.d/old": "x"}))


def test_overrides_come_below_those_that_are_there(tmp_path: Path) -> None:
    before = Item("./usr/share/lintian/overrides/sample", b"sample: old-tag")
    raw = debs.make(tmp_path / "raw.deb", [before])
    stated = Corrections(overrides=(Override("no-manual-page", "None."),))
    done = finish(raw, stated, elf_depends=(), destination_dir=tmp_path / "out", epoch=1)
    content = {e.path: b"".join(iter(c.chunk, b"")) for e, c in Deb.open(done.path).entries()}
    assert content["/usr/share/lintian/overrides/sample"] == (
        b"sample: old-tag\n# None.\nsample: no-manual-page\n"
    )


def test_what_a_package_registers_itself_is_not_asked_for(tmp_path: Path) -> None:
    postinst = b"""#!/bin/sh
update-rc.d old defaults >/dev/null
if deb-systemd-helper --quiet was-enabled 'new.service'; then
    deb-systemd-helper enable 'new.service' >/dev/null || true
fi
"""
    items = [
        *ITEMS,
        Item(f"{UNITS}/static.service", b"[Service]\n"),
        symlink(f"{UNITS}/alias.service", "new.service"),
        Item("./etc/init.d/third", b"#!/bin/sh\n", mode=0o755),
        Item(f"{UNITS}/third.service", b"[Service]\n[Install]\n"),
    ]
    raw = debs.make(tmp_path / "raw.deb", items, files={"postinst": postinst})
    done = finish(
        raw,
        Corrections(services={"both": "boot"}),
        elf_depends=(),
        destination_dir=tmp_path / "out",
        epoch=1,
    )
    assert [note for note in done.notes if "service" in note] == [
        "service third is not registered: state it in services",
        "service third.service is not registered: state it in services",
    ]
    with pytest.raises(BuildError, match="old is registered by the package's own postinst"):
        finish(
            raw,
            Corrections(services={"old": "boot"}),
            elf_depends=(),
            destination_dir=tmp_path / "out",
            epoch=1,
        )


DEBHELPER = """\
#!/bin/sh
set -e
echo own
# Automatically added by dh_installsystemd/13.11.4
deb-systemd-helper enable 'both.service' >/dev/null || true
# End automatically added section
# Automatically added by dh_installsystemd/13.11.4
deb-systemd-invoke $_dh_action 'both.service' 'new.service' >/dev/null || true
# End automatically added section
# Automatically added by dh_installinit/13.11.4
update-rc.d both defaults >/dev/null
invoke-rc.d --skip-systemd-native both start || exit 1
# End automatically added section
# Automatically added by dh_installsystemd/13.11.4
systemctl --system daemon-reload >/dev/null || true
# End automatically added section
"""


def test_what_debhelper_wrote_for_a_service_makes_way(tmp_path: Path) -> None:
    raw = debs.make(tmp_path / "raw.deb", ITEMS, files={"postinst": DEBHELPER.encode()})
    done = finish(
        raw,
        Corrections(services={"both": "manual"}),
        elf_depends=(),
        destination_dir=tmp_path / "out",
        epoch=1,
    )
    text = Deb.open(done.path).control_files["postinst"].decode()
    assert text.startswith("""\
#!/bin/sh
set -e
echo own
# Automatically added by dh_installsystemd/13.11.4
deb-systemd-invoke $_dh_action 'new.service' >/dev/null || true
# End automatically added section
# Automatically added by dh_installsystemd/13.11.4
systemctl --system daemon-reload >/dev/null || true
# End automatically added section
""")
    assert text.count("update-rc.d both defaults") == text.count("defaults-disabled") == 1
    assert "enable both.service" in text
    assert "'both.service'" not in text


def told(package: Path) -> bool:
    return "initramfs-tool-missing" in {finding.rule for finding in audit(package).findings}


LOADERS = "initramfs-tools | linux-initramfs-tool, kmod"


@pytest.mark.parametrize(
    ("stated", "config", "depends"),
    [
        ({}, b"CONFIG_X=y\nCONFIG_BLK_DEV_INITRD=y\n", LOADERS),
        ({}, None, LOADERS),
        ({}, b"CONFIG_X=y\n# CONFIG_BLK_DEV_INITRD is not set\n", "kmod"),
        ({"Depends": "dracut"}, None, "dracut, kmod"),
        ({"Recommends": "initramfs-tools (>= 0.1) | xx"}, None, "kmod"),
        ({"Depends": LOADERS}, None, LOADERS),
    ],
)
@pytest.mark.parametrize("name", ["lib/modules/6.1-x/a/b.ko", "usr/lib/modules/6.1-x/b.ko.xz"])
def test_a_kernel_with_modules_needs_what_loads_them(
    tmp_path: Path, stated: dict[str, str], config: bytes | None, depends: str, name: str
) -> None:
    items = [Item("./boot/vmlinuz-6.1-x", b"k"), Item(f"./{name}", b"m")]
    items += [Item("./boot/config-6.1-x", config)] if config else []
    raw = debs.make(tmp_path / "raw.deb", items, control=stated)
    assert told(raw) is not bool(stated)
    done = finish(raw, Corrections(), elf_depends=[], destination_dir=tmp_path / "out", epoch=1)
    assert Deb.open(done.path).control["Depends"] == depends
    assert told(done.path) is (config is not None and depends == "kmod")


@pytest.mark.parametrize(
    "items",
    [
        [Item("./boot/vmlinuz-6.1-x", b"k"), Item("./lib/modules/6.1-x/modules.builtin", b"m")],
        [Item("./boot/vmlinuz-6.1-x", b"k"), Item("./lib/modules/6.1-y/a.ko", b"m")],
        [Item("./lib/modules/6.1-x/a.ko", b"m")],
    ],
)
def test_without_a_kernel_and_its_modules_nothing_is_needed(
    tmp_path: Path, items: list[Item]
) -> None:
    deb, _ = finished(tmp_path, Corrections(), items)
    assert "kmod" not in deb.control.get("Depends", "")


@pytest.mark.parametrize("folder", ["/lib/modules/6.1-x", "/usr/lib/modules/6.1-x"])
def test_what_depmod_wrote_goes_with_the_kernel(tmp_path: Path, folder: str) -> None:
    items = [Item("./boot/vmlinuz-6.1-x", b"k"), Item(f".{folder}/modules.builtin", b"m")]
    deb, _ = finished(tmp_path, Corrections(), items)
    left = tmp_path / "lib/modules/6.1-x"
    (left / "kept").mkdir(parents=True)
    text = deb.control_files["postrm"].decode().replace(folder.rpartition("/")[0], str(left.parent))
    (left / "modules.dep").write_text("")
    for argument, there in (("purge", ["kept", "modules.dep"]), ("remove", ["kept"])):
        subprocess.run(["sh", "-c", text, "postrm", argument], check=True)
        assert sorted(path.name for path in left.iterdir()) == there
    (left / "kept").rmdir()
    subprocess.run(["sh", "-c", text, "postrm", "remove"], check=True)
    assert not left.parent.exists()
    other, _ = finished(tmp_path, Corrections(), items[1:])  # headers, or modules alone
    assert "postrm" not in other.control_files
