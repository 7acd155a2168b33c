# SPDX-License-Identifier: GPL-2.0-or-later
"""Text of a package that made patterns take quadratic or cubic time: all of it in 20 s.

`python -m tests.fuzz.patterns` looks for such text.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast

import pytest

from builders.debkit.audit.facts import Facts
from builders.debkit.audit.rules import depends, elf, paths, scripts
from builders.debkit.deb import relations
from builders.debkit.finish import documents, libraries, services
from builders.debkit.finish import relations as relations_of_finish
from builders.debkit.finish.work import Work
from builders.text import passages

_START = "# Automatically added by dh_installinit\n"
_LICENSE = b"GNU GENERAL PUBLIC LICENSE Version 2, June 1991\n"


def _entries(path: str) -> Facts:
    return cast(Facts, SimpleNamespace(entries=[SimpleNamespace(path=path)] * 100))


def _leftover(path: str) -> list[str]:
    return [found.subject for found in paths._leftover_file(_entries(path))]


def _sections(script: str) -> dict[str, bytes]:
    work = SimpleNamespace(control_file=lambda _: script.encode(), control_files={})
    services._take_over(cast(Work, work), {"foo.service"})
    return cast(dict[str, bytes], work.control_files)


def _libraries(soname: str) -> list[str]:
    return libraries._shlibs([soname], cast(Work, SimpleNamespace(version="1-1", name="foo")))


@pytest.mark.parametrize(
    ("call", "result"),
    [
        (lambda: relations._VERSIONED.fullmatch("(" + "\t" * 100_000), None),
        (lambda: _leftover("/a" + "/." * 2000), []),
        (lambda: _leftover("/a/.git/b" + "/.libs" * 600), ["/a/.git"]),
        (lambda: scripts._stops("\n" * 1_000_000), False),
        (lambda: scripts._stops("\n" * 1_000_000 + "set -eu"), True),
        (lambda: elf._triggers(_triggers("\n" * 1_000_000)), False),
        (lambda: _sections(_START * 25_000), {}),
        (lambda: documents._without_gpl(b" " * 1_000_000), b" " * 1_000_000),
        (lambda: documents._without_gpl(_LICENSE * 20_000), _LICENSE * 20_000),
        (lambda: _libraries("a" + "-1." * 2000 + ".so"), []),
        (lambda: depends._spare(["lib" + "1" * 300_000 + "+"], [])["1"], 0),
        (lambda: relations_of_finish._is_library("lib" + "1" * 100_000 + "+"), False),
    ],
)
def test_hostile_text(call: Callable[[], Any], result: object) -> None:
    begun = time.process_time()
    assert call() == result
    assert time.process_time() - begun < 20


def _triggers(text: str) -> Facts:
    return cast(Facts, SimpleNamespace(files={"triggers": text.encode()}))


def test_a_passage_ends_at_the_next_end() -> None:
    text = "a<b<c>d>e<f"
    assert [text[i:j] for i, j in passages(text, re.compile("<"), ">")] == ["<b<c>"]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("libaio1", True),
        ("libssl1.1t64", True),
        ("libfoo1g", True),
        ("lib1abc", False),
        ("libfoo", False),
        ("foo1", False),
    ],
)
def test_the_package_of_a_library(name: str, expected: bool) -> None:
    assert relations_of_finish._is_library(name) is expected


def test_the_license_makes_way_for_a_reference() -> None:
    whole = b"Before.\n  " + _LICENSE + b"terms\nEND OF TERMS AND CONDITIONS\nAfter.\n"
    said = b"Before.\n" + documents._GPL_IS + b"\nAfter.\n"
    assert documents._without_gpl(whole) == said
    advice = b"\n\n How to Apply These Terms to Your New Programs\n"
    cut = whole.replace(b"\nAfter.\n", advice + b"After.\n")
    assert documents._without_gpl(cut) == b"Before.\n" + documents._GPL_IS
