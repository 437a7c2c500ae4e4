"""Where the config groups lie, what options each has, and what Hydra says of them in one line."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sweep.base.errors import RequestError, unknown


def folder() -> Path:
    """The folder of config groups: inside the package in a wheel, beside it in a checkout."""
    package = Path(__file__).resolve().parents[2]
    return next(path for path in (package / "conf", package.parent / "conf") if path.is_dir())


def options(group: str) -> list[str]:
    """The options of a group, those in its folders included."""
    own = folder() / group
    return [path.relative_to(own).with_suffix("").as_posix() for path in own.rglob("*.yaml")]


@contextmanager
def refused() -> Iterator[None]:
    """What Hydra, OmegaConf or YAML refuses in the block is a RequestError of one line."""
    from hydra.errors import HydraException, MissingConfigException  # noqa: PLC0415
    from omegaconf.errors import OmegaConfBaseException  # noqa: PLC0415
    from yaml import YAMLError  # noqa: PLC0415

    try:
        yield
    except MissingConfigException as error:
        group, _, option = (error.missing_cfg_file or "").partition("/")
        if error.options:  # Hydra's list leaves out the folders: init=torch/…
            raise unknown(group, option, options(group) or error.options) from error
        raise RequestError(one_line(error)) from error
    except (HydraException, OmegaConfBaseException, YAMLError) as error:
        raise RequestError(one_line(error)) from error


def one_line(error: Exception) -> str:
    """What an error says, on one line and with the key that it is about."""
    key = getattr(error, "full_key", None)  # OmegaConf's errors name it, and an object, on lines that follow
    text = f"{key}: {error}".partition("\n    full_key:")[0] if key else str(error)
    text = " ".join(line.strip() for line in text.splitlines() if line.strip())
    return re.sub(r'\w+ raised while resolving interpolation: "?(.*?)"?$', r"\1", text)
