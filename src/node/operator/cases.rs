//! Cases: searches that are kept, with their answers, and looked for again at night.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use prost::Message as _;
use tokio::sync::watch;
use tonic::{Code, Request, Response, Status};
use zeroize::Zeroizing;

use super::disclosure::shown as shown_asked;
use super::duty::Duty;
use super::search::{ask, ground, holders, is_searchable, subjects};
use super::{
    Operator, fields, invalid, no_such_record, page_size, record, refused, store_failed, told,
};
use crate::exchange::acting::acting_for;
use crate::exchange::disclose::{Asked, NEVER};
use crate::exchange::lookup::{LookupAt, Subjects};
use crate::exchange::{Party, enrol};
use crate::node::accounts;
use crate::node::pause::pause;
use crate::proto::operator as pb;
use crate::proto::operator::case_service_server::CaseService;
use crate::records::Column;
use crate::roster::Member;
use crate::store::{CaseItemRow, CaseRow, StoreError, Tag};

/// Longest note, in octets.
const MAX_NOTE: usize = 4_096;

/// How long a search may take: what has not answered then will not.
const SEARCH_MS: u64 = 120_000;

/// A night, in milliseconds.
const NIGHT_MS: u64 = 86_400_000;

/// How often it is looked whether a case is due.
const ROUND: Duration = Duration::from_secs(1);

/// How many cases are looked for in one round.
const NIGHTLY: u64 = 50;

/// Most requests of this member that are looked through for those of a case.
const ASKED: u64 = 10_000;

/// The case of a search before it begins.
enum Planned {
    /// It is there.
    Open([u8; 16]),
    /// It is to be opened: for the record with this tag, or for a child that was described.
    New(Option<Tag>),
}

#[tonic::async_trait]
impl CaseService for Operator {
    async fn start_search(
        &self,
        request: Request<pb::StartSearchRequest>,
    ) -> Result<Response<pb::StartSearchResponse>, Status> {
        let caller = self.caller(&request, Duty::Ask).await?;
        let asked = request.into_inner();
        let at = ground(&asked.purpose, &asked.legal_basis, &asked.case_reference)?;
        let holders = holders(&self.party, &asked.members)?;
        let (planned, kept) = self.case_for(&asked).await?;
        let wanted = search_request(&kept);
        // What hinders the search is told before it counts as begun.
        let subjects = Arc::new(caller.does(subjects(&self.party, &wanted)).await?);
        caller
            .does(subjects.prepare(&self.party))
            .await
            .map_err(|error| told(&error))?;
        let (case_id, kept) = self.open(planned, kept).await?;
        let search_id = begin(&self.party, case_id, &kept, &at, &holders, false).await?;
        go_on(
            &self.party,
            caller.account(),
            Begun {
                case_id,
                search_id,
                at,
                holders,
                subjects,
            },
        );
        Ok(Response::new(pb::StartSearchResponse {
            search: hex::encode(search_id),
            case: hex::encode(case_id),
        }))
    }

    async fn get_search(
        &self,
        request: Request<pb::GetSearchRequest>,
    ) -> Result<Response<pb::GetSearchResponse>, Status> {
        self.caller(&request, Duty::Ask).await?;
        let search_id = id(&request.into_inner().search)?;
        let failed = |error: StoreError| store_failed(&error);
        let store = self.party.store();
        let case_id = store
            .case_of_item(&search_id)
            .await
            .map_err(failed)?
            .ok_or_else(no_such_case)?;
        let items = Items::of(&self.party, &case_id).await?;
        let search = items
            .begun()
            .find(|(begun, ..)| **begun == search_id)
            .map(|begun| items.search(begun, self.party.ambient().now_ms()))
            .ok_or_else(no_such_case)?;
        Ok(Response::new(pb::GetSearchResponse {
            search: Some(search),
            case: hex::encode(case_id),
        }))
    }

    async fn list_cases(
        &self,
        request: Request<pb::ListCasesRequest>,
    ) -> Result<Response<pb::ListCasesResponse>, Status> {
        self.caller(&request, Duty::Ask).await?;
        let limit = page_size(request.into_inner().limit);
        let rows = self
            .party
            .store()
            .cases(u64::from(limit))
            .await
            .map_err(|error| store_failed(&error))?;
        let mut cases = Vec::with_capacity(rows.len());
        for row in rows {
            let kept = read(&row)?;
            let child = self.child(&kept).await?;
            let items = Items::of(&self.party, &row.case_id).await?;
            cases.push(summary(&row, &kept, child.as_ref(), &items));
        }
        Ok(Response::new(pb::ListCasesResponse { cases }))
    }

    async fn get_case(
        &self,
        request: Request<pb::GetCaseRequest>,
    ) -> Result<Response<pb::GetCaseResponse>, Status> {
        self.caller(&request, Duty::Ask).await?;
        let row = self.row(&request.into_inner().case).await?;
        let kept = read(&row)?;
        let child = self.child(&kept).await?;
        let items = Items::of(&self.party, &row.case_id).await?;
        let names: HashMap<[u8; 16], String> = accounts::all(&self.party)
            .await
            .map_err(|error| store_failed(&error))?
            .into_iter()
            .map(|read| (read.id, read.account.name))
            .collect();
        Ok(Response::new(pb::GetCaseResponse {
            summary: Some(summary(&row, &kept, child.as_ref(), &items)),
            asked: self.asked(&items).await?,
            searches: items.searches(self.party.ambient().now_ms()),
            notes: items.notes(&names),
            child,
        }))
    }

    async fn add_note(
        &self,
        request: Request<pb::AddNoteRequest>,
    ) -> Result<Response<pb::AddNoteResponse>, Status> {
        let caller = self.caller(&request, Duty::Ask).await?;
        let asked = request.into_inner();
        let row = self.row(&asked.case).await?;
        let text = asked.text.trim();
        if text.is_empty() || text.len() > MAX_NOTE {
            return Err(invalid(
                "NOTE",
                &format!("a note has 1 to {MAX_NOTE} octets"),
            ));
        }
        let note = pb::KeptNote {
            account: caller.account().map_or_else(Vec::new, Vec::from),
            text: text.to_owned(),
        };
        let item = pb::kept_case_item::Item::Note(note);
        add(
            &self.party,
            row.case_id,
            self.party.ambient().random(),
            item,
        )
        .await?;
        Ok(Response::new(pb::AddNoteResponse {}))
    }

    async fn set_nightly(
        &self,
        request: Request<pb::SetNightlyRequest>,
    ) -> Result<Response<pb::SetNightlyResponse>, Status> {
        self.caller(&request, Duty::Ask).await?;
        let asked = request.into_inner();
        // The night's search may move the case meanwhile: what is set is set on the case as it is.
        // One that was erased is found no more, which ends this.
        loop {
            let row = self.row(&asked.case).await?;
            let due_ms = match (asked.nightly, row.due_ms) {
                (false, _) => NEVER,
                (true, due_ms) if due_ms < NEVER => due_ms,
                (true, _) => next_night(&self.party),
            };
            let is_set = self
                .party
                .store()
                .set_case_due(&row.case_id, row.due_ms, due_ms)
                .await
                .map_err(|error| store_failed(&error))?;
            if is_set {
                return Ok(Response::new(pb::SetNightlyResponse {}));
            }
        }
    }

    async fn erase_case(
        &self,
        request: Request<pb::EraseCaseRequest>,
    ) -> Result<Response<pb::EraseCaseResponse>, Status> {
        self.caller(&request, Duty::Ask).await?;
        let case_id = id(&request.into_inner().case)?;
        let gone = self
            .party
            .store()
            .erase_case(&case_id)
            .await
            .map_err(|error| store_failed(&error))?;
        if gone {
            Ok(Response::new(pb::EraseCaseResponse {}))
        } else {
            Err(no_such_case())
        }
    }
}

impl Operator {
    async fn row(&self, text: &str) -> Result<CaseRow, Status> {
        self.party
            .store()
            .case(&id(text)?)
            .await
            .map_err(|error| store_failed(&error))?
            .ok_or_else(no_such_case)
    }

    /// The case that a search belongs to: the one named, the one that the record has, or a new one,
    /// which is not opened yet: a search that cannot begin leaves no empty case.
    async fn case_for(
        &self,
        asked: &pb::StartSearchRequest,
    ) -> Result<(Planned, pb::KeptCase), Status> {
        let failed = |error: StoreError| store_failed(&error);
        let store = self.party.store();
        if !asked.case.is_empty() {
            let row = self.row(&asked.case).await?;
            return Ok((Planned::Open(row.case_id), read(&row)?));
        }
        let mut ref_tag = None;
        if asked.record_ref.is_empty() {
            let described = record(&asked.described.clone().unwrap_or_default().fields)?;
            is_searchable(&self.party, &described)?;
        } else {
            let stored = store
                .record_by_ref(&asked.record_ref)
                .await
                .map_err(failed)?;
            let tag = stored.ok_or_else(no_such_record)?.ref_tag();
            if let Some(row) = store.case_of_record(tag).await.map_err(failed)? {
                return Ok((Planned::Open(row.case_id), read(&row)?));
            }
            ref_tag = Some(tag);
        }
        let kept = pb::KeptCase {
            case_reference: asked.case_reference.clone(),
            record_ref: asked.record_ref.clone(),
            described: asked
                .described
                .clone()
                .filter(|_| asked.record_ref.is_empty()),
            purpose: asked.purpose.clone(),
            legal_basis: asked.legal_basis.clone(),
        };
        Ok((Planned::New(ref_tag), kept))
    }

    /// Opens the case of a search that begins.
    async fn open(
        &self,
        planned: Planned,
        kept: pb::KeptCase,
    ) -> Result<([u8; 16], pb::KeptCase), Status> {
        let failed = |error: StoreError| store_failed(&error);
        let store = self.party.store();
        let ref_tag = match planned {
            Planned::Open(case_id) => return Ok((case_id, kept)),
            Planned::New(ref_tag) => ref_tag,
        };
        let now_ms = self.party.ambient().now_ms();
        let row = CaseRow {
            case_id: self.party.ambient().random(),
            ref_tag,
            plaintext: Zeroizing::new(kept.encode_to_vec()),
            due_ms: NEVER,
            opened_ms: now_ms,
            updated_ms: now_ms,
        };
        if store.open_case(&row).await.map_err(failed)? {
            return Ok((row.case_id, kept));
        }
        // Two searched for one record at once: the other's case is the record's.
        let tag = ref_tag.ok_or_else(no_such_case)?;
        let row = store.case_of_record(tag).await.map_err(failed)?;
        let row = row.ok_or_else(no_such_case)?;
        Ok((row.case_id, read(&row)?))
    }

    /// What is known of the child; nothing if its record was erased.
    async fn child(&self, kept: &pb::KeptCase) -> Result<Option<pb::Record>, Status> {
        if kept.record_ref.is_empty() {
            return Ok(kept.described.clone());
        }
        let stored = self
            .party
            .store()
            .record_by_ref(&kept.record_ref)
            .await
            .map_err(|error| store_failed(&error))?;
        let Some(stored) = stored else {
            return Ok(None);
        };
        let record = enrol::parse(&stored).map_err(|error| store_failed(&error))?;
        Ok(Some(pb::Record {
            fields: fields(&record),
        }))
    }

    /// What was asked on leads of a case.
    async fn asked(&self, items: &Items) -> Result<Vec<pb::CaseAsked>, Status> {
        let leads = items.leads();
        if leads.is_empty() {
            return Ok(Vec::new());
        }
        let failed = |error: StoreError| store_failed(&error);
        let rows = self
            .party
            .store()
            .all_received(ASKED)
            .await
            .map_err(failed)?;
        let mut found = Vec::new();
        for row in &rows {
            let asked = Asked::read(row).map_err(failed)?;
            let lead = format!("{}:{}", asked.holder, asked.lead_id);
            if leads.contains(&lead) {
                found.push(pb::CaseAsked {
                    asked_ms: asked.asked_ms,
                    asked: Some(shown_asked(&asked)),
                    lead,
                });
            }
        }
        found.sort_by_key(|asked| asked.asked_ms);
        Ok(found)
    }
}

fn read(row: &CaseRow) -> Result<pb::KeptCase, Status> {
    pb::KeptCase::decode(row.plaintext.as_slice())
        .map_err(|error| store_failed(&StoreError::damaged("case", error.to_string())))
}

fn search_request(kept: &pb::KeptCase) -> pb::SearchRequest {
    pb::SearchRequest {
        record_refs: Some(kept.record_ref.clone())
            .filter(|reference| !reference.is_empty())
            .into_iter()
            .collect(),
        subjects: kept.described.clone().into_iter().collect(),
        ..pb::SearchRequest::default()
    }
}

/// A search that has begun and whose members are to be asked.
struct Begun {
    case_id: [u8; 16],
    search_id: [u8; 16],
    at: LookupAt,
    holders: Vec<Member>,
    subjects: Arc<Subjects>,
}

/// Notes in the case that a search begins, and on what ground.
async fn begin(
    party: &Party,
    case_id: [u8; 16],
    kept: &pb::KeptCase,
    at: &LookupAt,
    holders: &[Member],
    nightly: bool,
) -> Result<[u8; 16], Status> {
    let (purpose, legal_basis) = (at.purpose.to_string(), at.legal_basis.to_string());
    let newest = pb::KeptCase {
        case_reference: at.case_reference.clone(),
        purpose: purpose.clone(),
        legal_basis: legal_basis.clone(),
        ..kept.clone()
    };
    if newest != *kept {
        let plaintext = Zeroizing::new(newest.encode_to_vec());
        party
            .store()
            .change_case(&case_id, &plaintext, party.ambient().now_ms())
            .await
            .map_err(|error| store_failed(&error))?;
    }
    let search = pb::KeptSearch {
        purpose,
        legal_basis,
        case_reference: at.case_reference.clone(),
        members: holders.iter().map(|holder| holder.id.to_string()).collect(),
        nightly,
    };
    let search_id = party.ambient().random();
    let item = pb::kept_case_item::Item::Search(search);
    add(party, case_id, search_id, item).await?;
    Ok(search_id)
}

/// Asks the members, each by itself, and keeps what they answer.
fn go_on(party: &Arc<Party>, account: Option<[u8; 16]>, begun: Begun) {
    let Begun {
        case_id,
        search_id,
        at,
        holders,
        subjects,
    } = begun;
    for holder in holders {
        let (party, subjects, at) = (Arc::clone(party), Arc::clone(&subjects), at.clone());
        tokio::spawn(async move {
            let answer = acting_for(account, ask(&party, &holder, &at, &subjects)).await;
            let item = pb::kept_case_item::Item::Answer(pb::KeptAnswer {
                search: search_id.to_vec(),
                answer: Some(answer),
            });
            // A case that was erased meanwhile takes no answer; the database has said what it has
            // against it.
            let _ = add(&party, case_id, party.ambient().random(), item).await;
        });
    }
}

async fn add(
    party: &Party,
    case_id: [u8; 16],
    item_id: [u8; 16],
    item: pb::kept_case_item::Item,
) -> Result<(), Status> {
    let plaintext = pb::KeptCaseItem { item: Some(item) }.encode_to_vec();
    let there = party
        .store()
        .add_case_item(&CaseItemRow {
            item_id,
            case_id,
            plaintext: Zeroizing::new(plaintext),
            at_ms: party.ambient().now_ms(),
        })
        .await
        .map_err(|error| store_failed(&error))?;
    if there { Ok(()) } else { Err(no_such_case()) }
}

/// A search as it was begun: its id, when, and on what ground.
type BegunItem<'a> = (&'a [u8; 16], u64, &'a pb::KeptSearch);

/// What was done in a case.
struct Items(Vec<([u8; 16], u64, pb::kept_case_item::Item)>);

impl Items {
    async fn of(party: &Party, case_id: &[u8; 16]) -> Result<Self, Status> {
        let failed = |error: StoreError| store_failed(&error);
        let rows = party.store().case_items(case_id).await.map_err(failed)?;
        let mut items = Vec::with_capacity(rows.len());
        for row in rows {
            let kept = pb::KeptCaseItem::decode(row.plaintext.as_slice())
                .map_err(|error| failed(StoreError::damaged("case", error.to_string())))?;
            items.extend(kept.item.map(|item| (row.item_id, row.at_ms, item)));
        }
        Ok(Self(items))
    }

    /// The searches as they were begun, in their order.
    fn begun(&self) -> impl DoubleEndedIterator<Item = BegunItem<'_>> {
        self.0
            .iter()
            .filter_map(|(search_id, began_ms, item)| match item {
                pb::kept_case_item::Item::Search(search) => Some((search_id, *began_ms, search)),
                _ => None,
            })
    }

    /// A search with what it came to so far.
    fn search(&self, begun: BegunItem<'_>, now_ms: u64) -> pb::CaseSearch {
        let (search_id, began_ms, search) = begun;
        let answers: Vec<_> = self.answers(search_id).cloned().collect();
        let ended = answers.len() >= search.members.len() || now_ms > began_ms + SEARCH_MS;
        pb::CaseSearch {
            search: hex::encode(search_id),
            began_ms,
            purpose: search.purpose.clone(),
            legal_basis: search.legal_basis.clone(),
            case_reference: search.case_reference.clone(),
            members: search.members.clone(),
            answers,
            ended,
            nightly: search.nightly,
        }
    }

    fn searches(&self, now_ms: u64) -> Vec<pb::CaseSearch> {
        self.begun()
            .map(|begun| self.search(begun, now_ms))
            .collect()
    }

    fn answers<'a>(
        &'a self,
        search_id: &'a [u8; 16],
    ) -> impl Iterator<Item = &'a pb::SearchResponse> {
        self.0.iter().filter_map(move |(_, _, item)| match item {
            pb::kept_case_item::Item::Answer(kept) if kept.search == search_id => {
                kept.answer.as_ref()
            }
            _ => None,
        })
    }

    fn leads(&self) -> Vec<String> {
        self.0
            .iter()
            .filter_map(|(_, _, item)| match item {
                pb::kept_case_item::Item::Answer(kept) => kept.answer.as_ref(),
                _ => None,
            })
            .flat_map(|answer| answer.results.iter())
            .flat_map(|result| result.leads.iter().map(|lead| lead.lead.clone()))
            .collect()
    }

    fn notes(&self, names: &HashMap<[u8; 16], String>) -> Vec<pb::CaseNote> {
        self.0
            .iter()
            .filter_map(|(_, at_ms, item)| match item {
                pb::kept_case_item::Item::Note(note) => Some(pb::CaseNote {
                    at_ms: *at_ms,
                    by: <[u8; 16]>::try_from(note.account.as_slice())
                        .ok()
                        .and_then(|account| names.get(&account).cloned())
                        .unwrap_or_default(),
                    text: note.text.clone(),
                }),
                _ => None,
            })
            .collect()
    }
}

fn summary(
    row: &CaseRow,
    kept: &pb::KeptCase,
    child: Option<&pb::Record>,
    items: &Items,
) -> pb::CaseSummary {
    let name = |column: Column| {
        child
            .and_then(|child| child.fields.get(column.name()))
            .cloned()
            .unwrap_or_default()
    };
    let names = [Column::FamilyName, Column::GivenName, Column::Patronymic].map(name);
    let grades: Vec<&str> = items
        .begun()
        .next_back()
        .into_iter()
        .flat_map(|(search_id, ..)| items.answers(search_id))
        .flat_map(|answer| &answer.results)
        .map(|result| result.grade.as_str())
        .collect();
    let best = ["MATCH", "POSSIBLE", "NO_MATCH"]
        .into_iter()
        .find(|grade| grades.contains(grade));
    pb::CaseSummary {
        case: hex::encode(row.case_id),
        case_reference: kept.case_reference.clone(),
        record_ref: kept.record_ref.clone(),
        names: names.join(" ").trim().to_owned(),
        opened_ms: row.opened_ms,
        changed_ms: row.updated_ms,
        nightly: row.due_ms < NEVER,
        grade: best.unwrap_or_default().to_owned(),
    }
}

/// Some hour of the night to come, so that not all search at once.
fn next_night(party: &Party) -> u64 {
    let now_ms = party.ambient().now_ms();
    let spread = u64::from(u16::from_be_bytes(party.ambient().random())) * 200;
    now_ms - now_ms % NIGHT_MS + NIGHT_MS + spread
}

/// Looks for the children of cases that are due, until the node stops.
pub(in crate::node) async fn nightly(party: Arc<Party>, mut stopped: watch::Receiver<bool>) {
    while pause(ROUND, &mut stopped).await {
        if let Err(status) = tonight(&party).await {
            tracing::error!(code = ?status.code(), "the nightly search could not be made");
        }
    }
}

/// Begins the searches that are due.
///
/// # Errors
/// If the store fails.
async fn tonight(party: &Arc<Party>) -> Result<(), Status> {
    let failed = |error: StoreError| store_failed(&error);
    let now_ms = party.ambient().now_ms();
    for row in party
        .store()
        .cases_due(now_ms, NIGHTLY)
        .await
        .map_err(failed)?
    {
        // Whoever moves the case to the next night makes this night's search: one of several
        // replicas does.
        let mine = party
            .store()
            .set_case_due(&row.case_id, row.due_ms, next_night(party))
            .await
            .map_err(failed)?;
        if !mine {
            continue;
        }
        if let Err(status) = look_again(party, &row).await {
            tracing::warn!(
                case = hex::encode(row.case_id),
                code = ?status.code(),
                "a case was not searched for tonight"
            );
        }
    }
    Ok(())
}

async fn look_again(party: &Arc<Party>, row: &CaseRow) -> Result<(), Status> {
    let kept = read(row)?;
    let at = ground(&kept.purpose, &kept.legal_basis, &kept.case_reference)?;
    let holders = holders(party, &[])?;
    let subjects = Arc::new(subjects(party, &search_request(&kept)).await?);
    subjects
        .prepare(party)
        .await
        .map_err(|error| told(&error))?;
    let search_id = begin(party, row.case_id, &kept, &at, &holders, true).await?;
    go_on(
        party,
        None,
        Begun {
            case_id: row.case_id,
            search_id,
            at,
            holders,
            subjects,
        },
    );
    Ok(())
}

fn id(text: &str) -> Result<[u8; 16], Status> {
    let mut id = [0; 16];
    hex::decode_to_slice(text, &mut id)
        .map_err(|_| invalid("CASE", "a case or search is named by 32 hexadecimal digits"))?;
    Ok(id)
}

fn no_such_case() -> Status {
    refused(Code::NotFound, "NO_SUCH_CASE", "there is no such case")
}
