# SPDX-License-Identifier: GPL-2.0-or-later
"""./inv in copies of the project; pip fetches what the lock pins, as at a first call."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
MAKING = "making .venv from"

# What the box's own Python makes can be run by every user; one in root's home can't.
ENVIRONMENT = {
    name: value
    for name, value in os.environ.items()
    if name not in ("PYTHONPATH", "VIRTUAL_ENV") and not name.startswith(("DOCKER_", "DOM0_DEBS_"))
} | {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}

TASKS = """
from pathlib import Path
from invoke.tasks import task

@task
def where(_, path="."):
    "Say where a path leads."
    print(Path(path).resolve(), Path.cwd())

@task
def setup(_):
    "Say whether setup is allowed."
    import os
    print(os.environ.get("DOM0_DEBS_SETUP"))
"""


def inv(
    project: Path, *arguments: str, cwd: Path | None = None, **more: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [project / "inv", *arguments],
        cwd=cwd or project,
        env={**ENVIRONMENT, **more},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def copy(names: list[str]) -> Path:
    """A folder that every user may enter, with those parts of the project."""
    project = Path(tempfile.mkdtemp(prefix="dom0-debs-inv-"))
    project.chmod(0o755)
    for name in names:
        if (ROOT / name).is_dir():
            shutil.copytree(
                ROOT / name, project / name, ignore=shutil.ignore_patterns("__pycache__")
            )
        else:
            (project / name).parent.mkdir(exist_ok=True)
            shutil.copy(ROOT / name, project / name)
    return project


@pytest.fixture(scope="module")
def whole() -> Iterator[Path]:
    """The tool itself, after its first call."""
    project = copy(["inv", "requirements.lock", "tasks.py", "builders", "configs", "patches"])
    done = inv(project, "--list")
    assert done.returncode == 0, done.stderr
    assert MAKING in done.stderr
    yield project
    shutil.rmtree(project)


@pytest.fixture
def small() -> Iterator[Path]:
    """The launcher with tasks of the test's own, before its first call; pins only Invoke."""
    project = copy(["inv", "builders"])
    lock = (ROOT / "requirements.lock").read_text()
    pin = re.search(r"^invoke==.*\n(?:    --hash.*\n)+", lock, re.MULTILINE)
    assert pin is not None
    (project / "requirements.lock").write_text(pin[0].rstrip().rstrip("\\"))
    (project / "tasks.py").write_text(TASKS)
    yield project
    shutil.rmtree(project)


def test_it_works_from_anywhere_and_paths_mean_what_the_caller_means(
    small: Path, tmp_path: Path
) -> None:
    elsewhere = tmp_path / "a folder"
    elsewhere.mkdir()
    # The caller's folder must not get into the imports.
    (elsewhere / "invoke.py").write_text("raise SystemExit('the wrong invoke')")
    link = tmp_path / "bin" / "dom0"
    link.parent.mkdir()
    link.symlink_to(os.path.relpath(small / "inv", link.parent))
    want = f"{tmp_path / 'x.deb'} {elsewhere}\n"
    direct = inv(small, "where", "--path", "../x.deb", cwd=elsewhere)
    assert (direct.returncode, direct.stdout) == (0, want), direct.stderr
    for command in (
        [str(link)],
        [os.path.relpath(link, elsewhere)],
        ["sh", os.path.relpath(small / "inv", elsewhere)],
        ["sh", "-c", 'PATH="$1:$PATH"; shift; dom0 "$@"', "-", str(link.parent)],
    ):
        done = subprocess.run(
            [*command, "where", "--path", "../x.deb"],
            cwd=elsewhere,
            env={**ENVIRONMENT, "CDPATH": "/", "PYTHONPATH": str(elsewhere)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert (done.returncode, done.stdout, done.stderr) == (0, want, "")
    alone = inv(small, cwd=elsewhere)
    assert alone.stdout == inv(small, "help").stdout
    assert "./inv build-all" in alone.stdout


def test_setup_is_switched_off_by_option_and_by_variable(small: Path) -> None:
    assert inv(small, "setup").stdout == "None\n"
    assert inv(small, "--no-setup", "setup").stdout == "no\n"
    assert inv(small, "setup", DOM0_DEBS_SETUP="no").stdout == "no\n"
    assert inv(small, "--no-setup").stdout == inv(small, "help").stdout


def test_an_environment_whose_making_was_killed_is_made_anew(small: Path) -> None:
    process = subprocess.Popen(
        [small / "inv", "setup"],
        env=ENVIRONMENT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    deadline = time.monotonic() + 60
    while not (small / ".venv/bin/python").exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert (small / ".venv/bin/python").exists()
    assert not (small / ".venv/stamp").exists()
    done = inv(small, "setup")
    assert (done.returncode, done.stdout) == (0, "None\n"), done.stderr
    assert done.stderr.count(MAKING) == 1


def test_first_calls_at_once_make_one_environment(small: Path) -> None:
    calls = [
        subprocess.Popen(
            [small / "inv", "setup"],
            env=ENVIRONMENT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(3)
    ]
    said = [call.communicate(timeout=300) for call in calls]
    assert [call.returncode for call in calls] == [0, 0, 0], said
    assert [out for out, _ in said] == ["None\n"] * 3
    assert sum(err.count(MAKING) for _, err in said) == 1
    assert sum(err.count("waiting for it") for _, err in said) == 2


def test_a_changed_lock_or_a_moved_project_makes_it_anew_and_nothing_else_does(
    small: Path, tmp_path: Path
) -> None:
    lock = small / "requirements.lock"
    good = lock.read_text()
    assert MAKING in inv(small, "setup").stderr
    os.utime(lock)
    assert inv(small, "setup").stderr == ""
    lock.write_text(good + "\n# changed\n")
    (small / ".venv/left").touch()
    assert MAKING in inv(small, "setup").stderr
    assert not (small / ".venv/left").exists()
    assert inv(small, "setup").stderr == ""
    (small / ".venv/bin/python").unlink()  # as when the box's Python went away
    assert MAKING in inv(small, "setup").stderr
    shutil.copytree(small, tmp_path / "moved", symlinks=True)
    assert MAKING in inv(tmp_path / "moved", "setup").stderr


def test_a_package_that_is_not_the_pinned_one_is_refused(small: Path) -> None:
    lock = small / "requirements.lock"
    good = lock.read_text()
    lock.write_text(re.sub("sha256:[0-9a-f]{64}", "sha256:" + "0" * 64, good))
    for _ in range(2):  # and what it leaves is not taken for an environment
        done = inv(small, "setup")
        assert done.returncode == 4
        assert "DO NOT MATCH THE HASHES" in done.stderr
        assert str(small / ".venv/setup.log") in done.stderr
        assert "next: " in done.stderr
        assert len(done.stderr.splitlines()) < 22
    lock.write_text(good)
    assert inv(small, "setup").stdout == "None\n"


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("echo 'old 3.9' >&2; exit 1", "Python 3.11 or newer is needed, and python3 is 3.9"),
        ("echo bare >&2; exit 1", "its venv or ensurepip module is missing"),
        (None, "there is no Python 3 on this box"),
    ],
)
def test_a_python_that_does_not_do_is_told_with_the_remedy(
    small: Path, tmp_path: Path, script: str | None, said: str
) -> None:
    commands = tmp_path / "bin"
    commands.mkdir()
    for name in ("cat", "flock", "id", "readlink", "sha256sum", "sh", "stat"):
        (commands / name).symlink_to(f"/usr/bin/{name}")
    (commands / "apt-get").write_text(f"#!/bin/sh\necho called >{tmp_path}/called\n")
    (commands / "apt-get").chmod(0o755)
    if script:
        (commands / "python3").write_text(f"#!/bin/sh\n{script}\n")
        (commands / "python3").chmod(0o755)
    done = inv(small, "--no-setup", "setup", PATH=str(commands))
    assert done.returncode == 4
    assert said in done.stderr
    if script and "old" in script:
        assert "install Python 3.11" in done.stderr
    else:
        assert "next: apt-get install python3-venv" in done.stderr
    assert not (tmp_path / "called").exists()
    assert not (small / ".venv").exists()


def test_a_second_call_costs_next_to_nothing(whole: Path, tmp_path: Path) -> None:
    def seconds(command: list[str]) -> float:
        took = []
        for _ in range(5):
            begun = time.monotonic()
            subprocess.run(command, cwd=tmp_path, env=ENVIRONMENT, check=True, capture_output=True)
            took.append(time.monotonic() - begun)
        return min(took)

    python = str(whole / ".venv/bin/python")
    plain = seconds([python, "-m", "invoke", "--search-root", str(whole), "--list"])
    assert seconds([str(whole / "inv"), "--list"]) - plain < 0.3


def test_the_verbs_are_listed_from_another_folder(whole: Path, tmp_path: Path) -> None:
    done = inv(whole, "--list", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert {"build-all", "doctor", "inspect", "test"} <= set(done.stdout.split())


needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="hides the engine in a mount namespace")


def without_engine(command: list[str]) -> subprocess.CompletedProcess[str]:
    """Run a command where the engine's default socket is not there."""
    script = 'mount -t tmpfs none /run && exec "$@"'
    return subprocess.run(
        ["unshare", "--mount", "sh", "-c", script, "-", *command],
        cwd="/",
        env={**ENVIRONMENT, "HOME": "/nonexistent"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


IMAGE = ["image", "--recipe", "xen-4.17-bookworm"]


@needs_root
def test_with_setup_off_a_missing_engine_is_told_as_a_command(whole: Path) -> None:
    done = without_engine([str(whole / "inv"), "--no-setup", *IMAGE])
    assert done.returncode == 4, done.stderr
    assert "no container engine answers on /var/run/docker.sock" in done.stderr
    assert "setup is off" in done.stderr
    assert re.search(r"next: .*setsid dockerd >/var/log/dockerd\.log 2>&1 &", done.stderr)


@needs_root
def test_without_root_a_missing_engine_is_told_as_a_command(whole: Path) -> None:
    nobody = whole / "nobody"  # for what the tool keeps, as the project is not nobody's
    nobody.mkdir()
    shutil.chown(nobody, "nobody")
    places = [f"DOM0_DEBS_ARTIFACTS={nobody}/artifacts", f"XDG_CACHE_HOME={nobody}/cache"]
    done = without_engine(
        ["runuser", "-u", "nobody", "--", "env", *places, str(whole / "inv"), *IMAGE]
    )
    assert done.returncode == 4, done.stderr
    assert "needs root" in done.stderr
    assert re.search(r"next: sudo .*dockerd", done.stderr)
    assert MAKING not in done.stderr


@needs_root
def test_another_user_does_not_touch_the_owners_environment(whole: Path) -> None:
    lock = whole / "requirements.lock"
    good = lock.read_text()
    lock.write_text(good + "\n# changed\n")
    try:
        done = without_engine(["runuser", "-u", "nobody", "--", str(whole / "inv"), "--list"])
    finally:
        lock.write_text(good)
    assert done.returncode == 4
    assert "next: run ./inv as root" in done.stderr
    assert len(done.stderr.splitlines()) == 2
    assert inv(whole, "--list").stderr == ""
