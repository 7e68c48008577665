//! What peers were answered about own records, and on what grounds; and who looked for protected
//! ones.

use crate::console::forms::{At, Done, FormPage, ReadPage, Sent};
use crate::console::gate::Visit;
use crate::console::pages::cases::shown;
use crate::console::pages::search::grade;
use crate::console::problem::{Problem, Stop};
use crate::console::view::{Block, Cell, Field, Form, Link, Page, Piece, Table, Tone};
use crate::console::words;
use crate::proto::operator as pb;
use crate::proto::operator::protection_service_client::ProtectionServiceClient;
use crate::proto::operator::review_service_client::ReviewServiceClient;
use crate::records::FIELDS;

/// Everything that was found.
pub struct Review;

/// One query's findings.
pub struct Finding;

/// Who looked for protected records.
pub struct Alerts;

/// Findings in a table.
pub fn findings_table(
    visit: &Visit,
    caption: &str,
    empty: &str,
    findings: &[pb::Finding],
) -> Block {
    let lang = visit.lang;
    Block::Table(Table {
        caption: visit.text(caption),
        columns: ["when", "asking", "ground", "reference", "answered"]
            .map(|column| visit.text(&format!("column-{column}")))
            .into(),
        rows: findings
            .iter()
            .map(|finding| {
                let at_ms = words::read_moment(&finding.at).unwrap_or_default();
                vec![
                    Cell::moment(lang, at_ms),
                    Cell(vec![Piece::Link(
                        Link::new(
                            format!("/review/{}", finding.message_id),
                            visit.party(&finding.peer),
                        )
                        .about(words::moment(lang, at_ms)),
                    )])
                    .and(Cell::text(&finding.case_reference)),
                    Cell::text(words::named(lang, "ask-purpose", &finding.purpose)),
                    Cell::text(match finding.record_ref.is_empty() {
                        true => visit.text("inbox-record-gone"),
                        false => finding.record_ref.clone(),
                    }),
                    grade(lang, &finding.grade),
                ]
            })
            .collect(),
        empty: visit.text(empty),
    })
}

impl ReadPage for Review {
    const PATH: &'static str = "/review";

    async fn show(visit: &Visit, _at: &At) -> Result<Page, Problem> {
        let findings = ReviewServiceClient::new(visit.api())
            .list_findings(pb::ListFindingsRequest {
                limit: 100,
                ..pb::ListFindingsRequest::default()
            })
            .await?
            .into_inner()
            .findings;
        let (possible, other): (Vec<_>, Vec<_>) = findings
            .into_iter()
            .partition(|finding| finding.grade == "POSSIBLE");
        Ok(Page::new("review", visit.text("review-title"))
            .text(visit.text("review-text"))
            .with(findings_table(
                visit,
                "review-possible",
                "review-possible-none",
                &possible,
            ))
            .with(findings_table(
                visit,
                "review-other",
                "review-other-none",
                &other,
            )))
    }
}

/// Which class of attribute a field belongs to, by the name that a finding has for it.
fn class_of(name: &str) -> &'static str {
    match name {
        "family_name" => "family name",
        "given_name" => "given name",
        "patronymic" | "father_given_name" => "father's name",
        "sex" => "sex",
        "date_of_birth" => "date of birth",
        "place_of_birth" => "place of birth",
        "mother_family_name" => "mother's family name",
        "mother_given_name" => "mother's given name",
        "document_number" => "document number",
        "last_known_place" => "last known place",
        _ => "",
    }
}

impl ReadPage for Finding {
    const PATH: &'static str = "/review/{query}";

    async fn show(visit: &Visit, at: &At) -> Result<Page, Problem> {
        let findings = ReviewServiceClient::new(visit.api())
            .show_findings(pb::ShowFindingsRequest {
                handle: at.get("query").to_owned(),
            })
            .await?
            .into_inner()
            .findings;
        let lang = visit.lang;
        let mut page = Page::new("review", visit.text("review-finding"))
            .back("/review", visit.text("nav-review"));
        for whole in findings {
            let finding = whole.finding.clone().unwrap_or_default();
            let at_ms = words::read_moment(&finding.at).unwrap_or_default();
            page = page
                .heading(match finding.record_ref.is_empty() {
                    true => visit.text("inbox-record-gone"),
                    false => finding.record_ref.clone(),
                })
                .summary(vec![
                    (
                        visit.text("column-asking"),
                        Cell::text(visit.party(&finding.peer)),
                    ),
                    (visit.text("column-when"), Cell::moment(lang, at_ms)),
                    (
                        visit.text("ask-purpose"),
                        Cell::text(words::named(lang, "ask-purpose", &finding.purpose)),
                    ),
                    (
                        visit.text("inbox-their-case"),
                        Cell::text(&finding.case_reference),
                    ),
                    (visit.text("column-answered"), grade(lang, &finding.grade)),
                    (
                        visit.text("review-weight"),
                        Cell::text(lang.with(
                            "review-weight-words",
                            &[
                                ("weight", format!("{:.1}", finding.weight).into()),
                                ("match", format!("{:.1}", finding.match_at).into()),
                                ("possible", format!("{:.1}", finding.possible_at).into()),
                            ],
                        )),
                    ),
                ])
                .with(side_by_side(visit, &whole));
        }
        Ok(page)
    }
}

/// The own record beside what is known of the other side: whether each attribute was sent there,
/// and whether it agrees. The other side's values are never here.
fn side_by_side(visit: &Visit, whole: &pb::FindingInFull) -> Block {
    let lang = visit.lang;
    let fields = whole.record.clone().unwrap_or_default().fields;
    let values = |class: &str| {
        FIELDS
            .iter()
            .filter(|field| class_of(field.name) == class)
            .filter_map(|field| Some(shown(visit, field.name, fields.get(field.name)?)))
            .collect::<Vec<_>>()
            .join(", ")
    };
    Block::Table(Table {
        caption: visit.text("review-side"),
        columns: ["attribute", "ours", "compared"]
            .map(|column| visit.text(&format!("column-{column}")))
            .into(),
        rows: whole
            .classes
            .iter()
            .map(|class| {
                let tone = match class.finding.as_str() {
                    "agrees" | "agrees_in_part" => Tone::Good,
                    "differs" => Tone::Bad,
                    _ => Tone::Plain,
                };
                vec![
                    Cell::text(words::named(
                        lang,
                        "class",
                        &class.class.replace([' ', '\''], "-"),
                    )),
                    Cell::text(values(&class.class)),
                    Cell::tag(tone, words::named(lang, "compared", &class.finding)),
                ]
            })
            .collect(),
        empty: visit.text("review-side-none"),
    })
}

impl FormPage for Alerts {
    const PATH: &'static str = "/alerts";

    async fn show(visit: &Visit, _at: &At, _sent: &Sent) -> Result<Page, Problem> {
        let list = ProtectionServiceClient::new(visit.api())
            .list_protection_alerts(pb::ListProtectionAlertsRequest {
                limit: 200,
                seen: true,
                ..pb::ListProtectionAlertsRequest::default()
            })
            .await?
            .into_inner();
        let lang = visit.lang;
        let newest = list
            .alerts
            .iter()
            .filter(|alert| !alert.seen)
            .map(|alert| alert.id)
            .collect::<Vec<_>>();
        let mut page = Page::new("register", visit.text("alerts-title"))
            .back("/register", visit.text("nav-register"))
            .text(visit.text("alerts-text"))
            .with(Block::Table(Table {
                caption: visit.text("alerts-title"),
                columns: ["when", "asking", "reference", "ground", "answered", "state"]
                    .map(|column| visit.text(&format!("column-{column}")))
                    .into(),
                rows: list
                    .alerts
                    .iter()
                    .rev()
                    .map(|alert| {
                        vec![
                            Cell::moment(lang, alert.raised_ms),
                            Cell::text(visit.party(&alert.peer))
                                .and(Cell::text(&alert.case_reference)),
                            Cell::text(&alert.record_ref).and(Cell::text(words::named(
                                lang,
                                "value-protection",
                                &alert.protection,
                            ))),
                            Cell::text(words::named(lang, "ask-purpose", &alert.purpose)),
                            grade(lang, &alert.grade),
                            match alert.seen {
                                true => Cell::text(visit.text("alerts-seen")),
                                false => Cell::tag(Tone::Bad, visit.text("alerts-open")),
                            },
                        ]
                    })
                    .collect(),
                empty: visit.text("alerts-none"),
            }));
        if !newest.is_empty() && visit.may(&["steward"]) {
            let mut form = Form::new(Self::PATH, visit.text("alerts-see"));
            for id in newest {
                form = form.field(Field::hidden("alert", id.to_string()));
            }
            page = page.form(form);
        }
        Ok(page)
    }

    async fn act(visit: &Visit, _at: &At, sent: &Sent) -> Result<Done, Stop> {
        let mut client = ProtectionServiceClient::new(visit.api());
        for id in sent.values.all("alert") {
            if let Ok(id) = id.parse() {
                client
                    .see_protection_alert(pb::SeeProtectionAlertRequest { id })
                    .await?;
            }
        }
        Ok(Done::see(Self::PATH))
    }
}
