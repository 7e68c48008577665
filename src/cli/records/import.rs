//! `wayhome records import`: a file becomes records, all of them or those that can be read.

use std::fs::File;
use std::io::{BufReader, BufWriter, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use crate::cli::input::{import_options, open_register};
use crate::cli::progress::bar;
use crate::cli::{CliError, Context};
use crate::proto::operator::{ImportRecordsRequest, ImportRecordsResponse, Record};
use crate::records::import::{
    Format, Import, ImportError, ImportOptions, RejectsWriter, Row, RowError, scan,
};

/// Records of one message to the node.
const PART: usize = 500;

/// How many errors are printed for people; the rest is counted.
const SHOWN: usize = 20;

/// Arguments of `wayhome records import`.
#[derive(clap::Args)]
pub struct Args {
    /// The register: CSV in the canonical columns, JSON Lines, or PFIF.
    file: PathBuf,
    /// A TOML file that says how this register writes its columns, dates and codes.
    #[arg(long, value_name = "FILE")]
    map: Option<PathBuf>,
    /// Read and check the file, and import nothing.
    #[arg(long)]
    dry_run: bool,
    /// What to do about rows that cannot be read.
    #[arg(long, value_enum, default_value_t = OnError::Stop)]
    on_error: OnError,
    /// Where to write the rows that were left out, with what is wrong with each.
    #[arg(long, value_name = "FILE")]
    rejects: Option<PathBuf>,
}

#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum OnError {
    /// Import nothing.
    Stop,
    /// Import the rest.
    Skip,
}

pub async fn run(context: &Context, args: Args) -> Result<(), CliError> {
    let name = args.file.display().to_string();
    let options = import_options(args.map.as_deref())?;
    let format = detect(&args.file)?;
    let length = std::fs::metadata(&args.file)?.len();

    // First pass: nothing is sent before it is known whether all can be read.
    let checking = bar(context.output, length, "checking");
    let report = scan(open(&args.file)?, format, &options, |bytes| {
        checking.set_position(bytes);
    })
    .map_err(|error| wrong_file(&name, &error))?;
    checking.finish_and_clear();
    if let Some(doubt) = report.date_order_doubt {
        eprintln!("warning: {name}: {doubt}");
    }
    show_errors(&name, &report.errors, report.error_count);
    let stops = !report.is_clean() && args.on_error == OnError::Stop;
    if let Some(path) = &args.rejects
        && (args.dry_run || stops)
    {
        write_rejects(&args.file, format, &options, path)?;
    }
    if stops {
        let error = CliError::input(
            "BAD_ROWS",
            format!(
                "{name}: {} of {} rows cannot be read, so nothing was imported: mend them, or \
                 import the rest with --on-error skip --rejects FILE",
                report.tally.rejected,
                report.tally.rows()
            ),
        );
        context.output.object(&json!({
            "ok": false,
            "error": error.to_json(),
            "imported": 0,
            "rejected": report.tally.rejected,
            "errors": errors_json(&report.errors),
        }));
        return Err(error.told());
    }
    if args.dry_run {
        context.output.say(format_args!(
            "{name}: {} rows can be imported, {} cannot. Nothing was imported.",
            report.tally.accepted, report.tally.rejected
        ));
        context.output.object(&json!({
            "ok": true,
            "dry_run": true,
            "readable": report.tally.accepted,
            "rejected": report.tally.rejected,
            "errors": errors_json(&report.errors),
        }));
        return Ok(());
    }
    let counts = send(context, &args, format, &options, report.tally.accepted).await?;
    context.output.say(format_args!(
        "{name}: {} records added, {} changed, {} unchanged, {} rows rejected.",
        counts.added, counts.changed, counts.unchanged, report.tally.rejected
    ));
    if counts.not_searchable > 0 {
        context.output.say(format_args!(
            "{} of them cannot be searched for: too few attributes, no ground such as consent, or \
             silent protection.",
            counts.not_searchable
        ));
    }
    if counts.grounds_lost > 0 {
        eprintln!(
            "warning: {name}: {} records had a ground to be searched on and have none any more, since \
             the file states none; they can no longer be found. If that is not meant, state the \
             ground (a `consent` column, or [defaults] in a map file) and import again.",
            counts.grounds_lost
        );
    }
    context
        .output
        .say("Next: `wayhome records publish` makes them searchable.");
    context.output.object(&json!({
        "ok": true,
        "imported": counts.added + counts.changed,
        "added": counts.added,
        "changed": counts.changed,
        "unchanged": counts.unchanged,
        "not_searchable": counts.not_searchable,
        "grounds_lost": counts.grounds_lost,
        "rejected": report.tally.rejected,
        "errors": errors_json(&report.errors),
    }));
    Ok(())
}

/// Second pass: the rows go to the node part by part, and count there once all have arrived.
async fn send(
    context: &Context,
    args: &Args,
    format: Format,
    options: &ImportOptions,
    total: u64,
) -> Result<ImportRecordsResponse, CliError> {
    let mut client = super::client(context).await?;
    let (parts, outgoing) = mpsc::channel(4);
    let bar = bar(context.output, total, "importing");
    let import = Import::new(open(&args.file)?, format, options)
        .map_err(|error| wrong_file(&args.file.display().to_string(), &error))?;
    let rejects = match &args.rejects {
        Some(path) => Some(rejects_writer(path, &import)?),
        None => None,
    };
    let name = args.file.display().to_string();
    let reading = parts.clone();
    let reader = tokio::task::spawn_blocking(move || {
        read_parts(import, rejects, &name, |part| {
            bar.inc(part.records.len() as u64);
            // The node has ended the call; its answer says why.
            reading.blocking_send(part).is_ok()
        })
    });
    let call =
        tokio::spawn(async move { client.import_records(ReceiverStream::new(outgoing)).await });
    let read = reader
        .await
        .map_err(|error| CliError::failed("IMPORT", error))
        .and_then(|read| read);
    if let Err(error) = read {
        // The stream must not end as if the file had: a broken call imports nothing.
        call.abort();
        let _ = call.await;
        return Err(error);
    }
    drop(parts);
    let response = call
        .await
        .map_err(|error| CliError::failed("IMPORT", error))??
        .into_inner();
    Ok(response)
}

type Rejects = RejectsWriter<BufWriter<File>>;

fn read_parts(
    import: Import<BufReader<File>>,
    mut rejects: Option<Rejects>,
    name: &str,
    mut send: impl FnMut(ImportRecordsRequest) -> bool,
) -> Result<(), CliError> {
    let mut part = ImportRecordsRequest::default();
    for row in import {
        match row.map_err(|error| wrong_file(name, &error))? {
            Row::Accepted(_, record) => {
                let fields = record
                    .fields()
                    .map(|(column, text)| (column.name().to_owned(), text.expose().clone()))
                    .collect();
                part.records.push(Record { fields });
                if part.records.len() == PART && !send(std::mem::take(&mut part)) {
                    return Ok(());
                }
            }
            Row::Rejected(rejection) => {
                if let Some(rejects) = &mut rejects {
                    rejects.write(&rejection)?;
                }
            }
        }
    }
    if !part.records.is_empty() {
        send(part);
    }
    if let Some(rejects) = rejects {
        rejects.finish()?.flush()?;
    }
    Ok(())
}

fn write_rejects(
    file: &Path,
    format: Format,
    options: &ImportOptions,
    path: &Path,
) -> Result<(), CliError> {
    let name = file.display().to_string();
    let import =
        Import::new(open(file)?, format, options).map_err(|error| wrong_file(&name, &error))?;
    let rejects = rejects_writer(path, &import)?;
    read_parts(import, Some(rejects), &name, |_| true)
}

/// Rejected rows are personal data: the file is for its owner's eyes only, and never written over
/// another.
fn rejects_writer(path: &Path, import: &Import<BufReader<File>>) -> Result<Rejects, CliError> {
    let file = File::options()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .map_err(|error| {
            let path = path.display();
            CliError::input(
                "REJECTS",
                format!("{path}: {error}; --rejects takes a new file, in a folder that is there"),
            )
        })?;
    Ok(RejectsWriter::new(BufWriter::new(file), import)?)
}

fn open(path: &Path) -> Result<BufReader<File>, CliError> {
    Ok(BufReader::new(open_register(path)?.0))
}

fn detect(path: &Path) -> Result<Format, CliError> {
    Ok(Format::detect(Some(path), &open_register(path)?.1))
}

fn wrong_file(name: &str, error: &ImportError) -> CliError {
    CliError::input("BAD_FILE", format!("{name}: {error}"))
}

fn show_errors(name: &str, errors: &[RowError], count: u64) {
    for error in errors.iter().take(SHOWN) {
        eprintln!("{name}: {error}");
    }
    if count > SHOWN as u64 {
        eprintln!("{name}: and {} more errors", count - SHOWN as u64);
    }
}

fn errors_json(errors: &[RowError]) -> Value {
    errors
        .iter()
        .map(|error| {
            json!({
                "line": error.line,
                "column": error.column.as_ref().map(|column| column.number),
                "field": error.column.as_ref().and_then(|column| column.name.clone()),
                "message": error.to_string(),
            })
        })
        .collect()
}
