"""What is pushed through a network: independent normal numbers, or something else, with its parameters.

gaussian    x ~ N(0, 1), i.i.d.
correlated  √c0 of one vector that all inputs of a seed have in common, √(1 - c0) of their own
student     i.i.d. of Student's t with df degrees of freedom, scaled to unit second moment
digits      scikit-learn's images, turned into the width, each of unit second moment
npy         rows of a file of one's own, as they are
"""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sweep.base import checks
from sweep.base.errors import RequestError
from sweep.base.registry import Registry

DIGITS, PIXELS = 1797, 64  # images, and what each has
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Inputs:
    """One kind of inputs. takes: the parameters that it has a use for.

    c0: the cosine of two inputs. df: degrees of freedom. file: an absolute path; sha256: of its content,
    which is what a cell's identity has of it.
    """

    name: str
    takes: tuple[str, ...] = ()
    c0: float = 0.0
    df: float = 0.0
    file: str | None = None
    sha256: str = ""
    revision = 1

    @property
    def parameters(self) -> tuple[tuple[str, Any], ...]:
        """(name, value) of each that it takes."""
        return tuple((name, getattr(self, name)) for name in self.takes)


def _correlated(c0: float = 0.5) -> Inputs:
    number = checks.real("input.c0", c0)
    if not 0 <= number <= 1:
        raise RequestError(
            f"input.c0={checks.shown(c0)}: input.c0, the cosine of two inputs, must be from 0 (none in "
            "common) to 1 (all inputs are one)"
        )
    return Inputs("correlated", ("c0",), c0=number)


def _student(df: float = 5.0) -> Inputs:
    number = checks.real("input.df", df)
    if number <= 2:
        raise RequestError(
            f"input.df={checks.shown(df)}: input.df must be above 2: with fewer degrees of freedom "
            "Student's t has no variance to be scaled to 1"
        )
    return Inputs("student", ("df",), df=number)


def _npy(file: str | None = None, sha256: str = "") -> Inputs:
    if file is not None and (not isinstance(file, str) or not file.strip()):
        raise RequestError(f"input.file={checks.shown(file)}: input.file must be {_A_PATH}")
    if not isinstance(sha256, str) or (sha256 and not _SHA256.fullmatch(sha256)):
        raise RequestError(
            f"input.sha256={checks.shown(sha256)}: input.sha256 must be the 64 hexadecimal digits that "
            "sha256sum says of the file; leave it out, and it is found"
        )
    return Inputs("npy", ("file", "sha256"), file=None if file is None else _found(file), sha256=sha256)


def _found(file: str) -> str:
    """The path of a file as it lies; RequestError for one that is no whole path, and leads nowhere."""
    path = Path(file)
    try:
        missing = not path.is_absolute() and not path.exists() and "\0" not in file
    except (OSError, ValueError):  # what no file can be called
        missing = False
    if not missing:
        return str(path.absolute())
    typed = f"input.file={checks.shown(file)}"
    if "://" in file:
        raise RequestError(f"{typed}: a URL is no file here: give the path of a copy of it")
    if file.startswith("~"):
        raise RequestError(f"{typed}: ~ stands for a home in a shell, not here: give the whole path")
    raise RequestError(f"{typed}: there is no such file in {Path.cwd()}: give {_A_PATH}")


_A_PATH = "the path of a file of rows, written by numpy.save, as in input=npy input.file=rows.npy"
GAUSSIAN = Inputs("gaussian")
INPUTS: dict[str, Inputs | Callable[..., Inputs]] = {
    "gaussian": GAUSSIAN,
    "correlated": _correlated,
    "student": _student,
    "digits": Inputs("digits"),
    "npy": _npy,
}
REGISTRY: Registry[Inputs] = Registry("input", "kind of inputs", Inputs, INPUTS, None)


def check_fit(inputs: Inputs, width: int, batch: int) -> None:
    """RequestError where there cannot be so many inputs of this width; no file is opened."""
    if inputs.name == "digits":
        if width < PIXELS:
            raise RequestError(
                f"input=digits: its images have {PIXELS} pixels, and the network's input only {width} "
                "neurons: choose a larger width, or another input"
            )
        if batch > DIGITS:
            raise RequestError(
                f"batch={batch}: input=digits has {DIGITS:,} images: choose a smaller batch, or another input"
            )
    if inputs.name == "npy" and inputs.file is None:
        raise RequestError(f"input=npy: input.file is missing: give {_A_PATH}")


def check_library(inputs: Inputs) -> None:
    """RequestError where they come with a library that is not there, which is not imported."""
    if inputs.name == "digits":
        checks.scikit_learn("input=digits", "input=gaussian")


def identified(column: str, value: Any) -> Any:
    """A value of a cell as its identity has it: of a file what is in it, wherever it lies."""
    if column != "input_params" or '"file"' not in value:
        return value
    return json.dumps({"sha256": json.loads(value).get("sha256")}, separators=(",", ":"))


def with_content(parameters: str, file: str | None, sha256: str) -> str:
    """The parameters of `npy` as JSON with where the content lies, and what it is."""
    values = json.loads(parameters) | {"file": file, "sha256": sha256}
    return json.dumps(values, sort_keys=True, separators=(",", ":"))
