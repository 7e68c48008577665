//! Grades are no oracle for one attribute after another.

use prost::Message as _;
use tonic::transport::Channel;
use wayhome::exchange::lookup::{PROBE_LIMIT, SubjectTokens, TOKEN};
use wayhome::linkage::RuleTable;
use wayhome::proto::exchange as pb;
use wayhome::proto::operator::search_service_client::SearchServiceClient;
use wayhome::proto::operator::{Record, SearchRequest};
use wayhome::store::EvidencePart;

use crate::coalition::Coalition;
use crate::forge::{Draft, Sent as _, lookup, stranger};
use crate::quota::alerts;

/// A child of Poland's register, with all that makes a match sure.
const CHILD: &[(&str, &str)] = &[
    ("record_ref", "PL-1"),
    ("family_name", "Коваленко"),
    ("given_name", "Дарина"),
    ("patronymic", "Ігорівна"),
    ("sex", "F"),
    ("date_of_birth", "2015-03-14"),
    ("place_of_birth", "Бердянськ"),
    ("mother_family_name", "Коваленко"),
    ("mother_given_name", "Надія"),
    ("consent", "tracing"),
];

/// Asks Poland about the child with another birth date, one date for each subject of one query.
async fn ask(coalition: &Coalition, from: &str, dates: &[&str]) -> Vec<String> {
    let subjects = dates
        .iter()
        .map(|date| Record {
            fields: CHILD
                .iter()
                .map(|(name, value)| {
                    let value = if *name == "date_of_birth" {
                        date
                    } else {
                        value
                    };
                    ((*name).to_owned(), (*value).to_owned())
                })
                .collect(),
        })
        .collect();
    let mut results = SearchServiceClient::new(coalition.operator(from).await)
        .search(SearchRequest {
            subjects,
            purpose: "family_tracing".to_owned(),
            legal_basis: "vital_interest".to_owned(),
            members: vec!["pl".to_owned()],
            ..SearchRequest::default()
        })
        .await
        .unwrap()
        .into_inner();
    let answer = results.message().await.unwrap().unwrap();
    assert_eq!(answer.error_code, "");
    answer
        .results
        .iter()
        .map(|result| result.grade.clone())
        .collect()
}

const WRONG: [&str; 6] = [
    "2009-01-21",
    "2010-02-22",
    "2011-04-23",
    "2012-05-24",
    "2013-06-25",
    "2014-07-26",
];

#[tokio::test(flavor = "multi_thread")]
async fn sweeping_birth_dates_ends_at_the_probe_limit() {
    let coalition = Coalition::start().await;
    coalition.import("pl", &[CHILD]).await;
    // Names and parents are known; only the date is tried, many subjects in one query and one by
    // one. The first sets are answered as they are, the later ones as the fifth was.
    let swept = ask(&coalition, "ua", &WRONG[..3]).await;
    assert!(!swept.contains(&"MATCH".to_owned()), "{swept:?}");
    let mut fifth = String::new();
    for date in &WRONG[3..PROBE_LIMIT] {
        fifth = ask(&coalition, "ua", &[date]).await.remove(0);
    }
    assert_ne!(fifth, "MATCH");
    let right = "2015-03-14";
    assert_eq!(ask(&coalition, "ua", &[right]).await, [fifth.clone()]);
    assert_eq!(ask(&coalition, "ua", &[WRONG[5]]).await, [fifth]);
    // Another party has tried nothing yet.
    assert_eq!(ask(&coalition, "de", &[right]).await, ["MATCH"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn asking_again_about_the_same_child_counts_once() {
    let mut coalition = Coalition::start().await;
    coalition.import("pl", &[CHILD]).await;
    for _ in 0..2 * PROBE_LIMIT {
        assert_eq!(ask(&coalition, "ua", &["2015-03-14"]).await, ["MATCH"]);
    }
    // Nor does a restart on either side make it another set, or forget those that were tried.
    coalition.stop_node("ua").await;
    coalition.stop_node("pl").await;
    coalition.start_node("pl").await;
    coalition.start_node("ua").await;
    assert_eq!(ask(&coalition, "ua", &["2015-03-14"]).await, ["MATCH"]);
    ask(&coalition, "ua", &WRONG[..PROBE_LIMIT]).await;
    assert_eq!(ask(&coalition, "ua", &["2015-03-14"]).await, ["MATCH"]);
    assert_ne!(ask(&coalition, "ua", &["2015-03-15"]).await, ["MATCH"]);
}

/// Days on which the child may have been born, with the right one past the probe limit.
fn days() -> Vec<String> {
    let wrong = (1..=24).map(|number| format!("2015-{:02}-{:02}", 4 + number % 9, 1 + number % 12));
    let mut days: Vec<String> = wrong.collect();
    days.insert(17, "2015-03-14".to_owned());
    days
}

/// How many sets of tokens by `ua` were told their own grade above `NO_MATCH`, by what the node
/// commits to: all others were answered by what had been told before.
async fn graded(coalition: &Coalition) -> usize {
    let store = coalition.store("pl").await;
    let leaves = coalition.leaves("pl", 0).await;
    let mut graded = 0;
    for (index, leaf) in (0..).zip(&leaves) {
        if leaf.act() != pb::Act::LookupAnswered || leaf.peer != "ua" {
            continue;
        }
        let opening = store.evidence(index, EvidencePart::Opening).await.unwrap();
        let outcome = pb::Outcome::decode(&opening.unwrap().envelope[16..]).unwrap();
        graded += outcome
            .subjects
            .iter()
            .filter(|line| !line.frozen && line.grade > pb::Grade::NoMatch as u32)
            .count();
    }
    store.close().await;
    graded
}

async fn is_alerted(coalition: &Coalition, code: &str) -> bool {
    let told = alerts(coalition, "pl").await;
    told.iter()
        .any(|(member, alert)| member == "ua" && alert.starts_with(code))
}

#[tokio::test(flavor = "multi_thread")]
async fn many_birth_dates_in_one_query_get_no_more_grades_than_the_limit() {
    let coalition = Coalition::start().await;
    coalition.import("pl", &[CHILD]).await;
    let days = days();
    let days: Vec<&str> = days.iter().map(String::as_str).collect();
    let grades = ask(&coalition, "ua", &days).await;
    assert!(graded(&coalition).await <= PROBE_LIMIT);
    // From the sixth on all read alike, the right one among them.
    let rest: std::collections::BTreeSet<&String> = grades[PROBE_LIMIT..].iter().collect();
    assert_eq!(rest.len(), 1, "{grades:?}");
    let matches = grades.iter().filter(|grade| *grade == "MATCH").count();
    assert!(matches <= PROBE_LIMIT, "{grades:?}");
    for code in ["PROBE_LIMIT", "SWEEP_OF_RECORD", "SWEEP_IN_QUERY"] {
        assert!(is_alerted(&coalition, code).await, "{code}");
    }
    // In the log too, where the ombudsman finds it.
    let leaves = coalition.leaves("pl", 0).await;
    assert!(
        leaves
            .iter()
            .any(|leaf| leaf.act() == pb::Act::AlertRaised && leaf.peer == "ua")
    );
}

/// The tokens that `ua` has of a record of its own register, as it would send them to Poland, by
/// slot.
async fn slots(coalition: &Coalition, record_ref: &str) -> (u16, Vec<[u8; TOKEN]>) {
    let store = coalition.store("ua").await;
    let stored = store.record_by_ref(record_ref).await.unwrap().unwrap();
    let (presence, bytes) = store.tokens(&stored, 1).await.unwrap().unwrap();
    store.close().await;
    let rules = RuleTable::shipped().unwrap();
    let subject = SubjectTokens::from_bytes(presence, &bytes)
        .unwrap()
        .for_holder(rules, 1, "pl", &coalition.ambient);
    let (slots, []) = subject.tokens.as_chunks::<TOKEN>() else {
        panic!("slots of another size");
    };
    (presence, slots.to_vec())
}

/// Asks with some slots filled by real tokens and the others at random; gives the grade.
async fn ask_slots(
    coalition: &Coalition,
    channel: &Channel,
    presence: u16,
    filled: &[(usize, [u8; TOKEN])],
) -> i32 {
    let mut subject = stranger(&coalition.ambient);
    subject.presence = u32::from(presence);
    for (slot, token) in filled {
        subject.tokens[slot * TOKEN..(slot + 1) * TOKEN].copy_from_slice(token);
    }
    let template = lookup(coalition, "ua", "pl", 1);
    let mut payload = pb::LookupQuery::default();
    let _ = template.payload(|query| payload = query.clone());
    let draft = Draft::new(coalition, "ua", "pl", payload, &[subject.encode_to_vec()]);
    let answer = pb::LookupQuery::send(channel.clone(), draft.sign())
        .await
        .unwrap();
    let Some(pb::item::Form::Full(item)) = &answer.items[0].form else {
        panic!("an answer without its item");
    };
    pb::LookupResult::decode(&item[16..]).unwrap().grade
}

#[tokio::test(flavor = "multi_thread")]
async fn one_slot_at_a_time_tells_no_more() {
    let coalition = Coalition::start().await;
    coalition.import("pl", &[CHILD]).await;
    // The attacker puts the child into its own register under many birth dates, one of them right,
    // and so has real tokens of each.
    let days = days();
    let guesses: Vec<Vec<(&str, &str)>> = days
        .iter()
        .map(|day| {
            let field = |(name, value): &(&'static str, &'static str)| match *name {
                "record_ref" | "date_of_birth" => (*name, day.as_str()),
                _ => (*name, *value),
            };
            CHILD.iter().map(field).collect()
        })
        .collect();
    let guesses: Vec<&[(&str, &str)]> = guesses.iter().map(Vec::as_slice).collect();
    coalition.import("ua", &guesses).await;
    let channel = coalition.channel("ua", "pl").await;
    let (presence, first) = slots(&coalition, &days[0]).await;

    // Each guess whole, until the limit is reached.
    for day in &days[..PROBE_LIMIT] {
        let (presence, tokens) = slots(&coalition, day).await;
        let filled: Vec<_> = tokens.into_iter().enumerate().collect();
        ask_slots(&coalition, &channel, presence, &filled).await;
    }
    let spent = graded(&coalition).await;
    assert!(spent > 0 && spent <= PROBE_LIMIT, "{spent}");

    // Now slot by slot, and all slots that depend on the date at once: the right date's answers are
    // those of a wrong date.
    let right = slots(&coalition, &days[17]).await.1;
    let wrong = slots(&coalition, &days[20]).await.1;
    let of_the_date: Vec<usize> = (0..right.len())
        .filter(|slot| right[*slot] != wrong[*slot] && right[*slot] != first[*slot])
        .collect();
    assert!(of_the_date.len() > 5, "{of_the_date:?}");
    let pick = |tokens: &[[u8; TOKEN]], slots: &[usize]| -> Vec<_> {
        slots.iter().map(|slot| (*slot, tokens[*slot])).collect()
    };
    let no_match = pb::Grade::NoMatch as i32;
    for slot in &of_the_date {
        let told = ask_slots(&coalition, &channel, presence, &pick(&right, &[*slot])).await;
        assert_eq!(told, no_match, "slot {slot}");
    }
    let told = ask_slots(&coalition, &channel, presence, &pick(&right, &of_the_date)).await;
    assert_eq!(told, no_match);
    let all: Vec<usize> = (0..right.len()).collect();
    let whole_right = ask_slots(&coalition, &channel, presence, &pick(&right, &all)).await;
    let whole_wrong = ask_slots(&coalition, &channel, presence, &pick(&wrong, &all)).await;
    assert_eq!(whole_right, whole_wrong);
    assert_eq!(graded(&coalition).await, spent);
    for code in ["PROBE_LIMIT", "SWEEP_OF_RECORD"] {
        assert!(is_alerted(&coalition, code).await, "{code}");
    }
}

/// A family as it stands in a register, under a number: the attacker knows the eldest and the youngest,
/// and wants the birth date of the one in between.
fn family(number: usize, birth: &'static str) -> Vec<Vec<(&'static str, String)>> {
    let child = |letter: &str, given: &str, sex: &str, birth: &str| {
        vec![
            ("record_ref", format!("{letter}{number}")),
            ("family_name", "Мельник".to_owned()),
            ("given_name", given.to_owned()),
            ("sex", sex.to_owned()),
            ("date_of_birth", birth.to_owned()),
            ("family_ref", format!("F{number}")),
            ("consent", "tracing".to_owned()),
        ]
    };
    vec![
        child("A", "Соломія", "F", "2011-02-03"),
        child("B", "Тарас", "M", birth),
        child("C", "Устим", "M", "2016-09-28"),
    ]
}

async fn import_family(coalition: &Coalition, id: &str, records: &[Vec<(&'static str, String)>]) {
    let records: Vec<Vec<(&str, &str)>> = records
        .iter()
        .map(|record| {
            record
                .iter()
                .map(|(name, value)| (*name, value.as_str()))
                .collect()
        })
        .collect();
    let records: Vec<&[(&str, &str)]> = records.iter().map(Vec::as_slice).collect();
    coalition.import(id, &records).await;
}

/// The sibling tokens that `ua` has of a record of its own register, for Poland.
async fn sibling_slots(coalition: &Coalition, record_ref: &str) -> (u16, Vec<[u8; TOKEN]>) {
    let store = coalition.store("ua").await;
    let stored = store.record_by_ref(record_ref).await.unwrap().unwrap();
    let (presence, bytes) = store.tokens(&stored, 1).await.unwrap().unwrap();
    store.close().await;
    let subject = SubjectTokens::from_bytes(presence, &bytes)
        .unwrap()
        .for_holder(RuleTable::shipped().unwrap(), 1, "pl", &coalition.ambient);
    (
        presence,
        subject.sibling_tokens.as_chunks::<TOKEN>().0.to_vec(),
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_siblings_tokens_are_swept_no_further_than_the_childs_own() {
    let coalition = Coalition::start().await;
    let right = "2013-06-17";
    let at_pl: Vec<Vec<(&str, String)>> = family(9, right)
        .into_iter()
        .map(|record| {
            record
                .into_iter()
                .map(|(name, value)| match name {
                    "record_ref" => (name, format!("PL-{value}")),
                    _ => (name, value),
                })
                .collect()
        })
        .collect();
    import_family(&coalition, "pl", &at_pl).await;
    // The attacker's guesses, the right one last.
    let guesses: Vec<&'static str> = WRONG[..PROBE_LIMIT]
        .iter()
        .copied()
        .chain([right])
        .collect();
    for (number, guess) in guesses.iter().enumerate() {
        import_family(&coalition, "ua", &family(number, guess)).await;
    }
    // What the eldest and the youngest share is the same in all guesses: it joins the two subjects.
    let (presence, first) = sibling_slots(&coalition, "A0").await;
    let (_, second) = sibling_slots(&coalition, "A1").await;
    let common: Vec<usize> = (0..first.len())
        .filter(|slot| second.contains(&first[*slot]))
        .collect();
    assert!(!common.is_empty());
    let mut eldest = stranger(&coalition.ambient);
    eldest.presence = u32::from(presence);
    for slot in &common {
        eldest.sibling_tokens[slot * TOKEN..(slot + 1) * TOKEN].copy_from_slice(&first[*slot]);
    }
    let mut between = Vec::new();
    for number in 0..guesses.len() {
        let (presence, tokens) = sibling_slots(&coalition, &format!("B{number}")).await;
        let mut subject = stranger(&coalition.ambient);
        subject.presence = u32::from(presence);
        subject.sibling_tokens = tokens.concat();
        // One slot of its own makes it the eldest's sibling.
        let slot = common[0];
        subject.sibling_tokens[slot * TOKEN..(slot + 1) * TOKEN].copy_from_slice(&first[slot]);
        between.push(subject);
    }
    let ask = async |from: &str, channel: &Channel, number: usize| {
        let template = lookup(&coalition, from, "pl", 1);
        let mut payload = pb::LookupQuery::default();
        let _ = template.payload(|query| payload = query.clone());
        let bodies = [eldest.encode_to_vec(), between[number].encode_to_vec()];
        let draft = Draft::new(&coalition, from, "pl", payload, &bodies);
        let answer = pb::LookupQuery::send(channel.clone(), draft.sign())
            .await
            .unwrap();
        let Some(pb::item::Form::Full(item)) = &answer.items[0].form else {
            panic!("an answer without its item");
        };
        pb::LookupResult::decode(&item[16..]).unwrap().grade
    };
    // To who has tried nothing yet, the right date shows in the eldest's grade: there is something to
    // be swept.
    let other = coalition.channel("de", "pl").await;
    let last = guesses.len() - 1;
    let wrong = ask("de", &other, 0).await;
    let telling = ask("de", &other, last).await;
    assert_ne!(wrong, telling);
    // Though the eldest's own tokens stay the same, five guesses at its brother are all there are.
    let channel = coalition.channel("ua", "pl").await;
    for number in 0..PROBE_LIMIT {
        assert_eq!(ask("ua", &channel, number).await, wrong);
    }
    assert_eq!(ask("ua", &channel, last).await, wrong);
    assert!(is_alerted(&coalition, "PROBE_LIMIT").await);
}
