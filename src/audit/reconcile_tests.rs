use super::super::sample::{Sample, entry, id, log};
use super::*;
use crate::envelope::merkle::root_of;
use crate::tlog::TreeHead;

/// Ukraine asks Poland: the two logs of one lookup.
fn exchange() -> (Vec<Entry>, Vec<Entry>) {
    let asked = entry(pb::Act::LookupAsked, "pl", 1);
    let answered = Entry {
        answer_digest: Some([8; 32]),
        ..entry(pb::Act::LookupAnswered, "ua", 1)
    };
    let received = Entry {
        answer_digest: Some([8; 32]),
        reference: "0".into(),
        ..entry(pb::Act::LookupReceived, "pl", 1)
    };
    (vec![asked, received], vec![answered])
}

/// The proofs of logs in which behind every leaf stands what the other party signed.
fn proofs(logs: &[Verification]) -> Proofs {
    let held = Insight {
        query_held: true,
        answer_held: true,
        ..Insight::default()
    };
    let mut proofs = Proofs::default();
    for log in logs {
        for (index, entry) in log.leaves() {
            proofs.take(&log.member, index, entry, &held);
        }
    }
    proofs
}

fn told(ua: Vec<Entry>, pl: Vec<Entry>) -> Vec<Verification> {
    let sample = Sample::new();
    vec![log(&sample, "ua", ua), log(&sample, "pl", pl)]
}

fn story(ua: Vec<Entry>, pl: Vec<Entry>) -> Reconciliation {
    let read = [ua.len() as u64, pl.len() as u64];
    let logs = told(ua, pl);
    let proofs = proofs(&logs);
    compare(logs, &proofs, Readings::Twice(&read))
}

fn codes(story: &Reconciliation) -> Vec<(&str, &'static str)> {
    story
        .findings
        .iter()
        .map(|finding| (finding.member.as_str(), finding.fault.code()))
        .collect()
}

#[test]
fn both_sides_tell_one_story() {
    let (ua, pl) = exchange();
    let story = story(ua, pl);
    assert_eq!(codes(&story), []);
    assert_eq!(
        (story.matched, story.open.len(), story.refused.len()),
        (1, 0, 0)
    );
}

#[test]
fn a_query_without_an_answer_is_open_and_no_fault() {
    let (mut ua, _) = exchange();
    ua.truncate(1);
    let unanswered = story(ua.clone(), Vec::new());
    assert_eq!((codes(&unanswered), unanswered.open.len()), (vec![], 1));
    // Answered, but the answer did not arrive.
    let (_, pl) = exchange();
    let lost = story(ua, pl);
    assert_eq!(
        (codes(&lost), lost.open.len(), lost.matched),
        (vec![], 1, 1)
    );
}

#[test]
fn a_refusal_is_named_with_its_reason() {
    let (mut ua, _) = exchange();
    ua.truncate(1);
    let refusal = Entry {
        reference: "QUOTA_EXCEEDED".into(),
        ..entry(pb::Act::QueryRefused, "ua", 1)
    };
    let refused = story(ua, vec![refusal.clone()]);
    assert_eq!(codes(&refused), []);
    assert_eq!(refused.refused[0].code.as_deref(), Some("QUOTA_EXCEEDED"));
    // An attempt that the asking side hides.
    assert_eq!(
        codes(&story(Vec::new(), vec![refusal])),
        [("ua", "QUERY_DENIED")]
    );
}

#[test]
fn what_one_side_denies_the_other_has() {
    let (ua, pl) = exchange();
    assert_eq!(codes(&story(Vec::new(), pl)), [("ua", "QUERY_DENIED")]);
    assert_eq!(codes(&story(ua, Vec::new())), [("pl", "ANSWER_DENIED")]);
}

#[test]
fn a_log_that_was_read_in_part_is_not_said_to_deny() {
    let spoil: [fn(&mut Verification); 2] =
        [|torn| torn.checkpoint = None, Verification::break_off];
    for spoil in spoil {
        let (ua, pl) = exchange();
        let mut asker_torn = told(Vec::new(), pl);
        spoil(&mut asker_torn[0]);
        let mut holder_torn = told(ua, Vec::new());
        spoil(&mut holder_torn[1]);
        for logs in [asker_torn, holder_torn] {
            let mut proofs = proofs(&logs);
            // A receipt that reaches beyond what was read.
            let mut receipt = receipt(9, [7; 32]);
            receipt.holder = id("ua");
            proofs.promises.insert((id("pl"), 0), receipt.clone());
            receipt.holder = id("pl");
            proofs.promises.insert((id("ua"), 1), receipt);
            let whole = logs
                .iter()
                .find(|log| !log.torn())
                .map(|log| log.member.clone());
            let story = compare(logs, &proofs, Readings::Twice(&[2, 1]));
            let codes = codes(&story);
            // Of the log that was read whole the receipt says the same as ever.
            let whole = whole.unwrap();
            assert_eq!(codes, [(whole.as_str(), "BROKEN_PROMISE")]);
        }
    }
}

/// A leaf alone is written by whoever accuses.
#[test]
fn what_is_not_proved_accuses_nobody() {
    let (ua, pl) = exchange();
    let refused = entry(pb::Act::QueryRefused, "ua", 3);
    for (ua, pl) in [
        (ua, Vec::new()),
        (Vec::new(), pl),
        (Vec::new(), vec![refused]),
    ] {
        let logs = told(ua.clone(), pl.clone());
        for readings in [Readings::Twice(&[9, 9]), Readings::Loose] {
            let story = compare(told(ua.clone(), pl.clone()), &Proofs::default(), readings);
            assert_eq!(codes(&story), []);
        }
        let proofs = proofs(&logs);
        assert_eq!(
            codes(&compare(logs, &proofs, Readings::Twice(&[9, 9]))).len(),
            1
        );
    }
    // What does not stand behind an act of that kind proves nothing either.
    let other = Insight {
        answer_held: true,
        ..Insight::default()
    };
    let (_, pl) = exchange();
    let mut proofs = Proofs::default();
    proofs.take(&id("pl"), 0, &pl[0], &other);
    let story = compare(told(Vec::new(), pl), &proofs, Readings::Twice(&[0, 1]));
    assert_eq!((codes(&story), story.open.len()), (vec![], 1));
}

/// Logs in a file, read nobody knows when.
#[test]
fn logs_of_unknown_times_accuse_by_what_was_signed_alone() {
    let loose = |ua: Vec<Entry>, pl: Vec<Entry>, size: Option<u64>| {
        let logs = told(ua, pl);
        let mut proofs = proofs(&logs);
        if let Some(size) = size {
            let receipt = receipt(
                size,
                logs[1].roots(&BTreeSet::from([1])).remove(&1).unwrap(),
            );
            proofs.promises.insert((id("ua"), 1), receipt);
        }
        let story = compare(logs, &proofs, Readings::Loose);
        let codes = codes(&story)
            .iter()
            .map(|(_, code)| *code)
            .collect::<Vec<_>>();
        (codes, story.open.len())
    };
    let imported = || entry(pb::Act::RecordsImported, "", 9);
    // The answer stands under a tree that this log is shown to have, or to have not yet.
    let (ua, _) = exchange();
    assert_eq!(
        loose(ua.clone(), vec![imported()], Some(1)),
        (vec!["ANSWER_DENIED"], 1)
    );
    assert_eq!(loose(ua.clone(), vec![imported()], Some(2)), (vec![], 2));
    assert_eq!(loose(ua, vec![imported()], None), (vec![], 2));
    // A question stands before every leaf that came long after its answer.
    let (_, pl) = exchange();
    let later = |by_ms: u64| Entry {
        time_ms: super::super::sample::NOW_MS + by_ms,
        ..imported()
    };
    let long_after = MAX_LIFETIME_MS + CLOCK_SKEW_MS;
    assert_eq!(
        loose(vec![later(long_after)], pl.clone(), None),
        (vec![], 1)
    );
    assert_eq!(
        loose(vec![later(long_after + 1)], pl, None),
        (vec!["QUERY_DENIED"], 0)
    );
}

fn receipt(size: u64, root: crate::envelope::merkle::Hash) -> PromiseOf {
    PromiseOf {
        holder: id("pl"),
        leaf_index: 0,
        head: TreeHead { size, root },
        checkpoint: String::new(),
    }
}

#[test]
fn leaves_that_came_later_are_partners_but_are_not_held_themselves() {
    let (ua, pl) = exchange();
    // Poland's answer came after Ukraine's log had been read the first time.
    let logs = told(ua, pl);
    let proofs = proofs(&logs);
    let story = compare(logs, &proofs, Readings::Twice(&[0, 1]));
    assert_eq!((codes(&story), story.matched), (vec![], 0));
}

#[test]
fn every_difference_is_named() {
    type Change = fn(&mut Entry);
    let changes: [(Change, &str); 7] = [
        (
            |entry| entry.act = pb::Act::DisclosureAnswered,
            "the kind of act",
        ),
        (|entry| entry.message_id = None, "the message id"),
        (
            |entry| entry.purpose = Some(crate::roster::Purpose::Audit),
            "the purpose",
        ),
        (
            |entry| entry.legal_basis = Some(crate::roster::LegalBasis::Consent),
            "the legal basis",
        ),
        (|entry| entry.count += 1, "the count"),
        (
            |entry| entry.time_ms += MAX_LIFETIME_MS + CLOCK_SKEW_MS + 1,
            "the time",
        ),
        (|entry| entry.answer_digest = Some([1; 32]), "the answer"),
    ];
    for (change, expected) in changes {
        let (ua, mut pl) = exchange();
        change(&mut pl[0]);
        let found = story(ua, pl).findings;
        assert!(
            found.iter().any(|finding| matches!(
                finding.fault,
                Fault::OtherStory { what, .. } if what == expected
            )),
            "{expected}: {found:?}"
        );
    }
    let (mut ua, pl) = exchange();
    ua[1].reference = "4".into();
    assert_eq!(codes(&story(ua, pl)), [("ua", "OTHER_STORY")]);
}

#[test]
fn a_receipt_is_held_against_the_log_it_is_of() {
    let sample = Sample::new();
    let (_, mut pl) = exchange();
    pl.push(entry(pb::Act::RecordsImported, "", 2));
    let whole = log(&sample, "pl", pl.clone());
    let one = whole.roots(&BTreeSet::from([1]))[&1];
    let held = |promise: PromiseOf, readings: Readings<'_>| {
        let mut proofs = Proofs::default();
        proofs.promises.insert((id("ua"), 5), promise);
        let story = compare(vec![log(&sample, "pl", pl.clone())], &proofs, readings);
        codes(&story).len()
    };
    for readings in [Readings::Twice(&[0]), Readings::Loose] {
        assert_eq!(held(receipt(1, one), readings), 0);
        assert_eq!(held(receipt(1, root_of([[7; 32]])), readings), 1);
    }
    assert_eq!(held(receipt(9, one), Readings::Twice(&[0])), 1);
    // In a file the log may have been read before the receipt was given.
    assert_eq!(held(receipt(9, one), Readings::Loose), 0);
}

/// Poland's log was lost, and another continues it.
#[test]
fn what_a_lost_log_would_have_told_accuses_nobody() {
    let began = |minutes: u64| Entry {
        time_ms: super::super::sample::NOW_MS + minutes * 60_000,
        reference: "aa after=pl.example/log size=9 root=00".into(),
        ..entry(pb::Act::LogStarted, "", 0)
    };
    let (ua, _) = exchange();
    let before = story(ua.clone(), vec![began(10)]);
    assert_eq!((codes(&before), before.open.len()), (vec![], 2));
    // What came after it began has to stand in it.
    let (mut later, _) = exchange();
    for leaf in &mut later {
        leaf.time_ms += 20 * 60_000;
    }
    let after = story(later, vec![began(10)]);
    assert_eq!(codes(&after), [("pl", "ANSWER_DENIED")]);
    // A log that continues none has no such excuse.
    let plain = Entry {
        reference: "aa".into(),
        ..began(10)
    };
    assert_eq!(codes(&story(ua, vec![plain])), [("pl", "ANSWER_DENIED")]);
    // The other way round: Ukraine's log is the lost one.
    let (_, pl) = exchange();
    let denied = story(vec![began(10)], pl);
    assert_eq!((codes(&denied), denied.open.len()), (vec![], 1));
}
