"""The parts of the oracle experiment: its text, corruption, BLEU among many references, and what models make of it."""

import gzip
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional as F

import tailr_oracle_scores
from mt_trainer.config.model import ModelConfig
from mt_trainer.model import Transformer, build_transformer
from tailr_oracle import mean_bleu, sample_measures, self_bleu
from tailr_oracle_report import DIGITS, corruption_table, draw, sample_table
from tailr_oracle_scores import LEVELS, ORACLE, corruption_scores, score
from tailr_oracle_text import (
    References,
    corrupted,
    drop_the_last_word,
    read_lines,
    repeat_a_word,
    substitute_a_word,
    usable,
    word_tokenizer,
    words_of,
    write_pairs,
)

TEXT = [words_of(line) for line in ("The dog sees the cat.", "The cat sleeps.", "A dog sees a house.", "The house!")]


def test_words_are_lower_case_and_marks_stand_alone() -> None:
    assert words_of("The dog's HOUSE, “red”…\n") == ["the", "dog's", "house", ",", "“", "red", "”", ".", ".", "."]
    assert words_of("  \n") == []


def test_sentences_with_a_rare_word_are_left_out() -> None:
    # "sleeps" and "!" stand there once, every other word at least twice.
    assert usable(TEXT, min_count=2) == [TEXT[0], TEXT[2]]
    assert usable([[], ["a"] * 41, ["a"] * 40], min_count=1) == [["a"] * 40]


def test_text_is_read_plain_or_packed_or_from_the_phrasebook(tmp_path: Path) -> None:
    (tmp_path / "plain").write_text("eins\nzwei\n")
    with gzip.open(tmp_path / "packed.gz", "wt") as file:
        file.write("eins\nzwei\n")
    assert list(read_lines(tmp_path / "plain")) == list(read_lines(tmp_path / "packed.gz")) == ["eins\n", "zwei\n"]
    assert len(words_of(next(read_lines(None)))) > 2


def test_what_is_said_is_read_back_word_for_word(tmp_path: Path) -> None:
    tokenizer = word_tokenizer(TEXT)
    assert tokenizer.vocab_size == 4 + len({word for words in TEXT for word in words} | {"go"})
    ids = tokenizer.encode([" ".join(words) for words in TEXT])
    assert [len(each) for each in ids] == [len(words) for words in TEXT]
    assert tokenizer.unk_id not in {index for each in ids for index in each}
    assert tokenizer.decode(ids) == [" ".join(words) for words in TEXT]

    write_pairs(tmp_path, "train", TEXT[:2])
    assert (tmp_path / "train.tgt").read_text() == "the dog sees the cat .\nthe cat sleeps .\n"
    assert (tmp_path / "train.src").read_text() == "go\ngo\n"


def test_edits_change_one_word() -> None:
    rng = np.random.default_rng(0)
    words = ["a", "b", "c"]
    repeated = {tuple(repeat_a_word(words, rng)) for _ in range(50)}
    assert repeated == {("a", "a", "b", "c"), ("a", "b", "b", "c"), ("a", "b", "c", "c")}
    assert drop_the_last_word(words, rng) == ["a", "b"]
    assert drop_the_last_word(["a"], rng) == ["a"]
    substituted = {tuple(substitute_a_word(["x", "y"])(words, rng)) for _ in range(100)}
    assert substituted == {(*words[:i], new, *words[i + 1 :]) for i in range(3) for new in "xy"}
    assert words == ["a", "b", "c"]


def test_levels_of_corruption_build_on_each_other() -> None:
    sentences = [["a"], [], ["b", "c"]]
    levels = list(corrupted(sentences, repeat_a_word, levels=(0, 1, 3), seed=1))
    assert levels[0] == sentences
    assert [[len(words) for words in level] for level in levels] == [[1, 0, 2], [2, 0, 3], [4, 0, 5]]
    assert levels == list(corrupted(sentences, repeat_a_word, levels=(0, 1, 3), seed=1))


def test_bleu_against_all_references() -> None:
    judge = References([list("abcd"), list("abxyz")])
    assert judge.bleu(list("abcd")) == 1.0
    # 4 of 5 words, 3 of 4 pairs, 2 of 3 triples, 1 of 2; length 5 is that of the second reference.
    assert judge.bleu(list("abcdq")) == pytest.approx((4 / 5 * 3 / 4 * 2 / 3 * 1 / 2) ** 0.25)
    # No triple and no quadruple: 0.1 stands for zero. The closest length is 4, so a brevity penalty of exp(1 - 4/3).
    assert judge.bleu(list("abq")) == pytest.approx(math.exp(1 - 4 / 3) * (2 / 3 * 1 / 2 * 0.1 / 1 * 0.1 / 1) ** 0.25)
    # A word counts as often as it stands in one reference, not in all of them together.
    assert judge.bleu(list("aabb")) == pytest.approx((2 / 4 * 1 / 3 * 0.1 / 2 * 0.1 / 1) ** 0.25)
    assert judge.bleu(list("qqqq")) == judge.bleu([]) == 0.0


def test_self_bleu_leaves_the_sentence_itself_out() -> None:
    sentences = [list("abcd"), list("abce"), list("abcd"), list("wxyz")]
    judge = References(sentences)
    for i, words in enumerate(sentences):
        others = References(sentences[:i] + sentences[i + 1 :])
        assert judge.bleu(words, but=i) == pytest.approx(others.bleu(words), abs=1e-15)
    assert judge.bleu(sentences[0], but=0) == 1.0  # its double is still there
    assert self_bleu(sentences, of="student").value == pytest.approx(100 * (2 + judge.bleu(sentences[1], but=1)) / 4)
    assert mean_bleu(sentences[:1], sentences, of="student").value == 100.0


def tiny_model(vocab_size: int, seed: int) -> Transformer:
    torch.manual_seed(seed)
    config = ModelConfig(num_encoder_layers=1, num_decoder_layers=1, d_model=8, ffn_dim=8, num_heads=2)
    sizes = {"src_vocab_size": vocab_size, "tgt_vocab_size": vocab_size, "max_positions": 64, "pad_id": 0}
    return build_transformer(config, **sizes).eval()


def test_scores_are_those_of_each_sentence_alone_in_the_order_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tailr_oracle_scores, "BATCH_TOKENS", 14)  # two sentences at most in a batch
    tokenizer = word_tokenizer(TEXT)
    models = {name: tiny_model(tokenizer.vocab_size, seed) for seed, name in enumerate((ORACLE, "student"))}
    scores = score(models, tokenizer, TEXT, text="test")
    (source,) = tokenizer.encode(["go"])
    expected = []
    for ids in tokenizer.encode([" ".join(words) for words in TEXT]):
        log_p = {}
        for name, model in models.items():
            rows = [torch.tensor([row]) for row in ([*source, tokenizer.eos_id], [tokenizer.bos_id, *ids])]
            with torch.no_grad():
                hidden = model(rows[0], torch.ones_like(rows[0]), rows[1], torch.ones_like(rows[1]))[0]
                log_p[name] = F.log_softmax(hidden @ model.output_weight.t(), dim=-1)
        labels = torch.tensor([*ids, tokenizer.eos_id])
        distance = (log_p[ORACLE].exp() - log_p["student"].exp()).abs().sum() / 2
        nll = [float(F.nll_loss(each, labels, reduction="sum")) for each in log_p.values()]
        expected.append([*nll, float(distance), float(len(labels))])
    columns = [scores.nll[ORACLE], scores.nll["student"], scores.tvd["student"], scores.num_tokens]
    assert np.stack(columns, axis=1) == pytest.approx(np.array(expected), rel=1e-4)
    assert scores.tvd[ORACLE].tolist() == [0.0] * 4
    means = np.array(expected).sum(axis=0) / sum(row[3] for row in expected)
    assert scores.nll_per_token("student").value == pytest.approx(means[1], rel=1e-4)
    assert scores.excess("student").value == pytest.approx(means[0] - means[1], abs=1e-4)


def test_only_what_is_measured_on_one_text_is_paired() -> None:
    """Two students that are one model, and drew the same: what they differ by on the test text is nothing, always."""
    tokenizer = word_tokenizer(TEXT)
    student = tiny_model(tokenizer.vocab_size, 1)
    models = {ORACLE: tiny_model(tokenizer.vocab_size, 0), "first": student, "second": student}
    measures = sample_measures(models, tokenizer, dict.fromkeys(models, TEXT), TEXT[1:])
    changes = {key: measures["second"][key] - measures["first"][key] for key in DIGITS}
    assert {key: change.value for key, change in changes.items()} == dict.fromkeys(DIGITS, 0.0)
    paired = [key for key, change in changes.items() if change.interval == (0.0, 0.0)]
    assert paired == ["PPL_test", "TVD"]

    (levels, *_) = corruption_scores(models, tokenizer, TEXT, text="test").values()
    assert (levels[1].excess("second") - levels[1].excess("first")).interval == (0.0, 0.0)


def test_tables_and_figure_have_every_model_and_corruption(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    tokenizer = word_tokenizer(TEXT)
    names = (ORACLE, "cross_entropy", "tailr_1e-3")
    models = {name: tiny_model(tokenizer.vocab_size, seed) for seed, name in enumerate(names)}
    measures = sample_measures(models, tokenizer, dict.fromkeys(names, TEXT), TEXT)
    assert measures[ORACLE]["TVD"].value == 0.0
    assert measures[ORACLE]["PPL_oracle"].value == pytest.approx(measures[ORACLE]["PPL_test"].value)
    table = sample_table(measures).splitlines()
    assert [line.split(" | ")[0].strip("| ") for line in table] == [
        "model",
        "---",
        *names,
        "tailr_1e-3 - cross_entropy",
    ]

    found = corruption_scores(models, tokenizer, TEXT, text="test")
    assert {name: len(levels) for name, levels in found.items()} == dict.fromkeys(
        ("repetition", "deletion", "substitution"), len(LEVELS)
    )
    lines = corruption_table(found).splitlines()
    assert lines[0].count("|") == 7
    assert len(lines) == 2 + 3 * 4
    draw(found, tmp_path / "figure.png")
    assert (tmp_path / "figure.png").read_bytes().startswith(b"\x89PNG")
