"""What of a request is to be computed: what the study lacks of it."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from sweep.execution.screen import say
from sweep.store.index import Status, StoredIndex
from sweep.store.parts.integrity import DamagedError
from sweep.store.study import Study


def look_up(study: Study, dry_run: bool) -> StoredIndex:
    """What is stored; damaged parts are named and set aside, which a dry run leaves to others."""
    while True:
        try:
            return StoredIndex(study)
        except DamagedError as error:
            if dry_run:
                raise
            set_aside(study, error.parts)


def to_compute(held: NDArray[np.int8], retry_failed: bool, overwrite: bool) -> NDArray[np.bool_]:
    """(cells,): which are to be computed; held: (cells,), the Status of each."""
    again = overwrite | (retry_failed & (held == Status.FAILED))
    missing: NDArray[np.bool_] = (held == Status.MISSING) | again
    return missing


def set_aside(study: Study, damaged: Mapping[str, str]) -> None:
    """Name damaged parts, part -> why, and move them away."""
    for name, why in damaged.items():
        say(f"damaged part {name} ({why}): set aside in {study.path}/quarantine, its cells are planned again")
    study.set_aside(damaged)
