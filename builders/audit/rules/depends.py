# SPDX-License-Identifier: GPL-2.0-or-later
"""Rules on what the package needs."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from builders.audit.facts import Facts
from builders.audit.model import Found, Severity, rule

_MACHINES = {
    "amd64": 62,
    "i386": 3,
    "arm64": 183,
    "armhf": 40,
    "armel": 40,
    "ppc64el": 21,
    "s390x": 22,
    "riscv64": 243,
    "mips64el": 8,
}
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
    " on brings. Which package has one is a guess by its name, and then only a warning.",
    reference="Policy 8.6, dpkg-shlibdeps(1)",
    remedy="finish the package with the relations that dpkg-shlibdeps computes",
)
def _missing_dependency(facts: Facts) -> Iterator[Found]:
    machine = _MACHINES.get(facts.control.get("Architecture", ""))
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
    for path, elf in elves.items():
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
            elif not may_bring(soname, soft):
                guess = _ODD_NAMES.get(soname) or _names(soname)[0]
                message = f"needs {soname}; no relation looks like its package (by name {guess})"
                if siblings:
                    # Packages of the same source may share one library package.
                    message += f", unless {' or '.join(siblings[:3])} has it"
                yield Found(message, path, Severity.INFO if siblings else Severity.WARNING)


def _names(soname: str) -> list[str]:
    """What the package of a shared library may be called (Policy 8.1), likeliest first."""
    match = re.fullmatch(r"(.+?)\.so\.(.+)", soname) or re.fullmatch(r"(.+)-([0-9.]+)\.so", soname)
    stem, version = (match[1], match[2]) if match else (soname.removesuffix(".so"), "")
    stem = stem.lower().replace("_", "-")
    joined = re.sub(r"-(?=[0-9])", "", stem)  # libglib-2.0.so.0 is in libglib2.0-0
    hyphen = "-" if joined[-1:].isdigit() and version else ""
    return [f"{joined}{hyphen}{version}", f"{stem}-{version}", f"{stem}{version}", stem]


def may_bring(soname: str, relations: Iterable[str]) -> bool:
    """Whether one of these packages is likely to have the library with that soname."""
    names = {*_names(soname), _ODD_NAMES.get(soname, "")}
    # Transitions add to a name, such as t64 for the 64-bit time_t.
    return any(
        name in names or re.sub(r"(t64|g|c2a?|v5|ldbl|gf)$", "", name) in names
        for name in relations
    )


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
    " where the package has no Depends at all, as then nothing else can bring it either.",
    reference="Policy 3.5, 10.4",
    remedy="state the interpreter under depends in the recipe's corrections",
)
def _missing_interpreter(facts: Facts) -> Iterator[Found]:
    hard = facts.relations("Depends", "Pre-Depends")
    names = [*facts.relations("Depends", "Pre-Depends", "Recommends", "Suggests")]
    names.append(facts.control.get("Package", ""))
    own = {entry.path.rpartition("/")[2] for entry in facts.entries}
    for path, line in facts.scripts.items():
        if not _PROGRAMS.match(path):
            continue
        interpreter = _interpreter(line)
        # python3.11 is looked up as python3 too, tclsh8.6 as tclsh.
        stems = (interpreter, interpreter.partition(".")[0], interpreter.rstrip("0123456789."))
        brought_by = next((_INTERPRETERS[s] for s in stems if s in _INTERPRETERS), ())
        if not brought_by or interpreter in own:
            continue
        libraries = tuple(f"lib{prefix}" for prefix in brought_by)
        if not any(name.startswith((*brought_by, *libraries)) for name in names):
            yield Found(
                f"is a script for {interpreter}, but Depends names no {brought_by[0]}",
                path,
                None if hard else Severity.ERROR,
            )


def _interpreter(line: str) -> str:
    words = [word for word in line.split() if "=" not in word]
    if words and words[0].rpartition("/")[2] == "env":
        words = [word for word in words[1:] if not word.startswith("-")]
    return words[0].rpartition("/")[2] if words else ""
