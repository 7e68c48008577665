//! What time does to requests, and what a change of a record does to what was told of it.

use std::sync::Arc;

use super::asked::Asked;
use super::case::{Case, End, State, Told};
use super::decide::leaf;
use super::server::{Newest, newest};
use super::{Floor, notice, read_case, reminder, row, value_tag, waits, withdrawal};
use crate::exchange::Party;
use crate::exchange::leaf::Leaf;
use crate::proto::exchange as pb;
use crate::records::Column;
use crate::store::{Act, Effect, ReceivedRow, RequestRow, StoreError};
use crate::vault::PersonalText;

/// Most rows that one round looks at.
const AT_ONCE: u64 = 100;

/// One round: requests expire, are withdrawn with their record, or are found corrected; reminders are
/// put on their way to people; what others told is erased in time. What fails keeps nothing else from
/// being done.
///
/// # Errors
/// The last one, if the store fails, or a row cannot be read. Rounds can be repeated at will.
pub async fn tick(party: &Arc<Party>) -> Result<(), StoreError> {
    let now_ms = party.ambient().now_ms();
    let mut outcome = Ok(());
    match party.store().requests_due(now_ms, AT_ONCE).await {
        Ok(due) => {
            for found in due {
                if let Err(error) = look_at(party, &found, now_ms).await {
                    let request = hex::encode(found.request_id);
                    tracing::error!(request, %error, "a request could not be looked at");
                    outcome = Err(error);
                }
            }
        }
        Err(error) => outcome = Err(error),
    }
    for found in party.store().received_due(now_ms, AT_ONCE).await? {
        if let Err(error) = erase(party, &found).await {
            let asked = hex::encode(found.ask_id);
            tracing::error!(asked, %error, "what was told could not be erased at its time");
            outcome = Err(error);
        }
    }
    outcome
}

async fn look_at(party: &Party, found: &RequestRow, now_ms: u64) -> Result<(), StoreError> {
    let mut case = read_case(found)?;
    let newest = newest(party, found.ref_tag).await?;
    if case.end_unwritten {
        return withdraw(party, found, case, newest).await;
    }
    // A receiver holds what it was told for as long as it may keep it, whether the request is open,
    // has expired or was taken back.
    let open = case.end.is_none();
    if open || case.is_kept(now_ms) {
        // Whoever withdraws the ground to be searched on withdraws what was told on it.
        let ground_stands = newest
            .as_ref()
            .is_some_and(|newest| newest.ground.facts.ground.permits_search());
        if !ground_stands {
            case.end = Some(End::Erased);
            // Why it was asked for may say as much of the child as the record did.
            case.justification = PersonalText::new(String::new());
            return withdraw(party, found, case, newest).await;
        }
        if let Some(newest) = newest.as_ref().filter(|_| open && now_ms < case.expires_ms) {
            let lapsed = case.drop_lapsed(&newest.ground);
            let fields = case.assess(&party.policy(), Some(&newest.ground));
            case.reopen(waits(&fields), lapsed, now_ms);
        }
        let changed = changed(party, &mut case, newest.as_ref());
        if !changed.is_empty() {
            case.corrected = true;
            let notice = notice::corrected(party, &case, changed.clone())?;
            let (act, effects) = (pb::Act::DisclosureCorrected, vec![Effect::Post(notice)]);
            return put(party, found, act, &case, newest.as_ref(), &changed, effects).await;
        }
    }
    if newest.is_none() && !case.justification.expose().is_empty() {
        // A request that has ended keeps no words about a record that is gone.
        case.justification = PersonalText::new(String::new());
        let act = pb::Act::DisclosureWithdrawn;
        return put(party, found, act, &case, None, &[], Vec::new()).await;
    }
    if open {
        if now_ms >= case.expires_ms {
            case.end = Some(End::Expired);
            let act = pb::Act::DisclosureExpired;
            return put(party, found, act, &case, newest.as_ref(), &[], Vec::new()).await;
        }
        if let Some((at_ms, told)) = case.next_reminder()
            && at_ms <= now_ms
        {
            return remind(party, found, case, newest.as_ref(), told).await;
        }
    }
    party.store().request_is_fresh(found).await
}

/// No value at all, as the tag of one.
const NO_VALUE: [u8; 16] = [0; 16];

/// The fields that were told, are not what the record says now, and of which the receiver has not
/// heard that yet: from here on it has. None of a record of which nothing is told any more, since
/// that it changes is told of it too.
fn changed(party: &Party, case: &mut Case, newest: Option<&Newest>) -> Vec<Column> {
    let Some(newest) = newest else {
        return Vec::new();
    };
    if Floor::of_question(&case.question(&newest.ground)).is_closed() {
        return Vec::new();
    }
    let subject = case.subject;
    let mut changed = Vec::new();
    for told in &mut case.delivered {
        let now = value_tag(party, &subject, &newest.record, told.field).unwrap_or(NO_VALUE);
        if now != told.announced.unwrap_or(told.value_tag) {
            told.announced = Some(now);
            changed.push(told.field);
        }
    }
    changed
}

async fn withdraw(
    party: &Party,
    found: &RequestRow,
    case: Case,
    newest: Option<Newest>,
) -> Result<(), StoreError> {
    let effects = withdrawal(party, &case)?;
    let told: Vec<Column> = case.delivered.iter().map(|told| told.field).collect();
    let act = pb::Act::DisclosureWithdrawn;
    put(party, found, act, &case, newest.as_ref(), &told, effects).await
}

async fn remind(
    party: &Party,
    found: &RequestRow,
    mut case: Case,
    newest: Option<&Newest>,
    told: Told,
) -> Result<(), StoreError> {
    case.told = told;
    let event = match told {
        Told::Nothing | Told::Waiting => "waiting",
        Told::HalfTime => "half_time",
        Told::Overdue => "overdue",
    };
    tracing::warn!(
        alert = event,
        request = hex::encode(case.request_id),
        peer = case.member,
        "a request waits for an approver (`wayhome requests list`)"
    );
    // On their way with the leaf that says so: a crash loses none.
    let effects = reminder::posts(party, &case, event)?;
    let act = pb::Act::DisclosureEscalated;
    put(party, found, act, &case, newest, &[], effects).await
}

async fn put(
    party: &Party,
    found: &RequestRow,
    act: pb::Act,
    case: &Case,
    newest: Option<&Newest>,
    columns: &[Column],
    effects: Vec<Effect>,
) -> Result<(), StoreError> {
    let fields = case.assess(&party.policy(), newest.map(|newest| &newest.ground));
    let state = case.state(&fields, |column| {
        newest.is_some_and(|newest| newest.record.field(column).is_some())
    });
    let (bytes, _) = leaf(party, act, case, columns).finish();
    let mut act = Act::alone(bytes).with(Effect::PutRequest(row(
        party,
        case,
        found.ref_tag,
        state,
        &fields,
        found.version + 1,
    )?));
    act.effects.extend(effects);
    // Changed at the same moment, it is looked at again in the next round.
    party.ledger().commit(act).await?;
    Ok(())
}

/// Erases what was told at the end of its time, or gives up a question that nobody answered.
async fn erase(party: &Party, found: &ReceivedRow) -> Result<(), StoreError> {
    let mut asked = Asked::read(found)?;
    let erased = asked.told.len() as u32;
    asked.state = State::Expired;
    asked.told.clear();
    asked.outdated.clear();
    asked.waiting.clear();
    asked.retain_until_ms = None;
    let (bytes, _) = Leaf::new(
        pb::Act::ReceivedErased,
        party.ambient(),
        &pb::Outcome::default(),
    )
    .set(|entry| {
        entry.peer.clone_from(&asked.holder);
        entry.count = erased;
        entry.reference = format!(
            "request={}",
            asked.request_id.as_deref().unwrap_or("unanswered")
        );
    })
    .finish();
    let act = Act::alone(bytes)
        .with(Effect::EraseValues(found.ask_id))
        .with(Effect::PutReceived {
            row: asked.row(party, found.ask_id, found.version + 1)?,
            holds_values: false,
        });
    party.ledger().commit(act).await?;
    Ok(())
}
