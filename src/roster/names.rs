//! Names with a fixed grammar: member ids and network addresses.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The short name of a party, such as `pl`: 2 to 16 lower-case ASCII letters, digits and inner
/// hyphens, beginning with a letter. It appears in logs, lookup tokens and addresses of queries,
/// so it never changes while the party is in the roster.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MemberId(String);

/// A text that is no member id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is no member id: write 2 to 16 lower-case ASCII letters, digits or inner hyphens, \
     beginning with a letter"
)]
pub struct MemberIdError(String);

impl MemberId {
    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for MemberId {
    type Err = MemberIdError;

    fn from_str(text: &str) -> Result<Self, MemberIdError> {
        let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        let good = (2..=16).contains(&text.len())
            && text.starts_with(|first: char| first.is_ascii_lowercase())
            && text.bytes().all(inner)
            && !text.ends_with('-');
        if good {
            Ok(Self(text.to_owned()))
        } else {
            Err(MemberIdError(clip(text)))
        }
    }
}

impl std::borrow::Borrow<str> for MemberId {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl AsRef<str> for MemberId {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

/// Where a node listens, as `host:port`: a lower-case DNS name, an IPv4 address or an IPv6 address
/// in brackets, and a port from 1 to 65535.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Address(String);

/// A text that is no address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is no address: write host:port with a lower-case DNS name, an IPv4 address or a \
     bracketed IPv6 address, and a port from 1 to 65535"
)]
pub struct AddressError(String);

impl Address {
    /// The whole address, `host:port`.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The host alone; an IPv6 address without its brackets.
    pub fn host(&self) -> &str {
        let host = self
            .0
            .rsplit_once(':')
            .map_or(self.as_str(), |(host, _)| host);
        host.trim_start_matches('[').trim_end_matches(']')
    }

    /// The port.
    pub fn port(&self) -> u16 {
        self.0
            .rsplit_once(':')
            .and_then(|(_, port)| port.parse().ok())
            .unwrap_or_default()
    }
}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let good = text.len() <= 262
            && text
                .rsplit_once(':')
                .is_some_and(|(host, port)| is_host(host) && is_port(port));
        if good {
            Ok(Self(text.to_owned()))
        } else {
            Err(AddressError(clip(text)))
        }
    }
}

macro_rules! as_text {
    ($($name:ty),+) => {$(
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&self.0, f)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                super::serde_text::from_text(deserializer)
            }
        }
    )+};
}

as_text!(MemberId, Address);

fn clip(text: &str) -> String {
    text.chars().take(40).collect()
}

fn is_port(port: &str) -> bool {
    let canonical = port.bytes().all(|byte| byte.is_ascii_digit()) && !port.starts_with('0');
    canonical && port.parse::<u16>().is_ok()
}

fn is_host(host: &str) -> bool {
    if let Some(inner) = host.strip_prefix('[') {
        // One spelling of each address: what Rust prints for it (RFC 5952).
        return inner.strip_suffix(']').is_some_and(|inner| {
            inner
                .parse::<Ipv6Addr>()
                .is_ok_and(|address| address.to_string() == inner)
        });
    }
    // A last label of digits alone would be read as an IPv4 address by resolvers.
    if host
        .rsplit('.')
        .next()
        .is_some_and(|last| last.bytes().all(|byte| byte.is_ascii_digit()))
    {
        return host.parse::<Ipv4Addr>().is_ok();
    }
    host.len() <= 253 && host.split('.').all(is_label)
}

fn is_label(label: &str) -> bool {
    (1..=63).contains(&label.len())
        && label
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        && !label.starts_with('-')
        && !label.ends_with('-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn member_ids() {
        for good in ["ua", "pl", "ombud-pl", "a234567890123456"] {
            assert!(good.parse::<MemberId>().is_ok(), "{good}");
        }
        for bad in [
            "",
            "u",
            "UA",
            "ua-",
            "-ua",
            "1ua",
            "ua ",
            "уа",
            "a2345678901234567",
            "u_a",
        ] {
            assert!(bad.parse::<MemberId>().is_err(), "{bad}");
        }
    }

    #[test]
    fn addresses() {
        for good in [
            "node.gov.example:8443",
            "localhost:1",
            "127.0.0.1:65535",
            "[2001:db8::1]:443",
        ] {
            assert!(good.parse::<Address>().is_ok(), "{good}");
        }
        for bad in [
            "",
            "node.gov.example",
            "node.gov.example:",
            "node.gov.example:0",
            "node.gov.example:08",
            "node.gov.example:65536",
            "Node.example:1",
            "https://node.example:1",
            "node..example:1",
            "-a.example:1",
            "300.1.1.1:1",
            "1.2.3:1",
            "2001:db8::1:443",
            "[2001:DB8::1]:443",
            "[::1:443",
            "вузол.example:1",
        ] {
            assert!(bad.parse::<Address>().is_err(), "{bad}");
        }
    }

    #[test]
    fn an_address_comes_apart() {
        let address: Address = "[2001:db8::1]:443".parse().unwrap();
        assert_eq!((address.host(), address.port()), ("2001:db8::1", 443));
        let address: Address = "node.example:8443".parse().unwrap();
        assert_eq!((address.host(), address.port()), ("node.example", 8443));
    }
}
