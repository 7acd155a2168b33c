# SPDX-License-Identifier: GPL-2.0-or-later
"""The facts of a release as its page has them, gathered from what the release is made of."""

from __future__ import annotations

import json
import posixpath
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from builders.deb import Deb
from builders.program import VERSION
from builders.release import page
from builders.release.facts import Build, Packed
from builders.release.layout import KEY
from builders.stages import Store

PAGE = "index.html"
_FOLDERS = 8  # of a package that the page shows


def html(folder: Path, builds: Sequence[Build], stages: Path, commit: str, epoch: int) -> bytes:
    """The page of the release in `folder`, all other files of which are there.

    stages: of the recipe, whose records say when each was made.
    """
    recipe = builds[0].recipe
    packages = [package for build in builds for package in build.packages]
    places = {p.path.name: next(folder.rglob(p.path.name)).relative_to(folder) for p in packages}
    flavours = [b.target.partition("-")[2] for b in builds if b.target.startswith("kernel-")]
    names = [p.control["Package"] for p in packages if not _debugging(p.control["Package"])]
    return page.render(
        page.Facts(
            recipe=recipe.name,
            summary=recipe.summary,
            suite=recipe.suite.name,
            flavour=", ".join(flavours),
            tool=f"dom0-debs {VERSION}" + (f" ({commit[:12]})" if commit else ""),
            made=epoch,
            packages=[_packed(package, str(places[package.path.name])) for package in packages],
            inputs=list(_inputs(builds)),
            overrides=sorted({o for build in builds for o in build.overrides}),
            findings=list(_findings(folder)),
            spans=_spans(builds, stages),
            options=recipe.audit.kernel_options,
            install=(
                "install -d /etc/apt/keyrings",
                f"wget -O /etc/apt/keyrings/{KEY}.asc ADDRESS/{KEY}.asc",
                f"echo 'deb [signed-by=/etc/apt/keyrings/{KEY}.asc] ADDRESS"
                f" {recipe.suite.name} main' >/etc/apt/sources.list.d/{KEY}.list",
                "apt-get update",
                f"apt-get install {' '.join(names)}",
            ),
        )
    ).encode()


def _debugging(name: str) -> bool:
    return name.endswith(("-dbgsym", "-dbg"))


def _packed(package: Packed, place: str) -> page.Packed:
    control = package.control
    sizes: Counter[str] = Counter()
    for entry in Deb.open(package.path).index.entries:
        if entry.info.isreg():
            sizes[posixpath.dirname(entry.path)] += entry.info.size
    return page.Packed(
        place,
        control["Package"],
        control["Version"],
        control["Architecture"],
        control.get("Description", "").partition("\n")[0],
        package.size,
        package.sha256,
        tuple(d.strip() for d in control.get("Depends", "").split(",") if d.strip()),
        tuple(sorted(sizes.items(), key=lambda item: (-item[1], item[0]))[:_FOLDERS]),
    )


def _inputs(builds: Iterable[Build]) -> Iterable[page.Input]:
    seen: set[page.Input] = set()
    for build in builds:
        made = [
            page.Input("source", file.name, origin.version, file.sha256)
            for origin in build.origins
            for file in origin.files
        ]
        made += [page.Input("patch", m.name, "", m.sha256) for m in build.patches]
        made += [page.Input("fragment", m.name, "", m.sha256) for m in build.fragments]
        made += [page.Input("recipe", m.name, "", m.sha256) for m in build.recipe_files]
        for one in made:
            if one not in seen:
                seen.add(one)
                yield one


def _findings(folder: Path) -> Iterable[page.Finding]:
    """What the audits found; what one rule says of many files of a package is said once."""
    for path in sorted((folder / "audit").glob("*.json")):
        document: Mapping[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        for package in document["packages"]:
            groups: dict[tuple[str, str, str], list[str]] = {}
            for finding in package["findings"]:
                key = (finding["severity"], finding["rule"], finding["message"])
                groups.setdefault(key, []).append(finding["subject"])
            for (severity, rule, message), subjects in groups.items():
                more = f" and {len(subjects) - 1} more" if len(subjects) > 1 else ""
                where = f"{subjects[0]}{more}: " if subjects[0] else ""
                yield page.Finding(severity, rule, package["package"], where + message)


def _spans(builds: Iterable[Build], stages: Path) -> list[page.Span]:
    store = Store(stages)
    wanted = ["image"]
    for build in builds:
        wanted += [f"{build.target}-build", f"{build.target}-finish"]
    found = [output for name in wanted if (output := store.latest(name))]
    return [page.Span(o.stage, o.ended, o.seconds) for o in found if o.ended]
