//! Drafting a roster.

use std::path::{Path, PathBuf};

use serde_json::json;

use super::files::{self, Chain, RootArgs};
use crate::cli::{CliError, Context};
use crate::node::ceremony::Ceremony;
use crate::node::shares::base_of;
use crate::roster::{
    Bytes32, CoalitionKey, CoalitionKeys, Member, MemberId, Roster, RosterError, Timestamp,
    TrustedRoster, diff_rosters,
};

/// How long a roster is good if nothing else is said: a quarter of a year.
const ROSTER_LIFETIME_DAYS: u64 = 92;

#[derive(clap::Args)]
pub struct Args {
    /// The signed roster that it follows.
    #[arg(
        long,
        value_name = "PREVIOUS.note",
        required_unless_present = "coalition"
    )]
    from: Option<PathBuf>,
    /// Begin the coalition's first roster; the name must be the root's.
    #[arg(long, value_name = "NAME", conflicts_with = "from")]
    coalition: Option<String>,
    #[command(flatten)]
    root: RootArgs,
    /// Entries of parties that join or change: `member.json` files, or folders that hold them.
    #[arg(long, value_name = "PATH", num_args = 1..)]
    members: Vec<PathBuf>,
    /// Parties that leave.
    #[arg(long, value_name = "ID", value_delimiter = ',')]
    remove: Vec<MemberId>,
    /// Parties that are suspended, from the date of this roster on if nothing else is said.
    #[arg(long, value_name = "ID", value_delimiter = ',')]
    suspend: Vec<MemberId>,
    /// From when on they are suspended, such as 2026-12-31 or 2026-12-31T12:00:00Z. A moment that
    /// is to come lets every node have the roster before it counts.
    #[arg(long, value_name = "TIME", value_parser = files::date, requires = "suspend")]
    suspend_from: Option<Timestamp>,
    /// Parties whose suspension ends.
    #[arg(long, value_name = "ID", value_delimiter = ',')]
    reinstate: Vec<MemberId>,
    /// The coalition key that a ceremony made: coalition-key.json in the ceremony's folder, which
    /// is checked once more.
    #[arg(long, value_name = "FILE")]
    coalition_key: Option<PathBuf>,
    /// Bring the announced coalition key into use; the one in use stays beside it for a while.
    #[arg(long)]
    enter_epoch: bool,
    /// Drop the coalition key that was in use before.
    #[arg(long)]
    drop_epoch: bool,
    /// When it ceases to be accepted, such as 2026-12-31; in three months if not given.
    #[arg(long, value_name = "DATE", value_parser = files::date)]
    expires: Option<Timestamp>,
    /// Where the draft goes; it must not exist.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

pub fn run(context: &Context, args: &Args) -> Result<(), CliError> {
    let chain = args.root.chain(context)?;
    let now = context.ambient.now();
    let issued = Timestamp::from_unix(now);
    let expires = args
        .expires
        .unwrap_or_else(|| files::days_ahead(now, ROSTER_LIFETIME_DAYS));
    let root = chain.newest().root();
    let previous = args
        .from
        .as_ref()
        .map(|from| verified(&chain, from))
        .transpose()?;
    let mut roster = match &previous {
        Some(previous) => previous.successor(root.version, issued, expires),
        None => Roster {
            coalition: root.coalition.clone(),
            version: 1,
            root_version: root.version,
            issued,
            expires,
            coalition_key: CoalitionKeys::default(),
            members: Vec::new(),
        },
    };
    if let Some(name) = args
        .coalition
        .as_ref()
        .filter(|name| **name != root.coalition)
    {
        return Err(CliError::input(
            "WRONG_COALITION",
            format!("the root is of {:?}, not of {name:?}", root.coalition),
        ));
    }
    edit(args, &mut roster, issued)?;
    if args.drop_epoch {
        roster.coalition_key.previous = None;
    }
    if args.enter_epoch {
        enter(&mut roster.coalition_key)?;
    }
    if let Some(file) = &args.coalition_key {
        let (key, base) = ceremony_key(&chain, file)?;
        state(&mut roster.coalition_key, key, base.as_ref())?;
    }
    let text = roster.render_for_signing()?;
    files::write_new(&args.out, &text)?;
    report(context, args, previous.as_ref(), &roster, &text);
    Ok(())
}

/// The roster that is followed, under any root of the chain: after a change of root it still
/// carries the old one's signatures.
fn verified(chain: &Chain, path: &Path) -> Result<Roster, CliError> {
    let note = files::read(path)?;
    let mut refusal = None;
    for root in chain.roots().iter().rev() {
        match TrustedRoster::verify(root, &note) {
            Ok(trusted) => return Ok(trusted.roster().clone()),
            Err(error) => refusal = refusal.or(Some(error)),
        }
    }
    Err(match refusal {
        Some(error) => error.into(),
        None => CliError::input("NO_ROOT", "no root is trusted here: give --root ROOT.note"),
    })
}

fn edit(args: &Args, roster: &mut Roster, issued: Timestamp) -> Result<(), CliError> {
    for id in &args.remove {
        roster.remove(id)?;
    }
    for path in &args.members {
        for member in entries(path)? {
            let id = member.id.clone();
            match roster.add(member.clone()) {
                Err(RosterError::MemberExists { .. }) => {
                    roster.edit(&id, |entry| *entry = member)?;
                }
                outcome => outcome?,
            }
        }
    }
    for id in &args.suspend {
        roster.suspend(id, args.suspend_from.unwrap_or(issued))?;
    }
    for id in &args.reinstate {
        roster.reinstate(id)?;
    }
    Ok(())
}

/// The entries at a path: one file, a party's folder, or a folder of such files.
fn entries(path: &Path) -> Result<Vec<Member>, CliError> {
    if !path.is_dir() {
        return Ok(vec![entry(path)?]);
    }
    let own = path.join("member.json");
    if own.exists() {
        return Ok(vec![entry(&own)?]);
    }
    let mut found: Vec<PathBuf> = std::fs::read_dir(path)
        .map_err(|error| files::malformed(path, error))?
        .filter_map(|item| Some(item.ok()?.path()))
        .filter(|item| {
            item.extension()
                .is_some_and(|extension| extension == "json")
        })
        .collect();
    found.sort();
    if found.is_empty() {
        return Err(files::malformed(path, "holds no .json file"));
    }
    found.iter().map(|file| entry(file)).collect()
}

fn entry(path: &Path) -> Result<Member, CliError> {
    let bytes = files::read(path)?;
    let mut reader = serde_json::Deserializer::from_slice(&bytes);
    let member = serde_path_to_error::deserialize(&mut reader)
        .map_err(|error| files::malformed(path, format!("{}: {}", error.path(), error.inner())))?;
    reader
        .end()
        .map_err(|error| files::malformed(path, error))?;
    Ok(member)
}

/// A coalition key enters a roster only with the ceremony that made it, signed by every keyholder.
/// With it comes the key as it was before, if its shares were renewed.
fn ceremony_key(
    chain: &Chain,
    file: &Path,
) -> Result<(CoalitionKey, Option<CoalitionKey>), CliError> {
    let stated: CoalitionKey = serde_json::from_slice(&files::read(file)?)
        .map_err(|error| files::malformed(file, error))?;
    let folder = match file.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let mut opened = None;
    for root in chain.roots().iter().rev() {
        match (&opened, Ceremony::open(folder, root)) {
            (Some(Ok(_)), _) => break,
            (None, result) | (Some(Err(_)), result @ Ok(_)) => opened = Some(result),
            (Some(Err(_)), Err(_)) => {}
        }
    }
    let ceremony = opened
        .ok_or_else(|| CliError::input("NO_ROOT", "no root is trusted here"))?
        .map_err(|error| {
            CliError::failed(
                error.code(),
                format!(
                    "{} must lie in its ceremony's folder, so that the ceremony can be checked: \
                     {error}",
                    file.display()
                ),
            )
        })?;
    let outcome = ceremony.verify_all()?;
    if outcome.key != stated {
        return Err(CliError::failed(
            "OTHER_KEY",
            format!(
                "{} is not the key that the ceremony made; run `wayhome ceremony finish` again",
                file.display()
            ),
        ));
    }
    Ok((stated, ceremony.stated_key().cloned()))
}

/// The announced key becomes the one in use, and that one the one before.
fn enter(keys: &mut CoalitionKeys) -> Result<(), CliError> {
    if keys.next.is_none() {
        return Err(CliError::input(
            "EPOCH",
            "no coalition key is announced: first publish a roster with --coalition-key",
        ));
    }
    if let Some(previous) = &keys.previous {
        return Err(CliError::input(
            "EPOCH",
            format!(
                "epoch {} is still being left: give --drop-epoch too, once no member uses it",
                previous.epoch
            ),
        ));
    }
    keys.previous = keys.current.take();
    keys.current = keys.next.take();
    Ok(())
}

/// The first key is used at once; a later one is announced beside the key in use. Renewed shares
/// take the place of those that they were made from, and of no others.
fn state(
    keys: &mut CoalitionKeys,
    key: CoalitionKey,
    base: Option<&CoalitionKey>,
) -> Result<(), CliError> {
    if let Some(base) = base {
        let mut slots = [&mut keys.previous, &mut keys.current, &mut keys.next].into_iter();
        let renewed = slots.find(|slot| {
            slot.as_ref()
                .is_some_and(|stated| base_of(stated) == base_of(base))
        });
        return match renewed {
            Some(slot) => {
                *slot = Some(key);
                Ok(())
            }
            None => Err(CliError::failed(
                "OTHER_SHARES",
                format!(
                    "the ceremony renewed shares of epoch {} that this roster does not state: it \
                     was called under another roster; call a new one under this",
                    key.epoch
                ),
            )),
        };
    }
    let next = match &keys.current {
        None => &mut keys.current,
        Some(current) if current.epoch.checked_add(1) == Some(key.epoch) => &mut keys.next,
        Some(current) => {
            return Err(CliError::failed(
                "EPOCH",
                format!(
                    "the key is of epoch {}, and the roster's is of epoch {}",
                    key.epoch, current.epoch
                ),
            ));
        }
    };
    *next = Some(key);
    Ok(())
}

fn report(context: &Context, args: &Args, previous: Option<&Roster>, roster: &Roster, text: &str) {
    let output = context.output;
    let changes = previous.map(|previous| diff_rosters(previous, roster));
    match &changes {
        None => output.say(roster.show(context.ambient.now()).trim_end()),
        Some(changes) => {
            output.say(format_args!(
                "Roster {} of {} follows on roster {}:",
                roster.version,
                roster.coalition,
                roster.version.saturating_sub(1)
            ));
            super::check::say_changes(context, changes);
        }
    }
    let digest = Bytes32::sha256(text.as_bytes());
    output.say(format_args!(
        "\nThe draft is in {} (SHA-256 {digest}).\nNext: enough holders of root keys read it and \
         run `wayhome roster sign {} --key KEY`.",
        args.out.display(),
        args.out.display()
    ));
    output.object(&json!({
        "ok": true, "file": args.out.display().to_string(), "version": roster.version,
        "digest": digest,
        "changes": changes.map(|changes| super::check::changes_object(&changes)),
    }));
}
