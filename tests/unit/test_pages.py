# SPDX-License-Identifier: GPL-2.0-or-later
"""What ./inv says of itself, and of a command line that is wrong."""

from __future__ import annotations

import subprocess

import pytest

from builders import ROOT, program
from builders.errors import BuildError, Exit
from builders.pipeline.recipe import names
from builders.verbs import catalogue, pages
from builders.verbs.catalogue import GROUPS, VERBS


def inv(*words: str) -> subprocess.CompletedProcess[str]:
    """Run ./inv as people do; its environment is made, or these tests would not run."""
    return subprocess.run(
        [str(ROOT / "inv"), *words], capture_output=True, text=True, check=False, cwd=ROOT
    )


def test_the_page_fits_on_a_small_terminal() -> None:
    lines = pages.page().splitlines()
    assert len(lines) <= 23  # of 24: the prompt has the last
    assert max(map(len, lines)) <= 80
    assert [line.split()[1] for line in lines[2:5]] == list(catalogue.FIRST)
    assert all(f" {name}" in pages.page() for name in VERBS)
    assert lines[-1].startswith("Start here: ./inv ")
    assert lines[-1].split()[-1] in names()


def test_the_list_has_every_verb_with_what_it_does() -> None:
    lines = pages.listing().splitlines()
    assert max(map(len, lines)) <= 80
    for name, command in VERBS.items():
        assert f"  {name:<14}{command.summary}" in lines
    assert [line for line in lines if line.endswith(":")] == [
        f"{group.title}{also}:"
        for group in GROUPS
        for also in [
            f" (also {group.collection}.{group.names[0]} and so on)" * bool(group.collection)
        ]
    ]


@pytest.mark.parametrize("name", VERBS)
@pytest.mark.parametrize("width", [60, 80])
def test_the_help_of_a_verb_keeps_to_its_width_and_shows_values(name: str, width: int) -> None:
    text = pages.verb(VERBS[name], width)
    assert max(map(len, text.splitlines())) <= width
    assert text.startswith(f"./inv {name} ")
    for option in VERBS[name].options.values():
        assert pages.flags(option) in text
        if option.kind is not bool:
            assert option.value.isupper() or "[" in option.value
        assert not any(f"--{hidden} " in text for hidden in option.hidden)


def test_help_shows_what_an_option_is_without_it() -> None:
    text = " ".join(pages.verb(VERBS["boot-test"], 80).split())
    assert "--timeout SECONDS" in text
    assert "(default: 120, and more" in text
    assert "(auto, kvm or tcg; default: auto)" in text


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "Start here:"),
        (("help",), "Start here:"),
        (("--help",), "Start here:"),
        (("--list",), "Audit any .deb"),
        (("help", "fetch"), "./inv fetch "),
        (("fetch", "--help"), "./inv fetch "),
        (("--help", "fetch"), "./inv fetch "),
        (("inspect", "a.deb", "-h"), "./inv inspect "),
        (("host.devices", "-h"), "./inv devices "),
        (("help", "dev.ci"), "./inv ci "),
        (("--version",), "dom0-debs "),
    ],
)
def test_what_is_asked_of_the_tool_itself(words: tuple[str, ...], said: str) -> None:
    words = tuple(catalogue.plain(word) for word in words)
    assert said in (program._about(words) or "")


@pytest.mark.parametrize("words", [("fetch",), ("inspect", "a.deb"), ("where", "--help")])
def test_what_is_a_verbs_own(words: tuple[str, ...]) -> None:
    assert program._about(words) is None


def test_help_on_an_unknown_verb() -> None:
    with pytest.raises(BuildError, match="no verb buid-all"):
        program._about(["help", "buid-all"])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "said", "hint"),
    [
        ("buid-all", "there is no verb buid-all (did you mean build-all?)", "./inv --list"),
        ("dev.tset", "there is no verb dev.tset (did you mean test?)", "./inv --list"),
        (
            "fetch --recipie x",
            "fetch has no option --recipie (did you mean --recipe?)",
            "help fetch",
        ),
        ("--nope", "./inv has no option --nope", "./inv --list"),
        # Not Invoke's own of that name.
        (
            "devices --hide x",
            "devices has no option --hide (did you mean --check?)",
            "./inv help devices",
        ),
        ("inspect -f json", "inspect has no option -f", "./inv help inspect"),
        ("fetch --no-setup", "--no-setup comes before the verb", "./inv --no-setup fetch ..."),
        ("--recipe x fetch", "--recipe comes after its verb", "./inv fetch --recipe ..."),
        ("build-all --jobs many", "--jobs many: not a number", "write digits: --jobs 4"),
        (
            "build-all --jobs 99999999999",
            "--jobs 99999999999: a number with more than nine digits",
            "4",
        ),
        (
            "build-all -r xen-4.2-wheezy --jobs=-1",
            "--jobs -1: not from 1 to 4096",
            "0 is every core",
        ),
        (
            "build-all -r xen-4.2-wheezy --jobs 4097",
            "--jobs 4097: not from 1 to 4096",
            "0 is every core",
        ),
        ("build-all --jobs 1.5", "--jobs 1.5: not a whole number", "write digits"),
        ("boot-test --timeout abc", "--timeout abc: not a number", "write digits"),
        ("release --keep x", "--keep x: not a number", "write digits"),
        ("reproduce --seconds 1e9", "--seconds 1e9: not a number", "write digits"),
        ("build-all --jobs", "build-all: --jobs needs a value", "./inv help build-all"),
        ("domu-config", "domu-config needs a NAME", "./inv help domu-config"),
        ("recipes --format xml", "--format xml: no such format", "one of: table, json"),
        ("fetch xen-4.17-bookworm", "fetch takes no word xen-4.17-bookworm", "--recipe xen-4.17"),
        ("fetch x", "fetch takes no word x", "./inv help fetch"),
        # Not a word of the verb, though Invoke would take it for its NAME.
        ("domu-config --flavour x", "domu-config has no option --flavour", "help domu-config"),
        ("completion --shel x", "completion has no option --shel (did you mean --shell?)", "help"),
        ("hlep", "there is no verb hlep (did you mean help?)", "./inv --list"),
        ("BUILD_ALL", "there is no verb BUILD_ALL (did you mean build-all?)", "./inv --list"),
        ("build-all --explain --", "-- may stand before paths alone", "./inv --list"),
        ("domu-config -- x", "-- may stand before paths alone", "./inv --list"),
        ("inspect -- --fast", "--fast: no such file", "name a .deb"),
        ("verify -- --help", "--help: no such folder", "name the folder"),
        ("test --only unit --only no", "--only no: no such part", "one of: lint, unit"),
    ],
)
def test_a_wrong_command_line_is_one_error_and_one_hint(words: str, said: str, hint: str) -> None:
    done = inv(*words.split())
    assert done.returncode == Exit.USAGE
    assert done.stdout == ""
    error, after = done.stderr.splitlines()
    assert error == f"error: {said}"
    assert after.startswith("next: ")
    assert hint in after


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["inspect", ""], "the word after inspect is empty"),
        (["clean", "--old", "--recipe", ""], "the word after --recipe is empty"),
        (["clean", "--old", "--recipe="], "--recipe= has no value"),
        ([""], "the word after ./inv is empty"),
    ],
)
def test_an_empty_word_is_not_one_that_was_left_out(words: list[str], said: str) -> None:
    """A variable of a shell that is unset: `clean --old` would clean every recipe."""
    with pytest.raises(BuildError) as caught:
        program._run(words)
    assert caught.value.message == said
    assert caught.value.exit is Exit.USAGE
    assert "variable of the shell" in caught.value.hint


def test_a_value_of_set_may_end_with_its_equals_sign() -> None:
    program._filled(["build-all", "--set", "suite.security=", "--set=suite.security="])


def test_two_dashes_alone_are_the_first_page(capsys: pytest.CaptureFixture[str]) -> None:
    assert program._run(["--"]) == program._run([]) == Exit.DONE
    out = capsys.readouterr().out
    assert out[: len(out) // 2] == out[len(out) // 2 :]


@pytest.mark.parametrize("name", ["domu-config", "finish", "inspect", "verify", "completion"])
def test_help_tells_of_a_verbs_words_before_its_options(name: str) -> None:
    first = pages.ordered(VERBS[name])[0]
    assert first.required or first.words
