//! Signing in at an identity provider, as a browser meets it: plain HTTP, no browser.

use serde_json::{Value, json};
use wayhome::ambient::{Ambient, ManualClock};
use wayhome::node::accounts::ProviderConfig;
use wayhome::node::{Directory, operator_client_as};
use wayhome::proto::operator as pb;
use wayhome::proto::operator::request_service_client::RequestServiceClient;

use crate::coalition::{Coalition, MEMBERS};
use crate::console::Client;
use crate::glewlwyd::{self, Glewlwyd};
use crate::office::{ADMINISTRATOR, Office, reason};
use crate::process::left_out;
use crate::provider::{CLIENT, Provider, SECRET, parts};

struct Stage {
    coalition: Coalition,
    clock: ManualClock,
    office: Office,
    provider: Provider,
}

/// A coalition whose member `ua` has a console, people and this provider.
async fn with_provider(
    ambient: Ambient,
    issuer: &str,
    secret: &str,
    acr: &[&str],
) -> (Coalition, Office) {
    let mut coalition = Coalition::found_at(ambient, |_| {});
    coalition.add_console("ua");
    let provider = ProviderConfig {
        name: "Ministry <sign-in>".to_owned(),
        issuer: issuer.to_owned(),
        client_id: CLIENT.to_owned(),
        client_secret: Some("idp.secret".into()),
        ca: None,
        acr: acr.iter().map(|&acr| acr.to_owned()).collect(),
    };
    coalition.configure("ua", |config| config.identity_provider = Some(provider));
    Directory::new(coalition.path("ua"))
        .write("idp.secret", &format!("{secret}\n"))
        .unwrap();
    for member in MEMBERS {
        coalition.start_node(member).await;
    }
    let people: [(&str, &[&str]); 2] = [
        ("worker", &["caseworker", "approver"]),
        ("other", &["steward"]),
    ];
    let office = Office::found(&coalition, "ua", &people).await;
    (coalition, office)
}

/// An administrator says who `worker` is at the provider.
async fn link_worker(office: &Office, subject: &str) {
    let mut ways = office.ways(ADMINISTRATOR).await;
    ways.link_account(pb::LinkAccountRequest {
        name: "worker".to_owned(),
        subject: subject.to_owned(),
    })
    .await
    .unwrap();
}

impl Stage {
    async fn set() -> Self {
        let provider = Provider::start().await;
        let (clock, ambient) = crate::forge::standing_clock();
        let (coalition, office) = with_provider(ambient, &provider.issuer, SECRET, &["mfa"]).await;
        clock.advance_ms(30_000);
        Self {
            coalition,
            clock,
            office,
            provider,
        }
    }

    /// A browser that has opened the page for signing in, and where it is sent from there.
    async fn browser(&self, path: &str) -> (Client, String) {
        let mut client = Client::new(&self.coalition, "ua");
        client.cookies = client.get("/sign-in").await.cookies();
        let sent = client.get(path).await;
        assert_eq!(sent.status, 303, "{}", sent.body);
        let to = sent.header("location")[0].to_owned();
        (client, to)
    }

    fn now(&self) -> u64 {
        self.coalition.ambient.now()
    }
}

const BACK: &str = "/sign-in/provider/back";

#[tokio::test(flavor = "multi_thread")]
async fn a_person_of_the_identity_provider_signs_in_once_an_administrator_has_linked_them() {
    let stage = Stage::set().await;
    let fine = |_: &mut Value, _: &mut Value| {};

    // The page offers it, by a link that leaves by itself.
    let mut chief = Client::new(&stage.coalition, "ua");
    chief
        .sign_in(&stage.coalition, &stage.office, ADMINISTRATOR)
        .await;
    let offered = Client::new(&stage.coalition, "ua").get("/sign-in").await;
    assert!(offered.body.contains("href=\"/sign-in/provider\""));
    assert!(offered.body.contains("Ministry &#60;sign-in&#62;"));

    // Known to the provider is not known here: no account is made, no role is given.
    let (client, to) = stage.browser("/sign-in/provider").await;
    let back = stage.provider.sign_in(&to, "person-1", stage.now(), fine);
    let refused = client.get(&format!("{BACK}?{back}")).await;
    assert_eq!(refused.status, 403);
    assert!(refused.body.contains("person-1") && refused.cookies().is_empty());
    let people = chief.get("/people").await;
    assert_eq!(
        people.body.matches("/people/").count(),
        3,
        "{}",
        people.body
    );

    // An administrator says who it is, on the account's page.
    let account_of = |name: &str| {
        let mut parts = people
            .body
            .split("/people/")
            .map(|part| part.split_once('"').unwrap());
        let named = parts.find(|(_, rest)| rest.starts_with(&format!(">{name}")));
        named.unwrap().0.to_owned()
    };
    let account = account_of("worker");
    let page = chief.get(&format!("/people/{account}")).await;
    let link = async |account: &str, subject: &str, seal: String| {
        let body = format!("seal={seal}&act=link&subject={subject}");
        chief.post(&format!("/people/{account}"), &body, "").await
    };
    assert_eq!(link(&account, "person 1", page.seal()).await.status, 422);
    assert_eq!(link(&account, "person-1", page.seal()).await.status, 303);
    let page = chief.get(&format!("/people/{account}")).await;
    assert!(page.body.contains("value=\"person-1\""), "{}", page.body);
    // One person is one account.
    let taken = link(&account_of("other"), "person-1", page.seal()).await;
    assert_eq!(taken.status, 422);
    assert!(taken.body.contains("Another account is linked"));

    let (mut client, to) = stage.browser("/sign-in/provider").await;
    let back = stage.provider.sign_in(&to, "person-1", stage.now(), fine);
    let done = client.get(&format!("{BACK}?{back}")).await;
    assert_eq!((done.status, done.header("location")), (303, vec!["/"]));
    let browser = client.cookies.clone();
    client.cookies = format!("{browser}; {}", done.cookies());
    assert_eq!(client.get("/cases").await.status, 200);
    assert_eq!(client.get("/people").await.status, 403);
    // What was brought once is not taken again.
    let again = client.get(&format!("{BACK}?{back}")).await;
    assert_eq!(again.status, 401);
    assert!(again.cookies().is_empty());

    // A form that the session's end overtook comes back after signing in there again.
    let seal = client.get("/search").await.seal();
    stage.clock.advance_ms(31 * 60_000);
    let sent = client
        .post("/search", &format!("seal={seal}&family_name=Kept"), "")
        .await;
    assert_eq!(sent.header("location"), vec!["/sign-in"]);
    let sent = client.get("/sign-in/provider?again=yes").await;
    let to = sent.header("location")[0].to_owned();
    assert!(
        to.contains("prompt=login") && to.contains("max_age=300"),
        "{to}"
    );
    let back = stage.provider.sign_in(&to, "person-1", stage.now(), fine);
    let done = client.get(&format!("{BACK}?{back}")).await;
    assert_eq!(done.header("location"), vec!["/continue"], "{}", done.body);
    client.cookies = format!("{browser}; {}", done.cookies());
    assert!(
        client
            .get("/continue")
            .await
            .body
            .contains("value=\"Kept\"")
    );

    // The link is taken back: the sessions it began end, and nobody comes in by it.
    let mut chief = Client::new(&stage.coalition, "ua");
    chief
        .sign_in(&stage.coalition, &stage.office, ADMINISTRATOR)
        .await;
    let page = chief.get(&format!("/people/{account}")).await;
    let body = format!("seal={}&act=link&subject=", page.seal());
    let gone = chief.post(&format!("/people/{account}"), &body, "").await;
    assert_eq!(gone.status, 303);
    assert_eq!(client.get("/cases").await.status, 303);
    let (client, to) = stage.browser("/sign-in/provider").await;
    let back = stage.provider.sign_in(&to, "person-1", stage.now(), fine);
    assert_eq!(client.get(&format!("{BACK}?{back}")).await.status, 403);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_identity_provider_says_is_taken_only_if_it_holds() {
    let stage = Stage::set().await;
    link_worker(&stage.office, "person-1").await;
    let now = stage.now();
    let tries: [(&str, &str, Value); 12] = [
        ("head", "alg", json!("none")),
        ("head", "kid", json!("2")),
        ("claims", "nonce", json!("another")),
        ("claims", "iss", json!("http://127.0.0.1:1")),
        ("claims", "aud", json!("another")),
        ("claims", "exp", json!(now - 61)),
        ("claims", "iat", json!(now - 3_600)),
        ("claims", "acr", json!("password")),
        ("claims", "acr", Value::Null),
        ("claims", "auth_time", json!(now - 13 * 3_600)),
        ("claims", "auth_time", Value::Null),
        ("claims", "sub", json!("")),
    ];
    for (part, name, value) in tries {
        let (client, to) = stage.browser("/sign-in/provider").await;
        let back = stage
            .provider
            .sign_in(&to, "person-1", now, |head, claims| {
                let changed = if part == "head" { head } else { claims };
                changed[name] = value.clone();
            });
        let refused = client.get(&format!("{BACK}?{back}")).await;
        assert_eq!(refused.status, 401, "{name}: {value}: {}", refused.body);
        assert!(refused.cookies().is_empty(), "{name}: {value}");
        assert!(refused.body.contains("does not hold"), "{}", refused.body);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_browser_brings_back_its_own_sign_in_once_and_in_time() {
    let stage = Stage::set().await;
    link_worker(&stage.office, "person-1").await;
    let fine = |_: &mut Value, _: &mut Value| {};
    let back_from = |to: &str| stage.provider.sign_in(to, "person-1", stage.now(), fine);
    let refused = async |client: &Client, back: &str, why: &str| {
        let refused = client.get(&format!("{BACK}?{back}")).await;
        assert_eq!(refused.status, 401, "{back}: {}", refused.body);
        assert!(refused.cookies().is_empty(), "{back}");
        assert!(refused.body.contains(why), "{back}: {}", refused.body);
    };

    // Another browser's sign-in: else somebody could sign a person in as themselves.
    let (_, to) = stage.browser("/sign-in/provider").await;
    let (client, own) = stage.browser("/sign-in/provider").await;
    refused(&client, &back_from(&to), "not begun in this browser").await;
    // No state, one that was made up, the state of a challenge.
    let state = parts(&own)["state"].clone();
    for (wrong, why) in [
        ("code=code-1".to_owned(), "not begun in this browser"),
        (
            "code=code-1&state=AAAA".to_owned(),
            "not begun in this browser",
        ),
        (
            format!("code=code-1&state=x{state}"),
            "not begun in this browser",
        ),
        (
            "error=access_denied&error_description=%3Cscript%3E".to_owned(),
            "did not sign you in",
        ),
        (String::new(), "did not sign you in"),
    ] {
        refused(&client, &wrong, why).await;
    }
    // It is another provider's answer, or its code is no code, or was brought before.
    let good = back_from(&own);
    let mixed = good.replace(&stage.provider.issuer, "https://evil.example");
    refused(&client, &mixed, "does not hold").await;
    refused(&client, &good, "used already").await;
    let (client, to) = stage.browser("/sign-in/provider").await;
    let good = back_from(&to);
    let code = parts(&good)["code"].clone();
    refused(&client, &good.replace(&code, "code-0"), "does not hold").await;
    let (client, to) = stage.browser("/sign-in/provider").await;
    let state = parts(&back_from(&to))["state"].clone();
    // The code of the sign-in before: it is bound to that one's verifier.
    refused(
        &client,
        &format!("code={code}&state={state}"),
        "does not hold",
    )
    .await;
    // Too late.
    let (client, to) = stage.browser("/sign-in/provider").await;
    let good = back_from(&to);
    stage.clock.advance_ms(10 * 60_000);
    refused(&client, &good, "older than ten minutes").await;
    // Signed by a key that the provider does not publish.
    let (client, to) = stage.browser("/sign-in/provider").await;
    let good = back_from(&to);
    stage.provider.sign_with_another_key();
    refused(&client, &good, "does not hold").await;
    // A provider that is down keeps nobody from signing in with password and code.
    stage.provider.stop();
    let (client, to) = stage.browser("/sign-in/provider").await;
    refused(&client, &back_from(&to), "cannot be asked").await;
    let mut worker = Client::new(&stage.coalition, "ua");
    let done = worker
        .sign_in(&stage.coalition, &stage.office, "worker")
        .await;
    assert_eq!(done.status, 303, "{}", done.body);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_decision_takes_two_factors_that_the_provider_vouches_for_lately() {
    let stage = Stage::set().await;
    link_worker(&stage.office, "person-1").await;
    let deny = async |cookies: &str| {
        let token = cookies.split("wayhome-session=").nth(1).unwrap();
        let token = token.split(';').next().unwrap();
        let socket = stage.coalition.path("ua").join("operator.sock");
        let channel = operator_client_as(&socket, Some(token)).await.unwrap();
        reason(
            RequestServiceClient::new(channel)
                .deny_request(pb::DenyRequestRequest {
                    decision: crate::office::decision(&"0".repeat(32), "", &[]),
                    reason: String::new(),
                })
                .await,
        )
    };
    // Ten minutes ago the person signed in there: good for a session, not for a decision.
    let now = stage.now();
    let (client, to) = stage.browser("/sign-in/provider").await;
    let back = stage.provider.sign_in(&to, "person-1", now, |_, claims| {
        claims["auth_time"] = json!(now - 600);
    });
    let old = client.get(&format!("{BACK}?{back}")).await;
    assert_eq!(old.status, 303, "{}", old.body);
    assert_eq!(deny(&old.cookies()).await, "SIGN_IN_AGAIN");
    // Asked to prove anew, the provider may not send the old sign-in once more.
    let (client, to) = stage.browser("/sign-in/provider?again=yes").await;
    let back = stage.provider.sign_in(&to, "person-1", now, |_, claims| {
        claims["auth_time"] = json!(now - 600);
    });
    assert_eq!(client.get(&format!("{BACK}?{back}")).await.status, 401);
    let (client, to) = stage.browser("/sign-in/provider?again=yes").await;
    let back = stage.provider.sign_in(&to, "person-1", now, |_, _| {});
    let fresh = client.get(&format!("{BACK}?{back}")).await;
    let found = deny(&fresh.cookies()).await;
    assert!(
        found != "SIGN_IN_AGAIN" && found != "SESSION_ENDED",
        "{found}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_real_identity_provider_signs_a_person_in() {
    let Some(glewlwyd) = Glewlwyd::start().await else {
        left_out(
            "glewlwyd",
            "Glewlwyd is not installed, so no real identity provider was asked",
        );
        return;
    };
    // Its clock is the machine's.
    let ambient = Ambient::system();
    let (coalition, office) =
        with_provider(ambient, &glewlwyd.issuer(), glewlwyd::SECRET, &[]).await;
    let redirect = format!("{}{BACK}", coalition.console("ua"));
    if glewlwyd.furnish(&redirect).await.is_none() {
        left_out(
            "openssl",
            "openssl is not installed, so Glewlwyd has no key to sign with",
        );
        return;
    }
    let come = async || {
        let mut client = Client::new(&coalition, "ua");
        client.cookies = client.get("/sign-in").await.cookies();
        let sent = client.get("/sign-in/provider").await;
        assert_eq!(sent.status, 303, "{}", sent.body);
        let back = glewlwyd.sign_in(sent.header("location")[0]).await;
        let path = back
            .strip_prefix(&coalition.console("ua"))
            .unwrap()
            .to_owned();
        let came = client.get(&path).await;
        (client, path, came)
    };
    let (_, _, unknown) = come().await;
    assert_eq!(unknown.status, 403, "{}", unknown.body);
    let subject = unknown.body.split("<code>").nth(1).unwrap();
    link_worker(&office, subject.split('<').next().unwrap()).await;
    let (mut client, path, done) = come().await;
    assert_eq!((done.status, done.header("location")), (303, vec!["/"]));
    // Its code is good once, whoever has it.
    assert_eq!(client.get(&path).await.status, 401);
    client.cookies = format!("{}; {}", client.cookies, done.cookies());
    assert_eq!(client.get("/cases").await.status, 200);
}
