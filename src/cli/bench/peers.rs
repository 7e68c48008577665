//! `bench peers`: this program's side of the comparison in `benches/peers`.
//!
//! Which of these children are among those records? One member asks another over mutual TLS, signed and
//! logged on both sides; half of the children are held. `benches/peers/run.sh` asks the same of other
//! programs on the same machine in the same run, and sets the figures side by side.

use super::stream::searches;
use super::{Bench, Figure, Measured, Measuring, Options};
use crate::cli::{CliError, Context};

/// The benchmark.
pub const BENCH: Bench = Bench {
    name: "peers",
    about: "which of these children are among those records",
    run,
};

/// Children that are asked about, and records of the member that is asked, unless told otherwise.
const ASKED: u64 = 1_000;
const HELD: u64 = 100_000;

/// Tokens of one record.
const TOKENS: u64 = 16;

fn run<'a>(context: &'a Context, options: &'a Options) -> Measuring<'a> {
    Box::pin(async move {
        let asked = options.count.unwrap_or(ASKED);
        let held = options.held.unwrap_or(HELD);
        if !(2..=25_000).contains(&asked) || held < asked {
            return Err(CliError::input(
                "COUNT",
                "give --count 2 to 25000, and --held as many or more",
            ));
        }
        let searches = searches(context, asked, asked / 2, (held - asked / 2) * TOKENS).await?;
        Ok(Measured {
            figures: vec![
                Figure::new("ours_ask_ms", 1000.0 * searches.seconds, "ms"),
                Figure::new("ours_first_ms", 1000.0 * searches.first_seconds, "ms"),
                Figure::new("ours_bytes", searches.octets, "B"),
            ],
            method: format!(
                "{asked} children, half of them held, against {held} records of {TOKENS} tokens; the \
                 whole command, of a running node, with leads, signatures, logs and evidence. The asker \
                 needs no set-up of the holder's, and nothing of it is sent. Other programs: \
                 benches/peers/run.sh."
            ),
        })
    })
}
