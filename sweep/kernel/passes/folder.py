"""Where compiled loops are kept: compiled once by whoever starts a run, loaded by its workers.

The folder is the user's own, `~/.cache/sweep` unless SWEEP_CACHE names another. Homes are shared between
machines and versions, so each kind has a folder of its own below it: of the source, of numba, of Python and
of what the processor can do. A loop that is whole has a mark beside it, so that nobody waits for one that is
not.
"""

import hashlib
import os
import platform
import re
import stat
import sys
import threading
from collections.abc import Collection, Iterable
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from sweep.activations.transformed import SUFFIX

_FOLDERS = 2  # above that of one kind of machine code: `passes`, and the user's own
LEAST = (0, 61)  # numba's version: the first that knows NumPy 2
THROUGH, BACK, NORMAL = "through", "back", "normal"
_SLOPE = "-slope"  # of a loop's name
_BY_SLOPE = ("sin",)  # judged flat by their slope
ACTS = frozenset({  # of `sweep.kernel.passes.formulas`, which needs numba
    "celu", "elu", "erf", "gelu", "gelu_tanh", "hardsigmoid", "hardswish", "hardtanh", "identity",
    "leaky_relu", "mish", "relu", "relu6", "selu", "sigmoid", "silu", "sin", "softplus", "softsign",
    "squared_relu", "tanh",
})  # fmt: skip
_SOURCES = (
    "elementary.py",
    "formulas.py",
    "loops.py",
    "../../activations/narrow.py",
    "../../activations/piecewise.py",
)
_COLOURS = re.compile(r"\x1b\[[0-9;]*m")  # where colorama is installed
_locks = [threading.Lock()]
if hasattr(os, "register_at_fork"):  # a child of a process that was compiling would wait for ever
    os.register_at_fork(after_in_child=lambda: _locks.__setitem__(0, threading.Lock()))


def has(name: str) -> bool:
    """Whether there is a loop of this name for an activation, or for a transformed one."""
    return name.removesuffix(SUFFIX) in ACTS


def key_of(name: str, with_slope: bool) -> str:
    """The name of the loop that crosses an activation."""
    return f"{name}{_SLOPE}" if with_slope else name


def keys_of(asked: Iterable[tuple[str, bool]]) -> set[str]:
    """The loops that these need: (`activations.loop_name`, whether gradients are sent back through it)."""
    keys: set[str] = set()
    for name, backward in asked:
        if has(name):
            keys |= {key_of(name, backward)} | shared(backward)
    return keys


def shared(backward: bool) -> set[str]:
    """The loops that chains of every activation need."""
    return {NORMAL, THROUGH, BACK} if backward else {NORMAL}


def in_a_line(error: BaseException) -> str:
    """What numba says, without its colours and the lines of advice that follow."""
    said = _COLOURS.sub("", str(error))
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    lines = [line for line in lines if not line.startswith("Failed in nopython mode pipeline")]
    return lines[0] if lines else type(error).__name__


@lru_cache(maxsize=1)
def why_not() -> str:
    """Why nothing can be compiled here, in a line; '' where it can."""
    if os.environ.get("SWEEP_PASSES") == "numpy":
        return "SWEEP_PASSES=numpy"
    if reason := _not_installed():
        return reason
    try:
        from numba.core import compiler_lock, config  # noqa: PLC0415  half a second: only where it computes
    except Exception as error:  # it refuses a NumPy or a Python that it does not know
        return f"numba cannot be imported: {in_a_line(error)}"
    if config.DISABLE_JIT:
        return "NUMBA_DISABLE_JIT is set"
    _fork_between_compilations(compiler_lock.global_compiler_lock)
    if platform.machine().lower() in ("x86_64", "amd64") and not _features().get("fma"):
        return "this processor has no fused multiply-add"
    return ""


def _not_installed() -> str:
    try:
        found = version("numba") or ""  # what a broken uninstallation has left has none
    except PackageNotFoundError:
        found = ""
    if not found:
        return "numba is not installed (pip install 'sweep[fast]')"
    if tuple(int(part) for part in re.findall(r"\d+", found)[:2]) < LEAST:
        return f"numba {found} is older than {LEAST[0]}.{LEAST[1]}"
    return ""


def why_not_kept() -> str:
    """Why what is compiled cannot be kept for others, in a line; '' where it can."""
    try:
        path = _path()
        for one in (*reversed(path.parents[:_FOLDERS]), path):
            one.mkdir(parents=True, exist_ok=True, mode=0o700)
            if _others_may_write(one, own=one == path):
                return f"others may write to {one}"
        probe = path / f".{os.getpid()}-{threading.get_ident()}"
        probe.touch()
        probe.unlink()
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        return f"{where}{error.strerror or error}"
    return ""


def _others_may_write(path: Path, own: bool) -> bool:
    """Whether others could put something in the place of what lies there. own: it must be this user's."""
    if not hasattr(os, "getuid"):
        return False
    found = path.stat()
    if found.st_uid != os.getuid() and (own or found.st_uid != 0):
        return True
    guarded = not own and found.st_mode & stat.S_ISVTX  # as in /tmp: nobody moves what is another's
    return bool(found.st_mode & 0o022) and not guarded


def missing(keys: Collection[str]) -> set[str]:
    """Those of the loops that are not kept yet."""
    path = _path()
    return {key for key in keys if not (path / key / "whole").exists()}


def build(keys: Iterable[str]) -> None:
    """Compile and keep these loops; another process may do the same."""
    for key in sorted(keys):
        loop(key)
        (_path() / key / "whole").touch()


def loop(key: str) -> Any:
    """A loop of `sweep.kernel.passes.loops`, loaded where it is kept, else compiled."""
    with _locks[0]:
        if not why_not_kept():
            try:
                return _made(key, _path() / key)
            except Exception:  # what is kept there is damaged: it does without
                return _made(key, None)
        return _made(key, None)


def described() -> str:
    """What the machine code is for, in a few words."""
    import llvmlite.binding as llvm  # noqa: PLC0415

    features = _features()
    level = next((name for name in ("avx512f", "avx2", "neon", "sse4.2") if features.get(name)), "no SIMD")
    return f"numba {version('numba')}, {llvm.get_host_cpu_name()}, {level}"


def _made(key: str, kept: Path | None) -> Any:
    import numpy as np  # noqa: PLC0415
    from numba import typeof  # noqa: PLC0415
    from numba.core import config, types  # noqa: PLC0415

    from sweep.kernel.passes import elementary, formulas, loops  # noqa: PLC0415

    before = config.CACHE_DIR
    try:
        if kept is not None:
            kept.mkdir(parents=True, exist_ok=True, mode=0o700)
            config.CACHE_DIR = str(kept)  # numba reads it where a function is declared
        options = {"cache": kept is not None}
        single, double, whole = types.float32, types.float64, types.int64
        if key == THROUGH:
            made = loops.through(options)
            signature: tuple[Any, ...] = (single[:, :, ::1], single[:, ::1], double[:, ::1])
        elif key == BACK:
            made = loops.back(options)
            signature = (single[:, :, ::1], single[::1], single[:, ::1], double[:, ::1], double[:, ::1])
        elif key == NORMAL:
            made = loops.normal(elementary.normal_pair, options)
            signature = (types.uint64[::1], single[::1])
        else:
            name = key.removesuffix(_SLOPE)
            plain = name.removesuffix(SUFFIX)
            formula, given = formulas.FORMULAS[plain], [single, single]
            if plain != name:
                formula, given = formulas.transformed(formula), [typeof(n * (np.float32(0),)) for n in (2, 5)]
            made = loops.forward(formula, key != name, plain in _BY_SLOPE, options)
            signature = (*4 * [single[:, ::1]], *given, single[::1], single[::1])
            signature += (double[:, ::1], whole[:, ::1], double[:, ::1])
        made.compile(signature)
    finally:
        config.CACHE_DIR = before
    made.disable_compile()  # any other type would be a mistake, and seconds
    return made


@lru_cache(maxsize=1)
def _stamp() -> str:
    """What machine code depends on."""
    import llvmlite.binding as llvm  # noqa: PLC0415

    here = Path(__file__).parent
    state = hashlib.blake2b(digest_size=6)
    for source in _SOURCES:
        state.update((here / source).read_bytes())
    for fact in (platform.machine(), sys.version, version("numba"), version("llvmlite"), version("numpy")):
        state.update(fact.encode())
    state.update(repr(sorted(name for name, there in _features().items() if there)).encode())
    return f"{llvm.get_host_cpu_name()}-{state.hexdigest()}"


def _features() -> dict[str, bool]:
    import llvmlite.binding as llvm  # noqa: PLC0415

    return dict(llvm.get_host_cpu_features())


def _path() -> Path:
    """The folder of this kind of machine code. Raises OSError where nobody says which is the user's own."""
    try:
        if given := os.environ.get("SWEEP_CACHE"):
            base = Path(given).expanduser()
        elif sys.platform == "win32":
            base = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local") / "sweep"
        else:
            base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "sweep"
    except RuntimeError as error:
        raise OSError("this user has no home folder; SWEEP_CACHE names another") from error
    return base / "passes" / _stamp()


def _fork_between_compilations(lock: Any) -> None:
    """Have forks wait for numba's lock: the child of a process that compiles would wait for it for ever."""
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(before=lock.acquire, after_in_parent=lock.release, after_in_child=lock.release)
