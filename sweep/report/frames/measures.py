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
    question: str = "Does the signal survive?"  # that a map of it answers
    note: str = ""  # what its caption says beside

    @property
    def geometric(self) -> bool:
        """Whether seeds are averaged, and axes drawn, in logarithms."""
        return self.scale in (RATIO, SIZE)


# Of a short training, which says nothing of the network as it is drawn.
OF_TRAINING = {
    name: Measure(name, title, scale, by_layer=False, question="Does it learn?")
    for name, title, scale in (
        ("test_accuracy", "trained: share of held-out inputs right", SHARE),
        ("train_accuracy", "trained: share of training inputs right", SHARE),
        ("readout_accuracy", "its readout alone trained: the same share", SHARE),
        ("learned", "trained: share of seeds that learned", SHARE),
        ("train_loss", "trained: cross-entropy", SIZE),
        ("diverged_at", "step at which the training diverged", COUNT),
    )
}
MEASURES = {
    one.name: Measure(one.name, one.title, one.scale, label=one.label) for one in STATISTICS.values()
} | {
    measure.name: measure
    for measure in (
        *OF_TRAINING.values(),
        Measure("delta_std_first", "gradient that reaches the input: std of dL/dh₀", RATIO, by_layer=False),
        Measure(
            "grad_std_first", "gradient of the first layer's weights: std of dL/dW₁", SIZE, by_layer=False
        ),
        Measure("first_nonfinite_layer", "first layer that is not finite", COUNT, by_layer=False),
        Measure("leaves_float32_layer", "first layer that float32 could not hold", COUNT, by_layer=False),
        Measure("loss_scale", "loss scale that the number format asks for", SIZE, by_layer=False),
        Measure("verdict_layer", "layer from which on the verdict holds", COUNT, by_layer=False),
        Measure(
            "jac_spread",
            "singular values of dh_L / dh₀: Var(s²) / E[s²]²",
            SIZE,
            by_layer=False,
            question="How far from an isometry?",
        ),
        Measure("verdict", "verdict", WORD, by_layer=False, question="What becomes of the signal?"),
    )
}
# What theory says of a whole network, beside which nothing is measured: shown where it is asked for.
OF_THEORY = {
    measure.name: measure
    for measure in (
        Measure(
            "theory_lr_max", "largest step of smooth descent, lr_max, by theory", SIZE, by_layer=False,
            question="How large may a step be?",
            note="lr_max = 2 / the largest eigenvalue of the tangent kernel, for a loss summed over the "
            "batch's inputs (for their mean: times the batch), one linear output; it bounds smooth descent "
            "of the network linearised at its start: the network itself may leap above it, and settle; no "
            "panel, or grey too, where chance counts for more (odd act without biases; narrow and deep)",
        ),
        Measure(
            "theory_kappa", "conditioning of the tangent kernel, kappa, by theory", SIZE, by_layer=False,
            question="How even is descent?",
            note="kappa = the largest eigenvalue of the tangent kernel over its least, for as many inputs as "
            "the batch has",
        ),
    )
}  # fmt: skip
STEP = OF_THEORY["theory_lr_max"]


def measure(name: str, columns: Iterable[str] = ()) -> Measure:
    """The statistic of that name, or its prediction 'theory_…'.

    columns: the table's; a prediction that it does not have is unknown.
    Raises RequestError with the closest name.
    """
    if isinstance(name, str) and name in OF_THEORY and name in columns:
        return OF_THEORY[name]
    base = MEASURES.get(name.removeprefix(THEORY)) if isinstance(name, str) else None
    if base and (base.name == name or name in columns):
        return base if base.name == name else Measure(name, f"predicted {base.title}", base.scale)
    options = [
        *MEASURES,
        *(
            c
            for c in columns
            if c in OF_THEORY or (c.startswith(THEORY) and c.removeprefix(THEORY) in MEASURES)
        ),
    ]
    raise unknown("value", name, options)
