//! Root keys, and the root that names them.

use std::path::{Path, PathBuf};

use serde_json::json;

use super::files::{self, Document};
use crate::cli::{CliError, Context};
use crate::envelope::note::Algorithm;
use crate::envelope::{KeyName, NoteKey, NoteSigner, SigningKey};
use crate::roster::{Bytes32, Root, RootKey, Timestamp};
use crate::vault;

/// How long a root is good if nothing else is said: two years. People have to meet to renew it.
const ROOT_LIFETIME_DAYS: u64 = 730;

#[derive(clap::Args)]
pub struct KeygenArgs {
    /// Name of the key, such as `anna.coalition.example`; it will stand on every signature line.
    #[arg(value_name = "NAME")]
    name: String,
    /// Where the secret goes; it must not exist. The public part goes beside it, with `.pub` added.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

#[derive(clap::Args)]
pub struct DraftRootArgs {
    /// Name of the coalition, such as `coalition.example`. With --from it stays what it was.
    #[arg(long, value_name = "NAME", required_unless_present = "from")]
    coalition: Option<String>,
    /// How many of the keys must sign, at least two.
    #[arg(long, value_name = "NUMBER")]
    threshold: u16,
    /// When it ceases to be accepted, such as 2027-01-31; in two years if not given.
    #[arg(long, value_name = "DATE", value_parser = files::date)]
    expires: Option<Timestamp>,
    /// The root that it follows: its version counts on.
    #[arg(long, value_name = "ROOT.note")]
    from: Option<PathBuf>,
    /// Where the draft goes; it must not exist.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// The public keys, as `keygen` printed them, or the files that hold them.
    #[arg(value_name = "PUBKEY", required = true)]
    keys: Vec<String>,
}

pub fn keygen(context: &Context, args: &KeygenArgs) -> Result<(), CliError> {
    let name = KeyName::new(&*args.name)
        .map_err(|error| CliError::input("KEY_NAME", format!("{:?}: {error}", args.name)))?;
    let signer = NoteSigner::new(name, SigningKey::generate(&mut context.ambient.rng()));
    let key = signer.note_key();
    // A root that named the key would be refused; better to say so before it is carried around.
    let probe = Root {
        coalition: "probe".to_owned(),
        version: 1,
        expires: Timestamp::MAX,
        threshold: 2,
        keys: vec![root_key(&key)],
    };
    if let Some(problem) = probe
        .problems()
        .as_slice()
        .iter()
        .find(|problem| problem.subject.starts_with("root key"))
    {
        return Err(CliError::input("KEY_NAME", problem));
    }
    let public = key.to_string();
    let secret = zeroize::Zeroizing::new(format!("{}\n", *signer.to_secret_text()));
    vault::create_secret(&args.out, secret.as_bytes())
        .map_err(|error| CliError::failed("KEY_FILE", error))?;
    let beside = beside(&args.out);
    files::write(&beside, &format!("{public}\n"))?;
    let output = context.output;
    output.say(format_args!(
        "The secret root key is in {}: one person keeps it, on a machine that is never online, \
         with one copy elsewhere.",
        args.out.display()
    ));
    output.say(format_args!(
        "The public part, for the root, is in {}:\n{public}",
        beside.display()
    ));
    output.object(&json!({
        "ok": true, "name": args.name, "public": public,
        "public_key": Bytes32::new(*key.verifying_key().as_bytes()),
        "secret_file": args.out.display().to_string(),
        "public_file": beside.display().to_string(),
    }));
    Ok(())
}

pub fn draft_root(context: &Context, args: &DraftRootArgs) -> Result<(), CliError> {
    let keys = args
        .keys
        .iter()
        .map(|text| public_key(text).map(|key| root_key(&key)))
        .collect::<Result<Vec<_>, _>>()?;
    let expires = args
        .expires
        .unwrap_or_else(|| files::days_ahead(context.ambient.now(), ROOT_LIFETIME_DAYS));
    let mut root = match &args.from {
        Some(from) => previous(from)?.successor(expires),
        None => Root {
            coalition: args.coalition.clone().unwrap_or_default(),
            version: 1,
            expires,
            threshold: args.threshold,
            keys: Vec::new(),
        },
    };
    if let Some(name) = args
        .coalition
        .as_ref()
        .filter(|name| **name != root.coalition)
    {
        return Err(CliError::input(
            "WRONG_COALITION",
            format!(
                "the root before is of {:?}, not of {name:?}",
                root.coalition
            ),
        ));
    }
    root.threshold = args.threshold;
    root.keys = keys;
    let text = root.render_for_signing()?;
    files::write_new(&args.out, &text)?;
    let output = context.output;
    output.say(root.show(context.ambient.now()).trim_end());
    output.say(format_args!(
        "\nThe draft is in {}. Next: the holders of {} keys run `wayhome roster sign {} --key KEY`{}.",
        args.out.display(),
        root.threshold,
        args.out.display(),
        if args.from.is_some() {
            ", and so do enough holders of the old keys"
        } else {
            ""
        }
    ));
    output.object(&json!({
        "ok": true, "file": args.out.display().to_string(), "root": root,
        "digest": Bytes32::sha256(text.as_bytes()),
    }));
    Ok(())
}

fn previous(path: &Path) -> Result<Root, CliError> {
    match Document::read(path)? {
        (Document::Root(root), _) => Ok(root),
        (Document::Roster(_), _) => Err(files::malformed(path, "is a roster and not a root")),
    }
}

/// A public key from its text, or from the file that holds it.
fn public_key(text: &str) -> Result<NoteKey, CliError> {
    let wrong = |reason: &dyn std::fmt::Display| {
        CliError::input(
            "PUBLIC_KEY",
            format!("{text:?} is no public key as `wayhome roster keygen` prints it: {reason}"),
        )
    };
    // No file of ours has a plus sign in its name, and every key has two.
    let read = if text.contains('+') {
        text.to_owned()
    } else {
        String::from_utf8_lossy(&files::read(Path::new(text))?).into_owned()
    };
    if read.starts_with("PRIVATE+KEY+") {
        return Err(CliError::input(
            "SECRET_KEY",
            "a secret key was given where its public part belongs: treat that key as lost, make a \
             new one, and give the file that ends in .pub",
        ));
    }
    let key: NoteKey = read.trim().parse().map_err(|error| wrong(&error))?;
    if key.algorithm() != Algorithm::Ed25519 {
        return Err(wrong(&"it is a witness's key"));
    }
    Ok(key)
}

fn root_key(key: &NoteKey) -> RootKey {
    RootKey {
        name: key.name().to_string(),
        public_key: Bytes32::new(*key.verifying_key().as_bytes()),
    }
}

fn beside(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".pub");
    PathBuf::from(name)
}
