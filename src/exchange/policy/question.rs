//! What a policy is asked, as Cedar takes it.

use std::collections::{HashMap, HashSet};

use cedar_policy::{
    Context, Entities, Entity, EntityId, EntityTypeName, EntityUid, Request, RestrictedExpression,
    Schema,
};

use crate::records::{Column, Consent, Protection, Record};
use crate::roster::{LegalBasis, Purpose};

/// What a policy may know of a record: how it is to be handled, and nothing of what it says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordFacts {
    /// What has become of the child, in the register's word; empty if not stated.
    pub status: String,
    /// How the record is protected.
    pub protection: Protection,
    /// The ground on which it may be searched for.
    pub ground: Consent,
    /// Accounts that entered or changed it.
    pub entered_by: Vec<String>,
    /// Whether a record of its family is silent. No rule can ask it: it only ever asks for more.
    pub family_silent: bool,
}

impl RecordFacts {
    /// Those of a record.
    #[must_use]
    pub fn of(record: &Record, entered_by: Vec<String>) -> Self {
        Self {
            status: record
                .status
                .as_ref()
                .map_or_else(String::new, |status| status.as_str().to_owned()),
            protection: record.protection,
            ground: record.consent,
            entered_by,
            family_silent: false,
        }
    }
}

/// A question to a policy: everything but the field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    /// Who asks, by its id in the roster.
    pub member: String,
    /// What for.
    pub purpose: Purpose,
    /// On what legal ground.
    pub legal_basis: LegalBasis,
    /// Whether the finding is certain and the record unchanged since.
    pub certain: bool,
    /// Whether the request states a deadline.
    pub urgent: bool,
    /// The record.
    pub record: RecordFacts,
}

/// A question that the schema does not know. It cannot come of the types here; a test asks every
/// field under every purpose, basis, protection and ground.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the question does not fit the policy's schema")]
pub(super) struct Unaskable;

impl Question {
    pub(super) fn to_cedar(
        &self,
        schema: &Schema,
        column: Column,
        approvals: i64,
        break_glass: bool,
    ) -> Result<(Request, Entities), Unaskable> {
        let record = entity("Record", "record")?;
        let attributes = HashMap::from([
            (
                "status".to_owned(),
                RestrictedExpression::new_string(self.record.status.clone()),
            ),
            (
                "protection".to_owned(),
                value("Protection", self.record.protection.as_str())?,
            ),
            (
                "ground".to_owned(),
                value("Ground", self.record.ground.as_str())?,
            ),
            (
                "entered_by".to_owned(),
                RestrictedExpression::new_set(
                    self.record
                        .entered_by
                        .iter()
                        .map(|account| RestrictedExpression::new_string(account.clone())),
                ),
            ),
        ]);
        let member = entity("Member", &self.member)?;
        let entities = Entities::from_entities(
            [
                Entity::new(record.clone(), attributes, HashSet::new()).map_err(|_| Unaskable)?,
                Entity::new_no_attrs(member.clone(), HashSet::new()),
            ],
            // With the schema come the classes of fields.
            Some(schema),
        )
        .map_err(|_| Unaskable)?;
        let context = Context::from_pairs([
            (
                "purpose".to_owned(),
                value("Purpose", self.purpose.as_str())?,
            ),
            (
                "legal_basis".to_owned(),
                value("LegalBasis", self.legal_basis.as_str())?,
            ),
            (
                "approvals".to_owned(),
                RestrictedExpression::new_long(approvals),
            ),
            (
                "certain".to_owned(),
                RestrictedExpression::new_bool(self.certain),
            ),
            (
                "urgent".to_owned(),
                RestrictedExpression::new_bool(self.urgent),
            ),
            (
                "break_glass".to_owned(),
                RestrictedExpression::new_bool(break_glass),
            ),
        ])
        .map_err(|_| Unaskable)?;
        let request = Request::new(
            member,
            entity("Action", column.name())?,
            record,
            context,
            Some(schema),
        )
        .map_err(|_| Unaskable)?;
        Ok((request, entities))
    }
}

fn entity(kind: &str, id: &str) -> Result<EntityUid, Unaskable> {
    let kind: EntityTypeName = kind.parse().map_err(|_| Unaskable)?;
    Ok(EntityUid::from_type_name_and_id(kind, EntityId::new(id)))
}

fn value(kind: &str, id: &str) -> Result<RestrictedExpression, Unaskable> {
    entity(kind, id).map(RestrictedExpression::new_entity_uid)
}
