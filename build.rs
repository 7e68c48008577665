//! Compiles the protocol's proto files with a compiler written in Rust, so that no
//! `protoc` has to be installed.

use std::path::Path;

const PROTOS: &[&str] = &[
    "wayhome/exchange/v1/envelope.proto",
    "wayhome/exchange/v1/tokens.proto",
    "wayhome/exchange/v1/lookup.proto",
    "wayhome/exchange/v1/disclosure.proto",
    "wayhome/exchange/v1/roster.proto",
    "wayhome/exchange/v1/log.proto",
    "wayhome/exchange/v1/audit.proto",
    "wayhome/exchange/v1/ceremony.proto",
    "wayhome/operator/v1/records.proto",
    "wayhome/operator/v1/review.proto",
    "wayhome/operator/v1/search.proto",
    "wayhome/operator/v1/register.proto",
    "wayhome/operator/v1/disclosure.proto",
    "wayhome/operator/v1/node.proto",
    "wayhome/operator/v1/membership.proto",
    "wayhome/operator/v1/quota.proto",
    "wayhome/operator/v1/protection.proto",
    "wayhome/operator/v1/log.proto",
    "wayhome/operator/v1/policy.proto",
    "wayhome/operator/v1/requests.proto",
    "wayhome/operator/v1/accounts.proto",
    "wayhome/operator/v1/sign_in.proto",
    "wayhome/operator/v1/keys.proto",
    "wayhome/operator/v1/backup.proto",
    "wayhome/operator/v1/cases.proto",
    "wayhome/operator/v1/ceremony.proto",
];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo::rerun-if-changed=proto");
    let root = Path::new("proto");
    let descriptors = protox::compile(PROTOS, [root])?;
    let mut config = tonic_prost_build::Config::new();
    // No message can be printed: some carry personal data, and a type that cannot be
    // formatted cannot reach a log by mistake.
    config.skip_debug(["."]);
    tonic_prost_build::configure().compile_fds_with_config(descriptors, config)?;
    Ok(())
}
