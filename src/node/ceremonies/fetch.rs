//! Fetching a ceremony's files from those who have them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::{Ceremonies, CeremoniesError, Fault, blocking, opened};
use crate::exchange::ask::client;
use crate::exchange::leaf::Leaf;
use crate::exchange::{PeerError, Peers, service};
use crate::node::ceremony::{CeremonyError, Fingerprint, Taken, WireFile, receive};
use crate::proto::exchange as pb;
use crate::proto::exchange::ceremony_service_client::CeremonyServiceClient;
use crate::roster::{Bytes32, Member, MemberId, TrustedRoot};
use crate::store::Act;

/// How long one peer is given for its files.
const PATIENCE: Duration = Duration::from_secs(15);

/// How many answers are taken of one peer in one go.
const PORTIONS: usize = 16;

/// How many refused files a day are recorded for one peer.
const RECORDED_REFUSALS_PER_DAY: u64 = 100;

/// What came of asking a node for the public files of a ceremony.
#[derive(Debug, Default)]
pub struct Fetched {
    /// How many files are new in the folder.
    pub new: usize,
    /// What was refused, and why.
    pub refused: Vec<(String, CeremonyError)>,
}

/// Fetches what a node shows of a ceremony into a folder, for a party that takes no part in it: an
/// ombudsman. Only what holds is taken; what is there already is never replaced.
///
/// # Errors
/// If the node gives nothing, or the folder cannot be written.
pub async fn fetch_public(
    peers: &dyn Peers,
    node: &Member,
    me: &MemberId,
    root: &TrustedRoot,
    fingerprint: Fingerprint,
    folder: &Path,
) -> Result<Fetched, FetchError> {
    let at = Place {
        fingerprint,
        path: folder.to_owned(),
        root: root.clone(),
        me: me.clone(),
    };
    let mut fetched = Fetched::default();
    for _ in 0..PORTIONS {
        let reply = at.ask(peers, node).await?;
        let taken = at.take(reply.files).await?;
        fetched.new += taken.new;
        fetched.refused.extend(taken.refused);
        if !reply.more || taken.new == 0 {
            break;
        }
    }
    Ok(fetched)
}

/// The folder of one ceremony, and for whom it is filled.
struct Place {
    fingerprint: Fingerprint,
    path: PathBuf,
    root: TrustedRoot,
    me: MemberId,
}

impl Place {
    async fn held(&self) -> Result<Vec<pb::HeldCeremonyFile>, CeremoniesError> {
        let (path, root) = (self.path.clone(), self.root.clone());
        blocking(move || {
            let held = match opened(&path, &root)? {
                Some(ceremony) => ceremony.held()?,
                None => BTreeMap::new(),
            };
            let file = |(name, sha256): (String, Bytes32)| pb::HeldCeremonyFile {
                name,
                sha256: sha256.as_bytes().to_vec(),
            };
            Ok(held.into_iter().map(file).collect())
        })
        .await
    }

    /// Asks a node for what it shows and is not in the folder.
    async fn ask(
        &self,
        peers: &dyn Peers,
        peer: &Member,
    ) -> Result<pb::GetCeremonyFilesResponse, FetchError> {
        let held = self.held().await?;
        let late = || PeerError::Late {
            member: peer.id.to_string(),
            seconds: PATIENCE.as_secs(),
        };
        let asking = async {
            let channel = peers.channel(peer).await?;
            client!(CeremonyServiceClient<_>, channel)
                .get_ceremony_files(pb::GetCeremonyFilesRequest {
                    fingerprint: self.fingerprint.as_bytes().to_vec(),
                    held,
                })
                .await
                .map_err(|status| PeerError::Refused {
                    member: peer.id.to_string(),
                    refusal: status.into(),
                })
        };
        let reply = tokio::time::timeout(PATIENCE, asking);
        Ok(reply.await.map_err(|_| late())??.into_inner())
    }

    /// Puts what holds of these files into the folder, which is laid if the plan is among them.
    async fn take(&self, files: Vec<pb::CeremonyFile>) -> Result<Taken, CeremoniesError> {
        let files: Vec<WireFile> = files
            .into_iter()
            .map(|file| WireFile {
                name: file.name,
                content: file.content,
            })
            .collect();
        let (path, root) = (self.path.clone(), self.root.clone());
        let (fingerprint, me) = (self.fingerprint, self.me.clone());
        blocking(move || {
            let mut laid = 0;
            let ceremony = match opened(&path, &root)? {
                Some(ceremony) => ceremony,
                None => match receive(&path, &root, fingerprint, &files) {
                    Ok(Some(ceremony)) => {
                        laid = 1;
                        ceremony
                    }
                    Ok(None) => return Ok(Taken::default()),
                    Err(error @ CeremonyError::Folder { .. }) => return Err(error.into()),
                    Err(error) => {
                        return Ok(Taken {
                            new: 0,
                            refused: vec![("plan.json".to_owned(), error)],
                        });
                    }
                },
            };
            let mut taken = ceremony.take(&me, files)?;
            taken.new += laid;
            Ok(taken)
        })
        .await
    }
}

impl Ceremonies {
    /// Asks everybody who may have files of a ceremony, all at the same time. Says whether anything
    /// new came.
    pub(super) async fn fetch_all(
        &self,
        fingerprint: Fingerprint,
    ) -> Result<bool, CeremoniesError> {
        let roster = self.party.roster()?;
        let now = self.party.ambient().now();
        let (path, root) = (self.folder(fingerprint), self.root());
        let taking_part = blocking(move || {
            let ceremony = opened(&path, &root)?;
            Ok(ceremony.map(|ceremony| ceremony.members().cloned().collect::<BTreeSet<_>>()))
        })
        .await?;
        let asked: Vec<&Member> = roster
            .roster()
            .members
            .iter()
            .filter(|member| member.is_node() && member.id != *self.party.id())
            .filter(|member| !member.is_suspended(now))
            .filter(|member| match &taking_part {
                Some(members) => members.contains(&member.id),
                None => member.roles.keyholder.is_some(),
            })
            .collect();
        let fetched = asked.iter().map(|peer| self.fetch(fingerprint, peer));
        let fetched = futures_util::future::join_all(fetched).await;
        let mut moved = false;
        let mut away = Vec::new();
        for (peer, outcome) in asked.into_iter().zip(fetched) {
            match outcome {
                Ok(new) => moved |= new > 0,
                Err(FetchError::Peer(error)) => {
                    tracing::debug!(peer = peer.id.as_str(), code = error.code(), "no files");
                    // Who has not joined yet knows nothing of it.
                    if error.code() != "CEREMONY_UNKNOWN" {
                        away.push(peer.id.clone());
                    }
                }
                Err(FetchError::Own(error)) => return Err(error),
            }
        }
        self.note(fingerprint, |stand| stand.away = away);
        Ok(moved)
    }

    /// Fetches what one peer has, and takes what of it holds. Says how much is new.
    async fn fetch(&self, fingerprint: Fingerprint, peer: &Member) -> Result<usize, FetchError> {
        let at = Place {
            fingerprint,
            path: self.folder(fingerprint),
            root: self.root(),
            me: self.party.id().clone(),
        };
        let mut new = 0;
        for _ in 0..PORTIONS {
            let reply = at.ask(self.party.peers(), peer).await?;
            let taken = {
                let _one_at_a_time = self.taking.lock().await;
                at.take(reply.files).await?
            };
            for (file, error) in taken.refused {
                self.refuse(fingerprint, peer, file, &error).await?;
            }
            new += taken.new;
            // A peer that has more and gives nothing new would be asked for ever.
            if !reply.more || taken.new == 0 {
                break;
            }
        }
        Ok(new)
    }

    /// Remembers and records that a file was refused, once for each peer, file and reason.
    async fn refuse(
        &self,
        fingerprint: Fingerprint,
        peer: &Member,
        file: String,
        error: &CeremonyError,
    ) -> Result<(), CeremoniesError> {
        let fault = Fault {
            peer: peer.id.clone(),
            file,
            code: error.code(),
            message: error.to_string(),
        };
        let mut new = false;
        self.note(fingerprint, |stand| {
            new = !stand.faults.contains(&fault);
            if new {
                stand.faults.push(fault.clone());
            }
        });
        if !new {
            return Ok(());
        }
        tracing::warn!(
            peer = peer.id.as_str(), file = fault.file, code = fault.code, %error,
            "a file of a ceremony was refused"
        );
        let (leaf, _) = Leaf::new(
            pb::Act::CeremonyFileRefused,
            self.party.ambient(),
            &pb::Outcome::default(),
        )
        .set(|entry| {
            entry.peer = peer.id.to_string();
            entry.reference = format!(
                "ceremony={fingerprint} code={} file={}",
                fault.code, fault.file
            );
        })
        .finish();
        let mut act = Act::alone(leaf);
        act.debits.push(service::daily_debit(
            &self.party,
            peer,
            "refused_ceremony_files",
            1,
            RECORDED_REFUSALS_PER_DAY,
        ));
        self.party.ledger().commit(act).await?;
        Ok(())
    }
}

/// Why nothing was fetched.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// The node that was asked.
    #[error(transparent)]
    Peer(#[from] PeerError),
    /// This party's own folder.
    #[error(transparent)]
    Own(#[from] CeremoniesError),
}
