use std::collections::HashMap;

use super::*;
use crate::records::{Consent, FIELDS, Protection};

const A: AccountId = [1; 16];
const B: AccountId = [2; 16];
const C: AccountId = [3; 16];

fn case(fields: &[Column]) -> Case {
    Case {
        request_id: [9; 16],
        member: "ua".to_owned(),
        lead_id: [8; 16],
        subject: [7; 16],
        found_identity: [6; 16],
        grade: crate::exchange::lookup::rank(crate::linkage::Grade::Match),
        corroborated: true,
        purpose: Purpose::FamilyTracing,
        legal_basis: LegalBasis::VitalInterest,
        case_reference: "CASE-1".to_owned(),
        justification: PersonalText::from("The family asks."),
        fields: fields.to_vec(),
        asked_ms: 1_000,
        answer_by_ms: None,
        expires_ms: 100_000,
        end: None,
        approvals: Vec::new(),
        denials: Vec::new(),
        delivered: Vec::new(),
        corrected: false,
        told: Told::Nothing,
        review: None,
        settled: false,
        end_unwritten: false,
    }
}

fn ground(protection: Protection) -> Ground {
    Ground {
        record_id: 5,
        identity: [6; 16],
        facts: RecordFacts {
            status: String::new(),
            protection,
            ground: Consent::Tracing,
            entered_by: vec![hex::encode(C)],
            family_silent: false,
        },
    }
}

fn decision<'a>(case: &Case, ground: &Ground, account: AccountId) -> Decision<'a> {
    Decision {
        account,
        fields: &[],
        digest: case.digest(&Policy::shipped(), ground),
        break_glass: false,
        now_ms: 2_000,
    }
}

fn approve(case: &mut Case, ground: &Ground, account: AccountId) -> Result<(), DecisionError> {
    let decision = decision(case, ground, account);
    case.approve(&Policy::shipped(), ground, &decision, |_| true)
        .map(|_| ())
}

#[test]
fn a_case_is_kept_as_it_is() {
    let ground = ground(Protection::None);
    let mut kept = case(&[Column::CurrentCarer, Column::Note]);
    approve(&mut kept, &ground, A).unwrap();
    kept.delivered.push(Delivered {
        field: Column::CurrentPlace,
        value_tag: [4; 16],
        at_ms: 2_000,
        announced: None,
    });
    kept.review = Some(Review {
        released_by: vec![A, B],
        by: None,
        upheld: false,
    });
    let bytes = kept.to_bytes().unwrap();
    let read = Case::from_bytes(&bytes).unwrap();
    assert_eq!(*read.to_bytes().unwrap(), *bytes);
    assert_eq!(read.approvals, kept.approvals);
    assert_eq!(read.review, kept.review);
    assert_eq!(read.justification.expose(), "The family asks.");
    assert!(Case::from_bytes(b"{}").is_err());
}

#[test]
fn a_wait_begins_anew_when_it_waits_again_and_only_then() {
    const NOW_MS: u64 = 50_000;
    let mut first = case(&[Column::CurrentCarer]);
    first.told = Told::Waiting;
    // It waits as before.
    assert!(!first.reopen(true, false, NOW_MS));
    assert_eq!((first.told, first.expires_ms), (Told::Waiting, 100_000));
    let began_anew = |case: &Case| {
        let expires_ms = NOW_MS + crate::exchange::disclose::REQUEST_LIFETIME_MS;
        !case.settled && case.told == Told::Nothing && case.expires_ms == expires_ms
    };
    // One of two approvals was of another state of the record.
    let mut other = ground(Protection::None);
    approve(&mut first, &other, A).unwrap();
    assert!(!first.drop_lapsed(&other));
    other.record_id += 1;
    assert!(first.drop_lapsed(&other) && first.approvals.is_empty());
    assert!(first.reopen(true, true, NOW_MS) && began_anew(&first));
    // It was settled, and waits again.
    first.settled = true;
    first.told = Told::Overdue;
    assert!(!first.reopen(false, true, NOW_MS) && first.settled);
    assert!(first.reopen(true, false, NOW_MS) && began_anew(&first));
    // What has ended does not begin anew.
    first.settled = true;
    first.end = Some(End::Withdrawn);
    assert!(!first.reopen(true, true, NOW_MS) && first.settled);
}

#[test]
fn a_silent_family_asks_for_a_person_and_opens_nothing_that_is_closed() {
    let place = case(&[Column::CurrentPlace]);
    let needs = |protection, family_silent| {
        let mut ground = ground(protection);
        ground.facts.family_silent = family_silent;
        place.needs(&Policy::shipped(), &ground, Column::CurrentPlace)
    };
    assert_eq!(needs(Protection::None, false), Needs::Nobody);
    assert_eq!(needs(Protection::None, true), Needs::OnePerson);
    assert_eq!(needs(Protection::HumanOnly, true), Needs::TwoPeople);
    assert_eq!(needs(Protection::Silent, true), Needs::Refused);
}

#[test]
fn states_have_one_name_and_one_number_each() {
    for state in State::ALL {
        assert_eq!(State::from_name(state.as_str()), Some(state));
        assert_eq!(State::from_number(state as u8), Some(state));
    }
    assert_eq!(State::from_number(0), None);
    assert_eq!(State::from_name("open"), None);
}

/// Every field under every purpose, basis, protection, certainty and history of decisions: a field is
/// granted if and only if the policy and the floor say so of that many different people, none of whom
/// entered the record.
#[test]
fn nothing_is_granted_but_by_policy_floor_and_people() {
    type History = &'static [(AccountId, bool)];
    // Who approved, and whether by breaking the glass.
    const HISTORIES: [History; 7] = [
        &[],
        &[(A, false)],
        &[(A, false), (A, false)],
        &[(A, false), (B, false)],
        &[(C, false)],
        &[(A, false), (C, false)],
        &[(A, true)],
    ];
    let policy = Policy::shipped();
    let mut granted: HashMap<usize, usize> = HashMap::new();
    for field in FIELDS {
        for &purpose in Purpose::ALL {
            for &legal_basis in &[LegalBasis::Consent, LegalBasis::CourtOrder] {
                for protection in [
                    Protection::None,
                    Protection::Alert,
                    Protection::Silent,
                    Protection::HumanOnly,
                ] {
                    for certain in [true, false] {
                        for (number, history) in HISTORIES.iter().enumerate() {
                            let ground = ground(protection);
                            let mut case = case(&[field.column]);
                            case.purpose = purpose;
                            case.legal_basis = legal_basis;
                            case.corroborated = certain;
                            let question = case.question(&ground);
                            let verdict = policy.verdict(&question, field.column);
                            let floor = Floor::of_question(&question);
                            for &(account, break_glass) in *history {
                                let decision = Decision {
                                    break_glass,
                                    ..decision(&case, &ground, account)
                                };
                                let _ = case.approve(&policy, &ground, &decision, |_| true);
                            }
                            let people: BTreeSet<AccountId> = history
                                .iter()
                                .filter(|(account, alone)| *account != C && !alone)
                                .map(|(account, _)| *account)
                                .collect();
                            let alone = history.iter().any(|(_, alone)| *alone)
                                && policy.break_glass(&question, field.column).is_some();
                            let may = !floor.is_closed()
                                && (alone
                                    || floor
                                        .over(verdict.needs)
                                        .approvals()
                                        .is_some_and(|needed| people.len() >= needed));
                            let found = case.field(&policy, &ground, field.column);
                            assert_eq!(
                                found == FieldState::Granted,
                                may,
                                "{} {purpose} {legal_basis} {} {certain} {number}: {found:?}",
                                field.name,
                                protection.as_str(),
                            );
                            assert!(field.disclosable || !may);
                            *granted.entry(number).or_default() += usize::from(may);
                        }
                    }
                }
            }
        }
    }
    // The table is not empty of either: with nobody some fields go out, with two people more do.
    assert!(granted[&0] > 0 && granted[&1] > granted[&0] && granted[&3] > granted[&1]);
    assert_eq!(granted[&2], granted[&1]);
    assert_eq!(granted[&4], granted[&0]);
    assert!(granted[&6] > granted[&0]);
}

#[test]
fn every_decision_is_refused_once_a_case_has_ended() {
    let ground = ground(Protection::None);
    for end in [End::Expired, End::TakenBack, End::Withdrawn, End::Erased] {
        let mut case = case(&[Column::CurrentCarer]);
        approve(&mut case, &ground, A).unwrap();
        case.end = Some(end);
        assert!(matches!(
            approve(&mut case, &ground, B),
            Err(DecisionError::Closed { .. })
        ));
        let fields = case.assess(&Policy::shipped(), Some(&ground));
        assert_eq!(fields, [(Column::CurrentCarer, FieldState::Refused)]);
        assert!(case.state(&fields, |_| true).is_final());
        assert_eq!(case.due_ms(), NEVER);
    }
}

#[test]
fn states_follow_from_fields() {
    let (place, carer, note) = (Column::CurrentPlace, Column::CurrentCarer, Column::Note);
    let ground = ground(Protection::None);
    let policy = Policy::shipped();
    let state = |case: &Case, has: bool| case.state(&case.assess(&policy, Some(&ground)), |_| has);
    assert_eq!(state(&case(&[place]), true), State::Granted);
    assert_eq!(state(&case(&[place]), false), State::Refused);
    assert_eq!(state(&case(&[note]), true), State::Refused);
    assert_eq!(state(&case(&[carer]), true), State::Waiting);
    assert_eq!(state(&case(&[carer, place]), true), State::PartlyGranted);
    // What waits, waits whether the record has it or not.
    assert_eq!(state(&case(&[carer, place]), false), State::Waiting);
    let mut corrected = case(&[place]);
    corrected.corrected = true;
    assert_eq!(state(&corrected, true), State::Corrected);
    assert_eq!(
        case(&[place]).assess(&policy, None),
        [(place, FieldState::Refused)]
    );
}

#[test]
fn a_denial_settles_its_fields_and_no_others() {
    let ground = ground(Protection::None);
    let policy = Policy::shipped();
    let mut case = case(&[Column::CurrentCarer, Column::FamilyName]);
    let deny = Decision {
        fields: &[Column::CurrentCarer],
        ..decision(&case, &ground, A)
    };
    case.deny(&policy, &ground, &deny, None).unwrap();
    assert_eq!(case.waiting(&policy, &ground), [Column::FamilyName]);
    let again = Decision {
        fields: &[Column::CurrentCarer],
        ..decision(&case, &ground, B)
    };
    assert_eq!(
        case.approve(&policy, &ground, &again, |_| true),
        Err(DecisionError::NotWaiting {
            field: "current_carer"
        })
    );
    approve(&mut case, &ground, B).unwrap();
    assert!(case.waiting(&policy, &ground).is_empty());
}

#[test]
fn a_digest_changes_with_all_that_is_shown_and_with_nothing_else() {
    let policy = Policy::shipped();
    let ground = ground(Protection::None);
    let first = case(&[Column::CurrentCarer]);
    let digest = first.digest(&policy, &ground);
    let changes: [fn(&mut Case); 7] = [
        |case| case.request_id = [1; 16],
        |case| case.member = "de".to_owned(),
        |case| case.purpose = Purpose::Reunification,
        |case| case.legal_basis = LegalBasis::Consent,
        |case| case.case_reference = "CASE-2".to_owned(),
        |case| case.justification = PersonalText::from("Another."),
        |case| case.fields.push(Column::Note),
    ];
    for change in changes {
        let mut edited = case(&[Column::CurrentCarer]);
        change(&mut edited);
        assert_ne!(edited.digest(&policy, &ground), digest);
    }
    let mut record = ground.clone();
    record.record_id += 1;
    assert_ne!(first.digest(&policy, &record), digest);
    // Another rule, another question.
    let other = Policy::parse(
        "@id(\"x\") permit (principal, action, resource) when { context.approvals >= 1 };",
    )
    .unwrap();
    assert_ne!(first.digest(&other, &ground), digest);
    // What others did is none.
    let mut approved = case(&[Column::CurrentCarer]);
    approve(&mut approved, &ground, A).unwrap();
    assert_eq!(approved.digest(&policy, &ground), digest);
}

#[test]
fn people_are_told_once_and_pressed_when_it_is_urgent() {
    let mut case = case(&[Column::CurrentCarer]);
    assert_eq!(case.next_reminder(), Some((0, Told::Waiting)));
    assert_eq!(case.due_ms(), 0);
    case.told = Told::Waiting;
    assert_eq!(case.next_reminder(), None);
    assert_eq!(case.due_ms(), case.expires_ms);
    case.answer_by_ms = Some(3_000);
    assert_eq!(case.next_reminder(), Some((2_000, Told::HalfTime)));
    case.told = Told::HalfTime;
    assert_eq!(case.next_reminder(), Some((3_000, Told::Overdue)));
    case.told = Told::Overdue;
    assert_eq!(case.next_reminder(), None);
    case.told = Told::Nothing;
    case.settled = true;
    assert_eq!(case.next_reminder(), None);
}

#[test]
fn who_released_alone_does_not_review_it_once_the_approval_has_lapsed() {
    let policy = Policy::shipped();
    let ground = ground(Protection::None);
    let mut case = case(&[Column::CurrentCarer]);
    case.purpose = Purpose::ChildProtection;
    case.legal_basis = LegalBasis::CourtOrder;
    let release = Decision {
        break_glass: true,
        ..decision(&case, &ground, A)
    };
    case.approve(&policy, &ground, &release, |_| true).unwrap();
    // The record changed, or the request was replaced.
    case.approvals.clear();
    assert_eq!(case.review(A, true), Err(DecisionError::OwnRelease));
    case.review(B, true).unwrap();
    assert_eq!(case.review(C, true), Err(DecisionError::NoReview));
}

#[test]
fn what_was_told_is_followed_until_it_may_be_kept_no_longer_or_was_withdrawn() {
    let mut case = case(&[Column::CurrentPlace]);
    assert!(!case.is_kept(2_000));
    case.delivered.push(Delivered {
        field: Column::CurrentPlace,
        value_tag: [4; 16],
        at_ms: 2_000,
        announced: None,
    });
    let until = 2_000 + crate::exchange::disclose::RETENTION_MS;
    for (end, kept) in [
        (None, true),
        (Some(End::Expired), true),
        (Some(End::TakenBack), true),
        (Some(End::Withdrawn), false),
        (Some(End::Erased), false),
    ] {
        case.end = end;
        assert_eq!(case.is_kept(until - 1), kept, "{end:?}");
        assert!(!case.is_kept(until), "{end:?}");
    }
}
