"""The verbs of the phrasebook in both languages, and what each of them may be combined with."""

from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from mt_trainer.data.phrasebook.determiners import Takes
from mt_trainer.data.phrasebook.english import EnglishVerb
from mt_trainer.data.phrasebook.german import GermanVerb
from mt_trainer.data.phrasebook.modes import ACTION, CHARACTERS, STATES_OF_AFFAIRS, Mode
from mt_trainer.data.phrasebook.nouns import Noun, nouns_of

Governs = Literal["none", "acc", "dat", "dat+acc", "auf", "an", "goal"]


@dataclass(frozen=True, eq=False)
class Verb:
    """A verb with its frame: what it governs, and what makes sense as its object, its time and its place.

    ``governs`` is the case of the object, or the preposition before an accusative. ``things`` names the nouns and
    kinds of noun that can be its object ("person": people), ``takes`` their determiners, ``excludes`` the adjectives
    that would be absurd (nobody washes a clean cup). ``habit`` gives the determiners in clauses with "every day", None
    where a habit would be odd. ``is_state``: the English verb has no progressive. ``is_punctual``: it can happen at
    half past seven; ``is_daily``: nobody dates it by weeks and years.
    """

    english: EnglishVerb
    german: GermanVerb
    governs: Governs
    things: str
    takes: Takes
    modes: tuple[Mode, ...]
    excludes: frozenset[str]
    habit: Takes | None
    is_state: bool
    is_punctual: bool
    is_daily: bool
    has_adjective: bool
    has_beneficiary: bool
    has_companion: bool
    places: tuple[str, ...]

    @property
    def is_for_one(self) -> bool:
        """Whether several people cannot do it to one thing together: nobody shares a hat."""
        return self.english.base == "wear"

    @property
    def has_particle(self) -> bool:
        """Whether the English verb ends in an adverb that a pronoun would have to precede (pick up, pick him up)."""
        return self.english.base.endswith(" up")

    @property
    def takes_person(self) -> bool:
        """Whether its object is a person."""
        return self.things == "person"

    @cached_property
    def nouns(self) -> tuple[Noun, ...]:
        """The nouns that can be its object."""
        return nouns_of(self.things)


_GROUPS = {
    "FOOD": "fruit, vegetable, soup, cake, food",
    "DRINK": "hot drink, cold drink",
    "WORN": "clothes, shoe",
    "GOODS": "clothes, dress, shoe, bag, device, lamp, furniture, vehicle, picture, flower",
    "OWNED": "bag, key, ball, device, vehicle, animal, lamp, picture, box",
}

# english base / past | german infinitive, participle, changed stem, "sein" for the perfect with sein;
# "|" inside the infinitive marks a separable prefix
_FORMS = """
eat / ate                             | essen gegessen iss
drink / drank                         | trinken getrunken
cook / cooked                         | kochen gekocht
buy / bought                          | kaufen gekauft
sell / sold                           | verkaufen verkauft
look for / looked for                 | suchen gesucht
find / found                          | finden gefunden
lose / lost                           | verlieren verloren
read / read                           | lesen gelesen lies
write / wrote                         | schreiben geschrieben
wear / wore                           | tragen getragen träg
wash / washed                         | waschen gewaschen wäsch
clean / cleaned                       | putzen geputzt
repair / repaired                     | reparieren repariert
open / opened                         | auf|machen aufgemacht
close / closed                        | zu|machen zugemacht
turn on / turned on                   | ein|schalten eingeschaltet
turn off / turned off                 | aus|schalten ausgeschaltet
bring along / brought along           | mit|bringen mitgebracht
throw away / threw away               | weg|werfen weggeworfen wirf
draw / drew                           | zeichnen gezeichnet
feed / fed                            | füttern gefüttert
sing / sang                           | singen gesungen
visit / visited                       | besuchen besucht
call / called                         | an|rufen angerufen
invite / invited                      | ein|laden eingeladen läd
pick up / picked up                   | ab|holen abgeholt
meet / met                            | treffen getroffen triff
learn / learned                       | lernen gelernt
help / helped                         | helfen geholfen hilf
thank / thanked                       | danken gedankt
listen to / listened to               | zu|hören zugehört
answer / answered                     | antworten geantwortet
congratulate / congratulated          | gratulieren gratuliert
wait for / waited for                 | warten gewartet
think of / thought of                 | denken gedacht
give / gave                           | geben gegeben gib
show / showed                         | zeigen gezeigt
bring / brought                       | bringen gebracht
send / sent                           | schicken geschickt
tell / told                           | erzählen erzählt
need / needed                         | brauchen gebraucht
have / had                            | haben gehabt
see / saw                             | sehen gesehen sieh
like / liked                          | mögen gemocht
know / knew                           | kennen gekannt
understand / understood               | verstehen verstanden
speak / spoke                         | sprechen gesprochen sprich
sleep / slept                         | schlafen geschlafen schläf
work / worked                         | arbeiten gearbeitet
swim / swam                           | schwimmen geschwommen sein
dance / danced                        | tanzen getanzt
laugh / laughed                       | lachen gelacht
cry / cried                           | weinen geweint
play / played                         | spielen gespielt
get up / got up                       | auf|stehen aufgestanden sein
fall asleep / fell asleep             | ein|schlafen eingeschlafen schläf sein
come back / came back                 | zurück|kommen zurückgekommen sein
go shopping / went shopping           | ein|kaufen eingekauft
watch television / watched television | fern|sehen ferngesehen sieh
drive / drove                         | fahren gefahren fähr sein
travel / travelled                    | reisen gereist sein
go / went                             | gehen gegangen sein
walk / walked                         | gehen gegangen sein
stay / stayed                         | bleiben geblieben sein
live / lived                          | wohnen gewohnt
"""

# english base | government: objects | determiners and options | places where one does it. The options are a character
# (see above), -adjective: excluded, habit=determiners: can be a habit, clock: punctual, daily, plain: without
# adjectives, for: can be done for somebody, with: can be done with somebody.
_FRAMES = """
eat              | acc: FOOD | unowned daily habit=generic | kitchen, garden
drink            | acc: DRINK | unowned daily habit=generic | kitchen, garden
cook             | acc: soup, vegetable, meat | unowned daily for habit=generic
buy              | acc: GOODS, FOOD, book, newspaper | unowned for -old
sell             | acc: GOODS, house | any
look for         | acc: WORN, OWNED, book, letter, newspaper | single | house, kitchen, office
find             | acc: WORN, OWNED, book, letter, newspaper | single success | garden, park, office
lose             | acc: key, bag, hat, jacket, picture, letter | specific accident | park, city, station
read             | acc: text, newspaper | unowned habit=generic | kitchen, garden, park, library
write            | acc: text | unowned for -old -boring -good habit=generic | office, library, garden
wear             | acc: WORN | single duty daily habit=single
wash             | acc: dishes, clothes, car, fruit | any daily -clean -new
clean            | acc: opening, shoe, room | specific daily -clean -new habit=specific
repair           | acc: device, vehicle, lamp, chair | any for -new
open             | acc: opening, box, bottle, cupboard | specific clock daily -empty
close            | acc: opening, box, bottle, cupboard | specific clock daily -empty
turn on          | acc: device, lamp | specific clock daily -expensive -cheap habit=specific
turn off         | acc: device, lamp | specific clock daily -expensive -cheap habit=specific
bring along      | acc: cake, fruit, book, flower, picture | unowned
throw away       | acc: newspaper, letter, shoe, bottle, hat, lamp | specific -new -beautiful -expensive -good
draw             | acc: plant, animal, house, church, ship | unowned | garden, park
feed             | acc: animal | specific clock daily habit=specific
sing             | acc: song | unowned daily habit=generic | garden, church
visit            | acc: person | specific habit=specific
call             | acc: person | specific clock habit=specific
invite           | acc: person | specific habit=specific
pick up          | acc: person | specific clock habit=specific
meet             | acc: person | specific clock habit=specific | park, city, station
learn            | acc: language | any with habit=any | library, office
help             | dat: person | specific habit=specific | kitchen, garden, office
thank            | dat: person | specific duty daily
listen to        | dat: person | specific duty daily
answer           | dat: person | specific duty daily
congratulate     | dat: person | specific duty daily
wait for         | auf: person | specific daily | station, park, hotel
wait for         | auf: bus, train, letter | single plain duty daily
think of         | an: person | specific event daily
give             | dat+acc: fruit, cake, key, book, letter, flower, bag | unowned
show             | dat+acc: picture, letter, book, garden, house, animal, car, clothes | any
bring            | dat+acc: cake, soup, newspaper, chair, bag, DRINK, flower | unowned habit=generic
send             | dat+acc: letter, picture, book, poem, report, flower | unowned
tell             | dat+acc: story | unowned -boring habit=generic
need             | acc: GOODS, FOOD, key, book | unowned state -dirty -boring
have             | acc: OWNED, WORN, text, question, sibling, time | generic past state
see              | acc: animal, building, public building, transport, vehicle, lake | unowned perception
like             | acc: FOOD, DRINK, animal, flower, clothes, city, film, text, song | liked state -boring
know             | acc: person | specific state
understand       | acc: question, sentence, text | specific ability
speak            | acc: language | any ability
sleep            | none | any daily | garden, room, hotel
work             | none | any with habit=any | office, library, garden, hotel
swim             | none | any with habit=any | lake
dance            | none | any daily with habit=any | garden, hotel, theatre
laugh            | none | any event daily with
cry              | none | any event daily | room, kitchen, garden
play             | none | any daily with habit=any | garden, park, house, room
get up           | none | any duty clock daily habit=any
fall asleep      | none | any accident clock daily
come back        | none | any clock habit=any
go shopping      | none | any with habit=any | city, village
watch television | none | any daily with habit=any
drive            | goal: city | any habit=any
travel           | goal: city, country | any
go               | goal: outing | any habit=any
walk             | goal: walk | any habit=any
stay             | goal: home | any
live             | goal: residence | any state
"""

_GOVERNMENTS: dict[str, Governs] = {
    "none": "none",
    "acc": "acc",
    "dat": "dat",
    "dat+acc": "dat+acc",
    "auf": "auf",
    "an": "an",
    "goal": "goal",
}
_TAKES: dict[str, Takes] = {
    "single": "single",
    "specific": "specific",
    "liked": "liked",
    "unowned": "unowned",
    "generic": "generic",
    "any": "any",
}


def _read_forms() -> dict[str, tuple[EnglishVerb, GermanVerb]]:
    """The table of word forms by English base."""
    forms = {}
    for line in _FORMS.strip().splitlines():
        english, german = line.split(" | ")
        base, past = english.strip().split(" / ")
        infinitive, participle, *more = german.split()
        prefix, _, simple = infinitive.rpartition("|")
        changed = "".join(form for form in more if form != "sein")
        auxiliary: Literal["haben", "sein"] = "sein" if "sein" in more else "haben"
        forms[base] = (EnglishVerb(base, past), GermanVerb(simple, participle, changed, prefix, auxiliary))
    return forms


def _read_verbs() -> tuple[Verb, ...]:
    """The table of frames, each joined with the forms of its verb."""
    forms = _read_forms()
    verbs = []
    for line in _FRAMES.strip().splitlines():
        base, frame, options, *places = (part.strip() for part in line.split(" | "))
        governs, _, things = frame.partition(": ")
        for name, nouns in _GROUPS.items():
            things = things.replace(name, nouns)
        takes, *flags = options.split()
        characters = [flag for flag in flags if flag in CHARACTERS]
        habits = [_TAKES[flag.removeprefix("habit=")] for flag in flags if flag.startswith("habit=")]
        english, german = forms[base]
        verbs.append(
            Verb(
                english,
                german,
                governs=_GOVERNMENTS[governs],
                things=things,
                takes=_TAKES[takes],
                modes=CHARACTERS[characters[0]] if characters else ACTION,
                excludes=frozenset(flag[1:] for flag in flags if flag.startswith("-")),
                habit=habits[0] if habits else None,
                is_state=not STATES_OF_AFFAIRS.isdisjoint(flags),
                is_punctual="clock" in flags,
                is_daily="daily" in flags,
                has_adjective="plain" not in flags,
                has_beneficiary="for" in flags,
                has_companion="with" in flags,
                places=tuple(places[0].split(", ")) if places else (),
            )
        )
    return tuple(verbs)


VERBS = _read_verbs()


def verbs_named(names: str) -> tuple[Verb, ...]:
    """The verbs with these English base forms, separated by commas."""
    wanted = [name.strip() for name in names.split(",")]
    return tuple(verb for verb in VERBS if verb.english.base in wanted)
