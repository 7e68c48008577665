use super::super::behind::AnswerSays;
use super::super::last::{LastVerified, verify_checkpoint};
use super::super::sample::{LEAD, NOW_MS, RECORD, Sample, entry, id, outcome, receipt};
use super::*;

fn beginning() -> Entry {
    let key = crate::oprf::pseudonym::PseudonymKey::from_bytes({
        let mut scalar = [0; 32];
        scalar[0] = 7;
        scalar
    });
    let mut first = entry(pb::Act::LogStarted, "", 0);
    first.query_digest = None;
    first.reference = hex::encode(key.unwrap().public().as_bytes()).into();
    first
}

fn shape(entries: Vec<Entry>) -> Vec<(Option<u64>, &'static str)> {
    let mut shape = Shape::default();
    (0..)
        .zip(&entries)
        .flat_map(|(index, entry)| {
            // What is kept between two readings is enough to go on by.
            let text = serde_json::to_string(&shape.to_text()).unwrap();
            shape = Shape::from_text(serde_json::from_str(&text).unwrap()).unwrap();
            shape.leaf(index, entry)
        })
        .map(|(place, fault)| (place.leaf_index(), fault.code()))
        .collect()
}

#[test]
fn a_log_has_one_beginning() {
    assert_eq!(shape(vec![beginning()]), []);
    assert_eq!(
        shape(vec![beginning(), beginning()]),
        [(Some(1), "SECOND_BEGINNING")]
    );
    let imported = entry(pb::Act::RecordsImported, "", 1);
    assert_eq!(shape(vec![imported]), [(Some(0), "NO_BEGINNING")]);
    let mut unusable = beginning();
    unusable.reference = "ff".repeat(32).into();
    assert_eq!(shape(vec![unusable]), [(Some(0), "NO_BEGINNING")]);
}

#[test]
fn time_runs_forward_but_for_a_little_disorder() {
    let at = |time_ms| Entry {
        time_ms,
        ..entry(pb::Act::RecordsImported, "", 1)
    };
    let mut late = at(NOW_MS - DISORDER_MS);
    late.query_digest = None;
    assert_eq!(shape(vec![beginning(), late]), []);
    assert_eq!(
        shape(vec![beginning(), at(NOW_MS - DISORDER_MS - 1)]),
        [(Some(1), "BACK_IN_TIME")]
    );
}

#[test]
fn a_clock_that_was_set_back_is_no_fault_where_the_log_says_so() {
    let at = |act, time_ms| Entry {
        time_ms,
        query_digest: None,
        ..entry(act, "", 1)
    };
    let right = NOW_MS - 2 * DISORDER_MS;
    let said = at(pb::Act::ClockSetBack, right);
    let after = || at(pb::Act::RecordsImported, right + 1);
    assert_eq!(shape(vec![beginning(), said, after()]), []);
    // It says so once: whatever goes further back is a fault again.
    let said = at(pb::Act::ClockSetBack, right);
    let back = at(pb::Act::RecordsImported, right - DISORDER_MS - 1);
    assert_eq!(
        shape(vec![beginning(), said, back]),
        [(Some(2), "BACK_IN_TIME")]
    );
}

#[test]
fn each_query_is_answered_once_and_each_answer_was_asked_for() {
    let answered = || entry(pb::Act::LookupAnswered, "ua", 4);
    assert_eq!(
        shape(vec![beginning(), answered(), answered()]),
        [(Some(2), "ANSWERED_TWICE")]
    );
    let (asked, received) = (
        || entry(pb::Act::LookupAsked, "ua", 4),
        || entry(pb::Act::LookupReceived, "ua", 4),
    );
    assert_eq!(shape(vec![beginning(), asked(), received()]), []);
    assert_eq!(
        shape(vec![beginning(), received(), asked()]),
        [(Some(1), "NOT_ASKED")]
    );
}

fn on_lead(peer: &str, lead_id: [u8; 16], subject: [u8; 16], days: u64) -> Option<&'static str> {
    let mut shape = Shape::default();
    hand_out(&mut shape);
    told(&mut shape, peer, lead_id, subject, days)
}

fn hand_out(shape: &mut Shape) {
    let looked_up = Insight {
        outcome: Some(outcome()),
        answer: AnswerSays::Lookup(Vec::new()),
        ..Insight::default()
    };
    let answered = entry(pb::Act::LookupAnswered, "ua", 1);
    assert!(shape.evidence(1, &answered, &looked_up).is_none());
}

/// Fields are told on a lead so many days after it was handed out.
fn told(
    shape: &mut Shape,
    peer: &str,
    lead_id: [u8; 16],
    subject: [u8; 16],
    days: u64,
) -> Option<&'static str> {
    let disclosed = Insight {
        query: QuerySays::Disclosure {
            case_reference: String::new(),
            lead_id: lead_id.to_vec(),
            fields: Vec::new(),
        },
        ..Insight::default()
    };
    let told = Entry {
        subject: Some(subject),
        time_ms: NOW_MS + days * 86_400_000,
        ..entry(pb::Act::DisclosureAnswered, peer, 2)
    };
    shape.leaf(2, &told);
    let text = serde_json::to_string(&shape.to_text()).unwrap();
    *shape = Shape::from_text(serde_json::from_str(&text).unwrap()).unwrap();
    shape
        .evidence(2, &told, &disclosed)
        .map(|(_, fault)| fault.code())
}

#[test]
fn fields_are_told_only_on_a_lead_and_of_the_record_it_led_to() {
    assert_eq!(on_lead("ua", LEAD, RECORD, 30), None);
    // Asked on the lead's last day, decided on the request's, fetched on the grant's.
    assert_eq!(on_lead("ua", LEAD, RECORD, 90), None);
    assert_eq!(on_lead("ua", LEAD, RECORD, 91), Some("UNKNOWN_LEAD"));
    assert_eq!(on_lead("ua", [1; 16], RECORD, 1), Some("UNKNOWN_LEAD"));
    assert_eq!(on_lead("de", LEAD, RECORD, 1), Some("UNKNOWN_LEAD"));
    assert_eq!(on_lead("ua", LEAD, [1; 16], 1), Some("OTHER_RECORD"));
}

#[test]
fn a_lead_that_is_made_use_of_is_remembered_from_then_on() {
    let mut shape = Shape::default();
    hand_out(&mut shape);
    for days in [29, 59, 118] {
        assert_eq!(told(&mut shape, "ua", LEAD, RECORD, days), None);
    }
    assert_eq!(
        told(&mut shape, "ua", LEAD, RECORD, 118 + 91),
        Some("UNKNOWN_LEAD")
    );
}

#[test]
fn a_quiet_log_whose_leaves_go_by_before_their_evidence_forgets_no_lead() {
    let mut shape = Shape::default();
    hand_out(&mut shape);
    let later = Entry {
        time_ms: NOW_MS + 200 * 86_400_000,
        ..entry(pb::Act::RecordsImported, "", 1)
    };
    shape.leaf(3, &later);
    assert_eq!(told(&mut shape, "ua", LEAD, RECORD, 10), None);
}

#[test]
fn a_log_that_continues_another_may_tell_on_leads_of_that_one() {
    let mut first = beginning();
    let after = format!("{} after=pl.example/log size=9 root=00", first.reference);
    first.reference = after.into();
    let mut shape = Shape::default();
    assert!(shape.leaf(0, &first).is_empty());
    assert_eq!(told(&mut shape, "ua", LEAD, RECORD, 50), None);
    // Not for ever, and not on leads of its own that went to another party.
    assert_eq!(
        told(&mut shape, "ua", LEAD, RECORD, 91),
        Some("UNKNOWN_LEAD")
    );
    hand_out(&mut shape);
    assert_eq!(
        told(&mut shape, "de", LEAD, RECORD, 1),
        Some("UNKNOWN_LEAD")
    );
}

#[test]
fn a_log_has_to_continue_all_that_was_verified_of_the_one_before() {
    let sample = Sample::new();
    let rosters = sample.rosters();
    let note = receipt("pl", 0, 5).checkpoint;
    let head = verify_checkpoint(sample.member("pl"), &note)
        .unwrap()
        .head();
    let last = LastVerified {
        member: id("pl"),
        verified_at: NOW_MS / 1000,
        checkpoint: note,
        head,
        resume: None,
    };
    assert!(last.is_of(sample.member("pl")) && !last.is_of(sample.member("ua")));
    let fault = |continues: &str| {
        let mut first = beginning();
        first.reference = format!("{}{continues}", first.reference).into();
        let fault = last.given_up(&rosters, Continued::of(&first).as_ref());
        fault.map(|fault| fault.code())
    };
    let stated = |size: u64, root: [u8; 32]| {
        fault(&format!(
            " after=pl.example/log size={size} root={}",
            hex::encode(root)
        ))
    };
    assert_eq!(stated(5, head.root), None);
    assert_eq!(stated(9, [7; 32]), None);
    assert_eq!(stated(4, head.root), Some("GIVEN_UP_SHORT"));
    assert_eq!(stated(5, [7; 32]), Some("GIVEN_UP_SHORT"));
    for none in [
        "",
        " after=other.example/log size=9 root=00",
        " after=pl.example/log size=9 root=00",
    ] {
        assert_eq!(fault(none), Some("NOT_CONTINUED"), "{none}");
    }
}

#[test]
fn what_can_lie_no_nearer_is_forgotten() {
    let mut shape = Shape::default();
    for index in 1..10_000 {
        let mut digest = [0; 32];
        digest[..8].copy_from_slice(&u64::to_be_bytes(index));
        let answered = Entry {
            time_ms: NOW_MS + index * 1_000,
            query_digest: Some(digest),
            ..entry(pb::Act::LookupAnswered, "ua", 1)
        };
        assert!(shape.leaf(index, &answered).is_empty());
    }
    assert!(shape.answered.known.len() as u64 <= APART_MS / 1_000 + 1);
}
