//! One measured number, and the arithmetic that makes one number of many.

use std::fmt;

use serde_json::{Value, json};

/// A measured number.
#[derive(Clone, Debug)]
pub struct Figure {
    /// Its stable name.
    pub name: &'static str,
    /// The number.
    pub value: f64,
    /// Its unit; empty for a pure number.
    pub unit: &'static str,
    /// What it is held against, and that number.
    pub reference: Option<(&'static str, f64)>,
}

impl Figure {
    /// A number that is held against nothing.
    #[must_use]
    pub fn new(name: &'static str, value: f64, unit: &'static str) -> Self {
        Self {
            name,
            value,
            unit,
            reference: None,
        }
    }

    /// Holds it against another number of the same unit.
    #[must_use]
    pub fn against(mut self, reference: &'static str, value: f64) -> Self {
        self.reference = Some((reference, value));
        self
    }

    /// The stable form for machines.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let (reference, reference_value) = self.reference.unzip();
        let ratio = reference_value
            .filter(|value| *value != 0.0)
            .map(|value| self.value / value);
        json!({
            "figure": self.name,
            "value": self.value,
            "unit": self.unit,
            "reference": reference,
            "reference_value": reference_value,
            "ratio": ratio,
        })
    }
}

impl fmt::Display for Figure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "  {:<28} {:>14.3} {}", self.name, self.value, self.unit)?;
        if let Some((reference, value)) = self.reference {
            write!(f, "  ({reference}: {value:.3})")?;
        }
        Ok(())
    }
}

/// The middle of some numbers; 0 of none.
#[must_use]
pub fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    match sorted.len() {
        0 => 0.0,
        odd if odd % 2 == 1 => sorted[odd / 2],
        even => f64::midpoint(sorted[even / 2 - 1], sorted[even / 2]),
    }
}

/// Mean and sample variance of some numbers; both 0 of fewer than two.
#[must_use]
pub fn mean_and_variance(values: &[f64]) -> (f64, f64) {
    if values.len() < 2 {
        return (0.0, 0.0);
    }
    let count = values.len() as f64;
    let mean = values.iter().sum::<f64>() / count;
    let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    (mean, squares / (count - 1.0))
}

/// Welch's t between two samples: how many standard errors their means lie apart, whatever their
/// variances. Beyond 4.5 either way, by the convention of leakage tests (ISO/IEC 17825), two
/// samples do not come from one distribution.
#[must_use]
pub fn welch_t(a: &[f64], b: &[f64]) -> f64 {
    let ((mean_a, variance_a), (mean_b, variance_b)) = (mean_and_variance(a), mean_and_variance(b));
    let error = (variance_a / a.len() as f64 + variance_b / b.len() as f64).sqrt();
    if error > 0.0 {
        (mean_a - mean_b) / error
    } else if mean_a == mean_b {
        0.0
    } else {
        f64::INFINITY.copysign(mean_a - mean_b)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_in_the_middle() {
        assert!((median(&[3.0, 1.0, 2.0]) - 2.0).abs() < f64::EPSILON);
        assert!((median(&[4.0, 1.0, 2.0, 3.0]) - 2.5).abs() < f64::EPSILON);
        assert!(median(&[]).abs() < f64::EPSILON);
    }

    /// Computed with Python's `statistics` module.
    const WELCH: f64 = -1.2099420601679047;

    #[test]
    fn welchs_t_is_the_published_formula() {
        let a = [27.5, 21.0, 19.0, 23.6, 17.0, 17.9];
        let b = [27.1, 22.0, 20.8, 23.4, 23.4];
        let t = welch_t(&a, &b);
        assert!((t - WELCH).abs() < 1e-9, "{t}");
        assert!((welch_t(&b, &a) + t).abs() < 1e-12);
    }

    #[test]
    fn equal_constants_do_not_differ_and_others_do() {
        assert!(welch_t(&[1.0, 1.0], &[1.0, 1.0, 1.0]).abs() < f64::EPSILON);
        assert!(welch_t(&[2.0, 2.0], &[1.0, 1.0]) > 1e300);
        assert!(welch_t(&[1.0, 1.0], &[2.0, 2.0]) < -1e300);
    }

    #[test]
    fn a_figure_states_its_ratio() {
        let figure = Figure::new("x_per_second", 50.0, "1/s").against("bare", 100.0);
        assert_eq!(figure.to_json()["ratio"], 0.5);
        assert!(Figure::new("t", 1.0, "").to_json()["ratio"].is_null());
    }
}
