"""BLEU and chrF on detokenised text, by sacreBLEU, each with the signature that makes it comparable."""

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from importlib.util import find_spec

from mt_trainer.config.evaluation import EvaluationConfig
from mt_trainer.data.checking.text_traits import TRACES_OF_TOKENISATION
from mt_trainer.errors import ConfigError, DataError, Problem

SUSPICIOUS_SHARE = 0.1
"""References are said to look tokenised from this share of lines with a trace of it."""


@dataclass(frozen=True)
class Score:
    """A number and how it was made.

    Attributes:
        name: `bleu`, `chrf` or `bleu_moses_lowercase`.
        value: in percent, 0 to 100, not rounded.
        signature: sacreBLEU's, and before it what was done to the text.
    """

    name: str
    value: float
    signature: str


def bleu(hypotheses: Sequence[str], references: Sequence[str], *, tokenize: str, lowercase: bool) -> Score:
    """Corpus BLEU (Papineni et al., 2002) with one reference, exponential smoothing of zero counts.

    Args:
        hypotheses, references: detokenised, the same number, at least one.
        tokenize: sacreBLEU's name of a tokeniser; part of the metric, applied to both sides.
        lowercase: ignore case.

    Raises:
        DataError: MT140, when the sides do not match.
    """
    from sacrebleu.metrics.bleu import BLEU

    _check_sides(hypotheses, references)
    # force: sacreBLEU would log a warning about references that look tokenised; `reference_notes` says it instead.
    metric = BLEU(tokenize=tokenize, lowercase=lowercase, force=True)
    result = metric.corpus_score(hypotheses, [references])
    return Score("bleu", float(result.score), str(metric.get_signature()))


def chrf(hypotheses: Sequence[str], references: Sequence[str], *, lowercase: bool) -> Score:
    """chrF2: F-score of character n-grams up to 6 (Popović, 2015), beta 2 (Popović, 2016); arguments as in `bleu`."""
    from sacrebleu.metrics.chrf import CHRF

    _check_sides(hypotheses, references)
    metric = CHRF(lowercase=lowercase)
    result = metric.corpus_score(hypotheses, [references])
    return Score("chrf", float(result.score), str(metric.get_signature()))


def moses_lowercase_bleu(hypotheses: Sequence[str], references: Sequence[str], *, lang: str) -> Score:
    """BLEU in the convention of papers on Multi30k: tokenised, without case.

    Near that of papers on IWSLT14, whose usual recipe does not normalise punctuation.

    Both sides are punctuation-normalised, lower-cased and Moses-tokenised by sacremoses (no escaping, hyphenated words
    left whole), then scored with no further tokenisation. So the references of Multi30k's test_2016_flickr have the
    12,103 German tokens of the published scores. Higher than cased detokenised BLEU by several points: never
    compare the two.

    Args:
        hypotheses, references: detokenised, the same number, at least one.
        lang: language of both, such as `de`.

    Raises:
        ConfigError: MT003, when sacremoses is not installed.
        DataError: MT140, when the sides do not match.
    """
    _check_moses()
    from sacremoses import MosesPunctNormalizer, MosesTokenizer

    normalizer, tokenizer = MosesPunctNormalizer(lang=lang), MosesTokenizer(lang=lang)

    def prepared(text: str) -> str:
        words: list[str] = tokenizer.tokenize(normalizer.normalize(text).lower(), escape=False)
        return " ".join(words)

    score = bleu(
        [prepared(text) for text in hypotheses],
        [prepared(text) for text in references],
        tokenize="none",
        lowercase=False,
    )
    steps = f"norm:moses-{lang}|lower:yes|tok:moses-{lang}|escape:no|dash:whole|sacremoses:{version('sacremoses')}"
    return Score("bleu_moses_lowercase", score.value, f"{steps} > {score.signature}")


def reference_notes(references: Sequence[str]) -> list[str]:
    """Sentences about references that do not look like raw text, on which BLEU is not comparable; usually none."""
    notes = []
    traces = sum(TRACES_OF_TOKENISATION.search(reference) is not None for reference in references)
    if traces and traces >= SUSPICIOUS_SHARE * len(references):
        notes.append(
            f"{traces:,} of {len(references):,} references look tokenised (` .` at the end, `&apos;`, `@-@`, `@@`): "
            "BLEU is meant for raw text"
        )
    has_case = any(reference.lower() != reference.upper() for reference in references)
    if has_case and all(reference == reference.lower() for reference in references):
        notes.append("the references are all lower-cased: a cased score counts every capital letter as an error")
    return notes


@dataclass(frozen=True)
class Metrics:
    """Which scores are made, and how.

    Attributes:
        tokenize: sacreBLEU's tokeniser for BLEU.
        lowercase: BLEU and chrF without case.
        moses_lang: language of the additional Moses-tokenised BLEU; None for no such score.
    """

    tokenize: str
    lowercase: bool
    moses_lang: str | None

    def score(self, hypotheses: Sequence[str], references: Sequence[str]) -> tuple[Score, ...]:
        """BLEU, chrF and, if asked for, Moses-tokenised BLEU, in this order.

        Raises:
            DataError: MT140, when the sides do not match.
        """
        scores = (
            bleu(hypotheses, references, tokenize=self.tokenize, lowercase=self.lowercase),
            chrf(hypotheses, references, lowercase=self.lowercase),
        )
        if self.moses_lang is None:
            return scores
        return (*scores, moses_lowercase_bleu(hypotheses, references, lang=self.moses_lang))


def build_metrics(config: EvaluationConfig, *, tgt_lang: str) -> Metrics:
    """The metrics a configuration asks for.

    Raises:
        ConfigError: MT003, now and not after hours of training, when a package for them is missing.
    """
    if config.moses_lowercase:
        _check_moses()
    if config.tokenize in ("ja-mecab", "ko-mecab"):
        _check_mecab(config.tokenize)
    return Metrics(config.tokenize, config.lowercase, moses_lang=tgt_lang if config.moses_lowercase else None)


def _check_moses() -> None:
    if find_spec("sacremoses") is None:
        message = "`moses_lowercase` needs the package sacremoses, which is not installed"
        advice = 'pip install "mt_trainer[moses]", or set evaluation.moses_lowercase=false'
        raise ConfigError(Problem("MT003", message, where="evaluation.moses_lowercase", help=advice))


def _check_mecab(tokenize: str) -> None:
    from sacrebleu.metrics.bleu import BLEU

    try:
        BLEU(tokenize=tokenize)
    except RuntimeError as error:
        message = f"sacreBLEU's tokeniser `{tokenize}` needs packages that are not installed"
        advice = f'pip install "sacrebleu[{tokenize[:2]}]"'
        raise ConfigError(Problem("MT003", message, where="evaluation.tokenize", help=advice)) from error


def _check_sides(hypotheses: Sequence[str], references: Sequence[str]) -> None:
    if len(hypotheses) != len(references):
        message = f"there are {len(hypotheses):,} hypotheses for {len(references):,} references"
        raise DataError(Problem("MT140", message, help="both sides need one line for each sentence, in the same order"))
    if not references:
        raise DataError(Problem("MT140", "there is no sentence to score", help="both sides need at least one line"))
