# SPDX-License-Identifier: GPL-2.0-or-later
from __future__ import annotations

import platform
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from builders.errors import BuildError
from builders.ground.suite import mirror
from builders.ground.suite.mirror import Mirror, sources_list
from builders.pipeline.recipe import Suite

OURS = "http://mirror.example.org/debian"
SECURITY = "http://security.example.org/debian-security"
LINES = f"""\
deb {OURS} bookworm main
deb {OURS} bookworm-updates main
deb {SECURITY} bookworm-security main
"""
DEB822 = f"""\
Types: deb deb-src
URIs: {OURS}/
Suites: bookworm bookworm-updates
Components: main contrib
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg

# security
Types: deb
URIs: {SECURITY}
Suites: bookworm-security
Components: main
"""


@pytest.fixture(autouse=True)
def box(monkeypatch: pytest.MonkeyPatch) -> None:
    """A Debian 12, with nothing in the environment."""
    release = {"ID": "debian", "VERSION_CODENAME": "bookworm"}
    monkeypatch.setattr(platform, "freedesktop_os_release", lambda: release)
    monkeypatch.delenv(mirror.MAIN, raising=False)
    monkeypatch.delenv(mirror.SECURITY, raising=False)


@pytest.fixture
def apt(tmp_path: Path) -> Path:
    (tmp_path / "sources.list.d").mkdir()
    return tmp_path


# The box's own apt


def test_one_line(apt: Path) -> None:
    (apt / "sources.list").write_text(LINES)
    assert mirror.of_box(apt) == Mirror(OURS, SECURITY)


def test_deb822(apt: Path) -> None:
    (apt / "sources.list.d" / "debian.sources").write_text(DEB822)
    assert mirror.of_box(apt) == Mirror(OURS, SECURITY)


@pytest.mark.parametrize(
    "line",
    [
        f"deb [arch=amd64] {OURS} bookworm main",
        f"deb [ arch=amd64,i386 signed-by=/a/b.gpg ] {OURS}/ bookworm main contrib",
        f"deb\t[trusted=yes]\t{OURS}   bookworm\tmain # why",
        f"  deb {OURS} stable main",
    ],
)
def test_one_line_with_options(apt: Path, line: str) -> None:
    (apt / "sources.list").write_text(f"# comment\n\n{line}\n")
    assert mirror.of_box(apt) == Mirror(OURS, "")


@pytest.mark.parametrize(
    "line",
    [
        f"# deb {OURS} bookworm main",
        f"deb-src {OURS} bookworm main",
        f"deb {OURS} bookworm-backports main",
        f"deb {OURS} bullseye main",
        f"deb {OURS} bookworm contrib",
        f"deb {OURS} bookworm/",
        f"deb {OURS}",
        "deb cdrom:[Debian GNU/Linux 12.0.0 _Bookworm_ - NETINST]/ bookworm main",
        "deb file:/srv/debian bookworm main",
        "deb copy:/srv/debian bookworm main",
        "deb [ bookworm main",
        "deb",
    ],
)
def test_one_line_that_serves_no_suite_of_the_box(apt: Path, line: str) -> None:
    (apt / "sources.list").write_text(line)
    assert mirror.of_box(apt) is None


def test_an_address_with_a_number(apt: Path) -> None:
    (apt / "sources.list").write_text("deb http://[::1]:3142/debian bookworm main\n")
    assert mirror.of_box(apt) == Mirror("http://[::1]:3142/debian", "")


@pytest.mark.parametrize(
    "change",
    [
        ("Types: deb deb-src", "Types: deb-src"),
        ("Types: deb deb-src", "Enabled: no\nTypes: deb"),
        ("Types: deb deb-src", "Enabled: False\nTypes: deb"),
        ("Suites: bookworm bookworm-updates", "Suites: sarge"),
        ("Components: main contrib", "Components: contrib"),
    ],
)
def test_deb822_that_is_not_meant(apt: Path, change: tuple[str, str]) -> None:
    (apt / "sources.list.d" / "debian.sources").write_text(DEB822.replace(*change))
    assert mirror.of_box(apt) is None


def test_deb822_with_a_key_inside_and_several_addresses(apt: Path) -> None:
    key = "Signed-By:\n -----BEGIN PGP PUBLIC KEY BLOCK-----\n .\n mDMEZ\n -----END-----\n"
    text = DEB822.replace(
        "Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg\n", f"Enabled: yes\n{key}"
    ).replace(f"URIs: {OURS}/", f"URIs: {OURS} http://other.example.org/debian")
    (apt / "sources.list.d" / "debian.sources").write_text(text)
    assert mirror.of_box(apt) == Mirror(OURS, SECURITY)


def test_other_files_are_not_read(apt: Path) -> None:
    (apt / "sources.list.d" / "debian.list.save").write_text(LINES)
    (apt / "sources.list.d" / "debian.sources.dpkg-old").write_text(DEB822)
    (apt / "sources.list.d" / "folder.list").mkdir()
    assert mirror.of_box(apt) is None


THIRD_PARTIES = [
    "deb http://acme.example.org/apt stable main",
    "deb http://acme.example.org/apt bookworm main",
    "deb [signed-by=/k] http://acme.example.org/acme/6.0/debian bookworm main",
    "deb http://acme.example.org/debian bookworm main",
]


@pytest.mark.parametrize("line", THIRD_PARTIES)
def test_others_who_publish_for_the_suite_are_not_debian(apt: Path, line: str) -> None:
    (apt / "sources.list.d" / "acme.list").write_text(line + "\n")
    (apt / "sources.list.d" / "debian.sources").write_text(DEB822)
    (apt / "sources.list.d" / "zulu.list").write_text(line + "\n")
    assert mirror.of_box(apt) == Mirror(OURS, SECURITY)


def test_a_mirror_whose_path_is_another(apt: Path) -> None:
    text = LINES.replace(OURS, "http://cache.example.org/debian-remote")
    (apt / "sources.list").write_text(THIRD_PARTIES[1] + "\n" + text)
    assert mirror.of_box(apt) == Mirror("http://cache.example.org/debian-remote", SECURITY)


def test_a_file_with_a_list_of_mirrors(apt: Path) -> None:
    # Debian's cloud images name their mirrors so; the file does not exist in a container.
    (apt / "debian.list").write_text(f"# main\n{OURS}/\tpriority:1\nhttp://b.example.org/debian\n")
    (apt / "security.list").write_text(f"{SECURITY}\n")
    text = DEB822.replace(f"{OURS}/", f"mirror+file://{apt}/debian.list")
    text = text.replace(SECURITY, f"mirror+file:{apt}/security.list")
    (apt / "sources.list.d" / "debian.sources").write_text(text)
    assert mirror.of_box(apt) == Mirror(OURS, SECURITY)


def test_a_missing_file_of_mirrors_is_none(apt: Path) -> None:
    (apt / "sources.list").write_text(f"deb mirror+file:{apt}/no.list bookworm main\n")
    assert mirror.of_box(apt) is None


def test_another_system_has_none(apt: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (apt / "sources.list").write_text(LINES.replace("bookworm", "stable"))
    monkeypatch.setattr(
        platform, "freedesktop_os_release", lambda: {"ID": "other", "VERSION_CODENAME": "bookworm"}
    )
    assert mirror.of_box(apt) is None


def test_sid_names_itself(apt: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (apt / "sources.list").write_text(f"deb {OURS} sid main\n")
    monkeypatch.setattr(platform, "freedesktop_os_release", lambda: {"ID": "debian"})
    assert mirror.of_box(apt) == Mirror(OURS, "")


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("apt")
    (folder / "sources.list.d").mkdir()
    return folder


@pytest.mark.slow
@settings(max_examples=60)
@given(st.text(max_size=80) | st.sampled_from([LINES, DEB822]).map(lambda t: t[7:-9]))
@example("/bin/ls")  # no file is read for being named
def test_any_lists_are_read(scratch: Path, text: str) -> None:
    (scratch / "sources.list").write_bytes(text.encode("utf-8", "surrogatepass"))
    (scratch / "sources.list.d/x.sources").write_bytes(text.encode("utf-8", "surrogatepass"))
    found = mirror.of_box(scratch)
    assert found is None or found.main.startswith("http")


# Who has the last word


def test_the_recipe_then_the_environment_then_the_box(
    apt: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (apt / "sources.list").write_text(LINES)
    assert mirror.of(Suite("bookworm"), apt) == Mirror(OURS, SECURITY)
    monkeypatch.setenv(mirror.SECURITY, "http://env.example.org/security")
    assert mirror.of(Suite("bookworm"), apt) == Mirror(OURS, "http://env.example.org/security")
    monkeypatch.setenv(mirror.MAIN, "http://env.example.org/debian")
    assert mirror.of(Suite("bookworm"), apt).main == "http://env.example.org/debian"
    suite = Suite("wheezy", mirror="http://recipe.example.org/debian", security="http://s.example")
    assert mirror.of(suite, apt) == Mirror("http://recipe.example.org/debian", "http://s.example")


def test_a_named_mirror_is_not_mixed_with_the_boxs_security(apt: Path) -> None:
    (apt / "sources.list").write_text(LINES)
    suite = Suite("wheezy", mirror="http://recipe.example.org/debian", pockets=("updates",))
    assert mirror.of(suite, apt) == Mirror("http://recipe.example.org/debian", "")
    with pytest.raises(BuildError, match="nobody names where that is served") as caught:
        mirror.of(replace(suite, pockets=("updates", "security")), apt)
    assert mirror.SECURITY in caught.value.hint
    assert """--set 'suite.pockets=["updates"]'""" in caught.value.hint


def test_the_main_mirror_alone_does_not_drop_the_security_pocket(
    apt: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (apt / "sources.list").write_text(LINES)
    monkeypatch.setenv(mirror.MAIN, "http://env.example.org/debian")
    assert mirror.of(Suite("bookworm"), apt) == Mirror("http://env.example.org/debian", SECURITY)
    (apt / "sources.list").write_text(f"deb {OURS} bookworm main\n")
    with pytest.raises(BuildError, match="bookworm is to have its security pocket"):
        mirror.of(Suite("bookworm"), apt)
    assert mirror.of(Suite("bookworm", pockets=()), apt).security == ""
    monkeypatch.setenv(mirror.SECURITY, "http://env.example.org/security")
    assert mirror.of(Suite("bookworm"), apt).security == "http://env.example.org/security"


def test_nobody_names_one(apt: Path) -> None:
    with pytest.raises(BuildError, match="no Debian mirror is known") as caught:
        mirror.of(Suite("bookworm"), apt)
    assert mirror.MAIN in caught.value.hint
    assert "--set suite.mirror=" in caught.value.hint


def test_only_what_was_said_on_purpose_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    assert mirror.named(Suite("bookworm")) == ""
    monkeypatch.setenv(mirror.MAIN, "http://e")
    assert mirror.named(Suite("bookworm")) == "http://e"
    assert mirror.named(Suite("bookworm", mirror="http://r", security="http://s")) == (
        "http://r http://s"
    )


def test_the_scope_of_an_answer_of_apt() -> None:
    scopes = [
        mirror.scope(suite)
        for suite in (
            Suite("bookworm"),
            Suite("trixie"),
            Suite("bookworm", components=("main", "contrib")),
            Suite("bookworm", pockets=()),
            Suite("bookworm", mirror="http://r"),
            Suite("bookworm", security="http://s"),
        )
    ]
    assert len(set(scopes)) == len(scopes)


# sources.list


def test_sources_list_with_pockets() -> None:
    text = sources_list(
        Suite("bookworm", components=("main", "contrib")), Mirror("http://m", "http://s")
    )
    assert text.splitlines() == [
        "deb http://m bookworm main contrib",
        "deb-src http://m bookworm main contrib",
        "deb http://m bookworm-updates main contrib",
        "deb-src http://m bookworm-updates main contrib",
        "deb http://s bookworm-security main contrib",
        "deb-src http://s bookworm-security main contrib",
    ]


def test_sources_list_without_security_or_pockets() -> None:
    text = sources_list(Suite("bookworm", pockets=("updates",)), Mirror("http://m", ""))
    assert "security" not in text
    assert sources_list(Suite("sid", pockets=()), Mirror("http://m", "http://s")) == (
        "deb http://m sid main\ndeb-src http://m sid main\n"
    )


def test_what_is_written_can_be_read(apt: Path) -> None:
    (apt / "sources.list").write_text(sources_list(Suite("bookworm"), Mirror(OURS, SECURITY)))
    assert mirror.of_box(apt) == Mirror(OURS, SECURITY)
