//! An archive: files in one stream, sealed to a key that the node does not have.
//!
//! ```text
//! "wayhome-backup-v1\n"
//! encapsulated key (32), file key sealed by HPKE (48)
//! chunks: length (4, big-endian), sealed chunk
//! ```
//!
//! The file key is drawn anew for each archive and sealed to the backup key (RFC 9180, mode Base,
//! DHKEM(X25519, HKDF-SHA256), HKDF-SHA256, ChaCha20Poly1305). A chunk is bound to its number and
//! to whether it is the last, so that an archive that was cut off, or whose chunks were moved, does
//! not open. Inside stand the entries: length of the name (2), name, length (8), bytes.

use std::io::{self, Read, Write};

use hpke::aead::ChaCha20Poly1305;
use hpke::kdf::HkdfSha256;
use hpke::kem::X25519HkdfSha256;
use hpke::{Deserializable as _, Kem, OpModeR, OpModeS, Serializable as _};
use zeroize::Zeroizing;

use super::BackupError;
use crate::ambient::Ambient;
use crate::vault::{DataKey, Place, SEAL_OVERHEAD};

const MAGIC: &[u8] = b"wayhome-backup-v1\n";
const ENCAPSULATED: usize = 32;
const SEALED_KEY: usize = 32 + 16;
const CHUNK: usize = 1 << 20;
const LONGEST_NAME: usize = 255;

type PublicKey = <X25519HkdfSha256 as Kem>::PublicKey;
type PrivateKey = <X25519HkdfSha256 as Kem>::PrivateKey;
type EncappedKey = <X25519HkdfSha256 as Kem>::EncappedKey;

/// What an archive holds. One kind is not taken for the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The database and the public files.
    Data,
    /// The keys.
    Keys,
}

impl Kind {
    /// Its name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Data => "data",
            Self::Keys => "keys",
        }
    }

    fn info(self) -> Vec<u8> {
        [b"wayhome/backup/v1/", self.as_str().as_bytes()].concat()
    }
}

/// Writes an archive.
pub struct Writer<W> {
    out: W,
    chunks: Chunks,
    pending: Zeroizing<Vec<u8>>,
    ambient: Ambient,
}

/// The key of an archive and the place of its next chunk.
struct Chunks {
    key: DataKey,
    kind: Kind,
    next: u64,
}

impl Chunks {
    fn row(&self, last: bool) -> [u8; 9] {
        let mut row = [0; 9];
        row[..8].copy_from_slice(&self.next.to_be_bytes());
        row[8] = u8::from(last);
        row
    }

    fn place<'a>(&self, row: &'a [u8; 9]) -> Place<'a> {
        Place {
            table: "backup",
            column: self.kind.as_str(),
            row,
        }
    }
}

impl<W: Write> Writer<W> {
    /// Begins an archive for the holder of the key behind `recipient`.
    ///
    /// # Errors
    /// If the recipient's key is none, or nothing can be written.
    pub fn begin(
        mut out: W,
        kind: Kind,
        recipient: &[u8; 32],
        ambient: &Ambient,
    ) -> Result<Self, BackupError> {
        let key = DataKey::generate(&mut ambient.rng());
        let recipient = PublicKey::from_bytes(recipient).map_err(|_| BackupError::Recipient)?;
        let (encapsulated, sealed) =
            hpke::single_shot_seal::<ChaCha20Poly1305, HkdfSha256, X25519HkdfSha256, _>(
                &OpModeS::Base,
                &recipient,
                &kind.info(),
                key.expose(),
                &[],
                &mut ambient.rng(),
            )
            .map_err(|_| BackupError::Recipient)?;
        out.write_all(MAGIC)?;
        out.write_all(&encapsulated.to_bytes())?;
        out.write_all(&sealed)?;
        Ok(Self {
            out,
            chunks: Chunks { key, kind, next: 0 },
            pending: Zeroizing::new(Vec::with_capacity(2 * CHUNK)),
            ambient: ambient.clone(),
        })
    }

    /// Adds a file of `size` octets.
    ///
    /// # Errors
    /// If it has another length, or nothing can be written.
    pub fn add(&mut self, name: &str, size: u64, from: impl Read) -> Result<(), BackupError> {
        let length = u16::try_from(name.len())
            .ok()
            .filter(|length| usize::from(*length) <= LONGEST_NAME)
            .ok_or(BackupError::Damaged("a name is too long"))?;
        self.put(&length.to_be_bytes())?;
        self.put(name.as_bytes())?;
        self.put(&size.to_be_bytes())?;
        let mut from = from.take(size);
        let mut buffer = Zeroizing::new(vec![0; CHUNK]);
        let mut read = 0;
        loop {
            let count = from.read(&mut buffer)?;
            if count == 0 {
                break;
            }
            read += count as u64;
            self.put(buffer.get(..count).unwrap_or_default())?;
        }
        if read == size {
            Ok(())
        } else {
            Err(BackupError::Changed(name.to_owned()))
        }
    }

    fn put(&mut self, bytes: &[u8]) -> Result<(), BackupError> {
        self.pending.extend_from_slice(bytes);
        while self.pending.len() > CHUNK {
            let rest = Zeroizing::new(self.pending.split_off(CHUNK));
            self.chunk(false)?;
            self.pending.clear();
            self.pending.extend_from_slice(&rest);
        }
        Ok(())
    }

    fn chunk(&mut self, last: bool) -> Result<(), BackupError> {
        let row = self.chunks.row(last);
        let sealed = self.chunks.key.seal(
            self.chunks.place(&row),
            &self.pending,
            &mut self.ambient.rng(),
        );
        let length = u32::try_from(sealed.len()).unwrap_or(u32::MAX);
        self.out.write_all(&length.to_be_bytes())?;
        self.out.write_all(&sealed)?;
        self.chunks.next += 1;
        Ok(())
    }

    /// Ends the archive.
    ///
    /// # Errors
    /// If nothing can be written.
    pub fn finish(mut self) -> Result<W, BackupError> {
        self.chunk(true)?;
        self.out.flush()?;
        Ok(self.out)
    }
}

/// Reads an archive, entry by entry.
pub struct Reader<R> {
    input: R,
    chunks: Chunks,
    ended: bool,
    chunk: Zeroizing<Vec<u8>>,
    at: usize,
}

impl<R: Read> Reader<R> {
    /// Opens an archive with the backup key.
    ///
    /// # Errors
    /// If it is no archive of this kind, or was sealed to another key.
    pub fn open(mut input: R, kind: Kind, secret: &[u8; 32]) -> Result<Self, BackupError> {
        let mut magic = [0; MAGIC.len()];
        input
            .read_exact(&mut magic)
            .map_err(|_| BackupError::Damaged("it is no backup"))?;
        if magic != *MAGIC {
            return Err(BackupError::Damaged("it is no backup of this version"));
        }
        let mut encapsulated = [0; ENCAPSULATED];
        let mut sealed = [0; SEALED_KEY];
        input
            .read_exact(&mut encapsulated)
            .and_then(|()| input.read_exact(&mut sealed))
            .map_err(|_| BackupError::Damaged("it is cut off"))?;
        let unusable = || BackupError::NotForThisKey {
            kind: kind.as_str(),
        };
        let encapsulated = EncappedKey::from_bytes(&encapsulated).map_err(|_| unusable())?;
        let secret = PrivateKey::from_bytes(secret).map_err(|_| unusable())?;
        let key = hpke::single_shot_open::<ChaCha20Poly1305, HkdfSha256, X25519HkdfSha256>(
            &OpModeR::Base,
            &secret,
            &encapsulated,
            &kind.info(),
            &sealed,
            &[],
        )
        .map(Zeroizing::new)
        .map_err(|_| unusable())?;
        let key = key.as_slice().try_into().map_err(|_| unusable())?;
        Ok(Self {
            input,
            chunks: Chunks {
                key: DataKey::from_bytes(key),
                kind,
                next: 0,
            },
            ended: false,
            chunk: Zeroizing::default(),
            at: 0,
        })
    }

    /// The next entry's name and size, or nothing at the end. The entry is to be read with
    /// [`Reader::copy`] before the next is asked for.
    ///
    /// # Errors
    /// If the archive is damaged.
    pub fn next_entry(&mut self) -> Result<Option<(String, u64)>, BackupError> {
        let mut length = [0; 2];
        if self.fill()? == 0 {
            return Ok(None);
        }
        self.take(&mut length)?;
        let mut name = vec![0; usize::from(u16::from_be_bytes(length)).min(LONGEST_NAME)];
        self.take(&mut name)?;
        let mut size = [0; 8];
        self.take(&mut size)?;
        let name =
            String::from_utf8(name).map_err(|_| BackupError::Damaged("a name is not text"))?;
        Ok(Some((name, u64::from_be_bytes(size))))
    }

    /// Copies the bytes of the entry that was announced.
    ///
    /// # Errors
    /// If the archive is damaged, or `out` takes no more.
    pub fn copy(&mut self, size: u64, mut out: impl Write) -> Result<(), BackupError> {
        let mut left = size;
        while left > 0 {
            if self.fill()? == 0 {
                return Err(BackupError::Damaged("it ends within a file"));
            }
            let there = self.chunk.get(self.at..).unwrap_or_default();
            let count = there.len().min(usize::try_from(left).unwrap_or(usize::MAX));
            out.write_all(there.get(..count).unwrap_or_default())?;
            self.at += count;
            left -= count as u64;
        }
        Ok(())
    }

    fn take(&mut self, out: &mut [u8]) -> Result<(), BackupError> {
        let size = out.len() as u64;
        self.copy(size, out)
    }

    /// Reads chunks until there is something to read; 0 at the end.
    fn fill(&mut self) -> Result<usize, BackupError> {
        while self.at >= self.chunk.len() && !self.ended {
            let mut length = [0; 4];
            self.input
                .read_exact(&mut length)
                .map_err(|_| BackupError::Damaged("it is cut off"))?;
            let length = u32::from_be_bytes(length) as usize;
            if length > CHUNK + SEAL_OVERHEAD {
                return Err(BackupError::Damaged("a chunk is too long"));
            }
            let mut sealed = vec![0; length];
            self.input
                .read_exact(&mut sealed)
                .map_err(|_| BackupError::Damaged("it is cut off"))?;
            self.chunk = self.open_chunk(&sealed)?;
            self.at = 0;
            self.chunks.next += 1;
        }
        if self.ended && self.at >= self.chunk.len() {
            let mut more = [0; 1];
            if self.input.read(&mut more)? > 0 {
                return Err(BackupError::Damaged("something stands behind its end"));
            }
        }
        Ok(self.chunk.len().saturating_sub(self.at))
    }

    fn open_chunk(&mut self, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, BackupError> {
        for last in [false, true] {
            let row = self.chunks.row(last);
            if let Ok(chunk) = self.chunks.key.open(self.chunks.place(&row), sealed) {
                self.ended = last;
                return Ok(chunk);
            }
        }
        Err(BackupError::Damaged("a chunk does not open in its place"))
    }
}

/// A file that was read in full fits an [`io::Error`] too.
impl From<io::Error> for BackupError {
    fn from(error: io::Error) -> Self {
        Self::System {
            what: "a file".to_owned(),
            source: error,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: [u8; 32] = [5; 32];

    fn recipient() -> [u8; 32] {
        x25519_dalek::PublicKey::from(&x25519_dalek::StaticSecret::from(SECRET)).to_bytes()
    }

    fn archive(files: &[(&str, Vec<u8>)]) -> Vec<u8> {
        let mut writer =
            Writer::begin(Vec::new(), Kind::Data, &recipient(), &Ambient::system()).unwrap();
        for (name, bytes) in files {
            writer
                .add(name, bytes.len() as u64, bytes.as_slice())
                .unwrap();
        }
        writer.finish().unwrap()
    }

    fn read(bytes: &[u8], kind: Kind, secret: [u8; 32]) -> Result<Vec<(String, Vec<u8>)>, String> {
        let said = |error: BackupError| error.to_string();
        let mut reader = Reader::open(bytes, kind, &secret).map_err(said)?;
        let mut files = Vec::new();
        while let Some((name, size)) = reader.next_entry().map_err(said)? {
            let mut file = Vec::new();
            reader.copy(size, &mut file).map_err(said)?;
            files.push((name, file));
        }
        Ok(files)
    }

    #[test]
    fn what_is_put_in_comes_out() {
        let files = [
            ("manifest.json", b"{}".to_vec()),
            ("empty", Vec::new()),
            ("large", (0..3 * CHUNK + 7).map(|at| at as u8).collect()),
            ("exact", vec![1; CHUNK]),
        ];
        let out = read(&archive(&files), Kind::Data, SECRET).unwrap();
        let expected: Vec<(String, Vec<u8>)> = files
            .iter()
            .map(|(name, bytes)| ((*name).to_owned(), bytes.clone()))
            .collect();
        assert!(out == expected);
        assert!(read(&archive(&[]), Kind::Data, SECRET).unwrap().is_empty());
    }

    #[test]
    fn another_key_kind_or_byte_opens_nothing() {
        let whole = archive(&[("a", vec![7; 2 * CHUNK])]);
        assert!(read(&whole, Kind::Data, [6; 32]).is_err());
        assert!(read(&whole, Kind::Keys, SECRET).is_err());
        for at in [0, 20, 60, 100, CHUNK, whole.len() - 1] {
            let mut changed = whole.clone();
            changed[at] ^= 1;
            assert!(read(&changed, Kind::Data, SECRET).is_err(), "octet {at}");
        }
        for length in [0, 17, 50, 97, 98, CHUNK, whole.len() - 1] {
            assert!(
                read(&whole[..length], Kind::Data, SECRET).is_err(),
                "{length}"
            );
        }
        let mut longer = whole;
        longer.push(0);
        assert!(read(&longer, Kind::Data, SECRET).is_err());
    }
}
