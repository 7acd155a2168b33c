# SPDX-License-Identifier: GPL-2.0-or-later
"""What is particular to building the dom0 kernel: its configuration, above all."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from builders import ROOT
from builders.debkit.kconfig import options
from builders.errors import BuildError, Exit
from builders.pipeline import plan, recipe
from builders.pipeline.plan import OUT, TREE, WORK, Phase, Plan
from builders.pipeline.recipe import Flavour, Kernel, Recipe
from builders.pipeline.stages import Output

DBG = "../linux-image-*-dbg_*.deb"  # as the tree's builddeb names it, in the tree's parent
_DBG, _SIGNED = "dbg.config", "signed.config"  # fragments on top of a flavour's
_CERTIFICATE = "certs/modules.pem"  # in the tree, as the second one has it
LEFT_OUT = "left-out"  # what a flavour that is cut down leaves of its base: options, one a line
# kbuild(5): what would else be the box's date, user and host.
_ENVIRONMENT = """
KBUILD_BUILD_TIMESTAMP=$(date -u -d "@$SOURCE_DATE_EPOCH")
export KBUILD_BUILD_TIMESTAMP
export KBUILD_BUILD_USER=builder KBUILD_BUILD_HOST=builder KDEB_COMPRESS=none
export LOCALVERSION={localversion} KERNEL_FLAVOUR={flavour}
"""


# Which options are modules in the whole configuration, and nothing in the one that is built.
_COMPARE = (
    f"sed -n 's/=m$//p' .config.whole | LC_ALL=C sort >{WORK}/whole",
    f"sed -n 's/=[my]$//p' .config | LC_ALL=C sort >{WORK}/kept",
    f"mkdir -p {OUT}",
    f"LC_ALL=C comm -23 {WORK}/whole {WORK}/kept >{OUT}/{LEFT_OUT}",
)


@dataclass(frozen=True)
class Dropped:
    """An option that a fragment asked for and the final configuration does not have."""

    option: str
    wanted: str
    got: str
    fragment: str


def describe(source: Recipe, flavour_name: str) -> Plan:
    """The plan of the recipe's kernel in one flavour."""
    flavour = recipe.flavour(source, flavour_name)
    kernel = source.kernel
    if kernel is None:
        raise source.lacks("kernel")
    environment = _ENVIRONMENT.format(localversion=flavour.localversion, flavour=flavour_name)
    fragments = read_fragments(flavour, _asked(kernel))
    phases = [plan.unpack(kernel.source), *plan.patch(kernel.patches), *plan.apply(kernel.apply)]
    modules = _modules(kernel, flavour_name, flavour)
    configure = (
        _base(kernel, flavour),
        *(_local(kernel) if modules else ()),
        *((f"cp {WORK}/certificate {_CERTIFICATE}",) if kernel.certificate else ()),
        f"cat {WORK}/fragments/* >>.config",
        kernel.defaults,
        *(_COMPARE if modules else ()),
    )
    phases.append(Phase("configure", plan.lines(configure, environment), parallel=True))
    phases.append(Phase("build", plan.lines(kernel.build, environment), parallel=True))
    phases.append(plan.collect(kernel.deb, kernel.source))
    phases += [plan.collect_whole(DBG)] if kernel.dbg else []

    def check(read: Callable[[str], bytes]) -> None:
        dropped = compare(fragments, read(f"{TREE}/.config").decode("utf-8", "replace"))
        if dropped:
            raise _dropped(flavour_name, dropped)

    sources = source.reads("kernel")
    if flavour.base != "packaged":
        sources = tuple(dict.fromkeys((kernel.source, *kernel.apply)))
    return Plan(
        name=f"kernel-{flavour_name}",
        sources=sources,
        phases=tuple(phases),
        patches=kernel.patches,
        files={
            f"fragments/{n:02}-{name}": text.encode()
            for n, (name, text) in enumerate(fragments.items())
        }
        | ({"lsmod": _lsmod(modules)} if modules else {})
        | ({"certificate": kernel.certificate.encode()} if kernel.certificate else {}),
        makeflags=kernel.makeflags,
        debs=(*kernel.deb, *((DBG,) if kernel.dbg else ())),
        applied=kernel.apply,
        after={"configure": check},
    )


def _base(kernel: Kernel, flavour: Flavour) -> str:
    """The shell line that writes the configuration that fragments go on top of."""
    if flavour.base != "packaged":
        return f"make {flavour.base}"
    folder, path = f"{WORK}/in/{kernel.config}", kernel.config_path.lstrip("/")
    # sh knows the status of a pipe's last command only: each of these fails on a missing file.
    read = {".xz": " | xz -dc", ".gz": " | gzip -dc"}.get("." + path.rpartition(".")[2], "")
    return f"dpkg-deb --fsys-tarfile {folder}/*.deb | tar -xO ./{path}{read} >.config"


def _modules(kernel: Kernel, name: str, flavour: Flavour) -> list[str]:
    """The modules that stay in a flavour that is cut down; none where it is not."""
    if not flavour.keep:
        return []
    if not kernel.loaded:
        raise BuildError(
            f"kernel flavour {name}: what has the host loaded?",
            hint="on the host: lsmod > FILE; then here --lsmod FILE, or --set kernel.loaded=[...]",
        )
    found = set(kernel.loaded)
    for file in flavour.keep:
        text = (ROOT / "configs" / "kernel" / file).read_text(encoding="utf-8")
        found |= {line.strip() for line in text.splitlines() if line.strip() and line[0] != "#"}
    return sorted(found)


def _local(kernel: Kernel) -> tuple[str, ...]:
    """The shell lines that leave of a configuration's modules those that lsmod names."""
    # make asks about each option that is new; an empty line takes its default.
    return (
        kernel.defaults,
        "cp .config .config.whole",
        f'yes "" | make LSMOD={WORK}/lsmod localmodconfig',
    )


def left_out(build: Output) -> str:
    """What to say of the options that a build's flavour left of its base; "" where none was cut."""
    path = build.folder / LEFT_OUT
    if LEFT_OUT not in build.files:
        return ""
    with path.open("rb") as stream:
        count = stream.read(1 << 20).count(b"\n")
    return f"{count:,} options that are modules in the suite's configuration are left out: {path}"


def _lsmod(names: Sequence[str]) -> bytes:
    """As lsmod(8) would write it; scripts/kconfig/streamline_config.pl reads the names only."""
    return "".join(f"{name} 0 0\n" for name in ["Module", *names]).encode()


def dbg(source: Recipe) -> list[str]:
    """The `--set` that stands for `--dbg`."""
    if source.kernel is None:
        raise source.lacks("kernel")
    return ["kernel.dbg=true"]


def _asked(kernel: Kernel) -> tuple[str, ...]:
    """The fragments that go on top of any flavour, for what was asked for."""
    return (*((_DBG,) if kernel.dbg else ()), *((_SIGNED,) if kernel.certificate else ()))


def read_fragments(flavour: Flavour, more: Sequence[str] = ()) -> dict[str, str]:
    """The flavour's fragments and `more`, in order: file name -> text, which ends a line."""
    folder = ROOT / "configs" / "kernel"
    names = (*flavour.fragments, *more)
    texts = {name: (folder / name).read_text(encoding="utf-8") for name in names}
    return {name: text.rstrip("\n") + "\n" for name, text in texts.items()}


def compare(fragments: Mapping[str, str], config: str) -> list[Dropped]:
    """What the fragments ask for and `config` does not have; a later fragment overrules."""
    wanted: dict[str, tuple[str, str]] = {}
    for name, text in fragments.items():
        wanted |= {option: (value, name) for option, value in options(text).items()}
    final = options(config)
    return [
        Dropped(option, value, final.get(option, "n"), fragment)
        for option, (value, fragment) in wanted.items()
        if final.get(option, "n") != value
    ]


def _dropped(flavour: str, dropped: list[Dropped]) -> BuildError:
    shown = "\n".join(
        f"  {d.option}: {d.fragment} asks for {d.wanted}, the configuration has {d.got}"
        for d in dropped
    )
    return BuildError(
        f"kernel flavour {flavour}: Kconfig dropped {len(dropped)} option(s):\n{shown}",
        hint="the option's dependencies are not met or its name is gone in this version: "
        "add what it depends on to the fragment, or take it out",
        exit=Exit.STEP,
    )
