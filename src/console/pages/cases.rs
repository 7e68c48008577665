//! Cases: all that was done for one child.

use std::fmt::Write as _;

use crate::console::forms::{At, Done, FormPage, ReadPage, Sent};
use crate::console::gate::Visit;
use crate::console::pages::search::{DESCRIBES, check_ground, grade, ground_fields, on_ground};
use crate::console::pages::sure;
use crate::console::problem::{Problem, Stop, Wrong};
use crate::console::view::{
    Block, Cell, Choice, Field, Form, Kind, Link, Page, Picture, Piece, Table, Tone,
};
use crate::console::words;
use crate::proto::operator as pb;
use crate::proto::operator::case_service_client::CaseServiceClient;
use crate::proto::operator::disclosure_service_client::DisclosureServiceClient;
use crate::records::FIELDS;

/// All cases.
pub struct Cases;

/// One case.
pub struct Case;

/// Asking the member behind a lead.
pub struct Ask;

/// What was asked, and what was told.
pub struct AskedPage;

impl ReadPage for Cases {
    const PATH: &'static str = "/cases";

    async fn show(visit: &Visit, _at: &At) -> Result<Page, Problem> {
        let cases = CaseServiceClient::new(visit.api())
            .list_cases(pb::ListCasesRequest { limit: 200 })
            .await?
            .into_inner()
            .cases;
        Ok(Page::new("cases", visit.text("cases-title"))
            .with(Block::Table(Table {
                caption: visit.text("cases-list"),
                columns: ["case", "child", "grade", "changed"]
                    .map(|column| visit.text(&format!("column-{column}")))
                    .into(),
                rows: cases
                    .into_iter()
                    .map(|case| {
                        let mut state = match case.grade.is_empty() {
                            true => Cell::default(),
                            false => grade(visit.lang, &case.grade),
                        };
                        if case.nightly {
                            state = state.and(Cell::text(visit.text("case-nightly-on")));
                        }
                        vec![
                            Cell::link(format!("/cases/{}", case.case), case.case_reference),
                            Cell::text(if case.names.is_empty() {
                                case.record_ref
                            } else {
                                case.names
                            }),
                            state,
                            Cell::moment(visit.lang, case.changed_ms),
                        ]
                    })
                    .collect(),
                empty: visit.text("cases-none"),
            }))
            .with(Block::Links(vec![Link::new(
                "/search",
                visit.text("cases-new"),
            )])))
    }
}

async fn case_of(visit: &Visit, at: &At) -> Result<pb::GetCaseResponse, Problem> {
    Ok(CaseServiceClient::new(visit.api())
        .get_case(pb::GetCaseRequest {
            case: at.get("case").to_owned(),
        })
        .await?
        .into_inner())
}

/// Something that happened in a case.
struct Event {
    at_ms: u64,
    what: String,
    cell: Cell,
    class: &'static str,
}

/// The best grade that a member gave; none while nobody has answered.
fn best(search: &pb::CaseSearch) -> Option<&'static str> {
    ["MATCH", "POSSIBLE", "NO_MATCH"].into_iter().find(|grade| {
        search
            .answers
            .iter()
            .flat_map(|answer| &answer.results)
            .any(|result| result.grade == *grade)
    })
}

fn events(visit: &Visit, case: &pb::GetCaseResponse, id: &str) -> Vec<Event> {
    let lang = visit.lang;
    let mut events = Vec::new();
    for search in &case.searches {
        let best = best(search);
        let came = match best {
            Some(best) => grade(lang, best),
            None => Cell::tag(Tone::Plain, visit.text("search-no-answer")),
        };
        events.push(Event {
            at_ms: search.began_ms,
            what: visit.text(if search.nightly {
                "case-searched-nightly"
            } else {
                "case-searched"
            }),
            cell: came.and(Cell(vec![Piece::Link(
                Link::new(
                    format!("/searches/{}", search.search),
                    visit.text("case-answers"),
                )
                .about(words::moment(lang, search.began_ms)),
            )])),
            class: match best {
                Some("MATCH" | "POSSIBLE") => "hit",
                _ => "mark",
            },
        });
    }
    for asked in &case.asked {
        let request = asked.asked.clone().unwrap_or_default();
        let state = Cell::tag(Tone::Plain, words::named(lang, "request", &request.state));
        let cell = match request.request.is_empty() {
            true => state,
            false => state.and(Cell(vec![Piece::Link(
                Link::new(
                    format!("/cases/{id}/asked/{}", request.request),
                    visit.text("case-asked-look"),
                )
                .about(request.member.clone()),
            )])),
        };
        events.push(Event {
            at_ms: asked.asked_ms,
            what: visit.lang.with(
                "case-asked",
                &[("member", visit.party(&request.member).into())],
            ),
            cell,
            class: if request.told.is_empty() {
                "mark"
            } else {
                "hit"
            },
        });
    }
    for note in &case.notes {
        events.push(Event {
            at_ms: note.at_ms,
            what: visit
                .lang
                .with("case-note-by", &[("name", note.by.as_str().into())]),
            cell: Cell::text(note.text.clone()),
            class: "soft",
        });
    }
    events.sort_by_key(|event| event.at_ms);
    events
}

/// The events of a case along a line.
fn timeline(visit: &Visit, events: &[Event]) -> Option<Picture> {
    let (first, last) = (events.first()?.at_ms, events.last()?.at_ms);
    let span = (last - first).max(1);
    let mut svg = String::from(
        "<svg viewBox=\"0 0 640 92\" aria-hidden=\"true\"><path class=\"axis\" d=\"M20,46H620\"/>",
    );
    for event in events {
        let x = 20 + (event.at_ms - first) * 600 / span;
        let _ = write!(
            svg,
            "<circle class=\"{}\" cx=\"{x}\" cy=\"46\" r=\"8\"/>",
            event.class
        );
    }
    let day = |ms| words::date(visit.lang, &words::machine_moment(ms));
    let _ = write!(
        svg,
        "<text class=\"soft\" x=\"12\" y=\"80\">{}</text><text class=\"soft\" x=\"628\" y=\"80\" text-anchor=\"end\">{}</text></svg>",
        day(first),
        if last - first >= 86_400_000 {
            day(last)
        } else {
            String::new()
        },
    );
    Some(Picture {
        title: visit.text("case-timeline"),
        svg,
        alternative: visit.lang.with(
            "case-timeline-words",
            &[
                ("count", events.len().into()),
                ("first", words::moment(visit.lang, first).into()),
                ("last", words::moment(visit.lang, last).into()),
            ],
        ),
    })
}

impl FormPage for Case {
    const PATH: &'static str = "/cases/{case}";

    async fn show(visit: &Visit, at: &At, sent: &Sent) -> Result<Page, Problem> {
        let case = case_of(visit, at).await?;
        let summary = case.summary.clone().unwrap_or_default();
        let here = format!("/cases/{}", summary.case);
        let lang = visit.lang;
        let mut rows = vec![(visit.text("ask-case"), Cell::text(&summary.case_reference))];
        if !summary.record_ref.is_empty() {
            rows.push((
                words::field(lang, "record_ref"),
                Cell::text(&summary.record_ref),
            ));
        }
        if let Some(child) = &case.child {
            for name in DESCRIBES {
                if let Some(value) = child.fields.get(*name) {
                    rows.push((
                        words::field(lang, name),
                        Cell::text(shown(visit, name, value)),
                    ));
                }
            }
        }
        let mut page = Page::new("cases", title(visit, &summary))
            .back("/cases", visit.text("nav-cases"))
            .summary(rows);
        let events = events(visit, &case, &summary.case);
        if let Some(picture) = timeline(visit, &events) {
            page = page.with(Block::Picture(picture));
        }
        page = page.with(Block::Table(Table {
            caption: visit.text("case-events"),
            columns: ["when", "what", "outcome"]
                .map(|column| visit.text(&format!("column-{column}")))
                .into(),
            rows: events
                .into_iter()
                .rev()
                .map(|event| {
                    vec![
                        Cell::moment(lang, event.at_ms),
                        Cell::text(event.what),
                        event.cell,
                    ]
                })
                .collect(),
            empty: visit.text("case-events-none"),
        }));
        Ok(case_forms(visit, sent, page, &case, &here))
    }

    async fn act(visit: &Visit, at: &At, sent: &Sent) -> Result<Done, Stop> {
        let id = at.get("case").to_owned();
        let mut client = CaseServiceClient::new(visit.api());
        match sent.values.get("act") {
            "note" => {
                let mut wrong = Wrong::default();
                wrong.need(visit, "text", sent.values.get("text"));
                wrong.stop()?;
                client
                    .add_note(pb::AddNoteRequest {
                        case: id.clone(),
                        text: sent.values.get("text").to_owned(),
                    })
                    .await?;
            }
            "nightly" | "not-nightly" => {
                client
                    .set_nightly(pb::SetNightlyRequest {
                        case: id.clone(),
                        nightly: sent.values.get("act") == "nightly",
                    })
                    .await?;
            }
            "erase" => {
                sure::check(visit, sent)?;
                client.erase_case(pb::EraseCaseRequest { case: id }).await?;
                return Ok(Done::see("/cases"));
            }
            _ => {
                let mut wrong = Wrong::default();
                check_ground(visit, sent, &mut wrong);
                wrong.stop()?;
                let started = client
                    .start_search(pb::StartSearchRequest {
                        case: id,
                        ..on_ground(sent)
                    })
                    .await?
                    .into_inner();
                return Ok(Done::see(format!("/searches/{}", started.search)));
            }
        }
        Ok(Done::see(format!("/cases/{id}")))
    }
}

fn title(visit: &Visit, summary: &pb::CaseSummary) -> String {
    match summary.names.is_empty() {
        true => visit.lang.with(
            "case-title",
            &[("case", summary.case_reference.as_str().into())],
        ),
        false => summary.names.clone(),
    }
}

/// A value as a reader reads it.
pub fn shown(visit: &Visit, name: &str, value: &str) -> String {
    match name {
        "date_of_birth" => words::date(visit.lang, value),
        "sex" | "protection" | "consent" => {
            words::named(visit.lang, &format!("value-{name}"), value)
        }
        _ => value.to_owned(),
    }
}

fn case_forms(
    visit: &Visit,
    sent: &Sent,
    page: Page,
    case: &pb::GetCaseResponse,
    here: &str,
) -> Page {
    let summary = case.summary.clone().unwrap_or_default();
    let newest = case.searches.last().cloned().unwrap_or_default();
    let again = ground_fields(
        visit,
        Form::new(here, visit.text("case-again"))
            .act("search")
            .heading(visit.text("case-again-title")),
        sent,
        [
            &newest.purpose,
            &newest.legal_basis,
            &summary.case_reference,
        ],
    );
    let (act, button, text) = match summary.nightly {
        true => ("not-nightly", "case-nightly-stop", "case-nightly-is"),
        false => ("nightly", "case-nightly-start", "case-nightly-off"),
    };
    page.form(
        Form::new(here, visit.text("case-note-add"))
            .act("note")
            .heading(visit.text("case-note-title"))
            .field(
                Field::new(
                    "text",
                    visit.text("case-note"),
                    Kind::Area {
                        value: sent.values.get("text").to_owned(),
                    },
                )
                .hint(visit.text("case-note-hint"))
                .wrong(sent.wrong.of("text")),
            ),
    )
    .form(again)
    .heading(visit.text("case-nightly-title"))
    .text(visit.text(text))
    .form(Form::bare(here).button(act, visit.text(button), Tone::Plain))
    .form(
        Form::bare(here)
            .heading(visit.text("case-erase-title"))
            .field(sure::field(visit, sent, "case-erase-text"))
            .button("erase", visit.text("case-erase"), Tone::Bad),
    )
}

impl FormPage for Ask {
    const PATH: &'static str = "/cases/{case}/leads/{lead}";

    async fn show(visit: &Visit, at: &At, sent: &Sent) -> Result<Page, Problem> {
        let case = case_of(visit, at).await?;
        let summary = case.summary.clone().unwrap_or_default();
        let newest = case.searches.last().cloned().unwrap_or_default();
        let lead = at.get("lead");
        let member = lead.split(':').next().unwrap_or_default();
        let chosen = sent.values.all("fields");
        let choices = FIELDS
            .iter()
            .filter(|field| field.disclosable)
            .map(|field| {
                Choice::new(
                    field.name,
                    words::field(visit.lang, field.name),
                    chosen.iter().any(|name| name == field.name),
                )
            })
            .collect();
        let form = Form::new(
            format!("/cases/{}/leads/{lead}", summary.case),
            visit.text("disclose-button"),
        )
        .field(
            Field::new(
                "fields",
                visit.text("disclose-fields"),
                Kind::Any { choices },
            )
            .hint(visit.text("disclose-fields-hint"))
            .wrong(sent.wrong.of("fields")),
        )
        .field(
            Field::new(
                "justification",
                visit.text("disclose-why"),
                Kind::Area {
                    value: sent.values.get("justification").to_owned(),
                },
            )
            .hint(visit.text("disclose-why-hint"))
            .wrong(sent.wrong.of("justification")),
        )
        .field({
            let part = |which: &str| sent.values.get(&format!("answer_by-{which}")).to_owned();
            Field::new(
                "answer_by",
                visit.text("disclose-by"),
                Kind::Date {
                    day: part("day"),
                    month: part("month"),
                    year: part("year"),
                },
            )
            .hint(visit.text("disclose-by-hint"))
            .wrong(sent.wrong.of("answer_by"))
        });
        let form = ground_fields(
            visit,
            form,
            sent,
            [
                &newest.purpose,
                &newest.legal_basis,
                &summary.case_reference,
            ],
        );
        Ok(Page::new(
            "cases",
            visit
                .lang
                .with("disclose-title", &[("member", visit.party(member).into())]),
        )
        .back(format!("/cases/{}", summary.case), title(visit, &summary))
        .text(visit.text("disclose-text"))
        .form(form))
    }

    async fn act(visit: &Visit, at: &At, sent: &Sent) -> Result<Done, Stop> {
        let values = &sent.values;
        let fields = values.all("fields");
        let mut wrong = Wrong::default();
        if fields.is_empty() {
            wrong.say("fields", visit.text("disclose-need-fields"));
        }
        wrong.need(visit, "justification", values.get("justification"));
        let by = values.date("answer_by");
        let answer_by = match by.is_empty() {
            true => String::new(),
            false => format!("{by}T23:59:59Z"),
        };
        if !by.is_empty() && words::read_moment(&answer_by).is_none() {
            wrong.say("answer_by", visit.text("disclose-by-wrong"));
        }
        check_ground(visit, sent, &mut wrong);
        wrong.stop()?;
        let answer = DisclosureServiceClient::new(visit.api())
            .disclose(pb::DiscloseRequest {
                lead: at.get("lead").to_owned(),
                fields,
                purpose: values.get("purpose").to_owned(),
                legal_basis: values.get("legal_basis").to_owned(),
                case_reference: values.get("case_reference").to_owned(),
                justification: values.get("justification").to_owned(),
                answer_by,
            })
            .await?
            .into_inner();
        Ok(Done::see(format!(
            "/cases/{}/asked/{}",
            at.get("case"),
            answer.request
        )))
    }
}

impl FormPage for AskedPage {
    const PATH: &'static str = "/cases/{case}/asked/{request}";

    async fn show(visit: &Visit, at: &At, _sent: &Sent) -> Result<Page, Problem> {
        let request = at.get("request").to_owned();
        let case = case_of(visit, at).await?;
        let summary = case.summary.clone().unwrap_or_default();
        let answer = DisclosureServiceClient::new(visit.api())
            .show_asked(pb::ShowAskedRequest {
                request: request.clone(),
            })
            .await?
            .into_inner();
        let asked = answer.asked.unwrap_or_default();
        let own = case.child.unwrap_or_default().fields;
        let lang = visit.lang;
        let rows = asked
            .fields
            .iter()
            .map(|name| {
                let told = answer.values.get(name);
                let ours = own.get(name);
                let state = if asked.outdated.contains(name) {
                    Cell::tag(Tone::Bad, visit.text("told-outdated"))
                } else if asked.waiting.contains(name) {
                    Cell::tag(Tone::Plain, visit.text("told-waiting"))
                } else {
                    match (told, ours) {
                        (None, _) => Cell::tag(Tone::Plain, visit.text("told-withheld")),
                        (Some(_), None) => Cell::tag(Tone::Good, visit.text("told-new")),
                        (Some(told), Some(ours)) if told == ours => {
                            Cell::tag(Tone::Good, visit.text("told-same"))
                        }
                        _ => Cell::tag(Tone::Bad, visit.text("told-differs")),
                    }
                };
                let value = |value: Option<&String>| {
                    Cell::text(value.map_or("–".to_owned(), |value| shown(visit, name, value)))
                };
                vec![
                    Cell::text(words::field(lang, name)),
                    value(ours),
                    value(told),
                    state,
                ]
            })
            .collect();
        let mut facts = vec![
            (
                visit.text("column-state"),
                Cell::tag(Tone::Plain, words::named(lang, "request", &asked.state)),
            ),
            (
                visit.text("ask-purpose"),
                Cell::text(words::named(lang, "ask-purpose", &asked.purpose)),
            ),
            (visit.text("ask-case"), Cell::text(&asked.case_reference)),
        ];
        if !asked.denial_reason.is_empty() {
            facts.push((
                visit.text("told-denied"),
                Cell::text(words::named(lang, "denial", &asked.denial_reason)),
            ));
        }
        if let Some(until) = words::read_moment(&asked.retain_until) {
            facts.push((visit.text("told-until"), Cell::moment(lang, until)));
        }
        let here = format!("/cases/{}/asked/{request}", summary.case);
        let mut page = Page::new(
            "cases",
            lang.with(
                "told-title",
                &[("member", visit.party(&asked.member).into())],
            ),
        )
        .back(format!("/cases/{}", summary.case), title(visit, &summary))
        .summary(facts)
        .with(Block::Table(Table {
            caption: visit.text("told-table"),
            columns: ["field", "ours", "theirs", "compared"]
                .map(|column| visit.text(&format!("column-{column}")))
                .into(),
            rows,
            empty: String::new(),
        }));
        if !matches!(asked.state.as_str(), "expired" | "withdrawn") {
            page = page.text(visit.text("told-again-text")).form(
                Form::bare(here)
                    .button("again", visit.text("told-again"), Tone::Good)
                    .button("back", visit.text("told-take-back"), Tone::Plain),
            );
        }
        Ok(page)
    }

    async fn act(visit: &Visit, at: &At, sent: &Sent) -> Result<Done, Stop> {
        DisclosureServiceClient::new(visit.api())
            .ask_again(pb::AskAgainRequest {
                request: at.get("request").to_owned(),
                take_back: sent.values.get("act") == "back",
                ..pb::AskAgainRequest::default()
            })
            .await?;
        Ok(Done::see(visit.here.clone()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_search_that_nobody_answered_has_no_grade() {
        let answer = |grades: &[&str]| pb::SearchResponse {
            results: grades
                .iter()
                .map(|grade| pb::SubjectResult {
                    grade: (*grade).to_owned(),
                    ..pb::SubjectResult::default()
                })
                .collect(),
            ..pb::SearchResponse::default()
        };
        let failed = pb::SearchResponse {
            error_code: "UNREACHABLE".to_owned(),
            ..pb::SearchResponse::default()
        };
        for (answers, grade) in [
            (vec![], None),
            (vec![failed.clone()], None),
            (vec![failed, answer(&["NO_MATCH"])], Some("NO_MATCH")),
            (
                vec![answer(&["NO_MATCH"]), answer(&["POSSIBLE"])],
                Some("POSSIBLE"),
            ),
            (vec![answer(&["POSSIBLE", "MATCH"])], Some("MATCH")),
        ] {
            let search = pb::CaseSearch {
                answers,
                ..pb::CaseSearch::default()
            };
            assert_eq!(best(&search), grade);
        }
    }
}
