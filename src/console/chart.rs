//! Pictures of numbers over days: drawn here as SVG, and said in words and in a table beside it.

use std::fmt::Write as _;

/// Width of the part that is drawn in.
const WIDTH: usize = 600;

/// Its height.
const HEIGHT: usize = 120;

/// Where it begins.
const LEFT: usize = 20;

/// Where its bottom is.
const BOTTOM: usize = 140;

/// A number of a day, and how it is drawn.
pub struct Series {
    /// The class of the stylesheet that gives it its colour.
    pub class: &'static str,
    /// A number for each day.
    pub values: Vec<u64>,
}

/// Bars, those of one day on top of each other. `ends` are the words under the first day and the last.
#[must_use]
pub fn bars(series: &[Series], ends: [&str; 2]) -> String {
    let days = series.iter().map(|one| one.values.len()).max().unwrap_or(0);
    let sum = |day: usize| -> u64 {
        let values = series.iter().filter_map(|one| one.values.get(day));
        values.sum()
    };
    let most = (0..days).map(sum).max().unwrap_or(0).max(1);
    let mut svg = begin(most);
    let step = WIDTH / days.max(1);
    for day in 0..days {
        let mut y = BOTTOM;
        for one in series {
            let value = one.values.get(day).copied().unwrap_or(0);
            let height = scaled(value, most);
            if height > 0 {
                y -= height;
                let x = LEFT + day * step + 1;
                let wide = step.saturating_sub(2).clamp(1, 40);
                let _ = write!(
                    svg,
                    "<rect class=\"{}\" x=\"{x}\" y=\"{y}\" width=\"{wide}\" height=\"{height}\"/>",
                    one.class
                );
            }
        }
    }
    end(svg, ends)
}

/// A line from day to day.
#[must_use]
pub fn line(values: &[u64], ends: [&str; 2]) -> String {
    let most = values.iter().copied().max().unwrap_or(0).max(1);
    let mut svg = begin(most);
    let last = values.len().saturating_sub(1).max(1);
    let mut path = String::new();
    for (day, value) in values.iter().enumerate() {
        let sign = if day == 0 { 'M' } else { 'L' };
        let x = LEFT + day * WIDTH / last;
        let _ = write!(path, "{sign}{x},{}", BOTTOM - scaled(*value, most));
        let _ = write!(
            svg,
            "<circle class=\"mark\" cx=\"{x}\" cy=\"{}\" r=\"3\"/>",
            BOTTOM - scaled(*value, most)
        );
    }
    let _ = write!(svg, "<path class=\"line\" d=\"{path}\"/>");
    end(svg, ends)
}

fn scaled(value: u64, most: u64) -> usize {
    let height = u128::from(value) * HEIGHT as u128 / u128::from(most);
    let height = usize::try_from(height).unwrap_or(HEIGHT);
    // What is there is seen, however little it is beside the rest.
    if value > 0 { height.max(2) } else { 0 }
}

fn begin(most: u64) -> String {
    let right = LEFT + WIDTH;
    format!(
        "<svg viewBox=\"0 0 640 170\" aria-hidden=\"true\"><path class=\"axis\" d=\"M{LEFT},{BOTTOM}H{right}\"/>\
         <text class=\"soft\" x=\"{LEFT}\" y=\"14\">{most}</text>"
    )
}

fn end(mut svg: String, ends: [&str; 2]) -> String {
    let right = LEFT + WIDTH;
    let [first, last] = ends;
    // Days are written by the program: digits and names of months.
    let _ = write!(
        svg,
        "<text class=\"soft\" x=\"{LEFT}\" y=\"160\">{first}</text>\
         <text class=\"soft\" x=\"{right}\" y=\"160\" text-anchor=\"end\">{last}</text></svg>"
    );
    svg
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_stand_on_each_other_and_none_leaves_the_picture() {
        let series = [
            Series {
                class: "mark",
                values: vec![0, 1, 1_000],
            },
            Series {
                class: "hit",
                values: vec![0, 0, 1_000],
            },
        ];
        let svg = bars(&series, ["1 May", "3 May"]);
        assert_eq!(svg.matches("<rect").count(), 3);
        // The least is seen; the two of the last day fill the height together.
        assert!(svg.contains("y=\"138\" width=\"40\" height=\"2\""), "{svg}");
        assert!(svg.contains("y=\"80\" width=\"40\" height=\"60\""), "{svg}");
        assert!(svg.contains("y=\"20\" width=\"40\" height=\"60\""), "{svg}");
        assert!(svg.contains(">2000<") && svg.contains(">3 May<"), "{svg}");
        assert!(bars(&[], ["", ""]).ends_with("</svg>"));
    }

    #[test]
    fn a_line_runs_from_edge_to_edge() {
        let svg = line(&[5, 10, 10], ["a", "b"]);
        assert!(svg.contains("M20,80L320,20L620,20"), "{svg}");
        assert!(line(&[u64::MAX], ["a", "b"]).contains("M20,20\""));
        assert!(!line(&[], ["a", "b"]).contains("<circle"));
    }
}
