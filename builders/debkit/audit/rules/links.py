# SPDX-License-Identifier: GPL-2.0-or-later
"""Rules on symbolic and hard links."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator

from builders.debkit.audit.facts import Facts
from builders.debkit.audit.model import Found, Needs, Severity, rule
from builders.debkit.deb import Entry
from builders.debkit.deb.kernels import to_build
from builders.debkit.deb.places import VOLATILE, beneath


def _target(path: str, link: str) -> str:
    """Where a symbolic link at `path` leads, as an absolute path."""
    return posixpath.normpath(posixpath.join(posixpath.dirname(path), link))


def link_target(entry: Entry) -> str:
    """Where a symbolic link of a package leads, as an absolute path."""
    return _target(entry.path, entry.info.linkname)


@rule(
    "link-form",
    Severity.WARNING,
    explanation="A symbolic link within one folder of the root has to be relative, and one to"
    " another folder of the root absolute, so that either folder can be moved.",
    reference="Policy 10.5",
    remedy="make the link anew in the other form",
    needs=Needs.MEMBERS,
)
def _link_form(facts: Facts) -> Iterator[Found]:
    for entry in facts.entries:
        link = entry.info.linkname
        if not entry.info.issym() or not link or entry.path == "/etc/os-release":
            continue  # os-release(5) wants that one to be relative
        target = _target(entry.path, link)
        same = entry.path.split("/")[1] == target.split("/")[1]
        if link.startswith("/") and same and entry.path.count("/") > 1:
            yield Found(f"leads to {link}, absolutely", entry.path)
        elif not link.startswith("/") and not same and entry.path.count("/") > 1:
            yield Found(f"leads to {link}, relatively", entry.path)


@rule(
    "link-leaves-root",
    Severity.ERROR,
    explanation="A relative link goes up further than the root. Seen from outside, as in a chroot"
    " or an image, it leads to another file.",
    reference="Policy 10.5",
    remedy="make the link anew, so that it stays below the root",
    needs=Needs.MEMBERS,
)
def _link_leaves_root(facts: Facts) -> Iterator[Found]:
    for entry in facts.entries:
        if entry.info.issym() and not entry.info.linkname.startswith("/"):
            depth = entry.path.count("/") - 1
            for part in entry.info.linkname.split("/"):
                depth += {"..": -1, ".": 0, "": 0}.get(part, 1)
                if depth < 0:
                    yield Found(f"leads to {entry.info.linkname}", entry.path)
                    break


@rule(
    "link-loop",
    Severity.ERROR,
    explanation="A symbolic link leads to itself, at once or by way of others.",
    reference="symlink(7)",
    remedy="remove the links, and ship the file that they should lead to",
    needs=Needs.MEMBERS,
)
def _link_loop(facts: Facts) -> Iterator[Found]:
    links = {e.path: _target(e.path, e.info.linkname) for e in facts.entries if e.info.issym()}
    loops: set[str] = set()
    followed: set[str] = set()
    for path in links:
        chain: dict[str, None] = {}
        at = path
        while at in links and at not in followed:
            followed.add(at)
            chain[at] = None
            at = links[at]
        if at in chain:
            members = list(chain)
            loops.update(members[members.index(at) :])
        if path in loops:
            yield Found(f"leads to {links[path]}, and so back to itself", path)


_BUILD = re.compile(r"/(home|tmp|var/tmp|builds?|buildd|root)(/|$)")


@rule(
    "link-to-build",
    Severity.ERROR,
    explanation="A symbolic link leads to a person's folder, to a temporary one or to that of the"
    " build. On another system it leads nowhere, or to a file that anybody may put"
    " there.",
    reference="Policy 9.1.1, 10.5; FHS 3.8, 3.18",
    remedy="name the link under remove in the recipe's corrections, or make it anew",
    needs=Needs.MEMBERS,
)
def _link_to_build(facts: Facts) -> Iterator[Found]:
    for entry in facts.entries:
        if entry.info.issym() and not to_build(entry.path, entry.info.linkname, facts.paths):
            target = _target(entry.path, entry.info.linkname)
            # A skeleton of a home may be made of links within it.
            if _BUILD.match(target) and not _BUILD.match(entry.path):
                yield Found(f"leads to {entry.info.linkname}", entry.path)


@rule(
    "kernel-build-link",
    Severity.ERROR,
    explanation="build or source of a kernel's modules leads to the folder in which the kernel"
    " was compiled. No other system has that folder. Debian's linux-headers packages"
    " have such a link, to /usr/src.",
    reference="Policy 10.5; Debian's own linux-headers packages",
    remedy="finish the package: the links are removed",
    needs=Needs.MEMBERS,
)
def _kernel_build_link(facts: Facts) -> Iterator[Found]:
    for entry in facts.entries:
        if entry.info.issym() and to_build(entry.path, entry.info.linkname, facts.paths):
            yield Found(f"leads to {entry.info.linkname}", entry.path)


@rule(
    "dangling-link",
    Severity.WARNING,
    explanation="A symbolic link leads to a path that the package does not have, though it has"
    " the folder, and nothing that it depends on can bring it. With dependencies it is"
    " a note: one of them may have the file. Links to the documents of a dependency"
    " are right.",
    reference="Policy 10.5, 12.3",
    remedy="remove the link, or ship or depend on what it leads to",
    needs=Needs.MEMBERS,
)
def _dangling_link(facts: Facts) -> Iterator[Found]:
    depends = facts.relations("Depends", "Pre-Depends", "Recommends", "Suggests")
    needed = facts.relations("Depends", "Pre-Depends")
    own = [n for n in depends if not n.startswith(("libc6", "libgcc"))]
    folders = {posixpath.dirname(entry.path) for entry in facts.entries if not entry.info.isdir()}
    for entry in facts.entries:
        if not entry.info.issym():
            continue
        target = _target(entry.path, entry.info.linkname)
        made = beneath(target, ("/etc/alternatives", "/var", *VOLATILE))
        if target in facts.paths or made or posixpath.dirname(target) not in folders:
            continue
        if posixpath.dirname(target) == "/usr/share/doc" and posixpath.basename(target) in needed:
            continue  # Policy 12.3: in place of a folder of its own
        yield Found(
            f"leads to {entry.info.linkname}, which is not there",
            entry.path,
            Severity.INFO if own else None,
        )


@rule(
    "hard-link-across",
    Severity.WARNING,
    explanation="A hard link leads to another folder. Folders may lie on several file systems, and"
    " then dpkg cannot unpack the package.",
    reference="Policy 10.5 (rationale), link(2) EXDEV",
    remedy="make it a symbolic link",
    needs=Needs.MEMBERS,
)
def _hard_link_across(facts: Facts) -> Iterator[Found]:
    for entry in facts.entries:
        if entry.info.islnk():
            one, other = posixpath.dirname(entry.path), posixpath.dirname(entry.target)
            # /usr as a whole is one file system on any Debian that boots.
            apart = not (one.startswith("/usr/") and other.startswith("/usr/"))
            if one != other and apart:
                yield Found(f"is a hard link to {entry.target}", entry.path)
