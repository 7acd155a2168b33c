# SPDX-License-Identifier: GPL-2.0-or-later
"""A whole recipe, and what runs its shell scripts without a container."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from builders.pipeline.plan import WORK
from builders.pipeline.recipe import Kernel, Recipe, Xen, load

SHA256 = "0123456789abcdef" * 4
COMMIT = "0123456789" * 4

HEAD = """\
summary = "one"

[suite]
name = "bookworm"

[builder]
packages = ["build-essential"]
"""
SOURCES = f"""
[sources.xen]
kind = "url"
urls = ["https://example.org/xen.tar.gz"]
sha256 = "{SHA256}"

[sources.seabios]
kind = "git"
urls = ["https://example.org/seabios.git"]
commit = "{COMMIT}"

[sources.linux]
kind = "debian-package"
package = "linux-source-6.1"
version = "6.1.*"

[sources.tree]
kind = "debian-source"
package = "xen"
version = "4.17.*"
"""
BUILDS = """
[xen]
source = "xen"
build = ["make debball"]
deb = "dist/*.deb"

[xen.place]
"tools/firmware/seabios-dir/" = "seabios"

[kernel]
source = "linux"
build = ["make bindeb-pkg"]
deb = ["../*.deb"]

[kernel.flavours.minimal]
base = "allnoconfig"
fragments = ["minimal.config"]
localversion = "-dom0"

[finish.xen]
revision = "+dom0.1"

[finish.kernel]
revision = "+dom0.1"
"""
WHOLE = HEAD + SOURCES + BUILDS


def recipe(*overrides: str, more: str = "", text: str = WHOLE) -> Recipe:
    """The recipe of `text`, with `more` after it, and with overrides."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "good.toml").write_text(text + more)
        return load("good", overrides, Path(folder))


def xen_of(it: Recipe) -> Xen:
    """The hypervisor of a recipe that has one."""
    assert it.xen
    return it.xen


def kernel_of(it: Recipe) -> Kernel:
    """The kernel of a recipe that has one."""
    assert it.kernel
    return it.kernel


_MADE: dict[tuple[str, tuple[tuple[str, bytes], ...]], bytes] = {}  # by name and files


def package(folder: Path, name: str, files: dict[str, bytes]) -> Path:
    """A .deb made by dpkg-deb, once for all tests that want the same."""
    target = folder / f"{name}_1_amd64.deb"
    key = name, tuple(sorted(files.items()))
    if key in _MADE:
        target.write_bytes(_MADE[key])
        return target
    tree = folder / f"{name}.tree"
    (tree / "DEBIAN").mkdir(parents=True)
    (tree / "DEBIAN" / "control").write_text(
        f"Package: {name}\nVersion: 1\nArchitecture: amd64\nMaintainer: x <x@y>\nDescription: x\n"
    )
    for path, content in files.items():
        file = tree / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
        file.chmod(0o755)
    subprocess.run(
        ["dpkg-deb", "-Znone", "--root-owner-group", "-b", tree, target],
        check=True,
        stdout=subprocess.DEVNULL,
    )
    shutil.rmtree(tree)
    _MADE[key] = target.read_bytes()
    return target


class Box:
    """Runs a plan's scripts as a container does, with a folder in the place of /build."""

    def __init__(self, folder: Path) -> None:
        self.work = folder
        folder.mkdir()
        for name in ("in", "tree", "patches", "fragments", "files"):
            (folder / name).mkdir()
        self.environment: dict[str, str] = {}

    def put(self, path: str, content: bytes | str) -> Path:
        """Write a file below the folder."""
        target = self.work / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content.encode() if isinstance(content, str) else content)
        return target

    def command(self, name: str, script: str) -> None:
        """Put a stand-in for a command before all others on PATH."""
        self.put(f"bin/{name}", script).chmod(0o755)
        self.environment["PATH"] = f"{self.work}/bin:{os.environ['PATH']}"

    def run(self, script: str, folder: str = "tree") -> tuple[int, str]:
        """Run a script; its exit status and all that it printed."""
        script = script.replace(WORK, str(self.work))
        done = subprocess.run(
            ["dash", "-ec", f"umask 022\nexec 2>&1\n{script}"],
            cwd=self.work / folder,
            env={"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8", "TZ": "UTC"} | self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            check=False,
        )
        return done.returncode, done.stdout.decode("utf-8", "replace")
