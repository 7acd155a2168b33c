# SPDX-License-Identifier: GPL-2.0-or-later
"""Plain TOML values as the classes of a recipe: every key known, there, and of its type."""

from __future__ import annotations

import dataclasses
import functools
import json
import re
import types
import typing
from collections.abc import Callable, Mapping
from typing import Any

from builders import forms
from builders.debkit.corrections import Corrections
from builders.errors import BuildError
from builders.ground.sources.pins import Source
from builders.ground.suite.model import Suite
from builders.pipeline.recipe.model import KINDS
from builders.text import nearest as nearest  # builders.program takes it from here
from builders.text import printable

# Kept for each class: get_type_hints compiles its annotations anew.
_hints: Callable[..., dict[str, Any]] = functools.cache(typing.get_type_hints)
RESERVED = frozenset({"name", "overrides"})  # of a Recipe: not for a file to say


def fields(cls: type[Any]) -> list[str]:
    """The names of the fields of a dataclass."""
    return [f.name for f in dataclasses.fields(cls)]


def dotted(prefix: str, *steps: str) -> str:
    """A key of TOML: `prefix`, which is a key or empty, and more parts, quoted where need be."""
    for step in steps:
        part = step if _BARE.fullmatch(step) else quoted(step)
        prefix = f"{prefix}.{part}" if prefix else part
    return prefix


def quoted(text: str) -> str:
    """A string of TOML on one line. JSON leaves one character as it is that TOML does not."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


class RecipeError(BuildError):
    """A key that is wrong: where it was written (a file, or the --set as it was typed)."""

    def __init__(self, message: str, hint: str, origin: str, key: str) -> None:
        super().__init__(message, hint=hint)
        self.origin = origin
        self.key = key


class Reader:
    """Turns plain TOML values into the classes of `model`."""

    def __init__(self, origins: Mapping[str, str], path: str) -> None:
        self._origins = origins
        self._path = path

    def error(self, key: str, what: str, hint: str) -> BuildError:
        """The error for one key: where it was written, what is wrong, what to do."""
        origin = printable(self.origin(key) or self._path)
        shown = printable(key if len(key) <= _SHOWN else f"{key[:_SHOWN]}...")
        return RecipeError(
            f"{origin}: {shown}: {printable(what)}", hint, self.origin(key) or self._path, key
        )

    def origin(self, key: str) -> str:
        """Where a key was written: a file, or the --set as it was typed; "" where nobody knows."""
        while key:
            if origin := self._origins.get(key):
                return origin
            key = key[: max(key.rfind("."), key.rfind("["), 0)]
        return ""

    def typed(self, key: str) -> bool:
        """Whether the user gave that value on the command line."""
        return self.origin(key).startswith("--set ")

    def table(self, raw: Mapping[str, Any], key: str) -> dict[str, Any]:
        """The table `key` of `raw`; BuildError where it is missing or none."""
        value = raw.get(key)
        if value is None:
            raise self.error(key, "is missing", f"add a table [{key}.NAME]")
        if not isinstance(value, dict):
            raise self.error(key, f"must be a table, not {_kind(value)}", f"write [{key}.NAME]")
        self._few(key, len(value))
        return value

    def source(self, name: str, raw: Any) -> Source:
        """The source of that name, of the class that its kind calls for."""
        key = f"sources.{name}"
        if not isinstance(raw, dict):
            raise self.error(key, f"must be a table, not {_kind(raw)}", f"write [{key}]")
        rest = dict(raw)
        kind = rest.pop("kind", None)
        if not isinstance(kind, str) or kind not in KINDS:
            what = "is missing" if kind is None else f"{kind!r} is no kind of source"
            raise self.error(f"{key}.kind", what, f"one of: {', '.join(KINDS)}")
        if "name" in rest:
            raise self.error(f"{key}.name", "is not a known key", f"it is called {name} already")
        source = self.read(KINDS[kind], {**rest, "name": name}, key)
        return typing.cast("Source", source)

    def read(self, cls: type[Any], raw: Mapping[str, Any], prefix: str) -> Any:
        """An instance of the dataclass `cls`, every key known, present and of its type."""
        hints = _hints(cls)
        known = {f.name: f for f in dataclasses.fields(cls)}
        for key in raw:
            if key not in known:
                open_keys = sorted(
                    set(known) - (set() if cls in (Suite, Corrections) else RESERVED)
                )
                raise self.error(
                    dotted(prefix, key),
                    "is not a known key" + nearest(key, open_keys),
                    f"keys here: {', '.join(open_keys)}",
                )
        values: dict[str, Any] = {}
        for key, spec in known.items():
            if key in raw:
                values[key] = self._convert(hints[key], raw[key], dotted(prefix, key))
            elif spec.default is dataclasses.MISSING and (
                spec.default_factory is dataclasses.MISSING
            ):
                raise self.error(
                    dotted(prefix, key), "is missing", _MISSING.get(key, f"add {key} = ...")
                )
        return cls(**values)

    def _convert(self, hint: Any, value: Any, key: str) -> Any:
        origin, arguments = typing.get_origin(hint), typing.get_args(hint)
        if origin in (types.UnionType, typing.Union):  # only X | None is used
            return self._convert(arguments[0], value, key)
        if dataclasses.is_dataclass(hint) and isinstance(hint, type):
            if not isinstance(value, dict):
                raise self.error(key, f"must be a table, not {_kind(value)}", f"write [{key}]")
            return self.read(hint, value, key)
        if origin is tuple:
            if isinstance(value, str) and self._origins.get(key, "").startswith("--set"):
                value = [value]
            if not isinstance(value, (list, tuple)):
                raise self.error(key, f"must be a list, not {_kind(value)}", f'{key} = ["..."]')
            self._few(key, len(value))
            return tuple(
                self._convert(arguments[0], item, f"{key}[{n}]") for n, item in enumerate(value)
            )
        if origin is not None and issubclass(origin, Mapping):
            if not isinstance(value, dict):
                raise self.error(key, f"must be a table, not {_kind(value)}", f"write [{key}]")
            self._few(key, len(value))
            return {k: self._convert(arguments[1], v, dotted(key, k)) for k, v in value.items()}
        if hint is str and not isinstance(value, (str, list, dict)):
            # --set a.version=4.10 needs no quotes, and is not the number 4.1.
            before, _, typed = self._origins.get(key, "").partition("=")
            if before == f"--set {key}":
                return typed.strip()
        if type(value) is not hint:
            raise self.error(
                key, f"must be {_NAMES[hint]}, not {_kind(value)}", _remedy(hint, value, key)
            )
        if hint is int and not -1 <= value <= _NUMBER:
            raise self.error(key, "is no number that makes sense here", f"at most {_NUMBER}")
        return value

    def _few(self, key: str, items: int) -> None:
        if items > forms.ITEMS:
            raise self.error(key, f"has {items} entries", f"at most {forms.ITEMS}")


def _remedy(hint: type, value: Any, key: str) -> str:
    """How to write a value of the right type."""
    if hint is str and type(value) in (int, float, bool):
        if re.search(r"(^|\.)modes\.", key):
            return f"write the mode in quotes: {_modes(value)}"
        written = str(value).lower() if isinstance(value, bool) else value
        return f'write it in quotes: "{written}"'
    return f"write {_EXAMPLES[hint]}" if hint in _EXAMPLES else "see docs/finish.md"


def _modes(value: int | float | bool) -> str:
    """What was meant by a mode without quotes: its digits, or the octal number that TOML read."""
    if type(value) is not int or not 0 <= value <= 0o7777:
        return 'such as "0755"'
    digits, octal = f"{value:04}", f"{value:04o}"
    if not re.fullmatch(r"0?[0-7]{3,4}", digits):
        return f'"{octal}"'
    # 420 may be meant as it stands, and is what 0o644 reads as.
    return f'"{digits}", or "{octal}" for 0o{value:o}' if value <= 0o777 else f'"{digits}"'


_BARE = re.compile(r"[A-Za-z0-9_-]+")
_SHOWN = 120  # characters of a key in an error
_NUMBER = 1 << 43  # no size, limit or level is larger
_EXAMPLES: dict[type, str] = {str: 'one string: "..."', int: "its digits alone", bool: "true"}
_NAMES: dict[type, str] = {str: "a string", int: "a whole number", bool: "true or false"}
_MISSING = {
    "sha256": "every url source is pinned: add sha256 = the digest of the file that you trust",
    "version": "every Debian source is pinned: add an exact version, or a glob such as 6.1.*",
    "reason": "say in a sentence why lintian is wrong here",
    "summary": "add one line that says what the recipe builds",
}


def _kind(value: Any) -> str:
    names: dict[type, str] = {
        **_NAMES,
        list: "a list",
        tuple: "a list",
        dict: "a table",
        float: "one with a point",
    }
    return names.get(type(value), type(value).__name__)
