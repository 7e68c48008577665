//! The rule table: which attributes together make a linkage key, which slot each key travels in,
//! and the probabilities by which agreements are weighed. All of it is data (`data/rules.toml`).
//!
//! All members must use one table, since a key agrees only with a key of the same rule:
//! [`RuleTable::digest`] lets two nodes notice that they do not.

use ring::digest::{Context, SHA256};
use serde::Deserialize;
use std::sync::LazyLock;
use zeroize::Zeroizing;

use super::attributes::{Attributes, Field, Presence};
use super::entropy;
use super::features::Features;
use super::model::Model;

/// Number of a rule, part of every key made by it. Never reused for another meaning.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct RuleId(pub u8);

/// A set of rules, by their ids (0 to 63).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct RuleSet(pub u64);

impl RuleSet {
    /// Adds a rule; an id above 63 belongs to no table and is ignored.
    pub fn insert(&mut self, rule: RuleId) {
        if rule.0 < 64 {
            self.0 |= 1 << rule.0;
        }
    }

    /// Whether the rule is in the set.
    #[must_use]
    pub fn contains(self, rule: RuleId) -> bool {
        rule.0 < 64 && self.0 & (1 << rule.0) != 0
    }

    /// How many rules are in it.
    #[must_use]
    #[allow(clippy::len_without_is_empty, reason = "`is_empty` stands below")]
    pub fn len(self) -> usize {
        self.0.count_ones() as usize
    }

    /// Whether no rule is.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }
}

impl FromIterator<RuleId> for RuleSet {
    fn from_iter<I: IntoIterator<Item = RuleId>>(ids: I) -> Self {
        let mut out = Self::default();
        for id in ids {
            out.insert(id);
        }
        out
    }
}

macro_rules! ingredients {
    ($($(#[$doc:meta])* $name:ident = $text:literal),+ $(,)?) => {
        /// One normalised value that a rule may use.
        #[derive(Clone, Copy, PartialEq, Eq, Debug, PartialOrd, Ord, Hash)]
        pub enum Ingredient { $($(#[$doc])* $name),+ }

        impl Ingredient {
            /// Every ingredient, in the order of its number.
            pub const ALL: [Self; [$(Self::$name),+].len()] = [$(Self::$name),+];

            /// Its name in the rule table.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self { $(Self::$name => $text),+ }
            }
        }
    };
}

ingredients! {
    /// Skeleton of the family name's first part.
    Family = "family",
    /// Skeleton of any part of the family name or of the mother's.
    SurnameAny = "surname_any",
    /// Skeleton of the family name's first part with the classes of its first vowels.
    FamilySounds = "family_sounds",
    /// First two sounds of the family name.
    FamilyHead = "family_head",
    /// First two letters of the family name; as all beginnings, of plain Latin records only.
    FamilyStart = "family_start",
    /// First three letters of both names in alphabetical order: names in each other's field.
    NamesStarts = "names_starts",
    /// Class of the given name, the likeliest where a short form has several.
    Given = "given",
    /// Any class of the given name.
    GivenAny = "given_any",
    /// Skeleton of the given name as it is written.
    GivenBones = "given_bones",
    /// Skeleton of a given name that the table of given names does not know.
    GivenUnlisted = "given_unlisted",
    /// First two letters of the given name.
    GivenStart = "given_start",
    /// Full date of birth.
    Date = "date",
    /// Day and month of birth.
    MonthDay = "month_day",
    /// Year and month of birth.
    YearMonth = "year_month",
    /// Year and day of birth.
    YearDay = "year_day",
    /// Year of birth, day and month in sorted order.
    YearSwap = "year_swap",
    /// Year of birth.
    Year = "year",
    /// Class of the father's given name.
    Patronymic = "patronymic",
    /// Class of the mother's given name.
    MotherGiven = "mother_given",
    /// Skeleton of the mother's family name.
    MotherFamily = "mother_family",
    /// Settlement of birth.
    Place = "place",
    /// Settlement of birth that the table of places does not know.
    PlaceUnlisted = "place_unlisted",
    /// First four letters of such a settlement.
    PlaceStart = "place_start",
    /// Sex.
    Sex = "sex",
    /// Document number.
    Document = "document",
    /// Last known settlement.
    LastPlace = "last_place",
    /// Numbers of the last known address: house and postal code.
    Address = "address",
}

impl Ingredient {
    /// The field that must be there for the ingredient to be comparable.
    #[must_use]
    pub fn field(self) -> Field {
        match self {
            Self::Family
            | Self::FamilySounds
            | Self::FamilyHead
            | Self::FamilyStart
            | Self::NamesStarts
            | Self::SurnameAny => Field::Family,
            Self::Given
            | Self::GivenAny
            | Self::GivenBones
            | Self::GivenUnlisted
            | Self::GivenStart => Field::Given,
            Self::Date | Self::MonthDay | Self::YearDay | Self::YearSwap => Field::MonthDay,
            Self::YearMonth => Field::Month,
            Self::Year => Field::Year,
            Self::Patronymic => Field::Patronymic,
            Self::MotherGiven => Field::MotherGiven,
            Self::MotherFamily => Field::MotherFamily,
            Self::Place | Self::PlaceUnlisted | Self::PlaceStart => Field::Place,
            Self::Sex => Field::Sex,
            Self::Document => Field::Document,
            Self::LastPlace | Self::Address => Field::LastPlace,
        }
    }

    /// Whether it is a value that the tables of names and places do not list.
    #[must_use]
    pub fn unlisted(self) -> bool {
        matches!(self, Self::GivenUnlisted | Self::PlaceUnlisted)
    }

    /// Whether it is the beginning of a name in letters, which may differ where the sounds agree.
    #[must_use]
    pub fn beginning(self) -> bool {
        matches!(
            self,
            Self::FamilyStart | Self::NamesStarts | Self::GivenStart | Self::PlaceStart
        )
    }

    /// Whether a record with the field may still have no value (a skeleton too short to halve, a
    /// date that cannot be swapped), so that a missing agreement says nothing.
    #[must_use]
    pub fn optional(self) -> bool {
        matches!(
            self,
            Self::FamilyHead
                | Self::FamilyStart
                | Self::NamesStarts
                | Self::GivenStart
                | Self::PlaceStart
                | Self::GivenBones
                | Self::GivenUnlisted
                | Self::PlaceUnlisted
                | Self::Address
                | Self::YearSwap
        )
    }
}

/// A rule as the table states it.
#[derive(Clone, Debug)]
pub struct Rule {
    /// Its number.
    pub id: RuleId,
    /// What goes into its key.
    pub of: Vec<Ingredient>,
    /// What goes into the key of a record that lacks a field of `of`: the slot is put to use.
    pub otherwise: Vec<Ingredient>,
    /// What goes into the key instead where the record has a given name or a place that the tables do
    /// not list: such a value is harder to guess, so fewer others need to stand beside it.
    pub unlisted: Vec<Ingredient>,
    /// How many slots it owns: keys of further values of a multi-valued ingredient.
    pub slots: usize,
    /// Joint entropy of its key on the committed statistics, of the weakest of its forms.
    pub entropy: entropy::Joint,
}

/// Number of forms that a rule's key may have.
pub(super) const FORMS: usize = 3;
/// The form made of `of`.
pub(super) const FORM_OF: usize = 0;
/// The form for a record that lacks a field.
pub(super) const FORM_ELSE: usize = 1;
/// The form for a record with an unlisted name or place.
pub(super) const FORM_UNLISTED: usize = 2;

impl Rule {
    /// What a form of the key is made of; nothing where the rule has no such form.
    pub(super) fn form(&self, form: usize) -> &[Ingredient] {
        match form {
            FORM_OF => &self.of,
            FORM_ELSE => &self.otherwise,
            _ => &self.unlisted,
        }
    }

    /// The form that a record's key takes.
    fn form_for(&self, features: &Features) -> usize {
        let has = |i: &Ingredient| !features.values(*i).is_empty();
        if !self.unlisted.is_empty() && self.unlisted.iter().all(has) {
            FORM_UNLISTED
        } else if self.otherwise.is_empty() || self.filled_by(features.presence) {
            FORM_OF
        } else {
            FORM_ELSE
        }
    }

    /// Whether a record has every field of `of`, the date apart.
    pub(super) fn filled_by(&self, presence: Presence) -> bool {
        fills(&self.of, presence)
    }
}

/// Whether a record has every field that some ingredients need, the date apart: a date may be there
/// in part.
pub(super) fn fills(of: &[Ingredient], presence: Presence) -> bool {
    let dates = [Field::Year, Field::Month, Field::MonthDay];
    let fields = of.iter().map(|i| i.field());
    fields
        .filter(|f| !dates.contains(f))
        .all(|f| presence.has(f))
}

/// The fields that some ingredients need.
pub(super) fn fields(of: &[Ingredient]) -> Presence {
    let mut needs = Presence::default();
    of.iter().for_each(|i| needs.set(i.field()));
    needs
}

/// A linkage key before the threshold PRF. No `Debug`; wiped on drop.
pub struct LinkageKey {
    /// The rule that made it.
    pub rule: RuleId,
    /// `rule id || form || 0x1f || value || 0x1f || value ...`, the form being 0x1f, 0x1e for a record
    /// that lacks a field, 0x1d for one with an unlisted value.
    pub text: Zeroizing<Vec<u8>>,
}

/// Everything derived from one record.
pub struct Derived {
    /// Keys in the order of the slots, no rule with more keys than it owns slots.
    pub keys: Vec<LinkageKey>,
    /// Which fields the record has.
    pub presence: Presence,
}

/// What is wrong with a rule table.
#[derive(Debug, thiserror::Error, PartialEq)]
pub enum RuleTableError {
    /// Not the shape of a rule table.
    #[error("rule table: {0}")]
    Syntax(String),
    /// Two rules have one id, or an id is above 63.
    #[error("rule {id}: the id is used twice or above 63; give every rule its own from 0 to 63")]
    Id {
        /// The id.
        id: u8,
    },
    /// An ingredient that does not exist.
    #[error("rule {id}: unknown ingredient \"{ingredient}\"")]
    Ingredient {
        /// The rule.
        id: u8,
        /// The word found.
        ingredient: String,
    },
    /// The key would be guessable.
    #[error(
        "rule {id}: {bits:.1} bits of entropy, under the floor of {floor} bits; add an attribute"
    )]
    Entropy {
        /// The rule.
        id: u8,
        /// Its bits.
        bits: f64,
        /// The floor.
        floor: f64,
    },
    /// More slots than a query has.
    #[error("{slots} slots in all, more than the {MAX_SLOTS} that a query carries")]
    Slots {
        /// Slots asked for.
        slots: usize,
    },
    /// A probability or state that makes no sense.
    #[error("states.{variable}: {what}")]
    States {
        /// The variable.
        variable: String,
        /// What is wrong.
        what: &'static str,
    },
}

/// Slots of a query for one subject.
pub const MAX_SLOTS: usize = 24;
/// Least joint Shannon entropy of a rule's key, in bits.
pub const FLOOR_BITS: f64 = 24.0;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawTable {
    version: u32,
    rule: Vec<RawRule>,
    model: super::model::RawModel,
    siblings: super::siblings::RawSiblings,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawRule {
    id: u8,
    of: Vec<String>,
    #[serde(default, rename = "else")]
    otherwise: Vec<String>,
    #[serde(default)]
    unlisted: Vec<String>,
    #[serde(default = "one")]
    slots: usize,
}

fn one() -> usize {
    1
}

/// The tables that a key depends on beside the rules themselves. (The statistics are not among them:
/// they only say which rules are allowed.)
const KEY_TABLES: [&str; 6] = [
    include_str!("data/given_names.tsv"),
    include_str!("data/orthographies.tsv"),
    include_str!("data/patronymics.tsv"),
    include_str!("data/places.tsv"),
    include_str!("data/skeleton.tsv"),
    include_str!("data/surname_stems.tsv"),
];

/// SHA-256 over the texts, each with its length before it.
fn digest_of(rules: &str, tables: &[&str]) -> [u8; 32] {
    let mut hash = Context::new(&SHA256);
    hash.update(b"wayhome/rule-table/v1");
    for text in [rules].iter().chain(tables) {
        hash.update(&(text.len() as u64).to_be_bytes());
        hash.update(text.as_bytes());
    }
    let mut sum = [0; 32];
    sum.copy_from_slice(hash.finish().as_ref());
    sum
}

/// The parsed and checked table.
pub struct RuleTable {
    version: u32,
    digest: [u8; 32],
    rules: Vec<Rule>,
    slot_rules: Vec<RuleId>,
    pub(super) model: Model,
    pub(super) siblings: super::siblings::SiblingRules,
}

static SHIPPED: LazyLock<Result<RuleTable, RuleTableError>> =
    LazyLock::new(|| RuleTable::parse(include_str!("data/rules.toml")));

impl RuleTable {
    /// The table that this build ships.
    ///
    /// # Errors
    /// Never in a released build: a test parses the shipped table.
    pub fn shipped() -> Result<&'static Self, &'static RuleTableError> {
        SHIPPED.as_ref()
    }

    /// Reads and checks a table.
    ///
    /// # Errors
    /// Names the row that is malformed, has an unknown ingredient or a used id, or makes keys of too
    /// little entropy.
    pub fn parse(text: &str) -> Result<Self, RuleTableError> {
        Self::parse_with_floor(text, FLOOR_BITS)
    }

    /// As [`Self::parse`], with another entropy floor, for measuring what the floor costs. Never for
    /// keys that leave the machine.
    ///
    /// # Errors
    /// As [`Self::parse`].
    pub fn parse_with_floor(text: &str, floor: f64) -> Result<Self, RuleTableError> {
        let raw: RawTable =
            toml::from_str(text).map_err(|e| RuleTableError::Syntax(e.to_string()))?;
        let mut rules: Vec<Rule> = Vec::new();
        let mut slot_rules = Vec::new();
        for r in &raw.rule {
            let id = RuleId(r.id);
            if r.id > 63 || rules.iter().any(|known| known.id == id) {
                return Err(RuleTableError::Id { id: r.id });
            }
            let of = ingredients_of(r.id, &r.of)?;
            let otherwise = ingredients_of(r.id, &r.otherwise)?;
            let unlisted = ingredients_of(r.id, &r.unlisted)?;
            let joint = [&of, &otherwise, &unlisted]
                .into_iter()
                .filter(|of| !of.is_empty())
                .map(|of| entropy::joint(of))
                .fold(entropy::Joint::MOST, entropy::Joint::least);
            if of.is_empty() || joint.shannon < floor {
                let bits = if of.is_empty() { 0.0 } else { joint.shannon };
                return Err(RuleTableError::Entropy {
                    id: r.id,
                    bits,
                    floor,
                });
            }
            slot_rules.extend(std::iter::repeat_n(id, r.slots));
            rules.push(Rule {
                id,
                of,
                otherwise,
                unlisted,
                slots: r.slots,
                entropy: joint,
            });
        }
        if slot_rules.len() > MAX_SLOTS {
            return Err(RuleTableError::Slots {
                slots: slot_rules.len(),
            });
        }
        let model = Model::new(&raw.model, &rules)?;
        let siblings = super::siblings::SiblingRules::new(&raw.siblings, floor)?;
        let sum = digest_of(text, &KEY_TABLES);
        Ok(Self {
            version: raw.version,
            digest: sum,
            rules,
            slot_rules,
            model,
            siblings,
        })
    }

    /// Version that the table states.
    #[must_use]
    pub fn version(&self) -> u32 {
        self.version
    }

    /// SHA-256 of the table's text and of the tables of names, letters and places that its keys are
    /// made with: what members compare.
    #[must_use]
    pub fn digest(&self) -> [u8; 32] {
        self.digest
    }

    /// The rules, in the order of their slots.
    #[must_use]
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }

    /// Number of slots that a query carries for one subject, padding included.
    #[must_use]
    pub fn slots(&self) -> usize {
        MAX_SLOTS
    }

    /// Which rule owns slot `i`. Slots beyond the end are always padding.
    #[must_use]
    pub fn slot_rules(&self) -> &[RuleId] {
        &self.slot_rules
    }

    /// Derives a record's linkage keys and presence mask.
    #[must_use]
    pub fn derive(&self, attributes: &Attributes<'_>) -> Derived {
        let features = Features::of(attributes);
        let mut keys = Vec::with_capacity(self.slot_rules.len());
        for rule in &self.rules {
            derive_rule(rule, &features, &mut keys);
        }
        Derived {
            keys,
            presence: features.presence,
        }
    }

    /// Whether the record can be found at all: at least one rule has a key.
    #[must_use]
    pub fn searchable(&self, derived: &Derived) -> bool {
        !derived.keys.is_empty()
    }
}

fn ingredients_of(id: u8, words: &[String]) -> Result<Vec<Ingredient>, RuleTableError> {
    let mut of = Vec::new();
    for word in words {
        let known = Ingredient::ALL
            .into_iter()
            .find(|i| i.name() == word)
            .ok_or_else(|| RuleTableError::Ingredient {
                id,
                ingredient: word.clone(),
            })?;
        if !of.contains(&known) {
            of.push(known);
        }
    }
    Ok(of)
}

fn derive_rule(rule: &Rule, features: &Features, keys: &mut Vec<LinkageKey>) {
    let form = rule.form_for(features);
    let of = rule.form(form);
    let lists: Vec<&[Zeroizing<String>]> = of.iter().map(|i| features.values(*i)).collect();
    let combinations: usize = lists.iter().map(|l| l.len()).fold(1, usize::saturating_mul);
    // Mixed-radix counting with the first ingredient slowest: the best values come first.
    for n in 0..combinations.min(rule.slots) {
        let mut text = Zeroizing::new(Vec::with_capacity(48));
        text.push(rule.id.0);
        // Keys of different forms never meet.
        text.push([0x1f, 0x1e, 0x1d][form]);
        let mut rest = n;
        for list in &lists {
            let value = &list[rest % list.len()];
            rest /= list.len();
            text.push(0x1f);
            text.extend_from_slice(value.as_bytes());
        }
        keys.push(LinkageKey {
            rule: rule.id,
            text,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::super::attributes::Date;
    use super::*;

    const SHIPPED_TEXT: &str = include_str!("data/rules.toml");

    fn refusal(from: &str, to: &str) -> RuleTableError {
        assert!(SHIPPED_TEXT.contains(from), "{from}");
        match RuleTable::parse(&SHIPPED_TEXT.replacen(from, to, 1)) {
            Err(e) => e,
            Ok(_) => panic!("{to} was accepted"),
        }
    }

    #[test]
    fn a_bad_table_is_refused_with_the_row_named() {
        assert_eq!(
            refusal("id = 2\n", "id = 1\n"),
            RuleTableError::Id { id: 1 }
        );
        assert_eq!(
            refusal("id = 2\n", "id = 64\n"),
            RuleTableError::Id { id: 64 }
        );
        let unknown = refusal(
            "of = [\"family\", \"date\"]",
            "of = [\"shoe_size\", \"date\"]",
        );
        assert!(matches!(unknown, RuleTableError::Ingredient { id: 2, .. }));
        let bare = refusal("of = [\"family\", \"date\"]", "of = []");
        assert!(matches!(bare, RuleTableError::Entropy { id: 2, .. }));
        assert!(matches!(
            refusal("slots = 5", "slots = 50"),
            RuleTableError::Slots { .. }
        ));
        assert!(matches!(
            refusal("version = 1", "version = \"x\""),
            RuleTableError::Syntax(_)
        ));
        assert!(matches!(
            refusal("differ ", "differs "),
            RuleTableError::States { .. }
        ));
        let pair = refusal("triple_rule = 61", "triple_rule = 60");
        assert!(matches!(pair, RuleTableError::Id { id: 60 }));
    }

    #[test]
    fn tables_are_told_apart_by_their_digest() {
        let other =
            RuleTable::parse(&SHIPPED_TEXT.replace("possible_at = -6.0", "possible_at = -5.0"));
        let shipped = RuleTable::shipped().unwrap_or_else(|e| panic!("{e}"));
        assert!(other.is_ok_and(|o| o.digest() != shipped.digest()));
        // So are tables of names, letters or places, be it by one octet.
        assert_eq!(shipped.digest(), digest_of(SHIPPED_TEXT, &KEY_TABLES));
        let mut digests = vec![shipped.digest()];
        for at in 0..KEY_TABLES.len() {
            let longer = format!("{}\n", KEY_TABLES[at]);
            let mut tables = KEY_TABLES;
            tables[at] = &longer;
            digests.push(digest_of(SHIPPED_TEXT, &tables));
        }
        // An octet that moves from one table to the next makes another digest, too.
        let moved = format!(
            "{}{}",
            &KEY_TABLES[1][KEY_TABLES[1].len() - 1..],
            KEY_TABLES[2]
        );
        let mut tables = KEY_TABLES;
        (tables[1], tables[2]) = (&KEY_TABLES[1][..KEY_TABLES[1].len() - 1], &moved);
        digests.push(digest_of(SHIPPED_TEXT, &tables));
        digests.sort_unstable();
        digests.dedup();
        assert_eq!(digests.len(), KEY_TABLES.len() + 2);
    }

    #[test]
    fn every_file_of_data_is_in_the_digest_or_only_counted_with() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/src/linkage/data");
        let files = std::fs::read_dir(folder).unwrap_or_else(|e| panic!("{e}"));
        // All but the rules and the statistics.
        assert_eq!(files.count(), KEY_TABLES.len() + 2);
    }

    #[test]
    fn keys_keep_to_their_slots() {
        let table = RuleTable::shipped().unwrap_or_else(|e| panic!("{e}"));
        assert!(table.slot_rules().len() <= table.slots());
        let record = Attributes {
            family_name: Some("Клименко-Іванова"),
            given_name: Some("Саша"),
            patronymic: Some("Петрівна"),
            date_of_birth: Date::new(2014, Some(5), Some(3)),
            place_of_birth: Some("Суми"),
            mother_family_name: Some("Chomenko-Bojko"),
            mother_given_name: Some("Olena"),
            document_number: Some("І-ВА №449579"),
            last_known_place: Some("12, Main Street, 40000"),
            ..Attributes::default()
        };
        let derived = table.derive(&record);
        let mut slots = table.slot_rules().iter();
        for key in &derived.keys {
            assert_eq!(key.text.first(), Some(&key.rule.0));
            assert!(
                slots.any(|s| *s == key.rule),
                "rule {} out of its slots",
                key.rule.0
            );
        }
        assert!(table.searchable(&derived));
    }

    #[test]
    fn too_little_to_search_by() {
        let table = RuleTable::shipped().unwrap_or_else(|e| panic!("{e}"));
        let named = Attributes {
            family_name: Some("Мельник"),
            given_name: Some("Марія"),
            ..Attributes::default()
        };
        assert!(!table.searchable(&table.derive(&named)));
        assert!(!table.searchable(&table.derive(&Attributes::default())));
    }
}
