//! Notices: a holder tells a receiver that what it was told is withdrawn or has changed, again and
//! again until the receiver acknowledges; and the receiver acts on it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::asked::Asked;
use super::case::{Case, State};
use crate::exchange::ask::{self, Asking, Changes, OnAnswer, ask_keeping, client};
use crate::exchange::leaf::Leaf;
use crate::exchange::message::{Answer, AnswerItems, AnswerTo, Query, sign_query, sixteen_octets};
use crate::exchange::service::{self, Answering};
use crate::exchange::{Party, PeerError, Refusal};
use crate::proto::exchange as pb;
use crate::proto::exchange::disclosure_service_client::DisclosureServiceClient;
use crate::records::Column;
use crate::roster::Member;
use crate::store::{Effect, Mail, NoticeRow, StoreError};

/// How long a notice is tried, in milliseconds: as long as a receiver may keep what it was told.
const GIVE_UP_MS: u64 = super::RETENTION_MS;

/// Longest time between two attempts, in milliseconds: six hours.
const MAX_PAUSE_MS: u64 = 6 * 3_600_000;

/// Most notices that one round sends.
const AT_ONCE: u64 = 100;

/// How long a receiver is given for one notice: less than for an answer that somebody waits for.
const PATIENCE: Duration = Duration::from_secs(30);

/// What is said of a receiver that did not answer in time.
const LATE: &str = "LATE";

/// What a notice is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Kind {
    /// All that was told is withdrawn.
    Withdrawn,
    /// Some of it has changed.
    Corrected,
}

/// A notice on its way. Nothing in it is personal.
#[derive(Serialize, Deserialize)]
struct Notice {
    member: String,
    request_id: String,
    kind: Kind,
    #[serde(with = "super::case::names")]
    fields: Vec<Column>,
    since_ms: u64,
}

/// A notice that all of a request is withdrawn.
pub(super) fn withdrawn(party: &Party, case: &Case) -> Result<NoticeRow, StoreError> {
    posted(party, case, Kind::Withdrawn, Vec::new())
}

/// A notice that some fields have changed.
pub(super) fn corrected(
    party: &Party,
    case: &Case,
    fields: Vec<Column>,
) -> Result<NoticeRow, StoreError> {
    posted(party, case, Kind::Corrected, fields)
}

fn posted(
    party: &Party,
    case: &Case,
    kind: Kind,
    fields: Vec<Column>,
) -> Result<NoticeRow, StoreError> {
    let now_ms = party.ambient().now_ms();
    let notice = Notice {
        member: case.member.clone(),
        request_id: hex::encode(case.request_id),
        kind,
        fields,
        since_ms: now_ms,
    };
    let plaintext = serde_json::to_vec(&notice).map_err(|error| damaged(&error))?;
    Ok(NoticeRow {
        kind: Mail::Notice,
        notice_id: party.ambient().random(),
        plaintext: Zeroizing::new(plaintext),
        attempts: 0,
        due_ms: now_ms,
    })
}

fn damaged(error: &dyn std::fmt::Display) -> StoreError {
    StoreError::Damaged {
        what: "notice".to_owned(),
        reason: error.to_string(),
    }
}

/// Sends the notices that are due, each once; what does not get through is put off. Receivers are told
/// beside each other: one that does not answer holds up its own notices alone.
///
/// # Errors
/// One of them, if the store fails, or a notice cannot be read.
pub async fn send_due(party: &Arc<Party>) -> Result<(), StoreError> {
    let now_ms = party.ambient().now_ms();
    let rows = party
        .store()
        .notices_due(Mail::Notice, now_ms, AT_ONCE)
        .await?;
    let mut by_receiver: BTreeMap<String, Vec<(NoticeRow, Notice)>> = BTreeMap::new();
    let mut outcome = Ok(());
    for row in rows {
        match serde_json::from_slice::<Notice>(&row.plaintext) {
            Ok(notice) => by_receiver
                .entry(notice.member.clone())
                .or_default()
                .push((row, notice)),
            Err(error) => {
                let error = damaged(&error);
                tracing::error!(%error, "a notice that cannot be read is sent no more");
                let put_off = party
                    .store()
                    .put_off(row.notice_id, row.attempts, super::NEVER);
                outcome = put_off.await.and(Err(error));
            }
        }
    }
    let sent = by_receiver
        .into_values()
        .map(|notices| send_to_one(party, notices, now_ms));
    for sent in futures_util::future::join_all(sent).await {
        outcome = outcome.and(sent);
    }
    outcome
}

async fn send_to_one(
    party: &Arc<Party>,
    notices: Vec<(NoticeRow, Notice)>,
    now_ms: u64,
) -> Result<(), StoreError> {
    let mut silent = false;
    for (row, notice) in notices {
        let code = if silent {
            // The one before was not answered either.
            LATE.to_owned()
        } else {
            match tokio::time::timeout(PATIENCE, send(party, &row, &notice)).await {
                Ok(Ok(())) => continue,
                Ok(Err(PeerError::Store(error))) => return Err(error),
                Ok(Err(error)) => error.code().to_owned(),
                Err(_) => {
                    silent = true;
                    LATE.to_owned()
                }
            }
        };
        let attempts = row.attempts + 1;
        let given_up = now_ms.saturating_sub(notice.since_ms) > GIVE_UP_MS;
        let pause = (1_000_u64 << attempts.min(15)).min(MAX_PAUSE_MS);
        let due_ms = if given_up {
            super::NEVER
        } else {
            now_ms + pause
        };
        tracing::warn!(
            peer = notice.member,
            code,
            attempts,
            given_up,
            "a notice of withdrawal or correction did not get through"
        );
        party
            .store()
            .put_off(row.notice_id, attempts, due_ms)
            .await?;
    }
    Ok(())
}

async fn send(party: &Arc<Party>, row: &NoticeRow, notice: &Notice) -> Result<(), PeerError> {
    let roster = party.roster()?;
    let receiver = roster
        .active(&notice.member, party.ambient().now())
        .map_err(|error| Refusal::NoRoster {
            why: error.to_string(),
        })?
        .clone();
    let payload = pb::DisclosureNotice {
        request_id: hex::decode(&notice.request_id).unwrap_or_default(),
        kind: match notice.kind {
            Kind::Withdrawn => pb::NoticeKind::Withdrawn,
            Kind::Corrected => pb::NoticeKind::Corrected,
        }
        .into(),
        fields: Some(prost_types::FieldMask {
            paths: notice
                .fields
                .iter()
                .map(|column| column.name().to_owned())
                .collect(),
        }),
        ..pb::DisclosureNotice::default()
    };
    let query = sign_query(party, &roster, &receiver, payload, &[])?;
    let asking = Asking {
        asked: pb::Act::NoticeAsked,
        received: pb::Act::NoticeReceived,
        ground: None,
        count: notice.fields.len() as u32,
        outcome: pb::Outcome::default(),
        keep: Vec::new(),
    };
    let channel = ask::link(party, &receiver).await?;
    let arrived = Arrived(row.notice_id);
    ask_keeping::<pb::NoticeAnswer, _, _>(
        party,
        &roster,
        &receiver,
        &query,
        asking,
        Vec::new(),
        &arrived,
        |message| {
            let channel = channel.clone();
            async move {
                let request = pb::NotifyRequest {
                    message: Some(message),
                };
                let reply = client!(DisclosureServiceClient<_>, channel)
                    .notify(request)
                    .await?;
                Ok(reply.into_inner().message)
            }
        },
    )
    .await?;
    Ok(())
}

/// The notice is off its way with the leaf of its acknowledgement.
struct Arrived([u8; 16]);

#[tonic::async_trait]
impl OnAnswer<pb::NoticeAnswer> for Arrived {
    async fn effects(
        &self,
        _party: &Party,
        _answer: &Answer<pb::NoticeAnswer>,
    ) -> Result<Changes, StoreError> {
        Ok(vec![Effect::Unpost(self.0)].into())
    }
}

/// Acts on a holder's notice: erases what was withdrawn, marks what has changed.
///
/// # Errors
/// A [`Refusal`] that names what is wrong.
pub async fn answer_notice(
    party: &Arc<Party>,
    caller: &Member,
    message: pb::SignedMessage,
) -> Result<pb::SignedMessage, Refusal> {
    let roster = party.roster()?;
    let query: Query<pb::DisclosureNotice> = service::open(party, &roster, caller, message).await?;
    service::answer_once(party, &query, act_on(party, &roster, &query)).await
}

async fn act_on(
    party: &Arc<Party>,
    roster: &Arc<crate::roster::TrustedRoster>,
    query: &Query<pb::DisclosureNotice>,
) -> Result<Answering, Refusal> {
    if !query.issuer.roles.member {
        return Err(Refusal::RoleMissing { role: "member" });
    }
    if !query.items.is_empty() {
        return Err(Refusal::Malformed {
            what: "notice",
            why: "it has items".to_owned(),
        });
    }
    let request_id = sixteen_octets("request_id", &query.payload.request_id)?;
    let holder = query.issuer.id.as_str();
    let failed = |error: StoreError| party.unavailable(&error);
    let row = party
        .store()
        .received(holder, &request_id)
        .await
        .map_err(failed)?
        .ok_or(Refusal::RequestUnknown)?;
    let mut asked = Asked::read(&row).map_err(failed)?;
    let named: Vec<Column> = query
        .payload
        .fields
        .as_ref()
        .map(|mask| mask.paths.as_slice())
        .unwrap_or_default()
        .iter()
        .filter_map(|name| Column::from_name(name))
        .filter(|column| asked.told.contains(column))
        .collect();
    let kind = query.payload.kind();
    let mut effects = Vec::new();
    match kind {
        pb::NoticeKind::Withdrawn => {
            asked.state = State::Withdrawn;
            asked.told.clear();
            asked.outdated.clear();
            asked.waiting.clear();
            asked.retain_until_ms = None;
            effects.push(Effect::EraseValues(row.ask_id));
        }
        pb::NoticeKind::Corrected => {
            asked.state = State::Corrected;
            // On top of what an earlier correction named.
            for column in &named {
                if !asked.outdated.contains(column) {
                    asked.outdated.push(*column);
                }
            }
        }
        pb::NoticeKind::Unspecified => {
            return Err(Refusal::Malformed {
                what: "kind",
                why: "it is not stated, or not one that this node knows".to_owned(),
            });
        }
    }
    effects.push(Effect::PutReceived {
        row: asked
            .row(party, row.ask_id, row.version + 1)
            .map_err(failed)?,
        holds_values: false,
    });
    tracing::warn!(
        alert = "notice",
        peer = holder,
        kind = kind.as_str_name(),
        request = hex::encode(request_id),
        "a member withdrew or corrected what it had told"
    );
    let items = AnswerItems::new(party, &[]);
    let leaf = Leaf::new(
        pb::Act::NoticeAnswered,
        party.ambient(),
        &pb::Outcome::default(),
    )
    .set(|entry| {
        entry.answer_digest = items.root().to_vec();
        // As the sender counts: what was told here of it may be less.
        entry.count = query
            .payload
            .fields
            .as_ref()
            .map_or(0, |mask| mask.paths.len()) as u32;
        entry.reference = match kind {
            pb::NoticeKind::Withdrawn => "withdrawn".to_owned(),
            _ => "corrected".to_owned(),
        };
    });
    let to = AnswerTo::from(query);
    let (signer, roster) = (Arc::clone(party), Arc::clone(roster));
    let payload = pb::NoticeAnswer::default();
    Ok(Answering {
        leaf,
        debits: vec![service::daily_debit(
            party,
            &query.issuer,
            "notices_per_day",
            1,
            super::DISCLOSURES_PER_DAY * 10,
        )],
        effects,
        answer: Box::new(move |position| items.sign(&signer, &roster, &to, &payload, position)),
    })
}
