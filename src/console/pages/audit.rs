//! How the node's own log stands, and what was found out.

use crate::console::chart;
use crate::console::forms::{At, Done, FormPage, Sent};
use crate::console::gate::Visit;
use crate::console::problem::{Problem, Stop};
use crate::console::view::{Block, Cell, Form, Page, Picture, Table, Tone};
use crate::console::words;
use crate::proto::operator as pb;
use crate::proto::operator::log_service_client::LogServiceClient;
use crate::proto::operator::quota_service_client::QuotaServiceClient;

/// The log.
pub struct Audit;

/// What a check came to, and in which words.
fn outcome(checked: &pb::CheckLogResponse) -> (Tone, &'static str) {
    match (checked.broken, checked.splits) {
        (0, 0) => (Tone::Good, "audit-checked-good"),
        (_, 0) => (Tone::Bad, "audit-checked-bad"),
        (0, _) => (Tone::Bad, "audit-checked-split"),
        _ => (Tone::Bad, "audit-checked-both"),
    }
}

/// What went on, day by day.
///
/// # Errors
/// What the node says.
pub async fn activity(visit: &Visit) -> Result<Vec<pb::ActivityDay>, Problem> {
    Ok(LogServiceClient::new(visit.api())
        .get_activity(pb::GetActivityRequest {})
        .await?
        .into_inner()
        .days)
}

fn ends(visit: &Visit, days: &[pb::ActivityDay]) -> [String; 2] {
    let day = |day: Option<&pb::ActivityDay>| {
        day.map_or_else(String::new, |day| {
            words::date(visit.lang, &words::machine_moment(day.day_ms))
        })
    };
    match days {
        [one] => [day(Some(one)), String::new()],
        _ => [day(days.first()), day(days.last())],
    }
}

fn picture(visit: &Visit, id: &str, svg: String, numbers: &[(&'static str, u64)]) -> Block {
    let numbers: Vec<(&'static str, crate::locale::Arg)> = numbers
        .iter()
        .map(|(name, number)| (*name, (*number).into()))
        .collect();
    Block::Picture(Picture {
        title: visit.text(id),
        svg,
        alternative: visit.lang.with(&format!("{id}-words"), &numbers),
    })
}

/// How the log grew.
fn growth(visit: &Visit, days: &[pb::ActivityDay]) -> Block {
    let sizes: Vec<u64> = days.iter().map(|day| day.log_size).collect();
    let [first, last] = ends(visit, days);
    let numbers = [
        ("days", days.len() as u64),
        ("first", sizes.first().copied().unwrap_or(0)),
        ("last", sizes.last().copied().unwrap_or(0)),
    ];
    let svg = chart::line(&sizes, [&first, &last]);
    picture(visit, "audit-growth", svg, &numbers)
}

/// Searches, and what was told, over the days.
#[must_use]
pub fn over_time(visit: &Visit, days: &[pb::ActivityDay]) -> [Block; 2] {
    let [first, last] = ends(visit, days);
    let numbers = |of: fn(&pb::ActivityDay) -> u64| days.iter().map(of).collect::<Vec<u64>>();
    let drawn = |id: &str, ours: Vec<u64>, theirs: Vec<u64>| {
        let totals = [
            ("days", days.len() as u64),
            ("ours", ours.iter().sum()),
            ("theirs", theirs.iter().sum()),
        ];
        let series = [("mark", ours), ("hit", theirs)]
            .map(|(class, values)| chart::Series { class, values });
        picture(visit, id, chart::bars(&series, [&first, &last]), &totals)
    };
    [
        drawn(
            "home-searches",
            numbers(|day| day.searches_asked),
            numbers(|day| day.searches_answered),
        ),
        drawn(
            "home-disclosures",
            numbers(|day| day.disclosures_received),
            numbers(|day| day.disclosures_answered),
        ),
    ]
}

impl FormPage for Audit {
    const PATH: &'static str = "/audit";

    async fn show(visit: &Visit, _at: &At, _sent: &Sent) -> Result<Page, Problem> {
        let log = LogServiceClient::new(visit.api())
            .get_log(pb::GetLogRequest {})
            .await?
            .into_inner();
        let alerts = QuotaServiceClient::new(visit.api())
            .list_alerts(pb::ListAlertsRequest { count: 100 })
            .await?
            .into_inner()
            .alerts;
        let days = activity(visit).await?;
        let lang = visit.lang;
        let names = |names: &[String]| match names.is_empty() {
            true => Cell::text(visit.text("audit-nobody")),
            false => Cell::text(names.join(", ")),
        };
        let rows = vec![
            (visit.text("audit-origin"), Cell::code(&log.origin)),
            (
                visit.text("column-state"),
                match log.not_signed.is_empty() {
                    true => Cell::tag(Tone::Good, visit.text("home-log-good")),
                    false => Cell::tag(Tone::Bad, visit.text("home-log-not-signed"))
                        .and(Cell::text(&log.not_signed)),
                },
            ),
            (
                visit.text("audit-size"),
                Cell::text(words::count(lang, "home-log-size", log.size)),
            ),
            (
                visit.text("audit-served"),
                Cell::text(words::count(lang, "home-log-size", log.served_size)),
            ),
            (visit.text("audit-cosigned"), names(&log.cosigned_by)),
            (visit.text("audit-witnesses"), names(&log.witnesses)),
            (
                visit.text("audit-promises"),
                Cell::text(log.open_receipts.to_string()),
            ),
            (
                visit.text("audit-broken"),
                match log.broken_receipts {
                    0 => Cell::tag(Tone::Good, "0"),
                    count => Cell::tag(Tone::Bad, count.to_string()),
                },
            ),
        ];
        Ok(Page::new("audit", visit.text("audit-title"))
            .text(visit.text("audit-text"))
            .summary(rows)
            .form(Form::new(Self::PATH, visit.text("audit-check")))
            .with(growth(visit, &days))
            .with(Block::Table(Table {
                caption: visit.text("audit-findings"),
                columns: ["when", "member", "what"]
                    .map(|column| visit.text(&format!("column-{column}")))
                    .into(),
                rows: log
                    .findings
                    .iter()
                    .map(|finding| {
                        vec![
                            Cell::moment(lang, finding.found_ms),
                            Cell::text(visit.party(&finding.member)),
                            Cell::tag(Tone::Bad, &finding.kind).and(Cell::text(&finding.detail)),
                        ]
                    })
                    .collect(),
                empty: visit.text("audit-findings-none"),
            }))
            .with(Block::Table(Table {
                caption: visit.text("audit-unusual"),
                columns: ["when", "member", "what"]
                    .map(|column| visit.text(&format!("column-{column}")))
                    .into(),
                rows: alerts
                    .iter()
                    .map(|alert| {
                        vec![
                            Cell::moment(lang, alert.time_ms),
                            Cell::text(visit.party(&alert.member)),
                            Cell::text(&alert.alert),
                        ]
                    })
                    .collect(),
                empty: visit.text("audit-unusual-none"),
            }))
            .heading(visit.text("audit-ombudsman"))
            .text(visit.text("audit-ombudsman-text")))
    }

    async fn act(visit: &Visit, _at: &At, _sent: &Sent) -> Result<Done, Stop> {
        let checked = LogServiceClient::new(visit.api())
            .check_log(pb::CheckLogRequest {})
            .await?
            .into_inner();
        let (tone, found) = outcome(&checked);
        Ok(Done::page(
            Page::new("audit", visit.text("audit-checked"))
                .back(Self::PATH, visit.text("nav-audit"))
                .notice(tone, visit.text("audit-checked"), visit.text(found))
                .summary(vec![
                    (
                        visit.text("audit-kept"),
                        Cell::text(checked.kept.to_string()),
                    ),
                    (
                        visit.text("audit-promises"),
                        Cell::text(checked.open.to_string()),
                    ),
                    (
                        visit.text("audit-broken"),
                        Cell::text(checked.broken.to_string()),
                    ),
                    (
                        visit.text("audit-splits"),
                        Cell::text(checked.splits.to_string()),
                    ),
                    (
                        visit.text("audit-cosignatures"),
                        Cell::text(checked.cosignatures.to_string()),
                    ),
                ]),
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_check_is_good_only_where_nothing_was_found() {
        for (broken, splits, good, words) in [
            (0, 0, true, "audit-checked-good"),
            (1, 0, false, "audit-checked-bad"),
            (0, 2, false, "audit-checked-split"),
            (3, 1, false, "audit-checked-both"),
        ] {
            let (tone, said) = outcome(&pb::CheckLogResponse {
                broken,
                splits,
                ..pb::CheckLogResponse::default()
            });
            assert_eq!((tone == Tone::Good, said), (good, words));
        }
    }
}
