# SPDX-License-Identifier: GPL-2.0-or-later
"""Where a suite is served: what the recipe, the environment, a default or the box's apt names."""

from __future__ import annotations

import os
import platform
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from builders import forms
from builders.errors import BuildError
from builders.ground import defaults
from builders.ground.suite.model import Suite
from builders.text import printable

MAIN = "DOM0_DEBS_MIRROR"
SECURITY = "DOM0_DEBS_SECURITY_MIRROR"
_OLD_DPKG = {"lenny", "squeeze", "wheezy"}  # older than 1.17.11
_NO_HTTPS = {*_OLD_DPKG, "jessie", "stretch"}  # their apt is older than 1.5


@dataclass(frozen=True)
class Mirror:
    """Addresses of the main archive and of its security archive ("" where there is none)."""

    main: str
    security: str

    @property
    def all(self) -> list[str]:
        return [address for address in (self.main, self.security) if address]


@dataclass(frozen=True)
class _Entry:
    uri: str
    suite: str
    components: tuple[str, ...]


def of(suite: Suite, apt: Path = Path("/etc/apt")) -> Mirror:
    """The mirror to use for `suite`; BuildError where nobody names one.

    What neither the recipe, the environment nor dom0-debs.toml names is where the box's own apt
    has it. Only a main archive that the recipe names is not mixed with the box's security archive:
    it may be of another time. A pocket that the recipe wants is never left out in silence.
    """
    main = suite.mirror or _of_environment(MAIN) or _default()
    security = suite.security or _of_environment(SECURITY)
    security_missing = "security" in suite.pockets and not security
    if not main or (security_missing and not suite.mirror):
        box = of_box(apt)
        if box is None and not main:
            raise BuildError(
                "no Debian mirror is known: the box's own apt names none",
                hint=f"set {MAIN}=http://... (and {SECURITY}), or --set suite.mirror=http://...",
            )
        if box:
            main, security = main or box.main, security or box.security
    if "security" in suite.pockets and not security:
        raise BuildError(
            f"{suite.name} is to have its security pocket, and nobody names where that is served",
            hint=f"set {SECURITY}=http://... (or --set suite.security=http://...); to build "
            f"without it: --set 'suite.pockets={_without_security(suite)}'",
        )
    return Mirror(main, security)


def _of_environment(variable: str) -> str:
    """An address as the environment names it, of the form that a recipe's has; "" for none."""
    address = os.environ.get(variable, "")
    if address and (problem := forms.mirror(address)):
        raise BuildError(
            f"{variable}: {printable(problem)}", hint="such as http://archive.debian.org/debian"
        )
    return address


def _default() -> str:
    """The address that dom0-debs.toml has; "" for none."""
    default = defaults.read().mirror
    return str(default.value) if default else ""


def said_by(suite: Suite) -> str:
    """Who names the main archive of `suite`: a key, a variable or a file; "" for the box's apt."""
    if suite.mirror:
        return "suite.mirror"
    if os.environ.get(MAIN):
        return MAIN
    default = defaults.read().mirror
    return f"mirror in {defaults.shown(default.file)}" if default else ""


def _without_security(suite: Suite) -> str:
    others = (f'"{pocket}"' for pocket in suite.pockets if pocket != "security")
    return f"[{', '.join(others)}]"


def named(suite: Suite) -> str:
    """What was said about the mirror on purpose; it can change what a build is made of."""
    return " ".join(
        (
            suite.mirror or os.environ.get(MAIN, "") or _default(),
            suite.security or os.environ.get(SECURITY, ""),
        )
    ).strip()


def scope(suite: Suite) -> str:
    """What an answer of the suite's index holds for: the suite and, where named, its mirror."""
    words = (suite.name, *suite.components, *suite.pockets, named(suite), suite.security_suite)
    return " ".join(words).strip()


def has_no_https(suite: Suite) -> bool:
    """Whether the suite's own apt fetches nothing by https."""
    return suite.name in _NO_HTTPS


def has_old_dpkg(suite: Suite) -> bool:
    """Whether its dpkg is older than 1.17.11, which installs no root by itself."""
    return suite.name in _OLD_DPKG


def too_new(suite: Suite, address: str, landed: str = "") -> BuildError | None:
    """The error for an address that the suite's own apt can't use; None where it can.

    landed: where a redirect led to. apt before 1.5 has no https (apt-transport-https(1)), and
    would say so only in the middle of a build.
    """
    secure = next((u for u in (address, landed) if urlsplit(u).scheme == "https"), "")
    if not has_no_https(suite) or not secure:
        return None
    culprit = address if secure == address else f"{address} redirects to https, and it"
    return BuildError(
        f"the apt of {suite.name} knows no https: {printable(culprit)} is of no use to it",
        hint="name a mirror that serves plain http (--set suite.mirror=http://..., "
        "suite.security=...): what comes is verified all the same",
    )


def of_box(apt: Path = Path("/etc/apt")) -> Mirror | None:
    """The Debian mirror in the box's sources.list(5), or None on another system."""
    release = platform.freedesktop_os_release() if Path("/etc/os-release").exists() else {}
    codename = release.get("VERSION_CODENAME", "")
    names = {codename, "stable", "testing", "unstable", "sid"} - {""}
    if release.get("ID") != "debian":
        return None
    entries = [e for e in _entries(apt) if "main" in e.components]
    main = [e.uri for e in entries if e.suite in names]
    # Others publish for Debian's suites too: Debian's own archive has -updates and ends in /debian.
    updates = {e.uri for e in entries if e.suite in {f"{n}-updates" for n in names}}
    main.sort(key=lambda uri: (uri not in updates, not urlsplit(uri).path.endswith("/debian")))
    security = [e.uri for e in entries if e.suite in {f"{n}-security" for n in names}]
    return Mirror(main[0], security[0] if security else "") if main else None


def _entries(apt: Path) -> Iterator[_Entry]:
    lists = [apt / "sources.list", *sorted((apt / "sources.list.d").glob("*"))]
    for path in lists:
        try:
            text = path.read_text(encoding="utf-8", errors="replace")
        except OSError:
            continue
        if path.suffix == ".list":
            yield from _one_line(text)
        elif path.suffix == ".sources":
            yield from _deb822(text)


_ENTRY = re.compile(r"\s*deb\s+(?:\[[^\]]*\]\s*)?(\S+)\s+(\S+)\s+(\S.*)")


def _one_line(text: str) -> Iterator[_Entry]:
    """Entries of the one-line style: deb [option=value] uri suite component..."""
    for line in text.splitlines():
        if match := _ENTRY.match(line.partition("#")[0]):
            for uri in _served(match[1]):
                yield _Entry(uri, match[2], tuple(match[3].split()))


def _served(uri: str) -> list[str]:
    """What a container can reach of an address in sources.list(5): http and https.

    mirror+file names a file of the box that lists addresses (apt-transport-mirror(1)).
    """
    scheme, _, path = uri.partition(":")
    if scheme in {"http", "https"}:
        return [uri.rstrip("/")]
    if scheme != "mirror+file":
        return []
    try:
        text = Path("/" + path.lstrip("/")).read_text(encoding="utf-8", errors="replace")
    except (OSError, ValueError):
        return []
    first = (line.split()[0] for line in text.splitlines() if line.split())
    return [address.rstrip("/") for address in first if address.startswith(("http://", "https://"))]


def _deb822(text: str) -> Iterator[_Entry]:
    from debian.deb822 import Deb822  # slow to import, and not always needed

    # Lines, as it opens a text that happens to be the path of a file.
    for paragraph in Deb822.iter_paragraphs(text.splitlines(), use_apt_pkg=False):
        if "deb" not in paragraph.get("Types", "").split():
            continue
        if paragraph.get("Enabled", "yes").lower() in {"no", "false", "0"}:
            continue
        components = tuple(paragraph.get("Components", "").split())
        for uri in (u for text in paragraph.get("URIs", "").split() for u in _served(text)):
            for suite in paragraph.get("Suites", "").split():
                yield _Entry(uri, suite, components)


def places(suite: Suite, mirror: Mirror) -> list[tuple[str, str]]:
    """Address and suite, as sources.list(5) names them, of the suite and its pockets."""
    places = [(mirror.main, suite.name)]
    for pocket in suite.pockets:
        if pocket == "security":
            security = suite.security_suite or f"{suite.name}-security"
            places.append((mirror.security, security))
        else:
            places.append((mirror.main, f"{suite.name}-{pocket}"))
    return places


def sources_list(suite: Suite, mirror: Mirror) -> str:
    """sources.list(5) of the suite, in the one-line style that every apt reads."""
    components = " ".join(suite.components)
    return "".join(
        f"{kind} {uri} {name} {components}\n"
        for uri, name in places(suite, mirror)
        for kind in ("deb", "deb-src")
    )
