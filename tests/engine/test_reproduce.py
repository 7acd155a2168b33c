# SPDX-License-Identifier: GPL-2.0-or-later
"""Builds that are repeated as if on another box, on a real engine, with tiny sources."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from builders.ground.engine import connection
from builders.pipeline import lockfile
from builders.pipeline.graph import Pipeline
from builders.progress import Silent
from builders.proofs.rebuild.reproduce import FOLDER, reproduce
from builders.proofs.rebuild.variation import Variation
from builders.verbs import builds

from .conftest import XEN_MAKEFILE, Box, Daemon

NUMBER = "a number, as of jobs or processors"
COUNT = "python3 -c 'import os; print(os.cpu_count())'"
# What a careless build takes from its box into a file, and how the report names it.
TAKEN = {
    "clock": ("date -u +%F", "a date or a time"),
    "seconds": ("date +%s", "seconds since 1970"),
    "host": ("uname -n", "the host's name"),
    "user": ("id -un", "the user's name"),
    "number": ("echo uid $$(id -u)", "the user's number"),
    "home": ("echo $$HOME", "the home of the user"),
    "variable": ("echo $$LOGNAME", "the user's name"),
    "path": ("echo $$PATH", "the $PATH"),
    "folder": ("pwd", "the folder of the build"),
    "zone": ("date +%z", "the time zone"),
    "locale": ("echo $$LANG", "the locale"),
    "letters": ("printf 't\\nz\\n' | sort", "the same lines in another order"),
    "order": ("mkdir -p n && touch n/a n/b n/c && ls -U n", "the same lines in another order"),
    "kernel": ("uname -r", "the release of the kernel"),
    "cores": ("nproc", NUMBER),
    "processors": (COUNT, NUMBER),
    "jobs": ("echo $$JOBS", NUMBER),
    "mask": ("umask", "the umask"),
}
COMPILED = """
#include <stdio.h>
int main(void) { return puts("made on " __DATE__); }
"""


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


def test_what_a_build_takes_from_its_box_is_found_and_named(box: Box) -> None:
    script = "".join(f"\t({line}) >dist/deb/usr/bin/{n}\n" for n, (line, _) in TAKEN.items())
    script += "\tgcc -g -o dist/deb/usr/bin/debugged xl.c -lz\n"
    script += "\tenv -u SOURCE_DATE_EPOCH gcc -o dist/deb/usr/bin/compiled made.c\n"
    script += "\techo text >text; gzip text; cp text.gz dist/deb/usr/bin/packed.gz\n"
    script += "\tchmod 755 dist/deb/usr/bin/*; echo text >dist/deb/usr/bin/mode\n"
    box.xen["Makefile"] = XEN_MAKEFILE.replace("\tfakeroot", f"{script}\tfakeroot")
    box.xen["made.c"] = COMPILED
    box.write()

    compared = {c.file.split("_")[0]: c for c in reproduce(box.run(), "minimal", ["xen"])}

    xen = compared["xen-upstream"]
    assert not xen.same
    print("\n".join((*xen.differences, *compared["xen-upstream-dbgsym"].differences)))
    about = {text.split(": ")[0].rpartition("/")[2]: text for text in xen.differences}
    for name, (_, cause) in TAKEN.items():
        assert f": {cause}: from byte" in about.pop(name), name
    assert ": a date or a time: from byte" in about["compiled"]
    assert " of .rodata on: " in about.pop("compiled")
    assert "only the time in its gzip header differs: 20" in about.pop("packed.gz")
    assert "only its build id differs" in about.pop("debugged")
    assert about.pop("mode").endswith("mode is 0644 and 0664 (the umask)")
    assert about == {}
    symbols = compared["xen-upstream-dbgsym"].differences
    (inside,) = [text for text in symbols if " (in the second /usr/lib/debug/.build-id/" in text]
    assert ": the folder of the build: from byte" in inside
    assert list((box.artifacts / "tiny" / FOLDER / "stages").glob("xen-finish/*/*.deb"))


def test_another_engine_builds_the_same(
    box: Box, second: Daemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    builds.build(box.run(), "minimal")
    again = Pipeline(box.run(), "minimal", variation=Variation(seconds=1))
    again.supplies.fetch()  # it has no network
    monkeypatch.setenv("DOCKER_HOST", second.host)

    compared = reproduce(box.run(), "minimal")

    assert [(c.file, c.differences) for c in compared if not c.same] == []


def test_the_second_image_is_made_anew_from_the_lock(box: Box) -> None:
    def tool(*words: str) -> tuple[int, str]:
        process = box.tool(*words)
        said, _ = process.communicate()
        return process.returncode, said

    assert tool("build-xen")[0] == 0
    code, said = tool("reproduce", "--target", "xen", "--fresh-image")
    assert code == 2
    assert "there is no lock" in said
    code, said = tool("lock")
    if code == 3 and "no longer lists" in said:  # this box has an image of another day
        code, said = tool("lock", "--again")
        assert tool("build-xen")[0] == 0
    assert code == 0, said
    code, said = tool("build-xen", "--locked", "--explain")
    assert code == 0, said
    assert "miss" not in said  # the image and the sources are those of the lock already
    client = connection.connect(Silent())
    code, said = tool("reproduce", "--target", "xen", "--fresh-image")
    print(said)
    assert code == 0, said
    assert "image made anew from the lock" in said
    packages = lockfile.load(box.recipe.with_suffix(".lock")).packages
    assert f"image: {len(packages)} packages" in said  # only one that was made is told
    tags = [tag for found in client.images.list() for tag in found.tags]
    assert not [tag for tag in tags if tag.endswith("-anew")]
