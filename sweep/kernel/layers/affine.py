"""The affine part of a layer: z = h W + b, with W = std · Z + mean, for several seeds at once."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from sweep.base.arrays import Array
from sweep.initializers import Scheme
from sweep.kernel.layers.ranges import RANGES
from sweep.kernel.layers.signal import Signal

UNSURE = 1e4  # roundings: a spread of fewer is known to no better than 1e-4


@dataclass(frozen=True)
class Product:
    """scale · h Z of one layer.

    h: (seeds, batch, fan_in). z_unit: Z, (seeds, fan_in, fan_out); None where W is constant. first: h Z, if
    known. scratch: shape -> an array that the next product may overwrite.
    """

    h: Array
    z_unit: Array | None
    first: Array | None
    fan_out: int
    scratch: Callable[[tuple[int, ...]], Array]

    def __call__(self, seeds: slice, rows: slice, scale: Array) -> Array:
        """The product of some seeds and rows, (seeds, rows, fan_out), which the next one overwrites.

        scale: (all seeds,), of the dtype.
        """
        factor, scale = self.h[seeds, rows], scale[seeds, None, None]
        out = self.scratch((*factor.shape[:2], self.fan_out))
        if self.z_unit is None:
            out[...] = 0
        elif self.first is not None:
            np.multiply(self.first[seeds, rows], scale, out=out)
        elif factor.shape[1] > factor.shape[2]:  # there are fewer weights to scale than products
            np.matmul(factor, np.multiply(self.z_unit[seeds], scale), out=out)
        else:
            np.matmul(factor, self.z_unit[seeds], out=out)
            out *= scale
        return out

    def columns(self, network: int, chosen: Array, scale: Array) -> Array:
        """The product of one seed and chosen ones of its first neurons: (batch, neurons); chosen: bool."""
        if self.z_unit is None:
            return np.zeros((self.h.shape[1], int(chosen.sum())), self.h.dtype)
        columns = self.z_unit[network][:, : len(chosen)][:, chosen]
        product: Array = self.h[network] @ (columns * scale[network])
        return product


@dataclass(frozen=True)
class Affine:
    """z = std · (h Z) + mean · (row sums of h) + bias.

    std: (seeds,). bias: (seeds, fan_out) float64, or None. mixes: as a distribution's.
    """

    fan_in: int
    std: Array
    mean: float
    bias: Array | None
    mixes: bool

    @classmethod
    def of(cls, scheme: Scheme, fan_in: int, fan_out: int, seeds: int, bias: Array | None) -> "Affine":
        std, mean = scheme.weight_std(fan_in, fan_out), scheme.weight_mean(fan_in, fan_out)
        mixes = scheme.base is None or scheme.base.mixes
        return cls(fan_in, np.full(seeds, std, np.float64), mean, bias, mixes)

    def size(self, below: Signal) -> Array:
        """log2 of the rms that z may have; -inf where z is 0."""
        fan_in = math.log2(self.fan_in)  # logarithms, since a sum of weights of 1e308 overflows
        weights = np.maximum(np.log2(self.std) + fan_in / 2, np.log2(np.abs(self.mean)) + fan_in)
        size: Array = below.exponent + np.log2(below.rms) + weights
        if self.bias is not None:
            size = np.maximum(size, self.bias_size)
        return np.where(below.finite, size, -np.inf)

    @property
    def bias_size(self) -> Array:
        """log2 of the largest bias: (seeds,)."""
        assert self.bias is not None
        size: Array = np.log2(np.abs(self.bias).max(axis=1))
        return size

    def fitted(
        self, scheme: Scheme, below: Signal, product: Product, centres: bool
    ) -> tuple["Affine", Array]:
        """The same with std and biases of a scheme that looks at the data, and for which seeds it is unsure.

        It is, (seeds,) bool, where the spread of z is little more than the rounding of h, or of h W.
        centres: whether there are biases that take off the mean over the batch.
        """
        unsure = np.zeros(len(self.std), bool)
        if type(scheme).fit is Scheme.fit:
            return self, unsure
        std, rounding = self.std.copy(), RANGES[below.mantissa.dtype].rounding
        bias = np.zeros((len(std), product.fan_out)) if centres else self.bias
        varies = self.bias is not None and self.bias.shape[1] > 1  # a single neuron's only shifts z
        offset = (self if varies else replace(self, bias=None)).offset(below, 0)
        ones = np.ones_like(self.std, below.mantissa.dtype)
        for i in np.flatnonzero(below.finite):
            unit = product(slice(int(i), int(i) + 1), slice(None), ones)[0].astype(np.float64)
            unit *= np.ldexp(1.0, below.exponent[i])
            shift, any_signal = 0.0 if offset is None else offset[i], bool(unit.any())
            mean = centre(unit) if centres else 0.0
            z = std[i] * unit + shift
            products = std[i] * math.sqrt(self.fan_in) * math.ldexp(below.rms[i], int(below.exponent[i]))
            size = max(math.sqrt(np.square(z).mean()), products)
            unsure[i] = (z.any() or (centres and any_signal)) and z.std() <= UNSURE * rounding * size
            std[i] = scheme.fit(std[i], partial(_spread, unit, shift))
            if bias is not None and centres:
                bias[i] = -std[i] * mean
        return replace(self, std=std, bias=bias), unsure

    def drawn(self, z_unit: Array | None, fan_out: int) -> tuple[Array, Array | None]:
        """W and b of all seeds in float32: (seeds, fan_in, fan_out), and (seeds, 1, fan_out) or None."""
        if z_unit is None:
            weights = np.full((len(self.std), self.fan_in, fan_out), self.mean, np.float32)
        else:
            std = self.std.astype(np.float32)[:, None, None]
            weights = z_unit.astype(np.float32, copy=False) * std
            if self.mean:
                weights += np.float32(self.mean)
        return weights, None if self.bias is None else self.bias[:, None].astype(np.float32)

    def times(self, factor: float, centred: bool) -> "Affine":
        """The same with all weights times a number; the biases only if they take off a mean, `centred`."""
        bias = self.bias if self.bias is None or not centred else self.bias * factor
        return replace(self, std=self.std * factor, mean=self.mean * factor, bias=bias)

    def back(self, row_sums: Array | None, dtype: np.dtype[Any]) -> tuple[Array, Array, Array | None]:
        """What turns dL/dz Z^T into dL/dh of the layer below: (exponents, scale, shift), by `Passes.back`.

        row_sums: those of dL/dz, (gradients, seeds, batch, 1), if the weights have a mean. The result is in
        units of 2^exponents.
        """
        exponent: Array = np.frexp(np.maximum(abs(self.mean), self.std))[1]
        scale = np.ldexp(self.std, -exponent).astype(dtype)
        if row_sums is None:
            return exponent, scale, None
        return exponent, scale, row_sums * np.ldexp(self.mean, -exponent)[:, None, None]

    def offset(self, below: Signal, exponent: Array | int) -> Array | None:
        """mean · (row sums of h) + bias, in units of 2^exponent: (seeds, batch or 1, fan_out or 1)."""
        offset = None
        if self.mean:
            row_sums = below.mantissa.sum(axis=2, dtype=np.float64)[..., None]  # (seeds, batch, 1)
            offset = row_sums * np.ldexp(self.mean, below.exponent - exponent)[:, None, None]
        if self.bias is not None:
            bias = np.ldexp(self.bias.T, -exponent).T[:, None]  # (seeds, 1, fan_out)
            offset = bias if offset is None else offset + bias
        return offset


def centre(z: Array) -> Array:
    """Take the mean of each column off, in place, and return them; exactly, where all rows are the same."""
    first = z[0].copy()
    z -= first
    mean = z.mean(axis=0)
    z -= mean
    total: Array = first + mean
    return total


def _spread(unit: Array, offset: Array | float, std: float) -> float:
    return float((std * unit + offset).std())
