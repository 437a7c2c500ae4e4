"""Watches one forward pass: hooks of modules see calls, a mode functions, hooks of tensors gradients.

Hooks of modules that see gradients would refuse a relu in place; those of tensors do not.
"""

import math
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

from sweep.probing.watching import kinds, known
from sweep.probing.watching.calls import Call
from sweep.probing.watching.flow import Flow
from sweep.probing.watching.gauge import Gauge
from sweep.probing.watching.rows import PARAMETER, SUM, Row
from sweep.probing.watching.tensors import Tensor, floating_in, tensors_in
from sweep.probing.watching.weights import Weights

_REQUIRE = torch.Tensor.requires_grad.__set__  # tensor.requires_grad = …
_SOFTMAXES = ("softmax", "log_softmax", "logsoftmax", "cross_entropy")


class Watch(TorchFunctionMode):  # type: ignore[misc]  # torch's types are not read
    """Rows in the order of calls.

    model: names: of its modules. shown: those that get rows; None: every leaf. rows, sums: what was seen, the
    sums being those in which a skip meets its branch. lookup: the row of the first embedding of the inputs,
    and not of places. sources: tensors of our own from which gradients start where nothing else requires one.
    softmaxes_twice: modules in which a softmax is taken of a softmax. probabilities: nodes that a softmax or
    its logarithm has made.
    """

    def __init__(self, model: Any, shown: Collection[str] | None, batch_dim: int) -> None:
        super().__init__()
        self.flow = Flow()
        self.rows: list[Row] = []
        self.sums: list[Row] = []
        self.softmaxes_twice: list[str] = []
        self.probabilities: set[int] = set()
        self.lookup: Row | None = None
        self.sources: list[Tensor] = []
        self.hooked = False  # whether the model has hooks of its own that may change a gradient
        self.starts_gradient = False  # whether an embedding's output is what gradients are taken of
        self.gauge, self._shown = Gauge(self.flow, batch_dim), shown
        self._names = {module: kinds.plain(name) for name, module in model.named_modules()}
        self.weights = Weights(model)
        self._stack: list[Call] = []
        self._used: set[str] = set()
        self._softmaxes: dict[int, str] = {}  # node -> the module that calls it
        self._listening = self._closed = False

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Watch what is called within."""
        handles = []
        try:
            for module in self._names:
                handles.append(module.register_forward_pre_hook(self._enter, with_kwargs=True))
                handles.append(module.register_forward_hook(self._leave, with_kwargs=True))
            self._listening = True
            with self:
                yield
        finally:
            self._listening = False
            for handle in handles:
                handle.remove()

    @property
    def where(self) -> tuple[str, str]:
        """The innermost module being called, as after an error: its name and class."""
        if not self._stack:
            return "", ""
        return self._stack[-1].name, type(self._stack[-1].module).__name__

    # Modules.

    def _enter(self, module: Any, args: Any, kwargs: Any) -> None:
        if not self._listening:
            return
        name, leaf = self._names[module], kinds.is_leaf(module)
        hidden = bool(self._stack) and self._stack[-1].opaque
        shown = not hidden and (leaf if self._shown is None else name in self._shown)
        # What is called within a module of torch's own, or within one that has no weights, is part of it.
        whole = leaf and (kinds.is_builtin(module) or not any(True for _ in module.parameters()))
        call = Call(module, name, leaf, shown, hidden or whole, since=len(self.flow.parents))
        self._stack.append(call)
        below = next(floating_in((args, kwargs)), None)
        if not shown:
            return
        role = kinds.role_of(module) if leaf else kinds.WHOLE
        call.row = Row(name, type(module).__name__, role)
        if below is not None:
            call.row.role = kinds.WEIGHT if role == kinds.LOOKUP else role  # one that looks nothing up
            call.row.below = self.flow.of(below)
            call.row.act = kinds.of_module(module) if leaf else None
            call.row.known = call.row.act.act if call.row.act else None
            with self.aside():
                call.unknown = whole and not call.row.act and not kinds.is_builtin(module)
                self._before(call.row, below)

    def _leave(self, module: Any, args: Any, kwargs: Any, output: Any) -> Any:
        if not self._listening:
            return None
        while self._stack and self._stack[-1].module is not module:  # an error that the model caught itself
            self._stack.pop()
        if self._stack[-1].opaque and not (len(self._stack) > 1 and self._stack[-2].opaque):
            parents = self._nodes((args, kwargs))
            for one in tensors_in(output):
                self._join(one, parents, type(module).__name__, known.step_of_module(module))
        call = self._stack.pop()
        if call.row is None:
            return None
        replaced = None
        out = next(floating_in(output), None)
        row = call.row
        if out is None:
            return None
        begins = row.role == kinds.LOOKUP and self.lookup is None and bool(self._nodes((args, kwargs)))
        if begins:
            self.lookup = row
        if begins and self.starts_gradient and not out.requires_grad:
            source = out.detach().requires_grad_()
            self.sources.append(source)
            with self.aside(), torch.enable_grad():
                replaced = source.clone()
            self.flow.add(replaced, self._nodes((out,)))
            output, out = (replaced, replaced) if output is out else (output, out)
        if call.inner and (last := call.inner[-1]).node is not None:
            # The module's work is that of the last function in it; what is scaled after it is measured again.
            node = self.flow.of(out)
            if node is not None and self.flow.straight_to(node, {last.node}) is not None:
                last.module, last.kind = row.module, row.kind
                if self.flow.factor(last.node, node) != 1:
                    last.known = None
                if node != last.node:
                    with self.aside():
                        last.node = node
                        self.gauge.measure(last, out)
                return replaced
        with self.aside():
            self._finish(call, next(floating_in((args, kwargs)), None), out)
        return replaced

    def _finish(self, call: Call, below: Tensor | None, out: Tensor) -> None:
        """The row of a module that has been called."""
        row, module = call.row, call.module
        assert row is not None
        if call.unknown and below is not None and below is not out:
            row.act = kinds.of_own_module(module, below, out)
            if row.act:
                self.gauge.flat(row, below)
        if row.act:
            row.role = kinds.ACT
        row.known = known.of_module(module) or (row.known if known.is_as_written(module) else None)
        self._own(row, module)
        self._record(row, out)
        for name in kinds.weights_of(module)[1:] if call.leaf else ():
            self._use(self.weights.named(call.name, name))

    def _own(self, row: Row, module: Any) -> None:
        """The weight whose gradient a module's row shows."""
        if row.role in (kinds.OTHER, kinds.ACT, kinds.WHOLE):
            return
        names = kinds.weights_of(module)
        if names:
            row.weight = self.weights.named(row.module, names[0])
            self._used.add(row.weight)

    # Functions.

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """One call of torch."""
        kwargs = kwargs or {}
        if self._listening and func == _REQUIRE and args[0].requires_grad and args[1] is True:
            return None  # as our inputs do, which are no leaves of which torch would let it be said
        if not self._listening or (self._stack and self._stack[-1].opaque):
            return func(*args, **kwargs)
        name = getattr(func, "__name__", "")
        name = name if name.startswith("__") else name.rstrip("_")
        row = None
        self.hooked |= name == "register_hook"
        if args and (getattr(func, "__name__", "") != name or name == "__setitem__"):
            with self.aside():
                self.weights.keep(args[0])
        if name in kinds.ELEMENTWISE:
            row = self._activation(name, func, args, kwargs)
        elif name == "add":
            row = self._sum(args, kwargs)
        result = func(*args, **kwargs)
        outputs = list(tensors_in(args[0] if name == "__setitem__" else result))
        if not outputs:
            return result
        given = list(tensors_in((args, kwargs)))
        parents, weights = self._nodes(given), self.weights.among(given)
        if not parents:
            for one in outputs if weights else ():
                self.weights.add(one, weights[0])
            return result
        step = known.step_of(name, args, kwargs, self.flow, self.rows)
        for one in outputs:
            self._join(one, parents, name, step)
        self._after(name, row, weights, given, outputs[0])
        return result

    def _activation(self, name: str, func: Any, args: Any, kwargs: Any) -> Row | None:
        z = args[0] if args else kwargs.get("input")
        if not (isinstance(z, torch.Tensor) and z.is_floating_point() and self.flow.of(z) is not None):
            return None
        if not self._shows_functions():
            return None
        row = Row(self._place(), name, kinds.ACT, below=self.flow.of(z))
        given = {key: value for key, value in kwargs.items() if key not in ("input", "inplace", "out")}
        row.act = kinds.of_function(name, func, args or (z,), given)
        row.known = row.act.act
        with self.aside():
            self._before(row, z)
        return row

    def _sum(self, args: Any, kwargs: Any) -> Row | None:
        """A sum in which what went around some weights meets what went through them."""
        sides = [*args, kwargs.get("other")][:2]
        nodes = self._nodes(sides)
        if self._closed or len(nodes) != 2 or sides[0].shape != sides[1].shape:
            return None
        skip = self.flow.meeting(*nodes)
        if skip is None or not any(row.role == kinds.WEIGHT and (row.node or 0) > skip for row in self.rows):
            return None
        weighted = {row.node for row in self.rows if row.role == kinds.WEIGHT and row.node is not None}
        ranks = [(self.flow.most(skip, node, weighted), node) for node in nodes]
        branch = sides[ranks.index(max(ranks))]  # what went through most weights, of both that made last
        since = self._stack[-1].since if self._stack else 0
        row = Row(self._place(), SUM, SUM, below=skip, skip=skip, since=since)
        with self.aside():
            row.branch_rms = self.gauge.rms(branch)
            if row.branch_rms < math.inf:
                row.values["branch_corr"] = self.gauge.alike(branch)["neuron_corr"]
        return row

    def _after(
        self, name: str, row: Row | None, weights: list[str], given: list[Tensor], out: Tensor
    ) -> None:
        """Rows of what a function made of the inputs, and of the weights that it took."""
        matrices = [one for one in weights if one not in self._used]
        if row is None and name in kinds.WEIGHTED and weights and self._shows_functions():
            row = Row(weights[0], name, kinds.WEIGHT, weight=weights[0])
            row.known = known.of_function(name, given, self.flow, self.weights)
            self._used.add(weights[0])
            data = next((one for one in given if self.flow.of(one) is not None and one is not out), None)
            with self.aside():
                if data is not None and data.is_floating_point():
                    row.below, row.values["pre_rms"] = self.flow.of(data), self.gauge.rms(data)
            matrices = matrices[1:] if matrices[:1] == weights[:1] else matrices
        if row is not None and out.is_floating_point() and out.numel():
            with self.aside():
                self._record(row, out)
        for one in matrices:
            self._use(one)

    def _use(self, name: str) -> None:
        """A row of a weight that is used without a module of its own."""
        if name not in self._used and self._shows_functions():
            self._used.add(name)
            self.rows.append(Row(name, PARAMETER, PARAMETER, weight=name))

    def _place(self) -> str:
        return self._stack[-1].name if self._stack else ""

    def _shows_functions(self) -> bool:
        return self._shown is None

    # What is measured.

    @contextmanager
    def aside(self) -> Iterator[None]:
        """Calls of our own, that are not the model's and that no gradient passes."""
        self._listening = False
        try:
            with torch._C.DisableTorchFunction(), torch.no_grad():
                yield
        finally:
            self._listening = True

    def _before(self, row: Row, z: Tensor) -> None:
        row.values["pre_rms"] = self.gauge.rms(z)
        if row.act:
            self.gauge.flat(row, z)

    def _record(self, row: Row, out: Tensor) -> None:
        """The statistics of a call's output before anything changes it; of its gradient once it is there."""
        row.node = self.flow.of(out)
        if row.node is None:
            row.node = self.flow.add(out, ())
        self.gauge.measure(row, out)
        if row.role == kinds.WEIGHT and row.weight and row.width > 1:
            row.copies = self.weights.are_copies(row)
        (self.sums if row.role == SUM else self.rows).append(row)
        if self._stack:
            self._stack[-1].inner.append(row)

    def close(self) -> None:
        """From now on follow what comes of which, as in the loss, and make no rows."""
        self._closed, self._shown = True, set()

    # Which came of which.

    def begin(self, values: Any) -> None:
        """The inputs."""
        for one in tensors_in(values):
            self.flow.add(one, ())

    def _nodes(self, values: Any) -> tuple[int, ...]:
        nodes = (self.flow.of(one) for one in tensors_in(values))
        return tuple(node for node in nodes if node is not None)

    def _join(self, tensor: Tensor, parents: tuple[int, ...], name: str, step: float | None) -> None:
        """A node for what was made of others, and where it has its features."""
        node = self.flow.add(tensor, parents, step)
        if name.lower() in _SOFTMAXES and parents:
            self._softmax(node, parents[0], name.lower())
        self.gauge.place(node, tensor, parents, name)

    def _softmax(self, node: int, below: int, name: str) -> None:
        if name != "cross_entropy":
            self.probabilities.add(node)
        first = self.flow.straight_to(below, self._softmaxes)
        if first is not None:
            self.softmaxes_twice.append(self._softmaxes[first] if self._closed else self._place())
        elif name == "softmax":
            self._softmaxes[node] = self._place()
