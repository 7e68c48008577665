//! Which format a file is in.

use std::path::Path;

/// A format that is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Comma-separated values (RFC 4180) with a header, in UTF-8.
    Csv,
    /// One JSON object a line, in UTF-8.
    JsonLines,
    /// The People Finder Interchange Format, versions 1.2 to 1.4, in UTF-8.
    Pfif,
}

impl Format {
    /// Tells the format by the file's extension, else by its first bytes: CSV where nothing speaks
    /// for another.
    #[must_use]
    pub fn detect(path: Option<&Path>, first_bytes: &[u8]) -> Self {
        path.and_then(by_extension)
            .unwrap_or_else(|| by_content(first_bytes))
    }
}

fn by_extension(path: &Path) -> Option<Format> {
    let extension = path.extension()?.to_str()?.to_ascii_lowercase();
    match extension.as_str() {
        "csv" | "tsv" => Some(Format::Csv),
        "jsonl" | "ndjson" | "json" => Some(Format::JsonLines),
        "xml" | "pfif" => Some(Format::Pfif),
        _ => None,
    }
}

fn by_content(bytes: &[u8]) -> Format {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    match bytes.trim_ascii_start().first() {
        Some(b'{' | b'[') => Format::JsonLines,
        Some(b'<') => Format::Pfif,
        _ => Format::Csv,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_extension_speaks_first_and_then_the_content() {
        let detect = |path: &str, bytes: &[u8]| Format::detect(Some(Path::new(path)), bytes);
        assert_eq!(detect("a.CSV", b"{"), Format::Csv);
        assert_eq!(detect("a.ndjson", b"a,b"), Format::JsonLines);
        assert_eq!(
            detect("a.txt", b"\xef\xbb\xbf \n{\"a\":1}"),
            Format::JsonLines
        );
        assert_eq!(detect("register", b"record_ref,note"), Format::Csv);
        assert_eq!(detect("feed.xml", b""), Format::Pfif);
        assert_eq!(Format::detect(None, b"<?xml"), Format::Pfif);
        assert_eq!(Format::detect(None, b""), Format::Csv);
    }
}
