# SPDX-License-Identifier: GPL-2.0-or-later
"""How the kernel starts a script: its first line, and the program that it names (execve(2))."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator
from dataclasses import dataclass

SCRIPTS = ("preinst", "postinst", "prerm", "postrm", "config")
SHELLS = {"sh": "dash", "dash": "dash", "bash": "bash"}
_LINE = 256  # bytes that the kernel looks at
# Paths that Essential packages bring, with merged /usr or without. A name that lies in one folder
# is found in the other where /usr is merged.
_ESSENTIAL = frozenset(
    [
        *("/bin/sh", "/bin/dash", "/bin/bash", "/usr/bin/perl", "/bin/sed", "/usr/bin/env"),
        *("/usr/bin/awk", "/bin/cat", "/bin/true", "/bin/false", "/usr/bin/mawk"),
    ]
)
_FOLDERS = ("/bin", "/usr/bin")
_SHELL_OPTIONS = re.compile(r"[-+]|--|[-+][abCefhimnpuvxEIV]+")
_BASH_OPTIONS = re.compile(r"--[a-z][a-z-]*|[-+][abBcCDefhHiklmnpPrstTuvxE]+")


@dataclass(frozen=True)
class Interpreter:
    """What runs a script.

    path: as the kernel takes it, without its arguments. argument: all else of the line, which it
    hands over as one. program: what runs in the end, by its name or path, where path is env.
    options: of the program, of which a script can give one only, but for env -S.
    """

    path: str
    argument: str = ""
    program: str = ""
    options: str = ""

    @property
    def name(self) -> str:
        """The program without its folder."""
        return self.program.rpartition("/")[2]

    @property
    def essential(self) -> bool:
        """Whether the program is there before any dependency is."""
        return is_essential(self.program)

    def fault(self) -> str:
        """Why it cannot run, whatever is installed; "" where it can."""
        if not self.path:
            return "its first line names no interpreter"
        if "\0" in self.argument:
            return "its first line has a NUL"
        if "\r" in self.path + self.argument:
            return "its first line ends in CR LF, and no interpreter is named so"
        if re.search(r"[^ -~\t]", self.path):
            return f"its interpreter has an odd character: {self.path!r}"
        if self.path.endswith("/") or _normal(self.path) in ("/", "/bin", "/usr"):
            return f"its interpreter is a folder: {self.path}"
        if _is_env(self.path):
            if not self.program or "=" in self.program:
                return "env is given no program, and runs the script again and again"
            if self.program.startswith("-"):
                return f"env takes {self.argument!r} for one option of its own"
            if re.search(r"\s", self.program):
                return f"env looks for a program named {self.program!r}: it is given one word"
        return self._shell_fault()

    def _shell_fault(self) -> str:
        if self.name not in SHELLS or not self.options:
            return ""
        known = _SHELL_OPTIONS.fullmatch(self.options) or (
            self.name == "bash" and _BASH_OPTIONS.fullmatch(self.options)
        )
        # A path is the script that the shell runs, with this one as its argument, as the init
        # scripts do that are #!/bin/sh /lib/init/init-d-script.
        if known or re.fullmatch(r"/[^\s/]+/\S+", self.options):
            return ""
        if re.search(r"\s", self.options):
            return f"{self.name} takes {self.options!r} for one option"
        return f"{self.name} has no option {self.options!r}"


def interpreter(content: bytes) -> Interpreter | None:
    """What runs a script, None where its first line does not say: then it is a shell's."""
    if not content.startswith(b"#!"):
        return None
    line, newline, _ = content[2:_LINE].partition(b"\n")
    if not newline and len(content) > _LINE and not re.search(rb"[^ \t][ \t\0]", line):
        return None  # it is cut within the name of the program
    head = line.partition(b"\0")[0]
    text = head.decode("utf-8", "surrogateescape").strip(" \t")
    if (not text and head != line) or not (text or newline):
        return Interpreter("")  # to the kernel that is a name, and an empty one
    if head != line and head.endswith((b" ", b"\t")):
        text += " \0"
    path, _, argument = re.sub(r"[ \t]+", "\0", text, count=1).partition("\0")
    if not path:
        return None
    if not _is_env(path):
        # One that is not absolute is looked for in the root, where dpkg runs scripts.
        return Interpreter(path, argument, _normal(path), argument)
    program, options = argument, ""
    if split := re.fullmatch(r"(?:-S|--split-string=?)[ \t]*(.*)", argument):
        words = [word for word in split[1].split() if "=" not in word or word.startswith("-")]
        program, options = " ".join(words[:1]), ",".join(words[1:])
        if len(words) > 2:
            options = ""  # each is one of its own
    if program.startswith("/"):
        program = _normal(program)
    return Interpreter(path, argument, program, options)


def _normal(path: str) -> str:
    return posixpath.normpath("/" + path.lstrip("/"))


def _is_env(path: str) -> bool:
    return _normal(path) in ("/usr/bin/env", "/bin/env")


def is_essential(program: str) -> bool:
    """Whether a program, by its path or by its name, is one that Essential packages bring."""
    if "/" not in program:
        return any(f"{folder}/{program}" in _ESSENTIAL for folder in _FOLDERS)
    path = _normal(program)
    folder, name = posixpath.split(path)
    return folder in _FOLDERS and any(f"{each}/{name}" in _ESSENTIAL for each in _FOLDERS)


def shell_of(content: bytes) -> str:
    """The shell that reads a maintainer script: dash or bash; "" where it is none for a shell."""
    if content.startswith(b"\x7fELF"):
        return ""
    found = interpreter(content)
    if found is None:
        return "dash"  # dpkg's execvp(3) hands it to sh
    return SHELLS.get(found.name, "")


_WIDTH = 2000  # characters of a line that are looked at
_HERE = re.compile(r"(?<!<)<<(-?)[ \t]*(?:'([^'\n]+)'|\"([^\"\n]+)\"|\\?([\w.-]+))")


def code_lines(script: str) -> Iterator[tuple[int, str]]:
    """The lines of a shell script with their numbers, without here-documents and comments."""
    yield from _scan(script, [])


def open_documents(script: str) -> list[str]:
    """The words that would end its here-documents, of those that it does not end."""
    waiting: list[tuple[str, str]] = []
    for _ in _scan(script, waiting):
        pass
    return [word for _, word in waiting]


def _scan(script: str, waiting: list[tuple[str, str]]) -> Iterator[tuple[int, str]]:
    for number, line in enumerate(script.split("\n"), 1):
        if waiting:
            dash, word = waiting[0]
            if (line.lstrip("\t") if dash else line).rstrip("\r") == word:
                waiting.pop(0)
            continue
        if line.lstrip().startswith("#"):
            continue
        yield number, line
        # Shifts of numbers, and what is quoted, begin none.
        bare = re.sub(r"\$\(\([^\n]*?\)\)|(?<!<)(?<!<-)'[^'<]*'", "", line[:_WIDTH])
        for match in _HERE.finditer(bare):
            waiting.append((match[1], match[2] or match[3] or match[4]))
