# SPDX-License-Identifier: GPL-2.0-or-later
"""Rules on the other files of control.tar: triggers, templates, shlibs, symbols, unknown ones."""

from __future__ import annotations

import re
from collections.abc import Iterator

from builders.debkit.audit.facts import Facts
from builders.debkit.audit.model import Found, Needs, Severity, rule
from builders.debkit.deb.metadata import NAME_LIMIT, lines_of, read_templates, read_triggers

# deb(5) and what debhelper and the installer add.
_FILES = frozenset(
    [
        *("control", "md5sums", "conffiles", "triggers", "templates", "shlibs", "symbols"),
        *("preinst", "postinst", "prerm", "postrm", "config", "clilibs", "isinstallable"),
        *("menutest", "netselect", "override", "extrainst_", "sha256sums"),
    ]
)


@rule(
    "trigger-syntax",
    Severity.ERROR,
    explanation="triggers has a line that dpkg does not read. dpkg cannot unpack the package, or"
    " afterwards can unpack nothing any more.",
    reference="deb-triggers(5)",
    remedy="write it as: activate-noawait name, or interest-noawait /path",
    needs=Needs.CONTROL,
)
def _trigger_syntax(facts: Facts) -> Iterator[Found]:
    content, tools = facts.files.get("triggers", b""), facts.expectations.tools
    for fault in read_triggers(content, tools.dpkg)[1]:
        yield Found(fault.message, "triggers", None if fault.refused else Severity.WARNING)


@rule(
    "templates-syntax",
    Severity.ERROR,
    explanation="debconf cannot read templates: it stops with an error before the package is"
    " configured. What debconf reads and cannot ask is a warning.",
    reference="debconf-devel(7), po-debconf(7)",
    remedy="begin each template with Template:, and have one blank line between two",
    needs=Needs.CONTROL,
)
def _templates_syntax(facts: Facts) -> Iterator[Found]:
    for fault in read_templates(facts.files.get("templates", b""))[1]:
        if facts.udeb and not fault.refused:
            continue  # cdebconf knows more fields
        yield Found(fault.message, "templates", None if fault.refused else Severity.WARNING)


@rule(
    "debconf-use",
    Severity.WARNING,
    explanation="The package asks by debconf and does not depend on it (or on cdebconf), or it"
    " has a config script and no templates to ask.",
    reference="Policy 3.9.1, 7.2; debconf-devel(7)",
    remedy="Depends: debconf (>= 0.5) | debconf-2.0; ship templates",
    needs=Needs.CONTROL,
)
def _debconf_use(facts: Facts) -> Iterator[Found]:
    if facts.udeb:
        return
    if "config" in facts.files and "templates" not in facts.files:
        yield Found("is there without templates", "config")
    asks = {"config", "templates"} & facts.files.keys()
    needed = facts.relations("Pre-Depends", "Depends")
    if asks and not any("debconf" in name for name in (*needed, facts.name)):
        yield Found("is there, but Depends names no debconf", min(asks, key=len))


@rule(
    "control-tar-file",
    Severity.WARNING,
    explanation="control.tar has a file whose name dpkg does not take (an error), keeps for a"
    " file of its own, or does not know (a note).",
    reference="deb(5), Policy 6.1",
    remedy="take it out",
    needs=Needs.CONTROL,
)
def _control_tar_file(facts: Facts) -> Iterator[Found]:
    for name in facts.files:
        if "." in name:
            yield Found("has a dot in its name, and is not installed", name, Severity.INFO)
        elif len(name.encode("utf-8", "surrogateescape")) > NAME_LIMIT:
            yield Found(f"has a name of over {NAME_LIMIT} bytes", name, Severity.ERROR)
        elif name == "list":
            yield Found("is what dpkg makes itself", name)
        elif name not in _FILES:
            yield Found("is none that anybody knows", name, Severity.INFO)


# dpkg-shlibdeps(1): type, library, version, relations.
_SHLIB = re.compile(r"\s*(?:\S+:\s+)?\S+\s+\S+(?:\s+\S.*)?\s*")


@rule(
    "shlibs-form",
    Severity.WARNING,
    explanation="dpkg-shlibdeps cannot use a line of shlibs or symbols: packages that are built"
    " with the library get no relation to it. The package itself can be installed.",
    reference="deb-shlibs(5), deb-symbols(5)",
    remedy="write it as: library version package (>= version)",
    needs=Needs.CONTROL,
)
def _shlibs_form(facts: Facts) -> Iterator[Found]:
    for number, line in enumerate(_lines(facts, "shlibs"), 1):
        if line.strip() and not line.lstrip().startswith("#") and not _SHLIB.fullmatch(line):
            yield Found(f"line {number} is none of shlibs: {line[:60]!r}", "shlibs")
    library = False
    for number, line in enumerate(_lines(facts, "symbols"), 1):
        if not line.strip() or line.startswith("#"):
            continue
        if line[0] in "|*":
            good = library
        elif line[0] == " ":
            good = library and len(line.split(maxsplit=1)) == 2
        else:
            library = good = len(line.split(maxsplit=1)) == 2
        if not good:
            yield Found(f"line {number} is none of symbols: {line[:60]!r}", "symbols")
            return


def _lines(facts: Facts, name: str) -> Iterator[str]:
    for line in lines_of(facts.files.get(name, b"")):
        yield line.decode("utf-8", "replace")
