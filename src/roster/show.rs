//! A root or a roster as plain text for people, beside the signed text that is the thing itself.

use std::fmt::{self, Write};

use super::diff::{all, role_names};
use super::{CoalitionKey, Member, Root, Roster, Timestamp};

impl Roster {
    /// The roster in plain lines. `now` is in unix seconds: what is valid, suspended or expired is
    /// said as of then.
    pub fn show(&self, now: u64) -> String {
        written(|out| {
            writeln!(out, "Roster {} of {}", self.version, self.coalition)?;
            writeln!(
                out,
                "made on {} under root {}, {}",
                self.issued.spoken(),
                self.root_version,
                expiry(self.expires, now)
            )?;
            if self.coalition_key.is_empty() {
                writeln!(out, "\nNo coalition key yet.")?;
            }
            let keys = &self.coalition_key;
            for (key, place) in [
                (&keys.previous, "being left"),
                (&keys.current, "in use"),
                (&keys.next, "announced"),
            ] {
                if let Some(key) = key {
                    show_key(out, key, place)?;
                }
            }
            self.members
                .iter()
                .try_for_each(|member| show_member(out, member, now))
        })
    }
}

impl Root {
    /// The root in plain lines. `now` is in unix seconds.
    pub fn show(&self, now: u64) -> String {
        written(|out| {
            writeln!(out, "Root {} of {}", self.version, self.coalition)?;
            writeln!(
                out,
                "{} of {} keys have to sign, {}",
                self.threshold,
                self.keys.len(),
                expiry(self.expires, now)
            )?;
            self.keys
                .iter()
                .try_for_each(|key| writeln!(out, "  {}  {}", key.public_key, key.name))
        })
    }
}

/// Writing to a text cannot fail; this is the one place that relies on it.
fn written(write: impl FnOnce(&mut String) -> fmt::Result) -> String {
    let mut text = String::new();
    match write(&mut text) {
        Ok(()) => text,
        Err(fmt::Error) => String::new(),
    }
}

fn show_key(out: &mut String, key: &CoalitionKey, place: &str) -> fmt::Result {
    writeln!(
        out,
        "\nCoalition key, epoch {} ({place}): {} of {} keyholders",
        key.epoch,
        key.threshold,
        key.keyholders.len()
    )?;
    writeln!(out, "  public key  {}", key.public_key)?;
    writeln!(out, "  transcript  {}", key.transcript_sha256)?;
    for holder in &key.keyholders {
        let (identifier, member) = (holder.identifier, &holder.member);
        writeln!(
            out,
            "  share {identifier}  {}  {member}",
            holder.verifying_share
        )?;
    }
    Ok(())
}

fn show_member(out: &mut String, member: &Member, now: u64) -> fmt::Result {
    let roles = role_names(member).join(" and ");
    writeln!(
        out,
        "\n{}, {}: {roles}",
        member.title(),
        member.organisation
    )?;
    if let Some(since) = member.suspended_since {
        let word = if member.is_suspended(now) {
            "SUSPENDED since"
        } else {
            "to be suspended on"
        };
        writeln!(out, "  {word} {}", since.spoken())?;
    }
    if !member.addresses.is_empty() {
        writeln!(out, "  node at {}", all(&member.addresses))?;
    }
    for pin in &member.tls_pins {
        let times = validity(pin.not_before, pin.not_after, now);
        writeln!(out, "  TLS key      {}  {times}", pin.spki_sha256)?;
    }
    for key in &member.signing_keys {
        let times = validity(key.not_before, key.not_after, now);
        writeln!(out, "  signing key  {}  {times}", key.public_key)?;
    }
    if let Some(key) = &member.encryption_key {
        writeln!(out, "  encryption   {key}")?;
    }
    if let Some(log) = &member.log {
        writeln!(out, "  log          {}", log.vkey)?;
    }
    if let Some(vkey) = &member.witness_vkey {
        writeln!(out, "  witness      {vkey}")?;
    }
    writeln!(out, "  may ask for {}", all(&member.purposes))?;
    if member.roles.member {
        let quotas = member.quotas;
        writeln!(
            out,
            "  limits: {} evaluations and {} subjects a day, {} records enrolled, {} indexed",
            quotas.evaluations_per_day,
            quotas.subjects_per_day,
            quotas.enrolment_records,
            member.index_cap
        )?;
    }
    Ok(())
}

fn expiry(expires: Timestamp, now: u64) -> String {
    let word = if expires.unix() <= now {
        "EXPIRED on"
    } else {
        "expires on"
    };
    format!("{word} {}", expires.spoken())
}

fn validity(not_before: Timestamp, not_after: Timestamp, now: u64) -> String {
    let times = format!("{} to {}", not_before.spoken(), not_after.spoken());
    if now < not_before.unix() {
        format!("{times}, not yet valid")
    } else if now >= not_after.unix() {
        format!("{times}, no longer valid")
    } else {
        times
    }
}
