//! The holder's people decide on a request.
//!
//! A decision names the digest of the request as it was shown. It becomes durable in one act with its
//! leaf, over the very version of the request that it was made on and the very version of the account
//! that made it: two decisions at once, or a role that is taken away at the same moment, and the act
//! is not done but made anew on what holds then.

use std::collections::BTreeSet;

use super::case::{AccountId, Case, Decision, DecisionError, End, FieldState, Ground, State};
use super::reason::DenialReason;
use super::server::{Newest, newest};
use super::{Floor, read_case, reminder, row};
use crate::ambient::fault;
use crate::exchange::leaf::Leaf;
use crate::exchange::policy::{self, Policy, PolicyInForce};
use crate::exchange::{Party, legal_basis_to, purpose_to};
use crate::proto::exchange as pb;
use crate::records::Column;
use crate::store::{Act, Committed, Effect, RequestRow, StoreError};
use crate::vault::PersonalText;

/// How often a decision is made anew because something changed under it.
const ATTEMPTS: u32 = 5;

/// Most requests that are read at a time to find those that wait.
const PAGE: u64 = 200;

/// Who decides.
#[derive(Debug, Clone)]
pub struct Actor {
    /// The account.
    pub account: AccountId,
    /// Its version when its roles were read.
    pub version: u64,
    /// Every account that may approve today, each with its version when that was read.
    pub approvers: Vec<(AccountId, u64)>,
}

impl Actor {
    /// The version of an account that may approve today.
    fn approves(&self, account: &AccountId) -> Option<u64> {
        let found = self.approvers.iter().find(|(id, _)| id == account);
        found.map(|(_, version)| *version)
    }
}

/// Why a decision was not made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DecideError {
    /// There is no such request.
    #[error("there is no such request: `wayhome requests list` shows those there are")]
    Unknown,
    /// The record is gone.
    #[error("the record is gone from the register: there is nothing left to decide")]
    RecordGone,
    /// It does not count.
    #[error(transparent)]
    Decision(#[from] DecisionError),
    /// Something changed under it again and again.
    #[error("the request, or your account, changed at the same moment: look at it again")]
    Changed,
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl DecideError {
    /// The stable code.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Unknown => "REQUEST_UNKNOWN",
            Self::RecordGone => "RECORD_GONE",
            Self::Decision(error) => error.code(),
            Self::Changed => "REQUEST_CHANGED",
            Self::Store(_) => "STORE_FAILED",
        }
    }
}

/// A field as people are shown it.
pub struct ShownField {
    /// The field.
    pub column: Column,
    /// Where it stands.
    pub state: FieldState,
    /// How many different people it needs.
    pub needed: Option<usize>,
    /// Which rule decides, in a sentence.
    pub why: String,
    /// Names of the rules that decide.
    pub rules: Vec<String>,
    /// Whether it was told.
    pub told: bool,
}

/// A request as people are shown it.
pub struct Shown {
    /// The request.
    pub case: Case,
    /// Where it stands.
    pub state: State,
    /// Its fields.
    pub fields: Vec<ShownField>,
    /// Whether its time to answer has passed.
    pub overdue: bool,
    /// What a decision names; none if there is nothing to decide on.
    pub digest: Option<[u8; 32]>,
    /// The holder's reference of the record, if it is still there.
    pub record_ref: Option<String>,
    /// Values of the fields asked for that the record has.
    pub values: Vec<(Column, PersonalText)>,
    /// Whether the finding is certain.
    pub certain: bool,
    /// The record's protection, as a word.
    pub protection: &'static str,
}

/// A decision that was made.
pub struct Decided {
    /// The request as it is now.
    pub shown: Shown,
    /// Index of the act's leaf.
    pub leaf_index: u64,
}

/// Requests in a state, all of them with the newest change first, or what people have to look at: those
/// that wait, and releases to be reviewed, the oldest change first.
///
/// # Errors
/// If the store fails.
pub async fn list(
    party: &Party,
    state: Option<State>,
    all: bool,
    limit: u64,
) -> Result<Vec<Shown>, StoreError> {
    let mut shown = Vec::new();
    if all || state.is_some() {
        let state = state.map(|state| state as u8);
        for row in party.store().requests(state, limit).await? {
            shown.push(shown_of(party, &row).await?);
        }
        return Ok(shown);
    }
    // Read by pages, since some of those that may wait do not by now.
    let mut after = None;
    while (shown.len() as u64) < limit {
        let rows = party.store().requests_open(after, PAGE).await?;
        let Some(last) = rows.last() else { break };
        after = Some((last.updated_ms, last.request_id));
        for row in &rows {
            let one = shown_of(party, row).await?;
            let waits = one
                .fields
                .iter()
                .any(|field| matches!(field.state, FieldState::Waiting { .. }));
            if waits || one.review_due() {
                shown.push(one);
            }
        }
    }
    shown.truncate(limit as usize);
    Ok(shown)
}

/// One request.
///
/// # Errors
/// [`DecideError::Unknown`], or if the store fails.
pub async fn show(party: &Party, request_id: &[u8; 16]) -> Result<Shown, DecideError> {
    let row = party
        .store()
        .request(request_id)
        .await?
        .ok_or(DecideError::Unknown)?;
    Ok(shown_of(party, &row).await?)
}

impl Shown {
    /// Whether a release by one person is still to be reviewed.
    #[must_use]
    pub fn review_due(&self) -> bool {
        self.case.review_due()
    }
}

async fn shown_of(party: &Party, row: &RequestRow) -> Result<Shown, StoreError> {
    let mut case = read_case(row)?;
    let now_ms = party.ambient().now_ms();
    if case.end.is_none() && now_ms >= case.expires_ms {
        case.end = Some(End::Expired);
    }
    let newest = newest(party, row.ref_tag).await?;
    let policy = party.policy();
    let ground = newest.as_ref().map(|newest| &newest.ground);
    let assessed = case.assess(&policy, ground);
    let fields = assessed
        .iter()
        .map(|&(column, state)| shown_field(&policy, &case, ground, column, state))
        .collect();
    let has = |column: Column| {
        newest
            .as_ref()
            .is_some_and(|newest| newest.record.field(column).is_some())
    };
    let state = case.state(&assessed, has);
    let waits = super::waits(&assessed);
    let digest = ground
        .filter(|_| waits)
        .map(|ground| case.digest(&policy, ground));
    let values = newest.as_ref().map_or_else(Vec::new, |newest| {
        case.fields
            .iter()
            .filter(|column| column.field().disclosable)
            .filter_map(|&column| Some((column, newest.record.field(column)?)))
            .collect()
    });
    Ok(Shown {
        state,
        fields,
        overdue: waits && case.answer_by_ms.is_some_and(|by| by <= now_ms),
        digest,
        record_ref: newest
            .as_ref()
            .map(|newest| newest.record.record_ref.as_str().to_owned()),
        values,
        certain: ground.is_some_and(|ground| case.question(ground).certain),
        protection: ground.map_or("", |ground| ground.facts.protection.as_str()),
        case,
    })
}

fn shown_field(
    policy: &Policy,
    case: &Case,
    ground: Option<&Ground>,
    column: Column,
    state: FieldState,
) -> ShownField {
    let (needed, why, rules) = match ground {
        None => (
            None,
            "The record is gone from the register.".to_owned(),
            Vec::new(),
        ),
        Some(ground) => {
            let question = case.question(ground);
            let verdict = policy.verdict(&question, column);
            let needs = Floor::of_question(&question).over(verdict.needs);
            let mut why = verdict.sentence(column);
            if needs != verdict.needs {
                why.push_str(
                    " But a person decides on what is not certain or protected, and nothing is told \
                     of what is silent or has no ground, whatever the rules say.",
                );
            }
            let rules = verdict.rules.iter().map(|rule| rule.id.clone()).collect();
            (needs.approvals(), why, rules)
        }
    };
    ShownField {
        column,
        state,
        needed,
        why,
        rules,
        told: case.delivered.iter().any(|told| told.field == column),
    }
}

/// A person approves fields of a request, or, where the policy allows it, releases them alone.
///
/// # Errors
/// [`DecideError`], and nothing has changed.
pub async fn approve(
    party: &Party,
    actor: &Actor,
    request_id: &[u8; 16],
    digest: [u8; 32],
    fields: &[Column],
    break_glass: bool,
) -> Result<Decided, DecideError> {
    fault::point("approve.begun");
    let act = if break_glass {
        pb::Act::BreakGlass
    } else {
        pb::Act::DisclosureApproved
    };
    let decided = change(
        party,
        actor,
        request_id,
        act,
        |case, newest, policy, now_ms| {
            let newest = newest.ok_or(DecideError::RecordGone)?;
            let decision = Decision {
                account: actor.account,
                fields,
                digest,
                break_glass,
                now_ms,
            };
            let still = |account: &AccountId| actor.approves(account).is_some();
            Ok(case.approve(policy, &newest.ground, &decision, still)?)
        },
    )
    .await?;
    if break_glass {
        tracing::error!(
            alert = "break_glass",
            request = hex::encode(request_id),
            account = hex::encode(actor.account),
            leaf = decided.leaf_index,
            "one person released fields alone: another has to review it (`wayhome requests review`)"
        );
    }
    fault::point("approve.durable");
    Ok(decided)
}

/// A person denies fields of a request, and may say why: the asking member is told.
///
/// # Errors
/// [`DecideError`], and nothing has changed.
pub async fn deny(
    party: &Party,
    actor: &Actor,
    request_id: &[u8; 16],
    digest: [u8; 32],
    fields: &[Column],
    reason: Option<DenialReason>,
) -> Result<Decided, DecideError> {
    let act = pb::Act::DisclosureDenied;
    change(
        party,
        actor,
        request_id,
        act,
        |case, newest, policy, now_ms| {
            let newest = newest.ok_or(DecideError::RecordGone)?;
            let decision = Decision {
                account: actor.account,
                fields,
                digest,
                break_glass: false,
                now_ms,
            };
            Ok(case.deny(policy, &newest.ground, &decision, reason)?)
        },
    )
    .await
}

/// A person withdraws what was told, and what still waits. The receiver is told, and erases it.
///
/// # Errors
/// [`DecideError`], and nothing has changed.
pub async fn withdraw(
    party: &Party,
    actor: &Actor,
    request_id: &[u8; 16],
) -> Result<Decided, DecideError> {
    let act = pb::Act::DisclosureWithdrawn;
    change(party, actor, request_id, act, |case, _, _, _| {
        match case.end {
            None | Some(End::Expired | End::TakenBack) => {}
            Some(End::Withdrawn | End::Erased) => {
                return Err(DecisionError::Closed {
                    state: State::Withdrawn.as_str(),
                }
                .into());
            }
        }
        case.end = Some(End::Withdrawn);
        Ok(case.fields.clone())
    })
    .await
}

/// A person reviews a release that another made alone.
///
/// # Errors
/// [`DecideError`], and nothing has changed.
pub async fn review(
    party: &Party,
    actor: &Actor,
    request_id: &[u8; 16],
    upheld: bool,
) -> Result<Decided, DecideError> {
    let act = pb::Act::BreakGlassReviewed;
    change(party, actor, request_id, act, |case, _, _, _| {
        case.review(actor.account, upheld)?;
        Ok(Vec::new())
    })
    .await
}

/// Changes a request as one act, anew if it changed at the same moment.
async fn change(
    party: &Party,
    actor: &Actor,
    request_id: &[u8; 16],
    act: pb::Act,
    decide: impl Fn(&mut Case, Option<&Newest>, &Policy, u64) -> Result<Vec<Column>, DecideError>,
) -> Result<Decided, DecideError> {
    for _ in 0..ATTEMPTS {
        let found = party
            .store()
            .request(request_id)
            .await?
            .ok_or(DecideError::Unknown)?;
        let mut case = read_case(&found)?;
        let newest = newest(party, found.ref_tag).await?;
        let now_ms = party.ambient().now_ms();
        if case.end.is_none() && now_ms >= case.expires_ms {
            case.end = Some(End::Expired);
        }
        let approvals = case.approvals.clone();
        let in_force = party.policy_in_force();
        let columns = decide(&mut case, newest.as_ref(), &in_force.policy, now_ms)?;
        if let Some(newest) = &newest {
            case.drop_lapsed(&newest.ground);
        }
        // What counted and counts no more: its person has lost the role, or the record has changed.
        let lapsed = approvals
            .iter()
            .any(|approval| !case.approvals.contains(approval));
        let committed = commit(
            party, actor, act, case, lapsed, &in_force, &found, newest, &columns,
        )
        .await?;
        if let Committed::Done { position, .. } = committed {
            return Ok(Decided {
                shown: show(party, request_id).await?,
                leaf_index: position.leaf_index,
            });
        }
        policy::follow(party).await?;
    }
    Err(DecideError::Changed)
}

#[allow(clippy::too_many_arguments, reason = "what a decision was made on")]
async fn commit(
    party: &Party,
    actor: &Actor,
    act: pb::Act,
    mut case: Case,
    lapsed: bool,
    in_force: &PolicyInForce,
    found: &RequestRow,
    newest: Option<Newest>,
    columns: &[Column],
) -> Result<Committed, StoreError> {
    let now_ms = party.ambient().now_ms();
    let policy = &in_force.policy;
    let assessed = case.assess(policy, newest.as_ref().map(|newest| &newest.ground));
    let waits = super::waits(&assessed);
    case.reopen(waits, lapsed, now_ms);
    if !waits && !case.settled {
        case.settled = true;
        case.expires_ms = now_ms + super::GRANT_LIFETIME_MS;
    }
    let has = |column: Column| {
        newest
            .as_ref()
            .is_some_and(|newest| newest.record.field(column).is_some())
    };
    let state = case.state(&assessed, has);
    let reason = match act {
        pb::Act::DisclosureDenied => case.denials.last().and_then(|denial| denial.reason),
        _ => None,
    };
    let leaf = leaf(party, act, &case, columns)
        .set(|entry| {
            entry.operator = actor.account.to_vec();
            if let Some(reason) = reason {
                entry.reference.push_str(" reason=");
                entry.reference.push_str(reason.as_str());
            }
        })
        .finish()
        .0;
    let mut act_to_do = Act::alone(leaf)
        .with(Effect::PutRequest(row(
            party,
            &case,
            found.ref_tag,
            state,
            &assessed,
            found.version + 1,
        )?))
        .with(Effect::AccountIs {
            account_id: actor.account,
            version: actor.version,
        });
    act_to_do.effects.extend(in_force.guard());
    if act == pb::Act::DisclosureApproved {
        // Whoever approved before counts only if the role is theirs at this very moment.
        let earlier = case.approvals.iter().map(|approval| approval.account);
        let earlier: BTreeSet<_> = earlier.filter(|id| *id != actor.account).collect();
        for account_id in earlier {
            if let Some(version) = actor.approves(&account_id) {
                act_to_do = act_to_do.with(Effect::AccountIs {
                    account_id,
                    version,
                });
            }
        }
    }
    if act == pb::Act::DisclosureApproved || act == pb::Act::BreakGlass {
        // What was approved is the record as it was seen.
        if let Some(newest) = &newest {
            act_to_do = act_to_do.with(Effect::StillHeld(newest.ground.record_id));
        }
    }
    act_to_do.effects.extend(super::owed(party, &case)?);
    if act == pb::Act::DisclosureWithdrawn {
        act_to_do.effects.extend(super::withdrawal(party, &case)?);
    }
    if act == pb::Act::BreakGlass {
        // Said in the act itself: no crash lies between a release and its alert.
        act_to_do = act_to_do.with(Effect::Alert);
        act_to_do
            .effects
            .extend(reminder::posts(party, &case, "break_glass")?);
    }
    fault::point("decision.ready");
    let committed = party.ledger().commit(act_to_do).await?;
    fault::point("decision.durable");
    Ok(committed)
}

/// A leaf of an act on a request.
pub(super) fn leaf(party: &Party, act: pb::Act, case: &Case, columns: &[Column]) -> Leaf {
    let names: Vec<&str> = columns.iter().map(|column| column.name()).collect();
    Leaf::new(act, party.ambient(), &pb::Outcome::default()).set(|entry| {
        entry.peer = case.member.clone();
        entry.purpose = purpose_to(case.purpose).into();
        entry.legal_basis = legal_basis_to(case.legal_basis).into();
        entry.count = names.len() as u32;
        entry.subject = case.subject.to_vec();
        entry.reference = format!(
            "request={} fields={}",
            hex::encode(case.request_id),
            names.join(",")
        );
    })
}
