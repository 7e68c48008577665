//! Every page of the console, found from the pages themselves: each is looked at in both languages,
//! and each form is sent what clumsy and hostile people type. A page or form that is added is found
//! here by itself, or the test says that it cannot be reached.

use std::collections::{BTreeMap, BTreeSet};

use wayhome::ambient::ManualClock;
use wayhome::proto::operator as pb;

use crate::browser::Browser;
use crate::coalition::{Coalition, MEMBERS};
use crate::console::{Answer, Client};
use crate::exchange::search_as;
use crate::office::{Office, PASSWORD};
use crate::process::left_out;

const CHILD: [(&str, &str); 8] = [
    ("record_ref", "UA-1"),
    ("family_name", "Ковальчук"),
    ("given_name", "Олександр"),
    ("date_of_birth", "2014-05-03"),
    ("place_of_birth", "Маріуполь"),
    ("mother_given_name", "Олена"),
    ("current_carer", "aunt"),
    ("consent", "tracing"),
];

/// Roles enough to see everything. Whoever enters records decides on none of them: two people do.
const PEOPLE: [(&str, &[&str]); 2] = [
    (
        "all",
        &[
            "caseworker",
            "approver",
            "administrator",
            "auditor",
            "steward",
        ],
    ),
    ("steward", &["steward"]),
];

struct Stage {
    coalition: Coalition,
    clock: ManualClock,
    office: Office,
    client: Client,
    /// Pages that nothing links to for a person who is signed in, and those that a form leads to.
    seeds: Vec<String>,
}

impl Stage {
    /// A node on which every page has something to show.
    async fn set() -> Self {
        let (clock, ambient) = crate::forge::standing_clock();
        let mut coalition = Coalition::found_at(ambient, |_| {});
        coalition.add_console("ua");
        for member in MEMBERS {
            coalition.start_node(member).await;
        }
        let office = Office::found(&coalition, "ua", &PEOPLE).await;
        office.import("steward", &[&CHILD]).await;
        let other: [(&str, &[&str]); 1] = [("worker", &["caseworker", "steward"])];
        let pl = Office::found(&coalition, "pl", &other).await;
        let mut theirs = CHILD;
        theirs[0].1 = "PL-1";
        pl.import("worker", &[&theirs]).await;
        // Another member has found the child here and asks to be told.
        let answers = search_as(pl.person("worker").await, "PL-1").await;
        let answer = answers.iter().find(|one| one.member == "ua").unwrap();
        pl.disclosures("worker")
            .await
            .disclose(pb::DiscloseRequest {
                lead: answer.results[0].leads[0].lead.clone(),
                fields: vec!["current_carer".to_owned()],
                purpose: "family_tracing".to_owned(),
                legal_basis: "vital_interest".to_owned(),
                case_reference: "PL-9".to_owned(),
                justification: "<script>alert(1)</script> =1+1".to_owned(),
                answer_by: String::new(),
            })
            .await
            .unwrap();
        clock.advance_ms(30_000);
        let mut client = Client::new(&coalition, "ua");
        let signed_in = client.sign_in(&coalition, &office, "all").await;
        assert_eq!(signed_in.status, 303, "{}", signed_in.body);
        let mut stage = Self {
            coalition,
            clock,
            office,
            client,
            seeds: [
                "/set-up",
                "/claim",
                "/sign-in",
                "/sign-in/again",
                "/sign-in/passkey",
                "/sign-out",
            ]
            .map(str::to_owned)
            .to_vec(),
        };
        stage.act().await;
        stage
    }

    /// Does what some pages come from.
    async fn act(&mut self) {
        // A search, and a request to who has found the child.
        let sent = self
            .send(
                "/search",
                "record_ref=UA-1&purpose=family_tracing&legal_basis=vital_interest&case_reference=UA-9",
            )
            .await;
        let answers = sent.header("location")[0].to_owned();
        let page = self.client.get(&answers).await.body;
        self.seeds.push(answers);
        let lead = links(&page)
            .into_iter()
            .find(|link| link.contains("/leads/"))
            .unwrap_or_else(|| panic!("nobody found the child: {page}"));
        let sent = self
            .send(
                &lead,
                "fields=current_carer&justification=The+family+asks.&purpose=family_tracing\
                 &legal_basis=vital_interest&case_reference=UA-9",
            )
            .await;
        self.seeds.push(lead);
        self.seeds.push(sent.header("location")[0].to_owned());
        // A file that was brought, with a row that cannot be read.
        let seal = self.client.get("/register/import").await.seal();
        let file = "record_ref,family_name,given_name,date_of_birth\r\n\
                    UA-2,<script>alert(1)</script>,=1+1,2014-02-31\r\nUA-3,Бондар,Марія,2012-04-01\r\n";
        let body = format!(
            "--xx\r\ncontent-disposition: form-data; name=\"seal\"\r\n\r\n{seal}\r\n--xx\r\n\
             content-disposition: form-data; name=\"file\"; filename=\"<script>.csv\"\r\n\r\n{file}\r\n--xx--\r\n"
        );
        let sent = self
            .client
            .post_as(
                "/register/import",
                &body,
                "multipart/form-data; boundary=xx",
            )
            .await;
        self.seeds.push(sent.header("location")[0].to_owned());
        // The next page of a register that has one.
        let register = self.client.get("/register").await.body;
        let record = links(&register)
            .into_iter()
            .find(|link| link.len() > "/register/new".len() + 8)
            .unwrap();
        self.seeds
            .push(record.replace("/register/", "/register/after/"));
    }

    async fn send(&self, path: &str, fields: &str) -> Answer {
        let seal = self.client.get(path).await.seal();
        let sent = self
            .client
            .post(path, &format!("seal={seal}&{fields}"), "")
            .await;
        assert_eq!(sent.status, 303, "{path}: {}", sent.body);
        sent
    }

    /// All pages that can be reached, with their text.
    async fn pages(&self) -> BTreeMap<String, String> {
        let mut found = BTreeMap::new();
        let mut open = self.seeds.clone();
        open.push("/".to_owned());
        open.push("/language".to_owned());
        // One page of each kind: a hundred records have a hundred pages of one kind.
        let mut kinds = BTreeSet::new();
        let patterns = patterns();
        while let Some(path) = open.pop() {
            let Some(kind) = patterns.iter().find(|known| matches(known, &path)) else {
                continue;
            };
            if !kinds.insert(kind.clone()) {
                continue;
            }
            let answer = self.client.get(&path).await;
            assert_eq!(answer.status, 200, "{path}: {}", answer.body);
            open.extend(links(&answer.body));
            found.insert(path, answer.body);
        }
        let missing: Vec<&String> = patterns
            .iter()
            .filter(|pattern| !kinds.contains(*pattern))
            .collect();
        assert!(
            missing.is_empty(),
            "pages that nothing leads to: {missing:?}"
        );
        found
    }
}

/// The paths of all pages, as the program has them, those without open parts first.
fn patterns() -> Vec<String> {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src/console/pages");
    let mut patterns: Vec<String> = std::fs::read_dir(folder)
        .unwrap()
        .map(|file| std::fs::read_to_string(file.unwrap().path()).unwrap())
        .flat_map(|source| {
            source
                .lines()
                .filter_map(|line| line.trim().strip_prefix("const PATH: &'static str = \""))
                .map(|rest| rest.trim_end_matches("\";").to_owned())
                .collect::<Vec<_>>()
        })
        .chain(["/searches/{search}".to_owned()])
        .collect();
    assert!(patterns.len() > 30, "{patterns:?}");
    patterns.sort_by_key(|pattern| (pattern.matches('{').count(), pattern.clone()));
    patterns
}

fn matches(pattern: &str, path: &str) -> bool {
    let (known, given): (Vec<&str>, Vec<&str>) =
        (pattern.split('/').collect(), path.split('/').collect());
    known.len() == given.len()
        && known
            .iter()
            .zip(given)
            .all(|(known, given)| known.starts_with('{') && !given.is_empty() || *known == given)
}

/// The value of an attribute of a tag.
fn attribute<'a>(tag: &'a str, name: &str) -> Option<&'a str> {
    let start = tag.find(&format!(" {name}=\""))? + name.len() + 3;
    tag[start..].split('"').next()
}

/// The tags of a name in a text, up to their end.
fn tags<'a>(text: &'a str, name: &str) -> impl Iterator<Item = &'a str> {
    let opening = format!("<{name}");
    text.match_indices(&opening)
        .map(|(at, _)| text[at..].split('>').next().unwrap())
        .collect::<Vec<_>>()
        .into_iter()
}

fn links(page: &str) -> Vec<String> {
    tags(page, "a")
        .filter_map(|tag| attribute(tag, "href"))
        .filter(|href| href.starts_with('/'))
        .map(str::to_owned)
        .collect()
}

/// A form of a page's own part.
struct Form {
    action: String,
    /// Fields that a person types into or chooses from.
    typed: Vec<String>,
    /// Those of them that are lines or areas.
    texts: Vec<String>,
    hidden: Vec<(String, String)>,
    /// What its buttons do.
    acts: Vec<String>,
}

fn forms(page: &str) -> Vec<Form> {
    let main = page.split("<main").nth(1).unwrap();
    main.split("<form")
        .skip(1)
        .map(|form| {
            let form = form.split("</form>").next().unwrap();
            let head = format!("<form{}", form.split('>').next().unwrap());
            let mut made = Form {
                action: attribute(&head, "action").unwrap().to_owned(),
                typed: Vec::new(),
                texts: Vec::new(),
                hidden: Vec::new(),
                acts: Vec::new(),
            };
            for tag in tags(form, "input")
                .chain(tags(form, "textarea"))
                .chain(tags(form, "select"))
            {
                let name = attribute(tag, "name").unwrap().to_owned();
                match attribute(tag, "type") {
                    Some("hidden") => {
                        let value = attribute(tag, "value").unwrap().to_owned();
                        made.hidden.push((name, value));
                    }
                    kind => {
                        let is_text =
                            !tag.starts_with("<select") && matches!(kind, None | Some("text"));
                        if is_text && !made.texts.contains(&name) {
                            made.texts.push(name.clone());
                        }
                        if !made.typed.contains(&name) {
                            made.typed.push(name);
                        }
                    }
                }
            }
            for tag in tags(form, "button") {
                made.acts
                    .push(attribute(tag, "value").unwrap_or_default().to_owned());
            }
            made
        })
        .collect()
}

fn escaped(text: &str) -> String {
    text.replace('&', "&#38;")
        .replace('<', "&#60;")
        .replace('>', "&#62;")
        .replace('"', "&#34;")
        .replace('\'', "&#39;")
}

/// What people type: by the name of what is wrong with it.
fn bad_inputs() -> Vec<(&'static str, String)> {
    vec![
        ("empty", String::new()),
        ("blank", "   ".to_owned()),
        ("long", "Ж".repeat(1_000)),
        ("huge", "x".repeat(17_000)),
        (
            "mixed scripts",
            "Kowalczuk Олександр ალექსანდრე 亚历山大".to_owned(),
        ),
        (
            "direction",
            "\u{202e}nairkU\u{202c} \u{0}\u{7}\u{feff}".to_owned(),
        ),
        (
            "script",
            "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>".to_owned(),
        ),
        ("formula", "=1+1".to_owned()),
        (
            "template",
            "{{ 7*7 }} ${7*7} %0d%0aset-cookie:x=1".to_owned(),
        ),
        ("query", "'; DROP TABLE records; --".to_owned()),
        ("path", "../../../etc/passwd".to_owned()),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn every_form_takes_whatever_is_typed_and_says_what_is_wrong_with_it() {
    let stage = Stage::set().await;
    let pages = stage.pages().await;
    // Those that count refused sign-ins come last: this machine is held off by them in the end.
    let mut sent = BTreeMap::<String, usize>::new();
    let mut ordered: Vec<(&String, Vec<Form>)> = pages
        .iter()
        .map(|(path, page)| (path, forms(page)))
        .collect();
    ordered.sort_by_key(|(path, _)| {
        ["/claim", "/sign-in", "/set-up"]
            .iter()
            .any(|open| path.starts_with(open))
    });
    for (path, forms) in ordered {
        for form in forms.iter().filter(|form| !form.typed.is_empty()) {
            for act in &form.acts {
                for (what, value) in bad_inputs() {
                    let place = format!("{path} {act} ({what})");
                    let answer = post(&stage, form, act, &value).await;
                    check(&place, form, what, &value, &answer);
                    *sent.entry(format!("{path} {act}")).or_default() += 1;
                }
            }
        }
    }
    assert!(sent.len() >= 15, "few forms were found: {:?}", sent.keys());
    // Whatever was kept of it is shown as text, and every page still opens.
    for path in pages.keys().filter(|path| !path.starts_with("/sign-in")) {
        let answer = stage.client.get(path).await;
        assert!(
            answer.status == 200 || answer.status == 404,
            "{path}: {}",
            answer.body
        );
        assert_inert(path, &answer);
    }
}

/// Sends a form as a browser does, with one value in each field that a person fills in.
async fn post(stage: &Stage, form: &Form, act: &str, value: &str) -> Answer {
    let mut body = form_urlencoded::Serializer::new(String::new());
    for (name, hidden) in &form.hidden {
        body.append_pair(name, hidden);
    }
    for name in &form.typed {
        body.append_pair(name, value);
    }
    if !act.is_empty() {
        body.append_pair("act", act);
    }
    stage.client.post(&form.action, &body.finish(), "").await
}

fn check(place: &str, form: &Form, what: &str, value: &str, answer: &Answer) {
    // Done, given back, refused, or more than a form holds; never a failure, never silence.
    assert!(
        matches!(
            answer.status,
            200 | 303 | 400 | 401 | 403 | 404 | 409 | 413 | 422
        ),
        "{place}: {} {}",
        answer.status,
        answer.body
    );
    assert_inert(place, answer);
    if what == "huge" {
        assert!(matches!(answer.status, 400 | 413), "{place}");
        return;
    }
    assert!(
        !matches!(answer.status, 400 | 413),
        "{place}: {}",
        answer.body
    );
    if answer.status != 422 {
        return;
    }
    // What is wrong is said above the form, and what was typed is still there.
    assert!(
        answer.body.contains("class=\"errors\""),
        "{place}: {}",
        answer.body
    );
    let typed: String = value.trim().chars().filter(|c| !c.is_control()).collect();
    let open = ["code", "secret"];
    for name in form
        .texts
        .iter()
        .filter(|name| !open.contains(&name.as_str()))
    {
        assert!(
            answer.body.contains(&escaped(&typed)),
            "{place}: {name} has lost what was typed: {}",
            answer.body
        );
    }
}

fn assert_inert(place: &str, answer: &Answer) {
    for live in ["<script>", "<img", "onerror=alert(1)>"] {
        assert!(
            !answer.body.contains(live),
            "{place}: {live}: {}",
            answer.body
        );
    }
    assert!(answer.header("x").is_empty(), "{place}");
    let cookies = answer.header("set-cookie").join(" ");
    assert!(!cookies.contains("x=1"), "{place}: {cookies}");
    let policy = answer.header("content-security-policy");
    assert!(policy[0].starts_with("default-src 'none'"), "{place}");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_page_can_be_used_by_everybody_in_both_languages_and_without_scripts() {
    let stage = Stage::set().await;
    let pages = stage.pages().await;
    let Some(browser) = Browser::start().await else {
        left_out(
            "chromium",
            "no Chromium here, so no page was looked at in a browser",
        );
        return;
    };
    let tab = browser.window().await;
    tab.scripts(false).await;
    let ua = stage.coalition.console("ua");
    stage.clock.advance_ms(30_000);
    tab.go(&format!("{ua}/sign-in")).await;
    tab.fill("name", "all").await;
    tab.fill("password", PASSWORD).await;
    tab.fill("code", &stage.office.code(&stage.coalition, "all"))
        .await;
    tab.press("Sign in").await;
    // 320 pixels are 1280 at 400 %: what fits there fits everywhere.
    tab.size(320, 900).await;
    for (lang, switch) in [("en", "Українською"), ("uk", "In English")] {
        for path in pages.keys() {
            tab.go(&format!("{ua}{path}")).await;
            assert_eq!(
                tab.eval("document.documentElement.lang").await,
                lang,
                "{path}"
            );
            assert_eq!(
                tab.eval("document.querySelectorAll('h1').length").await,
                1,
                "{path}"
            );
            assert!(
                !tab.is_too_wide().await,
                "{path} has to be scrolled sideways"
            );
            tab.assert_no_barriers().await;
            let name = path
                .trim_matches('/')
                .split('/')
                .map(|part| &part[..part.len().min(12)]);
            let name = name.collect::<Vec<_>>().join("-").replace(':', "");
            tab.picture(&format!("all-{lang}-{name}")).await;
        }
        tab.press(switch).await;
    }
}
