# SPDX-License-Identifier: GPL-2.0-or-later
from __future__ import annotations

import ipaddress
import re
import subprocess
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from builders.debkit import audit
from builders.debkit.deb import Deb
from builders.errors import BuildError, Exit
from builders.host import dom0
from builders.host.dom0 import Settings, Style
from builders.host.pci import Bdf
from builders.pipeline import recipe

BOOKWORM = recipe.load("xen-4.17-bookworm")
WHEEZY = recipe.load("xen-4.2-wheezy")
OLD = Style(grub_dropin=False, xend=True, unified=False)
CARD = ("02:00.0", "0000:02:00.1")


def files(path: Path) -> dict[str, bytes]:
    return {entry.path: content.read() for entry, content in Deb.open(path).entries()}


def chosen(**more: str | bool) -> Settings:
    return dom0.settings(CARD, "15360M", like=OLD, **more)  # type: ignore[arg-type]


def shell(script: str, **environment: str) -> str:
    done = subprocess.run(
        ["sh", "-eu", "-c", script], capture_output=True, text=True, env=environment, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_what_the_options_become() -> None:
    it = chosen(vcpus="4")
    assert it.xen_options == "dom0_mem=15360M,max:15360M dom0_max_vcpus=4"
    assert it.linux_options == "xen-pciback.hide=(0000:02:00.0)(0000:02:00.1)"
    assert dom0.settings(["02:00.0"], "4G").memory == 4096


@pytest.mark.parametrize(
    ("hide", "memory", "more", "says"),
    [
        (["2:0.0"], "4096M", {}, "--hide 2:0.0: no PCI address"),
        (["02:20.0"], "4096M", {}, "no PCI address"),
        (["02:00.0", "0000:02:00.0"], "4096M", {}, "0000:02:00.0 is there already"),
        (["10000:02:00.0"], "4096M", {}, "no PCI segment above ffff"),
        ([], "4096M", {}, "nothing to hide"),
        (["02:00.0"], "", {}, "--dom0-mem is missing"),
        (["02:00.0"], "4096", {}, "--dom0-mem 4096: no unit"),
        (["02:00.0"], "4096MB", {}, "no amount of memory"),
        (["02:00.0"], "-1M", {}, "no amount of memory"),
        (["02:00.0"], "12M", {}, "too little"),
        (["02:00.0"], "99999G", {}, "more than Xen can manage"),
        (["02:00.0"], "4096M", {"vcpus": "0"}, "no number of CPUs"),
        (["02:00.0"], "4096M", {"vcpus": "4;reboot"}, "no number of CPUs"),
        (["02:00.0"], "4096M", {"vnc": "localhost"}, "no IP address"),
        (["02:00.0"], "4096M", {"vnc": "127.0.0.1')"}, "no IP address"),
        (["02:00.0"], "4096M", {"vnc": "fe80::1%$(id)"}, "with a scope"),
    ],
)
def test_what_is_wrong_is_said(
    hide: list[str], memory: str, more: dict[str, str], says: str
) -> None:
    with pytest.raises(BuildError, match=re.escape(says)) as caught:
        dom0.settings(hide, memory, like=OLD, **more)  # type: ignore[arg-type]
    assert caught.value.exit == Exit.USAGE
    assert caught.value.hint


def test_all_that_is_wrong_is_said_at_once() -> None:
    with pytest.raises(BuildError) as caught:
        dom0.settings(["x", "02:00.0", "02:00.0"], "12", vcpus="a", vnc="b", like=OLD)
    assert len(caught.value.message.splitlines()) == 5


def test_xl_has_no_address_for_the_whole_host() -> None:
    with pytest.raises(BuildError, match="no such setting for the whole host") as caught:
        dom0.settings(CARD, "4G", vnc="0.0.0.0")  # noqa: S104
    assert "domu-config" in caught.value.hint
    assert dom0.settings(CARD, "4G", vnc="127.0.0.1").vnc == "127.0.0.1"


def test_an_open_address_is_called_that(tmp_path: Path) -> None:
    it = chosen(vnc="0.0.0.0")  # noqa: S104
    assert "every address of the host, without encryption" in dom0.warnings(it)[0]
    told = Deb.open(dom0.package(WHEEZY, it, tmp_path)).control["Description"]
    assert "every address of the host" in " ".join(told.split())
    assert dom0.warnings(chosen()) == []


def test_more_memory_than_this_machine_is_a_warning() -> None:
    assert "this machine has 8192 MiB" in dom0.warnings(chosen(), 8192)[0]
    assert dom0.warnings(chosen(), 16384) == dom0.warnings(chosen(), 0) == []


def test_the_suite_decides_the_style() -> None:
    assert dom0.style(BOOKWORM) == Style(grub_dropin=True, xend=False)
    assert dom0.style(WHEEZY) == OLD
    bullseye = dom0.style(recipe.load("xen-4.2-bullseye"))
    assert bullseye == Style(grub_dropin=True, xend=True, unified=False)


def test_the_package_of_a_current_suite(tmp_path: Path) -> None:
    made = dom0.package(BOOKWORM, dom0.settings(CARD, "15360M", save=False), tmp_path)
    package = Deb.open(made)
    assert package.control["Depends"] == "xen-upstream, grub-common"
    assert package.conffiles == (
        "/etc/default/grub.d/dom0-config.cfg",
        "/etc/default/xendomains.dom0-config",
        "/etc/update-motd.d/60-dom0-config",
    )
    assert "/etc/default/xendomains" not in files(made)
    report = audit.audit(made)
    assert [f"{f.rule}: {f.message}" for f in report.findings] == []


KEY = {"key": "/etc/xen/host.key", "certificate": "/etc/xen/host.pem"}


def test_the_package_that_keeps_a_unified_image(tmp_path: Path) -> None:
    signed = dom0.settings(CARD, "4G", unified=True, **KEY)  # type: ignore[arg-type]
    made = dom0.package(BOOKWORM, signed, tmp_path)
    package, there = Deb.open(made), files(made)
    assert package.control["Depends"] == ("xen-upstream, grub-common, binutils, cpio, sbsigntool")
    assert package.control_files["triggers"] == b"interest-noawait /usr/lib/efi\n"
    script = there["/usr/sbin/xen-uki"]
    assert script == (dom0.TEMPLATES / "xen-uki").read_bytes()
    told = shell(f"{there['/etc/default/xen-uki'].decode()}\necho $XEN_UKI_KEY $XEN_UKI_CERT")
    assert told.split() == list(KEY.values())
    assert {name for name in there if name.endswith("zz-xen-uki")} == set(dom0._HOOKS)
    assert set(dom0._HOOKS) < set(package.conffiles)
    report = audit.audit(made)
    assert [f"{f.rule}: {f.message}" for f in report.findings] == []
    assert "--uki --efi-key /etc/xen/host.key --efi-cert /etc/xen/host.pem" in (
        " ".join(there["/usr/share/dom0-config/settings"].decode().replace("\\\n", "").split())
    )
    unsigned = dom0.package(BOOKWORM, dom0.settings(CARD, "4G", unified=True), tmp_path)
    assert "sbsigntool" not in Deb.open(unsigned).control["Depends"]


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ({"unified": True, "like": OLD}, "can be no unified image"),
        (KEY, "there is nothing to sign"),
        ({"unified": True, "key": "/a"}, "both a key and its certificate"),
        ({"unified": True, "key": "a.key", "certificate": "/a"}, "--efi-key a.key: no file"),
        ({"unified": True, "key": '/a";id;"', "certificate": "/a"}, "no file of a host"),
        ({"unified": True, "key": "/a", "certificate": "pkcs11:a"}, "--efi-cert pkcs11:a: no file"),
        (
            {"unified": True, "key": "pkcs11:token=a;pin-value=1234", "certificate": "/a"},
            "with a PIN",
        ),
        ({"unified": True, "key": "pkcs11:a$(id)", "certificate": "/a"}, "no file of a host"),
    ],
)
def test_a_signature_that_cannot_be_made_is_refused(more: dict[str, object], says: str) -> None:
    with pytest.raises(BuildError, match=re.escape(says)):
        dom0.settings(CARD, "4G", **more)  # type: ignore[arg-type]
    token = "pkcs11:token=host;object=key"  # noqa: S105 - no secret
    dom0.settings(CARD, "4G", unified=True, key=token, certificate="/etc/xen/host.pem")


def test_the_package_of_wheezy(tmp_path: Path) -> None:
    made = dom0.package(WHEEZY, chosen(save=False, vnc="192.0.2.7"), tmp_path)
    there = files(made)
    sxp = there["/etc/xen/xend-config.sxp.dom0-config"].decode()
    assert "(dom0-min-mem 15360)" in sxp
    assert "(vnc-listen '192.0.2.7')" in sxp
    assert "(enable-dom0-ballooning no)" in sxp
    assert not re.search(r"^\((network|vif)-script", sxp, re.MULTILINE)
    assert "autoballoon=0" in there["/etc/xen/xl.conf.dom0-config"].decode()
    assert not any("grub.d/dom0" in name for name in there)
    postinst = package_script(made, "postinst")
    assert "displace /etc/grub.d/20_linux_xen /etc/dom0-config/20_linux_xen\n" in postinst
    assert [f.rule for f in audit.audit(made).findings] == ["init-script-without-unit"]


def package_script(path: Path, name: str) -> str:
    return Deb.open(path).control_files[name].decode()


@pytest.mark.parametrize("loaded", [BOOKWORM, WHEEZY], ids=lambda r: r.name)
@pytest.mark.parametrize("name", ["preinst", "postinst", "prerm", "postrm"])
def test_the_scripts_are_shell(tmp_path: Path, loaded: recipe.Recipe, name: str) -> None:
    it = dom0.settings(CARD, "4G", save=False)
    text = package_script(dom0.package(loaded, it, tmp_path), name)
    assert "@" not in text.replace("$@", "")
    subprocess.run(["sh", "-n"], input=text.encode(), check=True)


@pytest.mark.parametrize(
    ("release", "status"),
    [
        ("VERSION_CODENAME=bookworm\n", 0),
        ('VERSION="12 (bookworm)"\n', 0),  # as wheezy's has it
        ("ID=debian\n", 0),  # nobody says
        (None, 0),
        ("VERSION_CODENAME=trixie\n", 1),
        ('VERSION="7 (wheezy)"\n', 1),
        ("VERSION_CODENAME=bookworm-not\n", 1),
    ],
)
@pytest.mark.parametrize("action", ["install", "upgrade"])
def test_another_suite_is_refused(
    tmp_path: Path, release: str | None, status: int, action: str
) -> None:
    text = package_script(dom0.package(BOOKWORM, chosen(), tmp_path), "preinst")
    place = tmp_path / "os-release"
    if release is not None:
        place.write_text(release)
    assert text.count("/etc/os-release") == 2
    script = text.replace("/etc/os-release", str(place))
    done = subprocess.run(
        ["sh", "-c", script, "preinst", action], capture_output=True, text=True, check=False
    )
    assert done.returncode == status, done.stderr
    assert ("these settings are for bookworm, and this is" in done.stderr) is bool(status)


def test_equal_settings_are_equal_bytes(tmp_path: Path) -> None:
    it = dom0.settings(CARD, "4G")
    first = dom0.package(BOOKWORM, it, tmp_path / "a")
    again = dom0.settings(["0000:02:00.1", "02:00.0"], "4096M")
    second = dom0.package(BOOKWORM, again, tmp_path / "b")
    assert first.read_bytes() == second.read_bytes()
    assert first.name == second.name
    other = dom0.package(BOOKWORM, dom0.settings(CARD, "5G"), tmp_path / "a")
    assert other.name != first.name


@pytest.mark.parametrize("version", ["-1", "a", "1-1", "1 2", "1/../x", "1:2", "1\n"])
def test_a_version_that_is_none(tmp_path: Path, version: str) -> None:
    with pytest.raises(BuildError, match="no version of a native package"):
        dom0.package(BOOKWORM, dom0.settings(CARD, "4G"), tmp_path, version=version)
    assert not list(tmp_path.iterdir())


def test_a_folder_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(BuildError, match="file"):
        dom0.package(BOOKWORM, dom0.settings(CARD, "4G"), tmp_path / "file/x")


def grub(tmp_path: Path, it: Settings, before: str) -> list[str]:
    """The variables that grub-mkconfig would hand on, read by sh as it reads them."""
    made = dom0.package(BOOKWORM, it, tmp_path)
    text = files(made)["/etc/default/grub.d/dom0-config.cfg"].decode()
    # Where the package is installed there is its record of settings.
    drop_in = text.replace("/usr/share/dom0-config/settings", "/dev/null")
    (tmp_path / "drop-in").write_text(drop_in)
    return shell(
        f"""set +u; {before}
        grub_get_device_id() {{ echo "id-of-$1"; }}
        GRUB_DEVICE=/dev/sda1
        . {tmp_path}/drop-in
        printf '%s\\n' "$GRUB_DEFAULT" "$GRUB_CMDLINE_XEN_DEFAULT" \\
            "$GRUB_CMDLINE_LINUX_XEN_REPLACE_DEFAULT" """
    ).splitlines()


HIDDEN = "xen-pciback.hide=(0000:02:00.0)(0000:02:00.1)"


@pytest.mark.slow
def test_grubs_own_options_stay(tmp_path: Path) -> None:
    it = dom0.settings(CARD, "1G")
    simple = "xen-gnulinux-simple-id-of-/dev/sda1"
    mine = "dom0_mem=1024M,max:1024M"
    assert grub(tmp_path, it, "GRUB_DEFAULT=0") == [simple, mine, f" {HIDDEN}"]
    assert grub(
        tmp_path,
        it,
        "GRUB_CMDLINE_XEN_DEFAULT=ucode=scan GRUB_CMDLINE_LINUX_DEFAULT='quiet splash'",
    ) == [simple, f"ucode=scan {mine}", f"quiet splash {HIDDEN}"]
    assert grub(
        tmp_path,
        it,
        "GRUB_DEFAULT=saved GRUB_CMDLINE_LINUX_DEFAULT=quiet\n"
        "GRUB_CMDLINE_LINUX_XEN_REPLACE_DEFAULT=nomodeset",
    ) == ["saved", mine, f"nomodeset {HIDDEN}"]
    assert grub(tmp_path, it, "GRUB_DEFAULT=0 GRUB_DISABLE_SUBMENU=y")[0] == "0"


def test_grub_after_the_package_was_removed(tmp_path: Path) -> None:
    made = dom0.package(BOOKWORM, dom0.settings(CARD, "1G"), tmp_path)
    text = files(made)["/etc/default/grub.d/dom0-config.cfg"].decode()
    assert shell(text + '\necho "${GRUB_DEFAULT-unset}${GRUB_CMDLINE_XEN_DEFAULT-unset}"') == (
        "unsetunset\n"
    )


TYPED = st.text(max_size=12) | st.text("0123456789abcdef:.MG'\"$`;()\\ \n%-", max_size=14)


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(
    st.lists(TYPED | st.from_regex(r"[0-9a-f]{2}:[01][0-9a-f]\.[0-7]", fullmatch=True), max_size=3),
    TYPED | st.from_regex(r"[1-9][0-9]{2,4}M", fullmatch=True),
    TYPED | st.just(""),
    TYPED | st.ip_addresses().map(str),
)
def test_what_is_typed_never_leaves_its_place(
    hide: list[str], memory: str, vcpus: str, vnc: str
) -> None:
    try:
        it = dom0.settings(hide, memory, vcpus=vcpus, vnc=vnc, like=OLD)
    except BuildError:
        return
    assert re.fullmatch(r"dom0_mem=\d+M,max:\d+M( dom0_max_vcpus=\d+)?", it.xen_options)
    assert re.fullmatch(r"xen-pciback\.hide=(\([0-9a-f]{4}:[0-9a-f:.]+\))+", it.linux_options)
    assert str(ipaddress.ip_address(it.vnc)) == it.vnc
    assert "'" not in it.vnc


@pytest.mark.slow
@settings(max_examples=10, deadline=None)
@given(
    st.sets(
        st.builds(Bdf, st.just(0), st.integers(0, 255), st.integers(0, 31), st.integers(0, 7)),
        min_size=1,
        max_size=4,
    ),
    st.integers(dom0.SMALLEST, dom0.LARGEST),
)
def test_grub_reads_what_was_meant(hide: set[Bdf], memory: int) -> None:
    it = dom0.settings([bdf.short for bdf in hide], f"{memory}M")
    with tempfile.TemporaryDirectory() as folder:
        found = grub(Path(folder), it, "GRUB_CMDLINE_LINUX_DEFAULT=quiet")
    assert found[1:] == [
        f"dom0_mem={memory}M,max:{memory}M",
        "quiet xen-pciback.hide=" + "".join(f"({bdf})" for bdf in sorted(hide)),
    ]
