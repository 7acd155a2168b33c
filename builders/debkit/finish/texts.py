# SPDX-License-Identifier: GPL-2.0-or-later
"""Passages of text files that a recipe words otherwise than upstream."""

from __future__ import annotations

import fnmatch

from builders.debkit.finish.work import Work, is_plain
from builders.errors import BuildError
from builders.text import printable


def correct(work: Work) -> None:
    """The verb `replace`, in its order: a later one finds what an earlier one wrote.

    BuildError where a passage is not there exactly once: a correction that silently no longer
    fits would leave the fault in.
    """
    for replacement in work.corrections.replace:
        old, glob = replacement.old, replacement.path
        found = [e.path for e in work.kept if is_plain(e) and fnmatch.fnmatchcase(e.path, glob)]
        if not found:
            raise BuildError(
                f"replace: {glob} matches no file of the package",
                hint="name a file of the raw package, or take the entry out",
            )
        contents = work.read(found)
        for path in found:
            content = contents.get(path, b"")
            count = content.count(old.encode()) if old else 0
            if count != 1:
                passage = printable(repr(old))
                raise BuildError(
                    f"replace: {printable(path)} has {passage} {count} times, not once",
                    hint="quote a passage that is there once; a newer source may word it otherwise",
                )
            work.replaced[path] = content.replace(old.encode(), replacement.new.encode())
