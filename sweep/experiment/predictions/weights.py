"""The weights and biases of a network as theory takes them: layer by layer, random and of zero mean."""

from collections.abc import Sequence
from itertools import pairwise

from sweep.initializers import Scheme
from sweep.kernel import Chain
from sweep.theory.maps import Layer, layers_of

Numbered = list[tuple[Scheme, tuple[int, int]]]


def schemes_of(chain: Chain, widths: Sequence[int]) -> Numbered | None:
    """The scheme of every layer, with its fan_in and fan_out; None where theory has no word on them.

    It has one on random weights of zero mean and known variance, whatever their distribution.
    """
    numbered = [(chain.scheme_of(number), fans) for number, fans in enumerate(pairwise(widths), 1)]
    known = all(scheme.known_std and not scheme.weight_mean(*fans) for scheme, fans in numbered)
    return numbered if known else None


def biases_of(chain: Chain, widths: Sequence[int]) -> list[float]:
    """sqrt(Var b) of every layer: (depth,)."""
    return [chain.bias_std_of(number, *fans) for number, fans in enumerate(pairwise(widths), 1)]


def plain_layers(numbered: Numbered, widths: Sequence[int]) -> tuple[Layer, ...]:
    """The layers of a plain network: (depth,)."""
    return layers_of([scheme.weight_std(*fans) for scheme, fans in numbered], widths)
