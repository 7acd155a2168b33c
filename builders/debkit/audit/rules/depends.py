# SPDX-License-Identifier: GPL-2.0-or-later
"""Rules on what the package needs."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator

from debian.debian_support import Version

from builders.debkit.audit.facts import Facts, is_linker_folder
from builders.debkit.audit.model import Found, Needs, Severity, rule
from builders.debkit.audit.rules.elf import MACHINES
from builders.debkit.deb.relations import read_relations
from builders.debkit.deb.scripts import interpreter
from builders.versions import parsed_version

# The parts of the C library.
_LIBC = re.compile(
    r"(libc|libm|libmvec|libpthread|libdl|librt|libresolv|libutil|libanl|libthread_db"
    r"|libBrokenLocale|libnss_\w+|ld-linux\S*|ld64?)\.so\.[0-9.]+"
)
# Objects there are not for the system to run: other architectures', samples, test data.
_ASIDE = re.compile(r"/usr/(share|src)/|/(tests?|testdata|examples)/")
# Packages that are not called after the soname (Policy 8.1), as their shlibs files have it.
_ODD_NAMES = {
    "libz.so.1": "zlib1g",
    "libcrypto.so.1.1": "libssl1.1",
    "libcrypto.so.3": "libssl3",
    "libcurl-gnutls.so.4": "libcurl3-gnutls",
    "libe2p.so.2": "libext2fs2",
    "liblber-2.4.so.2": "libldap-2.4-2",
    "liblber-2.5.so.0": "libldap-2.5-0",
    "liblber.so.2": "libldap2",
    "libpam_misc.so.0": "libpam0g",
    "libpanel.so.6": "libncurses6",
    "libpanelw.so.6": "libncursesw6",
    "libgio-2.0.so.0": "libglib2.0-0",
    "libgmodule-2.0.so.0": "libglib2.0-0",
    "libgobject-2.0.so.0": "libglib2.0-0",
    "libgthread-2.0.so.0": "libglib2.0-0",
}


@rule(
    "missing-dependency",
    Severity.ERROR,
    explanation="An ELF file needs a shared library that neither the package nor what it depends"
    " on brings. Which package has a library is guessed from its name; a finding that"
    " rests on the guess is a warning.",
    reference="Policy 8.6, dpkg-shlibdeps(1)",
    remedy="finish the package with the relations that dpkg-shlibdeps computes",
)
def _missing_dependency(facts: Facts) -> Iterator[Found]:
    if facts.udeb:  # the installer brings what its parts need
        return
    machine = MACHINES.get(facts.control.get("Architecture", ""))
    elves = {
        path: elf
        for path, elf in facts.elves.items()
        if not _ASIDE.search(path) and (machine is None or elf.machine == machine)
    }
    own = {elf.soname for elf in elves.values()}
    own |= {e.path.rpartition("/")[2] for e in facts.entries if ".so" in e.path}
    hard = facts.relations("Depends", "Pre-Depends")
    soft = facts.relations("Depends", "Pre-Depends", "Recommends", "Suggests")
    siblings = [name for name in hard if f"= {facts.control.get('Version')}" in hard[name]]
    has_libc = any(re.match(r"libc(6|0)", name) for name in hard)
    packages = Bringers(soft)
    brought = {
        soname: packages.may_bring(soname)
        for elf in elves.values()
        for soname in elf.needed
        if soname not in own and not _LIBC.fullmatch(soname)
    }
    spare = _spare(soft, (soname for soname, likely in brought.items() if likely))
    for soname, likely in brought.items():
        version = _parts(soname)[1]
        if not likely and version not in _COMMON and spare[version] > 0:
            spare[version] -= 1
            brought[soname] = True
    folders = {path.rpartition("/")[0] for path in facts.paths}
    for path, elf in elves.items():
        # From a folder of another package the library may come by any package.
        elsewhere = any(
            folder.startswith("/usr/lib/")
            and not is_linker_folder(folder.rstrip("/"))
            and folder.rstrip("/") not in folders
            for folder in elf.runpath
        )
        for soname in elf.needed:
            if soname in own:
                continue
            if _LIBC.fullmatch(soname):
                # Other parts of it come with the same package; one finding a file is enough.
                if soname.startswith("libc.so.") and not has_libc:
                    certain = machine is not None
                    yield Found(
                        f"needs {soname}, but Depends names no libc6",
                        path,
                        None if certain else Severity.WARNING,
                    )
                continue
            if not brought[soname] and not elsewhere:
                guess = _ODD_NAMES.get(soname) or _names(soname)[0]
                message = f"needs {soname}; no relation looks like its package (by name {guess})"
                if siblings:
                    # Packages of the same source may share one library package.
                    message += f", unless {' or '.join(siblings[:3])} has it"
                yield Found(message, path, Severity.INFO if siblings else Severity.WARNING)


_VERSION = 30  # characters that a version and what a transition adds to it have
_COMMON = frozenset("0123")  # versions of so many libraries that they tell nothing


def _spare(relations: Iterable[str], brought: Iterable[str]) -> Counter[str]:
    """Version of a library to the number of packages that end in it and bring none of `brought`.

    Not every package is called after its library: libhyperscan5 has libhs.so.5.
    """
    ends = (name[-_VERSION:] for name in relations if name.startswith("lib"))
    versions = (re.search(r"([0-9][0-9.]*)(?:t64|[a-z])?\Z", end) for end in ends)
    spare = Counter(match[1] for match in versions if match)
    spare.subtract(_parts(soname)[1] for soname in brought)
    return spare


def _names(soname: str) -> list[str]:
    """What the package of a shared library may be called (Policy 8.1), likeliest first."""
    stem, version = _parts(soname)
    joined = re.sub(r"-(?=[0-9])", "", stem)  # libglib-2.0.so.0 is in libglib2.0-0
    hyphen = "-" if joined[-1:].isdigit() and version else ""
    return [f"{joined}{hyphen}{version}", f"{stem}-{version}", f"{stem}{version}", stem]


class Bringers:
    """Packages, asked which of them is likely to have a library. What is asked is looked up."""

    def __init__(self, relations: Iterable[str]) -> None:
        self._names: set[str] = set()
        self._stems: set[str] = set()
        self._families: set[tuple[str, str]] = set()  # version, and how the stem begins
        for name in relations:
            # Transitions add to a name, such as t64 for the 64-bit time_t, or one letter.
            plain = re.sub(r"(t64|g|c2a?|v5|ldbl|gf|(?<=[0-9])[a-z])$", "", name)
            self._names |= {name, plain}
            match = re.match(r"(lib[a-z-]*[a-z])-?([0-9][0-9.]*)?", name)
            if match and len(match[1]) >= _FAMILY:
                self._stems.add(match[1])
                if match[2]:
                    begins = {match[1][:length] for length in (_FAMILY, _FAMILY_OF_POINTS)}
                    self._families |= {(match[2], begin) for begin in begins}

    def may_bring(self, soname: str) -> bool:
        """Whether one of the packages is likely to have the library with that soname."""
        if not self._names.isdisjoint((*_names(soname), _ODD_NAMES.get(soname, ""))):
            return True
        stem, version = _parts(soname)
        if any(stem[:end] in self._stems for end in range(_FAMILY, min(len(stem), _LONGEST) + 1)):
            return True
        # One package may have several libraries of a source: libicu72 has libicuuc.so.72.
        least = _FAMILY_OF_POINTS if "." in version else _FAMILY
        return len(stem) >= least and (version, stem[:least]) in self._families


_FAMILY, _FAMILY_OF_POINTS = 6, 4  # characters that libraries of one source have in common
_LONGEST = 256  # characters of a stem that are looked up


def _parts(soname: str) -> tuple[str, str]:
    """The name of a library without its version, and that."""
    match = re.fullmatch(r"(?s)(.+?)\.so\.(.+)", soname) or re.fullmatch(
        r"(.+)-([0-9.]+)\.so", soname
    )
    stem, version = (match[1], match[2]) if match else (soname.removesuffix(".so"), "")
    return stem.lower().replace("_", "-"), version


# Interpreter to what a relation that brings it begins with. Those of Essential packages are
# not named: dash, bash, perl-base, sed, grep, and awk, which base-files depends on.
_INTERPRETERS = {
    "python": ("python",),
    "python3": ("python3",),
    "pypy": ("pypy",),
    "ruby": ("ruby",),
    "tclsh": ("tcl", "tk"),
    "wish": ("tk", "tcl"),
    "expect": ("expect",),
    "php": ("php",),
    "node": ("nodejs",),
    "nodejs": ("nodejs",),
    "lua": ("lua",),
    "ocaml": ("ocaml",),
    "ocamlrun": ("ocaml",),
    "guile": ("guile",),
    "zsh": ("zsh",),
    "ksh": ("ksh", "mksh"),
    "csh": ("csh", "tcsh"),
    "tcsh": ("tcsh",),
    "make": ("make",),
    "gawk": ("gawk",),
    "Rscript": ("r-base",),
}
_PROGRAMS = re.compile(r"(/usr|/usr/lib/[^/]+|/lib/[^/]+|)/(s?bin|games|libexec)/|/etc/init\.d/")


@rule(
    "missing-interpreter",
    Severity.WARNING,
    explanation="A program is a script for an interpreter that no relation brings. It is an error"
    " where the package has no Depends at all: then nothing else can bring it.",
    reference="Policy 3.5, 10.4",
    remedy="state the interpreter under depends in the recipe's corrections",
)
def _missing_interpreter(facts: Facts) -> Iterator[Found]:
    if facts.udeb:
        return
    hard = facts.relations("Depends", "Pre-Depends")
    names = [*facts.relations("Depends", "Pre-Depends", "Recommends", "Suggests")]
    names.append(facts.control.get("Package", ""))
    own = {entry.path.rpartition("/")[2] for entry in facts.entries}
    for path, line in facts.scripts.items():
        if not _PROGRAMS.match(path) or not facts.paths[path].info.mode & 0o111:
            continue
        program = interpreter(f"#!{line}\n".encode("utf-8", "surrogateescape"))
        if program is None:
            continue
        if fault := program.fault():
            yield Found(fault, path, Severity.ERROR)
            continue
        if program.essential or program.name in own:
            continue
        brought_by = _brought_by(program.name)
        libraries = tuple(f"lib{prefix}" for prefix in brought_by)
        if brought_by and not any(name.startswith((*brought_by, *libraries)) for name in names):
            yield Found(
                f"is a script for {program.name}, but Depends names no {brought_by[0]}",
                path,
                None if hard else Severity.ERROR,
            )


def _brought_by(program: str) -> tuple[str, ...]:
    """What the packages that bring an interpreter begin with; nothing for one that none is."""
    # python3.11 is looked up as python3 too, tclsh8.6 as tclsh.
    stems = (program, program.partition(".")[0], program.rstrip("0123456789."))
    return next((_INTERPRETERS[s] for s in stems if s in _INTERPRETERS), ())


def bringers(program: str) -> tuple[str, ...]:
    """As that, and what is called as the program itself."""
    return (*_brought_by(program), program.rstrip("0123456789.") or program)


@rule(
    "libc-too-old",
    Severity.ERROR,
    explanation="A program needs a newer C library than the package asks for: it installs on an"
    " older system, and does not start there. A bound that is too low is a warning.",
    reference="Policy 8.6, dpkg-shlibdeps(1), deb-symbols(5)",
    remedy="finish the package with the relations that dpkg-shlibdeps computes",
)
def _libc_too_old(facts: Facts) -> Iterator[Found]:
    machine = MACHINES.get(facts.control.get("Architecture", ""))
    relations = facts.relations("Depends", "Pre-Depends")
    limits = [
        match[2]
        for name, stated in relations.items()
        if re.match(r"libc6|libc0", name)
        for limit in stated
        if (match := re.fullmatch(r"(>=|>>|=)\s*(\S+)", limit))
    ]
    if machine is None or not any(re.match(r"libc6|libc0", name) for name in relations):
        return
    known = {limit: parsed for limit in limits if (parsed := parsed_version(limit))}
    stated = max(known, key=lambda limit: known[limit], default="0")
    worst: tuple[Version, str, str] | None = None
    for path, elf in facts.elves.items():
        if elf.machine != machine or _ASIDE.search(path):
            continue
        for library, versions in elf.versions:
            for version in versions if _LIBC.fullmatch(library) else ():
                match = re.fullmatch(r"GLIBC_([0-9]+\.[0-9]+(?:\.[0-9]+)?)", version)
                needed = parsed_version(match[1]) if match else None
                if match and needed and (worst is None or needed > worst[0]):
                    worst = needed, path, match[1]
    # What is older than any suite here asks for needs no bound.
    if worst and worst[0] > known.get(stated, Version("0")) and worst[0] > Version("2.13"):
        bound = f"libc6 (>= {stated})" if limits else "libc6 of any version"
        yield Found(
            f"needs glibc {worst[2]}, but Depends has {bound}",
            worst[1],
            Severity.WARNING if limits else None,
        )


@rule(
    "unknown-dependency",
    Severity.ERROR,
    explanation="The package needs one that no package of the suite is or provides, or only in"
    " another version: apt cannot install it there. What it recommends is a warning."
    " Known only where the package lists of the suite are at hand (--suite).",
    reference="Policy 7.1, 7.2, 7.5",
    remedy="correct the name for this suite, or the recipe's depends",
    needs=Needs.CONTROL,
)
def _unknown_dependency(facts: Facts) -> Iterator[Found]:
    archive = facts.expectations.archive
    if archive is None:
        if facts.expectations.unknown and facts.relations("Pre-Depends", "Depends"):
            yield Found(
                f"was not looked into: apt has no package lists of {facts.expectations.unknown}",
                severity=Severity.INFO,
            )
        return
    siblings = f"= {facts.control.get('Version', '')}"
    for field in ("Pre-Depends", "Depends", "Recommends"):
        for group in read_relations(field, facts.control.get(field, ""))[0]:
            choices = group.choices
            if any(archive.satisfies(one.name, one.operator, one.version) for one in choices):
                continue
            # What is built together is published together.
            if any(one.limit == siblings for one in choices):
                continue
            known = [one.name for one in choices if archive.knows(one.name)]
            why = f"has only {archive.version(known[0])}" if known else "has no such package"
            yield Found(
                f"{field} has {str(group)!r}, but {archive.name} {why}",
                severity=None if field != "Recommends" else Severity.WARNING,
            )
