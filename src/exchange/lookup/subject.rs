//! A subject's coalition tokens, and what is made of them: index rows at home, slots abroad.

use std::collections::BTreeMap;

use zeroize::Zeroizing;

use super::TOKEN;
use crate::ambient::Ambient;
use crate::linkage::{Attributes, Date, LinkageKey, Presence, RuleId, RuleTable, Sex};
use crate::oprf::CoalitionToken;
use crate::proto::exchange as pb;
use crate::records::{self, Record};
use crate::vault::PersonalText;

/// The coalition tokens of one child, by rule, with its presence mask.
#[derive(Clone)]
pub struct SubjectTokens {
    /// Which fields are known.
    pub presence: Presence,
    /// The tokens, sibling keys included.
    pub tokens: Vec<(RuleId, CoalitionToken)>,
}

/// Octets of one stored token: the rule, then the token.
const STORED: usize = 1 + 64;

impl SubjectTokens {
    /// The tokens as they are sealed.
    #[must_use]
    pub fn to_bytes(&self) -> Zeroizing<Vec<u8>> {
        let mut bytes = Zeroizing::new(Vec::with_capacity(self.tokens.len() * STORED));
        for (rule, token) in &self.tokens {
            bytes.push(rule.0);
            bytes.extend_from_slice(token.as_bytes());
        }
        bytes
    }

    /// Reads what [`SubjectTokens::to_bytes`] wrote; `None` if it is something else.
    #[must_use]
    pub fn from_bytes(presence: u16, bytes: &[u8]) -> Option<Self> {
        let (stored, []) = bytes.as_chunks::<STORED>() else {
            return None;
        };
        let tokens = stored
            .iter()
            .map(|entry| {
                let (rule, token) = entry.split_first()?;
                let token = token.first_chunk::<64>()?;
                Some((RuleId(*rule), CoalitionToken::from_bytes(token)))
            })
            .collect::<Option<_>>()?;
        Some(Self {
            presence: Presence::from_bits(presence),
            tokens,
        })
    }

    /// The rows that `holder`'s own index has for this child.
    #[must_use]
    pub fn index_rows(&self, epoch: u32, holder: &str) -> Vec<(u8, [u8; TOKEN])> {
        self.tokens
            .iter()
            .map(|(rule, token)| {
                let lookup = token.lookup_key().token(epoch, holder);
                (rule.0, *lookup.as_bytes())
            })
            .collect()
    }

    /// The child as a subject of a query to `holder`: every slot filled, those without a key by
    /// what the holder cannot tell from a token, so that neither their number nor their absence
    /// tells anything. The filling is the same each time, since it is made of the child's own
    /// tokens: a holder counts how many different sets of tokens touched a record, and asking
    /// again about the same child is not another set.
    #[must_use]
    pub fn for_holder(
        &self,
        rules: &RuleTable,
        epoch: u32,
        holder: &str,
        ambient: &Ambient,
    ) -> pb::LookupSubject {
        let mut by_rule = BTreeMap::<u8, Vec<[u8; TOKEN]>>::new();
        for (rule, token) in self.index_rows(epoch, holder) {
            by_rule.entry(rule).or_default().push(token);
        }
        let filler = self.tokens.first().map(|(_, token)| token.lookup_key());
        let mut filled = 0_u32;
        let mut fill = |slots: usize, owners: &[RuleId]| {
            let mut bytes = Vec::with_capacity(slots * TOKEN);
            for slot in 0..slots {
                let token = owners
                    .get(slot)
                    .and_then(|rule| by_rule.get_mut(&rule.0))
                    .and_then(Vec::pop)
                    .unwrap_or_else(|| match &filler {
                        // No member's id holds a space, so no filling is ever a token.
                        Some(key) => *key
                            .token(epoch, &format!("{holder} filling {filled}"))
                            .as_bytes(),
                        None => ambient.random(),
                    });
                filled += 1;
                bytes.extend_from_slice(&token);
            }
            bytes
        };
        pb::LookupSubject {
            presence: u32::from(self.presence.0),
            tokens: fill(rules.slots(), rules.slot_rules()),
            sibling_tokens: fill(rules.sibling_slot_rules().len(), rules.sibling_slot_rules()),
        }
    }
}

/// A record as the linkage sees it.
#[must_use]
pub fn attributes(record: &Record) -> Attributes<'_> {
    fn text(value: Option<&PersonalText>) -> Option<&str> {
        value.map(|text| text.expose().as_str())
    }
    Attributes {
        family_name: text(record.family_name.as_ref()),
        given_name: text(record.given_name.as_ref()),
        patronymic: text(record.patronymic.as_ref()),
        other_names: text(record.other_names.as_ref()),
        sex: record.sex.as_ref().and_then(|sex| match sex {
            records::Sex::Male => Some(Sex::Male),
            records::Sex::Female => Some(Sex::Female),
            records::Sex::Unspecified => None,
        }),
        date_of_birth: record.date_of_birth.as_ref().map(|date| Date {
            year: i32::from(date.year()),
            month: date.month(),
            day: date.day(),
        }),
        place_of_birth: text(record.place_of_birth.as_ref()),
        citizenship: text(record.citizenship.as_ref()),
        mother_family_name: text(record.mother_family_name.as_ref()),
        mother_given_name: text(record.mother_given_name.as_ref()),
        father_family_name: text(record.father_family_name.as_ref()),
        father_given_name: text(record.father_given_name.as_ref()),
        document_type: text(record.document_type.as_ref()),
        document_number: text(record.document_number.as_ref()),
        last_known_place: text(record.last_known_place.as_ref()),
    }
}

/// The sibling keys of `record` within its family, itself among them.
#[must_use]
pub fn sibling_keys(rules: &RuleTable, record: &Record, family: &[Record]) -> Vec<LinkageKey> {
    let Some(which) = family
        .iter()
        .position(|member| member.record_ref.as_str() == record.record_ref.as_str())
    else {
        return Vec::new();
    };
    let attributes: Vec<Attributes<'_>> = family.iter().map(attributes).collect();
    rules.derive_siblings(&attributes, which)
}
