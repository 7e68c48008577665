//! The way back: checking archives, and putting a node's directory together from them.

use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use super::archive::{Kind, Reader};
use super::create::Scratch;
use super::{BackupError, DATABASE, Manifest, NEVER, PUBLIC_FILES, sync_folder};
use crate::ambient::{Ambient, fault};
use crate::envelope::merkle::leaf_hash;
use crate::node::config::Config;
use crate::node::directory::Directory;
use crate::node::identity::{Identity, write_secret};
use crate::node::keys::{load_wrapping, save_wrapping};
use crate::store::{Journal, Replayed, Snapshot, Store};
use crate::tlog::{Frontier, SignedCheckpoint};
use crate::vault::{self, DataKey, KeyRing, VaultError, VaultKeys, WrappingRing};

/// How many records or leaves are read at a time.
const PAGE: u64 = 500;

/// What checking archives came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified {
    /// What the data archive says of itself.
    pub manifest: Manifest,
    /// Leaves that open and have the hashes that the checkpoint covers; nothing without the keys.
    pub leaves: Option<u64>,
    /// Records that open; nothing without the keys.
    pub records: Option<u64>,
    /// Records whose wrapping key is destroyed.
    pub unreadable: u64,
}

/// A directory that was restored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Restored {
    /// What the data archive says of itself.
    pub manifest: Manifest,
    /// What was done anew.
    pub replayed: Replayed,
    /// Whether a journal was at hand.
    pub journal: bool,
    /// Where the database that was there before has been put.
    pub set_aside: Option<PathBuf>,
}

/// Checks that archives open, are whole and belong together; with the keys, also that everything in
/// the database opens and that the log is the one that its checkpoint states.
///
/// # Errors
/// [`BackupError`] names what does not hold.
pub async fn verify(
    data: &Path,
    keys: Option<&Path>,
    secret: &Path,
    ambient: &Ambient,
) -> Result<Verified, BackupError> {
    let secret = backup_key(secret)?;
    let name = format!("wayhome-verify-{}", hex::encode(ambient.random::<8>()));
    let scratch = Scratch::at(std::env::temp_dir().join(name))?;
    let manifest = extract(data, Kind::Data, &secret, &scratch.0)?;
    let snapshot = Store::look_at(&scratch.0.join(DATABASE)).await?;
    check_snapshot(&manifest, &snapshot)?;
    let mut verified = Verified {
        manifest,
        leaves: None,
        records: None,
        unreadable: 0,
    };
    if let Some(keys) = keys {
        let keys_manifest = extract(keys, Kind::Keys, &secret, &scratch.0)?;
        check_pair(&verified.manifest, &keys_manifest)?;
        open_all(&scratch.0, &snapshot, ambient, &mut verified).await?;
    }
    Ok(verified)
}

/// Opens everything in a database that was extracted with its keys.
async fn open_all(
    folder: &Path,
    snapshot: &Snapshot,
    ambient: &Ambient,
    verified: &mut Verified,
) -> Result<(), BackupError> {
    let directory = Directory::new(folder);
    let config = Config::load(&directory)?;
    let master = config.keys.master.load(&directory)?;
    let wrapping = load_wrapping(&directory, master.as_ref())?;
    let vault = VaultKeys {
        master,
        wrapping: Some(wrapping),
    };
    let address = format!("sqlite:{}", folder.join(DATABASE).display());
    let store = Store::open(
        &address,
        vault,
        DataKey::generate(&mut ambient.rng()),
        ambient.clone(),
    )
    .await?;
    let checked = check_all(&store, snapshot, verified).await;
    store.close().await;
    checked
}

async fn check_all(
    store: &Store,
    snapshot: &Snapshot,
    verified: &mut Verified,
) -> Result<(), BackupError> {
    let mut tree = Frontier::new();
    while tree.size() < snapshot.size {
        let leaves = store.leaves(tree.size(), PAGE).await?;
        if leaves.is_empty() {
            return Err(BackupError::Damaged("leaves of the log are missing"));
        }
        for leaf in &leaves {
            let _ = tree.append(leaf_hash(leaf));
        }
    }
    if snapshot.size > 0 {
        let stated = SignedCheckpoint::parse(snapshot.checkpoint.as_bytes())
            .map_err(|error| BackupError::Unreadable(error.to_string()))?;
        if *stated.unverified().root() != tree.root() {
            return Err(BackupError::Damaged(
                "the log is not the one of its checkpoint",
            ));
        }
    }
    verified.leaves = Some(tree.size());
    let (readable, unreadable) = store.count_readable().await?;
    verified.records = Some(readable);
    verified.unreadable = unreadable;
    Ok(())
}

/// What a directory is put together from.
#[derive(Clone, Copy)]
pub struct Sources<'a> {
    /// The data archive.
    pub data: &'a Path,
    /// The newest keys archive; not needed where the directory still has its keys.
    pub keys: Option<&'a Path>,
    /// The file with the secret part of the backup key.
    pub secret: &'a Path,
    /// Folders of journals beside the one that node.toml names, such as those of other processes of
    /// the same node.
    pub journals: &'a [PathBuf],
    /// Whether a database that is there may be set aside.
    pub replace: bool,
}

/// Puts a node's directory together: the database and what else is missing in it, and does anew
/// what journals know. Whether the log may go on is asked when the node starts: the journal, the
/// guard and the witnesses know how long it was.
///
/// May be killed at any point and repeated: everything is done in a folder of its own first, and the
/// database that was there is set aside, never overwritten. Rows that go to a server go there in one
/// transaction, into a database that has to be empty.
///
/// # Errors
/// [`BackupError`] says what is wrong, and what to do.
pub async fn restore(
    directory: &Directory,
    from: Sources<'_>,
    ambient: &Ambient,
) -> Result<Restored, BackupError> {
    let secret = backup_key(from.secret)?;
    directory.create()?;
    let lock = directory.lock()?;
    let scratch = Scratch::at(directory.file("restore.partial"))?;
    let manifest = extract(from.data, Kind::Data, &secret, &scratch.0)?;
    let copy = scratch.0.join(DATABASE);
    let snapshot = Store::look_at(&copy).await?;
    check_snapshot(&manifest, &snapshot)?;
    if let Some(keys) = from.keys {
        let keys_manifest = extract(keys, Kind::Keys, &secret, &scratch.0)?;
        check_pair(&manifest, &keys_manifest)?;
    }
    for journal in from.journals {
        if !journal.is_dir() {
            return Err(BackupError::Mismatch(format!(
                "{} is no folder of a journal: give the folder that node.toml names under [backup]",
                journal.display()
            )));
        }
    }
    fault::point("restore.extracted");
    place_files(directory, &scratch.0)?;
    let config = Config::load(directory)?;
    if config.member.as_str() != manifest.member {
        return Err(BackupError::Mismatch(format!(
            "the backup is of {}, and this is the directory of {}",
            manifest.member, config.member
        )));
    }
    place_keys(directory, &config, &scratch.0, from.keys.is_some(), ambient)?;
    let file = config.database.file(directory);
    if let Some(database) = file.as_ref().filter(|file| file.exists() && !from.replace) {
        return Err(BackupError::Exists {
            path: database.clone(),
            remedy: "give --replace to set it aside and put the restored one in its place",
        });
    }
    let own = config.backup.journal_in(directory);
    let journals = journals(&own, from.journals)?;
    fault::point("restore.keys");
    let replayed = replay(directory, &copy, &journals, ambient).await?;
    keep_journals(&own, from.journals)?;
    fault::point("restore.replayed");
    let set_aside = match file {
        Some(database) => {
            let aside = set_aside(&database)?;
            fault::point("restore.aside");
            std::fs::rename(&copy, &database).map_err(BackupError::system(database.display()))?;
            sync_folder(&database)?;
            aside
        }
        None => {
            Store::load_copy(&copy, &config.database_in(directory)).await?;
            None
        }
    };
    fault::point("restore.placed");
    drop(lock);
    Ok(Restored {
        manifest,
        replayed,
        journal: !journals.is_empty(),
        set_aside,
    })
}

/// Does anew in the copy what the journals know that it has forgotten.
async fn replay(
    directory: &Directory,
    copy: &Path,
    journals: &[PathBuf],
    ambient: &Ambient,
) -> Result<Replayed, BackupError> {
    let (vault, token) = Identity::store_keys(directory)?;
    let address = format!("sqlite:{}", copy.display());
    let store = Store::open(&address, vault, token, ambient.clone()).await?;
    let mut replayed = Replayed::default();
    let done = async {
        for folder in journals {
            let journal = Journal::open(folder)?;
            let of_one = store.clone().with_journal(journal).replay_journal().await?;
            replayed.add(&of_one);
        }
        store.scrub().await
    }
    .await;
    store.close().await;
    done?;
    Ok(replayed)
}

/// The journals that are at hand: those given, those that an earlier restore was given, and the
/// node's own last, so that the node finds it done when it starts.
fn journals(own: &Path, given: &[PathBuf]) -> Result<Vec<PathBuf>, BackupError> {
    let mut journals = kept_journals(own)?;
    journals.extend(given.iter().filter(|folder| *folder != own).cloned());
    if own.exists() {
        journals.push(own.to_owned());
    }
    Ok(journals)
}

/// Folders in the node's own journal with the journals that it was given.
fn kept_journals(own: &Path) -> Result<Vec<PathBuf>, BackupError> {
    let failed = || BackupError::system(own.display());
    let mut kept = Vec::new();
    if own.exists() {
        for entry in std::fs::read_dir(own).map_err(failed())? {
            let entry = entry.map_err(failed())?;
            let is_kept = entry.file_name().to_string_lossy().starts_with(KEPT);
            if is_kept && entry.path().is_dir() {
                kept.push(entry.path());
            }
        }
    }
    kept.sort();
    Ok(kept)
}

const KEPT: &str = "kept-";

/// Keeps journals that were given, for a restore of a still older backup.
fn keep_journals(own: &Path, given: &[PathBuf]) -> Result<(), BackupError> {
    for from in given.iter().filter(|folder| *folder != own) {
        let number = kept_journals(own)?.len() + 1;
        let to = own.join(format!("{KEPT}{number:06}"));
        let fresh = own.join(format!(".{KEPT}{number:06}"));
        let failed = || BackupError::system(to.display());
        let _ = std::fs::remove_dir_all(&fresh);
        {
            use std::os::unix::fs::DirBuilderExt as _;
            std::fs::DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(&fresh)
                .map_err(failed())?;
        }
        for entry in std::fs::read_dir(from).map_err(BackupError::system(from.display()))? {
            let entry = entry.map_err(BackupError::system(from.display()))?;
            if entry.path().is_file() {
                std::fs::copy(entry.path(), fresh.join(entry.file_name())).map_err(failed())?;
            }
        }
        std::fs::rename(&fresh, &to).map_err(failed())?;
        sync_folder(&to)?;
    }
    Ok(())
}

fn backup_key(path: &Path) -> Result<Zeroizing<[u8; 32]>, BackupError> {
    let none = || {
        BackupError::Unreadable(format!(
            "{} holds no backup key: it is 64 hexadecimal digits, as `backup keygen` wrote it",
            path.display()
        ))
    };
    let text = vault::load_secret(path).map_err(|error| match error {
        VaultError::FileTooLarge { .. } => none(),
        other => other.into(),
    })?;
    let mut secret = Zeroizing::new([0; 32]);
    let text = std::str::from_utf8(&text).unwrap_or_default();
    hex::decode_to_slice(text.trim(), secret.as_mut()).map_err(|_| none())?;
    Ok(secret)
}

/// Extracts an archive into a folder. Only names that a backup has are taken.
fn extract(
    archive: &Path,
    kind: Kind,
    secret: &[u8; 32],
    folder: &Path,
) -> Result<Manifest, BackupError> {
    let file = File::open(archive).map_err(BackupError::system(archive.display()))?;
    let mut reader = Reader::open(BufReader::new(file), kind, secret)?;
    let mut manifest = None;
    while let Some((name, size)) = reader.next_entry()? {
        if name == "manifest.json" {
            let mut text = Vec::new();
            reader.copy(size.min(1 << 16), &mut text)?;
            manifest = serde_json::from_slice(&text).ok();
            continue;
        }
        if !is_known(&name, kind) {
            return Err(BackupError::Damaged("it holds a file that no backup has"));
        }
        let path = folder.join(&name);
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent).map_err(BackupError::system(parent.display()))?;
        }
        let mut out = create_private(&path)?;
        reader.copy(size, &mut out)?;
        out.sync_all()
            .map_err(BackupError::system(path.display()))?;
    }
    manifest
        .filter(|manifest: &Manifest| manifest.kind == kind.as_str())
        .ok_or(BackupError::Damaged("it says nothing of itself"))
}

fn is_known(name: &str, kind: Kind) -> bool {
    match kind {
        Kind::Data => {
            let is_root = || {
                let version = name.strip_prefix("roots/")?.strip_suffix(".note")?;
                version.parse::<u32>().ok()
            };
            name == DATABASE || PUBLIC_FILES.contains(&name) || is_root().is_some()
        }
        Kind::Keys => name.strip_prefix("keys/").is_some_and(|name| {
            !name.is_empty()
                && name != NEVER
                && !name.starts_with('.')
                && name
                    .chars()
                    .all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c))
        }),
    }
}

fn create_private(path: &Path) -> Result<File, BackupError> {
    use std::os::unix::fs::OpenOptionsExt as _;
    File::options()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)
        .map_err(BackupError::system(path.display()))
}

fn check_snapshot(manifest: &Manifest, snapshot: &Snapshot) -> Result<(), BackupError> {
    if (manifest.log_size, manifest.records) == (snapshot.size, snapshot.records) {
        Ok(())
    } else {
        Err(BackupError::Damaged(
            "its database is not the one it states",
        ))
    }
}

fn check_pair(data: &Manifest, keys: &Manifest) -> Result<(), BackupError> {
    if data.member != keys.member {
        return Err(BackupError::Mismatch(format!(
            "the data archive is of {} and the keys archive of {}",
            data.member, keys.member
        )));
    }
    // Newer keys serve older data, as far as they still have them; not the other way round.
    if keys.created_ms < data.created_ms {
        return Err(BackupError::Mismatch(
            "the keys archive is older than the data archive: give the newest keys archive"
                .to_owned(),
        ));
    }
    Ok(())
}

/// Puts public files in their places that are missing.
fn place_files(directory: &Directory, from: &Path) -> Result<(), BackupError> {
    let roots = Directory::new(from).root_names()?;
    let names = PUBLIC_FILES.iter().copied();
    for name in names.chain(roots.iter().map(String::as_str)) {
        let (source, target) = (from.join(name), directory.file(name));
        if source.exists() && !target.exists() {
            if let Some(folder) = target.parent() {
                std::fs::create_dir_all(folder).map_err(BackupError::system(folder.display()))?;
            }
            std::fs::rename(&source, &target).map_err(BackupError::system(target.display()))?;
        }
    }
    Ok(())
}

/// Puts keys in their places that are missing, and takes over keys that the restored database may
/// need. A node without a token key gets a new one.
fn place_keys(
    directory: &Directory,
    config: &Config,
    from: &Path,
    given: bool,
    ambient: &Ambient,
) -> Result<(), BackupError> {
    if given {
        let restored = Directory::new(from);
        take_over_rings(directory, config, &restored, ambient)?;
        let folder = from.join("keys");
        let failed = || BackupError::system(folder.display());
        for entry in std::fs::read_dir(&folder).map_err(failed())? {
            let entry = entry.map_err(failed())?;
            let target = directory.key(&entry.file_name().to_string_lossy());
            if !target.exists() {
                std::fs::rename(entry.path(), &target)
                    .map_err(BackupError::system(target.display()))?;
            }
        }
    }
    let token = directory.key(NEVER);
    if !token.exists() {
        write_secret(&token, &ambient.random::<32>())?;
    }
    Ok(())
}

/// Where the directory has rings of its own, the restored ones lend their keys.
fn take_over_rings(
    directory: &Directory,
    config: &Config,
    restored: &Directory,
    ambient: &Ambient,
) -> Result<(), BackupError> {
    let (own, other) = (directory.key("master.key"), restored.key("master.key"));
    if own.exists() && other.exists() {
        let mut ring: KeyRing = vault::load_file(&own)?;
        if ring.take_in(&vault::load_file(&other)?) {
            vault::save_file(&ring, &own)?;
        }
    }
    if directory.key("wrapping.keys").exists() && restored.key("wrapping.keys").exists() {
        let master = config.keys.master.load(directory)?;
        let mut ring: WrappingRing = load_wrapping(directory, master.as_ref())?;
        ring.take_in(&load_wrapping(restored, master.as_ref())?);
        save_wrapping(directory, &ring, master.as_ref(), ambient)?;
    }
    Ok(())
}

/// Moves a database and its logs out of the way, the logs first: a log that is left beside another
/// database would be taken for its own.
fn set_aside(database: &Path) -> Result<Option<PathBuf>, BackupError> {
    let with = |path: &Path, ending: &str| {
        let mut name = path.as_os_str().to_owned();
        name.push(ending);
        PathBuf::from(name)
    };
    let aside = (1..)
        .map(|number| with(database, &format!(".before-restore-{number}")))
        .find(|path| !path.exists())
        .ok_or(BackupError::Damaged("no name is free"))?;
    let mut moved = false;
    for ending in ["-wal", "-shm", ""] {
        let source = with(database, ending);
        if source.exists() {
            moved = true;
            std::fs::rename(&source, with(&aside, ending))
                .map_err(BackupError::system(source.display()))?;
        }
    }
    Ok(moved.then_some(aside))
}
