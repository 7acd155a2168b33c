# SPDX-License-Identifier: GPL-2.0-or-later
from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from builders import ROOT
from builders.errors import BuildError, Exit, Interrupted
from builders.pipeline import stages
from builders.pipeline.stages import Output, Store

INPUTS = {"image": "i1", "script build": "s1", "source xen": "x1"}


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "stages")


def make(store: Store, inputs: dict[str, str], text: str = "deb", stage: str = "xen") -> Output:
    with store.make(stage, inputs) as making:
        (making.folder / "x.deb").write_text(text)
        making.notes["version"] = "1"
    return store.made(stage, inputs)


def left(store: Store) -> list[str]:
    """All that lies below the store's folder, files without their parents' names."""
    return sorted(str(p.relative_to(store._folder)) for p in store._folder.rglob("*"))


# Keys

_INPUTS = st.dictionaries(st.text(max_size=6), st.text(max_size=6), min_size=1, max_size=5)


@pytest.mark.slow
@given(_INPUTS, _INPUTS)
def test_a_key_is_of_all_inputs_and_of_nothing_else(
    one: dict[str, str], two: dict[str, str]
) -> None:
    assert (stages.key(one) == stages.key(two)) == (one == two)
    assert stages.key(dict(reversed(one.items()))) == stages.key(one)


@pytest.mark.slow
@given(_INPUTS, st.data())
def test_a_key_depends_on_each_input(inputs: dict[str, str], data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(sorted(inputs)))
    assert stages.key({**inputs, name: inputs[name] + "x"}) != stages.key(inputs)
    assert stages.key({n: v for n, v in inputs.items() if n != name}) != stages.key(inputs)
    assert stages.key({**inputs, name + "x": inputs[name]}) != stages.key(inputs)


# What is made is found


def test_a_stage_that_was_made_is_found(store: Store) -> None:
    assert store.find("xen", INPUTS) is None
    made = make(store, INPUTS)
    found = Store(store._folder).find("xen", dict(INPUTS))
    assert found == made
    assert found is not None
    assert found.notes == {"version": "1"}
    assert found.inputs == INPUTS
    assert (found.folder / "x.deb").read_text() == "deb"
    assert list(found.files) == ["x.deb"]
    assert left(store) == [
        "xen",
        f"xen/{found.key}",
        f"xen/{found.key}/stage.json",
        f"xen/{found.key}/x.deb",
    ]


def test_other_inputs_or_another_stage_are_not_found(store: Store) -> None:
    make(store, INPUTS)
    assert store.find("kernel", INPUTS) is None
    assert store.find("xen", {**INPUTS, "image": "i2"}) is None


def test_the_digest_is_of_files_and_notes(store: Store) -> None:
    one = make(store, INPUTS).digest()
    assert make(store, {**INPUTS, "image": "i2"}).digest() == one
    assert make(store, INPUTS, "other").digest() != one


def test_made_again_with_the_same_inputs_the_newer_one_stays(store: Store) -> None:
    make(store, INPUTS, "one")
    assert (make(store, INPUTS, "two").folder / "x.deb").read_text() == "two"


# Whole or not at all


def fail(store: Store, error: BaseException) -> None:
    """Begin to make a stage, and fail."""
    with store.make("xen", INPUTS) as making:
        (making.folder / "x.deb").write_text("half")
        raise error


@pytest.mark.parametrize(
    "error", [BuildError("x"), Interrupted(), KeyboardInterrupt(), ValueError()]
)
def test_a_stage_that_fails_leaves_nothing(store: Store, error: BaseException) -> None:
    with pytest.raises(type(error)) as caught:
        fail(store, error)
    assert caught.value is error
    assert store.find("xen", INPUTS) is None
    assert left(store) == ["xen"]


def test_a_stage_that_fails_again_keeps_the_one_before(store: Store) -> None:
    make(store, INPUTS)
    with pytest.raises(BuildError), store.make("xen", INPUTS):
        raise BuildError("x")
    assert store.find("xen", INPUTS)


KILLED = """
import sys, time
from pathlib import Path
from builders.pipeline.stages import Store
with Store(Path(sys.argv[1])).make("xen", {"a": "b"}) as making:
    (making.folder / "x.deb").write_text("half")
    print("making", flush=True)
    time.sleep(60)
"""


def test_a_killed_run_leaves_no_stage_and_the_next_one_sweeps(store: Store) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", KILLED, str(store._folder)], cwd=ROOT, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout
        assert process.stdout.readline() == b"making\n"
        process.send_signal(signal.SIGKILL)
    assert any("/.making-" in path for path in left(store))
    assert store.find("xen", {"a": "b"}) is None
    assert store.all("xen") == []
    make(store, INPUTS)
    store.sweep()
    assert not any("making" in path for path in left(store))
    assert store.find("xen", INPUTS)


def test_made_but_gone_is_an_error(store: Store) -> None:
    with pytest.raises(BuildError, match="was made and is gone") as caught:
        store.made("xen", INPUTS)
    assert caught.value.exit is Exit.STEP


# Damage


@pytest.mark.parametrize(
    "damage",
    ["truncated", "gone", "no record", "half a record", "changed", "a link", "other inputs"],
)
def test_a_damaged_stage_is_a_miss_that_says_so(store: Store, damage: str) -> None:
    folder = make(store, INPUTS).folder
    match damage:
        case "changed":
            (folder / "x.deb").write_text("bed")
        case "a link":
            (folder / "x.deb").rename(folder / "y.deb")
            (folder / "x.deb").symlink_to("y.deb")
        case "other inputs":  # one that a key of other inputs was put under
            record = folder / "stage.json"
            record.write_text(record.read_text().replace('"i1"', '"i2"'))
        case "truncated":
            os.truncate(folder / "x.deb", 1)
        case "gone":
            (folder / "x.deb").unlink()
        case "no record":
            (folder / "stage.json").unlink()
        case "half a record":
            os.truncate(folder / "stage.json", 40)
    assert store.find("xen", INPUTS) is None
    assert store.why("xen", INPUTS).startswith("damaged: ")
    assert store.find("xen", make(store, INPUTS).inputs)
    assert (folder.parent / f".damaged-{folder.name}").is_dir()  # for a person to look at


def test_a_change_that_a_look_does_not_see_is_seen_on_use(store: Store) -> None:
    output = make(store, INPUTS)
    file = output.folder / "x.deb"
    before = file.stat()
    file.write_text("bed")
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert store.find("xen", INPUTS) == output  # quick: size, time and inode are as they were
    with pytest.raises(BuildError, match=r"x\.deb has another sha256") as caught:
        store.verified(output)
    assert "run it again" in caught.value.hint
    assert store.find("xen", INPUTS) is None  # the hint is true: it is made again


def test_a_copied_stage_is_sound_and_quick_to_look_at_again(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = make(store, INPUTS)
    copy = output.folder / "copy"
    copy.write_bytes((output.folder / "x.deb").read_bytes())
    copy.replace(output.folder / "x.deb")
    assert store.find("xen", INPUTS) == output
    monkeypatch.setattr(stages, "of_file", lambda _: pytest.fail("it was read again"))
    assert store.find("xen", INPUTS) == output


def test_a_damaged_stage_hides_no_whole_one_with_other_inputs(store: Store) -> None:
    make(store, {**INPUTS, "image": "i0"})
    os.truncate(make(store, INPUTS).folder / "x.deb", 1)
    assert store.why("xen", INPUTS).startswith("damaged: x.deb")
    assert store.why("xen", {**INPUTS, "image": "i9"}) == "changed: image"


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2)
    ),
    max_leaves=4,
)


_KEYS = ("inputs", "files", "notes", "seconds", "signs", "format", "stage")


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("scratch")


@pytest.mark.slow
@settings(max_examples=60)
@given(st.fixed_dictionaries({}, optional=dict.fromkeys(_KEYS, _JSON)))
def test_any_record_is_a_stage_or_a_miss(scratch: Path, record: dict[str, object]) -> None:
    store = Store(scratch)
    folder = scratch / "xen" / stages.key(INPUTS)
    folder.mkdir(parents=True, exist_ok=True)
    whole = {"format": 1, "inputs": {}, "files": {}, "sizes": {}, "notes": {}, "seconds": 1}
    (folder / "stage.json").write_text(json.dumps({**whole, **record}))
    store.find("xen", INPUTS)
    store.all("xen")
    store.damage("xen", INPUTS)
    assert store.why("xen", {**INPUTS, "x": "y"})


def test_a_record_of_another_format_is_made_again(store: Store) -> None:
    record = make(store, INPUTS).folder / "stage.json"
    record.write_text(record.read_text().replace('"format": 1', '"format": 0'))
    assert store.find("xen", INPUTS) is None


# Why


def test_why_never() -> None:
    assert Store(Path("/nonexistent")).why("xen", INPUTS) == "never made"


@pytest.mark.parametrize(
    ("now", "why"),
    [
        ({**INPUTS, "image": "i2"}, "changed: image"),
        ({**INPUTS, "image": "i2", "source xen": "x2"}, "changed: image, source xen"),
        ({**INPUTS, "patch a": "p"}, "changed: patch a (new)"),
        ({"image": "i1", "source xen": "x1"}, "changed: script build (gone)"),
        (
            {"image": "i1", "script make": "s1", "source xen": "x2"},
            "changed: script make (new), source xen, script build (gone)",
        ),
    ],
)
def test_why_names_what_changed(store: Store, now: dict[str, str], why: str) -> None:
    make(store, INPUTS)
    assert store.why("xen", now) == why


def test_why_compares_with_the_nearest_one_or_the_one_named(store: Store) -> None:
    near = make(store, {**INPUTS, "image": "i2"})
    far = make(store, {**INPUTS, "script build": "s2"})
    asked = {**INPUTS, "image": "i3"}
    assert store.why("xen", asked) == "changed: image"  # whichever was made last
    assert store.why("xen", asked, near.key) == "changed: image"
    assert store.why("xen", asked, far.key) == "changed: image, script build"


def test_forget_all_but_what_is_named(store: Store) -> None:
    old, new = make(store, {"n": "1"}), make(store, {"n": "2"})
    other = make(store, {"n": "1"}, stage="kernel")
    store.set_aside("xen", make(store, {"n": "3"}).key)
    assert store.forget({"xen": {old.key}}) == 2  # the newer one, and what was damaged
    assert store.find("xen", {"n": "1"}) == old
    assert not new.folder.exists()
    assert store.find("kernel", {"n": "1"}) == other


# Disks


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "stages").write_text("a file is in the way, for root too")
    store = Store(tmp_path / "stages")
    with pytest.raises(BuildError) as caught, store.make("xen", INPUTS):
        pytest.fail("it was made")
    assert str(tmp_path / "stages") in caught.value.message
    assert caught.value.hint
    assert caught.value.exit is Exit.ENGINE


FULL = OSError(errno.ENOSPC, "No space left on device")


def test_a_full_disk_while_files_are_written(store: Store) -> None:
    with pytest.raises(BuildError, match="No space left on device") as caught:
        fail(store, FULL)
    assert caught.value.exit is Exit.ENGINE
    assert left(store) == ["xen"]


def test_a_full_disk_while_the_record_is_written(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise FULL

    monkeypatch.setattr("builders.pipeline.stages.write", full)
    with pytest.raises(BuildError, match="No space left on device") as caught:
        make(store, INPUTS)
    assert caught.value.exit is Exit.ENGINE
    assert left(store) == ["xen"]


def test_an_error_without_a_reason_of_the_system_is_shown(store: Store) -> None:
    with pytest.raises(BuildError, match="not seekable"):
        fail(store, OSError("not seekable"))
