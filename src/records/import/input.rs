//! The window of bytes that a reader looks through: it grows while a row is incomplete, and is
//! wiped when done with, since what passes through it is personal data.

use std::io::{ErrorKind, Read};

use zeroize::Zeroizing;

use super::error::ImportError;

const FIRST_SIZE: usize = 64 * 1024;

/// A source of bytes with a look ahead, which counts bytes and lines.
pub(super) struct Input<R> {
    source: R,
    buffer: Zeroizing<Vec<u8>>,
    /// The bytes that were read and not consumed.
    start: usize,
    end: usize,
    ended: bool,
    /// Place in the file of `start`.
    offset: u64,
    /// Line of `start`, counted from 1.
    line: u64,
}

impl<R: Read> Input<R> {
    /// Begins to read, past a UTF-8 byte order mark.
    pub(super) fn new(source: R) -> Result<Self, ImportError> {
        let mut input = Self {
            source,
            buffer: Zeroizing::new(vec![0; FIRST_SIZE]),
            start: 0,
            end: 0,
            ended: false,
            offset: 0,
            line: 1,
        };
        while input.bytes().len() < 3 && input.fill()? {}
        if input.bytes().starts_with(b"\xff\xfe") || input.bytes().starts_with(b"\xfe\xff") {
            return Err(ImportError::Utf16);
        }
        if input.bytes().starts_with(b"\xef\xbb\xbf") {
            input.consume(3);
        }
        Ok(input)
    }

    /// The bytes that were read and not consumed.
    pub(super) fn bytes(&self) -> &[u8] {
        self.buffer.get(self.start..self.end).unwrap_or_default()
    }

    /// Whether no further bytes will come.
    pub(super) fn ended(&self) -> bool {
        self.ended
    }

    /// Place in the file of the first byte not consumed.
    pub(super) fn offset(&self) -> u64 {
        self.offset
    }

    /// Line of that byte, counted from 1.
    pub(super) fn line(&self) -> u64 {
        self.line
    }

    /// How many bytes the window takes.
    #[cfg(test)]
    pub(super) fn window(&self) -> usize {
        self.buffer.len()
    }

    /// Reads more, at the least one byte; false at the end. While nothing is consumed the window
    /// doubles, so a caller that begins anew after each call does at most twice the work. It is the
    /// caller who stops at its limit.
    pub(super) fn fill(&mut self) -> Result<bool, ImportError> {
        if self.ended {
            return Ok(false);
        }
        if self.start > 0 {
            self.buffer.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
        }
        if self.end == self.buffer.len() {
            let mut larger = Zeroizing::new(vec![0; self.buffer.len() * 2]);
            if let Some(head) = larger.get_mut(..self.end) {
                head.copy_from_slice(&self.buffer);
            }
            // The smaller one is wiped here.
            self.buffer = larger;
        }
        let before = self.end;
        let target = (before * 2).clamp(FIRST_SIZE, self.buffer.len());
        while self.end < target && !self.ended {
            match self.source.read(&mut self.buffer[self.end..]) {
                Ok(0) => self.ended = true,
                Ok(count) => self.end += count,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(source) => {
                    return Err(ImportError::Read {
                        at: self.offset + self.bytes().len() as u64,
                        source,
                    });
                }
            }
        }
        Ok(self.end > before)
    }

    /// Lets go of the first `count` bytes.
    pub(super) fn consume(&mut self, count: usize) {
        let count = count.min(self.end - self.start);
        let gone = &self.buffer[self.start..self.start + count];
        self.line += newlines(gone);
        self.offset += count as u64;
        self.start += count;
    }
}

/// How many lines end in these bytes.
pub(super) fn newlines(bytes: &[u8]) -> u64 {
    bytes.iter().filter(|byte| **byte == b'\n').count() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gives its bytes one at a time.
    struct Dripping<'a>(&'a [u8]);

    impl Read for Dripping<'_> {
        fn read(&mut self, out: &mut [u8]) -> std::io::Result<usize> {
            let count = self.0.len().min(out.len()).min(1);
            let (now, later) = self.0.split_at(count);
            out[..count].copy_from_slice(now);
            self.0 = later;
            Ok(count)
        }
    }

    #[test]
    fn bytes_and_lines_are_counted_past_a_byte_order_mark() {
        let mut input = Input::new(Dripping(b"\xef\xbb\xbfab\ncd")).ok().unwrap();
        assert_eq!((input.offset(), input.line()), (3, 1));
        while input.fill().ok().unwrap() {}
        assert_eq!(input.bytes(), b"ab\ncd");
        input.consume(4);
        assert_eq!(
            (input.offset(), input.line(), input.bytes()),
            (7, 2, &b"d"[..])
        );
        input.consume(9);
        assert!(input.bytes().is_empty() && input.ended());
    }

    #[test]
    fn the_window_grows_only_while_nothing_is_consumed() {
        let bytes = vec![b'x'; 1_000_000];
        let mut input = Input::new(&bytes[..]).ok().unwrap();
        while input.fill().ok().unwrap() {
            let count = input.bytes().len();
            input.consume(count);
        }
        assert!(input.buffer.len() <= 2 * FIRST_SIZE);
        assert_eq!(input.offset(), 1_000_000);

        let mut input = Input::new(&bytes[..]).ok().unwrap();
        while input.fill().ok().unwrap() {}
        assert_eq!(input.bytes(), bytes);
    }
}
