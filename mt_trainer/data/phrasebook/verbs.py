"""The verbs of the phrasebook in both languages, and what each of them may be combined with."""

from dataclasses import dataclass
from enum import Enum
from functools import cached_property
from typing import Literal

from mt_trainer.data.phrasebook.determiners import Takes
from mt_trainer.data.phrasebook.english import EnglishVerb
from mt_trainer.data.phrasebook.german import GermanVerb
from mt_trainer.data.phrasebook.nouns import NOUNS, Noun


class Mode(Enum):
    """Tense or modality of a clause; the value shows English and German."""

    NOW = "is reading, liest"
    HABIT = "reads every day, liest jeden Tag"
    PAST = "read, hat gelesen"
    FUTURE = "will read, wird lesen"
    CAN = "can read, kann lesen"
    MUST = "has to read, muss lesen"
    WANT = "wants to read, will lesen"
    SHOULD = "should read, sollte lesen"
    MAY = "is allowed to read, darf lesen"
    WISH = "would like to read, möchte lesen"


_MODALS = (Mode.CAN, Mode.MUST, Mode.WANT, Mode.SHOULD, Mode.MAY, Mode.WISH)
_MODES: dict[str, tuple[Mode, ...]] = {
    "action": (Mode.NOW, Mode.NOW, Mode.NOW, Mode.PAST, Mode.PAST, Mode.PAST, Mode.FUTURE, *_MODALS),
    "duty": (Mode.NOW, Mode.NOW, Mode.PAST, Mode.PAST, Mode.FUTURE, Mode.CAN, Mode.MUST, Mode.SHOULD),
    "event": (Mode.NOW, Mode.PAST),
    "success": (Mode.PAST, Mode.PAST, Mode.CAN),
    "accident": (Mode.PAST,),
    "state": (Mode.NOW,),
    "state or past": (Mode.NOW, Mode.NOW, Mode.PAST),
    "perception": (Mode.NOW, Mode.PAST, Mode.CAN),
    "ability": (Mode.NOW, Mode.CAN),
}
STATES_OF_MIND = frozenset({"state", "state or past", "perception", "ability"})

Governs = Literal["none", "acc", "dat", "dat+acc", "auf", "an", "goal"]


@dataclass(frozen=True, eq=False)
class Verb:
    """A verb with its frame: what it governs, and what makes sense as its object, its time and its place.

    ``governs`` is the case of the object, or the preposition before an accusative. ``things`` names the nouns and
    kinds of noun that can be its object ("person": people), ``takes`` their determiners; ``habit`` is the same for
    clauses with "every day", None where a habit would be odd. ``is_state``: the English verb has no progressive.
    """

    english: EnglishVerb
    german: GermanVerb
    governs: Governs
    things: str
    takes: Takes
    modes: tuple[Mode, ...]
    is_state: bool
    habit: Takes | None
    is_punctual: bool
    has_beneficiary: bool
    has_companion: bool
    places: tuple[str, ...]

    @property
    def takes_person(self) -> bool:
        """Whether its object is a person."""
        return self.things == "person"

    @cached_property
    def nouns(self) -> tuple[Noun, ...]:
        """The nouns that can be its object."""
        names = [name.strip() for name in self.things.split(",")]
        return tuple(noun for noun in NOUNS.values() if noun.english in names or noun.kind in names)


_GROUPS = {
    "FOOD": "fruit, vegetable, soup, cake, food",
    "DRINK": "hot drink, cold drink",
    "WORN": "clothes, shoe",
    "GOODS": "clothes, dress, shoe, bag, device, lamp, furniture, vehicle, picture, flower",
    "OWNED": "bag, key, device, vehicle, animal, lamp, picture, box",
}

# english base / past | infinitive participle changed stem | government: objects | determiners, modes, options | places
# habit=...: can be a habit, with these determiners. clock: happens at a moment. for: for somebody. with: with somebody.
_VERBS = """
eat / ate             | essen gegessen iss           | acc: FOOD                             | any habit=generic | kitchen, garden
drink / drank         | trinken getrunken            | acc: DRINK                            | any habit=generic | kitchen, garden
cook / cooked         | kochen gekocht               | acc: soup, vegetable, meat            | unowned habit=generic for |
buy / bought          | kaufen gekauft               | acc: GOODS, FOOD, text, newspaper     | unowned for |
sell / sold           | verkaufen verkauft           | acc: GOODS, house                     | any |
look for / looked for | suchen gesucht               | acc: WORN, OWNED, text, newspaper     | any | house, kitchen, office
find / found          | finden gefunden              | acc: WORN, OWNED, text, newspaper     | any success | garden, park, office
lose / lost           | verlieren verloren           | acc: key, bag, hat, jacket, picture   | specific accident | park, city, station
read / read           | lesen gelesen lies           | acc: text, newspaper                  | any habit=generic | kitchen, garden, park, library
write / wrote         | schreiben geschrieben        | acc: text                             | unowned for habit=generic | office, library, garden
wear / wore           | tragen getragen träg         | acc: WORN                             | any duty habit=any |
wash / washed         | waschen gewaschen wäsch      | acc: dishes, clothes, car, fruit      | any |
clean / cleaned       | putzen geputzt               | acc: opening, shoe, room              | specific habit=specific |
repair / repaired     | reparieren repariert         | acc: device, vehicle, lamp, chair     | any for |
open / opened         | auf|machen aufgemacht        | acc: opening, box, bottle, cupboard   | specific clock |
close / closed        | zu|machen zugemacht          | acc: opening, box, bottle, cupboard   | specific clock |
turn on / turned on   | ein|schalten eingeschaltet   | acc: device, lamp                     | specific clock habit=specific |
turn off / turned off | aus|schalten ausgeschaltet   | acc: device, lamp                     | specific clock habit=specific |
bring along / brought along | mit|bringen mitgebracht | acc: cake, fruit, book, flower, picture, juice | unowned |
throw away / threw away | weg|werfen weggeworfen wirf | acc: newspaper, letter, shoe, bottle, hat, lamp | any clock |
draw / drew           | zeichnen gezeichnet          | acc: flower, animal, house, church, ship | unowned | garden, park
feed / fed            | füttern gefüttert            | acc: animal                           | specific clock habit=specific |
sing / sang           | singen gesungen              | acc: song                             | unowned habit=generic | garden, church
visit / visited       | besuchen besucht             | acc: person                           | specific habit=specific |
call / called         | an|rufen angerufen           | acc: person                           | specific clock habit=specific |
invite / invited      | ein|laden eingeladen läd     | acc: person                           | specific habit=specific |
pick up / picked up   | ab|holen abgeholt            | acc: person                           | specific clock habit=specific |
meet / met            | treffen getroffen triff      | acc: person                           | specific clock habit=specific | park, city, station
learn / learned       | lernen gelernt               | acc: language                         | any with habit=any | library, office
help / helped         | helfen geholfen hilf         | dat: person                           | specific habit=specific | kitchen, garden, office
thank / thanked       | danken gedankt               | dat: person                           | specific duty |
listen to / listened to | zu|hören zugehört          | dat: person                           | specific duty |
answer / answered     | antworten geantwortet        | dat: person                           | specific duty clock |
congratulate / congratulated | gratulieren gratuliert | dat: person                          | specific duty |
wait for / waited for | warten gewartet              | auf: person                           | specific | station, park, hotel
wait for / waited for | warten gewartet              | auf: bus, train, letter               | specific duty |
think of / thought of | denken gedacht               | an: person                            | specific event |
give / gave           | geben gegeben gib            | dat+acc: fruit, cake, key, book, letter, flower, bag | unowned |
show / showed         | zeigen gezeigt               | dat+acc: picture, letter, book, garden, house, animal, vehicle, clothes | any |
bring / brought       | bringen gebracht             | dat+acc: cake, soup, newspaper, chair, bag, DRINK, flower | unowned habit=generic |
send / sent           | schicken geschickt           | dat+acc: letter, picture, book, poem, report, flower | unowned |
tell / told           | erzählen erzählt             | dat+acc: story                        | unowned habit=generic |
need / needed         | brauchen gebraucht           | acc: GOODS, FOOD, key, text           | any state |
have / had            | haben gehabt                 | acc: OWNED, WORN, text, question, sibling, time | generic state or past |
see / saw             | sehen gesehen sieh           | acc: animal, building, transport, vehicle, flower, lake | unowned perception |
like / liked          | mögen gemocht                | acc: FOOD, DRINK, animal, flower, clothes, city, film, text, song | any state |
know / knew           | kennen gekannt               | acc: person                           | specific state |
understand / understood | verstehen verstanden       | acc: question, sentence, text, language | any ability |
speak / spoke         | sprechen gesprochen sprich   | acc: language                         | any ability |
sleep / slept         | schlafen geschlafen schläf   | none                                  | any | garden, room, hotel
work / worked         | arbeiten gearbeitet          | none                                  | any with habit=any | office, library, garden, hotel
swim / swam           | schwimmen geschwommen sein   | none                                  | any with habit=any | lake
dance / danced        | tanzen getanzt               | none                                  | any with habit=any | garden, hotel, theatre
laugh / laughed       | lachen gelacht               | none                                  | any event with |
cry / cried           | weinen geweint               | none                                  | any event | room, kitchen, garden
play / played         | spielen gespielt             | none                                  | any with habit=any | garden, park, house, room
get up / got up       | auf|stehen aufgestanden sein | none                                  | any duty clock habit=any |
fall asleep / fell asleep | ein|schlafen eingeschlafen schläf sein | none                    | any success clock |
come back / came back | zurück|kommen zurückgekommen sein | none                             | any clock habit=any |
go shopping / went shopping | ein|kaufen eingekauft  | none                                  | any with habit=any | city, village
watch television / watched television | fern|sehen ferngesehen sieh | none                   | any with habit=any |
drive / drove         | fahren gefahren fähr sein    | goal: city                            | any habit=any |
travel / travelled    | reisen gereist sein          | goal: city, country                   | any |
go / went             | gehen gegangen sein          | goal: outing                          | any habit=any |
walk / walked         | gehen gegangen sein          | goal: walk                            | any habit=any |
stay / stayed         | bleiben geblieben sein       | goal: home                            | any |
live / lived          | wohnen gewohnt               | goal: residence                       | any state |
"""


def _read_verbs() -> tuple[Verb, ...]:
    """The table above; a separable prefix is marked off by "|" inside the infinitive, without spaces."""
    verbs = []
    for line in _VERBS.strip().splitlines():
        english_forms, german_forms, frame, options, *places = (part.strip() for part in line.split(" |"))
        base, past = english_forms.split(" / ")
        infinitive, participle, *more = german_forms.split()
        prefix, _, simple = infinitive.rpartition("|")
        changed = "".join(form for form in more if form != "sein")
        german = GermanVerb(simple, participle, changed, prefix, "sein" if "sein" in more else "haben")
        governs, _, things = frame.partition(": ")
        for name, nouns in _GROUPS.items():
            things = things.replace(name, nouns)
        flags = options.split()
        modes = next((name for name in sorted(_MODES, key=len, reverse=True) if name in options), "action")
        habits = [flag.removeprefix("habit=") for flag in flags if flag.startswith("habit=")]
        verbs.append(
            Verb(
                EnglishVerb(base, past),
                german,
                _GOVERNMENTS[governs],
                things,
                _TAKES[flags[0]],
                _MODES[modes],
                modes in STATES_OF_MIND,
                _TAKES[habits[0]] if habits else None,
                "clock" in flags,
                "for" in flags,
                "with" in flags,
                tuple(name.strip() for name in places[0].split(",")) if places and places[0] else (),
            )
        )
    return tuple(verbs)


_GOVERNMENTS: dict[str, Governs] = {
    "none": "none",
    "acc": "acc",
    "dat": "dat",
    "dat+acc": "dat+acc",
    "auf": "auf",
    "an": "an",
    "goal": "goal",
}
_TAKES: dict[str, Takes] = {"specific": "specific", "unowned": "unowned", "generic": "generic", "any": "any"}

VERBS = _read_verbs()


def verbs_named(names: str) -> tuple[Verb, ...]:
    """The verbs with these English base forms, separated by commas."""
    wanted = [name.strip() for name in names.split(",")]
    return tuple(verb for verb in VERBS if verb.english.base in wanted)
