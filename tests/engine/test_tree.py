# SPDX-License-Identifier: GPL-2.0-or-later
"""Trees and patches of a person's own, built on a real engine from the tiny sources."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import time
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from builders import ROOT
from builders.errors import Exit

from .conftest import FILES, XEN_MAKEFILE, XL_SOURCE, Box

PATCH = """\
--- a/xl.c
+++ b/xl.c
@@ -2,2 +2,3 @@
 #include <zlib.h>
+/* {what} */
 int main(void) {{ return zlibVersion()[0] == 0; }}
"""


@pytest.fixture
def tree(box: Box) -> Path:
    """A repository with the tiny Xen, a change that is not committed, and an object file."""
    folder = box.folder / "my xen"
    folder.mkdir()
    (folder / "Makefile").write_text(XEN_MAKEFILE)
    (folder / "xl.c").write_text(XL_SOURCE + "\n")
    (folder / ".gitignore").write_text("*.o\n")
    settings = ("-c", "user.name=x", "-c", "user.email=x@x.invalid")
    for words in (["init", "-q"], ["add", "-A"], [*settings, "commit", "-qm", "x"]):
        command = ["git", "-C", str(folder), *words]
        subprocess.run(command, check=True, env={**os.environ, "GIT_CONFIG_GLOBAL": os.devnull})
    (folder / "note.txt").write_text("new\n")
    return folder


def commit(tree: Path) -> str:
    command = ["git", "-C", str(tree), "rev-parse", "HEAD"]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def build(box: Box, *arguments: str) -> str:
    done = box.run_tool("build-xen", "--set", FILES, *arguments)
    assert done.returncode == 0, done.stdout
    return done.stdout


def manifest(box: Box) -> Mapping[str, Any]:
    found: Mapping[str, Any] = json.loads((box.artifacts / "tiny" / "manifest.json").read_text())
    return found


def version(box: Box) -> str:
    (listed,) = [
        each
        for each in manifest(box)["targets"]["xen"]["packages"].values()
        if each["package"] == "xen-upstream"
    ]
    return str(listed["version"])


def test_a_tree_as_it_lies_there_and_versions_that_rise(box: Box, tree: Path) -> None:
    given = ("--tree", f"xen={tree}")
    box.xen_build = "cat note.txt && test ! -e xl.o && make debball"
    box.write()

    assert "xen-build: done in" in build(box, *given)
    first = version(box)
    assert re.fullmatch(rf"9\.9\.1\+dom0\.1~dev\.1\+g{commit(tree)[:12]}", first)
    # Nothing changed that is not ignored: nothing is built, and the version stays.
    (tree / "xl.o").write_text("ignored")
    (tree / "xl.c").touch()
    assert "done in" not in build(box, *given)
    assert version(box) == first
    # Each build of a changed tree is an upgrade, one that goes back too.
    versions = [first]
    for text in ("a\n", "new\n"):
        (tree / "note.txt").write_text(text)
        said = build(box, *given)
        assert ("xen-build: done in" in said) == (text == "a\n")
        versions.append(version(box))
    for old, new in pairwise(versions):
        command = ["dpkg", "--compare-versions", new, "gt", old]
        assert subprocess.run(command, check=False).returncode == 0, (old, new)
    (about,) = [
        each
        for each in manifest(box)["targets"]["xen"]["packages"].values()
        if each["package"] == "xen-upstream"
    ]
    assert any(str(tree) in note and "from a changed tree" in note for note in about["notes"])
    # Corrections hold on, and what reads the packages needs no tree any more.
    (tree / "Makefile").unlink()
    done = box.run_tool("finish", "--set", FILES)
    assert done.returncode == 0, done.stdout
    assert version(box) == versions[-1]
    # The recipe's own source again is no changed tree.
    box.xen_build = "make debball"
    box.write()
    build(box)
    assert version(box) == "9.9.1+dom0.1"


def test_patches_are_applied_in_order_and_the_one_that_fails_is_named(box: Box, tree: Path) -> None:
    one, two = box.folder / "one.patch", box.folder / "two.patch"
    one.write_text(PATCH.format(what="first"))
    two.write_text("""\
--- a/xl.c
+++ b/xl.c
@@ -2,2 +2,3 @@
 #include <zlib.h>
+/* second */
 /* first */
""")
    box.xen_build = "grep -n first xl.c && grep -n second xl.c && make debball"
    box.write()
    given = ("--tree", f"xen={tree}", "--patch", str(one), "--patch", f"xen:{two}")

    build(box, *given)

    assert "~dev.1+g" in version(box)
    notes = [n for p in manifest(box)["targets"]["xen"]["packages"].values() for n in p["notes"]]
    assert any("one.patch" in note for note in notes)
    done = box.run_tool("build-xen", "--set", FILES, "--patch", str(two))
    assert done.returncode == Exit.STEP
    assert f"{two} does not apply to xl.c (hunk #1 at line" in done.stdout
    assert box.run_tool("build-xen", "--set", FILES, "--patch", "none").returncode == Exit.USAGE


def test_a_release_says_which_tree(box: Box, tree: Path) -> None:
    build(box, "--tree", f"xen={tree}")
    # A release names no file of the box.
    text = box.recipe.read_text()
    box.recipe.write_text(text.replace(f"file://{box.folder}", "https://example.org"))
    done = box.run_tool("release")
    assert done.returncode == 0, done.stdout
    release = box.artifacts / "tiny" / "release"
    (provenance,) = release.glob("attestations/*.provenance.json")
    assert "from a changed tree" in provenance.read_text()
    assert "from a changed tree" in (release / "index.html").read_text()


# As make is used: what is older than what it is made of is made again, and nothing else.
OBJECT = """
debball: xl.o
xl.o: xl.c
\techo compiled >>compiled
\tcp xl.c xl.o
"""


def compiled(box: Box) -> int:
    log = (box.artifacts / "tiny" / "logs" / "xen-build.log").read_text()
    (count,) = re.findall(r"^compiled (\d+)$", log, re.MULTILINE)
    return int(count)


def test_a_kept_tree_is_built_in_again(box: Box, tree: Path) -> None:
    with (tree / "Makefile").open("a") as out:
        out.write(OBJECT)
    (tree / "old.txt").write_text("old\n")
    box.xen_build = "rm -rf dist; make debball; echo compiled $(wc -l <compiled); ls"
    box.write()
    given = ("--tree", f"xen={tree}", "--keep-tree")

    assert "made anew: nothing is kept yet" in build(box, *given)
    assert compiled(box) == 1
    # A file that no object is made of: nothing is compiled; one that went is gone.
    (tree / "old.txt").unlink()
    (tree / "note.txt").write_text("x\n")
    said = build(box, *given)
    assert "in the kept tree 1 file(s) changed, 1 went" in said
    assert compiled(box) == 1
    log = (box.artifacts / "tiny" / "logs" / "xen-build.log").read_text()
    assert "old.txt" not in log.splitlines()
    # One that an object is made of is compiled, and a build that failed is gone on from.
    source = (tree / "xl.c").read_text()
    (tree / "xl.c").write_text("broken\n")
    done = box.run_tool("build-xen", "--set", FILES, *given)
    assert done.returncode == Exit.STEP
    (tree / "xl.c").write_text(source + "/* new */\n")
    assert "in the kept tree 1 file(s) changed, 0 went" in build(box, *given)
    assert compiled(box) == 3
    assert "~dev.3+g" in version(box)
    # A patch, or another line of the recipe, begins anew; so does a patched file that changes.
    patch = box.folder / "one.patch"
    patch.write_text(PATCH.format(what="first"))
    assert "something other than its files changed" in build(box, *given, "--patch", str(patch))
    (tree / "xl.c").write_text(source + "/* newer */\n")
    said = build(box, *given, "--patch", str(patch))
    assert "made anew: xl.c changed, which a patch" in said
    # What is from a kept tree is not released, and no build takes it for one of a clean tree.
    text = box.recipe.read_text()
    box.recipe.write_text(text.replace(f"file://{box.folder}", "https://example.org"))
    done = box.run_tool("release")
    assert done.returncode == Exit.USAGE
    assert "kept tree" in done.stdout
    assert 'finish.xen.compression="none"' in manifest(box)["targets"]["xen"]["overrides"]
    # The sources of the build are in the cache, whatever their addresses are now.
    done = box.run_tool("release", "--clean")
    assert done.returncode == 0, done.stdout
    assert "xen-build: done in" in done.stdout
    assert 'finish.xen.compression="none"' not in manifest(box)["targets"]["xen"]["overrides"]


def test_a_kept_tree_that_was_cut_off_is_made_anew(box: Box, tree: Path) -> None:
    box.xen_build = (
        "rm -rf dist; make debball; test ! -e stop.txt || { touch /tmp/now; sleep 300; }"
    )
    box.write()
    given = ("--tree", f"xen={tree}", "--keep-tree")
    build(box, *given)
    (tree / "stop.txt").write_text("x\n")
    tool = box.tool("build-xen", *given)
    log = box.artifacts / "tiny" / "logs" / "xen-build.log"
    deadline = time.monotonic() + 60
    while not (log.exists() and b"sleep 300" in log.read_bytes()):
        assert time.monotonic() < deadline
        time.sleep(0.2)
    os.killpg(tool.pid, signal.SIGINT)
    tool.communicate(timeout=60)
    (tree / "stop.txt").unlink()
    (tree / "note.txt").write_text("y\n")
    assert "made anew: the last build in it was cut off" in build(box, *given)


def test_bisection_finds_the_commit_that_broke_a_package(box: Box, tree: Path) -> None:
    identity = ("-c", "user.name=x", "-c", "user.email=x@x.invalid")
    good = commit(tree)
    (tree / "note.txt").unlink()
    makefile = (tree / "Makefile").read_text()
    fault = "\tln -s xen-9.9.1.gz dist/deb/boot/xen-again.gz\n"
    broken = makefile.replace("\tchmod -R", f"{fault}\tchmod -R")
    commits = []
    for number, text in enumerate((makefile, makefile, "debball:\n\tfalse\n", broken, broken)):
        (tree / "Makefile").write_text(f"{text}\n# {number}\n")
        words = ["git", "-C", str(tree), *identity, "commit", "-qam", f"commit {number}"]
        subprocess.run(words, check=True)
        commits.append(commit(tree))
    (tree / "xl.c").write_text("not committed\n")
    box.xen_build = "rm -rf dist; make debball"
    box.write()
    build(box, "--set", "finish.xen.revision=+mine.1")
    before = manifest(box)["targets"]["xen"]
    given = ("bisect", "--tree", f"xen={tree}", "--good", good, "--set", FILES)

    # The build judges.
    done = box.run_tool(*given, "--bad", commits[2])
    assert done.returncode == 0, done.stdout
    assert f"{commits[2]} is the first bad commit: commit 2" in done.stdout
    # A verb judges; the commit that does not build is skipped, and so may be the one.
    command = [str(ROOT / "inv"), *given, "--recipe", str(box.recipe), "--keep-tree"]
    words = ["--format", "json", "--", "inspect", "--fail-on", "error"]
    said = subprocess.run(
        [*command, *words], env=box.environment(), capture_output=True, text=True, check=False
    )
    assert said.returncode == 0, said.stderr
    document = json.loads(said.stdout)
    assert {each["commit"] for each in document["found"]} == set(commits[2:4])
    verdicts = {each["commit"]: each["verdict"] for each in document["steps"]}
    assert verdicts[commits[2]] == "skip"
    assert verdicts[commits[3]] == "bad"
    # What was current is so again, and the repository is as it was.
    assert manifest(box)["targets"]["xen"] == before
    assert (tree / "xl.c").read_text() == "not committed\n"
    assert commit(tree) == commits[-1]
    # Words that judge nothing end it.
    said = subprocess.run(
        [*command, "--", "nonsense"],
        env=box.environment(),
        text=True,
        capture_output=True,
        check=False,
    )
    assert said.returncode == Exit.USAGE
