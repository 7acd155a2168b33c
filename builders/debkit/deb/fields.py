# SPDX-License-Identifier: GPL-2.0-or-later
"""The fields of a control file, as strictly as dpkg reads them from a package."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from builders.debkit.deb.architectures import architecture_fault
from builders.debkit.deb.fault import Fault
from builders.debkit.deb.relations import (
    RELATIONS,
    STRICT_NAME,
    apt_fault,
    name_fault,
    read_relations,
)
from builders.debkit.deb.suites import BOOKWORM, Tools
from builders.versions import version_fault

PRIORITIES = ("required", "important", "standard", "optional", "extra")
_MULTI_ARCH = ("no", "same", "foreign", "allowed")
# dpkg writes these into its database, and refuses a package that has one.
_OF_STATUS = ("Status", "Config-Version", "Triggers-Pending", "Triggers-Awaited")
_OF_LISTS = ("Filename", "Size", "MD5sum")  # of the lists of packages of a repository
_OBSOLETE = {"Recommended": "Recommends", "Optional": "Suggests", "Class": "Priority"}


def field_faults(control: Mapping[str, str]) -> Iterator[Fault]:
    """What dpkg does not take of these fields, and what it warns of; the field is the subject.

    Relations are apart, in `relation_faults`.
    """
    yield from _needed(control)
    for name in ("Essential", "Protected"):
        value = control.get(name, "")
        if value and value.lower() not in ("yes", "no"):
            yield Fault(f"{value!r} is neither yes nor no", subject=name)
    yield from _multi_arch(control)
    yield from _priority(control)
    for name in _OF_STATUS:
        if name in control:
            yield Fault("is a field of dpkg's database, not of a package", subject=name)
    if "Conffiles" in control and not all(_is_conffile(x) for x in _lines(control["Conffiles"])):
        yield Fault("is a field of dpkg's database, and malformed", subject="Conffiles")
    counts = {name: len(control[name].split()) for name in _OF_LISTS if name in control}
    if counts and (0 in counts.values() or len(set(counts.values())) > 1):
        yield Fault("is a field of a list of packages, and malformed", subject=next(iter(counts)))


def _needed(control: Mapping[str, str]) -> Iterator[Fault]:
    """What every package has to have (Policy 5.3)."""
    name, version = control.get("Package", ""), control.get("Version", "")
    if not name:
        yield Fault("is missing", subject="Package")
    elif fault := name_fault(name):
        yield Fault(f"{name!r} {fault}", subject="Package")
    elif not STRICT_NAME.fullmatch(name):
        yield Fault(f"{name!r} is no package name (Policy 5.6.1)", False, "Package")
    if not version:
        yield Fault("is missing", subject="Version")
    elif fault := version_fault(version):
        yield Fault(f"{version!r} {fault}", subject="Version")
    architecture = control.get("Architecture", "")
    if not architecture:
        yield Fault("is missing", subject="Architecture")
    elif fault := architecture_fault(architecture):
        yield Fault(f"{architecture!r} {fault}", subject="Architecture")
    for field in ("Maintainer", "Description"):
        if not control.get(field, "").strip():
            yield Fault("is missing", False, field)


def _multi_arch(control: Mapping[str, str]) -> Iterator[Fault]:
    value = control.get("Multi-Arch", "").lower()
    if value and value not in _MULTI_ARCH:
        yield Fault(
            f"{control['Multi-Arch']!r} is none of {', '.join(_MULTI_ARCH)}", subject="Multi-Arch"
        )
    elif value == "same" and control.get("Architecture", "") in ("all", ""):
        yield Fault("same makes no sense for Architecture: all", subject="Multi-Arch")


def _priority(control: Mapping[str, str]) -> Iterator[Fault]:
    """A word of its own is taken for a priority by dpkg, but no word that begins as one."""
    for name in ("Priority", "Class"):
        value = control.get(name, "").lower()
        if value and value not in PRIORITIES:
            begins = any(value.startswith(word) for word in (*PRIORITIES, "unknown"))
            refused = begins and value != "unknown"
            yield Fault(f"{control[name]!r} is none (Policy 2.5)", refused, name)


def _lines(value: str) -> list[str]:
    return [line for line in value.split("\n") if line]


def _is_conffile(line: str) -> bool:
    """Whether it is a line of Conffiles: a path and its digest, which may have flags after it."""
    if not line.startswith(" "):
        return False
    words = line[1:].rsplit(" ", 1)
    for flag in ("remove-on-upgrade", "obsolete"):
        if len(words) > 1 and words[1] == flag:
            words = words[0].rsplit(" ", 1)
    return len(words) > 1 and len(words[0]) > 1 and bool(words[1]) and words[0].strip("/.") != ""


_READS_SHORT = (3,)  # of apt: the first that reads an empty Provides, and (=1) at the end


def is_udeb(control: Mapping[str, str]) -> bool:
    """Whether it is a package of the installer, for which Policy does not hold."""
    section = control.get("Section", "").rpartition("/")[2]
    return section == "debian-installer" or control.get("Package-Type", "") == "udeb"


def relation_faults(control: Mapping[str, str], tools: Tools = BOOKWORM) -> Iterator[Fault]:
    """What is wrong with the fields of relations for these tools; the field is the subject."""
    if control.get("Provides") == "" and tools.apt < _READS_SHORT:
        yield Fault("is empty, which apt cannot read", subject="Provides")
    for name in (*RELATIONS, *_OBSOLETE):
        if name != "Class" and control.get(name, ""):
            faults = read_relations(_OBSOLETE.get(name, name), control[name], tools.dpkg)[1]
            for fault in faults:
                yield Fault(fault.message, fault.refused, name)
            refused = any(fault.refused for fault in faults)
            if not refused and tools.apt < _READS_SHORT and (why := apt_fault(control[name])):
                yield Fault(why, subject=name)
