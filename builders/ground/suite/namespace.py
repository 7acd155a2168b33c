# SPDX-License-Identifier: GPL-2.0-or-later
"""Where a suite's packages are bootstrapped: in a user namespace, whose root is nobody outside."""

from __future__ import annotations

import os
import pwd
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from builders.errors import BuildError, Exit
from builders.ground.engine import box
from builders.ground.suite import confined
from builders.progress import Reporter

_PROC = Path("/proc/sys")
_SUBIDS = (Path("/etc/subuid"), Path("/etc/subgid"))
# Of the environment only this reaches the programs of a suite: it may hold a signing key.
_PASSED = ("PATH", "http_proxy", "https_proxy", "ftp_proxy", "no_proxy")


def confine(command: Sequence[str], reporter: Reporter) -> list[str]:
    """`command`, which begins with mmdebstrap, as it is run on this box.

    Installs what it needs. BuildError (ENGINE) where the box gives no user namespace: nothing of
    a suite ever runs as the box's root.
    """
    root = os.geteuid() == 0
    box.ensure_tools(["mmdebstrap"] if root else ["mmdebstrap", "uidmap"], reporter)
    if problem := obstacle():
        why, remedy = problem
        raise BuildError(
            f"no user namespace can be had on this box, and no package of a suite runs as its "
            f"root: {why}",
            hint=f"{remedy}; or take the root from a registry: suite.image",
            exit=Exit.ENGINE,
        )
    name, *rest = command
    # For root, mmdebstrap's own unshare mode makes all namespaces but that of the users.
    words = [box.command(name) or name, "--mode=unshare", *rest]
    return [*_helper(), *words] if root else words


def inside(command: Sequence[str]) -> list[str]:
    """`command`, which begins with a path, as the root of such a namespace runs it on this box.

    Where `confine` has found that there is one.
    """
    if os.geteuid() == 0:
        return [*_helper(), *command]
    return [box.command("mmdebstrap") or "mmdebstrap", "--unshare-helper", *command]


def environment() -> dict[str, str]:
    """What the programs of a bootstrap are told of this box."""
    passed = {k: v for k, v in os.environ.items() if k in _PASSED or k.lower() in _PASSED}
    folder = os.environ.get("TMPDIR", "")
    if folder and os.access(folder, os.W_OK) and Path(folder).stat().st_mode & 0o003 == 0o003:
        passed["TMPDIR"] = folder
    return {**passed, "LC_ALL": "C.UTF-8", "HOME": "/nonexistent"}


def _helper() -> list[str]:
    return [sys.executable, "-I", str(Path(confined.__file__))]


def obstacle() -> tuple[str, str] | None:
    """Why there is no namespace, and what to do about it; None where there is one."""
    root = os.geteuid() == 0
    if not root and (missing := _without_numbers()):
        return missing
    probe = inside(["/bin/true"])
    try:
        process = subprocess.run(probe, stdin=subprocess.DEVNULL, capture_output=True, check=False)
    except FileNotFoundError:
        return None  # mmdebstrap is not installed yet: another check tells
    if process.returncode == 0:
        return None
    for setting, value, remedy in (
        ("user/max_user_namespaces", "0", "sysctl -w user.max_user_namespaces=65536"),
        *(
            ()
            if root
            else (
                ("kernel/unprivileged_userns_clone", "0", "kernel.unprivileged_userns_clone=1"),
                (
                    "kernel/apparmor_restrict_unprivileged_userns",
                    "1",
                    "kernel.apparmor_restrict_unprivileged_userns=0",
                ),
            )
        ),
    ):
        if _reads(_PROC / setting, value):
            command = remedy if remedy.startswith("sysctl") else f"sysctl -w {remedy}"
            return f"{setting.replace('/', '.')} is {value}", f"{box.as_root()}{command}"
    lines = process.stderr.decode("utf-8", "replace").strip().splitlines()
    return (
        lines[-1] if lines else "the kernel refuses it",
        "in a container, run that one with --privileged",
    )


def _reads(path: Path, value: str) -> bool:
    try:
        return path.read_text(encoding="ascii").strip() == value
    except OSError:
        return False


def _without_numbers() -> tuple[str, str] | None:
    """Where /etc/subuid or /etc/subgid gives an ordinary user no numbers (subuid(5))."""
    user = pwd.getpwuid(os.geteuid()).pw_name
    for path in _SUBIDS:
        text = path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""
        entries = (line.split(":") for line in text.splitlines())
        if not any(
            entry[0] in (user, str(os.geteuid())) and entry[2].isdecimal() and int(entry[2]) > 1
            for entry in entries
            if len(entry) == 3
        ):
            span = "100000-165535"
            return (
                f"{path} has no numbers for {user}",
                f"sudo usermod --add-subuids {span} --add-subgids {span} {user}",
            )
    return None
