# SPDX-License-Identifier: GPL-2.0-or-later
"""The modules that a host has loaded, read from what lsmod(8) said there."""

from __future__ import annotations

from pathlib import Path

from builders import files, forms
from builders.errors import BuildError
from builders.pipeline.recipe import Recipe
from builders.pipeline.recipe.schema import quoted
from builders.text import cut, printable

_SIZE = 1 << 20  # bytes; a host with everything loaded has a tenth of it
_MOST = forms.ITEMS
_HEAD = "Module"  # how the first line begins
_HOW = "on the host: lsmod > FILE"


def overrides(recipe: Recipe, path: str) -> list[str]:
    """The `--set` that stands for `--lsmod`: names, sorted: the same ones are the same build.

    Raises BuildError where the file is not what lsmod(8) writes.
    """
    if recipe.kernel is None:
        raise recipe.lacks("kernel")
    names = read(Path(path).expanduser())
    return [f"kernel.loaded=[{', '.join(map(quoted, names))}]"]


def read(path: Path) -> tuple[str, ...]:
    """The names in a file that lsmod(8) wrote, each once, sorted."""
    shown = printable(str(path))
    try:
        content = files.small(path, _SIZE)
    except OSError as error:
        raise BuildError(f"--lsmod {shown}: {error.strerror}", hint=_HOW) from None
    if len(content) > _SIZE:
        raise BuildError(f"--lsmod {shown}: more than {_SIZE >> 20} MiB", hint=_HOW)
    first, *rest = content.decode("utf-8", "replace").splitlines() or [""]
    if first.split()[:1] != [_HEAD]:
        raise BuildError(
            f"--lsmod {shown}: begins with {cut(first)!r}, not as lsmod(8) does", hint=_HOW
        )
    names = {line.split()[0] for line in rest if line.strip()}
    for name in sorted(names):
        if not forms.MODULE.fullmatch(name):
            raise BuildError(f"--lsmod {shown}: {cut(name)!r} is no name of a module", hint=_HOW)
    if not 0 < len(names) <= _MOST:
        raise BuildError(
            f"--lsmod {shown}: {len(names)} modules, not 1 to {_MOST}",
            hint=f"a kernel without modules has them all built in: it can't tell; {_HOW}",
        )
    return tuple(sorted(names))
