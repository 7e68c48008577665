//! `wayhome accounts`: who works at the node.

use std::io::{BufRead as _, IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command as Program, Stdio};

use clap::Subcommand;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::input::unusable;
use super::{CliError, Context};
use crate::node::accounts::make_first_code;
use crate::node::{Config, OperatorChannel};
use crate::proto::operator::account_service_client::AccountServiceClient;
use crate::proto::operator::{
    Account, AccountCode, AddAccountRequest, ChangeAccountRequest, ClaimAccountRequest,
    ListAccountsRequest, ResetAccountRequest, SignInRequest, SignOutRequest, WhoAmIRequest,
};

/// Arguments of `wayhome accounts`.
#[derive(clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Make a new code for the first administrator, in place of the one that `init` printed.
    FirstCode,
    /// Take an account with a one-time code, and set its password.
    Claim(ClaimArgs),
    /// Begin a session.
    SignIn(SignInArgs),
    /// End the session.
    SignOut,
    /// Say whose session this is.
    Whoami,
    /// List accounts.
    List,
    /// Make an account, to be claimed with the code that is printed.
    Add(AddArgs),
    /// Give and take roles, or close an account.
    Change(ChangeArgs),
    /// Make a new code for a person who lost password or authenticator.
    Reset(NameArgs),
}

#[derive(clap::Args)]
struct ClaimArgs {
    /// The name to sign in with.
    #[arg(value_name = "NAME")]
    name: String,
    /// The one-time code.
    #[arg(long)]
    code: String,
    /// Read the password from the first line of this file instead of asking for it.
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,
}

#[derive(clap::Args)]
struct SignInArgs {
    /// The name.
    #[arg(value_name = "NAME")]
    name: String,
    /// The code that the authenticator shows; asked for if not given.
    #[arg(long)]
    code: Option<String>,
    /// Read the password from the first line of this file instead of asking for it.
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,
}

#[derive(clap::Args)]
struct NameArgs {
    /// The name.
    #[arg(value_name = "NAME")]
    name: String,
}

#[derive(clap::Args)]
struct AddArgs {
    /// The name to sign in with.
    #[arg(value_name = "NAME")]
    name: String,
    /// Roles, separated by commas: caseworker, approver, steward, administrator, auditor.
    #[arg(long = "role", value_name = "ROLE", value_delimiter = ',')]
    roles: Vec<String>,
}

#[derive(clap::Args)]
struct ChangeArgs {
    /// The name.
    #[arg(value_name = "NAME")]
    name: String,
    /// Roles to give, separated by commas.
    #[arg(long, value_name = "ROLE", value_delimiter = ',')]
    give: Vec<String>,
    /// Roles to take away, separated by commas.
    #[arg(long, value_name = "ROLE", value_delimiter = ',')]
    take: Vec<String>,
    /// Close the account for good.
    #[arg(long)]
    close: bool,
}

type Client = AccountServiceClient<OperatorChannel>;

pub async fn run(context: &Context, args: Args) -> Result<(), CliError> {
    if let Command::FirstCode = args.command {
        return first_code(context);
    }
    let client = AccountServiceClient::new(context.operator().await?);
    match args.command {
        Command::FirstCode => Ok(()),
        Command::Claim(args) => claim(context, client, args).await,
        Command::SignIn(args) => sign_in(context, client, args).await,
        Command::SignOut => sign_out(context, client).await,
        Command::Whoami => whoami(context, client).await,
        Command::List => list(context, client).await,
        Command::Add(args) => add(context, client, args).await,
        Command::Change(args) => change(context, client, args).await,
        Command::Reset(args) => reset(context, client, args.name).await,
    }
}

fn first_code(context: &Context) -> Result<(), CliError> {
    // Only a node has accounts: in a wrong directory nothing is left behind.
    Config::load(&context.directory)?;
    let code = make_first_code(&context.directory, &context.ambient)?;
    context.output.say(format_args!(
        "{code}\nIt is good once, and only while there is no account: `wayhome accounts claim NAME --code {code}`"
    ));
    context.output.object(&json!({"ok": true, "code": code}));
    Ok(())
}

async fn claim(context: &Context, mut client: Client, args: ClaimArgs) -> Result<(), CliError> {
    let password = secret("New password", args.password_file.as_deref())?;
    let claimed = client
        .claim_account(ClaimAccountRequest {
            name: args.name.clone(),
            code: args.code,
            password: password.to_string(),
        })
        .await?
        .into_inner();
    context.output.say(format_args!(
        "The account {} is yours; in the log it is {}.\nAdd it to your authenticator now, this is shown once:\n  {}\n  or type: {}\nThen: wayhome accounts sign-in {}",
        args.name, claimed.account, claimed.otpauth, claimed.secret, args.name
    ));
    context.output.object(&json!({
        "ok": true,
        "name": args.name,
        "account": claimed.account,
        "otpauth": claimed.otpauth,
        "secret": claimed.secret,
    }));
    Ok(())
}

async fn sign_in(context: &Context, mut client: Client, args: SignInArgs) -> Result<(), CliError> {
    let password = secret("Password", args.password_file.as_deref())?;
    let code = match args.code {
        Some(code) => Zeroizing::new(code),
        None => secret("Authenticator code", None)?,
    };
    let signed_in = client
        .sign_in(SignInRequest {
            name: args.name.clone(),
            password: password.to_string(),
            code: code.to_string(),
        })
        .await?
        .into_inner();
    keep(&context.session, &signed_in.token)?;
    context.output.say(format_args!(
        "{} is signed in as {} until {} at the latest, or 30 minutes after the last command.",
        args.name,
        signed_in.roles.join(", "),
        signed_in.ends_at
    ));
    context.output.object(&json!({
        "ok": true,
        "name": args.name,
        "account": signed_in.account,
        "roles": signed_in.roles,
        "ends_at": signed_in.ends_at,
    }));
    Ok(())
}

async fn sign_out(context: &Context, mut client: Client) -> Result<(), CliError> {
    let ended = client.sign_out(SignOutRequest {}).await;
    // The file goes, whatever the node says of the session.
    match std::fs::remove_file(&context.session) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error.into()),
        _ => {}
    }
    ended?;
    context.output.say("Signed out.");
    context.output.object(&json!({"ok": true}));
    Ok(())
}

async fn whoami(context: &Context, mut client: Client) -> Result<(), CliError> {
    let who = client.who_am_i(WhoAmIRequest {}).await?.into_inner();
    if who.name.is_empty() {
        context.output.say("Nobody is signed in.");
    } else {
        context.output.say(format_args!(
            "{} ({}), in the log {}",
            who.name,
            who.roles.join(", "),
            who.account
        ));
    }
    context.output.object(&json!({
        "ok": true,
        "name": who.name,
        "account": who.account,
        "roles": who.roles,
    }));
    Ok(())
}

async fn list(context: &Context, mut client: Client) -> Result<(), CliError> {
    let accounts = client
        .list_accounts(ListAccountsRequest {})
        .await?
        .into_inner()
        .accounts;
    for account in &accounts {
        say(context, account);
    }
    let accounts: Vec<Value> = accounts.iter().map(object).collect();
    context
        .output
        .object(&json!({"ok": true, "accounts": accounts}));
    Ok(())
}

async fn add(context: &Context, mut client: Client, args: AddArgs) -> Result<(), CliError> {
    let made = client
        .add_account(AddAccountRequest {
            name: args.name.clone(),
            roles: args.roles,
        })
        .await?
        .into_inner()
        .code;
    code(context, &args.name, made);
    Ok(())
}

async fn reset(context: &Context, mut client: Client, name: String) -> Result<(), CliError> {
    let made = client
        .reset_account(ResetAccountRequest { name: name.clone() })
        .await?
        .into_inner()
        .code;
    code(context, &name, made);
    Ok(())
}

fn code(context: &Context, name: &str, made: Option<AccountCode>) {
    let made = made.unwrap_or_default();
    context.output.say(format_args!(
        "Give {name} this code by a safe way; it is good once:\n  {}\nThey run: wayhome accounts claim {name} --code CODE",
        made.code
    ));
    context.output.object(&json!({
        "ok": true,
        "name": name,
        "account": made.account,
        "code": made.code,
    }));
}

async fn change(context: &Context, mut client: Client, args: ChangeArgs) -> Result<(), CliError> {
    let account = client
        .change_account(ChangeAccountRequest {
            name: args.name,
            give: args.give,
            take: args.take,
            close: args.close,
        })
        .await?
        .into_inner()
        .account
        .unwrap_or_default();
    say(context, &account);
    let mut object = object(&account);
    object["ok"] = true.into();
    context.output.object(&object);
    Ok(())
}

fn say(context: &Context, account: &Account) {
    context.output.say(format_args!(
        "{:<24} {:<10} {:<40} {}",
        account.name,
        account.state,
        account.roles.join(", "),
        account.account
    ));
}

fn object(account: &Account) -> Value {
    json!({
        "name": account.name,
        "account": account.account,
        "roles": account.roles,
        "state": account.state,
    })
}

/// A secret: the first line of a file, or of standard input, which does not show it if a person types.
fn secret(what: &str, file: Option<&Path>) -> Result<Zeroizing<String>, CliError> {
    let wrong =
        |error: &dyn std::fmt::Display| CliError::input("SECRET", format!("{what}: {error}"));
    let mut line = Zeroizing::new(String::new());
    match file {
        Some(path) => {
            let text = std::fs::read_to_string(path)
                .map(Zeroizing::new)
                .map_err(|error| wrong(&unusable(path, &error)))?;
            line.push_str(text.lines().next().unwrap_or_default());
        }
        None => {
            let stdin = std::io::stdin();
            let typed = stdin.is_terminal();
            if typed {
                eprint!("{what}: ");
                let _ = std::io::stderr().flush();
                echo(false);
            }
            let read = stdin.lock().read_line(&mut line);
            if typed {
                echo(true);
                eprintln!();
            }
            read.map_err(|error| wrong(&error))?;
        }
    }
    let secret = Zeroizing::new(line.trim_end_matches(['\r', '\n']).to_owned());
    if secret.is_empty() {
        return Err(wrong(
            &"nothing was given: type it, or name a file with --password-file",
        ));
    }
    Ok(secret)
}

/// Shows, or hides, what is typed.
fn echo(shown: bool) {
    let word = if shown { "echo" } else { "-echo" };
    let _ = Program::new("stty")
        .arg(word)
        .stdin(Stdio::inherit())
        .stderr(Stdio::null())
        .status();
}

/// Keeps a session's token where only its person can read it.
fn keep(path: &Path, token: &str) -> Result<(), CliError> {
    use std::os::unix::fs::OpenOptionsExt as _;
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error.into()),
        _ => {}
    }
    let mut file = std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    file.write_all(token.as_bytes())?;
    Ok(())
}
