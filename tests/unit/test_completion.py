# SPDX-License-Identifier: GPL-2.0-or-later
"""What may stand where the cursor is, and what bash, zsh and fish make of it."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from builders import ROOT
from builders.debkit.audit import RULES
from builders.pipeline import recipe
from builders.pipeline.recipe import files
from builders.verbs import completion
from builders.verbs.candidates import FILES, candidates, keys
from builders.verbs.catalogue import VERBS

pytestmark = pytest.mark.slow

BOOKWORM = "xen-4.17-bookworm"


def words(line: str) -> list[str]:
    return [word for word, _ in candidates(line.split(" "))]


def test_every_verb_with_what_it_does() -> None:
    found = dict(candidates([""]))
    assert {name: found[name] for name in VERBS} == {n: c.summary for n, c in VERBS.items()}
    assert "help" in found
    assert words("build-") == ["build-all", "build-xen", "build-kernel"]
    assert words("dev.") == ["dev.test", "dev.bench", "dev.ci"]
    assert words("help ver") == ["verify"]
    assert words("no ") == []
    assert candidates([]) == candidates([""])


@pytest.mark.parametrize("name", VERBS)
def test_every_flag_of_a_verb_and_no_hidden_one(name: str) -> None:
    options = VERBS[name].options.values()
    flags = {o.flag for o in options if not (o.required or o.words)}
    assert set(words(f"{name} --")) == {*flags, "--help"}


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("build-all --recipe xen-4.17-b", [BOOKWORM]),
        ("build-all -r xen-4.17-b", [BOOKWORM]),
        ("build-all --recipe=xen-4.17-b", [f"--recipe={BOOKWORM}"]),
        (f"build-all --recipe {BOOKWORM} --flavour m", ["minimal"]),
        (f"build-all -r {BOOKWORM} -f m", ["minimal"]),
        (f"build-all --flavour=m --recipe={BOOKWORM} --flavour=m", ["--flavour=minimal"]),
        ("build-all --recipe no --flavour ", []),
        ("shell --target ", ["xen", "kernel"]),
        ("farm s", ["status", "scheduler"]),
        ("shell --tree ", ["xen=", "linux="]),
        ("build-all --tree x", ["xen="]),
        ("inspect --fail-on w", ["warning"]),
        ("inspect --suite book", ["bookworm"]),
        ("inspect a.deb --explain md5", [name for name in RULES if name.startswith("md5")]),
        ("host.devices --fo", ["--format"]),
        ("completion ", list(completion.SHELLS)),
        ("build-all --jobs ", []),
        ("fetch --again --ag", []),
        ("fetch --set a=b --se", ["--set"]),
    ],
)
def test_values(line: str, found: list[str]) -> None:
    assert words(line) == found


@pytest.mark.parametrize(
    "line",
    [
        "inspect ",
        "inspect a",
        "verify ",
        "finish x.deb --rules ",
        "fetch --recipe ./",
        "inspect --baseline=x",
    ],
)
def test_paths_are_left_to_the_shell(line: str) -> None:
    assert FILES in candidates(line.split(" "))


@pytest.mark.parametrize("name", recipe.names())
def test_the_keys_of_set_are_those_that_a_recipe_takes(name: str) -> None:
    loaded = recipe.load(name)
    found = [key for key, _ in keys(loaded)]
    assert {"suite.name", "builder.packages", "summary"} <= set(found)
    assert not {"name", "overrides"} & set(found)
    assert words(f"fetch --recipe {name} --set builder.pa") == ["builder.packages="]
    for key in found:
        raw = files.read(files.RECIPES / f"{name}.toml", (), {})
        files.apply(raw, f"{key}=1", {})  # BuildError where a table of it is not there


# In the shells

BASH = """
source <(./inv completion bash)
COMP_LINE=$1 COMP_POINT=${#1}
read -ra COMP_WORDS <<<"$(sed 's/[=:]/ & /g' <<<"$1")"  # as readline splits it
[[ $1 != *[[:space:]] ]] || COMP_WORDS+=('')
COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
_dom0_debs_inv 2>/dev/null
printf '%s\\n' "${COMPREPLY[@]}"
"""
# What zsh's own functions are handed, without a terminal.
ZSH = """
source <(./inv completion zsh)
compadd() { print -rl -- "${(@P)@[-1]}" }
_files() { print FILES }
compset() { true }
words=(${(s: :)1}) CURRENT=${#words}
_dom0_debs_inv
"""


def shell(*command: str) -> str:
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return done.stdout


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("./inv build-a", ["build-all"]),
        ("./inv fetch --recipe xen-4.17-b", [BOOKWORM]),
        ("./inv fetch --recipe=xen-4.17-b", [BOOKWORM]),
        (f"./inv fetch --recipe {BOOKWORM} --set sources.xen.v", ["sources.xen.version="]),
        ("./inv inspect README", ["README.md"]),
        ("./inv recipes --s", ["--show", "--suite", "--set"]),
    ],
)
def test_bash(line: str, found: list[str]) -> None:
    assert shell("bash", "-c", BASH, "-", line).splitlines() == found


@pytest.mark.skipif(not shutil.which("fish"), reason="needs fish")
@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("./inv build-a", "build-all"),
        ("./inv fetch --recipe=xen-4.17-b", f"--recipe={BOOKWORM}"),
        ("./inv inspect README", "README.md"),
        ("./inv inspect --baseline=README", "--baseline=README.md"),
    ],
)
def test_fish(line: str, found: str) -> None:
    script = f"./inv completion fish | source; complete -C '{line}'"
    (candidate,) = shell("fish", "-N", "-c", script).splitlines()
    assert candidate.partition("\t")[0] == found


@pytest.mark.skipif(not shutil.which("zsh"), reason="needs zsh")
@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("./inv build-a", "build-all"),
        ("./inv fetch --recipe=xen-4.17-b", f"--recipe={BOOKWORM}"),
        ("./inv inspect READ", "FILES"),
        (f"./inv fetch -r {BOOKWORM} --set sources.xen.v", "sources.xen.version="),
    ],
)
def test_zsh(line: str, found: str) -> None:
    assert shell("zsh", "-f", "-c", ZSH, "-", line).split() == [found]


def test_completion_makes_no_environment(tmp_path: Path) -> None:
    """A key that is pressed in a new checkout installs nothing."""
    for name in ("inv", "requirements.lock"):
        shutil.copy(ROOT / name, tmp_path)
    done = subprocess.run(
        [str(tmp_path / "inv"), "--complete", "--", ""], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert not (tmp_path / ".venv").exists()
