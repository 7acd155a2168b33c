# SPDX-License-Identifier: GPL-2.0-or-later
"""Rules on maintainer scripts and the services that they register."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator

from builders.audit.facts import Facts
from builders.audit.model import Found, Needs, Severity, rule

SCRIPTS = ("preinst", "postinst", "prerm", "postrm", "config")
_SHELLS = {"sh": "dash", "dash": "dash", "bash": "bash"}
_LIMIT = 1 << 20  # of a script; the largest in Debian have some 100 KB
# Interpreters that are there before any dependency is (Policy 7.2, preinst).
_ESSENTIAL = {"sh", "dash", "bash", "perl"}


def _line(facts: Facts, name: str) -> str:
    """The "#!" line of a maintainer script, without "#!"; "" where it has none."""
    first = facts.script(name).partition("\n")[0]
    return first[2:].strip() if first.startswith("#!") else ""


def _shell(facts: Facts, name: str) -> str:
    words = _line(facts, name).split()
    return words[0].rpartition("/")[2] if words else ""


@rule(
    "script-interpreter",
    Severity.ERROR,
    explanation="A maintainer script does not begin with #! and an absolute path, so that dpkg"
    " cannot run it; or its interpreter is none that has to be there (a warning).",
    reference="Policy 6.1, 10.4",
    remedy="begin the script with #!/bin/sh",
    needs=Needs.CONTROL,
)
def _script_interpreter(facts: Facts) -> Iterator[Found]:
    for name in SCRIPTS:
        if name not in facts.files or facts.files[name].startswith(b"\x7fELF"):
            continue
        words = _line(facts, name).split()
        if not words:
            yield Found("has no #! line", name)
        elif not words[0].startswith("/"):
            yield Found(f"is for {words[0]!r}, which is no absolute path", name)
        else:
            program = words[0].rpartition("/")[2]
            needed = facts.relations("Pre-Depends", "Depends")
            stem = program.rstrip("0123456789.")
            if program not in _ESSENTIAL and not any(n.startswith(stem) for n in needed):
                yield Found(f"is for {words[0]}, which no relation brings", name, Severity.WARNING)


@rule(
    "script-syntax",
    Severity.ERROR,
    explanation="A maintainer script is no valid shell script: dpkg stops in the middle of the"
    " installation. It is read by sh -n, which runs nothing of it.",
    reference="Policy 10.4, sh(1) -n",
    remedy="correct the line",
    needs=Needs.CONTROL,
)
def _script_syntax(facts: Facts) -> Iterator[Found]:
    for name in SCRIPTS:
        content = facts.files.get(name, b"")
        shell = shutil.which(_SHELLS.get(_shell(facts, name), "")) if content else None
        if not shell or len(content) > _LIMIT or not set(content) - _PLAIN:
            continue
        fault = _fault(shell, content)
        if fault:
            yield Found(fault, name)


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


@rule(
    "script-without-set-e",
    Severity.WARNING,
    explanation="A maintainer script goes on after a command fails, and says that all went well.",
    reference="Policy 10.4",
    remedy="write set -e in the line below #!/bin/sh",
    needs=Needs.CONTROL,
)
def _script_without_set_e(facts: Facts) -> Iterator[Found]:
    for name in SCRIPTS[:4]:
        if _shell(facts, name) not in _SHELLS:
            continue
        text = facts.script(name)
        body = [x for x in text.split("\n")[1:] if x.strip() and not x.lstrip().startswith("#")]
        line = _line(facts, name)
        flags = re.search(r"\s-[a-z]*e", line)
        stops = flags or re.search(r"^\s*set\s+-([a-z]*e|o\s+errexit)", text, re.MULTILINE)
        if not stops and any(line.strip() not in ("exit 0", ":", "true") for line in body):
            yield Found("does not stop at a command that fails", name)


@rule(
    "script-mode",
    Severity.WARNING,
    explanation="A maintainer script cannot be run (dpkg refuses it: an error), or a plain file of"
    " control.tar can.",
    reference="Policy 6.1, 10.9; dpkg-deb(1) --build",
    remedy="set the mode to 0755 for scripts, to 0644 for the others",
    needs=Needs.CONTROL,
)
def _script_mode(facts: Facts) -> Iterator[Found]:
    for name, mode in facts.modes.items():
        if name in SCRIPTS:
            if not mode & 0o111:
                severity = None if name == "config" else Severity.ERROR
                yield Found(f"has mode {mode:04o}", name, severity)
        elif mode & 0o111 and name in ("control", "md5sums", "conffiles", "triggers", "shlibs"):
            yield Found(f"has mode {mode:04o}", name)


def _scripts(facts: Facts, *names: str) -> str:
    return "\n".join(facts.script(name) for name in names)


@rule(
    "unregistered-service",
    Severity.WARNING,
    explanation="The package has an init script or a unit that is to start at boot ([Install]), and"
    " no maintainer script registers any: after the installation the service does not run.",
    reference="Policy 9.3.3, update-rc.d(8), deb-systemd-helper(1p)",
    remedy="finish the package: what debhelper writes (dh_installinit(1), dh_installsystemd(1)) is"
    " added to its scripts",
)
def _unregistered_service(facts: Facts) -> Iterator[Found]:
    text = _scripts(facts, "postinst", "preinst")
    for path, content in facts.texts.items():
        folder, _, name = path.rpartition("/")
        entry = facts.paths[path]
        if folder == "/etc/init.d":
            registered = re.search(r"\bupdate-rc\.d\b|\bdeb-systemd-helper\b", text)
            if entry.info.mode & 0o111 and not registered and name not in ("skeleton", "README"):
                yield Found("no maintainer script calls update-rc.d", path)
        elif folder.endswith("/systemd/system") and "@" not in name:
            installs = re.search(
                r"^\[Install\]\s*\n(?:.*\n)*?\s*(WantedBy|RequiredBy)\s*=\s*\S",
                content,
                re.MULTILINE,
            )
            enabled = re.search(r"\bdeb-systemd-helper\b|\bsystemctl\b", text) or any(
                p.endswith(f".wants/{name}") for p in facts.paths
            )
            if installs and not enabled:
                yield Found("no maintainer script enables it", path)


@rule(
    "init-script-headers",
    Severity.WARNING,
    explanation="An init script does not say what it needs started before it, so that it is started"
    " at any time or not at all, or does not know an action that every one has to.",
    reference="Policy 9.3.2, insserv(8), update-rc.d(8)",
    remedy="write a block between ### BEGIN INIT INFO and ### END INIT INFO",
)
def _init_script_headers(facts: Facts) -> Iterator[Found]:
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
    explanation="An init script has no systemd unit of its name: systemd runs it in a wrapper, with"
    " less of what units can have.",
    reference="Policy 9.3.1, systemd-sysv-generator(8)",
    remedy="ship a unit of the same name",
)
def _init_script_without_unit(facts: Facts) -> Iterator[Found]:
    for path in facts.texts:
        folder, _, name = path.rpartition("/")
        if folder == "/etc/init.d" and facts.paths[path].info.mode & 0o111:
            stem = name.removesuffix(".sh")
            units = (f"{p}/systemd/system/{stem}.service" for p in ("/lib", "/usr/lib"))
            if not any(unit in facts.paths for unit in units):
                yield Found("has no unit of its name", path)
