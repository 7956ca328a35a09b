"""The text of the oracle experiment (tailr_oracle.sh): its words, how it is corrupted, BLEU among many references.

    python scripts/tailr_oracle_text.py FOLDER [--text FILE] [--min-count 5] [--max-sentences N]

Writes train and dev text for the oracle into FOLDER, and words.model, a tokenizer with one piece for each word: what a
model says is then what is read back, token for token. Words are lower-cased; sentences with a rare word are left out.
"""

import argparse
import gzip
import math
import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np

from mt_trainer.data.phrasebook import phrasebook_pairs
from mt_trainer.tokenizer import TRAINING_THREADS, Tokenizer, train_tokenizer

SOURCE = "go"
"""The one word on the source side of every pair: it tells nothing."""

WORD = re.compile(r"\w+(?:['’]\w+)*|[^\w\s]")
MAX_WORDS = 40
DEV_EVERY = 20

Words = list[str]
Edit = Callable[[Words, np.random.Generator], Words]
"""One corruption of a sentence of at least one word."""


def words_of(line: str) -> Words:
    """The words and punctuation marks of a line, lower-cased."""
    return WORD.findall(unicodedata.normalize("NFKC", line).lower())


def usable(sentences: Iterable[Words], *, min_count: int) -> list[Words]:
    """The sentences of 1 to `MAX_WORDS` words whose words all occur at least `min_count` times."""
    candidates = [words for words in sentences if 0 < len(words) <= MAX_WORDS]
    counts = Counter(word for words in candidates for word in words)
    return [words for words in candidates if all(counts[word] >= min_count for word in words)]


def repeat_a_word(words: Words, rng: np.random.Generator) -> Words:
    """One word, anywhere, is said twice."""
    place = int(rng.integers(len(words)))
    return [*words[:place], words[place], *words[place:]]


def drop_the_last_word(words: Words, rng: np.random.Generator) -> Words:
    """The last word is gone, as in the code of the paper (its help text says a random one); a lone word stays."""
    return words[:-1] or words


def substitute_a_word(vocabulary: Sequence[str]) -> Edit:
    """One word, anywhere, is replaced by any of the vocabulary, all alike."""

    def substituted(words: Words, rng: np.random.Generator) -> Words:
        place = int(rng.integers(len(words)))
        return [*words[:place], vocabulary[int(rng.integers(len(vocabulary)))], *words[place + 1 :]]

    return substituted


def corrupted(sentences: Sequence[Words], edit: Edit, *, levels: Sequence[int], seed: int) -> Iterator[list[Words]]:
    """All sentences after so many edits, for each of the rising levels; a level goes on from the one before it."""
    rng = np.random.default_rng(seed)
    current, done = list(sentences), 0
    for level in levels:
        for _ in range(level - done):
            current = [edit(words, rng) if words else words for words in current]
        done = level
        yield current


class References:
    """Sentences that others are compared with by BLEU-4, all of them references of each.

    Mean sentence BLEU with the closest reference length and 0.1 for a count of zero: what nltk's `sentence_bleu` gives
    with `SmoothingFunction().method1`, which the code of the paper uses.
    """

    def __init__(self, sentences: Sequence[Words]) -> None:
        """Takes at least two sentences."""
        self.lengths = Counter(len(words) for words in sentences)
        # For each n-gram the two largest counts in one sentence, and which sentence has the largest.
        self.best: dict[tuple[str, ...], tuple[int, int, int]] = {}
        for i, words in enumerate(sentences):
            for ngram, count in _ngrams(words).items():
                first, holder, second = self.best.get(ngram, (0, -1, 0))
                self.best[ngram] = (count, i, first) if count > first else (first, holder, max(second, count))

    def bleu(self, words: Words, *, but: int | None = None) -> float:
        """BLEU-4 of one sentence, 0 to 1; with `but`, against all references except the one of that index.

        `words` must then be that reference itself.
        """
        matches, totals = [0] * 4, [max(1, len(words) - n) for n in range(4)]
        for ngram, count in _ngrams(words).items():
            first, holder, second = self.best.get(ngram, (0, -1, 0))
            matches[len(ngram) - 1] += min(count, second if holder == but and but is not None else first)
        if matches[0] == 0:
            return 0.0
        lengths = self.lengths if but is None else self.lengths - Counter([len(words)])
        closest = min(lengths, key=lambda length: (abs(length - len(words)), length))
        brevity = min(0.0, 1 - closest / len(words))
        return math.exp(brevity + sum(math.log((m or 0.1) / t) for m, t in zip(matches, totals, strict=True)) / 4)


def _ngrams(words: Words) -> Counter[tuple[str, ...]]:
    return Counter(tuple(words[i : i + n]) for n in range(1, 5) for i in range(len(words) - n + 1))


def read_lines(path: Path | None) -> Iterator[str]:
    """The lines of a file, plain or .gz; without one, the target side of the built-in phrasebook."""
    if path is None:
        yield from (tgt for _, tgt in phrasebook_pairs("train"))
        return
    with gzip.open(path, "rt", encoding="utf-8") if path.suffix == ".gz" else path.open(encoding="utf-8") as lines:
        yield from lines


def word_tokenizer(sentences: Sequence[Words]) -> Tokenizer:
    """One piece for each word."""
    vocabulary = {word for words in sentences for word in words} | {SOURCE}
    return train_tokenizer(
        [SOURCE, *(" ".join(words) for words in sentences)],
        algorithm="word",
        vocab_size=len(vocabulary) + 4,
        character_coverage=1.0,
        byte_fallback=False,
        num_threads=TRAINING_THREADS,
    )


def write_pairs(folder: Path, name: str, sentences: Sequence[Words]) -> None:
    """FOLDER/NAME.src, the same word on every line, and FOLDER/NAME.tgt."""
    (folder / f"{name}.tgt").write_text("".join(f"{' '.join(words)}\n" for words in sentences), encoding="utf-8")
    (folder / f"{name}.src").write_text(f"{SOURCE}\n" * len(sentences), encoding="utf-8")


def main() -> None:
    """Prepare the oracle's text."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--text", type=Path, help="one sentence a line, plain or .gz (default: the phrasebook)")
    parser.add_argument("--min-count", type=int, default=5, help="a sentence with a rarer word is left out")
    parser.add_argument("--max-sentences", type=int, help="take only the first lines")
    options = parser.parse_args()
    lines = read_lines(options.text)
    sentences = [words_of(line) for _, line in zip(range(options.max_sentences or 10**9), lines, strict=False)]
    kept = usable(sentences, min_count=options.min_count)
    if len(kept) < 2 * DEV_EVERY:
        parser.exit(
            2, f"only {len(kept)} of {len(sentences)} sentences are usable: more text, or a lower --min-count\n"
        )
    tokenizer = word_tokenizer(kept)
    options.folder.mkdir(parents=True, exist_ok=True)
    write_pairs(options.folder, "dev", kept[::DEV_EVERY])
    write_pairs(options.folder, "train", [words for i, words in enumerate(kept) if i % DEV_EVERY])
    tokenizer.save(options.folder / "words.model")
    print(f"{len(kept):,} of {len(sentences):,} sentences, {tokenizer.vocab_size - 4:,} words")


if __name__ == "__main__":
    main()
