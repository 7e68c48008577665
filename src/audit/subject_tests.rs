use super::super::sample::{RECORD, Sample, entry, id, outcome};
use super::*;

fn events(act: pb::Act, subject: Option<[u8; 16]>, reference: &str) -> Vec<Event> {
    let peer = if act == pb::Act::SilentChecked {
        ""
    } else {
        "ua"
    };
    let entry = Entry {
        subject,
        reference: reference.into(),
        ..entry(act, peer, 1)
    };
    let insight = Insight {
        outcome: (act == pb::Act::SilentChecked).then(outcome),
        ..Insight::default()
    };
    let mut scan = Scan::new(RECORD);
    scan.take(4, &entry, &insight);
    scan.events
}

#[test]
fn what_was_decided_about_the_record_is_listed_in_both_languages() {
    let sample = Sample::new();
    for act in [
        pb::Act::DisclosureApproved,
        pb::Act::DisclosureDenied,
        pb::Act::BreakGlass,
        pb::Act::BreakGlassReviewed,
        pb::Act::DisclosureWithdrawn,
        pb::Act::DisclosureCorrected,
        pb::Act::DisclosureExpired,
        pb::Act::DisclosureEscalated,
    ] {
        let reference = "request=00ff fields=current_place,status";
        assert!(events(act, Some([1; 16]), reference).is_empty());
        let listed = events(act, Some(RECORD), reference);
        let [event] = listed.as_slice() else {
            panic!("{} is left out", words::act_name(act));
        };
        for lang in Lang::ALL {
            let sentence = event.sentence(lang, &sample.roster, &id("pl"));
            assert!(sentence.contains(&words::act(lang, act)), "{sentence}");
            assert!(sentence.contains("current_place"), "{sentence}");
        }
        let [bare] = &events(act, Some(RECORD), "request=00ff")[..] else {
            panic!("{} without fields is left out", words::act_name(act));
        };
        for lang in Lang::ALL {
            let sentence = bare.sentence(lang, &sample.roster, &id("pl"));
            assert!(sentence.contains(&words::act(lang, act)), "{sentence}");
            assert!(!sentence.contains(&lang.text("list-none")), "{sentence}");
        }
        let object = event.to_json();
        assert_eq!(object["kind"], "decided");
        assert_eq!(object["details"]["act"], words::act_name(act));
    }
}

#[test]
fn a_lookup_that_met_the_record_while_it_was_silent_is_listed() {
    let sample = Sample::new();
    let events = events(pb::Act::SilentChecked, None, "");
    let grade = pb::Grade::Match as u32;
    assert!(matches!(events.as_slice(), [event] if event.what == What::MetSilently { grade }));
    for lang in Lang::ALL {
        let sentence = events[0].sentence(lang, &sample.roster, &id("pl"));
        assert!(!sentence.starts_with("event-"), "{sentence}");
    }
    let mut other = Scan::new([1; 16]);
    let insight = Insight {
        outcome: Some(outcome()),
        ..Insight::default()
    };
    other.take(4, &entry(pb::Act::SilentChecked, "", 1), &insight);
    assert!(other.events.is_empty());
}
