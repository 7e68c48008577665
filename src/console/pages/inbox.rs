//! What other members ask to be told, for this member's people to decide.

use crate::console::forms::{At, Done, FormPage, ReadPage, Sent};
use crate::console::gate::Visit;
use crate::console::pages::cases::shown;
use crate::console::problem::{Problem, Stop};
use crate::console::view::{
    Block, Cell, Choice, Field, Form, Kind, Link, Page, Piece, Table, Tone,
};
use crate::console::words;
use crate::exchange::disclose::DenialReason;
use crate::locale::Lang;
use crate::proto::operator as pb;
use crate::proto::operator::request_service_client::RequestServiceClient;

/// All that waits.
pub struct Inbox;

/// One request.
pub struct RequestPage;

/// All requests, those among them that are done.
pub struct AllRequests;

/// Most requests of one page.
const PAGE: u32 = 1_000;

/// What people have to look at, nearest deadline first: what waits, and releases that are to be
/// reviewed.
///
/// # Errors
/// What the node says.
pub async fn open(visit: &Visit) -> Result<Vec<pb::RequestSummary>, Problem> {
    let mut requests = list(visit, "").await?;
    requests.sort_by_key(|request| due(request).unwrap_or(u64::MAX));
    Ok(requests)
}

async fn list(visit: &Visit, state: &str) -> Result<Vec<pb::RequestSummary>, Problem> {
    Ok(RequestServiceClient::new(visit.api())
        .list_requests(pb::ListRequestsRequest {
            state: state.to_owned(),
            limit: PAGE,
        })
        .await?
        .into_inner()
        .requests)
}

/// The stated deadline, or the day on which the request ends.
fn due(request: &pb::RequestSummary) -> Option<u64> {
    words::read_moment(&request.answer_by).or_else(|| words::read_moment(&request.expires_at))
}

fn table(visit: &Visit, caption: &str, requests: &[pb::RequestSummary], empty: &str) -> Block {
    let lang = visit.lang;
    Block::Table(Table {
        caption: visit.text(caption),
        columns: ["asking", "deadline", "fields", "ground", "state"]
            .map(|column| visit.text(&format!("column-{column}")))
            .into(),
        rows: requests
            .iter()
            .map(|request| {
                let names: Vec<String> = request
                    .fields
                    .iter()
                    .map(|field| field.name.clone())
                    .collect();
                vec![
                    Cell(vec![Piece::Link(
                        Link::new(
                            format!("/inbox/{}", request.request),
                            visit.party(&request.member),
                        )
                        .about(request.case_reference.clone()),
                    )])
                    .and(Cell::text(&request.case_reference)),
                    deadline(visit, request),
                    Cell::text(words::fields(lang, &names)),
                    Cell::text(words::named(lang, "ask-purpose", &request.purpose)).and(
                        Cell::text(words::named(lang, "ask-basis", &request.legal_basis)),
                    ),
                    state(visit, request),
                ]
            })
            .collect(),
        empty: visit.text(empty),
    })
}

fn deadline(visit: &Visit, request: &pb::RequestSummary) -> Cell {
    let cell = due(request).map_or_else(Cell::default, |ms| Cell::moment(visit.lang, ms));
    match request.overdue {
        true => Cell::tag(Tone::Bad, visit.text("inbox-overdue")).and(cell),
        false => cell,
    }
}

fn state(visit: &Visit, request: &pb::RequestSummary) -> Cell {
    let cell = Cell::tag(
        Tone::Plain,
        words::named(visit.lang, "request", &request.state),
    );
    match request.review_due {
        true => cell.and(Cell::tag(Tone::Bad, visit.text("inbox-review-due"))),
        false => cell,
    }
}

impl ReadPage for Inbox {
    const PATH: &'static str = "/inbox";

    async fn show(visit: &Visit, _at: &At) -> Result<Page, Problem> {
        let requests = open(visit).await?;
        Ok(Page::new("inbox", visit.text("inbox-title"))
            .with(table(visit, "inbox-list", &requests, "inbox-none"))
            .with(Block::Links(vec![Link::new(
                "/inbox/all",
                visit.text("inbox-all"),
            )])))
    }
}

impl ReadPage for AllRequests {
    const PATH: &'static str = "/inbox/all";

    async fn show(visit: &Visit, _at: &At) -> Result<Page, Problem> {
        let requests = list(visit, "all").await?;
        Ok(Page::new("inbox", visit.text("inbox-all"))
            .back("/inbox", visit.text("nav-inbox"))
            .with(table(visit, "inbox-all", &requests, "inbox-none-ever")))
    }
}

impl FormPage for RequestPage {
    const PATH: &'static str = "/inbox/{request}";

    async fn show(visit: &Visit, at: &At, sent: &Sent) -> Result<Page, Problem> {
        if visit.may(&["approver"]) {
            return whole(visit, at, sent).await;
        }
        // An auditor sees what was asked and decided, and no value.
        let request = RequestServiceClient::new(visit.api())
            .get_request(pb::GetRequestRequest {
                request: at.get("request").to_owned(),
            })
            .await?
            .into_inner()
            .summary
            .ok_or(Problem::NotFound)?;
        let page = Page::new("inbox", title(visit, &request))
            .back("/inbox", visit.text("nav-inbox"))
            .summary(facts(visit, &request))
            .with(fields_table(visit, &request, None));
        Ok(review_form(visit, page, &request))
    }

    async fn act(visit: &Visit, at: &At, sent: &Sent) -> Result<Done, Stop> {
        let request = at.get("request").to_owned();
        let mut client = RequestServiceClient::new(visit.api());
        let act = sent.values.get("act");
        match act {
            "withdraw" => {
                client
                    .withdraw_request(pb::WithdrawRequestRequest { request })
                    .await?;
            }
            "right" | "wrong" => {
                client
                    .review_release(pb::ReviewReleaseRequest {
                        request,
                        upheld: act == "right",
                    })
                    .await?;
            }
            _ => {
                let fields = sent.values.all("fields");
                if fields.is_empty() {
                    return Err(Stop::at("fields", visit.text("inbox-need-fields")));
                }
                let decision = Some(pb::Decision {
                    request,
                    digest: sent.values.get("digest").to_owned(),
                    fields,
                });
                if act == "deny" {
                    let reason = sent.values.get("reason").to_owned();
                    client
                        .deny_request(pb::DenyRequestRequest { decision, reason })
                        .await?;
                } else {
                    client
                        .approve_request(pb::ApproveRequestRequest {
                            decision,
                            break_glass: act == "alone",
                        })
                        .await?;
                }
            }
        }
        Ok(Done::see(visit.here.clone()))
    }
}

fn title(visit: &Visit, request: &pb::RequestSummary) -> String {
    visit.lang.with(
        "inbox-request-title",
        &[("member", visit.party(&request.member).into())],
    )
}

fn facts(visit: &Visit, request: &pb::RequestSummary) -> Vec<(String, Cell)> {
    let lang = visit.lang;
    let mut facts = vec![
        (visit.text("column-state"), state(visit, request)),
        (
            visit.text("ask-purpose"),
            Cell::text(words::named(lang, "ask-purpose", &request.purpose)),
        ),
        (
            visit.text("ask-basis"),
            Cell::text(words::named(lang, "ask-basis", &request.legal_basis)),
        ),
        (
            visit.text("inbox-their-case"),
            Cell::text(&request.case_reference),
        ),
    ];
    if let Some(ms) = words::read_moment(&request.asked_at) {
        facts.push((visit.text("inbox-asked-at"), Cell::moment(lang, ms)));
    }
    facts.push((visit.text("column-deadline"), deadline(visit, request)));
    facts
}

fn fields_table(
    visit: &Visit,
    request: &pb::RequestSummary,
    values: Option<&std::collections::HashMap<String, String>>,
) -> Block {
    let lang = visit.lang;
    let mut columns = vec!["field", "state", "why"];
    if values.is_some() {
        columns.insert(1, "value");
    }
    Block::Table(Table {
        caption: visit.text("inbox-fields"),
        columns: columns
            .into_iter()
            .map(|column| visit.text(&format!("column-{column}")))
            .collect(),
        rows: request
            .fields
            .iter()
            .map(|field| {
                let mut row = vec![Cell::text(words::field(lang, &field.name))];
                if let Some(values) = values {
                    row.push(Cell::text(match values.get(&field.name) {
                        Some(value) => shown(visit, &field.name, value),
                        None => visit.text("inbox-no-value"),
                    }));
                }
                let mut state = Cell::tag(
                    match field.state.as_str() {
                        "granted" => Tone::Good,
                        "refused" => Tone::Bad,
                        _ => Tone::Plain,
                    },
                    words::named(lang, "field-state", &field.state),
                );
                if field.state == "waiting" {
                    state = state.and(Cell::text(lang.with(
                        "inbox-approvals",
                        &[
                            ("have", u64::from(field.have).into()),
                            ("needed", u64::from(field.needed).into()),
                        ],
                    )));
                }
                if field.told {
                    state = state.and(Cell::text(visit.text("inbox-told")));
                }
                row.push(state);
                row.push(Cell::text(why(visit, field)));
                row
            })
            .collect(),
        empty: String::new(),
    })
}

/// Which rule decides. The words of a rule are its author's: where the reader reads another language
/// than the node speaks, its name stands for them.
fn why(visit: &Visit, field: &pb::RequestedField) -> String {
    if visit.lang == Lang::English {
        return field.why.clone();
    }
    match field.rules.as_slice() {
        [] => visit.text("inbox-no-rule"),
        rules => visit
            .lang
            .with("inbox-rules", &[("rules", rules.join(", ").into())]),
    }
}

fn history(visit: &Visit, events: &[pb::RequestEvent]) -> Block {
    let lang = visit.lang;
    Block::Table(Table {
        caption: visit.text("inbox-history"),
        columns: ["what", "name", "when"]
            .map(|column| visit.text(&format!("column-{column}")))
            .into(),
        rows: events
            .iter()
            .map(|event| {
                let mut what = Cell::text(visit.text(&format!("request-event-{}", event.what)));
                if !event.fields.is_empty() {
                    what = what.and(Cell::text(words::fields(lang, &event.fields)));
                }
                if !event.reason.is_empty() {
                    let reason = visit.text(&format!("denial-{}", event.reason));
                    what = what.and(Cell::text(reason));
                }
                let when = match event.at_ms {
                    0 => Cell::text("–"),
                    ms => Cell::moment(lang, ms),
                };
                let by = match event.by.is_empty() {
                    true => "–",
                    false => event.by.as_str(),
                };
                vec![what, Cell::text(by), when]
            })
            .collect(),
        empty: String::new(),
    })
}

async fn whole(visit: &Visit, at: &At, sent: &Sent) -> Result<Page, Problem> {
    let request = RequestServiceClient::new(visit.api())
        .show_request(pb::ShowRequestRequest {
            request: at.get("request").to_owned(),
        })
        .await?
        .into_inner();
    let summary = request.summary.clone().unwrap_or_default();
    let lang = visit.lang;
    let mut facts = facts(visit, &summary);
    facts.extend([
        (
            visit.text("inbox-why"),
            Cell::text(request.justification.clone()),
        ),
        (
            visit.text("inbox-record"),
            Cell::text(if request.record_ref.is_empty() {
                visit.text("inbox-record-gone")
            } else {
                request.record_ref.clone()
            }),
        ),
        (
            visit.text("inbox-found"),
            super::search::grade(lang, &request.grade).and(Cell::text(visit.text(
                if request.certain {
                    "inbox-certain"
                } else {
                    "inbox-uncertain"
                },
            ))),
        ),
        (
            words::field(lang, "protection"),
            Cell::text(words::named(lang, "value-protection", &request.protection)),
        ),
    ]);
    let here = format!("/inbox/{}", summary.request);
    let mut page = Page::new("inbox", title(visit, &summary))
        .back("/inbox", visit.text("nav-inbox"))
        .summary(facts)
        .with(fields_table(visit, &summary, Some(&request.values)));
    if !request.events.is_empty() {
        page = page.with(history(visit, &request.events));
    }
    let waiting: Vec<&pb::RequestedField> = summary
        .fields
        .iter()
        .filter(|field| field.state == "waiting")
        .collect();
    if !waiting.is_empty() && !request.digest.is_empty() {
        let chosen = sent.values.all("fields");
        let choices = waiting
            .iter()
            .map(|field| {
                Choice::new(
                    &field.name,
                    words::field(lang, &field.name),
                    chosen.contains(&field.name),
                )
            })
            .collect();
        page = page.form(
            Form::new(here.clone(), visit.text("inbox-approve"))
                .act("approve")
                .heading(visit.text("inbox-decide"))
                // What is decided on is what this page showed.
                .field(Field::hidden("digest", request.digest.clone()))
                .field(
                    Field::new("fields", visit.text("inbox-choose"), Kind::Any { choices })
                        .hint(visit.text("inbox-choose-hint"))
                        .wrong(sent.wrong.of("fields")),
                )
                .field(
                    Field::new(
                        "reason",
                        visit.text("inbox-reason"),
                        Kind::List {
                            choices: reasons(visit, sent.values.get("reason")),
                        },
                    )
                    .hint(visit.text("inbox-reason-hint"))
                    .wrong(sent.wrong.of("reason")),
                )
                .button("deny", visit.text("inbox-deny"), Tone::Bad)
                .button("alone", visit.text("inbox-alone"), Tone::Plain),
        );
        page = page.with(Block::Note(visit.text("inbox-alone-note")));
    }
    let told = summary.fields.iter().any(|field| field.told);
    if told && !matches!(summary.state.as_str(), "withdrawn" | "expired") {
        page = page.form(
            Form::bare(here)
                .heading(visit.text("inbox-withdraw-title"))
                .button("withdraw", visit.text("inbox-withdraw"), Tone::Bad),
        );
    }
    Ok(review_form(visit, page, &summary))
}

fn reasons(visit: &Visit, chosen: &str) -> Vec<Choice> {
    let none = Choice::new("", visit.text("inbox-reason-none"), chosen.is_empty());
    let reasons = DenialReason::ALL.into_iter().map(|reason| {
        let name = reason.as_str();
        let words = visit.text(&format!("denial-{name}"));
        Choice::new(name, words, chosen == name)
    });
    std::iter::once(none).chain(reasons).collect()
}

fn review_form(visit: &Visit, page: Page, request: &pb::RequestSummary) -> Page {
    if !request.review_due {
        return page;
    }
    page.form(
        Form::bare(format!("/inbox/{}", request.request))
            .heading(visit.text("inbox-review-title"))
            .button("right", visit.text("inbox-review-right"), Tone::Good)
            .button("wrong", visit.text("inbox-review-wrong"), Tone::Bad),
    )
}
