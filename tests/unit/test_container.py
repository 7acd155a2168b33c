# SPDX-License-Identifier: GPL-2.0-or-later
from __future__ import annotations

import errno
import io
import os
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import docker.errors
import pytest
import requests
import urllib3
from docker import DockerClient
from hypothesis import given, settings
from hypothesis import strategies as st

from builders.errors import BuildError, Exit, Interrupted
from builders.ground.engine import container, transfer
from builders.ground.engine.container import BUILDER, Container, Limits, Place
from builders.ground.engine.failures import engine_errors
from builders.ground.engine.labels import labels
from builders.ground.engine.live import Live
from builders.ground.engine.log import excerpt
from tests.unit.containers import Archives, Client, Played, tar


def container_of(client: Client, live: Live | None = None, **options: Any) -> Container:
    """A container of the stand-in."""
    return Container(
        cast("DockerClient", client),
        "image",
        "xen-build",
        labels=labels("me", "tiny", "xen-build"),
        live=live or Live(),
        **options,
    )


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """The stand-in never needs time to notice what happened."""
    monkeypatch.setattr(container, "time", SimpleNamespace(sleep=lambda _: None))


# What it may do


def test_a_build_has_no_rights_no_network_and_limits() -> None:
    client = Client()
    container_of(client, limits=Limits(4, 100, 1024), volumes={"dom0-debs-ccache": "/ccache"})
    ((image, command), options) = client.created[0]
    assert image == "image"
    assert command[0] == "sh"
    assert options["user"] == str(BUILDER)
    assert options["cap_drop"] == ["ALL"]
    assert options["security_opt"] == ["no-new-privileges"]
    assert options["network_mode"] == "none"
    assert options["mem_limit"] == "4g"
    assert options["pids_limit"] == 100
    assert [dict(limit) for limit in options["ulimits"]] == [
        {"Name": "nofile", "Soft": 1024, "Hard": 1024}
    ]
    assert options["tty"] is False
    assert options["hostname"] == "builder"
    assert options["environment"]["TZ"] == "UTC"
    assert options["labels"] == {
        "org.dom0-debs.owner": "me",
        "org.dom0-debs.recipe": "tiny",
        "org.dom0-debs.role": "xen-build",
    }
    assert options["volumes"] == {"dom0-debs-ccache": {"bind": "/ccache", "mode": "rw"}}
    assert "privileged" not in options


def test_another_place_has_its_own_user_and_folder() -> None:
    client = Client()
    place = Place("elsewhere", "somebody", 4321, "/srv/x")

    def body(path: str) -> bytes:
        return tar([(path.rpartition("/")[2], f"root of {path[-6:]}\n".encode())])

    with Archives(body) as server:
        client.api.base_url = server.url
        with container_of(client, place=place) as it:
            it.put("/srv/x/in", [("a", b"")])
            it.run("true", log=io.BytesIO())
    assert client.created[0][1]["hostname"] == "elsewhere"
    assert client.created[0][1]["user"] == str(BUILDER)  # only what waits for the end
    assert client.execs[0][1]["user"] == "4321"
    made = unpacked(iter([client.put["/"]]))
    assert made["etc/passwd"][1].endswith(b"wd\nsomebody:x:4321:4321::/home/somebody:/bin/sh\n")
    assert made["etc/group"][1].endswith(b"up\nsomebody:x:4321:\n")
    assert (made["etc/passwd"][0].uid, made["etc/passwd"][0].mode) == (0, 0o644)
    for folder in ("home/somebody", "srv/x"):
        info = made[folder][0]
        assert (info.isdir(), info.uid, info.gid, info.mode) == (True, 4321, 4321, 0o755)
    assert unpacked(iter([client.put["/srv/x/in"]]))["a"][0].uid == 4321


def test_apt_has_a_network_and_is_root() -> None:
    client = Client()
    container_of(client, network=True, root=True)
    options = client.created[0][1]
    assert options["user"] == "root"
    assert options["network_mode"] is None
    assert options["environment"]["HOME"] == "/root"


# Its life


def test_it_is_always_removed() -> None:
    client = Client()
    with container_of(client):
        assert client.events == ["attach", "start"]
    assert client.events == ["attach", "start", "close", "remove"]


def test_one_that_does_not_start_is_removed() -> None:
    client = Client(start_fails=docker.errors.APIError("no", None, "no such runtime"))
    with pytest.raises(BuildError, match="no such runtime") as caught, container_of(client):
        pytest.fail("it did start")
    assert caught.value.exit is Exit.ENGINE
    assert client.events[-1] == "remove"


def test_it_is_removed_after_a_failure_inside() -> None:
    client = Client()
    with pytest.raises(KeyboardInterrupt), container_of(client):
        raise KeyboardInterrupt
    assert client.events[-1] == "remove"


def test_a_stop_kills_what_runs_and_what_comes_later() -> None:
    client, live = Client(), Live()
    with container_of(client, live) as it:
        live.stop()
        assert client.events[-1] == "kill"
        with pytest.raises(Interrupted):
            it.run("make", log=io.BytesIO())
    assert client.execs == []
    late = Client()
    with container_of(late, live):
        assert "kill" in late.events


def test_a_stop_while_a_script_runs_interrupts_it() -> None:
    live = Live()

    def chunks() -> Iterator[bytes]:
        yield b"compiling\n"
        live.stop()
        yield b"dying\n"

    client = Client(lambda _: Played(chunks(), None))
    log = io.BytesIO()
    with pytest.raises(Interrupted), container_of(client, live) as it:
        it.run("make", log=log)
    assert log.getvalue() == b"compiling\ndying\n"
    assert "kill" in client.events


# Scripts


def test_a_script_gives_its_output_and_status() -> None:
    client = Client(lambda _: Played([b"one\ntw", b"o\nthr", b"ee"], 7))
    log, seen = io.BytesIO(), list[str]()
    with container_of(client) as it:
        status = it.run(
            "make", log=log, watch=seen.append, folder="/build/tree", environment={"JOBS": "2"}
        )
    assert status == 7
    assert log.getvalue() == b"one\ntwo\nthree"
    assert seen == ["one", "two"]
    command, options = client.execs[0]
    assert command[:2] == ["sh", "-ec"]
    assert command[2].endswith("\nmake")
    assert (options["workdir"], options["environment"]) == ("/build/tree", {"JOBS": "2"})
    assert options["user"] == str(BUILDER)


@pytest.mark.slow
@given(st.lists(st.binary(max_size=20), max_size=8))
def test_the_log_has_every_byte(chunks: list[bytes]) -> None:
    log, seen = io.BytesIO(), list[str]()
    with container_of(Client(lambda _: Played(chunks))) as it:
        it.run("x", log=log, watch=seen.append)
    whole = b"".join(chunks)
    assert log.getvalue() == whole
    assert set(seen) <= {line.decode("utf-8", "replace") for line in whole.split(b"\n")}


@pytest.mark.parametrize(
    "client",
    [
        Client(lambda _: Played(status=None)),
        Client(lambda _: Played(status=137), state={"Running": False}),
        Client(lambda _: Played(), gone=True),
    ],
)
def test_a_container_that_was_stopped_from_outside(client: Client) -> None:
    with (
        container_of(client) as it,
        pytest.raises(BuildError, match="stopped from outside") as caught,
    ):
        it.run("make", log=io.BytesIO())
    assert caught.value.exit is Exit.ENGINE
    assert caught.value.hint


@pytest.mark.parametrize(
    ("events", "gib"),
    [
        (b"low 0\nhigh 0\nmax 7\noom 3\noom_kill 2\noom_group_kill 0\n", 8),
        (b"low 0\nhigh 0\nmax 7\noom 0\noom_kill 0\noom_group_kill 0\n", 0),
        (b"oom_kill_disable 0\nunder_oom 0\noom_kill 1\n", 8),
        (b"oom_kill_disable 1\nunder_oom 0\noom_kill 0\n", 0),
        (b"oom_kill_disable 1\nunder_oom 0\n", 0),
        (b"", 0),
    ],
)
def test_starved_tells_the_limit_only_where_it_was_met(events: bytes, gib: int) -> None:
    with container_of(Client(lambda _: Played([events]))) as it:
        assert it.starved() == gib


def test_starved_does_not_know_where_the_engine_is_gone() -> None:
    with container_of(Client(gone=True)) as it:
        assert it.starved() == 0


# Files in


def unpacked(chunks: Iterator[bytes]) -> dict[str, tuple[tarfile.TarInfo, bytes]]:
    found = {}
    with tarfile.open(fileobj=io.BytesIO(b"".join(chunks)), mode="r") as it:
        for member in it:
            stream = it.extractfile(member)
            found[member.name] = (member, stream.read() if stream else b"")
    return found


def test_files_and_bytes_go_in_as_one_tar(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"file")
    client = Client()
    with container_of(client) as it:
        it.put("/build/in/xen", [("a.tar.gz", tmp_path / "x"), ("sub/b", b"bytes"), ("c", b"")])
    found = unpacked(iter([client.put["/build/in/xen"]]))
    assert {name: content for name, (_, content) in found.items()} == {
        "a.tar.gz": b"file",
        "sub/b": b"bytes",
        "c": b"",
    }
    for info, _ in found.values():
        assert (info.mode, info.uid, info.gid) == (0o644, BUILDER, BUILDER)


def test_root_puts_files_as_root() -> None:
    client = Client()
    with container_of(client, root=True) as it:
        it.put("/etc/apt", [("sources.list", b"deb x")], mode=0o600)
    ((info, _),) = unpacked(iter([client.put["/etc/apt"]])).values()
    assert (info.mode, info.uid) == (0o600, 0)


def test_a_large_file_is_streamed(tmp_path: Path) -> None:
    path = tmp_path / "large"
    with path.open("wb") as out:
        out.truncate(9 * (1 << 20) + 5)  # sparse
    sizes = [len(chunk) for chunk in transfer.tar([("large", path)], 0o644, 0)]
    assert sum(sizes) % tarfile.BLOCKSIZE == 0
    assert max(sizes) <= 1 << 20
    found = unpacked(transfer.tar([("large", path)], 0o644, 0))
    assert len(found["large"][1]) == path.stat().st_size


@pytest.mark.slow
@settings(max_examples=50)
@given(
    st.dictionaries(
        st.text("abc-_.+é/", min_size=1, max_size=150).filter(lambda n: n.strip("/.") == n),
        st.binary(max_size=1200),
        max_size=4,
    )
)
def test_any_names_and_sizes_are_read_back(files: dict[str, bytes]) -> None:
    found = unpacked(transfer.tar(files.items(), 0o644, 0))
    assert {name: content for name, (_, content) in found.items()} == files


@pytest.mark.parametrize("change", [-1, 1])
def test_a_file_that_changes_while_it_is_read_is_detected(tmp_path: Path, change: int) -> None:
    path = tmp_path / "x"
    path.write_bytes(b"x" * 5000)
    chunks = transfer.tar([("x.tar", path)], 0o644, 0)
    next(chunks)  # the header, which says how much comes
    os.truncate(path, 5000 + change)
    with pytest.raises(BuildError, match=r"x\.tar changed while it was read"):
        list(chunks)


def test_a_file_that_is_gone_is_not_blamed_on_the_engine(tmp_path: Path) -> None:
    with container_of(Client()) as it, pytest.raises(BuildError) as caught:
        it.put("/build", [("x", tmp_path / "gone")])
    assert str(tmp_path / "gone") in caught.value.message
    assert "on this machine" in caught.value.message


# Files out


def link(name: str, target: str) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = tarfile.SYMTYPE, target
    return info


def fetched(body: bytes, into: Path, **how: Any) -> list[Path]:
    client = Client()
    with Archives(body, **how) as server, container_of(client) as it:
        client.api.base_url = server.url
        taken = it.fetch("/build/out", into)
    assert server.asked == ["/v1.41/containers/xen-build/archive?path=%2Fbuild%2Fout"]
    return taken


@pytest.mark.parametrize("chunked", [False, True])
def test_files_come_out(tmp_path: Path, chunked: bool) -> None:
    content = os.urandom(300_000)
    body = tar([("out/b_1%3a2_amd64.deb", content), ("out/a+~1.deb", b"a"), ("out/epoch", b"1\n")])
    taken = fetched(body, tmp_path, chunked=chunked)
    assert taken == [tmp_path / n for n in ("a+~1.deb", "b_1%3a2_amd64.deb", "epoch")]
    assert taken[1].read_bytes() == content


def odd(name: str, kind: bytes) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type = kind
    return info


@pytest.mark.parametrize(
    ("member", "said"),
    [
        ("out/../../evil.deb", "folder"),
        ("../evil.deb", "lies elsewhere"),
        ("out/..", "a name that is not taken"),
        ("out/.hidden", "a name that is not taken"),
        ("out/stage.json", "a name that is not taken"),
        ("out/sub/deep.deb", "lies in, a folder"),
        ("out/new\nline.deb", "a name that is not taken"),
        ("out/semi;colon", "a name that is not taken"),
        ("out/\u202edeb.x", "a name that is not taken"),
        ("out/" + "a" * 250, "a name that is not taken"),
        ("out/\udcff", "a name that is not taken"),
        (link("out/link.deb", "/etc/passwd"), "is no plain file"),
        (odd("out/hard.deb", tarfile.LNKTYPE), "is no plain file"),
        (odd("out/sub", tarfile.DIRTYPE), "a folder"),
        (odd("out/disk", tarfile.BLKTYPE), "is no plain file"),
        (odd("out/zero", tarfile.CHRTYPE), "is no plain file"),
        (odd("out/pipe", tarfile.FIFOTYPE), "is no plain file"),
    ],
)
def test_what_a_container_must_not_write_is_an_error(
    tmp_path: Path, member: str | tarfile.TarInfo, said: str
) -> None:
    into = tmp_path / "into"
    into.mkdir()
    body = tar([("out/good.deb", b"good"), (member, b"evil" if isinstance(member, str) else b"")])
    with pytest.raises(BuildError) as caught:
        fetched(body, into)
    assert caught.value.exit is Exit.STEP
    assert said in caught.value.message
    assert caught.value.message.isprintable()
    assert [path.name for path in into.iterdir()] == ["good.deb"]
    assert [path.name for path in tmp_path.iterdir()] == ["into"]


def test_what_else_lies_there_may_be_passed_over(tmp_path: Path) -> None:
    folder, lock = odd("out/partial", tarfile.DIRTYPE), odd("out/lock", tarfile.FIFOTYPE)
    body = tar([("out/good", b"good"), (folder, b""), ("out/partial/x", b""), (lock, b"")])
    client = Client()
    with Archives(body) as server, container_of(client) as it:
        client.api.base_url = server.url
        assert it.fetch("/build/out", tmp_path, plain=False) == [tmp_path / "good"]


@pytest.mark.parametrize("bound", ["_FILES", "_BYTES"])
def test_too_much_to_collect_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bound: str
) -> None:
    monkeypatch.setattr(container, bound, {"_FILES": 3, "_BYTES": 3000}[bound])
    with pytest.raises(BuildError, match=r"more than .* are there"):
        fetched(tar([(f"out/{n}", b"x" * 1000) for n in range(4)]), tmp_path)
    assert len(list(tmp_path.iterdir())) == 3


def test_output_without_an_end_ends_the_script() -> None:
    def endless() -> Iterator[bytes]:
        while True:
            yield b"again\n" * 1000

    client, log = Client(lambda _: Played(endless())), io.BytesIO()
    with (
        container_of(client) as it,
        pytest.raises(BuildError, match="output grew over 1 MiB") as caught,
    ):
        it.run("yes again", log=log, limit=1 << 20)
    assert caught.value.exit is Exit.STEP
    assert "kill" in client.events
    assert len(log.getvalue()) <= 1 << 20


@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize("cut", [100, 512, 5000, 20000])
def test_an_engine_that_goes_away_half_way(tmp_path: Path, cut: int, chunked: bool) -> None:
    body = tar([("out/x.deb", os.urandom(30_000))])
    with pytest.raises(BuildError, match="the engine went away") as caught:
        fetched(body, tmp_path, cut=cut, chunked=chunked)
    assert caught.value.exit is Exit.ENGINE


def test_an_engine_that_is_not_there() -> None:
    with container_of(Client()) as it, pytest.raises(BuildError, match="went away") as caught:
        it.read("/build/tree/.config")
    assert caught.value.exit is Exit.ENGINE


def test_a_full_disk_of_this_machine_is_told_apart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", str(tmp_path / "x.deb"))

    monkeypatch.setattr("builders.ground.engine.container.shutil.copyfileobj", full)
    with pytest.raises(BuildError, match="No space left on device on this machine") as caught:
        fetched(tar([("out/x.deb", b"x")]), tmp_path)
    assert str(tmp_path / "x.deb") in caught.value.message


def test_one_file_is_read_up_to_its_limit() -> None:
    client = Client()
    with Archives(tar([(".config", b"CONFIG_X=y\n")])) as server, container_of(client) as it:
        client.api.base_url = server.url
        assert it.read("/build/tree/.config") == b"CONFIG_X=y\n"
        assert it.read("/build/tree/.config", 6) == b"CONFIG"


def test_a_link_is_not_read_as_a_file() -> None:
    client = Client()
    body = tar([(link(".config", "/etc/shadow"), b"")])
    with Archives(body) as server, container_of(client) as it:
        client.api.base_url = server.url
        with pytest.raises(BuildError, match="is not a file") as caught:
            it.read("/build/tree/.config")
    assert caught.value.exit is Exit.STEP


def test_what_the_engine_says_of_a_missing_path_is_shown() -> None:
    client = Client()
    with Archives(b'{"message": "Could not find the file /x"}') as server:
        server.status = 404
        client.api.base_url = server.url
        with container_of(client) as it, pytest.raises(BuildError) as caught:
            it.read("/x")
    assert "the engine refused: Could not find the file /x" in caught.value.message


# Errors


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (docker.errors.APIError("x", None, "no such image"), "the engine refused: no such image"),
        (docker.errors.ImageNotFound("404 not found"), "the engine refused: 404 not found"),
        (
            docker.errors.APIError("x", None, "write /var/lib: no space left on device"),
            "no space left on the engine's disk",
        ),
        (docker.errors.DockerException("gone"), "the engine went away (DockerException: gone)"),
        (requests.ConnectionError("refused"), "the engine went away (ConnectionError"),
        (requests.ReadTimeout("slow"), "the engine went away (ReadTimeout"),
        (ConnectionResetError(104, "reset"), "the engine went away (ConnectionResetError"),
        (BrokenPipeError(32, "pipe"), "the engine went away (BrokenPipeError"),
        (urllib3.exceptions.ProtocolError("x"), "the engine went away (ProtocolError"),
        (tarfile.ReadError("unexpected end"), "the engine went away (ReadError"),
        (OSError(errno.ENOSPC, "No space left on device"), "No space left on device on this mach"),
        (PermissionError(errno.EACCES, "no", "/x/y"), "/x/y: no on this machine"),
    ],
)
def test_what_the_client_raises_becomes_an_error_to_act_on(error: Exception, said: str) -> None:
    with pytest.raises(BuildError) as caught, engine_errors("xen-build"):
        raise error
    assert caught.value.message.startswith("xen-build: ")
    assert said in caught.value.message
    assert caught.value.hint
    assert caught.value.exit is Exit.ENGINE


@pytest.mark.parametrize("error", [BuildError("x"), Interrupted(), KeyboardInterrupt(), KeyError()])
def test_other_errors_go_through(error: BaseException) -> None:
    with pytest.raises(type(error)) as caught, engine_errors("x"):
        raise error
    assert caught.value is error


# Excerpts


@pytest.fixture
def log(tmp_path: Path) -> Callable[[str | bytes], Path]:
    def write(text: str | bytes) -> Path:
        path = tmp_path / "log"
        path.write_bytes(text.encode() if isinstance(text, str) else text)
        return path

    return write


Log = Callable[[str | bytes], Path]


def numbered(count: int, **errors: str) -> list[str]:
    lines = [f"line {n}" for n in range(1, count + 1)]
    for at, text in errors.items():
        lines[int(at.removeprefix("at")) - 1] = text
    return lines


def test_a_short_log_is_shown_whole(log: Log) -> None:
    assert excerpt(log("one\nxl.c:1: error: no\nthree\n")) == "one\nxl.c:1: error: no\nthree"
    assert excerpt(log("")) == ""


def test_the_first_error_far_above_the_end_is_shown_with_what_was_before_it(log: Log) -> None:
    lines = numbered(5000, at100="xl.c:7:2: error: expected ';'", at4000="later.c:1: error: no")
    shown = excerpt(log("\n".join(lines))).splitlines()
    assert shown[:5] == [
        "line 97",
        "line 98",
        "line 99",
        "xl.c:7:2: error: expected ';'",
        "  [...]",
    ]
    assert shown[5:] == lines[-15:]


@pytest.mark.parametrize("at", [4985, 4986, 4987, 5000])
def test_an_error_is_shown_once(log: Log, at: int) -> None:
    lines = numbered(5000, **{f"at{at}": "x: error: here"})
    shown = excerpt(log("\n".join(lines))).splitlines()
    assert shown.count("x: error: here") == 1
    assert shown[-15:] == lines[-15:]
    assert ("  [...]" in shown) == (at < 4986)


@pytest.mark.parametrize(
    "line",
    [
        "xl.c:1:2: error: no",
        "error: no package: dist/*.deb",
        "cc1: fatal error: x.h: No such file",
        "xl.o: undefined reference to `f'",
        "E: Unable to locate package x",
        "/usr/bin/ld: cannot find -lyajl",
        "sh: 1: bcc: not found",
        "bash: bcc: command not found",
        "Hunk #2 FAILED at 7.",
        "Killed",
        "cp: write error: No space left on device",
    ],
)
def test_what_tells_of_an_error(log: Log, line: str) -> None:
    text = "\n".join(numbered(100, at10=line))
    assert line in excerpt(log(text)).splitlines()


@pytest.mark.parametrize(
    "line",
    ["  CC error.o", "-Werror=format: yes", "checking for strerror: yes", "MyError: x", "0 errors"],
)
def test_what_tells_of_none(log: Log, line: str) -> None:
    assert line not in excerpt(log("\n".join(numbered(100, at10=line))))


def test_long_lines_are_cut(log: Log) -> None:
    shown = excerpt(log("x.c: error: " + "a" * 10_000 + "\n" + "b" * 10_000 + "\n"))
    assert max(map(len, shown.splitlines())) <= 400
    assert shown.startswith("x.c: error: aaa")


@pytest.mark.slow
def test_one_endless_line_is_not_held_in_memory(log: Log) -> None:
    import tracemalloc

    path = log(b"y" * (8 << 20))
    tracemalloc.start()
    shown = excerpt(path)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert shown.startswith("yyy")
    assert len(shown) <= 400 * 15
    assert peak < 2 << 20


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("scratch")


@pytest.mark.slow
@settings(max_examples=60)
@given(st.lists(st.binary(max_size=60) | st.just(b"x: error: y"), max_size=40).map(b"\n".join))
def test_any_bytes_are_shown_without_harm(scratch: Path, raw: bytes) -> None:
    path = scratch / "log"
    path.write_bytes(raw)
    shown = excerpt(path)
    assert len(shown.splitlines()) <= 15 + 5
    assert all(line.isprintable() for line in shown.splitlines())


def test_control_characters_of_a_log_do_not_reach_the_terminal(log: Log) -> None:
    shown = excerpt(log("\x1b[31m\x1b]0;title\x07error: red\x1b[0m\n\ttab\n"))
    assert "\x1b" not in shown
    assert "\x07" not in shown
    assert "error: red" in shown
    assert shown.splitlines()[1].strip() == "tab"
