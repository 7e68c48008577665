//! The normalised values of one record, from which every rule takes its ingredients.

use zeroize::Zeroizing;

use super::attributes::{Attributes, Field, Presence, Sex};
use super::given::Found;
use super::normalise::{Script, Word, words};
use super::rules::Ingredient;
use super::skeleton::{self, Orthographies};
use super::surname::Order;
use super::{date, document, given, patronymic, place, surname};

/// Values of one ingredient, best first; wiped on drop.
pub type Values = Vec<Zeroizing<String>>;

/// What a record offers to the rules. No `Debug`: it is personal data.
pub struct Features {
    values: [Values; Ingredient::ALL.len()],
    /// The fields that the record has.
    pub presence: Presence,
}

impl Features {
    /// Reads a record.
    #[must_use]
    pub fn of(a: &Attributes<'_>) -> Self {
        let reading = Reading::of(a);
        let mut out = Self {
            values: Default::default(),
            presence: Presence::default(),
        };
        out.names(&reading);
        out.parents(a, &reading);
        out.date(a);
        out.rest(a, &reading);
        out
    }

    /// The values of an ingredient; none when the record lacks it.
    #[must_use]
    pub fn values(&self, of: Ingredient) -> &[Zeroizing<String>] {
        &self.values[of as usize]
    }

    fn put(&mut self, at: Ingredient, value: Option<Zeroizing<String>>) {
        self.values[at as usize].extend(value);
    }

    fn names(&mut self, r: &Reading) {
        let family = surname::parts(&r.family, r.spelling);
        if let Some(main) = family.first() {
            self.presence.set(Field::Family);
            self.put(Ingredient::Family, Some(main.bones.clone()));
            self.put(Ingredient::FamilySounds, Some(main.sounds.clone()));
            self.put(Ingredient::FamilyHead, surname::head(&main.bones));
        }
        let other = surname::parts(&r.family, skeleton::other_reading(r.spelling));
        let any = &mut self.values[Ingredient::SurnameAny as usize];
        for part in family.into_iter().chain(other) {
            if !any.contains(&part.bones) {
                any.push(part.bones);
            }
        }
        if let Some(first) = &r.first_given {
            let found = first.values(r.sex);
            if let Some(main) = found.first() {
                self.presence.set(Field::Given);
                self.put(Ingredient::Given, Some(main.clone()));
                if given::unlisted(main) {
                    self.put(Ingredient::GivenUnlisted, Some(main.clone()));
                }
            }
            self.values[Ingredient::GivenAny as usize] = found;
            if !r.plain {
                self.put(Ingredient::GivenBones, first.bones());
            }
        }
        if r.plain {
            self.put(Ingredient::FamilyStart, beginning(&r.family, 2));
            self.put(Ingredient::GivenStart, beginning(&r.given, 2));
            let starts = (beginning(&r.family, 3), beginning(&r.given, 3));
            if let (Some(f), Some(g)) = starts {
                let (low, high) = if *f < *g { (f, g) } else { (g, f) };
                let pair = Zeroizing::new(format!("{}+{}", &*low, &*high));
                self.put(Ingredient::NamesStarts, Some(pair));
            }
        }
        if r.slavic {
            self.presence.set(Field::Slavic);
        }
        if let Some(sex) = r.sex {
            self.presence.set(Field::Sex);
            let letter = if sex == Sex::Female { "f" } else { "m" };
            self.put(Ingredient::Sex, Some(Zeroizing::new(letter.to_owned())));
        }
    }

    fn parents(&mut self, a: &Attributes<'_>, r: &Reading) {
        let mut father = r
            .patronymic
            .as_ref()
            .and_then(|w| patronymic::father(&w.text, r.spelling));
        if father.is_none() {
            let w = words(a.father_given_name.unwrap_or_default());
            father = w.first().and_then(|w| {
                given::table()
                    .look_up(&w.text, r.spelling)
                    .values(Some(Sex::Male))
                    .into_iter()
                    .next()
            });
        }
        if father.is_some() {
            self.presence.set(Field::Patronymic);
            self.put(Ingredient::Patronymic, father);
        }
        let family = surname::parts(&words(a.mother_family_name.unwrap_or_default()), r.spelling);
        if let Some(main) = family.first() {
            self.presence.set(Field::MotherFamily);
            self.put(Ingredient::MotherFamily, Some(main.bones.clone()));
        }
        let parts_of =
            |text: Option<&str>| surname::parts(&words(text.unwrap_or_default()), r.spelling);
        let others = parts_of(a.father_family_name)
            .into_iter()
            .chain(parts_of(a.other_names));
        let any = &mut self.values[Ingredient::SurnameAny as usize];
        for part in family.into_iter().chain(others) {
            if !any.contains(&part.bones) {
                any.push(part.bones);
            }
        }
        let w = words(a.mother_given_name.unwrap_or_default());
        let mother = w.first().and_then(|w| {
            given::table()
                .look_up(&w.text, r.spelling)
                .values(Some(Sex::Female))
                .into_iter()
                .next()
        });
        if mother.is_some() {
            self.presence.set(Field::MotherGiven);
            self.put(Ingredient::MotherGiven, mother);
        }
    }

    fn date(&mut self, a: &Attributes<'_>) {
        let Some(born) = a.date_of_birth else { return };
        let forms = date::forms(born);
        if forms.year.is_none() {
            return;
        }
        self.presence.set(Field::Year);
        if forms.month_known {
            self.presence.set(Field::Month);
        }
        if forms.exact {
            self.presence.set(Field::MonthDay);
        }
        self.put(Ingredient::Date, forms.full);
        self.put(Ingredient::MonthDay, forms.month_day);
        self.put(Ingredient::YearMonth, forms.year_month);
        self.put(Ingredient::YearDay, forms.year_day);
        self.put(Ingredient::YearSwap, forms.year_swap);
        self.put(Ingredient::Year, forms.year);
    }

    fn rest(&mut self, a: &Attributes<'_>, r: &Reading) {
        let born = place::settlement(&words(a.place_of_birth.unwrap_or_default()), r.spelling);
        if let Some(settlement) = &born {
            self.presence.set(Field::Place);
            if !place::listed(settlement) {
                self.put(Ingredient::PlaceUnlisted, born.clone());
                if r.plain {
                    let start = beginning(&words(a.place_of_birth.unwrap_or_default()), 4);
                    self.put(Ingredient::PlaceStart, start);
                }
            }
            self.put(Ingredient::Place, born);
        }
        let last = words(a.last_known_place.unwrap_or_default());
        let settlement = place::settlement(&last, r.spelling);
        if settlement.is_some() {
            self.presence.set(Field::LastPlace);
            self.put(Ingredient::LastPlace, settlement);
            self.put(Ingredient::Address, place::address_numbers(&last));
        }
        let number = document::number(&words(a.document_number.unwrap_or_default()), r.spelling);
        if number.is_some() {
            self.presence.set(Field::Document);
            self.put(Ingredient::Document, number);
        }
    }
}

/// The first letters of some words; absent where there are fewer, or not of the Latin alphabet.
fn beginning(words: &[Word], letters: usize) -> Option<Zeroizing<String>> {
    let all = words.iter().flat_map(|w| w.text.chars());
    let start: Zeroizing<String> = Zeroizing::new(all.take(letters).collect());
    (start.len() == letters && start.is_ascii()).then_some(start)
}

/// The record's names, each in its role, whatever field they were written in.
struct Reading {
    family: Vec<Word>,
    given: Vec<Word>,
    /// The first word of the given name, looked up.
    first_given: Option<Found<'static>>,
    patronymic: Option<Word>,
    sex: Option<Sex>,
    spelling: Orthographies,
    /// Whether something in the names is East Slavic.
    slavic: bool,
    /// Whether nothing in the record comes from a Slavic register, so that the same letters may be
    /// expected on the other side.
    plain: bool,
}

impl Reading {
    fn of(a: &Attributes<'_>) -> Self {
        let mut family = words(a.family_name.unwrap_or_default());
        let mut given = words(a.given_name.unwrap_or_default());
        let mut father = words(a.patronymic.unwrap_or_default());
        let mother = words(a.mother_family_name.unwrap_or_default());
        let birth = words(a.place_of_birth.unwrap_or_default());
        let all = family
            .iter()
            .chain(&given)
            .chain(&father)
            .chain(&mother)
            .chain(&birth);
        let spelling = skeleton::orthography(all);
        for field in [&mut given, &mut family] {
            if !father.is_empty() || field.len() < 2 {
                continue;
            }
            if let Some(at) = field
                .iter()
                .skip(1)
                .position(|w| patronymic::looks_like_one(&w.text, spelling))
            {
                father.push(field.remove(at + 1));
            }
        }
        let cyrillic = family
            .iter()
            .chain(&given)
            .any(|w| w.script == Script::Cyrillic);
        let marked = |w: &Word| surname::like_a_surname(w, spelling);
        let slavic = cyrillic
            || father
                .iter()
                .any(|w| patronymic::looks_like_one(&w.text, spelling))
            || mother.iter().any(marked);
        let look_up = |words: &[Word]| {
            words
                .first()
                .map(|w| given::table().look_up(&w.text, spelling))
        };
        let (first_family, mut first_given) = (look_up(&family), look_up(&given));
        let order = match (family.first(), &first_family, given.first(), &first_given) {
            (Some(f), Some(f_found), Some(g), Some(g_found)) => {
                surname::order((f, f_found), (g, g_found), spelling, slavic)
            }
            _ => Order::Straight,
        };
        if order == Order::Swapped {
            std::mem::swap(&mut family, &mut given);
            first_given = first_family;
        }
        let patronymic = (!father.is_empty()).then(|| father.remove(0));
        let own = |w: &Word| surname::surely_a_surname(w, spelling);
        Self {
            slavic: slavic || family.iter().any(own),
            family,
            given,
            first_given,
            patronymic,
            sex: a.sex,
            spelling,
            plain: !slavic,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::attributes::Date;
    use super::*;

    fn first(a: &Attributes<'_>, of: Ingredient) -> Option<String> {
        Features::of(a).values(of).first().map(|v| v.to_string())
    }

    const CHILD: Attributes<'static> = Attributes {
        family_name: Some("Хоменко"),
        given_name: Some("Максим"),
        patronymic: Some("Олександрович"),
        other_names: None,
        sex: Some(Sex::Male),
        date_of_birth: None,
        place_of_birth: Some("Харків"),
        citizenship: None,
        mother_family_name: None,
        mother_given_name: None,
        father_family_name: None,
        father_given_name: None,
        document_type: None,
        document_number: None,
        last_known_place: None,
    };

    #[track_caller]
    fn alike(a: &Attributes<'_>, b: &Attributes<'_>, of: Ingredient) {
        assert!(first(a, of).is_some());
        assert_eq!(first(a, of), first(b, of));
    }

    #[test]
    fn names_in_each_others_field() {
        let swapped = Attributes {
            family_name: Some("Maksym"),
            given_name: Some("Khomenko"),
            patronymic: Some("Oleksandrovytch"),
            place_of_birth: Some("Kharkiv"),
            ..CHILD
        };
        for of in [
            Ingredient::Family,
            Ingredient::Given,
            Ingredient::Patronymic,
            Ingredient::Place,
        ] {
            alike(&CHILD, &swapped, of);
        }
    }

    #[test]
    fn a_patronymic_in_the_given_name() {
        let inside = Attributes {
            given_name: Some("Maksym Oleksandrovych"),
            patronymic: None,
            ..CHILD
        };
        alike(&CHILD, &inside, Ingredient::Patronymic);
        alike(&CHILD, &inside, Ingredient::Given);
        let father = Attributes {
            patronymic: None,
            father_given_name: Some("Alexander"),
            ..CHILD
        };
        alike(&CHILD, &father, Ingredient::Patronymic);
    }

    #[test]
    fn a_country_or_a_placeholder_counts_as_missing() {
        let vague = Attributes {
            place_of_birth: Some("UKRAINE"),
            date_of_birth: Date::new(2013, Some(1), Some(1)),
            ..CHILD
        };
        let presence = Features::of(&vague).presence;
        assert!(!presence.has(Field::Place) && !presence.has(Field::MonthDay));
        assert!(presence.has(Field::Year));
        assert!(first(&vague, Ingredient::Date).is_some());
    }

    #[test]
    fn plain_records_offer_the_beginnings_of_their_names() {
        let plain = Attributes {
            family_name: Some("Harding"),
            given_name: Some("Rosalind"),
            place_of_birth: Some("Little Wenham"),
            ..Attributes::default()
        };
        let swapped = Attributes {
            family_name: Some("Rosaline"),
            given_name: Some("Harrding"),
            ..plain
        };
        alike(&plain, &swapped, Ingredient::NamesStarts);
        alike(&plain, &swapped, Ingredient::PlaceStart);
        let starts = first(&plain, Ingredient::NamesStarts);
        assert_eq!(starts.as_deref(), Some("har+ros"));
        let slavic = Attributes {
            patronymic: Some("Oleksandrovych"),
            ..plain
        };
        for of in [
            Ingredient::NamesStarts,
            Ingredient::FamilyStart,
            Ingredient::GivenStart,
            Ingredient::PlaceStart,
        ] {
            assert_eq!(first(&CHILD, of), None);
            assert_eq!(first(&slavic, of), None);
        }
    }

    #[test]
    fn a_double_surname_offers_each_part_and_the_mothers() {
        let double = Attributes {
            family_name: Some("Клименко-Іванова"),
            mother_family_name: Some("Бойко"),
            ..CHILD
        };
        let any = Features::of(&double);
        let any: Vec<&str> = any
            .values(Ingredient::SurnameAny)
            .iter()
            .map(|v| v.as_str())
            .collect();
        assert_eq!(any, ["KLMNK", "AVNV", "BK"]);
    }
}
