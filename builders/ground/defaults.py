# SPDX-License-Identifier: GPL-2.0-or-later
"""What this user or this checkout takes where a command line says nothing: dom0-debs.toml.

It stands in the user's configuration folder, and beside the recipes. An option of the command line
comes before both, and so does the environment.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from builders import ROOT, forms
from builders.documents import toml
from builders.errors import BuildError
from builders.ground.registry.address import parse
from builders.text import nearest, printable

NAME = "dom0-debs.toml"
CHECKOUT = ROOT / "configs" / NAME
MOST_JOBS = 1 << 12


@dataclass(frozen=True)
class Default:
    """A value, and the file that has it."""

    value: Any
    file: Path

    def __str__(self) -> str:
        """Where it comes from, in words that follow a value."""
        return f"from {shown(self.file)}"


@dataclass(frozen=True)
class Defaults:
    """What the files say; None where neither does.

    recipe: the name of one, or a .toml file. flavour: of the kernel, where the recipe has it.
    mirror: of the suite, where neither the recipe nor the environment names one. jobs: compilers at
    once. maintainer: of all packages, "Name <address>". store: that several machines use.
    """

    recipe: Default | None = None
    flavour: Default | None = None
    mirror: Default | None = None
    jobs: Default | None = None
    maintainer: Default | None = None
    store: Default | None = None


def files(environment: Mapping[str, str] = os.environ) -> list[Path]:
    """Where such a file may be, the one that comes first at the front.

    A relative $XDG_CONFIG_HOME is ignored (XDG Base Directory Specification).
    """
    base = Path(environment.get("XDG_CONFIG_HOME", ""))
    if not base.is_absolute():
        base = Path.home() / ".config"
    return [base / NAME, CHECKOUT]


def read(environment: Mapping[str, str] = os.environ) -> Defaults:
    """The defaults of all files; of a key that two have, the first one's.

    Raises BuildError for a file that has a key which is none, or a value of another form.
    """
    values: dict[str, Default] = {}
    for path in files(environment):
        if _is_there(path):
            for key, value in _read(path).items():
                values.setdefault(key, Default(value, path))
    return Defaults(**values)


def _is_there(path: Path) -> bool:
    """Whether there is such a file, or a link of that name that leads nowhere.

    Raises BuildError where the folder keeps that from this user, as another user's home does.
    """
    try:
        path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as error:
        raise BuildError(
            f"{path}: {error.strerror}",
            hint="let XDG_CONFIG_HOME, or HOME, be a folder of your own",
        ) from None
    return True


def shown(path: Path) -> str:
    """A file of defaults as it is named to people: by its path, where it is not the checkout's."""
    return f"configs/{NAME}" if path == CHECKOUT else str(path)


def _read(path: Path) -> dict[str, Any]:
    values = toml(path)
    known = [field.name for field in fields(Defaults)]
    for key, value in values.items():
        if key not in known:
            raise BuildError(
                f"{path}: {printable(key)}: is not a known key{nearest(key, known)}",
                hint=f"keys here: {', '.join(known)}",
            )
        if problem := _problem(key, value):
            raise BuildError(f"{path}: {key}: {problem[0]}", hint=problem[1])
    recipe = values.get("recipe", "")
    if recipe.endswith(".toml"):  # as an include: relative to the file that names it
        values["recipe"] = str(path.parent / recipe)
    return values


def _problem(key: str, value: Any) -> tuple[str, str] | None:
    """What is wrong with a value, and the remedy."""
    if key == "jobs":
        if type(value) is not int or not 1 <= value <= MOST_JOBS:
            return f"must be a whole number from 1 to {MOST_JOBS}", f"such as {key} = 4"
        return None
    if not isinstance(value, str) or not value.strip():
        return "must be a string", f'write it in quotes: {key} = "..."'
    if problem := forms.control(value, lines=False):
        return problem, "write one line of plain text"
    if key == "mirror" and (problem := forms.mirror(value)):
        return problem, "such as http://archive.debian.org/debian"
    if key == "store":
        try:
            parse(value)
        except BuildError as error:
            return error.message, error.hint
    return None
