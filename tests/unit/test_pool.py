# SPDX-License-Identifier: GPL-2.0-or-later
"""Which files a pin on a package of the suite means, by the suite's verified index."""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from builders.errors import BuildError, Exit
from builders.ground.sources.address import Patience
from builders.ground.sources.cache import Cache, Fetched
from builders.ground.sources.fetching import fetch_all
from builders.ground.suite import index
from builders.ground.suite.index import Offer, PoolFile
from builders.ground.suite.pool import Pool, admitted
from builders.pipeline.recipe import DebianPackage, DebianSource, Pooled
from builders.pipeline.run import Run
from tests.unit.archives import Keys, packed, release
from tests.unit.engines import Heard
from tests.unit.samples import recipe
from tests.unit.servers import Behaviour, Exchange, Site, redirect, reset, serve, status

pytestmark = pytest.mark.slow
MAIN = "http://mirror.example.org/debian"
POOLED = Pooled("4.17.4-1", "pool/main/x/xen/xen_4.17.4.orig.tar.xz", "ab" * 32)
QUICK = Patience(connect=2, stall=0.3, attempts=2, pause=0.001, longest=0.05, silence=5)


def offer(package: str, version: str, *names: str) -> Offer:
    files = (
        PoolFile(n, f"{MAIN}/pool/{n}", 3, hashlib.sha256(n.encode()).hexdigest()) for n in names
    )
    kind = "source" if any(".tar." in n for n in names) else "all"
    return Offer(package, version, kind, tuple(files))


LINUX = [
    offer("linux-source-6.1", version, f"linux-source-6.1_{version}_all.deb")
    for version in ("6.1.99-1", "6.1.137-1", "6.1.135-1")
] + [offer("linux", "6.1.200-1", "linux_6.1.200-1_all.deb")]
XEN = [
    offer("xen", f"{upstream}-1", f"xen_{upstream}-1.dsc", f"xen_{upstream}.orig.tar.xz",
          f"xen_{upstream}.orig.tar.xz.asc", f"xen_{upstream}-1.debian.tar.xz")
    for upstream in ("4.17.5+23", "4.17.5+72")
]  # fmt: skip


def package(version: str, name: str = "linux-source-6.1") -> DebianPackage:
    return DebianPackage("linux", name, version)


def source(version: str, name: str = "xen", pooled: Pooled | None = None) -> DebianSource:
    return DebianSource("xen", name, version, pooled)


def versions(it: DebianSource | DebianPackage, offers: list[Offer]) -> list[str]:
    return [candidate.version for candidate in admitted(it, offers, "bookworm", MAIN)]


# What a pin admits


@pytest.mark.parametrize(
    ("pin", "expected"),
    [
        ("6.1.*", ["6.1.137-1", "6.1.135-1", "6.1.99-1"]),  # not as text sorts them
        ("6.1.1??-1", ["6.1.137-1", "6.1.135-1"]),
        ("6.1.135-1", ["6.1.135-1"]),
        ("*", ["6.1.137-1", "6.1.135-1", "6.1.99-1"]),
    ],
)
def test_what_a_pin_admits_newest_first(pin: str, expected: list[str]) -> None:
    assert versions(package(pin), LINUX) == expected


def test_of_a_source_package_the_upstream_tarballs() -> None:
    component = offer("xen", "5-1", "xen_5.orig-more.tar.gz", "xen_5.orig.tar.xz", "xen_5-1.dsc")
    native = offer("xen", "6", "xen_6.tar.xz", "xen_6.dsc")
    found = admitted(source("*"), [*XEN, component, native], "bookworm", MAIN)
    assert [[file.filename for file in candidate.files] for candidate in found] == [
        ["xen_6.tar.xz"],
        ["xen_5.orig-more.tar.gz", "xen_5.orig.tar.xz"],
        ["xen_4.17.5+72.orig.tar.xz"],
        ["xen_4.17.5+23.orig.tar.xz"],
    ]
    (file,) = found[-1].files
    assert (file.urls, file.size) == ((f"{MAIN}/pool/xen_4.17.5+23.orig.tar.xz",), 3)
    assert file.sha256 == hashlib.sha256(b"xen_4.17.5+23.orig.tar.xz").hexdigest()


def test_a_version_in_two_places_is_one() -> None:
    assert versions(source("4.17.5+72*"), [*XEN, *XEN]) == ["4.17.5+72-1"]


@pytest.mark.parametrize("version", ["", "x", "1_2", "1 2", "1'; rm", "1:", "a:1", "-1"])
def test_what_is_no_version_is_passed_over(version: str) -> None:
    offers = [offer("a", version, "a.deb"), offer("a", "1-1", "a.deb")]
    assert versions(package("*", "a"), offers) == ["1-1"]


@pytest.mark.parametrize("pin", ["6.2.*", "6.1", "6.1.137", "137"])
def test_no_such_version_names_those_that_there_are_oldest_first(pin: str) -> None:
    with pytest.raises(BuildError) as caught:
        versions(package(pin), LINUX)
    assert f"bookworm has no linux-source-6.1 {pin}: it has 6.1.99-1, 6.1.135-1, 6.1.13" in (
        caught.value.message
    )
    assert "--set sources.linux.version=" in caught.value.hint
    assert caught.value.exit is Exit.SOURCE


@pytest.mark.parametrize("offers", [[], LINUX, [offer("xan", "1", "xan.dsc")]])
def test_no_such_package_says_what_to_correct(offers: list[Offer]) -> None:
    with pytest.raises(BuildError, match="bookworm has no package xan") as caught:
        versions(source("*", "xan"), offers)
    assert "sources.xen.package" in caught.value.hint
    assert caught.value.exit is Exit.SOURCE


def test_what_the_recipe_pins_beside_the_index_comes_last() -> None:
    assert versions(source("4.17.*", pooled=POOLED), XEN)[-1] == "4.17.4-1"
    newer = replace(POOLED, version="4.17.9-1")
    (*_, last) = admitted(source("4.17.*", pooled=newer), XEN, "bookworm", MAIN)
    (file,) = last.files
    assert file.urls == (f"{MAIN}/pool/main/x/xen/xen_4.17.4.orig.tar.xz",)
    assert (file.sha256, last.pinned) == ("ab" * 32, True)
    assert versions(source("4.17.4-1", pooled=POOLED), XEN) == ["4.17.4-1"]
    assert "4.17.4-1" not in versions(source("4.17.5*", pooled=POOLED), XEN)
    with pytest.raises(BuildError, match=r"has no xen 4\.18"):
        versions(source("4.18*", pooled=POOLED), XEN)


# Reading the index


def test_lists_are_read(tmp_path: Path) -> None:
    digest = "ab" * 32
    (tmp_path / "p").write_text(
        f"Package: a\nVersion: 1:2-1\nArchitecture: amd64\nFilename: pool/a~b_2-1_amd64.deb\n"
        f"Size: 7\nSHA256: {digest}\nDescription: x\n Package: b\n\n"
        f"Package: b\nVersion: 1\nFilename: pool/../../b.deb\nSize: 7\nSHA256: {digest}\n\n"
        f"Package: c\nVersion: 1\nFilename: pool/c.deb\nSize: 7\nMD5sum: {digest}\n\n"
        f"Package: d\nVersion: 1\nFilename: pool/d d.deb\nSize: 7\nSHA256: {digest}\n"
    )
    (read,) = index.packages(tmp_path / "p", MAIN)
    file = PoolFile("a~b_2-1_amd64.deb", f"{MAIN}/pool/a~b_2-1_amd64.deb", 7, digest)
    assert read == Offer("a", "1:2-1", "amd64", (file,))
    assert list(index.packages(tmp_path / "p", MAIN, {"b"})) == []
    (tmp_path / "s").write_text(
        f"Package: a\nVersion: 2\nDirectory: pool/a\nFiles:\n {'0' * 32} 7 a_2.dsc\n"
        f"Checksums-Sha256:\n {digest} 7 a_2.dsc\n {digest} 9 a_2.tar.xz\n"
    )
    (read,) = index.sources(tmp_path / "s", f"{MAIN}/", {"a"})
    assert [(f.url, f.size) for f in read.files] == [
        (f"{MAIN}/pool/a/a_2.dsc", 7),
        (f"{MAIN}/pool/a/a_2.tar.xz", 9),
    ]


def test_a_list_is_read_in_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = "".join(
        f"Package: p{n}\nVersion: {n}\nFilename: p{n}.deb\nSize: 1\nSHA256: {'ab' * 32}\n\n"
        for n in range(50)
    )
    (tmp_path / "p").write_text(whole)
    for size in (1, 7, 100, 1 << 20):
        monkeypatch.setattr(index, "_CHUNK", size)
        assert [o.version for o in index.packages(tmp_path / "p", MAIN)] == [
            str(n) for n in range(50)
        ]


@settings(max_examples=50)
@given(st.binary(max_size=300))
def test_any_list_is_read(data: bytes) -> None:
    with tempfile.NamedTemporaryFile() as file:
        path = Path(file.name)
        path.write_bytes(data + b"\n\nPackage: a\nFilename: a\nSize: 1\nSHA256: " + b"a" * 64)
        assert [o.files[0].name for o in index.packages(path, MAIN, {"a"})][-1:] == ["a"]
        assert isinstance(list(index.sources(path, MAIN)), list)


# From the mirror, whatever is on the way to it

NEW, OLD = b"the newer kernel" * 100, b"the older kernel" * 100
GONE = status(404)


class Mirror:
    """A signed suite with two versions of a kernel's source, on a server of its own."""

    def __init__(self, site: Site, keys: Keys, folder: Path) -> None:
        self.site, self.folder = site, folder
        self.heard = Heard()
        key = keys.make("archive", "20100101")
        keyring = keys.keyring(folder / "keyring.gpg", key)
        paragraphs = [
            f"Package: linux-source-6.1\nVersion: {version}\nArchitecture: all\n"
            f"Filename: pool/linux-source-6.1_{version}_all.deb\nSize: {len(data)}\n"
            f"SHA256: {hashlib.sha256(data).hexdigest()}\n"
            for version, data in (("6.1.2-1", NEW), ("6.1.1-1", OLD))
        ]
        lists = packed(
            {
                "main/binary-amd64/Packages": "\n".join(paragraphs).encode(),
                "main/source/Sources": b"",
            }
        )
        content = release(lists, "bookworm")
        inline = keys.gpg("--clear-sign", f"-u{key}", given=content)
        for path, data in {**lists, "InRelease": inline}.items():
            site.pages[f"/debian/dists/bookworm/{path}"] = serve(data)
        self.pool("6.1.2-1", serve(NEW))
        self.pool("6.1.1-1", serve(OLD))
        self._sets = [
            f"suite.mirror={site.root}/debian",
            "suite.pockets=[]",
            f"suite.keyring={keyring}",
        ]

    def pool(self, version: str, behaviour: Behaviour) -> None:
        path = f"/debian/pool/linux-source-6.1_{version}_all.deb"
        self.site.pages[path] = behaviour

    def fetch(self) -> Fetched:
        it = recipe(*self._sets)
        cache = Cache(self.folder / "cache")
        run = Run(it, self.heard, self.folder / "artifacts", cache)
        wanted = package("6.1.*")
        return fetch_all([wanted], cache, self.heard, debian=Pool(run), patience=QUICK)["linux"]

    def kept(self) -> list[Path]:
        """Files in the cache, the package lists aside."""
        folder = self.folder / "cache" / "sha256"
        return [p for p in folder.glob("*/*") if p.read_bytes() in (NEW, OLD)]

    def records(self) -> list[str]:
        """Sources that the cache believes to have, the package lists aside."""
        records = (self.folder / "cache" / "resolved").glob("*.json")
        return [p.name for p in records if "linux-source" in p.read_text()]


@pytest.fixture
def served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Mirror]:
    if not shutil.which("gpgv"):
        pytest.skip("needs gpgv")
    monkeypatch.setenv("NO_PROXY", "*")
    with Site() as site, Keys() as keys:
        yield Mirror(site, keys, tmp_path)


def test_the_newest_version_is_fetched_without_any_apt(served: Mirror) -> None:
    fetched = served.fetch()
    assert fetched.version == "6.1.2-1"
    (file,) = fetched.files
    assert file.name == "linux-source-6.1_6.1.2-1_all.deb"
    assert file.path.read_bytes() == NEW
    assert served.heard.lines == []


def test_where_the_newest_is_not_served_the_next_is_taken_and_that_is_said(served: Mirror) -> None:
    served.pool("6.1.2-1", GONE)
    fetched = served.fetch()
    assert (fetched.version, fetched.unserved) == ("6.1.1-1", ("6.1.2-1",))
    (line,) = served.heard.lines
    assert line.endswith(
        "the mirror lists linux-source-6.1 6.1.2-1 and can't serve it: taking the next older one, "
        "6.1.1-1"
    )


def test_where_none_is_served_it_is_a_source_that_fails(served: Mirror) -> None:
    served.pool("6.1.2-1", GONE)
    served.pool("6.1.1-1", GONE)
    with pytest.raises(BuildError, match="HTTP 404") as caught:
        served.fetch()
    assert caught.value.exit is Exit.SOURCE
    assert "suite.mirror" in caught.value.hint
    assert served.records() == []


def _cut(exchange: Exchange) -> None:
    serve(NEW, upto=300, end=reset)(exchange)


FORGED = NEW[:-1] + b"!"
# Ways in which apt 0.9.7.9 was seen to leave a forged or a cut file, and to end with 0.
ATTACKS: dict[str, Behaviour] = {
    "a flipped byte": serve(FORGED),
    "more bytes": serve(NEW + b"more"),
    "fewer bytes, announced": serve(NEW[:300]),
    "fewer bytes, not announced": _cut,
    "an HTML body": serve(b"<html><title>sold</title></html>", kind="text/html"),
    "another version": serve(OLD),
}


@pytest.mark.parametrize("attack", ATTACKS)
def test_a_file_of_another_content_is_refused_and_no_older_one_taken(
    served: Mirror, attack: str
) -> None:
    served.pool("6.1.2-1", ATTACKS[attack])
    with pytest.raises(BuildError) as caught:
        served.fetch()
    assert caught.value.exit is Exit.SOURCE
    assert "linux-source-6.1_6.1.2-1_all.deb of linux-source-6.1 6.1.2-1" in caught.value.message
    if attack not in ("fewer bytes, not announced", "an HTML body"):
        assert "Hash Sum mismatch" in caught.value.message
    assert served.heard.lines == []
    assert served.kept() == []
    assert served.records() == []


def test_a_forged_file_then_a_busy_server_then_none(served: Mirror) -> None:
    """Too large a Content-Length, a reset, then 503 and 404: old apt kept the forged file."""
    answers = iter([serve(FORGED, upto=len(FORGED) - 5, end=reset), status(503), GONE])
    served.pool("6.1.2-1", lambda exchange: next(answers, GONE)(exchange))
    with pytest.raises(BuildError) as caught:
        served.fetch()
    assert caught.value.exit is Exit.SOURCE
    assert served.kept() == []
    assert served.records() == []


def test_a_healthy_mirror_after_an_attack(served: Mirror) -> None:
    served.pool("6.1.2-1", serve(FORGED))
    with pytest.raises(BuildError):
        served.fetch()
    served.pool("6.1.2-1", serve(NEW))
    assert served.fetch().files[0].path.read_bytes() == NEW


def test_a_redirect_to_the_file_is_followed(served: Mirror) -> None:
    served.site.pages["/elsewhere"] = serve(NEW)
    served.pool("6.1.2-1", redirect("/elsewhere"))
    assert served.fetch().version == "6.1.2-1"
