//! Given names to equivalence classes: Олександр, Александр, Oleksandr, Alexander, Сашко and Sasha
//! are one child's name in different registers.
//!
//! The classes are a committed table. A form is looked up by its loose sound codes, so that a row
//! in Cyrillic also serves every romanisation of it. A form that is not in the table is compared
//! with those that are: one or two slips of the pen away from a form of one class, and clearly
//! likelier to mean that than any other, it is read as that class (a deletion neighbourhood over the
//! table, not over the tokens, so repairing costs no slot). What is still unknown stands for itself
//! by its skeleton.

use std::cell::OnceCell;
use std::collections::HashMap;
use std::sync::LazyLock;

use zeroize::Zeroizing;

use super::attributes::Sex;
use super::entropy;
use super::normalise::words;
use super::skeleton::{self, Orthographies, rows_of};
use super::typo::Neighbours;

/// Index of a class in the table.
pub type ClassId = u16;

/// How a form belongs to a class.
#[derive(Clone, Copy)]
struct Membership {
    class: ClassId,
    kind: Kind,
}

/// The plainer kind comes first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Formal,
    Counterpart,
    Diminutive,
}

impl Kind {
    /// How often, among bearers of the name, a register outside the family uses a form of the kind.
    fn weight(self) -> f64 {
        match self {
            Self::Formal => 1.0,
            Self::Counterpart => 0.01,
            Self::Diminutive => 0.01,
        }
    }
}

/// How well a word is known as a given name.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Known {
    /// A Ukrainian or Russian form of a name that many children bear.
    Common,
    /// A Ukrainian or Russian form of a rarer name.
    Rare,
    /// The table holds it as another language's counterpart only.
    Abroad,
    /// It is a slip or two from what the table holds.
    Misspelt,
    /// Neither.
    No,
}

struct Class {
    id: &'static str,
    sex: Option<Sex>,
    /// Percent of children of that sex who bear the name.
    share: f64,
}

/// The classes and the ways into them.
pub struct GivenNames {
    classes: Vec<Class>,
    exact: HashMap<String, Vec<Membership>>,
    sounds: HashMap<String, Vec<Membership>>,
    loose: HashMap<String, Vec<Membership>>,
    neighbours: Neighbours,
    /// Skeletons of men's formal names, for patronymics.
    fathers: HashMap<String, ClassId>,
}

static TABLE: LazyLock<GivenNames> = LazyLock::new(|| {
    GivenNames::parse(
        include_str!("data/given_names.tsv"),
        entropy::rows()
            .filter(|r| r.attribute.starts_with("given_"))
            .map(|r| (r.value, r.share)),
    )
});

/// The committed table.
#[must_use]
pub fn table() -> &'static GivenNames {
    &TABLE
}

/// Percent of children who bear a name that the statistics do not list.
const RARE: f64 = 0.02;
/// Percent of children from which on a name is called common.
const COMMON: f64 = 0.5;
/// How much likelier the best reading of a misspelt name must be than the next.
const CLEAR: f64 = 4.0;
/// How much less likely two slips are than one.
const TWO_SLIPS: f64 = 0.02;
/// Most readings of one form that are kept.
const MOST_READINGS: usize = 3;
/// A reading this much less likely than the best is dropped.
const HARDLY: f64 = 50.0;

impl GivenNames {
    fn parse(text: &'static str, shares: impl Iterator<Item = (&'static str, f64)>) -> Self {
        let mut out = Self {
            classes: Vec::new(),
            exact: HashMap::new(),
            sounds: HashMap::new(),
            loose: HashMap::new(),
            neighbours: Neighbours::default(),
            fathers: HashMap::new(),
        };
        let mut ids: HashMap<&'static str, ClassId> = HashMap::new();
        for line in rows_of(text) {
            let cells: Vec<&'static str> = line.split('\t').collect();
            let [id, sex, kind, lang, form, ..] = cells[..] else {
                continue;
            };
            let sex = match sex {
                "F" => Some(Sex::Female),
                "M" => Some(Sex::Male),
                _ => None,
            };
            let class = *ids.entry(id).or_insert_with(|| {
                out.classes.push(Class {
                    id,
                    sex,
                    share: RARE,
                });
                ClassId::try_from(out.classes.len() - 1).unwrap_or(ClassId::MAX)
            });
            let kind = match kind {
                "formal" => Kind::Formal,
                "counterpart" => Kind::Counterpart,
                _ => Kind::Diminutive,
            };
            out.insert(form, lang, Membership { class, kind });
        }
        for (name, share) in shares {
            let text: String = words(name).iter().map(|w| w.text.to_string()).collect();
            let formal = out
                .exact
                .get(&text)
                .into_iter()
                .flatten()
                .find(|m| m.kind == Kind::Formal);
            if let Some(class) = formal.map(|m| usize::from(m.class)) {
                out.classes[class].share = out.classes[class].share.max(share);
            }
        }
        out.fathers();
        let forms: Vec<String> = out.loose.keys().cloned().collect();
        out.neighbours = Neighbours::of(forms);
        out
    }

    fn insert(&mut self, form: &str, lang: &str, member: Membership) {
        let text: String = words(form).iter().map(|w| w.text.to_string()).collect();
        let codes = skeleton::codes(&text, spelling_of(lang));
        add(
            self.sounds
                .entry(skeleton::sounds(&codes).to_string())
                .or_default(),
            member,
        );
        add(
            self.loose
                .entry(skeleton::loose(&codes).to_string())
                .or_default(),
            member,
        );
        add(self.exact.entry(text).or_default(), member);
    }

    /// Men's formal names by their skeleton, the commoner name where two share one.
    fn fathers(&mut self) {
        let mut best: HashMap<String, Membership> = HashMap::new();
        for (text, members) in &self.exact {
            for m in members.iter().filter(|m| m.kind == Kind::Formal) {
                let class = &self.classes[usize::from(m.class)];
                if class.sex == Some(Sex::Female) || !text.chars().any(|c| c > '\u{400}') {
                    continue;
                }
                let bones = skeleton::skeleton(&skeleton::codes(text, spelling_of("uk")));
                let entry = best.entry(bones.to_string()).or_insert(*m);
                let known = &self.classes[usize::from(entry.class)];
                if (class.share, known.id) > (known.share, class.id) {
                    *entry = *m;
                }
            }
        }
        self.fathers = best
            .into_iter()
            .map(|(bones, m)| (bones, m.class))
            .collect();
    }

    /// Looks a word up, once for all that is asked of it.
    #[must_use]
    pub fn look_up(&self, text: &str, spelling: Orthographies) -> Found<'_> {
        let codes = skeleton::codes(text, spelling);
        let loose = skeleton::loose(&codes);
        Found {
            table: self,
            latin: text.chars().any(|c| c.is_ascii_alphabetic()),
            exact: self.exact.get(text).map(Vec::as_slice),
            by_sound: self
                .sounds
                .get(&*skeleton::sounds(&codes))
                .map(Vec::as_slice),
            by_loose: self.loose.get(&*loose).map(Vec::as_slice),
            bones: skeleton::skeleton(&codes),
            loose,
            near: OnceCell::new(),
        }
    }

    /// Class of the father whose name a patronymic's stem has, by the stem's skeleton.
    #[must_use]
    pub fn father(&self, bones: &str) -> Option<&'static str> {
        let class = self.fathers.get(bones)?;
        self.classes.get(usize::from(*class)).map(|c| c.id)
    }

    /// The classes by how likely the form means each, those of the wrong sex left out unless there
    /// are only such: then the sex is the likelier mistake.
    fn rank(
        &self,
        members: impl Iterator<Item = (Membership, f64)>,
        sex: Option<Sex>,
    ) -> Vec<(ClassId, f64)> {
        let mut all: Vec<(ClassId, f64, bool)> = Vec::new();
        for (m, factor) in members {
            let class = &self.classes[usize::from(m.class)];
            let weight = class.share * m.kind.weight() * factor;
            let fits = sex.is_none() || class.sex.is_none() || class.sex == sex;
            match all.iter_mut().find(|(c, ..)| *c == m.class) {
                Some(known) => known.1 = known.1.max(weight),
                None => all.push((m.class, weight, fits)),
            }
        }
        if all.iter().any(|(.., fits)| *fits) {
            all.retain(|(.., fits)| *fits);
        }
        all.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        all.into_iter().map(|(c, w, _)| (c, w)).collect()
    }
}

/// One word, looked up as a given name. Holds what the word sounds like, so it has no `Debug`.
pub struct Found<'t> {
    table: &'t GivenNames,
    latin: bool,
    exact: Option<&'t [Membership]>,
    by_sound: Option<&'t [Membership]>,
    by_loose: Option<&'t [Membership]>,
    loose: Zeroizing<String>,
    bones: Zeroizing<String>,
    /// The forms a slip or two away; found when first asked for.
    near: OnceCell<Vec<(Membership, f64)>>,
}

impl Found<'_> {
    /// Key values, best first: one class, or the classes that a shared short form may stand for, or
    /// the skeleton of a name that the table does not know. Empty when there is nothing to go by.
    #[must_use]
    pub fn values(&self, sex: Option<Sex>) -> Vec<Zeroizing<String>> {
        let classes = self.classes(sex);
        if !classes.is_empty() {
            let id = |c: &ClassId| self.table.classes[usize::from(*c)].id.to_owned();
            return classes.iter().map(|c| Zeroizing::new(id(c))).collect();
        }
        if self.bones.is_empty() {
            return Vec::new();
        }
        vec![Zeroizing::new(format!("{UNLISTED}{}", &*self.bones))]
    }

    /// The skeleton of the word as it is written.
    #[must_use]
    pub fn bones(&self) -> Option<Zeroizing<String>> {
        (!self.bones.is_empty()).then(|| self.bones.clone())
    }

    /// Whether the word is a given name.
    #[must_use]
    pub fn known(&self) -> Known {
        let members = self
            .exact
            .iter()
            .chain(&self.by_loose)
            .flat_map(|m| m.iter());
        let share = |m: &Membership| self.table.classes[usize::from(m.class)].share;
        let native = members.filter(|m| m.kind != Kind::Counterpart).map(share);
        let share = native.fold(0.0, f64::max);
        if share >= COMMON {
            Known::Common
        } else if share > 0.0 {
            Known::Rare
        } else if self.exact.is_some() || self.by_loose.is_some() {
            Known::Abroad
        } else if self.repaired(None).is_some() {
            Known::Misspelt
        } else {
            Known::No
        }
    }

    /// The classes of a form: by its letters, else by its sounds, else by the loosest reading of
    /// them, else by the nearest form. A Latin word is read by its letters and by its sounds at
    /// once: Jelena is one of the forms of Helena in Croatia and the transliteration of Елена.
    fn classes(&self, sex: Option<Sex>) -> Vec<ClassId> {
        let members: Vec<Membership> = match (self.exact, self.by_sound.or(self.by_loose)) {
            (Some(exact), _) => {
                let together = if self.latin { self.by_sound } else { None };
                exact
                    .iter()
                    .chain(together.unwrap_or_default())
                    .copied()
                    .collect()
            }
            (None, Some(alike)) => alike.to_vec(),
            (None, None) => return self.repaired(sex).into_iter().collect(),
        };
        let found = self.table.rank(members.iter().map(|m| (*m, 1.0)), sex);
        let best = found.first().map_or(0.0, |f| f.1);
        let near = found.iter().filter(|(_, w)| w * HARDLY > best);
        near.map(|(c, _)| *c).take(MOST_READINGS).collect()
    }

    /// The class that a misspelt name clearly means: one or two slips from a form of it, and from no
    /// other class's form that would be nearly as likely.
    fn repaired(&self, sex: Option<Sex>) -> Option<ClassId> {
        let near = self.near.get_or_init(|| {
            let mut out = Vec::new();
            for (form, slips) in self.table.neighbours.near(&self.loose) {
                let factor = if slips < 2 { 1.0 } else { TWO_SLIPS };
                for m in self.table.loose.get(form).into_iter().flatten() {
                    // Which kind of form was misspelt tells less than which was written right.
                    let kind = if m.kind == Kind::Formal { 1.0 } else { 20.0 };
                    out.push((*m, factor * kind));
                }
            }
            out
        });
        match self.table.rank(near.iter().copied(), sex)[..] {
            [(one, _)] => Some(one),
            [(one, best), (_, next), ..] if best >= CLEAR * next => Some(one),
            _ => None,
        }
    }
}

/// Marks the key value of a name that the table does not know.
const UNLISTED: char = '~';

/// Whether a key value stands for a name that the table does not know.
#[must_use]
pub fn unlisted(value: &str) -> bool {
    value.starts_with(UNLISTED)
}

fn spelling_of(lang: &str) -> Orthographies {
    skeleton::orthography_named(lang.strip_prefix("latn-").unwrap_or("en"))
}

fn add(list: &mut Vec<Membership>, member: Membership) {
    match list.iter_mut().find(|m| m.class == member.class) {
        Some(known) => known.kind = known.kind.min(member.kind),
        None => list.push(member),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(raw: &str, sex: Option<Sex>) -> Vec<String> {
        let w = words(raw);
        let o = skeleton::orthography(w.iter());
        table()
            .look_up(&w[0].text, o)
            .values(sex)
            .iter()
            .map(|z| z.to_string())
            .collect()
    }

    #[test]
    fn one_name_in_many_registers() {
        let all = [
            "Олександр",
            "Александр",
            "Oleksandr",
            "Aleksandr",
            "Alexander",
            "Сашко",
        ];
        let class = values(all[0], Some(Sex::Male));
        assert_eq!(class.len(), 1);
        for form in all {
            assert_eq!(values(form, Some(Sex::Male)), class, "{form}");
        }
    }

    #[test]
    fn sex_decides_a_shared_short_form() {
        assert_eq!(
            values("Саша", Some(Sex::Male))[0],
            values("Олександр", None)[0]
        );
        assert_eq!(
            values("Саша", Some(Sex::Female))[0],
            values("Олександра", None)[0]
        );
        assert!(values("Саша", None).len() >= 2);
    }

    #[test]
    fn a_slip_of_the_pen_is_repaired() {
        assert_eq!(
            values("Volodmyr", Some(Sex::Male)),
            values("Володимир", Some(Sex::Male))
        );
        assert_eq!(
            values("Катеирна", Some(Sex::Female)),
            values("Катерина", Some(Sex::Female))
        );
    }
}
