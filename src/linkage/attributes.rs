//! What a record says about a child, as the linkage sees it: borrowed, unprinted, never stored here.

/// Sex as registered. Registers that know neither leave the field out.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Sex {
    /// Female.
    Female,
    /// Male.
    Male,
}

/// A date with the precision its source had: a year, a year and month, or a day.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Date {
    /// Gregorian year.
    pub year: i32,
    /// Month 1 to 12, absent when only the year is known.
    pub month: Option<u8>,
    /// Day of the month 1 to 31, absent when only the year, or year and month, are known.
    pub day: Option<u8>,
}

impl Date {
    /// The date, or `None` when no calendar has it (31 February, month 13, a day without a month,
    /// a year outside 1 to 9999).
    #[must_use]
    pub fn new(year: i32, month: Option<u8>, day: Option<u8>) -> Option<Self> {
        if !(1..=9999).contains(&year) {
            return None;
        }
        match (month, day) {
            (None, None) => {}
            (None, Some(_)) => return None,
            (Some(m), d) => {
                if !(1..=12).contains(&m) || d.is_some_and(|d| d == 0 || d > days_in(year, m)) {
                    return None;
                }
            }
        }
        Some(Self { year, month, day })
    }
}

/// Days in a month of the Gregorian calendar; 0 for a month that does not exist.
fn days_in(year: i32, month: u8) -> u8 {
    match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        4 | 6 | 9 | 11 => 30,
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        _ => 0,
    }
}

/// The identifying attributes of one child, borrowed from a record. Every field may be absent;
/// text may be in any script and any state. It has no `Debug`, so it cannot reach a log.
#[derive(Clone, Copy, Default)]
pub struct Attributes<'a> {
    /// Family name, as written; several parts where double.
    pub family_name: Option<&'a str>,
    /// Given name or names; a patronymic written here is recognised.
    pub given_name: Option<&'a str>,
    /// Patronymic.
    pub patronymic: Option<&'a str>,
    /// Other names the child is known by (former family names, aliases), separated by `;` or `,`.
    pub other_names: Option<&'a str>,
    /// Sex.
    pub sex: Option<Sex>,
    /// Date of birth.
    pub date_of_birth: Option<Date>,
    /// Place of birth; the settlement first, then region or country.
    pub place_of_birth: Option<&'a str>,
    /// Citizenship. Too coarse to link on; kept so that the caller need not choose.
    pub citizenship: Option<&'a str>,
    /// Mother's family name.
    pub mother_family_name: Option<&'a str>,
    /// Mother's given name.
    pub mother_given_name: Option<&'a str>,
    /// Father's family name.
    pub father_family_name: Option<&'a str>,
    /// Father's given name; stands in for the patronymic where that is missing.
    pub father_given_name: Option<&'a str>,
    /// Kind of identity document.
    pub document_type: Option<&'a str>,
    /// Number of the identity document, series included.
    pub document_number: Option<&'a str>,
    /// Last known address or place of stay.
    pub last_known_place: Option<&'a str>,
}

/// One thing that a record either has or lacks. Only these reach the presence mask.
#[derive(Clone, Copy, PartialEq, Eq, Debug, PartialOrd, Ord)]
#[repr(u8)]
pub enum Field {
    /// A family name.
    Family = 0,
    /// A given name.
    Given = 1,
    /// A patronymic or the father's given name.
    Patronymic = 2,
    /// Sex.
    Sex = 3,
    /// The year of birth.
    Year = 4,
    /// Month and day of birth, other than the placeholder 1 January.
    MonthDay = 5,
    /// A place of birth finer than a country.
    Place = 6,
    /// The mother's family name.
    MotherFamily = 7,
    /// The mother's given name.
    MotherGiven = 8,
    /// A document number.
    Document = 9,
    /// A last known place.
    LastPlace = 10,
    /// The month of birth, the day being unknown or not.
    Month = 11,
    /// Not an attribute but the kind of names: something in them is East Slavic (the script, a
    /// patronymic, the ending of a family name). It tells which population a record with no more than
    /// names and dates is judged by.
    Slavic = 12,
}

/// Number of bits of a presence mask, each of which is counted in the leak budget of a lookup.
pub const PRESENCE_BITS: usize = 13;

/// Which fields a record has: bit `n` stands for the [`Field`] of that number.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Hash)]
pub struct Presence(pub u16);

impl Presence {
    /// A mask as it came over the wire; bits without a meaning are cleared.
    #[must_use]
    pub fn from_bits(bits: u16) -> Self {
        Self(bits & ((1 << PRESENCE_BITS) - 1))
    }

    /// Whether the field is there.
    #[must_use]
    pub fn has(self, field: Field) -> bool {
        self.0 & (1 << field as u8) != 0
    }

    /// Marks a field as there.
    pub fn set(&mut self, field: Field) {
        self.0 |= 1 << field as u8;
    }

    /// The fields that both masks have.
    #[must_use]
    pub fn both(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn impossible_dates_are_refused() {
        assert!(Date::new(2014, Some(2), Some(29)).is_none());
        assert!(Date::new(2016, Some(2), Some(29)).is_some());
        assert!(Date::new(2014, None, Some(3)).is_none());
        assert!(Date::new(2014, Some(13), None).is_none());
        assert!(Date::new(2014, Some(4), Some(31)).is_none());
        assert!(Date::new(0, None, None).is_none());
        assert!(Date::new(2014, Some(5), None).is_some());
    }
}
