"""The excerpt of a message: the line, the stretch underlined, nothing that a terminal would obey."""

from mt_trainer.config.places import WIDEST_EXCERPT, Place, printable


def test_the_stretch_is_underlined() -> None:
    place = Place("x.yaml", 14, 3, 14, "  label_smoothin: 0.1")
    assert place.where == "x.yaml:14:3"
    assert place.excerpt == "   14 |   label_smoothin: 0.1\n      |   ^^^^^^^^^^^^^^"


def test_an_override_has_no_line() -> None:
    assert Place("--set a.b=c").where == "--set a.b=c"
    assert Place("--set a.b=c").excerpt is None


def test_a_long_line_is_cut_around_the_stretch() -> None:
    excerpt = Place("x", 1, 501, 3, "a" * 500 + "bcd" + "e" * 500).excerpt
    assert excerpt is not None
    line, underline = excerpt.split("\n")
    assert len(line) == len("    1 | ") + WIDEST_EXCERPT
    assert line[underline.index("^") :].startswith("bcde")


def test_control_characters_are_shown_not_obeyed() -> None:
    assert printable("a\x1b[31mb\tc\ud800") == "a\\x1b[31mb c\\ud800"
    excerpt = Place("x", 1, 4, 1, "a: \x07").excerpt
    assert excerpt == "    1 | a: \\x07\n      |    ^^^^"
