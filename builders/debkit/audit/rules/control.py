# SPDX-License-Identifier: GPL-2.0-or-later
"""Rules on the control file."""

from __future__ import annotations

import re
from collections.abc import Iterator

from builders.debkit.audit.facts import Facts
from builders.debkit.audit.model import Found, Needs, Severity, rule
from builders.debkit.deb.fields import field_faults, relation_faults
from builders.debkit.deb.relations import Group, read_relations


@rule(
    "control-field",
    Severity.ERROR,
    explanation="A field that every binary package needs is missing, or dpkg does not take a"
    " field's value: dpkg cannot unpack the package. What dpkg only warns of is a"
    " warning.",
    reference="Policy 5.3, 5.6; deb-control(5), dpkg-architecture(1)",
    remedy="state it in the recipe's corrections",
    needs=Needs.CONTROL,
)
def _control_field(facts: Facts) -> Iterator[Found]:
    for fault in field_faults(facts.control):
        yield Found(
            f"{fault.subject} {fault.message}",
            severity=None if fault.refused else Severity.WARNING,
        )
    maintainer = facts.control.get("Maintainer", "")
    if maintainer and not _NAMED.search(maintainer):
        yield Found(
            f"Maintainer {maintainer!r} is not of the form Name <address> (Policy 5.6.2)",
            severity=Severity.WARNING,
        )


_NAMED = re.compile(r"\S ?<[^<>@\s]+@[^<>@\s]+>$")


@rule(
    "control-form",
    Severity.WARNING,
    explanation="The control file is odd in a way that dpkg accepts; other programs may not.",
    reference="Policy 5.1, deb-control(5)",
    remedy="write each field as Name: value, in UTF-8, with further lines indented",
    needs=Needs.CONTROL,
)
def _control_form(facts: Facts) -> Iterator[Found]:
    for blemish in facts.control.blemishes:
        yield Found(blemish)


# deb-control(5), Policy 5.3, and what dpkg-gencontrol, debhelper and the archive add.
_FIELDS = frozenset(
    [
        "package",
        "package-type",
        "source",
        "version",
        "kernel-version",
        "built-using",
        "static-built-using",
        "architecture",
        "subarchitecture",
        "maintainer",
        "original-maintainer",
        "uploaders",
        "installed-size",
        "pre-depends",
        "depends",
        "recommends",
        "suggests",
        "enhances",
        "conflicts",
        "breaks",
        "replaces",
        "provides",
        "section",
        "priority",
        "multi-arch",
        "essential",
        "protected",
        "important",
        "homepage",
        "description",
        "tag",
        "bugs",
        "origin",
        "build-ids",
        "build-essential",
        "auto-built-package",
        "ruby-versions",
        "python-version",
        "python-egg-name",
        "gstreamer-decoders",
        "gstreamer-elements",
        "gstreamer-encoders",
        "gstreamer-uri-sinks",
        "gstreamer-uri-sources",
        "gstreamer-version",
        "ghc-package",
        "lua-versions",
        "efi-vendor",
        "kernel-version",
        "installer-menu-item",
        "task",
        "go-import-path",
        "x-cargo-built-using",
        "testsuite",
        "postgresql-catalog",
        "cnf-extra-commands",
        "cnf-ignore-commands",
        "cnf-visible-pkgname",
        "cnf-priority-bonus",
        "config-version",
        "license",
        "vendor",
        "build-profiles",
        "modaliases",
        "python3-version",
        "optional",
    ]
)
_AREAS = frozenset(
    ["main", "contrib", "non-free", "non-free-firmware", "restricted", "universe", "multiverse"]
)
_SECTIONS = frozenset(
    [
        "admin",
        "cli-mono",
        "comm",
        "database",
        "debian-installer",
        "debug",
        "devel",
        "doc",
        "editors",
        "education",
        "electronics",
        "embedded",
        "fonts",
        "games",
        "gnome",
        "gnu-r",
        "gnustep",
        "golang",
        "graphics",
        "hamradio",
        "haskell",
        "httpd",
        "interpreters",
        "introspection",
        "java",
        "javascript",
        "kde",
        "kernel",
        "libdevel",
        "libs",
        "lisp",
        "localization",
        "mail",
        "math",
        "metapackages",
        "misc",
        "net",
        "news",
        "ocaml",
        "oldlibs",
        "otherosfs",
        "perl",
        "php",
        "python",
        "raku",
        "ruby",
        "rust",
        "science",
        "shells",
        "sound",
        "tasks",
        "tex",
        "text",
        "translations",
        "utils",
        "vcs",
        "video",
        "virtual",
        "web",
        "x11",
        "xfce",
        "zope",
    ]
)


@rule(
    "control-value",
    Severity.WARNING,
    explanation="A field has a value that it cannot have. A field that is missing though"
    " everybody expects it, Section or Priority, is a note.",
    reference="Policy 2.4, 2.5, 5.6",
    remedy="state it in the recipe's corrections",
    needs=Needs.CONTROL,
)
def _control_value(facts: Facts) -> Iterator[Found]:
    control = facts.control
    section = str(control.get("Section", "")).strip()
    if not section:
        yield Found("Section is missing", severity=Severity.INFO)
    else:
        area, _, name = section.rpartition("/")
        if name not in _SECTIONS or (area and area not in _AREAS):
            yield Found(f"Section {section!r} is none of the archive's (Policy 2.4)")
    if not str(control.get("Priority", "")).strip():
        yield Found("Priority is missing", severity=Severity.INFO)
    for name in ("Build-Essential", "Important"):
        if str(control.get(name, "no")).strip() not in ("yes", "no"):
            yield Found(f"{name} is neither yes nor no")
    homepage = str(control.get("Homepage", "")).strip()
    if homepage and not re.fullmatch(r"[a-z]+://[^\s<>]+", homepage):
        yield Found(f"Homepage {homepage!r} is no address (Policy 5.6.23)")
    address = re.search(r"<[^<>]*>", str(control.get("Maintainer", "")))
    _, at, host = address[0].strip("<>").rpartition("@") if address else ("", "", "")
    if at and re.search(r"(^|\.)(localhost|localdomain|local|lan|unknown|\(none\))$", host):
        yield Found(f"Maintainer has an address that no mail reaches: {address[0]}")  # type: ignore[index]


@rule(
    "unknown-field",
    Severity.INFO,
    explanation="dpkg and apt do not know this field, and pass it over.",
    reference="Policy 5.3, deb-control(5)",
    remedy="correct its name, or begin the name of one of your own with X-",
    needs=Needs.CONTROL,
)
def _unknown_field(facts: Facts) -> Iterator[Found]:
    for name in facts.control:
        lower = str(name).lower()
        known = lower in _FIELDS or lower.endswith("-built-using")
        if not known and not lower.startswith(("x-", "xb-", "cnf-", "gstreamer-")):
            yield Found(f"{name} is no field of a binary package")


@rule(
    "relation-syntax",
    Severity.ERROR,
    explanation="A field of relations is malformed: dpkg does not unpack the package. What dpkg"
    " warns of, or Policy does not allow, is a warning.",
    reference="Policy 7.1, deb-control(5)",
    remedy="write it as: name (>= version), other | another",
    needs=Needs.CONTROL,
)
def _relation_syntax(facts: Facts) -> Iterator[Found]:
    for fault in relation_faults(facts.control, facts.expectations.tools):
        yield Found(
            f"{fault.subject} {fault.message}",
            severity=None if fault.refused else Severity.WARNING,
        )


@rule(
    "relation-to-itself",
    Severity.WARNING,
    explanation="The package depends on itself; or it depends on what it conflicts with in every"
    " version, so that it can never be installed (an error).",
    reference="Policy 7.2, 7.4",
    remedy="take the relation out",
    needs=Needs.CONTROL,
)
def _relation_to_itself(facts: Facts) -> Iterator[Found]:
    def groups(*fields: str) -> Iterator[Group]:
        for field in fields:
            yield from read_relations(field, facts.control.get(field, ""))[0]

    # One with an architecture, as name:i386, is against a package of that one only.
    against = {str(group) for group in groups("Conflicts", "Breaks")}
    for group in groups("Depends", "Pre-Depends"):
        one = group.choices[0]
        if len(group.choices) > 1:
            continue
        if one.name == facts.name:
            yield Found(f"it depends on itself: {one}")
        elif one.name in against:
            yield Found(f"it depends on {one.name} and conflicts with it", severity=Severity.ERROR)


@rule(
    "description-form",
    Severity.WARNING,
    explanation="The description is not of the form that users see everywhere: one line of at"
    " most 80 characters that says what the package is, without its name, an article"
    " or a full stop; below it some lines about the package.",
    reference="Policy 3.4, 5.6.13",
    remedy="state a description in the recipe's corrections",
    needs=Needs.CONTROL,
)
def _description_form(facts: Facts) -> Iterator[Found]:
    text = str(facts.control.get("Description", ""))
    if not text.strip():
        return
    synopsis, _, rest = text.partition("\n")
    synopsis = synopsis.strip()
    if not synopsis:
        yield Found("the first line of Description is empty")
    if len(synopsis) > 80:
        yield Found(f"the first line of Description has {len(synopsis)} characters")
    if synopsis.lower() == facts.name.lower():
        yield Found("the first line of Description only says the package's name")
    if re.search(r"[^.]\.$", synopsis) and not synopsis.endswith(("etc.", "Inc.", "e.g.")):
        yield Found("the first line of Description ends in a full stop", severity=Severity.INFO)
    if not rest.strip() and not facts.name.endswith("-dbgsym") and not facts.udeb:
        yield Found("Description has one line only, and nothing about the package")
    if any(len(line) > 100 and " " in line.strip() for line in rest.split("\n")):
        yield Found("a line of Description has over 100 characters", severity=Severity.INFO)
    if re.search(r"(?i)insert (up to|long)|<insert |lorem ipsum|no description given", text):
        yield Found("Description is still that of a template")
