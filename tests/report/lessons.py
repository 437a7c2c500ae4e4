"""Frames of trained networks whose accuracies a test makes up."""

import pandas as pd

from sweep.experiment.cell import Spec
from tests.make import cell

SGD = {"name": "sgd", "data": "mixture"}


def frame(accuracy, scales, depths, seeds=(0,), acts=("tanh",), train=SGD, **values):
    """Rows of `cells`; accuracy: of (scale, depth, seed) -> the share of held-out inputs right."""
    rows = []
    for act in acts:
        for scale in scales:
            for depth in depths:
                for seed in seeds:
                    one = cell(
                        init={"name": "variance_scaling", "scale": scale}, act={"name": act}, depth=depth,
                        width=16, seed=seed, train=train, **{"bias_std": 0.05**0.5} | values,
                    )  # fmt: skip
                    row = {name: getattr(one, name) for name in (*Spec.__dataclass_fields__, "seed")}
                    right = accuracy(scale, depth, seed)
                    row |= {"cell_id": one.id, "sigma_w": scale**0.5, "status": "ok", "kernel_version": "1"}
                    row |= {"test_accuracy": right, "train_accuracy": right, "readout_accuracy": 0.3}
                    rows.append(row | {"train_lr": 0.01, "learned": right >= 0.5, "diverged_at": None})
    return pd.DataFrame(rows)
