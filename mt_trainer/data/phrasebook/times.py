"""Numbers, ordinals, clock times, dates and adverbs of time, in words and in both languages."""

from typing import NamedTuple

from mt_trainer.data.phrasebook.dice import Dice
from mt_trainer.data.phrasebook.phenomena import Phenomenon as P

_ENGLISH = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen "
    "eighteen nineteen"
).split()
_GERMAN = (
    "null eins zwei drei vier fünf sechs sieben acht neun zehn elf zwölf dreizehn vierzehn fünfzehn sechzehn siebzehn "
    "achtzehn neunzehn"
).split()
_ENGLISH_TENS = ("", "ten", "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
_GERMAN_TENS = ("", "zehn", "zwanzig", "dreißig", "vierzig", "fünfzig", "sechzig", "siebzig", "achtzig", "neunzig")

_ENGLISH_ORDINALS = {
    "one": "first",
    "two": "second",
    "three": "third",
    "five": "fifth",
    "eight": "eighth",
    "nine": "ninth",
    "twelve": "twelfth",
}
_GERMAN_ORDINALS = {1: "erste", 3: "dritte", 7: "siebte", 8: "achte"}

_MONTHS = (
    ("January", "Januar", 31),
    ("February", "Februar", 28),
    ("March", "März", 31),
    ("April", "April", 30),
    ("May", "Mai", 31),
    ("June", "Juni", 30),
    ("July", "Juli", 31),
    ("August", "August", 31),
    ("September", "September", 30),
    ("October", "Oktober", 31),
    ("November", "November", 30),
    ("December", "Dezember", 31),
)
_WEEKDAYS = (
    ("Monday", "Montag"),
    ("Tuesday", "Dienstag"),
    ("Wednesday", "Mittwoch"),
    ("Thursday", "Donnerstag"),
    ("Friday", "Freitag"),
    ("Saturday", "Samstag"),
    ("Sunday", "Sonntag"),
)


def english_number(number: int) -> str:
    """A number from 0 to 99 in words: 42 is "forty-two"."""
    if number < 20:
        return _ENGLISH[number]
    tens, ones = divmod(number, 10)
    return f"{_ENGLISH_TENS[tens]}-{_ENGLISH[ones]}" if ones else _ENGLISH_TENS[tens]


def german_number(number: int) -> str:
    """A number from 0 to 99 in words, the ones before the tens: 42 is "zweiundvierzig", 21 "einundzwanzig"."""
    if number < 20:
        return _GERMAN[number]
    tens, ones = divmod(number, 10)
    if ones == 0:
        return _GERMAN_TENS[tens]
    return f"{'ein' if ones == 1 else _GERMAN[ones]}und{_GERMAN_TENS[tens]}"


def english_ordinal(number: int) -> str:
    """Like "third", "twentieth", "twenty-first": only the last word becomes an ordinal."""
    front, hyphen, last = english_number(number).rpartition("-")
    ordinal = last[:-1] + "ieth" if last.endswith("y") else _ENGLISH_ORDINALS.get(last, last + "th")
    return front + hyphen + ordinal


def german_ordinal(number: int) -> str:
    """The ordinal with weak ending -e: -te up to nineteen, -ste from twenty on."""
    if number in _GERMAN_ORDINALS:
        return _GERMAN_ORDINALS[number]
    return german_number(number) + ("te" if number < 20 else "ste")


class Time(NamedTuple):
    """An adverbial of time. ``is_medial``: the English one stands before the main verb (often)."""

    english: str
    german: str
    tags: tuple[P, ...] = ()
    is_medial: bool = False


NO_TIME = Time("", "")
_EVERY_HOUR = range(1, 13)


def _clock_times() -> tuple[Time, ...]:
    """Every clock time of the corpus without preposition. German counts the half hour towards the next hour."""
    tags = (P.CLOCK_TIME,)
    times = []
    for hour in _EVERY_HOUR:
        following = hour % 12 + 1
        now_en, now_de, next_en, next_de = (
            english_number(hour),
            german_number(hour),
            english_number(following),
            german_number(following),
        )
        times.append(Time(f"{now_en} o'clock", f"{'ein' if hour == 1 else now_de} Uhr", tags))
        times.append(Time(f"half past {now_en}", f"halb {next_de}", tags))
        times.append(Time(f"quarter past {now_en}", f"Viertel nach {now_de}", tags))
        times.append(Time(f"quarter to {next_en}", f"Viertel vor {next_de}", tags))
        for minutes in (5, 10, 20):
            times.append(
                Time(f"{english_number(minutes)} past {now_en}", f"{german_number(minutes)} nach {now_de}", tags)
            )
            times.append(
                Time(f"{english_number(minutes)} to {next_en}", f"{german_number(minutes)} vor {next_de}", tags)
            )
    return tuple(times)


CLOCK_TIMES = _clock_times()

# A date in the nominative ("der dritte Mai") and after "am", where the ordinal takes the weak dative -n.
DATES = tuple(
    Time(f"the {english_ordinal(day)} of {english}", f"der {german_ordinal(day)} {german}", (P.DATE,))
    for english, german, days in _MONTHS
    for day in range(1, days + 1)
)
ON_DATES = tuple(
    Time(f"on the {english_ordinal(day)} of {english}", f"am {german_ordinal(day)}n {german}", (P.DATE, P.CONTRACTION))
    for english, german, days in _MONTHS
    for day in range(1, days + 1)
)
AT_CLOCK_TIMES = tuple(Time(f"at {time.english}", f"um {time.german}", time.tags) for time in CLOCK_TIMES)
ON_WEEKDAYS = tuple(Time(f"on {english}", f"am {german}", (P.CONTRACTION,)) for english, german in _WEEKDAYS)
IN_MONTHS = tuple(Time(f"in {english}", f"im {german}", (P.CONTRACTION,)) for english, german, _ in _MONTHS)

_AGO = tuple(
    Time(f"{english_number(n)} {unit_en} ago", f"vor {german_number(n)} {unit_de}", (P.NUMBER, P.PLURAL))
    for n in range(2, 11)
    for unit_en, unit_de in (("days", "Tagen"), ("weeks", "Wochen"))
)
_AHEAD = tuple(
    Time(f"in {english_number(n)} {unit_en}", f"in {german_number(n)} {unit_de}", (P.NUMBER, P.PLURAL))
    for n in range(2, 11)
    for unit_en, unit_de in (("days", "Tagen"), ("weeks", "Wochen"))
)

NOW = (Time("now", "jetzt"), Time("right now", "gerade"), Time("today", "heute"))
PAST_DAYS = (
    Time("yesterday", "gestern"),
    Time("this morning", "heute Morgen"),
    Time("yesterday evening", "gestern Abend"),
    Time("last week", "letzte Woche"),
    Time("last year", "letztes Jahr"),
)
COMING_DAYS = (
    Time("today", "heute"),
    Time("tomorrow", "morgen"),
    Time("this evening", "heute Abend"),
    Time("tomorrow evening", "morgen Abend"),
    Time("next week", "nächste Woche"),
)
EVERY_MORNING = Time("every morning", "jeden Morgen")
REGULARLY = (
    Time("every day", "jeden Tag"),
    EVERY_MORNING,
    Time("every evening", "jeden Abend"),
    Time("every week", "jede Woche"),
    *(Time(f"every {english}", f"jeden {german}") for english, german in _WEEKDAYS),
)
SOMETIMES = (Time("often", "oft", is_medial=True), Time("sometimes", "manchmal", is_medial=True))
_HABITS = (REGULARLY, SOMETIMES)
_PAST = (PAST_DAYS, PAST_DAYS, ON_WEEKDAYS, _AGO, ON_DATES, IN_MONTHS)
_RECENT = (PAST_DAYS[:3], ON_WEEKDAYS)
_COMING = (COMING_DAYS, COMING_DAYS, ON_WEEKDAYS, _AHEAD, ON_DATES)
_SOON = (COMING_DAYS[:4], ON_WEEKDAYS)
_EXACT_DAYS_PAST = (PAST_DAYS[0], *ON_WEEKDAYS)
_EXACT_DAYS_COMING = (*COMING_DAYS[:2], *ON_WEEKDAYS)
_EXACT_DAYS_HABIT = (REGULARLY[0], *REGULARLY[4:])


def at_exactly(dice: Dice, days: tuple[Time, ...]) -> Time:
    """A clock time, mostly after one of the days: "tomorrow at half past seven", "morgen um halb acht"."""
    clock = dice.pick(AT_CLOCK_TIMES)
    if dice.chance(40):
        return clock
    day = dice.pick(days)
    return Time(f"{day.english} {clock.english}", f"{day.german} {clock.german}", day.tags + clock.tags)


def past_time(dice: Dice, *, is_punctual: bool, is_daily: bool) -> Time:
    """A time before today; often with the clock for what happens at a moment, never long ago for what is daily."""
    if is_punctual and dice.chance(40):
        return at_exactly(dice, _EXACT_DAYS_PAST)
    return dice.pick(dice.pick(_RECENT if is_daily else _PAST))


def coming_time(dice: Dice, *, is_punctual: bool, is_daily: bool) -> Time:
    """A time from today on, likewise."""
    if is_punctual and dice.chance(40):
        return at_exactly(dice, _EXACT_DAYS_COMING)
    return dice.pick(dice.pick(_SOON if is_daily else _COMING))


def habitual_time(dice: Dice, *, is_punctual: bool, is_daily: bool) -> Time:
    """A frequency: it is what the English simple present expresses. What is daily and punctual has its day or hour."""
    if is_punctual and dice.chance(40):
        return at_exactly(dice, _EXACT_DAYS_HABIT)
    if is_punctual and is_daily:
        return dice.pick((*_EXACT_DAYS_HABIT, EVERY_MORNING))
    return dice.pick(dice.pick(_HABITS))
