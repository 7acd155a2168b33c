# SPDX-License-Identifier: GPL-2.0-or-later
from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PIN = re.compile(r"([a-z0-9][a-z0-9-]*)==([0-9][0-9A-Za-z.]*) \\")
HASH = re.compile(r"--hash=sha256:[0-9a-f]{64}")


def name_of(requirement: str) -> str:
    """A requirement's name, as PEP 503 normalizes it."""
    match = re.match(r"[A-Za-z0-9._-]+", requirement)
    assert match is not None, requirement
    return re.sub(r"[-_.]+", "-", match[0]).lower()


EXTRAS = ("requirements-spdx", "requirements-farm", "requirements-gzip")


@pytest.fixture(scope="module", params=["requirements", *EXTRAS])
def stem(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def wanted(stem: str) -> list[str]:
    lines = (ROOT / f"{stem}.in").read_text().splitlines()
    return [line for line in lines if line and not line.startswith("#")]


@pytest.fixture(scope="module")
def lock(stem: str) -> dict[str, list[str]]:
    return pins(stem)


def pins(stem: str) -> dict[str, list[str]]:
    """Each package that STEM.lock pins, and the lines below its pin."""
    found: dict[str, list[str]] = {}
    below: list[str] = []
    for line in (ROOT / f"{stem}.lock").read_text().splitlines():
        if line.startswith(" "):
            below.append(line.strip())
        elif line and not line.startswith("#"):
            match = PIN.fullmatch(line)
            assert match is not None, f"not a pin: {line}"
            assert match[1] not in found, f"pinned twice: {match[1]}"
            below = found.setdefault(match[1], [])
    return found


def test_every_requirement_is_pinned_for_its_own_sake(
    stem: str, wanted: list[str], lock: dict[str, list[str]]
) -> None:
    direct = {name for name, below in lock.items() if any(f"-r {stem}.in" in x for x in below)}
    assert direct == {name_of(line) for line in wanted}


def test_every_requirement_says_why(wanted: list[str]) -> None:
    assert [line for line in wanted if not line.partition("  # ")[2]] == []


def test_every_pin_has_hashes_and_a_reason_that_is_pinned(
    stem: str, lock: dict[str, list[str]]
) -> None:
    for name, below in lock.items():
        hashes = [line for line in below if line.startswith("--")]
        assert hashes, name
        assert [h for h in hashes if not HASH.fullmatch(h.removesuffix(" \\"))] == [], name
        notes = " ".join(line.removeprefix("#").strip() for line in below if line[0] == "#")
        parents = notes.removeprefix("via").split()
        assert parents, name
        for parent in parents:
            assert parent in ("-r", f"{stem}.in", *lock), f"{name} via {parent}"


def test_the_lock_of_an_option_pins_nothing_again() -> None:
    for extra in EXTRAS:
        assert not pins("requirements").keys() & pins(extra).keys()


def test_two_options_agree_on_what_both_need() -> None:
    spdx, farm = pins("requirements-spdx"), pins("requirements-farm")
    for name in spdx.keys() & farm.keys():
        both = [[line for line in lock[name] if line[0] == "-"] for lock in (spdx, farm)]
        assert both[0] == both[1], name


@pytest.mark.parametrize("file", sorted(path.name for path in ROOT.glob("requirements*")))
def test_no_place_is_named(file: str) -> None:
    text = (ROOT / file).read_text()
    assert "://" not in text
    assert "@" not in text
    options = re.findall(r"^\s*(--?[a-z-]+)", text, re.MULTILINE)
    assert set(options) <= {"--hash"}
    assert not re.search(r"(?<![\w.])/\w", text), "a path from the root"
