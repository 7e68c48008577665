//! Time and randomness: the two inputs that come from nowhere, as parameters.
//!
//! No other file of the project reads a clock or draws a random number by itself;
//! `clippy.toml` forbids it. A test that injects both is deterministic.

pub mod fault;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use rand_core::{CryptoRng, RngCore};
use ring::rand::{SecureRandom as _, SystemRandom};
use zeroize::Zeroizing;

/// A wall clock.
///
/// Contract: monotone within one process (never steps back, whatever the machine's
/// clock does), safe to call from any thread, never blocks.
pub trait Clock: Send + Sync + 'static {
    /// Milliseconds since 1970-01-01T00:00:00Z.
    fn now_ms(&self) -> u64;

    /// Whole seconds since 1970-01-01T00:00:00Z.
    fn now(&self) -> u64 {
        self.now_ms() / 1000
    }

    /// Nanoseconds since some moment of this process, for measuring how long something takes.
    fn monotonic_ns(&self) -> u64 {
        self.now_ms() * 1_000_000
    }
}

/// The machine's clock, held from stepping back.
#[derive(Debug, Default)]
pub struct SystemClock {
    last_ms: AtomicU64,
    began: OnceLock<Instant>,
}

impl Clock for SystemClock {
    fn now_ms(&self) -> u64 {
        #[expect(
            clippy::disallowed_methods,
            reason = "the one place where the machine's clock is read"
        )]
        let now = std::time::SystemTime::now();
        let ms = now
            .duration_since(std::time::UNIX_EPOCH)
            .map_or(0, |elapsed| elapsed.as_millis() as u64);
        self.last_ms.fetch_max(ms, Ordering::AcqRel).max(ms)
    }

    fn monotonic_ns(&self) -> u64 {
        #[expect(
            clippy::disallowed_methods,
            reason = "the one place where the machine's monotonic clock is read"
        )]
        let now = Instant::now();
        let began = self.began.get_or_init(|| now);
        now.duration_since(*began).as_nanos() as u64
    }
}

/// A clock that stands where it is put, for tests.
#[derive(Debug, Clone)]
pub struct ManualClock(Arc<AtomicU64>);

impl ManualClock {
    /// A clock that shows `ms` milliseconds since 1970.
    #[must_use]
    pub fn at_ms(ms: u64) -> Self {
        Self(Arc::new(AtomicU64::new(ms)))
    }

    /// Puts the clock to `ms` milliseconds since 1970, ahead or back.
    pub fn set_ms(&self, ms: u64) {
        self.0.store(ms, Ordering::Release);
    }

    /// Moves the clock forward.
    pub fn advance_ms(&self, ms: u64) {
        self.0.fetch_add(ms, Ordering::AcqRel);
    }
}

impl Clock for ManualClock {
    fn now_ms(&self) -> u64 {
        self.0.load(Ordering::Acquire)
    }
}

/// A source of randomness fit for keys.
///
/// Contract: cryptographically secure, each call independent of all others.
pub trait Randomness: Send + Sync + 'static {
    /// Fills `bytes`.
    fn fill(&self, bytes: &mut [u8]);
}

/// The operating system's randomness.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemRandomness;

impl Randomness for SystemRandomness {
    fn fill(&self, bytes: &mut [u8]) {
        #[expect(
            clippy::disallowed_methods,
            reason = "the one place where the system's randomness is drawn"
        )]
        let system = SystemRandom::new();
        // A machine without randomness can do nothing safely: there is nothing to fall back to.
        system
            .fill(bytes)
            .expect("the operating system gives randomness");
    }
}

/// Time and randomness together, as every layer above the pure modules takes them.
#[derive(Clone)]
pub struct Ambient {
    clock: Arc<dyn Clock>,
    randomness: Arc<dyn Randomness>,
}

impl Ambient {
    /// The machine's own.
    #[must_use]
    pub fn system() -> Self {
        Self::new(SystemClock::default(), SystemRandomness)
    }

    /// Those given.
    pub fn new(clock: impl Clock, randomness: impl Randomness) -> Self {
        Self {
            clock: Arc::new(clock),
            randomness: Arc::new(randomness),
        }
    }

    /// Milliseconds since 1970-01-01T00:00:00Z.
    #[must_use]
    pub fn now_ms(&self) -> u64 {
        self.clock.now_ms()
    }

    /// Whole seconds since 1970-01-01T00:00:00Z.
    #[must_use]
    pub fn now(&self) -> u64 {
        self.clock.now()
    }

    /// Nanoseconds since some moment of this process, for measuring how long something takes.
    #[must_use]
    pub fn monotonic_ns(&self) -> u64 {
        self.clock.monotonic_ns()
    }

    /// `N` random octets.
    #[must_use]
    pub fn random<const N: usize>(&self) -> [u8; N] {
        let mut bytes = [0; N];
        self.randomness.fill(&mut bytes);
        bytes
    }

    /// The randomness in the shape that cryptographic crates take.
    #[must_use]
    pub fn rng(&self) -> Rng {
        Rng(Arc::clone(&self.randomness))
    }

    /// The same for many small draws one after the other.
    #[must_use]
    pub fn portions(&self) -> Portions {
        Portions {
            from: self.rng(),
            drawn: Zeroizing::new([0; PORTION]),
            used: PORTION,
        }
    }
}

/// Octets that [`Portions`] draws at a time.
const PORTION: usize = 1024;

/// Randomness drawn in portions and handed out piece by piece, each piece once: asking the system
/// for each key and each nonce by itself costs more than sealing with them. For work that is done in
/// one go; what is left of a portion is wiped at its end.
pub struct Portions {
    from: Rng,
    drawn: Zeroizing<[u8; PORTION]>,
    used: usize,
}

impl RngCore for Portions {
    fn next_u32(&mut self) -> u32 {
        rand_core::impls::next_u32_via_fill(self)
    }

    fn next_u64(&mut self) -> u64 {
        rand_core::impls::next_u64_via_fill(self)
    }

    fn fill_bytes(&mut self, bytes: &mut [u8]) {
        if bytes.len() > PORTION {
            return self.from.fill_bytes(bytes);
        }
        if bytes.len() > PORTION - self.used {
            self.from.fill_bytes(&mut *self.drawn);
            self.used = 0;
        }
        let (_, left) = self.drawn.split_at_mut(self.used);
        for (given, drawn) in bytes.iter_mut().zip(left) {
            *given = std::mem::take(drawn);
        }
        self.used += bytes.len();
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), rand_core::Error> {
        self.fill_bytes(bytes);
        Ok(())
    }
}

impl CryptoRng for Portions {}

/// [`Randomness`] as a `rand_core` generator.
pub struct Rng(Arc<dyn Randomness>);

impl RngCore for Rng {
    fn next_u32(&mut self) -> u32 {
        rand_core::impls::next_u32_via_fill(self)
    }

    fn next_u64(&mut self) -> u64 {
        rand_core::impls::next_u64_via_fill(self)
    }

    fn fill_bytes(&mut self, bytes: &mut [u8]) {
        self.0.fill(bytes);
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), rand_core::Error> {
        self.0.fill(bytes);
        Ok(())
    }
}

impl CryptoRng for Rng {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_system_clock_never_steps_back() {
        let clock = SystemClock::default();
        clock.last_ms.store(u64::MAX - 1, Ordering::Release);
        assert_eq!(clock.now_ms(), u64::MAX - 1);
    }

    /// Counts up, so that it shows which octet was given to whom.
    struct Counting(AtomicU64);

    impl Randomness for Counting {
        fn fill(&self, bytes: &mut [u8]) {
            for octet in bytes {
                *octet = (self.0.fetch_add(1, Ordering::Relaxed) % 251) as u8;
            }
        }
    }

    #[test]
    fn portions_give_every_octet_once_and_keep_none() {
        let ambient = Ambient::new(ManualClock::at_ms(0), Counting(AtomicU64::new(0)));
        let mut portions = ambient.portions();
        let mut given = Vec::new();
        // 32 pieces of 32 octets make up the first portion exactly.
        for _ in 0..PORTION / 32 {
            let mut piece = [0; 32];
            portions.fill_bytes(&mut piece);
            given.extend(piece);
        }
        let expected: Vec<u8> = (0..PORTION).map(|at| (at % 251) as u8).collect();
        assert_eq!(given, expected);
        assert_eq!(*portions.drawn, [0; PORTION]);
        // The next begins another; a piece that does not fit into the rest is not made of two.
        let mut piece = [0; PORTION - 10];
        portions.fill_bytes(&mut piece);
        assert_eq!(piece[0], (PORTION % 251) as u8);
        let mut piece = [0; 32];
        portions.fill_bytes(&mut piece);
        assert_eq!(piece[0], (2 * PORTION % 251) as u8);
        let mut large = [0; PORTION + 1];
        portions.fill_bytes(&mut large);
        assert_eq!(large[0], (3 * PORTION % 251) as u8);
    }

    #[test]
    fn a_manual_clock_moves_only_when_told() {
        let clock = ManualClock::at_ms(5);
        let ambient = Ambient::new(clock.clone(), SystemRandomness);
        assert_eq!(ambient.now_ms(), 5);
        clock.advance_ms(10);
        assert_eq!(ambient.now_ms(), 15);
    }
}
