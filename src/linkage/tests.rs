//! The module as a whole: real spellings of real names, and input of any kind.

use proptest::prelude::*;

use super::features::Features;
use super::*;

/// One name as the registers and conventions write it: the Ukrainian form first.
struct Spelt {
    family: &'static [&'static str],
    given: &'static [&'static str],
    patronymic: &'static [&'static str],
    place: &'static [&'static str],
}

/// In order: Ukrainian, Russian, KMU 2010, BGN/PCGN (Ukrainian), ISO 9, ISO 9 with its marks lost,
/// German, French, Polish, Czech, English press, BGN/PCGN (Russian), Russian passport (ICAO).
const SPELT: [Spelt; 4] = [
    Spelt {
        family: &[
            "Щербак",
            "Щербак",
            "Shcherbak",
            "Shcherbak",
            "Ŝerbak",
            "Serbak",
            "Schtscherbak",
            "Chtcherbak",
            "Szczerbak",
            "Ščerbak",
            "Scherbak",
            "Shcherbak",
            "Shcherbak",
        ],
        given: &[
            "Андрій",
            "Андрей",
            "Andrii",
            "Andriy",
            "Andrìj",
            "Andrij",
            "Andrij",
            "Andriï",
            "Andrij",
            "Andrij",
            "Andriy",
            "Andrey",
            "Andrei",
        ],
        patronymic: &[
            "Миколайович",
            "Николаевич",
            "Mykolaiovych",
            "Mykolayovych",
            "Mikolajovič",
            "Mikolajovic",
            "Mykolajowytsch",
            "Mykolaïovytch",
            "Mykołajowycz",
            "Mykolajovyč",
            "Mykolayovych",
            "Nikolayevich",
            "Nikolaevich",
        ],
        place: &[
            "Харків",
            "Харьков",
            "Kharkiv",
            "Kharkiv",
            "Harkìv",
            "Harkiv",
            "Charkiw",
            "Kharkiv",
            "Charków",
            "Charkiv",
            "Kharkiv",
            "Khar’kov",
            "Kharkov",
        ],
    },
    Spelt {
        family: &[
            "Яценко",
            "Яценко",
            "Yatsenko",
            "Yatsenko",
            "Âcenko",
            "Acenko",
            "Jazenko",
            "Iatsenko",
            "Jacenko",
            "Jacenko",
            "Yatsenko",
            "Yatsenko",
            "Iatsenko",
        ],
        given: &[
            "Юлія", "Юлия", "Yuliia", "Yuliya", "Ûlìâ", "Yulia", "Julija", "Ioulia", "Julija",
            "Julija", "Yuliya", "Yuliya", "Iuliia",
        ],
        patronymic: &[
            "Олександрівна",
            "Александровна",
            "Oleksandrivna",
            "Oleksandrivna",
            "Oleksandrìvna",
            "Oleksandrivna",
            "Oleksandriwna",
            "Oleksandrivna",
            "Ołeksandriwna",
            "Oleksandrivna",
            "Oleksandrivna",
            "Aleksandrovna",
            "Aleksandrovna",
        ],
        place: &[
            "Запоріжжя",
            "Запорожье",
            "Zaporizhzhia",
            "Zaporizhzhya",
            "Zaporìžžâ",
            "Zaporizza",
            "Saporischschja",
            "Zaporijjia",
            "Zaporiżżia",
            "Zaporižžja",
            "Zaporizhia",
            "Zaporozh’ye",
            "Zaporozhe",
        ],
    },
    Spelt {
        family: &[
            "Вишневська",
            "Вишневская",
            "Vyshnevska",
            "Vyshnevs’ka",
            "Višnevsʹka",
            "Visnevska",
            "Wyschnewska",
            "Vychnevska",
            "Wysznewska",
            "Vyšnevska",
            "Vyshnevska",
            "Vishnevskaya",
            "Vishnevskaia",
        ],
        given: &[
            "Катерина",
            "Екатерина",
            "Kateryna",
            "Kateryna",
            "Katerina",
            "Katerina",
            "Kateryna",
            "Kateryna",
            "Kateryna",
            "Kateryna",
            "Katerina",
            "Yekaterina",
            "Ekaterina",
        ],
        patronymic: &[
            "Дмитрівна",
            "Дмитриевна",
            "Dmytrivna",
            "Dmytrivna",
            "Dmitrìvna",
            "Dmitrivna",
            "Dmytriwna",
            "Dmytrivna",
            "Dmytriwna",
            "Dmytrivna",
            "Dmytrivna",
            "Dmitriyevna",
            "Dmitrievna",
        ],
        place: &[
            "Чернігів",
            "Чернигов",
            "Chernihiv",
            "Chernihiv",
            "Černìgìv",
            "Cernigiv",
            "Tschernihiw",
            "Tchernihiv",
            "Czernihów",
            "Černihiv",
            "Chernihiv",
            "Chernigov",
            "Chernigov",
        ],
    },
    Spelt {
        family: &[
            "Кузнєцов",
            "Кузнецов",
            "Kuznietsov",
            "Kuznyetsov",
            "Kuznêcov",
            "Kuznecov",
            "Kusnjezow",
            "Kouznietsov",
            "Kuzniecow",
            "Kuzněcov",
            "Kuznetsov",
            "Kuznetsov",
            "Kuznetsov",
        ],
        given: &[
            "Євген",
            "Евгений",
            "Yevhen",
            "Yevhen",
            "Êvgen",
            "Evgen",
            "Jewhen",
            "Yevhen",
            "Jewhen",
            "Jevhen",
            "Yevhen",
            "Yevgeniy",
            "Evgenii",
        ],
        patronymic: &[
            "Ілліч",
            "Ильич",
            "Illich",
            "Illich",
            "Ìllìč",
            "Illic",
            "Illitsch",
            "Illitch",
            "Illicz",
            "Illič",
            "Illich",
            "Il’ich",
            "Ilich",
        ],
        place: &[
            "Миколаїв",
            "Николаев",
            "Mykolaiv",
            "Mykolayiv",
            "Mikolaïv",
            "Mikolaiv",
            "Mykolajiw",
            "Mykolaïv",
            "Mykołajiw",
            "Mykolajiv",
            "Mykolaiv",
            "Nikolayev",
            "Nikolaev",
        ],
    },
];

#[test]
fn one_child_in_every_convention() {
    for spelt in &SPELT {
        let read = |n: usize| {
            Features::of(&Attributes {
                family_name: spelt.family.get(n).copied(),
                given_name: spelt.given.get(n).copied(),
                patronymic: spelt.patronymic.get(n).copied(),
                place_of_birth: spelt.place.get(n).copied(),
                ..Attributes::default()
            })
        };
        let first = read(0);
        for n in 1..spelt.family.len() {
            let other = read(n);
            let name = spelt.family[n];
            for of in [
                Ingredient::Family,
                Ingredient::FamilySounds,
                Ingredient::Given,
                Ingredient::Patronymic,
                Ingredient::Place,
            ] {
                let shown = |f: &Features| f.values(of).first().map(|v| v.to_string());
                assert_eq!(
                    shown(&other),
                    shown(&first),
                    "{} of {name} ({n})",
                    of.name()
                );
            }
        }
    }
}

#[test]
fn one_given_name_among_the_languages() {
    for forms in [
        &[
            "Олександр",
            "Александр",
            "Oleksandr",
            "Alexander",
            "Alexandre",
            "Сашко",
            "Sasha",
        ][..],
        &[
            "Катерина",
            "Екатерина",
            "Catherine",
            "Katharina",
            "Катя",
            "Katia",
        ],
        &[
            "Олена",
            "Елена",
            "Yelena",
            "Jelena",
            "Helen",
            "Hélène",
            "Лена",
        ],
        &["Микола", "Николай", "Mykola", "Nicolas", "Nikolaus", "Коля"],
        &["Іван", "Иван", "Ivan", "Iwan", "John", "Ваня", "Івась"],
        &["Єва", "Ева", "Yeva", "Jewa", "Ieva"],
        &["Яна", "Yana", "Jana", "Iana"],
        &["Мар'яна", "Марьяна", "Mariana", "Marjana"],
    ] {
        let read = |form: &str| {
            let child = Attributes {
                given_name: Some(form),
                ..Attributes::default()
            };
            let features = Features::of(&child);
            features
                .values(Ingredient::GivenAny)
                .iter()
                .map(|v| v.to_string())
                .collect::<Vec<_>>()
        };
        let class = read(forms[0]).into_iter().next();
        for form in forms {
            assert!(
                class.as_ref().is_some_and(|c| read(form).contains(c)),
                "{form}: {class:?}"
            );
        }
    }
}

fn shipped() -> &'static RuleTable {
    RuleTable::shipped().unwrap_or_else(|e| panic!("{e}"))
}

fn record(texts: &[Option<String>], date: Option<Date>, sex: Option<Sex>) -> Attributes<'_> {
    let text = |n: usize| texts.get(n).and_then(|t| t.as_deref());
    Attributes {
        family_name: text(0),
        given_name: text(1),
        patronymic: text(2),
        other_names: text(3),
        sex,
        date_of_birth: date,
        place_of_birth: text(4),
        citizenship: text(5),
        mother_family_name: text(6),
        mother_given_name: text(7),
        father_family_name: text(8),
        father_given_name: text(9),
        document_type: text(10),
        document_number: text(11),
        last_known_place: text(12),
    }
}

/// Text of any kind: any characters, letters of the scripts at hand, or names with slips.
fn text() -> impl Strategy<Value = Option<String>> {
    prop_oneof![
        1 => Just(None),
        3 => any::<String>().prop_map(Some),
        3 => "[а-яєіїґА-ЯЄІЇҐ’' -]{0,40}".prop_map(Some),
        3 => "[a-zàâčçéèêëîïôùûšžłńśźżA-Z' -]{0,40}".prop_map(Some),
        1 => "[0-9 №/,.-]{0,20}".prop_map(Some),
        1 => "\\PC{0,300}".prop_map(Some),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn any_text_is_derived_within_the_slots(
        texts in proptest::collection::vec(text(), 13),
        year in -5i32..10_000, month in proptest::option::of(0u8..20), day in proptest::option::of(0u8..40),
        female in proptest::option::of(any::<bool>()),
    ) {
        let sex = female.map(|f| if f { Sex::Female } else { Sex::Male });
        // Built by hand, so also dates that no calendar has.
        let child = record(&texts, Some(Date { year, month, day }), sex);
        let derived = shipped().derive(&child);
        prop_assert!(derived.keys.len() <= shipped().slots());
        let mut slots = shipped().slot_rules().iter();
        for key in &derived.keys {
            prop_assert!(slots.any(|s| *s == key.rule));
        }
        let again = shipped().derive(&child);
        let same = derived.keys.iter().zip(&again.keys).all(|(a, b)| a.text == b.text);
        prop_assert!(same && derived.keys.len() == again.keys.len());
        prop_assert!(shipped().derive_siblings(&[child, child, child], 1).len()
            <= shipped().sibling_slot_rules().len());
    }
}

#[test]
fn of_ten_megabytes_only_the_beginning_is_looked_at() {
    for filler in [
        "я", "ch", "e\u{301}", "\u{fdfa}", " a", "1", "\u{200b}", "-",
    ] {
        let long = filler.repeat(10_000_000 / filler.len());
        let short: String = long.chars().take(normalise::MAX_CHARS).collect();
        let derive = |text: &str| {
            let texts = vec![Some(text.to_owned()); 13];
            let derived = shipped().derive(&record(&texts, Date::new(2014, None, None), None));
            derived
                .keys
                .iter()
                .map(|k| k.text.to_vec())
                .collect::<Vec<_>>()
        };
        let keys = derive(&long);
        assert_eq!(keys, derive(&short), "{filler:?}");
        assert!(keys.len() <= shipped().slots());
    }
}
