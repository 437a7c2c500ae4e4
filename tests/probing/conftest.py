import pytest


@pytest.fixture(scope="session", autouse=True)
def _one_thread():
    torch = pytest.importorskip("torch", reason="torch is not installed: pip install -e '.[peers]'")
    torch.set_num_threads(1)
