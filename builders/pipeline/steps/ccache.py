# SPDX-License-Identifier: GPL-2.0-or-later
"""What ccache keeps lies in a volume of the engine, one for each recipe of each checkout.

A step that compiles can write whatever it likes there, and a later step believes it. So no recipe
has the volume of another, nor a checkout or machine that of another one. A CI machine begins
without any volume, and what it has between runs is a folder: here it is carried out and in.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from builders.ground.engine.failures import engine_errors
from builders.ground.engine.step import Step
from builders.pipeline import plan
from builders.pipeline.plan import OUT, WORK

if TYPE_CHECKING:
    from builders.pipeline.run import Run

_NAME = "ccache.tar"
_LIMIT = 2048  # MiB, of what is carried; ccache(1) drops what was used longest ago


def volume(run: Run) -> str:
    """The volume in which /ccache is mounted by each step of this run that compiles."""
    return f"dom0-debs-ccache-{run.recipe.suite.name}-{run.domain}"


def there(run: Run) -> bool:
    """Whether the engine has the volume: a step of an earlier run compiled here."""
    with engine_errors("looking for what was compiled"):
        found = run.client.volumes.list(filters={"name": volume(run)})
        return any(each.name == volume(run) for each in found)


def carried(run: Run, folder: Path) -> Path:
    """The file in `folder` in which the cache is carried."""
    return folder / f"{run.recipe.name}-{_NAME}"


def load(run: Run, image: str, folder: Path) -> int:
    """Fill the cache from what `save` put into `folder`; how many bytes that were."""
    path = carried(run, folder)
    if not path.is_file():
        return 0
    with Step(run, "ccache-load", image, volumes={volume(run): "/ccache"}) as step:
        step.container.put(WORK, [(_NAME, path)])
        step.phase("unpack", f"tar -C /ccache -xf {WORK}/{_NAME}")
    return path.stat().st_size


def save(run: Run, image: str, folder: Path) -> Path:
    """Write the cache to one file in `folder`, in place of what was there; that file."""
    folder.mkdir(parents=True, exist_ok=True)
    with Step(run, "ccache-save", image, volumes={volume(run): "/ccache"}) as step:
        named = plan.assigned(work=WORK, out=OUT, limit=str(_LIMIT), name=_NAME)
        step.phase("pack", named + plan.shell("ccache-pack"))
        (fetched,) = step.fetch(OUT, folder)
    return fetched.replace(carried(run, folder))
