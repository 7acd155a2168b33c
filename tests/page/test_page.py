# SPDX-License-Identifier: GPL-2.0-or-later
"""The release page in a real browser: on a phone and a desk, in the light and the dark."""

from __future__ import annotations

import html
import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from builders.release.page import Boot, Checked, Facts, Finding, Input, Packed, Span, render

BROWSER = (
    shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
)

pytestmark = pytest.mark.skipif(
    BROWSER is None and not os.environ.get("CI"), reason="needs chromium"
)

FACTS = Facts(
    recipe="xen-9.9-suite",
    summary="Xen 9.9 and Linux 6.9 for a suite with quite a long name, from its own sources",
    suite="suite",
    flavour="minimal",
    tool="dom0-debs 0.1.0",
    made=1_600_000_000,
    packages=[
        Packed(
            "xen_9.9.1+dom0.1_amd64.deb",
            "xen-upstream",
            "9.9.1+dom0.1",
            "amd64",
            "Xen & its tools <b>",
            9_751_000,
            "ab" * 32,
            folders=(("/usr/lib/xen", 12_000_000), ("/boot", 2_100_000), ("/etc", 40_000)),
        ),
        Packed("linux.deb", "linux-image-6.9.1-dom0-minimal", "6.9", "amd64", "x", 1, "cd" * 32),
    ],
    inputs=[Input("source", "xen", "9.9.1+72-g01140da4e8-1", "ef" * 32)],
    overrides=["builder.memory=8"],
    findings=[
        Finding("warning", "md5sums", "xen-upstream", "the package has none"),
        Finding("error", "etc", "xen-upstream", "<script>document.title = 'broken'</script>"),
        Finding("info", "installed-size", "xen-upstream", "x" * 300),
    ],
    boots=[
        Boot(
            "boot",
            "proofs/x y/boot.log",
            6.1,
            [Checked("xl info", True, False, "status 0"), Checked("card", False, True, "e1000")],
        )
    ],
    spans=[Span("image", 1000, 40), Span("xen-build", 1391, 391), Span("finish", 1393, 0.5)],
    options={"CONFIG_XEN_PCIDEV_BACKEND": "y"},
    install=["apt-get install xen-upstream " + "linux-image-6.9.1-dom0-minimal " * 3],
    fingerprint="0123456789ABCDEF" * 2 + "01234567",
    trial=30,
)

PROBE = (Path(__file__).parent / "probe.js").read_text()


def look(page: str, folder: Path, *, dark: bool) -> dict[str, Any]:
    """What the probe sees of `page` at three widths."""
    # The page's own policy forbids scripts, which the frames inherit nothing of.
    frames = "".join(
        f'<iframe width="{width}" height="900" srcdoc="{html.escape(page)}"></iframe>'
        for width in (320, 390, 1280)
    )
    harness = folder / "harness.html"
    harness.write_text(
        f'<!doctype html><meta charset="utf-8"><body>{frames}<pre id="seen"></pre>'
        f"<script>{PROBE}</script>"
    )
    assert BROWSER, "no chromium: apt-get install chromium"
    done = subprocess.run(
        [
            BROWSER,
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            f"--user-data-dir={folder / 'profile'}",
            f"--blink-settings=preferredColorScheme={0 if dark else 1}",
            "--virtual-time-budget=5000",
            "--dump-dom",
            harness.as_uri(),
        ],
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    found = re.search(r'<pre id="seen">(.*?)</pre>', done.stdout, re.DOTALL)
    assert found, done.stdout[-2000:] + done.stderr[-2000:]
    seen: dict[str, Any] = json.loads(html.unescape(found[1]))
    return seen


@pytest.fixture(scope="module", params=[False, True], ids=["light", "dark"])
def seen(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Any]:
    found = look(render(FACTS), tmp_path_factory.mktemp("page"), dark=request.param)
    return {"dark": request.param, **found}


WIDTHS = pytest.mark.parametrize("width", ["320", "390", "1280"])


@WIDTHS
def test_it_fits_and_can_be_read(seen: dict[str, Any], width: str) -> None:
    page = seen[width]
    assert page["title"] == f"{FACTS.recipe}: {FACTS.summary}"
    assert page["overflow"] <= 0
    assert page["worst"] >= 4.5  # WCAG 2.2, 1.4.3
    assert page["smallest"] >= 12
    assert page["table"] == ("table-cell" if width == "1280" else "block")
    light = sum(int(v) for v in re.findall(r"\d+", page["page"])[:3])
    assert (light < 150) == seen["dark"]


@WIDTHS
def test_the_keyboard_reaches_all_and_shows_where_it_is(seen: dict[str, Any], width: str) -> None:
    stops = seen[width]["stops"]
    assert len(stops) > 8
    assert all(stop == [True, True, True] for stop in stops), stops
    assert seen[width]["scrolling"] == 0  # what scrolls can be reached


def test_its_structure(seen: dict[str, Any]) -> None:
    page = seen["1280"]
    assert page["headings"][0] == 1
    assert all(b - a <= 1 for a, b in zip(page["headings"], page["headings"][1:], strict=False))
    assert page["lost"] == 0
    assert len(page["ids"]) == len(set(page["ids"]))
    assert page["scripts"] == 0


def test_a_page_that_is_wrong_is_seen_to_be(tmp_path: Path) -> None:
    bad = render(FACTS).replace("--quiet: #57606a", "--quiet: #c0c0c0")
    bad = bad.replace("outline: 3px solid var(--link)", "outline: none")
    bad = bad.replace('<main id="main"', '<div style="width: 700px">x</div><main id="other"')
    page = look(bad, tmp_path, dark=False)["390"]
    assert page["worst"] < 4.5
    assert page["overflow"] > 0
    assert page["lost"] > 0
    assert not all(stop[1] for stop in page["stops"])
