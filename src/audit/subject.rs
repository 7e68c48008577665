//! Who looked at this child's data, when, why, and what they were told.
//!
//! The node names the pseudonym of a record and proves that it is the only possible one; the
//! ombudsman then scans the verified log for it. Nothing depends on the node choosing what to show:
//! leaving an act out would break the log, and stating another pseudonym would break the proof or
//! the opening behind a leaf.

use std::collections::HashMap;

use serde_json::{Value, json};

use super::auditor::Auditor;
use super::behind::{AnswerSays, Insight, QuerySays};
use super::entry::Entry;
use super::finding::{Fault, Place};
use super::verify::{Progress, Reading, Verification, verify};
use super::words;
use crate::locale::{Arg, Lang};
use crate::oprf::pseudonym::{Pseudonym, PseudonymProof, PseudonymPublicKey, verify_pseudonym};
use crate::oprf::{EvaluatedElement, Proof};
use crate::proto::exchange as pb;
use crate::roster::{LegalBasis, Member, MemberId, Purpose, TrustedRoster};

/// All that a member's log says of one of its records.
pub struct SubjectReport {
    /// Whose record.
    pub member: MemberId,
    /// Whether the member says that it holds such a record now.
    pub held: bool,
    /// The record's pseudonym.
    pub subject: Option<[u8; 16]>,
    /// That it is the record's: evaluated element, then DLEQ proof.
    pub proof: Vec<u8>,
    /// What happened, in the order of the log.
    pub events: Vec<Event>,
    /// The reading of the log that this rests on.
    pub verification: Verification,
}

/// One act that concerned the record.
#[derive(Clone)]
pub struct Event {
    /// Its leaf.
    pub leaf_index: u64,
    /// When, in milliseconds since 1970.
    pub time_ms: u64,
    /// The other party, if there is one.
    pub peer: Option<MemberId>,
    /// Why.
    pub purpose: Option<Purpose>,
    /// On what legal ground.
    pub legal_basis: Option<LegalBasis>,
    /// The asking party's case reference.
    pub case_reference: String,
    /// What.
    pub what: What,
}

/// What happened to a record.
#[derive(Clone, PartialEq, Eq)]
pub enum What {
    /// A peer's lookup touched the record.
    LookedUp {
        /// The grade that was answered, as in the protocol.
        grade: u32,
        /// Whether the peer was given a lead.
        lead: bool,
    },
    /// Fields of the record were asked for, and given or withheld.
    Disclosed {
        /// Names of the fields given.
        granted: Vec<String>,
        /// Names of those withheld.
        withheld: Vec<String>,
    },
    /// A peer's request for fields was refused.
    Refused {
        /// The reason code.
        code: String,
    },
    /// The member looked the child up at a peer.
    SearchedAbroad,
    /// The peer's answer to that.
    AnswerFromAbroad {
        /// The grade, as in the protocol.
        grade: u32,
    },
    /// The member asked a peer for fields of the record that it found there.
    AskedAbroad {
        /// Names of the fields.
        fields: Vec<String>,
    },
    /// The peer's answer to that.
    ToldFromAbroad {
        /// Names of the fields given.
        granted: Vec<String>,
        /// Names of those withheld.
        withheld: Vec<String>,
    },
    /// A peer's lookup met the record afterwards, which no peer can find.
    MetSilently {
        /// The grade that was not answered, as in the protocol.
        grade: u32,
    },
    /// The holder, or a person there, decided about what a peer asked for or was told.
    Decided {
        /// The act.
        act: pb::Act,
        /// Names of the fields that it concerned.
        fields: Vec<String>,
    },
    /// The record was erased.
    Erased,
    /// An ombudsman had the pseudonym named.
    Audited,
}

/// Reports on the record that `member` keeps under `record_ref`.
///
/// # Errors
/// Only if the node did not name a pseudonym; what does not hold in its log is in the report.
pub async fn subject(
    auditor: &Auditor,
    member: &Member,
    record_ref: &str,
    reading: Reading<'_>,
    progress: Progress<'_>,
) -> Result<SubjectReport, super::AuditError> {
    let named = auditor.resolve_subject(member, record_ref).await?;
    let mut scan = Scan::new(named.subject);
    let mut recorded = false;
    // The whole log is read: what was done before the last reading concerns the child as well.
    let reading = Reading {
        only_new: false,
        ..reading
    };
    let mut verification = verify(
        auditor,
        member,
        reading,
        progress,
        &mut |index, entry, insight| {
            recorded |= named.at.is(index, entry) && entry.subject == Some(named.subject);
            scan.take(index, entry, insight);
        },
    )
    .await;
    let proved = prove(&verification, record_ref, &named.subject, &named.proof);
    if let Err(why) = &proved {
        verification.find(
            Place::Node,
            Fault::Pseudonym {
                why: (*why).to_owned(),
                answer: named.at.message.clone(),
            },
        );
    }
    if !recorded {
        verification.find(Place::Leaf(named.at.leaf_index), Fault::AuditNotRecorded);
    }
    Ok(SubjectReport {
        member: member.id.clone(),
        held: named.held,
        subject: proved.is_ok().then_some(named.subject),
        proof: named.proof,
        events: scan.events,
        verification,
    })
}

pub(super) fn prove(
    verification: &Verification,
    record_ref: &str,
    subject: &[u8; 16],
    proof: &[u8],
) -> Result<(), &'static str> {
    let key = verification
        .pseudonym_key()
        .ok_or("its log does not state the key")?;
    prove_under(&key, record_ref, subject, proof)
}

/// Checks the proof of a pseudonym under a node's key: the evaluated element, then its proof.
fn prove_under(
    key: &PseudonymPublicKey,
    record_ref: &str,
    subject: &[u8; 16],
    proof: &[u8],
) -> Result<(), &'static str> {
    let (element, proof) = proof
        .split_first_chunk::<32>()
        .ok_or("its proof is too short")?;
    let proof: [u8; 64] = proof
        .try_into()
        .map_err(|_| "its proof has another length")?;
    let proof = PseudonymProof {
        element: EvaluatedElement::new(*element),
        proof: Proof::new(proof),
    };
    verify_pseudonym(
        key,
        record_ref.as_bytes(),
        &Pseudonym::new(*subject),
        &proof,
    )
    .map_err(|_| "its proof does not hold under the key that its log states")
}

/// Follows one record through a log.
pub(super) struct Scan {
    subject: [u8; 16],
    events: Vec<Event>,
    /// Leads to this record, by lead, with who holds them.
    leads: HashMap<Vec<u8>, Option<MemberId>>,
    /// Own searches for this record: message id to the subject's place in the query.
    searches: HashMap<[u8; 16], usize>,
    /// Leads that peers gave for this record.
    leads_abroad: HashMap<Vec<u8>, Option<MemberId>>,
    /// Own requests on such leads.
    requests: Vec<[u8; 16]>,
}

impl Scan {
    pub(super) fn new(subject: [u8; 16]) -> Self {
        Self {
            subject,
            events: Vec::new(),
            leads: HashMap::new(),
            searches: HashMap::new(),
            leads_abroad: HashMap::new(),
            requests: Vec::new(),
        }
    }

    /// What was found, in the order of the log.
    pub(super) fn into_events(self) -> Vec<Event> {
        self.events
    }

    pub(super) fn take(&mut self, index: u64, entry: &Entry, insight: &Insight) {
        let whats = self.whats(entry, insight);
        let case_reference = match &insight.query {
            QuerySays::Lookup { case_reference, .. }
            | QuerySays::Disclosure { case_reference, .. } => case_reference.clone(),
            _ => String::new(),
        };
        self.events.extend(whats.into_iter().map(|what| Event {
            leaf_index: index,
            time_ms: entry.time_ms,
            peer: entry.peer.clone(),
            purpose: entry.purpose,
            legal_basis: entry.legal_basis,
            case_reference: case_reference.clone(),
            what,
        }));
    }

    fn whats(&mut self, entry: &Entry, insight: &Insight) -> Vec<What> {
        let concerns = entry.subject == Some(self.subject);
        match entry.act {
            pb::Act::LookupAnswered => self.looked_up(entry, insight),
            pb::Act::DisclosureAnswered if concerns => {
                let (granted, withheld) = fields(&insight.answer);
                vec![What::Disclosed { granted, withheld }]
            }
            pb::Act::QueryRefused => match &insight.query {
                QuerySays::Disclosure { lead_id, .. }
                    if self.leads.get(lead_id) == Some(&entry.peer) =>
                {
                    vec![What::Refused {
                        code: entry.reference.to_string(),
                    }]
                }
                _ => Vec::new(),
            },
            pb::Act::LookupAsked => self.searched(entry, insight),
            pb::Act::LookupReceived => self.answer_from_abroad(entry, insight),
            pb::Act::DisclosureAsked => match &insight.query {
                QuerySays::Disclosure {
                    lead_id, fields, ..
                } if self.leads_abroad.get(lead_id) == Some(&entry.peer) => {
                    self.requests.extend(entry.message_id);
                    vec![What::AskedAbroad {
                        fields: fields.clone(),
                    }]
                }
                _ => Vec::new(),
            },
            pb::Act::DisclosureReceived
                if entry
                    .message_id
                    .is_some_and(|id| self.requests.contains(&id)) =>
            {
                let (granted, withheld) = fields(&insight.answer);
                vec![What::ToldFromAbroad { granted, withheld }]
            }
            pb::Act::SilentChecked => self.met_silently(insight),
            pb::Act::DisclosureApproved
            | pb::Act::DisclosureDenied
            | pb::Act::BreakGlass
            | pb::Act::BreakGlassReviewed
            | pb::Act::DisclosureWithdrawn
            | pb::Act::DisclosureCorrected
            | pb::Act::DisclosureExpired
            | pb::Act::DisclosureEscalated
                if concerns =>
            {
                vec![What::Decided {
                    act: entry.act,
                    fields: decided_fields(&entry.reference),
                }]
            }
            pb::Act::RecordErased if concerns => vec![What::Erased],
            pb::Act::AuditAnswered if concerns => vec![What::Audited],
            _ => Vec::new(),
        }
    }

    /// A peer's lookup, once for each of its subjects that touched the record.
    fn looked_up(&mut self, entry: &Entry, insight: &Insight) -> Vec<What> {
        let Some(outcome) = &insight.outcome else {
            return Vec::new();
        };
        let mine = outcome
            .subjects
            .iter()
            .filter(|line| line.subject == self.subject);
        let mut whats = Vec::new();
        for line in mine {
            let lead = !line.lead_id.is_empty();
            if lead {
                self.leads.insert(line.lead_id.clone(), entry.peer.clone());
            }
            whats.push(What::LookedUp {
                grade: line.grade,
                lead,
            });
        }
        whats
    }

    /// Lookups that were compared with silent records, once for each that met this one. The leaf
    /// does not say which lookups they were.
    fn met_silently(&self, insight: &Insight) -> Vec<What> {
        let lines = insight.outcome.iter().flat_map(|found| &found.subjects);
        lines
            .filter(|line| line.subject == self.subject)
            .map(|line| What::MetSilently { grade: line.grade })
            .collect()
    }

    fn searched(&mut self, entry: &Entry, insight: &Insight) -> Vec<What> {
        let line = insight.outcome.as_ref().and_then(|outcome| {
            outcome
                .subjects
                .iter()
                .find(|line| line.subject == self.subject)
        });
        match (line, entry.message_id) {
            (Some(line), Some(message_id)) => {
                self.searches
                    .insert(message_id, line.subject_index as usize);
                vec![What::SearchedAbroad]
            }
            _ => Vec::new(),
        }
    }

    fn answer_from_abroad(&mut self, entry: &Entry, insight: &Insight) -> Vec<What> {
        let AnswerSays::Lookup(results) = &insight.answer else {
            return Vec::new();
        };
        let place = entry.message_id.and_then(|id| self.searches.get(&id));
        let Some(result) = place.and_then(|place| results.get(*place)?.as_ref()) else {
            return Vec::new();
        };
        for lead in &result.leads {
            self.leads_abroad
                .insert(lead.lead_id.clone(), entry.peer.clone());
        }
        vec![What::AnswerFromAbroad {
            grade: u32::try_from(result.grade).unwrap_or_default(),
        }]
    }
}

/// The fields that a decision's reference names.
fn decided_fields(reference: &str) -> Vec<String> {
    let named = reference
        .split(' ')
        .find_map(|word| word.strip_prefix("fields="));
    let names = named.into_iter().flat_map(|names| names.split(','));
    names
        .filter(|name| !name.is_empty())
        .map(str::to_owned)
        .collect()
}

fn fields(answer: &AnswerSays) -> (Vec<String>, Vec<String>) {
    match answer {
        AnswerSays::Disclosure { granted, withheld } => (granted.clone(), withheld.clone()),
        _ => (Vec::new(), Vec::new()),
    }
}

impl Event {
    /// The event in one plain sentence.
    #[must_use]
    pub fn sentence(&self, lang: Lang, roster: &TrustedRoster, member: &MemberId) -> String {
        let ground = lang.with(
            "ground",
            &[
                ("purpose", words::purpose(lang, self.purpose).into()),
                ("basis", words::legal_basis(lang, self.legal_basis).into()),
            ],
        );
        let case = match self.case_reference.as_str() {
            "" => String::new(),
            case => lang.with("case", &[("case", case.into())]),
        };
        let peer = self.peer.as_ref();
        let mut arguments: Vec<(&'static str, Arg)> = vec![
            ("at", words::moment(self.time_ms).into()),
            ("own", words::party(roster, member).into()),
            (
                "peer",
                peer.map_or_else(
                    || lang.text("party-nobody"),
                    |peer| words::party(roster, peer),
                )
                .into(),
            ),
            ("ground", ground.into()),
            ("case", case.into()),
        ];
        let list = |names: &[String]| Arg::from(words::list(lang, names));
        let id = match &self.what {
            What::LookedUp { grade, lead } => {
                arguments.push(("grade", words::grade(lang, *grade).into()));
                if *lead {
                    "event-looked-up"
                } else {
                    "event-looked-up-no-lead"
                }
            }
            What::Disclosed { granted, withheld } => {
                arguments.extend([("granted", list(granted)), ("withheld", list(withheld))]);
                "event-disclosed"
            }
            What::Refused { code } => {
                arguments.push(("code", code.as_str().into()));
                "event-refused"
            }
            What::SearchedAbroad => "event-searched-abroad",
            What::AnswerFromAbroad { grade } => {
                arguments.push(("grade", words::grade(lang, *grade).into()));
                "event-answer-from-abroad"
            }
            What::AskedAbroad { fields } => {
                arguments.push(("fields", list(fields)));
                "event-asked-abroad"
            }
            What::ToldFromAbroad { granted, withheld } => {
                arguments.extend([("granted", list(granted)), ("withheld", list(withheld))]);
                "event-told-from-abroad"
            }
            What::MetSilently { grade } => {
                arguments.push(("grade", words::grade(lang, *grade).into()));
                "event-met-silently"
            }
            What::Decided { act, fields } => {
                arguments.push(("act", words::act(lang, *act).into()));
                if fields.is_empty() {
                    "event-decided-bare"
                } else {
                    arguments.push(("fields", list(fields)));
                    "event-decided"
                }
            }
            What::Erased => "event-erased",
            What::Audited => "event-audited",
        };
        lang.with(id, &arguments)
    }

    /// The event as machines read it.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let (kind, details) = match &self.what {
            What::LookedUp { grade, lead } => (
                "looked_up",
                json!({"grade": words::grade_name(*grade), "lead": lead}),
            ),
            What::Disclosed { granted, withheld } => (
                "disclosed",
                json!({"granted": granted, "withheld": withheld}),
            ),
            What::Refused { code } => ("refused", json!({"code": code})),
            What::SearchedAbroad => ("searched_abroad", json!({})),
            What::AnswerFromAbroad { grade } => (
                "answer_from_abroad",
                json!({"grade": words::grade_name(*grade)}),
            ),
            What::AskedAbroad { fields } => ("asked_abroad", json!({"fields": fields})),
            What::ToldFromAbroad { granted, withheld } => (
                "told_from_abroad",
                json!({"granted": granted, "withheld": withheld}),
            ),
            What::MetSilently { grade } => {
                ("met_silently", json!({"grade": words::grade_name(*grade)}))
            }
            What::Decided { act, fields } => (
                "decided",
                json!({"act": words::act_name(*act), "fields": fields}),
            ),
            What::Erased => ("erased", json!({})),
            What::Audited => ("audited", json!({})),
        };
        json!({
            "leaf_index": self.leaf_index,
            "time_ms": self.time_ms,
            "party": self.peer,
            "purpose": self.purpose,
            "legal_basis": self.legal_basis,
            "case_reference": self.case_reference,
            "kind": kind,
            "details": details,
        })
    }
}

#[cfg(test)]
#[path = "subject_tests.rs"]
mod tests;
