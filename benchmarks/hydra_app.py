"""A bare Hydra app of one NumPy cell: what a launch costs without us.

python benchmarks/hydra_app.py -m hydra/launcher=joblib hydra.launcher.n_jobs=2 'seed=range(0,50)'
python benchmarks/hydra_app.py libraries=true    with what reads and draws a table imported
"""

from typing import Any

import hydra
from hydra.core.config_store import ConfigStore

ConfigStore.instance().store(
    name="config",
    node={
        "init": "xavier",
        "act": "tanh",
        "depth": 2,
        "width": 8,
        "seed": 0,
        "batch": 100,
        "libraries": False,
        "hydra": {"run": {"dir": "."}, "sweep": {"dir": ".", "subdir": "."}, "output_subdir": None},
    },
)


@hydra.main(version_base="1.3", config_path=None, config_name="config")
def main(config: Any) -> float:
    from peers import numpy_cell  # noqa: PLC0415  --help needs no NumPy

    if config.libraries:
        import matplotlib.pyplot as plt  # noqa: F401, PLC0415
        import pandas as pd  # noqa: F401, PLC0415
        import pyarrow.parquet as pq  # noqa: F401, PLC0415

    return numpy_cell(config.init, config.act, config.depth, config.width, config.seed, config.batch)


if __name__ == "__main__":
    main()
