# SPDX-License-Identifier: GPL-2.0-or-later
"""What each verb does, from its arguments to what it has to say.

`builds`, `inspect`, `boot`, `rebuild`, `releases`, `hosts`, `ci`, `upkeep`, `testing`: the verbs
by what they are about; tasks.py has their command lines. `quick` is `inspect` without Invoke. None
but tasks.py and `program` imports these, and nothing below `show` prints.
"""
