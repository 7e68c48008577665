//! Answers leave on a tick.
//!
//! A lookup that touches a record reads it and weighs it, and takes longer than one that touches
//! none. So an answer, or a refusal, leaves only when a whole number of quanta has passed since its
//! query came in. The quanta are counted from the query and not from the clock: on ticks of the
//! clock, answers that took longer would on average still arrive later by as much.

use std::future::Future;
use std::time::Duration;

/// The quantum of a query of one subject: several times what a lookup takes on a small machine while
/// 16 are under way at once. At 10 ms so many overran their quantum that 100,000 lookups told a
/// silent record from a miss (`wayhome bench oracle`).
const BASE: Duration = Duration::from_millis(25);

/// How many subjects more make one quantum longer by as much as the first.
const SUBJECTS: u32 = 20;

/// The quantum of a query of so many subjects.
#[must_use]
pub fn quantum(subjects: usize) -> Duration {
    let subjects = u32::try_from(subjects).unwrap_or(u32::MAX);
    BASE.saturating_mul(1 + subjects.saturating_sub(1) / SUBJECTS)
}

/// Does `work`, and gives its outcome when a whole number of quanta has passed.
pub async fn on_tick<T>(quantum: Duration, work: impl Future<Output = T>) -> T {
    let mut ticks = tokio::time::interval(quantum);
    // The first is now.
    ticks.tick().await;
    tokio::pin!(work);
    let outcome = loop {
        tokio::select! {
            biased;
            outcome = &mut work => break outcome,
            _ = ticks.tick() => {}
        }
    };
    ticks.tick().await;
    outcome
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn larger_queries_have_longer_quanta() {
        assert_eq!(quantum(0), BASE);
        assert_eq!(quantum(1), BASE);
        assert_eq!(quantum(20), BASE);
        assert_eq!(quantum(21), 2 * BASE);
        assert_eq!(quantum(1_000), 50 * BASE);
    }

    #[tokio::test]
    async fn an_outcome_waits_for_the_end_of_its_quantum() {
        let quantum = Duration::from_millis(40);
        // A timer of the same length, begun before, has run out when the outcome is given.
        let timer = tokio::time::sleep(quantum);
        let outcome = on_tick(quantum, async { 7 }).await;
        assert_eq!(outcome, 7);
        assert!(timer.is_elapsed() || quantum_has_passed(timer).await);
    }

    /// Whether a timer runs out without being waited for any longer than its own resolution.
    async fn quantum_has_passed(timer: tokio::time::Sleep) -> bool {
        tokio::time::timeout(Duration::from_millis(2), timer)
            .await
            .is_ok()
    }

    #[tokio::test]
    async fn work_longer_than_a_quantum_is_done_while_ticks_pass() {
        let quantum = Duration::from_millis(5);
        let work = async {
            tokio::time::sleep(3 * quantum).await;
            "done"
        };
        assert_eq!(on_tick(quantum, work).await, "done");
    }
}
