# SPDX-License-Identifier: GPL-2.0-or-later
"""What a git repository has that is newer than a commit, as its tags and branches tell.

Nothing is downloaded but the list of its references (git-ls-remote(1)). A release is the tag of a
number, such as Xen's RELEASE-4.22.0 or Linux's v6.12.3; a stable branch takes the corrections to
one series of releases, the security updates among them: Xen's stable-4.22, Linux's linux-6.12.y.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from builders.errors import BuildError, Exit
from builders.files import scratch
from builders.ground.sources.address import Failed, Patience, shown
from builders.ground.sources.git import Git
from builders.ground.sources.pins import GitSource
from builders.text import printable

_RELEASE = re.compile(
    r"refs/tags/(?P<prefix>RELEASE-|v)(?P<series>[0-9]{1,4}\.[0-9]{1,4})"
    r"(?:\.(?P<patch>[0-9]{1,6}))?"
)
_LINE = re.compile(r"(?P<commit>[0-9a-f]{40})\t(?P<name>refs/(?:tags|heads)/[!-~]{1,200})")
REF = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/+-]{0,199}")
_COMMIT = re.compile(r"[0-9a-f]{40}")
_WANTED = ("refs/tags/RELEASE-*", "refs/tags/v*", "refs/heads/stable-*", "refs/heads/linux-*")


@dataclass(frozen=True)
class Newer:
    """Something that a repository has: a tag or a branch, and the commit that it names."""

    name: str
    commit: str
    stable: bool


def references(source: GitSource, patience: Patience, stop: threading.Event) -> dict[str, str]:
    """Tags and stable branches of the first address that answers -> commits.

    Raises BuildError (SOURCE) with the reason of each address where none does.
    """
    return _asked(source, patience, stop, _WANTED)


def commit_of(source: GitSource, ref: str, patience: Patience, stop: threading.Event) -> str:
    """The commit that a tag or a branch names today; a commit is itself, and nobody is asked.

    BuildError (USAGE) where the repository has neither, (SOURCE) where it does not answer.
    """
    if _COMMIT.fullmatch(ref):
        return ref
    if not REF.fullmatch(ref) or ".." in ref or ref.endswith(("/", ".lock")):
        raise BuildError(
            f"{printable(ref)[:60]}: no name of a tag or a branch",
            hint="such as RELEASE-4.22.0, stable-4.20, or a commit with its 40 digits",
        )
    wanted = [f"refs/tags/{ref}", f"refs/tags/{ref}^{{}}", f"refs/heads/{ref}"]
    names = _asked(source, patience, stop, wanted)
    for name in (wanted[0], wanted[2]):  # as git-rev-parse(1): a tag before a branch
        if name in names:
            return names[name]
    raise BuildError(
        f"{shown(source.urls[0])} has no tag or branch {ref}",
        hint=f"git ls-remote {shown(source.urls[0])} lists what it has",
    )


def _asked(
    source: GitSource, patience: Patience, stop: threading.Event, wanted: Sequence[str]
) -> dict[str, str]:
    """Those references that match, of the first address that answers."""
    reasons: list[str] = []
    for url in source.urls:
        try:
            with scratch("dom0-debs-git-") as folder:
                git = Git(folder, patience, stop, source.name)
                return parse(git.run("ls-remote", "--quiet", "--", url, *wanted))
        except Failed as error:
            reasons.append(f"{shown(url)}: {error.reason}")
    raise BuildError(
        f"source {source.name} could not be asked: {'; '.join(reasons)}",
        hint=f"--set sources.{source.name}.urls=... names another copy of the repository",
        exit=Exit.SOURCE,
    )


def parse(text: str) -> dict[str, str]:
    """References by name; of an annotated tag the commit that it names, not the tag's own."""
    found: dict[str, str] = {}
    peeled: dict[str, str] = {}
    for line in text.split("\n"):
        if match := _LINE.fullmatch(line):
            name = match["name"]
            into = peeled if name.endswith("^{}") else found
            into[name.removesuffix("^{}")] = match["commit"]
    return found | peeled


def newer(names: Mapping[str, str], commit: str) -> list[Newer]:
    """Later releases of the series that `commit` is the release of, and its stable branch.

    Of a commit that is no release nothing is known, unless a stable branch is at it.
    """
    releases = {name: match for name in names if (match := _RELEASE.fullmatch(name))}
    ours = next((match for name, match in releases.items() if names[name] == commit), None)
    if ours is None:
        return []
    later = [
        (int(match["patch"] or 0), name)
        for name, match in releases.items()
        if (match["prefix"], match["series"]) == (ours["prefix"], ours["series"])
        and int(match["patch"] or 0) > int(ours["patch"] or 0)
    ]
    found = [Newer(_short(name), names[name], False) for _, name in sorted(later, reverse=True)[:1]]
    for branch in (f"refs/heads/stable-{ours['series']}", f"refs/heads/linux-{ours['series']}.y"):
        if names.get(branch, commit) != commit:
            found.append(Newer(_short(branch), names[branch], True))
    return found


def _short(name: str) -> str:
    return name.split("/", 2)[2]
