# SPDX-License-Identifier: GPL-2.0-or-later
"""The builder image of a lock: made of the packages that it pins, and of no others.

The box fetches each by its digest. They become an archive in a folder, which is all that
mmdebstrap and then apt, in a container without a network, can take from. Nobody signs that
archive: its packages are those of the lock, or they would not be in it.
"""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from email.utils import formatdate
from pathlib import Path

from builders.errors import BuildError, Exit
from builders.files import link, scratch
from builders.ground.engine import step
from builders.ground.engine.box import ensure_tools
from builders.ground.engine.container import BUILDER
from builders.ground.engine.failures import engine_errors
from builders.ground.session import Session
from builders.ground.sources.cache import CachedFile
from builders.ground.suite import archive, image, mirror, namespace, pinned
from builders.ground.suite.image import Image
from builders.ground.suite.pinned import Pinned
from builders.text import printable

_FOLDER = "/locked"  # of the archive, in the container
_LARGEST = 1 << 22  # bytes of one package's control file
# dpkg-deb(1) unpacks the control member into a folder; sh(1) counts in blocks of 512 bytes.
_LIMITED = f'ulimit -f {_LARGEST >> 9}; exec dpkg-deb --field "$1"'
_FIELD = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]*: ?.*(\n[ \t].*)*")
_NOT_OURS = re.compile(r"(?mi)^(Filename|Size|MD5sum|SHA1|SHA256|SHA512):")
_INSTALL = """
apt-get update
apt-get install --yes --no-install-recommends {packages}
"""
_SHOWN = 5


def build(run: Session, lock: Pinned) -> Image:
    """Make the image under the name that `image.locked_name` tells."""
    recipe = run.recipe
    name = image.locked_name(recipe, lock)
    root = f"dom0-debs/root-{recipe.suite.name}:{name.rpartition(':')[2]}"
    files = pinned.packages(run, lock)
    with scratch("dom0-debs-locked-") as folder:
        _archive(run, folder, files)
        try:
            _bootstrap(run, folder, root)
            _install(run, folder, lock, root, name)
        finally:
            with suppress(Exception), engine_errors("removing the root"):
                run.client.images.remove(root)
    made = image.find(run)
    if made is None:
        raise _another(run, name, lock)
    return made


def _archive(run: Session, folder: Path, files: Sequence[CachedFile]) -> None:
    """The packages in `folder`, with their index."""
    ensure_tools(["mmdebstrap"], run.reporter)  # with it comes dpkg-deb
    paragraphs: list[str] = []
    for file in files:
        link(file.path, folder / file.name)
        # Read by another user: the root of a namespace, apt's own.
        if (folder / file.name).stat().st_mode & 0o444 != 0o444:
            (folder / file.name).chmod(0o444)
        paragraphs.append(
            f"{_control(folder / file.name)}\nFilename: ./{file.name}\nSize: {file.size}\n"
            f"SHA256: {file.sha256}\n"
        )
    index = "\n".join(paragraphs).encode()
    suite = run.recipe.suite.name
    # mmdebstrap(1) takes the essential packages of the suite that it is told, by these names.
    release = (
        f"Suite: {suite}\nCodename: {suite}\nDate: {formatdate(usegmt=True)}\n"
        f"SHA256:\n {hashlib.sha256(index).hexdigest()} {len(index)} Packages\n"
    )
    for name, content in (("Packages", index), ("Release", release.encode())):
        (folder / name).write_bytes(content)
        (folder / name).chmod(0o444)
    folder.chmod(0o755)


def _control(path: Path) -> str:
    """The control paragraph of a package, without a line break at its end."""
    done = subprocess.run(
        ["/bin/sh", "-c", _LIMITED, "sh", str(path)],
        env={**os.environ, "LC_ALL": "C.UTF-8"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
    )
    text = done.stdout[: _LARGEST + 1].decode("utf-8", "replace").strip("\n")
    wrong = len(text) > _LARGEST or "\n\n" in text or _NOT_OURS.search(text)
    if done.returncode or wrong or not _FIELD.match(text):
        raise BuildError(
            f"{path.name}: dpkg-deb reads no package in it",
            hint="the lock pins something else than packages: make it anew (./inv lock --again)",
            exit=Exit.SOURCE,
        )
    return text


def _bootstrap(run: Session, folder: Path, tag: str) -> None:
    command = ["mmdebstrap", "--variant=minbase", "--include=apt", "--format=tar"]
    command += [f"--customize-hook=rm -f {image.APT_OPTIONS}", *archive.old_hooks()]
    command += [run.recipe.suite.name, "-", f"deb [trusted=yes] copy:{folder} ./"]
    image.import_root(run, namespace.confine(command, run.reporter), tag)


def _install(run: Session, folder: Path, lock: Pinned, base: str, name: str) -> None:
    repository, _, tag = name.rpartition(":")
    recipe = run.recipe
    words = " ".join(sorted(f"{p.package}={p.version}" for p in lock.packages))
    source = f"deb [trusted=yes] file:{_FOLDER} ./\n"
    served = mirror.sources_list(recipe.suite, mirror.of(recipe.suite)).encode()
    setup = image.BUILDER_SETUP.format(uid=BUILDER)
    with step.Step(run, "image", base, root=True) as it:
        it.container.put("/etc/apt", [("sources.list", source.encode())])
        it.phase("setup", f"{image.APT_SETUP}mkdir -p {_FOLDER}\nrm -rf {archive.LISTS}/*\n")
        it.container.put(_FOLDER, [(path.name, path) for path in sorted(folder.iterdir())])
        it.phase(
            "packages",
            _INSTALL.format(packages=words),
            hint="the lock lacks what its packages need: make it anew (./inv lock --again)",
        )
        it.container.put("/etc/apt", [("sources.list", served)])
        it.phase("builder", f"rm -rf {_FOLDER}\n{setup}")
        it.container.commit(repository, tag, {"role": "builder"})


def _another(run: Session, name: str, lock: Pinned) -> BuildError:
    """The error for an image that has not what is locked."""
    made = set(image.packages_of(run, name).splitlines())
    locked = set(lock.installed.splitlines())
    parts = [
        f"{what} {', '.join(map(printable, sorted(lines)[:_SHOWN]))}"
        for what, lines in (("only locked:", locked - made), ("only installed:", made - locked))
        if lines
    ]
    return BuildError(
        f"the image made from the lock is not the one that was locked: {'; '.join(parts)}",
        hint="make the lock anew: ./inv lock --again",
        exit=Exit.SOURCE,
    )
