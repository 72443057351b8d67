"""What tuning costs: eight trials of five epochs, by embedding once and by a beginner's training script.

    python -m benchmarks.tuning

Processor seconds of the processes that do it, the start of each included. Both sides tune the same learning rates and
batch sizes over the same photos with resnet50.
"""

import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from benchmarks.figures import Figure, main, processor_seconds
from benchmarks.photos import embed, job, photos

BASELINE = Path(__file__).parent / "baseline/train.py"
EPOCHS = 5
TRIALS = [(rate, batch) for rate in (0.0003, 0.001, 0.003, 0.01) for batch in (16, 64)]


def ours(data: Path) -> dict[str, float]:
    """The processor seconds of the embedding and of all trials."""
    with tempfile.TemporaryDirectory() as name:
        base = Path(name)
        embedding = embed(base, data, "resnet50")
        trials = sum(
            job(
                *("train.py", base, "--backbone", "resnet50", "--epochs", str(EPOCHS)),
                *("--learning_rate", str(rate), "--batch_size", str(batch)),
            )
            for rate, batch in TRIALS
        )
    return {"embedding": embedding, "trials": trials}


def baseline(data: Path) -> float:
    """The processor seconds of all trials of a beginner."""
    return sum(
        processor_seconds([sys.executable, BASELINE, data, str(rate), str(batch), str(EPOCHS)])
        for rate, batch in TRIALS
    )


def measure() -> Iterator[Figure]:
    """One run of each side: they take minutes, and processor seconds are nearly the same each time."""
    with photos() as data:
        counts = {split: sum(1 for _ in (data / split).glob("*/*")) for split in ("train", "valid", "test")}
        mine, theirs = ours(data), baseline(data)
    yield Figure(
        "tuning cost",
        f"processor seconds of {len(TRIALS)} trials x {EPOCHS} epochs of a beginner's script over ours, embedding "
        "included; same photos, resnet50",
        theirs / sum(mine.values()),
        "times",
        20,
        "more",
        detail={"ours, s": mine, "baseline, s": theirs, "photos": counts},
    )


if __name__ == "__main__":
    main(measure)
