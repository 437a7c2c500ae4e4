"""Is what `sweep.recommend` calls good really good? Every activation, measured with seeds it has not seen.

python benchmarks/advice.py [--depth 5,20,50,200] [--width 64,512] [--act tanh,relu,…] [--seeds 100,101,102]

For each activation, depth and width: the best weights with new seeds, and every other candidate that is
said to survive. Prints a line each, then the shares of networks that are healthy. Ends 1 where the share is
below 95 %.
"""

import argparse
import sys
import time

from sweep import activations
from sweep.experiment.outcomes.verdict import flat_share_of, verdict
from sweep.initializers import get
from sweep.kernel import Chain, propagate
from sweep.report.advice.candidates import YES
from sweep.report.advice.recommendation import recommend

BATCH, ENOUGH = 1000, 0.95


def words_of(act: str, scheme: str, depth: int, width: int, seeds: list[int]) -> list[str]:
    """The verdict of each seed."""
    option, *given = scheme.split()
    parameters = {key: float(value) for key, value in (text.split("=") for text in given)}
    known = activations.get(act)
    chain = Chain(get(option, **parameters), known, 0.0, depth, (depth,))
    words = []
    for seed in seeds:
        of = propagate([chain], (width,) * (depth + 1), [seed], BATCH)[0].of_seed(0)
        words.append(verdict(of.forward | of.backward[depth], flat_share_of(known))[0])
    return words


def main() -> int:
    """Measure, print, and say whether enough of it survives."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--act", default=",".join(activations.names()))
    parser.add_argument("--depth", default="5,20,50,200")
    parser.add_argument("--width", default="64,512")
    parser.add_argument("--seeds", default="100,101,102")
    parser.add_argument("--best", action="store_true", help="the best alone")
    given = parser.parse_args()
    seeds = [int(seed) for seed in given.seeds.split(",")]
    good, of_good, said, of_said, none, cases = 0, 0, 0, 0, [], 0
    for width in map(int, given.width.split(",")):
        for depth in map(int, given.depth.split(",")):
            for act in given.act.split(","):
                start, found = time.perf_counter(), recommend(act, depth, width)
                cases += 1
                if found.best is None:
                    none.append(f"{act} {depth}×{width}")
                    print(f"{act:11} depth {depth:4} width {width:4}  none: {found.says[0]}", flush=True)
                    continue
                told = [one for _, one in found.ranking if one.survives == YES]
                told = told[:1] if given.best else told
                lines = []
                for candidate in told:
                    words = words_of(act, candidate.schemes[0], depth, width, seeds)
                    healthy = words.count("healthy")
                    said, of_said = said + healthy, of_said + len(words)
                    if candidate is found.best:
                        good, of_good = good + healthy, of_good + len(words)
                    ill = sorted({word for word in words if word != "healthy"})
                    lines.append(f"{candidate.schemes[0]} {healthy}/{len(words)} {' '.join(ill)}".rstrip())
                took = time.perf_counter() - start
                print(
                    f"{act:11} depth {depth:4} width {width:4}  {'; '.join(lines)}  ({took:.0f} s)",
                    flush=True,
                )
    print(f"{cases} cases; in {len(none)} nothing is said to survive: {', '.join(none) or 'none'}")
    print(f"the best survives in {good} of {of_good} networks ({good / max(of_good, 1):.1%})")
    print(f"all that is said to survive does in {said} of {of_said} ({said / max(of_said, 1):.1%})")
    return 0 if good >= ENOUGH * of_good and said >= ENOUGH * of_said else 1


if __name__ == "__main__":
    sys.exit(main())
