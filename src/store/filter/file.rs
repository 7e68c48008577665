//! The filter on the disk, so that a node that starts need not read its whole index first.
//!
//! The file states the publication mark that it is of, and ends with a tag under the node's own
//! key: who can write files can make a node slow by it, and never make it answer wrongly.

use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::path::Path;
use std::sync::Arc;

use ring::digest::{Context, SHA256};
use subtle::ConstantTimeEq as _;

use super::shard::{Shard, array, wrong};
use super::{SHARDS, Shards};
use crate::store::keys::{StoreKeys, Tag, TagKind};

const MAGIC: &[u8; 16] = b"wayhome filter 1";

/// Writes the filter of `mark` to `path`, whole or not at all.
pub(super) fn write(path: &Path, keys: &StoreKeys, mark: u64, shards: &Shards) -> io::Result<()> {
    let fresh = path.with_extension("new");
    let mut to = Digesting::new(BufWriter::new(File::create(&fresh)?));
    to.write_all(MAGIC)?;
    to.write_all(&mark.to_be_bytes())?;
    for shard in shards {
        shard.write(&mut to)?;
    }
    let (digest, mut to) = to.finish();
    to.write_all(&tag(keys, &digest))?;
    let file = to.into_inner().map_err(io::IntoInnerError::into_error)?;
    file.sync_all()?;
    std::fs::rename(&fresh, path)
}

/// Reads the filter at `path`, if it is this node's, whole, and of `mark`.
pub(super) fn read(path: &Path, keys: &StoreKeys, mark: u64) -> io::Result<Shards> {
    let file = File::open(path)?;
    let length = file.metadata()?.len();
    let mut from = Digesting::new(BufReader::new(file));
    if array(&mut from)? != *MAGIC {
        return Err(wrong("it is no filter of this version"));
    }
    if u64::from_be_bytes(array(&mut from)?) != mark {
        return Err(wrong("it is of another publication mark"));
    }
    let mut shards = Vec::with_capacity(SHARDS);
    for _ in 0..SHARDS {
        shards.push(Arc::new(Shard::read(&mut from, length)?));
    }
    let (digest, mut from) = from.finish();
    let found: Tag = array(&mut from)?;
    if !bool::from(tag(keys, &digest).ct_eq(&found)) {
        return Err(wrong("it is not what this node wrote"));
    }
    Ok(shards)
}

fn tag(keys: &StoreKeys, digest: &[u8; 32]) -> Tag {
    keys.tag(TagKind::Filter, &[digest])
}

/// Takes the digest of what passes through.
struct Digesting<T> {
    through: T,
    context: Context,
}

impl<T> Digesting<T> {
    fn new(through: T) -> Self {
        Self {
            through,
            context: Context::new(&SHA256),
        }
    }

    fn finish(self) -> ([u8; 32], T) {
        let mut digest = [0; 32];
        digest.copy_from_slice(self.context.finish().as_ref());
        (digest, self.through)
    }
}

impl<T: Read> Read for Digesting<T> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let count = self.through.read(bytes)?;
        self.context.update(&bytes[..count]);
        Ok(count)
    }
}

impl<T: Write> Write for Digesting<T> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.through.write(bytes)?;
        self.context.update(&bytes[..count]);
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.through.flush()
    }
}
