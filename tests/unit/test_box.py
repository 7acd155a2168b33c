# SPDX-License-Identifier: GPL-2.0-or-later
from __future__ import annotations

import os
import tempfile
import threading
import time
from pathlib import Path

import pytest

from builders import files
from builders.errors import BuildError, Exit
from builders.ground.engine import box
from builders.ground.engine.box import ensure_tools
from tests.unit.engines import Commands, Heard

# An apt-get that knows no package before its first update.
FRESH = """
lists = bin / "lists"
if argv[-1] == "update":
    lists.touch()
elif not lists.exists():
    sys.exit("E: Unable to locate package")
else:
    for package in argv[argv.index("--no-install-recommends") + 1 :]:
        (bin / {"xz-utils": "xz"}.get(package, package)).write_bytes(me.read_bytes())
        (bin / {"xz-utils": "xz"}.get(package, package)).chmod(0o755)
"""
APT = "apt-get -q -o DPkg::Lock::Timeout=120"


@pytest.fixture
def commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Commands:
    """A box with nothing on PATH but what a test adds, where we are root."""
    made = Commands(tmp_path)
    monkeypatch.setenv("PATH", str(made.folder))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr("builders.ground.engine.box.SBIN", "")
    monkeypatch.setattr("builders.ground.engine.box.LOCK", tmp_path / "lock")
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.delenv("DOM0_DEBS_SETUP", raising=False)
    return made


def test_what_is_there_is_not_installed(commands: Commands) -> None:
    commands.add("apt-get")
    commands.add("git")
    heard = Heard()
    ensure_tools(["git"], heard)
    assert commands.calls() == []
    assert heard.lines == []


def test_what_is_missing_is_installed_in_one_go_and_said(
    commands: Commands, tmp_path: Path
) -> None:
    commands.add("apt-get", FRESH)
    commands.add("git")
    (commands.folder / "lists").touch()
    (tmp_path / "dom0-debs-apt-killed").mkdir()
    heard = Heard()
    ensure_tools(["git", "xz-utils", "gpgv", "xz"], heard)
    assert commands.calls() == [f"{APT} install -y --no-install-recommends xz-utils gpgv"]
    assert len(heard.lines) == 1
    assert "xz-utils gpgv" in heard.lines[0]
    assert not list(tmp_path.glob("dom0-debs-apt-*"))


@pytest.mark.slow
def test_the_package_lists_are_fetched_only_when_they_are_needed(commands: Commands) -> None:
    commands.add("apt-get", FRESH)
    heard = Heard()
    ensure_tools(["mmdebstrap"], heard)
    install = f"{APT} install -y --no-install-recommends mmdebstrap"
    assert commands.calls() == [install, f"{APT} update", install]
    assert [line for line in heard.lines if "apt-get update" in line]


def test_apt_is_told_to_ask_nothing(commands: Commands) -> None:
    commands.add(
        "apt-get",
        "import os\n"
        "assert os.environ['DEBIAN_FRONTEND'] == 'noninteractive'\n"
        "assert os.getsid(0) == os.getpid()\n"
        "assert sys.stdin.read() == ''\n"
        "(bin / 'git').write_bytes(me.read_bytes())\n"
        "(bin / 'git').chmod(0o755)\n",
    )
    ensure_tools(["git"], Heard())
    assert len(commands.calls()) == 1


@pytest.mark.slow
def test_a_failed_install_shows_its_end_and_keeps_its_log(commands: Commands) -> None:
    commands.add("apt-get", "print('\\n'.join(map(str, range(99))))\nsys.exit('E: disk full')")
    with pytest.raises(BuildError) as caught:
        ensure_tools(["git"], Heard())
    assert "could not install git (exit status 1)" in caught.value.message
    assert "apt-get install --no-install-recommends git" in caught.value.hint
    assert "E: disk full" in caught.value.excerpt
    assert len(caught.value.excerpt.splitlines()) == 15
    assert caught.value.log is not None
    assert caught.value.log.read_text().count("E: disk full") == 3
    assert caught.value.exit == Exit.ENGINE


def test_an_install_that_leaves_the_tool_missing_is_an_error(commands: Commands) -> None:
    commands.add("apt-get")
    with pytest.raises(BuildError, match="git is still not there"):
        ensure_tools(["git"], Heard())


@pytest.mark.parametrize("variable", [True, False])
def test_setup_off_installs_nothing_and_gives_the_command(
    commands: Commands, monkeypatch: pytest.MonkeyPatch, variable: bool
) -> None:
    commands.add("apt-get", FRESH)
    if variable:
        monkeypatch.setenv("DOM0_DEBS_SETUP", "no")
    with pytest.raises(BuildError, match="setup is off") as caught:
        ensure_tools(["git", "gpg"], Heard(), None if variable else False)
    assert caught.value.hint == "apt-get install --no-install-recommends git gnupg"
    assert caught.value.exit == Exit.ENGINE
    assert commands.calls() == []


def test_without_root_the_command_has_sudo(
    commands: Commands, monkeypatch: pytest.MonkeyPatch
) -> None:
    commands.add("apt-get", FRESH)
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(BuildError, match="needs root") as caught:
        ensure_tools(["git"], Heard(), True)
    assert caught.value.hint == "sudo apt-get install --no-install-recommends git"
    assert commands.calls() == []


@pytest.mark.usefixtures("commands")
def test_elsewhere_than_on_an_apt_system_the_packages_are_named() -> None:
    with pytest.raises(BuildError, match="not an apt system") as caught:
        ensure_tools(["git", "dockerd"], Heard(), True)
    assert "git and docker.io" in caught.value.hint


@pytest.mark.usefixtures("commands")
def test_a_tool_that_the_table_does_not_know_is_a_mistake_of_the_caller() -> None:
    with pytest.raises(KeyError):
        box.missing(["a-tool-nobody-listed"])


def test_a_file_counts_by_its_path(
    commands: Commands, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keyring = tmp_path / "keyring.gpg"
    monkeypatch.setitem(box.PACKAGES, "debian-archive-keyring", str(keyring))
    assert box.missing(["debian-archive-keyring"]) == ["debian-archive-keyring"]
    keyring.touch()
    assert box.missing(["debian-archive-keyring"]) == []
    assert commands.calls() == []


def test_sbin_counts_where_path_lacks_it(
    commands: Commands, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tool = commands.add("dockerd")
    monkeypatch.setenv("PATH", str(tmp_path / "elsewhere"))
    assert box.command("dockerd") is None
    monkeypatch.setattr("builders.ground.engine.box.SBIN", str(commands.folder))
    assert box.command("dockerd") == str(tool)


def test_the_lock_makes_a_second_one_wait_and_say_so(tmp_path: Path) -> None:
    heard, order = Heard(), []

    def second() -> None:
        with box.exclusive(tmp_path / "lock", heard, "installs packages"):
            order.append("second")

    waiter = threading.Thread(target=second)
    with box.exclusive(tmp_path / "lock", Heard(), "installs packages"):
        waiter.start()
        deadline = time.monotonic() + 5
        while not heard.lines and time.monotonic() < deadline:
            time.sleep(0.01)
        order.append("first")
    waiter.join(5)
    assert order == ["first", "second"]
    assert heard.lines == ["another run installs packages; waiting for it"]


def test_the_lock_is_of_the_file_that_is_there(tmp_path: Path) -> None:
    """Whoever held it last may have removed it, and somebody else have made it anew."""
    lock, heard, entered, done = tmp_path / "lock", Heard(), threading.Event(), threading.Event()

    def second() -> None:
        with box.exclusive(lock, heard, "installs packages"):
            entered.set()
            done.wait(5)

    waiter = threading.Thread(target=second)
    with box.exclusive(lock, Heard(), "installs packages"):
        waiter.start()
        deadline = time.monotonic() + 5
        while not heard.lines and time.monotonic() < deadline:
            time.sleep(0.01)
        time.sleep(0.1)  # it waits for the old file
        lock.unlink()
    assert entered.wait(5)
    assert files.hold(lock, make=True) is None
    done.set()
    waiter.join(5)
