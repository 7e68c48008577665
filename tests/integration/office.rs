//! The people of a member: accounts, sessions, and what they do at the operator API.

use std::collections::BTreeMap;

use tonic::{Code, Status};
use totp_rs::{Algorithm, Builder, Secret};
use wayhome::node::accounts::make_first_code;
use wayhome::node::{Directory, OperatorChannel, operator_client_as};
use wayhome::proto::operator as pb;
use wayhome::proto::operator::account_service_client::AccountServiceClient;
use wayhome::proto::operator::disclosure_service_client::DisclosureServiceClient;
use wayhome::proto::operator::record_service_client::RecordServiceClient;
use wayhome::proto::operator::request_service_client::RequestServiceClient;
use wayhome::proto::operator::sign_in_service_client::SignInServiceClient;

use crate::coalition::Coalition;
use crate::forge::refusal;

/// A password that is long enough.
pub const PASSWORD: &str = "correct horse battery";

/// The name of the first administrator.
pub const ADMINISTRATOR: &str = "administrator";

/// The people of one member.
pub struct Office {
    member: String,
    directory: Directory,
    socket: std::path::PathBuf,
    secrets: BTreeMap<String, String>,
    tokens: BTreeMap<String, String>,
}

impl Office {
    /// Founds an office with an administrator and these people, all signed in.
    pub async fn found(coalition: &Coalition, member: &str, people: &[(&str, &[&str])]) -> Self {
        let directory = Directory::new(coalition.path(member));
        let mut office = Self {
            member: member.to_owned(),
            socket: directory.socket(),
            directory,
            secrets: BTreeMap::new(),
            tokens: BTreeMap::new(),
        };
        let code = make_first_code(&office.directory, &coalition.ambient).unwrap();
        office.claim(ADMINISTRATOR, &code).await.unwrap();
        office.sign_in(coalition, ADMINISTRATOR).await.unwrap();
        for (name, roles) in people {
            office.hire(coalition, name, roles).await;
        }
        office
    }

    /// Makes an account for one more person, who claims it and signs in.
    pub async fn hire(&mut self, coalition: &Coalition, name: &str, roles: &[&str]) {
        let code = self.add(name, roles).await;
        self.claim(name, &code).await.unwrap();
        self.sign_in(coalition, name).await.unwrap();
    }

    /// Makes an account, and gives the code with which it is claimed.
    pub async fn add(&self, name: &str, roles: &[&str]) -> String {
        self.accounts(ADMINISTRATOR)
            .await
            .add_account(pb::AddAccountRequest {
                name: name.to_owned(),
                roles: roles.iter().map(|&role| role.to_owned()).collect(),
            })
            .await
            .unwrap()
            .into_inner()
            .code
            .unwrap()
            .code
    }

    /// Claims an account.
    pub async fn claim(&mut self, name: &str, code: &str) -> Result<(), Status> {
        let claimed = AccountServiceClient::new(self.channel(None).await)
            .claim_account(pb::ClaimAccountRequest {
                name: name.to_owned(),
                code: code.to_owned(),
                password: PASSWORD.to_owned(),
            })
            .await?
            .into_inner();
        self.secrets.insert(name.to_owned(), claimed.secret);
        Ok(())
    }

    /// The code that a person's authenticator shows at this moment.
    pub fn code(&self, coalition: &Coalition, name: &str) -> String {
        code(&self.secrets[name], coalition.ambient.now())
    }

    /// Signs a person in.
    pub async fn sign_in(&mut self, coalition: &Coalition, name: &str) -> Result<(), Status> {
        let code = self.code(coalition, name);
        let token = self.try_sign_in(name, PASSWORD, &code).await?;
        self.tokens.insert(name.to_owned(), token);
        Ok(())
    }

    /// Tries to sign in with anything at all, and gives the token.
    pub async fn try_sign_in(
        &self,
        name: &str,
        password: &str,
        code: &str,
    ) -> Result<String, Status> {
        let signed_in = AccountServiceClient::new(self.channel(None).await)
            .sign_in(pb::SignInRequest {
                name: name.to_owned(),
                password: password.to_owned(),
                code: code.to_owned(),
            })
            .await?
            .into_inner();
        Ok(signed_in.token)
    }

    async fn channel(&self, token: Option<&str>) -> OperatorChannel {
        operator_client_as(&self.socket, token).await.unwrap()
    }

    /// The API as a person sees it.
    pub async fn person(&self, name: &str) -> OperatorChannel {
        self.channel(Some(&self.tokens[name])).await
    }

    /// Accounts, as a person.
    pub async fn accounts(&self, name: &str) -> AccountServiceClient<OperatorChannel> {
        AccountServiceClient::new(self.person(name).await)
    }

    /// Passkeys and the identity provider, as a person.
    pub async fn ways(&self, name: &str) -> SignInServiceClient<OperatorChannel> {
        SignInServiceClient::new(self.person(name).await)
    }

    /// The inbox, as a person.
    pub async fn requests(&self, name: &str) -> RequestServiceClient<OperatorChannel> {
        RequestServiceClient::new(self.person(name).await)
    }

    /// Asking others, as a person.
    pub async fn disclosures(&self, name: &str) -> DisclosureServiceClient<OperatorChannel> {
        DisclosureServiceClient::new(self.person(name).await)
    }

    /// The register, as a person.
    pub async fn records(&self, name: &str) -> RecordServiceClient<OperatorChannel> {
        RecordServiceClient::new(self.person(name).await)
    }

    /// Gives and takes roles.
    pub async fn change(&self, name: &str, give: &[&str], take: &[&str]) {
        let words = |words: &[&str]| words.iter().map(|&word| word.to_owned()).collect();
        self.accounts(ADMINISTRATOR)
            .await
            .change_account(pb::ChangeAccountRequest {
                name: name.to_owned(),
                give: words(give),
                take: words(take),
                close: false,
            })
            .await
            .unwrap();
    }

    /// What a person is shown of a request.
    pub async fn show(&self, name: &str, request: &str) -> pb::ShowRequestResponse {
        self.requests(name)
            .await
            .show_request(pb::ShowRequestRequest {
                request: request.to_owned(),
            })
            .await
            .unwrap()
            .into_inner()
    }

    /// A person approves what waits, as they see it now.
    pub async fn approve(&self, name: &str, request: &str) -> Result<pb::RequestSummary, Status> {
        let digest = self.show(name, request).await.digest;
        self.approve_seen(name, request, &digest, &[], false).await
    }

    /// A person approves what they saw.
    pub async fn approve_seen(
        &self,
        name: &str,
        request: &str,
        digest: &str,
        fields: &[&str],
        break_glass: bool,
    ) -> Result<pb::RequestSummary, Status> {
        let decided = self
            .requests(name)
            .await
            .approve_request(pb::ApproveRequestRequest {
                decision: decision(request, digest, fields),
                break_glass,
            })
            .await?;
        Ok(decided.into_inner().decided.unwrap().summary.unwrap())
    }

    /// A person denies what waits, as they see it now.
    pub async fn deny(&self, name: &str, request: &str) -> Result<pb::RequestSummary, Status> {
        self.deny_because(name, request, "").await
    }

    /// A person denies what waits, as they see it now, and says why.
    pub async fn deny_because(
        &self,
        name: &str,
        request: &str,
        reason: &str,
    ) -> Result<pb::RequestSummary, Status> {
        let digest = self.show(name, request).await.digest;
        let decided = self
            .requests(name)
            .await
            .deny_request(pb::DenyRequestRequest {
                decision: decision(request, &digest, &[]),
                reason: reason.to_owned(),
            })
            .await?;
        Ok(decided.into_inner().decided.unwrap().summary.unwrap())
    }

    /// Ids of the requests that wait.
    pub async fn inbox(&self, name: &str) -> Vec<String> {
        self.list(name, "", 0).await
    }

    /// Ids of at most so many requests in a state; both as the call takes them.
    pub async fn list(&self, name: &str, state: &str, limit: u32) -> Vec<String> {
        self.requests(name)
            .await
            .list_requests(pb::ListRequestsRequest {
                state: state.to_owned(),
                limit,
            })
            .await
            .unwrap()
            .into_inner()
            .requests
            .into_iter()
            .map(|request| request.request)
            .collect()
    }

    /// Imports and publishes, as a person.
    pub async fn import(&self, name: &str, records: &[&[(&str, &str)]]) {
        let records = records
            .iter()
            .map(|fields| pb::Record {
                fields: fields
                    .iter()
                    .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                    .collect(),
            })
            .collect();
        self.records(name)
            .await
            .import_records(tokio_stream::iter([pb::ImportRecordsRequest { records }]))
            .await
            .unwrap();
        let mut steps = self
            .records(name)
            .await
            .publish_records(pb::PublishRecordsRequest {})
            .await
            .unwrap()
            .into_inner();
        while steps.message().await.unwrap().is_some() {}
    }

    /// The member.
    pub fn member(&self) -> &str {
        &self.member
    }
}

pub fn decision(request: &str, digest: &str, fields: &[&str]) -> Option<pb::Decision> {
    Some(pb::Decision {
        request: request.to_owned(),
        digest: digest.to_owned(),
        fields: fields.iter().map(|&field| field.to_owned()).collect(),
    })
}

/// The code of an authenticator (RFC 6238) at this moment.
pub fn code(secret: &str, now: u64) -> String {
    let secret = Secret::try_from_base32(secret).unwrap();
    let totp = Builder::new()
        .with_algorithm(Algorithm::SHA1)
        .with_secret(secret)
        .with_account_name("test".to_owned())
        .build()
        .unwrap();
    totp.generate(now).to_string()
}

/// The reason code of a refusal.
pub fn reason<T>(outcome: Result<T, Status>) -> String {
    match outcome {
        Ok(_) => "it was done".to_owned(),
        Err(status) => {
            assert_ne!(status.code(), Code::Internal, "{status:?}");
            refusal(&status).1
        }
    }
}
