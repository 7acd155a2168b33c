# SPDX-License-Identifier: GPL-2.0-or-later
"""The default `./inv build-all`, rehearsed: its archive and download sites are this machine's.

Nothing of the recipe is changed save addresses, keys and pins. The packages that it is built
with are bookworm's, and what it builds are the small stand-ins in tests/fixtures/rehearsal.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from builders import ROOT
from builders.ground.engine import connection
from builders.ground.engine.labels import LABEL
from builders.ground.engine.step import Step
from builders.ground.sources.cache import Cache
from builders.ground.suite import image
from builders.pipeline.recipe import DEFAULT, GitSource, UrlSource, load
from builders.pipeline.run import Run
from builders.progress import Silent
from tests.engine import oldtools, rehearsal
from tests.engine.rehearsal import Archive, Wheezy, moved, quoted
from tests.engine.suites import needs_debian
from tests.unit.archives import Keys
from tests.unit.servers import Site, folder, page

pytestmark = needs_debian
TITLE = "bits.example is for sale"
XEN = "xen-upstream_4.2.0+dom0.1_amd64.deb"
DEBUG = "xen-upstream-dbgsym_4.2.0+dom0.1_amd64.deb"
KERNEL = "linux-image-3.2.102_1.0.0+dom0.1_amd64.deb"


Changes = Mapping[str, str | None]  # key of the recipe -> what it is set to


class World:
    """The servers, and the tool on this box with all that it needs to know of them."""

    def __init__(self, archive: Archive, wheezy: Wheezy, site: Site, sets: dict[str, str]) -> None:
        self.archive, self.wheezy, self.site, self.sets = archive, wheezy, site, sets
        self.environment: dict[str, str] = {}

    def words(self, changes: Changes) -> list[str]:
        """The overrides, as they are typed; with None `changes` leaves the recipe's own value."""
        sets = {**self.sets, **changes}
        return [f"{key}={value}" for key, value in sets.items() if value is not None]

    def inv(
        self, here: Path, *verb: str, cache: Path | None = None, changes: Changes | None = None
    ) -> subprocess.CompletedProcess[str]:
        """The tool as a person starts it, artifacts below `here`; both outputs in one."""
        words = self.words(changes or {})
        return subprocess.run(
            [str(ROOT / "inv"), *verb, *(w for word in words for w in ("--set", word))],
            env={
                **os.environ,
                **self.environment,
                "DOM0_DEBS_ARTIFACTS": str(here / "artifacts"),
                "XDG_CACHE_HOME": str(cache or here / "xdg"),
                "no_proxy": f"127.0.0.1,{self.archive.address}",
            },
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    here = tmp_path_factory.mktemp("rehearsal")
    (here / "archive").mkdir()
    try:
        archive = Archive(here / "archive")
    except OSError:
        pytest.skip("the engine's bridge is not on this machine")
    with Keys() as keys, archive, Site(folder(here / "sites")) as site:
        wheezy = Wheezy(here / "archive", keys, load(DEFAULT))
        sets = rehearsal.overrides(archive, wheezy, site, here / "sites")
        # Today's site first is the recipe's order; the dead one first is how people find out.
        live, dead = xen_urls(site)
        site.pages[dead.removeprefix(site.root)] = page(TITLE)
        sets["sources.xen.urls"] = quoted([dead, live])
        made = World(archive, wheezy, site, sets)
        unpacking = oldtools.unpacking(oldtools.folder())
        with (
            unpacking as made.environment,
            rehearsal.leaving_nothing(load(DEFAULT, made.words({}))),
        ):
            yield made


def xen_urls(site: Site) -> list[str]:
    """The recipe's addresses of Xen, moved: the one of today, and that of 2012."""
    xen = load(DEFAULT).sources["xen"]
    assert isinstance(xen, UrlSource)
    return [moved(url, site) for url in xen.urls]


class Built:
    """What the one build-all left."""

    def __init__(self, here: Path, said: str) -> None:
        self.here, self.said = here, said
        self.cache = here / "xdg"
        self.folder = here / "artifacts" / DEFAULT
        self.xen, self.kernel = self.folder / XEN, self.folder / KERNEL

    def raw(self, stage: str) -> Path:
        """The package as the build left it."""
        (found,) = self.folder.glob(f"stages/{stage}-build/*/*.deb")
        return found

    def content(self, deb: Path) -> Path:
        """The unpacked package."""
        into = self.here / "unpacked" / deb.name
        if not into.exists():
            into.parent.mkdir(exist_ok=True)
            output("dpkg-deb", "-x", deb, into)
        return into


@pytest.fixture(scope="module")
def built(world: World, tmp_path_factory: pytest.TempPathFactory) -> Built:
    here = tmp_path_factory.mktemp("built")
    begun = time.monotonic()
    done = world.inv(here, "build-all")
    print(f"\nbuild-all took {time.monotonic() - begun:.0f} s\n{done.stdout}")
    assert done.returncode == 0, done.stdout
    return Built(here, done.stdout)


def output(*command: str | Path) -> str:
    """What a program prints."""
    return subprocess.run(
        [str(word) for word in command], check=True, capture_output=True, text=True
    ).stdout


def listing(deb: Path) -> dict[str, str]:
    """Path in the package -> its line in dpkg-deb's listing."""
    lines = output("dpkg-deb", "-c", deb).splitlines()
    return {line.split()[5].removeprefix("."): line for line in lines}


def depends(deb: Path) -> set[str]:
    """Names of the packages that it depends on."""
    text = output("dpkg-deb", "-f", deb, "Depends")
    return {relation.split()[0] for relation in text.split(",") if relation.strip()}


# -- what comes out -------------------------------------------------------------------


def test_it_ends_with_the_packages(built: Built) -> None:
    assert sorted(path.name for path in built.folder.glob("*.deb")) == [KERNEL, DEBUG, XEN]
    manifest = json.loads((built.folder / "manifest.json").read_text())
    assert set(manifest["targets"]) == {"xen", "kernel-debian"}
    assert "note:" not in built.said


def test_nothing_was_overridden_but_addresses_keys_and_pins(built: Built) -> None:
    manifest = json.loads((built.folder / "manifest.json").read_text())
    for target in manifest["targets"].values():
        keys = {override.partition("=")[0] for override in target["overrides"]}
        keys -= set() if rehearsal.vsyscall() else {"suite.vsyscall"}
        allowed = r"suite\.(mirror|security|keyring|signed_by|release_sha256\.wheezy)"
        allowed += r"|sources\.[a-z]+\.(urls|sha256|size|commit)"
        assert [key for key in keys if not re.fullmatch(allowed, key)] == []


def test_the_archive_was_verified_by_keys_that_have_expired(built: Built, world: World) -> None:
    main, security = world.wheezy.fingerprints
    assert (
        f"wheezy: Release of 2012-06-01 verified by key {main}, which expired on 2013-01-01, "
        "and pinned" in built.said
    )
    assert f"wheezy/updates: Release of 2012-06-01 verified by key {security}" in built.said


def test_the_builder_is_of_that_archive(built: Built, world: World) -> None:
    (listed,) = built.folder.glob("stages/image/*/packages.txt")
    packages = {line.split()[0]: line.split()[1] for line in listed.read_text().splitlines()}
    assert set(load(DEFAULT).builder.packages) <= set(packages)
    # What only the build dependencies of the source packages xen and linux-latest ask for.
    assert {"libaio-dev", "bc"} <= set(packages)
    pools = re.findall(r"/debian/pool/([a-z0-9.+-]+)_", "\n".join(world.archive.asked))
    assert set(packages) <= set(pools)


def test_the_squatter_was_passed_over(built: Built) -> None:
    assert "xen: http://127.0.0.1:" in built.said
    assert f'an HTML page (title: "{TITLE}")' in built.said
    assert "trying the next address" in built.said


def test_xen_says_what_it_needs(built: Built) -> None:
    assert not depends(built.raw("xen"))
    libraries = {"libaio1", "libc6", "liblzo2-2", "libyajl2"}
    assert depends(built.xen) == {*libraries, "lsb-base", "procps", "psmisc", "python"}
    # From its ELF files: the recipe states no versions.
    stated = output("dpkg-deb", "-f", built.xen, "Depends")
    assert all(f"{name} (>= " in stated for name in ("libaio1", "liblzo2-2", "libyajl2"))


def test_xen_leaves_one_hypervisor_in_boot(built: Built) -> None:
    stray = {"/boot/xen.gz", "/boot/xen-4.gz", "/boot/xen-4.2.gz", "/boot/xen-syms-4.2.0"}
    assert stray <= set(listing(built.raw("xen")))
    assert [path for path in listing(built.xen) if path.startswith("/boot/x")] == [
        "/boot/xen-4.2.0.gz"
    ]


def test_xen_is_called_and_configured_as_debian_does(built: Built) -> None:
    assert output("dpkg-deb", "-f", built.raw("xen"), "Package") == "xen-upstream-4.2.0\n"
    assert "xen-upstream-4.2.0" in output("dpkg-deb", "-f", built.xen, "Replaces").strip().split(
        ", "
    )
    assert output("dpkg-deb", "--info", built.raw("xen")).count("conffiles") == 0
    conffiles = output("dpkg-deb", "--info", built.xen, "conffiles").split()
    services = ["xen-watchdog", "xencommons", "xend", "xendomains"]
    assert conffiles == [
        "/etc/default/xencommons",
        *(f"/etc/init.d/{name}" for name in services),
        "/etc/xen/scripts/hotplugpath.sh",
        "/etc/xen/xl.conf",
    ]
    postinst = output("dpkg-deb", "--info", built.xen, "postinst")
    assert all(f"update-rc.d {name} defaults >/dev/null" in postinst for name in services)
    assert "deb-systemd" not in postinst
    assert "    pycompile -p xen-upstream\n" in postinst
    tree = built.content(built.xen)
    heads = [(tree / "etc/init.d" / name).read_text() for name in services]
    assert all("# Default-Start:     2 3 4 5\n" in text for text in heads)
    assert all("\n. /lib/lsb/init-functions\n" in text for text in heads)
    assert all("force-reload" in text for text in heads)
    assert "/usr/lib/python2.7/dist-packages/xen/__init__.py" in listing(built.xen)


def test_every_source_went_where_the_makefiles_look(built: Built) -> None:
    boot = built.content(built.xen) / "usr/lib/xen/boot"
    assert (boot / "hvmloader").read_text() == "seabios settings\nthe BIOS\nthe ROM of ipxe\n"
    assert (boot / "pv-grub-x86_64").read_text() == "grub\nlwip\nnewlib\npciutils\nzlib\n"


def test_the_kernel_is_the_newest_of_the_suite_and_its_security_pocket(built: Built) -> None:
    manifest = json.loads((built.folder / "manifest.json").read_text())
    (package,) = manifest["targets"]["kernel-debian"]["packages"].values()
    assert package["version"] == "1.0.0+dom0.1"
    assert output("dpkg-deb", "-f", built.kernel, "Package") == "linux-image-3.2.102\n"
    config = (built.content(built.kernel) / "boot/config-3.2.102").read_text()
    assert f"CONFIG_LOCALVERSION={rehearsal.KERNEL}\n" in config


def test_the_kernel_has_the_pci_back_end_built_in(built: Built) -> None:
    config = (built.content(built.kernel) / "boot/config-3.2.102").read_text().splitlines()
    assert "CONFIG_XEN_PCIDEV_BACKEND=y" in config
    assert "# CONFIG_DEBUG_INFO is not set" in config
    # The rest is the suite's; what is new there has its default.
    assert {"CONFIG_XEN_DOM0=y", "CONFIG_EXT4_FS=m", "# CONFIG_NEW is not set"} <= set(config)


def test_both_are_packed_as_dpkg_of_wheezy_reads_them(built: Built) -> None:
    for deb in (built.xen, built.kernel):
        assert output("ar", "t", deb).split() == ["debian-binary", "control.tar.gz", "data.tar.gz"]


def test_each_has_the_copyright_that_its_source_states(built: Built) -> None:
    for deb, source in ((built.xen, "Xen"), (built.kernel, "Linux")):
        name = output("dpkg-deb", "-f", deb, "Package").strip()
        text = (built.content(deb) / "usr/share/doc" / name / "copyright").read_text()
        assert f"What the stand-in for {source} says of its license" in text


def test_symbols_are_separate_where_the_tools_know_less(built: Built) -> None:
    library = built.content(built.xen) / "usr/lib/libxenctrl.so.4.2.0"
    assert ".symtab" not in output("readelf", "--sections", "--wide", library)
    symbols = built.content(built.folder / DEBUG) / "usr/lib/debug"
    (syms,) = (path for path in symbols.rglob("*") if path.is_file() and not path.is_symlink())
    said = output("readelf", "--sections", "--wide", syms)
    (line,) = (line for line in said.splitlines() if " .debug_info " in line)
    assert "C" not in line.split()[-4], "the old objcopy was not taken"


def test_inspect_finds_no_error_in_them(built: Built, world: World) -> None:
    done = world.inv(built.here, "inspect")
    assert done.returncode == 0, done.stdout
    counted = done.stdout.rstrip().rpartition("\n")[2]
    assert re.fullmatch(r"3 packages: \d+ notes", counted), done.stdout
    raw = world.inv(built.here, "inspect", str(built.raw("xen")))
    assert raw.returncode == 1, raw.stdout


# -- the stand-ins do refuse ----------------------------------------------------------


@pytest.mark.parametrize(
    ("verb", "change", "why"),
    [
        ("build-xen", {"xen.files": "{}"}, "no PYTHON_PREFIX_ARG in .config"),
        ("build-xen", {"xen.makeflags": "true"}, "make 3.81 does not understand MAKEFLAGS"),
        (
            "build-xen",
            {"xen.place": '{"tools/firmware/seabios-dir-remote/" = "seabios"}'},
            "ipxe.tar.gz is not there, and would be downloaded now",
        ),
        ("build-kernel", {"kernel.makeflags": "true"}, "breaks with MAKEFLAGS="),
        ("build-kernel", {"kernel.defaults": "make oldconfig"}, "the standard input is closed"),
        (
            "build-kernel",
            {"kernel.build": '["fakeroot make-kpkg --initrd --revision=1.0.0 kernel_image"]'},
            "make-kpkg clean comes first",
        ),
        (
            "build-kernel",
            {
                "kernel.build": '["make-kpkg clean", "fakeroot make-kpkg --initrd '
                '--revision=1.0.0 kernel_image"]'
            },
            "CONCURRENCY_LEVEL is ''",
        ),
    ],
)
def test_another_way_of_calling_them_fails(
    built: Built, world: World, tmp_path: Path, verb: str, change: Changes, why: str
) -> None:
    done = world.inv(tmp_path, verb, cache=built.cache, changes=change)
    assert done.returncode == 5, done.stdout
    assert why in done.stdout
    assert not finished(tmp_path)


def test_they_would_notice_a_network() -> None:
    # This box has one, at the least the bridge of its engine.
    done = subprocess.run(
        ["sh", "./configure", "--enable-githttp"],
        cwd=rehearsal.FIXTURES / "xen",
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "the build has a network" in done.stdout


# -- bad input ------------------------------------------------------------------------


def finished(here: Path) -> list[str]:
    """What was built below `here`: packages, and outputs of build stages."""
    below = here / "artifacts" / DEFAULT
    return [str(p) for glob in ("*.deb", "stages/*-build/[!.]*") for p in below.glob(glob)]


def refused(world: World, here: Path, changes: Changes, *said: str) -> str:
    """See that build-all ends with 3, says all that and what next, and has built nothing."""
    recipe = load(DEFAULT, world.words(changes))
    before = rehearsal.images(recipe)
    done = world.inv(here, "build-all", changes=changes)
    assert done.returncode == 3, done.stdout
    for words in said:
        assert words in done.stdout
    assert "next: " in done.stdout
    assert not finished(here)
    assert rehearsal.images(recipe) == before
    run = Run(recipe, Silent(), here / "artifacts" / DEFAULT, Cache(here / "xdg"))
    assert not connection.connect(Silent()).containers.list(
        all=True, filters={"label": f"{LABEL}.owner={run.owner}"}, ignore_removed=True
    )
    return done.stdout


def test_only_a_squatter_serves_xen(world: World, tmp_path: Path) -> None:
    _, dead = xen_urls(world.site)
    said = refused(
        world,
        tmp_path,
        {"sources.xen.urls": quoted([dead])},
        "source xen",
        f'an HTML page (title: "{TITLE}")',
        "perhaps the address is dead or squatted",
        "--set sources.xen.urls=file:///",
    )
    assert "bootstrap" not in said


def test_a_tarball_of_the_right_name_and_another_digest(
    built: Built, world: World, tmp_path: Path
) -> None:
    assert built  # the image is there: only the sources are fetched
    pinned = load(DEFAULT).sources["xen"]
    assert isinstance(pinned, UrlSource)
    # The recipe's own pin refuses the stand-in, which has the size that is asked for.
    refused(
        world,
        tmp_path,
        {"sources.xen.sha256": None},
        "source xen could not be fetched",
        f"its sha256 is {world.sets['sources.xen.sha256']}, not {pinned.sha256}",
    )


def test_seabios_at_another_commit(built: Built, world: World, tmp_path: Path) -> None:
    assert built
    pinned = load(DEFAULT).sources["seabios"]
    assert isinstance(pinned, GitSource)
    refused(
        world,
        tmp_path,
        {"sources.seabios.commit": None},
        "source seabios could not be fetched",
        f"commit {pinned.commit} is not in that repository; its branch master is at",
    )


def elsewhere(world: World, name: str) -> Changes:
    """The overrides for an archive that is served below `name`."""
    root = f"{world.archive.root}/{name}"
    return {"suite.mirror": f"{root}/debian", "suite.security": f"{root}/debian-security"}


def test_a_release_that_lists_its_package_files_with_other_hashes(
    world: World, tmp_path: Path
) -> None:
    lists = {
        path: data[:-1] + bytes([data[-1] ^ 1])
        for path, data in world.wheezy.main.items()
        if "/Packages" in path
    }
    world.wheezy.publish("changed", main=lists)
    said = refused(
        world,
        tmp_path,
        elsewhere(world, "changed"),
        "the package lists of wheezy",
        "wrong content",
        "the mirror does not serve what its Release file lists",
    )
    assert f"{world.archive.root}/changed/debian/dists/wheezy/main/binary-amd64/Packages" in said
    assert not [path for path in world.archive.asked if path.startswith("/changed/debian/pool")]


def test_a_release_that_somebody_else_signed(world: World, tmp_path: Path) -> None:
    world.wheezy.publish("stranger", stranger=True)
    refused(
        world,
        tmp_path,
        elsewhere(world, "stranger"),
        "stranger/debian/dists/wheezy/Release is not to be trusted",
        "which suite.signed_by does not list",
    )
    assert not [path for path in world.archive.asked if path.startswith("/stranger/debian/pool")]


def test_another_release_than_the_pinned_one(world: World, tmp_path: Path) -> None:
    own = load(DEFAULT).suite.release_sha256["wheezy"]
    refused(
        world,
        tmp_path,
        {"suite.release_sha256.wheezy": None},
        f"is not the one that the recipe pins: its sha256 is "
        f"{world.sets['suite.release_sha256.wheezy']}, not {own}",
    )


def test_a_package_of_other_content_than_its_list_states(
    built: Built, world: World, tmp_path: Path
) -> None:
    assert built
    name = f"linux-source-3.2_{rehearsal.KERNEL}_all.deb"
    path = world.wheezy.folder / "debian-security" / "pool" / name
    good = path.read_bytes()
    path.write_bytes(bytes(len(good)))
    try:
        # The pin admits an older version, which the archive has: it is not taken for this.
        refused(world, tmp_path, {}, "source linux, linux-source-3.2", "Hash Sum mismatch")
    finally:
        path.write_bytes(good)


# -- with the tools of 2012 -----------------------------------------------------------

old_tools = pytest.mark.skipif(
    oldtools.folder() is None, reason=f"{oldtools.VARIABLE} names no folder of apt and dpkg of 2012"
)
TAKE = rehearsal.FIXTURES / "dpkg" / "take.sh"


def inside(world: World, here: Path, debs: list[Path], script: str) -> str:
    """What a script says in a container of the builder image, root and without a network."""
    run = Run(load(DEFAULT, world.words({})), Silent(), here, Cache(here / "cache"))
    with Step(run, "old", image.name(run.recipe), root=True) as step:
        step.phase("folder", "mkdir /trial")
        step.container.put("/trial", [(deb.name, deb) for deb in debs])
        try:
            step.phase("try", script)
        finally:
            said = step.log.read_text()
            print(said)
    return said


@old_tools
def test_the_old_tools_did_the_work(built: Built) -> None:
    (listed,) = built.folder.glob("stages/image/*/packages.txt")
    versions = dict(line.split()[:2] for line in listed.read_text().splitlines())
    assert versions["dpkg"] == "1.16.18"
    assert versions["apt"].startswith("0.9.7.9")


@old_tools
def test_dpkg_of_2012_takes_what_was_finished(built: Built, world: World, tmp_path: Path) -> None:
    raw = {name: built.raw(name) for name in ("xen", "kernel-debian")}
    debs = [raw["xen"], built.xen, raw["kernel-debian"], built.kernel]
    words = " ".join(f"/trial/{deb.name}" for deb in debs)
    said = inside(world, tmp_path, [*debs, TAKE], f"sh /trial/{TAKE.name} {words}")
    assert "left: .\n" in said


@old_tools
def test_dpkg_of_2012_takes_the_settings_of_a_host(
    built: Built, world: World, tmp_path: Path
) -> None:
    """dom0-config in wheezy's way: what it sets aside comes back."""
    out = tmp_path / "out"
    words = ("--hide", "02:00.0", "--dom0-mem", "512M", "--out", str(out))
    done = world.inv(built.here, "dom0-config", *words, cache=built.cache)
    assert done.returncode == 0, done.stdout
    (settings,) = out.glob("*.deb")
    assert output("ar", "t", settings).split()[1] == "control.tar.gz"
    script = f"""
    set -eux
    rm -f /etc/os-release /usr/lib/os-release # it says bookworm
    dpkg --force-depends --install /trial/{built.xen.name} /trial/{built.kernel.name}
    before=$(sha256sum /etc/xen/xl.conf)
    dpkg --force-depends --install /trial/{settings.name}
    dpkg-divert --list dom0-config | grep -F /etc/xen/xl.conf
    [ "$(sha256sum /etc/xen/xl.conf)" != "$before" ]
    dpkg --force-depends --install /trial/{settings.name}
    dpkg --remove dom0-config
    dpkg --purge dom0-config
    [ "$(sha256sum /etc/xen/xl.conf)" = "$before" ]
    [ -z "$(dpkg-divert --list dom0-config)" ]
    """
    inside(world, tmp_path, [built.xen, built.kernel, settings], script)
