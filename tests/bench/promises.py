# SPDX-License-Identifier: Apache-2.0
"""Figures of a bench beside what the project promises of them."""


def report(limits, values):
    """Prints each; limits: ((figure, limit), …), at most, or (figure, limit, True): at least. Returns how many are
    worse."""
    worse = 0
    for (what, limit, *at_least), value in zip(limits, values, strict=True):
        is_worse = value < limit if any(at_least) else value > limit
        worse += is_worse
        print(f"{what:62}{value:8.2f}   {'at least' if any(at_least) else 'at most'} {limit:.2f}   {'WORSE' if is_worse else 'ok'}")
    return worse
