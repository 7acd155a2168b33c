# SPDX-License-Identifier: GPL-2.0-or-later
"""The pipeline on a real engine, with tiny sources."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from builders import ROOT
from builders.errors import BuildError, Exit
from builders.pipeline.run import Run
from builders.verbs import builds

from .conftest import FILES, Box, Daemon

Listed = Callable[[], list[str]]


def debs(box: Box) -> list[str]:
    return sorted(p.name for p in (box.artifacts / "tiny").glob("*.deb"))


def half_made(box: Box) -> list[Path]:
    folder = box.artifacts / "tiny"
    return [*folder.glob("stages/*/.making-*"), *folder.glob(".*.new")]


def control(path: Path) -> str:
    return subprocess.run(
        ["dpkg-deb", "-f", str(path)], check=True, capture_output=True, text=True
    ).stdout


def wait_for(condition: Callable[[], object], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.1)


def test_both_packages_come_out_finished(box: Box, containers: Listed) -> None:
    made = builds.build(box.run(), "minimal")

    assert debs(box) == sorted(p.path.name for p in made)
    xen = next(p for p in made if p.package == "xen-upstream")
    fields = control(xen.path)
    assert re.search(r"^Depends:.*\blibc6 \(>= ", fields, re.MULTILINE)
    assert re.search(r"^Depends:.*\bzlib1g\b", fields, re.MULTILINE)
    assert "Version: 9.9.1+dom0.1" in fields
    listing = subprocess.run(
        ["dpkg-deb", "-c", str(xen.path)], check=True, capture_output=True, text=True
    ).stdout
    assert "./boot/xen-9.9.1.gz" in listing
    assert "./boot/xen.gz" not in listing
    # What the build printed as the date is the source's, not the clock's.
    text = subprocess.run(
        ["sh", "-c", f"dpkg-deb --fsys-tarfile {xen.path} | tar -xO ./etc/xen/xl.conf"],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    assert "2020" in text
    assert containers() == []
    assert half_made(box) == []
    manifest = json.loads((box.artifacts / "tiny" / "manifest.json").read_text())
    assert set(manifest["targets"]) == {"xen", "kernel-minimal"}


def test_nothing_to_do_asks_no_engine(box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    first = builds.build(box.run(), "minimal")
    before = [p.path.stat().st_mtime_ns for p in first]

    def no_engine(_self: Run) -> None:
        pytest.fail("an engine was asked for")

    monkeypatch.setattr(Run, "client", property(no_engine))
    again = builds.build(box.run(), "minimal")

    assert [p.path.stat().st_mtime_ns for p in again] == before
    assert {s.state for s in builds.explain(box.run(), "minimal")} == {"hit"}


def test_explain_names_the_input_that_changed(box: Box) -> None:
    builds.build(box.run(), "minimal")
    box.xen_build = "make  debball"
    box.write()

    states = {s.stage: s for s in builds.explain(box.run(), "minimal")}

    assert (states["xen-build"].state, states["xen-build"].why) == ("miss", "changed: script build")
    assert states["kernel-minimal-build"].state == "hit"
    assert states["xen-finish"].state == "unknown"


def test_what_was_built_last_is_current_though_it_is_older(box: Box) -> None:
    for n, letter in enumerate("aba"):
        override = f"xen.files={{note='{letter}'}}"
        given = ("--set", override, "--set", f"finish.xen.revision=+{letter}")
        tool = box.tool("build-all", "--flavour", "minimal", *given)
        said, _ = tool.communicate(timeout=120)
        assert tool.returncode == 0, said
        assert ("xen-build: done in" in said) == (n < 2)
    first = debs(box)
    assert any("+a_" in name for name in first)
    for verb in (("finish",), ("inspect", "--fail-on", "never"), ("clean", "--old")):
        options = () if verb[0] == "clean" else ("--set", FILES)
        done = box.run_tool(*verb, *options)
        assert done.returncode == 0, done.stdout
        assert debs(box) == first
    assert "tiny: removed 2 replaced output(s)" in done.stdout
    assert "+a" in box.run_tool("finish", "--set", FILES).stdout
    shutil.rmtree(box.artifacts / "tiny")
    for reader in ("check", "install-test", "boot-test"):
        done = box.run_tool(reader, "--set", FILES)
        assert done.returncode == Exit.USAGE
        assert "nothing was built of tiny" in done.stdout
        assert "next: ./inv build-all --recipe" in done.stdout


def test_the_step_container_is_shut_in(box: Box) -> None:
    box.xen_build = """
    { id -u; hostname; umask; ulimit -n; date +%Z; locale | head -n 1; ls /sys/class/net
      grep -E '^(Cap|NoNewPrivs)' /proc/self/status; test -t 1 && echo tty
      grep -vE ' / | /(proc|sys|dev)| /etc/(resolv.conf|hostname|hosts) ' /proc/mounts
      getent hosts debian.org && echo resolved; env | cut -d= -f1; } >/tmp/seen || true
    cat /tmp/seen; make debball"""
    box.write()

    builds.build(box.run(), "minimal", ["xen"])

    log = (box.artifacts / "tiny" / "logs" / "xen-build.log").read_text()
    seen = [line for line in log.splitlines() if not line.startswith("+")]
    at = seen.index("1000")
    assert seen[at : at + 7] == ["1000", "builder", "0022", "16384", "UTC", "LANG=C.UTF-8", "lo"]
    rights = {line.split()[0]: line.split()[1] for line in seen[at + 7 : at + 13]}
    assert rights["NoNewPrivs:"] == "1"
    assert {v for k, v in rights.items() if k.startswith("Cap")} == {"0000000000000000"}
    mounts = [line for line in seen if re.match(r"^\S+ /\S* \w+ r[wo],", line)]
    assert [m.split()[1] for m in mounts] == ["/ccache"]
    assert "resolved" not in seen
    assert "tty" not in seen


def test_a_failed_step_says_why_and_leaves_nothing_half_made(box: Box, containers: Listed) -> None:
    box.xen["xl.c"] = "int main(void) { return missing_thing; }\n"
    box.write()

    with pytest.raises(BuildError) as caught:
        builds.build(box.run(), "minimal")

    error = caught.value
    assert error.exit == Exit.STEP
    assert error.message == "xen-build: build failed with status 2"
    assert "missing_thing" in error.excerpt
    assert error.log is not None
    assert "missing_thing" in error.log.read_text()
    assert containers() == []
    assert half_made(box) == []


def test_an_option_that_kconfig_drops_is_named(box: Box) -> None:
    box.kernel["Makefile"] = box.kernel["Makefile"].replace("DROPPED", "XEN_PCIDEV_BACKEND=")
    box.write()

    with pytest.raises(BuildError) as caught:
        builds.build(box.run(), "minimal", ["kernel"])

    assert "CONFIG_XEN_PCIDEV_BACKEND: dom0.config asks for y" in caught.value.message
    assert caught.value.exit == Exit.STEP


def test_a_container_that_is_killed(box: Box, containers: Listed) -> None:
    box.xen_build = "sleep 300"
    box.write()
    run = box.run()
    killer = subprocess.Popen(
        [
            "sh",
            "-c",
            f"find_it() {{ docker ps -q -f label=org.dom0-debs.owner={run.owner}; }}\n"
            'until test -n "$(find_it)"; do sleep 0.2; done; sleep 1; docker kill $(find_it)',
        ],
        stdout=subprocess.DEVNULL,
    )

    with pytest.raises(BuildError) as caught:
        builds.build(run, "minimal", ["xen"])

    killer.wait(30)
    assert caught.value.exit == Exit.ENGINE
    assert "stopped from outside" in caught.value.message
    assert containers() == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_cleanly_and_the_next_run_goes_on(
    box: Box, containers: Listed, number: signal.Signals
) -> None:
    box.xen_build = "sleep 300"
    box.write()
    tool = box.tool("build-all", "--flavour", "minimal")
    kernel_done = box.artifacts / "tiny" / "stages" / "kernel-minimal-finish"
    wait_for(lambda: list(kernel_done.glob("[!.]*")))

    tool.send_signal(number)

    output, _ = tool.communicate(timeout=60)
    assert tool.returncode == 128 + number, output
    assert "what is finished is kept" in output
    assert containers() == []
    assert half_made(box) == []
    box.xen_build = "make debball"
    box.write()
    tool = box.tool("build-all", "--flavour", "minimal")
    output, _ = tool.communicate(timeout=120)
    assert tool.returncode == 0, output
    assert "kernel-minimal-build: done before" in output
    assert len(debs(box)) == 2


def test_kill_9_leaves_nothing_compiling(box: Box, containers: Listed) -> None:
    box.xen_build = "sleep 300"
    box.write()
    tool = box.tool("build-xen")
    wait_for(lambda: any("running" in c for c in containers()))
    log = box.artifacts / "tiny" / "logs" / "xen-build.log"
    wait_for(lambda: log.exists() and b"+ sleep 300" in log.read_bytes())

    os.killpg(tool.pid, signal.SIGKILL)
    tool.communicate()

    wait_for(lambda: not any("running" in c for c in containers()), 15)
    box.xen_build = "make debball"
    box.write()
    builds.build(box.run(), "minimal", ["xen"])
    assert containers() == []
    assert half_made(box) == []
    assert len(debs(box)) == 1


def test_two_runs_at_once_do_not_share_artifacts(box: Box) -> None:
    with box.run().alone(), pytest.raises(BuildError, match="another run"):
        builds.build(box.run(), "minimal")


def test_a_remote_engine(box: Box, second: Daemon, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", second.host)

    made = builds.build(box.run(), "minimal")

    assert len(made) == 2
    assert all(p.path.is_file() for p in made)


def test_a_daemon_that_dies_and_comes_back(
    box: Box, second: Daemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_HOST", second.host)
    builds.build(box.run(), "minimal", ["kernel"])
    box.xen_build = "sleep 300"
    box.write()
    tool = box.tool("build-all", "--flavour", "minimal")
    log = box.artifacts / "tiny" / "logs" / "xen-build.log"
    wait_for(lambda: log.exists() and b"+ sleep 300" in log.read_bytes())

    second.kill()

    output, _ = tool.communicate(timeout=60)
    assert tool.returncode == Exit.ENGINE, output
    second.start()
    box.xen_build = "make debball"
    box.write()
    made = builds.build(box.run(), "minimal")
    assert len(made) == 2
    assert half_made(box) == []


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small disk takes root")
def test_a_full_disk_below_the_artifacts(box: Box, containers: Listed) -> None:
    box.artifacts.mkdir()
    subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=300m", "tmpfs", str(box.artifacts)], check=True
    )
    try:
        box.xen["Makefile"] += "\ttruncate -s 400M dist/xen-upstream-9.9.1.deb\n"
        box.write()
        with pytest.raises(BuildError) as caught:
            builds.build(box.run(), "minimal", ["xen"])
        assert "space" in caught.value.message
        assert "room" in caught.value.hint or "space" in caught.value.hint
        assert half_made(box) == []
        assert debs(box) == []
        assert containers() == []
    finally:
        subprocess.run(["umount", str(box.artifacts)], check=True)


@pytest.mark.skipif(os.geteuid() != 0, reason="taking the network away takes root")
def test_with_everything_cached_no_network_is_needed(box: Box) -> None:
    assert box.tool("build-all", "--flavour", "minimal").communicate()[0]
    shutil.rmtree(box.artifacts / "tiny")

    done = subprocess.run(
        [
            "unshare",
            "--net",
            str(ROOT / "inv"),
            "build-all",
            "--flavour",
            "minimal",
            "--recipe",
            str(box.recipe),
            "--set",
            FILES,
        ],
        env=box.environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stdout
    assert "xen-build: done in" in done.stdout
    assert len(debs(box)) == 2


def test_a_step_that_wants_too_much_memory(box: Box) -> None:
    box.xen_build = "head -c 3000000000 /dev/zero | tail"
    box.extra = "[builder]\nmemory = 1\n"
    box.write()

    with pytest.raises(BuildError) as caught:
        builds.build(box.run(), "minimal", ["xen"])

    assert "more than the 1 GiB of memory" in caught.value.message
    assert "builder.memory=2" in caught.value.hint


def test_both_builds_together_take_no_more_than_their_job_slots(box: Box) -> None:
    # Each rule notes when it began and ended, in the volume that both builds have.
    rules = "".join(
        f"job{n}:\n\t@echo $$(date +%s.%N) begin; sleep 0.5; echo $$(date +%s.%N) end\n"
        for n in range(8)
    )
    jobs = " ".join(f"job{n}" for n in range(8))
    box.xen["Makefile"] += f"jobs: {jobs}\n{rules}"
    box.kernel["Makefile"] += f"jobs: {jobs}\n{rules}"
    box.xen_build, box.kernel_build = "make jobs debball", "make jobs; make bindeb-pkg"
    box.write()
    run = box.run()
    run.jobs = 3

    builds.build(run, "minimal")

    events = []
    for name in ("xen", "kernel-minimal"):
        log = (box.artifacts / "tiny" / "logs" / f"{name}-build.log").read_text()
        events += re.findall(r"^(\d+\.\d+) (begin|end)$", log, re.MULTILINE)
    assert len(events) == 32
    most = now = 0
    for _, what in sorted((float(at), what) for at, what in events):
        now += 1 if what == "begin" else -1
        most = max(most, now)
    assert most == 3
