"""Sections `decoding` and `evaluation`: how translations are searched and scored."""

from typing import Literal

from mt_trainer.config.section import Section, setting


class DecodingConfig(Section):
    """Search; the same settings serve validation, mt-eval and mt-translate."""

    strategy: Literal["beam", "greedy", "sampling"] = setting("beam", "Beam search, greedy, or ancestral sampling.")
    beam_size: int = setting(5, "Hypotheses kept at each step of beam search.", ge=1, le=1000)
    length_penalty: float = setting(
        0.6, "Exponent alpha of ((5 + length) / 6)^alpha (Wu et al., 2016); 0 for none.", ge=0.0
    )
    max_length_ratio: float = setting(1.5, "Longest output, as a multiple of the source's tokens ...", ge=0.0)
    max_length_constant: int = setting(10, "... plus this many.", unit="tokens", ge=1)
    n_best: int = setting(1, "Translations given for each sentence (beam: at most beam_size).", ge=1)
    temperature: float = setting(1.0, "Logits are divided by it before sampling.", gt=0.0)
    precision: Literal["fp32", "bf16", "int8"] = setting(
        "fp32",
        "Precision of the matrix products; `bf16` and `int8` (on a CPU) change a few translations; whether they are "
        "faster, `benchmarks/decoding.py` tells. "
        "With `int8` a translation can depend, in rare cases, on the sentences it shares a batch with.",
    )
    batch_tokens: int = setting(8192, "Source tokens times beams decoded together.", unit="tokens", ge=1)


class EvaluationConfig(Section):
    """Metrics, always on detokenised text against the raw references, always with a signature."""

    tokenize: Literal["13a", "intl", "zh", "ja-mecab", "ko-mecab", "char", "none"] = setting(
        "13a", "sacreBLEU's tokeniser."
    )
    lowercase: bool = setting(False, "Score without case (`case:lc` in the signature).")
    moses_lowercase: bool = setting(
        False,
        "Also report the convention of older papers: punctuation normalised, lower-cased, Moses-tokenised "
        "(needs the extra `moses`).",
    )
    num_samples: int = setting(
        5, "Sample translations of the last test set shown at the end of a run.", unit="sentences", ge=0
    )
