"""The whole check of a corpus, in the order in which it reads.

1. The evaluation sets, into memory.
2. The training text: what each pair and line shows by itself, repetition, overlap, the verdicts of cleaning, and a
   sample of neighbouring rows, from which the evidence for alignment is learned.
3. The training text again, for shifted lines.
4. The pairs that cleaning keeps so far, through the tokenizer where there is one.
5. As far as the last row to be shown, for the examples.

Counts are exact and every row is looked at, very long lines by their first 10,000 characters. Sampled is only what
alignment learns from: at most 32,768 rows, evenly spread. Memory: the evaluation sets, the sample, and about 100 bytes
for each training pair.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from mt_trainer.config.data import DataConfig, TokenizerConfig
from mt_trainer.data.checking.catalogue import Grade
from mt_trainer.data.checking.coverage import SideCoverage
from mt_trainer.data.checking.examples import findings_of
from mt_trainer.data.checking.findings import Finding, Observation, Tally
from mt_trainer.data.checking.languages import LanguagePair
from mt_trainer.data.checking.lexicon import Pair, Sample, learned_evidence, strength_of_alignment
from mt_trainer.data.checking.misalignment import WEAK, misalignment
from mt_trainer.data.checking.overlap import Overlap
from mt_trainer.data.checking.part_traits import SIDES, PartTraits, alignable
from mt_trainer.data.checking.parts import Part
from mt_trainer.data.checking.repetition import Repetitions
from mt_trainer.data.cleaning import (
    DECIDING_SETTING,
    MAX_CHARACTERS_PER_TOKEN,
    CleaningCounts,
    Verdict,
    count_verdicts,
    judge_texts,
)
from mt_trainer.data.encoding import Coverage, encoded_chunks, train_tokenizers
from mt_trainer.data.reading import ParallelText
from mt_trainer.errors import Problem, TokenizerError
from mt_trainer.tokenizer import TokenizerPair

Item = TypeVar("Item")

SetPairs = list[tuple[str, str] | None]
"""An evaluation set in memory; None for a row that is no text."""


@dataclass(frozen=True)
class CorpusReport:
    """What a check has found.

    Attributes:
        languages: source and target language.
        parts: the training text and the evaluation sets by name.
        findings: every check on every part, also those that found nothing.
        verdicts: of cleaning, for each training pair that is text.
        counts: of these verdicts.
        is_judged_by_length: whether pairs were also dropped by their pieces, for which a tokenizer is needed.
        coverage: of each side of the training text by the tokenizer, where there is one.
        notes: what else there is to say.
    """

    languages: tuple[str, str]
    parts: Mapping[str, Part]
    findings: tuple[Finding, ...]
    verdicts: NDArray[np.uint8]
    counts: CleaningCounts
    is_judged_by_length: bool
    coverage: Mapping[str, Coverage]
    notes: tuple[str, ...]

    @property
    def grade(self) -> Grade:
        """The worst of all findings."""
        grades = {finding.grade for finding in self.findings}
        return next((grade for grade in (Grade.FAULT, Grade.LOOK) if grade in grades), Grade.FINE)


def check_corpus(
    train: Sequence[ParallelText],
    evaluation: Mapping[str, ParallelText],
    data: DataConfig,
    *,
    tokenizers: TokenizerPair | None,
    tokenizer_to_train: TokenizerConfig | None,
    announce: Callable[[str], None],
) -> CorpusReport:
    """Looks for everything in the catalogue.

    Args:
        train: sources of the training text, which skip what is no text.
        evaluation: dev and test sets by name.
        data: languages and filters; its sources are not looked at.
        tokenizers: that the run would use, or None.
        tokenizer_to_train: how to train them when there are none; None for a check without tokenizer.
        announce: told in single lines what takes long.

    Raises:
        DataError: what cannot be read at all.
    """
    parts = {"train": Part("train", train)} | {name: Part(name, [text]) for name, text in evaluation.items()}
    traits = {
        name: PartTraits(
            src_lang=data.src_lang,
            tgt_lang=data.tgt_lang,
            max_characters=MAX_CHARACTERS_PER_TOKEN * data.max_length,
        )
        for name in parts
    }
    found: dict[str, list[Observation]] = {name: [] for name in parts}
    set_pairs = {name: _read_set(parts[name], traits[name]) for name in evaluation}
    overlap, repetitions, sample = Overlap(set_pairs), Repetitions(), Sample()
    verdicts = judge_texts(
        _first_reading(parts["train"], traits["train"], repetitions, overlap, sample),
        max_length=data.max_length,
        drop_identical=data.drop_identical,
        drop_duplicates=data.drop_duplicates,
    )
    found["train"] += repetitions.observations()
    evidence, strength = learned_evidence(sample.blocks()), strength_of_alignment(sample.blocks())
    for name, part in parts.items():
        pairs = _rows_of_set(set_pairs[name]) if name in set_pairs else _second_reading(part)
        # A set is judged by what training teaches, where that is anything.
        usable = evidence if name == "train" or (strength is not None and strength >= WEAK) else None
        found[name] += [
            *part.observations(),
            *traits[name].observations(),
            *misalignment(pairs, usable, strength=strength, starts=part.starts),
        ]
        if name in set_pairs:
            found[name] += overlap.observations(name, part.places)

    notes: list[str] = []
    if not LanguagePair(data.src_lang, data.tgt_lang).is_known:
        notes.append(
            f"no word lists for `{data.src_lang}` and `{data.tgt_lang}`: whether sides are swapped, or in another "
            "language, is judged by their scripts alone"
        )
    if parts["train"].problems:
        notes.append("training refuses the text as it is; nothing was encoded")
        tokenizers = tokenizer_to_train = None
    if tokenizers is None and tokenizer_to_train is not None and (verdicts == Verdict.KEPT).any():
        announce("training the tokenizer, as mt-train would; it is not kept")
        try:
            tokenizers = train_tokenizers(train, verdicts, tokenizer_to_train)
        except TokenizerError as error:
            notes.append(f"no tokenizer: {error.problems[0].message}; {error.problems[0].help}")
    coverage: dict[str, Coverage] = {}
    if tokenizers is not None:
        verdicts, uses = _encode(train, verdicts, tokenizers, data)
        coverage = {side: use.coverage() for side, use in zip(SIDES, uses, strict=True)}
        for name in parts:
            if name in set_pairs:
                uses = _encode_set(set_pairs[name], tokenizers)
            for use, side in zip(uses, traits[name].sides, strict=True):
                found[name] += use.observations(side.characters)
    counts = count_verdicts(verdicts, invalid_text=len(parts["train"].invalid_rows))
    found["train"] += _dropped(counts)
    return CorpusReport(
        languages=(data.src_lang, data.tgt_lang),
        parts=parts,
        findings=tuple(findings_of(parts, found)),
        verdicts=verdicts,
        counts=counts,
        is_judged_by_length=tokenizers is not None,
        coverage=coverage,
        notes=tuple(notes),
    )


def _read_set(part: Part, traits: PartTraits) -> SetPairs:
    pairs: SetPairs = []
    for row, item in part.rows():
        pair = None if isinstance(item, Problem) else item
        pairs.append(pair)
        if pair is not None:
            traits.add(row, *pair)
    return pairs


def _first_reading(
    part: Part, traits: PartTraits, repetitions: Repetitions, overlap: Overlap, sample: Sample
) -> Iterator[tuple[str, str]]:
    """The pairs that are text, each seen by everything that looks at it while it passes."""
    for row, item in _shown(part.rows(), "reading", part):
        if isinstance(item, Problem):
            sample.add(row, None)
            continue
        features = traits.add(row, *item)
        if features is not None:
            repetitions.add(row, *item)
            overlap.add(row, *item)
        sample.add(row, features)
        yield item


def _second_reading(part: Part) -> Iterator[tuple[int, Pair | None]]:
    for row, item in _shown(part.rows(), "aligning", part):
        yield row, None if isinstance(item, Problem) else alignable(*item)


def _rows_of_set(pairs: SetPairs) -> Iterator[tuple[int, Pair | None]]:
    for row, pair in enumerate(pairs):
        yield row, None if pair is None else alignable(*pair)


def _encode(
    texts: Sequence[ParallelText], verdicts: NDArray[np.uint8], tokenizers: TokenizerPair, data: DataConfig
) -> tuple[NDArray[np.uint8], list[SideCoverage]]:
    """The verdicts by text and by length, as training has them, and how the tokenizers do."""
    uses = [SideCoverage("src", tokenizers.src), SideCoverage("tgt", tokenizers.tgt)]
    places = np.flatnonzero(verdicts == Verdict.KEPT)
    judged, start = verdicts.copy(), 0
    with tqdm(total=len(places), desc="encoding", unit=" pairs", disable=None, leave=False) as progress:
        for chunk in encoded_chunks(texts, verdicts, tokenizers, data):
            stop = start + len(chunk.pairs)
            judged[places[start:stop]] = chunk.verdicts
            for use, side, ids in zip(
                uses, zip(*chunk.pairs, strict=True), (chunk.src_ids, chunk.tgt_ids), strict=True
            ):
                use.add(side, ids)
            progress.update(stop - start)
            start = stop
    return judged, uses


def _encode_set(pairs: SetPairs, tokenizers: TokenizerPair) -> list[SideCoverage]:
    uses = [SideCoverage("src", tokenizers.src), SideCoverage("tgt", tokenizers.tgt)]
    for number, (use, tokenizer) in enumerate(zip(uses, (tokenizers.src, tokenizers.tgt), strict=True)):
        texts = [pair[number] for pair in pairs if pair is not None]
        use.add(texts, tokenizer.encode(texts))
    return uses


def _dropped(counts: CleaningCounts) -> list[Observation]:
    named = ", ".join(f"`{setting}`" for name, setting in DECIDING_SETTING.items() if getattr(counts, name))
    return [
        Observation("nothing_left", None, Tally(int(not counts.kept)), 1, "training texts", named),
        Observation("dropped", None, Tally(counts.read - counts.kept), counts.read, detail=named),
    ]


def _shown(rows: Iterable[Item], label: str, part: Part) -> Iterator[Item]:
    """The rows, with a bar where stderr is a terminal."""
    total = part.num_rows or None
    yield from tqdm(rows, desc=label, total=total, unit=" pairs", disable=None, leave=False)
