//! Quotas: exactly so much, drawn on once, over a restart too, and anew the next day.

use std::time::Duration;

use tonic::{Code, Status};
use tonic_types::StatusExt as _;
use wayhome::ambient::ManualClock;
use wayhome::linkage::RuleTable;
use wayhome::proto::exchange as pb;

use crate::coalition::Coalition;
use crate::forge::{DAY_MS, Sent, evaluation, lookup, refusal, standing_clock};

const SUBJECTS: u64 = 5;
const EVALUATIONS: u64 = 10;

/// Elements that enrolling one record may take: its own keys and those with its siblings.
fn enrolment() -> usize {
    let rules = RuleTable::shipped().unwrap();
    rules.slots() + rules.sibling_slot_rules().len()
}

/// A coalition in which `ua` may ask for little.
async fn scene() -> (Coalition, ManualClock) {
    let (clock, ambient) = standing_clock();
    let coalition = Coalition::start_at(ambient, |roster| {
        for member in &mut roster.members {
            if member.id.as_str() == "ua" {
                member.quotas.subjects_per_day = SUBJECTS;
                member.quotas.evaluations_per_day = EVALUATIONS;
                member.quotas.enrolment_records = 1;
            }
        }
    })
    .await;
    (coalition, clock)
}

async fn look_up(coalition: &Coalition, from: &str, subjects: usize) -> Result<(), Status> {
    let message = lookup(coalition, from, "pl", subjects).sign();
    let channel = coalition.channel(from, "pl").await;
    pb::LookupQuery::send(channel, message).await.map(drop)
}

async fn evaluate(coalition: &Coalition, elements: usize) -> Result<(), Status> {
    let message = evaluation(coalition, "ua", "pl", elements).sign();
    let channel = coalition.channel("ua", "pl").await;
    pb::EvaluationQuery::send(channel, message).await.map(drop)
}

/// Checks that `refused` says which quota is used up, how far, and when there is more.
fn is_used_up(refused: &Status, quota: &str, told: &str, retry: Duration) {
    assert_eq!(
        refusal(refused),
        (Code::ResourceExhausted, "QUOTA_EXCEEDED".to_owned())
    );
    let details = refused.get_error_details();
    assert_eq!(details.retry_info().unwrap().retry_delay, Some(retry));
    let violations = &details.quota_failure().unwrap().violations;
    assert_eq!(violations.len(), 1);
    assert_eq!(violations[0].subject, quota);
    assert_eq!(violations[0].description, told);
}

#[tokio::test]
async fn subjects_are_counted_to_the_last_one() {
    let (mut coalition, clock) = scene().await;
    let to_midnight = Duration::from_secs(16 * 3600);
    look_up(&coalition, "ua", 3).await.unwrap();
    // A call that asks for more than is left draws nothing, and neither does one that is wrong.
    let refused = look_up(&coalition, "ua", 3).await.unwrap_err();
    is_used_up(&refused, "subjects_per_day", "3 of 5 used", to_midnight);
    let wrong = lookup(&coalition, "ua", "pl", 2)
        .payload(|query| query.rules_digest = vec![1; 32])
        .sign();
    let channel = coalition.channel("ua", "pl").await;
    let refused = pb::LookupQuery::send(channel.clone(), wrong)
        .await
        .err()
        .unwrap();
    assert_eq!(refusal(&refused).1, "WRONG_RULES");

    let last = lookup(&coalition, "ua", "pl", 2).sign();
    pb::LookupQuery::send(channel.clone(), last.clone())
        .await
        .unwrap();
    let refused = look_up(&coalition, "ua", 1).await.unwrap_err();
    is_used_up(&refused, "subjects_per_day", "5 of 5 used", to_midnight);
    // What was answered is answered again and draws nothing; others have a quota of their own.
    pb::LookupQuery::send(channel, last).await.unwrap();
    look_up(&coalition, "de", 6).await.unwrap();

    coalition.stop_node("pl").await;
    coalition.start_node("pl").await;
    let refused = look_up(&coalition, "ua", 1).await.unwrap_err();
    is_used_up(&refused, "subjects_per_day", "5 of 5 used", to_midnight);

    // The last moment of the day, and the first of the next.
    clock.advance_ms(16 * 3_600_000 - 1);
    let refused = look_up(&coalition, "ua", 1).await.unwrap_err();
    is_used_up(
        &refused,
        "subjects_per_day",
        "5 of 5 used",
        Duration::from_secs(1),
    );
    clock.advance_ms(1);
    look_up(&coalition, "ua", 5).await.unwrap();
    let refused = look_up(&coalition, "ua", 1).await.unwrap_err();
    is_used_up(
        &refused,
        "subjects_per_day",
        "5 of 5 used",
        Duration::from_millis(DAY_MS),
    );
}

#[tokio::test]
async fn no_race_gets_more_than_the_quota() {
    let (coalition, _) = scene().await;
    let channel = coalition.channel("ua", "pl").await;
    let asks = (0..3 * SUBJECTS).map(|_| {
        let message = lookup(&coalition, "ua", "pl", 1).sign();
        pb::LookupQuery::send(channel.clone(), message)
    });
    let outcomes = futures_util::future::join_all(asks).await;
    let (answered, refused): (Vec<_>, Vec<_>) = outcomes.into_iter().partition(Result::is_ok);
    assert_eq!(answered.len() as u64, SUBJECTS);
    for refused in refused {
        let refused = refused.err().unwrap();
        assert_eq!(refusal(&refused).1, "QUOTA_EXCEEDED");
    }
}

#[tokio::test]
async fn evaluations_draw_on_enrolment_first_and_then_on_the_day() {
    let (mut coalition, clock) = scene().await;
    let to_midnight = Duration::from_secs(16 * 3600);
    evaluate(&coalition, enrolment() - 4).await.unwrap();
    // More than the register's allowance has left: this is searching, and draws on the day.
    evaluate(&coalition, 6).await.unwrap();
    evaluate(&coalition, 4).await.unwrap();
    let refused = evaluate(&coalition, 5).await.unwrap_err();
    is_used_up(&refused, "evaluations_per_day", "6 of 10 used", to_midnight);
    let last = evaluation(&coalition, "ua", "pl", 4).sign();
    let channel = coalition.channel("ua", "pl").await;
    let answer = pb::EvaluationQuery::send(channel.clone(), last.clone())
        .await
        .unwrap();
    let refused = evaluate(&coalition, 1).await.unwrap_err();
    is_used_up(
        &refused,
        "evaluations_per_day",
        "10 of 10 used",
        to_midnight,
    );
    let again = pb::EvaluationQuery::send(channel, last).await.unwrap();
    assert!(again == answer, "the very same answer, and no further draw");

    coalition.stop_node("pl").await;
    coalition.start_node("pl").await;
    let refused = evaluate(&coalition, 1).await.unwrap_err();
    is_used_up(
        &refused,
        "evaluations_per_day",
        "10 of 10 used",
        to_midnight,
    );

    // The day's allowance begins anew; that for the register is for the whole key epoch.
    clock.advance_ms(DAY_MS);
    evaluate(&coalition, EVALUATIONS as usize).await.unwrap();
    let refused = evaluate(&coalition, 1).await.unwrap_err();
    is_used_up(
        &refused,
        "evaluations_per_day",
        "10 of 10 used",
        to_midnight,
    );
}

#[tokio::test]
async fn a_member_without_a_quota_asks_nothing() {
    let (_, ambient) = standing_clock();
    let coalition = Coalition::start_at(ambient, |roster| {
        for member in &mut roster.members {
            if member.id.as_str() == "ua" {
                member.quotas = wayhome::roster::Quotas::default();
            }
        }
    })
    .await;
    let to_midnight = Duration::from_secs(16 * 3600);
    let refused = look_up(&coalition, "ua", 1).await.unwrap_err();
    is_used_up(&refused, "subjects_per_day", "0 of 0 used", to_midnight);
    let refused = evaluate(&coalition, 1).await.unwrap_err();
    is_used_up(&refused, "evaluations_per_day", "0 of 0 used", to_midnight);
}
