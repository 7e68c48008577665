//! Who may do what with requests of others: every call, every role, without a session, and with one whose
//! sign-in is not fresh, held against a table that is written down here anew.

use tonic::Status;
use wayhome::proto::operator as pb;
use wayhome::proto::operator::request_service_client::RequestServiceClient;

use crate::approval::Scene;
use crate::office::{ADMINISTRATOR, decision, reason};

#[derive(Clone, Copy, Debug)]
enum Call {
    List,
    Get,
    Show,
    Approve,
    BreakGlass,
    Deny,
    Withdraw,
    Review,
}

const DONE: &str = "it was done";
const UNKNOWN: &str = "REQUEST_UNKNOWN";
const MISSING: &str = "ROLE_MISSING";
const NEEDED: &str = "SIGN_IN_NEEDED";
const AGAIN: &str = "SIGN_IN_AGAIN";

/// What each call says of a request that does not exist: to an approver, an auditor, all others, nobody,
/// and to an approver and an auditor whose sign-in is not fresh.
const TABLE: [(Call, [&str; 6]); 8] = [
    (Call::List, [DONE, DONE, MISSING, NEEDED, DONE, DONE]),
    (
        Call::Get,
        [UNKNOWN, UNKNOWN, MISSING, NEEDED, UNKNOWN, UNKNOWN],
    ),
    (
        Call::Show,
        [UNKNOWN, MISSING, MISSING, NEEDED, UNKNOWN, MISSING],
    ),
    (
        Call::Approve,
        [UNKNOWN, MISSING, MISSING, NEEDED, AGAIN, MISSING],
    ),
    (
        Call::BreakGlass,
        [UNKNOWN, MISSING, MISSING, NEEDED, AGAIN, MISSING],
    ),
    (
        Call::Deny,
        [UNKNOWN, MISSING, MISSING, NEEDED, AGAIN, MISSING],
    ),
    (
        Call::Withdraw,
        [UNKNOWN, MISSING, MISSING, NEEDED, AGAIN, MISSING],
    ),
    (
        Call::Review,
        [UNKNOWN, UNKNOWN, MISSING, NEEDED, AGAIN, AGAIN],
    ),
];

/// Makes a call, as a person or as nobody.
async fn call(scene: &Scene, call: Call, person: Option<&str>) -> String {
    let mut client = match person {
        Some(person) => scene.pl.requests(person).await,
        None => {
            let socket = scene.coalition.path("pl").join("operator.sock");
            let nobody = wayhome::node::operator_client_as(&socket, None).await;
            RequestServiceClient::new(nobody.unwrap())
        }
    };
    let request = "0".repeat(32);
    let decision = decision(&request, &"0".repeat(64), &[]);
    let said: Result<(), Status> = match call {
        Call::List => {
            let asked = pb::ListRequestsRequest::default();
            client.list_requests(asked).await.map(drop)
        }
        Call::Get => {
            let asked = pb::GetRequestRequest { request };
            client.get_request(asked).await.map(drop)
        }
        Call::Show => {
            let asked = pb::ShowRequestRequest { request };
            client.show_request(asked).await.map(drop)
        }
        Call::Approve | Call::BreakGlass => {
            let asked = pb::ApproveRequestRequest {
                decision,
                break_glass: matches!(call, Call::BreakGlass),
            };
            client.approve_request(asked).await.map(drop)
        }
        Call::Deny => {
            let asked = pb::DenyRequestRequest {
                decision,
                reason: String::new(),
            };
            client.deny_request(asked).await.map(drop)
        }
        Call::Withdraw => {
            let asked = pb::WithdrawRequestRequest { request };
            client.withdraw_request(asked).await.map(drop)
        }
        Call::Review => {
            let asked = pb::ReviewReleaseRequest {
                request,
                upheld: true,
            };
            client.review_release(asked).await.map(drop)
        }
    };
    reason(said)
}

#[tokio::test]
async fn each_role_may_do_with_requests_what_the_table_says() {
    let mut scene = Scene::set().await;
    scene
        .pl
        .hire(&scene.coalition, "keeper", &["steward"])
        .await;
    for (asked, [approver, auditor, others, nobody, ..]) in TABLE {
        for (person, expected) in [
            (Some("anna"), approver),
            (Some("auditor"), auditor),
            (Some("worker"), others),
            (Some("keeper"), others),
            (Some(ADMINISTRATOR), others),
            (None, nobody),
        ] {
            let said = call(&scene, asked, person).await;
            assert_eq!(said, expected, "{asked:?} by {person:?}");
        }
    }
    // Six minutes after the sign-in.
    scene.clock.advance_ms(6 * 60_000);
    for (asked, [_, _, others, _, approver, auditor]) in TABLE {
        for (person, expected) in [("anna", approver), ("auditor", auditor), ("keeper", others)] {
            let said = call(&scene, asked, Some(person)).await;
            assert_eq!(said, expected, "{asked:?} by {person} later");
        }
    }
}
