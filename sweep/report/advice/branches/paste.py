"""Lines for torch that set the weights of a residual block's two matrices, or of its one."""

from sweep.base import blocks
from sweep.report.advice.branches.candidates import Branch
from sweep.report.advice.trial import scheme_of

_FAN_IN = "torch.nn.init._calculate_fan_in_and_fan_out({}.weight)[0]"


def paste(best: Branch, depth: int) -> str:
    """What draws its weights, for `w` and `v`, the Linears into and out of act; and what its factors are."""
    block = best.block.at(depth)
    of_w, of_v = block.number("w_scale"), block.number("v_scale")
    lines = [f"# in each of {depth} blocks: {_formula(best)}"]
    factors = [f"{name} = {block.number(name):.6g}" for name in ("skip", "alpha") if name in best.block.takes]
    if block.skipped:
        lines.append(f"# s = {factors[0].partition(' = ')[2]}, a = {factors[1].partition(' = ')[2]}")
    lines.append(_line("w", best.sigma_w * of_w))
    if block.out:
        text = best.block.v_scale
        why = f"  # sigma_v = {best.sigma_w:.4g} · {text}" if isinstance(text, str) else ""
        lines.append(_line("v", best.sigma_w * of_v) + why)
    if scheme_of(best.init).bias is None:
        lines.append("# biases: torch.nn.init.zeros_(w.bias), and none on v")
    return "\n".join(lines)


def _line(name: str, sigma: float) -> str:
    if not sigma:
        return f"torch.nn.init.zeros_({name}.weight)"
    return f"torch.nn.init.normal_({name}.weight, std={sigma:.10g} / {_FAN_IN.format(name)} ** 0.5)"


def _formula(best: Branch) -> str:
    formula = blocks.REGISTRY.made(best.block.name, {}).formula
    return f"h' = {formula}".replace(" W", " w").replace(" V", " v")
