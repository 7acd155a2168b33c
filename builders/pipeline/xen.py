# SPDX-License-Identifier: GPL-2.0-or-later
"""What is particular to building the hypervisor and its tools."""

from __future__ import annotations

import shlex

from builders.pipeline import plan
from builders.pipeline.plan import TREE, WORK, Phase, Plan
from builders.pipeline.recipe import Recipe, Xen

# Xen's Config.mk and xen/Makefile: what would else be the box's date, user and host.
_ENVIRONMENT = """
XEN_BUILD_DATE=$(date -u -d "@$SOURCE_DATE_EPOCH" +%Y-%m-%d)
XEN_BUILD_TIME=$(date -u -d "@$SOURCE_DATE_EPOCH" +%H:%M:%S)
export XEN_BUILD_DATE XEN_BUILD_TIME
export XEN_BUILD_HOST=builder XEN_WHOAMI=builder XEN_DOMAIN=localdomain
"""


def describe(recipe: Recipe) -> Plan:
    """The plan of the recipe's Xen."""
    xen = recipe.xen
    if xen is None:
        raise recipe.lacks("xen")
    phases = [plan.unpack(xen.source)]
    if xen.place or xen.files:
        phases.append(Phase("place", _place(xen)))
    phases += [*plan.patch(xen.patches), *plan.apply(xen.apply)]
    if xen.configure:
        phases.append(Phase("configure", plan.lines(xen.configure, _ENVIRONMENT), parallel=True))
    phases.append(Phase("build", plan.lines(xen.build, _ENVIRONMENT), parallel=True))
    phases.append(plan.collect((xen.deb,), xen.source))
    return Plan(
        name="xen",
        sources=recipe.reads("xen"),
        phases=tuple(phases),
        patches=xen.patches,
        files={f"files/{n}": text.encode() for n, text in enumerate(xen.files.values())},
        makeflags=xen.makeflags,
        debs=(xen.deb,),
        places=(*xen.place, *xen.files),
        applied=xen.apply,
    )


def _place(xen: Xen) -> str:
    """Put other sources and small files where Xen's Makefiles would have downloaded them to."""
    script = plan.shell("untar")
    for path, source in xen.place.items():
        target = shlex.quote(f"{TREE}/{path.rstrip('/')}")
        if path.endswith("/"):
            script += f"untar {WORK}/in/{source}/* {target}\n"
        else:
            script += f'mkdir -p "$(dirname {target})"\ncp {WORK}/in/{source}/* {target}\n'
    for n, path in enumerate(xen.files):
        target = shlex.quote(f"{TREE}/{path}")
        script += f'mkdir -p "$(dirname {target})"\ncp {WORK}/files/{n} {target}\n'
    return script
