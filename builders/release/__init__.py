# SPDX-License-Identifier: GPL-2.0-or-later
"""A release: an apt repository of the finished packages, signed, with what proves its origin.

`facts` gathers what is known of each build, `documents`, `provenance` and `bill` tell it in the
forms that others read, `repository` makes apt's indexes, `signing` signs and checks, `publish`
puts the folder in its place, `verify` checks one, `notes` compares two. Nothing here prints.
"""
