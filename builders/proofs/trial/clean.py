# SPDX-License-Identifier: GPL-2.0-or-later
"""Clean machines of a suite, in which packages are tried with the suite's own apt.

Three containers take part. The first has the network and downloads, with apt, what the
packages need from the suite; nothing of it is installed there. What it downloads is kept in a
volume. The second is the clean root of the suite with one apt repository: those downloads and
the packages on trial. It has no network, and ends with its trial. The third, the judge, is a
root with lintian(1) and piuparts(1) of the suite.

Sound to keep: each file in the volume is compared on the box with the suite's signed lists
whenever it is used, and only the first container can write there. Its image holds the lists of the
day when it was made; where the mirror has moved on since, it is made anew.
"""

from __future__ import annotations

import hashlib
import shlex
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from builders.debkit.deb import Deb
from builders.debkit.deb.relations import name_fault
from builders.errors import BuildError, Exit, Interrupted
from builders.files import of_file
from builders.ground.engine.failures import engine_errors
from builders.ground.engine.labels import labels
from builders.ground.engine.step import Step
from builders.ground.suite import downloads, image, mirror
from builders.pipeline.plan import assigned
from builders.proofs.trial import jail
from builders.text import printable
from builders.versions import version_fault

if TYPE_CHECKING:
    from collections.abc import Iterator

    from builders.pipeline.recipe import Suite
    from builders.pipeline.run import Run

T = TypeVar("T")

FOLDER = "/trial"  # in the container: the packages on trial, and the index of the repository
DOWNLOADS = "/downloads"  # the suite's packages
ROOT = "/srv/root"
PACKED = "/srv/root.tar.gz"  # in the judge: the clean root for piuparts
JAIL = "/usr/local/lib/jail.py"
SOURCE = f"deb [trusted=yes] file:/ {FOLDER[1:]}/"  # Filename fields count from /

_SETUP = f"{image.APT_SETUP}mkdir -p {FOLDER} {DOWNLOADS}\n"
# `apt-get satisfy` (1.9), `dpkg --verify` (1.17) and a repository that is trusted by its entry.
APT = (1, 9)
_APT = "dpkg --compare-versions \"$(dpkg-query -W -f '${Version}' apt)\" ge 1.9"
_JUDGES = "apt-get install --yes --no-install-recommends lintian piuparts man-db"
_JUDGE = f"""
{_JUDGES}
apt-get clean
mkdir -p {ROOT} {jail.TREES}
"""
# What piuparts calls by these names is the jail's work; it has mounted everything by then.
_WRAPPERS = {
    "chroot": f'exec python3 -I {JAIL} chroot "$@"',
    "lsof": f'exec python3 -I {JAIL} lsof "$@"',
    "debsums": f'exec python3 -I {JAIL} follow /usr/bin/debsums "$@"',
    "mount": ":",
    "umount": ":",
}
_SHELL = Path(__file__).with_name("shell")


def shell(name: str, words: str = "", **values: str) -> str:
    """The script shell/NAME.sh with the variables that its head asks for.

    words: what is $@ there, quoted for a shell.
    """
    text = (_SHELL / f"{name}.sh").read_text(encoding="utf-8")
    return assigned(**values) + (f"set -- {words}\n" if words else "") + text


def _pack() -> str:
    folders = f"{FOLDER[1:]} {DOWNLOADS[1:]}"
    return shell("pack", root=ROOT, packed=PACKED, folders=folders)


@dataclass(frozen=True)
class Supply:
    """What a trial's repository offers of the suite: paragraphs of a Packages index."""

    paragraphs: tuple[str, ...] = ()


def volume(suite: Suite) -> str:
    """The volume of the packages that were downloaded from a suite, or from a named mirror."""
    return f"dom0-debs-downloads-{suite.name}-{image.root_key(suite)[:8]}"


def _name(run: Run, role: str, script: str) -> str:
    suite = run.recipe.suite
    digest = hashlib.sha256(f"{image.root_key(suite)} {_SETUP} {script}".encode()).hexdigest()
    return f"dom0-debs/{role}-{suite.name}:{digest[:16]}"


def machine_image(run: Run, *, refresh: bool = False) -> str:
    """The clean root with the suite's package lists; made where it is missing."""
    name = _name(run, "trial", "")
    if refresh or not image.exists(run.client, name):
        _online(run)
        base = image.clean_root(run)
        repository, _, tag = name.rpartition(":")
        with Step(run, "trial-image", base, network=True, root=True) as step:
            listing = mirror.sources_list(run.recipe.suite, mirror.of(run.recipe.suite))
            only = "".join(x for x in listing.splitlines(keepends=True) if x.startswith("deb "))
            step.container.put("/etc/apt", [("sources.list", only.encode())])
            step.phase(
                "apt", _APT, hint="trials need apt 1.9 or newer, as Debian 11 and later have"
            )
            step.phase("setup", _SETUP)
            image.update(run, step)
            step.container.commit(repository, tag, {"role": "trial"})
    return name


def judge_image(run: Run) -> str:
    """A root with the suite's lintian and piuparts, and a clean root for the latter inside."""
    name = _name(run, "judge", f"{_JUDGE}{_pack()}")
    if not image.exists(run.client, name):
        _online(run)
        try:
            _make_judge(run, machine_image(run), name)
        except BuildError as error:
            if error.exit not in (Exit.STEP, Exit.SOURCE):
                raise
            _make_judge(run, machine_image(run, refresh=True), name)
    return name


def _make_judge(run: Run, base: str, name: str) -> None:
    repository, _, tag = name.rpartition(":")
    with Step(run, "judge-image", base, network=True, root=True) as step:
        downloads.install(
            run, step, "judges", _JUDGES, hint="does the suite have lintian and piuparts?"
        )
        step.phase("packages", _JUDGE, hint="does the suite have lintian and piuparts?")
        step.say("root")
        with engine_errors("copying the clean root"):
            held = run.client.containers.create(
                image.clean_root(run),
                ["true"],
                network_mode="none",
                labels=labels(run.owner, run.recipe.name, "root"),
            )
            try:
                tar = run.client.api.export(str(held.id))
                run.client.api.put_archive(step.container.id, ROOT, tar)
            finally:
                held.remove(v=True)
        step.container.put(f"{ROOT}/etc/apt", [("sources.list", f"{SOURCE}\n".encode())])
        step.phase("pack", _pack())
        step.container.commit(repository, tag, {"role": "judge"})


def _online(run: Run) -> None:
    if run.offline:
        raise BuildError(
            "the engine has no image for trials, and making one needs the network",
            hint="leave --offline out",
            exit=Exit.ENGINE,
        )


# What goes in


def named(debs: Sequence[Path]) -> None:
    """BuildError (USAGE) where a package has no name or version that dpkg takes.

    They stand in command lines of containers that have the network, or a verdict to give.
    """
    for deb in debs:
        control = Deb.open(deb).control
        for field, fault_of in (("Package", name_fault), ("Version", version_fault)):
            value = str(control.get(field, ""))
            if fault := fault_of(value):
                raise BuildError(
                    f"{printable(deb.name)}: {field} {printable(value[:80])!r} {fault}",
                    hint="dpkg installs no such package: ./inv inspect says more",
                    exit=Exit.USAGE,
                )


def paragraph(deb: Path) -> str:
    """The paragraph of a Packages index for a .deb in `FOLDER` (deb-control(5), apt-ftparchive)."""
    opened = Deb.open(deb)
    own = ("filename", "size", "sha256")
    items = opened.control.items()
    fields = "".join(f"{name}: {value}\n" for name, value in items if name.lower() not in own)
    where = (
        f"Filename: {FOLDER[1:]}/{deb.name}\nSize: {deb.stat().st_size}\nSHA256: {of_file(deb)}\n"
    )
    return fields + where


def supply(
    run: Run, debs: Sequence[Path], groups: Iterable[Sequence[str]], *, recommends: bool = False
) -> Supply:
    """Download what apt would install for each group of names, and give the index of it.

    debs: packages that are not the suite's; the groups name them, or packages of the suite.
    BuildError (SOURCE) where apt can't have it all.
    """
    options = "" if recommends else "--no-install-recommends"
    wanted = [shlex.join(group) for group in groups]
    try:
        return _supply(run, machine_image(run), debs, wanted, options)
    except BuildError as error:
        if error.exit is not Exit.SOURCE or run.offline:
            raise
    # The lists in the image may be older than what the mirror still has.
    return _supply(run, machine_image(run, refresh=True), debs, wanted, options)


def _supply(
    run: Run, base: str, debs: Sequence[Path], groups: Sequence[str], options: str
) -> Supply:
    online = not run.offline
    volumes = {volume(run.recipe.suite): DOWNLOADS}
    files: dict[str, None] = {}
    with Step(run, "supply", base, network=online, root=True, volumes=volumes) as step:
        _offer(step, debs, Supply())
        for group in groups:
            # What apt can't install at all is the trial's to tell, in apt's own words.
            simulate = f"apt-get install --yes --simulate {options} -- {group}"
            if step.attempt(f"resolve {printable(group[:200])}", simulate)[0]:
                continue
            try:
                step.phase(
                    f"download for {printable(group[:200])}",
                    shell("download", group, downloads=DOWNLOADS, options=options),
                    hint="can the engine's containers reach the mirror, and does the suite have "
                    "all that the package depends on?",
                )
            except BuildError as error:
                if error.exit is Exit.STEP:
                    error.exit = Exit.SOURCE
                raise
            listed = step.output(shell("uris", group, options=options)).split()
            files |= dict.fromkeys(listed)
        downloads.check(run, step, DOWNLOADS, list(files))
        return Supply(tuple(_described(step, list(files))))


def _described(step: Step, files: Sequence[str]) -> list[str]:
    """What the suite's lists say of downloaded files, with the names that they have here."""
    wanted = [_relation(name) for name in files]
    if not wanted:
        return []
    shown = step.output(f"apt-cache show -- {' '.join(wanted)}")
    there = set(files)
    kept: dict[str, str] = {}
    for text in shown.strip().split("\n\n"):
        lines, found = [], ""
        for line in text.splitlines():
            key, _, value = line.partition(": ")
            if key == "Filename":
                found = _stored(value.rpartition("/")[2], text)
                line = f"Filename: {DOWNLOADS[1:]}/{found}"
            lines.append(line)
        if found in there:
            kept.setdefault(found, "\n".join(lines) + "\n")
    return list(kept.values())


def _relation(file: str) -> str:
    """name_version_arch.deb, as apt stores it, as name:arch=version; %3a stands for a colon."""
    name, version, architecture = file.removesuffix(".deb").split("_")
    suffix = "" if architecture == "all" else f":{architecture}"
    return shlex.quote(f"{name}{suffix}={version.replace('%3a', ':')}")


def _stored(_file: str, text: str) -> str:
    """The name under which apt stores the package of an index paragraph."""
    fields = dict(line.split(": ", 1) for line in text.splitlines() if ": " in line)
    version = fields.get("Version", "").replace(":", "%3a")
    return f"{fields.get('Package', '')}_{version}_{fields.get('Architecture', '')}.deb"


# Trials


def together(run: Run, work: Sequence[Callable[[], T]]) -> list[T]:
    """What each piece of `work` gives, in order; as many at once as the run has jobs.

    The first failure, or a Ctrl-C, ends the containers of the others and is raised.
    """
    with ThreadPoolExecutor(min(run.jobs, len(work) or 1), "trial") as pool:
        futures = [pool.submit(it) for it in work]
        try:
            wait(futures, return_when=FIRST_EXCEPTION)
        except KeyboardInterrupt:
            run.live.stop()
            run.reporter.line("stopping; once more to kill")
            failure: BaseException | None = Interrupted()
        else:
            errors = [f.exception() for f in futures if f.done()]
            failure = next((error for error in errors if error), None)
        if failure:
            run.live.stop()
            pool.shutdown(cancel_futures=True)
            raise failure
        return [future.result() for future in futures]


def _offer(step: Step, debs: Sequence[Path], supplied: Supply) -> None:
    """Put the packages and the index into a container, and make apt read it."""
    index = "\n".join([*supplied.paragraphs, *(paragraph(deb) for deb in debs)])
    files: list[tuple[str, bytes | Path]] = [(deb.name, deb) for deb in debs]
    step.container.put(FOLDER, [*files, ("Packages", index.encode())])
    step.container.put("/etc/apt/sources.list.d", [("trial.list", f"{SOURCE}\n".encode())])
    step.phase(
        "update",
        "apt-get update -o Dir::Etc::SourceList=/etc/apt/sources.list.d/trial.list "
        "-o Dir::Etc::SourceParts=- -o APT::Get::List-Cleanup=0",
    )


@contextmanager
def machine(run: Run, name: str, debs: Sequence[Path], supplied: Supply) -> Iterator[Step]:
    """A clean machine with no network whose apt knows `debs` and what was supplied, no more."""
    volumes = {volume(run.recipe.suite): f"{DOWNLOADS}:ro"}
    with Step(run, name, machine_image(run), root=True, volumes=volumes) as step:
        step.phase("clear", "rm -rf /var/lib/apt/lists/* /etc/apt/sources.list")
        _offer(step, debs, supplied)
        yield step


@contextmanager
def judge(
    run: Run,
    name: str,
    debs: Sequence[Path],
    repository: Sequence[Path] = (),
    supplied: Supply | None = None,
) -> Iterator[Step]:
    """A root with lintian and piuparts, `debs` in `FOLDER`; no network.

    With `supplied` it may make a jail for the packages, and has a repository of that and of the
    packages in `repository`; without, it runs as an ordinary user with no right at all.
    BuildError (ENGINE) where the engine's machine does not allow a jail.
    """
    jailer = supplied is not None
    denied = jail.DENIED if jailer else {}
    volumes = {volume(run.recipe.suite): f"{DOWNLOADS}:ro"} if jailer else {}
    with Step(run, name, judge_image(run), root=jailer, jailer=denied, volumes=volumes) as step:
        if jailer:
            _jailer(step)
        files: list[tuple[str, bytes | Path]] = [(deb.name, deb) for deb in (*debs, *repository)]
        if supplied is not None:
            paragraphs = [*supplied.paragraphs, *(paragraph(deb) for deb in repository)]
            files.append(("Packages", "\n".join(paragraphs).encode()))
        step.container.put(FOLDER, files)
        yield step


def _jailer(step: Step) -> None:
    """Put what makes the jail into a judge, and try whether the machine lets it."""
    wrappers = [(key, f"#!/bin/sh\n{line}\n".encode()) for key, line in _WRAPPERS.items()]
    step.container.put("/usr/local/sbin", wrappers, mode=0o755)
    step.container.put(str(Path(JAIL).parent), [(Path(JAIL).name, Path(jail.__file__))])
    status, said = step.attempt("probe", f"python3 -I {JAIL} probe")
    if status:
        why = [line for line in said.split("\n") if line.startswith(jail.WORD)]
        raise BuildError(
            f"{step.name}: the engine's machine allows no user namespace for a trial: "
            f"{printable(why[0].removeprefix(jail.WORD)) if why else f'status {status}'}",
            hint="it needs Linux 5.10 or newer, user.max_user_namespaces above 0, and where they "
            "exist kernel.unprivileged_userns_clone=1 and "
            "kernel.apparmor_restrict_unprivileged_userns=0 (sysctl); lintian alone judges "
            "without one, by hand: nothing is tried with less around it",
            log=step.log,
            exit=Exit.ENGINE,
        )
