# SPDX-License-Identifier: GPL-2.0-or-later
"""A new recipe: a short file that takes one of the project's own and names other sources.

What a suite needs to build a Xen, and how its packages are corrected, is knowledge of the recipes
that are there. So a new one includes the nearest of these, and pins its sources.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from builders import forms
from builders.errors import BuildError, Exit
from builders.files import write
from builders.ground.sources import upstream
from builders.ground.sources.address import Patience, is_local
from builders.ground.sources.pins import DebianPackage, DebianSource, GitSource
from builders.pipeline import recipe as recipes
from builders.pipeline.recipe import RECIPES, Recipe
from builders.pipeline.recipe.checks import RECIPE_NAME
from builders.pipeline.recipe.schema import quoted
from builders.text import nearest, printable

SUITE, NONE = "suite", "none"  # of the suite's own sources; not at all
_XEN = ("https://xenbits.xen.org/git-http/xen.git", "https://github.com/xen-project/xen.git")
_LINUX = (
    "https://git.kernel.org/pub/scm/linux/kernel/git/stable/linux.git",
    "https://kernel.googlesource.com/pub/scm/linux/kernel/git/stable/linux.git",
)
_NUMBER = re.compile(r"(?<![0-9.])([0-9]{1,4})\.([0-9]{1,4})")
_RELEASE = re.compile(r"[0-9]{1,4}\.[0-9]{1,4}(\.[0-9]{1,4})?")
# What Linux wants to be built with since 6.2, beside what an older one needs.
_NEWER_LINUX = ("debhelper", "libdw-dev")
_SCHEMA = "docs/schemas/recipe.schema.json"
Series = tuple[int, int]


@dataclass(frozen=True)
class Draft:
    """A recipe that was written: its file, what it takes over, and the commits that it pins.

    local: an address in it is a file of this box, which a run has to be allowed to read.
    """

    path: Path
    model: str
    commits: dict[str, str]
    local: bool


def draft(name: str, suite: str, xen: str, linux: str, stop: threading.Event) -> Draft:
    """Write a new recipe of that name, or to that path (.toml).

    xen, linux: SUITE for the suite's own source, NONE for none, or a tag, branch or commit of
    upstream's repository (4.22.0 is its tag RELEASE-4.22.0, 6.12.3 is v6.12.3), of another one
    with "ADDRESS#" before it. What it names today is pinned. Raises BuildError; then no file is
    written.
    """
    path = Path(name) if name.endswith(".toml") else RECIPES / f"{name}.toml"
    if not RECIPE_NAME.fullmatch(path.stem) or (path.stem != name and not name.endswith(".toml")):
        raise BuildError(
            f"{printable(name)[:100]}: the name of a recipe becomes part of folders and volumes",
            hint="letters, digits, '.', '_' and '-'; or the path of a .toml file",
        )
    if path.exists():
        raise BuildError(f"{path} is there already", hint="choose another name, or remove it")
    wanted = {target: ref for target, ref in (("xen", xen), ("kernel", linux)) if ref != NONE}
    git = {target: _tree(target, ref) for target, ref in wanted.items() if ref != SUITE}
    series = {target: _series(ref) for target, ref in wanted.items() if target in git}
    model = _model(suite, set(wanted), series.get("xen"), of_suite="xen" not in git)
    commits = {target: _commit(*tree, stop) for target, tree in git.items()}
    text = _text(path, model, git, commits, series.get("kernel"))
    try:
        write(path, text)
        made = recipes.load(str(path), ["allow_file=true"])
    except OSError as error:
        raise BuildError(
            f"{path}: {error.strerror or error}", hint="name a file in a folder of your own"
        ) from None
    except BuildError:
        path.unlink(missing_ok=True)
        raise
    local = any(is_local(url) for source, _ in git.values() for url in source.urls)
    assert set(made.targets) == set(wanted)  # noqa: S101 - those of its model
    return Draft(path, model.name, commits, local)


def _commit(source: GitSource, ref: str, stop: threading.Event) -> str:
    try:
        return upstream.commit_of(source, ref, Patience(), stop)
    except BuildError as error:
        if error.exit is not Exit.SOURCE:
            raise
        raise BuildError(
            error.message,
            hint=f"another copy of the repository: --{source.name} ADDRESS#{ref}; with a commit of "
            "40 digits in place of a name nobody is asked",
            exit=error.exit,
        ) from None


def _tree(target: str, ref: str) -> tuple[GitSource, str]:
    """The repository and the reference that a word of the command line means."""
    name = "xen" if target == "xen" else "linux"
    address, hash_, rest = ref.rpartition("#")
    if hash_:
        local = is_local(address) and not re.search(r"[\s'\"\\]", address)
        if forms.address(address) and not (local and address.startswith("file:///")):
            raise BuildError(
                f"--{name} {printable(ref)[:100]}: no address before the #",
                hint="such as https://example.org/xen.git#my-branch, or file:///path#my-branch",
            )
        return GitSource(name, (address,), "0" * 40), rest
    if _RELEASE.fullmatch(ref):
        rest = f"RELEASE-{ref}" if target == "xen" else f"v{ref}"
    return GitSource(name, _XEN if target == "xen" else _LINUX, "0" * 40), rest


def _series(text: str) -> Series | None:
    """The series of releases that a reference or a version speaks of: 4.22 of RELEASE-4.22.0."""
    match = _NUMBER.search(text.rpartition("#")[2])
    return (int(match[1]), int(match[2])) if match else None


def _model(suite: str, targets: set[str], series: Series | None, *, of_suite: bool) -> Recipe:
    """The recipe to begin with: of that suite, with these targets, and with the nearest Xen.

    That is the oldest Xen that is not older: what a newer one needs to be built does no harm.
    """
    shipped = [recipes.load(name) for name in recipes.names()]
    if not targets:
        raise BuildError("neither a Xen nor a kernel", hint="leave one of --xen, --linux as it is")
    here = [each for each in shipped if each.suite.name == suite]
    if not here:
        names = sorted({each.suite.name for each in shipped})
        raise BuildError(
            f"no recipe of this project is for {printable(suite)[:60]}" + nearest(suite, names),
            hint=f"--suite: {', '.join(names)}; for another one take a recipe as a model "
            "(docs/recipes.md)",
        )
    fitting = [each for each in here if set(each.targets) == targets]
    # Of a tarball the recipe knows what is in it; a tree of git may lack that.
    kind = DebianSource if of_suite else (DebianSource, GitSource)
    fitting = [e for e in fitting if not e.xen or isinstance(e.sources[e.xen.source], kind)]
    if not fitting:
        what = f"a {min(targets)} alone" if len(targets) == 1 else "a Xen of git or of the suite"
        raise BuildError(
            f"no recipe of this project for {suite} has {what}",
            hint=f"those for {suite}: "
            + "; ".join(f"{each.name} ({', '.join(each.targets)})" for each in here),
        )
    known = {each.name: _xen_series(each) or (0, 0) for each in fitting}
    fitting.sort(key=lambda each: known[each.name])
    if series and "xen" in targets:
        oldest = min(known.values())
        if series < oldest:
            raise BuildError(
                f"Xen {_dotted(series)} on {suite}: the oldest Xen of this project there is "
                f"{_dotted(oldest)}, and an older one does not compile there as it is",
                hint="take a recipe as a model, and its patches (docs/recipes.md)",
            )
        return next((each for each in fitting if known[each.name] >= series), fitting[-1])
    return fitting[-1]


def _xen_series(it: Recipe) -> Series | None:
    if it.xen is None:
        return None
    source = it.sources[it.xen.source]
    if isinstance(source, (DebianSource, DebianPackage)):
        return _series(source.version)
    return _series(it.xen.version)


def _dotted(series: Series) -> str:
    return ".".join(map(str, series))


def _text(
    path: Path,
    model: Recipe,
    git: dict[str, tuple[GitSource, str]],
    commits: dict[str, str],
    linux: Series | None,
) -> str:
    """The file of a new recipe."""
    ours = path.absolute().parent == RECIPES
    include = f"{model.name}.toml" if ours else str(RECIPES / f"{model.name}.toml")
    schema = f"../../{_SCHEMA}" if ours else str(RECIPES.parent.parent / _SCHEMA)
    words = [
        f"{'Xen' if target == 'xen' else 'Linux'} "
        + (f"{git[target][1]} of git" if target in git else "of the suite")
        for target in model.targets
    ]
    summary = f"{' and '.join(words)}, for {model.suite.name}"
    lines = [f"#:schema {schema}", f"include = [{quoted(include)}]", f"summary = {quoted(summary)}"]
    today = datetime.now(UTC).strftime("%Y-%m-%d")
    for target, (source, ref) in git.items():
        lines += ["", f"[sources.{_name(model, target)}] # {ref}, on {today}", 'kind = "git"']
        lines += [f"urls = [{', '.join(map(quoted, source.urls))}]"]
        lines += [f"commit = {quoted(commits[target])}"]
    if "xen" in git:
        version = _series(git["xen"][1])
        lines += ["", "[xen]", f"version = {quoted(_shown(git['xen'][1], version))}"]
    more = [p for p in _NEWER_LINUX if p not in model.builder.packages]
    if "kernel" in git and more and (linux is None or linux > (6, 1)):
        lines += ["", "[builder]", "# Those of the recipe above, and what a newer Linux needs."]
        lines += ["packages = [", *_wrapped([*model.builder.packages, *more]), "]"]
    return "\n".join(lines) + "\n"


def _name(model: Recipe, target: str) -> str:
    """The name of the source that is the tree of a target."""
    build = model.xen if target == "xen" else model.kernel
    assert build  # noqa: S101 - the model was chosen by its targets
    return build.source


def _shown(ref: str, series: Series | None) -> str:
    """The version that is shown to people."""
    exact = re.fullmatch(r"RELEASE-([0-9.]+)", ref)
    return exact[1] if exact else _dotted(series) if series else ""


def _wrapped(words: Sequence[str]) -> list[str]:
    """Strings of a list in TOML, several a line."""
    lines: list[str] = []
    for word in map(quoted, words):
        if lines and len(lines[-1]) + len(word) < 95:
            lines[-1] += f" {word},"
        else:
            lines.append(f"    {word},")
    return lines
