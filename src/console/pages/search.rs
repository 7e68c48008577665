//! Searching: the form, and the answers as they come.

use std::collections::HashMap;
use std::convert::Infallible;
use std::fmt::Write as _;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::{Extension, Path};
use axum::http::StatusCode;
use axum::response::Response;
use tonic::Code;

use crate::console::forms::{At, Done, FormPage, Sent, answer, page_text};
use crate::console::gate::{Visit, html, see};
use crate::console::problem::{Problem, Stop, Wrong, told};
use crate::console::view::{
    Block, CUT, Cell, Choice, Field, Form, Kind, Link, Notice, Page, Picture, Tone, write_blocks,
};
use crate::console::words;
use crate::exchange::RemoteRefusal;
use crate::locale::Lang;
use crate::proto::operator as pb;
use crate::proto::operator::case_service_client::CaseServiceClient;
use crate::roster::{LegalBasis, Purpose};

/// How often it is looked for new answers.
const LOOK: Duration = Duration::from_millis(200);

/// What describes a child, in the order in which it is asked for.
pub const DESCRIBES: &[&str] = &[
    "family_name",
    "given_name",
    "patronymic",
    "other_names",
    "sex",
    "date_of_birth",
    "place_of_birth",
    "mother_family_name",
    "mother_given_name",
    "father_family_name",
    "father_given_name",
    "document_number",
];

/// The form.
pub struct Search;

/// Why it is searched or asked: purpose, legal ground, case reference.
pub fn ground_fields(visit: &Visit, mut form: Form, sent: &Sent, known: [&str; 3]) -> Form {
    let value = |name: &str, known: &str| match sent.is_fresh() {
        true => known.to_owned(),
        false => sent.values.get(name).to_owned(),
    };
    let (purpose, basis) = (value("purpose", known[0]), value("legal_basis", known[1]));
    let purposes = Purpose::ALL
        .iter()
        .filter(|purpose| **purpose != Purpose::Audit)
        .map(|one| {
            let name = one.as_str();
            Choice::new(
                name,
                visit.text(&format!("ask-purpose-{name}")),
                purpose == name,
            )
        })
        .collect();
    let bases = LegalBasis::ALL
        .iter()
        .map(|one| {
            let name = one.as_str();
            Choice::new(
                name,
                visit.text(&format!("ask-basis-{name}")),
                basis == name,
            )
        })
        .collect();
    form = form
        .field(
            Field::new(
                "purpose",
                visit.text("ask-purpose"),
                Kind::One { choices: purposes },
            )
            .wrong(sent.wrong.of("purpose")),
        )
        .field(
            Field::new(
                "legal_basis",
                visit.text("ask-basis"),
                Kind::One { choices: bases },
            )
            .wrong(sent.wrong.of("legal_basis")),
        )
        .field(
            Field::line(
                "case_reference",
                visit.text("ask-case"),
                value("case_reference", known[2]),
            )
            .hint(visit.text("ask-case-hint"))
            .wrong(sent.wrong.of("case_reference")),
        );
    form
}

/// What is missing of why it is asked.
pub fn check_ground(visit: &Visit, sent: &Sent, wrong: &mut Wrong) {
    wrong.need(visit, "purpose", sent.values.get("purpose"));
    wrong.need(visit, "legal_basis", sent.values.get("legal_basis"));
    let reference = sent.values.get("case_reference");
    wrong.need(visit, "case_reference", reference);
    if reference.chars().count() > 64 {
        wrong.say("case_reference", visit.text("ask-case-long"));
    }
}

/// A search on the ground that the form states, of nobody yet.
pub fn on_ground(sent: &Sent) -> pb::StartSearchRequest {
    pb::StartSearchRequest {
        purpose: sent.values.get("purpose").to_owned(),
        legal_basis: sent.values.get("legal_basis").to_owned(),
        case_reference: sent.values.get("case_reference").to_owned(),
        ..pb::StartSearchRequest::default()
    }
}

/// A field of a record as it is asked for.
pub fn record_field(
    visit: &Visit,
    name: &str,
    sent: &Sent,
    known: &HashMap<String, String>,
) -> Field {
    let value = match sent.is_fresh() {
        true => known.get(name).cloned().unwrap_or_default(),
        false => sent.values.get(name).to_owned(),
    };
    let label = words::field(visit.lang, name);
    let choices = |of: &[&str]| {
        let mut choices = vec![Choice::new(
            "",
            visit.text("console-unknown"),
            value.is_empty(),
        )];
        choices.extend(of.iter().map(|one| {
            Choice::new(
                *one,
                visit.text(&format!("value-{name}-{one}")),
                value == *one,
            )
        }));
        choices
    };
    let field = match name {
        "sex" => Field::new(
            name,
            label,
            Kind::List {
                choices: choices(&["M", "F", "X"]),
            },
        ),
        "protection" => Field::new(
            name,
            label,
            Kind::List {
                choices: choices(&["none", "alert", "human_only", "silent"]),
            },
        ),
        "consent" => Field::new(
            name,
            label,
            Kind::List {
                choices: choices(&[
                    "none",
                    "tracing",
                    "guardian",
                    "vital_interest",
                    "legal_obligation",
                ]),
            },
        ),
        "date_of_birth" => {
            let part = |which: &str, range: std::ops::Range<usize>| match sent.is_fresh() {
                true => value.get(range).unwrap_or_default().to_owned(),
                false => sent.values.get(&format!("{name}-{which}")).to_owned(),
            };
            Field::new(
                name,
                label,
                Kind::Date {
                    day: part("day", 8..10),
                    month: part("month", 5..7),
                    year: part("year", 0..4),
                },
            )
        }
        "note" => Field::new(name, label, Kind::Area { value }),
        _ => Field::line(name, label, value),
    };
    let hint = visit.lang.known(&format!("hint-{name}"));
    field
        .hint(hint.unwrap_or_default())
        .wrong(sent.wrong.of(name))
}

/// What was typed of a record.
pub fn record_values(sent: &Sent, names: &[&str]) -> HashMap<String, String> {
    names
        .iter()
        .map(|name| {
            let value = match *name {
                "date_of_birth" => sent.values.date(name),
                _ => sent.values.get(name).to_owned(),
            };
            ((*name).to_owned(), value)
        })
        .filter(|(_, value)| !value.is_empty())
        .collect()
}

/// What the node has against a field, said at the field.
pub fn field_problem(visit: &Visit, status: tonic::Status) -> Stop {
    if status.code() != Code::InvalidArgument {
        return status.into();
    }
    let refusal = RemoteRefusal::from(status.clone());
    let (field, words) = match refusal.code.as_str() {
        "FIELD" => {
            let (field, why) = refusal
                .message
                .split_once(": ")
                .unwrap_or(("", refusal.message.as_str()));
            // The node's own words say what is wrong with it; they are English.
            let words = match visit.lang {
                Lang::English => why.to_owned(),
                lang => lang.text("problem-FIELD"),
            };
            (field.to_owned(), words)
        }
        "RECORD_REF" => (
            "record_ref".to_owned(),
            told(visit.lang, "RECORD_REF", &refusal.message),
        ),
        "TOO_FEW_ATTRIBUTES" => (String::new(), visit.text("search-too-little")),
        _ => return status.into(),
    };
    Stop::at(field, words)
}

impl FormPage for Search {
    const PATH: &'static str = "/search";

    async fn show(visit: &Visit, _at: &At, sent: &Sent) -> Result<Page, Problem> {
        if !visit.may(&["caseworker"]) {
            return Err(Problem::Role("ROLE_MISSING".to_owned()));
        }
        let mut form = Form::new(Self::PATH, visit.text("search-button"));
        let none = HashMap::new();
        for name in DESCRIBES {
            form = form.field(record_field(visit, name, sent, &none));
        }
        form = form.field(
            Field::line(
                "record_ref",
                visit.text("search-own"),
                sent.values.get("record_ref"),
            )
            .hint(visit.text("search-own-hint"))
            .wrong(sent.wrong.of("record_ref")),
        );
        form = ground_fields(visit, form, sent, ["", "", ""]);
        Ok(Page::new("search", visit.text("search-title"))
            .text(visit.text("search-text"))
            .form(form))
    }

    async fn act(visit: &Visit, _at: &At, sent: &Sent) -> Result<Done, Stop> {
        let described = record_values(sent, DESCRIBES);
        let record_ref = sent.values.get("record_ref");
        let mut wrong = Wrong::default();
        if described.is_empty() && record_ref.is_empty() {
            wrong.say("family_name", visit.text("search-need-child"));
        }
        if !described.is_empty() && !record_ref.is_empty() {
            wrong.say("record_ref", visit.text("search-both"));
        }
        check_ground(visit, sent, &mut wrong);
        wrong.stop()?;
        let started = CaseServiceClient::new(visit.api())
            .start_search(pb::StartSearchRequest {
                record_ref: record_ref.to_owned(),
                described: record_ref
                    .is_empty()
                    .then_some(pb::Record { fields: described }),
                ..on_ground(sent)
            })
            .await;
        match started {
            Ok(started) => Ok(Done::see(format!(
                "/searches/{}",
                started.into_inner().search
            ))),
            Err(status) if RemoteRefusal::from(status.clone()).code == "NO_SUCH_RECORD" => {
                Err(Stop::at("record_ref", visit.text("search-no-record")))
            }
            Err(status) => Err(field_problem(visit, status)),
        }
    }
}

/// A grade as a state.
pub fn grade(lang: Lang, grade: &str) -> Cell {
    Cell::tag(
        match grade {
            "MATCH" => Tone::Good,
            _ => Tone::Plain,
        },
        words::named(lang, "search-grade", grade),
    )
}

/// One member's answer.
pub fn answer_blocks(visit: &Visit, case: &str, answer: &pb::SearchResponse) -> Vec<Block> {
    let lang = visit.lang;
    let mut rows = Vec::new();
    if !answer.error_code.is_empty() {
        rows.push((
            visit.text("search-answer"),
            Cell::tag(Tone::Bad, visit.text("search-no-answer")).and(Cell::text(told(
                lang,
                &answer.error_code,
                &answer.error_message,
            ))),
        ));
    }
    for result in &answer.results {
        rows.push((visit.text("search-answer"), grade(lang, &result.grade)));
        if !result.more_attributes.is_empty() {
            rows.push((
                visit.text("search-more"),
                Cell::text(words::named(lang, "search-more", &result.more_attributes)),
            ));
        }
        for lead in &result.leads {
            rows.push((
                visit.text("search-lead"),
                grade(lang, &lead.grade).and(Cell(vec![crate::console::view::Piece::Link(
                    Link::new(
                        format!("/cases/{case}/leads/{}", lead.lead),
                        visit.text("search-ask"),
                    )
                    .about(answer.member.clone()),
                )])),
            ));
        }
    }
    vec![
        Block::Heading(visit.party(&answer.member)),
        Block::Summary(rows),
    ]
}

/// What a search came to, once nothing more comes.
fn closing(visit: &Visit, search: &pb::CaseSearch) -> Vec<Block> {
    let silent: Vec<&str> = search
        .members
        .iter()
        .filter(|member| {
            !search
                .answers
                .iter()
                .any(|answer| answer.member == **member)
        })
        .map(String::as_str)
        .collect();
    let found = search
        .answers
        .iter()
        .flat_map(|answer| &answer.results)
        .any(|result| result.grade != "NO_MATCH");
    let answered = search
        .answers
        .iter()
        .any(|answer| answer.error_code.is_empty());
    let mut blocks = Vec::new();
    for member in silent {
        blocks.push(Block::Heading(visit.party(member)));
        blocks.push(Block::Text(visit.text("search-late")));
    }
    let notice = |tone, id: &str| {
        Block::Notice(Notice {
            tone,
            title: visit.text("search-ended"),
            text: visit.text(id),
            code: None,
        })
    };
    blocks.push(match (found, answered) {
        (true, _) => notice(Tone::Good, "search-found"),
        (false, true) => notice(Tone::Plain, "search-missed"),
        (false, false) => notice(Tone::Bad, "search-nobody"),
    });
    blocks.push(diagram(visit, search));
    blocks
}

/// Which members were asked and what each said, as a picture: this node, and a line to each.
fn diagram(visit: &Visit, search: &pb::CaseSearch) -> Block {
    let said: Vec<(&str, &str)> = search
        .members
        .iter()
        .map(|member| {
            let answer = search
                .answers
                .iter()
                .find(|answer| answer.member == *member);
            let said = match answer {
                None => "silent",
                Some(answer) if !answer.error_code.is_empty() => "silent",
                Some(answer) => answer
                    .results
                    .first()
                    .map_or("NO_MATCH", |result| result.grade.as_str()),
            };
            (member.as_str(), said)
        })
        .collect();
    let height = 44 * said.len() + 16;
    let middle = height / 2;
    let mut svg = format!("<svg viewBox=\"0 0 640 {height}\" aria-hidden=\"true\">");
    for (number, (member, said)) in said.iter().enumerate() {
        let y = 30 + 44 * number;
        let class = match *said {
            "MATCH" | "POSSIBLE" => "hit",
            "silent" => "trouble",
            _ => "mark",
        };
        let words = words::named(visit.lang, "search-said", said);
        // Ids of members are short words of a few letters and digits: the roster permits no others.
        let _ = write!(
            svg,
            "<path class=\"axis\" d=\"M90,{middle}L300,{y}\"/><circle class=\"{class}\" cx=\"310\" cy=\"{y}\" r=\"10\"/><text x=\"332\" y=\"{}\">{member}: {words}</text>",
            y + 5
        );
    }
    let _ = write!(
        svg,
        "<circle class=\"mark\" cx=\"80\" cy=\"{middle}\" r=\"12\"/></svg>"
    );
    let alternative: Vec<String> = said
        .iter()
        .map(|(member, said)| {
            format!(
                "{member}: {}",
                words::named(visit.lang, "search-said", said)
            )
        })
        .collect();
    Block::Picture(Picture {
        title: visit.text("search-picture"),
        svg,
        alternative: alternative.join("; "),
    })
}

fn progress(visit: &Visit, search: &pb::CaseSearch, shown: usize) -> Block {
    Block::Note(visit.lang.with(
        "search-progress",
        &[
            ("answered", shown.into()),
            ("asked", search.members.len().into()),
        ],
    ))
}

async fn get_search(visit: &Visit, search: &str) -> Result<pb::GetSearchResponse, Problem> {
    Ok(CaseServiceClient::new(visit.api())
        .get_search(pb::GetSearchRequest {
            search: search.to_owned(),
        })
        .await?
        .into_inner())
}

/// A page of answers that is sent piece by piece.
struct Coming {
    visit: Visit,
    id: String,
    /// What is still to be sent before it is looked for more.
    next: String,
    tail: String,
    shown: usize,
    ended: bool,
}

impl Coming {
    /// The next piece; none after the last.
    async fn piece(mut self) -> Option<(Result<Bytes, Infallible>, Self)> {
        loop {
            if !self.next.is_empty() {
                let next = std::mem::take(&mut self.next);
                return Some((Ok(Bytes::from(next)), self));
            }
            if self.ended {
                return None;
            }
            let Ok(found) = get_search(&self.visit, &self.id).await else {
                // The case was erased, or the session ended: the page ends where it is.
                self.ended = true;
                self.next = std::mem::take(&mut self.tail);
                continue;
            };
            let search = found.search.unwrap_or_default();
            for answer in search.answers.iter().skip(self.shown) {
                self.shown += 1;
                let mut blocks = answer_blocks(&self.visit, &found.case, answer);
                blocks.push(progress(&self.visit, &search, self.shown));
                self.next.push_str(&write_blocks(self.visit.lang, &blocks));
            }
            if search.ended {
                self.ended = true;
                let blocks = closing(&self.visit, &search);
                self.next.push_str(&write_blocks(self.visit.lang, &blocks));
                self.next.push_str(&std::mem::take(&mut self.tail));
            } else if self.next.is_empty() {
                tokio::time::sleep(LOOK).await;
            }
        }
    }
}

/// The answers to a search, each sent as soon as it is there, so that a page without any script
/// fills by itself.
pub async fn answers(Extension(visit): Extension<Visit>, Path(search): Path<String>) -> Response {
    if visit.person.is_none() {
        return see("/sign-in");
    }
    let found = match get_search(&visit, &search).await {
        Ok(found) => found,
        Err(problem) => return answer(&visit, Err(problem), &Wrong::default(), Vec::new()).await,
    };
    let begun = found.search.unwrap_or_default();
    let lang = visit.lang;
    let page = Page::new("search", visit.text("search-answers"))
        .back(
            format!("/cases/{}", found.case),
            visit.text("search-to-case"),
        )
        .summary(vec![
            (
                visit.text("ask-case"),
                Cell::text(begun.case_reference.clone()),
            ),
            (
                visit.text("ask-purpose"),
                Cell::text(words::named(lang, "ask-purpose", &begun.purpose)),
            ),
            (
                visit.text("ask-basis"),
                Cell::text(words::named(lang, "ask-basis", &begun.legal_basis)),
            ),
            (
                visit.text("search-began"),
                Cell::moment(lang, begun.began_ms),
            ),
        ])
        .with(progress(&visit, &begun, 0))
        .with(Block::Rest);
    let text = page_text(&visit, page);
    let (head, tail) = text.split_once(CUT).unwrap_or((text.as_str(), ""));
    let coming = Coming {
        next: head.to_owned(),
        tail: tail.to_owned(),
        id: search,
        shown: 0,
        ended: false,
        visit,
    };
    let pieces = futures_util::stream::unfold(coming, Coming::piece);
    html(StatusCode::OK, Body::from_stream(pieces))
}
