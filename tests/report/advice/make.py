"""Candidates of an advice, a line each."""

import math

import numpy as np

from sweep.report.advice.candidates import NO, YES, Candidate, Survival
from sweep.report.advice.outlook import Outlook


def candidate(chi1, word="yes", kind="independent", name="xavier", good_to=5, **measured):
    sure, possible = word == YES, word != NO
    flags = [np.array([True] * good_to + [held] * (10 - good_to)) for held in (sure, possible)]
    of = Outlook(
        np.ones(10),
        np.ones(10),
        np.array(["healthy"] * 10, object),
        *flags,
        np.full(10, "healthy"),
        *np.full((2, 10), math.nan),
    )
    found = {name: Survival(1, 1, word, *seeds) for name, seeds in measured.items()}
    return Candidate(1.0, (name,), "", 1.0, chi1, 0.5, 9, of, kind, found)
