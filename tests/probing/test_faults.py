"""Planted faults are named, with the word and the module; healthy networks are called healthy."""

import re

import pytest

import sweep

pytest.importorskip("torch", reason="torch is not installed: pip install -e '.[peers]'")

from tests.probing.faults import FAULTS, LOSS
from tests.probing.healthy import HEALTHY
from tests.probing.networks import seeded


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
def test_a_planted_fault_is_named_with_its_module(fault):
    model, inputs = seeded(fault)()
    word, module = FAULTS[fault]
    probed = sweep.probe(model, inputs, **LOSS.get(fault, {}))
    assert re.fullmatch(word, probed.verdict), probed
    assert re.fullmatch(module, probed.module), probed
    assert probed.module in probed.advice
    assert len(probed.advice.splitlines()) <= 2


@pytest.mark.parametrize("network", HEALTHY, ids=lambda network: network.__name__)
def test_a_healthy_network_is_called_healthy(network):
    model, inputs = seeded(network)()
    probed = sweep.probe(model, inputs)
    assert (probed.verdict, probed.module) == ("healthy", ""), probed
