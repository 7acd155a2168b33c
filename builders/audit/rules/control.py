# SPDX-License-Identifier: GPL-2.0-or-later
"""Rules on the control file."""

from __future__ import annotations

import re
from collections.abc import Iterator

from debian.debian_support import Version

from builders.audit.facts import Facts
from builders.audit.model import Found, Needs, Severity, rule
from builders.deb.relations import RELATIONS


@rule(
    "control-field",
    Severity.ERROR,
    explanation="A field that every binary package has to have is missing or malformed.",
    reference="Policy 5.3, 5.6",
    remedy="state it in the recipe's corrections",
    needs=Needs.CONTROL,
)
def _control_field(facts: Facts) -> Iterator[Found]:
    def value(name: str) -> str:
        return str(facts.control.get(name, "")).strip()

    for name in ("Package", "Version", "Architecture", "Maintainer", "Description"):
        if not value(name):
            yield Found(f"{name} is missing")
    if value("Package") and not re.fullmatch(r"[a-z0-9][a-z0-9+.-]+", value("Package")):
        yield Found(f"Package {value('Package')!r} is no package name (Policy 5.6.1)")
    if value("Version") and not _valid_version(value("Version")):
        yield Found(f"Version {value('Version')!r} is no version (deb-version(7))")
    if value("Architecture") and not re.fullmatch(r"[a-z0-9][a-z0-9-]*", value("Architecture")):
        yield Found(f"Architecture {value('Architecture')!r} is none (Policy 5.6.8)")
    if value("Maintainer") and not re.search(r"\S\s*<[^<>@\s]+@[^<>@\s]+>$", value("Maintainer")):
        yield Found(
            f"Maintainer {value('Maintainer')!r} is not of the form Name <address> (Policy 5.6.2)",
            severity=Severity.WARNING,
        )


def _valid_version(text: str) -> bool:
    try:
        Version(text)
    except ValueError:
        return False
    return bool(re.match(r"([0-9]+:)?[0-9]", text)) and not text.endswith("-")


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
_PRIORITIES = frozenset(["required", "important", "standard", "optional", "extra"])
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
    explanation="A field has a value that it cannot have, or one that everybody expects is missing"
    " (Section and Priority; a note).",
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
    priority = str(control.get("Priority", "")).strip()
    if not priority:
        yield Found("Priority is missing", severity=Severity.INFO)
    elif priority not in _PRIORITIES:
        yield Found(f"Priority {priority!r} is none (Policy 2.5)")
    multi = str(control.get("Multi-Arch", "no")).strip()
    if multi not in ("no", "same", "foreign", "allowed"):
        yield Found(f"Multi-Arch {multi!r} is none (deb-control(5))")
    elif multi == "same" and control.get("Architecture", "").strip() == "all":
        yield Found("Multi-Arch: same makes no sense for Architecture: all")
    if str(control.get("Essential", "no")).strip() not in ("yes", "no"):
        yield Found("Essential is neither yes nor no")
    homepage = str(control.get("Homepage", "")).strip()
    if homepage and not re.fullmatch(r"[a-z]+://[^\s<>]+", homepage):
        yield Found(f"Homepage {homepage!r} is no address (Policy 5.6.23)")
    address = re.search(r"<[^<>]*@([^<>]*)>", str(control.get("Maintainer", "")))
    if address and re.search(
        r"(^|\.)(localhost|localdomain|local|lan|unknown|\(none\))$", address[1]
    ):
        yield Found(f"Maintainer has an address that no mail reaches: {address[0]}")


@rule(
    "unknown-field",
    Severity.INFO,
    explanation="dpkg and apt do not know this field, and pass over it.",
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


RELATION = re.compile(
    r"(?P<name>[a-zA-Z0-9][a-zA-Z0-9+.-]+)(?::(?P<arch>[a-z0-9-]+))?"
    r"(?:\s*\(\s*(?P<op><<|<=|=|>=|>>|<|>)\s*(?P<version>[^()\s]+)\s*\))?"
)


@rule(
    "relation-syntax",
    Severity.ERROR,
    explanation="A field of relations is malformed: dpkg does not install the package, or takes it"
    " for something else than was meant.",
    reference="Policy 7.1, deb-control(5)",
    remedy="write it as: name (>= version), other | another",
    needs=Needs.CONTROL,
)
def _relation_syntax(facts: Facts) -> Iterator[Found]:
    for field in RELATIONS:
        value = str(facts.control.get(field, ""))
        if not value.strip():
            continue
        for group in value.split(","):
            parts = group.split("|")
            if len(parts) > 1 and field in (
                "Conflicts",
                "Breaks",
                "Replaces",
                "Provides",
                "Enhances",
            ):
                yield Found(f"{field} has an alternative, which it cannot: {group.strip()}")
            for part in parts:
                text = part.strip()
                match = RELATION.fullmatch(text)
                if not match:
                    if text or group is not value.split(",")[-1]:
                        yield Found(f"{field} has {text!r}, which is no relation")
                elif match["op"] in ("<", ">"):
                    yield Found(
                        f"{field} has {text!r}; that means {match['op']}=, and is obsolete",
                        severity=Severity.WARNING,
                    )
                elif match["version"] and not _valid_version(match["version"]):
                    yield Found(f"{field} has {text!r}, whose version is none")
                elif field == "Provides" and match["op"] not in (None, "="):
                    yield Found(f"Provides has {text!r}, which can only be (= version)")


@rule(
    "relation-to-itself",
    Severity.WARNING,
    explanation="The package needs itself, or (an error) needs what it conflicts with in every"
    " version, so that it can never be installed.",
    reference="Policy 7.2, 7.4",
    remedy="take the relation out",
    needs=Needs.CONTROL,
)
def _relation_to_itself(facts: Facts) -> Iterator[Found]:
    needs = [
        group.strip()
        for field in ("Depends", "Pre-Depends")
        for group in str(facts.control.get(field, "")).split(",")
        if "|" not in group
    ]
    # One with an architecture, as name:i386, is against a package of that one only.
    against = {
        part.strip()
        for field in ("Conflicts", "Breaks")
        for part in str(facts.control.get(field, "")).split(",")
    }
    for text in needs:
        match = RELATION.fullmatch(text)
        if match is None:
            continue
        if match["name"] == facts.name:
            yield Found(f"it depends on itself: {text}")
        elif match["name"] in against:
            yield Found(
                f"it depends on {match['name']} and conflicts with it", severity=Severity.ERROR
            )


@rule(
    "description-form",
    Severity.WARNING,
    explanation="The description does not read as users see it everywhere: one line of at most 80"
    " characters that says what the package is (without its name, an article or a full stop), and"
    " then some lines about it.",
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
    if not rest.strip() and not facts.name.endswith("-dbgsym"):
        yield Found("Description has one line only, and nothing about the package")
    if any(len(line) > 100 and " " in line.strip() for line in rest.split("\n")):
        yield Found("a line of Description has over 100 characters", severity=Severity.INFO)
    if re.search(r"(?i)insert (up to|long)|<insert |lorem ipsum|no description given", text):
        yield Found("Description is still that of a template")
