//! Signing, and putting signatures together.

use std::path::{Path, PathBuf};

use serde_json::json;

use super::files::{self, Document};
use crate::cli::{CliError, Context};
use crate::envelope::{Note, NoteSigner};
use crate::roster::{Bytes32, add_signature, merge_signatures};
use crate::vault;

#[derive(clap::Args)]
pub struct SignArgs {
    /// The draft, or what others have signed.
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// The secret root key.
    #[arg(long, value_name = "KEYFILE")]
    key: PathBuf,
    /// Where the result goes; back into the file if not given.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

#[derive(clap::Args)]
pub struct MergeArgs {
    /// The copies, each with signatures of its own.
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
    /// Where the result goes.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

pub fn sign(context: &Context, args: &SignArgs) -> Result<(), CliError> {
    let signer = signer(&args.key)?;
    let note = add_signature(&files::read(&args.file)?, &signer)
        .map_err(|error| files::wrong(&args.file, &error))?;
    let out = args.out.as_ref().unwrap_or(&args.file);
    files::write(out, &note)?;
    context
        .output
        .say(format_args!("Signed as {}.", signer.note_key().name()));
    report(context, out, &note)
}

pub fn merge(context: &Context, args: &MergeArgs) -> Result<(), CliError> {
    let contents = args
        .files
        .iter()
        .map(|file| files::read(file))
        .collect::<Result<Vec<_>, _>>()?;
    let contents: Vec<&[u8]> = contents.iter().map(Vec::as_slice).collect();
    let note = merge_signatures(&contents)?;
    files::write(&args.out, &note)?;
    report(context, &args.out, &note)
}

fn signer(path: &Path) -> Result<NoteSigner, CliError> {
    let bytes = vault::load_secret(path).map_err(|error| CliError::input("KEY_FILE", error))?;
    std::str::from_utf8(&bytes)
        .ok()
        .and_then(|text| NoteSigner::from_secret_text(text.trim()).ok())
        .ok_or_else(|| {
            CliError::input(
                "KEY_FILE",
                format!(
                    "{} is no secret key as `wayhome roster keygen` makes it",
                    path.display()
                ),
            )
        })
}

/// Says what now carries whose signatures.
fn report(context: &Context, path: &Path, text: &str) -> Result<(), CliError> {
    let (document, signers) = Document::read(path)?;
    let (kind, version, coalition) = match &document {
        Document::Root(root) => ("root", root.version, &root.coalition),
        Document::Roster(roster) => ("roster", roster.version, &roster.coalition),
    };
    let digest = Note::parse(text.as_bytes())
        .map(|note| Bytes32::sha256(note.unverified_text().as_bytes()))
        .map_err(|error| files::malformed(path, error))?;
    context.output.say(format_args!(
        "{} holds {kind} {version} of {coalition} (SHA-256 {digest}), signed by {}.",
        path.display(),
        signers.join(", ")
    ));
    context.output.object(&json!({
        "ok": true, "file": path.display().to_string(), "kind": kind, "version": version,
        "digest": digest, "signed": signers,
    }));
    Ok(())
}
