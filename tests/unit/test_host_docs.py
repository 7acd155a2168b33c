# SPDX-License-Identifier: GPL-2.0-or-later
"""Every command for the host and its guests that README.md and docs/ show, typed as it stands."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from builders import ROOT
from builders.host import devices

pytestmark = pytest.mark.slow
PAGES = ("README.md", "docs/host.md", "docs/guest.md")
VERBS = ("devices", "dom0-config", "domu-config")


def commands(page: str) -> list[str]:
    text = (ROOT / page).read_text().replace("\\\n", "")
    found = re.findall(r"^    \./inv ([^>\n]*)", text, re.MULTILINE)  # without where it goes
    return [" ".join(line.split()) for line in found if line.split()[0] in VERBS]


def inv(line: str, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "invoke", "--search-root", str(ROOT), *shlex.split(line)],
        cwd=folder,
        env={**os.environ, "DOM0_DEBS_ARTIFACTS": str(folder / "artifacts"), "COLUMNS": "80"},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("line", sorted({line for page in PAGES for line in commands(page)}))
def test_the_documented_command_runs(line: str, tmp_path: Path) -> None:
    (tmp_path / "host" / "sys" / "bus").mkdir(parents=True)  # of another host, as --sysfs names it
    (tmp_path / "docs").symlink_to(ROOT / "docs")
    done = inv(line, tmp_path)
    assert done.returncode == 0, done.stderr
    if line.startswith("domu-config windows-9"):
        assert done.stdout.count("0000:") == 9
    elif line.startswith("domu-config"):
        assert (tmp_path / "windows-7.cfg").read_text().count("0000:02:00") == 2
    if line.startswith("dom0-config"):
        places = ("artifacts/*/host", "settings")
        (made,) = (d for place in places for d in tmp_path.glob(f"{place}/dom0-config_*_all.deb"))
        assert str(made.relative_to(tmp_path)) in done.stdout  # here
        assert f"apt install ./{made.name}\n" in done.stdout  # on the host


def test_each_page_shows_some() -> None:
    assert {line.split()[0] for line in commands("README.md")} == set(VERBS)
    assert all(commands(page) for page in PAGES)


def test_a_mistake_is_a_usage_error(tmp_path: Path) -> None:
    done = inv("dom0-config --hide 2:0 --dom0-mem 4096", tmp_path)
    assert done.returncode == 2
    assert "no PCI address" in done.stderr
    assert "no unit" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "artifacts").exists()


def test_what_is_collected_of_another_host_is_judged_as_that_host() -> None:
    """As an ordinary user: root reads registers by resource files."""
    page = (ROOT / "docs" / "host.md").read_text()
    begin = page.index("    mkdir host && cp")
    line = page[begin : page.index("\n\n", begin)]
    with tempfile.TemporaryDirectory(dir="/var/tmp") as folder:
        Path(folder).chmod(0o777)
        nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
        command = [*(nobody if os.geteuid() == 0 else []), "sh", "-c", line]
        subprocess.run(command, cwd=folder, check=True)
        assert (Path(folder) / "host.tar.gz").stat().st_size > 1000
        copied = devices.look(Path(folder) / "host" / "sys", ())
    here = devices.look(Path("/sys"), ())
    assert [(d.bdf, d.driver, d.verdict, d.why) for d in copied.devices] == [
        (d.bdf, d.driver, d.verdict, d.why) for d in here.devices
    ]
