"""The step of a training whose lr is 'auto': half the largest of smooth descent, where theory knows that."""

import math
from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING

from sweep.base.errors import SweepError
from sweep.base.training import AUTO, USUAL_STEP, Training, with_step
from sweep.experiment.predictions.weights import biases_of, plain_layers, schemes_of
from sweep.kernel import Chain
from sweep.theory.consequences.step import conditioned

if TYPE_CHECKING:
    from sweep.experiment.cell import Spec


def with_known_step(spec: "Spec") -> "Spec":
    """The same where its step is a number or follows from theory; else with the usual step."""
    if spec.training.lr != AUTO or (not spec.has_own and _of(spec) is not None):
        return spec
    return replace(spec, train_params=with_step(spec.train_params, USUAL_STEP))


def step_of(spec: "Spec") -> float:
    """The step that a network is trained with."""
    training = spec.training
    step = _of(spec) if training.lr == AUTO else training.lr
    assert isinstance(step, float), "an lr that theory does not know is the usual one"
    return step


def _of(spec: "Spec") -> float | None:
    return _half_of_largest(replace(spec.family, depth=spec.depth), spec.profile, spec.training)


@lru_cache(maxsize=4096)
def _half_of_largest(chain: Chain, widths: tuple[int, ...], training: Training) -> float | None:
    """batch / 2 · lr_max of a loss that is a mean over the batch; None where no theory gives it.

    lr_max = 2 / lambda_max of the tangent kernel is that of a loss summed over its inputs. There is one for
    plain networks of weights of zero mean and known variance.
    """
    numbered = schemes_of(chain, widths)
    if numbered is None or not chain.block.plain:
        return None
    layers, biases, inputs = plain_layers(numbered, widths), biases_of(chain, widths), training.batch
    try:
        found = conditioned(chain.act, layers, widths, biases, inputs, 1.0, training.source.cosine)
    except (SweepError, FloatingPointError, OverflowError):
        return None
    step = inputs / 2 * found.lr_max
    return step if 0 < step < math.inf else None
