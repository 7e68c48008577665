//! An ombudsman at work in its directory.

use std::sync::Arc;

use super::bars::Bars;
use super::{Policy, trust};
use crate::audit::verify::{Reading, Verification, Visit, verify};
use crate::audit::{Auditor, LastVerified, RecordError, Rosters};
use crate::cli::{CliError, Context};
use crate::envelope::NoteKey;
use crate::exchange::hearsay::Hearsay;
use crate::node::{Config, Identity, PinnedPeers};
use crate::roster::{Member, MemberId, OmbudsmanScope, TrustedRoster};

/// An ombudsman at work in its directory.
pub struct Office<'a> {
    /// The command's context.
    pub context: &'a Context,
    /// The ombudsman as a party.
    pub auditor: Auditor,
    /// The roster in force.
    pub roster: Arc<TrustedRoster>,
    scope: OmbudsmanScope,
    witnesses: Vec<NoteKey>,
    quorum: usize,
}

impl<'a> Office<'a> {
    /// Opens the directory, and asks the nodes in scope for newer rosters.
    pub(super) async fn open(context: &'a Context, policy: &Policy) -> Result<Self, CliError> {
        let directory = &context.directory;
        let config = Config::load(directory)?;
        let witnesses = witness_keys(policy)?;
        let mut trust = trust::load(context)?;
        let listed = trust
            .contacts()
            .and_then(|roster| roster.member(config.member.as_str()));
        let now = context.ambient.now();
        let identity = Arc::new(Identity::load(directory)?.in_use(directory, listed, now)?);
        let office = |trust: &crate::roster::TrustStore| {
            let (roots, earlier) = trust::earlier(context, trust)?;
            let roster = Arc::clone(trust.roster_in_force(context.ambient.now())?);
            let rosters = Rosters::new(roots, Arc::clone(&roster), earlier);
            let auditor = Auditor {
                id: config.member.clone(),
                signing_key: identity.signing.clone(),
                peers: Arc::new(PinnedPeers::configured(
                    Arc::clone(&identity),
                    &config,
                    context.ambient.clone(),
                )),
                hearsay: Arc::new(verified(context, &rosters)),
                rosters,
                ambient: context.ambient.clone(),
            };
            Ok::<_, CliError>(Self {
                scope: scope_of(&roster, &config.member)?,
                context,
                auditor,
                roster,
                witnesses: witnesses.clone(),
                quorum: policy.quorum,
            })
        };
        let first = office(&trust)?;
        let members: Vec<Member> = first.members(&[])?.into_iter().cloned().collect();
        if trust::renew(context, &first.auditor, &mut trust, &members).await? {
            return office(&trust);
        }
        Ok(first)
    }

    /// The members that are named, or all in scope.
    pub fn members(&self, named: &[MemberId]) -> Result<Vec<&Member>, CliError> {
        if !named.is_empty() {
            return named.iter().map(|id| self.one(id)).collect();
        }
        let in_scope = |member: &&Member| match &self.scope {
            OmbudsmanScope::Coalition => member.log.is_some(),
            OmbudsmanScope::Member(own) => member.id == *own,
        };
        Ok(self
            .roster
            .roster()
            .members
            .iter()
            .filter(in_scope)
            .collect())
    }

    /// A member that this ombudsman may audit.
    pub fn one(&self, id: &MemberId) -> Result<&Member, CliError> {
        let member = self.roster.member(id.as_str()).ok_or_else(|| {
            CliError::input(
                "PARTY_UNKNOWN",
                format!("the roster has no party called {id}: see `wayhome roster show`"),
            )
        })?;
        if let OmbudsmanScope::Member(own) = &self.scope
            && member.id != *own
        {
            return Err(CliError::input(
                "OUT_OF_SCOPE",
                format!("the roster lets you audit {own}, not {id}"),
            ));
        }
        if member.log.is_none() {
            return Err(CliError::input(
                "NO_LOG",
                format!("{} keeps no log: it runs no node", member.title()),
            ));
        }
        Ok(member)
    }

    /// How a log is read, after what is remembered of it.
    pub fn reading<'b>(&'b self, last: Option<&'b LastVerified>, only_new: bool) -> Reading<'b> {
        Reading {
            last,
            only_new,
            keep: false,
            witnesses: &self.witnesses,
            quorum: self.quorum,
        }
    }

    /// Reads a log with a bar.
    pub async fn read(
        &self,
        member: &Member,
        all: bool,
        visit: Visit<'_>,
    ) -> Result<Verification, CliError> {
        let last = self.last(member)?;
        let bars = Bars::new(self.context, member);
        let mut learned = Vec::new();
        let log = verify(
            &self.auditor,
            member,
            self.reading(last.as_ref(), !all),
            &|what, done, of| bars.step(what, done, of),
            &mut |index, entry, insight| {
                learned.extend(insight.roster.clone());
                visit(index, entry, insight);
            },
        )
        .await;
        bars.clear();
        for roster in learned {
            trust::keep(self.context, &roster)?;
        }
        self.remember(&log)?;
        Ok(log)
    }

    /// What was verified of a log the last time.
    pub fn last(&self, member: &Member) -> Result<Option<LastVerified>, CliError> {
        last_of(self.context, &self.auditor.rosters, member)
    }

    /// Remembers a log that was read. What was verified of a log that was given up is put aside, as
    /// `audit/pl.1.json`.
    pub fn remember(&self, log: &Verification) -> Result<(), CliError> {
        let Some(last) = &log.last else {
            return Ok(());
        };
        let directory = &self.context.directory;
        let name = record_name(&log.member);
        if let Some(member) = self.roster.member(log.member.as_str())
            && let Some(before) = self.last(member)?
            && before.origin() != last.origin()
        {
            let mut number = 1;
            let aside = loop {
                let aside = format!("audit/{}.{number}.json", log.member);
                if directory.read_if_there(&aside)?.is_none() {
                    break aside;
                }
                number += 1;
            };
            directory.write(&aside, &before.to_text())?;
        }
        directory.write(&name, &last.to_text())?;
        Ok(())
    }
}

/// What was verified of the logs before, to be told to nodes. A record that cannot be used is told of
/// when its log is read.
fn verified(context: &Context, rosters: &Rosters) -> Hearsay {
    let hearsay = Hearsay::default();
    for member in &rosters.newest().roster().members {
        if let Ok(Some(last)) = last_of(context, rosters, member)
            && last.is_of(member)
        {
            hearsay.saw(&member.id, last.head, &last.checkpoint);
        }
    }
    hearsay
}

/// What the directory remembers of a log, or of the one that the member had before.
pub fn last_of(
    context: &Context,
    rosters: &Rosters,
    member: &Member,
) -> Result<Option<LastVerified>, CliError> {
    record_of(context, rosters, member).map_err(|error| {
        let name = record_name(&member.id);
        CliError::failed("OWN_RECORD", format!("{name}: {error}"))
    })
}

/// The same, for whoever can do without.
pub(super) fn record_of(
    context: &Context,
    rosters: &Rosters,
    member: &Member,
) -> Result<Option<LastVerified>, RecordError> {
    match context.directory.read_if_there(&record_name(&member.id)) {
        Ok(Some(text)) => LastVerified::parse_any(rosters, member, &text).map(Some),
        Ok(None) => Ok(None),
        Err(error) => Err(RecordError::new(&member.id, &error)),
    }
}

fn scope_of(roster: &TrustedRoster, id: &MemberId) -> Result<OmbudsmanScope, CliError> {
    let own = roster.member(id.as_str()).ok_or_else(|| {
        CliError::failed(
            "PARTY_UNKNOWN",
            format!(
                "the roster does not list {id}: have the secretariat admit the ombudsman first"
            ),
        )
    })?;
    own.roles.ombudsman.clone().ok_or_else(|| {
        CliError::failed(
            "NO_OMBUDSMAN",
            format!(
                "the roster does not make {} an ombudsman: run this in an ombudsman's directory",
                own.title()
            ),
        )
    })
}

/// The keys of the witnesses that a policy names.
pub(super) fn witness_keys(policy: &Policy) -> Result<Vec<NoteKey>, CliError> {
    policy
        .witness
        .iter()
        .map(|vkey| {
            vkey.parse().map_err(|error| {
                CliError::input("WITNESS_KEY", format!("--witness {vkey}: {error}"))
            })
        })
        .collect()
}

fn record_name(member: &MemberId) -> String {
    format!("audit/{member}.json")
}
