//! Accounts and sessions.

use std::collections::BTreeSet;

use tonic::{Code, Request, Response, Status};

use super::duty::{Duty, token};
use super::{Operator, refused, store_failed};
use crate::node::accounts::{self, Account, AccountError, ProviderError, Role, SignedIn};
use crate::proto::operator as pb;
use crate::proto::operator::account_service_server::AccountService;
use crate::roster::Timestamp;

#[tonic::async_trait]
impl AccountService for Operator {
    async fn claim_account(
        &self,
        request: Request<pb::ClaimAccountRequest>,
    ) -> Result<Response<pb::ClaimAccountResponse>, Status> {
        let asked = request.into_inner();
        let (id, factor) = accounts::claim(
            &self.party,
            self.keeper.directory(),
            &asked.name,
            &asked.code,
            &asked.password,
        )
        .await
        .map_err(|error| told(&error))?;
        Ok(Response::new(pb::ClaimAccountResponse {
            otpauth: factor.address().map_err(|error| told(&error))?,
            secret: factor.typed(),
            account: hex::encode(id),
        }))
    }

    async fn sign_in(
        &self,
        request: Request<pb::SignInRequest>,
    ) -> Result<Response<pb::SignInResponse>, Status> {
        let asked = request.into_inner();
        let signed_in = accounts::sign_in(&self.party, &asked.name, &asked.password, &asked.code)
            .await
            .map_err(|error| told(&error))?;
        Ok(Response::new(session(signed_in)))
    }

    async fn sign_out(
        &self,
        request: Request<pb::SignOutRequest>,
    ) -> Result<Response<pb::SignOutResponse>, Status> {
        if let Some(token) = token(&request) {
            let session = self.session(&token).await?;
            accounts::sign_out(&self.party, &token, session.read.id)
                .await
                .map_err(|error| store_failed(&error))?;
        }
        Ok(Response::new(pb::SignOutResponse {}))
    }

    async fn who_am_i(
        &self,
        request: Request<pb::WhoAmIRequest>,
    ) -> Result<Response<pb::WhoAmIResponse>, Status> {
        let who = match token(&request) {
            Some(token) => {
                let read = self.session(&token).await?.read;
                pb::WhoAmIResponse {
                    name: read.account.name,
                    account: hex::encode(read.id),
                    roles: names(&read.account.roles),
                }
            }
            None => pb::WhoAmIResponse::default(),
        };
        Ok(Response::new(who))
    }

    async fn list_accounts(
        &self,
        request: Request<pb::ListAccountsRequest>,
    ) -> Result<Response<pb::ListAccountsResponse>, Status> {
        self.caller(&request, Duty::Administer).await?;
        let now_ms = self.party.ambient().now_ms();
        let accounts = accounts::all(&self.party)
            .await
            .map_err(|error| store_failed(&error))?;
        Ok(Response::new(pb::ListAccountsResponse {
            accounts: accounts
                .iter()
                .map(|read| shown(&read.account, &read.id, now_ms))
                .collect(),
        }))
    }

    async fn add_account(
        &self,
        request: Request<pb::AddAccountRequest>,
    ) -> Result<Response<pb::AddAccountResponse>, Status> {
        let caller = self.caller(&request, Duty::Administer).await?;
        let asked = request.into_inner();
        let roles = roles(&asked.roles)?;
        let (id, code) = caller
            .does(accounts::add(&self.party, &asked.name, roles))
            .await
            .map_err(|error| told(&error))?;
        Ok(Response::new(pb::AddAccountResponse {
            code: Some(account_code(id, code)),
        }))
    }

    async fn change_account(
        &self,
        request: Request<pb::ChangeAccountRequest>,
    ) -> Result<Response<pb::ChangeAccountResponse>, Status> {
        let caller = self.caller(&request, Duty::Administer).await?;
        let asked = request.into_inner();
        let (give, take) = (roles(&asked.give)?, roles(&asked.take)?);
        let read = caller
            .does(accounts::change(
                &self.party,
                &asked.name,
                &give,
                &take,
                asked.close,
            ))
            .await
            .map_err(|error| told(&error))?;
        let now_ms = self.party.ambient().now_ms();
        Ok(Response::new(pb::ChangeAccountResponse {
            account: Some(shown(&read.account, &read.id, now_ms)),
        }))
    }

    async fn reset_account(
        &self,
        request: Request<pb::ResetAccountRequest>,
    ) -> Result<Response<pb::ResetAccountResponse>, Status> {
        let caller = self.caller(&request, Duty::Administer).await?;
        let (id, code) = caller
            .does(accounts::reset(&self.party, &request.into_inner().name))
            .await
            .map_err(|error| told(&error))?;
        Ok(Response::new(pb::ResetAccountResponse {
            code: Some(account_code(id, code)),
        }))
    }
}

/// A session as its person is given it.
pub(super) fn session(signed_in: SignedIn) -> pb::SignInResponse {
    pb::SignInResponse {
        token: signed_in.token,
        account: hex::encode(signed_in.id),
        roles: names(&signed_in.account.roles),
        ends_at: Timestamp::from_unix(signed_in.ends_ms / 1000).to_string(),
    }
}

fn account_code(id: [u8; 16], code: String) -> pb::AccountCode {
    pb::AccountCode {
        code,
        account: hex::encode(id),
    }
}

pub(super) fn told(error: &AccountError) -> Status {
    let code = match error {
        AccountError::Name
        | AccountError::Password
        | AccountError::Role(_)
        | AccountError::Subject => Code::InvalidArgument,
        AccountError::NameTaken | AccountError::LinkTaken => Code::AlreadyExists,
        AccountError::Unknown => Code::NotFound,
        AccountError::Code
        | AccountError::SignIn
        | AccountError::Passkey(_)
        | AccountError::Challenge
        | AccountError::Provider(
            ProviderError::Ticket
            | ProviderError::Code(_)
            | ProviderError::Issuer
            | ProviderError::Token(_),
        ) => Code::Unauthenticated,
        AccountError::PasskeyHost
        | AccountError::TooManyPasskeys
        | AccountError::Provider(ProviderError::None) => Code::FailedPrecondition,
        AccountError::Provider(ProviderError::Unreachable(_)) => Code::Unavailable,
        AccountError::Locked { .. } => Code::ResourceExhausted,
        AccountError::LastAdministrator => Code::FailedPrecondition,
        AccountError::Changed => Code::Aborted,
        AccountError::System(_) => Code::Internal,
        AccountError::Store(error) | AccountError::Provider(ProviderError::Store(error)) => {
            return store_failed(error);
        }
    };
    refused(code, error.code(), &error.to_string())
}

fn roles(words: &[String]) -> Result<BTreeSet<Role>, Status> {
    words
        .iter()
        .map(|word| {
            word.parse()
                .map_err(|error| told(&AccountError::Role(error)))
        })
        .collect()
}

pub(super) fn names(roles: &BTreeSet<Role>) -> Vec<String> {
    roles.iter().map(ToString::to_string).collect()
}

pub(super) fn shown(account: &Account, id: &[u8; 16], now_ms: u64) -> pb::Account {
    pb::Account {
        name: account.name.clone(),
        account: hex::encode(id),
        roles: names(&account.roles),
        state: account.state(now_ms).as_str().to_owned(),
        provider_subject: account
            .linked
            .as_ref()
            .map_or_else(String::new, |linked| linked.subject.clone()),
    }
}
