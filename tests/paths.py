from pathlib import Path

DATA = Path(__file__).parent / "data"
CONF = Path(__file__).parent.parent / "conf"
