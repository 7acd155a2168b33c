# SPDX-License-Identifier: GPL-2.0-or-later
"""The rules behind `inspect`: what is wrong with a .deb, and what to do about it.

A rule is one function under `@rule`: it is handed the facts of one package, which a single pass
over its data gathered, and yields what it found. Nothing here prints.
"""

from __future__ import annotations

import collections
import hashlib
import io
import json
import re
import struct
import tempfile
import textwrap
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import IO, Any

from debian.deb822 import Deb822
from debian.debian_support import Version
from elftools.common.exceptions import ELFError
from elftools.elf.elffile import ELFFile

from builders import deb
from builders.deb import Content, Deb, DebError, Entry
from builders.errors import BuildError, Exit
from builders.progress import printable

SCHEMA = 1  # of to_json; it grows when a key changes its meaning or goes

_ELF_LIMIT = 1 << 30  # a larger ELF file is not looked into
_ELF_MEMORY = 8 << 20  # of one is held in memory, the rest in a file without a name
_TEXT_LIMIT = 4 << 20  # of a kernel configuration; Debian's have 270 KB


class Severity(StrEnum):
    ERROR = "error"
    WARNING = "warning"
    INFO = "info"


@dataclass(frozen=True)
class Finding:
    """One thing that a rule found; subject is the path inside the package, or ""."""

    rule: str
    severity: Severity
    message: str
    subject: str = ""


@dataclass(frozen=True)
class Expectations:
    """What a recipe wants of its packages.

    kernel_options: option to value ("y", "m", "n" for not set, or another one) in the
        configuration of every kernel.
    """

    kernel_options: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Report:
    """What was found in one package; its fields are "" where they could not be read."""

    path: Path
    package: str
    version: str
    architecture: str
    findings: tuple[Finding, ...]

    def count(self, severity: Severity) -> int:
        return sum(f.severity is severity for f in self.findings)


@dataclass(frozen=True)
class Elf:
    """What the dynamic section of an ELF file says (elf(5))."""

    machine: int
    needed: tuple[str, ...]
    soname: str


@dataclass
class Facts:
    """What one pass over a package gathered.

    elves: path to what is known of a dynamic ELF object.
    scripts: path to the "#!" line of an executable file, without "#!".
    texts: path to the content of a kernel configuration.
    unread: paths of ELF objects that could not be looked into, and why.
    """

    control: Deb822
    files: Mapping[str, bytes]
    conffiles: frozenset[str]
    md5sums: Mapping[str, str]
    entries: list[Entry] = field(default_factory=list)
    elves: dict[str, Elf] = field(default_factory=dict)
    scripts: dict[str, str] = field(default_factory=dict)
    texts: dict[str, str] = field(default_factory=dict)
    unread: dict[str, str] = field(default_factory=dict)

    def relations(self, *fields: str) -> dict[str, set[str]]:
        """Package name to the version restrictions ("" for none) in these fields."""
        found: dict[str, set[str]] = {}
        for name in fields:
            for part in re.split(r"[,|]", self.control.get(name, "")):
                match = re.match(r"\s*([^\s:(]+)(?::\S+)?\s*(?:\(([^)]*)\))?", part)
                if match:
                    found.setdefault(match[1], set()).add((match[2] or "").strip())
        return found


@dataclass(frozen=True)
class Found:
    """What a rule yields; a severity other than the rule's own stands here."""

    message: str
    subject: str = ""
    severity: Severity | None = None


Check = Callable[[Facts, Expectations], Iterable[Found]]


@dataclass(frozen=True)
class Rule:
    """A rule as people read it. Its name is stable: scripts may depend on it."""

    name: str
    severity: Severity
    explanation: str
    reference: str
    remedy: str
    check: Check
    data: bool = True  # whether it needs the whole of data.tar


RULES: dict[str, Rule] = {}


def rule(
    name: str,
    severity: Severity,
    *,
    explanation: str,
    reference: str,
    remedy: str,
    data: bool = True,
) -> Callable[[Check], Check]:
    """Register the decorated function as the check of a rule."""

    def register(check: Check) -> Check:
        RULES[name] = Rule(name, severity, explanation, reference, remedy, check, data)
        return check

    return register


def audit(path: Path, expectations: Expectations | None = None) -> Report:
    """Apply every rule to the package `path`. A package that cannot be read is a finding."""
    expected = expectations or Expectations()
    findings: list[Finding] = []
    facts: Facts | None = None
    whole = False
    try:
        package = Deb.open(path)
        facts = Facts(
            package.control,
            package.control_files,
            frozenset(package.conffiles),
            package.md5sums,
        )
        _gather(package, facts)
        whole = True
    except BuildError as error:
        name = (
            _PROBLEMS.get(error.kind, "unreadable") if isinstance(error, DebError) else "unreadable"
        )
        message = error.message.removeprefix(f"{path}: ")
        findings.append(Finding(name, RULES[name].severity, printable(message)))
    if facts is None:
        return Report(path, "", "", "", tuple(findings))
    for each in RULES.values():
        if whole or not each.data:
            findings += [
                Finding(
                    each.name,
                    found.severity or each.severity,
                    printable(found.message),
                    printable(found.subject),
                )
                for found in each.check(facts, expected)
            ]
    package_name, version, architecture = (
        printable(facts.control.get(name, "")) for name in ("Package", "Version", "Architecture")
    )
    return Report(path, package_name, version, architecture, tuple(findings))


# Gathering the facts


def _gather(package: Deb, facts: Facts) -> None:
    """One pass over the data; contents are held only as long and as far as they are needed."""
    digests: dict[str, str] = {}
    for entry, content in package.entries():
        if entry.info.isreg():
            digests[entry.path] = _look(entry, content, facts)
        elif entry.info.islnk():
            digests[entry.path] = digests.get(entry.target, "")
        facts.entries.append(
            Entry(
                entry.info,
                entry.path,
                entry.offset,
                entry.start,
                entry.end,
                digests.get(entry.path, ""),
            )
        )


def _look(entry: Entry, content: Content, facts: Facts) -> str:
    """Read one file; its MD5."""
    digest = hashlib.md5(usedforsecurity=False)
    text: io.BytesIO | None = None
    spool: IO[bytes] | None = None
    first = True
    try:
        while part := content.chunk():
            digest.update(part)
            if first:
                first = False
                head = bytes(part[:256])
                if head.startswith(b"#!") and entry.info.mode & 0o111:
                    line = head[2:].partition(b"\n")[0]
                    facts.scripts[entry.path] = line.decode("utf-8", "replace").strip()
                if entry.path.startswith("/boot/config-"):
                    text = io.BytesIO()
                if _is_dynamic(head) and not entry.path.startswith("/usr/lib/debug/"):
                    if entry.info.size > _ELF_LIMIT:
                        facts.unread[entry.path] = f"it is larger than {_ELF_LIMIT >> 30} GiB"
                    else:
                        spool = tempfile.SpooledTemporaryFile(_ELF_MEMORY)  # noqa: SIM115
            if text is not None and text.tell() < _TEXT_LIMIT:
                text.write(part)
            if spool is not None:
                spool.write(part)
        if text is not None:
            facts.texts[entry.path] = text.getvalue().decode("utf-8", "replace")
        if spool is not None:
            _look_into_elf(entry.path, spool, facts)
    finally:
        if spool is not None:
            spool.close()
    return digest.hexdigest()


def _is_dynamic(head: bytes) -> bool:
    """Whether it is an ELF executable or shared object: kernel modules are neither."""
    if len(head) < 20 or head[:4] != b"\x7fELF":
        return False
    (kind,) = struct.unpack("<H" if head[5] == 1 else ">H", head[16:18])
    return kind in (2, 3)


class _Patient:
    """A file that a hostile ELF header cannot have read for ever: every loop over it reads."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._reads, self._bytes = 200_000, 64 << 20

    def read(self, size: int = -1) -> bytes:
        data = self._file.read(min(size, self._bytes) if size >= 0 else self._bytes)
        self._reads -= 1
        self._bytes -= len(data)
        if self._reads < 0 or self._bytes <= 0:
            raise ELFError("its tables have no end")
        return data

    def seek(self, offset: int, whence: int = 0) -> int:
        return int(self._file.seek(offset, whence))

    def tell(self) -> int:
        return self._file.tell()


def _look_into_elf(path: str, file: IO[bytes], facts: Facts) -> None:
    needed: list[str] = []
    soname = ""
    file.seek(0)
    try:
        patient: Any = _Patient(file)
        elf: Any = ELFFile(patient)
        segments = [s for s in elf.iter_segments() if s["p_type"] == "PT_DYNAMIC"]
        if not segments:
            return
        for tag in segments[0].iter_tags():
            if tag.entry.d_tag == "DT_NEEDED":
                needed.append(str(tag.needed))
            elif tag.entry.d_tag == "DT_SONAME":
                soname = str(tag.soname)
        machine = struct.unpack("<H" if elf.little_endian else ">H", _machine(file))[0]
    # A damaged file makes pyelftools raise nearly anything, from ELFError to TypeError.
    except Exception as error:
        facts.unread[path] = f"it is damaged ({type(error).__name__}: {error})"
        return
    facts.elves[path] = Elf(machine, tuple(needed), soname)


def _machine(file: IO[bytes]) -> bytes:
    file.seek(18)
    return file.read(2)


# Rules on reading the package

_PROBLEMS = {"traversal": "path-traversal", "duplicate": "duplicate-member"}


def _told_by_reading(facts: Facts, expectations: Expectations) -> Iterable[Found]:  # noqa: ARG001
    """These are found where reading stops, in `audit`."""
    return ()


rule(
    "unreadable",
    Severity.ERROR,
    explanation="The file is no whole .deb, or dpkg would not unpack it.",
    reference="deb(5)",
    remedy="fetch or build it again",
    data=False,
)(_told_by_reading)
rule(
    "path-traversal",
    Severity.ERROR,
    explanation="A member's name or hard link leads out of the package.",
    reference="deb(5), tar(5)",
    remedy="do not install it; build it from sources that you trust",
    data=False,
)(_told_by_reading)
rule(
    "duplicate-member",
    Severity.ERROR,
    explanation="Two members have the same name: which one is unpacked is left to chance.",
    reference="deb(5)",
    remedy="build it again with dpkg-deb -b",
    data=False,
)(_told_by_reading)


# Rules on the control file


@rule(
    "control-field",
    Severity.ERROR,
    explanation="A field that every binary package has to have is missing or malformed.",
    reference="Policy 5.3, 5.6",
    remedy="state it in the recipe's corrections",
    data=False,
)
def _control_field(facts: Facts, expectations: Expectations) -> Iterator[Found]:  # noqa: ARG001
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


# Rules on what the package needs

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
def _missing_dependency(facts: Facts, expectations: Expectations) -> Iterator[Found]:  # noqa: ARG001
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
            elif not _may_bring(soname, soft):
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


def _may_bring(soname: str, relations: Iterable[str]) -> bool:
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
def _missing_interpreter(facts: Facts, expectations: Expectations) -> Iterator[Found]:  # noqa: ARG001
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


# Rules on /boot


@rule(
    "stray-boot-link",
    Severity.ERROR,
    explanation="A link in /boot leads to a hypervisor that is there under its own name: GRUB"
    " offers it twice, and may choose the link as the newest.",
    reference="/etc/grub.d/20_linux_xen",
    remedy="name the link under remove in the recipe's corrections",
)
def _stray_boot_link(facts: Facts, expectations: Expectations) -> Iterator[Found]:  # noqa: ARG001
    for entry in facts.entries:
        if entry.info.issym() and re.fullmatch(r"/boot/xen[^/]*", entry.path):
            yield Found(f"links to {entry.info.linkname}, and GRUB offers both", entry.path)


@rule(
    "xen-syms-in-boot",
    Severity.ERROR,
    explanation="The hypervisor with its symbols is no boot image, but 20_linux_xen of older GRUBs"
    " offers it as one.",
    reference="/etc/grub.d/20_linux_xen",
    remedy="name it under remove in the recipe's corrections",
)
def _xen_syms(facts: Facts, expectations: Expectations) -> Iterator[Found]:  # noqa: ARG001
    for entry in facts.entries:
        if deb.is_file(entry) and entry.path.startswith("/boot/xen-syms"):
            yield Found("GRUB may offer it as a hypervisor", entry.path)


@rule(
    "kernel-option",
    Severity.ERROR,
    explanation="The configuration of a kernel differs from what the recipe expects, or a dom0"
    " kernel cannot hand PCI devices to guests.",
    reference="the recipe's [audit.kernel_options]; xen-pciback",
    remedy="set the option in a fragment of the flavour, and look for what it depends on",
)
def _kernel_option(facts: Facts, expectations: Expectations) -> Iterator[Found]:
    kernels = [e.path for e in facts.entries if re.match(r"/boot/vmlinu[xz]-", e.path)]
    if kernels and not facts.texts and expectations.kernel_options:
        yield Found("no /boot/config-* says how this kernel was configured", kernels[0])
    for path, text in facts.texts.items():
        options = dict(re.findall(r"^(CONFIG_\w+)=(.*)$", text, re.MULTILINE))
        for name, wanted in expectations.kernel_options.items():
            option = name if name.startswith("CONFIG_") else f"CONFIG_{name}"
            value = options.get(option, "n")
            if value.strip('"') != wanted.strip('"'):
                shown = "not set" if value == "n" else value
                yield Found(f"{option} is {shown}, not {wanted}", path)
        dom0 = "y" in (options.get("CONFIG_XEN_DOM0"), options.get("CONFIG_XEN_PV_DOM0"))
        backend = "CONFIG_XEN_PCIDEV_BACKEND"
        told = {backend, backend.removeprefix("CONFIG_")} & set(expectations.kernel_options)
        if dom0 and backend not in options and not told:
            yield Found(
                f"{backend} is not set, so that this dom0 cannot hand PCI devices to guests",
                path,
                Severity.WARNING,
            )


# Rules on files


@rule(
    "etc-not-conffile",
    Severity.ERROR,
    explanation="A file under /etc that is no conffile is overwritten by every upgrade, whatever"
    " the administrator changed in it.",
    reference="Policy 10.7.2, appendix E",
    remedy="leave conffiles = true in the recipe's corrections",
)
def _etc_not_conffile(facts: Facts, expectations: Expectations) -> Iterator[Found]:  # noqa: ARG001
    for entry in facts.entries:
        below_etc = deb.is_file(entry) and entry.path.startswith("/etc/")
        if below_etc and entry.path not in facts.conffiles:
            yield Found("is not listed as a conffile", entry.path)


@rule(
    "md5sums",
    Severity.ERROR,
    explanation="The md5sums file is missing (a warning) or is not that of the files.",
    reference="deb-md5sums(5)",
    remedy="finish the package: the sums are made anew",
)
def _md5sums(facts: Facts, expectations: Expectations) -> Iterator[Found]:  # noqa: ARG001
    files = {entry.path: entry for entry in facts.entries if deb.is_file(entry)}
    if "md5sums" not in facts.files:
        if files.keys() - facts.conffiles:
            yield Found("the package has none: dpkg --verify cannot check it", "", Severity.WARNING)
        return
    for path, digest in facts.md5sums.items():
        if path not in files:
            yield Found("is listed, but not in the package", path, Severity.WARNING)
        elif digest.lower() != files[path].md5:
            yield Found("is not what its sum says", path)
    for path in files:
        if path not in facts.md5sums and path not in facts.conffiles:
            yield Found("is not listed", path, Severity.WARNING)


@rule(
    "installed-size",
    Severity.INFO,
    explanation="Installed-Size is missing or not what the files amount to; a warning where it is"
    " wrong by more than a tenth and a MiB.",
    reference="Policy 5.6.20, deb-substvars(5)",
    remedy="finish the package: it is computed anew",
)
def _installed_size(facts: Facts, expectations: Expectations) -> Iterator[Found]:  # noqa: ARG001
    stated = facts.control.get("Installed-Size", "").strip()
    real = deb.installed_size(facts.entries)
    if not stated:
        yield Found(f"Installed-Size is missing; the files have {real} KiB")
        return
    if not re.fullmatch(r"[0-9]{1,15}", stated):
        yield Found(f"Installed-Size {stated!r} is no number", severity=Severity.WARNING)
        return
    # dpkg-gencontrol counts the files of control.tar too, where it finds them.
    control = 1 + sum(-(-len(content) // 1024) for content in facts.files.values())
    difference = abs(int(stated) - real)
    if difference > control:
        large = difference > max(1024, real // 10)
        yield Found(
            f"Installed-Size is {stated}; the files have {real} KiB",
            severity=Severity.WARNING if large else None,
        )


@rule(
    "file-in-usr-local",
    Severity.ERROR,
    explanation="/usr/local belongs to the administrator.",
    reference="Policy 9.1.2",
    remedy="configure the build with --prefix=/usr",
)
def _usr_local(facts: Facts, expectations: Expectations) -> Iterator[Found]:  # noqa: ARG001
    for entry in facts.entries:
        if entry.path.startswith("/usr/local/") and not entry.info.isdir():
            yield Found("lies in /usr/local", entry.path)


@rule(
    "elf-unread",
    Severity.WARNING,
    explanation="An ELF file could not be looked into, so that what it needs is not known.",
    reference="elf(5)",
    remedy="look at it with readelf -d",
)
def _elf_unread(facts: Facts, expectations: Expectations) -> Iterator[Found]:  # noqa: ARG001
    for path, why in facts.unread.items():
        yield Found(why, path)


# What is said about the reports


def expand(paths: Sequence[Path]) -> list[Path]:
    """The .debs that `paths` name: files as they are, folders for all .debs below them, once each.

    What a build keeps of its stages is passed over, unless that very folder is named.
    Raises BuildError for a path that is not there and for a folder without any.
    """
    found: dict[Path, None] = {}
    for path in paths:
        if path.is_dir():
            inside = sorted(
                p
                for p in path.rglob("*.deb")
                if p.is_file() and (p.parent == path or not (p.parent / "stage.json").exists())
            )
            if not inside:
                raise BuildError(f"{path}: no .deb in it", hint="name a folder with packages")
            found.update(dict.fromkeys(inside))
        elif path.exists():
            found[path] = None
        else:
            raise BuildError(f"{path}: no such file", hint="name a .deb or a folder with .debs")
    return list(found)


def exit_code(reports: Iterable[Report]) -> Exit:
    """Exit.AUDIT where a report has an error, Exit.DONE otherwise."""
    errors = any(report.count(Severity.ERROR) for report in reports)
    return Exit.AUDIT if errors else Exit.DONE


def to_json(reports: Sequence[Report]) -> str:
    """The reports for programs.

    {"schema": 1,
     "summary": {"packages": n, "error": n, "warning": n, "info": n},
     "packages": [{"path", "package", "version", "architecture",
                   "findings": [{"rule", "severity", "message", "subject"}]}],
     "rules": {name: {"explanation", "reference", "remedy"}} of the rules that found something}

    All values but the numbers are strings; subject is a path inside the package or "".
    """
    used = {finding.rule for report in reports for finding in report.findings}
    document = {
        "schema": SCHEMA,
        "summary": {
            "packages": len(reports),
            **{str(s): sum(report.count(s) for report in reports) for s in Severity},
        },
        "packages": [
            {
                "path": str(report.path),
                "package": report.package,
                "version": report.version,
                "architecture": report.architecture,
                "findings": [
                    {
                        "rule": finding.rule,
                        "severity": str(finding.severity),
                        "message": finding.message,
                        "subject": finding.subject,
                    }
                    for finding in report.findings
                ],
            }
            for report in reports
        ],
        "rules": {
            name: {
                "explanation": RULES[name].explanation,
                "reference": RULES[name].reference,
                "remedy": RULES[name].remedy,
            }
            for name in sorted(used)
        },
    }
    return json.dumps(document, indent=2)


_COLOURS = {Severity.ERROR: "\033[1;31m", Severity.WARNING: "\033[33m", Severity.INFO: "\033[2m"}
_BOLD, _RESET = "\033[1m", "\033[0m"


def table(reports: Sequence[Report], width: int, colour: bool) -> str:
    """The reports for people, in lines of at most `width` columns (40 at least).

    Findings of one rule that say the same are one row; errors come first, each with its remedy.
    """
    width = max(width, 40)
    lines: list[str] = []
    for report in reports:
        lines += _report_lines(report, width, colour)
    lines += _wrapped(_summary(reports), "", "  ", width)
    return "\n".join(lines) + "\n"


def _report_lines(report: Report, width: int, colour: bool) -> list[str]:
    title = " ".join(filter(None, (report.package, report.version, report.architecture)))
    title = title or printable(str(report.path))
    counts = _counts([report]) or "nothing found"
    lines = _wrapped(f"{title}: {counts}", "", "  ", width)
    if colour:
        lines = [f"{_BOLD}{line}{_RESET}" for line in lines]
    groups: dict[tuple[Severity, str, str], list[str]] = collections.defaultdict(list)
    for finding in report.findings:
        groups[finding.severity, finding.rule, finding.message].append(finding.subject)
    order = list(Severity)
    names = max((len(name) for _, name, _ in groups), default=0)
    told: set[str] = set()
    for severity, name, message in sorted(groups, key=lambda g: (order.index(g[0]), g[1])):
        subjects = [s for s in groups[severity, name, message] if s]
        text = message
        if subjects:
            more = f" and {len(subjects) - 1} more" if len(subjects) > 1 else ""
            text = f"{subjects[0]}{more}: {message}"
        lines += _row(severity, name, text, names, width, colour)
        if severity is Severity.ERROR and name not in told:
            told.add(name)
            lines += _row(None, "", f"-> {RULES[name].remedy}", names, width, colour)
    return [*lines, ""]


def _row(
    severity: Severity | None, name: str, text: str, names: int, width: int, colour: bool
) -> list[str]:
    """One row: in columns where there is room for the text, otherwise the text below."""
    label = f"{severity or '':<7}"
    if width - names - 13 >= 40:
        lines = _wrapped(text, f"  {label}  {name:<{names}}  ", " " * (names + 13), width)
    else:
        first = [f"  {label}  {name}"] if severity else []
        lines = [*first, *_wrapped(text, "    ", "    ", width)]
    if colour and severity:
        lines[0] = lines[0].replace(label, f"{_COLOURS[severity]}{label}{_RESET}", 1)
    return lines


def _wrapped(text: str, first: str, rest: str, width: int) -> list[str]:
    return textwrap.wrap(
        text,
        width,
        initial_indent=first,
        subsequent_indent=rest,
        break_on_hyphens=False,
    ) or [first.rstrip()]


def _counts(reports: Sequence[Report]) -> str:
    words = {Severity.ERROR: "error", Severity.WARNING: "warning", Severity.INFO: "note"}
    parts = []
    for severity, word in words.items():
        count = sum(report.count(severity) for report in reports)
        if count:
            parts.append(f"{count} {word}{'s' * (count != 1)}")
    return ", ".join(parts)


def _summary(reports: Sequence[Report]) -> str:
    packages = f"{len(reports)} package{'s' * (len(reports) != 1)}"
    return f"{packages}: {_counts(reports) or 'nothing found'}"
