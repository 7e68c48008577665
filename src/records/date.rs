//! Dates of which more or less is known, and the forms in which registers write them.

use unicode_normalization::UnicodeNormalization;
use zeroize::{Zeroize, ZeroizeOnDrop};

use super::month_names::{fold, is_filler, months_of};
use crate::vault::PersonalText;

/// Why a date was refused. The date itself is not repeated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DateError {
    /// No calendar has that day or month.
    #[error("impossible date: the calendar has no such day or month")]
    Impossible,

    /// The year is outside what this program takes for a birth or an event of today's children.
    #[error("year out of range: it must be from {EARLIEST_YEAR} to {LATEST_YEAR}")]
    YearOutOfRange,

    /// The year has two digits.
    #[error("the year has two digits, which leaves the century open: write all four")]
    TwoDigitYear,

    /// The month's name means different months in different languages.
    #[error(
        "the month's name means October in Croatian and November in Polish and Czech: write the \
         month as a number"
    )]
    AmbiguousMonth,

    /// A time of day, which a time zone may have moved to the next or previous day.
    #[error(
        "has a time of day, and a time zone may have moved it to another day: write the date alone"
    )]
    TimeOfDay,

    /// None of the forms that are read.
    #[error(
        "not a date in a form that is read here: write 2014-05-03, 2014-05, 2014, 03.05.2014 or 3 \
         May 2014"
    )]
    UnknownForm,
}

/// The first year read.
pub(super) const EARLIEST_YEAR: u16 = 1900;
/// The last year read.
pub(super) const LATEST_YEAR: u16 = 2100;

/// Which of two numbers before a year is the day, where the numbers leave it open.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DateOrder {
    /// `03/05/2014` is 3 May, as in nearly all member states.
    #[default]
    DayFirst,
    /// `03/05/2014` is 5 March, as in the United States.
    MonthFirst,
}

/// What the form of one date showed of the order in which its file writes dates. A file that shows
/// both orders, or the other than was assumed, has dates that were misread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OrderShown {
    /// `23/05/2014`: day first.
    DayFirst,
    /// `05/23/2014`: month first.
    MonthFirst,
    /// `03/05/2014`: read by the order given.
    Either,
    /// `2014-05-03`, `3 May 2014`, `05/05/2014`: no matter.
    Neither,
}

/// A date of the Gregorian calendar of which the year, the year and month, or the whole is known.
///
/// It is personal data: no `Debug`, no `Display`, wiped when dropped.
///
/// ```compile_fail,E0277
/// let date = wayhome::records::PartialDate::from_iso("2014-05-03").ok().unwrap();
/// println!("{:?}", date);
/// ```
///
/// ```
/// let date = wayhome::records::PartialDate::from_iso("2014-05").ok().unwrap();
/// assert_eq!((date.year(), date.month(), date.day()), (2014, Some(5), None));
/// assert_eq!(date.to_iso().expose(), "2014-05");
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Zeroize, ZeroizeOnDrop)]
pub struct PartialDate {
    year: u16,
    month: Option<u8>,
    day: Option<u8>,
}

impl PartialDate {
    /// The date, if the calendar has it.
    ///
    /// # Errors
    /// [`DateError::YearOutOfRange`]; [`DateError::Impossible`], also for a day without a month.
    pub fn new(year: u16, month: Option<u8>, day: Option<u8>) -> Result<Self, DateError> {
        if !(EARLIEST_YEAR..=LATEST_YEAR).contains(&year) {
            return Err(DateError::YearOutOfRange);
        }
        let possible = match (month, day) {
            (None, None) => true,
            (None, Some(_)) => false,
            (Some(month), None) => (1..=12).contains(&month),
            (Some(month), Some(day)) => (1..=days_in(year, month)).contains(&day),
        };
        if !possible {
            return Err(DateError::Impossible);
        }
        Ok(Self { year, month, day })
    }

    /// Reads a date in any of the usual national forms, with the year in four digits:
    ///
    /// * `2014-05-03`, `2014-05`, `2014`, also with `.`, `/` or spaces; `20140503`; `2014年5月3日`;
    /// * `03.05.2014`, `3/5/2014`, `03052014`, `05.2014`;
    /// * with the month's name in the languages of member states or as a Roman numeral:
    ///   `3 травня 2014 р.`, `May 3, 2014`, `3. Mai 2014`, `2014 m. gegužės 3 d.`, `3 V 2014`;
    /// * `00` or `XX` for a day, or a day and month, that is not known: `00.05.2014`;
    /// * a midnight after it, as spreadsheets and databases export dates: `03.05.2014 0:00:00`.
    ///
    /// Of two numbers before the year, the one above 12 is the day. Where both can be the month,
    /// `order` decides.
    ///
    /// # Errors
    /// [`DateError`], which says what to write in its place.
    pub fn parse(text: &str, order: DateOrder) -> Result<Self, DateError> {
        Self::parse_noting_order(text, order).map(|(date, _)| date)
    }

    /// [`parse`](Self::parse), and what the form showed of the file's date order.
    ///
    /// # Errors
    /// As [`parse`](Self::parse).
    pub fn parse_noting_order(
        text: &str,
        order: DateOrder,
    ) -> Result<(Self, OrderShown), DateError> {
        read(&tokens(without_midnight(text.trim())?)?, order)
    }

    /// The part of an impossible date that may well be right: its year, and its month where the form
    /// tells which number it is and the calendar has it. `2014-02-31` is February 2014, `20131335` is
    /// 2013. Nothing where the text is a date, or is none at all.
    ///
    /// For whoever must make do with foreign data and says so; an import refuses such a date, since
    /// only who keeps the register can tell what it should be.
    #[must_use]
    pub fn possible_part(text: &str, order: DateOrder) -> Option<Self> {
        if !matches!(Self::parse(text, order), Err(DateError::Impossible)) {
            return None;
        }
        let (year, month) = year_and_month(&tokens(without_midnight(text.trim()).ok()?).ok()?)?;
        let year = u16::try_from(year).ok()?;
        let month = month.and_then(|month| u8::try_from(month).ok());
        Self::new(year, month, None)
            .or_else(|_| Self::new(year, None, None))
            .ok()
    }

    /// Reads `2014`, `2014-05` or `2014-05-03`, and nothing else.
    ///
    /// # Errors
    /// [`DateError`].
    pub fn from_iso(text: &str) -> Result<Self, DateError> {
        let mut parts = text.split('-');
        let year = number(parts.next(), 4)?.ok_or(DateError::UnknownForm)?;
        // Two digits fit one byte.
        let month = number(parts.next(), 2)?.map(|month| month as u8);
        let day = number(parts.next(), 2)?.map(|day| day as u8);
        if parts.next().is_some() {
            return Err(DateError::UnknownForm);
        }
        Self::new(year, month, day)
    }

    /// `2014`, `2014-05` or `2014-05-03`, as far as the date is known.
    #[must_use]
    pub fn to_iso(&self) -> PersonalText {
        PersonalText::new(match (self.month, self.day) {
            (Some(month), Some(day)) => format!("{:04}-{month:02}-{day:02}", self.year),
            (Some(month), None) => format!("{:04}-{month:02}", self.year),
            (None, _) => format!("{:04}", self.year),
        })
    }

    /// The year, 1900 to 2100.
    #[must_use]
    pub fn year(&self) -> u16 {
        self.year
    }

    /// The month, 1 to 12, if it is known.
    #[must_use]
    pub fn month(&self) -> Option<u8> {
        self.month
    }

    /// The day of the month, if it is known.
    #[must_use]
    pub fn day(&self) -> Option<u8> {
        self.day
    }
}

fn days_in(year: u16, month: u8) -> u8 {
    let leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        4 | 6 | 9 | 11 => 30,
        2 if leap => 29,
        2 => 28,
        _ => 0,
    }
}

fn number(part: Option<&str>, digits: usize) -> Result<Option<u16>, DateError> {
    let Some(part) = part else { return Ok(None) };
    if part.len() != digits || !part.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(DateError::UnknownForm);
    }
    part.parse().map(Some).map_err(|_| DateError::UnknownForm)
}

/// The longest text that can be a date, in bytes; bounds the work on foreign input.
const LONGEST: usize = 120;

/// A part of a written date.
#[derive(Clone, Copy)]
enum Token {
    /// A number of one to eight digits. A stated "unknown" (`XX`) is the number 0 in two digits.
    Number { digits: usize, value: u32 },
    /// A month by its name.
    Month(u8),
}

/// Cuts off a midnight that a spreadsheet or database put after the date.
fn without_midnight(text: &str) -> Result<&str, DateError> {
    let Some(colon) = text.find(':') else {
        return Ok(text);
    };
    let (date, time) = text[..colon]
        .rfind(['T', 't', ' '])
        .map(|at| (&text[..at], &text[at + 1..]))
        .ok_or(DateError::UnknownForm)?;
    let time = time.trim_end_matches(['Z', 'z']);
    if time.bytes().all(|byte| matches!(byte, b'0' | b':' | b'.')) {
        Ok(date)
    } else {
        Err(DateError::TimeOfDay)
    }
}

fn tokens(text: &str) -> Result<Vec<Token>, DateError> {
    if text.is_empty() || text.len() > LONGEST {
        return Err(DateError::UnknownForm);
    }
    let mut found = Vec::new();
    // Compatibility forms first: full-width digits and the like are digits then.
    let mut rest: &str = &zeroize::Zeroizing::new(text.nfkc().collect::<String>());
    let bare = |c: char| !(c.is_alphanumeric() || c == '.');
    if rest.starts_with(bare) || rest.ends_with(bare) {
        return Err(DateError::UnknownForm);
    }
    while let Some(first) = rest.chars().next() {
        let same_kind: fn(char) -> bool = if first.is_ascii_digit() {
            |c| c.is_ascii_digit()
        } else if first.is_alphabetic() {
            |c| c.is_alphabetic()
        } else if is_separator(first) {
            rest = &rest[first.len_utf8()..];
            continue;
        } else {
            return Err(DateError::UnknownForm);
        };
        let end = rest.find(|c| !same_kind(c)).unwrap_or(rest.len());
        let (part, after) = rest.split_at(end);
        rest = after;
        if first.is_ascii_digit() {
            found.push(Token::Number {
                digits: part.len(),
                value: Some(part)
                    .filter(|part| part.len() <= 8)
                    .and_then(|part| part.parse().ok())
                    .ok_or(DateError::UnknownForm)?,
            });
        } else if let Some(token) = word(part)? {
            found.push(token);
        }
    }
    Ok(found)
}

fn is_separator(c: char) -> bool {
    c.is_whitespace() || "./-‐‑–—,'’ʼ".contains(c)
}

fn word(part: &str) -> Result<Option<Token>, DateError> {
    let folded = zeroize::Zeroizing::new(fold(part));
    if folded.as_str() == "xx" {
        return Ok(Some(Token::Number {
            digits: 2,
            value: 0,
        }));
    }
    if is_filler(&folded) {
        return Ok(None);
    }
    let months = months_of(&folded).ok_or(DateError::UnknownForm)?;
    let month = months.only().ok_or(DateError::AmbiguousMonth)?;
    Ok(Some(Token::Month(month)))
}

fn read(tokens: &[Token], order: DateOrder) -> Result<(PartialDate, OrderShown), DateError> {
    use Token::{Month, Number};
    let plain = |year, month, day| Ok((dated(year, month, day)?, OrderShown::Neither));
    match *tokens {
        [
            Number {
                digits: 4,
                value: y,
            },
        ] => plain(y, 0, 0),
        [Number { digits: 8, value }] => compact(value, order),

        [
            Number {
                digits: 4,
                value: y,
            },
            Number {
                digits: 1 | 2,
                value: m,
            },
        ]
        | [
            Number {
                digits: 1 | 2,
                value: m,
            },
            Number {
                digits: 4,
                value: y,
            },
        ] => plain(y, m, 0),

        [
            Number {
                digits: 4,
                value: y,
            },
            Number {
                digits: 1 | 2,
                value: m,
            },
            Number {
                digits: 1 | 2,
                value: d,
            },
        ] => plain(y, m, d),

        [
            Number {
                digits: 1 | 2,
                value: a,
            },
            Number {
                digits: 1 | 2,
                value: b,
            },
            Number {
                digits: 4,
                value: y,
            },
        ] => ordered(a, b, y, order),

        [
            Month(m),
            Number {
                digits: 4,
                value: y,
            },
        ]
        | [
            Number {
                digits: 4,
                value: y,
            },
            Month(m),
        ] => plain(y, u32::from(m), 0),

        [
            Number {
                digits: 1 | 2,
                value: d,
            },
            Month(m),
            Number {
                digits: 4,
                value: y,
            },
        ]
        | [
            Month(m),
            Number {
                digits: 1 | 2,
                value: d,
            },
            Number {
                digits: 4,
                value: y,
            },
        ]
        | [
            Number {
                digits: 4,
                value: y,
            },
            Month(m),
            Number {
                digits: 1 | 2,
                value: d,
            },
        ]
        | [
            Number {
                digits: 4,
                value: y,
            },
            Number {
                digits: 1 | 2,
                value: d,
            },
            Month(m),
        ] => plain(y, u32::from(m), d),

        [
            Number { digits: 1 | 2, .. },
            Number { digits: 1 | 2, .. } | Month(_),
            Number { digits: 1 | 2, .. },
        ] => Err(DateError::TwoDigitYear),

        _ => Err(DateError::UnknownForm),
    }
}

/// Eight digits. Whether the year stands first or last shows in the two digits after the first
/// four: they are a month, or a century that no month can be.
fn compact(value: u32, order: DateOrder) -> Result<(PartialDate, OrderShown), DateError> {
    let century = value / 100 % 100;
    if (19..=21).contains(&century) {
        let (a, b) = (value / 1_000_000, value / 10_000 % 100);
        return ordered(a, b, value % 10_000, order);
    }
    let date = dated(value / 10_000, century, value % 100)?;
    Ok((date, OrderShown::Neither))
}

/// Year, and month where its place shows, of a date that need not be possible.
fn year_and_month(tokens: &[Token]) -> Option<(u32, Option<u32>)> {
    use Token::{Month, Number};
    if let [Number { digits: 8, value }] = *tokens {
        let century = value / 100 % 100;
        // In a day and month before the year either may be which.
        return Some(if (19..=21).contains(&century) {
            (value % 10_000, None)
        } else {
            (value / 10_000, Some(century))
        });
    }
    let mut years = tokens.iter().filter_map(|token| match token {
        Number { digits: 4, value } => Some(*value),
        _ => None,
    });
    let year = years.next()?;
    let named = tokens.iter().find_map(|token| match token {
        Month(month) => Some(u32::from(*month)),
        Number { .. } => None,
    });
    let month = match *tokens {
        _ if named.is_some() => named,
        [Number { digits: 4, .. }, Number { value, .. }, ..] => Some(value),
        [
            Number { value: a, .. },
            Number { value: b, .. },
            Number { digits: 4, .. },
        ] => [b, a].into_iter().find(|number| (1..=12).contains(number)),
        _ => None,
    };
    Some((year, month))
}

fn ordered(
    first: u32,
    second: u32,
    year: u32,
    order: DateOrder,
) -> Result<(PartialDate, OrderShown), DateError> {
    let (shown, day_first) = match (first > 12, second > 12) {
        (true, false) => (OrderShown::DayFirst, true),
        (false, true) => (OrderShown::MonthFirst, false),
        (true, true) => return Err(DateError::Impossible),
        (false, false) if first == second => (OrderShown::Neither, true),
        (false, false) => (OrderShown::Either, order == DateOrder::DayFirst),
    };
    let date = if day_first {
        dated(year, second, first)
    } else {
        dated(year, first, second)
    };
    Ok((date?, shown))
}

/// A date from numbers as written, in which 0 is a month or day that is not known.
fn dated(year: u32, month: u32, day: u32) -> Result<PartialDate, DateError> {
    let year = u16::try_from(year).map_err(|_| DateError::YearOutOfRange)?;
    let part = |value: u32| match value {
        0 => Ok(None),
        value => u8::try_from(value)
            .map(Some)
            .map_err(|_| DateError::Impossible),
    };
    PartialDate::new(year, part(month)?, part(day)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn iso(text: &str, order: DateOrder) -> Result<String, DateError> {
        PartialDate::parse(text, order).map(|date| date.to_iso().expose().clone())
    }

    fn day_first(text: &str) -> Result<String, DateError> {
        iso(text, DateOrder::DayFirst)
    }

    #[test]
    fn of_an_impossible_date_the_possible_part_is_kept() {
        for (text, part) in [
            ("2014-02-31", Some("2014-02")),
            ("31.04.2014", Some("2014-04")),
            ("04/31/2014", Some("2014-04")),
            ("31 April 2014", Some("2014-04")),
            ("20131335", Some("2013")),
            ("20130231", Some("2013-02")),
            ("2014-13-05", Some("2014")),
            ("35.13.2014", Some("2014")),
            ("32132014", Some("2014")),
            // Dates, and what is none.
            ("2014-02-28", None),
            ("2014", None),
            ("18350231", None),
            ("31.04.14", None),
            ("soon", None),
            ("", None),
        ] {
            let found = PartialDate::possible_part(text, DateOrder::DayFirst);
            let found = found.map(|date| date.to_iso().expose().clone());
            assert_eq!(found.as_deref(), part, "{text}");
        }
    }

    #[test]
    fn the_usual_national_forms_are_read_with_their_precision() {
        for (text, expected) in [
            ("2014", "2014"),
            ("2014-05", "2014-05"),
            ("2014-05-03", "2014-05-03"),
            ("2014/05/03", "2014-05-03"),
            ("2014.5.3", "2014-05-03"),
            ("20140503", "2014-05-03"),
            ("03.05.2014", "2014-05-03"),
            ("3.5.2014", "2014-05-03"),
            ("3. 5. 2014", "2014-05-03"),
            ("05.2014", "2014-05"),
            ("03/05/2014", "2014-05-03"),
            ("03-05-2014", "2014-05-03"),
            ("03 05 2014", "2014-05-03"),
            ("03052014", "2014-05-03"),
            ("23102010", "2010-10-23"),
            ("3 травня 2014", "2014-05-03"),
            ("3 мая 2014", "2014-05-03"),
            ("3 мая 2014 г.", "2014-05-03"),
            ("3 травня 2014 р.", "2014-05-03"),
            ("2014 р.", "2014"),
            ("2014 рік", "2014"),
            ("травень 2014", "2014-05"),
            ("03.05.2014 р.н.", "2014-05-03"),
            ("3-го травня 2014 року", "2014-05-03"),
            ("3 May 2014", "2014-05-03"),
            ("May 3, 2014", "2014-05-03"),
            ("May 3rd, 2014", "2014-05-03"),
            ("3rd of May 2014", "2014-05-03"),
            ("3. Mai 2014", "2014-05-03"),
            ("3 maja 2014", "2014-05-03"),
            ("3 maja 2014 r.", "2014-05-03"),
            ("1er août 2014", "2014-08-01"),
            ("3. května 2014", "2014-05-03"),
            ("3. cervna 2014", "2014-06-03"),
            ("3 de mayo de 2014", "2014-05-03"),
            ("3º maio 2014", "2014-05-03"),
            ("2014. május 3.", "2014-05-03"),
            ("2014 m. gegužės 3 d.", "2014-05-03"),
            ("2014. gada 3. maijs", "2014-05-03"),
            ("3 Μαΐου 2014", "2014-05-03"),
            ("3 MAYIS 2014", "2014-05-03"),
            ("3.V.2014", "2014-05-03"),
            ("3 XII 2014", "2014-12-03"),
            ("2014年5月3日", "2014-05-03"),
            ("２０１４", "2014"),
            ("03-May-2014", "2014-05-03"),
            ("2014-05-00", "2014-05"),
            ("2014-00-00", "2014"),
            ("00.00.2014", "2014"),
            ("00.05.2014", "2014-05"),
            ("2014-XX-XX", "2014"),
            ("XX.05.2014", "2014-05"),
            ("2014-05-03T00:00:00Z", "2014-05-03"),
            ("03.05.2014 0:00:00", "2014-05-03"),
            ("2014-05-03 00:00:00.000", "2014-05-03"),
            (" 2014 ", "2014"),
            ("29.02.2016", "2016-02-29"),
            ("29.02.2000", "2000-02-29"),
            ("1900", "1900"),
            ("12 listopadu 2014", "2014-11-12"),
            ("12 листопада 2014", "2014-11-12"),
        ] {
            assert_eq!(day_first(text).as_deref(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn what_cannot_be_read_says_why() {
        use DateError::{
            AmbiguousMonth, Impossible, TimeOfDay, TwoDigitYear, UnknownForm, YearOutOfRange,
        };
        for (text, expected) in [
            ("2014-02-30", Impossible),
            ("29.02.2015", Impossible),
            ("29.02.1900", Impossible),
            ("31.04.2014", Impossible),
            ("2014-13", Impossible),
            ("13.2014", Impossible),
            ("32.01.2014", Impossible),
            ("13.13.2014", Impossible),
            ("20141301", Impossible),
            ("0 травня 2014 5", UnknownForm),
            ("05.00.2014", Impossible),
            ("31 червня 2014", Impossible),
            ("1899", YearOutOfRange),
            ("2101-01-01", YearOutOfRange),
            ("0000-05-03", YearOutOfRange),
            ("03.05.14", TwoDigitYear),
            ("3 травня 14", TwoDigitYear),
            ("14-05-03", TwoDigitYear),
            ("3 listopada 2014", AmbiguousMonth),
            ("2014-05-02T22:00:00Z", TimeOfDay),
            ("2014-05-03 00:00:00+03:00", TimeOfDay),
            ("", UnknownForm),
            ("невідомо", UnknownForm),
            ("~2014", UnknownForm),
            ("2014?", UnknownForm),
            ("2013-2014", UnknownForm),
            ("-2014", UnknownForm),
            ("140503", UnknownForm),
            ("3 5", UnknownForm),
            ("травень", UnknownForm),
            ("3 травня червня 2014", UnknownForm),
            ("12:00", UnknownForm),
            ("٢٠١٤", UnknownForm),
            ("99999999999999999999", UnknownForm),
            ("...", UnknownForm),
        ] {
            assert_eq!(day_first(text), Err(expected), "{text}");
        }
    }

    #[test]
    fn the_order_matters_only_where_the_numbers_leave_it_open() {
        use OrderShown::{DayFirst, Either, MonthFirst, Neither};
        for (text, as_day_first, as_month_first, shown) in [
            ("03/05/2014", "2014-05-03", "2014-03-05", Either),
            ("05/13/2014", "2014-05-13", "2014-05-13", MonthFirst),
            ("13/05/2014", "2014-05-13", "2014-05-13", DayFirst),
            ("05/05/2014", "2014-05-05", "2014-05-05", Neither),
            ("2014-03-05", "2014-03-05", "2014-03-05", Neither),
            ("03052014", "2014-05-03", "2014-03-05", Either),
        ] {
            assert_eq!(day_first(text).as_deref(), Ok(as_day_first));
            let month_first = iso(text, DateOrder::MonthFirst);
            assert_eq!(month_first.as_deref(), Ok(as_month_first));
            let (_, found) = PartialDate::parse_noting_order(text, DateOrder::DayFirst)
                .ok()
                .unwrap();
            assert_eq!(found, shown, "{text}");
        }
    }

    #[test]
    fn iso_reads_its_three_forms_and_no_other() {
        for text in ["2014", "2014-05", "2014-05-03"] {
            assert_eq!(
                PartialDate::from_iso(text).ok().unwrap().to_iso().expose(),
                text
            );
        }
        for text in [
            "",
            "2014-5",
            "2014-05-",
            "+014-05-03",
            "2014-05-03-01",
            "2014-00",
            "20140503",
        ] {
            assert!(PartialDate::from_iso(text).is_err(), "{text}");
        }
    }

    #[test]
    fn no_error_repeats_the_date() {
        for text in [
            "2014-02-30",
            "31.04.2014",
            "3 listopada 2014",
            "1899",
            "23.05.14",
        ] {
            let message = day_first(text).unwrap_err().to_string();
            assert!(!message.contains(text), "{message}");
        }
    }

    /// The civil calendar by another road: days counted from an epoch (H. Hinnant,
    /// "chrono-compatible low-level date algorithms").
    fn from_days(days: i64) -> (u16, u8, u8) {
        let z = days + 719_468;
        let era = z.div_euclid(146_097);
        let doe = z.rem_euclid(146_097);
        let yoe = (doe - doe / 1460 + doe / 36_524 - doe / 146_096) / 365;
        let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
        let mp = (5 * doy + 2) / 153;
        let day = doy - (153 * mp + 2) / 5 + 1;
        let month = if mp < 10 { mp + 3 } else { mp - 9 };
        let year = yoe + era * 400 + i64::from(month <= 2);
        (year as u16, month as u8, day as u8)
    }

    #[test]
    fn exactly_the_calendars_days_exist() {
        // 1900-01-01 to 2100-12-31 in days since 1970-01-01.
        let mut expected = (-25_567..=47_846).map(from_days).peekable();
        assert_eq!(expected.peek(), Some(&(1900, 1, 1)));
        let mut found = Vec::new();
        for year in 1899..=2101 {
            for month in 0..=13 {
                for day in 0..=32 {
                    if PartialDate::new(year, Some(month), Some(day)).is_ok() {
                        found.push((year, month, day));
                    }
                }
            }
        }
        assert!(found.into_iter().eq(expected));
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text: String) {
            let _ = PartialDate::parse(&text, DateOrder::DayFirst);
        }

        #[test]
        fn near_dates_never_panic(text in "[0-9X./ :T\\-травняIV]{0,24}") {
            let _ = PartialDate::parse(&text, DateOrder::MonthFirst);
        }

        #[test]
        fn every_written_form_of_a_date_reads_as_it(days in -25_567_i64..=47_846) {
            let (y, m, d) = from_days(days);
            let expected = format!("{y:04}-{m:02}-{d:02}");
            for text in [
                expected.clone(),
                format!("{d}.{m}.{y}"),
                format!("{d:02}/{m:02}/{y}"),
                format!("{y}{m:02}{d:02}"),
                format!("{d:02}{m:02}{y}"),
            ] {
                prop_assert_eq!(day_first(&text), Ok(expected.clone()));
            }
        }
    }
}
