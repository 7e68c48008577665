//! `bench enrol`: what enrolling a register costs, against its arithmetic alone.
//!
//! A member that is no keyholder enrols a register with three of four keyholders, each a process of its
//! own, and the processor time of all of them is taken from the system. What the same work costs by
//! itself, in this process and on one core, is measured beside it (`bench oprf`).

use std::fmt::Write as _;
use std::time::Duration;

use super::oprf::{Costs, THRESHOLD};
use super::{Bench, Figure, Measured, Measuring, Options, place::Place};
use crate::cli::{CliError, Context};
use crate::demo::{Coalition, MEMBERS, Newcomer, Wayhome};

/// The benchmark.
pub const BENCH: Bench = Bench {
    name: "enrol",
    about: "enrolling a register, against its arithmetic",
    run,
};

/// Records of the register, unless told otherwise.
const COUNT: u64 = 2_000;

/// Records of the register that is enrolled first, so that connections stand and tables are warm.
const WARM: u64 = 50;

/// Batches of the arithmetic alone.
const ROUNDS: u64 = 9;

/// How often it is tried whether the keyholders know the new member, and how long is waited between.
const TRIES: u32 = 40;
const PAUSE: Duration = Duration::from_millis(500);

const ASKER: &str = "cz";

fn run<'a>(context: &'a Context, options: &'a Options) -> Measuring<'a> {
    Box::pin(measure(context, options.count.unwrap_or(COUNT)))
}

async fn measure(context: &Context, records: u64) -> Result<Measured, CliError> {
    // A new member's allowance is 10,000 records.
    if !(1..=9_000).contains(&records) {
        return Err(CliError::input("COUNT", "give --count 1 to 9000"));
    }
    let costs = Costs::measure(&context.ambient, ROUNDS)?;
    let place = Place::within(context, context.directory.path())?;
    let mut coalition = Coalition::found(Wayhome::this("warn")?, place.path(), None).await?;
    let outcome = measure_at(context, &mut coalition, place.path(), records, costs).await;
    coalition.stop().await?;
    outcome
}

async fn measure_at(
    context: &Context,
    coalition: &mut Coalition,
    place: &std::path::Path,
    records: u64,
    costs: Costs,
) -> Result<Measured, CliError> {
    coalition
        .take_in(&Newcomer {
            id: ASKER,
            name: "Czechia",
            organisation: "Office for International Legal Protection",
            keyholder: "5",
        })
        .await?;
    import(coalition, place, 0..WARM).await?;
    publish_once_known(coalition).await?;
    let before = spent(coalition)?;
    let tokens_before = tokens(coalition).await?;
    let began = context.ambient.monotonic_ns();
    import(coalition, place, WARM..WARM + records).await?;
    coalition.run(ASKER, &["records", "publish"]).await?;
    let seconds = (context.ambient.monotonic_ns() - began) as f64 / 1e9;
    let after = spent(coalition)?;
    let made = tokens(coalition).await? - tokens_before;
    if made <= 0.0 {
        return Err(CliError::failed("BENCH", "no token was made"));
    }
    let client = (after.0 - before.0) / made;
    let keyholder = (after.1 - before.1) / (f64::from(THRESHOLD) * made);
    Ok(Measured {
        figures: vec![
            Figure::new("client_us_per_token", client, "us")
                .against("blind + 3 verify + combine, alone", costs.client()),
            Figure::new("keyholder_us_per_token", keyholder, "us")
                .against("evaluate with its proof, alone", costs.evaluate),
            Figure::new("records_per_second", records as f64 / seconds, "1/s"),
            Figure::new("tokens", made, ""),
        ],
        method: format!(
            "{records} records enrolled and published by a member that is no keyholder, with \
             {THRESHOLD} of four keyholders; processor time of the processes (user and system) a \
             token, everything included: import, keys derived, batches signed, logged, sealed \
             and kept. client_us_per_token = the member's time / tokens, against blind + {THRESHOLD} x \
             verify + combine = {:.1} + {THRESHOLD} x {:.1} + {:.1} us; keyholder_us_per_token = all \
             keyholders' time / ({THRESHOLD} x tokens), against evaluate = {:.1} us. All processes \
             share this machine's cores.",
            costs.blind, costs.verify, costs.combine, costs.evaluate
        ),
    })
}

async fn import(
    coalition: &Coalition,
    place: &std::path::Path,
    numbers: std::ops::Range<u64>,
) -> Result<(), CliError> {
    let register = place.join("register.csv");
    std::fs::write(&register, synthetic_register(numbers))?;
    let register = register.display().to_string();
    coalition
        .run(ASKER, &["records", "import", &register])
        .await?;
    Ok(())
}

/// Publishes as soon as the keyholders' nodes have the roster that takes the new member in.
async fn publish_once_known(coalition: &Coalition) -> Result<(), CliError> {
    for _ in 0..TRIES {
        let (_, failure) = coalition.try_run(ASKER, &["records", "publish"]).await?;
        if failure.is_none() {
            return Ok(());
        }
        tokio::time::sleep(PAUSE).await;
    }
    coalition.run(ASKER, &["records", "publish"]).await?;
    Ok(())
}

/// Tokens in the member's index.
async fn tokens(coalition: &Coalition) -> Result<f64, CliError> {
    let status = coalition.run(ASKER, &["status"]).await?;
    status["index_tokens"]
        .as_f64()
        .ok_or_else(|| CliError::failed("BENCH", "the node states no tokens"))
}

/// Processor time so far, in microseconds: the member's, and that of all keyholders.
fn spent(coalition: &Coalition) -> Result<(f64, f64), CliError> {
    let mut keyholders = 0.0;
    for (id, ..) in MEMBERS {
        keyholders += spent_by(coalition, id)?;
    }
    Ok((spent_by(coalition, ASKER)?, keyholders))
}

/// As the system states it (`proc(5)`, `stat`): hundredths of a second of user and system time.
fn spent_by(coalition: &Coalition, id: &str) -> Result<f64, CliError> {
    let ended = || CliError::failed("BENCH", format!("the node of {id} has ended"));
    let process = coalition.process(id).ok_or_else(ended)?;
    let text = std::fs::read_to_string(format!("/proc/{process}/stat"))?;
    // The second field, the program's name in brackets, may hold spaces.
    let fields = text.rsplit_once(')').map_or("", |(_, rest)| rest);
    let ticks: f64 = fields
        .split_whitespace()
        .skip(11)
        .take(2)
        .filter_map(|field| field.parse::<f64>().ok())
        .sum();
    Ok(ticks * 10_000.0)
}

/// Children with all that a register usually knows of them.
fn synthetic_register(numbers: std::ops::Range<u64>) -> String {
    let mut text = String::from(
        "record_ref,family_name,given_name,patronymic,sex,date_of_birth,place_of_birth,\
         mother_family_name,mother_given_name,consent\n",
    );
    const START: [&str; 10] = [
        "Кова", "Мель", "Шев", "Бон", "Тка", "Сав", "Лис", "Гри", "Пав", "Мар",
    ];
    const END: [&str; 5] = ["ленко", "ничук", "ченко", "дарець", "цюк"];
    const GIVEN: [&str; 6] = ["Олег", "Іван", "Андрій", "Тарас", "Петро", "Максим"];
    const PLACE: [&str; 4] = ["Маріуполь", "Херсон", "Мелітополь", "Бердянськ"];
    for number in numbers {
        let part =
            |parts: &[&'static str], by: u64| parts[((number / by) % parts.len() as u64) as usize];
        let family = format!("{}{}", part(&START, 1), part(&END, 10));
        // A string grows as needed.
        let _ = writeln!(
            text,
            "E-{number},{family},{},Ігорович,M,20{:02}-{:02}-{:02},{},{family},Надія,tracing",
            part(&GIVEN, 50),
            6 + number / 300 % 12,
            1 + number / 3_600 % 12,
            1 + number % 28,
            part(&PLACE, 1),
        );
    }
    text
}
