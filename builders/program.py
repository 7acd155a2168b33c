# SPDX-License-Identifier: GPL-2.0-or-later
"""Invoke's program with the project's verbs, as ./inv starts it.

Invoke knows no argument that may be given any number of times without a flag.
So that `inspect a.deb b.deb` works, each word after the verb that is no option
is handed on as `--path`. Plain `invoke` takes `inspect --path a.deb`.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Container, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, NoReturn

from builders import VERSION, ends
from builders.errors import BuildError, Exit
from builders.show import face
from builders.verbs import catalogue

if TYPE_CHECKING:
    from invoke.collection import Collection
    from invoke.parser.context import ParserContext


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


def main() -> NoReturn:
    """Run the verb that the command line names, and end the process with its exit status."""
    ends.streams()
    face.run(_run, sys.argv[1:])


def _run(words: list[str]) -> int:
    """The verb that the words name, and its exit status."""
    words = [*map(catalogue.plain, words[:1]), *words[1:]]
    if words[:1] == ["inspect"]:
        from builders.verbs import quick

        command = catalogue.VERBS["inspect"]
        given = quick.read(words[1:], command.options)
        if given is not None:
            return command.run(**given)
    return _invoke(words)


def _invoke(words: list[str]) -> int:
    from invoke.collection import Collection
    from invoke.exceptions import ParseError
    from invoke.program import Program

    import tasks

    whole = Collection.from_module(tasks)
    namespace = _named(whole, words)

    class Verbs(Program):
        """The verbs; what is wrong with a command line is said as every other error."""

        def parse_core(self, argv: list[str] | None) -> None:
            with self._usage():
                super().parse_core(argv)

        def parse_tasks(self) -> None:
            with self._usage():
                super().parse_tasks()

        def parse_cleanup(self) -> None:
            with self._usage():
                super().parse_cleanup()

        @contextmanager
        def _usage(self) -> Iterator[None]:
            try:
                yield
            except ParseError as error:
                raise _mistake(str(error), error.context, whole) from None

    program = Verbs(
        version=VERSION,
        name="dom0-debs",
        binary="inv",
        binary_names=["inv"],
        namespace=namespace,
    )
    if words[:1] == ["help"]:
        words = ["--help", *words[1:2]] if words[1:] else ["--list"]
    if words[1:] in (["--help"], ["-h"]):  # where a verb has a free word, Invoke takes it for that
        words.reverse()
    try:
        program.run([sys.argv[0], *spread(words, paths(namespace))])
    except SystemExit as leaving:
        if leaving.code == 1 and ends.asked():  # what Invoke makes of a KeyboardInterrupt
            raise KeyboardInterrupt from None
        return leaving.code if isinstance(leaving.code, int) else int(bool(leaving.code))
    return int(Exit.DONE)


def _named(whole: Collection, words: Sequence[str]) -> Collection:
    """The tasks that are among the words: their options alone are then loaded. All if none is."""
    from invoke.collection import Collection

    some = Collection()
    for word in words:
        if word in whole.task_names and word not in some.task_names:
            some.add_task(whole[word], word)
    return some if some.task_names else whole


def _mistake(said: str, context: ParserContext | None, namespace: Collection) -> BuildError:
    """The error for a command line that Invoke's parser refused with the words `said`."""
    from builders.pipeline.recipe import names
    from builders.pipeline.recipe.schema import nearest

    verb = context.name if context and context.name else ""
    unknown = re.fullmatch(r"No idea what (['\"])(.*)\1 is!", said, re.DOTALL)
    word = unknown[2] if unknown else ""
    see = f"./inv {verb} --help shows its options" if verb else "./inv --list shows the verbs"
    if valueless := re.match(r"Flag <Option: ([\w-]+).*> needed value", said):
        return BuildError(f"{verb}: --{valueless[1]} needs a value", hint=see)
    if not unknown:
        return BuildError(f"{verb}: {said}" if verb else said, hint=see)
    if word.startswith("-"):
        flag = word.partition("=")[0]
        flags = [flag for flag in context.flags if flag.startswith("--")] if context else []
        return BuildError(f"{verb or './inv'} has no option {flag}{nearest(flag, flags)}", hint=see)
    if verb and word in names():
        return BuildError(f"{verb} takes no word {word}", hint=f"./inv {verb} --recipe {word}")
    verbs = [name for name in namespace.task_names if name]
    return BuildError(
        f"there is no verb {word}{nearest(word, verbs)}", hint="./inv --list shows the verbs"
    )
