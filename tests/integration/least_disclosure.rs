//! The least that serves: over every field, purpose, protection, role and history of decisions, not one
//! octet goes out, is logged or traced, is kept as evidence, or lies in clear in a backup that policy and
//! people did not grant.

use std::collections::BTreeSet;

use prost::Message as _;
use wayhome::envelope::ItemEvidence;
use wayhome::proto::exchange as xpb;
use wayhome::proto::operator::CreateBackupRequest;
use wayhome::proto::operator::backup_service_client::BackupServiceClient;
use wayhome::records::{Column, FIELDS, FieldClass};
use wayhome::roster::Purpose;
use wayhome::store::EvidencePart;

use crate::coalition::Coalition;
use crate::exchange::search_as;
use crate::forge::{Draft, Logs, Sent, disclosure, standing_clock};
use crate::office::{ADMINISTRATOR, Office, reason};
use crate::traces::Finder;

/// A child for each protection. The last becomes silent once it was found.
const CHILDREN: [(&str, &str, &str, &str, &str); 4] = [
    ("none", "Kowalczuk", "Aleksander", "2014-05-03", "Mariupol"),
    ("alert", "Melnyk", "Dmytro", "2011-09-27", "Berdyansk"),
    ("human_only", "Bondarenko", "Iryna", "2015-02-14", "Donetsk"),
    ("silent", "Tkachenko", "Sofia", "2013-07-08", "Luhansk"),
];

/// What people did with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum History {
    Nobody,
    One,
    OneTwice,
    Two,
    Denied,
    Alone,
    /// Two approved, and the holder withdrew it.
    Withdrawn,
    /// Two approved, and who asked took it back.
    TakenBack,
}

const HISTORIES: [History; 8] = [
    History::Nobody,
    History::One,
    History::OneTwice,
    History::Two,
    History::Denied,
    History::Alone,
    History::Withdrawn,
    History::TakenBack,
];

const PURPOSES: [Purpose; 5] = [
    Purpose::FamilyTracing,
    Purpose::Reunification,
    Purpose::IdentityVerification,
    Purpose::ChildProtection,
    Purpose::Audit,
];

/// How many people have to approve by the shipped policy, written down anew for this test; `None` if
/// nobody can.
fn people(column: Column, purpose: Purpose, protection: &str) -> Option<usize> {
    use Purpose::{Audit, ChildProtection, FamilyTracing, IdentityVerification, Reunification};
    if purpose == Audit {
        return None;
    }
    let tracing = matches!(purpose, FamilyTracing | Reunification);
    let needed = match (column, column.field().class) {
        (_, FieldClass::Internal) => return None,
        (Column::CurrentPlace | Column::Status, _) if tracing => 0,
        (Column::Status, _) if purpose == ChildProtection => 0,
        (Column::LastKnownPlace, _) if purpose == Reunification => 0,
        (_, FieldClass::Identity | FieldClass::Place) => 1,
        (_, FieldClass::Legal) if matches!(purpose, IdentityVerification | Reunification) => 1,
        (_, FieldClass::Legal) => 2,
        (_, FieldClass::Contact) if tracing || purpose == ChildProtection => 2,
        (_, FieldClass::Note | FieldClass::Health) if purpose == ChildProtection => 2,
        _ => return None,
    };
    match protection {
        "silent" => None,
        "human_only" => Some(needed.max(2)),
        _ => Some(needed),
    }
}

fn granted(column: Column, purpose: Purpose, protection: &str, history: History) -> bool {
    let Some(needed) = people(column, purpose, protection) else {
        return false;
    };
    let alone = purpose == Purpose::ChildProtection
        && protection != "human_only"
        && matches!(
            column.field().class,
            FieldClass::Place | FieldClass::Contact
        );
    match history {
        History::Nobody | History::Denied => needed == 0,
        History::One | History::OneTwice => needed <= 1,
        History::Two => needed <= 2,
        // Where one is enough, one alone is.
        History::Alone => needed <= 1 || alone,
        History::Withdrawn | History::TakenBack => false,
    }
}

/// A value that stands for one field of one child and nowhere else, where the field can hold one.
fn marker(column: Column, protection: &str) -> Option<String> {
    let fits = !matches!(
        column,
        Column::Sex
            | Column::DateOfBirth
            | Column::Protection
            | Column::Consent
            | Column::FamilyName
            | Column::GivenName
            | Column::PlaceOfBirth
            | Column::MotherGivenName
            | Column::MotherFamilyName
            | Column::FamilyRef
            | Column::DocumentNumber
    );
    fits.then(|| match column {
        Column::Status => format!("zq_{protection}_status_zq"),
        _ => format!("Zq {protection} {} qZ", column.name().replace('_', " ")),
    })
}

/// The number of a child's document.
fn document(number: usize) -> String {
    format!("ZQ4711081{number}")
}

/// What identifies the children, and is in both registers: nothing of it is ever in clear but in what
/// was told. Sexes and dates are too short to be told from chance.
fn identities() -> Vec<String> {
    let named = CHILDREN.iter().enumerate();
    named
        .flat_map(|(number, (_, family, given, _, place))| {
            [family, given, place]
                .map(|name| (*name).to_owned())
                .into_iter()
                .chain([document(number)])
        })
        .chain(["Olena".to_owned()])
        .collect()
}

fn held(number: usize, silent: bool) -> Vec<(&'static str, String)> {
    let (protection, family, given, born, place) = CHILDREN[number];
    let mut fields = vec![
        ("document_number", document(number)),
        ("family_name", family.to_owned()),
        ("given_name", given.to_owned()),
        ("date_of_birth", born.to_owned()),
        ("place_of_birth", place.to_owned()),
        ("mother_given_name", "Olena".to_owned()),
        ("consent", "tracing".to_owned()),
        ("sex", if number < 2 { "M" } else { "F" }.to_owned()),
        (
            "protection",
            if protection == "silent" && !silent {
                "none"
            } else {
                protection
            }
            .to_owned(),
        ),
    ];
    for field in FIELDS {
        if let Some(value) = marker(field.column, protection) {
            fields.push((field.name, value));
        }
    }
    fields
}

fn borrowed<'a>(fields: &'a [(&'static str, String)]) -> Vec<(&'a str, &'a str)> {
    fields
        .iter()
        .map(|(name, value)| (*name, value.as_str()))
        .collect()
}

#[tokio::test]
async fn not_one_octet_goes_out_that_was_not_granted() {
    let (logs, _guard) = Logs::capture_at(tracing::Level::TRACE);
    let (_, ambient) = standing_clock();
    let mut coalition = Coalition::found_at(ambient, |roster| {
        for member in &mut roster.members {
            if member.roles.member {
                member.purposes = PURPOSES.to_vec();
            }
        }
    });
    let hook = coalition.path("pl").join("told");
    tell_people(&coalition, &hook);
    for member in ["ua", "pl", "de"] {
        coalition.start_node(member).await;
    }
    let register: Vec<Vec<(&str, String)>> = (0..CHILDREN.len()).map(|n| held(n, false)).collect();
    let register: Vec<Vec<(&str, &str)>> = register.iter().map(|fields| borrowed(fields)).collect();
    let asked: Vec<Vec<(&str, &str)>> = CHILDREN
        .iter()
        .map(|(reference, family, given, born, place)| {
            vec![
                ("record_ref", *reference),
                ("family_name", *family),
                ("given_name", *given),
                ("date_of_birth", *born),
                ("place_of_birth", *place),
                ("mother_given_name", "Olena"),
                ("consent", "tracing"),
            ]
        })
        .collect();
    let refs: Vec<&[(&str, &str)]> = register.iter().map(Vec::as_slice).collect();
    coalition.import("pl", &refs).await;
    let refs: Vec<&[(&str, &str)]> = asked.iter().map(Vec::as_slice).collect();
    coalition.import("ua", &refs).await;
    let pl = Office::found(
        &coalition,
        "pl",
        &[
            ("anna", &["approver"]),
            ("boris", &["approver"]),
            ("steward", &["steward"]),
            ("worker", &["caseworker"]),
            ("auditor", &["auditor"]),
        ],
    )
    .await;
    let mut leads = Vec::new();
    for (reference, ..) in CHILDREN {
        let socket = coalition.path("ua").join("operator.sock");
        let nobody = wayhome::node::operator_client_as(&socket, None)
            .await
            .unwrap();
        let answers = search_as(nobody, reference).await;
        let answer = answers.iter().find(|answer| answer.member == "pl").unwrap();
        let lead = &answer.results[0].leads[0].lead;
        leads.push(hex::decode(lead.strip_prefix("pl:").unwrap()).unwrap());
    }
    let silent = held(3, true);
    pl.records("steward")
        .await
        .import_records(tokio_stream::iter([
            wayhome::proto::operator::ImportRecordsRequest {
                records: vec![wayhome::proto::operator::Record {
                    fields: silent
                        .iter()
                        .map(|(name, value)| ((*name).to_owned(), value.clone()))
                        .collect(),
                }],
            },
        ]))
        .await
        .unwrap();

    let markers: Vec<(Column, &str, String)> = CHILDREN
        .iter()
        .flat_map(|(protection, ..)| {
            FIELDS.iter().filter_map(move |field| {
                let value = marker(field.column, protection)?;
                Some((field.column, *protection, value))
            })
        })
        .collect();
    let finder = Finder::new(markers.iter().map(|(_, _, value)| value.as_str()));
    let identities = identities();
    let identities = Finder::new(identities.iter().map(String::as_str));
    let nowhere = [&finder, &identities];
    let mut seen = Seen::default();
    let mut combinations = 0;
    let mut told_in_all = BTreeSet::new();
    for (number, (protection, ..)) in CHILDREN.iter().enumerate() {
        for purpose in PURPOSES {
            for history in HISTORIES {
                let answers = play(&coalition, &pl, &leads[number], purpose, history).await;
                for (step, answer) in answers.iter().enumerate() {
                    // What may be told by then: with the last answer all was done.
                    let done = if step + 1 == answers.len() {
                        history
                    } else {
                        History::Nobody
                    };
                    let place = format!("{protection} {purpose} {history:?} {step}");
                    for (column, name) in told(answer) {
                        assert!(
                            granted(column, purpose, protection, done),
                            "{place}: {name}"
                        );
                        told_in_all.insert((protection, column));
                    }
                    for (_, found, _) in finder.find(&answer.encode_to_vec()) {
                        let (column, of, _) = &markers[found];
                        assert_eq!(of, protection, "{place}");
                        assert!(
                            granted(*column, purpose, protection, done),
                            "{place}: {}",
                            column.name()
                        );
                    }
                }
                seen.look_through(&logs, &nowhere);
                let last: BTreeSet<Column> = told(answers.last().unwrap())
                    .into_iter()
                    .map(|(column, _)| column)
                    .collect();
                for field in FIELDS {
                    let is_there = held(number, true)
                        .iter()
                        .any(|(name, _)| *name == field.name);
                    let expected = is_there && granted(field.column, purpose, protection, history);
                    assert_eq!(
                        last.contains(&field.column),
                        expected,
                        "{protection} {purpose} {history:?}: {}",
                        field.name
                    );
                    combinations += 1;
                }
            }
        }
    }
    assert_eq!(
        combinations,
        CHILDREN.len() * PURPOSES.len() * HISTORIES.len() * FIELDS.len()
    );
    // The test sees what goes out: with two approvals nearly everything of an open record does.
    assert!(told_in_all.len() > 40, "{}", told_in_all.len());

    // Nothing of it is in what the nodes and the libraries under them log or trace, in any leaf, or,
    // sealed as they are, in the databases, their journals and their backups.
    let backup = back_up(&coalition, "pl").await;
    seen.look_through(&logs, &nowhere);
    assert!(seen.alerts, "nothing was captured");
    assert!(seen.traces > 100, "{} lines of traces", seen.traces);
    for member in ["ua", "pl"] {
        let store = coalition.store(member).await;
        let mut kept = BTreeSet::new();
        for (index, leaf) in (0..).zip(store.leaves(0, 1_000_000).await.unwrap()) {
            is_clean(&nowhere, &leaf, &format!("leaf {index} of {member}"));
            for part in [
                EvidencePart::Query,
                EvidencePart::Answer,
                EvidencePart::Opening,
            ] {
                let Some(evidence) = store.evidence(index, part).await.unwrap() else {
                    continue;
                };
                let at = format!("evidence {index} of {member}");
                is_clean(&nowhere, &evidence.envelope, &at);
                let granted = granted_in(&evidence);
                for item in &evidence.items {
                    let ItemEvidence::Full(item) = item else {
                        continue;
                    };
                    for (_, found, _) in finder.find(item) {
                        let (column, ..) = &markers[found];
                        // Of this very answer, and not only of some other.
                        assert!(
                            part == EvidencePart::Answer && granted.contains(column.name()),
                            "{at} keeps {}",
                            column.name()
                        );
                        kept.insert(found);
                    }
                }
            }
        }
        // Evidence keeps what was told, and only that.
        for found in kept {
            let (column, protection, _) = &markers[found];
            assert!(
                told_in_all.contains(&(protection, *column)),
                "{member} keeps {protection} {}",
                column.name()
            );
        }
        store.close().await;
        for file in ["wayhome.db", "wayhome.db-wal"] {
            if let Ok(bytes) = std::fs::read(coalition.path(member).join(file)) {
                is_clean(&nowhere, &bytes, &format!("{file} of {member}"));
            }
        }
        for file in std::fs::read_dir(coalition.path(member).join("journal")).unwrap() {
            let path = file.unwrap().path();
            let bytes = std::fs::read(&path).unwrap();
            assert!(!bytes.is_empty(), "{}", path.display());
            is_clean(&nowhere, &bytes, &path.display().to_string());
        }
    }
    // Neither sealed, nor opened with the backup key, nor put together again.
    for path in files_under(backup.path()) {
        let bytes = std::fs::read(&path).unwrap();
        is_clean(&nowhere, &bytes, &path.display().to_string());
    }
    // What people are told of requests says nothing of whom they are about.
    crate::process::comes("what people are told", async || {
        std::fs::read(&hook).is_ok_and(|told| !told.is_empty())
    })
    .await;
    is_clean(&nowhere, &std::fs::read(&hook).unwrap(), "the hook");
    by_role(&pl, &nowhere).await;
    let again = wayhome::store::Store::look_at(&backup.path().join("again/wayhome.db"))
        .await
        .unwrap();
    assert_eq!(again.records, CHILDREN.len() as u64);
}

/// What was looked through of the log, so that it need not be held whole.
#[derive(Default)]
struct Seen {
    alerts: bool,
    traces: usize,
}

impl Seen {
    fn look_through(&mut self, logs: &Logs, finders: &[&Finder]) {
        let lines = logs.take();
        self.alerts |= lines.iter().any(|line| line.contains("break_glass"));
        self.traces += lines.iter().filter(|line| line.contains("TRACE")).count();
        let all = lines.join("\n");
        let mut found = finders
            .iter()
            .flat_map(|finder| finder.find(all.as_bytes()));
        if let Some((at, found, form)) = found.next() {
            let from = all[..at].rfind('\n').map_or(0, |end| end + 1);
            let line = all[from..].lines().next().unwrap_or_default();
            panic!("value {found} as {form:?} in: {line}");
        }
    }
}

fn is_clean(finders: &[&Finder], bytes: &[u8], place: &str) {
    for finder in finders {
        assert_eq!(finder.find(bytes), [], "{place}");
    }
}

/// Has a node that does not run yet write what people are told into a file.
fn tell_people(coalition: &Coalition, file: &std::path::Path) {
    use wayhome::node::{Config, Directory};
    let directory = Directory::new(coalition.path("pl"));
    let mut config = Config::load(&directory).unwrap();
    let script = format!("cat >> '{}'", file.display());
    config.notify.command = ["/bin/sh", "-c", &script].map(str::to_owned).to_vec();
    directory.write("node.toml", &config.to_text()).unwrap();
    std::fs::write(file, "").unwrap();
}

/// The fields that an answer grants, as its signed part says; none for anything else.
fn granted_in(evidence: &wayhome::store::Evidence) -> BTreeSet<String> {
    let message = wayhome::exchange::message::to_wire(evidence);
    let Some(envelope) = message.envelope else {
        return BTreeSet::new();
    };
    if envelope.payload_type != <xpb::DisclosureAnswer as wayhome::exchange::message::Payload>::TYPE
    {
        return BTreeSet::new();
    }
    let answer = xpb::DisclosureAnswer::decode(envelope.payload.as_slice()).unwrap();
    answer
        .granted
        .unwrap_or_default()
        .paths
        .into_iter()
        .collect()
}

/// Whoever has no business with values is refused them, or is shown none.
async fn by_role(pl: &Office, finders: &[&Finder]) {
    use wayhome::proto::operator as opb;
    let listed = pl
        .requests("auditor")
        .await
        .list_requests(opb::ListRequestsRequest {
            state: "all".to_owned(),
            limit: 1_000,
        })
        .await
        .unwrap()
        .into_inner();
    assert!(!listed.requests.is_empty());
    is_clean(finders, &listed.encode_to_vec(), "the auditor's list");
    let request = listed.requests[0].request.clone();
    let got = pl
        .requests("auditor")
        .await
        .get_request(opb::GetRequestRequest {
            request: request.clone(),
        })
        .await
        .unwrap()
        .into_inner();
    is_clean(finders, &got.encode_to_vec(), "the auditor's request");
    for person in ["worker", "steward", ADMINISTRATOR] {
        let mut requests = pl.requests(person).await;
        let listed = requests.list_requests(opb::ListRequestsRequest::default());
        assert_eq!(reason(listed.await), "ROLE_MISSING", "{person}");
        let got = requests.get_request(opb::GetRequestRequest {
            request: request.clone(),
        });
        assert_eq!(reason(got.await), "ROLE_MISSING", "{person}");
    }
    for person in ["worker", "steward", ADMINISTRATOR, "auditor"] {
        let mut requests = pl.requests(person).await;
        let shown = requests.show_request(opb::ShowRequestRequest {
            request: request.clone(),
        });
        assert_eq!(reason(shown.await), "ROLE_MISSING", "{person}");
    }
    for person in ["anna", "steward", ADMINISTRATOR, "auditor"] {
        let mut asked = pl.disclosures(person).await;
        let shown = asked.show_asked(opb::ShowAskedRequest {
            request: format!("ua:{request}"),
        });
        assert_eq!(reason(shown.await), "ROLE_MISSING", "{person}");
    }
    for person in ["anna", ADMINISTRATOR, "auditor"] {
        let mut records = pl.records(person).await;
        let record = records.get_record(opb::GetRecordRequest {
            record_ref: "Zq none record ref qZ".to_owned(),
            ..opb::GetRecordRequest::default()
        });
        assert_eq!(reason(record.await), "ROLE_MISSING", "{person}");
    }
}

/// Backs a running node up, and puts the backup together in a folder beside the archives.
async fn back_up(coalition: &Coalition, member: &str) -> tempfile::TempDir {
    use wayhome::node::backup::{self, Sources};
    use wayhome::node::{Config, Directory};
    let place = tempfile::tempdir().unwrap();
    let path = |name: &str| place.path().join(name);
    let secret = path("backup.key");
    let directory = Directory::new(coalition.path(member));
    let mut config = Config::load(&directory).unwrap();
    config.backup.recipient = Some(backup::keygen(&secret, &coalition.ambient).unwrap());
    directory.write("node.toml", &config.to_text()).unwrap();
    let (data, keys) = (path("data"), path("keys"));
    BackupServiceClient::new(coalition.operator(member).await)
        .create_backup(CreateBackupRequest {
            path: data.display().to_string(),
            keys_path: keys.display().to_string(),
        })
        .await
        .unwrap();
    let again = Directory::new(path("again"));
    let sources = Sources {
        data: &data,
        keys: Some(&keys),
        secret: &secret,
        journals: &[],
        replace: false,
    };
    backup::restore(&again, sources, &coalition.ambient)
        .await
        .unwrap();
    place
}

fn files_under(folder: &std::path::Path) -> Vec<std::path::PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(files_under(&path));
        } else {
            files.push(path);
        }
    }
    files
}

/// Asks for every field, lets people do what the history says, and asks again after each step.
async fn play(
    coalition: &Coalition,
    pl: &Office,
    lead: &[u8],
    purpose: Purpose,
    history: History,
) -> Vec<xpb::SignedMessage> {
    let names: Vec<&str> = FIELDS.iter().map(|field| field.name).collect();
    let draft = || {
        disclosure(coalition, "ua", "pl", lead, &names).payload(|query| {
            query.set_purpose(wayhome::exchange::purpose_to(purpose));
        })
    };
    let channel = coalition.channel("ua", "pl").await;
    let first = xpb::DisclosureQuery::send(channel.clone(), draft().sign())
        .await
        .unwrap();
    let payload = &first.envelope.as_ref().unwrap().payload;
    let answered = xpb::DisclosureAnswer::decode(payload.as_slice()).unwrap();
    let waits = !answered.waiting.unwrap().paths.is_empty();
    let request = hex::encode(&answered.request_id);
    let poll = async |take_back: bool| {
        let mut payload = None;
        let _ = draft().payload(|query| {
            query.request_id.clone_from(&answered.request_id);
            query.take_back = take_back;
            payload = Some(query.clone());
        });
        let nothing: [Vec<u8>; 0] = [];
        let draft = Draft::new(coalition, "ua", "pl", payload.unwrap(), &nothing);
        xpb::DisclosureQuery::send(channel.clone(), draft.sign())
            .await
            .unwrap()
    };
    let mut answers = vec![first];
    if waits {
        // Whoever has no part in it does nothing, in whatever role.
        for person in ["worker", "auditor", "steward", ADMINISTRATOR] {
            let digest = "0".repeat(64);
            let tried = pl.approve_seen(person, &request, &digest, &[], false).await;
            assert_eq!(reason(tried), "ROLE_MISSING", "{person}");
        }
        answers.push(poll(false).await);
        match history {
            History::Nobody => {}
            History::One => {
                pl.approve("anna", &request).await.unwrap();
            }
            History::OneTwice => {
                pl.approve("anna", &request).await.unwrap();
                let _ = pl.approve("anna", &request).await;
            }
            History::Two | History::Withdrawn | History::TakenBack => {
                pl.approve("anna", &request).await.unwrap();
                // What one was enough for is settled.
                let _ = pl.approve("boris", &request).await;
            }
            History::Denied => {
                pl.deny("anna", &request).await.unwrap();
            }
            History::Alone => {
                let shown = pl.show("anna", &request).await;
                for field in &shown.summary.unwrap().fields {
                    let digest = pl.show("anna", &request).await.digest;
                    if field.state == "waiting" {
                        let _ = pl
                            .approve_seen("anna", &request, &digest, &[&field.name], true)
                            .await;
                    }
                }
            }
        }
    }
    if history == History::Withdrawn {
        pl.requests("anna")
            .await
            .withdraw_request(wayhome::proto::operator::WithdrawRequestRequest {
                request: request.clone(),
            })
            .await
            .unwrap();
    }
    answers.push(poll(history == History::TakenBack).await);
    answers
}

fn told(answer: &xpb::SignedMessage) -> Vec<(Column, String)> {
    answer
        .items
        .iter()
        .map(|item| {
            let Some(xpb::item::Form::Full(bytes)) = &item.form else {
                panic!("an item is erased");
            };
            let field = xpb::DisclosedField::decode(&bytes[16..]).unwrap();
            (Column::from_name(&field.name).unwrap(), field.name)
        })
        .collect()
}
