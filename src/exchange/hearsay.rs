//! What parties tell each other of the logs that they have seen, so that a log which shows two
//! histories is found at the next contact of those to whom it showed them.
//!
//! Beside every signed message of a node travels the largest checkpoint that it has seen of the
//! receiver's own log, and, in turn, that of one other; in a field of one size, so that the message's
//! size tells nothing. Who is told of a checkpoint that it does not know holds it against the log as
//! that log shows itself here. A checkpoint counts only if the log signed it, so nobody can accuse
//! another falsely.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::log_files::{LogFileError, RemoteLog, log_key};
use super::promises::GRACE_MS;
use super::{Party, ask};
use crate::roster::{Member, MemberId, TrustedRoster};
use crate::store::{LogFinding, StoreError};
use crate::tlog::{SignedCheckpoint, TreeHead, VerifiedCheckpoint};

/// A log showed two histories: the code of the alert.
pub const SPLIT_VIEW: &str = "SPLIT_VIEW";

/// Most checkpoints of one message that are looked at.
const MOST_TOLD: usize = 2;

/// Octets of the field in which they travel, filled up with zeros. A checkpoint with the log's own
/// signature has at most 256.
pub const FIELD: usize = 512;

/// Most checkpoints that wait to be looked at.
const MOST_WAITING: usize = 1_024;

/// What this node has seen of the others' logs, and what it was told of them and has not held
/// against them yet. Forgotten when the node stops: it is told again.
#[derive(Default)]
pub struct Hearsay(Mutex<Inner>);

#[derive(Default)]
struct Inner {
    /// The largest checkpoint seen of each party's log.
    seen: BTreeMap<MemberId, Seen>,
    /// By who told it, and whose log it claims to be of.
    told: BTreeMap<(MemberId, String), Told>,
    /// Whose checkpoint was told last.
    turn: Option<MemberId>,
    /// The logs that were shown to have two histories: nothing more needs to be looked at.
    split: BTreeSet<String>,
}

#[derive(Clone)]
struct Seen {
    head: TreeHead,
    note: String,
}

impl Seen {
    /// Whether it is of the log that a note is of.
    fn is_of(&self, note: &str) -> bool {
        origin(&self.note) == origin(note)
    }
}

/// The name of the log that a checkpoint says it is of.
fn origin(note: &str) -> &str {
    note.lines().next().unwrap_or_default()
}

#[derive(Clone)]
struct Told {
    since_ms: u64,
    note: String,
}

/// What a look at what was told came to.
#[derive(Default)]
pub struct Outcome {
    /// Logs that showed two histories.
    pub alerts: Vec<LogFinding>,
    /// Checkpoints of this node's own log, signed by it, with who has seen each.
    pub own: Vec<(MemberId, SignedCheckpoint)>,
}

impl Hearsay {
    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes a checkpoint of the log that the roster states for a party, whose signature was verified. A
    /// log that the party had before counts no more.
    pub fn saw(&self, member: &MemberId, head: TreeHead, note: &str) {
        let mut inner = self.inner();
        let larger = inner
            .seen
            .get(member)
            .is_none_or(|seen| seen.head.size < head.size || !seen.is_of(note));
        if larger && note.len() <= FIELD / MOST_TOLD {
            let note = note.to_owned();
            inner.seen.insert(member.clone(), Seen { head, note });
        }
    }

    /// What travels beside a message to `audience`: what was seen of its log, and of one other, each
    /// other in its turn.
    #[must_use]
    pub fn to_tell(&self, audience: &MemberId) -> Vec<u8> {
        let notes = self.next_for(audience);
        let mut field = notes.join("\0").into_bytes();
        field.resize(FIELD, 0);
        field
    }

    fn next_for(&self, audience: &MemberId) -> Vec<String> {
        let mut inner = self.inner();
        let mut told = Vec::with_capacity(MOST_TOLD);
        told.extend(inner.seen.get(audience).map(|seen| seen.note.clone()));
        let others = || inner.seen.keys().filter(|member| *member != audience);
        let next = others()
            .find(|member| inner.turn.as_ref().is_none_or(|turn| *member > turn))
            .or_else(|| others().next())
            .cloned();
        if let Some(next) = next {
            told.extend(inner.seen.get(&next).map(|seen| seen.note.clone()));
            inner.turn = Some(next);
        }
        told
    }

    /// Notes what `by` has told, to be looked at later. Nothing of it is believed yet. What it told of a
    /// log before stands first, until it was held against that log: a history that grows faster than
    /// the one that is shown here could otherwise put off being looked at for ever.
    pub fn was_told(&self, by: &MemberId, field: &[u8], now_ms: u64) {
        let Ok(text) = std::str::from_utf8(field.get(..FIELD).unwrap_or(field)) else {
            return;
        };
        let mut inner = self.inner();
        let notes = text.split('\0').filter(|note| !note.is_empty());
        for note in notes.take(MOST_TOLD) {
            let known = |seen: &Seen| seen.note == note;
            if inner.seen.values().any(known) {
                continue;
            }
            let slot = (by.clone(), origin(note).to_owned());
            if inner.told.len() >= MOST_WAITING && !inner.told.contains_key(&slot) {
                continue;
            }
            let told = Told {
                since_ms: now_ms,
                note: note.to_owned(),
            };
            inner.told.entry(slot).or_insert(told);
        }
    }

    /// What was seen of the log that the roster states for a party.
    fn seen(&self, member: &Member) -> Option<Seen> {
        let inner = self.inner();
        let seen = inner.seen.get(&member.id)?;
        let log = member.log.as_ref()?;
        (origin(&seen.note) == log.origin).then(|| seen.clone())
    }

    /// What is to be looked at again, before anything that the same party has told since.
    fn put_back(&self, slot: (MemberId, String), told: Told) {
        self.inner().told.insert(slot, told);
    }
}

/// Something that was told, and that the log it is of has signed.
struct Claim {
    by: MemberId,
    slot: (MemberId, String),
    told: Told,
    checkpoint: VerifiedCheckpoint,
}

/// Holds everything that was told against the logs it is about.
///
/// # Errors
/// If the database fails. A log that cannot be reached is looked at the next time.
pub async fn check(party: &Party) -> Result<Outcome, StoreError> {
    let mut outcome = Outcome::default();
    let Ok(roster) = party.roster() else {
        return Ok(outcome);
    };
    take_what_was_witnessed(party, &roster).await?;
    let hearsay = party.hearsay();
    let waiting = std::mem::take(&mut hearsay.inner().told);
    let mut by_log: BTreeMap<MemberId, Vec<Claim>> = BTreeMap::new();
    for (slot, told) in waiting {
        let Some((owner, checkpoint)) = signed(&roster, &told.note) else {
            tracing::debug!(
                peer = slot.0.as_str(),
                "a peer tells of no log that is known"
            );
            continue;
        };
        if owner.id == *party.id() {
            let signed = checkpoint.signed().clone();
            outcome.own.push((slot.0, signed));
            continue;
        }
        by_log.entry(owner.id.clone()).or_default().push(Claim {
            by: slot.0.clone(),
            slot,
            told,
            checkpoint,
        });
    }
    for (owner, claims) in by_log {
        let Some(owner) = roster.member(owner.as_str()) else {
            continue;
        };
        let log = owner.log.as_ref().map(|log| log.origin.clone());
        let log = log.unwrap_or_default();
        if hearsay.inner().split.contains(&log) {
            continue;
        }
        if let Some(alert) = look_at(party, owner, claims).await {
            hearsay.inner().split.insert(log);
            outcome.alerts.push(alert);
        }
    }
    Ok(outcome)
}

/// The checkpoints that this node has cosigned as a witness are the best that it has seen.
async fn take_what_was_witnessed(party: &Party, roster: &TrustedRoster) -> Result<(), StoreError> {
    for member in &roster.roster().members {
        let Some(log) = member.log.as_ref().filter(|_| member.id != *party.id()) else {
            continue;
        };
        if let Some(note) = party.store().watched_log(&log.origin).await?
            && let Some((_, checkpoint)) = signed(roster, &note)
        {
            party.hearsay().saw(&member.id, checkpoint.head(), &note);
        }
    }
    Ok(())
}

/// Whose log a checkpoint is of, if that log has signed it.
fn signed<'a>(roster: &'a TrustedRoster, note: &str) -> Option<(&'a Member, VerifiedCheckpoint)> {
    let checkpoint = SignedCheckpoint::parse(note.as_bytes()).ok()?;
    let origin = checkpoint.unverified().origin().as_str();
    let is_its = |member: &&Member| member.log.as_ref().is_some_and(|log| log.origin == origin);
    let owner = roster.roster().members.iter().find(is_its)?;
    let key = log_key(owner).ok()?;
    Some((owner, checkpoint.verify(&[key]).ok()?))
}

/// Holds what was told of one log against what was seen of it, and against what it shows now.
async fn look_at(party: &Party, owner: &Member, claims: Vec<Claim>) -> Option<LogFinding> {
    let hearsay = party.hearsay();
    if let Some(Seen { head, note }) = hearsay.seen(owner) {
        for claim in &claims {
            let claimed = claim.checkpoint.head();
            if claimed.size == head.size && claimed.root != head.root {
                return Some(split(owner, claim, &note));
            }
        }
    }
    let shown = async {
        let channel =
            ask::channel(party, owner)
                .await
                .map_err(|error| LogFileError::Unreachable {
                    path: "/log/checkpoint".to_owned(),
                    why: error.to_string(),
                })?;
        let log = RemoteLog::new(channel, owner)?;
        let shown = log.checkpoint().await?;
        Ok::<_, LogFileError>((log, shown))
    };
    let (mut log, shown) = match shown.await {
        Ok(shown) => shown,
        Err(error) => {
            tracing::info!(peer = owner.id.as_str(), %error, "what was told of a log is looked at later");
            for claim in claims {
                hearsay.put_back(claim.slot, claim.told);
            }
            return None;
        }
    };
    for claim in claims {
        let claimed = claim.checkpoint.head();
        let now_ms = party.ambient().now_ms();
        if claimed.size > shown.head().size {
            // It serves what its witnesses have seen, which is a little behind what it signs.
            if now_ms.saturating_sub(claim.told.since_ms) < GRACE_MS {
                hearsay.put_back(claim.slot, claim.told);
                continue;
            }
            return Some(split(owner, &claim, &shown.signed().to_string()));
        }
        match log.prove_consistency(&claimed, &shown.head()).await {
            Ok(_) => {}
            Err(error) if error.is_breach() => {
                return Some(split(owner, &claim, &shown.signed().to_string()));
            }
            Err(error) => {
                tracing::info!(peer = owner.id.as_str(), %error, "a log was not read to its end");
                hearsay.put_back(claim.slot, claim.told);
            }
        }
    }
    hearsay.saw(&owner.id, shown.head(), &shown.by_log_alone().to_string());
    None
}

fn split(owner: &Member, claim: &Claim, shown: &str) -> LogFinding {
    LogFinding {
        kind: SPLIT_VIEW,
        member: owner.id.to_string(),
        detail: format!(
            "{} showed {} a log of {} leaves, and the log that it shows here does not extend it",
            owner.id,
            claim.by,
            claim.checkpoint.head().size
        ),
        proof: [claim.checkpoint.signed().to_string(), shown.to_owned()],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(text: &str) -> MemberId {
        text.parse().unwrap()
    }

    fn head(size: u64) -> TreeHead {
        TreeHead {
            size,
            root: [size as u8; 32],
        }
    }

    #[test]
    fn each_message_tells_of_its_receivers_log_and_of_each_other_in_turn() {
        let hearsay = Hearsay::default();
        assert_eq!(hearsay.to_tell(&id("de")), [0; FIELD]);
        for member in ["de", "pl", "ua"] {
            hearsay.saw(&id(member), head(7), &format!("{member}\n7"));
        }
        let told = |audience: &str| {
            let field = String::from_utf8(hearsay.to_tell(&id(audience))).unwrap();
            assert_eq!(field.len(), FIELD, "the size would tell what was seen");
            field.trim_end_matches('\0').to_owned()
        };
        assert_eq!(told("de"), "de\n7\0pl\n7");
        assert_eq!(told("de"), "de\n7\0ua\n7");
        assert_eq!(told("de"), "de\n7\0pl\n7");
        // To a party without a log, such as an ombudsman.
        assert_eq!(told("om"), "ua\n7");
        // Only what is larger takes the place of what was seen.
        hearsay.saw(&id("pl"), head(6), "pl\n6");
        hearsay.saw(&id("pl"), head(8), "pl\n8");
        assert!(told("pl").starts_with("pl\n8\0"));
    }

    #[test]
    fn a_new_log_takes_the_place_of_the_one_that_was_given_up() {
        let hearsay = Hearsay::default();
        let pl = id("pl");
        hearsay.saw(&pl, head(9), "pl/log\n9");
        hearsay.saw(&pl, head(2), "pl/log/2\n2");
        let seen = || hearsay.inner().seen[&pl].note.clone();
        assert_eq!(seen(), "pl/log/2\n2", "whatever their sizes");
        hearsay.saw(&pl, head(1), "pl/log/2\n1");
        assert_eq!(seen(), "pl/log/2\n2");
    }

    #[test]
    fn what_is_told_is_bounded_whoever_tells_it() {
        let hearsay = Hearsay::default();
        hearsay.saw(&id("pl"), head(7), "pl\n7");
        let waiting = || hearsay.inner().told.len();
        // What is known, what is no text, and what stands beyond the second place is passed over.
        hearsay.was_told(&id("de"), b"pl\n7", 1);
        hearsay.was_told(&id("de"), &[0xff; FIELD], 1);
        hearsay.was_told(&id("de"), &[0; 10_000], 1);
        assert_eq!(waiting(), 0);
        hearsay.was_told(&id("de"), b"a\n\0b\n\0c\n", 1);
        assert_eq!(waiting(), 2);
        // One of a log from each party: the first that was told, with the time of that.
        for size in 0..MOST_WAITING as u64 {
            hearsay.was_told(&id("de"), format!("a\n{size}").as_bytes(), 2 + size);
        }
        assert_eq!(waiting(), 2);
        let first = hearsay.inner().told[&(id("de"), "a".to_owned())].clone();
        assert_eq!((first.note.as_str(), first.since_ms), ("a\n", 1));
        // So it stays if it has to be looked at again, whatever was told meanwhile.
        hearsay.put_back((id("de"), "b".to_owned()), first);
        assert_eq!(
            hearsay.inner().told[&(id("de"), "b".to_owned())].note,
            "a\n"
        );
        for log in 0..2 * MOST_WAITING {
            hearsay.was_told(&id("ua"), format!("{log}\n").as_bytes(), 1);
        }
        assert_eq!(waiting(), MOST_WAITING);
    }
}
