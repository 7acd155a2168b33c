# SPDX-License-Identifier: GPL-2.0-or-later
"""What the recipes of Xen 4.2.0 correct in the script that ends the guests with the host."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from builders import ROOT
from builders.pipeline.recipe import load

PATH = "/etc/init.d/xendomains"
RAW = ROOT / "tests/fixtures/rehearsal/xen/tools/misc/init/xendomains"
# Each guest is a file of its name with its number in it; what was asked for is in $guests/../said.
# As xm of 4.2.0: the long options are its own.
XM = """#!/bin/sh
cd "$guests" || exit 1
echo "xm $*" >>../said
case "$1 $2" in
    'list -l')
        printf '(domain\\n    (domid 0)\\n    (name Domain-0)\\n)\\n'
        for name in *; do
            printf '(domain\\n    (domid %s)\\n    (name %s)\\n)\\n' "$(cat $name)" $name
        done ;;
    'shutdown --all') rm -f -- * ;;
    'shutdown '*) test "$3 $4" = '--halt --wait' && rm -f -- $(grep -lx "$2" *) ;;
esac
"""
# As xl of 4.2.0: all of list -l is one line. shutdown has -w and -F; for any other option it prints
# its help, and ends with 0.
XL = """#!/bin/sh
cd "$guests" || exit 1
echo "xl $*" >>../said
case "$1 $2" in
    'list -l')
        for name in *; do printf '{"domid":%s,"name":"%s"}' "$(cat $name)" $name; done; echo ;;
    'list ')
        echo 'Name ID Mem VCPUs State Time(s)'; echo 'Domain-0 0 512 2 r----- 9.0'
        for name in *; do echo "$name $(cat $name) 128 1 -b---- 1.0"; done ;;
    'shutdown '*)
        shift; number=
        for word; do
            case $word in
                -w) ;;
                -*) echo 'Usage: xl [-v] shutdown [options] <Domain>'; exit 0 ;;
                *) number=$word ;;
            esac
        done
        rm -f -- $(grep -lx "$number" * 2>/dev/null) ;;
esac
"""


def script(*, corrected: bool) -> str:
    """The script of the stand-in, with the recipe's corrections."""
    text = RAW.read_text()
    for one in load("xen-4.2-wheezy").finish["xen"].replace:
        if corrected and one.path == PATH and one.old in text:
            text = text.replace(one.old, one.new)
    return text


def stopped(
    folder: Path, tool: str, settings: str, *, corrected: bool = True
) -> tuple[list[str], list[str]]:
    """The guests that are left after a stop, and what was asked of the toolstack."""
    guests = folder / "guests"
    guests.mkdir()
    for number, name in enumerate(("first", "second"), start=3):
        (guests / name).write_text(f"{number}\n")
    programs = folder / "bin"
    programs.mkdir()
    for name, text in (("xl", XL), ("xm", XM if tool == "xm" else "#!/bin/sh\nexit 1\n")):
        (programs / name).write_text(text)
        (programs / name).chmod(0o755)
    (folder / "settings").write_text(settings)
    (folder / "said").touch()
    text = script(corrected=corrected).replace("/etc/default/xendomains", str(folder / "settings"))
    text = text.replace(". /lib/lsb/init-functions\n", "")
    subprocess.run(
        ["bash", "-c", text, "xendomains", "stop"],
        env={"PATH": f"{programs}:{os.environ['PATH']}", "guests": str(guests)},
        check=True,
        capture_output=True,
        timeout=60,
    )
    asked = [line for line in (folder / "said").read_text().splitlines() if "shutdown" in line]
    return sorted(path.name for path in guests.iterdir()), asked


EACH = 'XENDOMAINS_SHUTDOWN="--halt --wait"\nXENDOMAINS_SHUTDOWN_ALL=""\n'
ALL = 'XENDOMAINS_SHUTDOWN=""\nXENDOMAINS_SHUTDOWN_ALL="--all --halt --wait"\n'


@pytest.mark.parametrize("tool", ["xm", "xl"])
@pytest.mark.parametrize("settings", [EACH, ALL], ids=["each", "all"])
def test_every_guest_is_shut_down(tmp_path: Path, tool: str, settings: str) -> None:
    left, asked = stopped(tmp_path, tool, settings)
    assert left == []
    assert all(line.startswith(f"{tool} ") for line in asked)


@pytest.mark.parametrize(
    ("settings", "said"), [(EACH, []), (ALL, ["xl shutdown --all --halt --wait"])]
)
def test_upstreams_script_shuts_nothing_down_under_xl(
    tmp_path: Path, settings: str, said: list[str]
) -> None:
    left, asked = stopped(tmp_path, "xl", settings, corrected=False)
    assert left == ["first", "second"]
    assert asked == said


@pytest.mark.parametrize(("corrected", "times"), [(True, 1), (False, 2)])
def test_each_guest_of_xm_is_asked_once(tmp_path: Path, corrected: bool, times: int) -> None:
    _, asked = stopped(tmp_path, "xm", EACH, corrected=corrected)
    assert asked.count("xm shutdown 3 --halt --wait") == times
    assert asked[-1] == "xm shutdown 4 --halt --wait"


def test_who_wants_no_shutdown_gets_none(tmp_path: Path) -> None:
    left, asked = stopped(tmp_path, "xl", EACH.replace("--halt --wait", ""))
    assert left == ["first", "second"]
    assert asked == []
