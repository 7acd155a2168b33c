# SPDX-License-Identifier: GPL-2.0-or-later
"""The regular expressions of the project over strings that are hard for them.

    python -m tests.fuzz.patterns [--seconds N] [--seed N]

Of each a matching string is drawn, some part of it is repeated, and the time for four times as
many repeats is held against four times the time. A pattern is run by the methods that the code
calls. What is slow here and is only run on short text is no fault.
"""

from __future__ import annotations

import argparse
import ast
import random
import re
import re._constants as codes  # type: ignore[import-not-found]
import re._parser as parser  # type: ignore[import-not-found]  # knows what re takes
import time
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import builders

_CHARACTERS = "a1 b\t-./_xZ\n:=+~'\"@%,()<>[]{}$&|!#*?;\\\r\x80"
_METHODS = "search|match|fullmatch|subn?|finditer|findall|split"
_FLAGS = ("DOTALL", "MULTILINE", "VERBOSE", "IGNORECASE")
_SHORT, _LONG = 1500, 6000  # characters
_NOTICED = 0.01  # seconds; less is noise
_TOO_LONG = 3.0  # seconds for the short one


@dataclass(frozen=True)
class Pattern:
    """A regular expression; methods: of re that the code calls with it."""

    where: str
    compiled: re.Pattern[Any]
    methods: tuple[str, ...]


def patterns() -> Iterator[Pattern]:
    """Those that the project's code has as literals."""
    for path in sorted(Path(builders.__path__[0]).rglob("*.py")):
        text = path.read_text()
        tree = ast.parse(text)
        names = {
            id(node.value): target.id
            for node in ast.walk(tree)
            if isinstance(node, ast.Assign)
            for target in node.targets
            if isinstance(target, ast.Name)
        }
        for node in ast.walk(tree):
            method = _method(node)
            if not (method and isinstance(node, ast.Call)):
                continue
            literal = node.args[0].value if isinstance(node.args[0], ast.Constant) else None
            if not isinstance(literal, str | bytes):
                continue
            methods = {method}
            if method == "compile":
                name = names.get(id(node), "")
                methods = set(re.findall(rf"\b{name}\.({_METHODS})\b", text) if name else ())
                methods = methods or {"search", "fullmatch"}
            flags = sum(getattr(re, flag) for flag in _FLAGS if f"re.{flag}" in ast.unparse(node))
            compiled: re.Pattern[Any] = re.compile(literal, flags)
            yield Pattern(f"{path}:{node.lineno}", compiled, tuple(sorted(methods)))


def _method(node: ast.AST) -> str:
    """The name of the function of re that is called there, "" for all else."""
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.args:
        module = node.func.value
        known = re.fullmatch(f"compile|{_METHODS}", node.func.attr)
        if known and isinstance(module, ast.Name) and module.id == "re":
            return node.func.attr
    return ""


def sample(items: Sequence[Any], chance: random.Random) -> str:
    """A string that these parts of a parsed pattern match, but for what they look around at."""
    parts = []
    for code, value in items:
        if code is codes.LITERAL:
            parts.append(chr(value))
        elif code is codes.NOT_LITERAL:
            parts.append("a" if value != ord("a") else "b")
        elif code is codes.ANY:
            parts.append("a")
        elif code is codes.IN:
            parts.append(chance.choice([c for c in _CHARACTERS if _in(value, c)] or ["a"]))
        elif code in (codes.MAX_REPEAT, codes.MIN_REPEAT, codes.POSSESSIVE_REPEAT):
            least, most, repeated = value
            count = min(least + chance.randint(0, 2), most, 20)
            parts += [sample(repeated, chance) for _ in range(count)]
        elif code is codes.SUBPATTERN:
            parts.append(sample(value[3], chance))
        elif code is codes.ATOMIC_GROUP:
            parts.append(sample(value, chance))
        elif code is codes.BRANCH:
            parts.append(sample(chance.choice(value[1]), chance))
    return "".join(parts)


def _in(members: Sequence[Any], character: str) -> bool:
    negated = any(code is codes.NEGATE for code, _ in members)
    return negated != any(_has(code, value, character) for code, value in members)


def _has(code: Any, value: Any, character: str) -> bool:
    if code is codes.LITERAL:
        return bool(ord(character) == value)
    if code is codes.RANGE:
        return bool(value[0] <= ord(character) <= value[1])
    if code is codes.CATEGORY:
        name = str(value).removeprefix("CATEGORY_")
        kind = {"S": r"\s", "D": r"\d", "W": r"\w"}[name.removeprefix("NOT_")[0]]
        return bool(re.match(kind, character)) != name.startswith("NOT_")
    return False


def hardest(pattern: Pattern, limit: float, chance: random.Random) -> tuple[float, str, str]:
    """The longest time of one run, with what stood before the repeated part, and that; 0 for none.

    limit: seconds to look for it.
    """
    text = pattern.compiled.pattern
    binary = isinstance(text, bytes)
    flags = pattern.compiled.flags & ~re.UNICODE if binary else pattern.compiled.flags
    tree = parser.parse(text.decode("latin-1") if binary else text, flags)
    worst = (0.0, "", "")
    deadline = time.monotonic() + limit
    while time.monotonic() < deadline:
        match = sample(list(tree), chance)
        start = chance.randrange(len(match) + 1)
        part = match[start : start + chance.choice([1, 1, 1, 2, 3, 8, 80])] or "a"
        end = chance.choice(["", "\0", "\n"])
        subjects = [
            match[:start] + part * (length // len(part)) + end for length in (_SHORT, _LONG)
        ]
        seconds = _time(pattern, subjects, binary=binary)
        for _ in range(2 if seconds else 0):  # another process may have been in the way
            seconds = min(seconds, _time(pattern, subjects, binary=binary))
        if seconds > worst[0]:
            worst = (seconds, match[:start], part)
    return worst


def _time(pattern: Pattern, subjects: Sequence[str], *, binary: bool) -> float:
    """Seconds for the last of these strings, 0 where they grow no faster than the strings."""
    taken = []
    for subject in subjects:
        taken.append(_run(pattern, subject.encode() if binary else subject))
        if taken[-1] > _TOO_LONG:
            return taken[-1]
    return taken[1] if taken[1] > max(_NOTICED, 8 * taken[0]) else 0.0


def _run(pattern: Pattern, subject: str | bytes) -> float:
    begun = time.process_time()
    for method in pattern.methods:
        if method in ("sub", "subn"):
            pattern.compiled.sub(subject[:0], subject)
        elif method == "finditer":
            list(pattern.compiled.finditer(subject))
        else:
            getattr(pattern.compiled, method)(subject)
    return time.process_time() - begun


def main() -> None:
    options = argparse.ArgumentParser(description="Look for patterns that take too long.")
    options.add_argument("--seconds", type=float, default=2, help="for each pattern")
    options.add_argument("--seed", type=int, default=1)
    chosen = options.parse_args()
    chance = random.Random(chosen.seed)  # noqa: S311  # the same strings each time
    count = 0
    for pattern in patterns():
        count += 1
        seconds, before, part = hardest(pattern, chosen.seconds, chance)
        if seconds:
            print(f"{seconds:.3f} s  {pattern.where}  {before[-30:]!r} and {part!r} repeated")
    print(f"{count} patterns")


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    main()
