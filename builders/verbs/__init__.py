# SPDX-License-Identifier: GPL-2.0-or-later
"""What each verb does, from its arguments to what it has to say."""
