# SPDX-License-Identifier: GPL-2.0-or-later
"""What holds where a command line says nothing: dom0-debs.toml, what was built, the usual one."""

from __future__ import annotations

import dataclasses
import errno
import json
import re
from pathlib import Path

import pytest

from builders import ROOT
from builders.errors import BuildError, Exit
from builders.ground import defaults
from builders.ground.suite import mirror
from builders.pipeline import chosen, current, recipe
from builders.verbs import builds, maintainer, recipes
from tests.unit.engines import Heard
from tests.unit.samples import recipe as made

ALL = """
recipe = "xen-4.17-bookworm"
flavour = "minimal"
mirror = "http://mirror.example/debian"
jobs = 3
maintainer = "A B <a@b.example>"
"""
BOOKWORM, TRIXIE, WHEEZY = "xen-4.17-bookworm", "xen-4.20-trixie", "xen-4.2-wheezy"


class Files:
    """A user's file and a checkout's, and a folder of artifacts."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.user = folder / "config" / defaults.NAME
        self.checkout = folder / "checkout" / defaults.NAME
        self.artifacts = folder / "artifacts"
        for path in (self.user, self.checkout, self.artifacts / "x"):
            path.parent.mkdir(exist_ok=True)
        monkeypatch.setenv("XDG_CONFIG_HOME", str(self.user.parent))
        monkeypatch.setenv("DOM0_DEBS_ARTIFACTS", str(self.artifacts))
        monkeypatch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
        monkeypatch.setattr(defaults, "CHECKOUT", self.checkout)
        for name in (mirror.MAIN, mirror.SECURITY, "DEBEMAIL", "DEBFULLNAME"):
            monkeypatch.delenv(name, raising=False)

    def built(self, name: str, *targets: str) -> None:
        """Let there be a manifest that says that these targets were built."""
        folder = self.artifacts / name
        folder.mkdir()
        slot = {"stage": "0" * 24, "build": "0" * 24, "overrides": [], "packages": {}}
        document = {"targets": dict.fromkeys(targets, slot)}
        (folder / "manifest.json").write_text(json.dumps(document))


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Files:
    return Files(tmp_path, monkeypatch)


# The files


@pytest.mark.usefixtures("files")
def test_without_files_there_are_no_defaults() -> None:
    assert defaults.read() == defaults.Defaults()


def test_the_users_file_comes_before_that_of_the_checkout(files: Files) -> None:
    files.checkout.write_text(ALL)
    files.user.write_text("jobs = 1\n")
    it = defaults.read()
    assert it.jobs == defaults.Default(1, files.user)
    assert it.recipe == defaults.Default(BOOKWORM, files.checkout)
    assert str(it.jobs) == f"from {files.user}"
    assert str(it.recipe) == f"from configs/{defaults.NAME}"


@pytest.mark.usefixtures("files")
def test_where_the_files_are() -> None:
    home = Path.home() / ".config" / defaults.NAME
    assert defaults.files({})[0] == home
    assert defaults.files({"XDG_CONFIG_HOME": "not/absolute"})[0] == home
    assert defaults.files({"XDG_CONFIG_HOME": "/x"})[0] == Path("/x") / defaults.NAME


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("recipies = 'x'", "recipies: is not a known key (did you mean recipe?)", "keys here: rec"),
        ("recipe = 1", "recipe: must be a string", "in quotes"),
        ("flavour = ''", "flavour: must be a string", "in quotes"),
        ("jobs = 'many'", "jobs: must be a whole number", "jobs = 4"),
        ("jobs = 0", "jobs: must be a whole number", "jobs = 4"),
        ("jobs = true", "jobs: must be a whole number", "jobs = 4"),
        ("jobs = 4097", "jobs: must be a whole number from 1 to 4096", "jobs = 4"),
        ("mirror = 'ftp://x'", "mirror: 'ftp://x' is not one http", "such as http"),
        ('recipe = "a\\u0007"', "recipe: has the character U+0007", "one line"),
        ("recipe = ", "not valid TOML", "correct that line"),
    ],
)
def test_a_wrong_file_is_told_with_its_key(
    files: Files, text: str, message: str, hint: str
) -> None:
    files.user.write_text(f"{text}\n")
    with pytest.raises(BuildError) as caught:
        defaults.read()
    assert caught.value.message.startswith(f"{files.user}: ")
    assert message in caught.value.message
    assert hint in caught.value.hint
    assert caught.value.exit is Exit.USAGE


@pytest.mark.parametrize("target", ["dom0-debs.toml", "nowhere"])
def test_a_link_that_leads_nowhere_is_told(files: Files, target: str) -> None:
    files.user.symlink_to(target)
    with pytest.raises(BuildError, match=re.escape(str(files.user))):
        defaults.read()


def test_a_folder_that_this_user_may_not_look_into_is_told(
    files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As another user's home is, where HOME has stayed as it was (sudo -E)."""

    def refuse(path: Path) -> None:
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setattr(Path, "lstat", refuse)
    with pytest.raises(BuildError, match="Permission denied") as caught:
        defaults.read()
    assert caught.value.message.startswith(f"{files.user}: ")
    assert "XDG_CONFIG_HOME" in caught.value.hint


def test_every_key_is_documented() -> None:
    page = (ROOT / "docs" / "defaults.md").read_text(encoding="utf-8")
    for field in dataclasses.fields(defaults.Defaults):
        assert f"| `{field.name}` |" in page


# Where each of them decides


def begun(name: str, *, jobs: int = 0, reads: bool = False) -> tuple[str, int, list[str]]:
    heard = Heard()
    it = builds.begin(name, [], heard, jobs=jobs, reads=reads)
    return it.recipe.name, it.jobs, heard.lines


def test_an_option_comes_before_a_default(files: Files) -> None:
    files.user.write_text(ALL)
    assert begun(TRIXIE, jobs=1) == (TRIXIE, 1, [])


def test_a_default_that_decides_is_said(files: Files) -> None:
    files.checkout.write_text(ALL)
    where = f"from configs/{defaults.NAME}"
    lines = [f"recipe {BOOKWORM} ({where}), for bookworm", f"jobs 3 ({where})"]
    assert begun("") == (BOOKWORM, 3, lines)


@pytest.mark.usefixtures("files")
def test_the_usual_recipe_is_said_too() -> None:
    assert begun("")[2] == [f"recipe {WHEEZY} (the default), for wheezy"]


def test_a_recipe_file_is_beside_the_defaults(files: Files) -> None:
    (files.user.parent / "mine.toml").write_text(
        f'include = ["{recipe.RECIPES}/{BOOKWORM}.toml"]\nsummary = "mine"\n'
    )
    files.user.write_text('recipe = "mine.toml"\n')
    assert begun("")[0] == "mine"


def test_the_flavour(files: Files) -> None:
    it = recipe.load(BOOKWORM)
    assert chosen.flavour("", it) == chosen.Chosen("debian", "the default")
    files.user.write_text(ALL)
    assert chosen.flavour("", it) == chosen.Chosen("minimal", f"from {files.user}")
    assert chosen.flavour("debian", it) == chosen.Chosen("debian")
    files.user.write_text('flavour = "minimall"\n')
    with pytest.raises(BuildError, match=rf"no flavour minimall .*minimal.*{files.user}"):
        chosen.flavour("", it)


def test_of_two_flavours_the_default_is_read(files: Files) -> None:
    names = ["kernel-debian", "kernel-minimal", "xen"]
    with pytest.raises(BuildError, match="2 flavours"):
        current.choose(names, "", BOOKWORM)
    files.user.write_text(ALL)
    assert current.choose(names, "", BOOKWORM) == ["kernel-minimal", "xen"]
    assert current.choose(names, "debian", BOOKWORM) == ["kernel-debian", "xen"]
    files.user.write_text('flavour = "control"\n')
    with pytest.raises(BuildError, match="2 flavours"):
        current.choose(names, "", BOOKWORM)


def test_a_flavour_that_the_recipe_lacks_is_not_to_be_built() -> None:
    with pytest.raises(BuildError, match="no flavour minimall") as caught:
        current.choose(["kernel-minimal", "xen"], "minimall", BOOKWORM)
    assert "minimal" in caught.value.hint
    assert "build" not in caught.value.hint


def test_the_mirror(files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    suite = dataclasses.replace(made().suite, pockets=())
    files.user.write_text(ALL)
    default = "http://mirror.example/debian"
    assert mirror.of(suite).main == mirror.named(suite) == default
    assert mirror.said_by(suite) == f"mirror in {files.user}"
    assert default in mirror.scope(suite)
    monkeypatch.setenv(mirror.MAIN, "http://other.example/debian")
    assert mirror.of(suite).main == mirror.named(suite) == "http://other.example/debian"
    assert mirror.said_by(suite) == mirror.MAIN
    suite = dataclasses.replace(suite, mirror="http://recipe.example/debian")
    assert mirror.of(suite).main == "http://recipe.example/debian"
    assert mirror.said_by(suite) == "suite.mirror"


def test_the_maintainer(files: Files) -> None:
    files.user.write_text(ALL)
    environment = {"XDG_CONFIG_HOME": str(files.user.parent)}
    (override,) = maintainer.overrides(environment, ["xen"])
    assert override == 'finish.xen.maintainer="A B <a@b.example>"'
    assert maintainer.source(environment) == defaults.NAME
    environment["DEBEMAIL"] = "C D <c@d.example>"
    assert maintainer.source(environment) == "DEBEMAIL"
    assert "C D" in maintainer.overrides(environment, ["xen"])[0]
    files.user.write_text('maintainer = "nobody"\n')
    del environment["DEBEMAIL"]
    with pytest.raises(BuildError, match="'nobody' is none") as caught:
        maintainer.overrides(environment, ["xen"])
    assert str(files.user) in caught.value.message


def test_the_list_of_recipes_marks_the_one_that_is_taken(files: Files) -> None:
    def marked() -> list[str]:
        document = json.loads(recipes.run(recipes.Options()).said("json"))
        return [entry["name"] for entry in document["recipes"] if entry["default"]]

    assert marked() == [WHEEZY]
    files.user.write_text(ALL)
    assert marked() == [BOOKWORM]


# What was built


def test_the_only_recipe_that_was_built_is_read(files: Files) -> None:
    files.built(BOOKWORM, "xen", "kernel-minimal")
    name, _, lines = begun("", reads=True)
    assert (name, lines) == (
        BOOKWORM,
        [f"recipe {BOOKWORM} (the only one that was built), for bookworm"],
    )
    assert begun("")[0] == WHEEZY  # what would be built is another question
    assert begun(TRIXIE, reads=True)[0] == TRIXIE


def test_the_default_is_read_where_it_was_built(files: Files) -> None:
    files.built(BOOKWORM, "xen")
    files.built(TRIXIE, "xen")
    assert begun("", reads=True)[0] == WHEEZY
    files.user.write_text(f'recipe = "{TRIXIE}"\n')
    assert begun("", reads=True)[0] == TRIXIE


def test_what_a_file_of_a_stranger_left_is_not_taken_for_a_recipe(files: Files) -> None:
    files.built("mine", "xen")
    assert begun("", reads=True)[0] == WHEEZY


def test_where_nothing_was_built_of_it_the_others_are_named(files: Files) -> None:
    files.built(BOOKWORM, "xen", "kernel-minimal")
    files.built(TRIXIE, "xen")
    (files.artifacts / "damaged").mkdir()
    (files.artifacts / "damaged" / "manifest.json").write_text("{")
    it = builds.begin("", [], Heard(), reads=True)
    with pytest.raises(BuildError) as caught:
        current.current(it)
    assert caught.value.message == (
        f"nothing was built of {WHEEZY}, the default recipe; built is: "
        f"{BOOKWORM} (kernel-minimal, xen); {TRIXIE} (xen)"
    )
    assert caught.value.hint == (
        f"--recipe {BOOKWORM} or --recipe {TRIXIE}, or build it: ./inv build-all --recipe {WHEEZY}"
    )
