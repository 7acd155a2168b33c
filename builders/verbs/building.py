# SPDX-License-Identifier: GPL-2.0-or-later
"""Options that several verbs have which build packages or read those that were built."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from builders.verbs.option import (
    STORE_MODES,
    OfRecipe,
    Overridden,
    Reported,
    option,
    recipe_read,
)


@dataclass(frozen=True, kw_only=True)
class OfTree:
    """Of a verb that can build a tree of the user's own."""

    tree: tuple[str, ...] = option(
        "build xen or linux from this folder as it lies there, not from the recipe's source",
        (),
        value="TARGET=FOLDER",
    )
    patch: tuple[str, ...] = option(
        "put a patch on top of the tree of xen or linux", (), value="[TARGET:]FILE"
    )


@dataclass(frozen=True, kw_only=True)
class FromLock:
    """Of a verb that fetches or builds."""

    locked: bool = option("take what the recipe's lock names, and nothing else", False)


@dataclass(frozen=True, kw_only=True)
class OfStore:
    """Of a verb that may use a store that other machines use too."""

    store: str = option(
        "oci://HOST/PATH: a registry that keeps stages and sources for several machines",
        value="ADDRESS",
        usual="DOM0_DEBS_STORE, or that of dom0-debs.toml",
    )
    store_mode: str = option("what to do with that store", "both", choices=STORE_MODES)


@dataclass(frozen=True, kw_only=True)
class BuildingAny(FromLock, Reported, OfStore, Overridden, OfTree):
    """Of a verb that builds, one recipe or several."""

    jobs: int = option("compilers at once, for all steps together", 0, usual="every core")
    explain: bool = option(
        "only say, for every stage, whether it is done, and what changed if not", False
    )
    offline: bool = option("use only what is cached", False)
    shell: bool = option("open a shell in the container where a step fails", False)
    keep_tree: bool = option(
        "keep the built tree; the next build there sends what changed and runs make", False
    )
    clean: bool = option("take nothing from ccache, and no earlier build that did", False)


@dataclass(frozen=True, kw_only=True)
class Building(BuildingAny, OfRecipe):
    """Of a verb that builds one recipe."""


def flavour_built(default: Any = "") -> Any:
    """The flavour of a kernel that is made; default: () where several may be given."""
    return option(
        "of the kernel: debian (the suite's own configuration), host (for one host), or minimal",
        default,
        value="FLAVOUR",
        usual="debian",
    )


@dataclass(frozen=True, kw_only=True)
class OfKernel:
    """Of a verb that makes a kernel."""

    flavour: str = flavour_built()


@dataclass(frozen=True, kw_only=True)
class HasLoaded:
    """Of a verb that makes one where a host may be named that it is for."""

    lsmod: str = option("for the flavour host: what lsmod said on the host, a file", value="FILE")


@dataclass(frozen=True, kw_only=True)
class ForHost(HasLoaded, OfKernel):
    """Of one that makes a single flavour."""


@dataclass(frozen=True, kw_only=True)
class KernelAsked(HasLoaded):
    """Of a verb that builds kernels."""

    dbg: bool = option("also a package of the kernel's debugging information, NAME-dbg", False)
    module_key: str = option(
        "sign the kernel's modules: a private key and its certificate in one file, in PEM",
        value="FILE",
    )


@dataclass(frozen=True, kw_only=True)
class MakesKernel(KernelAsked, OfKernel):
    """Of a verb that builds one."""


@dataclass(frozen=True, kw_only=True)
class OfBuilt:
    """Of a verb that reads packages; before OfRecipe."""

    recipe: str = recipe_read()
    flavour: str = option("of the kernel", usual="the one that was built")


@dataclass(frozen=True, kw_only=True)
class Trial(Reported, OfBuilt, OfRecipe):
    """Of a verb that tries packages in containers of their suite."""

    path: tuple[str, ...] = option(
        "a .deb or a folder of them, in place of the recipe's", (), value="FILE", words=True
    )
    offline: bool = option("use only what earlier trials downloaded", False)
