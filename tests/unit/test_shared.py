# SPDX-License-Identifier: GPL-2.0-or-later
"""A registry that lies, and what is taken from it."""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builders.errors import BuildError, Interrupted
from builders.ground.registry.address import parse
from builders.ground.registry.client import Blob, Manifest, Registry, decoded, of_bytes
from builders.ground.registry.failures import RegistryError, WrongBytesError
from builders.ground.sources.address import Patience
from builders.pipeline.shared import STAGE, Shared
from builders.pipeline.stages import Output, Store, key
from tests.unit import servers
from tests.unit.servers import Behaviour, Site, serve

QUICK = Patience(connect=2, stall=0.4, answer=0.6, grace=0.6, attempts=1)
INPUTS = {"source": "1" * 64}
NAME = key(INPUTS)
FILE = b"a package"


def made(folder: Path, **record: object) -> tuple[bytes, Manifest]:
    """The record of a stage, changed as is said, and the manifest that names it."""
    store = Store(folder)
    digest = of_bytes(FILE).digest.removeprefix("sha256:")
    output = Output("xen-build", NAME, folder, INPUTS, {"x.deb": digest}, {}, 1.0)
    raw = json.dumps({**json.loads(store.record(output)), **record}).encode()
    return raw, Manifest(STAGE, of_bytes(raw), (of_bytes(FILE, "x.deb"),), 1_700_000_000.0)


def pages(
    raw: bytes, named: Manifest, changed: Mapping[str, Behaviour] | None = None
) -> dict[str, Behaviour]:
    """What a registry serves for that stage, some parts in another way."""
    changed = changed or {}
    base = "/v2/team/debs"
    return {
        f"{base}/manifests/stage-xen-build-{NAME}": changed.get(
            "manifest", serve(named.encoded(), ranges=False)
        ),
        f"{base}/blobs/{named.config.digest}": changed.get("config", serve(raw, ranges=False)),
        f"{base}/blobs/{of_bytes(FILE).digest}": changed.get("layer", serve(FILE, ranges=False)),
    }


def brought(site: Site, folder: Path, inputs: dict[str, str] = INPUTS) -> tuple[bool, list[str]]:
    """Whether the stage came from the registry, and what was said of it."""
    heard: list[str] = []
    address = parse(f"oci://{site.root.removeprefix('http://')}/team/debs")
    shared = Shared(address, heard.append, patience=QUICK)
    store = Store(folder / "stages")
    taken = shared.bring(store, "xen-build", [inputs])
    assert taken == (store.find("xen-build", inputs) is not None)
    assert not list((folder / "stages").rglob(".making-*"))
    return taken, heard


def test_a_sound_stage_is_taken(tmp_path: Path) -> None:
    with Site(pages=pages(*made(tmp_path))) as site:
        assert brought(site, tmp_path) == (True, [])
    stage = tmp_path / "stages" / "xen-build" / NAME
    assert (stage / "x.deb").read_bytes() == FILE


@pytest.mark.parametrize(
    ("part", "behaviour"),
    [
        ("layer", serve(b"b package", ranges=False)),  # other bytes
        ("layer", serve(FILE + b"more", ranges=False)),
        ("layer", serve(FILE[:3], ranges=False)),
        ("layer", serve(FILE, ranges=False, upto=3)),  # cut
        ("layer", servers.chunked(b"x" * 65536, times=1000, finish=False)),  # without an end
        ("layer", servers.status(404)),
        ("layer", servers.reset),
        ("layer", servers.drip),
        ("config", serve(b"{}", ranges=False)),
        ("manifest", serve(b"[" * 100_000, ranges=False)),
        ("manifest", serve(b"x" * (5 << 20), ranges=False)),
        ("manifest", serve(b"{}", ranges=False)),
        ("manifest", servers.status(500)),
        ("manifest", servers.garbage),
        ("manifest", servers.stall),
        ("manifest", servers.redirect("file:///etc/passwd")),
        ("manifest", servers.redirect("http://127.0.0.1:1/")),
    ],
)
def test_what_is_not_what_it_should_be_is_said_and_missing(
    part: str, behaviour: Behaviour, tmp_path: Path
) -> None:
    with Site(pages=pages(*made(tmp_path), {part: behaviour})) as site:
        taken, heard = brought(site, tmp_path)
    assert not taken
    assert len(heard) == 1


@pytest.mark.parametrize(
    "record",
    [
        {"inputs": {"source": "2" * 64}},  # of another key
        {"stage": "kernel-build"},
        {"files": {"../x.deb": "0" * 64}},
        {"files": {"..": "0" * 64}},
        {"files": {"stage.json": "0" * 64}},
        {"files": {"x.deb": "0" * 64}},  # not what the manifest has
        {"files": {}},
        {"files": ["x.deb"]},
        {"notes": []},
        {"seconds": "inf"},
        {"format": 2},
        {"signs": {"x.deb": ["x"]}},
    ],
)
def test_a_record_of_something_else_is_no_stage(record: dict[str, object], tmp_path: Path) -> None:
    raw, manifest = made(tmp_path, **record)
    with Site(pages=pages(raw, manifest)) as site:
        taken, heard = brought(site, tmp_path)
    assert (taken, len(heard)) == (False, 1)


def test_an_upload_ends_where_the_run_is_stopped(tmp_path: Path) -> None:
    stop = threading.Event()
    stop.set()
    upload = servers.status(202, {"Location": "/v2/team/debs/x", "Content-Length": 0})
    with (
        Site(pages={"/v2/team/debs/blobs/uploads/": upload}) as site,
        (tmp_path / "x").open("w+b") as stream,
    ):
        address = parse(f"oci://{site.root.removeprefix('http://')}/team/debs")
        with pytest.raises(Interrupted):
            Registry(address, QUICK, stop).put(of_bytes(FILE), stream)


def test_bytes_are_never_sent_to_another_server(tmp_path: Path) -> None:
    upload = servers.status(202, {"Location": "http://127.0.0.1:1/upload", "Content-Length": 0})
    base = "/v2/team/debs/blobs"
    with Site(pages={f"{base}/uploads/": upload}) as site:
        registry = Registry(parse(f"oci://{site.root.removeprefix('http://')}/team/debs"), QUICK)
        with (
            pytest.raises(RegistryError, match="another server"),
            (tmp_path / "x").open("w+b") as stream,
        ):
            registry.put(of_bytes(b""), stream)


def test_a_write_that_the_registry_could_not_do_for_a_moment_is_done_anew(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    pauses: list[float] = []
    monkeypatch.setattr("builders.ground.registry.client.time.sleep", pauses.append)
    busy, there = servers.status(500), servers.status(200)
    error = json.dumps({"errors": [{"code": "DIGEST_INVALID", "message": "did not match"}]})
    moved = servers.status(400, body=error.encode())  # what two writers of one blob hear
    missing, begun = servers.status(404), servers.status(202, {"Location": "/v2/team/debs/x"})
    script = [busy, missing, begun, moved, there]
    with Site(script=script) as site, (tmp_path / "x").open("w+b") as stream:
        registry = Registry(parse(f"oci://{site.root.removeprefix('http://')}/team/debs"), QUICK)
        assert registry.put(of_bytes(b""), stream) is False  # another writer was faster
    assert len(pauses) == 2
    with Site(then=busy) as site, (tmp_path / "x").open("w+b") as stream:
        registry = Registry(parse(f"oci://{site.root.removeprefix('http://')}/team/debs"), QUICK)
        with pytest.raises(RegistryError):
            registry.put(of_bytes(b""), stream)
    assert len(site.requests) == 5


@pytest.mark.parametrize(
    "text",
    [
        "",
        "http://host/path",
        "oci://host",
        "oci://host/",
        "oci://user:secret@host/path",
        "oci://host/Upper",
        "oci://host/a//b",
        "oci://host/../b",
        "oci://host:x/b",
        "oci://[::1/b",
        "oci://host/b?x=1",
        "oci://ho st/b",
        "oci://host/" + "a" * 300,
    ],
)
def test_what_is_no_address_is_refused_without_a_secret(text: str) -> None:
    with pytest.raises(BuildError) as caught:
        parse(text)
    assert "secret" not in caught.value.message


def test_plain_http_is_for_this_machine_only() -> None:
    for host in ("127.0.0.1:5000", "localhost:5000", "[::1]:5000", "127.1.2.3"):
        assert parse(f"oci://{host}/a").base.startswith("http://")
    for host in ("registry.example", "10.0.0.1:5000", "localhost.example", "127.0.0.1.example"):
        assert parse(f"oci://{host}/a").base.startswith("https://")


@given(st.text(max_size=60))
def test_any_text_is_an_address_or_an_error(text: str) -> None:
    for attempt in (text, f"oci://{text}", f"oci://h/{text}"):
        try:
            address = parse(attempt)
        except BuildError:
            continue
        assert parse(str(address)) == address


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=6,
)
_KEYS = ("schemaVersion", "artifactType", "config", "layers", "annotations")


@pytest.mark.slow
@given(st.dictionaries(st.sampled_from(_KEYS), _JSON))
def test_any_document_is_a_manifest_or_an_error(changes: dict[str, object]) -> None:
    sound = Manifest(STAGE, of_bytes(b"{}"), (of_bytes(FILE, "x"),), 0.0)
    document = json.loads(sound.encoded()) | changes
    try:
        manifest = decoded(json.dumps(document).encode())
    except WrongBytesError:
        return
    assert decoded(manifest.encoded()).layers == manifest.layers


def test_a_manifest_that_announces_too_much_is_refused() -> None:
    huge = Manifest(STAGE, of_bytes(b"{}"), (Blob(f"sha256:{'0' * 64}", 1 << 40, "x"),), 0.0)
    with pytest.raises(WrongBytesError):
        decoded(huge.encoded())
