"""The plain loop in long double, on the kernel's draws: what every figure may be, chaos allowed for.

Beside the network run copies of it in which every input, weight, bias, z, h, slope and gradient is
moved by one rounding of the dtype under test. How far they come apart says how far a kernel may;
tests/bounds.py.
"""

import math
from functools import lru_cache
from itertools import pairwise

import numpy as np

from sweep.base.inputs import GAUSSIAN
from sweep.initializers import NORMAL, Scheme
from sweep.kernel.draws import streams
from sweep.kernel.inputs.drawn import inputs_of
from tests.bounds import ANY, CHAOS, FLOOR, GAIN, LARGEST, NULL, SMALLEST, Allowed, Spread, ratio
from tests.exact import FLAT_SLOPE, LONG

COPIES = 3
LEAST_OF_OWN = 1e-305  # of a user's f and f' nearer to 0 a float64 has no digits left, and may be 0
UNRESOLVED = 1e6  # roundings of long double: where z varies by less, the program may say that it cannot tell
# By what copies are moved; a numerical slope may be wrong by 1e-6 in all.
MOVES = {"float32": LONG(2) ** -24, "float64": LONG(2) ** -53, "numerical": LONG(1e-6) / GAIN}


@lru_cache
def _moves(name):
    """Factors 1 ± a rounding, signs at random: any stretch of them will do."""
    return 1 + MOVES[name] * np.random.default_rng(0).choice([-1, 1], 1 << 17).astype(LONG)


class Network:
    """One network of a stack.

    figures: what each may be, by (depth that the gradient starts from or None, name, layer). ends: the
    schemes of the first and of the last layer, where they have others.
    """

    def __init__(
        self, scheme, act, bias_std, widths, seed, batch, dtype, rng, ends=(None, None), inputs=GAUSSIAN
    ):
        self.scheme, self.act, self.bias_std, self.widths = scheme, act, bias_std, widths
        self.seed, self.batch, self.dtype, self.rng = seed, batch, dtype, rng
        self.ends, self.x = ends, inputs_of(inputs, [seed], batch, widths[0])[0]
        self.entered = {}  # depth that a gradient starts from -> dL/dy of every product, the last one first
        floor = FLOOR[dtype] * (np.sqrt(max(widths)) if dtype == "float64" else 1)
        self.spread = Spread(np.full(COPIES, LONG(GAIN)), floor)
        self.figures, self.layers = {}, []
        # The first layer that float64 cannot hold, and the first of which rounding leaves nothing known.
        self.lost_at = self.adrift_at = self.chaotic_at = len(widths)
        self.unresolved = False
        self._forward()

    def scheme_of(self, layer):
        """What draws the weights of a layer."""
        first, last = self.ends
        if last is not None and layer == len(self.widths) - 1:
            return last
        return first if first is not None and layer == 1 else self.scheme

    def signal(self, layer):
        """h of a layer from 1, every copy's."""
        return self.layers[layer][0] if layer < len(self.layers) else self.top

    def upstream(self, start):
        """G of a loss at that depth."""
        return streams.upstream_gradient([self.seed], self.batch, self.widths[start])[0]

    def crossed(self, layer):
        """Of every matrix of a layer what it was applied to, and its affine map."""
        h, *_, affine, _ = self.layers[layer - 1]
        return [(h, affine)]

    def matrices(self, layer):
        """W and b of every copy, and the sizes of the terms whose sum a weight is."""
        for h, (unit, std, mean, bias, centred) in self.crossed(layer):
            weights = std * unit + mean
            shift = -(h @ weights).mean(axis=1, keepdims=True) if centred else bias
            yield weights, shift, np.abs(std * unit) + np.abs(mean)

    def _rounded(self, values):
        """The copies moved by a rounding, in place."""
        moved = values[1 : COPIES + 1]
        moved *= self._signs(moved.shape, self.dtype)
        return values

    def _signs(self, shape, scale):
        pool, size = _moves(scale), math.prod(shape)
        start = int(self.rng.integers(0, max(1, len(pool) - size)))
        some = pool[start : start + size] if size <= len(pool) else np.resize(pool, size)
        return some.reshape(shape)

    def _copies(self, values):
        return self._rounded(np.repeat(np.asarray(values, LONG)[None], COPIES + 1, axis=0))

    def _forward(self):
        h = self._copies(self.x)
        self._record(0, h)
        for layer, fans in enumerate(pairwise(self.widths), start=1):
            affine = self._affine(layer, fans, h)
            z = self._through(h, affine)
            above = self._applied(z)
            error = self.spread.error(z, (1, 2))
            apart = self._apart(z, error)
            self.layers.append((h, z, above, affine, apart))
            h = above
            if self.lost_at > layer and np.abs(h[0]).max() > LARGEST / 2:
                self.lost_at = layer
            lost = layer >= self.lost_at
            self.figures[None, "pre_rms", layer], _, known = self.spread.size(z, error, lost)
            self._judge(layer, error, known)
            self._record_flat(layer, z[0], apart, lost)
            self._record(layer, h)
        self.top = h
        self._set_adrift()

    def _judge(self, layer, error, known):
        """Note where chaos begins, and from where on rounding leaves nothing known."""
        if error > CHAOS:
            self.chaotic_at = min(self.chaotic_at, layer)
        if not known or (self.chaotic_at < layer and error < CHAOS / 4):  # where chaos settles is chance
            self.adrift_at = min(self.adrift_at, layer)

    def _set_adrift(self):
        for key in self.figures:
            if key[2] >= self.adrift_at:
                self.figures[key] = ANY

    def _apart(self, z, error):
        """By how much rounding may move each entry of z."""
        apart = GAIN * np.abs(z[1:] - z[:1]).max(axis=0)
        if error > CHAOS:
            apart = np.maximum(apart, 100 * np.abs(z[0]).max())
        if self.act.numerical:
            apart += 1e-5 * np.abs(z[0])
        if self.act.offset:
            apart += GAIN * MOVES[self.dtype] * (np.abs(z[0]) + self.act.offset)
        return apart

    def _affine(self, layer, fans, h, factor=1.0, out=False, free=False):
        """Z, std, mean and biases of one matrix; out: it is V of a block. free: without biases."""
        scheme = self.scheme_of(layer)
        base, free = scheme.base, free or out
        factor = LONG(factor)
        mean = self._copies(np.full((1, 1), scheme.weight_mean(*fans))) * factor
        drawn = streams.weights([self.seed], base, layer, *fans, out=out)[0] if base else np.zeros(fans)
        unit = self._copies(drawn)
        own = scheme.bias
        bias_std = 0.0 if free else self.bias_std if own is None else scheme.bias_std(*fans)
        bias = self._copies(
            LONG(bias_std)
            * streams.biases([self.seed], base, layer, *fans, own or NORMAL)[0].astype(LONG)[None]
        )
        centred = scheme.centres and not free
        started = scheme.weight_std(*fans)
        stds = [started] * (COPIES + 1)
        for copy in range(COPIES + 1) if type(scheme).fit is not Scheme.fit else ():
            product = h[copy] @ unit[copy]
            if centred:
                product = product - product.mean(axis=0)
            varying = bias[copy] if fans[1] > 1 else 0  # one neuron's is a constant of z

            def spread(std, product=product, varying=varying):
                return float((std * product + varying).std())

            stds[copy] = scheme.fit(started, spread)
            noise = (
                np.finfo(LONG).eps * started * np.sqrt(np.square(np.abs(h[copy]) @ np.abs(unit[copy])).mean())
            )
            z = started * product + varying
            if copy == 0 and product.any() and z.std() <= UNRESOLVED * noise:
                self.unresolved = True  # what varies of z is rounding, and so is all that follows
                self.adrift_at = min(self.adrift_at, layer)
        return unit, self._rounded(np.array(stds, LONG)[:, None, None] * factor), mean, bias, centred

    def _through(self, h, affine):
        """h W + b, rounded; less its mean over the batch where the scheme takes that off."""
        unit, std, mean, bias, centred = affine
        y = self._rounded(self._sum(h @ unit, std, h.sum(axis=2, keepdims=True), mean, bias))
        if not centred:
            return y
        rest = y - y[:, :1]
        return self._rounded(rest - rest.mean(axis=1, keepdims=True))

    def _sum(self, product, std, sums, mean, bias=None):
        """std · product + mean · sums + bias, each of them rounded."""
        out = self._rounded(product * std)
        if mean.any():
            out = out + self._rounded(sums * mean)
        return out if bias is None else out + bias

    def _record(self, layer, h):
        lost = layer >= self.lost_at
        of = self.spread.moments(h, lost)
        rms = of["rms"].exact
        null = lost or not SMALLEST < rms < LARGEST
        of["sample_cosine"] = self.spread.sample_cosine(h, null)
        of["neuron_corr"] = self.spread.neuron_corr(h, self.dtype, null)
        if layer == 0:
            of |= {"pre_rms": NULL, "flat": NULL, "dead": NULL}
        for name, allowed in of.items():
            self.figures[None, name, layer] = allowed

    def _record_flat(self, layer, z, apart, lost):
        """Entries whose slope rounding may carry across the threshold may count or not."""
        slope = np.abs(self.act.slope(z))
        flat = slope < FLAT_SLOPE
        unsure = np.abs(slope / FLAT_SLOPE - 1) < (1e-4 if self.dtype == "float32" else 1e-10)
        if self.act.ripples:
            unsure |= np.abs(slope - FLAT_SLOPE) <= self.act.bend * apart
        else:
            for edge in self.act.edges:
                unsure |= (np.abs(z - edge) <= apart) & (apart > 0)
        surely, maybe = flat & ~unsure, flat | unsure
        tiny = 1e-12
        for name, share in {"flat": np.mean, "dead": lambda mask: mask.all(axis=0).mean()}.items():
            exact, low, high = (float(share(mask)) for mask in (flat, surely, maybe))
            self.figures[None, name, layer] = Allowed(exact, low - tiny, high + tiny, lost=lost)

    def send_back(self, start):
        """Add what the gradients of a loss at that depth may be."""
        flips = [self._flipped(z, apart) for _, z, *_, apart in self.layers[:start]]
        extra = COPIES if any(flip is not None for flip in flips) else 0
        gains = np.concatenate([self.spread.gains, np.full(extra, LONG(2))])
        spread, lost = Spread(gains, self.spread.floor), self.lost_at <= start

        def widened(values):
            return np.concatenate([values, np.repeat(values[:1], extra, axis=0)]) if extra else values

        delta = widened(self._copies(self.upstream(start)))
        entered = self.entered[start] = []
        self._put(start, start, spread.gradients(delta, "delta", False))
        settled = False  # copies that agree where the signal was chaos agree by chance
        for layer in range(start, 0, -1):
            below, z, above, affine, _ = self.layers[layer - 1]
            slope = self._slopes(z, above)
            if extra:
                flipped = flips[layer - 1]
                flipped = np.repeat(slope[:1], extra, axis=0) if flipped is None else flipped
                slope = np.concatenate([slope, flipped])
            delta = self._rounded(delta * slope)
            entered.append(delta)
            gradient = widened(below).transpose(0, 2, 1) @ delta
            self._put(start, layer, spread.gradients(gradient, "grad", lost), settled)
            delta = self._crossed_back(delta, affine, widened)
            settled |= self.chaotic_at <= start and spread.error(delta, (1, 2)).max() < CHAOS
            self._put(start, layer - 1, spread.gradients(delta, "delta", lost), settled)
        self._put(start, 0, {"grad_std": NULL, "grad_rms": NULL})

    def _crossed_back(self, delta, affine, widened):
        """delta Wᵀ, rounded."""
        unit, std, mean, *_ = affine
        crossed = delta @ widened(unit).transpose(0, 2, 1)
        sums = delta.sum(axis=2, keepdims=True)
        return self._rounded(self._sum(crossed, widened(std), sums, widened(mean)))

    def _put(self, start, layer, allowed, settled=False):
        for name, one in allowed.items():
            adrift = self.adrift_at <= start and (layer < start or name.startswith("grad"))
            self.figures[start, name, layer] = ANY if adrift or settled else one

    def _applied(self, z):
        return self._held(self._summed(self._rounded(self.act.f(z)), z, 0))

    def _summed(self, values, z, which):
        """f or f', in whose copies the terms that they are sums of are rounded too."""
        if self.act.errors:
            error = self.act.errors(z[1:])[which]
            values[1:] += (self._signs(error.shape, self.dtype) - 1) * error
        return values

    def _held(self, values):
        """f or f', in whose copies is 0 what a user's own function cannot return."""
        if self.act.own:
            values[1:][np.abs(values[1:]) < LEAST_OF_OWN] = 0
        return values

    def _slopes(self, z, above):
        slope = self._held(self._summed(self._rounded(self.act.slope(z)), z, 1))
        if self.act.numerical:  # an error of f moves a difference quotient by its share of f / z
            scale = np.abs(slope) + ratio(np.abs(above), np.abs(z))
            slope[1:] += (self._signs(slope[1:].shape, "numerical") - 1) * scale[1:]
        return slope

    def _flipped(self, z, apart):
        """Slopes with the entries that rounding may carry across a kink: all left, all right, at random."""
        near = np.zeros(z[0].shape, bool)
        for kink in self.act.kinks:
            near |= (np.abs(z[0] - kink) <= apart) & (apart > 0)
        if not near.any():
            return None
        own, left, right = (self.act.slope(v) for v in (z[0], z[0] - apart, z[0] + apart))
        either = np.where(self.rng.integers(0, 2, near.shape) > 0, left, right)
        return np.stack([np.where(near, side, own) for side in (left, right, either)])
