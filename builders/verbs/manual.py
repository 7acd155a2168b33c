# SPDX-License-Identifier: GPL-2.0-or-later
"""The manual page docs/inv.1, made from the help of the verbs (man(7)).

`python -m tests.documents` writes it anew; tests/unit/test_manual.py holds it equal.
"""

from __future__ import annotations

from collections.abc import Iterator

from builders import VERSION
from builders.errors import Exit
from builders.verbs.catalogue import GROUPS, VERBS
from builders.verbs.command import Command
from builders.verbs.option import Option
from builders.verbs.pages import START, ordered

STATUSES = {
    Exit.DONE: "done",
    Exit.AUDIT: "something was found: by the audit, a trial, verify, reproduce or rebuild",
    Exit.USAGE: "the command line, a recipe, or another file that is named",
    Exit.SOURCE: "a source could not be fetched or verified",
    Exit.ENGINE: "the engine or the box; the result could not be written",
    Exit.STEP: "a build step failed",
    Exit.BUG: "a bug of this tool; the error names a file with the traceback",
    Exit.HUNG_UP: "the terminal is gone",
    Exit.INTERRUPTED: "ended by Ctrl-C",
    Exit.UNREAD: "whoever read the output left in the middle of the work",
    Exit.TERMINATED: "ended by SIGTERM",
}
_ENVIRONMENT = {
    "DOM0_DEBS_ARTIFACTS": "the folder of what is built, in place of artifacts/ of the project",
    "DOM0_DEBS_MIRROR": "where the suites are served, if not where the box gets its own packages",
    "DOM0_DEBS_SECURITY_MIRROR": "the same for security updates",
    "DOM0_DEBS_SNAPSHOT": "the archive of all days that a locked build asks for what the mirror "
    "has dropped, if not https://snapshot.debian.org/archive",
    "DOM0_DEBS_SETUP": "no: install and start nothing on the box, as --no-setup before the verb",
    "DOCKER_HOST": "the container engine",
    "DEBEMAIL": "with DEBFULLNAME, the maintainer of the packages",
    "SOURCE_DATE_EPOCH": "the time of a package of your own that finish corrects",
    "XDG_CONFIG_HOME": "what holds where a command line says nothing is in it, in dom0-debs.toml",
    "XDG_CACHE_HOME": "the sources are kept below it, in dom0-debs",
    "XDG_STATE_HOME": "tracebacks of bugs are kept below it, in dom0-debs",
    "NO_COLOR": "no colour, whatever it says",
}


def page() -> str:
    """The manual page as man(7) source."""
    return "\n".join(_lines()) + "\n"


def _lines() -> Iterator[str]:
    yield '.\\" SPDX-License-Identifier: GPL-2.0-or-later'
    yield '.\\" Made by python -m tests.documents; change the options of the verbs instead.'
    yield f'.TH INV 1 "" "dom0-debs {VERSION}" "dom0-debs"'
    yield ".SH NAME"
    yield _text("inv - build Debian packages of Xen and of a dom0 kernel")
    yield ".SH SYNOPSIS"
    for words in ("", "--list", "help VERB", "VERB [OPTIONS]"):
        yield ".br" if words else ".nh"
        yield f"{_bold('./inv')} {_text(words)}".rstrip()
    yield ".hy"
    yield ".SH DESCRIPTION"
    yield _text("Fetches pinned upstream sources, builds them in a clean container without network")
    yield _text("and privilege, corrects, audits and tries the packages, and publishes them.")
    yield _text("A recipe says what is built. Begin with:")
    yield ".PP"
    yield f".EX\n{_text(START)}\n.EE"
    for group in GROUPS:
        yield f'.SH "{_text(group.title.upper())}"'
        for name in group.names:
            yield from _verb(VERBS[name], group.dotted(name) if group.collection else "")
    yield '.SH "EXIT STATUS"'
    for status, meaning in STATUSES.items():
        yield f".TP\n{_bold(str(int(status)))}\n{_text(meaning)}"
    yield ".SH ENVIRONMENT"
    for variable, meaning in _ENVIRONMENT.items():
        yield f".TP\n{_bold(variable)}\n{_text(meaning)}"
    yield ".SH FILES"
    for path, meaning in (
        ("configs/recipes/", "the recipes"),
        ("artifacts/RECIPE/", "the packages of a recipe, their manifest, logs and stages"),
    ):
        yield f".TP\n{_bold(path)}\n{_text(meaning)}"
    yield '.SH "SEE ALSO"'
    yield _text("README.md and docs/ of the project; deb(5), xl(1), lintian(1), piuparts(1)")


def _verb(command: Command, dotted: str) -> Iterator[str]:
    words = [o.value if o.required else f"[{o.value}]..." for o in _words(command)]
    yield f'.SS "{_text(" ".join([command.name, *words, "[OPTIONS]"]))}"'
    for n, paragraph in enumerate(command.about.split("\n\n")):
        if n:
            yield ".PP"
        yield _text(" ".join(paragraph.split()))
    if dotted:
        yield _text(f"Also {dotted}.")
    for option in ordered(command):
        yield ".TP"
        yield _flags(option)
        yield _text(option.help)


def _words(command: Command) -> list[Option]:
    return [option for option in command.options.values() if option.required or option.words]


def _flags(option: Option) -> str:
    if option.required or option.words:
        return _italic(option.value)
    names = [f"-{option.short}"] if option.short else []
    names = [_bold(name) for name in (*names, option.flag)]
    return f"{', '.join(names)} {_italic(option.value) if option.value else ''}".rstrip()


def _bold(words: str) -> str:
    return f"\\fB{_text(words)}\\fR"


def _italic(words: str) -> str:
    return f"\\fI{_text(words)}\\fR"


def _text(words: str) -> str:
    """Words as troff reads them: a hyphen that is typed stays one, and no line is a request."""
    escaped = words.replace("\\", "\\e").replace("-", "\\-").replace('"', "\\(dq")
    escaped = escaped.replace("'", "\\(aq").replace("`", "\\(ga")
    return f"\\&{escaped}" if escaped.startswith(".") else escaped
