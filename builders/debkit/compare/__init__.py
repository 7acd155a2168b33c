# SPDX-License-Identifier: GPL-2.0-or-later
"""What differs between two .debs, and what each difference means to who installs the second.

`snapshot` reads one package as a stream, `changes` compares and judges, `pairs` finds what is to
be compared. Nothing here prints.
"""

from builders.debkit.compare.changes import Comparison, compare, exit_code
from builders.debkit.compare.pairs import Pairs, pairs
from builders.debkit.compare.terms import Change

__all__ = [
    "Change",
    "Comparison",
    "Pairs",
    "compare",
    "exit_code",
    "pairs",
]
