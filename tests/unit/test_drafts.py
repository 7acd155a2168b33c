# SPDX-License-Identifier: GPL-2.0-or-later
"""New recipes that take over the project's own, and the line of what is wrong in one."""

from __future__ import annotations

import subprocess
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builders.errors import BuildError, Exit
from builders.pipeline import drafts
from builders.pipeline.drafts import NONE, SUITE, draft
from builders.pipeline.recipe import DebianSource, GitSource, load, places
from builders.verbs import recipes


class Repository:
    """A git repository with a release, its stable branch, and a newer commit there."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()
        self._git("init", "--quiet", "--initial-branch=master")
        self.released = self._commit("one")
        self._git("tag", "--annotate", "--message=4.22.0", "RELEASE-4.22.0")
        self._git("branch", "stable-4.22")
        self._git("checkout", "--quiet", "stable-4.22")
        self.fixed = self._commit("two")

    def _commit(self, message: str) -> str:
        self._git("commit", "--quiet", "--allow-empty", f"--message={message}")
        return self._git("rev-parse", "HEAD").strip()

    def _git(self, *words: str) -> str:
        who = ["-c", "user.name=a", "-c", "user.email=a@b.invalid", "-c", "tag.gpgSign=false"]
        return subprocess.run(
            ["git", *who, *words], cwd=self.folder, check=True, capture_output=True, text=True
        ).stdout

    @property
    def url(self) -> str:
        return f"file://{self.folder}"


@pytest.fixture
def git(tmp_path: Path) -> Repository:
    return Repository(tmp_path / "xen")


def made(path: Path, suite: str, xen: str, linux: str = SUITE) -> drafts.Draft:
    return draft(str(path), suite, xen, linux, threading.Event())


def refused(path: Path, suite: str, xen: str, linux: str = SUITE) -> BuildError:
    with pytest.raises(BuildError) as caught:
        made(path, suite, xen, linux)
    assert caught.value.hint
    assert not path.exists()
    return caught.value


@pytest.mark.slow
@pytest.mark.parametrize("suite", ["bookworm", "trixie"])
def test_a_tag_is_pinned_by_its_commit(git: Repository, tmp_path: Path, suite: str) -> None:
    path = tmp_path / "mine.toml"
    drafted = made(path, suite, f"{git.url}#RELEASE-4.22.0")
    assert drafted.model == f"xen-4.22-{suite}"
    assert drafted.commits == {"xen": git.released}
    assert drafted.local
    it, model = load(str(path), ["allow_file=true"]), load(drafted.model)
    source = it.sources["xen"]
    assert isinstance(source, GitSource)
    assert (source.commit, source.urls) == (git.released, (git.url,))
    # All that the model knows of building and correcting is taken over.
    assert (it.xen, it.kernel, it.finish, it.builder) == (
        model.xen,
        model.kernel,
        model.finish,
        model.builder,
    )


def test_a_branch_is_pinned_as_it_is_today(git: Repository, tmp_path: Path) -> None:
    drafted = made(tmp_path / "mine.toml", "trixie", f"{git.url}#stable-4.22")
    assert drafted.commits == {"xen": git.fixed}
    assert "# stable-4.22, on 2" in drafted.path.read_text()


def test_of_a_commit_nobody_is_asked(tmp_path: Path) -> None:
    commit = "a" * 40
    drafted = made(tmp_path / "mine.toml", "trixie", commit)
    source = load(str(drafted.path)).sources["xen"]
    assert isinstance(source, GitSource)
    assert source.commit == commit
    assert source.urls[0].startswith("https://xenbits.xen.org/")
    assert not drafted.local


@pytest.mark.slow
def test_the_suite_s_own_and_one_target_alone(tmp_path: Path) -> None:
    own = load(str(made(tmp_path / "own.toml", "bookworm", SUITE).path))
    assert isinstance(own.sources["xen"], DebianSource)
    kernel = load(str(made(tmp_path / "kernel.toml", "bookworm", NONE).path))
    assert kernel.targets == ("kernel",)
    xen = load(str(made(tmp_path / "xen.toml", "trixie", "b" * 40, NONE).path))
    assert xen.targets == ("xen",)


def test_a_newer_kernel_gets_what_it_is_built_with(tmp_path: Path) -> None:
    drafted = made(tmp_path / "mine.toml", "bookworm", SUITE, "c" * 40)
    it = load(str(drafted.path))
    assert it.sources["linux"] == GitSource("linux", drafts._LINUX, "c" * 40)
    assert {"debhelper", "libdw-dev", "bc"} <= set(it.builder.packages)


@pytest.mark.slow
def test_what_can_not_be_is_said_and_leaves_no_file(git: Repository, tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    assert "no tag or branch nosuch" in refused(path, "trixie", f"{git.url}#nosuch").message
    assert "4.17" in refused(path, "bookworm", "4.10.0").message
    assert "potato" in refused(path, "potato", SUITE).message
    assert "xen-4.2-bullseye" in refused(path, "bullseye", "d" * 40).hint
    assert refused(path, "trixie", NONE, NONE)
    for ref in ("-x", "a..b", "a b", "$(id)", "x.lock", "a\n", ""):
        assert refused(path, "trixie", f"{git.url}#{ref}").exit is Exit.USAGE
    for address in ("/etc", "file://host/x", "ext::sh -c id", "--upload-pack=id", "file:///a b"):
        assert refused(path, "trixie", f"{address}#x").exit is Exit.USAGE
    gone = refused(path, "trixie", f"file://{tmp_path}/nowhere#x")
    assert gone.exit is Exit.SOURCE
    assert "ADDRESS#x" in gone.hint
    with pytest.raises(BuildError, match="name of a recipe"):
        draft("../x", "trixie", SUITE, SUITE, threading.Event())


def test_a_file_that_is_there_stays(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text("mine")
    with pytest.raises(BuildError, match="is there already"):
        made(path, "trixie", SUITE)
    assert path.read_text() == "mine"


# The line of a key

TEXT = '''\
summary = "x"
[suite]
name = "bookworm" # a comment
[xen.files]
".config" = """
name = "in a text"
[kernel]
"""
"a.b" = "x"
[[finish.xen.overrides]]
tag = "one"
[[finish.xen.overrides]]
tag = "two"
[finish . kernel]
modes."/a/b" = "0644"
'''


@pytest.mark.parametrize(
    ("key", "line"),
    [
        ("summary", 1),
        ("suite.name", 3),
        ("suite.mirror", 2),
        ("suite.components[0]", 2),
        ('xen.files.".config"', 5),
        ('xen.files."a.b"', 9),
        ("finish.xen.overrides[1].tag", 13),
        ("finish.xen.overrides[0].reason", 10),
        ('finish.kernel.modes."/a/b"', 15),
        ("kernel", 0),
        ("", 0),
    ],
)
def test_the_line_of_a_key(tmp_path: Path, key: str, line: int) -> None:
    path = tmp_path / "x.toml"
    path.write_text(TEXT)
    assert places.line(path, key) == line


@pytest.mark.slow
@given(text=st.text(alphabet="[]\"'=.a#\n \\", max_size=200), key=st.text(max_size=20))
def test_any_text_has_lines(tmp_path_factory: pytest.TempPathFactory, text: str, key: str) -> None:
    path = tmp_path_factory.getbasetemp() / "any.toml"
    path.write_text(text)
    assert 0 <= places.line(path, key) <= text.count("\n") + 1
    assert places.line(path.parent, key) == 0


@pytest.mark.slow
def test_check_says_file_line_and_key(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    drafted = made(path, "trixie", "e" * 40)
    assert recipes.run(recipes.Options(check=str(drafted.path))).code == 0
    path.write_text(path.read_text().replace("commit = ", "comit = "))
    with pytest.raises(BuildError) as caught:
        recipes.run(recipes.Options(check=str(path)))
    assert caught.value.exit is Exit.USAGE
    number = path.read_text().split("\n").index(f'comit = "{"e" * 40}"') + 1
    assert caught.value.message.startswith(f"{path}:{number}: sources.xen.comit: ")


def test_words_that_do_not_go_together() -> None:
    for options in (
        recipes.Options(show="a", check="b"),
        recipes.Options(xen="4.22.0"),
        recipes.Options(set=("a=b",)),
    ):
        with pytest.raises(BuildError) as caught:
            recipes.run(options)
        assert caught.value.exit is Exit.USAGE
