//! Disclosure: what a holder tells of the record behind a lead, and what it never tells.

use prost::Message as _;
use tonic::transport::Channel;
use tonic::{Code, Status};
use wayhome::ambient::ManualClock;
use wayhome::exchange::disclose::{MAX_FIELDS, MAX_JUSTIFICATION};
use wayhome::exchange::hearsay::FIELD;
use wayhome::exchange::lookup::LEAD_LIFETIME_MS;
use wayhome::proto::exchange as pb;
use wayhome::proto::exchange::Act;
use wayhome::proto::operator::EraseRecordRequest;
use wayhome::proto::operator::record_service_client::RecordServiceClient;

use crate::coalition::Coalition;
use crate::exchange::search;
use crate::forge::{Draft, Sent, disclosure, lookup, refusal, standing_clock};

type Fields<'a> = Vec<(&'a str, &'a str)>;

/// Children as two registers write them: home and abroad, the same save for the spelling.
const CHILDREN: [(&str, [&str; 5], [&str; 5]); 5] = [
    (
        "1",
        ["Ковальчук", "Олександр", "2014-05-03", "Маріуполь", "Олена"],
        ["Kowalczuk", "Aleksander", "2014-05-03", "Mariupol", "Olena"],
    ),
    (
        "2",
        ["Шевченко", "Марія", "2012-11-20", "Херсон", "Наталія"],
        ["Szewczenko", "Maria", "2012-11-20", "Chersoń", "Natalia"],
    ),
    (
        "3",
        ["Бондаренко", "Іван", "2015-02-14", "Донецьк", "Ірина"],
        ["Bondarenko", "Iwan", "2015-02-14", "Donieck", "Iryna"],
    ),
    (
        "4",
        ["Ткаченко", "Софія", "2013-07-08", "Луганськ", "Ганна"],
        ["Tkaczenko", "Sofia", "2013-07-08", "Ługańsk", "Hanna"],
    ),
    (
        "5",
        ["Мельник", "Дмитро", "2011-09-27", "Бердянськ", "Тетяна"],
        ["Melnyk", "Dmytro", "2011-09-27", "Berdiańsk", "Tetiana"],
    ),
];

fn record<'a>(reference: &'a str, child: &[&'a str; 5], more: &[(&'a str, &'a str)]) -> Fields<'a> {
    let [family, given, born, place, mother] = *child;
    let mut fields = vec![
        ("record_ref", reference),
        ("family_name", family),
        ("given_name", given),
        ("date_of_birth", born),
        ("place_of_birth", place),
        ("mother_family_name", family),
        ("mother_given_name", mother),
    ];
    fields.extend_from_slice(more);
    fields
}

async fn import(coalition: &Coalition, id: &str, records: &[Fields<'_>]) {
    let records: Vec<&[(&str, &str)]> = records.iter().map(Vec::as_slice).collect();
    coalition.import(id, &records).await;
}

/// The register of `ua` with all the children, and that of `pl` with these protections and grounds.
async fn scene(abroad: &[(usize, &str, &str)]) -> (Coalition, ManualClock) {
    let (clock, ambient) = standing_clock();
    let coalition = Coalition::start_at(ambient, |_| {}).await;
    let home: Vec<Fields<'_>> = CHILDREN
        .iter()
        .map(|(reference, child, _)| record(reference, child, &[("consent", "tracing")]))
        .collect();
    import(&coalition, "ua", &home).await;
    let told = |&(child, protection, consent)| {
        let (reference, _, child) = CHILDREN[child];
        record(
            reference,
            &child,
            &[
                ("protection", protection),
                ("consent", consent),
                ("current_place", "Lublin"),
                ("current_carer", "foster family 12"),
                ("source", "ward of the court"),
                ("family_ref", "family 7"),
            ],
        )
    };
    let abroad: Vec<Fields<'_>> = abroad.iter().map(told).collect();
    import(&coalition, "pl", &abroad).await;
    (coalition, clock)
}

/// The grade that `pl` gives one of the children, and its first lead.
async fn found(coalition: &Coalition, reference: &str) -> (String, Option<Vec<u8>>) {
    let answers = search(coalition, "ua", reference).await;
    let answer = answers.iter().find(|answer| answer.member == "pl").unwrap();
    assert_eq!(answer.error_code, "");
    let result = &answer.results[0];
    let lead = result
        .leads
        .first()
        .map(|lead| hex::decode(lead.lead.strip_prefix("pl:").unwrap()).unwrap());
    (result.grade.clone(), lead)
}

/// What a holder said: granted fields with their values, and what was withheld.
#[derive(Debug, PartialEq)]
struct Told {
    granted: Vec<(String, String)>,
    withheld: Vec<String>,
    waiting: Vec<String>,
}

fn told(answer: &pb::SignedMessage) -> Told {
    let payload = &answer.envelope.as_ref().unwrap().payload;
    let answered = pb::DisclosureAnswer::decode(payload.as_slice()).unwrap();
    let granted: Vec<(String, String)> = answer
        .items
        .iter()
        .map(|item| {
            let Some(pb::item::Form::Full(bytes)) = &item.form else {
                panic!("an item is erased");
            };
            let field = pb::DisclosedField::decode(&bytes[16..]).unwrap();
            (field.name, field.value)
        })
        .collect();
    let names: Vec<&String> = granted.iter().map(|(name, _)| name).collect();
    assert!(answered.granted.unwrap().paths.iter().eq(names));
    Told {
        granted,
        withheld: answered.withheld.unwrap().paths,
        waiting: answered.waiting.unwrap().paths,
    }
}

async fn ask(
    coalition: &Coalition,
    from: &str,
    draft: Draft<pb::DisclosureQuery>,
) -> Result<pb::SignedMessage, Status> {
    let channel: Channel = coalition.channel(from, "pl").await;
    pb::DisclosureQuery::send(channel, draft.sign()).await
}

async fn refused(
    coalition: &Coalition,
    from: &str,
    draft: Draft<pb::DisclosureQuery>,
) -> (Code, String, String) {
    let status = ask(coalition, from, draft)
        .await
        .err()
        .expect("it was answered");
    let (code, reason) = refusal(&status);
    (code, reason, status.message().to_owned())
}

#[tokio::test]
async fn what_is_allowed_is_told_and_all_else_is_withheld_alike() {
    let (coalition, _) = scene(&[(0, "none", "tracing"), (4, "alert", "guardian")]).await;
    for reference in ["1", "5"] {
        let (grade, lead) = found(&coalition, reference).await;
        assert_eq!(grade, "MATCH");
        let lead = lead.unwrap();
        let asked = [
            "current_carer",
            "current_place",
            // The holder's own business.
            "record_ref",
            "protection",
            "consent",
            "family_ref",
            "source",
            // Allowed, but the record lacks it; and never allowed at all.
            "status",
            "note",
            "family_name",
            // Once more: it is told once.
            "current_place",
        ];
        let draft = || disclosure(&coalition, "ua", "pl", &lead, &asked);
        let withheld = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
        assert_eq!(
            told(&ask(&coalition, "ua", draft()).await.unwrap()),
            Told {
                granted: vec![("current_place".to_owned(), "Lublin".to_owned())],
                waiting: withheld(&["current_carer", "family_name"]),
                withheld: withheld(&[
                    "record_ref",
                    "protection",
                    "consent",
                    "family_ref",
                    "source",
                    "status",
                    "note",
                ]),
            }
        );
        // For another purpose, which the policy speaks of too, the same.
        let other = draft().payload(|query| query.set_purpose(pb::Purpose::Reunification));
        let answer = told(&ask(&coalition, "ua", other).await.unwrap());
        assert_eq!((answer.granted.len(), answer.withheld.len()), (1, 7));
    }
}

#[tokio::test]
async fn a_lead_is_good_for_the_member_it_was_given_to_and_no_other() {
    let (coalition, _) = scene(&[(0, "none", "tracing")]).await;
    let (_, lead) = found(&coalition, "1").await;
    let lead = lead.unwrap();
    let fields = ["current_place"];
    let foreign = disclosure(&coalition, "de", "pl", &lead, &fields);
    let foreign = refused(&coalition, "de", foreign).await;
    assert_eq!(
        (foreign.0, foreign.1.as_str()),
        (Code::NotFound, "LEAD_UNKNOWN")
    );
    // Nothing tells a lead of another member from one that was never given.
    let invented = disclosure(&coalition, "ua", "pl", &[7; 16], &fields);
    assert_eq!(refused(&coalition, "ua", invented).await, foreign);
    // Nor from one that pads an answer.
    let answer = pb::LookupQuery::send(
        coalition.channel("ua", "pl").await,
        lookup(&coalition, "ua", "pl", 1).sign(),
    )
    .await
    .unwrap();
    let Some(pb::item::Form::Full(result)) = &answer.items[0].form else {
        panic!("the result is erased");
    };
    let padding = pb::LookupResult::decode(&result[16..]).unwrap().leads;
    assert_eq!(padding.len(), 4);
    for lead in padding {
        let padded = disclosure(&coalition, "ua", "pl", &lead.lead_id, &fields);
        assert_eq!(refused(&coalition, "ua", padded).await, foreign);
    }
    // The one that it was given to can use it, and more than once.
    for _ in 0..2 {
        let own = disclosure(&coalition, "ua", "pl", &lead, &fields);
        assert_eq!(
            told(&ask(&coalition, "ua", own).await.unwrap())
                .granted
                .len(),
            1
        );
    }
}

#[tokio::test]
async fn a_lead_ends_with_its_time() {
    let (coalition, clock) = scene(&[(0, "none", "tracing")]).await;
    let (_, lead) = found(&coalition, "1").await;
    let lead = lead.unwrap();
    let fields = ["current_place"];
    let draft = |from: &str| disclosure(&coalition, from, "pl", &lead, &fields);
    clock.advance_ms(LEAD_LIFETIME_MS - 1);
    ask(&coalition, "ua", draft("ua")).await.unwrap();
    clock.advance_ms(1);
    let expired = refused(&coalition, "ua", draft("ua")).await;
    assert_eq!(
        (expired.0, expired.1.as_str()),
        (Code::FailedPrecondition, "LEAD_EXPIRED")
    );
    // To others it was never there.
    let foreign = refused(&coalition, "de", draft("de")).await;
    assert_eq!(foreign.1, "LEAD_UNKNOWN");
    // A fresh search gives a fresh one.
    let (grade, lead) = found(&coalition, "1").await;
    assert_eq!(grade, "MATCH");
    let fresh = disclosure(&coalition, "ua", "pl", &lead.unwrap(), &fields);
    ask(&coalition, "ua", fresh).await.unwrap();
}

#[tokio::test]
async fn a_request_names_known_fields_and_says_why() {
    let (coalition, _) = scene(&[(0, "none", "tracing")]).await;
    let (_, lead) = found(&coalition, "1").await;
    let lead = lead.unwrap();
    let good = || disclosure(&coalition, "ua", "pl", &lead, &["current_place"]);
    let with_fields = |fields: &[&str]| disclosure(&coalition, "ua", "pl", &lead, fields);
    let (code, reason, message) = refused(
        &coalition,
        "ua",
        with_fields(&["current_place", "shoe_size"]),
    )
    .await;
    assert_eq!(
        (code, reason.as_str()),
        (Code::InvalidArgument, "UNKNOWN_FIELD")
    );
    assert!(message.contains("shoe_size"), "{message}");
    // A name that is no name is cut, so that no status carries a page.
    let long = "x".repeat(5_000);
    let (_, reason, message) = refused(&coalition, "ua", with_fields(&[&long])).await;
    assert_eq!(reason, "UNKNOWN_FIELD");
    assert!(message.len() < 300, "{}", message.len());

    let many = vec!["current_place"; MAX_FIELDS + 1];
    let justified = |bodies: &[Vec<u8>]| {
        let mut payload = None;
        let _ = good().payload(|query| payload = Some(query.clone()));
        Draft::new(&coalition, "ua", "pl", payload.unwrap(), bodies)
    };
    let cases: Vec<(&str, Draft<pb::DisclosureQuery>)> = vec![
        ("no field", with_fields(&[])),
        ("too many fields", with_fields(&many)),
        ("no mask", good().payload(|query| query.fields = None)),
        (
            "a short lead",
            disclosure(&coalition, "ua", "pl", &lead[..15], &["status"]),
        ),
        (
            "no lead",
            disclosure(&coalition, "ua", "pl", &[], &["status"]),
        ),
        ("no justification", justified(&[])),
        ("an empty one", justified(&[Vec::new()])),
        (
            "two of them",
            justified(&[b"The family".to_vec(), b"asks.".to_vec()]),
        ),
        (
            "one that is too long",
            justified(&[vec![b'x'; MAX_JUSTIFICATION + 1]]),
        ),
        ("one that is no text", justified(&[vec![0xff; 8]])),
        ("no purpose", good().payload(|query| query.purpose = 0)),
        (
            "no legal basis",
            good().payload(|query| query.legal_basis = 0),
        ),
        (
            "a sentence for a case",
            good().payload(|query| {
                query.case_reference = "about a boy".to_owned();
            }),
        ),
    ];
    for (what, draft) in cases {
        let (code, reason, _) = refused(&coalition, "ua", draft).await;
        assert_eq!(
            (code, reason.as_str()),
            (Code::InvalidArgument, "MALFORMED"),
            "{what}"
        );
    }
    let not_permitted = good().payload(|query| query.set_purpose(pb::Purpose::ChildProtection));
    let (code, reason, _) = refused(&coalition, "ua", not_permitted).await;
    assert_eq!(
        (code, reason.as_str()),
        (Code::PermissionDenied, "PURPOSE_NOT_PERMITTED")
    );
    ask(
        &coalition,
        "ua",
        justified(&[vec![b'x'; MAX_JUSTIFICATION]]),
    )
    .await
    .unwrap();
}

#[tokio::test]
async fn what_may_be_the_child_and_who_is_under_protection_is_not_told_of() {
    let (coalition, _) = scene(&[
        (1, "human_only", "tracing"),
        (2, "silent", "tracing"),
        (3, "none", "none"),
    ])
    .await;
    // Another register holds the same children without protection: there, all are found.
    let unprotected: Vec<Fields<'_>> = CHILDREN
        .iter()
        .map(|(reference, _, child)| record(reference, child, &[("consent", "tracing")]))
        .collect();
    import(&coalition, "de", &unprotected).await;
    for (reference, expected) in [
        ("2", "POSSIBLE"),
        ("3", "NO_MATCH"),
        ("4", "NO_MATCH"),
        ("1", "NO_MATCH"),
    ] {
        let answers = search(&coalition, "ua", reference).await;
        let grades: Vec<(&str, &str)> = answers
            .iter()
            .map(|answer| (answer.member.as_str(), answer.results[0].grade.as_str()))
            .collect();
        assert_eq!(
            grades,
            [("de", "MATCH"), ("pl", expected)],
            "child {reference}"
        );
        // The sizes tell nothing.
        let sizes = answers.iter().map(|answer| answer.bytes_received);
        let (least, most) = (sizes.clone().min().unwrap(), sizes.max().unwrap());
        assert_eq!(least, most);
    }
    // A person has to look first: of a record that only may be the child, nothing is told.
    let (_, lead) = found(&coalition, "2").await;
    let draft = disclosure(
        &coalition,
        "ua",
        "pl",
        &lead.unwrap(),
        &["current_place", "status"],
    );
    assert_eq!(
        told(&ask(&coalition, "ua", draft).await.unwrap()),
        Told {
            granted: vec![],
            withheld: vec![],
            waiting: vec!["current_place".to_owned(), "status".to_owned()],
        }
    );
}

#[tokio::test]
async fn a_candidate_that_is_not_certain_gives_nothing() {
    let (_, ambient) = standing_clock();
    let coalition = Coalition::start_at(ambient, |_| {}).await;
    // The holder knows the names and the year alone: it may be the child, no more.
    let mut asked = record("UA-1", &CHILDREN[0].1, &[("consent", "tracing")]);
    asked.push(("sex", "M"));
    let held: Fields<'_> = vec![
        ("record_ref", "PL-1"),
        ("family_name", "Kowalczuk"),
        ("given_name", "Aleksander"),
        ("date_of_birth", "2014"),
        ("current_place", "Lublin"),
        ("consent", "tracing"),
    ];
    import(&coalition, "ua", &[asked]).await;
    import(&coalition, "pl", &[held]).await;
    let (grade, lead) = found(&coalition, "UA-1").await;
    assert_eq!(grade, "POSSIBLE");
    let draft = disclosure(&coalition, "ua", "pl", &lead.unwrap(), &["current_place"]);
    let answer = told(&ask(&coalition, "ua", draft).await.unwrap());
    assert_eq!((answer.granted.len(), answer.waiting.len()), (0, 1));
}

#[tokio::test]
async fn the_same_request_is_answered_with_the_very_same_octets() {
    let (mut coalition, clock) = scene(&[(0, "none", "tracing")]).await;
    let (_, lead) = found(&coalition, "1").await;
    let message = disclosure(&coalition, "ua", "pl", &lead.unwrap(), &["current_place"]).sign();
    let before = coalition.log_size("pl").await;
    let channel = coalition.channel("ua", "pl").await;
    let first = pb::DisclosureQuery::send(channel.clone(), message.clone())
        .await
        .unwrap();
    clock.advance_ms(60_000);
    let again = pb::DisclosureQuery::send(channel, message.clone())
        .await
        .unwrap();
    assert!(signed_part(&again) == signed_part(&first));
    coalition.stop_node("pl").await;
    coalition.start_node("pl").await;
    let channel = coalition.channel("ua", "pl").await;
    let restarted = pb::DisclosureQuery::send(channel, message).await.unwrap();
    assert!(signed_part(&restarted) == signed_part(&first));
    let leaves = coalition.leaves("pl", before).await;
    assert_eq!(leaves.len(), 1);
    assert!(leaves[0].act() == Act::DisclosureAnswered);
    assert_eq!(
        (leaves[0].count, leaves[0].reference.as_str()),
        (1, "current_place")
    );
    assert_eq!(leaves[0].subject.len(), 16);
}

/// All octets of an answer but those that travel beside it unsigned: what its sender has seen of the
/// others' logs by now, in a field of one size.
fn signed_part(answer: &pb::SignedMessage) -> Vec<u8> {
    assert_eq!(answer.seen_checkpoints.len(), FIELD);
    let mut signed = answer.clone();
    signed.seen_checkpoints.clear();
    signed.encode_to_vec()
}

#[tokio::test]
async fn an_erased_record_is_gone_with_its_lead() {
    let (coalition, _) = scene(&[(0, "none", "tracing")]).await;
    let (_, lead) = found(&coalition, "1").await;
    let lead = lead.unwrap();
    let told_before = disclosure(&coalition, "ua", "pl", &lead, &["current_place"]).sign();
    let channel = coalition.channel("ua", "pl").await;
    pb::DisclosureQuery::send(channel.clone(), told_before.clone())
        .await
        .unwrap();
    RecordServiceClient::new(coalition.operator("pl").await)
        .erase_record(EraseRecordRequest {
            record_ref: "1".to_owned(),
        })
        .await
        .unwrap();
    let draft = disclosure(&coalition, "ua", "pl", &lead, &["current_place"]);
    let gone = refused(&coalition, "ua", draft).await;
    assert_eq!((gone.0, gone.1.as_str()), (Code::NotFound, "LEAD_UNKNOWN"));
    // What was told before is not told again, although the message is the same.
    let again = pb::DisclosureQuery::send(channel, told_before).await;
    assert_eq!(again.err().unwrap().code(), Code::NotFound);
    // It reads like a lead that never was, and the child is found no more.
    let invented = disclosure(&coalition, "ua", "pl", &[7; 16], &["current_place"]);
    assert_eq!(refused(&coalition, "ua", invented).await, gone);
    assert_eq!(found(&coalition, "1").await.0, "NO_MATCH");
}

#[tokio::test]
async fn protection_counts_from_the_moment_it_is_set() {
    for (protection, consent) in [
        ("human_only", "tracing"),
        ("silent", "tracing"),
        ("none", "none"),
    ] {
        let (coalition, _) = scene(&[(0, "none", "tracing")]).await;
        let (_, lead) = found(&coalition, "1").await;
        let (reference, _, child) = CHILDREN[0];
        let more = [
            ("protection", protection),
            ("consent", consent),
            ("current_place", "Lublin"),
        ];
        let changed = record(reference, &child, &more);
        // No publication mark: protection does not wait for one.
        coalition.import_unpublished("pl", &[&changed]).await;
        let draft = disclosure(&coalition, "ua", "pl", &lead.unwrap(), &["current_place"]);
        match ask(&coalition, "ua", draft).await {
            Ok(answer) => assert_eq!(told(&answer).granted, [], "{protection}, {consent}"),
            Err(refused) => assert_eq!(refusal(&refused).1, "LEAD_UNKNOWN"),
        }
        assert_ne!(
            found(&coalition, "1").await.0,
            "MATCH",
            "{protection}, {consent}"
        );
    }
}

#[tokio::test]
async fn a_silent_record_is_not_told_of_again_in_an_answer_that_was_given_before() {
    let (coalition, _) = scene(&[(0, "none", "tracing")]).await;
    let (_, lead) = found(&coalition, "1").await;
    let first = disclosure(&coalition, "ua", "pl", &lead.unwrap(), &["current_place"]).sign();
    let channel = coalition.channel("ua", "pl").await;
    let told = pb::DisclosureQuery::send(channel.clone(), first.clone()).await;
    assert_eq!(told.unwrap().items.len(), 1);
    let (reference, _, child) = CHILDREN[0];
    let more = [
        ("protection", "silent"),
        ("consent", "tracing"),
        ("current_place", "Lublin"),
    ];
    let silent = record(reference, &child, &more);
    coalition.import_unpublished("pl", &[&silent]).await;
    let again = pb::DisclosureQuery::send(channel, first).await;
    assert_eq!(refusal(&again.err().unwrap()).1, "REQUEST_CLOSED");
}
