"""What a language looks like: the script it is written in, and its commonest short words.

Enough to tell two languages apart and to notice that sides are swapped; not to name an unknown language. A word that is
in both lists of a pair says nothing, so a list also holds short words that look like another language's.
"""

import re
import unicodedata
from collections import Counter

SCRIPT_OF_LANGUAGE = {
    language: scripts.split()
    for languages, scripts in (
        ("ru uk bg be mk kk ky mn tg", "Cyrillic"),
        ("sr", "Cyrillic Latin"),
        ("ar fa ur ps ckb ug", "Arabic"),
        ("hi mr ne sa", "Devanagari"),
        ("he yi", "Hebrew"),
        ("zh yue wuu", "Han"),
        ("ja", "Han Kana"),
        ("ko", "Hangul Han"),
        ("el", "Greek"),
        ("th", "Thai"),
        ("ka", "Georgian"),
        ("hy", "Armenian"),
        ("bn", "Bengali"),
        ("ta", "Tamil"),
        ("te", "Telugu"),
        ("am", "Ethiopic"),
    )
    for language in languages.split()
}
"""Languages that are not in it are taken to be written in whatever most of their text is in."""

COMMON_WORDS = {
    "en": "the and of to a is in that it for with on are this was you not he be have at by they his from she what",
    "de": "der die das und ist nicht ein eine einen einem einer zu mit von auf ich sie es für sich wie was in an so",
    "fr": "le la les et de des est un une du dans que pour pas sur qui il au ce avec elle je vous sont cette on a me",
    "es": "el la los las de y en que un una es por con para no del se su como más está al lo son este a he me",
    "it": "il la di e che un una è per non con del della sono le si nel gli come anche più da al questo ha a in",
    "pt": "o a os as de e em que um uma é por com para não do da no na se como mais está ao são me",
    "nl": "de het een en van is in dat niet op te zijn met voor die ik aan er ook om maar deze wordt naar bij",
    "sv": "och att det en som är på av för med den till inte har ett jag om var han de från vi kan sig",
    "da": "og at det en er på af for med den til ikke har et jeg som var han de fra vi kan sig der hun",
    "no": "og at det en er på av for med den til ikke har et jeg som var han de fra vi kan seg der hun",
    "fi": "ja on ei että se hän oli mutta kun ovat myös mitä olen tämä hänen niin joka minä sen jos kanssa ole",
    "pl": "i w na nie się jest z że do to jak co o po ale za od jego przez czy są dla tym był tak",
    "cs": "a v na je se že to s z do o i ale jako po by jsem pro jsou tak který bylo jeho když není",
    "sk": "a v na je sa že to s z do o aj ale ako po by som pre sú tak ktorý bolo jeho keď nie",
    "hu": "a az és hogy nem egy is van de volt ez meg csak azt ki mint el már még fel vagy lesz én mi",
    "ro": "și de a în la cu nu pe este un o că din pentru care se mai sunt ce au fost ca am dar sa",
    "tr": "ve bir bu da de için ne çok ile o ama gibi daha var değil mi ben her kadar sonra olarak en olan",
    "vi": "là và của có không một cho được trong người này với các để đã những tôi khi ở đến anh từ như",
    "id": "dan yang di ini itu dengan untuk tidak dari dalam akan pada ke adalah saya ada mereka kami bisa juga",
    "ca": "el la els les de i en que un una és per amb no del es al més com però són va dels aquest",
    "et": "ja on ei et see ta oli aga kui ka mis ma oma ning kes seda või siis nad olen selle mida",
    "lv": "un ir ka no uz ar par nav tas es kas bija kā tā viņš vai bet lai to pie ko jau",
    "lt": "ir yra kad į su tai iš ne kaip bet buvo jis o už aš ar jo apie po dėl jie nuo",
    "ru": "и в не на что я с он как это по но из у за то все так его она они был для мы",
    "uk": "і в не на що я з він як це по але у за то все так його вона вони був для ми та",
    "bg": "и в не на че да се с е за от по но как това той тя са ще бе към или до един",
    "sr": "i u ne na da je se za od sa su kao to ali što koji bi sam biti nije on iz i и у не на да је се",
}

ENOUGH_WORDS = 2
"""Common words of a language that a text must have, before it is said to be in it."""

_KANA = ("HIRAGANA", "KATAKANA")
_LETTERS = re.compile(r"[^\W\d_]+")


class _Scripts(dict[str, str]):
    """The script of a character, by the first word of its Unicode name; "" for what is no letter."""

    def __missing__(self, character: str) -> str:
        script = ""
        if unicodedata.category(character)[0] == "L":
            first = unicodedata.name(character, "UNKNOWN").split()[0]
            script = "Kana" if first in _KANA else "Han" if first == "CJK" else first.capitalize()
            if script in ("Fullwidth", "Modifier", "Feminine", "Masculine", "Micro", "Kelvin", "Script"):
                script = "Latin"
        self[character] = script
        return script


SCRIPTS = _Scripts()


def main_script(text: str) -> str:
    """The script that most letters of a text are of; "" without letters."""
    if text.isascii():
        return "Latin" if _LETTERS.search(text) else ""
    counts = Counter(map(SCRIPTS.__getitem__, text))
    del counts[""]
    return counts.most_common(1)[0][0] if counts else ""


class LanguagePair:
    """Tells which of two languages a text is in, by the common words that only one of them has.

    Attributes:
        is_known: whether both languages have a list of words that differ.
    """

    def __init__(self, src_lang: str, tgt_lang: str) -> None:
        lists = [frozenset(COMMON_WORDS.get(base_language(lang), "").split()) for lang in (src_lang, tgt_lang)]
        self._src, self._tgt = lists[0] - lists[1], lists[1] - lists[0]
        self.is_known = bool(self._src and self._tgt)

    def side_of(self, words: frozenset[str]) -> str | None:
        """`src` or `tgt`, whose language the words are in; None when they do not tell.

        At least `ENOUGH_WORDS` of one language, and three times as many as of the other.
        """
        src, tgt = len(words & self._src), len(words & self._tgt)
        if src >= ENOUGH_WORDS and src > 3 * tgt:
            return "src"
        return "tgt" if tgt >= ENOUGH_WORDS and tgt > 3 * src else None


def base_language(code: str) -> str:
    """`de` for `de`, `de_AT`, `de-CH`."""
    return re.split(r"[-_]", code.lower())[0]
