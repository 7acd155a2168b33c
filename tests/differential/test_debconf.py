# SPDX-License-Identifier: GPL-2.0-or-later
# ruff: noqa: E501  # tables of values
"""`inspect` on debconf's templates, held against the reader of debconf itself."""

from __future__ import annotations

import random
import subprocess
from pathlib import Path

import pytest

from builders.debkit.deb.metadata import read_templates

_GOOD = (
    "Template: x/which\nType: select\nChoices: one, two\nDefault: one\n"
    "Description: Which one?\n There are two.\n .\n  A list.\n"
)
# Reads each file as debconf-loadtemplate(1) does, and says whether it could.
_JUDGE = """\
use Debconf::Log; use Debconf::Db; use Debconf::Template; use Debconf::Question;
{ no warnings; *Debconf::Template::new = sub {
    my ($class, $name, $owner, $type) = @_; die "no name" unless length $name;
    bless { template => $name }, 'Judged' }; }
package Judged; our $AUTOLOAD; sub AUTOLOAD {} package main;
local $SIG{__WARN__} = sub {};
for my $file (@ARGV) {
    my @read = eval { Debconf::Template->load($file, 'owner') };
    print $@ ? "refused" : "taken", "\\n";
}
"""
_FAULTS = (
    _GOOD, "", "\n", "\n\n\n", "# x\n", _GOOD + "\n" + _GOOD, _GOOD + _GOOD, _GOOD + "\n\n" + _GOOD,
    _GOOD + "\n\n\n" + _GOOD,
    "\n\n" + _GOOD, _GOOD + "\n \n" + _GOOD, _GOOD + "\n# x\n\n" + _GOOD, _GOOD.rstrip("\n"),
    _GOOD.replace("Type", "# x\nType"), _GOOD.replace("Type", "\nType"), _GOOD.replace("Type", " \nType"),
    _GOOD.replace("Template:", "Template"), _GOOD.replace("Template: ", "Template:"),
    _GOOD.replace("Template: x/which\n", ""), _GOOD.replace("x/which", ""), _GOOD.replace("x/which", "0"),
    _GOOD.replace("Template", "template"), _GOOD.replace("Template", " Template"), _GOOD.replace("Type", "Own"),
    _GOOD.replace("\n", "\r\n"), "\ufeff" + _GOOD, _GOOD.replace("Type: select\n", "Type: select\nType: note\n"),
    _GOOD + "Description-de.UTF-8: Welche?\n Es gibt zwei.\n", _GOOD + "\tx\n", _GOOD + "x y: z\n", _GOOD + ": z\n",
    _GOOD + ":\n:\n", _GOOD.replace("select", "odd"), _GOOD.replace("Choices: one, two\n", ""), "Template: x\n\n\nx\n",
    _GOOD + "\u00e4: x\n", _GOOD + " \u00e4\n", _GOOD + "\u00a0x\n", _GOOD + "\x0bx\n", _GOOD + "\x1cx\n", _GOOD + "\n\t\n",
)  # fmt: skip
_PIECES = ("\n", " ", "x", ":", "#", "\t", "Template: y\n", "Type: note\n", " .\n", "\n\n", "\r")


def _mutated(number: int) -> str:
    chance = random.Random(number)  # noqa: S311
    text = chance.choice((_GOOD, f"{_GOOD}\n{_GOOD.replace('which', 'other')}"))
    for _ in range(chance.randint(1, 3)):
        at = chance.randint(0, len(text))
        text = text[:at] + chance.choice(_PIECES) + text[at + chance.randint(0, 3) :]
    return text


def test_templates_that_debconf_reads(tmp_path: Path) -> None:
    probe = subprocess.run(
        ["perl", "-MDebconf::Template", "-e", "1"], capture_output=True, check=False
    )
    if probe.returncode:
        pytest.skip("debconf is not installed")
    texts = [*_FAULTS, *map(_mutated, range(1000))]
    paths = []
    for number, text in enumerate(texts):
        paths.append(tmp_path / f"{number}.templates")
        paths[-1].write_bytes(text.encode())
    done = subprocess.run(
        ["perl", "-e", _JUDGE, *map(str, paths)], capture_output=True, text=True, check=True
    )
    verdicts = done.stdout.split()
    assert len(verdicts) == len(texts)
    assert {"taken", "refused"} == set(verdicts)
    for text, verdict in zip(texts, verdicts, strict=True):
        refused = any(fault.refused for fault in read_templates(text.encode())[1])
        assert ("refused" if refused else "taken") == verdict, text
