# SPDX-License-Identifier: GPL-2.0-or-later
"""apt of a clean machine of the suite, which knows a release by its .sources file and no other."""

from __future__ import annotations

import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from builders import trial
from builders.release import publish, signing
from builders.step import Step
from tests.unit.releases import RECIPE, Box, keyring

AT = "/srv/release"
LISTS = f"{AT}/dists/bookworm/main/binary-amd64"
ALONE = {"Depends": "libc6 (>= 2.36)"}
# One bit of the byte at $2 in $1 (counted from the end where it is negative) is another one.
FLIP = """
flip() {
    perl -e '
        open my $f, "+<", $ARGV[0] or die; seek $f, $ARGV[1], $ARGV[1] < 0 ? 2 : 0;
        read $f, my $byte, 1; seek $f, -1, 1; print $f chr(ord($byte) ^ 1);' "$1" "$2"
}
restore() { rm -rf /srv/release /var/lib/apt/lists/*; tar -C /srv -xf /srv/release.tar; }
update() { rm -rf /var/lib/apt/lists/*; apt-get update; }
restore
"""
INSTALL = "apt-get install --yes --reinstall xen-upstream linux-image-6.1-minimal"


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Step]:
    """A machine without a network; its one source is the release, by the file that is in it."""
    box = Box(tmp_path_factory.mktemp("release"))
    box.build(extra=ALONE)
    box.build("kernel-minimal", "6.1.192-1+dom0.1", extra=ALONE)
    run = box.run()
    with keyring() as keys, pytest.MonkeyPatch.context() as patch:
        patch.setenv("GNUPGHOME", str(keys.home))
        patch.delenv(signing.PASSPHRASE, raising=False)
        key = keys.make("Alice <alice@example.org>")
        made = publish.publish(run, RECIPE, key=key, url=f"file:{AT}")
    tar = box.root / "release.tar"
    with tarfile.open(tar, "w") as out:
        out.add(made.folder, "release")
    with Step(run, "release", trial.machine_image(run), root=True) as step:
        step.container.put("/srv", [("release.tar", tar)])
        sources = made.folder / "dom0-debs.sources"
        step.phase("clear", "rm -rf /etc/apt/sources.list* /etc/apt/trusted.gpg*")
        step.phase("folder", "mkdir -p /etc/apt/sources.list.d")
        step.container.put("/etc/apt/sources.list.d", [(sources.name, sources)])
        yield step


def attempt(machine: Step, script: str) -> tuple[int, str]:
    return machine.attempt("try", FLIP + script)


def test_apt_installs_from_the_release_alone(machine: Step) -> None:
    status, said = attempt(
        machine, f"update && {INSTALL} && dpkg-query -W xen-upstream && cat /boot/config-6.1"
    )
    assert status == 0, said
    assert "xen-upstream\t4.17.5+dom0.1" in said
    assert "CONFIG_XEN=y" in said


@pytest.mark.parametrize(
    "name", ["a signed line", "the signature"], ids=lambda n: str(n).replace(" ", "-")
)
def test_apt_refuses_a_flipped_byte_in_inrelease(machine: Step, name: str) -> None:
    place = {"a signed line": "60", "the signature": "-120"}[name]
    status, said = attempt(machine, f"flip {AT}/dists/bookworm/InRelease {place}; update")
    assert status != 0, said
    # What is left of a signature with a wrong checksum is none at all: NODATA.
    assert any(why in said for why in ("not signed", "signatures were invalid", "NODATA")), said


def test_apt_refuses_a_flipped_byte_in_packages(machine: Step) -> None:
    flips = f"for f in {LISTS}/Packages* {LISTS}/by-hash/SHA256/*; do flip $f 40; done"
    status, said = attempt(machine, f"{flips}; update")
    assert status != 0, said
    assert "Hash Sum mismatch" in said or "unexpected size" in said


def test_apt_refuses_a_flipped_byte_in_a_package(machine: Step) -> None:
    deb = f"{AT}/pool/main/x/xen-upstream/*.deb"
    status, said = attempt(machine, f"update; apt-get clean; flip {deb} -700; {INSTALL}")
    assert status != 0, said
    assert "Hash Sum mismatch" in said


def test_apt_refuses_another_key(machine: Step, tmp_path: Path) -> None:
    with keyring() as keys:
        other = keys.export(keys.make("Mallory <m@example.org>"), tmp_path / "other.asc")
    machine.container.put("/srv", [(other.name, other)])
    sources = "Types: deb\\nURIs: file:/srv/release\\nSuites: bookworm\\nComponents: main\\n"
    script = f"""
        mkdir -p /srv/only; printf '{sources}Signed-By: /srv/other.asc\\n' >/srv/only/x.sources
        rm -rf /var/lib/apt/lists/*
        apt-get -o Dir::Etc::SourceParts=/srv/only update
    """
    status, said = attempt(machine, script)
    assert status != 0, said
    assert "NO_PUBKEY" in said or "not signed" in said
