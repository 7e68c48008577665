#!/usr/bin/env python3
"""Writes the synthetic registers that the demo and the tests use. Python 3.9+, standard library only.

    python3 tests/data/generate.py                        the demo's four registers, into tests/data/registers/
    python3 tests/data/generate.py --linkage DIR          a development set for linkage: a.csv, b.csv, truth.csv, b_meta.csv
    python3 tests/data/generate.py --families DIR         a development set for sibling groups whose names were all replaced

Every person in these files is invented: family names, given names, dates and places are drawn independently of each
other from the lists below. The same seed writes the same bytes. How often each alteration occurs is an assumption
(see `RATES`), not a measurement; the transliteration tables are the published ones named beside them.

Reading order: conventions (transliteration tables as data), names, places, children and families, alterations,
then the three sets.
"""

import argparse
import csv
import random
import sys
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from pathlib import Path

SEED = 20261
# Children are born between these days.
FIRST_DAY, LAST_DAY = date(2006, 1, 1), date(2024, 6, 30)

# ---------------------------------------------------------------------------------------------------------------
# Conventions: how a Cyrillic name is written in Latin letters
#
# One table per convention. A key is one or more Cyrillic letters; the longest key that fits wins. Contexts:
#   "^x"  at the beginning of a word       "+x"  after a vowel, an apostrophe, a soft or a hard sign
#   "x$"  at the end of a word             "x"   elsewhere
# ---------------------------------------------------------------------------------------------------------------

_COMMON = dict(zip("абвдезіклмнопрстуф", "abvdeziklmnoprstuf"))
_UK = {**_COMMON, "’": ""}
_RU = {**_COMMON, "и": "i", "г": "g", "ъ": "", "ь": ""}

CONVENTIONS = {
    # Cabinet of Ministers of Ukraine, resolution 55 of 27 January 2010; passports. BGN/PCGN adopted it in 2019.
    "uk_kmu": {**_UK, "г": "h", "ґ": "g", "^є": "ye", "є": "ie", "ж": "zh", "и": "y", "^ї": "yi", "ї": "i",
               "^й": "y", "й": "i", "х": "kh", "ц": "ts", "ч": "ch", "ш": "sh", "щ": "shch", "ь": "",
               "^ю": "yu", "ю": "iu", "^я": "ya", "я": "ia", "зг": "zgh"},
    # Ukrainian passports of 2007 to 2010 (resolution 858 of 26 July 2007): г and ґ alike, no initial forms.
    "uk_p2007": {**_UK, "г": "g", "ґ": "g", "є": "ie", "ж": "zh", "и": "y", "ї": "i", "й": "i", "х": "kh", "ц": "ts",
                 "ч": "ch", "ш": "sh", "щ": "shch", "ь": "", "ю": "iu", "я": "ia"},
    # BGN/PCGN 1965 system for Ukrainian.
    "uk_bgn": {**_UK, "г": "h", "ґ": "g", "є": "ye", "ж": "zh", "и": "y", "ї": "yi", "й": "y", "х": "kh",
               "ц": "ts", "ч": "ch", "ш": "sh", "щ": "shch", "ь": "’", "ю": "yu", "я": "ya", "’": "”",
               "зг": "z·h", "тс": "t·s", "сг": "s·h", "кг": "k·h", "цг": "ts·h"},
    # ISO 9:1995, one letter for one letter (PN-ISO 9 and many library systems).
    "uk_iso9": {**_UK, "г": "g", "ґ": "g\u0300", "є": "ê", "ж": "ž", "и": "i", "і": "ì", "ї": "ï", "й": "j", "х": "h",
                "ц": "c", "ч": "č", "ш": "š", "щ": "ŝ", "ь": "ʹ", "ю": "û", "я": "â", "’": "ʼ"},
    # DIN 1460:1982, the scientific transliteration, used by German libraries and some courts.
    "uk_din": {**_UK, "г": "h", "ґ": "g", "є": "je", "ж": "ž", "и": "y", "ї": "ï", "й": "j", "х": "ch", "ц": "c",
               "ч": "č", "ш": "š", "щ": "šč", "ь": "ʹ", "ю": "ju", "я": "ja", "’": "’"},
    # Polish transcription: Wielki slownik ortograficzny PWN, rule 78.B; endings in -ski, -cki, -y made Polish.
    "uk_pl": {**_UK, "в": "w", "г": "h", "ґ": "g", "^є": "je", "+є": "je", "є": "ie", "лє": "le", "ж": "ż", "и": "y",
              "ї": "ji", "й": "j", "л": "ł", "лі": "li", "лї": "li", "ль": "l", "лью": "lu", "лю": "lu", "ля": "la",
              "х": "ch", "ц": "c", "ч": "cz", "ш": "sz", "щ": "szcz", "нь": "ń", "сь": "ś", "зь": "ź", "ць": "ć",
              "ь": "", "ьо": "io", "льо": "lo", "^ю": "ju", "+ю": "ju", "ю": "iu", "^я": "ja", "+я": "ja", "я": "ia",
              "ський$": "ski", "ська$": "ska", "цький$": "cki", "цька$": "cka", "ий$": "y", "лл": "ll",
              "ллі": "lli", "лля": "lla"},
    # German transcription: Duden, Umschrift.
    "uk_de": {**_UK, "в": "w", "г": "h", "ґ": "g", "є": "je", "ж": "sch", "з": "s", "и": "y", "ї": "ji", "й": "j",
              "+с": "ss", "х": "ch", "ц": "z", "ч": "tsch", "ш": "sch", "щ": "schtsch", "ь": "", "ьо": "jo", "ю": "ju",
              "я": "ja", "ст": "st", "ск": "sk", "сн": "sn", "сл": "sl", "св": "sw", "сп": "sp", "с$": "s", "ськ": "sk",
              "сь": "s", "см": "sm", "сц": "sz"},
    # French press and older Soviet and Ukrainian passports.
    "uk_fr": {**_UK, "г": "h", "ґ": "g", "є": "ie", "ж": "j", "и": "y", "ї": "ï", "^ї": "i", "+й": "ï", "й": "ï",
              "ий$": "yï", "у": "ou", "х": "kh", "ц": "ts", "ч": "tch", "ш": "ch", "щ": "chtch", "ь": "", "ьо": "io",
              "ю": "iou", "я": "ia"},
    # Czech transcription: Pravidla ceskeho pravopisu (used beside CSN ISO 9).
    "uk_cs": {**_UK, "г": "h", "ґ": "g", "є": "je", "ж": "ž", "и": "y", "ї": "ji", "й": "j", "х": "ch", "ц": "c",
              "ч": "č", "ш": "š", "щ": "šč", "дь": "ď", "ть": "ť", "нь": "ň", "ь": "", "ьо": "jo", "ю": "ju", "я": "ja",
              "дя": "ďa", "тя": "ťa", "ня": "ňa", "дю": "ďu", "тю": "ťu", "ню": "ňu"},
    # English press: no apostrophes, -yi shortened to -y.
    "uk_enpress": {**_UK, "г": "h", "ґ": "g", "є": "ye", "ж": "zh", "и": "y", "ий$": "y", "ій$": "iy", "ї": "yi",
                   "й": "y", "х": "kh", "ц": "ts", "ч": "ch", "ш": "sh", "щ": "shch", "ь": "", "ю": "yu", "я": "ya",
                   "ія$": "ia"},
    # BGN/PCGN 1947 system for Russian.
    "ru_bgn": {**_RU, "^е": "ye", "+е": "ye", "й": "y", "+ё": "yë", "^ё": "yë", "ё": "ë", "ж": "zh", "х": "kh",
               "ц": "ts", "ч": "ch", "ш": "sh", "щ": "shch", "ъ": "”", "ы": "y", "ь": "’", "э": "e", "ю": "yu",
               "я": "ya", "йе": "yye"},
    # ICAO Doc 9303 part 3, as in Russian passports since 2014.
    "ru_icao": {**_RU, "ё": "e", "ж": "zh", "й": "i", "х": "kh", "ц": "ts", "ч": "ch", "ш": "sh", "щ": "shch",
                "ъ": "ie", "ы": "y", "э": "e", "ю": "iu", "я": "ia"},
    # English press for Russian.
    "ru_en": {**_RU, "^е": "ye", "ё": "yo", "ж": "zh", "й": "y", "ий$": "y", "ый$": "y", "х": "kh", "ц": "ts",
              "ч": "ch", "ш": "sh", "щ": "shch", "ы": "y", "э": "e", "ю": "yu", "я": "ya", "ия$": "ia"},
    # Polish transcription for Russian: PWN, rule 76.
    "ru_pl": {**_RU, "в": "w", "^е": "je", "+е": "je", "е": "ie", "же": "że", "це": "ce", "че": "cze", "ше": "sze",
              "ще": "szcze", "ле": "le", "^ё": "jo", "+ё": "jo", "ё": "io", "лё": "lo", "чё": "czo", "шё": "szo", "ж": "ż",
              "жи": "ży", "ци": "cy", "ши": "szy", "й": "j", "л": "ł", "ли": "li", "ль": "l", "лю": "lu", "ля": "la",
              "х": "ch", "ц": "c", "ч": "cz", "ш": "sz", "щ": "szcz", "ы": "y", "нь": "ń", "сь": "ś", "зь": "ź",
              "э": "e", "^ю": "ju", "+ю": "ju", "ю": "iu", "^я": "ja", "+я": "ja", "я": "ia", "ский$": "ski",
              "ская$": "ska", "цкий$": "cki", "цкая$": "cka", "ый$": "y", "ий$": "ij", "ая$": "aja"},
    # German transcription for Russian: Duden, Umschrift.
    "ru_de": {**_RU, "в": "w", "^е": "je", "+е": "je", "ё": "jo", "ж": "sch", "з": "s", "+с": "ss", "й": "i",
              "ий$": "i", "ый$": "y", "х": "ch", "ц": "z", "ч": "tsch", "ш": "sch", "щ": "schtsch", "ы": "y", "э": "e",
              "ю": "ju", "я": "ja", "чё": "tscho", "шё": "scho", "ст": "st", "ск": "sk", "сн": "sn", "сл": "sl",
              "св": "sw", "сп": "sp", "с$": "s", "сь": "s", "см": "sm", "ск": "sk"},
    # French transcription for Russian.
    "ru_fr": {**_RU, "^е": "ie", "+е": "ïe", "ё": "io", "ж": "j", "й": "ï", "ий$": "i", "ый$": "y", "у": "ou", "х": "kh",
              "ц": "ts", "ч": "tch", "ш": "ch", "щ": "chtch", "ы": "y", "э": "e", "ю": "iou", "я": "ia"},
    # Czech transcription for Russian.
    "ru_cs": {**_RU, "^е": "je", "+е": "je", "ё": "jo", "ж": "ž", "й": "j", "х": "ch", "ц": "c", "ч": "č", "ш": "š",
              "щ": "šč", "ы": "y", "э": "e", "ю": "ju", "я": "ja", "дь": "ď", "ть": "ť", "нь": "ň"},
}

_VOWELS = set("аеєиіїоуюяыэё")


def transliterate(text, convention):
    """`text` in Latin letters by the named convention; whatever is not Cyrillic stays as it is."""
    if convention.endswith("_cyr"):
        return text
    table = CONVENTIONS[convention]
    lower, out, i = text.lower(), [], 0
    while i < len(lower):
        previous = lower[i - 1] if i else " "
        starts = not (previous.isalpha() or previous == "’")
        after = previous in _VOWELS or previous in "’ьъ"
        for length in (5, 4, 3, 2, 1):
            part = lower[i:i + length]
            if len(part) < length:
                continue
            ends = i + length == len(lower) or not (lower[i + length].isalpha() or lower[i + length] == "’")
            keys = ([f"{part}$"] if ends else []) + ([f"^{part}"] if starts else []) + ([f"+{part}"] if after else [])
            latin = next((table[k] for k in keys + [part] if k in table), None)
            if latin is not None:
                upper = text[i].isupper()
                out.append(latin[:1].upper() + latin[1:] if upper and latin else latin)
                i += length
                break
        else:
            out.append(text[i])
            i += 1
    return "".join(out)


# ---------------------------------------------------------------------------------------------------------------
# Names: Ukrainian form, Russian form, diminutives in both, counterparts by host country
# The marker * on a line: the name does not occur in the other development set that the project uses, so only these
# go into --linkage (its purpose is to show whether rules fit one list only).
# ---------------------------------------------------------------------------------------------------------------

# uk | ru | uk diminutives | ru diminutives | pl | de | ca(en) | weight
GIRLS = """
Софія | София | Соня, Софійка | Соня, Софа | Zofia | Sophie | Sophia | 9
Анна | Анна | Аня, Ганнуся | Аня, Анюта | Hanna | Anne | Ann | 8
Марія | Мария | Марійка, Маша | Маша, Маруся | Marysia | Marie | Mary | 7
Вікторія | Виктория | Віка, Вікуся | Вика | Wiktoria | Viktoria | Victoria | 6
Катерина | Екатерина | Катя, Катруся | Катя, Катюша | Katarzyna | Katharina | Catherine | 6
Олена | Елена | Оленка, Лєна | Лена, Алёна | Helena | Helene | Helen | 5
Дарія | Дарья | Даша, Дарка | Даша | Daria | Daria | Daria | 4
Юлія | Юлия | Юля, Юлечка | Юля | Julia | Julia | Julia | 4
Оксана | Оксана | Ксана, Оксанка | Ксюша | Oksana | Oxana | Oksana | 3
Єлизавета | Елизавета | Ліза | Лиза | Elżbieta | Elisabeth | Elizabeth | 3
Ксенія | Ксения | Ксеня | Ксюша | Ksenia | Xenia | Xenia | 2
Ірина | Ирина | Іра, Іринка | Ира, Ириша | Irena | Irene | Irene | 4
*Анастасія | Анастасия | Настя, Настуня | Настя, Стася | Anastazja | Anastasia | Stacy | 9
*Вероніка | Вероника | Ніка, Вероничка | Ника | Weronika | Veronika | Veronica | 6
*Соломія | Соломия | Соля, Соломійка | Соля | Salomea | Salome | Salome | 6
*Дарина | Дарина | Даринка, Даруся | Даша | Daryna | Darina | Daryna | 6
*Аліса | Алиса | Аліска | Алиса, Алиска | Alicja | Alice | Alice | 4
*Емілія | Эмилия | Емілька, Міля | Миля, Эмма | Emilia | Emilie | Emily | 4
*Маргарита | Маргарита | Рита, Маргаритка | Рита, Марго | Małgorzata | Margarete | Margaret | 4
*Христина | Кристина | Христя, Христинка | Кристя | Krystyna | Christina | Christine | 4
*Уляна | Ульяна | Уля, Улянка | Уля | Julianna | Juliane | Juliana | 4
*Тетяна | Татьяна | Таня, Тетянка | Таня, Танюша | Tatiana | Tatjana | Tanya | 5
*Наталія | Наталья | Наталка, Ната | Наташа | Natalia | Natalie | Natalie | 5
*Людмила | Людмила | Люда, Люся | Люда, Мила | Ludmiła | Ludmilla | Ludmila | 3
*Лілія | Лилия | Ліля | Лиля | Lilia | Lilli | Lily | 3
*Марта | Марфа | Мартуся | Марфуша | Marta | Martha | Martha | 3
*Меланія | Мелания | Меланка | Мелаша | Melania | Melanie | Melanie | 3
*Ангеліна | Ангелина | Ангелінка, Ліна | Лина, Геля | Angelina | Angelina | Angelina | 3
*Каріна | Карина | Карінка | Карина, Кара | Karina | Karin | Karina | 2
*Мирослава | Мирослава | Мирося, Славка | Мира, Слава | Mirosława | Miroslawa | Myroslava | 3
*Ярослава | Ярослава | Ярося, Славка | Слава | Jarosława | Jaroslawa | Yaroslava | 2
*Стефанія | Стефания | Стефа, Стефка | Стеша | Stefania | Stefanie | Stephanie | 3
*Олександра | Александра | Леся, Саша | Саша, Шура | Aleksandra | Alexandra | Alexandra | 5
*Марина | Марина | Маринка | Марина, Мариша | Maryna | Marina | Marina | 4
*Лариса | Лариса | Лара | Лора, Лара | Larysa | Larissa | Larissa | 2
*Валентина | Валентина | Валя, Валюша | Валя | Walentyna | Valentina | Valentina | 3
*Тамара | Тамара | Тома, Тамарка | Тома | Tamara | Tamara | Tamara | 2
*Антоніна | Антонина | Тоня, Антося | Тоня | Antonina | Antonia | Antonia | 2
*Віра | Вера | Вірочка | Верочка | Wiera | Vera | Vera | 2
*Зоя | Зоя | Зойка | Зойка | Zoja | Zoe | Zoe | 1
*Варвара | Варвара | Варя, Варочка | Варя | Barbara | Barbara | Barbara | 2
*Олеся | Олеся | Леся | Леся | Olesia | Olesja | Olesya | 3
*Інна | Инна | Іннуся | Инночка | Inna | Inna | Inna | 3
*Лідія | Лидия | Ліда | Лида | Lidia | Lydia | Lydia | 2
"""
BOYS = """
Олександр | Александр | Сашко, Саша, Олесь | Саша, Шура | Aleksander | Alexander | Alexander | 9
Максим | Максим | Максимко, Макс | Макс | Maksymilian | Max | Max | 7
Дмитро | Дмитрий | Дмитрик, Діма | Дима, Митя | Dymitr | Dimitri | Dmitri | 6
Андрій | Андрей | Андрійко, Андрусь | Андрюша | Andrzej | Andreas | Andrew | 6
Микола | Николай | Миколка, Коля | Коля | Mikołaj | Nikolaus | Nicholas | 4
Іван | Иван | Івась, Ваня | Ваня | Jan | Johann | John | 5
Данило | Данил | Данилко, Даня | Даня | Daniel | Daniel | Daniel | 5
Володимир | Владимир | Володя, Вова | Вова, Володя | Włodzimierz | Wladimir | Vladimir | 4
Павло | Павел | Павлик, Павлусь | Паша | Paweł | Paul | Paul | 3
Євген | Евгений | Женя | Женя | Eugeniusz | Eugen | Eugene | 3
Олексій | Алексей | Льоша, Олекса | Лёша, Алёша | Aleksy | Alexej | Alexis | 3
Григорій | Григорий | Гриць, Гриша | Гриша | Grzegorz | Gregor | Gregory | 2
*Артем | Артём | Темко, Тьома | Тёма | Artem | Artem | Artem | 8
*Назар | Назар | Назарко | Назарка | Nazar | Nazar | Nazar | 6
*Матвій | Матвей | Матвійко | Мотя, Матюша | Mateusz | Matthias | Matthew | 6
*Роман | Роман | Ромко, Рома | Рома | Roman | Roman | Roman | 5
*Денис | Денис | Дениско | Дениска | Dionizy | Dennis | Dennis | 5
*Сергій | Сергей | Сергійко | Серёжа | Sergiusz | Sergej | Serge | 6
*Михайло | Михаил | Мишко, Михась | Миша | Michał | Michael | Michael | 5
*Юрій | Юрий | Юрко, Юра | Юра | Jerzy | Georg | George | 4
*Ігор | Игорь | Ігорко | Игорёк | Igor | Igor | Igor | 4
*Олег | Олег | Олежко | Олежка | Oleg | Oleg | Oleg | 4
*Вадим | Вадим | Вадик | Вадик | Wadim | Wadim | Vadim | 3
*Антон | Антон | Антось, Тоша | Антоша, Тоша | Antoni | Anton | Anthony | 3
*Давид | Давид | Давидко | Давидка | Dawid | David | David | 4
*Лев | Лев | Левко | Лёва | Leon | Leo | Leo | 3
*Платон | Платон | Платончик | Платоша | Platon | Platon | Plato | 2
*Петро | Пётр | Петрик, Петрусь | Петя | Piotr | Peter | Peter | 3
*Федір | Фёдор | Федько, Федя | Федя | Teodor | Theodor | Theodore | 2
*Георгій | Георгий | Жора | Жора, Гоша | Jerzy | Georg | George | 2
*Єгор | Егор | Єгорко | Егорка, Гоша | Jegor | Jegor | Yegor | 3
*Микита | Никита | Микитка | Никитка | Nikita | Nikita | Nikita | 4
*Станіслав | Станислав | Стась, Стасик | Стас | Stanisław | Stanislaus | Stanley | 3
*Арсен | Арсен | Арсенчик | Арсенчик | Arsen | Arsen | Arsen | 2
*Тимур | Тимур | Тимурчик | Тима | Timur | Timur | Timur | 2
*Костянтин | Константин | Костик, Костусь | Костя | Konstanty | Konstantin | Constantine | 3
*Анатолій | Анатолий | Толик | Толя | Anatol | Anatol | Anatole | 2
*Борис | Борис | Борисик | Боря | Borys | Boris | Boris | 2
*Віталій | Виталий | Віталик | Виталик | Witalij | Witali | Vitaly | 3
*Едуард | Эдуард | Едик | Эдик | Edward | Eduard | Edward | 2
*Мирон | Мирон | Миронко | Мироша | Miron | Myron | Myron | 2
*Яків | Яков | Яша, Яківко | Яша | Jakub | Jakob | Jacob | 1
*Семен | Семён | Семенко, Сенько | Сёма, Сеня | Szymon | Simon | Simon | 1
*Лука | Лука | Лукаш | Лука | Łukasz | Lukas | Lucas | 2
"""

# Patronymics: father -> masculine and feminine endings. Regular ones are formed by `patronymic`; these are not.
PATRONYMICS = {
    "Ілля": ("Ілліч", "Іллівна"), "Лука": ("Лукич", "Луківна"), "Лев": ("Львович", "Львівна"),
    "Микола": ("Миколайович", "Миколаївна"), "Яків": ("Якович", "Яківна"), "Григорій": ("Григорович", "Григорівна"),
    "Микита": ("Микитович", "Микитівна"), "Федір": ("Федорович", "Федорівна"), "Ігор": ("Ігорович", "Ігорівна"),
    "Дмитро": ("Дмитрович", "Дмитрівна"), "Петро": ("Петрович", "Петрівна"), "Павло": ("Павлович", "Павлівна"),
    "Данило": ("Данилович", "Данилівна"), "Михайло": ("Михайлович", "Михайлівна"),
}
PATRONYMICS_RU = {
    "Лука": ("Лукич", "Лукинична"), "Лев": ("Львович", "Львовна"), "Никита": ("Никитич", "Никитична"),
    "Павел": ("Павлович", "Павловна"), "Пётр": ("Петрович", "Петровна"), "Михаил": ("Михайлович", "Михайловна"),
    "Яков": ("Яковлевич", "Яковлевна"), "Игорь": ("Игоревич", "Игоревна"),
}

# Family names, commonest first; "uk:ru" where the Russian form is not what `russify` makes.
SURNAMES = """
Коваленко Ткаченко Поліщук Руденко Петренко Мельничук Павленко Пономаренко Панченко Романенко Сидоренко Захарченко
Костенко Федоренко Приходько Назаренко Степаненко Коломієць:Коломиец Нестеренко Кириченко Тимченко Макаренко Мартинюк:Мартынюк
Даниленко Мироненко Самойленко Власенко Денисенко Остапенко Герасименко Бабенко Кучер Колесник Прокопенко Терещенко
Міщенко Онищенко Антоненко Гуменюк Мартиненко:Мартыненко Бондарчук Іванчук Андрійчук Демчук Климчук Панасюк
Сидорчук Степанюк Лук’янчук:Лукьянчук Антонюк Павлюк Захарчук Федорчук Матвійчук Тимощук Пилипчук Кондратюк Якимчук
Яремчук Никитюк Козаченко Москаленко Мірошниченко Овчаренко Крамаренко Удовиченко Кривенко Губенко Рябченко Чорненко:Черненко
Біленко Довженко Шульженко Римаренко Чабаненко Німченко:Немченко Глущенко Грищенко Іщенко Ященко Лященко Тищенко
Рибалко:Рыбалко Гайдук Гайдай Кобзар:Кобзарь Скляр Столяр Кравець:Кравец Пасічник:Пасечник Кобець:Кобец Сокіл:Сокол Лелека Снігур:Снегур
Зозуля Голуб Соловей Лебідь:Лебедь Вишня Калина Дуб Явір:Явор Верба Буряк Гарбуз Кавун Бурлака Гребінь:Гребень Шульга Шостак
Мірошник:Мирошник Чабан Ковач Боднар Боднарчук Римар:Рымарь Крамар:Крамарь Лимар:Лимарь Безпалько Кривонос Довгаль Головань Вусик
Бородай Білоконь:Белоконь Рудник Гончаров Морозов Козлов Соколов Павлов Новиков Макаров Федоров:Фёдоров Михайлов Лебедєв:Лебедев Орлов
Андрєєв:Андреев Тарасов Бєлов:Белов Комаров Кисельов:Киселёв Гусєв:Гусев Фролов Сидоров Григор’єв:Григорьев Нікітін:Никитин Захаров
Ковальов:Ковалёв Філіппов:Филиппов Голубєв:Голубев Волошин Ковальський Козловський Яновський Висоцький:Высоцкий Савицький Лісовський
Малиновський Соколовський Петровський Островський Сосновський Білецький:Белецкий Чернявський Новицький Вербицький
Шумський Кам’янський:Камянский Заболотний:Заболотный Підгорний:Подгорный Садовий:Садовый Польовий:Полевой Білий:Белый Дмитрів:Дмитрив
Іванишин:Иванишин Федорів:Федорив Петришин Гриньків:Гринькив Стецьків:Стецкив Сеньків:Сенькив Паньків:Панькив Костів:Костив Яцишин Лозинський
Бойчук Гуцул Юркевич Мацкевич Станкевич Петрович Іваницький:Иваницкий Городецький Загорський Дубровський Кошовий:Кошевой
Недашківський:Недашковский Тихоненко Філіпенко Скрипник Скоропад Перепелиця:Перепелица Ярмак Таран Дяк Попович
Жданюк Щербина Щербань Цимбал:Цымбал Цимбалюк:Цымбалюк Шинкаренко Шинкарук Юзьків:Юзькив Євтушенко:Евтушенко Єременко:Еременко Їжак:Ижак Ґалаґан:Галаган
"""

# Family names given on adoption, or taken over from a carer, by host country.
ADOPTIVE = {
    "pl": "Kowalska Nowak Wiśniewska Wójcik Kamińska Zielińska Szymańska Woźniak Dąbrowska Jankowska Mazurek Krawczyk",
    "de": "Müller Schmidt Schneider Fischer Weber Wagner Becker Hoffmann Schäfer Koch Richter Klein Wolf Schröder",
    "ca": "Smith Brown Tremblay Martin Roy Wilson MacDonald Gagnon Johnson Taylor Campbell Anderson Leblanc Côté",
    "ru": "Смирнов Кузнецов Васильев Новосёлов Егоров Никифоров Казаков Ефимов Давыдов Громов Киселёв Назаров",
}

# Places: uk | region | ru | former or other name | weight. Marked * as above.
PLACES = """
Донецьк | Донецька | Донецк | | 6
Луганськ | Луганська | Луганск | | 5
Херсон | Херсонська | Херсон | | 5
Харків | Харківська | Харьков | | 4
Мелітополь | Запорізька | Мелитополь | | 4
Київ | Київська | Киев | Kiev | 3
*Маріуполь | Донецька | Мариуполь | Жданов | 8
*Бердянськ | Запорізька | Бердянск | | 5
*Генічеськ | Херсонська | Геническ | | 4
*Скадовськ | Херсонська | Скадовск | | 3
*Сватове | Луганська | Сватово | | 3
*Старобільськ | Луганська | Старобельск | | 3
*Лисичанськ | Луганська | Лисичанск | | 4
*Рубіжне | Луганська | Рубежное | | 3
*Волноваха | Донецька | Волноваха | | 3
*Бахмут | Донецька | Бахмут | Артемовск | 4
*Торецьк | Донецька | Торецк | Дзержинск | 2
*Покровськ | Донецька | Покровск | Красноармейск | 3
*Краматорськ | Донецька | Краматорск | | 3
*Слов’янськ | Донецька | Славянск | | 3
*Костянтинівка | Донецька | Константиновка | | 2
*Авдіївка | Донецька | Авдеевка | | 2
*Вовчанськ | Харківська | Волчанск | | 3
*Балаклія | Харківська | Балаклея | | 3
*Кремінна | Луганська | Кременная | | 2
*Алчевськ | Луганська | Алчевск | Коммунарск | 2
*Василівка | Запорізька | Васильевка | | 2
*Гола Пристань | Херсонська | Голая Пристань | | 2
*Сімферополь | Крим | Симферополь | | 2
*Керч | Крим | Керчь | | 1
*Одеса | Одеська | Одесса | | 2
*Миколаїв | Миколаївська | Николаев | | 3
*Полтава | Полтавська | Полтава | | 1
*Львів | Львівська | Львов | Lemberg | 1
*Кропивницький | Кіровоградська | Кропивницкий | Кировоград | 1
*Вінниця | Вінницька | Винница | | 1
*Рівне | Рівненська | Ровно | | 1
*Чернівці | Чернівецька | Черновцы | | 1
"""

HOSTS = {
    "pl": {"citizenship": "UKR", "conventions": {"uk_kmu": 5, "uk_p2007": 1, "uk_pl": 6, "uk_iso9": 2, "uk_cyr": 1, "ru_cyr": 2, "ru_pl": 2,
                                                "ru_icao": 2, "ru_en": 1, "uk_enpress": 1, "uk_cs": 1},
           "cities": "Warszawa, Kraków, Wrocław, Lublin, Rzeszów, Gdańsk, Poznań, Łódź, Katowice, Białystok, Przemyśl, Chełm",
           "carer": ["rodzina zastępcza {n}", "placówka opiekuńcza {n}", "rodzinny dom dziecka {n}", "opiekun tymczasowy {n}"],
           "document": "PL{d7}", "source": ["rejestr małoletnich", "sąd rodzinny", "ośrodek pomocy społecznej"]},
    "de": {"citizenship": "UKR", "conventions": {"uk_kmu": 5, "uk_p2007": 1, "uk_de": 6, "uk_din": 1, "uk_iso9": 1, "ru_de": 3, "ru_cyr": 2,
                                                "ru_icao": 3, "uk_cyr": 1, "ru_fr": 1, "uk_cs": 1, "uk_bgn": 1},
           "cities": "Berlin, Leipzig, Dresden, Hamburg, München, Köln, Freiburg, Bremen, Hannover, Erfurt, Kassel, Rostock",
           "carer": ["Pflegefamilie {n}", "Jugendamt, Fall {n}", "Wohngruppe {n}", "Vormundschaft {n}"],
           "document": "D{d8}", "source": ["Jugendamt", "Ausländerbehörde", "Familiengericht"]},
    "ca": {"citizenship": "UKR", "conventions": {"uk_kmu": 6, "uk_p2007": 1, "uk_enpress": 5, "uk_bgn": 2, "uk_fr": 3, "ru_bgn": 2, "ru_en": 3,
                                                "ru_icao": 2, "ru_fr": 1, "ru_cyr": 1, "uk_cyr": 1},
           "cities": "Toronto, Winnipeg, Edmonton, Montréal, Calgary, Saskatoon, Ottawa, Vancouver, Regina, Québec, Hamilton",
           "carer": ["foster family {n}", "group home {n}", "kinship placement {n}", "famille d'accueil {n}"],
           "document": "AB{d7}", "source": ["provincial child services", "border services", "settlement agency"]},
}
# The conventions of a register that took people in from everywhere, for --linkage.
MIXED = {"ru_cyr": 12, "uk_kmu": 6, "uk_p2007": 2, "uk_cyr": 5, "uk_pl": 3, "uk_de": 3, "uk_fr": 3, "uk_enpress": 3, "uk_bgn": 3, "ru_icao": 3,
         "ru_en": 2, "uk_iso9": 2, "uk_din": 1, "uk_cs": 1, "ru_bgn": 1, "ru_de": 1, "ru_fr": 1, "ru_pl": 1, "ru_cs": 1}

# How often each alteration is made, per record. Assumptions.
RATES = {
    "diminutive": .08, "given_western": .07, "patronymic_missing": .33, "patronymic_changed": .02, "patronymic_in_given": .02,
    "typo1_family": .05, "typo2_family": .02, "typo1_given": .04, "typo2_given": .01, "surname_changed": .05,
    "double_surname": .4, "feminine_ending_dropped": .06, "given_family_swapped": .03,
    "dob_digit_wrong": .06, "dob_day_month_swapped": .02, "dob_year_only": .045, "dob_year_month": .01, "dob_january_first": .02,
    "dob_missing": .015, "sex_missing": .02, "sex_wrong": .01, "place_missing": .15, "place_country_only": .06,
    "place_other": .05, "mother_missing": .25, "mother_family_missing": .06, "mother_given_missing": .035,
    "mother_family_changed": .03, "typo1_mother": .03, "document_other": .16, "document_digit_wrong": .01,
    "upper_case": .17, "whitespace": .02, "homoglyph": .02,
}


@dataclass(frozen=True)
class Given:
    """One given name with the forms that alterations need."""
    uk: str
    ru: str
    dim_uk: tuple
    dim_ru: tuple
    western: dict
    weight: int
    fresh: bool


@dataclass(frozen=True)
class Surname:
    """A family name in its masculine form, Ukrainian and Russian."""
    uk: str
    ru: str


@dataclass(frozen=True)
class Place:
    uk: str
    region: str
    ru: str
    other: str
    weight: int
    fresh: bool


def _given(block):
    for line in block.strip().splitlines():
        cells = [c.strip() for c in line.lstrip("*").split("|")]
        split = lambda c: tuple(x.strip() for x in c.split(","))
        yield Given(cells[0], cells[1], split(cells[2]), split(cells[3]),
                    {"pl": cells[4], "de": cells[5], "ca": cells[6]}, int(cells[7]), line.startswith("*"))


def _places(block):
    for line in block.strip().splitlines():
        cells = [c.strip() for c in line.lstrip("*").split("|")]
        yield Place(cells[0], cells[1], cells[2], cells[3], int(cells[4]), line.startswith("*"))


def russify(text):
    """The usual Russian spelling of a Ukrainian word, letter by letter."""
    for uk, ru in (("ський", "ский"), ("цький", "цкий"), ("і", "и"), ("ї", "и"), ("є", "е"), ("ґ", "г"), ("’", "ъ"),
                   ("І", "И"), ("Ї", "И"), ("Є", "Е"), ("Ґ", "Г")):
        text = text.replace(uk, ru)
    return text


GIVEN = {"F": list(_given(GIRLS)), "M": list(_given(BOYS))}
FAMILY = [Surname(uk, ru or russify(uk)) for uk, _, ru in (w.partition(":") for w in SURNAMES.split())]
PLACE = list(_places(PLACES))


def feminine(surname, language):
    """The feminine form of a family name; names that are not adjectives stay."""
    pairs = {"uk": (("ський", "ська"), ("цький", "цька"), ("ий", "а"), ("ій", "я"), ("ов", "ова"), ("єв", "єва"), ("ев", "ева"),
                    ("ьов", "ьова"), ("ін", "іна"), ("шин", "шина")),
             "ru": (("ский", "ская"), ("цкий", "цкая"), ("ый", "ая"), ("ой", "ая"), ("ий", "ая"), ("ов", "ова"), ("ёв", "ёва"),
                    ("ев", "ева"), ("ин", "ина"))}[language]
    if surname.endswith(("ишин", "ович", "евич")):
        return surname
    for masculine, fem in pairs:
        if surname.endswith(masculine) and len(surname) > len(masculine) + 1:
            return surname[: -len(masculine)] + fem
    return surname


def patronymic(father, sex, language):
    """The patronymic of a child whose father bears this given name."""
    irregular = PATRONYMICS if language == "uk" else PATRONYMICS_RU
    if father in irregular:
        return irregular[father][sex == "F"]
    if language == "uk":
        if father.endswith("ій"):
            return father[:-1] + ("йович" if sex == "M" else "ївна")
        return father.rstrip("ь") + ("ович" if sex == "M" else "івна")
    if father.endswith("ий") and father not in ("Дмитрий", "Георгий"):
        return father[:-2] + ("ьевич" if sex == "M" else "ьевна")
    if father.endswith(("й", "ь")):
        return father[:-1] + ("евич" if sex == "M" else "евна")
    return father + ("ович" if sex == "M" else "овна")


# ---------------------------------------------------------------------------------------------------------------
# Children and families
# ---------------------------------------------------------------------------------------------------------------

COLUMNS = ("record_ref family_name given_name patronymic other_names sex date_of_birth place_of_birth citizenship "
           "mother_family_name mother_given_name father_family_name father_given_name document_type document_number "
           "last_known_place current_place current_carer status protection consent family_ref source note").split()
LINKAGE_COLUMNS = ("record_ref family_name given_name patronymic date_of_birth sex place_of_birth mother_family_name "
                   "mother_given_name document_number").split()
FAMILY_COLUMNS = LINKAGE_COLUMNS + ["family_ref"]


@dataclass(frozen=True)
class Family:
    """What the children of one mother share. `other` is set where the mother bears another name than the child."""
    surname: tuple
    other: object
    mother: Given
    father: Given
    place: Place
    with_region: bool


@dataclass(frozen=True)
class Child:
    """One invented child, before any register has written it down."""
    family: Family
    given: Given
    sex: str
    born: date
    document: str = ""
    ref: str = ""
    family_ref: str = ""


@dataclass
class World:
    """Draws everything from one seeded source, so that the same seed gives the same files."""
    rng: random.Random
    fresh: bool = False
    taken: set = field(default_factory=set)

    def __post_init__(self):
        keep = lambda items: [x for x in items if x.fresh or not self.fresh]
        self.given = {sex: keep(names) for sex, names in GIVEN.items()}
        self.places = keep(PLACE)
        self.surname_weights = [1 / (rank + 18) for rank in range(len(FAMILY))]

    def chance(self, rate):
        return self.rng.random() < rate

    def pick(self, items):
        return self.rng.choices(items, [x.weight for x in items])[0]

    def weighted(self, table):
        return self.rng.choices(list(table), list(table.values()))[0]

    def surname(self):
        return self.rng.choices(FAMILY, self.surname_weights)[0]

    def family_name(self):
        """One family name, or two joined by a hyphen."""
        first = self.surname()
        if self.chance(.035):
            second = self.surname()
            if second != first:
                return (first, second)
        return (first,)

    def birthday(self):
        return FIRST_DAY + timedelta(days=self.rng.randrange((LAST_DAY - FIRST_DAY).days))

    def document(self):
        """A birth certificate's number: series and six digits (series letters drawn at random)."""
        letters = "".join(self.rng.choice("АБВГДЕЖИКЛМНОПРСТУФЮЯ") for _ in range(2))
        return f"І-{letters} №{self.rng.randrange(10 ** 6):06d}" if self.chance(.6) else ""

    def family(self):
        return Family(self.family_name(), self.surname() if self.chance(.14) else None, self.pick(self.given["F"]),
                      self.pick(self.given["M"]), self.pick(self.places), self.chance(.2))

    def child(self, family, born=None, sex=None, avoid=()):
        """A child of the family whose given name is none of `avoid`."""
        sex = sex or self.rng.choice("FM")
        names = [n for n in self.given[sex] if n not in avoid]
        return Child(family, self.pick(names), sex, born or self.birthday(), self.document())

    def siblings(self, family, count):
        """`count` children of one family, born at least ten months apart or, now and then, on one day."""
        gaps = [0 if self.chance(.06) else self.rng.randint(310, 1500) for _ in range(count - 1)]
        born = FIRST_DAY + timedelta(days=self.rng.randrange((LAST_DAY - FIRST_DAY).days - sum(gaps)))
        children = []
        for gap in [0] + gaps:
            born += timedelta(days=gap)
            children.append(self.child(family, born, avoid=[c.given for c in children]))
        return children


def surname_text(surname, sex, language):
    """A family name as a document of that language writes it for a person of that sex."""
    form = (lambda s: s.uk) if language == "uk" else (lambda s: s.ru)
    parts = [feminine(form(s), language) if sex == "F" else form(s) for s in surname]
    return "-".join(parts)


def place_text(place, region, language):
    """A birthplace as a document of that language writes it."""
    if language == "uk":
        regions = {"Крим": "АР Крим"}
        return f"{place.uk}, {regions.get(place.region, place.region + ' обл.')}" if region else place.uk
    ru_region = {"Крим": "Крым", "Київська": "Киевская область", "Донецька": "Донецкая область", "Харківська": "Харьковская область",
                 "Запорізька": "Запорожская область", "Миколаївська": "Николаевская область", "Львівська": "Львовская область",
                 "Кіровоградська": "Кировоградская область", "Вінницька": "Винницкая область", "Рівненська": "Ровненская область",
                 "Чернівецька": "Черновицкая область"}.get(place.region, russify(place.region).replace("нська", "нская")
                                                          .replace("ська", "ская") + " область")
    return f"{place.ru}, {ru_region}" if region else place.ru


# ---------------------------------------------------------------------------------------------------------------
# Alterations: how a foreign register, or a hostile administration, wrote the child down
# ---------------------------------------------------------------------------------------------------------------

_LOOKALIKE = {"а": "a", "е": "e", "о": "o", "р": "p", "с": "c", "х": "x", "і": "i", "у": "y",
              "А": "A", "В": "B", "Е": "E", "І": "I", "К": "K", "М": "M", "Н": "H", "О": "O", "Р": "P", "С": "C", "Т": "T", "Х": "X"}
_LOOKALIKE_BACK = {latin: cyrillic for cyrillic, latin in _LOOKALIKE.items()}


def typo(rng, text, times=1):
    """One slip of the keyboard: a letter lost, doubled, swapped with its neighbour, or replaced."""
    for _ in range(times):
        if len(text) < 3:
            return text
        at = rng.randrange(1, len(text) - 1)
        slip = rng.choice(("drop", "double", "swap", "replace"))
        if slip == "drop":
            text = text[:at] + text[at + 1:]
        elif slip == "double":
            text = text[:at] + text[at] + text[at:]
        elif slip == "swap":
            text = text[:at] + text[at + 1] + text[at] + text[at + 2:]
        else:
            letters = "абвгдежзиклмнопрстух" if "а" <= text[at].lower() <= "ї" else "abdefghiklmnoprstuvz"
            text = text[:at] + rng.choice(letters) + text[at + 1:]
    return text


def mix_scripts(rng, text):
    """Some letters replaced by their look-alikes of the other script."""
    table = _LOOKALIKE if any(c in _LOOKALIKE for c in text) else _LOOKALIKE_BACK
    return "".join(table.get(c, c) if rng.random() < .6 else c for c in text)


def wrong_digit(rng, born):
    """A valid date that differs from `born` in exactly one digit; the century stays."""
    text = born.isoformat()
    while True:
        at = rng.choice((2, 3, 5, 6, 8, 9))
        changed = text[:at] + rng.choice([d for d in "0123456789" if d != text[at]]) + text[at + 1:]
        try:
            if date(2000, 1, 1) <= date.fromisoformat(changed) <= date(2025, 12, 31):
                return date.fromisoformat(changed)
        except ValueError:
            continue


class Scribe:
    """Writes children down the way one foreign register does, and says in tags what it altered."""

    def __init__(self, world, conventions, host=None):
        self.world, self.rng, self.conventions, self.host = world, world.rng, conventions, host

    def write(self, child, convention=None):
        """Returns (fields, tags); the convention is drawn unless given. Records that stand for nobody in the other
        register are written by the same rules, so that an alteration gives no hint of being a match."""
        world, rng = self.world, self.rng
        hit = lambda name: world.chance(RATES[name]) and (tags.append(name) or True)
        convention = convention or world.weighted(self.conventions)
        language = convention[:2]
        tags = [convention] + (["russified"] if language == "ru" else [])
        latin = lambda text: transliterate(text, convention)
        family, sex = child.family, child.sex

        surname, surname_sex = family.surname, sex
        if len(surname) == 2 and world.chance(RATES["double_surname"]):
            which = rng.choice(("double_surname_first", "double_surname_second", "double_surname_space"))
            tags.append(which)
            surname = {"double_surname_first": surname[:1], "double_surname_second": surname[1:]}.get(which, surname)
        if sex == "F" and surname_text(surname, "F", language) != surname_text(surname, "M", language) \
                and not convention.endswith("cyr") and hit("feminine_ending_dropped"):
            surname_sex = "M"
        family_text = latin(surname_text(surname, surname_sex, language))
        if "double_surname_space" in tags:
            family_text = family_text.replace("-", " ")
        if hit("surname_changed"):
            family_text = self._adoptive_name(sex, language, convention)

        given = child.given
        given_text = latin(given.uk if language == "uk" else given.ru)
        roll = rng.random()
        if roll < RATES["diminutive"]:
            short = rng.choice(given.dim_uk if language == "uk" else given.dim_ru)
            if short not in (given.uk, given.ru):
                tags.append("diminutive")
                given_text = latin(short)
        elif roll < RATES["diminutive"] + RATES["given_western"] and not convention.endswith("cyr"):
            western = given.western[self.host or rng.choice(("pl", "de", "ca"))]
            if western != given_text:
                tags.append("given_western")
                given_text = western

        father = family.father.uk if language == "uk" else family.father.ru
        patronymic_text = ""
        if hit("patronymic_changed"):
            other = world.pick(world.given["M"])
            father_name = other.uk if language == "uk" else other.ru
            patronymic_text = latin(patronymic(father_name, sex, language))
        elif not hit("patronymic_missing"):
            patronymic_text = latin(patronymic(father, sex, language))

        for name, times in (("typo1_family", 1), ("typo2_family", 2)):
            if hit(name):
                family_text = typo(rng, family_text, times)
        for name, times in (("typo1_given", 1), ("typo2_given", 2)):
            if hit(name):
                given_text = typo(rng, given_text, times)
        if hit("homoglyph"):
            family_text, given_text = mix_scripts(rng, family_text), mix_scripts(rng, given_text)

        born, shown_sex = self._birth(child, tags, hit), sex
        if hit("sex_missing"):
            shown_sex = ""
        elif hit("sex_wrong"):
            shown_sex = "M" if sex == "F" else "F"

        mother_surname = (family.other,) if family.other else family.surname
        mother_family = latin(surname_text(mother_surname, "F", language))
        mother_given = latin(family.mother.uk if language == "uk" else family.mother.ru)
        if hit("mother_missing"):
            mother_family = mother_given = ""
        elif hit("mother_family_missing"):
            mother_family = ""
        elif hit("mother_given_missing"):
            mother_given = ""
        elif hit("mother_family_changed"):
            mother_family = latin(surname_text((world.surname(),), "F", language))
        elif hit("typo1_mother"):
            mother_given = typo(rng, mother_given)

        father_given = latin(father) if world.chance(.2) and not {"patronymic_changed"} & set(tags) else ""

        document = child.document
        if document:
            latin_series = transliterate(document.replace(" №", " "), "uk_kmu").upper()
            document = document if convention.endswith("cyr") else latin_series
            if hit("document_digit_wrong"):
                at = len(document) - 1 - rng.randrange(6)
                document = document[:at] + rng.choice([d for d in "0123456789" if d != document[at]]) + document[at + 1:]
        if world.chance(RATES["document_other"]):
            tags.append("document_other")
            document = self._own_document()

        if patronymic_text and hit("patronymic_in_given"):
            given_text, patronymic_text = f"{given_text} {patronymic_text}", ""
        if hit("given_family_swapped"):
            given_text, family_text = family_text, given_text
        fields = {"family_name": family_text, "given_name": given_text, "patronymic": patronymic_text, "sex": shown_sex,
                  "date_of_birth": born, "place_of_birth": self._place(child, language, convention, tags, hit),
                  "mother_family_name": mother_family, "mother_given_name": mother_given, "father_given_name": father_given,
                  "document_number": document}
        if hit("upper_case"):
            for name in ("family_name", "given_name", "patronymic", "place_of_birth", "mother_family_name", "mother_given_name"):
                fields[name] = fields[name].upper()
        if hit("whitespace"):
            name = rng.choice(("family_name", "given_name"))
            fields[name] = rng.choice((" {}", "{} ", "{}\u00a0")).format(fields[name])
        return fields, tags

    def _adoptive_name(self, sex, language, convention):
        if language == "ru" or self.host is None and self.world.chance(.5):
            name = self.rng.choice(ADOPTIVE["ru"].split())
            return transliterate(feminine(name, "ru") if sex == "F" else name, convention if language == "ru" else "ru_icao")
        name = self.rng.choice(ADOPTIVE[self.host or self.rng.choice(("pl", "de", "ca"))].split())
        if sex == "M" and name.endswith("ska"):
            name = name[:-1] + "i"
        return name

    def _birth(self, child, tags, hit):
        born = child.born
        if hit("dob_missing"):
            return ""
        if hit("dob_year_only"):
            return str(born.year)
        if hit("dob_year_month"):
            return f"{born.year}-{born.month:02d}"
        if hit("dob_january_first"):
            return f"{born.year}-01-01"
        if born.day <= 12 and born.day != born.month and self.world.chance(3 * RATES["dob_day_month_swapped"]):
            tags.append("dob_day_month_swapped")
            return date(born.year, born.day, born.month).isoformat()
        if hit("dob_digit_wrong"):
            return wrong_digit(self.rng, born).isoformat()
        return born.isoformat()

    def _place(self, child, language, convention, tags, hit):
        place = child.family.place
        if hit("place_missing"):
            return ""
        if hit("place_country_only"):
            return transliterate("Україна" if language == "uk" else "Украина", convention)
        if hit("place_other"):
            place = self.rng.choice([p for p in self.world.places if p != place])
        elif place.other and self.world.chance(.3):
            tags.append("place_former_name")
            return place.other if place.other.isascii() else transliterate(place.other, convention if language == "ru" else "ru_icao")
        return transliterate(place_text(place, convention.endswith("cyr") and child.family.with_region, language), convention)

    def _own_document(self):
        pattern = HOSTS[self.host or self.rng.choice(list(HOSTS))]["document"]
        return pattern.format(d7=f"{self.rng.randrange(10 ** 7):07d}", d8=f"{self.rng.randrange(10 ** 8):08d}")


def plain(child):
    """A child as the Ukrainian register writes it, without alteration."""
    family = child.family
    mother = (family.other,) if family.other else family.surname
    return {"record_ref": child.ref, "family_name": surname_text(family.surname, child.sex, "uk"), "given_name": child.given.uk,
            "patronymic": patronymic(family.father.uk, child.sex, "uk"), "sex": child.sex, "date_of_birth": child.born.isoformat(),
            "place_of_birth": place_text(family.place, family.with_region, "uk"), "family_ref": child.family_ref,
            "mother_family_name": surname_text(mother, "F", "uk"), "mother_given_name": family.mother.uk,
            "father_family_name": surname_text(family.surname, "M", "uk"), "father_given_name": family.father.uk,
            "document_number": child.document}


def negative(world, children, kind):
    """A child who is nobody of `children` but resembles `related` in the way that `kind` names; (child, related)."""
    rng = world.rng
    related = rng.choice(children)
    if kind in ("neg_sibling", "neg_twin"):
        # The other children that this family has in the register must not come out again.
        own = [c for c in children if c.family is related.family]
        taken = [c.given for c in own]
        if kind == "neg_twin":
            return world.child(related.family, related.born, avoid=taken), related
        while True:
            born = related.born + timedelta(days=rng.choice((-1, 1)) * rng.randint(310, 2200))
            if date(2005, 1, 1) < born < date(2025, 6, 30) and all(abs((born - c.born).days) > 280 for c in own):
                return world.child(related.family, born, avoid=taken), related
    stranger = world.family()
    if kind == "neg_same_name":
        family = replace(stranger, surname=related.family.surname)
        return Child(family, related.given, related.sex, _other_day(world, related), world.document()), related
    if kind == "neg_same_date":
        return world.child(stranger, related.born, related.sex, [related.given]), related
    if kind == "neg_same_name_same_date":
        family = replace(stranger, surname=related.family.surname)
        while family.father is related.family.father or family.mother is related.family.mother:
            family = replace(world.family(), surname=related.family.surname)
        return Child(family, related.given, related.sex, related.born, world.document()), related
    return world.child(stranger), None


def _other_day(world, child):
    while True:
        born = world.birthday()
        if abs((born - child.born).days) > 60:
            return born


# ---------------------------------------------------------------------------------------------------------------
# The demo's registers
# ---------------------------------------------------------------------------------------------------------------

UA_RECORDS = 2600
FOREIGN = {"pl": 2200, "de": 2150, "ca": 2050}
MATCHES = {"pl": .30, "de": .28, "ca": .26}
# Sibling groups a register whose names, parents and birthplace were all replaced, while the birth dates stayed.
REPLACED_GROUPS = 6
NEGATIVES = {"neg_random": 30, "neg_sibling": 15, "neg_same_name": 13, "neg_same_date": 8, "neg_twin": 3,
             "neg_same_name_same_date": 1}
NOTES = {"ua": ["Заява від родича є у справі.", "Потрібна перевірка місця народження.", "Фото у справі, стан на 2021 рік.",
                "Дитину бачили в дитячому таборі.", "Розшукує бабуся."],
         "pl": ["Dziecko pamięta imię brata.", "Tłumacz potrzebny.", "Data urodzenia podana ustnie.", "Brak oryginału aktu urodzenia."],
         "de": ["Dolmetscher nötig.", "Geburtsdatum mündlich angegeben.", "Kind spricht Ukrainisch und Russisch.", "Akte unvollständig."],
         "ca": ["Interpreter needed.", "Date of birth given orally.", "Child asked about a sister.", "Dossier incomplet, original non vu."]}


def write_registers(folder, seed):
    """The four registers of the demo, truth.csv and kinds.csv. Returns counts."""
    world = World(random.Random(f"registers {seed}"))
    rng, children, families = world.rng, [], 0
    while len(children) < UA_RECORDS:
        families += 1
        size = min(rng.choices((1, 2, 3, 4), (62, 25, 9, 4))[0], UA_RECORDS - len(children))
        ref = f"UA-F{families:05d}" if size > 1 else ""
        for child in world.siblings(world.family(), size):
            children.append(replace(child, ref=f"UA-{len(children) + 1:06d}", family_ref=ref))
    rows = {"ua": [_ua_row(world, child) for child in children]}

    truth, kinds = [], []
    # Children of one family mostly travelled together, so whole families go to one host country.
    homes = {}
    for child in children:
        homes.setdefault(child.family_ref or child.ref, []).append(child)
    homes = rng.sample(list(homes.values()), len(homes))
    for host, count in FOREIGN.items():
        scribe = Scribe(world, HOSTS[host]["conventions"], host)
        wanted = round(count * MATCHES[host])
        entries, replaced = [], 0
        while len(entries) < wanted:
            home = homes.pop()
            if len(home) > 1 and replaced < REPLACED_GROUPS:
                replaced += 1
                entries += [("replaced", disguise, child) for disguise, child in zip(_disguise(world, home), home)]
            else:
                entries += [("match", child, child) for child in home]
        while len(entries) < count:
            kind = world.weighted(NEGATIVES)
            child, related = negative(world, children, kind)
            entries.append((kind, child, related))
        rng.shuffle(entries)
        rows[host], groups = [], {}
        for number, (kind, child, related) in enumerate(entries, 1):
            ref = f"{host.upper()}-{number:06d}"
            fields, tags = scribe.write(child)
            if kind == "replaced":
                kind, tags = "match", tags + ["identity_replaced"]
                fields["date_of_birth"], fields["sex"], fields["document_number"] = child.born.isoformat(), child.sex, ""
            row = _foreign_row(world, host, ref, fields, child)
            if child.family_ref:
                row["family_ref"] = groups.setdefault(child.family_ref, f"{host.upper()}-F{len(groups) + 1:04d}")
            rows[host].append(row)
            kinds.append({"b_ref": ref, "member": host, "kind": kind, "related_a_ref": related.ref if related else ""})
            if kind == "match":
                truth.append({"a_ref": related.ref, "b_ref": ref, "member": host, "tags": ";".join(tags)})
        lonely = {r for r in groups.values() if sum(row["family_ref"] == r for row in rows[host]) == 1}
        for row in rows[host]:
            if row["family_ref"] in lonely:
                row["family_ref"] = ""
    for member, register in rows.items():
        write_csv(folder / f"{member}.csv", COLUMNS, register)
    write_csv(folder / "truth.csv", ("a_ref", "b_ref", "member", "tags"), truth)
    write_csv(folder / "kinds.csv", ("b_ref", "member", "kind", "related_a_ref"), kinds)
    return {member: len(register) for member, register in rows.items()} | {"truth": len(truth)}


def _disguise(world, home):
    """The children of one family under new names, parents and birthplace, with their own birth dates and sexes."""
    true, family, names = home[0].family, world.family(), []
    while (family.surname == true.surname or family.father is true.father or family.mother is true.mother
           or family.place is true.place):
        family = world.family()
    for child in home:
        names.append(world.pick([n for n in world.given[child.sex] if n is not child.given and n not in names]))
    return [Child(family, name, child.sex, child.born, family_ref=child.family_ref) for child, name in zip(home, names)]


def _guard(world, row):
    """Consent and protection: tracing mostly, a few records that answer differently or not at all."""
    row["consent"] = "none" if world.chance(.03) else "tracing"
    row["protection"] = world.weighted({"": 975, "alert": 12, "silent": 6, "human_only": 7})


def _ua_row(world, child):
    row = dict.fromkeys(COLUMNS, "") | plain(child)
    family = child.family
    if not world.chance(.35):
        row["father_family_name"] = ""
    row["citizenship"] = "UKR"
    row["document_type"] = "birth_certificate" if child.document else ""
    if world.chance(.12):
        row["place_of_birth"] = ""
    if world.chance(.25):
        row["last_known_place"] = family.place.uk if world.chance(.6) else world.pick(world.places).uk
    if world.chance(.06):
        row["other_names"] = world.rng.choice(child.given.dim_uk)
    row["status"] = world.weighted({"missing": 55, "deported": 30, "displaced": 15})
    row["source"] = world.weighted({"реєстр дітей": 6, "заява родини": 3, "поліція": 2})
    if world.chance(.05):
        row["note"] = world.rng.choice(NOTES["ua"])
    _guard(world, row)
    return row


def _foreign_row(world, host, ref, fields, child):
    rng, facts = world.rng, HOSTS[host]
    row = dict.fromkeys(COLUMNS, "") | fields | {"record_ref": ref}
    row["citizenship"] = "UKR" if world.chance(.7) else rng.choice(("", "RUS"))
    if row["document_number"]:
        row["document_type"] = "residence_permit" if row["document_number"][:1] in "PDA" else "birth_certificate"
    row["current_place"] = rng.choice(facts["cities"].split(", "))
    if world.chance(.8):
        row["current_carer"] = rng.choice(facts["carer"]).format(n=rng.randint(1, 999))
    row["status"] = world.weighted({"in_care": 70, "located": 20, "adopted": 5, "returned": 5})
    row["source"] = rng.choice(facts["source"])
    if world.chance(.08):
        row["note"] = rng.choice(NOTES[host])
    _guard(world, row)
    return row


# ---------------------------------------------------------------------------------------------------------------
# The development sets
# ---------------------------------------------------------------------------------------------------------------

def write_linkage(folder, seed, records):
    """A register of `records` and a foreign one of as many, of which 30 % are the same children, altered."""
    world = World(random.Random(f"linkage {seed}"), fresh=True)
    rng, children = world.rng, []
    while len(children) < records:
        size = rng.choices((1, 2, 3), (80, 16, 4))[0]
        for child in world.siblings(world.family(), size)[: records - len(children)]:
            children.append(replace(child, ref=f"A{len(children) + 1:06d}"))
    rows_a = []
    for child in children:
        row = plain(child)
        for name, rate in (("patronymic", .03), ("place_of_birth", .05), ("mother_given_name", .08)):
            if world.chance(rate):
                row[name] = ""
                if name == "mother_given_name":
                    row["mother_family_name"] = ""
        # The three apostrophes that Ukrainian keyboards and systems produce.
        mark = world.weighted({"’": 7, "ʼ": 1.5, "'": 1.5})
        rows_a.append({k: v.replace("’", mark) for k, v in row.items()})

    scribe = Scribe(world, MIXED)
    entries = [("match", child, child) for child in rng.sample(children, round(records * .3))]
    kinds = {"neg_random": 29, "neg_sibling": 15.4, "neg_same_name": 14, "neg_same_date": 8.4, "neg_twin": 2.1,
             "neg_same_name_same_date": 1}
    while len(entries) < records:
        kind = world.weighted(kinds)
        child, related = negative(world, children, kind)
        entries.append((kind, child, related))
    rng.shuffle(entries)
    rows_b, truth, meta = [], [], []
    for number, (kind, child, related) in enumerate(entries, 1):
        ref = f"B{number:06d}"
        fields, tags = scribe.write(child)
        rows_b.append(fields | {"record_ref": ref})
        meta.append({"b_ref": ref, "kind": kind, "related_a_ref": related.ref if related else "", "profile": tags[0],
                     "tags": ";".join(tags[1:])})
        if kind == "match":
            truth.append({"a_ref": child.ref, "b_ref": ref, "tags": ";".join(tags)})
    write_csv(folder / "a.csv", LINKAGE_COLUMNS, rows_a)
    write_csv(folder / "b.csv", LINKAGE_COLUMNS, rows_b)
    write_csv(folder / "truth.csv", ("a_ref", "b_ref", "tags"), truth)
    write_csv(folder / "b_meta.csv", ("b_ref", "kind", "related_a_ref", "profile", "tags"), meta)
    return {"a": len(rows_a), "b": len(rows_b), "truth": len(truth)}


def write_families(folder, seed, families, groups, strangers):
    """Register A: `families` families of one to four. Register B: `groups` sibling groups of A under names, parents and
    birthplaces that are all replaced, the dates kept but for at most one digit of one child, and `strangers` groups that
    A does not hold. Groups of B carry a family_ref, as siblings do who were listed together."""
    world = World(random.Random(f"families {seed}"))
    rng, register, rows_a = world.rng, {}, []
    for number in range(1, families + 1):
        ref = f"AF{number:06d}"
        size = rng.choices((1, 2, 3, 4), (45, 35, 14, 6))[0]
        register[ref] = [replace(child, ref=f"A{len(rows_a) + index:06d}", family_ref=ref)
                         for index, child in enumerate(world.siblings(world.family(), size), 1)]
        rows_a += [plain(child) for child in register[ref]]
    eligible = {size: [ref for ref, kids in register.items() if len(kids) == size] for size in (2, 3, 4)}
    chosen = [(ref, "match") for size, share in ((2, .4), (3, .36), (4, .24))
              for ref in rng.sample(eligible[size], round(groups * share))]
    entries = chosen + [(None, "neg_group")] * strangers
    rng.shuffle(entries)

    scribe = Scribe(world, MIXED)
    rows_b, truth, meta, pairs = [], [], [], []
    for number, (a_family, kind) in enumerate(entries, 1):
        b_family = f"BF{number:05d}"
        if kind == "match":
            kids = register[a_family]
            disguised = _disguise(world, kids)
            off = rng.randrange(len(kids)) if world.chance(.35) else None
        else:
            size = rng.choices((2, 3, 4), (40, 36, 24))[0]
            kids, disguised, off = [None] * size, world.siblings(world.family(), size), None
        convention = world.weighted(scribe.conventions)
        for index, (kid, child) in enumerate(zip(kids, disguised)):
            ref = f"B{len(rows_b) + 1:06d}"
            fields, _ = scribe.write(child, convention)
            # Only the alterations named above touch the date and the sex of a group.
            fields["date_of_birth"] = (wrong_digit(rng, child.born) if index == off else child.born).isoformat()
            fields["sex"] = child.sex
            rows_b.append(fields | {"record_ref": ref, "family_ref": b_family})
            meta.append({"b_ref": ref, "kind": kind, "b_family_ref": b_family})
            if kid is not None:
                tag = "dob_digit_wrong" if index == off else "dob_kept"
                truth.append({"a_ref": kid.ref, "b_ref": ref,
                              "tags": f"group_of_{len(kids)};{tag};{'group_one_digit_off' if off is not None else 'group_dates_kept'}"})
        if kind == "match":
            pairs.append({"a_family_ref": a_family, "b_family_ref": b_family, "size": len(kids),
                          "dates": "kept" if off is None else "one_digit_off"})
    write_csv(folder / "a.csv", FAMILY_COLUMNS, rows_a)
    write_csv(folder / "b.csv", FAMILY_COLUMNS, rows_b)
    write_csv(folder / "truth.csv", ("a_ref", "b_ref", "tags"), truth)
    write_csv(folder / "groups.csv", ("a_family_ref", "b_family_ref", "size", "dates"), pairs)
    write_csv(folder / "b_meta.csv", ("b_ref", "kind", "b_family_ref"), meta)
    return {"families": families, "a": len(rows_a), "b": len(rows_b), "groups": len(pairs), "negative groups": strangers}


def write_csv(path, columns, rows):
    """RFC 4180 with LF line ends, UTF-8, header first; columns a row lacks are empty."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "w", encoding="utf-8", newline="") as out:
        writer = csv.DictWriter(out, columns, restval="", extrasaction="ignore", lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--seed", type=int, default=SEED, help="another seed gives other people (default %(default)s)")
    parser.add_argument("--registers", type=Path, metavar="DIR", help="where the demo's registers go (default: beside this script)")
    parser.add_argument("--linkage", type=Path, metavar="DIR", help="write the linkage development set here instead")
    parser.add_argument("--families", type=Path, metavar="DIR", help="write the sibling development set here instead")
    parser.add_argument("--records", type=int, default=5000, help="records a side of the linkage set (default %(default)s)")
    arguments = parser.parse_args()
    if arguments.linkage:
        counts = write_linkage(arguments.linkage, arguments.seed, arguments.records)
    elif arguments.families:
        counts = write_families(arguments.families, arguments.seed, 20000, 500, 2000)
    else:
        counts = write_registers(arguments.registers or Path(__file__).parent / "registers", arguments.seed)
    print(", ".join(f"{name} {count}" for name, count in counts.items()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
