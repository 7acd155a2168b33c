# SPDX-License-Identifier: GPL-2.0-or-later
"""Turn pinned upstream sources into Debian packages for a Xen host.

`verbs` (and `show`, which prints for them) stand on `release`, that on `proofs`, and these and
`host` on `pipeline`; the pipeline stands on `ground` and `debkit`, and all of them on the modules
here. Nothing imports what stands above it: pyproject.toml has the layers.
"""

from pathlib import Path

VERSION = "0.1.0"
ROOT = Path(__file__).resolve().parent.parent  # of the checkout
