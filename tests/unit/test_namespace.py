# SPDX-License-Identifier: GPL-2.0-or-later
"""The namespace in which a suite is bootstrapped, and what is said where there is none."""

from __future__ import annotations

import os
import pwd
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from builders.errors import BuildError, Exit
from builders.ground.engine import box
from builders.ground.suite import confined, namespace
from builders.progress import Silent

REFUSED = "E: unshare failed: Operation not permitted"
HELPER = [sys.executable, "-I", confined.__file__]
needs_root = pytest.mark.skipif(
    os.geteuid() != 0 or subprocess.run([*HELPER, "/bin/true"], check=False).returncode != 0,
    reason="needs root, and a kernel that gives it user namespaces",
)


def inside(script: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*HELPER, "/bin/sh", "-c", script], capture_output=True, text=True)


@pytest.mark.slow
@needs_root
def test_its_root_is_nobody_on_the_box(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    done = inside("id -u; cat /proc/self/uid_map /proc/self/gid_map; id -G")
    first, *maps, groups = done.stdout.splitlines()
    assert (first, groups) == ("0", "0")
    assert {tuple(line.split()) for line in maps} == {
        ("0", str(confined.FIRST), str(confined.COUNT))
    }
    for script in (
        f"touch {tmp_path}/mark",
        "cat /etc/shadow",
        f"mknod {tmp_path}/null c 1 3",
        "echo h >/proc/sysrq-trigger",
        "echo x >/proc/sys/kernel/core_pattern",
        "kill -0 $PPID",
    ):
        assert inside(script).returncode != 0, script
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
@needs_root
def test_status_and_signals_are_passed_on() -> None:
    assert inside("exit 7").returncode == 7
    assert inside("kill -9 $$").returncode == 128 + 9
    assert inside("cat").returncode == 0
    process = subprocess.Popen([*HELPER, "/bin/sh", "-c", "echo up; exec sleep 60"], stdout=-1)
    assert process.stdout
    assert process.stdout.readline() == b"up\n"
    process.terminate()
    assert process.wait(10) == 128 + 15
    process.stdout.close()


def test_a_program_that_is_not_there() -> None:
    done = subprocess.run([*HELPER, "/no/such"], capture_output=True, check=False)
    assert done.returncode == confined.FORBIDDEN
    assert b"error: " in done.stderr
    assert b"Traceback" not in done.stderr


# What is said


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A box whose kernel gives no namespace; its settings lie in a folder."""
    failed = SimpleNamespace(
        returncode=1, stderr=b"x\nE: unshare failed: Operation not permitted\n"
    )
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: failed)
    monkeypatch.setattr(namespace, "_PROC", tmp_path)
    for name in ("user", "kernel"):
        (tmp_path / name).mkdir()
    for name in ("subuid", "subgid"):
        (tmp_path / name).write_text("other:100000:65536\nme:165536:65536\n")
    monkeypatch.setattr(namespace, "_SUBIDS", (tmp_path / "subuid", tmp_path / "subgid"))
    monkeypatch.setattr(pwd, "getpwuid", lambda _: SimpleNamespace(pw_name="me"))
    return tmp_path


@pytest.mark.parametrize("user", [0, 1000])
def test_each_reason_has_its_remedy(
    settings: Path, monkeypatch: pytest.MonkeyPatch, user: int
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: user)
    sudo = "sudo " if user else ""
    assert namespace.obstacle() == (
        REFUSED,
        "in a container, run that one with --privileged",
    )
    if user:
        (settings / "kernel" / "apparmor_restrict_unprivileged_userns").write_text("1\n")
        why, remedy = namespace.obstacle() or ("", "")
        assert why == "kernel.apparmor_restrict_unprivileged_userns is 1"
        assert remedy == "sudo sysctl -w kernel.apparmor_restrict_unprivileged_userns=0"
        (settings / "kernel" / "unprivileged_userns_clone").write_text("0\n")
        assert "unprivileged_userns_clone=1" in (namespace.obstacle() or ("", ""))[1]
    (settings / "user" / "max_user_namespaces").write_text("0\n")
    assert namespace.obstacle() == (
        "user.max_user_namespaces is 0",
        f"{sudo}sysctl -w user.max_user_namespaces=65536",
    )
    monkeypatch.setattr(box, "ensure_tools", lambda *_: None)
    with pytest.raises(BuildError, match="no package of a suite runs as its root") as caught:
        namespace.confine(["mmdebstrap"], Silent())
    assert caught.value.exit is Exit.ENGINE
    assert "max_user_namespaces=65536" in caught.value.hint
    assert "suite.image" in caught.value.hint


@pytest.mark.parametrize("file", ["subuid", "subgid"])
@pytest.mark.parametrize("text", ["", "you:1:65536\n", "me:x:y\n", "me:100000:1\n", "me\n"])
def test_a_user_without_numbers_is_told_how_to_get_some(
    settings: Path, monkeypatch: pytest.MonkeyPatch, file: str, text: str
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    (settings / file).write_text(text)
    why, remedy = namespace.obstacle() or ("", "")
    assert why.endswith(f"{file} has no numbers for me")
    assert remedy.startswith("sudo usermod --add-subuids ")
    (settings / file).write_text("1000:100000:65536\n")
    assert "has no numbers" not in (namespace.obstacle() or ("", ""))[0]


def test_root_and_a_user_each_have_their_way(monkeypatch: pytest.MonkeyPatch) -> None:
    wanted: list[list[str]] = []
    monkeypatch.setattr(box, "ensure_tools", lambda names, _: wanted.append(names))
    monkeypatch.setattr(box, "command", lambda name: f"/usr/bin/{name}")
    monkeypatch.setattr(namespace, "obstacle", lambda: None)
    plain = ["/usr/bin/mmdebstrap", "--mode=unshare", "x", "-"]
    for user, words in ((0, [*HELPER, *plain]), (1000, plain)):
        monkeypatch.setattr(os, "geteuid", lambda user=user: user)
        assert namespace.confine(["mmdebstrap", "x", "-"], Silent()) == words
    assert wanted == [["mmdebstrap"], ["mmdebstrap", "uidmap"]]


def test_no_secret_of_the_environment_reaches_a_suite(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("DOM0_DEBS_SIGN_KEY", "secret")
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy")
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    tmp_path.chmod(0o700)
    passed = namespace.environment()
    assert passed["HTTPS_PROXY"] == "http://proxy"
    assert "PATH" in passed
    assert not {"DOM0_DEBS_SIGN_KEY", "TMPDIR", "USER"} & set(passed)
    tmp_path.chmod(0o777)
    assert namespace.environment()["TMPDIR"] == str(tmp_path)
