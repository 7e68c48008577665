//! Who may do what at the operator API.
//!
//! A call carries a session's token (`authorization: Bearer TOKEN`). Before there is any account, a
//! call without one counts as the node's operator: only the node's user can open the socket. That is
//! good for the register, for searching and for making the first account, and never for deciding what
//! others are told: a decision is a person's, by name. A call over the network is never the node's
//! operator's.

use std::future::Future;

use tonic::{Code, Request, Status};

use super::remote::is_remote;
use super::{Operator, refused, store_failed};
use crate::exchange::acting::acting_for;
use crate::exchange::disclose::{AccountId, Actor};
use crate::node::accounts::{self, Role, Session};

/// What a call does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Duty {
    /// Changes the register.
    Keep,
    /// Reads the register.
    Read,
    /// Searches, and asks others to be told.
    Ask,
    /// Looks at what others ask, without personal data.
    Oversee,
    /// Looks at what others ask, with the values that they ask for.
    Weigh,
    /// Decides what others are told.
    Decide,
    /// Reviews a release that one person made alone.
    Review,
    /// Makes and changes accounts.
    Administer,
    /// Looks at how the node runs: roster, quotas, log.
    Watch,
    /// Changes how the node runs: roster, clock, log, keys.
    Run,
}

impl Duty {
    /// The roles that may.
    #[must_use]
    pub fn roles(self) -> &'static [Role] {
        match self {
            Self::Keep => &[Role::Steward],
            Self::Read => &[Role::Steward, Role::Caseworker],
            Self::Ask => &[Role::Caseworker],
            Self::Oversee => &[Role::Approver, Role::Auditor],
            Self::Weigh | Self::Decide => &[Role::Approver],
            Self::Review => &[Role::Approver, Role::Auditor],
            Self::Administer | Self::Run => &[Role::Administrator],
            Self::Watch => &[
                Role::Administrator,
                Role::Auditor,
                Role::Steward,
                Role::Caseworker,
                Role::Approver,
            ],
        }
    }

    /// Whether the node's operator may before there is any account.
    #[must_use]
    pub fn open_to_operator(self) -> bool {
        matches!(
            self,
            Self::Keep | Self::Read | Self::Ask | Self::Oversee | Self::Watch | Self::Run
        )
    }

    /// Whether the node's operator may while the log is not signed. A sign-in is an act of the log:
    /// nobody could sign in to mend what keeps it from being signed.
    #[must_use]
    pub fn mends_the_log(self) -> bool {
        matches!(self, Self::Watch | Self::Run)
    }

    /// Whether it takes a sign-in of the last five minutes.
    #[must_use]
    pub fn needs_fresh_sign_in(self) -> bool {
        matches!(self, Self::Decide | Self::Review)
    }
}

/// Who calls.
pub struct Caller {
    /// The session, unless it is the node's operator before there is any account.
    pub session: Option<Session>,
}

impl Caller {
    /// The account.
    #[must_use]
    pub fn account(&self) -> Option<AccountId> {
        self.session.as_ref().map(|session| session.read.id)
    }

    /// Does work for the caller: every act that it comes to names the caller's account.
    pub async fn does<T>(&self, work: impl Future<Output = T>) -> T {
        acting_for(self.account(), work).await
    }
}

/// The token of a call.
pub(super) fn token<T>(request: &Request<T>) -> Option<String> {
    let value = request.metadata().get("authorization")?.to_str().ok()?;
    value.strip_prefix("Bearer ").map(str::to_owned)
}

impl Operator {
    /// Who calls, if they may do this.
    ///
    /// # Errors
    /// `SIGN_IN_NEEDED`, `SESSION_ENDED`, `ROLE_MISSING`, `ROLE_WITHDRAWN` or `SIGN_IN_AGAIN`.
    pub(super) async fn caller<T>(
        &self,
        request: &Request<T>,
        duty: Duty,
    ) -> Result<Caller, Status> {
        let Some(token) = token(request) else {
            if is_remote(request.extensions()) {
                return Err(refused(
                    Code::Unauthenticated,
                    "SIGN_IN_NEEDED",
                    "over the network every call needs a session: call AccountService.SignIn and send its token as `authorization: Bearer TOKEN`",
                ));
            }
            let none = self
                .party
                .store()
                .account_count()
                .await
                .map_err(|error| store_failed(&error))?
                == 0;
            let unsigned =
                duty.mends_the_log() && !matches!(self.party.ledger().standing(), Some(Ok(())));
            if none && duty.open_to_operator() || unsigned {
                return Ok(Caller { session: None });
            }
            let message = if none {
                "this needs an account, and there is none yet: claim the first administrator's with `wayhome accounts claim`"
            } else {
                "sign in first: `wayhome accounts sign-in NAME`"
            };
            return Err(refused(Code::Unauthenticated, "SIGN_IN_NEEDED", message));
        };
        let session = self.session(&token).await?;
        let account = &session.read.account;
        if !duty.roles().iter().any(|role| account.may(*role)) {
            let roles: Vec<&str> = duty.roles().iter().map(|role| role.as_str()).collect();
            let roles = roles.join(" or ");
            let withdrawn = duty
                .roles()
                .iter()
                .any(|role| account.former_roles.contains(role));
            return Err(if withdrawn {
                refused(
                    Code::PermissionDenied,
                    "ROLE_WITHDRAWN",
                    &format!(
                        "your role was withdrawn: this takes the role {roles}; ask an administrator"
                    ),
                )
            } else {
                refused(
                    Code::PermissionDenied,
                    "ROLE_MISSING",
                    &format!(
                        "this takes the role {roles}: an administrator gives roles (`wayhome accounts change`)"
                    ),
                )
            });
        }
        if duty.needs_fresh_sign_in() && !session.fresh {
            return Err(refused(
                Code::Unauthenticated,
                "SIGN_IN_AGAIN",
                "a decision takes a sign-in of the last five minutes: `wayhome accounts sign-in NAME`, then repeat it",
            ));
        }
        Ok(Caller {
            session: Some(session),
        })
    }

    /// Who calls where the node's own user need not be known by name. Over the network the duty
    /// decides.
    ///
    /// # Errors
    /// As [`Operator::caller`].
    pub(super) async fn own_user_or<T>(
        &self,
        request: &Request<T>,
        duty: Duty,
    ) -> Result<Caller, Status> {
        if is_remote(request.extensions()) {
            return self.caller(request, duty).await;
        }
        Ok(Caller { session: None })
    }

    /// The session of a token.
    ///
    /// # Errors
    /// `SESSION_ENDED`.
    pub(super) async fn session(&self, token: &str) -> Result<Session, Status> {
        Session::of(&self.party, token)
            .await
            .map_err(|error| store_failed(&error))?
            .ok_or_else(|| {
                refused(
                    Code::Unauthenticated,
                    "SESSION_ENDED",
                    "the session has ended: sign in again with `wayhome accounts sign-in NAME`",
                )
            })
    }

    /// The caller as one who decides.
    pub(super) async fn actor(&self, caller: &Caller) -> Result<Actor, Status> {
        let session = caller.session.as_ref().ok_or_else(|| {
            refused(
                Code::Unauthenticated,
                "SIGN_IN_NEEDED",
                "a decision is a person's: sign in first",
            )
        })?;
        let approvers = accounts::all(&self.party)
            .await
            .map_err(|error| store_failed(&error))?
            .into_iter()
            .filter(|read| read.account.may(Role::Approver))
            .map(|read| (read.id, read.version))
            .collect();
        Ok(Actor {
            account: session.read.id,
            version: session.read.version,
            approvers,
        })
    }
}
