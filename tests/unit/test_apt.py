# SPDX-License-Identifier: GPL-2.0-or-later
from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest
from docker import DockerClient
from hypothesis import given
from hypothesis import strategies as st

from builders.engine import container
from builders.errors import BuildError, Exit
from builders.recipe import DebianPackage, DebianSource, Pooled
from builders.run import Run
from builders.sources.cache import Cache
from builders.suite import image, mirror
from builders.suite.apt import SuiteFetcher, _admitted
from tests.unit.containers import Archives, Client, Played, tar
from tests.unit.engines import Heard
from tests.unit.samples import recipe

# As apt-cache madison of bookworm prints it, with deb and deb-src entries.
XEN = """\
       xen | 4.17.5+72-g01140da4e8-1 | http://mirror.example.org/debian bookworm/main Sources
       xen | 4.17.5+23-ga4e5191dc0-1+deb12u1 | http://security.example.org/debian-security \
bookworm-security/main Sources
"""
LINUX = """\
linux-source-6.1 | 6.1.137-1 | http://mirror.example.org/debian bookworm/main amd64 Packages
linux-source-6.1 | 6.1.135-1 | http://security.example.org/debian-security \
bookworm-security/main amd64 Packages
linux-source-6.1 |  6.1.99-1 | http://mirror.example.org/debian bookworm-updates/main amd64 Packages
     linux | 6.1.137-1 | http://mirror.example.org/debian bookworm/main Sources
"""


def package(version: str, name: str = "linux-source-6.1") -> DebianPackage:
    return DebianPackage("linux", name, version)


def source(version: str, name: str = "xen") -> DebianSource:
    return DebianSource("xen", name, version)


# What a pin admits


@pytest.mark.parametrize(
    ("pin", "versions"),
    [
        ("6.1.*", ["6.1.137-1", "6.1.135-1", "6.1.99-1"]),  # not as text sorts them
        ("6.1.1??-1", ["6.1.137-1", "6.1.135-1"]),
        ("6.1.135-1", ["6.1.135-1"]),
        ("*", ["6.1.137-1", "6.1.135-1", "6.1.99-1"]),
    ],
)
def test_what_a_pin_admits_newest_first(pin: str, versions: list[str]) -> None:
    assert _admitted(package(pin), LINUX, "bookworm") == versions


def test_sources_and_packages_of_a_name_are_told_apart() -> None:
    both = (
        XEN + "       xen | 9-1 | http://mirror.example.org/debian bookworm/main amd64 Packages\n"
    )
    assert _admitted(source("*"), both, "bookworm") == [
        "4.17.5+72-g01140da4e8-1",
        "4.17.5+23-ga4e5191dc0-1+deb12u1",
    ]
    assert _admitted(package("*", "xen"), both, "bookworm") == ["9-1"]


def test_a_version_in_two_places_is_one() -> None:
    assert _admitted(source("4.17.5+72*"), XEN + XEN, "bookworm") == ["4.17.5+72-g01140da4e8-1"]


def test_a_version_with_signs() -> None:
    text = "a | 1:2.0~rc1+b1-0.1 | http://m x/main amd64 Packages\n"
    assert _admitted(package("1:2.0~rc1+b1-0.1", "a"), text, "x") == ["1:2.0~rc1+b1-0.1"]


@pytest.mark.parametrize("version", ["", "x", "1_2", "1 2", "1'; rm", "1:2:", "-1"])
def test_what_is_no_version_is_passed_over(version: str) -> None:
    text = f"a | {version} | http://m x/main amd64 Packages\n"
    more = "a | 1-1 | http://m x/main amd64 Packages\n"
    assert _admitted(package("*", "a"), text + more, "x") == ["1-1"]


@pytest.mark.parametrize("pin", ["6.2.*", "6.1", "6.1.137", "137"])
def test_no_such_version_names_those_that_there_are_oldest_first(pin: str) -> None:
    with pytest.raises(BuildError) as caught:
        _admitted(package(pin), LINUX, "bookworm")
    assert f"bookworm no longer has linux-source-6.1 {pin}: it has 6.1.99-1, 6.1.135-1, 6.1.13" in (
        caught.value.message
    )
    assert "--set sources.linux.version=" in caught.value.hint
    assert caught.value.exit is Exit.SOURCE


@pytest.mark.parametrize("text", ["", "N: Unable to locate package xan\n", LINUX, "x|y\n|||\n"])
def test_no_such_package_says_what_to_correct(text: str) -> None:
    with pytest.raises(BuildError, match="bookworm has no package xan") as caught:
        _admitted(source("*", "xan"), text, "bookworm")
    assert "sources.xen.package" in caught.value.hint
    assert caught.value.exit is Exit.SOURCE


@given(st.text(max_size=200))
def test_any_listing_is_read(text: str) -> None:
    line = f"xen | {text} | http://m x/main Sources\n"
    assert "9-1" in _admitted(source("*"), f"{line}{text}\nxen | 9-1 | m Sources", "x")


# Downloading


class Suite:
    """A suite's clean root on the stand-in, whose mirror serves some versions only."""

    def __init__(self, folder: Path) -> None:
        self.client = Client(self.play)
        self.heard = Heard()
        self.broken: dict[str, Played] = {}
        self.into = folder / "into"
        self.into.mkdir()
        it = recipe("suite.mirror=http://mirror.example.org/debian")
        self.run = Run(
            it,
            self.heard,
            folder / "artifacts",
            Cache(folder / "cache"),
            _client=cast("DockerClient", self.client),
        )

    def play(self, script: str) -> Played:
        if "madison 'xen'" in script:
            return Played([XEN.encode()])
        if "madison" in script:
            return Played([LINUX.encode()])
        for part, played in self.broken.items():
            if part in script:
                return played
        return Played([b"Get:1\n"])

    def fetch(self, *sources: DebianSource | DebianPackage) -> dict[str, str]:
        found = SuiteFetcher(self.run).fetch(sources, self.into)
        return {name: result.version for name, result in found.items()}


@pytest.fixture
def suite(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Suite]:
    monkeypatch.setattr(image, "clean_root", lambda _: "dom0-debs/root-bookworm:x")
    monkeypatch.setattr(container, "time", SimpleNamespace(sleep=lambda _: None))
    monkeypatch.delenv(mirror.SECURITY, raising=False)
    it = Suite(tmp_path)
    with Archives(tar([("linux/x.deb", b"deb")])) as server:
        it.client.api.base_url = server.url
        yield it


def test_the_newest_version_is_downloaded(suite: Suite) -> None:
    found = suite.fetch(package("6.1.*"), source("4.17.*"))
    assert found == {"linux": "6.1.137-1", "xen": "4.17.5+72-g01140da4e8-1"}
    assert (suite.into / "linux" / "x.deb").read_bytes() == b"deb"
    scripts = [command[-1] for command, _ in suite.client.execs]
    assert any("download 'linux-source-6.1=6.1.137-1'" in script for script in scripts)
    assert any(" source " in s and "'xen=4.17.5+72-g01140da4e8-1'" in s for s in scripts)
    assert b"deb http://mirror.example.org/debian bookworm main" in suite.client.put["/etc/apt"]


def test_where_the_newest_is_not_served_the_next_is_taken_and_that_is_said(suite: Suite) -> None:
    suite.broken["6.1.137-1"] = Played([b"E: Failed to fetch x  404  Not Found [IP: ::1]\n"], 100)
    assert suite.fetch(package("6.1.*")) == {"linux": "6.1.135-1"}
    (line,) = suite.heard.lines
    assert "6.1.137-1" in line
    assert "next older" in line


def test_where_none_is_served_it_is_a_source_that_fails(suite: Suite) -> None:
    suite.broken["apt-get -o"] = Played([b"E: Failed to fetch 404\n"], 100)
    with pytest.raises(BuildError, match=r"download linux-source-6\.1 failed") as caught:
        suite.fetch(package("6.1.*"))
    assert caught.value.exit is Exit.SOURCE
    assert "E: Failed to fetch 404" in caught.value.excerpt
    assert mirror.MAIN in caught.value.hint


POOLED = Pooled("4.17.4-1", "pool/main/x/xen/xen_4.17.4.orig.tar.xz", "ab" * 32)
GONE = Played([b"E: Failed to fetch x  404  Not Found [IP: ::1]\n"], 100)


def test_where_no_listed_one_is_served_what_the_recipe_pins_is_taken(suite: Suite) -> None:
    suite.broken["apt-get -o"] = GONE
    assert suite.fetch(DebianSource("xen", "xen", "4.17.*", POOLED)) == {"xen": "4.17.4-1"}
    assert [line.rpartition("taking ")[2] for line in suite.heard.lines] == [
        "the next older one, 4.17.5+23-ga4e5191dc0-1+deb12u1",
        "what the recipe pins, 4.17.4-1",
    ]
    last = suite.client.execs[-1][0][-1]
    assert "'http://mirror.example.org/debian/pool/main/x/xen/xen_4.17.4.orig.tar.xz'" in last
    assert f"'SHA256:{'ab' * 32}'" in last


def test_what_the_recipe_pins_can_be_asked_for(suite: Suite) -> None:
    assert suite.fetch(DebianSource("xen", "xen", "4.17.4-1", POOLED)) == {"xen": "4.17.4-1"}


def test_what_the_recipe_pins_is_left_where_the_version_says_another(suite: Suite) -> None:
    suite.broken["apt-get -o"] = GONE
    with pytest.raises(BuildError, match="download xen failed"):
        suite.fetch(DebianSource("xen", "xen", "4.17.5*", POOLED))
    with pytest.raises(BuildError, match=r"no longer has xen 4\.18"):
        suite.fetch(DebianSource("xen", "xen", "4.18*", POOLED))


def test_the_newest_listed_one_comes_before_what_the_recipe_pins(suite: Suite) -> None:
    newer = replace(POOLED, version="4.17.9-1")
    found = suite.fetch(DebianSource("xen", "xen", "4.17.*", newer))
    assert found == {"xen": "4.17.5+72-g01140da4e8-1"}


def test_other_content_than_listed_is_no_reason_to_take_an_older_version(suite: Suite) -> None:
    said = b"E: Failed to fetch y  404  Not Found\nE: Failed to fetch x  Hash Sum mismatch\n"
    suite.broken["6.1.137-1"] = Played([said], 100)
    with pytest.raises(BuildError, match=r"download linux-source-6\.1 failed") as caught:
        suite.fetch(package("6.1.*"))
    assert caught.value.exit is Exit.SOURCE
    assert suite.heard.lines == []


def test_a_full_disk_is_no_reason_to_take_an_older_version(suite: Suite) -> None:
    suite.broken["6.1.137-1"] = Played([b"E: write: No space left on device\n"], 100)
    with pytest.raises(BuildError, match="no space left on the engine's disk") as caught:
        suite.fetch(package("6.1.*"))
    assert caught.value.exit is Exit.ENGINE
    assert suite.heard.lines == []


def test_an_engine_that_goes_away_is_no_wrong_source(suite: Suite) -> None:
    suite.broken["6.1.137-1"] = Played(status=None)
    with pytest.raises(BuildError, match="stopped from outside") as caught:
        suite.fetch(package("6.1.*"))
    assert caught.value.exit is Exit.ENGINE
