//! The people who work at the node: for administrators.

use crate::console::forms::{At, Done, FormPage, Sent};
use crate::console::gate::Visit;
use crate::console::pages::{sure, ways};
use crate::console::problem::{Problem, Stop, Wrong};
use crate::console::view::{Block, Cell, Choice, Field, Form, Kind, Notice, Page, Table, Tone};
use crate::console::words;
use crate::exchange::RemoteRefusal;
use crate::node::accounts::Role;
use crate::proto::operator as pb;
use crate::proto::operator::account_service_client::AccountServiceClient;

/// All accounts, and a form for a new one.
pub struct People;

/// One account.
pub struct Somebody;

async fn accounts(visit: &Visit) -> Result<Vec<pb::Account>, Problem> {
    Ok(AccountServiceClient::new(visit.api())
        .list_accounts(pb::ListAccountsRequest {})
        .await?
        .into_inner()
        .accounts)
}

fn roles_field(visit: &Visit, chosen: &[String], sent: &Sent) -> Field {
    let choices = Role::ALL
        .iter()
        .map(|role| {
            let name = role.as_str();
            Choice::new(
                name,
                visit.text(&format!("role-{name}")),
                chosen.iter().any(|known| known == name),
            )
            .hint(visit.text(&format!("role-{name}-hint")))
        })
        .collect();
    Field::new("roles", visit.text("people-roles"), Kind::Any { choices })
        .wrong(sent.wrong.of("roles"))
}

fn code_page(visit: &Visit, name: &str, code: String) -> Page {
    Page::new("people", visit.text("people-code-title"))
        .with(Block::Notice(Notice {
            tone: Tone::Good,
            title: visit.lang.with("people-code-for", &[("name", name.into())]),
            text: visit.text("people-code-text"),
            code: Some(code),
        }))
        .back("/people", visit.text("nav-people"))
}

impl FormPage for People {
    const PATH: &'static str = "/people";

    async fn show(visit: &Visit, _at: &At, sent: &Sent) -> Result<Page, Problem> {
        let accounts = accounts(visit).await?;
        let table = Table {
            caption: visit.text("people-list"),
            columns: ["name", "roles", "state"]
                .map(|column| visit.text(&format!("column-{column}")))
                .into(),
            rows: accounts
                .iter()
                .map(|account| {
                    let roles: Vec<String> = account
                        .roles
                        .iter()
                        .map(|role| words::named(visit.lang, "role", role))
                        .collect();
                    vec![
                        Cell::link(format!("/people/{}", account.account), &account.name),
                        Cell::text(roles.join(", ")),
                        Cell::tag(
                            match account.state.as_str() {
                                "active" => Tone::Good,
                                "locked" => Tone::Bad,
                                _ => Tone::Plain,
                            },
                            words::named(visit.lang, "account", &account.state),
                        ),
                    ]
                })
                .collect(),
            empty: String::new(),
        };
        Ok(Page::new("people", visit.text("people-title"))
            .with(Block::Table(table))
            .form(
                Form::new(Self::PATH, visit.text("people-add"))
                    .heading(visit.text("people-add-title"))
                    .field(
                        Field::line("name", visit.text("sign-in-name"), sent.values.get("name"))
                            .hint(visit.text("people-name-hint"))
                            .wrong(sent.wrong.of("name")),
                    )
                    .field(roles_field(visit, &sent.values.all("roles"), sent)),
            ))
    }

    async fn act(visit: &Visit, _at: &At, sent: &Sent) -> Result<Done, Stop> {
        let (name, roles) = (sent.values.get("name"), sent.values.all("roles"));
        let mut wrong = Wrong::default();
        wrong.need(visit, "name", name);
        if roles.is_empty() {
            wrong.say("roles", visit.text("people-need-roles"));
        }
        wrong.stop()?;
        let added = AccountServiceClient::new(visit.api())
            .add_account(pb::AddAccountRequest {
                name: name.to_owned(),
                roles,
            })
            .await;
        match added {
            Ok(added) => {
                let code = added.into_inner().code.unwrap_or_default();
                Ok(Done::page(code_page(visit, name, code.code)))
            }
            Err(status) => {
                let code = RemoteRefusal::from(status.clone()).code;
                if !matches!(code.as_str(), "ACCOUNT_NAME" | "NAME_TAKEN") {
                    return Err(status.into());
                }
                Err(Stop::at("name", visit.text(&format!("problem-{code}"))))
            }
        }
    }
}

async fn somebody(visit: &Visit, at: &At) -> Result<pb::Account, Problem> {
    accounts(visit)
        .await?
        .into_iter()
        .find(|account| account.account == at.get("account"))
        .ok_or(Problem::NotFound)
}

impl FormPage for Somebody {
    const PATH: &'static str = "/people/{account}";

    async fn show(visit: &Visit, at: &At, sent: &Sent) -> Result<Page, Problem> {
        let account = somebody(visit, at).await?;
        // The other forms of the page send no roles: theirs would come back as none at all.
        let roles = match sent.values.get("act") {
            "roles" => sent.values.all("roles"),
            _ => account.roles.clone(),
        };
        let here = format!("/people/{}", account.account);
        let mut page = Page::new("people", account.name.clone())
            .summary(vec![
                (
                    visit.text("column-state"),
                    Cell::text(words::named(visit.lang, "account", &account.state)),
                ),
                (
                    visit.text("people-pseudonym"),
                    Cell::code(account.account.clone()),
                ),
            ])
            .back("/people", visit.text("nav-people"));
        if account.state != "closed" {
            if let Some(form) = ways::link_form(visit, sent, &account).await? {
                page = page.form(form);
            }
            page = page
                .form(
                    Form::new(here.clone(), visit.text("console-save"))
                        .act("roles")
                        .field(roles_field(visit, &roles, sent)),
                )
                .form(
                    Form::new(here.clone(), visit.text("people-reset"))
                        .act("reset")
                        .heading(visit.text("people-reset-title")),
                )
                .form(
                    Form::bare(here)
                        .heading(visit.text("people-close-title"))
                        .field(sure::field(visit, sent, "people-close-sure"))
                        .button("close", visit.text("people-close"), Tone::Bad),
                );
        }
        Ok(page)
    }

    async fn act(visit: &Visit, at: &At, sent: &Sent) -> Result<Done, Stop> {
        let account = somebody(visit, at).await?;
        let mut client = AccountServiceClient::new(visit.api());
        let here = format!("/people/{}", account.account);
        match sent.values.get("act") {
            "link" => {
                ways::link(visit, sent, &account.name).await?;
                Ok(Done::see(here))
            }
            "reset" => {
                let code = client
                    .reset_account(pb::ResetAccountRequest {
                        name: account.name.clone(),
                    })
                    .await?
                    .into_inner()
                    .code
                    .unwrap_or_default();
                Ok(Done::page(code_page(visit, &account.name, code.code)))
            }
            "close" => {
                sure::check(visit, sent)?;
                client
                    .change_account(pb::ChangeAccountRequest {
                        name: account.name,
                        close: true,
                        ..pb::ChangeAccountRequest::default()
                    })
                    .await?;
                Ok(Done::see(here))
            }
            _ => {
                let wanted = sent.values.all("roles");
                client
                    .change_account(pb::ChangeAccountRequest {
                        name: account.name,
                        take: account
                            .roles
                            .iter()
                            .filter(|role| !wanted.contains(role))
                            .cloned()
                            .collect(),
                        give: wanted,
                        close: false,
                    })
                    .await?;
                Ok(Done::see(here))
            }
        }
    }
}
