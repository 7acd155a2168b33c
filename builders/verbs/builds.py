# SPDX-License-Identifier: GPL-2.0-or-later
"""What each verb does, from its arguments to what it has to say."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from builders import doctor, face, recipe, run
from builders.artifacts import Package
from builders.errors import BuildError
from builders.pipeline import STAGES, TARGETS, Pipeline, State
from builders.progress import Reporter
from builders.reports import Report
from builders.run import Run
from builders.sources.cache import Cache
from builders.stages import Store
from builders.steps import ccache
from builders.steps.step import Step
from builders.steps.tree import prepare
from builders.suite import image
from builders.verbs import maintainer

if TYPE_CHECKING:
    from builders.finish import Finished
    from builders.sources.cache import Fetched
    from builders.trial import install, judges


def begin(
    name: str,
    overrides: Sequence[str],
    reporter: Reporter,
    *,
    jobs: int = 0,
    offline: bool = False,
    form: str = "table",
) -> Run:
    """A run of the recipe of that name; form: in which there will be something to say."""
    known_form(form)
    loaded = recipe.load(name, [*maintainer.overrides(os.environ), *overrides])
    folder = run.artifacts() / loaded.name
    return Run(loaded, reporter, folder, Cache.default(), jobs=jobs, offline=offline)


def build(
    it: Run,
    flavour: str,
    targets: Iterable[str] = TARGETS,
    *,
    keep_going: bool = False,
    shell: bool = False,
) -> list[Package]:
    """Make all that is missing; the finished packages."""
    from builders.steps import terminal

    if shell and not sys.stdin.isatty():
        raise BuildError("a shell needs a terminal", hint="leave it out")
    pipeline = Pipeline(
        it,
        flavour,
        targets,
        keep_going=keep_going,
        shell=terminal.on_failure(it.reporter) if shell else None,
    )
    with it.alone():
        if not pipeline.ready():
            checks = doctor.examine(it, pipeline.sources, connect=lambda: it.client)
            error = doctor.failed(checks)
            if error:
                raise error
            for check in checks:
                if check.state == doctor.WARN:
                    it.reporter.line(f"warning: {check.name}: {check.why}: {check.remedy}")
        return pipeline.build()


def explain(it: Run, flavour: str, targets: Iterable[str] = TARGETS) -> list[State]:
    """Every stage with hit or miss, and why."""
    return Pipeline(it, flavour, targets).explain()


def fetch(it: Run, *, refresh: bool = False) -> dict[str, Fetched]:
    """All sources of the recipe, of every flavour, in the cache."""
    flavours = sorted(it.recipe.kernel.flavours)
    # The flavour on the packaged config reads the most sources.
    flavours.sort(key=lambda name: it.recipe.kernel.flavours[name].base != "packaged")
    with it.alone():
        return Pipeline(it, flavours[0]).fetch(refresh=refresh)


def make_image(it: Run, *, refresh: bool = False) -> image.Image:
    """The builder image, made where it is missing, or anew."""
    with it.alone():
        return Pipeline(it, next(iter(it.recipe.kernel.flavours))).image(refresh=refresh)


def shell(it: Run, tree: str, flavour: str) -> int:
    """An interactive shell in the recipe's builder, with the tree of a build unpacked or none."""
    from builders.steps import terminal

    if tree not in ("", *TARGETS):
        raise BuildError(f"--tree {tree}: there is no such build", hint="xen or kernel")
    if not sys.stdin.isatty():
        raise BuildError("a shell needs a terminal", hint="run it in one")
    pipeline = Pipeline(it, flavour, [tree] if tree else TARGETS)
    compiled = {ccache.volume(it.recipe.suite.name): "/ccache"}
    with it.alone():
        builder = pipeline.image()
        fetched = pipeline.fetch() if tree else {}
        with Step(it, "shell", builder.name, volumes=compiled) as step:
            if tree:
                plan = pipeline.plan(tree)
                prepare(step, plan, fetched)
                for phase in plan.phases:
                    if phase.name in {"unpack", "place", "patch"}:
                        step.phase(phase.name, phase.script, folder=phase.folder)
            step.pause()
            return terminal.interact(step.container, "/build/tree" if tree else "/build")


def finish(it: Run, flavour: str) -> list[Package]:
    """Correct the built packages anew and publish them."""
    with it.alone():
        return Pipeline(it, flavour).finish_again()


def finish_own(
    paths: Sequence[str],
    rules: str,
    out: str,
    name: str,
    overrides: Sequence[str],
    reporter: Reporter,
) -> list[Finished]:
    """Correct the .debs at `paths` by the file `rules`; what was made."""
    from builders.verbs import custom

    wanted = [Path(path) for path in paths if path]
    if not wanted or not rules:
        raise BuildError(
            "a package of your own needs its rules" if wanted else "no package is named",
            hint="./inv finish some.deb --rules my.toml",
        )
    it = begin(name, overrides, reporter) if name else None
    return custom.correct(wanted, Path(rules), Path(out or "."), it)


def given(it: Run, flavour: str, paths: Sequence[str]) -> tuple[list[Path], list[Path]]:
    """The packages to try and the raw ones before them: what was built, or the .debs at `paths`."""
    if any(paths):
        from builders import audit

        return audit.expand([Path(path) for path in paths if path]), []
    debs = [package.path for package in build(it, flavour)]
    return debs, Pipeline(it, flavour).raw()


def check(it: Run, flavour: str, paths: Sequence[str]) -> list[judges.Verdict]:
    """What lintian and piuparts of the suite say of the packages."""
    from builders.trial import judges

    debs, raw = given(it, flavour, paths)
    with it.alone():
        return judges.check(it, debs, raw)


def install_test(it: Run, flavour: str, paths: Sequence[str]) -> list[install.Outcome]:
    """What became of the packages on clean machines."""
    from builders.trial import install

    debs, raw = given(it, flavour, paths)
    with it.alone():
        return install.install_test(it, debs, raw)


def known_form(form: str) -> None:
    """BuildError where `form` is no form of output."""
    if form not in ("table", "json"):
        raise BuildError(f"--format {form}: no such format", hint="table or json")


def doctor_checks(it: Run) -> list[doctor.Check]:
    """Every check of the recipe; nothing is installed or started."""
    from builders.engine import connection

    sources = dict(it.recipe.sources)
    return doctor.examine(it, sources, connect=lambda: connection.connect(it.reporter, setup=False))


def doctor_status(checks: Sequence[doctor.Check]) -> int:
    """The exit status for what the doctor found."""
    error = doctor.failed(list(checks))
    return int(error.exit) if error else 0


def list_recipes(form: str) -> str:
    """The recipes, the default one marked."""
    known_form(form)
    found = [recipe.load(name) for name in recipe.names()]
    if form == "json":
        about = [
            {
                "name": r.name,
                "suite": r.suite.name,
                "summary": r.summary,
                "flavours": sorted(r.kernel.flavours),
                "default": r.name == recipe.DEFAULT,
            }
            for r in found
        ]
        return json.dumps(about, indent=2)
    return face.table(
        [
            (r.name + ("*" if r.name == recipe.DEFAULT else ""), r.suite.name, r.summary)
            for r in found
        ]
    )


def dom0_config(
    it: Run, hide: Sequence[str], asked: Mapping[str, Any], version: str, out: str
) -> Report:
    """Make the package of a host's settings; what was made and how to install it."""
    from builders.host import devices, dom0

    like = dom0.style(it.recipe)
    chosen = dom0.settings(hide, like=like, **asked)
    warnings = dom0.warnings(chosen, devices.memory())
    for warning in warnings:
        it.reporter.line(f"warning: {warning}")
    folder = Path(out) if out else it.folder / "host"
    package = dom0.package(it.recipe, chosen, folder, version=version)
    made, tells = face.near(package), dom0.tells(it.recipe, chosen)
    where = made if made.startswith("/") else f"./{made}"
    text = [
        made,
        *(f"  {line}" for line in tells),
        "",
        "on the host, with the packages of Xen and the kernel:",
        f"  apt install {where}",
    ]
    document = {
        "file": str(package.absolute()),
        "xen_options": chosen.xen_options,
        "linux_options": chosen.linux_options,
        "tells": tells,
        "warnings": warnings,
    }
    return Report("\n".join(text), document)


def domu_config(it: Run, asked: Mapping[str, Any], out: str) -> Report:
    """Write a guest file to `out`, or give its text where that is empty."""
    from builders.host import domu

    guest = domu.guest(it.recipe, domu.Asked(**asked))
    warnings = domu.warnings(guest)
    for warning in warnings:
        it.reporter.line(f"warning: {warning}")
    content = domu.text(guest)
    text = content.rstrip("\n")
    if out:
        domu.write(content, Path(out))
        text = f"{out}\n\nlook at it, then start the guest:\n  {guest.toolstack} create {out}"
    document = {
        "file": str(Path(out).absolute()) if out else None,
        "toolstack": guest.toolstack,
        "text": content,
        "warnings": warnings,
    }
    return Report(text, document)


def devices(form: str, sysfs: str) -> str:
    """The PCI devices that `sysfs` shows, and what may be hidden from dom0."""
    from builders.host import devices as host

    known_form(form)
    if not (Path(sysfs) / "bus").is_dir():
        raise BuildError(f"--sysfs {sysfs}: no sysfs there", hint="a folder that holds bus/pci")
    machine = host.look(Path(sysfs))
    return host.to_json(machine) if form == "json" else host.table(machine, face.width())


def clean(reporter: Reporter, name: str, *, old: bool, images: bool, cache: bool) -> Report:
    """Remove what was built of one recipe or all; with the flags, less of it or more.

    old: only outputs of stages that a newer one has replaced. images: also what lies in the
    engine. cache: also the sources. It is said as it is done, and the report has no text.
    """
    wanted = Path(name).stem if name.endswith(".toml") else name
    # Only folders that are there and ours: a name never leads out of the artifacts.
    ours = sorted(f for f in run.artifacts().glob("*/") if (f / run.LOCK).exists())
    folders = [folder for folder in ours if not name or folder.name == wanted]
    if name and not folders:
        there = ", ".join(folder.name for folder in ours) or "nothing"
        raise BuildError(f"nothing was built of recipe {name}", hint=f"there is: {there}")
    removed: list[dict[str, Any]] = []
    document: dict[str, Any] = {"artifacts": removed, "engine": None, "freed": None}
    for folder in folders:
        with run.hold(folder):
            if old:
                gone = Store(folder / STAGES).forget_old()
                reporter.line(f"{folder.name}: removed {gone} replaced output(s)")
            else:
                gone = None
                shutil.rmtree(folder)
                reporter.line(f"{folder.name}: removed")
        removed.append({"recipe": folder.name, "replaced": gone})
    if images:
        from builders.engine import connection
        from builders.engine.leftovers import remove_images

        document["engine"] = remove_images(connection.connect(reporter, setup=False))
        reporter.line(f"the engine: removed {document['engine']} image(s) and volume(s)")
    if cache:
        document["freed"] = Cache.default().prune()
        reporter.line(f"the source cache: freed {document['freed'] / (1 << 20):.0f} MiB")
    return Report("", document)
