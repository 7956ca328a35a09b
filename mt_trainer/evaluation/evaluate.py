"""Translate a test set and score it: the single path of validation, the final evaluation and mt-eval."""

import hashlib
import json
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from mt_trainer.data.evaluation_sets import EvalSet
from mt_trainer.decoding.translate import Translator
from mt_trainer.errors import CheckpointError, Problem
from mt_trainer.evaluation.likelihood import Likelihood
from mt_trainer.evaluation.metrics import Metrics, Score, reference_notes
from mt_trainer.files import room, sync, write_whole

SHOWN_DIGITS = 12
"""Hexadecimal digits of a hash that the table shows; the record has all."""

LIKELIHOOD_SIGNATURE = "nats a target token of the run's tokenizer, end marks counted, never smoothed"
"""How a likelihood comes about, whichever model it is of."""


@dataclass(frozen=True)
class SetScores:
    """What came out on one test set.

    Attributes:
        name: of the set.
        scores: BLEU first.
        hypotheses: the best translation of each source line, in their order.
        num_sentences: of the set.
        train_overlap: how many of its sources also stand in the training text; None where that was not counted.
        hashes: sha256 of what was compared, under `src`, `ref` and `hyp`, and of what made the translations, under
            `weights` and `tokenizer` where these are files.
        notes: what a reader of the scores should know; usually nothing.
        seconds: that translating took.
        likelihood: of the references; None where it is told elsewhere, as in validation.
    """

    name: str
    scores: tuple[Score, ...]
    hypotheses: tuple[str, ...]
    num_sentences: int
    train_overlap: int | None
    hashes: dict[str, str]
    notes: tuple[str, ...]
    seconds: float
    likelihood: Likelihood | None = None

    def value(self, name: str) -> float:
        """The score of this name, such as `bleu`, in percent."""
        return next(score.value for score in self.scores if score.name == name)


def evaluate_set(
    translator: Translator,
    metrics: Metrics,
    eval_set: EvalSet,
    *,
    likelihood: Likelihood | None = None,
    made_by: Mapping[str, str] | None = None,
    progress: str | None = None,
) -> SetScores:
    """Translates the raw source lines and compares the detokenised translations with the raw references.

    Args:
        translator: of the model to be judged.
        metrics: what to compute.
        eval_set: raw text, in its order.
        likelihood: of its references under the translator's model, if it is to be told with the scores.
        made_by: sha256 of the translator's `weights` and `tokenizer`; None while it is being trained.
        progress: label of a progress bar; None for none.

    Raises:
        DataError: MT140, when the set is empty or its sides have different numbers of lines.
    """
    started = time.perf_counter()
    translations = translator.translate(eval_set.src_texts, progress=progress)
    seconds = time.perf_counter() - started
    hypotheses = [row[0].text for row in translations]
    notes = [*eval_set.notes, *reference_notes(eval_set.tgt_texts)]
    num_cut = sum(row[0].source_was_cut for row in translations)
    if num_cut:
        notes.append(f"source lines longer than the model can read, and cut: {num_cut:,}")
    if likelihood and likelihood.num_cut:
        notes.append(f"reference lines longer than the model can place, and cut for the NLL: {likelihood.num_cut:,}")
    if eval_set.train_overlap:
        notes.append(eval_set.describe_overlap())
    return SetScores(
        name=eval_set.name,
        scores=metrics.score(hypotheses, eval_set.tgt_texts),
        hypotheses=tuple(hypotheses),
        num_sentences=len(hypotheses),
        train_overlap=eval_set.train_overlap,
        hashes={
            side: hashlib.sha256(as_lines(texts)).hexdigest()
            for side, texts in (("src", eval_set.src_texts), ("ref", eval_set.tgt_texts), ("hyp", hypotheses))
        }
        | dict(made_by or {}),
        notes=tuple(notes),
        seconds=seconds,
        likelihood=likelihood,
    )


def save_scores(result: SetScores, folder: Path, *, about: Mapping[str, object]) -> Path:
    """Writes `<set>.hyp.txt` and then `<set>.json` into the folder, each whole or not at all; returns the JSON's path.

    An older `<set>.json` goes first: scores never stand beside translations that they are not of.

    Args:
        result: of `evaluate_set`.
        folder: made if absent; usually `evaluation` in the run folder.
        about: what made the translations, such as the names of run and checkpoint and the search settings; JSON values.

    Raises:
        CheckpointError: MT103, when the folder cannot be written.
    """
    stem = result.name.replace(os.sep, "_")
    path = folder / f"{stem}.json"
    record = json.dumps(as_record(result, about=about), indent=2) + "\n"
    lines = as_lines(result.hypotheses)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if path.exists():
            path.unlink()
            sync(folder)
        write_whole(folder / f"{stem}.hyp.txt", lines)
        write_whole(path, record.encode())
    except OSError as error:
        why = f"{error.strerror or error} ({room(folder, len(lines) + len(record))})"
        message = f"the scores of `{result.name}` cannot be written: {why}"
        advice = "choose a folder that can be written: --output"
        raise CheckpointError(Problem("MT103", message, where=str(folder), help=advice)) from error
    return path


def as_record(result: SetScores, *, about: Mapping[str, object]) -> dict[str, object]:
    """The result without the hypotheses, for JSON. Numbers keep all their digits."""
    likelihood = {"likelihood": result.likelihood.as_record()} if result.likelihood else {}
    return {
        "set": result.name,
        **about,
        "scores": [asdict(score) for score in result.scores],
        **likelihood,
        "num_sentences": result.num_sentences,
        "train_overlap": result.train_overlap,
        "sha256": result.hashes,
        "notes": list(result.notes),
        "seconds": round(result.seconds, 3),
    }


def scores_table(results: Sequence[SetScores]) -> str:
    """For people: a line a set, scores to two places; likelihoods likewise; then how all were made, and notes.

    `in training` is the number of sources that also occur in the training text; hashes are cut to `SHOWN_DIGITS`.
    """
    titles = {"bleu": "BLEU", "chrf": "chrF", "bleu_moses_lowercase": "BLEU moses lc"}
    names = list(dict.fromkeys(score.name for result in results for score in result.scores))
    width = max(len("set"), *(len(result.name) for result in results))
    header = f"{'set':<{width}}  sentences" + "".join(f"  {titles[name]:>6}" for name in names)
    lines = [f"{header}  in training  sentences/s"]
    for result in results:
        cells = "".join(f"  {result.value(name):>{max(6, len(titles[name]))}.2f}" for name in names)
        rate = result.num_sentences / result.seconds
        overlap = "not counted" if result.train_overlap is None else f"{result.train_overlap:,}"
        lines.append(f"{result.name:<{width}}  {result.num_sentences:>9,}{cells}  {overlap:>11}  {rate:>11.1f}")
    measured = {result.name: result.likelihood for result in results if result.likelihood}
    if measured:
        lines += ["", *_likelihood_lines(measured, width), ""]
    signatures = dict.fromkeys((score.name, score.signature) for result in results for score in result.scores)
    lines += [f"{titles[name]}: {signature}" for name, signature in signatures]
    precisions = dict.fromkeys(likelihood.precision for likelihood in measured.values())
    lines += [f"nll: {LIKELIHOOD_SIGNATURE}; matrix products in {precision}" for precision in precisions]
    for result in results:
        hashes = ", ".join(f"{name} {digest[:SHOWN_DIGITS]}" for name, digest in result.hashes.items())
        lines.append(f"sha256: {result.name}: {hashes}")
    lines += [f"note: {result.name}: {note}" for result in results for note in result.notes]
    return "\n".join(lines)


def _likelihood_lines(measured: Mapping[str, Likelihood], width: int) -> list[str]:
    """A header and a line a set; `width` is that of the names."""
    lines = [f"{'set':<{width}}     tokens      nll      ppl  accuracy  entropy  confidence"]
    for name, each in measured.items():
        ppl = f"{each.ppl:.2f}" if each.ppl < 1e5 else f"{each.ppl:.2g}"
        lines.append(
            f"{name:<{width}}  {each.num_tokens:>9,}  {each.nll:>7.4f}  {ppl:>7}  {each.accuracy:>8.3f}  "
            f"{each.entropy:>7.4f}  {each.confidence:>10.3f}"
        )
    return lines


def as_lines(texts: Sequence[str]) -> bytes:
    """UTF-8, each text ended by a line feed: the bytes that are saved and hashed."""
    return "".join(f"{text}\n" for text in texts).encode()
