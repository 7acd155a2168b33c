# SPDX-License-Identifier: GPL-2.0-or-later
"""What of a package came into Debian's tools later than some suites: it stops their dpkg.

The versions are those of dpkg's own debian/changelog, and of that of init-system-helpers.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from builders.debkit.deb.scripts import code_lines
from builders.debkit.deb.suites import SUITES, Number, Tools, tools

# dpkg that first read a member of such a name (deb(5)).
_MEMBERS = (
    (re.compile(r"(control|data)\.tar\.zst"), (1, 21, 18)),
    (re.compile(r"control\.tar(\.xz)?"), (1, 17, 6)),
)


@dataclass(frozen=True)
class _Word:
    """A word of a maintainer script: how it stands there, what it is called, its first dpkg.

    guard: with this in the script, it is only said where it is known.
    """

    pattern: re.Pattern[str]
    name: str
    dpkg: Number
    guard: re.Pattern[str] | None = None


def _word(pattern: str, name: str, *dpkg: int, guard: str = "") -> _Word:
    command = re.compile(rf"(?:^|[\s;&|({{`!]){pattern}(?![\w-])")
    return _Word(command, name, dpkg, re.compile(guard) if guard else None)


def _there(program: str) -> str:
    """How a script asks whether a program is there."""
    return rf"(?:command -v|which|type|-x)\s+\S*{program}\b"


_JESSIE = SUITES["jessie"].dpkg
_SYMLINK_TO_DIR = (1, 17, 14)
_DISABLED = (1, 19)  # buster: init-system-helpers 1.51
_SCRIPTS = (
    *(
        _word(
            rf"dpkg-maintscript-helper\s+{word}",
            f"dpkg-maintscript-helper {word}",
            *_SYMLINK_TO_DIR,
            guard=rf"dpkg-maintscript-helper\s+supports\s+{word}",
        )
        for word in ("symlink_to_dir", "dir_to_symlink")
    ),
    _word(r"dpkg-divert\b[^;&|]*\s--no-rename", "dpkg-divert --no-rename", 1, 19, 1),
    _word(r"dpkg-realpath", "dpkg-realpath", 1, 20, 1, guard=_there("dpkg-realpath")),
    _word(r"dpkg-trigger\b[^;&|]*\s--await", "dpkg-trigger --await", 1, 17, 21),
    _word(r"dpkg\b[^;&|]*\s(?:--verify|-V)", "dpkg --verify", 1, 17, 2),
    _word(r"dpkg\b[^;&|]*\s--validate-\w+", "dpkg --validate-...", 1, 18, 16),
    _word(r"dpkg\b[^;&|]*\s--robot", "dpkg --robot", 1, 20, 1),
    _word(r"dpkg\b[^;&|]*\s--assert-versioned-provides", "that --assert of dpkg", 1, 17, 11),
    _word(r"update-rc\.d\b[^;&|]*\sdefaults-disabled", "defaults-disabled", *_DISABLED),
    # Of init-system-helpers, which came with jessie; who asks for systemd first is safe.
    *(
        _word(name, name, *_JESSIE, guard=rf"{_there(name)}|/run/systemd/system")
        for name in ("deb-systemd-helper", "deb-systemd-invoke")
    ),
)
_LINE = 2000  # characters of a line that are looked at


def member_fault(name: str, suite: str) -> str:
    """Why the dpkg of a suite does not read a package's member of that name; "" where it does."""
    for pattern, first in _MEMBERS:
        if pattern.fullmatch(name) and tools(suite).dpkg < first:
            return f"{name} {_later(first, 'is read', suite)}"
    return ""


def script_faults(text: str, suite: str) -> Iterator[tuple[int, str]]:
    """Lines of a maintainer script with what the suite's tools do not know, each word once."""
    unknown = [word for word in _SCRIPTS if tools(suite).dpkg < word.dpkg]
    unknown = [word for word in unknown if not (word.guard and word.guard.search(text))]
    if not unknown:
        return
    said: set[str] = set()
    for number, line in code_lines(text):
        bare = re.sub(r"(^|\s)#.*", "", re.sub(r"'[^']*'", "''", line[:_LINE]))
        for word in unknown:
            if word.name not in said and word.pattern.search(bare):
                said.add(word.name)
                yield number, f"{word.name} {_later(word.dpkg, 'is known', suite)}"


def has_symlink_to_dir(suite: Tools) -> bool:
    """Whether dpkg-maintscript-helper(1) makes a folder of what was a link."""
    return suite.dpkg >= _SYMLINK_TO_DIR


def has_defaults_disabled(suite: Tools) -> bool:
    """Whether update-rc.d(8) registers a service that is not to start."""
    return suite.dpkg >= _DISABLED


def _later(first: Number, what: str, suite: str) -> str:
    have, since = (".".join(map(str, version)) for version in (tools(suite).dpkg, first))
    return f"{what} from dpkg {since} on; {suite} has {have}"
