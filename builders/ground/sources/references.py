# SPDX-License-Identifier: GPL-2.0-or-later
"""What a branch or a tag of a repository is today, and that a tag was signed."""

from __future__ import annotations

from collections.abc import Callable

from builders.errors import Interrupted
from builders.ground.sources.address import Failed, Passing, is_local
from builders.ground.sources.git import Git
from builders.ground.sources.pins import GitSource
from builders.ground.sources.upstream import parse
from builders.text import nearest, printable

# Given the signed text of a tag, its signature and the source: BuildError where it doesn't count.
Trust = Callable[[bytes, bytes, GitSource], None]

_LARGEST = 1 << 20  # bytes of a tag
_SIGNATURE = b"-----BEGIN PGP SIGNATURE-----"


def commit_of(git: Git, source: GitSource, url: str, trust: Trust | None) -> str:
    """The commit that `source.ref` names in the repository at `url`.

    Where the source says whose signatures count, the tag has one of them, and says this name.
    Raises Failed where there is no such branch or tag, BuildError where it is not signed so.
    """
    branch, tag = f"refs/heads/{source.ref}", f"refs/tags/{source.ref}"
    there = _listed(git, url, branch, tag, f"{tag}^{{}}")
    if branch in there and tag in there:
        raise Failed(f"{source.ref} is a branch and a tag there: pin a commit")
    if branch not in there and tag not in there:
        names = [name.split("/", 2)[2] for name in _listed(git, url, "refs/heads/*", "refs/tags/*")]
        raise Failed(
            f"it has no branch or tag {source.ref}{nearest(source.ref, map(printable, names))}"
        )
    commit = there.get(tag) or there[branch]
    if source.signed_by:
        if tag not in there:
            raise Failed(f"{source.ref} is a branch: only a tag can be signed")
        _signed(git, source, url, commit, trust)
    return commit


def _listed(git: Git, url: str, *patterns: str) -> dict[str, str]:
    """The references of a repository that match, each with its commit."""
    attempt = 1
    while True:
        try:
            said = git.output("ls-remote", "--quiet", "--", url, *patterns)
            break
        except Passing as error:
            if is_local(url) or attempt >= git.patience.attempts:
                raise Failed(error.reason) from None
            attempt += 1
            if git.stop.wait(min(git.patience.pause * 2 ** (attempt - 2), git.patience.longest)):
                raise Interrupted from None
    return parse(said.decode("utf-8", "replace"))


def _signed(git: Git, source: GitSource, url: str, commit: str, trust: Trust | None) -> None:
    """Fetch a tag and have its signature checked; it has to be the one of that commit."""
    name = f"refs/tags/{source.ref}"
    git.run("init", "--quiet", "--bare", "--template=", str(git.folder / "git"))
    git.run("fetch", "--quiet", "--depth=1", "--no-tags", "--", url, f"+{name}:{name}")
    if git.run("cat-file", "-t", name).strip() != "tag":
        raise Failed(f"{source.ref} is no annotated tag: it can't be signed")
    if int(git.run("cat-file", "-s", name)) > _LARGEST:
        raise Failed(f"the tag {source.ref} has more than {_LARGEST >> 10} KiB")
    text, mark, signature = git.output("cat-file", "tag", name).partition(_SIGNATURE)
    if not mark:
        raise Failed(f"the tag {source.ref} is not signed")
    # Else a server could hand out an old tag that was signed, by the name of a new one.
    head = text.partition(b"\n\n")[0].split(b"\n")
    if head[:3] != [f"object {commit}".encode(), b"type commit", f"tag {source.ref}".encode()]:
        raise Failed(f"what was signed is not the tag {source.ref} of commit {commit}")
    if trust is None:
        raise Failed("nobody is here to check the tag's signature")
    trust(text, mark + signature, source)
