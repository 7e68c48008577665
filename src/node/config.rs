//! A node's configuration file.

use std::net::SocketAddr;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::accounts::ProviderConfig;
use super::backup::BackupConfig;
use super::database::DatabaseAddress;
use super::directory::{Directory, DirectoryError};
use super::keys::KeysConfig;
use super::retention::Retention;
use super::settings::{Limits, TelemetrySettings, TlsSettings};
use super::tls::Routes;
use super::webhook::WebhookAddress;
use crate::exchange::{HouseRules, HouseRulesError, Refused, Thresholds};
use crate::roster::MemberId;

/// `node.toml`.
#[derive(Debug, Clone, Deserialize, Serialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Id of the party in the roster.
    pub member: MemberId,
    /// Where peers connect to; port 0 takes a free one.
    pub listen: SocketAddr,
    /// The database; a relative path counts from the node's directory.
    #[serde(default)]
    pub database: DatabaseAddress,
    /// How many records a minute are given tokens of a new epoch of the coalition key, in the
    /// background; at least 1.
    #[serde(default = "default_rederive_per_minute")]
    pub rederive_per_minute: u32,
    /// When the log may be signed.
    #[serde(default, skip_serializing_if = "is_default")]
    pub log: LogConfig,
    /// Where this node reaches parties, if not at the addresses that the roster states.
    #[serde(default, skip_serializing_if = "Routes::is_empty")]
    pub routes: Routes,
    /// What this node refuses although the roster permits it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub refuse: Vec<Refused>,
    /// What counts as unusual use.
    #[serde(default, skip_serializing_if = "is_default")]
    pub alerts: Thresholds,
    /// How this member's people are told that something waits for them.
    #[serde(default, skip_serializing_if = "Notify::is_silent")]
    pub notify: Notify,
    /// How long records are kept, by their status.
    #[serde(default, skip_serializing_if = "Retention::is_default")]
    pub retention: Retention,
    /// Keys at rest.
    #[serde(default, skip_serializing_if = "is_default")]
    pub keys: KeysConfig,
    /// Backups.
    #[serde(default, skip_serializing_if = "is_default")]
    pub backup: BackupConfig,
    /// The pages for the member's own people; not served if it is not there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub console: Option<ConsoleConfig>,
    /// How connections are secured.
    #[serde(default, skip_serializing_if = "is_default")]
    pub tls: TlsSettings,
    /// What peers can take of this node.
    #[serde(default, skip_serializing_if = "is_default")]
    pub limits: Limits,
    /// What the node tells the machine's own collectors.
    #[serde(default, skip_serializing_if = "is_default")]
    pub telemetry: TelemetrySettings,
    /// Where the member's own people sign in otherwise; they do not if it is not there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity_provider: Option<ProviderConfig>,
    /// The operator API over the network; on the socket alone if it is not there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operator: Option<OperatorConfig>,
}

/// `[operator]` of `node.toml`: where the member's own systems on other machines reach the operator
/// API. Relative paths count from the node's directory.
#[derive(Debug, Clone, Deserialize, Serialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct OperatorConfig {
    /// Where they connect to; port 0 takes a free one.
    pub listen: SocketAddr,
    /// The node's certificate chain for them, PEM.
    pub certificate: PathBuf,
    /// The certificate's private key, PEM.
    pub key: PathBuf,
    /// The authority, or several, whose certificates callers have to show, PEM.
    pub clients: PathBuf,
}

/// `[console]` of `node.toml`: where the member's own people work with a browser.
#[derive(Debug, Clone, Deserialize, Serialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct ConsoleConfig {
    /// Where browsers connect to; port 0 takes a free one. Other than loopback needs a certificate.
    pub listen: SocketAddr,
    /// The certificate chain, PEM; a relative path counts from the node's directory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate: Option<PathBuf>,
    /// The certificate's private key, PEM.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<PathBuf>,
    /// The names under which browsers know it. Requests for other names are refused.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hosts: Vec<String>,
}

impl ConsoleConfig {
    /// Where `init` puts it: on this machine alone.
    #[must_use]
    pub fn at(listen: SocketAddr) -> Self {
        Self {
            listen,
            certificate: None,
            key: None,
            hosts: Vec::new(),
        }
    }
}

/// How people are told that something waits for them.
#[derive(Debug, Clone, Default, Deserialize, Serialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct Notify {
    /// A program with its arguments. It is given one JSON object on standard input; nothing in it is
    /// personal.
    #[serde(default)]
    pub command: Vec<String>,
    /// A web address that the same object is posted to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub webhook: Option<WebhookAddress>,
    /// The certificates that are trusted there, a PEM file; a relative path counts from the node's
    /// directory. Not set, those of the system.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub webhook_ca: Option<PathBuf>,
}

impl Notify {
    /// Whether nobody is told.
    #[must_use]
    pub fn is_silent(&self) -> bool {
        self.command.is_empty() && self.webhook.is_none()
    }
}

/// `[log]` of `node.toml`.
#[derive(Debug, Clone, Default, Deserialize, Serialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct LogConfig {
    /// How many witnesses have to say what they hold before this node signs its log again without
    /// an intact guard file. Not set, it is the majority of those in the roster. 0 trusts the
    /// database alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quorum: Option<usize>,
}

/// What is wrong with a configuration.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The file cannot be read.
    #[error(transparent)]
    File(#[from] DirectoryError),
    /// The file is not a configuration.
    #[error("node.toml: {0}")]
    Parse(String),
    /// Metrics for everybody.
    #[error(
        "node.toml: telemetry: {address} is not on the loopback: what a node counts tells its peers who asks whom and how often; let a collector on this machine pass it on"
    )]
    Exposed {
        /// The address.
        address: SocketAddr,
    },
    /// The member's own rules are wrong.
    #[error("node.toml: {0}")]
    HouseRules(#[from] HouseRulesError),
}

/// Whether nothing of a section was set.
fn is_default<T: Default + PartialEq>(section: &T) -> bool {
    *section == T::default()
}

/// Twenty records a second: a register of a million is through in 14 hours, and a keyholder spends
/// some 15 ms of each second on it.
#[must_use]
pub const fn default_rederive_per_minute() -> u32 {
    1_200
}

impl Config {
    /// The configuration of `member`'s node at `listen`, with everything else as it is unless stated.
    #[must_use]
    pub fn new(member: MemberId, listen: SocketAddr) -> Self {
        Self {
            member,
            listen,
            database: DatabaseAddress::default(),
            rederive_per_minute: default_rederive_per_minute(),
            log: LogConfig::default(),
            routes: Routes::new(),
            refuse: Vec::new(),
            alerts: Thresholds::default(),
            notify: Notify::default(),
            retention: Retention::default(),
            keys: KeysConfig::default(),
            backup: BackupConfig::default(),
            console: None,
            tls: TlsSettings::default(),
            limits: Limits::default(),
            telemetry: TelemetrySettings::default(),
            identity_provider: None,
            operator: None,
        }
    }

    /// Reads the configuration of a directory.
    ///
    /// # Errors
    /// [`ConfigError`] names the place.
    pub fn load(directory: &Directory) -> Result<Self, ConfigError> {
        let text = directory.read("node.toml")?;
        let config: Self =
            toml::from_str(&text).map_err(|error| ConfigError::Parse(error.to_string()))?;
        config.house_rules().check()?;
        if let Some(address) = config.telemetry.exposed() {
            return Err(ConfigError::Exposed { address });
        }
        Ok(config)
    }

    /// The member's own rules for its node.
    #[must_use]
    pub fn house_rules(&self) -> HouseRules {
        HouseRules {
            refuse: self.refuse.clone(),
            alerts: self.alerts,
        }
    }

    /// The database's address with its path made absolute.
    #[must_use]
    pub fn database_in(&self, directory: &Directory) -> String {
        self.database.within(directory)
    }

    /// The file's text.
    #[must_use]
    pub fn to_text(&self) -> String {
        let body = toml::to_string(self).unwrap_or_default();
        format!(
            "# Configuration of a Wayhome node; see docs/operations.md.\n\
             # What is told to other members is in policy.cedar beside it.\n\n{body}"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::super::settings::PostQuantum;
    use super::*;
    use crate::roster::Purpose;

    #[test]
    fn what_is_written_reads_back() {
        let config = Config {
            log: LogConfig { quorum: Some(2) },
            routes: [(
                "pl".parse().unwrap(),
                vec!["gateway.internal:7443".parse().unwrap()],
            )]
            .into(),
            refuse: vec![Refused {
                member: Some("de".parse().unwrap()),
                purposes: vec![Purpose::Reunification],
            }],
            alerts: Thresholds {
                sweep_sets: 7,
                ..Thresholds::default()
            },
            console: Some(ConsoleConfig {
                listen: "0.0.0.0:8443".parse().unwrap(),
                certificate: Some("console.crt".into()),
                key: Some("console.key".into()),
                hosts: vec!["wayhome.example.org".to_owned()],
            }),
            operator: Some(OperatorConfig {
                listen: "0.0.0.0:7444".parse().unwrap(),
                certificate: "operator.crt".into(),
                key: "operator.key".into(),
                clients: "clients.crt".into(),
            }),
            identity_provider: Some(ProviderConfig {
                name: "Ministry".to_owned(),
                issuer: "https://id.example.org".to_owned(),
                client_id: "wayhome".to_owned(),
                client_secret: Some("idp.secret".into()),
                ca: None,
                acr: vec!["mfa".to_owned()],
            }),
            tls: TlsSettings {
                post_quantum: PostQuantum::Required,
            },
            limits: Limits {
                waiting_per_party: 3,
                ..Limits::default()
            },
            telemetry: TelemetrySettings {
                metrics: Some("127.0.0.1:9464".parse().unwrap()),
                otlp: Some("[::1]:4317".parse().unwrap()),
            },
            ..Config::new("ua".parse().unwrap(), "127.0.0.1:7443".parse().unwrap())
        };
        let read: Config = toml::from_str(&config.to_text()).unwrap();
        assert_eq!(read, config);
    }

    #[test]
    fn an_unknown_setting_is_refused_with_its_name() {
        let error = toml::from_str::<Config>("member = \"ua\"\nlisten = \"[::1]:1\"\nport = 1\n")
            .unwrap_err()
            .to_string();
        assert!(error.contains("port"), "{error}");
    }
}
