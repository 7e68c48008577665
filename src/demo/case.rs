//! Which child the story is about: drawn by a seed from the registers.

use ring::digest::{SHA256, digest};

use super::registers::{HardNegative, Registers, TruePair};
use crate::records::{Column, Protection, Record};

/// The true pairs that make a story, in the order the seed gives them: children who are written
/// differently abroad, may be searched for, and whose place is known there.
#[must_use]
pub fn draw(registers: &Registers, seed: u64) -> Vec<TruePair> {
    let mut pairs: Vec<TruePair> = registers
        .truth()
        .iter()
        .filter(|pair| {
            let Some(own) = registers.record("ua", &pair.own) else {
                return false;
            };
            let Some(other) = registers.record(&pair.member, &pair.other) else {
                return false;
            };
            own.consent.permits_search()
                && other.consent.permits_search()
                && matches!(other.protection, Protection::None)
                && other.current_place.is_some()
                && other.current_carer.is_some()
                && differs(own, other)
        })
        .cloned()
        .collect();
    pairs.sort_by_key(|pair| order(seed, &pair.own));
    pairs
}

/// A child of Ukraine's register whose sibling or namesake is abroad, and who is not.
#[must_use]
pub fn draw_negative(registers: &Registers, seed: u64, kind: &str) -> Option<HardNegative> {
    let found_abroad: std::collections::BTreeSet<&str> = registers
        .truth()
        .iter()
        .map(|pair| pair.own.as_str())
        .collect();
    registers
        .hard_negatives()
        .iter()
        .filter(|negative| {
            negative.kind.contains(kind)
                && !found_abroad.contains(negative.own.as_str())
                && registers
                    .record("ua", &negative.own)
                    .is_some_and(|own| own.consent.permits_search())
        })
        .min_by_key(|negative| order(seed, &negative.own))
        .cloned()
}

/// A child in a line, as its register writes it.
#[must_use]
pub fn line(record: &Record) -> String {
    let text = |column| {
        record
            .field(column)
            .map(|text| text.expose().clone())
            .unwrap_or_default()
    };
    let name = [Column::GivenName, Column::Patronymic, Column::FamilyName]
        .map(text)
        .into_iter()
        .filter(|part| !part.is_empty())
        .collect::<Vec<_>>()
        .join(" ");
    let born = text(Column::DateOfBirth);
    // A sentence ends after it, and places end in abbreviations.
    let place = text(Column::PlaceOfBirth).trim_end_matches('.').to_owned();
    match (born.is_empty(), place.is_empty()) {
        (false, false) => format!("{name}, born {born} in {place}"),
        (false, true) => format!("{name}, born {born}"),
        (true, false) => format!("{name}, born in {place}"),
        (true, true) => name,
    }
}

fn differs(own: &Record, other: &Record) -> bool {
    let text = |record: &Record, column| {
        record
            .field(column)
            .map(|text| text.expose().clone())
            .unwrap_or_default()
    };
    [Column::FamilyName, Column::GivenName]
        .into_iter()
        .any(|column| text(own, column) != text(other, column))
}

fn order(seed: u64, reference: &str) -> [u8; 32] {
    let mut bytes = seed.to_be_bytes().to_vec();
    bytes.extend_from_slice(reference.as_bytes());
    let mut hash = [0; 32];
    hash.copy_from_slice(digest(&SHA256, &bytes).as_ref());
    hash
}
