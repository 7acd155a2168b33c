# SPDX-License-Identifier: GPL-2.0-or-later
"""The files of a recipe, joined, and what `--set` puts over them: plain TOML values.

Each key remembers where it was written, so that an error can name the place.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from builders import ROOT, documents
from builders.errors import BuildError
from builders.pipeline.recipe.model import KINDS, Recipe
from builders.pipeline.recipe.schema import RESERVED, dotted, fields
from builders.text import nearest, printable

RECIPES = ROOT / "configs" / "recipes"
_LARGEST = documents.LARGEST_TOML  # characters of one --set, which may be a whole table
_FILES = 50  # that one recipe may join
_DEPTH = 10  # of tables in tables


def is_file(path: Path) -> bool:
    """Whether it is a regular file, or a link to one."""
    try:
        return path.is_file()
    except OSError:  # a name too long
        return False


def read(
    path: Path, chain: tuple[Path, ...], origins: dict[str, str], seen: list[Path] | None = None
) -> dict[str, Any]:
    """One file joined with what it includes; `origins` learns which file gave each key.

    An include is a file below the folder of the recipe itself, or one of this project's recipes.
    """
    seen = [] if seen is None else seen
    try:
        path = path.resolve()
    except (OSError, RuntimeError, ValueError) as error:  # links in a circle, a NUL
        raise BuildError(f"{printable(str(path))}: {error}", hint="correct the include") from None
    top = chain[0].parent if chain else path.parent
    if not path.is_relative_to(top) and not path.is_relative_to(RECIPES):
        raise BuildError(
            f"{chain[-1]}: include: {printable(str(path))} lies outside of {top}",
            hint="put it beside the recipe, or below it",
        )
    seen.append(path)
    if len(seen) > _FILES:
        raise BuildError(f"{path}: the recipe joins more than {_FILES} files", hint="use fewer")
    if path in chain:
        circle = " -> ".join(p.name for p in (*chain[chain.index(path) :], path))
        raise BuildError(f"{path}: include goes in a circle: {circle}", hint="take one of them out")
    if chain and not is_file(path):
        raise BuildError(
            f"{printable(str(path))}: no such file (included by {chain[-1]})",
            hint="correct the include",
        )
    raw = documents.toml(path)
    includes = raw.pop("include", [])
    if not isinstance(includes, list) or not all(isinstance(i, str) for i in includes):
        raise BuildError(
            f"{path}: include: must be a list of file names", hint='include = ["base.toml"]'
        )
    joined: dict[str, Any] = {}
    for include in includes:
        _join(joined, read(path.parent / include, (*chain, path), origins, seen))
    _note(raw, "", str(path), origins)
    _join(joined, raw)
    return joined


def _note(
    raw: Mapping[str, Any], prefix: str, origin: str, origins: dict[str, str], depth: int = 1
) -> None:
    if depth > _DEPTH:
        raise BuildError(
            f"{origin}: {printable(prefix[:60])}...: tables in tables in tables",
            hint=f"{_DEPTH} levels at most",
        )
    for key, value in raw.items():
        whole = dotted(prefix, key)
        origins[whole] = origin
        if isinstance(value, dict):
            _note(value, whole, origin, origins, depth + 1)


def _join(below: dict[str, Any], above: Mapping[str, Any]) -> None:
    """Put `above` over `below`: tables are joined, anything else is replaced."""
    for key, value in above.items():
        there = below.get(key)
        if not isinstance(value, dict) or not isinstance(there, dict):
            below[key] = value
        elif "kind" in there and value.get("kind", there["kind"]) != there["kind"]:
            below[key] = value  # a source of another kind has other keys
        else:
            _join(there, value)


def apply(raw: dict[str, Any], text: str, origins: dict[str, str]) -> None:
    typed, equals, value = text.partition("=")
    more = typed.endswith("+")
    steps = _steps(typed.removesuffix("+").strip())
    if not equals or not all(step.strip() for step in steps):
        raise BuildError(
            f"--set {text}: not of the form key=value",
            hint="for example --set sources.xen.version=4.17.5",
        )
    key = dotted("", *steps)
    if len(steps) > _DEPTH or len(text) > _LARGEST:
        raise BuildError(f"--set {text[:60]}...: too long", hint="no key is as deep as that")
    where = raw
    for depth, step in enumerate(steps[:-1]):
        if not isinstance(where.get(step), dict):
            # A table that the schema knows but the recipe leaves out may be begun.
            open_keys = set(fields(Recipe)) - RESERVED
            if depth == 0 and step in open_keys and step not in raw:
                where[step] = {}
            else:
                raise BuildError(
                    f"--set {text}: names nothing: the recipe has no {'.'.join(steps[: depth + 1])}"
                    + nearest(step, where),
                    hint=f"keys there: {', '.join(sorted(where))}",
                )
        where = where[step]
    parsed = _value(value)
    if more:
        there = where.get(steps[-1])
        if not isinstance(there, list):
            raise BuildError(
                f"--set {text}: += is for a list, and the recipe states none there",
                hint=f"--set {'.'.join(steps)}=... sets it",
            )
        parsed = [*there, *(parsed if isinstance(parsed, list) else [parsed])]
    kind = KINDS.get(parsed) if isinstance(parsed, str) else None
    if steps[0] == "sources" and len(steps) == 3 and steps[2] == "kind" and kind:
        # Another kind has other keys: what it does not know goes with the old kind.
        known = set(fields(kind))
        for other in [k for k in where if k not in known]:
            del where[other]
    where[steps[-1]] = parsed
    origins[key] = f"--set {text}"
    if isinstance(parsed, dict):
        _note(parsed, key, f"--set {text}", origins)


def _steps(key: str) -> list[str]:
    """The parts of a dotted key; as in TOML, one that has dots itself stands in quotes."""
    if "'" not in key and '"' not in key:
        return key.split(".")
    try:
        rest: Any = tomllib.loads(f"{key} = 0")
    except (ValueError, RecursionError):
        return [""]
    steps: list[str] = []
    while isinstance(rest, dict) and len(rest) == 1:
        step, rest = next(iter(rest.items()))
        steps.append(step)
    return steps


def _value(text: str) -> Any:
    try:
        match tomllib.loads(f"value = {text}"):
            case {"value": value, **more} if not more:
                return value
    except (ValueError, RecursionError):
        pass
    return text
