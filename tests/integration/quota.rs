//! Quotas: exactly so much, drawn on once, over a restart too, and anew the next day.

use std::time::Duration;

use tonic::{Code, Status};
use tonic_types::StatusExt as _;
use wayhome::ambient::ManualClock;
use wayhome::linkage::RuleTable;
use wayhome::node::{Config, Directory};
use wayhome::proto::exchange as pb;
use wayhome::proto::operator as op;
use wayhome::proto::operator::membership_service_client::MembershipServiceClient;
use wayhome::proto::operator::quota_service_client::QuotaServiceClient;

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

/// The alerts that a node's operator is shown, the oldest first.
pub async fn alerts(coalition: &Coalition, id: &str) -> Vec<(String, String)> {
    let mut alerts: Vec<_> = QuotaServiceClient::new(coalition.operator(id).await)
        .list_alerts(op::ListAlertsRequest { count: 0 })
        .await
        .unwrap()
        .into_inner()
        .alerts
        .into_iter()
        .map(|alert| (alert.member, alert.alert))
        .collect();
    alerts.reverse();
    alerts
}

#[tokio::test]
async fn the_operator_is_warned_at_four_fifths_and_shown_what_is_left() {
    let (coalition, clock) = scene().await;
    look_up(&coalition, "ua", 3).await.unwrap();
    assert_eq!(alerts(&coalition, "pl").await, []);
    look_up(&coalition, "ua", 1).await.unwrap();
    let nearly = "QUOTA_NEARLY_USED quota=subjects_per_day used=4 limit=5";
    let nearly = ("ua".to_owned(), nearly.to_owned());
    assert_eq!(
        alerts(&coalition, "pl").await,
        std::slice::from_ref(&nearly)
    );
    // Told once, and of what is asked beyond it once more.
    for _ in 0..3 {
        look_up(&coalition, "ua", 2).await.unwrap_err();
    }
    let used_up = "QUOTA_USED_UP quota=subjects_per_day used=5 limit=5";
    let used_up = ("ua".to_owned(), used_up.to_owned());
    assert_eq!(alerts(&coalition, "pl").await, [nearly, used_up]);
    let leaves = coalition.leaves("pl", 0).await;
    let raised = leaves
        .iter()
        .filter(|leaf| leaf.act() == pb::Act::AlertRaised && leaf.peer == "ua");
    assert_eq!(raised.count(), 2);

    let shown = |coalition: &Coalition| {
        let operator = coalition.path("pl").join("operator.sock");
        async move {
            QuotaServiceClient::new(wayhome::node::operator_client(&operator).await.unwrap())
                .list_quotas(op::ListQuotasRequest {})
                .await
                .unwrap()
                .into_inner()
                .here
                .into_iter()
                .find(|quota| quota.member == "ua" && quota.quota == "subjects_per_day")
                .map(|quota| (quota.used, quota.limit))
        }
    };
    assert_eq!(shown(&coalition).await, Some((4, 5)));
    // A new day begins anew, alerts too.
    clock.advance_ms(DAY_MS);
    assert_eq!(shown(&coalition).await, Some((0, 5)));
    look_up(&coalition, "ua", 4).await.unwrap();
    assert_eq!(alerts(&coalition, "pl").await.len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_knows_what_it_has_used_elsewhere_as_far_as_it_was_told() {
    let coalition = Coalition::start().await;
    crate::exchange::search_described(&coalition, "ua").await;
    let quotas = QuotaServiceClient::new(coalition.operator("ua").await)
        .list_quotas(op::ListQuotasRequest {})
        .await
        .unwrap()
        .into_inner();
    let at_pl = quotas
        .elsewhere
        .iter()
        .find(|quota| quota.member == "pl" && quota.quota == "subjects_per_day")
        .expect("it was told");
    assert_eq!((at_pl.used, at_pl.limit), (1, 10_000));
}

#[tokio::test]
async fn many_subjects_by_night_are_told_of() {
    let (clock, ambient) = standing_clock();
    let coalition = Coalition::start_at(ambient, |_| {}).await;
    let mut config = Config::load(&Directory::new(coalition.path("pl"))).unwrap();
    config.alerts.night_subjects = 4;
    Directory::new(coalition.path("pl"))
        .write("node.toml", &config.to_text())
        .unwrap();
    MembershipServiceClient::new(coalition.operator("pl").await)
        .take_files(op::TakeFilesRequest {})
        .await
        .unwrap();
    // 08:00 UTC is day, 23:00 is night.
    look_up(&coalition, "ua", 9).await.unwrap();
    assert_eq!(alerts(&coalition, "pl").await, []);
    clock.advance_ms(15 * 3_600_000);
    look_up(&coalition, "ua", 2).await.unwrap();
    assert_eq!(alerts(&coalition, "pl").await, []);
    look_up(&coalition, "ua", 3).await.unwrap();
    let told = ("ua".to_owned(), "NIGHT_BURST subjects=5".to_owned());
    assert_eq!(alerts(&coalition, "pl").await, [told]);
}

#[tokio::test]
async fn a_caller_that_hangs_up_keeps_no_alert_from_being_raised() {
    use wayhome::exchange::leaf::Leaf;
    use wayhome::exchange::{quota, unusual};
    use wayhome::store::Act;

    let coalition = Coalition::found(|_| {});
    let directory = Directory::new(coalition.path("pl"));
    let opened = wayhome::node::open_party(&directory, &coalition.ambient)
        .await
        .unwrap();
    let party = &opened.party;
    let asker = coalition.member("ua").clone();
    let (leaf, _) = Leaf::new(
        pb::Act::LookupAnswered,
        party.ambient(),
        &pb::Outcome::default(),
    )
    .finish();
    let mut act = Act::alone(leaf);
    // All that the asker has for the day, at once.
    let limit = asker.quotas.subjects_per_day;
    act.debits.push(quota::subjects(party, &asker, limit));
    {
        let answering = unusual::commit_watched(party, &asker, act);
        tokio::pin!(answering);
        // Begun, and given up at once: nobody waits for the answer any more.
        tokio::select! {
            biased;
            _ = &mut answering => panic!("an act was durable at once"),
            () = std::future::ready(()) => {}
        }
    }
    let raised = async {
        loop {
            let leaves = coalition.leaves("pl", 0).await;
            let alert = leaves
                .into_iter()
                .find(|leaf| leaf.act() == pb::Act::AlertRaised);
            if let Some(alert) = alert {
                return alert;
            }
        }
    };
    let alert = tokio::time::timeout(Duration::from_secs(60), raised)
        .await
        .expect("the alert was lost with the caller");
    assert_eq!(alert.peer, "ua");
    assert!(
        alert
            .reference
            .starts_with("QUOTA_USED_UP quota=subjects_per_day"),
        "{}",
        alert.reference
    );
}
