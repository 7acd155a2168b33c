# SPDX-License-Identifier: GPL-2.0-or-later
"""apt of a clean machine of the suite, which knows a release by its .sources file and no other."""

from __future__ import annotations

import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from builders.ground.engine.step import Step
from builders.proofs.trial import clean
from builders.release import publish, signing
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
        box.build(version="4.17.6+dom0.1", content=b"newer", extra=ALONE)
        publish.publish(run, RECIPE, key=key, url=f"file:{AT}")
        with tarfile.open(box.root / "next.tar", "w") as out:
            out.add(made.folder, "next")
    with Step(run, "release", clean.machine_image(run), root=True) as step:
        step.container.put("/srv", [("release.tar", tar), ("next.tar", box.root / "next.tar")])
        step.phase("next", "tar -C /srv -xf /srv/next.tar")
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


# By HTTP, as most machines get it


# Serves $1 below / on a port of its own, which it prints; $2 is a file that may name a folder
# from which everything but the Release files comes instead. It logs each path in $3.
SERVER = r"""
use strict; use IO::Socket::INET;
my ($root, $other, $log) = @ARGV;
my $server = IO::Socket::INET->new(LocalAddr => "127.0.0.1", Listen => 9, ReuseAddr => 1) or die;
open my $port, ">", "/srv/port.new" or die; print $port $server->sockport; close $port;
rename "/srv/port.new", "/srv/port";
while (my $client = $server->accept) {
    next if fork; close $server;
    while (my $line = <$client>) {
        my ($path) = $line =~ m{^GET (/\S*) } or last;
        while (my $header = <$client>) { last if $header =~ /^\r?$/ }
        $path =~ s/%([0-9A-Fa-f]{2})/chr hex $1/ge;
        my $from = $root;
        if (open my $f, "<", $other) { $from = <$f> unless $path =~ m{/(In)?Release} }
        open my $l, ">>", $log; print $l "$path\n"; close $l;
        my $body;
        if (-f "$from$path" and open my $f, "<", "$from$path") { local $/; $body = <$f> }
        my $status = defined $body ? "200 OK" : "404 Not Found";
        $body //= "";
        print $client "HTTP/1.1 $status\r\nContent-Length: " . length($body) . "\r\n\r\n$body";
        $client->flush;
    }
    exit;
}
"""
SERVE = f"""
rm -f /srv/port /srv/other /srv/log
perl /srv/server.pl {AT} /srv/other /srv/log </dev/null >/dev/null 2>&1 &
while [ ! -s /srv/port ]; do sleep 0.1; done
url=http://127.0.0.1:$(cat /srv/port)
mkdir -p /srv/http /etc/apt/keyrings; cp /srv/release/dom0-debs.asc /etc/apt/keyrings/
echo "deb [signed-by=/etc/apt/keyrings/dom0-debs.asc] $url bookworm main" >/srv/http/x.list
apt_http() {{ apt-get -o Dir::Etc::SourceParts=/srv/http -o Acquire::Retries=0 "$@"; }}
"""


@pytest.fixture(scope="module")
def server(machine: Step) -> Step:
    machine.container.put("/srv", [("server.pl", SERVER.encode())])
    return machine


def by_http(server: Step, script: str) -> tuple[int, str]:
    status, said = attempt(server, f"{SERVE}\n{script}\nstatus=$?; kill $!; exit $status")
    return status, said


def test_apt_installs_by_http_with_signed_by(server: Step) -> None:
    status, said = by_http(
        server, "apt_http update && apt_http install --yes --reinstall xen-upstream; cat /srv/log"
    )
    assert status == 0, said
    assert "/by-hash/SHA256/" in said
    assert "Setting up xen-upstream" in said
    assert "pool/main/x/xen-upstream/xen-upstream_4.17.5+dom0.1_amd64.deb" in said


# The Release file is the one before, and all else is of the release that has taken its place.
MIDDLE = "echo -n /srv/next >/srv/other; apt_http update"


def test_an_update_that_a_new_release_interrupts_ends_well(server: Step) -> None:
    status, said = by_http(server, f"{MIDDLE} && apt_http install --yes xen-upstream=4.17.5+dom0.1")
    assert status == 0, said


def test_without_the_lists_of_before_such_an_update_fails(server: Step) -> None:
    lost = "cp -a /srv/next /srv/lost; rm -r /srv/lost/dists/bookworm/main/*/by-hash"
    middle = MIDDLE.replace("next", "lost")
    status, said = by_http(server, f"{lost}; ({middle}); s=$?; rm -r /srv/lost; (exit $s)")
    assert status != 0, said
    assert "Failed to fetch http://127.0.0.1:" in said


@pytest.mark.parametrize(
    ("files", "place", "why"),
    [
        ("dists/bookworm/InRelease", "60", "signatures were invalid"),
        ("dists/bookworm/main/*/Packages* */*/*/*/by-hash/SHA256/*", "40", "Hash Sum mismatch"),
        ("pool/main/x/xen-upstream/*.deb", "-700", "Hash Sum mismatch"),
    ],
)
def test_apt_refuses_a_flipped_byte_by_http(server: Step, files: str, place: str, why: str) -> None:
    flips = f"(cd {AT}; for f in {files}; do flip $f {place}; done)"
    install = "apt_http update && apt_http install --yes --reinstall xen-upstream"
    status, said = by_http(server, f"apt-get clean; {flips}; {install}")
    assert status != 0, said
    assert why in said
