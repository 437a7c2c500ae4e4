import pytest


@pytest.fixture(autouse=True)
def kind():
    """Trainings are of NumPy alone, whatever the passes of the measurement."""
