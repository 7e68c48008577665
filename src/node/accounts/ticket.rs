//! What a browser is given to bring back: the challenge of a passkey, the state of a sign-in at the
//! identity provider. A ticket is good for one browser and one use, for ten minutes and once; nothing
//! is kept until it is brought back, so that asking for tickets fills no database.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use subtle::ConstantTimeEq as _;

use crate::envelope::merkle::sha256;
use crate::exchange::Party;
use crate::store::{StoreError, TagKind};

/// For how long a ticket is good, in milliseconds.
const GOOD_MS: u64 = 10 * 60_000;

/// Random octets and the moment of its end.
const HEAD: usize = 24;

/// What a ticket is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TicketUse {
    /// The challenge of a passkey.
    Passkey,
    /// Signing in at the identity provider.
    Provider,
    /// The same, where the person is to prove anew who they are.
    ProviderAgain,
}

impl TicketUse {
    fn word(self) -> &'static [u8] {
        match self {
            Self::Passkey => b"passkey",
            Self::Provider => b"provider",
            Self::ProviderAgain => b"provider again",
        }
    }
}

/// Draws a ticket for a browser, by the browser's secret; base64url.
#[must_use]
pub fn draw(party: &Party, what: TicketUse, browser: &str) -> String {
    let mut head = [0; HEAD];
    let (random, end) = head.split_at_mut(16);
    random.copy_from_slice(&party.ambient().random::<16>());
    end.copy_from_slice(&(party.ambient().now_ms() + GOOD_MS).to_be_bytes());
    let mut ticket = head.to_vec();
    ticket.extend(mac(party, what, browser, &head));
    URL_SAFE_NO_PAD.encode(ticket)
}

/// Whether a ticket was drawn here for this use and this browser, and is still good.
#[must_use]
pub fn holds(party: &Party, what: TicketUse, browser: &str, ticket: &str) -> bool {
    let Ok(octets) = URL_SAFE_NO_PAD.decode(ticket) else {
        return false;
    };
    let Some((head, tail)) = octets.split_first_chunk::<HEAD>() else {
        return false;
    };
    let end = head.last_chunk().map_or(0, |end| u64::from_be_bytes(*end));
    bool::from(mac(party, what, browser, head).ct_eq(tail)) && party.ambient().now_ms() < end
}

/// Spends a ticket that holds. Says whether it was not spent before, at whichever process.
///
/// # Errors
/// If the store fails.
pub async fn spend(party: &Party, ticket: &str) -> Result<bool, StoreError> {
    let tag = sha256(&[b"ticket ", ticket.as_bytes()]);
    let until_ms = party.ambient().now_ms() + GOOD_MS;
    party.store().keep_first(&tag, b"", until_ms).await
}

/// A secret that belongs to a ticket and that its browser does not learn by it; 86 characters of
/// base64url.
#[must_use]
pub fn secret_of(party: &Party, what: &str, ticket: &str) -> String {
    let parts: Vec<u8> = [b"1", b"2", b"3", b"4"]
        .iter()
        .flat_map(|part| {
            let parts: [&[u8]; 4] = [b"secret", what.as_bytes(), *part, ticket.as_bytes()];
            party.store().tag(TagKind::Ticket, &parts)
        })
        .collect();
    URL_SAFE_NO_PAD.encode(parts)
}

fn mac(party: &Party, what: TicketUse, browser: &str, head: &[u8; HEAD]) -> [u8; 16] {
    let parts: [&[u8]; 4] = [b"ticket", what.word(), browser.as_bytes(), head];
    party.store().tag(TagKind::Ticket, &parts)
}
