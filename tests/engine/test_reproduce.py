# SPDX-License-Identifier: GPL-2.0-or-later
"""Builds that are repeated as if on another box, on a real engine, with tiny sources."""

from __future__ import annotations

from collections.abc import Callable

from builders.reproduce import FOLDER, reproduce

from .conftest import XEN_MAKEFILE, Box


def test_a_build_that_takes_nothing_from_its_box(
    box: Box, containers: Callable[[], list[str]]
) -> None:
    compared = reproduce(box.run(), "minimal")

    assert {c.file.split("_")[0] for c in compared} >= {
        "xen-upstream",
        "linux-image-6.9.1-dom0-minimal",
    }
    assert [(c.file, c.differences) for c in compared if not c.same] == []
    assert not (box.artifacts / "tiny" / FOLDER).exists()
    assert containers() == []


def test_what_a_build_takes_from_its_box_is_found(box: Box) -> None:
    lines = {
        "clock": "date -u +%F",
        "host": "hostname",
        "user": "echo $$USER",
        "jobs": "echo $$JOBS",
    }
    script = "".join(f"\t({line}) >dist/deb/usr/bin/{name}\n" for name, line in lines.items())
    box.xen["Makefile"] = XEN_MAKEFILE.replace("\techo xen >", f"{script}\techo xen >")
    box.write()

    compared = {c.file.split("_")[0]: c for c in reproduce(box.run(), "minimal", ["xen"])}

    xen = compared["xen-upstream"]
    assert not xen.same
    about = [text for text in xen.differences if ": from byte" in text]
    assert sorted(text.split(":")[0] for text in about) == sorted(f"/usr/bin/{n}" for n in lines)
    assert any("'builder " in text and "'elsewhere " in text for text in about)
    assert list((box.artifacts / "tiny" / FOLDER / "stages").glob("xen-finish/*/*.deb"))
