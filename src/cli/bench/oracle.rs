//! `bench oracle`: does an answer tell by its time or size whether a silent record was met?
//!
//! A whole coalition runs on this machine, each node a process of its own. Germany's register has
//! records that may be found and records that are silent. Two members ask it about children over
//! mutual TLS, one child a query: children of the first kind (hits), of the second (silent hits)
//! and children whom nobody holds (misses), in one random order, several queries under way at
//! once. What is timed is the call: from the query on the wire to the whole answer.

use std::cmp::Ordering;
use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{self, AtomicUsize};

use futures_util::future::try_join_all;
use prost::Message as _;
use rand_core::RngCore as _;
use tonic::transport::Channel;

use super::filled::rules;
use super::{
    Bench, Figure, Measured, Measuring, Options, mean_and_variance, median, place::Place, welch_t,
};
use crate::ambient::Ambient;
use crate::cli::progress::bar;
use crate::cli::{CliError, Context};
use crate::demo::{Coalition, Wayhome};
use crate::exchange::Peers as _;
use crate::exchange::ask::MAX_MESSAGE;
use crate::exchange::lookup::SubjectTokens;
use crate::exchange::message::{Signer, sign_query_as};
use crate::node::{Config, Directory, Identity, PinnedPeers};
use crate::proto::exchange as pb;
use crate::proto::exchange::lookup_service_client::LookupServiceClient;
use crate::roster::{MemberId, TrustedRoot, TrustedRoster};
use crate::store::Store;

/// The benchmark.
pub const BENCH: Bench = Bench {
    name: "oracle",
    about: "time and size of misses, hits and silent hits",
    run,
};

/// The holder that is asked.
const HOLDER: &str = "de";

/// The epoch of the coalition key.
const EPOCH: u32 = 1;

/// The members that ask. Each has a daily quota of its own.
const ASKERS: [&str; 2] = ["pl", "ua"];

/// How many lookups are measured unless told otherwise, a third of them of each kind.
const COUNT: u64 = 100_000;

/// How many queries are under way at once.
const AT_ONCE: usize = 16;

/// Records of each kind in the holder's register.
const RECORDS: usize = 40;

/// What a lookup meets.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Miss,
    Silent,
    Hit,
}

const KINDS: [Kind; 3] = [Kind::Miss, Kind::Silent, Kind::Hit];

fn run<'a>(context: &'a Context, options: &'a Options) -> Measuring<'a> {
    Box::pin(measure(context, options.count.unwrap_or(COUNT)))
}

async fn measure(context: &Context, count: u64) -> Result<Measured, CliError> {
    let count = usize::try_from(count).unwrap_or(usize::MAX);
    if count < 2 * KINDS.len() {
        return Err(CliError::input(
            "COUNT",
            "there is nothing to compare in so few lookups: give --count 6 or more",
        ));
    }
    let place = Place::within(context, &std::env::temp_dir())?;
    let coalition = Coalition::found(Wayhome::this("warn")?, place.path(), None).await?;
    let outcome = measure_at(context, &coalition, place.path(), count).await;
    coalition.stop().await?;
    Ok(report(&outcome?))
}

async fn measure_at(
    context: &Context,
    coalition: &Coalition,
    place: &Path,
    count: usize,
) -> Result<Vec<Sample>, CliError> {
    let register = place.join("register.csv");
    std::fs::write(&register, synthetic_register())?;
    let register = register.display().to_string();
    coalition
        .run(HOLDER, &["records", "import", &register])
        .await?;
    coalition.run(HOLDER, &["records", "publish"]).await?;
    let children = children(context, &coalition.party(HOLDER)).await?;
    let mut askers = Vec::new();
    for asker in ASKERS {
        askers.push(Asker::new(context, &coalition.party(asker)).await?);
    }
    let mut schedule: Vec<Kind> = KINDS.into_iter().cycle().take(count).collect();
    shuffle(&mut schedule, &context.ambient);
    warm_up(context, &askers, &children).await?;
    ask_all(context, &askers, &children, &schedule).await
}

/// Children that the holder has records of, as subjects of a query to it.
struct Children {
    found: Vec<pb::LookupSubject>,
    silent: Vec<pb::LookupSubject>,
}

async fn children(context: &Context, holder: &Path) -> Result<Children, CliError> {
    let rules = rules()?;
    let (found, silent) = registered(context, holder).await?;
    let asked = |children: Vec<SubjectTokens>| {
        let asked =
            |child: &SubjectTokens| child.for_holder(rules, EPOCH, HOLDER, &context.ambient);
        children.iter().map(asked).collect()
    };
    Ok(Children {
        found: asked(found),
        silent: asked(silent),
    })
}

/// The database of a node of this machine.
pub(super) async fn store(context: &Context, node: &Path) -> Result<Store, CliError> {
    let directory = Directory::new(node);
    let config = Config::load(&directory)?;
    let (ring, token) = Identity::store_keys(&directory)?;
    let address = config.database_in(&directory);
    Ok(Store::open(&address, ring, token, context.ambient.clone()).await?)
}

/// The tokens of the children in [`synthetic_register`] as its holder has them: of those who may be
/// found, and of those who are silent.
pub(super) async fn registered(
    context: &Context,
    holder: &Path,
) -> Result<(Vec<SubjectTokens>, Vec<SubjectTokens>), CliError> {
    let store = store(context, holder).await?;
    let mut children = Vec::new();
    for number in 0..2 * RECORDS {
        let missing = || CliError::failed("BENCH", "a record of the benchmark has no tokens");
        let record = store
            .record_by_ref(&format!("B-{number}"))
            .await?
            .ok_or_else(missing)?;
        let (presence, bytes) = store.tokens(&record, EPOCH).await?.ok_or_else(missing)?;
        children.push(SubjectTokens::from_bytes(presence, &bytes).ok_or_else(missing)?);
    }
    store.close().await;
    let silent = children.split_off(RECORDS);
    Ok((children, silent))
}

/// A member that asks.
struct Asker {
    id: MemberId,
    identity: Arc<Identity>,
    roster: TrustedRoster,
    channel: Channel,
}

impl Asker {
    async fn new(context: &Context, directory: &Path) -> Result<Self, CliError> {
        let directory = Directory::new(directory);
        let config = Config::load(&directory)?;
        let identity = Arc::new(Identity::load(&directory)?);
        let root = TrustedRoot::pin(directory.read("root.note")?.as_bytes())?;
        let roster = TrustedRoster::verify(&root, directory.read("roster.note")?.as_bytes())?;
        let holder = roster
            .member(HOLDER)
            .ok_or_else(|| CliError::failed("BENCH", "the holder is not in the roster"))?;
        let peers = PinnedPeers::new(Arc::clone(&identity), context.ambient.clone());
        let channel = peers
            .channel(holder)
            .await
            .map_err(|error| CliError::failed("BENCH", error))?;
        Ok(Self {
            id: config.member,
            identity,
            roster,
            channel,
        })
    }

    /// Asks about one child, and times the call.
    async fn ask(
        &self,
        ambient: &Ambient,
        subject: &pb::LookupSubject,
        kind: Kind,
    ) -> Result<Sample, CliError> {
        let holder = self
            .roster
            .member(HOLDER)
            .ok_or_else(|| CliError::failed("BENCH", "the holder is not in the roster"))?;
        let payload = pb::LookupQuery {
            purpose: pb::Purpose::FamilyTracing.into(),
            legal_basis: pb::LegalBasis::VitalInterest.into(),
            case_reference: "BENCH-1".to_owned(),
            epoch: EPOCH,
            rules_digest: rules()?.digest().to_vec(),
            ..pb::LookupQuery::default()
        };
        let signer = Signer {
            id: &self.id,
            key: &self.identity.signing,
            ambient,
        };
        let body = subject.encode_to_vec();
        let query = sign_query_as(signer, &self.roster, holder, payload, &[&body])?;
        let request = pb::LookupRequest {
            message: Some(query.message),
        };
        let mut client =
            LookupServiceClient::new(self.channel.clone()).max_decoding_message_size(MAX_MESSAGE);
        let began = ambient.monotonic_ns();
        let reply = client.lookup(request).await?.into_inner();
        let took = ambient.monotonic_ns() - began;
        check(kind, &reply)?;
        Ok(Sample {
            kind,
            ms: took as f64 / 1e6,
            octets: reply.encoded_len(),
        })
    }
}

/// One measured lookup.
struct Sample {
    kind: Kind,
    ms: f64,
    octets: usize,
}

/// A measurement of something else than it says would be worth nothing.
fn check(kind: Kind, reply: &pb::LookupResponse) -> Result<(), CliError> {
    let grade = reply
        .message
        .as_ref()
        .and_then(|message| match message.items.first()?.form.as_ref()? {
            pb::item::Form::Full(item) => pb::LookupResult::decode(item.get(16..)?).ok(),
            pb::item::Form::Erased(_) => None,
        })
        .map(|result| result.grade());
    let expected = match kind {
        Kind::Hit => pb::Grade::Match,
        Kind::Miss | Kind::Silent => pb::Grade::NoMatch,
    };
    if grade == Some(expected) {
        Ok(())
    } else {
        Err(CliError::failed(
            "BENCH",
            format!(
                "a lookup was answered with {} in place of {}",
                grade.map_or("nothing", |grade| grade.as_str_name()),
                expected.as_str_name()
            ),
        ))
    }
}

/// Every asker asks about every child once, so that caches are warm, connections stand, and no
/// record is met by new tokens later on, which would be work that a miss never has.
async fn warm_up(context: &Context, askers: &[Asker], children: &Children) -> Result<(), CliError> {
    for asker in askers {
        for (kind, known) in [
            (Kind::Hit, &children.found),
            (Kind::Silent, &children.silent),
        ] {
            for child in known {
                asker.ask(&context.ambient, child, kind).await?;
            }
        }
    }
    Ok(())
}

async fn ask_all(
    context: &Context,
    askers: &[Asker],
    children: &Children,
    schedule: &[Kind],
) -> Result<Vec<Sample>, CliError> {
    let bar = bar(context.output, schedule.len() as u64, "looking up");
    let next = AtomicUsize::new(0);
    let ambient = &context.ambient;
    let workers = (0..AT_ONCE).map(|_| async {
        let mut samples = Vec::new();
        loop {
            let number = next.fetch_add(1, atomic::Ordering::Relaxed);
            let Some(&kind) = schedule.get(number) else {
                return Ok::<_, CliError>(samples);
            };
            let Some(asker) = askers.get(number % askers.len()) else {
                return Ok(samples);
            };
            let child = child(children, kind, ambient)?;
            samples.push(asker.ask(ambient, &child, kind).await?);
            bar.inc(1);
        }
    });
    let samples = try_join_all(workers).await?;
    bar.finish_and_clear();
    Ok(samples.into_iter().flatten().collect())
}

/// A child of a kind, drawn at random. One whom nobody holds has random tokens and a mask that
/// another child has.
fn child(
    children: &Children,
    kind: Kind,
    ambient: &Ambient,
) -> Result<pb::LookupSubject, CliError> {
    let from = match kind {
        Kind::Hit => &children.found,
        Kind::Miss | Kind::Silent => &children.silent,
    };
    let drawn = below(from.len(), ambient);
    let mut child = from
        .get(drawn)
        .cloned()
        .ok_or_else(|| CliError::failed("BENCH", "there is no child to ask about"))?;
    if kind == Kind::Miss {
        ambient.rng().fill_bytes(&mut child.tokens);
        ambient.rng().fill_bytes(&mut child.sibling_tokens);
    }
    Ok(child)
}

/// Fisher and Yates's shuffle.
fn shuffle(kinds: &mut [Kind], ambient: &Ambient) {
    for last in (1..kinds.len()).rev() {
        kinds.swap(last, below(last + 1, ambient));
    }
}

/// A number below `limit`; its bias of 2^-32 does not matter here.
fn below(limit: usize, ambient: &Ambient) -> usize {
    (ambient.rng().next_u64() % limit.max(1) as u64) as usize
}

/// Largest |t| at which times do not tell the two apart.
const LIMIT: f64 = 4.5;

/// What is broken of the promise that nobody can tell a silent record from a miss.
pub(super) fn broken(figures: &[Figure]) -> Option<String> {
    let figure = |name: &str| figures.iter().find(|figure| figure.name == name);
    let t = figure("welch_t").map_or(f64::INFINITY, |figure| figure.value);
    // What is no number at all is not below the limit either.
    if !matches!(t.abs().partial_cmp(&LIMIT), Some(Ordering::Less)) {
        return Some(format!(
            "welch_t is {t:.2}: the time of an answer tells a silent record from a miss"
        ));
    }
    let sizes = figure("largest_answer_bytes");
    let spread = sizes.and_then(|sizes| Some(sizes.value - sizes.reference?.1));
    if spread.is_none_or(|spread| spread >= 1.0) {
        return Some("answers are not all of one size: a size tells what was found".to_owned());
    }
    None
}

fn report(samples: &[Sample]) -> Measured {
    let times = |kind| -> Vec<f64> {
        samples
            .iter()
            .filter(|sample| sample.kind == kind)
            .map(|sample| sample.ms)
            .collect()
    };
    let (miss, silent, hit) = (times(Kind::Miss), times(Kind::Silent), times(Kind::Hit));
    let octets = || samples.iter().map(|sample| sample.octets);
    let smallest = octets().min().unwrap_or(0) as f64;
    let largest = octets().max().unwrap_or(0) as f64;
    let mean = |times: &[f64]| mean_and_variance(times).0;
    Measured {
        figures: vec![
            Figure::new("welch_t", welch_t(&miss, &silent), "").against("limit", LIMIT),
            Figure::new("welch_t_hit", welch_t(&miss, &hit), "").against("limit", LIMIT),
            Figure::new("lookups", samples.len() as f64, ""),
            Figure::new("miss_mean_ms", mean(&miss), "ms"),
            Figure::new("silent_mean_ms", mean(&silent), "ms"),
            Figure::new("hit_mean_ms", mean(&hit), "ms"),
            Figure::new("miss_median_ms", median(&miss), "ms"),
            Figure::new("silent_median_ms", median(&silent), "ms"),
            Figure::new("hit_median_ms", median(&hit), "ms"),
            Figure::new("largest_answer_bytes", largest, "B").against("smallest", smallest),
        ],
        method: format!(
            "{} lookups of one child each, a third of them misses, a third silent hits and a third \
             hits, in one random order, {AT_ONCE} under way at once, over mutual TLS to a node in another \
             process; welch_t is between misses and silent hits, welch_t_hit between misses and \
             hits; sizes are of whole answers.",
            samples.len()
        ),
    }
}

/// Children with all that makes a match sure: the first are found, the second half is silent.
pub(super) fn synthetic_register() -> String {
    let mut text = String::from(
        "record_ref,family_name,given_name,patronymic,sex,date_of_birth,place_of_birth,\
         mother_family_name,mother_given_name,consent,protection\n",
    );
    const START: [&str; 8] = ["Кова", "Мель", "Шев", "Бон", "Тка", "Сав", "Лис", "Гри"];
    const MIDDLE: [&str; 5] = ["лен", "ни", "чен", "дар", "цю"];
    const END: [&str; 4] = ["ко", "чук", "ець", "ський"];
    const GIVEN: [&str; 5] = ["Олег", "Іван", "Андрій", "Тарас", "Петро"];
    for number in 0..2 * RECORDS {
        let part = |parts: &[&'static str], by: usize| parts[(number / by) % parts.len()];
        let family = format!("{}{}{}", part(&START, 1), part(&MIDDLE, 8), part(&END, 3));
        let protection = if number < RECORDS { "none" } else { "silent" };
        // A string grows as needed.
        let _ = writeln!(
            text,
            "B-{number},{family},{},Ігорович,M,20{:02}-{:02}-{:02},Бердянськ,{family},Надія,tracing,{protection}",
            part(&GIVEN, 1),
            8 + number % 9,
            1 + number % 12,
            1 + number % 28,
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Lookups that take 25 ms and some noise, those of one kind longer by `shift_ms`, and that answer in
    /// `octets` octets, those of one kind in one more.
    fn samples(shifted: Kind, shift_ms: f64, octets: usize, larger: bool) -> Vec<Sample> {
        let mut state = 1_u32;
        let mut noise = || {
            // A linear congruential generator: the same numbers each time.
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            f64::from(state >> 8) / f64::from(1 << 24) * 10.0
        };
        KINDS
            .into_iter()
            .cycle()
            .take(3_000)
            .map(|kind| Sample {
                kind,
                ms: 25.0 + noise() + if kind == shifted { shift_ms } else { 0.0 },
                octets: octets + usize::from(larger && kind == shifted),
            })
            .collect()
    }

    #[test]
    fn two_milliseconds_or_one_octet_break_the_promise_and_noise_does_not() {
        let judged = |samples: &[Sample]| broken(&report(samples).figures);
        assert_eq!(judged(&samples(Kind::Silent, 0.0, 900, false)), None);
        for kind in [Kind::Silent, Kind::Miss] {
            let said = judged(&samples(kind, 2.0, 900, false)).unwrap();
            assert!(said.contains("time"), "{said}");
        }
        for kind in KINDS {
            let said = judged(&samples(kind, 0.0, 900, true)).unwrap();
            assert!(said.contains("size"), "{said}");
        }
        assert!(broken(&[]).is_some());
    }
}
