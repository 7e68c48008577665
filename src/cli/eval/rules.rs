//! The rule table of a measurement.

use std::path::Path;

use toml::{Table as Toml, Value};

use crate::cli::CliError;
use crate::cli::input::read_text;
use crate::linkage::{FLOOR_BITS, MAX_SLOTS, RuleTable};

/// A rule table with the text it was read from.
pub struct Table {
    /// The table.
    pub rules: RuleTable,
    /// Its text.
    pub text: String,
}

/// The shipped table.
const SHIPPED: &str = include_str!("../../linkage/data/rules.toml");

/// What the shipped table lacks because of the entropy floor. Keys of so few values can be told by
/// how often they occur, which is why there is a floor.
const UNDER_THE_FLOOR: [&[&str]; 2] = [&["date"], &["family", "given"]];

/// The id of the first of them; no shipped rule is called so.
const FIRST_ID: i64 = 50;

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
            Some(path) => read_text(path, "RULES")?,
            None if waived => under_the_floor(SHIPPED).map_err(|error| wrong(&error))?,
            None => SHIPPED.to_owned(),
        };
        let floor = if waived { 0.0 } else { FLOOR_BITS };
        let rules = RuleTable::parse_with_floor(&text, floor).map_err(|error| wrong(&error))?;
        Ok(Self { rules, text })
    }
}

/// The table of `text` with the rules of [`UNDER_THE_FLOOR`] after its own. Where its own leave no
/// slots for them, those with several keys are left fewer.
fn under_the_floor(text: &str) -> Result<String, toml::de::Error> {
    let mut table: Toml = text.parse()?;
    let Some(rules) = table.get_mut("rule").and_then(Value::as_array_mut) else {
        return Ok(text.to_owned());
    };
    let most = (MAX_SLOTS - UNDER_THE_FLOOR.len()) as i64;
    let mut taken: i64 = rules.iter().map(slots).sum();
    for rule in rules.iter_mut() {
        let fewer = (slots(rule) - 1).min(taken - most);
        if fewer > 0 {
            let left = slots(rule) - fewer;
            taken -= fewer;
            if let Some(rule) = rule.as_table_mut() {
                rule.insert("slots".to_owned(), left.into());
            }
        }
    }
    for (id, of) in (FIRST_ID..).zip(UNDER_THE_FLOOR) {
        let of = of.iter().map(|ingredient| Value::from(*ingredient));
        rules.push(Value::Table(Toml::from_iter([
            ("id".to_owned(), id.into()),
            ("of".to_owned(), Value::Array(of.collect())),
        ])));
    }
    Ok(table.to_string())
}

fn slots(rule: &Value) -> i64 {
    rule.get("slots").and_then(Value::as_integer).unwrap_or(1)
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
    fn the_rules_under_the_floor_find_room() {
        let rule =
            |id: i64, slots: i64| format!("[[rule]]\nid = {id}\nof = [\"x\"]\nslots = {slots}\n");
        for (given, left) in [
            ([1, 20, 1], [1, 20, 1]),
            ([3, 20, 1], [1, 20, 1]),
            ([3, 21, 2], [1, 19, 2]),
        ] {
            let text: String = (1..)
                .zip(given)
                .map(|(id, slots)| rule(id, slots))
                .collect();
            let waived: Toml = under_the_floor(&text).unwrap().parse().unwrap();
            let rules = waived["rule"].as_array().unwrap();
            let found: Vec<i64> = rules.iter().map(slots).collect();
            assert_eq!(found[..3], left);
            assert_eq!(found.len(), 3 + UNDER_THE_FLOOR.len());
            assert!(found.iter().sum::<i64>() <= MAX_SLOTS as i64);
        }
    }
}
