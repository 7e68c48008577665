//! Where the pieces of an XML file begin and end, found without holding the file.
//!
//! This finds records in a stream; what is in them is for an XML parser. It knows comments and
//! CDATA sections, so that a record that someone commented out is not found.

/// A piece of markup, from its `<` to its `>`.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Piece<'a> {
    /// Where it begins.
    pub(super) start: usize,
    /// Where it ends.
    pub(super) end: usize,
    /// What it is.
    pub(super) kind: Kind<'a>,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Kind<'a> {
    /// `<name ...>`, or with `empty` `<name ... />`.
    Open { name: &'a [u8], empty: bool },
    /// `</name>`.
    Close { name: &'a [u8] },
    /// `<?...?>`.
    Instruction,
    /// `<!DOCTYPE`; its end is not looked for.
    DocType,
    /// A comment or a CDATA section.
    Passive,
}

/// The first piece of markup that begins at `from` or later; `None` if there is none or it goes on
/// past the bytes given.
pub(super) fn next_piece(bytes: &[u8], from: usize) -> Option<Piece<'_>> {
    let start = find(bytes, from, b"<")?;
    let rest = &bytes[start..];
    let passive = |opener: &[u8], closer| {
        let end = find(rest, opener.len(), closer)? + closer.len();
        Some((end, Kind::Passive))
    };
    let (length, kind) = match rest {
        [b'<', b'?', ..] => (find(rest, 2, b"?>")? + 2, Kind::Instruction),
        _ if rest.starts_with(b"<!--") => passive(b"<!--", b"-->")?,
        _ if rest.starts_with(b"<![CDATA[") => passive(b"<![CDATA[", b"]]>")?,
        _ if rest.starts_with(b"<!DOCTYPE") => (b"<!DOCTYPE".len(), Kind::DocType),
        // Not enough of it to tell which of these it is.
        [b'<', b'!', ..] if rest.len() < 9 => return None,
        [b'<', b'/', ..] => {
            let length = find(rest, 2, b">")? + 1;
            let name = name(&rest[2..length]);
            (length, Kind::Close { name })
        }
        _ => {
            let length = tag_end(rest)? + 1;
            let empty = rest[..length].ends_with(b"/>");
            let name = name(&rest[1..length]);
            (length, Kind::Open { name, empty })
        }
    };
    Some(Piece {
        start,
        end: start + length,
        kind,
    })
}

/// The place of `wanted` in `bytes`, at `from` or later.
pub(super) fn find(bytes: &[u8], from: usize, wanted: &[u8]) -> Option<usize> {
    let rest = bytes.get(from..)?;
    rest.windows(wanted.len())
        .position(|window| window == wanted)
        .map(|at| from + at)
}

/// The `>` that ends a tag, which is not one inside an attribute's value.
fn tag_end(tag: &[u8]) -> Option<usize> {
    let mut quote = None;
    for (at, byte) in tag.iter().enumerate() {
        match (quote, byte) {
            (None, b'>') => return Some(at),
            (None, b'"' | b'\'') => quote = Some(byte),
            (Some(open), byte) if byte == open => quote = None,
            _ => {}
        }
    }
    None
}

fn name(tag: &[u8]) -> &[u8] {
    let ends = |byte: &u8| byte.is_ascii_whitespace() || matches!(byte, b'/' | b'>');
    let end = tag.iter().position(ends).unwrap_or(tag.len());
    &tag[..end]
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn kinds(text: &str) -> Vec<(&str, Kind<'_>)> {
        let mut at = 0;
        let mut found = Vec::new();
        while let Some(piece) = next_piece(text.as_bytes(), at) {
            at = piece.end;
            found.push((&text[piece.start..piece.end], piece.kind));
        }
        found
    }

    #[test]
    fn pieces_are_told_apart() {
        let text = "<?xml version='1.0'?><a b=\"x>y\" c='/>'>t<!-- <a> --><b/>\
                    <![CDATA[</a>]]></a ><!DOCTYPE x";
        assert_eq!(
            kinds(text),
            [
                ("<?xml version='1.0'?>", Kind::Instruction),
                (
                    "<a b=\"x>y\" c='/>'>",
                    Kind::Open {
                        name: b"a",
                        empty: false
                    }
                ),
                ("<!-- <a> -->", Kind::Passive),
                (
                    "<b/>",
                    Kind::Open {
                        name: b"b",
                        empty: true
                    }
                ),
                ("<![CDATA[</a>]]>", Kind::Passive),
                ("</a >", Kind::Close { name: b"a" }),
                ("<!DOCTYPE", Kind::DocType),
            ]
        );
    }

    proptest! {
        #[test]
        fn what_was_found_stays_found_when_more_comes(text in "[<>!/?\"a \\-]{0,30}", cut: usize) {
            let bytes = text.as_bytes();
            let cut = cut % (bytes.len() + 1);
            if let Some(early) = next_piece(&bytes[..cut], 0) {
                prop_assert_eq!(Some(early), next_piece(bytes, 0));
            }
        }
    }
}
