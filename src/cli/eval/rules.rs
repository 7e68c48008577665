//! The rule table of a measurement.

use std::path::Path;

use toml::{Table as Toml, Value};

use crate::cli::CliError;
use crate::linkage::{FLOOR_BITS, RuleTable};

/// A rule table with the text it was read from.
pub struct Table {
    /// The table.
    pub rules: RuleTable,
    /// Its text.
    pub text: String,
}

/// The shipped table.
const SHIPPED: &str = include_str!("../../linkage/data/rules.toml");

/// What the shipped table lacks because of the entropy floor: where two records lack the one
/// attribute, the rule's slot could hold a key over the others. Such keys are few enough for their
/// frequencies to be told, which is why there is a floor.
const UNDER_THE_FLOOR: [(&str, &[&str]); 4] = [
    ("patronymic", &["date", "given"]),
    ("mother_given", &["family", "given"]),
    ("place", &["date", "family_head"]),
    ("place", &["date"]),
];

impl Table {
    /// Reads the table at `path`, or the shipped one. With `waived`, rules under the entropy floor
    /// are taken, and the shipped table is given those that it lacks because of the floor.
    ///
    /// # Errors
    /// That it cannot be read, with the row at fault.
    pub fn read(path: Option<&Path>, waived: bool) -> Result<Self, CliError> {
        let name = path.map_or_else(
            || "the shipped rule table".to_owned(),
            |path| path.display().to_string(),
        );
        let wrong =
            |why: &dyn std::fmt::Display| CliError::input("RULES", format!("{name}: {why}"));
        let text = match path {
            Some(path) => std::fs::read_to_string(path).map_err(|error| wrong(&error))?,
            None if waived => under_the_floor(SHIPPED).map_err(|error| wrong(&error))?,
            None => SHIPPED.to_owned(),
        };
        let floor = if waived { 0.0 } else { FLOOR_BITS };
        let rules = RuleTable::parse_with_floor(&text, floor).map_err(|error| wrong(&error))?;
        Ok(Self { rules, text })
    }
}

/// The table of `text` with the forms of [`UNDER_THE_FLOOR`], each at the first rule that has its
/// attribute and no such form yet.
fn under_the_floor(text: &str) -> Result<String, toml::de::Error> {
    let mut table: Toml = text.parse()?;
    for (lacking, of) in UNDER_THE_FLOOR {
        let rules = table.get_mut("rule").and_then(Value::as_array_mut);
        let rule = rules
            .into_iter()
            .flatten()
            .filter_map(Value::as_table_mut)
            .find(|rule| !rule.contains_key("else") && uses(rule, lacking));
        if let Some(rule) = rule {
            let of = of.iter().map(|ingredient| Value::from(*ingredient));
            rule.insert("else".to_owned(), of.collect::<Vec<Value>>().into());
        }
    }
    Ok(table.to_string())
}

fn uses(rule: &Toml, ingredient: &str) -> bool {
    let of = rule.get("of").and_then(Value::as_array);
    of.is_some_and(|of| of.iter().any(|name| name.as_str() == Some(ingredient)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::linkage::Attributes;

    #[test]
    fn the_floor_can_be_waived_here_and_by_no_node() {
        let shipped = Table::read(None, false).ok().unwrap();
        let waived = Table::read(None, true).ok().unwrap();
        assert_eq!(
            RuleTable::shipped().ok().unwrap().digest(),
            shipped.rules.digest()
        );
        assert!(RuleTable::parse(&waived.text).is_err());
        assert_ne!(shipped.rules.digest(), waived.rules.digest());
        assert_eq!(shipped.rules.slots(), waived.rules.slots());
        // A name and no date: too little for the shipped table, and enough for the other.
        let name = Attributes {
            family_name: Some("Мельник"),
            given_name: Some("Оксана"),
            ..Attributes::default()
        };
        let keys = |table: &Table| table.rules.derive(&name).keys.len();
        assert_eq!((keys(&shipped), keys(&waived)), (0, 1));
    }

    #[test]
    fn every_form_finds_a_rule() {
        let waived: Toml = under_the_floor(SHIPPED).unwrap().parse().unwrap();
        let forms: Vec<&Value> = waived["rule"]
            .as_array()
            .unwrap()
            .iter()
            .filter_map(|rule| rule.get("else"))
            .collect();
        for (_, of) in UNDER_THE_FLOOR {
            let of: Vec<Value> = of.iter().map(|name| Value::from(*name)).collect();
            assert!(forms.contains(&&Value::Array(of)));
        }
    }
}
