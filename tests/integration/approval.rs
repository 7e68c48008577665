//! What people decide: approvals, denials, releases, and all that is refused on the way.

use wayhome::ambient::ManualClock;
use wayhome::exchange::disclose::{GRANT_LIFETIME_MS, REQUEST_LIFETIME_MS, RETENTION_MS};
use wayhome::proto::exchange as xpb;
use wayhome::proto::exchange::Act;
use wayhome::proto::operator as pb;

use crate::coalition::{Coalition, for_protection};
use crate::exchange::search_as;
use crate::forge::{DAY_MS, Sent, disclosure, standing_clock};
use crate::office::{ADMINISTRATOR, Office, PASSWORD, decision, reason};

const ASKED: [(&str, &str); 7] = [
    ("record_ref", "UA-1"),
    ("family_name", "Ковальчук"),
    ("given_name", "Олександр"),
    ("date_of_birth", "2014-05-03"),
    ("place_of_birth", "Маріуполь"),
    ("mother_given_name", "Олена"),
    ("consent", "tracing"),
];

/// The record that is held.
pub const HELD: [(&str, &str); 11] = [
    ("record_ref", "PL-1"),
    ("family_name", "Kowalczuk"),
    ("given_name", "Aleksander"),
    ("date_of_birth", "2014-05-03"),
    ("place_of_birth", "Mariupol"),
    ("mother_given_name", "Olena"),
    ("consent", "tracing"),
    ("status", "located"),
    ("current_place", "Lublin"),
    ("current_carer", "foster family 12"),
    ("note", "afraid of dogs"),
];

/// Two members with their people: `ua` asks, `pl` holds. The steward of `pl` entered the record, and
/// is an approver too.
pub struct Scene {
    pub coalition: Coalition,
    pub clock: ManualClock,
    pub ua: Office,
    pub pl: Office,
}

impl Scene {
    /// Erases the record at its holder.
    pub async fn erase(&self) {
        let mut records = self.pl.records("steward").await;
        let erase = pb::EraseRecordRequest {
            record_ref: "PL-1".to_owned(),
        };
        records.erase_record(erase).await.unwrap();
    }

    pub async fn set() -> Self {
        Self::with(&HELD, |_| {}).await
    }

    pub async fn with(
        held: &[(&str, &str)],
        change: impl FnOnce(&mut wayhome::roster::Roster),
    ) -> Self {
        let (clock, ambient) = standing_clock();
        let coalition = Coalition::start_at(ambient, change).await;
        coalition.import("ua", &[&ASKED]).await;
        let ua = Office::found(&coalition, "ua", &[("worker", &["caseworker", "steward"])]).await;
        let people: [(&str, &[&str]); 5] = [
            ("anna", &["approver"]),
            ("boris", &["approver"]),
            ("steward", &["steward", "approver"]),
            ("worker", &["caseworker"]),
            ("auditor", &["auditor"]),
        ];
        let pl = Office::found(&coalition, "pl", &people).await;
        pl.import("steward", &[held]).await;
        Self {
            coalition,
            clock,
            ua,
            pl,
        }
    }

    /// The lead that `ua` gets on the child.
    pub async fn lead(&self) -> String {
        let answers = search_as(self.ua.person("worker").await, "UA-1").await;
        let answer = answers.iter().find(|answer| answer.member == "pl").unwrap();
        answer.results[0].leads[0].lead.clone()
    }

    pub async fn ask(&self, fields: &[&str]) -> pb::DiscloseResponse {
        self.ask_for(fields, "family_tracing", "vital_interest", "")
            .await
    }

    pub async fn ask_for(
        &self,
        fields: &[&str],
        purpose: &str,
        legal_basis: &str,
        answer_by: &str,
    ) -> pb::DiscloseResponse {
        self.ua
            .disclosures("worker")
            .await
            .disclose(pb::DiscloseRequest {
                lead: self.lead().await,
                fields: fields.iter().map(|&field| field.to_owned()).collect(),
                purpose: purpose.to_owned(),
                legal_basis: legal_basis.to_owned(),
                case_reference: "CASE-1".to_owned(),
                justification: "The family asks.".to_owned(),
                answer_by: answer_by.to_owned(),
            })
            .await
            .unwrap()
            .into_inner()
    }

    pub async fn poll(&self, request: &str) -> pb::DiscloseResponse {
        self.ua
            .disclosures("worker")
            .await
            .ask_again(pb::AskAgainRequest {
                request: request.to_owned(),
                ..pb::AskAgainRequest::default()
            })
            .await
            .unwrap()
            .into_inner()
            .answer
            .unwrap()
    }

    pub async fn kept(&self, request: &str) -> pb::ShowAskedResponse {
        self.ua
            .disclosures("worker")
            .await
            .show_asked(pb::ShowAskedRequest {
                request: request.to_owned(),
            })
            .await
            .unwrap()
            .into_inner()
    }

    /// Waits until what `ua` knows of a request is as wanted.
    pub async fn until(
        &self,
        request: &str,
        wanted: impl Fn(&pb::ShowAskedResponse) -> bool,
    ) -> pb::ShowAskedResponse {
        let look = async {
            loop {
                let kept = self.kept(request).await;
                if wanted(&kept) {
                    return kept;
                }
            }
        };
        tokio::time::timeout(crate::process::PATIENCE, look)
            .await
            .expect("nothing changed")
    }

    /// Lets time pass, and signs everybody in again.
    pub async fn pass(&mut self, ms: u64) {
        self.clock.advance_ms(ms);
        for (office, names) in [
            (&mut self.ua, &[ADMINISTRATOR, "worker"][..]),
            (
                &mut self.pl,
                &[
                    ADMINISTRATOR,
                    "anna",
                    "boris",
                    "steward",
                    "worker",
                    "auditor",
                ][..],
            ),
        ] {
            for name in names {
                office.sign_in(&self.coalition, name).await.unwrap();
            }
        }
    }

    /// Waits until the people of `pl` were told so often that requests wait.
    pub async fn pressed(&self, count: usize) {
        let look = async {
            loop {
                let told = self
                    .acts("pl")
                    .await
                    .iter()
                    .filter(|act| **act == "ACT_DISCLOSURE_ESCALATED")
                    .count();
                assert!(told <= count, "people were told {told} times");
                if told == count {
                    return;
                }
            }
        };
        tokio::time::timeout(crate::process::PATIENCE, look)
            .await
            .expect("people were not told");
    }

    pub async fn acts(&self, id: &str) -> Vec<&'static str> {
        self.coalition
            .leaves(id, 0)
            .await
            .iter()
            .map(|leaf| leaf.act().as_str_name())
            .collect()
    }
}

/// The holder's id of a request.
pub fn at_holder(answer: &pb::DiscloseResponse) -> String {
    answer.request.strip_prefix("pl:").unwrap().to_owned()
}

fn correct<'a>(
    held: &[(&'a str, &'a str)],
    field: &'a str,
    value: &'a str,
) -> Vec<(&'a str, &'a str)> {
    held.iter()
        .map(|&(name, old)| {
            if name == field {
                (name, value)
            } else {
                (name, old)
            }
        })
        .collect()
}

#[tokio::test]
async fn a_field_goes_out_once_two_different_people_have_approved_it() {
    let scene = Scene::set().await;
    let answer = scene.ask(&["current_place", "current_carer", "note"]).await;
    assert_eq!(answer.state, "partly_granted");
    assert_eq!(answer.granted["current_place"], "Lublin");
    assert_eq!(answer.waiting, ["current_carer"]);
    assert_eq!(answer.withheld, ["note"]);
    assert!(answer.no_onward_transfer);
    let request = at_holder(&answer);
    assert_eq!(scene.pl.inbox("anna").await, std::slice::from_ref(&request));
    // An auditor sees that it waits, and no value.
    assert_eq!(
        scene.pl.inbox("auditor").await,
        std::slice::from_ref(&request)
    );

    let shown = scene.pl.show("anna", &request).await;
    assert_eq!(shown.justification, "The family asks.");
    assert_eq!(shown.values["current_carer"], "foster family 12");
    assert_eq!((shown.grade.as_str(), shown.certain), ("MATCH", true));
    let before = scene.coalition.log_size("pl").await;
    let summary = scene.pl.approve("anna", &request).await.unwrap();
    assert_eq!(summary.state, "partly_granted");
    assert_eq!(scene.poll(&answer.request).await.waiting, ["current_carer"]);
    assert_eq!(
        reason(scene.pl.approve("anna", &request).await),
        "APPROVED_ALREADY"
    );
    assert_eq!(
        reason(scene.pl.approve("steward", &request).await),
        "SELF_APPROVAL"
    );
    // What was shown before the first approval is still what is decided on.
    let summary = scene
        .pl
        .approve_seen("boris", &request, &shown.digest, &[], false)
        .await
        .unwrap();
    assert_eq!(summary.state, "granted");
    assert!(scene.pl.inbox("anna").await.is_empty());

    let told = scene.poll(&answer.request).await;
    assert_eq!(told.state, "granted");
    assert_eq!(told.granted["current_carer"], "foster family 12");
    assert!(told.waiting.is_empty());
    let kept = scene.kept(&answer.request).await;
    assert_eq!(kept.values["current_carer"], "foster family 12");
    assert_eq!(kept.values["current_place"], "Lublin");

    // Both approvals stand in the log under the pseudonyms of two accounts, with the record.
    let leaves = scene.coalition.leaves("pl", before).await;
    let approvals: Vec<_> = leaves
        .iter()
        .filter(|leaf| leaf.act() == Act::DisclosureApproved)
        .collect();
    assert_eq!(approvals.len(), 2);
    assert_ne!(approvals[0].operator, approvals[1].operator);
    for approval in approvals {
        assert_eq!(approval.operator.len(), 16);
        assert_eq!(approval.subject.len(), 16);
        assert_eq!(
            approval.reference,
            format!("request={request} fields=current_carer")
        );
    }
}

#[tokio::test]
async fn a_field_that_waits_and_that_the_record_lacks_ends_like_one_that_was_denied() {
    let scene = Scene::set().await;
    let lacking = scene.ask(&["citizenship", "document_number"]).await;
    assert_eq!(lacking.state, "waiting");
    assert_eq!(lacking.waiting.len(), 2);
    let denied = scene.ask(&["current_carer", "family_name"]).await;
    assert_eq!(denied.state, "waiting");
    for name in ["anna", "boris"] {
        scene.pl.approve(name, &at_holder(&lacking)).await.unwrap();
    }
    scene.pl.deny("anna", &at_holder(&denied)).await.unwrap();
    for request in [&lacking.request, &denied.request] {
        let told = scene.poll(request).await;
        assert_eq!(told.state, "refused");
        assert_eq!((told.granted.len(), told.withheld.len()), (0, 2));
        assert!(told.waiting.is_empty() && told.denial_reason.is_empty());
    }
}

#[tokio::test]
async fn the_asking_member_is_told_why_people_denied_and_of_no_field() {
    let scene = Scene::set().await;
    let fields = ["current_carer", "family_name", "current_place"];
    let asked = scene.ask(&fields).await;
    let request = at_holder(&asked);
    let pl = &scene.pl;
    let wrong = pl.deny_because("anna", &request, "his father is known");
    assert_eq!(reason(wrong.await), "REASON");
    assert_eq!(pl.inbox("anna").await, std::slice::from_ref(&request));
    let denied = pl.deny_because("anna", &request, "too_much").await;
    assert!(denied.is_ok());
    assert!(pl.inbox("anna").await.is_empty());
    let told = scene.poll(&asked.request).await;
    assert_eq!(told.denial_reason, "too_much");
    // The node that asked keeps it, and the holder's people see it.
    let mut ours = scene.ua.disclosures("worker").await;
    let kept = ours.show_asked(pb::ShowAskedRequest {
        request: asked.request.clone(),
    });
    let kept = kept.await.unwrap().into_inner().asked.unwrap();
    assert_eq!(kept.denial_reason, "too_much");
    let history = pl.show("anna", &request).await.history;
    assert!(history[0].ends_with("(too_much)"), "{history:?}");
}

#[tokio::test]
async fn a_decision_is_refused_to_whoever_may_not_make_it() {
    let mut scene = Scene::set().await;
    let answer = scene.ask(&["current_carer"]).await;
    let request = at_holder(&answer);
    let digest = scene.pl.show("anna", &request).await.digest;
    let pl = &scene.pl;
    assert_eq!(
        reason(
            pl.approve_seen("worker", &request, &digest, &[], false)
                .await
        ),
        "ROLE_MISSING"
    );
    let nobody =
        wayhome::node::operator_client_as(&scene.coalition.path("pl").join("operator.sock"), None)
            .await
            .unwrap();
    let mut nobody =
        wayhome::proto::operator::request_service_client::RequestServiceClient::new(nobody);
    let unsigned = nobody
        .approve_request(pb::ApproveRequestRequest {
            decision: decision(&request, &digest, &[]),
            break_glass: false,
        })
        .await;
    assert_eq!(reason(unsigned), "SIGN_IN_NEEDED");
    let of_another = pl
        .approve_seen("anna", &"0".repeat(32), &digest, &[], false)
        .await;
    assert_eq!(reason(of_another), "REQUEST_UNKNOWN");
    let unknown = pl
        .approve_seen("anna", &request, &digest, &["shoe_size"], false)
        .await;
    assert_eq!(reason(unknown), "UNKNOWN_FIELD");
    let not_asked = pl
        .approve_seen("anna", &request, &digest, &["note"], false)
        .await;
    assert_eq!(reason(not_asked), "NOT_WAITING");
    let other_digest = pl
        .approve_seen("anna", &request, &"ab".repeat(32), &[], false)
        .await;
    assert_eq!(reason(other_digest), "REQUEST_EDITED");
    let alone = pl.approve_seen("anna", &request, &digest, &[], true).await;
    assert_eq!(reason(alone), "BREAK_GLASS_NOT_PERMITTED");

    // A role that was withdrawn in between, whatever the session says, counts no more: neither for a
    // decision to be made, nor for one of two that was made before.
    pl.approve("anna", &request).await.unwrap();
    pl.change("anna", &[], &["approver"]).await;
    assert_eq!(
        reason(pl.approve_seen("anna", &request, &digest, &[], false).await),
        "ROLE_WITHDRAWN"
    );
    pl.approve("boris", &request).await.unwrap();
    let told = scene.poll(&answer.request).await;
    assert_eq!((told.state.as_str(), told.granted.len()), ("waiting", 0));

    // Six minutes after the sign-in it is not fresh.
    scene.clock.advance_ms(6 * 60_000);
    assert_eq!(
        reason(
            scene
                .pl
                .approve_seen("boris", &request, &digest, &[], false)
                .await
        ),
        "SIGN_IN_AGAIN"
    );
    // And after 31 minutes without use there is no session.
    scene.clock.advance_ms(31 * 60_000);
    assert_eq!(
        reason(
            scene
                .pl
                .approve_seen("boris", &request, &digest, &[], false)
                .await
        ),
        "SESSION_ENDED"
    );
    scene.pass(DAY_MS).await;
    scene.pl.change("anna", &["approver"], &[]).await;
    scene.pl.approve("anna", &request).await.unwrap();
    assert_eq!(scene.poll(&answer.request).await.state, "granted");
    assert_eq!(
        reason(
            scene
                .pl
                .approve_seen("boris", &request, &digest, &[], false)
                .await
        ),
        "REQUEST_CLOSED"
    );
}

#[tokio::test]
async fn an_approval_is_of_what_was_shown_and_of_nothing_else() {
    let scene = Scene::set().await;
    let answer = scene.ask(&["current_carer"]).await;
    let request = at_holder(&answer);
    let digest = scene.pl.show("anna", &request).await.digest;
    scene.pl.approve("anna", &request).await.unwrap();
    // The record changes between showing and approving: the approval that was given lapses too.
    let corrected = correct(&HELD, "current_carer", "an aunt");
    scene.pl.import("steward", &[&corrected]).await;
    assert_eq!(
        reason(
            scene
                .pl
                .approve_seen("boris", &request, &digest, &[], false)
                .await
        ),
        "REQUEST_EDITED"
    );
    scene.pl.approve("boris", &request).await.unwrap();
    let told = scene.poll(&answer.request).await;
    assert_eq!((told.state.as_str(), told.granted.len()), ("waiting", 0));
    scene.pl.approve("anna", &request).await.unwrap();
    let told = scene.poll(&answer.request).await;
    assert_eq!(told.granted["current_carer"], "an aunt");

    // Another request in the place of the first is another request.
    let answer = scene.ask(&["current_carer"]).await;
    let request = at_holder(&answer);
    let digest = scene.pl.show("anna", &request).await.digest;
    let amended = scene
        .ua
        .disclosures("worker")
        .await
        .ask_again(pb::AskAgainRequest {
            request: answer.request.clone(),
            fields: vec!["current_carer".to_owned(), "family_name".to_owned()],
            justification: "The court asks for the name as well.".to_owned(),
            ..pb::AskAgainRequest::default()
        })
        .await
        .unwrap()
        .into_inner()
        .answer
        .unwrap();
    assert_eq!(amended.request, answer.request);
    assert_eq!(amended.waiting.len(), 2);
    assert_eq!(
        reason(
            scene
                .pl
                .approve_seen("anna", &request, &digest, &[], false)
                .await
        ),
        "REQUEST_EDITED"
    );
}

#[tokio::test]
async fn a_request_is_asked_about_by_the_member_that_made_it_and_in_its_own_words() {
    let scene = Scene::set().await;
    let coalition = &scene.coalition;
    let answer = scene.ask(&["current_carer"]).await;
    let request_id = hex::decode(at_holder(&answer)).unwrap();
    let lead = scene.lead().await;
    let lead = hex::decode(lead.strip_prefix("pl:").unwrap()).unwrap();
    let draft = |from: &str, lead: &[u8], fields: &[&str]| {
        disclosure(coalition, from, "pl", lead, fields).payload(|query| {
            query.request_id.clone_from(&request_id);
        })
    };
    let send = async |from: &str, message: xpb::SignedMessage| {
        reason(xpb::DisclosureQuery::send(coalition.channel(from, "pl").await, message).await)
    };
    let fields = ["current_carer"];
    assert_eq!(
        send("de", draft("de", &lead, &fields).sign()).await,
        "REQUEST_UNKNOWN"
    );
    // Another lead on the same child is not the one that the request came with.
    assert_eq!(
        send("ua", draft("ua", &lead, &fields).sign()).await,
        "REQUEST_DIFFERS"
    );
    let other_purpose = draft("ua", &lead, &fields)
        .payload(|query| query.set_purpose(xpb::Purpose::Reunification))
        .sign();
    assert_eq!(send("ua", other_purpose).await, "REQUEST_DIFFERS");
    let short = draft("ua", &lead, &fields)
        .payload(|query| query.request_id.truncate(15))
        .sign();
    assert_eq!(send("ua", short).await, "MALFORMED");
    let late = disclosure(coalition, "ua", "pl", &lead, &fields)
        .payload(|query| {
            query.answer_by = Some(wayhome::exchange::message::timestamp(
                coalition.ambient.now_ms(),
            ));
        })
        .sign();
    assert_eq!(send("ua", late).await, "MALFORMED");
}

#[tokio::test]
async fn what_is_not_certain_or_protected_waits_for_people_and_what_is_silent_for_nobody() {
    for (protection, people) in [("human_only", 2), ("none", 0), ("alert", 0)] {
        let mut held = HELD.to_vec();
        held.push(("protection", protection));
        let scene = Scene::with(&held, |_| {}).await;
        let answer = scene.ask(&["current_place"]).await;
        let request = at_holder(&answer);
        assert_eq!(answer.granted.is_empty(), people > 0, "{protection}");
        for name in ["anna", "boris"].iter().take(people) {
            assert!(scene.poll(&answer.request).await.granted.is_empty());
            scene.pl.approve(name, &request).await.unwrap();
        }
        assert_eq!(
            scene.poll(&answer.request).await.granted["current_place"],
            "Lublin"
        );
        // Silent from now on: what was granted is told no more.
        let mut silent = HELD.to_vec();
        silent.push(("protection", "silent"));
        scene.pl.import("steward", &[&silent]).await;
        let told = scene.poll(&answer.request).await;
        assert_eq!(
            (told.granted.len(), told.withheld.len()),
            (0, 1),
            "{protection}"
        );
    }
}

#[tokio::test]
async fn one_person_releases_in_an_emergency_and_another_reviews_it() {
    let scene = Scene::with(&HELD, for_protection).await;
    let answer = scene
        .ask_for(&["current_carer"], "child_protection", "court_order", "")
        .await;
    let request = at_holder(&answer);
    let digest = scene.pl.show("anna", &request).await.digest;
    let summary = scene
        .pl
        .approve_seen("anna", &request, &digest, &[], true)
        .await
        .unwrap();
    assert!(summary.review_due);
    assert_eq!(
        scene.poll(&answer.request).await.granted["current_carer"],
        "foster family 12"
    );
    assert_eq!(
        scene.pl.inbox("boris").await,
        std::slice::from_ref(&request)
    );
    let review = async |name: &str| {
        scene
            .pl
            .requests(name)
            .await
            .review_release(pb::ReviewReleaseRequest {
                request: request.clone(),
                upheld: true,
            })
            .await
    };
    assert_eq!(reason(review("anna").await), "SELF_REVIEW");
    review("auditor").await.unwrap();
    assert_eq!(reason(review("boris").await), "NO_REVIEW_DUE");
    assert!(scene.pl.inbox("boris").await.is_empty());
    let acts = scene.acts("pl").await;
    assert!(acts.contains(&"ACT_BREAK_GLASS") && acts.contains(&"ACT_BREAK_GLASS_REVIEWED"));
}

#[tokio::test]
async fn corrections_and_withdrawals_reach_whoever_was_told() {
    let mut scene = Scene::set().await;
    let answer = scene.ask(&["current_place", "current_carer"]).await;
    let request = at_holder(&answer);
    scene.pressed(1).await;
    for name in ["anna", "boris"] {
        scene.pl.approve(name, &request).await.unwrap();
    }
    scene.poll(&answer.request).await;

    // The holder's node tells of a change as soon as it is in the register.
    scene
        .pl
        .import("steward", &[&correct(&HELD, "current_place", "Gdynia")])
        .await;
    let kept = scene
        .until(&answer.request, |kept| {
            kept.asked.as_ref().unwrap().state == "corrected"
        })
        .await;
    assert_eq!(kept.asked.unwrap().outdated, ["current_place"]);
    // The child is the same, so the place is told as before; the carer has to be approved anew, and
    // people are told so.
    scene.pressed(2).await;
    let told = scene.poll(&answer.request).await;
    assert_eq!(told.granted["current_place"], "Gdynia");
    assert_eq!(told.waiting, ["current_carer"]);
    assert_eq!(
        scene.kept(&answer.request).await.values["current_place"],
        "Gdynia"
    );

    // Both sides' logs tell the same of it, and hold.
    assert!(scene.acts("ua").await.contains(&"ACT_NOTICE_ANSWERED"));

    // A receiver that is away hears of it when it is back.
    scene.coalition.stop_node("ua").await;
    scene
        .pl
        .requests("boris")
        .await
        .withdraw_request(pb::WithdrawRequestRequest {
            request: request.clone(),
        })
        .await
        .unwrap();
    let again = scene
        .pl
        .requests("boris")
        .await
        .withdraw_request(pb::WithdrawRequestRequest {
            request: request.clone(),
        })
        .await;
    assert_eq!(reason(again), "REQUEST_CLOSED");
    scene.coalition.start_node("ua").await;
    scene.clock.advance_ms(60_000);
    let kept = scene
        .until(&answer.request, |kept| {
            kept.asked.as_ref().unwrap().state == "withdrawn"
        })
        .await;
    assert!(kept.values.is_empty());
    let told = scene.poll(&answer.request).await;
    assert_eq!((told.state.as_str(), told.granted.len()), ("withdrawn", 0));
    let acknowledged = async { while !scene.acts("pl").await.contains(&"ACT_NOTICE_RECEIVED") {} };
    tokio::time::timeout(crate::process::PATIENCE, acknowledged)
        .await
        .unwrap();
}

#[tokio::test]
async fn what_was_told_is_withdrawn_with_its_record() {
    let scene = Scene::set().await;
    let answer = scene.ask(&["current_place"]).await;
    scene.erase().await;
    let kept = scene
        .until(&answer.request, |kept| {
            kept.asked.as_ref().unwrap().state == "withdrawn"
        })
        .await;
    assert!(kept.values.is_empty());
}

#[tokio::test]
async fn time_ends_requests_grants_and_what_was_told() {
    let mut scene = Scene::set().await;
    let waiting = scene.ask(&["current_carer"]).await;
    let granted = scene.ask(&["current_place"]).await;
    scene
        .pass(REQUEST_LIFETIME_MS.max(GRANT_LIFETIME_MS) + 1)
        .await;
    for (request, kept) in [(&waiting.request, 0), (&granted.request, 1)] {
        let told = scene.poll(request).await;
        assert_eq!((told.state.as_str(), told.granted.len()), ("expired", 0));
        // What was told before stays until its own date.
        assert_eq!(scene.kept(request).await.values.len(), kept);
    }
    scene.pass(RETENTION_MS).await;
    let kept = scene
        .until(&granted.request, |kept| kept.values.is_empty())
        .await;
    assert_eq!(kept.asked.unwrap().retain_until, "");
    assert!(scene.acts("ua").await.contains(&"ACT_RECEIVED_ERASED"));
}

#[tokio::test]
async fn a_request_that_was_taken_back_is_decided_no_more() {
    let scene = Scene::set().await;
    let answer = scene.ask(&["current_carer"]).await;
    let request = at_holder(&answer);
    let digest = scene.pl.show("anna", &request).await.digest;
    let taken = scene
        .ua
        .disclosures("worker")
        .await
        .ask_again(pb::AskAgainRequest {
            request: answer.request.clone(),
            take_back: true,
            ..pb::AskAgainRequest::default()
        })
        .await
        .unwrap()
        .into_inner()
        .answer
        .unwrap();
    assert_eq!(taken.state, "withdrawn");
    assert_eq!(
        reason(
            scene
                .pl
                .approve_seen("anna", &request, &digest, &[], false)
                .await
        ),
        "REQUEST_CLOSED"
    );
    assert!(scene.pl.inbox("anna").await.is_empty());
}

#[tokio::test]
async fn a_requester_that_watches_hears_of_a_decision() {
    let scene = Scene::set().await;
    let answer = scene.ask(&["current_carer"]).await;
    let mut changes = scene
        .ua
        .disclosures("worker")
        .await
        .watch_asked(pb::WatchAskedRequest {
            member: "pl".to_owned(),
        })
        .await
        .unwrap()
        .into_inner();
    let request = at_holder(&answer);
    let granted = async {
        loop {
            let change = changes.message().await.unwrap().unwrap();
            assert_eq!(change.request, answer.request);
            if change.state == "granted" {
                return;
            }
        }
    };
    let decide = async {
        scene.clock.advance_ms(1);
        scene.pl.approve("anna", &request).await.unwrap();
        scene.clock.advance_ms(1);
        scene.pl.approve("boris", &request).await.unwrap();
    };
    tokio::time::timeout(crate::process::PATIENCE, async {
        tokio::join!(granted, decide);
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn an_urgent_request_is_pressed_until_it_is_decided() {
    let mut scene = Scene::set().await;
    let by = wayhome::roster::Timestamp::from_unix(scene.coalition.ambient.now() + 3600);
    let answer = scene
        .ask_for(
            &["current_carer"],
            "family_tracing",
            "vital_interest",
            &by.to_string(),
        )
        .await;
    let request = at_holder(&answer);
    // That it is there, that half the time has passed, that it is overdue.
    scene.pressed(1).await;
    scene.clock.advance_ms(1_800_000);
    scene.pressed(2).await;
    scene.clock.advance_ms(1_800_000);
    scene.pressed(3).await;
    scene.pass(60_000).await;
    assert!(
        scene
            .pl
            .show("anna", &request)
            .await
            .summary
            .unwrap()
            .overdue
    );
}

#[tokio::test]
async fn accounts_are_claimed_once_and_nobody_else_knows_a_password() {
    let (clock, ambient) = standing_clock();
    let coalition = Coalition::start_at(ambient, |_| {}).await;
    // Before there is any account the node's operator keeps the register, and decides nothing.
    coalition.import("pl", &[&HELD]).await;
    let mut requests = wayhome::proto::operator::request_service_client::RequestServiceClient::new(
        coalition.operator("pl").await,
    );
    let decided = requests
        .approve_request(pb::ApproveRequestRequest {
            decision: decision(&"0".repeat(32), &"0".repeat(64), &[]),
            break_glass: false,
        })
        .await;
    assert_eq!(reason(decided), "SIGN_IN_NEEDED");

    let mut office = Office::found(&coalition, "pl", &[("anna", &["approver"])]).await;
    // The first code is spent, and so is anna's; the operator keeps the register no more.
    assert_eq!(
        reason(office.claim("eve", &"0".repeat(32)).await),
        "CODE_WRONG"
    );
    let listed = wayhome::proto::operator::record_service_client::RecordServiceClient::new(
        coalition.operator("pl").await,
    )
    .list_records(pb::ListRecordsRequest::default())
    .await;
    assert_eq!(reason(listed), "SIGN_IN_NEEDED");

    // A code of the authenticator is good once; wrong ones lock the account.
    let code = office.code(&coalition, "anna");
    let again = office.try_sign_in("anna", PASSWORD, &code).await;
    assert_eq!(reason(again), "SIGN_IN_REFUSED");
    clock.advance_ms(60_000);
    for (name, password) in [("eve", PASSWORD), ("anna", "wrong horse battery")] {
        let code = office.code(&coalition, "anna");
        let refused = office.try_sign_in(name, password, &code).await;
        assert_eq!(reason(refused), "SIGN_IN_REFUSED");
    }
    for _ in 0..3 {
        let _ = office.try_sign_in("anna", PASSWORD, "000000").await;
    }
    let code = office.code(&coalition, "anna");
    let locked = office.try_sign_in("anna", PASSWORD, &code).await;
    assert_eq!(reason(locked), "SIGN_IN_LOCKED");
    clock.advance_ms(16 * 60_000);
    office.sign_in(&coalition, "anna").await.unwrap();
    office.sign_in(&coalition, ADMINISTRATOR).await.unwrap();

    // The last administrator stays one; a reset ends sessions and secrets.
    let alone = office
        .accounts(ADMINISTRATOR)
        .await
        .change_account(pb::ChangeAccountRequest {
            name: ADMINISTRATOR.to_owned(),
            take: vec!["administrator".to_owned()],
            ..pb::ChangeAccountRequest::default()
        })
        .await;
    assert_eq!(reason(alone), "LAST_ADMINISTRATOR");
    let made = office
        .accounts(ADMINISTRATOR)
        .await
        .reset_account(pb::ResetAccountRequest {
            name: "anna".to_owned(),
        })
        .await
        .unwrap()
        .into_inner()
        .code
        .unwrap();
    let ended = office
        .requests("anna")
        .await
        .list_requests(pb::ListRequestsRequest::default())
        .await;
    assert_eq!(reason(ended), "SESSION_ENDED");
    office.claim("anna", &made.code).await.unwrap();
    assert_eq!(reason(office.claim("anna", &made.code).await), "CODE_WRONG");
    clock.advance_ms(30_000);
    office.sign_in(&coalition, "anna").await.unwrap();
    let mut accounts = office.accounts(ADMINISTRATOR).await;
    let mut add = async |name: &str, roles: &[&str]| {
        let made = accounts
            .add_account(pb::AddAccountRequest {
                name: name.to_owned(),
                roles: roles.iter().map(|&role| role.to_owned()).collect(),
            })
            .await;
        reason(made)
    };
    assert_eq!(add("anna", &["approver"]).await, "NAME_TAKEN");
    assert_eq!(add("a b", &["approver"]).await, "ACCOUNT_NAME");
    assert_eq!(add("carla", &["king"]).await, "ROLE_UNKNOWN");
    assert_eq!(office.member(), "pl");
}

#[tokio::test]
async fn an_ended_request_is_still_told_what_becomes_of_what_was_told() {
    let mut scene = Scene::set().await;
    let expired = scene.ask(&["current_place"]).await.request;
    let taken_back = scene.ask(&["current_place"]).await.request;
    scene
        .ua
        .disclosures("worker")
        .await
        .ask_again(pb::AskAgainRequest {
            request: taken_back.clone(),
            take_back: true,
            ..pb::AskAgainRequest::default()
        })
        .await
        .unwrap();
    scene.pass(GRANT_LIFETIME_MS + 1).await;
    assert_eq!(scene.poll(&expired).await.state, "expired");
    scene
        .pl
        .import("steward", &[&correct(&HELD, "current_place", "Gdynia")])
        .await;
    for request in [&expired, &taken_back] {
        assert_eq!(scene.kept(request).await.values["current_place"], "Lublin");
        scene
            .until(request, |kept| {
                kept.asked.as_ref().unwrap().outdated == ["current_place"]
            })
            .await;
    }
    scene.erase().await;
    for request in [&expired, &taken_back] {
        let kept = scene
            .until(request, |kept| {
                kept.asked.as_ref().unwrap().state == "withdrawn"
            })
            .await;
        assert!(kept.values.is_empty());
    }
}

#[tokio::test]
async fn nobody_is_told_that_a_silent_record_changed() {
    let scene = Scene::set().await;
    let answer = scene.ask(&["current_place"]).await;
    // Silent, and moved, at once.
    let mut silent = correct(&HELD, "current_place", "Gdynia");
    silent.push(("protection", "silent"));
    scene.pl.import("steward", &[&silent]).await;
    // Until the holder has looked at it.
    let store = scene.coalition.store("pl").await;
    let now_ms = scene.coalition.ambient.now_ms();
    let looked_at = async { while !store.requests_due(now_ms, 1).await.unwrap().is_empty() {} };
    tokio::time::timeout(crate::process::PATIENCE, looked_at)
        .await
        .unwrap();
    store.close().await;
    assert!(!scene.acts("pl").await.contains(&"ACT_DISCLOSURE_CORRECTED"));
    assert_eq!(
        scene.kept(&answer.request).await.asked.unwrap().state,
        "granted"
    );
}
