# SPDX-License-Identifier: GPL-2.0-or-later
"""What is current is what the manifest names, for every verb that reads packages.

A, then B, then A again: what A made is older than what B made, and it is A that counts.
"""

from __future__ import annotations

import dataclasses
import json
import os
import shlex
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from builders.debkit.deb import Deb
from builders.errors import BuildError, Exit
from builders.ground.suite.image import Image
from builders.pipeline import artifacts, current, durations
from builders.pipeline.artifacts import Package
from builders.pipeline.graph import Pipeline
from builders.pipeline.run import Run
from builders.pipeline.stages import STAGES, Store
from builders.proofs.boot import prove as proving
from builders.proofs.boot import qemu
from builders.proofs.boot.checks import Boot, Check
from builders.proofs.rebuild import reproduce as rebuild
from builders.proofs.trial import install, judges
from builders.release import facts, notes, publish, signing
from builders.verbs import (
    boot_test,
    check,
    clean,
    finish,
    inspect,
    install_test,
    reproduce,
)
from tests.unit.releases import keyring
from tests.unit.worlds import World, a_world

pytestmark = pytest.mark.slow
BOTH = ("xen", "kernel")
A = ("xen.files={a='A'}", "kernel.defaults=make a", "finish.xen.revision=+a")
B = ("xen.files={a='B'}", "kernel.defaults=make b", "finish.xen.revision=+b")


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    with a_world(tmp_path) as made:
        made.names = {"xen": "xen-upstream", "kernel-minimal": "linux-image-6.1-dom0"}
        monkeypatch.setenv("DOM0_DEBS_ARTIFACTS", str(made.folder.parent))
        yield made


def build(world: World, overrides: Sequence[str], targets: Sequence[str] = BOTH) -> list[Package]:
    """Build with these overrides; the packages' content is the letter in the first of them."""
    world.content = overrides[0][-3].encode()
    run = world.run(*overrides)
    with run.alone():
        return Pipeline(run, "minimal", targets).build()


@pytest.fixture
def of_a(world: World) -> dict[str, str]:
    """File name -> sha256 of the packages of A, which was built, then B, then A again."""
    for overrides in (A, B, A):
        packages = build(world, overrides)
    created = world.client.created
    assert len([o for _, o in created if o["labels"]["org.dom0-debs.role"].endswith("-build")]) == 4
    return {package.path.name: package.sha256 for package in packages}


BOOT = boot_test.Options(accel="tcg", timeout=1.0)


def digests(packages: Sequence[Package]) -> dict[str, str]:
    return {package.path.name: package.sha256 for package in packages}


def content(deb: Path) -> bytes:
    """The last byte of the one program in a package: which build it is of."""
    (program,) = (bytes(c.chunk()) for e, c in Deb.open(deb).entries() if "/usr/bin/" in e.path)
    return program[-1:]


def test_finish_corrects_a(world: World, of_a: dict[str, str]) -> None:
    before = artifacts.read(world.folder)
    made = finish.correct(world.run(), "")
    assert digests(made) == of_a
    assert artifacts.read(world.folder) == before  # its --set too: `release` asks for them
    # What is given now holds over it, and what was given then stays.
    made = finish.correct(world.run("finish.xen.revision=+z"), "")
    assert {package.version for package in made} == {"1+z", "1+dom0.1"}
    assert {content(package.path) for package in made} == {b"A"}
    assert facts.collect(world.origin, world.folder, world.cache)


def test_check_and_install_test_try_a(
    world: World, of_a: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[tuple[tuple[str, ...], set[bytes], set[bytes]]] = []

    def trial(run: Run, debs: Sequence[Path], raw: Sequence[Path]) -> list[Any]:
        assert {path.name for path in debs} == set(of_a)
        tried.append((run.recipe.overrides, set(map(content, debs)), set(map(content, raw))))
        return []

    monkeypatch.setattr(judges, "check", trial)
    monkeypatch.setattr(install, "install_test", trial)
    check.judge(world.run(), check.Options())
    install_test.install_test(world.run(), install_test.Options(flavour="minimal"))
    assert tried == [(A, {b"A"}, {b"A"})] * 2
    assert "good, as it was built: kernel-minimal, xen" in world.heard.lines


def test_boot_test_boots_a(
    world: World, of_a: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    booted: list[dict[str, str]] = []

    @contextmanager
    def parts(_run: Run, _builder: Image, *packages: Package) -> Iterator[None]:
        booted.append(digests(packages))
        yield

    made = Boot("boot", (Check("dom0", True, ""),), 1.0, world.folder / "boot.log", frozenset())
    monkeypatch.setattr(proving, "parts", parts)
    monkeypatch.setattr(proving, "_checked", lambda *_: made)
    monkeypatch.setattr(qemu, "accelerator", lambda accel: accel)
    monkeypatch.setattr(qemu, "ensure", lambda _: None)
    assert boot_test.boot(world.run(), BOOT).code == Exit.DONE
    assert booted == [of_a]


def test_inspect_audits_a_and_nothing_that_lies_beside(world: World, of_a: dict[str, str]) -> None:
    shutil.copy(world.folder / min(of_a), world.folder / "stray.deb")
    outcome = inspect.run(inspect.Options(recipe=world.origin, fail_on="never"))
    said = json.loads(outcome.said("json"))
    audited = {Path(each["path"]).name for each in said["packages"]}
    assert audited == set(of_a)


def test_reproduce_builds_a_again(
    world: World, of_a: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[Any, ...]] = []

    def rebuilt(run: Run, *arguments: Any, **_: Any) -> list[rebuild.Compared]:
        asked.append((run.recipe.overrides, *arguments))
        return []

    monkeypatch.setattr(rebuild, "reproduce", rebuilt)
    reproduce.again(world.run(), reproduce.Options())
    reproduce.again(world.run(), reproduce.Options(target="xen"))
    assert asked == [(A, "minimal", ["kernel", "xen"]), (A, "", ["xen"])]
    assert of_a


def test_clean_old_keeps_a(world: World, of_a: dict[str, str]) -> None:
    (xen,) = (sha256 for file, sha256 in of_a.items() if file.startswith("xen"))
    store = Store(world.folder / STAGES)
    for digest in (xen, "of b"):
        with store.make("initramfs", {"xen": digest}):
            pass
    clean.clean(clean.Options(recipe="good", old=True), world.heard)
    assert world.pipeline(*A, targets=BOTH).ready()
    assert not world.pipeline(*B, targets=BOTH).ready()
    assert [output.inputs["xen"] for output in store.all("initramfs")] == [xen]
    assert digests(finish.correct(world.run(), "")) == of_a


@pytest.mark.skipif(not (shutil.which("gpg") and shutil.which("gpgv")), reason="needs gpg and gpgv")
def test_release_and_diff_tell_of_a(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.delenv(signing.PASSPHRASE, raising=False)
    monkeypatch.setattr(facts, "commit", lambda: "c0ffee")
    with keyring() as keys:
        monkeypatch.setenv("GNUPGHOME", str(keys.home))
        keys.make("Alice <alice@example.org>")
        made = []
        for n, overrides in enumerate((A, B, A)):
            packages = build(world, overrides)
            released = publish.publish(world.run(), world.origin, key="alice@example.org")
            made.append(tmp_path / str(n))
            shutil.copytree(released.folder, made[-1])
    # B has the higher version: were it still there, apt would install it.
    listed = (made[-1] / "dists/bookworm/main/binary-amd64/Packages").read_text()
    offered = {line for line in listed.splitlines() if line.startswith("SHA256: ")}
    assert offered == {f"SHA256: {package.sha256}" for package in packages}
    assert any("xen 1+b is no longer in the release" in note for note in released.notes)
    first, back = notes.difference(made[0], made[1]), notes.difference(made[1], made[2])
    assert all(changed.rows for changed in (*first, *back))
    assert [changed.new for changed in back] == [changed.old for changed in first]
    assert not any(changed.rows for changed in notes.difference(made[0], made[2]))


def test_explain_compares_with_a(world: World, of_a: dict[str, str]) -> None:
    states = {s.stage: s for s in world.pipeline(*A, targets=BOTH).explain()}
    assert {state.state for state in states.values()} == {"hit"}
    states = {s.stage: s for s in world.pipeline("xen.files={a='A',b='C'}", *A[1:]).explain()}
    assert states["xen-build"].why == "changed: script place, file files/1 (new)"
    assert of_a


# What is not there


def error(world: World, flavour: str = "") -> BuildError:
    with pytest.raises(BuildError) as caught:
        current.current(world.run(), flavour)
    assert world.client.created == []
    return caught.value


READERS: dict[str, Callable[[Run], object]] = {
    "check": lambda run: check.judge(run, check.Options()),
    "install-test": lambda run: install_test.install_test(run, install_test.Options()),
    "boot-test": lambda run: boot_test.boot(run, BOOT),
    "finish": lambda run: finish.correct(run, ""),
    "inspect": lambda run: inspect.run(inspect.Options(recipe=run.origin)),
    "reproduce": lambda run: reproduce.again(run, reproduce.Options()),
    "release": lambda run: publish.publish(run, run.origin),
}


@pytest.mark.parametrize("verb", READERS)
def test_a_verb_that_reads_packages_builds_none(world: World, verb: str) -> None:
    with pytest.raises(BuildError, match="nothing was built of good") as caught:
        READERS[verb](world.run())
    assert caught.value.hint == f"./inv build-all --recipe {world.origin}"
    assert caught.value.exit is Exit.USAGE
    assert world.client.created == []
    assert world.images_asked == 0


def test_diff_of_what_is_no_release_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(BuildError, match="is no release") as caught:
        notes.difference(tmp_path, tmp_path)
    assert "./inv release makes one" in caught.value.hint


DEBIAN = '\n[kernel.flavours.debian]\nbase="tinyconfig"\nfragments=[]\nlocalversion="-x"'


def test_of_two_flavours_one_has_to_be_named(world: World) -> None:
    world.text += DEBIAN
    run = world.run()
    made = [digests(Pipeline(run, name).build()) for name in ("minimal", "debian")]
    world.client.created.clear()
    caught = error(world)
    assert caught.message == "kernels of 2 flavours were built: debian, minimal"
    assert caught.hint == "say which is meant: --flavour debian or --flavour minimal"
    for built, name in zip(made, ("minimal", "debian"), strict=True):
        these = current.current(world.run(), name)
        assert digests(these.packages()) == built
        assert these.flavour == name


def test_a_flavour_that_was_not_built(world: World) -> None:
    world.text += DEBIAN
    build(world, A)
    world.client.created.clear()
    caught = error(world, "debian")
    assert caught.message == "kernel-debian of good was not built; built is: minimal"
    again = f"./inv build-all --recipe {world.origin} --flavour debian"
    assert caught.hint == f"add --flavour minimal, or build it first: {again}"
    durations.note(world.folder, "kernel-debian-build", 7800)
    took = "took 2 h 10 min the last time here"
    assert f"build it first ({took}): {again}" in error(world, "debian").hint


def test_a_boot_of_half_of_what_the_recipe_has_says_what_to_build(world: World) -> None:
    build(world, A, ("xen",))
    with pytest.raises(BuildError, match="no kernel was built of good") as caught:
        boot_test.boot(world.run(), BOOT)
    assert caught.value.hint == f"./inv build-kernel --recipe {world.origin}"
    with pytest.raises(BuildError, match="no kernel was built of good"):
        reproduce.again(world.run(), reproduce.Options(target="kernel"))


def test_a_package_that_is_gone_or_changed(world: World) -> None:
    (package,) = build(world, A, ("xen",))
    these = current.current(world.run())
    package.path.unlink()
    with pytest.raises(BuildError, match="No such file") as caught:
        these.packages()
    again = shlex.split(caught.value.hint.removeprefix("build it again: "))
    overrides = [word for override in A for word in ("--set", override)]
    assert again == ["./inv", "build-xen", "--recipe", world.origin, *overrides]
    package.path.write_bytes(b"other")
    with pytest.raises(BuildError, match="is not what was built"):
        these.packages()


@pytest.mark.parametrize(
    ("recorded", "given", "both"),
    [
        ((), (), ()),
        (("a=1",), (), ("a=1",)),
        (("a=1", "b=2"), ("a=3",), ("b=2", "a=3")),
        (("a=1", "a=2"), ("a=1",), ("a=1",)),
        (("a+=1", "a+=2"), ("a+=1",), ("a+=2", "a+=1")),
        (("a+=1", "b=2"), ("a=3",), ("b=2", "a=3")),
    ],
)
def test_the_overrides_of_this_run_hold_over_those_of_the_build(
    recorded: tuple[str, ...], given: tuple[str, ...], both: tuple[str, ...]
) -> None:
    assert current.merged(recorded, given) == both


def test_a_manifest_of_an_older_version(world: World) -> None:
    build(world, A)
    path = world.folder / "manifest.json"
    document = json.loads(path.read_text())
    document["builds"] = {name: build["key"] for name, build in document["builds"].items()}
    before = artifacts.read(world.folder)
    path.write_text(json.dumps(document))
    assert artifacts.read(world.folder) == before
    assert before is not None
    assert dataclasses.asdict(before)["builds"]["xen"]["overrides"] == A


def test_a_manifest_without_end_is_damaged(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "manifest.json")
    with pytest.raises(artifacts.DamagedManifestError, match="is damaged"):
        artifacts.read(tmp_path)


def test_artifacts_below_a_file_are_not_damaged(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(artifacts.DamagedManifestError) as caught:
        artifacts.read(tmp_path / "file" / "good")
    assert caught.value.message.endswith("manifest.json: Not a directory")
    assert "DOM0_DEBS_ARTIFACTS" in caught.value.hint
    assert caught.value.exit is Exit.ENGINE
