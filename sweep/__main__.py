"""The command line: `python -m sweep`, or the console script `sweep`."""

import os
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from sweep.base.early import from_the_start
from sweep.base.errors import RequestError, unknown

if TYPE_CHECKING:
    from omegaconf import DictConfig


def main() -> None:
    """Run the command line and leave with its exit status."""
    from_the_start()
    from sweep.base.command import guarded, without_secrets  # noqa: PLC0415  a Ctrl-C meanwhile is one line too

    sys.exit(guarded(lambda: _main(without_secrets(sys.argv[1:]))))


def _main(arguments: Sequence[str]) -> int:
    import hydra  # noqa: PLC0415
    from hydra._internal.utils import get_args_parser  # noqa: PLC0415
    from hydra.errors import HydraException, MissingConfigException  # noqa: PLC0415
    from omegaconf.errors import OmegaConfBaseException  # noqa: PLC0415
    from yaml import YAMLError  # noqa: PLC0415

    from sweep.experiment.overrides import checked  # noqa: PLC0415

    if "--version" in arguments:  # Hydra's own says Hydra's alone
        from sweep.base.provenance import provenance  # noqa: PLC0415

        print(f"sweep {provenance()['version']}, Hydra {hydra.__version__}")
        return 0
    parser = get_args_parser()
    parser.prog = "sweep"
    parser.error = _refuse  # type: ignore[method-assign]
    parsed = parser.parse_intermixed_args(list(arguments))  # flags may stand between overrides
    if parsed.multirun and (parsed.cfg or parsed.info):
        raise RequestError("--cfg and --info show one composed config: leave -m away")
    if parsed.resolve and not parsed.cfg and not parsed.help:
        raise RequestError("--resolve belongs to --cfg: as in --cfg job --resolve")
    _share_store()
    if not parsed.shell_completion:
        given = set(parsed.overrides)
        flags = [argument for argument in arguments if argument not in given]
        sys.argv[1:] = [*flags, *checked(parsed.overrides, parsed.multirun)]
    run = hydra.main(version_base="1.3", config_path=str(_conf()), config_name="config")(_run_one)
    if "HYDRA_FULL_ERROR" in os.environ:  # somebody wants the traceback
        run()
        return 0
    os.environ["HYDRA_FULL_ERROR"] = "1"  # raise, instead of printing several lines and leaving with 1
    try:
        run()
    except SystemExit as ended:  # Hydra's way to hand on a status
        status = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
        return status if _begun() else 2 * bool(status)
    except MissingConfigException as error:
        group, _, option = (error.missing_cfg_file or "").partition("/")
        if error.options:  # Hydra's list leaves out the folders: init=torch/…
            raise unknown(group, option, _options(group) or error.options) from error
        raise RequestError(_one_line(error)) from error
    except (HydraException, OmegaConfBaseException, YAMLError) as error:
        raise RequestError(_one_line(error)) from error
    except Exception as error:
        if _begun():
            raise
        raise RequestError(f"Hydra: {_one_line(error)}; see python -m sweep --help") from error
    finally:
        os.environ.pop("HYDRA_FULL_ERROR", None)
    return 0


def _begun() -> bool:
    """Whether Hydra has come to what this program does with a config: before, its errors are about flags."""
    return "sweep.execution.request" in sys.modules


def _share_store() -> None:
    """Spare Hydra the copies of its store of configs: --help makes 87, two fifths of its time, one per look
    at a folder of options. They are only read, and what is loaded from the store is copied once more.
    """
    from hydra.core.config_store import ConfigStore  # noqa: PLC0415

    ConfigStore.__deepcopy__ = lambda store, memo: store  # type: ignore[attr-defined]


def _run_one(config: "DictConfig") -> None:
    from omegaconf.errors import OmegaConfBaseException  # noqa: PLC0415

    from sweep.base.command import guarded  # noqa: PLC0415
    from sweep.execution.request import run_one  # noqa: PLC0415

    def run() -> int:
        try:
            return run_one(config)
        except OmegaConfBaseException as error:  # before Hydra says a line of its own
            raise RequestError(_one_line(error)) from error

    raise SystemExit(guarded(run))


def _refuse(message: str) -> NoReturn:
    raise RequestError(f"{message}; see python -m sweep --help")


def _conf() -> Path:
    """The folder of config groups: inside the package in a wheel, beside it in a checkout."""
    package = Path(__file__).resolve().parent
    return next(path for path in (package / "conf", package.parent / "conf") if path.is_dir())


def _options(group: str) -> list[str]:
    folder = _conf() / group
    return [path.relative_to(folder).with_suffix("").as_posix() for path in folder.rglob("*.yaml")]


def _one_line(error: Exception) -> str:
    key = getattr(error, "full_key", None)  # OmegaConf's errors name it, and an object, on lines that follow
    text = f"{key}: {error}".partition("\n    full_key:")[0] if key else str(error)
    text = " ".join(line.strip() for line in text.splitlines() if line.strip())
    return re.sub(r'\w+ raised while resolving interpolation: "?(.*?)"?$', r"\1", text)


if __name__ == "__main__":
    main()
