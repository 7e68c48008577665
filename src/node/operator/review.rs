//! Clerical review: what the holder's own staff sees of the lookups that found something.

use prost::Message as _;
use tonic::{Request, Response, Status};

use super::duty::Duty;
use super::{Operator, fields, invalid, page_size, refused, store_failed};
use crate::exchange::enrol;
use crate::linkage::{Presence, RuleId};
use crate::proto::operator as pb;
use crate::proto::operator::review_service_server::ReviewService;
use crate::records::Record;
use crate::roster::Timestamp;
use crate::store::{RecordState, StoreError, Tag};

/// How many answers are read from the database at a time.
const ANSWERS: u64 = 64;

#[tonic::async_trait]
impl ReviewService for Operator {
    async fn list_findings(
        &self,
        request: Request<pb::ListFindingsRequest>,
    ) -> Result<Response<pb::ListFindingsResponse>, Status> {
        self.caller(&request, Duty::Read).await?;
        let asked = request.into_inner();
        let limit = page_size(asked.limit) as usize;
        let mut response = pb::ListFindingsResponse::default();
        let mut answers = Answers::before(self, asked.before);
        while response.findings.len() < limit {
            let Some((leaf_index, kept)) = answers.next().await? else {
                response.next_before = 0;
                return Ok(Response::new(response));
            };
            response.next_before = leaf_index;
            if !asked.peer.is_empty() && kept.peer != asked.peer {
                continue;
            }
            for found in &kept.findings {
                let record = newest(self, found).await?;
                let reference = record
                    .as_ref()
                    .map(|(record, _)| record.record_ref.as_str());
                if asked.record_ref.is_empty() || reference == Some(asked.record_ref.as_str()) {
                    let finding = finding(leaf_index, &kept, found, reference);
                    response.findings.push(finding);
                }
            }
        }
        // Where the page ended on the last answer there is no next one.
        if answers.next().await?.is_none() {
            response.next_before = 0;
        }
        Ok(Response::new(response))
    }

    async fn show_findings(
        &self,
        request: Request<pb::ShowFindingsRequest>,
    ) -> Result<Response<pb::ShowFindingsResponse>, Status> {
        self.caller(&request, Duty::Read).await?;
        let handle = handle(&request.into_inner().handle)?;
        let mut answers = Answers::before(self, 0);
        while let Some((leaf_index, kept)) = answers.next().await? {
            let of_query = kept.message_id == handle;
            let mut findings = Vec::new();
            for found in &kept.findings {
                if of_query || found.lead_id == handle {
                    let record = newest(self, found).await?;
                    findings.push(self.in_full(leaf_index, &kept, found, record));
                }
            }
            if !findings.is_empty() {
                return Ok(Response::new(pb::ShowFindingsResponse { findings }));
            }
        }
        Err(refused(
            tonic::Code::NotFound,
            "NO_SUCH_FINDING",
            "no lead and no query that found something has that handle: see `wayhome review list`",
        ))
    }
}

impl Operator {
    fn in_full(
        &self,
        leaf_index: u64,
        kept: &pb::KeptReview,
        found: &pb::KeptFinding,
        record: Option<(Record, RecordState)>,
    ) -> pb::FindingInFull {
        let mask = |bits: u32| Presence::from_bits(u16::try_from(bits).unwrap_or_default());
        let ids = found.rules.iter().filter_map(|id| u8::try_from(*id).ok());
        let agreed = ids.map(RuleId).collect();
        let rules = self.party.rules();
        let told = rules.explain(mask(found.asked), mask(found.held), agreed);
        let reference = record
            .as_ref()
            .map(|(record, _)| record.record_ref.as_str());
        pb::FindingInFull {
            finding: Some(finding(leaf_index, kept, found, reference)),
            state: record.as_ref().map_or_else(
                || "erased".to_owned(),
                |(_, state)| state.as_str().to_owned(),
            ),
            record: record.map(|(record, _)| pb::Record {
                fields: fields(&record),
            }),
            rules: told
                .rules
                .into_iter()
                .map(|(id, of)| pb::AgreedRule {
                    id: id.0.into(),
                    of,
                })
                .collect(),
            classes: told
                .classes
                .into_iter()
                .map(|(class, finding)| pb::ClassFinding {
                    class: class.to_owned(),
                    finding: finding.as_str().to_owned(),
                })
                .collect(),
            weight_alone: found.weight_alone,
        }
    }
}

fn finding(
    leaf_index: u64,
    kept: &pb::KeptReview,
    found: &pb::KeptFinding,
    record_ref: Option<&str>,
) -> pb::Finding {
    pb::Finding {
        leaf_index,
        at: Timestamp::from_unix(kept.time_ms / 1000).to_string(),
        peer: kept.peer.clone(),
        purpose: kept.purpose.clone(),
        legal_basis: kept.legal_basis.clone(),
        case_reference: kept.case_reference.clone(),
        message_id: hex::encode(&kept.message_id),
        subject_index: found.subject_index,
        record_ref: record_ref.unwrap_or_default().to_owned(),
        lead: hex::encode(&found.lead_id),
        grade: grade(found.grade).to_owned(),
        weighed: grade(found.weighed).to_owned(),
        weight: found.weight,
        match_at: found.match_at,
        possible_at: found.possible_at,
        frozen: found.frozen,
        by_family: found.by_family,
        explained: found.weighed == 2 && found.weight >= found.match_at,
    }
}

/// The kept answers, newest first.
struct Answers<'a> {
    operator: &'a Operator,
    before: u64,
    read: std::vec::IntoIter<(u64, pb::KeptReview)>,
}

impl<'a> Answers<'a> {
    /// Those before a leaf; all where it is 0.
    fn before(operator: &'a Operator, before: u64) -> Self {
        Self {
            operator,
            before: if before == 0 { i64::MAX as u64 } else { before },
            read: Vec::new().into_iter(),
        }
    }

    async fn next(&mut self) -> Result<Option<(u64, pb::KeptReview)>, Status> {
        if let Some(next) = self.read.next() {
            return Ok(Some(next));
        }
        let store = self.operator.party.store();
        let page = store
            .reviews_before(self.before, ANSWERS)
            .await
            .map_err(|error| store_failed(&error))?;
        let mut read = Vec::with_capacity(page.len());
        for (leaf_index, kept) in page {
            let kept = pb::KeptReview::decode(kept.as_slice()).map_err(|error| {
                store_failed(&StoreError::Damaged {
                    what: format!("review behind leaf {leaf_index}"),
                    reason: error.to_string(),
                })
            })?;
            self.before = leaf_index;
            read.push((leaf_index, kept));
        }
        self.read = read.into_iter();
        Ok(self.read.next())
    }
}

/// The newest state of a finding's record, unless it was erased since.
async fn newest(
    operator: &Operator,
    found: &pb::KeptFinding,
) -> Result<Option<(Record, RecordState)>, Status> {
    let Ok(tag) = Tag::try_from(found.ref_tag.as_slice()) else {
        return Ok(None);
    };
    let failed = |error: StoreError| store_failed(&error);
    let stored = operator.party.store().record_by_tag(tag).await;
    let Some(stored) = stored.map_err(failed)? else {
        return Ok(None);
    };
    let record = enrol::parse(&stored).map_err(failed)?;
    Ok(Some((record, stored.state)))
}

/// A lead or a message id, as people write it.
fn handle(text: &str) -> Result<Vec<u8>, Status> {
    let digits = text.rsplit(':').next().unwrap_or_default();
    let handle = hex::decode(digits.trim()).unwrap_or_default();
    if handle.len() == 16 {
        Ok(handle)
    } else {
        Err(invalid(
            "HANDLE",
            "give a lead as member:hex, as the asking side quotes it, or the 32 hexadecimal digits \
             of a lead or a query",
        ))
    }
}

fn grade(number: u32) -> &'static str {
    match number {
        3 => "MATCH",
        2 => "POSSIBLE",
        _ => "NO_MATCH",
    }
}
