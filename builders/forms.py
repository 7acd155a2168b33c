# SPDX-License-Identifier: GPL-2.0-or-later
"""The forms of a recipe's values: a recipe is data of a stranger until each has its form.

Each function says what is wrong with a value, "" where nothing is. What passes has no character
that means something to sources.list(5), mmdebstrap(1), apt, a shell or a path beyond its place.
"""

from __future__ import annotations

import re

TEXT = 1 << 18  # characters of a text of several lines, such as a file's content
LINE = 4096  # of all else
ITEMS = 1000  # in a list or a table

NAME = re.compile(r"[a-z0-9][a-z0-9.+-]{0,99}")  # Policy 5.6.1, and safe as a file name
# A suite's code name is part of the names of images and volumes of an engine.
SUITE = re.compile(r"[a-z0-9]+(?:[.-][a-z0-9]+){0,9}")
WORD = re.compile(r"[a-z0-9][a-z0-9.+-]{0,99}")  # of sources.list(5)
_WORDS = re.compile(r"[a-z0-9][a-z0-9.+-]*(?:/[a-z0-9][a-z0-9.+-]*){0,9}")
_HOST = r"(?:[A-Za-z0-9._~%!$&*+,;=:-]+@)?(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?"
_MIRROR = re.compile(rf"https?://{_HOST}(?:/[A-Za-z0-9._~%+,=:@/-]*)?")
_ADDRESS = re.compile(rf"https?://{_HOST}(?:/[A-Za-z0-9._~%!$&()*+,;=:@/?-]*)?")
_TREE = re.compile(r"[^\x00-\x1f\x7f-\x9f\\]+")
_GLOB = re.compile(r"[A-Za-z0-9._+~*?\[\]!/@%-]+")
MODULE = re.compile(r"[A-Za-z0-9_]{1,64}")  # of the kernel's, as lsmod(8) has its name
CERTIFICATE = re.compile(  # of X.509, in PEM
    r"-----BEGIN CERTIFICATE-----\n(?:[A-Za-z0-9+/=]{1,76}\n){1,200}-----END CERTIFICATE-----\n"
)
_FILE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+~%@=-]{0,199}")


def control(text: str, *, lines: bool) -> str:
    """Of the characters of any value: a line break or a tab only where several lines are meant."""
    for character in text:
        if character in "\n\t" and lines:
            continue
        if not character.isprintable():
            what = {"\n": "a line break", "\0": "a NUL", "\t": "a tab"}.get(
                character, f"the character U+{ord(character):04X}"
            )
            return f"has {what}"
    limit = TEXT if lines else LINE
    return f"has {len(text)} characters, more than {limit}" if len(text) > limit else ""


def mirror(text: str) -> str:
    """Of the address of an archive: it stands in sources.list(5)."""
    return _url(text, _MIRROR)


def address(text: str) -> str:
    """Of the address of a source."""
    return _url(text, _ADDRESS)


def _url(text: str, form: re.Pattern[str]) -> str:
    if len(text) <= LINE and form.fullmatch(text):
        return ""
    return f"{text[:80]!r} is not one http or https address"


def words(text: str) -> str:
    """Of a component or a suite in sources.list(5): words with single slashes between them."""
    return "" if len(text) <= 200 and _WORDS.fullmatch(text) else f"{text[:60]!r} is no word"


def inside(path: str, *, folder: bool = False) -> str:
    """Of a path in a tree; folder: a slash at its end is allowed."""
    parts = (path.removesuffix("/") if folder else path).split("/")
    if path.startswith("/") or ".." in parts:
        return "leaves the tree"
    if len(path) > LINE or "" in parts or "." in parts or not _TREE.fullmatch(path):
        return "is no plain path"
    return ""


def glob(text: str, *, above: int = 1) -> str:
    """Of a shell's glob in the tree that a build leaves its packages in.

    above: how many folders it may go up from the tree: builders put packages beside it.
    """
    parts = text.split("/")
    while above and parts and parts[0] == "..":
        parts, above = parts[1:], above - 1
    if text.startswith("/") or ".." in parts:
        return f"{text[:60]!r} leaves the tree"
    if len(text) > LINE or "" in parts or text.startswith("-") or not _GLOB.fullmatch(text):
        return f"{text[:60]!r} is no glob of a file"
    return ""


def absolute(path: str) -> str:
    """Of an absolute path without detours."""
    parts = path.removesuffix("/").split("/")[1:]
    if not path.startswith("/") or not parts or {"", ".", ".."} & set(parts) or len(path) > LINE:
        return f"{path[:80]!r} is no absolute path"
    return ""


def file_name(text: str) -> str:
    """Of the name that a file has in a container."""
    return "" if _FILE_NAME.fullmatch(text) else f"{text[:80]!r} is no plain file name"
