# SPDX-License-Identifier: GPL-2.0-or-later
"""Services: init scripts and systemd units, registered by the maintainer scripts (Policy 9.3).

As dh_installinit(1) and dh_installsystemd(1) do it: the package registers with update-rc.d(8) and
deb-systemd-helper(1p), which keep what an administrator has decided, and starts and stops with
invoke-rc.d(8) and deb-systemd-invoke(1p), which ask policy-rc.d.
"""

from __future__ import annotations

import re
from collections.abc import Container
from dataclasses import dataclass

from builders.debkit.corrections import SERVICE, WORDS
from builders.debkit.deb import Added
from builders.debkit.deb.since import has_defaults_disabled
from builders.debkit.deb.suites import tools
from builders.debkit.deb.units import has_install
from builders.debkit.finish.work import Work, is_plain
from builders.errors import BuildError
from builders.text import passages

_UNIT = re.compile(
    r"/(?:usr/)?lib/systemd/system/"
    r"([^/]+\.(?:service|socket|mount|target|path|timer|automount|swap))"
)
_INIT = re.compile(r"/etc/init\.d/([^/]+)")
_GUARD = re.compile(rb"^(?:test|\[) -[efx] [^\n|&;]+\|\| exit 0$", re.MULTILINE)

# What debhelper(7) adds for services: sections, which name units and init scripts.
_SECTION = re.compile(
    r"# Automatically added by dh_(?:installinit|installsystemd|systemd_enable|systemd_start)\b"
)
_SECTION_END = "\n# End automatically added section\n"
_NAMED = re.compile(
    r"'([^'\s]+\.(?:service|socket|mount|target|path|timer|automount|swap))'"
    r"|\b(?:update-rc\.d|invoke-rc\.d)(?: --[\w-]+)* ([\w.@:-]+)"
)


@dataclass(frozen=True)
class _Service:
    name: str
    word: str
    unit: str  # with its suffix; "" where there is none
    init: bool
    path: str = ""  # of the unit


def correct(work: Work) -> None:
    """Put what the verb `services` states into the maintainer scripts.

    What debhelper(7) wrote for such a service makes way for it. Raises BuildError where it names
    a service that the package has not got, or that other lines of its postinst register.
    """
    units: dict[str, str] = {}
    inits: set[str] = set()
    for path in work.paths():
        if match := _UNIT.fullmatch(path):
            units[match[1]] = path.rpartition("/")[0]
        elif match := _INIT.fullmatch(path):
            inits.add(match[1])
    stated = [
        _service(name, word, units, inits) for name, word in work.corrections.services.items()
    ]
    known = {service.unit or service.name for service in stated}
    known |= {service.name for service in stated}
    # A template is enabled by instance; mounts and targets come with what needs them.
    loose = {u for u in units if u.endswith(".service") and "@." not in u}
    rest = {n for n in (loose | inits) - known if n.removesuffix(".service") not in known}
    _take_over(work, {n for s in stated for n in (s.unit, s.name if s.init else "") if n})
    registered = _registered(work)
    for name in sorted(_enabled(work, rest - registered)):
        work.notes.append(f"service {name} is not registered: state it in services")
    for service in stated:
        if registered & {service.name, service.unit}:
            raise BuildError(
                f"services: {service.name} is registered by the package's own postinst",
                hint="leave it out of services: what a person wrote there can't be changed here",
            )
    folder = min(units.values(), default="/lib/systemd/system")
    for service in stated:
        if service.word == "sysv":
            work.add.append(Added(f"{folder}/{service.name}.service", link="/dev/null"))
    disabled = has_defaults_disabled(tools(work.beside.suite))
    for script, text in _lines(stated, _careful(work), disabled=disabled):
        work.snippets.append((script, text))


def _take_over(work: Work, names: set[str]) -> None:
    """Take what debhelper(7) wrote for these units and init scripts out of the scripts."""
    for script in ("preinst", "postinst", "prerm", "postrm"):
        text = work.control_file(script).decode("utf-8", "surrogateescape")
        parts, at = [], 0
        for start, end in passages(text, _SECTION, _SECTION_END):
            parts += [text[at:start], _without(text[start:end], names)]
            at = end
        new = "".join([*parts, text[at:]])
        if new != text:
            work.control_files[script] = new.encode("utf-8", "surrogateescape")


def _without(section: str, names: set[str]) -> str:
    """One section of a script without these services; "" where it is for no other one."""
    there = {found[1] or found[2] for found in _NAMED.finditer(section)}
    if there and there <= names:
        return ""
    lines = section.split("\n")
    for n, line in enumerate(lines):
        if "deb-systemd-invoke" in line:
            lines[n] = re.sub(
                r" '([^']+)'", lambda match: "" if match[1] in names else match[0], line
            )
    return "\n".join(lines)


def _registered(work: Work) -> set[str]:
    """Units and init scripts that the package's own maintainer scripts register."""
    text = work.control_file("postinst").decode("utf-8", "replace")
    calls = re.findall(r"\b(?:update-rc\.d|deb-systemd-helper)\b([^\n;&|]*)", text)
    return {word.strip("'\"") for call in calls for word in call.split()}


def _enabled(work: Work, names: set[str]) -> set[str]:
    """Those of `names` that are there to be registered: init scripts, and units that say how.

    A unit without [Install] (systemd.unit(5)) is started by others, a link is another name.
    """
    paths = {e.path: work.path(e).rpartition("/")[2] for e in work.kept if names and is_plain(e)}
    units = {path for path, name in paths.items() if name in names and _UNIT.fullmatch(path)}
    silent = {
        paths[path]
        for path, text in work.read(units).items()
        if not has_install(text.decode("utf-8", "replace"))
    }
    links = {n for n in names if n.endswith(".service")} - {paths[path] for path in units}
    return names - silent - links


def _service(name: str, word: str, units: dict[str, str], inits: set[str]) -> _Service:
    if not SERVICE.fullmatch(name):
        raise BuildError(f"services: {name!r} is no service", hint="name a unit or an init script")
    if word not in WORDS:
        raise BuildError(
            f"services.{name}: {word!r} is no way to run it", hint=f"one of: {', '.join(WORDS)}"
        )
    unit = next((u for u in (name, f"{name}.service") if u in units), "")
    init = name in inits
    if not unit and not init:
        there = ", ".join(sorted({*units, *inits})) or "none"
        raise BuildError(
            f"services: the package has no unit and no init script {name}",
            hint=f"it has: {there}",
        )
    if word == "sysv" and (unit or not init):
        raise BuildError(
            f"services.{name}: sysv is for an init script without a unit of its name",
            hint="say boot, start, restart or manual",
        )
    return _Service(name, word, unit, init, f"{units[unit]}/{unit}" if unit else "")


def _careful(work: Work) -> set[str]:
    """The init scripts that do nothing where their program is not there (Policy 9.3.2).

    What a removal leaves of the others in /etc is not to run, so they lose their x. These keep it:
    a package that takes the script over, as dpkg has conffiles taken over, keeps the mode too.
    """
    paths = {e.path: m[1] for e in work.kept if (m := _INIT.fullmatch(work.path(e)))}
    return {paths[path] for path, text in work.read(paths).items() if _GUARD.search(text)}


def _lines(
    services: list[_Service], careful: Container[str], *, disabled: bool
) -> list[tuple[str, str]]:
    """Script names, and what is to run in them; an empty list for no service.

    disabled: the suite's update-rc.d(8) has a word for a service that is not to start.
    """
    lines: list[tuple[str, str]] = []
    inits = [service for service in services if service.init]
    units = [service for service in services if service.unit]
    for service in inits:
        lines.append(("preinst", _PREINST.format(name=service.name)))
        lines.append(("postinst", _register(service, disabled=disabled)))
        lines.append(("postrm", _POSTRM_INIT.format(name=service.name)))
        if service.name not in careful:
            lines.append(("postrm", _STILL.format(name=service.name)))
    for service in units:
        lines.append(("postinst", _enable(service)))
        lines.append(("postrm", _POSTRM_UNIT.format(unit=service.unit, path=service.path)))
    if units:
        lines += [("postinst", _RELOAD), ("postrm", _RELOAD_GONE)]
    for service in services:
        if service.word in ("start", "restart"):
            lines.append(("postinst", _start(service)))
            lines.append(("prerm", _stop(service)))
    return lines


# A script of that name may be there from a package that was removed, which took its x (Policy
# 9.3.1); an upgrade leaves what an administrator did.
# At a purge no file of the package is there any more: one of that name is another package's, which
# has taken its place, and so is what is registered.
_PREINST = """\
if [ "$1" = "install" ] && [ -e /etc/init.d/{name} ]; then
    chmod +x /etc/init.d/{name} || true
fi
"""
_STILL = """\
if [ "$1" = "remove" ] && [ -x /etc/init.d/{name} ]; then
    chmod -x /etc/init.d/{name} || true
fi
"""
_POSTRM_INIT = """\
if [ "$1" = "purge" ] && [ ! -e /etc/init.d/{name} ]; then
    update-rc.d {name} remove >/dev/null
fi
"""
_POSTRM_UNIT = """\
if [ "$1" = "purge" ] && [ ! -e {path} ] && [ -x "$(command -v deb-systemd-helper)" ]; then
    deb-systemd-helper purge {unit} >/dev/null || true
fi
"""
_RELOAD = """\
if [ -d /run/systemd/system ]; then
    systemctl --system daemon-reload >/dev/null || true
fi
"""
_RELOAD_GONE = """\
if [ "$1" = "remove" ] && [ -d /run/systemd/system ]; then
    systemctl --system daemon-reload >/dev/null || true
fi
"""


# Only what is not registered yet: what an administrator enabled stays.
_DISABLED = """\
if [ -x /etc/init.d/{name} ] && ! ls /etc/rc?.d/[SK][0-9][0-9]{name} >/dev/null 2>&1; then
    update-rc.d {name} defaults >/dev/null
    update-rc.d {name} disable >/dev/null
fi
"""


def _register(service: _Service, *, disabled: bool) -> str:
    if service.word == "manual" and not disabled:
        return _DISABLED.format(name=service.name)
    how = "defaults-disabled" if service.word == "manual" else "defaults"
    return (
        f"if [ -x /etc/init.d/{service.name} ]; then\n"
        f"    update-rc.d {service.name} {how} >/dev/null\n"
        "fi\n"
    )


def _enable(service: _Service) -> str:
    unit = service.unit
    if service.word == "manual":
        body = (
            f"if deb-systemd-helper debian-installed {unit}; then\n"
            f"    deb-systemd-helper unmask {unit} >/dev/null || true\n"
            f"    if deb-systemd-helper --quiet was-enabled {unit}; then\n"
            f"        deb-systemd-helper enable {unit} >/dev/null || true\n"
            "    fi\n"
            "fi\n"
            f"deb-systemd-helper update-state {unit} >/dev/null || true\n"
        )
    else:
        body = (
            f"deb-systemd-helper unmask {unit} >/dev/null || true\n"
            f"if deb-systemd-helper --quiet was-enabled {unit}; then\n"
            f"    deb-systemd-helper enable {unit} >/dev/null || true\n"
            "else\n"
            f"    deb-systemd-helper update-state {unit} >/dev/null || true\n"
            "fi\n"
        )
    inner = "".join(f"    {line}\n" for line in body.splitlines())
    return f'if [ -x "$(command -v deb-systemd-helper)" ]; then\n{inner}fi\n'


def _either(service: _Service, action: str, otherwise: str) -> str:
    """Shell lines for the init system that runs; a failure is none of the installation's."""
    parts = []
    if service.unit:
        parts.append(
            f"if [ -d /run/systemd/system ]; then\n"
            f"    deb-systemd-invoke {action} {service.unit} >/dev/null || true\n"
        )
    if service.init:
        word = "elif" if parts else "if"
        parts.append(
            f"{word} [ -x /etc/init.d/{service.name} ]; then\n"
            f"    invoke-rc.d {service.name} {otherwise} || true\n"
        )
    return "".join(parts) + "fi\n"


def _start(service: _Service) -> str:
    lines = f'if [ -z "${{2:-}}" ]; then\n{_indented(_either(service, "start", "start"))}'
    if service.word == "restart":
        lines += f"else\n{_indented(_either(service, 'try-restart', 'restart'))}"
    return f'if [ "$1" = "configure" ]; then\n{_indented(lines + "fi")}fi\n'


def _stop(service: _Service) -> str:
    return f'if [ "$1" = "remove" ]; then\n{_indented(_either(service, "stop", "stop"))}fi\n'


def _indented(text: str) -> str:
    return "".join(f"    {line}\n" for line in text.splitlines())
