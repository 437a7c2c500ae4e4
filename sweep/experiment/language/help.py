"""`--help`: beside every key a few words, which are the comments of the conf files."""

import re
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path

from sweep.experiment.axes import ENDS, GROUPS, LATER_GROUPS, RUN_GROUPS
from sweep.experiment.language import conf

Path_ = tuple[str, ...]
_LINE = re.compile(r"( *)([\w.,]+):(| .*?)(?: +# (.*))?")
# Keys that options of config groups have in common.
_WORDS = {
    "name": "the option's name",
    "std": "the weights' standard deviation",
    "low": "the lowest weight",
    "high": "the highest weight",
    "minval": "the lowest weight",
    "maxval": "the highest weight",
    "lower": "the lowest weight, in units of std",
    "upper": "the highest weight, in units of std",
    "mean": "the weights' mean",
    "value": "the value of every weight",
    "scale": "the variance of a weight times the fan",
    "mode": "which fan: fan_in, fan_out, fan_avg",
    "distribution": "normal, uniform or truncated_normal",
    "gain": "a factor on all weights",
    "stddev": "the weights' standard deviation",
    "val": "the value of every weight",
    "a": "the lower bound; of kaiming's: the slope below 0 of leaky_relu",
    "b": "the upper bound",
    "tolerance": "how close to 1 the variance of every layer is brought",
    "sparsity": "the share of weights that are zero",
    "nonlinearity": "the activation whose gain is used, by its name in torch",
    "negative_slope": "the slope below 0",
    "alpha": "the bound below 0",
    "skip": "what multiplies h where the branch is added to it",
    "w_scale": "a factor on W, the matrix into act",
    "v_scale": "a factor on V, the matrix out of it",
    "expand": "W goes to so many times the width, and V back",
    "function": "your own, as in my_module.my_function",
    "derivative": "its derivative, also a function; null: found numerically",
    "kwargs": "keyword arguments for it, as in init.kwargs.power=0.4",
    "axes": "the axes of -m that the command line does not set; each is explained above",
}
_GROUPS = {  # where an option's file says nothing of it
    "init": "how the weights are drawn",
    "act": "the activation",
    "block": "what a layer is",
    "train": "a short training once the network is measured",
    "input": "what is pushed through the network",
    "grid": "the axes of -m where the command line names none",
    "executor": "where cells are computed",
}


def explained(text: str) -> str:
    """A help text whose settings, after the line '== Settings', have their explanations."""
    lines = text.splitlines()
    heads = (number for number, line in enumerate(lines) if line.startswith("== Settings"))
    start = next(heads, len(lines)) + 1
    end = next((number for number in range(start, len(lines)) if not lines[number].strip()), len(lines))
    names = dict(re.findall(r"^(\w+):\n  name: (\S+)$", "\n".join(lines[start:end]), re.MULTILINE))
    path: list[str] = []
    told: list[tuple[str, str]] = []
    for line in lines[start:end]:
        found = re.match(r"( *)([\w.,]+):", line)
        if found:
            path = [*path[: len(found[1]) // 2], found[2]]
        told.append((line, of(tuple(path), names) if found else ""))
    width = max((len(line) for line, words in told if words and len(line) <= 40), default=0)
    lines[start:end] = [f"{line:<{width}}  # {words}" if words else line for line, words in told]
    return "\n".join(lines)


def of(path: Path_, options: Mapping[str, str]) -> str:
    """A few words on the key of a config; options: which one of each group is chosen."""
    group, *below = path
    settings = _comments(conf.folder() / "config.yaml")
    if ".".join(path[:2]) in ENDS and len(path) > 2:
        return _WORDS.get(path[-1], "")
    if group not in (*GROUPS, *LATER_GROUPS, *RUN_GROUPS):
        return settings.get(path, "")
    if "axes" in below[:-1]:
        return ""
    words = _comments(conf.folder() / group / f"{options.get(group, '')}.yaml")
    if tuple(below) in words:
        return words[tuple(below)]
    # A preset of axes may have settings of the run.
    return _WORDS.get(below[-1]) or settings.get(tuple(below), "") if below else _GROUPS[group]


@lru_cache
def _comments(file: Path) -> dict[Path_, str]:
    """The comment of each key of a conf file; of no key, the line that says what the file is."""
    found: dict[Path_, str] = {}
    path: list[str] = []
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except OSError:  # an option from a folder of the user's own
        return found
    if len(lines) > 1 and lines[1].startswith("# "):
        found[()] = lines[1][2:]
    for line in lines:
        if key := _LINE.fullmatch(line):
            path = [*path[: len(key[1]) // 2], key[2]]
            if key[4]:
                found[tuple(path)] = key[4]
    return found
