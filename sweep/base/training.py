"""What a short training is: none, or plain SGD on a small classification, with its parameters."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from sweep.base import checks
from sweep.base.errors import RequestError
from sweep.base.registry import Registry

AUTO = "auto"  # of lr: half the largest stable step that theory predicts
USUAL_STEP = 0.01  # of lr where theory predicts none
CLASSES = 10
Step = float | str


@dataclass(frozen=True)
class Source:
    """What there is to learn; ten classes, every input of unit second moment.

    number: in the keys of random streams. training, held_out: how many inputs. narrowest: the fewest neurons
    that take an input whole. cosine: the mean over pairs of different inputs. from_scikit_learn: whether it
    needs the extra `train`.
    """

    number: int
    training: int
    held_out: int
    narrowest: int
    cosine: float
    from_scikit_learn: bool = False


SHARE_OF_CLASS = 0.5  # of a mixture's input: its squared cosine with the middle of its class
SOURCES = {
    # Images of 8 × 8 pixels in 17 shades, none of which is negative: hence the cosine.
    "digits": Source(0, 1438, 359, 64, 0.688, True),
    # One input in ten is of the same class.
    "mixture": Source(1, 1600, 400, 1, SHARE_OF_CLASS / CLASSES),
}


@dataclass(frozen=True)
class Training:
    """One kind of training. takes: the parameters that it has a use for; lr: a number, or AUTO."""

    name: str
    takes: tuple[str, ...] = ()
    steps: int = 300
    lr: Step = USUAL_STEP
    batch: int = 128
    data: str = "digits"
    revision = 1

    @property
    def parameters(self) -> tuple[tuple[str, Any], ...]:
        """(name, value) of each that it takes."""
        return tuple((name, getattr(self, name)) for name in self.takes)

    @property
    def source(self) -> Source:
        """What is learned."""
        return SOURCES[self.data]


def _step(value: object) -> Step:
    if value == AUTO:
        return AUTO
    try:
        return checks.real("train.lr", value, 0.0, strictly=True)
    except RequestError as error:
        raise RequestError(f"{error}, or {AUTO}") from None


def _sgd(steps: int = 300, lr: Step = USUAL_STEP, batch: int = 128, data: str = "digits") -> Training:
    data = checks.option("train.data", data, tuple(SOURCES))
    batch, most = checks.whole("train.batch", batch, 1), SOURCES[data].training
    if batch > most:
        raise RequestError(
            f"train.batch={batch}: a batch of {data} has at most its {most:,} training inputs: choose a "
            "smaller one"
        )
    takes = ("steps", "lr", "batch", "data")
    return Training("sgd", takes, checks.whole("train.steps", steps, 1), _step(lr), batch, data)


NONE = Training("none")
TRAININGS: dict[str, Training | Callable[..., Training]] = {"none": NONE, "sgd": _sgd}
REGISTRY: Registry[Training] = Registry("train", "training", Training, TRAININGS, None)


def check_input(training: Training, widths: Sequence[int]) -> None:
    """RequestError where inputs of these widths, input first, cannot hold what is to be learned."""
    if training is not NONE and widths[0] < training.source.narrowest:
        raise RequestError(
            f"train.data={training.data}: its inputs have {training.source.narrowest} numbers, and the "
            f"network's input only {widths[0]}: choose a larger width, or train.data=mixture"
        )


def check_library(training: Training) -> None:
    """RequestError where what is to be learned needs a library that is not there, which is not imported."""
    if training is not NONE and training.source.from_scikit_learn:
        checks.scikit_learn(f"train.data={training.data}", "train.data=mixture")


def with_step(parameters: str, step: float) -> str:
    """The parameters as JSON with another lr."""
    values = json.loads(parameters) | {"lr": step}
    return json.dumps(values, sort_keys=True, separators=(",", ":"))
