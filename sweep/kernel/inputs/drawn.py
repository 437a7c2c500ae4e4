"""x of every seed: it depends on the seed, the width and the kind of inputs, and never on the depth."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from sweep.base.inputs import Inputs
from sweep.kernel.draws import streams


def inputs_of(inputs: Inputs, seeds: Sequence[int], batch: int, width: int) -> NDArray[np.float32]:
    """x: (seeds, batch, width); a smaller batch is a prefix of a larger one.

    Of images and of a file's rows each seed sees `batch` of its own, in an order of its own. Raises
    InputError where a file is no longer what was asked for, RequestError where digits cannot be loaded.
    """
    if inputs.name == "correlated":
        x = streams.inputs(seeds, batch, width)
        x *= np.float32(np.sqrt(1 - inputs.c0))
        x += np.float32(np.sqrt(inputs.c0)) * streams.common_input(seeds, width)
        return x
    if inputs.name == "student":
        return streams.student_inputs(seeds, batch, width, inputs.df)
    if inputs.name == "digits":
        from sweep.kernel.inputs.digits import unit_digits  # noqa: PLC0415  scikit-learn

        images = unit_digits(width)
        return np.stack([images[streams.rows(seed, len(images), batch)] for seed in seeds])
    if inputs.name == "npy":
        from sweep.kernel.inputs.files import rows_of  # noqa: PLC0415  files are read where there are any

        return rows_of(inputs, seeds, batch, width)
    return streams.inputs(seeds, batch, width)
