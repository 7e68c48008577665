use super::super::sample::{RECORD, Sample, entry, id, outcome};
use super::*;
use crate::ambient::Ambient;
use crate::oprf::pseudonym::PseudonymKey;

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

#[test]
fn a_pseudonym_is_proved_by_nothing_but_its_own_proof() {
    let ambient = Ambient::system();
    let key = PseudonymKey::generate(&mut ambient.rng());
    let of = |key: &PseudonymKey, record_ref: &str| {
        let subject = *key.pseudonym(record_ref.as_bytes()).unwrap().as_bytes();
        let proof = key.prove(record_ref.as_bytes()).unwrap();
        let proof = [proof.element.as_bytes().as_slice(), proof.proof.as_bytes()].concat();
        (subject, proof)
    };
    let public = key.public();
    let (subject, proof) = of(&key, "PL-1");
    let (other_subject, other_proof) = of(&key, "PL-2");
    assert_eq!(prove_under(&public, "PL-1", &subject, &proof), Ok(()));
    let stranger = PseudonymKey::generate(&mut ambient.rng());
    let (strange_subject, strange_proof) = of(&stranger, "PL-1");
    let longer = [proof.as_slice(), &[0]].concat();
    let wrong: [(&[u8; 16], &[u8]); 7] = [
        (&subject, &other_proof),
        (&other_subject, &other_proof),
        (&other_subject, &proof),
        (&strange_subject, &strange_proof),
        (&subject, &proof[..95]),
        (&subject, &longer),
        (&subject, &[]),
    ];
    for (subject, proof) in wrong {
        assert!(prove_under(&public, "PL-1", subject, proof).is_err());
    }
    assert!(prove_under(&stranger.public(), "PL-1", &subject, &proof).is_err());
    // A log that states no key proves none.
    let sample = Sample::new();
    let log = Verification::new(sample.member("pl"), 0);
    assert!(prove(&log, "PL-1", &subject, &proof).is_err());
    let answer = vec![1];
    let why = "its proof does not hold".to_owned();
    assert_eq!(Fault::Pseudonym { why, answer }.code(), "BAD_PSEUDONYM");
}
