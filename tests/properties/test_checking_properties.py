"""Whatever the bytes: a corpus check ends with a report, and the cleaned set has exactly what training keeps."""

import io
import json
import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from mt_trainer.config.data import DataConfig, TextSource
from mt_trainer.data.checking.check import CorpusReport, check_corpus
from mt_trainer.data.checking.cleaned_set import write_cleaned
from mt_trainer.data.checking.report import as_json, as_text
from mt_trainer.data.cleaning import Verdict, judge_texts
from mt_trainer.data.reading import ParallelText
from mt_trainer.data.sources import read_source

PIECES = [b"\n", b"\n", b"\r\n", b"\r", b"\x0b", b"\0", b"\xff", b"\xc3", b" ", b"\t", b"dog", b"Hund 12", b"<b>", b"."]
PIECES += [
    each.encode() for each in ("\u2028", "\ufeff", "\u3000", "\u200b", "\u202e", "é", "e\u0301", "собака", "狗", "🐕")
]
BYTES = st.lists(st.one_of(st.sampled_from(PIECES), st.binary(max_size=3)), max_size=40).map(b"".join)


def checked(folder: Path, src: bytes, tgt: bytes, test: bytes) -> tuple[CorpusReport, ParallelText]:
    (folder / "src").write_bytes(src)
    (folder / "tgt").write_bytes(tgt)
    (folder / "test").write_bytes(test)
    train = TextSource(format="text", src=str(folder / "src"), tgt=str(folder / "tgt"))
    news = TextSource(format="text", src=str(folder / "test"), tgt=str(folder / "test"))
    data = DataConfig(src_lang="en", tgt_lang="ru", train=(train,), dev=news)
    texts = [
        read_source(source, src_lang="en", tgt_lang="ru", on_invalid_text="skip") for source in (train, news, train)
    ]
    report = check_corpus(
        [texts[0]], {"news": texts[1]}, data, tokenizers=None, tokenizer_to_train=None, announce=lambda line: None
    )
    return report, texts[2]


@settings(max_examples=100, deadline=None)
@given(src=BYTES, tgt=BYTES, test=BYTES)
def test_any_bytes_give_a_report(src: bytes, tgt: bytes, test: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        report, _ = checked(Path(folder), src, tgt, test)
        text, record = as_text(report), json.loads(json.dumps(as_json(report)))
    assert text.startswith("corpus ")
    text.encode()
    for finding in record["findings"]:
        assert finding["unit"] == "sources" or finding["count"] <= max(finding["total"], 0), finding
    assert report.counts.read == report.parts["train"].num_rows


@settings(max_examples=100, deadline=None)
@given(src=BYTES, tgt=BYTES)
def test_the_cleaned_set_has_every_kept_pair_and_the_rest_every_other(src: bytes, tgt: bytes) -> None:
    number = min(src.count(b"\n"), tgt.count(b"\n"))
    src, tgt = (b"\n".join(side.split(b"\n")[:number]) + b"\n" * bool(number) for side in (src, tgt))
    files = io.BytesIO(), io.BytesIO(), io.BytesIO()
    with tempfile.TemporaryDirectory() as folder:
        report, again = checked(Path(folder), src, tgt, b"x\n")
        pairs = list(again.pairs())
        write_cleaned(report, *files)
    verdicts = judge_texts(pairs, max_length=128, drop_identical=True, drop_duplicates=True)
    kept = [pair for pair, verdict in zip(pairs, verdicts, strict=True) if verdict == Verdict.KEPT]
    for side, file in enumerate(files[:2]):
        assert file.getvalue().decode() == "".join(f"{pair[side]}\n" for pair in kept)
    dropped = files[2].getvalue().decode().removesuffix("\n").split("\n")[1:]
    rows = [int(line.split("\t")[1]) for line in dropped]
    assert rows == sorted(set(rows))
    assert len(rows) + len(kept) == report.counts.read == number
    assert sum(line.endswith("invalid text") for line in dropped) == report.counts.invalid_text
