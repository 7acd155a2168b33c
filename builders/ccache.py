# SPDX-License-Identifier: GPL-2.0-or-later
"""What ccache keeps of a suite lies in a volume of the engine; here it is carried out and in.

A CI machine begins without any volume, and what it has between runs is a folder.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from builders.plan import OUT, WORK
from builders.step import Step

if TYPE_CHECKING:
    from builders.run import Run

_NAME = "ccache.tar"
_LIMIT = "2G"  # what is carried; ccache(1) drops what was used longest ago


def volume(suite: str) -> str:
    """The volume of a suite's cache, in which /ccache is mounted by each step that compiles."""
    return f"dom0-debs-ccache-{suite}"


def load(run: Run, image: str, folder: Path) -> bool:
    """Fill the cache from what `save` put into `folder`; whether there was anything."""
    path = folder / f"{run.recipe.suite.name}-{_NAME}"
    if not path.is_file():
        return False
    volumes = {volume(run.recipe.suite.name): "/ccache"}
    with Step(run, "ccache-load", image, volumes=volumes) as step:
        step.container.put(WORK, [(_NAME, path)])
        step.phase("unpack", f"tar -C /ccache -xf {WORK}/{_NAME}")
    return True


def save(run: Run, image: str, folder: Path) -> Path:
    """Write the cache to one file in `folder`, in place of what was there; that file."""
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / f"{run.recipe.suite.name}-{_NAME}"
    volumes = {volume(run.recipe.suite.name): "/ccache"}
    with Step(run, "ccache-save", image, volumes=volumes) as step:
        step.phase(
            "pack",
            f"ccache --max-size={_LIMIT} --cleanup >/dev/null 2>&1\n"
            f"mkdir -p {OUT}\ntar -C /ccache -cf {OUT}/{_NAME} .",
        )
        (fetched,) = step.fetch(OUT, folder)
    return fetched.replace(target)
