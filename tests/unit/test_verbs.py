# SPDX-License-Identifier: GPL-2.0-or-later
from __future__ import annotations

import ast
import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from invoke.collection import Collection
from invoke.parser.parser import Parser
from invoke.program import Program

import tasks
from builders import ROOT
from builders.errors import BuildError, Exit
from builders.pipeline import doctor, recipe, run
from builders.pipeline.doctor import FAIL, WARN, Check
from builders.pipeline.graph import Pipeline
from builders.pipeline.run import Run
from builders.verbs import builds, recipes, shell
from builders.verbs import clean as cleaning
from builders.verbs import doctor as verb
from builders.verbs.catalogue import VERBS
from builders.verbs.option import RECIPE, SHORT, TARGETS
from tests.unit.engines import Heard
from tests.unit.samples import WHOLE

NAMESPACE = Collection.from_module(tasks)
NAMES = sorted(VERBS)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Artifacts, a cache and a recipe, good.toml, of the test's own."""
    monkeypatch.setenv("DOM0_DEBS_ARTIFACTS", str(tmp_path / "artifacts"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (tmp_path / "good.toml").write_text(WHOLE)
    return tmp_path


def begin(home: Path, *overrides: str) -> Run:
    return builds.begin(str(home / "good.toml"), overrides, Heard())


# The face of Invoke


@pytest.mark.slow
def test_help_of_a_verb_with_free_words_says_what_its_options_mean(home: Path) -> None:
    done = invoke(home, "--help", "check")
    assert done.returncode == 0
    assert "table or json" in done.stdout


@pytest.mark.parametrize("name", NAMES)
def test_every_verb_says_what_it_does_and_what_each_option_means(name: str) -> None:
    task = Collection.from_module(tasks)[name]
    assert task.__doc__
    assert task.__doc__.splitlines()[0].endswith(".")
    assert len(task.__doc__.splitlines()[0]) <= 62  # beside its name in 80 columns
    for argument in task.get_arguments():
        assert argument.help, f"{name} --{argument.name} has no help"
        assert "h" not in argument.names  # -h is help


def test_a_word_means_the_same_for_every_verb() -> None:
    """One letter, one meaning; what is copied from slow modules is as it is there."""
    letters = {
        (option.short, name)
        for verb in VERBS.values()
        for name, option in verb.options.items()
        if option.short
    }
    assert len({letter for letter, _ in letters}) == len(letters) == len(SHORT)
    targets = {name for name, verb in VERBS.items() if "target" in verb.options}
    assert targets == {"reproduce", "shell"}
    assert (RECIPE, TARGETS) == (recipe.DEFAULT, recipe.TARGETS)


@pytest.mark.parametrize(
    ("verb", "words"),
    [
        ("reproduce", "--only xen"),
        ("host.devices", "--sysfs ."),
        ("host.check", "--ssh x"),
        ("dev.ci", "--part tests"),
    ],
)
def test_older_and_longer_names_mean_the_same(verb: str, words: str) -> None:
    (context,) = Parser(NAMESPACE.to_contexts()).parse_argv([verb, *words.split()])
    given = {argument.name: argument.value for argument in context.args.values()}
    assert words.split()[1] in given.values()


def test_every_module_of_a_verb_is_in_the_catalogue() -> None:
    modules = (ROOT / "builders" / "verbs").glob("*.py")
    verbs = {path.stem.replace("_", "-") for path in modules if "\ndef run(" in path.read_text()}
    assert verbs == set(VERBS)


@pytest.mark.slow
def test_a_verb_that_is_asked_for_help_does_nothing(home: Path) -> None:
    done = invoke(home, "--help", "build-all")
    assert done.returncode == 0
    assert "Docstring:" in done.stdout
    assert not (home / "artifacts").exists()


@pytest.mark.slow
def test_nothing_slow_is_imported_before_it_is_needed() -> None:
    """The options of all verbs, which help and completion show, need none of it."""
    slow = (
        *("docker", "requests", "urllib3", "debian.deb822", "zstandard", "tqdm"),
        *("builders.pipeline", "builders.debkit", "builders.ground"),
    )
    code = (
        "import sys, tasks; from builders.verbs.catalogue import VERBS;"
        "assert all(v.options and v.about for v in VERBS.values());"
        f"print([m for m in {slow!r} if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True, text=True
    )
    assert done.stdout == "[]\n"


@pytest.mark.slow
def test_a_verb_loads_no_other() -> None:
    code = (
        "import sys; from builders import program\ntry: program._run(['recipes'])\n"
        "finally: print([m for m in sys.modules if m.startswith('builders.')])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True, text=True
    )
    loaded = set(ast.literal_eval(done.stdout.splitlines()[-1]))
    assert "builders.verbs.recipes" in loaded
    slow = {"builders.verbs.doctor", "builders.verbs.builds", "builders.pipeline.graph"}
    assert not slow & loaded


@pytest.mark.slow
def test_plain_invoke_says_what_is_no_number_too(home: Path) -> None:
    done = invoke(home, "release", "--keep", "x")
    assert (done.returncode, done.stdout) == (Exit.USAGE, "")
    assert done.stderr.splitlines()[0] == "error: --keep x: not a number"


def invoke(home: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a verb as people do."""
    environment = os.environ | {
        "DOM0_DEBS_ARTIFACTS": str(home / "artifacts"),
        "XDG_CACHE_HOME": str(home / "cache"),
    }
    return subprocess.run(
        [sys.executable, "-m", "invoke", *arguments],
        cwd=ROOT,
        check=False,
        capture_output=True,
        text=True,
        env=environment,
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["build-all", "--recipe", "xen-4.17-bookwrm"], "did you mean xen-4.17-bookworm?"),
        (["build-xen", "-r", "GOOD", "--set", "suit.name=x"], "did you mean suite?"),
        (["build-kernel", "-r", "GOOD", "--flavour", "tiny"], "has no flavour tiny"),
        (["recipes", "--format", "xml"], "--format xml: no such format"),
        (["doctor", "-r", "GOOD", "--format", "xml"], "--format xml: no such format"),
        (["recipes", "--set", "builder.memory=4"], "--set overrides a value of one recipe"),
        (["clean", "--recipe", "no"], "nothing was built"),
        (["check", "-r", "GOOD"], "nothing was built of good"),
        (["install-test", "-r", "GOOD"], "nothing was built of good"),
        (["boot-test", "-r", "GOOD", "--accel", "tcg"], "nothing was built of good"),
        (["finish", "--recipe", "GOOD"], "nothing was built of good"),
        (["release", "-r", "GOOD"], "nothing was built of good"),
        (["diff", "--path", "no", "--path", "such"], "no: no such folder"),
    ],
)
def test_wrong_usage_ends_with_2_and_says_what_next(
    home: Path, arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    given = [str(home / "good.toml") if a == "GOOD" else a for a in arguments]
    with pytest.raises(SystemExit) as caught:
        Program(namespace=Collection.from_module(tasks)).run(["invoke", *given])
    assert caught.value.code == Exit.USAGE
    out, error = capsys.readouterr()
    assert out == ""
    assert error.startswith("error: ")
    assert said in error
    assert "\nnext: " in error


@pytest.mark.slow
def test_explain_without_an_engine(home: Path) -> None:
    done = invoke(home, "build-all", "-r", str(home / "good.toml"), "-f", "minimal", "--explain")
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert done.stdout.splitlines()[0].split() == ["image", "miss", "never", "made"]
    assert "\x1b" not in done.stdout
    assert not (home / "artifacts").exists()


# The recipes


def test_a_recipe_that_is_wrong_hides_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for path in recipe.RECIPES.rglob("*.toml"):
        copy = tmp_path / "recipes" / path.relative_to(recipe.RECIPES)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(path.read_bytes())
    (tmp_path / "recipes" / "bad.toml").write_text("summary = [\n")
    (tmp_path / "recipes" / "worse.toml").write_bytes(b"\xff")
    whole = len(recipe.names())
    monkeypatch.setattr("builders.pipeline.recipe.loading.RECIPES", tmp_path / "recipes")
    monkeypatch.setattr(recipe.load, "__defaults__", ((), tmp_path / "recipes"))
    outcome = recipes.run(recipes.Options())
    found = json.loads(outcome.said("json"))["recipes"]
    assert len(found) == whole + 2
    assert [about["name"] for about in found if "error" in about] == ["bad", "worse"]
    lines = outcome.said("table").splitlines()
    assert [line.split()[1:3] for line in lines if line.startswith(("bad", "worse"))] == [
        ["not", "usable"]
    ] * 2


def test_the_recipes_as_a_table_and_as_json() -> None:
    outcome = recipes.run(recipes.Options())
    found = json.loads(outcome.said("json"))["recipes"]
    assert [about["name"] for about in found] == recipe.names()
    for about in found:
        assert about["default"] == (about["name"] == recipe.DEFAULT)
        assert bool(about["flavours"]) == ("kernel" in recipe.load(about["name"]).targets)
    lines = outcome.said("table").splitlines()
    assert len(lines) == len(found)
    for line, about in zip(lines, found, strict=True):
        assert line.startswith(about["name"])
        assert about["suite"] in line
        assert about["summary"] in line


# A build


def test_a_build_stops_with_what_the_doctor_found(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bad = [Check("engine", FAIL, "no engine", "start one")]
    monkeypatch.setattr(doctor, "examine", lambda *_, **__: bad)
    with pytest.raises(BuildError, match="no engine") as caught:
        builds.build(begin(home), "minimal")
    assert caught.value.exit is Exit.ENGINE
    assert caught.value.hint.startswith("start one; details: ./inv doctor --recipe ")


def test_a_build_goes_on_after_a_warning(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    few = [Check("engine memory", WARN, "little", "take less")]
    monkeypatch.setattr(doctor, "examine", lambda *_, **__: few)
    monkeypatch.setattr(Pipeline, "build", lambda _: [])
    it = begin(home)
    assert builds.build(it, "minimal") == []
    assert isinstance(it.reporter, Heard)
    assert it.reporter.lines == ["warning: engine memory: little: take less"]


def test_what_is_finished_needs_no_doctor(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def examine(*_: object, **__: object) -> None:
        pytest.fail("the doctor was asked")

    monkeypatch.setattr(doctor, "examine", examine)
    monkeypatch.setattr(Pipeline, "ready", lambda _: True)
    monkeypatch.setattr(Pipeline, "build", lambda _: [])
    assert builds.build(begin(home), "minimal") == []


def test_a_shell_needs_a_terminal(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO())
    with pytest.raises(BuildError, match="needs a terminal"):
        builds.build(begin(home), "minimal", shell=True)  # noqa: S604
    with pytest.raises(BuildError, match="needs a terminal"):
        shell.interact(begin(home), shell.Options(target="xen", flavour="minimal"))
    with pytest.raises(BuildError, match="--target no: no such target"):
        VERBS["shell"].run(recipe=str(home / "good.toml"), target="no")


def test_artifacts_lie_below_the_recipes_name(home: Path) -> None:
    it = begin(home, "summary=x")
    assert it.folder == home / "artifacts" / "good"
    assert it.recipe.overrides == ("summary=x",)


def test_the_status_of_the_doctor() -> None:
    assert verb.status([Check("x", WARN, "y")]) == 0
    assert verb.status([Check("source x", FAIL, "y")]) == Exit.SOURCE


# Cleaning


def built(home: Path, name: str) -> Path:
    folder = home / "artifacts" / name
    with run.alone_in(folder):
        (folder / "stages").mkdir()
        (folder / "x.deb").write_text("x")
    return folder


def clean(name: str = "") -> list[str]:
    heard = Heard()
    cleaning.clean(cleaning.Options(recipe=name), heard)
    return heard.lines


def test_clean_removes_one_recipe(home: Path) -> None:
    one, two = built(home, "one"), built(home, "two")
    assert clean("one") == ["one: removed"]
    assert not one.exists()
    assert two.exists()


def test_clean_removes_all_that_is_this_tools(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True)
    monkeypatch.setattr("builtins.input", lambda _: "y")
    one, two = built(home, "one"), built(home, "two")
    (home / "artifacts" / "mine").mkdir()
    clean()
    assert not one.exists()
    assert not two.exists()
    assert (home / "artifacts" / "mine").exists()


def test_clean_takes_a_recipe_by_its_path(home: Path) -> None:
    good = built(home, "good")
    clean(str(home / "good.toml"))
    assert not good.exists()


@pytest.mark.parametrize("name", ["no", ".", "..", "../other", "OTHER", "one/stages"])
def test_clean_removes_nothing_elsewhere(home: Path, name: str) -> None:
    one = built(home, "one")
    other = home / "other"
    with (
        run.alone_in(other),
        run.alone_in(home),
        run.alone_in(home / "artifacts"),
        run.alone_in(one / "stages"),
    ):
        pass
    with pytest.raises(BuildError, match="nothing was built"):
        clean(name.replace("OTHER", str(other)))
    assert one.exists()
    assert other.exists()
    assert (one / "stages").exists()


def test_clean_waits_for_no_run(home: Path) -> None:
    one = built(home, "one")
    with run.alone_in(one), pytest.raises(BuildError, match="another run"):
        clean("one")
    assert (one / "x.deb").exists()


def test_artifacts_that_cannot_be_written(home: Path) -> None:
    (home / "artifacts").write_text("a file is in the way")
    with pytest.raises(BuildError) as caught, begin(home).alone():
        pytest.fail("it ran")
    assert str(home / "artifacts") in caught.value.message
    assert "DOM0_DEBS_ARTIFACTS" in caught.value.hint
