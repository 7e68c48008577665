//! The console in a real browser: a child is searched for at one member, and two people of another
//! decide what is told, each at their own window.

use wayhome::ambient::ManualClock;
use wayhome::node::Directory;
use wayhome::node::accounts::make_first_code;

use crate::approval::HELD;
use crate::browser::{Browser, Tab};
use crate::coalition::{Coalition, MEMBERS};
use crate::forge::standing_clock;
use crate::office::{Office, PASSWORD, code};
use crate::process::left_out;

/// A register as a ministry has it: its own column names, one row that cannot be read.
const REGISTER: &str = "record_ref;Прізвище;given_name;date_of_birth;Місце народження;mother_given_name;clerk\r\n\
UA-1;Ковальчук;Олександр;03.05.2014;Маріуполь;Олена;7\r\n\
UA-2;Бондар;Марія;31.04.2012;Харків;Ірина;7\r\n\
UA-3;Шевчук;Іван;12.11.2011;Херсон;Ганна;8\r\n";

struct Stage {
    coalition: Coalition,
    clock: ManualClock,
    browser: Browser,
}

impl Stage {
    /// Two members with consoles; none if there is no browser here.
    async fn set() -> Option<Self> {
        let Some(browser) = Browser::start().await else {
            left_out(
                "chromium",
                "no Chromium here, so the console was not looked at in a browser",
            );
            return None;
        };
        let (clock, ambient) = standing_clock();
        let mut coalition = Coalition::found_at(ambient, |_| {});
        coalition.add_console("ua");
        coalition.add_console("pl");
        for member in MEMBERS {
            coalition.start_node(member).await;
        }
        Some(Self {
            coalition,
            clock,
            browser,
        })
    }

    /// The people of `pl`, with the record that its steward entered.
    async fn holder(&self) -> Office {
        let people: [(&str, &[&str]); 4] = [
            ("anna", &["approver"]),
            ("boris", &["approver"]),
            ("steward", &["steward"]),
            ("auditor", &["auditor"]),
        ];
        let office = Office::found(&self.coalition, "pl", &people).await;
        office.import("steward", &[&HELD]).await;
        office
    }

    /// Signs somebody in, with the next code of their authenticator.
    async fn sign_in(&self, tab: &Tab, member: &str, name: &str, secret: &str) {
        self.clock.advance_ms(30_000);
        tab.go(&format!("{}/sign-in", self.coalition.console(member)))
            .await;
        self.type_in(tab, name, secret).await;
        tab.press("Sign in").await;
    }

    async fn type_in(&self, tab: &Tab, name: &str, secret: &str) {
        tab.fill("name", name).await;
        tab.fill("password", PASSWORD).await;
        tab.fill("code", &code(secret, self.coalition.ambient.now()))
            .await;
    }

    /// Takes an account at its page, and gives the authenticator's key that it shows.
    async fn claim(&self, tab: &Tab, name: &str, code: &str) -> String {
        tab.fill("code", code).await;
        tab.fill("name", name).await;
        tab.fill("password", PASSWORD).await;
        tab.fill("password-again", PASSWORD).await;
        tab.press("Take the account").await;
        assert!(tab.title().await.starts_with("The account is yours"));
        let secret = tab
            .eval("document.querySelector('dd code').innerText")
            .await;
        secret.as_str().unwrap().to_owned()
    }
}

/// Has a page looked at: by axe, wide and narrow, and by people where pictures are kept.
async fn look(tab: &Tab, name: &str) {
    tab.assert_no_barriers().await;
    tab.picture(&format!("{name}-wide")).await;
    tab.size(320, 900).await;
    tab.assert_no_barriers().await;
    // 320 pixels are 1280 at 400 %: nobody may have to scroll sideways to read.
    assert!(!tab.is_too_wide().await, "{}", tab.address().await);
    tab.picture(&format!("{name}-narrow")).await;
    tab.size(1280, 1000).await;
}

/// The same in the other language, and back.
async fn look_in_both(tab: &Tab, name: &str) {
    look(tab, &format!("{name}-en")).await;
    tab.press("Українською").await;
    assert_eq!(tab.eval("document.documentElement.lang").await, "uk");
    look(tab, &format!("{name}-uk")).await;
    tab.press("In English").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_child_is_searched_for_and_two_people_decide_what_is_told() {
    let Some(stage) = Stage::set().await else {
        return;
    };
    let pl = stage.holder().await;
    let ua = stage.coalition.console("ua");

    // First run: with the code from the terminal, and no other.
    let chief = stage.browser.window().await;
    chief.go(&ua).await;
    assert_eq!(chief.path().await, "/set-up");
    look_in_both(&chief, "set-up").await;
    chief.press("Take the account").await;
    let text = chief.text().await;
    assert!(
        text.contains("There is a problem") && text.contains("Enter the code"),
        "{text}"
    );
    look(&chief, "set-up-errors").await;
    let directory = Directory::new(stage.coalition.path("ua"));
    let first = make_first_code(&directory, &stage.coalition.ambient).unwrap();
    let secret = stage.claim(&chief, "chief", &first).await;
    look(&chief, "claimed").await;
    chief.follow("My authenticator shows codes").await;
    look_in_both(&chief, "sign-in").await;
    stage.sign_in(&chief, "ua", "chief", &secret).await;
    assert_eq!(chief.title().await, "What waits for you");
    look_in_both(&chief, "home").await;

    // A caseworker is taken on.
    chief.follow("People").await;
    chief.fill("name", "worker").await;
    chief.choose("roles", "caseworker").await;
    chief.choose("roles", "steward").await;
    look_in_both(&chief, "people").await;
    chief.fill("name", "worker").await;
    chief.choose("roles", "caseworker").await;
    chief.choose("roles", "steward").await;
    chief.press("Make the account").await;
    let code = chief
        .eval("document.querySelector('code.big').innerText")
        .await;
    look(&chief, "people-code").await;
    let worker = stage.browser.window().await;
    worker.go(&format!("{ua}/claim")).await;
    look_in_both(&worker, "claim").await;
    let secret = stage.claim(&worker, "worker", code.as_str().unwrap()).await;
    stage.sign_in(&worker, "ua", "worker", &secret).await;

    // The register is brought in, its columns mapped, the row that cannot be read left out.
    import(&worker, &stage).await;
    search_and_ask(&worker, &stage, &pl).await;

    // What the members page, the audit page and the settings say; what nobody finds.
    for page in [
        "members",
        "audit",
        "settings",
        "review",
        "alerts",
        "cases",
        "language",
        "no-such-page",
    ] {
        worker.go(&format!("{ua}/{page}")).await;
        look_in_both(&worker, page).await;
    }
    worker.go(&format!("{ua}/members")).await;
    worker.press("Test the connections").await;
    let text = worker.text().await;
    assert_eq!(text.matches("reached").count(), 2, "{text}");
    worker.go(&format!("{ua}/audit")).await;
    worker.press("Check now").await;
    assert!(
        worker
            .text()
            .await
            .contains("no promise of another member was found broken")
    );
    look(&worker, "audit-checked").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_signs_in_with_a_passkey_of_their_browser() {
    let Some(stage) = Stage::set().await else {
        return;
    };
    let people: [(&str, &[&str]); 1] = [("worker", &["caseworker"])];
    let office = Office::found(&stage.coalition, "ua", &people).await;
    stage.clock.advance_ms(30_000);
    // Browsers give passkeys to names: this machine's is one.
    let ua = stage
        .coalition
        .console("ua")
        .replace("127.0.0.1", "localhost");
    let tab = stage.browser.window().await;
    tab.authenticator().await;
    let type_in = async || {
        tab.go(&format!("{ua}/sign-in")).await;
        tab.fill("name", "worker").await;
        tab.fill("password", PASSWORD).await;
        tab.fill("code", &office.code(&stage.coalition, "worker"))
            .await;
        tab.press("Sign in").await;
    };
    type_in().await;
    tab.follow("How you sign in").await;
    assert!(tab.text().await.contains("You have no passkey"));
    tab.fill("label", "My <phone>").await;
    tab.press("Make a passkey").await;
    let text = tab.text().await;
    assert!(text.contains("Remove My <phone>"), "{text}");
    look_in_both(&tab, "account").await;
    tab.press("Sign out").await;

    tab.go(&format!("{ua}/sign-in")).await;
    look_in_both(&tab, "sign-in-passkey").await;
    tab.press("Sign in with a passkey").await;
    assert_eq!(tab.title().await, "What waits for you");
    // The page of the challenge that was used is good for nothing more.
    tab.go(&format!("{ua}/sign-in/passkey")).await;
    look_in_both(&tab, "passkey").await;
    tab.scripts(false).await;
    tab.go(&format!("{ua}/sign-in/passkey")).await;
    let text = tab.text().await;
    assert!(text.contains("Sign in with password and code"), "{text}");
    assert!(!text.contains("No passkey was given"), "{text}");
    tab.scripts(true).await;

    // A passkey counts as a sign-in of the last minutes: it may be removed by it, and is then good for
    // nothing, though the browser still has it.
    stage.clock.advance_ms(6 * 60_000);
    tab.go(&format!("{ua}/account")).await;
    tab.press("Remove My <phone>").await;
    assert_eq!(tab.title().await, "Sign in once more");
    tab.press("Sign in with a passkey").await;
    assert!(tab.text().await.contains("What you typed is here again"));
    tab.press("Remove My <phone>").await;
    assert!(tab.text().await.contains("You have no passkey"));
    tab.press("Sign out").await;
    tab.go(&format!("{ua}/sign-in")).await;
    tab.press("Sign in with a passkey").await;
    let text = tab.text().await;
    assert!(text.contains("The passkey does not hold"), "{text}");
    stage.clock.advance_ms(30_000);
    type_in().await;
    assert_eq!(tab.title().await, "What waits for you");
}

async fn import(worker: &Tab, stage: &Stage) {
    let file = stage.coalition.path("ua").join("register.csv");
    std::fs::write(&file, REGISTER).unwrap();
    worker.follow("Register").await;
    look_in_both(worker, "register-empty").await;
    worker.follow("Bring a register in").await;
    look_in_both(worker, "import").await;
    worker.press("Look at the file").await;
    assert!(worker.text().await.contains("Choose a file"));
    worker.attach("file", &file).await;
    worker.fill("delimiter", ";").await;
    worker.fill("consent", "tracing").await;
    worker.press("Look at the file").await;
    let text = worker.text().await;
    assert!(text.contains("What can be read"), "{text}");
    // A column of a name that nobody knows is passed over; those of known names are mapped.
    assert_eq!(
        worker
            .eval("document.querySelectorAll('select option:checked')[0].value")
            .await,
        ""
    );
    assert!(text.contains("impossible date"), "{text}");
    assert!(!text.contains("31.04.2012"), "{text}");
    look_in_both(worker, "import-check").await;
    worker.press("Import").await;
    assert!(worker.text().await.contains("Some rows cannot be read"));
    worker.choose("skip", "yes").await;
    worker.press("Import").await;
    assert_eq!(worker.title().await, "The register is in");
    look(worker, "imported").await;
    worker
        .go(&format!("{}/register", stage.coalition.console("ua")))
        .await;
    worker.press("Make new and changed records findable").await;
    // A page may have read the records just before they became findable.
    let mut text = String::new();
    for _ in 0..200 {
        worker
            .go(&format!("{}/register", stage.coalition.console("ua")))
            .await;
        text = worker.text().await;
        assert!(!text.contains("Not all records"), "{text}");
        if !text.contains("being made findable") && text.matches("findable").count() == 3 {
            break;
        }
    }
    assert_eq!(text.matches("findable").count(), 3, "{text}");
    look_in_both(worker, "register").await;
    worker.follow("UA-1").await;
    let text = worker.text().await;
    assert!(
        text.contains("Ковальчук") && text.contains("3 May 2014"),
        "{text}"
    );
    look_in_both(worker, "record").await;
    worker.follow("Correct or protect").await;
    look_in_both(worker, "correct").await;
}

async fn search_and_ask(worker: &Tab, stage: &Stage, pl: &Office) {
    let ua = stage.coalition.console("ua");
    // No script runs from here on: all of it works by forms and links.
    worker.scripts(false).await;
    worker.go(&format!("{ua}/search")).await;
    look_in_both(worker, "search").await;
    worker.press("Search at all members").await;
    let text = worker.text().await;
    for words in [
        "There is a problem",
        "Describe the child",
        "Say what it is for",
        "Say on what legal ground",
    ] {
        assert!(text.contains(words), "{words}: {text}");
    }
    look(worker, "search-errors").await;
    for (name, value) in [
        ("family_name", "Ковальчук"),
        ("given_name", "Oleksandr"),
        ("date_of_birth-day", "3"),
        ("date_of_birth-month", "5"),
        ("date_of_birth-year", "2014"),
        ("place_of_birth", "Маріуполь"),
        ("mother_given_name", "Олена"),
        ("case_reference", "UA-2026/17"),
    ] {
        worker.fill(name, value).await;
    }
    worker.choose("purpose", "family_tracing").await;
    worker.choose("legal_basis", "vital_interest").await;
    worker.press("Search at all members").await;
    let text = worker.text().await;
    for words in [
        "2 of 2 members have answered",
        "match",
        "no match",
        "A member may hold a record",
        "Ask to be told",
    ] {
        assert!(text.contains(words), "{words}: {text}");
    }
    // Nothing that says who the child is stands in an address.
    assert!(worker.path().await.starts_with("/searches/"));
    look_in_both(worker, "answers").await;
    worker.follow("Ask to be told").await;
    look_in_both(worker, "ask").await;
    for field in ["current_place", "current_carer", "given_name"] {
        worker.choose("fields", field).await;
    }
    worker
        .fill(
            "justification",
            "The family asks: =HYPERLINK(\"x\") <b>now</b>",
        )
        .await;
    worker.press("Ask").await;
    let text = worker.text().await;
    assert!(
        text.contains("Lublin") && text.contains("a person has to decide"),
        "{text}"
    );
    assert!(!text.contains("foster family"), "{text}");
    look_in_both(worker, "told").await;
    let told = worker.address().await;

    decide(stage, pl).await;

    worker.go(&told).await;
    worker.press("Ask again").await;
    let text = worker.text().await;
    assert!(text.contains("foster family 12"), "{text}");
    assert!(
        text.contains("Aleksander") && text.contains("differs"),
        "{text}"
    );
    look(worker, "told-all").await;

    // The case has it all, and takes a note.
    worker.go(&format!("{ua}/cases")).await;
    worker.follow("UA-2026/17").await;
    worker
        .fill("text", "<script>alert(1)</script> Called the office.")
        .await;
    worker.press("Add the note").await;
    worker.press("Look for the child each night").await;
    let text = worker.text().await;
    for words in [
        "<script>alert(1)</script> Called the office.",
        "Looked for at all members",
        "PL (pl) was asked to tell fields",
        "No longer look for the child at night",
    ] {
        assert!(
            text.to_lowercase().contains(&words.to_lowercase()),
            "{words}: {text}"
        );
    }
    look_in_both(worker, "case").await;
    worker.scripts(true).await;
}

/// Two people of the holder, each at their own window.
async fn decide(stage: &Stage, office: &Office) {
    let pl = stage.coalition.console("pl");
    let (anna, boris) = (stage.browser.window().await, stage.browser.window().await);
    for (tab, name) in [(&anna, "anna"), (&boris, "boris")] {
        stage.clock.advance_ms(30_000);
        tab.go(&pl).await;
        assert_eq!(tab.path().await, "/sign-in");
        tab.fill("name", name).await;
        tab.fill("password", PASSWORD).await;
        tab.fill("code", &office.code(&stage.coalition, name)).await;
        tab.press("Sign in").await;
        assert!(tab.text().await.contains("request waits for a decision"));
        tab.follow("Requests").await;
    }
    look_in_both(&anna, "inbox").await;
    for tab in [&anna, &boris] {
        tab.follow("UA (ua)").await;
    }
    let text = anna.text().await;
    for words in [
        "foster family 12",
        "=HYPERLINK(\"x\") <b>now</b>",
        "UA-2026/17",
        "0 of 2 approvals",
    ] {
        assert!(text.contains(words), "{words}: {text}");
    }
    assert!(!text.contains("afraid of dogs"), "{text}");
    look_in_both(&anna, "request").await;
    anna.press("Approve").await;
    assert!(anna.text().await.contains("Choose the fields"));

    // Five minutes pass: a decision takes a fresh sign-in, and what was chosen is kept.
    stage.clock.advance_ms(6 * 60_000);
    for field in ["current_carer", "given_name"] {
        anna.choose("fields", field).await;
    }
    anna.press("Approve").await;
    assert_eq!(anna.title().await, "Sign in once more");
    look_in_both(&anna, "sign-in-again").await;
    anna.fill("password", PASSWORD).await;
    anna.fill("code", &office.code(&stage.coalition, "anna"))
        .await;
    anna.press("Sign in").await;
    assert!(anna.text().await.contains("What you typed is here again"));
    assert_eq!(
        anna.eval("document.querySelectorAll('main input:checked').length")
            .await,
        2
    );
    look(&anna, "restored").await;
    // Twice in a row, as impatient people do.
    anna.scripts(false).await;
    anna.press_twice("Approve").await;
    let text = anna.text().await;
    assert!(text.contains("1 of 2 approvals"), "{text}");
    anna.scripts(true).await;
    // Nobody counts twice.
    anna.choose("fields", "current_carer").await;
    anna.press("Approve").await;
    let text = anna.text().await;
    assert!(text.contains("There is a problem"), "{text}");
    look(&anna, "approved-twice").await;

    stage.clock.advance_ms(30_000);
    boris.go(&format!("{pl}/sign-in/again")).await;
    boris.fill("password", PASSWORD).await;
    boris
        .fill("code", &office.code(&stage.coalition, "boris"))
        .await;
    boris.press("Sign in").await;
    boris.follow("Requests").await;
    boris.follow("UA (ua)").await;
    boris.choose("fields", "current_carer").await;
    boris.press("Approve").await;
    let text = boris.text().await;
    assert!(
        text.contains("granted") && !text.contains("approvals"),
        "{text}"
    );
    look_in_both(&boris, "decided").await;
    // The way back shows the request as it is now, not as it was.
    boris.back().await;
    let offered =
        "[...document.querySelectorAll('button')].some(one => one.innerText === 'Approve')";
    assert_eq!(boris.eval(offered).await, false);
}
