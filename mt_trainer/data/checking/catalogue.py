"""Everything that is looked for: from which share on it is worth a look or a fault, what it does, how it is mended.

The thresholds of `mt-data check` stand here and nowhere else; docs/data_check.md shows this table.
"""

from dataclasses import dataclass
from enum import StrEnum


class Grade(StrEnum):
    """How much a finding matters."""

    FINE = "fine"
    LOOK = "look"
    FAULT = "fault"


@dataclass(frozen=True)
class Check:
    """One thing that is looked for.

    Attributes:
        name: in JSON.
        title: on the terminal.
        look, fault: a finding of this share or more has that grade; 0 means any at all, None never.
        effect: what it does to training or scores.
        remedy: what mends it; settings in backquotes.
    """

    name: str
    title: str
    look: float | None
    fault: float | None
    effect: str
    remedy: str

    def grade(self, count: int, total: int) -> Grade:
        """Of `count` findings among `total`."""
        share = count / max(total, 1)
        for threshold, grade in ((self.fault, Grade.FAULT), (self.look, Grade.LOOK)):
            if count and threshold is not None and share >= threshold:
                return grade
        return Grade.FINE


_DROPPED = "the pairs are dropped"
_IN_TOKENS = "the tokenizer spends pieces on it and the model learns to write it"
_REFERENCES = "the model writes as the text does; scores against raw references suffer"

CHECKS = {
    check.name: check
    for check in (
        # reading
        Check("line_counts", "unequal line counts", None, 0.0, "training refuses the files", "restore the lost lines"),
        Check("unreadable", "damaged files", None, 0.0, "training refuses the file", "fetch the file again"),
        Check(
            "invalid_text",
            "no text (UTF-8, NUL)",
            None,
            0.0,
            "training stops at it",
            "`iconv -f latin1 -t utf-8`, or `data.on_invalid_text: skip` drops the pairs",
        ),
        Check("cr_lf", "lines ending in CR LF", 0.0, None, "CR is removed in reading", "nothing; `sed 's/\\r$//'`"),
        Check("byte_order_mark", "byte order marks", 0.0, None, "removed in reading", "nothing"),
        # pairs
        Check("shifted", "shifted lines", None, 0.0, "pairs teach wrong translations", "mend the files at that line"),
        Check(
            "unrelated",
            "sides unrelated",
            0.02,
            0.2,
            "pairs teach wrong translations",
            "look at the pairs; shuffled or joined files? drop them before training",
        ),
        Check("blank", "blank sides", 0.0, 0.1, _DROPPED, "nothing; many may mean that a translation was lost"),
        Check("duplicate", "repeated pairs", 0.05, None, "all but the first are dropped", "`data.drop_duplicates`"),
        Check(
            "many_translations",
            "several translations",
            0.1,
            None,
            "one text with different translations: the model averages, BLEU against one reference is low",
            "nothing, if they are real; else keep one of each",
        ),
        Check(
            "length_ratio",
            "lopsided lengths",
            0.01,
            0.1,
            "usually wrong or partial translations; training drops those beyond the ratio in tokens",
            "`data.max_length_ratio`",
        ),
        Check("identical", "identical sides", 0.01, 0.1, _DROPPED, "`data.drop_identical`; is a file given twice?"),
        Check(
            "near_copy", "nearly identical sides", 0.02, 0.2, "the model learns to copy", "drop them before training"
        ),
        Check(
            "swapped",
            "languages swapped",
            0.0005,
            0.02,
            "the model learns the wrong direction",
            "exchange `src` and `tgt`, or mend the pairs",
        ),
        Check(
            "wrong_language",
            "another language",
            0.01,
            0.2,
            "the model writes the wrong language",
            "drop the pairs, or correct `data.src_lang` and `data.tgt_lang`",
        ),
        Check(
            "script",
            "unexpected script",
            0.002,
            0.1,
            "the model writes the wrong script; the tokenizer spends pieces on it",
            "drop the pairs, or correct `data.src_lang` and `data.tgt_lang`",
        ),
        # text
        Check("control", "control characters", 0.0, 0.01, _IN_TOKENS, "remove them: `tr -d '\\000-\\010'`"),
        Check("replacement", "U+FFFD", 0.0, 0.005, "letters are lost: bad decoding", "convert from the original bytes"),
        Check(
            "line_separator",
            "line separators inside",
            0.0,
            0.1,
            "none here, but tools that split at U+2028, U+0085 or a lone CR shift the lines",
            "replace them by spaces",
        ),
        Check(
            "zero_width", "zero-width characters", 0.01, None, "normalised in training, kept in references", "nothing"
        ),
        Check("bidirectional", "bidi controls", 0.001, None, _IN_TOKENS, "remove them"),
        Check("not_nfc", "not in NFC", 0.01, None, "normalised in training, kept in references", "`uconv -x any-nfc`"),
        Check(
            "tokenised",
            "already tokenised",
            0.02,
            0.2,
            _REFERENCES,
            "give raw text; `sacremoses detokenize`, or join the pieces",
        ),
        Check("lower_cased", "all lower-cased", 0.5, 0.95, _REFERENCES, "give text with its capitals"),
        Check("markup", "markup and entities", 0.005, 0.5, _IN_TOKENS, "unescape and strip tags"),
        Check("long", "very long lines", 0.0, 0.1, "the pairs are dropped as too long", "split; `data.max_length`"),
        # with a tokenizer
        Check("unknown_pieces", "unknown pieces", 0.0, 0.001, "they become <unk>", "`tokenizer.byte_fallback: true`"),
        Check(
            "byte_pieces",
            "pieces that are bytes",
            0.005,
            0.1,
            "rare characters are spelt byte by byte, which makes long sequences",
            "`tokenizer.character_coverage: 1.0`, or more pieces",
        ),
        Check(
            "unseen_characters",
            "characters without piece",
            0.002,
            0.05,
            "spelt as bytes, or unknown",
            "train the tokenizer on this text, or `tokenizer.character_coverage: 1.0`",
        ),
        # what cleaning does
        Check(
            "nothing_left",
            "no pair left",
            None,
            0.0,
            "there is nothing to train on, and training refuses",
            "give text, or loosen the settings named with it",
        ),
        Check("dropped", "dropped in cleaning", 0.1, 0.5, "they are not trained on", "the settings named with it"),
        # evaluation sets
        Check(
            "overlap",
            "sources also in training",
            0.0,
            0.02,
            "scores are too high: the model has seen the answers",
            "remove them from training; `data.max_overlap` refuses",
        ),
        Check(
            "target_overlap",
            "targets also in training",
            0.005,
            0.05,
            "scores may be too high",
            "remove them from training",
        ),
    )
}
"""By name, in the order of the report."""
