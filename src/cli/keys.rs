//! `wayhome keys`: the keys of a party that are renewed, the one that signs its messages and that of
//! its TLS certificate, and the keys that guard what is at rest.
//!
//! Old and new overlap: the roster first lists both, the node changes over when the new one's time
//! has come, and the old one is destroyed once nothing rests on it.

mod at_rest;

use serde_json::{Value, json};

use super::roster::trust;
use super::{CliError, Context};
use crate::node::{Config, Identity, Successors};
use crate::roster::{Bytes32, Member, MemberKey, Timestamp, TlsPin};

/// How long a key is good: two years.
const LIFETIME: u64 = 2 * 365 * DAY;

const DAY: u64 = 86_400;

/// Arguments of `wayhome keys`.
#[derive(clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
enum Command {
    /// Make successors of the signing key and the TLS certificate, and write both into
    /// member.json for the next roster.
    Renew(RenewArgs),
    /// Say which keys there are, until when they count, and which are in use.
    Status,
    /// Put the successors in the place of the keys they follow, and destroy those.
    Retire,
    /// Make a new master key and a new wrapping key; everything at rest is wrapped anew in the
    /// background.
    Rotate(at_rest::RotateArgs),
}

#[derive(clap::Args)]
struct RenewArgs {
    /// From when on the new keys count: late enough that every member has the roster by then.
    #[arg(long, value_name = "DAYS", default_value_t = 7)]
    in_days: u64,
    /// How long the old keys count beside them.
    #[arg(long, value_name = "DAYS", default_value_t = 14)]
    overlap_days: u64,
}

pub async fn run(context: &Context, args: Args) -> Result<(), CliError> {
    match args.command {
        Command::Renew(args) => renew(context, &args),
        Command::Status => status(context).await,
        Command::Retire => retire(context),
        Command::Rotate(args) => at_rest::rotate(context, &args).await,
    }
}

fn renew(context: &Context, args: &RenewArgs) -> Result<(), CliError> {
    let directory = &context.directory;
    if Successors::are_there(directory) {
        return Err(CliError::input(
            "KEYS_RENEWED",
            "there are successors already: see `wayhome keys status`, and `wayhome keys retire` \
             once they are in use",
        ));
    }
    let now = context.ambient.now();
    let member = Config::load(directory)?.member;
    let mut entry = own_entry(context)?;
    let successors = Identity::renew(directory, &member, &context.ambient)?;
    let (public_key, spki_sha256) = successors.public()?;
    // Whole hours, so that people meet a readable time.
    let from = (now + args.in_days * DAY).next_multiple_of(3600);
    let (not_before, not_after) = (
        Timestamp::from_unix(from),
        Timestamp::from_unix(from + LIFETIME),
    );
    let ends = Timestamp::from_unix(from + args.overlap_days * DAY);
    for key in &mut entry.signing_keys {
        key.not_after = key.not_after.min(ends);
    }
    for pin in &mut entry.tls_pins {
        pin.not_after = pin.not_after.min(ends);
    }
    entry.signing_keys.push(MemberKey {
        public_key,
        not_before,
        not_after,
    });
    entry.tls_pins.push(TlsPin {
        spki_sha256,
        not_before,
        not_after,
    });
    let text =
        serde_json::to_string_pretty(&entry).map_err(|error| CliError::failed("JSON", error))?;
    directory.write("member.json", &format!("{text}\n"))?;
    let output = context.output;
    output.say(format_args!(
        "New keys are made; they count from {} on, and the old ones until {}.",
        not_before.spoken(),
        ends.spoken()
    ));
    output.say(format_args!(
        "Next: give {} to the coalition's secretariat, for a roster that is in force everywhere \
         before then. The running node changes over by itself.",
        directory.file("member.json").display()
    ));
    output.object(&json!({
        "ok": true, "not_before": not_before.to_string(), "old_until": ends.to_string(),
        "signing_key": public_key, "tls_spki_sha256": spki_sha256, "entry": entry,
    }));
    Ok(())
}

/// This party's entry: the roster's if it has one, else the one that `init` made.
fn own_entry(context: &Context) -> Result<Member, CliError> {
    let directory = &context.directory;
    let config = Config::load(directory)?;
    if directory.file("root.note").exists()
        && let Some(roster) = trust::with_roster(context)?.roster()
        && let Some(own) = roster.member(config.member.as_str())
    {
        return Ok(own.clone());
    }
    let text = directory.read("member.json")?;
    serde_json::from_str(&text)
        .map_err(|error| CliError::input("MALFORMED", format!("member.json: {error}")))
}

async fn status(context: &Context) -> Result<(), CliError> {
    let directory = &context.directory;
    let now = context.ambient.now();
    let entry = own_entry(context)?;
    let current = Identity::load(directory)?;
    let successors = Successors::load(directory)?;
    let in_use = Identity::load(directory)?.in_use(directory, Some(&entry), now)?;
    let mut found = vec![("current", current.renewed()?)];
    if let Some(successors) = successors {
        found.push(("successor", successors.public()?));
    }
    let (signing_in_use, pin_in_use) = in_use.renewed()?;
    let output = context.output;
    let mut list = Vec::new();
    for (place, (signing, pin)) in found {
        let until = validity(&entry, signing);
        let is_in_use = signing == signing_in_use && pin == pin_in_use;
        output.say(format_args!(
            "{place}: signing key {}, TLS key {}, {}{}.",
            signing.short(),
            pin.short(),
            match until {
                Some((from, until)) => format!("from {} to {}", from.spoken(), until.spoken()),
                None => "not in the roster".to_owned(),
            },
            if is_in_use { ", in use" } else { "" }
        ));
        list.push(json!({
            "place": place, "signing_key": signing, "tls_spki_sha256": pin, "in_use": is_in_use,
            "not_before": until.map(|(from, _)| from.to_string()),
            "not_after": until.map(|(_, until)| until.to_string()),
        }));
    }
    let at_rest = at_rest::status(context).await?.unwrap_or(Value::Null);
    output.object(&json!({"ok": true, "keys": list, "at_rest": at_rest}));
    Ok(())
}

fn validity(entry: &Member, signing: Bytes32) -> Option<(Timestamp, Timestamp)> {
    let mut keys = entry.signing_keys.iter();
    keys.find(|key| key.public_key == signing)
        .map(|key| (key.not_before, key.not_after))
}

fn retire(context: &Context) -> Result<(), CliError> {
    let directory = &context.directory;
    let entry = own_entry(context)?;
    let now = context.ambient.now();
    // Where an earlier retirement was interrupted, what is left of it is finished.
    if let Some(successors) = Successors::load(directory)? {
        let in_use = Identity::load(directory)?.in_use(directory, Some(&entry), now)?;
        if in_use.renewed()? != successors.public()? {
            return Err(CliError::failed(
                "KEYS_NOT_IN_USE",
                "the successors are not in use yet: the roster has to list both of them, and their \
                 time has to have come; see `wayhome keys status`",
            ));
        }
    } else if !Successors::are_there(directory) {
        return Err(CliError::input(
            "NO_SUCCESSORS",
            "there are no successors: make them with `wayhome keys renew`",
        ));
    }
    Identity::retire(directory)?;
    let output = context.output;
    output.say("The old keys are destroyed; the new ones have taken their place. Have the secretariat drop the old ones from the roster.");
    output.object(&json!({"ok": true}));
    Ok(())
}
