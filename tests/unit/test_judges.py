# SPDX-License-Identifier: GPL-2.0-or-later
"""What lintian and piuparts print, read."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from builders.proofs.trial.judges import Finding, Verdict, complaints, exit_code, layers, tags
from builders.show import trials
from tests.unit import debs

LINTIAN = """\
N: An override with its reason
N:
O: xen-upstream: no-manual-page [usr/bin/xl]
E: xen-upstream: no-copyright-file
W: xen-upstream: non-standard-dir-perm 0700 != 0755 [var/lib/xen/dump/]
I: xen-upstream: spelling-error-in-binary teh the [usr/bin/xl]
E: some-source source: bad-thing
N: 3 tags overridden
"""

PIUPARTS = """\
0m0.0s INFO: piuparts version 1.1.7 starting up.
0m9.1s DEBUG: Starting command: ['chroot', '/t', 'apt-get', 'update']
0m9.3s DUMP:
  Hit:1 file:/ trial/ InRelease
0m20.1s WARN: Broken symlinks:
  /usr/lib/a -> b (pkg)
0m25.0s ERROR: FAIL: Package purging left files on system:
  /etc/left\t not owned
  /var/lib/left/\t not owned

0m25.1s ERROR: FAIL: Installation and purging test.
0m26.0s INFO: PASS: All tests.
"""


def test_every_tag_that_counts_is_read() -> None:
    assert tags(LINTIAN) == [
        Finding("lintian", "overridden", "xen-upstream", "no-manual-page", "[usr/bin/xl]"),
        Finding("lintian", "error", "xen-upstream", "no-copyright-file", ""),
        Finding(
            "lintian",
            "warning",
            "xen-upstream",
            "non-standard-dir-perm",
            "0700 != 0755 [var/lib/xen/dump/]",
        ),
        Finding("lintian", "error", "some-source", "bad-thing", ""),
    ]


def test_a_complaint_of_piuparts_has_what_it_lists() -> None:
    assert complaints(PIUPARTS, "purge", "xen-upstream") == [
        Finding(
            "piuparts",
            "warning",
            "xen-upstream",
            "purge: Broken symlinks",
            "/usr/lib/a -> b (pkg)",
        ),
        Finding(
            "piuparts",
            "error",
            "xen-upstream",
            "purge: Package purging left files on system",
            "/etc/left  not owned\n/var/lib/left/  not owned",
        ),
        Finding("piuparts", "error", "xen-upstream", "purge: Installation and purging test", ""),
    ]


def test_of_a_failed_command_the_end_is_shown_and_of_a_list_the_beginning() -> None:
    said = "".join(f"  line {n}\n" for n in range(50))
    (failed,) = complaints(
        f"0m1.0s ERROR: Command failed (status=100): ['chroot', '/t', 'apt-get']\n{said}", "w", "p"
    )
    assert failed.detail.splitlines()[-2:] == ["line 49", "and 38 more"]
    (listed,) = complaints(f"0m1.0s ERROR: FAIL: left files:\n{said}", "w", "p")
    assert listed.detail.splitlines()[0] == "line 0"


@pytest.mark.parametrize("end", ["\r", "\v", "\f", "\x1c", "\x85", "\u2028", "\n  "])
def test_only_piuparts_own_lines_begin_a_record(end: str) -> None:
    forged = "0m1.0s ERROR: FAIL: forged"
    said = f"0m1.0s DUMP: {end}{forged}\n0m2.0s WARN: real:\n  x{end}{forged}\n"
    (found,) = complaints(said, "purge", "p")
    assert (found.severity, found.tag) == ("warning", "purge: real")


def verdict(*severities: str) -> Verdict:
    found = tuple(Finding("lintian", s, "p", "t", f"d{n}") for n, s in enumerate(severities))
    return Verdict("lintian", "2", 1.23, found, Path("/l/lintian.log"))


def test_only_what_is_not_overridden_makes_it_fail() -> None:
    assert exit_code([verdict("overridden", "overridden")]) == 0
    assert exit_code([verdict("overridden"), verdict("warning")]) == 1
    assert exit_code([verdict("error")]) == 1


def test_people_see_each_kind_once_and_every_overridden_one_is_counted() -> None:
    shown = trials.verdict_rows([verdict("error", "error", "overridden")])
    assert shown[0] == "error: p: t (2 times): d0"
    assert "2 error(s), 0 warning(s), 1 overridden" in shown[-1]
    said = json.loads(trials.verdicts([verdict("error")]).said("json"))
    assert (said["schema"], said["kind"]) == (1, "check")
    assert said["verdicts"][0]["findings"][0]["tag"] == "t"
    assert trials.verdicts_in_brief([verdict("error"), verdict()]) == (
        "lintian: 1 error(s), 0 warning(s); lintian: 0 error(s), 0 warning(s)"
    )


def depending(folder: Path, name: str, **fields: str) -> Path:
    control = {"Package": name, "Version": "1", "Architecture": "all"} | {
        key.replace("_", "-"): value for key, value in fields.items()
    }
    return debs.make(folder / f"{name}.deb", [], control=control)


def test_what_depends_on_another_is_tried_after_it(tmp_path: Path) -> None:
    one = depending(tmp_path, "one", Depends="libc6 (>= 2), one-data | x, two-y", Enhances="two")
    two = depending(tmp_path, "two", Pre_Depends="one:any")
    three = depending(tmp_path, "three", Depends="x |two(= 1)")
    assert layers([one, two, three]) == ([one], [two, three])
    assert layers([two]) == ([two], [])
    four = depending(tmp_path, "four", Depends="five")
    five = depending(tmp_path, "five", Depends="four")
    assert layers([four, five]) == ([four, five], [])
