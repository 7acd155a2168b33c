# SPDX-License-Identifier: GPL-2.0-or-later
"""A farm: other machines that make stages, by Dask.distributed (https://distributed.dask.org).

A client asks a scheduler for a stage by its key, so that two who ask for the same one get one task.
A worker makes it in its own engine and puts it into the store that all share; only a record comes
back. Whoever reaches a scheduler runs code on its workers: see `address` and `keys`.

`pieces` are what travels, `client` asks, `service` runs the scheduler and the workers.
"""
