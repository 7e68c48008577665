//! The acts over time, as a picture that needs no script, with the same in words.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde_json::{Value, json};

use crate::audit::words;
use crate::locale::Lang;

/// Steps of the picture from left to right.
const STEPS: u64 = 60;

/// Width of the picture, in units.
const WIDTH: u64 = 720;

/// Height of one track, in units.
const TRACK: u64 = 72;

/// Most height of a bar, in units.
const BAR: u64 = 40;

/// Milliseconds of the finest step that is kept.
const FINEST_MS: u64 = 1_000;

/// How many steps are kept. With more, they are made coarser.
const MOST_KEPT: usize = 20_000;

/// How much coarser.
const COARSER: u64 = 60;

const MINUTE_MS: u64 = 60_000;

/// The acts of one member over time.
#[derive(Clone)]
pub struct Track {
    /// Milliseconds of a step.
    step_ms: u64,
    /// How many acts, by step since 1970.
    acts: BTreeMap<u64, u64>,
    /// When places that do not hold were acted on, in milliseconds since 1970.
    trouble: Vec<u64>,
    newest_ms: u64,
    oldest_ms: Option<u64>,
}

impl Default for Track {
    fn default() -> Self {
        Self {
            step_ms: FINEST_MS,
            acts: BTreeMap::new(),
            trouble: Vec::new(),
            newest_ms: 0,
            oldest_ms: None,
        }
    }
}

impl Track {
    /// Counts an act.
    pub fn act(&mut self, time_ms: u64) {
        *self.acts.entry(time_ms / self.step_ms).or_default() += 1;
        while self.acts.len() > MOST_KEPT {
            self.step_ms = self.step_ms.saturating_mul(COARSER);
            self.acts = self.grouped(COARSER);
        }
        self.newest_ms = self.newest_ms.max(time_ms);
        self.oldest_ms = Some(self.oldest_ms.unwrap_or(time_ms).min(time_ms));
    }

    /// The acts, so many steps taken together.
    fn grouped(&self, steps: u64) -> BTreeMap<u64, u64> {
        let mut grouped = BTreeMap::new();
        for (step, acts) in &self.acts {
            *grouped.entry(step / steps).or_default() += acts;
        }
        grouped
    }

    /// The acts by minute, or by a longer step if that is all that was kept: its beginning in
    /// milliseconds since 1970.
    fn by_minute(&self) -> Vec<(u64, u64)> {
        let steps = (MINUTE_MS / self.step_ms).max(1);
        let begins = |step: u64| step * steps * self.step_ms;
        let grouped = self.grouped(steps).into_iter();
        grouped.map(|(step, acts)| (begins(step), acts)).collect()
    }

    /// Marks a place that does not hold.
    pub fn trouble(&mut self, time_ms: u64) {
        self.trouble.push(time_ms);
    }
}

/// The picture.
pub struct Timeline {
    tracks: Vec<(String, Track)>,
    from_ms: u64,
    to_ms: u64,
    title: String,
    alternative: String,
}

impl Timeline {
    pub(super) fn new(lang: Lang, tracks: Vec<(String, Track)>) -> Self {
        let from_ms = tracks.iter().filter_map(|(_, track)| track.oldest_ms).min();
        let to_ms = tracks.iter().map(|(_, track)| track.newest_ms).max();
        let (from_ms, to_ms) = (from_ms.unwrap_or(0), to_ms.unwrap_or(0));
        let acts: u64 = tracks
            .iter()
            .flat_map(|(_, track)| track.acts.values())
            .sum();
        let trouble: usize = tracks.iter().map(|(_, track)| track.trouble.len()).sum();
        let names: Vec<String> = tracks.iter().map(|(name, _)| name.clone()).collect();
        Self {
            title: lang.text("report-timeline"),
            alternative: lang.with(
                "report-timeline-alt",
                &[
                    ("rows", words::list(lang, &names).into()),
                    ("from", words::moment(from_ms).into()),
                    ("to", words::moment(to_ms).into()),
                    ("acts", acts.into()),
                    ("trouble", trouble.into()),
                ],
            ),
            tracks,
            from_ms,
            to_ms,
        }
    }

    /// What the picture shows, in words.
    pub(super) fn alternative(&self) -> &str {
        &self.alternative
    }

    pub(super) fn to_json(&self) -> Value {
        let tracks: Vec<Value> = self
            .tracks
            .iter()
            .map(|(name, track)| {
                let acts = track.by_minute();
                json!({"name": name, "acts_by_minute": acts, "trouble_ms": track.trouble})
            })
            .collect();
        json!({
            "from_ms": self.from_ms,
            "to_ms": self.to_ms,
            "tracks": tracks,
            "alternative": self.alternative,
        })
    }

    /// The picture as inline SVG.
    pub(super) fn to_svg(&self) -> String {
        let height = TRACK * self.tracks.len() as u64 + 28;
        let mut svg = String::new();
        // Writing to a string cannot fail.
        let _ = write!(
            svg,
            r#"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img" aria-labelledby="timeline-title timeline-alt"><title id="timeline-title">{}</title><desc id="timeline-alt">{}</desc>"#,
            escape(&self.title),
            escape(&self.alternative)
        );
        for (number, (name, track)) in (0_u64..).zip(&self.tracks) {
            self.draw(&mut svg, TRACK * number, name, track);
        }
        let bottom = height - 8;
        let _ = write!(
            svg,
            r#"<text x="0" y="{bottom}">{}</text><text x="{WIDTH}" y="{bottom}" text-anchor="end">{}</text></svg>"#,
            words::moment(self.from_ms),
            words::moment(self.to_ms)
        );
        svg
    }

    fn draw(&self, svg: &mut String, top: u64, name: &str, track: &Track) {
        let base = top + TRACK - 8;
        let mut steps = [0_u64; STEPS as usize];
        for (at, acts) in &track.acts {
            let step = self.step(at * track.step_ms);
            if let Some(slot) = steps.get_mut(step as usize) {
                *slot += acts;
            }
        }
        let most = steps.iter().copied().max().unwrap_or(0).max(1);
        let _ = write!(
            svg,
            r#"<text x="0" y="{}" class="name">{}</text><path d="M0 {base}H{WIDTH}" class="axis"/>"#,
            top + 16,
            escape(name)
        );
        let width = WIDTH / STEPS;
        for (step, acts) in (0_u64..).zip(steps).filter(|(_, acts)| *acts > 0) {
            let tall = (acts * BAR).div_ceil(most).max(2);
            let _ = write!(
                svg,
                r#"<rect x="{}" y="{}" width="{}" height="{tall}" class="bar"/>"#,
                step * width + 1,
                base - tall,
                width - 2
            );
        }
        for at in &track.trouble {
            let x = self.step(*at) * width + width / 2;
            let (left, right, y) = (x.saturating_sub(6), x + 6, top + 20);
            let _ = write!(
                svg,
                r#"<path d="M{left} {y}H{right}L{x} {}Z" class="trouble"/>"#,
                y + 10
            );
        }
    }

    fn step(&self, at_ms: u64) -> u64 {
        let span = (self.to_ms - self.from_ms).max(1);
        let within = at_ms.saturating_sub(self.from_ms).min(span);
        (within * STEPS / span).min(STEPS - 1)
    }
}

/// Text within SVG.
fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bars(track: Track) -> usize {
        let timeline = Timeline::new(Lang::English, vec![("pl".to_owned(), track)]);
        timeline.to_svg().matches("class=\"bar\"").count()
    }

    #[test]
    fn acts_of_a_few_minutes_stand_apart() {
        let at = |seconds: u64| {
            let mut track = Track::default();
            for act in 0..10 {
                track.act(1_790_000_000_000 + act * seconds * 1_000);
            }
            track
        };
        for seconds in [1, 6, 30, 300, 86_400] {
            assert_eq!(bars(at(seconds)), 10, "every {seconds} seconds");
        }
        assert_eq!(bars(at(0)), 1);
    }

    #[test]
    fn a_long_log_is_kept_coarser_and_loses_no_act() {
        let mut track = Track::default();
        for act in 0..100_000_u64 {
            track.act(1_790_000_000_000 + act * 7_000);
        }
        track.act(1_790_000_000_000);
        assert!(track.acts.len() <= MOST_KEPT);
        let by_minute = track.by_minute();
        assert_eq!(by_minute.iter().map(|(_, acts)| acts).sum::<u64>(), 100_001);
        assert!(by_minute.iter().all(|(begins, _)| begins % MINUTE_MS == 0));
        assert_eq!(bars(track), STEPS as usize);
    }
}
