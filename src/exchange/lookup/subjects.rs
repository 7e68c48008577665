//! Whom a search is for, with their tokens under whichever epoch a member answers.
//!
//! While the coalition key changes, a member may not yet be open under the epoch in use, or may
//! have left the one before. It then refuses, and is asked under the next epoch that the roster
//! lists: a search fails for no change of key.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::Mutex;

use super::{LookupAt, MemberAnswer, SubjectTokens, look_up};
use crate::exchange::evaluate::Source;
use crate::exchange::{Party, PeerError, Refusal, enrol};
use crate::records::Record;
use crate::roster::{Member, TrustedRoster};
use crate::store::StoredRecord;

/// One child that is searched for.
pub enum Subject {
    /// A record of this node's register, with its pseudonym.
    Own {
        /// The record.
        stored: Box<StoredRecord>,
        /// Its pseudonym in this node's log.
        pseudonym: [u8; 16],
    },
    /// A child that is described.
    Described(Box<Record>),
}

/// The subjects of one search. Their tokens are made once for each epoch, when they are needed.
pub struct Subjects {
    subjects: Vec<Subject>,
    made: Mutex<BTreeMap<u32, Arc<Made>>>,
}

type Made = Vec<(Option<[u8; 16]>, SubjectTokens)>;

impl Subjects {
    /// The subjects of a search.
    #[must_use]
    pub fn new(subjects: Vec<Subject>) -> Self {
        Self {
            subjects,
            made: Mutex::default(),
        }
    }

    /// Makes the tokens with which the search begins, so that what hinders it is told at once.
    ///
    /// # Errors
    /// If too few keyholders answer, or the store fails.
    pub async fn prepare(&self, party: &Arc<Party>) -> Result<(), PeerError> {
        let roster = party.roster()?;
        match self.epochs(party, &roster).await?.first() {
            Some(&epoch) => self.tokens(party, epoch).await.map(|_| ()),
            None => Err(PeerError::Own(no_key())),
        }
    }

    /// Looks the subjects up at one member, under the first epoch that it answers.
    ///
    /// # Errors
    /// As [`look_up`].
    pub async fn look_up_at(
        &self,
        party: &Arc<Party>,
        holder: &Member,
        lookup: &LookupAt,
    ) -> Result<MemberAnswer, PeerError> {
        let roster = party.roster()?;
        let mut epochs = self.epochs(party, &roster).await?;
        if let Some(known) = party.answered_under(&holder.id, &roster)
            && let Some(at) = epochs.iter().position(|epoch| *epoch == known)
        {
            epochs[..=at].rotate_right(1);
        }
        let mut refused = PeerError::Own(no_key());
        for epoch in epochs {
            let subjects = self.tokens(party, epoch).await?;
            match look_up(party, holder, lookup, epoch, &subjects).await {
                Err(PeerError::Refused { member, refusal }) if refusal.code == "WRONG_EPOCH" => {
                    refused = PeerError::Refused { member, refusal };
                }
                Ok(answer) => {
                    party.note_answer(&holder.id, &roster, epoch);
                    return Ok(answer);
                }
                Err(error) => return Err(error),
            }
        }
        Err(refused)
    }

    /// The epochs to ask under, the best first: the one in use, unless this node's own records have
    /// their tokens only under the one before; then the one announced, and the one being left.
    async fn epochs(
        &self,
        party: &Arc<Party>,
        roster: &TrustedRoster,
    ) -> Result<Vec<u32>, PeerError> {
        let keys = roster.coalition_keys();
        let mut epochs: Vec<u32> = [&keys.current, &keys.next, &keys.previous]
            .into_iter()
            .filter_map(|key| u32::try_from(key.as_ref()?.epoch).ok())
            .collect();
        if let (Some(current), Some(previous)) = (epochs.first(), &keys.previous)
            && !self.has_stored(party, *current).await?
            && let Some(at) = epochs
                .iter()
                .position(|epoch| u64::from(*epoch) == previous.epoch)
            && self.has_stored(party, epochs[at]).await?
        {
            epochs[..=at].rotate_right(1);
        }
        Ok(epochs)
    }

    async fn has_stored(&self, party: &Party, epoch: u32) -> Result<bool, PeerError> {
        for subject in &self.subjects {
            if let Subject::Own { stored, .. } = subject
                && party.store().tokens(stored, epoch).await?.is_none()
            {
                return Ok(false);
            }
        }
        Ok(true)
    }

    async fn tokens(&self, party: &Arc<Party>, epoch: u32) -> Result<Arc<Made>, PeerError> {
        let mut made = self.made.lock().await;
        if let Some(tokens) = made.get(&epoch) {
            return Ok(Arc::clone(tokens));
        }
        let mut tokens = Vec::with_capacity(self.subjects.len());
        for subject in &self.subjects {
            tokens.push(match subject {
                Subject::Own { stored, pseudonym } => (
                    Some(*pseudonym),
                    enrol::tokens_of(party, epoch, stored).await?,
                ),
                Subject::Described(record) => {
                    let (presence, keys) = enrol::keys(party, record, &[]);
                    let tokens =
                        enrol::tokens_for(party, epoch, Source::Search, presence, keys).await?;
                    (None, tokens)
                }
            });
        }
        let tokens = Arc::new(tokens);
        made.insert(epoch, Arc::clone(&tokens));
        Ok(tokens)
    }
}

fn no_key() -> Refusal {
    Refusal::WrongEpoch { asked: 0, ours: 0 }
}
