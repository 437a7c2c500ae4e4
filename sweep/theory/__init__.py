"""Mean-field theory of signal propagation: what the widest network would do, layer by layer.

v is the variance of a pre-activation, q = rms² the second moment of an activation. A layer maps

    v_l = sigma_l² q_{l-1} + sigma_b²,   q_l = E[act(z)²],   z ~ N(0, v_l),

with sigma_l² = fan_in · Var W. An act is a name, an activation, or a function z -> h, everywhere.
Sources: Poole et al. 2016; Schoenholz et al. 2017; Hayou et al. 2019.
"""

from sweep.theory.signal import Prediction, predict, prediction

__all__ = ["Prediction", "predict", "prediction"]
