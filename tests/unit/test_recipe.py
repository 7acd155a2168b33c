# SPDX-License-Identifier: GPL-2.0-or-later
from __future__ import annotations

import json
import os
import re
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from builders.debkit import kconfig
from builders.errors import BuildError, Exit
from builders.pipeline import kernel, recipe
from builders.pipeline.recipe import (
    DebianPackage,
    DebianSource,
    GitSource,
    Pooled,
    Recipe,
    UrlSource,
    load,
)
from tests.unit.samples import BUILDS, COMMIT, HEAD, SHA256, SOURCES, WHOLE, kernel_of, xen_of


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with one good recipe, called good."""
    (tmp_path / "good.toml").write_text(WHOLE)
    return tmp_path


def refused(folder: Path, text: str | None = None, *overrides: str) -> BuildError:
    """The error for a recipe with this text (or the good one) and these overrides."""
    name = "good"
    if text is not None:
        name = "bad"
        (folder / "bad.toml").write_text(text)
    with pytest.raises(BuildError) as caught:
        load(name, overrides, folder)
    assert caught.value.exit is Exit.USAGE
    assert caught.value.hint
    return caught.value


def without(text: str, line: str) -> str:
    """`text` without the one line that starts so."""
    lines = text.splitlines()
    kept = [other for other in lines if not other.startswith(line)]
    assert len(kept) == len(lines) - 1
    return "\n".join(kept)


# What is right


def test_a_whole_recipe(folder: Path) -> None:
    it = load("good", folder=folder)
    assert it.name == "good"
    assert it.sources["xen"] == UrlSource("xen", ("https://example.org/xen.tar.gz",), SHA256)
    assert it.sources["seabios"] == GitSource(
        "seabios", ("https://example.org/seabios.git",), COMMIT
    )
    assert it.sources["linux"] == DebianPackage("linux", "linux-source-6.1", "6.1.*")
    assert xen_of(it).place == {"tools/firmware/seabios-dir/": "seabios"}
    assert it.builder.memory == 8
    assert it.finish["xen"].revision == "+dom0.1"
    assert it.overrides == ()


def test_a_recipe_by_its_path(folder: Path) -> None:
    assert load(str(folder / "good.toml")) == load("good", folder=folder)


@pytest.mark.parametrize("name", recipe.names())
def test_every_shipped_recipe_loads(name: str) -> None:
    it = load(name)
    assert it.name == name
    assert it.summary
    if not it.kernel:
        return
    # The option that the whole project is about: what is audited, some flavour's fragments ask for.
    for option, value in it.audit.kernel_options.items():
        fragments = [kernel.read_fragments(f).values() for f in kernel_of(it).flavours.values()]
        asked = [kconfig.options(text).get(option) for texts in fragments for text in texts]
        assert value in asked
    for label, flavour in kernel_of(it).flavours.items():
        texts = kernel.read_fragments(flavour).values()
        built_in = any("CONFIG_XEN_PCIDEV_BACKEND=y" in text.splitlines() for text in texts)
        assert built_in == (label != "control")  # the boot of which has to fail


def test_recipes_are_shipped() -> None:
    assert recipe.names()


# What is not there


def test_no_such_recipe_names_the_nearest_and_all(folder: Path) -> None:
    with pytest.raises(BuildError) as caught:
        load("god", folder=folder)
    assert caught.value.message == "there is no recipe god (did you mean good?)"
    assert "good" in caught.value.hint


def test_the_default_recipe_may_be_missing(folder: Path) -> None:
    with pytest.raises(BuildError) as caught:
        load(recipe.DEFAULT, folder=folder)
    assert recipe.DEFAULT in caught.value.message
    assert "--recipe: good" in caught.value.hint


def test_what_is_no_file_is_told_by_what_it_is(tmp_path: Path) -> None:
    (tmp_path / "folder.toml").mkdir()
    os.mkfifo(tmp_path / "fifo.toml")
    (tmp_path / "loop.toml").symlink_to("loop.toml")
    (tmp_path / "nowhere.toml").symlink_to("missing.toml")
    for name, why in {
        "folder": "folder.toml: is no file",
        "fifo": "fifo.toml: is no file",
        "loop": "Symlink loop",
        "nowhere": "missing.toml: No such file or directory",
    }.items():
        with pytest.raises(BuildError, match=why):
            load(str(tmp_path / f"{name}.toml"))


@pytest.mark.parametrize("name", ["", "x" * 5000, "a\0b", "a/b", ".."])
def test_names_that_can_be_no_file(folder: Path, name: str) -> None:
    with pytest.raises(BuildError, match="there is no recipe"):
        load(name, folder=folder)


def test_a_recipe_name_becomes_part_of_folders_and_volumes(folder: Path) -> None:
    (folder / "my recipe.toml").write_text(WHOLE)
    with pytest.raises(BuildError, match="my recipe"):
        load("my recipe", folder=folder)


def test_an_unknown_flavour_names_the_nearest(folder: Path) -> None:
    it = load("good", folder=folder)
    with pytest.raises(BuildError) as caught:
        recipe.flavour(it, "minimum")
    assert "did you mean minimal?" in caught.value.message
    assert "minimal" in caught.value.hint


# Keys and types


@pytest.mark.parametrize(
    ("text", "key", "nearest"),
    [
        ("sumary = 1\n" + WHOLE, "sumary", "summary"),
        (WHOLE.replace("revision", "revison", 1), "finish.xen.revison", "revision"),
        (WHOLE.replace("localversion", "local_version"), None, "localversion"),
        (WHOLE.replace("sha256", "sha265"), "sources.xen.sha265", "sha256"),
        (WHOLE.replace("[suite]", "[suit]"), "suit", "suite"),
    ],
)
def test_an_unknown_key_names_file_key_and_the_nearest(
    folder: Path, text: str, key: str | None, nearest: str
) -> None:
    error = refused(folder, text)
    assert str(folder / "bad.toml") in error.message
    assert (key or "kernel.flavours.minimal.local_version") + ": " in error.message
    assert f"did you mean {nearest}?" in error.message
    assert nearest in error.hint


@pytest.mark.parametrize(
    ("old", "new", "key", "what"),
    [
        ('summary = "one"', "summary = 1", "summary", "must be a string, not a whole number"),
        ('name = "bookworm"', 'name = ["b"]', "suite.name", "must be a string, not a list"),
        ('["build-essential"]', '"gcc"', "builder.packages", "must be a list, not a string"),
        ('["build-essential"]', "[true]", "builder.packages[0]", "not true or false"),
        ("[suite]", "[suite]\nvsyscall = 1", "suite.vsyscall", "must be true or false"),
        ("[builder]", "[builder]\nmemory = true", "builder.memory", "must be a whole number"),
        ("[builder]", "[builder]\nmemory = 1.5", "builder.memory", "not one with a point"),
        ("[builder]", "[builder]\nmemory = 2020-01-01", "builder.memory", "not date"),
        ('source = "xen"\n', 'source = "xen"\nfiles = "x"\n', "xen.files", "must be a table"),
        ("[finish.xen]", "[finish]\nxen = 1\n[x]", "finish.xen", "must be a table"),
    ],
)
def test_a_wrong_type_names_key_wanted_and_given(
    folder: Path, old: str, new: str, key: str, what: str
) -> None:
    assert old in WHOLE
    text = WHOLE.replace(old, new, 1)
    if "[x]" in new:
        text = text.replace("[x]\nrevision", "#", 1).replace("[finish.kernel]", "", 1)
        text = re.sub(r"\n#.*\n\n\n.*\n", "\n", text)
    error = refused(folder, text)
    assert f"bad.toml: {key}: " in error.message
    assert what in error.message


@pytest.mark.parametrize("text", ["", "sources = 1", "sources = []"])
def test_no_sources(folder: Path, text: str) -> None:
    assert ": sources: " in refused(folder, text).message


def test_a_source_must_be_a_table(folder: Path) -> None:
    error = refused(folder, HEAD + "[sources]\nxen = 'x'\n" + BUILDS)
    assert ": sources.xen: must be a table, not a string" in error.message


@pytest.mark.parametrize("key", ["name", "overrides"])
def test_reserved_keys(folder: Path, key: str) -> None:
    error = refused(folder, f'{key} = "x"\n' + WHOLE)
    assert f"{key}: is not a key of a recipe" in error.message


@pytest.mark.parametrize("text", ["a = = 1", "[x\n", 'a = "\\q"', "x = 1\nx = 2"])
def test_bad_toml_names_the_line(folder: Path, text: str) -> None:
    error = refused(folder, f"\n\n{text}\n\n")
    assert "bad.toml: not valid TOML" in error.message
    assert re.search(r"line [345]", error.message)


def test_toml_that_is_no_utf_8_names_the_line_and_the_remedy(folder: Path) -> None:
    for content, why in (
        (b"a = 1\nb = '\xff'\n", "the byte 0xff is not UTF-8 (at line 2)"),
        (b"\xef\xbb\xbfa = 1\n", "a byte order mark at line 1"),
    ):
        path = folder / "bad.toml"
        path.write_bytes(content)
        with pytest.raises(BuildError) as caught:
            load("bad", folder=folder)
        assert caught.value.message == f"{path}: not valid TOML: {why}"
        assert caught.value.hint == "save it as UTF-8, without a byte order mark"


@pytest.mark.parametrize(
    "text", ["x = " + "9" * 5000, "x = " + "[" * 3000, "x = 1979-02-30", "x = '\x07'"]
)
def test_toml_that_breaks_its_reader(folder: Path, text: str) -> None:
    assert "not valid TOML" in refused(folder, text).message


def test_a_file_that_is_no_text(folder: Path) -> None:
    (folder / "bad.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(BuildError, match="not valid TOML"):
        load("bad", folder=folder)


# Pins


@pytest.mark.parametrize(
    ("line", "key"),
    [
        ("sha256", "sources.xen.sha256"),
        ("commit", "sources.seabios.commit"),
        ('version = "6.1.*"', "sources.linux.version"),
        ('version = "4.17.*"', "sources.tree.version"),
    ],
)
def test_every_kind_of_source_is_pinned(folder: Path, line: str, key: str) -> None:
    error = refused(folder, without(WHOLE, line))
    assert f"bad.toml: {key}: is missing" in error.message
    assert "is pinned" in error.hint


@pytest.mark.parametrize("wrong", ["", "0" * 63, "0" * 65, "A" * 64, "g" * 64, "٣" * 64])
def test_a_sha256_of_a_wrong_form(folder: Path, wrong: str) -> None:
    error = refused(folder, WHOLE.replace(SHA256, wrong))
    assert "sources.xen.sha256: is not a sha256" in error.message


@pytest.mark.parametrize("wrong", ["master", "0" * 39, "0" * 64, "A" * 40])
def test_a_commit_of_a_wrong_form(folder: Path, wrong: str) -> None:
    error = refused(folder, WHOLE.replace(COMMIT, wrong))
    assert "sources.seabios.commit: is not a commit" in error.message


@pytest.mark.parametrize(
    "ref", ["stable-4.20", "RELEASE-4.20.1", "v6.1", "staging/x", "a+b"], ids=repr
)
def test_a_branch_or_tag_in_place_of_a_commit(folder: Path, ref: str) -> None:
    text = WHOLE.replace(f'commit = "{COMMIT}"', f'ref = "{ref}"')
    (folder / "good.toml").write_text(text)
    source = load("good", folder=folder).sources["seabios"]
    assert isinstance(source, GitSource)
    assert (source.ref, source.commit) == (ref, "")


@pytest.mark.parametrize(
    "wrong", ["-x", "a..b", "a//b", "x.lock", "a*", "refs/heads/x", "a b", "a/.b", "x/", "a@{0}"]
)
def test_a_branch_of_a_wrong_form(folder: Path, wrong: str) -> None:
    error = refused(folder, WHOLE.replace(f'commit = "{COMMIT}"', f'ref = "{wrong}"'))
    assert "sources.seabios.ref: is no branch or tag" in error.message


def test_a_commit_and_a_branch_are_one_too_many(folder: Path) -> None:
    both = f'commit = "{COMMIT}"\nref = "main"'
    error = refused(folder, WHOLE.replace(f'commit = "{COMMIT}"', both))
    assert "sources.seabios.commit: stands beside ref" in error.message
    keys = 'ref = "v1"\nsigned_by = ["x"]'
    error = refused(folder, WHOLE.replace(f'commit = "{COMMIT}"', keys))
    assert "sources.seabios.signed_by[0]: is not a fingerprint" in error.message
    keys = f'ref = "v1"\nsigned_by = ["{"A" * 40}"]'
    error = refused(folder, WHOLE.replace(f'commit = "{COMMIT}"', keys))
    assert "sources.seabios.keyring: is missing" in error.message


@pytest.mark.parametrize("wrong", ["", "6.1 ", "6.1;rm", "-t", "$(id)", "6.1\\n", "6'1"])
def test_a_version_of_a_wrong_form(folder: Path, wrong: str) -> None:
    error = refused(folder, WHOLE.replace("6.1.*", wrong))
    assert "sources.linux.version: " in error.message


@pytest.mark.parametrize("wrong", ["Xen", "a b", "a/b", "'..'", "-x"])
def test_a_source_name_of_a_wrong_form(folder: Path, wrong: str) -> None:
    quoted = json.dumps(wrong)
    error = refused(folder, WHOLE + f'[sources.{quoted}]\nkind = "git"\nurls = ["x"]\n'
                    f'commit = "{COMMIT}"\n')  # fmt: skip
    assert f"sources.{wrong}: is not a name" in error.message


@pytest.mark.parametrize(
    ("kind", "what"),
    [
        ("", "is missing"),
        ('kind = "svn"', "'svn' is no kind of source"),
        ('kind = ["url"]', "is no kind of source"),
        ("kind = {}", "is no kind of source"),
    ],
)
def test_a_source_of_no_kind(folder: Path, kind: str, what: str) -> None:
    error = refused(folder, WHOLE.replace('kind = "url"', kind))
    assert "sources.xen.kind: " in error.message
    assert what in error.message
    assert "debian-package" in error.hint


def test_a_source_without_addresses(folder: Path) -> None:
    error = refused(folder, WHOLE.replace('["https://example.org/xen.tar.gz"]', "[]"))
    assert "sources.xen.urls: is empty" in error.message


def test_a_registry_image_is_pinned(folder: Path) -> None:
    error = refused(folder, WHOLE.replace("[suite]", '[suite]\nimage = "debian:wheezy"'))
    assert "suite.image: is not pinned" in error.message


def test_a_source_has_the_name_of_its_table(folder: Path) -> None:
    error = refused(folder, WHOLE.replace('kind = "url"', 'kind = "url"\nname = "x"'))
    assert "sources.xen.name: is not a known key" in error.message


# Names that must lead somewhere


@pytest.mark.parametrize(
    ("old", "new", "what"),
    [
        ('source = "xen"', 'source = "xan"', "xen.source: there is no source xan (did you mean x"),
        ('source = "linux"', 'source = "lin"', "kernel.source: there is no source lin"),
        ('/" = "seabios"', '/" = "sea"', '-dir/": there is no source sea'),
        ("[kernel]", '[kernel]\nconfig = "no"', "kernel.config: there is no source no"),
        ('"allnoconfig"', '"packaged"', "kernel.flavours.minimal.base: needs the suite's config"),
        ('"minimal.config"', '"no.config"', "minimal.fragments: no file configs/kernel/no.config"),
        ('"minimal.config"', f'"{"x" * 4000}"', "minimal.fragments: no file"),
        ('"minimal.config"', '"../recipes/common/xen.toml"', "minimal.fragments"),
        ("[kernel]", '[kernel]\npatches = "no"', "kernel.patches: no file patches/no/series"),
        ("[xen]", '[xen]\npatches = "no"', "xen.patches: no file patches/no/series"),
        ('"-dom0"', '"-Dom 0"', "localversion: '-Dom 0' can't be part of a package name"),
        ('"-dom0"', '"dom0"', "localversion: 'dom0' can't be"),
        ("[finish.xen]", "[finish.xan]", "finish.xen: is missing"),
    ],
)
def test_names_that_lead_nowhere(folder: Path, old: str, new: str, what: str) -> None:
    assert old in WHOLE
    assert what in refused(folder, WHOLE.replace(old, new, 1)).message


def test_no_flavours(folder: Path) -> None:
    head, rest = WHOLE.split("[kernel.flavours.minimal]")
    error = refused(
        folder, head + "[kernel.flavours]\n[finish.xen]" + rest.split("[finish.xen]")[1]
    )
    assert "kernel.flavours: is empty" in error.message


@pytest.mark.parametrize("path", ["/etc/passwd", "../x", "a/../../x", "a/..", ".."])
def test_placed_sources_stay_in_the_tree(folder: Path, path: str) -> None:
    error = refused(folder, WHOLE.replace("tools/firmware/seabios-dir/", path))
    assert f'xen.place."{path}": leaves the tree' in error.message


@pytest.mark.parametrize("path", ["/etc/passwd", "../x", "a/../../x"])
def test_files_stay_in_the_tree(folder: Path, path: str) -> None:
    error = refused(folder, WHOLE + f'[xen.files]\n"{path}" = "x"\n')
    assert f'xen.files."{path}": leaves the tree' in error.message


def test_files_whose_names_have_two_dots_are_fine(folder: Path) -> None:
    (folder / "dots.toml").write_text(WHOLE + '[xen.files]\n"a..b/..c" = "x"\n')
    assert xen_of(load("dots", folder=folder)).files == {"a..b/..c": "x"}


@pytest.mark.parametrize("key", ["memory", "pids", "nofile", "disk"])
@pytest.mark.parametrize("value", [0, -1])
def test_limits_are_numbers_that_limit(folder: Path, key: str, value: int) -> None:
    error = refused(folder, None, f"builder.{key}={value}")
    assert f"builder.{key}: " in error.message


def test_the_packaged_config_has_a_path(folder: Path) -> None:
    text = WHOLE.replace('"allnoconfig"', '"packaged"')
    error = refused(folder, text.replace("[kernel]", '[kernel]\nconfig = "linux"'))
    assert "kernel.config_path: " in error.message


@pytest.mark.parametrize("package", ["gcc make", "gcc;x", "", "-y", "$(id)", "../x"])
def test_packages_are_names(folder: Path, package: str) -> None:
    error = refused(folder, WHOLE.replace("build-essential", package))
    assert f"builder.packages[0]: {package!r} is no package" in error.message


def test_packages_may_be_of_an_architecture_or_version(folder: Path) -> None:
    packages = ["gcc:i386", "gcc=4:12.2.0-3", "g++/bookworm-backports", "libc6-dev"]
    it = load("good", [f"builder.packages={packages}"], folder)
    assert it.builder.packages == tuple(packages)


def test_a_flavour_has_a_name(folder: Path) -> None:
    error = refused(folder, WHOLE.replace("flavours.minimal", "flavours.'a b'"))
    assert "kernel.flavours.a b: is not a name" in error.message


@pytest.mark.parametrize("name", ["book worm", "", "../x", "a\\nb"])
def test_a_suite_has_a_name(folder: Path, name: str) -> None:
    error = refused(folder, WHOLE.replace('"bookworm"', f'"{name}"'))
    assert "suite.name: " in error.message


# Includes


def write(folder: Path, **files: str) -> None:
    for name, text in files.items():
        path = folder / f"{name}.toml"
        path.write_text(text)


def test_the_including_file_wins(folder: Path) -> None:
    (folder / "common").mkdir()
    (folder / "common" / "sources.toml").write_text(SOURCES)
    (folder / "common" / "builds.toml").write_text(BUILDS)
    write(
        folder,
        it='include = ["common/sources.toml", "common/builds.toml"]\n'
        + HEAD
        + '[xen]\nbuild = ["make world"]\n[sources.linux]\nversion = "6.1.9-1"\n',
    )
    it = load("it", folder=folder)
    assert xen_of(it).build == ("make world",)
    assert xen_of(it).deb == "dist/*.deb"
    assert it.sources["linux"] == DebianPackage("linux", "linux-source-6.1", "6.1.9-1")


def test_a_later_include_wins(folder: Path) -> None:
    write(folder, one='summary = "one"', two='summary = "two"')
    write(folder, it='include = ["good.toml", "one.toml", "two.toml"]')
    assert load("it", folder=folder).summary == "two"


def test_an_include_within_an_include_is_read_from_its_own_folder(folder: Path) -> None:
    (folder / "sub").mkdir()
    (folder / "sub" / "a.toml").write_text('include = ["b.toml"]')
    (folder / "sub" / "b.toml").write_text('summary = "b"')
    write(folder, it='include = ["good.toml", "sub/a.toml"]')
    assert load("it", folder=folder).summary == "b"


@pytest.mark.parametrize(
    ("base", "above", "file", "key"),
    [
        ("summary = 1", "", "base", "summary"),
        ('[suite]\nnmae = "x"', '[suite]\nname = "x"', "base", "suite.nmae"),
        ('[suite]\nname = "x"', "[suite]\nnmae = 1", "it", "suite.nmae"),
        ('[suite]\nname = "x"', "[suite]\nname = 1", "it", "suite.name"),
        ("[xen]\nbuild = [1]", '[xen]\nelf = "x"', "base", "xen.build[0]"),
        ('[xen]\nbuild = ["x"]', "[xen]\nbuild = [1]", "it", "xen.build[0]"),
        ('[xen.place]\n"/a" = "seabios"', "[xen]\nelf = 'x'", "base", 'xen.place."/a"'),
        ("[sources.xen]\nsha256 = 'x'", "[sources.linux]\nversion = '1'", "base", "sources.xen."),
    ],
)
def test_an_error_names_the_file_that_wrote_the_key(
    folder: Path, base: str, above: str, file: str, key: str
) -> None:
    write(folder, base=base, it='include = ["good.toml", "base.toml"]\n' + above)
    with pytest.raises(BuildError) as caught:
        load("it", folder=folder)
    assert caught.value.message.startswith(f"{folder / file}.toml: {key}")


def test_an_include_in_a_circle_is_named(folder: Path) -> None:
    write(folder, a='include = ["b.toml"]', b='include = ["c.toml"]', c='include = ["b.toml"]')
    with pytest.raises(BuildError) as caught:
        load("a", folder=folder)
    assert "b.toml -> c.toml -> b.toml" in caught.value.message
    assert "a.toml ->" not in caught.value.message


def test_an_including_file_may_take_a_source_from_elsewhere(folder: Path) -> None:
    write(
        folder,
        it='include = ["good.toml"]\n[sources.xen]\n'
        'kind = "debian-source"\npackage = "xen"\nversion = "4.17.*"',
    )
    assert load("it", folder=folder).sources["xen"] == DebianSource("xen", "xen", "4.17.*")


@pytest.mark.parametrize(
    ("old", "new", "what"),
    [
        ('"4.17.4-1"', '"x"', "pooled.version: 'x' is none"),
        ("pool/main", "http://x/pool", "pooled.path: is not in a mirror's pool"),
        ("pool/main", "pool/../..", "pooled.path: is not in a mirror's pool"),
        ("abab", "AB", "pooled.sha256: is not a sha256"),
        ("path =", "file =", "pooled.file: is not a known key"),
    ],
)
def test_what_is_pinned_beside_the_lists_is_checked(
    folder: Path, old: str, new: str, what: str
) -> None:
    text = (
        'include = ["good.toml"]\n[sources.xen]\nkind = "debian-source"\npackage = "xen"\n'
        'version = "4.17.*"\n[sources.xen.pooled]\nversion = "4.17.4-1"\n'
        f'path = "pool/main/x/xen/xen_4.17.4.orig.tar.xz"\nsha256 = "{"ab" * 32}"\n'
    )
    write(folder, it=text)
    pooled = Pooled("4.17.4-1", "pool/main/x/xen/xen_4.17.4.orig.tar.xz", "ab" * 32)
    found = load("it", folder=folder).sources["xen"]
    assert found == DebianSource("xen", "xen", "4.17.*", pooled)
    write(folder, it=text.replace(old, new))
    with pytest.raises(BuildError, match=re.escape(f"sources.xen.{what}")):
        load("it", folder=folder)


def test_a_file_may_be_included_twice(folder: Path) -> None:
    write(folder, a='include = ["good.toml"]', b='include = ["good.toml"]')
    write(folder, it='include = ["a.toml", "b.toml"]')
    assert load("it", folder=folder).summary == "one"


def test_a_missing_include_names_both_files(folder: Path) -> None:
    error = refused(folder, 'include = ["no.toml"]')
    assert f"{folder / 'no.toml'}: no such file" in error.message
    assert "bad.toml" in error.message


@pytest.mark.parametrize(
    "include", ['"x.toml"', "[1]", "{}", '["\\u0000"]', '["sub"]', f'["{"x" * 5000}"]', '["loop"]']
)
def test_an_include_that_is_none(folder: Path, include: str) -> None:
    (folder / "sub").mkdir()
    (folder / "loop").symlink_to("loop")
    refused(folder, f"include = {include}")


# --set


def test_an_override_wins_and_is_recorded(folder: Path) -> None:
    it = load("good", ["suite.mirror=http://127.0.0.1/debian", "builder.memory=2"], folder)
    assert it.suite.mirror == "http://127.0.0.1/debian"
    assert it.builder.memory == 2
    assert it.overrides == ("suite.mirror=http://127.0.0.1/debian", "builder.memory=2")


def test_the_later_override_wins(folder: Path) -> None:
    assert load("good", ["summary=a", "summary=b"], folder).summary == "b"


@pytest.mark.parametrize("text", ["", "x", "=1", "a..b=1", ".a=1", "a.=1", "suite. =1"])
def test_an_override_that_is_no_key_value(folder: Path, text: str) -> None:
    assert f"--set {text}: not of the form key=value" in refused(folder, None, text).message


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("sources.xne.sha256=1", "has no sources.xne (did you mean xen?)"),
        ("suit.name=x", "has no suit (did you mean suite?)"),
        ("suite.name.x=y", "has no suite.name"),
        ("suite.nmae=x", "suite.nmae: is not a known key (did you mean name?)"),
        ("summry=x", "summry: is not a known key (did you mean summary?)"),
        ("kernel.flavours.tiny.base=x", "has no kernel.flavours.tiny"),
        ("name=x", "name: is not a key of a recipe"),
        ("overrides.x=x", "names nothing: the recipe has no overrides"),
    ],
)
def test_an_override_that_names_nothing(folder: Path, text: str, what: str) -> None:
    error = refused(folder, None, text)
    assert what in error.message
    assert error.message.startswith(f"--set {text}: ")


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("builder.memory=lots", "builder.memory: must be a whole number, not a string"),
        ("suite.vsyscall=maybe", "suite.vsyscall: must be true or false, not a string"),
        ("summary=[1]", "summary: must be a string, not a list"),
        ("suite=x", "suite: must be a table, not a string"),
        ("builder.packages=[1]", "builder.packages[0]: must be a string, not a whole number"),
        ("sources.xen.kind=[1]", "sources.xen.kind: [1] is no kind of source"),
        ("sources.xen.kind={}", "sources.xen.kind: {} is no kind of source"),
        ("sources.xen.sha256=x", "sources.xen.sha256: is not a sha256"),
    ],
)
def test_an_override_of_a_wrong_type(folder: Path, text: str, what: str) -> None:
    assert refused(folder, None, text).message == f"--set {text}: {what}"


def test_an_override_may_add_to_a_list(folder: Path) -> None:
    before = load("good", [], folder).builder.packages
    added = ["builder.packages+=libz1", 'builder.packages += ["aa", "bb"]']
    assert load("good", added, folder).builder.packages == (*before, "libz1", "aa", "bb")
    error = refused(folder, None, "suite.name+=x")
    assert (
        error.message == "--set suite.name+=x: += is for a list, and the recipe states none there"
    )
    assert "suite.name=... sets it" in error.hint


def test_an_override_may_give_one_string_for_a_list(folder: Path) -> None:
    it = load("good", ["sources.xen.urls=file:///tmp/xen.tar.gz"], folder)
    assert isinstance(it.sources["xen"], UrlSource)
    assert it.sources["xen"].urls == ("file:///tmp/xen.tar.gz",)
    it = load("good", ['xen.build=["a", "b"]'], folder)
    assert xen_of(it).build == ("a", "b")


def test_a_file_may_not_give_one_string_for_a_list(folder: Path) -> None:
    refused(folder, WHOLE.replace('build = ["make debball"]', 'build = "make"'))


@pytest.mark.parametrize("value", ["4", "4.17", "4.17.5"])
def test_an_overriding_version_needs_no_quotes(folder: Path, value: str) -> None:
    it = load("good", [f"sources.linux.version={value}"], folder)
    assert it.sources["linux"] == DebianPackage("linux", "linux-source-6.1", value)


@pytest.mark.parametrize("value", ["4.10", "1e5", "0x10", "007", "1_0", "+4", "2020-01-01", "inf"])
def test_a_number_for_a_string_is_kept_as_it_was_typed(folder: Path, value: str) -> None:
    assert xen_of(load("good", [f"xen.version={value}"], folder)).version == value


def test_another_kind_of_source_drops_the_keys_of_the_old(folder: Path) -> None:
    it = load(
        "good",
        [
            "sources.linux.kind=url",
            "sources.linux.urls=file:///l",
            f"sources.linux.sha256={SHA256}",
        ],
        folder,
    )
    assert it.sources["linux"] == UrlSource("linux", ("file:///l",), SHA256)
    it = load("good", ["sources.tree.kind=debian-package"], folder)
    assert it.sources["tree"] == DebianPackage("tree", "xen", "4.17.*")


def test_an_override_may_begin_a_table(folder: Path) -> None:
    it = load("good", ["audit.kernel_options={CONFIG_X='y'}"], folder)
    assert it.audit.kernel_options == {"CONFIG_X": "y"}


def test_an_override_may_name_a_key_with_dots(folder: Path) -> None:
    it = load("good", ['xen.place."stubdom/zlib-1.2.3.tar.gz"=seabios'], folder)
    assert xen_of(it).place["stubdom/zlib-1.2.3.tar.gz"] == "seabios"


def test_an_override_is_one_value(folder: Path) -> None:
    text = "kernel.defaults=1\nsecond = 2"
    assert kernel_of(load("good", [text], folder)).defaults == "1\nsecond = 2"


# Anything at all

_KEYS = st.sampled_from(
    ["include", "summary", "suite", "name", "sources", "kind", "xen", "urls", "place", "kernel"]
) | st.text(max_size=5)
_LEAVES = (
    st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(["url", "git", "debian-source", "good.toml", "/", ".."])
)
_VALUES = st.recursive(
    _LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_KEYS, inner, max_size=4),
    max_leaves=12,
)


def _toml(value: Any) -> str:
    """A value as TOML; json's strings and lists are TOML's too."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(k)} = {_toml(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_toml, value)) + "]"
    if isinstance(value, float):
        return repr(value)
    return json.dumps(value)


def _load(text: str, *overrides: str) -> Recipe | None:
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "good.toml").write_text(WHOLE)
        (Path(folder) / "it.toml").write_bytes(text.encode("utf-8", "surrogatepass"))
        try:
            return load("it", overrides, Path(folder))
        except BuildError:
            return None


@pytest.mark.slow
@settings(max_examples=40, deadline=None)
@given(st.dictionaries(_KEYS, _VALUES, max_size=6))
def test_any_toml_is_a_recipe_or_an_error(raw: dict[str, Any]) -> None:
    _load("".join(f"{json.dumps(k)} = {_toml(v)}\n" for k, v in raw.items()))


@settings(max_examples=20, deadline=None)
@given(st.text(max_size=60) | st.binary(max_size=60).map(lambda b: b.decode("latin-1")))
def test_any_text_is_a_recipe_or_an_error(text: str) -> None:
    assert _load(text) is None


_PATHS = st.lists(
    st.sampled_from(["sources", "xen", "kind", "kernel", "flavours", "suite", "builder", "include"])
    | st.text(max_size=4),
    min_size=1,
    max_size=4,
).map(".".join)


@pytest.mark.slow
@settings(max_examples=40, deadline=None)
@given(_PATHS, _VALUES.map(_toml) | st.text(max_size=10))
def test_any_override_is_a_recipe_or_an_error(key: str, value: str) -> None:
    it = _load('include = ["good.toml"]', f"{key}={value}")
    assert it is None or it.overrides == (f"{key}={value}",)
