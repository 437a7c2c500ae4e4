"""The inputs that a spec asks for: whether there are such, and what is in a file."""

from dataclasses import replace
from typing import TYPE_CHECKING

from sweep.base import inputs
from sweep.base.inputs import Inputs
from sweep.experiment.axes import USUAL_INPUT

if TYPE_CHECKING:
    from sweep.experiment.cell import Spec


def with_content(spec: "Spec") -> "Spec":
    """The same, its file with what is in it; RequestError where there are no such inputs."""
    if spec.input == USUAL_INPUT:
        return spec
    asked = with_its_content(spec.inputs, spec.profile[0], spec.batch)
    if asked.file is None:
        return spec
    return replace(spec, input_params=inputs.with_content(spec.input_params, asked.file, asked.sha256))


def with_its_content(asked: Inputs, width: int, batch: int) -> Inputs:
    """These inputs, of a file with what is in it; RequestError where there are none of this shape."""
    inputs.check_fit(asked, width, batch)
    inputs.check_library(asked)
    if asked.name == "digits":
        from sweep.kernel.inputs.digits import unit_digits  # noqa: PLC0415  scikit-learn

        unit_digits(width)
    if asked.file is None:
        return asked
    from sweep.kernel.inputs import files  # noqa: PLC0415  files are read where there are any

    return replace(asked, sha256=files.check(asked, width, batch).sha256)


def of_one_file(spec: "Spec", known: dict[str, str]) -> "Spec":
    """The same with the first file of this content; known: sha256 -> that file, which is added to."""
    if inputs.identified("input_params", spec.input_params) == spec.input_params:
        return spec
    asked = spec.inputs
    file = known.setdefault(asked.sha256, asked.file or "")
    return replace(spec, input_params=inputs.with_content(spec.input_params, file, asked.sha256))


def check_there(spec: "Spec") -> None:
    """SweepError where a stored cell's inputs are not to be had: its file is gone, or another one."""
    inputs.check_library(spec.inputs)
    if spec.inputs.file is not None:
        from sweep.kernel.inputs import files  # noqa: PLC0415  files are read where there are any

        files.check_there(spec.inputs)
