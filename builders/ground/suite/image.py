# SPDX-License-Identifier: GPL-2.0-or-later
"""The clean root of a suite, and the builder image on top of it.

The root is bootstrapped on the box by mmdebstrap(1), which checks every
package against the suite's keyring, and imported into the engine as a stream.
What runs there of the suite is root of a user namespace, never of the box.
Where the recipe pins a registry image and it can be had, that is the root.
"""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast

from builders.errors import BuildError, Exit, Interrupted
from builders.ground.engine import box, step
from builders.ground.engine.container import BUILDER
from builders.ground.engine.failures import engine_errors
from builders.ground.engine.labels import LABEL, labels
from builders.ground.engine.transfer import read
from builders.ground.session import Basis, Session
from builders.ground.suite import archive, downloads, mirror, namespace
from builders.ground.suite.model import Suite

if TYPE_CHECKING:
    from docker import DockerClient

    from builders.ground.suite.pinned import Pinned

# dpkg need not sync: an image that was not finished is never used.
APT_SETUP = """
echo force-unsafe-io >/etc/dpkg/dpkg.cfg.d/unsafe-io
printf '#!/bin/sh\\nexit 101\\n' >/usr/sbin/policy-rc.d; chmod 755 /usr/sbin/policy-rc.d
echo 'Acquire::Retries "3";' >/etc/apt/apt.conf.d/80-retries
"""
_BUILD_DEP = "apt-get build-dep --yes -o APT::Install-Recommends=false {sources}"
_INSTALL = "apt-get install --yes --no-install-recommends {packages}"
BUILDER_SETUP = """
apt-get clean
rm -rf /var/lib/apt/lists/*
groupadd --gid {uid} builder
useradd --uid {uid} --gid {uid} --create-home --shell /bin/bash builder
mkdir -p /build /ccache /slots
chown {uid}:{uid} /build /ccache /slots
dpkg-query --show --showformat='${{Package}} ${{Version}} ${{Architecture}}\n' |
    LC_ALL=C sort >/.packages
"""
APT_OPTIONS = '"$1/etc/apt/apt.conf.d/99mmdebstrap"'
PACKAGES = "/.packages"  # in the image: a line "name version architecture" each


@dataclass(frozen=True)
class Image:
    """An image in the engine: its name there, and what it is made of.

    packages: a line "name version architecture" for each installed package. usual: the name of the
    image that an ordinary run has in its place, where that is another one.
    """

    name: str
    packages: str
    usual: str = ""

    @property
    def fingerprint(self) -> str:
        """Digest of how it was made and all that is installed; the same on every engine."""
        return fingerprint(self.usual or self.name, self.packages)


def inputs(recipe: Basis) -> dict[str, str]:
    """All that the builder image is made from, save the state of the mirror."""
    suite, builder = recipe.suite, recipe.builder
    more = {
        "build dependencies": f"\n{_build_dep(recipe)}\n" if recipe.builder.build_dep else "",
        "keys": " ".join(suite.signed_by),
        "pinned": _pins(suite),
        "security suite": suite.security_suite,
    }
    return {
        "suite": suite.name,
        "components": " ".join(suite.components),
        "pockets": " ".join(suite.pockets),
        "keyring": suite.keyring,
        "registry image": suite.image,
        "mirror": mirror.named(suite),
        "packages": " ".join(sorted(builder.packages)),
        # The form of these words is of no meaning: the keys of the images that are there hold.
        "script": _digest(f"{APT_SETUP}apt-get update\n\n{_INSTALL}{BUILDER_SETUP}"),
    } | {name: value for name, value in more.items() if value}


def _pins(suite: Suite) -> str:
    return " ".join(f"{name}={digest}" for name, digest in sorted(suite.release_sha256.items()))


def root_key(suite: Suite) -> str:
    """The key of a suite's clean root."""
    parts = [suite.name, *suite.components, *suite.pockets, suite.keyring, suite.image]
    if suite.signed_by:
        parts += [*suite.signed_by, _pins(suite), suite.security_suite]
    return _digest(json.dumps([*parts, mirror.named(suite)]))[:16]


def key(recipe: Basis) -> str:
    """The key of the recipe's builder image."""
    return _digest(json.dumps(inputs(recipe), sort_keys=True))[:16]


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def fingerprint(usual: str, packages: str) -> str:
    """Of an image that an ordinary run would call so, and in which these packages are installed."""
    return _digest(f"{usual}\n{packages}")


def find(run: Session) -> Image | None:
    """The builder image, where the engine has it; of a locked run, the one with what is locked."""
    usual = name(run.recipe)
    if run.pinned is None:
        return Image(usual, packages_of(run, usual)) if exists(run.client, usual) else None
    tags = [locked_name(run.recipe, run.pinned)]
    for tag in tags if run.pinned.anew else [usual, *tags]:
        if exists(run.client, tag):
            there = Image(tag, packages_of(run, tag), usual)
            if there.packages == run.pinned.installed:
                return there
    return None


def locked_name(recipe: Basis, lock: Pinned) -> str:
    """The name of the image that is made from a lock."""
    return f"{name(recipe)}-{lock.digest[:12]}{'-anew' if lock.anew else ''}"


def export(run: Session, tag: str) -> Iterator[bytes]:
    """The root file system of an image, as a tar."""
    with engine_errors(f"reading the image {tag}"):
        container = run.client.containers.create(
            tag,
            ["true"],
            network_mode="none",
            labels=labels(run.owner, run.recipe.name, "export"),
        )
        try:
            # The library's stub says str; it is bytes.
            yield from cast("Iterator[bytes]", container.export(1 << 20))
        finally:
            container.remove(v=True)


def load(run: Session, tag: str, root: Iterator[bytes]) -> None:
    """Make a builder image of a root file system; what had its name before loses it."""
    repository, _, version = tag.rpartition(":")
    with engine_errors(f"importing the image {tag}"):
        answer = run.client.api.import_image_from_stream(
            root,
            repository=repository,
            tag=version,
            changes=[f"LABEL {LABEL}.role=builder", 'CMD ["sh"]'],
        )
    if "errorDetail" in answer:
        raise BuildError(f"importing {tag} failed: {answer}", exit=Exit.ENGINE)


def name(recipe: Basis) -> str:
    """The name of the recipe's builder image in an engine."""
    return f"dom0-debs/builder-{recipe.suite.name}:{key(recipe)}"


def exists(client: DockerClient, tag: str) -> bool:
    """Whether the engine has an image of that name."""
    import docker.errors

    with engine_errors(f"looking for the image {tag}"):
        try:
            client.images.get(tag)
        except docker.errors.ImageNotFound:
            return False
    return True


def remove(run: Session) -> None:
    """Remove the image that was made anew from a lock, where there is one."""
    if (
        run.pinned
        and run.pinned.anew
        and exists(run.client, tag := locked_name(run.recipe, run.pinned))
    ):
        with engine_errors("removing an image"):
            run.client.images.remove(tag)


def packages_of(run: Session, tag: str) -> str:
    """The list of packages that lies in an image of that name; its container is never started."""
    with engine_errors("reading the builder image"):
        container = run.client.containers.create(
            tag,
            ["true"],
            network_mode="none",
            labels=labels(run.owner, run.recipe.name, "packages"),
        )
        try:
            return read(run.client, str(container.id), PACKAGES, "image").decode("utf-8", "replace")
        finally:
            container.remove(v=True)


_root_lock = threading.Lock()


def clean_root(run: Session, *, refresh: bool = False) -> str:
    """The name of the suite's clean root in the engine, made if it is not there."""
    suite = run.recipe.suite
    tag = f"dom0-debs/root-{suite.name}:{root_key(suite)}"
    with _root_lock:
        present = not refresh and exists(run.client, tag)
        if not present and not (suite.image and _pull(run, suite.image, tag)):
            _bootstrap(run, tag)
    return tag


def _pull(run: Session, pinned: str, tag: str) -> bool:
    """Take the registry image; False where it can't be had, and the bootstrap serves instead."""
    import docker.errors

    with run.reporter.work("image") as task:
        task.show("pull", pinned)
        try:
            image = run.client.images.pull(pinned)
        except (docker.errors.APIError, docker.errors.DockerException) as error:
            run.reporter.line(f"image: {pinned} can't be had ({error}); bootstrapping instead")
            return False
        with engine_errors("naming the clean root"):
            image.tag(*tag.rsplit(":", 1))
    return True


def _bootstrap(run: Session, tag: str) -> None:
    with bootstrapping(run) as command:
        import_root(run, command, tag)


@contextmanager
def bootstrapping(
    run: Session, *, include: Sequence[str] = (), options: Sequence[str] = ()
) -> Iterator[list[str]]:
    """The command that writes a clean root of the run's suite to its standard output, as a tar.

    include: packages beside the smallest set. options: more of mmdebstrap(1)'s. It is run on the
    box with `namespace.environment`, while the block lasts.
    """
    suite = run.recipe.suite
    served = mirror.of(suite)
    lines = [
        line for line in mirror.sources_list(suite, served).splitlines() if line.startswith("deb ")
    ]
    with archive.bootstrap(run) if suite.signed_by else nullcontext(_keyring(suite)) as trusted:
        # apt is of priority "required" in new suites only
        packages = ",".join(["apt", *include])
        command = ["mmdebstrap", "--variant=minbase", f"--include={packages}", "--format=tar"]
        # mmdebstrap leaves its options of apt in the root.
        command += ['--aptopt=Acquire::Retries "3"', f"--customize-hook=rm -f {APT_OPTIONS}"]
        command += [*trusted, *options]
        command += [suite.name, "-", *lines]
        yield namespace.confine(command, run.reporter)


def _keyring(suite: Suite) -> list[str]:
    keyring = archive.keyring(suite)
    return [f"--keyring={keyring}"] if suite.keyring or keyring.exists() else []


def import_root(run: Session, command: list[str], tag: str) -> None:
    """Run mmdebstrap(1) and import the root that it writes to its standard output."""
    suite = run.recipe.suite
    log = run.logs / "root.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    repository, _, version = tag.rpartition(":")
    with run.reporter.work("root") as task, log.open("wb") as out:
        task.show("bootstrap", suite.name)
        # Its own session: the terminal's Ctrl-C reaches this tool alone, which then ends it.
        with subprocess.Popen(
            box.tethered_group(command),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=out,
            env=namespace.environment(),
            cwd="/",
            start_new_session=True,
        ) as process:
            group = Group(process)
            run.live.add(group)
            try:
                with engine_errors("importing the clean root"):
                    answer = run.client.api.import_image_from_stream(
                        _until_done(process, log, suite, run),
                        repository=repository,
                        tag=version,
                        changes=[f"LABEL {LABEL}.role=root"],
                    )
            finally:
                run.live.discard(group)
                group.kill()
    if "errorDetail" in answer:
        raise BuildError(f"importing the clean root failed: {answer}", exit=Exit.ENGINE)


class Group:
    """A process of the box that has a session of its own, and all that it started."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process

    def kill(self) -> None:
        """End them; mmdebstrap(1) then removes its folder."""
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGTERM)


def _until_done(
    process: subprocess.Popen[bytes], log: Path, suite: Suite, run: Session
) -> Iterator[bytes]:
    """What the bootstrap writes; an error where it failed, so that no half root is imported."""
    assert process.stdout is not None  # noqa: S101 - opened with a pipe
    while chunk := process.stdout.read(1 << 20):
        yield chunk
    failed = process.wait() != 0
    if run.live.stopping.is_set():
        raise Interrupted
    if failed:
        raise BuildError(
            f"bootstrapping {suite.name} failed: mmdebstrap ended with {process.returncode}",
            hint="the log says which package or key; is the mirror right? (./inv doctor)",
            log=log,
            excerpt=step.excerpt(log),
            exit=Exit.ENGINE,
        )


def update(run: Session, it: step.Step) -> None:
    """Give the apt of a step its package lists, which the box has verified."""
    it.say("update")
    archive.provide(run, it.container)


def _build_dep(recipe: Basis) -> str:
    return _BUILD_DEP.format(sources=" ".join(sorted(recipe.builder.build_dep)))


def build(run: Session) -> Image:
    """Make the builder image from the clean root; of a locked run, from what is locked alone."""
    if run.pinned is not None:
        from builders.ground.suite import locked

        return locked.build(run, run.pinned)
    recipe = run.recipe
    repository, _, tag = name(recipe).rpartition(":")
    base = clean_root(run)
    served = mirror.of(recipe.suite)
    packages = " ".join(sorted(recipe.builder.packages))
    with step.Step(run, "image", base, network=True, root=True) as it:
        it.container.put(
            "/etc/apt", [("sources.list", mirror.sources_list(recipe.suite, served).encode())]
        )
        it.phase("setup", APT_SETUP)
        update(run, it)
        if recipe.builder.build_dep:
            downloads.install(run, it, "build dependencies", _build_dep(recipe))
        downloads.install(
            run,
            it,
            "packages",
            _INSTALL.format(packages=packages),
            hint="is every package of builder.packages in this suite?",
        )
        it.phase("builder", BUILDER_SETUP.format(uid=BUILDER))
        it.container.commit(repository, tag, {"role": "builder"})
    made = find(run)
    if made is None:
        raise BuildError("the engine lost the builder image", exit=Exit.ENGINE)
    return made
