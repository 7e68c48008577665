//! What ties a browser to what it is shown: cookies, the seal of a form, the tags of what is kept.

use axum::http::{HeaderMap, HeaderValue, header};
use ring::digest::{SHA256, digest};
use ring::hmac;
use subtle::ConstantTimeEq as _;

use crate::ambient::Ambient;
use crate::store::KeptTag;

/// The session's token.
pub const SESSION: &str = "__Host-wayhome-session";

/// A secret of the browser, from its first visit until it is closed. It signs nobody in.
pub const BROWSER: &str = "__Host-wayhome-browser";

/// The language.
pub const LANGUAGE: &str = "__Host-wayhome-language";

/// The value of a cookie.
#[must_use]
pub fn cookie(headers: &HeaderMap, name: &str) -> Option<String> {
    headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .find(|(known, _)| *known == name)
        .map(|(_, value)| value.to_owned())
        .filter(|value| !value.is_empty())
}

/// Sets a cookie that only this console is sent, over a connection that nobody listens to, and that
/// no script reads. It ends with the browser.
#[must_use]
pub fn set_cookie(name: &str, value: &str) -> Option<HeaderValue> {
    HeaderValue::from_str(&format!(
        "{name}={value}; Path=/; Secure; HttpOnly; SameSite=Lax"
    ))
    .ok()
}

/// Takes a cookie back.
#[must_use]
pub fn end_cookie(name: &str) -> Option<HeaderValue> {
    HeaderValue::from_str(&format!(
        "{name}=; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age=0"
    ))
    .ok()
}

/// A fresh secret, hex.
#[must_use]
pub fn draw(ambient: &Ambient) -> String {
    hex::encode(ambient.random::<32>())
}

/// Whether a text has the form of a secret of ours.
#[must_use]
pub fn is_secret(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|octet| octet.is_ascii_hexdigit())
}

/// The seal of the forms shown to one browser in one session: a form without it was not shown by
/// this console to this person, and does nothing. It names the account (hex, or empty), so that a
/// form that comes after the session's end is given back to nobody else.
#[must_use]
pub fn seal(secret: &str, account: &str) -> String {
    format!("{account}.{}", hex::encode(mac(secret, account).as_ref()))
}

/// The account that a seal names, if the seal is genuine.
#[must_use]
pub fn opened<'a>(secret: &str, seal: &'a str) -> Option<&'a str> {
    let (account, given) = seal.split_once('.')?;
    let expected = hex::encode(mac(secret, account).as_ref());
    bool::from(expected.as_bytes().ct_eq(given.as_bytes())).then_some(account)
}

fn mac(secret: &str, account: &str) -> hmac::Tag {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
    hmac::sign(
        &key,
        format!("wayhome/console/form/v1 {account}").as_bytes(),
    )
}

/// By what something is found that is kept for who knows `parts`, one of which is a secret.
#[must_use]
pub fn tag(what: &str, parts: &[&[u8]]) -> KeptTag {
    let mut text = what.as_bytes().to_vec();
    for part in parts {
        text.extend_from_slice(&(part.len() as u64).to_be_bytes());
        text.extend_from_slice(part);
    }
    let mut tag = [0; 32];
    tag.copy_from_slice(digest(&SHA256, &text).as_ref());
    tag
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seal_holds_for_its_secret_and_its_account() {
        let sealed = seal("one", "abcd");
        assert_eq!(opened("one", &sealed), Some("abcd"));
        assert_eq!(opened("two", &sealed), None);
        assert_eq!(opened("one", &sealed.replace("abcd", "abce")), None);
        assert_eq!(opened("one", "abcd."), None);
        assert_eq!(opened("one", ""), None);
        assert_eq!(opened("one", &seal("one", "")), Some(""));
    }

    #[test]
    fn cookies_are_read_by_name() {
        let mut headers = HeaderMap::new();
        headers.append(header::COOKIE, HeaderValue::from_static("a=1; b=2"));
        headers.append(header::COOKIE, HeaderValue::from_static("c=3;d="));
        assert_eq!(cookie(&headers, "b").as_deref(), Some("2"));
        assert_eq!(cookie(&headers, "c").as_deref(), Some("3"));
        assert_eq!(cookie(&headers, "d"), None);
        assert_eq!(cookie(&headers, "e"), None);
        let set = set_cookie(SESSION, "ff").unwrap();
        for word in ["__Host-", "Path=/", "Secure", "HttpOnly", "SameSite=Lax"] {
            assert!(set.to_str().unwrap().contains(word), "{word}");
        }
    }

    #[test]
    fn tags_of_different_parts_differ() {
        assert_ne!(tag("a", &[b"bc"]), tag("a", &[b"b", b"c"]));
        assert_ne!(tag("a", &[b"b"]), tag("b", &[b"b"]));
    }
}
