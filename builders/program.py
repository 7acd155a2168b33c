# SPDX-License-Identifier: GPL-2.0-or-later
"""Invoke's program with the project's verbs, as ./inv starts it.

Invoke knows no argument that may be given any number of times without a flag.
So that `inspect a.deb b.deb` works, each word after the verb that is no option
is handed on as `--path`. Plain `invoke` takes `inspect --path a.deb`.
"""

from __future__ import annotations

import re
import shlex
import sys
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, NoReturn

from builders import VERSION, ends
from builders.errors import BuildError, Exit
from builders.show import face
from builders.verbs import catalogue

if TYPE_CHECKING:
    from invoke.collection import Collection
    from invoke.parser.argument import Argument
    from invoke.parser.context import ParserContext


def spread(words: Sequence[str], verbs: Mapping[str, Container[str]]) -> list[str]:
    """The command line with the free words of a verb that takes paths made `--path=WORD`.

    After `--` every word is one (XBD 12.2, guideline 10).
    verbs: of each verb that takes paths, the options that have a value, as `paths` tells them.
    """
    spread: list[str] = []
    verb, value = "", False
    for at, word in enumerate(words):
        if verb and not value and word == "--":
            # ./ before a dash: Invoke looks for options in values too.
            return spread + [
                f"--path={'./' * path.startswith('-')}{path}" for path in words[at + 1 :]
            ]
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
    if words[:2] == ["--complete", "--"]:
        return _complete(words[2:])
    words = words[1:] if words[:1] == ["--"] else words
    _filled(words)
    words = [*map(catalogue.plain, words[:1]), *words[1:]]
    words = _judge(words)
    about = _about(words)
    if about is not None:
        face.show(about)
        return int(Exit.DONE)
    if words[:1] == ["inspect"]:
        from builders.verbs import quick

        command = catalogue.VERBS["inspect"]
        given = quick.read(words[1:], command.options)
        if given is not None:
            return command.run(**given)
    return _invoke(words)


def _filled(words: Sequence[str]) -> None:
    """BuildError for an empty word or value: Invoke takes it for one that is not given.

    `clean --old --recipe "$RECIPE"` would clean every recipe, where that variable is unset.
    """
    for before, word in zip(["./inv", *words], words, strict=False):
        if not word or re.fullmatch(r"--[a-z0-9-]+=", word):
            raise BuildError(
                f"the word after {before} is empty" if not word else f"{word} has no value",
                hint="leave it out, or see whether a variable of the shell is unset",
            )


def _judge(words: list[str]) -> list[str]:
    """The words of `bisect` with those after `--` as one: the verb that judges."""
    if words[:1] != ["bisect"] or "--" not in words:
        return words
    at = words.index("--")
    if at + 1 == len(words):
        raise BuildError(
            "no verb after --", hint="such as: ./inv bisect ... -- boot-test --check assignable"
        )
    return [*words[:at], f"--judge={shlex.join(words[at + 1 :])}"]


def _complete(words: Sequence[str]) -> int:
    """Say what the last word may become, a line each; nobody reads an error here."""
    from builders.verbs.candidates import candidates

    face.show("\n".join(f"{word}\t{about}" for word, about in candidates(words)))
    return int(Exit.DONE)


_HELP = ("--help", "-h")


def _about(words: Sequence[str]) -> str | None:
    """What ./inv says of itself, where it is asked for that; None where it is not."""
    from builders.verbs import pages

    first, rest = (words[0], words[1:]) if words else ("help", [])
    rest = rest[: rest.index("--")] if "--" in rest else rest
    if first in ("--list", "-l"):
        return pages.listing()
    if first in ("--version", "-V"):
        return f"dom0-debs {VERSION}"
    if first in ("help", *_HELP):
        if not rest:
            return pages.page()
        name = catalogue.plain(rest[0])
        if name not in catalogue.VERBS:
            raise _unknown(name, catalogue.VERBS)
        return pages.verb(catalogue.VERBS[name], face.width())
    if first in catalogue.VERBS and any(word in _HELP for word in rest):
        return pages.verb(catalogue.VERBS[first], face.width())
    return None


def _invoke(words: list[str]) -> int:
    from invoke.collection import Collection
    from invoke.exceptions import ParseError
    from invoke.program import Program

    import tasks

    whole = Collection.from_module(tasks)
    namespace = _named(whole, words)

    class Verbs(Program):
        """The verbs; what is wrong with a command line is said as every other error."""

        def core_args(self) -> list[Argument]:
            return [_aside(argument) for argument in super().core_args()]

        def task_args(self) -> list[Argument]:
            return [_aside(argument) for argument in super().task_args()]

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
                raise _mistake(str(error), error.context, words) from None

    line = spread(words, paths(namespace))
    if "--" in line:
        raise BuildError("-- may stand before paths alone", hint=_VERBS)
    _known(line)
    program = Verbs(
        version=VERSION,
        name="dom0-debs",
        binary="inv",
        binary_names=["inv"],
        namespace=namespace,
    )
    try:
        program.run([sys.argv[0], *line])
    except SystemExit as leaving:
        if leaving.code == 1 and ends.asked():  # what Invoke makes of a KeyboardInterrupt
            raise KeyboardInterrupt from None
        return leaving.code if isinstance(leaving.code, int) else int(bool(leaving.code))
    return int(Exit.DONE)


def _aside(argument: Argument) -> Argument:
    """An option of Invoke's own, such as --hide or -e, out of the way of the verbs' options."""
    name = argument.names[0]
    argument.names = (f"invoke-{name}",)
    argument.attr_name = name
    return argument


def _named(whole: Collection, words: Sequence[str]) -> Collection:
    """The tasks that are among the words: their options alone are then loaded. All if none is."""
    from invoke.collection import Collection

    some = Collection()
    for word in words:
        if word in whole.task_names and word not in some.task_names:
            some.add_task(whole[word], word)
    return some if some.task_names else whole


def _mistake(said: str, context: ParserContext | None, words: Sequence[str]) -> BuildError:
    """The error for a command line that Invoke's parser refused with the words `said`."""
    from builders.pipeline.recipe import names

    verb = context.name if context and context.name else ""
    unknown = re.fullmatch(r"No idea what (['\"])(.*)\1 is!", said, re.DOTALL)
    word = unknown[2] if unknown else ""
    see = _see(verb)
    if valueless := re.match(r"Flag <\w+: ([\w-]+).*> needed value", said):
        return BuildError(f"{verb}: --{valueless[1].replace('_', '-')} needs a value", hint=see)
    if missing := re.search(r"did not receive required positional arguments: (.+)", said):
        word = missing[1].strip("'").upper()
        return BuildError(f"{verb} needs a {word}", hint=see)
    if not unknown:
        return BuildError(f"{verb}: {said}" if verb else said, hint=see)
    if word.startswith("-"):
        flag = word.partition("=")[0]
        flags = ["--help", "--list", "--version"]
        if verb and context:
            flags = [flag for flag in context.flags if flag.startswith("--")]
        later = next((w for w in words if w in catalogue.VERBS), "")
        if not verb and later and flag in _flags(later):
            return BuildError(f"{flag} comes after its verb", hint=f"./inv {later} {flag} ...")
        return _no_option(verb, flag, flags)
    if verb and word in names():
        return BuildError(f"{verb} takes no word {word}", hint=f"./inv {verb} --recipe {word}")
    if verb:
        return BuildError(f"{verb} takes no word {word}", hint=see)
    return _unknown(word, catalogue.VERBS)


_VERBS = "./inv --list shows the verbs"


def _see(verb: str) -> str:
    return f"./inv help {verb} shows its options" if verb else _VERBS


def _no_option(verb: str, flag: str, flags: Sequence[str]) -> BuildError:
    from builders.pipeline.recipe.schema import nearest

    if flag == "--no-setup":  # of the script ./inv
        return BuildError(f"{flag} comes before the verb", hint=f"./inv {flag} {verb} ...")
    return BuildError(
        f"{verb or './inv'} has no option {flag}{nearest(flag, flags)}", hint=_see(verb)
    )


def _known(words: Sequence[str]) -> None:
    """BuildError for an option that a verb has not, which Invoke would take for its word."""
    verb = words[0] if words else ""
    if verb not in catalogue.VERBS:
        return
    options = catalogue.VERBS[verb].options.values()
    if not any(option.required for option in options):
        return
    valued = {f for o in options if o.kind is not bool for f in (o.flag, f"-{o.short}")}
    flags = [f"--{name}" for o in options for name in (o.long, *o.hidden)]
    value = False
    for word in words[1:]:
        flag = word.partition("=")[0]
        if not value and flag.startswith("--") and flag not in flags:
            raise _no_option(verb, flag, [option.flag for option in options])
        value = not value and word in valued


def _unknown(name: str, verbs: Iterable[str]) -> BuildError:
    from builders.pipeline.recipe.schema import nearest

    near = nearest(name.rpartition(".")[2].lower().replace("_", "-"), [*verbs, "help"])
    return BuildError(f"there is no verb {name}{near}", hint=_VERBS)


def _flags(verb: str) -> set[str]:
    options = catalogue.VERBS[verb].options.values()
    return {name for option in options for name in (option.flag, f"-{option.short}")}
