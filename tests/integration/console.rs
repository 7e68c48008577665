//! The console's door and gate, as a hostile or clumsy browser meets them: plain HTTP, no browser.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::coalition::Coalition;
use crate::office::{ADMINISTRATOR, Office, PASSWORD};
use crate::process::PATIENCE;

/// An answer.
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: String,
}

impl Answer {
    pub fn header(&self, name: &str) -> Vec<&str> {
        self.head
            .lines()
            .filter_map(|line| line.split_once(": "))
            .filter(|(known, _)| known.eq_ignore_ascii_case(name))
            .map(|(_, value)| value)
            .collect()
    }

    /// Cookies as a browser sends them back.
    pub fn cookies(&self) -> String {
        let cookies: Vec<&str> = self
            .header("set-cookie")
            .into_iter()
            .map(|cookie| cookie.split(';').next().unwrap())
            .collect();
        cookies.join("; ")
    }

    /// The seal of the page's first form in its content.
    pub fn seal(&self) -> String {
        let main = self.body.split("<main").nth(1).unwrap();
        let after = main.split("name=\"seal\" value=\"").nth(1).unwrap();
        after.split('"').next().unwrap().to_owned()
    }
}

/// A client that sends what it is told.
pub struct Client {
    host: String,
    pub cookies: String,
}

impl Client {
    pub fn new(coalition: &Coalition, member: &str) -> Self {
        let url = coalition.console(member);
        Self {
            host: url.strip_prefix("http://").unwrap().to_owned(),
            cookies: String::new(),
        }
    }

    async fn send(&self, text: String) -> Answer {
        let mut stream = TcpStream::connect(&self.host).await.unwrap();
        // A server that refuses early does not read to the end.
        let _ = stream.write_all(text.as_bytes()).await;
        let mut answer = Vec::new();
        let _ = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut answer))
            .await
            .expect("no answer");
        let answer = String::from_utf8_lossy(&answer).into_owned();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
        Answer {
            status: head
                .split(' ')
                .nth(1)
                .and_then(|status| status.parse().ok())
                .unwrap_or_default(),
            head: head.to_owned(),
            body: body.to_owned(),
        }
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.get_with(path, &format!("host: {}\r\n", self.host))
            .await
    }

    async fn get_with(&self, path: &str, headers: &str) -> Answer {
        let cookies = &self.cookies;
        self.send(format!(
            "GET {path} HTTP/1.1\r\n{headers}cookie: {cookies}\r\nconnection: close\r\n\r\n"
        ))
        .await
    }

    pub async fn post(&self, path: &str, body: &str, headers: &str) -> Answer {
        let kind = "content-type: application/x-www-form-urlencoded\r\n";
        self.post_with(path, body, &format!("{headers}{kind}"))
            .await
    }

    /// Sends a body of another kind.
    pub async fn post_as(&self, path: &str, body: &str, kind: &str) -> Answer {
        self.post_with(path, body, &format!("content-type: {kind}\r\n"))
            .await
    }

    async fn post_with(&self, path: &str, body: &str, headers: &str) -> Answer {
        let (host, cookies) = (&self.host, &self.cookies);
        self.send(format!(
            "POST {path} HTTP/1.1\r\nhost: {host}\r\ncookie: {cookies}\r\n{headers}\
             content-length: {}\r\nconnection: close\r\n\r\n{body}",
            body.len()
        ))
        .await
    }

    /// Signs in and keeps the session.
    pub async fn sign_in(&mut self, coalition: &Coalition, office: &Office, name: &str) -> Answer {
        let page = self.get("/sign-in").await;
        if self.cookies.is_empty() {
            self.cookies = page.cookies();
        }
        let body = format!(
            "seal={}&name={name}&password={}&code={}",
            page.seal(),
            PASSWORD.replace(' ', "+"),
            office.code(coalition, name)
        );
        let answer = self.post("/sign-in", &body, "").await;
        if answer.status == 303 {
            self.cookies = format!("{}; {}", self.cookies, answer.cookies());
        }
        answer
    }
}

/// A coalition whose member `ua` has a console and people.
async fn with_console() -> (Coalition, wayhome::ambient::ManualClock, Office) {
    let (clock, ambient) = crate::forge::standing_clock();
    let mut coalition = Coalition::found_at(ambient, |_| {});
    coalition.add_console("ua");
    for member in crate::coalition::MEMBERS {
        coalition.start_node(member).await;
    }
    let people: [(&str, &[&str]); 2] = [
        ("worker", &["caseworker", "steward"]),
        ("other", &["caseworker"]),
    ];
    let office = Office::found(&coalition, "ua", &people).await;
    // Each code is good once: the next ones are for the pages.
    clock.advance_ms(30_000);
    (coalition, clock, office)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_comes_from_elsewhere_is_refused() {
    let (coalition, _clock, office) = with_console().await;
    let mut client = Client::new(&coalition, "ua");
    // Nobody is let in, and nothing is told, without a session.
    let turned = client.get("/cases").await;
    assert_eq!(
        (turned.status, turned.header("location")),
        (303, vec!["/sign-in"])
    );
    assert_eq!(client.get("/no-such-page").await.status, 404);
    let boundary = "content-type: multipart/form-data; boundary=xx\r\n";
    let file = client
        .post("/register/import", &"x".repeat(900_000), boundary)
        .await;
    assert!(file.status == 303 || file.status == 0, "{}", file.status);
    // Another name that points here.
    let foreign = client.get_with("/sign-in", "host: evil.example\r\n").await;
    assert_eq!(foreign.status, 421);
    assert!(!foreign.body.contains("password"), "{}", foreign.body);
    assert_eq!(client.get_with("/sign-in", "").await.status, 400 + 21);

    let signed_in = client.sign_in(&coalition, &office, "worker").await;
    assert_eq!(
        (signed_in.status, signed_in.header("location")),
        (303, vec!["/"]),
        "{}",
        signed_in.body
    );
    for cookie in signed_in.header("set-cookie") {
        for word in [
            "__Host-",
            "; Path=/",
            "; Secure",
            "; HttpOnly",
            "; SameSite=Lax",
        ] {
            assert!(cookie.contains(word), "{cookie}");
        }
    }
    let home = client.get("/").await;
    assert_eq!(home.status, 200);
    for (name, value) in [
        ("content-security-policy", "default-src 'none'"),
        ("x-content-type-options", "nosniff"),
        ("x-frame-options", "DENY"),
        ("referrer-policy", "same-origin"),
        ("cache-control", "no-store"),
        ("cross-origin-opener-policy", "same-origin"),
    ] {
        let found = home.header(name);
        assert!(
            found.len() == 1 && found[0].starts_with(value),
            "{name}: {found:?}"
        );
    }
    assert!(!home.body.contains("<script>") && !home.body.contains("style=\""));
    assert!(
        !home.body.contains("http://") && !home.body.contains("https://"),
        "{}",
        home.body
    );

    // A form of another site, one without a seal, and one with somebody else's.
    let page = client.get("/search").await;
    let fields =
        "family_name=X&given_name=Y&purpose=family_tracing&legal_basis=consent&case_reference=C";
    let cases = async || client.get("/cases").await.body.contains("/cases/");
    let sealed = format!("{fields}&seal={}", page.seal());
    let sent = client
        .post("/search", &sealed, "sec-fetch-site: cross-site\r\n")
        .await;
    assert_eq!(sent.status, 403);
    let sent = client
        .post("/search", &sealed, "origin: http://evil.example\r\n")
        .await;
    assert_eq!(sent.status, 403);
    for forged in [String::new(), "&seal=.00".to_owned(), "&seal=x".to_owned()] {
        // What was typed comes back, and nothing was done.
        let sent = client
            .post("/search", &format!("{fields}{forged}"), "")
            .await;
        assert_eq!(sent.status, 200);
        assert!(sent.body.contains("value=\"X\""), "{}", sent.body);
    }
    let mut other = Client::new(&coalition, "ua");
    other.sign_in(&coalition, &office, "other").await;
    let foreign_seal = other.get("/search").await.seal();
    let sent = client
        .post("/search", &format!("{fields}&seal={foreign_seal}"), "")
        .await;
    assert_eq!(sent.status, 200);
    assert!(!cases().await);

    // Pages that need another role.
    assert_eq!(client.get("/people").await.status, 403);
    assert_eq!(client.get("/inbox").await.status, 403);
    // What no form sends.
    for body in [
        "a=1&".repeat(500),
        format!("seal={}&name={}", page.seal(), "x".repeat(20_000)),
    ] {
        assert_eq!(client.post("/search", &body, "").await.status, 400);
    }
    let huge = "x".repeat(600_000);
    let refused = client.post("/search", &huge, "").await;
    assert!(
        refused.status == 413 || refused.status == 0,
        "{}",
        refused.status
    );
    assert_eq!(
        client
            .send(format!(
                "DELETE / HTTP/1.1\r\nhost: {}\r\nconnection: close\r\n\r\n",
                client.host
            ))
            .await
            .status,
        405
    );

    // A new record takes no other's place; a corrected one loses what was left empty.
    let seal = client.get("/register/new").await.seal();
    let entered = format!("seal={seal}&record_ref=UA-77&family_name=Oldname&given_name=Firstname");
    let made = client.post("/register/new", &entered, "").await;
    assert_eq!(made.status, 303, "{}", made.body);
    let record = made.header("location")[0].to_owned();
    let taken = entered.replace("Oldname", "Newname");
    let refused = client.post("/register/new", &taken, "").await;
    assert_eq!(refused.status, 422);
    assert!(
        refused.body.contains("already holds a record"),
        "{}",
        refused.body
    );
    let page = client.get(&record).await.body;
    assert!(
        page.contains("Oldname") && page.contains("Firstname") && !page.contains("Newname"),
        "{page}"
    );
    let corrected = client
        .post(
            &format!("{record}/correct"),
            &format!("seal={seal}&family_name=Newname"),
            "",
        )
        .await;
    assert_eq!(
        (corrected.status, corrected.header("location")),
        (303, vec![record.as_str()]),
        "{}",
        corrected.body
    );
    let page = client.get(&record).await.body;
    assert!(
        page.contains("UA-77")
            && page.contains("Newname")
            && !page.contains("Oldname")
            && !page.contains("Firstname"),
        "{page}"
    );

    // A session that was signed out is nobody's, whoever still has its cookie.
    let seal = client.get("/sign-out").await.seal();
    let out = client.post("/sign-out", &format!("seal={seal}"), "").await;
    assert_eq!(out.status, 303);
    assert_eq!(client.get("/").await.status, 303);
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_end_and_give_forms_back_to_their_own_person() {
    let (coalition, clock, office) = with_console().await;
    let mut client = Client::new(&coalition, "ua");
    client.sign_in(&coalition, &office, "worker").await;
    let seal = client.get("/search").await.seal();
    let body = format!(
        "seal={seal}&once=0123456789abcdef&family_name=Kept&given_name=%3Cscript%3E&purpose=family_tracing&legal_basis=consent&case_reference=C-9"
    );
    // Half an hour passes while the form is being filled in.
    clock.advance_ms(31 * 60_000);
    let sent = client.post("/search", &body, "").await;
    assert_eq!(
        (sent.status, sent.header("location")),
        (303, vec!["/sign-in"])
    );

    // Somebody else signs in at the same browser, and is given nothing of it.
    let browser = client.cookies.clone();
    let fresh = |cookies: &str| {
        cookies
            .split("; ")
            .filter(|cookie| cookie.contains("-browser="))
            .collect::<Vec<_>>()
            .join("; ")
    };
    let mut other = Client::new(&coalition, "ua");
    other.cookies = fresh(&browser);
    let page = other.get("/sign-in").await;
    let sign_in = |name: &str, seal: String| {
        format!(
            "seal={seal}&name={name}&password={}&code={}",
            PASSWORD.replace(' ', "+"),
            office.code(&coalition, name)
        )
    };
    let answer = other
        .post("/sign-in", &sign_in("other", page.seal()), "")
        .await;
    assert_eq!(answer.header("location"), vec!["/"], "{}", answer.body);
    other.cookies = format!("{}; {}", other.cookies, answer.cookies());
    let turned = other.get("/continue").await;
    assert_eq!((turned.status, turned.header("location")), (303, vec!["/"]));

    // Its own person is.
    let page = client.get("/sign-in").await;
    let answer = client
        .post("/sign-in", &sign_in("worker", page.seal()), "")
        .await;
    assert_eq!(
        answer.header("location"),
        vec!["/continue"],
        "{}",
        answer.body
    );
    client.cookies = format!("{}; {}", fresh(&browser), answer.cookies());
    let restored = client.get("/continue").await;
    assert_eq!(restored.status, 200);
    assert!(
        restored.body.contains("value=\"Kept\""),
        "{}",
        restored.body
    );
    assert!(restored.body.contains("&#60;script&#62;") && !restored.body.contains("<script>"));
    // Nothing was done by itself.
    assert!(!client.get("/cases").await.body.contains("C-9"));
    // It can be sent now.
    let body = body.replace(&seal, &restored.seal()).replace(
        "given_name=%3Cscript%3E",
        "given_name=Olena&date_of_birth-year=2014&date_of_birth-month=5&date_of_birth-day=3",
    );
    let sent = client.post("/search", &body, "").await;
    assert_eq!(sent.status, 303, "{}", sent.body);
    // A double click is answered as the first.
    let twice = client.post("/search", &body, "").await;
    assert_eq!(twice.header("location"), sent.header("location"));
    let cases = client.get("/cases").await.body;
    assert_eq!(cases.matches("C-9").count(), 1, "{cases}");

    // Twelve hours later it is over, however often it was used.
    for _ in 0..25 {
        clock.advance_ms(29 * 60_000);
        client.get("/cases").await;
    }
    assert_eq!(client.get("/cases").await.status, 303);
}

#[tokio::test(flavor = "multi_thread")]
async fn sign_ins_are_held_off_after_many_refusals() {
    let (coalition, clock, office) = with_console().await;
    let mut client = Client::new(&coalition, "ua");
    let page = client.get("/sign-in").await;
    client.cookies = page.cookies();
    let seal = page.seal();
    for number in 0..20 {
        let body =
            format!("seal={seal}&name=nobody{number}&password=wrong+wrong+wrong&code=000000");
        let answer = client.post("/sign-in", &body, "").await;
        assert_eq!(answer.status, 422);
        assert!(
            answer.body.contains("Name, password or code are wrong"),
            "{}",
            answer.body
        );
        assert!(!answer.body.contains("wrong wrong wrong"));
    }
    let answer = client.sign_in(&coalition, &office, ADMINISTRATOR).await;
    assert_eq!(answer.status, 422);
    assert!(answer.body.contains("Too many sign-ins"), "{}", answer.body);
    clock.advance_ms(5 * 60_000);
    let answer = client.sign_in(&coalition, &office, ADMINISTRATOR).await;
    assert_eq!(answer.status, 303, "{}", answer.body);

    // A form that comes back leaves the others of its page as they were: closing without being sure
    // unticks nobody's roles.
    let people = client.get("/people").await.body;
    let before = people.split(">worker<").next().unwrap();
    let account = before.rsplit("/people/").next().unwrap();
    let path = format!("/people/{}", account.trim_end_matches('"'));
    let body = format!("seal={}&act=close", client.get(&path).await.seal());
    let answer = client.post(&path, &body, "").await;
    assert_eq!(answer.status, 422, "{}", answer.body);
    for role in ["caseworker", "steward"] {
        let ticked = format!("value=\"{role}\" checked");
        assert!(answer.body.contains(&ticked), "{role}: {}", answer.body);
    }
    assert_eq!(answer.body.matches(" checked").count(), 2);
}
