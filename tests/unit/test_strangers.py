# SPDX-License-Identifier: GPL-2.0-or-later
"""A recipe that is given by its path is a stranger's data: refused when it is read.

Each value that reaches sources.list(5), mmdebstrap(1), apt, a shell, a path or a control file.
"""

from __future__ import annotations

import json
import os
import shlex
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builders import ROOT, forms
from builders.errors import BuildError, Exit
from builders.ground.suite import mirror
from builders.pipeline.recipe import Suite, UrlSource, debian, load, names, read_corrections
from tests.unit.samples import SHA256, WHOLE


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "good.toml").write_text(WHOLE)
    return tmp_path


def read(folder: Path, key: str, value: object) -> None:
    """Read a recipe in which a file puts `value` over what the good one has at `key`."""
    table, _, name = key.partition("/")
    written = json.dumps(value).replace('": ', '" = ')  # an inline table, as TOML has it
    line = f"[{table}]\n{json.dumps(name)} = {written}\n"
    (folder / "evil.toml").write_text(f'include = ["good.toml"]\n{line}')
    load("evil", folder=folder)


def refused(folder: Path, key: str, value: object) -> BuildError:
    with pytest.raises(BuildError) as caught:
        read(folder, key, value)
    error = caught.value
    assert error.exit is Exit.USAGE
    assert error.hint
    assert error.message.startswith(f"{folder}/evil.toml: {key.partition('/')[0]}")
    assert error.message.isprintable()
    return error


BREAKS = ["a\nb", "a\0b", "a\x1b[2Jb", "a\u2028b", "a\x9bb", "a\rb"]
URLS = [
    "http://127.0.0.1:9100/debian bookworm main\ndeb [trusted=yes] http://127.0.0.1:9101",
    "http://m/debian [trusted=yes]",
    "[trusted=yes] http://m/debian",
    "http://m/debian\tx",
    "http://m/'x'",
    'http://m/"x"',
    "http://m/`id`",
    "http://m/\\x",
    "http://m/a|b",
    "http://m/{a}",
    "http://m/<a>",
    "http://[evil]/x",
    "file:///srv/debian",
    "copy:///srv/debian",
    "ftp://m/debian",
    "-oDir::Etc=/x",
    "http:///x",
    "http://m:99999999/",
    "http://müll/x",
    "//m/debian",
    "",
]
HOSTILE: dict[str, Sequence[object]] = {
    "suite/mirror": [*URLS[:-1], "http://m/$(id)", "http://m/x;y", "http://m/a*", *BREAKS],
    "suite/security": ["http://m/x y", "file:/x"],
    "suite/name": ["a/b", "..", "-x", "a b", "A", "a_b", "x" * 70, "٣", "", *BREAKS],
    "suite/components": [["main]"], ["-x"], ["a b"], ["../x"], ["a//b"], [""], []],
    "suite/pockets": [["a/b"], ["[x]"], ["a b"], ["up\ndeb x"], [""]],
    "suite/security_suite": ["x/", "/x", "a b", "a//b", "../x", "x]"],
    "suite/keyring": ["x.gpg", "/a/../b", '/a"; Dir "x', "/a,b", "/a b", "/a\nb", "/"],
    "suite/image": [f"x@sha256:{SHA256}\n", f"-x@sha256:{SHA256}", "x", f"a b@sha256:{SHA256}"],
    "builder/packages": [["-oX=y"], ["a"], ["xx-"], ["a b"], ["A"], ["b;c"], ["../x.deb"], ["./x"]],
    "builder/build_dep": [["--x"], ["."], ["/etc"]],
    "builder/memory": [0, -1, 1 << 15, 10**18, 10**30],
    "builder/pids": [0, 1 << 23],
    "builder/nofile": [0, 1073741816],
    "sources.xen/urls": [[url] for url in URLS] + [["git@host:x"], ["/srv/x"], ["ssh://h/x"], []],
    "sources.seabios/urls": [["ext::sh -c id"], ["--upload-pack=x"], ["file:///x"], ["/srv/x"]],
    "sources.xen/filename": ["../x", "-x", "a b", "a\nb", ".x", "a/b", "a" * 300],
    "sources.xen/size": [0, -1, 10**20],
    "sources.linux/package": ["-x", "a", "X", "a'b", "a b", "a;b", "", "٣٣"],
    "sources.linux/version": ["-x", "1'2", "1 2", "", "[1]", "1;2", "1" * 200],
    "xen/deb": ["../../x", "/x", "a b", "$(id)", "`id`", "x;y", "-x", "a//b", "", "a'", "x|y"],
    "xen/elf": ["../x", "/x", "a\nb", ""],
    "xen/patches": ["../x", "/x", "a\nb", "xen/"],
    "xen/version": ["1 2", "1\n2", "$(id)"],
    "xen/build": [[]],
    "xen.place/../x": ["seabios"],
    "xen.place//x": ["seabios"],
    "xen.place/a//b": ["seabios"],
    "xen.place/a\nb": ["seabios"],
    "xen.place/.": ["seabios"],
    "xen.files/a/": ["x"],
    "xen.files/a/./b": ["x"],
    "xen.files/a\0b": ["x"],
    "xen.files/x": ["a\0b", "\x1b[2J"],
    "kernel/config_path": ["/a/../b", "/a b", "/a;b", "$(id)", "//a", "-x y"],
    "kernel/deb": [["../../x"], ["x;y"], ["$(id)"], []],
    "kernel.flavours.minimal/base": ["x; id", "-j9 all", "a b", "$(id)", "", "a/b", "--eval=x"],
    "kernel.flavours.minimal/localversion": ["-a b", "-$(id)", "-" + "a" * 100, "-a\n"],
    "kernel.flavours.minimal/fragments": [["../x"], ["a\nb"], ["/etc/passwd"]],
    "audit.kernel_options/X=y": ["y"],
    "audit.kernel_options/CONFIG_X": ["", "y\nz"],
    "finish.xen/package": ["a", "A", "../x", "a/b", "a\nb", "-x", "x" * 300],
    "finish.xen/maintainer": ["x", "a <b>", "a\nb <c@d>", "<a@b>"],
    "finish.xen/section": ["a b", "a\nb"],
    "finish.xen/homepage": ["a b", "x\ny"],
    "finish.xen/priority": ["high", "optional\n"],
    "finish.xen/depends": [["a"], ["libc6 (>> )"], ["libc6 (=> 1)"], ["a b"], ["xx (>= ٣)"]],
    "finish.xen/provides": [["aa | bb"], ["aa,\nBB: x"]],
    "finish.xen/remove": [["x"], [""], ["/a\nb"]],
    "finish.xen/discard": [["../x"]],
    "finish.xen.move/x": ["/y"],
    "finish.xen.move//x": ["y", "/a/../b", "/", "/a\nb", "//a"],
    "finish.xen/replace": [
        [{"path": "x", "old": "a", "new": "b"}],
        [{"path": "/x", "old": "", "new": ""}],
    ],
    "finish.xen.modes//x": ["rwx", "8", "99999", "0o755", "\u0660755", 755],
    "finish.xen.modes/x": ["0755"],
    "finish.xen.services/a b": ["boot"],
    "finish.xen.services/../x": ["boot"],
    "finish.xen.services/xend": ["always", ""],
    "finish.xen/purge": [["/"], ["/etc"], ["/home/x"], ["/var/lib/../x"], ["/var/lib/x;y"], ["x"]],
    "finish.xen.files/etc/x": ["x"],
    "finish.xen.files//etc/../x": ["x"],
    "finish.xen.files//etc/x/": ["x"],
    "finish.xen/revision": ["+a b", "+a_b", "\n"],
    "finish.xen/version": ["a", "1 2", "1-", "٣.1", "9" * 5000],
    "finish.xen/compression": ["zip", "xz\n"],
    "finish.xen/level": [99, -2],
    "finish.xan/revision": ["+1"],
}  # fmt: skip
CASES = [(key, value) for key, values in HOSTILE.items() for value in values]


@pytest.mark.parametrize(("key", "value"), CASES, ids=[f"{k}={str(v)[:40]!a}" for k, v in CASES])
def test_a_hostile_value_is_refused_with_file_key_and_remedy(
    folder: Path, key: str, value: object
) -> None:
    refused(folder, key, value)


GOOD: dict[str, Sequence[object]] = {
    "suite/mirror": [
        "http://archive.debian.org/debian",
        "https://user:pw@h.example:8443/a%20b/~c/d+e,f=g/",
        "http://[::1]:3142/debian",
        "http://snapshot.debian.org/archive/debian/20121120T000000Z",
    ],
    "suite/name": ["bookworm", "sid", "12.1", "rc-buggy"],
    "suite/components": [["main", "contrib", "non-free-firmware", "updates/main"]],
    "suite/pockets": [[], ["updates", "security", "backports-sloppy", "proposed-updates"]],
    "suite/security_suite": ["wheezy/updates"],
    "suite/keyring": ["/usr/share/keyrings/debian-archive-keyring.gpg"],
    "builder/packages": [["g++", "libc6:amd64", "gcc-9/bullseye", "bc=1:1.07.1-2+b2"]],
    "sources.xen/urls": [["https://e.org/a.tar.gz?h=1;f=(x)&y=2"]],
    "xen/deb": ["dist/*.deb", "../x_[!g]?.deb"],
    "xen/build": [['make "x" \\\n\t$JOBS; echo `date` | cat']],
    "xen.files/.config": ["a = $(shell date)\n\tb\n"],
    "kernel/config_path": ["/boot/config-3.2.0-4-amd64"],
    "finish.xen/description": ["One line\nand\n\nmore"],
    "finish.xen/depends": [["libc6 (>= 1:2.3~rc1+b1-4)", "aa | bb (<< 2), cc"]],
    "finish.xen.modes//etc/*": ["0644", "755", "4755"],
    "finish.xen/purge": [["/var/lib/xen/*", "/var/log/xen/"]],
    "finish.xen.files//etc/x": ["#!/bin/sh\nexit 0\n"],
}


@pytest.mark.parametrize("key", GOOD)
def test_what_recipes_really_say_is_taken(folder: Path, key: str) -> None:
    for value in GOOD[key]:
        read(folder, key, value)


# Files of the box


@pytest.mark.parametrize("url", ["file:///srv/x.tar", "/srv/x.tar"])
def test_a_file_of_the_box_only_where_the_user_asks_for_it(folder: Path, url: str) -> None:
    error = refused(folder, "sources.xen/urls", [url])
    assert f"--set sources.xen.urls={url}" in error.hint
    for word in (f"sources.xen.urls={url}", f'sources.xen.urls=["{url}", "https://e.org/x"]'):
        source = load("evil", [word], folder).sources["xen"]
        assert isinstance(source, UrlSource)
        assert url in source.urls
    assert load("evil", ["allow_file=true"], folder).allow_file
    (folder / "itself.toml").write_text('include = ["good.toml"]\nallow_file = true\n')
    with pytest.raises(BuildError, match=r"itself\.toml: allow_file"):
        load("itself", folder=folder)


def test_a_command_that_a_hint_gives_is_one_word_for_a_shell(folder: Path) -> None:
    url = "file:///x;$(id)"
    hint = refused(folder, "sources.xen/urls", [url]).hint
    assert shlex.split(hint.partition("To have it so: ")[2])[1].rstrip(",") == (
        f"sources.xen.urls={url}"
    )


@pytest.mark.parametrize("end", ["", "a%0ab", "a%20b", "..", "-x", "%2e%2e", "?a=b", ".hidden"])
def test_an_address_whose_end_is_no_file_name_needs_one(folder: Path, end: str) -> None:
    with pytest.raises(BuildError, match=r"sources\.xen\.filename: .* is no plain file name"):
        read(folder, "sources.xen/urls", [f"https://e.org/{end}"])
    load("evil", ["sources.xen.filename=x.tar"], folder)


def test_what_is_typed_is_checked_too(folder: Path) -> None:
    for word in ("suite.mirror=http://m/ x", 'xen.deb="$(id)"', 'sources.xen.urls="file:///a\\nb"'):
        with pytest.raises(BuildError) as caught:
            load("good", [word], folder)
        assert caught.value.message.startswith("--set ")


@pytest.mark.parametrize("variable", [mirror.MAIN, mirror.SECURITY])
@pytest.mark.parametrize(
    "value", ["http://m/ x", "http://m/\ndeb [trusted=yes] http://e", "file:/x"]
)
def test_the_environments_mirrors_have_the_same_form(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str
) -> None:
    monkeypatch.setenv(mirror.MAIN, "http://m/debian")
    monkeypatch.setenv(mirror.SECURITY, "http://m/security")
    mirror.of(Suite("bookworm"))
    monkeypatch.setenv(variable, value)
    with pytest.raises(BuildError, match=variable) as caught:
        mirror.of(Suite("bookworm"))
    assert caught.value.exit is Exit.USAGE
    assert "http://" in caught.value.hint


# Files


@pytest.mark.parametrize(
    "include", ["/etc/passwd", "../x.toml", "link.toml", "/dev/zero", "fifo", "a\0b", "~/x", "."]
)
def test_an_include_does_not_leave_the_folder(tmp_path: Path, include: str) -> None:
    here = tmp_path / "here"
    here.mkdir()
    (tmp_path / "x.toml").write_text(WHOLE)
    (here / "link.toml").symlink_to(tmp_path / "x.toml")
    os.mkfifo(here / "fifo")
    (here / "evil.toml").write_text(f"include = [{json.dumps(include)}]\n")
    with pytest.raises(BuildError) as caught:
        load("evil", folder=here)
    assert caught.value.exit is Exit.USAGE


@pytest.mark.slow
def test_the_projects_own_recipes_may_be_included(tmp_path: Path) -> None:
    for name in names():
        path = ROOT / "configs" / "recipes" / f"{name}.toml"
        (tmp_path / "mine.toml").write_text(f'include = ["{path}"]\n')
        assert load(str(tmp_path / "mine.toml")).suite == load(name).suite


LARGE = {
    "long": "#" + "x" * (1 << 18),
    "dots": "[" + ".".join("a" * 30000) + "]",
    "dots in a value": "x = {" + ".".join("a" * 30000) + " = 1}",
    "deep tables": "[" + ".".join("a" * 400) + "]\nx = 1",
    "deep lists": "x = " + "[" * 3000 + "]" * 3000,
    "deep inline": "x = " + "{a = " * 2000 + "1" + "}" * 2000,
    "many": "[xen.files]\n" + "".join(f"a{n} = ''\n" for n in range(1001)),
    "many items": "[builder]\npackages = [" + "'aa'," * 1001 + "]",
    "a long number": "[builder]\nmemory = " + "9" * 5000,
    "a wide number": "[builder]\nmemory = " + "9" * 4000,
    "no text": "\udcff",
}


@pytest.mark.parametrize("case", LARGE)
def test_large_and_deep_files_are_refused_at_once(folder: Path, case: str) -> None:
    text = LARGE[case].encode("utf-8", "surrogateescape")
    for name in ("evil.toml", "included.toml"):
        (folder / "evil.toml").write_bytes(b'include = ["good.toml", "included.toml"]\n')
        (folder / "included.toml").write_bytes(b"")
        (folder / name).write_bytes(b'include = ["good.toml"]\n' + text)
        begun = time.monotonic()
        with pytest.raises(BuildError) as caught:
            load("evil", folder=folder)
        assert time.monotonic() - begun < 5
        assert caught.value.exit is Exit.USAGE
        assert len(caught.value.message) < 1000
        if case not in ("deep lists",):
            (folder / "my.toml").write_bytes(text)
            with pytest.raises(BuildError):
                read_corrections(folder / "my.toml")


def test_includes_without_an_end(folder: Path) -> None:
    for n in range(12):  # each twice: 4096 files in all
        (folder / f"i{n}.toml").write_text(f'include = ["i{n + 1}.toml", "i{n + 1}.toml"]\n')
    (folder / "i12.toml").write_text("")
    with pytest.raises(BuildError, match="joins more than 50 files"):
        load("i0", folder=folder)


def test_a_fifo_is_no_recipe(folder: Path) -> None:
    os.mkfifo(folder / "evil.toml")
    with pytest.raises(BuildError):
        load("evil", folder=folder)
    with pytest.raises(BuildError):
        read_corrections(folder / "evil.toml")


# Corrections in a file of their own


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        (
            '[modes]\n"/usr/bin/tool" = 755\n',
            'my.toml: modes."/usr/bin/tool": must be a string, not a whole number',
            'write the mode in quotes: "0755"',
        ),
        (
            '[modes]\n"/usr/bin/tool" = 0755\n',
            "my.toml: not valid TOML: ",
            'write a mode in quotes: "0755"',
        ),
        ('modes = {"/x" = 0o755}', "must be a string", 'in quotes: "0755"'),
        ('modes = {"/x" = 0o644}', "must be a string", 'or "0644" for 0o644'),
        ('modes = {"/x" = 1.5}', "must be a string", 'such as "0755"'),
        ('modes = {"/x" = "0955"}', "my.toml: modes.\"/x\": '0955' is no mode", '"0755"'),
        ("depends = ['x (> 1)']", "my.toml: depends[0]: 'x (> 1)' is no relation", "libc6 (>= "),
        ("remove = ['boot/x']", "my.toml: remove[0]: 'boot/x' is no absolute path", "/boot/x"),
        ("revision = 1", "my.toml: revision: must be a string, not a whole number", '"1"'),
        ("grub = 'yes'", "my.toml: grub: must be true or false", "true"),
        ("services = {xend = 'always'}", "my.toml: services.xend: 'always' is no way", "boot"),
        ("purge = ['/home']", "my.toml: purge[0]: '/home' can't be removed", "/var/lib/"),
        ("a = \n", "(at line 1, column 5)", "correct that line"),
    ],
)
def test_a_mistake_in_corrections_is_told_when_they_are_read(
    tmp_path: Path, text: str, message: str, hint: str
) -> None:
    (tmp_path / "my.toml").write_text(text)
    with pytest.raises(BuildError) as caught:
        read_corrections(tmp_path / "my.toml")
    assert message in caught.value.message
    assert hint in caught.value.hint


# Anything at all


@given(st.text(max_size=60))
def test_no_text_passes_with_a_character_that_means_something(text: str) -> None:
    special = set(" \t\n\r\0\"'`\\|<>{}^")
    for form in (forms.mirror, forms.address, forms.words, forms.glob, forms.file_name):
        for candidate in (text, f"http://m/{text}"):
            if not form(candidate):
                assert not special & set(candidate)
                assert candidate.isascii()
                assert not candidate.startswith("-")
    for check in (debian.name_problem, debian.version_problem):
        if not check(text):
            assert text.isascii()
            assert text[0].isalnum()
    if not forms.inside(text):
        assert ".." not in text.split("/")
        assert not text.startswith("/")
        assert "\n" not in text
