//! What waits is seen, however much is settled, and what waits again is announced again; what is
//! withdrawn or protected stays so after a restore.

use tokio::net::TcpListener;
use wayhome::exchange::policy::{DEFAULT, DIGEST_SETTING, Policy, SETTING};
use wayhome::node::backup::{self, Sources};
use wayhome::node::{self, Directory};
use wayhome::proto::exchange::Act;
use wayhome::proto::operator as pb;
use wayhome::proto::operator::backup_service_client::BackupServiceClient;

use crate::approval::{HELD, Scene, at_holder};
use crate::coalition::for_protection;
use crate::office::{ADMINISTRATOR, reason};
use crate::process::PATIENCE;

fn corrected<'a>(field: &str, value: &'a str) -> Vec<(&'a str, &'a str)> {
    let mut held: Vec<(&str, &str)> = HELD.to_vec();
    for (name, old) in &mut held {
        if *name == field {
            *old = value;
        }
    }
    held
}

#[tokio::test]
async fn what_waits_is_listed_however_many_requests_are_settled() {
    let scene = Scene::with(&HELD, for_protection).await;
    for _ in 0..3 {
        assert_eq!(scene.ask(&["current_place"]).await.state, "granted");
        scene.clock.advance_ms(1);
    }
    let waiting = at_holder(&scene.ask(&["current_carer"]).await);
    assert_eq!(
        scene.pl.list("anna", "", 2).await,
        std::slice::from_ref(&waiting)
    );
    scene.clock.advance_ms(1);
    // A release that is to be reviewed waits for people too, although it is granted.
    let released = scene
        .ask_for(&["current_carer"], "child_protection", "court_order", "")
        .await;
    let released = at_holder(&released);
    let digest = scene.pl.show("anna", &released).await.digest;
    scene
        .pl
        .approve_seen("anna", &released, &digest, &[], true)
        .await
        .unwrap();
    assert_eq!(
        scene.pl.list("anna", "", 2).await,
        [waiting.clone(), released.clone()]
    );
    assert_eq!(
        scene.pl.list("anna", "", 1).await,
        std::slice::from_ref(&waiting)
    );
    // Of all of them the newest comes first, and any one is found by its id.
    assert_eq!(
        scene.pl.list("anna", "all", 1).await,
        std::slice::from_ref(&released)
    );
    for request in [&waiting, &released] {
        let found = scene
            .pl
            .requests("auditor")
            .await
            .get_request(pb::GetRequestRequest {
                request: request.clone(),
            })
            .await
            .unwrap()
            .into_inner()
            .summary
            .unwrap();
        assert_eq!(&found.request, request);
    }
}

#[tokio::test]
async fn a_request_that_loses_what_was_approved_is_announced_again() {
    let scene = Scene::set().await;
    // One of two approvals lapses while it waits.
    let request = at_holder(&scene.ask(&["current_carer"]).await);
    scene.pressed(1).await;
    scene.pl.approve("anna", &request).await.unwrap();
    scene
        .pl
        .import("steward", &[&corrected("current_place", "Gdynia")])
        .await;
    scene.pressed(2).await;
    // It is settled, and a stricter policy asks people after all.
    for name in ["anna", "boris"] {
        scene.pl.approve(name, &request).await.unwrap();
    }
    let at_once = at_holder(&scene.ask(&["current_place"]).await);
    assert!(scene.pl.inbox("anna").await.is_empty());
    let asks_first = DEFAULT.replacen("@id(\"place-at-once\")", "@id(\"place-asked\")", 1).replacen(
        "when {\n    context.purpose == Purpose::\"family_tracing\" ||",
        "when {\n    context.approvals >= 1 && context.purpose == Purpose::\"family_tracing\" ||",
        1,
    );
    std::fs::write(scene.coalition.path("pl").join("policy.cedar"), asks_first).unwrap();
    scene.pressed(3).await;
    assert_eq!(scene.pl.inbox("anna").await, std::slice::from_ref(&at_once));
}

#[tokio::test]
async fn an_answer_follows_the_policy_that_another_process_has_brought_into_force() {
    const NOTHING: &str =
        "@id(\"nothing\")\n@says(\"Nothing is told.\")\nforbid (principal, action, resource);\n";
    let scene = Scene::set().await;
    let granted = scene.ask(&["current_place"]).await;
    assert_eq!(granted.state, "granted");
    let policy = Policy::parse(NOTHING).unwrap();
    let store = scene.coalition.store("pl").await;
    store
        .set_setting(SETTING, NOTHING.as_bytes())
        .await
        .unwrap();
    store
        .set_setting(DIGEST_SETTING, &policy.digest())
        .await
        .unwrap();
    store.close().await;
    let fresh = scene.ask(&["current_place"]).await;
    assert_eq!((fresh.state.as_str(), fresh.granted.len()), ("refused", 0));
    let again = scene.poll(&granted.request).await;
    assert_eq!((again.state.as_str(), again.granted.len()), ("refused", 0));
}

#[tokio::test]
async fn an_amended_request_keeps_its_deadline_and_what_was_told_its_conditions() {
    let scene = Scene::set().await;
    let hours = |hours: u64| {
        let at = scene.coalition.ambient.now() + hours * 3600;
        wayhome::roster::Timestamp::from_unix(at).to_string()
    };
    let (first, second) = (hours(2), hours(9));
    let asked = scene
        .ask_for(
            &["current_carer"],
            "family_tracing",
            "vital_interest",
            &first,
        )
        .await;
    let request = at_holder(&asked);
    let deadline = async || {
        let shown = scene.pl.show("anna", &request).await.summary.unwrap();
        (shown.fields.len(), shown.answer_by)
    };
    assert_eq!(deadline().await, (1, first.clone()));
    for (fields, answer_by, expected) in [
        (&["current_carer", "current_place"][..], "", &first),
        (&["current_place"][..], second.as_str(), &second),
    ] {
        scene
            .ua
            .disclosures("worker")
            .await
            .ask_again(pb::AskAgainRequest {
                request: asked.request.clone(),
                fields: fields.iter().map(|&field| field.to_owned()).collect(),
                justification: "The court asks for this.".to_owned(),
                answer_by: answer_by.to_owned(),
                ..pb::AskAgainRequest::default()
            })
            .await
            .unwrap();
        assert_eq!(deadline().await, (fields.len(), expected.clone()));
    }
    let kept = scene.kept(&asked.request).await;
    assert_eq!(kept.values["current_place"], "Lublin");
    let kept = kept.asked.unwrap();
    assert_eq!(kept.legal_basis, "vital_interest");
    assert!(kept.no_onward_transfer);
}

#[tokio::test]
async fn a_member_that_never_answers_holds_up_nobody_else() {
    let mut scene = Scene::set().await;
    let told = scene.ask(&["current_place"]).await;
    let by = wayhome::roster::Timestamp::from_unix(scene.coalition.ambient.now() + 3600);
    scene
        .ask_for(
            &["current_carer"],
            "family_tracing",
            "vital_interest",
            &by.to_string(),
        )
        .await;
    scene.pressed(1).await;
    scene.coalition.stop_node("ua").await;
    // Something takes calls in its place, and says nothing.
    let listener = TcpListener::bind(scene.coalition.member("ua").addresses[0].as_str())
        .await
        .unwrap();
    scene
        .pl
        .requests("anna")
        .await
        .withdraw_request(pb::WithdrawRequestRequest {
            request: at_holder(&told),
        })
        .await
        .unwrap();
    let (held, _) = tokio::time::timeout(PATIENCE, listener.accept())
        .await
        .expect("the notice was not sent")
        .unwrap();
    scene.clock.advance_ms(1_800_000);
    scene.pressed(2).await;
    drop(held);
}

#[tokio::test]
async fn what_is_asked_of_a_record_under_alert_is_seen_and_a_silent_brother_asks_for_people() {
    let mut alert = HELD.to_vec();
    alert.push(("protection", "alert"));
    alert.push(("family_ref", "F-1"));
    let scene = Scene::with(&alert, |_| {}).await;
    let answer = scene.ask(&["current_place"]).await;
    assert_eq!(answer.state, "granted");
    let raised = wayhome::proto::operator::protection_service_client::ProtectionServiceClient::new(
        scene.pl.person("steward").await,
    )
    .list_protection_alerts(pb::ListProtectionAlertsRequest::default())
    .await
    .unwrap()
    .into_inner()
    .alerts;
    let mut acts = Vec::new();
    for alert in &raised {
        assert_eq!(
            (alert.record_ref.as_str(), alert.peer.as_str()),
            ("PL-1", "ua")
        );
        acts.push(scene.coalition.leaves("pl", alert.leaf_index).await[0].act());
    }
    assert!(acts == [Act::LookupAnswered, Act::DisclosureAnswered]);

    // What is told of a child tells where its brother may be.
    let brother = [
        ("record_ref", "PL-2"),
        ("family_name", "Kowalczuk"),
        ("given_name", "Taras"),
        ("date_of_birth", "2016-01-09"),
        ("consent", "tracing"),
        ("protection", "silent"),
        ("family_ref", "F-1"),
    ];
    scene.pl.import("steward", &[&brother]).await;
    let again = scene.poll(&answer.request).await;
    assert_eq!((again.state.as_str(), again.waiting.len()), ("waiting", 1));
    let request = at_holder(&answer);
    scene.pl.approve("anna", &request).await.unwrap();
    assert_eq!(
        scene.poll(&answer.request).await.granted["current_place"],
        "Lublin"
    );
}

#[tokio::test]
async fn two_at_once_are_two_one_twice_is_one_and_a_role_that_goes_meanwhile_counts_for_neither() {
    let mut scene = Scene::set().await;
    let approvals = async |scene: &Scene, request: &str| {
        let leaves = scene.coalition.leaves("pl", 0).await;
        let of_this = leaves.iter().filter(|leaf| {
            leaf.act() == Act::DisclosureApproved && leaf.reference.contains(request)
        });
        of_this.count()
    };
    let request = at_holder(&scene.ask(&["current_carer"]).await);
    let (anna, boris) = tokio::join!(
        scene.pl.approve("anna", &request),
        scene.pl.approve("boris", &request)
    );
    anna.unwrap();
    boris.unwrap();
    let state = scene.pl.show("anna", &request).await.summary.unwrap().state;
    assert_eq!(
        (state.as_str(), approvals(&scene, &request).await),
        ("granted", 2)
    );

    let request = at_holder(&scene.ask(&["current_carer"]).await);
    let (one, other) = tokio::join!(
        scene.pl.approve("anna", &request),
        scene.pl.approve("anna", &request)
    );
    let mut outcomes = [reason(one), reason(other)];
    outcomes.sort();
    assert_eq!(outcomes, ["APPROVED_ALREADY", "it was done"]);
    assert_eq!(approvals(&scene, &request).await, 1);

    // Anna's role goes while Boris approves: by the log's order she counts, or she does not.
    let before = scene.coalition.log_size("pl").await;
    let (boris, ()) = tokio::join!(
        scene.pl.approve("boris", &request),
        scene.pl.change("anna", &[], &["approver"])
    );
    boris.unwrap();
    let leaves = scene.coalition.leaves("pl", before).await;
    let place = |act: Act| leaves.iter().position(|leaf| leaf.act() == act).unwrap();
    let in_time = place(Act::DisclosureApproved) < place(Act::AccountChanged);
    let state = scene
        .pl
        .show("boris", &request)
        .await
        .summary
        .unwrap()
        .state;
    assert_eq!(state, if in_time { "granted" } else { "waiting" });

    // Two administrators who remove each other at once leave one.
    scene
        .pl
        .hire(&scene.coalition, "second", &["administrator"])
        .await;
    let remove = async |who: &str, whom: &str| {
        scene
            .pl
            .accounts(who)
            .await
            .change_account(pb::ChangeAccountRequest {
                name: whom.to_owned(),
                take: vec!["administrator".to_owned()],
                ..pb::ChangeAccountRequest::default()
            })
            .await
    };
    let (one, other) = tokio::join!(
        remove(ADMINISTRATOR, "second"),
        remove("second", ADMINISTRATOR)
    );
    assert_eq!(usize::from(one.is_ok()) + usize::from(other.is_ok()), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restore_takes_back_no_withdrawal_and_says_whose_roles_to_look_at() {
    let mut scene = Scene::set().await;
    let answer = scene.ask(&["current_place"]).await;
    assert_eq!(answer.state, "granted");
    let directory = Directory::new(scene.coalition.path("pl"));
    scene.coalition.stop_node("pl").await;
    let secret = crate::backup::prepare(&scene.coalition, "pl");
    let ambient = scene.coalition.ambient.clone();
    scene.coalition.start_node("pl").await;
    let place = tempfile::tempdir().unwrap();
    let (data, keys) = (place.path().join("data"), place.path().join("keys"));
    BackupServiceClient::new(scene.coalition.operator("pl").await)
        .create_backup(pb::CreateBackupRequest {
            path: data.display().to_string(),
            keys_path: keys.display().to_string(),
        })
        .await
        .unwrap();

    // The receiver is away when what it was told is withdrawn; then somebody loses a role.
    scene.coalition.stop_node("ua").await;
    scene
        .pl
        .requests("anna")
        .await
        .withdraw_request(pb::WithdrawRequestRequest {
            request: at_holder(&answer),
        })
        .await
        .unwrap();
    scene.pl.change("boris", &[], &["approver"]).await;
    scene.coalition.stop_node("pl").await;
    let restored = backup::restore(
        &directory,
        Sources {
            data: &data,
            keys: Some(&keys),
            secret: &secret,
            journals: &[],
            replace: true,
        },
        &ambient,
    )
    .await
    .unwrap();
    assert_eq!(
        (restored.replayed.ended, restored.replayed.accounts.len()),
        (1, 1)
    );
    scene.coalition.let_lie_but_for_the_journal("pl");
    let origin = node::new_log_origin(&directory, &ambient, None)
        .await
        .unwrap();
    scene.coalition.state_log("pl", origin.origin, origin.vkey);
    scene.coalition.stop_node("de").await;
    for id in ["pl", "ua", "de"] {
        scene.coalition.start_node(id).await;
    }
    // Nothing is told of it, and the receiver hears of it after all.
    let told = scene.poll(&answer.request).await;
    assert_eq!((told.state.as_str(), told.granted.len()), ("withdrawn", 0));
    let kept = scene
        .until(&answer.request, |kept| kept.values.is_empty())
        .await;
    assert_eq!(kept.asked.unwrap().state, "withdrawn");
    // Boris is an approver again, and has to sign in first.
    let ended = scene
        .pl
        .requests("boris")
        .await
        .list_requests(pb::ListRequestsRequest::default())
        .await;
    assert_eq!(reason(ended), "SESSION_ENDED");
    assert!(scene.pl.inbox("anna").await.is_empty());
}
