//! Passkeys and the identity provider.

use tonic::{Code, Request, Response, Status};

use super::accounts::{session, shown, told};
use super::duty::{Duty, token};
use super::{Operator, refused};
use crate::exchange::acting::acting_for;
use crate::node::accounts::{
    self, AccountError, Answer, AtProvider, Came, PasskeyError, Session, TicketUse,
};
use crate::proto::operator as pb;
use crate::proto::operator::sign_in_service_server::SignInService;

impl Operator {
    /// The parts of an answer, borrowed, if it was given at one of the console's names.
    fn answer<'a>(&self, given: &'a pb::PasskeyAnswer) -> Result<Answer<'a>, Status> {
        let host = self.ways.host_of(&given.origin);
        Ok(Answer {
            origin: &given.origin,
            host: host.map_err(|error| told(&error))?,
            challenge: &given.challenge,
            credential: &given.credential,
            client_data: &given.client_data,
            authenticator_data: &given.authenticator_data,
        })
    }

    /// The session of a call on the person's own account.
    async fn own<T>(&self, request: &Request<T>, fresh: bool) -> Result<Session, Status> {
        let Some(token) = token(request) else {
            let message = "sign in first: a passkey belongs to an account";
            return Err(refused(Code::Unauthenticated, "SIGN_IN_NEEDED", message));
        };
        let session = self.session(&token).await?;
        if fresh && !session.fresh {
            return Err(refused(
                Code::Unauthenticated,
                "SIGN_IN_AGAIN",
                "to change how you sign in takes a sign-in of the last five minutes",
            ));
        }
        Ok(session)
    }
}

#[tonic::async_trait]
impl SignInService for Operator {
    async fn get_ways(
        &self,
        _request: Request<pb::GetWaysRequest>,
    ) -> Result<Response<pb::GetWaysResponse>, Status> {
        let provider = self
            .ways
            .provider()
            .map_or_else(|_| String::new(), |provider| provider.name().to_owned());
        Ok(Response::new(pb::GetWaysResponse { provider }))
    }

    async fn draw_challenge(
        &self,
        request: Request<pb::DrawChallengeRequest>,
    ) -> Result<Response<pb::DrawChallengeResponse>, Status> {
        let browser = request.into_inner().browser;
        Ok(Response::new(pb::DrawChallengeResponse {
            challenge: accounts::draw_ticket(&self.party, TicketUse::Passkey, &browser),
        }))
    }

    async fn add_passkey(
        &self,
        request: Request<pb::AddPasskeyRequest>,
    ) -> Result<Response<pb::AddPasskeyResponse>, Status> {
        let session = self.own(&request, true).await?;
        let asked = request.into_inner();
        let given = asked.answer.unwrap_or_default();
        let answered = self.answer(&given)?;
        let adding = accounts::add_passkey(
            &self.party,
            session.read.id,
            &given.browser,
            &answered,
            &asked.public_key,
            &asked.label,
        );
        acting_for(Some(session.read.id), adding)
            .await
            .map_err(|error| told(&error))?;
        Ok(Response::new(pb::AddPasskeyResponse {}))
    }

    async fn list_passkeys(
        &self,
        request: Request<pb::ListPasskeysRequest>,
    ) -> Result<Response<pb::ListPasskeysResponse>, Status> {
        let session = self.own(&request, false).await?;
        let passkeys = session
            .read
            .account
            .passkeys
            .iter()
            .map(|passkey| pb::Passkey {
                credential: passkey.credential(),
                label: passkey.label.clone(),
                added_ms: passkey.added_ms,
            })
            .collect();
        Ok(Response::new(pb::ListPasskeysResponse { passkeys }))
    }

    async fn remove_passkey(
        &self,
        request: Request<pb::RemovePasskeyRequest>,
    ) -> Result<Response<pb::RemovePasskeyResponse>, Status> {
        let session = self.own(&request, true).await?;
        let credential = request.into_inner().credential;
        let removing = accounts::remove_passkey(&self.party, session.read.id, &credential);
        acting_for(Some(session.read.id), removing)
            .await
            .map_err(|error| told(&error))?;
        Ok(Response::new(pb::RemovePasskeyResponse {}))
    }

    async fn sign_in_with_passkey(
        &self,
        request: Request<pb::SignInWithPasskeyRequest>,
    ) -> Result<Response<pb::SignInWithPasskeyResponse>, Status> {
        let asked = request.into_inner();
        let given = asked.answer.unwrap_or_default();
        let answered = self.answer(&given)?;
        let account = asked
            .account
            .try_into()
            .map_err(|_| told(&AccountError::Passkey(PasskeyError::Signature)))?;
        let signed_in = accounts::sign_in_with_passkey(
            &self.party,
            account,
            &given.browser,
            &answered,
            &asked.signature,
        )
        .await
        .map_err(|error| told(&error))?;
        Ok(Response::new(pb::SignInWithPasskeyResponse {
            session: Some(session(signed_in)),
        }))
    }

    async fn begin_provider(
        &self,
        request: Request<pb::BeginProviderRequest>,
    ) -> Result<Response<pb::BeginProviderResponse>, Status> {
        let asked = request.into_inner();
        let provider = self.ways.provider().map_err(|error| told(&error.into()))?;
        let address = provider
            .begin(&self.party, &asked.browser, &asked.redirect, asked.again)
            .await
            .map_err(|error| told(&error.into()))?;
        Ok(Response::new(pb::BeginProviderResponse { address }))
    }

    async fn finish_provider(
        &self,
        request: Request<pb::FinishProviderRequest>,
    ) -> Result<Response<pb::FinishProviderResponse>, Status> {
        let asked = request.into_inner();
        let came = Came {
            browser: &asked.browser,
            redirect: &asked.redirect,
            state: &asked.state,
            code: &asked.code,
            issuer: &asked.issuer,
        };
        let answer = match accounts::sign_in_at_provider(&self.party, &self.ways, &came)
            .await
            .map_err(|error| told(&error))?
        {
            AtProvider::SignedIn(signed_in) => pb::FinishProviderResponse {
                session: Some(session(*signed_in)),
                unknown_subject: String::new(),
            },
            AtProvider::Unknown(subject) => pb::FinishProviderResponse {
                session: None,
                unknown_subject: subject,
            },
        };
        Ok(Response::new(answer))
    }

    async fn link_account(
        &self,
        request: Request<pb::LinkAccountRequest>,
    ) -> Result<Response<pb::LinkAccountResponse>, Status> {
        let caller = self.caller(&request, Duty::Administer).await?;
        let asked = request.into_inner();
        let read = caller
            .does(accounts::link(
                &self.party,
                &self.ways,
                &asked.name,
                &asked.subject,
            ))
            .await
            .map_err(|error| told(&error))?;
        let now_ms = self.party.ambient().now_ms();
        Ok(Response::new(pb::LinkAccountResponse {
            account: Some(shown(&read.account, &read.id, now_ms)),
        }))
    }
}
