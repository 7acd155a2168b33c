# SPDX-License-Identifier: GPL-2.0-or-later
"""Invoke's program with the project's verbs, as ./inv starts it.

Invoke knows no argument that may be given any number of times without a flag.
So that `inspect a.deb b.deb` works, each word after the verb that is no option
is handed on as `--path`. Plain `invoke` takes `inspect --path a.deb`.
"""

from __future__ import annotations

import sys
from collections.abc import Container, Mapping, Sequence
from typing import TYPE_CHECKING

from builders import VERSION

if TYPE_CHECKING:
    from invoke.collection import Collection


def spread(words: Sequence[str], verbs: Mapping[str, Container[str]]) -> list[str]:
    """The command line with the free words of a verb that takes paths made `--path=WORD`.

    verbs: of each verb that takes paths, the options that have a value, as `paths` tells them.
    """
    spread: list[str] = []
    verb, value = "", False
    for word in words:
        if verb and not value and not word.startswith("-"):
            spread.append(f"--path={word}")
            continue
        spread.append(word)
        value = bool(verb) and not value and word in verbs[verb]
        if not verb and word in verbs:
            verb = word
    return spread


def paths(namespace: Collection) -> dict[str, set[str]]:
    """The verbs that take paths, each with its options that have a value."""
    from invoke.parser.context import to_flag

    found: dict[str, set[str]] = {}
    for name in namespace.task_names:
        arguments = namespace[name].get_arguments()
        if any("path" in a.names for a in arguments):
            found[name] = {to_flag(n) for a in arguments if a.takes_value for n in a.names}
    return found


def main() -> None:
    """Run the verb that the command line names."""
    words = sys.argv[1:]
    if words[:1] == ["inspect"]:
        from builders import face
        from builders.verbs import quick

        options = quick.options(words[1:])
        if options is not None:
            sys.exit(face.status(quick.inspect, **options))
    _invoke(words)


def _invoke(words: list[str]) -> None:
    from invoke.collection import Collection
    from invoke.program import Program

    import tasks

    namespace = Collection.from_module(tasks)
    program = Program(
        version=VERSION,
        name="dom0-debs",
        binary="inv",
        binary_names=["inv"],
        namespace=namespace,
    )
    if words[1:] in (["--help"], ["-h"]):  # where a verb has a free word, Invoke takes it for that
        words.reverse()
    program.run([sys.argv[0], *spread(words, paths(namespace))])
