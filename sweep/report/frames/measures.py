"""What can be shown of a cell: each statistic with its title, its scale and how seeds are averaged."""

from collections.abc import Iterable
from dataclasses import dataclass

from sweep.base.errors import unknown
from sweep.kernel.statistics.table import RATIO, SHARE, SIZE, STATISTICS

COUNT, WORD = "count", "word"  # beside the scales of statistics
THEORY = "theory_"


@dataclass(frozen=True)
class Measure:
    """A column of the tables as a figure shows it.

    scale: that of a statistic, COUNT (a layer's number) or WORD (the verdict). RATIO and SIZE are averaged
    geometrically over the seeds, SHARE, SIGNED and COUNT arithmetically, a word by majority.
    """

    name: str
    title: str
    scale: str
    by_layer: bool = True  # a column of `layers` too
    label: str = ""  # of an axis, where it is not the name

    @property
    def geometric(self) -> bool:
        """Whether seeds are averaged, and axes drawn, in logarithms."""
        return self.scale in (RATIO, SIZE)


MEASURES = {
    one.name: Measure(one.name, one.title, one.scale, label=one.label) for one in STATISTICS.values()
} | {
    measure.name: measure
    for measure in (
        Measure("delta_std_first", "gradient that reaches the input: std of dL/dh₀", RATIO, by_layer=False),
        Measure(
            "grad_std_first", "gradient of the first layer's weights: std of dL/dW₁", SIZE, by_layer=False
        ),
        Measure("first_nonfinite_layer", "first layer that is not finite", COUNT, by_layer=False),
        Measure("leaves_float32_layer", "first layer that float32 could not hold", COUNT, by_layer=False),
        Measure("loss_scale", "loss scale that the number format asks for", SIZE, by_layer=False),
        Measure("verdict_layer", "layer from which on the verdict holds", COUNT, by_layer=False),
        Measure("test_accuracy", "trained: share of held-out inputs right", SHARE, by_layer=False),
        Measure("train_accuracy", "trained: share of training inputs right", SHARE, by_layer=False),
        Measure("readout_accuracy", "its readout alone trained: the same share", SHARE, by_layer=False),
        Measure("train_loss", "trained: cross-entropy", SIZE, by_layer=False),
        Measure("diverged_at", "step at which the training diverged", COUNT, by_layer=False),
        Measure("verdict", "verdict", WORD, by_layer=False),
    )
}


def measure(name: str, columns: Iterable[str] = ()) -> Measure:
    """The statistic of that name, or its prediction 'theory_…'.

    columns: the table's; a prediction that it does not have is unknown.
    Raises RequestError with the closest name.
    """
    base = MEASURES.get(name.removeprefix(THEORY)) if isinstance(name, str) else None
    if base and (base.name == name or name in columns):
        return base if base.name == name else Measure(name, f"predicted {base.title}", base.scale)
    options = [
        *MEASURES,
        *(c for c in columns if c.startswith(THEORY) and c.removeprefix(THEORY) in MEASURES),
    ]
    raise unknown("value", name, options)
