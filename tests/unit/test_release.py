# SPDX-License-Identifier: GPL-2.0-or-later
from __future__ import annotations

import base64
import dataclasses
import gzip
import hashlib
import json
import os
import random
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
from debian.deb822 import BuildInfo, Changes, Packages, Release

from builders import ROOT
from builders.errors import BuildError, Exit
from builders.files import of_file
from builders.pipeline import xen
from builders.pipeline.plan import Phase
from builders.proofs.boot import proof
from builders.proofs.boot.checks import Boot, Check
from builders.release import bill, facts, layout, publish, signing, verify
from builders.verbs import ci
from tests.fuzz import releases as fuzzed
from tests.unit.releases import RECIPE, Box, Keyring, Lines, keyring

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not (shutil.which("gpg") and shutil.which("gpgv")), reason="needs gpg and gpgv"
    ),
]
LISTS = "dists/bookworm/main/binary-amd64"


@pytest.fixture(scope="module")
def keys() -> Iterator[Keyring]:
    with keyring() as made:
        made.make("Alice <alice@example.org>")
        yield made


@pytest.fixture(autouse=True)
def _home(
    keys: Keyring, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    monkeypatch.setenv("GNUPGHOME", str(keys.home))
    monkeypatch.delenv("SOURCE_DATE_EPOCH", raising=False)
    monkeypatch.delenv(signing.PASSPHRASE, raising=False)
    monkeypatch.setattr(facts, "commit", lambda: "c0ffee")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path_factory.mktemp("state")))


@pytest.fixture
def box(tmp_path: Path) -> Box:
    made = Box(tmp_path)
    made.build()
    made.build("kernel-minimal", "6.1.192-1+dom0.1", epoch=1_700_000_100)
    return made


def release(box: Box, **wanted: Any) -> publish.Made:
    return publish.publish(box.run(), RECIPE, **{"key": "alice@example.org", **wanted})


def content(folder: Path, *, signatures: bool = False) -> dict[str, bytes]:
    skip = () if signatures else ("InRelease", "Release.gpg", "SHA256SUMS.asc", "SHA256SUMS")
    return {
        path: (folder / path).read_bytes()
        for path, _ in layout.walk(folder)
        if Path(path).name not in skip
    }


def problems(folder: Path, key: Path | None = None) -> dict[str, str]:
    return {p.file: p.why for p in verify.verify(folder, Lines(), key).problems}


def test_apt_is_led_from_the_release_to_each_package(box: Box) -> None:
    folder = release(box).folder
    parsed = Release((folder / "dists/bookworm/Release").read_bytes())
    assert parsed["Date"] == "Tue, 14 Nov 2023 22:15:00 UTC"
    assert parsed["Acquire-By-Hash"] == "yes"
    assert "Valid-Until" not in parsed
    listed = {e["name"]: e for e in parsed["SHA256"]}
    plain = (folder / LISTS / "Packages").read_bytes()
    assert gzip.decompress((folder / LISTS / "Packages.gz").read_bytes()) == plain
    for name in ("Packages", "Packages.gz", "Packages.xz"):
        path = folder / LISTS / name
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        entry = listed[f"main/binary-amd64/{name}"]
        assert (entry["sha256"], int(entry["size"])) == (digest, path.stat().st_size)
        assert (folder / LISTS / "by-hash/SHA256" / digest).read_bytes() == path.read_bytes()
    found = list(Packages.iter_paragraphs(plain, use_apt_pkg=False))
    assert [p["Package"] for p in found] == ["linux-image-6.1-minimal", "xen-upstream"]
    for package in found:
        deb = folder / package["Filename"]
        assert int(package["Size"]) == deb.stat().st_size
        assert package["SHA256"] == hashlib.sha256(deb.read_bytes()).hexdigest()
        assert package["Description"].startswith("sample package\n It has")


def test_a_package_takes_no_room_twice(box: Box) -> None:
    folder = release(box).folder
    name = "xen-upstream_4.17.5+dom0.1_amd64.deb"
    assert (folder / "pool/main/x/xen-upstream" / name).samefile(box.folder / name)


def test_the_documents_of_debian(box: Box) -> None:
    folder = release(box).folder / "pool/main/x/xen-upstream"
    stem = "xen-upstream_4.17.5+dom0.1_amd64"
    info = BuildInfo((folder / f"{stem}.buildinfo").read_text())
    assert "gcc (= 4:12.2.0-3)" in info["Installed-Build-Depends"]
    assert 'SOURCE_DATE_EPOCH="1700000000"' in info["Environment"]
    assert [f["name"] for f in info["Checksums-Sha256"]] == [f"{stem}.deb"]
    changes = Changes((folder / f"{stem}.changes").read_text())
    assert (changes["Distribution"], changes["Source"]) == ("bookworm", "xen-upstream")
    assert changes["Date"] == "Tue, 14 Nov 2023 22:13:20 +0000"
    for file in changes["Files"]:
        data = (folder / file["name"]).read_bytes()
        assert file["md5sum"] == hashlib.md5(data, usedforsecurity=False).hexdigest()
        assert int(file["size"]) == len(data)
    assert {f["name"] for f in changes["Files"]} == {f"{stem}.deb", f"{stem}.buildinfo"}


def test_the_provenance_names_every_input_by_digest(box: Box) -> None:
    folder = release(box).folder
    text = (folder / "attestations/xen-upstream_4.17.5+dom0.1_amd64.provenance.json").read_text()
    said = json.loads(text)
    assert (said["_type"], said["predicateType"]) == (
        "https://in-toto.io/Statement/v1",
        "https://slsa.dev/provenance/v1",
    )
    deb = box.folder / "xen-upstream_4.17.5+dom0.1_amd64.deb"
    digest = hashlib.sha256(deb.read_bytes()).hexdigest()
    assert said["subject"] == [{"name": deb.name, "digest": {"sha256": digest}}]
    definition = said["predicate"]["buildDefinition"]
    inputs = {i["name"]: i for i in definition["resolvedDependencies"]}
    source = hashlib.sha256(b"the source of xen").hexdigest()
    assert inputs["xen.tar"]["digest"]["sha256"] == source
    recipes = [n for n, i in inputs.items() if i["annotations"]["kind"] == "recipe"]
    assert f"configs/recipes/{RECIPE}.toml" in recipes
    assert "configs/recipes/common/xen.toml" in recipes
    assert inputs["gcc 4:12.2.0-3 amd64"]["uri"] == "pkg:deb/debian/gcc@4:12.2.0-3?arch=amd64"
    assert definition["externalParameters"]["overrides"] == []
    assert said["predicate"]["runDetails"]["builder"]["version"]["git"] == "c0ffee"
    assert str(box.root) not in text


def test_without_spdx_tools_the_option_says_what_to_install(
    box: Box, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "spdx_tools.spdx.writer.json.json_writer", None)
    error = refused(box, spdx=True)
    assert error.exit == Exit.USAGE
    assert "-r requirements-spdx.lock" in error.hint
    assert not (box.folder / "release").exists()
    assert not list((release(box).folder / "attestations").glob("*.spdx.json"))


def test_both_bills_of_materials_tell_the_same(box: Box) -> None:
    if not bill.has_spdx():
        pytest.skip("needs requirements-spdx.lock")
    made = release(box, spdx=True)
    assert problems(made.folder) == {}
    folder = made.folder / "attestations"
    stem = folder / "xen-upstream_4.17.5+dom0.1_amd64"
    cdx = json.loads(Path(f"{stem}.cdx.json").read_text())
    spdx = json.loads(Path(f"{stem}.spdx.json").read_text())
    assert (cdx["specVersion"], spdx["spdxVersion"]) == ("1.6", "SPDX-2.3")
    names = sorted(c["name"] for c in cdx["components"])
    # CycloneDX tells of patches in what it says of their source.
    patched = [p["name"] for p in spdx["packages"] if p["name"].endswith((".patch", "series"))]
    notes = " ".join(c.get("pedigree", {}).get("notes", "") for c in cdx["components"])
    assert patched
    assert all(f"{name} (" in notes for name in patched)
    assert names == sorted(p["name"] for p in spdx["packages"] if p["name"] not in patched)
    assert {"xen-upstream", "xen.tar", "libc6", "grub-pc", "grub-efi-amd64", "gcc"} <= set(names)
    scopes = {c["name"]: c.get("scope") for c in cdx["components"]}
    assert (scopes["gcc"], scopes["libc6"]) == ("excluded", "required")
    refs = {p["name"]: p["SPDXID"] for p in spdx["packages"]}
    kinds = {(r["spdxElementId"], r["relationshipType"]) for r in spdx["relationships"]}
    assert (refs["gcc"], "BUILD_DEPENDENCY_OF") in kinds
    assert (refs["libc6"], "RUNTIME_DEPENDENCY_OF") in kinds


def test_the_same_inputs_give_the_same_bytes(box: Box) -> None:
    url = "https://example.org/xen"
    booted(box)
    first = content(release(box, url=url).folder)
    again = content(release(box, url=url).folder)
    elsewhere = content(release(box, url=url, out=str(box.root / "out")).folder)
    assert first == again == elsewhere
    assert len(first) > 15


def test_the_date_is_of_the_newest_input_or_as_stated(
    box: Box, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1800000000")
    folder = release(box).folder
    assert Release((folder / "dists/bookworm/Release").read_bytes())["Date"].startswith(
        "Fri, 15 Jan 2027"
    )


def test_a_new_version_keeps_the_old_one(box: Box) -> None:
    before = content(release(box).folder)
    box.build(version="4.17.6+dom0.1", content=b"newer")
    made = release(box)
    versions = [b["version"] for b in made.builds if b["target"] == "xen"]
    assert versions == ["4.17.5+dom0.1", "4.17.6+dom0.1"]
    after = content(made.folder)
    kept = [p for p in before if "4.17.5" in p or "/by-hash/" in p]
    assert len(kept) == 9
    assert all(after[path] == before[path] for path in kept)
    plain = after[f"{LISTS}/Packages"]
    found = [p["Version"] for p in Packages.iter_paragraphs(plain, use_apt_pkg=False)]
    assert found == ["6.1.192-1+dom0.1", "4.17.5+dom0.1", "4.17.6+dom0.1"]
    assert problems(made.folder) == {}
    assert content(release(box).folder) == after
    dropped = release(box, keep=0)
    assert [b["version"] for b in dropped.builds if b["target"] == "xen"] == ["4.17.6+dom0.1"]
    assert not list(dropped.folder.rglob("*4.17.5*"))


def test_other_content_under_the_same_version_is_told(box: Box) -> None:
    assert release(box).notes == ()
    box.build(content=b"another")
    made = release(box)
    assert len(made.builds) == 2
    assert "xen-upstream 4.17.5+dom0.1 was released before with other content" in made.notes[0]


def test_one_flavour_is_released_alone(box: Box) -> None:
    box.build("kernel-debian", "6.1.192-1+dom0.1")
    assert {b["target"] for b in release(box).builds} == {"xen", "kernel-minimal", "kernel-debian"}
    made = release(box, flavour="minimal", out=str(box.root / "one"))
    assert {b["target"] for b in made.builds} == {"xen", "kernel-minimal"}


# The proofs


def booted(
    box: Box, name: str = "boot", *, good: bool = True, packages: Mapping[str, str] | None = None
) -> Path:
    """Leave what a boot of the packages would; its console."""
    log = box.folder / "logs" / f"{name}.log"
    log.parent.mkdir(exist_ok=True)
    log.write_text(f"Xen 4.17, {name}\n")
    checks = [Check("xl info", good, "status 0")]
    checks += [Check("card", False, "e1000")] if "control" in name else []
    made = Boot(name, tuple(checks), 6.1, log, frozenset(c.name for c in checks[1:]))
    proof.write(made, packages or digests(box))
    return log


def digests(box: Box) -> dict[str, str]:
    return {deb.name: of_file(deb) for deb in box.folder.glob("*.deb")}


PROOFS = "proofs/linux-image-6.1-minimal_6.1.192-1+dom0.1_amd64_xen-upstream_4.17.5+dom0.1_amd64"


def test_a_release_shows_the_boots_of_its_own_packages(box: Box) -> None:
    log = booted(box)
    booted(box, "boot-control")
    made = release(box)
    assert made.missing == ()
    assert (made.folder / PROOFS / "boot.log").read_bytes() == log.read_bytes()
    page = (made.folder / "index.html").read_text()
    assert "2 checks hold" not in page
    assert "3 checks hold" in page  # one of them fails, as it must
    assert "fails, as it must" in page
    assert f"{PROOFS}/boot.log" in unquote(page)
    assert json.loads((made.folder / "release.json").read_text())["proofs"] == [
        f"{PROOFS}/boot-control.json",
        f"{PROOFS}/boot.json",
    ]
    assert problems(made.folder) == {}
    assert content(release(box).folder) == content(made.folder)


def test_a_control_alone_is_no_proof(box: Box) -> None:
    booted(box, "boot-control")
    assert len(release(box).missing) == 2


def why(box: Box) -> set[str]:
    made = release(box)
    assert not list(made.folder.glob("proofs/*/*"))
    assert {text.split(":")[0] for text in made.missing} == {
        "a boot of xen",
        "a boot of kernel-minimal",
    }
    return {text.partition(": ")[2] for text in made.missing}


def test_a_boot_that_was_not_of_these_packages_is_none(box: Box) -> None:
    assert why(box) == {"it was not booted (./inv boot-test)"}
    booted(box, packages=dict.fromkeys(digests(box), "00" * 32))
    assert why(box) == {"what was booted was not these very packages"}
    booted(box, good=False)
    assert why(box) == {"it failed"}
    log = booted(box)
    log.write_text("the console of a later boot, which never ended\n")
    assert why(box) == {"it was not booted (./inv boot-test)"}
    log.with_suffix(".json").write_text("[]")
    assert why(box) == {"it was not booted (./inv boot-test)"}


def test_the_boots_of_older_versions_stay_as_long_as_these(box: Box) -> None:
    booted(box)
    before = release(box).folder
    first = content(before / PROOFS)
    box.build(version="4.17.6+dom0.1", content=b"newer")
    made = release(box)
    assert [text.split(":")[0] for text in made.missing] == [
        *("a boot of kernel-minimal", "a boot of xen")
    ]
    assert content(made.folder / PROOFS) == first
    booted(box)
    made = release(box)
    assert made.missing == ()
    assert content(made.folder / PROOFS) == first
    assert len(list(made.folder.glob("proofs/*/boot.log"))) == 2
    assert problems(made.folder) == {}
    assert not (release(box, keep=0).folder / PROOFS).exists()


def test_a_proof_of_another_package_is_found_by_verify(box: Box, keys: Keyring) -> None:
    booted(box)
    folder = release(box).folder
    record = folder / PROOFS / "boot.json"
    said = json.loads(record.read_text())
    said["packages"] = dict.fromkeys(said["packages"], "00" * 32)
    record.write_text(json.dumps(said))
    resign(folder, keys)
    assert problems(folder) == {f"{PROOFS}/boot.json": "another package was booted"}
    said["packages"], said["console"] = digests(box), "00" * 32
    record.write_text(json.dumps(said))
    resign(folder, keys)
    assert problems(folder) == {f"{PROOFS}/boot.json": "it is the record of another console"}


def resign(folder: Path, keys: Keyring) -> None:
    """Make the sums anew, and their signature, by the right key."""
    listed = layout.sums(folder)
    (folder / "SHA256SUMS").write_bytes(listed)
    sign = ["--no-emit-version", "--armor", "--detach-sign"]
    (folder / "SHA256SUMS.asc").write_bytes(keys.gpg(*sign, given=listed))


# What becomes of the release before


@pytest.mark.parametrize("when", ["signing", "the swap"])
def test_a_release_that_fails_leaves_the_old_one(
    box: Box, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    folder = release(box).folder
    before = content(folder, signatures=True)
    box.build(version="4.17.6+dom0.1", content=b"newer")
    if when == "signing":
        monkeypatch.setattr(signing.Signer, "clear", _fail)
    else:
        monkeypatch.setattr(publish, "_replace", _fail)
    with pytest.raises(BuildError, match="No space left") as caught:
        release(box)
    assert caught.value.exit is Exit.ENGINE
    assert content(folder, signatures=True) == before
    assert not list(folder.parent.glob(".release*"))


def _fail(*_: object) -> bytes:
    raise OSError(28, "No space left on device")


def test_a_full_disk_is_named_by_the_place_that_is_full(
    box: Box, monkeypatch: pytest.MonkeyPatch
) -> None:
    """link(2) and copies name two files: what is read has room."""
    release(box)
    out = box.folder.parent / "elsewhere" / "release"

    def link(source: Path, target: Path) -> None:
        raise OSError(28, "No space left on device", str(source), None, str(target))

    monkeypatch.setattr(os, "link", link)
    with pytest.raises(BuildError) as caught:
        release(box, out=str(out))
    assert caught.value.message == f"{out.parent}: No space left on device"
    error = OSError(28, "No space left on device", "/from/x.deb", None, "/to/x.deb")
    assert layout.disk_error(error, out).message == "/to/x.deb: No space left on device"


def test_the_page_tells_who_signed_and_that_it_is_a_trial(box: Box) -> None:
    """Without a key of somebody's; with one there is nothing to warn of."""
    for key, trial in (("", True), ("alice@example.org", False)):
        made = release(box, key=key, out=str(box.root / f"out-{trial}"))
        page = (made.folder / "index.html").read_text()
        assert ("For trying only" in page) is trial
        assert made.fingerprint in page


def test_a_later_boot_that_fails_takes_no_proof_away(box: Box) -> None:
    """Whether it failed a check, or ended before it had a verdict; the next good one takes over."""
    log = booted(box)
    proof.keep_good(log)
    log.write_text("hung")  # without a record of its own
    assert [p.record.name for p in proof.found(log.parent)] == ["boot.good.json"]
    booted(box, good=False)
    proof.keep_good(log)  # it was not good: the one before stays
    booted(box, good=False)
    assert {p.record.name: p.good for p in proof.found(log.parent)} == {
        "boot.good.json": True,
        "boot.json": False,
    }
    made = release(box)
    assert not any("boot of" in text for text in made.missing)
    (record,) = (made.folder / "proofs").rglob("*.json")
    assert json.loads(record.read_text())["good"] is True
    booted(box)
    assert [p.record.name for p in proof.found(log.parent)] == ["boot.json"]
    assert not log.with_name("boot.good.log").exists()


def test_what_a_killed_run_left_is_swept(box: Box) -> None:
    left = box.folder / ".release-release-killed"
    left.mkdir()
    (left / "half").write_text("")
    release(box)
    assert not left.exists()


HOLDER = """
import os, signal
from builders.release import signing
from builders.progress import Silent
with signing.signer("", Silent()) as signer:
    print(signer.home, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_the_keyring_of_a_killed_run_is_swept_and_its_agent_ends(
    box: Box, monkeypatch: pytest.MonkeyPatch
) -> None:
    with tempfile.TemporaryDirectory(prefix="t") as short:  # of an agent's socket (unix(7))
        monkeypatch.setenv("TMPDIR", short)
        monkeypatch.setattr(tempfile, "tempdir", short)
        killed = subprocess.run(
            [sys.executable, "-c", HOLDER], cwd=ROOT, capture_output=True, text=True, check=False
        )
        home = Path(killed.stdout.strip())
        assert home.parent == Path(short), killed.stderr
        assert list(home.glob("private-keys-v1.d/*"))
        until = time.monotonic() + 10
        while any(str(home).encode() in line for line in command_lines()):
            assert time.monotonic() < until, "its agent still runs"
            time.sleep(0.1)
        release(box, key="")
        assert not list(Path(short).iterdir())


def command_lines() -> Iterator[bytes]:
    """Of every process."""
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            yield (process / "cmdline").read_bytes()


def _kill_at(step: int) -> None:
    """Kill this process at its `step`-th file of a release, or program that it starts."""
    seen = 0

    def count(event: str, arguments: tuple[object, ...]) -> None:
        nonlocal seen
        if (event == "open" and ".release-" in str(arguments[0])) or event == "subprocess.Popen":
            seen += 1
            if seen == step:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(count)


def test_the_release_before_is_whole_after_a_kill_at_any_moment(box: Box) -> None:
    """Each run is killed as soon as it has made so many files or signatures."""
    folder = release(box).folder
    before = content(folder, signatures=True)
    box.build(version="4.17.6+dom0.1", content=b"newer")
    for step in (2, 12, 40):
        child = os.fork()
        if not child:  # nothing of pytest may run in here
            with suppress(BaseException):
                _kill_at(step)
                release(box)
            os._exit(0)
        _, status = os.waitpid(child, 0)
        assert os.WIFSIGNALED(status), step
        assert content(folder, signatures=True) == before, step
        assert list(folder.parent.glob(".release-*")), step
    assert len(release(box).builds) == 3
    assert problems(folder) == {}
    assert not list(folder.parent.glob(".release-*"))


def test_without_the_exchange_of_two_names(box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    class Old:
        def renameat2(self, *_: object) -> int:
            return -1

    folder = release(box).folder
    monkeypatch.setattr("ctypes.CDLL", lambda *_, **__: Old())
    box.build(version="4.17.6+dom0.1", content=b"newer")
    release(box)
    assert problems(folder) == {}
    assert not list(folder.parent.glob(".release*"))


def test_a_kill_between_the_two_renames_of_an_old_file_system(box: Box) -> None:
    folder = release(box).folder
    before = content(folder, signatures=True)
    folder.rename(folder.parent / ".release-release-abc-old")
    box.build(version="4.17.6+dom0.1", content=b"newer")
    release(box)
    assert before.keys() - content(folder, signatures=True).keys() == set()
    assert not list(folder.parent.glob(".release*"))


# What is refused


def refused(box: Box, **wanted: Any) -> BuildError:
    with pytest.raises(BuildError) as caught:
        release(box, **wanted)
    assert caught.value.hint
    return caught.value


def test_nothing_built(tmp_path: Path) -> None:
    error = refused(Box(tmp_path))
    assert error.message == f"nothing was built of {RECIPE}"
    assert error.hint == f"./inv build-all --recipe {RECIPE}"


def test_a_flavour_that_was_not_built(box: Box) -> None:
    error = refused(box, flavour="debian")
    assert error.message == f"kernel-debian of {RECIPE} was not built; built is: minimal"


def test_a_package_that_the_manifest_does_not_name(box: Box) -> None:
    (box.folder / "stray.deb").write_bytes(b"")
    assert "stray.deb" in refused(box).message


def test_a_package_that_was_changed(box: Box) -> None:
    deb = next(box.folder.glob("xen*.deb"))
    data = deb.read_bytes()
    deb.unlink()
    deb.write_bytes(data + b"\n")
    assert "is not what was built" in refused(box).message


def test_a_recipe_that_changed_since(box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = xen.describe(box.run().recipe)
    other = dataclasses.replace(plan, phases=(*plan.phases[:-1], Phase("more", "x")), files={})
    monkeypatch.setattr(xen, "describe", lambda _: other)
    error = refused(box)
    assert "no longer the one that xen was built from; changed: script more (new), " in (
        error.message
    )
    assert "script collect (gone)" in error.message
    assert "file files/0 (gone)" in error.message


def test_a_source_that_left_the_cache(box: Box) -> None:
    shutil.rmtree(box.root / "cache")
    assert refused(box).exit is Exit.SOURCE


def test_a_folder_with_files_that_are_no_release(box: Box) -> None:
    (box.root / "out").mkdir()
    (box.root / "out/thesis").write_text("mine")
    error = refused(box, out=str(box.root / "out"))
    assert "has files and is no release" in error.message
    assert (box.root / "out/thesis").read_text() == "mine"


def test_an_old_release_that_is_damaged(box: Box) -> None:
    folder = release(box).folder
    next(folder.rglob("*.buildinfo")).write_text("changed")
    error = refused(box)
    assert "its sha256 differs" in error.message
    assert "./inv verify" in error.hint


def test_nothing_of_an_intruder_is_signed_anew(box: Box) -> None:
    """A package that somebody puts into the folder, with all records but the signatures changed."""
    folder = release(box).folder
    document = json.loads((folder / "release.json").read_text())
    build = document["builds"][0]
    intruder = folder / "pool/main/x/xen-upstream/xen-upstream_9+intruder_amd64.deb"
    intruder.write_bytes(next(folder.rglob("xen*.deb")).read_bytes())
    files = {str(intruder.relative_to(folder)): of_file(intruder)}
    document["builds"].append({**build, "version": "9+intruder", "files": files})
    (folder / "release.json").write_text(json.dumps(document))
    (folder / "SHA256SUMS").write_bytes(layout.sums(folder))
    assert "can't be carried on" in refused(box).message


def test_a_release_of_another_key_is_carried_on_where_that_is_named(
    box: Box, tmp_path: Path
) -> None:
    with keyring() as other:
        key = other.make("Old <old@example.org>")
        secret = other.export(key, tmp_path / "old.asc", secret=True)
        public = other.export(key, tmp_path / "old-public.asc")
    release(box, key=str(secret))
    box.build(version="4.17.6+dom0.1", content=b"newer")
    assert "--key FILE" in refused(box).hint
    made = release(box, old_key=str(public))
    assert {b["version"] for b in made.builds if b["target"] == "xen"} == {
        "4.17.5+dom0.1",
        "4.17.6+dom0.1",
    }
    assert problems(made.folder) == {}


def test_of_a_trial_nothing_is_kept(box: Box) -> None:
    release(box, key="")
    box.build(version="4.17.6+dom0.1", content=b"newer")
    made = release(box, key="")
    assert [b["version"] for b in made.builds if b["target"] == "xen"] == ["4.17.6+dom0.1"]
    assert any("nothing of it is kept" in line for line in box.reporter.said)


def test_an_older_release_in_place_of_a_newer_one_is_told(box: Box, tmp_path: Path) -> None:
    old = shutil.copytree(release(box).folder, tmp_path / "old")
    box.build(version="4.17.6+dom0.1", content=b"newer")
    new = release(box).folder
    assert verify.verify(old, Lines()).notes == []
    assert verify.verify(new, Lines()).notes == []
    (note,) = verify.verify(old, Lines()).notes
    assert "release 1" in note
    assert "release 2" in note


@pytest.mark.parametrize("kind", ["rsa1024", "dsa2048"])
def test_a_weak_key_neither_signs_nor_is_believed(box: Box, tmp_path: Path, kind: str) -> None:
    with keyring() as ring:
        ring.gpg("--passphrase", "", "--quick-generate-key", "Weak <w@x>", kind, "sign", "never")
        secret = tmp_path / "weak.asc"
        secret.write_bytes(ring.gpg("--armor", "--export-secret-keys"))
        public = ring.gpg("--export")
        signature = ring.gpg("--armor", "--detach-sign", given=b"data")
    assert "is too weak" in refused(box, key=str(secret)).message
    with pytest.raises(signing.Refused, match="too weak"):
        signing.check(public, signature, b"data")


@pytest.mark.parametrize("form", ["armor", "base64 of armor", "base64", "base64 in lines"])
def test_a_key_of_the_environment_is_never_shown(
    box: Box, monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    with keyring() as ring:
        key = ring.make("Environment <e@example.org>")
        armored = ring.gpg("--armor", "--export-secret-keys", key)
        plain = ring.gpg("--export-secret-keys", key)
    given = {
        "armor": armored,
        "base64 of armor": base64.b64encode(armored),
        "base64": base64.b64encode(plain),
        "base64 in lines": base64.encodebytes(plain),
    }[form].decode()
    monkeypatch.setenv(ci.KEY, given)
    with ci._key() as name:
        made = release(box, key=name)
    assert made.fingerprint == key
    # Where it is damaged, or put where a name belongs, no part of it is told.
    for wrong in (given[: len(given) // 2] + "!" + given[len(given) // 2 :], given):
        error = refused(box, key=wrong)
        assert given[40:60] not in f"{error.message} {error.hint} {error.excerpt}"


# Keys


def test_no_such_key(box: Box) -> None:
    assert "no such secret key" in refused(box, key="nobody@example.org").message
    assert "no such file" in refused(box, key="./nothing.asc").message


def test_only_the_public_half(box: Box, tmp_path: Path) -> None:
    with keyring() as other:
        file = other.export(other.make("Bob <bob@example.org>"), tmp_path / "bob.asc")
    assert "no such secret key" in refused(box, key="bob@example.org").message
    assert "only its public half" in refused(box, key=str(file)).message


def test_keys_that_match_or_do_not_count(box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    with keyring() as ring:
        monkeypatch.setenv("GNUPGHOME", str(ring.home))
        two = {ring.make("Carol one <c1@example.org>"), ring.make("Carol two <c2@example.org>")}
        error = refused(box, key="Carol")
        assert "several keys match" in error.message
        assert all(fingerprint in error.message for fingerprint in two)
        old = ring.make(
            "Dave <dave@example.org>", "--faked-system-time=20200101T000000", expires="1d"
        )
        assert f"key {old} (Dave <dave@example.org>) has expired" in refused(box, key=old).message
        gone = ring.make("Eve <eve@example.org>")
        ring.revoke(gone)
        assert "was revoked" in refused(box, key=gone).message


def test_a_passphrase_that_nobody_can_type(
    box: Box, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with keyring() as ring:
        monkeypatch.setenv("GNUPGHOME", str(ring.home))
        key = ring.make("Frank <frank@example.org>", passphrase="secret words")  # noqa: S106
        subprocess.run(
            ["gpgconf", "--homedir", str(ring.home), "--kill", "all"], check=False
        )  # forget it
        error = refused(box, key=key)
        assert "needs its passphrase" in error.message
        assert signing.PASSPHRASE in error.hint
        file = tmp_path / "passphrase"
        monkeypatch.setenv(signing.PASSPHRASE, str(file))
        assert "no such file" in refused(box, key=key).message
        file.write_text("wrong\n")
        assert "passphrase is wrong" in refused(box, key=key).message
        file.write_text("secret words\n")
        made = release(box, key=key)
        assert problems(made.folder) == {}


def test_a_key_of_a_file(box: Box, keys: Keyring, tmp_path: Path) -> None:
    fingerprint = keys.gpg("--with-colons", "--list-keys").decode().split("fpr:::::::::")[1][:40]
    file = keys.export(fingerprint, tmp_path / "key.asc", secret=True)
    assert release(box, key=str(file)).fingerprint == fingerprint


def test_a_key_for_trying(box: Box) -> None:
    made = release(box, key="")
    assert made.ephemeral
    assert "thrown away" in box.reporter.said[0]
    assert problems(made.folder) == {}
    assert not any(b"PRIVATE KEY" in data for data in content(made.folder).values())


# Verifying


@pytest.fixture
def made(box: Box) -> Path:
    return shutil.copytree(release(box).folder, box.root / "copy")


def test_a_sound_release(made: Path, keys: Keyring, tmp_path: Path) -> None:
    file = tmp_path / "alice.asc"
    file.write_bytes(keys.gpg("--armor", "--export", "alice@example.org"))
    verdict = verify.verify(made, Lines(), file)
    assert (verdict.problems, verdict.given) == ([], True)
    assert verdict.files == len(content(made, signatures=True))


def test_a_flipped_byte_in_any_file_is_named(made: Path) -> None:
    chance = random.Random(7)  # noqa: S311
    for path in sorted(content(made, signatures=True)):
        if path == "SHA256SUMS.asc":
            continue  # it has bytes that do not count, such as its checksum: gpgv judges it
        data = (made / path).read_bytes()
        place = chance.randrange(len(data))
        flipped = bytearray(data)
        flipped[place] ^= 1 << chance.randrange(8)
        (made / path).write_bytes(flipped)
        found = problems(made)
        # Without the key in it there is no signature to believe.
        assert path in found or (path == "dom0-debs.gpg" and "SHA256SUMS" in found), f"byte {place}"
        (made / path).write_bytes(data)
    assert problems(made) == {}


def test_what_gpgv_calls_good_is_good(made: Path) -> None:
    """An armor without its checksum, which RFC 9580 (6.1) leaves out, and one in CR LF."""
    file = made / "SHA256SUMS.asc"
    lines = file.read_bytes().split(b"\n")
    (check,) = [line for line in lines if line.startswith(b"=") and len(line) == 5]
    file.write_bytes(b"\n".join(line for line in lines if line != check))
    assert problems(made) == {}
    file.write_bytes(b"\r\n".join(lines))
    assert problems(made) == {}


def test_a_file_that_is_missing_extra_or_a_link(made: Path) -> None:
    deb = next(made.rglob("xen*.deb"))
    path = str(deb.relative_to(made))
    deb.rename(made / "elsewhere")
    found = problems(made)
    assert found.pop("elsewhere") == "SHA256SUMS does not list it"
    assert found == {path: "it is missing"}
    deb.symlink_to(made / "elsewhere")
    assert problems(made)[path] == "it is no plain file"


def test_the_sums_of_someone_else(made: Path, keys: Keyring, tmp_path: Path) -> None:
    """Whoever makes all sums anew has to sign them: with another key, that is told."""
    with keyring() as other:
        mallory = other.make("Mallory <m@example.org>")
        (made / "dom0-debs.gpg").write_bytes(other.gpg("--export", mallory))
        listed = layout.sums(made)
        (made / "SHA256SUMS").write_bytes(listed)
        sign = ["--no-emit-version", "--local-user", mallory, "--armor", "--detach-sign"]
        (made / "SHA256SUMS.asc").write_bytes(other.gpg(*sign, given=listed))
    alice = tmp_path / "alice.gpg"
    alice.write_bytes(keys.gpg("--export", "alice@example.org"))
    assert "signature does not count" in problems(made, alice)["SHA256SUMS"]
    assert problems(made)  # the Release file is still signed by the other key


@pytest.mark.parametrize("how", ["expired", "revoked"])
def test_a_key_that_counts_no_more(box: Box, tmp_path: Path, how: str) -> None:
    with keyring() as ring:
        key = ring.make("Grace <grace@example.org>")
        file = ring.export(key, tmp_path / "key.asc", secret=True)
        folder = release(box, key=str(file)).folder
        if how == "revoked":
            ring.revoke(key)
        else:
            ring.gpg("--quick-set-expire", key, "seconds=1")
        public = ring.export(key, tmp_path / "public.asc")
    if how == "expired":
        import time

        time.sleep(2.1)
    why = problems(folder, public)["SHA256SUMS"]
    assert (
        why
        == f"the signature does not count: the key {'was ' if how == 'revoked' else 'has '}{how}"
    )


def test_what_is_no_release_or_no_key(made: Path, tmp_path: Path) -> None:
    with pytest.raises(BuildError, match="nothing: no such folder"):
        verify.verify(tmp_path / "nothing", Lines())
    with pytest.raises(BuildError, match="is no release: it has no SHA256SUMS"):
        verify.verify(tmp_path, Lines())
    with pytest.raises(BuildError, match="SHA256SUMS is no release: it is a file"):
        verify.verify(made / "SHA256SUMS", Lines())
    (tmp_path / "key").write_text("a poem")
    with pytest.raises(BuildError, match="/dev/zero: larger than 64 MiB"):
        verify.verify(made, Lines(), Path("/dev/zero"))
    with pytest.raises(BuildError, match="holds no public key"):
        verify.verify(made, Lines(), tmp_path / "key")


@pytest.mark.parametrize("file", ["release.json", "SHA256SUMS", f"{LISTS}/Packages"])
@pytest.mark.parametrize("garbage", [b"", b"\xff\xfe\x00", b"[]", b"{" * 5000])
def test_garbage_is_a_finding_and_no_crash(made: Path, file: str, garbage: bytes) -> None:
    (made / file).write_bytes(garbage)
    assert file in problems(made)


def test_modes_are_those_of_files_to_be_served(box: Box) -> None:
    folder = release(box).folder
    for path, entry in layout.walk(folder):
        assert stat.S_IMODE(entry.stat().st_mode) & 0o444 == 0o444, path


def test_a_release_says_which_builds_used_ccache(box: Box) -> None:
    box.ccache = True
    box.build()
    made = release(box)
    assert [note.split()[0] for note in made.notes if "ccache" in note] == ["xen"]
    (text,) = (made.folder / "attestations").glob("xen-*.provenance.json")
    definition = json.loads(text.read_text())["predicate"]["buildDefinition"]
    assert definition["internalParameters"]["ccache"] is True


def test_a_changed_release_is_told_within_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    """One manipulation in sixteen of those of `python -m tests.fuzz.releases`."""
    monkeypatch.setenv("GNUPGHOME", "/nonexistent")
    outcomes, wrong = fuzzed.run(lambda number: number % 16 == 3)
    assert wrong == []
    assert len(outcomes) > 20
