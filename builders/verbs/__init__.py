# SPDX-License-Identifier: GPL-2.0-or-later
"""The verbs, each a module of its name: `Options`, a frozen dataclass, and run(options) -> Outcome.

`catalogue` names them. `option`, `command`, `verb` and `quick` are how they get their options;
`building`, `builds`, `custom` and `maintainer` are what several share. None but tasks.py and
`program` imports these, and nothing below `show` prints.
"""
