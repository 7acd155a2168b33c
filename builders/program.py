# SPDX-License-Identifier: GPL-2.0-or-later
"""Invoke's program with the project's verbs, as ./inv starts it.

Invoke knows no argument that may be given any number of times without a flag.
So that `inspect a.deb b.deb` works, each word after the verb that is no option
is handed on as `--path`. Plain `invoke` takes `inspect --path a.deb`.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from invoke.collection import Collection
from invoke.program import Program

VERSION = "0.1.0"
_WITH_PATHS = {"inspect", "check", "install-test"}
_WITH_VALUE = {"-f", "--format", "--flavour", "-o", "-r", "--recipe", "-s", "--set", "-p", "--path"}


def spread(words: Sequence[str]) -> list[str]:
    """The command line with the free words of a verb that takes paths made `--path=WORD`."""
    spread: list[str] = []
    taking = value = False
    for word in words:
        if taking and not value and word != "-" and not word.startswith("-"):
            spread.append(f"--path={word}")
        else:
            spread.append(word)
            value = taking and word in _WITH_VALUE
            taking = taking or (word in _WITH_PATHS)
            continue
        value = False
    return spread


def main() -> None:
    """Run the verb that the command line names."""
    import tasks

    program = Program(
        version=VERSION,
        name="dom0-debs",
        binary="inv",
        binary_names=["inv"],
        namespace=Collection.from_module(tasks),
    )
    program.run([sys.argv[0], *spread(sys.argv[1:])])
