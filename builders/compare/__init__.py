# SPDX-License-Identifier: GPL-2.0-or-later
"""What differs between two .debs, and what each difference means to who installs the second.

`snapshot` reads one package as a stream, `changes` compares and judges, `pairs` finds what is to
be compared, `show` says it. Nothing here prints.
"""

from builders.compare.changes import Comparison, compare
from builders.compare.pairs import Pairs, pairs
from builders.compare.show import SCHEMA, exit_code, table, to_json
from builders.compare.terms import Change

__all__ = [
    "SCHEMA",
    "Change",
    "Comparison",
    "Pairs",
    "compare",
    "exit_code",
    "pairs",
    "table",
    "to_json",
]
