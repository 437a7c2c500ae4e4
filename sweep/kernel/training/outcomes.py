"""What is told of every short training."""

OUTCOMES = (
    "train_loss", "train_accuracy", "test_accuracy", "readout_accuracy", "train_epochs", "diverged_at",
)  # fmt: skip
LEARNED = 0.5  # test_accuracy from which on a network has learned
