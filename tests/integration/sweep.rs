//! A member with valid keys that invents identities: what it gets is its quota, and it is seen.

use wayhome::exchange::lookup::MAX_SUBJECTS;
use wayhome::oprf::MAX_BATCH;
use wayhome::proto::exchange as pb;

use crate::coalition::Coalition;
use crate::forge::{Draft, Sent as _, blinded, lookup, refusal, standing_clock};
use crate::quota::alerts;

/// Identities that the attacker makes up.
const INVENTED: usize = 100_000;

/// What the roster lets the attacker have in a day.
const EVALUATIONS: u64 = 2_500;
const SUBJECTS: u64 = 3_500;

/// A hostile `ua`, that goes round its own node; its register is empty.
async fn scene() -> Coalition {
    let (_, ambient) = standing_clock();
    Coalition::start_at(ambient, |roster| {
        for member in &mut roster.members {
            if member.id.as_str() == "ua" {
                member.quotas.evaluations_per_day = EVALUATIONS;
                member.quotas.subjects_per_day = SUBJECTS;
                member.quotas.enrolment_records = 0;
            }
        }
    })
    .await
}

/// What the log of `id` says it did for `ua`: how much was answered, and how often it refused.
async fn logged(coalition: &Coalition, id: &str, act: pb::Act) -> (u64, usize) {
    let leaves = coalition.leaves(id, 0).await;
    let of = |wanted: pb::Act| {
        leaves
            .iter()
            .filter(move |leaf| leaf.act() == wanted && leaf.peer == "ua")
    };
    let answered = of(act).map(|leaf| u64::from(leaf.count)).sum();
    let refused = of(pb::Act::QueryRefused).filter(|leaf| leaf.reference == "QUOTA_EXCEEDED");
    (answered, refused.count())
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_of_invented_identities_end_with_the_quota_at_both_keyholders() {
    let coalition = scene().await;
    // One key for each identity, which is the least an attacker could do with. To the keyholders all
    // batches look alike, so one will do for all of them.
    let elements = blinded(&coalition.ambient, MAX_BATCH);
    let batches = INVENTED.div_ceil(MAX_BATCH);
    for keyholder in ["pl", "de"] {
        let channel = coalition.channel("ua", keyholder).await;
        let mut got = 0;
        for _ in 0..batches {
            let payload = pb::EvaluationQuery {
                epoch: 1,
                keyholders: vec![2, 3],
                element_count: MAX_BATCH as u32,
                ..pb::EvaluationQuery::default()
            };
            let draft = Draft::new(&coalition, "ua", keyholder, payload, &[&elements]);
            match pb::EvaluationQuery::send(channel.clone(), draft.sign()).await {
                Ok(_) => got += MAX_BATCH as u64,
                Err(refused) => assert_eq!(refusal(&refused).1, "QUOTA_EXCEEDED"),
            }
        }
        assert!(got > 0 && got <= EVALUATIONS, "{keyholder} gave {got}");
        // Its log says the same, and its operator was told.
        let (answered, refused) = logged(&coalition, keyholder, pb::Act::EvaluationAnswered).await;
        assert_eq!(answered, got, "{keyholder}");
        assert_eq!(refused, batches - (got as usize / MAX_BATCH), "{keyholder}");
        let told = alerts(&coalition, keyholder).await;
        let used_up = ("ua".to_owned(), "QUOTA_USED_UP");
        assert!(
            told.iter()
                .any(|(member, alert)| *member == used_up.0 && alert.starts_with(used_up.1)),
            "{told:?}"
        );
    }
    // A token takes both: what the attacker can make is what the lesser of the two gave.
    let (at_pl, _) = logged(&coalition, "pl", pb::Act::EvaluationAnswered).await;
    let (at_de, _) = logged(&coalition, "de", pb::Act::EvaluationAnswered).await;
    assert_eq!(at_pl, at_de);
}

#[tokio::test(flavor = "multi_thread")]
async fn questions_about_invented_identities_end_with_the_quota() {
    let coalition = scene().await;
    let channel = coalition.channel("ua", "pl").await;
    let mut answered = 0;
    for _ in 0..INVENTED / MAX_SUBJECTS {
        let message = lookup(&coalition, "ua", "pl", MAX_SUBJECTS).sign();
        match pb::LookupQuery::send(channel.clone(), message).await {
            Ok(_) => answered += MAX_SUBJECTS as u64,
            Err(refused) => assert_eq!(refusal(&refused).1, "QUOTA_EXCEEDED"),
        }
    }
    assert!(answered > 0 && answered <= SUBJECTS, "{answered}");
    let (logged, refused) = logged(&coalition, "pl", pb::Act::LookupAnswered).await;
    assert_eq!(logged, answered);
    assert_eq!(
        refused as u64,
        (INVENTED as u64 - answered) / MAX_SUBJECTS as u64
    );
    let told = alerts(&coalition, "pl").await;
    assert!(
        told.iter().any(|(_, alert)| alert.starts_with("QUOTA_")),
        "{told:?}"
    );
}
