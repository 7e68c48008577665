//! The member's own register: look, correct, protect, erase, publish.

use std::collections::HashMap;
use std::sync::Arc;

use crate::console::forms::{At, Done, FormPage, Sent};
use crate::console::gate::Visit;
use crate::console::pages::cases::shown;
use crate::console::pages::search::{field_problem, record_field, record_values};
use crate::console::pages::sure;
use crate::console::problem::{Problem, Stop, Wrong};
use crate::console::view::{Block, Cell, Field, Form, Link, Page, Table, Tone};
use crate::console::{lock, words};
use crate::exchange::RemoteRefusal;
use crate::node::MAX_OPERATOR_MESSAGE;
use crate::proto::operator as pb;
use crate::proto::operator::case_service_client::CaseServiceClient;
use crate::proto::operator::record_service_client::RecordServiceClient;
use crate::proto::operator::review_service_client::ReviewServiceClient;
use crate::records::FIELDS;

/// Records of one page.
const PAGE: u32 = 50;

/// How far a publication is that was begun here.
#[derive(Default)]
pub struct Publishing {
    running: bool,
    done: u64,
    total: u64,
    /// What the node said against it, if it did.
    failed: Option<(String, String)>,
}

/// The register.
pub struct Register;

/// The register from some record on.
pub struct RegisterAfter;

/// One record.
pub struct RecordPage;

/// Correcting one.
pub struct Correct;

/// Entering a new one.
pub struct Enter;

/// A client for records, whose messages may be large.
pub fn client(visit: &Visit) -> RecordServiceClient<crate::node::InProcess> {
    RecordServiceClient::new(visit.api()).max_encoding_message_size(MAX_OPERATOR_MESSAGE)
}

async fn record_of(visit: &Visit, handle: &str) -> Result<pb::GetRecordResponse, Problem> {
    Ok(client(visit)
        .get_record(pb::GetRecordRequest {
            handle: handle.to_owned(),
            ..pb::GetRecordRequest::default()
        })
        .await?
        .into_inner())
}

async fn register(visit: &Visit, after: &str, sent: &Sent) -> Result<Page, Problem> {
    let after = match after.is_empty() {
        true => String::new(),
        false => {
            let found = record_of(visit, after).await?;
            let fields = found.record.unwrap_or_default().fields;
            fields.get("record_ref").cloned().unwrap_or_default()
        }
    };
    let list = client(visit)
        .list_records(pb::ListRecordsRequest { after, limit: PAGE })
        .await?
        .into_inner();
    let status = super::home::node_status(visit).await?;
    let lang = visit.lang;
    let more = list
        .records
        .last()
        .filter(|_| list.records.len() as u32 == PAGE)
        .map(|record| record.handle.clone());
    let mut page = Page::new("register", visit.text("register-title")).summary(vec![
        (
            visit.text("home-records"),
            Cell::text(list.total.to_string()),
        ),
        (
            visit.text("home-searchable"),
            Cell::text(status.index_records.to_string()),
        ),
    ]);
    page = publishing(visit, page);
    let mut links = Vec::new();
    if visit.may(&["steward"]) {
        links.push(Link::new("/register/import", visit.text("register-import")));
        links.push(Link::new("/register/new", visit.text("register-new")));
    }
    links.push(Link::new("/alerts", visit.text("alerts-title")));
    page = page.with(Block::Links(links)).form(
        Form::new("/register", visit.text("register-find"))
            .act("find")
            .field(
                Field::line(
                    "record_ref",
                    visit.text("register-find-title"),
                    sent.values.get("record_ref"),
                )
                .wrong(sent.wrong.of("record_ref")),
            ),
    );
    page = page.with(Block::Table(Table {
        caption: visit.text("register-list"),
        columns: ["reference", "state", "protection"]
            .map(|column| visit.text(&format!("column-{column}")))
            .into(),
        rows: list
            .records
            .into_iter()
            .map(|record| {
                vec![
                    Cell::link(format!("/register/{}", record.handle), record.record_ref),
                    Cell::tag(
                        Tone::Plain,
                        words::named(lang, "record-state", &record.state),
                    ),
                    Cell::text(words::named(lang, "value-protection", &record.protection)),
                ]
            })
            .collect(),
        empty: visit.text("register-none"),
    }));
    if let Some(more) = more {
        page = page.with(Block::Links(vec![Link::new(
            format!("/register/after/{more}"),
            visit.text("register-more"),
        )]));
    }
    Ok(page)
}

/// How far a publication is, or the button that begins one.
fn publishing(visit: &Visit, page: Page) -> Page {
    let publishing = lock(&visit.console.publishing);
    if publishing.running {
        return page.notice(
            Tone::Plain,
            visit.text("register-publishing"),
            visit.lang.with(
                "register-publishing-text",
                &[
                    ("done", publishing.done.into()),
                    ("total", publishing.total.into()),
                ],
            ),
        );
    }
    let page = match &publishing.failed {
        None => page,
        Some((code, message)) => page.notice(
            Tone::Bad,
            visit.text("register-publish-failed"),
            crate::console::problem::told(visit.lang, code, message),
        ),
    };
    if !visit.may(&["steward"]) {
        return page;
    }
    page.form(Form::bare("/register").button("publish", visit.text("register-publish"), Tone::Good))
}

/// Publishes beside the page: it goes on when the browser is gone.
fn publish(visit: &Visit) {
    let console = Arc::clone(&visit.console);
    {
        let mut publishing = lock(&console.publishing);
        if publishing.running {
            return;
        }
        *publishing = Publishing {
            running: true,
            ..Publishing::default()
        };
    }
    let mut client = client(visit);
    tokio::spawn(async move {
        let outcome = async {
            let mut steps = client
                .publish_records(pb::PublishRecordsRequest {})
                .await?
                .into_inner();
            while let Some(step) = steps.message().await? {
                let mut publishing = lock(&console.publishing);
                publishing.done = step.done;
                publishing.total = step.total;
            }
            Ok::<(), tonic::Status>(())
        }
        .await;
        let mut publishing = lock(&console.publishing);
        publishing.running = false;
        publishing.failed = outcome.err().map(|status| {
            let refusal = RemoteRefusal::from(status);
            (refusal.code, refusal.message)
        });
    });
}

impl FormPage for Register {
    const PATH: &'static str = "/register";

    async fn show(visit: &Visit, _at: &At, sent: &Sent) -> Result<Page, Problem> {
        register(visit, "", sent).await
    }

    async fn act(visit: &Visit, _at: &At, sent: &Sent) -> Result<Done, Stop> {
        if sent.values.get("act") == "publish" {
            if !visit.may(&["steward"]) {
                return Err(Problem::Role("ROLE_MISSING".to_owned()).into());
            }
            publish(visit);
            return Ok(Done::see(Self::PATH));
        }
        let record_ref = sent.values.get("record_ref");
        let mut wrong = Wrong::default();
        wrong.need(visit, "record_ref", record_ref);
        wrong.stop()?;
        let found = client(visit)
            .get_record(pb::GetRecordRequest {
                record_ref: record_ref.to_owned(),
                ..pb::GetRecordRequest::default()
            })
            .await;
        match found {
            Ok(found) => Ok(Done::see(format!(
                "/register/{}",
                found.into_inner().handle
            ))),
            Err(status) if status.code() == tonic::Code::NotFound => {
                Err(Stop::at("record_ref", visit.text("search-no-record")))
            }
            Err(status) => Err(status.into()),
        }
    }
}

impl FormPage for RegisterAfter {
    const PATH: &'static str = "/register/after/{handle}";

    async fn show(visit: &Visit, at: &At, sent: &Sent) -> Result<Page, Problem> {
        Ok(register(visit, at.get("handle"), sent)
            .await?
            .back("/register", visit.text("nav-register")))
    }

    async fn act(visit: &Visit, at: &At, sent: &Sent) -> Result<Done, Stop> {
        Register::act(visit, at, sent).await
    }
}

impl FormPage for RecordPage {
    const PATH: &'static str = "/register/{handle}";

    async fn show(visit: &Visit, at: &At, sent: &Sent) -> Result<Page, Problem> {
        let found = record_of(visit, at.get("handle")).await?;
        let fields = found.record.unwrap_or_default().fields;
        let lang = visit.lang;
        let reference = fields.get("record_ref").cloned().unwrap_or_default();
        let mut rows = vec![(
            visit.text("column-state"),
            Cell::tag(
                Tone::Plain,
                words::named(lang, "record-state", &found.state),
            ),
        )];
        for field in FIELDS {
            if let Some(value) = fields.get(field.name) {
                rows.push((
                    words::field(lang, field.name),
                    Cell::text(shown(visit, field.name, value)),
                ));
            }
        }
        let mut page = Page::new(
            "register",
            lang.with("record-title", &[("reference", reference.as_str().into())]),
        )
        .back("/register", visit.text("nav-register"))
        .summary(rows);
        let findings = ReviewServiceClient::new(visit.api())
            .list_findings(pb::ListFindingsRequest {
                limit: 50,
                record_ref: reference.clone(),
                ..pb::ListFindingsRequest::default()
            })
            .await?
            .into_inner()
            .findings;
        page = page.with(super::review::findings_table(
            visit,
            "record-looked",
            "record-looked-none",
            &findings,
        ));
        let here = format!("/register/{}", found.handle);
        if visit.may(&["steward"]) {
            page = page
                .with(Block::Links(vec![Link::new(
                    format!("{here}/correct"),
                    visit.text("record-correct"),
                )]))
                .form(
                    Form::bare(here.clone())
                        .heading(visit.text("record-erase-title"))
                        .field(sure::field(visit, sent, "record-erase-text"))
                        .button("erase", visit.text("record-erase"), Tone::Bad),
                );
        }
        if visit.may(&["caseworker"]) {
            let form = Form::new(here, visit.text("search-button"))
                .act("search")
                .heading(visit.text("record-search-title"));
            page = page.form(super::search::ground_fields(
                visit,
                form,
                sent,
                ["", "", ""],
            ));
        }
        Ok(page)
    }

    async fn act(visit: &Visit, at: &At, sent: &Sent) -> Result<Done, Stop> {
        let found = record_of(visit, at.get("handle")).await?;
        let fields = found.record.unwrap_or_default().fields;
        let record_ref = fields.get("record_ref").cloned().unwrap_or_default();
        let mut wrong = Wrong::default();
        if sent.values.get("act") == "search" {
            super::search::check_ground(visit, sent, &mut wrong);
            wrong.stop()?;
            let started = CaseServiceClient::new(visit.api())
                .start_search(pb::StartSearchRequest {
                    record_ref,
                    ..super::search::on_ground(sent)
                })
                .await?
                .into_inner();
            return Ok(Done::see(format!("/searches/{}", started.search)));
        }
        sure::check(visit, sent)?;
        client(visit)
            .erase_record(pb::EraseRecordRequest { record_ref })
            .await?;
        Ok(Done::see("/register"))
    }
}

fn edit_form(
    visit: &Visit,
    sent: &Sent,
    action: String,
    known: &HashMap<String, String>,
    new: bool,
) -> Form {
    let mut form = Form::new(action, visit.text("console-save"));
    for field in FIELDS {
        if new || field.name != "record_ref" {
            form = form.field(record_field(visit, field.name, sent, known));
        }
    }
    form
}

/// Brings one record in, and gives it as the register has it.
async fn save(visit: &Visit, sent: &Sent) -> Result<pb::GetRecordResponse, Stop> {
    let names: Vec<&str> = FIELDS.iter().map(|field| field.name).collect();
    let fields = record_values(sent, &names);
    let mut wrong = Wrong::default();
    let record_ref = fields.get("record_ref").cloned().unwrap_or_default();
    wrong.need(visit, "record_ref", &record_ref);
    wrong.stop()?;
    // An import would put this record in the place of the one that has the reference.
    let taken = client(visit)
        .get_record(pb::GetRecordRequest {
            record_ref: record_ref.clone(),
            ..pb::GetRecordRequest::default()
        })
        .await;
    match taken {
        Ok(_) => return Err(Stop::at("record_ref", visit.text("register-taken"))),
        Err(status) if status.code() == tonic::Code::NotFound => {}
        Err(status) => return Err(status.into()),
    }
    let part = pb::ImportRecordsRequest {
        records: vec![pb::Record { fields }],
    };
    client(visit)
        .import_records(tokio_stream::iter([part]))
        .await
        .map_err(|status| field_problem(visit, status))?;
    Ok(client(visit)
        .get_record(pb::GetRecordRequest {
            record_ref,
            ..pb::GetRecordRequest::default()
        })
        .await?
        .into_inner())
}

impl FormPage for Correct {
    const PATH: &'static str = "/register/{handle}/correct";

    async fn show(visit: &Visit, at: &At, sent: &Sent) -> Result<Page, Problem> {
        let found = record_of(visit, at.get("handle")).await?;
        let fields = found.record.unwrap_or_default().fields;
        let here = format!("/register/{}", found.handle);
        Ok(Page::new("register", visit.text("record-correct"))
            .back(here.clone(), visit.text("console-back"))
            .text(visit.text("record-correct-text"))
            .form(edit_form(
                visit,
                sent,
                format!("{here}/correct"),
                &fields,
                false,
            )))
    }

    async fn act(visit: &Visit, at: &At, sent: &Sent) -> Result<Done, Stop> {
        let found = record_of(visit, at.get("handle")).await?;
        let known = found.record.unwrap_or_default().fields;
        let names = FIELDS.iter().map(|field| field.name);
        let names: Vec<&str> = names.filter(|name| *name != "record_ref").collect();
        // What was left empty goes out of the record.
        let mut fields: HashMap<String, String> = names
            .iter()
            .map(|name| ((*name).to_owned(), String::new()))
            .collect();
        fields.extend(record_values(sent, &names));
        client(visit)
            .correct_record(pb::CorrectRecordRequest {
                record_ref: known.get("record_ref").cloned().unwrap_or_default(),
                fields,
            })
            .await
            .map_err(|status| field_problem(visit, status))?;
        Ok(Done::see(format!("/register/{}", found.handle)))
    }
}

impl FormPage for Enter {
    const PATH: &'static str = "/register/new";

    async fn show(visit: &Visit, _at: &At, sent: &Sent) -> Result<Page, Problem> {
        if !visit.may(&["steward"]) {
            return Err(Problem::Role("ROLE_MISSING".to_owned()));
        }
        let none = HashMap::new();
        Ok(Page::new("register", visit.text("register-new"))
            .back("/register", visit.text("nav-register"))
            .form(edit_form(visit, sent, Self::PATH.to_owned(), &none, true)))
    }

    async fn act(visit: &Visit, _at: &At, sent: &Sent) -> Result<Done, Stop> {
        let saved = save(visit, sent).await?;
        Ok(Done::see(format!("/register/{}", saved.handle)))
    }
}
