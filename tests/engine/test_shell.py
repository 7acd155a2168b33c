# SPDX-License-Identifier: GPL-2.0-or-later
"""Interactive shells, as a person has them: on a terminal."""

from __future__ import annotations

import os
import pty
import select
import time

from builders import ROOT

from .conftest import FILES, Box


class Person:
    """Somebody at a terminal who runs the tool, reads and types."""

    def __init__(self, box: Box, *arguments: str) -> None:
        self.seen = ""
        self.status = -1
        self._pid, self._terminal = pty.fork()
        if self._pid == 0:
            recipe = ["--recipe", str(box.recipe), "--set", FILES]
            command = [str(ROOT / "inv"), *arguments, *recipe]
            os.execve(command[0], command, box.environment(TERM="xterm"))  # noqa: S606

    def wait_for(self, text: str, seconds: float = 60) -> None:
        deadline = time.monotonic() + seconds
        while text not in self.seen:
            assert time.monotonic() < deadline, f"{text!r} was not seen in: {self.seen}"
            if select.select([self._terminal], [], [], 0.5)[0]:
                self.seen += self._read()

    def _read(self) -> str:
        try:
            return os.read(self._terminal, 65536).decode("utf-8", "replace")
        except OSError:  # Linux: the other end was closed
            return ""

    def types(self, text: str) -> None:
        os.write(self._terminal, text.encode())

    def leaves(self) -> int:
        while chunk := self._read():
            self.seen += chunk
        _, status = os.waitpid(self._pid, 0)
        os.close(self._terminal)
        return os.waitstatus_to_exitcode(status)


def test_a_shell_in_the_builder_with_a_tree(box: Box) -> None:
    out = box.folder / "my.patch"
    person = Person(box, "shell", "--tree", "xen", "--patch-out", str(out))
    person.wait_for("$ ")
    person.types("sed -i s,int,long, xl.c; echo new >new.txt; echo x >x.o\n")
    person.types("echo in-$(pwd)-as-$(id -u); ls; stty size; exit 3\n")
    person.wait_for("in-/build/tree-as-1000")
    assert person.leaves() == 3
    assert "Makefile" in person.seen
    # What was changed there is a patch, and builds.
    assert "2 file(s) changed" in person.seen
    assert "+++ b/new.txt" in out.read_text()
    box.xen_build = "grep -q new new.txt && grep -q long xl.c && make debball"
    box.write()
    done = box.run_tool("build-xen", "--set", FILES, "--patch", str(out))
    assert done.returncode == 0, done.stdout


def test_a_shell_where_a_step_failed(box: Box) -> None:
    box.xen_build = "echo half >made; false"
    box.write()
    person = Person(box, "build-xen", "--shell")
    person.wait_for("a shell in its container")
    person.wait_for("$ ")
    person.types("echo it-is-$(cat made)\n")
    person.wait_for("it-is-half")
    person.types("exit\n")
    assert person.leaves() == 5
    assert "xen-build: build failed with status 1" in person.seen
