//! What a form sent: read from the two encodings that browsers have, within limits.

use axum::body::Bytes;

/// Most fields of one form.
const MAX_FIELDS: usize = 200;

/// Longest value of a field that is no file, in octets.
pub const MAX_VALUE: usize = 16 * 1024;

/// What a form sent. It has no `Debug`: people type personal data.
#[derive(Clone, Default)]
pub struct Values(Vec<(String, String)>);

/// A file that a form sent.
pub struct Upload {
    /// What its sender calls it.
    pub name: String,
    /// What is in it.
    pub content: Bytes,
}

/// What is wrong with what a browser sent. No form of ours sends such a thing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// More fields than any form has.
    #[error("more than {MAX_FIELDS} fields")]
    Fields,
    /// A value that is too long.
    #[error("a value of more than {MAX_VALUE} octets")]
    Long,
    /// Not UTF-8.
    #[error("a value that is not UTF-8")]
    Utf8,
    /// Not in one of the two encodings.
    #[error("neither of the encodings of forms")]
    Encoding,
}

impl Values {
    /// Reads `application/x-www-form-urlencoded`.
    ///
    /// # Errors
    /// [`Malformed`].
    pub fn from_urlencoded(body: &[u8]) -> Result<Self, Malformed> {
        let mut values = Self::default();
        for (name, value) in form_urlencoded::parse(body) {
            values.add(&name, &value)?;
        }
        Ok(values)
    }

    /// Reads `multipart/form-data` (RFC 7578): fields, and at most one file.
    ///
    /// # Errors
    /// [`Malformed`].
    pub fn from_multipart(
        body: &Bytes,
        boundary: &str,
    ) -> Result<(Self, Option<Upload>), Malformed> {
        let mut values = Self::default();
        let mut upload = None;
        let delimiter = format!("\r\n--{boundary}");
        let first = format!("--{boundary}");
        if boundary.is_empty() || !body.starts_with(first.as_bytes()) {
            return Err(Malformed::Encoding);
        }
        let mut at = first.len();
        loop {
            let rest = body.get(at..).unwrap_or_default();
            if rest.starts_with(b"--") {
                return Ok((values, upload));
            }
            let rest = rest.strip_prefix(b"\r\n").ok_or(Malformed::Encoding)?;
            let head_end = find(rest, b"\r\n\r\n").ok_or(Malformed::Encoding)?;
            let head = std::str::from_utf8(&rest[..head_end]).map_err(|_| Malformed::Utf8)?;
            let start = at + 2 + head_end + 4;
            let content = body.get(start..).unwrap_or_default();
            let length = find(content, delimiter.as_bytes()).ok_or(Malformed::Encoding)?;
            at = start + length + delimiter.len();
            let disposition = head
                .split("\r\n")
                .find(|line| {
                    line.get(..20)
                        .is_some_and(|name| name.eq_ignore_ascii_case("content-disposition:"))
                })
                .ok_or(Malformed::Encoding)?;
            let name = parameter(disposition, "name").ok_or(Malformed::Encoding)?;
            match parameter(disposition, "filename") {
                Some(file) => {
                    if length > 0 {
                        upload = Some(Upload {
                            name: file,
                            content: body.slice(start..start + length),
                        });
                    }
                }
                None => {
                    let value =
                        std::str::from_utf8(&content[..length]).map_err(|_| Malformed::Utf8)?;
                    values.add(&name, value)?;
                }
            }
        }
    }

    /// The same as one text, to be kept.
    #[must_use]
    pub fn to_urlencoded(&self) -> String {
        form_urlencoded::Serializer::new(String::new())
            .extend_pairs(&self.0)
            .finish()
    }

    fn add(&mut self, name: &str, value: &str) -> Result<(), Malformed> {
        if self.0.len() >= MAX_FIELDS {
            return Err(Malformed::Fields);
        }
        if value.len() > MAX_VALUE || name.len() > MAX_VALUE {
            return Err(Malformed::Long);
        }
        // A line break is all that a person can mean by a control character.
        let value: String = value
            .replace("\r\n", "\n")
            .chars()
            .filter(|c| !c.is_control() || matches!(c, '\n' | '\t'))
            .collect();
        self.0.push((name.to_owned(), value));
        Ok(())
    }

    /// A value, without the space around it; empty if there is none.
    #[must_use]
    pub fn get(&self, name: &str) -> &str {
        self.raw(name).trim()
    }

    /// A value as it was sent; empty if there is none.
    #[must_use]
    pub fn raw(&self, name: &str) -> &str {
        self.0
            .iter()
            .find(|(known, _)| known == name)
            .map_or("", |(_, value)| value.as_str())
    }

    /// All values of one name.
    #[must_use]
    pub fn all(&self, name: &str) -> Vec<String> {
        self.0
            .iter()
            .filter(|(known, _)| known == name)
            .map(|(_, value)| value.clone())
            .collect()
    }

    /// Whether one of the values of a name is this one.
    #[must_use]
    pub fn has(&self, name: &str, value: &str) -> bool {
        self.0
            .iter()
            .any(|(known, sent)| known == name && sent == value)
    }

    /// Whether nothing was sent.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Without a value, for passwords and codes: they are never kept.
    #[must_use]
    pub fn without(mut self, names: &[&str]) -> Self {
        self.0.retain(|(known, _)| !names.contains(&known.as_str()));
        self
    }

    /// A date of three fields as `YYYY-MM-DD`, as far as it is known; what cannot be one stays as it
    /// was typed, for the reader of records to say what is wrong with it.
    #[must_use]
    pub fn date(&self, name: &str) -> String {
        let part = |which: &str| self.get(&format!("{name}-{which}")).to_owned();
        let (day, month, year) = (part("day"), part("month"), part("year"));
        let padded = |text: &str| match text.len() {
            1 => format!("0{text}"),
            _ => text.to_owned(),
        };
        match (day.is_empty(), month.is_empty(), year.is_empty()) {
            (true, true, true) => String::new(),
            (true, true, false) => year,
            (true, false, false) => format!("{year}-{}", padded(&month)),
            (false, false, false) => format!("{year}-{}-{}", padded(&month), padded(&day)),
            _ => format!("{day}.{month}.{year}"),
        }
    }
}

fn find(hay: &[u8], needle: &[u8]) -> Option<usize> {
    // The delimiter begins with a carriage return, which registers hardly have: this is linear.
    let first = *needle.first()?;
    let mut from = 0;
    while let Some(at) = hay.get(from..)?.iter().position(|octet| *octet == first) {
        if hay.get(from + at..)?.starts_with(needle) {
            return Some(from + at);
        }
        from += at + 1;
    }
    None
}

/// A quoted parameter of a header.
fn parameter(header: &str, name: &str) -> Option<String> {
    let opening = format!("; {name}=\"");
    let start = header.find(&opening)? + opening.len();
    let rest = &header[start..];
    let end = rest.find('"')?;
    Some(rest[..end].replace("%22", "\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_form_sends_is_read_as_it_was_meant() {
        let values = Values::from_urlencoded(
            "given_name=%D0%9E%D0%BB%D1%8F+&note=a%0D%0Ab%00c&fields=x&fields=y".as_bytes(),
        )
        .unwrap();
        assert_eq!(values.get("given_name"), "Оля");
        assert_eq!(values.raw("note"), "a\nbc");
        assert_eq!(values.all("fields"), ["x", "y"]);
        assert!(values.has("fields", "y") && !values.has("fields", "z"));
        assert_eq!(values.get("none"), "");
        let again = Values::from_urlencoded(values.to_urlencoded().as_bytes()).unwrap();
        assert_eq!(again.to_urlencoded(), values.to_urlencoded());
    }

    #[test]
    fn a_form_has_limits() {
        let many = "a=1&".repeat(MAX_FIELDS + 1);
        assert_eq!(
            Values::from_urlencoded(many.as_bytes()).err(),
            Some(Malformed::Fields)
        );
        let long = format!("a={}", "x".repeat(MAX_VALUE + 1));
        assert_eq!(
            Values::from_urlencoded(long.as_bytes()).err(),
            Some(Malformed::Long)
        );
    }

    #[test]
    fn a_date_is_as_long_as_it_is_known() {
        let date = |text: &str| Values::from_urlencoded(text.as_bytes()).unwrap().date("d");
        assert_eq!(date("d-day=3&d-month=5&d-year=2014"), "2014-05-03");
        assert_eq!(date("d-month=5&d-year=2014"), "2014-05");
        assert_eq!(date("d-year=2014"), "2014");
        assert_eq!(date(""), "");
        assert_eq!(date("d-day=3&d-year=2014"), "3..2014");
    }

    #[test]
    fn a_file_comes_with_its_fields() {
        let body = "--xx\r\nContent-Disposition: form-data; name=\"seal\"\r\n\r\nabc\r\n\
                    --xx\r\nContent-Disposition: form-data; name=\"file\"; filename=\"r.csv\"\r\n\
                    Content-Type: text/csv\r\n\r\na,b\r\n1,2\r\n\r\n--xx--\r\n";
        let (values, file) = Values::from_multipart(&Bytes::from(body), "xx").unwrap();
        let file = file.unwrap();
        assert_eq!(values.get("seal"), "abc");
        assert_eq!(file.name, "r.csv");
        assert_eq!(&file.content[..], b"a,b\r\n1,2\r\n");
    }

    #[test]
    fn a_broken_multipart_is_refused_wherever_it_breaks() {
        let whole = "--xx\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n1\r\n--xx--";
        for cut in 0..whole.len() {
            let body = Bytes::from(whole[..cut].to_owned());
            assert!(Values::from_multipart(&body, "xx").is_err(), "{cut}");
        }
        assert!(Values::from_multipart(&Bytes::from(whole), "xx").is_ok());
        assert!(Values::from_multipart(&Bytes::from(whole), "").is_err());
    }
}
