# SPDX-License-Identifier: GPL-2.0-or-later
"""The verbs. Each parses, calls the library and prints; `face` turns errors into exit codes.

What only one verb needs is imported in it: each ./inv pays for what is imported here.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict

from invoke.context import Context
from invoke.tasks import task

from builders.errors import Exit
from builders.pipeline import recipe as recipes_
from builders.show import face, reports
from builders.show.face import verb
from builders.show.terminal import Terminal
from builders.verbs import builds, quick
from builders.verbs.verb import Verb

RECIPE = {
    "recipe": "name of a recipe (`invoke recipes` lists them), or a .toml file",
    "set_": "KEY=VALUE: override one value of the recipe for this run; may be given again",
}
FORMAT = {"format": "table or json (docs/json.md)"}
FLAVOUR = {"flavour": "of the kernel: debian (the suite's config; the default) or minimal"}
BUILT = {"flavour": "of the kernel (default: the one that was built)"}
BUILD = {
    **RECIPE,
    **FORMAT,
    "jobs": "compilers at once, for all steps together (default: every core)",
    "explain": "only say, for every stage, whether it is done, and what changed if not",
    "offline": "use only what is cached",
    "shell": "open a shell in the container where a step fails",
    "clean": "take nothing from ccache, and no earlier build that did",
}
TRIAL = {
    **RECIPE,
    **BUILT,
    **FORMAT,
    "path": "a .deb or a folder of them, in place of the recipe's; ./inv needs no --path",
    "offline": "use only what earlier trials downloaded",
}
SETS = ["set_"]


@task(
    klass=Verb,
    name="build-all",
    iterable=SETS,
    help={**BUILD, **FLAVOUR, "keep_going": "when one build fails, let the other one end"},
)
@verb
def build_all(
    _: Context,
    recipe: str = recipes_.DEFAULT,
    flavour: str = "",
    set_: list[str] | None = None,
    jobs: int = 0,
    explain: bool = False,
    offline: bool = False,
    keep_going: bool = False,
    shell: bool = False,
    clean: bool = False,
    format: str = "table",
) -> int:
    """Build Xen and the dom0 kernel; the finished packages go to artifacts/RECIPE/."""
    it = builds.begin(recipe, set_ or [], Terminal(), jobs=jobs, offline=offline, form=format)
    if explain:
        report = reports.stages(builds.explain(it, flavour))
    else:
        report = reports.packages(
            builds.build(it, flavour, keep_going=keep_going, shell=shell, clean=clean)
        )
    face.show(report.said(format))
    return Exit.DONE


@task(klass=Verb, name="build-xen", iterable=SETS, help=BUILD)
@verb
def build_xen(
    _: Context,
    recipe: str = recipes_.DEFAULT,
    set_: list[str] | None = None,
    jobs: int = 0,
    explain: bool = False,
    offline: bool = False,
    shell: bool = False,
    clean: bool = False,
    format: str = "table",
) -> int:
    """Build only the hypervisor and its tools."""
    it = builds.begin(recipe, set_ or [], Terminal(), jobs=jobs, offline=offline, form=format)
    if explain:
        report = reports.stages(builds.explain(it, "", ["xen"]))
    else:
        report = reports.packages(builds.build(it, "", ["xen"], shell=shell, clean=clean))
    face.show(report.said(format))
    return Exit.DONE


@task(klass=Verb, name="build-kernel", iterable=SETS, help={**BUILD, **FLAVOUR})
@verb
def build_kernel(
    _: Context,
    recipe: str = recipes_.DEFAULT,
    flavour: str = "",
    set_: list[str] | None = None,
    jobs: int = 0,
    explain: bool = False,
    offline: bool = False,
    shell: bool = False,
    clean: bool = False,
    format: str = "table",
) -> int:
    """Build only the dom0 kernel."""
    it = builds.begin(recipe, set_ or [], Terminal(), jobs=jobs, offline=offline, form=format)
    if explain:
        report = reports.stages(builds.explain(it, flavour, ["kernel"]))
    else:
        report = reports.packages(builds.build(it, flavour, ["kernel"], shell=shell, clean=clean))
    face.show(report.said(format))
    return Exit.DONE


@task(
    klass=Verb,
    iterable=SETS,
    help={**RECIPE, **FORMAT, "again": "ask the suite again for its newest version"},
)
@verb
def fetch(
    _: Context,
    recipe: str = recipes_.DEFAULT,
    set_: list[str] | None = None,
    again: bool = False,
    format: str = "table",
) -> int:
    """Fetch and verify every source of a recipe into the cache."""
    it = builds.begin(recipe, set_ or [], Terminal(), form=format)
    face.show(reports.sources(builds.fetch(it, refresh=again)).said(format))
    return Exit.DONE


@task(
    klass=Verb,
    iterable=SETS,
    help={**RECIPE, **FORMAT, "again": "make it anew, with the suite's newest packages"},
)
@verb
def image(
    _: Context,
    recipe: str = recipes_.DEFAULT,
    set_: list[str] | None = None,
    again: bool = False,
    format: str = "table",
) -> int:
    """Make the builder image of a recipe."""
    it = builds.begin(recipe, set_ or [], Terminal(), form=format)
    face.show(reports.image(builds.make_image(it, refresh=again)).said(format))
    return Exit.DONE


@task(
    klass=Verb,
    iterable=[*SETS, "path"],
    help={
        **RECIPE,
        **BUILT,
        "path": "a .deb of your own in place of what was built; ./inv needs no --path",
        "rules": "the .toml file of its corrections (docs/finish.md)",
        "out": "the folder for it (default: this one)",
        **FORMAT,
    },
)
@verb
def finish(
    _: Context,
    path: list[str] | None = None,
    rules: str = "",
    out: str = "",
    recipe: str = "",
    flavour: str = "",
    set_: list[str] | None = None,
    format: str = "table",
) -> int:
    """Correct the packages that were built once more, or a .deb of your own by --rules."""
    builds.known_form(format)
    made: Sequence[reports.Packed]
    if path or rules or out:
        made = builds.finish_own(path or [], rules, out, recipe, set_ or [], Terminal())
    else:
        made = builds.finish(
            builds.begin(recipe or recipes_.DEFAULT, set_ or [], Terminal()), flavour
        )
    face.show(reports.packages(made).said(format))
    return Exit.DONE


@task(
    klass=Verb,
    iterable=[*SETS, "path", "only", "skip"],
    help={
        "path": "a .deb, or a folder of them; ./inv needs no --path before it, and takes many",
        "format": "table, json, sarif or github (annotations); only of findings the last two",
        "diff": "compare two packages, or two folders; exit status 1 where a change is an error",
        "fail_on": "exit status 1 from this severity on: error, warning, info or never",
        "only": "RULE: tell only of this rule, with every row; may be given again",
        "skip": "RULE: leave this rule out; may be given again",
        "baseline": "FILE: a report written with --format json, whose findings are accepted",
        "fast": "only rules that need no contents of files",
        "suite": "SUITE: judge by its dpkg and apt, and say which dependencies it has not",
        "explain": "RULE: tell what it looks for, on what it rests and what to do; audit nothing",
        "rules": "list all rules; audit nothing",
        **RECIPE,
    },
)
@verb
def inspect(
    _: Context,
    path: list[str] | None = None,
    format: str = "table",
    recipe: str = recipes_.DEFAULT,
    set_: list[str] | None = None,
    diff: bool = False,
    fail_on: str = "error",
    only: list[str] | None = None,
    skip: list[str] | None = None,
    baseline: str = "",
    fast: bool = False,
    suite: str = "",
    explain: str = "",
    rules: bool = False,
) -> int:
    """Audit any .deb, or the recipe's packages; exit status 1 where there are errors."""
    return quick.inspect(
        path=path or (),
        format=format,
        recipe=recipe,
        set_=set_ or (),
        diff=diff,
        fail_on=fail_on,
        only=only or (),
        skip=skip or (),
        baseline=baseline,
        fast=fast,
        suite=suite,
        explain=explain,
        rules=rules,
    )


@task(klass=Verb, iterable=[*SETS, "path"], help=TRIAL)
@verb
def check(
    _: Context,
    path: list[str] | None = None,
    recipe: str = recipes_.DEFAULT,
    flavour: str = "",
    set_: list[str] | None = None,
    format: str = "table",
    offline: bool = False,
) -> int:
    """Have the suite's lintian and piuparts judge the packages; exit status 1 on a finding."""
    from builders.proofs.trial import judges
    from builders.show import trials

    it = builds.begin(recipe, set_ or [], Terminal(), offline=offline, form=format)
    found = builds.check(it, flavour, path or [])
    face.show(trials.verdicts(found).said(format))
    return judges.exit_code(found)


@task(klass=Verb, name="install-test", iterable=[*SETS, "path"], help=TRIAL)
@verb
def install_test(
    _: Context,
    path: list[str] | None = None,
    recipe: str = recipes_.DEFAULT,
    flavour: str = "",
    set_: list[str] | None = None,
    format: str = "table",
    offline: bool = False,
) -> int:
    """Install, use, upgrade, purge the packages on clean machines; exit status 1 on failure."""
    from builders.proofs.trial import install
    from builders.show import trials

    it = builds.begin(recipe, set_ or [], Terminal(), offline=offline, form=format)
    found = builds.install_test(it, flavour, path or [])
    face.show(trials.cases(found).said(format))
    return install.exit_code(found)


@task(klass=Verb, iterable=SETS, help={**RECIPE, "format": "table or json"})
@verb
def doctor(
    _: Context,
    recipe: str = recipes_.DEFAULT,
    set_: list[str] | None = None,
    format: str = "table",
) -> int:
    """Look at all that a build needs before it starts; changes nothing."""
    from builders.verbs import upkeep

    builds.known_form(format)
    checks = upkeep.doctor_checks(builds.begin(recipe, set_ or [], Terminal()))
    if format == "json":
        face.show(json.dumps([asdict(check) for check in checks], indent=2))
    else:
        face.show(face.checks(checks))
    return upkeep.doctor_status(checks)


@task(klass=Verb, help={"format": "table or json"})
@verb
def recipes(_: Context, format: str = "table") -> int:
    """List the recipes."""
    from builders.verbs import upkeep

    face.show(upkeep.list_recipes(format))
    return Exit.DONE


@task(
    klass=Verb,
    name="dom0-config",
    iterable=[*SETS, "hide"],
    help={
        **RECIPE,
        "hide": "address of a PCI device that dom0 leaves to guests; may be given again",
        "dom0_mem": "memory of dom0 with its unit, such as 4096M",
        "dom0_vcpus": "virtual CPUs of dom0 (default: all)",
        "vnc_listen": "where xend's guests serve their screens (Xen 4.2; default 127.0.0.1)",
        "no_save": "shut guests down with the host, and do not save them",
        "version": "of the package (default: 1+ and a digest of the settings)",
        "out": "the folder for it (default: artifacts/RECIPE/host)",
        **FORMAT,
    },
)
@verb
def dom0_config(
    _: Context,
    hide: list[str] | None = None,
    dom0_mem: str = "",
    dom0_vcpus: str = "",
    vnc_listen: str = "",
    no_save: bool = False,
    version: str = "",
    out: str = "",
    recipe: str = recipes_.DEFAULT,
    set_: list[str] | None = None,
    format: str = "table",
) -> int:
    """Make the package of this host's settings: hidden devices, dom0's memory, what boots."""
    from builders.verbs import hosts

    it = builds.begin(recipe, set_ or [], Terminal(), form=format)
    asked = {"memory": dom0_mem, "vcpus": dom0_vcpus, "vnc": vnc_listen, "save": not no_save}
    face.show(hosts.dom0_config(it, hide or [], asked, version, out).said(format))
    return Exit.DONE


@task(
    klass=Verb,
    name="domu-config",
    iterable=[*SETS, "disk", "pci", "bridge", "usb"],
    help={
        **RECIPE,
        "name": "of the guest",
        "memory": "of the guest with its unit, such as 4096M",
        "vcpus": "virtual CPUs",
        "disk": "PATH[,FORMAT[,VDEV[,r or w]]], FORMAT raw, qcow2, vhd or cdrom; again for more",
        "pci": "BDF[,OPTION=VALUE]..., such as 02:00.0,permissive=1; again for more",
        "type": "hvm, pv or pvh",
        "toolstack": "xl, or xm with Xen 4.2",
        "vnc": "ADDRESS[:DISPLAY] of the guest's screen, or no (default 127.0.0.1)",
        "bridge": "BRIDGE[,MAC] of the host for a network card; again for more",
        "usb": "tablet, mouse, keyboard or host:VENDOR:PRODUCT; again for more",
        "kernel": "of a PV or PVH guest (default: pygrub looks on its disk)",
        "ramdisk": "for that kernel",
        "extra": "options for that kernel",
        "windows": "local time, Hyper-V's interfaces and a tablet",
        "gfx_passthru": "the PCI graphics card is the guest's primary one (xl.cfg(5))",
        "out": "the file for it (default: print it)",
        **FORMAT,
    },
)
@verb
def domu_config(
    _: Context,
    name: str,
    memory: str = "",
    vcpus: str = "1",
    disk: list[str] | None = None,
    pci: list[str] | None = None,
    type: str = "hvm",
    toolstack: str = "xl",
    vnc: str = "",
    bridge: list[str] | None = None,
    usb: list[str] | None = None,
    kernel: str = "",
    ramdisk: str = "",
    extra: str = "",
    windows: bool = False,
    gfx_passthru: bool = False,
    out: str = "",
    recipe: str = recipes_.DEFAULT,
    set_: list[str] | None = None,
    format: str = "table",
) -> int:
    """Write the file of a guest for xl or xm, its PCI devices with it."""
    from builders.verbs import hosts

    it = builds.begin(recipe, set_ or [], Terminal(), form=format)
    asked = {
        "name": name,
        "memory": memory,
        "vcpus": vcpus,
        "type": type,
        "toolstack": toolstack,
        "disks": disk or [],
        "pci": pci or [],
        "bridges": bridge or [],
        "usb": usb or [],
        "kernel": kernel,
        "ramdisk": ramdisk,
        "extra": extra,
        "vnc": vnc,
        "windows": windows,
        "primary": gfx_passthru,
    }
    face.show(hosts.domu_config(it, asked, out).said(format))
    return Exit.DONE


@task(
    klass=Verb,
    help={"format": "table or json", "sysfs": "a folder laid out like /sys, with proc beside it"},
)
@verb
def devices(_: Context, format: str = "table", sysfs: str = "/sys") -> int:
    """List this machine's PCI devices: what goes together, what dom0 can do without."""
    from builders.verbs import hosts

    face.show(hosts.devices(format, sysfs))
    return Exit.DONE


@task(
    klass=Verb,
    iterable=SETS,
    help={**RECIPE, **FLAVOUR, "tree": "unpack and patch this tree: xen, kernel"},
)
@verb
def shell(
    _: Context,
    recipe: str = recipes_.DEFAULT,
    flavour: str = "",
    set_: list[str] | None = None,
    tree: str = "",
) -> int:
    """Open a shell in the builder of a recipe."""
    return builds.shell(builds.begin(recipe, set_ or [], Terminal()), tree, flavour)


@task(
    klass=Verb,
    help={
        "recipe": "only of this recipe (default: of all)",
        "old": "only what newer builds have replaced",
        "images": "also the images and volumes in the engine",
        "cache": "also the cached sources",
        "all_": "all of that",
        **FORMAT,
    },
)
@verb
def clean(
    _: Context,
    recipe: str = "",
    old: bool = False,
    images: bool = False,
    cache: bool = False,
    all_: bool = False,
    format: str = "table",
) -> int:
    """Remove what was built."""
    from builders.verbs import upkeep

    builds.known_form(format)
    done = upkeep.clean(Terminal(), recipe, old=old, images=images or all_, cache=cache or all_)
    face.show(done.said(format))
    return Exit.DONE


@task(
    klass=Verb,
    help={
        "only": "one part: lint, unit, dpkg, engine, page, build or boot",
        "build": "also build a recipe's packages for real and boot them (always in CI)",
        "long": "also run the tests that take many minutes, which CI leaves out",
        **FORMAT,
    },
)
@verb
def test(
    _: Context, only: str = "", build: bool = False, long: bool = False, format: str = "table"
) -> int:
    """Run the linters, the unit tests and the tests with a real engine."""
    from builders.verbs import testing

    builds.known_form(format)
    face.show(testing.run(Terminal(), only, build=build, long=long).said(format))
    return Exit.DONE


@task(
    klass=Verb,
    name="boot-test",
    iterable=SETS,
    help={
        **RECIPE,
        **BUILT,
        "controls": "also three boots that have to fail, each for its own reason",
        "guest": "also hand the card to a guest: pv, pvh (which gets no card), or all",
        "accel": "kvm, tcg (emulation), or auto: kvm where this user may use it",
        "timeout": "seconds until a machine that hangs is ended",
        "format": "table or json",
    },
)
@verb
def boot_test(
    _: Context,
    recipe: str = recipes_.DEFAULT,
    flavour: str = "",
    set_: list[str] | None = None,
    controls: bool = False,
    guest: str = "",
    accel: str = "auto",
    timeout: float = 120.0,
    format: str = "table",
) -> int:
    """Boot the packages in QEMU, a network card hidden; exit status 1 where a check fails."""
    from builders.verbs import boot

    it = builds.begin(recipe, set_ or [], Terminal())
    text, code = boot.boot_test(it, flavour, accel, timeout, format, controls=controls, guest=guest)
    face.show(text)
    return code


@task(
    klass=Verb,
    iterable=SETS,
    help={
        **RECIPE,
        "flavour": "of the kernel; one that was not built is built (default: the one that was)",
        "only": "one of them: xen or kernel",
        "seconds": "how far the second build's clock is ahead",
        "format": "table or json",
    },
)
@verb
def reproduce(
    _: Context,
    recipe: str = recipes_.DEFAULT,
    flavour: str = "",
    set_: list[str] | None = None,
    only: str = "",
    seconds: int = 97_200,
    format: str = "table",
) -> int:
    """Build again as if on another box; exit status 1 where a byte of a package differs."""
    from builders.verbs import rebuild

    it = builds.begin(recipe, set_ or [], Terminal())
    text, code = rebuild.reproduce(it, flavour, only, seconds, format)
    face.show(text)
    return code


@task(
    klass=Verb,
    help={
        "recipe": RECIPE["recipe"],
        "flavour": "release only this kernel (default: every one that was built)",
        "sign_key": "fingerprint or user id of your key, or a key file (default: a trial key)",
        "out": "the folder (default: artifacts/RECIPE/release)",
        "url": "where it will be served, for the .sources file (default: file: and the folder)",
        "keep": "how many older versions of each build stay; -1 keeps all",
        "key": "public keys that signed the release before, a file, where another key does now",
        "format": "table or json",
    },
)
@verb
def release(
    _: Context,
    recipe: str = recipes_.DEFAULT,
    flavour: str = "",
    sign_key: str = "",
    out: str = "",
    url: str = "",
    keep: int = -1,
    key: str = "",
    format: str = "table",
) -> int:
    """Make a signed apt repository of what was built, with its attestations."""
    from builders.verbs import releases

    wanted = releases.Wanted(flavour, sign_key, out, url, keep, format, key)
    face.show(releases.release(recipe, wanted, Terminal()))
    return Exit.DONE


@task(
    klass=Verb,
    iterable=["path"],
    help={
        "path": "the folder of a release; ./inv needs no --path before it",
        "key": "file with the public keys that may have signed it (default: the one in it)",
        "format": "table or json",
    },
)
@verb
def verify(_: Context, path: list[str] | None = None, key: str = "", format: str = "table") -> int:
    """Check a release: signatures, digests, all there; exit status 1 where it is not sound."""
    from builders.verbs import releases

    text, code = releases.verify(path or [], key, format, Terminal())
    face.show(text)
    return code


@task(
    klass=Verb,
    iterable=["path"],
    help={
        "path": "the folders of two releases, the old one first; ./inv needs no --path",
        "format": "markdown or json",
    },
)
@verb
def diff(_: Context, path: list[str] | None = None, format: str = "markdown") -> int:
    """Tell what changed between two releases: inputs, packages, kernel options, audit."""
    from builders.verbs import releases

    face.show(releases.difference(path or [], format))
    return Exit.DONE


@task(
    klass=Verb,
    iterable=SETS,
    help={
        **RECIPE,
        "flavour": "of the kernel (default: minimal)",
        "part": "tests, or release: everything from the sources to a verified release",
        **FORMAT,
    },
)
@verb
def ci(
    _: Context,
    part: str = "tests",
    recipe: str = recipes_.DEFAULT,
    flavour: str = "minimal",
    set_: list[str] | None = None,
    format: str = "table",
) -> int:
    """Run what a CI job runs: a line for each stage, and a summary for the job's page."""
    from builders.verbs import ci as continuous

    builds.known_form(format)
    summary = continuous.Summary()
    try:
        return continuous.run(part, recipe, flavour, set_ or [], Terminal(), summary)
    finally:  # of a stage that failed too
        face.show(summary.report().said(format))


@task(klass=Verb, help={"only": "one of them: rewrite, inspect, build or idle", **FORMAT})
@verb
def bench(_: Context, only: str = "", format: str = "table") -> int:
    """Measure the speed figures that the README quotes, each against its peer."""
    from builders.verbs import testing

    builds.known_form(format)
    face.show(testing.bench(Terminal(), only, format).said(format))
    return Exit.DONE
