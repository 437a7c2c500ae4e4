"""What each column of the tables means, in a line, for the reference among the documents."""

from sweep.kernel.statistics.table import PREDICTED, STATISTICS
from sweep.store.tables import FIRST_PREDICTED

# Beside the statistics, which say it themselves, and the axes, which conf/config.yaml explains.
_MEANINGS = {
    "cell_id": "a hash of everything that changes the cell's numbers: equal cells are one cell",
    "init": "the scheme that drew the weights",
    "act": "the activation",
    "layer": "0 is the input, `depth` the last",
    "sigma_w": "√(fan_in · Var W) at the last layer; null where Var W is not known",
    "init_params": "the scheme's parameters, as JSON",
    "act_params": "the activation's parameters, as JSON",
    "block": "what a layer is: plain, residual, pre_ln …; a layer is then a block",
    "block_params": "its parameters, as JSON",
    "train": "how the network was trained once it was measured; none: not at all",
    "train_params": "its parameters, as JSON; an lr of 0.01 where auto was asked for: theory knows no step",
    "train_lr": "the step that it was trained with; null, as all that follows, where it was not trained",
    "train_loss": "cross-entropy over all training inputs at the end; inf where it is no number",
    "train_accuracy": "the share of training inputs that it then gets right, of ten classes; an output that "
    "is no number never is",
    "test_accuracy": "the same of inputs that were held out",
    "readout_accuracy": "the same where the readout alone was trained, on the network as it was drawn",
    "train_epochs": "how often the training saw every training input",
    "diverged_at": "the first step whose loss was not finite, or above 100 times the first; steps + 1 where "
    "the last step left such a loss; null: none",
    "learned": "whether test_accuracy is at least 0.5",
    "input": "what was pushed through: gaussian, correlated, student, digits or npy",
    "input_params": "its parameters, as JSON; of npy where the file lay, and the sha256 of what was in it",
    "model": "what makes a model of one's own, 'package.module:make'; null of our networks. There `init` is "
    "the scheme that drew its weights, `default` as they were made, `act` and `width` are null, and `depth` "
    "counts the rows of its chain",
    "model_params": "its inputs, and a digest of its source, as JSON",
    "module": "of a model of one's own: the module that this layer is; else null",
    "kind": "what that is, as in 'Linear + ReLU', or 'x + Linear relu Linear' of a block; else null",
    "first_init": "the scheme of the first layer alone; null where it has the same as all",
    "first_init_params": "its parameters, as JSON",
    "last_init": "the scheme of the last layer alone; null where it has the same as all",
    "last_init_params": "its parameters, as JSON",
    "loss_scale": "with a format: the power of two that brings the smallest 1 % of abs(dL/dz) of all layers "
    "(of the first 64 inputs, less what is 0) to the format's smallest normal number; null where the "
    "largest would overflow",
    "flat_share": "the activation's `flat` for z ~ N(0, 1); the verdict needs it",
    "histogram_low": "where the activation's histograms begin",
    "histogram_high": "where the activation's histograms end",
    "histogram": "counts in 30 equal bins, the end bins including all that lies beyond; null if not kept",
    "delta_std_first": "`delta_std` at layer 0: what is left of the gradient at the input",
    "grad_std_first": "`grad_std` at layer 1",
    "theory_lr_max": "the largest step of smooth descent, of a loss summed over `batch` inputs; null where "
    "theory knows of none, as in any block but plain, and where chance counts for more than the mean "
    "(odd acts without biases)",
    "theory_kappa": "the largest eigenvalue of the tangent kernel over its least; null as theory_lr_max",
    "jac_spread": "Var(s²) / E[s²]² of the singular values s of dh_L / dh_0, mean over four inputs; null "
    "where it was not asked for (`jacobian`), where dh_L / dh_0 is 0 or no number, or the slope is not known",
    "theory_jac_spread": "theory's `jac_spread`; null in any block but plain, or without `jacobian`",
    "first_nonfinite_layer": "the first layer with an inf or a NaN; null where there is none",
    "leaves_float32_layer": "the first layer whose largest abs(h) rounds to inf or to 0 in float32; null "
    "where there is none, and in rows of an older schema where the layers cannot tell",
    "verdict": "what becomes of the signal, in a word",
    "verdicts": "all verdicts that hold, a list in the order of the table of rules; the first is `verdict`",
    "verdict_layer": "the layer from which on that verdict holds; null for healthy",
    "verdict_thresholds": "the thresholds that were not the defaults, as JSON; else null",
    "status": "ok or failed",
    "error": "of a failed cell: the error's type and message",
    "error_type": "of a failed cell: the error's type",
    "traceback": "of a failed cell: the end of the traceback",
    "seconds": "the computing time of this cell, its share where cells are computed together",
    "kernel_version": "the version of the numbers: cells of two versions are two cells",
    "run_id": "the run that computed it, a folder in `runs/`",
}
_THEORY = "what mean-field theory predicts of `{name}`; null where it does not apply"


def meaning(column: str) -> str | None:
    """What a column of `cells` or `layers` means; None of an axis, and of a column that is not known."""
    if column in STATISTICS:
        return STATISTICS[column].meaning
    name = column.removeprefix("theory_")
    if name != column and (name in PREDICTED or column in FIRST_PREDICTED):
        return _THEORY.format(name=name)
    return _MEANINGS.get(column)
