//! Reading and writing the files, and the roots that are trusted.

use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};

use super::trust;
use crate::cli::input::unusable;
use crate::cli::{CliError, Context};
use crate::envelope::Note;
use crate::roster::{
    Kind, Root, Roster, RosterError, Timestamp, TrustStore, TrustedRoot, TrustedRoster,
};

/// Above the largest roster; larger files are not read at all.
const FILE_LIMIT: u64 = 2 << 20;

/// Which roots are trusted.
#[derive(clap::Args)]
pub struct RootArgs {
    /// The root that was handed over in person; roots that followed it may be given after it, in
    /// order. The directory's root.note if not given.
    #[arg(long = "root", value_name = "ROOT.note")]
    roots: Vec<PathBuf>,
}

/// The roots from the pinned one to the newest.
pub struct Chain {
    store: TrustStore,
    roots: Vec<TrustedRoot>,
}

impl RootArgs {
    /// Reads and walks the roots.
    pub fn chain(&self, context: &Context) -> Result<Chain, CliError> {
        let Some((first, rest)) = self.roots.split_first() else {
            return Ok(Chain::of(trust::open(context)?));
        };
        let mut store = TrustStore::new(&read(first)?)?;
        for file in rest {
            let _ = store.update_root(&read(file)?, context.ambient.now())?;
        }
        Ok(Chain::of(store))
    }

    /// What is trusted before a roster is put into the directory: by the roots given, or by the
    /// directory's own.
    pub fn trust(&self, context: &Context) -> Result<TrustStore, CliError> {
        if self.roots.is_empty() {
            return trust::open(context);
        }
        let mut store = self.chain(context)?.into_store();
        trust::remember_roster(&context.directory, &mut store, context.ambient.now())?;
        Ok(store)
    }
}

/// A roster whose signatures one of the roots vouches for; one that none does is of an earlier root
/// and binds nobody.
pub fn verified(store: &TrustStore, note: &[u8]) -> Option<TrustedRoster> {
    let mut newest_first: Vec<TrustedRoot> = walked(store);
    newest_first.reverse();
    newest_first
        .iter()
        .find_map(|root| TrustedRoster::verify(root, note).ok())
}

fn walked(store: &TrustStore) -> Vec<TrustedRoot> {
    // Each was verified on the way; pinning it again only reads it.
    store
        .roots_above(0)
        .filter_map(|note| TrustedRoot::pin(note.as_bytes()).ok())
        .collect()
}

impl Chain {
    fn of(store: TrustStore) -> Self {
        let roots = walked(&store);
        Self { store, roots }
    }

    /// The newest root.
    pub fn newest(&self) -> &TrustedRoot {
        self.store.root()
    }

    /// All of them, oldest first.
    pub fn roots(&self) -> &[TrustedRoot] {
        &self.roots
    }

    /// The trust store that has walked the chain.
    pub fn into_store(self) -> TrustStore {
        self.store
    }
}

/// A root or a roster.
pub enum Document {
    /// A root.
    Root(Root),
    /// A roster.
    Roster(Box<Roster>),
}

impl Document {
    /// Reads the text of a file, signed or not, without believing it. Also gives the names on the
    /// signature lines.
    pub fn read(path: &Path) -> Result<(Self, Vec<String>), CliError> {
        let bytes = read(path)?;
        let (text, signers) = match Note::parse(&bytes) {
            Ok(note) => {
                let names = note.signatures().iter();
                let names = names.map(|line| line.name().to_string()).collect();
                (note.unverified_text().to_owned(), names)
            }
            Err(_) => (String::from_utf8_lossy(&bytes).into_owned(), Vec::new()),
        };
        let at = |error: RosterError| wrong(path, &error);
        let document = if text.starts_with(Kind::Root.header()) {
            Self::Root(Root::from_draft(&text).map_err(at)?)
        } else if text.starts_with(Kind::Roster.header()) || text.trim_start().starts_with('{') {
            Self::Roster(Box::new(Roster::from_draft(&text).map_err(at)?))
        } else {
            return Err(neither(path));
        };
        Ok((document, signers))
    }
}

/// A file that is no root and no roster.
fn neither(path: &Path) -> CliError {
    malformed(
        path,
        format_args!(
            "this is neither a root nor a roster: one begins with the line {:?}, the other with {:?}",
            Kind::Root.header(),
            Kind::Roster.header()
        ),
    )
}

/// Whether a file says that it is a root.
pub fn is_root(bytes: &[u8]) -> bool {
    bytes.starts_with(Kind::Root.header().as_bytes())
}

/// Reads a file of at most [`FILE_LIMIT`] bytes.
pub fn read(path: &Path) -> Result<Vec<u8>, CliError> {
    let wrong = |error: std::io::Error| CliError::input("FILE", unusable(path, &error));
    let mut bytes = Vec::new();
    File::open(path)
        .map_err(wrong)?
        .take(FILE_LIMIT + 1)
        .read_to_end(&mut bytes)
        .map_err(wrong)?;
    if bytes.len() as u64 > FILE_LIMIT {
        return Err(CliError::input(
            "TOO_LARGE",
            format!(
                "{} is larger than {FILE_LIMIT} bytes, more than any roster",
                path.display()
            ),
        ));
    }
    Ok(bytes)
}

/// Writes a file that is not there yet.
pub fn write_new(path: &Path, text: &str) -> Result<(), CliError> {
    if path.exists() {
        return Err(CliError::input(
            "FILE_EXISTS",
            format!(
                "{} is there already, perhaps with signatures: name another file, or move it away",
                path.display()
            ),
        ));
    }
    write(path, text)
}

/// Writes a file, whole or not at all.
pub fn write(path: &Path, text: &str) -> Result<(), CliError> {
    let wrong = |error: std::io::Error| {
        CliError::failed("FILE", format!("cannot write {}: {error}", path.display()))
    };
    let mut fresh = path.as_os_str().to_owned();
    fresh.push(".fresh");
    let fresh = PathBuf::from(fresh);
    let mut file = File::create(&fresh).map_err(wrong)?;
    file.write_all(text.as_bytes()).map_err(wrong)?;
    file.sync_all().map_err(wrong)?;
    fs::rename(&fresh, path).map_err(wrong)
}

/// Reads `2027-01-31`, which is its first second in UTC, or `2027-01-31T12:00:00Z`.
pub fn date(text: &str) -> Result<Timestamp, String> {
    let whole = if text.len() == 10 {
        format!("{text}T00:00:00Z")
    } else {
        text.to_owned()
    };
    whole
        .parse()
        .map_err(|_| format!("write a day such as 2027-01-31, not {text:?}"))
}

/// The first second of a day some days ahead, so that people meet a date and not a time.
pub fn days_ahead(now: u64, days: u64) -> Timestamp {
    const DAY: u64 = 86_400;
    Timestamp::from_unix((now / DAY + days) * DAY)
}

/// What is wrong with a signed or drafted file that somebody gave.
pub fn wrong(path: &Path, error: &RosterError) -> CliError {
    CliError::input(error.code(), format!("{}: {error}", path.display()))
}

/// What is wrong with a file that was drafted by hand, at its place.
pub fn malformed(path: &Path, reason: impl std::fmt::Display) -> CliError {
    CliError::input("MALFORMED", format!("{}: {reason}", path.display()))
}

/// The code of an error that says a roster was refused, with more said about it.
pub fn refused(error: &RosterError, more: &str) -> CliError {
    CliError::failed(error.code(), format!("{error}{more}"))
}
