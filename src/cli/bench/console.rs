//! `bench console`: how long the console's pages take.
//!
//! A whole coalition runs on this machine, and one member's register is filled. A person with every
//! role opens each page again and again; what is timed is the whole answer, from the request on the
//! wire to the last octet of the page.

use std::fmt::Write as _;
use std::path::Path;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use totp_rs::{Algorithm, Builder, Secret};

use super::{Bench, Figure, Measured, Measuring, Options, place::Place};
use crate::cli::{CliError, Context};
use crate::demo::{Coalition, ConsoleAt, Wayhome};
use crate::node::accounts::Role;
use crate::node::{Directory, OperatorChannel, operator_client_as};
use crate::proto::operator as pb;
use crate::proto::operator::account_service_client::AccountServiceClient;

/// The benchmark.
pub const BENCH: Bench = Bench {
    name: "console",
    about: "how long the console's pages take",
    run,
};

/// Records of the register unless told otherwise.
const RECORDS: u64 = 100_000;

/// How often each page is opened.
const TIMES: usize = 50;

/// The member whose console it is: the first founder.
const MEMBER: &str = "ua";

/// The pages; those of one record follow when its address is known.
const PAGES: [&str; 9] = [
    "/",
    "/search",
    "/cases",
    "/inbox",
    "/register",
    "/review",
    "/audit",
    "/members",
    "/settings",
];

fn run<'a>(context: &'a Context, options: &'a Options) -> Measuring<'a> {
    Box::pin(measure(context, options.count.unwrap_or(RECORDS)))
}

async fn measure(context: &Context, records: u64) -> Result<Measured, CliError> {
    if records == 0 {
        return Err(CliError::input(
            "COUNT",
            "a register of no records says nothing: give --count 1 or more",
        ));
    }
    let place = Place::within(context, &std::env::temp_dir())?;
    let coalition = Coalition::found(Wayhome::this("warn")?, place.path(), None).await?;
    let times = measure_at(context, &coalition, place.path(), records).await;
    coalition.stop().await?;
    let (pages, mut times) = times?;
    times.sort_by(f64::total_cmp);
    let at = |share: usize| times.get(times.len() * share / 100).copied().unwrap_or(0.0);
    Ok(Measured {
        figures: vec![
            Figure::new("p95_ms", at(95), "ms").against("most", 100.0),
            Figure::new("median_ms", at(50), "ms"),
            Figure::new("pages", pages as f64, ""),
            Figure::new("records", records as f64, ""),
        ],
        method: format!(
            "{pages} pages, each opened {TIMES} times over a new connection by a person with every \
             role, at a member with {records} records; the time is that of the whole answer."
        ),
    })
}

async fn measure_at(
    context: &Context,
    coalition: &Coalition,
    place: &Path,
    records: u64,
) -> Result<(usize, Vec<f64>), CliError> {
    let failed = |why: &str| CliError::failed("BENCH", why.to_owned());
    let console = coalition
        .consoles()
        .first()
        .ok_or_else(|| failed("the coalition has no console"))?;
    let register = place.join("register.csv");
    std::fs::write(&register, synthetic_register(records))?;
    let register = register.display().to_string();
    coalition
        .run(MEMBER, &["records", "import", &register])
        .await?;
    let token = person(context, &coalition.party(MEMBER), console).await?;
    let host = console.url.trim_start_matches("http://").to_owned();
    let mut pages: Vec<String> = PAGES.iter().map(|&page| page.to_owned()).collect();
    let list = get(&host, "/register", &token).await?;
    // The first page of the register, its next one, and one record of it.
    for start in ["href=\"/register/after/", "href=\"/register/"] {
        let address = list
            .split(start)
            .skip(1)
            .filter_map(|rest| rest.split('"').next())
            .find(|end| end.len() == 32 && end.bytes().all(|octet| octet.is_ascii_hexdigit()))
            .map(|end| format!("{}{end}", start.trim_start_matches("href=\"")));
        pages.extend(address);
    }
    let mut times = Vec::with_capacity(pages.len() * TIMES);
    for page in &pages {
        for _ in 0..TIMES {
            let began = context.ambient.monotonic_ns();
            get(&host, page, &token).await?;
            let took = context.ambient.monotonic_ns().saturating_sub(began);
            times.push(took as f64 / 1e6);
        }
    }
    Ok((pages.len(), times))
}

/// Somebody with every role, signed in: their session's token.
async fn person(
    context: &Context,
    directory: &Path,
    console: &ConsoleAt,
) -> Result<String, CliError> {
    let socket = Directory::new(directory).socket();
    let anybody = operator_client_as(&socket, None).await?;
    let chief = take(context, &anybody, "chief", &console.code).await?;
    let mut accounts = AccountServiceClient::new(operator_client_as(&socket, Some(&chief)).await?);
    let added = accounts
        .add_account(pb::AddAccountRequest {
            name: "everybody".to_owned(),
            roles: Role::ALL.iter().map(ToString::to_string).collect(),
        })
        .await?
        .into_inner();
    let code = added.code.unwrap_or_default().code;
    take(context, &anybody, "everybody", &code).await
}

/// Takes an account and signs in.
async fn take(
    context: &Context,
    channel: &OperatorChannel,
    name: &str,
    code: &str,
) -> Result<String, CliError> {
    let wrong = |error: &dyn std::fmt::Display| CliError::failed("BENCH", error.to_string());
    let password = hex::encode(context.ambient.random::<16>());
    let mut accounts = AccountServiceClient::new(channel.clone());
    let claimed = accounts
        .claim_account(pb::ClaimAccountRequest {
            name: name.to_owned(),
            code: code.to_owned(),
            password: password.clone(),
        })
        .await?
        .into_inner();
    let secret = Secret::try_from_base32(&claimed.secret).map_err(|error| wrong(&error))?;
    let totp = Builder::new()
        .with_algorithm(Algorithm::SHA1)
        .with_secret(secret)
        .with_account_name(name.to_owned())
        .build()
        .map_err(|error| wrong(&error))?;
    let signed_in = accounts
        .sign_in(pb::SignInRequest {
            name: name.to_owned(),
            password,
            code: totp.generate(context.ambient.now()).to_string(),
        })
        .await?
        .into_inner();
    Ok(signed_in.token)
}

/// A page, whole.
async fn get(host: &str, path: &str, token: &str) -> Result<String, CliError> {
    let mut stream = TcpStream::connect(host).await?;
    let request = format!(
        "GET {path} HTTP/1.1\r\nhost: {host}\r\ncookie: __Host-wayhome-session={token}\r\n\
         connection: close\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await?;
    let answer = String::from_utf8_lossy(&answer).into_owned();
    if answer.starts_with("HTTP/1.1 200 ") {
        return Ok(answer);
    }
    let status = answer.lines().next().unwrap_or_default();
    Err(CliError::failed(
        "BENCH",
        format!("the console answered {path} with {status}"),
    ))
}

/// Invented children, none like another.
fn synthetic_register(records: u64) -> String {
    let mut text = String::from("record_ref,family_name,given_name,date_of_birth,consent\n");
    for number in 0..records {
        let letters: String = (0..6)
            .map(|place| char::from(b'a' + (number / 26_u64.pow(place) % 26) as u8))
            .collect();
        let (year, month, day) = (2005 + number % 15, 1 + number % 12, 1 + number % 28);
        let _ = writeln!(
            text,
            "B-{number},Bench{letters},Test{letters},{year}-{month:02}-{day:02},tracing"
        );
    }
    text
}
