# SPDX-License-Identifier: GPL-2.0-or-later
from __future__ import annotations

import dataclasses
import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builders.errors import BuildError, Exit, Interrupted
from builders.progress import Silent
from builders.proofs.boot import guests, hvm, machine, parts, prove, qemu
from builders.proofs.boot.checks import Boot, Check, answers, checks
from builders.proofs.boot.modules import Module
from builders.proofs.boot.parts import Parts
from builders.proofs.boot.qemu import Card, Console, Machine, Multiboot
from builders.show import boots
from builders.verbs import boot_test
from builders.verbs.option import options

if TYPE_CHECKING:
    from builders.pipeline.run import Run

pytestmark = pytest.mark.slow
PARTS = Parts(Path("xen"), Path("linux"), Path("initrd"), "4.17.5", "6.1.192-dom0-minimal")
GOOD = """\
(XEN) Xen version 4.17.5 (builder@localdomain) (gcc) debug=n Mon Jan 1 00:00:00 UTC 2024
@@dom0
@@begin uname
6.1.192-dom0-minimal
@@end uname 0
@@begin info
host                   : (none)
(XEN) a line of the hypervisor between
xen_version            : 4.17.5
@@end info 0
@@begin list
Name                                        ID   Mem VCPUs\tState\tTime(s)
Domain-0                                     0   512     2     r-----       3.3
@@end list 0
@@begin option
CONFIG_XEN_PCIDEV_BACKEND=y
@@end option 0
@@begin assignable
0000:00:04.0
@@end assignable 0
@@begin hidden
pciback
@@end hidden 0
@@begin other
e1000
@@end other 0
@@off
reboot: Power down"""


def console(text: str = GOOD, **changes: object) -> Console:
    made = Console(tuple(text.split("\n")), 0, 7.0)
    return dataclasses.replace(made, **changes)  # type: ignore[arg-type]


def failing(it: Console, parts: Parts = PARTS) -> set[str]:
    return {check.name for check in checks(it, parts) if not check.good}


def test_modules_have_to_be_loaded_where_there_are_any() -> None:
    modular = dataclasses.replace(PARTS, drivers=(Module("xenfs", b"", ()),))
    assert failing(console(), modular) == {"modules are loaded"}
    loaded = GOOD.replace("@@begin uname", "@@begin modules\n@@end modules 0\n@@begin uname")
    assert failing(console(loaded), modular) == set()
    refused = loaded.replace("@@end modules 0", "insmod: can't insert\n@@end modules 1")
    assert failing(console(refused), modular) == {"modules are loaded"}


@pytest.mark.parametrize(
    ("package", "hypervisor"),
    [
        ("4.17.5+dom0.1", "4.17.5"),
        ("1:4.2.0-1", "4.2.0"),
        ("4.20.4-pre+dom0.1", "4.20.4-pre"),
        ("4.21.0-rc2+dom0.1", "4.21.0-rc2"),
        ("4.22-unstable+dom0.1", "4.22-unstable"),
    ],
)
def test_what_the_hypervisor_of_a_package_says_of_itself(package: str, hypervisor: str) -> None:
    assert parts._upstream(package) == hypervisor


def test_a_console_on_which_all_holds() -> None:
    assert failing(console()) == set()


def test_xl_of_4_2_tells_the_version_in_parts() -> None:
    parted = "xen_major              : 4\nxen_minor              : 2\nxen_extra              : .0"
    said = GOOD.replace("xen_version            : 4.17.5", parted)
    (info,) = (check for check in checks(console(said), PARTS) if check.name == "xl info")
    assert (info.good, info.seen) == (True, "4.2.0")


@pytest.mark.parametrize(
    ("old", "new", "fails"),
    [
        ("Xen version 4.17.5 (", "Xen version 4.17.4 (", "hypervisor"),
        ("6.1.192-dom0-minimal\n", "6.1.192\n", "dom0"),
        ("@@end info 0", "@@end info 1", "xl info"),
        ("xen_version ", "xen ", "xl info"),
        ("Domain-0", "Domain-1", "xl list"),
        ("BACKEND=y", "BACKEND=m", "kernel option"),
        ("0000:00:04.0\n", "", "hidden card is assignable"),
        ("0000:00:04.0\n", "0000:00:05.0\n", "hidden card is assignable"),
        ("pciback\n", "e1000\n", "hidden card's driver"),
        ("\ne1000\n", "\npciback\n", "other card's driver"),
        ("@@off\n", "", "power-off"),
    ],
)
def test_each_check_fails_where_it_has_to(old: str, new: str, fails: str) -> None:
    assert old in GOOD
    assert failing(console(GOOD.replace(old, new))) == {fails}


def test_a_machine_that_was_ended_did_not_power_off() -> None:
    assert failing(console(status=None, why="time")) == {"power-off"}
    assert failing(console(status=1)) == {"power-off"}


def test_an_empty_console_fails_everything() -> None:
    assert len(failing(console(""))) == 9


@given(st.lists(st.text(max_size=30) | st.sampled_from(GOOD.split("\n"))))
def test_any_console_is_read(lines: list[str]) -> None:
    for answer in answers(lines).values():
        assert answer.status >= 0
    assert len(checks(Console(tuple(lines), 0, 1.0), PARTS)) == 9


def test_a_control_is_good_where_just_what_must_fail_fails() -> None:
    made = tuple(Check(name, name != "b", "") for name in "abc")
    log = Path("x.log")
    assert Boot("c", made, 1.0, log, frozenset("b")).good
    assert not Boot("c", made, 1.0, log, frozenset("a")).good
    assert not Boot("c", made, 1.0, log, frozenset("bc")).good
    assert not Boot("c", made, 1.0, log).good
    told = boots.boots([Boot("c", made, 1.0, log, frozenset("a"))]).said("table")
    assert "HOLDS, and must not" in told
    assert "FAILS" in told
    assert "x.log" in told


def test_the_command_line_of_the_machine(tmp_path: Path) -> None:
    start = Multiboot(
        tmp_path / "xen",
        tmp_path / "vm,linuz",
        tmp_path / "initrd",
        "dom0_mem=512M",
        "a=1,2 console=hvc0",
    )
    machine = Machine(start, "tcg")
    command = machine.command()
    assert [Path(command[0]).name, *command[1:3]] == ["setpriv", "--pdeathsig", "KILL"]
    assert command[command.index("-append") + 1] == "dom0_mem=512M"
    # A comma would begin the next module.
    modules = command[command.index("-initrd") + 1]
    assert modules == f"{tmp_path}/vm,,linuz a=1,,2 console=hvc0,{tmp_path}/initrd"


def test_a_card_is_put_in_on_the_bus_or_behind_a_root_port() -> None:
    assert Card("0000:00:04.0", "e1000").words() == ["-device", "e1000,addr=04.0"]
    port, card = (
        "-device pcie-root-port,id=p000002000,addr=07.0,chassis=2",
        "e1000,bus=p000002000",
    )
    words = Card("0000:02:00.0", "e1000", "07.0").words()
    assert words == [*port.split(), "-device", card]
    plugged = Card("0000:02:00.0", "e1000", "07.0", "tftp=/x").words()
    assert plugged[2:4] == ["-netdev", "user,id=n000002000,restrict=on,tftp=/x"]
    assert plugged[-1] == f"{card},netdev=n000002000"


def test_several_cards_are_hidden() -> None:
    options = machine.Options(hide="0000:01:00.0 0000:02:00.0")
    assert options.command_line.endswith(" xen-pciback.hide=(0000:01:00.0)(0000:02:00.0)")
    assert "hide" not in machine.Options(hide="").command_line
    assert machine.Options().meant == ("0000:00:04.0",)
    several = GOOD.replace("pciback\n", "pciback\npciback\n")
    several = several.replace("0000:00:04.0\n", "0000:01:00.0\n0000:02:00.0\n")
    cards = ("0000:01:00.0", "0000:02:00.0")
    both = {"hidden card is assignable", "hidden card's driver"}
    assert {c.name for c in checks(console(several), PARTS, cards) if not c.good} == set()
    assert {
        c.name for c in checks(console(several), PARTS, (*cards, "0000:03:00.0")) if not c.good
    } == both


# A machine of the tests' own: it says and does what a real one might.


@dataclasses.dataclass(frozen=True)
class Script(Machine):
    script: str = ""

    def command(self) -> list[str]:
        return [*super().command()[:3], sys.executable, "-uc", self.script]


def play(
    script: str,
    tmp_path: Path,
    *,
    timeout: float = 30,
    stop: threading.Event | None = None,
) -> Console:
    start = Multiboot(Path(), Path(), Path(), "", "")
    scripted = Script(start, "tcg", script=script)
    return qemu.run(
        scripted,
        tmp_path / "logs" / "boot.log",
        timeout=timeout,
        lost=machine.LOST,
        watch=lambda _: None,
        stop=stop or threading.Event(),
    )


def test_the_console_is_kept_as_it_is_and_shown_without_escapes(tmp_path: Path) -> None:
    it = play(r"print('\x1b[1;31mred\x1b[0m\r\nplain \x07bell')", tmp_path)
    assert it.lines == ("red", "plain  bell")
    assert it.status == 0
    assert b"\x1b[1;31m" in (tmp_path / "logs" / "boot.log").read_bytes()


def test_a_machine_that_hangs_is_ended_at_the_limit(tmp_path: Path) -> None:
    begun = time.monotonic()
    it = play("print('begun'); import time; time.sleep(60)", tmp_path, timeout=1)
    assert time.monotonic() - begun < 10
    assert (it.status, it.why, it.lines) == (None, "time", ("begun",))


def test_a_panic_is_told_at_once(tmp_path: Path) -> None:
    begun = time.monotonic()
    it = play("print('(XEN) Panic on CPU 0:'); import time; time.sleep(60)", tmp_path)
    assert time.monotonic() - begun < 10
    assert "Panic" in it.why


def test_a_machine_that_never_stops_talking_is_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(qemu, "LIMIT", 1 << 20)
    assert play("while True: print('x' * 1000)", tmp_path).why == "output"


def test_a_stop_ends_the_machine(tmp_path: Path) -> None:
    stop = threading.Event()
    threading.Timer(0.5, stop.set).start()
    with pytest.raises(Interrupted):
        play("import time; time.sleep(60)", tmp_path, stop=stop)


def test_no_machine_outlives_the_tool(tmp_path: Path) -> None:
    script = (
        "import threading; from pathlib import Path\n"
        "from tests.unit.test_boot import play\n"
        f"play('import os, time; print(os.getpid()); time.sleep(99)', Path({str(tmp_path)!r}))\n"
    )
    tool = subprocess.Popen([sys.executable, "-c", script], cwd=Path(__file__).parents[2])
    log = tmp_path / "logs" / "boot.log"
    deadline = time.monotonic() + 30
    while not (log.exists() and log.read_text().strip()):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    machine = int(log.read_text())
    os.kill(tool.pid, signal.SIGKILL)
    tool.wait()
    while time.monotonic() < deadline:
        stat = Path(f"/proc/{machine}/stat")
        if not stat.exists() or stat.read_text().rpartition(")")[2].split()[0] == "Z":
            return
        time.sleep(0.05)
    pytest.fail("it still runs")


@pytest.mark.parametrize(
    ("it", "told"),
    [
        (console("x", why="time", status=None), "did not get to its end in 9 s"),
        (console("x", why="output", status=None), "said too much"),
        (console("x", why="Kernel panic - not syncing", status=0), "Kernel panic - not syncing"),
        (console("x", status=1), "ended early, with status 1"),
    ],
)
def test_errors_say_why_and_show_the_tail(it: Console, told: str) -> None:
    error = machine.lost("boot", it, Path("boot.log"), 9)
    assert told in error.message
    assert error.excerpt == "x"
    assert error.log == Path("boot.log")
    assert error.hint
    assert error.exit is Exit.STEP


def test_an_accelerator_that_is_not_to_be_had(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(qemu, "_KVM", tmp_path / "kvm")
    assert qemu.accelerator("auto") == "tcg"
    with pytest.raises(BuildError, match="this machine has none") as error:
        qemu.accelerator("kvm")
    assert "--accel tcg" in error.value.hint
    with pytest.raises(BuildError, match=re.escape("--accel hax")):
        qemu.accelerator("hax")
    (tmp_path / "kvm").touch()
    assert qemu.accelerator("auto") == "kvm"
    assert qemu.accelerator("tcg") == "tcg"


def test_the_verb_says_how_long_it_waits() -> None:
    usual = options(boot_test.Options)["timeout"].help
    assert f"default: {prove.TIMEOUT:.0f}, and more" in usual


def test_a_slow_machine_is_waited_for_longer() -> None:
    assert prove.later(0, 1) == prove.TIMEOUT
    assert prove.later(0, 20) > 2 * prove.later(0, 6) > 2 * prove.TIMEOUT
    assert prove.later(50, 20) == 50


def test_the_verb_has_each_kind_of_guest() -> None:
    assert set(boot_test.GUESTS) == {*guests.KINDS, hvm.KIND}


@pytest.mark.parametrize(("accel", "emulated"), [("auto", True), ("kvm", False)])
def test_a_first_boot_that_does_not_get_to_its_end_with_kvm_is_emulated(
    monkeypatch: pytest.MonkeyPatch, accel: str, emulated: bool
) -> None:
    tried: list[str] = []

    def checked(*words: object) -> Boot:
        tried.append(str(words[5]))
        if words[5] == "kvm":
            raise machine.lost("boot", console("x", why="time", status=None), Path("boot.log"), 9)
        return Boot("boot", (), 1.0, Path("boot.log"))

    monkeypatch.setattr(qemu, "accelerator", lambda _: "kvm")
    monkeypatch.setattr(prove, "_checked", checked)
    run = cast("Run", SimpleNamespace(reporter=Silent()))
    if emulated:
        assert prove._first(run, cast("Parts", None), accel, 9)[0] == "tcg"
        assert tried == ["kvm", "tcg"]
    else:
        with pytest.raises(BuildError, match="did not get to its end"):
            prove._first(run, cast("Parts", None), accel, 9)
        assert tried == ["kvm"]
