//! What lies in the party's directory.

use super::{Context, Looks};
use crate::cli::roster::{files, trust};
use crate::console::Door;
use crate::node::{Config, Identity, RemoteDoor};
use crate::roster::{EXPIRY_WARNING, Kind};

/// What mends what expires.
pub(super) const MEND_EXPIRY: &str =
    "the secretariat's next roster, or `wayhome keys renew`, mends it";

/// Whether there is a party's directory at all.
pub(super) fn is_there(context: &Context, looks: &mut Looks) -> bool {
    let directory = &context.directory;
    let why = match std::fs::metadata(directory.path()) {
        Err(error) => error.to_string(),
        Ok(data) if !data.is_dir() => "this is a file".to_owned(),
        Ok(_) if !directory.file("node.toml").exists() && !directory.file("keys").exists() => {
            "there is no node.toml and no folder of keys".to_owned()
        }
        Ok(_) => return true,
    };
    looks.wrong(
        "directory",
        format!(
            "{} is no party's directory: {why}",
            directory.path().display()
        ),
        "give the party's directory with --dir; `wayhome init` makes one",
    );
    false
}

/// What lies in the directory; gives the configuration if it can be read.
pub(super) fn look(context: &Context, looks: &mut Looks) -> Option<Config> {
    use std::os::unix::fs::MetadataExt as _;
    let directory = &context.directory;
    match std::fs::metadata(directory.path()) {
        Ok(data) if data.mode() & 0o077 == 0 => {
            looks.good("directory", "only its owner can reach into it");
        }
        Ok(data) => looks.wrong(
            "directory",
            format!("others can reach into it (mode {:o})", data.mode() & 0o777),
            "run `chmod 700` on it",
        ),
        Err(error) => looks.wrong(
            "directory",
            error.to_string(),
            "give the node's directory with --dir; `wayhome init` makes one",
        ),
    }
    let config = match Config::load(directory) {
        Ok(config) => {
            looks.good(
                "configuration",
                format!("node.toml is that of {}", config.member),
            );
            Some(config)
        }
        Err(error) => {
            looks.wrong(
                "configuration",
                error.to_string(),
                "mend node.toml: docs/operations.md says what may stand in it",
            );
            None
        }
    };
    match Identity::load(directory) {
        Ok(_) => looks.good("keys", "all are there and fit together"),
        Err(error) => looks.wrong(
            "keys",
            error.to_string(),
            "bring them back from where they are kept, or begin anew with `wayhome init` in another directory",
        ),
    }
    root_and_roster(context, looks);
    config
}

/// Whether the root is pinned, and the roster in the directory is one that it vouches for.
fn root_and_roster(context: &Context, looks: &mut Looks) {
    const ASK_FOR_ROOT: &str = "ask the coalition's secretariat for it, compare its digest by another way, and put it there";
    const PUBLISH: &str = "`wayhome roster publish FILE` puts the one there that the secretariat sent; a node that runs also takes it from its peers";
    let directory = &context.directory;
    let trust = match directory.read_if_there("root.note") {
        Ok(None) => {
            looks.wrong("root", "root.note is not there", ASK_FOR_ROOT);
            None
        }
        Err(error) => {
            looks.wrong("root", error.to_string(), ASK_FOR_ROOT);
            None
        }
        Ok(Some(_)) => match trust::with_roster(context) {
            Ok(trust) => {
                looks.good("root", format!("root {} is pinned", trust.root().version()));
                Some(trust)
            }
            Err(error) => {
                looks.wrong("root", error.to_string(), ASK_FOR_ROOT);
                None
            }
        },
    };
    match directory.read_note("roster.note", Kind::Roster.max_bytes()) {
        Err(error) => looks.wrong("roster", error.to_string(), PUBLISH),
        // A roster also comes from peers: what the running node says of it counts.
        Ok(None) => looks.soon("roster", "roster.note is not there", PUBLISH),
        Ok(Some(note)) => match trust {
            None => looks.soon(
                "roster",
                "roster.note is there, and without a root nobody vouches for it",
                ASK_FOR_ROOT,
            ),
            Some(trust) => match files::verified(&trust, &note) {
                Some(roster) => looks.good(
                    "roster",
                    format!("roster {} is there and signed", roster.version()),
                ),
                None => looks.wrong(
                    "roster",
                    "roster.note is none that the root vouches for",
                    "`wayhome roster verify DIR/roster.note` says why; put the file there that the secretariat sent",
                ),
            },
        },
    }
}

/// What has expired or soon will, by what lies here: for when no node runs that knows better.
pub(super) fn expiry(context: &Context, looks: &mut Looks) {
    let Ok(trust) = trust::with_roster(context) else {
        return;
    };
    for warning in trust.warnings(context.ambient.now(), EXPIRY_WARNING) {
        if warning.code != "NO_ROSTER" {
            looks.soon("expiry", warning.sentence, MEND_EXPIRY);
        }
    }
}

/// Whether the doors that the configuration names can be opened. One that is taken is the running
/// node's.
pub(super) async fn doors(context: &Context, config: &Config, looks: &mut Looks) {
    console(context, config, looks).await;
    let Some(operator) = &config.operator else {
        return;
    };
    match RemoteDoor::open(operator, &context.directory).await {
        Ok(door) => looks.good(
            "operator API",
            format!("it can be served at {}", door.address()),
        ),
        Err(error) if error.is_taken() => {
            looks.good(
                "operator API",
                format!("{} is listened on", operator.listen),
            );
        }
        Err(error) => looks.wrong(
            "operator API",
            error.to_string(),
            "see docs/operator-api.md",
        ),
    }
}

async fn console(context: &Context, config: &Config, looks: &mut Looks) {
    let Some(console) = &config.console else {
        looks.good("console", "there is none");
        return;
    };
    match Door::open(console, &context.directory).await {
        Ok(door) => looks.good("console", format!("it can be served at {}", door.url())),
        Err(error) if error.is_taken() => {
            looks.good("console", format!("{} is listened on", console.listen));
        }
        Err(error) => looks.wrong("console", error.to_string(), "see docs/console.md"),
    }
}
