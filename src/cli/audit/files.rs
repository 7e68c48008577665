//! `wayhome audit verify --files`: a log that lies in files, without asking any node.

use std::path::Path;

use serde_json::json;

use super::{faults, trust, verdict};
use crate::audit::files::{self, FilesFault};
use crate::cli::{CliError, Context};
use crate::envelope::NoteKey;
use crate::exchange::log_files::log_key;

/// Verifies the log in a folder (C2SP tlog-tiles) under the key that is given, or else that the roster
/// in the directory states for the log's name.
pub fn verify(context: &Context, folder: &Path, key: Option<&str>) -> Result<(), CliError> {
    let name = folder.display();
    let checkpoint = match files::checkpoint(folder) {
        Ok(checkpoint) => checkpoint,
        Err(error @ FilesFault::Missing { .. }) => {
            return Err(CliError::input("FILE", format!("{name}: {error}")));
        }
        Err(error) => return told(context, "", &error),
    };
    let origin = checkpoint.unverified().origin().to_string();
    let key: NoteKey = match key {
        Some(key) => key
            .parse()
            .map_err(|error| CliError::input("LOG_KEY", format!("--log-key {key}: {error}")))?,
        None => key_of(context, &origin)?,
    };
    match files::verify(folder, &key, None) {
        Ok(log) => {
            let head = log.checkpoint.head();
            let output = context.output;
            output.say(format_args!(
                "{origin}: the log in {name} holds. {} leaves, all under the root that the log signed.",
                head.size
            ));
            output.object(&json!({
                "ok": true,
                "logs": [{
                    "origin": origin,
                    "verified": true,
                    "leaves": head.size,
                    "root": hex::encode(head.root),
                    "findings": [],
                }],
                "findings": 0,
            }));
            Ok(())
        }
        Err(error) => told(context, &origin, &error),
    }
}

fn key_of(context: &Context, origin: &str) -> Result<NoteKey, CliError> {
    let trust = trust::load(context)?;
    let listed = trust.contacts().and_then(|roster| {
        let mut members = roster.roster().members.iter();
        members.find(|member| member.log.as_ref().is_some_and(|log| log.origin == origin))
    });
    let member = listed.ok_or_else(|| {
        CliError::input(
            "PARTY_UNKNOWN",
            format!(
                "no party of the roster keeps a log called {origin}: give its key with --log-key"
            ),
        )
    })?;
    log_key(member).map_err(|error| CliError::failed("LOG_KEY", error))
}

fn told(context: &Context, origin: &str, error: &FilesFault) -> Result<(), CliError> {
    let output = context.output;
    output.say(format_args!("{}: {error}", faults(1)));
    output.object(&json!({
        "ok": false,
        "logs": [{
            "origin": origin,
            "verified": false,
            "findings": [{
                "code": error.code(),
                "leaf_index": error.leaf_index(),
                "what": error.to_string(),
            }],
        }],
        "findings": 1,
    }));
    verdict(1)
}
