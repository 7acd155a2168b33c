# SPDX-License-Identifier: GPL-2.0-or-later
from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builders import ROOT
from builders.release import repository, web
from builders.release.facts import Packed
from builders.release.page import (
    Facts,
    Span,
    count_for_people,
    render,
    seconds_for_people,
    timeline,
)
from builders.text import amount


def test_stages_side_by_side_and_one_after_the_other() -> None:
    bars, whole = timeline([Span("b", 100, 100), Span("a", 50, 50), Span("c", 200, 100)])
    assert whole == 200
    assert [(b.stage, b.x, b.width) for b in bars] == [
        ("a", 0.0, 160.0),
        ("b", 0.0, 320.0),
        ("c", 320.0, 320.0),
    ]


def test_the_time_in_which_nothing_ran_is_left_out() -> None:
    day = 24 * 3600
    bars, whole = timeline([Span("old", 100, 100), Span("new", day + 100, 100)])
    assert whole == 200
    assert [b.x for b in bars] == [0.0, 320.0]


def test_a_stage_of_unknown_time_is_not_drawn() -> None:
    assert timeline([Span("x", 0.0, 5.0)]) == ([], 0.0)


@pytest.mark.slow
@given(
    st.lists(
        st.builds(
            Span,
            st.text(max_size=3),
            st.floats(1, 4e9),
            st.floats(0, 1e6),
        ),
        max_size=20,
    )
)
def test_every_bar_lies_in_the_picture(spans: list[Span]) -> None:
    bars, whole = timeline(spans)
    assert whole <= sum(span.seconds for span in spans) + 600 * len(spans)
    for bar in bars:
        assert bar.x >= 0
        assert bar.width >= 2
        assert bar.x + bar.width <= 643


@pytest.mark.parametrize(
    ("count", "text"), [(0, "0 B"), (1023, "1023 B"), (1024, "1.0 KiB"), (9_751_000, "9.3 MiB")]
)
def test_sizes(count: int, text: str) -> None:
    assert amount(count) == text


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.31, "0.3 s"), (59, "59 s"), (247, "4 min 07 s"), (7260, "2 h 01 min")]
)
def test_durations(seconds: float, text: str) -> None:
    assert seconds_for_people(seconds) == text


@pytest.mark.parametrize(
    ("count", "what", "text"),
    [(1, "package", "1 package"), (2, "kind of note", "2 kinds of note"), (0, "x", "0 xs")],
)
def test_counts(count: int, what: str, text: str) -> None:
    assert count_for_people(count, what) == text


def packages(*names: str) -> list[Packed]:
    return [Packed(Path(f"{name}.deb"), 1, "00", {"Package": name}) for name in names]


def test_what_to_type_for_an_installation() -> None:
    made = packages(
        *("linux-headers-6.1-debian", "linux-image-6.1-debian", "linux-image-6.1-minimal"),
        *("xen-upstream-dbgsym", "xen-upstream"),
    )
    assert web._install("bookworm", "https://example.org/x", made) == [
        "wget -O /etc/apt/sources.list.d/dom0-debs.sources https://example.org/x/dom0-debs.sources",
        "apt-get update",
        "apt-get install xen-upstream linux-image-6.1-debian",
        "# or: apt-get install xen-upstream linux-image-6.1-minimal",
    ]


def test_the_page_and_the_document_show_one_way_to_install() -> None:
    """The .sources file of the release; where nobody said where it is served, with that put in."""
    place = "/etc/apt/sources.list.d/dom0-debs.sources"
    lines = web._install("trixie", "", packages("xen-upstream"))
    assert lines[:2] == [
        f"wget -O {place} ADDRESS/dom0-debs.sources",
        f"sed -i 's|^URIs: .*|URIs: ADDRESS|' {place}",
    ]
    lines = web._install("bullseye", "https://x.example", packages("xen-upstream"))
    assert lines[0] == ("wget -O /usr/share/keyrings/dom0-debs.gpg https://x.example/dom0-debs.gpg")
    assert "/usr/share/keyrings/dom0-debs.gpg" in (
        repository.sources("bullseye", "https://x.example", b"").decode()
    )
    page = (ROOT / "docs" / "release.md").read_text(encoding="utf-8")
    for line in web._install("bookworm", "https://HOST/PATH", packages("xen-upstream"))[:2]:
        assert f"    {line}\n" in page


@pytest.mark.slow
def test_a_trial_key_is_told_first() -> None:
    facts = Facts("r", "s", "bookworm", "f", "t", 0, [], install=["x"], fingerprint="ABCD")
    page = render(facts)
    assert "For trying only" not in page
    assert '<code class="sha">ABCD</code>' in page
    trial = render(dataclasses.replace(facts, trial=30))
    assert trial.index("For trying only") < trial.index("<h2")
    assert "ends after 30 days" in trial


def test_the_apt_of_wheezy_knows_no_signed_by() -> None:
    lines = web._install("wheezy", "", packages("xen-upstream"))
    assert lines[0] == "wget -O - ADDRESS/dom0-debs.asc | apt-key add -"
    assert "signed-by" not in "".join(lines)
    assert lines[-1] == "apt-get install xen-upstream"


def test_folders_by_all_that_lies_below_them() -> None:
    sizes = {
        "/usr/lib/debug/.build-id/00/a.debug": 5,
        "/usr/lib/debug/.build-id/01/b.debug": 6,
        "/usr/lib/libx.so.1": 3,
        "/boot/xen.gz": 7,
        "/etc/xen/scripts/vif": 1,
        "/etc/xen/xl.conf": 1,
        "/top": 1,
    }
    found = (("/usr/lib/debug", 11), ("/boot", 7), ("/usr/lib", 3), ("/etc/xen", 2), ("/", 1))
    assert web._folders(sizes) == found


def test_what_is_hostile_is_escaped_and_the_same_facts_give_the_same_page() -> None:
    facts = Facts("<r>", "<script>", "s", "f", "t", 0, [], overrides=['"><img src=x>'])
    page = render(facts)
    assert "<script" not in page
    assert "<img" not in page
    assert page == render(facts)
