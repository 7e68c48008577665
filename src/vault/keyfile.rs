//! Key files: made for their owner's eyes only, and refused when others could have read them.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use super::error::VaultError;
use super::keyring::KeyRing;

/// Far above any ring's size; keeps a path to a device or a disk image from filling the memory.
const FILE_LIMIT: u64 = 64 * 1024;

/// Reads a key ring from a file that only its owner may reach (mode 0600 or 0400).
///
/// # Errors
/// [`VaultError::FileTooOpen`] with the remedy, that the file cannot be read, or what is wrong in
/// it.
pub fn load_file(path: &Path) -> Result<KeyRing, VaultError> {
    load(path, 0o077)
}

/// Reads a key ring from a systemd credential, `$CREDENTIALS_DIRECTORY/NAME`.
///
/// The service manager owns such a file and lets the service's user read it through an access
/// list, which shows as the group's read bit. That bit is allowed here, and nothing more.
///
/// # Errors
/// As [`load_file`].
pub fn load_credential(path: &Path) -> Result<KeyRing, VaultError> {
    load(path, 0o037)
}

/// Writes a ring to a new file of mode 0600, durably.
///
/// # Errors
/// [`VaultError::FileExists`] rather than overwrite, or that the file cannot be written.
pub fn create_file(ring: &KeyRing, path: &Path) -> Result<(), VaultError> {
    create_secret(path, ring.to_text().as_bytes())
}

/// Writes a secret to a new file of mode 0600, durably.
///
/// # Errors
/// As [`create_file`].
pub fn create_secret(path: &Path, secret: &[u8]) -> Result<(), VaultError> {
    write_new(secret, path).map_err(|error| match error {
        VaultError::File { source, path, .. } if source.kind() == io::ErrorKind::AlreadyExists => {
            VaultError::FileExists { path }
        }
        other => other,
    })?;
    sync_directory(path)
}

/// Replaces a key file by the ring's present state, as after a rotation. A crash leaves the old
/// file or the new one, whole. A `PATH.new` beside it is overwritten.
///
/// # Errors
/// That a file cannot be written.
pub fn save_file(ring: &KeyRing, path: &Path) -> Result<(), VaultError> {
    save_secret(path, ring.to_text().as_bytes())
}

/// Writes a secret to a file of mode 0600, durably, in place of one that may be there.
///
/// # Errors
/// As [`save_file`].
pub fn save_secret(path: &Path, secret: &[u8]) -> Result<(), VaultError> {
    let fresh = beside(path);
    // What an earlier crash left there was never in force.
    match fs::remove_file(&fresh) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(file_error("remove", &fresh)(error));
        }
        _ => {}
    }
    write_new(secret, &fresh)?;
    fs::rename(&fresh, path).map_err(file_error("replace", path))?;
    sync_directory(path)
}

/// Reads a secret from a file that only its owner may reach (mode 0600 or 0400).
///
/// # Errors
/// As [`load_file`].
pub fn load_secret(path: &Path) -> Result<Zeroizing<Vec<u8>>, VaultError> {
    read(path, 0o077)
}

/// Reads a secret from a systemd credential.
///
/// # Errors
/// As [`load_credential`].
pub fn load_secret_credential(path: &Path) -> Result<Zeroizing<Vec<u8>>, VaultError> {
    read(path, 0o037)
}

fn load(path: &Path, forbidden: u32) -> Result<KeyRing, VaultError> {
    let bytes = read(path, forbidden)?;
    let text = str::from_utf8(&bytes).map_err(|_| VaultError::BadLine {
        line: bytes_line(&bytes),
        problem: "it is not UTF-8 text",
    })?;
    KeyRing::from_text(text)
}

fn read(path: &Path, forbidden: u32) -> Result<Zeroizing<Vec<u8>>, VaultError> {
    let file = File::open(path).map_err(file_error("open", path))?;
    // Asked of the open file, not of the path, which may name another file by now.
    let mode = file.metadata().map_err(file_error("inspect", path))?.mode() & 0o7777;
    if mode & forbidden != 0 {
        return Err(VaultError::FileTooOpen {
            path: path.to_owned(),
            mode,
        });
    }
    let mut bytes = Zeroizing::new(Vec::with_capacity(FILE_LIMIT as usize + 1));
    file.take(FILE_LIMIT + 1)
        .read_to_end(&mut bytes)
        .map_err(file_error("read", path))?;
    if bytes.len() as u64 > FILE_LIMIT {
        return Err(VaultError::FileTooLarge {
            path: path.to_owned(),
            limit: FILE_LIMIT,
        });
    }
    Ok(bytes)
}

/// The line, counted from 1, of the first byte that is not UTF-8.
fn bytes_line(bytes: &[u8]) -> usize {
    let valid = bytes.utf8_chunks().next().map_or("", |chunk| chunk.valid());
    1 + valid.matches('\n').count()
}

fn write_new(secret: &[u8], path: &Path) -> Result<(), VaultError> {
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .map_err(file_error("create", path))?;
    file.write_all(secret).map_err(file_error("write", path))?;
    file.sync_all().map_err(file_error("flush", path))
}

/// A new name is durable only once its directory is.
fn sync_directory(path: &Path) -> Result<(), VaultError> {
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    File::open(directory)
        .and_then(|directory| directory.sync_all())
        .map_err(file_error("flush", directory))
}

fn beside(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".new");
    PathBuf::from(name)
}

fn file_error(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> VaultError {
    let path = path.to_owned();
    move |source| VaultError::File {
        doing,
        path,
        source,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand_chacha::ChaCha20Rng;
    use rand_core::SeedableRng;
    use std::os::unix::fs::PermissionsExt;

    fn ring(seed: u64) -> KeyRing {
        KeyRing::generate(&mut ChaCha20Rng::seed_from_u64(seed))
    }

    fn set_mode(path: &Path, mode: u32) {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn a_created_file_is_private_and_loads_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("master.key");
        let ring = ring(1);
        create_file(&ring, &path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o7777, 0o600);
        assert!(load_file(&path).unwrap().ids().eq(ring.ids()));
    }

    #[test]
    fn an_existing_key_is_not_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("master.key");
        let first = ring(1);
        create_file(&first, &path).unwrap();
        let refusal = create_file(&ring(2), &path).unwrap_err().to_string();
        assert!(refusal.contains("exists already"), "{refusal}");
        assert!(load_file(&path).unwrap().ids().eq(first.ids()));
    }

    #[test]
    fn a_rotated_ring_replaces_the_file_whole_even_after_an_earlier_crash() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("master.key");
        let mut ring = ring(1);
        create_file(&ring, &path).unwrap();
        fs::write(folder.path().join("master.key.new"), "half a li").unwrap();
        ring.rotate(&mut ChaCha20Rng::seed_from_u64(2));
        save_file(&ring, &path).unwrap();
        assert!(load_file(&path).unwrap().ids().eq(ring.ids()));
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o7777, 0o600);
        assert!(!folder.path().join("master.key.new").exists());
    }

    #[test]
    fn a_file_that_others_can_reach_is_refused_with_the_remedy() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("master.key");
        create_file(&ring(1), &path).unwrap();
        for mode in [0o644, 0o640, 0o604, 0o620, 0o602, 0o610] {
            set_mode(&path, mode);
            let refusal = load_file(&path).err().unwrap().to_string();
            assert!(
                refusal.contains(&format!("has mode {mode:04o}")),
                "{refusal}"
            );
            assert!(refusal.contains(&format!("`chmod 600 {}`", path.display())));
        }
        for mode in [0o600, 0o400] {
            set_mode(&path, mode);
            assert!(load_file(&path).is_ok());
        }
    }

    #[test]
    fn a_systemd_credential_may_be_readable_through_its_access_list() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("credential");
        create_file(&ring(1), &path).unwrap();
        for (mode, allowed) in [(0o400, true), (0o440, true), (0o460, false), (0o444, false)] {
            set_mode(&path, mode);
            assert_eq!(load_credential(&path).is_ok(), allowed, "{mode:o}");
        }
    }

    #[test]
    fn a_missing_foreign_or_huge_file_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("master.key");
        let said = |path: &Path| load_file(path).err().unwrap().to_string();
        assert!(said(&path).starts_with(&format!("cannot open {}", path.display())));

        fs::write(&path, b"# key\n\xff\xfe").unwrap();
        set_mode(&path, 0o600);
        assert!(said(&path).starts_with("key file, line 2: it is not UTF-8 text"));

        fs::write(&path, vec![b'#'; 70_000]).unwrap();
        assert!(said(&path).contains("larger than 65536 bytes"));
    }
}
