//! Families found as families.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::path::Path;

use super::measure::Pair;
use super::register::Register;
use super::truth::{self, Truth};
use crate::cli::CliError;
use crate::linkage::Grade;

/// What asking about whole families found.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct GroupFigures {
    /// Families asked about that have at least two children.
    pub asked: usize,
    /// Those of them that the holder holds.
    pub held: usize,
    /// Held ones of whose family at least one record is answered as possible or better.
    pub found: usize,
    /// Held ones that are found by their sibling keys.
    pub found_by_siblings: usize,
    /// Asked ones for which another family is answered because of sibling keys.
    pub wrong: usize,
    /// Asked ones for which a record of another family is answered, for whatever it says itself.
    pub wrong_by_records: usize,
    /// The held ones by their number of children in B.
    pub by_size: Vec<SizeFigures>,
}

/// Held families of one size.
#[derive(Clone, Debug, PartialEq)]
pub struct SizeFigures {
    /// Children that are asked about.
    pub size: usize,
    /// Families of that size that the holder holds.
    pub held: usize,
    /// Those found.
    pub found: usize,
    /// Those found by their sibling keys.
    pub found_by_siblings: usize,
}

/// Which families are the same: stated in a file, else those that a true pair joins.
///
/// # Errors
/// As [`truth::families`].
pub fn true_groups(
    path: Option<&Path>,
    truth: &Truth,
    a: &Register,
    b: &Register,
) -> Result<Vec<(String, String)>, CliError> {
    if let Some(path) = path {
        return truth::families(path, a, b);
    }
    let joined: BTreeSet<(String, String)> = truth
        .by_position
        .keys()
        .filter_map(|&(at_a, at_b)| {
            let a = a.records[at_a].family_ref.as_ref()?;
            let b = b.records[at_b].family_ref.as_ref()?;
            Some((a.as_str().to_owned(), b.as_str().to_owned()))
        })
        .collect();
    Ok(joined.into_iter().collect())
}

/// The figures of families; `None` where a register has none.
pub fn figures(
    pairs: &[Pair],
    groups: &[(String, String)],
    a: &Register,
    b: &Register,
) -> Option<GroupFigures> {
    if a.families().is_empty() || b.families().is_empty() {
        return None;
    }
    let truth: HashSet<(&str, &str)> = groups
        .iter()
        .map(|(a, b)| (a.as_str(), b.as_str()))
        .collect();
    let held: HashSet<&str> = groups.iter().map(|(_, b)| b.as_str()).collect();
    let mut found: HashMap<&str, Found> = HashMap::new();
    for pair in pairs.iter().filter(|pair| pair.at_least(Grade::Possible)) {
        let Some(asked) = &b.records[pair.b].family_ref else {
            continue;
        };
        let family = a.records[pair.a].family_ref.as_ref();
        let right = family.is_some_and(|held| truth.contains(&(held.as_str(), asked.as_str())));
        let found = found.entry(asked.as_str()).or_default();
        let flags = if right {
            &mut found.right
        } else {
            &mut found.wrong
        };
        flags.by_siblings |= pair.candidate.by_family;
        flags.by_records |= !pair.candidate.by_family;
    }
    let mut figures = GroupFigures::default();
    let mut by_size: BTreeMap<usize, SizeFigures> = BTreeMap::new();
    for (family, children) in b.families() {
        let size = children.len();
        if size < 2 {
            continue;
        }
        let found = found.get(family).copied().unwrap_or_default();
        figures.asked += 1;
        figures.wrong += usize::from(found.wrong.by_siblings);
        figures.wrong_by_records += usize::from(found.wrong.by_records);
        if held.contains(family) {
            let sized = by_size.entry(size).or_insert(SizeFigures {
                size,
                held: 0,
                found: 0,
                found_by_siblings: 0,
            });
            sized.held += 1;
            sized.found += usize::from(found.right.by_siblings || found.right.by_records);
            sized.found_by_siblings += usize::from(found.right.by_siblings);
        }
    }
    figures.by_size = by_size.into_values().collect();
    for sized in &figures.by_size {
        figures.held += sized.held;
        figures.found += sized.found;
        figures.found_by_siblings += sized.found_by_siblings;
    }
    Some(figures)
}

#[derive(Clone, Copy, Default)]
struct Found {
    right: Flags,
    wrong: Flags,
}

#[derive(Clone, Copy, Default)]
struct Flags {
    by_siblings: bool,
    by_records: bool,
}
