# SPDX-License-Identifier: GPL-2.0-or-later
"""What --tree and --patch make of a recipe, and the versions of its packages."""

from __future__ import annotations

import dataclasses
import gzip
import subprocess
from pathlib import Path

import pytest
from debian.debian_support import Version

from builders.errors import BuildError
from builders.ground.sources.cache import Cache
from builders.pipeline import trees
from builders.pipeline.artifacts import Manifest, Target
from builders.pipeline.recipe import Recipe, TreeSource, UrlSource, load
from builders.progress import Silent
from builders.versions import parsed_version, version_fault

NAME = "xen-4.17-bookworm"


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    return Cache(tmp_path / "cache")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / 'a "quoted" tree'
    folder.mkdir()
    (folder / "Makefile").write_text("all:\n")
    return folder


def parsed(text: str) -> Version:
    version = parsed_version(text)
    assert version
    return version


def given(cache: Cache, *options: str, usual: str = "") -> Recipe:
    """The recipe with these options: of a tree where there is "=" in one, else of a patch."""
    recipe = load(NAME)
    some = [option for option in options if "=" in option]
    patches = [option for option in options if "=" not in option]
    return load(NAME, trees.overrides(recipe, some, patches, cache, Silent(), usual=usual))


def test_a_tree_takes_the_place_of_the_source_and_is_pinned(folder: Path, cache: Cache) -> None:
    recipe = given(cache, f"xen={folder}")
    source = recipe.sources["xen"]
    assert isinstance(source, TreeSource)
    assert source.path == str(folder)
    assert cache.resolved(source) is not None
    assert recipe.sources["linux"] == load(NAME).sources["linux"]
    assert trees.changed(recipe, "xen") == [source]
    assert trees.changed(recipe, "kernel") == []
    # What was recorded is enough, whatever becomes of the folder.
    (folder / "Makefile").unlink()
    folder.rmdir()
    assert load(NAME, recipe.overrides) == recipe


def test_a_recipe_may_not_name_a_folder_of_the_box(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    digest = "0" * 64
    file.write_text(
        f'include = ["{load.__globals__["RECIPES"]}/{NAME}.toml"]\n[sources.xen]\n'
        f'kind = "tree"\npath = "/etc"\nsha256 = "{digest}"\n'
    )
    with pytest.raises(BuildError, match=r"sources\.xen\.path: is a folder of this box"):
        load(str(file))


@pytest.mark.parametrize(
    "option", ["xen", "xen=", "=x", "qemu=/tmp", "", "sources.xen=/tmp"], ids=repr
)
def test_what_is_no_tree_option_is_refused(cache: Cache, option: str) -> None:
    with pytest.raises(BuildError, match="--tree") as caught:
        trees.overrides(load(NAME), [option], [], cache, Silent())
    assert "xen=" in caught.value.hint


def test_one_target_has_one_tree(folder: Path, cache: Cache) -> None:
    with pytest.raises(BuildError, match="twice"):
        trees.overrides(load(NAME), [f"linux={folder}", f"kernel={folder}"], [], cache, Silent())


def test_patches_are_sources_in_their_order(tmp_path: Path, cache: Cache) -> None:
    paths = [tmp_path / name for name in ("a b.patch", "c.patch", "d.patch")]
    for path in paths:
        path.write_text(f"--- {path}\n")
    recipe = given(cache, str(paths[0]), f"linux:{paths[1]}", f"xen:{paths[2]}")
    assert recipe.xen
    assert recipe.kernel
    assert recipe.xen.apply == ("patch-1-xen", "patch-3-xen")
    assert recipe.kernel.apply == ("patch-2-kernel",)
    assert list(trees.titles(recipe, "xen").values()) == [str(paths[0]), str(paths[2])]
    for name in recipe.xen.apply:
        source = recipe.sources[name]
        assert isinstance(source, UrlSource)
        assert cache.resolved(source) is not None
    assert given(cache, str(paths[0]), usual="kernel").kernel.apply  # type: ignore[union-attr]
    paths[0].write_text("other")
    assert load(NAME, recipe.overrides) == recipe


def test_a_patch_that_is_none_is_refused(
    tmp_path: Path, cache: Cache, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trees, "_PATCH", 10)
    (tmp_path / "large").write_text("x" * 11)
    (tmp_path / "loop").symlink_to("loop")
    for name in (".", "none", "large", "loop", "/dev/zero"):
        with pytest.raises(BuildError, match="--patch"):
            given(cache, str(tmp_path / name))


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "empty"),
        (b"From: x\nSubject: only text\n", "names a file"),
        (gzip.compress(b"--- a/f\n+++ b/f\n"), "names a file"),
        (b"diff --git a/f b/f\nGIT binary patch\nliteral 1\nIcmZPo00\n", "no text"),
    ],
    ids=["empty", "text", "packed", "binary"],
)
def test_a_file_that_patch_cannot_apply_is_refused(
    tmp_path: Path, cache: Cache, content: bytes, why: str
) -> None:
    (tmp_path / "x.patch").write_bytes(content)
    with pytest.raises(BuildError, match=why):
        given(cache, str(tmp_path / "x.patch"))


def test_what_is_of_the_target_that_is_not_built_is_refused(
    folder: Path, tmp_path: Path, cache: Cache
) -> None:
    patch = tmp_path / "x.patch"
    patch.write_text("--- a/f\n+++ b/f\n@@ -1 +1 @@\n-a\n+b\n")
    for option in (f"linux={folder}", f"linux:{patch}"):
        assert given(cache, option)
        with pytest.raises(BuildError, match="only Xen is asked for"):
            given(cache, option, usual="xen")


def test_versions_rise_with_each_build_and_stay_with_one(folder: Path, cache: Cache) -> None:
    recipe = given(cache, f"xen={folder}")
    manifest = Manifest()
    before = ""
    for number, build in enumerate(("a", "b", "b", "a", "c"), 1):
        made = trees.versioned(recipe, "xen", build, manifest)
        revision = made.finish["xen"].revision
        assert version_fault(f"4.17.5{revision}") == ""
        assert load(NAME, made.overrides).finish == made.finish
        if number == 3:
            assert revision == before
        elif before:
            assert parsed(f"4.17.5{revision}") > parsed(f"4.17.5{before}")
        before = revision
        manifest.targets["xen"] = Target("", build, made.overrides, {})
        manifest.numbers["xen"] = trees.number(made, "xen")
        # Again what was recorded: the version is no second time in it.
        again = trees.versioned(load(NAME, made.overrides), "xen", build, manifest)
        assert again.finish["xen"].revision == revision
    assert trees.number(made, "xen") == 4
    assert parsed(f"4.17.5{before}") > parsed("4.17.5")  # as a correction has to


def test_a_version_of_one_s_own_is_kept_as_a_beginning(folder: Path, cache: Cache) -> None:
    recipe = given(cache, f"xen={folder}")
    finish = {
        **recipe.finish,
        "xen": dataclasses.replace(recipe.finish["xen"], version="1:9-1"),
    }
    made = trees.versioned(dataclasses.replace(recipe, finish=finish), "xen", "a", Manifest())
    assert made.finish["xen"].version.startswith("1:9-1~dev.1+g")
    assert load(NAME).finish == trees.versioned(load(NAME), "xen", "a", Manifest()).finish


def test_the_commit_is_in_the_version(folder: Path, cache: Cache) -> None:
    for words in (
        ["init", "-q"],
        ["-c", "user.name=x", "-c", "user.email=x@x", "commit", "-qm", "x", "--allow-empty"],
    ):
        subprocess.run(["git", "-C", str(folder), *words], check=True)
    recipe = given(cache, f"xen={folder}")
    source = recipe.sources["xen"]
    assert isinstance(source, TreeSource)
    made = trees.versioned(recipe, "xen", "a", Manifest())
    assert made.finish["xen"].revision == f"+dom0.1~dev.1+g{source.commit[:12]}"
    (line,) = trees.said(recipe, "xen")
    assert "from a changed tree" in line
    assert source.commit[:12] in line
