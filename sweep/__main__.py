"""The command line: `python -m sweep`, or the console script `sweep`."""

import io
import os
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from typing import TYPE_CHECKING, NoReturn

from sweep.base.errors import RequestError
from sweep.base.process.early import from_the_start

if TYPE_CHECKING:
    from omegaconf import DictConfig


def main() -> None:
    """Run the command line and leave with its exit status."""
    from_the_start()
    from sweep.base.process.command import guarded, without_secrets  # noqa: PLC0415  a Ctrl-C meanwhile is one line too

    status = guarded(lambda: _main(without_secrets(sys.argv[1:])))
    if threading.active_count() > 1:
        from sweep.base.process.threads import leave  # noqa: PLC0415

        leave(status)
    sys.exit(status)


def _main(arguments: Sequence[str]) -> int:
    import hydra  # noqa: PLC0415
    from hydra._internal.utils import get_args_parser  # noqa: PLC0415

    from sweep.experiment.language import conf  # noqa: PLC0415
    from sweep.experiment.language.overrides import checked  # noqa: PLC0415

    if "--version" in arguments:  # Hydra's own says Hydra's alone
        from sweep.base.provenance import provenance  # noqa: PLC0415
        from sweep.kernel.passes import folder  # noqa: PLC0415

        print(f"sweep {provenance()['version']}, Hydra {hydra.__version__}")
        without = folder.why_not() or folder.why_not_kept()
        print(f"passes: NumPy's ({without})" if without else f"passes: compiled ({folder.described()})")
        return 0
    parser = get_args_parser()
    parser.prog = "sweep"
    parser.error = _refuse  # type: ignore[method-assign]
    parsed = parser.parse_intermixed_args(list(arguments))  # flags may stand between overrides
    if parsed.multirun and (parsed.cfg or parsed.info):
        raise RequestError("--cfg and --info show a single config: drop -m")
    if parsed.resolve and not parsed.cfg and not parsed.help:
        raise RequestError("--resolve goes with --cfg, as in --cfg job --resolve")
    _share_store()
    if not parsed.shell_completion:
        given = set(parsed.overrides)
        flags = [argument for argument in arguments if argument not in given]
        sys.argv[1:] = [*flags, *checked(parsed.overrides, parsed.multirun)]
    run = hydra.main(version_base="1.3", config_path=str(conf.folder()), config_name="config")(_run_one)
    if "HYDRA_FULL_ERROR" in os.environ:  # somebody wants the traceback
        run()
        return 0
    os.environ["HYDRA_FULL_ERROR"] = "1"  # raise, instead of printing several lines and leaving with 1
    try:
        with conf.refused(), _explaining(parsed.help):
            run()
    except SystemExit as ended:  # Hydra's way to hand on a status
        status = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
        return status if _begun() else 2 * bool(status)
    except RequestError:
        raise
    except Exception as error:
        if _begun():
            raise
        raise RequestError(f"Hydra: {conf.one_line(error)}; see python -m sweep --help") from error
    finally:
        os.environ.pop("HYDRA_FULL_ERROR", None)
    return 0


@contextmanager
def _explaining(help_asked: bool) -> Iterator[None]:
    """Have the help that Hydra prints in the block say what each key is."""
    if not help_asked:
        yield
        return
    from sweep.experiment.language.help import explained  # noqa: PLC0415

    said = io.StringIO()
    try:
        with redirect_stdout(said):
            yield
    finally:
        print(explained(said.getvalue()))


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
    from sweep.base.process.command import guarded  # noqa: PLC0415
    from sweep.execution.request import run_one  # noqa: PLC0415
    from sweep.experiment.language import conf  # noqa: PLC0415

    def run() -> int:
        with conf.refused():  # before Hydra says a line of its own
            return run_one(config)

    raise SystemExit(guarded(run))


def _refuse(message: str) -> NoReturn:
    raise RequestError(f"{message}; see python -m sweep --help")


if __name__ == "__main__":
    main()
