# SPDX-License-Identifier: GPL-2.0-or-later
"""Readers of what a stranger's package says: right by the letter, and quick whatever it is."""

from __future__ import annotations

import contextlib
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from builders.debkit.deb.architectures import architecture_fault, names
from builders.debkit.deb.control import parse_control
from builders.debkit.deb.error import DebError
from builders.debkit.deb.metadata import read_conffiles, read_md5sums, read_templates, read_triggers
from builders.debkit.deb.relations import read_relations
from builders.debkit.deb.scripts import code_lines, interpreter, open_documents
from builders.versions import parsed_version, version_fault

_MIB = 1 << 20


@pytest.mark.slow
@given(st.binary(max_size=300))
@settings(max_examples=200)
def test_no_bytes_end_a_reader(data: bytes) -> None:
    for reader in (read_conffiles, read_md5sums, read_triggers, read_templates):
        reader(data)
    program = interpreter(data)
    if program is not None:
        program.fault()
    text = data.decode("latin-1")
    read_relations("Depends", text)
    version_fault(text)
    parsed_version(text)
    architecture_fault(text)
    with contextlib.suppress(DebError):
        parse_control(data)


@pytest.mark.slow
@pytest.mark.parametrize(
    "piece",
    [
        "a",
        "1.",
        "(",
        "a (>= 1), ",
        "| ",
        "$((",
        "'<",
        "<<E ",
        "[ x ",
        "\n x",
        " ",
        "\0",
        "#!/ ",
        "{a",
    ],
)
def test_a_mebibyte_of_anything_is_read_at_once(piece: str) -> None:
    text = (piece * (_MIB // len(piece)))[:_MIB]
    begun = time.process_time()
    read_relations("Depends", text)
    version_fault(text)
    parsed_version(text)
    list(code_lines(text))
    open_documents(text)
    data = text.encode()
    interpreter(b"#!" + data)
    for reader in (read_conffiles, read_md5sums, read_triggers, read_templates):
        reader(data)
    with contextlib.suppress(DebError):
        parse_control(b"Package: " + data + b"\n")
    assert time.process_time() - begun < 10


@pytest.mark.parametrize(
    ("older", "newer"), [("1.0~rc1", "1.0"), ("1:1", "2:0"), ("+1:1", "1:2"), ("1.0", "1.0-1")]
)
def test_versions_are_compared_as_dpkg_does(older: str, newer: str) -> None:
    one, other = parsed_version(older), parsed_version(newer)
    assert one is not None
    assert other is not None
    assert one < other


def test_versions_that_are_none() -> None:
    for text in ("", "a1", "1_0", "1-", ":1", "1:", "-1:1", "\u0663.1", "99999999999:1", "1 2"):
        assert version_fault(text), text
        assert parsed_version(text) is None
    assert version_fault("1" * 5000) == ""
    assert parsed_version("1" * 5000) is None  # too long to be compared


def test_the_tables_of_dpkg() -> None:
    for name in ("amd64", "x32", "kfreebsd-amd64", "musl-linux-armhf", "loong64", "mint-m68k"):
        assert name in names()
    for name in ("any", "linux-any", "all", "source", "aarch64", "linux-amd64", "musl-amd64"):
        assert name not in names()


@pytest.mark.slow
def test_templates_without_end_are_read_at_once() -> None:
    one = "Template: a/{}\nType: text\nDescription: x\n\n"
    data = "".join(one.format(n) for n in range(100_000)).encode()
    begun = time.process_time()
    names, faults = read_templates(data)
    assert (len(names), faults) == (100_000, [])
    assert time.process_time() - begun < 10


def test_a_template_of_too_many_fields_is_not_read_on() -> None:
    fields = "".join(f"Description-l{n}: x\n" for n in range(10_001))
    names, faults = read_templates(f"Template: a/b\nType: text\n{fields}\nx\n".encode())
    assert names == []
    assert [fault.refused for fault in faults] == [False]
    assert "more than 10000 fields" in faults[0].message
