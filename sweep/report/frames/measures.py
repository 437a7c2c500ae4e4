"""What can be shown of a cell: each statistic with its title, its scale and how seeds are averaged."""

from collections.abc import Iterable
from dataclasses import dataclass

from sweep.base.errors import unknown

RATIO, SIZE, SHARE, SIGNED, COUNT, WORD = "ratio", "size", "share", "signed", "count", "word"
THEORY = "theory_"


@dataclass(frozen=True)
class Measure:
    """A column of the tables as a figure shows it.

    scale: RATIO is positive and 1 is healthy; SIZE is positive; SHARE lies in [0, 1]; SIGNED lies
    around 0; COUNT is a layer's number; WORD is the verdict. The first two are averaged
    geometrically over the seeds, the next three arithmetically, a word by majority.
    """

    name: str
    title: str
    scale: str
    by_layer: bool = True  # a column of `layers` too

    @property
    def geometric(self) -> bool:
        """Whether seeds are averaged, and axes drawn, in logarithms."""
        return self.scale in (RATIO, SIZE)


MEASURES = {
    measure.name: measure
    for measure in (
        Measure("std", "std of the last layer", RATIO),
        Measure("rms", "rms of the last layer", RATIO),
        Measure("mean", "mean of the last layer", SIGNED),
        Measure("pre_rms", "rms before the last activation", RATIO),
        Measure("flat", "share of units that pass no gradient", SHARE),
        Measure("dead", "share of neurons flat for every input", SHARE),
        Measure("sample_cosine", "mean cosine between inputs", SHARE),
        Measure("neuron_corr", "mean |correlation| between neurons", SHARE),
        Measure("delta_std_first", "gradient that reaches the input: std of dL/dh₀", RATIO, by_layer=False),
        Measure(
            "grad_std_first", "gradient of the first layer's weights: std of dL/dW₁", SIZE, by_layer=False
        ),
        Measure("delta_std", "std of dL/dh at the last layer", RATIO),
        Measure("delta_rms", "rms of dL/dh at the last layer", RATIO),
        Measure("grad_std", "std of dL/dW at the last layer", SIZE),
        Measure("grad_rms", "rms of dL/dW at the last layer", SIZE),
        Measure("first_nonfinite_layer", "first layer that is not finite", COUNT, by_layer=False),
        Measure("verdict_layer", "layer from which on the verdict holds", COUNT, by_layer=False),
        Measure("verdict", "verdict", WORD, by_layer=False),
    )
}

# One sign for each verdict: letters first, colours second.
LETTERS = {
    "healthy": "H",
    "vanishing": "V",
    "exploding": "E",
    "saturated": "S",
    "collapsed": "C",
    "symmetric": "=",
    "gradient-vanishing": "gV",
    "gradient-exploding": "gE",
    "failed": "×",
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
