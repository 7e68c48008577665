//! The names of months in the languages of member states, and the small words around them.
//!
//! A further language is a further row. Forms are those met in dates: nominative, the case that
//! follows a day's number, and customary abbreviations. Capitals, accents and carons do not matter
//! to the reader, so `rijna` is found as `října`. The forms follow the month names of the Unicode
//! CLDR (format and stand-alone, wide and abbreviated).

use std::collections::HashMap;
use std::sync::LazyLock;

use unicode_normalization::UnicodeNormalization;

/// Which months a word can name, or `None` if it names none.
///
/// More than one answer is possible: Polish and Czech *listopad* is November, Croatian *listopad*
/// is October.
pub(super) fn months_of(folded: &str) -> Option<Months> {
    INDEX.get(folded).copied()
}

/// Whether a word may stand in a date without changing it: "year", "of", ordinal endings.
pub(super) fn is_filler(folded: &str) -> bool {
    FILLERS.contains(&folded)
}

/// Lower case without accents, as words are looked up here.
pub(super) fn fold(word: &str) -> String {
    word.nfkd()
        .filter(|c| !('\u{300}'..='\u{36f}').contains(c))
        .flat_map(char::to_lowercase)
        // The second pass is for letters like İ whose lower case brings a mark of its own.
        .filter(|c| !('\u{300}'..='\u{36f}').contains(c))
        // Capitals do not tell these apart: Turkish I, Greek final sigma.
        .map(|c| match c {
            'ı' => 'i',
            'ς' => 'σ',
            other => other,
        })
        .collect()
}

/// A set of months.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Months(u16);

impl Months {
    /// The month, 1 to 12, if there is exactly one.
    pub(super) fn only(self) -> Option<u8> {
        (self.0.count_ones() == 1).then(|| self.0.trailing_zeros() as u8 + 1)
    }
}

static INDEX: LazyLock<HashMap<String, Months>> = LazyLock::new(|| {
    let mut index = HashMap::new();
    for (_, months) in NAMES {
        for (month, forms) in months.iter().enumerate() {
            for form in forms.split(' ') {
                index.entry(fold(form)).or_insert(Months(0)).0 |= 1 << month;
            }
        }
    }
    index
});

/// By language (ISO 639-1), January to December, the forms separated by spaces.
#[rustfmt::skip]
const NAMES: &[(&str, [&str; 12])] = &[
    ("uk", ["січень січня січ", "лютий лютого лют", "березень березня бер", "квітень квітня квіт кві",
        "травень травня трав тра", "червень червня черв чер", "липень липня лип", "серпень серпня серп сер",
        "вересень вересня вер", "жовтень жовтня жовт жов", "листопад листопада лист лис", "грудень грудня груд гру"]),
    ("ru", ["январь января янв", "февраль февраля фев февр", "март марта мар", "апрель апреля апр",
        "май мая", "июнь июня июн", "июль июля июл", "август августа авг",
        "сентябрь сентября сен сент", "октябрь октября окт", "ноябрь ноября ноя нояб", "декабрь декабря дек"]),
    ("be", ["студзень студзеня", "люты лютага", "сакавік сакавіка", "красавік красавіка",
        "май мая травень траўня", "чэрвень чэрвеня", "ліпень ліпеня", "жнівень жніўня",
        "верасень верасня", "кастрычнік кастрычніка", "лістапад лістапада", "снежань снежня"]),
    ("bg", ["януари", "февруари", "март", "април", "май", "юни", "юли", "август",
        "септември", "октомври", "ноември", "декември"]),
    ("mk", ["јануари", "февруари", "март", "април", "мај", "јуни", "јули", "август",
        "септември", "октомври", "ноември", "декември"]),
    ("sr", ["јануар јануара", "фебруар фебруара", "март марта", "април априла", "мај маја", "јун јуна",
        "јул јула", "август августа", "септембар септембра", "октобар октобра", "новембар новембра", "децембар децембра"]),
    ("bs", ["januar januara", "februar februara", "mart marta", "april aprila", "maj maja", "juni juna jun",
        "juli jula jul", "august augusta avgust avgusta", "septembar septembra", "oktobar oktobra",
        "novembar novembra", "decembar decembra"]),
    ("hr", ["siječanj siječnja", "veljača veljače", "ožujak ožujka", "travanj travnja", "svibanj svibnja",
        "lipanj lipnja", "srpanj srpnja", "kolovoz kolovoza", "rujan rujna", "listopad listopada",
        "studeni studenog studenoga", "prosinac prosinca"]),
    ("sl", ["januar januarja", "februar februarja", "marec marca", "april aprila", "maj maja", "junij junija",
        "julij julija", "avgust avgusta", "september septembra", "oktober oktobra", "november novembra", "december decembra"]),
    ("pl", ["styczeń stycznia sty", "luty lutego", "marzec marca", "kwiecień kwietnia kwi", "maj maja",
        "czerwiec czerwca cze", "lipiec lipca lip", "sierpień sierpnia sie", "wrzesień września wrz",
        "październik października paź", "listopad listopada", "grudzień grudnia gru"]),
    ("cs", ["leden ledna", "únor února", "březen března", "duben dubna", "květen května", "červen června",
        "červenec července", "srpen srpna", "září", "říjen října", "listopad listopadu", "prosinec prosince"]),
    ("sk", ["január januára", "február februára", "marec marca", "apríl apríla", "máj mája", "jún júna",
        "júl júla", "august augusta", "september septembra", "október októbra", "november novembra", "december decembra"]),
    ("en", ["january jan", "february feb", "march mar", "april apr", "may", "june jun", "july jul",
        "august aug", "september sep sept", "october oct", "november nov", "december dec"]),
    ("de", ["januar jänner jan jän", "februar feber feb", "märz maerz mär mrz", "april apr", "mai", "juni jun", "juli jul",
        "august aug", "september sep sept", "oktober okt", "november nov", "dezember dez"]),
    ("fr", ["janvier janv", "février févr fév", "mars", "avril avr", "mai", "juin", "juillet juil",
        "août", "septembre sept", "octobre oct", "novembre nov", "décembre déc"]),
    ("es", ["enero ene", "febrero", "marzo", "abril abr", "mayo", "junio", "julio", "agosto ago",
        "septiembre setiembre", "octubre", "noviembre", "diciembre dic"]),
    ("ca", ["gener", "febrer", "març", "abril", "maig", "juny", "juliol", "agost",
        "setembre", "octubre", "novembre", "desembre"]),
    ("pt", ["janeiro", "fevereiro fev", "março", "abril", "maio", "junho", "julho", "agosto",
        "setembro", "outubro out", "novembro", "dezembro dez"]),
    ("it", ["gennaio gen", "febbraio", "marzo", "aprile", "maggio mag", "giugno giu", "luglio lug", "agosto",
        "settembre", "ottobre ott", "novembre", "dicembre"]),
    ("ro", ["ianuarie ian", "februarie", "martie", "aprilie", "mai", "iunie iun", "iulie iul", "august",
        "septembrie", "octombrie", "noiembrie noi", "decembrie"]),
    ("nl", ["januari", "februari", "maart mrt", "april", "mei", "juni", "juli", "augustus",
        "september", "oktober", "november", "december"]),
    ("sv", ["januari", "februari", "mars", "april", "maj", "juni", "juli", "augusti",
        "september", "oktober", "november", "december"]),
    ("da", ["januar", "februar", "marts", "april", "maj", "juni", "juli", "august",
        "september", "oktober", "november", "december"]),
    ("no", ["januar", "februar", "mars", "april", "mai", "juni", "juli", "august",
        "september", "oktober", "november", "desember"]),
    ("is", ["janúar", "febrúar", "mars", "apríl", "maí", "júní", "júlí", "ágúst",
        "september", "október", "nóvember", "desember"]),
    ("fi", ["tammikuu tammikuuta", "helmikuu helmikuuta", "maaliskuu maaliskuuta", "huhtikuu huhtikuuta",
        "toukokuu toukokuuta", "kesäkuu kesäkuuta", "heinäkuu heinäkuuta", "elokuu elokuuta",
        "syyskuu syyskuuta", "lokakuu lokakuuta", "marraskuu marraskuuta", "joulukuu joulukuuta"]),
    ("et", ["jaanuar", "veebruar", "märts", "aprill", "mai", "juuni", "juuli", "august",
        "september", "oktoober", "november", "detsember"]),
    ("lv", ["janvāris janvārī", "februāris februārī", "marts martā", "aprīlis aprīlī", "maijs maijā", "jūnijs jūnijā",
        "jūlijs jūlijā", "augusts augustā", "septembris septembrī", "oktobris oktobrī", "novembris novembrī", "decembris decembrī"]),
    ("lt", ["sausis sausio", "vasaris vasario", "kovas kovo", "balandis balandžio", "gegužė gegužės",
        "birželis birželio", "liepa liepos", "rugpjūtis rugpjūčio", "rugsėjis rugsėjo", "spalis spalio",
        "lapkritis lapkričio", "gruodis gruodžio"]),
    ("hu", ["január", "február", "március", "április", "május", "június", "július", "augusztus",
        "szeptember", "október", "november", "december"]),
    ("el", ["ιανουάριος ιανουαρίου", "φεβρουάριος φεβρουαρίου", "μάρτιος μαρτίου", "απρίλιος απριλίου",
        "μάιος μαΐου", "ιούνιος ιουνίου", "ιούλιος ιουλίου", "αύγουστος αυγούστου",
        "σεπτέμβριος σεπτεμβρίου", "οκτώβριος οκτωβρίου", "νοέμβριος νοεμβρίου", "δεκέμβριος δεκεμβρίου"]),
    ("sq", ["janar", "shkurt", "mars", "prill", "maj", "qershor", "korrik", "gusht",
        "shtator", "tetor", "nëntor", "dhjetor"]),
    ("tr", ["ocak", "şubat", "mart", "nisan", "mayıs", "haziran", "temmuz", "ağustos",
        "eylül", "ekim", "kasım", "aralık"]),
    // Roman numerals, as Polish, Hungarian and older Ukrainian and Russian papers have them.
    ("-", ["i", "ii", "iii", "iv", "v", "vi", "vii", "viii", "ix", "x", "xi", "xii"]),
];

/// Folded words that say "year", "day", "of", "born", or end an ordinal.
const FILLERS: &[&str] = &[
    // Ukrainian, Russian, Belarusian, Bulgarian
    "р",
    "рік",
    "року",
    "рн",
    "н",
    "народження",
    "г",
    "год",
    "года",
    "рождения",
    "го",
    "ого",
    "е",
    // Polish, Czech, Slovak, Croatian, Slovene
    "r",
    "rok",
    "roku",
    "ur",
    "god",
    "godine",
    "leta",
    // English, German, French, Spanish, Portuguese, Italian, Romanian, Dutch
    "st",
    "nd",
    "rd",
    "th",
    "of",
    "the",
    "er",
    "e",
    "re",
    "ere",
    "le",
    "de",
    "del",
    "d",
    "o",
    "a",
    "den",
    "der",
    // Lithuanian, Latvian, Estonian, Finnish
    "m",
    "gada",
    "gads",
    "aasta",
    // Chinese and Japanese year, month, day; Korean
    "年",
    "月",
    "日",
    "년",
    "월",
    "일",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_known_words_name_two_months() {
        let mut twofold: Vec<_> = INDEX
            .iter()
            .filter(|(_, months)| months.only().is_none())
            .map(|(word, _)| word.as_str())
            .collect();
        twofold.sort_unstable();
        assert_eq!(twofold, ["listopad", "listopada"]);
    }

    #[test]
    fn no_filler_is_a_month() {
        for filler in FILLERS {
            assert!(months_of(filler).is_none(), "{filler}");
        }
    }

    #[test]
    fn a_name_is_found_without_its_accents_and_in_capitals() {
        for (word, month) in [
            ("RIJNA", 10),
            ("Février", 2),
            ("fevrier", 2),
            ("MAYIS", 5),
            ("Mayıs", 5),
            ("АВГУСТА", 8),
            ("travnja", 4),
            ("травня", 5),
            ("cerven", 6),
            ("cervence", 7),
        ] {
            let found = months_of(&fold(word)).and_then(Months::only);
            assert_eq!(found, Some(month), "{word}");
        }
    }
}
