"""What the oracle experiment (tailr_oracle.sh) found, from its runs and samples: tables, and a figure.

    python scripts/tailr_oracle.py FOLDER STUDENT...

FOLDER has the runs oracle/ and students/STUDENT/, and samples/: test.tgt and oracle.tgt, both drawn from the oracle,
and STUDENT.tgt. Prints markdown, and writes it to results.md, and corruption.png beside it.
"""

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch

from bootstrap import Estimate
from figures import require_matplotlib
from finished_runs import FinishedRun
from mt_trainer.model import Transformer
from mt_trainer.tokenizer import Tokenizer
from mt_trainer.training.loading import load_run
from tailr_oracle_report import draw, report
from tailr_oracle_scores import NUM_SPECIAL, ORACLE, corruption_scores, score
from tailr_oracle_text import References, Words

NUM_REFERENCES = 500
"""Sentences that each sample is compared with by BLEU, as in the code of the paper."""

NUM_CORRUPTED = 500

TEST = "test"
"""The name of the oracle's text that measures are taken on."""


def mean_bleu(samples: Sequence[Words], references: Sequence[Words], *, of: str) -> Estimate:
    """BLEU-4 of a model's samples against the first `NUM_REFERENCES` references, in percent.

    Args:
        of: the model.
    """
    judge = References(references[:NUM_REFERENCES])
    return Estimate.mean(100 * np.array([judge.bleu(words) for words in samples]), of=of)


def self_bleu(samples: Sequence[Words], *, of: str) -> Estimate:
    """BLEU-4 of each of the first `NUM_REFERENCES` samples against the others of them, in percent: low is diverse.

    The references stay the same in all resamples: a sentence drawn twice would be a reference of itself.

    Args:
        of: the model.
    """
    chosen = samples[:NUM_REFERENCES]
    judge = References(chosen)
    return Estimate.mean(100 * np.array([judge.bleu(words, but=i) for i, words in enumerate(chosen)]), of=of)


def sample_measures(
    models: Mapping[str, Transformer], tokenizer: Tokenizer, samples: Mapping[str, Sequence[Words]], test: list[Words]
) -> dict[str, dict[str, Estimate]]:
    """The measures of the paper by model; those of the oracle are what a perfect student would have.

    What is measured on the test text is compared in pairs. What is measured on samples is not: each model has its own.
    """
    on_test = score(models, tokenizer, test, text=TEST)
    judge = {ORACLE: models[ORACLE]}
    return {
        name: {
            "PPL_oracle": score(judge, tokenizer, samples[name], text=name).nll_per_token(ORACLE).map(np.exp),
            "PPL_test": on_test.nll_per_token(name).map(np.exp),
            "BLEU-4": mean_bleu(samples[name], test, of=name),
            "SelfBLEU-4": self_bleu(samples[name], of=name),
            "TVD": on_test.tvd_per_token(name),
        }
        for name in models
    }


def read_words(path: Path) -> list[Words]:
    """The words of each line."""
    return [line.split() for line in path.read_text(encoding="utf-8").split("\n")[:-1]]


def main() -> None:
    """Measure, print, draw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("students", nargs="+")
    options = parser.parse_args()
    require_matplotlib("tailr_oracle.py")
    folder: Path = options.folder
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    runs = {ORACLE: load_run(folder / ORACLE, device=device)}
    runs |= {name: load_run(folder / "students" / name, device=device) for name in options.students}
    models = {name: run.model for name, run in runs.items()}
    tokenizer = runs[ORACLE].tokenizers.tgt
    samples = {name: read_words(folder / "samples" / f"{name}.tgt") for name in models}
    test = read_words(folder / "samples" / f"{TEST}.tgt")

    found = corruption_scores(models, tokenizer, test[:NUM_CORRUPTED], text=TEST)
    measures = sample_measures(models, tokenizer, samples, test)
    finished = {name: FinishedRun.read(run.path) for name, run in runs.items()}
    num_own, num_drawn = (finished[name].num_pairs for name in (ORACLE, options.students[0]))
    settings = {
        "Text": f"{num_own:,} sentences for the oracle, {num_drawn:,} drawn from it for the students; "
        f"{tokenizer.vocab_size - NUM_SPECIAL:,} words",
        "Measured": f"on {len(test):,} sentences of each kind, {min(len(test), NUM_CORRUPTED):,} to be corrupted",
    }
    text = report(finished, measures, found, settings=settings)
    draw(found, folder / "corruption.png")
    (folder / "results.md").write_text(f"{text}\n", encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
