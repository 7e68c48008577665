//! A node is killed around the moment in which a denial, a withdrawal or a release by one person becomes
//! durable: it is there once, or not at all, and whoever has to hear of it does.

use wayhome::node::config::Notify;
use wayhome::proto::exchange::Act;
use wayhome::proto::operator as pb;
use wayhome::store::Mail;

use crate::coalition::{Coalition, for_protection};
use crate::exchange::{ABROAD, AT_HOME, ask, search};
use crate::office::{Office, decision};
use crate::process::{NodeProcess, comes};

/// Where the holder dies.
const PLACES: [(&str, bool); 3] = [
    ("ledger.ready", false),
    ("ledger.durable", true),
    ("decision.durable", true),
];

#[derive(Clone, Copy, PartialEq, Debug)]
enum Step {
    Deny,
    Withdraw,
    Release,
}

impl Step {
    fn act(self) -> Act {
        match self {
            Self::Deny => Act::DisclosureDenied,
            Self::Withdraw => Act::DisclosureWithdrawn,
            Self::Release => Act::BreakGlass,
        }
    }

    /// Does it, as a person to whom the request was shown.
    async fn take(self, office: &Office, request: &str, digest: &str) -> Result<(), tonic::Status> {
        let mut requests = office.requests(&format!("{self:?}")).await;
        let (request, decision) = (request.to_owned(), decision(request, digest, &[]));
        match self {
            Self::Deny => requests
                .deny_request(pb::DenyRequestRequest {
                    decision,
                    reason: String::new(),
                })
                .await
                .map(drop),
            Self::Withdraw => requests
                .withdraw_request(pb::WithdrawRequestRequest { request })
                .await
                .map(drop),
            Self::Release => requests
                .approve_request(pb::ApproveRequestRequest {
                    decision,
                    break_glass: true,
                })
                .await
                .map(drop),
        }
    }
}

async fn count(coalition: &Coalition, id: &str, act: Act, of: &str) -> usize {
    let leaves = coalition.leaves(id, 0).await;
    let wanted = leaves
        .iter()
        .filter(|leaf| leaf.act() == act && leaf.reference.contains(of));
    wanted.count()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kill_around_a_decision_leaves_it_there_once_or_not_at_all() {
    let mut coalition = Coalition::found(for_protection);
    let home = coalition.path("pl");
    let told = home.join("told");
    let script = format!("cat >> '{}'", told.display());
    let notify = Notify {
        command: ["/bin/sh", "-c", &script].map(str::to_owned).to_vec(),
        webhook: None,
        webhook_ca: None,
    };
    coalition.configure("pl", |config| config.notify = notify);
    for id in ["ua", "de"] {
        coalition.start_node(id).await;
    }
    let mut node = NodeProcess::start(&home).await;
    coalition.import("ua", &[AT_HOME]).await;
    coalition.import("pl", &[ABROAD]).await;
    let mut office = Office::found(&coalition, "pl", &[]).await;
    let (mut announced, mut withdrawn) = (0, 0);
    for step in [Step::Deny, Step::Withdraw, Step::Release] {
        // Signed in just now, since decisions take that.
        office
            .hire(&coalition, &format!("{step:?}"), &["approver"])
            .await;
        let answers = search(&coalition, "ua", "UA-1").await;
        let answer = answers.iter().find(|answer| answer.member == "pl").unwrap();
        let lead = answer.results[0].leads[0].lead.clone();
        let (field, purpose) = match step {
            Step::Deny => ("current_carer", "family_tracing"),
            Step::Withdraw => ("current_place", "family_tracing"),
            Step::Release => ("current_carer", "child_protection"),
        };
        for (place, durable) in PLACES {
            let asked = ask(&coalition, &lead, &[field], purpose).await;
            let request = asked.request.strip_prefix("pl:").unwrap();
            if asked.state == "waiting" {
                // So that the next act is the person's.
                announced += 1;
                comes("the announcement", async || {
                    count(&coalition, "pl", Act::DisclosureEscalated, "").await == announced
                })
                .await;
            }
            let who = format!("{step:?}");
            let digest = office.show(&who, request).await.digest;
            assert!(node.stop().await.success());
            let dying = NodeProcess::start_to_die_at(&home, place).await;
            let taken = step.take(&office, request, &digest).await;
            assert!(taken.is_err(), "{step:?} {place}: it was acknowledged");
            assert!(dying.was_killed().await, "{step:?} {place}");
            node = NodeProcess::start(&home).await;
            let made = count(&coalition, "pl", step.act(), request).await;
            assert_eq!(made, usize::from(durable), "{step:?} {place}");
            if !durable {
                step.take(&office, request, &digest).await.unwrap();
            }
            assert_eq!(count(&coalition, "pl", step.act(), request).await, 1);
            let shown = office.show(&who, request).await.summary.unwrap();
            match step {
                Step::Deny => assert_eq!(shown.state, "refused"),
                Step::Withdraw => {
                    assert_eq!(shown.state, "withdrawn");
                    withdrawn += 1;
                    let store = coalition.store("pl").await;
                    comes("the notice's acknowledgement", async || {
                        let waiting = store.notices_due(Mail::Notice, i64::MAX as u64, 9).await;
                        waiting.unwrap().is_empty()
                    })
                    .await;
                    store.close().await;
                    let heard = count(&coalition, "ua", Act::NoticeAnswered, "withdrawn").await;
                    assert_eq!(heard, withdrawn, "{place}");
                }
                Step::Release => {
                    assert!(shown.review_due, "{place}");
                    let lines = || {
                        let told = std::fs::read_to_string(&told).unwrap_or_default();
                        let of_this = told.lines().filter(|line| {
                            line.contains(request) && line.contains("\"break_glass\"")
                        });
                        of_this.count()
                    };
                    comes("what people are told", async || lines() > 0).await;
                    assert_eq!(lines(), 1, "{place}");
                }
            }
        }
    }
    assert!(node.stop().await.success());
}
