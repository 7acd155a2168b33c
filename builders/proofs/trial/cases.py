# SPDX-License-Identifier: GPL-2.0-or-later
"""What `install-test` tries: machines and their cases. Data, and no engine.

The script of a case is a file in scripts/: POSIX sh on a minimal root of the suite, where perl-base
is essential and python3 is there only if something depends on it. It runs after `variables` and
`FUNCTIONS`. A line of its output that begins with "! " says what is wrong, with "= " what it saw.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from builders.debkit.deb.relations import read_relations

_SCRIPTS = Path(__file__).with_name("scripts")


@dataclass(frozen=True)
class Case:
    """One thing to try. vital: where it fails, the machine's further cases mean nothing."""

    name: str
    script: str
    vital: bool = False


@dataclass(frozen=True)
class Machine:
    """A clean machine and its cases. groups: what apt has to be able to install there."""

    name: str
    cases: tuple[Case, ...]
    groups: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Subject:
    """The packages on trial.

    raw: name and version of what they were made from; needs: their Pre-Depends, Depends and
    Recommends, a relation each; recommends: those of them that are Recommends; paths: all that they
    contain.
    """

    names: tuple[str, ...]
    versions: tuple[str, ...]
    raw: tuple[tuple[str, str], ...] = ()
    needs: tuple[str, ...] = ()
    recommends: tuple[str, ...] = ()
    paths: frozenset[str] = frozenset()


# Debian's own Xen: tools and hypervisor (wheezy to trixie).
RIVAL = "xen-system-amd64"

# Modules of the suite that dkms(8) compiles with a kernel's headers.
DKMS = ("v4l2loopback-dkms", "lttng-modules-dkms")
# The suite's own headers: what does not compile with these either is no fault of a kernel.
OWN_HEADERS = "linux-headers-amd64"

# How far each gets where there is no hypervisor: what it is given, and what it must say.
PROGRAMS: Mapping[str, tuple[str, str]] = {
    "/usr/sbin/xl": ("info", "cannot init xl context"),
    "/usr/sbin/xenstored": ("--help", "xenstored <options>"),
    "/usr/sbin/oxenstored": ("--help", "[Uu]sage"),
    "/usr/sbin/xenconsoled": ("-V", "Xen Console Daemon"),
    "/usr/lib/xen/bin/xen-init-dom0": ("", "cannot open xenstore connection"),
    "/usr/bin/xenstore-ls": ("", "xs_open"),
    "/usr/sbin/xenpm": ("help", "privileged command interface"),
    "/usr/sbin/xentop": ("-V", "xentop [0-9]"),
    "/usr/bin/xentrace": ("--version", "xentrace v"),
    "/usr/sbin/xentrace": ("--version", "xentrace v"),
    "/usr/bin/xen-detect": ("", "Not running on Xen"),
    "/usr/bin/pygrub": ("--help", "Usage"),
    "/usr/lib/xen/bin/pygrub": ("--help", "Usage"),
    "/usr/lib/xen/bin/qemu-dm": ("--help", "QEMU"),
    "/usr/lib/xen/bin/qemu-system-i386": ("--version", "QEMU"),
    "/usr/libexec/xen-qemu-system-i386": ("--version", "QEMU"),
}


def script(name: str) -> str:
    """The text of scripts/NAME.sh."""
    return (_SCRIPTS / f"{name}.sh").read_text(encoding="utf-8")


_HEADERS = re.compile(r"/usr/src/linux-headers-[^/]+/Makefile")
FUNCTIONS = script("functions")


def _case(name: str, *, vital: bool = False, functions: str = "") -> Case:
    """The case of that name, with its script; `functions` names another script that it needs."""
    before = script(functions) if functions else ""
    return Case(name, before + script(name.replace(" ", "-")), vital)


def machines(subject: Subject) -> list[Machine]:
    """The machines on which these packages are to be tried."""
    found = [_fresh(subject)]
    if subject.raw:
        cases = [_case("raw", vital=True), _case("upgrade")]
        raw = tuple(f"{name}={version}" for name, version in subject.raw)
        found.append(Machine("upgrade", tuple(cases), (raw,)))
    if _modular(subject):
        group = (*subject.names, "initramfs-tools", "gcc", OWN_HEADERS, *DKMS)
        found.append(Machine("dkms", (_case("dkms"),), (group,)))
    if subject.paths & {"/usr/sbin/xl", "/usr/sbin/xm"}:
        cases = [
            _case("theirs", vital=True),
            _case("ours", vital=True),
            _case("theirs again", vital=True, functions="whole"),
            _case("ours purged", functions="whole"),
            _case("both purged", functions="whole"),
        ]
        found.append(Machine("debian", tuple(cases), ((RIVAL,),)))
    return found


def _fresh(subject: Subject) -> Machine:
    helpers, kernel, manual = _helpers(subject), _kernel(subject), _manual(subject)
    cases = [
        _case("needs", vital=True),
        _case("install", vital=True),
        _case("digests"),
        _case("libraries"),
    ]
    programs = [path for path in PROGRAMS if path in subject.paths or "libexec" in path]
    if subject.paths & set(PROGRAMS):
        cases.append(Case("programs", _programs(programs)))
    if any("/dist-packages/" in path for path in subject.paths):
        cases.append(_case("python"))
    if manual:
        cases.append(_case("manual"))
    if any("/init.d/" in path or "/systemd/system/" in path for path in subject.paths):
        cases.append(_case("services"))
    if kernel:
        cases.append(_case("kernel"))
    cases += [
        _case("reinstall"),
        _case("remove"),
        _case("purge"),
    ]
    recommended = [min(_names(r), key=r.index) for r in subject.recommends if _names(r)]
    group = [*subject.names, *(n for n in recommended if n not in subject.names), *helpers]
    return Machine("fresh", tuple(cases), (tuple(dict.fromkeys(group)),))


def _kernel(subject: Subject) -> bool:
    return any(path.startswith(("/boot/vmlinuz-", "/boot/vmlinux-")) for path in subject.paths)


def _modular(subject: Subject) -> bool:
    """Whether there is a kernel, and the headers that a module for it is compiled with."""
    return _kernel(subject) and any(_HEADERS.fullmatch(path) for path in subject.paths)


def _manual(subject: Subject) -> bool:
    return any(path.startswith("/usr/share/man/man") for path in subject.paths)


def _helpers(subject: Subject) -> list[str]:
    """What a host has, and the cases need, beside what the packages depend on."""
    used = {"initramfs-tools": _kernel(subject), "man-db": _manual(subject)}
    return [name for name, wanted in used.items() if wanted]


def variables(subject: Subject) -> str:
    """What the scripts are told of the packages, as shell variables."""
    needs = [relation for relation in subject.needs if not _names(relation) & set(subject.names)]
    told = {
        "names": " ".join(subject.names),
        "exact": _exact(zip(subject.names, subject.versions, strict=True)),
        "raw": _exact(subject.raw),
        "raw_names": " ".join(name for name, _ in subject.raw),
        "rival": RIVAL,
        "own_headers": OWN_HEADERS,
        "dkms": " ".join(DKMS),
    }
    lines = "".join(f"{name}={shlex.quote(value)}\n" for name, value in told.items())
    # A word each: the kernel takes no single one of 128 KiB (execve(2)).
    return f"{lines}satisfy() {{ get satisfy {shlex.join([*needs, *_helpers(subject)])}; }}\n"


def _exact(versions: Iterable[tuple[str, str]]) -> str:
    return " ".join(f"{name}={version}" for name, version in versions)


def _programs(paths: Iterable[str]) -> str:
    calls = (shlex.join(("start", path, *PROGRAMS[path])) for path in paths)
    return script("programs") + "\n".join([*calls, "started\n"])


def _names(relation: str) -> set[str]:
    """The packages that a relation names, all its alternatives (deb-control(5))."""
    groups, _ = read_relations("Depends", relation)
    return {one.name for group in groups for one in group.choices}
