# SPDX-License-Identifier: GPL-2.0-or-later
"""A tree and patches of the user's own in place of a recipe's source, for one run.

What `--tree` and `--patch` name is read once, kept in the cache by its digest, and becomes `--set`
of the run: the manifest has these, so that whatever reads the packages later means the same bytes.
"""

from __future__ import annotations

import errno
import os
import re
import stat
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from builders import forms
from builders.errors import BuildError
from builders.ground.sources import worktree
from builders.ground.sources.address import is_file
from builders.ground.sources.cache import Cache, Fetched
from builders.ground.sources.pins import GitSource, TreeSource, UrlSource
from builders.pipeline.artifacts import Manifest
from builders.pipeline.recipe import Recipe, Source
from builders.pipeline.recipe.schema import quoted
from builders.progress import Reporter
from builders.text import amount, cut, printable

TARGETS = {"xen": "xen", "linux": "kernel", "kernel": "kernel"}  # as they are typed
_CALLED = {"xen": "Xen", "kernel": "the kernel"}
_MAKEFILES = ("Makefile", "GNUmakefile", "makefile")
_PATCH = 16 << 20  # bytes of one
_PATCHES = 200
_NAMES = re.compile(rb"^(--- |\*\*\* |Index: |diff --git )", re.MULTILINE)
_BINARY = re.compile(rb"^GIT binary patch\r?$", re.MULTILINE)
# What makes the version of a changed tree: deb-version(7) has it rise with the number.
_DEV = re.compile(r"~dev\.(\d{1,9})\+g[0-9a-f]{12}")
_UNNAMED = "+dom0"  # where a recipe has no revision: the result has to sort above the raw version


def overrides(
    recipe: Recipe,
    trees: Sequence[str],
    patches: Sequence[str],
    cache: Cache,
    reporter: Reporter,
    *,
    usual: str = "",
    stop: threading.Event | None = None,
) -> list[str]:
    """The `--set` that stand for `--tree` and `--patch`; the files are in the cache then.

    usual: "xen" or "kernel" where only that is built, so that a patch which says nothing is of it;
    "" where all is, and such a patch is of what the recipe builds first. Raises BuildError where a
    tree or patch can't be read, or is of what isn't built.
    """
    found: list[str] = []
    for target, path in _trees(recipe, trees, usual):
        name = _source(recipe, target)
        with reporter.work(f"{target} tree") as task:
            task.show("read", printable(path))
            snapshot = worktree.read(
                Path(path).expanduser(), name, cache, needs=_MAKEFILES, stop=stop
            )
        for note in snapshot.notes:
            reporter.line(f"{name}: {note}")
        found += of_tree(snapshot.source)
        size = amount(snapshot.file.size)
        reporter.line(f"{name}: {snapshot.files:,} files of {snapshot.source.path}, {size}")
    return [*found, *_patches(recipe, patches, cache, usual)]


def of_tree(source: TreeSource) -> list[str]:
    """The `--set` that make a tree the source of that name."""
    key = f"sources.{source.name}"
    return [
        f"{key}.kind=tree",
        f"{key}.path={quoted(source.path)}",
        f"{key}.sha256={source.sha256}",
        f"{key}.commit={quoted(source.commit)}",
    ]


def _built(recipe: Recipe, target: str, usual: str, option: str) -> None:
    """Refuse what an option says of a target that this run does not build."""
    if target not in recipe.targets:
        raise recipe.lacks(target)
    if usual and target != usual:
        raise BuildError(
            f"{option} is of {_CALLED[target]}, and only {_CALLED[usual]} is asked for",
            hint="leave it out, or build the other one, too",
        )


def _trees(recipe: Recipe, given: Sequence[str], usual: str) -> Iterator[tuple[str, str]]:
    seen: set[str] = set()
    for text in given:
        word, equals, path = text.partition("=")
        if word not in TARGETS or not equals or not path:
            raise BuildError(
                f"--tree {cut(text)}: not of the form xen=FOLDER or linux=FOLDER",
                hint="for example --tree xen=../xen",
            )
        target = TARGETS[word]
        if target in seen:
            raise BuildError(f"--tree {word}= is given twice", hint="leave one of them out")
        seen.add(target)
        _built(recipe, target, usual, f"--tree {cut(text)}")
        yield target, path


def _source(recipe: Recipe, target: str) -> str:
    """The name of the source that is the tree of "xen" or "kernel"."""
    return recipe.reads(target)[0]


def _patches(recipe: Recipe, given: Sequence[str], cache: Cache, usual: str) -> list[str]:
    if len(given) > _PATCHES:
        raise BuildError(
            f"{len(given)} patches; at most {_PATCHES}", hint="commit them to a tree: --tree"
        )
    names: dict[str, list[str]] = {}
    found: list[str] = []
    for number, text in enumerate(given, 1):
        word, colon, path = text.partition(":")
        if not colon or word not in TARGETS:
            word, path = usual or recipe.targets[0], text
        target = TARGETS[word]
        _built(recipe, target, usual, f"--patch {cut(text)}")
        source = _patch(Path(path).expanduser().absolute(), f"patch-{number}-{target}", cache)
        names.setdefault(target, []).append(source.name)
        found.append(
            f'sources.{source.name}={{kind="url", urls=[{quoted(source.urls[0])}], '
            f'sha256="{source.sha256}", size={source.size}, filename={quoted(source.filename)}}}'
        )
    for target, more in names.items():
        about = recipe.xen if target == "xen" else recipe.kernel
        every = [*(about.apply if about else ()), *more]
        found.append(f"{target}.apply=[{', '.join(map(quoted, every))}]")
    return found


def _patch(path: Path, name: str, cache: Cache) -> UrlSource:
    """The patch at that path as a pinned source, kept in the cache."""
    shown = printable(str(path))
    file = path.name if not forms.file_name(path.name) else "given.patch"
    try:
        state = path.stat()
        if not stat.S_ISREG(state.st_mode):
            raise OSError(errno.EINVAL, "it is no plain file")
        if not state.st_size:
            raise OSError(errno.EINVAL, "it is empty")
        if state.st_size > _PATCH:
            raise OSError(errno.EFBIG, f"it has more than {amount(_PATCH)}")
        with path.open("rb") as stream:
            text = stream.read(_PATCH)
        if not _NAMES.search(text):
            raise OSError(errno.EINVAL, "no line of it names a file to change")
        if _BINARY.search(text):
            raise OSError(
                errno.EINVAL, "it changes a file that is no text, which patch(1) can't do"
            )
        # A link to a patch is one; the cache takes no link.
        kept = cache.adopt(path.resolve(), name=file, keep=True)
    except (OSError, RuntimeError) as error:
        why = getattr(error, "strerror", None) or str(error)
        raise BuildError(
            f"--patch {shown}: {why}",
            hint="name a text file as git diff writes it, or give the whole tree: --tree",
        ) from None
    source = UrlSource(name, (path.as_uri(),), kept.sha256, kept.size, file)
    cache.record(source, Fetched(name, kept.sha256, (kept,)))
    return source


# -- the version ----------------------------------------------------------------


def changed(recipe: Recipe, target: str) -> list[Source]:
    """The sources of "xen" or "kernel" that are somebody's own: a tree, patches of this box."""
    about = recipe.xen if target == "xen" else recipe.kernel
    patches = [recipe.sources[name] for name in (about.apply if about else ())]
    return [
        *(s for n in recipe.reads(target) if isinstance(s := recipe.sources[n], TreeSource)),
        *(p for p in patches if isinstance(p, UrlSource) and is_file(p.urls[0])),
    ]


def said(recipe: Recipe, target: str) -> tuple[str, ...]:
    """What the manifest, and whoever reads it, says of packages that are from such sources."""
    lines = []
    for source in changed(recipe, target):
        if isinstance(source, TreeSource):
            at = f", git {source.commit[:12]}" if source.commit else ""
            lines.append(f"from a changed tree: {source.path} ({source.sha256[:12]}{at})")
        elif isinstance(source, UrlSource):
            lines.append(f"with the patch {source.filename} ({source.sha256[:12]})")
    return tuple(lines)


def followed(recipe: Recipe, target: str, commits: Mapping[str, str]) -> tuple[str, ...]:
    """Of each source that is a branch or a tag, the commit that was built; commits: by source."""
    return tuple(
        f"source {name}: {source.ref} is at {commits[name]}"
        for name in recipe.reads(target)
        if isinstance(source := recipe.sources[name], GitSource) and source.ref and name in commits
    )


def versioned(recipe: Recipe, target: str, build: str, manifest: Manifest) -> Recipe:
    """`recipe` with the version that packages of a changed tree have, as a `--set` of it.

    target: "xen" or "kernel-FLAVOUR". build: the key of its build. The number is one more than that
    of the last such packages, so that apt upgrades to these; the same build keeps the one it has.
    """
    kind = target.partition("-")[0]
    sources = changed(recipe, kind)
    if not sources:
        return recipe
    before = manifest.targets.get(target)
    corrections = recipe.finish[kind]
    key = "version" if corrections.version else "revision"
    plain = _DEV.sub("", getattr(corrections, key)) or _UNNAMED
    suffix = ""
    if before and before.build == build:
        last = [text for text in before.overrides if text.startswith(f"finish.{kind}.{key}=")]
        match = _DEV.search(last[-1]) if last else None
        suffix = match[0] if match else ""
    if not suffix:
        suffix = f"~dev.{manifest.numbers.get(target, 0) + 1}+g{_hash(sources)}"
    text = f"finish.{kind}.{key}={quoted(plain + suffix)}"
    corrections = (
        replace(corrections, version=plain + suffix)
        if key == "version"
        else replace(corrections, revision=plain + suffix)
    )
    finish = {**recipe.finish, kind: corrections}
    given = tuple(t for t in recipe.overrides if not t.startswith(f"finish.{kind}.{key}="))
    return replace(recipe, finish=finish, overrides=(*given, text))


def uncompressed(recipe: Recipe, target: str) -> Recipe:
    """`recipe` with packages that are quick to make, as those of a kept tree are.

    What the user typed of compression stays. `compressed` takes it back.
    """
    if any(text.startswith(f"finish.{target}.compression=") for text in recipe.overrides):
        return recipe
    corrections = replace(recipe.finish[target], compression="none", level=-1)
    return replace(
        recipe,
        finish={**recipe.finish, target: corrections},
        overrides=(*recipe.overrides, *_uncompressed(target)),
    )


def compressed(overrides: Sequence[str], target: str) -> list[str]:
    """The overrides of a build without those of `uncompressed`."""
    return [text for text in overrides if text not in _uncompressed(target)]


def _uncompressed(target: str) -> tuple[str, ...]:
    return f'finish.{target}.compression="none"', f"finish.{target}.level=-1"


def number(recipe: Recipe, target: str) -> int:
    """The number in the version that `versioned` gave; 0 where there is none."""
    corrections = recipe.finish[target.partition("-")[0]]
    match = _DEV.search(corrections.version or corrections.revision)
    return int(match[1]) if match else 0


def _hash(sources: Sequence[Source]) -> str:
    """The commit that a tree is at, or the digest of what was changed: 12 digits."""
    first = sources[0]
    if isinstance(first, TreeSource):
        return (first.commit or first.sha256)[:12]
    return first.sha256[:12] if isinstance(first, UrlSource) else "0" * 12


def titles(recipe: Recipe, target: str) -> Mapping[str, str]:
    """How a person calls each patch that is a source: the path of its file, or its name."""
    about = recipe.xen if target == "xen" else recipe.kernel
    found: dict[str, str] = {}
    for name in about.apply if about else ():
        source = recipe.sources[name]
        url = source.urls[0] if isinstance(source, UrlSource) else ""
        found[name] = os.fspath(_path(url)) if is_file(url) else f"source {name}"
    return found


def _path(url: str) -> Path:
    from urllib.parse import unquote, urlsplit

    return Path(unquote(urlsplit(url).path))
