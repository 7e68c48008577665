//! `wayhome backup`: copies of the node, and the way back.

use std::path::{Path, PathBuf};

use clap::Subcommand;
use serde_json::json;

use super::{CliError, Context};
use crate::node::backup::{self, BackupError};
use crate::proto::operator::CreateBackupRequest;
use crate::proto::operator::backup_service_client::BackupServiceClient;
use crate::roster::Timestamp;
use crate::store::StoreError;

/// Arguments of `wayhome backup`.
#[derive(clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Make a backup key. Its secret part belongs away from the node.
    Keygen(KeygenArgs),
    /// Make a backup while the node runs.
    Create(CreateArgs),
    /// Check that a backup opens, is whole, and can be restored.
    Verify(VerifyArgs),
    /// Put a directory together from a backup.
    Restore(RestoreArgs),
}

#[derive(clap::Args)]
struct KeygenArgs {
    /// Where the secret part goes: a new file.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

#[derive(clap::Args)]
struct CreateArgs {
    /// The data archive: a new file.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// The keys archive, kept where no data archive lies; it takes the place of the one before.
    #[arg(long, value_name = "FILE")]
    keys_out: PathBuf,
}

#[derive(clap::Args)]
struct VerifyArgs {
    /// The data archive.
    #[arg(value_name = "FILE")]
    data: PathBuf,
    /// The keys archive; without it, the database is not looked into.
    #[arg(long, value_name = "FILE")]
    keys: Option<PathBuf>,
    /// The secret part of the backup key.
    #[arg(long, value_name = "FILE")]
    backup_key: PathBuf,
}

#[derive(clap::Args)]
struct RestoreArgs {
    /// The data archive.
    #[arg(value_name = "FILE")]
    data: PathBuf,
    /// The newest keys archive; not needed where the directory still has its keys.
    #[arg(long, value_name = "FILE")]
    keys: Option<PathBuf>,
    /// The secret part of the backup key.
    #[arg(long, value_name = "FILE")]
    backup_key: PathBuf,
    /// The folder of a journal that is not where node.toml says; of each process of the node, if
    /// several work on one database.
    #[arg(long, value_name = "FOLDER")]
    journal: Vec<PathBuf>,
    /// Set the database aside that is there.
    #[arg(long)]
    replace: bool,
}

pub async fn run(context: &Context, args: Args) -> Result<(), CliError> {
    match args.command {
        Command::Keygen(args) => keygen(context, &args),
        Command::Create(args) => create(context, &args).await,
        Command::Verify(args) => verify(context, &args).await,
        Command::Restore(args) => restore(context, &args).await,
    }
}

fn keygen(context: &Context, args: &KeygenArgs) -> Result<(), CliError> {
    let recipient = backup::keygen(&args.out, &context.ambient)?;
    let output = context.output;
    output.say(format_args!(
        "The secret part is in {}: keep it away from the node, and copies of it in safe places.",
        args.out.display()
    ));
    output.say("Put this into node.toml and restart the node:");
    output.say(format_args!(
        "\n    [backup]\n    recipient = \"{recipient}\""
    ));
    output.object(&json!({"ok": true, "recipient": recipient}));
    Ok(())
}

async fn create(context: &Context, args: &CreateArgs) -> Result<(), CliError> {
    let absolute = |path: &Path| std::path::absolute(path).map(|path| path.display().to_string());
    let created = BackupServiceClient::new(context.operator().await?)
        .create_backup(CreateBackupRequest {
            path: absolute(&args.out)?,
            keys_path: absolute(&args.keys_out)?,
        })
        .await?
        .into_inner();
    let sha256 = hex::encode(&created.sha256);
    let output = context.output;
    output.say(format_args!(
        "{}: {} records and {} leaves of the log, {} octets, SHA-256 {sha256}.",
        args.out.display(),
        created.records,
        created.log_size,
        created.bytes
    ));
    output.say(format_args!(
        "{} holds the keys: keep it where no data archive lies, and keep the newest only.",
        args.keys_out.display()
    ));
    output.object(&json!({
        "ok": true,
        "records": created.records,
        "log_size": created.log_size,
        "bytes": created.bytes,
        "sha256": sha256,
        "leaf_index": created.leaf_index,
    }));
    Ok(())
}

async fn verify(context: &Context, args: &VerifyArgs) -> Result<(), CliError> {
    let verified = backup::verify(
        &args.data,
        args.keys.as_deref(),
        &args.backup_key,
        &context.ambient,
    )
    .await?;
    let output = context.output;
    let manifest = &verified.manifest;
    let created = Timestamp::from_unix(manifest.created_ms / 1000).to_string();
    output.say(format_args!(
        "A backup of {}, made {created}: {} records, {} leaves of the log. It is whole.",
        manifest.member, manifest.records, manifest.log_size
    ));
    match verified.records {
        Some(records) => output.say(format_args!(
            "The log is the one of its checkpoint; {records} records open, {} do not: their \
             wrapping key is destroyed.",
            verified.unreadable
        )),
        None => output.say("Give --keys to look into the database."),
    }
    output.object(&json!({
        "ok": true,
        "member": manifest.member,
        "created": created,
        "records": manifest.records,
        "log_size": manifest.log_size,
        "leaves_verified": verified.leaves,
        "records_readable": verified.records,
        "records_unreadable": verified.unreadable,
    }));
    Ok(())
}

async fn restore(context: &Context, args: &RestoreArgs) -> Result<(), CliError> {
    let restored = backup::restore(
        &context.directory,
        backup::Sources {
            data: &args.data,
            keys: args.keys.as_deref(),
            secret: &args.backup_key,
            journals: &args.journal,
            replace: args.replace,
        },
        &context.ambient,
    )
    .await?;
    let output = context.output;
    let replayed = &restored.replayed;
    output.say(format_args!(
        "Restored: {} records, {} leaves of the log.",
        restored.manifest.records, restored.manifest.log_size
    ));
    if let Some(path) = &restored.set_aside {
        output.say(format_args!(
            "The database that was there is now {}.",
            path.display()
        ));
    }
    if restored.journal {
        output.say(format_args!(
            "From the journal: {} records erased anew, {} withdrawn until they are imported again, \
             what others told in answer to {} questions erased anew, {} requests of others withdrawn \
             anew, {} draws on quotas, {} answered queries.",
            replayed.erased,
            replayed.withdrawn,
            replayed.forgotten,
            replayed.ended,
            replayed.quotas,
            replayed.seen
        ));
    } else {
        eprintln!(
            "warning: no journal was at hand: who was erased or withdrawn since is in the register \
             again. Erase them by your own files before you publish, and import the register anew."
        );
    }
    let accounts: Vec<String> = replayed.accounts.iter().map(hex::encode).collect();
    if !accounts.is_empty() {
        output.say(format_args!(
            "Check these accounts: since the backup they lost a role, were closed or got new secrets, and \
             are again as they were. Their sessions are ended; `wayhome accounts list` shows whose they \
             are, `accounts change` and `accounts reset` mend them. {}",
            accounts.join(" ")
        ));
    }
    if replayed.is_older() {
        output.say(
            "Leaves of the log are lost, so it cannot go on. Tell the secretariat and the ombudsman, \
             restore a newer backup if there is one, else begin a new log with `wayhome log \
             new-origin`. Until then the node answers nobody.",
        );
    } else {
        output.say("Next: start the node, and import the register anew.");
    }
    output.object(&json!({
        "ok": true,
        "records": restored.manifest.records,
        "log_size": restored.manifest.log_size,
        "known_size": replayed.known_size,
        "journal": restored.journal,
        "erased": replayed.erased,
        "withdrawn": replayed.withdrawn,
        "forgotten": replayed.forgotten,
        "ended": replayed.ended,
        "accounts": accounts,
        "quotas": replayed.quotas,
        "seen": replayed.seen,
        "foreign": replayed.foreign,
        "set_aside": restored.set_aside,
    }));
    Ok(())
}

impl From<BackupError> for CliError {
    fn from(error: BackupError) -> Self {
        match &error {
            BackupError::Exists { .. }
            | BackupError::Store(StoreError::NotEmpty)
            | BackupError::Mismatch(_)
            | BackupError::NotForThisKey { .. } => Self::input(error.code(), &error),
            _ => Self::failed(error.code(), &error),
        }
    }
}
