# SPDX-License-Identifier: GPL-2.0-or-later
from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import pytest

from builders.debkit.corrections import OVERRIDES, WORDS, Corrections
from builders.debkit.deb import Deb
from builders.errors import BuildError
from builders.pipeline import recipe
from builders.show import reports
from builders.verbs import custom
from tests.unit import debs
from tests.unit.debs import Item

RULES = """
revision = "+my1"
services = { tool = "boot" }

[[overrides]]
tag = "no-manual-page"
reason = "Upstream has none."
"""


def own(tmp_path: Path, name: str = "own.deb") -> Path:
    return debs.make(tmp_path / name, [Item("./etc/init.d/tool", b"#!/bin/sh\n", mode=0o755)])


def rules(tmp_path: Path, text: str = RULES) -> Path:
    path = tmp_path / "my.toml"
    path.write_text(text)
    return path


def test_a_package_is_corrected_by_a_file(tmp_path: Path) -> None:
    raw = own(tmp_path)
    before = raw.read_bytes()
    (done,) = custom.correct([raw], rules(tmp_path), tmp_path / "out", None)
    assert done.path == tmp_path / "out/sample_1.0+my1_amd64.deb"
    assert b"update-rc.d tool defaults" in Deb.open(done.path).control_files["postinst"]
    first = done.path.read_bytes()
    custom.correct([raw], rules(tmp_path), tmp_path / "out", None)
    assert done.path.read_bytes() == first
    assert raw.read_bytes() == before
    assert [path.name for path in (tmp_path / "out").iterdir()] == [done.path.name]
    assert str(done.path) in reports.packages([done]).said("table")


@pytest.mark.parametrize(
    ("program", "symbols", "told"),
    [
        (debs.elf(symbols=True), "true", {custom.LEFT_OUT, custom.STAY}),
        (debs.elf(symbols=True), "false", {custom.LEFT_OUT}),
        (debs.elf(), "true", {custom.LEFT_OUT}),
        (debs.elf()[:70], "true", {custom.LEFT_OUT}),
        (b"#!/bin/sh\n", "true", set()),
    ],
)
def test_what_a_builder_would_do_is_told(
    tmp_path: Path, program: bytes, symbols: str, told: set[str]
) -> None:
    items = [
        Item("./etc/init.d/tool", b"#!/bin/sh\n", mode=0o755),
        Item("./usr/bin/x", program),
    ]
    raw = debs.make(tmp_path / "own.deb", items)
    stated = rules(tmp_path, f"symbols = {symbols}\n{RULES}")
    (done,) = custom.correct([raw], stated, tmp_path / "out", None)
    assert {custom.LEFT_OUT, custom.STAY} & set(done.notes) == told


def test_two_packages_never_share_a_file(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    with pytest.raises(BuildError, match=r"two packages would be sample_1\.0\+my1_amd64\.deb"):
        custom.correct(
            [own(tmp_path), own(tmp_path / "b")], rules(tmp_path), tmp_path / "out", None
        )
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("revison = '+1'", r"my.toml: revison: is not a known key \(did you mean revision"),
        ("grub = 'yes'", "my.toml: grub: must be true or false, not a string"),
        ("[[overrides]]\ntag = 'x'", r"my.toml: overrides\[0\].reason: is missing"),
        ("[[overrides]]\ntag = 'x'\nreason = ' '", "without a reason"),
        ("grub = ", "my.toml: not valid TOML: Invalid value"),
        ("services = { absent = 'boot' }", "no unit and no init script absent"),
    ],
)
def test_a_mistake_names_the_key_and_leaves_nothing(tmp_path: Path, text: str, what: str) -> None:
    with pytest.raises(BuildError, match=what) as caught:
        custom.correct([own(tmp_path)], rules(tmp_path, text), tmp_path / "out", None)
    assert caught.value.hint
    assert not (tmp_path / "out").exists()


def test_a_bad_package_after_a_good_one_leaves_nothing(tmp_path: Path) -> None:
    bad = tmp_path / "bad.deb"
    bad.write_bytes(b"!<arch>\n")
    for path in (bad, tmp_path / "absent.deb", tmp_path):
        with pytest.raises(BuildError):
            custom.correct([own(tmp_path), path], rules(tmp_path), tmp_path / "out", None)
    assert not (tmp_path / "out").exists()


def test_what_was_read_is_never_written_over(tmp_path: Path) -> None:
    raw = own(tmp_path, "sample_1.0_amd64.deb")
    with pytest.raises(BuildError, match="would be written over"):
        custom.correct([raw], rules(tmp_path, "grub = true"), tmp_path, None)


def test_the_time_is_the_one_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for wrong in ("soon", "9" * 20, "9" * 5000, "\u0663", "-1", "1.5", "8589934592", "1_0"):
        monkeypatch.setenv("SOURCE_DATE_EPOCH", wrong)
        with pytest.raises(BuildError, match="is no time"):
            custom.correct([own(tmp_path)], rules(tmp_path), tmp_path / "out", None)
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "900000000")
    (done,) = custom.correct([own(tmp_path)], rules(tmp_path), tmp_path / "out", None)
    assert {entry.info.mtime for entry in Deb.open(done.path).index.entries} == {900_000_000}


def test_few_kinds_of_overrides_in_all_recipes() -> None:
    loaded = [recipe.load(name) for name in recipe.names()]
    stated = [o for r in loaded for c in r.finish.values() for o in c.overrides]
    assert len({override.tag for override in stated}) <= OVERRIDES
    assert all(not override.problem() for override in stated)


def test_a_recipe_needs_a_reason_and_few_kinds() -> None:
    with pytest.raises(BuildError, match=r"overrides\[0\].reason: is missing"):
        recipe.load("xen-4.17-bookworm", ['finish.xen.overrides=[{tag="x"}]'])
    many = ",".join(f'{{tag="x{n}",reason="y"}}' for n in range(OVERRIDES + 1))
    with pytest.raises(BuildError, match="overrides 11 kinds"):
        recipe.load("xen-4.17-bookworm", [f"finish.xen.overrides=[{many}]"])


def test_the_document_has_every_verb_and_a_true_example(tmp_path: Path) -> None:
    text = (Path(__file__).parents[2] / "docs/finish.md").read_text(encoding="utf-8")
    rows = " ".join(line.split("|")[1] for line in text.splitlines() if line.startswith("| `"))
    for field in dataclasses.fields(Corrections):
        assert f"`{field.name}`" in rows, field.name
    for word in WORDS:
        assert f"`{word}`" in rows, word
    # Each verb with what it rests on, and none that is no verb.
    tables = [t for t in text.split("\n\n") if "| rests on |" in t]
    stated = [line.strip("| ").split(" | ") for t in tables for line in t.splitlines()[2:]]
    names = {name for row in stated for name in re.findall(r"`(\w+)`", row[0])}
    assert names == {field.name for field in dataclasses.fields(Corrections)}
    assert all(re.search(r"Policy \d|\(\d\w*\)", row[-1]) for row in stated), stated
    example = text.partition("```toml\n")[2].partition("```")[0]
    raw = debs.make(
        tmp_path / "tool.deb",
        [
            Item("./usr/lib/systemd/system/toold.service", b"[Service]\n"),
            Item("./usr/share/tool/tests/one", b"x"),
        ],
    )
    (done,) = custom.correct([raw], rules(tmp_path, example), tmp_path / "out", None)
    paths = {entry.path for entry in Deb.open(done.path).index.entries}
    assert "/etc/default/toold" in paths
    assert "/usr/share/tool/tests/one" not in paths
