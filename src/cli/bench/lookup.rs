//! `bench lookup`: how many single lookups two nodes do in a second, with all that belongs to one.
//!
//! A whole coalition is founded on this machine. Germany's node runs in a process of its own;
//! Ukraine's works within this one, and looks one child up at a time, [`AT_ONCE`] at once over one
//! connection, by the very code of a search: its leaf and evidence durable before the query leaves,
//! the query signed, mutual TLS, the gate, the index, the holder's leaf and evidence durable, the
//! answer signed, sent on its tick, checked, and the receipt and evidence durable on the asker's side.
//! In turn with it, in the same run, as many calls with messages of the same sizes go over the same
//! kind of connection to a server that does nothing.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use prost::Message as _;
use rand_core::RngCore as _;
use tokio::task::JoinSet;
use tonic::transport::Channel;

use super::echo::EchoServer;
use super::{Bench, Figure, Measured, Measuring, Options, median, oracle, place::Place};
use crate::cli::progress::bar;
use crate::cli::{CliError, Context};
use crate::demo::{Coalition, Database, Wayhome};
use crate::exchange::lookup::{LookupAt, SubjectTokens, look_up};
use crate::exchange::message::{Outgoing, sign_query};
use crate::exchange::{Party, Peers as _};
use crate::linkage::RuleTable;
use crate::node::{Directory, PinnedPeers, open_party};
use crate::proto::exchange as pb;
use crate::proto::exchange::lookup_service_client::LookupServiceClient;
use crate::roster::{LegalBasis, Member, Purpose};
use crate::store::Store;

/// The benchmark.
pub const BENCH: Bench = Bench {
    name: "lookup",
    about: "signed lookups of one child each, durable at both ends",
    run,
};

/// The two parties.
const HOLDER: &str = "de";
const ASKER: &str = "ua";

/// The epoch of the coalition key.
const EPOCH: u32 = 1;

/// Lookups of one measurement, unless told otherwise.
const COUNT: u64 = 10_000;

/// Lookups under way at once.
const AT_ONCE: u64 = 64;

/// Measurements of each kind, of which the median is given.
const RUNS: usize = 3;

/// Children whom nobody holds, that are asked about in turn.
const STRANGERS: usize = 1_000;

/// How many of a hundred lookups find somebody, where some do.
const HITS: u64 = 30;

fn run<'a>(context: &'a Context, options: &'a Options) -> Measuring<'a> {
    Box::pin(measure(context, options))
}

async fn measure(context: &Context, options: &Options) -> Result<Measured, CliError> {
    let count = options.count.unwrap_or(COUNT);
    if count < AT_ONCE {
        return Err(CliError::input(
            "COUNT",
            format!("so few lookups are not {AT_ONCE} at once: give --count {AT_ONCE} or more"),
        ));
    }
    // A temporary folder is often in memory, where nothing is durable.
    let place = Place::within(context, context.directory.path())?;
    let server = options.database.server(&context.ambient)?;
    let mut coalition = Coalition::found(Wayhome::this("warn")?, place.path(), server).await?;
    let outcome = measure_at(context, &mut coalition, place.path(), count).await;
    coalition.stop().await?;
    let mut measured = outcome?;
    measured.method = format!(
        "{} Both nodes on {}.",
        measured.method,
        match options.database {
            Database::Sqlite =>
                "SQLite, each with a file of its own, every commit forced to the disk",
            Database::Postgres => "PostgreSQL, on one server, every commit forced to the disk",
        }
    );
    Ok(measured)
}

/// The subjects of a lookup of one child, whom the asker has no record of.
type Alone = [(Option<[u8; 16]>, SubjectTokens); 1];

/// What is measured with.
struct Scene {
    party: Arc<Party>,
    holder: Member,
    lookup: LookupAt,
    /// Children whom the holder has, and children whom nobody has.
    found: Vec<Alone>,
    strangers: Vec<Alone>,
}

async fn measure_at(
    context: &Context,
    coalition: &mut Coalition,
    place: &Path,
    count: u64,
) -> Result<Measured, CliError> {
    let register = place.join("register.csv");
    std::fs::write(&register, oracle::synthetic_register())?;
    let register = register.display().to_string();
    coalition
        .run(HOLDER, &["records", "import", &register])
        .await?;
    coalition.run(HOLDER, &["records", "publish"]).await?;
    let (found, _) = oracle::registered(context, &coalition.party(HOLDER)).await?;
    let strangers = (0..STRANGERS)
        .map(|number| stranger(&found[number % found.len()], context))
        .collect::<Result<_, _>>()?;
    let alone = |subject: SubjectTokens| [(None, subject)];
    let found = found.into_iter().map(alone).collect();
    // The others have no part in this.
    coalition.stop_node(ASKER).await?;
    let asker = open_party(&Directory::new(coalition.party(ASKER)), &context.ambient)
        .await
        .map_err(|error| CliError::failed("BENCH", error))?;
    for other in ["pl", "ca"] {
        coalition.stop_node(other).await?;
    }
    let roster = asker.party.roster().map_err(failed)?;
    let scene = Arc::new(Scene {
        holder: roster
            .member(HOLDER)
            .cloned()
            .ok_or_else(|| failed("the holder is not in the roster"))?,
        party: Arc::clone(&asker.party),
        lookup: LookupAt {
            purpose: Purpose::FamilyTracing,
            legal_basis: LegalBasis::PublicInterest,
            case_reference: "BENCH-1".to_owned(),
        },
        found,
        strangers,
    });

    let (request, response) = sample(&scene).await?;
    let echo = EchoServer::start(&coalition.party(HOLDER), place, &response).await?;
    let peers = PinnedPeers::new(Arc::clone(&asker.identity), context.ambient.clone());
    let address = echo.address.parse().map_err(failed)?;
    peers.set_routes([(scene.holder.id.clone(), vec![address])].into());
    let bare = peers.channel(&scene.holder).await.map_err(failed)?;

    let before = (
        size(scene.party.store()).await?,
        holder_size(context, coalition).await?,
    );
    // Connections stand and caches are warm: every child is asked about once.
    let warm = scene.found.len() as u64 + AT_ONCE;
    let bar = bar(context.output, RUNS as u64 * 3, "measuring");
    look_up_many(&scene, warm, 100).await?;
    call_many(&scene, &bare, &request, warm).await?;
    let (mut echoes, mut misses, mut hits) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..RUNS {
        echoes.push(call_many(&scene, &bare, &request, count).await?);
        bar.inc(1);
        misses.push(look_up_many(&scene, count, 0).await?);
        bar.inc(1);
        hits.push(look_up_many(&scene, count, HITS).await?);
        bar.inc(1);
    }
    bar.finish_and_clear();
    let lookups = warm + 2 * RUNS as u64 * count;
    let grown = (
        size(scene.party.store()).await? - before.0,
        holder_size(context, coalition).await? - before.1,
    );
    if grown.0 < 2 * lookups || grown.1 < lookups {
        return Err(failed(format!(
            "{lookups} lookups left {} and {} leaves in the two logs",
            grown.0, grown.1
        )));
    }
    let octets = (request.encoded_len(), response.encoded_len());
    asker.party.store().close().await;
    Ok(report(&echoes, &misses, &hits, count, octets))
}

fn failed(error: impl std::fmt::Display) -> CliError {
    CliError::failed("BENCH", error)
}

/// A child of the shape of another, whom nobody holds: all its tokens are random.
fn stranger(like: &SubjectTokens, context: &Context) -> Result<Alone, CliError> {
    let mut bytes = like.to_bytes();
    let stored = bytes.len() / like.tokens.len().max(1);
    for token in bytes.chunks_mut(stored.max(2)) {
        context.ambient.rng().fill_bytes(&mut token[1..]);
    }
    SubjectTokens::from_bytes(like.presence.0, &bytes)
        .map(|tokens| [(None, tokens)])
        .ok_or_else(|| failed("a stranger could not be made up"))
}

/// One query and its answer, as they are on the wire.
async fn sample(scene: &Scene) -> Result<(pb::LookupRequest, pb::LookupResponse), CliError> {
    let roster = scene.party.roster().map_err(failed)?;
    let rules: &RuleTable = scene.party.rules();
    let subject = scene.strangers[0][0]
        .1
        .for_holder(rules, EPOCH, HOLDER, scene.party.ambient())
        .encode_to_vec();
    let payload = pb::LookupQuery {
        purpose: pb::Purpose::FamilyTracing.into(),
        legal_basis: pb::LegalBasis::PublicInterest.into(),
        case_reference: scene.lookup.case_reference.clone(),
        epoch: EPOCH,
        rules_digest: rules.digest().to_vec(),
        ..pb::LookupQuery::default()
    };
    let query: Outgoing =
        sign_query(&scene.party, &roster, &scene.holder, payload, &[&subject]).map_err(failed)?;
    let request = pb::LookupRequest {
        message: Some(query.message),
    };
    let channel = scene
        .party
        .peers()
        .channel(&scene.holder)
        .await
        .map_err(failed)?;
    let response = LookupServiceClient::new(channel)
        .lookup(request.clone())
        .await
        .map_err(failed)?
        .into_inner();
    Ok((request, response))
}

/// How many leaves a log has.
async fn size(store: &Store) -> Result<u64, CliError> {
    Ok(store.checkpoint().await?.map_or(0, |(size, _)| size))
}

async fn holder_size(context: &Context, coalition: &Coalition) -> Result<u64, CliError> {
    let store = oracle::store(context, &coalition.party(HOLDER)).await?;
    let size = size(&store).await;
    store.close().await;
    size
}

/// One measurement.
struct Run {
    per_second: f64,
    /// Milliseconds that each took, in ascending order.
    took: Vec<f64>,
}

impl Run {
    fn of(mut took: Vec<f64>, seconds: f64) -> Self {
        took.sort_by(f64::total_cmp);
        Self {
            per_second: took.len() as f64 / seconds.max(1e-9),
            took,
        }
    }

    /// What this part of all took at most, in milliseconds.
    fn within(&self, part: f64) -> f64 {
        let last = self.took.len().saturating_sub(1);
        let at = (self.took.len() as f64 * part).ceil() as usize;
        self.took
            .get(at.saturating_sub(1).min(last))
            .copied()
            .unwrap_or(0.0)
    }
}

/// Does something `count` times, [`AT_ONCE`] at once, each on whichever core is free.
async fn many<F, R>(scene: &Arc<Scene>, count: u64, each: F) -> Result<Run, CliError>
where
    F: Fn(Arc<Scene>, u64) -> R + Clone + Send + 'static,
    R: Future<Output = Result<(), CliError>> + Send,
{
    let next = Arc::new(AtomicU64::new(0));
    let ambient = scene.party.ambient().clone();
    let began = ambient.monotonic_ns();
    let mut workers = JoinSet::new();
    for _ in 0..AT_ONCE {
        let (next, scene, each) = (Arc::clone(&next), Arc::clone(scene), each.clone());
        workers.spawn(async move {
            let mut took = Vec::new();
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= count {
                    return Ok::<_, CliError>(took);
                }
                let began = scene.party.ambient().monotonic_ns();
                each(Arc::clone(&scene), number).await?;
                took.push((scene.party.ambient().monotonic_ns() - began) as f64 / 1e6);
            }
        });
    }
    let mut took = Vec::new();
    while let Some(ended) = workers.join_next().await {
        took.extend(ended.map_err(failed)??);
    }
    let seconds = (ambient.monotonic_ns() - began) as f64 / 1e9;
    Ok(Run::of(took, seconds))
}

/// Lookups of one child each, of which this many in a hundred find it.
async fn look_up_many(scene: &Arc<Scene>, count: u64, hits: u64) -> Result<Run, CliError> {
    many(scene, count, move |scene, number| async move {
        // Spread evenly, so that hits and misses share commits.
        let is_hit = number * 37 % 100 < hits;
        let children = if is_hit {
            &scene.found
        } else {
            &scene.strangers
        };
        let child = &children[usize::try_from(number).unwrap_or(0) % children.len()];
        let answer = look_up(&scene.party, &scene.holder, &scene.lookup, EPOCH, child)
            .await
            .map_err(failed)?;
        let expected = if is_hit {
            pb::Grade::Match
        } else {
            pb::Grade::NoMatch
        };
        match answer.results.as_slice() {
            [result] if result.grade == expected => Ok(()),
            _ => Err(failed(
                "a lookup was answered with another grade than is right",
            )),
        }
    })
    .await
}

/// Bare calls.
async fn call_many(
    scene: &Arc<Scene>,
    channel: &Channel,
    request: &pb::LookupRequest,
    count: u64,
) -> Result<Run, CliError> {
    let (channel, request) = (channel.clone(), request.clone());
    many(scene, count, move |_, _| {
        let (channel, request) = (channel.clone(), request.clone());
        async move {
            LookupServiceClient::new(channel)
                .lookup(request)
                .await
                .map(drop)
                .map_err(failed)
        }
    })
    .await
}

fn report(
    echoes: &[Run],
    misses: &[Run],
    hits: &[Run],
    count: u64,
    octets: (usize, usize),
) -> Measured {
    let middle = |runs: &[Run], value: &dyn Fn(&Run) -> f64| {
        median(&runs.iter().map(value).collect::<Vec<_>>())
    };
    let rate = |runs: &[Run]| middle(runs, &|run| run.per_second);
    let within = |runs: &[Run], part: f64| middle(runs, &|run| run.within(part));
    let echo = rate(echoes);
    Measured {
        figures: vec![
            Figure::new("signed_lookups_per_second", rate(misses), "1/s")
                .against("bare mTLS echo", echo),
            Figure::new("p50_ms", within(misses, 0.5), "ms")
                .against("bare mTLS echo", within(echoes, 0.5)),
            Figure::new("p99_ms", within(misses, 0.99), "ms")
                .against("bare mTLS echo", within(echoes, 0.99)),
            Figure::new("signed_lookups_per_second_hits30", rate(hits), "1/s")
                .against("bare mTLS echo", echo),
            Figure::new("p50_ms_hits30", within(hits, 0.5), "ms"),
            Figure::new("p99_ms_hits30", within(hits, 0.99), "ms"),
        ],
        method: format!(
            "Medians of {RUNS} runs of {count} lookups each, {AT_ONCE} at once over one \
             connection, between two processes; queries of {} and answers of {} octets, and bare \
             calls of the same sizes in turn with them. Leaves and evidence of both parties are \
             durable before each answer counts.",
            octets.0, octets.1
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_of_the_sorted_times() {
        let run = Run::of((1..=200).rev().map(f64::from).collect(), 2.0);
        assert!((run.per_second - 100.0).abs() < 1e-9);
        assert!((run.within(0.5) - 100.0).abs() < 1e-9);
        assert!((run.within(0.99) - 198.0).abs() < 1e-9);
        assert!((run.within(1.0) - 200.0).abs() < 1e-9);
        assert!(Run::of(Vec::new(), 1.0).within(0.99).abs() < 1e-9);
    }
}
