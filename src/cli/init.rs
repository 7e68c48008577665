//! `wayhome init`: a party's directory and keys.

use std::net::SocketAddr;

use serde_json::json;

use super::{CliError, Context};
use crate::exchange::policy;
use crate::node::accounts::make_first_code;
use crate::node::config::ConsoleConfig;
use crate::node::{Config, DatabaseAddress, Identity, POLICY_FILE};
use crate::roster::{
    Address, KeyholderRole, Log, Member, MemberId, MemberKey, OmbudsmanScope, Purpose, Quotas,
    Roles, Timestamp, TlsPin,
};

/// How long fresh keys are good: two years.
const KEY_LIFETIME: u64 = 2 * 365 * 86_400;

/// Arguments of `wayhome init`.
#[derive(clap::Args)]
pub struct Args {
    /// Short id of the party in the roster, e.g. `ua`.
    #[arg(long)]
    member: MemberId,
    /// The state, or the name people know the party by.
    #[arg(long, value_parser = clap::builder::NonEmptyStringValueParser::new())]
    name: String,
    /// The authority that runs the node or holds the office.
    #[arg(long, value_parser = clap::builder::NonEmptyStringValueParser::new())]
    organisation: String,
    /// Where the node listens.
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:7443")]
    listen: SocketAddr,
    /// Where peers reach it, if that is another address.
    #[arg(long, value_name = "HOST:PORT")]
    address: Option<Address>,
    /// The node's database: `sqlite:PATH` (a relative path counts from the directory), or
    /// `postgres://USER@HOST/DATABASE`, with further hosts after commas.
    #[arg(long, value_name = "ADDRESS", default_value = "sqlite:wayhome.db")]
    database: String,
    /// Make the party a keyholder with this number, which the secretariat gives out (1 to 65535).
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u16).range(1..))]
    keyholder: Option<u16>,
    /// Make an ombudsman's directory: `coalition`, or the id of one member.
    #[arg(long, value_name = "SCOPE", conflicts_with = "keyholder")]
    ombudsman: Option<String>,
    /// Where the node's own people reach the console with a browser, on this machine; `off` for no
    /// console.
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:7480")]
    console: ConsoleAt,
}

/// Where the console is, if anywhere.
#[derive(Clone, Copy)]
struct ConsoleAt(Option<SocketAddr>);

impl std::str::FromStr for ConsoleAt {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "off" {
            return Ok(Self(None));
        }
        let address: SocketAddr = text.parse().map_err(|_| {
            "write an address and a port, such as 127.0.0.1:7480, or off".to_owned()
        })?;
        if !address.ip().is_loopback() {
            return Err(
                "a console that other machines reach needs a certificate: write it into [console] \
                 of node.toml (docs/console.md)"
                    .to_owned(),
            );
        }
        Ok(Self(Some(address)))
    }
}

pub fn run(context: &Context, args: Args) -> Result<(), CliError> {
    if context.directory.file("node.toml").exists() {
        return Err(CliError::input(
            "ALREADY_THERE",
            format!(
                "{} is a party's directory already: give another one with --dir",
                context.directory.path().display()
            ),
        ));
    }
    // Not read by the parser of arguments, which repeats what it cannot read: a password may be in it.
    let database: DatabaseAddress = args
        .database
        .parse()
        .map_err(|error| CliError::input("DATABASE_ADDRESS", format!("--database: {error}")))?;
    let scope = args.ombudsman.as_deref().map(scope).transpose()?;
    let identity = Identity::create(&context.directory, &args.member, &context.ambient)?;
    let config = Config {
        database,
        console: args
            .console
            .0
            .filter(|_| scope.is_none())
            .map(ConsoleConfig::at),
        ..Config::new(args.member.clone(), args.listen)
    };
    let member = public_entry(context, &args, scope.clone(), &identity)?;
    let entry =
        serde_json::to_string_pretty(&member).map_err(|error| CliError::failed("JSON", error))?;
    context
        .directory
        .write("member.json", &format!("{entry}\n"))?;
    context.directory.write("node.toml", &config.to_text())?;
    if scope.is_none() {
        context.directory.write(POLICY_FILE, policy::DEFAULT)?;
    }
    let path = context.directory.path().display();
    context.output.say(format_args!(
        "Keys and configuration of {} ({}) are in {path}.",
        args.name, args.member
    ));
    let code = if scope.is_none() {
        let code = make_first_code(&context.directory, &context.ambient)?;
        context.output.say(format_args!(
            "The first administrator claims an account, once the node runs, with this code, which is good once:\n  wayhome --dir {path} accounts claim NAME --code {code}"
        ));
        if let Some(console) = &config.console {
            context.output.say(format_args!(
                "or in a browser, with the same code: http://{}/set-up",
                console.listen
            ));
        }
        Some(code)
    } else {
        None
    };
    context.output.say(format_args!(
        "Next: give {path}/member.json to the coalition's secretariat; it holds public keys only."
    ));
    context.output.object(&json!({
        "ok": true,
        "member": args.member,
        "entry": member,
        "first_administrator_code": code,
    }));
    Ok(())
}

fn scope(text: &str) -> Result<OmbudsmanScope, CliError> {
    if text == "coalition" {
        return Ok(OmbudsmanScope::Coalition);
    }
    text.parse()
        .map(OmbudsmanScope::Member)
        .map_err(|error| CliError::input("SCOPE", format!("--ombudsman: {error}")))
}

fn public_entry(
    context: &Context,
    args: &Args,
    scope: Option<OmbudsmanScope>,
    identity: &Identity,
) -> Result<Member, CliError> {
    let public = identity.public()?;
    let now = context.ambient.now();
    let (not_before, not_after) = (
        Timestamp::from_unix(now - now % 3600),
        Timestamp::from_unix(now - now % 3600 + KEY_LIFETIME),
    );
    let is_node = scope.is_none();
    let address = match &args.address {
        Some(address) => address.clone(),
        None => args
            .listen
            .to_string()
            .parse()
            .map_err(|error| CliError::input("ADDRESS", format!("--listen: {error}")))?,
    };
    Ok(Member {
        id: args.member.clone(),
        name: args.name.clone(),
        organisation: args.organisation.clone(),
        roles: Roles {
            member: is_node,
            keyholder: args
                .keyholder
                .map(|identifier| KeyholderRole { identifier }),
            ombudsman: scope,
        },
        suspended_since: None,
        addresses: if is_node || args.address.is_some() {
            vec![address]
        } else {
            Vec::new()
        },
        tls_pins: vec![TlsPin {
            spki_sha256: public.tls_spki_sha256,
            not_before,
            not_after,
        }],
        signing_keys: vec![MemberKey {
            public_key: public.signing_key,
            not_before,
            not_after,
        }],
        encryption_key: is_node.then_some(public.encryption_key),
        log: is_node.then_some(Log {
            origin: public.log_origin,
            vkey: public.log_vkey,
        }),
        // A witness has to be reached: an office without an address cosigns nothing.
        witness_vkey: (is_node || args.address.is_some()).then_some(public.witness_vkey),
        purposes: if is_node {
            vec![
                Purpose::FamilyTracing,
                Purpose::Reunification,
                Purpose::IdentityVerification,
                Purpose::ChildProtection,
            ]
        } else {
            vec![Purpose::Audit]
        },
        quotas: if is_node {
            Quotas {
                evaluations_per_day: 20_000,
                subjects_per_day: 100_000,
                enrolment_records: 10_000,
            }
        } else {
            Quotas::default()
        },
        index_cap: if is_node { 1_000_000 } else { 0 },
    })
}
