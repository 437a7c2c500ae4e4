"""What a probe costs: its time and its memory, in units of one forward and one backward pass on the CPU.

Times are medians of rounds in which a pass and a probe take turns. Memory is the peak above what the process
held before, in a process of its own for each. Models are drawn from their configs.
"""

import argparse
import json
import platform
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).parents[1]))  # as a script it is found beside tests/
from tests.vision import torchvision

PAGE = resource.getpagesize()
MIB = 2**20


def resnet18(torch: Any) -> tuple[Any, Any]:
    return torchvision().models.resnet18(), torch.randn(16, 3, 224, 224)


def vit_b_16(torch: Any) -> tuple[Any, Any]:
    model = torchvision().models.vit_b_16()
    torch.nn.init.normal_(model.heads.head.weight, std=0.02)  # which begins as 0: no gradient would pass
    return model, torch.randn(4, 3, 224, 224)


def gpt2(torch: Any) -> tuple[Any, Any]:
    torchvision()  # which transformers looks for
    from transformers import GPT2Config, GPT2LMHeadModel  # noqa: PLC0415

    return GPT2LMHeadModel(GPT2Config()), torch.randint(0, 50257, (2, 256))


def small_mlp(torch: Any) -> tuple[Any, Any]:
    """A step below ten milliseconds, where the modules count and not their size."""
    layers = [part for _ in range(20) for part in (torch.nn.Linear(64, 64), torch.nn.ReLU())]
    return torch.nn.Sequential(*layers), torch.randn(64, 64)


MODELS: dict[str, Callable[[Any], tuple[Any, Any]]] = {
    "resnet18": resnet18,
    "vit_b_16": vit_b_16,
    "gpt2": gpt2,
    "small_mlp": small_mlp,
}


def made(name: str, threads: int) -> tuple[Callable[[], None], Callable[[], None], int]:
    """A pass, a probe of one model, both ready to be called; and how many modules it calls."""
    import torch  # noqa: PLC0415

    import sweep  # noqa: PLC0415

    torch.set_num_threads(threads)
    torch.manual_seed(0)
    model, inputs = MODELS[name](torch)

    def step() -> None:
        outputs = model(inputs)
        outputs = getattr(outputs, "logits", outputs)
        model.zero_grad(set_to_none=True)
        (torch.randn_like(outputs) * outputs).sum().backward()
        model.zero_grad(set_to_none=True)

    def probe() -> None:
        sweep.probe(model, inputs)

    sweep.probe(torch.nn.Linear(2, 2), torch.randn(3, 2))  # all that is imported is there
    return step, probe, sum(1 for one in model.modules() if not list(one.children()))


def seconds(call: Callable[[], None]) -> float:
    """Of the processor, which other work on the machine leaves as they are."""
    start = time.process_time()
    call()
    return time.process_time() - start


def times(name: str, rounds: int, threads: int) -> dict[str, float]:
    """Medians of both, taking turns after a round that does not count."""
    step, probe, modules = made(name, threads)
    step(), probe()
    pairs = [(seconds(step), seconds(probe)) for _ in range(rounds)]
    one, other = (median(values) for values in zip(*pairs, strict=True))
    return {"pass_seconds": one, "probe_seconds": other, "modules": modules}


def held() -> int:
    """Bytes of this process that are in memory now."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * PAGE


def peak(name: str, kind: str, threads: int) -> int:
    """The most that one call holds above what was held before it, in bytes."""
    step, probe, _ = made(name, threads)
    Path("/proc/self/clear_refs").write_text("5")  # from here on peaks count
    before = held()
    (step if kind == "pass" else probe)()
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 - before


def apart(*arguments: str) -> Any:
    """What a process of its own prints as JSON."""
    done = subprocess.run([sys.executable, __file__, *arguments], check=True, capture_output=True, text=True)
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    """Measure, show and write benchmarks/probing.json."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", default=",".join(MODELS))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--apart", nargs=2, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.apart:
        name, kind = asked.apart
        print(json.dumps(times(name, asked.rounds, asked.threads) if kind == "times" else
                         peak(name, kind, asked.threads)))  # fmt: skip
        return
    table = Table("", "pass, s", "probe, s", "time", "pass, MiB", "probe, MiB", "memory", "ms a module")
    output = Path(__file__).parent / "probing.json"
    found = json.loads(output.read_text(encoding="utf-8"))["models"] if output.exists() else {}
    for name in asked.models.split(","):
        common = ["--rounds", str(asked.rounds), "--threads", str(asked.threads), "--apart", name]
        one = dict(apart(*common, "times"))
        one |= {f"{kind}_bytes": apart(*common, kind) for kind in ("pass", "probe")}
        one["time"] = one["probe_seconds"] / one["pass_seconds"]
        one["memory"] = one["probe_bytes"] / one["pass_bytes"]
        one["ms_a_module"] = 1000 * (one["probe_seconds"] - one["pass_seconds"]) / one["modules"]
        found[name] = one
        table.add_row(
            name, f"{one['pass_seconds']:.3f}", f"{one['probe_seconds']:.3f}", f"{one['time']:.2f}×",
            f"{one['pass_bytes'] / MIB:.0f}", f"{one['probe_bytes'] / MIB:.0f}", f"{one['memory']:.2f}×",
            f"{one['ms_a_module']:.2f}",
        )  # fmt: skip
        results = {"machine": f"{platform.machine()}, {asked.threads} threads", "models": found}
        output.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")  # others keep what they had
    Console().print(table)


if __name__ == "__main__":
    main()
