# SPDX-License-Identifier: GPL-2.0-or-later
"""Rules on maintainer scripts and the services that they register."""

from __future__ import annotations

import os
import posixpath
import re
import shutil
import subprocess
from collections.abc import Iterator

from builders.debkit.audit.facts import Facts
from builders.debkit.audit.model import Found, Needs, Severity, rule
from builders.debkit.audit.rules.depends import bringers
from builders.debkit.audit.rules.elf import MACHINES
from builders.debkit.deb.scripts import SCRIPTS, Interpreter, code_lines, interpreter, shell_of
from builders.debkit.deb.since import script_faults
from builders.debkit.deb.units import starts_at_boot

_PACKED = (b"\x1f\x8b", b"\xfd7zXZ\0", b"BZh", b"\x28\xb5\x2f\xfd", b"PK\x03\x04")
_LIMIT = 1 << 20  # of a script; the largest in Debian have some 100 KB


@rule(
    "script-interpreter",
    Severity.ERROR,
    explanation="dpkg cannot run a maintainer script: its interpreter is not there when dpkg runs"
    " it, or the kernel does not take its first line for one that names an"
    " interpreter. preinst runs before the packages of Depends are there: only"
    " Pre-Depends can bring it one. Two cases are warnings: a script without such a"
    " line, which the shell runs by chance, and an interpreter that other packages may"
    " bring.",
    reference="Policy 6.1, 6.5, 7.2, 10.4; execve(2), env(1)",
    remedy="begin the script with #!/bin/sh",
    needs=Needs.MEMBERS,
)
def _script_interpreter(facts: Facts) -> Iterator[Found]:
    for name in SCRIPTS:
        content = facts.files.get(name)
        if content is None:
            continue
        if content.startswith(b"\x7fELF"):
            if fault := _elf_fault(content, facts.control.get("Architecture", "")):
                yield Found(fault, name)
            continue
        program = interpreter(content)
        if program is None and content.startswith(_PACKED):
            yield Found("is no script, but compressed", name)
        elif program is None:
            yield Found("has no #! line", name, Severity.WARNING)
        elif fault := program.fault():
            yield Found(fault, name)
        elif not program.essential and not facts.udeb:
            yield from _missing(facts, name, program)
        elif not program.path.startswith("/"):
            yield Found(f"is for {program.path!r}, no absolute path", name, Severity.WARNING)


def _elf_fault(content: bytes, architecture: str) -> str:
    """Why the kernel does not run a program in the place of a script (elf(5))."""
    order = {1: "little", 2: "big"}.get(content[5] if len(content) > 5 else 0)
    if len(content) < 64 or content[4] not in (1, 2) or order is None:
        return "is a damaged program"
    machine = int.from_bytes(content[18:20], order)  # type: ignore[arg-type]
    kind = int.from_bytes(content[16:18], order)  # type: ignore[arg-type]
    if kind not in (2, 3):
        return "is an ELF file, but no program"
    if MACHINES.get(architecture, machine) != machine:
        return f"is a program for another machine than {architecture}"
    return ""


def _missing(facts: Facts, name: str, program: Interpreter) -> Iterator[Found]:
    """Whether the interpreter is there when the script runs."""
    # postrm runs after what the package depends on may have gone, and so does its purge.
    fields = ("Pre-Depends",) if name == "preinst" else ("Pre-Depends", "Depends")
    path = program.program
    shown = path if "/" in path else f"{program.path} {path}"
    stated = facts.relations(*fields)
    if any(each.startswith(prefix) for each in stated for prefix in bringers(program.name)):
        return
    own = name != "preinst" and (
        path in facts.paths or ("/" not in path and f"/usr/bin/{path}" in facts.paths)
    )
    if own:
        return
    local = path.startswith("/") and not re.match(r"(/usr)?/(s?bin|lib|libexec|games|share)/", path)
    if local:
        yield Found(f"is for {shown}, which no package brings", name)
    elif stated:
        yield Found(f"is for {shown}, which no relation names", name, Severity.WARNING)
    else:
        field = " or ".join(fields)
        yield Found(f"is for {shown}, and no {field} brings it", name)


@rule(
    "script-syntax",
    Severity.ERROR,
    explanation="A maintainer script is no valid shell script: dpkg stops in the middle of the"
    " installation. It is read by sh -n, which runs nothing of it. A line that ends in CR LF is"
    " a command of another name.",
    reference="Policy 10.4, sh(1) -n",
    remedy="correct the line",
    needs=Needs.CONTROL,
)
def _script_syntax(facts: Facts) -> Iterator[Found]:
    for name in SCRIPTS:
        content = facts.files.get(name, b"")
        shell = shutil.which(shell_of(content)) if content else None
        if not shell or len(content) > _LIMIT or not set(content) - _PLAIN:
            continue
        fault = _fault(shell, content)
        if fault:
            yield Found(fault, name)
        elif b"\r\n" in content:
            ends = (n for n, line in code_lines(facts.script(name)) if line.endswith("\r"))
            # The first line is another rule's.
            if first := next((n for n in ends if n > 1), 0):
                severity = None if _stops(facts.script(name)) else Severity.WARNING
                yield Found(f"line {first} ends in CR LF", name, severity)


# Scripts of comments and blanks only are not worth a process.
_PLAIN = frozenset(b" \t\n#")


def _fault(shell: str, content: bytes) -> str:
    """What a shell that only reads says of a script, "" for nothing."""
    try:
        done = subprocess.run(
            [shell, "-n"],
            input=content,
            capture_output=True,
            timeout=10,
            check=False,
            env={"PATH": os.defpath, "LC_ALL": "C"},
            cwd="/",
        )
    except subprocess.TimeoutExpired:
        return "the shell does not come to its end in 10 s"
    except OSError:
        return ""
    if not done.returncode:
        return ""
    text = done.stderr[:500].decode("utf-8", "replace").strip()
    first = text.partition("\n")[0]
    return re.sub(r"^\S*?(?:sh): (?:line )?([0-9]+): ", r"line \1: ", first) or "is not valid"


def _stops(script: str) -> bool:
    """Whether a shell script ends at a command that fails."""
    flags = re.search(r"^#!.*\s-[a-z]*e", script.partition("\n")[0])
    return bool(
        flags or re.search(r"^[ \t]*set[ \t]+-([a-z]*e|o[ \t]+errexit)", script, re.MULTILINE)
    )


# What dash, which is Debian's sh, does not know, or takes for something else (Policy 10.4).
_BASHISMS = (
    (re.compile(r"(?:^|[\s;&|(!])\[\[\s"), "[["),
    (re.compile(r"(?:^|[;&|{(]|\bthen|\belse|\bdo)\s*source\s+[^\s=]"), "source"),
    (re.compile(r"^\s*function\s+[\w-]+"), "function"),
    (re.compile(r"(?:^|[\s;])[A-Za-z_]\w*\+?=\("), "an array"),
    (re.compile(r"&>|>&(?=\s*[/$\"A-Za-z])"), "&>"),
    (re.compile(r"<<<"), "<<<"),
    (re.compile(r"(?:^|\s)[<>]\("), "<( )"),
    (re.compile(r"\$\{[A-Za-z_]\w*(?:/|:[0-9]|\^|,|\[)"), "a form of ${ } of its own"),
    (re.compile(r"(?:^|[\s;&|(])(?:pushd|popd|declare|typeset|shopt|let|disown)\s"), "a command"),
    (re.compile(r"(?:^|[\s;&|(])\[\s[^][]{0,200}\s==\s"), "== in [ ]"),
    (re.compile(r"\+="), "+="),
    (re.compile(r"(?:^|[\s;&|(])set\s[^;&|]*\bpipefail\b"), "set -o pipefail"),
)


@rule(
    "script-bashism",
    Severity.WARNING,
    explanation="A maintainer script for /bin/sh uses what only bash has. Debian's sh is dash,"
    " which stops there or does something else.",
    reference="Policy 10.4; checkbashisms(1)",
    remedy="write it as sh(1) has it, or begin the script with #!/bin/bash",
    needs=Needs.CONTROL,
)
def _script_bashism(facts: Facts) -> Iterator[Found]:
    for name in SCRIPTS:
        content = facts.files.get(name, b"")
        if not content or len(content) > _LIMIT or shell_of(content) != "dash":
            continue
        told: set[str] = set()
        for number, line in code_lines(facts.script(name)):
            # What is quoted is not the shell's.
            bare = re.sub(r"\$?'[^']*'", "''", line[:_LINE])
            bare = re.sub(r"(^|\s)#.*", "", bare)
            for pattern, word in _BASHISMS:
                if word not in told and pattern.search(bare):
                    told.add(word)
                    yield Found(f"line {number} has {word}, which is bash's", name)


_LINE = 2000  # characters of a line


@rule(
    "script-of-suite",
    Severity.ERROR,
    explanation="A maintainer script calls what the dpkg of the suite, or what comes with it, does"
    " not know, and does not ask first: it fails, and the package with it. Known only where the"
    " suite is stated.",
    reference="dpkg-maintscript-helper(1), dpkg-divert(1), update-rc.d(8), deb-systemd-helper(1p);"
    " dpkg's debian/changelog",
    remedy="ask for it first, do the same by hand, or finish the package for that suite",
    needs=Needs.CONTROL,
)
def _script_of_suite(facts: Facts) -> Iterator[Found]:
    suite = facts.expectations.suite
    for name in SCRIPTS if suite else ():
        content = facts.files.get(name, b"")
        if content and len(content) <= _LIMIT and shell_of(content):
            for number, fault in script_faults(facts.script(name), suite):
                yield Found(f"line {number}: {fault}", name)


@rule(
    "script-without-set-e",
    Severity.WARNING,
    explanation="A maintainer script goes on after a command fails, and reports success.",
    reference="Policy 10.4",
    remedy="write set -e in the line below #!/bin/sh",
    needs=Needs.CONTROL,
)
def _script_without_set_e(facts: Facts) -> Iterator[Found]:
    if facts.udeb:
        return
    for name in SCRIPTS[:4]:
        content = facts.files.get(name, b"")
        if not content or not shell_of(content):
            continue
        text = facts.script(name)
        body = [x for x in text.split("\n")[1:] if x.strip() and not x.lstrip().startswith("#")]
        if not _stops(text) and any(line.strip() not in ("exit 0", ":", "true") for line in body):
            yield Found("does not stop at a command that fails", name)


@rule(
    "script-mode",
    Severity.WARNING,
    explanation="A maintainer script is not executable: dpkg-deb refuses to build such a package,"
    " and dpkg corrects the mode when it unpacks one. Or a plain file of control.tar"
    " is executable.",
    reference="Policy 6.1, 10.9; dpkg-deb(1) --build",
    remedy="set the mode to 0755 for scripts, to 0644 for the others",
    needs=Needs.CONTROL,
)
def _script_mode(facts: Facts) -> Iterator[Found]:
    for name, mode in facts.modes.items():
        if name in SCRIPTS:
            if not mode & 0o111:
                yield Found(f"has mode {mode:04o}", name)
        elif mode & 0o111 and name in ("control", "md5sums", "conffiles", "triggers", "shlibs"):
            yield Found(f"has mode {mode:04o}", name)


def _scripts(facts: Facts, *names: str) -> str:
    return "\n".join(facts.script(name) for name in names)


@rule(
    "unregistered-service",
    Severity.WARNING,
    explanation="The package has an init script, or a unit that is to start at boot ([Install]),"
    " and no maintainer script registers it: the service does not run after the"
    " installation.",
    reference="Policy 9.3.3, update-rc.d(8), deb-systemd-helper(1p)",
    remedy="finish the package: what debhelper writes (dh_installinit(1), dh_installsystemd(1)) is"
    " added to its scripts",
)
def _unregistered_service(facts: Facts) -> Iterator[Found]:
    if facts.udeb:
        return
    text = _scripts(facts, "postinst", "preinst")
    registers = re.search(r"\bupdate-rc\.d\b|\bdeb-systemd-helper\b", text)
    enables = re.search(r"\bdeb-systemd-helper\b|\bsystemctl\b", text)
    # systemd.unit(5): a link in TARGET.wants starts the unit of its name with that target.
    started = {
        name for folder, name in map(posixpath.split, facts.paths) if folder.endswith(".wants")
    }
    for path, content in facts.texts.items():
        folder, name = posixpath.split(path)
        if folder == "/etc/init.d":
            executable = facts.paths[path].info.mode & 0o111
            if executable and not registers and name not in ("skeleton", "README"):
                yield Found("no maintainer script calls update-rc.d", path)
        elif folder.endswith("/systemd/system") and "@" not in name:
            enabled = enables or name in started
            if not enabled and starts_at_boot(content):
                yield Found("no maintainer script enables it", path)


@rule(
    "init-script-headers",
    Severity.WARNING,
    explanation="An init script does not say what has to start before it, so that it starts at"
    " any time or not at all; or it lacks an action that every init script has to"
    " have.",
    reference="Policy 9.3.2, insserv(8), update-rc.d(8)",
    remedy="write a block between ### BEGIN INIT INFO and ### END INIT INFO",
)
def _init_script_headers(facts: Facts) -> Iterator[Found]:
    if facts.udeb:
        return
    for path, content in facts.texts.items():
        if not path.startswith("/etc/init.d/") or path.endswith(("/README", "/skeleton")):
            continue
        if not facts.paths[path].info.mode & 0o111:
            continue
        if "### BEGIN INIT INFO" not in content:
            yield Found("has no block with its dependencies", path)
            continue
        for name in ("Provides", "Required-Start", "Default-Start"):
            if not re.search(rf"^#\s*{name}:", content, re.MULTILINE):
                yield Found(f"does not state {name}", path)
        if "init-d-script" in content:
            continue  # it has the actions (init-d-script(5))
        for word in ("start", "stop", "restart", "force-reload"):
            if not re.search(rf"(^|[\s|(\"']){word}([\s|)\"']|$)", content, re.MULTILINE):
                yield Found(f"does not know the action {word}", path)


@rule(
    "init-script-without-unit",
    Severity.INFO,
    explanation="An init script has no systemd unit of its name: systemd runs it by a wrapper,"
    " which can do less than a unit.",
    reference="Policy 9.3.1, systemd-sysv-generator(8)",
    remedy="ship a unit of the same name",
)
def _init_script_without_unit(facts: Facts) -> Iterator[Found]:
    if facts.udeb:
        return
    for path in facts.texts:
        folder, _, name = path.rpartition("/")
        if folder == "/etc/init.d" and facts.paths[path].info.mode & 0o111:
            stem = name.removesuffix(".sh")
            units = (f"{p}/systemd/system/{stem}.service" for p in ("/lib", "/usr/lib"))
            if not any(unit in facts.paths for unit in units):
                yield Found("has no unit of its name", path)
