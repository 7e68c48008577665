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

fn story(ua: Vec<Entry>, pl: Vec<Entry>) -> Reconciliation {
    let sample = Sample::new();
    let read = [ua.len() as u64, pl.len() as u64];
    compare(
        vec![log(&sample, "ua", ua), log(&sample, "pl", pl)],
        &read,
        &[],
    )
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
    let (_, pl) = exchange();
    let sample = Sample::new();
    let mut torn = log(&sample, "ua", Vec::new());
    torn.checkpoint = None;
    let story = compare(vec![torn, log(&sample, "pl", pl)], &[0, 1], &[]);
    assert_eq!(codes(&story), []);
}

#[test]
fn leaves_that_came_later_are_partners_but_are_not_held_themselves() {
    let (ua, pl) = exchange();
    let sample = Sample::new();
    let logs = || {
        vec![
            log(&sample, "ua", ua.clone()),
            log(&sample, "pl", pl.clone()),
        ]
    };
    // Poland's answer came after Ukraine's log had been read the first time.
    let story = compare(logs(), &[0, 1], &[]);
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
    let promise = |size: u64, root| PromiseOf {
        holder: id("pl"),
        leaf_index: 0,
        head: TreeHead { size, root },
        checkpoint: String::new(),
    };
    let one = whole.roots(&BTreeSet::from([1]))[&1];
    let held = |promise: PromiseOf| {
        let promises = [(id("ua"), 5, promise)];
        let story = compare(vec![log(&sample, "pl", pl.clone())], &[0], &promises);
        codes(&story).len()
    };
    assert_eq!(held(promise(1, one)), 0);
    assert_eq!(held(promise(1, root_of([[7; 32]]))), 1);
    assert_eq!(held(promise(9, one)), 1);
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
