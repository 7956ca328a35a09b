"""The nouns of the phrasebook in both languages, by semantic kind."""

from dataclasses import dataclass
from typing import Literal

from mt_trainer.data.phrasebook.german import GermanNoun


@dataclass(frozen=True, eq=False, slots=True)
class Noun:
    """A noun in both languages. ``kind`` is its semantic class; ``pronoun`` is he or she where that is beyond doubt."""

    english: str
    english_plural: str
    german: GermanNoun
    kind: str
    pronoun: Literal["he", "she", ""] = ""
    is_mass: bool = False


# english, plural | article, nominative, genitive, plural | pronoun. "-": no plural in use; a lone "mass": uncountable.
_NOUNS = {
    "adult": """
        man men               | der Mann Mannes Männer                         | he
        woman women           | die Frau Frau Frauen                           | she""",
    "acquaintance": """
        neighbour neighbours  | der Nachbar Nachbarn Nachbarn                  | he
        doctor doctors        | der Arzt Arztes Ärzte                          | he
        teacher teachers      | der Lehrer Lehrers Lehrer                      | he
        colleague colleagues  | der Kollege Kollegen Kollegen                  | he
        guest guests          | der Gast Gastes Gäste                          | he""",
    "young": """
        student students      | der Student Studenten Studenten                | he
        tourist tourists      | der Tourist Touristen Touristen                | he""",
    "child": """
        boy boys              | der Junge Jungen Jungen                        | he
        girl girls            | das Mädchen Mädchens Mädchen                   |
        child children        | das Kind Kindes Kinder                         |""",
    "parent": """
        father -              | der Vater Vaters -                             | he
        mother -              | die Mutter Mutter -                            | she
        grandfather -         | der Großvater Großvaters -                     | he
        grandmother -         | die Großmutter Großmutter -                    | she
        uncle uncles          | der Onkel Onkels Onkel                         | he
        aunt aunts            | die Tante Tante Tanten                         | she""",
    "sibling": """
        brother brothers      | der Bruder Bruders Brüder                      | he
        sister sisters        | die Schwester Schwester Schwestern             | she
        son sons              | der Sohn Sohnes Söhne                          | he
        daughter daughters    | die Tochter Tochter Töchter                    | she""",
    "animal": """
        dog dogs              | der Hund Hundes Hunde                          |
        cat cats              | die Katze Katze Katzen                         |
        horse horses          | das Pferd Pferdes Pferde                       |
        bird birds            | der Vogel Vogels Vögel                         |
        cow cows              | die Kuh Kuh Kühe                               |""",
    "fruit": """
        apple apples          | der Apfel Apfels Äpfel                         |
        pear pears            | die Birne Birne Birnen                         |
        orange oranges        | die Orange Orange Orangen                      |""",
    "vegetable": """
        tomato tomatoes       | die Tomate Tomate Tomaten                      |
        potato potatoes       | die Kartoffel Kartoffel Kartoffeln             |
        carrot carrots        | die Karotte Karotte Karotten                   |
        egg eggs              | das Ei Eis Eier                                |""",
    "soup": """
        soup mass             | die Suppe Suppe -                              |""",
    "cake": """
        cake cakes            | der Kuchen Kuchens Kuchen                      |""",
    "food": """
        bread mass            | das Brot Brotes -                              |
        cheese mass           | der Käse Käses -                               |
        meat mass             | das Fleisch Fleisches -                        |""",
    "hot drink": """
        tea mass              | der Tee Tees -                                 |
        coffee mass           | der Kaffee Kaffees -                           |""",
    "cold drink": """
        water mass            | das Wasser Wassers -                           |
        milk mass             | die Milch Milch -                              |
        juice mass            | der Saft Saftes -                              |""",
    "clothes": """
        coat coats            | der Mantel Mantels Mäntel                      |
        hat hats              | der Hut Hutes Hüte                             |
        shirt shirts          | das Hemd Hemdes Hemden                         |
        jacket jackets        | die Jacke Jacke Jacken                         |""",
    "dress": """
        dress dresses         | das Kleid Kleides Kleider                      |""",
    "shoe": """
        shoe shoes            | der Schuh Schuhes Schuhe                       |""",
    "bag": """
        bag bags              | die Tasche Tasche Taschen                      |
        umbrella umbrellas    | der Regenschirm Regenschirms Regenschirme      |""",
    "key": """
        key keys              | der Schlüssel Schlüssels Schlüssel             |
        knife knives          | das Messer Messers Messer                      |""",
    "toy": """
        ball balls            | der Ball Balles Bälle                          |""",
    "box": """
        box boxes             | die Kiste Kiste Kisten                         |""",
    "device": """
        computer computers    | der Computer Computers Computer                |
        radio radios          | das Radio Radios Radios                        |
        television -          | der Fernseher Fernsehers -                   |""",
    "lamp": """
        lamp lamps            | die Lampe Lampe Lampen                         |""",
    "plant": """
        flower flowers        | die Blume Blume Blumen                         |
        tree trees            | der Baum Baumes Bäume                          |""",
    "picture": """
        picture pictures      | das Bild Bildes Bilder                         |""",
    "furniture": """
        table tables          | der Tisch Tisches Tische                       |
        chair chairs          | der Stuhl Stuhls Stühle                        |
        bed beds              | das Bett Bettes Betten                         |
        cupboard cupboards    | der Schrank Schranks Schränke                  |
        sofa sofas            | das Sofa Sofas Sofas                           |""",
    "vehicle": """
        car cars              | das Auto Autos Autos                           |
        bicycle bicycles      | das Fahrrad Fahrrads Fahrräder                 |""",
    "transport": """
        bus buses             | der Bus Busses Busse                           |
        train trains          | der Zug Zuges Züge                             |
        ship ships            | das Schiff Schiffes Schiffe                    |""",
    "text": """
        book books            | das Buch Buches Bücher                         |
        letter letters        | der Brief Briefes Briefe                       |
        story stories         | die Geschichte Geschichte Geschichten          |
        poem poems            | das Gedicht Gedichts Gedichte                  |
        report reports        | der Bericht Berichts Berichte                  |""",
    "newspaper": """
        newspaper newspapers  | die Zeitung Zeitung Zeitungen                  |""",
    "question": """
        question questions    | die Frage Frage Fragen                         |
        sentence sentences    | der Satz Satzes Sätze                          |""",
    "song": """
        song songs            | das Lied Liedes Lieder                         |""",
    "dishes": """
        cup cups              | die Tasse Tasse Tassen                         |
        plate plates          | der Teller Tellers Teller                      |
        glass glasses         | das Glas Glases Gläser                         |""",
    "bottle": """
        bottle bottles        | die Flasche Flasche Flaschen                   |""",
    "opening": """
        window windows        | das Fenster Fensters Fenster                   |
        door doors            | die Tür Tür Türen                              |""",
    "room": """
        kitchen -             | die Küche Küche -                              |
        room rooms            | das Zimmer Zimmers Zimmer                      |
        office offices        | das Büro Büros Büros                           |""",
    "building": """
        house houses          | das Haus Hauses Häuser                         |
        school schools        | die Schule Schule Schulen                      |
        hotel hotels          | das Hotel Hotels Hotels                        |
        restaurant restaurants | das Restaurant Restaurants Restaurants        |""",
    "public building": """
        library libraries     | die Bibliothek Bibliothek Bibliotheken         |
        museum museums        | das Museum Museums Museen                      |
        theatre theatres      | das Theater Theaters Theater                   |
        church churches       | die Kirche Kirche Kirchen                      |
        station stations      | der Bahnhof Bahnhofs Bahnhöfe                  |""",
    "open place": """
        garden gardens        | der Garten Gartens Gärten                      |
        park parks            | der Park Parks Parks                           |
        lake lakes            | der See Sees Seen                              |
        city cities           | die Stadt Stadt Städte                         |
        village villages      | das Dorf Dorfes Dörfer                         |""",
    "event": """
        film films            | der Film Films Filme                           |
        concert concerts      | das Konzert Konzerts Konzerte                  |
        course courses        | der Kurs Kurses Kurse                          |""",
    "language": """
        German mass           | das Deutsch Deutschs -                         |
        English mass          | das Englisch Englischs -                       |
        French mass           | das Französisch Französischs -                 |
        Spanish mass          | das Spanisch Spanischs -                       |
        Italian mass          | das Italienisch Italienischs -                 |""",
    "time": """
        time mass             | die Zeit Zeit -                                |""",
}

_GENDERS: dict[str, Literal["m", "f", "n"]] = {"der": "m", "die": "f", "das": "n"}
_PRONOUNS: dict[str, Literal["he", "she", ""]] = {"he": "he", "she": "she", "": ""}


def _read_nouns() -> dict[str, Noun]:
    """The table above by English singular."""
    nouns = {}
    for kind, lines in _NOUNS.items():
        for line in lines.strip().splitlines():
            english_forms, german_forms, pronoun = (part.strip() for part in line.split("|"))
            english, plural = english_forms.split()
            article, singular, genitive, german_plural = german_forms.split()
            german = GermanNoun(_GENDERS[article], singular, genitive, german_plural.strip("-"))
            is_mass = plural == "mass"
            english_plural = "" if is_mass else plural.strip("-")
            nouns[english] = Noun(english, english_plural, german, kind, _PRONOUNS[pronoun], is_mass)
    return nouns


NOUNS = _read_nouns()


def nouns_of(names: str) -> tuple[Noun, ...]:
    """The nouns with these English forms or of these kinds, separated by commas."""
    wanted = names.split(", ")
    return tuple(noun for noun in NOUNS.values() if noun.english in wanted or noun.kind in wanted)
