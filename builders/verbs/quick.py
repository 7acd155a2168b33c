# SPDX-License-Identifier: GPL-2.0-or-later
"""`./inv inspect` without Invoke, which takes longer to load than a package to audit.

Only what is plainly meant is read here. Everything else, mistakes and --help too, is left to
Invoke, which knows the same verb by tasks.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from builders.errors import Exit
from builders.show import face
from builders.verbs import inspect as inspecting


def inspect(
    *,
    path: Sequence[str] = (),
    format: str = "table",
    recipe: str = "",
    set_: Sequence[str] = (),
    diff: bool = False,
    fail_on: str = "error",
    only: Sequence[str] = (),
    skip: Sequence[str] = (),
    baseline: str = "",
    fast: bool = False,
    suite: str = "",
    explain: str = "",
    rules: bool = False,
) -> int:
    """The verb: prints what it has to say; the exit status. recipe: "" for the default one."""
    if explain or rules:
        face.show(inspecting.explain(explain, format).said(format))
        return Exit.DONE
    if diff:
        text, code = inspecting.diff(path, format)
    else:
        wanted = inspecting.Wanted(format, fail_on, only, skip, baseline, fast, suite)
        text, code = inspecting.inspect(path, wanted, recipe, set_)
    face.show(text)
    return code


_DEFAULTS: dict[str, Any] = dict(inspect.__kwdefaults__ or {})
_NAMES = {"--" + name.rstrip("_").replace("_", "-"): name for name in _DEFAULTS if name != "path"}


def options(words: Sequence[str]) -> dict[str, Any] | None:
    """What the words after `inspect` ask for, by the names above; None where Invoke is to say."""
    found: dict[str, Any] = {}
    rest = iter(words)
    for word in rest:
        if not word.startswith("-"):
            name, value = "path", word
        else:
            option, equals, value = word.partition("=")
            name = _NAMES.get(option, "")
            if not name:
                return None
            if _DEFAULTS[name] is False:
                if equals:
                    return None
                found[name] = True
                continue
            if not equals:
                value = next(rest, "")
        if not value or value.startswith("-"):
            return None
        if _DEFAULTS[name] == ():
            found.setdefault(name, []).append(value)
        elif name in found:
            return None
        else:
            found[name] = value
    return found
