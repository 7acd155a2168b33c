# SPDX-License-Identifier: GPL-2.0-or-later
"""The verbs as Invoke's tasks, made from the modules of builders/verbs/."""

from __future__ import annotations

from builders.verbs.catalogue import GROUPS
from builders.verbs.verb import collect

namespace = collect(GROUPS)
