//! Bringing a register in: upload, map the columns, see what cannot be read, import.

use std::collections::BTreeMap;
use std::io::Cursor;
use std::path::Path as FilePath;

use axum::extract::{Extension, Path};
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse as _, Response};
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use zeroize::Zeroizing;

use super::register::client;
use crate::console::forms::{At, Done, FormPage, Sent, answer};
use crate::console::gate::{Visit, see};
use crate::console::pages::search::field_problem;
use crate::console::problem::{Problem, Stop, Wrong};
use crate::console::secrets;
use crate::console::view::{Block, Cell, Choice, Field, Form, Kind, Link, Page, Table, Tone};
use crate::console::words;
use crate::locale::Lang;
use crate::proto::operator as pb;
use crate::records::import::{Format, Import, ImportOptions, RejectsWriter, Row, ScanReport, scan};
use crate::records::{Column, FIELDS};
use crate::store::KeptTag;

/// Largest register that is taken through a browser, in octets.
const LARGEST: usize = 64 << 20;

/// Octets of an upload that are kept in one row.
const PART: usize = 512 << 10;

/// How long an upload is kept, in milliseconds.
const KEPT_MS: u64 = 3_600_000;

/// Records of one message to the node.
const RECORDS: usize = 500;

/// How many errors are shown; the rest is in the file of rejected rows.
const ERRORS: usize = 50;

/// Choosing a file.
pub struct Upload;

/// Checking and importing it.
pub struct Check;

/// What is kept of an upload besides its content.
#[derive(Serialize, Deserialize)]
struct Meta {
    name: String,
    length: usize,
    delimiter: String,
    date_order: String,
    consent: String,
    /// The file's column, and the canonical name; empty to pass it over.
    columns: BTreeMap<String, String>,
}

/// A map file as the importer reads it.
#[derive(Serialize)]
struct MapFile<'a> {
    delimiter: &'a str,
    date_order: &'a str,
    ignore: Vec<&'a str>,
    columns: BTreeMap<&'a str, &'a str>,
    defaults: BTreeMap<&'a str, &'a str>,
}

impl Meta {
    fn options(&self) -> Result<ImportOptions, String> {
        let named = |empty| {
            self.columns
                .iter()
                .filter(move |(_, to)| to.is_empty() == empty)
        };
        let map = MapFile {
            delimiter: &self.delimiter,
            date_order: &self.date_order,
            ignore: named(true).map(|(from, _)| from.as_str()).collect(),
            columns: named(false)
                .filter(|(from, to)| from != to)
                .map(|(from, to)| (from.as_str(), to.as_str()))
                .collect(),
            defaults: Some(("consent", self.consent.as_str()))
                .filter(|(_, consent)| !consent.is_empty())
                .into_iter()
                .collect(),
        };
        let text = toml::to_string(&map).map_err(|error| error.to_string())?;
        ImportOptions::from_toml(&text).map_err(|error| error.to_string())
    }
}

fn tag(visit: &Visit, upload: &str) -> KeptTag {
    secrets::tag("upload", &[upload.as_bytes(), visit.account().as_bytes()])
}

async fn put_meta(visit: &Visit, tag: &KeptTag, meta: &Meta) -> Result<(), Stop> {
    let text = Zeroizing::new(serde_json::to_vec(meta).unwrap_or_default());
    let until = visit.now_ms() + KEPT_MS;
    visit.console.store.keep_part(tag, 0, &text, until).await?;
    Ok(())
}

async fn get(visit: &Visit, upload: &str) -> Result<(Meta, Zeroizing<Vec<u8>>), Problem> {
    let tag = tag(visit, upload);
    let store = &visit.console.store;
    let now_ms = visit.now_ms();
    let meta = store
        .kept(&tag, 0, now_ms)
        .await?
        .ok_or(Problem::NotFound)?;
    let meta: Meta = serde_json::from_slice(&meta).map_err(|_| Problem::NotFound)?;
    let mut content = Zeroizing::new(Vec::with_capacity(meta.length));
    for part in 1..=meta.length.div_ceil(PART) {
        let piece = store.kept(&tag, part as u64, now_ms).await?;
        content.extend_from_slice(&piece.ok_or(Problem::NotFound)?);
    }
    Ok((meta, content))
}

fn format_of(meta: &Meta, content: &[u8]) -> Format {
    let first = content.get(..512).unwrap_or(content);
    Format::detect(Some(FilePath::new(&meta.name)), first)
}

/// The names in a file's header.
fn header_of(meta: &Meta, content: &[u8]) -> Vec<String> {
    let content = content.strip_prefix(b"\xef\xbb\xbf").unwrap_or(content);
    let delimiter = meta.delimiter.bytes().next().unwrap_or(b',');
    let mut reader = csv::ReaderBuilder::new()
        .delimiter(delimiter)
        .from_reader(content);
    reader
        .headers()
        .map(|names| names.iter().map(|name| name.trim().to_owned()).collect())
        .unwrap_or_default()
}

fn how_fields(visit: &Visit, form: Form, meta: Option<&Meta>, wrong: &Wrong) -> Form {
    let list = |name: &str, values: &[&str], chosen: &str| {
        let choices = values
            .iter()
            .map(|value| {
                let id = match *value {
                    "," => "comma",
                    ";" => "semicolon",
                    "|" => "bar",
                    "\t" => "tab",
                    "" => "nothing",
                    other => other,
                };
                Choice::new(
                    *value,
                    visit.text(&format!("import-{name}-{id}")),
                    *value == chosen,
                )
            })
            .collect();
        Field::new(
            name,
            visit.text(&format!("import-{name}")),
            Kind::List { choices },
        )
        .hint(visit.text(&format!("import-{name}-hint")))
        .wrong(wrong.of(name))
    };
    let known = |of: fn(&Meta) -> &str, or: &'static str| meta.map_or(or, of).to_owned();
    form.field(list(
        "delimiter",
        &[",", ";", "\t", "|"],
        &known(|meta| &meta.delimiter, ","),
    ))
    .field(list(
        "date_order",
        &["day-first", "month-first"],
        &known(|meta| &meta.date_order, "day-first"),
    ))
    .field(list(
        "consent",
        &[
            "",
            "tracing",
            "guardian",
            "vital_interest",
            "legal_obligation",
        ],
        &known(|meta| &meta.consent, ""),
    ))
}

fn steward(visit: &Visit) -> Result<(), Problem> {
    match visit.may(&["steward"]) {
        true => Ok(()),
        false => Err(Problem::Role("ROLE_MISSING".to_owned())),
    }
}

impl FormPage for Upload {
    const PATH: &'static str = "/register/import";
    const FILE: usize = LARGEST;

    async fn show(visit: &Visit, _at: &At, sent: &Sent) -> Result<Page, Problem> {
        steward(visit)?;
        let form = Form {
            file: true,
            ..Form::new(Self::PATH, visit.text("import-upload"))
        }
        .field(
            Field::new("file", visit.text("import-file"), Kind::File)
                .hint(visit.text("import-file-hint"))
                .wrong(sent.wrong.of("file")),
        );
        Ok(Page::new("register", visit.text("register-import"))
            .back("/register", visit.text("nav-register"))
            .text(visit.text("import-text"))
            .form(how_fields(visit, form, None, &sent.wrong)))
    }

    async fn act(visit: &Visit, _at: &At, sent: &Sent) -> Result<Done, Stop> {
        steward(visit)?;
        let Some(upload) = &sent.upload else {
            return Err(Stop::at("file", visit.text("import-need-file")));
        };
        let mut meta = Meta {
            name: upload.name.clone(),
            length: upload.content.len(),
            delimiter: or(sent.values.raw("delimiter"), ","),
            date_order: or(sent.values.get("date_order"), "day-first"),
            consent: sent.values.get("consent").to_owned(),
            columns: BTreeMap::new(),
        };
        meta.columns = guessed(&meta, &upload.content);
        let id = hex::encode(visit.console.ambient.random::<16>());
        let tag = tag(visit, &id);
        let until = visit.now_ms() + KEPT_MS;
        for (part, piece) in (1..).zip(upload.content.chunks(PART)) {
            visit
                .console
                .store
                .keep_part(&tag, part, piece, until)
                .await?;
        }
        put_meta(visit, &tag, &meta).await?;
        Ok(Done::see(format!("/register/import/{id}")))
    }
}

fn or(value: &str, default: &str) -> String {
    if value.is_empty() { default } else { value }.to_owned()
}

/// The columns of a file, each with the canonical one that its name means.
fn guessed(meta: &Meta, content: &[u8]) -> BTreeMap<String, String> {
    if format_of(meta, content) != Format::Csv {
        return BTreeMap::new();
    }
    header_of(meta, content)
        .into_iter()
        .map(|name| {
            let known = guess(&name);
            (name, known)
        })
        .collect()
}

/// The canonical column that a name means: itself, or a column's name in one of the languages.
fn guess(name: &str) -> String {
    let folded = name.trim().to_lowercase().replace([' ', '-'], "_");
    if Column::from_name(&folded).is_some() {
        return folded;
    }
    FIELDS
        .iter()
        .find(|field| {
            Lang::ALL
                .iter()
                .any(|lang| words::field(*lang, field.name).to_lowercase() == name.to_lowercase())
        })
        .map_or_else(String::new, |field| field.name.to_owned())
}

async fn report(meta: &Meta, content: &Zeroizing<Vec<u8>>) -> Result<ScanReport, String> {
    let options = meta.options()?;
    let format = format_of(meta, content);
    let content = content.clone();
    tokio::task::spawn_blocking(move || {
        scan(Cursor::new(content.as_slice()), format, &options, |_| ())
            .map_err(|error| error.to_string())
    })
    .await
    .map_err(|error| error.to_string())?
}

impl FormPage for Check {
    const PATH: &'static str = "/register/import/{upload}";

    async fn show(visit: &Visit, at: &At, sent: &Sent) -> Result<Page, Problem> {
        steward(visit)?;
        let (meta, content) = get(visit, at.get("upload")).await?;
        let here = format!("/register/import/{}", at.get("upload"));
        let mut page = Page::new("register", visit.text("import-check"))
            .back("/register/import", visit.text("register-import"));
        let mut ready = false;
        match report(&meta, &content).await {
            Err(why) => {
                page = page.notice(Tone::Bad, visit.text("import-unreadable"), why);
            }
            Ok(report) => {
                ready = report.tally.accepted > 0;
                page = page.summary(vec![
                    (visit.text("import-file"), Cell::text(&meta.name)),
                    (
                        visit.text("import-readable"),
                        Cell::tag(Tone::Good, report.tally.accepted.to_string()),
                    ),
                    (
                        visit.text("import-rejected"),
                        match report.tally.rejected {
                            0 => Cell::text("0"),
                            count => Cell::tag(Tone::Bad, count.to_string()).and(Cell::link(
                                format!("{here}/rejects"),
                                visit.text("import-rejects"),
                            )),
                        },
                    ),
                ]);
                if let Some(doubt) = report.date_order_doubt {
                    page =
                        page.notice(Tone::Plain, visit.text("console-notice"), doubt.to_string());
                }
                page = page.with(Block::Table(Table {
                    caption: visit.text("import-errors"),
                    columns: ["line", "what"]
                        .map(|column| visit.text(&format!("column-{column}")))
                        .into(),
                    rows: report
                        .errors
                        .iter()
                        .take(ERRORS)
                        .map(|error| {
                            vec![
                                Cell::text(error.line.to_string()),
                                Cell::text(error.to_string()),
                            ]
                        })
                        .collect(),
                    empty: visit.text("import-errors-none"),
                }));
            }
        }
        let mut form = Form::new(here, visit.text("import-check-again"))
            .act("check")
            .heading(visit.text("import-how"));
        if let Some(button) = form.buttons.first_mut() {
            button.tone = Tone::Plain;
        }
        for (number, (name, to)) in meta.columns.iter().enumerate() {
            form = form.field(column_field(visit, number, name, to));
        }
        form = how_fields(visit, form, Some(&meta), &sent.wrong);
        if ready {
            form = form
                .field(
                    Field::new(
                        "skip",
                        visit.text("import-skip"),
                        Kind::Any {
                            choices: vec![Choice::new(
                                "yes",
                                visit.text("import-skip-yes"),
                                sent.values.has("skip", "yes"),
                            )],
                        },
                    )
                    .wrong(sent.wrong.of("skip")),
                )
                .button("import", visit.text("import-import"), Tone::Good);
        }
        Ok(page.form(form))
    }

    async fn act(visit: &Visit, at: &At, sent: &Sent) -> Result<Done, Stop> {
        steward(visit)?;
        let upload = at.get("upload");
        let (mut meta, content) = get(visit, upload).await?;
        let names: Vec<String> = meta.columns.keys().cloned().collect();
        for (number, name) in names.into_iter().enumerate() {
            let to = sent.values.get(&format!("column-{number}"));
            let to = Column::from_name(to).map_or("", Column::name);
            meta.columns.insert(name, to.to_owned());
        }
        let delimiter = or(sent.values.raw("delimiter"), &meta.delimiter);
        if delimiter != meta.delimiter {
            // Other columns than those that were shown.
            meta.delimiter = delimiter;
            meta.columns = guessed(&meta, &content);
        }
        meta.date_order = or(sent.values.get("date_order"), &meta.date_order);
        meta.consent = sent.values.get("consent").to_owned();
        if let Err(why) = meta.options() {
            return Err(Stop::at("", why));
        }
        put_meta(visit, &tag(visit, upload), &meta).await?;
        if sent.values.get("act") != "import" {
            return Ok(Done::see(visit.here.clone()));
        }
        let report = report(&meta, &content)
            .await
            .map_err(|why| Stop::at("", why))?;
        if report.tally.rejected > 0 && !sent.values.has("skip", "yes") {
            return Err(Stop::at("skip", visit.text("import-need-skip")));
        }
        let counts = send(visit, &meta, content).await?;
        visit.console.store.forget_kept(&tag(visit, upload)).await?;
        Ok(Done::page(imported(visit, &counts, report.tally.rejected)))
    }
}

fn column_field(visit: &Visit, number: usize, name: &str, to: &str) -> Field {
    let mut choices = vec![Choice::new(
        "",
        visit.text("import-pass-over"),
        to.is_empty(),
    )];
    choices.extend(FIELDS.iter().map(|field| {
        Choice::new(
            field.name,
            words::field(visit.lang, field.name),
            field.name == to,
        )
    }));
    Field::new(
        format!("column-{number}"),
        visit.lang.with("import-column", &[("name", name.into())]),
        Kind::List { choices },
    )
}

fn imported(visit: &Visit, counts: &pb::ImportRecordsResponse, rejected: u64) -> Page {
    let number = |number: u64| Cell::text(number.to_string());
    let mut page = Page::new("register", visit.text("imported-title")).summary(vec![
        (visit.text("imported-added"), number(counts.added)),
        (visit.text("imported-changed"), number(counts.changed)),
        (visit.text("imported-unchanged"), number(counts.unchanged)),
        (
            visit.text("imported-not-searchable"),
            number(counts.not_searchable),
        ),
        (visit.text("import-rejected"), number(rejected)),
    ]);
    if counts.grounds_lost > 0 {
        page = page.notice(
            Tone::Bad,
            visit.text("console-notice"),
            visit.lang.with(
                "imported-grounds-lost",
                &[("count", counts.grounds_lost.into())],
            ),
        );
    }
    page.text(visit.text("imported-next"))
        .with(Block::Links(vec![Link::new(
            "/register",
            visit.text("nav-register"),
        )]))
}

/// Sends the rows to the node, part by part; they count there once all have arrived.
async fn send(
    visit: &Visit,
    meta: &Meta,
    content: Zeroizing<Vec<u8>>,
) -> Result<pb::ImportRecordsResponse, Stop> {
    let general = |why: String| Stop::at("", why);
    let options = meta.options().map_err(general)?;
    let format = format_of(meta, &content);
    let (parts, outgoing) = mpsc::channel(4);
    let reader = tokio::task::spawn_blocking(move || {
        let import = Import::new(Cursor::new(content.as_slice()), format, &options)
            .map_err(|error| error.to_string())?;
        let mut part = pb::ImportRecordsRequest::default();
        for row in import {
            if let Row::Accepted(_, record) = row.map_err(|error| error.to_string())? {
                let fields = record
                    .fields()
                    .map(|(column, text)| (column.name().to_owned(), text.expose().clone()))
                    .collect();
                part.records.push(pb::Record { fields });
                if part.records.len() == RECORDS
                    && parts.blocking_send(std::mem::take(&mut part)).is_err()
                {
                    return Ok(());
                }
            }
        }
        if !part.records.is_empty() {
            // If nobody listens any more, the call itself says why.
            let _ = parts.blocking_send(part);
        }
        Ok::<(), String>(())
    });
    let counts = client(visit)
        .import_records(ReceiverStream::new(outgoing))
        .await;
    // The file was read whole a moment ago: it reads the same now.
    let read = reader.await.map_err(|error| general(error.to_string()))?;
    read.map_err(general)?;
    match counts {
        Ok(counts) => Ok(counts.into_inner()),
        Err(status) => Err(field_problem(visit, status)),
    }
}

/// The rows that cannot be read, each with what is wrong with it, as a file.
pub async fn rejects(Extension(visit): Extension<Visit>, Path(upload): Path<String>) -> Response {
    if visit.person.is_none() {
        return see("/sign-in");
    }
    match rejected(&visit, &upload).await {
        Ok(file) => {
            let mut response = file.into_response();
            let headers = response.headers_mut();
            headers.insert(
                header::CONTENT_TYPE,
                HeaderValue::from_static("application/octet-stream"),
            );
            headers.insert(
                header::CONTENT_DISPOSITION,
                HeaderValue::from_static("attachment; filename=\"rejects\""),
            );
            response
        }
        Err(problem) => answer(&visit, Err(problem), &Wrong::default(), Vec::new()).await,
    }
}

async fn rejected(visit: &Visit, upload: &str) -> Result<Vec<u8>, Problem> {
    steward(visit)?;
    let (meta, content) = get(visit, upload).await?;
    let unreadable = |message: String| Problem::Told {
        code: "BAD_FILE".to_owned(),
        message,
        failed: false,
    };
    let options = meta.options().map_err(unreadable)?;
    let format = format_of(&meta, &content);
    let import = Import::new(Cursor::new(content.as_slice()), format, &options)
        .map_err(|error| unreadable(error.to_string()))?;
    let mut writer =
        RejectsWriter::new(Vec::new(), &import).map_err(|error| unreadable(error.to_string()))?;
    for row in import {
        if let Row::Rejected(rejection) = row.map_err(|error| unreadable(error.to_string()))? {
            writer
                .write(&rejection)
                .map_err(|error| unreadable(error.to_string()))?;
        }
    }
    writer
        .finish()
        .map_err(|error| unreadable(error.to_string()))
}
