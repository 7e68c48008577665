use super::super::sample::{
    LEAF, Lookup, NOW_MS, SIZE, Sample, key, lookup_query, outcome, receipt,
};
use super::*;
use crate::roster::{Bytes32, Roster, Timestamp};

/// The places and codes found after `spoil`.
fn found(spoil: impl FnOnce(&Sample, &mut Lookup)) -> Vec<(&'static str, &'static str)> {
    let sample = Sample::new();
    let mut lookup = Lookup::sound(&sample);
    spoil(&sample, &mut lookup);
    lookup
        .check(&sample)
        .iter()
        .map(|(place, fault)| (place.as_str(), fault.code()))
        .collect()
}

fn answered_instead(sample: &Sample, lookup: &mut Lookup, receipt: pb::Receipt) {
    let query = sample.query("ua", "pl", "ua", lookup_query(), &[b"tokens"]);
    let sound = Lookup::answering(sample, &query, &outcome());
    let result = super::super::sample::lookup_result().encode_to_vec();
    let (answer, root) = sample.answer(
        "pl",
        "ua",
        &query,
        pb::LookupAnswer::default(),
        &[&result],
        receipt,
    );
    *lookup = sound;
    lookup.reply.answer = Some(answer);
    lookup.entry.answer_digest = root.to_vec();
}

fn first_item(message: &mut Option<pb::SignedMessage>) -> &mut pb::Item {
    &mut message.as_mut().unwrap().items[0]
}

#[test]
fn sound_evidence_holds_and_says_what_it_says() {
    let sample = Sample::new();
    let (insight, faults) = Lookup::sound(&sample).judge(&sample);
    assert_eq!(faults, []);
    assert!(matches!(
        insight.query,
        QuerySays::Lookup { case_reference, subjects, .. }
            if case_reference == "CASE-1" && subjects.len() == 1
    ));
    assert!(matches!(insight.answer, AnswerSays::Lookup(results) if results.len() == 1));
    let promise = insight.promise.unwrap();
    assert_eq!((promise.leaf_index, promise.head.size), (LEAF, SIZE));
    assert_eq!(insight.outcome.unwrap().subjects.len(), 1);
}

/// Leaves of a message's first item its hash alone.
fn erase(message: &mut Option<pb::SignedMessage>) {
    let item = first_item(message);
    if let Some(pb::item::Form::Full(full)) = &item.form {
        let hash = ItemEvidence::full(full.clone()).leaf_hash();
        item.form = Some(pb::item::Form::Erased(hash.to_vec()));
    }
}

#[test]
fn erased_values_leave_the_evidence_of_a_disclosure_whole() {
    let sample = Sample::new();
    let fields = vec!["current_place".to_owned()];
    let mask = Some(prost_types::FieldMask {
        paths: fields.clone(),
    });
    let ask = pb::DisclosureQuery {
        purpose: pb::Purpose::FamilyTracing.into(),
        legal_basis: pb::LegalBasis::Consent.into(),
        lead_id: vec![5; 16],
        fields: mask.clone(),
        ..pb::DisclosureQuery::default()
    };
    let query = sample.query("ua", "pl", "ua", ask, &[b"the family asks"]);
    let told = pb::DisclosureAnswer {
        granted: mask,
        ..pb::DisclosureAnswer::default()
    };
    let receipt = receipt("pl", LEAF, SIZE);
    let (answer, root) = sample.answer("pl", "ua", &query, told, &[b"a place"], receipt);
    let outcome = pb::Outcome {
        subjects: vec![pb::SubjectOutcome {
            subject: vec![9; 16],
            lead_id: vec![5; 16],
            ..pb::SubjectOutcome::default()
        }],
    };
    let act = pb::Act::DisclosureAnswered;
    let (leaf, opening) = crate::exchange::leaf::Leaf::new(act, &sample.ambient, &outcome)
        .set(|entry| {
            entry.peer = "ua".to_owned();
            entry.message_id = query.message_id.to_vec();
            entry.query_digest = query.digest.to_vec();
            entry.answer_digest = root.to_vec();
            entry.purpose = pb::Purpose::FamilyTracing.into();
            entry.legal_basis = pb::LegalBasis::Consent.into();
            entry.count = 1;
            entry.subject = vec![9; 16];
            entry.reference = "current_place".to_owned();
        })
        .finish();
    let mut lookup = Lookup {
        entry: pb::LogEntry::decode(leaf.as_slice()).unwrap(),
        reply: pb::ReadEvidenceResponse {
            leaf_index: LEAF,
            query: Some(query.message),
            answer: Some(answer),
            opening,
            ..pb::ReadEvidenceResponse::default()
        },
    };
    erase(&mut lookup.reply.query);
    erase(&mut lookup.reply.answer);
    assert_eq!(lookup.check(&sample), []);
}

#[test]
fn an_erased_item_of_a_lookup_is_a_hidden_one() {
    let faults = found(|_, lookup| {
        erase(&mut lookup.reply.query);
        erase(&mut lookup.reply.answer);
    });
    assert_eq!(
        faults,
        [("query", "ITEM_HIDDEN"), ("answer", "ITEM_HIDDEN")]
    );
}

#[test]
fn what_is_missing_is_named() {
    let faults = found(|_, lookup| {
        lookup.reply.query = None;
        lookup.reply.answer = None;
        lookup.reply.opening.clear();
    });
    let missing = ["query", "answer", "opening"].map(|part| (part, "MISSING"));
    assert_eq!(faults, missing);
}

#[test]
fn what_the_node_cannot_read_is_named_once() {
    let faults = found(|_, lookup| {
        lookup.reply.query = None;
        lookup.reply.damaged = vec![
            pb::DamagedEvidence {
                part: pb::EvidencePart::Query.into(),
                item: 0,
            },
            pb::DamagedEvidence {
                part: pb::EvidencePart::Answer.into(),
                item: 1,
            },
        ];
    });
    assert_eq!(faults, [("query", "DAMAGED"), ("answer", "DAMAGED")]);
}

#[test]
fn a_query_that_was_put_in_its_place_is_found_out() {
    // Signed by somebody else in the party's name.
    let faults = found(|sample, lookup| {
        let forged = sample.query("ua", "pl", "pl", lookup_query(), &[b"tokens"]);
        *lookup = Lookup::answering(sample, &forged, &outcome());
    });
    assert_eq!(faults, [("query", "BAD_SIGNATURE")]);
    // Another query of the same party.
    let faults = found(|sample, lookup| {
        let other = sample.query("ua", "pl", "ua", lookup_query(), &[b"others"]);
        lookup.reply.query = Some(other.message);
    });
    assert_eq!(faults, [("query", "OTHER_MESSAGE")]);
    // A query to somebody else.
    let faults = found(|sample, lookup| {
        let other = sample.query("ua", "ombud", "ua", lookup_query(), &[b"tokens"]);
        lookup.reply.query = Some(other.message);
    });
    assert_eq!(faults, [("query", "OTHER_MESSAGE")]);
    // A message of another kind.
    let faults = found(|sample, lookup| {
        let other = pb::DisclosureQuery::default();
        let other = sample.query("ua", "pl", "ua", other, &[b"why"]);
        lookup.reply.query = Some(other.message);
    });
    assert_eq!(faults, [("query", "OTHER_KIND")]);
    // The answer in the query's place.
    let faults = found(|_, lookup| lookup.reply.query = lookup.reply.answer.clone());
    assert_eq!(faults, [("query", "BAD_SIGNATURE")]);
}

#[test]
fn a_leaf_that_states_something_else_is_found_out() {
    let stated: [fn(&mut pb::LogEntry); 4] = [
        |entry| entry.purpose = pb::Purpose::Reunification.into(),
        |entry| entry.legal_basis = pb::LegalBasis::CourtOrder.into(),
        |entry| entry.query_digest[0] ^= 1,
        |entry| entry.message_id[0] ^= 1,
    ];
    for change in stated {
        let faults = found(|_, lookup| change(&mut lookup.entry));
        assert!(faults.contains(&("query", "OTHER_MESSAGE")), "{faults:?}");
    }
    let faults = found(|_, lookup| lookup.entry.count = 2);
    assert_eq!(
        faults,
        [("query", "OTHER_MESSAGE"), ("answer", "OTHER_MESSAGE")]
    );
    let faults = found(|_, lookup| lookup.entry.answer_digest[0] ^= 1);
    assert_eq!(faults, [("answer", "OTHER_MESSAGE")]);
    let faults = found(|_, lookup| lookup.entry.peer = "ombud".to_owned());
    assert!(faults.contains(&("query", "BAD_SIGNATURE")), "{faults:?}");
    let faults = found(|_, lookup| lookup.entry.time_ms += 3_600_000);
    assert!(faults.contains(&("query", "OTHER_MESSAGE")), "{faults:?}");
}

#[test]
fn altered_items_are_found_out() {
    let faults = found(|_, lookup| {
        if let Some(pb::item::Form::Full(item)) = &mut first_item(&mut lookup.reply.query).form {
            item[20] ^= 1;
        }
        lookup.reply.answer.as_mut().unwrap().items.clear();
    });
    assert_eq!(faults, [("query", "BAD_ITEMS"), ("answer", "BAD_ITEMS")]);
}

#[test]
fn an_answer_to_something_else_is_found_out() {
    let faults = found(|sample, lookup| {
        let other = sample.query("ua", "pl", "ua", lookup_query(), &[b"tokens"]);
        let mut swapped = Lookup::answering(sample, &other, &outcome());
        lookup.reply.answer = swapped.reply.answer.take();
    });
    // The message id, drawn afresh for each query, differs first.
    assert_eq!(faults, [("answer", "OTHER_MESSAGE")]);
    let faults = found(|sample, lookup| {
        let mut other = sample.query("ua", "pl", "ua", lookup_query(), &[b"tokens"]);
        other.message_id = lookup.entry.message_id.as_slice().try_into().unwrap();
        let mut swapped = Lookup::answering(sample, &other, &outcome());
        lookup.reply.answer = swapped.reply.answer.take();
    });
    assert_eq!(faults, [("answer", "OTHER_QUERY")]);
}

#[test]
fn a_receipt_that_does_not_hold_is_found_out() {
    for wrong in [
        receipt("pl", LEAF + 1, SIZE),
        receipt("pl", LEAF, LEAF),
        receipt("ua", LEAF, SIZE),
        pb::Receipt::default(),
    ] {
        let faults = found(|sample, lookup| answered_instead(sample, lookup, wrong));
        assert_eq!(faults, [("answer", "BAD_RECEIPT")]);
    }
    let faults =
        found(|sample, lookup| answered_instead(sample, lookup, receipt("pl", LEAF, SIZE)));
    assert_eq!(faults, []);
}

#[test]
fn an_outcome_that_was_not_answered_is_found_out() {
    let faults = found(|_, lookup| lookup.reply.opening[0] ^= 1);
    assert_eq!(faults, [("opening", "BAD_OPENING")]);
    // What is committed to differs from what the party was told.
    let other: [fn(&mut pb::Outcome); 4] = [
        |outcome| outcome.subjects[0].grade = pb::Grade::Possible as u32,
        |outcome| outcome.subjects[0].lead_id = vec![6; 16],
        |outcome| outcome.subjects[0].subject_index = 1,
        |outcome| outcome.subjects.clear(),
    ];
    for change in other {
        let faults = found(|sample, lookup| {
            let mut told = outcome();
            change(&mut told);
            let query = sample.query("ua", "pl", "ua", lookup_query(), &[b"tokens"]);
            *lookup = Lookup::answering(sample, &query, &told);
        });
        assert_eq!(faults, [("opening", "OTHER_OUTCOME")]);
    }
}

#[test]
fn a_reader_without_the_right_to_is_found_out() {
    let sample = Sample::new();
    let rosters = sample.rosters();
    for (reader, codes) in [("ombud", &[][..]), ("ua", &["NO_OMBUDSMAN"])] {
        assert_eq!(read_by(reader, &sample, &rosters, None), codes);
    }
    assert_ne!(key("ua").verifying_key(), key("pl").verifying_key());
}

/// Poland's leaf of what it was asked by a reader, under rosters.
fn read_by(
    reader: &str,
    sample: &Sample,
    rosters: &Rosters,
    in_force: Option<&TrustedRoster>,
) -> Vec<&'static str> {
    let range = pb::LeafRange { start: 0, count: 9 };
    let query = pb::AuditQuery {
        subject: Some(pb::audit_query::Subject::Entries(range)),
        ..pb::AuditQuery::default()
    };
    let query = sample.query(reader, "pl", reader, query, &[]);
    let (leaf, opening) = crate::exchange::leaf::Leaf::new(
        pb::Act::AuditAnswered,
        &sample.ambient,
        &pb::Outcome::default(),
    )
    .set(|entry| {
        entry.peer = reader.to_owned();
        entry.message_id = query.message_id.to_vec();
        entry.query_digest = query.digest.to_vec();
        entry.reference = "entries 0+9".to_owned();
    })
    .finish();
    let entry = Entry::parse(&leaf).unwrap();
    let leaf = Leaf {
        in_force,
        ..sample.leaf(rosters, LEAF, &entry)
    };
    let reply = pb::ReadEvidenceResponse {
        query: Some(query.message),
        opening,
        ..pb::ReadEvidenceResponse::default()
    };
    let faults = check(&leaf, reply).1;
    faults.iter().map(|(_, fault)| fault.code()).collect()
}

#[test]
fn a_reader_is_judged_by_the_scope_that_it_had_then() {
    let wide = Sample::new();
    let narrow = Sample::with(|roster| {
        roster.version = 2;
        let ombudsman = roster
            .members
            .iter_mut()
            .find(|member| member.id.as_str() == "ombud");
        ombudsman.unwrap().roles.ombudsman = Some(OmbudsmanScope::Member("ua".parse().unwrap()));
    });
    let rosters = |newest: &Sample, earlier: &[&Sample]| {
        let earlier = earlier.iter().map(|sample| Arc::new(sample.roster.clone()));
        Rosters::new(
            Vec::new(),
            Arc::new(newest.roster.clone()),
            earlier.collect(),
        )
    };
    let both = rosters(&narrow, &[&wide]);
    let read_by = |sample: &Sample, rosters: &Rosters, in_force: Option<&TrustedRoster>| {
        read_by("ombud", sample, rosters, in_force)
    };
    // The scope was taken away since, which takes back nothing that was read before.
    assert_eq!(read_by(&wide, &both, None), Vec::<&str>::new());
    assert_eq!(read_by(&narrow, &both, None), ["NO_OMBUDSMAN"]);
    // The node had not taken the roster yet by which the reader asked.
    assert_eq!(
        read_by(&narrow, &both, Some(&wide.roster)),
        Vec::<&str>::new()
    );
    assert_eq!(
        read_by(&narrow, &both, Some(&narrow.roster)),
        ["NO_OMBUDSMAN"]
    );
    // A roster that nobody has judges nobody.
    let third = Sample::with(|roster| roster.version = 3);
    assert_eq!(read_by(&third, &both, None), Vec::<&str>::new());
    assert_eq!(
        read_by(&third, &rosters(&narrow, &[]), None),
        ["NO_OMBUDSMAN"]
    );
}

/// Whether a leaf of Poland proves that Ukraine asked, or answered.
fn held(sample: &Sample, lookup: Lookup) -> (bool, bool) {
    let insight = lookup.judge(sample).0;
    (insight.query_held, insight.answer_held)
}

#[test]
fn a_leaf_proves_of_the_other_party_what_that_party_signed() {
    type Spoil = fn(&Sample, &mut Lookup);
    let cases: [(Spoil, bool); 6] = [
        (|_, _| {}, true),
        // What the holder alone made wrong takes nothing back of what it was asked.
        (
            |_, lookup| lookup.entry.purpose = pb::Purpose::Reunification.into(),
            true,
        ),
        (
            |_, lookup| lookup.reply.query.as_mut().unwrap().items.clear(),
            true,
        ),
        // What the other party did not sign says nothing of it.
        (|_, lookup| lookup.reply.query = None, false),
        (|_, lookup| lookup.entry.query_digest = vec![7; 32], false),
        (
            |sample, lookup| {
                let forged = sample.query("ua", "pl", "pl", lookup_query(), &[b"tokens"]);
                *lookup = Lookup::answering(sample, &forged, &outcome());
            },
            false,
        ),
    ];
    for (number, (spoil, query_held)) in cases.into_iter().enumerate() {
        let sample = Sample::new();
        let mut lookup = Lookup::sound(&sample);
        spoil(&sample, &mut lookup);
        assert_eq!(held(&sample, lookup).0, query_held, "case {number}");
    }
    let sample = Sample::new();
    assert!(held(&sample, Lookup::sound(&sample)).1);
    let mut other = Lookup::sound(&sample);
    other.entry.answer_digest[0] ^= 1;
    assert!(!held(&sample, other).1);
}

#[test]
fn only_a_question_can_have_been_refused() {
    let sample = Sample::new();
    let refusal = |message: pb::SignedMessage| {
        let (envelope, _) = take_apart(message.clone()).unwrap();
        let entry = Entry {
            query_digest: Some(envelope.digest()),
            ..super::super::sample::entry(pb::Act::QueryRefused, "ua", 0)
        };
        let reply = pb::ReadEvidenceResponse {
            query: Some(message),
            ..pb::ReadEvidenceResponse::default()
        };
        let rosters = sample.rosters();
        let leaf = sample.leaf(&rosters, 7, &entry);
        check(&leaf, reply).0.query_held
    };
    let asked = sample.query("ua", "pl", "ua", lookup_query(), &[b"tokens"]);
    assert!(refusal(asked.message));
    // An answer of that party, put in the place of a question that it would be said to deny.
    let asked = sample.query("pl", "ua", "pl", lookup_query(), &[b"tokens"]);
    let receipt = receipt("ua", LEAF, SIZE);
    let (answer, _) = sample.answer(
        "ua",
        "pl",
        &asked,
        pb::LookupAnswer::default(),
        &[b"result"],
        receipt,
    );
    assert!(!refusal(answer));
    // A member that asks as an ombudsman would keeps no leaf of it.
    let audit = sample.query("ua", "pl", "ua", pb::AuditQuery::default(), &[]);
    assert!(!refusal(audit.message));
}

fn at_alone(
    sample: &Sample,
    act: pb::Act,
    reference: &str,
    reply: pb::ReadEvidenceResponse,
) -> (Insight, Vec<(&'static str, &'static str)>) {
    let entry = Entry {
        reference: reference.into(),
        ..super::super::sample::entry(act, "ua", 0)
    };
    let rosters = sample.rosters();
    let (insight, faults) = check(&sample.leaf(&rosters, 7, &entry), reply);
    let faults = faults
        .iter()
        .map(|(place, fault)| (place.as_str(), fault.code()));
    (insight, faults.collect())
}

#[test]
fn a_policy_is_the_text_whose_digest_the_leaf_states() {
    let sample = Sample::new();
    let text = "permit (principal, action, resource);";
    let stated = format!("sha256={}", hex::encode(sha256(&[text.as_bytes()])));
    let at = |document: &[u8]| {
        let reply = pb::ReadEvidenceResponse {
            document: document.to_vec(),
            ..pb::ReadEvidenceResponse::default()
        };
        at_alone(&sample, pb::Act::PolicyAdopted, &stated, reply)
    };
    let (insight, faults) = at(text.as_bytes());
    assert_eq!(faults, []);
    assert_eq!(insight.policy.as_deref(), Some(text));
    assert_eq!(at(b"").1, [("document", "MISSING")]);
    assert_eq!(at(b"forbid").1, [("document", "OTHER_DOCUMENT")]);
}

#[test]
fn two_checkpoints_accuse_a_party_only_if_its_log_signed_them() {
    let sample = Sample::new();
    let at = |one: &str, two: &str| {
        let reply = pb::ReadEvidenceResponse {
            document: serde_json::to_vec(&[one, two]).unwrap(),
            ..pb::ReadEvidenceResponse::default()
        };
        at_alone(&sample, pb::Act::SplitViewFound, "in words", reply)
    };
    let of = |member: &str, size: u64| receipt(member, 0, size).checkpoint;
    let (insight, faults) = at(&of("ua", 3), &of("ua", 5));
    assert_eq!(faults, []);
    let reported = insight.reported.unwrap();
    assert_eq!(reported.member.as_str(), "ua");
    // Of two sizes: by themselves they prove nothing.
    assert_eq!(reported.fault.code(), "REPORTED");
    assert_eq!(reported.fault.proof(), [of("ua", 3), of("ua", 5)]);
    // One size with two roots does.
    let other = super::super::sample::other_checkpoint("ua", 5);
    let (insight, _) = at(&of("ua", 5), &other);
    assert_eq!(insight.reported.unwrap().fault.code(), "SPLIT_VIEW");
    for (one, two) in [(of("de", 3), of("ua", 5)), (of("ua", 3), String::new())] {
        let (insight, faults) = at(&one, &two);
        assert_eq!(faults, [("document", "OTHER_DOCUMENT")]);
        assert!(insight.reported.is_none());
    }
}

#[test]
fn a_wrong_answer_accuses_a_party_only_if_it_signed_it() {
    let sample = Sample::new();
    let query = sample.query("pl", "ua", "pl", lookup_query(), &[b"tokens"]);
    let (answer, _) = sample.answer(
        "ua",
        "pl",
        &query,
        pb::LookupAnswer::default(),
        &[b"no result"],
        pb::Receipt::default(),
    );
    let at = |answer: &pb::SignedMessage, digest: Option<[u8; 32]>| {
        let entry = Entry {
            message_id: Some(query.message_id),
            query_digest: Some(query.digest),
            answer_digest: digest,
            reference: "BAD_RECEIPT".into(),
            ..super::super::sample::entry(pb::Act::WrongAnswer, "ua", 0)
        };
        let reply = pb::ReadEvidenceResponse {
            query: Some(query.message.clone()),
            answer: Some(answer.clone()),
            ..pb::ReadEvidenceResponse::default()
        };
        let rosters = sample.rosters();
        let (insight, faults) = check(&sample.leaf(&rosters, 7, &entry), reply);
        let codes: Vec<&str> = faults.iter().map(|(_, fault)| fault.code()).collect();
        (insight.reported, codes)
    };
    let (envelope, _) = take_apart(answer.clone()).unwrap();
    let digest = envelope.digest();
    let (reported, faults) = at(&answer, Some(digest));
    assert_eq!(faults, Vec::<&str>::new());
    let reported = reported.unwrap();
    assert_eq!(
        (reported.member.as_str(), reported.fault.code()),
        ("ua", "WRONG_ANSWER")
    );
    assert!(matches!(
        reported.fault,
        Fault::WrongAnswer { proved: true, .. }
    ));
    // An answer that holds, by the very roster that the question states, accuses the reporter.
    let (sound, _) = sample.answer(
        "ua",
        "pl",
        &query,
        pb::LookupAnswer::default(),
        &[b"no result"],
        receipt("ua", LEAF, SIZE),
    );
    let sound_digest = take_apart(sound.clone()).unwrap().0.digest();
    let (reported, faults) = at(&sound, Some(sound_digest));
    assert!(
        reported.is_none() && faults == ["FALSE_REPORT"],
        "{faults:?}"
    );
    // Another digest than the leaf's, and an answer that somebody else signed.
    let (reported, faults) = at(&answer, Some([1; 32]));
    assert!(reported.is_none() && faults == ["OTHER_MESSAGE"]);
    let (others, _) = sample.answer(
        "pl",
        "ua",
        &query,
        pb::LookupAnswer::default(),
        &[b"no result"],
        pb::Receipt::default(),
    );
    let (reported, faults) = at(&others, Some(digest));
    assert!(reported.is_none() && faults == ["BAD_SIGNATURE"]);
}

/// A roster of long ago takes a key back, and the node went on by the one before.
#[test]
fn an_old_roster_is_found_whatever_was_put_beside_the_signature() {
    let second_key = key("ua's second");
    let with_second = |roster: &mut Roster| {
        let mut members = roster.members.iter_mut();
        let ua = members.find(|member| member.id.as_str() == "ua").unwrap();
        let mut second = ua.signing_keys[0].clone();
        second.public_key = Bytes32::new(*second_key.verifying_key().as_bytes());
        ua.signing_keys.push(second);
    };
    let first = Sample::with(with_second);
    let later = Sample::with(|roster| {
        with_second(roster);
        roster.version = 2;
        roster.issued = Timestamp::from_unix(NOW_MS / 1000 - 3 * 86_400);
        let mut members = roster.members.iter_mut();
        let ua = members.find(|member| member.id.as_str() == "ua").unwrap();
        ua.signing_keys.remove(0);
    });
    let before = Arc::new(first.roster.clone());
    let mut rosters = Rosters::new(
        Vec::new(),
        Arc::new(later.roster.clone()),
        vec![Arc::clone(&before)],
    );
    rosters.came_into_force(NOW_MS - 10 * 86_400_000, Some(before));
    let codes = |lookup: Lookup| -> Vec<&str> {
        let entry = lookup.entry();
        let (_, faults) = check(&first.leaf(&rosters, LEAF, &entry), lookup.reply);
        faults.iter().map(|(_, fault)| fault.code()).collect()
    };
    assert_eq!(codes(Lookup::sound(&first)), ["OLD_ROSTER"]);
    // The envelope's digest leaves signatures out: what is no signature can be put beside one.
    let mut lookup = Lookup::sound(&first);
    let query = lookup.reply.query.as_mut().unwrap();
    let signatures = &mut query.envelope.as_mut().unwrap().signatures;
    signatures.push(pb::Signature {
        key_id: second_key.verifying_key().id().as_bytes().to_vec(),
        sig: vec![0; 64],
    });
    assert_eq!(codes(lookup), ["OLD_ROSTER"]);
}
