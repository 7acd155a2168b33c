# SPDX-License-Identifier: GPL-2.0-or-later
"""Look at all that a build needs, before it starts.

Each check is a line: what was looked at, its state, why, and the remedy.
build-all runs the same checks and stops with them rather than an hour later.
"""

from __future__ import annotations

import shlex
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from builders.errors import BuildError, Exit
from builders.ground.engine import connection
from builders.ground.engine.failures import engine_errors
from builders.ground.sources.address import Failed, Patience, shown
from builders.ground.suite import archive, image, mirror, namespace
from builders.pipeline import recipe as recipes
from builders.pipeline.recipe import GitSource, Source, TreeSource, UrlSource
from builders.pipeline.run import Run
from builders.pipeline.supplies import cached
from builders.text import amount

if TYPE_CHECKING:
    from docker import DockerClient

OK, WARN, FAIL = "ok", "warn", "fail"
MAPS = Path("/proc/self/maps")
_GIB = 1 << 30
_AGAIN = "./inv fetch --again asks the mirror once more; another one may have it"
_ARTIFACTS = 2 * _GIB  # what a recipe's stages and packages take, the debian flavour included


@dataclass(frozen=True)
class Check:
    """What was looked at, "ok", "warn" or "fail", why, and what to do about it."""

    name: str
    state: str
    why: str
    remedy: str = ""


def examine(run: Run, sources: dict[str, Source], *, connect: Callable[[], Any]) -> list[Check]:
    """All checks of one recipe; `connect` gives the engine's client or raises BuildError."""
    there = cached(run, sources)
    missing = {name: source for name, source in sources.items() if name not in there}
    checks, has_image = _engine(run, connect)
    checks += [_room("artifacts", run.folder, _ARTIFACTS)]
    checks += [_room("source cache", run.cache.root, _GIB)] if missing else []
    checks += _tools(run, missing, has_image)
    if run.recipe.suite.vsyscall:
        checks.append(_vsyscall())
    checks += [
        Check(f"source {name}", WARN, f"in the cache {fetched.version}; {fetched.behind}", _AGAIN)
        if fetched.behind
        else Check(f"source {name}", OK, f"in the cache {fetched.version}".strip())
        for name, fetched in there.items()
    ]
    if run.offline:
        checks += [
            Check(f"source {name}", FAIL, "not in the cache", "leave --offline out, once")
            for name in missing
        ]
        return checks
    with ThreadPoolExecutor(8) as pool:
        asked = pool.submit(_mirror, run) if missing or not has_image else None
        looked = {
            name: pool.submit(_source, name, source, None)
            for name, source in missing.items()
            if isinstance(source, (UrlSource, GitSource))
        }
        answered = asked.result() if asked else None
        checks += [answered] if answered else []
        checks += [
            looked[name].result() if name in looked else _source(name, source, answered)
            for name, source in missing.items()
        ]
    return checks


def for_image(run: Run) -> None:
    """BuildError where the builder image has to be made, and what that needs is not there."""
    if not image.find(run):
        error = failed(examine(run, {}, connect=lambda: run.client), run)
        if error:
            raise error


def failed(checks: list[Check], run: Run | None = None) -> BuildError | None:
    """The error for the checks that failed, if any did.

    Several sources that fail are one cause in it. run: of the recipe that is to be built.
    """
    bad = [check for check in checks if check.state == FAIL]
    if not bad:
        return None
    exit = Exit.SOURCE if all(map(_of_source, bad)) else Exit.ENGINE
    sources = [check for check in bad if _of_source(check)]
    sources = sources if len(sources) > 1 else []
    mirror_failed = next((check for check in bad if check.name == "mirror"), None)
    rest = [check for check in bad if check not in sources]
    lines, hints = [], []
    who = _who(run.recipe.name) if run else "the recipe"
    message = f"{who} cannot be built here"
    if sources and run and run.offline:
        lines.append(f"{len(sources)} sources are not in the cache: {_names(sources)}")
        hints.append(sources[0].remedy)
    elif sources:
        reached = f"the download sites of {len(sources)} sources"
        if mirror_failed and run and (host := _host(run)) and host in mirror_failed.why:
            message += f": this box reaches neither {host} nor {reached}"
            rest.remove(mirror_failed)
        else:
            message += f": this box does not reach {reached}"
        lines.append(f"sources: {_names(sources)}")
    lines = [*(f"{check.name}: {check.why}" for check in rest), *lines]
    hints = [*(check.remedy for check in rest if check.remedy), *hints]
    if sources and run and not run.offline:
        hints.append(_other_recipes(run))
    if run:
        hints.append(f"details: ./inv doctor --recipe {shlex.quote(run.origin or run.recipe.name)}")
    return BuildError(
        "\n".join([message if ":" in message else f"{message}:", *(f"  {line}" for line in lines)]),
        hint="; ".join(dict.fromkeys(hints)),
        exit=exit,
    )


def verdict(checks: list[Check], run: Run) -> str:
    """Whether the recipe can be built here; where its sources cannot be had, what next, too."""
    error = failed(checks, run)
    if not error:
        return f"{_who(run.recipe.name)} can be built here"
    line = error.message.partition("\n")[0].rstrip(":")
    other = _other_recipes(run)
    return f"{line}\nnext: {other}" if other in error.hint else line


def _other_recipes(run: Run) -> str:
    """How to see the recipes, with one whose sources are all Debian's, where there is one."""
    other = _of_debian_alone(run)
    return "./inv recipes" + (f", e.g. --recipe {other}" if other else "")


def _of_source(check: Check) -> bool:
    return check.name.startswith("source ")


def _names(sources: list[Check]) -> str:
    return ", ".join(check.name.removeprefix("source ") for check in sources)


def _who(name: str) -> str:
    return f"{name} (the default recipe)" if name == recipes.DEFAULT else name


def _host(run: Run) -> str:
    """The host of the suite's mirror; "" where nobody names one."""
    try:
        return urlsplit(mirror.of(run.recipe.suite).main).hostname or ""
    except BuildError:
        return ""


def _of_debian_alone(run: Run) -> str:
    """Another recipe that needs the box's own mirror and no download site; "" where none does."""
    for name in recipes.names():
        try:
            other = recipes.load(name)
        except BuildError:
            continue
        kinds = {isinstance(source, (UrlSource, GitSource)) for source in other.sources.values()}
        as_much = set(run.recipe.targets) <= set(other.targets)
        if name != run.recipe.name and as_much and not other.suite.mirror and kinds == {False}:
            return name
    return ""


def _engine(run: Run, connect: Callable[[], DockerClient]) -> tuple[list[Check], bool]:
    """The checks of the engine, and whether it has the recipe's builder image."""
    try:
        client = connect()
        with engine_errors("looking at the engine"):
            version, info = client.version(), client.info()
        has_image = image.exists(client, image.name(run.recipe))
    except BuildError as error:
        return [Check("engine", FAIL, error.message, error.hint)], False
    what = f"{version.get('Version')}, API {version.get('ApiVersion')}, {info.get('Driver')}"
    checks = [Check("engine", OK, what)]
    memory, wanted = int(info.get("MemTotal", 0)), run.recipe.builder.memory * _GIB
    if memory and memory < wanted:
        checks.append(
            Check(
                "engine memory",
                WARN,
                f"{amount(memory)}, and a step may use {amount(wanted)}",
                f"--set builder.memory={max(1, memory // _GIB)} keeps it from swapping",
            )
        )
    folder = Path(str(info.get("DockerRootDir", "")))
    if _local() and folder.is_dir():
        checks.append(
            _room("engine disk", folder, run.recipe.builder.disk * _GIB, "./inv clean --images")
        )
    return checks, has_image


def _local() -> bool:
    """Whether the engine's disk is this machine's: of one behind ssh the client's own address
    is a local socket too, so it is the address that the user chose that tells."""
    return urlsplit(connection.endpoint().host).scheme in {"unix", "http+unix"}


def _room(name: str, folder: Path, wanted: int, remedy: str = "") -> Check:
    try:
        while not folder.exists():
            folder = folder.parent
    except OSError as error:  # not for this user's eyes, or a circle of links
        return Check(name, FAIL, f"{folder}: {error.strerror}", "name a folder of your own")
    if not folder.is_dir():
        return Check(name, FAIL, f"{folder} is a file", "name a folder")
    free = shutil.disk_usage(folder).free
    what = f"{amount(free)} free, {amount(wanted)} may be needed"
    if free >= wanted:
        return Check(name, OK, what)
    # Most of a need may be met already: only a disk that is nearly full is sure to fail.
    state = FAIL if free < wanted // 8 else WARN
    return Check(name, state, f"{what} in {folder}", remedy or f"make room in {folder}")


def _tools(run: Run, missing: dict[str, Source], has_image: bool) -> list[Check]:
    wanted = [] if run.recipe.suite.image or has_image else ["mmdebstrap"]
    wanted += ["git"] if any(isinstance(s, GitSource) for s in missing.values()) else []
    checks = []
    for tool in wanted:
        if shutil.which(tool):
            checks.append(Check(tool, OK, "installed"))
        else:
            checks.append(Check(tool, FAIL, "not installed", f"apt-get install {tool}"))
    if "mmdebstrap" in wanted and (problem := namespace.obstacle()):
        checks.append(Check("user namespace", FAIL, *problem))
    if "mmdebstrap" in wanted and shutil.which("mmdebstrap"):
        why = archive.hookless(run.recipe.suite)
        checks += [Check("mmdebstrap's hooks", FAIL, why, archive.HOOK_REMEDY)] if why else []
    return checks


def _vsyscall() -> Check:
    """glibc before 2.14 calls the vsyscall page, and dies where the kernel has none."""
    if "[vsyscall]" in MAPS.read_text(encoding="utf-8"):
        return Check("vsyscall", OK, "the kernel has the page that old suites call")
    return Check(
        "vsyscall",
        FAIL,
        "this kernel has no vsyscall page: programs of this suite die with status 139",
        "boot the box with vsyscall=emulate",
    )


def _mirror(run: Run) -> Check:
    from builders.ground.sources.download import get

    try:
        served = mirror.of(run.recipe.suite)
    except BuildError as error:
        return Check("mirror", FAIL, error.message, error.hint)
    url = f"{served.main}/dists/{run.recipe.suite.name}/Release"
    problem = next(filter(None, (mirror.too_new(run.recipe.suite, at) for at in served.all)), None)
    if problem:
        return Check("mirror", FAIL, problem.message, problem.hint)
    patience = Patience(connect=10, stall=10, answer=20, attempts=1)
    try:
        answer = get(url, 0, method="HEAD", patience=patience)
    except Failed as error:
        return Check(
            "mirror",
            FAIL,
            f"nothing answers at {shown(served.main)} ({error.reason}{_said_by(run)})",
            f"correct it, or name another in {mirror.MAIN}",
        )
    if answer.status != 200:
        return Check(
            "mirror",
            FAIL,
            f"{shown(url)} answers {answer.status}{_said_by(run)}",
            f"does it carry {run.recipe.suite.name}? {mirror.MAIN} names another",
        )
    if problem := mirror.too_new(run.recipe.suite, served.main, answer.url):
        return Check("mirror", FAIL, problem.message, problem.hint)
    return Check("mirror", OK, f"{served.main} has {run.recipe.suite.name}")


def _said_by(run: Run) -> str:
    """Who named the mirror, in words that follow a reason; "" where it is the box's own."""
    who = mirror.said_by(run.recipe.suite)
    return f"; set by {who}" if who else ""


def _source(name: str, source: Source, answered: Check | None) -> Check:
    from builders.ground.sources.fetching import reachable

    if isinstance(source, TreeSource):
        return Check(f"source {name}", FAIL, f"what was read from {source.path} is gone", "--tree")
    if not isinstance(source, (UrlSource, GitSource)):
        if answered and answered.state == FAIL:
            return Check(f"source {name}", WARN, "unknown: it comes from the mirror", "see there")
        return Check(f"source {name}", OK, f"{source.package} {source.version} from the mirror")
    why = reachable(source, timeout=10)
    if why is None:
        return Check(f"source {name}", OK, "reachable")
    return Check(
        f"source {name}", FAIL, why, f"--set sources.{name}.urls=file:///... takes a local copy"
    )
