//! Dates and their wildcard forms.
//!
//! A wrong digit, a swapped day and month, or a missing part must still leave something equal. One
//! key each holds the date without its year, without its month and without its day, so whichever
//! single part is wrong, one key survives; one more holds the year with day and month in sorted
//! order, which survives their swapping. Registers write 1 January for an unknown day: such a date
//! still yields its keys, but its day and month are not counted as known, so that differing from it
//! speaks against nobody.

use zeroize::Zeroizing;

use super::attributes::Date;

/// The forms of one date, each absent when its precision does not carry it.
pub struct DateForms {
    /// Year, month and day.
    pub full: Option<Zeroizing<String>>,
    /// Month and day, any year.
    pub month_day: Option<Zeroizing<String>>,
    /// Year and month, any day.
    pub year_month: Option<Zeroizing<String>>,
    /// Year and day, any month.
    pub year_day: Option<Zeroizing<String>>,
    /// Year with the smaller and the larger of day and month; absent where no swap is possible.
    pub year_swap: Option<Zeroizing<String>>,
    /// Year.
    pub year: Option<Zeroizing<String>>,
    /// Whether month and day count as known.
    pub exact: bool,
    /// Whether the month counts as known.
    pub month_known: bool,
}

/// Takes a date apart. A date that no calendar has is as good as none.
#[must_use]
pub fn forms(date: Date) -> DateForms {
    let mut out = DateForms {
        full: None,
        month_day: None,
        year_month: None,
        year_day: None,
        year_swap: None,
        year: None,
        exact: false,
        month_known: false,
    };
    if Date::new(date.year, date.month, date.day).is_none() {
        return out;
    }
    let year = date.year;
    out.year = Some(Zeroizing::new(format!("{year:04}")));
    let Some(month) = date.month else { return out };
    out.year_month = Some(Zeroizing::new(format!("{year:04}-{month:02}")));
    out.month_known = date.day.is_none() || !is_placeholder(month, date.day);
    let Some(day) = date.day else { return out };
    out.full = Some(Zeroizing::new(format!("{year:04}-{month:02}-{day:02}")));
    out.month_day = Some(Zeroizing::new(format!("{month:02}-{day:02}")));
    out.year_day = Some(Zeroizing::new(format!("{year:04}-{day:02}")));
    if day <= 12 && day != month {
        let (low, high) = (day.min(month), day.max(month));
        out.year_swap = Some(Zeroizing::new(format!("{year:04}-{low:02}-{high:02}")));
    }
    out.exact = !is_placeholder(month, Some(day));
    out
}

fn is_placeholder(month: u8, day: Option<u8>) -> bool {
    month == 1 && day == Some(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(y: i32, m: u8, d: u8) -> DateForms {
        forms(Date {
            year: y,
            month: Some(m),
            day: Some(d),
        })
    }

    #[test]
    fn one_wrong_part_leaves_one_form() {
        let a = of(2013, 6, 14);
        assert!(a.month_day == of(2018, 6, 14).month_day);
        assert!(a.year_day == of(2013, 9, 14).year_day);
        assert!(a.year_month == of(2013, 6, 15).year_month);
        assert!(of(2013, 6, 4).year_swap == of(2013, 4, 6).year_swap);
        assert!(a.year_swap.is_none());
    }

    #[test]
    fn the_first_of_january_is_not_held_against_anyone() {
        assert!(!of(2013, 1, 1).exact && of(2013, 1, 1).full.is_some());
        assert!(of(2013, 1, 2).exact);
    }

    #[test]
    fn impossible_dates_have_no_forms() {
        assert!(of(2013, 2, 30).year.is_none());
    }
}
