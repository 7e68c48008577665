//! Points in time: unix seconds in code, one form of RFC 3339 in the files that people read.
//!
//! A signed file must have exactly one spelling of each instant, so only `2026-03-01T00:00:00Z`
//! is read: UTC, upper case, no fraction, no offset, no leap second. That is less than any date
//! library accepts and little enough to own; the tests hold it to one.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A whole second in UTC, from 1970-01-01T00:00:00Z to 9999-12-31T23:59:59Z.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(u64);

/// A text that is not one instant written `YYYY-MM-DDTHH:MM:SSZ`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected a time in UTC written like 2026-03-01T00:00:00Z, found {0:?}")]
pub struct TimestampError(String);

const DAY: u64 = 86_400;

impl Timestamp {
    /// The last second that four digits of a year can write.
    pub const MAX: Self = Self(253_402_300_799);

    /// From unix seconds. Later instants than [`Timestamp::MAX`] become `MAX`, so that every value
    /// can be written down.
    pub const fn from_unix(seconds: u64) -> Self {
        if seconds > Self::MAX.0 {
            Self::MAX
        } else {
            Self(seconds)
        }
    }

    /// Seconds since 1970-01-01T00:00:00Z.
    pub const fn unix(self) -> u64 {
        self.0
    }

    /// Whether `now` (unix seconds) is in a validity that begins at `not_before` and ends just
    /// before `not_after`.
    pub(super) const fn is_within(not_before: Self, not_after: Self, now: u64) -> bool {
        not_before.0 <= now && now < not_after.0
    }

    /// The day alone, `2026-03-01`, for sentences.
    pub fn date(self) -> String {
        let (year, month, day) = civil(self.0 / DAY);
        format!("{year:04}-{month:02}-{day:02}")
    }

    /// As a person says it: the day alone when the time is midnight, otherwise day, hour and minute.
    pub fn spoken(self) -> String {
        let rest = self.0 % DAY;
        match (rest / 3600, rest / 60 % 60, rest % 60) {
            (0, 0, 0) => self.date(),
            (hour, minute, 0) => format!("{} {hour:02}:{minute:02} UTC", self.date()),
            (hour, minute, second) => {
                format!("{} {hour:02}:{minute:02}:{second:02} UTC", self.date())
            }
        }
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rest = self.0 % DAY;
        let (hour, minute, second) = (rest / 3600, rest / 60 % 60, rest % 60);
        write!(f, "{}T{hour:02}:{minute:02}:{second:02}Z", self.date())
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Timestamp {
    type Err = TimestampError;

    fn from_str(text: &str) -> Result<Self, TimestampError> {
        parse(text.as_bytes()).ok_or_else(|| TimestampError(text.chars().take(40).collect()))
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        super::serde_text::from_text(deserializer)
    }
}

fn parse(text: &[u8]) -> Option<Timestamp> {
    const SHAPE: &[u8; 20] = b"0000-00-00T00:00:00Z";
    let text: &[u8; 20] = text.try_into().ok()?;
    let shaped = text.iter().zip(SHAPE).all(|(byte, shape)| match shape {
        b'0' => byte.is_ascii_digit(),
        fixed => byte == fixed,
    });
    if !shaped {
        return None;
    }
    let number = |from: usize, to: usize| {
        text[from..to]
            .iter()
            .fold(0u64, |sum, byte| sum * 10 + u64::from(byte - b'0'))
    };
    let (year, month, day) = (number(0, 4), number(5, 7), number(8, 10));
    let (hour, minute, second) = (number(11, 13), number(14, 16), number(17, 19));
    let possible = year >= 1970
        && (1..=12).contains(&month)
        && (1..=days_in_month(year, month)).contains(&day)
        && hour < 24
        && minute < 60
        && second < 60;
    possible.then(|| {
        let days = days_before_year(year) + days_before_month(year, month) + (day - 1);
        Timestamp(days * DAY + hour * 3600 + minute * 60 + second)
    })
}

/// Year, month and day of a count of days since 1970-01-01, in the Gregorian calendar.
fn civil(mut days: u64) -> (u64, u64, u64) {
    // A first guess that is never too late by more than a year or two, then walked up.
    let mut year = 1970 + days / 366;
    while days_before_year(year + 1) <= days {
        year += 1;
    }
    days -= days_before_year(year);
    let mut month = 1;
    while month < 12 && days_before_month(year, month + 1) <= days {
        month += 1;
    }
    (year, month, days - days_before_month(year, month) + 1)
}

fn days_before_year(year: u64) -> u64 {
    let leap_days = |year: u64| (year - 1) / 4 - (year - 1) / 100 + (year - 1) / 400;
    (year - 1970) * 365 + leap_days(year) - leap_days(1970)
}

fn days_before_month(year: u64, month: u64) -> u64 {
    (1..month).map(|earlier| days_in_month(year, earlier)).sum()
}

fn days_in_month(year: u64, month: u64) -> u64 {
    let leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    match month {
        2 if leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use time::OffsetDateTime;
    use time::format_description::well_known::Rfc3339;

    use super::*;

    proptest! {
        #[test]
        fn agrees_with_an_independent_calendar(seconds in 0..=Timestamp::MAX.unix()) {
            let ours = Timestamp::from_unix(seconds);
            let theirs = OffsetDateTime::from_unix_timestamp(seconds as i64).unwrap();
            prop_assert_eq!(ours.to_string(), theirs.format(&Rfc3339).unwrap());
            prop_assert_eq!(ours.to_string().parse::<Timestamp>().unwrap(), ours);
        }

        #[test]
        fn reads_no_more_than_the_independent_parser(
            text in "[0-9]{4}-[01][0-9]-[0-3][0-9]T[0-2][0-9]:[0-6][0-9]:[0-6][0-9]Z",
        ) {
            let theirs = OffsetDateTime::parse(&text, &Rfc3339);
            let theirs = theirs.ok().map(|time| time.unix_timestamp());
            match text.parse::<Timestamp>() {
                Ok(ours) => prop_assert_eq!(Some(ours.unix() as i64), theirs),
                Err(_) => {
                    // Theirs reads leap seconds and years before 1970; ours does not.
                    let leap_second = text.ends_with(":60Z");
                    prop_assert!(leap_second || theirs.is_none_or(|seconds| seconds < 0));
                }
            }
        }

        #[test]
        fn never_panics(text in ".{0,24}") {
            let _ = text.parse::<Timestamp>();
        }
    }

    #[test]
    fn other_spellings_are_refused() {
        for wrong in [
            "2026-03-01",
            "2026-03-01t00:00:00z",
            "2026-03-01T00:00:00.0Z",
            "2026-03-01T00:00:00+00:00",
            "2026-02-29T00:00:00Z",
            "2026-03-01T24:00:00Z",
            "1969-12-31T23:59:59Z",
        ] {
            assert!(wrong.parse::<Timestamp>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn speaks_like_a_person() {
        let spoken = |text: &str| text.parse::<Timestamp>().unwrap().spoken();
        assert_eq!(spoken("2026-03-01T00:00:00Z"), "2026-03-01");
        assert_eq!(spoken("2026-03-01T08:30:00Z"), "2026-03-01 08:30 UTC");
        assert_eq!(spoken("2026-03-01T08:30:05Z"), "2026-03-01 08:30:05 UTC");
        assert_eq!(Timestamp::from_unix(u64::MAX), Timestamp::MAX);
    }
}
