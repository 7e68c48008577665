//! Making a backup while the node runs.

use std::fs::{File, OpenOptions};
use std::io::{BufWriter, Read as _, Write};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use ring::digest::{Context, SHA256};

use super::archive::{Kind, Writer};
use super::{BackupError, DATABASE, Manifest, NEVER, PUBLIC_FILES, sync_folder};
use crate::ambient::{Ambient, fault};
use crate::exchange::Party;
use crate::exchange::leaf::Leaf;
use crate::node::config::Config;
use crate::node::directory::Directory;
use crate::node::keys::load_wrapping;
use crate::proto::exchange as pb;
use crate::store::{Act, Effect, Evidence, EvidencePart};

/// A backup that was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Created {
    /// Leaves of the log in it.
    pub log_size: u64,
    /// Records in it.
    pub records: u64,
    /// Octets of the data archive.
    pub bytes: u64,
    /// SHA-256 of the data archive.
    pub sha256: [u8; 32],
    /// Index of the act's leaf.
    pub leaf_index: u64,
}

/// Makes both archives: the data archive as a new file at `to`, the keys archive at `keys_to`, in
/// place of the one that may be there. Acts go on meanwhile. What a crash leaves behind is a file
/// called `.partial` and a folder in the node's directory, which the next backup removes.
///
/// # Errors
/// [`BackupError`] says what is missing or failed; no archive is then there.
pub async fn create(
    directory: &Directory,
    config: &Config,
    party: &Party,
    to: &Path,
    keys_to: &Path,
) -> Result<Created, BackupError> {
    let recipient = config.backup.recipient.ok_or(BackupError::NoRecipient)?;
    if to.exists() {
        return Err(BackupError::Exists {
            path: to.to_owned(),
            remedy: "name a new file: a backup is never overwritten",
        });
    }
    let ambient = party.ambient().clone();
    let folder = Scratch::make(directory)?;
    let copy = folder.0.join(DATABASE);
    // Before the copy: a key that is made meanwhile wraps nothing in it.
    let master = config.keys.master.load(directory)?;
    let wrapping = load_wrapping(directory, master.as_ref())?;
    let snapshot = party.store().snapshot(&copy).await?;
    fault::point("backup.copied");
    let manifest = Manifest {
        kind: Kind::Data.as_str().to_owned(),
        member: config.member.to_string(),
        created_ms: ambient.now_ms(),
        log_size: snapshot.size,
        records: snapshot.records,
        wrapping: wrapping.keys().map(|key| key.id.to_string()).collect(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
    };
    let keys_manifest = Manifest {
        kind: Kind::Keys.as_str().to_owned(),
        log_size: 0,
        records: 0,
        ..manifest.clone()
    };
    let (directory, to_path, keys_path) = (directory.clone(), to.to_owned(), keys_to.to_owned());
    let writing = ambient.clone();
    let (bytes, sha256) = tokio::task::spawn_blocking(move || {
        let recipient = recipient.as_bytes();
        // The keys first: a data archive without its keys would be the worse half.
        write(
            &keys_path,
            true,
            Kind::Keys,
            recipient,
            &writing,
            |archive| {
                add_manifest(archive, &keys_manifest)?;
                add_keys(archive, &directory)
            },
        )?;
        fault::point("backup.keys");
        write(
            &to_path,
            false,
            Kind::Data,
            recipient,
            &writing,
            |archive| {
                add_manifest(archive, &manifest)?;
                let roots = directory.root_names()?;
                let names = PUBLIC_FILES.iter().copied();
                for name in names.chain(roots.iter().map(String::as_str)) {
                    let path = directory.file(name);
                    if path.exists() {
                        add_file(archive, name, &path)?;
                    }
                }
                add_file(archive, DATABASE, &copy)
            },
        )
    })
    .await
    .map_err(|error| BackupError::Unreadable(error.to_string()))??;
    fault::point("backup.data");
    drop(folder);
    if let Some(journal) = party.store().journal() {
        journal.turn(ambient.now_ms(), config.keys.journal_keep())?;
    }
    let leaf_index = record(party, snapshot.size, &sha256).await?;
    Ok(Created {
        log_size: snapshot.size,
        records: snapshot.records,
        bytes,
        sha256,
        leaf_index,
    })
}

async fn record(party: &Party, size: u64, sha256: &[u8; 32]) -> Result<u64, BackupError> {
    let (leaf, opening) = Leaf::new(
        pb::Act::BackupCreated,
        party.ambient(),
        &pb::Outcome::default(),
    )
    .set(|entry| entry.reference = format!("size={size} sha256={}", hex::encode(sha256)))
    .finish();
    let act = Act::alone(leaf).with(Effect::Keep(
        EvidencePart::Opening,
        Evidence::plain(opening),
    ));
    match party.ledger().commit(act).await? {
        crate::store::Committed::Done { position, .. } => Ok(position.leaf_index),
        _ => Err(crate::store::StoreError::Closed.into()),
    }
}

/// Writes one archive, durably: it is there whole or not at all. Tells its length and SHA-256.
fn write(
    path: &Path,
    replace: bool,
    kind: Kind,
    recipient: &[u8; 32],
    ambient: &Ambient,
    fill: impl FnOnce(&mut Writer<Hashing>) -> Result<(), BackupError>,
) -> Result<(u64, [u8; 32]), BackupError> {
    let mut name = path.as_os_str().to_owned();
    name.push(".partial");
    let partial = PathBuf::from(name);
    let failed = || BackupError::system(partial.display());
    // What an earlier crash left there was never a backup.
    let _ = std::fs::remove_file(&partial);
    let file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&partial)
        .map_err(failed())?;
    let hashing = Hashing {
        file: BufWriter::new(file),
        hash: Context::new(&SHA256),
        bytes: 0,
    };
    let mut archive = Writer::begin(hashing, kind, recipient, ambient)?;
    fill(&mut archive)?;
    let mut done = archive.finish()?;
    done.file.flush().map_err(failed())?;
    done.file.get_ref().sync_all().map_err(failed())?;
    if !replace && path.exists() {
        return Err(BackupError::Exists {
            path: path.to_owned(),
            remedy: "name a new file: a backup is never overwritten",
        });
    }
    std::fs::rename(&partial, path).map_err(failed())?;
    sync_folder(path)?;
    let mut sha256 = [0; 32];
    sha256.copy_from_slice(done.hash.finish().as_ref());
    Ok((done.bytes, sha256))
}

fn add_manifest(archive: &mut Writer<Hashing>, manifest: &Manifest) -> Result<(), BackupError> {
    let text =
        serde_json::to_vec(manifest).map_err(|error| BackupError::Unreadable(error.to_string()))?;
    archive.add("manifest.json", text.len() as u64, text.as_slice())
}

fn add_file(archive: &mut Writer<Hashing>, name: &str, path: &Path) -> Result<(), BackupError> {
    let failed = || BackupError::system(path.display());
    let file = File::open(path).map_err(failed())?;
    let size = file.metadata().map_err(failed())?.len();
    archive.add(name, size, file)
}

/// All files of `keys/` but the one that is never backed up.
fn add_keys(archive: &mut Writer<Hashing>, directory: &Directory) -> Result<(), BackupError> {
    let folder = directory.key("");
    let failed = || BackupError::system(folder.display());
    let mut names = Vec::new();
    for entry in std::fs::read_dir(&folder).map_err(failed())? {
        let name = entry.map_err(failed())?.file_name();
        if let Ok(name) = name.into_string()
            && name != NEVER
            && !name.ends_with(".new")
        {
            names.push(name);
        }
    }
    names.sort();
    for name in names {
        let path = directory.key(&name);
        let mut bytes = zeroize::Zeroizing::new(Vec::new());
        File::open(&path)
            .and_then(|mut file| file.read_to_end(&mut bytes))
            .map_err(BackupError::system(path.display()))?;
        archive.add(
            &format!("keys/{name}"),
            bytes.len() as u64,
            bytes.as_slice(),
        )?;
    }
    Ok(())
}

/// A file whose SHA-256 is taken as it is written.
struct Hashing {
    file: BufWriter<File>,
    hash: Context,
    bytes: u64,
}

impl Write for Hashing {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let count = self.file.write(bytes)?;
        self.hash.update(bytes.get(..count).unwrap_or_default());
        self.bytes += count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.file.flush()
    }
}

/// A folder in the node's directory for the copy of the database, removed at the end.
pub(super) struct Scratch(pub(super) PathBuf);

impl Scratch {
    pub(super) fn make(directory: &Directory) -> Result<Self, BackupError> {
        Self::at(directory.file("backup.partial"))
    }

    pub(super) fn at(path: PathBuf) -> Result<Self, BackupError> {
        let failed = || BackupError::system(path.display());
        if path.exists() {
            std::fs::remove_dir_all(&path).map_err(failed())?;
        }
        std::fs::DirBuilder::new()
            .mode(0o700)
            .create(&path)
            .map_err(failed())?;
        Ok(Self(path))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
